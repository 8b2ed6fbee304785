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

use super::actions::{Action, Refusal};
use super::api::Fault;
use super::platform::Platform;

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
            .route("/receipts", web::post().to(set_receipts))
            .route("/receipts", web::delete().to(clear_receipts))
            .route("/quotas", web::post().to(set_quota))
            .route("/tokens/expire", web::post().to(expire_tokens))
            .route("/clock", web::get().to(clock))
            .route("/clock", web::post().to(advance_clock)),
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
            "menu": account.menu.buttons(),
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
    let account = {
        let mut state = platform.state();
        let Some(account) = state.account_index(&account) else { return no_account() };
        if let Err(reason) = state.add_follower(account, &openid, name.as_deref()) {
            return refused(StatusCode::CONFLICT, reason);
        }
        account
    };
    let platform = platform.into_inner();
    if follow {
        let _ = platform.act(account, &openid, Action::Follow { ticket: None });
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

async fn act(platform: Data, path: web::Path<(String, String)>, action: web::Json<Action>) -> HttpResponse {
    let Some(account) = find(&platform, &path.0, &path.1) else { return no_follower() };
    match platform.into_inner().act(account, &path.1, action.into_inner()) {
        Ok(done) => HttpResponse::Ok().json(done),
        Err(Refusal::Unknown(reason)) => refused(StatusCode::NOT_FOUND, reason),
        Err(Refusal::State(reason)) => refused(StatusCode::CONFLICT, reason),
        Err(Refusal::Value(reason)) => refused(StatusCode::BAD_REQUEST, reason),
        Err(Refusal::Busy) => refused(StatusCode::TOO_MANY_REQUESTS, "投递中的推送过多，请稍后再试"),
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
        let menu = state.accounts[self.account].menu.buttons().cloned();
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
    HttpResponse::Ok().json(platform.state().faults.list())
}

async fn add_fault(platform: Data, fault: web::Json<Fault>) -> HttpResponse {
    if platform.state().faults.add(fault.into_inner()) {
        HttpResponse::Created().json(json!({}))
    } else {
        refused(StatusCode::BAD_REQUEST, "故障过多，或 http_status、delay_ms 超出范围")
    }
}

async fn clear_faults(platform: Data) -> HttpResponse {
    platform.state().faults.clear();
    HttpResponse::NoContent().finish()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Receipts {
    delay_ms: Option<u64>,
    status: Option<String>,
    times: Option<u32>,
}

async fn set_receipts(platform: Data, wanted: web::Json<Receipts>) -> HttpResponse {
    let mut state = platform.state();
    if let Some(delay_ms) = wanted.delay_ms {
        state.receipts.delay_ms = delay_ms;
    }
    state.receipts.status.clone_from(&wanted.status);
    state.receipts.times = wanted.times;
    HttpResponse::Ok().json(json!({}))
}

async fn clear_receipts(platform: Data) -> HttpResponse {
    let usual = super::push::ReceiptRule::new(platform.settings.receipt_delay_ms);
    platform.state().receipts = usual;
    HttpResponse::NoContent().finish()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct QuotaLimit {
    account: Option<String>,
    cgi_path: String,
    daily_limit: u64,
}

async fn set_quota(platform: Data, wanted: web::Json<QuotaLimit>) -> HttpResponse {
    let mut state = platform.state();
    let mut known = false;
    for account in &mut state.accounts {
        if wanted.account.as_ref().is_none_or(|id| *id == account.settings.id) {
            known |= account.quotas.set_limit(&wanted.cgi_path, wanted.daily_limit);
        }
    }
    if known {
        HttpResponse::Ok().json(json!({}))
    } else {
        refused(StatusCode::NOT_FOUND, "没有这个公众号或接口")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForAccount {
    account: Option<String>,
}

async fn expire_tokens(platform: Data, wanted: Option<web::Json<ForAccount>>) -> HttpResponse {
    let wanted = wanted.and_then(|wanted| wanted.into_inner().account);
    let now = platform.now();
    for account in &mut platform.state().accounts {
        if wanted.as_ref().is_none_or(|id| *id == account.settings.id) {
            account.tokens.expire(now);
        }
    }
    HttpResponse::Ok().json(json!({}))
}

async fn clock(platform: Data) -> HttpResponse {
    HttpResponse::Ok().json(clock_view(&platform))
}

fn clock_view(platform: &Platform) -> Value {
    let offset_seconds = platform.offset().as_secs();
    json!({ "now_ms": platform.now(), "true_now_ms": platform.true_now(), "offset_seconds": offset_seconds })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

async fn advance_clock(platform: Data, wanted: web::Json<Advance>) -> HttpResponse {
    platform.advance(Duration::from_secs(wanted.advance_seconds));
    HttpResponse::Ok().json(clock_view(&platform))
}
