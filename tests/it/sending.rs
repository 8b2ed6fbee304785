//! An alert through every fault on its way: a WeChat that refuses, breaks off or keeps silent, and kill -9 at each
//! point where something is written. What was accepted ends in a verdict, and no phone shows an alert twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::Blocked;
use crate::processes::kills;
use crate::world::{Engine, World, until};

const TEMPLATE: &str = "/cgi-bin/message/template/send";

/// A world with one bound follower, whose alerts are counted.
pub(crate) struct Alerted {
    pub(crate) world: World,
    pub(crate) openid: String,
}

impl Alerted {
    /// `world` without a server yet.
    pub(crate) async fn prepare(mut world: World) -> Self {
        world.start_process().await;
        let openid = follow(&world).await;
        world.bind(&openid, "C10001").await;
        Self { world, openid }
    }

    /// With the server as a process.
    async fn start(engine: Engine) -> Self {
        Self::prepare(World::without_server(engine).await).await
    }

    /// The bank pushes; gives the status, 0 where no answer came.
    pub(crate) async fn push(&self, id: &str) -> u16 {
        push(&self.world, id).await
    }

    /// What the server says of a transaction, once it answers.
    pub(crate) async fn told(&self, id: &str) -> Value {
        until("an answer of the server", || async {
            let path = format!("/api/v1/transactions/{id}");
            let (status, told) = try_bank(&self.world, Method::GET, &path, "").await?;
            (status == 200).then_some(told)
        })
        .await
    }

    /// Waits until a transaction was sent.
    pub(crate) async fn sent(&self, id: &str) -> Value {
        until("a verdict", || async {
            let told = self.told(id).await;
            matches!(told["state"].as_str(), Some("sent" | "delivered")).then_some(told)
        })
        .await
    }

    /// How often the phone shows each transaction.
    pub(crate) async fn shown(&self) -> BTreeMap<String, usize> {
        let mut shown = BTreeMap::new();
        for entry in self.world.phone(&self.openid).timeline().await {
            for line in entry["detail"]["lines"].as_array().into_iter().flatten() {
                if line["keyword"] == "thing4" {
                    *shown.entry(line["value"].as_str().unwrap().to_owned()).or_default() += 1;
                }
            }
        }
        shown
    }

    /// Each of these is on the phone, once.
    pub(crate) async fn assert_once(&self, ids: impl IntoIterator<Item = String>, what: &str) {
        let expected: BTreeMap<String, usize> = ids.into_iter().map(|id| (id, 1)).collect();
        assert_eq!(self.shown().await, expected, "{what}");
    }

    async fn fault(&self, fault: Value) {
        let mut body = json!({ "api": TEMPLATE });
        body.as_object_mut().unwrap().extend(fault.as_object().unwrap().clone());
        self.world.post(&format!("{}/sim/api/faults", self.world.simulator_url), body).await;
    }

    async fn no_faults(&self) {
        let url = format!("{}/sim/api/faults", self.world.simulator_url);
        assert!(self.world.http.delete(url).send().await.unwrap().status().is_success());
    }

    /// Waits until the database says so.
    async fn number(&self, sql: &'static str, wanted: i64) {
        until("what the database shall hold", || async {
            (self.world.number(sql).await == wanted).then_some(())
        })
        .await;
    }
}

/// A follower of the simulator. No welcome is waited for: the server may be down.
async fn follow(world: &World) -> String {
    world.follower("惊").await.openid
}

async fn try_bank(world: &World, method: Method, path: &str, body: &str) -> Option<(u16, Value)> {
    world.try_bank(method, path, body).await.ok()
}

