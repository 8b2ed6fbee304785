//! Alerts while their database is away: gone for a minute, and a PostgreSQL that is killed with -9 again and again.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;

use crate::house::Blocked;
use crate::processes::signal;
use crate::sending::{Alerted, Pushing};
use crate::world::{Engine, Ports, World, until};

const AWAY: Duration = Duration::from_secs(60);

/// A PostgreSQL of the test's own, that may be killed.
struct Cluster {
    programs: PathBuf,
    data: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    fn start() -> Self {
        let folders = std::fs::read_dir("/usr/lib/postgresql").unwrap();
        let mut programs: Vec<PathBuf> = folders.map(|folder| folder.unwrap().path().join("bin")).collect();
        programs.sort();
        let data = tempfile::tempdir().unwrap();
        let cluster = Self { programs: programs.pop().unwrap(), data, port: Ports::reserve().server };
        // PostgreSQL refuses to run as root, and its own user must reach the folder.
        if is_root() {
            assert!(
                Command::new("chown").arg("postgres").arg(cluster.data.path()).status().unwrap().success()
            );
        }
        let folder = cluster.folder();
        let initialise = ["-D", &folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"];
        assert!(cluster.run("initdb", &initialise), "initdb");
        cluster.go_on();
        cluster
    }

    fn folder(&self) -> String {
        self.data.path().join("data").display().to_string()
    }

    fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it, again if it was killed: what its processes leave behind goes away by itself.
    fn go_on(&self) {
        let (port, sockets) = (self.port, self.data.path().display());
        let options = format!("-p {port} -c listen_addresses=127.0.0.1 -k {sockets}");
        let log = self.data.path().join("log").display().to_string();
        let began = std::time::Instant::now();
        while !self.run("pg_ctl", &["-D", &self.folder(), "-w", "-l", &log, "-o", &options, "start"]) {
            assert!(began.elapsed() < Duration::from_secs(60), "PostgreSQL does not start again");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Ends at once, without a word to anybody.
    fn stop(&self) {
        assert!(self.run("pg_ctl", &["-D", &self.folder(), "-m", "immediate", "stop"]));
    }

    /// kill -9 of the process that owns all others; they end when they see it.
    fn kill(&self) {
        let pid = std::fs::read_to_string(Path::new(&self.folder()).join("postmaster.pid")).unwrap();
        signal("KILL", pid.lines().next().unwrap().trim().parse().unwrap());
    }

    fn run(&self, program: &str, arguments: &[&str]) -> bool {
        let program = self.programs.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.current_dir("/").status().unwrap().success()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.run("pg_ctl", &["-D", &self.folder(), "-m", "immediate", "stop"]);
    }
}

fn is_root() -> bool {
    let identity = Command::new("id").arg("-u").output().unwrap();
    identity.stdout.trim_ascii() == b"0"
}

/// A world on a cluster of its own.
async fn on(cluster: &Cluster) -> Alerted {
    let url = cluster.url();
    let world = World::prepared(Engine::Sqlite, move |text, _| {
        let given = text.lines().find(|line| line.starts_with("url = \"sqlite")).unwrap().to_owned();
        text.replace(&given, &format!("url = \"{url}\""))
    });
    Alerted::prepare(world.await).await
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
    const KILLS: usize = 5;
    const BETWEEN_KILLS: usize = 15;
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return;
    }
    let cluster = Cluster::start();
    let alerted = on(&cluster).await;
    let accepted = Arc::new(AtomicUsize::new(0));
    let pushing = Pushing::start(&alerted.world, accepted.clone());
    for kill in 1..=KILLS {
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
    alerted.assert_once(ids, "PostgreSQL").await;
    alerted.world.stop().await;
}
