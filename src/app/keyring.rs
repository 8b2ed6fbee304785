//! Which master key opens this database.

use std::path::{Path, PathBuf};

use super::AppError;
use crate::clock::SharedRandom;
use crate::config::Config;
use crate::keys::{KeysError, SoftKeys, create_master, parse_master, read_master};

/// The configured key files; without any, the file beside an embedded database.
pub(super) fn keys(config: &Config, random: SharedRandom) -> Result<SoftKeys, AppError> {
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
        return Err(AppError::KeyFileGone(file));
    }
    Ok(SoftKeys::new(read_master(&file)?, Vec::new(), random))
}

/// A key file that was made for a database that has none yet.
pub(super) struct Made(PathBuf);

impl Made {
    /// It opens nothing that is there: takes it away again, and says what is missing instead.
    pub(super) fn take_back(self) -> AppError {
        if let Err(error) = std::fs::remove_file(&self.0) {
            tracing::error!(file = %self.0.display(), %error, "a key file that opens nothing was left behind");
        }
        AppError::KeyFileGone(self.0)
    }

    /// It is the key of this database from now on.
    pub(super) fn keep(self) {
        tracing::warn!(
            file = %self.0.display(),
            "made a master key beside the database; without this file its personal data cannot be read, so keep a \
             copy apart from the database's backups"
        );
    }
}

/// Makes the key file beside an embedded database that has none, where none is configured.
pub(super) fn make_missing(config: &Config, random: &SharedRandom) -> Result<Option<Made>, AppError> {
    let file = beside(config.database.url.reveal()).filter(|file| config.keys.is_none() && !file.exists());
    let Some(file) = file else { return Ok(None) };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .map_err(|source| KeysError::File { path: folder.display().to_string(), source })?;
    }
    create_master(&file, random.as_ref())?;
    Ok(Some(Made(file)))
}

/// `weikefu.db` → `weikefu.db.key`; `None` for a database that is no file.
fn beside(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?.trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    (!path.is_empty() && path != ":memory:").then(|| Path::new(&format!("{path}.key")).to_path_buf())
}

/// The key files that a copy of the database is worth nothing without.
pub(super) fn files(config: &Config) -> Vec<PathBuf> {
    match &config.keys {
        Some(keys) => {
            let master = keys.master.is_none().then(|| keys.master_file.clone());
            master.into_iter().chain(keys.previous_files.iter().cloned()).collect()
        }
        None => beside(config.database.url.reveal()).into_iter().collect(),
    }
}
