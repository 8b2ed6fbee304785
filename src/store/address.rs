//! Where the PostgreSQL of a bank is: one host or several, of which one takes writes, and whether a pooler stands before
//! them.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool};
use sqlx::{ConnectOptions as _, Row as _};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::StoreError;
use super::session::SETTINGS;

/// Hosts that one address may name.
const HOSTS_MAX: usize = 8;
/// A host that has not let us in by then is passed over, where there is another.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// The same for the only one.
const CONNECT_ALONE_MAX: Duration = Duration::from_secs(10);
/// Texts that one connection keeps prepared: each statement over rows has one for each number of rows.
pub(super) const PREPARED_MAX: usize = 512;

/// `postgres://user:password@host-a:5432,host-b:5432/database?pooler=transaction`. Cheap to clone; all clones know the same
/// primary.
#[derive(Clone)]
pub(super) struct Address {
    hosts: Arc<[PgConnectOptions]>,
    pooled: bool,
    /// Which host took writes when one was last asked.
    primary: Arc<AtomicUsize>,
    /// Which host the pool of readers connects to; locked while another is looked for.
    readers: Arc<Mutex<usize>>,
}

impl Address {
    /// As `database.url` has it. Every part but the list of hosts is what libpq and sqlx know.
    ///
    /// # Errors
    /// When it names no host or too many, or a part is unknown.
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once("://").ok_or(StoreError::Address)?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(StoreError::Address)?;
        let (user, hosts) = authority.rsplit_once('@').map_or(("", authority), |(user, hosts)| (user, hosts));
        let at = if user.is_empty() { "" } else { "@" };
        let (path, pooled) = without_pooler(path)?;
        let hosts =
            hosts.split(',').map(|host| options(&format!("{scheme}://{user}{at}{host}{path}"), pooled));
        let hosts: Vec<PgConnectOptions> = hosts.collect::<Result<_, _>>()?;
        if hosts.len() > HOSTS_MAX {
            return Err(StoreError::Hosts(HOSTS_MAX));
        }
        Ok(Self { hosts: hosts.into(), pooled, primary: Arc::default(), readers: Arc::default() })
    }

    /// Whether a pooler gives each transaction another session of the server.
    pub(super) fn pooled(&self) -> bool {
        self.pooled
    }

    /// How readers reach the host that took writes when one was last asked; from now on they are taken to be there.
    pub(super) async fn for_readers(&self) -> Option<&PgConnectOptions> {
        let primary = self.primary.load(Ordering::Relaxed);
        *self.readers.lock().await = primary;
        self.hosts.get(primary)
    }

    /// A connection to the host that takes writes: the one of last time first, then the others.
    ///
    /// # Errors
    /// What the last host said that was asked, when none takes writes.
    pub(super) async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let first = self.primary.load(Ordering::Relaxed);
        let connect_max = if self.hosts.len() == 1 { CONNECT_ALONE_MAX } else { CONNECT_MAX };
        let mut refused = sqlx::Error::Configuration("the address names no host".into());
        for place in (first..self.hosts.len()).chain(0..first) {
            let Some(options) = self.hosts.get(place) else { continue };
            match timeout(connect_max, writing(options)).await {
                Ok(Ok(connection)) => {
                    if self.primary.swap(place, Ordering::Relaxed) != place {
                        tracing::warn!(
                            host = options.get_host(),
                            port = options.get_port(),
                            "another host of the database takes the writes now"
                        );
                    }
                    return Ok(connection);
                }
                Ok(Err(error)) => refused = error,
                Err(_) => refused = sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()),
            }
        }
        Err(refused)
    }

    /// Whether readers have another host to ask now, after one failed them. The first that comes looks for it.
    pub(super) async fn has_moved(&self, pool: &PgPool) -> bool {
        if self.hosts.len() < 2 {
            return false;
        }
        let Ok(mut readers) = self.readers.try_lock() else { return false };
        if self.primary.load(Ordering::Relaxed) == *readers && self.connect().await.is_err() {
            return false;
        }
        let primary = self.primary.load(Ordering::Relaxed);
        let moved = std::mem::replace(&mut *readers, primary) != primary;
        if moved && let Some(options) = self.hosts.get(primary) {
            pool.set_connect_options(options.clone());
        }
        moved
    }
}

/// Whether it may be that the host is gone, or takes no writes any more.
pub(super) fn is_unreachable(error: &sqlx::Error) -> bool {
    match error {
        // Class 57: the server is stopping or starting.
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code.starts_with("57P")),
        error => {
            matches!(
                error,
                sqlx::Error::Io(_)
                    | sqlx::Error::Tls(_)
                    | sqlx::Error::Protocol(_)
                    | sqlx::Error::PoolTimedOut
            )
        }
    }
}

