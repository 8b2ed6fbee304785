//! The load test of the webhook: our release binary beside three floors that do less, in alternating slices.
//!
//! `cargo bench --bench load` measures on SQLite, and on PostgreSQL as well with `-- --postgres URL`. Servers run on
//! core 0 and the generator on core 1, so it needs two of them, and `taskset`. Every reply is opened and compared.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

mod drive;
#[path = "../alerts/figures.rs"]
mod figures;
mod fill;
mod floors;
mod process;
mod push;
#[path = "../settings.rs"]
mod settings;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Parser, Subcommand};
use drive::{Pace, Slice, drive};
use figures::quantile;
use floors::Floor;
use process::Server;
use push::{Maker, Push};
use weikefu::clock::{Clock as _, SystemClock};
use weikefu::config::Config;

const OURS: &str = env!("CARGO_BIN_EXE_weikefu");
/// The core that servers run on; the generator has the other.
const SERVER_CORE: &str = "0";
/// The generator's core.
const GENERATOR_CORE: &str = "1";
/// Connections at full speed.
const CONNECTIONS: usize = 128;
/// Connections at a fixed rate: as many as may be waiting when the server stops for a moment.
const CONNECTIONS_MAX: usize = 512;
/// Pushes a second that are made ready for a server's first slice.
const RATE_GUESS: f64 = 80_000.0;

/// Measures the webhook.
#[derive(Parser)]
struct Load {
    #[command(subcommand)]
    part: Option<Part>,
    /// Measure on this PostgreSQL server too; databases are made there and dropped.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Leave SQLite out.
    #[arg(long)]
    no_sqlite: bool,
    /// Rounds; each gives every server one slice.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Length of a slice at full speed.
    #[arg(long, default_value_t = 3_000)]
    slice_ms: u64,
    /// Followers who write.
    #[arg(long, default_value_t = 20_000)]
    followers: u64,
    /// Pushes a second at the fixed rate.
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
    /// Length of the slice at the fixed rate.
    #[arg(long, default_value_t = 20_000)]
    fixed_ms: u64,
    /// Messages after which memory is looked at.
    #[arg(long, default_value_t = 1_000_000)]
    messages: usize,
    /// Messages in the database when the time to start is measured; 0: as many as were sent.
    #[arg(long, default_value_t = 0)]
    stored: u64,
    /// Only our own server, for profiling.
    #[arg(long)]
    only_ours: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Runs one floor.
    #[command(hide = true)]
    Floor {
        #[arg(long)]
        floor: Floor,
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        database: String,
        #[arg(long)]
        reply: String,
    },
}

fn main() -> anyhow::Result<()> {
    let load = Load::parse();
    match &load.part {
        Some(Part::Floor { floor, config, database, reply }) => {
            let config = read(config)?;
            actix_web::rt::System::new().block_on(floors::serve(*floor, &config, database, reply.clone()))
        }
        None if std::env::var_os("WEIKEFU_LOAD_PINNED").is_none() => again_on_its_core(),
        None => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&load)),
    }
}

/// Starts this program once more on the generator's core.
fn again_on_its_core() -> anyhow::Result<()> {
    let status = std::process::Command::new("taskset")
        .args(["-c", GENERATOR_CORE])
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env("WEIKEFU_LOAD_PINNED", "1")
        .status()
        .context("taskset, of util-linux, keeps servers and generator apart")?;
    ensure!(status.success(), "the load test failed");
    Ok(())
}

async fn measure(load: &Load) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    if !load.no_sqlite {
        let folder = folder.path().join("sqlite");
        let ours = format!("sqlite://{}", folder.join("ours.db").display());
        let floor = format!("sqlite://{}", folder.join("floor.db").display());
        Run::new(load, &folder, "SQLite", ours, floor)?.whole().await?;
    }
    if let Some(postgres) = &load.postgres {
        let databases = fill::Databases::make(postgres).await?;
        let (ours, floor) = (databases.ours.clone(), databases.floor.clone());
        let outcome = match Run::new(load, &folder.path().join("postgres"), "PostgreSQL", ours, floor) {
            Ok(mut run) => run.whole().await,
            Err(error) => Err(error),
        };
        databases.drop().await?;
        outcome?;
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Config> {
    Config::load(path, []).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(faults.join("\n"))
    })
}

macro_rules! tell {
    ($($part:tt)*) => { writeln!(std::io::stdout(), $($part)*)? };
}

/// The measuring on one database.
struct Run<'a> {
    load: &'a Load,
    engine: &'static str,
    config: PathBuf,
    database: String,
    floor_database: String,
    maker: Maker,
    /// What the service answers.
    text: String,
    sent: usize,
}

/// A server with what was measured of it.
struct Target {
    name: &'static str,
    server: Server,
    rates: Vec<f64>,
    micros: Vec<Vec<u32>>,
    cpu_micros: Vec<f64>,
    ours: bool,
}

