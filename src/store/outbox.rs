//! What is to be sent: rows, tries, intents, pauses and receipts.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::parts::Fence;
use super::value::statements;
use super::{Conflict, Row, Statement, Store, StoreError, Value, Write};
use crate::domain::ids::{AccountId, FollowerKey, Openid};
use crate::domain::time::UnixMs;
use crate::domain::trace::TraceId;
use crate::domain::verdict::Verdict;
use crate::keys::Place;

const PAYLOAD: Place = Place("outbox.payload");

/// The columns of [`OutboxRow`]. `o` is the outbox, `l` the lease of its partition, `f` whom it goes to.
macro_rules! row {
    ($($rest:literal)*) => {
        concat!(
            "SELECT o.outbox_id, o.part, l.owner, l.epoch, o.account, o.fkey, o.channel, o.cause_kind, o.cause_id, \
             o.log_seq, o.sender, o.client_msg_id, o.expires_ms, o.attempts, o.created_ms, o.payload_sealed, o.lane, \
             o.reason, o.trace_id, o.customer_ix, f.openid_sealed, f.following, (SELECT count(*) FROM binding b \
             WHERE b.account = o.account AND b.fkey = o.fkey AND b.customer_ix = o.customer_ix) \
             FROM outbox o JOIN part_lease l ON l.part = o.part AND l.owner = $1 \
             LEFT JOIN follower f ON f.account = o.account AND f.fkey = o.fkey ",
            $($rest),*
        )
    };
}

