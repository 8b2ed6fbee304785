//! A call of the platform to the webhook: is it genuine, and what does it say?
//!
//! What comes first decides what a stranger can learn and cost us. In every mode: size (413, because reading stops
//! there); then, in plain mode, `signature` (401), freshness (401) and the body (400). In compat and safe mode:
//! freshness (401), `encrypt_type` and `msg_signature` must be there (401), the outer XML must be readable (400) and
//! have an `Encrypt` element, else nothing authenticates the body (401), `msg_signature` must match (401), the
//! envelope must open and hold a push to this account (400). There `signature` is not looked at, right or wrong: the
//! platform's documents say to check `msg_signature` instead of it.
//!
//! The mode is pinned by configuration, never chosen by what arrives: `signature` covers no body, so a safe account
//! that took a plain body would take anybody's. Compat mode differs from safe mode for the platform only; here its
//! plain copy is ignored, because only the ciphertext is authenticated.

mod content;
mod mismatch;
mod read;
#[cfg(test)]
pub(super) mod tests;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use content::{
    ArticlesMax, AuthorizationChange, Content, Event, FollowSource, PictureSource, Position, ScannedCode,
    SubscriptionChoice, SubscriptionResult, TemplateDelivery, VerificationStep, VideoMessage,
};

pub use mismatch::Mismatch;

use super::envelope::{Key, KeyChoice, Keys, NotAKey, NotOpened};
use super::reply;
use super::signature::Signature;
use super::xml::{self, Document, NotRead};
use crate::config::{Account, Encryption};
use crate::domain::ids::{Openid, PushKey};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

/// Largest accepted body.
pub const BODY_BYTES_MAX: usize = xml::DOCUMENT_BYTES_MAX;
/// The event by which `weikefu doctor` tries a webhook: answered with `success`, and nothing else happens.
pub const TRIAL_EVENT: &str = "weikefu_doctor";
/// How far a POST's timestamp may be from our clock, either way.
pub const TIMESTAMP_SKEW_MS_MAX: i64 = 300_000;

/// One verified push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The account's original id.
    pub to: String,
    /// The follower; for some events a sender of the platform itself.
    #[serde(with = "super::json::openid")]
    pub from: Openid,
    /// `CreateTime`; whole seconds.
    pub created: UnixMs,
    /// The same for every delivery of this push, another for every other.
    #[serde(with = "super::json::push_key")]
    pub key: PushKey,
    /// The article from which a message was sent.
    pub article: Option<Article>,
    /// What it says.
    pub content: Content,
}

/// The article from which a message was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// `MsgDataId`
    pub data_id: String,
    /// `Idx`, from 1.
    pub index: Option<String>,
}

impl Push {
    /// Whether it only tries the webhook.
    #[must_use]
    pub fn is_trial(&self) -> bool {
        matches!(&self.content, Content::Event(Event::Unknown { name }) if name == TRIAL_EVENT)
    }
}

/// How a reply to a push must leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplyMode {
    /// As XML.
    Plain,
    /// In an envelope sealed with the key that opened the push.
    Encrypted(KeyChoice),
}

/// A verified push and how to answer it.
#[derive(Clone, Debug)]
pub struct Received {
    /// What it says.
    pub push: Push,
    /// How its answer leaves.
    pub reply_mode: ReplyMode,
}

/// The query of a webhook call. Holds nothing that is trusted before it is verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Covers token, timestamp and nonce. Counts in plain mode and for the verification GET only.
    pub signature: Option<String>,
    /// Covers the ciphertext too.
    pub msg_signature: Option<String>,
    /// Unix seconds.
    pub timestamp: Option<String>,
    /// Any text.
    pub nonce: Option<String>,
    /// `aes`, `raw` or absent.
    pub encrypt_type: Option<String>,
    /// To be given back on the verification GET.
    pub echostr: Option<String>,
}

impl Query {
    /// Reads a query string; of a repeated parameter the first counts, unknown ones are ignored.
    #[must_use]
    pub fn parse(query_string: &str) -> Self {
        let mut query = Self::default();
        for (name, value) in url::form_urlencoded::parse(query_string.as_bytes()) {
            let field = match name.as_ref() {
                "signature" => &mut query.signature,
                "msg_signature" => &mut query.msg_signature,
                "timestamp" => &mut query.timestamp,
                "nonce" => &mut query.nonce,
                "encrypt_type" => &mut query.encrypt_type,
                "echostr" => &mut query.echostr,
                _ => continue,
            };
            field.get_or_insert_with(|| value.into_owned());
        }
        query
    }
}

