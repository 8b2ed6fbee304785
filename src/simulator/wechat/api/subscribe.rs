//! Subscription notices (订阅通知): `bizsend` and the template library.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::events::{NoticeResult, PlatformEvent};
use super::super::platform::Platform;
use super::super::settings::Template;
use super::super::timeline::{Direction, Draft, Source};
use super::template::MiniProgram;
use super::{Answer, Answered, Call, Refused, ok, template_limits};
use crate::config::NoticeWay;

const TEMPLATES_MAX: usize = 50;
const KEYWORDS_MIN: usize = 2;
const KEYWORDS_MAX: usize = 5;
const SCENE_CHARS_MAX: usize = 15;
const TITLES_PAGE_MAX: usize = 30;
const CATEGORY: u32 = 2;

/// A template that an account may take over: `tid`, title, whether it is for long, keywords.
struct Published {
    tid: &'static str,
    title: &'static str,
    is_long_term: bool,
    keywords: &'static [(&'static str, &'static str, &'static str)],
}

/// A small public library.
const LIBRARY: &[Published] = &[
    Published {
        tid: "401",
        title: "交易提醒",
        is_long_term: true,
        keywords: &[
            ("amount", "交易金额", "¥128.50"),
            ("thing", "交易商户", "示例商户"),
            ("time", "交易时间", "2026-01-01 09:30"),
            ("character_string", "卡号尾号", "1234"),
            ("phrase", "交易类型", "消费"),
        ],
    },
    Published {
        tid: "99",
        title: "预约结果通知",
        is_long_term: false,
        keywords: &[
            ("thing", "预约事项", "网点办理"),
            ("date", "预约日期", "2026年1月1日"),
            ("name", "预约人", "某某"),
            ("phrase", "预约结果", "成功"),
        ],
    },
];

/// A template that the account has taken over.
pub(crate) struct Notice {
    id: String,
    title: String,
    is_long_term: bool,
    /// Keyword, label, example.
    lines: Vec<(String, String, &'static str)>,
}

/// The templates of one account.
#[derive(Default)]
pub(crate) struct Notices(Vec<Notice>);

impl Notices {
    /// Those that the configuration says the account has taken over.
    pub(crate) fn of(templates: &[Template]) -> Self {
        let taken_over = templates.iter().filter(|template| template.way.needs_consent());
        let notice = |template: &Template| Notice {
            id: template.id.clone(),
            title: template.title.clone(),
            is_long_term: template.way == NoticeWay::SubscribeLongTerm,
            lines: template
                .lines
                .iter()
                .map(|(keyword, label)| (keyword.clone(), label.clone(), ""))
                .collect(),
        };
        Self(taken_over.map(notice).collect())
    }

    /// What a page of the account may offer.
    pub(crate) fn offered(&self) -> Vec<Value> {
        let view = |notice: &Notice| json!({ "id": notice.id, "title": notice.title, "is_long_term": notice.is_long_term });
        self.0.iter().map(view).collect()
    }

