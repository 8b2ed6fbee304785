//! Who gets whom: the next case of an agent who asks, and cases that come by themselves.
//!
//! Among the groups that somebody serves the queue's order decides, so that waiting wins over urgency in the end; who
//! has waited too long for his group is anybody's. So nobody starves. A returning customer waits a little for the agent
//! who knows him. Cases come to the agent with the fewest, and of those to the one who got his last the longest ago.

use std::collections::HashSet;
use std::time::Duration;

use super::by::Receipt;
use super::error::DeskError;
use super::{Desk, Group, external};
use crate::domain::case::{CaseState, Priority};
use crate::domain::ids::AccountId;
use crate::domain::time::UnixMs;
use crate::staff::{Reach, Session, Staff};
use crate::store::{Case, DeskAgent, Present, StoreError};

/// A customer who comes back within this time is known to his last agent.
const KNOWN_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// He waits for him this long before anybody else may take him.
const PREFER_FOR: Duration = Duration::from_secs(120);
/// From this urgency on nobody waits for anybody.
const TOO_URGENT: Priority = Priority::AT_ONCE_FROM;
/// Cases of one group that one look considers.
const CONSIDERED: u32 = 16;
/// Looks at the queue before an agent is told that there is nobody: each means that others were quicker.
const LOOKS_MAX: usize = 4;
/// Cases that one round gives out by itself.
const ASSIGNED_MAX: u32 = 200;

