//! What an agent does to his case. Each action is one commit: case, conversation, log, outgoing message, event and
//! audit stand or fall together; whoever lost a race reads again and decides anew, a bounded number of times.

use serde_json::{Value, json};

use super::Desk;
use super::by::{By, Receipt};
use super::error::DeskError;
use super::tend::SYSTEM;
use crate::domain::case::{CaseState, CloseReason};
use crate::domain::conversation::Happening;
use crate::domain::ids::CustomerId;
use crate::domain::mask;
use crate::domain::secret::Personal;
use crate::domain::window::Sender;
use crate::staff::Session;
use crate::store::{
    Case, Channel, Commit, CommitError, Conversation, DeskAgent, Direction, Message, StoreError, Write,
};
use crate::wechat::api::CustomMessage;
use crate::wechat::text::{NotSendable, Text};

/// Longest key of an answer.
const ANSWER_ID_BYTES_MAX: usize = 64;

/// An answer that is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its number in the log.
    pub seq: i64,
    /// Whether something in it was hidden (card number, ID number, code).
    pub masked: bool,
}

/// An agent's words as they may go out.
pub(super) struct Worded {
    pub(super) text: Text,
    pub(super) masked: bool,
}

impl Desk {
    /// Takes a case out of the queue. Taking what one has already is fine.
    ///
    /// # Errors
    /// [`DeskError::Taken`] when another agent was first, [`DeskError::Full`] when he has as many as he may.
    pub async fn claim(&self, by: impl Into<By<'_>>, case_id: &str) -> Result<(), DeskError> {
        let By { session, receipt } = by.into();
        self.reachable(session, case_id).await?;
        let agent = self.agent(&session.name).await?;
        self.take(&session.name, &agent, case_id, receipt).await
    }

    /// The same for an agent who is known to serve the account, by his own doing or by the desk's.
    pub(super) async fn take(
        &self,
        name: &str,
        agent: &DeskAgent,
        case_id: &str,
        receipt: Receipt<'_>,
    ) -> Result<(), DeskError> {
        let customer = self.customer_of(case_id).await?;
        let has = self.store.agents_cases(name, CaseState::WithAgent, agent.capacity.max(1)).await?;
        let is_full = u32::try_from(has.len()).unwrap_or(u32::MAX) >= agent.capacity;
        self.change(case_id, |case, conversation| {
            let is_his = case.claimed_by.as_deref() == Some(name);
            if case.state == CaseState::WithAgent && is_his {
                return Ok((receipt.writes(None)?, ()));
            }
            let happening = match case.state {
                CaseState::Waiting => Happening::Claim,
                CaseState::CallBack => Happening::TakeUp,
                CaseState::WithAgent | CaseState::WrapUp => return Err(DeskError::Taken),
                CaseState::Closed | CaseState::Rated => return Err(DeskError::Over),
            };
            if !self.may_take(agent, case) {
                return Err(DeskError::OtherGroup);
            }
            if is_full {
                return Err(DeskError::Full);
            }
            step(case, conversation, happening)?;
            let data = json!({ "case_id": case_id, "to": "agent", "skill": case.skill });
            let mut writes = vec![self.store.claim_case(case_id, name, agent.capacity, self.now())];
            writes.push(self.note(conversation, json!({ "what": "claimed", "agent": name }))?);
            writes.push(self.audited_as(name, "case_claimed", case)?);
            writes.extend(self.speak.event("case_handed_over", &case.account, customer.as_ref(), data)?);
            writes.extend(receipt.writes(None)?);
            Ok((writes, ()))
        })
        .await
    }

    /// Says something to the customer. `answer_id` is the browser's key of this one message: the same key twice
    /// is one message.
    ///
    /// # Errors
    /// When the case is not with this agent, nothing may be sent, or the text does not do.
    pub async fn answer(
        &self,
        by: impl Into<By<'_>>,
        case_id: &str,
        answer_id: &str,
        text: &str,
    ) -> Result<Answered, DeskError> {
        let By { session, receipt } = by.into();
        let Worded { text, masked } = self.worded(text)?;
        let content = json!({ "kind": "text", "text": text.reveal() });
        let message = CustomMessage::Text(text);
        let along = |entry: &Message| receipt.writes(Some(Answered { seq: entry.seq, masked }));
        let seq = self.say(session, case_id, answer_id, &message, &content, along).await?;
        Ok(Answered { seq, masked })
    }

