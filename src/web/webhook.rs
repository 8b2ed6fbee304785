//! `GET|POST /wechat/{account id}`: what WeChat calls (WeChat docs, 消息与事件推送介绍, 被动回复用户消息).
//!
//! Forged or stale: 401; malformed: 400; too large: 413; unknown account: 404. A refusal stores nothing, logs
//! nothing of the body, and is never a 5xx: WeChat shows customers a fault notice for those.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use futures::StreamExt as _;

use crate::clock::Clock;
use crate::config::{Account, Config};
use crate::domain::time::UnixMs;
use crate::inbound::{Answer, Inbound};
use crate::store::Store;
use crate::telemetry::Stage;
use crate::wechat::deliveries::{AccountReport, Deliveries, ServerReport};
use crate::wechat::push::{BODY_BYTES_MAX, Mismatch, NotAWebhook, Query, Received, Webhook};
use crate::wechat::reply::{self, Reply};
use crate::wechat::text::Text;

/// What customers read when the house cannot work now.
const BUSY: &str = "系统正忙，请稍候；如果过一会儿还没有收到回复，请再发一次。";
/// A body that has not come whole within this time is given up.
const BODY_WITHIN: Duration = Duration::from_secs(4);
/// Longest accepted query string.
const QUERY_BYTES_MAX: usize = 4_096;

/// The webhooks of all accounts.
pub struct Webhooks {
    by_account: HashMap<String, Entry>,
    inbound: Arc<Inbound>,
    store: Store,
    clock: Arc<dyn Clock>,
}

struct Entry {
    account: Arc<Account>,
    webhook: Webhook,
    deliveries: Mutex<Deliveries>,
}

impl Entry {
    /// Notes what became of a call, and why it was refused: an operator must learn what WeChat does not tell him.
    fn note(&self, query: &Query, mismatch: Option<Mismatch>, now: UnixMs) {
        if let Some(mismatch) = &mismatch {
            let account = self.account.id.as_str().to_owned();
            metrics::counter!("weikefu_webhook_mismatch_total", "account" => account, "fault" => mismatch.label())
                .increment(1);
        }
        let nonce = query.nonce.as_deref().unwrap_or_default();
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner).note(nonce, mismatch, now);
    }
}

