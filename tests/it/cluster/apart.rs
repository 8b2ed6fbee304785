//! One of three is cut off from the database and comes back, or its clock is wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use weikefu::app::App;
use weikefu::clock::{Clock, SharedClock, SharedRandom, SteeredClock, SystemClock, SystemRandom};
use weikefu::domain::time::UnixMs;

use super::{Fleet, has_postgres};
use crate::sending::{Alerted, Pushing, purchase};
use crate::world::{Engine, World, until};

/// How long an owner is cut off: longer than its leases, and than others wait for them.
const CUT: Duration = Duration::from_secs(20);

/// A wire to the database that can be cut: what is on it waits, as in a network, and arrives late.
struct Wire {
    port: u16,
    is_whole: watch::Sender<bool>,
}

impl Wire {
    async fn lay(database_port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_whole, whole) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((here, _)) = listener.accept().await {
                let Ok(there) = TcpStream::connect(("127.0.0.1", database_port)).await else { continue };
                let ((here_in, here_out), (there_in, there_out)) = (here.into_split(), there.into_split());
                tokio::spawn(carry(here_in, there_out, whole.clone()));
                tokio::spawn(carry(there_in, here_out, whole.clone()));
            }
        });
        Self { port, is_whole }
    }

    fn cut(&self) {
        self.is_whole.send_replace(false);
    }

    fn heal(&self) {
        self.is_whole.send_replace(true);
    }
}

async fn carry(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut whole: watch::Receiver<bool>,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        if whole.wait_for(|whole| *whole).await.is_err() || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_was_cut_off_settles_nothing_under_its_old_epoch() {
    if !has_postgres() {
        return;
    }
    let mut fleet = Fleet::start(2).await;
    let server = fleet.database.rsplit_once('/').unwrap().0.to_owned();
    let port = server.rsplit_once(':').unwrap().1.to_owned();
    let wire = Wire::lay(port.parse().unwrap()).await;
    let wired = server.replace(&format!(":{port}"), &format!(":{}", wire.port));
    fleet.join(|text| text.replace(&server, &wired)).await;
    fleet.shared().await;
    let cut_off = fleet.member(2).owner.clone();

    let openid = fleet.world.follower("断").await.openid;
    fleet.world.bind(&openid, "C10001").await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let pushing = Pushing::start(&fleet.world, accepted.clone());
    let more = async |count: usize| {
        let enough = accepted.load(Ordering::SeqCst) + count;
        until("alerts", || async { (accepted.load(Ordering::SeqCst) >= enough).then_some(()) }).await;
    };
    more(20).await;
    wire.cut();
    let since = Instant::now();
    let owns = async || fleet.shares().await.contains_key(&cut_off);
    until("a take-over", || async { (!owns().await).then_some(()) }).await;
    eprintln!("the partitions of the one that was cut off were taken over after {:?}", since.elapsed());
    tokio::time::sleep(CUT.saturating_sub(since.elapsed())).await;
    let epochs = "SELECT CAST(sum(epoch) AS BIGINT) FROM part_lease";
    let before = fleet.number(epochs).await;
    wire.heal();
    until("its return", || async { owns().await.then_some(()) }).await;
    assert!(fleet.number(epochs).await > before, "it came back by taking its partitions anew");
    more(20).await;
    let ids = pushing.end().await;
    let count = ids.len();
    fleet.all_shown(&openid, ids).await;
    until("the end of the work", || async {
        (fleet.number("SELECT count(*) FROM outbox WHERE settled = 0 AND lane <> 4").await == 0).then_some(())
    })
    .await;
    // The planner hears of the last message's end a moment after it.
    until("a verdict for each", || async {
        let open = fleet.number("SELECT count(*) FROM notice WHERE state NOT IN ('sent', 'delivered')").await;
        (open == 0).then_some(())
    })
    .await;
    eprintln!("cut off for {CUT:?} and healed: {count} alerts, each told once");
    fleet.stop().await;
}

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
