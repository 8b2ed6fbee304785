//! What the bank asked us to tell, and the signed calls by which it asked.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::outbox::{Lane, count};
use super::parts::Fence;
use super::value::statements;
use super::{Conflict, Row, Store, StoreError, Value, Write};
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::time::UnixMs;
use crate::domain::trace::TraceId;
use crate::domain::verdict::{State, Verdict};
use crate::keys::Place;

pub(super) const PAYLOAD: Place = Place("notice.payload");
const ANSWER: Place = Place("api_request.answer");

statements! {
    ADD = "INSERT INTO notice (family, notice_id, part, customer_ix, kind, lane, body_ix, accepted_ms, deadline_ms, \
        expires_ms, look_ms, looks, planned, fell_back, state, changed_ms, payload_sealed, trace_id) \
        SELECT v.column1, v.column2, v.column3, v.column4, v.column5, v.column6, v.column7, v.column8, v.column9, \
        v.column10, v.column8, 0, 0, 0, 'pending', v.column8, v.column11, v.column12 \
        FROM (VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)) AS v WHERE 1 = 1 \
        ON CONFLICT (family, notice_id) DO NOTHING";
    /// Each row of the list stands for one id. Looked up one by one: PostgreSQL would read all of the family for a list.
    KNOWN = "SELECT v.column2, (SELECT n.body_ix FROM notice n WHERE n.family = v.column1 AND n.notice_id = v.column2) \
        FROM (VALUES ($1, $2)) AS v";
    FIND = "SELECT n.family, n.notice_id, n.part, '', CAST(0 AS BIGINT), n.kind, n.accepted_ms, n.deadline_ms, n.expires_ms, \
        n.looks, n.planned, n.fell_back, n.state, n.reason, n.changed_ms, n.payload_sealed, n.trace_id, n.plan FROM notice n \
        WHERE n.family = $1 AND n.notice_id = $2";
    OF_CUSTOMER = "SELECT n.family, n.notice_id, n.part, '', CAST(0 AS BIGINT), n.kind, n.accepted_ms, n.deadline_ms, \
        n.expires_ms, n.looks, n.planned, n.fell_back, n.state, n.reason, n.changed_ms, n.payload_sealed, n.trace_id, n.plan \
        FROM notice n WHERE n.customer_ix = $1 AND n.accepted_ms >= $2 AND n.family = $3 \
        ORDER BY n.accepted_ms DESC LIMIT $4";
    TO_LOOK_AT = "SELECT n.family, n.notice_id, n.part, l.owner, l.epoch, n.kind, n.accepted_ms, n.deadline_ms, \
        n.expires_ms, n.looks, n.planned, n.fell_back, n.state, n.reason, n.changed_ms, n.payload_sealed, \
        n.trace_id, n.plan \
        FROM notice n JOIN part_lease l ON l.part = n.part AND l.owner = $1 \
        WHERE n.lane = $2 AND n.look_ms <= $3 ORDER BY n.look_ms LIMIT $4";
    LOOKED = "UPDATE notice SET look_ms = v.column6, looks = notice.looks + 1, planned = 1, fell_back = v.column7, \
        state = v.column8, reason = v.column9, changed_ms = v.column10, deadline_ms = v.column11, plan = v.column12 \
        FROM (VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)) AS v \
        WHERE notice.family = v.column1 AND notice.notice_id = v.column2 AND notice.looks = v.column3 \
        AND (SELECT l.epoch FROM part_lease l \
        WHERE l.part = notice.part AND l.owner = v.column4) = v.column5";
    POKE = "UPDATE notice SET look_ms = v.column3, looks = notice.looks + 1 FROM (VALUES ($1, $2, $3)) AS v \
        WHERE notice.family = v.column1 AND notice.notice_id = v.column2";
    POKE_BY_RECEIPT = "UPDATE notice SET look_ms = v.column3, looks = notice.looks + 1 \
        FROM (VALUES ($1, $2, $3)) AS v JOIN outbox o ON o.account = v.column1 AND o.msgid = v.column2 \
        WHERE notice.family = o.cause_kind AND notice.notice_id = o.cause_id";
    POKE_REPORTED = "UPDATE notice SET look_ms = v.column3, looks = notice.looks + 1 \
        FROM (VALUES ($1, $2, $3, $4, $5)) AS v JOIN receipt r ON r.account = v.column4 AND r.msgid = v.column5 \
        WHERE notice.family = v.column1 AND notice.notice_id = v.column2";
    PENDING = "SELECT count(*) FROM (SELECT 1 AS one FROM notice WHERE state = 'pending' LIMIT $1) AS bounded";
    SWEEP = "DELETE FROM notice WHERE accepted_ms < $1";
    REMEMBER_CALL = "INSERT INTO api_request (method, path_ix, webhook_id, body_ix, at_ms, status, answer_sealed) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (method, path_ix, webhook_id) DO NOTHING";
    CALL = "SELECT body_ix, status, answer_sealed FROM api_request \
        WHERE method = $1 AND path_ix = $2 AND webhook_id = $3";
    SWEEP_CALLS = "DELETE FROM api_request WHERE at_ms < $1";
}

