//! Cases of the desk. Every change names the state and the owner that it was decided on; where they are not so
//! any more, nothing of its commit stands.

use super::value::statements;
use super::{Conflict, Row, Statement, Store, StoreError, Write};
use crate::domain::case::{CaseState, CloseReason, Priority, Score};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;

macro_rules! select_case {
    ($rest:literal) => {
        concat!(
            "SELECT case_id, account, fkey, state, skill, priority, reason, opened_ms, opened_seq, queued_ms, \
             rank_ms, claimed_by, claimed_ms, first_reply_ms, last_reply_ms, last_customer_ms, unread, transfers, \
             closed_ms, close_reason, prefer, prefer_until_ms, score FROM desk_case WHERE ",
            $rest
        )
    };
}

statements! {
    INSERT_CASE = "INSERT INTO desk_case (case_id, account, fkey, state, skill, priority, reason, opened_ms, \
        opened_seq, queued_ms, rank_ms, last_customer_ms, prefer, prefer_until_ms, touched_ms, unread, transfers) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 0, 0) \
        ON CONFLICT (case_id) DO NOTHING";
    CASE = select_case!("case_id = $1");
    QUEUE = select_case!("account = $1 AND state = $2 ORDER BY rank_ms, case_id LIMIT $3");
    /// What an agent of this group gets next, but for what is kept for somebody else.
    NEXT = select_case!(
        "account = $1 AND state = $2 AND skill = $3 \
         AND (prefer IS NULL OR prefer = $4 OR prefer_until_ms < $5) ORDER BY rank_ms LIMIT $6"
    );
    KEPT_FOR = select_case!("prefer = $1 AND state = 'waiting' AND prefer_until_ms >= $2 ORDER BY rank_ms LIMIT 20");
    OF_AGENT = select_case!("claimed_by = $1 AND state = $2 ORDER BY claimed_ms, case_id LIMIT $3");
    OF_FOLLOWER = select_case!("account = $1 AND fkey = $2 ORDER BY opened_ms DESC LIMIT 20");
    LEFT_ALONE = select_case!(
        "account = $1 AND state = 'with_agent' AND claimed_ms < $2 \
         AND COALESCE(last_customer_ms, 0) < $2 AND COALESCE(last_reply_ms, 0) < $2 \
         AND (last_reply_ms IS NULL OR last_reply_ms < claimed_ms OR last_reply_ms < last_customer_ms) \
         AND NOT EXISTS (SELECT 1 FROM staff_session s WHERE s.name = claimed_by AND s.active_ms >= $3 \
         AND s.created_ms >= $4 AND s.stage = 'full') ORDER BY claimed_ms LIMIT 100"
    );
    SILENT = select_case!(
        "account = $1 AND state = 'with_agent' AND claimed_ms < $2 AND COALESCE(last_customer_ms, 0) < $2 \
         AND COALESCE(last_reply_ms, 0) < $2 ORDER BY claimed_ms LIMIT 100"
    );
    UNNOTED = select_case!("account = $1 AND state = 'wrap_up' AND closed_ms < $2 ORDER BY closed_ms LIMIT 100");
    TOUCHED = "SELECT account, fkey, case_id, touched_ms, state, claimed_by FROM desk_case WHERE touched_ms >= $1 \
        ORDER BY touched_ms LIMIT 1000";
    WITH_AGENTS = "SELECT c.account, c.fkey, c.case_id, c.touched_ms, c.state, c.claimed_by FROM staff s \
        JOIN desk_case c ON c.claimed_by = s.name AND c.state = 'with_agent' LIMIT $1";
    LAST_AGENT = "SELECT claimed_by FROM desk_case WHERE account = $1 AND fkey = $2 AND closed_ms >= $3 \
        AND claimed_by IS NOT NULL ORDER BY closed_ms DESC LIMIT 1";
    /// The bound keeps customers from paying for each other's waiting.
    COUNT_WAITING = "SELECT count(*) FROM (SELECT 1 FROM desk_case WHERE account = $1 AND state = 'waiting' \
        LIMIT 1000) AS found";
    COUNT_BEFORE = "SELECT count(*) FROM (SELECT 1 FROM desk_case WHERE account = $1 AND state = 'waiting' \
        AND (rank_ms < $2 OR (rank_ms = $2 AND case_id < $3)) LIMIT 1000) AS found";
    CLAIM = "UPDATE desk_case SET state = 'with_agent', claimed_by = $2, claimed_ms = $3, touched_ms = $3, \
        unread = 0, prefer = NULL, prefer_until_ms = NULL \
        WHERE case_id = $1 AND state IN ('waiting', 'call_back') \
        AND (SELECT count(*) FROM desk_case o WHERE o.claimed_by = $2 AND o.state = 'with_agent') < $4";
    HAND_OVER = "UPDATE desk_case SET claimed_by = $4, claimed_ms = $5, touched_ms = $5, transfers = transfers + 1 \
        WHERE case_id = $1 AND state = $2 AND COALESCE(claimed_by, '') = $3";
    REQUEUE = "UPDATE desk_case SET state = 'waiting', skill = $4, priority = $5, reason = $6, queued_ms = $7, \
        rank_ms = $8, prefer = $9, prefer_until_ms = $10, touched_ms = $11, claimed_by = NULL, claimed_ms = NULL, \
        transfers = transfers + CASE WHEN state = 'with_agent' THEN 1 ELSE 0 END \
        WHERE case_id = $1 AND state = $2 AND COALESCE(claimed_by, '') = $3";
    PROMISE = "UPDATE desk_case SET state = 'call_back', rank_ms = $2, touched_ms = $3 \
        WHERE case_id = $1 AND state = 'waiting'";
    ANSWERED = "UPDATE desk_case SET first_reply_ms = COALESCE(first_reply_ms, $3), last_reply_ms = $3, \
        touched_ms = $3, unread = 0 WHERE case_id = $1 AND state = 'with_agent' AND claimed_by = $2";
    END = "UPDATE desk_case SET closed_ms = COALESCE(closed_ms, $5), close_reason = $6, touched_ms = $7, \
        state = CASE WHEN CAST($4 AS TEXT) = 'closed' AND score IS NOT NULL THEN 'rated' ELSE CAST($4 AS TEXT) END \
        WHERE case_id = $1 AND state = $2 AND COALESCE(claimed_by, '') = $3";
    END_ANYHOW = "UPDATE desk_case SET state = 'closed', closed_ms = COALESCE(closed_ms, $2), close_reason = $3, \
        touched_ms = $2 WHERE case_id = $1 AND state NOT IN ('closed', 'rated')";
    /// Once: the first word stands.
    RATE = "UPDATE desk_case SET score = $4, rated_ms = $5, touched_ms = $5, \
        state = CASE WHEN state = 'closed' THEN 'rated' ELSE state END \
        WHERE case_id = $1 AND account = $2 AND fkey = $3 AND state IN ('closed', 'wrap_up') AND score IS NULL";
    SAID = "UPDATE desk_case SET unread = unread + 1, last_customer_ms = $2, touched_ms = $2 \
        WHERE case_id = $1 AND state NOT IN ('closed', 'rated')";
    TOUCH = "UPDATE desk_case SET touched_ms = $2 WHERE case_id = $1";
    SEEN = "UPDATE desk_case SET unread = 0 WHERE case_id = $1 AND claimed_by = $2 AND unread > 0";
    INSERT_ANSWER = "INSERT INTO desk_answer (case_id, answer_id, seq) VALUES ($1, $2, $3) \
        ON CONFLICT (case_id, answer_id) DO NOTHING";
    FIND_ANSWER = "SELECT seq FROM desk_answer WHERE case_id = $1 AND answer_id = $2";
    FORGET_ANSWERS = "DELETE FROM desk_answer WHERE case_id = $1";
}

