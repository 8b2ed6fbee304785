//! Whether a way out is open, and for how many: the day's quota, drawn in blocks that instances share through the
//! database, the rate of the second, and what WeChat has closed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::rate::Bucket;
use crate::domain::ids::AccountId;
use crate::domain::time::{BeijingDay, UnixMs};
use crate::store::{Commit, CommitError, Conflict, Lane, OutChannel, QuotaDay, QuotaUse, Store, StoreError};

/// Calls drawn at once, at most: one write for so many sends, and no more are wasted when a process dies.
const BLOCK_MAX: i64 = 500;
/// The last calls of a day are drawn in smaller blocks: one in so many of what is left, so that all instances have some.
const BLOCK_SHARE: i64 = 16;
/// One in so many of a day's calls is kept for security.
const SECURITY_SHARE: i64 = 50;
/// When nothing is left, it is asked again after this: others give back what they did not use.
const ASK_AGAIN: Duration = Duration::from_secs(30);
/// Another instance may draw at the same moment, this often.
const STALE_TRIES_MAX: u32 = 16;

/// An API of an account.
pub(super) type Way = (AccountId, OutChannel);

/// Every way out of this process.
#[derive(Default)]
pub(super) struct Gate {
    ways: Mutex<BTreeMap<Way, State>>,
}

#[derive(Default)]
struct State {
    bucket: Option<Bucket>,
    /// The day that the permits below are of.
    day: i64,
    /// Drawn and not used: for anything.
    permits: i64,
    /// Drawn and not used: for security only.
    security_permits: i64,
    /// When nothing was left for anything, or for security.
    refused: Option<UnixMs>,
    security_refused: Option<UnixMs>,
    /// WeChat said that it takes no more for a while.
    is_paused: bool,
}

impl State {
    fn turn(&mut self, day: i64) {
        if self.day != day {
            *self = Self { bucket: self.bucket.take(), is_paused: self.is_paused, day, ..Self::default() };
        }
    }

    fn left(&self, lane: Lane) -> i64 {
        if lane == Lane::Security { self.permits + self.security_permits } else { self.permits }
    }

    fn use_up(&mut self, lane: Lane, calls: i64) {
        let first = if lane == Lane::Security { calls.min(self.security_permits) } else { 0 };
        self.security_permits -= first;
        self.permits -= calls - first;
    }

    fn refused(&mut self, lane: Lane) -> &mut Option<UnixMs> {
        if lane == Lane::Security { &mut self.security_refused } else { &mut self.refused }
    }

    fn is_refused(&mut self, lane: Lane, now: UnixMs) -> bool {
        self.refused(lane).is_some_and(|at| now >= at && now < at + ASK_AGAIN)
    }
}

impl Gate {
    /// Keeps to a rate from now on; `None`: to none.
    pub(super) fn set_rate(&self, way: &Way, per_second: Option<u32>, now: UnixMs) {
        let mut ways = self.ways();
        let state = ways.entry(way.clone()).or_default();
        match (&mut state.bucket, per_second) {
            (Some(bucket), Some(per_second)) => bucket.set(per_second),
            (bucket, per_second) => *bucket = per_second.map(|per_second| Bucket::new(per_second, now)),
        }
    }

    /// What WeChat has closed, as the database has it now.
    pub(super) fn set_paused(&self, paused: &BTreeSet<Way>) {
        let mut ways = self.ways();
        for (way, state) in ways.iter_mut() {
            state.is_paused = paused.contains(way);
        }
        for way in paused {
            ways.entry(way.clone()).or_default().is_paused = true;
        }
    }

    /// Whether nothing but security can leave this way for now: the day's quota is gone, or WeChat has closed it.
    pub(super) fn is_closed(&self, way: &Way, now: UnixMs) -> bool {
        let mut ways = self.ways();
        let Some(state) = ways.get_mut(way) else { return false };
        state.turn(day_of(now));
        state.is_paused || (state.permits <= 0 && state.refused.is_some())
    }

