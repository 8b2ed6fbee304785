//! What an agent should know at a glance: what the customer did here last, his latest transactions, and what the robot
//! would say.

use std::time::Duration;

use serde_json::Value;

use super::Desk;
use super::error::DeskError;
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::money::Money;
use crate::domain::transaction::Transaction;
use crate::staff::Session;
use crate::store::{Direction, Message};

/// Entries of the log that are looked through.
const ENTRIES_MAX: u32 = 60;
/// Services that are told.
const SERVICES_MAX: usize = 5;
/// Transactions that are told, those that are looked through for the one that the talk is about, and how old they may be.
const TRANSACTIONS_MAX: usize = 3;
const TRANSACTIONS_READ: usize = 20;
const TRANSACTIONS_SINCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// The robot, as a colleague who is asked for advice. It changes nothing.
pub trait Adviser: Send + Sync {
    /// The name of the service that a text or a menu key means; `None` where it is not sure.
    fn service_meant(&self, account: &AccountId, said: &Said<'_>) -> Option<String>;

    /// What it would offer for a text, the likeliest first. At most three.
    fn guesses(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: Option<&Binding>,
        text: &str,
    ) -> Vec<Guess>;
}

/// What a customer did.
pub enum Said<'a> {
    /// Wrote.
    Text(&'a str),
    /// Clicked a menu button with this key.
    Key(&'a str),
}

/// Something that could be said to the customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// The service's name.
    pub title: String,
    /// What the robot would say, where it need not ask the core first: as the customer would read it.
    pub text: Option<String>,
}

/// A transaction of the customer's.
#[derive(Debug)]
pub struct Told {
    /// It.
    pub transaction: Transaction,
    /// Whether the talk names it: it is what the customer was alerted to and answers, or asks about.
    pub is_spoken_of: bool,
}

/// What is known beside the talk.
#[derive(Debug, Default)]
pub struct About {
    /// Names of services, the newest first.
    pub services: Vec<String>,
    /// The customer's transactions: those that the talk names, then his latest, the newest first.
    pub transactions: Vec<Told>,
    /// What the robot would say to his last words.
    pub guesses: Vec<Guess>,
}

impl Desk {
    /// From now on agents are advised.
    #[must_use]
    pub fn advised_by(mut self, adviser: std::sync::Arc<dyn Adviser>) -> Self {
        self.adviser = Some(adviser);
        self
    }

    /// What is known beside the talk, for whoever may see the case.
    ///
    /// # Errors
    /// [`DeskError::NoSuchCase`] also when it is not the reader's to see.
    pub async fn about(&self, session: &Session, case_id: &str) -> Result<About, DeskError> {
        let case = self.readable(session, case_id).await?;
        let mut about = About::default();
        let binding = self.store.binding(&case.account, case.follower).await?;
        let log = self.store.messages_before(&case.account, case.follower, i64::MAX, ENTRIES_MAX).await?;
        if let Some(binding) = &binding {
            let since = self.now() - TRANSACTIONS_SINCE;
            let read = self.store.recent_transactions(&binding.customer, since, TRANSACTIONS_READ).await?;
            let read = read.iter().filter_map(|json| serde_json::from_slice(json).ok()).collect();
            about.transactions = told(read, &log);
        }
        let Some(adviser) = &self.adviser else { return Ok(about) };
        let mut words = None;
        for entry in log.iter().rev().filter(|entry| entry.direction == Direction::In) {
            let content: Value = serde_json::from_str(entry.content.reveal()).unwrap_or_default();
            let text = content["text"].as_str().unwrap_or_default();
            let said = match content["kind"].as_str() {
                Some("text" | "voice") => Said::Text(text),
                Some("click") => Said::Key(text),
                _ => continue,
            };
            if words.is_none() && matches!(said, Said::Text(text) if !text.is_empty()) {
                words = Some(text.to_owned());
            }
            let meant = adviser.service_meant(&case.account, &said);
            if let Some(name) = meant.filter(|name| !about.services.contains(name)) {
                about.services.push(name);
            }
            if about.services.len() == SERVICES_MAX {
                break;
            }
        }
        if let Some(words) = words {
            about.guesses = adviser.guesses(&case.account, case.follower, binding.as_ref(), &words);
        }
        Ok(about)
    }
}

/// Those that the log names come first; of the others the latest.
fn told(read: Vec<Transaction>, log: &[Message]) -> Vec<Told> {
    let texts: Vec<String> = log
        .iter()
        .filter_map(|entry| {
            let content: Value = serde_json::from_str(entry.content.reveal()).ok()?;
            content["text"].as_str().map(str::to_owned)
        })
        .collect();
    let looked = read.into_iter().map(|transaction| Told {
        is_spoken_of: texts.iter().any(|text| names(text, &transaction)),
        transaction,
    });
    let (mut told, others): (Vec<Told>, Vec<Told>) = looked.partition(|one| one.is_spoken_of);
    told.extend(others);
    told.truncate(TRANSACTIONS_MAX);
    told
}

/// Whether a text names a transaction as we write it: its amount, and how its merchant's name begins.
fn names(text: &str, transaction: &Transaction) -> bool {
    const BEGINNING_CHARS: usize = 6;
    let Some(amount) = transaction.amount.money().map(Money::display) else { return false };
    let Some(merchant) = &transaction.merchant else { return false };
    let beginning: String = merchant.name.chars().take(BEGINNING_CHARS).collect();
    !beginning.is_empty() && text.contains(&amount) && text.contains(&beginning)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn transaction(merchant: Option<&str>, value: &str) -> Transaction {
        let item = json!({
            "transaction_id": "T1", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
            "amount": { "value": value, "currency": "CNY" },
            "merchant": merchant.map(|name| json!({ "name": name })),
            "channel": "pos", "occurred_ms": 1,
        });
        serde_json::from_value(item).unwrap()
    }

    #[test]
    fn a_talk_names_a_transaction_by_amount_and_merchant_together() {
        let text = "已登记为非本人交易。涉及交易：星河数码城中… ¥1,666.00。";
        assert!(names(text, &transaction(Some("星河数码城中关村店"), "1666.00")));
        assert!(!names(text, &transaction(Some("星河数码城中关村店"), "666.00")));
        assert!(!names(text, &transaction(Some("星河超市"), "1666.00")));
        assert!(!names(text, &transaction(None, "1666.00")));
        assert!(!names(text, &transaction(Some("星河数码城"), "not money")));
    }
}
