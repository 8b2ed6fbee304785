//! A database into a folder.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use futures::TryStreamExt as _;

use super::super::backup::file_of;
use super::super::database::{Connection, Connector};
use super::lines::{Sum, line};
use super::tables::{Table, migration, tables};
use super::{Exported, FORM, MANIFEST, Manifest, Progress, TransferError, failed};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

/// Rows after which progress is told.
const TOLD_ROWS: u64 = 1_000;

/// Writes every table of the database at `url`, as it is at one moment, into the new folder `to`. A server may be
/// writing meanwhile; what it writes is not in the export.
///
/// # Errors
/// See [`TransferError`]; then the folder holds no [`Manifest`].
pub async fn export(
    url: &Secret,
    to: &Path,
    now: UnixMs,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Manifest, TransferError> {
    if let Some(missing) = file_of(url).filter(|file| !file.exists()) {
        return Err(TransferError::Missing(missing));
    }
    new_folder(to)?;
    let mut connection = Connector::parse(url)?.connect().await?;
    connection.no_timeout().await?;
    connection.begin_snapshot().await?;
    let migration = migration(&mut connection).await?;
    let mut exported = Vec::new();
    for table in tables(&mut connection).await? {
        let counted = connection.stream("COUNT", table.count()).try_next().await?;
        let rows = counted.map_or(Ok(0), |row| row.int(0))?;
        let rows = u64::try_from(rows).unwrap_or_default();
        progress(Progress::Table { name: &table.name, rows, done: 0 });
        let sum = write_table(&mut connection, &table, to, &mut progress).await?;
        exported.push(Exported { table, rows: sum.rows, hash: sum.hash() });
    }
    let manifest = Manifest { form: FORM, migration, exported: now, tables: exported };
    let file = to.join(MANIFEST);
    let mut text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(&file)(error.into()))?;
    text.push(b'\n');
    let mut written = new_file(&file)?;
    written.write_all(&text).and_then(|()| written.sync_all()).map_err(failed(&file))?;
    File::open(to).and_then(|folder| folder.sync_all()).map_err(failed(to))?;
    Ok(manifest)
}

async fn write_table(
    connection: &mut Connection,
    table: &Table,
    to: &Path,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<Sum, TransferError> {
    let path = super::lines::file(to, table);
    let mut file = BufWriter::new(new_file(&path)?);
    let mut sum = Sum::default();
    let mut rows = connection.stream("EXPORT", table.select());
    while let Some(row) = rows.try_next().await? {
        let line = line(&row.values);
        sum.add(&line);
        file.write_all(line.as_bytes()).and_then(|()| file.write_all(b"\n")).map_err(failed(&path))?;
        if sum.rows.is_multiple_of(TOLD_ROWS) {
            progress(Progress::Rows(TOLD_ROWS));
        }
    }
    progress(Progress::Rows(sum.rows % TOLD_ROWS));
    let file = file.into_inner().map_err(|error| failed(&path)(error.into_error()))?;
    file.sync_all().map_err(failed(&path))?;
    Ok(sum)
}

fn new_folder(to: &Path) -> Result<(), TransferError> {
    if to.exists() {
        let mut inside = std::fs::read_dir(to).map_err(failed(to))?;
        return if inside.next().is_some() { Err(TransferError::Exists(to.to_owned())) } else { Ok(()) };
    }
    make_folder(to)
}

/// Readable by nobody else: what is not sealed is still the bank's.
pub(super) fn make_folder(to: &Path) -> Result<(), TransferError> {
    DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed(to))
}

pub(super) fn new_file(path: &Path) -> Result<File, TransferError> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed(path))
}
