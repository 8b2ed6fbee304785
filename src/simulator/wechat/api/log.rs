//! The log of API calls: for reading over a shoulder, so it holds nothing that opens anything.

use std::collections::VecDeque;
use std::time::Duration;

use actix_web::http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::super::platform::{Platform, push_bounded};
use super::{Answer, Call, media, table, token};
use crate::domain::time::UnixMs;

/// Calls that are remembered.
const CALLS_MAX: usize = 10_000;
/// What is kept of a body.
const LOGGED_CHARS_MAX: usize = 16 * 1024;
const MASK: &str = "•••";

/// A call as it is remembered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Logged {
    pub(super) seq: u64,
    pub(super) at: UnixMs,
    /// Configured id of the account that called.
    pub(crate) account: Option<String>,
    /// `GET` or `POST`.
    pub(crate) method: String,
    /// Path without query.
    pub(crate) path: String,
    /// Query parameters, secrets masked, sorted.
    pub(crate) query: Vec<(String, String)>,
    /// Request body, secrets masked; of an upload its size and digest.
    pub(crate) body: String,
    /// HTTP status that was answered.
    pub(crate) status: u16,
    /// What was answered, secrets masked.
    pub(crate) response: Value,
    pub(super) duration_ms: u64,
    /// The `rid` of a refusal.
    pub(super) rid: Option<String>,
    /// The platform's time, by which a `rid` grows old.
    #[serde(skip)]
    pub(super) platform_at: UnixMs,
    /// Played by the fault panel.
    pub(crate) fault: bool,
}

/// The newest calls.
#[derive(Default)]
pub(crate) struct CallLog(VecDeque<Logged>);

impl CallLog {
    /// Calls after a number, oldest first.
    pub(crate) fn after(&self, seq: u64) -> Vec<Logged> {
        self.0.iter().filter(|call| call.seq > seq).cloned().collect()
    }

    /// The call that was refused under this `rid`.
    pub(super) fn refused(&self, rid: &str) -> Option<&Logged> {
        self.0.iter().rev().find(|call| call.rid.as_deref() == Some(rid))
    }
}

/// How a call ended.
pub(super) struct Ended<'a> {
    pub(super) status: StatusCode,
    pub(super) answer: &'a Answer,
    pub(super) is_fault: bool,
    pub(super) took: Duration,
    pub(super) rid: Option<String>,
}

/// Writes a call down, here and in the recording.
pub(super) fn remember(platform: &Platform, call: &Call, ended: &Ended<'_>) {
    let response = match ended.answer {
        Answer::Json(body) | Answer::Held { body, .. } => masked(body.clone()),
        Answer::File { name, bytes, .. } => json!({ "file": name, "bytes": bytes.len() }),
    };
    let text = |name: &str, value: &str| if is_secret(name) { MASK.to_owned() } else { value.to_owned() };
    let mut query: Vec<(String, String)> =
        call.query.iter().map(|(name, value)| (name.clone(), text(name, value))).collect();
    query.sort();
    let (at, platform_at) = (platform.true_now(), platform.now());
    let mut state = platform.state();
    let account = token::known_account(&state, call);
    let account = account.map(|index| state.accounts[index].settings.id.clone());
    let seq = state.next_seq();
    let entry = Logged {
        seq,
        at,
        account,
        method: call.method.clone(),
        path: call.path.clone(),
        query,
        body: body_of(call),
        status: ended.status.as_u16(),
        response,
        duration_ms: u64::try_from(ended.took.as_millis()).unwrap_or(u64::MAX),
        rid: ended.rid.clone(),
        platform_at,
        fault: ended.is_fault,
    };
    state.recording.call(at, &entry);
    push_bounded(&mut state.calls.0, entry, CALLS_MAX);
}

fn body_of(call: &Call) -> String {
    if table::takes_file(&call.path) {
        return match media::part(call, "media") {
            Some(part) => json!({
                "media": { "bytes": part.bytes.len(), "sha1": hex::encode(Sha1::digest(&part.bytes)) }
            })
            .to_string(),
            None => String::new(),
        };
    }
    let holds_secret = call.path.contains("token") || call.path.contains("quota/v2");
    match std::str::from_utf8(&call.body) {
        Ok(body) if holds_secret => serde_json::from_str(body).map(masked).unwrap_or_default().to_string(),
        Ok(body) => body.chars().take(LOGGED_CHARS_MAX).collect(),
        Err(_) => String::new(),
    }
}

fn is_secret(name: &str) -> bool {
    matches!(name, "access_token" | "refresh_token" | "ticket" | "secret" | "appsecret" | "code")
}

fn masked(mut body: Value) -> Value {
    for (name, value) in body.as_object_mut().into_iter().flatten() {
        if is_secret(name) && value.is_string() {
            *value = MASK.into();
        }
    }
    body
}
