//! The path of one message through the house.
//!
//! A push is claimed under its key, decided, and committed once; its answer leaves on the open connection. When
//! an outside call is needed the push is first *taken* under a lease, so that whoever redelivers it joins the work
//! and whoever survives its owner goes on with it. When the reply budget is over, *owed* commits before `success`
//! leaves, and the answer follows as a customer-service message (P1, P2, P5).

mod carry_out;
mod decide;
mod followers;
mod hearing;
mod house;
mod measure;
mod notes;
mod owed;
mod resume;
mod scene;
mod shed;
mod turn;
mod watch;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch as channel;
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use crate::alerts::Alerts;
use crate::bank::Core;
use crate::clock::{self, SharedClock, SharedRandom};
use crate::config::{Account, Config};
use crate::desk::Desk;
use crate::dialogue::{Dialogue, Robots};
use crate::domain::ids::{AccountId, FollowerKey, PushKey};
use crate::domain::time::UnixMs;
use crate::domain::trace::TraceId;
use crate::identity::Identity;
use crate::marketing::Marketing;
use crate::outbound::Outbound;
use crate::store::{Commit, CommitError, Conflict, Store, StoreError};
use crate::telemetry::trace::{self, SPANS};
use crate::wechat::push::Push;
use crate::wechat::reply::Reply;
use followers::Followers;

pub use hearing::Hearing;

/// What leaves on the open connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// `success`.
    Nothing,
    /// A reply. The same push gets the same reply with the same moment, whoever asks.
    Reply {
        /// What is said.
        reply: Reply,
        /// Its `CreateTime`.
        at: UnixMs,
    },
    /// The house cannot work now, and may not have stored anything. Told politely.
    Busy,
}

/// The bounds of the path.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// An answer leaves within this time after its delivery came, or `success` does.
    pub reply_budget: Duration,
    /// The end of the budget that is kept for noting that the answer is owed.
    pub owing: Duration,
    /// How long an owner may be silent before it counts as dead.
    pub lease: Duration,
    /// How often an owner renews.
    pub renew: Duration,
    /// How often another instance looks whether a push is settled.
    pub poll: Duration,
    /// After this, WeChat delivers a push no more.
    pub last_delivery: Duration,
    /// Pushes in work at once; each class fills its own part of them at most.
    pub in_work_max: usize,
    /// Times that one push decides anew because something changed meanwhile.
    pub attempts_max: u32,
    /// Owners that one push may outlive before the customer is told that it failed.
    pub owners_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reply_budget: Duration::from_millis(4_500),
            owing: Duration::from_millis(500),
            lease: Duration::from_secs(5),
            renew: Duration::from_millis(1_500),
            poll: Duration::from_millis(100),
            last_delivery: Duration::from_secs(16),
            in_work_max: 2_048,
            attempts_max: 64,
            owners_max: 6,
        }
    }
}

/// What the path runs through.
pub struct Rooms {
    /// Settings.
    pub config: Arc<Config>,
    /// The database.
    pub store: Store,
    /// The bank's core.
    pub core: Arc<Core>,
    /// What turns speech into text; `None`: the bank has no recogniser.
    pub hearing: Option<Hearing>,
    /// What decides, for each account; swapped whole when content is reloaded.
    pub robots: Arc<arc_swap::ArcSwap<Robots>>,
    /// Bindings.
    pub identity: Arc<Identity>,
    /// Messages to someone who is not waiting.
    pub outbound: Arc<Outbound>,
    /// Receipts of notices.
    pub alerts: Arc<Alerts>,
    /// Offers to those who asked for them.
    pub marketing: Arc<Marketing>,
    /// People.
    pub desk: Arc<Desk>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
}

/// Work that a delivery joined.
#[derive(Clone)]
struct Joined {
    /// The answer, once it is known.
    settled: channel::Receiver<Option<Answer>>,
    /// A delivery could not wait for it and was told that the house is busy.
    sent_away: Arc<AtomicBool>,
}

type Joining = HashMap<(AccountId, PushKey), Joined>;

/// The inbound path.
pub struct Inbound {
    rooms: Rooms,
    limits: Limits,
    /// New with each start of the process.
    owner: String,
    joining: Mutex<Joining>,
    /// How many are in `joining`.
    in_work: channel::Sender<usize>,
    followers: Followers,
    /// Work runs here, not on the thread of the connection that brought it: connections end earlier.
    runtime: Handle,
}

/// Why a push could not be worked to its end.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What was written by a newer version or is damaged; or what cannot be written.
    #[error("a push or an answer does not read back, or cannot be kept, as JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// The desk could not be involved.
    #[error(transparent)]
    Desk(#[from] crate::desk::EscalateError),
    /// The conversation changed again and again.
    #[error("the conversation changed {0} times while one message was decided")]
    Contended(u32),
    /// It is another owner's, who neither settles nor dies.
    #[error("another instance works on this push without an end")]
    Unsettled,
}

