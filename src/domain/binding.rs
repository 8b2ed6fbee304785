//! The tie between a follower and a customer of the bank.

use super::card::Card;
use super::ids::CustomerId;
use super::secret::Personal;
use super::time::UnixMs;

/// How a binding came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindingSource {
    /// The customer proved himself on the H5 page.
    Page,
    /// The bank brought it along (`POST /api/v1/bindings`).
    Import,
}

/// A follower's binding. At least one card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The bank's reference.
    pub customer: CustomerId,
    /// `张*`; empty for an imported binding.
    pub name_masked: Personal,
    /// Cards, in the core's order.
    pub cards: Vec<Card>,
    /// The card that answers use: a `card_id` of `cards`.
    pub default_card: String,
    /// Whether spend alerts are on.
    pub alerts: bool,
    /// Whether alerts leave the amount out.
    pub hide_amounts: bool,
    /// When it was made.
    pub bound: UnixMs,
    /// How it was made.
    pub source: BindingSource,
}

impl Binding {
    /// The card that answers use.
    #[must_use]
    pub fn card(&self) -> Option<&Card> {
        self.cards.iter().find(|card| card.card_id == self.default_card).or_else(|| self.cards.first())
    }
}