/// A case as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its id.
    pub case_id: String,
    /// The account.
    pub account: AccountId,
    /// The follower.
    pub follower: FollowerKey,
    /// Where it stands.
    pub state: CaseState,
    /// The group that it needs: `general`, `card`, `fraud` …
    pub skill: String,
    /// How urgent it is.
    pub priority: Priority,
    /// Why it came: a code, never the customer's words.
    pub reason: String,
    /// When it was opened.
    pub opened: UnixMs,
    /// The log's number at that moment: what came before was said to the bot.
    pub opened_seq: i64,
    /// Since when it waits, or waited last.
    pub queued: UnixMs,
    /// Its place in the queue's order.
    pub rank: UnixMs,
    /// The agent who has or had it.
    pub claimed_by: Option<String>,
    /// Since when.
    pub claimed: Option<UnixMs>,
    /// When an agent answered first.
    pub first_reply: Option<UnixMs>,
    /// When an agent answered last.
    pub last_reply: Option<UnixMs>,
    /// When the customer wrote last.
    pub last_customer: Option<UnixMs>,
    /// Messages of the customer that the agent has not seen.
    pub unread: i64,
    /// How often it went back to the queue.
    pub transfers: i64,
    /// When the talk ended.
    pub closed: Option<UnixMs>,
    /// Why.
    pub close_reason: Option<CloseReason>,
    /// The agent whom it waits for, and until when.
    pub prefer: Option<(String, UnixMs)>,
    /// What the customer thought of it.
    pub score: Option<Score>,
}