statements! {
    ADD = "INSERT INTO outbox (outbox_id, part, account, fkey, customer_ix, lane, channel, order_no, cause_kind, \
        cause_id, log_seq, sender, client_msg_id, due_ms, expires_ms, attempts, settled, state, created_ms, \
        payload_sealed, trace_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, 0, \
        'pending', $16, $17, $18) ON CONFLICT (outbox_id) DO NOTHING";
    /// Of each follower only the first row of a channel: a chat keeps its order even while its head waits for its
    /// next try; templates only wait for those that may leave now. The sum keeps SQLite from holding the bare parameter
    /// against the lane that the index of events is limited to, and from making its plan anew at each run because of that.
    /// The offset of nothing keeps PostgreSQL from making a join of the look for earlier rows, in which it would go through
    /// all of the account's; so it is made for each row by itself, through `outbox_follower`.
    DUE = row!("WHERE o.settled = 0 AND o.account = $2 AND o.channel = $3 AND o.lane = $4 + 0 AND o.due_ms <= $5 \
        AND o.expires_ms > $5 \
        AND NOT EXISTS (SELECT 1 FROM outbox e WHERE e.settled = 0 AND e.account = o.account AND e.fkey = o.fkey \
            AND e.channel = o.channel AND e.order_no < o.order_no AND e.expires_ms > $5 \
            AND (e.channel = 'customer_service' OR (e.lane = o.lane AND e.due_ms <= $5)) LIMIT 1 OFFSET 0) \
        ORDER BY o.due_ms, o.order_no LIMIT $6");
    /// Each row of the list stands for one way and lane. Asked for as a value, so that PostgreSQL makes no join of it: it
    /// would begin with the waiting rows.
    HAS_DUE = "SELECT v.column1, v.column2, v.column3 FROM (VALUES ($1, $2, $3, $4)) AS v WHERE \
        (SELECT 1 FROM outbox o WHERE o.settled = 0 AND o.account = v.column1 AND o.channel = v.column2 \
        AND o.lane = v.column3 AND o.due_ms <= v.column4 ORDER BY o.due_ms LIMIT 1) IS NOT NULL";
    /// 4 is [`Lane::Event`]; written out, so that the index of events is found.
    DUE_EVENTS = row!("WHERE o.settled = 0 AND o.lane = 4 AND o.due_ms <= $2 AND o.expires_ms > $2 \
        ORDER BY o.due_ms, o.order_no LIMIT $3");
    EXPIRED = row!("WHERE o.settled = 0 AND o.expires_ms <= $2 ORDER BY o.expires_ms LIMIT $3");
    /// The lease is looked up row by row: as a join PostgreSQL would begin with it, and multiply the rows by its partitions.
    SETTLE = "UPDATE outbox SET settled = 1, state = v.column4, reason = v.column5, msgid = coalesce(v.column6, outbox.msgid), \
        attempts = v.column7, settled_ms = v.column8, payload_sealed = NULL \
        FROM (VALUES ($1, $2, $3, $4, $5, $6, $7, $8)) AS v WHERE outbox.outbox_id = v.column1 \
        AND outbox.settled = 0 AND (SELECT l.epoch FROM part_lease l \
        WHERE l.part = outbox.part AND l.owner = v.column2) = v.column3";
    /// The end of a row only ever comes nearer.
    DELAY = "UPDATE outbox SET due_ms = v.column4, reason = v.column5, attempts = v.column6, \
        expires_ms = CASE WHEN v.column7 < outbox.expires_ms THEN v.column7 ELSE outbox.expires_ms END \
        FROM (VALUES ($1, $2, $3, $4, $5, $6, $7)) AS v WHERE outbox.outbox_id = v.column1 AND outbox.settled = 0 \
        AND (SELECT l.epoch FROM part_lease l \
        WHERE l.part = outbox.part AND l.owner = v.column2) = v.column3";
    DROP_FOLLOWER = "UPDATE outbox SET settled = 1, state = $5, reason = $3, settled_ms = $4, \
        payload_sealed = NULL WHERE account = $1 AND fkey = $2 AND settled = 0";
    ADD_INTENT = "INSERT INTO intent (intent_id, part, owner, epoch, at_ms, ids) SELECT v.column1, v.column2, \
        v.column3, v.column4, v.column5, v.column6 FROM (VALUES ($1, $2, $3, $4, $5, $6)) AS v \
        JOIN part_lease l ON l.part = v.column2 AND l.owner = v.column3 AND l.epoch = v.column4 WHERE 1 = 1 \
        ON CONFLICT (intent_id) DO NOTHING";
    END_INTENT = "DELETE FROM intent WHERE intent_id IN (VALUES ($1))";
    HAS_INTENT = "SELECT at_ms FROM intent WHERE intent_id = $1";
    LEFT_INTENTS = "SELECT i.intent_id, i.at_ms, i.ids FROM intent i JOIN part_lease l ON l.part = i.part \
        AND l.owner = $1 WHERE i.epoch < l.epoch AND i.ids <> '' ORDER BY i.at_ms LIMIT $2";
    /// What is booked has its intent, or a try behind it.
    BOOKED = "SELECT o.log_seq FROM outbox o WHERE o.settled = 0 AND o.account = $1 AND o.fkey = $2 \
        AND o.channel = 'customer_service' AND o.log_seq IS NOT NULL \
        AND (o.attempts > 0 OR EXISTS (SELECT 1 FROM intent i WHERE i.intent_id = o.outbox_id))";
    IS_OPEN = "SELECT attempts FROM outbox WHERE outbox_id = $1 AND settled = 0";
    COUNT_ATTEMPT = "UPDATE outbox SET attempts = $2, \
        expires_ms = CASE WHEN $3 < expires_ms THEN $3 ELSE expires_ms END \
        WHERE outbox_id = $1 AND settled = 0 AND attempts < $2";
    WAS_UNCLEAR = "SELECT count(*) FROM attempt WHERE outbox_id = $1 AND outcome = 'unclear'";
    PAUSE = "INSERT INTO quota_pause (account, api, until_ms) VALUES ($1, $2, $3) \
        ON CONFLICT (account, api) DO UPDATE SET until_ms = $3";
    PAUSES = "SELECT account, api FROM quota_pause WHERE until_ms > $1";
}

