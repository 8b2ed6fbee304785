//! The documented API: who may call, what is counted, which faults are played, what is written down.

pub(crate) mod callback;
pub(crate) mod custom;
pub(crate) mod media;
pub(crate) mod menu;
pub(crate) mod people;
pub(crate) mod qrcode;
pub(crate) mod quota;
pub(crate) mod template;
pub(crate) mod template_limits;
pub(crate) mod token;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::oauth;
use super::platform::{Platform, push_bounded};
use crate::domain::time::UnixMs;

/// Calls that are remembered.
const CALLS_MAX: usize = 10_000;
/// Faults that may be set at once.
const FAULTS_MAX: usize = 100;
const BODY_BYTES_MAX: usize = 512 * 1024;
const UPLOAD_BYTES_MAX: usize = 11 * 1024 * 1024;
/// What is kept of a body in the log.
const LOGGED_CHARS_MAX: usize = 16 * 1024;
const DELAY_MS_MAX: u64 = 120_000;

/// A call as it came in.
pub(crate) struct Call {
    /// `GET` or `POST`.
    pub(crate) method: String,
    /// Path without query.
    pub(crate) path: String,
    /// Query parameters.
    pub(crate) query: HashMap<String, String>,
    /// `Content-Type`.
    pub(crate) content_type: String,
    /// Body.
    pub(crate) body: Bytes,
    /// From which address it came.
    pub(crate) caller: Option<IpAddr>,
}

/// What an API answers.
pub(crate) enum Answer {
    /// JSON, as nearly always.
    Json(Value),
    /// A file.
    File { content_type: String, name: String, bytes: Bytes },
}

/// An error of the platform: HTTP 200 with a code.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// `errcode`
    pub(crate) code: i64,
    /// `errmsg` without its `rid`.
    pub(crate) message: String,
}

/// A result of an API.
pub(crate) type Answered = Result<Answer, Refused>;

impl Refused {
    pub(crate) fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl Call {
    /// The body as JSON, or 47001.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refused> {
        if self.method != "POST" {
            return Err(Refused::new(43002, "require POST method"));
        }
        serde_json::from_slice(&self.body).map_err(|_| Refused::new(47001, "data format error"))
    }

    /// Refuses anything but GET.
    pub(crate) fn require_get(&self) -> Result<(), Refused> {
        if self.method == "GET" { Ok(()) } else { Err(Refused::new(43001, "require GET method")) }
    }

    /// A query parameter; empty when it is missing.
    pub(crate) fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

/// A call as it is remembered.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Logged {
    seq: u64,
    at: UnixMs,
    account: Option<String>,
    method: String,
    path: String,
    query: Vec<(String, String)>,
    body: String,
    status: u16,
    response: Value,
    duration_ms: u64,
    fault: bool,
}

/// The newest calls.
#[derive(Default)]
pub(crate) struct CallLog(VecDeque<Logged>);

impl CallLog {
    /// Calls after a number, oldest first.
    pub(crate) fn after(&self, seq: u64) -> Vec<Logged> {
        self.0.iter().filter(|call| call.seq > seq).cloned().collect()
    }
}

/// A fault that the panel asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Path of the API, or `*`.
    api: String,
    /// Answers this instead of doing anything.
    errcode: Option<i64>,
    /// How often; without it, until it is cleared.
    times: Option<u32>,
    /// Waits before anything.
    #[serde(default)]
    delay_ms: u64,
    /// Does what was asked, but breaks the connection instead of answering.
    #[serde(default)]
    lose_answer: bool,
    /// Answers this HTTP status instead of doing anything.
    http_status: Option<u16>,
}

