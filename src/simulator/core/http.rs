//! The addresses of the sandbox core: the operations, the receiver of events, the page, and what drives it in tests.

use std::net::TcpListener;
use std::sync::Arc;

use actix_web::dev::Server;
use actix_web::http::StatusCode;
use actix_web::http::header::{CACHE_CONTROL, ContentType, ETAG, IF_NONE_MATCH};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::bank::Bank;
use super::events::Refusal;
use super::faults::Fault;
use super::journal::JournalError;
use super::operations::{Request, pin};
use super::page;
use super::swipe::Swipe;
use crate::bank::webhooks::TRACEPARENT;
use crate::domain::trace::TraceParent;
use crate::simulator::recordings;
use crate::telemetry::trace;

const BODY_BYTES_MAX: usize = 256 * 1024;
const SHUTDOWN_S: u64 = 2;
const SHOWN_EVENTS_MAX: usize = 200;

type Shared = web::Data<Bank>;

/// Listens. The server works once it is awaited.
pub(super) fn serve(bank: Arc<Bank>, listener: TcpListener) -> std::io::Result<Server> {
    let bank: Shared = web::Data::from(bank);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(bank.clone())
            .app_data(web::PayloadConfig::new(BODY_BYTES_MAX))
            .route("/healthz", web::get().to(HttpResponse::Ok))
            .route("/favicon.ico", web::get().to(HttpResponse::NoContent))
            .route("/v1/operations/{operation}", web::post().to(operation))
            .route("/", web::get().to(index))
            .route("/sandbox", web::get().to(index))
            .route("/sandbox/live", web::get().to(live))
            .route("/sandbox/assets/{name}", web::get().to(asset))
            .route("/sandbox/sms", web::get().to(sms))
            .route("/sandbox/events", web::get().to(events))
            .route("/sandbox/events", web::post().to(receive))
            .route("/sandbox/asr", web::post().to(recognise))
            .route("/sandbox/swipe", web::post().to(swipe))
            .route("/sandbox/cards/{customer}/{card}/release", web::post().to(release))
            .route("/sandbox/pin/{request}", web::get().to(pin_page))
            .route("/sandbox/pin/{request}", web::post().to(pin_typed))
            .route("/sandbox/applications", web::get().to(applications))
            .route("/sandbox/applications/{number}/advance", web::post().to(advance))
            .route("/sandbox/faults", web::get().to(faults))
            .route("/sandbox/faults", web::post().to(set_fault))
            .route("/sandbox/faults", web::delete().to(clear_faults))
    });
    Ok(server.workers(2).disable_signals().shutdown_timeout(SHUTDOWN_S).listen(listener)?.run())
}

async fn operation(
    bank: Shared,
    request: HttpRequest,
    name: web::Path<String>,
    body: web::Bytes,
) -> HttpResponse {
    if !bank.core_key.vouches(|name| header(&request, name), &body, bank.now()) {
        return refused(Refusal::new("signature", "the signature does not fit"));
    }
    in_trace(&request, async move { operate(bank, name.into_inner(), &body).await }).await
}

async fn operate(bank: Shared, name: String, body: &[u8]) -> HttpResponse {
    let fate = bank.faults.fate(&name);
    tokio::time::sleep(fate.delay).await;
    if fate.fails {
        return refused(Refusal::new("fault", "a fault is switched on"));
    }
    let call: Request = match serde_json::from_slice(body) {
        Ok(call) => call,
        Err(error) => {
            return refused(Refusal::new("bad_request", error.to_string()));
        }
    };
    let operation = name.clone();
    let answer = in_background(move || bank.operate(&name, call), |result| json!({ "result": result })).await;
    tokio::time::sleep(fate.answer_delay).await;
    // What nobody knows is somebody else's text; it need not stand in a log.
    let operation = if answer.status() == StatusCode::NOT_FOUND { "unknown" } else { operation.as_str() };
    tracing::info!(operation, status = answer.status().as_u16(), "an operation was asked for");
    answer
}

/// Under the trace that the caller names, so that both sides' logs can be joined.
async fn in_trace(request: &HttpRequest, work: impl Future<Output = HttpResponse>) -> HttpResponse {
    match header(request, TRACEPARENT).and_then(TraceParent::parse) {
        Some(parent) => trace::carry_on(parent, work).await,
        None => work.await,
    }
}

