//! What a follower has proved beyond his binding, for how long and for what.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::time::UnixMs;

/// How long a proof counts for the service that it was given for.
pub const STEP_UP_LIFE: Duration = Duration::from_secs(10 * 60);
/// Longest scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 64;

/// What a follower must have proved beyond binding, the least first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proof {
    /// Nothing more.
    #[default]
    None,
    /// A one-time code.
    Otp,
    /// The card's PIN, on the bank's own page.
    Pin,
}

impl Proof {
    /// Its name in the interface, and where it is stored.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Otp => "otp",
            Self::Pin => "pin",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::None, Self::Otp, Self::Pin].into_iter().find(|proof| proof.name() == name)
    }
}

/// A proof that was checked a short while ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// What he proved himself with.
    pub proof: Proof,
    /// What it was given for: a service's id, or the name of a page's own act.
    pub scope: String,
    /// When it was checked.
    pub verified: UnixMs,
    /// When it stops counting.
    pub until: UnixMs,
}

impl StepUp {
    /// A proof for `scope` that was checked now.
    #[must_use]
    pub fn new(proof: Proof, scope: &str, now: UnixMs) -> Self {
        Self { proof, scope: scope.to_owned(), verified: now, until: now + STEP_UP_LIFE }
    }

    /// Whether it still counts for this scope and is as much as is wanted. A proof for one thing never counts for
    /// another.
    #[must_use]
    pub fn covers(&self, scope: &str, wanted: Proof, now: UnixMs) -> bool {
        self.scope == scope && self.proof >= wanted && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_for_its_own_scope_its_own_strength_and_ten_minutes() {
        let now = UnixMs(1_000);
        let proved = StepUp::new(Proof::Otp, "card_unlock", now);
        assert!(proved.covers("card_unlock", Proof::Otp, now));
        assert!(!proved.covers("overseas_open", Proof::Otp, now));
        assert!(proved.covers("card_unlock", Proof::Otp, UnixMs(now.0 + 599_999)));
        assert!(!proved.covers("card_unlock", Proof::Otp, UnixMs(now.0 + 600_000)));
        assert!(!proved.covers("card_unlock", Proof::Pin, now));
        assert!(StepUp::new(Proof::Pin, "card_unlock", now).covers("card_unlock", Proof::Otp, now));
    }
}
