//! The load test of the desk: agents with their pages open at two instances on one PostgreSQL, customers who write to
//! them, and a queue of many.
//!
//! `cargo bench --bench desk -- --postgres URL` measures the way of a customer's words from WeChat's push to the agent's
//! screen, and how long it takes to be given the next of 100,000 who wait. Everything runs on the cores that there are.
//! It fails where words are lost or come later than they may.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

mod agent;
#[path = "../alerts/figures.rs"]
mod figures;
#[expect(dead_code, reason = "the database of the other load test is made and dropped beside")]
#[path = "../load/fill.rs"]
mod fill;
#[expect(dead_code, reason = "a WeChat that only lets us sign in is enough here")]
#[path = "../alerts/outside.rs"]
mod outside;
#[path = "../load/plain.rs"]
mod plain;
#[expect(dead_code, reason = "what it uses is not measured here")]
#[path = "../load/process.rs"]
mod process;
#[path = "../settings.rs"]
mod settings;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Agent, Heard};
use anyhow::{Context as _, ensure};
use clap::Parser;
use figures::{micros, quantile};
use outside::Outside;
use process::Server;
use sqlx::{Connection as _, PgConnection};
use tokio::task::JoinSet;

const OURS: &str = env!("CARGO_BIN_EXE_weikefu");
/// Servers, agents, customers and database share them.
const CORES: &str = "0,1";
const INSTANCES: usize = 2;
/// A customer's words are on the agent's screen within this, but for one of a hundred; with hints sooner.
const SHOWN_WITHIN_MS: f64 = 300.0;
const SHOWN_BY_HINTS_WITHIN_MS: f64 = 200.0;
/// The next of those who wait is given within this, but for one of a hundred.
const GIVEN_WITHIN_MS: f64 = 20.0;
/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures the desk.
#[derive(Parser)]
struct Load {
    /// The PostgreSQL server; databases are made there and dropped.
    #[arg(long, value_name = "URL")]
    postgres: String,
    /// Agents, each with one conversation and his page open.
    #[arg(long, default_value_t = 500)]
    agents: usize,
    /// Customers' messages a second.
    #[arg(long, default_value_t = 200)]
    rate: u64,
    /// How long they write.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Customers who wait while cases are given out.
    #[arg(long, default_value_t = 100_000)]
    waiting: u64,
    /// Cases that are given out and measured.
    #[arg(long, default_value_t = 400)]
    given: usize,
    /// A Redis that carries hints between the instances; without one they look by themselves.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Tell the figures and fail only where words are lost: for machines that do other things.
    #[arg(long)]
    no_bounds: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

macro_rules! tell {
    ($($part:tt)*) => { writeln!(std::io::stdout(), $($part)*)? };
}

fn main() -> anyhow::Result<()> {
    let load = Load::parse();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(measure(&load))
}

async fn measure(load: &Load) -> anyhow::Result<()> {
    let databases = fill::Databases::make(&load.postgres).await?;
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let outcome = measure_on(load, &databases.ours, folder.path()).await;
    databases.drop().await?;
    outcome
}

async fn measure_on(load: &Load, database: &str, folder: &Path) -> anyhow::Result<()> {
    let (_outside, wechat, _receipts) = Outside::start(Duration::from_millis(50), false)?;
    std::fs::write(folder.join("master"), "YWxlcnRzLXRlc3QtbWFzdGVyLWFsZXJ0cy10ZXN0LW0=\n")?;
    let servers = (0..INSTANCES)
        .map(|number| serve(load, folder, number, database, &wechat))
        .collect::<anyhow::Result<Vec<Server>>>()?;
    let bases: Vec<String> = servers.iter().map(|server| format!("http://{}", server.address)).collect();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(PATIENCE).build()?;
    sign_in_all(database, load.agents).await?;
    tell!("{} instances, {} agents signed in", servers.len(), load.agents);

    let customers = Customers { client: client.clone(), bases: bases.clone(), run: seconds() };
    let agents = take_up(load, &client, &bases, &customers).await?;
    talk(load, &customers, agents).await?;
    give_out(load, database, &client, &bases).await
}

/// Every agent takes one conversation, and opens his page.
async fn take_up(
    load: &Load,
    client: &reqwest::Client,
    bases: &[String],
    customers: &Customers,
) -> anyhow::Result<Vec<Arc<Agent>>> {
    let mut agents = Vec::with_capacity(load.agents);
    for number in 0..load.agents {
        customers.say(number, "转人工", 0).await?;
        let base = &bases[number % bases.len()];
        let agent = Agent::at_work(client.clone(), base.clone(), &token(number)).await?;
        let case = agent.take_next().await?.context("nobody waits for the agent")?;
        agents.push(Arc::new(agent.opens(&case).await?));
    }
    Ok(agents)
}

/// Customers write at a fixed rate, each to his agent; every word is waited for on the agent's screen.
async fn talk(load: &Load, customers: &Customers, agents: Vec<Arc<Agent>>) -> anyhow::Result<()> {
    let heard = Arc::new(Heard::default());
    let mut pages = JoinSet::new();
    for agent in agents {
        pages.spawn(agent.watch(heard.clone()));
    }
    heard.all_open(load.agents, PATIENCE).await?;
    let count = load.rate * load.seconds;
    let began = Instant::now();
    let mut pushes = JoinSet::new();
    let mut taken = 0;
    for number in 1..=count {
        let due = began + Duration::from_micros((number - 1) * 1_000_000 / load.rate);
        tokio::time::sleep_until(due.into()).await;
        let customers = customers.clone();
        let whose = usize::try_from(number.wrapping_mul(7_919))? % load.agents;
        heard.left(number);
        pushes.spawn(async move { customers.say(whose, &format!("M{number}"), number).await });
        while let Some(ended) = pushes.try_join_next() {
            taken += u64::from(ended??);
        }
    }
    while let Some(ended) = pushes.join_next().await {
        taken += u64::from(ended??);
    }
    tokio::select! {
        shown = heard.all_shown(taken, PATIENCE) => shown?,
        Some(page) = pages.join_next() => page?.context("an agent's page broke")?,
    }
    pages.abort_all();
    let refused = count - taken;
    ensure!(load.no_bounds || refused == 0, "{refused} customers were told that the house is busy");
    let ways = heard.ways();
    let p99 = quantile(&ways, 0.99);
    tell!(
        "{} agents, {} messages/s for {} s: from WeChat's push to the agent's screen p50 {:.0} ms, p99 {p99:.0} ms, longest {:.0} ms; \
         {refused} were told that the house is busy",
        load.agents,
        load.rate,
        load.seconds,
        quantile(&ways, 0.5),
        quantile(&ways, 1.0)
    );
    let within = if load.redis.is_some() { SHOWN_BY_HINTS_WITHIN_MS } else { SHOWN_WITHIN_MS };
    ensure!(load.no_bounds || p99 <= within, "words came later than {within} ms");
    Ok(())
}

/// Many wait, and agents ask for the next, one after the other at each instance.
async fn give_out(
    load: &Load,
    database: &str,
    client: &reqwest::Client,
    bases: &[String],
) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    // Whoever is given another case must not be full.
    sqlx::query("UPDATE desk_case SET state = 'closed', closed_ms = 1").execute(&mut connection).await?;
    for statement in [WAITING_CASES, WAITING_CONVERSATIONS] {
        let query = sqlx::query(statement).bind(i64::try_from(load.waiting)?).bind(seconds() * 1_000);
        query.execute(&mut connection).await?;
    }
    sqlx::query("ANALYZE desk_case").execute(&mut connection).await?;
    let mut agents = Vec::new();
    for number in 0..load.given.div_ceil(PER_AGENT).min(load.agents) {
        agents
            .push(Agent::at_work(client.clone(), bases[number % bases.len()].clone(), &token(number)).await?);
    }
    let mut took = Vec::new();
    for agent in agents.iter().cycle().take(load.given) {
        let began = Instant::now();
        ensure!(agent.take_next().await?.is_some(), "nobody was given though many wait");
        took.push(micros(began.elapsed()));
    }
    took.sort_unstable();
    let p99 = quantile(&took, 0.99);
    tell!(
        "{} wait: the next is given within p50 {:.1} ms, p99 {p99:.1} ms, longest {:.1} ms",
        load.waiting,
        quantile(&took, 0.5),
        quantile(&took, 1.0)
    );
    ensure!(load.no_bounds || p99 <= GIVEN_WITHIN_MS, "the next was given later than {GIVEN_WITHIN_MS} ms");
    Ok(())
}

