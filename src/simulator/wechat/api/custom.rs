//! Customer-service messages: `/cgi-bin/message/custom/send` and `typing`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::allowance;
use super::super::platform::{Platform, State};
use super::super::timeline::{Direction, Draft, Source};
use super::{Answered, Call, Refused, ok};
use crate::domain::time::UnixMs;

const TEXT_BYTES_MAX: usize = 2048;
const TYPING: Duration = Duration::from_secs(15);
/// Typing needs an exchange this recent.
const EXCHANGE: Duration = Duration::from_secs(30);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    msgtype: String,
    // Of these exactly the one that `msgtype` names must be there.
    text: Option<Text>,
    image: Option<Media>,
    voice: Option<Media>,
    video: Option<Video>,
    music: Option<Music>,
    news: Option<News>,
    mpnews: Option<Media>,
    mpnewsarticle: Option<PublishedArticle>,
    msgmenu: Option<Choices>,
    wxcard: Option<Coupon>,
    miniprogrampage: Option<MiniProgramPage>,
    // These two may stand beside it.
    customservice: Option<Agent>,
    aimsgcontext: Option<Generated>,
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
struct Video {
    media_id: String,
    thumb_media_id: String,
    title: Option<String>,
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Music {
    title: String,
    description: String,
    musicurl: String,
    hqmusicurl: String,
    thumb_media_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct News {
    articles: Vec<Article>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Article {
    title: String,
    description: String,
    url: String,
    picurl: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishedArticle {
    article_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choices {
    head_content: Option<String>,
    list: Vec<Choice>,
    tail_content: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    id: String,
    content: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Coupon {
    card_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MiniProgramPage {
    title: String,
    appid: String,
    pagepath: String,
    thumb_media_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Agent {
    kf_account: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Generated {
    is_ai_msg: u8,
}

impl SendRequest {
    /// Names of the message objects that are there.
    fn present(&self) -> Vec<&'static str> {
        let objects = [
            ("text", self.text.is_some()),
            ("image", self.image.is_some()),
            ("voice", self.voice.is_some()),
            ("video", self.video.is_some()),
            ("music", self.music.is_some()),
            ("news", self.news.is_some()),
            ("mpnews", self.mpnews.is_some()),
            ("mpnewsarticle", self.mpnewsarticle.is_some()),
            ("msgmenu", self.msgmenu.is_some()),
            ("wxcard", self.wxcard.is_some()),
            ("miniprogrampage", self.miniprogrampage.is_some()),
        ];
        objects.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
    }
}

struct Bubble {
    kind: &'static str,
    text: String,
    detail: Value,
}

impl Bubble {
    fn new(kind: &'static str, text: impl Into<String>, detail: Value) -> Self {
        Self { kind, text: text.into(), detail }
    }

    fn note(&mut self, name: &str, value: Value) {
        if self.detail.is_null() {
            self.detail = json!({});
        }
        self.detail[name] = value;
    }
}

/// What a message may refer to.
struct Shelf<'a> {
    state: &'a State,
    account: usize,
    now: UnixMs,
}

impl Shelf<'_> {
    fn media(&self, id: &str, kind: &str) -> Result<String, Refused> {
        let library = &self.state.accounts[self.account].media;
        if library.fits(id, kind, self.now) { Ok(id.to_owned()) } else { Err(Refused::media()) }
    }
}

/// `POST /cgi-bin/message/custom/send`
pub(crate) fn send(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let (now, at) = (platform.now(), platform.true_now());
    let mut state = platform.state();
    if state.follower(account, &request.touser).is_none() {
        return Err(Refused::openid());
    }
    let mut bubble = bubble(&Shelf { state: &state, account, now }, &request)?;
    let follower = state.follower(account, &request.touser).ok_or_else(Refused::openid)?;
    if !follower.following {
        return Err(Refused::new(43004, "require subscribe"));
    }
    if follower.is_blacklisted {
        return Err(Refused::new(43019, "user is in the blacklist"));
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
    if let Some(agent) = &request.customservice {
        let nickname = state.accounts[account].agents.nickname(&agent.kf_account);
        bubble.note("agent", json!(nickname));
    }
    if request.aimsgcontext.as_ref().is_some_and(|context| context.is_ai_msg == 1) {
        bubble.note("is_generated", json!(true));
    }
    let draft = Draft::new(Direction::Account, bubble.kind, bubble.text)
        .detail(bubble.detail)
        .sent_as(Source::Custom, None)
        .call(&call.path, &String::from_utf8_lossy(&call.body), json!({ "errcode": 0, "errmsg": "ok" }));
    state.show(account, &request.touser, at, draft);
    ok()
}

fn bubble(shelf: &Shelf<'_>, request: &SendRequest) -> Result<Bubble, Refused> {
    let invalid = |name: &str| Refused::new(40035, format!("invalid parameter: {name}"));
    if let Some(agent) = &request.customservice
        && shelf.state.accounts[shelf.account].agents.nickname(&agent.kf_account).is_none()
    {
        return Err(Refused::new(65401, "invalid custom service account"));
    }
    if request.aimsgcontext.as_ref().is_some_and(|context| context.is_ai_msg > 1) {
        return Err(invalid("aimsgcontext.is_ai_msg"));
    }
    let known = request.present();
    match known.as_slice() {
        [only] if *only == request.msgtype => {}
        [] => return Err(Refused::new(40008, "invalid message type")),
        _ => {
            return Err(Refused::new(
                40008,
                "invalid message type: it names another object than the body has",
            ));
        }
    }
    if let Some(Text { content }) = &request.text {
        return match content.len() {
            0 => Err(Refused::new(44004, "empty content")),
            length if length > TEXT_BYTES_MAX => Err(Refused::new(45002, "content size out of limit")),
            _ => Ok(Bubble::new("text", content.as_str(), Value::Null)),
        };
    }
    if let Some(news) = &request.news {
        return self::news(news);
    }
    if let Some(choices) = &request.msgmenu {
        return self::choices(choices);
    }
    media_bubble(shelf, request)?.map_or_else(|| other_bubble(shelf, request), Ok)
}

fn media_bubble(shelf: &Shelf<'_>, request: &SendRequest) -> Result<Option<Bubble>, Refused> {
    if let Some(image) = &request.image {
        let detail = json!({ "media_id": shelf.media(&image.media_id, "image")? });
        return Ok(Some(Bubble::new("image", "[图片]", detail)));
    }
    if let Some(voice) = &request.voice {
        let detail = json!({ "media_id": shelf.media(&voice.media_id, "voice")? });
        return Ok(Some(Bubble::new("voice", "[语音]", detail)));
    }
    if let Some(video) = &request.video {
        let detail = json!({
            "media_id": shelf.media(&video.media_id, "video")?,
            "thumb_media_id": shelf.media(&video.thumb_media_id, "thumb")?,
            "title": video.title,
            "description": video.description,
        });
        return Ok(Some(Bubble::new("video", "[视频]", detail)));
    }
    if let Some(music) = &request.music {
        let url = if music.hqmusicurl.is_empty() { &music.musicurl } else { &music.hqmusicurl };
        let detail = json!({
            "title": music.title,
            "description": music.description,
            "url": url,
            "thumb_media_id": shelf.media(&music.thumb_media_id, "thumb")?,
        });
        return Ok(Some(Bubble::new("music", music.title.as_str(), detail)));
    }
    Ok(None)
}

fn other_bubble(shelf: &Shelf<'_>, request: &SendRequest) -> Result<Bubble, Refused> {
    let invalid = |name: &str| Refused::new(40035, format!("invalid parameter: {name}"));
    let link = |title: &str, about: &str| Bubble::new("link", title, json!({ "description": about }));
    if let Some(article) = &request.mpnewsarticle {
        let id = &article.article_id;
        return if id.is_empty() { Err(invalid("article_id")) } else { Ok(link("[图文]", id)) };
    }
    if let Some(coupon) = &request.wxcard {
        let id = &coupon.card_id;
        return if id.is_empty() { Err(invalid("card_id")) } else { Ok(link("[卡券]", id)) };
    }
    if let Some(page) = &request.miniprogrampage {
        if page.appid.is_empty() || page.pagepath.is_empty() {
            return Err(invalid("miniprogrampage"));
        }
        let detail = json!({
            "appid": page.appid,
            "pagepath": page.pagepath,
            "thumb_media_id": shelf.media(&page.thumb_media_id, "thumb")?,
        });
        return Ok(Bubble::new("miniprogram", page.title.as_str(), detail));
    }
    // `mpnews` was withdrawn when drafts came: no media id can name one any more.
    Err(Refused::media())
}

fn news(news: &News) -> Result<Bubble, Refused> {
    let [article] = news.articles.as_slice() else {
        return Err(Refused::new(45008, "article size out of limit"));
    };
    if article.title.is_empty() {
        return Err(Refused::new(40035, "invalid parameter: news.articles.title"));
    }
    let shown = json!({ "articles": [{
        "title": article.title,
        "description": article.description,
        "picurl": article.picurl,
        "url": article.url,
    }]});
    Ok(Bubble::new("news", article.title.as_str(), shown))
}

fn choices(choices: &Choices) -> Result<Bubble, Refused> {
    let complete = |item: &Choice| !item.id.is_empty() && !item.content.is_empty();
    if choices.list.is_empty() || !choices.list.iter().all(complete) {
        return Err(Refused::new(40035, "invalid parameter: msgmenu.list"));
    }
    let list: Vec<Value> =
        choices.list.iter().map(|item| json!({ "id": item.id, "content": item.content })).collect();
    let head = choices.head_content.clone().unwrap_or_default();
    let detail = json!({ "head": head, "list": list, "tail": choices.tail_content });
    Ok(Bubble::new("msgmenu", head, detail))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
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
    let follower = state.follower(account, &request.touser).ok_or_else(Refused::openid)?;
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
