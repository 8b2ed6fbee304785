//! Web authorisation: the authorise page of open.weixin.qq.com and the `/sns/` calls.
//!
//! Who the phone's user is, the authorise page asks the phone that shows it: it is of the same origin as the
//! phone page, so it posts a message to its parent frame and is told the openid. No cookie is involved, so any
//! number of phones may be open in one browser. Outside a phone it lists the followers to choose from. Either
//! way it comes back to itself with `as=OPENID`, a parameter that only this page knows and that tests may use.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::json;
use sha1::{Digest, Sha1};
use url::Url;

use super::api::table::{Who, is_permitted};
use super::api::token::account_by_secret;
use super::api::{Answer, Answered, Call, Refused};
use super::pages;
use super::platform::Platform;
use crate::domain::time::UnixMs;

const CODE_LIFE: Duration = Duration::from_secs(300);
const TOKEN_LIFE: Duration = Duration::from_secs(7200);
const REFRESH_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
const GRANTS_MAX: usize = 50_000;
const STATE_CHARS_MAX: usize = 128;
const ORDER: [&str; 5] = ["appid", "redirect_uri", "response_type", "scope", "state"];

#[derive(Clone, Debug)]
struct Grant {
    account: usize,
    openid: String,
    scope: String,
    snapshot: bool,
    until: UnixMs,
    used: bool,
}

/// Codes, user tokens and refresh tokens; beyond the bound the oldest go.
#[derive(Default)]
pub(crate) struct Grants {
    codes: Kept,
    tokens: Kept,
    refreshes: Kept,
}

#[derive(Default)]
struct Kept {
    by_text: HashMap<String, Grant>,
    order: VecDeque<String>,
}

impl Kept {
    fn keep(&mut self, text: &str, grant: Grant) {
        if self.order.len() >= GRANTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.by_text.remove(&oldest);
        }
        self.order.push_back(text.to_owned());
        self.by_text.insert(text.to_owned(), grant);
    }
}

/// An authorise request that is in order.
struct Request {
    account: usize,
    redirect_uri: Url,
    scope: String,
    state: String,
}

/// What the authorise page says instead.
struct Fault {
    code: u16,
    message: &'static str,
}

/// `GET /connect/oauth2/authorize`
pub(crate) async fn authorize(request: HttpRequest, platform: web::Data<Platform>) -> HttpResponse {
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
    let authorise = match read(&platform, &query) {
        Ok(authorise) => authorise,
        Err(fault) => return pages::authorize_fault(fault.code, fault.message),
    };
    match query.iter().find(|(name, _)| name == "as") {
        Some((_, openid)) => match issue(&platform, &authorise, openid) {
            Some(target) => {
                HttpResponse::Found().insert_header(("location", target.as_str().to_owned())).finish()
            }
            None => pages::authorize_fault(10_006, "没有这个用户"),
        },
        None => pages::authorize(&platform, authorise.account, &authorise.scope, request.query_string()),
    }
}

fn read(platform: &Platform, query: &[(String, String)]) -> Result<Request, Fault> {
    let fault = |code, message| Err(Fault { code, message });
    let names: Vec<&str> = query.iter().map(|(name, _)| name.as_str()).collect();
    let places: Vec<Option<usize>> =
        ORDER.iter().map(|wanted| names.iter().position(|name| name == wanted)).collect();
    if let Some(missing) = places.iter().position(Option::is_none) {
        let messages = ["缺少 appid", "缺少 redirect_uri", "缺少 response_type", "缺少 scope", "缺少 state"];
        return fault(10_010 + u16::try_from(missing).unwrap_or_default(), messages[missing]);
    }
    if !places.is_sorted() {
        return fault(10_012, "参数顺序应为 appid、redirect_uri、response_type、scope、state");
    }
    let value = |name: &str| query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value);
    let Some(account) = platform.state().app_index(value("appid")) else {
        return fault(10_016, "appid 不正确");
    };
    if !is_permitted(platform, account, Who::Service) {
        return fault(10_005, "只有已认证的服务号可以使用网页授权");
    }
    let Ok(redirect_uri) = Url::parse(value("redirect_uri")) else {
        return fault(10_003, "redirect_uri 无法解析");
    };
    let registered = platform.settings.oauth_redirect_host.as_deref();
    if registered.is_some_and(|host| redirect_uri.host_str() != Some(host)) {
        return fault(10_003, "redirect_uri 的域名与后台配置不一致");
    }
    if value("response_type") != "code" {
        return fault(10_012, "response_type 应为 code");
    }
    if !matches!(value("scope"), "snsapi_base" | "snsapi_userinfo") {
        return fault(10_005, "scope 未授权");
    }
    let state = value("state");
    if state.len() > STATE_CHARS_MAX || !state.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return fault(10_014, "state 应为至多 128 个字母或数字");
    }
    Ok(Request { account, redirect_uri, scope: value("scope").to_owned(), state: state.to_owned() })
}

