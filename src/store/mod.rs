//! The only SQL. SQLite and PostgreSQL behind one door, one text for both wherever it travels.
//!
//! * Reads are [`Store::fetch`] with a constant statement.
//! * A change is a [`Commit`]: data that says what must be true and what shall be written. A writer groups
//!   commits of many callers into one durable transaction; one that meets a [`Conflict`] is undone alone.
//! * What a push needs is one read, [`Store::known`], gathered like commits.
//! * Personal columns are sealed by the [`Vault`] before they come here, and found by its keyed hashes.

mod address;
mod audit;
pub mod backup;
mod conversation;
mod database;
mod desk;
mod desk_media;
mod desk_report;
mod desk_supervision;
mod desk_team;
mod durability;
mod factor;
mod follower;
mod h5;
mod held;
mod identity;
mod jobs;
mod known;
mod log_days;
mod marketing;
mod notice;
mod outbox;
mod parts;
mod purchase;
mod push;
mod quota;
mod review;
mod rows;
mod sent;
mod session;
mod staff;
mod step_up;
mod subscription;
pub mod transfer;
mod value;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use sqlx::SqlSafeStr as _;
use zeroize::Zeroizing;

pub use audit::{AuditFault, AuditLine, AuditReport};
pub use conversation::{Channel, Conversation, Direction, MESSAGES_MAX, Message};
pub use desk::{Case, Touched};
pub use desk_media::{StoredMedia, WantedMedia};
pub use desk_report::{CountedCase, GroupNow, REPORT_CASES_MAX};
pub use desk_supervision::{ContactDay, JudgedAgent, Judgement};
pub use desk_team::{Complaint, DeskAgent, Present};
pub use durability::Durability;
pub use factor::FactorRow;
pub use follower::Resume;
pub use h5::{StoredJourney, StoredSession};
pub use held::{Bound, HeldFor, HeldRow};
pub use identity::{APPLICATIONS_MAX, Application, Consent, StoredDraft};
pub use jobs::TimedJob;
pub use known::Known;
pub use log_days::{Kept, Tidied};
pub use marketing::{MarketingChoice, ShownOffer};
pub use notice::{CallKey, Family, Looked, NewNotice, NoticeRow, SeenCall};
pub use outbox::{Address, Lane, LeftIntent, NewOutbox, OutChannel, OutboxRow};
pub use parts::{Fence, Lease};
pub use purchase::OwedCall;
pub use push::{Claim, OpenPush, PushOutcome, SeenPush};
pub use quota::{QuotaDay, QuotaUse};
pub use review::Review;
pub use sent::{Attempt, PastAttempt, SentRow};
pub use staff::{Attempts, ListedStaff, SessionRow, StaffRow};
pub use subscription::SubscriptionConsent;
pub use value::{Commit, Conflict, Expect, Row, Statement, Value, Write};

use crate::clock::{SharedClock, SharedRandom};
use crate::domain::ids::{AccountId, FollowerKey, Openid};
use crate::domain::secret::Secret;
use crate::keys::{Keys, KeysError, Vault};
use database::Database;
use value::statements;
use writer::Writer;

/// Why the database could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The address is neither `sqlite://` nor `postgres://`.
    #[error("database.url must begin with sqlite:// or postgres://")]
    Address,
    /// More hosts than are looked through.
    #[error("database.url names more than {0} hosts")]
    Hosts(usize),
    /// A pooler of an unknown kind.
    #[error(
        "database.url: the only `pooler` is `transaction`, for PgBouncer with pool_mode = transaction; else leave it out"
    )]
    Pooler,
    /// Migrations are missing, and there is a pooler in the way.
    #[error(
        "{0} migrations are missing, and they are not run through a pooler: run `weikefu migrate` with the address of the \
         database itself, then start again"
    )]
    Unmigrated(usize),
    /// Opening or migrating failed.
    #[error("cannot open the database: {0}")]
    Open(Arc<sqlx::Error>),
    /// A migration failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(Arc<sqlx::migrate::MigrateError>),
    /// A statement failed; nothing of its commit stands.
    #[error("statement {statement}: {source}")]
    Statement {
        /// Its name.
        statement: &'static str,
        /// What the driver said.
        source: Arc<sqlx::Error>,
    },
    /// A stored value no longer parses.
    #[error("statement {statement}: column {column} holds something else than expected")]
    Decode {
        /// Its name.
        statement: &'static str,
        /// Position from 0.
        column: usize,
    },
    /// The final COMMIT failed: it may or may not stand. Keys make a second try safe.
    #[error("the database did not confirm the commit: {0}")]
    Unconfirmed(Arc<sqlx::Error>),
    /// Too many commits wait already.
    #[error("the database is too slow: {0} commits are waiting")]
    Overloaded(usize),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// A value cannot be written as JSON, so there is nothing to store.
    #[error("a value cannot be written as JSON: {0}")]
    Encode(Arc<serde_json::Error>),
    /// A key is missing or a sealed value does not open.
    #[error(transparent)]
    Keys(Arc<KeysError>),
}

