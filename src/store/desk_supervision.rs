//! What supervisors count, judge and see: contacts with the bot, judgements of cases, who looks at one.

use super::value::statements;
use super::{Conflict, Row, Store, StoreError, Write};
use crate::domain::case::Score;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::keys::Place;

const NOTE: Place = Place("desk_quality.note");
/// Beijing is ahead of UTC by so much.
const BEIJING_MS: i64 = 8 * 3600 * 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;

statements! {
    BEGIN = "INSERT INTO contact (account, fkey, began_ms) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    /// A day in Beijing: contacts, those in which a person was fetched, those after which the follower came again.
    CONTACTS = "SELECT day, count(*), sum(handed), sum(again) FROM (SELECT (c.began_ms + $5) / $6 AS day, \
        CASE WHEN EXISTS (SELECT 1 FROM desk_case d WHERE d.account = c.account AND d.fkey = c.fkey \
        AND d.opened_ms >= c.began_ms AND d.opened_ms < c.began_ms + $4) THEN 1 ELSE 0 END AS handed, \
        CASE WHEN EXISTS (SELECT 1 FROM contact n WHERE n.account = c.account AND n.fkey = c.fkey \
        AND n.began_ms > c.began_ms AND n.began_ms < c.began_ms + $4) AND NOT EXISTS (SELECT 1 FROM desk_case d \
        WHERE d.account = c.account AND d.fkey = c.fkey AND d.opened_ms >= c.began_ms \
        AND d.opened_ms < c.began_ms + $4) THEN 1 ELSE 0 END AS again \
        FROM contact c WHERE c.account = $1 AND c.began_ms >= $2 AND c.began_ms < $3) AS counted \
        GROUP BY day ORDER BY day";
    FORGET_CONTACTS = "DELETE FROM contact WHERE account = $1 AND began_ms < $2";
    JUDGE = "INSERT INTO desk_quality (case_id, account, agent, points, note_sealed, judged_by, judged_ms) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (case_id) DO NOTHING";
    JUDGEMENT = "SELECT points, note_sealed, judged_by, judged_ms FROM desk_quality WHERE case_id = $1";
    /// The end of an id is random: it is the lot, and nobody draws again until he likes what he gets.
    LOT = "SELECT case_id FROM desk_case d WHERE d.account = $1 AND d.opened_ms >= $2 \
        AND d.state IN ('closed', 'rated') AND d.claimed_by IS NOT NULL AND d.first_reply_ms IS NOT NULL \
        AND NOT EXISTS (SELECT 1 FROM desk_quality q WHERE q.case_id = d.case_id) \
        ORDER BY substr(d.case_id, 25), d.case_id LIMIT $3";
    JUDGED = "SELECT agent, count(*), CAST(sum(points) AS BIGINT) FROM desk_quality WHERE account = $1 AND judged_ms >= $2 \
        AND judged_ms < $3 GROUP BY agent ORDER BY agent";
    LOOK = "INSERT INTO desk_looking (case_id, name, at_ms) VALUES ($1, $2, $3) \
        ON CONFLICT (case_id, name) DO UPDATE SET at_ms = excluded.at_ms";
    LOOKING = "SELECT name, at_ms FROM desk_looking WHERE case_id = $1 AND at_ms >= $2 ORDER BY name LIMIT 20";
    LOOK_AWAY = "DELETE FROM desk_looking WHERE at_ms < $1";
}

/// How a day's contacts with the bot went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContactDay {
    /// Its midnight in Beijing.
    pub day: UnixMs,
    /// How many began.
    pub contacts: u64,
    /// In how many a person was fetched.
    pub handed_over: u64,
    /// After how many others the follower came again.
    pub repeated: u64,
}

/// A supervisor's judgement of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// 1 to 5.
    pub points: Score,
    /// Why; may be empty.
    pub note: Personal,
    /// Who judged.
    pub by: String,
    /// When.
    pub at: UnixMs,
}

/// The judgements of one agent's cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedAgent {
    /// The agent.
    pub agent: String,
    /// How many.
    pub cases: u64,
    /// Their sum.
    pub points: u64,
}

impl Store {
    /// Notes that a follower turned to the bot.
    #[must_use]
    pub fn begin_contact(&self, account: &AccountId, follower: FollowerKey, at: UnixMs) -> Write {
        Write::new(BEGIN, vec![account.as_str().into(), follower.into(), at.into()])
    }

