//! How often an account may call each API in a day, counted by Beijing days.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::super::platform::Platform;
use super::token::account_by_secret;
use super::{Answer, Answered, Call, Refused, ok, table};
use crate::domain::time::UnixMs;

const BEIJING_MS: i64 = 8 * 3600 * 1000;
const DAY_MS: i64 = 24 * 3600 * 1000;
const MINUTE_MS: i64 = 60 * 1000;
/// `clear_quota` and its second version together.
const CLEARS_PER_MONTH_MAX: u32 = 10;
/// `openapi/quota/clear`
const SINGLE_CLEARS_PER_MONTH_MAX: u32 = 50;

/// What one account has used.
#[derive(Default)]
pub(crate) struct Quotas {
    day: i64,
    used: HashMap<&'static str, u64>,
    limits: HashMap<&'static str, u64>,
    per_minute: HashMap<&'static str, u64>,
    minute: i64,
    used_in_minute: HashMap<&'static str, u64>,
    clears: Chances,
    single_clears: Chances,
}

/// What is granted so many times a calendar month.
#[derive(Default)]
struct Chances {
    month: i64,
    used: u32,
}

impl Chances {
    fn take(&mut self, month: i64, used_max: u32) -> Result<(), Refused> {
        if self.month != month {
            *self = Self { month, used: 0 };
        }
        if self.used >= used_max {
            return Err(Refused::new(48006, "forbid to clear quota because of reaching the limit"));
        }
        self.used += 1;
        Ok(())
    }
}

impl Quotas {
    /// Sets another daily limit; `false` when the path does not exist.
    pub(crate) fn set_limit(&mut self, path: &str, daily_limit: u64) -> bool {
        let known = table::find(path);
        if let Some(api) = known {
            self.limits.insert(api.path, daily_limit);
        }
        known.is_some()
    }

    /// Sets a limit a minute; `false` when the path does not exist.
    pub(crate) fn set_minute_limit(&mut self, path: &str, minute_limit: u64) -> bool {
        let known = table::find(path);
        if let Some(api) = known {
            self.per_minute.insert(api.path, minute_limit);
        }
        known.is_some()
    }

    fn limit(&self, path: &str, usual: u64) -> u64 {
        self.limits.get(path).copied().unwrap_or(usual)
    }

    fn turn(&mut self, now: UnixMs) {
        let today = day(now);
        if self.day != today {
            self.day = today;
            self.used.clear();
        }
        let minute = now.0.div_euclid(MINUTE_MS);
        if self.minute != minute {
            self.minute = minute;
            self.used_in_minute.clear();
        }
    }
}

/// The number of a Beijing day.
pub(crate) fn day(now: UnixMs) -> i64 {
    now.0.saturating_add(BEIJING_MS).div_euclid(DAY_MS)
}

/// Counts a call; 45011 for too many in a minute, 45009 for too many in a day.
pub(crate) fn count(platform: &Platform, account: usize, path: &str) -> Result<(), Refused> {
    let Some(api) = table::find(path) else { return Ok(()) };
    let now = platform.now();
    let mut state = platform.state();
    let quotas = &mut state.accounts[account].quotas;
    quotas.turn(now);
    if let Some(minute_limit) = quotas.per_minute.get(api.path) {
        let used = quotas.used_in_minute.entry(api.path).or_default();
        if *used >= *minute_limit {
            return Err(Refused::new(45011, "api minute-quota reach limit, must slower, retry next minute"));
        }
        *used += 1;
    }
    let limit = quotas.limit(api.path, api.daily_max);
    let used = quotas.used.entry(api.path).or_default();
    if *used >= limit {
        return Err(Refused::new(45009, "reach max api daily quota limit"));
    }
    *used += 1;
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GetRequest {
    cgi_path: String,
}

/// `POST /cgi-bin/openapi/quota/get`
pub(crate) fn get(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let api = named(call)?;
    let now = platform.now();
    let mut state = platform.state();
    let quotas = &mut state.accounts[account].quotas;
    quotas.turn(now);
    let limit = quotas.limit(api.path, api.daily_max);
    let used = quotas.used.get(api.path).copied().unwrap_or_default();
    let mut body = json!({
        "errcode": 0,
        "errmsg": "ok",
        "quota": { "daily_limit": limit, "used": used, "remain": limit.saturating_sub(used) },
    });
    if let Some(minute_limit) = quotas.per_minute.get(api.path) {
        body["rate_limit"] = json!({ "call_count": minute_limit, "refresh_second": 60 });
    }
    Ok(Answer::Json(body))
}

/// `POST /cgi-bin/openapi/quota/clear`
pub(crate) fn clear_one(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let api = named(call)?;
    let month = month(platform);
    let mut state = platform.state();
    let quotas = &mut state.accounts[account].quotas;
    quotas.single_clears.take(month, SINGLE_CLEARS_PER_MONTH_MAX)?;
    quotas.used.remove(api.path);
    ok()
}

/// The API that a diagnosis is about.
fn named(call: &Call) -> Result<&'static table::Api, Refused> {
    let request: GetRequest = call.json()?;
    if !request.cgi_path.starts_with('/') {
        return Err(Refused::new(76003, "cgi_path is malformed"));
    }
    if request.cgi_path.starts_with("/sns/") {
        return Err(Refused::new(76022, "could not use this cgi_path"));
    }
    table::find(&request.cgi_path).ok_or_else(|| Refused::new(76021, "cgi_path not found"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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

fn month(platform: &Platform) -> i64 {
    let date = platform.now().beijing();
    i64::from(date.year()) * 12 + i64::from(date.month())
}

fn clear_all(platform: &Platform, account: usize) -> Answered {
    let month = month(platform);
    let mut state = platform.state();
    let quotas = &mut state.accounts[account].quotas;
    quotas.clears.take(month, CLEARS_PER_MONTH_MAX)?;
    quotas.used.clear();
    ok()
}
