//! Access tokens: the stable and the classic kind do not know each other. Tickets for JS-SDK.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::platform::{Platform, State, push_bounded};
use super::quota::day;
use super::{Answer, Answered, Call, Refused};
use crate::domain::time::UnixMs;

const LIFE: Duration = Duration::from_secs(7200);
/// A stable token is renewed when it has less than this left.
const RENEWAL: Duration = Duration::from_secs(300);
/// A replaced classic token stays usable for this long.
const OVERLAP: Duration = Duration::from_secs(300);
const FORCED_PER_DAY_MAX: u32 = 20;
const FORCED_SPACING: Duration = Duration::from_secs(30);
/// Old tokens that are still told apart from invented ones.
const REMEMBERED_MAX: usize = 50;

#[derive(Clone, Debug)]
struct Token {
    text: String,
    until: UnixMs,
    /// A newer one took its place: once over, it is "not latest" rather than "expired".
    replaced: bool,
}

/// The tokens of one account.
#[derive(Default)]
pub(crate) struct Tokens {
    stable: Option<Token>,
    classic: Option<Token>,
    former: VecDeque<Token>,
    forced: Option<(UnixMs, i64, u32)>,
    ticket: Option<Token>,
}

impl Tokens {
    /// The ticket that signs pages, while it lasts.
    pub(crate) fn ticket(&self, now: UnixMs) -> Option<&str> {
        self.ticket.as_ref().filter(|ticket| now < ticket.until).map(|ticket| ticket.text.as_str())
    }

    /// All tokens end now.
    pub(crate) fn expire(&mut self, now: UnixMs) {
        for token in self.stable.iter_mut().chain(&mut self.classic).chain(&mut self.former) {
            token.until = token.until.min(now);
        }
    }

    fn find(&self, text: &str) -> Option<&Token> {
        self.stable.iter().chain(&self.classic).chain(&self.former).find(|token| token.text == text)
    }

    fn retire(&mut self, token: Option<Token>) {
        if let Some(token) = token {
            push_bounded(&mut self.former, token, REMEMBERED_MAX);
        }
    }

    fn next_stable(&mut self, force: bool, now: UnixMs, fresh: Token) -> Result<&Token, Refused> {
        let current = self.stable.as_ref();
        let usable = current.is_some_and(|token| now + RENEWAL < token.until);
        let forced = force && self.may_force(now)?;
        if forced || !usable {
            let mut old = self.stable.take();
            if let Some(old) = old.as_mut().filter(|_| forced) {
                old.until = now;
                old.replaced = true;
            }
            self.retire(old);
        }
        Ok(self.stable.get_or_insert(fresh))
    }

    /// `false` within 30 seconds of the last time: the token stays.
    fn may_force(&mut self, now: UnixMs) -> Result<bool, Refused> {
        let today = day(now);
        let used = match self.forced {
            Some((last, _, _)) if now < last + FORCED_SPACING => return Ok(false),
            Some((_, day, used)) if day == today => used,
            _ => 0,
        };
        if used >= FORCED_PER_DAY_MAX {
            return Err(Refused::new(45009, "reach max api daily quota limit"));
        }
        self.forced = Some((now, today, used + 1));
        Ok(true)
    }

