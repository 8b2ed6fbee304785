//! What goes on beside customers: time alone changes something at the desk, and what is old goes.
//!
//! The desk is tended by every instance: each change is made under its case's version, so that of two one finds nothing to
//! do. What only erases is done once in the whole cluster at each of its ticks.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Rooms;
use crate::store::{CommitError, Kept, Tidied, TimedJob};

const TEND_EVERY: Duration = Duration::from_secs(10);
/// Rounds of tending between two looks whether a purge is due.
const PURGE_ROUNDS: u32 = 30;
const PURGE: TimedJob = TimedJob::new("purge", Duration::from_secs(300), Duration::from_secs(60));
const TIDY_LOG_EVERY: Duration = Duration::from_secs(600);
const TIDY_LOG: TimedJob = TimedJob::new("log_days", TIDY_LOG_EVERY, Duration::from_secs(1_800));

/// Erases what has had its time, and returns conversations that wait for nobody any more.
pub(super) async fn tend(rooms: Rooms, stop: CancellationToken) {
    let mut round = 0_u32;
    while !stop.is_cancelled() {
        for account in &rooms.config.accounts {
            if let Err(error) = rooms.desk.tend(&account.id).await {
                tracing::warn!(account = %account.id, %error, "cannot tend the desk: waiting customers see no news; trying again in 10 s");
            }
        }
        if round.is_multiple_of(PURGE_ROUNDS)
            && let Err(error) = rooms.store.once(&PURGE, rooms.identity.purge(rooms.clock.now())).await
        {
            tracing::warn!(%error, "cannot erase what has had its time; trying again in 5 minutes");
        }
        round = round.wrapping_add(1);
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(TEND_EVERY) => {}
        }
    }
}

/// Makes the days of the log ahead, and lets those go that are old enough. A stop does not wait for it: whatever it was
/// doing, the next run finds the rest.
pub(super) async fn tidy_log(rooms: Rooms, stop: CancellationToken) {
    let kept = rooms.config.retention;
    let kept = Kept { days: kept.message_days, only_archived: kept.only_archived };
    let work = || async {
        let tidied = rooms.store.tidy_log(kept, rooms.clock.now()).await?;
        tell(&tidied);
        Ok::<_, CommitError>(())
    };
    let mut due = tokio::time::interval(TIDY_LOG_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = due.tick() => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            done = rooms.store.once(&TIDY_LOG, work()) => {
                if let Err(error) = done {
                    tracing::warn!(%error, "the days of the log are not tidied; trying again in 10 minutes");
                }
            }
        }
    }
}

fn tell(tidied: &Tidied) {
    if let (Some(first), Some(last)) = (tidied.gone.first(), tidied.gone.last()) {
        tracing::info!(days = tidied.gone.len(), %first, %last, "old days of the log are gone");
    }
    if tidied.waiting > 0 {
        tracing::warn!(
            days = tidied.waiting,
            "days of the log are old enough to go, and wait for `weikefu archive`: run it every day"
        );
    }
}
