//! The tie between a follower and a customer of the bank.

use super::alert_settings::{AlertChange, AlertSettings, CardAlerts};
use super::card::{Card, CardTail};
use super::ids::CustomerId;
use super::money::Money;
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
    /// Whether spend alerts are on, for cards without a setting of their own.
    pub alerts: bool,
    /// Whether alerts leave the amount out, for cards without a setting of their own.
    pub hide_amounts: bool,
    /// What he settled beyond that.
    pub settings: AlertSettings,
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

    /// The product of the card with this tail.
    #[must_use]
    pub fn product_of(&self, tail: &CardTail) -> Option<&str> {
        self.cards.iter().find(|card| card.tail == *tail).map(|card| card.product.as_str())
    }

    /// The settings that hold for one of the cards.
    #[must_use]
    pub fn alerts_of(&self, card_id: &str) -> CardAlerts {
        let own = self.settings.cards.get(card_id).cloned().unwrap_or_default();
        CardAlerts {
            on: own.on.unwrap_or(self.alerts),
            hide_amounts: own.hide_amounts.unwrap_or(self.hide_amounts),
            threshold_fen: own.threshold_fen.unwrap_or(self.settings.threshold_fen),
        }
    }

    /// Below how many fen nothing is told, where that is the same for every card.
    #[must_use]
    pub fn threshold_of_all(&self) -> Option<i64> {
        let mut all = self.cards.iter().map(|card| self.alerts_of(&card.card_id).threshold_fen);
        let first = all.next()?;
        all.all(|other| other == first).then_some(first)
    }

    /// The settings that hold for a tail, which is all that the bank names. Those for every card where no card has it
    /// or none is named; where two cards have it, more is told and less is shown.
    #[must_use]
    pub fn alerts_of_tail(&self, tail: Option<&CardTail>) -> CardAlerts {
        let cards = self.cards.iter().filter(|card| Some(&card.tail) == tail);
        let settings = cards.map(|card| self.alerts_of(&card.card_id));
        let both = |a: CardAlerts, b: CardAlerts| CardAlerts {
            on: a.on || b.on,
            hide_amounts: a.hide_amounts || b.hide_amounts,
            threshold_fen: a.threshold_fen.min(b.threshold_fen),
        };
        settings.reduce(both).unwrap_or_else(|| self.alerts_of(""))
    }

    /// Whether any of his cards is told of.
    #[must_use]
    pub fn any_alerts(&self) -> bool {
        self.cards.iter().any(|card| self.alerts_of(&card.card_id).on)
    }

    /// Whether a change silences more than the bank lets pass without a one-time code: a card that was told of, or what
    /// costs more than the ceiling. A thief would do that first.
    #[must_use]
    pub fn is_silenced_by(&self, change: &AlertChange, ceiling: Money) -> bool {
        let changed = self.with(change);
        let every = self.cards.iter().map(|card| card.card_id.as_str()).chain([""]);
        every.map(|id| (self.alerts_of(id), changed.alerts_of(id))).any(|(before, after)| {
            (before.on && !after.on) || after.threshold_fen > before.threshold_fen.max(ceiling.minor())
        })
    }

    /// The binding with a change made. A change of a card that is not his changes nothing.
    #[must_use]
    pub fn with(&self, change: &AlertChange) -> Self {
        let mut changed = self.clone();
        let settings = &mut changed.settings;
        if let Some(quiet) = change.quiet {
            settings.quiet = quiet;
        }
        // Of his only card means of every card: one that he gets later is told of in the same way.
        let single = change.card_id.as_ref().filter(|_| self.cards.len() > 1);
        let Some(card_id) = single else {
            let is_his = |id: &String| self.cards.iter().any(|card| card.card_id == *id);
            if change.card_id.as_ref().is_some_and(|id| !is_his(id)) {
                return changed;
            }
            changed.alerts = change.on.unwrap_or(changed.alerts);
            changed.hide_amounts = change.hide_amounts.unwrap_or(changed.hide_amounts);
            settings.threshold_fen = change.threshold_fen.unwrap_or(settings.threshold_fen);
            for own in settings.cards.values_mut() {
                own.on = own.on.filter(|_| change.on.is_none());
                own.hide_amounts = own.hide_amounts.filter(|_| change.hide_amounts.is_none());
                own.threshold_fen = own.threshold_fen.filter(|_| change.threshold_fen.is_none());
            }
            return changed;
        };
        if self.cards.iter().any(|card| card.card_id == *card_id) {
            let own = settings.cards.entry(card_id.clone()).or_default();
            own.on = change.on.or(own.on);
            own.hide_amounts = change.hide_amounts.or(own.hide_amounts);
            own.threshold_fen = change.threshold_fen.or(own.threshold_fen);
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(cards: &[(&str, &str)]) -> Binding {
        let card = |(id, tail): &(&str, &str)| Card {
            card_id: (*id).to_owned(),
            tail: CardTail::parse(tail).unwrap(),
            product: "金卡".to_owned(),
        };
        Binding {
            customer: CustomerId::parse("C1").unwrap(),
            name_masked: Personal::new(""),
            cards: cards.iter().map(card).collect(),
            default_card: "K1".to_owned(),
            alerts: true,
            hide_amounts: false,
            settings: AlertSettings::default(),
            bound: UnixMs(0),
            source: BindingSource::Page,
        }
    }

    fn of(card_id: Option<&str>, on: Option<bool>, threshold_fen: Option<i64>) -> AlertChange {
        AlertChange { card_id: card_id.map(str::to_owned), on, threshold_fen, ..AlertChange::default() }
    }

    #[test]
    fn a_card_keeps_its_own_until_every_card_is_settled() {
        let two = binding(&[("K1", "1234"), ("K2", "5678")]);
        let changed = two.with(&of(Some("K2"), Some(false), Some(10_000)));
        assert!(changed.alerts_of("K1").on && !changed.alerts_of("K2").on);
        assert_eq!(
            (changed.alerts_of("K1").threshold_fen, changed.alerts_of("K2").threshold_fen),
            (0, 10_000)
        );
        let all = changed.with(&of(None, Some(true), None));
        assert_eq!((all.alerts_of("K2").on, all.alerts_of("K2").threshold_fen), (true, 10_000));
        assert_eq!(two.with(&of(Some("K9"), Some(false), None)), two, "not his card");
    }

    #[test]
    fn what_silences_a_card_or_more_than_the_ceiling_is_told_apart() {
        let two = binding(&[("K1", "1234"), ("K2", "5678")]);
        let ceiling = Money::of_fen(50_000);
        // Every card is told from 1000 yuan on, but K2 from the first fen.
        let raised = two.with(&of(None, None, Some(100_000))).with(&of(Some("K2"), None, Some(0)));
        for (before, change, expected) in [
            (&two, of(None, None, Some(50_000)), false),
            (&two, of(None, None, Some(50_001)), true),
            (&two, of(Some("K2"), None, Some(50_001)), true),
            (&two, of(Some("K9"), None, Some(50_001)), false),
            (&two, of(Some("K1"), Some(false), None), true),
            (&two, of(Some("K1"), Some(true), None), false),
            (&raised, of(Some("K1"), None, Some(100_000)), false),
            (&raised, of(None, None, Some(100_000)), true),
            (&raised, of(None, None, Some(60_000)), true),
            (&raised.with(&of(None, Some(false), None)), of(None, Some(false), None), false),
        ] {
            assert_eq!(before.is_silenced_by(&change, ceiling), expected, "{change:?}");
        }
    }

    #[test]
    fn his_only_card_means_every_card_and_an_unknown_tail_is_as_every_card() {
        let one = binding(&[("K1", "1234")]).with(&of(Some("K1"), Some(false), Some(500)));
        assert_eq!((one.alerts, one.settings.threshold_fen), (false, 500));
        let tail = CardTail::parse("9999").unwrap();
        assert_eq!(one.alerts_of_tail(Some(&tail)), one.alerts_of("K1"));
        assert!(!one.any_alerts());
    }

    #[test]
    fn two_cards_of_one_tail_are_told_of_as_the_one_that_tells_more_and_shows_less() {
        let mut twins =
            binding(&[("K1", "1234"), ("K2", "1234")]).with(&of(Some("K1"), Some(false), Some(900)));
        twins.settings.cards.entry("K2".to_owned()).or_default().hide_amounts = Some(true);
        let tail = CardTail::parse("1234").unwrap();
        let both = twins.alerts_of_tail(Some(&tail));
        assert_eq!(both, CardAlerts { on: true, hide_amounts: true, threshold_fen: 0 });
    }
}
