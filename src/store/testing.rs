//! Fresh databases for tests: an embedded file, and a PostgreSQL database of its own when
//! `WEIKEFU_TEST_POSTGRES` names a server (the test command starts one).

use std::sync::{Arc, OnceLock};

use futures::future::BoxFuture;
use sqlx::{AssertSqlSafe, Connection as _};
use zeroize::Zeroizing;

use super::{Commit, CommitError, Statement, Store, StoreError, Write, outbox};
use crate::clock::{ManualClock, SeededRandom, SharedRandom, SystemRandom};
use crate::domain::alert_settings::AlertSettings;
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::{Card, CardTail};
use crate::domain::ids::CustomerId;
use crate::domain::secret::{Personal, Secret};
use crate::domain::time::{BeijingDay, UnixMs};
use crate::keys::SoftKeys;

/// A migrated, empty store with a clock that the test moves.
pub(crate) struct TestStore {
    pub(crate) store: Store,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) name: &'static str,
    url: Secret,
    folder: Option<tempfile::TempDir>,
}

impl TestStore {
    /// Where it is, for another instance on it. The master key is 32 times 42.
    pub(crate) fn url(&self) -> Secret {
        self.url.clone()
    }

    /// Every byte of the embedded database, its write-ahead log included; nothing for a server's.
    pub(crate) fn file_bytes(&self) -> Vec<u8> {
        let Some(folder) = &self.folder else { return Vec::new() };
        let files = std::fs::read_dir(folder.path()).expect("the folder of the test");
        files.flat_map(|file| std::fs::read(file.expect("a file").path()).expect("its bytes")).collect()
    }
}

const SIGNED_IN: Statement = Statement {
    name: "SIGNED_IN",
    sql: "INSERT INTO staff_session (token_hash, name, created_ms, active_ms) VALUES ($1, $2, $3, $3)",
};

impl Store {
    /// Signs somebody in without a password.
    pub(crate) fn insert_staff_session(&self, token_hash: [u8; 32], name: &str) -> Write {
        Write::new(SIGNED_IN, vec![token_hash.into(), name.into(), self.clock().now().into()])
    }
}

/// 2026-11-22 10:00 in Beijing.
pub(crate) const START: UnixMs = UnixMs(1_795_312_800_000);

/// The middle of a day.
pub(crate) fn noon_of(day: BeijingDay) -> UnixMs {
    day.begins() + std::time::Duration::from_secs(12 * 3600)
}

/// One store for each engine that is at hand: always SQLite, and PostgreSQL where a server is named.
pub(crate) async fn stores() -> Vec<TestStore> {
    let folder = tempfile::tempdir().expect("a folder for the test");
    let url = format!("sqlite://{}", folder.path().join("test.db").display());
    let mut stores = vec![open("sqlite", url, Some(folder)).await];
    if let Some(url) = fresh_postgres().await {
        stores.push(open("postgres", url, None).await);
    }
    stores
}

async fn open(name: &'static str, url: String, folder: Option<tempfile::TempDir>) -> TestStore {
    let clock = Arc::new(ManualClock::new(START));
    let random: SharedRandom = Arc::new(SystemRandom);
    let keys = SoftKeys::new(Zeroizing::new([42; 32]), vec![], Arc::new(SeededRandom::new(1)));
    let url = Secret::new(url);
    let store = Store::open(&url, &keys, clock.clone(), random).await.expect("a fresh store opens");
    TestStore { store, clock, name, url, folder }
}

/// Addresses of databases that nothing was ever written to, one for each engine that is at hand.
pub(crate) async fn empty_databases(folder: &tempfile::TempDir) -> Vec<Secret> {
    let file = crate::clock::new_token(&crate::clock::SystemRandom);
    let mut urls = vec![Secret::new(format!("sqlite://{}", folder.path().join(file).display()))];
    urls.extend(fresh_postgres().await.map(Secret::new));
    urls
}

/// Creates a database of its own on the server that `WEIKEFU_TEST_POSTGRES` names.
async fn fresh_postgres() -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "tests learn of their server by the environment")]
    let server = std::env::var("WEIKEFU_TEST_POSTGRES").ok()?;
    // Not by process: a server that outlives many runs sees the same process numbers again.
    let name = format!("unit_{}", crate::clock::new_token(&crate::clock::SystemRandom).split_at(24).0);
    let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres"))
        .await
        .expect("the named PostgreSQL answers");
    sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .expect("a database of its own");
    Some(format!("{server}/{name}"))
}

