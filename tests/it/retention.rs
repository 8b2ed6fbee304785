//! Days of the log are archived by the command, read with a reason, and dropped by the server.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use weikefu::clock::{Clock as _, ManualClock, SystemClock};

use crate::processes::{run, told};
use crate::world::{Engine, World, until};

const RETENTION: &str = "\n[retention]\nmessage_days = 30\ndrop = \"archived\"\n";
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_archived_read_with_a_reason_and_then_gone() {
    // The server lived a hundred days ago; its database is still there today.
    let clock = Arc::new(ManualClock::new(SystemClock.now() - DAY * 100));
    let mut world = World::at(Engine::Sqlite, clock, |text, _| format!("{text}{RETENTION}")).await;
    world.start_server().await;
    let phone = world.follower("旧").await;
    assert!(!phone.say("我想说一句很特别的话").await.is_empty());
    world.end_server().await;

    let folder = world.folder.path().to_owned();
    let weikefu = |arguments: &[&str]| run(&folder, &[arguments, &["--config", "w.toml"]].concat());
    let done = |arguments: &[&str]| {
        let output = weikefu(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let lines = done(&["archive", "--to", "log"]);
    let (first, last) = (lines.lines().next().unwrap(), lines.lines().last().unwrap());
    let file = first.split_whitespace().next().unwrap();
    assert!(file.starts_with("log/message-20") && first.contains(" messages  "), "{lines}");
    assert!(last.starts_with("everything before 20") && last.ends_with(" is in log"), "{lines}");
    assert_eq!(done(&["archive", "--to", "log"]).lines().count(), 1, "each day once");
    let bytes = std::fs::read_to_string(folder.join(file)).unwrap();
    assert!(!bytes.contains("特别"), "what was said stays sealed");

    for refused in [
        &["archive"][..],
        &["archive", "--read", file, "--account", "card"],
        &["archive", "--read", file, "--account", "loan", "--reason", "x"],
        &["archive", "--to", "log", "--older-than-days", "0"],
    ] {
        assert_eq!(weikefu(refused).status.code(), Some(2), "{refused:?}");
    }
    let read = done(&["archive", "--read", file, "--account", "card", "--reason", "投诉 2026-118"]);
    let said: Vec<Value> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_him = |line: &&Value| line["direction"] == "in" && line["author"] == "customer";
    assert!(said.iter().filter(of_him).any(|line| line["content"].to_string().contains("特别")), "{read}");
    let verified = done(&["audit", "verify"]);
    assert!(verified.contains(", whole"), "{verified}");

    // The server of today lets the day go.
    world.start_process().await;
    let database = sqlx::sqlite::SqlitePool::connect(world.config.database.url.reveal()).await.unwrap();
    let count = || async {
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM message").fetch_one(&database).await.unwrap()
    };
    until("an empty log", || async { (count().await == 0).then_some(()) }).await;
    let actions: Vec<String> = sqlx::query_scalar("SELECT action FROM audit WHERE actor = 'command line'")
        .fetch_all(&database)
        .await
        .unwrap();
    assert_eq!(actions, ["archive_read"]);
    world.stop().await;
}
