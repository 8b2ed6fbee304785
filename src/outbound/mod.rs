//! Messages to someone who is not waiting on an open connection: template messages, customer-service messages, and
//! events to the bank.
//!
//! A message is first a row, committed with the fact that caused it. The instance that owns the row's partition
//! says that it will send it (an intent), sends it, and settles it, each step under the epoch of its lease. Whatever
//! is lost in between is found again: a template is repeated under the same `client_msg_id`, a customer-service
//! message once if it answers a question, else never.

mod chat;
mod gate;
mod lanes;
mod policy;
mod rate;
mod subscription;
mod take;
mod tidy;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gate::{Gate, Way, day_of};
use serde::{Deserialize, Serialize};
use serde_json::json;
pub(crate) use subscription::{NO_CONSENT, is_about_consent};
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::bank::events::{NotAReceiver, Receiver};
use crate::clock::{SharedClock, SharedRandom, new_trace};
use crate::config::{Account, Config, NoticeWay};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::domain::trace::TraceId;
use crate::domain::window::Sender;
use crate::hints::Hints;
use crate::parts::Parts;
use crate::store::{
    Commit, CommitError, Family, Lane, NewOutbox, OutChannel, QuotaDay, QuotaUse, Store, StoreError, Write,
};
use crate::telemetry::trace;
use crate::wechat::api::{Api, CustomMessage, PageConfig, Quota};

/// WeChat's API, account by account.
pub type Apis = BTreeMap<AccountId, Arc<Api>>;

/// A chat message that could not leave for this long is no answer any more.
const CHAT_KEEP_FOR: Duration = Duration::from_secs(10 * 60);
/// Events are retried this long.
const EVENT_KEEP_FOR: Duration = Duration::from_secs(3 * 24 * 3600);

/// What a message comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An entry of the conversation's log, whose state is kept up to date.
    Message {
        /// Its number.
        seq: i64,
    },
    /// Something the bank asked us to tell.
    Notice {
        /// Whose ids.
        family: Family,
        /// The bank's id.
        id: String,
    },
    /// Several of these that waited for the end of quiet hours, told together.
    Digest {
        /// The message's own id.
        id: String,
    },
}

/// The kind of cause of a message that tells several notices together.
const DIGEST: &str = "digest";

/// A template message to be sent.
#[derive(Clone, Debug)]
pub struct TemplateOrder {
    /// Names this message for ever: the same id is sent once, and WeChat sees it as `client_msg_id`.
    pub id: String,
    /// The customer it speaks of: the binding that must still stand when it leaves.
    pub customer: CustomerId,
    /// Its precedence.
    pub lane: Lane,
    /// The account's template.
    pub template_id: String,
    /// Which of the platform's messages carries it.
    pub way: NoticeWay,
    /// Where a tap leads.
    pub url: Option<String>,
    /// Keyword to value, fitted.
    pub data: BTreeMap<String, String>,
    /// Past it nothing is sent any more.
    pub expires: UnixMs,
    /// What it comes from.
    pub cause: Cause,
}

/// What a template row keeps, sealed. Whom it goes to is added when it leaves.
#[derive(Serialize, Deserialize)]
struct TemplatePayload {
    template_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    data: BTreeMap<String, String>,
    /// Whether the consent to a subscription notice is for long.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_long_term: bool,
}

/// Puts messages into the outbox, and sends what is there.
pub struct Outbound {
    store: Store,
    apis: Arc<Apis>,
    receiver: Option<Receiver>,
    clock: SharedClock,
    random: SharedRandom,
    parts: Arc<Parts>,
    messages: Notify,
    events: Notify,
    others: Arc<Hints>,
    order: AtomicI64,
    gate: Gate,
    /// Rounds of taking, so that the last lane gets its turn.
    rounds: AtomicU64,
    /// [`Parts::takings`] up to which the tries of earlier owners are noted.
    recovered: AtomicU64,
    /// The ways of each account out to its followers.
    ways: Vec<Way>,
    /// Calls a second that all instances may make together, as the bank configured them.
    rates: BTreeMap<Way, u32>,
    /// The same as WeChat says, for the others.
    told_rates: Mutex<BTreeMap<Way, Option<u32>>>,
}

