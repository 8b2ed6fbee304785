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
use super::{Answer, Answered, Call, Refused};
use crate::domain::time::UnixMs;

/// The same follower and `client_msg_id` bring one message within this time.
const SINGLE: Duration = Duration::from_secs(600);
const SENT_MAX: usize = 200_000;
const URL_BYTES_MAX: usize = 2048;

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

#[derive(Deserialize)]
struct SendRequest {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    template_id: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    client_msg_id: String,
    #[serde(default)]
    data: HashMap<String, Value>,
}

/// `POST /cgi-bin/message/template/send`
pub(crate) fn send(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let (now, at) = (platform.now(), platform.true_now());
    let mut state = platform.state();
    let follower = state.follower(account, &request.touser);
    let follower = follower.ok_or_else(|| Refused::new(40003, "invalid openid"))?;
    let (following, blocked) = (follower.following, follower.blocked);
    let template = find(&state, account, &request.template_id)?;
    if !following {
        return Err(Refused::new(43004, "require subscribe"));
    }
    if request.url.len() > URL_BYTES_MAX {
        return Err(Refused::new(40039, "invalid url size"));
    }
    let lines = lines(&template, &request.data)?;
    let key = (request.touser.clone(), request.client_msg_id.clone());
    let known = state.accounts[account].sent.find(&key, now).filter(|_| !key.1.is_empty());
    if let Some(message_id) = known {
        return Ok(accepted(message_id));
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
    let truth = if blocked { "failed:user block" } else { "success" };
    let status = state.receipts.take().unwrap_or_else(|| truth.to_owned());
    let delay_ms = state.receipts.delay_ms;
    drop(state);
    if let Some(entry) = entry.filter(|_| !status.is_empty()) {
        platform.send_receipt(Receipt {
            account,
            openid: request.touser,
            entry,
            message_id,
            status,
            delay_ms,
        });
    }
    Ok(accepted(message_id))
}

/// Ids of template messages exceed 2^53, so that a client that reads them as floats is found out.
fn message_id(state: &mut State) -> u64 {
    state.next_message_id().saturating_mul(200)
}

fn accepted(message_id: u64) -> Answer {
    Answer::Json(json!({ "errcode": 0, "errmsg": "ok", "msgid": message_id }))
}

fn find(state: &State, account: usize, id: &str) -> Result<Template, Refused> {
    let mut templates = state.accounts[account].settings.templates.iter();
    let template = templates.find(|template| template.id == id).cloned();
    template.ok_or_else(|| Refused::new(40037, "invalid template_id"))
}

/// Each declared line with its value, or 47003 with the first key that is wrong.
fn lines(template: &Template, data: &HashMap<String, Value>) -> Result<Vec<Value>, Refused> {
    let mut lines = Vec::with_capacity(template.lines.len());
    for (keyword, label) in &template.lines {
        let wrong = || Refused::new(47003, format!("argument invalid! data.{keyword}.value invalid"));
        let value = data.get(keyword).and_then(|entry| entry["value"].as_str()).ok_or_else(wrong)?;
        if !template_limits::fits(keyword, value) {
            return Err(wrong());
        }
        lines.push(json!({ "keyword": keyword, "label": label, "value": value }));
    }
    Ok(lines)
}

/// `GET /cgi-bin/template/get_all_private_template`
pub(crate) fn list(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    call.require_get()?;
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