/// Cases that one agent is given: what he may have at the same time.
const PER_AGENT: usize = 5;

/// Customers with conversations, by number.
#[derive(Clone)]
struct Customers {
    client: reqwest::Client,
    bases: Vec<String>,
    run: i64,
}

impl Customers {
    /// One push in plain mode, to an instance that is not always the agent's. Tells whether it was taken: under too much
    /// load the customer is told so instead.
    async fn say(&self, customer: usize, text: &str, number: u64) -> anyhow::Result<bool> {
        let base = &self.bases[(customer / 2) % self.bases.len()];
        let openid = format!("oDesk{customer:023}");
        let message = self.run * 1_000_000_000 + i64::try_from(number)? * 1_000 + i64::try_from(customer)?;
        Ok(plain::push(&self.client, base, &openid, message, text).await? == "success")
    }
}

/// What stands in the agent's cookie.
fn token(number: usize) -> String {
    format!("desk-load-{number}")
}

async fn sign_in_all(database: &str, agents: usize) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    for statement in [STAFF, SESSIONS] {
        let query = sqlx::query(statement).bind(i64::try_from(agents)?).bind(seconds() * 1_000);
        query.execute(&mut connection).await?;
    }
    Ok(())
}

const STAFF: &str = "INSERT INTO staff (name, role, accounts, password_hash, created_ms, changed_ms) \
    SELECT 'load' || n, 'agent', '', '-', $2, $2 FROM generate_series(0, $1 - 1) AS number (n)";
