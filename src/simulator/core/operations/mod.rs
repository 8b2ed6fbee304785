//! The operations, decided without touching anything: what happened, what the customer's telephone shows, and
//! what is answered.

mod applications;
mod arrivals;
mod bills;
mod cards;
mod dates;
mod fraud;
mod identity;
mod instalments;
mod limits;
mod loss;
mod offers;
pub(super) mod pin;
mod plastic;
mod profile;
mod proofs;
mod repayments;
mod requests;
mod rewards;

use jiff::ToSpan as _;
use jiff::civil::Date;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(super) use applications::{Stage, product_name};
pub(super) use limits::Standing;

use super::amount::Amount;
use super::book::{Book, Sms};
use super::calendar::Calendar;
use super::changes::{CASES_MAX, Case, CaseKind, Change};
use super::events::{Event, Refusal};
use super::ledger::Ledger;
use super::people::{Card, Customer};
use super::transaction::{Entry, rfc3339};
use crate::clock::Random;
use crate::domain::time::UnixMs;

/// The body of a call.
#[derive(Deserialize)]
pub(super) struct Request {
    pub(super) customer_id: Option<String>,
    pub(super) params: Value,
    pub(super) idempotency_key: Option<String>,
    #[serde(default)]
    pub(super) context: CallContext,
}

/// What the caller says of how the call came about.
#[derive(Default, Deserialize)]
pub(super) struct CallContext {
    /// What the customer proved: `none`, `binding`, `otp`, `pin`.
    pub(super) guard: Option<String>,
}

/// One call and the books that it is answered from.
pub(super) struct Asked<'a> {
    pub(super) book: &'a Book,
    pub(super) now: UnixMs,
    pub(super) random: &'a dyn Random,
    /// Fresh and unguessable, for whatever the call brings into the world.
    pub(super) new_id: String,
    pub(super) customer_id: Option<&'a str>,
    /// What the customer proved.
    pub(super) guard: Option<&'a str>,
    /// The bank's own address for browsers.
    pub(super) own_url: &'a str,
}

/// What follows from a call.
pub(super) struct Decision {
    pub(super) events: Vec<Event>,
    pub(super) sms: Option<Sms>,
    pub(super) answer: Result<Value, Refusal>,
}

impl Decision {
    fn read(answer: Result<Value, Refusal>) -> Self {
        Self { events: Vec::new(), sms: None, answer }
    }

    fn refused(event: Event, refusal: Refusal) -> Self {
        Self { events: vec![event], sms: None, answer: Err(refusal) }
    }

    fn done(event: Event, result: Value) -> Self {
        Self { events: vec![event], sms: None, answer: Ok(result) }
    }

    /// A case of the calling customer is opened.
    fn opened(asked: &Asked<'_>, case: Case, result: Value) -> Self {
        let customer_id = asked.customer_id.unwrap_or_default().to_owned();
        Self::done(Event::Changed { customer_id, change: Change::Opened { case } }, result)
    }
}

/// Whether a repeated call must get its first answer.
pub(super) fn is_write(operation: &str) -> bool {
    matches!(
        operation,
        "identity_start"
            | "otp_send"
            | "otp_verify"
            | "application_submit"
            | "card_lock"
            | "card_unlock"
            | "card_overseas_switch"
            | "fraud_deny"
            | "fraud_confirm"
    ) || write_of(operation).is_some()
}

