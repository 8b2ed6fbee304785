//! Who owns which of the 256 partitions of outgoing work.
//!
//! Ownership is a row with an end and an epoch. An instance renews its rows well before they end, stops working by
//! its own monotonic clock before anybody else may take them, and gives back what it should not have. Whoever takes
//! a row raises its epoch, which is a condition of each write that follows from work on it: an owner that slept
//! writes nothing any more. One embedded process owns all partitions by the same code.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::domain::time::UnixMs;
use crate::store::{Commit, Lease, Store, StoreError};

/// How long a lease lives without being renewed.
const LEASE: Duration = Duration::from_secs(8);
/// How often it is renewed.
const RENEW_AFTER: Duration = Duration::from_millis(2_500);
/// Work stops this long after the last renewal.
const WORK_UNTIL: Duration = Duration::from_millis(5_500);
/// How often vacancies are looked for: what a stopped instance gives back has an owner again within a second.
const ROUND: Duration = Duration::from_millis(500);
/// Instances silent for this long are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

/// The partitions that this process owns. One for each start: its owner id is never used again.
pub struct Parts {
    store: Store,
    owner: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: BTreeSet<u8>,
    leaving: BTreeSet<u8>,
    busy: BTreeMap<u8, usize>,
    renewed: Option<Instant>,
    alive: usize,
    takings: u64,
}

/// Work on one partition is going on: it is not given back meanwhile.
pub struct Working {
    parts: Arc<Parts>,
    part: u8,
}

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = self.parts.state();
        if let Some(busy) = state.busy.get_mut(&self.part) {
            *busy -= 1;
            if *busy == 0 {
                state.busy.remove(&self.part);
            }
        }
    }
}

impl Parts {
    /// An instance that owns nothing yet.
    #[must_use]
    pub fn new(store: Store) -> Self {
        let owner = store.new_id();
        Self { store, owner, state: Mutex::default() }
    }

    /// This process as its leases name it.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// How many partitions it may work on now.
    #[must_use]
    pub fn held(&self) -> usize {
        let state = self.state();
        if fresh(&state) { state.held.len() } else { 0 }
    }

    /// Whether a partition is this process's, as of the last round.
    #[must_use]
    pub fn holds(&self, part: u8) -> bool {
        let state = self.state();
        fresh(&state) && state.held.contains(&part)
    }

    /// How many instances share the work, this one included, as of the last round; 0 before the first.
    #[must_use]
    pub fn alive(&self) -> usize {
        self.state().alive
    }

    /// How often partitions were taken that were not held before. Whoever works on what an earlier owner may have left
    /// unfinished looks for that first, whenever this number has changed.
    #[must_use]
    pub fn takings(&self) -> u64 {
        self.state().takings
    }

    /// Begins work on a partition; `None` when it is not ours to work on now.
    #[must_use]
    pub fn begin(self: &Arc<Self>, part: u8) -> Option<Working> {
        let mut state = self.state();
        if !fresh(&state) || !state.held.contains(&part) || state.leaving.contains(&part) {
            return None;
        }
        *state.busy.entry(part).or_default() += 1;
        Some(Working { parts: Arc::clone(self), part })
    }