impl From<CommitError> for Stopped {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Store(error) => Self::Store(error),
            CommitError::Conflict(_) => Self::Contended(1),
        }
    }
}

impl From<crate::keys::KeysError> for Stopped {
    fn from(error: crate::keys::KeysError) -> Self {
        Self::Store(error.into())
    }
}

/// `Ok(None)`: it stands; `Ok(Some)`: it met a conflict.
fn conflict(outcome: Result<(), CommitError>) -> Result<Option<Conflict>, StoreError> {
    match outcome {
        Ok(()) => Ok(None),
        Err(CommitError::Conflict(conflict)) => Ok(Some(conflict)),
        Err(CommitError::Store(error)) => Err(error),
    }
}

impl Inbound {
    /// Joins the rooms, inside a runtime; `limits` are the defaults outside tests.
    #[must_use]
    pub fn new(rooms: Rooms, limits: Limits) -> Self {
        let owner = crate::clock::new_id(rooms.clock.as_ref(), rooms.random.as_ref());
        Self {
            rooms,
            limits,
            owner,
            joining: Mutex::default(),
            in_work: channel::Sender::new(0),
            followers: Followers::default(),
            runtime: Handle::current(),
        }
    }

    /// Takes in one verified delivery and says what leaves on its connection, within the reply budget.
    pub async fn receive(self: &Arc<Self>, account: &Arc<Account>, push: Push) -> Answer {
        let trace = self.trace_of(&account.id, &push.key);
        let in_trace = async {
            let span = tracing::info_span!(target: SPANS, "webhook push", account = account.id.as_str(),
                kind = push.content.name(), answer = field::Empty);
            self.receive_in_trace(account, push, trace).instrument(span).await
        };
        trace::carry(trace, in_trace).await
    }

    /// The trace of a push: the same for each delivery of it, and for whoever goes on with it.
    fn trace_of(&self, account: &AccountId, key: &PushKey) -> TraceId {
        let parts = [account.as_str().as_bytes(), key.as_str().as_bytes()];
        TraceId::new(self.rooms.store.vault().index("trace", &parts)).unwrap_or_else(|| self.new_trace())
    }

    /// The trace of the present work; a new one for what nobody asked for.
    fn present_trace(&self) -> TraceId {
        trace::current_id().unwrap_or_else(|| self.new_trace())
    }

    fn new_trace(&self) -> TraceId {
        clock::new_trace(self.rooms.clock.as_ref(), self.rooms.random.as_ref())
    }

    async fn receive_in_trace(
        self: &Arc<Self>,
        account: &Arc<Account>,
        push: Push,
        trace: TraceId,
    ) -> Answer {
        let started = Instant::now();
        let kind = push.content.name();
        let key = push.key.clone();
        let follower = self.rooms.store.follower_key(&account.app_id, &push.from);
        let is_awaited = shed::is_awaited(&push);
        let answer = match self.join(account, follower, push, trace) {
            Some(mut joined) => {
                let budget = self.limits.reply_budget;
                match settled(&mut joined, started + budget.saturating_sub(self.limits.owing)).await {
                    Some(answer) => answer,
                    None => self.owe(account, follower, &key, joined, started + budget).await,
                }
            }
            None if is_awaited => Answer::Busy,
            None => Answer::Nothing,
        };
        let took = started.elapsed();
        let name = measure::answered(kind, &answer, took);
        tracing::Span::current().record("answer", name);
        tracing::debug!(account = %account.id, %follower, kind, answer = name, took_ms = took.as_millis(),
            "a push was answered");
        answer
    }

    /// What answers for an account now. A message is decided by one from its first step to its last, so that none sees
    /// half of what is reloaded meanwhile.
    fn robot(&self, account: &AccountId) -> Arc<Dialogue> {
        self.rooms.robots.load().of(account).clone()
    }

    /// Pushes in work now.
    #[must_use]
    pub fn in_work(&self) -> usize {
        *self.in_work.borrow()
    }

    /// Waits until nothing is in work any more, at most this long. `false`: something still is; its lease lets
    /// another owner go on with it.
    pub async fn finish(&self, within: Duration) -> bool {
        let idle = async { self.in_work.subscribe().wait_for(|count| *count == 0).await.map(drop) };
        tokio::time::timeout(within, idle).await.is_ok()
    }

