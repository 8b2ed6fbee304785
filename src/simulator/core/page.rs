//! The page that bank people look at: customers, a card to swipe, text messages, applications, what went out and
//! what came in, faults.

use askama::Template;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::amount::Amount;
use super::bank::Bank;
use super::book::Book;
use super::events::Delivery;
use super::faults::Fault;
use super::operations::{Stage, Standing, pin, product_name};
use super::people::{Card, Customer};
use super::transaction::rfc3339;
use crate::domain::time::UnixMs;

const ROWS_MAX: usize = 12;

/// The operations that the fault panel offers.
const OPERATIONS: [&str; 23] = [
    "identity_start",
    "otp_send",
    "otp_verify",
    "card_list",
    "card_lock",
    "card_unlock",
    "card_overseas_query",
    "card_overseas_switch",
    "card_declined_reason",
    "fraud_deny",
    "fraud_confirm",
    "inst_quote",
    "bill_current",
    "bill_unbilled",
    "bill_history",
    "bill_detail",
    "bill_date_query",
    "due_date_query",
    "limit_query",
    "points_query",
    "application_products",
    "application_submit",
    "application_progress",
];

#[derive(Template)]
#[template(path = "pages/core/index.html")]
struct Index {
    live: Live,
    people: Vec<PersonRow>,
    merchants: Vec<String>,
    operations: &'static [&'static str],
}

#[derive(Template)]
#[template(path = "pages/core/pin.html")]
struct PinPage<'a> {
    title: &'a str,
    sets_pin: bool,
    first_pin: &'static str,
    open: bool,
    trouble: Option<&'a str>,
    back: Option<&'a str>,
}

/// The page that takes a PIN, with what went wrong.
pub(super) fn pin(bank: &Bank, request_id: &str, trouble: Option<&str>) -> askama::Result<String> {
    bank.look(|book, now| match pin::open(book, request_id, now) {
        Ok(request) => PinPage {
            title: &request.title,
            sets_pin: pin::sets_pin(request),
            first_pin: pin::FIRST_PIN,
            open: true,
            trouble,
            back: None,
        }
        .render(),
        Err(refusal) => PinPage {
            title: "交易密码",
            sets_pin: false,
            first_pin: pin::FIRST_PIN,
            open: false,
            trouble: Some(&refusal.message),
            back: None,
        }
        .render(),
    })
}

/// The page after it: the way back.
pub(super) fn pin_done(back: &str) -> askama::Result<String> {
    let (title, first_pin) = ("交易密码", pin::FIRST_PIN);
    PinPage { title, sets_pin: false, first_pin, open: false, trouble: None, back: Some(back) }.render()
}

#[derive(Template)]
#[template(path = "pages/core/live.html")]
struct Live {
    standings: Vec<StandingRow>,
    sms: Vec<SmsRow>,
    applications: Vec<ApplicationRow>,
    owed: usize,
    problem: Option<String>,
    deliveries: Vec<DeliveryRow>,
    received: Vec<ReceivedRow>,
    faults: Vec<FaultRow>,
}

struct PersonRow {
    id: String,
    name: &'static str,
    cards: Vec<(&'static str, String)>,
}

struct StandingRow {
    id: String,
    name: &'static str,
    id_number: String,
    phone: String,
    cards: Vec<CardState>,
    available: String,
    total: String,
    due: String,
    overdue: bool,
}

/// A card's tail and what stands in its way.
struct CardState {
    card_id: &'static str,
    last4: String,
    status: &'static str,
}

impl CardState {
    fn words(&self) -> &'static str {
        match self.status {
            "locked" => "已锁卡",
            "frozen" => "已冻结",
            "lost" => "已挂失",
            "inactive" => "未激活",
            "held" => "待核实",
            _ => "",
        }
    }
}

struct SmsRow {
    at: String,
    phone: String,
    text: String,
}

struct ApplicationRow {
    number: String,
    name: String,
    product: String,
    stage: String,
    finished: bool,
    at: String,
    customer: String,
}

struct DeliveryRow {
    at: String,
    summary: String,
    outcome: String,
    delivered: bool,
}

struct ReceivedRow {
    at: String,
    kind: String,
    customer: String,
    data: String,
}

struct FaultRow {
    operation: String,
    what: String,
}

/// The whole page.
pub(super) fn index(bank: &Bank) -> Result<String, askama::Error> {
    let (people, merchants) = bank.look(|book, _| {
        let person = |customer: &Customer| {
            let cards = customer.cards.iter();
            let cards = cards.map(|card| (card.card_id, format!("{}（尾号{}）", card.product, card.last4)));
            PersonRow { id: customer.id.clone(), name: customer.name, cards: cards.collect() }
        };
        let people = book.customers.iter().map(person).collect();
        (people, book.rules.merchants.iter().map(|merchant| merchant.name.clone()).collect())
    });
    Index { live: live_part(bank), people, merchants, operations: &OPERATIONS }.render()
}

/// The part that changes.
pub(super) fn live(bank: &Bank) -> Result<String, askama::Error> {
    live_part(bank).render()
}

/// A tag that changes with the text.
pub(super) fn entity_tag(html: &str) -> String {
    let digest = hex::encode(Sha256::digest(html.as_bytes()));
    format!("\"{digest}\"")
}

/// Style and script, by name: their type and text.
pub(super) fn asset(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "core.css" => {
            Some(("text/css; charset=utf-8", include_str!("../../../templates/pages/core/core.css")))
        }
        "core.js" => {
            Some(("text/javascript; charset=utf-8", include_str!("../../../templates/pages/core/core.js")))
        }
        _ => None,
    }
}

