//! The two engines: connections, migrations, and the small difference between their drivers.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use sqlx::migrate::{Migration, MigrationSource, MigrationType, Migrator};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{
    Column as _, ConnectOptions as _, Row as _, SqlSafeStr as _, SqlStr, TypeInfo as _, ValueRef as _,
};

use super::address::{Address, is_unreachable, takes_writes};
use super::rows::ROWS_MAX;
use super::session::{self, Session, bind};
use super::value::{Row, Statement, Value};
use super::{Engine, StoreError};
use crate::domain::secret::Secret;

/// Connections that read at the same time.
const READERS_MAX: u32 = 4;
/// A read waits this long for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// SQLite waits this long for another process's lock (only `weikefu user` and the like hold one).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Memory for pages of the one connection that writes to SQLite; negative: in KiB.
const WRITER_CACHE_KIB: &str = "-32768";
/// Pages in SQLite's log before they are brought into the file: 32 MiB, so that a page that changes often is
/// brought there seldom.
const CHECKPOINT_PAGES: &str = "8192";

/// Connections for reading, and how to make one for writing.
pub(super) struct Database {
    readers: Readers,
    connector: Connector,
}

enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool, Address),
}

/// Makes connections that write.
#[derive(Clone)]
pub(super) enum Connector {
    Sqlite(Box<SqliteConnectOptions>),
    Postgres(Address),
}

impl Connector {
    /// How the address of a configuration is connected to.
    pub(super) fn parse(url: &Secret) -> Result<Self, StoreError> {
        let open = |error: sqlx::Error| StoreError::Open(Arc::new(error));
        let address = url.reveal();
        if address.starts_with("sqlite:") {
            let options = SqliteConnectOptions::from_str(address)
                .map_err(open)?
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Full)
                .foreign_keys(true)
                .busy_timeout(BUSY_TIMEOUT)
                .optimize_on_close(true, None)
                .statement_cache_capacity(super::address::PREPARED_MAX)
                .disable_statement_logging();
            return Ok(Self::Sqlite(Box::new(options)));
        }
        if address.starts_with("postgres:") || address.starts_with("postgresql:") {
            return Address::parse(address).map(Self::Postgres);
        }
        Err(StoreError::Address)
    }

    pub(super) async fn connect(&self) -> Result<Connection, StoreError> {
        let open = |error| StoreError::Open(Arc::new(error));
        match self {
            Self::Sqlite(options) => {
                let options = options
                    .clone()
                    .pragma("cache_size", WRITER_CACHE_KIB)
                    .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
                    .row_buffer_size(ROWS_MAX)
                    // What a statement of many rows would need to undo itself stays in memory.
                    .pragma("temp_store", "memory");
                options.connect().await.map(Connection::Sqlite).map_err(open)
            }
            Self::Postgres(address) => {
                let connection = address.connect().await.map_err(open)?;
                Ok(Connection::Postgres(Session::new(connection, address.pooled())))
            }
        }
    }
}

/// One connection that writes.
pub(super) enum Connection {
    Sqlite(SqliteConnection),
    Postgres(Session),
}

/// What a pooler lets us know of the migrations. They are not run through it: their lock belongs to a session.
const APPLIED: &str = "SELECT version FROM _sqlx_migrations WHERE success";

#[derive(rust_embed::RustEmbed)]
#[folder = "migrations/"]
struct Migrations;

#[derive(Debug)]
struct Folder(&'static str);

impl MigrationSource<'static> for Folder {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, sqlx::error::BoxDynError>> {
        Box::pin(async move {
            let mut migrations = Vec::new();
            for path in Migrations::iter() {
                let Some(name) = path.strip_prefix(self.0).and_then(|rest| rest.strip_suffix(".sql")) else {
                    continue;
                };
                let (number, title) = name.split_once('_').ok_or("a migration is named NNNN_name.sql")?;
                let file = Migrations::get(&path).ok_or("an embedded migration vanished")?;
                let sql = String::from_utf8(file.data.into_owned())?;
                migrations.push(Migration::new(
                    number.parse()?,
                    Cow::Owned(title.replace('_', " ")),
                    MigrationType::Simple,
                    sqlx::AssertSqlSafe(sql).into_sql_str(),
                    false,
                ));
            }
            migrations.sort_by_key(|migration| migration.version);
            Ok(migrations)
        })
    }
}

