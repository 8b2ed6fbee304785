//! `weikefu check`: the settings in effect, and everything that can be known to be wrong before a customer meets it.
//! Each fault is a line of its own that begins with its file and line, or with the variable that brought it.

use std::fmt::Display;
use std::path::Path;

use weikefu::alerts::{self, Kinds};
use weikefu::config::{self, Config};
use weikefu::content::{Content, Fault};
use weikefu::desk::DeskFiles;
use weikefu::dialogue::{Dialogue, check};
use weikefu::keys;
use weikefu::occasions::{Kindnesses, Offers};

use super::{Context, Failure, Outcome};

/// Conversations that bank staff wrote down; they run where this folder exists.
const CONVERSATIONS: &str = "tests/conversations";

pub(super) fn run(context: &Context) -> Outcome {
    let path = context.config_path()?;
    if let Err(error) = std::fs::metadata(path) {
        return Err(Failure::usage(format_args!("{}: {error}", path.display())));
    }
    let config = match Config::load(path, config::environment()) {
        Ok(config) => config,
        Err(faults) => return told(&lines(&faults)),
    };
    tell!("{}", config.masked());
    let mut faults = faults_of_keys(&config);
    faults.extend(notices(path, &config));
    match Content::load(config.content.dir.as_deref()) {
        Err(unreadable) => faults.extend(lines(&unreadable)),
        Ok(content) => {
            let accounts: Vec<&str> = config.accounts.iter().map(|account| account.id.as_str()).collect();
            let report = check(&content, &accounts, Some(Path::new(CONVERSATIONS)));
            tell!("{}", report.to_string().trim_end());
            tell!("{}", weikefu::understanding::THRESHOLDS);
            if report.faults.is_empty() {
                faults.extend(lines(&misplaced(&content)));
            }
            faults.extend(lines(&report.faults));
            faults.extend(Kinds::load(&content).err().map(|found| lines(&found)).unwrap_or_default());
            faults.extend(Kindnesses::load(&content).err().map(|found| lines(&found)).unwrap_or_default());
            faults.extend(Offers::load(&content).err().map(|found| lines(&found)).unwrap_or_default());
            faults.extend(DeskFiles::load(&content).err().map(|found| lines(&found)).unwrap_or_default());
        }
    }
    if !faults.is_empty() {
        return told(&faults);
    }
    tell!("{}: no fault found", path.display());
    Ok(())
}

/// Tells each notice with its longest values as it would leave, and what is odd in it; returns what is wrong.
fn notices(path: &Path, config: &Config) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut faults = vec![];
    for (index, account) in config.accounts.iter().enumerate() {
        for (name, template) in &account.notices {
            let lines: Vec<String> = alerts::sample(template)
                .iter()
                .map(|(keyword, value)| format!("{keyword}={value}"))
                .collect();
            tell!("{} notice {name}: {}", account.id, lines.join(" "));
            for misfit in alerts::misfits(name, template) {
                let number = index.to_string();
                let line =
                    config::line_of(&text, &["accounts", &number, "notices", name, "fields", &misfit.field]);
                let place = line
                    .map_or_else(|| path.display().to_string(), |line| format!("{}:{line}", path.display()));
                let setting = format!("accounts[{index}].notices.{name}.fields.{}", misfit.field);
                match misfit.is_fault {
                    true => faults.push(format!("{place}: `{setting}`: {}", misfit.message)),
                    false => tell!("{place}: warning: `{setting}`: {}", misfit.message),
                }
            }
        }
    }
    faults
}

/// The bank's own examples that its other examples surely take for another service. Without any there is nothing to learn.
fn misplaced(content: &Content) -> Vec<Fault> {
    let built_in = Content::built_in();
    let taught = |path: &str| path.starts_with("examples/") || path.starts_with("knowledge/");
    let is_own = |path: &str, text: &str| built_in.file(path).is_none_or(|file| file.text != text);
    let own: Vec<&str> = content
        .files()
        .filter(|(path, file)| taught(path) && is_own(path, &file.text))
        .map(|(_, file)| file.origin.as_str())
        .collect();
    if own.is_empty() {
        return Vec::new();
    }
    match Dialogue::load(content) {
        Ok(dialogue) => dialogue.understanding().misplaced(|file| own.contains(&file)),
        Err(faults) => faults,
    }
}

/// What would keep the database closed.
fn faults_of_keys(config: &Config) -> Vec<String> {
    match &config.keys {
        None if config.database.url.reveal().starts_with("postgres:") => {
            vec!["with PostgreSQL, [keys] master_file must name the master key".to_owned()]
        }
        None => vec![],
        Some(keys) => {
            let master = keys.master.is_none().then_some(&keys.master_file);
            let files = master.into_iter().chain(&keys.previous_files);
            files.filter_map(|file| keys::read_master(file).err()).map(|error| error.to_string()).collect()
        }
    }
}

fn lines(faults: &[impl Display]) -> Vec<String> {
    faults.iter().map(ToString::to_string).collect()
}

fn told(faults: &[String]) -> Outcome {
    for fault in faults {
        tell!("{fault}");
    }
    Err(Failure::Told)
}