impl From<KeysError> for StoreError {
    fn from(error: KeysError) -> Self {
        Self::Keys(Arc::new(error))
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Encode(Arc::new(error))
    }
}

/// How a commit ended when it does not stand.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Somebody else was first; read again and decide anew.
    #[error("the commit met a conflict: {0:?}")]
    Conflict(Conflict),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeysError> for CommitError {
    fn from(error: KeysError) -> Self {
        Self::Store(error.into())
    }
}

/// Which engine is behind the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Embedded: one process owns the file.
    Sqlite,
    /// Shared by any number of processes.
    Postgres,
}

statements! {
    DATA_KEYS = "SELECT key_id, purpose, wrapped FROM data_key ORDER BY key_id";
    INSERT_DATA_KEY = "INSERT INTO data_key (key_id, purpose, wrapped, created_ms) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (key_id) DO NOTHING";
    REWRAP_DATA_KEY = "UPDATE data_key SET wrapped = $2 WHERE key_id = $1 AND wrapped = $3";
    PING = "SELECT count(*) FROM data_key";
}

/// The database, migrated and unlocked. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    writer: Writer,
    vault: Vault,
    clock: SharedClock,
    random: SharedRandom,
    last_message_id: AtomicI64,
    #[cfg(test)]
    door: std::sync::OnceLock<Arc<dyn testing::Door>>,
}

impl Store {
    /// Opens the database at `url`, applies migrations, and unlocks its data keys (making them on first start).
    ///
    /// # Errors
    /// When the database cannot be opened, migrated or unlocked.
    pub async fn open(
        url: &Secret,
        keys: &dyn Keys,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, StoreError> {
        let database = Database::open(url).await?;
        database.migrate().await?;
        let writer = Writer::start(&database).await?;
        ensure_data_keys(&writer, keys, &clock, &random).await?;
        rewrap(&database, &writer, keys).await?;
        let vault = unlock(&database, keys, random.clone()).await?;
        writer.chain_with(audit::ChainKey::of(&vault).ok_or(StoreError::Closed)?);
        Ok(Self {
            inner: Arc::new(Inner {
                database,
                writer,
                vault,
                clock,
                random,
                last_message_id: AtomicI64::new(0),
                #[cfg(test)]
                door: std::sync::OnceLock::new(),
            }),
        })
    }

    /// Applies migrations only (`weikefu migrate`).
    ///
    /// # Errors
    /// When the database cannot be opened or migrated.
    pub async fn migrate(url: &Secret) -> Result<(), StoreError> {
        Database::open(url).await?.migrate().await
    }

    /// Which engine this is.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.inner.database.engine()
    }

    /// Whether this process is alone on its database, so that whoever worked on it before is gone.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        #[cfg(test)]
        if self.inner.door.get().is_some() {
            return false;
        }
        self.engine() == Engine::Sqlite
    }

    /// Sealing, opening and blind indexes.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.inner.vault
    }

    /// The clock that rows are stamped with.
    #[must_use]
    pub fn clock(&self) -> &SharedClock {
        &self.inner.clock
    }

    /// The randomness that ids are made of.
    #[must_use]
    pub fn random(&self) -> &SharedRandom {
        &self.inner.random
    }

    /// A new time-ordered id.
    #[must_use]
    pub fn new_id(&self) -> String {
        crate::clock::new_id(self.inner.clock.as_ref(), self.inner.random.as_ref())
    }

    /// The house's key of a follower.
    #[must_use]
    pub fn follower_key(&self, app_id: &str, openid: &Openid) -> FollowerKey {
        FollowerKey::new(self.inner.vault.index("follower", &[app_id.as_bytes(), openid.reveal().as_bytes()]))
    }

    /// Reads rows.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fetch(&self, statement: Statement, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        #[cfg(test)]
        let _turn = self.turn_to_read(statement).await?;
        self.inner.database.fetch(statement, args).await
    }

    /// Reads at most one row.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fetch_one(&self, statement: Statement, args: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.fetch(statement, args).await?.into_iter().next())
    }

    /// Reads by a statement over rows, which asks for all of `asked` at once; nothing where it is no such statement,
    /// which a test excludes.
    async fn fetch_each(&self, statement: Statement, asked: &[Vec<Value>]) -> Result<Vec<Row>, StoreError> {
        let Some(over) = statement.over_rows() else { return Ok(vec![]) };
        #[cfg(test)]
        let _turn = self.turn_to_read(statement).await?;
        let (mut rows, mut left) = (Vec::new(), asked);
        while !left.is_empty() {
            let (now, later) = left.split_at(rows::chunk(left.len()));
            let text = sqlx::AssertSqlSafe(over.text(self.engine(), now.len()));
            let args: Vec<Value> = now.iter().flatten().cloned().collect();
            rows.extend(self.inner.database.fetch_text(statement, text.into_sql_str(), &args).await?);
            left = later;
        }
        Ok(rows)
    }

    /// Makes a commit stand, durably, or says why it does not.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when a condition of it does not hold; then nothing of it stands.
    pub async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        #[cfg(test)]
        if let Some(door) = self.inner.door.get() {
            return self.commit_through(door, commit).await;
        }
        self.inner.writer.commit(commit).await
    }

    /// Whether the database answers; for readiness.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.fetch(PING, vec![]).await.map(drop)
    }

    /// Connections that read: idle ones, and busy ones.
    #[must_use]
    pub fn readers(&self) -> (usize, usize) {
        self.inner.database.readers()
    }

    /// Commits that wait, lane by lane.
    #[must_use]
    pub fn waiting_commits(&self) -> Vec<usize> {
        self.inner.writer.waiting()
    }

    /// Waits for waiting commits, then closes every connection.
    pub async fn close(&self) {
        self.inner.writer.close().await;
        self.inner.database.close().await;
    }
}

