//! Conversations: one row a follower under one version, and the log of what was said.
//!
//! The log has no index but that of its ids, which grow with time, so that it is only ever written at its end: an index
//! by follower changed a page of its own for nearly each message, half of all that a message cost SQLite. Instead each
//! entry names its follower's entry before it, and his conversation the newest one.

use std::sync::atomic::Ordering;

use zeroize::Zeroizing;

use super::value::statements;
use super::{Conflict, Row, Statement, Store, StoreError, Value, Write, follower_row};
use crate::domain::conversation::Stage;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::domain::window::{Draw, Grant, Ledger};
use crate::keys::Place;

const DIALOGUE: Place = Place("conversation.dialogue");
const SAY_NEXT: Place = Place("conversation.say_next");
pub(super) const CONTENT: Place = Place("message.content");

/// How much of a message's id is chance; above it stand the milliseconds.
pub(super) const MESSAGE_ID_CHANCE_BITS: u32 = 20;

/// What is said next may not grow without bound: with the next answer it must fit one message.
const SAY_NEXT_BYTES_MAX: usize = 1_500;

/// Messages that one read returns at most.
pub const MESSAGES_MAX: u32 = 500;

/// Walks a follower's log from its newest entry back to the one that is not above `$3` any more, then says what follows.
macro_rules! entries_above {
    ($then:literal) => {
        concat!(
            "WITH RECURSIVE entry (message_id, previous_id, seq) AS ( \
             SELECT m.message_id, m.previous_id, m.seq FROM conversation c \
             JOIN message m ON m.message_id = c.last_message_id WHERE c.account = $1 AND c.fkey = $2 \
             UNION ALL SELECT m.message_id, m.previous_id, m.seq FROM entry e \
             JOIN message m ON m.message_id = e.previous_id WHERE e.seq > $3) ",
            $then
        )
    };
}
pub(super) use entries_above;

statements! {
    FIND = "SELECT version, turn, open_turns, seq, stage, case_id, dialogue_sealed, say_next_sealed, message_ms, \
        message_used, tap_ms, tap_used, last_message_id FROM conversation WHERE account = $1 AND fkey = $2";
    CREATE = "INSERT INTO conversation (account, fkey, version, turn, open_turns, seq, stage, case_id, dialogue_sealed, \
        say_next_sealed, message_ms, message_used, tap_ms, tap_used, last_message_id, changed_ms) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (account, fkey) DO NOTHING";
    /// In the order of `CREATE`; both engines name the columns of a list so.
    SAVE = "UPDATE conversation SET version = v.column3, turn = v.column4, open_turns = v.column5, seq = v.column6, \
        stage = v.column7, case_id = v.column8, dialogue_sealed = v.column9, say_next_sealed = v.column10, \
        message_ms = v.column11, message_used = v.column12, tap_ms = v.column13, tap_used = v.column14, \
        last_message_id = v.column15, changed_ms = v.column16 \
        FROM (VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)) AS v \
        WHERE conversation.account = v.column1 AND conversation.fkey = v.column2 \
        AND conversation.version = v.column17";
    APPEND = "INSERT INTO message (message_id, previous_id, account, fkey, seq, direction, author, channel, \
        content_sealed, at_ms, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
        ON CONFLICT (message_id) DO NOTHING";
    AFTER = entries_above!("SELECT m.seq, m.direction, m.author, m.channel, m.content_sealed, m.at_ms, m.state \
        FROM entry e JOIN message m ON m.message_id = e.message_id WHERE e.seq > $3 ORDER BY e.seq LIMIT $4");
    BETWEEN = entries_above!("SELECT m.seq, m.direction, m.author, m.channel, m.content_sealed, m.at_ms, m.state \
        FROM entry e JOIN message m ON m.message_id = e.message_id WHERE e.seq > $3 AND e.seq < $4 ORDER BY e.seq");
    LAST_SEQ = "SELECT seq FROM conversation WHERE account = $1 AND fkey = $2";
    SET_STATE = entries_above!("UPDATE message SET state = $4 \
        WHERE message_id = (SELECT e.message_id FROM entry e WHERE e.seq = $3)");
    SET_CONTENT = entries_above!("UPDATE message SET content_sealed = $4 \
        WHERE message_id = (SELECT e.message_id FROM entry e WHERE e.seq = $3)");
    ERASE_MESSAGES = "WITH RECURSIVE entry (message_id, previous_id) AS ( \
        SELECT m.message_id, m.previous_id FROM conversation c \
        JOIN message m ON m.message_id = c.last_message_id WHERE c.account = $1 AND c.fkey = $2 \
        UNION ALL SELECT m.message_id, m.previous_id FROM entry e JOIN message m ON m.message_id = e.previous_id) \
        DELETE FROM message WHERE message_id IN (SELECT message_id FROM entry)";
}

