//! A new card until it works: what its application still lacks, the interview, the activation.

use jiff::ToSpan as _;
use jiff::civil::Weekday;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, Nothing, Stage, open_case, product_name, read};
use crate::simulator::core::changes::CaseKind;
use crate::simulator::core::events::{Application, Event, Refusal};
use crate::simulator::core::people::Customer;
use crate::simulator::core::transaction::rfc3339;

/// Made-up branches where interviews are held.
const BRANCHES: [(&str, &str); 3] = [
    ("星海云台支行", "星海市云台区望潮路18号"),
    ("星海高新支行", "星海市高新区启明大道66号"),
    ("临江中央支行", "临江市滨江区长堤街7号"),
];
/// Working days on which an interview can be booked, from tomorrow on.
const INTERVIEW_DAYS: usize = 2;
/// What an application may lack.
const PAPERS: [(&str, &str); 2] = [("income", "收入证明"), ("work", "工作证明")];
/// Days within which a paper is looked at.
const PAPER_DAYS: i64 = 3;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    card_id: String,
}

/// Lets a card be used. Who applied online for his first one must have been seen by somebody.
pub(super) fn activate(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let Named { card_id } = read(params)?;
    let open = asked.card_named(Some(&card_id))?;
    if asked.book.controls(customer, open.card).is_active(open.card) {
        return Err(Refusal::new("already_active", "这张卡已经激活。"));
    }
    if open.card.inactive && !was_seen(asked, customer) {
        let message = "这是您在线申请的首张卡，激活前需要到网点面签。";
        return Err(Refusal::new("interview_required", message));
    }
    super::proofs::by_code(asked)?;
    let result = json!({ "card": open.json(), "activated_at": rfc3339(asked.now) });
    let customer_id = customer.id.clone();
    Ok(Decision::done(Event::CardActivated { customer_id, card_id }, result))
}

/// Whether the day of his interview has come.
fn was_seen(asked: &Asked<'_>, customer: &Customer) -> bool {
    let mut cases = asked.book.changes(customer).cases.iter();
    cases.any(|case| case.kind == CaseKind::Interview && case.due <= asked.today())
}

struct Slot {
    slot_id: String,
    branch: &'static str,
    address: &'static str,
    day: jiff::civil::Date,
    time: &'static str,
}

impl Slot {
    fn json(&self) -> Value {
        json!({
            "slot_id": self.slot_id, "branch": self.branch, "address": self.address, "date": self.day,
            "time": self.time,
        })
    }
}

fn open_slots(asked: &Asked<'_>) -> Vec<Slot> {
    let days = (1..10).map(|ahead: i64| asked.today().saturating_add(ahead.days()));
    let working = |day: &jiff::civil::Date| !matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday);
    let days = days.filter(working).take(INTERVIEW_DAYS);
    let of_day = |day: jiff::civil::Date| {
        BRANCHES.iter().enumerate().map(move |(place, (branch, address))| Slot {
            slot_id: format!("{}-{place}", day.strftime("%Y%m%d")),
            branch,
            address,
            day,
            time: if place % 2 == 0 { "10:00" } else { "14:30" },
        })
    };
    days.flat_map(of_day).collect()
}

/// Where and when an interview can be had.
pub(super) fn slots(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    asked.customer()?;
    let Nothing {} = read(params)?;
    Ok(json!({ "slots": open_slots(asked).iter().map(Slot::json).collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Booking {
    slot_id: String,
}

/// Books an interview.
pub(super) fn book(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let Booking { slot_id } = read(params)?;
    let slot = open_slots(asked).into_iter().find(|slot| slot.slot_id == slot_id);
    let slot = slot.ok_or_else(|| Refusal::new("no_such_slot", "这个时间已经约满，请重新选择。"))?;
    let days = (slot.day - asked.today()).get_days();
    let case = open_case(asked, CaseKind::Interview, String::new(), None, i64::from(days))?;
    let mut result = slot.json();
    result["booking_no"] = json!(case.case_no);
    Ok(Decision::opened(asked, case, result))
}

/// The customer's newest application that is still worked on.
fn application<'a>(asked: &'a Asked<'_>, customer: &Customer) -> Option<&'a Application> {
    let phone = asked.book.fingerprint(&customer.phone);
    let own = |application: &&Application| {
        application.customer_id.as_deref() == Some(customer.id.as_str()) || application.phone == phone
    };
    let mut open = asked.book.applications.iter().rev().filter(own);
    open.find(|application| !Stage::of(asked.book, application).finished)
}

/// What an application still lacks.
pub(super) fn missing(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let application = application(asked, customer);
    let sent = |item: &str| {
        let mut cases = asked.book.changes(customer).cases.iter();
        cases.any(|case| case.kind == CaseKind::Supplement && case.about == item)
    };
    let items = PAPERS.iter().filter(|(item, _)| application.is_some() && !sent(item));
    Ok(json!({
        "application_no": application.map(|application| &application.application_no),
        "product": application.map(|application| product_name(asked.book, application)),
        "items": items.map(|(item, name)| json!({ "item": item, "name": name })).collect::<Vec<_>>(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paper {
    item: String,
    way: String,
}

/// Notes how a paper comes in.
pub(super) fn supplement(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let Paper { item, way } = read(params)?;
    let application = application(asked, customer)
        .ok_or_else(|| Refusal::new("nothing_missing", "您没有需要补充资料的申请。"))?;
    let (item, name) = PAPERS
        .iter()
        .find(|(known, _)| *known == item)
        .ok_or_else(|| Refusal::new("nothing_missing", "这项资料不需要补充。"))?;
    let case = open_case(asked, CaseKind::Supplement, (*item).to_owned(), None, PAPER_DAYS)?;
    let result = json!({
        "receipt_no": case.case_no,
        "application_no": application.application_no,
        "name": name,
        "way": way,
        "answer_by": case.due,
    });
    Ok(Decision::opened(asked, case, result))
}
