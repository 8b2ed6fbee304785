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

use super::lanes::{SENDS_MAX, sends_max};
use super::policy::{Next, Outcome, Try, UNCLEAR, after_event, after_template, template_ends};
use super::subscription::is_about_consent;
use super::{DIGEST, Outbound, TemplatePayload};
use crate::domain::ids::{AccountId, FollowerKey, Openid};
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, Verdict};
use crate::parts::Working;
use crate::store::{Attempt, Commit, CommitError, Family, Lane, OutChannel, OutboxRow, Write};
use crate::telemetry::trace::{self, SPANS};
use crate::wechat::api::TemplateMessage;
use crate::wechat::errcode::Class;

/// Room that must be free before a backlog is read, so that a busy loop does not read for each single send.
const ROOM_MIN: usize = 48;
/// Events that are posted at the same time.
const EVENTS_MAX: usize = 32;
/// [`ROOM_MIN`] for events.
const EVENTS_ROOM_MIN: usize = 16;
/// A message that was settled this soon after it was written left at once: its notice is looked at in time anyway.
const AT_ONCE: Duration = Duration::from_secs(30);
/// Without a hint, rows are looked for this often.
const POLL: Duration = Duration::from_millis(250);
/// The same while a rate holds calls back.
const RATE_POLL: Duration = Duration::from_millis(20);
/// A WeChat that does not answer is asked this often whether it is back.
const PROBE: Duration = Duration::from_secs(1);
/// While the database fails, settling is tried again after this, then after twice this, and so on.
const SETTLE_PAUSE: Duration = Duration::from_millis(200);
const SETTLE_PAUSE_MAX: Duration = Duration::from_secs(2);
/// After this the row is left to be found again.
const SETTLE_FOR: Duration = Duration::from_secs(10 * 60);

/// A row that this process will send now.
pub(super) struct Job {
    pub(super) row: OutboxRow,
    batch: Option<Arc<Batch>>,
    _working: Working,
}

impl Job {
    /// A row that will be sent, with the intent that says so if it is shared with others.
    pub(super) fn new(row: OutboxRow, working: Working, batch: Option<Arc<Batch>>) -> Self {
        Self { row, batch, _working: working }
    }

    /// Writes that end the batch's intent, for the commit of its last row.
    fn end_of_batch(&self, outbound: &Outbound) -> Option<Write> {
        let batch = self.batch.as_ref()?;
        (batch.left.fetch_sub(1, Ordering::AcqRel) == 1).then(|| outbound.store.end_intent(&batch.intent_id))
    }
}

/// One intent and how many of its rows are unsettled.
pub(super) struct Batch {
    intent_id: String,
    left: AtomicUsize,
}

impl Batch {
    pub(super) fn new(intent_id: String, rows: usize) -> Self {
        Self { intent_id, left: AtomicUsize::new(rows) }
    }
}

