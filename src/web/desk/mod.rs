//! The agents' desk in the browser: two pages, JSON that plain ES modules ask for, and a stream of hints.
//!
//! Everything under `/desk` needs a session but the sign-in page and the assets. Everything that changes needs the
//! session's token and must come from our own pages. What customers wrote leaves here as JSON strings and enters
//! the page as text nodes, never as markup.

mod api;
mod guard;
mod json;
mod live;
mod words;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Form, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::{client, door};
use crate::config::Config;
use crate::desk::Desk;
use crate::domain::secret::Secret;
use crate::staff::{Activity, Role, Session, SignInError, Staff};
use guard::{DeskFailure, SESSION_COOKIE};
use words::{Language, Words};

/// Largest form.
const FORM_BYTES_MAX: usize = 4 * 1024;
/// Largest JSON body: an answer of 2048 bytes, escaped at its worst.
const JSON_BYTES_MAX: usize = 16 * 1024;
/// How often the reader's name stands across a conversation.
const WATERMARKS: usize = 40;

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Files that pages load: name, type, text.
const ASSETS: [(&str, &str, &str); 6] = [
    ("icon.svg", "image/svg+xml", include_str!("../../../templates/pages/desk/assets/icon.svg")),
    ("desk.css", "text/css; charset=utf-8", include_str!("../../../templates/pages/desk/assets/desk.css")),
    (
        "desk.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/desk.js"),
    ),
    (
        "talk.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/talk.js"),
    ),
    (
        "server.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/server.js"),
    ),
    (
        "words.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/words.js"),
    ),
];

/// Routes under `/desk`. Handlers need `Data<Desk>`, `Data<Staff>` and `Data<Config>`.
pub fn configure(services: &mut ServiceConfig) {
    let form = web::FormConfig::default().limit(FORM_BYTES_MAX).error_handler(|_, request| {
        DeskFailure::new(StatusCode::BAD_REQUEST, "bad_request", Language::of(request)).into()
    });
    let json = web::JsonConfig::default().limit(JSON_BYTES_MAX).error_handler(|_, request| {
        DeskFailure::new(StatusCode::BAD_REQUEST, "bad_request", Language::of(request)).into()
    });
    services.service(
        web::scope("/desk")
            .app_data(form)
            .app_data(json)
            .route("", web::get().to(show_desk))
            .route("/sign-in", web::get().to(show_sign_in))
            .route("/sign-in", web::post().to(sign_in))
            .route("/sign-out", web::post().to(sign_out))
            .route("/live", web::get().to(live::stream))
            .route("/assets/{file}", web::get().to(asset))
            .service(api::scope())
            .default_service(web::to(|request: HttpRequest| async move {
                DeskFailure::new(StatusCode::NOT_FOUND, "not_found", Language::of(&request)).response()
            }))
            .wrap(from_fn(door::new_trace_for_each)),
    );
}

#[derive(Template)]
#[template(path = "pages/desk/sign_in.html")]
struct SignInPage<'a> {
    base: &'a str,
    words: &'a Words,
    trouble: Option<String>,
    name: &'a str,
}

#[derive(Template)]
#[template(path = "pages/desk/desk.html")]
struct DeskPage<'a> {
    base: &'a str,
    words: &'a Words,
    session: &'a Session,
    csrf: &'a str,
    role: &'a str,
    watermarks: Vec<String>,
    skills: Vec<(&'static str, &'static str)>,
}

#[derive(Deserialize)]
struct SignInForm {
    name: String,
    password: Secret,
}

#[derive(Deserialize)]
struct SignOutForm {
    csrf: Secret,
}

async fn show_sign_in(request: HttpRequest, staff: Data<Staff>, config: Data<Config>) -> HttpResponse {
    let language = Language::of(&request);
    match guard::session(&request, &staff, Activity::Page).await {
        Ok(_) => see_other(&base(&config)),
        Err(failure) if failure.is_signed_out() => sign_in_page(&config, language, StatusCode::OK, None, ""),
        Err(failure) => failure.response(),
    }
}

