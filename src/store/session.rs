//! One connection to PostgreSQL that writes, directly or through a pooler.
//!
//! A pooler in transaction mode (PgBouncer) gives each transaction another session of the server. So nothing may stay in a
//! session: every statement is unnamed, every one stands in a transaction, and what else is set once in a connection is
//! set in each transaction.

use std::io;
use std::time::Duration;

use sqlx::SqlStr;
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use tokio::time::timeout;

use super::address::is_unreachable;
use super::value::Value;

/// What bounds a statement and a forgotten transaction at the server, and how it plans. The transaction's bound is shorter
/// than a lease lives: what an instance holds that fell silent is undone and free by the time that another one takes over
/// its work. Each of our statements finds few rows by an index, whatever the server knows of a table that has just
/// filled; left to guess, it would read whole tables for a minute or more. Nothing is compiled: where the smallest of
/// tables has no index to begin with, the price that this puts on reading it would have the server spend tens of
/// milliseconds on machine code for a few rows.
pub(super) const SETTINGS: [(&str, &str); 6] = [
    ("statement_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];
/// The same, with the transaction that it is good for. In one question, which no pooler takes apart.
const BEGIN_POOLED: &str = "BEGIN; SET LOCAL statement_timeout = '10s'; \
    SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL enable_seqscan = 'off'; \
    SET LOCAL enable_hashjoin = 'off'; SET LOCAL enable_mergejoin = 'off'; \
    SET LOCAL jit = 'off'";
/// An answer that has not come by then does not come: the server has given up before, so it or the network is gone.
const ANSWER_MAX: Duration = Duration::from_secs(15);

macro_rules! bind {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                crate::store::value::Value::Int(value) => query.bind(*value),
                crate::store::value::Value::Text(value) => query.bind(value.as_deref()),
                crate::store::value::Value::Blob(value) => query.bind(value.as_deref()),
            };
        }
        query
    }};
}
pub(super) use bind;

/// See the module.
pub(super) struct Session {
    connection: PgConnection,
    pooled: bool,
    /// Whether a transaction is under way; looked at with a pooler only.
    is_open: bool,
    answer_max: Duration,
}

impl Session {
    pub(super) fn new(connection: PgConnection, pooled: bool) -> Self {
        Self { connection, pooled, is_open: false, answer_max: ANSWER_MAX }
    }

