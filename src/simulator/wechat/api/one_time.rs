//! One-time subscription (一次性订阅): the page that asks, and the message that it allows.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use url::Url;

use super::super::pages;
use super::super::platform::Platform;
use super::super::timeline::{Direction, Draft, Source};
use super::template::MiniProgram;
use super::{Answered, Call, Refused, ok};

const SCENE_MAX: u32 = 10_000;
const TITLE_CHARS_MAX: usize = 15;
const CONTENT_CHARS_MAX: usize = 200;

/// Query of the page.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    action: String,
    appid: String,
    scene: u32,
    template_id: String,
    redirect_url: String,
    #[serde(default)]
    reserved: String,
    /// Who the phone's user is; only this page knows the parameter, and tests may use it.
    #[serde(rename = "as")]
    openid: Option<String>,
    /// `confirm` or `cancel`.
    answer: Option<String>,
}

/// `GET /mp/subscribemsg`: asks the follower once, and goes back with what he said.
pub(crate) async fn ask(platform: web::Data<Platform>, query: web::Query<Ask>) -> HttpResponse {
    let ask = query.into_inner();
    let Some(account) = platform.state().app_index(&ask.appid) else {
        return pages::authorize_fault(10_016, "appid 不正确");
    };
    let Ok(mut target) = Url::parse(&ask.redirect_url) else {
        return pages::authorize_fault(10_003, "redirect_url 无法解析");
    };
    if ask.action != "get_confirm" || ask.scene > SCENE_MAX || ask.template_id.is_empty() {
        return pages::authorize_fault(10_012, "action、scene 或 template_id 不正确");
    }
    let (Some(openid), Some(answer)) = (&ask.openid, &ask.answer) else {
        return pages::ask_once(&platform, account, &ask.query());
    };
    let scene = ask.scene.to_string();
    {
        let mut state = platform.state();
        let Some(follower) = state.follower(account, openid) else {
            return pages::authorize_fault(10_006, "没有这个用户");
        };
        if answer == "confirm" {
            follower.one_time.insert((ask.template_id.clone(), scene.clone()));
        }
    }
    target
        .query_pairs_mut()
        .append_pair("openid", openid)
        .append_pair("template_id", &ask.template_id)
        .append_pair("action", if answer == "confirm" { "confirm" } else { "cancel" })
        .append_pair("scene", &scene)
        .append_pair("reserved", &ask.reserved);
    HttpResponse::Found().insert_header(("location", target.as_str().to_owned())).finish()
}

impl Ask {
    /// The query without an answer.
    fn query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new())
            .append_pair("action", &self.action)
            .append_pair("appid", &self.appid)
            .append_pair("scene", &self.scene.to_string())
            .append_pair("template_id", &self.template_id)
            .append_pair("redirect_url", &self.redirect_url)
            .append_pair("reserved", &self.reserved)
            .finish()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    value: String,
    #[serde(default, rename = "color")]
    _color: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    content: Content,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    touser: String,
    template_id: String,
    #[serde(default)]
    url: String,
    miniprogram: Option<MiniProgram>,
    scene: String,
    title: String,
    data: Data,
}

/// `POST /cgi-bin/message/template/subscribe`
pub(crate) fn send(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let at = platform.true_now();
    let mut state = platform.state();
    let follower = state.follower(account, &request.touser).ok_or_else(Refused::openid)?;
    if !(1..=TITLE_CHARS_MAX).contains(&request.title.chars().count()) {
        return Err(Refused::new(40062, "invalid title size"));
    }
    if !(1..=CONTENT_CHARS_MAX).contains(&request.data.content.value.chars().count()) {
        return Err(Refused::new(47003, "argument invalid! data.content.value invalid"));
    }
    if request.miniprogram.as_ref().is_some_and(|target| !target.is_complete()) {
        return Err(Refused::new(40013, "invalid appid"));
    }
    if !follower.one_time.remove(&(request.template_id.clone(), request.scene.clone())) {
        return Err(Refused::new(43101, "user refuse to accept the msg"));
    }
    let url = (!request.url.is_empty()).then_some(&request.url);
    let line = json!({ "keyword": "content", "label": "内容", "value": request.data.content.value });
    let detail = json!({ "title": request.title, "lines": [line], "url": url, "is_subscription": true });
    let draft = Draft::new(Direction::Account, "template", request.title.as_str())
        .detail(detail)
        .sent_as(Source::Subscription, None)
        .call(&call.path, &String::from_utf8_lossy(&call.body), json!({ "errcode": 0, "errmsg": "ok" }));
    state.show(account, &request.touser, at, draft);
    ok()
}