    /// Contacts from `from` to before `until`, day by day; days without any are left out. A person counts, and so does
    /// coming again, within a day.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contacts(
        &self,
        account: &AccountId,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<Vec<ContactDay>, StoreError> {
        let args = vec![
            account.as_str().into(),
            from.into(),
            until.into(),
            DAY_MS.into(),
            BEIJING_MS.into(),
            DAY_MS.into(),
        ];
        let read = |row: &Row| {
            Ok(ContactDay {
                day: UnixMs(row.int(0)? * DAY_MS - BEIJING_MS),
                contacts: number(row, 1)?,
                handed_over: number(row, 2)?,
                repeated: number(row, 3)?,
            })
        };
        self.fetch(CONTACTS, args).await?.iter().map(read).collect()
    }

    /// Forgets contacts that began before a moment.
    #[must_use]
    pub fn forget_contacts(&self, account: &AccountId, before: UnixMs) -> Write {
        Write::new(FORGET_CONTACTS, vec![account.as_str().into(), before.into()])
    }

    /// Notes a judgement; [`Conflict::Duplicate`] when the case was judged already.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn judge_case(
        &self,
        case_id: &str,
        account: &AccountId,
        agent: &str,
        judgement: &Judgement,
    ) -> Result<Write, StoreError> {
        let args = vec![
            case_id.into(),
            account.as_str().into(),
            agent.into(),
            judgement.points.points().into(),
            self.vault().seal(NOTE, case_id.as_bytes(), judgement.note.reveal().as_bytes())?.into(),
            judgement.by.as_str().into(),
            judgement.at.into(),
        ];
        Ok(Write::one(JUDGE, args, Conflict::Duplicate))
    }

    /// The judgement of a case.
    ///
    /// # Errors
    /// When the database fails or the note does not open.
    pub async fn judgement(&self, case_id: &str) -> Result<Option<Judgement>, StoreError> {
        let Some(row) = self.fetch_one(JUDGEMENT, vec![case_id.into()]).await? else { return Ok(None) };
        let note = self.vault().open(NOTE, case_id.as_bytes(), row.blob(1)?)?;
        let bad = StoreError::Decode { statement: JUDGEMENT.name, column: 0 };
        Ok(Some(Judgement {
            points: Score::new(row.int(0)?).ok_or(bad)?,
            note: Personal::new(row.utf8(1, &note)?),
            by: row.text(2)?.to_owned(),
            at: row.time(3)?,
        }))
    }

    /// Cases that ended with an agent, were opened since a moment and are not judged yet, drawn by lot.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn cases_by_lot(
        &self,
        account: &AccountId,
        since: UnixMs,
        limit: u32,
    ) -> Result<Vec<String>, StoreError> {
        let rows = self.fetch(LOT, vec![account.as_str().into(), since.into(), limit.into()]).await?;
        rows.iter().map(|row| Ok(row.text(0)?.to_owned())).collect()
    }

    /// Judgements from `from` to before `until`, agent by agent.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn judged_agents(
        &self,
        account: &AccountId,
        from: UnixMs,
        until: UnixMs,
    ) -> Result<Vec<JudgedAgent>, StoreError> {
        let read = |row: &Row| {
            Ok(JudgedAgent {
                agent: row.text(0)?.to_owned(),
                cases: number(row, 1)?,
                points: number(row, 2)?,
            })
        };
        let args = vec![account.as_str().into(), from.into(), until.into()];
        self.fetch(JUDGED, args).await?.iter().map(read).collect()
    }

    /// Notes that somebody has a case before him.
    #[must_use]
    pub fn note_looking(&self, case_id: &str, name: &str, at: UnixMs) -> Write {
        Write::new(LOOK, vec![case_id.into(), name.into(), at.into()])
    }

    /// Who has had a case before him since a moment, and when last. At most 20.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn looking_at(
        &self,
        case_id: &str,
        since: UnixMs,
    ) -> Result<Vec<(String, UnixMs)>, StoreError> {
        let rows = self.fetch(LOOKING, vec![case_id.into(), since.into()]).await?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.time(1)?))).collect()
    }

    /// Forgets who looked before a moment.
    #[must_use]
    pub fn forget_looking(&self, before: UnixMs) -> Write {
        Write::new(LOOK_AWAY, vec![before.into()])
    }
}

fn number(row: &Row, column: usize) -> Result<u64, StoreError> {
    Ok(u64::try_from(row.int(column)?).unwrap_or(0))
}
