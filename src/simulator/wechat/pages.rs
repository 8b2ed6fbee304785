//! The pages: a list of accounts, the phone, the authorise page, and what they load.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use askama::Template;

use super::platform::Platform;

const STYLES: &[(&str, &str)] = &[
    ("phone.css", include_str!("../../../templates/pages/phone/phone.css")),
    ("panel.css", include_str!("../../../templates/pages/phone/panel.css")),
];
const SCRIPTS: &[(&str, &str)] = &[
    ("phone.js", include_str!("../../../templates/pages/phone/phone.js")),
    ("bubbles.js", include_str!("../../../templates/pages/phone/bubbles.js")),
    ("inspector.js", include_str!("../../../templates/pages/phone/inspector.js")),
    ("subscribe.js", include_str!("../../../templates/pages/phone/subscribe.js")),
    ("events.js", include_str!("../../../templates/pages/phone/events.js")),
    ("knobs.js", include_str!("../../../templates/pages/phone/knobs.js")),
    ("panel.js", include_str!("../../../templates/pages/phone/panel.js")),
    ("index.js", include_str!("../../../templates/pages/phone/index.js")),
    ("authorize.js", include_str!("../../../templates/pages/phone/authorize.js")),
];
const FOLLOWERS_LISTED_MAX: usize = 50;

/// May embed pages of the bank; may itself be embedded by nobody.
const PHONE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' http: https: data:; frame-src http: https:; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";
/// Shown inside the phone.
const AUTHORIZE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'self'";

struct Person {
    openid: String,
    name: String,
    following: bool,
    link: String,
}

struct AccountCard {
    id: String,
    name: String,
    original_id: String,
    encryption: &'static str,
    push_url: String,
    people: Vec<Person>,
}

#[derive(Template)]
#[template(path = "pages/phone/index.html")]
struct IndexPage {
    accounts: Vec<AccountCard>,
    core_url: Option<String>,
    desk_url: Option<String>,
}

#[derive(Template)]
#[template(path = "pages/phone/phone.html")]
struct PhonePage {
    account: String,
    account_name: String,
    openid: String,
    follower_name: String,
    knobs: Vec<KnobAccount>,
}

/// An account that the knobs can change.
struct KnobAccount {
    id: String,
    name: String,
}

#[derive(Template)]
#[template(path = "pages/phone/panel.html")]
struct PanelPage {
    knobs: Vec<KnobAccount>,
}

#[derive(Template)]
#[template(path = "pages/phone/authorize.html")]
struct AuthorizePage {
    account: String,
    account_name: String,
    /// What needs the user's word; without it, nothing does.
    question: Option<&'static str>,
    /// The answer is part of the address to go to.
    is_answered: bool,
    people: Vec<Person>,
}

#[derive(Template)]
#[template(path = "pages/phone/fault.html")]
struct FaultPage {
    code: u16,
    message: String,
}

/// Registers the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/", web::get().to(index))
        .route("/panel", web::get().to(panel))
        .route("/phone/static/{file}", web::get().to(asset))
        .route("/phone/{account}/{openid}", web::get().to(phone))
        .route("/sim/media/{id}", web::get().to(media));
}

