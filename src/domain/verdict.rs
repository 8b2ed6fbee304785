//! What became of something that was to be told, and what became of the whole when several were told.

/// The state of a notice, and of each message that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not settled: waiting, or between two tries.
    Pending,
    /// WeChat took it.
    Sent,
    /// WeChat reported that it arrived.
    Delivered,
    /// It will not arrive; the reason says why.
    Failed,
    /// It was not sent on purpose; the reason says why.
    Suppressed,
    /// WeChat does not reach this follower.
    Unreachable,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Sent, Self::Delivered, Self::Failed, Self::Suppressed, Self::Unreachable];

    /// The name in the database and towards the bank.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Suppressed => "suppressed",
            Self::Unreachable => "unreachable",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing can change it any more. `Sent` can: a receipt may follow.
    #[must_use]
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Sent)
    }

    /// How good it is for the customer to be in this state: the order of [`overall`].
    fn rank(self) -> u8 {
        match self {
            Self::Delivered => 5,
            Self::Sent => 4,
            Self::Pending => 3,
            Self::Failed => 2,
            Self::Unreachable => 1,
            Self::Suppressed => 0,
        }
    }
}

/// The reason of what was perhaps sent: WeChat's answer was lost.
pub const UNCLEAR: &str = "unclear";

/// A state and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The state.
    pub state: State,
    /// A word such as `no_binding`, `expired`, `errcode_43004`; nothing where the state says all.
    pub reason: Option<String>,
}

impl Verdict {
    /// A state with a reason.
    #[must_use]
    pub fn new(state: State, reason: impl Into<String>) -> Self {
        Self { state, reason: Some(reason.into()) }
    }

    /// A state that needs no reason.
    #[must_use]
    pub fn plain(state: State) -> Self {
        Self { state, reason: None }
    }
}

/// The verdict on a notice that went to several followers of one customer: the best of theirs, because what counts
/// is whether the customer was told. Delivered, sent, pending, failed, unreachable, suppressed; `None` for nobody.
#[must_use]
pub fn overall(verdicts: impl IntoIterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.into_iter().max_by_key(|verdict| verdict.state.rank())
}

/// The verdict of a receipt: `success` delivers, anything else (`failed:user block`, `failed: system failed` …) fails.
#[must_use]
pub fn of_receipt(status: &str) -> Verdict {
    if status.trim() == "success" {
        return Verdict::plain(State::Delivered);
    }
    let words = status.trim().trim_start_matches("failed").trim_start_matches(':').trim();
    let plain: String =
        words.chars().take(48).map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let reason = if plain.is_empty() { "receipt_failed".to_owned() } else { format!("receipt_{plain}") };
    Verdict::new(State::Failed, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for state in State::ALL {
            assert_eq!(State::parse(state.name()), Some(state));
        }
        assert_eq!(State::parse(""), None);
    }

    #[test]
    fn the_best_verdict_speaks_for_the_notice() {
        let of = |states: &[State]| {
            overall(states.iter().copied().map(Verdict::plain)).map(|verdict| verdict.state)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[State::Suppressed]), Some(State::Suppressed));
        assert_eq!(of(&[State::Failed, State::Delivered, State::Pending]), Some(State::Delivered));
        assert_eq!(of(&[State::Unreachable, State::Pending]), Some(State::Pending));
        assert_eq!(of(&[State::Sent, State::Pending]), Some(State::Sent));
        assert_eq!(of(&[State::Suppressed, State::Unreachable]), Some(State::Unreachable));
    }

    #[test]
    fn receipts_deliver_or_fail_with_their_words() {
        let table = [
            ("success", State::Delivered, None),
            ("failed:user block", State::Failed, Some("receipt_user_block")),
            ("failed: system failed", State::Failed, Some("receipt_system_failed")),
            ("failed", State::Failed, Some("receipt_failed")),
            ("", State::Failed, Some("receipt_failed")),
        ];
        for (status, state, reason) in table {
            assert_eq!(of_receipt(status), Verdict { state, reason: reason.map(str::to_owned) }, "{status}");
        }
    }
}
