//! Why something at the desk did not happen.

use super::wording::Objection;
use crate::domain::conversation::DoesNotApply;
use crate::store::StoreError;
use crate::wechat::text::Text;

/// Why an action did not happen.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// No case has this id, or the reader may not see it.
    #[error("there is no such case")]
    NoSuchCase,
    /// Another agent has it.
    #[error("another agent has the case")]
    Taken,
    /// The case is not, or not any more, with this agent.
    #[error("the case is not with you")]
    NotYours,
    /// The case is over, or the customer left the queue.
    #[error("the case is over")]
    Over,
    /// WeChat lets nobody write: the customer has not written within 48 hours.
    #[error("the message window is closed")]
    WindowClosed,
    /// The messages of this window are used up or on their way.
    #[error("no messages are left in the window")]
    WindowSpent,
    /// An answer without words.
    #[error("the answer is empty")]
    Empty,
    /// Longer than WeChat takes.
    #[error("the answer has more than {} bytes", Text::BYTES_MAX)]
    TooLong,
    /// He has as many cases as he may.
    #[error("you have as many cases as you may have")]
    Full,
    /// The case is of a group that he does not serve.
    #[error("the case is of another group")]
    OtherGroup,
    /// Only supervisors may.
    #[error("only supervisors may do this")]
    NotAllowed,
    /// Whom the case shall go to is not signed in, or does not serve its account.
    #[error("this agent cannot take the case now")]
    NotThere,
    /// The window is open: say it, instead of leaving it for later.
    #[error("the message window is open")]
    WindowOpen,
    /// More was left for the customer already than can be said at once.
    #[error("there is no room for more words: the customer has to read what was left for him first")]
    NoRoom,
    /// The text says what agents must not say.
    #[error("the text holds what must not be said")]
    Objected(Objection),
    /// The file is of no kind or size that can be sent.
    #[error("the file cannot be sent")]
    Unsendable,
    /// WeChat did not take or give the file.
    #[error("WeChat did not do it")]
    Wechat,
    /// A reason, group or key that does not exist.
    #[error("unknown choice")]
    UnknownChoice,
    /// Too many changes at the same time.
    #[error("too many changes at the same time")]
    Busy,
    /// The browser sent the same answer twice.
    #[error("the answer was sent already")]
    Repeated,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DoesNotApply> for DeskError {
    fn from(_: DoesNotApply) -> Self {
        Self::Over
    }
}
