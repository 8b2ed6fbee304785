//! Who follows: `/cgi-bin/user/*`.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::platform::{Follower, Platform};
use super::{Answer, Answered, Call, Refused};

const PAGE_MAX: usize = 10_000;
const BATCH_MAX: usize = 100;

/// `GET /cgi-bin/user/info`
pub(crate) fn info(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    call.require_get()?;
    let mut state = platform.state();
    let follower = state.follower(account, call.query("openid"));
    let follower = follower.ok_or_else(|| Refused::new(40003, "invalid openid"))?;
    Ok(Answer::Json(describe(follower)))
}

#[derive(Deserialize)]
struct BatchRequest {
    user_list: Vec<BatchItem>,
}

#[derive(Deserialize)]
struct BatchItem {
    openid: String,
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
        let follower = state.follower(account, &item.openid);
        people.push(describe(follower.ok_or_else(|| Refused::new(40003, "invalid openid"))?));
    }
    Ok(Answer::Json(json!({ "user_info_list": people })))
}

fn describe(follower: &Follower) -> Value {
    if !follower.following {
        return json!({ "subscribe": 0, "openid": follower.openid });
    }
    let by_code = !follower.scene.is_empty();
    let number: u64 = follower.scene.parse().unwrap_or_default();
    json!({
        "subscribe": 1,
        "openid": follower.openid,
        "language": "zh_CN",
        "subscribe_time": follower.followed_at.map_or(0, |at| at.seconds()),
        "remark": "",
        "groupid": 0,
        "tagid_list": [],
        "subscribe_scene": if by_code { "ADD_SCENE_QR_CODE" } else { "ADD_SCENE_SEARCH" },
        "qr_scene": number,
        "qr_scene_str": if number == 0 { follower.scene.as_str() } else { "" },
    })
}

/// `GET /cgi-bin/user/get`
pub(crate) fn list(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    call.require_get()?;
    let state = platform.state();
    let account = &state.accounts[account];
    let following = |openid: &&String| account.followers.get(*openid).is_some_and(|one| one.following);
    let all: Vec<&String> = account.order.iter().filter(following).collect();
    let start = match call.query("next_openid") {
        "" => 0,
        after => {
            let at = all.iter().position(|openid| *openid == after);
            at.ok_or_else(|| Refused::new(40003, "invalid openid"))? + 1
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
