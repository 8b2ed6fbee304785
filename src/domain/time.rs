//! Moments. Milliseconds since 1970 UTC everywhere inside; Beijing civil time only where people read it.

use std::ops::{Add, Sub};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// Whole seconds, as WeChat's `CreateTime` counts.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// From whole seconds; saturates at the ends of the range.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// How long since `earlier`; zero when the clock went backwards.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment in Beijing civil time (`Asia/Shanghai`, UTC+8 without daylight saving).
    #[must_use]
    pub fn beijing(self) -> jiff::Zoned {
        let moment = jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        moment.to_zoned(TimeZone::fixed(jiff::tz::offset(8)))
    }
}

impl Add<Duration> for UnixMs {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for UnixMs {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// A day of Beijing, counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BeijingDay(pub i64);

impl BeijingDay {
    const MS: i64 = 24 * 3_600_000;
    const AHEAD_OF_UTC_MS: i64 = 8 * 3_600_000;

    /// The day of a moment.
    #[must_use]
    pub fn of(moment: UnixMs) -> Self {
        Self(moment.0.saturating_add(Self::AHEAD_OF_UTC_MS).div_euclid(Self::MS))
    }

    /// Its first moment.
    #[must_use]
    pub fn begins(self) -> UnixMs {
        UnixMs(self.0.saturating_mul(Self::MS).saturating_sub(Self::AHEAD_OF_UTC_MS))
    }

    /// So many days later, or earlier.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self(self.0.saturating_add(days))
    }
}

impl std::fmt::Display for BeijingDay {
    /// `2026-11-22`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.begins().beijing().date())
    }
}

/// A length of time as files have it: `90s`, `5m`, `24h`, `3d`.
#[must_use]
pub fn span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    count.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_a_count_and_a_unit_and_nothing_else() {
        let seconds = |text: &str| span(text).map(|span| span.as_secs());
        let known = [("90s", 90), ("5m", 300), ("24h", 86_400), ("3d", 259_200), ("0s", 0)];
        for (text, expected) in known {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "5", "m", "5 m", "-5m", "1.5h", "5时", "5w", "307445734561825861m"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