    /// Says something of any kind, once for each key of the browser.
    pub(super) async fn say(
        &self,
        session: &Session,
        case_id: &str,
        answer_id: &str,
        message: &CustomMessage,
        content: &Value,
        with: impl Fn(&Message) -> Result<Vec<Write>, StoreError>,
    ) -> Result<i64, DeskError> {
        check_answer_id(answer_id)?;
        self.reachable(session, case_id).await?;
        if let Some(seq) = self.store.desk_answer(case_id, answer_id).await? {
            return Ok(seq);
        }
        let said = self
            .change_counted(case_id, |case, conversation, on_their_way| {
                with_agent(case, session)?;
                let ledger = &conversation.ledger;
                ledger
                    .draw(Sender::Agent, true, self.now())
                    .map_err(|_| refusal(conversation, self.now()))?;
                if u32::from(ledger.left(self.now())) <= on_their_way {
                    return Err(DeskError::WindowSpent);
                }
                let entry = self.entry(session, conversation, content, "queued");
                let seq = entry.seq;
                let mut writes = self.speak.say(&case.account, case.follower, Sender::Agent, seq, message)?;
                writes.extend(with(&entry)?);
                writes.push(self.store.append_message(conversation, &entry)?);
                writes.push(self.store.note_answer(case_id, &session.name, self.now()));
                writes.push(self.store.insert_desk_answer(case_id, answer_id, seq));
                Ok((writes, seq))
            })
            .await;
        match said {
            // The same request arrived on two ways at once: the other one stands.
            Err(DeskError::Repeated) => {
                self.store.desk_answer(case_id, answer_id).await?.ok_or(DeskError::Busy)
            }
            said => said,
        }
    }

    /// An entry of the log by this agent.
    pub(super) fn entry(
        &self,
        session: &Session,
        conversation: &mut Conversation,
        content: &Value,
        state: &str,
    ) -> Message {
        Message {
            account: conversation.account.clone(),
            follower: conversation.follower,
            seq: conversation.next_seq(),
            direction: Direction::Out,
            author: format!("agent:{}", session.name),
            channel: Channel::CustomerService,
            content: Personal::new(content.to_string()),
            at: self.now(),
            state: state.to_owned(),
        }
    }

    /// An agent's words as they may go out: cleaned, numbers hidden, nothing that must not be said.
    pub(super) fn worded(&self, text: &str) -> Result<Worded, DeskError> {
        let (text, found) = mask::chat(clean(text).trim());
        if let Some(objection) = self.files.load().wording.objection(&text) {
            return Err(DeskError::Objected(objection));
        }
        let text = Text::new(&text).map_err(|refusal| match refusal {
            NotSendable::Empty => DeskError::Empty,
            NotSendable::TooLong { .. } => DeskError::TooLong,
        })?;
        Ok(Worded { text, masked: found.is_some() })
    }

    /// Ends the talk. Without a reason the customer is with the bot again and the reason is owed; calling it
    /// again with one pays it.
    ///
    /// # Errors
    /// When the case is not with this agent, or the reason is not his to choose.
    pub async fn close(
        &self,
        by: impl Into<By<'_>>,
        case_id: &str,
        reason: Option<CloseReason>,
    ) -> Result<(), DeskError> {
        let By { session, receipt } = by.into();
        if reason.is_some_and(|reason| !reason.is_agents_choice()) {
            return Err(DeskError::UnknownChoice);
        }
        self.reachable(session, case_id).await?;
        let customer = self.customer_of(case_id).await?;
        self.change(case_id, |case, conversation| {
            if !is_owner(case, session) {
                return Err(DeskError::NotYours);
            }
            let mut writes = self.closing(case, conversation, reason, &session.name, customer.as_ref())?;
            writes.extend(receipt.writes(None)?);
            Ok((writes, ()))
        })
        .await
    }

