//! How people work at the desk, and the complaints that they answer.

use super::value::statements;
use super::{Conflict, Row, Store, StoreError, Write};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::keys::Place;

const REASON: Place = Place("complaint.reason");

statements! {
    AGENT = "SELECT skills, capacity, ready FROM desk_agent WHERE name = $1";
    SET_AGENT = "INSERT INTO desk_agent (name, skills, capacity, ready, changed_ms) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (name) DO UPDATE SET skills = excluded.skills, capacity = excluded.capacity, \
        ready = excluded.ready, changed_ms = excluded.changed_ms";
    /// Who is signed in, with what he has and when he got his last case.
    PRESENT = "SELECT s.name, s.role, s.accounts, a.skills, a.capacity, a.ready, \
        (SELECT count(*) FROM desk_case c WHERE c.claimed_by = s.name AND c.state = 'with_agent'), \
        (SELECT max(c.claimed_ms) FROM desk_case c WHERE c.claimed_by = s.name) \
        FROM staff s LEFT JOIN desk_agent a ON a.name = s.name \
        WHERE EXISTS (SELECT 1 FROM staff_session t WHERE t.name = s.name AND t.active_ms >= $1 \
        AND t.created_ms >= $2 AND t.stage = 'full') ORDER BY s.name LIMIT 2000";
    REGISTER = "INSERT INTO complaint (complaint_id, account, fkey, case_id, reason_sealed, registered_by, registered_ms) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
    /// The one that is settled next: those that nobody settled first, the oldest of them before the others.
    COMPLAINT = "SELECT complaint_id, account, fkey, case_id, reason_sealed, registered_by, registered_ms, settled_by, \
        settled_ms FROM complaint WHERE case_id = $1 ORDER BY coalesce(settled_ms, 0), registered_ms LIMIT 1";
    OPEN_COMPLAINTS = "SELECT complaint_id, account, fkey, case_id, reason_sealed, registered_by, registered_ms, settled_by, \
        settled_ms FROM complaint WHERE account = $1 AND settled_ms IS NULL ORDER BY registered_ms LIMIT 200";
    SETTLE = "UPDATE complaint SET settled_by = $2, settled_ms = $3 WHERE complaint_id = $1 AND settled_ms IS NULL";
}

/// How one person works at the desk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeskAgent {
    /// The groups that he serves, by their ids; none named: every one.
    pub skills: Vec<String>,
    /// Cases that he has at the same time at most.
    pub capacity: u32,
    /// Whether cases come to him by themselves.
    pub ready: bool,
}

impl DeskAgent {
    /// Cases at the same time of somebody for whom nothing was set.
    pub const CAPACITY: u32 = 5;

    /// Whether he serves this group.
    #[must_use]
    pub fn serves(&self, skill: &str) -> bool {
        self.skills.is_empty() || self.skills.iter().any(|own| own == skill)
    }
}

impl Default for DeskAgent {
    fn default() -> Self {
        Self { skills: vec![], capacity: Self::CAPACITY, ready: false }
    }
}

/// Somebody who is signed in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// The staff name.
    pub name: String,
    /// The name of the role.
    pub role: String,
    /// The accounts that he serves, as the staff table keeps them.
    pub accounts: String,
    /// How he works.
    pub agent: DeskAgent,
    /// Cases that he has.
    pub cases: u32,
    /// When he got the last one.
    pub claimed: Option<UnixMs>,
}

/// A complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Its id, told to the bank.
    pub complaint_id: String,
    /// The account.
    pub account: AccountId,
    /// Who complained.
    pub follower: FollowerKey,
    /// The case that it came up in.
    pub case_id: String,
    /// What about: a code or an agent's words.
    pub reason: Personal,
    /// `customer`, or the agent who opened it.
    pub registered_by: String,
    /// When its clock started.
    pub registered: UnixMs,
    /// Who settled it, and when.
    pub settled: Option<(String, UnixMs)>,
}

