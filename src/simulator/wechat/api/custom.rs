//! Customer-service messages: `/cgi-bin/message/custom/send` and `typing`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::allowance;
use super::super::platform::{Platform, State};
use super::super::timeline::{Direction, Draft, Source};
use super::{Answered, Call, Refused, ok};

const TEXT_BYTES_MAX: usize = 2048;
const TYPING: Duration = Duration::from_secs(15);
/// Typing needs an exchange this recent.
const EXCHANGE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
struct SendRequest {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    msgtype: String,
    #[serde(flatten)]
    body: serde_json::Map<String, Value>,
}

struct Bubble {
    kind: &'static str,
    text: String,
    detail: Value,
}

/// `POST /cgi-bin/message/custom/send`
pub(crate) fn send(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let (now, at) = (platform.now(), platform.true_now());
    let mut state = platform.state();
    if state.follower(account, &request.touser).is_none() {
        return Err(Refused::new(40003, "invalid openid"));
    }
    let bubble = bubble(&state, account, &request)?;
    let Some(follower) = state.follower(account, &request.touser) else { return ok() };
    if !follower.following {
        return Err(Refused::new(43004, "require subscribe"));
    }
    if follower.blocked {
        return Err(Refused::new(48002, "user refuse to receive message"));
    }
    follower.allowance.spend(now).map_err(|refused| match refused {
        allowance::Refused::WindowClosed => {
            Refused::new(45015, "response out of time limit or subscription is canceled")
        }
        allowance::Refused::UsedUp => Refused::new(45047, "out of response count limit"),
    })?;
    follower.exchanged_at = Some(now);
    follower.typing_until = None;
    let answer = ok();
    let draft = Draft::new(Direction::Account, bubble.kind, bubble.text)
        .detail(bubble.detail)
        .sent_as(Source::Custom, None)
        .call(&call.path, &String::from_utf8_lossy(&call.body), json!({ "errcode": 0, "errmsg": "ok" }));
    state.show(account, &request.touser, at, draft);
    answer
}

fn bubble(state: &State, account: usize, request: &SendRequest) -> Result<Bubble, Refused> {
    let content = request.body.get(&request.msgtype).cloned().unwrap_or(Value::Null);
    let field = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
    let media = |name: &str| {
        let known = state.accounts[account].media.has(&field(name));
        if known { Ok(field(name)) } else { Err(Refused::new(40007, "invalid media_id")) }
    };
    let shown = |kind, text: String, detail| Ok(Bubble { kind, text, detail });
    match request.msgtype.as_str() {
        "text" => match field("content") {
            text if text.is_empty() => Err(Refused::new(44004, "empty content")),
            text if text.len() > TEXT_BYTES_MAX => Err(Refused::new(45002, "content size out of limit")),
            text => shown("text", text, Value::Null),
        },
        "image" => shown("image", "[图片]".to_owned(), json!({ "media_id": media("media_id")? })),
        "voice" => shown("voice", "[语音]".to_owned(), json!({ "media_id": media("media_id")? })),
        "video" => {
            media("thumb_media_id")?;
            let detail = json!({
                "media_id": media("media_id")?, "title": field("title"), "description": field("description"),
            });
            shown("video", "[视频]".to_owned(), detail)
        }
        "music" => {
            media("thumb_media_id")?;
            let detail = json!({
                "title": field("title"), "description": field("description"), "url": field("musicurl"),
            });
            shown("music", field("title"), detail)
        }
        "news" => news(&content),
        "msgmenu" => msgmenu(&content),
        "mpnewsarticle" if !field("article_id").is_empty() => {
            shown("link", "[图文]".to_owned(), json!({ "description": field("article_id") }))
        }
        "wxcard" if !field("card_id").is_empty() => {
            shown("link", "[卡券]".to_owned(), json!({ "description": field("card_id") }))
        }
        "miniprogrampage" => {
            media("thumb_media_id")?;
            if field("appid").is_empty() || field("pagepath").is_empty() {
                return Err(Refused::new(40035, "invalid parameter"));
            }
            shown("link", field("title"), json!({ "description": "小程序" }))
        }
        _ => Err(Refused::new(40008, "invalid message type")),
    }
}

fn news(content: &Value) -> Result<Bubble, Refused> {
    let articles = content["articles"].as_array().map(Vec::as_slice).unwrap_or_default();
    let [article] = articles else {
        return Err(Refused::new(45008, "article size out of limit"));
    };
    let shown = json!({ "articles": [{
        "title": article["title"], "description": article["description"],
        "picurl": article["picurl"], "url": article["url"],
    }]});
    let title = article["title"].as_str().unwrap_or_default();
    if title.is_empty() {
        return Err(Refused::new(40035, "invalid parameter: title"));
    }
    Ok(Bubble { kind: "news", text: title.to_owned(), detail: shown })
}

fn msgmenu(content: &Value) -> Result<Bubble, Refused> {
    let list = content["list"].as_array().map(Vec::as_slice).unwrap_or_default();
    let complete = |item: &Value| {
        let (id, words) = (item["id"].as_str(), item["content"].as_str());
        id.is_some_and(|id| !id.is_empty()) && words.is_some_and(|words| !words.is_empty())
    };
    if list.is_empty() || !list.iter().all(complete) {
        return Err(Refused::new(40035, "invalid parameter: msgmenu.list"));
    }
    let head = content["head_content"].as_str().unwrap_or_default().to_owned();
    let detail = json!({ "head": head, "list": list, "tail": content["tail_content"] });
    Ok(Bubble { kind: "msgmenu", text: head, detail })
}

#[derive(Deserialize)]
struct TypingRequest {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    command: String,
}

/// `POST /cgi-bin/message/custom/typing`
pub(crate) fn typing(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: TypingRequest = call.json()?;
    let now = platform.now();
    let mut state = platform.state();
    let follower = state.follower(account, &request.touser);
    let follower = follower.ok_or_else(|| Refused::new(40003, "invalid openid"))?;
    let recent = follower.exchanged_at.is_some_and(|at| now < at + EXCHANGE);
    let typing = follower.typing_until.is_some_and(|until| now < until);
    match request.command.as_str() {
        "Typing" if !recent => {
            return Err(Refused::new(45080, "can not send typing, no message in the last 30 seconds"));
        }
        "Typing" if typing => return Err(Refused::new(45081, "typing already sent")),
        "Typing" => follower.typing_until = Some(now + TYPING),
        "CancelTyping" => follower.typing_until = None,
        _ => return Err(Refused::new(45072, "invalid command")),
    }
    state.touch(account, &request.touser);
    ok()
}
