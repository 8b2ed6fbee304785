//! What supervisors look at: the desk now, and what it did.

use super::value::statements;
use super::{Row, Store, StoreError};
use crate::domain::case::{CloseReason, Score};
use crate::domain::ids::AccountId;
use crate::domain::time::UnixMs;

/// Cases that one report reads.
pub const REPORT_CASES_MAX: u32 = 200_000;

statements! {
    WAITING_IN = "SELECT count(*), min(queued_ms), \
        COALESCE(sum(CASE WHEN queued_ms < $3 THEN 1 ELSE 0 END), 0), \
        COALESCE(sum(CASE WHEN queued_ms < $4 THEN 1 ELSE 0 END), 0) \
        FROM desk_case WHERE account = $1 AND state = 'waiting' AND skill = $2";
    TALKING_IN = "SELECT count(*) FROM desk_case WHERE account = $1 AND state = 'with_agent' AND skill = $2";
    CALL_BACKS_IN = "SELECT count(*) FROM desk_case WHERE account = $1 AND state = 'call_back' AND skill = $2";
    REPORT = "SELECT opened_ms, skill, reason, claimed_by, claimed_ms, first_reply_ms, closed_ms, close_reason, score, \
        transfers FROM desk_case WHERE account = $1 AND opened_ms >= $2 AND opened_ms < $3 \
        ORDER BY opened_ms LIMIT $4";
}

/// One group at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupNow {
    /// How many wait.
    pub waiting: u32,
    /// Since when the first of them does.
    pub since: Option<UnixMs>,
    /// How many wait longer than was promised.
    pub overdue: u32,
    /// How many will soon.
    pub at_risk: u32,
    /// How many talk with an agent.
    pub talking: u32,
    /// How many were promised a call-back.
    pub call_backs: u32,
}

/// A case as reports count it: nothing of the customer is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedCase {
    /// When it was opened.
    pub opened: UnixMs,
    /// Its group.
    pub skill: String,
    /// Why it came.
    pub reason: String,
    /// The agent who had it last.
    pub agent: Option<String>,
    /// Since when he had it.
    pub claimed: Option<UnixMs>,
    /// When an agent answered first.
    pub first_reply: Option<UnixMs>,
    /// When the talk ended.
    pub closed: Option<UnixMs>,
    /// Why.
    pub close_reason: Option<CloseReason>,
    /// What the customer thought of it.
    pub score: Option<Score>,
    /// How often it changed hands.
    pub transfers: i64,
}

impl Store {
    /// A group of an account at this moment: overdue is who waits since before `overdue_before`, at risk who waits
    /// since before `risk_before` and is not overdue.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn group_now(
        &self,
        account: &AccountId,
        skill: &str,
        overdue_before: UnixMs,
        risk_before: UnixMs,
    ) -> Result<GroupNow, StoreError> {
        let of_group = || vec![account.as_str().into(), skill.into()];
        let mut args = of_group();
        args.extend([overdue_before.into(), risk_before.into()]);
        let Some(row) = self.fetch_one(WAITING_IN, args).await? else { return Ok(GroupNow::default()) };
        let small = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        let (overdue, old) = (row.int(2)?, row.int(3)?);
        let count = async |statement| {
            let row = self.fetch_one(statement, of_group()).await?;
            row.map_or(Ok(0), |row| row.int(0)).map(small)
        };
        Ok(GroupNow {
            waiting: small(row.int(0)?),
            since: row.time_opt(1)?,
            overdue: small(overdue),
            at_risk: small(old - overdue),
            talking: count(TALKING_IN).await?,
            call_backs: count(CALL_BACKS_IN).await?,
        })
    }

    /// The cases that were opened from `from` to before `until`, oldest first. At most [`REPORT_CASES_MAX`].
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counted_cases(
        &self,
        account: &AccountId,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<Vec<CountedCase>, StoreError> {
        let args = vec![account.as_str().into(), from.into(), until.into(), REPORT_CASES_MAX.into()];
        self.fetch(REPORT, args).await?.iter().map(read).collect()
    }
}

fn read(row: &Row) -> Result<CountedCase, StoreError> {
    let bad = |column| StoreError::Decode { statement: REPORT.name, column };
    Ok(CountedCase {
        opened: row.time(0)?,
        skill: row.text(1)?.to_owned(),
        reason: row.text(2)?.to_owned(),
        agent: row.text_opt(3)?.map(str::to_owned),
        claimed: row.time_opt(4)?,
        first_reply: row.time_opt(5)?,
        closed: row.time_opt(6)?,
        close_reason: row
            .text_opt(7)?
            .map(|name| CloseReason::parse(name).ok_or_else(|| bad(7)))
            .transpose()?,
        score: row.int_opt(8)?.map(|points| Score::new(points).ok_or_else(|| bad(8))).transpose()?,
        transfers: row.int(9)?,
    })
}