/// What kind of answer a refused call gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalClass {
    /// Not from the platform, or a replay: 401.
    Unauthenticated,
    /// From the platform by its signature, but unreadable: 400.
    Malformed,
    /// Over [`BODY_BYTES_MAX`]: 413.
    TooLarge,
}

/// Why a call was refused. Says nothing of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the webhook call is refused: {reason}")]
pub struct Refusal {
    /// Decides the status.
    pub class: RefusalClass,
    /// A short label of a fixed set, for a metric and the answer's body.
    pub reason: &'static str,
}

impl Refusal {
    /// The HTTP status: 401, 400 or 413.
    #[must_use]
    pub fn status(self) -> u16 {
        match self.class {
            RefusalClass::Unauthenticated => 401,
            RefusalClass::Malformed => 400,
            RefusalClass::TooLarge => 413,
        }
    }

    fn unauthenticated(reason: &'static str) -> Self {
        Self { class: RefusalClass::Unauthenticated, reason }
    }

    fn malformed(reason: &'static str) -> Self {
        Self { class: RefusalClass::Malformed, reason }
    }
}

impl From<NotRead> for Refusal {
    fn from(error: NotRead) -> Self {
        let class = match error {
            NotRead::TooLarge => RefusalClass::TooLarge,
            _ => RefusalClass::Malformed,
        };
        Self { class, reason: error.label() }
    }
}

impl From<NotOpened> for Refusal {
    fn from(_: NotOpened) -> Self {
        Self::malformed("envelope")
    }
}

/// An account's webhook cannot be set up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotAWebhook {
    /// A key does not decode.
    #[error("accounts.{account}.{setting}: {source}")]
    Key {
        /// The account's id.
        account: String,
        /// Which setting.
        setting: &'static str,
        /// What is wrong.
        source: NotAKey,
    },
    /// Compat and safe mode need a key.
    #[error("accounts.{account}.encoding_aes_key is missing; only encryption = \"plain\" does without")]
    NoKey {
        /// The account's id.
        account: String,
    },
}

/// The webhook of one account: verifies what arrives and seals what leaves.
pub struct Webhook {
    token: Secret,
    app_id: String,
    original_id: String,
    mode: Mode,
}

enum Mode {
    Plain,
    Encrypted(Keys),
}

impl Webhook {
    /// The webhook that the configuration describes.
    ///
    /// # Errors
    /// When a key that the mode needs is missing or does not decode.
    pub fn new(account: &Account) -> Result<Self, NotAWebhook> {
        let mode = match account.encryption {
            Encryption::Plain => Mode::Plain,
            Encryption::Compat | Encryption::Safe => Mode::Encrypted(keys(account)?),
        };
        Ok(Self {
            token: account.token.clone(),
            app_id: account.app_id.clone(),
            original_id: account.original_id.clone(),
            mode,
        })
    }

    /// Checks the GET by which the platform tries the address; gives the text to answer with, unchanged.
    ///
    /// It is the same in all modes, and has no freshness: the console may repeat it.
    ///
    /// # Errors
    /// When the signature does not match or there is nothing to echo.
    pub fn verify_url(&self, query: &Query) -> Result<String, Refusal> {
        let signed = Signed::of(query)?;
        self.check_query_signature(query.signature.as_deref(), signed)?;
        query.echostr.clone().ok_or(Refusal::malformed("echostr"))
    }

    /// Verifies and reads one POST.
    ///
    /// # Errors
    /// A [`Refusal`] in the order that this module's text lays down.
    pub fn receive(&self, query: &Query, body: &[u8], now: UnixMs) -> Result<Received, Refusal> {
        if body.len() > BODY_BYTES_MAX {
            return Err(NotRead::TooLarge.into());
        }
        let signed = Signed::of(query)?;
        let encrypted = query.encrypt_type.as_deref() == Some("aes");
        match &self.mode {
            Mode::Plain => {
                self.check_query_signature(query.signature.as_deref(), signed)?;
                signed.check_fresh(now)?;
                if encrypted {
                    return Err(Refusal::malformed("encrypted_in_plain_mode"));
                }
                let document = Document::parse(xml::gate(body)?)?;
                let push = read::push(document.root(), &self.original_id)?;
                Ok(Received { push, reply_mode: ReplyMode::Plain })
            }
            Mode::Encrypted(keys) => {
                signed.check_fresh(now)?;
                if !encrypted {
                    return Err(Refusal::unauthenticated("not_encrypted"));
                }
                let (message, opened_by) = self.open(keys, query, signed, body)?;
                let document = Document::parse(xml::gate(message.as_bytes())?)?;
                let push = read::push(document.root(), &self.original_id)?;
                Ok(Received { push, reply_mode: ReplyMode::Encrypted(opened_by) })
            }
        }
    }

