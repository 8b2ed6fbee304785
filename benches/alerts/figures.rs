//! Latencies as figures for people.

use std::time::Duration;

/// In whole microseconds.
pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

/// In milliseconds, of sorted microseconds.
pub(crate) fn quantile(sorted: &[u32], share: f64) -> f64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    f64::from(sorted.get(at).copied().unwrap_or_default()) / 1e3
}