/// The faults in force, newest last.
#[derive(Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    /// Adds one; `false` when there are too many or it makes no sense.
    pub(crate) fn add(&mut self, fault: Fault) -> bool {
        let status = fault.http_status.is_none_or(|status| (200..600).contains(&status));
        let fits = self.0.len() < FAULTS_MAX && status && fault.delay_ms <= DELAY_MS_MAX;
        if fits {
            self.0.push(fault);
        }
        fits
    }

    /// Clears all.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// All in force.
    pub(crate) fn list(&self) -> &[Fault] {
        &self.0
    }

    fn take(&mut self, path: &str) -> Option<Fault> {
        let matches = |fault: &Fault| fault.api == "*" || fault.api == path;
        let at = self.0.iter().position(matches)?;
        let fault = self.0.get_mut(at)?;
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                return Some(self.0.remove(at));
            }
        }
        Some(fault.clone())
    }
}

/// Registers the routes. What the platform has but the simulator has not is answered like an unknown address.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    for prefix in ["cgi-bin", "sns", "customservice", "wxa", "wxaapi", "cv"] {
        config.route(&format!("/{prefix}/{{rest:.*}}"), web::to(receive));
    }
}

async fn receive(request: HttpRequest, payload: web::Payload, platform: web::Data<Platform>) -> HttpResponse {
    let begun = tokio::time::Instant::now();
    let platform = platform.into_inner();
    let path = request.path().to_owned();
    let body_bytes_max = if path == media::UPLOAD { UPLOAD_BYTES_MAX } else { BODY_BYTES_MAX };
    let Ok(Ok(body)) = payload.to_bytes_limited(body_bytes_max).await else {
        return HttpResponse::PayloadTooLarge().finish();
    };
    let query = request.query_string();
    let content_type = request.headers().get("content-type").and_then(|value| value.to_str().ok());
    let call = Call {
        method: request.method().as_str().to_owned(),
        path,
        query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        content_type: content_type.unwrap_or_default().to_owned(),
        body,
        caller: request.peer_addr().map(|address| address.ip()),
    };
    let fault = platform.state().faults.take(&call.path);
    if let Some(fault) = &fault {
        tokio::time::sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let status = fault.as_ref().and_then(|fault| fault.http_status);
    let status = status.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    let answered = match &fault {
        Some(Fault { http_status: Some(_), .. }) => Ok(Answer::Json(Value::Null)),
        Some(Fault { errcode: Some(code), .. }) => Err(Refused::new(*code, "fault set in the simulator")),
        _ => answer(&platform, &call),
    };
    let answer = answered.unwrap_or_else(|refused| Answer::Json(error_body(&platform, &refused)));
    log(&platform, &call, status, &answer, fault.is_some(), begun.elapsed());
    if fault.is_some_and(|fault| fault.lose_answer) {
        return lost();
    }
    respond(status, answer)
}

fn answer(platform: &Arc<Platform>, call: &Call) -> Answered {
    match call.path.as_str() {
        "/cgi-bin/stable_token" => return token::stable(platform, call),
        "/cgi-bin/token" => return token::classic(platform, call),
        "/cgi-bin/clear_quota/v2" => return quota::clear_by_secret(platform, call),
        path if path.starts_with("/sns/") => return oauth::answer(platform, call),
        _ => {}
    }
    let account = token::account_of(platform, call.query("access_token"))?;
    if !quota::is_known(&call.path) {
        return Err(Refused::new(40066, "invalid url"));
    }
    quota::count(platform, account, &call.path)?;
    match call.path.as_str() {
        "/cgi-bin/message/custom/send" => custom::send(platform, account, call),
        "/cgi-bin/message/custom/typing" => custom::typing(platform, account, call),
        "/cgi-bin/message/template/send" => template::send(platform, account, call),
        "/cgi-bin/template/get_all_private_template" => template::list(platform, account, call),
        "/cgi-bin/menu/create" => menu::create(platform, account, call),
        "/cgi-bin/menu/get" => menu::get(platform, account, call),
        "/cgi-bin/menu/delete" => menu::delete(platform, account, call),
        "/cgi-bin/get_current_selfmenu_info" => menu::current(platform, account, call),
        "/cgi-bin/user/info" => people::info(platform, account, call),
        "/cgi-bin/user/info/batchget" => people::info_of_many(platform, account, call),
        "/cgi-bin/user/get" => people::list(platform, account, call),
        "/cgi-bin/qrcode/create" => qrcode::create(platform, account, call),
        media::UPLOAD => media::upload(platform, account, call),
        "/cgi-bin/media/get" => media::get(platform, account, call),
        "/cgi-bin/ticket/getticket" => token::ticket(platform, account, call),
        "/cgi-bin/getcallbackip" | "/cgi-bin/get_api_domain_ip" => {
            call.require_get()?;
            Ok(Answer::Json(json!({ "ip_list": ["127.0.0.1"] })))
        }
        "/cgi-bin/callback/check" => callback::check(platform, account, call),
        "/cgi-bin/openapi/quota/get" => quota::get(platform, account, call),
        "/cgi-bin/clear_quota" => quota::clear(platform, account, call),
        _ => Err(Refused::new(40066, "invalid url")),
    }
}

/// What every successful call without a result of its own answers.
pub(crate) fn ok() -> Answered {
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok" })))
}

fn error_body(platform: &Platform, refused: &Refused) -> Value {
    let rid = hex::encode(platform.random::<12>());
    let rid: Vec<String> =
        rid.as_bytes().chunks(8).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    json!({ "errcode": refused.code, "errmsg": format!("{} rid: {}", refused.message, rid.join("-")) })
}

fn respond(status: StatusCode, answer: Answer) -> HttpResponse {
    match answer {
        Answer::Json(Value::Null) => HttpResponse::build(status).finish(),
        // The platform itself says text/plain as often as not.
        Answer::Json(body) => HttpResponse::build(status)
            .content_type("application/json; encoding=utf-8")
            .body(body.to_string()),
        Answer::File { content_type, name, bytes } => HttpResponse::build(status)
            .content_type(content_type)
            .insert_header(("content-disposition", format!("attachment; filename=\"{name}\"")))
            .body(bytes),
    }
}

/// A connection that breaks before the answer is whole.
fn lost() -> HttpResponse {
    let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("answer lost")) });
    HttpResponse::Ok().streaming(broken)
}

