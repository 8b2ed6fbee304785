//! The control API below `/sim/api`: what the phone page and tests drive the simulator with. JSON in and out.
//!
//! Bodies must be `application/json`, which a page of another origin cannot send unasked.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use futures::Stream;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::actions::Refusal;
use super::faults::{ApiFault, PushFault};
use super::panel::{AgentState, Control, ForAccount, Move, Quota, Receipts, Rights};
use super::platform::Platform;
use crate::config::AccountKind;

const BODY_BYTES_MAX: usize = 15 * 1024 * 1024;
const WAIT_MS_MAX: u64 = 30_000;
const HEARTBEAT: Duration = Duration::from_secs(15);
const NAME_CHARS_MAX: usize = 32;
const CODES_SHOWN_MAX: usize = 50;
const FOLLOWERS_SHOWN_MAX: usize = 1_000;

type Data = web::Data<Platform>;

/// Registers the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let json = web::JsonConfig::default().limit(BODY_BYTES_MAX).error_handler(|error, _| {
        let response = refused(StatusCode::BAD_REQUEST, &error.to_string());
        actix_web::error::InternalError::from_response(error, response).into()
    });
    config.app_data(json).service(
        web::scope("/sim/api")
            .route("/accounts", web::get().to(accounts))
            .route("/accounts/{account}/verify", web::post().to(verify))
            .route("/accounts/{account}/codes", web::get().to(codes))
            .route("/accounts/{account}/followers", web::get().to(followers))
            .route("/accounts/{account}/followers", web::post().to(create_follower))
            .route("/accounts/{account}/followers/{openid}", web::get().to(follower))
            .route("/accounts/{account}/followers/{openid}/actions", web::post().to(act))
            .route("/accounts/{account}/followers/{openid}/timeline", web::get().to(timeline))
            .route("/accounts/{account}/followers/{openid}/events", web::get().to(events))
            .route("/calls", web::get().to(calls))
            .route("/faults", web::get().to(faults))
            .route("/faults", web::post().to(add_fault))
            .route("/faults", web::delete().to(clear_faults))
            .route("/push_faults", web::get().to(push_faults))
            .route("/push_faults", web::post().to(add_push_fault))
            .route("/push_faults", web::delete().to(clear_push_faults))
            .route("/receipts", web::post().to(set_receipts))
            .route("/receipts", web::delete().to(clear_receipts))
            .route("/quotas", web::post().to(set_quota))
            .route("/tokens/expire", web::post().to(expire_tokens))
            .route("/clock", web::get().to(clock))
            .route("/clock", web::post().to(move_clock))
            .route("/clock", web::delete().to(reset_clock))
            .route("/rights", web::post().to(set_rights))
            .route("/agents", web::post().to(set_agent))
            .route("/recording", web::get().to(recording)),
    );
}

fn refused(status: StatusCode, reason: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": reason }))
}

fn no_account() -> HttpResponse {
    refused(StatusCode::NOT_FOUND, "没有这个公众号")
}

fn no_follower() -> HttpResponse {
    refused(StatusCode::NOT_FOUND, "没有这个公众号或关注者")
}

/// The account, if it has this follower.
fn find(platform: &Platform, account: &str, openid: &str) -> Option<usize> {
    let mut state = platform.state();
    let account = state.account_index(account)?;
    state.follower(account, openid).map(|_| account)
}

async fn accounts(platform: Data) -> HttpResponse {
    let state = platform.state();
    let view = |account: &super::platform::Account| {
        let settings = &account.settings;
        json!({
            "id": settings.id,
            "name": settings.name,
            "app_id": settings.app_id,
            "original_id": settings.original_id,
            "encryption": format!("{:?}", settings.encryption).to_lowercase(),
            "push_url": settings.push_url,
            "followers": account.followers.len(),
            "following": account.followers.values().filter(|follower| follower.following).count(),
            "templates": settings.templates.iter().map(|template| &template.id).collect::<Vec<_>>(),
            "menu": account.menu.default_buttons(),
            "is_service": settings.kind == AccountKind::Service,
            "is_verified": settings.is_verified,
        })
    };
    HttpResponse::Ok().json(state.accounts.iter().map(view).collect::<Vec<_>>())
}

async fn verify(platform: Data, account: web::Path<String>) -> HttpResponse {
    let Some(account) = platform.state().account_index(&account) else { return no_account() };
    match platform.verify(account).await {
        Ok(verified) => HttpResponse::Ok().json(json!({ "verified": verified })),
        Err(reason) => HttpResponse::Ok().json(json!({ "verified": false, "error": reason })),
    }
}

async fn codes(platform: Data, account: web::Path<String>) -> HttpResponse {
    let now = platform.now();
    let state = platform.state();
    let Some(account) = state.account_index(&account) else { return no_account() };
    HttpResponse::Ok().json(state.accounts[account].codes.newest(CODES_SHOWN_MAX, now))
}

