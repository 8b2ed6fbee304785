//! The bank's own page for the PIN: who is sent there, what he types, and the signed word that he takes back.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, Nothing, read};
use crate::domain::time::UnixMs;
use crate::simulator::core::book::Book;
use crate::simulator::core::events::{Event, PinRequest, Refusal};
use crate::simulator::core::signature::Key;
use crate::simulator::core::transaction::rfc3339;

/// The PIN that every made-up customer begins with.
pub(in crate::simulator::core) const FIRST_PIN: &str = "246810";
/// How long the page of one asking can be used.
const REQUEST_LIFE: Duration = Duration::from_secs(10 * 60);
/// The service whose page changes the PIN.
const SETS_PIN: &str = "card_txn_pin_set";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    scope: String,
    title: String,
    return_url: String,
}

/// Opens a page for one PIN. Its address is under the bank's own, whatever that is for a browser.
pub(super) fn start(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let start: Start = read(params)?;
    refuse_if_locked(asked.book, &customer.id, asked.now)?;
    let request = PinRequest {
        request_id: asked.new_id.clone(),
        customer_id: customer.id.clone(),
        scope: start.scope,
        title: start.title,
        return_url: start.return_url,
        at: asked.now,
        used: false,
    };
    let result = json!({
        "request_id": request.request_id,
        "page_url": format!("{}/sandbox/pin/{}", asked.own_url, request.request_id),
        "expires_in_s": REQUEST_LIFE.as_secs(),
    });
    Ok(Decision::done(Event::PinAsked { request }, result))
}

/// When the PIN was set, and whether wrong ones have stopped it.
pub(super) fn status(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let pin = asked.book.pins.get(&customer.id).cloned().unwrap_or_default();
    Ok(json!({ "set_at": pin.set_at.map(rfc3339), "locked": asked.now < pin.locked_until }))
}

/// What needs a PIN is refused without one, whoever calls.
pub(super) fn proved(asked: &Asked<'_>) -> Result<(), Refusal> {
    if asked.guard == Some("pin") {
        return Ok(());
    }
    Err(Refusal::new("step_up_required", "为了您的资金安全，请先在银行的密码页输入交易密码。"))
}

fn refuse_if_locked(book: &Book, customer_id: &str, now: UnixMs) -> Result<(), Refusal> {
    match book.pins.get(customer_id).filter(|pin| now < pin.locked_until) {
        None => Ok(()),
        Some(pin) => {
            let minutes = pin.locked_until.since(now).as_secs() / 60 + 1;
            let message = format!("交易密码输错次数过多，请{minutes}分钟后再试。");
            Err(Refusal::new("pin_locked", message))
        }
    }
}

/// What was typed on the page.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(in crate::simulator::core) struct Typed {
    pub(in crate::simulator::core) pin: String,
    pub(in crate::simulator::core) new_pin: String,
    pub(in crate::simulator::core) new_pin_again: String,
    pub(in crate::simulator::core) cancel: String,
}

/// A page that can still be used.
pub(in crate::simulator::core) fn open<'a>(
    book: &'a Book,
    request_id: &str,
    now: UnixMs,
) -> Result<&'a PinRequest, Refusal> {
    let request = book.pin_requests.get(request_id);
    let open = request.filter(|request| !request.used && now < request.at + REQUEST_LIFE);
    let request = open.ok_or_else(|| Refusal::new("expired", "这个页面已经失效，请回到公众号重新打开。"))?;
    refuse_if_locked(book, &request.customer_id, now)?;
    Ok(request)
}

/// Whether the page is there to change the PIN.
pub(in crate::simulator::core) fn sets_pin(request: &PinRequest) -> bool {
    request.scope == SETS_PIN
}

/// Takes what was typed: what happened, and the outcome to take back; a refusal is shown on the page.
pub(in crate::simulator::core) fn take(
    book: &Book,
    request_id: &str,
    typed: &Typed,
    now: UnixMs,
) -> Result<(Vec<Event>, Result<&'static str, Refusal>), Refusal> {
    let request = open(book, request_id, now)?;
    if !typed.cancel.is_empty() {
        return Ok((Vec::new(), Ok("cancelled")));
    }
    let print = |pin: &str| book.fingerprint(&format!("{}.{pin}", request.customer_id));
    let known = book.pins.get(&request.customer_id).and_then(|pin| pin.pin.clone());
    let right = print(&typed.pin) == known.unwrap_or_else(|| print(FIRST_PIN));
    let request_id = request_id.to_owned();
    if !right {
        let wrong = Refusal::new("wrong_pin", "交易密码不正确，请重新输入。");
        return Ok((vec![Event::PinTried { request_id, right, at: now }], Err(wrong)));
    }
    let mut events = Vec::new();
    if sets_pin(request) {
        let pin = typed.new_pin.as_str();
        let is_pin = pin.len() == 6 && pin.bytes().all(|byte| byte.is_ascii_digit());
        if !is_pin || pin != typed.new_pin_again {
            let bad = Refusal::new("bad_pin", "新密码要是6位数字，两次输入要一样。");
            return Ok((Vec::new(), Err(bad)));
        }
        events.push(Event::PinSet { customer_id: request.customer_id.clone(), pin: print(pin), at: now });
    }
    events.push(Event::PinTried { request_id, right, at: now });
    Ok((events, Ok("verified")))
}

/// The address to return to, with the bank's signed word for the outcome.
pub(in crate::simulator::core) fn way_back(
    request: &PinRequest,
    outcome: &str,
    key: &Key,
    now: UnixMs,
) -> String {
    let body = json!({
        "request_id": request.request_id,
        "scope": request.scope,
        "customer_id": request.customer_id,
        "outcome": outcome,
    });
    let body = body.to_string();
    let timestamp = now.seconds().to_string();
    let signature = key.sign(&request.request_id, &timestamp, body.as_bytes());
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("id", &request.request_id)
        .append_pair("timestamp", &timestamp)
        .append_pair("signature", &signature)
        .append_pair("body", &BASE64_URL_SAFE_NO_PAD.encode(body))
        .finish();
    format!("{}?{query}", request.return_url)
}
