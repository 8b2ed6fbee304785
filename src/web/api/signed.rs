//! A signed call: read within bounds, verified, used once.

use actix_web::web::Payload;
use actix_web::{HttpRequest, HttpResponse};
use futures::StreamExt as _;

use super::answers::Refusal;
use super::{BODY_BYTES_MAX, BankApi};
use crate::bank::webhooks::{ID_HEADER, Presented, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::store::{CallKey, Commit, CommitError, Conflict};

/// What is read of a body that is too large, so that its sender hears the answer.
const DRAINED_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;

/// A call whose signature fits.
pub(super) struct Call {
    pub(super) key: CallKey,
    pub(super) body: Vec<u8>,
}

impl Call {
    /// Reads the body, always, and checks the signature. GET and DELETE sign an empty body.
    pub(super) async fn read(
        api: &BankApi,
        request: &HttpRequest,
        payload: Payload,
    ) -> Result<Self, Refusal> {
        let body = bounded(payload).await?;
        let method = match request.method().as_str() {
            "POST" => "POST",
            "DELETE" => "DELETE",
            _ => "GET",
        };
        let header = |name: &str| {
            let value = request.headers().get(name).and_then(|value| value.to_str().ok());
            value.ok_or_else(|| Refusal::unsigned("malformed"))
        };
        let presented = Presented {
            id: header(ID_HEADER)?,
            timestamp: header(TIMESTAMP_HEADER)?,
            signature: header(SIGNATURE_HEADER)?,
        };
        let body = if method == "POST" { body } else { Vec::new() };
        api.verifier.verify(presented, &body, api.clock.now()).map_err(|reason| {
            use crate::bank::webhooks::NotGenuine;
            Refusal::unsigned(match reason {
                NotGenuine::Malformed => "malformed",
                NotGenuine::Stale => "stale",
                NotGenuine::Forged => "forged",
            })
        })?;
        let key = CallKey { method, path: request.path().to_owned(), webhook_id: presented.id.to_owned() };
        Ok(Self { key, body })
    }

    /// The answer that a repeated POST gets.
    pub(super) async fn seen(&self, api: &BankApi) -> Result<Option<HttpResponse>, Refusal> {
        let Some(seen) = api.store.seen_call(&self.key).await? else { return Ok(None) };
        if seen.body_ix != api.store.body_index(&self.body) {
            return Err(Refusal::Reused);
        }
        let status = actix_web::http::StatusCode::from_u16(seen.status)
            .unwrap_or(actix_web::http::StatusCode::ACCEPTED);
        let answer = seen.answer.map(|answer| answer.to_vec()).unwrap_or_default();
        Ok(Some(HttpResponse::build(status).content_type("application/json").body(answer)))
    }

    /// Uses the id up; a second call with it is refused.
    pub(super) async fn use_up(&self, api: &BankApi) -> Result<(), Refusal> {
        let mut commit =
            Commit::new(self.lane()).with(api.store.remember_call(&self.key, &self.body, 200, None)?);
        if self.key.method == "GET" {
            commit.push(api.store.remember_reading(&self.key.webhook_id));
        }
        match api.store.commit(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(Conflict::Duplicate)) => Err(Refusal::unsigned("replayed")),
            Err(error) => Err(error.into()),
        }
    }

    /// Calls of different ids need not wait for each other.
    pub(super) fn lane(&self) -> u8 {
        self.key.webhook_id.bytes().fold(0, |lane, byte| lane.wrapping_mul(31).wrapping_add(byte))
    }
}

async fn bounded(mut payload: Payload) -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let mut bytes = 0_usize;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Refusal::Unparsable("the body broke off"))?;
        bytes += chunk.len();
        if bytes <= BODY_BYTES_MAX {
            body.extend_from_slice(&chunk);
        } else if bytes > DRAINED_BYTES_MAX {
            break;
        }
    }
    if bytes > BODY_BYTES_MAX { Err(Refusal::TooLarge) } else { Ok(body) }
}
