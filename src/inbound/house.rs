//! Operations of the house whose answer lies in the database: asked for like the core, between two decisions.

use std::time::Duration;

use serde_json::{Value, json};

use super::Inbound;
use super::decide::Question;
use super::scene::Loaded;
use crate::dialogue::{Ask, AskError, Dialogue};
use crate::domain::binding::Binding;
use crate::store::StoreError;

/// An older transaction is no moment any more that an offer could fit.
const MOMENT_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

impl Inbound {
    /// Answers an operation of the house. A name that no room owns is a fault of ours, and told as one.
    pub(super) async fn ask_house(
        &self,
        question: &Question<'_>,
        loaded: &Loaded,
        ask: &Ask,
    ) -> Result<Value, AskError> {
        let down = |error: StoreError| {
            tracing::warn!(%error, operation = ask.operation, retry = "when the customer asks again",
                "the database gave no answer; the customer was told of a disturbance");
            AskError::Down
        };
        let transactions = match (ask.operation.as_str(), &loaded.binding) {
            ("offers", Some(binding)) => return self.offers(question, binding).await.map_err(down),
            ("offers", None) => return Ok(json!({ "opted_in": false, "offers": [] })),
            ("alert_history", Some(binding)) => {
                return self.rooms.alerts.history_value(binding).await.map_err(down);
            }
            ("alert_volume", Some(binding)) => {
                return self.rooms.alerts.volume_value(binding, &ask.params).await.map_err(down);
            }
            (_, Some(binding)) => {
                let since = self.rooms.clock.now() - Dialogue::LOOK_BACK;
                self.rooms.alerts.recent(&binding.customer, since).await.map_err(down)?
            }
            (_, None) => Vec::new(),
        };
        Dialogue::look_up(loaded.binding.as_ref(), &ask.operation, &ask.params, &transactions)
    }

    /// What fits the customer's last transaction.
    async fn offers(&self, question: &Question<'_>, binding: &Binding) -> Result<Value, StoreError> {
        let (account, follower) = (&question.account.id, question.follower);
        let opted_in = self.rooms.marketing.has_opted_in(account, follower).await?;
        let since = self.rooms.clock.now() - MOMENT_MAX;
        let last = match opted_in {
            true => self.rooms.alerts.last_surroundings(&binding.customer, since).await?,
            false => None,
        };
        let Some(last) = last else { return Ok(json!({ "opted_in": opted_in, "offers": [] })) };
        let card = binding.cards.iter().find(|card| card.tail == last.transaction.card_last4);
        let occasion = last.occasion(card.map(|card| card.product.as_str()));
        let offers =
            self.rooms.marketing.show_offers_for(account, follower, &binding.customer, &occasion).await?;
        let offers: Vec<Value> = offers
            .iter()
            .map(|offer| json!({ "title": offer.title, "text": offer.text, "url": offer.url }))
            .collect();
        Ok(json!({ "opted_in": true, "offers": offers }))
    }
}
