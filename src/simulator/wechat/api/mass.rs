//! Mass sending (群发): `/cgi-bin/message/mass/*`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::events::PlatformEvent;
use super::super::platform::{Platform, State};
use super::super::timeline::{Direction, Draft, Source};
use super::{Answer, Answered, Call, Refused, ok};
use crate::domain::time::UnixMs;

const OPENIDS_MIN: usize = 2;
const OPENIDS_MAX: usize = 10_000;
/// Jobs that are remembered.
const JOBS_MAX: usize = 10_000;
const REACHED_PER_MONTH_MAX: u32 = 4;
const CLIENT_ID_BYTES_MAX: usize = 32;
const SINGLE: Duration = Duration::from_secs(24 * 3600);
const SPEED_MAX: u8 = 4;
/// Messages a minute at each speed.
const SPEEDS: [u32; 5] = [800_000, 600_000, 450_000, 300_000, 100_000];

/// The jobs of one account.
#[derive(Default)]
pub(crate) struct Jobs {
    by_id: HashMap<u64, &'static str>,
    by_client_id: HashMap<String, (u64, UnixMs)>,
    speed: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    is_to_all: bool,
    tag_id: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Media {
    media_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Film {
    media_id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pictures {
    media_ids: Vec<String>,
    #[serde(default)]
    recommend: String,
    #[serde(default, rename = "need_open_comment")]
    _need_open_comment: u8,
    #[serde(default, rename = "only_fans_can_comment")]
    _only_fans_can_comment: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    filter: Option<Filter>,
    touser: Option<Value>,
    towxname: Option<String>,
    msgtype: String,
    #[serde(default)]
    clientmsgid: String,
    #[serde(default, rename = "send_ignore_reprint")]
    _send_ignore_reprint: u8,
    text: Option<Text>,
    voice: Option<Media>,
    images: Option<Pictures>,
    mpvideo: Option<Film>,
    mpnews: Option<Media>,
    wxcard: Option<Value>,
}

/// What a follower sees of it.
#[derive(Clone)]
struct Bubble {
    kind: &'static str,
    text: String,
    detail: Value,
}

/// `POST /cgi-bin/message/mass/sendall`
pub(crate) fn send_by_tag(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let filter = request.filter.as_ref().filter(|_| request.touser.is_none() && request.towxname.is_none());
    let filter = filter.ok_or_else(|| Refused::new(40035, "invalid parameter: filter"))?;
    let mut state = platform.state();
    let tag = match (filter.is_to_all, filter.tag_id) {
        (true, _) => None,
        (false, Some(tag)) if state.accounts[account].tags.has(tag) => Some(tag),
        (false, _) => return Err(Refused::new(40152, "invalid tag id")),
    };
    let account_state = &state.accounts[account];
    let is_meant = |openid: &&String| {
        let follower = account_state.followers.get(*openid);
        follower.is_some_and(|one| one.following && tag.is_none_or(|tag| one.tags.contains(&tag)))
    };
    let openids: Vec<String> = account_state.order.iter().filter(is_meant).cloned().collect();
    submit(platform, &mut state, account, call, &request, &openids)
}

/// `POST /cgi-bin/message/mass/send`
pub(crate) fn send_by_openid(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let openids: Option<Vec<String>> =
        request.touser.clone().and_then(|openids| serde_json::from_value(openids).ok());
    let openids = openids.filter(|_| request.filter.is_none() && request.towxname.is_none());
    let openids = openids.ok_or_else(|| Refused::new(40031, "invalid openid list"))?;
    if openids.len() < OPENIDS_MIN {
        return Err(Refused::new(40130, "invalid openid list size, at least two openid"));
    }
    if openids.len() > OPENIDS_MAX {
        return Err(Refused::new(40032, "invalid openid list size"));
    }
    let mut state = platform.state();
    if openids.iter().any(|openid| !state.accounts[account].followers.contains_key(openid)) {
        return Err(Refused::openid());
    }
    submit(platform, &mut state, account, call, &request, &openids)
}

/// `POST /cgi-bin/message/mass/preview`: one follower sees it at once; WeChat ids do not exist here.
pub(crate) fn preview(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let openid = request.touser.as_ref().and_then(Value::as_str).ok_or_else(Refused::openid)?.to_owned();
    let mut state = platform.state();
    let bubble = bubble(&state, account, &request, platform.now())?;
    let follower = state.follower(account, &openid).filter(|follower| follower.following);
    follower.ok_or_else(Refused::openid)?;
    show(
        platform,
        &mut state,
        account,
        &openid,
        bubble,
        call,
        json!({ "errcode": 0, "errmsg": "preview success" }),
    );
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "preview success" })))
}