/// Makes a code and the address to go back to.
fn issue(platform: &Platform, request: &Request, openid: &str) -> Option<Url> {
    let code = format!("0{}", platform.random_text::<24>());
    let until = platform.now() + CODE_LIFE;
    let stranger = platform.new_openid();
    let mut state = platform.state();
    let snapshot = state.follower(request.account, openid)?.snapshot;
    let grant = Grant {
        account: request.account,
        openid: if snapshot { stranger } else { openid.to_owned() },
        scope: request.scope.clone(),
        snapshot,
        until,
        used: false,
    };
    state.oauth.codes.keep(&code, grant);
    let mut target = request.redirect_uri.clone();
    target.query_pairs_mut().append_pair("code", &code).append_pair("state", &request.state);
    Some(target)
}

/// The `/sns/` calls.
pub(crate) fn answer(platform: &Arc<Platform>, call: &Call) -> Answered {
    call.require_get()?;
    match call.path.as_str() {
        "/sns/oauth2/access_token" => exchange(platform, call),
        "/sns/oauth2/refresh_token" => refresh(platform, call),
        "/sns/userinfo" => user_info(platform, call),
        "/sns/auth" => auth(platform, call),
        _ => Err(Refused::new(40066, "invalid url")),
    }
}

fn exchange(platform: &Platform, call: &Call) -> Answered {
    if call.query("grant_type") != "authorization_code" {
        return Err(Refused::new(40002, "invalid grant_type"));
    }
    let now = platform.now();
    let mut state = platform.state();
    let account = account_by_secret(&state, call.query("appid"), call.query("secret"))?;
    if call.query("code").is_empty() {
        return Err(Refused::new(41008, "missing code"));
    }
    let code = state.oauth.codes.by_text.get_mut(call.query("code"));
    let code = code.filter(|code| code.account == account && now < code.until);
    let code = code.ok_or_else(|| Refused::new(40029, "invalid code"))?;
    if code.used {
        return Err(Refused::new(40163, "code been used"));
    }
    code.used = true;
    let grant = code.clone();
    Ok(grant_tokens(platform, &mut state.oauth, grant, now))
}

fn refresh(platform: &Platform, call: &Call) -> Answered {
    if call.query("grant_type") != "refresh_token" {
        return Err(Refused::new(40002, "invalid grant_type"));
    }
    let now = platform.now();
    let mut state = platform.state();
    let account = state.app_index(call.query("appid")).ok_or_else(|| Refused::new(40013, "invalid appid"))?;
    let grant = state.oauth.refreshes.by_text.get(call.query("refresh_token"));
    let grant = grant.filter(|grant| grant.account == account).cloned();
    let grant = grant.ok_or_else(|| Refused::new(40030, "invalid refresh_token"))?;
    if grant.until <= now {
        return Err(Refused::new(42002, "refresh_token expired"));
    }
    Ok(grant_tokens(platform, &mut state.oauth, grant, now))
}

fn grant_tokens(platform: &Platform, grants: &mut Grants, grant: Grant, now: UnixMs) -> Answer {
    let (token, refresh) = (platform.random_text::<60>(), platform.random_text::<60>());
    let mut body = json!({
        "access_token": token,
        "expires_in": TOKEN_LIFE.as_secs(),
        "refresh_token": refresh,
        "openid": grant.openid,
        "scope": grant.scope,
    });
    if grant.snapshot {
        body["is_snapshotuser"] = json!(1);
    }
    if grant.scope == "snsapi_userinfo" {
        body["unionid"] = json!(union_id(&grant.openid));
    }
    grants.tokens.keep(&token, Grant { until: now + TOKEN_LIFE, ..grant.clone() });
    grants.refreshes.keep(&refresh, Grant { until: now + REFRESH_LIFE, ..grant });
    Answer::Json(body)
}

fn bearer(platform: &Platform, call: &Call) -> Result<Grant, Refused> {
    let now = platform.now();
    let state = platform.state();
    let grant = state.oauth.tokens.by_text.get(call.query("access_token"));
    let grant = grant.ok_or_else(|| Refused::new(40001, "invalid credential"))?;
    if grant.until <= now {
        return Err(Refused::new(42001, "access_token expired"));
    }
    if grant.openid != call.query("openid") {
        return Err(Refused::new(40003, "invalid openid"));
    }
    Ok(grant.clone())
}

fn user_info(platform: &Platform, call: &Call) -> Answered {
    let grant = bearer(platform, call)?;
    if grant.scope != "snsapi_userinfo" {
        return Err(Refused::new(48001, "api unauthorized"));
    }
    let mut state = platform.state();
    let nickname = state.follower(grant.account, &grant.openid).map(|follower| follower.name.clone());
    Ok(Answer::Json(json!({
        "openid": grant.openid,
        "nickname": nickname.unwrap_or_else(|| "微信用户".to_owned()),
        "sex": 0, "province": "", "city": "", "country": "",
        "headimgurl": "", "privilege": [],
        "unionid": union_id(&grant.openid),
    })))
}

fn auth(platform: &Platform, call: &Call) -> Answered {
    match bearer(platform, call) {
        Ok(_) => super::api::ok(),
        Err(_) => Err(Refused::new(40003, "invalid openid")),
    }
}

fn union_id(openid: &str) -> String {
    format!("u{}", hex::encode(Sha1::digest(openid.as_bytes())))
}
