//! The bank's calls: `/api/v1`, each signed as *Standard Webhooks* says, and its description, `/openapi.json`.

mod answers;
mod bindings;
mod body;
mod cases;
mod openapi;
mod signed;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use actix_web::http::header::RETRY_AFTER;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, Path, Payload, ServiceConfig, get, post, resource};
use actix_web::{HttpRequest, HttpResponse};
use tracing::Instrument as _;

use self::answers::{Refusal, StateBody, TakenBody};
use self::signed::Call;
use super::door;
use crate::alerts::Alerts;
use crate::bank::webhooks::{BadSecret, Verifier};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::desk::Desk;
use crate::identity::Identity;
use crate::store::{Commit, CommitError, Conflict, Family, Store};
use crate::telemetry::trace::SPANS;

/// Items of one call.
pub const ITEMS_MAX: usize = 1_000;
/// Bytes of one call.
pub const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// An intake that met another one with the same items is decided anew at most this often.
const TRIES_MAX: usize = 5;
/// When a full backlog is worth asking again.
const RETRY_AFTER_S: u64 = 10;

/// What the handlers need.
pub struct BankApi {
    verifier: Verifier,
    store: Store,
    alerts: Arc<Alerts>,
    identity: Arc<Identity>,
    desk: Arc<Desk>,
    clock: SharedClock,
}

/// What the calls lead to.
pub struct Rooms {
    /// For the ids of calls.
    pub store: Store,
    /// Transactions and notices.
    pub alerts: Arc<Alerts>,
    /// Bindings.
    pub identity: Arc<Identity>,
    /// Cases of accounts that the bank's own agent system answers.
    pub desk: Arc<Desk>,
    /// For the age of a signature.
    pub clock: SharedClock,
}

impl BankApi {
    /// The interface with the secrets in force.
    ///
    /// # Errors
    /// When one of `[api] secrets` is not of its form.
    pub fn new(config: &Config, rooms: Rooms) -> Result<Self, BadSecret> {
        let Rooms { store, alerts, identity, desk, clock } = rooms;
        Ok(Self { verifier: Verifier::new(&config.api.secrets)?, store, alerts, identity, desk, clock })
    }
}

/// The routes. Handlers need `Data<BankApi>`.
pub fn configure(routes: &mut ServiceConfig) {
    let calls = [
        resource("/api/v1/transactions").route(post().to(post_transactions)),
        resource("/api/v1/transactions/{transaction_id}").route(get().to(get_transaction)),
        resource("/api/v1/notices").route(post().to(post_notices)),
        resource("/api/v1/notices/{notice_id}").route(get().to(get_notice)),
        resource("/api/v1/bindings").route(post().to(bindings::post_bindings)),
        resource("/api/v1/bindings/{account}/{openid}")
            .route(actix_web::web::delete().to(bindings::delete_binding)),
        resource("/api/v1/desk/{account}/cases").route(get().to(cases::get_cases)),
        resource("/api/v1/desk/{account}/cases/{case_id}").route(get().to(cases::get_case)),
        resource("/api/v1/desk/{account}/cases/{case_id}/media/{seq}").route(get().to(cases::get_media)),
        resource("/api/v1/desk/{account}/cases/{case_id}/take").route(post().to(cases::take)),
        resource("/api/v1/desk/{account}/cases/{case_id}/messages").route(post().to(cases::say)),
        resource("/api/v1/desk/{account}/cases/{case_id}/transfer").route(post().to(cases::transfer)),
        resource("/api/v1/desk/{account}/cases/{case_id}/close").route(post().to(cases::close)),
        resource("/api/v1/desk/{account}/cases/{case_id}/return").route(post().to(cases::return_to_bot)),
    ];
    for call in calls {
        routes.service(call.wrap(from_fn(door::the_banks_trace)));
    }
    routes.service(resource("/openapi.json").route(get().to(openapi::get_openapi)));
}

