//! `weikefu audit verify`

use clap::Subcommand;
use weikefu::app::open_store;

use super::{Context, Failure, Outcome};

#[derive(Subcommand)]
pub(super) enum Audit {
    /// Check that no line of the audit trail was deleted, edited or moved; each fault is a line. The server may run.
    Verify,
}

pub(super) async fn run(audit: Audit, context: &Context) -> Outcome {
    let Audit::Verify = audit;
    let config = context.config()?;
    let store = open_store(&config, context.clock.clone(), context.random.clone()).await?;
    let report = store.verify_audit().await;
    store.close().await;
    let report = report?;
    for fault in &report.faults {
        tell!("{fault}");
    }
    if report.faults_more > 0 {
        tell!("and {} faults more", report.faults_more);
    }
    if report.lines_before > 0 {
        tell!(
            "{} lines are from before lines were chained: nothing can be said of them",
            report.lines_before
        );
    }
    let whole = report.faults.is_empty();
    let verdict = if whole { "whole" } else { "not as it was written" };
    tell!("audit: {} lines in {} chains, {verdict}", report.lines, report.chains);
    if whole { Ok(()) } else { Err(Failure::Told) }
}
