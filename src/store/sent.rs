//! What became of what was sent: tries, receipts, and how long they are kept.

use std::collections::BTreeMap;

use super::outbox::{Lane, OutChannel, count};
use super::value::statements;
use super::{Row, Store, StoreError, Value, Write};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::domain::verdict::{State, UNCLEAR, Verdict, of_receipt};

statements! {
    ADD_ATTEMPT = "INSERT INTO attempt (outbox_id, number, at_ms, duration_ms, outcome, errcode) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (outbox_id, number) DO NOTHING";
    ADD_RECEIPT = "INSERT INTO receipt (account, msgid, status, at_ms) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (account, msgid) DO NOTHING";
    /// Each row of the list stands for one cause. A cause has one message by each way for each of few followers.
    SENT_OF = "SELECT o.outbox_id, o.account, o.state, o.reason, o.attempts, o.created_ms, o.settled_ms, r.status, \
        r.at_ms, o.fkey, o.channel, o.due_ms, (SELECT count(*) FROM attempt a WHERE a.outbox_id = o.outbox_id \
        AND a.outcome = 'unclear'), v.column1, v.column2 FROM (VALUES ($1, $2)) AS v \
        LEFT JOIN outbox o ON o.cause_kind = v.column1 AND o.cause_id = v.column2 \
        LEFT JOIN receipt r ON r.account = o.account AND r.msgid = o.msgid ORDER BY o.order_no";
    ATTEMPTS_OF = "SELECT a.at_ms, a.outcome, a.errcode FROM outbox o JOIN attempt a ON a.outbox_id = o.outbox_id \
        WHERE o.cause_kind = $1 AND o.cause_id = $2 ORDER BY a.at_ms, a.number LIMIT $3";
    WAITING = "SELECT lane, count(*), min(due_ms) FROM outbox WHERE settled = 0 GROUP BY lane";
    SWEEP_ATTEMPTS = "DELETE FROM attempt WHERE outbox_id IN \
        (SELECT outbox_id FROM outbox WHERE settled = 1 AND settled_ms < $1 ORDER BY settled_ms LIMIT $2)";
    SWEEP_OUTBOX = "DELETE FROM outbox WHERE outbox_id IN \
        (SELECT outbox_id FROM outbox WHERE settled = 1 AND settled_ms < $1 ORDER BY settled_ms LIMIT $2)";
    SWEEP_RECEIPTS = "DELETE FROM receipt WHERE at_ms < $1";
}

/// Tries read of one cause.
const ATTEMPTS_MAX: i64 = 500;

/// One try.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began.
    pub at: UnixMs,
    /// How long it took.
    pub duration_ms: i64,
    /// `accepted`, `refused`, `busy`, `not_sent`, `unclear`.
    pub outcome: &'static str,
    /// WeChat's code, or the status of the bank's receiver.
    pub errcode: Option<i64>,
}

/// What became of one message of a cause.
#[derive(Clone, Debug)]
pub struct SentRow {
    /// Its id in the outbox.
    pub outbox_id: String,
    /// The account it left by.
    pub account: AccountId,
    /// Whom it went to.
    pub follower: Option<FollowerKey>,
    /// Its way.
    pub channel: OutChannel,
    /// Not before this moment, while it is pending.
    pub due: UnixMs,
    /// Whether WeChat's answer to a try was lost: it was perhaps sent.
    pub unclear: bool,
    /// Its verdict, with its receipt if that has come.
    pub verdict: Verdict,
    /// Tries.
    pub attempts: i64,
    /// When it was written.
    pub created: UnixMs,
    /// When it was settled.
    pub settled: Option<UnixMs>,
    /// When its receipt came.
    pub receipt_at: Option<UnixMs>,
}

/// A try as the bank may read it.
#[derive(Clone, Debug)]
pub struct PastAttempt {
    /// When.
    pub at: UnixMs,
    /// How it ended.
    pub outcome: String,
    /// With which code.
    pub errcode: Option<i64>,
}

impl Store {
    /// Records a try. Numbers count from 1.
    #[must_use]
    pub fn add_attempt(&self, outbox_id: &str, number: i64, attempt: &Attempt) -> Write {
        let args = vec![
            outbox_id.into(),
            number.into(),
            attempt.at.into(),
            attempt.duration_ms.into(),
            attempt.outcome.into(),
            attempt.errcode.into(),
        ];
        Write::new(ADD_ATTEMPT, args)
    }

