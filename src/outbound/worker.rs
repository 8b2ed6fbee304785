//! The owner's loop: reads what is due, writes intents, sends, settles.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::policy::{Next, Outcome, Try, after_event, after_template};
use super::{Outbound, TemplatePayload};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict};
use crate::parts::Working;
use crate::store::{Attempt, Commit, CommitError, Fence, Lane, OutChannel, OutboxRow, StoreError, Write};
use crate::telemetry::trace::{self, SPANS};
use crate::wechat::api::TemplateMessage;

/// Messages to WeChat that are unsettled at the same time.
const SENDS_MAX: usize = 96;
/// Room that must be free before more rows are read, so that a busy loop does not read for each single send.
const ROOM_MIN: usize = 24;
/// Events that are posted at the same time.
const EVENTS_MAX: usize = 16;
/// Without a hint, rows are looked for this often.
const POLL: Duration = Duration::from_millis(250);
/// Settling is tried this often while the database fails, then the row is left to be found again.
const SETTLE_TRIES_MAX: u32 = 6;
const SETTLE_PAUSE: Duration = Duration::from_millis(200);

/// A row that this process will send now.
pub(super) struct Job {
    pub(super) row: OutboxRow,
    batch: Option<Arc<Batch>>,
    _working: Working,
}

impl Job {
    /// A row that is not sent: only its end is written.
    pub(super) fn not_sent(row: OutboxRow, working: Working) -> Self {
        Self { row, batch: None, _working: working }
    }

    /// Writes that end the batch's intent, for the commit of its last row.
    pub(super) fn end_of_batch(&self, outbound: &Outbound) -> Option<Write> {
        let batch = self.batch.as_ref()?;
        (batch.left.fetch_sub(1, Ordering::AcqRel) == 1).then(|| outbound.store.end_intent(&batch.intent_id))
    }
}

/// One intent and how many of its rows are unsettled.
struct Batch {
    intent_id: String,
    left: AtomicUsize,
}

/// Whom a message goes to.
type Whom = (AccountId, FollowerKey);

/// Work that goes on in tasks of its own, by what it is about. A task that panics frees its key too.
struct InFlight<K> {
    tasks: JoinSet<()>,
    keys: HashMap<Id, K>,
}

impl<K> Default for InFlight<K> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), keys: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash> InFlight<K> {
    fn len(&self) -> usize {
        self.keys.len()
    }

    fn keys(&self) -> HashSet<K> {
        self.keys.values().cloned().collect()
    }

    fn spawn(&mut self, key: K, work: impl Future<Output = ()> + Send + 'static) {
        let id = self.tasks.spawn(work).id();
        self.keys.insert(id, key);
    }

    async fn one_ends(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => {
                tracing::error!(%error, "a send panicked: a fault of ours, please report it; its row is looked at again");
                error.id()
            }
            None => return,
        };
        self.keys.remove(&id);
    }
}

impl Outbound {
    /// Runs one round by hand: leases, what was left behind, what is due, until it is sent. Returns how many rows
    /// were dealt with.
    pub async fn step(&self) -> usize {
        let mut done = 0;
        if let Err(error) = self.parts.tend().await {
            tracing::warn!(%error, retry = "later", "the leases of outgoing work could not be tended");
        }
        done += self.tidy().await;
        let jobs = self.take(SENDS_MAX, &HashSet::new()).await;
        done += jobs.len();
        futures::future::join_all(jobs.into_iter().map(|job| self.send(job))).await;
        let events = self.take_events(EVENTS_MAX, &HashSet::new()).await;
        done += events.len();
        futures::future::join_all(events.into_iter().map(|job| self.send(job))).await;
        done
    }