/// One follower's conversation as it was read. Save it under its version, or read again.
#[derive(Clone, Debug)]
pub struct Conversation {
    /// The account.
    pub account: AccountId,
    /// The follower.
    pub follower: FollowerKey,
    /// Zero: not stored yet. Saving needs the version that was read.
    pub version: i64,
    /// The last turn that was given out.
    pub turn: i64,
    /// Turns that are not settled.
    pub open_turns: i64,
    /// The last number used in the log.
    pub seq: i64,
    /// Who owns the conversation.
    pub stage: Stage,
    /// The open case, if any.
    pub case_id: Option<String>,
    /// The dialogue's state as JSON.
    pub dialogue: Option<Zeroizing<Vec<u8>>>,
    /// An answer that is owed and could not be sent: the first thing said next.
    pub say_next: Option<Personal>,
    /// What may still be sent.
    pub ledger: Ledger,
    /// The newest entry of the log.
    last_message_id: Option<i64>,
}

impl Conversation {
    /// A conversation that nobody has begun.
    #[must_use]
    pub fn fresh(account: AccountId, follower: FollowerKey) -> Self {
        Self {
            account,
            follower,
            version: 0,
            turn: 0,
            open_turns: 0,
            seq: 0,
            stage: Stage::Bot,
            case_id: None,
            dialogue: None,
            say_next: None,
            ledger: Ledger::default(),
            last_message_id: None,
        }
    }

    /// Adds to what is said first next time. Older words come first; where both do not fit, the newest are the ones that
    /// were asked for last.
    pub fn keep_for_next(&mut self, text: &str) {
        let joined = match &self.say_next {
            Some(before) if self.has_room_for_next(text) => format!("{}\n\n{text}", before.reveal()),
            _ => text.to_owned(),
        };
        self.say_next = Some(Personal::new(joined));
    }

    /// Whether this can be said first next time without leaving out what is to be said already.
    #[must_use]
    pub fn has_room_for_next(&self, text: &str) -> bool {
        let fits = |before: &Personal| before.reveal().len() + 2 + text.len() <= SAY_NEXT_BYTES_MAX;
        self.say_next.as_ref().is_none_or(fits)
    }

    /// Takes the next number of the log.
    pub fn next_seq(&mut self) -> i64 {
        self.seq += 1;
        self.seq
    }
}

/// Who spoke to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The customer to us.
    In,
    /// We to the customer.
    Out,
}

/// The way a message took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// A push from WeChat, or the reply on its open connection.
    Passive,
    /// A customer-service message.
    CustomerService,
    /// A template message.
    Template,
    /// A page.
    H5,
    /// Something that happened: a note for the reader, nothing that was sent.
    Event,
}

