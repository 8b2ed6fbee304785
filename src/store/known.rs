//! What is known when a push comes: one read for all of it, and one statement for the reads of many pushes.

use tokio::sync::oneshot;

use super::database::Connection;
use super::rows::{Texts, chunk};
use super::step_up::read_step_up;
use super::value::statements;
use super::{Conversation, Row, SeenPush, Store, StoreError, Value};
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, FollowerKey, PushKey};
use crate::domain::step_up::StepUp;

/// Columns before those of the conversation.
const CONVERSATION: usize = 5;
/// Columns before those of the binding.
const BINDING: usize = 18;
/// Columns before those of what he proved.
const STEP_UP: usize = 26;

statements! {
    /// Each row of the list stands for one push: its number, account, follower and key.
    KNOWN = "SELECT v.column1, f.following, p.fkey, p.outcome, p.reply_seq, \
        c.version, c.turn, c.open_turns, c.seq, c.stage, c.case_id, c.dialogue_sealed, c.say_next_sealed, \
        c.message_ms, c.message_used, c.tap_ms, c.tap_used, c.last_message_id, \
        b.customer_sealed, b.profile_sealed, b.default_card, b.alerts, b.hide_amounts, b.source, b.bound_ms, \
        b.settings_sealed, s.scope, s.verified_ms, s.until_ms, s.proof \
        FROM (VALUES ($1, $2, $3, $4)) AS v \
        LEFT JOIN follower f ON f.account = v.column2 AND f.fkey = v.column3 \
        LEFT JOIN push p ON p.account = v.column2 AND p.push_key = v.column4 \
        LEFT JOIN conversation c ON c.account = v.column2 AND c.fkey = v.column3 \
        LEFT JOIN binding b ON b.account = v.column2 AND b.fkey = v.column3 \
        LEFT JOIN step_up s ON s.account = v.column2 AND s.fkey = v.column3 AND s.customer_ix = b.customer_ix";
}

/// What is known when a push comes.
#[derive(Clone, Debug)]
pub struct Known {
    /// How the push ended, or that somebody works on it; `None`: its key is new.
    pub seen: Option<SeenPush>,
    /// Whether its follower was noted before, as somebody who follows.
    pub met: bool,
    /// His conversation; a fresh one when nobody has begun it.
    pub conversation: Conversation,
    /// Who he is to the bank.
    pub binding: Option<Binding>,
    /// What he proved last as this customer; it may have run out.
    pub step_up: Option<StepUp>,
}

impl Store {
    /// What is known of a push and its follower, read at one moment.
    ///
    /// # Errors
    /// When the database fails, or a sealed value does not open.
    pub async fn known(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        key: &PushKey,
    ) -> Result<Known, StoreError> {
        #[cfg(test)]
        let _turn = self.turn_to_read(KNOWN).await?;
        let row = self.inner.writer.known(account, follower, key).await?;
        let seen = row.text_opt(3)?.is_some().then(|| SeenPush::read(&row, 2)).transpose()?;
        let conversation = match row.int_opt(CONVERSATION)? {
            Some(_) => self.read_conversation(&row, CONVERSATION, account, follower)?,
            None => Conversation::fresh(account.clone(), follower),
        };
        let binding = row.blob_opt(BINDING)?.is_some();
        let binding = binding.then(|| self.read_binding(&row, BINDING, account, follower)).transpose()?;
        let step_up = row.text_opt(STEP_UP)?.is_some();
        let step_up = step_up.then(|| read_step_up(&row, STEP_UP)).transpose()?;
        Ok(Known { seen, met: row.int_opt(1)? == Some(1), conversation, binding, step_up })
    }
}

/// A read that waits for its lane.
pub(super) struct Asked {
    args: [Value; 3],
    answer: oneshot::Sender<Result<Row, StoreError>>,
}

impl Asked {
    pub(super) fn new(
        account: &AccountId,
        follower: FollowerKey,
        key: &PushKey,
    ) -> (Self, oneshot::Receiver<Result<Row, StoreError>>) {
        let (answer, answered) = oneshot::channel();
        let args = [account.as_str().into(), follower.into(), key.as_str().into()];
        (Self { args, answer }, answered)
    }

    /// Nothing can be read.
    pub(super) fn fail(self, error: StoreError) {
        drop(self.answer.send(Err(error)));
    }
}

/// Answers several reads with few statements. An error went to those whom it concerns, and leaves the connection
/// in doubt.
pub(super) async fn read_together(
    connection: &mut Connection,
    texts: &mut Texts,
    mut asked: Vec<Asked>,
) -> Result<(), StoreError> {
    let Some(over) = texts.over_rows(KNOWN) else { return Ok(()) };
    while !asked.is_empty() {
        let later = asked.split_off(chunk(asked.len()));
        let now = std::mem::replace(&mut asked, later);
        let text = texts.of(KNOWN, over, now.len());
        let mut args = Vec::with_capacity(now.len() * 4);
        let mut answers = Vec::with_capacity(now.len());
        for (number, asked) in (0_i64..).zip(now) {
            args.push(Value::from(number));
            args.extend(asked.args);
            answers.push(Some(asked.answer));
        }
        let rows = connection.fetch_rows(KNOWN, text, &args).await;
        // A caller may have gone; nobody misses his answer then.
        match rows {
            Ok(rows) => {
                for row in rows {
                    let number = row.int(0).ok().and_then(|number| usize::try_from(number).ok());
                    let answer = number.and_then(|number| answers.get_mut(number)).and_then(Option::take);
                    drop(answer.map(|answer| answer.send(Ok(row))));
                }
            }
            Err(error) => {
                for answer in answers.into_iter().flatten() {
                    drop(answer.send(Err(error.clone())));
                }
                return Err(error);
            }
        }
    }
    Ok(())
}
