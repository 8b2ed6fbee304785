//! Backup and restore of both databases, taken under traffic and brought back into an empty place.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use weikefu::store::Direction;

use crate::house::store_of;
use crate::processes::{Process, run, told};
use crate::wechat::{Wechat, text};
use crate::world::{Engine, World, fresh_postgres, until};

/// Messages of one follower after the other, until it is told to stop. Gives how many were answered.
struct Traffic {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Traffic {
    fn start(world: &World) -> Self {
        let wechat = Wechat {
            http: world.http.clone(),
            url: format!("{}/wechat/card", world.server_url),
            is_safe: true,
        };
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (stopped, counted) = (stop.clone(), answered.clone());
        let task = tokio::spawn(async move {
            let mut id = 0;
            while !stopped.load(Ordering::SeqCst) {
                id += 1;
                let Ok(answer) = wechat.try_deliver(&text(&format!("o-busy-{}", id % 20), id, "菜单")).await
                else {
                    continue;
                };
                assert_eq!(answer.status, 200);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { stop, answered, task }
    }

    /// Waits for this many answers more.
    async fn flow(&self, count: u64) {
        let wanted = self.answered.load(Ordering::SeqCst) + count;
        until("traffic", async || (self.answered.load(Ordering::SeqCst) >= wanted).then_some(())).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
    }
}

/// What must be there again: a binding, what was said, an alert.
async fn lay_down(world: &World) -> String {
    let follower = world.follower("甲").await;
    world.bind(&follower.openid, "C10001").await;
    assert!(follower.say("账单").await.contains("本期应还"));
    let transaction = json!({
        "transaction_id": "T-kept", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": { "value": "1.00", "currency": "CNY" }, "merchant": { "name": "便利店" }, "channel": "pos",
        "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    world.bank(Method::POST, "/api/v1/transactions", &transaction.to_string()).await;
    until("the alert's verdict", async || (alert(world).await["state"] == "delivered").then_some(())).await;
    follower.openid
}

async fn alert(world: &World) -> Value {
    world.bank(Method::GET, "/api/v1/transactions/T-kept", "").await.1
}

async fn assert_all_is_back(world: &World, openid: &str) {
    assert_eq!(alert(world).await["state"], "delivered");
    assert!(world.phone(openid).say("账单").await.contains("本期应还"), "the binding is back");
    let store = store_of(&world.config).await;
    let account = &world.config.accounts[0];
    let openid = weikefu::domain::ids::Openid::parse(openid).unwrap();
    let log =
        store.messages(&account.id, store.follower_key(&account.app_id, &openid), 0, 100).await.unwrap();
    let said = log.iter().filter(|entry| entry.direction == Direction::In);
    let said: Vec<_> = said.map(|entry| entry.content.reveal().to_owned()).collect();
    assert_eq!(said.iter().filter(|text| text.contains("账单")).count(), 2, "before and after: {said:?}");
    store.close().await;
}

fn weikefu(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[arguments, &["--config", "w.toml"]].concat())
}

fn refused(output: &Output, code: i32, why: &str) {
    let text = told(output);
    assert!(output.status.code() == Some(code) && text.contains(why), "{text}");
}

/// Takes the database's files away, as a lost disk does; keys and configuration stay.
fn lose(folder: &Path) {
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(folder.join(format!("weikefu.db{ending}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sqlite_copy_taken_under_traffic_comes_back_whole() {
    let mut world = World::start_with_process(Engine::Sqlite).await;
    let folder = world.folder.path().to_owned();
    let openid = lay_down(&world).await;
    let traffic = Traffic::start(&world);
    traffic.flow(20).await;
    let copy = folder.join("copy.db");
    let made = weikefu(&folder, &["backup", "--to", "copy.db"]);
    assert!(made.status.success(), "{}", told(&made));
    assert!(
        told(&made).contains("master.key") && told(&made).contains("worth nothing without"),
        "{}",
        told(&made)
    );
    traffic.flow(5).await;
    refused(&weikefu(&folder, &["backup", "--to", "copy.db"]), 1, "exists already");
    refused(&weikefu(&folder, &["restore", "--from", "copy.db"]), 1, "exists already");
    world.end_server().await;
    traffic.end().await;

    lose(&folder);
    // A damaged copy, a copy without its key file, and no copy bring nothing back.
    let bytes = std::fs::read(&copy).unwrap();
    let mut damaged = bytes.clone();
    let middle = damaged.len() / 2;
    damaged[middle..middle + 20_000].fill(0x5a);
    std::fs::write(folder.join("damaged.db"), damaged).unwrap();
    refused(&weikefu(&folder, &["restore", "--from", "damaged.db"]), 1, "is damaged");
    refused(&weikefu(&folder, &["restore", "--from", "absent.db"]), 1, "there is no database");
    let (key, kept) = (folder.join("master.key"), folder.join("kept.key"));
    std::fs::rename(&key, &kept).unwrap();
    weikefu::keys::create_master(&key, &weikefu::clock::SystemRandom).unwrap();
    refused(&weikefu(&folder, &["restore", "--from", "copy.db"]), 1, "bring that key file back too");
    std::fs::rename(&kept, &key).unwrap();
    assert!(!folder.join("weikefu.db").exists(), "what is refused leaves nothing behind");

    let back = weikefu(&folder, &["restore", "--from", "copy.db"]);
    assert!(back.status.success(), "{}", told(&back));
    assert_eq!(std::fs::read(&copy).unwrap(), bytes, "the copy is as it was");
    world.start_process().await;
    assert_all_is_back(&world, &openid).await;
    world.stop().await;
}

#[test]
fn a_master_key_is_rotated_and_the_old_one_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let ports = crate::world::Ports::reserve();
    let database = format!("sqlite://{}/weikefu.db", folder.path().display());
    let text = crate::world::configuration_text(&folder, &database, &ports);
    let old = format!("master_file = \"{}\"", folder.path().join("master.key").display());
    let new = old.replace("master.key", "new.key");
    assert!(text.contains(&old));
    weikefu::keys::create_master(&folder.path().join("new.key"), &weikefu::clock::SystemRandom).unwrap();
    let with = |keys: &str| {
        std::fs::write(folder.path().join("w.toml"), text.replace(&old, keys)).unwrap();
        weikefu(folder.path(), &["user", "list"])
    };
    let before = |keys: &str| keys.replace("master_file = ", "previous_files = ");
    let steps = [
        ("as it was", old.clone()),
        ("everybody knows the new one", format!("{old}\n{}", before(&new))),
        ("it is the one in use", format!("{new}\n{}", before(&old))),
        ("the old one is gone", new.clone()),
    ];
    for (step, keys) in steps {
        let output = with(&keys);
        assert!(output.status.success(), "{step}: {}", told(&output));
    }
    refused(&with(&old), 1, "no configured master key opens data key");
}

#[test]
fn a_database_without_the_key_file_beside_it_is_not_given_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let ports = crate::world::Ports::reserve();
    let database = format!("sqlite://{}/weikefu.db", folder.path().display());
    let text = crate::world::configuration_text(&folder, &database, &ports);
    let keys = format!("[keys]\nmaster_file = \"{}\"\n", folder.path().join("master.key").display());
    assert!(text.contains(&keys));
    std::fs::write(folder.path().join("w.toml"), text.replace(&keys, "")).unwrap();
    let key: PathBuf = folder.path().join("weikefu.db.key");
    // Migrating makes a database without keys: its first start makes them all the same.
    assert!(weikefu(folder.path(), &["migrate"]).status.success());
    let server = Process::start(folder.path(), &["serve", "--config", "w.toml"]);
    server.line("weikefu on ");
    assert_eq!(server.terminate(), Some(0));
    std::fs::remove_file(&key).unwrap();
    refused(&weikefu(folder.path(), &["serve"]), 2, "bring it back from where its copy is kept");
    assert!(!key.exists(), "no new key pretends to be the old one");
    refused(&weikefu(folder.path(), &["backup", "--to", "c.db"]), 1, "bring it back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sqlite_database_moves_to_postgresql_and_goes_on_there() {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return;
    }
    let mut world = World::start_with_process(Engine::Sqlite).await;
    let folder = world.folder.path().to_owned();
    let openid = lay_down(&world).await;
    let traffic = Traffic::start(&world);
    traffic.flow(20).await;
    // An export is one moment, also while a server writes; the move itself is made once the server has stopped.
    let early = weikefu(&folder, &["export", "--to", "early"]);
    assert!(early.status.success(), "{}", told(&early));
    world.end_server().await;
    traffic.end().await;
    let out = weikefu(&folder, &["export", "--to", "out"]);
    assert!(out.status.success() && told(&out).contains("whole"), "{}", told(&out));
    refused(&weikefu(&folder, &["export", "--to", "out"]), 1, "not empty");

    let to = fresh_postgres().await;
    let file = folder.join("w.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(world.config.database.url.reveal(), &to)).unwrap();
    std::fs::remove_file(folder.join("early/export.json")).unwrap();
    refused(&weikefu(&folder, &["import", "--from", "early"]), 1, "no whole export");
    for time in 0..2 {
        let came = weikefu(&folder, &["import", "--from", "out"]);
        assert!(came.status.success(), "time {time}: {}", told(&came));
        assert!(told(&came).contains("every table has the rows and the hash"), "{}", told(&came));
    }
    world.config.database.url = weikefu::domain::secret::Secret::new(to);
    world.start_process().await;
    assert_all_is_back(&world, &openid).await;
    let audited = weikefu(&folder, &["audit", "verify"]);
    assert!(audited.status.success(), "{}", told(&audited));
    refused(&weikefu(&folder, &["import", "--from", "out"]), 1, "do not come from this export");
    world.stop().await;
}

fn tool(name: &str, arguments: &[&str]) {
    let output =
        Command::new(name).args(arguments).output().unwrap_or_else(|error| panic!("{name}: {error}"));
    assert!(output.status.success(), "{name}: {}", told(&output));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_dump_taken_under_traffic_comes_back_whole() {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return;
    }
    let mut world = World::start_with_process(Engine::Postgres).await;
    let folder = world.folder.path().to_owned();
    let openid = lay_down(&world).await;
    refused(&weikefu(&folder, &["backup", "--to", "copy.db"]), 2, "pg_dump --format=custom");
    refused(&weikefu(&folder, &["restore", "--from", "copy.db"]), 2, "pg_restore");
    let traffic = Traffic::start(&world);
    traffic.flow(20).await;
    let dump = folder.join("weikefu.dump").display().to_string();
    let from = world.config.database.url.reveal().to_owned();
    tool("pg_dump", &["--format=custom", "--no-owner", "--file", &dump, &from]);
    traffic.flow(5).await;
    world.end_server().await;
    traffic.end().await;

    let to = fresh_postgres().await;
    tool("pg_restore", &["--no-owner", "--exit-on-error", "--single-transaction", "--dbname", &to, &dump]);
    let file = folder.join("w.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&from, &to)).unwrap();
    // With another key file it says so and does not start.
    let (key, kept) = (folder.join("master.key"), folder.join("kept.key"));
    std::fs::rename(&key, &kept).unwrap();
    weikefu::keys::create_master(&key, &weikefu::clock::SystemRandom).unwrap();
    refused(&weikefu(&folder, &["serve"]), 1, "no configured master key opens data key");
    std::fs::rename(&kept, &key).unwrap();
    world.config.database.url = weikefu::domain::secret::Secret::new(to);
    world.start_process().await;
    assert_all_is_back(&world, &openid).await;
    world.stop().await;
}