async fn sign_in(
    request: HttpRequest,
    form: Form<SignInForm>,
    staff: Data<Staff>,
    config: Data<Config>,
) -> HttpResponse {
    let language = Language::of(&request);
    if let Err(failure) = guard::from_our_page(&request, &config) {
        return failure.response();
    }
    let Some(address) = client::address(&request, &config.server.trusted_proxies) else {
        return DeskFailure::new(StatusCode::BAD_REQUEST, "bad_request", language).response();
    };
    let previous = guard::token(&request);
    let form = form.into_inner();
    let name = form.name.trim();
    match staff.sign_in(name, &form.password, address, previous.as_ref()).await {
        Ok(token) => {
            let mut response = see_other(&base(&config));
            set_cookie(&mut response, session_cookie(&config, token.reveal().to_owned()));
            response
        }
        Err(error) => {
            let (status, trouble) = words::sign_in_trouble(language, &error);
            if let SignInError::Failed(reason) = &error {
                tracing::error!(
                    reason,
                    retry = "when the person does",
                    "a sign-in could not be decided; see that the database answers"
                );
            }
            sign_in_page(&config, language, status, Some(trouble), name)
        }
    }
}

async fn sign_out(
    request: HttpRequest,
    form: Form<SignOutForm>,
    staff: Data<Staff>,
    config: Data<Config>,
) -> HttpResponse {
    if let Err(failure) = guard::acting(&request, &staff, &config, Some(&form.csrf)).await
        && !failure.is_signed_out()
    {
        return failure.response();
    }
    if let Some(token) = guard::token(&request)
        && let Err(error) = staff.sign_out(&token).await
    {
        return guard::broken(&request, &error).response();
    }
    let mut response = see_other(&format!("{}/sign-in", base(&config)));
    let mut cookie = session_cookie(&config, String::new());
    cookie.make_removal();
    set_cookie(&mut response, cookie);
    response
}

async fn show_desk(
    request: HttpRequest,
    staff: Data<Staff>,
    desk: Data<Desk>,
    config: Data<Config>,
) -> HttpResponse {
    let language = Language::of(&request);
    let base = base(&config);
    let session = match guard::session(&request, &staff, Activity::Person).await {
        Ok(session) => session,
        Err(failure) if failure.is_signed_out() => return see_other(&format!("{base}/sign-in")),
        Err(failure) => return failure.response(),
    };
    let words = language.words();
    let mark = format!("{} {}", session.name, desk.today());
    let page = DeskPage {
        base: &base,
        words,
        csrf: session.csrf.reveal(),
        role: match session.role {
            Role::Agent => words.agent,
            Role::Supervisor => words.supervisor,
            Role::Admin => words.admin,
        },
        watermarks: vec![mark; WATERMARKS],
        skills: Desk::SKILLS.iter().map(|skill| (*skill, words::skill(language, skill))).collect(),
        session: &session,
    };
    html(StatusCode::OK, page.render(), language)
}

async fn asset(request: HttpRequest, file: Path<String>) -> HttpResponse {
    let Some((_, kind, text)) = ASSETS.iter().find(|(name, ..)| *name == file.as_str()) else {
        return DeskFailure::new(StatusCode::NOT_FOUND, "not_found", Language::of(&request)).response();
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, *kind))
        .insert_header((header::CACHE_CONTROL, "no-cache"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(*text)
}

fn sign_in_page(
    config: &Config,
    language: Language,
    status: StatusCode,
    trouble: Option<String>,
    name: &str,
) -> HttpResponse {
    let base = base(config);
    let page = SignInPage { base: &base, words: language.words(), trouble, name };
    html(status, page.render(), language)
}

fn html(status: StatusCode, page: Result<String, askama::Error>, language: Language) -> HttpResponse {
    let Ok(page) = page else {
        return DeskFailure::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", language).response();
    };
    let mut response = guarded(status);
    response.insert_header((header::CONTENT_TYPE, "text/html; charset=utf-8"));
    let mut response = response.body(page);
    set_cookie(&mut response, language.cookie());
    response
}

/// Headers of everything that may show a customer: nothing is kept, framed, guessed at or told onwards.
fn guarded(status: StatusCode) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::build(status);
    response
        .insert_header((header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header(("cross-origin-opener-policy", "same-origin"))
        .insert_header((header::REFERRER_POLICY, "same-origin"));
    response
}

fn see_other(to: &str) -> HttpResponse {
    guarded(StatusCode::SEE_OTHER).insert_header((header::LOCATION, to)).finish()
}

/// Where the desk lives as browsers see it.
fn base(config: &Config) -> String {
    format!("{}/desk", config.server.public_url.path().trim_end_matches('/'))
}

fn session_cookie(config: &Config, value: String) -> Cookie<'static> {
    Cookie::build(SESSION_COOKIE, value)
        .path(base(config))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(config.server.public_url.scheme() == "https")
        .finish()
}

fn set_cookie(response: &mut HttpResponse, cookie: Cookie<'_>) {
    if let Err(error) = response.add_cookie(&cookie) {
        tracing::error!(%error, "a cookie could not be set and nobody can sign in: a fault of ours, please report it");
    }
}

#[cfg(test)]
mod tests;
