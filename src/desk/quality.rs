//! Quality: some ended cases, drawn by lot, are read and judged by a supervisor.

use std::time::Duration;

use super::Desk;
use super::error::DeskError;
use super::supervise::supervisor;
use crate::domain::case::Score;
use crate::domain::ids::AccountId;
use crate::domain::mask;
use crate::domain::secret::Personal;
use crate::staff::Session;
use crate::store::{Case, Commit, CommitError, Conflict, Judgement};

/// Only younger cases are drawn.
const DRAWN_FROM: Duration = Duration::from_secs(7 * 24 * 3600);
/// Cases of one draw.
const DRAWN_MAX: u32 = 10;
/// Longest note.
const NOTE_CHARS_MAX: usize = 500;

impl Desk {
    /// Ended cases of the last seven days that nobody has judged, drawn by lot: the same until they are judged.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody but supervisors, [`DeskError::UnknownChoice`] for an account that is not
    /// his.
    pub async fn samples(&self, session: &Session, account: &AccountId) -> Result<Vec<Case>, DeskError> {
        supervisor(session)?;
        if !session.reach.covers(account) {
            return Err(DeskError::UnknownChoice);
        }
        let mut cases = Vec::new();
        for case_id in self.store.cases_by_lot(account, self.now() - DRAWN_FROM, DRAWN_MAX).await? {
            cases.extend(self.store.case(&case_id).await?);
        }
        Ok(cases)
    }

    /// Judges an ended case, once, with 1 to 5 points and a note for whoever asks why.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody but supervisors, and for one's own case; [`DeskError::NotYours`] while it
    /// is not over; [`DeskError::Taken`] when somebody judged it already.
    pub async fn judge(
        &self,
        session: &Session,
        case_id: &str,
        points: i64,
        note: &str,
    ) -> Result<(), DeskError> {
        supervisor(session)?;
        let case = self.reachable(session, case_id).await?;
        let points = Score::new(points).ok_or(DeskError::UnknownChoice)?;
        let (note, _) = mask::chat(note.trim());
        if note.chars().count() > NOTE_CHARS_MAX {
            return Err(DeskError::TooLong);
        }
        if !case.state.is_over() {
            return Err(DeskError::NotYours);
        }
        let Some(agent) = case.claimed_by.as_deref().filter(|agent| *agent != session.name) else {
            return Err(DeskError::NotAllowed);
        };
        let judgement =
            Judgement { points, note: Personal::new(note), by: session.name.clone(), at: self.now() };
        let commit = Commit::new(case.follower.part())
            .with(self.store.judge_case(case_id, &case.account, agent, &judgement)?)
            .with(self.audited(session, "case_judged", &case)?);
        match self.store.commit(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(Conflict::Duplicate)) => Err(DeskError::Taken),
            Err(CommitError::Conflict(_)) => Err(DeskError::Busy),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }
}
