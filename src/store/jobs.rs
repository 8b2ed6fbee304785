//! Work that is done once in the whole cluster at each tick of time.
//!
//! A job has a row that says which tick was begun last, and by whom. Ticks count by the database's clock, so that all
//! instances mean the same one. Who begins a tick has a time to end it within; if he dies on the way, it is begun again by
//! another. So work must be safe to repeat, and is not repeated without need.

use std::future::Future;
use std::time::Duration;

use super::value::statements;
use super::{Commit, CommitError, Conflict, Store, Write};
use crate::domain::time::UnixMs;

statements! {
    BEGIN_TICK = "INSERT INTO job (name, tick, owner, until_ms, done, runs) VALUES ($1, $2, $3, $4, 0, 1) \
        ON CONFLICT (name) DO UPDATE SET tick = $2, owner = $3, until_ms = $4, done = 0, runs = job.runs + 1 \
        WHERE job.tick < $2 OR (job.tick = $2 AND job.done = 0 AND job.until_ms < $5)";
    END_TICK = "UPDATE job SET done = 1 WHERE name = $1 AND tick = $2 AND owner = $3";
}

/// A job of the cluster.
#[derive(Clone, Copy, Debug)]
pub struct TimedJob {
    name: &'static str,
    every: Duration,
    within: Duration,
}

impl TimedJob {
    /// Work named so, once in `every`; whoever has not ended it `within` this time counts as dead.
    #[must_use]
    pub const fn new(name: &'static str, every: Duration, within: Duration) -> Self {
        Self { name, every, within }
    }

    fn tick(&self, now: UnixMs) -> i64 {
        now.0.div_euclid(i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX).max(1))
    }
}

impl Store {
    /// Does the work of a job, unless some instance has begun it at this tick already. Tells whether it was done here.
    ///
    /// # Errors
    /// When the database fails, or the work; then another instance begins it again, once the time to end it is over.
    pub async fn once(
        &self,
        job: &TimedJob,
        work: impl Future<Output = Result<(), CommitError>>,
    ) -> Result<bool, CommitError> {
        let now = self.lease_now().await?;
        let Some(owner) = self.begin_tick(job, now).await? else { return Ok(false) };
        work.await?;
        let end = Write::new(END_TICK, vec![job.name.into(), job.tick(now).into(), owner.into()]);
        self.commit(Commit::new(0).with(end)).await?;
        Ok(true)
    }

    /// Begins the tick of a moment; gives the name under which it was begun, or `None` where another was first.
    async fn begin_tick(&self, job: &TimedJob, now: UnixMs) -> Result<Option<String>, CommitError> {
        let owner = self.new_id();
        let args = vec![
            job.name.into(),
            job.tick(now).into(),
            owner.as_str().into(),
            (now + job.within).into(),
            now.into(),
        ];
        match self.commit(Commit::new(0).with(Write::one(BEGIN_TICK, args, Conflict::Lost))).await {
            Ok(()) => Ok(Some(owner)),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use zeroize::Zeroizing;

    use super::*;
    use crate::clock::{SeededRandom, SystemRandom};
    use crate::keys::SoftKeys;
    use crate::store::StoreError;
    use crate::store::testing::{START, stores};

    const MINUTELY: TimedJob = TimedJob::new("minutely", Duration::from_secs(60), Duration::from_secs(30));

    #[tokio::test]
    async fn three_instances_do_each_tick_of_a_job_once() {
        for test in stores().await {
            let keys = SoftKeys::new(Zeroizing::new([42; 32]), vec![], Arc::new(SeededRandom::new(1)));
            let mut instances = vec![test.store.clone()];
            for _ in 0..2 {
                let (url, clock) = (test.url(), test.clock.clone());
                instances.push(Store::open(&url, &keys, clock, Arc::new(SystemRandom)).await.unwrap());
            }
            for tick in 0..20 {
                let now = START + MINUTELY.every * tick;
                let begun = instances.iter().map(|store| store.begin_tick(&MINUTELY, now));
                let begun = futures::future::join_all(begun).await;
                let count = begun.into_iter().filter(|begun| begun.as_ref().unwrap().is_some()).count();
                assert_eq!(count, 1, "tick {tick} on {}", test.name);
            }
        }
    }

    #[tokio::test]
    async fn a_tick_that_failed_is_begun_again_when_its_time_is_over_and_an_ended_one_is_not() {
        for test in stores().await {
            let store = &test.store;
            let after = |seconds| START + Duration::from_secs(seconds);
            let first = store.begin_tick(&MINUTELY, after(0)).await.unwrap();
            assert!(first.is_some());
            assert!(store.begin_tick(&MINUTELY, after(30)).await.unwrap().is_none(), "he has time left");
            assert!(store.begin_tick(&MINUTELY, after(31)).await.unwrap().is_some(), "he is dead");
            assert!(store.begin_tick(&MINUTELY, after(60)).await.unwrap().is_some(), "the next tick");
            assert!(store.begin_tick(&MINUTELY, after(0)).await.unwrap().is_none(), "time goes forward only");

            let runs = AtomicU32::new(0);
            let daily = TimedJob::new("daily", Duration::from_secs(1_000_000_000), Duration::ZERO);
            let fail = async { Err(CommitError::Store(StoreError::Closed)) };
            assert!(store.once(&daily, fail).await.is_err());
            test.clock.advance(Duration::from_millis(1));
            let work = || async {
                runs.fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            while !store.once(&daily, work()).await.unwrap() {}
            test.clock.advance(Duration::from_millis(1));
            assert!(!store.once(&daily, work()).await.unwrap(), "{}", test.name);
            assert_eq!(runs.load(Ordering::Relaxed), 1, "{}", test.name);
        }
    }
}
