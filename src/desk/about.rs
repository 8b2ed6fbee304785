//! What an agent should know at a glance: what the customer did here last, his latest transactions, and what the robot
//! would say.

use std::time::Duration;

use serde_json::Value;

use super::Desk;
use super::error::DeskError;
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::transaction::Transaction;
use crate::staff::Session;
use crate::store::Direction;

/// Entries of the log that are looked through.
const ENTRIES_MAX: u32 = 60;
/// Services that are told.
const SERVICES_MAX: usize = 5;
/// Transactions that are told, and how old they may be.
const TRANSACTIONS_MAX: usize = 3;
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

/// What is known beside the talk.
#[derive(Debug, Default)]
pub struct About {
    /// Names of services, the newest first.
    pub services: Vec<String>,
    /// The customer's latest transactions, the newest first.
    pub transactions: Vec<Transaction>,
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
        if let Some(binding) = &binding {
            let since = self.now() - TRANSACTIONS_SINCE;
            let told = self.store.recent_transactions(&binding.customer, since, TRANSACTIONS_MAX).await?;
            about.transactions = told.iter().filter_map(|json| serde_json::from_slice(json).ok()).collect();
        }
        let Some(adviser) = &self.adviser else { return Ok(about) };
        let log = self.store.messages_before(&case.account, case.follower, i64::MAX, ENTRIES_MAX).await?;
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
