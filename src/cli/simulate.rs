//! `weikefu simulator` and `weikefu core`: the two stand-ins of the world outside.

use weikefu::simulator::core::{self, SandboxCore};
use weikefu::simulator::wechat::{Settings, Simulator};

use super::{Context, Outcome, signals};

pub(super) async fn simulator(context: &Context, until_stdin_closes: bool) -> Outcome {
    let config = context.config()?;
    let settings = Settings::from_config(&config);
    let running = Simulator::start(settings, context.clock.clone(), context.random.clone())?;
    tell!("WeChat simulator on http://{}", running.addr);
    signals::until_told_to_stop(until_stdin_closes).await;
    running.stop().await;
    Ok(())
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