impl Database {
    pub(super) async fn open(url: &Secret) -> Result<Self, StoreError> {
        let open = |error: sqlx::Error| StoreError::Open(Arc::new(error));
        let connector = Connector::parse(url)?;
        let readers = match &connector {
            Connector::Sqlite(options) => {
                let folder = options.get_filename().parent().filter(|path| !path.as_os_str().is_empty());
                if let Some(folder) = folder {
                    std::fs::create_dir_all(folder).map_err(|error| open(sqlx::Error::Io(error)))?;
                }
                // The first connection makes the file and turns on WAL before readers come.
                drop(options.connect().await.map_err(open)?);
                let readers = SqlitePoolOptions::new()
                    .max_connections(READERS_MAX)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .connect_with(options.clone().read_only(true).create_if_missing(false));
                Readers::Sqlite(readers.await.map_err(open)?)
            }
            Connector::Postgres(address) => {
                drop(address.connect().await.map_err(open)?);
                let primary = address.for_readers().await.ok_or(StoreError::Address)?;
                let readers = PgPoolOptions::new()
                    .max_connections(READERS_MAX)
                    .acquire_timeout(ACQUIRE_TIMEOUT)
                    .max_lifetime(Duration::from_secs(30 * 60))
                    .after_connect(|connection, _| Box::pin(takes_writes(connection)))
                    .connect_with(primary.clone());
                Readers::Postgres(readers.await.map_err(open)?, address.clone())
            }
        };
        Ok(Self { readers, connector })
    }

    pub(super) fn engine(&self) -> Engine {
        match self.readers {
            Readers::Sqlite(_) => Engine::Sqlite,
            Readers::Postgres(..) => Engine::Postgres,
        }
    }

    pub(super) fn connector(&self) -> Connector {
        self.connector.clone()
    }

    pub(super) async fn migrate(&self) -> Result<(), StoreError> {
        let migrator = self.migrator().await?;
        self.migrate_by(migrator).await
    }

    /// Applies migrations up to one only, as the program of that version did.
    #[cfg(test)]
    pub(super) async fn migrate_to(&self, newest: i64) -> Result<(), StoreError> {
        let mut migrator = self.migrator().await?;
        migrator.migrations.to_mut().retain(|migration| migration.version <= newest);
        self.migrate_by(migrator).await
    }

    async fn migrator(&self) -> Result<Migrator, StoreError> {
        let folder = match self.engine() {
            Engine::Sqlite => "sqlite/",
            Engine::Postgres => "postgres/",
        };
        let migrator = Migrator::new(Folder(folder)).await;
        let mut migrator = migrator.map_err(|error| StoreError::Migrate(Arc::new(error)))?;
        // An older version keeps running on a newer schema while machines are upgraded one by one.
        migrator.set_ignore_missing(true);
        Ok(migrator)
    }

    async fn migrate_by(&self, migrator: Migrator) -> Result<(), StoreError> {
        let failed = |error| StoreError::Migrate(Arc::new(error));
        match self.connector.connect().await? {
            Connection::Sqlite(mut connection) => migrator.run(&mut connection).await.map_err(failed),
            Connection::Postgres(mut session) if session.is_pooled() => {
                let applied = match session.fetch(SqlStr::from_static(APPLIED), &[]).await {
                    Ok(rows) => rows.len(),
                    Err(error) if is_no_such_table(&error) => 0,
                    Err(error) => return Err(StoreError::Open(Arc::new(error))),
                };
                let missing = migrator.iter().count().saturating_sub(applied);
                if missing > 0 { Err(StoreError::Unmigrated(missing)) } else { Ok(()) }
            }
            Connection::Postgres(mut session) => {
                // Tables of a large bank are not rewritten within a statement's usual time.
                session.no_timeout().await.map_err(|error| StoreError::Open(Arc::new(error)))?;
                migrator.run(session.connection()).await.map_err(failed)
            }
        }
    }

