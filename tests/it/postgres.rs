//! PostgreSQL as banks run it: servers of the test's own, with a standby, and a pooler.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sqlx::Connection as _;

use crate::processes::{Process, signal};
use crate::world::{Ports, until};

/// A PostgreSQL of the test's own, that may be killed.
pub(crate) struct Cluster {
    programs: PathBuf,
    data: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Cluster {
    /// One that lives.
    pub(crate) fn start() -> Self {
        let cluster = Self::prepare();
        let folder = cluster.folder();
        let initialise = ["-D", &folder, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"];
        assert!(cluster.run("initdb", &initialise), "initdb");
        cluster.go_on();
        cluster
    }

    /// A standby of this one, without which it acknowledges nothing from now on.
    pub(crate) async fn synchronous_standby(&self) -> Self {
        let standby = Self::prepare();
        let (port, folder) = (self.port.to_string(), standby.folder());
        let copy = ["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-D", &folder, "-R", "-c", "fast"];
        assert!(standby.run("pg_basebackup", &copy), "pg_basebackup");
        standby.go_on();
        self.execute("ALTER SYSTEM SET synchronous_standby_names = '*'").await;
        self.execute("SELECT pg_reload_conf()").await;
        until("a synchronous standby", || async {
            let sync = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
            (self.number(sync).await == 1).then_some(())
        })
        .await;
        standby
    }

    /// Makes a standby the one that takes writes; returns once it does.
    pub(crate) fn promote(&self) {
        assert!(self.run("pg_ctl", &["-D", &self.folder(), "-w", "promote"]), "promote");
    }

    /// Runs a statement that no server would.
    pub(crate) async fn execute(&self, sql: &'static str) {
        let mut connection = sqlx::PgConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    /// One number.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        let mut connection = sqlx::PgConnection::connect(&self.url()).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// A folder that the programs may write to, and a port.
    fn prepare() -> Self {
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
        cluster
    }

    fn folder(&self) -> String {
        self.data.path().join("data").display().to_string()
    }

    /// Where its one database is.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts it, again if it was killed: what its processes leave behind goes away by itself.
    pub(crate) fn go_on(&self) {
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
    pub(crate) fn stop(&self) {
        assert!(self.run("pg_ctl", &["-D", &self.folder(), "-m", "immediate", "stop"]));
    }

    /// kill -9 of the process that owns all others; they end when they see it.
    pub(crate) fn kill(&self) {
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

const POOLER: &str = "/usr/sbin/pgbouncer";

/// PgBouncer in transaction mode, with one connection to the server for everybody.
pub(crate) struct Pooler {
    _process: Process,
    folder: tempfile::TempDir,
    pub(crate) port: u16,
}

impl Pooler {
    /// Where it is not installed there is none.
    pub(crate) fn is_installed() -> bool {
        Path::new(POOLER).exists()
    }

    /// Before the server at this port.
    pub(crate) async fn start(server_port: u16) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), Ports::reserve().server);
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={server_port} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\n\
             default_pool_size = 1\nmax_client_conn = 200\n"
        );
        std::fs::write(folder.path().join("pgbouncer.ini"), settings).unwrap();
        let log = folder.path().join("log");
        std::fs::File::create(&log).unwrap();
        let process = if is_root() {
            for path in [folder.path(), &log] {
                assert!(Command::new("chown").arg("postgres").arg(path).status().unwrap().success());
            }
            let arguments = ["-u", "postgres", "--", POOLER, "pgbouncer.ini"];
            Process::start_program_logging(folder.path(), "runuser", &arguments, &log)
        } else {
            Process::start_program_logging(folder.path(), POOLER, &["pgbouncer.ini"], &log)
        };
        let pooler = Self { _process: process, folder, port };
        until("the pooler", || async {
            tokio::net::TcpStream::connect(("127.0.0.1", pooler.port)).await.ok().map(drop)
        })
        .await;
        pooler
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }
}
