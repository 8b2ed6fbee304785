//! A bill query and an alert among very many followers.

use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::json;
use sqlx::{Connection as _, PgConnection};

use super::bank::Bank;
use super::chart::Chart;
use super::figures::{micros, quantile};
use super::fleet::{Account, CORES, Fleet, NO_CORE, OURS, PATIENCE};
use super::process::Server;
use super::{Load, plain, settings, tell};

/// The tables that grow with the followers.
const GROWN: [&str; 3] = ["follower", "conversation", "binding"];
/// Rows of these, and entries of their indexes, that a query and an alert may read between them.
const ROWS_MAX: u64 = 100;
/// How much longer the slowest hundredth may take among the most followers than among these.
const SLOWER_MAX: f64 = 1.5;
const COMPARED_WITH: u64 = 10_000;
/// Followers who ask for their bill, of a customer whom the sandbox core knows, and customers who are alerted.
const ASKING: u64 = 20;
const ALERTED: u64 = 20;
/// Queries and alerts before any is measured: leases of the instance before have run out, plans are made.
const WARM_UP: u64 = 20;

/// Latency, memory and time to start, by the number of followers.
pub(crate) async fn measure(load: &Load) -> anyhow::Result<[Chart; 2]> {
    let core = Core::start()?;
    let account = Account::Plain(core.url());
    let mut fleet = Fleet::start(&load.postgres, 1, account, Duration::ZERO).await?;
    bind(&fleet).await?;
    let mut charts = [
        Chart::new("p99 of a bill query in ms, by followers"),
        Chart::new("p99 of an alert in ms, by followers"),
    ];
    let (mut held, mut asked, mut compared) = (0, 0, [None; 2]);
    for wanted in &load.followers {
        fill(&fleet.database, held, *wanted).await?;
        held = *wanted;
        let before = rows_read(&fleet.database).await?;
        // A start among so many is measured too.
        fleet.servers.clear();
        fleet.join()?;
        let bank = Bank::new(fleet.client.clone(), fleet.bases(), ALERTED, asked)?;
        let mut took = [vec![], vec![]];
        for sample in 0..WARM_UP + load.samples {
            let ways = [query(&fleet, asked).await?, alert(&fleet, &bank).await?];
            asked += 1;
            if sample >= WARM_UP {
                took.iter_mut().zip(ways).for_each(|(took, way)| took.push(micros(way)));
            }
        }
        let read = rows_read(&fleet.database).await?.saturating_sub(before);
        let may = (WARM_UP + load.samples) * ROWS_MAX;
        ensure!(read <= may, "{read} rows of {GROWN:?} were read, and {may} would do: an index is missing");
        let server = fleet.servers.first().context("a server")?;
        tell!(
            "{held} followers: start {:.0} ms, {:.0} MB of memory, {:.1} of their rows read for a query and an alert",
            server.started_within.as_secs_f64() * 1e3,
            server.resident_bytes()? as f64 / 1e6,
            read as f64 / (WARM_UP + load.samples) as f64
        );
        for ((chart, took), compared) in charts.iter_mut().zip(&mut took).zip(&mut compared) {
            took.sort_unstable();
            let p99 = quantile(took, 0.99);
            tell!("{held} followers: {} {p99:.1}, p50 {:.1}", chart.title, quantile(took, 0.5));
            chart.bars.push((short(held), p99));
            let than = *compared.get_or_insert(p99);
            ensure!(load.no_bounds || p99 <= than * SLOWER_MAX, "{}: {than:.1}, then {p99:.1}", chart.title);
            if held < COMPARED_WITH {
                *compared = None;
            }
        }
    }
    fleet.stop().await?;
    Ok(charts)
}

/// How long a bill takes from the push to the answer on its connection.
async fn query(fleet: &Fleet, number: u64) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let base = fleet.bases().into_iter().next().context("a server")?;
    let openid = asking(number % ASKING);
    let answer = plain::push(&fleet.client, &base, &openid, i64::try_from(number)? + 1, "查账单").await?;
    ensure!(answer.contains("本期应还"), "no bill: {answer}");
    Ok(began.elapsed())
}

