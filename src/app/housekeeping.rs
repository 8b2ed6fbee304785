//! What goes on beside customers: time alone changes something at the desk, and what is old goes.
//!
//! The desk is tended by every instance: each change is made under its case's version, so that of two one finds nothing to
//! do. What only erases is done once in the whole cluster at each of its ticks.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Rooms;
use crate::store::TimedJob;

const TEND_EVERY: Duration = Duration::from_secs(10);
/// Rounds of tending between two looks whether a purge is due.
const PURGE_ROUNDS: u32 = 30;
const PURGE: TimedJob = TimedJob::new("purge", Duration::from_secs(300), Duration::from_secs(60));

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
