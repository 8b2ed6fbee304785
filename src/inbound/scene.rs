//! What a push means, and everything that its decision may look at.

use std::sync::Arc;

use crate::catalogue::{Page, Picture};
use crate::dialogue::{DeskStatus, DialogueState, Links, MediaKind, Said, Scene};
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::mask;
use crate::domain::money::Money;
use crate::domain::secret::Personal;
use crate::domain::step_up::{Proof, StepUp};
use crate::domain::time::UnixMs;
use crate::identity::{self, Identity};
use crate::store::{Conversation, Known, StoreError};
use crate::wechat::push::{Content, Event, FollowSource, Push};

use super::Inbound;
use super::decide::Question;

/// Longest text of a customer that is kept; WeChat itself sends no longer ones.
const TEXT_CHARS_MAX: usize = 4_096;

/// What is to be done with a push.
pub(super) enum Meaning {
    /// A turn of the conversation.
    Turn {
        /// What the follower did.
        said: Said,
        /// Something in it was masked.
        masked: bool,
    },
    /// He left: his data must go.
    Leave,
    /// Noted or ignored; answered with `success`.
    Note,
}

/// Reads a push. Texts come out masked (P9).
pub(super) fn meaning(push: &Push) -> Meaning {
    let turn = |said| Meaning::Turn { said, masked: false };
    match &push.content {
        Content::Text { text, menu_item } => {
            let (text, found) = masked(text);
            Meaning::Turn { said: Said::Text { text, menu_item: menu_item.clone() }, masked: found }
        }
        Content::Voice { recognition, .. } => {
            let (recognition, found) = match recognition.as_ref().map(masked) {
                Some((text, found)) => (Some(text), found),
                None => (None, false),
            };
            Meaning::Turn { said: Said::Voice { recognition }, masked: found }
        }
        Content::Location { position, label, .. } => {
            let (latitude, longitude) = (position.latitude.reveal(), position.longitude.reveal());
            let is_somewhere = !latitude.is_empty() && !longitude.is_empty();
            let position = is_somewhere.then(|| Personal::new(format!("{latitude},{longitude}")));
            turn(Said::Location { position, label: Some(label.clone()) })
        }
        Content::Image { .. } => turn(Said::Media(MediaKind::Image)),
        Content::Video(_) | Content::ShortVideo(_) => turn(Said::Media(MediaKind::Video)),
        Content::Link { .. } => turn(Said::Media(MediaKind::Link)),
        Content::File { .. } => turn(Said::Media(MediaKind::Other)),
        Content::Event(Event::Subscribe { source, .. }) => {
            let scene = match source {
                FollowSource::Scene(scene) => Some(scene.clone()),
                FollowSource::Direct | FollowSource::Payment(_) | FollowSource::Other(_) => None,
            };
            turn(Said::Followed { scene })
        }
        Content::Event(Event::Scan { scene, .. }) => turn(Said::Scanned { scene: scene.clone() }),
        Content::Event(Event::Click { key, .. }) => turn(Said::Key(key.clone())),
        Content::Event(Event::Unsubscribe) => Meaning::Leave,
        Content::Event(_) | Content::Unknown { .. } => Meaning::Note,
    }
}

/// Brings the masked text into the push itself, before it is stored anywhere.
pub(super) fn mask(push: &mut Push, said: &Said) {
    match (&mut push.content, said) {
        (Content::Text { text, .. }, Said::Text { text: masked, .. }) => *text = masked.clone(),
        (Content::Voice { recognition, .. }, Said::Voice { recognition: masked }) => {
            *recognition = masked.clone();
        }
        (Content::Link { title, description, .. }, _) | (Content::File { title, description, .. }, _) => {
            *title = masked(title).0;
            *description = masked(description).0;
        }
        (Content::Location { label, .. }, _) => *label = masked(label).0,
        _ => {}
    }
}

/// A text as it may be kept: bounded, without what must not be in a chat; and whether there was any.
pub(super) fn masked(text: &Personal) -> (Personal, bool) {
    let bounded: String = text.reveal().chars().take(TEXT_CHARS_MAX).collect();
    let (text, found) = mask::chat(&bounded);
    (Personal::new(text), found.is_some())
}

/// WeChat's name of the picture or the voice that a push brings.
pub(super) fn file_of(push: &Push) -> Option<&str> {
    match &push.content {
        Content::Image { media_id, .. } | Content::Voice { media_id, .. } => Some(media_id),
        _ => None,
    }
}

