//! What a customer was told of late, and what became of it, in his own words.

use std::time::Duration;

use serde_json::{Value, json};

use super::Alerts;
use super::plan::{Cost, QUIET_HOURS};
use super::told::Told;
use crate::domain::binding::Binding;
use crate::domain::card::CardTail;
use crate::domain::money::Money;
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict};
use crate::outbound::rfc3339;
use crate::store::{NoticeRow, StoreError};

/// Notices that are shown at most.
pub const PAST_MAX: usize = 20;
/// How far back is looked.
const BACK: Duration = Duration::from_secs(90 * 24 * 3600);
/// A transaction before that is talked of no more.
const A_MOMENT: Duration = Duration::from_secs(24 * 3600);
/// How far back alerts are counted, and how many at most.
const MONTH: Duration = Duration::from_secs(30 * 24 * 3600);
const VOLUME_MAX: usize = 500;
/// Remarks on one transaction, and characters of each.
const REMARKS_MAX: usize = 3;
const REMARK_CHARS_MAX: usize = 200;
/// Characters of a merchant's name that are shown.
const MERCHANT_CHARS_MAX: usize = 20;

/// One notice as its customer reads of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastNotice {
    /// When it happened, or was told to us.
    pub at: UnixMs,
    /// What it was: 消费, 退款, 还款提醒.
    pub title: &'static str,
    /// Of which card.
    pub tail: Option<CardTail>,
    /// How much, unless he hides amounts.
    pub amount: Option<Money>,
    /// Where.
    pub merchant: Option<String>,
    /// What became of it.
    pub state: State,
    /// That in words.
    pub words: &'static str,
}

impl Alerts {
    /// The last notices of a customer, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn history(&self, binding: &Binding) -> Result<Vec<PastNotice>, StoreError> {
        let since = self.clock.now() - BACK;
        let rows = self.store.notices_of_customer(&binding.customer, since, PAST_MAX).await?;
        let mut past = Vec::with_capacity(rows.len());
        for row in &rows {
            let verdict = self.verdict_now(row).await?;
            let told = Told::read(row)?;
            let hides = binding.alerts_of_tail(told.tail.as_ref()).hide_amounts;
            let transaction = told.transaction.as_ref();
            let merchant = transaction.and_then(|transaction| transaction.merchant.as_ref());
            past.push(PastNotice {
                at: told.happened.unwrap_or(row.accepted),
                title: transaction.map_or_else(|| title(&row.kind), |transaction| transaction.kind.title()),
                amount: transaction.and_then(|transaction| transaction.amount.money()).filter(|_| !hides),
                merchant: merchant.map(|merchant| merchant.name.chars().take(MERCHANT_CHARS_MAX).collect()),
                state: verdict.state,
                words: words(&verdict),
                tail: told.tail,
            });
        }
        Ok(past)
    }

    /// The same as the house's operation `alert_history` answers it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn history_value(&self, binding: &Binding) -> Result<Value, StoreError> {
        let past = self.history(binding).await?;
        let rows: Vec<Value> = past
            .iter()
            .map(|past| {
                let amount = past
                    .amount
                    .map(|amount| json!({ "value": amount.decimal(), "currency": amount.currency().code() }));
                json!({
                    "at": rfc3339(past.at), "title": past.title, "last4": past.tail, "amount": amount,
                    "merchant": past.merchant, "state": past.state.name(), "words": past.words,
                })
            })
            .collect();
        let remarks = self.remarks_on_the_last(binding).await?;
        Ok(json!({ "count": rows.len(), "notices": rows, "remarks": remarks }))
    }

    /// How many purchases and refunds he was told of in the last 30 days, and how many of those a threshold would have
    /// spared him, as the house's operation `alert_volume` answers it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn volume_value(&self, binding: &Binding, params: &Value) -> Result<Value, StoreError> {
        let since = self.clock.now() - MONTH;
        let rows = self.store.notices_of_customer(&binding.customer, since, VOLUME_MAX).await?;
        let threshold = params["threshold"].as_str().and_then(|text| Money::parse(text, "CNY").ok());
        let threshold_fen = threshold.map_or(0, Money::minor);
        let card = params["card_id"].as_str();
        let card = card.and_then(|id| binding.cards.iter().find(|card| card.card_id == id));
        let (mut told, mut below) = (0, 0);
        for row in rows.iter().filter(|row| reached(row)) {
            let one = Told::read(row)?;
            if card.is_none_or(|card| one.tail.as_ref() == Some(&card.tail)) {
                told += 1;
                below += u32::from(matches!(one.cost, Cost::Fen(fen) if fen < threshold_fen));
            }
        }
        let present = binding.threshold_of_all().map(Money::of_fen);
        let present = present.map(|money| json!({ "value": money.decimal(), "currency": "CNY" }));
        Ok(json!({ "told": told, "below": below, "threshold": present }))
    }

    /// What the moment asks to be said of his last transaction, if that was of late.
    async fn remarks_on_the_last(&self, binding: &Binding) -> Result<Vec<String>, StoreError> {
        let since = self.clock.now() - A_MOMENT;
        let Some(last) = self.last_surroundings(&binding.customer, since).await? else { return Ok(vec![]) };
        let hides = binding.alerts_of_tail(Some(&last.transaction.card_last4)).hide_amounts;
        let words = self.remarks(&last, hides).into_iter().take(REMARKS_MAX);
        Ok(words.map(|remark| remark.words.trim().chars().take(REMARK_CHARS_MAX).collect()).collect())
    }
}

