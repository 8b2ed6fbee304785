//! HTTP to the bank's own systems: one kind of client, and answers that are read no further than a bound.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, Response};

use super::tls::{self, TlsFault};
use crate::config::Tls;

/// To connect, TLS included. The bank's systems are near: what takes longer is away.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// A connection that nobody uses is closed after this: before a gateway does it, and a call is lost on it.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// A client for one of the bank's systems, at `address`. A whole exchange takes at most `timeout`; redirects are answers,
/// and not followed.
///
/// # Errors
/// When the certificates do not read; the configuration has checked them.
pub fn client(address: &str, tls: &Tls, timeout: Duration) -> reqwest::Result<Client> {
    let client = Client::builder()
        .connect_timeout(CONNECT_MAX.min(timeout))
        .timeout(timeout)
        .pool_idle_timeout(IDLE_MAX)
        .redirect(Policy::none());
    tls::dressed(client, address, tls)?.build()
}

/// The body of an answer; `None` when it is longer than `bytes_max`, and the rest of it is not read.
///
/// # Errors
/// When the connection breaks, or time runs out.
pub async fn body(mut response: Response, bytes_max: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// How an exchange broke off. The error's own text would print the address, and is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BrokenOff {
    /// No connection, or it broke.
    Connection,
    /// A TLS connection stood and ended without an answer: so it looks, too, when a client certificate was refused and
    /// the alert that says so came before there was anybody to read it.
    Ended,
    /// No TLS connection.
    Tls(TlsFault),
    /// Connected, and no whole answer in time.
    TimeOut,
}

impl From<reqwest::Error> for BrokenOff {
    fn from(error: reqwest::Error) -> Self {
        if error.is_timeout() && !error.is_connect() {
            return Self::TimeOut;
        }
        let is_open = error.url().is_some_and(|url| url.scheme() == "https") && !error.is_connect();
        let otherwise = if is_open { Self::Ended } else { Self::Connection };
        TlsFault::behind(&error).map_or(otherwise, Self::Tls)
    }
}
