//! What a follower was told of lately, as the context of “不是我” and “是我”.

use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::binding::Binding;
use crate::domain::card::Card;
use crate::domain::transaction::{Transaction, TransactionType};

/// How far back an alert is context.
pub(super) const CONTEXT_MINUTES: u64 = 24 * 60;
/// Alerts that are told of at most.
const ALERTS_MAX: usize = 8;
/// Longest name of a merchant, in characters.
const MERCHANT_CHARS_MAX: usize = 40;
/// The reason of a purchase about which the bank waits for its holder's word.
const DOUBT: &str = "suspected_fraud";

/// The answer of `house:recent_alerts` out of the customer's transactions, the newest first. Those of cards that are
/// not bound here are nobody's business in this chat.
pub(super) fn recent(transactions: &[Transaction], binding: &Binding, params: &Value) -> Value {
    let minutes: Option<u64> = params["minutes"].as_str().and_then(|minutes| minutes.parse().ok());
    let newest = transactions.iter().find(|transaction| is_answered(transaction.kind));
    let since =
        newest.zip(minutes).map(|(newest, minutes)| newest.occurred_ms - Duration::from_secs(minutes * 60));
    let wanted = params["card_id"].as_str();
    let found: Vec<(&Card, &Transaction)> = transactions
        .iter()
        .filter(|transaction| {
            is_answered(transaction.kind) && since.is_none_or(|since| transaction.occurred_ms >= since)
        })
        .filter_map(|transaction| {
            let card = binding.cards.iter().find(|card| card.tail == transaction.card_last4)?;
            wanted.is_none_or(|wanted| wanted == card.card_id).then_some((card, transaction))
        })
        .take(ALERTS_MAX)
        .collect();
    let mut cards: Vec<&Card> = Vec::new();
    for (card, _) in &found {
        if !cards.iter().any(|known| known.card_id == card.card_id) {
            cards.push(card);
        }
    }
    let doubtful =
        |(_, transaction): &&(&Card, &Transaction)| transaction.decline_reason.as_deref() == Some(DOUBT);
    let mut last: Vec<&(&Card, &Transaction)> = found.iter().filter(doubtful).collect();
    if last.is_empty() {
        last.extend(found.first());
    }
    json!({
        "alerts": found.iter().map(row).collect::<Vec<_>>(),
        "cards": cards,
        "last": last.into_iter().map(row).collect::<Vec<_>>(),
    })
}

/// What one can have done oneself, or not.
fn is_answered(kind: TransactionType) -> bool {
    use TransactionType::{CashAdvance, Declined, Preauth, Purchase};
    matches!(kind, Purchase | CashAdvance | Preauth | Declined)
}

fn row((card, transaction): &(&Card, &Transaction)) -> Value {
    let merchant = transaction.merchant.as_ref().map_or("", |merchant| merchant.name.trim());
    let merchant = if merchant.is_empty() { transaction.kind.title() } else { merchant };
    json!({
        "transaction_id": transaction.transaction_id,
        "card": card,
        "merchant": merchant.chars().take(MERCHANT_CHARS_MAX).collect::<String>(),
        "amount": transaction.amount,
        "occurred_at": transaction.occurred_ms.beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "declined": transaction.kind == TransactionType::Declined,
    })
}