/// What stands in the log for a push: `kind` and what a reader needs.
pub(super) fn log_content(push: &Push) -> Personal {
    let content = match &push.content {
        Content::Text { text, .. } => serde_json::json!({ "kind": "text", "text": text.reveal() }),
        Content::Image { url, media_id } => {
            serde_json::json!({ "kind": "image", "url": url.reveal(), "media_id": media_id })
        }
        Content::Voice { media_id, recognition, .. } => serde_json::json!({
            "kind": "voice",
            "media_id": media_id,
            "text": recognition.as_ref().map(Personal::reveal),
        }),
        Content::Video(video) | Content::ShortVideo(video) => {
            serde_json::json!({ "kind": "video", "media_id": video.media_id })
        }
        Content::Location { position, label, .. } => serde_json::json!({
            "kind": "location",
            "text": label.reveal(),
            "latitude": position.latitude.reveal(),
            "longitude": position.longitude.reveal(),
        }),
        Content::Link { title, url, .. } => {
            serde_json::json!({ "kind": "link", "text": title.reveal(), "url": url.reveal() })
        }
        Content::File { title, .. } => serde_json::json!({ "kind": "file", "text": title.reveal() }),
        Content::Event(Event::Click { key, .. }) => serde_json::json!({ "kind": "click", "text": key }),
        Content::Event(Event::Scan { scene, .. }) => serde_json::json!({ "kind": "scan", "text": scene }),
        Content::Event(_) => serde_json::json!({ "kind": push.content.name() }),
        Content::Unknown { .. } => serde_json::json!({ "kind": "unknown" }),
    };
    Personal::new(content.to_string())
}

/// Everything about a conversation at one moment, read before it is decided.
pub(super) struct Loaded {
    pub(super) conversation: Conversation,
    pub(super) state: DialogueState,
    pub(super) binding: Option<Binding>,
    pub(super) step_up: Option<StepUp>,
    pub(super) desk: DeskStatus,
    /// Whether the follower was noted before.
    pub(super) met: bool,
    links: PageLinks,
    silence_ceiling: Money,
    now: UnixMs,
}

/// Links are signed when a text asks for one: most do not.
struct PageLinks {
    identity: Arc<Identity>,
    account: AccountId,
    follower: FollowerKey,
    now: UnixMs,
}

impl Links for PageLinks {
    fn page(&self, page: Page) -> String {
        let page = match page {
            Page::Bind => identity::Page::Bind,
            Page::Apply => identity::Page::Apply,
            Page::ApplyProgress => identity::Page::ApplyProgress,
            Page::Alerts => identity::Page::Alerts,
            Page::Spending => identity::Page::Spending,
        };
        self.identity.link(&self.account, self.follower, page, self.now)
    }

    fn step_up(&self, scope: &str, proof: Proof) -> String {
        self.identity.step_up_link(&self.account, self.follower, scope, proof, self.now)
    }

    fn picture(&self, picture: Picture) -> String {
        self.identity.picture(picture.name())
    }
}

impl Loaded {
    /// The scene of a question. The window that it opens itself counts as open.
    pub(super) fn scene<'a>(&'a self, question: &'a Question<'_>) -> Scene<'a> {
        let open = self.conversation.ledger.left(self.now) > 0 || question.opens_window;
        Scene {
            account: question.account,
            follower: question.follower,
            now: self.now,
            said: &question.said,
            state: &self.state,
            stage: self.conversation.stage,
            binding: self.binding.as_ref(),
            step_up: self.step_up.as_ref(),
            desk: &self.desk,
            links: &self.links,
            reference: reference(&question.trace_id),
            masked: question.masked,
            chat_window_open: open,
            silence_ceiling: self.silence_ceiling,
        }
    }
}

/// The eight characters of a trace id that a customer can read out: its random end.
pub(super) fn reference(trace_id: &str) -> &str {
    trace_id.get(trace_id.len().saturating_sub(8)..).unwrap_or(trace_id)
}

impl Inbound {
    /// Brings together what a decision may look at.
    pub(super) async fn load(&self, known: Known) -> Result<Loaded, StoreError> {
        let now = self.rooms.clock.now();
        let Known { conversation, binding, step_up, met, .. } = known;
        let status = self.rooms.desk.status(&conversation.account).await?;
        let desk = DeskStatus {
            open: status.open,
            hours: status.hours,
            waiting: status.waiting,
            wait_minutes: Some(status.wait_minutes),
        };
        let links = PageLinks {
            identity: self.rooms.identity.clone(),
            account: conversation.account.clone(),
            follower: conversation.follower,
            now,
        };
        let state =
            conversation.dialogue.as_ref().map(|json| DialogueState::from_json(json)).unwrap_or_default();
        let silence_ceiling = self.rooms.config.alerts.silence_ceiling;
        Ok(Loaded { conversation, state, binding, step_up, desk, met, links, silence_ceiling, now })
    }
}