    /// Joins the work on this push in this process, or starts it. The work goes on when the connection ends.
    fn join(
        self: &Arc<Self>,
        account: &Arc<Account>,
        follower: FollowerKey,
        push: Push,
        trace: TraceId,
    ) -> Option<Joined> {
        let name = (account.id.clone(), push.key.clone());
        let kind = push.content.name();
        let places = self.places_for(account, &push);
        let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(working) = joining.get(&name) {
            return Some(working.clone());
        }
        if joining.len() >= places {
            drop(joining);
            self.turned_away(account, &push);
            return None;
        }
        let (settle, settled) = channel::channel(None);
        let joined = Joined { settled, sent_away: Arc::default() };
        joining.insert(name.clone(), joined.clone());
        self.in_work.send_replace(joining.len());
        // His place among his messages is where it arrived.
        let arrival = self.followers.arrive(&account.id, follower);
        let entry = Entry { inbound: self.clone(), name };
        let account = account.clone();
        let sent_away = joined.sent_away.clone();
        let work = async move {
            // The entry leaves the map also when the work panics; then the sender is gone and joiners know.
            let entry = entry;
            match entry.inbound.work(&account, follower, push, arrival).await {
                Ok(answer) => {
                    let is_reply = matches!(answer, Answer::Reply { .. });
                    settle.send_replace(Some(answer));
                    // The map of those in work holds one receiver; without another, nobody takes the reply.
                    if is_reply && settle.receiver_count() <= 1 && sent_away.load(Ordering::SeqCst) {
                        entry.inbound.reply_later(&account, &entry.name.1).await;
                    }
                }
                Err(error) => {
                    metrics::counter!("weikefu_inbound_failed_total").increment(1);
                    tracing::error!(
                        account = %account.id, %follower, kind, %error, retry = "with the next delivery",
                        "a push could not be worked on; the customer was told that the house is busy, or hears nothing"
                    );
                }
            }
        };
        self.runtime.spawn(trace::carry(trace, work.in_current_span()));
        Some(joined)
    }

    /// The work did not settle in time, or failed: notes that the answer is owed, then lets `success` leave. What
    /// settled in the very moment leaves instead.
    async fn owe(
        &self,
        account: &Account,
        follower: FollowerKey,
        key: &PushKey,
        mut joined: Joined,
        deadline: Instant,
    ) -> Answer {
        let mut commit = Commit::new(follower.part());
        commit.extend(self.rooms.store.owe_push(&account.id, key));
        let noted = async {
            match conflict(self.rooms.store.commit(commit).await)? {
                None => {
                    metrics::counter!("weikefu_inbound_owed_total").increment(1);
                    tracing::info!(account = %account.id, %follower, "the answer is owed and follows as a message");
                    Ok(Seen::Settled(Answer::Nothing))
                }
                Some(_) => self.look(account, key).await,
            }
        };
        let answer = match tokio::time::timeout_at(deadline, noted).await {
            Ok(Ok(Seen::Settled(answer))) => answer,
            // Not claimed yet: the little time that is left decides.
            Ok(Ok(Seen::Never | Seen::Taken)) => settled(&mut joined, deadline).await.unwrap_or(Answer::Busy),
            Ok(Err(error)) => {
                tracing::error!(
                    account = %account.id, %follower, %error, retry = "with the next delivery",
                    "the database refused to note that an answer is owed; the customer was told that the house is busy"
                );
                Answer::Busy
            }
            Err(_) => {
                tracing::error!(
                    account = %account.id, %follower, retry = "with the next delivery",
                    "the database is too slow to note that an answer is owed; the customer was told that the house is \
                     busy. See weikefu_store_waiting and weikefu_store_transaction_seconds"
                );
                Answer::Busy
            }
        };
        if answer == Answer::Busy {
            joined.sent_away.store(true, Ordering::SeqCst);
            if let Some(answer) = joined.settled.borrow().clone() {
                joined.sent_away.store(false, Ordering::SeqCst);
                return answer;
            }
        }
        answer
    }
}

/// The answer of the work that was joined; `None` when it is not known in time, or the work failed.
async fn settled(joined: &mut Joined, until: Instant) -> Option<Answer> {
    match tokio::time::timeout_at(until, joined.settled.wait_for(Option::is_some)).await {
        Ok(Ok(answer)) => answer.clone(),
        Ok(Err(_)) | Err(_) => None,
    }
}

/// What is known of a push.
enum Seen {
    /// Nothing: it is not claimed.
    Never,
    /// Somebody works on it.
    Taken,
    /// How it ended.
    Settled(Answer),
}

/// A push in the map of those in work; leaves it when dropped.
struct Entry {
    inbound: Arc<Inbound>,
    name: (AccountId, PushKey),
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut joining = self.inbound.joining.lock().unwrap_or_else(PoisonError::into_inner);
        joining.remove(&self.name);
        self.inbound.in_work.send_replace(joining.len());
    }
}
