//! Days of the log into files, before they go.
//!
//! A day is one file of lines: the first says what it is and names the columns, each other is a message in the form of an
//! export. What was said stays sealed, under the data keys that stay in the database; so a file is read beside that
//! database, or a copy of it, and its master key. Its SHA-256 stands in the database, and beside it for `sha256sum --check`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::super::conversation::{CONTENT, message_row};
use super::super::database::Connection;
use super::super::log_days::{TIMED_ID_MIN, ids_of};
use super::super::value::{Row, Value};
use super::super::{Channel, Commit, CommitError, Direction, Message, Store, StoreError};
use super::export::{make_folder, new_file};
use super::lines::{Lines, head, line};
use super::tables::{Table, migration, tables};
use super::{FORM, TransferError, failed};
use crate::domain::ids::AccountId;
use crate::domain::secret::Personal;
use crate::domain::time::BeijingDay;

const LOG: &str = "message";
const READ_BYTES: usize = 64 * 1024;

/// A day that was written.
#[derive(Clone, Debug)]
pub struct ArchivedDay {
    /// The day.
    pub day: BeijingDay,
    /// Its file.
    pub file: PathBuf,
    /// Messages.
    pub entries: u64,
    /// Of the file, in hexadecimal.
    pub sha256: String,
}

/// The first line of a file.
#[derive(Serialize, Deserialize)]
struct Head {
    form: u32,
    /// The newest migration of its database.
    migration: i64,
    /// As people write it.
    date: String,
    /// As the database counts it.
    day: i64,
    #[serde(flatten)]
    table: Table,
}

/// Writes each day of the log before `before` that was not written yet into a file of its own in `to`, oldest first, and
/// notes in the database that it may go. A server may run meanwhile; a run that was stopped is repeated.
///
/// # Errors
/// See [`TransferError`]; days that were told stand.
pub async fn archive(
    store: &Store,
    to: &Path,
    before: BeijingDay,
    mut told: impl FnMut(&ArchivedDay),
) -> Result<(), TransferError> {
    make_folder(to)?;
    let mut connection = store.inner.database.connector().connect().await?;
    connection.no_timeout().await?;
    let migration = migration(&mut connection).await?;
    let table = tables(&mut connection).await?.into_iter().find(|table| table.name == LOG);
    let table = table.ok_or_else(|| TransferError::Shape(LOG.to_owned()))?;
    let mut from_id = TIMED_ID_MIN;
    while let Some(day) = store.next_log_day(from_id, before).await? {
        from_id = ids_of(day).end;
        if store.archived_log_day(day).await?.is_some() {
            continue;
        }
        let head = Head { form: FORM, migration, date: day.to_string(), day: day.0, table: table.clone() };
        let archived = write_day(&mut connection, head, to).await?;
        let note = store.note_archived(day, archived.entries, &archived.sha256);
        match store.commit(Commit::new(0).with(note)).await {
            Ok(()) => told(&archived),
            Err(CommitError::Store(error)) => return Err(error.into()),
            Err(CommitError::Conflict(_)) => return Err(StoreError::Closed.into()),
        }
    }
    Ok(())
}

async fn write_day(connection: &mut Connection, head: Head, to: &Path) -> Result<ArchivedDay, TransferError> {
    let name = format!("{LOG}-{}.jsonl", head.date);
    let (path, partial) = (to.join(&name), to.join(format!("{name}.partial")));
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(&partial)(error)),
        _ => {}
    }
    let day = BeijingDay(head.day);
    let mut file = BufWriter::new(new_file(&partial)?);
    let (mut hash, mut entries) = (Sha256::new(), 0);
    let mut put = |mut text: String| {
        text.push('\n');
        hash.update(text.as_bytes());
        file.write_all(text.as_bytes()).map_err(failed(&partial))
    };
    put(serde_json::to_string(&head).map_err(|error| failed(&partial)(error.into()))?)?;
    let mut rows = connection.stream("ARCHIVE", head.table.select_between("message_id", &ids_of(day)));
    while let Some(row) = rows.try_next().await? {
        put(line(&row.values))?;
        entries += 1;
    }
    let file = file.into_inner().map_err(|error| failed(&partial)(error.into_error()))?;
    file.sync_all().map_err(failed(&partial))?;
    let sha256 = hex::encode(hash.finalize());
    if !path.exists() {
        std::fs::rename(&partial, &path).map_err(failed(&path))?;
    } else if sha256_of(&path)? == sha256 {
        // An earlier run was stopped before it could note the day.
        std::fs::remove_file(&partial).map_err(failed(&partial))?;
    } else {
        return Err(TransferError::Exists(path));
    }
    write_sum(&to.join(format!("{name}.sha256")), &format!("{sha256}  {name}\n"))?;
    File::open(to).and_then(|folder| folder.sync_all()).map_err(failed(to))?;
    Ok(ArchivedDay { day, file: path, entries, sha256 })
}

