//! What the page reads. Times are milliseconds; customers' words stay strings.

use serde_json::{Value, json};

use super::words::{self, Language};
use crate::config::Config;
use crate::desk::{About, Allowance, DeskFiles, Listed, Reply, View, WhyNot};
use crate::domain::binding::Binding;
use crate::domain::complaint::Limit;
use crate::domain::time::UnixMs;
use crate::staff::Session;
use crate::store::{Case, Complaint, DeskAgent, Direction, Message, Present};

/// For whom the JSON is: his language, and the names of accounts, groups and reasons.
pub(super) struct Reader<'a> {
    pub(super) config: &'a Config,
    pub(super) files: &'a DeskFiles,
    pub(super) language: Language,
    pub(super) now: UnixMs,
}

impl Reader<'_> {
    pub(super) fn list(&self, listed: &Listed) -> Value {
        let cases: Vec<Value> = listed.cases.iter().map(|case| self.case(case)).collect();
        json!({ "cases": cases, "more": listed.more, "now": self.now.0 })
    }

    pub(super) fn case(&self, case: &Case) -> Value {
        let account = self.config.account(case.account.as_str());
        let follower = case.follower.to_string();
        // Enough to tell customers apart in a list, and nothing else.
        let label: String = follower.chars().take(4).collect::<String>().to_uppercase();
        let promised = self.files.groups.get(&case.skill).map(|group| case.queued + group.answer_within);
        json!({
            "case_id": case.case_id,
            "follower": follower,
            "label": label,
            "account_id": case.account.as_str(),
            "account": account.map_or(case.account.as_str(), |account| account.name.as_str()),
            "state": case.state.name(),
            "skill": words::group(self.language, &self.files.groups, &case.skill),
            "skill_id": case.skill,
            "priority": case.priority.level(),
            "reason": words::reason(self.language, &self.files.reasons, &case.reason),
            "opened": case.opened.0,
            "opened_seq": case.opened_seq,
            "queued": case.queued.0,
            "promised": promised.map(|at| at.0),
            "claimed_by": case.claimed_by,
            "claimed": case.claimed.map(|at| at.0),
            "last_customer": case.last_customer.map(|at| at.0),
            "last_reply": case.last_reply.map(|at| at.0),
            "unread": case.unread,
            "transfers": case.transfers,
            "closed": case.closed.map(|at| at.0),
            "close_reason": case.close_reason.map(crate::domain::case::CloseReason::name),
            "kept_for": case.prefer.as_ref().filter(|(_, until)| *until > self.now).map(|(agent, _)| agent),
            "score": case.score.map(crate::domain::case::Score::points),
        })
    }

    pub(super) fn view(&self, view: &View, reader: &Session) -> Value {
        // Whom a judgement is about may read it, and who judges.
        let judgement = view.judgement.as_ref().filter(|_| view.mine || reader.role.sees_every_case());
        let earlier: Vec<Value> = view.others.iter().map(|case| self.case(case)).collect();
        json!({
            "case": self.case(&view.case),
            "mine": view.mine,
            "seq": view.seq,
            "allowance": allowance(&view.allowance),
            "customer": view.binding.as_ref().map(customer),
            "others": earlier,
            "complaint": view.complaint.as_ref().map(|complaint| self.complaint(complaint)),
            "judgement": judgement.map(|judgement| json!({
                "points": judgement.points.points(),
                "note": judgement.note.reveal(),
                "by": judgement.by,
                "at": judgement.at.0,
            })),
            "now": self.now.0,
        })
    }

    pub(super) fn complaint(&self, complaint: &Complaint) -> Value {
        let (limit, until) = Limit::at(complaint.registered, self.now);
        json!({
            "complaint_id": complaint.complaint_id,
            "case_id": complaint.case_id,
            "account": complaint.account.as_str(),
            "reason": complaint.reason.reveal(),
            "by": complaint.registered_by,
            "registered": complaint.registered.0,
            "limit": limit.name(),
            "until": until.0,
            "settled_by": complaint.settled.as_ref().map(|(by, _)| by),
            "settled": complaint.settled.as_ref().map(|(_, at)| at.0),
        })
    }
}

