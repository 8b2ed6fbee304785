//! One database, one or more servers on it, WeChat's deliveries under the test's control and a core behind a gate.

use sqlx::Connection as _;
use weikefu::app::App;
use weikefu::clock::{SharedClock, SharedRandom, SystemClock, SystemRandom};
use weikefu::config::Config;
use weikefu::domain::ids::{AccountId, FollowerKey, Openid};
use weikefu::inbound::Limits;
use weikefu::keys::{SoftKeys, read_master};
use weikefu::store::{Direction, Message, Row, Statement, Store, Value};

use crate::gate::Gate;
use crate::wechat::Wechat;
use crate::world::{Engine, World};

/// A held call stays held.
const CORE_TIMEOUT_MS: u64 = 30_000;

/// What the tests look at. Columns in the order of their names.
const PUSHES: Statement = Statement {
    name: "PUSHES",
    sql: "SELECT push_key, turn, outcome, reply_seq FROM push WHERE account = $1 AND fkey = $2 ORDER BY turn",
};
const COUNTS: Statement = Statement {
    name: "COUNTS",
    sql: "SELECT (SELECT count(*) FROM push), (SELECT count(*) FROM open_push), (SELECT count(*) FROM message), \
        (SELECT count(*) FROM conversation), (SELECT count(*) FROM follower), (SELECT count(*) FROM outbox)",
};

pub(crate) struct House {
    pub(crate) world: World,
    pub(crate) gate: Gate,
    pub(crate) store: Store,
    pub(crate) config: Config,
    limits: Limits,
    pub(crate) apps: Vec<App>,
}

/// One push as the database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredPush {
    pub(crate) key: String,
    pub(crate) turn: i64,
    pub(crate) outcome: String,
    pub(crate) reply_seq: Option<i64>,
}

impl House {
    /// One server on an empty database, in safe mode.
    pub(crate) async fn open(engine: Engine) -> Self {
        Self::open_with(engine, Limits::default()).await
    }

    /// The same with other bounds.
    pub(crate) async fn open_with(engine: Engine, limits: Limits) -> Self {
        let mut house = Self::prepared(engine, limits).await;
        house.start_server().await;
        house
    }

    /// Everything but a server.
    pub(crate) async fn prepared(engine: Engine, limits: Limits) -> Self {
        weikefu::telemetry::start_metrics();
        let world = World::without_server(engine).await;
        let gate = Gate::start(&world.core_url, world.http.clone());
        let mut config = world.config.clone();
        config.core.base_url = gate.url.parse().unwrap();
        config.core.timeout_ms = CORE_TIMEOUT_MS;
        let store = store_of(&config).await;
        Self { world, gate, store, config, limits, apps: Vec::new() }
    }

