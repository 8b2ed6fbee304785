//! Some instances of the release binary on a database of their own, and who drives them.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use tokio::task::JoinSet;

use super::bank::{self, Bank};
use super::drive::{Pace, drive};
use super::figures::quantile;
use super::outside::{self, Outside};
use super::process::Server;
use super::push::{self, Maker};
use super::{fill, settings, tell};

pub(crate) const OURS: &str = env!("CARGO_BIN_EXE_weikefu");
/// Servers, generator and database share them.
pub(crate) const CORES: &str = "0,1";
/// Nothing that is waited for takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// Where no core listens.
pub(crate) const NO_CORE: &str = "http://127.0.0.1:9";
/// Followers who write.
const WRITING: u64 = 20_000;
/// Pushes under way at once, over all instances.
const CONNECTIONS: usize = 64;
/// At full speed pushes are made ready for so long at a time, so many a second: there are no more.
const SLICE: Duration = Duration::from_secs(3);
const RATE_GUESS: u64 = 8_000;
/// Transactions of one call of the bank, calls under way, and customers.
const BATCH: u64 = 100;
const CALLS_AT_ONCE: usize = 8;
const CUSTOMERS: u64 = 2_000;

/// How the account's pushes come.
#[derive(Clone)]
pub(crate) enum Account {
    /// Signed and encrypted; no core is asked.
    Safe,
    /// Signed only; this core is asked.
    Plain(String),
}

/// See the module.
pub(crate) struct Fleet {
    pub(crate) servers: Vec<Server>,
    pub(crate) outside: Arc<Outside>,
    pub(crate) client: reqwest::Client,
    /// Where its database is.
    pub(crate) database: String,
    databases: fill::Databases,
    maker: Maker,
    wechat: String,
    account: Account,
    folder: tempfile::TempDir,
}

impl Fleet {
    /// So many, all of them ready, before a WeChat that takes so long to answer.
    pub(crate) async fn start(
        postgres: &str,
        count: usize,
        account: Account,
        wechat_takes: Duration,
    ) -> anyhow::Result<Self> {
        let databases = fill::Databases::make(postgres).await?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        std::fs::write(folder.path().join("master"), "YWxlcnRzLXRlc3QtbWFzdGVyLWFsZXJ0cy10ZXN0LW0=\n")?;
        let (outside, wechat, _receipts) = Outside::start(wechat_takes, false)?;
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build()?;
        let (database, maker) = (databases.ours.clone(), Maker::new(WRITING, 0)?);
        let mut fleet =
            Self { servers: vec![], outside, client, database, databases, maker, wechat, account, folder };
        for _ in 0..count {
            fleet.join()?;
        }
        Ok(fleet)
    }

    /// One more instance.
    pub(crate) fn join(&mut self) -> anyhow::Result<()> {
        let config = self.folder.path().join(format!("instance-{}.toml", self.servers.len()));
        std::fs::write(&config, self.configuration())?;
        let log = config.with_extension("log");
        let config = config.to_str().context("a path in UTF-8")?;
        let server = Server::start_on(CORES, Path::new(OURS), &["serve", "--config", config], Some(&log));
        self.servers.push(server?);
        Ok(())
    }