    /// Makes the body of an answer out of a reply's XML. The same arguments give the same bytes, so that every
    /// delivery of one push gets the same answer. `success` leaves as it is: the platform takes it in every mode.
    #[must_use]
    pub fn seal_reply(
        &self,
        xml: &str,
        mode: ReplyMode,
        random: [u8; 16],
        timestamp: UnixMs,
        nonce: &str,
    ) -> String {
        match (&self.mode, mode) {
            (Mode::Encrypted(keys), ReplyMode::Encrypted(choice)) if xml != reply::SUCCESS => {
                let ciphertext = keys.choose(choice).seal(random, xml, &self.app_id);
                let timestamp = timestamp.seconds().to_string();
                let token = self.token.reveal();
                let signature = Signature::of_message(token, &timestamp, nonce, &ciphertext);
                reply::envelope(&ciphertext, signature.as_str(), &timestamp, nonce)
            }
            _ => xml.to_owned(),
        }
    }

    fn open(
        &self,
        keys: &Keys,
        query: &Query,
        signed: Signed<'_>,
        body: &[u8],
    ) -> Result<(zeroize::Zeroizing<String>, KeyChoice), Refusal> {
        let given = query.msg_signature.as_deref().ok_or(Refusal::unauthenticated("no_signature"))?;
        let document = Document::parse(xml::gate(body)?)?;
        let ciphertext = document.root().only("Encrypt")?.ok_or(Refusal::unauthenticated("not_encrypted"))?;
        let token = self.token.reveal();
        if !Signature::of_message(token, signed.timestamp, signed.nonce, ciphertext).matches(given) {
            return Err(Refusal::unauthenticated("signature"));
        }
        Ok(keys.open(ciphertext, &self.app_id)?)
    }

    fn check_query_signature(&self, given: Option<&str>, signed: Signed<'_>) -> Result<(), Refusal> {
        let given = given.ok_or(Refusal::unauthenticated("no_signature"))?;
        let right = Signature::of_query(self.token.reveal(), signed.timestamp, signed.nonce);
        if right.matches(given) { Ok(()) } else { Err(Refusal::unauthenticated("signature")) }
    }
}

/// The parts of a query that both signatures cover.
#[derive(Clone, Copy)]
struct Signed<'query> {
    timestamp: &'query str,
    nonce: &'query str,
}

impl<'query> Signed<'query> {
    fn of(query: &'query Query) -> Result<Self, Refusal> {
        match (&query.timestamp, &query.nonce) {
            (Some(timestamp), Some(nonce)) => Ok(Self { timestamp, nonce }),
            _ => Err(Refusal::unauthenticated("no_signature")),
        }
    }

    fn check_fresh(self, now: UnixMs) -> Result<(), Refusal> {
        let seconds: i64 = self.timestamp.parse().map_err(|_| Refusal::unauthenticated("timestamp"))?;
        let skew_ms = UnixMs::from_seconds(seconds).0.abs_diff(now.0);
        if skew_ms > TIMESTAMP_SKEW_MS_MAX.unsigned_abs() {
            return Err(Refusal::unauthenticated("stale"));
        }
        Ok(())
    }
}

fn keys(account: &Account) -> Result<Keys, NotAWebhook> {
    let parse = |setting, secret: &Secret| {
        Key::parse(secret.reveal()).map_err(|source| NotAWebhook::Key {
            account: account.id.as_str().to_owned(),
            setting,
            source,
        })
    };
    let current = account.encoding_aes_key.as_ref();
    let current = current.ok_or_else(|| NotAWebhook::NoKey { account: account.id.as_str().to_owned() })?;
    let previous = account.previous_encoding_aes_key.as_ref();
    let previous = previous.map(|key| parse("previous_encoding_aes_key", key)).transpose()?;
    Ok(Keys::new(parse("encoding_aes_key", current)?, previous))
}