/// Whom a message goes to.
pub(super) type Whom = (AccountId, FollowerKey);

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
        if let Err(error) = self.parts.tend().await {
            tracing::warn!(%error, retry = "later", "the leases of outgoing work could not be tended");
        }
        self.round().await
    }

    /// The same under the leases that are held.
    pub(crate) async fn round(&self) -> usize {
        let mut done = self.tidy().await;
        self.probe().await;
        let jobs = self.take(0, &HashSet::new(), false).await;
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
            tokio::join!(
                self.run_messages(&stop),
                self.run_events(&stop),
                self.run_tidying(&stop),
                self.run_probing(&stop)
            );
            leases.cancel();
        };
        tokio::join!(self.parts.run(leases.clone()), work);
        if let Err(error) = self.gate.give_back(&self.store, self.clock.now()).await {
            tracing::warn!(%error, "what is left of today's quota could not be given back; the others do without it");
        }
        if let Err(error) = self.parts.leave().await {
            tracing::warn!(%error, "the partitions could not be given back; they are free when their leases end");
        }
    }

    async fn run_messages(self: &Arc<Self>, stop: &CancellationToken) {
        let mut sending = InFlight::default();
        // What there may be to read: nothing new, something new, or more of what there was.
        let (mut hint, mut more) = (true, true);
        loop {
            let has_room = sends_max(Lane::Spend).saturating_sub(sending.len()) >= ROOM_MIN;
            let urgent_only = !has_room;
            if !stop.is_cancelled() && sending.len() < SENDS_MAX && (hint || (more && has_room)) {
                let jobs = self.take(sending.len(), &sending.keys(), urgent_only).await;
                hint = false;
                more = urgent_only || !jobs.is_empty();
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
            let poll = if self.is_held_by_rate() { RATE_POLL } else { POLL };
            tokio::select! {
                () = sending.one_ends(), if sending.len() > 0 => more = true,
                () = self.messages.notified() => hint = true,
                () = sleep(poll) => hint = true,
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
    }

    /// Asks each WeChat that does not answer for nothing, until it does: no message is put at risk for that.
    async fn run_probing(&self, stop: &CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(PROBE) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.probe() => {}
            }
        }
    }

    async fn probe(&self) {
        let down = self.apis.iter().filter(|(_, api)| api.is_cut_off());
        let asked = futures::future::join_all(down.map(|(account, api)| async move {
            if api.greet().await.is_ok() {
                tracing::info!(%account, "WeChat answers again; what waits leaves now");
            }
        }));
        if !asked.await.is_empty() {
            self.messages.notify_one();
        }
    }

    async fn run_events(self: &Arc<Self>, stop: &CancellationToken) {
        let mut posting = InFlight::default();
        // As for messages: a hint is there or not, and there may be more of what there was.
        let (mut hint, mut more) = (true, true);
        loop {
            let room = EVENTS_MAX - posting.len();
            if !stop.is_cancelled() && room >= EVENTS_ROOM_MIN && (hint || more) {
                let jobs = self.take_events(room, &posting.keys()).await;
                (hint, more) = (false, jobs.len() == room);
                for job in jobs {
                    let (outbound, id) = (Arc::clone(self), job.row.outbox_id.clone());
                    posting.spawn(id, async move { outbound.send(job).await });
                }
            }
            if stop.is_cancelled() && posting.len() == 0 {
                return;
            }
            tokio::select! {
                () = posting.one_ends(), if posting.len() > 0 => {}
                () = self.events.notified() => hint = true,
                () = sleep(POLL) => hint = true,
                () = stop.cancelled(), if !stop.is_cancelled() => {}
            }
        }
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
                OutChannel::Subscription => self.send_subscription(job).instrument(span).await,
                OutChannel::Event => self.post_event(job).instrument(span).await,
            }
        };
        trace::carry(trace, send).await;
    }

    async fn send_template(&self, job: Job) {
        let row = &job.row;
        let message = match addressed(row) {
            Ok((to, payload)) => templated(row, to, payload),
            Err(verdict) => return self.settle(&job, &verdict, None, row.attempts, vec![]).await,
        };
        let Some(api) = row.account.as_ref().and_then(|account| self.apis.get(account)) else {
            let verdict = Verdict::new(State::Failed, "account_not_configured");
            return self.settle(&job, &verdict, None, row.attempts, vec![]).await;
        };
        let (began, at) = (Instant::now(), self.clock.now());
        let outcome = Outcome::of(api.template_send(&message).await.map(Some));
        let attempt = attempt(at, began, &outcome);
        count_outcome(row, &outcome);
        alarm(row, &outcome);
        let this = Try { number: row.attempts + 1, now: self.clock.now(), jitter: self.jitter() };
        let next = after_template(&outcome, this);
        let msgid = match &outcome {
            Outcome::Accepted(msgid) => msgid.clone(),
            _ => None,
        };
        self.conclude(&job, next, this.number, msgid.as_deref(), attempt).await;
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
                    && !is_about_consent(&verdict)
                    && let (Some(account), Some(follower)) = (&row.account, row.follower)
                {
                    writes.push(self.store.set_left(account, follower, self.clock.now()));
                }
                self.settle(job, &verdict, msgid, attempts, writes).await;
            }
            Next::Again { due, reason } => {
                // Once a try of it may have arrived, a template message ends while WeChat still knows its id.
                let is_unclear = row.channel == OutChannel::Template && attempt.outcome == UNCLEAR;
                let expires = if is_unclear { template_ends(attempt.at) } else { row.expires };
                writes.push(self.store.delay_outbox(row, due, expires, &reason, attempts));
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
                writes.push(self.store.delay_outbox(row, until, row.expires, &reason, attempts));
                writes.extend(self.poke(row));
                self.finish(job, writes).await;
            }
            Next::Keep { reason } => self.say_next(job, &reason, attempts, writes).await,
        }
    }

    /// What the notices of a settled row need. What left at once needs no look yet: nothing follows from it before
    /// its receipt or its deadline, unless the receipt is there already.
    fn poke_settled(&self, row: &OutboxRow, verdict: &Verdict, msgid: Option<&str>) -> (Option<Write>, u8) {
        let at_once = verdict.state == State::Sent && self.clock.now().since(row.created) < AT_ONCE;
        let family = Family::parse(&row.cause_kind);
        match (family, &row.account, msgid) {
            // With the receipt's commit, which is its follower's: one of the two sees the other.
            (Some(family), Some(account), Some(msgid)) if at_once => {
                let poke = self.store.poke_reported_notice(family.name(), &row.cause_id, account, msgid);
                (Some(poke), row.fence.part)
            }
            _ => (self.poke(row), lane_of(row)),
        }
    }

    /// Asks for a look at the notices that a row carries, if it carries any.
    fn poke(&self, row: &OutboxRow) -> Option<Write> {
        match row.cause_kind.as_str() {
            DIGEST => Some(self.store.poke_carried(&row.cause_id)),
            kind => Family::parse(kind).map(|_| self.store.poke_notice(kind, &row.cause_id)),
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
        let (poke, lane) = self.poke_settled(row, verdict, msgid);
        writes.extend(poke);
        self.finish_in(job, writes, lane).await;
    }

    /// Commits under the lease, patiently: what was sent must be noted, however long the database hesitates. Nothing
    /// else could be sent meanwhile. A process that ends before leaves its intent, which tells the next owner.
    pub(super) async fn finish(&self, job: &Job, writes: Vec<Write>) {
        self.finish_in(job, writes, lane_of(&job.row)).await;
    }

    async fn finish_in(&self, job: &Job, writes: Vec<Write>, lane: u8) {
        let row = &job.row;
        let mut commit = Commit::new(lane);
        commit.extend(writes);
        commit.extend(job.end_of_batch(self));
        if matches!(row.channel, OutChannel::CustomerService | OutChannel::Subscription) {
            commit.push(self.store.end_intent(&row.outbox_id));
        }
        let (began, part) = (Instant::now(), row.fence.part);
        let mut pause = SETTLE_PAUSE;
        while began.elapsed() < SETTLE_FOR {
            match self.store.commit(commit.clone()).await {
                Ok(()) => return,
                Err(CommitError::Conflict(conflict)) => {
                    tracing::info!(?conflict, part, "a row was settled by another owner; nothing is lost");
                    return;
                }
                Err(CommitError::Store(error)) => {
                    tracing::warn!(
                        %error,
                        part,
                        retry = "now",
                        "what was sent is not noted yet; it is tried until the database answers. See that it does"
                    );
                    sleep(pause).await;
                    pause = (pause * 2).min(SETTLE_PAUSE_MAX);
                }
            }
        }
        tracing::error!(
            part,
            "what was sent could not be noted for ten minutes; it is found again, and sent under the same id or not at all"
        );
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

/// Where a commit goes that changes a notice, too: to the customer's, so that two never wait for each other's rows.
fn lane_of(row: &OutboxRow) -> u8 {
    let customer = row.address.customer_ix.as_ref().and_then(|ix| ix.first());
    customer.copied().unwrap_or(row.fence.part)
}

/// What a row says and to whom, or why it must not leave: his binding ended, or he left, since it was written.
pub(super) fn addressed(row: &OutboxRow) -> Result<(Openid, TemplatePayload), Verdict> {
    let address = &row.address;
    if address.customer_ix.is_some() && !address.is_bound {
        return Err(Verdict::new(State::Suppressed, "no_binding"));
    }
    if address.following == Some(false) {
        return Err(Verdict::new(State::Unreachable, "not_following"));
    }
    let Some(to) = address.openid.clone() else {
        return Err(Verdict::new(State::Suppressed, "no_binding"));
    };
    let payload = serde_json::from_slice(&row.payload);
    Ok((to, payload.map_err(|_| Verdict::new(State::Failed, "unreadable"))?))
}

fn templated(row: &OutboxRow, to: Openid, payload: TemplatePayload) -> TemplateMessage {
    TemplateMessage {
        to,
        template_id: payload.template_id,
        url: payload.url,
        mini_program: None,
        client_msg_id: row.client_msg_id.clone().unwrap_or_else(|| row.outbox_id.clone()),
        data: payload.data,
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

/// Tells staff what no retry mends: the account's permissions or settings, a template, a text.
pub(super) fn alarm(row: &OutboxRow, outcome: &Outcome) {
    let Outcome::Refused { code, class } = outcome else { return };
    if !matches!(class, Class::Malformed | Class::Restricted | Class::Permission | Class::Configuration) {
        return;
    }
    let account = row.account.as_ref().map_or("", AccountId::as_str);
    let (channel, class_name) = (row.channel.name(), class.label());
    metrics::counter!("weikefu_outbound_faults_total", "channel" => channel, "class" => class_name)
        .increment(1);
    tracing::error!(
        account,
        channel,
        code,
        class = class_name,
        "WeChat will not take this kind of message: {}",
        class.advice()
    );
}

pub(super) fn whom(row: &OutboxRow) -> Option<Whom> {
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