    /// Whether the account has this template, and whether one acceptance is for long.
    pub(crate) fn is_long_term(&self, id: &str) -> Option<bool> {
        self.0.iter().find(|notice| notice.id == id).map(|notice| notice.is_long_term)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddRequest {
    tid: String,
    #[serde(rename = "kidList")]
    kid_list: Vec<usize>,
    #[serde(rename = "sceneDesc")]
    scene_desc: String,
}

/// `POST /wxaapi/newtmpl/addtemplate`
pub(crate) fn add(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: AddRequest = call.json()?;
    let published = LIBRARY.iter().find(|published| published.tid == request.tid);
    let published = published.ok_or_else(|| Refused::new(200_014, "invalid tid"))?;
    if !(KEYWORDS_MIN..=KEYWORDS_MAX).contains(&request.kid_list.len()) {
        return Err(Refused::new(200_020, "invalid kidList size"));
    }
    if !(1..=SCENE_CHARS_MAX).contains(&request.scene_desc.chars().count()) {
        return Err(Refused::new(200_021, "invalid sceneDesc size"));
    }
    let mut lines = Vec::with_capacity(request.kid_list.len());
    for kid in &request.kid_list {
        let keyword = kid.checked_sub(1).and_then(|at| published.keywords.get(at));
        let (kind, label, example) = keyword.ok_or_else(|| Refused::new(200_017, "invalid kid"))?;
        lines.push((format!("{kind}{kid}"), (*label).to_owned(), *example));
    }
    let id = platform.random_text::<32>();
    let mut state = platform.state();
    let notices = &mut state.accounts[account].notices.0;
    if notices.len() >= TEMPLATES_MAX {
        return Err(Refused::new(200_012, "private template count reach limit"));
    }
    notices.push(Notice {
        id: id.clone(),
        title: published.title.to_owned(),
        is_long_term: published.is_long_term,
        lines,
    });
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok", "priTmplId": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveRequest {
    #[serde(rename = "priTmplId")]
    id: String,
}

/// `POST /wxaapi/newtmpl/deltemplate`
pub(crate) fn remove(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let RemoveRequest { id } = call.json()?;
    let mut state = platform.state();
    let notices = &mut state.accounts[account].notices.0;
    let before = notices.len();
    notices.retain(|notice| notice.id != id);
    if notices.len() < before { ok() } else { Err(Refused::new(200_014, "invalid template id")) }
}

/// `GET /wxaapi/newtmpl/gettemplate`
pub(crate) fn list(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let view = |notice: &Notice| {
        let lines = |line: &dyn Fn(&(String, String, &str)) -> String| -> String {
            notice.lines.iter().map(line).collect::<Vec<_>>().join("\n")
        };
        json!({
            "priTmplId": notice.id,
            "title": notice.title,
            "content": lines(&|(keyword, label, _)| format!("{label}:{{{{{keyword}.DATA}}}}")),
            "example": lines(&|(_, label, example)| format!("{label}:{example}")),
            "type": if notice.is_long_term { 3 } else { 2 },
        })
    };
    let data: Vec<Value> = state.accounts[account].notices.0.iter().map(view).collect();
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok", "data": data })))
}

/// `GET /wxaapi/newtmpl/getcategory`
pub(crate) fn categories(_: &Arc<Platform>, _: usize, _: &Call) -> Answered {
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok", "data": [{ "id": CATEGORY, "name": "银行" }] })))
}

/// `GET /wxaapi/newtmpl/getpubtemplatetitles`
pub(crate) fn titles(_: &Arc<Platform>, _: usize, call: &Call) -> Answered {
    let number = |name: &str| call.query(name).parse::<usize>().ok();
    let (Some(start), Some(limit)) =
        (number("start"), number("limit").filter(|limit| *limit <= TITLES_PAGE_MAX))
    else {
        return Err(Refused::new(40035, "invalid parameter: start or limit"));
    };
    let wanted = call.query("ids").split(',').any(|id| id == CATEGORY.to_string());
    let all: Vec<Value> = LIBRARY
        .iter()
        .filter(|_| wanted)
        .map(|published| {
            let kind = if published.is_long_term { 3 } else { 2 };
            json!({ "tid": published.tid, "title": published.title, "type": kind, "categoryId": CATEGORY })
        })
        .collect();
    let page: Vec<&Value> = all.iter().skip(start).take(limit).collect();
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok", "count": all.len(), "data": page })))
}

/// `GET /wxaapi/newtmpl/getpubtemplatekeywords`
pub(crate) fn keywords(_: &Arc<Platform>, _: usize, call: &Call) -> Answered {
    let published = LIBRARY.iter().find(|published| published.tid == call.query("tid"));
    let published = published.ok_or_else(|| Refused::new(200_014, "invalid tid"))?;
    let keyword = |(at, (rule, name, example)): (usize, &(&str, &str, &str))| json!({ "kid": at + 1, "name": name, "example": example, "rule": rule });
    let data: Vec<Value> = published.keywords.iter().enumerate().map(keyword).collect();
    Ok(Answer::Json(json!({ "errcode": 0, "errmsg": "ok", "count": data.len(), "data": data })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendRequest {
    #[serde(default)]
    touser: String,
    #[serde(default)]
    template_id: String,
    #[serde(default)]
    page: String,
    miniprogram: Option<MiniProgram>,
    data: HashMap<String, Line>,
}

/// `POST /cgi-bin/message/subscribe/bizsend`
pub(crate) fn send(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: SendRequest = call.json()?;
    let at = platform.true_now();
    let mut state = platform.state();
    state.follower(account, &request.touser).ok_or_else(Refused::openid)?;
    let notices = &state.accounts[account].notices.0;
    let notice = notices.iter().find(|notice| notice.id == request.template_id);
    let notice = notice.ok_or_else(|| Refused::new(40037, "invalid template_id"))?;
    if !request.page.is_empty() && url::Url::parse(&request.page).is_err() {
        return Err(Refused::new(41030, "invalid page"));
    }
    if request.miniprogram.as_ref().is_some_and(|target| !target.is_complete()) {
        return Err(Refused::new(40013, "invalid appid"));
    }
    let lines = lines(notice, &request.data)?;
    let (title, is_long_term) = (notice.title.clone(), notice.is_long_term);
    let Some(follower) = state.follower(account, &request.touser) else { return Err(Refused::openid()) };
    let accepted = follower.subscriptions.get(&request.template_id).copied().unwrap_or_default();
    if accepted == 0 {
        return Err(Refused::new(43101, "user refuse to accept the msg"));
    }
    if !is_long_term {
        follower.subscriptions.insert(request.template_id.clone(), accepted - 1);
    }
    let message_id = state.next_message_id();
    let url = (!request.page.is_empty()).then_some(&request.page);
    let detail = json!({ "title": title, "lines": lines, "url": url, "is_subscription": true });
    let answer = json!({ "errcode": 0, "errmsg": "ok" });
    let draft = Draft::new(Direction::Account, "template", &title)
        .detail(detail)
        .sent_as(Source::Subscription, None)
        .call(&call.path, &String::from_utf8_lossy(&call.body), answer);
    state.show(account, &request.touser, at, draft);
    let event = PlatformEvent::SubscribeMsgSentEvent {
        list: vec![NoticeResult {
            template_id: request.template_id,
            message_id,
            error_code: 0,
            error_status: "success".to_owned(),
        }],
    };
    platform.push_event(&mut state, account, &request.touser, &event);
    ok()
}

fn lines(notice: &Notice, data: &HashMap<String, Line>) -> Result<Vec<Value>, Refused> {
    let wrong = |key: &str| Refused::new(47003, format!("argument invalid! data.{key}.value invalid"));
    let mut lines = Vec::with_capacity(notice.lines.len());
    for (keyword, label, _) in &notice.lines {
        let line = data.get(keyword).ok_or_else(|| wrong(keyword))?;
        if !template_limits::fits_notice(keyword, &line.value) {
            return Err(wrong(keyword));
        }
        lines.push(json!({ "keyword": keyword, "label": label, "value": line.value }));
    }
    match data.keys().find(|key| notice.lines.iter().all(|(keyword, ..)| keyword != *key)) {
        Some(unknown) => Err(wrong(unknown)),
        None => Ok(lines),
    }
}
