//! What the bank decides on: limits, statement days, disputes.

use serde::Deserialize;
use serde_json::{Value, json};

use jiff::{Span, ToSpan as _};

use super::repayments::minor;
use super::{Asked, Decision, Nothing, Standing, open_case, profile, read, transaction_json};
use crate::simulator::core::amount::Amount;
use crate::simulator::core::changes::{Case, CaseKind, Change};
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::ledger::Ledger;
use crate::simulator::core::people::Customer;
use crate::simulator::core::rules::{minor_of, percent_of};
use crate::simulator::core::transaction::{Kind, rfc3339};

const SHOWN_MAX: usize = 5;
/// What the example of drawing cash is worked out for, in fen and days.
const CASH_EXAMPLE: (i64, i64) = (2_000 * 100, 10);

pub(super) fn cash(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let rules = &asked.book.rules;
    let standing = Standing::of(asked.book, customer, asked.now);
    let (amount, days) = CASH_EXAMPLE;
    let (fee, interest) = (rules.cash.fee(amount, "CNY"), rules.interest.of(amount * days));
    Ok(json!({
        "limit": Amount::yuan(standing.cash_limit()),
        "available": Amount::yuan(standing.cash_available()),
        "day_max": Amount::yuan(minor_of(&rules.cash.day_max, "CNY")),
        "fee_percent": rules.cash.fee_percent.to_string(),
        "fee_least": Amount::yuan(minor_of(&rules.cash.fee_least, "CNY")),
        "daily_rate": rules.interest.daily_percent(),
        "annual_rate": rules.interest.annual_percent(),
        "example": {
            "amount": Amount::yuan(amount),
            "days": days,
            "fee": Amount::yuan(fee),
            "interest": Amount::yuan(interest),
            "total": Amount::yuan(fee + interest),
        },
    }))
}

/// Overdue on any card.
fn is_overdue(asked: &Asked<'_>, customer: &Customer) -> bool {
    let ledgers = customer.cards.iter().flat_map(|card| asked.book.ledgers(customer, card, asked.today()));
    ledgers.into_iter().any(|ledger| ledger.overdue_since().is_some())
}

/// In fen: how much may be added for a while, and how far the fixed limit may rise, without people.
fn ceilings(asked: &Asked<'_>, customer: &Customer) -> (i64, i64) {
    let rules = &asked.book.rules.limit;
    let (fixed, _) = asked.book.limits(customer);
    let step = minor_of(&rules.step, "CNY").max(1);
    let whole = |fen: i64| fen / step * step;
    let raised = percent_of(customer.fixed_limit, 100 + rules.fixed_percent);
    (whole(percent_of(fixed, rules.temporary_percent)), whole(raised).max(fixed))
}

