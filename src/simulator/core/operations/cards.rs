//! A card's lock and its use abroad.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::proofs::by_code;
use super::{Asked, Decision, OfCard, OpenCard, read};
use crate::simulator::core::controls::LockPart;
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::transaction::rfc3339;

/// How long use abroad is let where the call names no hours.
const OVERSEAS_HOURS: u64 = 24;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    card_id: String,
}

fn named<'a>(asked: &'a Asked<'_>, params: Value) -> Result<OpenCard<'a>, Refusal> {
    asked.customer()?;
    let Named { card_id } = read(params)?;
    asked.card_named(Some(&card_id))
}

fn key(open: &OpenCard<'_>) -> (String, String) {
    (open.customer.id.clone(), open.card.card_id.to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    card_id: String,
    #[serde(default)]
    part: LockPart,
}

/// Locks a card, or a part of what it can do. Who locked all of it has locked every part.
pub(super) fn lock(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let Lock { card_id, part } = read(params)?;
    let open = asked.card_named(Some(&card_id))?;
    let locked = &asked.book.controls(open.customer, open.card).locked;
    let before = locked.get(&part).or(locked.get(&LockPart::All));
    let locked_at = before.copied().unwrap_or(asked.now);
    let result = json!({
        "card": open.json(), "locked_at": rfc3339(locked_at), "already": before.is_some(),
        "hours": asked.book.rules.lock.hours(),
    });
    if before.is_some() {
        return Ok(Decision::read(Ok(result)));
    }
    let (customer_id, card_id) = key(&open);
    Ok(Decision::done(Event::CardLocked { customer_id, card_id, at: asked.now, part }, result))
}

pub(super) fn unlock(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let open = named(asked, params)?;
    let controls = asked.book.controls(open.customer, open.card);
    if controls.frozen_at.is_some() {
        return Err(frozen());
    }
    let Some(locked_at) = controls.locked.values().min().copied() else {
        return Err(Refusal::new("not_locked", "这张卡没有锁定。"));
    };
    by_code(asked)?;
    let moved = asked.book.moved(open.customer, open.card).iter();
    let blocked = moved.filter(|entry| entry.at >= locked_at && entry.declined_for("card_locked")).count();
    let result = json!({ "card": open.json(), "unlocked_at": rfc3339(asked.now), "blocked": blocked });
    let (customer_id, card_id) = key(&open);
    Ok(Decision::done(Event::CardUnlocked { customer_id, card_id, at: asked.now }, result))
}

pub(super) fn frozen() -> Refusal {
    Refusal::new("frozen", "这张卡因正在核实非本人交易已冻结，需要人工处理。")
}

pub(super) fn overseas(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    asked.customer()?;
    let OfCard { card_id } = read(params)?;
    let open = asked.card_named(card_id.as_deref())?;
    let (on, until) = asked.book.controls(open.customer, open.card).overseas(open.card, asked.now);
    Ok(json!({ "card": open.json(), "on": on, "until": until.map(rfc3339) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    card_id: String,
    on: String,
    hours: Option<String>,
}

pub(super) fn switch_overseas(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let Switch { card_id, on, hours } = read(params)?;
    let open = asked.card_named(Some(&card_id))?;
    let on = on == "true";
    if on {
        by_code(asked)?;
    }
    let hours = hours.and_then(|hours| hours.parse().ok()).unwrap_or(OVERSEAS_HOURS);
    let until = on.then(|| asked.now + Duration::from_secs(hours * 3600));
    let result = json!({ "card": open.json(), "on": on, "until": until.map(rfc3339) });
    let (customer_id, card_id) = key(&open);
    Ok(Decision::done(Event::OverseasSet { customer_id, card_id, until }, result))
}
