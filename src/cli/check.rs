//! `weikefu check`: everything that can be known to be wrong before a customer meets it.

use std::fmt::Display;

use weikefu::config::{self, Config};
use weikefu::content::Content;
use weikefu::dialogue::Dialogue;
use weikefu::wechat::menu::Menu;

use super::{Context, Failure, Outcome};

pub(super) fn run(context: &Context, show: bool) -> Outcome {
    let path = context.config_path()?;
    if let Err(error) = std::fs::metadata(path) {
        return Err(Failure::usage(format_args!("{}: {error}", path.display())));
    }
    let config = match Config::load(path, config::environment()) {
        Ok(config) => config,
        Err(faults) => return told(&lines(&faults)),
    };
    if show {
        tell!("{}", config.masked());
    }
    let faults = match Content::load(config.content.dir.as_deref()) {
        Ok(content) => faults_of(&config, &content),
        Err(faults) => lines(&faults),
    };
    if !faults.is_empty() {
        return told(&faults);
    }
    tell!("{}: no fault found", path.display());
    Ok(())
}

fn faults_of(config: &Config, content: &Content) -> Vec<String> {
    match Dialogue::load(content) {
        Ok(dialogue) => {
            let mut faults = lines(&dialogue.catalogue().try_out());
            faults.extend(config.accounts.iter().flat_map(|account| {
                faults_of_menu(content, account.id.as_str(), |key| dialogue.catalogue().get(key).is_some())
            }));
            faults
        }
        Err(faults) => lines(&faults),
    }
}

/// A key that is no service's id would be a button that does nothing.
fn faults_of_menu(content: &Content, account: &str, is_service: impl Fn(&str) -> bool) -> Vec<String> {
    let Some(file) = content.file(&format!("menus/{account}.toml")) else { return vec![] };
    match Menu::from_toml(&file.text) {
        Err(fault) => vec![format!("{}:{}: {}", file.origin, fault.line, fault.fault)],
        Ok(menu) => menu
            .keys()
            .filter(|key| !is_service(key))
            .map(|key| {
                let at = file.text.find(&format!("\"{key}\"")).unwrap_or(0);
                file.fault_at(at, format!("the key \"{key}\" is no service")).to_string()
            })
            .collect(),
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
