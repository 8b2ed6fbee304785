//! What is written that WeChat does not carry now: notes for colleagues, a supervisor's whispers, and words for when the
//! customer is back.

use serde_json::{Value, json};

use super::Desk;
use super::actions::{Answered, Worded, check_answer_id, with_agent};
use super::by::By;
use super::error::DeskError;
use super::supervise::supervisor;
use crate::domain::case::CaseState;
use crate::domain::mask;
use crate::staff::Session;
use crate::store::{Channel, Conversation, Message, Write};

/// Longest note.
const NOTE_CHARS_MAX: usize = 1_000;
/// The kind of an entry that is for one agent.
const WHISPER: &str = "whisper";

impl Desk {
    /// Writes a note that only staff see. Numbers that must not be stored are hidden in it too.
    ///
    /// # Errors
    /// When the case is not the reader's to see, or the note is empty or too long.
    pub async fn write_note(&self, session: &Session, case_id: &str, text: &str) -> Result<i64, DeskError> {
        let text = noted(text)?;
        self.readable(session, case_id).await?;
        self.change(case_id, |_, conversation| {
            self.among_staff(session, case_id, conversation, &json!({ "kind": "note", "text": text }))
        })
        .await
    }

    /// A supervisor says something to the agent who has the case: nobody else ever reads it but supervisors.
    ///
    /// # Errors
    /// [`DeskError::NotAllowed`] for anybody but supervisors, [`DeskError::NotYours`] when no other agent has the case
    /// now, and as for a note.
    pub async fn whisper(&self, session: &Session, case_id: &str, text: &str) -> Result<i64, DeskError> {
        supervisor(session)?;
        let text = noted(text)?;
        self.reachable(session, case_id).await?;
        self.change(case_id, |case, conversation| {
            let owner = case.claimed_by.as_deref().filter(|owner| *owner != session.name);
            let Some(to) = owner.filter(|_| case.state == CaseState::WithAgent) else {
                return Err(DeskError::NotYours);
            };
            let content = json!({ "kind": WHISPER, "to": to, "text": text });
            self.among_staff(session, case_id, conversation, &content)
        })
        .await
    }

    /// An entry of the log that no customer reads, and its number.
    fn among_staff(
        &self,
        session: &Session,
        case_id: &str,
        conversation: &mut Conversation,
        content: &Value,
    ) -> Result<(Vec<Write>, i64), DeskError> {
        let mut entry = self.entry(session, conversation, content, "noted");
        entry.channel = Channel::Event;
        let writes = vec![
            self.store.append_message(conversation, &entry)?,
            self.store.touch_case(case_id, self.now()),
        ];
        Ok((writes, entry.seq))
    }

    /// Leaves words that the customer reads first when he writes again: all that is possible while WeChat lets
    /// nothing through.
    ///
    /// # Errors
    /// [`DeskError::WindowOpen`] when they could be said now, [`DeskError::NoRoom`] when what waits for him already leaves
    /// no room; else as for an answer.
    pub async fn leave_words(
        &self,
        by: impl Into<By<'_>>,
        case_id: &str,
        answer_id: &str,
        text: &str,
    ) -> Result<Answered, DeskError> {
        let By { session, receipt } = by.into();
        check_answer_id(answer_id)?;
        let Worded { text, masked } = self.worded(text)?;
        self.reachable(session, case_id).await?;
        if let Some(seq) = self.store.desk_answer(case_id, answer_id).await? {
            return Ok(Answered { seq, masked });
        }
        let reminder = self.reminder_of(case_id).await?;
        let left = self
            .change_counted(case_id, |case, conversation, on_their_way| {
                with_agent(case, session)?;
                if u32::from(conversation.ledger.left(self.now())) > on_their_way {
                    return Err(DeskError::WindowOpen);
                }
                if !conversation.has_room_for_next(text.reveal()) {
                    return Err(DeskError::NoRoom);
                }
                // Whom words wait for was told already.
                let is_first = conversation.say_next.is_none();
                conversation.keep_for_next(text.reveal());
                let content = json!({ "kind": "text", "text": text.reveal() });
                let entry = self.entry(session, conversation, &content, "said_next");
                let mut writes = vec![
                    self.store.append_message(conversation, &entry)?,
                    self.store.note_answer(case_id, &session.name, self.now()),
                    self.store.insert_desk_answer(case_id, answer_id, entry.seq),
                ];
                writes.extend(reminder.iter().filter(|_| is_first).cloned());
                writes.extend(receipt.writes(Some(Answered { seq: entry.seq, masked }))?);
                Ok((writes, entry.seq))
            })
            .await;
        match left {
            Ok(seq) => {
                if let Some(way) = &self.reminder {
                    way.wake();
                }
                Ok(Answered { seq, masked })
            }
            Err(DeskError::Repeated) => {
                let seq = self.store.desk_answer(case_id, answer_id).await?.ok_or(DeskError::Busy)?;
                Ok(Answered { seq, masked })
            }
            Err(error) => Err(error),
        }
    }

    /// What tells the customer of a case that an answer waits for him; nothing where nobody is bound or no way is
    /// configured.
    async fn reminder_of(&self, case_id: &str) -> Result<Vec<Write>, DeskError> {
        let Some(way) = &self.reminder else { return Ok(vec![]) };
        let case = self.store.case(case_id).await?.ok_or(DeskError::NoSuchCase)?;
        let Some(customer) = self.customer_of(case_id).await? else { return Ok(vec![]) };
        Ok(way.remind(&case.account, &customer, &format!("desk-{}", self.store.new_id())).await?)
    }
}

/// What may stand in a note: bounded, and numbers that must not be stored hidden.
fn noted(text: &str) -> Result<String, DeskError> {
    let kept: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
    let (text, _) = mask::chat(kept.trim());
    if text.is_empty() {
        return Err(DeskError::Empty);
    }
    if text.chars().count() > NOTE_CHARS_MAX {
        return Err(DeskError::TooLong);
    }
    Ok(text)
}

/// Whether somebody may read an entry of a log that he may read: a whisper is for the agent whom it names, and for
/// supervisors.
pub(super) fn is_for(message: &Message, session: &Session) -> bool {
    if session.role.sees_every_case() || message.channel != Channel::Event {
        return true;
    }
    let content: serde_json::Value = serde_json::from_str(message.content.reveal()).unwrap_or_default();
    content["kind"] != WHISPER || content["to"] == session.name
}