/// Which ids a notice's id belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `POST /api/v1/transactions`.
    Transaction,
    /// `POST /api/v1/notices`.
    Notice,
}

impl Family {
    /// The name in the database; also the kind of cause of its messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Notice => "notice",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Transaction, Self::Notice].into_iter().find(|family| family.name() == name)
    }
}

/// Something to tell, to be written.
#[derive(Clone)]
pub struct NewNotice {
    /// Whose ids.
    pub family: Family,
    /// The bank's id.
    pub notice_id: String,
    /// The bank's customer; decides the partition.
    pub customer: CustomerId,
    /// The file of `templates/notices/` that rules it.
    pub kind: String,
    /// Its precedence.
    pub lane: Lane,
    /// Keyed hash of the item as it came.
    pub body_ix: [u8; 32],
    /// When it came.
    pub accepted: UnixMs,
    /// Past it the bank falls back.
    pub deadline: UnixMs,
    /// Past it nothing is sent any more.
    pub expires: UnixMs,
    /// The checked item as JSON; sealed here.
    pub payload: Zeroizing<Vec<u8>>,
    /// The trace of the call that brought it.
    pub trace: Option<TraceId>,
}

/// Something to tell, as it was read.
#[derive(Clone)]
pub struct NoticeRow {
    /// Whose ids.
    pub family: Family,
    /// The bank's id.
    pub notice_id: String,
    /// Under which lease it was read; empty for a plain look.
    pub fence: Fence,
    /// The file that rules it.
    pub kind: String,
    /// When it came.
    pub accepted: UnixMs,
    /// Past it the bank falls back.
    pub deadline: UnixMs,
    /// Past it nothing is sent any more.
    pub expires: UnixMs,
    /// How often it was looked at or poked: its version.
    pub looks: i64,
    /// Whether its messages are written.
    pub planned: bool,
    /// Whether the bank was told to fall back.
    pub fell_back: bool,
    /// The verdict of the last look.
    pub verdict: Verdict,
    /// When that changed.
    pub changed: UnixMs,
    /// The checked item as JSON.
    pub payload: Zeroizing<Vec<u8>>,
    /// The trace of the call that brought it.
    pub trace: Option<TraceId>,
    /// What was decided on it so far, as JSON of the room that decides.
    pub plan: Option<String>,
}

impl NoticeRow {
    /// Whether it waited for the end of somebody's quiet hours.
    #[must_use]
    pub fn was_held(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.contains("\"held\""))
    }
}

/// What a look found.
#[derive(Clone, Debug)]
pub struct Looked {
    /// When to look again; `None`: when poked.
    pub next: Option<UnixMs>,
    /// Whether the bank has been told to fall back.
    pub fell_back: bool,
    /// The verdict.
    pub verdict: Verdict,
    /// When it changed.
    pub changed: UnixMs,
    /// Past it the bank falls back.
    pub deadline: UnixMs,
    /// What was decided on it so far.
    pub plan: Option<String>,
}

/// A signed call that was answered before.
#[derive(Clone)]
pub struct SeenCall {
    /// Keyed hash of its body.
    pub body_ix: Vec<u8>,
    /// The status of its answer.
    pub status: u16,
    /// Its answer.
    pub answer: Option<Zeroizing<Vec<u8>>>,
}

/// Stands for any path: a GET's id is remembered under it, too.
const ANY_PATH: &str = "*";

/// Names one signed call: its id is good once for each method and path.
#[derive(Clone, Debug)]
pub struct CallKey {
    /// GET, POST or DELETE.
    pub method: &'static str,
    /// The path as it came; hashed before it is stored, for it may hold an openid.
    pub path: String,
    /// The header.
    pub webhook_id: String,
}

