//! The documented API: how a call is read, refused and answered, and which faults are played.

pub(crate) mod agents;
pub(crate) mod callback;
pub(crate) mod custom;
pub(crate) mod diagnose;
pub(crate) mod log;
pub(crate) mod mass;
pub(crate) mod material;
pub(crate) mod media;
pub(crate) mod menu;
pub(crate) mod one_time;
pub(crate) mod people;
pub(crate) mod qrcode;
pub(crate) mod quota;
pub(crate) mod sessions;
pub(crate) mod shorten;
pub(crate) mod speech;
pub(crate) mod subscribe;
pub(crate) mod table;
pub(crate) mod tags;
pub(crate) mod template;
pub(crate) mod template_limits;
pub(crate) mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::faults::{ApiFault, Breakage};
use super::oauth;
use super::platform::Platform;

const BODY_BYTES_MAX: usize = 512 * 1024;
const UPLOAD_BYTES_MAX: usize = 11 * 1024 * 1024;
/// How long an answer is held back for a receipt that is to come first.
const HELD_MAX: Duration = Duration::from_secs(20);
/// What a proxy says that is no platform.
const GARBAGE: &str = "<html><head><title>504 Gateway Time-out</title></head><body>nginx</body></html>";

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
    /// JSON that leaves only after something else has happened.
    Held { body: Value, until: oneshot::Receiver<()> },
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

    /// 40003
    pub(crate) fn openid() -> Self {
        Self::new(40003, "invalid openid")
    }

    /// 40007
    pub(crate) fn media() -> Self {
        Self::new(40007, "invalid media_id")
    }
}

impl Call {
    /// The body as JSON of exactly this shape, or 47001 with what does not fit: a member that the document does not
    /// know is a fault of the caller, and is told.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refused> {
        if self.method != "POST" {
            return Err(Refused::new(43002, "require POST method"));
        }
        if self.body.is_empty() {
            return Err(Refused::new(44002, "empty post data"));
        }
        serde_json::from_slice(&self.body)
            .map_err(|error| Refused::new(47001, format!("data format error hint: [{error}]")))
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

/// Registers the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    for prefix in ["cgi-bin", "sns", "customservice", "wxa", "wxaapi", "cv"] {
        config.route(&format!("/{prefix}/{{rest:.*}}"), web::to(receive));
    }
}

async fn receive(request: HttpRequest, payload: web::Payload, platform: web::Data<Platform>) -> HttpResponse {
    let begun = tokio::time::Instant::now();
    let platform = platform.into_inner();
    let path = request.path().to_owned();
    let body_bytes_max = if table::takes_file(&path) { UPLOAD_BYTES_MAX } else { BODY_BYTES_MAX };
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
    let fault = platform.state().faults.take_for_api(&call.path);
    if let Some(fault) = &fault {
        sleep(Duration::from_millis(fault.delay_ms)).await;
    }
    let (status, answered) = match &fault {
        Some(ApiFault { http_status: Some(status), .. }) => {
            (StatusCode::from_u16(*status).unwrap_or(StatusCode::OK), Ok(Answer::Json(Value::Null)))
        }
        Some(ApiFault { errcode: Some(code), .. }) => {
            (StatusCode::OK, Err(Refused::new(*code, "fault set in the simulator")))
        }
        _ => (StatusCode::OK, answer(&platform, &call)),
    };
    let (answer, rid) = match answered {
        Ok(answer) => (answer, None),
        Err(refused) => {
            let rid = new_rid(&platform);
            let message = format!("{} rid: {rid}", refused.message);
            (Answer::Json(json!({ "errcode": refused.code, "errmsg": message })), Some(rid))
        }
    };
    let ended = log::Ended { status, answer: &answer, is_fault: fault.is_some(), took: begun.elapsed(), rid };
    log::remember(&platform, &call, &ended);
    let answer = match answer {
        Answer::Held { body, until } => {
            // Whether it came or can no longer come: the answer leaves.
            let _ = tokio::time::timeout(HELD_MAX, until).await;
            Answer::Json(body)
        }
        ready => ready,
    };
    if let Some(fault) = &fault {
        sleep(Duration::from_millis(fault.answer_delay_ms)).await;
    }
    match fault {
        Some(fault) if fault.lose_answer => cut_off(Bytes::new()),
        Some(ApiFault { breakage: Some(breakage), .. }) => broken(breakage, answer),
        _ => respond(status, answer),
    }
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
    table::carry_out(platform, account, call)
}

/// What every successful call without a result of its own answers.
pub(crate) fn ok() -> Answered {
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok" })))
}

/// `xxxxxxxx-xxxxxxxx-xxxxxxxx`
fn new_rid(platform: &Platform) -> String {
    let bytes = platform.random::<12>();
    bytes.chunks(4).map(hex::encode).collect::<Vec<_>>().join("-")
}

fn respond(status: StatusCode, answer: Answer) -> HttpResponse {
    match answer {
        Answer::Json(Value::Null) => HttpResponse::build(status).finish(),
        // The platform itself says text/plain as often as not.
        Answer::Json(body) | Answer::Held { body, .. } => HttpResponse::build(status)
            .content_type("application/json; encoding=utf-8")
            .body(body.to_string()),
        Answer::File { content_type, name, bytes } => HttpResponse::build(status)
            .content_type(content_type)
            .insert_header(("content-disposition", format!("attachment; filename=\"{name}\"")))
            .body(bytes),
    }
}

fn broken(breakage: Breakage, answer: Answer) -> HttpResponse {
    let body = match answer {
        Answer::Json(body) | Answer::Held { body, .. } => Bytes::from(body.to_string()),
        Answer::File { bytes, .. } => bytes,
    };
    match breakage {
        Breakage::Half => cut_off(body.slice(..body.len() / 2)),
        Breakage::Empty => HttpResponse::Ok().finish(),
        Breakage::Garbage => HttpResponse::Ok().content_type("text/html").body(GARBAGE),
    }
}

/// A connection that breaks before the answer is whole.
fn cut_off(part: Bytes) -> HttpResponse {
    let broken = Err::<Bytes, _>(std::io::Error::other("answer lost"));
    HttpResponse::Ok().streaming(futures::stream::iter([Ok(part), broken]))
}
