//! Pages inside WeChat's browser: binding, applying for a card, progress, a purchase, one-time codes. Server-rendered,
//! usable without script.
//!
//! Every page needs a session that WeChat vouched for ([`Identity::open`]); every POST needs the session's token
//! and must come from our own pages. Nothing here is cached, framed (but for the demo's phone), or refers onwards.

mod alerts;
mod apply;
mod bind;
mod chat_text;
mod pages;
mod progress;
mod purchase;
mod spending;
mod step_up;

use std::sync::LazyLock;
use std::time::Duration;

use actix_web::cookie::time::Duration as CookieAge;
use actix_web::cookie::{Cookie, SameSite};
use actix_web::error::UrlencodedError;
use actix_web::http::{StatusCode, header};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, Path, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::{client, door};
use crate::config::{Account, Config};
use crate::domain::secret::{Personal, Secret};
use crate::identity::checks::{self, FieldFault};
use crate::identity::{
    Arrival, CoreFault, Identity, IdentityError, JOURNEY_LIFE, Opening, Page, Resumer, SESSION_LIFE_MAX,
    Visit,
};
use pages::{Frame, Notice};

/// The answer to an interrupted question may take this long on a page.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Largest form.
const BODY_BYTES_MAX: usize = 64 * 1024;
const SESSION_COOKIE: &str = "weikefu_h5";
const BROWSER_COOKIE: &str = "weikefu_h5_browser";
const CSS: &str = include_str!("../../../templates/pages/h5/assets/h5.css");
const JS: &str = include_str!("../../../templates/pages/h5/assets/h5.js");
const ICON: &str = include_str!("../../../templates/pages/h5/assets/icon.svg");
/// What the card in the chat shows that leads to the charts.
const SPENDING_PICTURE: &[u8] = include_bytes!("../../../templates/pages/h5/assets/spending.png");

/// The first characters of the hash of style and script, so that browsers may keep them for ever.
static ASSETS_VERSION: LazyLock<String> =
    LazyLock::new(|| crate::identity::consent::hash(&[CSS, JS]).chars().take(12).collect());

