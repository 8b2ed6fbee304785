//! `weikefu demo`: the whole product on one machine. Server, WeChat simulator and sandbox core run as programs of
//! their own and speak real HTTP; this process only starts them, watches them, and says what to open.

mod children;
mod ready;
mod settings;
mod staff;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use weikefu::config::{self, Config};

use super::{Context, Failure, Outcome};
use children::{Launcher, Program, Running};
use settings::Ports;

const SERVER: Program = Program { name: "server", command: "serve" };
const SIMULATOR: Program = Program { name: "simulator", command: "simulator" };
const CORE: Program = Program { name: "core", command: "core" };
const MENU: Program = Program { name: "menu", command: "menu" };

/// A slow machine may take this long until everything answers.
const READY_MAX: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);

#[derive(Args)]
pub(super) struct Demo {
    /// Server on N, simulator on N+1, metrics on N+9, sandbox core on N+10.
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port_base: u16,
    /// Where configuration, database, keys and logs are kept.
    #[arg(long, value_name = "DIR", default_value = "data")]
    data: PathBuf,
}

impl Default for Demo {
    fn default() -> Self {
        Self { port_base: 8080, data: PathBuf::from("data") }
    }
}

pub(super) async fn run(demo: Demo, context: &Context) -> Outcome {
    if context.config.is_some() {
        return Err(Failure::usage("demo makes its own configuration; use serve --config FILE"));
    }
    let Some(ports) = Ports::from_base(demo.port_base) else {
        return Err(Failure::usage("--port-base is too high"));
    };
    for port in ports.all() {
        TcpListener::bind(("127.0.0.1", port)).await.with_context(|| {
            format!("port {port} is taken; choose others with --port-base, for example 9080")
        })?;
    }
    std::fs::create_dir_all(&demo.data).with_context(|| format!("{}", demo.data.display()))?;
    let file = settings::prepare(&demo.data, ports, context.random.as_ref())?;
    let config = Config::load(&file, config::environment())
        .map_err(|faults| anyhow::anyhow!(super::listed(&faults)))?;
    let accounts = staff::prepare(&demo.data, &config, context).await?;

    let stop = CancellationToken::new();
    let launcher = Launcher::new(file.clone(), demo.data.join("logs"))?;
    let mut started = vec![];
    for (program, port) in [(CORE, ports.core), (SIMULATOR, ports.simulator), (SERVER, ports.server)] {
        let running = launcher.start(program)?;
        tell!("{:<10} pid {:<8} http://127.0.0.1:{port}", program.name, running.pid());
        started.push((program, running));
    }
    tokio::select! {
        ready = until_ready(ports, &launcher, &mut started) => ready?,
        () = super::signals::until_told_to_stop(false) => return Ok(()),
    }
    push_menu(&launcher).await;
    tell(ports, &file, &accounts);

    let watchers = TaskTracker::new();
    let (sender, restarted) = mpsc::channel(8);
    for (program, running) in started {
        watchers.spawn(children::watch(launcher.clone(), program, running, stop.clone(), sender.clone()));
    }
    watchers.spawn(push_menu_to_new_simulators(launcher, ports, restarted, stop.clone()));
    super::signals::until_told_to_stop(false).await;
    tell!("stopping");
    stop.cancel();
    watchers.close();
    watchers.wait().await;
    Ok(())
}

/// Fails early, and with the end of the log, when a program dies before it answers.
async fn until_ready(
    ports: Ports,
    launcher: &Launcher,
    started: &mut [(Program, Running)],
) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_MAX;
    loop {
        let well = ready::answers(ports.server, "/readyz").await
            && ready::answers(ports.simulator, "/").await
            && ready::answers(ports.core, "/sandbox").await;
        if well {
            return Ok(());
        }
        for (program, running) in started.iter_mut() {
            if let Some(status) = running.child.try_wait()? {
                let log = children::tail(&launcher.log(*program));
                anyhow::bail!("{} did not start ({status}):\n{log}", program.name);
            }
        }
        anyhow::ensure!(Instant::now() < deadline, "the programs do not answer; see {}/*.log", "logs");
        sleep(READY_POLL).await;
    }
}

/// The simulator keeps no menu over a restart, as a new test account has none.
async fn push_menu_to_new_simulators(
    launcher: Launcher,
    ports: Ports,
    mut restarted: mpsc::Receiver<Program>,
    stop: CancellationToken,
) {
    while let Some(Some(program)) = stop.run_until_cancelled(restarted.recv()).await {
        if program != SIMULATOR {
            continue;
        }
        while !ready::answers(ports.simulator, "/").await && !stop.is_cancelled() {
            sleep(READY_POLL).await;
        }
        push_menu(&launcher).await;
    }
}

async fn push_menu(launcher: &Launcher) {
    if let Err(error) = launcher.run(MENU, &["menu", "push", "--account", "card"]).await {
        tell!("the phone has no menu: {error:#}");
    }
}

fn tell(ports: Ports, file: &std::path::Path, accounts: &[staff::Account]) {
    tell!("\nopen");
    tell!("  phone         http://127.0.0.1:{}/", ports.simulator);
    tell!("  agent desk    http://127.0.0.1:{}/desk", ports.server);
    tell!("  sandbox core  http://127.0.0.1:{}/sandbox", ports.core);
    tell!("\nstaff accounts");
    for account in accounts {
        tell!("  {:<10} {:<12} password {}", account.name, account.role, account.password);
    }
    tell!("\nconfiguration   {}", file.display());
    tell!("Ctrl-C stops everything.");
}
