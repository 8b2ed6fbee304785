//! A card is swiped, an application moves on: the bank's side acts, and the server is told.

use serde::Deserialize;
use serde_json::{Value, json};

use super::amount::Amount;
use super::bill;
use super::book::{Book, OWED_MAX};
use super::controls;
use super::events::{Delivery, Event, Refusal};
use super::operations::{Stage, Standing, product_name};
use super::people::{Card, Customer};
use super::transaction::{Channel, Entry, Kind, rfc3339};
use crate::domain::time::UnixMs;

const MERCHANT_CHARS_MAX: usize = 40;
/// The reason that also puts the card on hold.
const SUSPECTED: &str = "suspected_fraud";

/// What the page's form, or a test, asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Swipe {
    customer_id: String,
    card_id: Option<String>,
    merchant: Option<String>,
    /// ISO 18245; without one that of the merchant of the rules, if it is one of them.
    mcc: Option<String>,
    city: Option<String>,
    /// ISO 3166; without one a foreign currency counts as abroad.
    pub(super) country: Option<String>,
    pub(super) amount: Amount,
    #[serde(rename = "type", default = "purchase")]
    pub(super) kind: Kind,
    #[serde(default = "pos")]
    pub(super) channel: Channel,
    original_transaction_id: Option<String>,
    decline_reason: Option<String>,
}

fn purchase() -> Kind {
    Kind::Purchase
}

fn pos() -> Channel {
    Channel::Pos
}

/// Decides a swipe: what is booked, what the server is told, what the caller is answered.
pub(super) fn swipe(
    book: &Book,
    now: UnixMs,
    id: &str,
    swipe: Swipe,
) -> Result<(Vec<Event>, Value), Refusal> {
    let customer = book.customer(&swipe.customer_id);
    let customer = customer.ok_or_else(|| Refusal::new("unknown_customer", "没有这位客户。"))?;
    let wanted = swipe.card_id.as_deref();
    let card = customer.cards.iter().find(|card| wanted.is_none_or(|id| id == card.card_id));
    let card = card.ok_or_else(|| Refusal::new("no_such_card", "这位客户没有这张卡。"))?;
    check(book, &swipe)?;
    let billed = billing_amount(book, card, swipe.amount);
    let standing = Standing::of(book, customer, now);
    let reason = decline_reason(book, (customer, card), now, &standing, &swipe, billed);
    let kind = if reason.is_some() { Kind::Declined } else { swipe.kind };
    let size = billed.unwrap_or(swipe.amount);
    let entry = Entry {
        transaction_id: id.to_owned(),
        at: now,
        kind,
        merchant: merchant_name(&swipe),
        amount: if kind.is_credit() { size.negated() } else { size },
        original: (size != swipe.amount).then_some(swipe.amount),
        channel: swipe.channel,
        reason: reason.clone(),
        unbilled: false,
    };
    let available = Amount::yuan(Standing::after(book, customer, now, Some((card, &entry))).available());
    let mut body = notice_body(book, &swipe, customer, card, &entry, reason.as_deref(), available);
    if let Some(bill) = bill::after(book, customer, card, now, &entry) {
        body["bill"] = bill;
    }
    let summary = format!("{} {} {}", customer.id, kind.title(), swipe.amount.money().display());
    let delivery = Delivery {
        delivery_id: id.to_owned(),
        path: "/api/v1/transactions".to_owned(),
        body,
        summary,
        queued_at: now,
        outcome: String::new(),
    };
    let answer = json!({
        "transaction_id": id,
        "declined": kind == Kind::Declined,
        "decline_reason": reason,
        "available_credit": available,
    });
    let (customer_id, card_id) = (customer.id.clone(), card.card_id.to_owned());
    let mut events = Vec::new();
    if entry.declined_for(SUSPECTED) && swipe.kind != Kind::Declined {
        let (customer_id, card_id) = (customer_id.clone(), card_id.clone());
        events.push(Event::CardHeld { customer_id, card_id, transaction_id: id.to_owned() });
    }
    events.extend([Event::Moved { customer_id, card_id, entry }, Event::Queued { delivery }]);
    Ok((events, answer))
}

fn check(book: &Book, swipe: &Swipe) -> Result<(), Refusal> {
    if swipe.amount.minor() < 0 {
        return Err(Refusal::new("bad_request", "金额不能是负数。"));
    }
    let long =
        |text: &Option<String>| text.as_ref().is_some_and(|text| text.chars().count() > MERCHANT_CHARS_MAX);
    if long(&swipe.merchant)
        || long(&swipe.mcc)
        || long(&swipe.city)
        || long(&swipe.country)
        || long(&swipe.decline_reason)
        || long(&swipe.original_transaction_id)
    {
        return Err(Refusal::new(
            "bad_request",
            format!("商户、城市等文字不能超过{MERCHANT_CHARS_MAX}个字。"),
        ));
    }
    if book.owed.len() >= OWED_MAX {
        return Err(Refusal::new("backlog_full", "待发送给服务器的消息太多，请稍后再刷。"));
    }
    Ok(())
}

/// The amount in one of the card's currencies; `None` where there is no rate for it.
fn billing_amount(book: &Book, card: &Card, amount: Amount) -> Option<Amount> {
    if card.currencies.contains(&amount.currency()) {
        return Some(amount);
    }
    book.rules.exchange.contains_key(amount.currency().code()).then(|| book.rules.in_yuan(amount))
}