    pub(super) async fn fetch(&self, statement: Statement, args: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.fetch_text(statement, SqlStr::from_static(statement.sql), &args).await
    }

    /// Reads by the text of a statement over rows.
    pub(super) async fn fetch_text(
        &self,
        statement: Statement,
        text: SqlStr,
        args: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let failed = |source| StoreError::Statement { statement: statement.name, source: Arc::new(source) };
        match &self.readers {
            Readers::Sqlite(readers) => {
                let rows = bind!(sqlx::query(text), args).fetch_all(readers).await.map_err(failed)?;
                rows.iter().map(|row| sqlite_row(statement, row)).collect()
            }
            Readers::Postgres(pool, address) => {
                let mut rows = session::read(pool, address.pooled(), text.clone(), args).await;
                if rows.as_ref().is_err_and(is_unreachable) && address.has_moved(pool).await {
                    rows = session::read(pool, address.pooled(), text, args).await;
                }
                let rows = rows.map_err(failed)?;
                rows.iter().map(|row| postgres_row(statement, row)).collect()
            }
        }
    }

    /// Connections that read: idle ones, and busy ones.
    pub(super) fn readers(&self) -> (usize, usize) {
        let (idle, all) = match &self.readers {
            Readers::Sqlite(pool) => (pool.num_idle(), pool.size()),
            Readers::Postgres(pool, _) => (pool.num_idle(), pool.size()),
        };
        (idle, usize::try_from(all).unwrap_or(usize::MAX).saturating_sub(idle))
    }

    pub(super) async fn close(&self) {
        match &self.readers {
            Readers::Sqlite(pool) => pool.close().await,
            Readers::Postgres(pool, _) => pool.close().await,
        }
    }
}

fn is_no_such_table(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().is_some_and(|code| code == "42P01"))
}

pub(super) const BEGIN: Statement = Statement { name: "BEGIN", sql: "BEGIN" };
const BEGIN_IMMEDIATE: Statement = Statement { name: "BEGIN", sql: "BEGIN IMMEDIATE" };

