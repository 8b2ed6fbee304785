//! Bindings as the other rooms use them.

use serde_json::{Value, json};

use super::{ATTEMPTS_MAX, Identity, IdentityError};
use crate::domain::alert_settings::{AlertChange, QuietHours};
use crate::domain::binding::Binding;
use crate::domain::card::Card;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey, Openid};
use crate::domain::money::Money;
use crate::domain::verdict::{State, Verdict};
use crate::store::{Commit, CommitError, Conflict, StoreError, Write};

/// Why a binding ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnbindReason {
    /// The customer asked for it.
    Customer,
    /// The customer bound from another follower.
    Replaced,
    /// The follower bound another customer.
    Rebound,
    /// The follower left.
    Unfollowed,
    /// The bank erased it.
    Erased,
}

impl UnbindReason {
    /// The word in the event and in the audit trail.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Customer => "customer",
            Self::Replaced => "replaced",
            Self::Rebound => "rebound",
            Self::Unfollowed => "unfollowed",
            Self::Erased => "erased",
        }
    }

    fn actor(self) -> &'static str {
        match self {
            Self::Erased => "bank",
            _ => "customer",
        }
    }
}

impl Identity {
    /// The binding of a follower.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn binding(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<Binding>, StoreError> {
        self.store.binding(account, follower).await
    }

    /// Everyone who is bound to a customer, in every account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn followers_of(
        &self,
        customer: &CustomerId,
    ) -> Result<Vec<(AccountId, FollowerKey, Binding)>, StoreError> {
        self.store.bindings_of(customer).await
    }

    /// Ends a binding: the row, the audit line, the event `unbound`.
    /// The commit meets [`Conflict::Stale`] when the binding is another by then.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn unbind_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        why: UnbindReason,
    ) -> Result<Vec<Write>, StoreError> {
        let mut writes = vec![
            self.store.delete_binding(account, follower, &binding.customer),
            self.store.audit(why.actor(), "unbind", account, Some(follower), Some(why.name()))?,
        ];
        let data = json!({ "reason": why.name() });
        writes.extend(self.announce.event("unbound", account, Some(&binding.customer), data)?);
        Ok(writes)
    }

    /// Changes the card that answers use. `card_id` is one of the binding's cards.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn default_card_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        card_id: &str,
    ) -> Result<Vec<Write>, StoreError> {
        Ok(vec![
            self.store.set_default_card(account, follower, &binding.customer, card_id),
            self.store.audit("customer", "default_card", account, Some(follower), Some(card_id))?,
        ])
    }

    /// Takes over what the core says of the binding's cards.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn cards_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        cards: Vec<Card>,
    ) -> Result<Vec<Write>, StoreError> {
        let changed = Binding { cards, ..binding.clone() };
        let tails: Vec<&str> = changed.cards.iter().map(|card| card.tail.as_str()).collect();
        Ok(vec![
            self.store.save_cards(account, follower, &changed)?,
            self.store.audit("core", "cards", account, Some(follower), Some(&tails.join(" ")))?,
        ])
    }

    /// Changes the settings of alerts: the row, the audit line, the event `alerts_changed`.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn alerts_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        binding: &Binding,
        change: &AlertChange,
    ) -> Result<Vec<Write>, StoreError> {
        let changed = binding.with(change);
        let data = alerts_data(&changed);
        let mut writes = vec![
            self.store.save_alerts(account, follower, &changed)?,
            self.store.audit("customer", "alerts", account, Some(follower), Some(&data.to_string()))?,
        ];
        writes.extend(self.announce.event("alerts_changed", account, Some(&binding.customer), data)?);
        Ok(writes)
    }

    /// Ends everything that is known about a follower who left: binding, drafts, applications, sessions, the log,
    /// waiting questions, pushes in work, what waits to be sent to him, his openid. The caller empties the
    /// conversation that it saves in the same commit.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leave_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Vec<Write>, StoreError> {
        self.end_writes(account, follower, UnbindReason::Unfollowed).await
    }

    async fn end_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        why: UnbindReason,
    ) -> Result<Vec<Write>, StoreError> {
        let mut writes = Vec::new();
        if let Some(binding) = self.store.binding(account, follower).await? {
            writes.extend(self.unbind_writes(account, follower, &binding, why)?);
        }
        writes.extend(self.store.drop_pushes(account, follower));
        writes.extend(self.store.erase_marketing(account, follower));
        writes.push(self.store.erase_reviews(account, follower));
        // Whoever left is reached no more: the bank falls back. Who was erased has no binding any more.
        let dropped = match why {
            UnbindReason::Unfollowed => Verdict::new(State::Unreachable, "not_following"),
            _ => Verdict::new(State::Suppressed, "no_binding"),
        };
        writes.extend(self.store.drop_alerts_of(account, follower, &dropped));
        writes.extend([
            self.store.erase_drafts(account, follower),
            self.store.erase_applications(account, follower),
            self.store.erase_sessions(account, follower),
            self.store.erase_starts(account, follower),
            self.store.erase_resumes(account, follower),
            self.store.erase_step_up(account, follower),
            self.store.erase_owed_calls(account, follower),
            self.store.erase_consents(account, follower),
            self.store.erase_messages(account, follower),
            self.store.erase_media(account, follower),
            self.store.erase_follower(account, follower),
            self.store.audit(why.actor(), "erase", account, Some(follower), Some(why.name()))?,
        ]);
        Ok(writes)
    }

    /// Unbinds and erases in the bank's name. Doing it again changes nothing. `false`: no such account.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn erase(&self, account: &str, openid: &Openid) -> Result<bool, IdentityError> {
        let Some(account) = self.config.account(account) else { return Ok(false) };
        let follower = self.store.follower_key(&account.app_id, openid);
        let account = &account.id;
        for _ in 0..ATTEMPTS_MAX {
            let mut commit = Commit::new(follower.part());
            commit.extend(self.end_writes(account, follower, UnbindReason::Erased).await?);
            let mut conversation = self.store.conversation(account, follower).await?;
            if conversation.version > 0 {
                conversation.dialogue = None;
                conversation.say_next = None;
                conversation.open_turns = 0;
                commit.push(self.store.save_conversation(conversation)?);
            }
            match self.store.commit(commit).await {
                Ok(()) => {
                    self.announce.wake(follower.part());
                    return Ok(true);
                }
                Err(CommitError::Conflict(Conflict::Stale)) => {}
                Err(CommitError::Conflict(_)) => return Err(IdentityError::Contended),
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(IdentityError::Contended)
    }
}

/// The settings as the bank learns them.
fn alerts_data(binding: &Binding) -> Value {
    let cards: Vec<Value> = binding
        .cards
        .iter()
        .map(|card| {
            let alerts = binding.alerts_of(&card.card_id);
            json!({
                "last4": card.tail, "alerts": alerts.on, "amounts_hidden": alerts.hide_amounts,
                "threshold": Money::of_fen(alerts.threshold_fen).decimal(),
            })
        })
        .collect();
    json!({
        "alerts": binding.any_alerts(),
        "amounts_hidden": binding.hide_amounts,
        "cards": cards,
        "quiet_hours": binding.settings.quiet.map(QuietHours::name),
    })
}
