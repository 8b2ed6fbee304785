//! `weikefu doctor`: an account's connection, tried link by link. Exit code 0 when nothing is wrong, 1 for a fault.

use clap::Args;
use weikefu::config::{self, Config};
use weikefu::content::Content;
use weikefu::doctor::{self, Level};

use super::{Context, Failure, Outcome};

#[derive(Args)]
pub(super) struct Doctor {
    /// The account's id in the configuration; may be left out when there is only one.
    #[arg(long, value_name = "ID")]
    account: Option<String>,
}

pub(super) async fn run(doctor: Doctor, context: &Context) -> Outcome {
    let path = context.config_path()?;
    if let Err(error) = std::fs::metadata(path) {
        return Err(Failure::usage(format_args!("{}: {error}", path.display())));
    }
    let config = match Config::load(path, config::environment()) {
        Ok(config) => config,
        Err(faults) => return told("configuration", &faults, "correct it, then run doctor again"),
    };
    let account = match (&doctor.account, config.accounts.as_slice()) {
        (Some(id), _) => config
            .account(id)
            .ok_or_else(|| Failure::usage(format_args!("the configuration has no account `{id}`")))?,
        (None, [only]) => only,
        (None, _) => return Err(Failure::usage("doctor needs --account ID: there are several")),
    };
    let content = match Content::load(config.content.dir.as_deref()) {
        Ok(content) => content,
        Err(faults) => return told("content", &faults, "correct it, then run doctor again"),
    };
    let (clock, random) = (context.clock.clone(), context.random.clone());
    let report = doctor::examine(&config, account, &content, clock, random).await?;
    for line in report.lines() {
        tell!("{line}");
    }
    let (faults, warnings) = (report.count(Level::Fail), report.count(Level::Warn));
    tell!("{}: {faults} to put right, {warnings} to know of", account.id);
    if faults == 0 { Ok(()) } else { Err(Failure::Told) }
}

fn told(check: &'static str, faults: &[impl ToString], next: &str) -> Outcome {
    for fault in faults {
        let line =
            doctor::Line { level: Level::Fail, check, found: fault.to_string(), next: next.to_owned() };
        tell!("{line}");
    }
    Err(Failure::Told)
}