fn submit(
    platform: &Arc<Platform>,
    state: &mut State,
    account: usize,
    call: &Call,
    request: &SendRequest,
    openids: &[String],
) -> Answered {
    let now = platform.now();
    let bubble = bubble(state, account, request, now)?;
    if request.clientmsgid.len() > CLIENT_ID_BYTES_MAX {
        return Err(Refused::new(40035, "invalid parameter: clientmsgid"));
    }
    let jobs = &mut state.accounts[account].mass;
    if let Some((id, at)) = jobs.by_client_id.get(&request.clientmsgid)
        && now < *at + SINGLE
    {
        return Err(Refused::new(45065, format!("clientmsgid exist, msg_id: {id}")));
    }
    if jobs.by_id.len() >= JOBS_MAX {
        return Err(Refused::new(45028, "has no masssend quota"));
    }
    let id = state.next_message_id() % 1_000_000_000_000;
    let jobs = &mut state.accounts[account].mass;
    jobs.by_id.insert(id, "SEND_SUCCESS");
    if !request.clientmsgid.is_empty() {
        jobs.by_client_id.insert(request.clientmsgid.clone(), (id, now));
    }
    let answer =
        json!({ "errcode": 0, "errmsg": "send job submission success", "msg_id": id, "msg_data_id": id + 1 });
    let month = {
        let date = now.beijing();
        i64::from(date.year()) * 12 + i64::from(date.month())
    };
    let mut sent = 0;
    let mut filtered = 0;
    for openid in openids {
        let Some(follower) = state.follower(account, openid) else { continue };
        let reached = if follower.mass_reached.0 == month { follower.mass_reached.1 } else { 0 };
        if !follower.following || follower.is_blacklisted || reached >= REACHED_PER_MONTH_MAX {
            filtered += 1;
            continue;
        }
        follower.mass_reached = (month, reached + 1);
        let refused = follower.blocked;
        if !refused {
            sent += 1;
            show(platform, state, account, openid, bubble.clone(), call, answer.clone());
        }
    }
    let total = openids.len();
    let event = PlatformEvent::MassSendJobFinish {
        id,
        total,
        filtered: total - filtered,
        sent,
        failed: total - filtered - sent,
    };
    if let Some(chat) = state.accounts[account].order.first().cloned() {
        platform.push_event(state, account, &chat, &event);
    }
    Ok(Answer::Json(answer))
}

fn show(
    platform: &Platform,
    state: &mut State,
    account: usize,
    openid: &str,
    bubble: Bubble,
    call: &Call,
    answer: Value,
) {
    let draft = Draft::new(Direction::Account, bubble.kind, bubble.text)
        .detail(bubble.detail)
        .sent_as(Source::Mass, None)
        .call(&call.path, &String::from_utf8_lossy(&call.body), answer);
    state.show(account, openid, platform.true_now(), draft);
}

fn bubble(state: &State, account: usize, request: &SendRequest, now: UnixMs) -> Result<Bubble, Refused> {
    let library = &state.accounts[account].media;
    let require = |id: &str, kind| if library.fits(id, kind, now) { Ok(()) } else { Err(Refused::media()) };
    let shown = |kind, text: &str, detail| Ok(Bubble { kind, text: text.to_owned(), detail });
    match (request.msgtype.as_str(), request) {
        ("text", SendRequest { text: Some(text), .. }) if text.content.is_empty() => {
            Err(Refused::new(44004, "empty content"))
        }
        ("text", SendRequest { text: Some(text), .. }) => shown("text", &text.content, Value::Null),
        ("voice", SendRequest { voice: Some(voice), .. }) => {
            require(&voice.media_id, "voice")?;
            shown("voice", "[语音]", json!({ "media_id": voice.media_id }))
        }
        ("image", SendRequest { images: Some(images), .. }) => {
            let first = images.media_ids.first().ok_or_else(Refused::media)?;
            for id in &images.media_ids {
                require(id, "image")?;
            }
            shown("image", "[图片]", json!({ "media_id": first, "recommend": images.recommend }))
        }
        ("mpvideo", SendRequest { mpvideo: Some(film), .. }) => {
            require(&film.media_id, "video")?;
            let detail = json!({
                "media_id": film.media_id, "title": film.title, "description": film.description,
            });
            shown("video", "[视频]", detail)
        }
        // Articles are made of drafts, which do not exist here.
        ("mpnews", SendRequest { mpnews: Some(news), .. }) if !news.media_id.is_empty() => {
            Err(Refused::media())
        }
        ("wxcard", SendRequest { wxcard: Some(_), .. }) => {
            Err(Refused::new(45113, "wxcard is not supported"))
        }
        _ => Err(Refused::new(40008, "invalid message type")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StatusRequest {
    msg_id: String,
}

/// `POST /cgi-bin/message/mass/get`; here `msg_id` is text
pub(crate) fn status(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let StatusRequest { msg_id } = call.json()?;
    let state = platform.state();
    let status =
        msg_id.parse().ok().and_then(|id: u64| Some((id, *state.accounts[account].mass.by_id.get(&id)?)));
    let (id, status) = status.ok_or_else(|| Refused::new(40035, "invalid parameter: msg_id"))?;
    Ok(Answer::Json(json!({ "msg_id": id, "msg_status": status })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteRequest {
    msg_id: u64,
    #[serde(default, rename = "article_idx")]
    _article_idx: u64,
}

/// `POST /cgi-bin/message/mass/delete`: here `msg_id` is a number; the card stays on the phones
pub(crate) fn delete(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let DeleteRequest { msg_id, .. } = call.json()?;
    let mut state = platform.state();
    let job = state.accounts[account].mass.by_id.get_mut(&msg_id);
    *job.ok_or_else(|| Refused::new(40035, "invalid parameter: msg_id"))? = "DELETE";
    ok()
}

/// `POST /cgi-bin/message/mass/speed/get`
pub(crate) fn speed(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let speed = platform.state().accounts[account].mass.speed;
    let per_minute = SPEEDS.get(usize::from(speed)).copied().unwrap_or_default() / 10_000;
    Ok(Answer::Json(json!({ "speed": speed, "realspeed": per_minute })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SpeedRequest {
    speed: u8,
}

/// `POST /cgi-bin/message/mass/speed/set`
pub(crate) fn set_speed(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let SpeedRequest { speed } = call.json()?;
    if speed > SPEED_MAX {
        return Err(Refused::new(45083, "invalid speed"));
    }
    platform.state().accounts[account].mass.speed = speed;
    ok()
}
