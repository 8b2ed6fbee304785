//! Bindings that a bank brings along when it moves in.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::json;

use super::Identity;
use crate::domain::alert_settings::AlertSettings;
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::Card;
use crate::domain::ids::{CustomerId, Openid};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::store::{Commit, CommitError, Conflict, StoreError};

/// Cards of one binding.
const CARDS_MAX: usize = 20;
/// Longest `card_id`, in bytes.
const CARD_ID_BYTES_MAX: usize = 64;
/// Longest product name, in characters.
const PRODUCT_CHARS_MAX: usize = 20;

/// One binding that the bank has already.
#[derive(Clone, Debug)]
pub struct ImportItem {
    /// The configured id of the account.
    pub account: String,
    /// The follower as WeChat names him there.
    pub openid: Openid,
    /// The bank's reference of the customer.
    pub customer: CustomerId,
    /// His cards; the first is the one that answers use.
    pub cards: Vec<Card>,
    /// When he bound.
    pub bound: UnixMs,
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportOutcome {
    /// It is durable.
    Accepted,
    /// The follower is bound already; nothing changed.
    Duplicate,
    /// It cannot be used, for this reason.
    Rejected(&'static str),
}

impl Identity {
    /// Takes bindings in; idempotent by (account, openid). An outcome for each item, in their order; the items of one
    /// follower in one list are taken in any order.
    ///
    /// # Errors
    /// When the database fails; items before that may stand, and are duplicates when they come again.
    pub async fn import(&self, items: Vec<ImportItem>) -> Result<Vec<ImportOutcome>, StoreError> {
        join_all(items.into_iter().map(|item| self.import_one(item))).await.into_iter().collect()
    }

    async fn import_one(&self, item: ImportItem) -> Result<ImportOutcome, StoreError> {
        let Some(account) = self.config.account(&item.account) else {
            return Ok(ImportOutcome::Rejected("account is not configured"));
        };
        let default_card = match fault(&item.cards) {
            Err(reason) => return Ok(ImportOutcome::Rejected(reason)),
            Ok(first) => first.card_id.clone(),
        };
        let follower = self.store.follower_key(&account.app_id, &item.openid);
        let binding = Binding {
            customer: item.customer,
            name_masked: Personal::new(""),
            cards: item.cards,
            default_card,
            alerts: true,
            hide_amounts: false,
            settings: AlertSettings::default(),
            bound: item.bound,
            source: BindingSource::Import,
        };
        let mut commit = Commit::new(follower.part());
        commit.push(self.store.join_hold(&account.id, &binding.customer));
        commit.push(self.store.add_binding(&account.id, follower, &binding)?);
        commit.push(self.store.upsert_follower(&account.id, follower, &item.openid, true, self.now())?);
        commit.push(self.store.audit("bank", "import", &account.id, Some(follower), None)?);
        let data = json!({ "source": "import", "cards": binding.cards.len(), "alerts": true, "amounts_hidden": false });
        commit.extend(self.announce.event("bound", &account.id, Some(&binding.customer), data)?);
        match self.store.commit(commit).await {
            Ok(()) => {
                self.announce.wake(follower.part());
                Ok(ImportOutcome::Accepted)
            }
            Err(CommitError::Conflict(Conflict::Duplicate)) => Ok(ImportOutcome::Duplicate),
            Err(CommitError::Conflict(_)) => {
                Ok(ImportOutcome::Rejected("changed at the same moment; send it again"))
            }
            Err(CommitError::Store(error)) => Err(error),
        }
    }
}

fn fault(cards: &[Card]) -> Result<&Card, &'static str> {
    if cards.len() > CARDS_MAX {
        return Err("cards has more than 20 members");
    }
    let mut ids = BTreeSet::new();
    for card in cards {
        let id = &card.card_id;
        if id.is_empty() || id.len() > CARD_ID_BYTES_MAX || id.chars().any(char::is_control) {
            return Err("card_id is 1 to 64 bytes without control characters");
        }
        let product = &card.product;
        if product.chars().count() > PRODUCT_CHARS_MAX || product.chars().any(char::is_control) {
            return Err("product is at most 20 characters without control characters");
        }
        if !ids.insert(id) {
            return Err("card_id occurs twice");
        }
    }
    cards.first().ok_or("cards is empty")
}
