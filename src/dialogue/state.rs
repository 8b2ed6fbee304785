//! What the dialogue remembers of a conversation between two messages. Sealed where it is stored.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::domain::time::UnixMs;

/// A service that is wanted, with what is known already.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The service's id.
    pub service: String,
    /// Values for its operation: a month, a merchant.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, String>,
    /// What stands for these values where people read them: 尾号1234 for K1. Empty: what a page or a list brought.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub chosen: BTreeMap<String, String>,
    /// What he said when he asked for it: values are looked for in it, once.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
    /// Rows of a long list that were shown already.
    #[serde(default)]
    pub shown: u32,
    /// The card that it is about; `None`: the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<String>,
}

impl Wish {
    /// A service with nothing said yet.
    #[must_use]
    pub fn of(service: &str) -> Self {
        Self { service: service.to_owned(), ..Self::default() }
    }
}

/// What is remembered. Unknown members of a newer version are ignored, missing ones have their defaults.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DialogueState {
    /// The form that is being filled in.
    pub(super) form: Option<Form>,
    /// The form that he left for another question and may go on with.
    pub(super) aside: Option<Form>,
    /// What the numbers of the last reply mean.
    pub(super) offered: Vec<Item>,
    /// How many lists were offered: a tap on an older list is told apart.
    pub(super) lists: u32,
    /// The list shown last, from its beginning: what a filter narrows.
    pub(super) listed: Option<Wish>,
    /// The long list that “更多” continues.
    pub(super) more: Option<Wish>,
    /// Misunderstandings in a row.
    pub(super) misunderstood: u8,
    /// The service that answered last.
    pub(super) last_service: Option<String>,
    /// What he wished for last: what “那上个月呢” is about.
    pub(super) last_wish: Option<Wish>,
    /// The card that answers are about, if it is not the default one.
    pub(super) card: Option<String>,
    /// A second wish of his message: offered after the first is answered.
    pub(super) also: Option<String>,
    /// His last message, where it had to be understood.
    pub(super) meant: Option<Meant>,
    /// What he asked when he got a link to bind or to prove himself: answered once that is done.
    pub(super) pending_wish: Option<Wish>,
}

impl DialogueState {
    /// Keeps a question until the binding or the one-time code that it needs is there.
    pub fn set_aside(&mut self, wish: Wish) {
        self.pending_wish = Some(wish);
    }

    /// The question that waited is answered.
    pub fn forget_wish(&mut self) {
        self.pending_wish = None;
    }

    /// Reads what [`Self::to_json`] wrote. Anything else is forgotten: a lost memory must not block a conversation.
    #[must_use]
    pub fn from_json(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap_or_default()
    }

    /// The state as JSON, to be sealed and stored.
    ///
    /// # Errors
    /// When the state cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }
}

/// A message that had to be understood, and what it was taken for: kept until the next one, which may show that it was
/// taken wrongly.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meant {
    /// The message, masked.
    pub(super) text: String,
    /// The likeliest service; empty: none.
    pub(super) nearest: String,
    /// Whether several were offered to choose from.
    pub(super) offered: bool,
}

/// A form that is being filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Form {
    /// Names this filling-in: a repeated submission is the same call.
    pub(super) id: String,
    pub(super) wish: Wish,
    /// What stands for the values where people read them: 尾号1234 for K1.
    pub(super) chosen: BTreeMap<String, String>,
    /// The lines that were given for a question, by the name of its field: what a correction may name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) choices: BTreeMap<String, Vec<Item>>,
    /// Wrong answers to the present question.
    pub(super) tries: u8,
    pub(super) opened: UnixMs,
    /// Fields whose operation was done at once.
    #[serde(default)]
    pub(super) done: BTreeSet<String>,
    /// Whether a person was called.
    #[serde(default)]
    pub(super) person: bool,
}

impl Form {
    /// What was wanted, with all that was answered so far and how that reads.
    pub(super) fn into_wish(self) -> Wish {
        Wish { chosen: self.chosen, ..self.wish }
    }
}

/// One numbered line of a reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) label: String,
    /// What stands behind the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) note: Option<String>,
    pub(super) action: Action,
}

/// What choosing a line does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Action {
    /// Starts a service.
    Start(Wish),
    /// Answers the present question of the open form.
    Value(String),
    /// Submits the open form.
    Confirm,
    /// Leaves the open form.
    Leave,
    /// Goes on with the form that was put aside.
    Return,
    /// None of the services offered was meant.
    NoneOfThese,
}