fn log(platform: &Platform, call: &Call, status: StatusCode, answer: &Answer, fault: bool, took: Duration) {
    let response = match answer {
        Answer::Json(body) => masked(body.clone()),
        Answer::File { name, bytes, .. } => json!({ "file": name, "bytes": bytes.len() }),
    };
    let text = |name: &str, value: &str| if is_secret(name) { MASK.to_owned() } else { value.to_owned() };
    let mut query: Vec<(String, String)> =
        call.query.iter().map(|(name, value)| (name.clone(), text(name, value))).collect();
    query.sort();
    let holds_secret = call.path.contains("token") || call.path.contains("quota/v2");
    let body = match std::str::from_utf8(&call.body) {
        Ok(_) if call.path == media::UPLOAD => String::new(),
        Ok(body) if holds_secret => serde_json::from_str(body).map(masked).unwrap_or_default().to_string(),
        Ok(body) => body.chars().take(LOGGED_CHARS_MAX).collect(),
        Err(_) => String::new(),
    };
    let at = platform.true_now();
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
        body,
        status: status.as_u16(),
        response,
        duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        fault,
    };
    push_bounded(&mut state.calls.0, entry, CALLS_MAX);
}

const MASK: &str = "•••";

fn is_secret(name: &str) -> bool {
    matches!(name, "access_token" | "refresh_token" | "ticket" | "secret" | "appsecret" | "code")
}

/// The log is for reading over a shoulder: it holds nothing that opens anything.
fn masked(mut body: Value) -> Value {
    for (name, value) in body.as_object_mut().into_iter().flatten() {
        if is_secret(name) && value.is_string() {
            *value = MASK.into();
        }
    }
    body
}
