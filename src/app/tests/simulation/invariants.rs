//! What must hold, looked at after each move and at the end. Each tells in words what is wrong.

use std::collections::{BTreeMap, BTreeSet};

use super::cluster::{Cluster, FOLLOWERS, openid};
use crate::desk::testing::hold;
use crate::domain::verdict::State;
use crate::domain::window::{Grant, Ledger};
use crate::inbound::Answer;
use crate::store::testing::Settled;
use crate::store::{Channel, Direction, Message, Statement};
use crate::wechat::push::Content;

const LEASE_OF: Statement = Statement {
    name: "LEASE_OF",
    sql: "SELECT l.owner, l.epoch FROM outbox o JOIN part_lease l ON l.part = o.part WHERE o.outbox_id = $1",
};
const OVERDRAWN: Statement =
    Statement { name: "OVERDRAWN", sql: "SELECT drawn, calls_max FROM quota WHERE drawn > calls_max" };
/// An answer that was meant for the open connection joins the queue when nobody waits there any more: perhaps behind
/// the answer to a later question.
const QUEUED: Statement = Statement {
    name: "QUEUED",
    sql: "SELECT log_seq FROM outbox WHERE account = $1 AND fkey = $2 AND log_seq IS NOT NULL \
        ORDER BY created_ms, order_no",
};
const CLAIMED: Statement = Statement { name: "CLAIMED", sql: "SELECT push_key, outcome FROM push" };

/// What of the past the invariants compare with.
#[derive(Default)]
pub(super) struct Memory {
    /// How each row of the outbox ended.
    ended: BTreeMap<String, String>,
    /// Customer-service messages that each follower's allowance has paid for, and what it was when last looked at.
    booked: BTreeMap<usize, (usize, Ledger)>,
}

impl Cluster {
    /// No row is settled or put off but under the lease that holds now, and none ends twice.
    pub(super) async fn check_commits(&mut self) -> Result<(), String> {
        let Some(settled) = self.board.take_settled() else { return Ok(()) };
        for Settled { outbox_id, owner, epoch, state } in settled {
            let rows = self.store.fetch(LEASE_OF, vec![outbox_id.as_str().into()]).await.unwrap();
            let Some(row) = rows.first() else { continue };
            let (holder, now) = (row.text(0).unwrap(), row.int(1).unwrap());
            hold((holder, now) == (owner.as_str(), epoch), || {
                format!("row {outbox_id} was written under epoch {epoch}, and {now} holds")
            })?;
            let Some(state) = state else { continue };
            if let Some(before) = self.memory.ended.insert(outbox_id.clone(), state.clone()) {
                return Err(format!("row {outbox_id} ended as {before}, and then as {state}"));
            }
        }
        self.check_allowances().await
    }

    /// What a follower saw in the chat was paid for before, and no window pays more than it has (P11).
    async fn check_allowances(&mut self) -> Result<(), String> {
        for number in 0..FOLLOWERS {
            let follower = self.follower(number);
            let ledger = self.store.conversation(&self.account.id, follower).await.unwrap().ledger;
            let (booked, before) = self.memory.booked.entry(number).or_default();
            *booked += paid(before.message, ledger.message) + paid(before.tap, ledger.tap);
            *before = ledger;
            let said = self.outside.said.get(openid(number).reveal()).map_or(0, Vec::len);
            let booked = *booked;
            hold(said <= booked, || {
                format!("follower {number} saw {said} messages, and {booked} were paid for")
            })?;
            let used = (ledger.message.used, ledger.tap.used);
            let fits = used.0 <= Ledger::MESSAGE_SENDS_MAX && used.1 <= Ledger::TAP_SENDS_MAX;
            hold(fits, || format!("follower {number} has used {used:?} of his windows"))?;
        }
        Ok(())
    }

    /// One owner for each partition, no quota overdrawn, nothing shown twice.
    pub(super) async fn check(&mut self) -> Result<(), String> {
        for (part, owners) in self.owners() {
            hold(owners <= 1, || format!("partition {part} has {owners} owners"))?;
        }
        let overdrawn = self.store.fetch(OVERDRAWN, vec![]).await.unwrap();
        hold(overdrawn.is_empty(), || "more was drawn than the day has".to_owned())?;
        let (calls, calls_max) = (self.outside.template_calls, self.outside.template_calls_max);
        hold(calls <= calls_max, || format!("{calls} template calls of {calls_max}"))?;
        for ((to, id), times) in &self.outside.shown {
            hold(*times <= 1, || format!("{to} was shown {id} {times} times"))?;
        }
        hold(self.outside.changed_events.is_empty(), || "an event changed between two tries".to_owned())?;
        if self.has_agents { self.check_desk().await.map(drop) } else { Ok(()) }
    }

