//! The one state machine of a conversation: at any moment exactly one party owns it (P8).

/// Who owns the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The bot answers.
    Bot,
    /// A case is open and waits in the queue.
    Waiting,
    /// An agent has claimed the case.
    WithAgent,
    /// The agent has closed the talk and notes why; the customer is with the bot again as soon as he writes.
    WrapUp,
}

/// What happens to a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// The bot, or the customer's wish, asks for a person.
    Escalate,
    /// The customer leaves the queue.
    CancelWait,
    /// An agent takes the case.
    Claim,
    /// An agent takes up a call-back that was promised while nobody was on shift.
    TakeUp,
    /// The agent gives the case back to the queue, for another group.
    Transfer,
    /// The case goes from one agent straight to another: handed over, or taken over by a supervisor.
    HandOver,
    /// The agent gives the customer back to the bot, or ends the talk without notes.
    Return,
    /// The agent ends the talk.
    Close,
    /// The notes are written, or their time is over.
    Wrapped,
    /// The follower left: everything about him ends.
    Leave,
}

/// The happening has no meaning in this stage; nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{happening:?} does not apply to a conversation in {stage:?}")]
pub struct DoesNotApply {
    /// The stage it was in.
    pub stage: Stage,
    /// What was tried.
    pub happening: Happening,
}

impl Stage {
    /// Every stage, for tests and metrics.
    pub const ALL: [Self; 4] = [Self::Bot, Self::Waiting, Self::WithAgent, Self::WrapUp];

    /// The stage after a happening.
    ///
    /// # Errors
    /// When the happening does not apply in this stage.
    pub fn after(self, happening: Happening) -> Result<Self, DoesNotApply> {
        use Happening::{
            CancelWait, Claim, Close, Escalate, HandOver, Leave, Return, TakeUp, Transfer, Wrapped,
        };
        match (self, happening) {
            (_, Leave)
            | (Self::Waiting, CancelWait)
            | (Self::WithAgent, Return)
            | (Self::WrapUp, Wrapped) => Ok(Self::Bot),
            (Self::Bot | Self::WrapUp, Escalate) | (Self::WithAgent, Transfer) => Ok(Self::Waiting),
            (Self::Waiting, Claim) | (Self::Bot, TakeUp) | (Self::WithAgent, HandOver) => Ok(Self::WithAgent),
            (Self::WithAgent, Close) => Ok(Self::WrapUp),
            (stage, happening) => Err(DoesNotApply { stage, happening }),
        }
    }

    /// Whether a person is involved: then unasked messages keep silent (P11).
    #[must_use]
    pub fn person_involved(self) -> bool {
        matches!(self, Self::Waiting | Self::WithAgent)
    }

    /// The name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bot => "bot",
            Self::Waiting => "waiting",
            Self::WithAgent => "with_agent",
            Self::WrapUp => "wrap_up",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_can_reach_the_bot_and_names_read_back() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.name()), Some(stage));
            assert_eq!(stage.after(Happening::Leave), Ok(Stage::Bot));
        }
        assert_eq!(Stage::parse("none"), None);
    }

    #[test]
    fn an_agent_gets_only_what_waits_and_only_once() {
        assert_eq!(Stage::Waiting.after(Happening::Claim), Ok(Stage::WithAgent));
        for stage in [Stage::Bot, Stage::WithAgent, Stage::WrapUp] {
            assert!(stage.after(Happening::Claim).is_err(), "{stage:?}");
        }
        assert!(Stage::Waiting.after(Happening::Escalate).is_err());
        assert!(Stage::WithAgent.after(Happening::TakeUp).is_err());
        for stage in [Stage::Bot, Stage::Waiting, Stage::WrapUp] {
            assert!(stage.after(Happening::HandOver).is_err(), "{stage:?}");
        }
    }
}
