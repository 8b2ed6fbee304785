//! Whether the customer made a purchase himself, and why one was declined.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::cards::frozen;
use super::proofs::by_code;
use super::{Asked, Decision, card_json, read};
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::people::{Card, Customer};
use crate::simulator::core::transaction::{Entry, Kind, rfc3339};

/// How far back declined purchases are told.
const DECLINED_FOR: Duration = Duration::from_secs(7 * 86_400);
const DECLINED_MAX: usize = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempts {
    transaction_id: Option<String>,
}

pub(super) fn declined(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Attempts { transaction_id } = read(params)?;
    let since = asked.now - DECLINED_FOR;
    let mut found: Vec<(&Card, &Entry)> = customer
        .cards
        .iter()
        .flat_map(|card| asked.book.moved(customer, card).iter().map(move |entry| (card, entry)))
        .filter(|(_, entry)| entry.kind == Kind::Declined && entry.at >= since)
        .filter(|(_, entry)| transaction_id.as_ref().is_none_or(|id| *id == entry.transaction_id))
        .collect();
    found.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.at));
    found.truncate(DECLINED_MAX);
    let attempts: Vec<Value> = found
        .into_iter()
        .map(|(card, entry)| {
            let (reason, remedy) = told(entry.reason.as_deref().unwrap_or_default());
            json!({
                "transaction_id": entry.transaction_id,
                "occurred_at": rfc3339(entry.at),
                "card": card_json(card),
                "merchant": entry.merchant,
                "amount": entry.original.unwrap_or(entry.amount),
                "reason": reason,
                "remedy": remedy,
            })
        })
        .collect();
    Ok(json!({ "attempts": attempts }))
}

/// A reason as customers may be told it, and the one thing that mends it.
fn told(reason: &str) -> (&str, &'static str) {
    match reason {
        "insufficient_credit" => (reason, "repay"),
        "card_locked" => (reason, "unlock"),
        "card_frozen" | "card_lost" | "card_inactive" => (reason, "person"),
        "overseas_off" => (reason, "open_overseas"),
        "suspected_fraud" | "card_held" => (reason, "confirm"),
        "currency_not_supported" => (reason, "none"),
        _ => ("do_not_honour", "person"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Denied {
    card_id: String,
    transaction_id: Option<String>,
}

pub(super) fn deny(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let Denied { card_id, transaction_id } = read(params)?;
    let open = asked.card_named(Some(&card_id))?;
    if let Some(id) = &transaction_id
        && find(asked, customer, id).is_none_or(|(card, _)| card.card_id != open.card.card_id)
    {
        return Err(unknown());
    }
    let controls = asked.book.controls(customer, open.card);
    let frozen_at = controls.frozen_at.unwrap_or(asked.now);
    let before = controls.cases.get(&transaction_id).cloned();
    let case_no = before.clone().unwrap_or_else(|| {
        format!("F{}{:06}", asked.now.beijing().strftime("%Y%m%d"), asked.book.fraud_cases() + 1)
    });
    let result = json!({ "card": open.json(), "case_no": case_no, "frozen_at": rfc3339(frozen_at) });
    if before.is_some() && controls.frozen_at.is_some() {
        return Ok(Decision::read(Ok(result)));
    }
    let event = Event::CardFrozen {
        customer_id: customer.id.clone(),
        card_id: open.card.card_id.to_owned(),
        transaction_id,
        case_no,
        at: frozen_at,
    };
    Ok(Decision::done(event, result))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Confirmed {
    transaction_id: String,
}

pub(super) fn confirm(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let Confirmed { transaction_id } = read(params)?;
    let (card, entry) = find(asked, customer, &transaction_id).ok_or_else(unknown)?;
    let controls = asked.book.controls(customer, card);
    if controls.frozen_at.is_some() {
        return Err(frozen());
    }
    let result = |lifted: bool| {
        json!({
            "card": card_json(card),
            "merchant": entry.merchant,
            "amount": entry.original.unwrap_or(entry.amount),
            "lifted": lifted,
        })
    };
    let is_held = |held: &String| *held == transaction_id || entry.declined_for("card_held");
    let Some(held) = controls.held_for.as_ref().filter(|held| is_held(held)) else {
        return Ok(Decision::read(Ok(result(false))));
    };
    // A small one the bank lets go by its own decision.
    let size =
        find(asked, customer, held).map_or(0, |(_, entry)| asked.book.rules.in_yuan(entry.amount).minor());
    if size >= asked.book.rules.suspicion.ask_code_from() {
        by_code(asked)?;
    }
    let (customer_id, card_id) = (customer.id.clone(), card.card_id.to_owned());
    Ok(Decision::done(Event::HoldLifted { customer_id, card_id }, result(true)))
}

fn unknown() -> Refusal {
    Refusal::new("unknown_transaction", "没有找到这笔交易。")
}

fn find<'a>(asked: &'a Asked<'_>, customer: &'a Customer, id: &str) -> Option<(&'a Card, &'a Entry)> {
    customer.cards.iter().find_map(|card| {
        let mut entries = asked.book.moved(customer, card).iter().chain(&card.past);
        entries.find(|entry| entry.transaction_id == id).map(|entry| (card, entry))
    })
}