/// Somebody who bound himself on the page, with one card: 金卡, tail 1234.
pub(crate) fn bound(customer: &str, name_masked: &str, bound: UnixMs) -> Binding {
    Binding {
        customer: CustomerId::parse(customer).expect("a customer's reference"),
        name_masked: Personal::new(name_masked),
        cards: vec![Card {
            card_id: "K1".to_owned(),
            tail: CardTail::parse("1234").expect("four digits"),
            product: "金卡".to_owned(),
        }],
        default_card: "K1".to_owned(),
        alerts: true,
        hide_amounts: false,
        settings: AlertSettings::default(),
        bound,
        source: BindingSource::Page,
    }
}

/// What a test lets become of one use of the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All is well.
    Done,
    /// Nothing happened, and that is said.
    Failed,
    /// A commit stands, and its answer is lost.
    Unconfirmed,
    /// A commit stands, and its answer never comes.
    Unheard,
}

/// What a commit that stands did with rows of the outbox, by which lease.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) outbox_id: String,
    pub(crate) owner: String,
    pub(crate) epoch: i64,
    /// Its end; `None`: it was put off.
    pub(crate) state: Option<String>,
}

/// Stands between one process and its database.
pub(crate) trait Door: Send + Sync {
    /// A read or, with its writes, a commit wants to begin; ready when it may.
    fn arrive(&self, statement: &'static str) -> BoxFuture<'static, Fate>;
    /// What had begun is over.
    fn leave(&self);
    /// A commit stands.
    fn stands(&self, settled: Vec<Settled>);
    /// Whether the bug is planted that this test is to find.
    fn forgets_the_epoch(&self) -> bool;
    /// The clock of the database.
    fn now(&self) -> UnixMs;
}

/// One use of the database that goes on.
pub(super) struct Turn(Option<Arc<dyn Door>>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.iter().for_each(|door| door.leave());
    }
}

impl Store {
    /// From now on each use of the database goes through this door, and there are other processes on it.
    pub(crate) fn behind(&self, door: Arc<dyn Door>) {
        assert!(self.inner.door.set(door).is_ok(), "one door");
    }

    pub(super) fn now_behind_the_door(&self) -> Option<UnixMs> {
        self.inner.door.get().map(|door| door.now())
    }

    pub(super) async fn turn_to_read(&self, statement: Statement) -> Result<Turn, StoreError> {
        let Some(door) = self.inner.door.get() else { return Ok(Turn(None)) };
        let fate = door.arrive(statement.name).await;
        let turn = Turn(Some(door.clone()));
        if fate == Fate::Failed { Err(StoreError::Closed) } else { Ok(turn) }
    }

    pub(super) async fn commit_through(
        &self,
        door: &Arc<dyn Door>,
        mut commit: Commit,
    ) -> Result<(), CommitError> {
        let name = commit.writes.first().map_or("nothing", |write| write.statement.name);
        let fate = door.arrive(name).await;
        let turn = Turn(Some(door.clone()));
        if fate == Fate::Failed {
            return Err(StoreError::Closed.into());
        }
        if door.forgets_the_epoch() {
            commit.writes.iter_mut().for_each(forget_the_epoch);
        }
        let settled = commit.writes.iter().filter_map(settled).collect();
        let outcome = self.inner.writer.commit(commit).await;
        if outcome.is_ok() {
            door.stands(settled);
        }
        drop(turn);
        match fate {
            Fate::Unheard => std::future::pending().await,
            Fate::Unconfirmed => Err(StoreError::Unconfirmed(Arc::new(sqlx::Error::WorkerCrashed)).into()),
            Fate::Done | Fate::Failed => outcome,
        }
    }
}

fn settled(write: &Write) -> Option<Settled> {
    let is = |statement: &Statement| write.statement.name == statement.name && write.args.len() > 6;
    let settles = is(&outbox::SETTLE) && write.statement.sql.starts_with("UPDATE outbox");
    if !settles && !is(&outbox::DELAY) {
        return None;
    }
    let text = |at: usize| match write.args.get(at) {
        Some(super::Value::Text(text)) => text.clone(),
        _ => None,
    };
    let Some(super::Value::Int(Some(epoch))) = write.args.get(2) else { return None };
    let state = settles.then(|| text(3)).flatten();
    Some(Settled { outbox_id: text(0)?, owner: text(1)?, epoch: *epoch, state })
}

/// Settles and puts off whoever holds the partition now: the fault that the simulation must find.
fn forget_the_epoch(write: &mut Write) {
    static SETTLE: OnceLock<&str> = OnceLock::new();
    static DELAY: OnceLock<&str> = OnceLock::new();
    let without = |sql: &'static str| -> &'static str {
        let (kept, _) = sql.split_once(" AND (SELECT l.epoch FROM part_lease").expect("the check is there");
        Box::leak(kept.to_owned().into_boxed_str())
    };
    for (statement, made) in [(outbox::SETTLE, &SETTLE), (outbox::DELAY, &DELAY)] {
        if write.statement.sql == statement.sql {
            write.statement.sql = made.get_or_init(|| without(statement.sql));
        }
    }
}