pub(super) fn offer(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let rules = &asked.book.rules.limit;
    let (fixed, temporary) = asked.book.limits(customer);
    let (for_a_while, for_ever) = ceilings(asked, customer);
    let temporary = temporary.filter(|(_, until)| *until >= asked.today());
    Ok(json!({
        "fixed": Amount::yuan(fixed),
        "temporary": temporary.map(|(fen, until)| json!({ "amount": Amount::yuan(fen), "until": until })),
        "temporary_most": Amount::yuan(for_a_while),
        "temporary_days_max": rules.temporary_days_max,
        "fixed_most": Amount::yuan(for_ever),
        "invited": for_ever > fixed,
        "step": Amount::yuan(minor_of(&rules.step, "CNY")),
        "review_days": rules.review_days,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForAWhile {
    amount: String,
    days: i64,
}

pub(super) fn raise_for_a_while(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let wanted: ForAWhile = read(params)?;
    let rules = &asked.book.rules.limit;
    let amount = whole_steps(asked, &wanted.amount)?;
    if !(1..=rules.temporary_days_max).contains(&wanted.days) {
        let message = format!("临时额度最长{}天。", rules.temporary_days_max);
        return Err(Refusal::new("bad_days", message));
    }
    refuse_overdue(asked, customer)?;
    let (most, _) = ceilings(asked, customer);
    let until = asked.today().saturating_add(wanted.days.days());
    let mut case = open_case(
        asked,
        CaseKind::TemporaryLimit,
        String::new(),
        Some(Amount::yuan(amount)),
        rules.review_days,
    )?;
    case.granted = amount <= most;
    let change = Change::TemporaryLimit { fen: amount, until };
    let change = case.granted.then_some(change);
    Ok(decided(asked, case, change, json!({ "until": until })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForEver {
    amount: String,
}

pub(super) fn raise(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let wanted: ForEver = read(params)?;
    profile::cooled(asked)?;
    let amount = whole_steps(asked, &wanted.amount)?;
    let (fixed, _) = asked.book.limits(customer);
    if amount <= fixed {
        let message = format!("您现在的固定额度是{}。", Amount::yuan(fixed).money().display());
        return Err(Refusal::new("not_higher", message));
    }
    refuse_overdue(asked, customer)?;
    let (_, most) = ceilings(asked, customer);
    let days = asked.book.rules.limit.review_days;
    let mut case = open_case(asked, CaseKind::FixedLimit, String::new(), Some(Amount::yuan(amount)), days)?;
    case.granted = amount <= most;
    let change = case.granted.then_some(Change::FixedLimit { fen: amount });
    Ok(decided(asked, case, change, json!({ "until": null })))
}

fn refuse_overdue(asked: &Asked<'_>, customer: &Customer) -> Result<(), Refusal> {
    if is_overdue(asked, customer) {
        return Err(Refusal::new("overdue", "您有逾期欠款，还清后才能申请调整额度。"));
    }
    Ok(())
}

fn whole_steps(asked: &Asked<'_>, decimal: &str) -> Result<i64, Refusal> {
    let (amount, step) = (minor(decimal)?, minor_of(&asked.book.rules.limit.step, "CNY").max(1));
    if amount % step == 0 {
        return Ok(amount);
    }
    let message = format!("额度要是{}的整数倍。", Amount::yuan(step).money().display());
    Err(Refusal::new("bad_step", message))
}

fn decided(asked: &Asked<'_>, case: Case, change: Option<Change>, mut result: Value) -> Decision {
    result["case_no"] = json!(case.case_no);
    result["granted"] = json!(case.granted);
    result["amount"] = json!(case.amount);
    result["answer_by"] = json!(case.due);
    let customer_id = asked.customer_id.unwrap_or_default().to_owned();
    let mut decision = Decision::opened(asked, case, result);
    decision.events.extend(change.map(|change| Event::Changed { customer_id, change }));
    decision
}

pub(super) fn progress(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let cases = asked.book.changes(customer).cases.iter().rev();
    let limits = cases.filter(|case| matches!(case.kind, CaseKind::TemporaryLimit | CaseKind::FixedLimit));
    let request = |case: &Case| {
        let (state, reason) = match case.granted {
            true => ("granted", "在可以马上批准的额度以内"),
            false if asked.today() <= case.due => ("review", "超过可以马上批准的额度，正在人工审核"),
            false => ("declined", "综合评估未达到要求，三个月后可以再申请"),
        };
        json!({
            "case_no": case.case_no,
            "kind": case.kind,
            "amount": case.amount,
            "opened_at": rfc3339(case.opened_at),
            "state": state,
            "answer_by": case.due,
            "reason": reason,
        })
    };
    Ok(json!({ "requests": limits.take(SHOWN_MAX).map(request).collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dates {
    card_id: Option<String>,
    day: Option<i8>,
}

/// The days that may be chosen, and what one of them would bring.
pub(super) fn dates(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    asked.customer()?;
    let dates: Dates = read(params)?;
    let open = asked.card_named(dates.card_id.as_deref())?;
    let rules = &asked.book.rules.statement;
    let now = open.calendar.present_day();
    let mut calendar = open.calendar.clone();
    if let Some(day) = dates.day.filter(|day| rules.days.contains(day)) {
        calendar.change(open.today, day);
    }
    let next = calendar.on_or_after(open.today);
    let days = rules.days.iter().filter(|day| **day != now).map(|day| json!({ "day": day }));
    Ok(json!({
        "card": open.json(),
        "statement_day": now,
        "new_day": calendar.present_day(),
        "days": days.collect::<Vec<_>>(),
        "changes_left": changes_left(asked, &open.calendar),
        "next_statement_date": next,
        "next_due_date": next.saturating_add(rules.days_to_due.days()),
    }))
}

fn changes_left(asked: &Asked<'_>, calendar: &crate::simulator::core::calendar::Calendar) -> usize {
    let year_ago = asked.today().saturating_sub(Span::new().years(1));
    asked.book.rules.statement.changes_a_year.saturating_sub(calendar.changes_since(year_ago))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeDate {
    card_id: Option<String>,
    day: i8,
}

pub(super) fn change_date(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let wanted: ChangeDate = read(params)?;
    let open = asked.card_named(wanted.card_id.as_deref())?;
    let rules = &asked.book.rules.statement;
    if !rules.days.contains(&wanted.day) {
        return Err(Refusal::new("bad_day", "这一天不能选作账单日。"));
    }
    if wanted.day == open.calendar.present_day() {
        return Err(Refusal::new("unchanged", "这张卡的账单日已经是这一天。"));
    }
    if changes_left(asked, &open.calendar) == 0 {
        let message = format!("一年最多改{}次账单日，今年已经用完。", rules.changes_a_year);
        return Err(Refusal::new("too_often", message));
    }
    if open.ledgers.iter().any(|ledger| ledger.overdue_since().is_some()) {
        return Err(Refusal::new("overdue", "这张卡有逾期欠款，还清后才能改账单日。"));
    }
    let mut calendar = open.calendar.clone();
    calendar.change(open.today, wanted.day);
    let next = calendar.on_or_after(open.today);
    let result = json!({
        "card": open.json(),
        "statement_day": wanted.day,
        "changes_left": changes_left(asked, &calendar),
        "next_statement_date": next,
        "next_due_date": next.saturating_add(rules.days_to_due.days()),
    });
    let card_id = open.card.card_id.to_owned();
    let change = Change::StatementDay { card_id, on: open.today, day: wanted.day };
    Ok(Decision::done(Event::Changed { customer_id: customer.id.clone(), change }, result))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Dispute {
    card_id: Option<String>,
    transaction_id: String,
    #[serde(rename = "reason")]
    _reason: String,
}

pub(super) fn dispute(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let dispute: Dispute = read(params)?;
    let open = asked.card_named(dispute.card_id.as_deref())?;
    let rules = &asked.book.rules.dispute;
    let entry = open
        .ledgers
        .iter()
        .flat_map(|ledger: &Ledger| &ledger.entries)
        .find(|entry| entry.transaction_id == dispute.transaction_id);
    let entry = entry.ok_or_else(|| Refusal::new("unknown_transaction", "没有找到这笔交易。"))?;
    if !matches!(entry.kind, Kind::Purchase | Kind::CashAdvance) {
        return Err(Refusal::new("not_disputable", "这一笔不是消费，如有疑问请联系人工客服。"));
    }
    let last_day = open.calendar.on_or_after(entry.on()).saturating_add(rules.days.days());
    if open.today > last_day {
        let message = format!("账单日后{}天内可以提出争议，这笔已经超过。", rules.days);
        return Err(Refusal::new("too_late", message));
    }
    let about = entry.transaction_id.clone();
    let case = open_case(asked, CaseKind::Dispute, about, Some(entry.amount), rules.answer_days)?;
    let result = json!({
        "case_no": case.case_no,
        "transaction": transaction_json(open.card, entry),
        "answer_by": case.due,
        "last_day": last_day,
    });
    Ok(Decision::opened(asked, case, result))
}
