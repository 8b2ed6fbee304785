//! `weikefu simulator` and `weikefu core`: the two stand-ins of the world outside.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use weikefu::simulator::core::{self, SandboxCore};
use weikefu::simulator::wechat::{Recorded, Running, Settings, Simulator};

use super::{Context, Failure, Outcome, signals};

/// The WeChat simulator, for this server or any other.
#[derive(Args)]
pub(super) struct Simulate {
    /// Write the session to this file while it goes on, one JSON object a line.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    record: Option<PathBuf>,
    /// Play a recorded session against the server, print what it says differently, and exit 1 if it does.
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    lifetime: super::Lifetime,
}

pub(super) async fn simulator(context: &Context, asked: &Simulate) -> Outcome {
    let settings = settings(context)?;
    let recorded = match &asked.replay {
        Some(path) => Some(read(path)?),
        None => None,
    };
    let running = Simulator::start(settings, context.clock.clone(), context.random.clone())?;
    tell!("WeChat simulator on http://{}", running.addr);
    if let Some(recorded) = recorded {
        let outcome = replay(&running, &recorded).await;
        running.stop().await;
        return outcome;
    }
    if let Some(path) = &asked.record {
        let create = || running.record_to(std::fs::File::create(path)?);
        create().with_context(|| format!("the recording {} cannot be written", path.display()))?;
    }
    signals::until_told_to_stop(asked.lifetime.until_stdin_closes).await;
    running.stop().await;
    Ok(())
}

/// A file with `[simulator]` is for the simulator alone; any other is the server's.
fn settings(context: &Context) -> Result<Settings, Failure> {
    let path = context.config_path()?;
    let own = std::fs::read_to_string(path).ok().and_then(|text| Settings::from_own_file(&text));
    match own {
        Some(Ok(settings)) => Ok(settings),
        Some(Err(fault)) => Err(Failure::usage(format!("{}: {fault}", path.display()))),
        None => Ok(Settings::from_config(&*context.config()?)),
    }
}

fn read(path: &PathBuf) -> Result<Recorded, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Recorded::read(&text).map_err(|fault| Failure::usage(format!("{}: {fault}", path.display())))
}

async fn replay(running: &Running, recorded: &Recorded) -> Outcome {
    let replayed = running.replay(recorded).await;
    if replayed.difference.is_empty() {
        tell!("{} steps played: the same answers", replayed.steps);
        return Ok(());
    }
    tell!(
        "{} steps played: other answers (- recorded, + now)\n{}",
        replayed.steps,
        replayed.difference.trim_end()
    );
    Err(Failure::Told)
}

pub(super) async fn core(context: &Context, until_stdin_closes: bool) -> Outcome {
    let config = context.config()?;
    let settings = core::Settings::from_config(&config)?;
    let running = SandboxCore::start(settings, context.clock.clone(), context.random.clone()).await?;
    tell!("sandbox core on http://{}", running.addr);
    signals::until_told_to_stop(until_stdin_closes).await;
    running.stop().await;
    Ok(())
}
