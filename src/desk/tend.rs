//! Timed returns, so that no customer is trapped with nobody (P8).

use std::time::Duration;

use serde_json::json;

use super::Desk;
use super::actions::step;
use super::error::DeskError;
use crate::domain::case::{CaseState, CloseReason};
use crate::domain::conversation::Happening;
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::staff::Staff;
use crate::store::{Case, Commit, CommitError, Conversation, StoreError, Write};

/// A customer waits this long for an agent who signed out, then goes back to the queue.
const LEFT_ALONE: Duration = Duration::from_secs(120);
/// A talk in which nobody spoke for this long is over.
const SILENT: Duration = Duration::from_secs(24 * 3600);
/// A reason that is owed longer than this is not asked for any more.
const NOTES_OWED: Duration = Duration::from_secs(600);
/// Contacts are kept a little longer than the longest report looks back.
const CONTACTS_KEPT: Duration = Duration::from_secs(400 * 24 * 3600);
/// Who looked at a conversation so long ago is not asked for any more.
const LOOKED_KEPT: Duration = Duration::from_secs(60);
/// Who did it, in the log and in the audit trail.
pub(super) const SYSTEM: &str = "system";

/// What was put right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tended {
    /// Customers of agents who left: back in the queue.
    pub requeued: u32,
    /// Silent talks and owed reasons: closed.
    pub closed: u32,
    /// Customers who waited when the shift ended: promised a call-back.
    pub promised: u32,
    /// Customers who were given to an agent to whom cases come by themselves.
    pub assigned: u32,
}

type Change = fn(&Desk, &Case, &mut Conversation, Option<&CustomerId>) -> Result<Vec<Write>, DeskError>;

impl Desk {
    /// Puts right what time alone changes in one account. Any instance may run it at any time, every few seconds.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tend(&self, account: &AccountId) -> Result<Tended, StoreError> {
        let now = self.now();
        self.forget(account, now).await?;
        let mut tended = Tended::default();
        // Who is there in another system, that system knows: it gives cases back by itself.
        let alone = match self.is_external(account) {
            true => vec![],
            false => {
                let (quiet, idle, absolute) = (now - LEFT_ALONE, now - Staff::IDLE, now - Staff::ABSOLUTE);
                self.store.cases_left_alone(account, quiet, idle, absolute).await?
            }
        };
        for case in alone {
            tended.requeued += self.tended(&case, Self::back_to_queue).await?;
        }
        let mut over = self.store.silent_cases(account, now - SILENT).await?;
        over.extend(self.store.unnoted_cases(account, now - NOTES_OWED).await?);
        for case in over {
            tended.closed += self.tended(&case, Self::end_by_time).await?;
        }
        tended.assigned = self.assign(account).await?;
        if !self.files.load().hours.is_open(account, now) {
            for case in self.store.queued_cases(account, CaseState::Waiting, 100).await? {
                tended.promised += self.tended(&case, Self::promise).await?;
            }
        }
        Ok(tended)
    }

    /// Forgets what no report counts any more, and who looked at what.
    async fn forget(&self, account: &AccountId, now: UnixMs) -> Result<(), StoreError> {
        let commit = Commit::new(0)
            .with(self.store.forget_contacts(account, now - CONTACTS_KEPT))
            .with(self.store.forget_looking(now - LOOKED_KEPT));
        match self.store.commit(commit).await {
            Err(CommitError::Store(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Applies a change if the case is still exactly as it was found.
    async fn tended(&self, found: &Case, change: Change) -> Result<u32, StoreError> {
        let binding = self.store.binding(&found.account, found.follower).await?;
        let customer = binding.map(|binding| binding.customer);
        let outcome = self
            .change(&found.case_id, |case, conversation| {
                if case != found {
                    return Ok((vec![], 0));
                }
                Ok((change(self, case, conversation, customer.as_ref())?, 1))
            })
            .await;
        match outcome {
            Ok(count) => Ok(count),
            Err(DeskError::Store(error)) => Err(error),
            // Somebody did something to it meanwhile: then it is not left alone.
            Err(_) => Ok(0),
        }
    }

    fn back_to_queue(
        &self,
        case: &Case,
        conversation: &mut Conversation,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, DeskError> {
        self.requeue(case, conversation, &case.skill, customer)
    }

    fn end_by_time(
        &self,
        case: &Case,
        conversation: &mut Conversation,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, DeskError> {
        let reason = match case.state {
            CaseState::WrapUp => CloseReason::NotNoted,
            _ => CloseReason::NoAnswer,
        };
        self.closing(case, conversation, Some(reason), SYSTEM, customer)
    }

    fn promise(
        &self,
        case: &Case,
        conversation: &mut Conversation,
        _customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, DeskError> {
        step(case, conversation, Happening::CancelWait)?;
        let words = format!(
            "很抱歉让您久等，人工客服已下班（服务时间：{}）。已为您登记，客服上班后会优先联系您。",
            self.files.load().hours.words(&case.account)
        );
        conversation.say_next.get_or_insert_with(|| Personal::new(words));
        let rank = case.priority.call_back_rank(case.queued);
        Ok(vec![
            self.store.promise_call_back(&case.case_id, rank),
            self.note(conversation, json!({ "what": "call_back" }))?,
        ])
    }
}
