//! `weikefu check`: everything about content that can be known before a customer meets it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::chat::{self, ExampleCore, Met, Run};
use super::lengths::too_long;
use super::{Dialogue, Robots};
use crate::bank::Operations;
use crate::catalogue::{Proof, Service};
use crate::content::{Content, Fault, File};
use crate::domain::ids::AccountId;
use crate::wechat::menu::Menu;

/// What a check found.
#[derive(Debug, Default)]
pub struct Report {
    /// Faults, in the order of files and lines.
    pub faults: Vec<Fault>,
    /// What the conversation tests showed of each service; empty where there are none.
    pub coverage: Vec<Coverage>,
    /// How much of what `promised/` promises is covered; empty without conversation tests.
    pub promised: Vec<Promised>,
    /// Conversations that ran.
    pub chats: usize,
}

/// One list of services that the content promises.
#[derive(Debug)]
pub struct Promised {
    /// Its name in the file.
    pub name: String,
    /// Services on it.
    pub count: usize,
    /// Those that no conversation covers, or that are not done here.
    pub missing: Vec<String>,
}

/// A file of `promised/`: a list of services.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PromisedFile {
    #[serde(rename = "title")]
    _title: String,
    services: BTreeSet<String>,
}

/// What the conversation tests showed of a service.
#[derive(Debug)]
pub struct Coverage {
    /// The service's id.
    pub service: String,
    /// What no conversation shows yet.
    pub missing: Vec<&'static str>,
}

impl fmt::Display for Report {
    /// The coverage in words; empty without conversation tests.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.coverage.is_empty() {
            return Ok(());
        }
        let covered = self.coverage.iter().filter(|service| service.missing.is_empty()).count();
        writeln!(f, "{} conversations, {covered} of {} services covered", self.chats, self.coverage.len())?;
        for service in self.coverage.iter().filter(|service| !service.missing.is_empty()) {
            writeln!(f, "  {}: no conversation shows {}", service.service, service.missing.join(", "))?;
        }
        for promised in &self.promised {
            let covered = promised.count - promised.missing.len();
            writeln!(f, "{}: {covered} of {} covered", promised.name, promised.count)?;
            for service in &promised.missing {
                writeln!(f, "  {service}: is not done here, or not covered")?;
            }
        }
        Ok(())
    }
}

/// Checks services, texts, word lists and menus of these accounts, and the conversations of a folder if it exists;
/// those are held with the words that all accounts have in common.
#[must_use]
pub fn check(content: &Content, accounts: &[&str], conversations: Option<&Path>) -> Report {
    let mut report = Report::default();
    let accounts: Vec<AccountId> = accounts.iter().map(|account| AccountId::new(account)).collect();
    match Robots::load(content, &accounts) {
        Err(faults) => {
            report.faults = faults;
            report.faults.extend(menu_faults(None, content, &accounts));
        }
        Ok(robots) => {
            for dialogue in robots.iter() {
                report.faults.extend(dialogue.catalogue().try_out());
                report.faults.extend(too_long(dialogue));
            }
            report.faults.extend(menu_faults(Some(&robots), content, &accounts));
            if let Some(folder) = conversations.filter(|folder| folder.is_dir()) {
                robots.common().understanding().learn();
                converse(robots.common(), content, folder, &mut report);
                hold_promises(content, &mut report);
            }
        }
    }
    report.faults.sort();
    report.faults.dedup();
    report
}

/// Faults of the menu files of these accounts: what WeChat refuses, and keys that are no service of the account.
/// Without robots, because their own files are faulty, a menu's form is checked and not where its keys lead.
#[must_use]
pub fn menu_faults<'a>(
    robots: Option<&Robots>,
    content: &Content,
    accounts: impl IntoIterator<Item = &'a AccountId>,
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for account in accounts {
        let catalogue = robots.map(|robots| robots.of(account).catalogue());
        let Some(file) = content.file(&format!("menus/{account}.toml")) else { continue };
        match Menu::from_toml(&file.text) {
            Err(error) => faults.push(Fault::new(&file.origin, error.line, error.fault)),
            Ok(menu) => {
                let leads_nowhere =
                    |key: &&str| catalogue.is_some_and(|catalogue| catalogue.get(key).is_none());
                for key in menu.keys().filter(leads_nowhere) {
                    let byte = file.text.find(&format!("\"{key}\"")).unwrap_or(0);
                    faults.push(file.fault_at(byte, format!("the key {key:?} is no service")));
                }
            }
        }
    }
    faults
}

fn converse(dialogue: &Dialogue, content: &Content, folder: &Path, report: &mut Report) {
    let Ok(core) = Operations::load(content) else { return };
    let mut run = Run::default();
    for file in chat_files(folder) {
        match file.and_then(|file| chat::parse(&file)) {
            Ok(file) => chat::run(dialogue, &file, &mut ExampleCore(&core), &mut run),
            Err(faults) => report.faults.extend(faults),
        }
    }
    report.chats = run.chats;
    report.faults.append(&mut run.faults);
    for service in dialogue.catalogue().iter().filter(|service| service.runs()) {
        let met = run.met.get(service.id()).copied().unwrap_or_default();
        let missing = missing(service, met);
        report.coverage.push(Coverage { service: service.id().to_owned(), missing });
    }
}

/// Reads what is promised and counts what of it the conversations cover.
fn hold_promises(content: &Content, report: &mut Report) {
    for (path, file) in content.below("promised") {
        let list: PromisedFile = match file.parse() {
            Ok(list) => list,
            Err(fault) => {
                report.faults.push(fault);
                continue;
            }
        };
        let name = path.trim_start_matches("promised/").trim_end_matches(".toml").to_owned();
        let covered = |id: &String| {
            let mut services = report.coverage.iter();
            services.any(|service| service.service == *id && service.missing.is_empty())
        };
        let missing = list.services.iter().filter(|id| !covered(id)).cloned().collect();
        report.promised.push(Promised { name, count: list.services.len(), missing });
    }
}

/// What conversations should show of a service, and do not.
fn missing(service: &Service, met: Met) -> Vec<&'static str> {
    let manifest = &service.manifest;
    let lookup = manifest.lookup.as_ref().map(|lookup| &lookup.operation);
    let operation = lookup.or(manifest.form.as_ref().map(|form| &form.operation));
    let proves = *manifest.proof.get_ref() != Proof::None && manifest.link.is_none();
    let of_core = operation.is_some_and(|operation| operation.get_ref().starts_with("core:"));
    let asks = manifest.form.as_ref().is_some_and(|form| !form.fields.is_empty() || form.confirm.is_some());
    [
        (!met.straight, "the straight way"),
        (of_core && !met.refusal, "a refusal of the core"),
        (service.needs_binding() && !met.guard, "its guard"),
        (proves && !met.proof, "its proof"),
        (asks && !met.wrong_input, "a wrong answer in its form"),
    ]
    .into_iter()
    .filter_map(|(missing, what)| missing.then_some(what))
    .collect()
}

fn chat_files(folder: &Path) -> Vec<Result<File, Vec<Fault>>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|kind| kind == "chat"));
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let origin = path.display().to_string();
        let text = std::fs::read_to_string(path);
        text.map(|text| File { text, origin: origin.clone() })
            .map_err(|error| vec![Fault::new(origin, 1, error.to_string())])
    };
    paths.iter().map(read).collect()
}
