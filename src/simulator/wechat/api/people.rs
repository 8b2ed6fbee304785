//! Who follows: `/cgi-bin/user/*`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::platform::{Follower, Platform};
use super::{Answer, Answered, Call, Refused, ok};

const PAGE_MAX: usize = 10_000;
const BATCH_MAX: usize = 100;
/// A remark is shorter than this.
const REMARK_BYTES_END: usize = 30;

/// `GET /cgi-bin/user/info`
pub(crate) fn info(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    check_language(call.query("lang"))?;
    let mut state = platform.state();
    let follower = state.follower(account, call.query("openid")).ok_or_else(Refused::openid)?;
    Ok(Answer::Json(describe(follower)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    user_list: Vec<BatchItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchItem {
    openid: String,
    #[serde(default)]
    lang: String,
}

/// The languages that a profile can be asked for in; empty: the default.
fn check_language(lang: &str) -> Result<(), Refused> {
    let known = matches!(lang, "" | "zh_CN" | "zh_TW" | "en");
    if known { Ok(()) } else { Err(Refused::new(40035, "invalid parameter: lang")) }
}

/// `POST /cgi-bin/user/info/batchget`
pub(crate) fn info_of_many(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: BatchRequest = call.json()?;
    if !(1..=BATCH_MAX).contains(&request.user_list.len()) {
        return Err(Refused::new(40032, "invalid openid list size"));
    }
    let mut state = platform.state();
    let mut people = Vec::with_capacity(request.user_list.len());
    for item in &request.user_list {
        check_language(&item.lang)?;
        people.push(describe(state.follower(account, &item.openid).ok_or_else(Refused::openid)?));
    }
    Ok(Answer::Json(json!({ "user_info_list": people })))
}

fn describe(follower: &Follower) -> Value {
    if !follower.following {
        return json!({ "subscribe": 0, "openid": follower.openid });
    }
    let number: u64 = follower.scene.parse().unwrap_or_default();
    json!({
        "subscribe": 1,
        "openid": follower.openid,
        "language": "zh_CN",
        "subscribe_time": follower.followed_at.map_or(0, |at| at.seconds()),
        "remark": follower.remark,
        "groupid": 0,
        "tagid_list": follower.tags,
        "subscribe_scene": follower.subscribe_scene,
        "qr_scene": number,
        "qr_scene_str": if number == 0 { follower.scene.as_str() } else { "" },
    })
}

/// `GET /cgi-bin/user/get`
pub(crate) fn list(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let state = platform.state();
    let account = &state.accounts[account];
    let following = |openid: &&String| account.followers.get(*openid).is_some_and(|one| one.following);
    let all: Vec<&String> = account.order.iter().filter(following).collect();
    let start = match call.query("next_openid") {
        "" => 0,
        after => {
            let at = all.iter().position(|openid| *openid == after);
            at.ok_or_else(Refused::openid)? + 1
        }
    };
    let page: Vec<&&String> = all.iter().skip(start).take(PAGE_MAX).collect();
    let mut body = json!({ "total": all.len(), "count": page.len(), "next_openid": "" });
    if let Some(last) = page.last() {
        body["next_openid"] = json!(last);
        body["data"] = json!({ "openid": page });
    }
    Ok(Answer::Json(body))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemarkRequest {
    openid: String,
    remark: String,
}

/// `POST /cgi-bin/user/info/updateremark`
pub(crate) fn remark(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: RemarkRequest = call.json()?;
    let mut state = platform.state();
    let follower = state.follower(account, &request.openid).ok_or_else(Refused::openid)?;
    if !follower.following {
        return Err(Refused::new(43004, "require subscribe"));
    }
    if request.remark.len() >= REMARK_BYTES_END {
        return Err(Refused::new(40092, "invalid remark name size"));
    }
    follower.remark = request.remark;
    ok()
}
