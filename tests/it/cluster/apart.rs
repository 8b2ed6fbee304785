//! One of several has a clock that is wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use weikefu::app::App;
use weikefu::clock::{Clock, SharedClock, SharedRandom, SteeredClock, SystemClock, SystemRandom};
use weikefu::domain::time::UnixMs;

use super::has_postgres;
use crate::sending::{Alerted, purchase};
use crate::world::{Engine, World};

/// A machine's clock that is wrong.
struct Wrong(i64);

impl Clock for Wrong {
    fn now(&self) -> UnixMs {
        UnixMs(SystemClock.now().0 + self.0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_ten_minutes_off_makes_nothing_early_or_late() {
    const TEN_MINUTES_MS: i64 = 600_000;
    const EACH: usize = 10;
    if !has_postgres() {
        return;
    }
    let world = World::without_server(Engine::Postgres).await;
    let mut apps = Vec::new();
    for off_ms in [0, TEN_MINUTES_MS, -TEN_MINUTES_MS] {
        let mut config = world.config.clone();
        if !apps.is_empty() {
            config.server.listen = "127.0.0.1:0".parse().unwrap();
        }
        let clock: SharedClock = Arc::new(SteeredClock::new(Arc::new(Wrong(off_ms))));
        let random: SharedRandom = Arc::new(SystemRandom);
        apps.push(App::start(config, clock, random).await.unwrap());
    }
    let openid = world.follower("钟").await.openid;
    world.bind(&openid, "C10001").await;
    let mut ids = BTreeSet::new();
    for number in 0..3 * EACH {
        let id = format!("clock-{number}");
        let bank = world.caller().towards(format!("http://{}", apps[number % 3].zones().listen));
        let (status, body) = bank.call(Method::POST, "/api/v1/transactions", &purchase(&id)).await.unwrap();
        assert_eq!(status, 202, "accepted under a signature of the right time: {body}");
        ids.insert(id);
    }
    let alerted = Alerted { world, openid };
    let began = Instant::now();
    for id in &ids {
        alerted.sent(id).await;
    }
    eprintln!("{} alerts taken in by three clocks: all told after {:?}", ids.len(), began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    alerted.assert_once(ids, "three clocks").await;
    // What the rows say: told within two seconds of being due, by whoever's clock.
    let late = "SELECT coalesce(max(abs(attempt.at_ms - outbox.created_ms)), 0) FROM attempt \
        JOIN outbox ON outbox.outbox_id = attempt.outbox_id";
    eprintln!(
        "largest distance between acceptance and sending, by their stamps: {} ms",
        alerted.world.number(late).await
    );
    for app in apps {
        app.stop().await;
    }
    alerted.world.stop().await;
}
