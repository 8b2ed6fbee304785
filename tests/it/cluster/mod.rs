//! Several servers on one PostgreSQL: real processes that come, go and die, and a database that fails over.

mod apart;
mod cut;
mod database;
mod instances;
mod network;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sqlx::Connection as _;

use crate::processes::Process;
use crate::wechat::Wechat;
use crate::world::{Engine, World, until};

/// One server of several.
struct Member {
    process: Process,
    url: String,
    /// As its leases name it.
    owner: String,
}

/// Some servers on one database. The first one is where the world's WeChat and bank call.
struct Fleet {
    world: World,
    /// Where the test looks at the database.
    database: String,
    members: Vec<Option<Member>>,
}

impl Fleet {
    /// So many on a database of their own.
    async fn start(count: usize) -> Self {
        let world = World::without_server(Engine::Postgres).await;
        let database = world.config.database.url.reveal().to_owned();
        let mut fleet = Self::none(world, database);
        for _ in 0..count {
            fleet.join(|text| text).await;
        }
        fleet.shared().await;
        fleet
    }

    /// None yet, on the database of this world; the test looks at it by an address of its own.
    fn none(world: World, database: String) -> Self {
        Self { world, database, members: Vec::new() }
    }

    /// One more, whose configuration is changed so.
    async fn join(&mut self, change: impl FnOnce(String) -> String) {
        self.join_by(change, Process::start_logging).await;
    }

    /// The same, started so.
    async fn join_by(
        &mut self,
        change: impl FnOnce(String) -> String,
        start: impl FnOnce(&Path, &[&str], &Path) -> Process,
    ) {
        let folder = self.world.folder.path().to_owned();
        let mut text = std::fs::read_to_string(folder.join("w.toml")).unwrap();
        let number = self.members.len();
        if number > 0 {
            let first = self.world.server_url.strip_prefix("http://").unwrap();
            text = text.replace(&format!("\nlisten = \"{first}\""), "\nlisten = \"127.0.0.1:0\"");
        }
        let (name, log) = (format!("w{number}.toml"), folder.join(format!("server{number}.log")));
        std::fs::write(folder.join(&name), change(text)).unwrap();
        let process = start(&folder, &["serve", "--config", &name], &log);
        let url = process.line("weikefu on ");
        let known: Vec<String> = self.members.iter().flatten().map(|member| member.owner.clone()).collect();
        let owner = until("the new one's heartbeat", || async {
            let owners = self.texts("SELECT owner FROM instance WHERE heartbeat_ms > 0").await;
            owners.into_iter().find(|owner| !known.contains(owner))
        })
        .await;
        self.members.push(Some(Member { process, url, owner }));
    }

    fn member(&self, number: usize) -> &Member {
        self.members[number].as_ref().expect("it lives")
    }

    fn take(&mut self, number: usize) -> Member {
        self.members[number].take().expect("it lives")
    }

    /// WeChat towards one of them.
    fn wechat(&self, number: usize) -> Wechat {
        let url = format!("{}/wechat/card", self.member(number).url);
        Wechat { http: self.world.http.clone(), url, is_safe: true }
    }

    /// Waits until all partitions are shared among all who live; gives how many each has.
    async fn shared(&self) -> BTreeMap<String, usize> {
        until("a fair share of all partitions", || async {
            let shares = self.shares().await;
            let alive: Vec<&Member> = self.members.iter().flatten().collect();
            let all = alive.iter().all(|member| shares.contains_key(&member.owner));
            (all && shares.len() == alive.len()).then_some(shares)
        })
        .await
    }

    /// How many partitions each owner has; nobody's are the empty name's.
    async fn shares(&self) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for owner in self.texts("SELECT owner FROM part_lease ORDER BY part").await {
            *shares.entry(owner).or_default() += 1;
        }
        shares
    }

    /// Which alerts a phone shows; each only once.
    async fn shown(&self, openid: &str) -> BTreeSet<String> {
        let mut shown = BTreeSet::new();
        for entry in self.world.phone(openid).timeline().await {
            for line in entry["detail"]["lines"].as_array().into_iter().flatten() {
                if line["keyword"] == "thing4" {
                    assert!(shown.insert(line["value"].as_str().unwrap().to_owned()), "twice: {line}");
                }
            }
        }
        shown
    }

    /// Waits until a phone shows exactly these, each once.
    async fn all_shown(&self, openid: &str, ids: impl IntoIterator<Item = String>) {
        let ids: BTreeSet<String> = ids.into_iter().collect();
        until("all alerts", || async { (self.shown(openid).await == ids).then_some(()) }).await;
    }

    async fn texts(&self, sql: &'static str) -> Vec<String> {
        let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
        sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Runs statements that no server would.
    async fn execute(&self, sql: &'static str) {
        let mut connection = sqlx::PgConnection::connect(&self.database).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    async fn stop(mut self) {
        self.members.clear();
        self.world.stop().await;
    }
}

/// Whether there is a PostgreSQL for the tests; says so where not.
fn has_postgres() -> bool {
    let has = Engine::at_hand().contains(&Engine::Postgres);
    if !has {
        eprintln!("skipped: WEIKEFU_TEST_POSTGRES names no server");
    }
    has
}
