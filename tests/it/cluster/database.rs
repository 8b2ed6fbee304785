//! The database as banks run it: it fails over to a synchronous standby under load, and a pooler stands before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::{Fleet, has_postgres};
use crate::postgres::{Cluster, Pooler};
use crate::processes::{run, told};
use crate::sending::{Alerted, Pushing};
use crate::world::{World, fresh_postgres, until};

/// Waits until so many more were accepted.
async fn more(accepted: &AtomicUsize, count: usize) {
    let before = accepted.load(Ordering::SeqCst);
    until("more transactions", || async {
        (accepted.load(Ordering::SeqCst) >= before + count).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failover_under_load_loses_nothing_and_ends_within_half_a_minute() {
    if !has_postgres() {
        return;
    }
    let primary = Cluster::start();
    let standby = primary.synchronous_standby().await;
    // The standby first: it is asked, takes no writes, and is passed over.
    let (one, other) = (standby.port, primary.port);
    let url = format!("postgres://postgres@127.0.0.1:{one},127.0.0.1:{other}/postgres");
    let alerted = Alerted::prepare(World::on_database(&url).await).await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let pushing = Pushing::start(&alerted.world, accepted.clone());
    more(&accepted, 30).await;
    primary.kill();
    standby.promote();
    let since = Instant::now();
    more(&accepted, 1).await;
    let back = since.elapsed();
    more(&accepted, 30).await;
    let ids = pushing.end().await;
    for id in &ids {
        alerted.sent(id).await;
    }
    let count = ids.len();
    alerted.assert_once(ids, "after the failover").await;
    eprintln!(
        "failover: alerts were accepted again {back:?} after the standby took writes; {count} accepted, 0 lost, 0 twice"
    );
    assert!(back <= Duration::from_secs(30), "{back:?}");
    alerted.world.stop().await;
}

/// One connection to the server for all that the server of ours does: whoever needed two at once would wait for ever, and
/// whatever stayed behind in a session would meet the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_works_through_a_pooler_with_one_connection() {
    if !has_postgres() {
        return;
    }
    if !Pooler::is_installed() {
        eprintln!("skipped: pgbouncer is not installed");
        return;
    }
    let direct = fresh_postgres().await;
    let (server, name) = direct.rsplit_once('/').unwrap();
    let port: u16 = server.rsplit_once(':').unwrap().1.parse().unwrap();
    let pooler = Pooler::start(port).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/{name}?pooler=transaction", pooler.port);
    let world = World::on_database(&url).await;
    let folder = world.folder.path();

    // Migrations are not run through it, which is said.
    let refused = run(folder, &["serve", "--config", "w.toml"]);
    assert_eq!(refused.status.code(), Some(1), "{}", told(&refused));
    assert!(
        told(&refused).contains("run `weikefu migrate` with the address of the database itself"),
        "{}",
        told(&refused)
    );
    let text = std::fs::read_to_string(folder.join("w.toml")).unwrap();
    std::fs::write(folder.join("direct.toml"), text.replace(&url, &direct)).unwrap();
    let migrated = run(folder, &["migrate", "--config", "direct.toml"]);
    assert!(migrated.status.success(), "{}", told(&migrated));

    let mut fleet = Fleet::none(world, direct);
    for _ in 0..2 {
        fleet.join(|text| text).await;
    }
    let follower = fleet.world.follower("池").await.openid;
    fleet.world.bind(&follower, "C10001").await;
    let phone = fleet.world.phone(&follower);
    // All that two instances read and write goes through one connection: where that is slow, the answer comes later or
    // is asked for again.
    for _ in 0..3 {
        for (said, expected) in [("查账单", "本期应还"), ("积分", "可用积分")] {
            let answers = async || {
                let answer = phone.say(said).await;
                eprintln!("{said}: {answer}");
                answer.contains(expected).then_some(())
            };
            until(said, answers).await;
        }
    }
    let accepted = Arc::new(AtomicUsize::new(0));
    let pushing = Pushing::start(&fleet.world, accepted.clone());
    more(&accepted, 15).await;
    let ids = pushing.end().await;
    let count = ids.len();
    fleet.all_shown(&follower, ids).await;
    eprintln!(
        "PgBouncer, transaction mode, one server connection, two instances: {count} alerts told once each"
    );
    let log = pooler.log();
    assert!(!log.contains("unsupported startup parameter") && !log.contains("prepared statement"), "{log}");
    fleet.stop().await;
}
