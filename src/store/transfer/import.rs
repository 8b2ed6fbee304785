//! A folder into an empty database.

use std::path::Path;
use std::sync::Arc;

use futures::TryStreamExt as _;

use super::super::StoreError;
use super::super::database::{Connection, Database};
use super::super::value::Value;
use super::super::writer::COMMIT;
use super::lines::{Lines, Sum, line};
use super::tables::{Table, migration, tables};
use super::{Exported, FORM, MANIFEST, Manifest, Progress, TransferError, failed};
use crate::domain::secret::Secret;
use crate::keys::Keys;

/// Parameters of one statement; PostgreSQL takes 65,535 and SQLite 32,766.
const PARAMETERS_MAX: usize = 16_000;
/// Rows of one statement.
const ROWS_MAX: usize = 500;
/// Bytes of one statement's lines, after which it is sent even if it could take more rows.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// Tables that migrations put rows into: those give way to the exported ones.
const SEEDED: [&str; 1] = ["part_lease"];
const DATA_KEYS: &str = "data_key";

/// Brings an export into the database at `url`, which is migrated first and must hold nothing else. Where an earlier
/// run of the same import was stopped, it goes on from there. In the end every table is read back and compared.
///
/// # Errors
/// See [`TransferError`]. What has arrived by then stays; the same command goes on from there.
pub async fn import(
    url: &Secret,
    from: &Path,
    keys: &dyn Keys,
    mut progress: impl FnMut(Progress<'_>),
) -> Result<Manifest, TransferError> {
    let manifest = read_manifest(from)?;
    check_keys(&manifest, from, keys)?;
    let database = Database::open(url).await?;
    database.migrate().await?;
    let mut connection = database.connector().connect().await?;
    connection.no_timeout().await?;
    check_shape(&mut connection, &manifest, from).await?;
    for exported in &manifest.tables {
        fill(&mut connection, exported, from, &mut progress).await?;
    }
    for exported in &manifest.tables {
        progress(Progress::Verifying(exported.name()));
        let sum = sum_of(&mut connection, &exported.table).await?;
        if sum.rows != exported.rows || sum.hash() != exported.hash {
            return Err(TransferError::Differs {
                table: exported.name().to_owned(),
                rows: exported.rows,
                hash: exported.hash.clone(),
                found_rows: sum.rows,
                found: sum.hash(),
            });
        }
    }
    // The planner of either engine knows nothing yet of tables that were filled a moment ago.
    connection.run("ANALYZE", "ANALYZE".to_owned(), &[]).await?;
    database.close().await;
    Ok(manifest)
}

fn read_manifest(from: &Path) -> Result<Manifest, TransferError> {
    let file = from.join(MANIFEST);
    if !file.exists() {
        return Err(TransferError::NoExport(from.to_owned()));
    }
    let text = std::fs::read(&file).map_err(failed(&file))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| failed(&file)(std::io::Error::other(error)))?;
    if manifest.form == FORM {
        Ok(manifest)
    } else {
        Err(TransferError::Shape(format!("of form {}", manifest.form)))
    }
}

/// Before anything is written: with another master key nothing of it could be read in the end.
fn check_keys(manifest: &Manifest, from: &Path, keys: &dyn Keys) -> Result<(), TransferError> {
    let missing = || TransferError::Shape(DATA_KEYS.to_owned());
    let exported = manifest.tables.iter().find(|one| one.name() == DATA_KEYS).ok_or_else(missing)?;
    let at = |name| exported.table.place(name).ok_or_else(missing);
    let (id, wrapped) = (at("key_id")?, at("wrapped")?);
    let mut lines = Lines::open(exported.file(from), &exported.table)?;
    while let Some((values, _)) = lines.next()? {
        if let (Some(Value::Int(Some(id))), Some(Value::Blob(Some(wrapped)))) =
            (values.get(id), values.get(wrapped))
        {
            keys.unwrap(*id, wrapped)?;
        }
    }
    Ok(())
}

async fn check_shape(
    connection: &mut Connection,
    manifest: &Manifest,
    from: &Path,
) -> Result<(), TransferError> {
    let ours = migration(connection).await?;
    if manifest.migration != ours {
        return Err(TransferError::Version { folder: from.to_owned(), found: manifest.migration, ours });
    }
    let tables = tables(connection).await?;
    match manifest.tables.iter().find(|exported| !tables.contains(&exported.table)) {
        Some(strange) => Err(TransferError::Shape(strange.name().to_owned())),
        None => Ok(()),
    }
}

/// Adds the rows that are not there yet. Rows arrive in the order of the file, so that their number says where it
/// stopped; their hash says that they are the export's.
async fn fill(
    connection: &mut Connection,
    exported: &Exported,
    from: &Path,
    progress: &mut impl FnMut(Progress<'_>),
) -> Result<(), TransferError> {
    let table = &exported.table;
    let mut there = sum_of(connection, table).await?;
    let begun = starts_with(exported, from, &there)?;
    if begun.is_none() && SEEDED.contains(&exported.name()) {
        connection.run("CLEAR", table.clear(), &[]).await?;
        there = Sum::default();
    } else if begun.is_none() {
        return Err(TransferError::NotEmpty(exported.name().to_owned()));
    }
    progress(Progress::Table { name: exported.name(), rows: exported.rows, done: there.rows });
    let mut lines = match begun {
        Some(lines) => lines,
        None => Lines::open(exported.file(from), table)?,
    };
    loop {
        let batch = next_batch(&mut lines, table)?;
        if batch.is_empty() {
            return Ok(());
        }
        let rows = batch.len() / table.columns.len();
        connection.begin().await.map_err(|error| StoreError::Open(Arc::new(error)))?;
        connection.run("IMPORT", table.insert(rows), &batch).await?;
        connection.run(COMMIT.name, COMMIT.sql.to_owned(), &[]).await?;
        progress(Progress::Rows(u64::try_from(rows).unwrap_or(u64::MAX)));
    }
}

/// The values of the next rows, one row after the other; none at the end.
fn next_batch(lines: &mut Lines<'_>, table: &Table) -> Result<Vec<Value>, TransferError> {
    let rows_max = (PARAMETERS_MAX / table.columns.len().max(1)).clamp(1, ROWS_MAX);
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for _ in 0..rows_max {
        let Some((values, line)) = lines.next()? else { break };
        batch.extend(values);
        bytes += line.len();
        if bytes >= BATCH_BYTES {
            break;
        }
    }
    Ok(batch)
}

/// The lines after those that are there, if what is there are the first lines of the export.
fn starts_with<'a>(
    exported: &'a Exported,
    from: &Path,
    there: &Sum,
) -> Result<Option<Lines<'a>>, TransferError> {
    let mut lines = Lines::open(exported.file(from), &exported.table)?;
    let mut sum = Sum::default();
    while sum.rows < there.rows {
        let Some((_, line)) = lines.next()? else { return Ok(None) };
        sum.add(&line);
    }
    Ok((sum == *there).then_some(lines))
}

/// Counts and hashes what is in a table.
async fn sum_of(connection: &mut Connection, table: &Table) -> Result<Sum, TransferError> {
    let mut sum = Sum::default();
    let mut rows = connection.stream("VERIFY", table.select());
    while let Some(row) = rows.try_next().await? {
        sum.add(&line(&row.values));
    }
    Ok(sum)
}
