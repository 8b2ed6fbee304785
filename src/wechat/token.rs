//! The account's access token: fetched once for everybody, renewed early, shared between instances.
//!
//! Every caller in the process is served from memory. When the token ages, one caller renews it while the others go
//! on with the old one; when there is none, they wait for the one. Between instances the shelf (the database)
//! holds token and lease: who has the lease fetches, the others read. A shelf that fails costs extra fetches, no more:
//! the platform gives the same stable token to each.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::future::BoxFuture;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};

use super::api::{ApiError, Fault};
use crate::clock::SharedClock;
use crate::domain::ids::AccountId;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

/// A token is renewed this long before it ends.
const RENEW_EARLY: Duration = Duration::from_secs(300);
/// A token that ends sooner than this is not sent any more.
const USABLE_MARGIN: Duration = Duration::from_secs(5);
/// How long one instance may take to fetch. Longer than a call can last.
const LEASE: Duration = Duration::from_secs(15);
/// How often the shelf is looked at while another instance fetches.
const SHELF_POLL: Duration = Duration::from_millis(200);
/// Callers who waited for a fetch that failed share its failure for this long.
const FAILURE_SHARED: Duration = Duration::from_millis(300);
/// After a failed early renewal, or a refused token that a fetch gave again, no further fetch for this long.
const RENEW_PAUSE: Duration = Duration::from_secs(10);

/// An access token and when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The token itself.
    pub text: Secret,
    /// When the platform stops taking it.
    pub expires: UnixMs,
}

impl Token {
    fn is_fresh(&self, now: UnixMs) -> bool {
        now < self.expires - RENEW_EARLY
    }

    fn is_usable(&self, now: UnixMs) -> bool {
        now < self.expires - USABLE_MARGIN
    }
}

/// The shelf did not answer. Its own log says why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the token shelf does not answer")]
pub struct ShelfFailed;

/// Where the instances of one deployment share tokens. `store` implements it; the token is sealed there.
pub trait TokenShelf: Send + Sync + 'static {
    /// The token that lies there, also an old one.
    fn load<'a>(&'a self, account: &'a AccountId) -> BoxFuture<'a, Result<Option<Token>, ShelfFailed>>;

    /// Asks to be the one who fetches until `until`. Granted when nobody else's lease reaches past `now`; always
    /// granted to who already has it, who so prolongs it, or gives it back by `until == now`.
    fn lease<'a>(
        &'a self,
        account: &'a AccountId,
        owner: &'a str,
        now: UnixMs,
        until: UnixMs,
    ) -> BoxFuture<'a, Result<bool, ShelfFailed>>;

    /// Puts a token there and ends the lease.
    fn save<'a>(&'a self, account: &'a AccountId, token: &'a Token)
    -> BoxFuture<'a, Result<(), ShelfFailed>>;
}

/// A shelf for one process, for tests and tools.
#[derive(Debug, Default)]
pub struct MemoryShelf(Mutex<Shelved>);

#[derive(Debug, Default)]
struct Shelved {
    token: Option<Token>,
    lease: Option<(String, UnixMs)>,
}

impl TokenShelf for MemoryShelf {
    fn load<'a>(&'a self, _: &'a AccountId) -> BoxFuture<'a, Result<Option<Token>, ShelfFailed>> {
        let token = self.0.lock().unwrap_or_else(PoisonError::into_inner).token.clone();
        Box::pin(async { Ok(token) })
    }

    fn lease<'a>(
        &'a self,
        _: &'a AccountId,
        owner: &'a str,
        now: UnixMs,
        until: UnixMs,
    ) -> BoxFuture<'a, Result<bool, ShelfFailed>> {
        let mut shelved = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = shelved.lease.as_ref().is_some_and(|(holder, end)| holder != owner && now < *end);
        if !held {
            shelved.lease = Some((owner.to_owned(), until));
        }
        Box::pin(async move { Ok(!held) })
    }

    fn save<'a>(&'a self, _: &'a AccountId, token: &'a Token) -> BoxFuture<'a, Result<(), ShelfFailed>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) =
            Shelved { token: Some(token.clone()), lease: None };
        Box::pin(async { Ok(()) })
    }
}

/// The token of one account, for one process.
pub(super) struct Tokens {
    account: AccountId,
    owner: String,
    shelf: Arc<dyn TokenShelf>,
    clock: SharedClock,
    cached: RwLock<Option<Token>>,
    flight: tokio::sync::Mutex<Flight>,
}

/// What only the one caller who fetches touches.
#[derive(Default)]
struct Flight {
    failed: Option<(Instant, ApiError)>,
    confirmed: Option<Instant>,
}

impl Tokens {
    pub(super) fn new(
        account: AccountId,
        owner: &str,
        shelf: Arc<dyn TokenShelf>,
        clock: SharedClock,
    ) -> Self {
        let owner = owner.to_owned();
        Self {
            account,
            owner,
            shelf,
            clock,
            cached: RwLock::default(),
            flight: tokio::sync::Mutex::default(),
        }
    }

