//! Hints that something changed. A lost hint costs a moment, never a message: screens read again by number.

use tokio::sync::broadcast;

use crate::domain::ids::{AccountId, FollowerKey};

/// Hints that a slow reader may be behind; beyond it he reads everything again.
const BEHIND_MAX: usize = 256;

/// Something changed in one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The account.
    pub account: AccountId,
    /// The follower.
    pub follower: FollowerKey,
}

/// Carries hints to the screens of this process.
pub(super) struct Live(broadcast::Sender<Hint>);

impl Live {
    pub(super) fn new() -> Self {
        Self(broadcast::Sender::new(BEHIND_MAX))
    }

    pub(super) fn tell(&self, hint: Hint) {
        // Nobody listens: then nobody misses it.
        drop(self.0.send(hint));
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Hint> {
        self.0.subscribe()
    }
}
