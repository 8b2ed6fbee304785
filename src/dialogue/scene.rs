//! What a decision is made from: everything known when a message arrives, read before, as values.

use crate::catalogue::{Page, Picture};
use crate::config::Account;
use crate::domain::binding::Binding;
use crate::domain::conversation::Stage;
use crate::domain::ids::FollowerKey;
use crate::domain::money::Money;
use crate::domain::secret::Personal;
use crate::domain::step_up::{Proof, StepUp};
use crate::domain::time::UnixMs;

use super::state::{DialogueState, Wish};

/// One moment of one conversation.
pub struct Scene<'a> {
    /// The official account written to.
    pub account: &'a Account,
    /// Who wrote.
    pub follower: FollowerKey,
    /// When the message is dealt with.
    pub now: UnixMs,
    /// What the follower did.
    pub said: &'a Said,
    /// What the dialogue remembers of him.
    pub state: &'a DialogueState,
    /// Who owns the conversation.
    pub stage: Stage,
    /// His binding, if he has one.
    pub binding: Option<&'a Binding>,
    /// What he proved last as this customer; it may have run out.
    pub step_up: Option<&'a StepUp>,
    /// Whether people are there.
    pub desk: &'a DeskStatus,
    /// Makes links to pages for this follower.
    pub links: &'a dyn Links,
    /// Eight characters that join a failure with our logs; told to the customer.
    pub reference: &'a str,
    /// Whether something was masked in what he wrote: he is warned.
    pub masked: bool,
    /// Whether answers may still follow as customer-service messages.
    pub chat_window_open: bool,
    /// What costs as much or more is silenced only by who has proved himself with a one-time code.
    pub silence_ceiling: Money,
}

/// What a follower did. Texts are masked already (P9).
#[derive(Clone, Debug)]
pub enum Said {
    /// Wrote something, or tapped a text link that writes for him.
    Text {
        /// The text.
        text: Personal,
        /// The id of the tapped link: from outside, never trusted.
        menu_item: Option<String>,
    },
    /// Clicked a menu button.
    Key(String),
    /// Followed the account, perhaps by a code with a scene.
    Followed {
        /// The code's scene.
        scene: Option<String>,
    },
    /// Scanned a code while following.
    Scanned {
        /// The code's scene.
        scene: String,
    },
    /// Sent a place.
    Location {
        /// Degrees north and east, `30.201000,122.102000`.
        position: Option<Personal>,
        /// The place's name, as the phone gave it.
        label: Option<Personal>,
    },
    /// Spoke; with WeChat's recognised text if it gave one.
    Voice {
        /// The recognised text.
        recognition: Option<Personal>,
    },
    /// Sent something that is not text.
    Media(MediaKind),
    /// Finished binding, or proved himself: the question that had to wait goes on.
    Resumed {
        /// The question.
        wish: Wish,
    },
}

/// What was sent instead of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A film, long or short.
    Video,
    /// A shared page.
    Link,
    /// A file, or anything else.
    Other,
}

/// Makes absolute, signed links to our pages for the follower of the scene.
pub trait Links {
    /// The address of a page.
    fn page(&self, page: Page) -> String;

    /// The address of the page that takes a proof for a scope.
    fn step_up(&self, scope: &str, proof: Proof) -> String;

    /// The address of a picture, which everybody may see.
    fn picture(&self, picture: Picture) -> String;
}

/// Whether people answer now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskStatus {
    /// Whether someone is on shift.
    pub open: bool,
    /// When people are there: `每天 8:00–22:00`.
    pub hours: String,
    /// How many wait.
    pub waiting: u32,
    /// How long the next one will wait at most, if it can be told.
    pub wait_minutes: Option<u32>,
}