    /// The same with settings added, and `/metrics` on a port that is known; gives the name and that address.
    pub(crate) fn write_watched_configuration(&self, added: &str) -> (String, String) {
        let name = self.write_configuration();
        let path = self.world.folder.path().join(&name);
        let listen = format!("127.0.0.1:{}", crate::world::Ports::reserve().server);
        let any = "metrics_listen = \"127.0.0.1:0\"";
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(any), "the configuration lets the system choose");
        let text = text.replace(any, &format!("metrics_listen = \"{listen}\""));
        std::fs::write(&path, format!("{text}\n{added}")).unwrap();
        (name, format!("http://{listen}"))
    }

    /// The configuration as a file in the folder, for a server that is a process; gives its name.
    pub(crate) fn write_configuration(&self) -> String {
        const NAME: &str = "gate.toml";
        let folder = self.world.folder.path();
        let text = std::fs::read_to_string(folder.join("w.toml")).unwrap();
        let core = format!("base_url = \"{}\"", self.world.core_url);
        let gate = format!("base_url = \"{}\"\ntimeout_ms = {CORE_TIMEOUT_MS}", self.gate.url);
        assert!(text.contains(&core), "the configuration names the core");
        std::fs::write(folder.join(NAME), text.replace(&core, &gate)).unwrap();
        NAME.to_owned()
    }

    /// One more server on this database, on a port that the system chooses; gives its WeChat.
    pub(crate) async fn start_server(&mut self) -> Wechat {
        let mut config = self.config.clone();
        if !self.apps.is_empty() {
            config.server.listen = "127.0.0.1:0".parse().unwrap();
        }
        let (clock, random): (SharedClock, SharedRandom) = (clock(), random());
        let app = App::start_with_limits(config, clock, random, self.limits).await.unwrap();
        self.apps.push(app);
        self.wechat(self.apps.len() - 1)
    }

    /// WeChat towards one of the servers.
    pub(crate) fn wechat(&self, server: usize) -> Wechat {
        Wechat {
            http: self.world.http.clone(),
            url: format!("http://{}/wechat/card", self.apps[server].zones().listen),
            is_safe: true,
        }
    }

    /// Stops all servers.
    pub(crate) async fn stop_servers(&mut self) {
        for app in self.apps.drain(..) {
            app.stop().await;
        }
    }

    pub(crate) async fn stop(mut self) {
        self.stop_servers().await;
        self.gate.stop().await;
        self.store.close().await;
        self.world.stop().await;
    }

    pub(crate) fn account(&self) -> AccountId {
        self.config.accounts[0].id.clone()
    }

    pub(crate) fn follower(&self, openid: &str) -> FollowerKey {
        self.store.follower_key(&self.config.accounts[0].app_id, &Openid::parse(openid).unwrap())
    }

    /// A follower's log, oldest first.
    pub(crate) async fn log(&self, openid: &str) -> Vec<Message> {
        self.store.messages(&self.account(), self.follower(openid), 0, 500).await.unwrap()
    }

    /// The texts that one side said, oldest first.
    pub(crate) async fn said(&self, openid: &str, direction: Direction) -> Vec<String> {
        let log = self.log(openid).await;
        let said = log.iter().filter(|message| message.direction == direction);
        said.map(|message| text_of(message.content.reveal())).collect()
    }

    /// A follower's pushes by turn.
    pub(crate) async fn pushes(&self, openid: &str) -> Vec<StoredPush> {
        let args = vec![Value::from("card"), self.follower(openid).into()];
        let rows = self.store.fetch(PUSHES, args).await.unwrap();
        let read = |row: &Row| StoredPush {
            key: row.text(0).unwrap().to_owned(),
            turn: row.int(1).unwrap(),
            outcome: row.text(2).unwrap().to_owned(),
            reply_seq: row.int_opt(3).unwrap(),
        };
        rows.iter().map(read).collect()
    }

    /// How many rows there are of what an inbound message may write.
    pub(crate) async fn counts(&self) -> Vec<i64> {
        let row = self.store.fetch_one(COUNTS, vec![]).await.unwrap().unwrap();
        (0..6).map(|column| row.int(column).unwrap()).collect()
    }

    /// Makes every write of a conversation fail, on either database.
    pub(crate) async fn break_writes(&self) {
        self.execute("ALTER TABLE conversation RENAME TO conversation_away").await;
    }

    /// Ends it.
    pub(crate) async fn mend_writes(&self) {
        self.execute("ALTER TABLE conversation_away RENAME TO conversation").await;
    }

    /// Runs a statement that no server would.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let url = self.config.database.url.reveal();
        if url.starts_with("sqlite") {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let row = self.store.fetch_one(Statement { name: "NUMBER", sql }, vec![]).await.unwrap();
        row.unwrap().int(0).unwrap()
    }
}

/// Holds the database's writers up until it is dropped.
pub(crate) enum Blocked {
    Sqlite(sqlx::SqliteConnection),
    Postgres(sqlx::PgConnection),
}

impl Blocked {
    /// From now on.
    pub(crate) async fn begin(house: &House) -> Self {
        Self::on(house.config.database.url.reveal(), "LOCK TABLE push IN EXCLUSIVE MODE").await
    }

    /// The same on any database; `lock` is what PostgreSQL is told.
    pub(crate) async fn on(url: &str, lock: &'static str) -> Self {
        if url.starts_with("sqlite") {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
            return Self::Sqlite(connection);
        }
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::query("BEGIN").execute(&mut connection).await.unwrap();
        sqlx::query(lock).execute(&mut connection).await.unwrap();
        Self::Postgres(connection)
    }

    /// No more.
    pub(crate) async fn end(self) {
        match self {
            Self::Sqlite(mut connection) => sqlx::query("ROLLBACK").execute(&mut connection).await.map(drop),
            Self::Postgres(mut connection) => {
                sqlx::query("ROLLBACK").execute(&mut connection).await.map(drop)
            }
        }
        .unwrap();
    }
}

/// The text of a stored message.
fn text_of(content: &str) -> String {
    let content: serde_json::Value = serde_json::from_str(content).unwrap();
    content["text"].as_str().unwrap_or_default().to_owned()
}

/// The database as another program with the same key sees it.
pub(crate) async fn store_of(config: &Config) -> Store {
    let master = read_master(&config.keys.as_ref().unwrap().master_file).unwrap();
    let keys = SoftKeys::new(master, vec![], random());
    Store::open(&config.database.url, &keys, clock(), random()).await.unwrap()
}

fn clock() -> SharedClock {
    std::sync::Arc::new(SystemClock)
}

fn random() -> SharedRandom {
    std::sync::Arc::new(SystemRandom)
}