/// For `sha256sum --check`.
fn write_sum(path: &Path, text: &str) -> Result<(), TransferError> {
    let mut open = OpenOptions::new();
    let file = open.write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .map_err(failed(path))
}

fn sha256_of(path: &Path) -> Result<String, TransferError> {
    let mut file = File::open(path).map_err(failed(path))?;
    let (mut hash, mut bytes) = (Sha256::new(), vec![0; READ_BYTES]);
    loop {
        let count = file.read(&mut bytes).map_err(failed(path))?;
        if count == 0 {
            return Ok(hex::encode(hash.finalize()));
        }
        hash.update(bytes.get(..count).unwrap_or_default());
    }
}

/// Reads the messages of one account from a file of [`archive`], opened with the keys of `store`; gives how many.
///
/// # Errors
/// When the file is none or not as it was written, and when these keys do not open it.
pub async fn read_archived(
    store: &Store,
    path: &Path,
    account: &AccountId,
    mut each: impl FnMut(&Message),
) -> Result<u64, TransferError> {
    let none = || TransferError::NoArchive(path.to_owned());
    let (first, _) = head(path)?;
    let head: Head = serde_json::from_slice(&first).map_err(|_| none())?;
    if head.form != FORM || head.table.name != LOG {
        return Err(none());
    }
    let found = sha256_of(path)?;
    if let Some(written) =
        store.archived_log_day(BeijingDay(head.day)).await?.filter(|sha256| *sha256 != found)
    {
        return Err(TransferError::Altered { file: path.to_owned(), found, written });
    }
    let mut lines = Lines::after_head(path.to_owned(), &head.table)?;
    let mut entries = 0;
    while let Some((values, _)) = lines.next()? {
        let message = message(store, &head.table, values)?.ok_or_else(none)?;
        if message.account == *account {
            each(&message);
            entries += 1;
        }
    }
    Ok(entries)
}

/// The message of a line; `None` where a column is missing.
fn message(store: &Store, table: &Table, mut values: Vec<Value>) -> Result<Option<Message>, TransferError> {
    let columns =
        ["account", "fkey", "seq", "direction", "author", "channel", "content_sealed", "at_ms", "state"];
    let places: Option<Vec<usize>> = columns.iter().map(|column| table.place(column)).collect();
    let Some(places) = places else { return Ok(None) };
    let mut take = |place| values.get_mut(place).map(|value| std::mem::replace(value, Value::Int(None)));
    let Some(values) = places.into_iter().map(&mut take).collect::<Option<Vec<Value>>>() else {
        return Ok(None);
    };
    let row = Row { statement: "ARCHIVED", values };
    let (account, follower, seq) = (AccountId::new(row.text(0)?), row.follower(1)?, row.int(2)?);
    let (Some(direction), Some(channel)) = (Direction::parse(row.text(3)?), Channel::parse(row.text(5)?))
    else {
        return Ok(None);
    };
    let plain = store.vault().open(CONTENT, &message_row(&account, follower, seq), row.blob(6)?)?;
    let content = Personal::new(row.utf8(6, &plain)?);
    let (author, state) = (row.text(4)?.to_owned(), row.text(8)?.to_owned());
    Ok(Some(Message { account, follower, seq, direction, author, channel, content, at: row.time(7)?, state }))
}

#[cfg(test)]
mod tests;