impl Store {
    /// How a person works; `None` where nothing was set.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn desk_agent(&self, name: &str) -> Result<Option<DeskAgent>, StoreError> {
        let row = self.fetch_one(AGENT, vec![name.into()]).await?;
        row.map(|row| read_agent(&row, 0)).transpose().map(Option::flatten)
    }

    /// Sets how a person works.
    #[must_use]
    pub fn set_desk_agent(&self, name: &str, agent: &DeskAgent) -> Write {
        let args = vec![
            name.into(),
            agent.skills.join(",").into(),
            agent.capacity.into(),
            agent.ready.into(),
            self.clock().now().into(),
        ];
        Write::new(SET_AGENT, args)
    }

    /// Who is signed in, by name. At most 2000.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn present_staff(
        &self,
        active_since: UnixMs,
        created_since: UnixMs,
    ) -> Result<Vec<Present>, StoreError> {
        let rows = self.fetch(PRESENT, vec![active_since.into(), created_since.into()]).await?;
        let read = |row: &Row| {
            Ok(Present {
                name: row.text(0)?.to_owned(),
                role: row.text(1)?.to_owned(),
                accounts: row.text(2)?.to_owned(),
                agent: read_agent(row, 3)?.unwrap_or_default(),
                cases: u32::try_from(row.int(6)?).unwrap_or(u32::MAX),
                claimed: row.time_opt(7)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// Registers a complaint; [`Conflict::Stale`] where its case got one meanwhile.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn register_complaint(&self, complaint: &Complaint) -> Result<Write, StoreError> {
        let reason = complaint.reason.reveal().as_bytes();
        let sealed = self.vault().seal(REASON, complaint.complaint_id.as_bytes(), reason)?;
        let args = vec![
            complaint.complaint_id.as_str().into(),
            complaint.account.as_str().into(),
            complaint.follower.into(),
            complaint.case_id.as_str().into(),
            sealed.into(),
            complaint.registered_by.as_str().into(),
            complaint.registered.into(),
        ];
        Ok(Write::one(REGISTER, args, Conflict::Stale))
    }

    /// The complaint that came up in a case; of several the oldest that nobody settled.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn complaint_of(&self, case_id: &str) -> Result<Option<Complaint>, StoreError> {
        let row = self.fetch_one(COMPLAINT, vec![case_id.into()]).await?;
        row.map(|row| self.read_complaint(&row)).transpose()
    }

    /// Complaints that nobody has settled, the oldest first. At most 200.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_complaints(&self, account: &AccountId) -> Result<Vec<Complaint>, StoreError> {
        let rows = self.fetch(OPEN_COMPLAINTS, vec![account.as_str().into()]).await?;
        rows.iter().map(|row| self.read_complaint(row)).collect()
    }

    /// Settles a complaint; [`Conflict::Lost`] when somebody did before.
    #[must_use]
    pub fn settle_complaint(&self, complaint_id: &str, by: &str, at: UnixMs) -> Write {
        Write::one(SETTLE, vec![complaint_id.into(), by.into(), at.into()], Conflict::Lost)
    }

    fn read_complaint(&self, row: &Row) -> Result<Complaint, StoreError> {
        let complaint_id = row.text(0)?.to_owned();
        let reason = self.vault().open(REASON, complaint_id.as_bytes(), row.blob(4)?)?;
        Ok(Complaint {
            account: AccountId::new(row.text(1)?),
            follower: row.follower(2)?,
            case_id: row.text(3)?.to_owned(),
            reason: Personal::new(row.utf8(4, &reason)?),
            registered_by: row.text(5)?.to_owned(),
            registered: row.time(6)?,
            settled: row.text_opt(7)?.map(str::to_owned).zip(row.time_opt(8)?),
            complaint_id,
        })
    }
}

/// `None` where the row was joined to nothing.
fn read_agent(row: &Row, first: usize) -> Result<Option<DeskAgent>, StoreError> {
    let Some(skills) = row.text_opt(first)? else { return Ok(None) };
    Ok(Some(DeskAgent {
        skills: skills.split(',').filter(|skill| !skill.is_empty()).map(str::to_owned).collect(),
        capacity: u32::try_from(row.int(first + 1)?).unwrap_or(DeskAgent::CAPACITY),
        ready: row.flag(first + 2)?,
    }))
}
