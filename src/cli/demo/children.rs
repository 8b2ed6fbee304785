//! The demo's programs as child processes: started, watched, started again when one dies.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Pause before a dead program starts again; it doubles while it keeps dying.
const PAUSE_MIN: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// A program that lived so long died of something new.
const LIVED_WELL: Duration = Duration::from_secs(10);
/// A stopping program has this long before it is ended.
const STOP_MAX: Duration = Duration::from_secs(15);
/// What is shown of a log when a program does not start.
const LOG_LINES_SHOWN: usize = 15;

/// A program of this binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Program {
    /// What it is called on the screen; also its log's name.
    pub(super) name: &'static str,
    /// The command that it is.
    pub(super) command: &'static str,
}

/// A program that runs. It stops when we let go of its standard input, which happens also when we die.
pub(super) struct Running {
    pub(super) child: Child,
    /// Kept apart from the child: waiting for a child closes what it still holds.
    stdin: Option<ChildStdin>,
}

impl Running {
    pub(super) fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }
}

/// How to start programs.
#[derive(Clone)]
pub(super) struct Launcher {
    executable: PathBuf,
    config: PathBuf,
    logs: PathBuf,
}

impl Launcher {
    /// Programs read `config` and write their logs into `logs`.
    pub(super) fn new(config: PathBuf, logs: PathBuf) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&logs).with_context(|| format!("{}", logs.display()))?;
        Ok(Self { executable: std::env::current_exe()?, config, logs })
    }

    /// Where a program's log is.
    pub(super) fn log(&self, program: Program) -> PathBuf {
        self.logs.join(format!("{}.log", program.name))
    }

    /// Starts a program.
    pub(super) fn start(&self, program: Program) -> anyhow::Result<Running> {
        let mut child = Command::new(&self.executable)
            .arg(program.command)
            .arg("--config")
            .arg(&self.config)
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(self.open_log(program)?)
            .stderr(self.open_log(program)?)
            // Its own group: Ctrl-C reaches only us, and we stop the programs in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", self.executable.display()))?;
        Ok(Running { stdin: child.stdin.take(), child })
    }

    /// Runs one command to its end; its output goes to the log of that name.
    pub(super) async fn run(&self, log: Program, arguments: &[&str]) -> anyhow::Result<()> {
        let status = Command::new(&self.executable)
            .args(arguments)
            .arg("--config")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(self.open_log(log)?)
            .stderr(self.open_log(log)?)
            .kill_on_drop(true)
            .status()
            .await?;
        anyhow::ensure!(
            status.success(),
            "weikefu {} failed:\n{}",
            arguments.join(" "),
            tail(&self.log(log))
        );
        Ok(())
    }

    fn open_log(&self, program: Program) -> anyhow::Result<File> {
        let path = self.log(program);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        file.with_context(|| format!("{}", path.display()))
    }
}

/// The last lines of a log.
pub(super) fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}

/// Watches one program until it is told to stop; says on `restarted` when it runs again after a death.
pub(super) async fn watch(
    launcher: Launcher,
    program: Program,
    mut running: Running,
    stop: CancellationToken,
    restarted: mpsc::Sender<Program>,
) {
    let mut pause = PAUSE_MIN;
    let mut since = Instant::now();
    loop {
        let ended = tokio::select! {
            ended = running.child.wait() => ended,
            () = stop.cancelled() => return end(running, program).await,
        };
        let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
        pause = if since.elapsed() > LIVED_WELL { PAUSE_MIN } else { (pause * 2).min(PAUSE_MAX) };
        tell!("{} ended ({how}); it starts again in {} ms", program.name, pause.as_millis());
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        since = Instant::now();
        match launcher.start(program) {
            Ok(again) => {
                running = again;
                tell!("{:<10} pid {}", program.name, running.pid());
                // Nobody listens any more: the demo is stopping.
                let _ = restarted.send(program).await;
            }
            Err(error) => tell!("{}: {error:#}", program.name),
        }
    }
}

async fn end(mut running: Running, program: Program) {
    drop(running.stdin.take());
    if timeout(STOP_MAX, running.child.wait()).await.is_err() {
        tell!("{} does not stop; it is ended", program.name);
        let _ = running.child.kill().await;
    }
}
