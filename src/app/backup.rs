//! Copies of the database, with its keys at hand: a copy that they do not open is none.

use std::path::{Path, PathBuf};

use super::{AppError, keyring};
use crate::clock::SharedRandom;
use crate::config::Config;
use crate::domain::ids::AccountId;
use crate::domain::time::{BeijingDay, UnixMs};
use crate::store::transfer::{self, ArchivedDay, Manifest, Progress};
use crate::store::{Commit, Message, Store, backup};

/// Writes a copy of the embedded database into a new file, while a server may be writing to it. Gives the key files
/// that belong to it and are not in it; none where the key comes from the environment.
///
/// # Errors
/// See [`AppError`]; then there is no copy.
pub async fn back_up(config: &Config, to: &Path, random: SharedRandom) -> Result<Vec<PathBuf>, AppError> {
    is_a_file(config)?;
    let keys = keyring::keys(config, random)?;
    backup::copy(&config.database.url, to, &keys).await?;
    Ok(keyring::files(config))
}

/// Puts a copy to where the configured embedded database is to be; nothing may be there yet.
///
/// # Errors
/// See [`AppError`]; then nothing is there.
pub async fn restore(config: &Config, from: &Path, random: SharedRandom) -> Result<(), AppError> {
    is_a_file(config)?;
    let keys = keyring::keys(config, random)?;
    Ok(backup::restore(&config.database.url, from, &keys).await?)
}

/// Writes the configured database, whichever engine it has, as lines of JSON into a new folder.
///
/// # Errors
/// See [`AppError`]; then the folder holds no whole export.
pub async fn export(
    config: &Config,
    to: &Path,
    now: UnixMs,
    progress: impl FnMut(Progress<'_>),
) -> Result<Manifest, AppError> {
    Ok(transfer::export(&config.database.url, to, now, progress).await?)
}

/// Brings such a folder into the configured database, which must be empty; goes on where an earlier run stopped.
///
/// # Errors
/// See [`AppError`].
pub async fn import(
    config: &Config,
    from: &Path,
    random: SharedRandom,
    progress: impl FnMut(Progress<'_>),
) -> Result<Manifest, AppError> {
    let keys = keyring::keys(config, random)?;
    Ok(transfer::import(&config.database.url, from, &keys, progress).await?)
}

/// Writes the days of the log that are over for longer than it is kept, or than `days`, into files in a folder. Tells
/// before which day.
///
/// # Errors
/// See [`AppError`].
pub async fn archive(
    config: &Config,
    store: &Store,
    to: &Path,
    days: Option<u32>,
    told: impl FnMut(&ArchivedDay),
) -> Result<BeijingDay, AppError> {
    let days = days.or(config.retention.message_days).ok_or(AppError::KeptForEver)?;
    let before = BeijingDay::of(store.clock().now()).plus(-i64::from(days));
    transfer::archive(store, to, before, told).await?;
    Ok(before)
}

/// Reads what was said in one account from a file of [`archive`]; who reads it and why is in the audit trail before the
/// first word is.
///
/// # Errors
/// See [`AppError`].
pub async fn read_archived(
    store: &Store,
    file: &Path,
    account: &AccountId,
    reason: &str,
    each: impl FnMut(&Message),
) -> Result<u64, AppError> {
    let detail = serde_json::json!({ "file": file.display().to_string(), "reason": reason }).to_string();
    let line = store.audit("command line", "archive_read", account, None, Some(&detail))?;
    store.commit(Commit::new(0).with(line)).await?;
    Ok(transfer::read_archived(store, file, account, each).await?)
}

/// Said before anything of keys.
fn is_a_file(config: &Config) -> Result<(), AppError> {
    match backup::file_of(&config.database.url) {
        Some(_) => Ok(()),
        None => Err(backup::BackupError::NotAFile.into()),
    }
}