    /// One round: says that it lives, renews, takes what is vacant and should be its own, gives back the rest.
    /// Returns how many partitions are new.
    ///
    /// # Errors
    /// When the database fails; work then stops by itself.
    pub async fn tend(&self) -> Result<usize, StoreError> {
        let started = Instant::now();
        let now = self.store.lease_now().await?;
        let until = now + LEASE;
        let renews = self.state().renewed.is_none_or(|renewed| started - renewed >= RENEW_AFTER);
        if renews {
            let commit = Commit::new(0)
                .with(self.store.beat(&self.owner, now))
                .with(self.store.renew_parts(&self.owner, until))
                .with(self.store.forget_instances(now - FORGET_AFTER));
            self.write(commit).await?;
        }
        let mut alive = self.store.instances_since(now - LEASE).await?;
        if !alive.contains(&self.owner) {
            // The clock jumped over our last beat; we know that we live.
            alive.push(self.owner.clone());
        }
        let leases = self.store.leases().await?;
        let moves = self.moves(&leases, &alive, now, until);
        if let Some(commit) = moves {
            self.write(commit).await?;
        }
        let held: BTreeSet<u8> = self
            .store
            .leases()
            .await?
            .into_iter()
            .filter(|lease| lease.owner == self.owner)
            .map(|lease| lease.part)
            .collect();
        let mut state = self.state();
        let taken = held.difference(&state.held).count();
        state.leaving.retain(|part| held.contains(part));
        state.held = held;
        // Only together: what was held before may be another's since, if we slept.
        if renews {
            state.renewed = Some(started);
        }
        state.alive = alive.len();
        state.takings += u64::from(taken > 0);
        metrics::gauge!("weikefu_parts_held").set(f64::from(u32::try_from(state.held.len()).unwrap_or(0)));
        Ok(taken)
    }

    /// What to take and what to give back; `None`: nothing.
    fn moves(&self, leases: &[Lease], alive: &[String], now: UnixMs, until: UnixMs) -> Option<Commit> {
        // An embedded database has one process: whoever held a part before it is gone.
        let ended_before = if self.store.is_alone() { UnixMs(i64::MAX) } else { now };
        let mut commit = Commit::new(0);
        let mut moved = false;
        let mut state = self.state();
        for lease in leases {
            let mine = lease.owner == self.owner;
            let wanted = rightful(lease.part, alive).is_some_and(|owner| *owner == self.owner);
            if wanted && !mine && lease.until < ended_before {
                commit.push(self.store.take_part(lease.part, &self.owner, until, ended_before));
                moved = true;
            }
            if wanted {
                state.leaving.remove(&lease.part);
            } else if mine {
                state.leaving.insert(lease.part);
                if !state.busy.contains_key(&lease.part) {
                    commit.push(self.store.give_part_back(lease.part, &self.owner));
                    moved = true;
                }
            }
        }
        moved.then_some(commit)
    }

    /// Tends the leases until told to stop, then gives everything back. Before it returns, work must have ended.
    pub async fn run(&self, stop: CancellationToken) {
        let mut round = tokio::time::interval(ROUND);
        round.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = round.tick() => {}
            }
            if let Err(error) = self.tend().await {
                tracing::warn!(
                    %error,
                    retry = "at once",
                    "the leases of outgoing work could not be renewed; sending stops until they are. See that the database answers"
                );
            }
        }
    }

    /// Gives everything back, so that others need not wait for the leases to end.
    ///
    /// # Errors
    /// When the database fails; the leases then end by themselves.
    pub async fn leave(&self) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            state.held.clear();
            state.renewed = None;
        }
        let mut commit = Commit::new(0);
        commit.extend(self.store.leave_instance(&self.owner));
        self.write(commit).await
    }

    async fn write(&self, commit: Commit) -> Result<(), StoreError> {
        match self.store.commit(commit).await {
            // None of these writes has a condition that fails its commit.
            Ok(()) | Err(crate::store::CommitError::Conflict(_)) => Ok(()),
            Err(crate::store::CommitError::Store(error)) => Err(error),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn fresh(state: &State) -> bool {
    state.renewed.is_some_and(|renewed| renewed.elapsed() < WORK_UNTIL)
}

/// Which of the living instances should own a part: the one with the highest hash. When one comes or goes, only its
/// own share moves.
fn rightful(part: u8, alive: &[String]) -> Option<&String> {
    alive.iter().max_by_key(|owner| {
        let mut hash = Sha256::new();
        hash.update(owner.as_bytes());
        hash.update([0, part]);
        hash.finalize()
    })
}

#[cfg(test)]
mod tests;
