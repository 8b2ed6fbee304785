//! `weikefu export` and `weikefu import`: a database into a folder, and from there into an empty one.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use weikefu::app;
use weikefu::store::transfer::{Manifest, Progress};

use super::{Context, Outcome};

#[derive(Args)]
pub(super) struct Export {
    /// The new folder.
    #[arg(long, value_name = "FOLDER")]
    to: PathBuf,
}

#[derive(Args)]
pub(super) struct Import {
    /// The folder of an export.
    #[arg(long, value_name = "FOLDER")]
    from: PathBuf,
}

pub(super) async fn export(asked: Export, context: &Context) -> Outcome {
    let config = context.config()?;
    let manifest = app::export(&config, &asked.to, context.clock.now(), bars()).await?;
    list(&manifest);
    tell!("{}: whole; the master key is not in it and goes another way", asked.to.display());
    Ok(())
}

pub(super) async fn import(asked: Import, context: &Context) -> Outcome {
    let config = context.config()?;
    let manifest = app::import(&config, &asked.from, context.random.clone(), bars()).await?;
    list(&manifest);
    tell!("every table has the rows and the hash of {}; start the server", asked.from.display());
    Ok(())
}

fn list(manifest: &Manifest) {
    for table in &manifest.tables {
        tell!("{:24} {:>12} rows  {}", table.name(), table.rows, table.hash);
    }
}

/// One bar a table on a terminal, on stderr; elsewhere a line as each begins.
fn bars() -> impl FnMut(Progress<'_>) {
    let mut bar = ProgressBar::hidden();
    move |progress| match progress {
        Progress::Table { name, rows, done } => {
            bar.finish_and_clear();
            bar = ProgressBar::new(rows).with_message(name.to_owned()).with_position(done);
            if let Ok(style) =
                ProgressStyle::with_template("{msg:24} {wide_bar} {human_pos}/{human_len} {eta:>4}")
            {
                bar.set_style(style);
            }
            if bar.is_hidden() {
                tracing::info!(table = name, rows, done, "a table begins");
            }
        }
        Progress::Rows(rows) => bar.inc(rows),
        Progress::Verifying(name) => {
            bar.finish_and_clear();
            tracing::info!(table = name, "what arrived is read again and compared");
        }
    }
}