/// Routes under `/h5`. Handlers need `Data<Identity>`, `Data<Alerts>` and `Data<dyn Resumer>`.
pub fn configure(services: &mut ServiceConfig) {
    let form = web::FormConfig::default().limit(BODY_BYTES_MAX).error_handler(|error, _| {
        let status = match error {
            UrlencodedError::Overflow { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        };
        let response = Notice::bad_request().respond(status);
        actix_web::error::InternalError::from_response(error, response).into()
    });
    services.service(
        web::scope("/h5")
            .app_data(form)
            .route("/assets/{file}", web::get().to(asset))
            .route("/{account}/callback", web::get().to(callback))
            .route("/{account}/bind", web::get().to(bind::show))
            .route("/{account}/bind/{step}", web::post().to(bind::submit))
            .route("/{account}/apply", web::get().to(apply::show))
            .route("/{account}/apply/{step}", web::post().to(apply::submit))
            .route("/{account}/progress", web::get().to(progress::show))
            .route("/{account}/purchase", web::get().to(purchase::show))
            .route("/{account}/purchase/{step}", web::post().to(purchase::submit))
            .route("/{account}/step-up", web::get().to(step_up::show))
            .route("/{account}/step-up/return", web::get().to(step_up::come_back))
            .route("/{account}/step-up/{step}", web::post().to(step_up::submit))
            .route("/{account}/spending", web::get().to(spending::show))
            .route("/{account}/alerts", web::get().to(alerts::show))
            .route("/{account}/alerts/{step}", web::post().to(alerts::submit))
            .default_service(web::to(|| async { no_such_page() }))
            .wrap(from_fn(door::new_trace_for_each)),
    );
}

async fn asset(file: Path<String>) -> HttpResponse {
    let (kind, bytes): (_, &'static [u8]) = match file.as_str() {
        "h5.css" => ("text/css; charset=utf-8", CSS.as_bytes()),
        "h5.js" => ("text/javascript; charset=utf-8", JS.as_bytes()),
        "icon.svg" => ("image/svg+xml", ICON.as_bytes()),
        "spending.png" => ("image/png", SPENDING_PICTURE),
        _ => return no_such_page(),
    };
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, kind))
        .insert_header((header::CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(bytes)
}

/// The signed part of a link.
#[derive(Deserialize)]
pub(super) struct LinkQuery {
    t: Option<String>,
}

#[derive(Deserialize)]
struct CallbackQuery {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

async fn callback(
    identity: Data<Identity>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<CallbackQuery>,
) -> HttpResponse {
    let Some(account) = identity.account(&account) else { return no_such_page() };
    let frame = Frame::of(&identity, account, "");
    let query = query.into_inner();
    let browser = cookie(&request, BROWSER_COOKIE);
    match identity.come_back(account, &Secret::new(query.code), &query.state, browser.as_deref()).await {
        Ok(Arrival::Welcome { cookie: token, page }) => {
            let mut response = see_other(&frame, page.path());
            add_cookie(&mut response, identity.config(), SESSION_COOKIE, &token, SESSION_LIFE_MAX);
            response
        }
        Ok(Arrival::Refused(refusal)) => Notice::refusal(&frame, refusal).respond(StatusCode::FORBIDDEN),
        Err(error) => failure(&frame, &error),
    }
}

/// What a handler works with once the visitor is known.
pub(super) struct Guest {
    frame: Frame,
    visit: Visit,
    client_ip: Option<String>,
}

/// Lets a visitor in, or gives the answer that he gets instead: a way to WeChat, or why not.
async fn welcome(
    identity: &Identity,
    request: &HttpRequest,
    account: &str,
    page: Page,
    link: Option<&str>,
) -> Result<Guest, HttpResponse> {
    let account = identity.account(account).ok_or_else(no_such_page)?;
    let frame = Frame::of(identity, account, "");
    let (session, browser) = (cookie(request, SESSION_COOKIE), cookie(request, BROWSER_COOKIE));
    match identity.open(account, page, link, session.as_deref(), browser.as_deref()).await {
        Ok(Opening::Visit(visit)) => Ok(guest(identity, account, *visit, request)),
        Ok(Opening::Settled) => Err(see_other(&frame, page.path())),
        Ok(Opening::Authorize { url, browser }) => {
            let mut response = redirect(StatusCode::FOUND, &url);
            add_cookie(&mut response, identity.config(), BROWSER_COOKIE, &browser, JOURNEY_LIFE);
            Err(response)
        }
        Ok(Opening::Refused(refusal)) => Err(Notice::refusal(&frame, refusal).respond(StatusCode::FORBIDDEN)),
        Err(error) => Err(failure(&frame, &error)),
    }
}

/// Lets a form in: from our own page, with the token of a session that is still good.
async fn admit(
    identity: &Identity,
    request: &HttpRequest,
    account: &str,
    token: &str,
) -> Result<Guest, HttpResponse> {
    let account = identity.account(account).ok_or_else(no_such_page)?;
    let frame = Frame::of(identity, account, "");
    if !from_our_page(request, identity.config()) {
        return Err(Notice::foreign_form(&frame).respond(StatusCode::FORBIDDEN));
    }
    let session = cookie(request, SESSION_COOKIE);
    match identity.visit(&account.id, session.as_deref()).await {
        Ok(Some(visit)) if visit.csrf_fits(token) => Ok(guest(identity, account, visit, request)),
        Ok(_) => Err(Notice::session_over(&frame).respond(StatusCode::FORBIDDEN)),
        Err(error) => Err(failure(&frame, &error)),
    }
}

/// A one-time code as it was typed, or what is wrong with it beside its field.
fn typed_code(code: &str) -> Result<String, Vec<FieldFault>> {
    checks::code(code).map_err(|text| vec![FieldFault { field: "code", text: text.to_owned() }])
}

/// A wrong code belongs beside its field; anything else above the form.
fn wrong_code(fault: &CoreFault, alert: pages::Alert) -> (Vec<FieldFault>, Option<pages::Alert>) {
    match fault {
        CoreFault::Refused { code, .. } if code == "wrong_code" => {
            (vec![FieldFault { field: "code", text: alert.text }], None)
        }
        _ => (Vec::new(), Some(alert)),
    }
}

/// The answer to what waited for this page, if it comes in time; the chat has it anyway.
async fn answered(resumer: &dyn Resumer, guest: &Guest, wish: Option<Personal>) -> Option<String> {
    let (account, follower) = (guest.visit.account().clone(), guest.visit.follower());
    let wish = wish?;
    let answer = resumer.resume(&account, follower, &wish);
    tokio::time::timeout(ANSWER_TIMEOUT, answer).await.ok().flatten()
}

fn no_such_page() -> HttpResponse {
    Notice::not_found().respond(StatusCode::NOT_FOUND)
}

fn guest(identity: &Identity, account: &Account, visit: Visit, request: &HttpRequest) -> Guest {
    let frame = Frame::of(identity, account, visit.csrf());
    let address = client::address(request, &identity.config().server.trusted_proxies);
    Guest { frame, visit, client_ip: address.map(|address| address.to_string()) }
}

/// Browsers that say where a form comes from must say: from here. Under our referrer policy `Origin` is `null` for
/// our own forms too; older browsers say nothing more, and the session's token decides alone.
fn from_our_page(request: &HttpRequest, config: &Config) -> bool {
    let said = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
    let site_fits = said("sec-fetch-site").is_none_or(|site| site == "same-origin");
    let ours = config.server.public_url.origin().ascii_serialization();
    let origin_fits = said("origin").is_none_or(|origin| origin == "null" || origin == ours);
    site_fits && origin_fits
}

fn cookie(request: &HttpRequest, name: &str) -> Option<String> {
    request.cookie(name).map(|cookie| cookie.value().to_owned())
}

fn add_cookie(
    response: &mut HttpResponse,
    config: &Config,
    name: &'static str,
    value: &Secret,
    life: Duration,
) {
    let public_url = &config.server.public_url;
    let cookie = Cookie::build(name, value.reveal().to_owned())
        .path(format!("{}/h5", public_url.path().trim_end_matches('/')))
        .http_only(true)
        .same_site(SameSite::Lax)
        .secure(public_url.scheme() == "https")
        .max_age(CookieAge::seconds(life.as_secs().try_into().unwrap_or(0)))
        .finish();
    if let Err(error) = response.add_cookie(&cookie) {
        tracing::error!(%error, name, "a cookie could not be set, so its browser is sent to WeChat again: a fault of ours, please report it");
    }
}

fn see_other(frame: &Frame, path: &str) -> HttpResponse {
    redirect(StatusCode::SEE_OTHER, &frame.path(path))
}

fn redirect(status: StatusCode, to: &str) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::LOCATION, to))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

fn failure(frame: &Frame, error: &IdentityError) -> HttpResponse {
    match error {
        IdentityError::Contended => Notice::contended(frame).respond(StatusCode::CONFLICT),
        IdentityError::Store(_) | IdentityError::State(_) => {
            tracing::error!(
                %error,
                retry = "when the visitor does",
                "a page could not be answered: its visitor was asked to come again. See that the database answers"
            );
            Notice::broken(frame).respond(StatusCode::SERVICE_UNAVAILABLE)
        }
    }
}

#[cfg(test)]
mod tests;
