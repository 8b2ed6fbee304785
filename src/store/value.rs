//! What travels between the house and a database: three column types, and statements that are constants.

use zeroize::Zeroizing;

use super::StoreError;
use crate::domain::ids::FollowerKey;
use crate::domain::time::UnixMs;
use crate::domain::trace::TraceId;

/// A value of one of the three column types that both databases share: BIGINT, TEXT, BLOB/BYTEA.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// BIGINT; also times (milliseconds), booleans (0/1) and minor units of money.
    Int(Option<i64>),
    /// TEXT.
    Text(Option<String>),
    /// BLOB or BYTEA.
    Blob(Option<Vec<u8>>),
}

impl std::fmt::Debug for Value {
    /// Values may be personal: only the type shows.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Int(_) => "Int",
            Self::Text(_) => "Text",
            Self::Blob(_) => "Blob",
        })
    }
}

macro_rules! from {
    ($($source:ty => $variant:ident $convert:expr;)*) => {$(
        impl From<$source> for Value {
            fn from(value: $source) -> Self {
                let convert: fn($source) -> _ = $convert;
                Self::$variant(convert(value))
            }
        }
    )*};
}

from! {
    i64 => Int Some;
    i32 => Int |value| Some(i64::from(value));
    u32 => Int |value| Some(i64::from(value));
    u8 => Int |value| Some(i64::from(value));
    bool => Int |value| Some(i64::from(value));
    Option<i64> => Int |value| value;
    UnixMs => Int |value| Some(value.0);
    Option<UnixMs> => Int |value| value.map(|moment| moment.0);
    &str => Text |value| Some(value.to_owned());
    String => Text Some;
    Option<String> => Text |value| value;
    Option<&str> => Text |value| value.map(str::to_owned);
    Vec<u8> => Blob Some;
    &[u8] => Blob |value| Some(value.to_vec());
    Option<Vec<u8>> => Blob |value| value;
    [u8; 16] => Blob |value| Some(value.to_vec());
    [u8; 32] => Blob |value| Some(value.to_vec());
    Option<TraceId> => Text |value| value.map(|trace| trace.to_string());
    FollowerKey => Blob |value| Some(value.as_bytes().to_vec());
}

/// One SQL text. Only constants exist, so no input ever becomes SQL; `$1`, `$2` … on both databases.
#[derive(Clone, Copy, Debug)]
pub struct Statement {
    /// Its name in the source, for errors and metrics.
    pub name: &'static str,
    /// The text.
    pub sql: &'static str,
}

/// Declares the statements of one part of the store, and a list `ALL` that the tests prepare on both databases.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: $crate::store::value::Statement =
            $crate::store::value::Statement { name: stringify!($name), sql: $sql };)*
        /// Every statement of this part.
        pub(super) const ALL: &[$crate::store::value::Statement] = &[$($name),*];
    };
}
pub(super) use statements;

/// One row of an answer. Columns are read by position, with the statement's name in every error.
#[derive(Debug)]
pub struct Row {
    pub(super) statement: &'static str,
    pub(super) values: Vec<Value>,
}

impl Row {
    fn bad(&self, column: usize) -> StoreError {
        StoreError::Decode { statement: self.statement, column }
    }

