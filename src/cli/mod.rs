//! What each command does, and how it ends: results on stdout, logs on stderr, exit code 0 when it went well,
//! 1 when what was asked failed, 2 for wrong usage or configuration.

mod check;
mod core_check;
mod migrate;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use weikefu::clock::{SharedClock, SharedRandom, SystemClock, SystemRandom};
use weikefu::config::{self, Config, Fault};
use weikefu::telemetry::{self, LogFormat};

/// 微客服: the server that a bank runs behind its WeChat official accounts.
#[derive(Parser)]
#[command(name = "weikefu", version, about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines on stderr are written.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Check configuration and content; tell every fault with its place.
    Check {
        /// Print the settings in effect, secrets masked.
        #[arg(long)]
        show: bool,
    },
    /// Apply the database's migrations and exit.
    Migrate,
    /// The sandbox bank core; or `core check`.
    Core(core_check::Core),
}

/// How a command ends when it does not end well.
enum Failure {
    /// What was asked failed: exit code 1.
    Asked(anyhow::Error),
    /// It was asked wrongly, or the configuration is wrong: exit code 2.
    Usage(anyhow::Error),
    /// What failed is told already: exit code 1.
    Told,
}

impl Failure {
    fn usage(message: impl fmt::Display) -> Self {
        Self::Usage(anyhow::anyhow!("{message}"))
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Asked(error.into())
    }
}

type Outcome = Result<(), Failure>;

/// What every command is given.
struct Context {
    config: Option<PathBuf>,
    clock: SharedClock,
    random: SharedRandom,
}

impl Context {
    /// The file that `--config` names.
    fn config_path(&self) -> Result<&Path, Failure> {
        self.config.as_deref().ok_or_else(|| Failure::usage("this command needs --config FILE"))
    }

    /// The configuration that `--config` names; faults are told on stderr.
    fn config(&self) -> Result<Arc<Config>, Failure> {
        let path = self.config_path()?;
        match Config::load(path, config::environment()) {
            Ok(config) => Ok(Arc::new(config)),
            Err(faults) => Err(Failure::usage(listed(&faults))),
        }
    }
}

fn listed(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let cli = Cli::parse();
    telemetry::start_logs(cli.log_format);
    telemetry::start_metrics();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return ended(Err(Failure::Asked(error.into()))),
    };
    // Fails only when a provider is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let context =
        Context { config: cli.config, clock: Arc::new(SystemClock), random: Arc::new(SystemRandom) };
    let outcome = runtime.block_on(carry_out(cli.command, context));
    runtime.shutdown_background();
    ended(outcome)
}

async fn carry_out(command: Command, context: Context) -> Outcome {
    match command {
        Command::Check { show } => check::run(&context, show).await,
        Command::Migrate => migrate::run(&context).await,
        Command::Core(core) => core_check::run(core, &context).await,
    }
}

fn ended(outcome: Outcome) -> ExitCode {
    let (error, code) = match outcome {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Told) => return ExitCode::from(1),
        Err(Failure::Asked(error)) => (error, 1),
        Err(Failure::Usage(error)) => (error, 2),
    };
    eprintln!("weikefu: {error:#}");
    ExitCode::from(code)
}