/// Applications for tests, the newest first.
pub(super) fn applications_json(book: &Book, _now: UnixMs) -> Value {
    let json = |application: &super::events::Application| {
        let stage = Stage::of(book, application);
        json!({
            "application_no": application.application_no,
            "product_id": application.product_id,
            "customer_id": application.customer_id,
            "stage": { "code": stage.code, "name": stage.name },
            "finished": stage.finished,
            "submitted_at": application.reached.first().map(|at| rfc3339(*at)),
        })
    };
    book.applications.iter().rev().take(200).map(json).collect()
}

fn live_part(bank: &Bank) -> Live {
    let faults = bank.faults.list().into_iter().map(fault_row).collect();
    let problem = bank.problem();
    bank.look(|book, now| Live {
        standings: book.customers.iter().map(|customer| standing_row(book, customer, now)).collect(),
        sms: book
            .sms
            .iter()
            .take(ROWS_MAX)
            .map(|sms| SmsRow {
                at: clock_time(sms.at),
                phone: sms.phone_masked.clone(),
                text: sms.text.clone(),
            })
            .collect(),
        applications: application_rows(book),
        owed: book.owed.len(),
        problem: problem.filter(|_| !book.owed.is_empty()),
        deliveries: delivery_rows(book),
        received: received_rows(book),
        faults,
    })
}

fn standing_row(book: &Book, customer: &Customer, now: UnixMs) -> StandingRow {
    let standing = Standing::of(book, customer, now);
    let today = now.beijing().date();
    let ledgers = || customer.cards.iter().flat_map(|card| book.ledgers(customer, card, today));
    let due = ledgers()
        .filter_map(|ledger| ledger.latest().map(|statement| ledger.amount(statement.remaining())))
        .filter(|amount| amount.minor() > 0)
        .map(|amount| amount.money().display());
    let due: Vec<String> = due.collect();
    let state = |card: &Card| CardState {
        card_id: card.card_id,
        last4: card.last4.clone(),
        status: book.controls(customer, card).status(card),
    };
    StandingRow {
        id: customer.id.clone(),
        name: customer.name,
        id_number: customer.id_number.clone(),
        phone: customer.phone.clone(),
        cards: customer.cards.iter().map(state).collect(),
        available: Amount::yuan(standing.available()).money().display(),
        total: Amount::yuan(standing.total()).money().display(),
        due: if due.is_empty() { "已还清".to_owned() } else { due.join(" + ") },
        overdue: ledgers().any(|ledger| ledger.overdue_since().is_some()),
    }
}

fn application_rows(book: &Book) -> Vec<ApplicationRow> {
    let row = |application: &super::events::Application| {
        let stage = Stage::of(book, application);
        ApplicationRow {
            number: application.application_no.clone(),
            name: application.name_masked.clone(),
            product: product_name(book, application).to_owned(),
            stage: stage.name.to_owned(),
            finished: stage.finished,
            at: application.reached.first().map_or_else(String::new, |at| day_and_time(*at)),
            customer: application.customer_id.clone().unwrap_or_else(|| "未绑定".to_owned()),
        }
    };
    book.applications.iter().rev().take(ROWS_MAX).map(row).collect()
}

fn delivery_rows(book: &Book) -> Vec<DeliveryRow> {
    let row = |delivery: &Delivery| DeliveryRow {
        at: day_and_time(delivery.queued_at),
        summary: delivery.summary.clone(),
        outcome: if delivery.outcome.is_empty() { "待发送".to_owned() } else { delivery.outcome.clone() },
        delivered: delivery.outcome.starts_with("已送达"),
    };
    let owed = book.owed.iter().rev().take(ROWS_MAX / 2);
    owed.chain(&book.settled).take(ROWS_MAX).map(row).collect()
}

fn received_rows(book: &Book) -> Vec<ReceivedRow> {
    let text =
        |body: &Value, member: &str| body.get(member).and_then(Value::as_str).unwrap_or("—").to_owned();
    let newest = book.received.iter().take(ROWS_MAX);
    newest
        .map(|received| ReceivedRow {
            at: day_and_time(received.at),
            kind: text(&received.body, "type"),
            customer: text(&received.body, "customer_id"),
            data: received
                .body
                .get("data")
                .map(Value::to_string)
                .unwrap_or_default()
                .chars()
                .take(200)
                .collect(),
        })
        .collect()
}

fn fault_row(fault: Fault) -> FaultRow {
    let mut parts = Vec::new();
    if fault.down {
        parts.push("停机".to_owned());
    }
    if fault.delay_ms > 0 {
        parts.push(format!("延迟 {} 毫秒", fault.delay_ms));
    }
    if fault.answer_delay_ms > 0 {
        parts.push(format!("办完再等 {} 毫秒才答复", fault.answer_delay_ms));
    }
    if fault.error_rate > 0.0 {
        parts.push(format!("出错概率 {}（种子 {}）", fault.error_rate, fault.seed));
    }
    let operation = if fault.operation == "*" { "全部".to_owned() } else { fault.operation };
    FaultRow { operation, what: if parts.is_empty() { "无影响".to_owned() } else { parts.join("，") } }
}

fn clock_time(at: UnixMs) -> String {
    at.beijing().strftime("%H:%M:%S").to_string()
}

fn day_and_time(at: UnixMs) -> String {
    at.beijing().strftime("%m-%d %H:%M:%S").to_string()
}