/// The row part of a sealed value's authentication: account and follower.
#[must_use]
pub fn follower_row(account: &AccountId, follower: FollowerKey) -> Vec<u8> {
    let mut row = account.as_str().as_bytes().to_vec();
    row.push(0);
    row.extend_from_slice(follower.as_bytes());
    row
}

async fn ensure_data_keys(
    writer: &Writer,
    keys: &dyn Keys,
    clock: &SharedClock,
    random: &SharedRandom,
) -> Result<(), StoreError> {
    let mut commit = Commit::new(0);
    for (id, purpose) in [(1_i64, "index"), (2_i64, "seal")] {
        let mut key = Zeroizing::new([0_u8; 32]);
        random.fill(&mut key[..]);
        let wrapped = keys.wrap(&key)?;
        commit.push(Write::new(
            INSERT_DATA_KEY,
            vec![id.into(), purpose.into(), wrapped.into(), clock.now().into()],
        ));
    }
    match writer.commit(commit).await {
        Ok(()) => Ok(()),
        Err(CommitError::Store(error)) => Err(error),
        Err(CommitError::Conflict(_)) => Err(StoreError::Closed),
    }
}

/// Wraps anew, with the master key of today, what an older one wraps: then that one is not needed any more. What is
/// sealed stays as it is.
async fn rewrap(database: &Database, writer: &Writer, keys: &dyn Keys) -> Result<(), StoreError> {
    for row in database.fetch(DATA_KEYS, vec![]).await? {
        let (id, wrapped) = (row.int(0)?, row.blob(2)?);
        if keys.is_current(wrapped) {
            continue;
        }
        let anew = keys.wrap(&*keys.unwrap(id, wrapped)?)?;
        let write = Write::new(REWRAP_DATA_KEY, vec![id.into(), anew.into(), wrapped.to_vec().into()]);
        match writer.commit(Commit::new(0).with(write)).await {
            Ok(()) => tracing::info!(id, "a data key is under the new master key now"),
            Err(CommitError::Store(error)) => return Err(error),
            Err(CommitError::Conflict(_)) => return Err(StoreError::Closed),
        }
    }
    Ok(())
}

async fn unlock(database: &Database, keys: &dyn Keys, random: SharedRandom) -> Result<Vault, StoreError> {
    let mut sealing = BTreeMap::new();
    let mut index = None;
    for row in database.fetch(DATA_KEYS, vec![]).await? {
        let id = row.int(0)?;
        let key = keys.unwrap(id, row.blob(2)?)?;
        match row.text(1)? {
            "seal" => {
                sealing.insert(id, key);
            }
            "index" => index = Some(key),
            _ => return Err(StoreError::Decode { statement: DATA_KEYS.name, column: 1 }),
        }
    }
    let missing = || StoreError::from(KeysError::Unwrap(0));
    Vault::new(sealing, index.ok_or_else(missing)?, random).ok_or_else(missing)
}

/// Every statement of the store, for the test that prepares them on both databases.
#[must_use]
pub fn all_statements() -> Vec<Statement> {
    [
        ALL,
        audit::ALL,
        conversation::ALL,
        desk::ALL,
        factor::ALL,
        desk_media::ALL,
        desk_report::ALL,
        desk_supervision::ALL,
        desk_team::ALL,
        follower::ALL,
        h5::ALL,
        held::ALL,
        identity::ALL,
        jobs::ALL,
        log_days::ALL,
        known::ALL,
        marketing::ALL,
        notice::ALL,
        outbox::ALL,
        parts::ALL,
        purchase::ALL,
        push::ALL,
        quota::ALL,
        review::ALL,
        sent::ALL,
        staff::ALL,
        step_up::ALL,
        subscription::ALL,
    ]
    .concat()
}

#[cfg(test)]
pub(crate) mod testing;

#[cfg(test)]
mod tests;
