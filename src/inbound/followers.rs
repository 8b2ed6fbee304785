//! One follower's messages are handled in order; different followers never wait for each other (P5).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::domain::ids::{AccountId, FollowerKey};

/// Sweep entries that nobody holds when the map has grown by this many.
const SWEEP_EVERY: usize = 1_024;

/// A queue for each follower who is being served in this process.
#[derive(Default)]
pub(super) struct Followers {
    turns: Mutex<HashMap<(AccountId, FollowerKey), Weak<Turn<()>>>>,
}

impl Followers {
    /// The follower's queue. Waiting in it is first come, first served.
    fn turn(&self, account: &AccountId, follower: FollowerKey) -> Arc<Turn<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if turns.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            turns.retain(|_, turn| turn.strong_count() > 0);
        }
        let slot = turns.entry((account.clone(), follower)).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let turn = Arc::new(Turn::new(()));
            *slot = Arc::downgrade(&turn);
            turn
        })
    }

    /// The turn, if nobody is before us.
    pub(super) fn try_turn(&self, account: &AccountId, follower: FollowerKey) -> Option<OwnedMutexGuard<()>> {
        self.turn(account, follower).try_lock_owned().ok()
    }

    /// The turn, after those before us.
    pub(super) async fn wait_turn(&self, account: &AccountId, follower: FollowerKey) -> OwnedMutexGuard<()> {
        self.turn(account, follower).lock_owned().await
    }
}
