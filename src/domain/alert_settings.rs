//! What a follower settled about his alerts: for every card, and for single ones.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::ToSpan as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::time::UnixMs;

const MINUTES_OF_DAY: u16 = 24 * 60;
/// Highest threshold, in fen: 100,000 yuan.
pub const THRESHOLD_FEN_MAX: i64 = 10_000_000;

/// A span of each day in Beijing in which what can wait waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuietHours {
    from_minute: u16,
    until_minute: u16,
}

impl QuietHours {
    /// Longest span, in minutes: an alert that waits longer is none.
    pub const MINUTES_MAX: u16 = 12 * 60;

    /// From one minute of the day (0 to 1439) to another, over midnight where it is the earlier one. `None` when a
    /// minute is none, or the span is empty or longer than [`Self::MINUTES_MAX`].
    #[must_use]
    pub fn new(from_minute: u16, until_minute: u16) -> Option<Self> {
        if from_minute >= MINUTES_OF_DAY || until_minute >= MINUTES_OF_DAY {
            return None;
        }
        let span = (until_minute + MINUTES_OF_DAY - from_minute) % MINUTES_OF_DAY;
        (1..=Self::MINUTES_MAX).contains(&span).then_some(Self { from_minute, until_minute })
    }

    /// Reads `22:00-08:00`, as [`Self::name`] writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let minute = |text: &str| {
            let (hour, minute) = text.split_once(':')?;
            let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
            (hour < 24 && minute < 60).then_some(hour * 60 + minute)
        };
        let (from, until) = text.split_once('-')?;
        Self::new(minute(from)?, minute(until)?)
    }

    /// `22:00-08:00`
    #[must_use]
    pub fn name(self) -> String {
        format!("{}-{}", self.from(), self.until())
    }

    /// `22:00`
    #[must_use]
    pub fn from(self) -> String {
        clock(self.from_minute)
    }

    /// `08:00`
    #[must_use]
    pub fn until(self) -> String {
        clock(self.until_minute)
    }

    /// When the quiet hours end in which a moment lies; `None` when it lies in none.
    #[must_use]
    pub fn end_at(self, now: UnixMs) -> Option<UnixMs> {
        let civil = now.beijing();
        let minute = i64::from(civil.hour()) * 60 + i64::from(civil.minute());
        let day = i64::from(MINUTES_OF_DAY);
        let span = (i64::from(self.until_minute) - i64::from(self.from_minute)).rem_euclid(day);
        let left = span - (minute - i64::from(self.from_minute)).rem_euclid(day);
        let end = civil.start_of_day().ok()?.checked_add((minute + left).minutes()).ok()?;
        (left > 0).then(|| UnixMs(end.timestamp().as_millisecond()))
    }

    /// How long they last.
    #[must_use]
    pub fn span(self) -> Duration {
        let minutes = (self.until_minute + MINUTES_OF_DAY - self.from_minute) % MINUTES_OF_DAY;
        Duration::from_secs(u64::from(minutes) * 60)
    }
}

fn clock(minute: u16) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

/// What one card has of its own; what it has not is as for every card.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OfCard {
    /// Whether it is told of.
    pub on: Option<bool>,
    /// Whether amounts are left out.
    pub hide_amounts: Option<bool>,
    /// Below this nothing is told, in fen.
    pub threshold_fen: Option<i64>,
}

/// What a follower settled beyond on and off for every card. Unknown members of a newer version are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertSettings {
    /// Below this nothing is told, in fen; of cards that have no threshold of their own.
    pub threshold_fen: i64,
    /// When what can wait waits.
    pub quiet: Option<QuietHours>,
    /// What single cards have of their own, by `card_id`.
    pub cards: BTreeMap<String, OfCard>,
}

/// The settings that hold for one card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardAlerts {
    /// Whether it is told of.
    pub on: bool,
    /// Whether amounts are left out.
    pub hide_amounts: bool,
    /// Below this nothing is told, in fen; 0: everything is.
    pub threshold_fen: i64,
}

/// A wish to change settings; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertChange {
    /// Of one card; `None`: of every card, and no card keeps its own.
    pub card_id: Option<String>,
    /// Whether it is told of.
    pub on: Option<bool>,
    /// Whether amounts are left out.
    pub hide_amounts: Option<bool>,
    /// Below this nothing is told, in fen.
    pub threshold_fen: Option<i64>,
    /// `Some(None)`: no quiet hours any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "named")]
    pub quiet: Option<Option<QuietHours>>,
}

/// Tells what is named as `null` from what is not named.
fn named<'de, D: Deserializer<'de>>(reader: D) -> Result<Option<Option<QuietHours>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-22 10:00 in Beijing.
    const NOW: UnixMs = UnixMs(1_795_312_800_000);
    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_change_reads_back_as_it_was_written() {
        let quiet = QuietHours::parse("22:00-08:00");
        for quiet in [None, Some(None), Some(quiet)] {
            let change = AlertChange { on: Some(false), quiet, ..AlertChange::default() };
            let written = serde_json::to_string(&change).unwrap();
            assert_eq!(serde_json::from_str::<AlertChange>(&written).unwrap(), change, "{written}");
        }
    }

    #[test]
    fn quiet_hours_end_in_the_morning_on_whichever_side_of_midnight_one_asks() {
        let quiet = QuietHours::parse("22:00-08:00").unwrap();
        let morning = NOW + HOUR * 22;
        let table = [
            (0, None),
            (11, None),
            (12, Some(morning)),
            (20, Some(morning)),
            (21, Some(morning)),
            (22, None),
        ];
        for (hours, expected) in table {
            assert_eq!(quiet.end_at(NOW + HOUR * hours), expected, "{hours}");
        }
        let nap = QuietHours::parse("09:30-11:00").unwrap();
        assert_eq!((nap.end_at(NOW), nap.name().as_str()), (Some(NOW + HOUR), "09:30-11:00"));
    }

    #[test]
    fn empty_endless_and_unreadable_spans_are_none() {
        for text in ["08:00-08:00", "08:00-21:00", "24:00-08:00", "8-9", "", "08:00", "08:61-09:00"] {
            assert_eq!(QuietHours::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_end_lies_ahead_and_never_beyond_the_span(from in 0_u16..1440, until in 0_u16..1440, at in 0_i64..4_000_000_000_000) {
            let Some(quiet) = QuietHours::new(from, until) else { return Ok(()) };
            prop_assert_eq!(QuietHours::parse(&quiet.name()), Some(quiet));
            if let Some(end) = quiet.end_at(UnixMs(at)) {
                prop_assert!(end > UnixMs(at) && end.since(UnixMs(at)) <= quiet.span());
                prop_assert_eq!(quiet.end_at(end), None);
            }
        }
    }
}
