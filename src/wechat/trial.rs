//! Calls to a webhook as the platform makes them, by ourselves: to try an address before the platform does.

use std::time::Duration;

use reqwest::{Client, redirect, retry};
use thiserror::Error;
use url::Url;

use super::deliveries::TRIAL_NONCE;
use super::envelope::Key;
use super::push::TRIAL_EVENT;
use super::signature::Signature;
use crate::clock::Random;
use crate::config::{Account, Encryption};
use crate::domain::time::UnixMs;

pub use super::api::NotAClient;

/// A call is given up after this.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// What is read of an answer, in bytes; nothing that is asked for is longer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Calls addresses of ours from outside.
pub struct Caller {
    client: Client,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// The body, up to its bound.
    pub text: String,
}

/// Nothing came back. Says why in the words of the network, never with the query of a call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Unreachable(String);

impl Caller {
    /// A caller that goes straight to the address.
    ///
    /// # Errors
    /// [`NotAClient`] when the machine lacks what HTTPS needs.
    pub fn new() -> Result<Self, NotAClient> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(CALL_TIMEOUT)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .build()?;
        Ok(Self { client })
    }

    /// GETs a page.
    ///
    /// # Errors
    /// [`Unreachable`]
    pub async fn get(&self, url: &Url) -> Result<Page, Unreachable> {
        page(self.client.get(url.clone())).await
    }

    /// The verification GET (WeChat docs, 消息与事件推送介绍): a right answer is `echo` and nothing else.
    ///
    /// # Errors
    /// [`Unreachable`]
    pub async fn verify(
        &self,
        webhook: &Url,
        account: &Account,
        call: &Trying,
        echo: &str,
    ) -> Result<Page, Unreachable> {
        let mut url = call.signed(webhook, account);
        url.query_pairs_mut().append_pair("echostr", echo);
        self.get(&url).await
    }

    /// Delivers an event that the server answers and forgets, in the account's mode: a right answer is `success`.
    ///
    /// # Errors
    /// [`Unreachable`]
    pub async fn push(&self, webhook: &Url, account: &Account, call: &Trying) -> Result<Page, Unreachable> {
        let mut url = call.signed(webhook, account);
        let message = call.event(account);
        let key = account.encoding_aes_key.as_ref().filter(|_| account.encryption != Encryption::Plain);
        let body = match key.and_then(|key| Key::parse(key.reveal()).ok()) {
            None => message,
            Some(key) => {
                let sealed = key.seal(call.padding, &message, &account.app_id);
                let signature =
                    Signature::of_message(account.token.reveal(), &call.timestamp, &call.nonce, &sealed);
                url.query_pairs_mut()
                    .append_pair("encrypt_type", "aes")
                    .append_pair("msg_signature", signature.as_str());
                let to = &account.original_id;
                format!(
                    "<xml><ToUserName><![CDATA[{to}]]></ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>"
                )
            }
        };
        page(self.client.post(url).header("content-type", "text/xml").body(body)).await
    }
}

/// What makes one call different from every other.
pub struct Trying {
    timestamp: String,
    nonce: String,
    padding: [u8; 16],
}

impl Trying {
    /// A call made at this moment of the platform's clock.
    #[must_use]
    pub fn at(moment: UnixMs, random: &dyn Random) -> Self {
        let (mut bytes, mut padding) = ([0_u8; 8], [0_u8; 16]);
        random.fill(&mut bytes);
        random.fill(&mut padding);
        let nonce = format!("{TRIAL_NONCE}{}", u64::from_be_bytes(bytes));
        Self { timestamp: moment.seconds().to_string(), nonce, padding }
    }

    /// By which the server's record knows it.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    fn signed(&self, webhook: &Url, account: &Account) -> Url {
        let signature = Signature::of_query(account.token.reveal(), &self.timestamp, &self.nonce);
        let mut url = webhook.clone();
        url.query_pairs_mut()
            .append_pair("signature", signature.as_str())
            .append_pair("timestamp", &self.timestamp)
            .append_pair("nonce", &self.nonce);
        url
    }

    fn event(&self, account: &Account) -> String {
        let (to, at) = (&account.original_id, &self.timestamp);
        format!(
            "<xml><ToUserName><![CDATA[{to}]]></ToUserName><FromUserName><![CDATA[weikefu-doctor]]></FromUserName>\
             <CreateTime>{at}</CreateTime><MsgType><![CDATA[event]]></MsgType>\
             <Event><![CDATA[{TRIAL_EVENT}]]></Event></xml>"
        )
    }
}

async fn page(request: reqwest::RequestBuilder) -> Result<Page, Unreachable> {
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            bytes.truncate(ANSWER_BYTES_MAX);
            break;
        }
    }
    Ok(Page { status, text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// The innermost cause is what an operator can act on: "connection refused", "dns error", "certificate expired".
fn unreachable(error: reqwest::Error) -> Unreachable {
    if error.is_timeout() {
        return Unreachable(format!("no answer within {} s", CALL_TIMEOUT.as_secs()));
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Unreachable(cause.to_string())
}
