//! What it would cost to pay a purchase in parts.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, card_json, read};
use crate::simulator::core::amount::Amount;
use crate::simulator::core::events::Refusal;
use crate::simulator::core::people::Card;
use crate::simulator::core::rules::PlanRules;
use crate::simulator::core::transaction::{Entry, Kind};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    transaction_id: Option<String>,
}

pub(super) fn quote(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Wanted { transaction_id } = read(params)?;
    let rules = &asked.book.rules.instalment;
    let yuan = |entry: &Entry| asked.book.rules.in_yuan(entry.amount).minor();
    let all = customer.cards.iter().flat_map(|card| {
        let entries = asked.book.moved(customer, card).iter().chain(&card.past);
        entries.filter(|entry| entry.kind == Kind::Purchase).map(move |entry| (card, entry))
    });
    let found: Option<(&Card, &Entry)> = match &transaction_id {
        Some(id) => all.into_iter().find(|(_, entry)| entry.transaction_id == *id),
        None => all.filter(|(_, entry)| yuan(entry) >= rules.amount_min()).max_by_key(|(_, entry)| entry.at),
    };
    let Some((card, entry)) = found else {
        return Err(Refusal::new("no_purchase", "没有找到可以分期的消费。"));
    };
    let amount = yuan(entry);
    if amount < rules.amount_min() {
        let least = Amount::yuan(rules.amount_min()).money().display();
        return Err(Refusal::new("too_small", format!("单笔消费满{least}才可以分期。")));
    }
    let rate_max = rules.plans.iter().map(|plan| plan.annual_rate).max().unwrap_or(0);
    let quotes: Vec<Value> = rules.plans.iter().map(|plan| one(amount, plan)).collect();
    Ok(json!({
        "merchant": entry.merchant,
        "card": card_json(card),
        "amount": Amount::yuan(amount),
        "rate_max": percent(rate_max),
        "quotes": quotes,
    }))
}

/// Equal parts of the principal, and interest of each month on what was still owed; shown as equal payments.
fn one(amount: i64, plan: &PlanRules) -> Value {
    let owed_months = amount * (plan.periods + 1) / 2;
    let interest = (owed_months * plan.annual_rate).div_euclid(12 * 10_000);
    let each = (amount + interest + plan.periods - 1) / plan.periods;
    json!({
        "periods": plan.periods,
        "each": Amount::yuan(each),
        "interest": Amount::yuan(interest),
        "annual_rate": percent(plan.annual_rate),
    })
}

fn percent(hundredths: i64) -> String {
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}