async fn receive(bank: Shared, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let genuine = bank
        .events_key
        .as_ref()
        .is_some_and(|key| key.vouches(|name| header(&request, name), &body, bank.now()));
    let Some(message_id) = header(&request, "webhook-id").filter(|_| genuine).map(str::to_owned) else {
        return refused(Refusal::new("signature", "the signature does not fit"));
    };
    match serde_json::from_slice::<Value>(&body) {
        Err(error) => refused(Refusal::new("bad_request", error.to_string())),
        Ok(event) => {
            let work = async {
                tracing::info!(webhook_id = message_id, "an event was received");
                in_background(move || bank.receive(message_id, event).map(Ok), |()| json!({})).await
            };
            in_trace(&request, work).await
        }
    }
}

/// The sandbox's recogniser of speech (`[asr] url`); faults of the operation `asr` are its own.
async fn recognise(bank: Shared, request: HttpRequest, recording: web::Bytes) -> HttpResponse {
    if !bank.core_key.vouches(|name| header(&request, name), &recording, bank.now()) {
        return refused(Refusal::new("signature", "the signature does not fit"));
    }
    let listen = async {
        let fate = bank.faults.fate("asr");
        tokio::time::sleep(fate.delay).await;
        if fate.fails {
            return refused(Refusal::new("fault", "a fault is switched on"));
        }
        let words = recordings::words(&recording);
        tracing::info!(bytes = recording.len(), known = words.is_some(), "a recording was listened to");
        match words {
            Some(words) => HttpResponse::Ok().json(json!({ "text": words })),
            None => refused(Refusal::new("no_sample", "only the sample recordings are recognised here")),
        }
    };
    in_trace(&request, listen).await
}

async fn swipe(bank: Shared, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    match from_our_page::<Swipe>(&request, &body) {
        Err(refusal) => refused(refusal),
        Ok(wanted) => in_background(move || bank.swipe(wanted), |answer| answer).await,
    }
}

async fn advance(bank: Shared, request: HttpRequest, number: web::Path<String>) -> HttpResponse {
    match from_our_page::<Value>(&request, b"{}") {
        Err(refusal) => refused(refusal),
        Ok(_) => in_background(move || bank.advance(&number), |answer| answer).await,
    }
}

async fn release(bank: Shared, request: HttpRequest, card: web::Path<(String, String)>) -> HttpResponse {
    match from_our_page::<Value>(&request, b"{}") {
        Err(refusal) => refused(refusal),
        Ok(_) => {
            let (customer, card) = card.into_inner();
            in_background(move || bank.release(&customer, &card), |answer| answer).await
        }
    }
}

async fn pin_page(bank: Shared, request: web::Path<String>) -> HttpResponse {
    pin_answer(page::pin(&bank, &request, None))
}

async fn pin_typed(
    bank: Shared,
    http: HttpRequest,
    request: web::Path<String>,
    typed: web::Form<pin::Typed>,
) -> HttpResponse {
    if header(&http, "sec-fetch-site") == Some("cross-site") {
        return refused(Refusal::new("cross_site", "another site's page may not do this"));
    }
    let taking = bank.clone();
    let (id, typed) = (request.into_inner(), typed.into_inner());
    let taken = id.clone();
    match web::block(move || taking.pin(&taken, &typed)).await {
        Ok(Ok(Ok(back))) => pin_answer(page::pin_done(&back)),
        Ok(Ok(Err(refusal))) => pin_answer(page::pin(&bank, &id, Some(&refusal.message))),
        _ => HttpResponse::InternalServerError().finish(),
    }
}

/// A page for a customer's browser; it may stand in the frame of the demo's phone.
fn pin_answer(html: askama::Result<String>) -> HttpResponse {
    const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                          frame-ancestors 'self' http://127.0.0.1:* http://localhost:*";
    page_answer(html, POLICY)
}

async fn faults(bank: Shared) -> HttpResponse {
    HttpResponse::Ok().json(bank.faults.list())
}

async fn set_fault(bank: Shared, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    match from_our_page::<Fault>(&request, &body) {
        Err(refusal) => refused(refusal),
        Ok(fault) => match bank.faults.set(fault) {
            Ok(()) => HttpResponse::Ok().json(bank.faults.list()),
            Err(reason) => refused(Refusal::new("bad_request", reason)),
        },
    }
}

