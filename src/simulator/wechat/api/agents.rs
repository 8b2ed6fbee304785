//! The platform's own agent accounts (客服账号).

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::platform::Platform;
use super::{Answer, Answered, Call, Refused, media, ok};

const AGENTS_MAX: usize = 100;
const PREFIX_CHARS_MAX: usize = 10;
const SUFFIX_CHARS_MAX: usize = 30;
const NICKNAME_CHARS_MAX: usize = 16;
const PICTURE_BYTES_MAX: usize = 5 * 1024 * 1024;
const FIRST_ID: usize = 1001;

/// The agents of one account, in order of making.
#[derive(Default)]
pub(crate) struct Agents {
    list: Vec<Agent>,
    made: usize,
}

struct Agent {
    id: usize,
    account: String,
    nickname: String,
    /// The WeChat id that was invited; an invitation counts as accepted at once.
    worker: Option<String>,
    is_online: bool,
}

impl Agents {
    /// The nickname of an agent account.
    pub(crate) fn nickname(&self, account: &str) -> Option<&str> {
        self.list.iter().find(|agent| agent.account == account).map(|agent| agent.nickname.as_str())
    }

    /// Whether an agent can serve: bound, and online. 65401, 65402 or 65415 when not.
    pub(super) fn require_ready(&self, account: &str) -> Result<(), Refused> {
        let agent = self.list.iter().find(|agent| agent.account == account);
        let agent = agent.ok_or_else(|| Refused::new(65401, "invalid custom service account"))?;
        if agent.worker.is_none() {
            return Err(Refused::new(65402, "no worker is bound to the custom service account"));
        }
        if !agent.is_online {
            return Err(Refused::new(65415, "custom service account is offline"));
        }
        Ok(())
    }

    /// Signs an agent in or out, as the control panel does it; `false` when there is none.
    pub(crate) fn set_online(&mut self, account: &str, is_online: bool) -> bool {
        let agent = self.list.iter_mut().find(|agent| agent.account == account);
        agent.map(|agent| agent.is_online = is_online).is_some()
    }

    fn find(&mut self, account: &str) -> Result<&mut Agent, Refused> {
        let agent = self.list.iter_mut().find(|agent| agent.account == account);
        agent.ok_or_else(|| Refused::new(65401, "invalid custom service account"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    kf_account: String,
    nickname: String,
}

fn check_account(account: &str) -> Result<(), Refused> {
    let fits = |part: &str, chars_max: usize| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        (1..=chars_max).contains(&part.len()) && part.bytes().all(plain)
    };
    let whole = account.split_once('@');
    if whole.is_some_and(|(prefix, suffix)| fits(prefix, PREFIX_CHARS_MAX) && fits(suffix, SUFFIX_CHARS_MAX))
    {
        Ok(())
    } else {
        Err(Refused::new(65404, "invalid kf_account"))
    }
}

fn check_nickname(nickname: &str) -> Result<(), Refused> {
    let fits = (1..=NICKNAME_CHARS_MAX).contains(&nickname.chars().count());
    if fits { Ok(()) } else { Err(Refused::new(65403, "invalid nickname")) }
}

/// `POST /customservice/kfaccount/add`
pub(crate) fn add(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let Named { kf_account, nickname } = call.json()?;
    check_account(&kf_account)?;
    check_nickname(&nickname)?;
    let mut state = platform.state();
    let agents = &mut state.accounts[account].agents;
    if agents.nickname(&kf_account).is_some() {
        return Err(Refused::new(65406, "kf_account already exists"));
    }
    if agents.list.len() >= AGENTS_MAX {
        return Err(Refused::new(65405, "kf_account count reach limit"));
    }
    let id = FIRST_ID + agents.made;
    agents.made += 1;
    agents.list.push(Agent { id, account: kf_account, nickname, worker: None, is_online: false });
    ok()
}

/// `POST /customservice/kfaccount/update`
pub(crate) fn update(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let Named { kf_account, nickname } = call.json()?;
    check_nickname(&nickname)?;
    platform.state().accounts[account].agents.find(&kf_account)?.nickname = nickname;
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfAgent {
    kf_account: String,
}

/// `POST /customservice/kfaccount/del`, in its older form GET with a query
pub(crate) fn remove(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let kf_account = match call.method.as_str() {
        "GET" => call.query("kf_account").to_owned(),
        _ => call.json::<OfAgent>()?.kf_account,
    };
    let mut state = platform.state();
    let agents = &mut state.accounts[account].agents;
    agents.find(&kf_account)?;
    agents.list.retain(|agent| agent.account != kf_account);
    ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Invitation {
    kf_account: String,
    invite_wx: String,
}

/// `POST /customservice/kfaccount/inviteworker`: the worker accepts at once, and is online.
pub(crate) fn invite(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let Invitation { kf_account, invite_wx } = call.json()?;
    if invite_wx.is_empty() {
        return Err(Refused::new(65409, "invalid wechat id"));
    }
    let mut state = platform.state();
    let agent = state.accounts[account].agents.find(&kf_account)?;
    if agent.worker.is_some() {
        return Err(Refused::new(65412, "a worker is bound already"));
    }
    agent.worker = Some(invite_wx);
    agent.is_online = true;
    ok()
}

/// `POST /customservice/kfaccount/uploadheadimg`
pub(crate) fn picture(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let part = media::part(call, "media").ok_or_else(|| Refused::new(41005, "media data missing"))?;
    if part.bytes.len() > PICTURE_BYTES_MAX {
        return Err(Refused::new(40009, "invalid image size"));
    }
    if !matches!(*part.bytes, [0xff, 0xd8, 0xff, ..]) {
        return Err(Refused::new(40005, "invalid file type"));
    }
    platform.state().accounts[account].agents.find(call.query("kf_account"))?;
    ok()
}

/// `GET /cgi-bin/customservice/getkflist`; here `kf_id` is text
pub(crate) fn list(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let view = |agent: &Agent| {
        let mut view = json!({
            "kf_account": agent.account,
            "kf_nick": agent.nickname,
            "kf_id": agent.id.to_string(),
            "kf_headimgurl": "",
        });
        if let Some(worker) = &agent.worker {
            view["kf_wx"] = json!(worker);
        }
        view
    };
    let list: Vec<Value> = state.accounts[account].agents.list.iter().map(view).collect();
    Ok(Answer::Json(json!({ "kf_list": list })))
}

/// `GET /cgi-bin/customservice/getonlinekflist`; here `kf_id` is a number
pub(crate) fn online(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let account = &state.accounts[account];
    let serving = |agent: &str| {
        let serves = |session: &super::sessions::Session| session.agent == agent;
        account.followers.values().filter(|one| one.session.as_ref().is_some_and(serves)).count()
    };
    let view = |agent: &Agent| {
        json!({
            "kf_account": agent.account,
            "status": 1,
            "kf_id": agent.id,
            "accepted_case": serving(&agent.account),
            "kf_openid": "",
        })
    };
    let list: Vec<Value> = account.agents.list.iter().filter(|agent| agent.is_online).map(view).collect();
    Ok(Answer::Json(json!({ "kf_online_list": list })))
}
