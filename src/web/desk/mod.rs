//! The agents' desk in the browser: two pages, JSON that plain ES modules ask for, and a stream of hints.
//!
//! Everything under `/desk` needs a session but the pages of signing in and the assets. Everything that changes needs the
//! session's token and must come from our own pages. What customers wrote leaves here as JSON strings and enters
//! the page as text nodes, never as markup.

mod api;
mod audit;
mod guard;
mod json;
mod live;
mod media;
mod report;
mod reveal;
mod sign_in;
mod supervise;
mod words;

use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::door;
use crate::config::Config;
use crate::desk::Desk;
use crate::staff::{Activity, Role, Session, Staff};
use guard::DeskFailure;
pub(super) use guard::refusal_of;
pub(super) use json::log_entry;
use words::{Language, Words};

/// Largest form.
const FORM_BYTES_MAX: usize = 4 * 1024;
/// Largest JSON body: an answer of 2048 bytes, escaped at its worst.
const JSON_BYTES_MAX: usize = 16 * 1024;
/// How often the reader's name stands across a page: enough for a large screen.
const WATERMARKS: usize = 160;
/// Largest picture that an agent sends: what WeChat takes, and a little for whoever is told that it is too large.
const PICTURE_BYTES_MAX: usize = 2 * 1024 * 1024 + 64 * 1024;

const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    media-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Files that pages load: name, type, text.
const ASSETS: [(&str, &str, &str); 11] = [
    ("icon.svg", "image/svg+xml", include_str!("../../../templates/pages/desk/assets/icon.svg")),
    ("desk.css", "text/css; charset=utf-8", include_str!("../../../templates/pages/desk/assets/desk.css")),
    (
        "desk.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/desk.js"),
    ),
    (
        "about.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/about.js"),
    ),
    (
        "entries.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/entries.js"),
    ),
    (
        "keys.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/keys.js"),
    ),
    (
        "talk.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/talk.js"),
    ),
    (
        "replies.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/replies.js"),
    ),
    (
        "wall.js",
        "text/javascript; charset=utf-8",
        include_str!("../../../templates/pages/desk/assets/wall.js"),
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
            .app_data(web::PayloadConfig::new(PICTURE_BYTES_MAX))
            .route("", web::get().to(show_desk))
            .configure(sign_in::configure)
            .configure(reveal::configure)
            .configure(audit::configure)
            .route("/wall", web::get().to(supervise::show_wall))
            .route("/report", web::get().to(report::show_report))
            .route("/report.csv", web::get().to(report::report_csv))
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
#[template(path = "pages/desk/desk.html")]
struct DeskPage<'a> {
    base: &'a str,
    words: &'a Words,
    session: &'a Session,
    csrf: &'a str,
    role: &'a str,
    is_supervisor: bool,
    watermarks: Vec<String>,
    skills: Vec<(&'a str, &'a str)>,
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
    let files = desk.files();
    let page = DeskPage {
        base: &base,
        words,
        csrf: session.csrf.reveal(),
        role: match session.role {
            Role::Agent => words.agent,
            Role::Supervisor => words.supervisor,
            Role::Admin => words.admin,
        },
        is_supervisor: session.role.sees_every_case(),
        watermarks: watermarks(&session, &desk),
        skills: files
            .groups
            .iter()
            .map(|group| (group.id.as_str(), words::group(language, &files.groups, &group.id)))
            .collect(),
        session: &session,
    };
    html(StatusCode::OK, page.render(), language)
}

/// The reader's name and the day, for the paper that customers are shown on.
fn watermarks(session: &Session, desk: &Desk) -> Vec<String> {
    vec![format!("{} {}", session.name, desk.today()); WATERMARKS]
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

fn set_cookie(response: &mut HttpResponse, cookie: Cookie<'_>) {
    if let Err(error) = response.add_cookie(&cookie) {
        tracing::error!(%error, "a cookie could not be set and nobody can sign in: a fault of ours, please report it");
    }
}

#[cfg(test)]
mod tests;