fn decline_reason(
    book: &Book,
    (customer, card): (&Customer, &Card),
    now: UnixMs,
    standing: &Standing,
    swipe: &Swipe,
    billed: Option<Amount>,
) -> Option<String> {
    if swipe.kind == Kind::Declined {
        return Some(swipe.decline_reason.clone().unwrap_or_else(|| "do_not_honour".to_owned()));
    }
    let Some(billed) = billed else { return Some("currency_not_supported".to_owned()) };
    let is_new = swipe.kind.needs_limit() && swipe.kind != Kind::Instalment;
    let controls = || controls::decline(book, customer, card, now, swipe);
    if let Some(reason) = is_new.then(controls).flatten() {
        return Some(reason.to_owned());
    }
    let room = match swipe.kind {
        Kind::CashAdvance => standing.cash_available(),
        _ => standing.available(),
    };
    let short = swipe.kind.needs_limit() && book.rules.in_yuan(billed).minor() > room;
    if short {
        return Some("insufficient_credit".to_owned());
    }
    let yuan = book.rules.in_yuan(billed).minor();
    controls::is_suspicious(book, swipe, yuan).then(|| SUSPECTED.to_owned())
}

fn merchant_name(swipe: &Swipe) -> String {
    let named = swipe.merchant.as_deref().map(str::trim).filter(|name| !name.is_empty());
    named.unwrap_or(swipe.kind.title()).to_owned()
}

fn notice_body(
    book: &Book,
    swipe: &Swipe,
    customer: &Customer,
    card: &Card,
    entry: &Entry,
    reason: Option<&str>,
    available: Amount,
) -> Value {
    let mut body = json!({
        "transaction_id": entry.transaction_id,
        "customer_id": customer.id,
        "card_last4": card.last4,
        "type": entry.kind,
        "amount": swipe.amount,
        "channel": entry.channel,
        "occurred_at": rfc3339(entry.at),
        "available_credit": available.money().decimal(),
        "cardholder": { "tier": card.tier, "holder": "primary" },
    });
    if !matches!(swipe.kind, Kind::Repayment | Kind::Fee) || swipe.merchant.is_some() {
        body["merchant"] = json!({ "name": entry.merchant });
        if let Some(category) = swipe.mcc.as_deref().or_else(|| book.rules.category_of(&entry.merchant)) {
            body["merchant"]["mcc"] = json!(category);
        }
        if let Some(city) = &swipe.city {
            body["merchant"]["city"] = json!(city);
        }
        if let Some(country) = &swipe.country {
            body["merchant"]["country"] = json!(country);
        }
    }
    if entry.original.is_some() && entry.kind != Kind::Declined {
        let size = if entry.kind.is_credit() { entry.amount.negated() } else { entry.amount };
        body["billing_amount"] = json!(size);
    }
    if let Some(original) = &swipe.original_transaction_id {
        body["original_transaction_id"] = json!(original);
    }
    if let Some(reason) = reason {
        body["decline_reason"] = json!(reason);
    }
    body
}

/// Lets a card be used again: no lock, freeze or hold is left.
pub(super) fn release(book: &Book, customer_id: &str, card_id: &str) -> Result<(Vec<Event>, Value), Refusal> {
    let customer = book.customer(customer_id);
    let customer = customer.ok_or_else(|| Refusal::new("unknown_customer", "没有这位客户。"))?;
    let card = customer.cards.iter().find(|card| card.card_id == card_id);
    let card = card.ok_or_else(|| Refusal::new("no_such_card", "这位客户没有这张卡。"))?;
    let (customer_id, card_id) = (customer.id.clone(), card.card_id.to_owned());
    Ok((vec![Event::CardReleased { customer_id, card_id }], json!({ "status": "active" })))
}

/// Moves an application to its next stage and, if the applicant is a customer, has him told.
pub(super) fn advance(
    book: &Book,
    now: UnixMs,
    id: &str,
    application_no: &str,
) -> Result<(Vec<Event>, Value), Refusal> {
    let found = book.applications.iter().find(|application| application.application_no == application_no);
    let found = found.ok_or_else(|| Refusal::new("unknown_application", "没有这份申请。"))?;
    if Stage::of(book, found).finished {
        return Err(Refusal::new("finished", "这份申请已经办结。"));
    }
    let mut moved = found.clone();
    moved.reached.push(now);
    let stage = Stage::of(book, &moved);
    let product = product_name(book, found);
    let mut events = vec![Event::Advanced { application_no: application_no.to_owned(), at: now }];
    if let Some(customer_id) = &found.customer_id {
        let body = json!({
            "notice_id": id,
            "customer_id": customer_id,
            "kind": "application",
            "fields": {
                "application_no": application_no,
                "product": product,
                "stage": stage.name,
                "next_step": stage.next_step,
                "time": rfc3339(now),
            },
        });
        events.push(Event::Queued {
            delivery: Delivery {
                delivery_id: id.to_owned(),
                path: "/api/v1/notices".to_owned(),
                body,
                summary: format!("{customer_id} 办卡进度：{}", stage.name),
                queued_at: now,
                outcome: String::new(),
            },
        });
    }
    let answer =
        json!({ "application_no": application_no, "stage": { "code": stage.code, "name": stage.name } });
    Ok((events, answer))
}