impl Webhooks {
    /// The webhooks that the configuration describes.
    ///
    /// # Errors
    /// When a key does not decode.
    pub fn new(
        config: &Config,
        inbound: Arc<Inbound>,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, NotAWebhook> {
        let mut by_account = HashMap::new();
        for account in &config.accounts {
            let webhook = Webhook::new(account)?;
            let entry = Entry { account: Arc::new(account.clone()), webhook, deliveries: Mutex::default() };
            by_account.insert(account.id.as_str().to_owned(), entry);
        }
        Ok(Self { by_account, inbound, store, clock })
    }
}

/// Adds the routes.
pub fn configure(routes: &mut web::ServiceConfig) {
    routes.service(
        web::resource("/wechat/{account}").route(web::get().to(verify)).route(web::post().to(receive)),
    );
}

/// Adds `/deliveries`, for the listener that no stranger reaches: what came from WeChat, and why it was refused.
pub fn configure_deliveries(routes: &mut web::ServiceConfig) {
    routes.route("/deliveries", web::get().to(deliveries));
}

async fn deliveries(webhooks: web::Data<Webhooks>) -> HttpResponse {
    let report = |entry: &Entry| AccountReport {
        account: entry.account.id.as_str().to_owned(),
        app_id: entry.account.app_id.clone(),
        original_id: entry.account.original_id.clone(),
        encryption: entry.account.encryption,
        deliveries: entry.deliveries.lock().unwrap_or_else(PoisonError::into_inner).clone(),
    };
    let mut accounts: Vec<_> = webhooks.by_account.values().map(report).collect();
    accounts.sort_by(|a, b| a.account.cmp(&b.account));
    HttpResponse::Ok().json(ServerReport { now: webhooks.clock.now(), accounts })
}

async fn verify(
    webhooks: web::Data<Webhooks>,
    account: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    let Some(entry) = webhooks.by_account.get(account.as_str()) else {
        return refuse(404, "unknown_account");
    };
    let query = request.query_string();
    if query.len() > QUERY_BYTES_MAX {
        return refuse(400, "query");
    }
    let query = Query::parse(query);
    match entry.webhook.verify_url(&query) {
        Ok(echo) => {
            entry.note(&query, None, webhooks.clock.now());
            HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(echo)
        }
        Err(refusal) => {
            if let Some(mismatch) = entry.webhook.mismatch_of_verification(&query) {
                entry.note(&query, Some(mismatch), webhooks.clock.now());
            }
            refuse(refusal.status(), refusal.reason)
        }
    }
}

async fn receive(
    webhooks: web::Data<Webhooks>,
    account: web::Path<String>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let Some(entry) = webhooks.by_account.get(account.as_str()) else {
        return refuse(404, "unknown_account");
    };
    let body = match tokio::time::timeout(BODY_WITHIN, read(payload)).await {
        Ok(Ok(body)) => body,
        Ok(Err((status, reason))) => return refuse(status, reason),
        Err(_) => return refuse(400, "body"),
    };
    if request.query_string().len() > QUERY_BYTES_MAX {
        return refuse(400, "query");
    }
    let query = Query::parse(request.query_string());
    let now = webhooks.clock.now();
    let began = Instant::now();
    let received = match entry.webhook.receive(&query, &body, now) {
        Ok(received) => received,
        Err(refusal) => {
            if let Some(mismatch) = entry.webhook.mismatch(&query, &body, now) {
                entry.note(&query, Some(mismatch), now);
            }
            return refuse(refusal.status(), refusal.reason);
        }
    };
    Stage::Open.took(began.elapsed());
    drop(body);
    entry.note(&query, None, now);
    let Received { push, reply_mode } = received;
    if push.is_trial() {
        return success();
    }
    let follower = push.from.clone();
    let key = push.key.clone();
    let (reply, at) = match webhooks.inbound.receive(&entry.account, push).await {
        Answer::Nothing => return success(),
        Answer::Reply { reply, at } => (reply, at),
        Answer::Busy => match Text::new(BUSY) {
            Ok(text) => (Reply::Text(text), webhooks.clock.now()),
            Err(_) => return success(),
        },
    };
    if reply == Reply::Nothing {
        return success();
    }
    let xml = reply::encode(&reply, &follower, &entry.account.original_id, at);
    let (random, nonce) = webhooks.reply_randomness(&entry.account, key.as_str(), at);
    let sealed = entry.webhook.seal_reply(&xml, reply_mode, random, at, &nonce);
    HttpResponse::Ok().content_type("text/xml; charset=utf-8").body(sealed)
}

impl Webhooks {
    /// The random bytes of an envelope, drawn by a keyed hash from what it answers: unpredictable outside, and
    /// the same for each delivery of one push, so that all of them get the same bytes.
    fn reply_randomness(&self, account: &Account, key: &str, at: UnixMs) -> ([u8; 16], String) {
        let moment = at.0.to_be_bytes();
        let hash = self
            .store
            .vault()
            .keyed_hash("reply envelope", &[account.app_id.as_bytes(), key.as_bytes(), &moment]);
        let mut random = [0_u8; 16];
        random.copy_from_slice(&hash[..16]);
        let mut number = [0_u8; 8];
        number.copy_from_slice(&hash[16..24]);
        (random, (u64::from_be_bytes(number) % 10_000_000_000).to_string())
    }
}

/// Reads the body up to its bound.
async fn read(mut payload: web::Payload) -> Result<Vec<u8>, (u16, &'static str)> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| (400, "body"))?;
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err((413, "too_large"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn success() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(reply::SUCCESS)
}

fn refuse(status: u16, reason: &'static str) -> HttpResponse {
    metrics::counter!("weikefu_webhook_refused_total", "reason" => reason).increment(1);
    tracing::info!(status, reason, "a webhook call is refused");
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut answer = HttpResponse::build(status);
    if status == StatusCode::PAYLOAD_TOO_LARGE {
        // The rest of the body stays unread.
        answer.insert_header((header::CONNECTION, "close"));
    }
    answer.content_type("text/plain; charset=utf-8").body(reason)
}