    /// How many calls of a lane may be made now, as far as can be told without the database.
    pub(super) fn room(&self, way: &Way, lane: Lane, now: UnixMs) -> usize {
        let mut ways = self.ways();
        let state = ways.entry(way.clone()).or_default();
        state.turn(day_of(now));
        if state.is_paused || (state.left(lane) <= 0 && state.is_refused(lane, now)) {
            return 0;
        }
        state.bucket.as_mut().map_or(usize::MAX, |bucket| bucket.calls(now))
    }

    /// Whether it is the rate that holds calls back.
    pub(super) fn is_limited_by_rate(&self, way: &Way, now: UnixMs) -> bool {
        let mut ways = self.ways();
        let bucket = ways.get_mut(way).and_then(|state| state.bucket.as_mut());
        bucket.is_some_and(|bucket| bucket.calls(now) == 0)
    }

    /// Takes permits for calls that are about to be made, drawing a block where there are too few. Returns how many
    /// it got.
    ///
    /// # Errors
    /// When the database fails and no permit was in hand.
    pub(super) async fn permit(
        &self,
        store: &Store,
        way: &Way,
        lane: Lane,
        wanted: usize,
        now: UnixMs,
    ) -> Result<usize, StoreError> {
        let day = day_of(now);
        let missing = {
            let mut ways = self.ways();
            let state = ways.entry(way.clone()).or_default();
            state.turn(day);
            let wanted = i64::try_from(wanted).unwrap_or(i64::MAX);
            if state.is_refused(lane, now) { 0 } else { wanted - state.left(lane) }
        };
        if missing > 0 {
            let of = QuotaDay { account: way.0.clone(), channel: way.1, day };
            let drawn = draw(store, &of, lane).await?;
            let mut ways = self.ways();
            let state = ways.entry(way.clone()).or_default();
            state.turn(day);
            match drawn {
                Drawn::Nothing => *state.refused(lane) = Some(now),
                Drawn::Calls(calls) => {
                    state.permits += calls;
                    (state.refused, state.security_refused) = (None, None);
                }
                Drawn::ForSecurity(calls) => state.security_permits += calls,
            }
        }
        let mut ways = self.ways();
        let state = ways.entry(way.clone()).or_default();
        let left = usize::try_from(state.left(lane)).unwrap_or(0);
        let got = wanted.min(left);
        state.use_up(lane, i64::try_from(got).unwrap_or(0));
        if let Some(bucket) = &mut state.bucket {
            bucket.take(got);
        }
        Ok(got)
    }