/// Which row leaves first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Fraud, declined purchases.
    Security,
    /// Answers to people who are waiting in the chat.
    Answer,
    /// Spend, refund, repayment.
    Spend,
    /// Bills, progress of applications.
    Reminder,
    /// Events to the bank: another destination, with room of its own.
    Event,
}

impl Lane {
    /// The lanes towards WeChat, in order of precedence.
    pub const TO_WECHAT: [Self; 4] = [Self::Security, Self::Answer, Self::Spend, Self::Reminder];

    /// The number in the database.
    #[must_use]
    pub fn number(self) -> i64 {
        match self {
            Self::Security => 0,
            Self::Answer => 1,
            Self::Spend => 2,
            Self::Reminder => 3,
            Self::Event => 4,
        }
    }

    /// Reads the number back.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        [Self::Security, Self::Answer, Self::Spend, Self::Reminder, Self::Event]
            .into_iter()
            .find(|lane| lane.number() == number)
    }

    /// The name, for files and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Security => "security",
            Self::Answer => "answer",
            Self::Spend => "spend",
            Self::Reminder => "reminder",
            Self::Event => "event",
        }
    }
}

/// The way a row leaves the house.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OutChannel {
    /// A template message.
    Template,
    /// A subscription notice, which needs the follower's consent.
    Subscription,
    /// A customer-service message.
    CustomerService,
    /// A signed call to the bank's event receiver.
    Event,
}

impl OutChannel {
    /// The name in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::Subscription => "subscription",
            Self::CustomerService => "customer_service",
            Self::Event => "event",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Template, Self::Subscription, Self::CustomerService, Self::Event]
            .into_iter()
            .find(|channel| channel.name() == name)
    }
}

/// A row to be written.
#[derive(Clone)]
pub struct NewOutbox {
    /// Its id; the same id is written once.
    pub outbox_id: String,
    /// The partition that owns it.
    pub part: u8,
    /// The account it leaves by; `None` for an event that concerns none.
    pub account: Option<AccountId>,
    /// Whom it goes to; `None` for an event.
    pub follower: Option<FollowerKey>,
    /// The customer whose binding must still stand when it leaves.
    pub customer_ix: Option<[u8; 16]>,
    /// Its precedence.
    pub lane: Lane,
    /// Its way.
    pub channel: OutChannel,
    /// Its place among its follower's rows.
    pub order_no: i64,
    /// What caused it: `transaction`, `notice`, `message` or `event`.
    pub cause_kind: &'static str,
    /// The id of that.
    pub cause_id: String,
    /// Its entry in the conversation's log.
    pub log_seq: Option<i64>,
    /// Whose precedence a customer-service message has.
    pub sender: Option<&'static str>,
    /// The same on every try of a template message; of a subscription notice its template, by which WeChat reports on
    /// it.
    pub client_msg_id: Option<String>,
    /// Not before.
    pub due: UnixMs,
    /// Not after.
    pub expires: UnixMs,
    /// What is sent; sealed here.
    pub payload: Zeroizing<Vec<u8>>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
}

/// A row that waits, as its owner reads it.
#[derive(Clone)]
pub struct OutboxRow {
    /// Its id.
    pub outbox_id: String,
    /// Under which lease it was read.
    pub fence: Fence,
    /// The account it leaves by.
    pub account: Option<AccountId>,
    /// Whom it goes to.
    pub follower: Option<FollowerKey>,
    /// Where it goes, for a template message.
    pub address: Address,
    /// Its way.
    pub channel: OutChannel,
    /// What caused it.
    pub cause_kind: String,
    /// The id of that.
    pub cause_id: String,
    /// Its entry in the conversation's log.
    pub log_seq: Option<i64>,
    /// Whose precedence it has.
    pub sender: Option<String>,
    /// The same on every try.
    pub client_msg_id: Option<String>,
    /// Not after.
    pub expires: UnixMs,
    /// Tries so far.
    pub attempts: i64,
    /// When it was written.
    pub created: UnixMs,
    /// Its precedence.
    pub lane: Lane,
    /// How its last try ended.
    pub reason: Option<String>,
    /// What is sent.
    pub payload: Zeroizing<Vec<u8>>,
    /// The trace that it belongs to.
    pub trace: Option<TraceId>,
}