async fn followers(platform: Data, account: web::Path<String>) -> HttpResponse {
    let now = platform.now();
    let state = platform.state();
    let Some(account) = state.account_index(&account) else { return no_account() };
    let account = &state.accounts[account];
    let newest = account.order.iter().rev().take(FOLLOWERS_SHOWN_MAX);
    let mut views: Vec<_> = newest
        .filter_map(|openid| account.followers.get(openid))
        .map(|follower| follower.view(now))
        .collect();
    views.reverse();
    HttpResponse::Ok().json(views)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFollower {
    openid: Option<String>,
    name: Option<String>,
    #[serde(default)]
    follow: bool,
}

async fn create_follower(
    platform: Data,
    account: web::Path<String>,
    wanted: web::Json<NewFollower>,
) -> HttpResponse {
    let NewFollower { openid, name, follow } = wanted.into_inner();
    let openid = openid.unwrap_or_else(|| platform.new_openid());
    let name = name.filter(|name| (1..=NAME_CHARS_MAX).contains(&name.chars().count()));
    let at = platform.true_now();
    let account = {
        let mut state = platform.state();
        let Some(account) = state.account_index(&account) else { return no_account() };
        if let Err(reason) = state.add_follower(account, &openid, name.as_deref()) {
            return refused(StatusCode::CONFLICT, reason);
        }
        let id = state.accounts[account].settings.id.clone();
        state.recording.follower(at, &id, &openid, name.as_deref());
        account
    };
    let platform = platform.into_inner();
    if follow {
        let _ = platform.act(account, &openid, &json!({ "action": "follow" }));
    }
    let now = platform.now();
    let mut state = platform.state();
    match state.follower(account, &openid) {
        Some(follower) => HttpResponse::Created().json(follower.view(now)),
        None => no_follower(),
    }
}

async fn follower(platform: Data, path: web::Path<(String, String)>) -> HttpResponse {
    let Some(account) = find(&platform, &path.0, &path.1) else { return no_follower() };
    let now = platform.now();
    match platform.state().follower(account, &path.1) {
        Some(follower) => HttpResponse::Ok().json(follower.view(now)),
        None => no_follower(),
    }
}

async fn act(platform: Data, path: web::Path<(String, String)>, action: web::Json<Value>) -> HttpResponse {
    let Some(account) = find(&platform, &path.0, &path.1) else { return no_follower() };
    match platform.into_inner().act(account, &path.1, &action) {
        Ok(done) => HttpResponse::Ok().json(done),
        Err(refusal) => {
            let status = match refusal {
                Refusal::Unknown(_) => StatusCode::NOT_FOUND,
                Refusal::State(_) => StatusCode::CONFLICT,
                Refusal::Value(_) | Refusal::Malformed(_) => StatusCode::BAD_REQUEST,
                Refusal::Busy => StatusCode::TOO_MANY_REQUESTS,
            };
            refused(status, refusal.words())
        }
    }
}

#[derive(Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
    #[serde(default)]
    wait_ms: u64,
}

/// Entries added or changed after a number; with `wait_ms` it waits for the first one.
async fn timeline(
    platform: Data,
    path: web::Path<(String, String)>,
    query: web::Query<After>,
) -> HttpResponse {
    let Some(account) = find(&platform, &path.0, &path.1) else { return no_follower() };
    let Some(mut changed) = watch_follower(&platform, account, &path.1) else { return no_follower() };
    let entries = || {
        let mut state = platform.state();
        state
            .follower(account, &path.1)
            .map(|follower| follower.timeline.after(query.after))
            .unwrap_or_default()
    };
    let mut found = entries();
    let wait = Duration::from_millis(query.wait_ms.min(WAIT_MS_MAX));
    let until_changed = async {
        while found.is_empty() && changed.changed().await.is_ok() {
            found = entries();
        }
    };
    let _ = timeout(wait, until_changed).await;
    HttpResponse::Ok().json(found)
}

fn watch_follower(platform: &Platform, account: usize, openid: &str) -> Option<watch::Receiver<u64>> {
    let mut state = platform.state();
    state.follower(account, openid).map(|follower| follower.changed.subscribe())
}

/// Server-sent events: every change of the chat, the follower and the menu. Resumes by
/// `Last-Event-ID` or `after`.
async fn events(
    request: HttpRequest,
    platform: Data,
    path: web::Path<(String, String)>,
    query: web::Query<After>,
) -> HttpResponse {
    let Some(account) = find(&platform, &path.0, &path.1) else { return no_follower() };
    let Some(changed) = watch_follower(&platform, account, &path.1) else { return no_follower() };
    let last = request.headers().get("last-event-id").and_then(|value| value.to_str().ok());
    let after = last.and_then(|last| last.parse().ok()).unwrap_or(query.after);
    let closing = platform.closing.subscribe();
    let stream =
        Watching { platform, account, openid: path.into_inner().1, after, changed, closing, first: true };
    HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("cache-control", "no-store"))
        .streaming(stream.into_stream())
}

struct Watching {
    platform: Data,
    account: usize,
    openid: String,
    after: u64,
    changed: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    first: bool,
}

