//! Alerts while their database is away: gone for a minute, and a PostgreSQL that is killed with -9 again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;

use crate::house::Blocked;
use crate::postgres::Cluster;
use crate::processes::kills;
use crate::sending::{Alerted, Pushing};
use crate::world::{Engine, World, until};

const AWAY: Duration = Duration::from_secs(60);

/// A world on a cluster of its own.
async fn on(cluster: &Cluster) -> Alerted {
    Alerted::prepare(World::on_database(&cluster.url()).await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_gone_for_a_minute_loses_and_doubles_nothing() {
    // One after the other: to start a program blocks, and a connection of the other world would go stale meanwhile.
    let mut worlds = Vec::new();
    for engine in Engine::at_hand() {
        let cluster = (engine == Engine::Postgres).then(Cluster::start);
        let alerted = match &cluster {
            Some(cluster) => on(cluster).await,
            None => Alerted::prepare(World::without_server(engine).await).await,
        };
        worlds.push((engine, cluster, alerted));
    }
    let engines = worlds.into_iter().map(|(engine, cluster, alerted)| async move {
        let accepted = Arc::new(AtomicUsize::new(0));
        let pushing = Pushing::start(&alerted.world, accepted.clone());
        let more = |count: usize| {
            let accepted = accepted.clone();
            async move {
                let before = accepted.load(Ordering::SeqCst);
                until("more transactions", || async {
                    (accepted.load(Ordering::SeqCst) >= before + count).then_some(())
                })
                .await;
            }
        };
        more(20).await;
        match &cluster {
            Some(cluster) => {
                cluster.stop();
                tokio::time::sleep(AWAY).await;
                cluster.go_on();
            }
            // A file cannot be away: another program holds it.
            None => {
                let url = alerted.world.config.database.url.reveal();
                let blocked = Blocked::on(url, "").await;
                tokio::time::sleep(AWAY).await;
                blocked.end().await;
            }
        }
        more(20).await;
        let ids = pushing.end().await;
        for id in &ids {
            alerted.sent(id).await;
        }
        alerted.assert_once(ids, &format!("{engine:?}")).await;
        alerted.world.stop().await;
    });
    join_all(engines).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_of_postgres_under_a_stream_of_transactions_lose_and_double_nothing() {
    const BETWEEN_KILLS: usize = 15;
    let kills = kills(5);
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return;
    }
    let cluster = Cluster::start();
    let alerted = on(&cluster).await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let pushing = Pushing::start(&alerted.world, accepted.clone());
    for kill in 1..=kills {
        let enough = kill * BETWEEN_KILLS;
        until("transactions between kills", || async {
            (accepted.load(Ordering::SeqCst) >= enough).then_some(())
        })
        .await;
        cluster.kill();
        cluster.go_on();
    }
    let ids = pushing.end().await;
    for id in &ids {
        alerted.sent(id).await;
    }
    eprintln!("{kills} times SIGKILL of PostgreSQL under {} alerts", ids.len());
    alerted.assert_once(ids, "PostgreSQL").await;
    alerted.world.stop().await;
}
