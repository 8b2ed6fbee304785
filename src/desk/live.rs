//! Hints that something changed. A lost hint costs a moment, never a message: screens read again by number.
//!
//! What changes here is told at once. What other instances change is found in the database, looked at ten times a
//! second while a screen is open.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::Desk;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::store::{StoreError, Touched};

/// Hints that a slow reader may be behind; beyond it he reads everything again.
const BEHIND_MAX: usize = 256;
/// How often changes of other instances are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A commit may show this much later than its time says, and clocks of instances differ.
const LATE: Duration = Duration::from_secs(3);

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

    fn has_listeners(&self) -> bool {
        self.0.receiver_count() > 0
    }
}

/// What was found already: changes show again while they are young.
#[derive(Default)]
pub(super) struct Found(HashSet<Touched>);

impl Desk {
    /// Tells the screens of this process what other instances changed, until `stop`.
    pub async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut found = Found::default();
        let mut silent = true;
        while !stop.is_cancelled() {
            if self.live.has_listeners() {
                match self.look_and_assign(&mut found).await {
                    Ok(changed) => {
                        // The first look of a screen reads everything anyway.
                        for hint in changed.into_iter().filter(|_| !silent) {
                            self.live.tell(hint);
                        }
                        silent = false;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the database does not say what changed at the desk; screens ask by themselves meanwhile");
                    }
                }
            } else {
                silent = true;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// What changed since the last look; where it did, cases that wait may find their agent, or an agent is free again.
    async fn look_and_assign(&self, found: &mut Found) -> Result<Vec<Hint>, StoreError> {
        let changed = self.look(found).await?;
        let accounts: HashSet<&AccountId> = changed.iter().map(|hint| &hint.account).collect();
        for account in accounts {
            self.assign(account).await?;
        }
        Ok(changed)
    }

    /// What changed since the last look, each change once.
    pub(super) async fn look(&self, found: &mut Found) -> Result<Vec<Hint>, StoreError> {
        let since: UnixMs = self.now() - LATE;
        let touched = self.store.touched_cases(since).await?;
        found.0.retain(|old| old.at >= since);
        let fresh = touched.into_iter().filter(|change| found.0.insert(change.clone()));
        let hint = |change: Touched| Hint { account: change.account, follower: change.follower };
        Ok(fresh.map(hint).collect())
    }
}
