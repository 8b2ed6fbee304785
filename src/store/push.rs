//! Pushes: the deduplication key, the turn, and the lease of one that is being worked on (P1, P2, P5).
//!
//! A decision without outside calls claims and settles in one commit. Before an outside call the push is
//! *taken*: a row in `open_push` names owner, epoch and lease, and holds the push itself (sealed), so that
//! another owner can go on where the first one died. Leases use our clock; a skewed one costs at most a second
//! call to the core under the same idempotency key, because every commit names the epoch.

use zeroize::Zeroizing;

use super::conversation::entries_above;
use super::value::statements;
use super::{Conflict, Row, Store, StoreError, Write};
use crate::domain::ids::{AccountId, FollowerKey, PushKey};
use crate::domain::time::UnixMs;
use crate::keys::Place;

const PUSH: Place = Place("open_push.push");

statements! {
    CLAIM = "INSERT INTO push (account, push_key, fkey, turn, outcome, received_ms, reply_seq) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, push_key) DO NOTHING";
    FIND = "SELECT fkey, outcome, reply_seq FROM push WHERE account = $1 AND push_key = $2";
    SET_OUTCOME = "UPDATE push SET outcome = $3, reply_seq = $4 WHERE account = $1 AND push_key = $2";
    TAKE = "INSERT INTO open_push (account, push_key, fkey, turn, owed, owner, epoch, lease_until_ms, received_ms, \
        push_sealed) VALUES ($1, $2, $3, $4, 0, $5, 1, $6, $7, $8) ON CONFLICT (account, push_key) DO NOTHING";
    FIND_OPEN = "SELECT account, push_key, fkey, turn, owed, owner, epoch, lease_until_ms, received_ms, push_sealed \
        FROM open_push WHERE account = $1 AND push_key = $2";
    EXPIRED = "SELECT account, push_key, fkey, turn, owed, owner, epoch, lease_until_ms, received_ms, push_sealed \
        FROM open_push WHERE lease_until_ms < $1 AND (received_ms < $2 OR owed = 1) ORDER BY lease_until_ms LIMIT 64";
    RENEW = "UPDATE open_push SET lease_until_ms = $5 WHERE account = $1 AND push_key = $2 AND owner = $3 AND epoch = $4";
    TAKE_OVER = "UPDATE open_push SET owner = $4, epoch = epoch + 1, lease_until_ms = $5 \
        WHERE account = $1 AND push_key = $2 AND epoch = $3 AND lease_until_ms < $6";
    OWE = "UPDATE open_push SET owed = 1 WHERE account = $1 AND push_key = $2 AND owed = 0";
    OWE_REPLY = "UPDATE push SET outcome = 'owed', reply_seq = NULL \
        WHERE account = $1 AND push_key = $2 AND outcome = 'replied' AND reply_seq = $3";
    QUEUE_REPLY = entries_above!("UPDATE message SET channel = 'customer_service', state = 'queued' \
        WHERE message_id = (SELECT e.message_id FROM entry e WHERE e.seq = $3)");
    SILENCE = "UPDATE push SET outcome = 'silent', reply_seq = NULL WHERE account = $1 AND push_key IN \
        (SELECT push_key FROM open_push WHERE account = $1 AND fkey = $2)";
    DROP = "DELETE FROM open_push WHERE account = $1 AND fkey = $2";
    SETTLE = "DELETE FROM open_push WHERE account = $1 AND push_key = $2 AND owner = $3 AND epoch = $4 AND owed = $5";
    BEFORE = "SELECT count(*) FROM open_push WHERE account = $1 AND fkey = $2 AND turn < $3 AND lease_until_ms >= $4";
    ABANDON_ALL = "UPDATE open_push SET lease_until_ms = 0";
    FORGET = "DELETE FROM push WHERE (account, push_key) IN (SELECT account, push_key FROM push \
        WHERE received_ms < $1 AND outcome <> 'taken' ORDER BY received_ms LIMIT $2)";
    COUNT_OLD = "SELECT count(*) FROM (SELECT push_key FROM push WHERE received_ms < $1 AND outcome <> 'taken' \
        LIMIT $2) AS old";
}

/// How a push ended, as far as it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushOutcome {
    /// Somebody is working on it.
    Taken,
    /// `success` left; the answer follows by customer service.
    Owed,
    /// Answered on the open connection; the reply stands in the log.
    Replied,
    /// Answered with `success`: there is nothing to say.
    Silent,
}

impl PushOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Owed => "owed",
            Self::Replied => "replied",
            Self::Silent => "silent",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Taken, Self::Owed, Self::Replied, Self::Silent].into_iter().find(|one| one.name() == name)
    }
}