    /// Gives the customer back to the bot and ends the case.
    ///
    /// # Errors
    /// When the case is not with this agent.
    pub async fn return_to_bot(&self, by: impl Into<By<'_>>, case_id: &str) -> Result<(), DeskError> {
        let By { session, receipt } = by.into();
        self.reachable(session, case_id).await?;
        let customer = self.customer_of(case_id).await?;
        self.change(case_id, |case, conversation| {
            with_agent(case, session)?;
            step(case, conversation, Happening::Return)?;
            conversation.case_id = None;
            let reason = CloseReason::BackToBot;
            let mut writes = vec![self.store.end_case(case, CaseState::Closed, Some(reason), self.now())];
            writes.push(self.note(conversation, json!({ "what": "returned", "agent": session.name }))?);
            writes.push(self.audited(session, "case_returned", case)?);
            writes.extend(self.over(case, reason, customer.as_ref())?);
            writes.extend(receipt.writes(None)?);
            Ok((writes, ()))
        })
        .await
    }

    /// Puts the case back into the queue for another group, in the place that it had.
    ///
    /// # Errors
    /// When the case is not with this agent, or there is no such group.
    pub async fn transfer(&self, by: impl Into<By<'_>>, case_id: &str, skill: &str) -> Result<(), DeskError> {
        let By { session, receipt } = by.into();
        if self.files.load().groups.get(skill).is_none() {
            return Err(DeskError::UnknownChoice);
        }
        self.reachable(session, case_id).await?;
        let customer = self.customer_of(case_id).await?;
        self.change(case_id, |case, conversation| {
            with_agent(case, session)?;
            let mut writes = self.requeue(case, conversation, skill, customer.as_ref())?;
            writes.push(self.audited(session, "case_transferred", case)?);
            writes.extend(receipt.writes(None)?);
            Ok((writes, ()))
        })
        .await
    }

