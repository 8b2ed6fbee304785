//! A complaint and its clock: how long the bank may take to answer (银行业保险业消费投诉处理管理办法: 15 days, 30 for
//! difficult ones, 60 at most).

use std::time::Duration;

use super::secret::Personal;
use super::time::UnixMs;

/// A complaint as its customer wrote it down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The number that he was told; its id from then on.
    pub number: String,
    /// His own words, at most 100 characters.
    pub words: Personal,
}

impl Registered {
    /// Names a complaint of a day by the reference of the message that it was made in.
    #[must_use]
    pub fn new(at: UnixMs, reference: &str, words: &str) -> Self {
        let number = format!("{}-{reference}", at.beijing().strftime("%Y%m%d"));
        Self { number, words: Personal::new(words) }
    }
}

/// How far the clock of a complaint has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    /// Answer within 15 days.
    Ordinary,
    /// A difficult one: within 30 days; the customer is told of the delay.
    Difficult,
    /// The last: 60 days, signed by the head of the institution.
    Last,
    /// Past every limit.
    Missed,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Limit {
    /// The limits with the days that they give.
    pub const ALL: [(Self, u32); 3] = [(Self::Ordinary, 15), (Self::Difficult, 30), (Self::Last, 60)];

    /// The limit that runs now for a complaint, and when it ends; past the last one, when that ended.
    #[must_use]
    pub fn at(registered: UnixMs, now: UnixMs) -> (Self, UnixMs) {
        let ends = |days: u32| registered + DAY * days;
        let running = Self::ALL.into_iter().find(|(_, days)| now < ends(*days));
        running.map_or((Self::Missed, ends(60)), |(limit, days)| (limit, ends(days)))
    }

    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ordinary => "days_15",
            Self::Difficult => "days_30",
            Self::Last => "days_60",
            Self::Missed => "missed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_through_fifteen_thirty_and_sixty_days() {
        let registered = UnixMs(1_795_312_800_000);
        let after = |days: u32| Limit::at(registered, registered + DAY * days);
        assert_eq!(after(0), (Limit::Ordinary, registered + DAY * 15));
        assert_eq!(after(15), (Limit::Difficult, registered + DAY * 30));
        assert_eq!(after(59), (Limit::Last, registered + DAY * 60));
        assert_eq!(after(60), (Limit::Missed, registered + DAY * 60));
    }
}
