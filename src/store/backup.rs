//! Copies of an embedded database, taken while a server writes to it. A server's database has tools of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};

use super::StoreError;
use super::database::Connection;
use super::value::Statement;
use crate::domain::secret::Secret;
use crate::keys::{Keys, KeysError};

// Not among those that are prepared on both engines: only SQLite has them.
const COPY: Statement = Statement { name: "COPY", sql: "VACUUM INTO $1" };
const CHECK: &str = "PRAGMA integrity_check(1)";
const KEYS: &str = "SELECT key_id, wrapped FROM data_key ORDER BY key_id";

/// Why a copy could not be made, or is none.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database is a server's.
    #[error(
        "this command copies an SQLite file; a PostgreSQL database is copied by `pg_dump --format=custom` and brought \
         back by `pg_restore`, see \"Backup\" in README.md"
    )]
    NotAFile,
    /// There is something already where the copy, or the database, is to be.
    #[error("{0} exists already; nothing is written over: move it away, or name another place")]
    Exists(PathBuf),
    /// There is no file to copy.
    #[error("there is no database {0}")]
    Missing(PathBuf),
    /// The copy is damaged.
    #[error("{file} is damaged ({found}); take another copy")]
    Damaged {
        /// The copy.
        file: PathBuf,
        /// What SQLite said.
        found: String,
    },
    /// The configured master key does not open the copy.
    #[error(
        "the configured master key does not open {file}: without the key file of its time a copy cannot be read; \
         bring that key file back too ({source})"
    )]
    OtherKey {
        /// The copy.
        file: PathBuf,
        /// What the keys said.
        source: KeysError,
    },
    /// A file cannot be read or written.
    #[error("{file}: {source}")]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The file of an embedded database; `None` for a server's.
#[must_use]
pub fn file_of(url: &Secret) -> Option<PathBuf> {
    if !url.reveal().starts_with("sqlite:") {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url.reveal()).ok()?;
    Some(options.get_filename().to_owned()).filter(|file| file != Path::new(":memory:"))
}

/// Writes a copy of the embedded database at `url`, as it is at one moment, into the new file `to`. A server may be
/// writing to it. The copy is checked, and opened with the keys, before it gets its name.
///
/// # Errors
/// See [`BackupError`]; then there is no file of this name.
pub async fn copy(url: &Secret, to: &Path, keys: &dyn Keys) -> Result<(), BackupError> {
    let from = file_of(url).ok_or(BackupError::NotAFile)?;
    if !from.exists() {
        return Err(BackupError::Missing(from));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let partial = beside(to, ".partial");
    remove(&partial)?;
    let made = make(&from, &partial, keys).await.and_then(|()| finish(&partial, to));
    if made.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    made
}

async fn make(from: &Path, partial: &Path, keys: &dyn Keys) -> Result<(), BackupError> {
    let path = partial.display().to_string();
    let mut connection = Connection::Sqlite(open(from).await?);
    let copied = connection.execute(COPY, &[path.as_str().into()]).await;
    copied.map_err(|source| StoreError::Statement { statement: COPY.name, source: Arc::new(source) })?;
    check(partial, keys).await
}

/// Puts a copy to where the embedded database of `url` is to be. Nothing may be there yet.
///
/// # Errors
/// See [`BackupError`]; then nothing is there.
pub async fn restore(url: &Secret, from: &Path, keys: &dyn Keys) -> Result<(), BackupError> {
    let to = file_of(url).ok_or(BackupError::NotAFile)?;
    // A log of another database beside the file would be read as this one's.
    for there in [to.clone(), beside(&to, "-wal"), beside(&to, "-shm")] {
        if there.exists() {
            return Err(BackupError::Exists(there));
        }
    }
    if !from.exists() {
        return Err(BackupError::Missing(from.to_owned()));
    }
    check(from, keys).await?;
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|source| failed(folder, source))?;
    }
    let partial = beside(&to, ".partial");
    std::fs::copy(from, &partial).map_err(|source| failed(&partial, source))?;
    finish(&partial, &to)
}

/// Whether the file is whole and opens with the keys. Nothing is written to it.
async fn check(file: &Path, keys: &dyn Keys) -> Result<(), BackupError> {
    let damaged = |found: String| BackupError::Damaged { file: file.to_owned(), found };
    let broken = |error: sqlx::Error| damaged(error.to_string());
    let mut connection = open(file).await?;
    let found: String = sqlx::query_scalar(CHECK).fetch_one(&mut connection).await.map_err(broken)?;
    if found != "ok" {
        return Err(damaged(found));
    }
    let wrapped: Vec<(i64, Vec<u8>)> =
        sqlx::query_as(KEYS).fetch_all(&mut connection).await.map_err(broken)?;
    if wrapped.is_empty() {
        return Err(damaged("it holds no data keys".to_owned()));
    }
    for (id, wrapped) in wrapped {
        keys.unwrap(id, &wrapped)
            .map_err(|source| BackupError::OtherKey { file: file.to_owned(), source })?;
    }
    connection.close().await.map_err(broken)
}

async fn open(file: &Path) -> Result<SqliteConnection, BackupError> {
    let options =
        SqliteConnectOptions::new().filename(file).create_if_missing(false).disable_statement_logging();
    options.connect().await.map_err(|error| BackupError::Store(StoreError::Open(Arc::new(error))))
}

/// Makes the file durable under its own name, readable by nobody else.
fn finish(partial: &Path, to: &Path) -> Result<(), BackupError> {
    use std::os::unix::fs::PermissionsExt as _;
    let only_us = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(partial, only_us).map_err(|source| failed(partial, source))?;
    File::open(partial).and_then(|file| file.sync_all()).map_err(|source| failed(partial, source))?;
    std::fs::rename(partial, to).map_err(|source| failed(to, source))?;
    let folder =
        to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|source| failed(folder, source))
}

fn remove(file: &Path) -> Result<(), BackupError> {
    match std::fs::remove_file(file) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(file, source)),
        _ => Ok(()),
    }
}

fn failed(file: &Path, source: std::io::Error) -> BackupError {
    BackupError::File { file: file.to_owned(), source }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}
