//! Offers for those who asked for them: the choice, the caps, the hold-out group. Shown on the page of a purchase and in
//! the answer to who asks; this room has no way to send anything.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::json;

use crate::clock::SharedClock;
use crate::content::{Content, Fault};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::occasions::{Audience, Chosen, Occasion, Offer, Offers, Shown};
use crate::outbound::Outbound;
use crate::store::{Commit, CommitError, MarketingChoice, ShownOffer, Store, StoreError, Write};

/// What was shown is remembered this long: the longest time over which a cap counts.
const SHOWN_REMEMBERED: Duration = Duration::from_secs(400 * 24 * 3600);

/// Who wants offers, and what fits him now.
pub struct Marketing {
    store: Store,
    outbound: Arc<Outbound>,
    offers: ArcSwap<Offers>,
    clock: SharedClock,
}

impl Marketing {
    /// Reads the offers from the content.
    ///
    /// # Errors
    /// Every fault of `templates/marketing/`.
    pub fn new(
        store: Store,
        outbound: Arc<Outbound>,
        content: &Content,
        clock: SharedClock,
    ) -> Result<Self, Vec<Fault>> {
        Ok(Self { store, outbound, offers: ArcSwap::from_pointee(Offers::load(content)?), clock })
    }

    /// From now on these offers hold.
    pub fn set_offers(&self, offers: Offers) {
        self.offers.store(Arc::new(offers));
    }

    /// Whether a follower asked for offers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_opted_in(&self, account: &AccountId, follower: FollowerKey) -> Result<bool, StoreError> {
        let choice = self.store.marketing_choice(account, follower).await?;
        Ok(choice.is_some_and(|choice| choice.opted_in))
    }

    /// A follower's word on offers, effective with its commit: the row, the audit line, and the event
    /// `marketing_changed`, so that the bank keeps to it in every other channel, too.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn choice_writes(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        customer: Option<&CustomerId>,
        opted_in: bool,
    ) -> Result<Vec<Write>, StoreError> {
        let version = self.offers.load().consent_version().to_owned();
        let data = json!({ "opted_in": opted_in, "version": version });
        let choice = MarketingChoice { opted_in, version, changed: self.clock.now() };
        let detail = data.to_string();
        let mut writes = vec![
            self.store.choose_marketing(account, follower, &choice),
            self.store.audit("customer", "marketing", account, Some(follower), Some(&detail))?,
        ];
        writes.extend(self.outbound.event("marketing_changed", account, customer, data)?);
        Ok(writes)
    }

    /// What fits the moment of a follower's transaction, noted as shown. Nothing for who did not ask for offers.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn show_offers_for(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        customer: &CustomerId,
        occasion: &Occasion<'_>,
    ) -> Result<Vec<Offer>, StoreError> {
        if !self.has_opted_in(account, follower).await? {
            return Ok(Vec::new());
        }
        let now = self.clock.now();
        let shown: Vec<Shown> = self
            .store
            .offers_shown(account, follower)
            .await?
            .into_iter()
            .map(|shown| Shown { offer: shown.offer, at: shown.at })
            .collect();
        let audience =
            Audience { opted_in: true, shown: &shown, lot: &|offer| self.lot(offer, customer), now };
        let Chosen { offers, held_out } = self.offers.load().offers_for(occasion, &audience);
        for (outcome, count) in [("shown", offers.len()), ("held_out", held_out.len())] {
            metrics::counter!("weikefu_offers_total", "outcome" => outcome)
                .increment(u64::try_from(count).unwrap_or(0));
        }
        let day = now.beijing().date().to_string();
        let mut commit = Commit::new(follower.part());
        for offer in &offers {
            let shown = ShownOffer { offer: offer.id.clone(), day: day.clone(), at: now };
            commit.push(self.store.show_offer(account, follower, &shown));
        }
        commit.push(self.store.sweep_offers(now - SHOWN_REMEMBERED));
        match self.store.commit(commit).await {
            Ok(()) => Ok(offers),
            // What cannot be counted is not shown: caps hold.
            Err(CommitError::Store(error)) => Err(error),
            Err(CommitError::Conflict(_)) => Ok(Vec::new()),
        }
    }

    /// A customer's lot for an offer, 0 to 99: his for ever, and nobody can compute it without the key.
    fn lot(&self, offer: &str, customer: &CustomerId) -> u8 {
        let parts: [&[u8]; 2] = [offer.as_bytes(), customer.reveal().as_bytes()];
        let hash = self.store.vault().keyed_hash("hold_out", &parts);
        let number = u64::from_be_bytes(hash.first_chunk().copied().unwrap_or_default());
        u8::try_from(number % 100).unwrap_or(0)
    }
}