    /// After all is done: nothing accepted is lost, one verdict for each, one effect for each push, all in order.
    pub(super) async fn check_end(&mut self) -> Result<(), String> {
        self.check().await?;
        {
            let told = self.told.lock().unwrap();
            for id in &told.accepted {
                let state = told.states.get(id).copied().flatten();
                let is_over = state.is_some_and(|state| state != State::Pending);
                hold(is_over, || format!("{id} was accepted, and is {state:?}"))?;
            }
        }
        self.check_events()?;
        self.check_pushes().await?;
        if self.has_agents { self.check_agents_words().await } else { Ok(()) }
    }

    /// The bank hears of each end once.
    fn check_events(&self) -> Result<(), String> {
        let mut ends: BTreeMap<(String, String), usize> = BTreeMap::new();
        for event in self.outside.events.values().filter(|event| event["type"] == "delivery") {
            let name = (event["data"]["id"].to_string(), event["data"]["state"].to_string());
            let times = ends.entry(name.clone()).or_default();
            *times += 1;
            let times = *times;
            hold(times == 1, || format!("the bank heard {times} times of {name:?}"))?;
        }
        Ok(())
    }

    async fn check_pushes(&self) -> Result<(), String> {
        let rows = self.store.fetch(CLAIMED, vec![]).await.unwrap();
        let mut claimed = BTreeSet::new();
        for row in &rows {
            let key = row.text(0).unwrap();
            claimed.insert(key.to_owned());
            hold(row.text(1).unwrap() != "taken", || format!("push {key} has no end"))?;
        }
        for (key, answers) in &self.told.lock().unwrap().answers {
            let replies: Vec<_> =
                answers.iter().filter(|answer| matches!(answer, Answer::Reply { .. })).collect();
            hold(replies.windows(2).all(|two| two[0] == two[1]), || {
                format!("push {key} has several answers")
            })?;
            let is_kept = claimed.contains(key) || answers.iter().all(|answer| *answer == Answer::Busy);
            hold(is_kept, || format!("push {key} was answered, and is not known"))?;
        }
        for number in 0..FOLLOWERS {
            let is_his = |push: &&crate::wechat::push::Push| {
                push.from == openid(number) && matches!(push.content, Content::Text { .. })
            };
            let his = self.pushes().filter(is_his);
            let asked = his.filter(|push| claimed.contains(push.key.as_str())).count();
            let log = self.log_of(number).await;
            let taken_in = log.iter().filter(|entry| entry.direction == Direction::In).count();
            hold(asked == taken_in, || {
                format!("follower {number} asked {asked} times, and {taken_in} questions are in the log")
            })?;
            self.check_order(number, &log).await?;
        }
        Ok(())
    }

    pub(super) async fn log_of(&self, number: usize) -> Vec<Message> {
        let mut log: Vec<Message> = vec![];
        loop {
            let last = log.last().map_or(0, |entry| entry.seq);
            let next = self.store.messages(&self.account.id, self.follower(number), last, 200).await.unwrap();
            if next.is_empty() {
                return log;
            }
            log.extend(next);
        }
    }

    /// The log has no gap, and what a follower saw in the chat came in the order of its queue; a repeat may follow at
    /// once.
    async fn check_order(&self, number: usize, log: &[Message]) -> Result<(), String> {
        for (at, entry) in log.iter().enumerate() {
            hold(entry.seq == at as i64 + 1, || format!("the log of follower {number} has a gap at {at}"))?;
        }
        let whose = vec![self.account.id.as_str().into(), self.follower(number).into()];
        let queued = self.store.fetch(QUEUED, whose).await.unwrap();
        let entry = |seq: i64| log.iter().find(|entry| entry.seq == seq);
        let queued = queued.iter().filter_map(|row| entry(row.int(0).unwrap()));
        let by_service = |entry: &&Message| entry.channel == Channel::CustomerService;
        let texts: Vec<String> = queued.filter(by_service).map(|entry| text_of(&entry.content)).collect();
        let mut last = 0;
        for said in self.outside.said.get(openid(number).reveal()).into_iter().flatten() {
            let Some(later) = texts.iter().skip(last).position(|text| text == said) else {
                let earlier = texts.iter().take(last).any(|text| text == said);
                hold(!earlier, || format!("follower {number} saw a message after a later one: {said}"))?;
                continue;
            };
            last += later;
        }
        Ok(())
    }
}

/// Sends that a window has paid for between two looks.
fn paid(before: Grant, now: Grant) -> usize {
    let since = if before.granted == now.granted { before.used } else { 0 };
    usize::from(now.used.saturating_sub(since))
}

fn text_of(content: &crate::domain::secret::Personal) -> String {
    let content: serde_json::Value = serde_json::from_str(content.reveal()).unwrap_or_default();
    content["text"].as_str().unwrap_or_default().to_owned()
}
