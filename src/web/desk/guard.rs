//! Who asks, from where, and what he gets when he may not.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use serde_json::json;
use subtle::ConstantTimeEq as _;

use super::guarded;
use super::words::{self, Language};
use crate::config::Config;
use crate::desk::{DeskError, Objection};
use crate::domain::secret::Secret;
use crate::staff::{Activity, Session, Staff};
use crate::store::StoreError;

/// The cookie with the session's token.
pub(super) const SESSION_COOKIE: &str = "weikefu_staff";
/// The header with the session's token against forged requests.
const CSRF_HEADER: &str = "x-csrf-token";
/// The page says so when a person did something since it last asked.
const ACTIVE_HEADER: &str = "x-active";

/// A refusal, as JSON with a sentence in the reader's language.
#[derive(Debug)]
pub(super) struct DeskFailure {
    status: StatusCode,
    code: &'static str,
    language: Language,
    /// The part of an agent's text that it is about.
    part: Option<String>,
}

impl DeskFailure {
    pub(super) fn new(status: StatusCode, code: &'static str, language: Language) -> Self {
        Self { status, code, language, part: None }
    }

    /// Of an action that the desk refused.
    pub(super) fn of(request: &HttpRequest, error: &DeskError) -> Self {
        if let DeskError::Store(error) = error {
            return broken(request, error);
        }
        let (status, code) = refusal_of(error);
        // Of a text that must not be said the agent learns which part of it.
        let part = match error {
            DeskError::Objected(Objection::Banned(part) | Objection::Contact(part)) => Some(part.clone()),
            _ => None,
        };
        Self { part, ..Self::new(status, code, Language::of(request)) }
    }

    pub(super) fn is_signed_out(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED
    }

    pub(super) fn response(&self) -> HttpResponse {
        let mut message = words::failure(self.language, self.code).to_owned();
        if let Some(part) = &self.part {
            message = message.replace("{}", part);
        }
        guarded(self.status).json(json!({ "error": { "code": self.code, "message": message } }))
    }
}

/// The status and the fixed word of an action that the desk refused.
pub(in crate::web) fn refusal_of(error: &DeskError) -> (StatusCode, &'static str) {
    match error {
        DeskError::NoSuchCase => (StatusCode::NOT_FOUND, "no_such_case"),
        DeskError::Taken => (StatusCode::CONFLICT, "taken"),
        DeskError::NotYours => (StatusCode::CONFLICT, "not_yours"),
        DeskError::Over => (StatusCode::CONFLICT, "over"),
        DeskError::WindowClosed => (StatusCode::CONFLICT, "window_closed"),
        DeskError::WindowSpent => (StatusCode::CONFLICT, "window_spent"),
        DeskError::Empty => (StatusCode::UNPROCESSABLE_ENTITY, "empty"),
        DeskError::TooLong => (StatusCode::UNPROCESSABLE_ENTITY, "too_long"),
        DeskError::Full => (StatusCode::CONFLICT, "full"),
        DeskError::OtherGroup => (StatusCode::CONFLICT, "other_group"),
        DeskError::NotAllowed => (StatusCode::FORBIDDEN, "not_allowed"),
        DeskError::NotThere => (StatusCode::CONFLICT, "not_there"),
        DeskError::WindowOpen => (StatusCode::CONFLICT, "window_open"),
        DeskError::NoRoom => (StatusCode::CONFLICT, "no_room"),
        DeskError::Objected(Objection::Banned(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "banned"),
        DeskError::Objected(Objection::Contact(_)) => (StatusCode::UNPROCESSABLE_ENTITY, "contact"),
        DeskError::Unsendable => (StatusCode::UNPROCESSABLE_ENTITY, "unsendable"),
        DeskError::Wechat => (StatusCode::BAD_GATEWAY, "wechat"),
        DeskError::UnknownChoice => (StatusCode::UNPROCESSABLE_ENTITY, "bad_request"),
        DeskError::Busy | DeskError::Repeated => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        DeskError::Store(_) => (StatusCode::SERVICE_UNAVAILABLE, "broken"),
    }
}

impl std::fmt::Display for DeskFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code)
    }
}

impl ResponseError for DeskFailure {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        self.response()
    }
}

/// The database failed: told to the reader without a word of why, and to the log with it.
pub(super) fn broken(request: &HttpRequest, error: &StoreError) -> DeskFailure {
    tracing::error!(
        %error,
        retry = "when the agent does",
        "the desk could not be answered: agents see a notice of disturbance. See that the database answers"
    );
    DeskFailure::new(StatusCode::SERVICE_UNAVAILABLE, "broken", Language::of(request))
}

/// The session's token, if the browser brings one.
pub(super) fn token(request: &HttpRequest) -> Option<Secret> {
    request.cookie(SESSION_COOKIE).map(|cookie| Secret::new(cookie.value().to_owned()))
}

/// The signed-in person.
pub(super) async fn session(
    request: &HttpRequest,
    staff: &Staff,
    activity: Activity,
) -> Result<Session, DeskFailure> {
    let signed_out = || DeskFailure::new(StatusCode::UNAUTHORIZED, "signed_out", Language::of(request));
    let token = token(request).ok_or_else(signed_out)?;
    let session = staff.session(&token, activity).await.map_err(|error| broken(request, &error))?;
    session.ok_or_else(signed_out)
}

/// The person behind a reading request of the page. It keeps the session alive only if the page says that the
/// person did something.
pub(super) async fn reading(request: &HttpRequest, staff: &Staff) -> Result<Session, DeskFailure> {
    let active = request.headers().contains_key(ACTIVE_HEADER);
    session(request, staff, if active { Activity::Person } else { Activity::Page }).await
}

/// The person behind a changing request: from our own page, with the token of this session.
pub(super) async fn acting(
    request: &HttpRequest,
    staff: &Staff,
    config: &Config,
    field: Option<&Secret>,
) -> Result<Session, DeskFailure> {
    from_our_page(request, config)?;
    let session = session(request, staff, Activity::Person).await?;
    let header = request.headers().get(CSRF_HEADER).map(header::HeaderValue::as_bytes);
    let given = field.map(|field| field.reveal().as_bytes()).or(header).unwrap_or_default();
    if bool::from(given.ct_eq(session.csrf.reveal().as_bytes())) {
        return Ok(session);
    }
    Err(DeskFailure::new(StatusCode::FORBIDDEN, "foreign", Language::of(request)))
}

/// Browsers say where a request comes from, and it must be here: by `Sec-Fetch-Site`, or where a browser or plain
/// HTTP does not send that, by `Origin`. A request that says neither is refused.
pub(super) fn from_our_page(request: &HttpRequest, config: &Config) -> Result<(), DeskFailure> {
    let said =
        |name: header::HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let fits = match (said(header::HeaderName::from_static("sec-fetch-site")), said(header::ORIGIN)) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let ours = config.server.public_url.origin().ascii_serialization();
            let host = said(header::HOST).unwrap_or_default();
            origin == ours || origin == format!("http://{host}") || origin == format!("https://{host}")
        }
        (None, None) => false,
    };
    if fits { Ok(()) } else { Err(DeskFailure::new(StatusCode::FORBIDDEN, "foreign", Language::of(request))) }
}
