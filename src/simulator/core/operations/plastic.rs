//! The cards themselves: new plastic, cards for the family, and where a card in the post is.

use serde::Deserialize;
use serde_json::{Value, json};

use jiff::ToSpan as _;

use super::repayments::minor;
use super::{Asked, Decision, Nothing, Stage, open_case, product_name, read};
use crate::simulator::core::amount::Amount;
use crate::simulator::core::changes::{CaseKind, Change};
use crate::simulator::core::events::{Application, Event, Refusal};
use crate::simulator::core::rules::minor_of;
use crate::simulator::core::transaction::{Channel, Entry, Kind};

/// Days from posting a card until it is there.
const POST_DAYS: i64 = 5;

/// What new plastic costs and where it goes.
pub(super) fn quote(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let rules = &asked.book.rules.plastic;
    Ok(json!({
        "card": open.json(),
        "fee": Amount::yuan(minor_of(&rules.replace_fee, "CNY")),
        "arrives_by": open.today.saturating_add(rules.replace_days.days()),
        "address_masked": super::profile::billing_address(asked, open.customer),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replace {
    card_id: Option<String>,
    reason: String,
}

/// Sends new plastic, and books its fee: under the same number, but under another where the card is lost.
pub(super) fn replace(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let replace: Replace = read(params)?;
    let open = asked.card_named(replace.card_id.as_deref())?;
    let lost = replace.reason == "lost";
    if lost && asked.book.controls(customer, open.card).lost_at.is_none() {
        return Err(Refusal::new("not_lost", "这张卡没有挂失，请先挂失。"));
    }
    let rules = &asked.book.rules.plastic;
    let fee = Amount::yuan(minor_of(&rules.replace_fee, "CNY"));
    let card_id = open.card.card_id.to_owned();
    let tail: u32 = open.card.last4.parse().unwrap_or(0);
    let new_last4 = if lost { format!("{:04}", (tail * 7 + 41) % 10_000) } else { open.card.last4.clone() };
    let case = open_case(asked, CaseKind::Replacement, card_id.clone(), Some(fee), rules.replace_days)?;
    let entry = Entry {
        transaction_id: asked.new_id.clone(),
        at: asked.now,
        kind: Kind::Fee,
        merchant: "换卡工本费".to_owned(),
        amount: fee,
        original: None,
        channel: Channel::Other,
        unbilled: false,
        reason: None,
    };
    let mut card = open.json();
    card["last4"] = json!(new_last4);
    let result = json!({
        "card": card,
        "new_last4": new_last4,
        "order_no": case.case_no,
        "fee": fee,
        "arrives_by": case.due,
        "address_masked": super::profile::billing_address(asked, customer),
    });
    let mut decision = Decision::opened(asked, case, result);
    let customer_id = customer.id.clone();
    if lost {
        let (customer_id, card_id) = (customer_id.clone(), card_id.clone());
        decision.events.push(Event::CardRenewed { customer_id, card_id, last4: new_last4 });
    }
    decision.events.push(Event::Moved { customer_id, card_id, entry });
    Ok(decision)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Supplementary {
    card_id: Option<String>,
    relation: String,
    limit: String,
}

/// Asks for a card for a member of the family, with a limit inside the customer's own.
pub(super) fn supplementary(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let wanted: Supplementary = read(params)?;
    let open = asked.card_named(wanted.card_id.as_deref())?;
    let limit = minor(&wanted.limit)?;
    let (fixed, _) = asked.book.limits(customer);
    if limit > fixed {
        let shown = Amount::yuan(fixed).money().display();
        return Err(Refusal::new("above_limit", format!("副卡额度不能超过您的固定额度{shown}。")));
    }
    let rules = &asked.book.rules.plastic;
    let cases = asked.book.changes(customer).cases.iter();
    if cases.filter(|case| case.kind == CaseKind::Supplementary).count() >= rules.supplementary_max {
        let message = format!("每位主卡人最多申请{}张附属卡。", rules.supplementary_max);
        return Err(Refusal::new("too_many", message));
    }
    let limit = Some(Amount::yuan(limit));
    let case = open_case(asked, CaseKind::Supplementary, wanted.relation, limit, rules.supplementary_days)?;
    let result = json!({
        "card": open.json(),
        "application_no": case.case_no,
        "limit": case.amount,
        "visit_by": case.due,
    });
    let customer_id = customer.id.clone();
    Ok(Decision::done(Event::Changed { customer_id, change: Change::Opened { case } }, result))
}

/// Where the cards are that a customer applied for and that were posted.
pub(super) fn delivery(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let phone = asked.book.fingerprint(&customer.phone);
    let own = |application: &&Application| {
        application.customer_id.as_deref() == Some(customer.id.as_str()) || application.phone == phone
    };
    let parcels = asked.book.applications.iter().rev().filter(own).filter_map(|application| {
        let stage = Stage::of(asked.book, application);
        let state = match stage.code {
            "mailing" => "on_the_way",
            _ if stage.finished => "delivered",
            _ => return None,
        };
        let stages = &asked.book.rules.application.stages;
        let posted = stages.iter().position(|stage| stage.code == "mailing");
        let posted = application.reached.get(posted?)?.beijing().date();
        Some(json!({
            "application_no": application.application_no,
            "product": product_name(asked.book, application),
            "courier": "示例速运",
            "tracking_no": format!("SY{}", application.application_no),
            "posted_on": posted,
            "expected_on": posted.saturating_add(POST_DAYS.days()),
            "state": state,
        }))
    });
    Ok(json!({
        "address_masked": super::profile::billing_address(asked, customer),
        "parcels": parcels.take(5).collect::<Vec<_>>(),
    }))
}
