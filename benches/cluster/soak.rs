//! Whether memory and open files stay as they are, hour after hour.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;

use super::figures::quantile;
use super::fleet::{Account, Fleet};
use super::{AT_RATE, Load, WECHAT_TAKES, tell};

/// Pushes are made ready for so long at a time.
const STRETCH: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3_600);
/// How much an instance may grow after its first hour, in hundredths; and how many files more it may have open.
const GROWTH_MAX: f64 = 5.0;
const FILES_MORE_MAX: usize = 16;

/// A stream for so many hours; tells how each instance fared after each of them.
pub(crate) async fn measure(load: &Load, hours: u64) -> anyhow::Result<()> {
    let mut fleet = Fleet::start(&load.postgres, AT_RATE, Account::Safe, WECHAT_TAKES).await?;
    let mut first: Option<Vec<(f64, usize)>> = None;
    for hour in 1..=hours {
        let (began, mut answered, mut slowest) = (Instant::now(), 0, 0.0_f64);
        while began.elapsed() < HOUR {
            let driven = fleet.steady(load.soak_rate, STRETCH).await?;
            answered += driven.latencies.len();
            slowest = slowest.max(quantile(&driven.latencies, 0.99));
        }
        let mut now = vec![];
        for server in &fleet.servers {
            now.push((server.resident_bytes()? as f64 / 1e6, server.open_files()?));
        }
        let told: Vec<String> =
            now.iter().map(|(megabytes, files)| format!("{megabytes:.0} MB, {files} files")).collect();
        tell!(
            "hour {hour}: {answered} pushes answered, p99 of the worst half minute {slowest:.1} ms; {}",
            told.join("; ")
        );
        let first = first.get_or_insert_with(|| now.clone());
        for ((megabytes, files), (megabytes_first, files_first)) in now.iter().zip(first.iter()) {
            let growth = (megabytes / megabytes_first - 1.0) * 100.0;
            ensure!(growth <= GROWTH_MAX, "memory grew by {growth:.1} % since the first hour");
            ensure!(*files <= files_first + FILES_MORE_MAX, "{files} files are open, {files_first} were");
        }
    }
    fleet.stop().await
}