impl Outbound {
    /// A sender that owns no partition yet.
    ///
    /// # Errors
    /// When `[events]` cannot be used.
    pub fn new(
        config: Arc<Config>,
        store: Store,
        apis: Arc<Apis>,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, NotAReceiver> {
        let receiver = config.events.as_ref().map(Receiver::new).transpose()?;
        let parts = Arc::new(Parts::new(store.clone()));
        let configured = |account: &Account| {
            let rates = [
                (OutChannel::Template, account.template_per_second),
                (OutChannel::Subscription, account.template_per_second),
                (OutChannel::CustomerService, account.customer_service_per_second),
            ];
            let id = account.id.clone();
            rates.into_iter().filter_map(move |(channel, rate)| Some(((id.clone(), channel), rate?)))
        };
        let rates = config.accounts.iter().flat_map(configured).collect();
        let ways = config.accounts.iter().flat_map(ways_of).collect();
        Ok(Self {
            store,
            apis,
            receiver,
            clock,
            random,
            parts,
            messages: Notify::new(),
            events: Notify::new(),
            others: Arc::default(),
            order: AtomicI64::new(0),
            gate: Gate::default(),
            rounds: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            ways,
            rates,
            told_rates: Mutex::default(),
        })
    }

    /// The same, telling other instances at once what is theirs to send.
    #[must_use]
    pub fn hinting(mut self, others: Arc<Hints>) -> Self {
        self.others = others;
        self
    }

    /// The partitions of this process; other rooms that work by partition share them.
    #[must_use]
    pub fn parts(&self) -> &Arc<Parts> {
        &self.parts
    }

    /// A customer-service message, to leave as soon as it can.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn customer_service(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        sender: Sender,
        content: &CustomMessage,
        cause: Cause,
    ) -> Result<Vec<Write>, StoreError> {
        self.customer_service_at(account, follower, sender, content, cause, self.clock.now())
    }

    /// A customer-service message that must not leave before a moment.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn customer_service_at(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        sender: Sender,
        content: &CustomMessage,
        cause: Cause,
        due: UnixMs,
    ) -> Result<Vec<Write>, StoreError> {
        self.chat(account, follower, None, sender, content, cause, due)
    }

    /// An alert as a customer-service message, where templates do not go: unasked, never repeated blindly, and only
    /// while the follower is still bound to this customer.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn alert_in_chat(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        customer: &CustomerId,
        content: &CustomMessage,
        cause: Cause,
    ) -> Result<Vec<Write>, StoreError> {
        let now = self.clock.now();
        self.chat(account, follower, Some(customer), Sender::Unasked, content, cause, now)
    }

    #[expect(clippy::too_many_arguments, reason = "each names another part of one row")]
    fn chat(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        customer: Option<&CustomerId>,
        sender: Sender,
        content: &CustomMessage,
        cause: Cause,
        due: UnixMs,
    ) -> Result<Vec<Write>, StoreError> {
        let (cause_kind, cause_id, log_seq) = parts_of(cause, follower);
        let row = NewOutbox {
            outbox_id: self.store.new_id(),
            part: follower.part(),
            account: Some(account.clone()),
            follower: Some(follower),
            customer_ix: customer.map(|customer| self.store.customer_index(customer)),
            lane: Lane::Answer,
            channel: OutChannel::CustomerService,
            order_no: self.next_order(),
            cause_kind,
            cause_id,
            log_seq,
            sender: Some(sender.name()),
            client_msg_id: None,
            due,
            expires: due + CHAT_KEEP_FOR,
            payload: Zeroizing::new(content.to_json()?),
            trace: trace::current_id(),
        };
        Ok(vec![self.store.add_outbox(&row)?])
    }

    /// A template message, or the subscription notice that stands for it. A second order of the same id conflicts as
    /// `Duplicate`.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn template(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        order: TemplateOrder,
    ) -> Result<Vec<Write>, StoreError> {
        let (channel, client_msg_id) = if order.way.needs_consent() {
            (OutChannel::Subscription, order.template_id.clone())
        } else {
            (OutChannel::Template, order.id.clone())
        };
        let payload = TemplatePayload {
            template_id: order.template_id,
            url: order.url,
            data: order.data,
            is_long_term: order.way == NoticeWay::SubscribeLongTerm,
        };
        let (cause_kind, cause_id, log_seq) = parts_of(order.cause, follower);
        let row = NewOutbox {
            outbox_id: order.id,
            part: follower.part(),
            account: Some(account.clone()),
            follower: Some(follower),
            customer_ix: Some(self.store.customer_index(&order.customer)),
            lane: order.lane,
            channel,
            order_no: self.next_order(),
            cause_kind,
            cause_id,
            log_seq,
            sender: None,
            client_msg_id: Some(client_msg_id),
            due: self.clock.now(),
            expires: order.expires,
            payload: json_of(&payload)?,
            trace: trace::current_id(),
        };
        Ok(vec![self.store.add_outbox(&row)?])
    }

    /// An event to the bank. Nothing without `[events]`.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn event(
        &self,
        kind: &str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: serde_json::Value,
    ) -> Result<Vec<Write>, StoreError> {
        self.event_of(kind, Some(account), customer, data)
    }

    /// An event that may concern no account: a customer whom none reaches.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn event_of(
        &self,
        kind: &str,
        account: Option<&AccountId>,
        customer: Option<&CustomerId>,
        data: serde_json::Value,
    ) -> Result<Vec<Write>, StoreError> {
        if self.receiver.is_none() {
            return Ok(vec![]);
        }
        let event_id = self.store.new_id();
        let now = self.clock.now();
        let body = json!({
            "event_id": event_id,
            "type": kind,
            "account": account.map(AccountId::as_str),
            "customer_id": customer.map(CustomerId::reveal),
            "occurred_at": rfc3339(now),
            "data": data,
        });
        // One customer's events have one owner.
        let part = match customer {
            Some(customer) => self.store.customer_index(customer)[0],
            None => self.store.vault().index("event", &[event_id.as_bytes()])[0],
        };
        let row = NewOutbox {
            part,
            account: account.cloned(),
            follower: None,
            customer_ix: None,
            lane: Lane::Event,
            channel: OutChannel::Event,
            order_no: self.next_order(),
            cause_kind: "event",
            cause_id: event_id.clone(),
            log_seq: None,
            sender: None,
            client_msg_id: None,
            due: now,
            expires: now + EVENT_KEEP_FOR,
            payload: json_of(&body)?,
            trace: trace::current_id(),
            outbox_id: event_id,
        };
        Ok(vec![self.store.add_outbox(&row)?])
    }

    /// Whether template messages or customer-service messages of an account cannot leave for now, whatever they say:
    /// the day's quota is gone, or WeChat has closed the API. Security has a share of the quota of its own.
    #[must_use]
    pub fn is_closed(&self, account: &AccountId, channel: OutChannel) -> bool {
        self.gate.is_closed(&(account.clone(), channel), self.clock.now())
    }

    /// Keeps what WeChat says of an account's calls of one API: how many a day has, how many are counted, and how
    /// many may be made at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn learn_limits(
        &self,
        account: &AccountId,
        channel: OutChannel,
        quota: &Quota,
    ) -> Result<(), StoreError> {
        let way = (account.clone(), channel);
        if !self.rates.contains_key(&way) {
            self.told_rates().insert(way, quota.calls_per_second());
        }
        let day = day_of(self.clock.now());
        let of = QuotaDay { account: account.clone(), channel, day };
        let mut commit = Commit::new(0);
        commit.extend(self.store.learn_quota(&of, quota.daily_limit, quota.used));
        match self.store.commit(commit).await {
            Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    /// How many calls of one API of an account were drawn today, by all instances, and how many the day has.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn quota_use(&self, account: &AccountId, channel: OutChannel) -> Result<QuotaUse, StoreError> {
        let day = day_of(self.clock.now());
        self.store.quota_use(&QuotaDay { account: account.clone(), channel, day }).await
    }

    /// What a page of the account needs for WeChat's JS-SDK, signed; `None` where WeChat does not let it for now, which
    /// its own log tells.
    pub async fn page_config(&self, account: &AccountId, page_url: &str) -> Option<PageConfig> {
        let mut nonce = [0_u8; 8];
        self.random.fill(&mut nonce);
        self.apis.get(account)?.page_config(page_url, hex::encode(nonce)).await.ok()
    }

    /// A hint after a commit that there is something to send. Losing it costs at most one poll.
    pub fn wake(&self, part: u8) {
        tracing::trace!(part, "there is something to send");
        self.look_now();
        if !self.parts.holds(part) {
            self.others.outgoing(part);
        }
    }

    /// The same after another instance's commit.
    pub fn look_now(&self) {
        self.messages.notify_one();
        self.events.notify_one();
    }

    /// A number above all that this process gave before and, clocks permitting, above those of others.
    fn next_order(&self) -> i64 {
        let now = self.clock.now().0.saturating_mul(1_000);
        let raised = |last: i64| Some(last.saturating_add(1).max(now));
        match self.order.fetch_update(Ordering::Relaxed, Ordering::Relaxed, raised) {
            Ok(last) | Err(last) => last.saturating_add(1).max(now),
        }
    }

    /// A trace for work that none came with: rows from before, and what nobody asked for.
    #[must_use]
    pub fn new_trace(&self) -> TraceId {
        new_trace(self.clock.as_ref(), self.random.as_ref())
    }

    fn told_rates(&self) -> MutexGuard<'_, BTreeMap<Way, Option<u32>>> {
        self.told_rates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn jitter(&self) -> u8 {
        let mut byte = [0_u8];
        self.random.fill(&mut byte);
        byte[0]
    }
}