impl Desk {
    /// How a person works at the desk.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn agent(&self, name: &str) -> Result<DeskAgent, StoreError> {
        if external::is_outside(name) {
            return Ok(external::outsiders_way());
        }
        Ok(self.store.desk_agent(name).await?.unwrap_or_default())
    }

    /// Takes the next case that the agent may have, and gives its id; `None`: nobody waits for him.
    ///
    /// # Errors
    /// [`DeskError::Full`] when he has as many as he may.
    pub async fn claim_next(
        &self,
        session: &Session,
        accounts: &[AccountId],
    ) -> Result<Option<String>, DeskError> {
        let agent = self.agent(&session.name).await?;
        for _ in 0..LOOKS_MAX {
            let candidates = self.candidates(session, &agent, accounts).await?;
            if candidates.is_empty() {
                return Ok(None);
            }
            for case in candidates {
                match self.take(&session.name, &agent, &case.case_id, Receipt::default()).await {
                    Ok(()) => return Ok(Some(case.case_id)),
                    // Another agent, or the customer himself, was quicker.
                    Err(DeskError::Taken | DeskError::Over | DeskError::OtherGroup) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(None)
    }

    /// What an agent may take, in the order in which he should.
    async fn candidates(
        &self,
        session: &Session,
        agent: &DeskAgent,
        accounts: &[AccountId],
    ) -> Result<Vec<Case>, StoreError> {
        let mut kept = self.store.cases_kept_for(&session.name).await?;
        kept.retain(|case| session.reach.covers(&case.account) && agent.serves(&case.skill));
        let mut waiting = Vec::new();
        for account in accounts.iter().filter(|account| session.reach.covers(account)) {
            waiting.extend(self.waiting_for(account, agent, &session.name).await?);
        }
        waiting.sort_by(|one, other| (one.rank, &one.case_id).cmp(&(other.rank, &other.case_id)));
        let known: HashSet<String> = kept.iter().map(|case| case.case_id.clone()).collect();
        kept.extend(waiting.into_iter().filter(|case| !known.contains(&case.case_id)));
        Ok(kept)
    }

    async fn waiting_for(
        &self,
        account: &AccountId,
        agent: &DeskAgent,
        name: &str,
    ) -> Result<Vec<Case>, StoreError> {
        let files = self.files();
        let his = |group: &&Group| agent.serves(&group.id) || group.anyone_after.is_some();
        let queues = files.groups.iter().filter(his).flat_map(|group| {
            let next = |state| self.store.next_cases(account, state, &group.id, name, CONSIDERED);
            [next(CaseState::CallBack), next(CaseState::Waiting)]
        });
        let mut cases = futures::future::try_join_all(queues).await?.concat();
        cases.retain(|case| self.may_take(agent, case));
        Ok(cases)
    }

    /// Whether an agent may take a case: it is of his groups, or it has waited for its own longer than that group lets
    /// anybody wait, in hours in which the group could have taken it.
    #[must_use]
    pub fn may_take(&self, agent: &DeskAgent, case: &Case) -> bool {
        if agent.serves(&case.skill) {
            return true;
        }
        let files = self.files();
        let Some(after) = files.groups.get(&case.skill).and_then(|group| group.anyone_after) else {
            return false;
        };
        let since = self.now() - after;
        case.queued <= since && files.hours.is_open(&case.account, since)
    }

    /// The agent for whom a new case waits a little: who talked to the customer last, if he is there.
    pub(super) async fn who_knows(&self, case: &Case) -> Result<Option<(String, UnixMs)>, StoreError> {
        if case.priority >= TOO_URGENT {
            return Ok(None);
        }
        let now = self.now();
        let last = self.store.last_agent(&case.account, case.follower, now - KNOWN_FOR).await?;
        let Some(name) = last else { return Ok(None) };
        let serves = self.agent(&name).await?.serves(&case.skill);
        let there =
            serves && self.store.staff_present(&name, now - Staff::IDLE, now - Staff::ABSOLUTE).await?;
        Ok(there.then(|| (name, now + PREFER_FOR)))
    }

    /// Gives what waits to agents to whom cases come by themselves. Tells how many it gave.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn assign(&self, account: &AccountId) -> Result<u32, StoreError> {
        if self.is_external(account) {
            return Ok(0);
        }
        let mut ready = self.present().await?;
        ready.retain(|person| person.agent.ready && Reach::parse(&person.accounts).covers(account));
        let mut assigned = 0;
        while assigned < ASSIGNED_MAX {
            ready.retain(|person| person.cases < person.agent.capacity);
            // The fewest cases, then the longest without a new one.
            ready.sort_by(|one, other| {
                (one.cases, one.claimed, &one.name).cmp(&(other.cases, other.claimed, &other.name))
            });
            let mut given = false;
            for person in &mut ready {
                if self.give_next(account, person).await? {
                    assigned += 1;
                    given = true;
                    break;
                }
            }
            if !given {
                break;
            }
        }
        Ok(assigned)
    }

    /// Gives one case to a person, if there is one for him.
    async fn give_next(&self, account: &AccountId, person: &mut Present) -> Result<bool, StoreError> {
        let mut kept = self.store.cases_kept_for(&person.name).await?;
        kept.retain(|case| case.account == *account && person.agent.serves(&case.skill));
        let mut waiting = self.waiting_for(account, &person.agent, &person.name).await?;
        waiting.sort_by(|one, other| (one.rank, &one.case_id).cmp(&(other.rank, &other.case_id)));
        for case in kept.into_iter().chain(waiting) {
            match self.take(&person.name, &person.agent, &case.case_id, Receipt::default()).await {
                Ok(()) => {
                    person.cases += 1;
                    person.claimed = Some(self.now());
                    return Ok(true);
                }
                Err(DeskError::Store(error)) => return Err(error),
                Err(DeskError::Full) => return Ok(false),
                Err(_) => {}
            }
        }
        Ok(false)
    }

    /// Who is signed in and shares an account with this person.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn colleagues(&self, session: &Session) -> Result<Vec<Present>, StoreError> {
        let mut present = self.present().await?;
        present.retain(|person| session.reach.meets(&Reach::parse(&person.accounts)));
        Ok(present)
    }

    /// Who is signed in.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn present(&self) -> Result<Vec<Present>, StoreError> {
        let now = self.now();
        self.store.present_staff(now - Staff::IDLE, now - Staff::ABSOLUTE).await
    }
}