    /// Keeps WeChat's report of a template message, also when the send's own answer has not come yet.
    #[must_use]
    pub fn add_receipt(&self, account: &AccountId, msgid: &str, status: &str) -> Write {
        let now = self.clock().now();
        Write::new(ADD_RECEIPT, vec![account.as_str().into(), msgid.into(), status.into(), now.into()])
    }

    /// What became of the messages of one cause.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sent_of(&self, cause_kind: &str, cause_id: &str) -> Result<Vec<SentRow>, StoreError> {
        let mut sent = self.sent_of_each([(cause_kind, cause_id)]).await?;
        Ok(sent.remove(&(cause_kind.to_owned(), cause_id.to_owned())).unwrap_or_default())
    }

    /// What became of the messages of several causes, each named by its kind and id. A cause without any is left out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sent_of_each<'a>(
        &self,
        causes: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<BTreeMap<(String, String), Vec<SentRow>>, StoreError> {
        let asked: Vec<Vec<Value>> =
            causes.into_iter().map(|(kind, id)| vec![kind.into(), id.into()]).collect();
        let mut sent: BTreeMap<(String, String), Vec<SentRow>> = BTreeMap::new();
        for row in self.fetch_each(SENT_OF, &asked).await? {
            if row.text_opt(0)?.is_some() {
                let cause = (row.text(13)?.to_owned(), row.text(14)?.to_owned());
                sent.entry(cause).or_default().push(sent_row(&row)?);
            }
        }
        Ok(sent)
    }

    /// The tries of one cause, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn attempts_of(
        &self,
        cause_kind: &str,
        cause_id: &str,
    ) -> Result<Vec<PastAttempt>, StoreError> {
        let args = vec![cause_kind.into(), cause_id.into(), ATTEMPTS_MAX.into()];
        let rows = self.fetch(ATTEMPTS_OF, args).await?;
        rows.iter()
            .map(|row| {
                Ok(PastAttempt {
                    at: row.time(0)?,
                    outcome: row.text(1)?.to_owned(),
                    errcode: row.int_opt(2)?,
                })
            })
            .collect()
    }

    /// What waits: lane, rows, and when the oldest was due. For metrics.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn waiting_outbox(&self) -> Result<Vec<(Lane, i64, UnixMs)>, StoreError> {
        let rows = self.fetch(WAITING, vec![]).await?;
        rows.iter()
            .map(|row| {
                let bad = StoreError::Decode { statement: WAITING.name, column: 0 };
                Ok((Lane::from_number(row.int(0)?).ok_or(bad)?, row.int(1)?, row.time(2)?))
            })
            .collect()
    }

    /// Removes history settled before a moment, `rows_max` at a time, and receipts of that age.
    #[must_use]
    pub fn sweep_outbox(&self, before: UnixMs, receipts_before: UnixMs, rows_max: usize) -> [Write; 3] {
        [
            Write::new(SWEEP_ATTEMPTS, vec![before.into(), count(rows_max).into()]),
            Write::new(SWEEP_OUTBOX, vec![before.into(), count(rows_max).into()]),
            Write::new(SWEEP_RECEIPTS, vec![receipts_before.into()]),
        ]
    }
}

fn sent_row(row: &Row) -> Result<SentRow, StoreError> {
    let bad = |column| StoreError::Decode { statement: SENT_OF.name, column };
    let state = State::parse(row.text(2)?).ok_or_else(|| bad(2))?;
    let verdict = match row.text_opt(7)? {
        // A report also settles what became of a message whose answer was lost.
        Some(status) if state == State::Sent || row.text_opt(3)? == Some(UNCLEAR) => of_receipt(status),
        _ => Verdict { state, reason: row.text_opt(3)?.map(str::to_owned) },
    };
    Ok(SentRow {
        outbox_id: row.text(0)?.to_owned(),
        follower: row.blob_opt(9)?.map(|_| row.follower(9)).transpose()?,
        channel: OutChannel::parse(row.text(10)?).ok_or_else(|| bad(10))?,
        due: row.time(11)?,
        unclear: row.int(12)? > 0,
        account: AccountId::new(row.text(1)?),
        verdict,
        attempts: row.int(4)?,
        created: row.time(5)?,
        settled: row.time_opt(6)?,
        receipt_at: row.time_opt(8)?,
    })
}
