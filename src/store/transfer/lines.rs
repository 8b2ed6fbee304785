//! One row as one line, and the hash of many.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::super::value::Value;
use super::tables::{Kind, Table};
use super::{TransferError, failed};

/// The longest line: the largest file of a chat, in base64, and what stands beside it.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the lines of a table stand.
pub(super) fn file(folder: &Path, table: &Table) -> PathBuf {
    folder.join(format!("{}.jsonl", table.name))
}

/// A row as a JSON array, without the end of its line: whole numbers, texts, `null`, and `{"base64": …}` for bytes.
/// The same row is the same text on both engines.
pub(super) fn line(values: &[Value]) -> String {
    let values = values.iter().map(|value| match value {
        Value::Int(Some(number)) => serde_json::json!(number),
        Value::Text(Some(text)) => serde_json::json!(text),
        Value::Blob(Some(bytes)) => serde_json::json!({ "base64": STANDARD.encode(bytes) }),
        Value::Int(None) | Value::Text(None) | Value::Blob(None) => serde_json::Value::Null,
    });
    values.collect::<serde_json::Value>().to_string()
}

fn values(line: &str, table: &Table) -> Result<Vec<Value>, &'static str> {
    let found: Vec<serde_json::Value> = serde_json::from_str(line).map_err(|_| "it is no JSON array")?;
    if found.len() != table.columns.len() {
        return Err("it has another number of columns than its table");
    }
    found.into_iter().zip(&table.columns).map(|(value, column)| one(value, column.kind)).collect()
}

fn one(value: serde_json::Value, kind: Kind) -> Result<Value, &'static str> {
    match (kind, value) {
        (kind, serde_json::Value::Null) => Ok(kind.null()),
        (Kind::Int, value) => value.as_i64().map(Value::from).ok_or("a whole number is something else"),
        (Kind::Text, serde_json::Value::String(text)) => Ok(text.into()),
        (Kind::Text, _) => Err("a text is something else"),
        (Kind::Blob, value) => {
            let text = value.get("base64").and_then(serde_json::Value::as_str);
            let bytes = text.and_then(|text| STANDARD.decode(text).ok());
            bytes.map(Value::from).ok_or("bytes are no base64")
        }
    }
}

/// The lines of a table's file, one after the other.
pub(super) struct Lines<'a> {
    file: PathBuf,
    table: &'a Table,
    reader: BufReader<File>,
    number: u64,
}

impl<'a> Lines<'a> {
    pub(super) fn open(file: PathBuf, table: &'a Table) -> Result<Self, TransferError> {
        let reader = BufReader::new(File::open(&file).map_err(failed(&file))?);
        Ok(Self { file, table, reader, number: 0 })
    }

    /// The lines after the first one.
    pub(super) fn after_head(file: PathBuf, table: &'a Table) -> Result<Self, TransferError> {
        let (_, reader) = head(&file)?;
        Ok(Self { file, table, reader, number: 1 })
    }

    /// The next row and what it adds to the hash; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<(Vec<Value>, String)>, TransferError> {
        let mut line = Vec::new();
        let mut bounded = self.reader.by_ref().take(LINE_BYTES_MAX);
        bounded.read_until(b'\n', &mut line).map_err(failed(&self.file))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        let whole = line.pop() == Some(b'\n');
        let text = String::from_utf8(line).ok().filter(|_| whole);
        let text = text.ok_or_else(|| self.bad("it is cut off, too long, or no UTF-8"))?;
        let values = values(&text, self.table).map_err(|reason| self.bad(reason))?;
        Ok(Some((values, text)))
    }

    fn bad(&self, reason: &'static str) -> TransferError {
        TransferError::Line { file: self.file.clone(), line: self.number, reason }
    }
}

/// The first line of a file, and a reader that stands after it.
pub(super) fn head(file: &Path) -> Result<(Vec<u8>, BufReader<File>), TransferError> {
    let mut reader = BufReader::new(File::open(file).map_err(failed(file))?);
    let mut line = Vec::new();
    reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).map_err(failed(file))?;
    Ok((line, reader))
}

/// Counts rows and adds up their SHA-256, so that the order in which a database gives them does not matter. It finds
/// what a transfer lost, doubled or changed; it is no seal against somebody who means harm.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) rows: u64,
    high: u128,
    low: u128,
}

impl Sum {
    pub(super) fn add(&mut self, line: &str) {
        let digest: [u8; 32] = Sha256::digest(line.as_bytes()).into();
        let (mut high, mut low) = ([0; 16], [0; 16]);
        high.copy_from_slice(&digest[..16]);
        low.copy_from_slice(&digest[16..]);
        self.high = self.high.wrapping_add(u128::from_be_bytes(high));
        self.low = self.low.wrapping_add(u128::from_be_bytes(low));
        self.rows += 1;
    }

    pub(super) fn hash(&self) -> String {
        format!("{:032x}{:032x}", self.high, self.low)
    }
}
