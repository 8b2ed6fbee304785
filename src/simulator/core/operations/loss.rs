//! Cards that are lost, and found again.

use jiff::ToSpan as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, read};
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::transaction::rfc3339;

/// Days that a loss stands which was reported without a one-time code.
const LOSS_DAYS: i64 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    card_id: String,
}

/// Stops a card at once. A second report changes nothing.
pub(super) fn report(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let Named { card_id } = read(params)?;
    let open = asked.card_named(Some(&card_id))?;
    let before = asked.book.controls(customer, open.card).lost_at;
    let at = before.unwrap_or(asked.now);
    let result = json!({
        "card": open.json(),
        "reported_at": rfc3339(at),
        "until": at.beijing().date().saturating_add(LOSS_DAYS.days()),
        "already": before.is_some(),
    });
    if before.is_some() {
        return Ok(Decision::read(Ok(result)));
    }
    Ok(Decision::done(Event::CardLost { customer_id: customer.id.clone(), card_id, at: Some(at) }, result))
}

/// Lets a card be used again that was found.
pub(super) fn cancel(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let Named { card_id } = read(params)?;
    let open = asked.card_named(Some(&card_id))?;
    if asked.book.controls(customer, open.card).lost_at.is_none() {
        return Err(Refusal::new("not_lost", "这张卡没有挂失。"));
    }
    super::pin::proved(asked)?;
    let result = json!({ "card": open.json(), "restored_at": rfc3339(asked.now) });
    Ok(Decision::done(Event::CardLost { customer_id: customer.id.clone(), card_id, at: None }, result))
}
