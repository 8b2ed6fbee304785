//! Which master key opens this database.

use std::path::{Path, PathBuf};

use super::AppError;
use crate::clock::SharedRandom;
use crate::config::Config;
use crate::keys::{KeysError, SoftKeys, create_master, parse_master, read_master};

/// The configured key files; without any, a file beside an embedded database, made on first start.
pub(crate) fn keys(config: &Config, random: SharedRandom) -> Result<SoftKeys, AppError> {
    if let Some(keys) = &config.keys {
        let current = match &keys.master {
            Some(text) => {
                parse_master(text.reveal()).ok_or_else(|| KeysError::Form("keys.master".to_owned()))?
            }
            None => read_master(&keys.master_file)?,
        };
        let previous =
            keys.previous_files.iter().map(|path| read_master(path)).collect::<Result<Vec<_>, _>>()?;
        return Ok(SoftKeys::new(current, previous, random));
    }
    let file = beside(config.database.url.reveal()).ok_or(AppError::NoKeys)?;
    if !file.exists() {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)
                .map_err(|source| KeysError::File { path: folder.display().to_string(), source })?;
        }
        create_master(&file, random.as_ref())?;
        tracing::warn!(
            file = %file.display(),
            "made a master key beside the database; without this file its personal data cannot be read, so keep a \
             copy apart from the database's backups"
        );
    }
    Ok(SoftKeys::new(read_master(&file)?, Vec::new(), random))
}

/// `weikefu.db` → `weikefu.db.key`; `None` for a database that is no file.
fn beside(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?.trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!path.is_empty() && path != ":memory:").then(|| Path::new(&format!("{path}.key")).to_path_buf())
}
