//! What goes from agent to agent, and what supervisors do to the queue and to how people work.

use serde_json::json;

use super::actions::{step, with_agent};
use super::by::By;
use super::error::DeskError;
use super::{Desk, external};
use crate::domain::case::{CaseState, Priority};
use crate::domain::conversation::Happening;
use crate::domain::ids::AccountId;
use crate::staff::{Reach, Session};
use crate::store::{Case, Commit, CommitError, DeskAgent};

/// Most cases that a person can have at the same time.
pub(super) const CAPACITY_MAX: u32 = 50;
/// Cases that one order moves from group to group.
const MOVED_MAX: u32 = 1_000;

impl Desk {
    /// Hands a case straight to a colleague, who must be signed in and serve its account; of another system's
    /// agents that system knows who is there.
    ///
    /// # Errors
    /// [`DeskError::NotThere`] when he cannot have it now.
    pub async fn hand_over(&self, by: impl Into<By<'_>>, case_id: &str, to: &str) -> Result<(), DeskError> {
        let by = by.into();
        let session = by.session;
        let case = self.reachable(session, case_id).await?;
        with_agent(&case, session)?;
        if external::is_outside(&session.name) {
            let to = external::outside_name(to)?;
            return self.give(by, case_id, &to, "case_transferred", |case| with_agent(case, session)).await;
        }
        let person = self.present().await?.into_iter().find(|person| person.name == to);
        let person = person.filter(|person| Reach::parse(&person.accounts).covers(&case.account));
        let person = person.filter(|person| person.cases < person.agent.capacity && to != session.name);
        let Some(person) = person else { return Err(DeskError::NotThere) };
        self.give(by, case_id, &person.name, "case_transferred", |case| with_agent(case, session)).await
    }

    /// A supervisor takes a case over from whoever has it, his capacity notwithstanding.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody else.
    pub async fn take_over(&self, session: &Session, case_id: &str) -> Result<(), DeskError> {
        supervisor(session)?;
        self.reachable(session, case_id).await?;
        self.give(session.into(), case_id, &session.name, "case_taken_over", |case| match case.state {
            CaseState::WithAgent if case.claimed_by.as_deref() == Some(&session.name) => {
                Err(DeskError::Taken)
            }
            CaseState::WithAgent => Ok(()),
            CaseState::CallBack | CaseState::Waiting => Err(DeskError::NotYours),
            CaseState::WrapUp | CaseState::Closed | CaseState::Rated => Err(DeskError::Over),
        })
        .await
    }

    async fn give(
        &self,
        By { session, receipt }: By<'_>,
        case_id: &str,
        to: &str,
        action: &str,
        allowed: impl Fn(&Case) -> Result<(), DeskError>,
    ) -> Result<(), DeskError> {
        let customer = self.customer_of(case_id).await?;
        self.change(case_id, |case, conversation| {
            allowed(case)?;
            step(case, conversation, Happening::HandOver)?;
            let data = json!({ "case_id": case.case_id, "to": "agent", "skill": case.skill });
            let mut writes = vec![self.store.hand_over_case(case, to, self.now())];
            let from = case.claimed_by.as_deref().unwrap_or_default();
            let note = json!({ "what": "handed_over", "agent": to, "from": from, "by": session.name });
            writes.push(self.note(conversation, note)?);
            writes.push(self.audited(session, action, case)?);
            writes.extend(self.speak.event("case_handed_over", &case.account, customer.as_ref(), data)?);
            writes.extend(receipt.writes(None)?);
            Ok((writes, ()))
        })
        .await
    }

    /// A supervisor makes a waiting case more or less urgent.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody else, [`DeskError::Over`] when it does not wait any more.
    pub async fn set_priority(&self, session: &Session, case_id: &str, level: u8) -> Result<(), DeskError> {
        supervisor(session)?;
        self.reachable(session, case_id).await?;
        let priority = Priority::new(level);
        self.requeue_as(session, case_id, "case_priority", |case| Case {
            priority,
            rank: priority.rank(case.opened),
            prefer: None,
            ..case.clone()
        })
        .await
    }

    /// A supervisor moves everybody who waits for one group to another. Tells how many it were; beyond 1000 the order
    /// is given again.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody else, [`DeskError::UnknownChoice`] for a group that is not there.
    pub async fn move_queue(
        &self,
        session: &Session,
        account: &AccountId,
        from: &str,
        to: &str,
    ) -> Result<u32, DeskError> {
        supervisor(session)?;
        let files = self.files();
        let known = files.groups.get(from).is_some() && files.groups.get(to).is_some() && from != to;
        if !known || !session.reach.covers(account) {
            return Err(DeskError::UnknownChoice);
        }
        let mut moved = 0;
        for case in self.store.next_cases(account, CaseState::Waiting, from, "", MOVED_MAX).await? {
            let change = |case: &Case| Case { skill: to.to_owned(), prefer: None, ..case.clone() };
            match self.requeue_as(session, &case.case_id, "case_moved", change).await {
                Ok(()) => moved += 1,
                // Taken or cancelled meanwhile.
                Err(DeskError::Over) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }

    async fn requeue_as(
        &self,
        session: &Session,
        case_id: &str,
        action: &str,
        change: impl Fn(&Case) -> Case,
    ) -> Result<(), DeskError> {
        self.change(case_id, |case, conversation| {
            if case.state != CaseState::Waiting {
                return Err(DeskError::Over);
            }
            let after = change(case);
            let note = json!({
                "what": "requeued", "by": session.name, "skill": after.skill, "priority": after.priority.level(),
            });
            let writes = vec![
                self.store.requeue_case(case, &after),
                self.note(conversation, note)?,
                self.audited(session, action, case)?,
            ];
            Ok((writes, ()))
        })
        .await
    }

    /// Sets how a person works: his groups and how many cases he has at the same time by a supervisor, whether cases
    /// come to him by themselves by himself.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`], [`DeskError::NotThere`] for who shares no account with him, or
    /// [`DeskError::UnknownChoice`] for groups or numbers that do not exist.
    pub async fn set_agent(&self, session: &Session, name: &str, wanted: DeskAgent) -> Result<(), DeskError> {
        let files = self.files();
        let before = self.agent(name).await?;
        let only_ready = DeskAgent { ready: wanted.ready, ..before.clone() } == wanted;
        if !(session.role.sees_every_case() || name == session.name && only_ready) {
            return Err(DeskError::NotAllowed);
        }
        let known = wanted.skills.iter().all(|skill| files.groups.get(skill).is_some());
        if !known || !(1..=CAPACITY_MAX).contains(&wanted.capacity) {
            return Err(DeskError::UnknownChoice);
        }
        let person = self.store.staff(name).await?;
        if !person.is_some_and(|person| session.reach.meets(&Reach::parse(&person.accounts))) {
            return Err(DeskError::NotThere);
        }
        let detail = json!({
            "name": name, "skills": wanted.skills, "capacity": wanted.capacity, "ready": wanted.ready,
        });
        let nobody = AccountId::new("");
        let audit =
            self.store.audit(&session.name, "desk_agent_set", &nobody, None, Some(&detail.to_string()))?;
        let commit = Commit::new(0).with(self.store.set_desk_agent(name, &wanted)).with(audit);
        match self.store.commit(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(_)) => Err(DeskError::Busy),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }
}

pub(super) fn supervisor(session: &Session) -> Result<(), DeskError> {
    if session.role.sees_every_case() { Ok(()) } else { Err(DeskError::NotAllowed) }
}
