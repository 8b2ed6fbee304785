//! Hints between instances by a real Redis, and the service without it: killed, away without a word, and back.

use std::fmt::Debug;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio_util::sync::CancellationToken;
use weikefu::app::App;
use weikefu::clock::{SystemClock, SystemRandom};
use weikefu::config::{self, Config, Tls};
use weikefu::domain::secret::Secret;
use weikefu::hints::{Hint, Hints};

use crate::processes::signal;
use crate::world::{Caller, Engine, Follower, Ports, WAIT_MAX, World, until};

/// Debian's. `.ci/test` installs it.
const REDIS: &str = "/usr/bin/redis-server";
/// How much later an alert may be without Redis: each looks by itself so often.
const LATER_MAX: Duration = Duration::from_millis(250);
/// Customers whose alerts are timed. Some belong to each instance.
const CUSTOMERS: usize = 10;

/// A Redis of the test's own, which keeps nothing.
pub(crate) struct Redis {
    port: u16,
    child: std::process::Child,
}

impl Redis {
    pub(crate) fn start() -> Self {
        let port = Ports::reserve().server;
        Self { port, child: Self::serve(port) }
    }

    fn serve(port: u16) -> std::process::Child {
        let port = port.to_string();
        let keeping_nothing = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", &port];
        let mut command = Command::new(REDIS);
        command.args(keeping_nothing).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().unwrap_or_else(|error| panic!("{REDIS}: {error}; .ci/test packages installs it"))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// kill -9.
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again where it was.
    fn restart(&mut self) {
        self.child = Self::serve(self.port);
    }

    /// Its connections stay open and nothing comes through: what a cut network looks like.
    fn hang(&self) {
        signal("STOP", self.child.id());
    }

    fn go_on(&self) {
        signal("CONT", self.child.id());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One instance's hints, and what it hears.
struct Ear {
    hints: Arc<Hints>,
    heard: UnboundedReceiver<Hint>,
    stop: CancellationToken,
}

impl Ear {
    fn open(redis: &Redis, instance: &str) -> Self {
        let config = config::Hints { redis_url: Secret::new(redis.url()), tls: Tls::default() };
        let hints = Arc::new(Hints::new(&config, instance).unwrap());
        let (sender, heard) = unbounded_channel();
        let stop = CancellationToken::new();
        let running = (hints.clone(), stop.clone());
        tokio::spawn(async move {
            let hear = move |hint| sender.send(hint).unwrap();
            running.0.run(running.1, hear).await;
        });
        Self { hints, heard, stop }
    }

    /// Waits until it knows that Redis does not answer.
    async fn loses_redis(&self) {
        until("Redis to be missed", || async { (!self.hints.is_connected()).then_some(()) }).await;
    }

    async fn hears(&mut self, hint: Hint) {
        self.hears_of(|heard| heard == hint, hint).await;
    }

    /// Hears of something at the desk, whatever else was gathered in the same word.
    async fn hears_of_the_desk(&mut self) {
        self.hears_of(|heard| heard.desk, "the desk").await;
    }

    async fn hears_of(&mut self, is_wanted: impl Fn(Hint) -> bool, what: impl Debug) {
        let hear = async { while !is_wanted(self.heard.recv().await.unwrap()) {} };
        tokio::time::timeout(WAIT_MAX, hear).await.unwrap_or_else(|_| panic!("{what:?} was not heard"));
    }
}

fn parts(parts: &[u8]) -> Hint {
    let mut hint = Hint::default();
    parts.iter().for_each(|part| hint.add_part(*part));
    hint
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_says_the_others_hear_also_after_redis_was_killed_or_hung() {
    let mut redis = Redis::start();
    let (mut a, mut b) = (Ear::open(&redis, "a"), Ear::open(&redis, "b"));
    a.hears(Hint::everything()).await;
    b.hears(Hint::everything()).await;
    a.hints.outgoing(7);
    b.hears(parts(&[7])).await;
    b.hints.desk();
    let mut at_the_desk = parts(&[]);
    at_the_desk.desk = true;
    a.hears(at_the_desk).await;
    for (what, is_killed) in [("killed", true), ("hung", false)] {
        if is_killed {
            redis.kill()
        } else {
            redis.hang()
        }
        // Nobody waits for it, and what is said meanwhile is no queue that grows.
        let began = Instant::now();
        (0..=255).cycle().take(100_000).for_each(|part| a.hints.outgoing(part));
        assert!(began.elapsed() < Duration::from_secs(2), "{what}: {:?}", began.elapsed());
        if is_killed {
            redis.restart();
        } else {
            // Nothing was closed: they notice by not hearing themselves.
            a.loses_redis().await;
            b.loses_redis().await;
            redis.go_on();
        }
        a.hears(Hint::everything()).await;
        b.hears(Hint::everything()).await;
        // What could not be said before is still to be said, and what is new may go with it.
        a.hints.desk();
        b.hears_of_the_desk().await;
        b.hints.desk();
        a.hears_of_the_desk().await;
    }
    a.stop.cancel();
    b.stop.cancel();
}

/// Two instances on one database, and customers whose alerts are timed.
struct Pair<'a> {
    banks: [Caller; 2],
    phones: Vec<Follower<'a>>,
    told: usize,
}

impl Pair<'_> {
    /// Each instance takes one purchase of each customer. Gives how long the slower of each two took to the phone: one
    /// of them was taken by the instance that does not send it.
    async fn alert_all(&mut self, what: &str) -> Vec<Duration> {
        let mut slower = vec![];
        for (customer, phone) in self.phones.iter().enumerate() {
            let mut slowest = Duration::ZERO;
            for bank in &self.banks {
                let id = format!("T{}", self.told);
                self.told += 1;
                let began = Instant::now();
                let item = purchase(&id, &format!("C2000{customer}"));
                let (status, answer) =
                    bank.call(reqwest::Method::POST, "/api/v1/transactions", &item).await.unwrap();
                assert_eq!((status, answer["accepted"].as_u64()), (202, Some(1)), "{what}: {answer}");
                phone.wait(what, |entry| merchant(entry) == Some(&id)).await;
                slowest = slowest.max(began.elapsed());
            }
            slower.push(slowest);
        }
        slower
    }

    /// Every alert once, on all phones together.
    async fn assert_once(&self) {
        let mut shown = vec![];
        for phone in &self.phones {
            let timeline = phone.timeline().await;
            shown.extend(timeline.iter().filter_map(merchant).map(str::to_owned));
        }
        shown.sort();
        let mut expected: Vec<String> = (0..self.told).map(|told| format!("T{told}")).collect();
        expected.sort();
        assert_eq!(shown, expected);
    }
}

fn purchase(id: &str, customer: &str) -> String {
    let item = json!({
        "transaction_id": id, "customer_id": customer, "card_last4": "1234", "type": "purchase",
        "amount": { "value": "128.50", "currency": "CNY" }, "merchant": { "name": id }, "channel": "pos",
        "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    item.to_string()
}

fn merchant(entry: &Value) -> Option<&str> {
    let mut lines = entry["detail"]["lines"].as_array()?.iter();
    lines.find(|line| line["keyword"] == "thing4")?["value"].as_str()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_killed_or_hangs_loses_and_doubles_no_alert() {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return eprintln!("SKIPPED: WEIKEFU_TEST_POSTGRES names no server, and one SQLite has one instance");
    }
    let mut redis = Redis::start();
    let url = redis.url();
    let mut world =
        World::prepared(Engine::Postgres, |text, _| format!("{text}\n[hints]\nredis_url = \"{url}\"\n"))
            .await;
    world.start_server().await;
    let mut second: Config = world.config.clone();
    second.server.listen = "127.0.0.1:0".parse().unwrap();
    let second = App::start(second, Arc::new(SystemClock), Arc::new(SystemRandom)).await.unwrap();
    until("the work to be shared", || async {
        (world.number("SELECT count(DISTINCT owner) FROM part_lease").await == 2).then_some(())
    })
    .await;
    let mut phones = vec![];
    for customer in 0..CUSTOMERS {
        let phone = world.follower("客").await;
        world.bind(&phone.openid, &format!("C2000{customer}")).await;
        phones.push(phone);
    }
    let other = format!("http://{}", second.zones().listen);
    let banks = [world.caller(), world.caller().towards(other)];
    let mut pair = Pair { banks, phones, told: 0 };
    pair.alert_all("to warm up").await;
    let mut with = pair.alert_all("with Redis").await;
    redis.hang();
    let mut without = pair.alert_all("while Redis hangs").await;
    redis.go_on();
    pair.alert_all("while it comes back").await;
    with.extend(pair.alert_all("with Redis again").await);
    redis.kill();
    without.extend(pair.alert_all("without Redis").await);
    redis.restart();
    pair.alert_all("while it starts").await;
    pair.assert_once().await;
    let (with, without) = (median(with), median(without));
    println!(
        "median to the phone, taken by the other instance: {with:?} with hints, {without:?} without; lost 0"
    );
    assert!(without <= with + LATER_MAX, "{without:?} without Redis, {with:?} with it");
    second.stop().await;
    world.stop().await;
}
