//! What the page reads. Times are milliseconds; customers' words stay strings.

use serde_json::{Value, json};

use super::words::{self, Language};
use crate::config::Config;
use crate::desk::{Allowance, Listed, View, WhyNot};
use crate::domain::binding::Binding;
use crate::store::{Case, Direction, Message};

pub(super) fn list(listed: &Listed, config: &Config, language: Language) -> Value {
    let cases: Vec<Value> = listed.cases.iter().map(|case| self::case(case, config, language)).collect();
    json!({ "cases": cases, "more": listed.more })
}

pub(super) fn case(case: &Case, config: &Config, language: Language) -> Value {
    let account = config.account(case.account.as_str());
    let follower = case.follower.to_string();
    // Enough to tell customers apart in a list, and nothing else.
    let label: String = follower.chars().take(4).collect::<String>().to_uppercase();
    json!({
        "case_id": case.case_id,
        "follower": follower,
        "label": label,
        "account": account.map_or(case.account.as_str(), |account| account.name.as_str()),
        "state": case.state.name(),
        "skill": words::skill(language, &case.skill),
        "priority": case.priority.level(),
        "reason": case.reason,
        "opened": case.opened.0,
        "opened_seq": case.opened_seq,
        "queued": case.queued.0,
        "claimed_by": case.claimed_by,
        "claimed": case.claimed.map(|at| at.0),
        "last_customer": case.last_customer.map(|at| at.0),
        "unread": case.unread,
        "transfers": case.transfers,
        "close_reason": case.close_reason.map(crate::domain::case::CloseReason::name),
    })
}

pub(super) fn view(view: &View, config: &Config, language: Language) -> Value {
    json!({
        "case": case(&view.case, config, language),
        "mine": view.mine,
        "seq": view.seq,
        "allowance": allowance(&view.allowance),
        "customer": view.binding.as_ref().map(customer),
    })
}

fn allowance(allowance: &Allowance) -> Value {
    let why_not = allowance.why_not.map(|why| match why {
        WhyNot::Closed => "closed",
        WhyNot::Spent => "spent",
        WhyNot::Unfollowed => "unfollowed",
    });
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
    let content = serde_json::from_str(message.content.reveal()).map_or(Value::Null, with_kind);
    json!({
        "seq": message.seq,
        "from": if agent.is_some() { "agent" } else { message.author.as_str() },
        "agent": agent,
        "incoming": message.direction == Direction::In,
        "channel": message.channel.name(),
        "at": message.at.0,
        "state": message.state,
        "content": content,
    })
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
