//! Complaints: registered when a case of a group for complaints opens, or by an agent; their clock runs until settled.

use serde_json::json;

use super::error::DeskError;
use super::{Desk, Wanted};
use crate::domain::complaint::{Limit, Registered};
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::mask;
use crate::domain::secret::Personal;
use crate::outbound::rfc3339;
use crate::staff::Session;
use crate::store::{Case, Commit, CommitError, Complaint, Conversation, StoreError, Write};

/// Who registered it, when it was the customer's own words.
const CUSTOMER: &str = "customer";
/// Characters of a number after its day.
const REFERENCE_CHARS: usize = 8;
/// Longest reason.
const REASON_CHARS_MAX: usize = 100;

impl Desk {
    /// What a customer complains of is registered under the number that he was told; the case of a group for complaints
    /// that says nothing more is one too, unless it has one.
    pub(super) async fn complaint_of_customer(
        &self,
        case: &Case,
        wanted: Wanted<'_>,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, StoreError> {
        if let Some(Registered { number, words }) = wanted.complaint {
            return self.register(case, number.clone(), words.reveal(), CUSTOMER, customer);
        }
        let of_group = || self.files.load().groups.get(&case.skill).is_some_and(|group| group.complaints);
        if !of_group() || self.store.complaint_of(&case.case_id).await?.is_some() {
            return Ok(vec![]);
        }
        self.register(case, self.number(), &case.reason, CUSTOMER, customer)
    }

    /// The same for a customer who has a case already that stays as it is.
    pub(super) async fn complaint_in_open_case(
        &self,
        conversation: &Conversation,
        wanted: Wanted<'_>,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, StoreError> {
        let Some(case_id) = conversation.case_id.as_ref().filter(|_| wanted.complaint.is_some()) else {
            return Ok(vec![]);
        };
        match self.store.case(case_id).await? {
            Some(case) => self.complaint_of_customer(&case, wanted, customer).await,
            None => Ok(vec![]),
        }
    }

    /// An agent registers a complaint of the customer he talks to. A second one changes nothing.
    ///
    /// # Errors
    /// When the case is not the reader's to see, or the reason is empty or too long.
    pub async fn complain(&self, session: &Session, case_id: &str, reason: &str) -> Result<(), DeskError> {
        let (reason, _) = mask::chat(reason.trim());
        if reason.is_empty() {
            return Err(DeskError::Empty);
        }
        if reason.chars().count() > REASON_CHARS_MAX || reason.chars().any(char::is_control) {
            return Err(DeskError::TooLong);
        }
        let case = self.readable(session, case_id).await?;
        if self.store.complaint_of(case_id).await?.is_some() {
            return Ok(());
        }
        let customer = self.customer_of(case_id).await?;
        self.change(case_id, |_, conversation| {
            let mut writes =
                self.register(&case, self.number(), &reason, &session.name, customer.as_ref())?;
            writes.push(self.note(conversation, json!({ "what": "complaint", "agent": session.name }))?);
            writes.push(self.audited(session, "complaint_registered", &case)?);
            writes.push(self.store.touch_case(case_id, self.now()));
            Ok((writes, ()))
        })
        .await
    }

    /// Notes that a complaint was settled with the customer.
    ///
    /// # Errors
    /// When there is none that the reader may settle, or somebody did before.
    pub async fn settle_complaint(&self, session: &Session, case_id: &str) -> Result<(), DeskError> {
        let case = self.readable(session, case_id).await?;
        let complaint = self.store.complaint_of(case_id).await?.ok_or(DeskError::NoSuchCase)?;
        let commit = Commit::new(case.follower.part())
            .with(self.store.settle_complaint(&complaint.complaint_id, &session.name, self.now()))
            .with(self.store.touch_case(case_id, self.now()))
            .with(self.audited(session, "complaint_settled", &case)?);
        match self.store.commit(commit).await {
            Ok(()) => {
                self.notify(&case.account, case.follower);
                Ok(())
            }
            Err(CommitError::Conflict(_)) => Err(DeskError::Over),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Complaints that nobody has settled, the oldest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_complaints(&self, account: &AccountId) -> Result<Vec<Complaint>, StoreError> {
        self.store.open_complaints(account).await
    }

    /// The number of a complaint that nobody was told one of: of the same shape as those.
    fn number(&self) -> String {
        let id = self.store.new_id();
        let end = id.get(id.len().saturating_sub(REFERENCE_CHARS)..).unwrap_or(&id);
        Registered::new(self.now(), end, "").number
    }

    fn register(
        &self,
        case: &Case,
        complaint_id: String,
        reason: &str,
        by: &str,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, StoreError> {
        let registered = self.now();
        let complaint = Complaint {
            complaint_id,
            account: case.account.clone(),
            follower: case.follower,
            case_id: case.case_id.clone(),
            reason: Personal::new(reason),
            registered_by: by.to_owned(),
            registered,
            settled: None,
        };
        let (_, answer_by) = Limit::at(registered, registered);
        let data = json!({
            "case_id": case.case_id,
            "reason": reason,
            "complaint_id": complaint.complaint_id,
            "answer_by": rfc3339(answer_by),
        });
        let mut writes = self.speak.event("complaint_registered", &case.account, customer, data)?;
        writes.push(self.store.register_complaint(&complaint)?);
        Ok(writes)
    }
}
