//! What one follower's chat shows, and beside each bubble what went over the wire for it.

use std::collections::VecDeque;

use serde::Serialize;
use serde_json::Value;

use crate::domain::time::UnixMs;

/// Entries that a chat keeps; the oldest go first.
pub(crate) const ENTRIES_MAX: usize = 2_000;

/// Who an entry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Direction {
    /// The follower did it.
    Follower,
    /// The account sent it.
    Account,
    /// WeChat itself says it.
    System,
}

/// By which road the account's message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Source {
    /// 被动回复
    Passive,
    /// 客服消息
    Custom,
    /// 模板消息
    Template,
    /// 订阅通知, also a one-time one
    Subscription,
    /// 群发
    Mass,
    /// What a menu button holds itself
    Menu,
}

/// How a push ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PushState {
    /// Under way.
    Delivering,
    /// Answered with a message.
    Answered,
    /// Answered with `success` or nothing.
    Quiet,
    /// Answered with something that is no valid reply.
    Malformed,
    /// All deliveries failed.
    Silent,
}

/// One delivery of a push.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Delivery {
    /// 1 to 3.
    pub(crate) number: u8,
    /// When it began.
    pub(crate) started_at: UnixMs,
    /// How long it took.
    pub(crate) duration_ms: u64,
    /// `answered`, `lost`, `timeout`, `status` or `unreachable`.
    pub(crate) outcome: &'static str,
    /// HTTP status, when there was one.
    pub(crate) status: Option<u16>,
    /// Address with its query.
    pub(crate) url: String,
    /// The body as it went out.
    pub(crate) posted: String,
    /// The body as it came back.
    pub(crate) raw_reply: Option<String>,
    /// The reply's XML, decrypted.
    pub(crate) reply_xml: Option<String>,
}

/// A push and its deliveries.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PushRecord {
    /// `MsgId` of messages.
    pub(crate) msg_id: Option<String>,
    /// The message before it was encrypted.
    pub(crate) xml: String,
    /// How it stands.
    pub(crate) state: PushState,
    /// What is wrong with the reply.
    pub(crate) fault: Option<String>,
    /// Its deliveries so far.
    pub(crate) deliveries: Vec<Delivery>,
}

/// The API call that brought a message.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CallRecord {
    /// Path of the API.
    pub(crate) path: String,
    /// Request body.
    pub(crate) body: String,
    /// Response body.
    pub(crate) response: Value,
}

/// One entry of a chat.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Entry {
    /// Stays the same while the entry grows.
    pub(crate) id: u64,
    /// Number of the last change, over all entries of all chats.
    pub(crate) seq: u64,
    /// When it happened.
    pub(crate) at: UnixMs,
    /// Whose it is.
    pub(crate) direction: Direction,
    /// text, image, voice, video, music, location, link, news, msgmenu, template, event, notice …
    pub(crate) kind: String,
    /// Its words, or a line that stands for it.
    pub(crate) text: String,
    /// Road of an account's message.
    pub(crate) source: Option<Source>,
    /// The entry that it answers.
    pub(crate) reply_to: Option<u64>,
    /// Not a bubble: known to the developer panel only.
    pub(crate) hidden: bool,
    /// What its kind needs besides.
    pub(crate) detail: Value,
    /// The push that it caused.
    pub(crate) push: Option<PushRecord>,
    /// The API call that caused it.
    pub(crate) call: Option<CallRecord>,
}

/// What an entry is made of before it has a place.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    direction: Direction,
    kind: String,
    text: String,
    source: Option<Source>,
    reply_to: Option<u64>,
    hidden: bool,
    detail: Value,
    push: Option<PushRecord>,
    call: Option<CallRecord>,
}

impl Draft {
    /// A visible entry.
    pub(crate) fn new(direction: Direction, kind: &str, text: impl Into<String>) -> Self {
        Self {
            direction,
            kind: kind.to_owned(),
            text: text.into(),
            source: None,
            reply_to: None,
            hidden: false,
            detail: Value::Null,
            push: None,
            call: None,
        }
    }