fn page(template: &impl Template, status: StatusCode, policy: &'static str) -> HttpResponse {
    match template.render() {
        Ok(html) => HttpResponse::build(status)
            .content_type("text/html; charset=utf-8")
            .insert_header(("content-security-policy", policy))
            .insert_header(("cache-control", "no-store"))
            .insert_header(("x-content-type-options", "nosniff"))
            .insert_header(("referrer-policy", "no-referrer"))
            .body(html),
        Err(error) => {
            tracing::error!(%error, "page could not be rendered");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// A part of a path, percent-encoded: openids are opaque.
fn encoded(part: &str) -> String {
    url::form_urlencoded::byte_serialize(part.as_bytes()).collect::<String>().replace('+', "%20")
}

fn people(account: &super::platform::Account, link: impl Fn(&str) -> String) -> Vec<Person> {
    let newest = account.order.iter().take(FOLLOWERS_LISTED_MAX);
    newest
        .filter_map(|openid| account.followers.get(openid))
        .map(|follower| Person {
            openid: follower.openid.clone(),
            name: follower.name.clone(),
            following: follower.following,
            link: link(&follower.openid),
        })
        .collect()
}

async fn index(platform: web::Data<Platform>) -> HttpResponse {
    let state = platform.state();
    let card = |account: &super::platform::Account| {
        let id = account.settings.id.clone();
        AccountCard {
            people: people(account, |openid| format!("/phone/{}/{}", encoded(&id), encoded(openid))),
            name: account.settings.name.clone(),
            original_id: account.settings.original_id.clone(),
            encryption: match account.settings.encryption {
                crate::config::Encryption::Plain => "明文模式",
                crate::config::Encryption::Compat => "兼容模式",
                crate::config::Encryption::Safe => "安全模式",
            },
            push_url: account.settings.push_url.to_string(),
            id,
        }
    };
    let accounts = state.accounts.iter().map(card).collect();
    let text = |url: &Option<url::Url>| url.as_ref().map(ToString::to_string);
    let index = IndexPage {
        accounts,
        core_url: text(&platform.settings.core_url),
        desk_url: text(&platform.settings.desk_url),
    };
    page(&index, StatusCode::OK, PHONE_POLICY)
}

async fn phone(platform: web::Data<Platform>, path: web::Path<(String, String)>) -> HttpResponse {
    let (account_id, openid) = path.into_inner();
    let mut state = platform.state();
    let Some(account) = state.account_index(&account_id) else {
        return fault_page(StatusCode::NOT_FOUND, 404, "没有这个公众号");
    };
    let account_name = state.accounts[account].settings.name.clone();
    let Some(follower) = state.follower(account, &openid) else {
        return fault_page(StatusCode::NOT_FOUND, 404, "没有这个用户，模拟器可能重新启动过");
    };
    let follower_name = follower.name.clone();
    let knobs = knobs(&state);
    let phone = PhonePage { account: account_id, account_name, openid, follower_name, knobs };
    page(&phone, StatusCode::OK, PHONE_POLICY)
}

async fn panel(platform: web::Data<Platform>) -> HttpResponse {
    page(&PanelPage { knobs: knobs(&platform.state()) }, StatusCode::OK, PHONE_POLICY)
}

fn knobs(state: &super::platform::State) -> Vec<KnobAccount> {
    let knob = |account: &super::platform::Account| KnobAccount {
        id: account.settings.id.clone(),
        name: account.settings.name.clone(),
    };
    state.accounts.iter().map(knob).collect()
}

/// The authorise page, which finds out who the user is.
pub(crate) fn authorize(platform: &Platform, account: usize, scope: &str, query: &str) -> HttpResponse {
    let state = platform.state();
    let account = &state.accounts[account];
    let here = |openid: &str| format!("/connect/oauth2/authorize?{query}&as={}", encoded(openid));
    let authorize = AuthorizePage {
        account: account.settings.id.clone(),
        account_name: account.settings.name.clone(),
        question: (scope == "snsapi_userinfo").then_some("申请获取您的昵称与头像"),
        is_answered: false,
        people: people(account, here),
    };
    page(&authorize, StatusCode::OK, AUTHORIZE_POLICY)
}

/// The page of a one-time subscription, which asks who the user is and whether he agrees.
pub(crate) fn ask_once(platform: &Platform, account: usize, query: &str) -> HttpResponse {
    let state = platform.state();
    let account = &state.accounts[account];
    let here = |openid: &str| format!("/mp/subscribemsg?{query}&as={}&answer=confirm", encoded(openid));
    let ask = AuthorizePage {
        account: account.settings.id.clone(),
        account_name: account.settings.name.clone(),
        question: Some("申请给您发送一条消息"),
        is_answered: true,
        people: people(account, here),
    };
    page(&ask, StatusCode::OK, AUTHORIZE_POLICY)
}

/// What the authorise page says when a request is not in order.
pub(crate) fn authorize_fault(code: u16, message: &str) -> HttpResponse {
    fault_page(StatusCode::BAD_REQUEST, code, message)
}

fn fault_page(status: StatusCode, code: u16, message: &str) -> HttpResponse {
    page(&FaultPage { code, message: message.to_owned() }, status, AUTHORIZE_POLICY)
}

async fn asset(file: web::Path<String>) -> HttpResponse {
    let found = |content_type: &'static str, body: &'static str| {
        HttpResponse::Ok()
            .content_type(content_type)
            .insert_header(("cache-control", "no-cache"))
            .insert_header(("x-content-type-options", "nosniff"))
            .body(body)
    };
    if let Some((_, style)) = STYLES.iter().find(|(name, _)| *name == file.as_str()) {
        return found("text/css; charset=utf-8", style);
    }
    match SCRIPTS.iter().find(|(name, _)| *name == file.as_str()) {
        Some((_, script)) => found("text/javascript; charset=utf-8", script),
        None => HttpResponse::NotFound().finish(),
    }
}

async fn media(platform: web::Data<Platform>, id: web::Path<String>) -> HttpResponse {
    let now = platform.now();
    let state = platform.state();
    match state.accounts.iter().find_map(|account| account.media.get(&id, now)) {
        Some(file) => HttpResponse::Ok()
            .content_type(file.content_type)
            .insert_header(("x-content-type-options", "nosniff"))
            .body(file.bytes.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}
