//! Opens the database as the configuration says.

use std::path::PathBuf;

use anyhow::Context as _;
use weikefu::config::{Config, KeysConfig};
use weikefu::keys::{self, SoftKeys};
use weikefu::store::Store;

use super::Context;

/// Migrated and unlocked. An SQLite database without `[keys]` gets a key file beside it, as `serve` would make it.
pub(super) async fn open(config: &Config, context: &Context) -> anyhow::Result<Store> {
    let random = context.random.clone();
    let (file, previous) = match &config.keys {
        Some(KeysConfig { master_file, previous_files, .. }) => {
            (master_file.clone(), previous_files.as_slice())
        }
        None => (beside(config).context("with PostgreSQL, [keys] must name the master key")?, [].as_slice()),
    };
    if config.keys.is_none() && !file.try_exists()? {
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder)?;
        }
        keys::create_master(&file, random.as_ref())?;
    }
    let previous = previous.iter().map(|path| keys::read_master(path)).collect::<Result<_, _>>()?;
    let keys = SoftKeys::new(keys::read_master(&file)?, previous, random.clone());
    Ok(Store::open(&config.database.url, &keys, context.clock.clone(), random).await?)
}

fn beside(config: &Config) -> Option<PathBuf> {
    let path = config.database.url.reveal().strip_prefix("sqlite://")?;
    Some(PathBuf::from(path.split('?').next().unwrap_or(path)).with_extension("key"))
}