async fn clear_faults(bank: Shared, request: HttpRequest) -> HttpResponse {
    match from_our_page::<Value>(&request, b"{}") {
        Err(refusal) => refused(refusal),
        Ok(_) => {
            bank.faults.clear();
            HttpResponse::Ok().json(json!([]))
        }
    }
}

#[derive(Deserialize)]
struct OfPhone {
    phone: Option<String>,
}

async fn sms(bank: Shared, query: web::Query<OfPhone>) -> HttpResponse {
    HttpResponse::Ok().json(bank.sms(query.phone.as_deref()))
}

async fn events(bank: Shared) -> HttpResponse {
    let events: Value = bank.look(|book, _| {
        let newest = book.received.iter().take(SHOWN_EVENTS_MAX);
        newest.map(|received| json!({ "webhook_id": received.message_id, "body": received.body })).collect()
    });
    HttpResponse::Ok().json(events)
}

async fn applications(bank: Shared) -> HttpResponse {
    HttpResponse::Ok().json(bank.look(page::applications_json))
}

async fn index(bank: Shared) -> HttpResponse {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                          form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    page_answer(page::index(&bank), POLICY)
}

/// The part of the page that changes; 304 while it has not.
async fn live(bank: Shared, request: HttpRequest) -> HttpResponse {
    let Ok(html) = page::live(&bank) else { return HttpResponse::InternalServerError().finish() };
    let tag = page::entity_tag(&html);
    if header(&request, IF_NONE_MATCH.as_str()) == Some(tag.as_str()) {
        return HttpResponse::NotModified().insert_header((ETAG, tag)).finish();
    }
    let mut response = HttpResponse::Ok();
    response
        .insert_header(ContentType::html())
        .insert_header((ETAG, tag))
        .insert_header((CACHE_CONTROL, "no-cache"));
    response.body(html)
}

async fn asset(name: web::Path<String>) -> HttpResponse {
    match page::asset(&name) {
        Some((kind, text)) => HttpResponse::Ok()
            .insert_header(("content-type", kind))
            .insert_header((CACHE_CONTROL, "no-cache"))
            .body(text),
        None => HttpResponse::NotFound().finish(),
    }
}

fn page_answer(html: askama::Result<String>, policy: &'static str) -> HttpResponse {
    let Ok(html) = html else { return HttpResponse::InternalServerError().finish() };
    HttpResponse::Ok()
        .insert_header(ContentType::html())
        .insert_header(("content-security-policy", policy))
        .insert_header(("x-content-type-options", "nosniff"))
        .insert_header(("referrer-policy", "no-referrer"))
        .insert_header((CACHE_CONTROL, "no-store"))
        .body(html)
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get(name).and_then(|value| value.to_str().ok())
}

/// Reads a body, unless a browser sends it on behalf of a foreign page.
fn from_our_page<T: DeserializeOwned>(request: &HttpRequest, body: &[u8]) -> Result<T, Refusal> {
    if header(request, "sec-fetch-site") == Some("cross-site") {
        return Err(Refusal::new("cross_site", "another site's page may not do this"));
    }
    serde_json::from_slice(body).map_err(|error| Refusal::new("bad_request", error.to_string()))
}

/// Runs what waits for the disk away from the workers that answer.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<Result<T, Refusal>, JournalError> + Send + 'static,
    answer: impl FnOnce(T) -> Value,
) -> HttpResponse {
    match web::block(work).await {
        Ok(Ok(Ok(done))) => HttpResponse::Ok().json(answer(done)),
        Ok(Ok(Err(refusal))) => refused(refusal),
        Ok(Err(error)) => {
            tracing::error!(%error, "the sandbox core cannot write its journal");
            refused(Refusal::new("journal", "the journal cannot be written"))
        }
        Err(_) => refused(Refusal::new("crash", "the call was not finished")),
    }
}

fn refused(refusal: Refusal) -> HttpResponse {
    let status = match refusal.code.as_str() {
        "bad_request" => StatusCode::BAD_REQUEST,
        "signature" => StatusCode::UNAUTHORIZED,
        "cross_site" => StatusCode::FORBIDDEN,
        "unknown_operation" => StatusCode::NOT_FOUND,
        "idempotency_conflict" => StatusCode::CONFLICT,
        "backlog_full" => StatusCode::TOO_MANY_REQUESTS,
        "journal" | "crash" => StatusCode::INTERNAL_SERVER_ERROR,
        "fault" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    HttpResponse::build(status).json(json!({ "error": refusal }))
}
