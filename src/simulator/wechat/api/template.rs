//! Template messages: `/cgi-bin/message/template/send` and the library.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::platform::{Platform, State};
use super::super::push::Receipt;
use super::super::settings::Template;
use super::super::timeline::{Direction, Draft, Source};
use super::template_limits;
use super::{Answer, Answered, Call, Refused, ok};
use crate::domain::time::UnixMs;

/// The same follower and `client_msg_id` bring one message within this time.
const SINGLE: Duration = Duration::from_secs(600);
const SENT_MAX: usize = 200_000;
const URL_BYTES_MAX: usize = 2048;
const TEMPLATES_MAX: usize = 25;
const KEYWORDS_MAX: usize = 5;

/// Message ids by follower and `client_msg_id`.
#[derive(Default)]
pub(crate) struct Sent(HashMap<(String, String), (u64, UnixMs)>);

impl Sent {
    fn find(&self, key: &(String, String), now: UnixMs) -> Option<u64> {
        self.0.get(key).filter(|(_, at)| now < *at + SINGLE).map(|(id, _)| *id)
    }

    fn remember(&mut self, key: (String, String), message_id: u64, now: UnixMs) {
        if self.0.len() >= SENT_MAX {
            self.0.retain(|_, (_, at)| now < *at + SINGLE);
        }
        if self.0.len() < SENT_MAX {
            self.0.insert(key, (message_id, now));
        }
    }
}

/// A page of a mini-program that a card leads to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MiniProgram {
    appid: String,
    #[serde(default, rename = "pagepath")]
    _pagepath: String,
}

impl MiniProgram {
    /// Whether it names a mini-program.
    pub(super) fn is_complete(&self) -> bool {
        !self.appid.is_empty()
    }
}

/// One value; the colour was taken from the page, and is no longer shown.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    value: String,
    #[serde(default, rename = "color")]
    _color: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    template_id: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    client_msg_id: String,
    miniprogram: Option<MiniProgram>,
    #[serde(default)]
    data: HashMap<String, Line>,
}

/// `POST /cgi-bin/message/template/send`
pub(crate) fn send(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let (now, at) = (platform.now(), platform.true_now());
    let mut state = platform.state();
    let follower = state.follower(account, &request.touser).ok_or_else(Refused::openid)?;
    let (following, blocked) = (follower.following, follower.blocked);
    let template = find(&state, account, &request.template_id)?;
    if !following {
        return Err(Refused::new(43004, "require subscribe"));
    }
    if request.url.len() > URL_BYTES_MAX {
        return Err(Refused::new(40039, "invalid url size"));
    }
    if request.miniprogram.as_ref().is_some_and(|target| !target.is_complete()) {
        return Err(Refused::new(40013, "invalid appid"));
    }
    let lines = lines(&template, &request.data)?;
    let key = (request.touser.clone(), request.client_msg_id.clone());
    let known = state.accounts[account].sent.find(&key, now).filter(|_| !key.1.is_empty());
    if let Some(message_id) = known {
        return Ok(Answer::Json(accepted(message_id)));
    }
    let message_id = message_id(&mut state);
    if !key.1.is_empty() {
        state.accounts[account].sent.remember(key, message_id, now);
    }
    let url = (!request.url.is_empty()).then_some(request.url.as_str());
    let detail =
        json!({ "title": template.title, "lines": lines, "url": url, "msgid": message_id.to_string() });
    let response = json!({ "errcode": 0, "errmsg": "ok", "msgid": message_id.to_string() });
    let draft = Draft::new(Direction::Account, "template", template.title)
        .detail(detail)
        .hidden(blocked)
        .sent_as(Source::Template, None)
        .call(&call.path, &String::from_utf8_lossy(&call.body), response);
    let entry = state.show(account, &request.touser, at, draft);
    let rule = state.receipts.take(platform.settings.receipt_delay_ms);
    drop(state);
    let body = accepted(message_id);
    let Some(entry) = entry else { return Ok(Answer::Json(body)) };
    let truth = if blocked { "failed:user block" } else { "success" };
    let status = rule.status.clone().unwrap_or_else(|| truth.to_owned());
    let receipt = Receipt { account, openid: request.touser, entry, message_id, status };
    match platform.send_receipt(receipt, &rule) {
        Some(until) => Ok(Answer::Held { body, until }),
        None => Ok(Answer::Json(body)),
    }
}

