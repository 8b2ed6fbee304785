//! Hints that something changed. A lost hint costs a moment, never a message: screens read again by number.
//!
//! What changes here is told at once. What other instances change is found in the database, looked at ten times a
//! second while a screen is open, and at once where another instance says so.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use super::Desk;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::store::{StoreError, Touched};

/// Hints that a slow reader may be behind; beyond it he reads everything again.
const BEHIND_MAX: usize = 256;
/// Conversations whose agents are remembered; whose are forgotten, everybody hears of.
const OWNERS_MAX: usize = 20_000;
/// Of them, those that are read when the first screen opens.
const LEARNED_MAX: u32 = 10_000;
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
    /// Only something was said, to this agent or by him: nobody else's lists changed. `None`: everybody's may have.
    pub owner: Option<String>,
}

/// Carries hints to the screens of this process.
pub(super) struct Live {
    hints: broadcast::Sender<Hint>,
    /// Who had which conversation when it was looked at last.
    owners: Mutex<HashMap<FollowerKey, String>>,
    elsewhere: Notify,
}

impl Live {
    pub(super) fn new() -> Self {
        Self { hints: broadcast::Sender::new(BEHIND_MAX), owners: Mutex::default(), elsewhere: Notify::new() }
    }

    pub(super) fn tell(&self, hint: Hint) {
        // Nobody listens: then nobody misses it.
        drop(self.hints.send(hint));
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Hint> {
        self.hints.subscribe()
    }

    pub(super) fn look_now(&self) {
        self.elsewhere.notify_one();
    }

    fn has_listeners(&self) -> bool {
        self.hints.receiver_count() > 0
    }

    /// Who has a conversation, as far as is known here.
    pub(super) fn owner(&self, follower: FollowerKey) -> Option<String> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner).get(&follower).cloned()
    }

    /// Learns who has a conversation now. Tells whether the same agent had it before, so that only something was said.
    fn is_still(&self, follower: FollowerKey, owner: Option<&str>) -> bool {
        let mut owners = self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        if owners.len() >= OWNERS_MAX {
            owners.clear();
        }
        match owner {
            Some(owner) => owners.insert(follower, owner.to_owned()).is_some_and(|before| before == owner),
            None => {
                owners.remove(&follower);
                false
            }
        }
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
                let looked = async {
                    if silent {
                        self.learn_owners().await?;
                    }
                    self.look_and_assign(&mut found).await
                };
                match looked.await {
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
                () = self.live.elsewhere.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Learns who has which conversation before the first hint: otherwise the first words in each of them would have
    /// every screen read its lists again.
    pub(super) async fn learn_owners(&self) -> Result<(), StoreError> {
        for case in self.store.cases_with_agents(LEARNED_MAX).await? {
            self.live.is_still(case.follower, case.owner.as_deref());
        }
        Ok(())
    }

    /// What changed since the last look; where it did, cases that wait may find their agent, or an agent is free again.
    async fn look_and_assign(&self, found: &mut Found) -> Result<Vec<Hint>, StoreError> {
        let changed = self.look(found).await?;
        // Where an owner stays, only something was said: nobody waits for it and nobody is free by it.
        let moved = changed.iter().filter(|hint| hint.owner.is_none());
        let accounts: HashSet<&AccountId> = moved.map(|hint| &hint.account).collect();
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
        let hint = |change: Touched| {
            let is_still = self.live.is_still(change.follower, change.owner.as_deref());
            let owner = change.owner.filter(|_| is_still);
            Hint { account: change.account, follower: change.follower, owner }
        };
        Ok(fresh.map(hint).collect())
    }
}
