//! Short keys (短key托管).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused};
use crate::domain::time::UnixMs;

const KEYS_MAX: usize = 50_000;
const DATA_BYTES_MAX: usize = 4 * 1024;
const EXPIRE_SECONDS_MAX: u64 = 2_592_000;
const KEY_CHARS: usize = 15;

/// The keys of one account.
#[derive(Default)]
pub(crate) struct Keys(HashMap<String, Kept>);

struct Kept {
    data: String,
    created: UnixMs,
    until: UnixMs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    long_data: String,
    #[serde(default = "longest")]
    expire_seconds: u64,
}

fn longest() -> u64 {
    EXPIRE_SECONDS_MAX
}

/// `POST /cgi-bin/shorten/gen`
pub(crate) fn create(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: CreateRequest = call.json()?;
    if request.long_data.is_empty() || request.long_data.len() > DATA_BYTES_MAX {
        return Err(Refused::new(9_410_010, "long_data too long"));
    }
    if !(1..=EXPIRE_SECONDS_MAX).contains(&request.expire_seconds) {
        return Err(Refused::new(9_410_011, "invalid expire_seconds"));
    }
    let letters = |text: String| text.chars().filter(char::is_ascii_alphanumeric).take(KEY_CHARS).collect();
    let key: String = letters(platform.random_text::<36>());
    let now = platform.now();
    let until = now + Duration::from_secs(request.expire_seconds);
    let mut state = platform.state();
    let keys = &mut state.accounts[account].short_keys.0;
    if keys.len() >= KEYS_MAX {
        keys.retain(|_, kept| now < kept.until);
    }
    if keys.len() >= KEYS_MAX {
        return Err(Refused::new(45009, "reach max api daily quota limit"));
    }
    keys.insert(key.clone(), Kept { data: request.long_data, created: platform.true_now(), until });
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok", "short_key": key })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FetchRequest {
    short_key: String,
}

/// `POST /cgi-bin/shorten/fetch`
pub(crate) fn fetch(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let FetchRequest { short_key } = call.json()?;
    let now = platform.now();
    let state = platform.state();
    let kept = state.accounts[account].short_keys.0.get(&short_key).filter(|kept| now < kept.until);
    let kept = kept.ok_or_else(|| Refused::new(9_410_012, "short_key not found or expired"))?;
    Ok(Answer::Json(json!({
        "errcode": 0,
        "errmsg": "ok",
        "long_data": kept.data,
        "create_time": kept.created.seconds(),
        "expire_seconds": kept.until.since(now).as_secs(),
    })))
}
