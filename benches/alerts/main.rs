//! The load test of alerts: our release binary between a bank that pushes transactions and a WeChat that takes its
//! time to answer.
//!
//! `cargo bench --bench alerts` measures on SQLite, and on PostgreSQL as well with `-- --postgres URL`. Everything runs
//! on the cores that there are. Four parts: intake at full speed, the way of an alert at a fixed rate, a backlog, and
//! an outage of WeChat. It fails where a message is lost or doubled.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

mod bank;
mod figures;
#[expect(dead_code, reason = "the database of the other load test is made and dropped beside")]
#[path = "../load/fill.rs"]
mod fill;
mod outside;
#[path = "../load/process.rs"]
mod process;
#[path = "../settings.rs"]
mod settings;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bank::{Bank, Batch, DECLINED_EVERY};
use clap::Parser;
use figures::{micros, quantile};
use outside::Outside;
use process::Server;
use tokio::task::JoinSet;

const OURS: &str = env!("CARGO_BIN_EXE_weikefu");
/// Server, WeChat, bank and database share them.
const CORES: &str = "0,1";
/// Batches that are under way at full speed.
const CALLS_AT_ONCE: usize = 8;
/// Transactions of one batch at full speed.
const BATCH: u64 = 100;
/// At a fixed rate a batch leaves this often.
const TICK: Duration = Duration::from_millis(50);
/// After an outage everything is sent within this.
const DRAINED_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Nothing that is waited for takes longer than this without any progress.
const STALLED_AFTER: Duration = Duration::from_secs(120);

/// Measures intake and sending.
#[derive(Clone, Parser)]
struct Load {
    /// Measure on this PostgreSQL server too; databases are made there and dropped.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Leave SQLite out.
    #[arg(long)]
    no_sqlite: bool,
    /// Parts to measure.
    #[arg(long, value_delimiter = ',', default_values = ["intake", "rate", "backlog", "outage"])]
    parts: Vec<Part>,
    /// Customers, each bound to one follower.
    #[arg(long, default_value_t = 20_000)]
    customers: u64,
    /// How long WeChat takes to answer.
    #[arg(long, default_value_t = 50)]
    latency_ms: u64,
    /// Leave out the receipts that WeChat pushes for each message.
    #[arg(long)]
    no_receipts: bool,
    /// Transactions of the part `intake`.
    #[arg(long, default_value_t = 100_000)]
    intake: u64,
    /// Alerts a second of the part `rate`.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// Length of the part `rate`.
    #[arg(long, default_value_t = 60)]
    rate_seconds: u64,
    /// Transactions of the part `backlog`.
    #[arg(long, default_value_t = 1_000_000)]
    backlog: u64,
    /// Alerts a second of the part `outage`.
    #[arg(long, default_value_t = 300)]
    outage_rate: u64,
    /// Length of the outage.
    #[arg(long, default_value_t = 600)]
    outage_seconds: u64,
    /// All parts together are given up after this.
    #[arg(long, default_value_t = 180)]
    minutes_max: u64,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Intake,
    Rate,
    Backlog,
    Outage,
}

macro_rules! tell {
    ($($part:tt)*) => { writeln!(std::io::stdout(), $($part)*)? };
}

fn main() -> anyhow::Result<()> {
    let load = Load::parse();
    let most = Duration::from_secs(load.minutes_max * 60);
    let measured = async { tokio::time::timeout(most, measure(&load)).await };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measured).with_context(|| format!("not done within {} minutes", load.minutes_max))?
}

async fn measure(load: &Load) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    for part in &load.parts {
        if !load.no_sqlite {
            let folder = folder.path().join(format!("sqlite-{}", name_of(*part)));
            let database = format!("sqlite://{}", folder.join("weikefu.db").display());
            Run::start(load, &folder, "SQLite", &database).await?.part(*part).await?;
        }
        if let Some(postgres) = &load.postgres {
            let databases = fill::Databases::make(postgres).await?;
            let folder = folder.path().join(format!("postgres-{}", name_of(*part)));
            let outcome = match Run::start(load, &folder, "PostgreSQL", &databases.ours).await {
                Ok(run) => run.part(*part).await,
                Err(error) => Err(error),
            };
            databases.drop().await?;
            outcome?;
        }
    }
    Ok(())
}

fn name_of(part: Part) -> &'static str {
    match part {
        Part::Intake => "intake",
        Part::Rate => "rate",
        Part::Backlog => "backlog",
        Part::Outage => "outage",
    }
}

/// One part on one database.
struct Run<'a> {
    load: &'a Load,
    engine: &'static str,
    outside: Arc<Outside>,
    bank: Arc<Bank>,
    server: Server,
    receipts: tokio::task::JoinHandle<()>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.receipts.abort();
    }
}

