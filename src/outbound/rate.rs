//! So many calls a second: a token bucket, in whole numbers.

use crate::domain::time::UnixMs;

/// A call in the bucket's unit, so that a millisecond's share is a whole number.
const CALL: u64 = 1_000;
/// What may be saved up, as a part of a second.
const SAVED_MS: u64 = 100;

/// A token bucket. What is not used is saved up for a tenth of a second.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    per_second: u32,
    /// Thousandths of calls.
    saved: u64,
    at: UnixMs,
}

impl Bucket {
    pub(super) fn new(per_second: u32, now: UnixMs) -> Self {
        let mut bucket = Self { per_second: per_second.max(1), saved: 0, at: now };
        bucket.saved = bucket.saved_max();
        bucket
    }

    /// Another rate from now on.
    pub(super) fn set(&mut self, per_second: u32) {
        self.per_second = per_second.max(1);
        self.saved = self.saved.min(self.saved_max());
    }

    /// Calls that may be made now.
    pub(super) fn calls(&mut self, now: UnixMs) -> usize {
        let passed_ms = u64::try_from(now.0.saturating_sub(self.at.0)).unwrap_or(0);
        let filled = passed_ms.saturating_mul(u64::from(self.per_second));
        self.saved = self.saved.saturating_add(filled).min(self.saved_max());
        // A clock that went back starts anew from there.
        self.at = now;
        usize::try_from(self.saved / CALL).unwrap_or(usize::MAX)
    }

    /// Takes calls that [`Bucket::calls`] has just granted.
    pub(super) fn take(&mut self, calls: usize) {
        self.saved = self.saved.saturating_sub(u64::try_from(calls).unwrap_or(u64::MAX).saturating_mul(CALL));
    }

    fn saved_max(&self) -> u64 {
        (u64::from(self.per_second) * SAVED_MS).max(CALL)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slow_rate_gives_single_calls_and_a_clock_that_jumps_gives_no_flood() {
        let mut bucket = Bucket::new(2, UnixMs(0));
        assert_eq!(bucket.calls(UnixMs(0)), 1);
        bucket.take(1);
        assert_eq!(bucket.calls(UnixMs(499)), 0);
        assert_eq!(bucket.calls(UnixMs(500)), 1);
        bucket.take(1);
        assert_eq!(bucket.calls(UnixMs(-1_000_000)), 0, "back");
        assert_eq!(bucket.calls(UnixMs(1_000_000_000)), 1, "and far ahead");
    }

    proptest! {
        /// In any second no more leave than the rate and what was saved up.
        #[test]
        fn the_rate_holds_in_any_second(per_second in 1_u32..3_000, steps in prop::collection::vec((0_u64..80, 0_usize..200), 1..200)) {
            let mut now = UnixMs(1_000);
            let mut bucket = Bucket::new(per_second, now);
            let mut taken: Vec<(UnixMs, usize)> = Vec::new();
            for (wait_ms, wanted) in steps {
                now = now + Duration::from_millis(wait_ms);
                let calls = bucket.calls(now).min(wanted);
                bucket.take(calls);
                taken.push((now, calls));
                let second: usize = taken.iter().filter(|(at, _)| at.0 > now.0 - 1_000).map(|(_, calls)| calls).sum();
                let bound = usize::try_from(per_second).unwrap() * 11 / 10 + 2;
                prop_assert!(second <= bound, "{second} in a second at {per_second}/s");
            }
        }
    }
}