    fn next_classic(&mut self, now: UnixMs, fresh: Token) -> &Token {
        let mut old = self.classic.take();
        if let Some(old) = &mut old {
            old.until = old.until.min(now + OVERLAP);
            old.replaced = true;
        }
        self.retire(old);
        self.classic.insert(fresh)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StableRequest {
    #[serde(default)]
    grant_type: String,
    #[serde(default)]
    appid: String,
    #[serde(default)]
    secret: String,
    #[serde(default)]
    force_refresh: bool,
}

/// `POST /cgi-bin/stable_token`
pub(crate) fn stable(platform: &Arc<Platform>, call: &Call) -> Answered {
    let request: StableRequest = call.json()?;
    let (now, fresh) = (platform.now(), fresh(platform));
    let mut state = platform.state();
    let account = authenticate(&state, &request.grant_type, &request.appid, &request.secret)?;
    check_caller(platform, call)?;
    let tokens = &mut state.accounts[account].tokens;
    let token = tokens.next_stable(request.force_refresh, now, fresh)?;
    Ok(issued(token, now))
}

/// `GET /cgi-bin/token`
pub(crate) fn classic(platform: &Arc<Platform>, call: &Call) -> Answered {
    call.require_get()?;
    let (now, fresh) = (platform.now(), fresh(platform));
    let account = {
        let state = platform.state();
        authenticate(&state, call.query("grant_type"), call.query("appid"), call.query("secret"))?
    };
    check_caller(platform, call)?;
    super::quota::count(platform, account, &call.path)?;
    let mut state = platform.state();
    Ok(issued(state.accounts[account].tokens.next_classic(now, fresh), now))
}

/// `GET /cgi-bin/ticket/getticket`
pub(crate) fn ticket(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    if call.query("type") != "jsapi" {
        return Err(Refused::new(40097, "invalid args"));
    }
    let (now, fresh) = (platform.now(), fresh(platform));
    let mut state = platform.state();
    let slot = &mut state.accounts[account].tokens.ticket;
    if slot.as_ref().is_none_or(|ticket| ticket.until <= now) {
        *slot = None;
    }
    let ticket = slot.get_or_insert(fresh);
    Ok(Answer::Json(json!({
        "errcode": 0, "errmsg": "ok", "ticket": ticket.text, "expires_in": ticket.until.since(now).as_secs(),
    })))
}

/// Tokens go only to addresses on the list, if there is one.
fn check_caller(platform: &Platform, call: &Call) -> Result<(), Refused> {
    match (&platform.settings.token_callers, call.caller) {
        (Some(listed), Some(caller)) if !listed.contains(&caller) => {
            Err(Refused::new(40164, format!("invalid ip {caller} ipv6 ::ffff:{caller}, not in whitelist")))
        }
        _ => Ok(()),
    }
}

/// AppID and secret name an account, or say why not.
pub(crate) fn authenticate(
    state: &State,
    grant_type: &str,
    app_id: &str,
    secret: &str,
) -> Result<usize, Refused> {
    if grant_type != "client_credential" {
        return Err(Refused::new(40002, "invalid grant_type"));
    }
    account_by_secret(state, app_id, secret)
}

/// The same without a grant type.
pub(crate) fn account_by_secret(state: &State, app_id: &str, secret: &str) -> Result<usize, Refused> {
    if app_id.is_empty() {
        return Err(Refused::new(41002, "appid missing"));
    }
    if secret.is_empty() {
        return Err(Refused::new(41004, "appsecret missing"));
    }
    let account = state.app_index(app_id).ok_or_else(|| Refused::new(40013, "invalid appid"))?;
    if state.accounts[account].settings.app_secret.reveal() != secret {
        return Err(Refused::new(40125, "invalid appsecret"));
    }
    Ok(account)
}

/// The account that an access token belongs to, if the token is good.
pub(crate) fn account_of(platform: &Platform, token: &str) -> Result<usize, Refused> {
    if token.is_empty() {
        return Err(Refused::new(41001, "access_token missing"));
    }
    let now = platform.now();
    let state = platform.state();
    let mut accounts = state.accounts.iter().enumerate();
    let found = accounts.find_map(|(index, account)| Some((index, account.tokens.find(token)?)));
    match found {
        Some((index, token)) if now < token.until => Ok(index),
        Some((_, token)) if !token.replaced => Err(Refused::new(42001, "access_token expired")),
        _ => Err(Refused::new(
            40001,
            "invalid credential, access_token is invalid or not latest, could get access_token by \
             getStableAccessToken",
        )),
    }
}

/// The account that a call names by token or AppID, good or not: for the log.
pub(crate) fn known_account(state: &State, call: &Call) -> Option<usize> {
    let token = call.query("access_token");
    let by_token = state.accounts.iter().position(|account| account.tokens.find(token).is_some());
    let by_app = || state.app_index(call.query("appid"));
    let by_body = || {
        let body: StableRequest = serde_json::from_slice(&call.body).ok()?;
        state.app_index(&body.appid)
    };
    by_token.or_else(by_app).or_else(by_body)
}

fn fresh(platform: &Platform) -> Token {
    Token { text: platform.random_text::<120>(), until: platform.now() + LIFE, replaced: false }
}

fn issued(token: &Token, now: UnixMs) -> Answer {
    Answer::Json(json!({ "access_token": token.text, "expires_in": token.until.since(now).as_secs() }))
}