/// A purchase whose merchant is named like it.
pub(crate) fn purchase(id: &str) -> String {
    let item = json!({
        "transaction_id": id, "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": { "value": "128.50", "currency": "CNY" }, "merchant": { "name": id }, "channel": "pos",
        "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    item.to_string()
}

async fn push(world: &World, id: &str) -> u16 {
    let answer = try_bank(world, Method::POST, "/api/v1/transactions", &purchase(id)).await;
    answer.map_or(0, |(status, _)| status)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_wechat_answers_the_alert_arrives_once() {
    let faults = [
        ("500", json!({ "http_status": 500, "times": 2 })),
        ("busy", json!({ "errcode": -1, "times": 2 })),
        ("40001", json!({ "errcode": 40001, "times": 1 })),
        ("42001", json!({ "errcode": 42001, "times": 1 })),
        ("half", json!({ "breakage": "half", "times": 2 })),
        ("empty", json!({ "breakage": "empty", "times": 1 })),
        ("garbage", json!({ "breakage": "garbage", "times": 1 })),
        ("lost", json!({ "lose_answer": true, "times": 2 })),
        // Longer than a call may last, with what was asked done, or not.
        ("silent", json!({ "delay_ms": 11_000, "times": 1 })),
        ("late", json!({ "answer_delay_ms": 11_000, "times": 1 })),
    ];
    let faults = &faults;
    // One after the other: to start a program blocks, and a connection of the other world would go stale meanwhile.
    let mut worlds = Vec::new();
    for engine in Engine::at_hand() {
        worlds.push((engine, Alerted::start(engine).await));
    }
    let engines = worlds.into_iter().map(|(engine, alerted)| async move {
        for (id, fault) in faults {
            alerted.fault(fault.clone()).await;
            assert_eq!(alerted.push(id).await, 202, "{engine:?} {id}");
            let told = alerted.sent(id).await;
            // A refused token is replaced within the try.
            let tries = told["attempts"].as_i64().unwrap();
            assert!(tries >= 2 || matches!(*id, "40001" | "42001"), "{engine:?} {id}: {told}");
            alerted.no_faults().await;
        }
        let ids = faults.iter().map(|(id, _)| (*id).to_owned());
        alerted.assert_once(ids, &format!("{engine:?}")).await;
        alerted.fault(json!({ "errcode": 45009 })).await;
        assert_eq!(alerted.push("quota-1").await, 202);
        alerted.number("SELECT count(*) FROM quota_pause", 1).await;
        assert_eq!(alerted.push("quota-2").await, 202);
        alerted.number("SELECT count(*) FROM outbox WHERE settled = 0", 2).await;
        let told = alerted.told("quota-2").await;
        assert_eq!(
            (told["state"].as_str(), told["attempts"].as_i64()),
            (Some("pending"), Some(0)),
            "{engine:?}"
        );
        alerted.world.stop().await;
    });
    join_all(engines).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_taking_in_the_bank_repeats_and_the_alert_arrives_once() {
    for engine in Engine::at_hand() {
        let mut alerted = Alerted::start(engine).await;
        // Before the commit: the writers are held up, so that the call cannot end.
        let blocked =
            Blocked::on(alerted.world.config.database.url.reveal(), "LOCK TABLE notice IN EXCLUSIVE MODE");
        let blocked = blocked.await;
        let call = push(&alerted.world, "before");
        let waiting = tokio::time::timeout(std::time::Duration::from_millis(500), call).await;
        assert!(waiting.is_err(), "{engine:?}: answered before it was durable");
        alerted.world.end_server().await;
        blocked.end().await;
        assert_eq!(alerted.world.number("SELECT count(*) FROM notice").await, 0, "{engine:?}");
        alerted.world.start_process().await;
        assert_eq!(alerted.push("before").await, 202);
        // After the commit, whether or not its answer left.
        alerted.fault(json!({ "http_status": 500 })).await;
        assert_eq!(alerted.push("after").await, 202);
        alerted.world.end_server().await;
        alerted.no_faults().await;
        alerted.world.start_process().await;
        for id in ["before", "after"] {
            assert_eq!(alerted.push(id).await, 202, "{engine:?}: a repeated item is a duplicate, no fault");
            alerted.sent(id).await;
        }
        alerted.assert_once(["before", "after"].map(str::to_owned), &format!("{engine:?}")).await;
        alerted.world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_sending_the_alert_arrives_once() {
    for engine in Engine::at_hand() {
        let mut alerted = Alerted::start(engine).await;
        let on_the_way = "SELECT count(*) FROM intent";
        for (id, fault) in [
            // The intent stands, and WeChat has not done it yet.
            ("asked", json!({ "delay_ms": 8_000, "times": 1 })),
            // WeChat has done it, and its answer is under way.
            ("done", json!({ "answer_delay_ms": 8_000, "times": 1 })),
        ] {
            alerted.fault(fault).await;
            assert_eq!(alerted.push(id).await, 202);
            alerted.number(on_the_way, 1).await;
            alerted.world.end_server().await;
            alerted.no_faults().await;
            alerted.world.start_process().await;
            let told = alerted.sent(id).await;
            // A slow machine may lose one more answer; WeChat delivers one id once.
            assert!(told["attempts"].as_i64() >= Some(2), "{engine:?} {id}: {told}");
        }
        // WeChat has answered, and what it said cannot be written.
        alerted.fault(json!({ "delay_ms": 2_000, "times": 1 })).await;
        assert_eq!(alerted.push("unsettled").await, 202);
        alerted.number(on_the_way, 1).await;
        let url = alerted.world.config.database.url.reveal().to_owned();
        let blocked = Blocked::on(&url, "LOCK TABLE outbox IN EXCLUSIVE MODE").await;
        until("the message on the phone", || async { alerted.shown().await.get("unsettled").copied() }).await;
        alerted.world.end_server().await;
        blocked.end().await;
        alerted.world.start_process().await;
        alerted.sent("unsettled").await;
        let ids = ["asked", "done", "unsettled"].map(str::to_owned);
        alerted.assert_once(ids, &format!("{engine:?}")).await;
        alerted.number(on_the_way, 0).await;
        alerted.world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_a_stream_of_transactions_lose_and_double_nothing() {
    const BETWEEN_KILLS: usize = 12;
    let kills = kills(4);
    for engine in Engine::at_hand() {
        let mut alerted = Alerted::start(engine).await;
        let accepted = Arc::new(AtomicUsize::new(0));
        let pushing = Pushing::start(&alerted.world, accepted.clone());
        for kill in 1..=kills {
            let enough = kill * BETWEEN_KILLS;
            until("transactions between kills", || async {
                (accepted.load(Ordering::SeqCst) >= enough).then_some(())
            })
            .await;
            alerted.world.end_server().await;
            alerted.world.start_process().await;
        }
        let ids = pushing.end().await;
        assert!(ids.len() >= kills * BETWEEN_KILLS);
        for id in &ids {
            alerted.sent(id).await;
        }
        eprintln!("{engine:?}: {kills} times kill -9 under {} alerts", ids.len());
        alerted.assert_once(ids, &format!("{engine:?}")).await;
        alerted.world.stop().await;
    }
}

/// A bank that pushes one transaction after the other, each until it is accepted.
pub(crate) struct Pushing {
    stop: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Pushing {
    pub(crate) fn start(world: &World, accepted: Arc<AtomicUsize>) -> Self {
        let (bank, stop) = (world.caller(), tokio_util::sync::CancellationToken::new());
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut ids = Vec::new();
            while !stopped.is_cancelled() {
                let id = format!("stream-{}", ids.len());
                until("a 202", || async {
                    let answer = bank.call(Method::POST, "/api/v1/transactions", &purchase(&id)).await;
                    matches!(answer, Ok((202, _))).then_some(())
                })
                .await;
                ids.push(id);
                accepted.fetch_add(1, Ordering::SeqCst);
            }
            ids
        });
        Self { stop, task }
    }

    /// Stops; gives the ids of what was accepted.
    pub(crate) async fn end(self) -> Vec<String> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}