    /// Where each of them listens.
    pub(crate) fn bases(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("http://{}", server.address)).collect()
    }

    /// Ends all, and drops what they stored.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.servers);
        self.databases.drop().await
    }

    /// Pushes at full speed to all instances at once; gives how many were answered a second.
    pub(crate) async fn pushes(&mut self, length: Duration) -> anyhow::Result<f64> {
        let connections = (CONNECTIONS / self.servers.len()).max(1);
        let (mut answered, mut took) = (0, Duration::ZERO);
        while took < length {
            let count = RATE_GUESS * SLICE.as_secs();
            let driven = self.drive(count, Pace::FullSpeed { connections, length: SLICE }).await?;
            answered += driven.latencies.len();
            took += driven.took;
        }
        let rate = answered as f64 / took.as_secs_f64();
        tell!("{} instances: {rate:.0} pushes/s", self.servers.len());
        Ok(rate)
    }

    /// Pushes at a fixed rate; gives the 99th percentile in milliseconds.
    pub(crate) async fn at_rate(&mut self, rate: u32, length: Duration) -> anyhow::Result<f64> {
        let driven = self.steady(rate, length).await?;
        let p99 = quantile(&driven.latencies, 0.99);
        tell!(
            "{} instances at {rate} pushes/s: p50 {:.1} ms, p99 {p99:.1} ms",
            self.servers.len(),
            quantile(&driven.latencies, 0.5)
        );
        Ok(p99)
    }

    /// Pushes at a fixed rate over all instances.
    pub(crate) async fn steady(&mut self, rate: u32, length: Duration) -> anyhow::Result<Driven> {
        let share = rate / u32::try_from(self.servers.len())?;
        let pace = Pace::Fixed { rate: share, connections: CONNECTIONS };
        self.drive(u64::from(rate) * length.as_secs(), pace).await
    }

    /// Drives all instances at once, each with its share of so many pushes, and opens every answer.
    async fn drive(&mut self, count: u64, pace: Pace) -> anyhow::Result<Driven> {
        let each = usize::try_from(count)? / self.servers.len();
        self.maker.set_seconds(seconds());
        let mut roads = Vec::new();
        for server in &self.servers {
            let pushes = self.maker.slice(each, &server.address.to_string());
            roads.push(drive(server.address, pushes, pace));
        }
        let mut driven = Driven { latencies: vec![], took: Duration::ZERO };
        for (slice, pushes) in try_join_all(roads).await? {
            let failure = slice.failure.as_deref().unwrap_or_default();
            ensure!(slice.failures == 0, "{} pushes failed, the first: {failure}", slice.failures);
            ensure!(slice.answered() > 0, "an instance answered nothing");
            driven.took = driven.took.max(slice.took);
            for (push, answer) in pushes.iter().zip(&slice.answers) {
                if let Some((body, micros)) = answer {
                    self.maker.open_reply(body, &push.openid)?;
                    driven.latencies.push(*micros);
                }
            }
        }
        driven.latencies.sort_unstable();
        Ok(driven)
    }

    /// Transactions as fast as they are taken; gives how many alerts left a second, from the first call on.
    pub(crate) async fn alerts(&self, transactions: u64) -> anyhow::Result<f64> {
        let bank = Arc::new(Bank::new(self.client.clone(), self.bases(), CUSTOMERS, 0)?);
        bank.bind_all().await?;
        let batches = transactions / BATCH;
        let began = Instant::now();
        let mut calls = JoinSet::new();
        for _ in 0..batches {
            if calls.len() >= CALLS_AT_ONCE
                && let Some(ended) = calls.join_next().await
            {
                ended??;
            }
            let bank = bank.clone();
            calls.spawn(async move { bank.send(BATCH).await });
        }
        while let Some(ended) = calls.join_next().await {
            ended??;
        }
        let taken = began.elapsed();
        let wanted = usize::try_from(batches * BATCH)?;
        while self.outside.count() < wanted {
            ensure!(began.elapsed() < PATIENCE * 5, "{} of {wanted} alerts were sent", self.outside.count());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let took = began.elapsed();
        ensure!(self.outside.repeats().1 == 0, "alerts were told twice");
        let (in_rate, rate) = (wanted as f64 / taken.as_secs_f64(), wanted as f64 / took.as_secs_f64());
        tell!(
            "{} instances: {in_rate:.0} transactions/s durable, {rate:.0} alerts/s sent",
            self.servers.len()
        );
        Ok(rate)
    }

    fn configuration(&self) -> String {
        let (token, original_id, encryption, core) = match &self.account {
            Account::Safe => (push::TOKEN, push::ORIGINAL_ID, "safe", NO_CORE),
            Account::Plain(core) => (outside::TOKEN, outside::ORIGINAL_ID, "plain", core.as_str()),
        };
        let fields =
            "{ card = \"character_string1\", amount = \"amount2\", time = \"time3\", merchant = \"thing4\" }";
        let account = format!(
            r#"
original_id = "{original_id}"
app_id = "{}"
app_secret = "cluster-test-secret"
token = "{token}"
encoding_aes_key = "{}"
encryption = "{encryption}"
api_base_url = "{wechat}"
oauth_base_url = "{wechat}"

[accounts.notices.spend]
template_id = "spend"
fields = {fields}

[accounts.notices.declined]
template_id = "declined"
fields = {fields}
"#,
            push::APP_ID,
            push::AES_KEY,
            wechat = self.wechat,
        );
        let more = format!("\n[api]\nsecrets = [\"{}\"]\n", bank::SECRET);
        let text = settings::configuration(&self.database, self.folder.path(), &account, &more);
        text.replace(&format!("\"{NO_CORE}\""), &format!("\"{core}\""))
    }
}

/// What one drive came to.
pub(crate) struct Driven {
    /// Of each answer, sorted, in microseconds.
    pub(crate) latencies: Vec<u32>,
    /// Until the slowest instance's last answer.
    took: Duration,
}

fn seconds() -> u64 {
    use weikefu::clock::Clock as _;
    u64::try_from(weikefu::clock::SystemClock.now().seconds()).unwrap_or_default()
}
