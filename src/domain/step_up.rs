//! What a follower has proved beyond his binding, for how long and for what.

use std::time::Duration;

use super::time::UnixMs;

/// How long a one-time code counts for the service that it was given for.
pub const STEP_UP_LIFE: Duration = Duration::from_secs(10 * 60);
/// Longest scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 64;

/// A one-time code that was checked a short while ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepUp {
    /// What it was given for: a service's id, or the name of a page's own act.
    pub scope: String,
    /// When it was checked.
    pub verified: UnixMs,
    /// When it stops counting.
    pub until: UnixMs,
}

impl StepUp {
    /// A code for `scope` that was checked now.
    #[must_use]
    pub fn new(scope: &str, now: UnixMs) -> Self {
        Self { scope: scope.to_owned(), verified: now, until: now + STEP_UP_LIFE }
    }

    /// Whether it still counts for this scope. A code for one thing never counts for another.
    #[must_use]
    pub fn covers(&self, scope: &str, now: UnixMs) -> bool {
        self.scope == scope && now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_counts_for_its_own_scope_and_ten_minutes() {
        let now = UnixMs(1_000);
        let proved = StepUp::new("card_unlock", now);
        assert!(proved.covers("card_unlock", now));
        assert!(!proved.covers("overseas_open", now));
        assert!(proved.covers("card_unlock", UnixMs(now.0 + 599_999)));
        assert!(!proved.covers("card_unlock", UnixMs(now.0 + 600_000)));
    }
}
