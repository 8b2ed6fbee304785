//! Joins between rooms that do not know each other: what one declares and another can do.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::domain::window::Sender;
use crate::identity::{self, ExchangeFault, WechatUser};
use crate::outbound::{Apis, Cause, Outbound};
use crate::store::{Commit, CommitError, Store, StoreError, Write};
use crate::wechat::api::CustomMessage;
use crate::wechat::errcode::Class;
use crate::wechat::text::Text;
use crate::wechat::token::{ShelfFailed, Token, TokenShelf};

/// The token shelf of all instances: a row of the database, the token sealed.
pub(super) struct Shelf {
    pub(super) store: Store,
    pub(super) app_id: String,
    pub(super) owner: String,
}

fn failed(error: &impl std::fmt::Display) -> ShelfFailed {
    tracing::error!(
        %error,
        retry = "with the next call",
        "the database does not give or keep the shared access token; this process fetches its own meanwhile"
    );
    ShelfFailed
}

impl TokenShelf for Shelf {
    fn load<'a>(&'a self, _: &'a AccountId) -> BoxFuture<'a, Result<Option<Token>, ShelfFailed>> {
        Box::pin(async {
            let found = self.store.access_token(&self.app_id).await.map_err(|error| failed(&error))?;
            Ok(found.map(|(text, expires)| Token { text, expires }))
        })
    }

    fn lease<'a>(
        &'a self,
        _: &'a AccountId,
        owner: &'a str,
        now: UnixMs,
        until: UnixMs,
    ) -> BoxFuture<'a, Result<bool, ShelfFailed>> {
        Box::pin(async move {
            let mut commit = Commit::new(0);
            commit.extend(self.store.lease_access_token(&self.app_id, owner, now, until));
            match self.store.commit(commit).await {
                Ok(()) => Ok(true),
                Err(CommitError::Conflict(_)) => Ok(false),
                Err(CommitError::Store(error)) => Err(failed(&error)),
            }
        })
    }

    fn save<'a>(&'a self, _: &'a AccountId, token: &'a Token) -> BoxFuture<'a, Result<(), ShelfFailed>> {
        Box::pin(async {
            let write = self.store.save_access_token(&self.app_id, &self.owner, &token.text, token.expires);
            let commit = Commit::new(0).with(write.map_err(|error| failed(&error))?);
            match self.store.commit(commit).await {
                // Somebody fetched after us: his token is as good.
                Ok(()) | Err(CommitError::Conflict(_)) => Ok(()),
                Err(CommitError::Store(error)) => Err(failed(&error)),
            }
        })
    }
}

/// What other rooms say to the outside, over `outbound`.
pub(super) struct Voice(pub(super) Arc<Outbound>);

impl identity::Announce for Voice {
    fn event(
        &self,
        kind: &str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError> {
        self.0.event(kind, account, customer, data)
    }

    fn tell(&self, account: &AccountId, follower: FollowerKey, text: &str) -> Result<Vec<Write>, StoreError> {
        let Ok(text) = Text::cut(text) else { return Ok(Vec::new()) };
        // No entry of the log: the ledger may refuse it, and then it was never said.
        let cause = Cause::Message { seq: 0 };
        self.0.customer_service(account, follower, Sender::Unasked, &CustomMessage::Text(text), cause)
    }

    fn wake(&self, part: u8) {
        self.0.wake(part);
    }
}

/// Exchanges OAuth codes over the API of the account.
pub(super) struct Exchange(pub(super) Arc<Apis>);

impl identity::CodeExchange for Exchange {
    fn exchange<'a>(
        &'a self,
        account: &'a AccountId,
        code: &'a Secret,
    ) -> BoxFuture<'a, Result<WechatUser, ExchangeFault>> {
        Box::pin(async move {
            let api = self.0.get(account).ok_or(ExchangeFault::Refused)?;
            match api.exchange_code(code.reveal()).await {
                Ok(visitor) => Ok(WechatUser { openid: visitor.openid, snapshot: visitor.is_snapshot }),
                Err(error) if error.class() == Class::RestartOauth => Err(ExchangeFault::Refused),
                Err(_) => Err(ExchangeFault::Down),
            }
        })
    }
}