/// The first sight of a key.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The key.
    pub key: &'a PushKey,
    /// Whose push it is.
    pub follower: FollowerKey,
    /// Its place among the follower's pushes; zero for pushes that are no turn (receipts).
    pub turn: i64,
    /// How it ended, or that it is taken.
    pub outcome: PushOutcome,
    /// When the first delivery came.
    pub received: UnixMs,
    /// Where the reply stands in the log.
    pub reply_seq: Option<i64>,
}

/// What is known of a key that was seen before.
#[derive(Clone, Copy, Debug)]
pub struct SeenPush {
    /// Whose push it is.
    pub follower: FollowerKey,
    /// How it ended.
    pub outcome: PushOutcome,
    /// Where its reply stands in the log.
    pub reply_seq: Option<i64>,
}

impl SeenPush {
    /// Reads follower, outcome and place of the reply, from a column on.
    pub(super) fn read(row: &Row, first: usize) -> Result<Self, StoreError> {
        Ok(Self {
            follower: row.follower(first)?,
            outcome: PushOutcome::parse(row.text(first + 1)?)
                .ok_or(StoreError::Decode { statement: row.statement, column: first + 1 })?,
            reply_seq: row.int_opt(first + 2)?,
        })
    }
}

/// A push that is being worked on.
#[derive(Clone, Debug)]
pub struct OpenPush {
    /// The account.
    pub account: AccountId,
    /// Its key.
    pub key: PushKey,
    /// The follower.
    pub follower: FollowerKey,
    /// Its place among the follower's pushes.
    pub turn: i64,
    /// Whether `success` has left.
    pub owed: bool,
    /// The process that works on it.
    pub owner: String,
    /// Rises with each change of owner.
    pub epoch: i64,
    /// When the owner counts as dead.
    pub lease_until: UnixMs,
    /// When the first delivery came.
    pub received: UnixMs,
    /// The push and what else its next owner must know, as JSON. Empty where it cannot be opened.
    pub push: Zeroizing<Vec<u8>>,
}

impl Store {
    /// Claims a key with its outcome; [`Conflict::Duplicate`] when it was seen before.
    #[must_use]
    pub fn claim_push(&self, claim: &Claim<'_>) -> Write {
        let args = vec![
            claim.account.as_str().into(),
            claim.key.as_str().into(),
            claim.follower.into(),
            claim.turn.into(),
            claim.outcome.name().into(),
            claim.received.into(),
            claim.reply_seq.into(),
        ];
        Write::one(CLAIM, args, Conflict::Duplicate)
    }