impl<'a> Run<'a> {
    async fn start(
        load: &'a Load,
        folder: &Path,
        engine: &'static str,
        database: &str,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let latency = Duration::from_millis(load.latency_ms);
        let (outside, address, waiting) = Outside::start(latency, !load.no_receipts)?;
        let config = folder.join("weikefu.toml");
        std::fs::write(&config, configuration(database, folder, &address))?;
        std::fs::write(folder.join("master"), "YWxlcnRzLXRlc3QtbWFzdGVyLWFsZXJ0cy10ZXN0LW0=\n")?;
        let server = serve(&config)?;
        tell!("{engine}: ready within {} ms", server.started_within.as_millis());
        let base = format!("http://{}", server.address);
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        let receipts = tokio::spawn(outside::push_receipts(client.clone(), base.clone(), waiting));
        let bank = Arc::new(Bank::new(client, vec![base], load.customers, 0)?);
        bank.bind_all().await?;
        Ok(Self { load, engine, outside, bank, server, receipts })
    }

    async fn part(self, part: Part) -> anyhow::Result<()> {
        match part {
            Part::Intake => self.intake().await,
            Part::Rate => self.rate().await,
            Part::Backlog => self.backlog().await,
            Part::Outage => self.outage().await,
        }
    }

    /// Batches of a hundred at full speed, while what was taken in is sent beside.
    async fn intake(&self) -> anyhow::Result<()> {
        let began = Instant::now();
        self.at_full_speed(self.load.intake).await?;
        let rate = self.load.intake as f64 / began.elapsed().as_secs_f64();
        let took = took(&self.bank.taken());
        tell!(
            "{}, intake: {rate:.0} transactions/s durable in batches of {BATCH}; a batch p50 {:.1} ms, p99 {:.1} ms; {} sent meanwhile",
            self.engine,
            quantile(&took, 0.5),
            quantile(&took, 0.99),
            self.outside.count()
        );
        Ok(())
    }

    /// An alert's way from the bank to WeChat's answer, at a fixed rate.
    async fn rate(&self) -> anyhow::Result<()> {
        let count = self.load.rate * self.load.rate_seconds;
        let before = self.server.cpu()?;
        self.at_rate(self.load.rate, Duration::from_secs(self.load.rate_seconds)).await?;
        self.all_sent(count).await?;
        let cpu = self.server.cpu()?.saturating_sub(before);
        let (batches, mut ways) = (self.bank.taken(), Vec::new());
        for batch in &batches {
            for number in batch.first..batch.first + batch.count {
                let arrived = self.outside.arrived(number).context("a message did not arrive")?;
                ways.push(micros(arrived.saturating_duration_since(batch.left)));
            }
        }
        ways.sort_unstable();
        tell!(
            "{}, {} alerts/s for {} s, WeChat answers in {} ms: from the bank's call to WeChat's answer p50 {:.0} ms, \
             p99 {:.0} ms, longest {:.0} ms; a batch taken in p99 {:.1} ms; {:.2} ms CPU an alert",
            self.engine,
            self.load.rate,
            self.load.rate_seconds,
            self.load.latency_ms,
            quantile(&ways, 0.5),
            quantile(&ways, 0.99),
            quantile(&ways, 1.0),
            quantile(&took(&batches), 0.99),
            cpu.as_secs_f64() * 1e3 / count as f64
        );
        self.nothing_doubled()
    }

    /// Memory while a backlog grows, with WeChat away.
    async fn backlog(&self) -> anyhow::Result<()> {
        self.outside.set_down(true);
        let steps = 10;
        let mut memory = Vec::new();
        let began = Instant::now();
        for _ in 0..steps {
            self.at_full_speed(self.load.backlog / steps).await?;
            let (megabytes, files) = (self.server.resident_bytes()? as f64 / 1e6, self.server.open_files()?);
            memory.push(format!("{megabytes:.0} ({files} files)"));
        }
        let rate = (self.load.backlog / steps * steps) as f64 / began.elapsed().as_secs_f64();
        let took = took(&self.bank.taken());
        tell!(
            "{}, backlog of {}: memory at each tenth {} MB; taken in at {rate:.0}/s, a batch p99 {:.1} ms",
            self.engine,
            self.load.backlog,
            memory.join(", "),
            quantile(&took, 0.99)
        );
        Ok(())
    }

