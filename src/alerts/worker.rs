//! The owner's looks at what is to be told: plans it once, and follows what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Alerts;
use super::told::Told;
use crate::store::{Commit, CommitError, Lane, NoticeRow, TimedJob};
use crate::telemetry::trace::{self, SPANS};

/// Notices of one lane read at a time.
const LOOKS_MAX: usize = 200;
/// Notices looked at at the same time: their commits make one group.
const LOOKS_AT_ONCE_MAX: usize = 100;
/// Without a hint, notices are looked for this often.
const POLL: Duration = Duration::from_millis(250);
/// Old notices and calls are swept this often.
const SWEEP: Duration = Duration::from_secs(600);
/// Once in the whole cluster.
const SWEEP_JOB: TimedJob = TimedJob::new("notice_history", SWEEP, SWEEP);
/// Ids are remembered this long.
const REMEMBERED: Duration = Duration::from_secs(400 * 24 * 3600);
/// Calls are remembered this long; a captured one ages in minutes.
const CALLS_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// The lanes that notices have.
const LANES: [Lane; 3] = [Lane::Security, Lane::Spend, Lane::Reminder];

impl Alerts {
    /// Looks once at everything that is due. Returns how many notices that were.
    pub async fn step(&self) -> usize {
        let mut looked = 0;
        for lane in LANES {
            let (owner, now) = (self.outbound.parts().owner(), self.clock.now());
            let rows = match self.store.notices_to_look_at(owner, lane, now, LOOKS_MAX).await {
                Ok(rows) => rows,
                Err(error) => {
                    let lane = lane.name();
                    tracing::warn!(%error, lane, retry = "later", "the database gave no notices to look at");
                    continue;
                }
            };
            looked += rows.len();
            self.look_at(rows).await;
        }
        looked + self.release_held().await
    }

    async fn look_at(&self, rows: Vec<NoticeRow>) {
        let read = |row: NoticeRow| match Told::read(&row) {
            Ok(told) => Some((row, told)),
            Err(error) => {
                not_looked_at(&row, &error.into());
                None
            }
        };
        let due: Vec<(NoticeRow, Told)> = rows.into_iter().filter_map(read).collect();
        let seen = match self.seen(&due).await {
            Ok(seen) => seen,
            Err(error) => {
                tracing::warn!(%error, retry = "later", "the database did not say whom notices concern; they are pending until it does");
                return;
            }
        };
        let seen = &seen;
        futures::stream::iter(due)
            .for_each_concurrent(LOOKS_AT_ONCE_MAX, |(row, told)| async move {
                let trace = row.trace.unwrap_or_else(|| self.outbound.new_trace());
                let look = async {
                    let span = tracing::info_span!(target: SPANS, "alert", kind = row.kind);
                    self.look(&row, &told, seen).instrument(span).await
                };
                if let Err(error) = trace::carry(trace, look).await {
                    not_looked_at(&row, &error);
                }
            })
            .await;
    }

    /// Looks until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut swept = Instant::now();
        loop {
            let looked = self.step().await;
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.sweep().await;
            }
            let pause = if looked < LOOKS_MAX { POLL } else { Duration::ZERO };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.wake.notified() => {}
                () = sleep(pause) => {}
            }
        }
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        let mut commit = Commit::new(0);
        commit.extend(self.store.sweep_notices(now - REMEMBERED, now - CALLS_REMEMBERED));
        commit.push(self.store.sweep_held(now - REMEMBERED));
        if let Err(error) = self.store.once(&SWEEP_JOB, self.store.commit(commit)).await {
            tracing::warn!(%error, retry = "later", "old notices stay in the database until the next sweep");
        }
    }
}

fn not_looked_at(row: &NoticeRow, error: &CommitError) {
    tracing::warn!(
        %error,
        kind = row.kind,
        retry = "later",
        "a notice could not be looked at; it is pending until its next look succeeds"
    );
}
