//! What must hold of every conversation, whoever did whatever to it: looked at in the database as it is.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::domain::case::CaseState;
use crate::domain::conversation::Stage;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::window::Ledger;
use crate::store::{Message, Statement, Store};

const OPEN_CASES: Statement = Statement {
    name: "OPEN_CASES",
    sql: "SELECT case_id, state, claimed_by FROM desk_case WHERE account = $1 AND fkey = $2 \
        AND state NOT IN ('closed', 'rated')",
};
/// Entries of one read.
const READ: u32 = 500;
/// How the words end with which somebody leaves: leaving has no entry of its own in the log.
pub(crate) const LEFT: &str = "Leave";

/// What logs hold: (follower, text) → how often.
pub(crate) type Texts = BTreeMap<(FollowerKey, String), usize>;

pub(crate) fn hold(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// Looks at one follower: his conversation and its case say the same, no case is an orphan, no allowance is overdrawn, and
/// the log knows one owner at a time, who is the owner now. Adds what the log holds.
pub(crate) async fn look(
    store: &Store,
    account: &AccountId,
    who: FollowerKey,
    found: &mut Texts,
) -> Result<(), String> {
    let conversation = store.conversation(account, who).await.unwrap();
    let used = conversation.ledger.message.used;
    hold(used <= Ledger::MESSAGE_SENDS_MAX, || format!("{used} were sent in one window"))?;
    let named = conversation.case_id.as_deref();
    let rows = store.fetch(OPEN_CASES, vec![account.as_str().into(), who.into()]).await.unwrap();
    let mut owner = None;
    let mut is_there = false;
    for row in &rows {
        let (case_id, state) = (row.text(0).unwrap(), CaseState::parse(row.text(1).unwrap()).unwrap());
        if Some(case_id) != named {
            hold(state == CaseState::WrapUp, || format!("{case_id} is an orphan"))?;
            continue;
        }
        is_there = true;
        let stage = conversation.stage;
        hold(state.stage() == Some(stage), || format!("{case_id} is {state:?}, its conversation {stage:?}"))?;
        if state == CaseState::WithAgent {
            owner = Some(row.text(2).unwrap().to_owned());
        }
    }
    match named {
        None => hold(conversation.stage == Stage::Bot, || {
            format!("a conversation is {:?} without a case", conversation.stage)
        })?,
        Some(case_id) => hold(is_there, || format!("{case_id} is named and over"))?,
    }
    let mut log: Vec<Message> = vec![];
    loop {
        let last = log.last().map_or(0, |entry| entry.seq);
        let next = store.messages(account, who, last, READ).await.unwrap();
        if next.is_empty() {
            break;
        }
        log.extend(next);
    }
    let told = replay(&log, found)?;
    hold(told == owner, || format!("the log knows {told:?} as the owner, the case {owner:?}"))
}

/// Reads a log from its beginning: numbers without gaps, one owner at a time, answers by the owner only. Gives the owner.
fn replay(log: &[Message], found: &mut Texts) -> Result<Option<String>, String> {
    let mut owner: Option<String> = None;
    for (at, message) in log.iter().enumerate() {
        hold(message.seq == i64::try_from(at).unwrap() + 1, || format!("a gap in the log at {at}"))?;
        let content: Value = serde_json::from_str(message.content.reveal()).unwrap();
        if let Some(text) = content["text"].as_str().filter(|_| content["kind"] != "rating") {
            *found.entry((message.follower, text.to_owned())).or_default() += 1;
            let is_note = content["kind"] == "note";
            if let Some(name) = message.author.strip_prefix("agent:").filter(|_| !is_note) {
                hold(owner.as_deref() == Some(name), || {
                    format!("{name} said {text}, the owner is {owner:?}")
                })?;
            }
            if text.ends_with(LEFT) {
                owner = None;
            }
        }
        match content["what"].as_str() {
            Some("claimed") => {
                hold(owner.is_none(), || format!("{} and {owner:?} own it", content["agent"]))?;
                owner = content["agent"].as_str().map(str::to_owned);
            }
            Some("handed_over") => {
                hold(owner.as_deref() == content["from"].as_str(), || format!("{owner:?} did not give it"))?;
                owner = content["agent"].as_str().map(str::to_owned);
            }
            Some("transferred" | "returned" | "closed") => owner = None,
            _ => {}
        }
    }
    Ok(owner)
}