    /// A token that the platform should take. `fetch` asks the platform for one, until its deadline.
    pub(super) async fn get<Fetching>(
        &self,
        fetch: impl FnOnce(Instant) -> Fetching,
        deadline: Instant,
    ) -> Result<Token, ApiError>
    where
        Fetching: Future<Output = Result<Token, ApiError>>,
    {
        let now = self.clock.now();
        let ageing = match self.cached() {
            Some(token) if token.is_fresh(now) => return Ok(token),
            cached => cached.filter(|token| token.is_usable(now)),
        };
        let Some(ageing) = ageing else {
            let mut flight = self.board(deadline).await?;
            return match self.cached().filter(|token| token.is_usable(self.clock.now())) {
                Some(token) => Ok(token),
                None => self.renew(&mut flight, fetch, deadline, FAILURE_SHARED).await,
            };
        };
        let Ok(mut flight) = self.flight.try_lock() else { return Ok(ageing) };
        // The call itself can go on with the old token: a slow renewal must leave it time.
        let patience = Instant::now() + deadline.saturating_duration_since(Instant::now()) / 3;
        match self.renew(&mut flight, fetch, patience, RENEW_PAUSE).await {
            Ok(token) => Ok(token),
            Err(error) => {
                tracing::warn!(account = %self.account, %error, "the access token could not be renewed early; the old one is used until it ends, and renewal is tried again");
                Ok(ageing)
            }
        }
    }

    /// Another token than `refused`, which the platform did not take: of a neighbour, of the shelf, or fetched.
    pub(super) async fn replace<Fetching>(
        &self,
        refused: &Token,
        fetch: impl FnOnce(Instant) -> Fetching,
        deadline: Instant,
    ) -> Result<Token, ApiError>
    where
        Fetching: Future<Output = Result<Token, ApiError>>,
    {
        let mut flight = self.board(deadline).await?;
        let now = self.clock.now();
        let is_other = |token: &Token| token.text != refused.text && token.is_usable(now);
        if let Some(token) = self.cached().filter(is_other) {
            return Ok(token);
        }
        if let Ok(Some(token)) = self.shelf.load(&self.account).await
            && is_other(&token)
        {
            return Ok(self.cache(token));
        }
        if flight.confirmed.is_some_and(|at| at.elapsed() < RENEW_PAUSE) {
            return Ok(refused.clone());
        }
        let token = self.fetch_and_save(&mut flight, fetch, deadline).await?;
        flight.confirmed = (token.text == refused.text).then(Instant::now);
        Ok(token)
    }

    async fn board(&self, deadline: Instant) -> Result<tokio::sync::MutexGuard<'_, Flight>, ApiError> {
        let boarded = timeout_at(deadline, self.flight.lock()).await;
        boarded.map_err(|_| ApiError::before_sending("stable_token", Fault::TimedOut))
    }

    async fn renew<Fetching>(
        &self,
        flight: &mut Flight,
        fetch: impl FnOnce(Instant) -> Fetching,
        deadline: Instant,
        failure_holds: Duration,
    ) -> Result<Token, ApiError>
    where
        Fetching: Future<Output = Result<Token, ApiError>>,
    {
        if let Some((at, error)) = &flight.failed
            && at.elapsed() < failure_holds
        {
            return Err(error.clone());
        }
        while let Ok(shelved) = self.shelf.load(&self.account).await {
            let now = self.clock.now();
            if let Some(token) = shelved.as_ref().filter(|token| token.is_fresh(now)) {
                return Ok(self.cache(token.clone()));
            }
            match self.shelf.lease(&self.account, &self.owner, now, now + LEASE).await {
                Ok(true) | Err(ShelfFailed) => break,
                Ok(false) => {}
            }
            if let Some(token) = shelved.filter(|token| token.is_usable(now)) {
                return Ok(self.cache(token));
            }
            if timeout_at(deadline, sleep(SHELF_POLL)).await.is_err() {
                return Err(ApiError::before_sending("stable_token", Fault::TimedOut));
            }
        }
        self.fetch_and_save(flight, fetch, deadline).await
    }

    async fn fetch_and_save<Fetching>(
        &self,
        flight: &mut Flight,
        fetch: impl FnOnce(Instant) -> Fetching,
        deadline: Instant,
    ) -> Result<Token, ApiError>
    where
        Fetching: Future<Output = Result<Token, ApiError>>,
    {
        match fetch(deadline).await {
            Ok(token) => {
                flight.failed = None;
                if self.shelf.save(&self.account, &token).await.is_err() {
                    tracing::warn!(account = %self.account, "the access token could not be put into the database; this process uses it, others fetch their own");
                }
                Ok(self.cache(token))
            }
            Err(error) => {
                flight.failed = Some((Instant::now(), error.clone()));
                // A lease that ends now lets another instance try at once.
                let now = self.clock.now();
                let _ = self.shelf.lease(&self.account, &self.owner, now, now).await;
                Err(error)
            }
        }
    }

    /// When the token in memory ends.
    pub(super) fn expires(&self) -> Option<UnixMs> {
        self.cached().map(|token| token.expires)
    }

    fn cached(&self) -> Option<Token> {
        self.cached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn cache(&self, token: Token) -> Token {
        *self.cached.write().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        token
    }
}