macro_rules! names {
    ($type:ident { $($variant:ident = $name:literal),* $(,)? }) => {
        impl $type {
            /// The name in the database.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Reads the name back.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                match name { $($name => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

names!(Direction { In = "in", Out = "out" });
names!(Channel {
    Passive = "passive",
    CustomerService = "customer_service",
    Template = "template",
    H5 = "h5",
    Event = "event",
});

/// One entry of the log.
#[derive(Clone, Debug)]
pub struct Message {
    /// The account.
    pub account: AccountId,
    /// The follower.
    pub follower: FollowerKey,
    /// Its number, from 1, without gaps under the conversation's version.
    pub seq: i64,
    /// Who spoke.
    pub direction: Direction,
    /// `customer`, `bot`, `agent:{name}` or `system`.
    pub author: String,
    /// The way it took.
    pub channel: Channel,
    /// JSON with a member `kind`; text has `text`.
    pub content: Personal,
    /// When.
    pub at: UnixMs,
    /// `received`, `replied`, `queued`, `sent`, `said_next` (kept until the customer writes), `noted`; not arrived:
    /// `window_closed`, `allowance_used`, `unreachable`, `failed`; nobody knows: `unclear`.
    pub state: String,
}

impl Store {
    /// Reads a conversation; a fresh one when nobody has begun it.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn conversation(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Conversation, StoreError> {
        let found = self.fetch_one(FIND, vec![account.as_str().into(), follower.into()]).await?;
        let Some(row) = found else { return Ok(Conversation::fresh(account.clone(), follower)) };
        self.read_conversation(&row, 0, account, follower)
    }

    /// Reads the columns of a conversation, in the order of `FIND`, from a column on.
    pub(super) fn read_conversation(
        &self,
        row: &Row,
        first: usize,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Conversation, StoreError> {
        let key = follower_row(account, follower);
        let open = |place, sealed: Option<&[u8]>| {
            sealed.map(|sealed| self.vault().open(place, &key, sealed)).transpose()
        };
        let say_next = open(SAY_NEXT, row.blob_opt(first + 7)?)?;
        let say_next = say_next.map(|plain| row.utf8(first + 7, &plain)).transpose()?;
        let used = |column| Ok::<_, StoreError>(u8::try_from(row.int(column)?).unwrap_or(u8::MAX));
        Ok(Conversation {
            account: account.clone(),
            follower,
            version: row.int(first)?,
            turn: row.int(first + 1)?,
            open_turns: row.int(first + 2)?,
            seq: row.int(first + 3)?,
            stage: Stage::parse(row.text(first + 4)?)
                .ok_or(StoreError::Decode { statement: row.statement, column: first + 4 })?,
            case_id: row.text_opt(first + 5)?.map(str::to_owned),
            dialogue: open(DIALOGUE, row.blob_opt(first + 6)?)?,
            say_next: say_next.map(Personal::new),
            ledger: Ledger {
                message: Grant { granted: row.time(first + 8)?, used: used(first + 9)? },
                tap: Grant { granted: row.time(first + 10)?, used: used(first + 11)? },
            },
            last_message_id: row.int_opt(first + 12)?,
        })
    }

    /// Saves a conversation as its next version; [`Conflict::Stale`] when it changed since it was read. Takes it, since
    /// what is appended to its log or changed in it afterwards would not be saved.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn save_conversation(&self, conversation: Conversation) -> Result<Write, StoreError> {
        let key = follower_row(&conversation.account, conversation.follower);
        let dialogue = conversation
            .dialogue
            .as_ref()
            .map(|state| self.vault().seal(DIALOGUE, &key, state))
            .transpose()?;
        let say_next = conversation
            .say_next
            .as_ref()
            .map(|text| self.vault().seal(SAY_NEXT, &key, text.reveal().as_bytes()))
            .transpose()?;
        let ledger = &conversation.ledger;
        let mut args: Vec<Value> = vec![
            conversation.account.as_str().into(),
            conversation.follower.into(),
            (conversation.version + 1).into(),
            conversation.turn.into(),
            conversation.open_turns.into(),
            conversation.seq.into(),
            conversation.stage.name().into(),
            conversation.case_id.into(),
            dialogue.into(),
            say_next.into(),
            ledger.message.granted.into(),
            ledger.message.used.into(),
            ledger.tap.granted.into(),
            ledger.tap.used.into(),
            conversation.last_message_id.into(),
            self.clock().now().into(),
        ];
        if conversation.version == 0 {
            return Ok(Write::one(CREATE, args, Conflict::Stale));
        }
        args.push(conversation.version.into());
        Ok(Write::one(SAVE, args, Conflict::Stale))
    }

    /// Books one send against the allowance as it was read; [`Conflict::Stale`] when anything changed.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn spend_allowance(&self, conversation: &Conversation, draw: Draw) -> Result<Write, StoreError> {
        let mut spent = conversation.clone();
        spent.ledger.spend(draw);
        self.save_conversation(spent)
    }

    /// Adds an entry to the log of a conversation, which is saved in the same commit.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn append_message(
        &self,
        conversation: &mut Conversation,
        message: &Message,
    ) -> Result<Write, StoreError> {
        let message_id = self.new_message_id();
        let previous_id = conversation.last_message_id.replace(message_id);
        let sealed = self.vault().seal(
            CONTENT,
            &message_row(&message.account, message.follower, message.seq),
            message.content.reveal().as_bytes(),
        )?;
        let args = vec![
            message_id.into(),
            previous_id.into(),
            message.account.as_str().into(),
            message.follower.into(),
            message.seq.into(),
            message.direction.name().into(),
            message.author.as_str().into(),
            message.channel.name().into(),
            sealed.into(),
            message.at.into(),
            message.state.as_str().into(),
        ];
        Ok(Write::one(APPEND, args, Conflict::Stale))
    }

    /// Entries after a number, oldest first, at most `limit` and [`MESSAGES_MAX`].
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn messages(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        after_seq: i64,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let limit = i64::from(limit.min(MESSAGES_MAX));
        self.read_messages(AFTER, account, follower, after_seq, limit).await
    }

    /// The last entries before a number, oldest first, at most `limit` and [`MESSAGES_MAX`].
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn messages_before(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        before_seq: i64,
        limit: u32,
    ) -> Result<Vec<Message>, StoreError> {
        let name = vec![account.as_str().into(), follower.into()];
        let Some(row) = self.fetch_one(LAST_SEQ, name).await? else { return Ok(Vec::new()) };
        let before = before_seq.min(row.int(0)?.saturating_add(1));
        let above = before.saturating_sub(1 + i64::from(limit.min(MESSAGES_MAX)));
        self.read_messages(BETWEEN, account, follower, above, before).await
    }

    async fn read_messages(
        &self,
        statement: Statement,
        account: &AccountId,
        follower: FollowerKey,
        above_seq: i64,
        bound: i64,
    ) -> Result<Vec<Message>, StoreError> {
        let args = vec![account.as_str().into(), follower.into(), above_seq.into(), bound.into()];
        let rows = self.fetch(statement, args).await?;
        rows.iter().map(|row| self.message(statement, account, follower, row)).collect()
    }

    fn message(
        &self,
        statement: Statement,
        account: &AccountId,
        follower: FollowerKey,
        row: &Row,
    ) -> Result<Message, StoreError> {
        let bad = |column| StoreError::Decode { statement: statement.name, column };
        let seq = row.int(0)?;
        let plain = self.vault().open(CONTENT, &message_row(account, follower, seq), row.blob(4)?)?;
        Ok(Message {
            account: account.clone(),
            follower,
            seq,
            direction: Direction::parse(row.text(1)?).ok_or_else(|| bad(1))?,
            author: row.text(2)?.to_owned(),
            channel: Channel::parse(row.text(3)?).ok_or_else(|| bad(3))?,
            content: Personal::new(row.utf8(4, &plain)?),
            at: row.time(5)?,
            state: row.text(6)?.to_owned(),
        })
    }

    /// The next id of the log: larger than any that this process gave before, of the present millisecond if it can be, and
    /// by chance another than those of other processes. Two that meet are a conflict: the later one decides anew.
    fn new_message_id(&self) -> i64 {
        let mut chance = [0; 4];
        self.random().fill(&mut chance);
        let now = self.clock().now().0;
        let wanted = (now << MESSAGE_ID_CHANCE_BITS)
            | i64::from(u32::from_be_bytes(chance) >> (32 - MESSAGE_ID_CHANCE_BITS));
        let next = |last: i64| wanted.max(last.saturating_add(1));
        self.inner
            .last_message_id
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)))
            .map_or(wanted, next)
    }

    /// Notes what became of an entry that was queued.
    #[must_use]
    pub fn set_message_state(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        seq: i64,
        state: &str,
    ) -> Write {
        Write::new(SET_STATE, vec![account.as_str().into(), follower.into(), seq.into(), state.into()])
    }

    /// Says more of an entry than was known when it was added.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn set_message_content(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        seq: i64,
        content: &Personal,
    ) -> Result<Write, StoreError> {
        let row = message_row(account, follower, seq);
        let sealed = self.vault().seal(CONTENT, &row, content.reveal().as_bytes())?;
        let args = vec![account.as_str().into(), follower.into(), seq.into(), sealed.into()];
        Ok(Write::new(SET_CONTENT, args))
    }

    /// Removes the whole log of a follower.
    #[must_use]
    pub fn erase_messages(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE_MESSAGES, vec![account.as_str().into(), follower.into()])
    }
}

pub(super) fn message_row(account: &AccountId, follower: FollowerKey, seq: i64) -> Vec<u8> {
    let mut row = follower_row(account, follower);
    row.extend_from_slice(&seq.to_be_bytes());
    row
}