/// What must be known of a follower to send him a template message, as of the moment when the row was read.
#[derive(Clone, Debug, Default)]
pub struct Address {
    /// His openid; `None`: WeChat or the bank never told, or it is erased.
    pub openid: Option<Openid>,
    /// Whether he follows, as far as WeChat has said.
    pub following: Option<bool>,
    /// The customer whose notice it is, as a keyed hash; `None`: it speaks of no customer.
    pub customer_ix: Option<Vec<u8>>,
    /// Whether he is still bound to that customer.
    pub is_bound: bool,
}

/// An intent whose sender is gone.
#[derive(Clone, Debug)]
pub struct LeftIntent {
    /// Its id.
    pub intent_id: String,
    /// When it was written.
    pub at: UnixMs,
    /// The rows that it lists.
    pub outbox_ids: Vec<String>,
}

impl Store {
    /// Adds a row; a second one of the same id is a [`Conflict::Duplicate`].
    ///
    /// # Errors
    /// When sealing fails.
    pub fn add_outbox(&self, row: &NewOutbox) -> Result<Write, StoreError> {
        let sealed = self.vault().seal(PAYLOAD, row.outbox_id.as_bytes(), &row.payload)?;
        let args = vec![
            row.outbox_id.as_str().into(),
            row.part.into(),
            row.account.as_ref().map_or("", AccountId::as_str).into(),
            row.follower.map(|follower| follower.as_bytes().to_vec()).into(),
            row.customer_ix.map(Vec::from).into(),
            row.lane.number().into(),
            row.channel.name().into(),
            row.order_no.into(),
            row.cause_kind.into(),
            row.cause_id.as_str().into(),
            row.log_seq.into(),
            row.sender.into(),
            row.client_msg_id.clone().into(),
            row.due.into(),
            row.expires.into(),
            self.clock().now().into(),
            sealed.into(),
            row.trace.into(),
        ];
        Ok(Write::one(ADD, args, Conflict::Duplicate))
    }

