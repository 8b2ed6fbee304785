//! The content that a command works on.

use std::fmt::Display;
use std::path::Path;

use weikefu::config::Config;
use weikefu::content::{Content, Fault};
use weikefu::understanding::Understanding;

use super::{Context, Failure};

/// The built-in content, with the configured folder laid over it.
pub(super) fn load(config: Option<&Config>) -> Result<Content, Failure> {
    let folder = config.and_then(|config| config.content.dir.as_deref());
    Content::load(folder).map_err(|faults| Failure::usage(listed(&faults)))
}

/// What the bot understands with the content that the command line names, else with the built-in one.
pub(super) fn understanding(context: &Context) -> Result<std::sync::Arc<Understanding>, Failure> {
    let config = match &context.config {
        Some(_) => Some(context.config()?),
        None => None,
    };
    let content = load(config.as_deref())?;
    let dialogue = weikefu::dialogue::Dialogue::load(&content);
    let dialogue = dialogue.map_err(|faults| Failure::usage(listed(&faults)))?;
    dialogue.understanding().learn();
    Ok(dialogue.understanding().clone())
}

/// An example for something that is neither a service nor a class of what is none.
pub(super) fn no_such_class(path: &Path, line: usize, id: &str) -> Fault {
    Fault::new(
        path.display().to_string(),
        line,
        format!("there is no service {id:?}; see `templates/services`"),
    )
}

pub(super) fn listed(faults: &[impl Display]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
