//! What the bank reads: answers and errors.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use serde::Serialize;
use utoipa::{IntoResponses, ToSchema};

use super::super::desk::refusal_of;
use super::with_retry_after;
use crate::alerts::{StateView, Taken};
use crate::desk::DeskError;
use crate::outbound::rfc3339;
use crate::store::{CommitError, Family, StoreError};

/// What became of a list of items.
#[derive(Serialize, ToSchema)]
pub(super) struct TakenBody {
    /// New items, durable now.
    pub(super) accepted: usize,
    /// Items whose id was known.
    pub(super) duplicates: usize,
    /// Items that cannot be used; the others are accepted all the same.
    pub(super) rejected: Vec<RejectedBody>,
}

/// An item that cannot be used.
#[derive(Serialize, ToSchema)]
pub(super) struct RejectedBody {
    /// Its place in the list, from 0.
    pub(super) index: usize,
    /// Its id; null when it has none, or is no transaction.
    #[schema(required)]
    pub(super) transaction_id: Option<String>,
    /// Its id, if it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notice_id: Option<String>,
    /// What is wrong; names the field.
    pub(super) error: String,
}

impl TakenBody {
    pub(super) fn new(family: Family, taken: &Taken) -> Self {
        let rejected = taken.rejected.iter().map(|rejected| {
            let id = rejected.id.clone();
            let (transaction_id, notice_id) = match family {
                Family::Transaction => (id, None),
                Family::Notice => (None, id),
            };
            RejectedBody { index: rejected.index, transaction_id, notice_id, error: rejected.error.clone() }
        });
        Self { accepted: taken.accepted, duplicates: taken.duplicates, rejected: rejected.collect() }
    }
}

/// What became of an item.
#[derive(Serialize, ToSchema)]
pub(super) struct StateBody {
    /// pending, sent, delivered, failed, suppressed or unreachable; of several followers the best:
    /// delivered, sent, pending, failed, unreachable, suppressed.
    #[schema(example = "delivered")]
    state: &'static str,
    /// Why, where the state does not say all: no_binding, alerts_off, expired, errcode_43004 …
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Tries in all.
    attempts: i64,
    /// Whether the event `fallback` was sent for it.
    fallback: bool,
    /// What happened, oldest first.
    history: Vec<HistoryBody>,
}

/// One thing that happened to an item.
#[derive(Serialize, ToSchema)]
struct HistoryBody {
    /// When, RFC 3339.
    #[schema(format = DateTime)]
    time: String,
    /// accepted, planned (by which way), held (why), tried, or a state.
    what: &'static str,
    /// How a try ended, or why a state.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl StateBody {
    pub(super) fn of(view: &StateView) -> Self {
        Self {
            state: view.verdict.state.name(),
            reason: view.verdict.reason.clone(),
            attempts: view.attempts,
            fallback: view.fell_back,
            history: view
                .history
                .iter()
                .map(|entry| HistoryBody {
                    time: rfc3339(entry.at),
                    what: entry.what,
                    reason: entry.reason.clone(),
                })
                .collect(),
        }
    }
}

/// Why a call was not carried out.
#[derive(Serialize, ToSchema)]
pub(super) struct ErrorBody {
    error: ErrorMember,
}

/// The reason, for programs and for people.
#[derive(Serialize, ToSchema)]
struct ErrorMember {
    /// A fixed word.
    #[schema(example = "unauthorized")]
    code: &'static str,
    /// What to do.
    message: String,
}