/// Whether an alert that a threshold could have spared was sent.
fn reached(row: &NoticeRow) -> bool {
    matches!(row.verdict.state, State::Sent | State::Delivered)
        && ["spend", "refund"].contains(&row.kind.as_str())
}

/// What a kind is called; a transaction has a title of its own.
pub(super) fn title(kind: &str) -> &'static str {
    match kind {
        "spend" => "消费提醒",
        "refund" => "退款提醒",
        "repayment" => "还款到账",
        "declined" => "交易未成功",
        "digest" => "免打扰汇总",
        "bill_issued" => "账单已出",
        "bill_due" => "还款提醒",
        "application" => "申请进度",
        "limit_result" => "调额结果",
        "instalment_result" => "分期结果",
        "card_mailed" => "卡片寄出",
        "security" => "账户安全",
        "case_update" => "工单进展",
        _ => "通知",
    }
}

/// A verdict as a customer understands it.
fn words(verdict: &Verdict) -> &'static str {
    match (verdict.state, verdict.reason.as_deref().unwrap_or_default()) {
        (State::Delivered, _) => "已送达",
        (State::Sent, _) => "已发送",
        (State::Pending, QUIET_HOURS) => "免打扰结束后发送",
        (State::Pending, _) => "正在发送",
        (State::Suppressed, "alerts_off") => "您关闭了提醒，未发送",
        (State::Suppressed, "below_threshold") => "低于您设的起点金额，未发送",
        (State::Suppressed, "reminded_lately") => "近期已提醒过，未重复发送",
        (State::Suppressed, "no_binding") => "当时没有绑定微信，未发送",
        (State::Suppressed, _) => "银行未开通这类微信提醒",
        (State::Unreachable, _) => "当时没有关注公众号，未送达",
        (State::Failed, "receipt_user_block") => "您拒收了公众号消息，未送达",
        (State::Failed, "expired") => "超过有效时间，未发送",
        (State::Failed, _) => "微信没有发送成功",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_words_of_its_own_kind() {
        for (state, reason, expected) in [
            (State::Suppressed, "below_threshold", "低于您设的起点金额，未发送"),
            (State::Suppressed, "account_kind", "银行未开通这类微信提醒"),
            (State::Pending, QUIET_HOURS, "免打扰结束后发送"),
            (State::Failed, "errcode_40037", "微信没有发送成功"),
            (State::Unreachable, "errcode_43004", "当时没有关注公众号，未送达"),
        ] {
            assert_eq!(words(&Verdict::new(state, reason)), expected);
        }
        for kind in crate::domain::notice::KINDS {
            assert_ne!(title(kind), "通知", "{kind}");
        }
    }
}
