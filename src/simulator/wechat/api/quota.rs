//! How often an account may call each API in a day, counted by Beijing days.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::super::platform::Platform;
use super::token::account_by_secret;
use super::{Answer, Answered, Call, Refused, ok};
use crate::domain::time::UnixMs;

const BEIJING_MS: i64 = 8 * 3600 * 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;
const CLEARS_PER_MONTH_MAX: u32 = 10;

/// Path and calls per day. Only what stands here exists.
const DAILY: &[(&str, u64)] = &[
    ("/cgi-bin/token", 2_000),
    ("/cgi-bin/message/custom/send", 500_000),
    ("/cgi-bin/message/custom/typing", 500_000),
    ("/cgi-bin/message/template/send", 100_000),
    ("/cgi-bin/template/get_all_private_template", 100_000),
    ("/cgi-bin/menu/create", 1_000),
    ("/cgi-bin/menu/get", 10_000),
    ("/cgi-bin/menu/delete", 1_000),
    ("/cgi-bin/get_current_selfmenu_info", 10_000),
    ("/cgi-bin/user/info", 5_000_000),
    ("/cgi-bin/user/info/batchget", 500_000),
    ("/cgi-bin/user/get", 500),
    ("/cgi-bin/qrcode/create", 100_000),
    ("/cgi-bin/media/upload", 100_000),
    ("/cgi-bin/media/get", 200_000),
    ("/cgi-bin/ticket/getticket", 10_000),
    ("/cgi-bin/getcallbackip", 10_000),
    ("/cgi-bin/get_api_domain_ip", 10_000),
    ("/cgi-bin/callback/check", 10_000),
    ("/cgi-bin/openapi/quota/get", 10_000),
    ("/cgi-bin/clear_quota", 10_000),
];

/// What one account has used.
#[derive(Default)]
pub(crate) struct Quotas {
    day: i64,
    used: HashMap<&'static str, u64>,
    limits: HashMap<&'static str, u64>,
    clears: (i64, u32),
}

impl Quotas {
    /// Sets another daily limit; `false` when the path does not exist.
    pub(crate) fn set_limit(&mut self, path: &str, daily_limit: u64) -> bool {
        let known = find(path);
        if let Some((path, _)) = known {
            self.limits.insert(path, daily_limit);
        }
        known.is_some()
    }

    fn limit(&self, path: &str, usual: u64) -> u64 {
        self.limits.get(path).copied().unwrap_or(usual)
    }

    fn turn_day(&mut self, now: UnixMs) {
        let today = day(now);
        if self.day != today {
            self.day = today;
            self.used.clear();
        }
    }
}

/// The number of a Beijing day.
pub(crate) fn day(now: UnixMs) -> i64 {
    now.0.saturating_add(BEIJING_MS).div_euclid(DAY_MS)
}

fn find(path: &str) -> Option<(&'static str, u64)> {
    DAILY.iter().find(|(known, _)| *known == path).copied()
}

/// Whether the API exists.
pub(crate) fn is_known(path: &str) -> bool {
    find(path).is_some()
}

/// Counts a call, or 45009.
pub(crate) fn count(platform: &Platform, account: usize, path: &str) -> Result<(), Refused> {
    let Some((path, usual)) = find(path) else { return Ok(()) };
    let now = platform.now();
    let mut state = platform.state();
    let quotas = &mut state.accounts[account].quotas;
    quotas.turn_day(now);
    let limit = quotas.limit(path, usual);
    let used = quotas.used.entry(path).or_default();
    if *used >= limit {
        return Err(Refused::new(45009, "reach max api daily quota limit"));
    }
    *used += 1;
    Ok(())
}

#[derive(Deserialize)]
struct GetRequest {
    cgi_path: String,
}

/// `POST /cgi-bin/openapi/quota/get`
pub(crate) fn get(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: GetRequest = call.json()?;
    if !request.cgi_path.starts_with('/') {
        return Err(Refused::new(76003, "cgi_path is malformed"));
    }
    if request.cgi_path.starts_with("/sns/") {
        return Err(Refused::new(76022, "could not use this cgi_path"));
    }
    let (path, usual) = find(&request.cgi_path).ok_or_else(|| Refused::new(76021, "cgi_path not found"))?;
    let now = platform.now();
    let mut state = platform.state();
    let quotas = &mut state.accounts[account].quotas;
    quotas.turn_day(now);
    let (limit, used) = (quotas.limit(path, usual), quotas.used.get(path).copied().unwrap_or_default());
    Ok(Answer::Json(json!({
        "errcode": 0,
        "errmsg": "ok",
        "quota": { "daily_limit": limit, "used": used, "remain": limit.saturating_sub(used) },
    })))
}

#[derive(Deserialize)]
struct ClearRequest {
    appid: String,
    #[serde(default)]
    appsecret: String,
}

/// `POST /cgi-bin/clear_quota`
pub(crate) fn clear(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: ClearRequest = call.json()?;
    if platform.state().accounts[account].settings.app_id != request.appid {
        return Err(Refused::new(40013, "invalid appid"));
    }
    clear_all(platform, account)
}

/// `POST /cgi-bin/clear_quota/v2`
pub(crate) fn clear_by_secret(platform: &Arc<Platform>, call: &Call) -> Answered {
    let request: ClearRequest = call.json()?;
    let account = account_by_secret(&platform.state(), &request.appid, &request.appsecret)?;
    clear_all(platform, account)
}

fn clear_all(platform: &Platform, account: usize) -> Answered {
    let date = platform.now().beijing();
    let month = i64::from(date.year()) * 12 + i64::from(date.month());
    let mut state = platform.state();
    let quotas = &mut state.accounts[account].quotas;
    if quotas.clears.0 != month {
        quotas.clears = (month, 0);
    }
    if quotas.clears.1 >= CLEARS_PER_MONTH_MAX {
        return Err(Refused::new(48006, "forbid to clear quota because of reaching the limit"));
    }
    quotas.clears.1 += 1;
    quotas.used.clear();
    ok()
}