pub(super) fn agent(name: &str, agent: &DeskAgent) -> Value {
    json!({
        "name": name, "skills": agent.skills, "capacity": agent.capacity, "ready": agent.ready,
    })
}

pub(super) fn present(person: &Present) -> Value {
    let mut shown = agent(&person.name, &person.agent);
    if let Some(members) = shown.as_object_mut() {
        members.insert("role".to_owned(), person.role.as_str().into());
        members.insert("cases".to_owned(), person.cases.into());
        members.insert("claimed".to_owned(), person.claimed.map(|at| at.0).into());
    }
    shown
}

/// A canned reply. Its text is in the customer's language, whatever the agent's is.
pub(super) fn reply(reply: &Reply, language: Language) -> Value {
    let english = reply.english.as_ref().filter(|_| language == Language::English);
    json!({ "title": english.unwrap_or(&reply.title), "text": reply.text, "groups": reply.groups })
}

/// What is known beside the talk.
pub(super) fn about(about: &About) -> Value {
    let transactions: Vec<Value> = about
        .transactions
        .iter()
        .map(|told| {
            let one = &told.transaction;
            json!({
                "kind": one.kind,
                "amount": one.amount.value,
                "currency": one.amount.currency,
                "merchant": one.merchant.as_ref().map(|merchant| merchant.name.as_str()),
                "tail": one.card_last4.as_str(),
                "at": one.occurred_ms.0,
                "spoken_of": told.is_spoken_of,
            })
        })
        .collect();
    let guesses: Vec<Value> =
        about.guesses.iter().map(|guess| json!({ "title": guess.title, "text": guess.text })).collect();
    json!({ "services": about.services, "transactions": transactions, "guesses": guesses })
}

fn allowance(allowance: &Allowance) -> Value {
    let why_not = allowance.why_not.map(WhyNot::name);
    json!({ "left": allowance.left, "until": allowance.until.map(|until| until.0), "why_not": why_not })
}

fn customer(binding: &Binding) -> Value {
    let cards: Vec<Value> = binding
        .cards
        .iter()
        .map(|card| {
            json!({
                "product": card.product,
                "tail": card.tail.as_str(),
                "default": card.card_id == binding.default_card,
            })
        })
        .collect();
    json!({
        "name": binding.name_masked.reveal(),
        "cards": cards,
        "bound": binding.bound.0,
        "alerts": binding.alerts,
    })
}

pub(super) fn message(message: &Message) -> Value {
    let agent = message.author.strip_prefix("agent:");
    json!({
        "seq": message.seq,
        "from": if agent.is_some() { "agent" } else { message.author.as_str() },
        "agent": agent,
        "incoming": message.direction == Direction::In,
        "channel": message.channel.name(),
        "at": message.at.0,
        "state": message.state,
        "content": log_entry(message),
    })
}

/// What an entry of the log says.
pub(in crate::web) fn log_entry(message: &Message) -> Value {
    serde_json::from_str(message.content.reveal()).map_or(Value::Null, with_kind)
}

/// A passive reply stands in the log under its name (`{"text": "…"}`); everything else says its `kind`.
fn with_kind(content: Value) -> Value {
    let Value::Object(members) = content else { return Value::Null };
    if members.contains_key("kind") {
        return Value::Object(members);
    }
    match members.into_iter().next() {
        Some((kind, Value::String(text))) => json!({ "kind": kind, "text": text }),
        Some((kind, Value::Array(articles))) => json!({ "kind": kind, "articles": articles }),
        Some((kind, _)) => json!({ "kind": kind }),
        None => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wechat::reply::Reply;
    use crate::wechat::text::Text;

    #[test]
    fn replies_read_like_every_other_entry() {
        let reply = Reply::Text(Text::new("您好").unwrap()).to_json().unwrap();
        assert_eq!(
            with_kind(serde_json::from_str(&reply).unwrap()),
            json!({ "kind": "text", "text": "您好" })
        );
        let image = json!({ "kind": "image", "media_id": "m" });
        assert_eq!(with_kind(image.clone()), image);
        assert_eq!(
            with_kind(json!({ "news": [{ "title": "账单" }] })),
            json!({ "kind": "news", "articles": [{ "title": "账单" }] })
        );
        assert_eq!(with_kind(json!("text")), Value::Null);
    }
}
