//! A case: one talk of one customer with people, from the first wish to its end.

use std::time::Duration;

use super::conversation::Stage;
use super::time::UnixMs;

/// Where a case stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CaseState {
    /// Nobody was on shift: the next shift finds it on top. The customer is with the bot meanwhile.
    CallBack,
    /// In the queue.
    Waiting,
    /// An agent has it.
    WithAgent,
    /// The talk is over, the agent's reason code is owed.
    WrapUp,
    /// Over.
    Closed,
    /// Over, and the customer said what he thought of it.
    Rated,
}

impl CaseState {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::CallBack, Self::Waiting, Self::WithAgent, Self::WrapUp, Self::Closed, Self::Rated];

    /// The name in the database and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CallBack => "call_back",
            Self::Waiting => "waiting",
            Self::WithAgent => "with_agent",
            Self::WrapUp => "wrap_up",
            Self::Closed => "closed",
            Self::Rated => "rated",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The stage of a conversation that names a case in this state; `None`: no conversation names it.
    #[must_use]
    pub fn stage(self) -> Option<Stage> {
        match self {
            Self::CallBack => Some(Stage::Bot),
            Self::Waiting => Some(Stage::Waiting),
            Self::WithAgent => Some(Stage::WithAgent),
            Self::WrapUp => Some(Stage::WrapUp),
            Self::Closed | Self::Rated => None,
        }
    }

    /// Whether an agent can take it.
    #[must_use]
    pub fn is_queued(self) -> bool {
        matches!(self, Self::CallBack | Self::Waiting)
    }

    /// Whether nothing more happens in it.
    #[must_use]
    pub fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Rated)
    }
}

/// Why a case ended. The first five are what an agent chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The customer's wish was met.
    Solved,
    /// Passed on inside the bank; somebody will come back to the customer.
    PassedOn,
    /// WeChat lets nothing through any more, or the matter needs a voice: the bank calls the customer.
    PhoneCall,
    /// The customer did not answer any more.
    NoAnswer,
    /// Nothing for a bank: advertising, abuse, a wrong address.
    NotForUs,
    /// The agent gave the customer back to the bot.
    BackToBot,
    /// The customer left the queue.
    Cancelled,
    /// The follower left the account.
    Unfollowed,
    /// Nobody chose a reason in time.
    NotNoted,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Solved,
        Self::PassedOn,
        Self::PhoneCall,
        Self::NoAnswer,
        Self::NotForUs,
        Self::BackToBot,
        Self::Cancelled,
        Self::Unfollowed,
        Self::NotNoted,
    ];

    /// The name in the database and in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Solved => "solved",
            Self::PassedOn => "passed_on",
            Self::PhoneCall => "phone_call",
            Self::NoAnswer => "no_answer",
            Self::NotForUs => "not_for_us",
            Self::BackToBot => "back_to_bot",
            Self::Cancelled => "cancelled",
            Self::Unfollowed => "unfollowed",
            Self::NotNoted => "not_noted",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }

    /// Whether an agent may choose it.
    #[must_use]
    pub fn is_agents_choice(self) -> bool {
        matches!(self, Self::Solved | Self::PassedOn | Self::PhoneCall | Self::NoAnswer | Self::NotForUs)
    }
}

/// What a customer thought of a case: 1 (bad) to 5 (good).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(u8);

impl Score {
    /// 1 to 5, nothing else.
    #[must_use]
    pub fn new(points: i64) -> Option<Self> {
        u8::try_from(points).ok().filter(|points| (1..=5).contains(points)).map(Self)
    }

    /// The points.
    #[must_use]
    pub fn points(self) -> u8 {
        self.0
    }
}

/// An answer to the question what the customer thought of a case, as it comes back when he taps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// The case.
    pub case_id: String,
    /// What he thought.
    pub score: Score,
}

impl Rating {
    const TAP: &str = "rate";

    /// The id of the tap.
    #[must_use]
    pub fn to_tap(&self) -> String {
        format!("{}:{}:{}", Self::TAP, self.case_id, self.score.points())
    }

    /// Reads the id of a tap; `None`: it is no such answer.
    #[must_use]
    pub fn of_tap(tap: &str) -> Option<Self> {
        let (case_id, points) = tap.strip_prefix(Self::TAP)?.strip_prefix(':')?.rsplit_once(':')?;
        Some(Self { case_id: case_id.to_owned(), score: Score::new(points.parse().ok()?)? })
    }
}

/// How urgent a case is: 0 ordinary, 9 at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(u8);

impl Priority {
    /// What most cases have.
    pub const ORDINARY: Self = Self(0);
    /// From here on somebody must come at once.
    pub const AT_ONCE_FROM: Self = Self(5);
    /// One step of urgency is worth this much waiting, so that nobody starves.
    pub const STEP: Duration = Duration::from_secs(5 * 60);
    /// A call-back comes before everybody who wrote during the shift.
    const CALL_BACK_AHEAD: Duration = Duration::from_secs(24 * 3600);

    /// Takes the nearest of 0 to 9.
    #[must_use]
    pub fn new(level: u8) -> Self {
        Self(level.min(9))
    }

    /// The level, 0 to 9.
    #[must_use]
    pub fn level(self) -> u8 {
        self.0
    }

    /// The place in the queue's order of somebody who waits since `queued`: the smaller comes first.
    #[must_use]
    pub fn rank(self, queued: UnixMs) -> UnixMs {
        queued - Self::STEP * u32::from(self.0)
    }

    /// The same for a call-back.
    #[must_use]
    pub fn call_back_rank(self, queued: UnixMs) -> UnixMs {
        self.rank(queued) - Self::CALL_BACK_AHEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_each_state_fits_one_stage() {
        for state in CaseState::ALL {
            assert_eq!(CaseState::parse(state.name()), Some(state));
        }
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::parse(reason.name()), Some(reason));
        }
        for stage in Stage::ALL {
            assert_eq!(CaseState::ALL.iter().filter(|state| state.stage() == Some(stage)).count(), 1);
        }
    }

    #[test]
    fn urgency_comes_first_but_waiting_wins_in_the_end() {
        let now = UnixMs(1_795_312_800_000);
        let urgent = Priority::new(4);
        assert!(urgent.rank(now) < Priority::ORDINARY.rank(now));
        let long_before = now - Duration::from_secs(21 * 60);
        assert!(Priority::ORDINARY.rank(long_before) < urgent.rank(now));
        assert!(Priority::ORDINARY.call_back_rank(now) < Priority::new(9).rank(now));
        assert_eq!(Priority::new(200).level(), 9);
        let rating = Rating { case_id: "a:b".to_owned(), score: Score::new(3).unwrap() };
        assert_eq!(Rating::of_tap(&rating.to_tap()), Some(rating));
        assert_eq!(
            ["rate:a:9", "rate:a", "rates:a:3", "3"].map(|tap| Rating::of_tap(tap).is_some()),
            [false; 4]
        );
        assert_eq!([0, 1, 5, 6].map(|points| Score::new(points).is_some()), [false, true, true, false]);
    }
}
