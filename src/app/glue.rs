//! Joins between rooms that do not know each other: what one declares and another can do.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::desk;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::{Personal, Secret};
use crate::domain::time::UnixMs;
use crate::domain::window::Sender;
use crate::identity::{self, ExchangeFault, WechatUser};
use crate::outbound::{Apis, Cause, Outbound};
use crate::store::{Channel, Commit, CommitError, Direction, Message, Store, StoreError, Write};
use crate::wechat::api::CustomMessage;
use crate::wechat::errcode::Class;
use crate::wechat::reply::Reply;
use crate::wechat::text::Text;
use crate::wechat::token::{ShelfFailed, Token, TokenShelf};

/// The token shelf of all instances: a row of the database, the token sealed.
pub(super) struct Shelf {
    pub(super) store: Store,
    pub(super) app_id: String,
    pub(super) owner: String,
}

fn failed(error: &impl std::fmt::Display) -> ShelfFailed {
    tracing::error!(%error, "the shared access token cannot be read or kept");
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
pub(super) struct Voice {
    pub(super) outbound: Arc<Outbound>,
    pub(super) store: Store,
}

impl Voice {
    /// A text that nobody asked for: only where the ledger lets it, and in the log like everything else.
    async fn tell_unasked(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        text: &str,
    ) -> Result<Vec<Write>, StoreError> {
        let now = self.store.clock().now();
        let mut conversation = self.store.conversation(account, follower).await?;
        let involved = conversation.stage.person_involved();
        if conversation.ledger.draw(Sender::Unasked, involved, now).is_err() {
            return Ok(Vec::new());
        }
        let Ok(text) = Text::cut(text) else { return Ok(Vec::new()) };
        let seq = conversation.next_seq();
        let content = Reply::Text(text.clone()).to_json();
        let mut writes = vec![self.store.append_message(&Message {
            account: account.clone(),
            follower,
            seq,
            direction: Direction::Out,
            author: "system".into(),
            channel: Channel::CustomerService,
            content: Personal::new(String::from_utf8_lossy(&content).into_owned()),
            at: now,
            state: "queued".into(),
        })?];
        writes.push(self.store.save_conversation(&conversation)?);
        let message = CustomMessage::Text(text);
        let cause = Cause::Message { seq };
        writes.extend(self.outbound.customer_service(account, follower, Sender::Unasked, &message, cause)?);
        Ok(writes)
    }
}

impl identity::Announce for Voice {
    fn event(
        &self,
        kind: &str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError> {
        self.outbound.event(kind, account, customer, data)
    }

    fn tell<'a>(
        &'a self,
        account: &'a AccountId,
        follower: FollowerKey,
        text: &'a str,
    ) -> BoxFuture<'a, Result<Vec<Write>, StoreError>> {
        Box::pin(self.tell_unasked(account, follower, text))
    }

    fn wake(&self, part: u8) {
        self.outbound.wake(part);
    }
}

impl desk::Speak for Voice {
    fn answer(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        seq: i64,
        text: &Text,
    ) -> Result<Vec<Write>, StoreError> {
        let text = text.clone();
        let cause = Cause::Message { seq };
        self.outbound.customer_service(account, follower, Sender::Agent, &CustomMessage::Text(text), cause)
    }

    fn event(
        &self,
        kind: &'static str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError> {
        self.outbound.event(kind, account, customer, data)
    }

    fn wake(&self, part: u8) {
        self.outbound.wake(part);
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
