//! What the owner looks for beside sending: rows whose time is over, tries that nobody saw end (before anything else is
//! sent), and old history.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::gate::day_of;
use super::policy::{Next, UNCLEAR, cannot_be_sent, template_ends};
use super::worker::Job;
use super::{Outbound, sender_of};
use crate::domain::verdict::{State, Verdict};
use crate::store::{Attempt, Commit, CommitError, OutChannel, StoreError, TimedJob};
use crate::telemetry::trace;

/// Expired rows are looked for this often.
const TIDY: Duration = Duration::from_secs(1);
/// History is swept this often in the whole cluster, this many rows at a time.
const SWEEP: Duration = Duration::from_secs(60);
const SWEEP_JOB: TimedJob = TimedJob::new("outbox_history", SWEEP, SWEEP);
const SWEEP_ROWS_MAX: usize = 5_000;
/// How long history is kept.
const HISTORY: Duration = Duration::from_secs(90 * 24 * 3600);
const RECEIPTS: Duration = Duration::from_secs(14 * 24 * 3600);
const QUOTA_DAYS: i64 = 7;
/// A row that expires while it is being sent is left alone for longer than a send can last.
const ON_THE_WAY: Duration = Duration::from_secs(15);
/// Rows of one tidying.
const TIDY_ROWS_MAX: usize = 200;

impl Outbound {
    pub(super) async fn run_tidying(&self, stop: &CancellationToken) {
        let mut swept = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(TIDY) => { self.tidy().await; }
            }
            if swept.elapsed() >= SWEEP {
                swept = Instant::now();
                self.sweep().await;
            }
        }
    }

    /// Settles rows whose time is over.
    pub(super) async fn tidy(&self) -> usize {
        let now = self.clock.now();
        let expired = self.store.expired_outbox(self.parts.owner(), now - ON_THE_WAY, TIDY_ROWS_MAX).await;
        let expired = expired.unwrap_or_else(|error| {
            tracing::warn!(%error, retry = "later", "the database did not say what has expired");
            vec![]
        });
        let mut done = 0;
        for row in expired {
            let Some(working) = self.parts.begin(row.fence.part) else { continue };
            let trace = row.trace.unwrap_or_else(|| self.new_trace());
            // It is not sent: only its end is written.
            let job = Job::new(row, working, None);
            trace::carry(trace, self.expire(&job)).await;
            done += 1;
        }
        done
    }

    async fn expire(&self, job: &Job) {
        const EXPIRED: &str = "expired";
        let row = &job.row;
        if row.channel == OutChannel::Event {
            metrics::counter!("weikefu_events_total", "outcome" => "given_up").increment(1);
            tracing::error!(
                event_id = row.outbox_id,
                "the bank's receiver did not take an event for three days: it is given up; compare [events] url and secret"
            );
        }
        if row.channel == OutChannel::CustomerService
            && let Next::Keep { reason } = cannot_be_sent(sender_of(row.sender.as_deref()), EXPIRED)
        {
            return self.say_next(job, &reason, row.attempts, vec![]).await;
        }
        let is_unclear = row.channel == OutChannel::Template
            && self.store.was_unclear(&row.outbox_id).await.unwrap_or(false);
        let verdict = Verdict::new(State::Failed, if is_unclear { UNCLEAR } else { EXPIRED });
        self.settle(job, &verdict, None, row.attempts, vec![]).await;
    }

    /// A batch that an earlier owner left behind was perhaps sent: each of its unsettled rows gets that try in its
    /// list. They go out again under the same `client_msg_id`, as long as WeChat knows it.
    pub(super) async fn recover(&self) -> Result<(), StoreError> {
        loop {
            let left = self.store.left_intents(self.parts.owner(), TIDY_ROWS_MAX).await?;
            for intent in &left {
                let mut commit = Commit::new(0);
                for outbox_id in &intent.outbox_ids {
                    if let Some(attempts) = self.store.open_attempts(outbox_id).await? {
                        let lost =
                            Attempt { at: intent.at, duration_ms: 0, outcome: "unclear", errcode: None };
                        let ends = template_ends(intent.at);
                        commit.push(self.store.add_attempt(outbox_id, attempts + 1, &lost));
                        commit.push(self.store.count_attempt(outbox_id, attempts + 1, ends));
                    }
                }
                commit.push(self.store.end_intent(&intent.intent_id));
                match self.store.commit(commit).await {
                    Ok(()) | Err(CommitError::Conflict(_)) => {}
                    Err(CommitError::Store(error)) => return Err(error),
                }
            }
            if left.len() < TIDY_ROWS_MAX {
                return Ok(());
            }
        }
    }

    async fn sweep(&self) {
        let now = self.clock.now();
        let mut commit = Commit::new(0);
        commit.extend(self.store.sweep_outbox(now - HISTORY, now - RECEIPTS, SWEEP_ROWS_MAX));
        commit.push(self.store.forget_quotas(day_of(now) - QUOTA_DAYS));
        if let Err(error) = self.store.once(&SWEEP_JOB, self.store.commit(commit)).await {
            tracing::warn!(%error, retry = "later", "old rows of the outbox stay until the next sweep");
        }
    }
}