impl Watching {
    fn into_stream(self) -> impl Stream<Item = Result<web::Bytes, std::io::Error>> {
        futures::stream::unfold(self, |mut watching| async move {
            let chunk = watching.next().await?;
            Some((Ok(web::Bytes::from(chunk)), watching))
        })
    }

    async fn next(&mut self) -> Option<String> {
        if !std::mem::take(&mut self.first) {
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                _ = self.closing.wait_for(|closing| *closing) => return None,
                () = sleep(HEARTBEAT) => return Some(": still here\n\n".to_owned()),
            }
        }
        self.changed.borrow_and_update();
        let now = self.platform.now();
        let mut state = self.platform.state();
        let account = &state.accounts[self.account];
        let menu = account.followers.get(&self.openid).and_then(|follower| account.menu.of(follower));
        let menu = menu.map(|(buttons, _)| buttons.clone());
        let follower = state.follower(self.account, &self.openid)?;
        let entries = follower.timeline.after(self.after);
        let view = follower.view(now);
        self.after = entries.iter().map(|entry| entry.seq).max().unwrap_or(self.after);
        let update = json!({ "entries": entries, "follower": view, "menu": menu });
        Some(format!("id: {}\nevent: update\ndata: {update}\n\n", self.after))
    }
}

async fn calls(platform: Data, query: web::Query<After>) -> HttpResponse {
    HttpResponse::Ok().json(platform.state().calls.after(query.after))
}

async fn faults(platform: Data) -> HttpResponse {
    HttpResponse::Ok().json(platform.state().faults.of_api())
}

async fn push_faults(platform: Data) -> HttpResponse {
    HttpResponse::Ok().json(platform.state().faults.of_pushes())
}

/// Turns a knob; answers with this status and an empty object, or says why not.
fn turned(platform: &Platform, control: Control, done: StatusCode) -> HttpResponse {
    match control.apply(platform) {
        Ok(()) if done == StatusCode::NO_CONTENT => HttpResponse::NoContent().finish(),
        Ok(()) => HttpResponse::build(done).json(json!({})),
        Err(reason) => refused(StatusCode::BAD_REQUEST, reason),
    }
}

async fn add_fault(platform: Data, fault: web::Json<ApiFault>) -> HttpResponse {
    turned(&platform, Control::ApiFault(fault.into_inner()), StatusCode::CREATED)
}

async fn clear_faults(platform: Data) -> HttpResponse {
    turned(&platform, Control::ClearApiFaults, StatusCode::NO_CONTENT)
}

async fn add_push_fault(platform: Data, fault: web::Json<PushFault>) -> HttpResponse {
    turned(&platform, Control::PushFault(fault.into_inner()), StatusCode::CREATED)
}

async fn clear_push_faults(platform: Data) -> HttpResponse {
    turned(&platform, Control::ClearPushFaults, StatusCode::NO_CONTENT)
}

async fn set_receipts(platform: Data, wanted: web::Json<Receipts>) -> HttpResponse {
    turned(&platform, Control::Receipts(wanted.into_inner()), StatusCode::OK)
}

async fn clear_receipts(platform: Data) -> HttpResponse {
    turned(&platform, Control::ClearReceipts, StatusCode::NO_CONTENT)
}

async fn set_quota(platform: Data, wanted: web::Json<Quota>) -> HttpResponse {
    turned(&platform, Control::Quota(wanted.into_inner()), StatusCode::OK)
}

async fn set_rights(platform: Data, wanted: web::Json<Rights>) -> HttpResponse {
    turned(&platform, Control::Rights(wanted.into_inner()), StatusCode::OK)
}

async fn set_agent(platform: Data, wanted: web::Json<AgentState>) -> HttpResponse {
    turned(&platform, Control::Agent(wanted.into_inner()), StatusCode::OK)
}

async fn expire_tokens(platform: Data, wanted: Option<web::Json<ForAccount>>) -> HttpResponse {
    let wanted = wanted.map(web::Json::into_inner).unwrap_or_default();
    turned(&platform, Control::ExpireTokens(wanted), StatusCode::OK)
}

/// The session so far, one JSON object a line.
async fn recording(platform: Data) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/jsonl; charset=utf-8")
        .insert_header(("content-disposition", "attachment; filename=\"session.jsonl\""))
        .body(platform.state().recording.text().to_owned())
}

async fn clock(platform: Data) -> HttpResponse {
    HttpResponse::Ok().json(clock_view(&platform))
}

fn clock_view(platform: &Platform) -> Value {
    let offset_seconds = platform.offset_ms() / 1000;
    json!({ "now_ms": platform.now(), "true_now_ms": platform.true_now(), "offset_seconds": offset_seconds })
}

async fn move_clock(platform: Data, wanted: web::Json<Move>) -> HttpResponse {
    match Control::MoveClock(wanted.into_inner()).apply(&platform) {
        Ok(()) => HttpResponse::Ok().json(clock_view(&platform)),
        Err(reason) => refused(StatusCode::BAD_REQUEST, reason),
    }
}

async fn reset_clock(platform: Data) -> HttpResponse {
    turned(&platform, Control::ResetClock, StatusCode::NO_CONTENT)
}
