//! `weikefu understand` and `weikefu eval`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use weikefu::understanding::Understanding;
use weikefu::understanding::{cross_validate, evaluate};

use super::{Context, Failure, Outcome, content};

#[derive(Args)]
pub(super) struct Understand {
    /// What a customer says.
    text: String,
}

#[derive(Args)]
pub(super) struct Eval {
    /// CSV with header utterance,expected_id[,kind[,also_ok]].
    #[arg(required_unless_present = "cross_validate")]
    file: Option<PathBuf>,
    /// Instead of a file: each fifth of the examples, as understood from the other four.
    #[arg(long, conflicts_with_all = ["file", "failures", "train"])]
    cross_validate: bool,
    /// Write the misses to this CSV.
    #[arg(long, value_name = "OUT")]
    failures: Option<PathBuf>,
    /// Train on this CSV's first two columns alone, for public benchmarks.
    #[arg(long, value_name = "FILE")]
    train: Option<PathBuf>,
}

pub(super) fn understand(asked: &Understand, context: &Context) -> Outcome {
    let answer = content::understanding(context)?.explain(&asked.text);
    tell!("{}", serde_json::to_string_pretty(&answer)?);
    Ok(())
}

pub(super) fn eval(asked: &Eval, context: &Context) -> Outcome {
    let understanding = match &asked.train {
        Some(path) => {
            let trained = Understanding::train_csv(&read(path)?);
            Arc::new(trained.map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))?)
        }
        None => content::understanding(context)?,
    };
    let Some(file) = &asked.file else {
        tell!("{}", serde_json::to_string(&cross_validate(&understanding))?);
        return Ok(());
    };
    let evaluation = evaluate(&understanding, &read(file)?)
        .map_err(|error| Failure::usage(format_args!("{}: {error}", file.display())))?;
    if let Some(path) = &asked.failures {
        let mut out = csv::Writer::from_path(path)?;
        out.write_record(["utterance", "expected_id", "kind", "first", "decision"])?;
        for row in &evaluation.failures {
            out.write_record(row)?;
        }
        out.flush()?;
    }
    tell!("{}", serde_json::to_string(&evaluation.report)?);
    Ok(())
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::usage(format_args!("{}: {error}", path.display())))
}
