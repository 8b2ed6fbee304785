//! Databases for the load test, and a database that has seen many messages.

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use url::Url;

/// Two databases on a PostgreSQL server.
pub(crate) struct Databases {
    server: String,
    /// For our server.
    pub(crate) ours: String,
    /// For the third floor.
    pub(crate) floor: String,
}

const NAMES: [&str; 2] = ["weikefu_load_ours", "weikefu_load_floor"];
const DROP: [&str; 2] =
    ["DROP DATABASE IF EXISTS weikefu_load_ours", "DROP DATABASE IF EXISTS weikefu_load_floor"];
const CREATE: [&str; 2] = ["CREATE DATABASE weikefu_load_ours", "CREATE DATABASE weikefu_load_floor"];

impl Databases {
    /// Makes both anew.
    pub(crate) async fn make(server: &str) -> anyhow::Result<Self> {
        let mut connection = PgConnection::connect(server).await?;
        for statement in DROP.into_iter().chain(CREATE) {
            sqlx::query(statement).execute(&mut connection).await?;
        }
        let [ours, floor] = NAMES.map(|name| {
            let mut url = Url::parse(server)?;
            url.set_path(name);
            Ok::<_, url::ParseError>(url.to_string())
        });
        Ok(Self { server: server.to_owned(), ours: ours?, floor: floor? })
    }

    /// Drops both.
    pub(crate) async fn drop(self) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.server).await?;
        for statement in DROP {
            sqlx::query(statement).execute(&mut connection).await?;
        }
        Ok(())
    }
}

/// Adds log entries of made-up followers until the database holds so many; tells how many it holds.
pub(crate) async fn up_to(database: &str, wanted: u64) -> anyhow::Result<u64> {
    if let Some(path) = database.strip_prefix("sqlite://") {
        let mut connection = SqliteConnection::connect(&format!("sqlite://{path}")).await?;
        sqlx::query("PRAGMA synchronous = OFF").execute(&mut connection).await?;
        let held: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut connection).await?;
        let missing = i64::try_from(wanted)?.saturating_sub(held);
        if missing > 0 {
            sqlx::query(FILL_SQLITE).bind(missing).execute(&mut connection).await?;
        }
        let held: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut connection).await?;
        connection.close().await?;
        return u64::try_from(held).context("a count");
    }
    let mut connection = PgConnection::connect(database).await?;
    let held: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut connection).await?;
    let missing = i64::try_from(wanted)?.saturating_sub(held);
    if missing > 0 {
        sqlx::query(FILL_POSTGRES).bind(missing).execute(&mut connection).await?;
    }
    let held: i64 = sqlx::query_scalar(COUNT).fetch_one(&mut connection).await?;
    u64::try_from(held).context("a count")
}

const COUNT: &str = "SELECT count(*) FROM message";
// Followers of fifty entries each, one after another, so that a follower's entry before is the id before.
const FILL_SQLITE: &str = "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < $1) \
    INSERT INTO message (message_id, previous_id, account, fkey, seq, direction, author, channel, content_sealed, at_ms, \
    state) SELECT n, CASE WHEN n % 50 = 0 THEN NULL ELSE n - 1 END, 'card', CAST(printf('%016d', n / 50) AS BLOB), \
    n % 50, 'in', 'customer', 'passive', zeroblob(120), n, 'received' FROM number";
const FILL_POSTGRES: &str = "INSERT INTO message (message_id, previous_id, account, fkey, seq, direction, author, channel, \
    content_sealed, at_ms, state) SELECT n, CASE WHEN n % 50 = 0 THEN NULL ELSE n - 1 END, 'card', \
    convert_to(lpad((n / 50)::text, 16, '0'), 'UTF8'), n % 50, 'in', 'customer', 'passive', \
    decode(repeat('00', 120), 'hex'), n, 'received' FROM generate_series(1, $1) AS number (n)";