    /// A BIGINT that is never NULL.
    ///
    /// # Errors
    /// When the column is NULL, missing, or of another type.
    pub fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.int_opt(column)?.ok_or_else(|| self.bad(column))
    }

    /// A BIGINT or NULL.
    ///
    /// # Errors
    /// When the column is missing or of another type.
    pub fn int_opt(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.values.get(column) {
            Some(Value::Int(value)) => Ok(*value),
            Some(Value::Text(None) | Value::Blob(None)) => Ok(None),
            _ => Err(self.bad(column)),
        }
    }

    /// A time that is never NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn time(&self, column: usize) -> Result<UnixMs, StoreError> {
        self.int(column).map(UnixMs)
    }

    /// A time or NULL.
    ///
    /// # Errors
    /// As [`Row::int_opt`].
    pub fn time_opt(&self, column: usize) -> Result<Option<UnixMs>, StoreError> {
        Ok(self.int_opt(column)?.map(UnixMs))
    }

    /// A 0/1 column.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn flag(&self, column: usize) -> Result<bool, StoreError> {
        self.int(column).map(|value| value != 0)
    }

    /// A TEXT that is never NULL.
    ///
    /// # Errors
    /// When the column is NULL, missing, or of another type.
    pub fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.text_opt(column)?.ok_or_else(|| self.bad(column))
    }

    /// A TEXT or NULL.
    ///
    /// # Errors
    /// When the column is missing or of another type.
    pub fn text_opt(&self, column: usize) -> Result<Option<&str>, StoreError> {
        match self.values.get(column) {
            Some(Value::Text(value)) => Ok(value.as_deref()),
            Some(Value::Int(None) | Value::Blob(None)) => Ok(None),
            _ => Err(self.bad(column)),
        }
    }

    /// A BLOB that is never NULL.
    ///
    /// # Errors
    /// When the column is NULL, missing, or of another type.
    pub fn blob(&self, column: usize) -> Result<&[u8], StoreError> {
        self.blob_opt(column)?.ok_or_else(|| self.bad(column))
    }

    /// A BLOB or NULL.
    ///
    /// # Errors
    /// When the column is missing or of another type.
    pub fn blob_opt(&self, column: usize) -> Result<Option<&[u8]>, StoreError> {
        match self.values.get(column) {
            Some(Value::Blob(value)) => Ok(value.as_deref()),
            Some(Value::Int(None) | Value::Text(None)) => Ok(None),
            _ => Err(self.bad(column)),
        }
    }

    /// A follower's key.
    ///
    /// # Errors
    /// When the column does not hold 16 bytes.
    pub fn follower(&self, column: usize) -> Result<FollowerKey, StoreError> {
        FollowerKey::from_slice(self.blob(column)?).ok_or_else(|| self.bad(column))
    }

    /// Plain bytes that were sealed as UTF-8.
    ///
    /// # Errors
    /// When they are not UTF-8.
    pub fn utf8(&self, column: usize, plain: &Zeroizing<Vec<u8>>) -> Result<String, StoreError> {
        std::str::from_utf8(plain).map(str::to_owned).map_err(|_| self.bad(column))
    }
}

/// What must be true of a write for its commit to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Any number of rows.
    Any,
    /// Exactly this many rows; otherwise the whole commit is undone and told as this conflict.
    Rows(u64, Conflict),
}

/// Why a commit was undone: somebody else was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The key is there already.
    Duplicate,
    /// The row changed since it was read.
    Stale,
    /// Another owner holds it now, or the lease ended.
    Lost,
}

/// One statement of a commit, with its arguments and its condition.
#[derive(Clone, Debug)]
pub struct Write {
    pub(super) statement: Statement,
    pub(super) args: Vec<Value>,
    pub(super) expect: Expect,
}

impl Write {
    /// A write that stands whatever number of rows it touches.
    #[must_use]
    pub(super) fn new(statement: Statement, args: Vec<Value>) -> Self {
        Self { statement, args, expect: Expect::Any }
    }

    /// A write that must touch exactly one row.
    #[must_use]
    pub(super) fn one(statement: Statement, args: Vec<Value>, otherwise: Conflict) -> Self {
        Self { statement, args, expect: Expect::Rows(1, otherwise) }
    }
}

/// Writes that stand or fall together. Data, not a transaction: nobody outside the store holds one open.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub(super) writes: Vec<Write>,
    pub(super) lane: u8,
}

impl Commit {
    /// An empty commit; `lane` (the follower's partition) keeps one follower's commits in order.
    #[must_use]
    pub fn new(lane: u8) -> Self {
        Self { writes: Vec::new(), lane }
    }

    /// Adds one write.
    pub fn push(&mut self, write: Write) {
        self.writes.push(write);
    }

    /// Adds several writes.
    pub fn extend(&mut self, writes: impl IntoIterator<Item = Write>) {
        self.writes.extend(writes);
    }

    /// Whether it brings work for the outbox, so that its workers need to look.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        self.writes.iter().any(|write| write.statement.sql == super::outbox::ADD.sql)
    }

    /// The commit with one more write.
    #[must_use]
    pub fn with(mut self, write: Write) -> Self {
        self.push(write);
        self
    }
}
