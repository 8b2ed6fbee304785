//! What agents see of a customer beyond the mask: only for a purpose, only of a case that is theirs, and never without
//! a line in the audit trail.

use serde_json::json;

use super::Desk;
use super::error::DeskError;
use crate::domain::binding::Binding;
use crate::domain::case::CaseState;
use crate::staff::Session;
use crate::store::{Case, Commit, CommitError};

/// Why somebody looks beyond the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// 核实身份: whether the customer is who he says.
    Identify,
    /// 办理业务: what he asks for is done in another system of the bank.
    Handle,
    /// 处理投诉.
    Complaint,
    /// 调查欺诈.
    Fraud,
    /// 回电.
    CallBack,
}

impl Purpose {
    /// Every purpose.
    pub const ALL: [Self; 5] = [Self::Identify, Self::Handle, Self::Complaint, Self::Fraud, Self::CallBack];

    /// The name in forms and in the audit trail.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identify => "identify",
            Self::Handle => "handle",
            Self::Complaint => "complaint",
            Self::Fraud => "fraud",
            Self::CallBack => "call_back",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purpose| purpose.name() == name)
    }
}

impl Desk {
    /// Longest note on why somebody looks beyond the mask.
    pub const NOTE_CHARS_MAX: usize = 200;

    /// The case that somebody asks about, if it is his to look beyond the mask: an agent's own, not over; any that a
    /// supervisor sees.
    ///
    /// # Errors
    /// [`DeskError::NoSuchCase`] when he does not even see it, [`DeskError::NotYours`] when another has it,
    /// [`DeskError::Over`] when it is over.
    pub async fn revealable(&self, session: &Session, case_id: &str) -> Result<Case, DeskError> {
        let case = self.readable(session, case_id).await?;
        let mine = case.claimed_by.as_deref() == Some(session.name.as_str());
        if !mine && !session.role.sees_every_case() {
            return Err(DeskError::NotYours);
        }
        if case.state == CaseState::Closed && !session.role.sees_every_case() {
            return Err(DeskError::Over);
        }
        Ok(case)
    }

    /// Who the customer is at the bank; told to the audit trail before it is told to anybody. `None`: he is not bound.
    ///
    /// # Errors
    /// As [`Desk::revealable`]; nothing is revealed when the audit trail cannot be written.
    pub async fn reveal(
        &self,
        session: &Session,
        case_id: &str,
        purpose: Purpose,
        note: &str,
    ) -> Result<Option<Binding>, DeskError> {
        if note.chars().count() > Self::NOTE_CHARS_MAX {
            return Err(DeskError::TooLong);
        }
        let case = self.revealable(session, case_id).await?;
        let binding = self.store.binding(&case.account, case.follower).await?;
        let detail = json!({
            "case_id": case.case_id,
            "purpose": purpose.name(),
            "note": note,
            "found": binding.is_some(),
        });
        let line = self.store.audit(
            &session.name,
            "customer_revealed",
            &case.account,
            Some(case.follower),
            Some(&detail.to_string()),
        )?;
        match self.store.commit(Commit::new(case.follower.part()).with(line)).await {
            Ok(()) => Ok(binding),
            Err(CommitError::Conflict(_)) => Err(DeskError::Busy),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }
}
