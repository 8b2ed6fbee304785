//! How long a name is refused from one address after failures. Counted by (name, address), so that an
//! outsider who guesses locks out himself and never the clerk whose name he typed.

use std::time::Duration;

use crate::domain::time::UnixMs;
use crate::store::Attempts;

/// Failures without any wait.
const FREE_MAX: i64 = 4;
/// From this many on the wait is the long one.
const LONG_FROM: i64 = 10;
/// The long wait.
const LONG: Duration = Duration::from_secs(30 * 60);
/// Failures older than this are forgotten.
pub(super) const REMEMBERED: Duration = Duration::from_secs(2 * 3600);

/// The attempt may be tried, and is counted as this; or `Err`: not before that moment.
pub(super) fn next(before: Option<Attempts>, now: UnixMs) -> Result<Attempts, UnixMs> {
    let before = before.unwrap_or_default();
    if now < before.retry {
        return Err(before.retry);
    }
    let failures = before.failures.saturating_add(1);
    Ok(Attempts { failures, retry: now + wait_after(failures) })
}

fn wait_after(failures: i64) -> Duration {
    if failures >= LONG_FROM {
        return LONG;
    }
    match u32::try_from(failures - FREE_MAX) {
        Ok(over @ 1..) => Duration::from_secs(1 << (over - 1).min(8)),
        _ => Duration::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_ten_failures_lock_for_half_an_hour() {
        let mut now = UnixMs(1_000_000);
        let mut counted = None;
        let mut waits = Vec::new();
        for _ in 0..11 {
            let attempts = next(counted, now).unwrap();
            waits.push(attempts.retry.since(now).as_secs());
            counted = Some(attempts);
            now = attempts.retry;
        }
        assert_eq!(waits, [0, 0, 0, 0, 1, 2, 4, 8, 16, 1800, 1800]);
        assert_eq!(next(counted, now - Duration::from_millis(1)), Err(now));
    }
}