impl Store {
    /// Which of these ids are known, with the hash of the body they came with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn known_notices(
        &self,
        family: Family,
        ids: &[&str],
    ) -> Result<BTreeMap<String, Vec<u8>>, StoreError> {
        let asked: Vec<Vec<Value>> =
            ids.iter().map(|id| vec![family.name().into(), Value::from(*id)]).collect();
        let mut known = BTreeMap::new();
        for row in self.fetch_each(KNOWN, &asked).await? {
            if let Some(body_ix) = row.blob_opt(1)? {
                known.insert(row.text(0)?.to_owned(), body_ix.to_vec());
            }
        }
        Ok(known)
    }

    /// Adds something to tell; [`Conflict::Duplicate`] when its id is known.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn add_notice(&self, notice: &NewNotice) -> Result<Write, StoreError> {
        let customer_ix = self.customer_index(&notice.customer);
        let sealed =
            self.vault().seal(PAYLOAD, &row_of(notice.family, &notice.notice_id), &notice.payload)?;
        let args = vec![
            notice.family.name().into(),
            notice.notice_id.as_str().into(),
            customer_ix[0].into(),
            customer_ix.into(),
            notice.kind.as_str().into(),
            notice.lane.number().into(),
            notice.body_ix.into(),
            notice.accepted.into(),
            notice.deadline.into(),
            notice.expires.into(),
            sealed.into(),
            notice.trace.into(),
        ];
        Ok(Write::one(ADD, args, Conflict::Duplicate))
    }

    /// One notice by its id.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn notice(&self, family: Family, id: &str) -> Result<Option<NoticeRow>, StoreError> {
        let row = self.fetch_one(FIND, vec![family.name().into(), id.into()]).await?;
        row.map(|row| self.notice_row(&row)).transpose()
    }

    /// What was accepted for a customer since a moment, the newest first.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn notices_of(
        &self,
        family: Family,
        customer: &CustomerId,
        since: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let customer_ix = self.customer_index(customer);
        let args = vec![customer_ix.into(), since.into(), family.name().into(), count(rows_max).into()];
        self.fetch(OF_CUSTOMER, args).await?.iter().map(|row| self.notice_row(row)).collect()
    }

    /// Notices of one lane whose time to be looked at has come and whose partition `owner` holds.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn notices_to_look_at(
        &self,
        owner: &str,
        lane: Lane,
        now: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<NoticeRow>, StoreError> {
        let args = vec![owner.into(), lane.number().into(), now.into(), count(rows_max).into()];
        self.fetch(TO_LOOK_AT, args).await?.iter().map(|row| self.notice_row(row)).collect()
    }

    fn notice_row(&self, row: &Row) -> Result<NoticeRow, StoreError> {
        let bad = |column| StoreError::Decode { statement: FIND.name, column };
        let family = Family::parse(row.text(0)?).ok_or_else(|| bad(0))?;
        let notice_id = row.text(1)?.to_owned();
        let payload = self.vault().open(PAYLOAD, &row_of(family, &notice_id), row.blob(15)?)?;
        Ok(NoticeRow {
            family,
            notice_id,
            fence: Fence {
                part: u8::try_from(row.int(2)?).map_err(|_| bad(2))?,
                owner: row.text(3)?.to_owned(),
                epoch: row.int(4)?,
            },
            kind: row.text(5)?.to_owned(),
            accepted: row.time(6)?,
            deadline: row.time(7)?,
            expires: row.time(8)?,
            looks: row.int(9)?,
            planned: row.flag(10)?,
            fell_back: row.flag(11)?,
            verdict: Verdict {
                state: State::parse(row.text(12)?).ok_or_else(|| bad(12))?,
                reason: row.text_opt(13)?.map(str::to_owned),
            },
            changed: row.time(14)?,
            payload,
            trace: row.text_opt(16)?.and_then(TraceId::parse),
            plan: row.text_opt(17)?.map(str::to_owned),
        })
    }

    /// Records a look under the lease; [`Conflict::Stale`] when the notice was poked or looked at since, or its
    /// partition is another's.
    #[must_use]
    pub fn looked_at(&self, row: &NoticeRow, looked: &Looked) -> Write {
        let args = vec![
            row.family.name().into(),
            row.notice_id.as_str().into(),
            row.looks.into(),
            row.fence.owner.as_str().into(),
            row.fence.epoch.into(),
            looked.next.into(),
            looked.fell_back.into(),
            looked.verdict.state.name().into(),
            looked.verdict.reason.clone().into(),
            looked.changed.into(),
            looked.deadline.into(),
            looked.plan.clone().into(),
        ];
        Write::one(LOOKED, args, Conflict::Stale)
    }

    /// Asks for a look at a notice: one of its messages was settled. Nothing happens for other causes.
    #[must_use]
    pub fn poke_notice(&self, cause_kind: &str, cause_id: &str) -> Write {
        Write::new(POKE, vec![cause_kind.into(), cause_id.into(), self.clock().now().into()])
    }

    /// Asks for a look at a notice if WeChat has reported on its message already, before the send's own answer.
    #[must_use]
    pub fn poke_reported_notice(
        &self,
        cause_kind: &str,
        cause_id: &str,
        account: &AccountId,
        msgid: &str,
    ) -> Write {
        let now = self.clock().now().into();
        let args = vec![cause_kind.into(), cause_id.into(), now, account.as_str().into(), msgid.into()];
        Write::new(POKE_REPORTED, args)
    }

    /// Asks for a look at the notice whose message WeChat reported on.
    #[must_use]
    pub fn poke_notice_by_receipt(&self, account: &AccountId, msgid: &str) -> Write {
        Write::new(POKE_BY_RECEIPT, vec![account.as_str().into(), msgid.into(), self.clock().now().into()])
    }

    /// How many notices are pending, counted up to `bound`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pending_notices(&self, bound: i64) -> Result<i64, StoreError> {
        let row = self.fetch_one(PENDING, vec![bound.into()]).await?;
        row.map(|row| row.int(0)).transpose().map(|pending| pending.unwrap_or(0))
    }

    /// Remembers a signed call with its answer; [`Conflict::Duplicate`] when it came before.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn remember_call(
        &self,
        key: &CallKey,
        body: &[u8],
        status: u16,
        answer: Option<&[u8]>,
    ) -> Result<Write, StoreError> {
        let sealed =
            answer.map(|answer| self.vault().seal(ANSWER, key.webhook_id.as_bytes(), answer)).transpose()?;
        let args = vec![
            key.method.into(),
            self.path_index(&key.path).into(),
            key.webhook_id.as_str().into(),
            self.body_index(body).into(),
            self.clock().now().into(),
            i64::from(status).into(),
            sealed.into(),
        ];
        Ok(Write::one(REMEMBER_CALL, args, Conflict::Duplicate))
    }

    /// Remembers that a GET used this id: the signature of an empty body would open a DELETE as well.
    #[must_use]
    pub fn remember_reading(&self, webhook_id: &str) -> Write {
        let args = vec![
            "GET".into(),
            self.path_index(ANY_PATH).into(),
            webhook_id.into(),
            self.body_index(b"").into(),
            self.clock().now().into(),
            200_i64.into(),
            Option::<Vec<u8>>::None.into(),
        ];
        Write::new(REMEMBER_CALL, args)
    }

    /// Whether a GET used this id, on whatever path.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn was_reading(&self, webhook_id: &str) -> Result<bool, StoreError> {
        let args = vec!["GET".into(), self.path_index(ANY_PATH).into(), webhook_id.into()];
        Ok(self.fetch_one(CALL, args).await?.is_some())
    }

    /// The earlier call of this key, if there was one.
    ///
    /// # Errors
    /// When the database fails or the answer does not open.
    pub async fn seen_call(&self, key: &CallKey) -> Result<Option<SeenCall>, StoreError> {
        let args = vec![key.method.into(), self.path_index(&key.path).into(), key.webhook_id.as_str().into()];
        let Some(row) = self.fetch_one(CALL, args).await? else { return Ok(None) };
        let open = |sealed| self.vault().open(ANSWER, key.webhook_id.as_bytes(), sealed);
        Ok(Some(SeenCall {
            body_ix: row.blob(0)?.to_vec(),
            status: u16::try_from(row.int(1)?)
                .map_err(|_| StoreError::Decode { statement: CALL.name, column: 1 })?,
            answer: row.blob_opt(2)?.map(open).transpose()?,
        }))
    }

    /// The keyed hash of a body, to tell whether a call came with the same one.
    #[must_use]
    pub fn body_index(&self, body: &[u8]) -> [u8; 32] {
        self.vault().keyed_hash("body", &[body])
    }

    fn path_index(&self, path: &str) -> [u8; 16] {
        self.vault().index("path", &[path.as_bytes()])
    }

    /// Forgets notices accepted, and calls made, before these moments.
    #[must_use]
    pub fn sweep_notices(&self, accepted_before: UnixMs, called_before: UnixMs) -> [Write; 2] {
        [Write::new(SWEEP, vec![accepted_before.into()]), Write::new(SWEEP_CALLS, vec![called_before.into()])]
    }
}

pub(super) fn row_of(family: Family, id: &str) -> Vec<u8> {
    let mut row = family.name().as_bytes().to_vec();
    row.push(0);
    row.extend_from_slice(id.as_bytes());
    row
}