    /// Whether a pooler stands before the server.
    pub(super) fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// The connection itself, for what is never done through a pooler, and for statements that have been given their
    /// transaction.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Waits for each answer as long as it takes, from now on.
    pub(super) async fn no_timeout(&mut self) -> Result<(), sqlx::Error> {
        self.answer_max = Duration::MAX;
        if !self.pooled {
            for (setting, _) in SETTINGS.into_iter().filter(|(setting, _)| setting.ends_with("_timeout")) {
                let text = sqlx::AssertSqlSafe(format!("SET {setting} = 0"));
                sqlx::raw_sql(text).execute(&mut self.connection).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        self.tell(SqlStr::from_static(if self.pooled { BEGIN_POOLED } else { "BEGIN" })).await.map(drop)
    }

    /// Runs one statement and tells how many rows it touched.
    pub(super) async fn execute<'a>(
        &mut self,
        text: SqlStr,
        args: impl IntoIterator<Item = &'a Value>,
    ) -> Result<u64, sqlx::Error> {
        let mut count = 0_usize;
        let query = bind!(sqlx::query(text.clone()), args.into_iter().inspect(|_| count += 1));
        if self.pooled && count == 0 {
            return self.tell(text).await;
        }
        let query = query.persistent(!self.pooled);
        let own = self.begin_own().await?;
        let done = timeout(self.answer_max, query.execute(&mut self.connection)).await;
        let done = self.end_own(own, done.unwrap_or_else(|_| Err(late()))).await?;
        Ok(done.rows_affected())
    }

    /// Reads by one statement.
    pub(super) async fn fetch(&mut self, text: SqlStr, args: &[Value]) -> Result<Vec<PgRow>, sqlx::Error> {
        let query = bind!(sqlx::query(text), args).persistent(!self.pooled);
        let own = self.begin_own().await?;
        let rows = timeout(self.answer_max, query.fetch_all(&mut self.connection)).await;
        self.end_own(own, rows.unwrap_or_else(|_| Err(late()))).await
    }

    /// A text without parameters, as one question.
    async fn tell(&mut self, text: SqlStr) -> Result<u64, sqlx::Error> {
        let is_open = match text.as_str() {
            "COMMIT" | "ROLLBACK" => false,
            text => self.is_open || text.starts_with("BEGIN"),
        };
        let done = if self.pooled {
            timeout(self.answer_max, sqlx::raw_sql(text).execute(&mut self.connection)).await
        } else {
            timeout(self.answer_max, sqlx::query(text).execute(&mut self.connection)).await
        };
        let done = done.unwrap_or_else(|_| Err(late()))?;
        self.is_open = is_open;
        Ok(done.rows_affected())
    }

    /// With a pooler, begins a transaction where none is under way; tells whether.
    async fn begin_own(&mut self) -> Result<bool, sqlx::Error> {
        let own = self.pooled && !self.is_open;
        if own {
            self.begin().await?;
        }
        Ok(own)
    }

    /// Ends the transaction that was begun for one statement. Gives why the statement failed, where it did, rather than
    /// why that could not be taken back.
    async fn end_own<T>(&mut self, own: bool, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        match (own, done) {
            (false, done) => done,
            (true, Ok(done)) => self.tell(SqlStr::from_static("COMMIT")).await.map(|_| done),
            // Who did not answer once would be waited for again.
            (true, Err(error)) if is_unreachable(&error) => Err(error),
            (true, Err(error)) => {
                drop(self.tell(SqlStr::from_static("ROLLBACK")).await);
                Err(error)
            }
        }
    }
}

/// Reads on one of the pool's connections.
pub(super) async fn read(
    pool: &PgPool,
    pooled: bool,
    text: SqlStr,
    args: &[Value],
) -> Result<Vec<PgRow>, sqlx::Error> {
    let query = bind!(sqlx::query(text), args).persistent(!pooled);
    if !pooled {
        return timeout(ANSWER_MAX, query.fetch_all(pool)).await.unwrap_or_else(|_| Err(late()));
    }
    let reading = async {
        let mut transaction = pool.begin_with(BEGIN_POOLED).await?;
        let rows = query.fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
    };
    timeout(ANSWER_MAX, reading).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "the database does not answer"))
}

#[cfg(test)]
mod tests {
    use sqlx::Connection as _;

    use super::*;
    use crate::store::testing::empty_databases;

    #[test]
    fn a_pooled_transaction_has_the_settings_of_a_session() {
        let each = SETTINGS.map(|(setting, value)| format!("SET LOCAL {setting} = '{value}'"));
        assert_eq!(BEGIN_POOLED, format!("BEGIN; {}", each.join("; ")));
    }

    #[tokio::test]
    async fn behind_a_pooler_a_statement_that_fails_says_why_and_leaves_nothing_open() {
        let folder = tempfile::tempdir().unwrap();
        for url in empty_databases(&folder).await {
            if !url.reveal().starts_with("postgres") {
                continue;
            }
            let mut session = Session::new(PgConnection::connect(url.reveal()).await.unwrap(), true);
            let quotient = SqlStr::from_static("SELECT 6::BIGINT / $1");
            let error = session.fetch(quotient.clone(), &[Value::Int(Some(0))]).await.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().unwrap(), "22012", "{error}");
            assert_eq!(session.fetch(quotient, &[Value::Int(Some(2))]).await.unwrap().len(), 1);
            assert!(!session.is_open);
            session.execute(SqlStr::from_static("SELECT 1"), &[]).await.unwrap();
            assert!(!session.is_open, "a statement of its own begins nothing");

            session.answer_max = Duration::from_secs(1);
            let began = tokio::time::Instant::now();
            let sleeping = SqlStr::from_static("SELECT pg_sleep($1::BIGINT)");
            let error = session.fetch(sleeping, &[Value::Int(Some(30))]).await.unwrap_err();
            assert!(is_unreachable(&error), "{error}");
            assert!(began.elapsed() < session.answer_max * 2, "it is waited for once");
        }
    }
}