impl<'a> Run<'a> {
    fn new(
        load: &'a Load,
        folder: &Path,
        engine: &'static str,
        database: String,
        floor_database: String,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let config = folder.join("weikefu.toml");
        std::fs::write(&config, configuration(&database, folder))?;
        std::fs::write(folder.join("master"), "bG9hZC10ZXN0LW1hc3Rlci1sb2FkLXRlc3QtbWFzdGU=\n")?;
        Ok(Self {
            load,
            engine,
            config,
            database,
            floor_database,
            maker: Maker::new(load.followers, 0)?,
            text: String::new(),
            sent: 0,
        })
    }

    async fn whole(&mut self) -> anyhow::Result<()> {
        tell!("\n{}: {} followers, 5 % duplicates, safe mode", self.engine, self.load.followers);
        let ours = self.serve()?;
        tell!("start to ready, empty database: {:.0} ms", millis(ours.started_within));
        self.learn(ours.address).await?;
        let mut targets = Vec::new();
        if !self.load.only_ours {
            for (name, floor) in
                [("bare handler", "bare"), ("codec only", "codec"), ("codec and one row", "row")]
            {
                targets.push(Target::new(name, self.floor(floor)?, false));
            }
        }
        targets.push(Target::new("weikefu", ours, true));
        self.rounds(&mut targets).await?;
        self.report(&targets)?;
        self.fixed(&targets).await?;
        let mut ours = targets.pop().context("our server")?;
        drop(targets);
        while self.sent < self.load.messages {
            self.slice(&mut ours).await?;
        }
        let megabytes = ours.server.resident_bytes()? as f64 / 1e6;
        let files = ours.server.open_files()?;
        tell!("after {} messages: {megabytes:.0} MB of memory, {files} files open", self.sent);
        drop(ours);
        let stored = fill::up_to(&self.database, self.load.stored).await?;
        tell!("start to ready, {stored} messages stored: {:.0} ms", millis(self.serve()?.started_within));
        Ok(())
    }

    fn serve(&self) -> anyhow::Result<Server> {
        let config = self.config.to_str().context("a path in UTF-8")?;
        Server::start_on(SERVER_CORE, Path::new(OURS), &["serve", "--config", config], None)
    }

    fn floor(&self, floor: &str) -> anyhow::Result<Server> {
        let config = self.config.to_str().context("a path in UTF-8")?;
        let database = &self.floor_database;
        let arguments =
            ["floor", "--floor", floor, "--config", config, "--database", database, "--reply", &self.text];
        Server::start_on(SERVER_CORE, &std::env::current_exe()?, &arguments, None)
    }

    /// Learns what the service answers, so that floors answer as much and every reply can be compared.
    async fn learn(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let pace = Pace::FullSpeed { connections: 1, length: Duration::from_secs(60) };
        let (slice, pushes) = drive(address, self.pushes(2, address), pace).await?;
        ensure!(slice.failures == 0, "{}", slice.failure.unwrap_or_default());
        for (push, answer) in pushes.iter().zip(&slice.answers) {
            let (body, _) = answer.as_ref().context("an answer")?;
            let text = self.maker.open_reply(body, &push.openid)?;
            ensure!(
                self.text.is_empty() || self.text == text,
                "keyword and menu entry are answered differently"
            );
            self.text = text;
        }
        Ok(())
    }

    fn pushes(&mut self, count: usize, address: SocketAddr) -> Vec<Push> {
        self.maker.set_seconds(u64::try_from(SystemClock.now().seconds()).unwrap_or_default());
        self.maker.slice(count, &address.to_string())
    }

    async fn rounds(&mut self, targets: &mut [Target]) -> anyhow::Result<()> {
        for target in targets.iter_mut() {
            self.slice(target).await?;
            target.forget();
        }
        for round in 0..self.load.rounds {
            let count = targets.len();
            for place in 0..count {
                // Another one goes first in each round: machines drift.
                self.slice(&mut targets[(round + place) % count]).await?;
            }
        }
        Ok(())
    }

    /// One slice at full speed.
    async fn slice(&mut self, target: &mut Target) -> anyhow::Result<()> {
        let length = Duration::from_millis(self.load.slice_ms);
        let guess = target.rates.last().copied().unwrap_or(RATE_GUESS).max(RATE_GUESS / 4.0) * 1.5;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rough count")]
        let count = (guess * length.as_secs_f64()) as usize;
        let pushes = self.pushes(count, target.server.address);
        let before = target.server.cpu()?;
        let pace = Pace::FullSpeed { connections: CONNECTIONS, length };
        let (slice, pushes) = drive(target.server.address, pushes, pace).await?;
        let cpu = target.server.cpu()?.saturating_sub(before);
        self.verify(target.ours, &slice, &pushes)?;
        target.keep(&slice, cpu);
        Ok(())
    }

