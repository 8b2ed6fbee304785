//! Moving a database to another place, mostly from the SQLite of one machine to the PostgreSQL of many: every table as
//! lines of JSON in a folder, and from there into an empty database.
//!
//! What is sealed stays sealed: the master key goes the same way apart from the folder. An export is one moment of the
//! database; what a server writes afterwards is not in it. An import that was stopped goes on where it stood, and is
//! done when every table has the rows of the export, counted and hashed.

mod archive;
mod export;
mod import;
mod lines;
mod tables;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use archive::{ArchivedDay, archive, read_archived};
pub use export::export;
pub use import::import;

use super::StoreError;
use crate::domain::time::UnixMs;
use crate::keys::KeysError;
use tables::Table;

/// The form of an export that this version writes and reads.
const FORM: u32 = 1;
/// The file that is written last: a folder without it holds no whole export.
const MANIFEST: &str = "export.json";

/// What an export holds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    form: u32,
    /// The newest migration of its database.
    migration: i64,
    /// When it was made.
    pub exported: UnixMs,
    /// Its tables, by name.
    pub tables: Vec<Exported>,
}

/// One table of an export.
#[derive(Debug, Serialize, Deserialize)]
pub struct Exported {
    #[serde(flatten)]
    table: Table,
    /// Its rows.
    pub rows: u64,
    /// The hash of its rows, in hexadecimal; their order does not count.
    pub hash: String,
}

impl Exported {
    /// The table's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.table.name
    }

    fn file(&self, folder: &Path) -> PathBuf {
        lines::file(folder, &self.table)
    }
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A table begins, with so many rows in all, of which so many are there already.
    Table {
        /// Its name.
        name: &'a str,
        /// All its rows.
        rows: u64,
        /// Those of an earlier run.
        done: u64,
    },
    /// So many more rows are there.
    Rows(u64),
    /// What has arrived is read again and compared.
    Verifying(&'a str),
}

/// Why an export or import did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// There is something already where the export is to be.
    #[error("{0} exists and is not empty; nothing is written over: name another folder")]
    Exists(PathBuf),
    /// There is no SQLite file to export.
    #[error("there is no database {0}")]
    Missing(PathBuf),
    /// The folder holds no whole export.
    #[error(
        "{0} holds no whole export: {MANIFEST} is missing, which is written last; export again into a new folder"
    )]
    NoExport(PathBuf),
    /// Another version wrote it.
    #[error(
        "{folder} was exported at migration {found}, this version is at {ours}: run `weikefu migrate` on the old database \
         with this version, and export again"
    )]
    Version {
        /// The export.
        folder: PathBuf,
        /// Its newest migration.
        found: i64,
        /// Ours.
        ours: i64,
    },
    /// Its tables are not ours.
    #[error("table {0} of the export has no like in this database: is it an export of the same version?")]
    Shape(String),
    /// A line cannot be read.
    #[error("{file}:{line}: {reason}; the export is damaged: make another one")]
    Line {
        /// The table's file.
        file: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        reason: &'static str,
    },
    /// The database has rows that are not from this export.
    #[error(
        "table {0} has rows that do not come from this export; import into an empty database that no server uses yet"
    )]
    NotEmpty(String),
    /// Fewer, more or other rows arrived than were exported.
    #[error(
        "table {table}: {found_rows} rows of hash {found} stand where {rows} of hash {hash} were exported; throw the new \
         database away and import again"
    )]
    Differs {
        /// The table.
        table: String,
        /// Rows of the export.
        rows: u64,
        /// Their hash.
        hash: String,
        /// Rows of the database.
        found_rows: u64,
        /// Their hash.
        found: String,
    },
    /// It is no day of the log.
    #[error("{0} is no file that `weikefu archive` wrote")]
    NoArchive(PathBuf),
    /// It is not as it was written.
    #[error(
        "{file} is not as it was written: its SHA-256 is {found}, and was {written}; take another copy of it"
    )]
    Altered {
        /// The file.
        file: PathBuf,
        /// Its hash.
        found: String,
        /// The hash that the database knows.
        written: String,
    },
    /// The configured master key does not open the data.
    #[error(
        "the configured master key does not open this export: bring the key file of the old server too ({0})"
    )]
    OtherKey(#[from] KeysError),
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

fn failed(file: &Path) -> impl Fn(std::io::Error) -> TransferError {
    move |source| TransferError::File { file: file.to_owned(), source }
}