    /// Rows of one way and lane that may leave now and whose partition `owner` holds.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn due_outbox(
        &self,
        owner: &str,
        way: (&AccountId, OutChannel),
        lane: Lane,
        now: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let (account, channel) = way;
        let args = vec![
            owner.into(),
            account.as_str().into(),
            channel.name().into(),
            lane.number().into(),
            now.into(),
            count(rows_max).into(),
        ];
        self.outbox_rows(DUE, self.fetch(DUE, args).await?)
    }

    /// Numbers in a follower's log of the messages under way that his allowance has paid for already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn booked_messages(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<BTreeSet<i64>, StoreError> {
        let rows = self.fetch(BOOKED, vec![account.as_str().into(), follower.into()]).await?;
        rows.iter().map(|row| row.int(0)).collect()
    }

    /// Which of these ways and lanes have anything that is due, whoever owns it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn ways_with_due(
        &self,
        ways: &[(AccountId, OutChannel, Lane)],
        now: UnixMs,
    ) -> Result<BTreeSet<(AccountId, OutChannel, Lane)>, StoreError> {
        let asked: Vec<Vec<Value>> = ways
            .iter()
            .map(|(account, channel, lane)| {
                vec![account.as_str().into(), channel.name().into(), lane.number().into(), now.into()]
            })
            .collect();
        let rows = self.fetch_each(HAS_DUE, &asked).await?;
        rows.iter()
            .map(|row| {
                let bad = |column| StoreError::Decode { statement: HAS_DUE.name, column };
                let channel = OutChannel::parse(row.text(1)?).ok_or_else(|| bad(1))?;
                let lane = Lane::from_number(row.int(2)?).ok_or_else(|| bad(2))?;
                Ok((AccountId::new(row.text(0)?), channel, lane))
            })
            .collect()
    }

    /// Events that may leave now and whose partition `owner` holds.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn due_events(
        &self,
        owner: &str,
        now: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let args = vec![owner.into(), now.into(), count(rows_max).into()];
        self.outbox_rows(DUE_EVENTS, self.fetch(DUE_EVENTS, args).await?)
    }

    /// Rows whose time is over.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn expired_outbox(
        &self,
        owner: &str,
        now: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        let args = vec![owner.into(), now.into(), count(rows_max).into()];
        self.outbox_rows(EXPIRED, self.fetch(EXPIRED, args).await?)
    }

    fn outbox_rows(&self, statement: Statement, rows: Vec<Row>) -> Result<Vec<OutboxRow>, StoreError> {
        let bad = |column| StoreError::Decode { statement: statement.name, column };
        let read = |row: &Row| {
            let outbox_id = row.text(0)?.to_owned();
            let payload = self.vault().open(PAYLOAD, outbox_id.as_bytes(), row.blob(15)?)?;
            let account = Some(row.text(4)?).filter(|account| !account.is_empty()).map(AccountId::new);
            let follower = row.blob_opt(5)?.map(|_| row.follower(5)).transpose()?;
            let channel = OutChannel::parse(row.text(6)?).ok_or_else(|| bad(6))?;
            let address = match (&account, follower, channel) {
                (Some(account), Some(follower), OutChannel::Template | OutChannel::Subscription) => Address {
                    openid: self.opened_openid(account, follower, row, 20)?,
                    following: row.int_opt(21)?.map(|following| following != 0),
                    customer_ix: row.blob_opt(19)?.map(<[u8]>::to_vec),
                    is_bound: row.flag(22)?,
                },
                _ => Address::default(),
            };
            Ok(OutboxRow {
                fence: Fence {
                    part: u8::try_from(row.int(1)?).map_err(|_| bad(1))?,
                    owner: row.text(2)?.to_owned(),
                    epoch: row.int(3)?,
                },
                account,
                follower,
                address,
                channel,
                cause_kind: row.text(7)?.to_owned(),
                cause_id: row.text(8)?.to_owned(),
                log_seq: row.int_opt(9)?,
                sender: row.text_opt(10)?.map(str::to_owned),
                client_msg_id: row.text_opt(11)?.map(str::to_owned),
                expires: row.time(12)?,
                attempts: row.int(13)?,
                created: row.time(14)?,
                lane: Lane::from_number(row.int(16)?).ok_or_else(|| bad(16))?,
                reason: row.text_opt(17)?.map(str::to_owned),
                trace: row.text_opt(18)?.and_then(TraceId::parse),
                outbox_id,
                payload,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Ends a row under its lease; [`Conflict::Lost`] when another instance holds the partition now, or it is ended.
    #[must_use]
    pub fn settle_outbox(
        &self,
        row: &OutboxRow,
        verdict: &Verdict,
        msgid: Option<&str>,
        attempts: i64,
    ) -> Write {
        let args = vec![
            row.outbox_id.as_str().into(),
            row.fence.owner.as_str().into(),
            row.fence.epoch.into(),
            verdict.state.name().into(),
            verdict.reason.clone().into(),
            msgid.into(),
            attempts.into(),
            self.clock().now().into(),
        ];
        Write::one(SETTLE, args, Conflict::Lost)
    }

    /// Puts a row off under its lease, and lets it end at `expires` if that is earlier; [`Conflict::Lost`] as
    /// [`Store::settle_outbox`].
    #[must_use]
    pub fn delay_outbox(
        &self,
        row: &OutboxRow,
        due: UnixMs,
        expires: UnixMs,
        reason: &str,
        attempts: i64,
    ) -> Write {
        let args = vec![
            row.outbox_id.as_str().into(),
            row.fence.owner.as_str().into(),
            row.fence.epoch.into(),
            due.into(),
            reason.into(),
            attempts.into(),
            expires.into(),
        ];
        Write::one(DELAY, args, Conflict::Lost)
    }

    /// Drops whatever still waits for a follower: he left, or his binding ended.
    #[must_use]
    pub fn drop_outbox_of(&self, account: &AccountId, follower: FollowerKey, verdict: &Verdict) -> Write {
        let args = vec![
            account.as_str().into(),
            follower.into(),
            verdict.reason.clone().into(),
            self.clock().now().into(),
            verdict.state.name().into(),
        ];
        Write::new(DROP_FOLLOWER, args)
    }

    /// Says what is about to be sent; [`Conflict::Lost`] when the partition is another's, or the intent is there
    /// already. An intent of one row carries that row's id and lists nothing.
    #[must_use]
    pub fn add_intent(&self, intent_id: &str, fence: &Fence, outbox_ids: &[&str]) -> Write {
        let args = vec![
            intent_id.into(),
            fence.part.into(),
            fence.owner.as_str().into(),
            fence.epoch.into(),
            self.clock().now().into(),
            outbox_ids.join(" ").into(),
        ];
        Write::one(ADD_INTENT, args, Conflict::Lost)
    }

    /// Ends an intent: everything in it is settled or put off.
    #[must_use]
    pub fn end_intent(&self, intent_id: &str) -> Write {
        Write::new(END_INTENT, vec![intent_id.into()])
    }

    /// Whether an intent of this id is left: its row was perhaps sent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_intent(&self, intent_id: &str) -> Result<bool, StoreError> {
        Ok(self.fetch_one(HAS_INTENT, vec![intent_id.into()]).await?.is_some())
    }

    /// Batches that an earlier owner of our partitions left behind.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn left_intents(&self, owner: &str, intents_max: usize) -> Result<Vec<LeftIntent>, StoreError> {
        let rows = self.fetch(LEFT_INTENTS, vec![owner.into(), count(intents_max).into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(LeftIntent {
                    intent_id: row.text(0)?.to_owned(),
                    at: row.time(1)?,
                    outbox_ids: row.text(2)?.split(' ').map(str::to_owned).collect(),
                })
            })
            .collect()
    }

    /// How often an unsettled row was tried; `None` when it is settled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_attempts(&self, outbox_id: &str) -> Result<Option<i64>, StoreError> {
        self.fetch_one(IS_OPEN, vec![outbox_id.into()]).await?.map(|row| row.int(0)).transpose()
    }

    /// Counts a try whose outcome nobody saw, and lets the row end at `expires` if that is earlier.
    #[must_use]
    pub fn count_attempt(&self, outbox_id: &str, attempts: i64, expires: UnixMs) -> Write {
        Write::new(COUNT_ATTEMPT, vec![outbox_id.into(), attempts.into(), expires.into()])
    }

    /// Whether the outcome of any try of a row is not known.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn was_unclear(&self, outbox_id: &str) -> Result<bool, StoreError> {
        let row = self.fetch_one(WAS_UNCLEAR, vec![outbox_id.into()]).await?;
        row.map_or(Ok(false), |row| row.flag(0))
    }

    /// Closes one API of an account until a moment.
    #[must_use]
    pub fn pause_api(&self, account: &AccountId, channel: OutChannel, until: UnixMs) -> Write {
        Write::new(PAUSE, vec![account.as_str().into(), channel.name().into(), until.into()])
    }

    /// The APIs that WeChat has closed: account and [`OutChannel`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pauses(&self, now: UnixMs) -> Result<Vec<(AccountId, OutChannel)>, StoreError> {
        let rows = self.fetch(PAUSES, vec![now.into()]).await?;
        let read = |row: &Row| {
            let bad = StoreError::Decode { statement: PAUSES.name, column: 1 };
            Ok((AccountId::new(row.text(0)?), OutChannel::parse(row.text(1)?).ok_or(bad)?))
        };
        rows.iter().map(read).collect()
    }
}

pub(super) fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