    /// Every reply goes to whom it should, says what it should, and is the same for a repeated delivery.
    fn verify(&mut self, ours: bool, slice: &Slice, pushes: &[Push]) -> anyhow::Result<()> {
        let failure = slice.failure.as_deref().unwrap_or_default();
        ensure!(slice.failures == 0, "{} pushes failed, the first: {failure}", slice.failures);
        for (push, answer) in pushes.iter().zip(&slice.answers) {
            let Some((body, _)) = answer else { continue };
            // The bare floor answers with a constant.
            if ours || body.starts_with(b"<xml><Encrypt>") {
                let text = self.maker.open_reply(body, &push.openid).with_context(|| {
                    format!(
                        "the reply was {:?}",
                        String::from_utf8_lossy(body).chars().take(200).collect::<String>()
                    )
                })?;
                ensure!(text == self.text, "a reply says something else: {text}");
            }
            if let (true, Some(first)) = (ours, push.repeats)
                && let Some((first, _)) = &slice.answers[first]
            {
                ensure!(first == body, "a repeated delivery got another answer");
            }
        }
        if ours {
            self.sent += slice.answered();
        }
        Ok(())
    }

    async fn fixed(&mut self, targets: &[Target]) -> anyhow::Result<()> {
        let rate = self.load.rate;
        let count = usize::try_from(u64::from(rate) * self.load.fixed_ms / 1_000)?;
        for target in targets.iter().rev().take(2) {
            let pushes = self.pushes(count, target.server.address);
            let pace = Pace::Fixed { rate, connections: CONNECTIONS_MAX };
            let (slice, pushes) = drive(target.server.address, pushes, pace).await?;
            self.verify(target.ours, &slice, &pushes)?;
            let mut micros: Vec<u32> = slice.answers.iter().flatten().map(|(_, micros)| *micros).collect();
            micros.sort_unstable();
            tell!(
                "{} at {rate}/s: {} of {count} answered; p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms",
                target.name,
                micros.len(),
                quantile(&micros, 0.5),
                quantile(&micros, 0.99),
                quantile(&micros, 0.999),
                quantile(&micros, 1.0)
            );
        }
        Ok(())
    }

    fn report(&self, targets: &[Target]) -> anyhow::Result<()> {
        let row = targets.iter().rev().nth(1).map(Target::rate);
        tell!(
            "| server | pushes/s (median) | of the third floor | CPU per push | p50 | p99 | p99.9 | memory |"
        );
        tell!("|---|---:|---:|---:|---:|---:|---:|---:|");
        for target in targets {
            let share = row.map_or(String::new(), |row| format!("{:.0} %", target.rate() / row * 100.0));
            let [p50, p99, p999] = [0.5, 0.99, 0.999]
                .map(|share| median(target.micros.iter().map(|micros| quantile(micros, share)).collect()));
            tell!(
                "| {} | {:.0} | {share} | {:.1} µs | {p50:.2} ms | {p99:.2} ms | {p999:.2} ms | {:.0} MB |",
                target.name,
                target.rate(),
                median(target.cpu_micros.clone()),
                target.server.resident_bytes()? as f64 / 1e6
            );
        }
        tell!(
            "{CONNECTIONS} connections, {} rounds of {} ms; 0 errors",
            self.load.rounds,
            self.load.slice_ms
        );
        Ok(())
    }
}

impl Target {
    fn new(name: &'static str, server: Server, ours: bool) -> Self {
        Self { name, server, rates: Vec::new(), micros: Vec::new(), cpu_micros: Vec::new(), ours }
    }

    fn keep(&mut self, slice: &Slice, cpu: Duration) {
        let answered = slice.answered() as f64;
        self.rates.push(answered / slice.took.as_secs_f64());
        self.cpu_micros.push(cpu.as_secs_f64() * 1e6 / answered);
        let mut micros: Vec<u32> = slice.answers.iter().flatten().map(|(_, micros)| *micros).collect();
        micros.sort_unstable();
        self.micros.push(micros);
    }

    /// The slice that warmed it up does not count.
    fn forget(&mut self) {
        self.micros.clear();
        self.cpu_micros.clear();
        self.rates.clear();
    }

    fn rate(&self) -> f64 {
        median(self.rates.clone())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn configuration(database: &str, folder: &Path) -> String {
    let account = format!(
        r#"
original_id = "{}"
app_id = "{}"
app_secret = "load-test-secret"
token = "{}"
encoding_aes_key = "{}"
encryption = "safe"
api_base_url = "http://127.0.0.1:9"
oauth_base_url = "http://127.0.0.1:9"
"#,
        push::ORIGINAL_ID,
        push::APP_ID,
        push::TOKEN,
        push::AES_KEY,
    );
    let more = r#"
[api]
secrets = ["whsec_bG9hZC10ZXN0LWFwaS1zZWNyZXQtbG9hZC10ZXN0LS0="]
"#;
    settings::configuration(database, folder, &account, more)
}