/// The ways out that an account uses: subscription notices only where one is configured.
fn ways_of(account: &Account) -> Vec<Way> {
    let subscribes = account.notices.values().any(|notice| notice.way.needs_consent());
    let subscription = subscribes.then_some(OutChannel::Subscription);
    let channels = [OutChannel::CustomerService, OutChannel::Template].into_iter().chain(subscription);
    channels.map(|channel| (account.id.clone(), channel)).collect()
}

fn parts_of(cause: Cause, follower: FollowerKey) -> (&'static str, String, Option<i64>) {
    match cause {
        Cause::Message { seq } => ("message", format!("{follower}/{seq}"), Some(seq)),
        Cause::Notice { family, id } => (family.name(), id, None),
        Cause::Digest { id } => (DIGEST, id, None),
    }
}

fn json_of(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    Ok(Zeroizing::new(serde_json::to_vec(value)?))
}

/// The moment as the bank reads it: RFC 3339 with Beijing's offset.
#[must_use]
pub fn rfc3339(moment: UnixMs) -> String {
    moment.beijing().strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// The sender of a row; the one with the least rights where it does not read.
fn sender_of(name: Option<&str>) -> Sender {
    [Sender::Agent, Sender::Owed, Sender::Rating]
        .into_iter()
        .find(|sender| Some(sender.name()) == name)
        .unwrap_or(Sender::Unasked)
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
