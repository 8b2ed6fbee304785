//! `weikefu serve`: the production server.

use weikefu::app::{App, AppError};
use weikefu::web::serve::ServeError;

use super::{Context, Failure, Lifetime, Outcome, signals};

pub(super) async fn run(lifetime: Lifetime, context: &Context) -> Outcome {
    let config = context.config()?;
    let config = std::sync::Arc::unwrap_or_clone(config);
    let started = App::start(config, context.clock.clone(), context.random.clone()).await;
    let app = started.map_err(failure)?;
    tell!("weikefu on http://{}", app.zones().listen);
    signals::until_told_to_stop(lifetime.until_stdin_closes).await;
    app.stop().await;
    Ok(())
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
