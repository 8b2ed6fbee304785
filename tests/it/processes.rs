//! The real binary as a process of its own: for kill -9, signals, exit codes and what is printed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

const BINARY: &str = env!("CARGO_BIN_EXE_weikefu");
/// A line that is waited for comes within this time, also on a busy machine.
const LINE_MAX: Duration = Duration::from_secs(60);

/// Runs a command to its end in this folder, with an empty environment of ours.
pub(crate) fn run(folder: &Path, arguments: &[&str]) -> Output {
    command(folder, arguments).output().unwrap()
}

/// Like [`run`], with these variables in the environment.
pub(crate) fn run_under(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    command(folder, arguments).envs(variables.iter().copied()).output().unwrap()
}

/// Like [`run`], with `input` on standard input.
pub(crate) fn run_with(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = command(folder, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    command
}

/// What a finished command printed, for a test that fails.
pub(crate) fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\nstdout: {}\nstderr: {}", output.status, text(&output.stdout), text(&output.stderr))
}

/// How often a test kills: this often, or as often as `WEIKEFU_KILLS` says for a long run, at most 100 times.
#[expect(clippy::disallowed_methods, reason = "whoever wants a long run says so by the environment")]
pub(crate) fn kills(short: usize) -> usize {
    let asked = std::env::var("WEIKEFU_KILLS").ok().and_then(|kills| kills.parse().ok());
    asked.unwrap_or(short).min(100)
}

/// A running program. Killed when the test lets go of it.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program in this folder.
    pub(crate) fn start(folder: &Path, arguments: &[&str]) -> Self {
        Self::start_with(command(folder, arguments), Stdio::inherit())
    }

    /// The same with its log lines in a file.
    pub(crate) fn start_logging(folder: &Path, arguments: &[&str], log: &Path) -> Self {
        Self::start_with(command(folder, arguments), std::fs::File::create(log).unwrap().into())
    }

    /// The same, saying everything that it can.
    pub(crate) fn start_telling_all(folder: &Path, arguments: &[&str], log: &Path) -> Self {
        let mut command = command(folder, arguments);
        command.env("WEIKEFU_LOG", "trace");
        Self::start_with(command, std::fs::File::create(log).unwrap().into())
    }

    /// Starts another program than ours in this folder.
    pub(crate) fn start_program(folder: &Path, program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        Self::start_with(command, Stdio::inherit())
    }

    /// The same with its log lines in a file.
    pub(crate) fn start_program_logging(
        folder: &Path,
        program: &str,
        arguments: &[&str],
        log: &Path,
    ) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        Self::start_with(command, std::fs::File::create(log).unwrap().into())
    }

    fn start_with(mut command: Command, stderr: Stdio) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that begins so; gives the rest of it.
    pub(crate) fn line(&self, beginning: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LINE_MAX);
            let line = line.unwrap_or_else(|_| panic!("the program did not print a line `{beginning}…`"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.trim().to_owned();
            }
        }
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        signal("HUP", self.child.id());
    }

    /// kill -9, and its end.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM, without waiting.
    pub(crate) fn ask_to_stop(&self) {
        signal("TERM", self.child.id());
    }

    /// The exit code once it has ended; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().unwrap().map(|status| status.code())
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        signal("TERM", self.child.id());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process of the test's own.
pub(crate) fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status().unwrap();
    assert!(sent.success(), "no process {pid}");
}