/// A change of a case, found by its time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Touched {
    /// The account.
    pub account: AccountId,
    /// The follower.
    pub follower: FollowerKey,
    /// The case.
    pub case_id: String,
    /// When.
    pub at: UnixMs,
    /// The agent who has it now.
    pub owner: Option<String>,
}

impl Case {
    /// The owner as conditions name him: empty when nobody has it.
    fn owner(&self) -> &str {
        self.claimed_by.as_deref().unwrap_or_default()
    }
}

impl Store {
    /// Adds a case.
    #[must_use]
    pub fn insert_case(&self, case: &Case) -> Write {
        let args = vec![
            case.case_id.as_str().into(),
            case.account.as_str().into(),
            case.follower.into(),
            case.state.name().into(),
            case.skill.as_str().into(),
            case.priority.level().into(),
            case.reason.as_str().into(),
            case.opened.into(),
            case.opened_seq.into(),
            case.queued.into(),
            case.rank.into(),
            case.last_customer.into(),
            case.prefer.as_ref().map(|(agent, _)| agent.as_str()).into(),
            case.prefer.as_ref().map(|(_, until)| *until).into(),
            self.clock().now().into(),
        ];
        Write::one(INSERT_CASE, args, Conflict::Duplicate)
    }

    /// The case with this id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn case(&self, case_id: &str) -> Result<Option<Case>, StoreError> {
        let row = self.fetch_one(CASE, vec![case_id.into()]).await?;
        row.map(|row| read_case(CASE, &row)).transpose()
    }

    /// Cases of an account in one queued state, in the queue's order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queued_cases(
        &self,
        account: &AccountId,
        state: CaseState,
        limit: u32,
    ) -> Result<Vec<Case>, StoreError> {
        self.cases(QUEUE, vec![account.as_str().into(), state.name().into(), limit.into()]).await
    }

    /// What somebody of a group may take next, in the queue's order: nothing that is kept for another agent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn next_cases(
        &self,
        account: &AccountId,
        state: CaseState,
        skill: &str,
        agent: &str,
        limit: u32,
    ) -> Result<Vec<Case>, StoreError> {
        let args = vec![
            account.as_str().into(),
            state.name().into(),
            skill.into(),
            agent.into(),
            self.clock().now().into(),
            limit.into(),
        ];
        self.cases(NEXT, args).await
    }

    /// Cases that wait for one agent above all. At most 20.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cases_kept_for(&self, agent: &str) -> Result<Vec<Case>, StoreError> {
        self.cases(KEPT_FOR, vec![agent.into(), self.clock().now().into()]).await
    }

    /// The cases of a follower, the newest first. At most 20.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cases_of(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Vec<Case>, StoreError> {
        self.cases(OF_FOLLOWER, vec![account.as_str().into(), follower.into()]).await
    }

    /// Who talked to the follower last in a case that ended since `ended_since`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_agent(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        ended_since: UnixMs,
    ) -> Result<Option<String>, StoreError> {
        let args = vec![account.as_str().into(), follower.into(), ended_since.into()];
        let row = self.fetch_one(LAST_AGENT, args).await?;
        row.map(|row| row.text(0).map(str::to_owned)).transpose()
    }

    /// Changes of cases since a moment, the moment included. At most 1000.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn touched_cases(&self, since: UnixMs) -> Result<Vec<Touched>, StoreError> {
        self.fetch(TOUCHED, vec![since.into()]).await?.iter().map(touched).collect()
    }

    /// Cases that are with an agent, at most so many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cases_with_agents(&self, limit: u32) -> Result<Vec<Touched>, StoreError> {
        self.fetch(WITH_AGENTS, vec![limit.into()]).await?.iter().map(touched).collect()
    }

    /// Cases that an agent has, oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agents_cases(
        &self,
        agent: &str,
        state: CaseState,
        limit: u32,
    ) -> Result<Vec<Case>, StoreError> {
        self.cases(OF_AGENT, vec![agent.into(), state.name().into(), limit.into()]).await
    }

    /// Cases whose customer waits since before `quiet_since` for an agent who is not signed in. At most 100.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cases_left_alone(
        &self,
        account: &AccountId,
        quiet_since: UnixMs,
        active_since: UnixMs,
        created_since: UnixMs,
    ) -> Result<Vec<Case>, StoreError> {
        let args =
            vec![account.as_str().into(), quiet_since.into(), active_since.into(), created_since.into()];
        self.cases(LEFT_ALONE, args).await
    }

    /// Cases with an agent in which nobody spoke since `quiet_since`. At most 100.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn silent_cases(
        &self,
        account: &AccountId,
        quiet_since: UnixMs,
    ) -> Result<Vec<Case>, StoreError> {
        self.cases(SILENT, vec![account.as_str().into(), quiet_since.into()]).await
    }

    /// Cases that ended before `ended_before` and have no reason yet. At most 100.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unnoted_cases(
        &self,
        account: &AccountId,
        ended_before: UnixMs,
    ) -> Result<Vec<Case>, StoreError> {
        self.cases(UNNOTED, vec![account.as_str().into(), ended_before.into()]).await
    }

    /// How many wait; 1000 stands for any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_waiting(&self, account: &AccountId) -> Result<u32, StoreError> {
        self.count(COUNT_WAITING, vec![account.as_str().into()]).await
    }

    /// How many wait before a case; 1000 stands for any more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_before(
        &self,
        account: &AccountId,
        rank: UnixMs,
        case_id: &str,
    ) -> Result<u32, StoreError> {
        self.count(COUNT_BEFORE, vec![account.as_str().into(), rank.into(), case_id.into()]).await
    }

    /// Gives a queued case to an agent who has fewer than `capacity`; [`Conflict::Lost`] when another one was first or
    /// he has his fill. Of any number of claims at the same time this statement lets one through.
    #[must_use]
    pub fn claim_case(&self, case_id: &str, agent: &str, capacity: u32, at: UnixMs) -> Write {
        Write::one(CLAIM, vec![case_id.into(), agent.into(), at.into(), capacity.into()], Conflict::Lost)
    }

    /// Gives the case of one agent to another; [`Conflict::Lost`] when state or owner changed.
    #[must_use]
    pub fn hand_over_case(&self, before: &Case, agent: &str, at: UnixMs) -> Write {
        let args = vec![
            before.case_id.as_str().into(),
            before.state.name().into(),
            before.owner().into(),
            agent.into(),
            at.into(),
        ];
        Write::one(HAND_OVER, args, Conflict::Lost)
    }

    /// Puts `before` into the queue as `after` says; [`Conflict::Lost`] when state or owner changed.
    #[must_use]
    pub fn requeue_case(&self, before: &Case, after: &Case) -> Write {
        let args = vec![
            before.case_id.as_str().into(),
            before.state.name().into(),
            before.owner().into(),
            after.skill.as_str().into(),
            after.priority.level().into(),
            after.reason.as_str().into(),
            after.queued.into(),
            after.rank.into(),
            after.prefer.as_ref().map(|(agent, _)| agent.as_str()).into(),
            after.prefer.as_ref().map(|(_, until)| *until).into(),
            self.clock().now().into(),
        ];
        Write::one(REQUEUE, args, Conflict::Lost)
    }

    /// Makes a waiting case a call-back; [`Conflict::Lost`] when it does not wait any more.
    #[must_use]
    pub fn promise_call_back(&self, case_id: &str, rank: UnixMs) -> Write {
        Write::one(PROMISE, vec![case_id.into(), rank.into(), self.clock().now().into()], Conflict::Lost)
    }

    /// Notes an agent's answer; [`Conflict::Lost`] when the case is not his.
    #[must_use]
    pub fn note_answer(&self, case_id: &str, agent: &str, at: UnixMs) -> Write {
        Write::one(ANSWERED, vec![case_id.into(), agent.into(), at.into()], Conflict::Lost)
    }

    /// Ends the talk, or notes its reason; [`Conflict::Lost`] when state or owner changed.
    #[must_use]
    pub fn end_case(
        &self,
        before: &Case,
        state: CaseState,
        reason: Option<CloseReason>,
        at: UnixMs,
    ) -> Write {
        let args = vec![
            before.case_id.as_str().into(),
            before.state.name().into(),
            before.owner().into(),
            state.name().into(),
            at.into(),
            reason.map(CloseReason::name).into(),
            self.clock().now().into(),
        ];
        Write::one(END, args, Conflict::Lost)
    }

    /// Ends a case in whatever state it is.
    #[must_use]
    pub fn end_case_anyhow(&self, case_id: &str, reason: CloseReason, at: UnixMs) -> Write {
        Write::new(END_ANYHOW, vec![case_id.into(), at.into(), reason.name().into()])
    }

    /// Notes what the customer thought of his case, once; nothing where it is not over, not his, or rated already.
    #[must_use]
    pub fn rate_case(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        case_id: &str,
        score: Score,
        at: UnixMs,
    ) -> Write {
        let args =
            vec![case_id.into(), account.as_str().into(), follower.into(), score.points().into(), at.into()];
        Write::new(RATE, args)
    }

    /// Notes that something changed that screens show.
    #[must_use]
    pub fn touch_case(&self, case_id: &str, at: UnixMs) -> Write {
        Write::new(TOUCH, vec![case_id.into(), at.into()])
    }

    /// Notes that the customer wrote.
    #[must_use]
    pub fn note_customer_said(&self, case_id: &str, at: UnixMs) -> Write {
        Write::new(SAID, vec![case_id.into(), at.into()])
    }

    /// Notes that the owner has seen everything.
    #[must_use]
    pub fn note_seen(&self, case_id: &str, agent: &str) -> Write {
        Write::new(SEEN, vec![case_id.into(), agent.into()])
    }

    /// Remembers the browser's key of an answer; [`Conflict::Duplicate`] when it was sent already.
    #[must_use]
    pub fn insert_desk_answer(&self, case_id: &str, answer_id: &str, seq: i64) -> Write {
        Write::one(INSERT_ANSWER, vec![case_id.into(), answer_id.into(), seq.into()], Conflict::Duplicate)
    }

    /// The number in the log of an answer that was sent already.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn desk_answer(&self, case_id: &str, answer_id: &str) -> Result<Option<i64>, StoreError> {
        let row = self.fetch_one(FIND_ANSWER, vec![case_id.into(), answer_id.into()]).await?;
        row.map(|row| row.int(0)).transpose()
    }

    /// Forgets the browsers' keys of a case that is over.
    #[must_use]
    pub fn forget_desk_answers(&self, case_id: &str) -> Write {
        Write::new(FORGET_ANSWERS, vec![case_id.into()])
    }

    async fn cases(&self, statement: Statement, args: Vec<super::Value>) -> Result<Vec<Case>, StoreError> {
        let rows = self.fetch(statement, args).await?;
        rows.iter().map(|row| read_case(statement, row)).collect()
    }

    async fn count(&self, statement: Statement, args: Vec<super::Value>) -> Result<u32, StoreError> {
        let row = self.fetch_one(statement, args).await?;
        let count = row.map(|row| row.int(0)).transpose()?.unwrap_or(0);
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }
}

