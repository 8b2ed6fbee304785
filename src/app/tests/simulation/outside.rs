//! The world outside, with a memory of everything that reached it: WeChat, the core, and the bank's event receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::domain::testing::{Answered, Leaving};
use crate::domain::time::UnixMs;

/// WeChat delivers one `client_msg_id` to one follower once within this.
const SINGLE_FOR: Duration = Duration::from_secs(600);

/// What reached the world, and what it makes of it.
#[derive(Default)]
pub(super) struct Outside {
    /// Template calls that WeChat counts for the day.
    pub(super) template_calls: i64,
    /// What WeChat allows of them.
    pub(super) template_calls_max: i64,
    /// When a message of this follower and id was first taken, and its number.
    taken: BTreeMap<(String, String), (UnixMs, i64)>,
    /// How often a follower saw a message of an id.
    pub(super) shown: BTreeMap<(String, String), usize>,
    /// Customer-service messages that each follower saw, oldest first.
    pub(super) said: BTreeMap<String, Vec<String>>,
    /// Numbers of template messages whose report has not been sent yet.
    pub(super) unreported: Vec<(String, i64)>,
    /// Events by id, with what they say.
    pub(super) events: BTreeMap<String, Value>,
    /// Events that came again with another body under the same id.
    pub(super) changed_events: BTreeSet<String>,
    last_number: i64,
}

impl Outside {
    pub(super) fn new(template_calls_max: i64) -> Self {
        Self { template_calls_max, ..Self::default() }
    }

    /// Takes in one request; gives what will be answered.
    pub(super) fn take(&mut self, leaving: &Leaving, mood: u64, now: UnixMs) -> Answered {
        let body: Value = serde_json::from_slice(&leaving.body).unwrap_or_default();
        match leaving.path.as_str() {
            "/cgi-bin/stable_token" => ok(json!({"access_token": "T", "expires_in": 7200})),
            "/cgi-bin/message/template/send" => self.template(&body, mood, now),
            "/cgi-bin/message/custom/send" => self.custom(&body, mood),
            "/events" => self.event(&body, mood),
            path if path.starts_with("/v1/operations/") => core(mood),
            _ => ok(json!({"errcode": 0, "errmsg": "ok"})),
        }
    }

    fn template(&mut self, body: &Value, mood: u64, now: UnixMs) -> Answered {
        match mood {
            0..=3 => return refused(-1),
            4 => return refused(43_004),
            5 => return refused(45_011),
            6 => return refused(47_003),
            _ => {}
        }
        self.template_calls += 1;
        if self.template_calls > self.template_calls_max {
            return refused(45_009);
        }
        let to = body["touser"].as_str().unwrap_or_default().to_owned();
        let name = (to.clone(), body["client_msg_id"].as_str().unwrap_or_default().to_owned());
        let fresh = self.taken.get(&name).is_none_or(|(at, _)| now.since(*at) >= SINGLE_FOR);
        if fresh {
            self.last_number += 1;
            self.taken.insert(name.clone(), (now, self.last_number));
            *self.shown.entry(name.clone()).or_default() += 1;
            self.unreported.push((to, self.last_number));
        }
        let number = self.taken.get(&name).map_or(0, |(_, number)| *number);
        ok(json!({"errcode": 0, "errmsg": "ok", "msgid": number}))
    }

    fn custom(&mut self, body: &Value, mood: u64) -> Answered {
        match mood {
            0..=3 => return refused(-1),
            4 => return refused(45_015),
            _ => {}
        }
        let kind = body["msgtype"].as_str().unwrap_or_default();
        let to = body["touser"].as_str().unwrap_or_default().to_owned();
        let text = body[kind]["content"].as_str().map_or_else(|| body[kind].to_string(), str::to_owned);
        self.said.entry(to).or_default().push(text);
        ok(json!({"errcode": 0, "errmsg": "ok"}))
    }

    fn event(&mut self, body: &Value, mood: u64) -> Answered {
        let id = body["event_id"].as_str().unwrap_or_default().to_owned();
        let known = self.events.entry(id.clone()).or_insert_with(|| body.clone());
        if known != body {
            self.changed_events.insert(id);
        }
        Ok((if mood < 4 { 500 } else { 204 }, vec![]))
    }
}

/// It answers nothing that a customer could be told wrongly: it refuses, stumbles, or speaks nonsense.
fn core(mood: u64) -> Answered {
    let refusal = json!({"error": {"code": "not_found", "message": "没有找到"}});
    match mood {
        0..=4 => Ok((503, vec![])),
        5 | 6 => Ok((200, b"<html>".to_vec())),
        _ => Ok((404, refusal.to_string().into_bytes())),
    }
}

fn ok(body: Value) -> Answered {
    Ok((200, body.to_string().into_bytes()))
}

fn refused(code: i64) -> Answered {
    ok(json!({"errcode": code, "errmsg": "no"}))
}
