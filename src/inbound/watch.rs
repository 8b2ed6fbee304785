//! What goes on by itself: pushes whose owner died, and keys that are old enough to forget.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Inbound, Stopped, conflict};
use crate::store::{Commit, Engine};

/// How often dead owners and unfinished wishes are looked for.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often old keys are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
/// How long a deduplication key is kept.
const KEYS_KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);

impl Inbound {
    /// An embedded server is alone on its database: whoever worked before it is dead.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn recover(&self) -> Result<(), crate::store::CommitError> {
        if self.rooms.store.engine() == Engine::Sqlite {
            self.rooms.store.commit(Commit::new(0).with(self.rooms.store.abandon_pushes())).await?;
        }
        Ok(())
    }

    /// Runs until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut forgotten = tokio::time::Instant::now();
        while !stop.is_cancelled() {
            if let Err(error) = self.step().await {
                tracing::warn!(%error, "cannot go on with owed work; trying again");
            }
            if forgotten.elapsed() > FORGET_EVERY {
                forgotten = tokio::time::Instant::now();
                let before = self.rooms.clock.now() - KEYS_KEPT;
                let forget = Commit::new(0).with(self.rooms.store.forget_pushes(before));
                if let Err(error) = self.rooms.store.commit(forget).await {
                    tracing::warn!(%error, "cannot forget old keys; trying again in an hour");
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// One look: goes on with what dead owners left, and with wishes that are due. Tells how much it did.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step(self: &Arc<Self>) -> Result<usize, crate::store::StoreError> {
        let now = self.rooms.clock.now();
        let mut done = 0;
        for dead in self.rooms.store.expired_pushes(now, now - self.limits.last_delivery).await? {
            let Some(account) = self.rooms.config.account(dead.account.as_str()) else { continue };
            let key = dead.key.clone();
            if let Err(error) = self.go_on_owed(account, dead).await {
                tracing::error!(account = %account.id, %error, push = ?key, "cannot go on with a push");
            }
            done += 1;
        }
        for resume in self.rooms.store.due_resumes(now).await? {
            self.resume_due(&resume).await;
            done += 1;
        }
        Ok(done)
    }

    /// WeChat delivers this push no more, so its answer goes by customer service.
    async fn go_on_owed(
        &self,
        account: &crate::config::Account,
        dead: crate::store::OpenPush,
    ) -> Result<(), Stopped> {
        let Some(mut ours) = self.take_over(dead).await? else { return Ok(()) };
        if !ours.owed {
            let mut commit = Commit::new(ours.follower.part());
            commit.extend(self.rooms.store.owe_push(&ours.account, &ours.key));
            match conflict(self.rooms.store.commit(commit).await)? {
                None => ours.owed = true,
                Some(_) => return Ok(()),
            }
        }
        self.go_on(account, ours).await.map(drop)
    }
}