/// Tell customers of transactions.
#[utoipa::path(
    post, path = "/api/v1/transactions", tag = "transactions", operation_id = "postTransactions",
    description = "One object, an array of up to 1,000, or NDJSON. 202 means durable. A known id never alerts twice.",
    request_body(content(
        (openapi::TransactionItems = "application/json"), (String = "application/x-ndjson"))),
    responses(
        answers::TakenIn, (status = 429, body = answers::ErrorBody, description = "The backlog is full; see Retry-After"),
    ))]
async fn post_transactions(
    api: Data<BankApi>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    take_in(&api, Family::Transaction, &request, payload).await
}

/// Tell customers of anything else.
#[utoipa::path(
    post, path = "/api/v1/notices", tag = "notices", operation_id = "postNotices",
    description = "Same signature, batching and answer as transactions.",
    request_body(content((openapi::NoticeItems = "application/json"), (String = "application/x-ndjson"))),
    responses(
        answers::TakenIn, (status = 429, body = answers::ErrorBody, description = "The backlog is full; see Retry-After"),
    ))]
async fn post_notices(
    api: Data<BankApi>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    take_in(&api, Family::Notice, &request, payload).await
}

/// What became of a transaction.
#[utoipa::path(
    get, path = "/api/v1/transactions/{transaction_id}", tag = "transactions", operation_id = "getTransaction",
    params(("transaction_id" = String, Path, description = "The bank's id, percent-encoded")),
    responses(
        (status = 200, body = StateBody, description = "Its state and history; an id is known for 400 days"),
        answers::NotTold,
    ))]
async fn get_transaction(
    api: Data<BankApi>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    state_of(&api, Family::Transaction, &id, &request, payload).await
}

/// What became of a notice.
#[utoipa::path(
    get, path = "/api/v1/notices/{notice_id}", tag = "notices", operation_id = "getNotice",
    params(("notice_id" = String, Path, description = "The bank's id, percent-encoded")),
    responses(
        (status = 200, body = StateBody, description = "Its state and history; an id is known for 400 days"),
        answers::NotTold,
    ))]
async fn get_notice(
    api: Data<BankApi>,
    id: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    state_of(&api, Family::Notice, &id, &request, payload).await
}

/// Accepts items and remembers the call with its answer, in one commit.
async fn take_in(
    api: &BankApi,
    family: Family,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let span = tracing::info_span!(target: SPANS, "bank call", family = family.name());
    take_in_call(api, family, request, payload).instrument(span).await
}

async fn take_in_call(
    api: &BankApi,
    family: Family,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let call = Call::read(api, request, payload).await?;
    if let Some(answer) = call.seen(api).await? {
        return Ok(answer);
    }
    let items = body::items(&call.body)?;
    if api.alerts.is_full_for(family, &items).await? {
        return Err(Refusal::Full { retry_after_s: RETRY_AFTER_S });
    }
    for _ in 0..TRIES_MAX {
        let intake = api.alerts.intake(family, &items).await?;
        let answer = TakenBody::new(family, &intake.taken);
        let answer = serde_json::to_vec(&answer)?;
        let mut commit = Commit::new(call.lane());
        commit.extend(intake.writes.iter().cloned());
        commit.push(api.store.remember_call(&call.key, &call.body, 202, Some(&answer))?);
        match api.store.commit(commit).await {
            Ok(()) => {
                api.alerts.taken_in(family, &intake);
                return Ok(HttpResponse::Accepted().content_type("application/json").body(answer));
            }
            // The same call or one of its items came in at the same moment.
            Err(CommitError::Conflict(Conflict::Duplicate)) => {
                if let Some(answer) = call.seen(api).await? {
                    return Ok(answer);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    Err(Refusal::Busy)
}

async fn state_of(
    api: &BankApi,
    family: Family,
    id: &str,
    request: &HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let call = Call::read(api, request, payload).await?;
    call.use_up(api).await?;
    match api.alerts.state(family, id).await? {
        Some(view) => Ok(HttpResponse::Ok().json(StateBody::of(&view))),
        None => Err(Refusal::NotFound),
    }
}

/// An answer that says when to come again.
fn with_retry_after(mut response: HttpResponse, seconds: u64) -> HttpResponse {
    response.headers_mut().insert(RETRY_AFTER, actix_web::http::header::HeaderValue::from(seconds));
    response
}
