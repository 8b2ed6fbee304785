//! Fresh databases for tests: an embedded file, and a PostgreSQL database of its own when
//! `WEIKEFU_TEST_POSTGRES` names a server (the test command starts one).

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _};
use zeroize::Zeroizing;

use super::{Statement, Store, Write};
use crate::clock::{ManualClock, SeededRandom, SharedRandom, SystemRandom};
use crate::domain::alert_settings::AlertSettings;
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::{Card, CardTail};
use crate::domain::ids::CustomerId;
use crate::domain::secret::{Personal, Secret};
use crate::domain::time::UnixMs;
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