fn touched(row: &Row) -> Result<Touched, StoreError> {
    let with_agent = row.text(4)? == CaseState::WithAgent.name();
    Ok(Touched {
        account: AccountId::new(row.text(0)?),
        follower: row.follower(1)?,
        case_id: row.text(2)?.to_owned(),
        at: row.time(3)?,
        owner: row.text_opt(5)?.filter(|_| with_agent).map(str::to_owned),
    })
}

fn read_case(statement: Statement, row: &Row) -> Result<Case, StoreError> {
    let bad = |column| StoreError::Decode { statement: statement.name, column };
    let close_reason =
        row.text_opt(19)?.map(|name| CloseReason::parse(name).ok_or_else(|| bad(19))).transpose()?;
    Ok(Case {
        case_id: row.text(0)?.to_owned(),
        account: AccountId::new(row.text(1)?),
        follower: row.follower(2)?,
        state: CaseState::parse(row.text(3)?).ok_or_else(|| bad(3))?,
        skill: row.text(4)?.to_owned(),
        priority: Priority::new(u8::try_from(row.int(5)?).map_err(|_| bad(5))?),
        reason: row.text(6)?.to_owned(),
        opened: row.time(7)?,
        opened_seq: row.int(8)?,
        queued: row.time(9)?,
        rank: row.time(10)?,
        claimed_by: row.text_opt(11)?.map(str::to_owned),
        claimed: row.time_opt(12)?,
        first_reply: row.time_opt(13)?,
        last_reply: row.time_opt(14)?,
        last_customer: row.time_opt(15)?,
        unread: row.int(16)?,
        transfers: row.int(17)?,
        closed: row.time_opt(18)?,
        close_reason,
        prefer: row.text_opt(20)?.map(str::to_owned).zip(row.time_opt(21)?),
        score: row.int_opt(22)?.map(|points| Score::new(points).ok_or_else(|| bad(22))).transpose()?,
    })
}

#[cfg(test)]
mod tests;
