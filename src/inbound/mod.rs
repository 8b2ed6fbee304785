//! The path of one message through the house.
//!
//! A push is claimed under its key, decided, and committed once; its answer leaves on the open connection. When
//! an outside call is needed the push is first *taken* under a lease, so that whoever redelivers it joins the work
//! and whoever survives its owner goes on with it. When the reply budget is over, *owed* commits before `success`
//! leaves, and the answer follows as a customer-service message (P1, P2, P5).

mod carry_out;
mod decide;
mod followers;
mod notes;
mod resume;
mod scene;
mod turn;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch as channel;

use crate::alerts::Alerts;
use crate::bank::Core;
use crate::clock::{SharedClock, SharedRandom};
use crate::config::{Account, Config};
use crate::desk::Desk;
use crate::dialogue::Dialogue;
use crate::domain::ids::{AccountId, PushKey};
use crate::domain::time::UnixMs;
use crate::identity::Identity;
use crate::outbound::Outbound;
use crate::store::{CommitError, Conflict, Store, StoreError};
use crate::wechat::push::Push;
use crate::wechat::reply::Reply;
use followers::Followers;

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
    /// The house cannot work now; nothing was stored. Told politely.
    Busy,
}

/// The bounds of the path.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// An answer leaves within this time after its delivery came, or `success` does.
    pub reply_budget: Duration,
    /// How long an owner may be silent before it counts as dead.
    pub lease: Duration,
    /// How often an owner renews.
    pub renew: Duration,
    /// How often another instance looks whether a push is settled.
    pub poll: Duration,
    /// After this, WeChat delivers a push no more.
    pub last_delivery: Duration,
    /// Pushes in work at once.
    pub in_work_max: usize,
    /// Times that one push decides anew because something changed meanwhile.
    pub attempts_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            reply_budget: Duration::from_millis(4_500),
            lease: Duration::from_secs(5),
            renew: Duration::from_millis(1_500),
            poll: Duration::from_millis(100),
            last_delivery: Duration::from_secs(16),
            in_work_max: 2_048,
            attempts_max: 64,
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
    /// What decides; swapped whole when content is reloaded.
    pub dialogue: Arc<arc_swap::ArcSwap<Dialogue>>,
    /// Bindings.
    pub identity: Arc<Identity>,
    /// Messages to someone who is not waiting.
    pub outbound: Arc<Outbound>,
    /// Receipts of notices.
    pub alerts: Arc<Alerts>,
    /// People.
    pub desk: Arc<Desk>,
    /// Time.
    pub clock: SharedClock,
    /// Randomness.
    pub random: SharedRandom,
}

type Joining = HashMap<(AccountId, PushKey), channel::Receiver<Option<Answer>>>;

/// The inbound path.
pub struct Inbound {
    rooms: Rooms,
    limits: Limits,
    /// New with each start of the process.
    owner: String,
    joining: Mutex<Joining>,
    followers: Followers,
}

/// Why a push could not be worked to its end.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A push that was written by a newer version, or is damaged.
    #[error("a stored push does not read back: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The desk could not be involved.
    #[error(transparent)]
    Desk(#[from] crate::desk::EscalateError),
    /// The conversation changed again and again.
    #[error("the conversation changed {0} times while one message was decided")]
    Contended(u32),
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
    /// Joins the rooms; `limits` are the defaults outside tests.
    #[must_use]
    pub fn new(rooms: Rooms, limits: Limits) -> Self {
        let owner = crate::clock::new_id(rooms.clock.as_ref(), rooms.random.as_ref());
        Self { rooms, limits, owner, joining: Mutex::default(), followers: Followers::default() }
    }

    /// Takes in one verified delivery and says what leaves on its connection, within the reply budget.
    pub async fn receive(self: &Arc<Self>, account: &Account, push: Push) -> Answer {
        let started = tokio::time::Instant::now();
        let kind = push.content.name();
        let key = push.key.clone();
        let Some(mut joined) = self.join(account, push) else {
            metrics::counter!("weikefu_inbound_total", "kind" => kind, "answer" => "busy").increment(1);
            return Answer::Busy;
        };
        let answer = match settled(&mut joined, self.limits.reply_budget).await {
            Some(answer) => answer,
            None => self.owe(account, &key, joined).await,
        };
        let name = match &answer {
            Answer::Nothing => "nothing",
            Answer::Reply { .. } => "reply",
            Answer::Busy => "busy",
        };
        metrics::counter!("weikefu_inbound_total", "kind" => kind, "answer" => name).increment(1);
        metrics::histogram!("weikefu_inbound_seconds", "answer" => name).record(started.elapsed());
        answer
    }

    /// Joins the work on this push in this process, or starts it. The work goes on when the connection ends.
    fn join(self: &Arc<Self>, account: &Account, push: Push) -> Option<channel::Receiver<Option<Answer>>> {
        let name = (account.id.clone(), push.key.clone());
        let mut joining = self.joining.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(working) = joining.get(&name) {
            return Some(working.clone());
        }
        if joining.len() >= self.limits.in_work_max {
            return None;
        }
        let (settle, working) = channel::channel(None);
        joining.insert(name.clone(), working.clone());
        let inbound = self.clone();
        let account = account.clone();
        tokio::spawn(async move {
            // The entry leaves the map also when the work panics: the sender is dropped and joiners are told.
            let _entry = Entry { inbound: &inbound, name: &name };
            let answer = match inbound.work(&account, push).await {
                Ok(answer) => answer,
                Err(error) => {
                    tracing::error!(account = %account.id, %error, "a push could not be worked on");
                    Answer::Busy
                }
            };
            settle.send_replace(Some(answer));
        });
        Some(working)
    }

    /// The budget is over: notes that the answer is owed, then lets `success` leave. When the work settled in the
    /// very moment, its answer leaves instead.
    async fn owe(
        &self,
        account: &Account,
        key: &PushKey,
        mut joined: channel::Receiver<Option<Answer>>,
    ) -> Answer {
        let mut commit = crate::store::Commit::new(0);
        commit.extend(self.rooms.store.owe_push(&account.id, key));
        match conflict(self.rooms.store.commit(commit).await) {
            Ok(None) => return Answer::Nothing,
            Ok(Some(_)) => {}
            Err(error) => {
                tracing::error!(account = %account.id, %error, "cannot note that an answer is owed");
                return Answer::Busy;
            }
        }
        if matches!(self.rooms.store.open_push(&account.id, key).await, Ok(Some(open)) if open.owed) {
            return Answer::Nothing;
        }
        // Settled just now, or not even claimed yet: the little time that is left decides.
        let grace = Duration::from_millis(300);
        settled(&mut joined, grace).await.unwrap_or(Answer::Busy)
    }
}

/// The answer of the work that was joined; `None` when it is not known within the time.
async fn settled(joined: &mut channel::Receiver<Option<Answer>>, within: Duration) -> Option<Answer> {
    match tokio::time::timeout(within, joined.wait_for(Option::is_some)).await {
        Ok(Ok(answer)) => Some(answer.clone().unwrap_or(Answer::Busy)),
        // The work panicked: its sender is gone.
        Ok(Err(_)) => Some(Answer::Busy),
        Err(_) => None,
    }
}

/// Takes a push out of the map of those in work.
struct Entry<'a> {
    inbound: &'a Inbound,
    name: &'a (AccountId, PushKey),
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.inbound.joining.lock().unwrap_or_else(PoisonError::into_inner).remove(self.name);
    }
}
