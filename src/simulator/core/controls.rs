//! What stands between a card and its next purchase: its holder's lock, the bank's freeze or hold, use abroad.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::book::Book;
use super::people::{Card, Customer};
use super::rules::LockRules;
use super::swipe::Swipe;
use super::transaction::{Channel, Kind};
use crate::domain::money::Currency;
use crate::domain::time::UnixMs;

/// The controls of one card.
#[derive(Clone, Default)]
pub(super) struct Controls {
    /// What its holder has locked, and since when.
    pub(super) locked: BTreeMap<LockPart, UnixMs>,
    /// Since when it is frozen for a fraud case.
    pub(super) frozen_at: Option<UnixMs>,
    /// Since when its holder misses it.
    pub(super) lost_at: Option<UnixMs>,
    /// Whether it may be used at all; `None`: as it was issued.
    pub(super) active: Option<bool>,
    /// The suspicious purchase that put it on hold.
    pub(super) held_for: Option<String>,
    /// Whether it may be used abroad; `None`: as it was issued.
    pub(super) overseas: Option<Overseas>,
    /// Fraud cases by the purchase that was denied.
    pub(super) cases: BTreeMap<Option<String>, String>,
}

/// What a lock keeps from being bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LockPart {
    /// Anything.
    #[default]
    All,
    /// Anything on the net.
    Online,
    /// Anything at night.
    Night,
}

/// The switch for use abroad, once it was touched.
#[derive(Clone, Copy)]
pub(super) enum Overseas {
    Off,
    Until(UnixMs),
}

impl Controls {
    /// Its state, as the list of cards tells it.
    pub(super) fn status(&self, card: &Card) -> &'static str {
        match self {
            Self { lost_at: Some(_), .. } => "lost",
            inactive if !inactive.is_active(card) => "inactive",
            Self { frozen_at: Some(_), .. } => "frozen",
            Self { held_for: Some(_), .. } => "held",
            locked if locked.locked.contains_key(&LockPart::All) => "locked",
            _ => "active",
        }
    }

    /// Whether it may be used at all.
    pub(super) fn is_active(&self, card: &Card) -> bool {
        self.active.unwrap_or(!card.inactive)
    }

    /// Whether its holder locked what would be bought now.
    fn is_locked(&self, rules: &LockRules, now: UnixMs, swipe: &Swipe) -> bool {
        self.locked.keys().any(|part| match part {
            LockPart::All => true,
            LockPart::Online => swipe.channel == Channel::Online,
            LockPart::Night => rules.is_night(now.beijing().hour()),
        })
    }

    /// Whether the card may be used abroad, and until when. Cards with a foreign currency are issued so that they may.
    pub(super) fn overseas(&self, card: &Card, now: UnixMs) -> (bool, Option<UnixMs>) {
        match self.overseas {
            None => (card.currencies.iter().any(|currency| *currency != Currency::cny()), None),
            Some(Overseas::Until(until)) if now < until => (true, Some(until)),
            Some(Overseas::Until(_) | Overseas::Off) => (false, None),
        }
    }
}

/// Why a card's controls decline a purchase; `None`: they do not.
pub(super) fn decline(
    book: &Book,
    customer: &Customer,
    card: &Card,
    now: UnixMs,
    swipe: &Swipe,
) -> Option<&'static str> {
    let controls = book.controls(customer, card);
    let abroad = match &swipe.country {
        Some(country) => country != "CN",
        None => swipe.amount.currency() != Currency::cny(),
    };
    let reasons = [
        (controls.lost_at.is_some(), "card_lost"),
        (!controls.is_active(card), "card_inactive"),
        (controls.frozen_at.is_some(), "card_frozen"),
        (controls.is_locked(&book.rules.lock, now, swipe), "card_locked"),
        (controls.held_for.is_some(), "card_held"),
        (abroad && !controls.overseas(card, now).0, "overseas_off"),
    ];
    reasons.into_iter().find_map(|(holds, reason)| holds.then_some(reason))
}

/// Whether a purchase is unlike its holder: a great one on the net.
pub(super) fn is_suspicious(book: &Book, swipe: &Swipe, yuan_minor: i64) -> bool {
    swipe.kind == Kind::Purchase
        && swipe.channel == Channel::Online
        && yuan_minor >= book.rules.suspicion.online_from()
}