/// Refuses a connection to a host that takes no writes: a standby, or a server that is closed for them.
pub(super) async fn takes_writes(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let row = sqlx::raw_sql("SHOW transaction_read_only").fetch_one(connection).await?;
    match row.try_get::<&str, _>(0)? {
        "off" => Ok(()),
        _ => Err(sqlx::Error::Configuration(
            "this host of the database takes no writes: is it a standby?".into(),
        )),
    }
}

async fn writing(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    let mut connection = options.connect().await?;
    takes_writes(&mut connection).await?;
    Ok(connection)
}

fn options(url: &str, pooled: bool) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|error| StoreError::Open(Arc::new(error)))?;
    let options = options.application_name("weikefu").disable_statement_logging();
    if pooled {
        // A pooler refuses settings that it does not know; each transaction brings its own.
        return Ok(options.statement_cache_capacity(0).extra_float_digits(None));
    }
    Ok(options.statement_cache_capacity(PREPARED_MAX).options(SETTINGS))
}

/// Path and query without `pooler=transaction`, and whether it was there.
fn without_pooler(path: &str) -> Result<(String, bool), StoreError> {
    let Some((path, query)) = path.split_once('?') else { return Ok((path.to_owned(), false)) };
    let is_pooler = |part: &&str| part.split_once('=').is_some_and(|(name, _)| name == "pooler");
    let (poolers, rest): (Vec<&str>, Vec<&str>) = query.split('&').partition(is_pooler);
    if poolers.iter().any(|part| *part != "pooler=transaction") {
        return Err(StoreError::Pooler);
    }
    let query = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
    Ok((format!("{path}{query}"), !poolers.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::empty_databases;

    fn hosts(url: &str) -> Vec<String> {
        let address = Address::parse(url).map_err(|error| error.to_string()).unwrap();
        address.hosts.iter().map(|host| format!("{}:{}", host.get_host(), host.get_port())).collect()
    }

    #[test]
    fn an_address_names_one_host_or_several() {
        assert_eq!(hosts("postgres://u:p%40@a/weikefu"), ["a:5432"]);
        assert_eq!(
            hosts("postgres://u:p@a:6000,b,[::1]:7000/weikefu?sslmode=disable"),
            ["a:6000", "b:5432", "[::1]:7000"]
        );
        let named = Address::parse("postgres://u:p@a,b/weikefu").ok().unwrap();
        assert!(
            named
                .hosts
                .iter()
                .all(|host| host.get_username() == "u" && host.get_database() == Some("weikefu"))
        );
        let many = format!("postgres://{}/weikefu", ["a"; HOSTS_MAX + 1].join(","));
        assert!(matches!(Address::parse(&many), Err(StoreError::Hosts(HOSTS_MAX))));
    }

    #[tokio::test]
    async fn readers_go_after_the_writers_from_wherever_they_began() {
        let folder = tempfile::tempdir().unwrap();
        for url in empty_databases(&folder).await {
            let Some(rest) = url.reveal().strip_prefix("postgres://postgres@") else { continue };
            // Nobody listens on the first one.
            let url = format!("postgres://postgres@127.0.0.1:1,{rest}");
            let address = Address::parse(&url).ok().unwrap();
            drop(address.connect().await.unwrap());
            let options = address.for_readers().await.unwrap().clone();
            let pool = PgPool::connect_lazy_with(options);
            assert!(!address.has_moved(&pool).await, "they are where the writers are");
            address.primary.store(0, Ordering::Relaxed);
            assert!(address.has_moved(&pool).await, "the writers went on to the first one");
            assert_eq!(pool.connect_options().get_port(), 1);
        }
    }

    #[test]
    fn a_pooler_is_named_in_the_query_and_only_one_kind_is_known() {
        assert!(!Address::parse("postgres://a/weikefu?sslmode=disable").ok().unwrap().pooled());
        assert!(Address::parse("postgres://a/weikefu?pooler=transaction").ok().unwrap().pooled());
        assert_eq!(
            without_pooler("/weikefu?sslmode=disable&pooler=transaction").ok().unwrap(),
            ("/weikefu?sslmode=disable".to_owned(), true)
        );
        assert!(matches!(Address::parse("postgres://a/weikefu?pooler=session"), Err(StoreError::Pooler)));
    }
}
