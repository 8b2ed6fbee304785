//! `weikefu check`

use weikefu::config::{self, Config};

use super::{Context, Failure, Outcome};

pub(super) fn run(context: &Context, show: bool) -> Outcome {
    let path = context.config_path()?;
    if let Err(error) = std::fs::metadata(path) {
        return Err(Failure::usage(format_args!("{}: {error}", path.display())));
    }
    let config = match Config::load(path, config::environment()) {
        Ok(config) => config,
        Err(faults) => {
            tell!("{}", super::listed(&faults));
            return Err(Failure::Told);
        }
    };
    if show {
        tell!("{}", config.masked());
    }
    tell!("{}: no fault found", path.display());
    Ok(())
}