    /// Sends until told to stop; then finishes what is on the way and gives its partitions back.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let leases = CancellationToken::new();
        let work = async {
            tokio::join!(self.run_messages(&stop), self.run_events(&stop), self.run_tidying(&stop));
            leases.cancel();
        };
        tokio::join!(self.parts.run(leases.clone()), work);
        if let Err(error) = self.parts.leave().await {
            tracing::warn!(%error, "the partitions could not be given back; they are free when their leases end");
        }
    }

    async fn run_messages(self: &Arc<Self>, stop: &CancellationToken) {
        let mut sending = InFlight::default();
        let mut look = true;
        loop {
            let room = SENDS_MAX - sending.len();
            if look && !stop.is_cancelled() && room >= ROOM_MIN {
                let jobs = self.take(room, &sending.keys()).await;
                look = !jobs.is_empty();
                for job in jobs {
                    let outbound = Arc::clone(self);
                    if let Some(whom) = whom(&job.row) {
                        sending.spawn(whom, async move { outbound.send(job).await });
                    }
                }
            }
            if stop.is_cancelled() && sending.len() == 0 {
                return;
            }
            tokio::select! {
                () = sending.one_ends(), if sending.len() > 0 => look = true,
                () = self.messages.notified() => look = true,
                () = sleep(POLL) => look = true,
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    async fn run_events(self: &Arc<Self>, stop: &CancellationToken) {
        let mut posting = InFlight::default();
        loop {
            let room = EVENTS_MAX - posting.len();
            if !stop.is_cancelled() && room > 0 {
                for job in self.take_events(room, &posting.keys()).await {
                    let (outbound, id) = (Arc::clone(self), job.row.outbox_id.clone());
                    posting.spawn(id, async move { outbound.send(job).await });
                }
            }
            if stop.is_cancelled() && posting.len() == 0 {
                return;
            }
            tokio::select! {
                () = posting.one_ends(), if posting.len() > 0 => {}
                () = self.events.notified() => {}
                () = sleep(POLL) => {}
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Reads due rows, the most urgent lane first, at most one for each follower, and says that they will be sent.
    async fn take(&self, room: usize, busy: &HashSet<Whom>) -> Vec<Job> {
        let mut rows: Vec<(OutboxRow, Working)> = Vec::new();
        let mut followers = HashSet::new();
        for lane in Lane::TO_WECHAT {
            // Rows of followers that are busy are read again, each at most once a channel.
            let read_max = room + 2 * busy.len();
            for row in self.read(lane, read_max).await {
                let Some(whom) = whom(&row) else { continue };
                if rows.len() >= room || busy.contains(&whom) || !followers.insert(whom) {
                    continue;
                }
                rows.extend(self.parts.begin(row.fence.part).map(|working| (row, working)));
            }
        }
        self.intend(rows).await
    }

    async fn take_events(&self, room: usize, busy: &HashSet<String>) -> Vec<Job> {
        let rows = self.read(Lane::Event, room + busy.len()).await;
        let free = rows.into_iter().filter(|row| !busy.contains(&row.outbox_id)).take(room);
        free.filter_map(|row| {
            let working = self.parts.begin(row.fence.part)?;
            Some(Job { row, batch: None, _working: working })
        })
        .collect()
    }

    async fn read(&self, lane: Lane, rows_max: usize) -> Vec<OutboxRow> {
        let now = self.clock.now();
        match self.store.due_outbox(self.parts.owner(), lane, now, rows_max).await {
            Ok(rows) => rows,
            Err(error) => {
                let lane = lane.name();
                tracing::warn!(%error, lane, retry = "later", "the database gave nothing to send; what waits goes on waiting");
                vec![]
            }
        }
    }

    /// Writes one intent for each partition's templates. Customer-service messages write their own, alone, when the
    /// allowance is booked. Rows whose partition was lost meanwhile drop out.
    async fn intend(&self, rows: Vec<(OutboxRow, Working)>) -> Vec<Job> {
        let mut jobs = Vec::with_capacity(rows.len());
        let mut groups: Vec<(Fence, Vec<(OutboxRow, Working)>)> = Vec::new();
        for (row, working) in rows {
            if row.channel == OutChannel::CustomerService {
                jobs.push(Job { row, batch: None, _working: working });
            } else if let Some((_, group)) = groups.iter_mut().find(|(fence, _)| *fence == row.fence) {
                group.push((row, working));
            } else {
                groups.push((row.fence.clone(), vec![(row, working)]));
            }
        }
        let intents = groups.into_iter().map(|(fence, group)| async move {
            let ids: Vec<&str> = group.iter().map(|(row, _)| row.outbox_id.as_str()).collect();
            let batch = Arc::new(Batch { intent_id: self.store.new_id(), left: AtomicUsize::new(ids.len()) });
            let intent = self.store.add_intent(&batch.intent_id, &fence, &ids);
            match self.store.commit(Commit::new(fence.part).with(intent)).await {
                Ok(()) => group
                    .into_iter()
                    .map(|(row, working)| Job { row, batch: Some(batch.clone()), _working: working })
                    .collect(),
                Err(error) => {
                    tracing::info!(%error, part = fence.part, "an intent did not stand; its rows are left");
                    vec![]
                }
            }
        });
        for group in futures::future::join_all(intents).await {
            jobs.extend(group);
        }
        jobs
    }

    /// One try, under the trace of what caused the row.
    async fn send(&self, job: Job) {
        let (lane, channel) = (job.row.lane.name(), job.row.channel);
        let waited = self.clock.now().since(job.row.created);
        metrics::histogram!("weikefu_outbound_wait_seconds", "lane" => lane).record(waited.as_secs_f64());
        let trace = job.row.trace.unwrap_or_else(|| self.new_trace());
        let send = async {
            let span = tracing::info_span!(target: SPANS, "outbox send", lane, channel = channel.name());
            match channel {
                OutChannel::CustomerService => self.send_chat(job).instrument(span).await,
                OutChannel::Template => self.send_template(job).instrument(span).await,
                OutChannel::Event => self.post_event(job).instrument(span).await,
            }
        };
        trace::carry(trace, send).await;
    }

    async fn send_template(&self, job: Job) {
        let row = &job.row;
        let message = match self.addressed(row).await {
            Ok(Ok(message)) => message,
            Ok(Err(verdict)) => return self.settle(&job, &verdict, None, row.attempts, vec![]).await,
            Err(error) => {
                return tracing::warn!(
                    %error,
                    retry = "later",
                    "the database did not say whom a template message goes to; it is tried again"
                );
            }
        };
        let Some(api) = row.account.as_ref().and_then(|account| self.apis.get(account)) else {
            let verdict = Verdict::new(State::Failed, "account_not_configured");
            return self.settle(&job, &verdict, None, row.attempts, vec![]).await;
        };
        let (began, at) = (Instant::now(), self.clock.now());
        let outcome = Outcome::of(api.template_send(&message).await.map(Some));
        let attempt = attempt(at, began, &outcome);
        count_outcome(row, &outcome);
        let this = Try { number: row.attempts + 1, now: self.clock.now(), jitter: self.jitter() };
        let next = after_template(&outcome, this);
        let msgid = match &outcome {
            Outcome::Accepted(msgid) => msgid.clone(),
            _ => None,
        };
        self.conclude(&job, next, this.number, msgid.as_deref(), attempt).await;
    }

    /// The message with its openid, or why it must not leave: his binding ended, or he left, since it was written.
    async fn addressed(&self, row: &OutboxRow) -> Result<Result<TemplateMessage, Verdict>, StoreError> {
        let (Some(account), Some(follower)) = (&row.account, row.follower) else {
            return Ok(Err(Verdict::new(State::Failed, "no_address")));
        };
        if let Some(customer_ix) = &row.customer_ix
            && !self.store.binding_stands(account, follower, customer_ix).await?
        {
            return Ok(Err(Verdict::new(State::Suppressed, "no_binding")));
        }
        if self.store.is_following(account, follower).await? == Some(false) {
            return Ok(Err(Verdict::new(State::Unreachable, "not_following")));
        }
        let Some(to) = self.store.openid(account, follower).await? else {
            return Ok(Err(Verdict::new(State::Suppressed, "no_binding")));
        };
        let Ok(payload) = serde_json::from_slice::<TemplatePayload>(&row.payload) else {
            return Ok(Err(Verdict::new(State::Failed, "unreadable")));
        };
        Ok(Ok(TemplateMessage {
            to,
            template_id: payload.template_id,
            url: payload.url,
            mini_program: None,
            client_msg_id: row.client_msg_id.clone().unwrap_or_else(|| row.outbox_id.clone()),
            data: payload.data,
        }))
    }

    /// Writes what follows from a try.
    pub(super) async fn conclude(
        &self,
        job: &Job,
        next: Next,
        attempts: i64,
        msgid: Option<&str>,
        attempt: Attempt,
    ) {
        let row = &job.row;
        let mut writes = vec![self.store.add_attempt(&row.outbox_id, attempts, &attempt)];
        match next {
            Next::Settle(verdict) => {
                if verdict.state == State::Unreachable
                    && let (Some(account), Some(follower)) = (&row.account, row.follower)
                {
                    writes.push(self.store.set_left(account, follower, self.clock.now()));
                }
                self.settle(job, &verdict, msgid, attempts, writes).await;
            }
            Next::Again { due, reason } => {
                writes.push(self.store.delay_outbox(row, due, &reason, attempts));
                self.finish(job, writes).await;
            }
            Next::Pause { until, reason } => {
                if let Some(account) = &row.account {
                    let until_ms = until.0;
                    tracing::warn!(
                        %account, channel = row.channel.name(), reason, until_ms,
                        "WeChat takes no more of these for a while; what waits leaves afterwards, or the bank falls back"
                    );
                    writes.push(self.store.pause_api(account, row.channel, until));
                }
                writes.push(self.store.delay_outbox(row, until, &reason, attempts));
                self.finish(job, writes).await;
            }
            Next::Keep { reason } => self.say_next(job, &reason, attempts, writes).await,
        }
    }

    /// Ends a row, with whatever else belongs to that.
    pub(super) async fn settle(
        &self,
        job: &Job,
        verdict: &Verdict,
        msgid: Option<&str>,
        attempts: i64,
        mut writes: Vec<Write>,
    ) {
        let row = &job.row;
        metrics::counter!("weikefu_outbound_settled_total", "lane" => row.lane.name(),
            "state" => verdict.state.name())
        .increment(1);
        tell(row, verdict, attempts);
        writes.push(self.store.settle_outbox(row, verdict, msgid, attempts));
        writes.extend(self.settled_message(row, verdict));
        if matches!(row.cause_kind.as_str(), "transaction" | "notice") {
            writes.push(self.store.poke_notice(&row.cause_kind, &row.cause_id));
        }
        self.finish(job, writes).await;
    }

    /// Commits under the lease, patiently: what was sent must not be sent again because the database hesitated.
    pub(super) async fn finish(&self, job: &Job, writes: Vec<Write>) {
        let mut commit = Commit::new(job.row.fence.part);
        commit.extend(writes);
        commit.extend(job.end_of_batch(self));
        if job.row.channel == OutChannel::CustomerService {
            commit.push(self.store.end_intent(&job.row.outbox_id));
        }
        for tries in 1..=SETTLE_TRIES_MAX {
            match self.store.commit(commit.clone()).await {
                Ok(()) => return,
                Err(CommitError::Conflict(conflict)) => {
                    tracing::info!(
                        ?conflict,
                        part = job.row.fence.part,
                        "a row was settled by another owner; nothing is lost"
                    );
                    return;
                }
                Err(CommitError::Store(error)) => {
                    tracing::warn!(
                        %error,
                        tries,
                        retry = "now",
                        "what was sent is not noted yet; after {SETTLE_TRIES_MAX} tries it is found again and sent under the same id"
                    );
                    sleep(SETTLE_PAUSE * tries).await;
                }
            }
        }
    }

    async fn post_event(&self, job: Job) {
        let row = &job.row;
        let Some(receiver) = &self.receiver else {
            let verdict = Verdict::new(State::Suppressed, "events_not_configured");
            return self.settle(&job, &verdict, None, row.attempts, vec![]).await;
        };
        let (began, at) = (Instant::now(), self.clock.now());
        let status = receiver.post(&row.outbox_id, row.payload.to_vec(), at).await;
        let delivered = status.is_some_and(|status| (200..300).contains(&status));
        let outcome = match status {
            Some(_) if delivered => "accepted",
            Some(_) => "refused",
            None => "unclear",
        };
        metrics::counter!("weikefu_events_total", "outcome" => outcome).increment(1);
        let attempt =
            Attempt { at, duration_ms: millis(began.elapsed()), outcome, errcode: status.map(i64::from) };
        let this = Try { number: row.attempts + 1, now: self.clock.now(), jitter: self.jitter() };
        self.conclude(&job, after_event(delivered, this), this.number, None, attempt).await;
    }
}

/// The end of a row, in the log: whom it went to shows as the keyed hash only.
fn tell(row: &OutboxRow, verdict: &Verdict, attempts: i64) {
    let (channel, lane, state) = (row.channel.name(), row.lane.name(), verdict.state.name());
    let reason = verdict.reason.as_deref().unwrap_or_default();
    let account = row.account.as_ref().map_or("", AccountId::as_str);
    let follower = row.follower.map(|follower| follower.to_string()).unwrap_or_default();
    tracing::info!(
        account,
        follower,
        channel,
        lane,
        state,
        reason,
        attempts,
        "an outgoing message came to its end"
    );
}

fn whom(row: &OutboxRow) -> Option<Whom> {
    Some((row.account.clone()?, row.follower?))
}

pub(super) fn attempt(at: UnixMs, began: Instant, outcome: &Outcome) -> Attempt {
    Attempt { at, duration_ms: millis(began.elapsed()), outcome: outcome.name(), errcode: outcome.code() }
}

pub(super) fn count_outcome(row: &OutboxRow, outcome: &Outcome) {
    metrics::counter!("weikefu_outbound_tries_total", "channel" => row.channel.name(),
        "outcome" => outcome.name())
    .increment(1);
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