impl Connection {
    /// Runs one statement and tells how many rows it touched.
    pub(super) async fn execute<'a>(
        &mut self,
        statement: Statement,
        args: impl IntoIterator<Item = &'a Value>,
    ) -> Result<u64, sqlx::Error> {
        self.execute_text(SqlStr::from_static(statement.sql), args).await
    }

    /// Runs the text of a statement over rows.
    pub(super) async fn execute_rows<'a>(
        &mut self,
        text: Arc<str>,
        args: impl IntoIterator<Item = &'a Value>,
    ) -> Result<u64, sqlx::Error> {
        self.execute_text(sqlx::AssertSqlSafe(text).into_sql_str(), args).await
    }

    /// Reads by the text of a statement over rows.
    pub(super) async fn fetch_rows(
        &mut self,
        statement: Statement,
        text: Arc<str>,
        args: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        let failed = |source| StoreError::Statement { statement: statement.name, source: Arc::new(source) };
        let text = sqlx::AssertSqlSafe(text).into_sql_str();
        match self {
            Self::Sqlite(connection) => {
                let rows = bind!(sqlx::query(text), args).fetch_all(connection).await.map_err(failed)?;
                rows.iter().map(|row| sqlite_row(statement, row)).collect()
            }
            Self::Postgres(session) => {
                let rows = session.fetch(text, args).await.map_err(failed)?;
                rows.iter().map(|row| postgres_row(statement, row)).collect()
            }
        }
    }

    async fn execute_text<'a>(
        &mut self,
        text: SqlStr,
        args: impl IntoIterator<Item = &'a Value>,
    ) -> Result<u64, sqlx::Error> {
        match self {
            Self::Sqlite(connection) => {
                bind!(sqlx::query(text), args).execute(connection).await.map(|done| done.rows_affected())
            }
            Self::Postgres(session) => session.execute(text, args).await,
        }
    }

    pub(super) fn engine(&self) -> Engine {
        match self {
            Self::Sqlite(_) => Engine::Sqlite,
            Self::Postgres(_) => Engine::Postgres,
        }
    }

    /// Runs a text that is made at run time, of constants and of names that our migrations gave.
    pub(super) async fn run(
        &mut self,
        name: &'static str,
        text: String,
        args: &[Value],
    ) -> Result<u64, StoreError> {
        let ran = self.execute_text(sqlx::AssertSqlSafe(text).into_sql_str(), args).await;
        ran.map_err(|source| StoreError::Statement { statement: name, source: Arc::new(source) })
    }

    /// Reads by such a text, row by row, however many there are.
    pub(super) fn stream(
        &mut self,
        name: &'static str,
        text: String,
    ) -> BoxStream<'_, Result<Row, StoreError>> {
        let statement = Statement { name, sql: "" };
        let failed = move |source| StoreError::Statement { statement: name, source: Arc::new(source) };
        let query = sqlx::AssertSqlSafe(text).into_sql_str();
        match self {
            Self::Sqlite(connection) => {
                let rows = sqlx::query(query).fetch(connection);
                rows.map(move |row| sqlite_row(statement, &row.map_err(failed)?)).boxed()
            }
            Self::Postgres(session) => {
                let pooled = session.is_pooled();
                let rows = sqlx::query(query).persistent(!pooled).fetch(session.connection());
                rows.map(move |row| postgres_row(statement, &row.map_err(failed)?)).boxed()
            }
        }
    }

    /// From now on everything is read as it is at this moment.
    pub(super) async fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        let text = match self {
            Self::Sqlite(_) => "BEGIN",
            Self::Postgres(_) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        self.run("BEGIN", text.to_owned(), &[]).await.map(drop)
    }

    /// A table of a large bank takes longer to read than a statement of the server may.
    pub(super) async fn no_timeout(&mut self) -> Result<(), StoreError> {
        let Self::Postgres(session) = self else { return Ok(()) };
        let failed = |source| StoreError::Statement { statement: "NO_TIMEOUT", source: Arc::new(source) };
        session.no_timeout().await.map_err(failed)
    }

    /// Begins a transaction that will write. A deferred one that upgrades later fails at once on SQLite when
    /// somebody else wrote in between.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        match self {
            Self::Sqlite(_) => self.execute(BEGIN_IMMEDIATE, []).await.map(drop),
            Self::Postgres(session) => session.begin().await,
        }
    }

    /// Prepares a statement without running it.
    #[cfg(test)]
    pub(super) async fn prepare(&mut self, statement: Statement) -> Result<(), sqlx::Error> {
        use sqlx::Executor as _;
        let sql = sqlx::SqlStr::from_static(statement.sql);
        match self {
            Self::Sqlite(connection) => connection.prepare(sql).await.map(drop),
            Self::Postgres(session) => session.connection().prepare(sql).await.map(drop),
        }
    }
}

fn sqlite_row(statement: Statement, row: &SqliteRow) -> Result<Row, StoreError> {
    let values = (0..row.columns().len())
        .map(|column| {
            let bad = |_| StoreError::Decode { statement: statement.name, column };
            let raw = row.try_get_raw(column).map_err(bad)?;
            if raw.is_null() {
                return Ok(Value::Int(None));
            }
            let kind = raw.type_info();
            match kind.name() {
                "INTEGER" => row.try_get(column).map(Value::Int).map_err(bad),
                "BLOB" => row.try_get(column).map(Value::Blob).map_err(bad),
                _ => row.try_get(column).map(Value::Text).map_err(bad),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Row { statement: statement.name, values })
}

fn postgres_row(statement: Statement, row: &PgRow) -> Result<Row, StoreError> {
    let values = row
        .columns()
        .iter()
        .map(|column| {
            let at = column.ordinal();
            let bad = |_| StoreError::Decode { statement: statement.name, column: at };
            match column.type_info().name() {
                "INT8" => row.try_get(at).map(Value::Int).map_err(bad),
                "BYTEA" => row.try_get(at).map(Value::Blob).map_err(bad),
                _ => row.try_get(at).map(Value::Text).map_err(bad),
            }
        })
        .collect::<Result<_, _>>()?;
    Ok(Row { statement: statement.name, values })
}
