//! The load test of many: several instances on one PostgreSQL, and a database with very many followers.
//!
//! `cargo bench --bench cluster -- --postgres URL` is the short form, of a minute or two: pushes and alerts a second by 1, 2
//! and 4 instances, the latency of pushes at fixed rates, and the latency of a bill query and of an alert among few and many
//! followers. Everything runs on the cores that there are, so more instances than cores show what sharing costs, not what
//! more machines bring. It fails where an answer is wrong or missing, where tables of followers are read row by row, and
//! where the 99th percentile among the most followers is more than 1.5 times that among ten thousand. `--soak-hours 24` does
//! something else: a constant stream, under which memory and open files must stay as they were after the first hour.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

#[expect(dead_code, reason = "the way of a single alert is measured beside")]
#[path = "../alerts/bank.rs"]
mod bank;
mod chart;
#[path = "../load/drive.rs"]
mod drive;
#[path = "../alerts/figures.rs"]
mod figures;
#[expect(dead_code, reason = "a log of many messages is the other load test's")]
#[path = "../load/fill.rs"]
mod fill;
mod fleet;
mod followers;
#[expect(dead_code, reason = "a WeChat that fails is the other load test's")]
#[path = "../alerts/outside.rs"]
mod outside;
#[path = "../load/plain.rs"]
mod plain;
#[expect(dead_code, reason = "CPU time is the other load test's")]
#[path = "../load/process.rs"]
mod process;
#[path = "../load/push.rs"]
mod push;
#[path = "../settings.rs"]
mod settings;
mod soak;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use chart::{Chart, svg};
use clap::Parser;
use fleet::{Account, Fleet};

/// How long WeChat takes to answer while alerts are counted.
const WECHAT_TAKES: Duration = Duration::from_millis(50);
/// Instances at which latency is measured.
const AT_RATE: usize = 2;

/// Measures many instances and many followers.
#[derive(Parser)]
pub(crate) struct Load {
    /// The PostgreSQL server; databases are made there and dropped.
    #[arg(long, value_name = "URL")]
    postgres: String,
    /// Numbers of instances.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 4])]
    instances: Vec<usize>,
    /// How long each number of instances, and each rate, is driven.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Pushes a second at which latency is measured, with two instances.
    #[arg(long, value_delimiter = ',', default_values_t = [250, 500, 1_000])]
    rates: Vec<u32>,
    /// Transactions for each number of instances.
    #[arg(long, default_value_t = 5_000)]
    transactions: u64,
    /// Followers in the database, ascending.
    #[arg(long, value_delimiter = ',', default_values_t = [0, 10_000, 100_000])]
    followers: Vec<u64>,
    /// Bill queries, and alerts, for each number of followers.
    #[arg(long, default_value_t = 300)]
    samples: u64,
    /// Instead of all else: two instances under a constant stream for so many hours.
    #[arg(long, value_name = "HOURS")]
    soak_hours: Option<u64>,
    /// Pushes a second of that stream.
    #[arg(long, default_value_t = 500)]
    soak_rate: u32,
    /// Where the picture is written.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/cluster.svg"))]
    svg: PathBuf,
    /// Tell the figures and fail only where answers are wrong: for machines that do other things.
    #[arg(long)]
    no_bounds: bool,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

macro_rules! tell {
    ($($part:tt)*) => { writeln!(std::io::stdout(), $($part)*)? };
}
pub(crate) use tell;

fn main() -> anyhow::Result<()> {
    let load = Load::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match load.soak_hours {
        Some(hours) => runtime.block_on(soak::measure(&load, hours)),
        None => runtime.block_on(measure(&load)),
    }
}

async fn measure(load: &Load) -> anyhow::Result<()> {
    let mut pushes = Chart::new("pushes a second, by instances");
    let mut alerts = Chart::new("alerts sent a second, by instances");
    for count in &load.instances {
        let mut fleet = Fleet::start(&load.postgres, *count, Account::Safe, WECHAT_TAKES).await?;
        pushes.bars.push((count.to_string(), fleet.pushes(Duration::from_secs(load.seconds)).await?));
        alerts.bars.push((count.to_string(), fleet.alerts(load.transactions).await?));
        fleet.stop().await?;
    }
    let mut latency = Chart::new("p99 of a push in ms, by pushes a second at two instances");
    let mut fleet = Fleet::start(&load.postgres, AT_RATE, Account::Safe, WECHAT_TAKES).await?;
    for rate in &load.rates {
        let p99 = fleet.at_rate(*rate, Duration::from_secs(load.seconds)).await?;
        latency.bars.push((rate.to_string(), p99));
    }
    fleet.stop().await?;
    let mut charts = vec![pushes, alerts, latency];
    charts.extend(followers::measure(load).await?);
    std::fs::write(&load.svg, svg(&charts))?;
    tell!("picture: {}", load.svg.display());
    Ok(())
}
