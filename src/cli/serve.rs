//! `weikefu serve`: the production server.

use std::time::Duration;

use weikefu::app::{App, AppError};
use weikefu::config::Config;
use weikefu::telemetry::Export;
use weikefu::web::serve::ServeError;

use super::{Context, Failure, Lifetime, Outcome, signals};

/// After a stop was asked for, calls are still taken in for this long: what a gateway has sent on its way before it
/// heard that we are not ready meets an open door.
const DOOR_STAYS_OPEN: Duration = Duration::from_secs(1);

pub(super) async fn run(lifetime: Lifetime, context: &Context) -> Outcome {
    let config = context.config()?;
    // Before the line that says that it runs: whoever reads it may send the signal at once.
    let mut hangups = signals::hangups()?;
    let otlp_url = config.telemetry.otlp_url.clone();
    let started = App::start(Config::clone(&config), context.clock.clone(), context.random.clone()).await;
    let app = started.map_err(failure)?;
    let export = match &otlp_url {
        Some(url) => Some(Export::start(url).map_err(|error| Failure::Usage(error.into()))?),
        None => None,
    };
    app.start_learning();
    tell!("weikefu on http://{}", app.zones().listen);
    let stop = signals::until_told_to_stop(lifetime.until_stdin_closes);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(()) = hangups.recv() => reload(&app, &config, context).await,
        }
    }
    app.not_ready();
    tokio::time::sleep(DOOR_STAYS_OPEN).await;
    app.stop().await;
    if let Some(export) = export {
        export.stop().await;
    }
    Ok(())
}

/// SIGHUP: edited content is taken over; settings are only looked at, and what needs a restart is said.
async fn reload(app: &App, running: &Config, context: &Context) {
    app.reload().await;
    match context.read_config() {
        Ok(edited) => {
            let changed = running.differences(&edited);
            if !changed.is_empty() {
                let settings = changed.join(", ");
                tracing::warn!(settings, "these settings were edited; they count from the next start on");
            }
        }
        Err(faults) => {
            for fault in faults {
                tracing::error!(%fault, "a fault in the edited configuration: the next start will refuse it");
            }
        }
    }
}

/// What the configuration or the content brought about is exit code 2; what the machine did is 1.
fn failure(error: AppError) -> Failure {
    match error {
        AppError::Store(_) | AppError::Recover(_) | AppError::Serve(ServeError::Listen { .. }) => {
            Failure::Asked(error.into())
        }
        _ => Failure::Usage(error.into()),
    }
}