    /// With what its kind needs besides.
    pub(crate) fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// Known to the developer panel only.
    pub(crate) fn hidden(mut self, hidden: bool) -> Self {
        self.hidden = hidden;
        self
    }

    /// With the road it came by and the entry that it answers.
    pub(crate) fn sent_as(mut self, source: Source, reply_to: Option<u64>) -> Self {
        self.source = Some(source);
        self.reply_to = reply_to;
        self
    }

    /// With the push that it causes.
    pub(crate) fn push(mut self, msg_id: Option<String>, xml: String) -> Self {
        self.push = Some(PushRecord {
            msg_id,
            xml,
            state: PushState::Delivering,
            fault: None,
            deliveries: Vec::new(),
        });
        self
    }

    /// With the API call that caused it.
    pub(crate) fn call(mut self, path: &str, body: &str, response: Value) -> Self {
        self.call = Some(CallRecord { path: path.to_owned(), body: body.to_owned(), response });
        self
    }
}

/// The entries of one chat, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Timeline(VecDeque<Entry>);

impl Timeline {
    /// Adds an entry; `seq` is also its id.
    pub(crate) fn add(&mut self, seq: u64, at: UnixMs, draft: Draft) {
        if self.0.len() >= ENTRIES_MAX {
            self.0.pop_front();
        }
        let Draft { direction, kind, text, source, reply_to, hidden, detail, push, call } = draft;
        self.0.push_back(Entry {
            id: seq,
            seq,
            at,
            direction,
            kind,
            text,
            source,
            reply_to,
            hidden,
            detail,
            push,
            call,
        });
    }

    /// The entry with this id, while it is kept.
    pub(crate) fn get(&self, id: u64) -> Option<&Entry> {
        let at = self.0.binary_search_by_key(&id, |entry| entry.id).ok()?;
        self.0.get(at)
    }

    /// The place of an entry among those of its kind, from 1: how a recording names it.
    pub(crate) fn number(&self, id: u64) -> Option<usize> {
        let kind = &self.get(id)?.kind;
        self.0.iter().filter(|entry| entry.kind == *kind).position(|entry| entry.id == id).map(|at| at + 1)
    }

    /// The entry of that kind at that place.
    pub(crate) fn numbered(&self, kind: &str, number: usize) -> Option<u64> {
        let mut entries = self.0.iter().filter(|entry| entry.kind == kind);
        entries.nth(number.checked_sub(1)?).map(|entry| entry.id)
    }

    /// Changes an entry; `false` when it is gone.
    pub(crate) fn change(&mut self, id: u64, seq: u64, change: impl FnOnce(&mut Entry)) -> bool {
        let Ok(at) = self.0.binary_search_by_key(&id, |entry| entry.id) else { return false };
        let Some(entry) = self.0.get_mut(at) else { return false };
        change(entry);
        entry.seq = seq;
        true
    }

    /// Entries that were added or changed after `seq`, oldest first.
    pub(crate) fn after(&self, seq: u64) -> Vec<Entry> {
        self.0.iter().filter(|entry| entry.seq > seq).cloned().collect()
    }

    /// The last visible entry, for the list of chats.
    pub(crate) fn last_visible(&self) -> Option<&Entry> {
        self.0.iter().rev().find(|entry| !entry.hidden)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chat_keeps_its_newest_entries_and_finds_them_by_id() {
        let mut timeline = Timeline::default();
        let entries = u64::try_from(ENTRIES_MAX).unwrap() + 10;
        for seq in 1..=entries {
            timeline.add(seq, UnixMs(0), Draft::new(Direction::Follower, "text", "hi"));
        }
        assert_eq!(timeline.after(0).len(), ENTRIES_MAX);
        assert!(timeline.get(10).is_none());
        assert!(timeline.change(11, entries + 1, |entry| entry.hidden = true));
        assert_eq!(timeline.after(entries).len(), 1);
    }
}
