//! What an agent writes that WeChat does not carry now: notes for colleagues, and words for when the customer is back.

use serde_json::json;

use super::Desk;
use super::actions::{Answered, DeskError, Worded, check_answer_id, with_agent};
use crate::domain::mask;
use crate::staff::Session;
use crate::store::Channel;

/// Longest note.
const NOTE_CHARS_MAX: usize = 1_000;

impl Desk {
    /// Writes a note that only staff see. Numbers that must not be stored are hidden in it too.
    ///
    /// # Errors
    /// When the case is not the reader's to see, or the note is empty or too long.
    pub async fn write_note(&self, session: &Session, case_id: &str, text: &str) -> Result<i64, DeskError> {
        let kept: String = text.chars().filter(|c| *c == '\n' || !c.is_control()).collect();
        let (text, _) = mask::chat(kept.trim());
        if text.is_empty() {
            return Err(DeskError::Empty);
        }
        if text.chars().count() > NOTE_CHARS_MAX {
            return Err(DeskError::TooLong);
        }
        self.readable(session, case_id).await?;
        self.change(case_id, |_, conversation| {
            let mut entry =
                self.entry(session, conversation, &json!({ "kind": "note", "text": text }), "noted");
            entry.channel = Channel::Event;
            let writes = vec![
                self.store.append_message(conversation, &entry)?,
                self.store.touch_case(case_id, self.now()),
            ];
            Ok((writes, entry.seq))
        })
        .await
    }

    /// Leaves words that the customer reads first when he writes again: all that is possible while WeChat lets
    /// nothing through.
    ///
    /// # Errors
    /// [`DeskError::WindowOpen`] when they could be said now; else as for an answer.
    pub async fn leave_words(
        &self,
        session: &Session,
        case_id: &str,
        answer_id: &str,
        text: &str,
    ) -> Result<Answered, DeskError> {
        check_answer_id(answer_id)?;
        let Worded { text, masked } = self.worded(text)?;
        self.reachable(session, case_id).await?;
        if let Some(seq) = self.store.desk_answer(case_id, answer_id).await? {
            return Ok(Answered { seq, masked });
        }
        let on_their_way = self.on_their_way(case_id).await?;
        let left = self
            .change(case_id, |case, conversation| {
                with_agent(case, session)?;
                if u32::from(conversation.ledger.left(self.now())) > on_their_way {
                    return Err(DeskError::WindowOpen);
                }
                conversation.keep_for_next(text.reveal());
                let content = json!({ "kind": "text", "text": text.reveal() });
                let entry = self.entry(session, conversation, &content, "said_next");
                let writes = vec![
                    self.store.append_message(conversation, &entry)?,
                    self.store.note_answer(case_id, &session.name, self.now()),
                    self.store.insert_desk_answer(case_id, answer_id, entry.seq),
                ];
                Ok((writes, entry.seq))
            })
            .await;
        match left {
            Ok(seq) => Ok(Answered { seq, masked }),
            Err(DeskError::Repeated) => {
                let seq = self.store.desk_answer(case_id, answer_id).await?.ok_or(DeskError::Busy)?;
                Ok(Answered { seq, masked })
            }
            Err(error) => Err(error),
        }
    }
}