/// What a call that brings items answers. Only described: each handler answers for itself.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "a description is never made")]
pub(super) enum TakenIn {
    /// What was accepted is durable
    #[response(status = 202)]
    Taken(TakenBody),
    /// The body is neither object nor array nor NDJSON
    #[response(status = 400)]
    Unparsable(ErrorBody),
    /// The signature does not fit
    #[response(status = 401)]
    Unsigned(ErrorBody),
    /// The webhook-id was used with another body
    #[response(status = 409)]
    Reused(ErrorBody),
    /// More than 1,000 items or 4 MiB
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// The database does not answer
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// How a call about one thing is refused. Only described.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "a description is never made")]
pub(super) enum NotTold {
    /// The signature does not fit, or the webhook-id was used
    #[response(status = 401)]
    Unsigned(ErrorBody),
    /// There is no such thing, or no longer
    #[response(status = 404)]
    Unknown(ErrorBody),
    /// The database does not answer
    #[response(status = 503)]
    Unavailable(ErrorBody),
}

/// A call that is not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the signature headers do not fit this call: {0}")]
    Unsigned(&'static str),
    #[error("{0}")]
    Unparsable(&'static str),
    #[error("the body has more than 4 MiB")]
    TooLarge,
    #[error("the body has more than 1,000 items")]
    TooMany,
    #[error("this webhook-id was used with another body")]
    Reused,
    #[error("there is no such id")]
    NotFound,
    #[error("too many items are waiting to be sent")]
    Full { retry_after_s: u64 },
    #[error("others changed the same things at the same moment; send it again")]
    Busy,
    #[error("{0}")]
    Desk(DeskError),
    #[error("the file is being fetched from WeChat; ask again")]
    MediaWanted,
    #[error("WeChat has deleted the file; it could not be fetched")]
    MediaLost,
    #[error("the database does not answer; send it again")]
    Store(String),
}

impl Refusal {
    pub(super) fn unsigned(why: &'static str) -> Self {
        Self::Unsigned(why)
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Unsigned(_) => "unauthorized",
            Self::Unparsable(_) => "unparsable",
            Self::TooLarge | Self::TooMany => "too_large",
            Self::Reused => "webhook_id_reused",
            Self::NotFound => "not_found",
            Self::Full { .. } => "backlog_full",
            Self::Desk(error) => refusal_of(error).1,
            Self::MediaWanted => "media_wanted",
            Self::MediaLost => "media_lost",
            Self::Busy | Self::Store(_) => "unavailable",
        }
    }
}

impl From<DeskError> for Refusal {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::NoSuchCase => Self::NotFound,
            DeskError::Busy | DeskError::Repeated => Self::Busy,
            DeskError::Store(error) => error.into(),
            error => Self::Desk(error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Store(error.to_string())
    }
}

impl From<serde_json::Error> for Refusal {
    fn from(error: serde_json::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<CommitError> for Refusal {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict(_) => Self::Busy,
            CommitError::Store(error) => error.into(),
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Unsigned(_) => StatusCode::UNAUTHORIZED,
            Self::Unparsable(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge | Self::TooMany => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Reused | Self::MediaWanted => StatusCode::CONFLICT,
            Self::MediaLost => StatusCode::GONE,
            Self::Desk(error) => refusal_of(error).0,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Full { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Busy | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        metrics::counter!("weikefu_api_refused_total", "code" => self.code()).increment(1);
        match self {
            Self::Store(error) => tracing::error!(
                error,
                retry = "by the bank",
                "a call of the bank was answered 503: the database fails. See that it answers"
            ),
            Self::Unsigned(why) => {
                tracing::warn!(
                    why,
                    "a call of the bank was refused (401): malformed or forged: compare [api] secrets; stale: both clocks; \
                     replayed: each GET and DELETE needs a webhook-id of its own"
                )
            }
            _ => {}
        }
        let error = ErrorMember { code: self.code(), message: self.to_string() };
        let response = HttpResponse::build(self.status_code()).json(ErrorBody { error });
        match self {
            Self::Full { retry_after_s } => with_retry_after(response, *retry_after_s),
            Self::Busy | Self::Store(_) => with_retry_after(response, 1),
            _ => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::RETRY_AFTER;

    use super::*;

    #[test]
    fn what_may_be_sent_again_says_when() {
        for (refusal, seconds) in [
            (Refusal::Full { retry_after_s: 10 }, Some("10")),
            (Refusal::Busy, Some("1")),
            (Refusal::TooMany, None),
        ] {
            let response = refusal.error_response();
            let header = response.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap());
            assert_eq!(header, seconds, "{refusal}");
        }
    }
}
