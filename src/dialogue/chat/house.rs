//! What the house itself knows in a conversation: the purchases that it told of, and whether offers are wanted.

use serde_json::{Value, json};

use crate::domain::binding::Binding;
use crate::domain::money::Money;
use crate::domain::transaction::Transaction;

/// The answer of `house:alert_history`: every purchase that the conversation told of reached its customer.
pub(super) fn alert_history(transactions: &[Transaction], binding: &Binding) -> Value {
    let is_his =
        |transaction: &&Transaction| binding.cards.iter().any(|card| card.tail == transaction.card_last4);
    let notice = |transaction: &Transaction| {
        json!({
            "at": transaction.occurred_ms.beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "title": transaction.kind.title(),
            "last4": transaction.card_last4,
            "amount": transaction.amount,
            "merchant": transaction.merchant.as_ref().map(|merchant| &merchant.name),
            "state": "delivered",
            "words": "已送达",
        })
    };
    let notices: Vec<Value> = transactions.iter().filter(is_his).map(notice).collect();
    json!({ "count": notices.len(), "notices": notices, "remarks": [] })
}

/// The answer of `house:alert_volume`, likewise.
pub(super) fn alert_volume(transactions: &[Transaction], binding: &Binding, params: &Value) -> Value {
    let threshold = params["threshold"].as_str().and_then(|text| Money::parse(text, "CNY").ok());
    let wanted = params["card_id"].as_str().filter(|id| binding.cards.iter().any(|card| card.card_id == *id));
    let is_of = |transaction: &&Transaction| {
        let mut cards = binding.cards.iter().filter(|card| wanted.is_none_or(|id| card.card_id == id));
        cards.any(|card| card.tail == transaction.card_last4)
    };
    let is_below = |transaction: &&Transaction| {
        let amount = transaction.amount.money();
        amount.zip(threshold).is_some_and(|(amount, threshold)| amount.minor() < threshold.minor())
    };
    let told: Vec<&Transaction> = transactions.iter().filter(is_of).collect();
    let below = told.iter().copied().filter(is_below).count();
    let present = binding.threshold_of_all().map(Money::of_fen);
    let present = present.map(|money| json!({ "value": money.decimal(), "currency": "CNY" }));
    json!({ "told": told.len(), "below": below, "threshold": present })
}

/// The answer of `house:offers`: the offer of its example, for a purchase of somebody who wants offers.
pub(super) fn offers(example: &Value, wanted: bool, transactions: &[Transaction]) -> Value {
    let fits = wanted && !transactions.is_empty();
    let offers = if fits { example["offers"].clone() } else { json!([]) };
    json!({ "opted_in": wanted, "offers": offers })
}