/// Decides a write.
type Write = fn(&Asked<'_>, Value) -> Result<Decision, Refusal>;
/// Answers a read.
type Read = fn(&Asked<'_>, Value) -> Result<Value, Refusal>;

/// What customers change on their accounts.
fn write_of(operation: &str) -> Option<Write> {
    Some(match operation {
        "repay_now" => repayments::repay,
        "repay_auto_set" => repayments::auto_set,
        "repay_auto_cancel" => repayments::auto_cancel,
        "repay_reminder_set" => repayments::remind,
        "repay_hardship" => repayments::hardship,
        "inst_bill_apply" => instalments::apply_bill,
        "inst_txn_apply" => instalments::apply_purchase,
        "inst_cash_apply" => instalments::apply_cash,
        "inst_early_settle" => instalments::settle,
        "bill_date_change" => requests::change_date,
        "bill_dispute" => requests::dispute,
        "limit_temp_apply" => requests::raise_for_a_while,
        "limit_perm_apply" => requests::raise,
        "points_redeem" => rewards::redeem,
        "points_donate" => rewards::donate,
        "profile_update" => profile::update,
        "card_replace" => plastic::replace,
        "card_report_loss" => loss::report,
        "card_cancel_loss" => loss::cancel,
        "card_activate" => arrivals::activate,
        "interview_book" => arrivals::book,
        "supplement_submit" => arrivals::supplement,
        "pin_start" => pin::start,
        "service_rating" => offers::rate,
        "supplementary_apply" => plastic::supplementary,
        "drift_bottle_pick" => offers::bottle,
        _ => return None,
    })
}

/// What customers ask about their accounts.
fn read_of(operation: &str) -> Option<Read> {
    Some(match operation {
        "repay_methods" => repayments::methods,
        "repay_options" => repayments::options,
        "repay_records" => repayments::records,
        "repay_min" => repayments::minimum,
        "repay_reminder" => repayments::reminder,
        "overdue_query" => repayments::overdue,
        "inst_quote" => instalments::quote,
        "inst_purchases" => instalments::purchases,
        "inst_query" => instalments::plans,
        "bill_fee_interest" => bills::costs,
        "bill_date_options" => requests::dates,
        "bill_refund_status" => bills::refunds,
        "spending_categories" => bills::categories,
        "bill_pending_auth" => bills::holds,
        "limit_cash" => requests::cash,
        "limit_offer" => requests::offer,
        "limit_adjust_progress" => requests::progress,
        "points_detail" => rewards::detail,
        "points_rewards" => rewards::offers,
        "charity_projects" => rewards::projects,
        "profile_query" => profile::query,
        "card_annual_fee" => profile::annual_fee,
        "card_replace_quote" => plastic::quote,
        "application_delivery" => plastic::delivery,
        "pin_status" => pin::status,
        "interview_slots" => arrivals::slots,
        "supplement_list" => arrivals::missing,
        "campaign_list" => offers::campaigns,
        "offers_weekly" => offers::weekly,
        _ => return None,
    })
}

/// Decides one call.
pub(super) fn decide(operation: &str, asked: &Asked<'_>, params: Value) -> Decision {
    if let Err(refusal) = proofs::demand(asked, operation, &params) {
        return Decision::read(Err(refusal));
    }
    let decided = match operation {
        "identity_start" => identity::start(asked, params),
        "otp_send" => identity::send(asked, params),
        "otp_verify" => identity::verify(asked, params),
        "application_submit" => applications::submit(asked, params),
        "application_products" => Ok(Decision::read(applications::products(asked, params))),
        "application_progress" => Ok(Decision::read(applications::progress(asked, params))),
        "card_lock" => cards::lock(asked, params),
        "card_unlock" => cards::unlock(asked, params),
        "card_overseas_query" => Ok(Decision::read(cards::overseas(asked, params))),
        "card_overseas_switch" => cards::switch_overseas(asked, params),
        "card_declined_reason" => Ok(Decision::read(fraud::declined(asked, params))),
        "fraud_deny" => fraud::deny(asked, params),
        "fraud_confirm" => fraud::confirm(asked, params),
        "card_list" => Ok(Decision::read(limits::cards(asked, params))),
        "limit_query" => Ok(Decision::read(limits::limit(asked, params))),
        "points_query" => Ok(Decision::read(limits::points(asked, params))),
        "bill_current" => Ok(Decision::read(bills::current(asked, params))),
        "bill_unbilled" => Ok(Decision::read(bills::unbilled(asked, params))),
        "bill_history" => Ok(Decision::read(bills::history(asked, params))),
        "bill_detail" => Ok(Decision::read(bills::detail(asked, params))),
        "bill_date_query" => Ok(Decision::read(dates::bill_date(asked, params))),
        "due_date_query" => Ok(Decision::read(dates::due_date(asked, params))),
        _ => match (write_of(operation), read_of(operation)) {
            (Some(write), _) => write(asked, params),
            (None, Some(look)) => Ok(Decision::read(look(asked, params))),
            (None, None) => Err(Refusal::new("unknown_operation", "没有这项业务。")),
        },
    };
    decided.unwrap_or_else(|refusal| Decision::read(Err(refusal)))
}

/// A case for the calling customer, decided or answered after so many days. One of a kind about one thing is open at
/// a time.
fn open_case(
    asked: &Asked<'_>,
    kind: CaseKind,
    about: String,
    amount: Option<Amount>,
    days: i64,
) -> Result<Case, Refusal> {
    let cases = &asked.book.changes(asked.customer()?).cases;
    let today = asked.today();
    let same = |case: &&Case| case.kind == kind && case.about == about && case.due >= today && !case.granted;
    if let Some(open) = cases.iter().find(same) {
        let message = format!("同样的申请正在处理，编号{}，不用重复提交。", open.case_no);
        return Err(Refusal::new("already_open", message));
    }
    if cases.len() >= CASES_MAX {
        return Err(Refusal::new("too_many", "您提交的申请太多，请联系人工客服。"));
    }
    let holder = asked.customer_id.unwrap_or_default().trim_start_matches('C');
    let case_no = format!("{}{}{holder}{:03}", kind.letter(), today.strftime("%y%m%d"), cases.len() + 1);
    let due = today.saturating_add(days.days());
    Ok(Case { case_no, kind, opened_at: asked.now, about, amount, due, granted: false })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfCard {
    card_id: Option<String>,
}

fn read<T: DeserializeOwned>(params: Value) -> Result<T, Refusal> {
    serde_json::from_value(params).map_err(|error| Refusal::new("bad_request", format!("params: {error}")))
}

/// A card of a customer with its accounts as they stand today.
struct OpenCard<'a> {
    customer: &'a Customer,
    card: &'a Card,
    ledgers: Vec<Ledger>,
    calendar: Calendar,
    today: Date,
}

impl<'a> Asked<'a> {
    pub(super) fn today(&self) -> Date {
        self.now.beijing().date()
    }

    fn customer(&self) -> Result<&'a Customer, Refusal> {
        let found = self.customer_id.and_then(|id| self.book.customer(id));
        found.ok_or_else(|| Refusal::new("unknown_customer", "没有找到您的客户资料，请重新绑定信用卡。"))
    }

    /// The named card, or the customer's first.
    fn card(&self, params: Value) -> Result<OpenCard<'a>, Refusal> {
        let OfCard { card_id } = read(params)?;
        self.card_named(card_id.as_deref())
    }

    fn card_named(&self, card_id: Option<&str>) -> Result<OpenCard<'a>, Refusal> {
        let customer = self.customer()?;
        let card = customer.cards.iter().find(|card| card_id.is_none_or(|id| id == card.card_id));
        let card = card.ok_or_else(|| Refusal::new("no_such_card", "您名下没有这张卡片。"))?;
        let ledgers = self.book.ledgers(customer, card, self.today());
        let calendar = self.book.calendar(customer, card);
        Ok(OpenCard { customer, card, ledgers, calendar, today: self.today() })
    }
}

impl OpenCard<'_> {
    fn json(&self) -> Value {
        card_json(self.card)
    }
}

fn card_json(card: &Card) -> Value {
    json!({ "card_id": card.card_id, "last4": card.last4, "product": card.product })
}

fn transaction_json(card: &Card, entry: &Entry) -> Value {
    json!({
        "transaction_id": entry.transaction_id,
        "booked_on": entry.on(),
        "occurred_at": rfc3339(entry.at),
        "type": entry.kind,
        "merchant": entry.merchant,
        "amount": entry.amount,
        "original_amount": entry.original,
        "last4": card.last4,
        "channel": entry.channel,
    })
}

/// The family name and a star for each further character.
pub(super) fn mask_name(name: &str) -> String {
    name.chars().enumerate().map(|(place, c)| if place == 0 { c } else { '*' }).take(20).collect()
}

/// `138****8001`
pub(super) fn mask_phone(phone: &str) -> String {
    let digits: Vec<char> = phone.chars().collect();
    let keep = |place: usize| place < 3 || place + 4 >= digits.len();
    digits.iter().enumerate().map(|(place, c)| if keep(place) { *c } else { '*' }).collect()
}
