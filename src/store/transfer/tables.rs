//! Which tables a database has, asked of itself: a table that a later migration adds needs no line here.

use std::ops::Range;

use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::super::database::Connection;
use super::super::value::{Row, Value};
use super::super::{Engine, StoreError};

/// Both list every column of every table, with its type and table by table in the order of names; a partition is none.
const SQLITE_COLUMNS: &str = "SELECT t.name, c.name, lower(c.type) FROM sqlite_schema t, pragma_table_info(t.name) c \
    WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite!_%' ESCAPE '!' AND t.name <> '_sqlx_migrations' \
    ORDER BY t.name, c.name";
const POSTGRES_COLUMNS: &str = "SELECT table_name::text, column_name::text, data_type::text \
    FROM information_schema.columns WHERE table_schema = current_schema() AND table_name <> '_sqlx_migrations' \
    AND NOT EXISTS (SELECT 1 FROM pg_class c WHERE c.oid = format('%I', table_name)::regclass AND c.relispartition) \
    ORDER BY table_name::text COLLATE \"C\", column_name::text COLLATE \"C\"";
const MIGRATION: &str = "SELECT max(version) FROM _sqlx_migrations";

/// One table and its columns, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Column {
    name: String,
    pub(super) kind: Kind,
}

/// The column types that both engines share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Int,
    Text,
    Blob,
}

impl Kind {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "integer" | "bigint" => Some(Self::Int),
            "text" => Some(Self::Text),
            "blob" | "bytea" => Some(Self::Blob),
            _ => None,
        }
    }

    /// NULL of this type: PostgreSQL takes no NULL of another.
    pub(super) fn null(self) -> Value {
        match self {
            Self::Int => Value::Int(None),
            Self::Text => Value::Text(None),
            Self::Blob => Value::Blob(None),
        }
    }
}

impl Table {
    /// Every row, its columns in our order.
    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM \"{}\"", self.names(), self.name)
    }

    /// The rows of some ids, in their order.
    pub(super) fn select_between(&self, id: &str, ids: &Range<i64>) -> String {
        format!("{} WHERE {id} >= {} AND {id} < {} ORDER BY {id}", self.select(), ids.start, ids.end)
    }

    /// So many rows into it.
    pub(super) fn insert(&self, rows: usize) -> String {
        let mut text = format!("INSERT INTO \"{}\" ({}) VALUES ", self.name, self.names());
        let mut parameter = 0;
        for row in 0..rows {
            text.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..self.columns.len() {
                parameter += 1;
                text.push_str(if column == 0 { "$" } else { ", $" });
                text.push_str(&parameter.to_string());
            }
            text.push(')');
        }
        text
    }

    pub(super) fn clear(&self) -> String {
        format!("DELETE FROM \"{}\"", self.name)
    }

    pub(super) fn count(&self) -> String {
        format!("SELECT count(*) FROM \"{}\"", self.name)
    }

    /// Where a column stands in our order.
    pub(super) fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|one| one.name == column)
    }

    fn names(&self) -> String {
        let quoted: Vec<_> = self.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
        quoted.join(", ")
    }
}

/// Every table of ours, by name.
pub(super) async fn tables(connection: &mut Connection) -> Result<Vec<Table>, StoreError> {
    let text = match connection.engine() {
        Engine::Sqlite => SQLITE_COLUMNS,
        Engine::Postgres => POSTGRES_COLUMNS,
    };
    let mut tables: Vec<Table> = Vec::new();
    let mut rows = connection.stream("COLUMNS", text.to_owned());
    while let Some(row) = rows.try_next().await? {
        let (table, column) = (name(&row, 0)?, name(&row, 1)?);
        let kind = Kind::parse(row.text(2)?).ok_or(StoreError::Decode { statement: "COLUMNS", column: 2 })?;
        let column = Column { name: column, kind };
        match tables.last_mut() {
            Some(last) if last.name == table => last.columns.push(column),
            _ => tables.push(Table { name: table, columns: vec![column] }),
        }
    }
    Ok(tables)
}

/// The newest migration that was applied.
pub(super) async fn migration(connection: &mut Connection) -> Result<i64, StoreError> {
    let row = connection.stream("MIGRATION", MIGRATION.to_owned()).try_next().await?;
    row.map_or(Ok(0), |row| row.int(0))
}

/// A name that can stand in a text between quotes. Ours are all of this form; they come from our migrations.
fn name(row: &Row, column: usize) -> Result<String, StoreError> {
    let name = row.text(column)?;
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if plain && !name.is_empty() {
        Ok(name.to_owned())
    } else {
        Err(StoreError::Decode { statement: "COLUMNS", column })
    }
}
