//! What agents see: lists, one conversation, and what may still be said in it.

use super::error::DeskError;
use super::{Desk, said};
use crate::domain::binding::Binding;
use crate::domain::case::CaseState;
use crate::domain::ids::AccountId;
use crate::domain::time::UnixMs;
use crate::domain::window::Ledger;
use crate::staff::Session;
use crate::store::{Case, Complaint, Conversation, Judgement, Message, StoreError};

/// A bounded list that says when there is more.
#[derive(Debug)]
pub struct Listed {
    /// At most [`Desk::LIST_MAX`].
    pub cases: Vec<Case>,
    /// Whether there are others.
    pub more: bool,
}

/// Why nothing can be said to a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// He has never written: what he did, he did on a page of ours.
    NotYet,
    /// He has not written within 48 hours.
    Closed,
    /// What one of his messages buys is used up, or on its way.
    Spent,
    /// He does not follow the account any more.
    Unfollowed,
}

impl WhyNot {
    /// The name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NotYet => "not_yet",
            Self::Closed => "closed",
            Self::Spent => "spent",
            Self::Unfollowed => "unfollowed",
        }
    }
}

/// What may still be said to a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Messages left, those on their way taken off.
    pub left: u32,
    /// Until when.
    pub until: Option<UnixMs>,
    /// Why none.
    pub why_not: Option<WhyNot>,
}

impl Allowance {
    /// By the ledger, less what is on its way.
    #[must_use]
    pub fn of(conversation: &Conversation, now: UnixMs, on_their_way: u32) -> Self {
        let ledger = &conversation.ledger;
        let left = u32::from(ledger.left(now)).saturating_sub(on_their_way);
        let granted = ledger.message.granted;
        let inside = granted != UnixMs(0) && now < granted + Ledger::MESSAGE_WINDOW;
        let why_not = match (left, inside) {
            (1.., _) => None,
            (0, true) => Some(WhyNot::Spent),
            (0, false) if granted == UnixMs(0) => Some(WhyNot::NotYet),
            (0, false) => Some(WhyNot::Closed),
        };
        Self { left, until: ledger.open_until(now).filter(|_| left > 0), why_not }
    }
}

/// A case with what an agent needs beside its transcript.
#[derive(Debug)]
pub struct View {
    /// The case.
    pub case: Case,
    /// The last number of the log.
    pub seq: i64,
    /// What may still be said.
    pub allowance: Allowance,
    /// Who it is, masked; `None`: not bound.
    pub binding: Option<Binding>,
    /// Whether the reader owns the case and may answer.
    pub mine: bool,
    /// Other cases of this customer, the newest first.
    pub others: Vec<Case>,
    /// The complaint that came up in the case.
    pub complaint: Option<Complaint>,
    /// A supervisor's judgement, for supervisors and for who is judged.
    pub judgement: Option<Judgement>,
}

/// A part of the log.
#[derive(Debug)]
pub struct Transcript {
    /// Oldest first, at most [`Desk::LIST_MAX`].
    pub messages: Vec<Message>,
    /// Whether there are others in the direction that was read.
    pub more: bool,
}

impl Desk {
    /// Longest list on a screen.
    pub const LIST_MAX: u32 = 200;

    /// Today's date in Beijing, for the watermark.
    #[must_use]
    pub fn today(&self) -> String {
        self.now().beijing().date().to_string()
    }

    /// The queue of an account in its order; call-backs that can be kept now are on top.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn queue(&self, account: &AccountId) -> Result<Listed, StoreError> {
        let mut cases = Vec::new();
        for state in [CaseState::CallBack, CaseState::Waiting] {
            cases.extend(self.store.queued_cases(account, state, Self::LIST_MAX + 1).await?);
        }
        cases.sort_by(|one, other| (one.rank, &one.case_id).cmp(&(other.rank, &other.case_id)));
        Ok(bounded(cases))
    }

    /// What an agent has: talks, then those whose reason he owes.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn mine(&self, session: &Session) -> Result<Listed, StoreError> {
        let mut cases = Vec::new();
        for state in [CaseState::WithAgent, CaseState::WrapUp] {
            cases.extend(self.store.agents_cases(&session.name, state, Self::LIST_MAX + 1).await?);
        }
        cases.retain(|case| session.reach.covers(&case.account));
        Ok(bounded(cases))
    }

    /// One case, if the reader may see it: of an account that he serves, his own, whatever waits, and all for a
    /// supervisor.
    ///
    /// # Errors
    /// [`DeskError::NoSuchCase`] also when it is not his to see.
    pub async fn open(&self, session: &Session, case_id: &str) -> Result<View, DeskError> {
        let case = self.readable(session, case_id).await?;
        let (conversation, on_their_way) = self.counted(&case).await?;
        let mut allowance = Allowance::of(&conversation, self.now(), on_their_way);
        if self.store.is_following(&case.account, case.follower).await? == Some(false) {
            allowance = Allowance { left: 0, until: None, why_not: Some(WhyNot::Unfollowed) };
        }
        let binding = self.store.binding(&case.account, case.follower).await?;
        let mine = case.claimed_by.as_deref() == Some(session.name.as_str());
        let mut others = self.store.cases_of(&case.account, case.follower).await?;
        others.retain(|other| other.case_id != case.case_id);
        let complaint = self.store.complaint_of(case_id).await?;
        let judgement = self.store.judgement(case_id).await?;
        Ok(View { seq: conversation.seq, allowance, binding, mine, others, complaint, judgement, case })
    }

    /// The log of a case's conversation after a number; without one its end.
    ///
    /// # Errors
    /// [`DeskError::NoSuchCase`] also when it is not the reader's to see.
    pub async fn transcript(
        &self,
        session: &Session,
        case_id: &str,
        after: Option<i64>,
        before: Option<i64>,
    ) -> Result<Transcript, DeskError> {
        let case = self.readable(session, case_id).await?;
        let one_more = Self::LIST_MAX + 1;
        let most = usize::try_from(Self::LIST_MAX).unwrap_or(usize::MAX);
        let mut messages = match after {
            Some(after) => self.store.messages(&case.account, case.follower, after, one_more).await?,
            None => {
                let before = before.unwrap_or(i64::MAX);
                self.store.messages_before(&case.account, case.follower, before, one_more).await?
            }
        };
        let more = messages.len() > most;
        match after {
            Some(_) => messages.truncate(most),
            None if more => drop(messages.drain(..messages.len() - most)),
            None => {}
        }
        messages.retain(|message| said::is_for(message, session));
        Ok(Transcript { messages, more })
    }

    pub(super) async fn readable(&self, session: &Session, case_id: &str) -> Result<Case, DeskError> {
        let case = self.reachable(session, case_id).await?;
        let mine = case.claimed_by.as_deref() == Some(session.name.as_str());
        let may = mine || case.state.is_queued() || session.role.sees_every_case();
        if may { Ok(case) } else { Err(DeskError::NoSuchCase) }
    }
}

fn bounded(mut cases: Vec<Case>) -> Listed {
    let most = usize::try_from(Desk::LIST_MAX).unwrap_or(usize::MAX);
    let more = cases.len() > most;
    cases.truncate(most);
    Listed { cases, more }
}
