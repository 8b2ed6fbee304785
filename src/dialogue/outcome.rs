//! What a decision comes to: data that `inbound` carries out.

use serde_json::{Map, Value};

use super::owed::Owed;
use super::state::{DialogueState, Wish};
use super::turn::Purpose;
use crate::catalogue::EventKind;
use crate::domain::alert_settings::AlertChange;
use crate::domain::card::Card;
use crate::domain::case::Rating;
use crate::domain::complaint::Registered;
use crate::domain::secret::Personal;
use crate::domain::step_up::StepUp;
use crate::wechat::reply::Article;

/// The next step of a message's handling.
pub enum Step {
    /// It is decided.
    Done(Outcome),
    /// The core has to be asked first; its answer goes to [`super::Dialogue::proceed`].
    Ask(Ask),
}

/// Who answers an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// The bank's core.
    Core,
    /// The house itself, out of what it keeps; see [`super::Dialogue::look_up`].
    House,
}

/// A question to the core, or to what the house keeps.
pub struct Ask {
    /// Who answers it.
    pub of: Of,
    /// The operation's name there.
    pub operation: String,
    /// Its params.
    pub params: Value,
    /// Whether it changes anything: then it needs an idempotency key.
    pub write: bool,
    /// The form it submits: the idempotency key derives from it, so that a second try is the same call. Without
    /// one the key derives from the message.
    pub form_id: Option<String>,
    /// What the follower proved himself with for this; `None`: binding is all there is.
    pub verified: Option<StepUp>,
    /// What the answer is for.
    pub then: Then,
}

/// What an answer of the core is for; handed back to [`super::Dialogue::proceed`] unopened.
#[derive(Clone)]
pub struct Then(pub(super) Purpose);

/// Why the core gave no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskError {
    /// It refused for a reason of its own.
    Refused {
        /// Its code.
        code: String,
        /// Its words.
        message: String,
    },
    /// It cannot be reached, or answered that it is broken.
    Down,
    /// It answered something that does not fit its schema.
    Lied,
}

/// A decided message.
pub struct Outcome {
    /// What the follower reads; `None`: nothing, a person will answer.
    pub reply: Option<Say>,
    /// What the dialogue remembers from now on.
    pub state: DialogueState,
    /// What else has to happen, in the same commit.
    pub effects: Vec<Effect>,
    /// The service that answered.
    pub service: Option<String>,
    /// Whether the follower was warned of something he should not have written.
    pub masked: bool,
    /// Whether the reply was too long and had to be shortened.
    pub(super) cut: bool,
    /// The reply as a page of ours shows it.
    pub page: OnPage,
}

impl Outcome {
    /// Nothing is said and nothing changes.
    #[must_use]
    pub fn silent(state: DialogueState) -> Self {
        Self {
            reply: None,
            state,
            effects: Vec::new(),
            service: None,
            masked: false,
            cut: false,
            page: OnPage::default(),
        }
    }
}

/// A reply as a page shows it: no numbers to answer with, buttons instead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnPage {
    /// A WeChat text; may be empty.
    pub text: String,
    /// The words of each button, and what it starts.
    pub choices: Vec<(String, Wish)>,
}

/// A reply. Fits WeChat's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// Text with links; 1 to 2048 bytes, markup of our own only.
    Text(String),
    /// Cards with pictures.
    News(Vec<Article>),
}

/// Why a person is wanted, and who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PersonWanted {
    /// Why, for the agent; never the customer's words.
    pub reason: String,
    /// Who should take it; empty: anyone.
    pub skill: String,
    /// 0 (ordinary) to 9 (at once).
    pub priority: u8,
    /// What he complains of.
    pub complaint: Option<Registered>,
}

/// What else has to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A person is wanted, and people are there.
    Escalate(PersonWanted),
    /// A person is wanted, and nobody is there: the case is kept and answered when the desk opens.
    CallBack(PersonWanted),
    /// He says what he thought of a talk with a person.
    Rate {
        /// Of which, and what.
        rating: Rating,
    },
    /// He leaves the queue.
    CancelWait,
    /// His binding ends.
    Unbind,
    /// Answers use another of his cards.
    DefaultCard {
        /// One of the binding's cards.
        card_id: String,
    },
    /// The core says of his cards what the binding does not: a new tail, another product.
    Cards {
        /// The binding's cards as they are now, in their order.
        cards: Vec<Card>,
    },
    /// His alert settings change.
    Alerts(AlertChange),
    /// Whether he wants offers.
    Marketing {
        /// Asked for, or refused.
        on: bool,
    },
    /// He got a link to bind: once bound, this is answered.
    AwaitBinding {
        /// What he asked.
        wish: Wish,
    },
    /// The bank is told.
    Event {
        /// Which event.
        kind: EventKind,
        /// Its data.
        data: Map<String, Value>,
    },
    /// The core did not do what must be done: it is tried until it is.
    Owe {
        /// What.
        owed: Owed,
    },
    /// A message that was not understood, or not at once: kept for review.
    Review(Misheard),
    /// He got a link to prove himself with a one-time code: once proved, this is answered.
    AwaitStepUp {
        /// What he asked.
        wish: Wish,
    },
}

/// What showed that a message was not understood at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MisheardKind {
    /// None of our services was recognised in it.
    Refused,
    /// He chose one of the services offered.
    Chosen,
    /// He said that none of those was meant, or that the answer was another's.
    Corrected,
    /// He asked for a person right after it.
    Escalated,
}

impl MisheardKind {
    /// Its name where it is stored and listed.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Chosen => "chosen",
            Self::Corrected => "corrected",
            Self::Escalated => "escalated",
        }
    }
}

/// A message that staff should look at, so that the next one like it is understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misheard {
    /// What he wrote, masked.
    pub text: Personal,
    /// What showed it.
    pub kind: MisheardKind,
    /// The service that it was taken for most likely; empty: none.
    pub nearest: String,
    /// The service that he chose: a labelled example.
    pub chosen: Option<String>,
}
