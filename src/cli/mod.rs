//! What each command does, and how it ends: results on stdout, logs on stderr, exit code 0 when it went well,
//! 1 when what was asked failed, 2 for wrong usage or configuration.

/// Prints a line of the result on stdout. A reader that has gone away is no reason to stop.
macro_rules! tell {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($part)*);
    }};
}

mod archive;
mod audit;
mod backup;
mod check;
mod content;
mod core;
#[cfg(feature = "demo")]
mod demo;
mod doctor;
mod menu;
mod migrate;
mod review;
mod serve;
mod signals;
#[cfg(feature = "demo")]
mod simulate;
mod transfer;
mod understand;
mod user;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use weikefu::clock::{SharedClock, SharedRandom, SteeredClock, SystemClock, SystemRandom};
use weikefu::config::{self, Config, Fault};
use weikefu::telemetry::{self, LogFormat};

/// 微客服: the server that a bank runs behind its WeChat official accounts.
#[derive(Parser)]
#[command(name = "weikefu", version, about, disable_help_subcommand = true)]
struct Cli {
    /// Without a command: demo.
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How log lines on stderr are written.
    #[arg(long, global = true, value_enum, default_value_t)]
    log_format: LogFormat,
}

#[derive(Subcommand)]
enum Command {
    /// Everything on one machine, no set-up: server, WeChat simulator and sandbox bank core.
    #[cfg(feature = "demo")]
    Demo(demo::Demo),
    /// The production server.
    Serve(Lifetime),
    /// The WeChat simulator.
    #[cfg(feature = "demo")]
    Simulator(simulate::Simulate),
    /// The sandbox bank core; with `check`, a test of a bank's own gateway.
    Core(core::Core),
    /// Print the settings in effect, secrets masked, and check configuration and content; every fault with its place.
    Check {
        /// The settings are always printed; kept for scripts that ask for them.
        #[arg(long, hide = true)]
        show: bool,
    },
    /// Try every link between an account and its first alert; one line for each, with what to do.
    Doctor(doctor::Doctor),
    /// Apply the database's migrations and exit.
    Migrate,
    /// Copy an SQLite database into a new file, while the server runs.
    Backup(backup::Backup),
    /// Bring a copy back to where the configured SQLite database is to be; nothing may be there yet.
    Restore(backup::Restore),
    /// Write every table, as it is at one moment, into a new folder: the way from SQLite to PostgreSQL.
    Export(transfer::Export),
    /// Bring such a folder into the configured database, which must be empty; goes on where it was stopped.
    Import(transfer::Import),
    /// Write the days of the log that are old enough to go into files, one each; or read such a file.
    Archive(archive::Archive),
    /// The account's custom menu: the local file against what WeChat has.
    Menu(menu::MenuCommand),
    /// What the bot makes of one utterance, as JSON.
    Understand(understand::Understand),
    /// Measure the bot's understanding on labelled utterances; prints one JSON object.
    Eval(understand::Eval),
    /// Staff accounts.
    #[command(subcommand)]
    User(user::User),
    /// The audit trail.
    #[command(subcommand)]
    Audit(audit::Audit),
    /// Messages that were not understood at once, to make examples of.
    #[command(subcommand)]
    Review(review::Review),
}

/// How long a serving command runs.
#[derive(Args)]
struct Lifetime {
    /// Stop when standard input closes; so the demo's programs do not outlive it.
    #[arg(long, hide = true)]
    until_stdin_closes: bool,
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
        self.config_path()?;
        match self.read_config() {
            Ok(config) => Ok(Arc::new(config)),
            Err(faults) => Err(Failure::usage(listed(&faults))),
        }
    }

    /// The same, the faults one by one.
    fn read_config(&self) -> Result<Config, Vec<Fault>> {
        Config::load(self.config.as_deref().unwrap_or_else(|| Path::new("")), config::environment())
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
    let context = Context {
        config: cli.config,
        clock: Arc::new(SteeredClock::new(Arc::new(SystemClock))),
        random: Arc::new(SystemRandom),
    };
    let outcome = runtime.block_on(carry_out(cli.command, context));
    runtime.shutdown_background();
    ended(outcome)
}

async fn carry_out(command: Option<Command>, context: Context) -> Outcome {
    match command {
        #[cfg(feature = "demo")]
        None => demo::run(demo::Demo::default(), &context).await,
        #[cfg(not(feature = "demo"))]
        None => Err(Failure::usage("this build has no demo; name a command, see --help")),
        #[cfg(feature = "demo")]
        Some(Command::Demo(demo)) => demo::run(demo, &context).await,
        Some(Command::Serve(lifetime)) => serve::run(lifetime, &context).await,
        #[cfg(feature = "demo")]
        Some(Command::Simulator(asked)) => simulate::simulator(&context, &asked).await,
        Some(Command::Core(core)) => core::run(core, &context).await,
        Some(Command::Check { show: _ }) => check::run(&context),
        Some(Command::Doctor(doctor)) => doctor::run(doctor, &context).await,
        Some(Command::Migrate) => migrate::run(&context).await,
        Some(Command::Backup(asked)) => backup::back_up(asked, &context).await,
        Some(Command::Restore(asked)) => backup::restore(asked, &context).await,
        Some(Command::Export(asked)) => transfer::export(asked, &context).await,
        Some(Command::Import(asked)) => transfer::import(asked, &context).await,
        Some(Command::Archive(asked)) => archive::run(asked, &context).await,
        Some(Command::Menu(menu)) => menu::run(menu, &context).await,
        Some(Command::Understand(asked)) => understand::understand(&asked, &context),
        Some(Command::Eval(asked)) => understand::eval(&asked, &context),
        Some(Command::User(user)) => user::run(user, &context).await,
        Some(Command::Audit(audit)) => audit::run(audit, &context).await,
        Some(Command::Review(review)) => review::run(review, &context).await,
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