    /// The owner has seen everything that the customer wrote.
    ///
    /// # Errors
    /// [`DeskError::NoSuchCase`] when it is not the reader's to see.
    pub async fn seen(&self, session: &Session, case_id: &str) -> Result<(), DeskError> {
        let case = self.readable(session, case_id).await?;
        let commit = Commit::new(case.follower.part()).with(self.store.note_seen(case_id, &session.name));
        match self.store.commit(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(_)) => Err(DeskError::Busy),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// The case, if it is of an account that the person serves: a case keeps its account for ever.
    pub(super) async fn reachable(&self, session: &Session, case_id: &str) -> Result<Case, DeskError> {
        let case = self.store.case(case_id).await?;
        let his =
            |case: &Case| session.reach.covers(&case.account) && self.is_of_house(session, &case.account);
        case.filter(his).ok_or(DeskError::NoSuchCase)
    }

    pub(super) fn closing(
        &self,
        case: &Case,
        conversation: &mut Conversation,
        reason: Option<CloseReason>,
        actor: &str,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, DeskError> {
        let mut writes = Vec::new();
        match case.state {
            CaseState::WithAgent => {
                step(case, conversation, Happening::Close)?;
                let state = if reason.is_some() { CaseState::Closed } else { CaseState::WrapUp };
                writes.push(self.store.end_case(case, state, reason, self.now()));
                writes.push(self.note(conversation, json!({ "what": "closed", "agent": actor }))?);
                if actor != SYSTEM {
                    writes.extend(self.ask_rating(case, conversation, reason)?);
                }
                writes.push(self.audited_as(actor, "case_closed", case)?);
            }
            CaseState::WrapUp if reason.is_some() => {
                writes.push(self.store.end_case(case, CaseState::Closed, reason, self.now()));
            }
            CaseState::WrapUp => return Ok(writes),
            CaseState::CallBack | CaseState::Waiting => return Err(DeskError::NotYours),
            CaseState::Closed | CaseState::Rated => return Err(DeskError::Over),
        }
        if let Some(reason) = reason {
            // The customer may have begun something new while the reason was owed: then it is not touched.
            if conversation.case_id.as_deref() == Some(case.case_id.as_str()) {
                step(case, conversation, Happening::Wrapped)?;
                conversation.case_id = None;
            }
            writes.extend(self.over(case, reason, customer)?);
        }
        Ok(writes)
    }

    pub(super) fn requeue(
        &self,
        case: &Case,
        conversation: &mut Conversation,
        skill: &str,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, DeskError> {
        step(case, conversation, Happening::Transfer)?;
        let rank = case.priority.rank(case.opened);
        let after = Case { skill: skill.to_owned(), queued: self.now(), rank, prefer: None, ..case.clone() };
        let data = json!({ "case_id": case.case_id, "to": "queue", "skill": skill });
        let mut writes = vec![self.store.requeue_case(case, &after)];
        writes.push(self.note(conversation, json!({ "what": "transferred", "skill": skill }))?);
        writes.extend(self.speak.event("case_handed_over", &case.account, customer, data)?);
        Ok(writes)
    }

    fn over(
        &self,
        case: &Case,
        reason: CloseReason,
        customer: Option<&CustomerId>,
    ) -> Result<Vec<Write>, StoreError> {
        let data = json!({ "case_id": case.case_id, "reason": reason.name() });
        let mut writes = self.speak.event("case_closed", &case.account, customer, data)?;
        writes.push(self.store.forget_desk_answers(&case.case_id));
        Ok(writes)
    }

    pub(super) fn audited(&self, session: &Session, action: &str, case: &Case) -> Result<Write, StoreError> {
        self.audited_as(&session.name, action, case)
    }

    fn audited_as(&self, actor: &str, action: &str, case: &Case) -> Result<Write, StoreError> {
        let detail = json!({ "case_id": case.case_id }).to_string();
        self.store.audit(actor, action, &case.account, Some(case.follower), Some(&detail))
    }

    /// The customer behind a case, for events to the bank.
    pub(super) async fn customer_of(&self, case_id: &str) -> Result<Option<CustomerId>, DeskError> {
        let case = self.store.case(case_id).await?.ok_or(DeskError::NoSuchCase)?;
        let binding = self.store.binding(&case.account, case.follower).await?;
        Ok(binding.map(|binding| binding.customer))
    }
}

/// Moves the conversation on, if this case is the one that it is about.
pub(super) fn step(
    case: &Case,
    conversation: &mut Conversation,
    happening: Happening,
) -> Result<(), DeskError> {
    if conversation.case_id.as_deref() != Some(case.case_id.as_str()) {
        return Err(DeskError::Over);
    }
    conversation.stage = conversation.stage.after(happening)?;
    Ok(())
}

fn is_owner(case: &Case, session: &Session) -> bool {
    case.claimed_by.as_deref() == Some(session.name.as_str())
}

pub(super) fn with_agent(case: &Case, session: &Session) -> Result<(), DeskError> {
    match case.state {
        CaseState::Closed | CaseState::Rated => Err(DeskError::Over),
        CaseState::WrapUp if is_owner(case, session) => Err(DeskError::Over),
        CaseState::WithAgent if is_owner(case, session) => Ok(()),
        _ => Err(DeskError::NotYours),
    }
}

fn refusal(conversation: &Conversation, now: crate::domain::time::UnixMs) -> DeskError {
    match super::view::Allowance::of(conversation, now, 0).why_not {
        Some(super::view::WhyNot::Spent) => DeskError::WindowSpent,
        _ => DeskError::WindowClosed,
    }
}

pub(super) fn check_answer_id(answer_id: &str) -> Result<(), DeskError> {
    if answer_id.is_empty() || answer_id.len() > ANSWER_ID_BYTES_MAX {
        return Err(DeskError::UnknownChoice);
    }
    Ok(())
}

/// Line breaks are all that may control anything in a chat text.
fn clean(text: &str) -> String {
    text.replace("\r\n", "\n").chars().filter(|c| *c == '\n' || !c.is_control()).collect()
}
