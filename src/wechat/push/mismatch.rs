//! Why a call to the webhook does not fit the account's settings, for who runs the account. Whoever made the call
//! hears no more than its [`Refusal`](super::Refusal).

use serde::{Deserialize, Serialize};

use super::{Keys, Mode, Query, Signed, TIMESTAMP_SKEW_MS_MAX, Webhook, read};
use crate::domain::time::UnixMs;
use crate::wechat::signature::Signature;
use crate::wechat::xml::{self, Document};

/// Longest original id that is told.
const ORIGINAL_ID_CHARS_MAX: usize = 64;

/// Which setting differs between the caller and us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Mismatch {
    /// Signed with another token; or not by the platform at all.
    Token,
    /// The token is right for `signature`, and wrong for `msg_signature`, which covers the body.
    Body,
    /// Genuine, and further from our clock than the platform's retries explain.
    Clock {
        /// How far our clock is ahead; negative when it is behind.
        ahead_ms: i64,
    },
    /// Genuine, in the other mode than the account's.
    Mode {
        /// Whether the body came in an envelope.
        encrypted: bool,
    },
    /// Genuine, and sealed with another EncodingAESKey.
    AesKey,
    /// Genuine, and sealed for another AppID.
    AppId {
        /// The one inside the envelope.
        found: String,
    },
    /// Genuine, and addressed to another account.
    OriginalId {
        /// Its original id.
        found: String,
    },
    /// Genuine, but not readable.
    Unreadable {
        /// The label of what is wrong.
        reason: String,
    },
}

impl Mismatch {
    /// A short label for metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Body => "body",
            Self::Clock { .. } => "clock",
            Self::Mode { .. } => "mode",
            Self::AesKey => "aes_key",
            Self::AppId { .. } => "app_id",
            Self::OriginalId { .. } => "original_id",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

impl Webhook {
    /// Why a refused verification GET does not fit; `None` when it lacks what the platform always sends.
    #[must_use]
    pub fn mismatch_of_verification(&self, query: &Query) -> Option<Mismatch> {
        let signed = Signed::of(query).ok()?;
        let given = query.signature.as_deref()?;
        let right = Signature::of_query(self.token.reveal(), signed.timestamp, signed.nonce);
        (!right.matches(given)).then_some(Mismatch::Token)
    }

    /// Why a refused delivery does not fit; `None` when it lacks what the platform always sends: a stranger's call.
    #[must_use]
    pub fn mismatch(&self, query: &Query, body: &[u8], now: UnixMs) -> Option<Mismatch> {
        let signed = Signed::of(query).ok()?;
        let given = query.signature.as_deref();
        let token = self.token.reveal();
        let query_fits = given
            .map(|given| Signature::of_query(token, signed.timestamp, signed.nonce).matches(given))
            .or_else(|| query.msg_signature.as_ref().map(|_| false))?;
        let encrypted = query.encrypt_type.as_deref() == Some("aes");
        match (&self.mode, encrypted) {
            (Mode::Encrypted(keys), true) => match ciphertext(body) {
                Ok(ciphertext) => {
                    let right = Signature::of_message(token, signed.timestamp, signed.nonce, &ciphertext);
                    match query.msg_signature.as_deref().is_some_and(|given| right.matches(given)) {
                        true => signed.clock(now).or_else(|| self.mismatch_of_envelope(keys, &ciphertext)),
                        false if query_fits => Some(Mismatch::Body),
                        false => Some(Mismatch::Token),
                    }
                }
                Err(reason) if query_fits => Some(Mismatch::Unreadable { reason }),
                Err(_) => Some(Mismatch::Token),
            },
            _ if !query_fits => Some(Mismatch::Token),
            (Mode::Plain, false) => signed.clock(now).or_else(|| self.mismatch_inside(body)),
            _ => Some(signed.clock(now).unwrap_or(Mismatch::Mode { encrypted })),
        }
    }

    fn mismatch_of_envelope(&self, keys: &Keys, ciphertext: &str) -> Option<Mismatch> {
        match keys.app_id_inside(ciphertext) {
            None => Some(Mismatch::AesKey),
            Some(found) if found != self.app_id => Some(Mismatch::AppId { found }),
            Some(_) => match keys.open(ciphertext, &self.app_id) {
                Ok((message, _)) => self.mismatch_inside(message.as_bytes()),
                Err(_) => Some(Mismatch::Unreadable { reason: "not_utf8".to_owned() }),
            },
        }
    }

    /// What is wrong with the message itself.
    fn mismatch_inside(&self, message: &[u8]) -> Option<Mismatch> {
        let read = || {
            let document = Document::parse(xml::gate(message)?)?;
            let to: String =
                document.root().text_of("ToUserName").chars().take(ORIGINAL_ID_CHARS_MAX).collect();
            if to != self.original_id {
                return Ok(Some(Mismatch::OriginalId { found: to }));
            }
            read::push(document.root(), &self.original_id).map(|_| None)
        };
        read().unwrap_or_else(|refusal: super::Refusal| {
            Some(Mismatch::Unreadable { reason: refusal.reason.to_owned() })
        })
    }
}

impl Signed<'_> {
    fn clock(self, now: UnixMs) -> Option<Mismatch> {
        let seconds: i64 = self.timestamp.parse().ok()?;
        let ahead_ms = now.0.saturating_sub(UnixMs::from_seconds(seconds).0);
        (ahead_ms.unsigned_abs() > TIMESTAMP_SKEW_MS_MAX.unsigned_abs())
            .then_some(Mismatch::Clock { ahead_ms })
    }
}

fn ciphertext(body: &[u8]) -> Result<String, String> {
    let read = || {
        let document = Document::parse(xml::gate(body)?)?;
        let found = document.root().only("Encrypt")?;
        found.map(str::to_owned).ok_or(super::Refusal::unauthenticated("not_encrypted"))
    };
    read().map_err(|refusal: super::Refusal| refusal.reason.to_owned())
}