/// How long an alert takes from the bank's call to WeChat.
async fn alert(fleet: &Fleet, bank: &Bank) -> anyhow::Result<Duration> {
    let (began, before) = (Instant::now(), fleet.outside.count());
    bank.send(1).await?;
    while fleet.outside.count() == before {
        ensure!(began.elapsed() < PATIENCE, "an alert did not arrive");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(began.elapsed())
}

/// Made-up followers, each with a conversation and a binding.
async fn fill(database: &str, held: u64, wanted: u64) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(database).await?;
    sqlx::query("SET synchronous_commit = off").execute(&mut connection).await?;
    for statement in [FOLLOWERS, CONVERSATIONS, BINDINGS] {
        let query = sqlx::query(statement).bind(i64::try_from(held)?).bind(i64::try_from(wanted)?);
        query.execute(&mut connection).await?;
    }
    sqlx::query("VACUUM ANALYZE").execute(&mut connection).await?;
    Ok(())
}

const FOLLOWERS: &str = "INSERT INTO follower (account, fkey, openid_sealed, following, followed_ms) \
    SELECT 'card', substr(sha256(int8send(n)), 1, 16), decode(repeat('00', 60), 'hex'), 1, n \
    FROM generate_series($1 + 1, $2) AS number (n)";
const CONVERSATIONS: &str = "INSERT INTO conversation (account, fkey, version, turn, open_turns, seq, stage, message_ms, \
    message_used, tap_ms, tap_used, changed_ms) SELECT 'card', substr(sha256(int8send(n)), 1, 16), 1, 1, 0, 0, 'bot', n, \
    0, 0, 0, n FROM generate_series($1 + 1, $2) AS number (n)";
const BINDINGS: &str = "INSERT INTO binding (account, fkey, customer_ix, customer_sealed, profile_sealed, default_card, \
    alerts, hide_amounts, source, bound_ms) SELECT 'card', substr(sha256(int8send(n)), 1, 16), \
    substr(sha256(int8send(-n)), 1, 16), decode(repeat('00', 40), 'hex'), decode(repeat('00', 90), 'hex'), 'K1', 1, 0, \
    'import', n FROM generate_series($1 + 1, $2) AS number (n)";

/// Rows of the grown tables, and entries of their indexes, that were read until now.
async fn rows_read(database: &str) -> anyhow::Result<u64> {
    const READ: &str = "SELECT CAST(coalesce(sum(rows), 0) AS BIGINT) FROM ( \
        SELECT relname, seq_tup_read AS rows FROM pg_stat_user_tables \
        UNION ALL SELECT relname, idx_tup_read FROM pg_stat_user_indexes) AS read WHERE relname = ANY($1)";
    let mut connection = PgConnection::connect(database).await?;
    // Sessions tell what they did about once a second.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let grown = GROWN.map(str::to_owned).to_vec();
    let read: i64 = sqlx::query_scalar(READ).bind(grown).fetch_one(&mut connection).await?;
    Ok(u64::try_from(read)?)
}

fn asking(number: u64) -> String {
    format!("oCluster{number:020}")
}

/// Binds those who ask, and those who are alerted.
async fn bind(fleet: &Fleet) -> anyhow::Result<()> {
    let bank = Bank::new(fleet.client.clone(), fleet.bases(), ALERTED, 0)?;
    bank.bind_all().await?;
    let bindings = (0..ASKING).map(|number| {
        json!({
            "account": "card", "openid": asking(number), "customer_id": "C10001",
            "cards": [{ "card_id": "K1", "last4": "1234", "product": "金卡" }],
            "bound_at": "2026-01-01T10:00:00+08:00",
        })
    });
    let answer = bank.post("/api/v1/bindings", &bindings.collect()).await?;
    ensure!(answer["accepted"] == ASKING, "bindings were not taken: {answer}");
    Ok(())
}

/// The sandbox core, as a program of its own.
struct Core {
    process: Server,
    _folder: tempfile::TempDir,
}

impl Core {
    fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let config = folder.path().join("core.toml");
        let database = format!("sqlite://{}", folder.path().join("core.db").display());
        let account = "original_id = \"gh_core01234567\"\napp_id = \"wxcore0123456789\"\napp_secret = \"cluster-test-secret\"\n\
            token = \"cluster-test-token\"\nencryption = \"plain\"\n";
        let text = settings::configuration(&database, folder.path(), account, "");
        std::fs::write(&config, text.replace(NO_CORE, "http://127.0.0.1:0"))?;
        let log = config.with_extension("log");
        let config = config.to_str().context("a path in UTF-8")?;
        let process = Server::start_on(CORES, Path::new(OURS), &["core", "--config", config], Some(&log))?;
        Ok(Self { process, _folder: folder })
    }

    fn url(&self) -> String {
        format!("http://{}", self.process.address)
    }
}

fn short(number: u64) -> String {
    match number {
        1_000_000.. => format!("{} M", number / 1_000_000),
        1_000.. => format!("{} k", number / 1_000),
        _ => number.to_string(),
    }
}
