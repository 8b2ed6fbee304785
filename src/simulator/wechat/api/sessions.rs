//! Sessions of the platform's own agents (客服会话), and what was said in them.
//!
//! While a follower waits, his messages still reach the server; while an agent serves him, they do not.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::events::PlatformEvent;
use super::super::platform::{Platform, State};
use super::super::timeline::{Direction, Source};
use super::{Answer, Answered, Call, Refused, ok};
use crate::domain::time::UnixMs;

/// Nobody closed it: it ends by itself.
const IDLE: Duration = Duration::from_secs(30 * 60);
const WAITING_MAX: usize = 100;
const RECORDS_MAX: usize = 10_000;
const SPAN_SECONDS_MAX: i64 = 24 * 3600;
const SENT: u32 = 2002;
const RECEIVED: u32 = 2003;

/// An agent serves a follower.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// `kf_account`
    pub(crate) agent: String,
    /// Since when.
    pub(crate) since: UnixMs,
    /// The platform's time at which it ends by itself.
    pub(crate) until: UnixMs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    kf_account: String,
    openid: String,
}

/// `POST /customservice/kfsession/create`
pub(crate) fn create(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let Pair { kf_account, openid } = call.json()?;
    open(platform, account, &openid, &kf_account)?;
    ok()
}

/// Gives a follower to an agent.
pub(crate) fn open(
    platform: &Arc<Platform>,
    account: usize,
    openid: &str,
    agent: &str,
) -> Result<(), Refused> {
    let (now, at) = (platform.now(), platform.true_now());
    let mut state = platform.state();
    state.accounts[account].agents.require_ready(agent)?;
    let follower = state.follower(account, openid).filter(|follower| follower.following);
    let follower = follower.ok_or_else(Refused::openid)?;
    match follower.session.as_ref().filter(|session| now < session.until) {
        Some(session) if session.agent == agent => return Ok(()),
        Some(_) => return Err(Refused::new(65414, "another agent serves this user")),
        None => {}
    }
    follower.session = Some(Session { agent: agent.to_owned(), since: at, until: now + IDLE });
    follower.waiting_since = None;
    let event = PlatformEvent::KfCreateSession { kf_account: agent.to_owned() };
    platform.push_event(&mut state, account, openid, &event);
    Ok(())
}

/// `POST /customservice/kfsession/close`
pub(crate) fn close(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let Pair { kf_account, openid } = call.json()?;
    let mut state = platform.state();
    let follower = state.follower(account, &openid).ok_or_else(Refused::openid)?;
    if follower.session.as_ref().is_none_or(|session| session.agent != kf_account) {
        return Err(Refused::new(65413, "no such session"));
    }
    end(platform, &mut state, account, &openid);
    ok()
}

/// Ends a follower's session, if there is one.
pub(crate) fn end(platform: &Arc<Platform>, state: &mut State, account: usize, openid: &str) {
    let session = state.follower(account, openid).and_then(|follower| follower.session.take());
    if let Some(session) = session {
        let event = PlatformEvent::KfCloseSession { kf_account: session.agent };
        platform.push_event(state, account, openid, &event);
    }
}

/// `GET /customservice/kfsession/getsession`
pub(crate) fn of_follower(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let now = platform.now();
    let mut state = platform.state();
    let follower = state.follower(account, call.query("openid")).ok_or_else(Refused::openid)?;
    let session = follower.session.as_ref().filter(|session| now < session.until);
    Ok(Answer::Json(match session {
        Some(session) => json!({ "createtime": session.since.seconds(), "kf_account": session.agent }),
        None => json!({ "createtime": 0, "kf_account": "" }),
    }))
}

/// `GET /customservice/kfsession/getsessionlist`
pub(crate) fn of_agent(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let now = platform.now();
    let state = platform.state();
    let account = &state.accounts[account];
    let agent = call.query("kf_account");
    if account.agents.nickname(agent).is_none() {
        return Err(Refused::new(65401, "invalid custom service account"));
    }
    let of = |openid: &String| {
        let session = account.followers.get(openid)?.session.as_ref()?;
        let serves = session.agent == agent && now < session.until;
        serves.then(|| json!({ "createtime": session.since.seconds(), "openid": openid }))
    };
    let list: Vec<Value> = account.order.iter().filter_map(of).collect();
    Ok(Answer::Json(json!({ "sessionlist": list })))
}

/// `GET /customservice/kfsession/getwaitcase`
pub(crate) fn waiting(platform: &Arc<Platform>, account: usize, _: &Call) -> Answered {
    let state = platform.state();
    let account = &state.accounts[account];
    let of = |follower: &super::super::platform::Follower| {
        Some((follower.waiting_since?, follower.openid.clone()))
    };
    let mut all: Vec<(UnixMs, String)> = account.followers.values().filter_map(of).collect();
    all.sort();
    let row =
        |(since, openid): &(UnixMs, String)| json!({ "latest_time": since.seconds(), "openid": openid });
    let rows: Vec<Value> = all.iter().take(WAITING_MAX).map(row).collect();
    Ok(Answer::Json(json!({ "count": all.len(), "waitcaselist": rows })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordsRequest {
    starttime: i64,
    endtime: i64,
    msgid: u64,
    number: usize,
}

/// `POST /customservice/msgrecord/getmsglist`: text only; everything else stands as a placeholder.
pub(crate) fn records(platform: &Arc<Platform>, account: usize, call: &Call) -> Answered {
    let request: RecordsRequest = call.json()?;
    if request.endtime < request.starttime
        || request.msgid == 0
        || !(1..=RECORDS_MAX).contains(&request.number)
    {
        return Err(Refused::new(65416, "invalid query"));
    }
    if request.endtime - request.starttime > SPAN_SECONDS_MAX {
        return Err(Refused::new(65417, "query span is longer than 24 hours"));
    }
    let state = platform.state();
    let mut rows = Vec::new();
    for follower in state.accounts[account].followers.values() {
        for entry in follower.timeline.after(0) {
            let opercode = match (entry.direction, entry.source) {
                (Direction::Follower, _) if !entry.hidden => RECEIVED,
                (Direction::Account, Some(Source::Custom)) => SENT,
                _ => continue,
            };
            let second = entry.at.seconds();
            if entry.id >= request.msgid && (request.starttime..=request.endtime).contains(&second) {
                let worker =
                    follower.session.as_ref().map(|session| session.agent.clone()).unwrap_or_default();
                let row = json!({
                    "openid": follower.openid, "opercode": opercode, "text": entry.text, "time": second,
                    "worker": worker,
                });
                rows.push((entry.id, row));
            }
        }
    }
    rows.sort_by_key(|(id, _)| *id);
    rows.truncate(request.number);
    let next = rows.last().map_or(request.msgid, |(id, _)| id + 1);
    let list: Vec<Value> = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Answer::Json(json!({ "recordlist": list, "number": list.len(), "msgid": next })))
}
