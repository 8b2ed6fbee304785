//! Calls to the platform. Every call is typed, ends within 10 seconds, and fails with an [`ApiError`] that says
//! whether it was certainly not done and what to do next.

mod account;
mod connection;
mod error;
mod media;
mod oauth;
mod page;
mod send;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

pub use account::{PrivateTemplate, QrCode, QrScene, Quota, RateLimit, UserInfo};
pub use connection::{CallbackCheck, Ping};
pub use error::{ApiError, Fault};
pub use media::{Media, MediaFile, MediaKind, NotUploadable, content_type_of};
pub use oauth::{Scope, Visitor};
pub use page::PageConfig;
use page::Ticket;
pub use send::{
    CustomMessage, CustomSend, MenuItem, MiniProgram, SubscriptionNotice, TemplateMessage, Typing,
};
pub use transport::NotAClient;
use transport::{CALL_TIMEOUT, Call, Transport, json_of};

use super::errcode::{self, Class};
use super::token::{Token, TokenShelf, Tokens};
use crate::clock::SharedClock;
use crate::config::Account;
use crate::domain::ids::AccountId;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

/// The platform's API as one account calls it.
pub struct Api {
    account: AccountId,
    app_id: String,
    app_secret: Secret,
    oauth_base: Url,
    transport: Transport,
    tokens: Tokens,
    ticket: tokio::sync::Mutex<Option<Ticket>>,
    clock: SharedClock,
    call_timeout: Duration,
}

impl Api {
    /// The API of one account. `owner` names this process among those that share the shelf; new at each start.
    ///
    /// # Errors
    /// [`NotAClient`] when the machine lacks what HTTPS needs.
    pub fn new(
        account: &Account,
        shelf: Arc<dyn TokenShelf>,
        clock: SharedClock,
        owner: &str,
    ) -> Result<Self, NotAClient> {
        Ok(Self {
            account: account.id.clone(),
            app_id: account.app_id.clone(),
            app_secret: account.app_secret.clone(),
            oauth_base: account.oauth_base_url.clone(),
            transport: Transport::new(&account.api_base_urls, account.proxy.as_ref(), clock.clone())?,
            tokens: Tokens::new(account.id.clone(), owner, shelf, clock.clone()),
            ticket: tokio::sync::Mutex::default(),
            clock,
            call_timeout: CALL_TIMEOUT,
        })
    }

    /// For tests that wait for the end of a call.
    #[cfg(test)]
    fn giving_up_after(self, call_timeout: Duration) -> Self {
        Self { call_timeout, ..self }
    }

    /// Sends a call with the account's token. When the platform refuses the token, another is got and the call is
    /// sent once more.
    async fn call<T>(
        &self,
        call: &Call<'_>,
        read: impl Fn(transport::Answer) -> Result<T, Fault>,
    ) -> Result<T, ApiError> {
        let deadline = Instant::now() + self.call_timeout;
        let token = self.tokens.get(|until| self.fetch_token(until), deadline).await?;
        let first = self.send(call, &token, &read, deadline).await;
        match first {
            Err(error) if error.class() == Class::RefreshToken => {
                let token = self.tokens.replace(&token, |until| self.fetch_token(until), deadline).await?;
                self.send(call, &token, &read, deadline).await
            }
            other => other,
        }
        .inspect_err(|error| self.log(error))
    }

    async fn send<T>(
        &self,
        call: &Call<'_>,
        token: &Token,
        read: impl Fn(transport::Answer) -> Result<T, Fault>,
        deadline: Instant,
    ) -> Result<T, ApiError> {
        let began = Instant::now();
        let answer = self.transport.send(call, Some(token.text.reveal()), deadline).await;
        let answer = answer.and_then(read).map_err(|fault| ApiError::with_token(call.path, fault));
        self.count(call.path, began, answer.as_ref().err());
        answer
    }

    /// Sends a call whose answer is JSON and nothing else.
    async fn json<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T, ApiError> {
        self.call(call, |answer| typed(json_of(&answer)?)).await
    }

    /// Sends a call whose answer says no more than ok.
    async fn ok(&self, call: &Call<'_>) -> Result<(), ApiError> {
        self.call(call, |answer| json_of(&answer).map(drop)).await
    }

    async fn fetch_token(&self, deadline: Instant) -> Result<Token, ApiError> {
        #[derive(serde::Deserialize)]
        struct Issued {
            access_token: Secret,
            expires_in: i64,
        }
        let asked_at = self.clock.now();
        let body = json!({
            "grant_type": "client_credential",
            "appid": self.app_id,
            "secret": self.app_secret.reveal(),
            "force_refresh": false,
        });
        let call = Call::post("cgi-bin/stable_token", &body);
        let began = Instant::now();
        let issued = self.transport.send(&call, None, deadline).await;
        let issued: Result<Issued, Fault> = issued.and_then(|answer| typed(json_of(&answer)?));
        let issued = issued.map_err(|fault| ApiError::before_sending("stable_token", fault));
        self.count(call.path, began, issued.as_ref().err());
        let issued = issued.inspect_err(|error| self.log(error))?;
        let expires = UnixMs(asked_at.0.saturating_add(issued.expires_in.saturating_mul(1000)));
        Ok(Token { text: issued.access_token, expires })
    }

    /// Whether every host has failed again and again and none has answered since: what can wait should. A call is
    /// made all the same, and one that is answered ends this; [`Api::greet`] is one that does nothing.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.transport.is_cut_off()
    }

    /// When the access token in use ends; `None` while there is none.
    #[must_use]
    pub fn token_expires(&self) -> Option<UnixMs> {
        self.tokens.expires()
    }

    /// Counts one call by its code. A code that is not in WeChat's list counts as `other`.
    fn count(&self, path: &'static str, began: Instant, error: Option<&ApiError>) {
        let call = path.strip_prefix("cgi-bin/").unwrap_or(path);
        let code = match error.map(|error| error.code()) {
            None => "0".to_owned(),
            Some(None) => "none".to_owned(),
            Some(Some(code)) if errcode::meaning(code).is_empty() => "other".to_owned(),
            Some(Some(code)) => code.to_string(),
        };
        metrics::counter!("weikefu_wechat_calls_total", "account" => self.account.to_string(), "call" => call,
            "code" => code)
        .increment(1);
        metrics::histogram!("weikefu_wechat_call_seconds", "call" => call).record(began.elapsed());
    }

    fn log(&self, error: &ApiError) {
        let (class, rid) = (error.class().label(), error.rid().unwrap_or_default());
        let code = error.code();
        tracing::info!(account = %self.account, call = error.call(), code, class, rid, %error, "a WeChat call failed");
    }
}

fn typed<T: DeserializeOwned>(json: Value) -> Result<T, Fault> {
    serde_json::from_value(json).map_err(|_| Fault::Broken("the answer lacks what was asked for"))
}