    /// Gives back what was drawn today and not used, for the others.
    pub(super) async fn give_back(&self, store: &Store, now: UnixMs) -> Result<(), StoreError> {
        let day = day_of(now);
        let mut commit = Commit::new(0);
        for ((account, channel), state) in self.ways().iter_mut() {
            state.turn(day);
            let calls = std::mem::take(&mut state.permits) + std::mem::take(&mut state.security_permits);
            let of = QuotaDay { account: account.clone(), channel: *channel, day };
            if calls > 0 {
                commit.push(store.give_quota_back(&of, calls));
            }
        }
        match store.commit(commit).await {
            Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    fn ways(&self) -> MutexGuard<'_, BTreeMap<Way, State>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a draw brought.
enum Drawn {
    Nothing,
    Calls(i64),
    ForSecurity(i64),
}

/// Draws one block of a day's calls. What is kept for security only security gets.
async fn draw(store: &Store, of: &QuotaDay, lane: Lane) -> Result<Drawn, StoreError> {
    for _ in 0..STALE_TRIES_MAX {
        let before = store.quota_use(of).await?;
        let (free, kept) = free(before);
        let security = lane == Lane::Security && free == 0;
        let from = if security { kept } else { free };
        if from == 0 {
            return Ok(Drawn::Nothing);
        }
        let calls = (from / BLOCK_SHARE).clamp(1, BLOCK_MAX).min(from);
        let mut commit = Commit::new(0);
        commit.extend(store.draw_quota(of, before, calls));
        match store.commit(commit).await {
            Ok(()) if security => return Ok(Drawn::ForSecurity(calls)),
            Ok(()) => return Ok(Drawn::Calls(calls)),
            Err(CommitError::Conflict(Conflict::Stale)) => {}
            Err(CommitError::Conflict(_)) => return Ok(Drawn::Nothing),
            Err(CommitError::Store(error)) => return Err(error),
        }
    }
    Ok(Drawn::Nothing)
}

/// What is left of a day: for anything, and beyond that for security.
fn free(used: QuotaUse) -> (i64, i64) {
    let Some(calls_max) = used.calls_max else { return (i64::MAX / 2, 0) };
    let left = calls_max.saturating_sub(used.drawn).max(0);
    let kept = (calls_max / SECURITY_SHARE).min(left);
    (left - kept, kept)
}

/// Days of Beijing since 1970.
pub(super) fn day_of(now: UnixMs) -> i64 {
    BeijingDay::of(now).0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::stores;

    fn way() -> Way {
        (AccountId::new("card"), OutChannel::Template)
    }

    async fn allow(store: &Store, now: UnixMs, calls_max: i64, used: i64) {
        let of = QuotaDay { account: way().0, channel: way().1, day: day_of(now) };
        let mut commit = Commit::new(0);
        commit.extend(store.learn_quota(&of, calls_max, used));
        store.commit(commit).await.unwrap();
    }

    #[tokio::test]
    async fn instances_that_draw_at_once_never_make_more_calls_than_the_day_has() {
        for test in stores().await {
            let (store, now) = (&test.store, crate::clock::Clock::now(test.clock.as_ref()));
            allow(store, now, 2_000, 700).await;
            let gates: Vec<Gate> = (0..12).map(|_| Gate::default()).collect();
            let mut calls = 0;
            loop {
                let way = &way();
                let round = gates.iter().map(|gate| gate.permit(store, way, Lane::Spend, 7, now));
                let got: usize = futures::future::join_all(round).await.into_iter().map(Result::unwrap).sum();
                calls += got;
                if got == 0 {
                    break;
                }
            }
            assert_eq!(calls, 2_000 - 700 - 40, "{}: all but what is kept for security", test.name);
            assert!(gates.iter().all(|gate| gate.is_closed(&way(), now)));
            let mut security = 0;
            for _ in 0..8 {
                for gate in &gates {
                    security += gate.permit(store, &way(), Lane::Security, 7, now).await.unwrap();
                }
            }
            assert_eq!(security, 40, "{}", test.name);
        }
    }

    #[tokio::test]
    async fn what_is_not_used_is_given_back_and_a_new_day_begins_anew() {
        for test in stores().await {
            let (store, now) = (&test.store, crate::clock::Clock::now(test.clock.as_ref()));
            allow(store, now, 160, 0).await;
            let (first, second) = (Gate::default(), Gate::default());
            assert_eq!(first.permit(store, &way(), Lane::Spend, 4, now).await.unwrap(), 4);
            first.give_back(store, now).await.unwrap();
            let of = QuotaDay { account: way().0, channel: way().1, day: day_of(now) };
            assert_eq!(store.quota_use(&of).await.unwrap().drawn, 4, "{}", test.name);
            let mut calls = 0;
            while let got @ 1.. = second.permit(store, &way(), Lane::Spend, 9, now).await.unwrap() {
                calls += got;
            }
            assert_eq!(calls, 160 - 3 - 4, "{}", test.name);
            let tomorrow = now + Duration::from_secs(24 * 3600);
            assert_eq!(second.room(&way(), Lane::Spend, now), 0);
            assert_eq!(second.room(&way(), Lane::Spend, tomorrow), usize::MAX);
            assert_eq!(second.permit(store, &way(), Lane::Spend, 9, tomorrow).await.unwrap(), 9);
        }
    }
}
