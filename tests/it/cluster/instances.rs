//! N instances do the work of one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::Value;

use super::{Fleet, has_postgres};
use crate::processes::{run, run_with, told};
use crate::sending::purchase;
use crate::wechat::{Answered, text};
use crate::world::{Engine, World, until};

const LOOK_EVERY: Duration = Duration::from_millis(10);
const PASSWORD: &str = "correct horse battery staple 9";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_instance_hands_over_within_a_second_and_a_killed_one_is_followed_within_ten() {
    if !has_postgres() {
        return;
    }
    let mut fleet = Fleet::start(3).await;
    let shares = fleet.shared().await;
    assert_eq!(shares.values().sum::<usize>(), 256);
    eprintln!("256 partitions over three instances: {:?}", shares.values().collect::<Vec<_>>());

    let stopping = fleet.take(2);
    stopping.process.ask_to_stop();
    let (mut vacant, mut longest) = (BTreeMap::new(), Duration::ZERO);
    loop {
        let owners = fleet.texts("SELECT owner FROM part_lease ORDER BY part").await;
        for (part, owner) in owners.iter().enumerate() {
            if owner.is_empty() {
                vacant.entry(part).or_insert_with(Instant::now);
            } else if let Some(since) = vacant.remove(&part) {
                longest = longest.max(since.elapsed());
            }
        }
        if vacant.is_empty() && !owners.contains(&stopping.owner) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    eprintln!("hand-over on stop: no partition without an owner for longer than {longest:?}");
    assert!(longest <= Duration::from_secs(1), "{longest:?}");
    assert_eq!(stopping.process.terminate(), Some(0));

    let dead = fleet.take(1);
    dead.process.kill();
    let killed = Instant::now();
    until("a take-over", || async {
        (fleet.shares().await == BTreeMap::from([(fleet.member(0).owner.clone(), 256)])).then_some(())
    })
    .await;
    let took = killed.elapsed();
    eprintln!("take-over after kill -9: {took:?}");
    assert!(took <= Duration::from_secs(10), "{took:?}");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_at_three_instances_at_once_has_one_effect_and_three_equal_answers() {
    const FOLLOWERS: u64 = 5;
    const ROUNDS: u64 = 40;
    if !has_postgres() {
        return;
    }
    let fleet = Fleet::start(3).await;
    let wechats = [fleet.wechat(0), fleet.wechat(1), fleet.wechat(2)];
    for follower in 0..FOLLOWERS {
        fleet.world.bind(&format!("o-three-{follower}"), "C10001").await;
    }
    for round in 0..ROUNDS {
        join_all((0..FOLLOWERS).map(|follower| {
            let words = if round % 2 == 0 { "查账单" } else { "积分" };
            let xml = text(&format!("o-three-{follower}"), round * FOLLOWERS + follower + 1, words);
            let wechats = &wechats;
            async move {
                let answers = join_all(wechats.iter().map(|wechat| wechat.deliver(&xml))).await;
                assert!(!answers[0].text().is_empty());
                let raw: Vec<String> = answers.iter().map(Answered::raw).collect();
                assert!(raw.iter().all(|answer| *answer == raw[0]), "{raw:?}");
            }
        }))
        .await;
    }
    let pushes = i64::try_from(FOLLOWERS * ROUNDS).unwrap();
    assert_eq!(fleet.number("SELECT count(*) FROM push").await, pushes);
    for side in [
        "SELECT count(*) FROM message WHERE direction = 'in'",
        "SELECT count(*) FROM message WHERE direction = 'out'",
    ] {
        assert_eq!(fleet.number(side).await, pushes, "{side}");
    }
    // Each follower's turns are numbered without a gap, in the order in which he spoke.
    let last = i64::try_from(ROUNDS).unwrap();
    assert_eq!(fleet.number("SELECT min(turn) FROM conversation").await, last);
    assert_eq!(fleet.number("SELECT max(turn) FROM conversation").await, last);
    eprintln!("{pushes} pushes, each at three instances at once: one effect and three equal answers each");
    fleet.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_send_with_one_token_and_fetch_the_next_once() {
    const ALERTS: usize = 60;
    if !has_postgres() {
        return;
    }
    let fleet = Fleet::start(3).await;
    let follower = fleet.world.follower("令").await.openid;
    fleet.world.bind(&follower, "C10001").await;
    let mut accepted = BTreeSet::new();
    for round in 0..2 {
        let calls = (0..ALERTS).map(|number| {
            let bank = fleet.world.caller().towards(fleet.member(number % 3).url.clone());
            let id = format!("token-{round}-{number}");
            async move {
                let (status, body) =
                    bank.call(Method::POST, "/api/v1/transactions", &purchase(&id)).await.unwrap();
                assert_eq!(status, 202, "{body}");
                id
            }
        });
        accepted.extend(join_all(calls).await);
        fleet.all_shown(&follower, accepted.clone()).await;
        let fetched = fetched(&fleet).await;
        eprintln!("{} alerts by three instances: {fetched} tokens fetched", accepted.len());
        assert_eq!(fetched, round + 1, "one token, then the next one once");
        let url = format!("{}/sim/api/tokens/expire", fleet.world.simulator_url);
        fleet.world.post(&url, serde_json::json!({})).await;
    }
    fleet.stop().await;
}

/// How many tokens WeChat gave out.
async fn fetched(fleet: &Fleet) -> usize {
    let calls = fleet.world.get(&format!("{}/sim/api/calls", fleet.world.simulator_url)).await;
    let is_token = |call: &&Value| call["path"].as_str().is_some_and(|path| path.contains("token"));
    calls.as_array().unwrap().iter().filter(is_token).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_is_signed_out_of_every_instance_within_a_second() {
    if !has_postgres() {
        return;
    }
    let fleet = Fleet::start(2).await;
    let folder = fleet.world.folder.path();
    let add = ["user", "add", "lin", "--role", "agent", "--config", "w0.toml"];
    let added = run_with(folder, &add, &format!("{PASSWORD}\n"));
    assert!(added.status.success(), "{}", told(&added));
    let request = fleet.world.http.post(format!("{}/desk/sign-in", fleet.member(0).url));
    let request = request.header("sec-fetch-site", "same-origin");
    let response = request.form(&[("name", "lin"), ("password", PASSWORD)]).send().await.unwrap();
    assert_eq!(response.status(), 303);
    let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let queue = |number: usize| {
        let request = fleet.world.http.get(format!("{}/desk/api/queue", fleet.member(number).url));
        let request = request.header("cookie", cookie.clone());
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!((queue(0).await, queue(1).await), (200, 200), "one session opens both");
    let removed = run(folder, &["user", "remove", "lin", "--config", "w0.toml"]);
    assert!(removed.status.success(), "{}", told(&removed));
    let since = Instant::now();
    until("the end of the session", || async {
        (queue(0).await != 200 && queue(1).await != 200).then_some(())
    })
    .await;
    let took = since.elapsed();
    eprintln!("signed out of both instances {took:?} after the removal");
    assert!(took <= Duration::from_secs(1), "{took:?}");
    fleet.stop().await;
}

/// An upgrade, seen by the machines that still run the old version: a newer one has migrated, and old ones go on, start
/// again, and work beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_works_on_the_tables_of_a_newer_version() {
    const NEWER: &str = "ALTER TABLE conversation ADD COLUMN newer BIGINT NOT NULL DEFAULT 0; \
        ALTER TABLE outbox ADD COLUMN newer TEXT; ALTER TABLE message ADD COLUMN newer TEXT NOT NULL DEFAULT ''; \
        CREATE TABLE newer (id BIGINT NOT NULL PRIMARY KEY); \
        INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (9999, 'newer', true, 'x', 0)";
    if !has_postgres() {
        return;
    }
    let mut fleet = Fleet::start(1).await;
    let follower = fleet.world.follower("升").await.openid;
    fleet.world.bind(&follower, "C10001").await;
    assert!(fleet.world.phone(&follower).say("查账单").await.contains("本期应还"));
    fleet.execute(NEWER).await;
    fleet.join(|text| text).await;
    fleet.shared().await;
    for number in 0..2 {
        let answer = fleet.wechat(number).deliver(&text(&follower, 900 + number as u64, "查账单")).await;
        assert!(answer.text().contains("本期应还"), "{number}: {}", answer.raw());
        let bank = fleet.world.caller().towards(fleet.member(number).url.clone());
        let path = "/api/v1/transactions";
        let (status, body) =
            bank.call(Method::POST, path, &purchase(&format!("newer-{number}"))).await.unwrap();
        assert_eq!(status, 202, "{body}");
    }
    fleet.all_shown(&follower, ["newer-0".to_owned(), "newer-1".to_owned()]).await;
    fleet.stop().await;
}

/// What only erases, or makes tables ahead, is begun by one of them at each tick.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_do_once_what_time_asks_for() {
    const TICKS: &str = "SELECT CAST(extract(epoch FROM clock_timestamp()) AS BIGINT) / 300";
    if !has_postgres() {
        return;
    }
    let world = World::without_server(Engine::Postgres).await;
    let database = world.config.database.url.reveal().to_owned();
    let mut fleet = Fleet::none(world, database);
    let before = fleet.number(TICKS).await;
    for _ in 0..3 {
        fleet.join(|text| text).await;
    }
    fleet.shared().await;
    until("the jobs' first tick", || async {
        let done = "SELECT count(*) FROM job WHERE name IN ('purge', 'log_days') AND done = 1";
        (fleet.number(done).await == 2).then_some(())
    })
    .await;
    let ticks = fleet.number(TICKS).await - before + 1;
    let runs = fleet.number("SELECT max(runs) FROM job WHERE name IN ('purge', 'log_days')").await;
    assert!((1..=ticks).contains(&runs), "{runs} runs in {ticks} ticks");
    // What was before, the default, and a part for what comes, since this log is kept for ever.
    let days = fleet.number("SELECT count(*) FROM pg_inherits WHERE inhparent = 'message'::regclass").await;
    assert_eq!(days, 3);
    let answer = fleet.wechat(2).deliver(&text("o-days", 1, "菜单")).await;
    assert!(!answer.text().is_empty());
    eprintln!("three instances: each job begun {runs} time(s) in {ticks} tick(s); {days} parts of the log");
    fleet.stop().await;
}