    /// What became of a key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn seen_push(
        &self,
        account: &AccountId,
        key: &PushKey,
    ) -> Result<Option<SeenPush>, StoreError> {
        let row = self.fetch_one(FIND, vec![account.as_str().into(), key.as_str().into()]).await?;
        row.map(|row| SeenPush::read(&row, 0)).transpose()
    }

    /// Opens a push for work under a lease. Goes with a claim as [`PushOutcome::Taken`] in one commit.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn take_push(&self, open: &OpenPush) -> Result<Write, StoreError> {
        let sealed = self.vault().seal(PUSH, &push_row(&open.account, &open.key), &open.push)?;
        let args = vec![
            open.account.as_str().into(),
            open.key.as_str().into(),
            open.follower.into(),
            open.turn.into(),
            open.owner.as_str().into(),
            open.lease_until.into(),
            open.received.into(),
            sealed.into(),
        ];
        Ok(Write::one(TAKE, args, Conflict::Duplicate))
    }

    /// Reads a push that is being worked on.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn open_push(
        &self,
        account: &AccountId,
        key: &PushKey,
    ) -> Result<Option<OpenPush>, StoreError> {
        let row = self.fetch_one(FIND_OPEN, vec![account.as_str().into(), key.as_str().into()]).await?;
        row.map(|row| self.read_open_push(&row)).transpose()
    }

    /// Pushes whose owner is dead and that nobody will deliver again, at most 64: those first received before
    /// `undelivered_since`, and those that are owed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn expired_pushes(
        &self,
        now: UnixMs,
        undelivered_since: UnixMs,
    ) -> Result<Vec<OpenPush>, StoreError> {
        let rows = self.fetch(EXPIRED, vec![now.into(), undelivered_since.into()]).await?;
        rows.iter().map(|row| self.read_open_push(row)).collect()
    }

    fn read_open_push(&self, row: &Row) -> Result<OpenPush, StoreError> {
        let account = AccountId::new(row.text(0)?);
        let key = PushKey::new(row.text(1)?);
        // One damaged row must not hide the others. Its owners find nothing in it, and give it up in the end.
        let push = self.vault().open(PUSH, &push_row(&account, &key), row.blob(9)?).unwrap_or_else(|error| {
            tracing::error!(
                %account,
                %error,
                retry = "never",
                "a stored push does not open: its customer is told that it failed. Was a master key taken away?"
            );
            Zeroizing::default()
        });
        Ok(OpenPush {
            account,
            key,
            follower: row.follower(2)?,
            turn: row.int(3)?,
            owed: row.flag(4)?,
            owner: row.text(5)?.to_owned(),
            epoch: row.int(6)?,
            lease_until: row.time(7)?,
            received: row.time(8)?,
            push,
        })
    }

    /// Keeps the lease alive; [`Conflict::Lost`] when another owner has it.
    #[must_use]
    pub fn renew_push(&self, open: &OpenPush, until: UnixMs) -> Write {
        let args = vec![
            open.account.as_str().into(),
            open.key.as_str().into(),
            open.owner.as_str().into(),
            open.epoch.into(),
            until.into(),
        ];
        Write::one(RENEW, args, Conflict::Lost)
    }

    /// Takes over from a dead owner; [`Conflict::Lost`] when he lives or another was faster.
    #[must_use]
    pub fn take_over_push(&self, dead: &OpenPush, owner: &str, until: UnixMs, now: UnixMs) -> Write {
        let args = vec![
            dead.account.as_str().into(),
            dead.key.as_str().into(),
            dead.epoch.into(),
            owner.into(),
            until.into(),
            now.into(),
        ];
        Write::one(TAKE_OVER, args, Conflict::Lost)
    }

    /// Notes, before `success` leaves, that the answer follows by customer service. [`Conflict::Lost`] when it
    /// was settled or is owed already.
    #[must_use]
    pub fn owe_push(&self, account: &AccountId, key: &PushKey) -> [Write; 2] {
        let name = || vec![account.as_str().into(), key.as_str().into()];
        let mut outcome = name();
        outcome.extend([PushOutcome::Owed.name().into(), None::<i64>.into()]);
        [Write::one(OWE, name(), Conflict::Lost), Write::new(SET_OUTCOME, outcome)]
    }

    /// Notes that a reply which was stored for the open connection follows by customer service after all.
    /// [`Conflict::Lost`] when it does already.
    #[must_use]
    pub fn owe_reply(
        &self,
        account: &AccountId,
        key: &PushKey,
        follower: FollowerKey,
        reply_seq: i64,
    ) -> [Write; 2] {
        let owe = vec![account.as_str().into(), key.as_str().into(), reply_seq.into()];
        let queue = vec![account.as_str().into(), follower.into(), reply_seq.into()];
        [Write::one(OWE_REPLY, owe, Conflict::Lost), Write::new(QUEUE_REPLY, queue)]
    }

    /// Drops the pushes of a follower that are in work, with what he wrote: he left. Their owners lose them.
    #[must_use]
    pub fn drop_pushes(&self, account: &AccountId, follower: FollowerKey) -> [Write; 2] {
        let name = || vec![account.as_str().into(), follower.into()];
        [Write::new(SILENCE, name()), Write::new(DROP, name())]
    }

    /// Settles a push under its owner and epoch, as it stands: owed or not. [`Conflict::Lost`] when either changed.
    #[must_use]
    pub fn settle_push(&self, open: &OpenPush, outcome: PushOutcome, reply_seq: Option<i64>) -> [Write; 2] {
        let name = || vec![open.account.as_str().into(), open.key.as_str().into()];
        let mut settle = name();
        settle.extend([open.owner.as_str().into(), open.epoch.into(), open.owed.into()]);
        let mut set = name();
        set.extend([outcome.name().into(), reply_seq.into()]);
        [Write::one(SETTLE, settle, Conflict::Lost), Write::new(SET_OUTCOME, set)]
    }

    /// How many earlier turns of a follower have a living owner.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn turns_before(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        turn: i64,
        now: UnixMs,
    ) -> Result<i64, StoreError> {
        let args = vec![account.as_str().into(), follower.into(), turn.into(), now.into()];
        self.fetch_one(BEFORE, args).await?.map_or(Ok(0), |row| row.int(0))
    }

    /// Declares every owner dead. For the start of an embedded server, which is alone on its database.
    #[must_use]
    pub fn abandon_pushes(&self) -> Write {
        Write::new(ABANDON_ALL, vec![])
    }

    /// Forgets settled keys first received before a moment, the oldest first, at most this many.
    #[must_use]
    pub fn forget_pushes(&self, before: UnixMs, keys_max: usize) -> Write {
        Write::new(FORGET, vec![before.into(), super::outbox::count(keys_max).into()])
    }

    /// How many keys [`Store::forget_pushes`] would forget.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_old_pushes(&self, before: UnixMs, keys_max: usize) -> Result<usize, StoreError> {
        let args = vec![before.into(), super::outbox::count(keys_max).into()];
        let row = self.fetch_one(COUNT_OLD, args).await?;
        Ok(usize::try_from(row.map_or(Ok(0), |row| row.int(0))?).unwrap_or(0))
    }
}

fn push_row(account: &AccountId, key: &PushKey) -> Vec<u8> {
    let mut row = account.as_str().as_bytes().to_vec();
    row.push(0);
    row.extend_from_slice(key.as_str().as_bytes());
    row
}