const SESSIONS: &str = "INSERT INTO staff_session (token_hash, name, created_ms, active_ms, stage) \
    SELECT sha256(convert_to('desk-load-' || n, 'UTF8')), 'load' || n, $2, $2, 'full' \
    FROM generate_series(0, $1 - 1) AS number (n)";
const WAITING_CASES: &str = "INSERT INTO desk_case (case_id, account, fkey, state, skill, priority, reason, opened_ms, \
    opened_seq, queued_ms, rank_ms, unread, transfers, touched_ms) SELECT 'wait-' || n, 'card', \
    convert_to(lpad(n::text, 16, 'w'), 'UTF8'), 'waiting', (ARRAY['general', 'card', 'loan', 'fraud'])[1 + n % 4], 0, \
    'asked', $2, 0, $2 - n, $2 - n, 0, 0, 0 FROM generate_series(1, $1) AS number (n)";
const WAITING_CONVERSATIONS: &str = "INSERT INTO conversation (account, fkey, version, turn, open_turns, seq, stage, \
    case_id, message_ms, message_used, tap_ms, tap_used, changed_ms) SELECT 'card', \
    convert_to(lpad(n::text, 16, 'w'), 'UTF8'), 1, 1, 0, 0, 'waiting', 'wait-' || n, $2, 0, 0, 0, $2 \
    FROM generate_series(1, $1) AS number (n)";

fn seconds() -> i64 {
    use weikefu::clock::Clock as _;
    weikefu::clock::SystemClock.now().seconds()
}

fn serve(load: &Load, folder: &Path, number: usize, database: &str, wechat: &str) -> anyhow::Result<Server> {
    let config: PathBuf = folder.join(format!("instance-{number}.toml"));
    let hints = load.redis.as_ref().map(|url| format!("[hints]\nredis_url = \"{url}\"\n\n"));
    let text = configuration(database, folder, wechat, &hints.unwrap_or_default());
    std::fs::write(&config, text)?;
    let log = config.with_extension("log");
    let config = config.to_str().context("a path in UTF-8")?;
    Server::start_on(CORES, Path::new(OURS), &["serve", "--config", config], Some(&log))
}

fn configuration(database: &str, folder: &Path, wechat: &str, hints: &str) -> String {
    let account = format!(
        r#"
original_id = "{}"
app_id = "wxdeskload012345"
app_secret = "desk-test-secret"
token = "{}"
encryption = "plain"
api_base_url = "{wechat}"
oauth_base_url = "{wechat}"
"#,
        outside::ORIGINAL_ID,
        outside::TOKEN,
    );
    let more = format!(
        r#"
[staff]
second_factor = []

{hints}[api]
secrets = ["whsec_ZGVzay1sb2FkLXRlc3QtYXBpLXNlY3JldC1sb2FkLXRlc3Q="]
"#
    );
    settings::configuration(database, folder, &account, &more)
}