/// Ids of template messages exceed 2^53, so that a client that reads them as floats is found out.
fn message_id(state: &mut State) -> u64 {
    state.next_message_id().saturating_mul(200)
}

fn accepted(message_id: u64) -> Value {
    json!({ "errcode": 0, "errmsg": "ok", "msgid": message_id })
}

fn find(state: &State, account: usize, id: &str) -> Result<Template, Refused> {
    let mut templates = state.accounts[account].settings.templates.iter();
    let template = templates.find(|template| template.id == id).cloned();
    template.ok_or_else(|| Refused::new(40037, "invalid template_id"))
}

/// Each declared line with its value, or 47003 with the first key that is wrong. `first` and `remark` are dropped
/// without a word, as the platform has done since 2023; any other key that the template does not declare is told.
fn lines(template: &Template, data: &HashMap<String, Line>) -> Result<Vec<Value>, Refused> {
    let wrong = |key: &str| Refused::new(47003, format!("argument invalid! data.{key}.value invalid"));
    let mut lines = Vec::with_capacity(template.lines.len());
    for (keyword, label) in &template.lines {
        let line = data.get(keyword).ok_or_else(|| wrong(keyword))?;
        if !template_limits::fits(keyword, &line.value) {
            return Err(wrong(keyword));
        }
        lines.push(json!({ "keyword": keyword, "label": label, "value": line.value }));
    }
    let is_known = |key: &str| {
        matches!(key, "first" | "remark") || template.lines.iter().any(|(keyword, _)| keyword == key)
    };
    match data.keys().find(|key| !is_known(key)) {
        Some(unknown) => Err(wrong(unknown)),
        None => Ok(lines),
    }
}

/// `GET /cgi-bin/template/get_all_private_template`
pub(crate) fn list(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let describe = |template: &Template| {
        let each = |line: &dyn Fn(&(String, String)) -> String| -> String {
            template.lines.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        json!({
            "template_id": template.id,
            "title": template.title,
            "primary_industry": "金融业",
            "deputy_industry": "银行",
            "content": each(&|(keyword, label)| format!("{label}:{{{{{keyword}.DATA}}}}")),
            "example": each(&|(_, label)| format!("{label}:示例")),
        })
    };
    let templates: Vec<Value> = state.accounts[account].settings.templates.iter().map(describe).collect();
    Ok(Answer::Json(json!({ "template_list": templates })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddRequest {
    template_id_short: String,
    #[serde(default)]
    keyword_name_list: Vec<String>,
}

/// `POST /cgi-bin/template/api_add_template`. There is no library behind it: any number is a template, whose kinds
/// of keyword follow from their names.
pub(crate) fn add(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: AddRequest = call.json()?;
    if request.template_id_short.is_empty()
        || !request.template_id_short.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Err(Refused::new(40247, "need category template id"));
    }
    let names = &request.keyword_name_list;
    if !(1..=KEYWORDS_MAX).contains(&names.len()) || names.iter().any(String::is_empty) {
        return Err(Refused::new(40246, "invalid keyword_name_list"));
    }
    let line = |(at, name): (usize, &String)| (format!("{}{}", kind_of(name), at + 1), name.clone());
    let template = Template {
        id: platform.random_text::<32>(),
        title: format!("模板 {}", request.template_id_short),
        lines: names.iter().enumerate().map(line).collect(),
        way: crate::config::NoticeWay::Template,
    };
    let mut state = platform.state();
    let templates = &mut state.accounts[account].settings.templates;
    if templates.len() >= TEMPLATES_MAX {
        return Err(Refused::new(45026, "template num exceeds limit"));
    }
    let body = json!({ "errcode": 0, "errmsg": "ok", "template_id": template.id });
    templates.push(template);
    Ok(Answer::Json(body))
}

fn kind_of(name: &str) -> &'static str {
    let has = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    match name {
        _ if has(&["金额", "额度"]) => "amount",
        _ if has(&["时间", "日期"]) => "time",
        _ if has(&["编号", "卡号", "单号"]) => "character_string",
        _ if has(&["电话", "手机"]) => "phone_number",
        _ => "thing",
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveRequest {
    template_id: String,
}

/// `POST /cgi-bin/template/del_private_template`
pub(crate) fn remove(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let RemoveRequest { template_id } = call.json()?;
    let mut state = platform.state();
    let templates = &mut state.accounts[account].settings.templates;
    let before = templates.len();
    templates.retain(|template| template.id != template_id);
    if templates.len() < before { ok() } else { Err(Refused::new(40037, "invalid template_id")) }
}
