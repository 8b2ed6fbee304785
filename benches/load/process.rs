//! Servers under test as processes of their own, on a core of their own, and what the system says of them.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// The system counts CPU time in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// A server that answers; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// From its start until it said so.
    pub(crate) started_within: Duration,
}

impl Server {
    /// Starts a program on these cores, with its log in a file or here, and waits for the line `… on http://ADDRESS`.
    pub(crate) fn start_on(
        cores: &str,
        program: &Path,
        arguments: &[&str],
        log: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let began = Instant::now();
        let log = log.map(std::fs::File::create).transpose()?;
        let mut child = Command::new("taskset")
            .args(["-c", cores])
            .arg(program)
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(log.map_or_else(Stdio::inherit, Stdio::from))
            .spawn()
            .context("taskset, of util-linux, keeps servers and generator apart")?;
        let stdout = child.stdout.take().context("the server's output")?;
        let mut lines = BufReader::new(stdout).lines();
        let address = loop {
            let Some(line) = lines.next().transpose()? else {
                let status = child.wait()?;
                bail!("{} ended: {status}", program.display());
            };
            if let Some((_, address)) = line.split_once("on http://") {
                break address.parse().with_context(|| format!("{address} is no address"))?;
            }
        };
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address, started_within: began.elapsed() })
    }

    /// Memory that it occupies, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }

    /// Files, connections and the like that it has open.
    pub(crate) fn open_files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.child.id()))?.count())
    }

    /// CPU time that it has used.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, fields) = stat.rsplit_once(") ").context("stat")?;
        let ticks: u32 =
            fields.split_whitespace().skip(11).take(2).map(str::parse::<u32>).sum::<Result<u32, _>>()?;
        Ok(TICK * ticks)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
