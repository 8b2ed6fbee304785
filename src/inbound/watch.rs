//! What goes on by itself: pushes whose owner died, and keys that are old enough to forget.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::{Inbound, Stopped, conflict};
use crate::store::{Commit, CommitError, Conflict, OpenPush, PushOutcome, StoreError};
use crate::telemetry::trace::{self, SPANS};
use crate::wechat::reply::Reply;
use crate::wechat::text::Text;

/// How often dead owners and unfinished wishes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is looked for old keys; while there are more than one commit forgets, at every look.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Old keys that one commit forgets: it holds up what customers wait for by some milliseconds, no more.
const FORGET_MAX: usize = 5_000;
/// Owed pushes and wishes that this process goes on with at the same time.
const TASKS_MAX: usize = 64;
/// Work that is under way at a stop may take this long.
const FINISH_WITHIN: Duration = Duration::from_secs(4);
/// What the customer reads when his message could not be worked on by anybody.
const GIVEN_UP: &str = "抱歉，您刚才的消息没能处理成功。请再发一次，或回复“人工”由客服为您办理。";
/// How long a deduplication key is kept.
const KEYS_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

impl Inbound {
    /// An embedded server is alone on its database: whoever worked before it is dead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recover(&self) -> Result<(), CommitError> {
        if self.rooms.store.is_alone() {
            self.rooms.store.commit(Commit::new(0).with(self.rooms.store.abandon_pushes())).await?;
        }
        Ok(())
    }

    /// Runs until `stop`, then finishes what is in work.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut forget_at = Instant::now();
        let mut tasks = JoinSet::new();
        while !stop.is_cancelled() {
            if let Err(error) = self.look_for_owed(&mut tasks).await {
                tracing::warn!(%error, "the database does not say what work is owed; looking again in half a second");
            }
            if forget_at <= Instant::now() {
                let forgotten = self.forget_old_keys().await.unwrap_or_else(|error| {
                    tracing::warn!(%error, "cannot forget old keys; trying again in a minute");
                    0
                });
                if forgotten < FORGET_MAX {
                    forget_at = Instant::now() + FORGET_EVERY;
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            while let Some(ended) = tasks.try_join_next() {
                told(ended);
            }
        }
        let finished = tokio::time::timeout(FINISH_WITHIN, async {
            while let Some(ended) = tasks.join_next().await {
                told(ended);
            }
        });
        if finished.await.is_err() {
            tracing::warn!("owed work was cut off; whoever takes over its lease goes on with it");
        }
    }

    /// One look, and the end of what it found. Tells how much that was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step(self: &Arc<Self>) -> Result<usize, StoreError> {
        let mut tasks = JoinSet::new();
        self.look_for_owed(&mut tasks).await?;
        let found = tasks.len();
        while let Some(ended) = tasks.join_next().await {
            told(ended);
        }
        Ok(found)
    }

    /// Forgets one batch of keys that WeChat delivers no more, and tells how many they were.
    pub(super) async fn forget_old_keys(&self) -> Result<usize, CommitError> {
        let before = self.rooms.clock.now() - KEYS_KEPT;
        let old = self.rooms.store.count_old_pushes(before, FORGET_MAX).await?;
        if old > 0 {
            let forget = self.rooms.store.forget_pushes(before, FORGET_MAX);
            self.rooms.store.commit(Commit::new(0).with(forget)).await?;
        }
        Ok(old)
    }

    /// Goes on with what dead owners left, and with wishes that are due, each in a task of its own: a slow follower
    /// holds up no other, and one whose message makes the house stumble ends nothing but his own task.
    async fn look_for_owed(self: &Arc<Self>, tasks: &mut JoinSet<()>) -> Result<(), StoreError> {
        let now = self.rooms.clock.now();
        let dead = self.rooms.store.expired_pushes(now, now - self.limits.last_delivery).await?;
        for dead in dead.into_iter().take(TASKS_MAX.saturating_sub(tasks.len())) {
            let inbound = self.clone();
            tasks.spawn(async move { inbound.go_on_owed(dead).await });
        }
        let owed = self.rooms.store.due_owed_calls(now).await?;
        for call in owed.into_iter().take(TASKS_MAX.saturating_sub(tasks.len())) {
            let inbound = self.clone();
            tasks.spawn(async move { inbound.try_owed_call(&call).await });
        }
        let due = self.rooms.store.due_resumes(now).await?;
        for resume in due.into_iter().take(TASKS_MAX.saturating_sub(tasks.len())) {
            let inbound = self.clone();
            tasks.spawn(async move { inbound.resume_due(&resume).await });
        }
        Ok(())
    }

    async fn go_on_owed(&self, dead: OpenPush) {
        let (account, follower) = (dead.account.clone(), dead.follower);
        let trace = self.trace_of(&account, &dead.key);
        let go_on = async {
            let span = tracing::info_span!(target: SPANS, "owed push", account = account.as_str());
            if let Err(error) = self.try_go_on_owed(dead).instrument(span).await {
                tracing::error!(
                    %account, %follower, %error, retry = "later",
                    "the work on a push of a dead owner cannot go on; it is tried again when its lease ends"
                );
            }
        };
        trace::carry(trace, go_on).await;
    }

    /// WeChat delivers this push no more, so its answer goes by customer service.
    async fn try_go_on_owed(&self, dead: OpenPush) -> Result<(), Stopped> {
        let Some(mut ours) = self.take_over(dead).await? else { return Ok(()) };
        if !ours.owed {
            let mut commit = Commit::new(ours.follower.part());
            commit.extend(self.rooms.store.owe_push(&ours.account, &ours.key));
            if conflict(self.rooms.store.commit(commit).await)?.is_some() {
                return Ok(());
            }
            ours.owed = true;
        }
        if ours.epoch > self.limits.owners_max {
            return self.give_up_push(&ours).await;
        }
        match self.rooms.config.account(ours.account.as_str()) {
            Some(account) => self.go_on(account, ours).await.map(drop),
            None => Ok(()),
        }
    }

    /// Ends a push that nobody got to its end: the customer is told, and his next messages wait for it no more.
    async fn give_up_push(&self, ours: &OpenPush) -> Result<(), Stopped> {
        tracing::error!(
            account = %ours.account, follower = %ours.follower, owners = ours.epoch,
            "a push outlived all its owners and is given up; the customer is told. Look for crashes under this trace"
        );
        metrics::counter!("weikefu_inbound_given_up_total").increment(1);
        let store = &self.rooms.store;
        let Ok(text) = Text::new(GIVEN_UP) else { return Ok(()) };
        let reply = Reply::Text(text);
        for _ in 0..self.limits.attempts_max {
            let mut conversation = store.conversation(&ours.account, ours.follower).await?;
            conversation.open_turns = (conversation.open_turns - 1).max(0);
            let mut commit = Commit::new(ours.follower.part());
            commit.extend(self.follow_up(&ours.account, ours.follower, &mut conversation, &reply)?);
            commit.extend(store.settle_push(ours, PushOutcome::Owed, None));
            commit.push(store.save_conversation(conversation)?);
            match conflict(store.commit(commit).await)? {
                Some(Conflict::Stale) => {}
                None => {
                    self.rooms.outbound.wake(ours.follower.part());
                    return Ok(());
                }
                Some(Conflict::Duplicate | Conflict::Lost) => return Ok(()),
            }
        }
        Err(Stopped::Contended(self.limits.attempts_max))
    }
}

/// A task that panicked has left its lease behind; the next look finds it.
fn told(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "the work on a message panicked: a fault of ours, please report it; its lease lets it go on");
    }
}
