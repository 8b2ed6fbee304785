//! The operations, decided without touching anything: what happened, what the customer's telephone shows, and
//! what is answered.

mod applications;
mod bills;
mod cards;
mod dates;
mod fraud;
mod identity;
mod instalments;
mod limits;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(super) use applications::{Stage, product_name};
pub(super) use limits::Standing;

use super::book::{Book, Sms};
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
    /// What the customer proved: `none`, `binding`, `otp`.
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
    )
}

/// Decides one call.
pub(super) fn decide(operation: &str, asked: &Asked<'_>, params: Value) -> Decision {
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
        "inst_quote" => Ok(Decision::read(instalments::quote(asked, params))),
        "card_list" => Ok(Decision::read(limits::cards(asked, params))),
        "limit_query" => Ok(Decision::read(limits::limit(asked, params))),
        "points_query" => Ok(Decision::read(limits::points(asked, params))),
        "bill_current" => Ok(Decision::read(bills::current(asked, params))),
        "bill_unbilled" => Ok(Decision::read(bills::unbilled(asked, params))),
        "bill_history" => Ok(Decision::read(bills::history(asked, params))),
        "bill_detail" => Ok(Decision::read(bills::detail(asked, params))),
        "bill_date_query" => Ok(Decision::read(dates::bill_date(asked, params))),
        "due_date_query" => Ok(Decision::read(dates::due_date(asked, params))),
        _ => Err(Refusal::new("unknown_operation", "没有这项业务。")),
    };
    decided.unwrap_or_else(|refusal| Decision::read(Err(refusal)))
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
        Ok(OpenCard { customer, card, ledgers, today: self.today() })
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