    /// WeChat goes away and comes back; alerts go on at the same rate before, meanwhile and after.
    async fn outage(&self) -> anyhow::Result<()> {
        let (rate, outage) = (self.load.outage_rate, Duration::from_secs(self.load.outage_seconds));
        let around = outage / 10;
        let mut phases = Vec::new();
        self.at_rate(rate, around).await?;
        phases.push(quantile(&took(&self.bank.taken()), 0.99));
        self.outside.set_down(true);
        self.at_rate(rate, outage).await?;
        let batches = self.bank.taken();
        phases.push(quantile(&took(&batches), 0.99));
        let waiting: u64 = batches.iter().map(|batch| batch.count).sum();
        self.outside.set_down(false);
        let back = Instant::now();
        let bank = self.bank.clone();
        // The rate goes on while the backlog drains.
        let more = tokio::spawn(drive(bank, rate, outage.max(Duration::from_secs(10)) / 2));
        let (security, others, unclear) = loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            ensure!(back.elapsed() < DRAINED_WITHIN, "not all was sent 15 minutes after WeChat's return");
            if let Some(drained) = self.drained(&batches) {
                break drained;
            }
        };
        more.await??;
        phases.push(quantile(&took(&self.bank.taken()), 0.99));
        tell!(
            "{}, WeChat away for {} s at {rate}/s: {waiting} waited; after its return the last declined one left after \
             {:.1} s, the last of all after {:.1} s; {unclear} were perhaps sent when it went away and are told to the bank; \
             a batch taken in p99 before, meanwhile, after: {:.1}, {:.1}, {:.1} ms",
            self.engine,
            outage.as_secs(),
            security.saturating_duration_since(back).as_secs_f64(),
            others.saturating_duration_since(back).as_secs_f64(),
            phases[0],
            phases[1],
            phases[2]
        );
        ensure!(security <= others, "security did not leave first");
        self.nothing_doubled()
    }

    /// When the last declined one and the last of the others left, and how many ended as unclear; `None`: some wait.
    fn drained(&self, batches: &[Batch]) -> Option<(Instant, Instant, u64)> {
        let mut last: [Option<Instant>; 2] = [None, None];
        let mut missing = 0;
        for number in batches.iter().flat_map(|batch| batch.first..batch.first + batch.count) {
            let lane = usize::from(!number.is_multiple_of(DECLINED_EVERY));
            match self.outside.arrived(number) {
                Some(at) => last[lane] = last[lane].max(Some(at)),
                None => missing += 1,
            }
        }
        let unclear = self.outside.verdicts("failed unclear");
        (missing <= unclear).then(|| Some((last[0]?, last[1]?, missing))).flatten()
    }

    async fn at_full_speed(&self, count: u64) -> anyhow::Result<()> {
        let mut calls = JoinSet::new();
        for _ in 0..count / BATCH {
            if calls.len() >= CALLS_AT_ONCE {
                calls.join_next().await.context("a call")???;
            }
            let bank = self.bank.clone();
            calls.spawn(async move { bank.send(BATCH).await });
        }
        while let Some(ended) = calls.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn at_rate(&self, rate: u64, length: Duration) -> anyhow::Result<()> {
        drive(self.bank.clone(), rate, length).await
    }

    /// Waits until so many different messages have arrived.
    async fn all_sent(&self, count: u64) -> anyhow::Result<()> {
        let (mut before, mut since) = (0, Instant::now());
        loop {
            let now = self.outside.count();
            if now as u64 >= count {
                return Ok(());
            }
            if now > before {
                (before, since) = (now, Instant::now());
            }
            ensure!(since.elapsed() < STALLED_AFTER, "only {now} of {count} messages arrived");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn nothing_doubled(&self) -> anyhow::Result<()> {
        let (repeats, doubled) = self.outside.repeats();
        tell!("{}: {doubled} doubled, {repeats} repeated under the same client_msg_id", self.engine);
        ensure!(doubled == 0, "messages were doubled");
        Ok(())
    }
}

/// Sends batches at a fixed rate, whatever the answers do.
async fn drive(bank: Arc<Bank>, rate: u64, length: Duration) -> anyhow::Result<()> {
    let batch = (rate * u64::try_from(TICK.as_millis())? / 1_000).max(1);
    let count = rate * length.as_secs() / batch;
    let began = Instant::now();
    let mut calls = JoinSet::new();
    for number in 0..count {
        let due = Duration::from_micros(number * batch * 1_000_000 / rate);
        tokio::time::sleep_until((began + due).into()).await;
        let bank = bank.clone();
        calls.spawn(async move { bank.send(batch).await });
        while let Some(ended) = calls.try_join_next() {
            ended??;
        }
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(())
}

fn serve(config: &Path) -> anyhow::Result<Server> {
    let config = config.to_str().context("a path in UTF-8")?;
    let log = PathBuf::from(config).with_extension("log");
    Server::start_on(CORES, Path::new(OURS), &["serve", "--config", config], Some(&log))
}

fn took(batches: &[Batch]) -> Vec<u32> {
    let mut took: Vec<u32> = batches.iter().map(|batch| micros(batch.took)).collect();
    took.sort_unstable();
    took
}

fn configuration(database: &str, folder: &Path, outside: &str) -> String {
    let fields = r#"{ card = "character_string1", amount = "amount2", time = "time3", merchant = "thing4" }"#;
    let account = format!(
        r#"
original_id = "{}"
app_id = "wxalerts01234567"
app_secret = "alerts-test-secret"
token = "{}"
encryption = "plain"
api_base_url = "{outside}"
oauth_base_url = "{outside}"
"#,
        outside::ORIGINAL_ID,
        outside::TOKEN,
    );
    let more = format!(
        r#"
[accounts.notices.spend]
template_id = "spend"
fields = {fields}

[accounts.notices.declined]
template_id = "declined"
fields = {fields}

[api]
secrets = ["{}"]

[events]
url = "{outside}/events"
secret = "whsec_bG9hZC10ZXN0LWV2ZW50cy1zZWNyZXQtbG9hZC10ZXN0"
"#,
        bank::SECRET,
    );
    settings::configuration(database, folder, &account, &more)
}
