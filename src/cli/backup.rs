//! `weikefu backup` and `weikefu restore`: an SQLite file, while the server runs, and back into an empty place.

use std::path::PathBuf;

use clap::Args;
use weikefu::app::{self, AppError};
use weikefu::store::backup::BackupError;

use super::{Context, Failure, Outcome};

#[derive(Args)]
pub(super) struct Backup {
    /// The new file to write the copy into.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Args)]
pub(super) struct Restore {
    /// The copy.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

pub(super) async fn back_up(asked: Backup, context: &Context) -> Outcome {
    let config = context.config()?;
    let keys = app::back_up(&config, &asked.to, context.random.clone()).await.map_err(failure)?;
    tell!("{}: whole, and the master key opens it", asked.to.display());
    if keys.is_empty() {
        tell!(
            "it is worth nothing without the master key that WEIKEFU_KEYS__MASTER holds: keep that apart from it"
        );
    }
    for key in keys {
        tell!("it is worth nothing without {}: keep a copy of that file, apart from this one", key.display());
    }
    Ok(())
}

pub(super) async fn restore(asked: Restore, context: &Context) -> Outcome {
    let config = context.config()?;
    app::restore(&config, &asked.from, context.random.clone()).await.map_err(failure)?;
    tell!("the database is back from {}; start the server", asked.from.display());
    Ok(())
}

/// A database that is no file is the wrong use of these commands.
fn failure(error: AppError) -> Failure {
    match error {
        AppError::Backup(BackupError::NotAFile) => Failure::Usage(error.into()),
        _ => Failure::Asked(error.into()),
    }
}
