//! What an operator asks when a call was refused: the request behind a `rid`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused};

/// How long a `rid` is known.
const RID_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RidRequest {
    rid: String,
}

/// `POST /cgi-bin/openapi/rid/get`
pub(crate) fn rid(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let RidRequest { rid } = call.json()?;
    let hexadecimal = |part: &str| part.len() == 8 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    if rid.split('-').count() != 3 || !rid.split('-').all(hexadecimal) {
        return Err(Refused::new(76002, "rid is malformed"));
    }
    let now = platform.now();
    let state = platform.state();
    let logged = state.calls.refused(&rid).ok_or_else(|| Refused::new(76001, "rid not found"))?;
    if logged.account.as_ref() != Some(&state.accounts[account].settings.id) {
        return Err(Refused::new(76003, "rid is not of this account"));
    }
    if now >= logged.platform_at + RID_LIFE {
        return Err(Refused::new(76004, "rid expired"));
    }
    let query: Vec<String> = logged.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Ok(Answer::Json(json!({
        "errcode": 0,
        "errmsg": "ok",
        "request": {
            "invoke_time": logged.at.seconds(),
            "cost_in_ms": logged.duration_ms,
            "request_url": format!("{}?{}", logged.path, query.join("&")),
            "request_body": logged.body,
            "response_body": logged.response.to_string(),
            "client_ip": "127.0.0.1",
        },
    })))
}
