//! Who is it? Identity data and one-time codes.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, card_json, mask_name, mask_phone, read};
use crate::domain::time::UnixMs;
use crate::simulator::core::book::Sms;
use crate::simulator::core::events::{Challenge, Event, Refusal};
use crate::simulator::core::transaction::rfc3339;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    name: String,
    id_tail: String,
    card_tail: String,
    phone: String,
}

pub(super) fn start(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let start: Start = read(params)?;
    let phone = asked.book.fingerprint(&start.phone);
    refuse_if_locked(asked, &phone)?;
    let found = asked.book.customers.iter().find(|customer| {
        let tail_fits = matches!(start.id_tail.len(), 4 | 6) && customer.id_number.ends_with(&start.id_tail);
        customer.phone == start.phone
            && customer.name == start.name.trim()
            && tail_fits
            && customer.cards.iter().any(|card| card.last4 == start.card_tail)
    });
    let Some(customer) = found else {
        let refusal = Refusal::new("not_matched", "您填写的信息与银行预留信息不一致，请核对后重试。");
        return Ok(Decision::refused(Event::IdentityFailed { phone, at: asked.now }, refusal));
    };
    send_code(asked, "binding", &start.phone, Some(customer.id.clone()))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Purpose {
    Application,
    ApplicationProgress,
    StepUp,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Send {
    purpose: Purpose,
    phone: Option<String>,
}

pub(super) fn send(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let send: Send = read(params)?;
    let purpose = match send.purpose {
        Purpose::Application => "application",
        Purpose::ApplicationProgress => "application_progress",
        Purpose::StepUp => "step_up",
    };
    let customer_id = asked.customer_id.map(str::to_owned);
    match (send.phone, &customer_id) {
        (Some(phone), _) if phone.len() != 11 || !phone.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(Refusal::new("bad_request", "phone is 11 digits"))
        }
        (Some(phone), _) => send_code(asked, purpose, &phone, customer_id),
        (None, Some(_)) => send_code(asked, purpose, &asked.customer()?.phone.clone(), customer_id),
        (None, None) => Err(Refusal::new("phone_missing", "请填写手机号。")),
    }
}

fn send_code(
    asked: &Asked<'_>,
    purpose: &str,
    phone: &str,
    customer_id: Option<String>,
) -> Result<Decision, Refusal> {
    let rules = &asked.book.rules.otp;
    let print = asked.book.fingerprint(phone);
    refuse_if_locked(asked, &print)?;
    let last_sent = asked.book.phones.get(&print).map_or(UnixMs(0), |tries| tries.last_sent_at);
    let next_send = last_sent + Duration::from_secs(rules.resend_s);
    if last_sent != UnixMs(0) && asked.now < next_send {
        let wait_s = next_send.since(asked.now).as_secs() + 1;
        let message = format!("验证码刚刚已发送，请{wait_s}秒后再试。");
        return Err(Refusal::new("too_soon", message).with(json!({ "wait_s": wait_s })));
    }
    let code = new_code(asked, rules.digits);
    let challenge_id = format!("otp_{}", asked.new_id);
    let phone_masked = mask_phone(phone);
    let minutes = rules.life_s / 60;
    let sms = Sms {
        phone: print.clone(),
        phone_masked: phone_masked.clone(),
        text: format!(
            "【示例银行】验证码 {code}，{minutes}分钟内有效。银行不会向您索要验证码，请勿告诉任何人。"
        ),
        at: asked.now,
    };
    let challenge = Challenge {
        code: asked.book.fingerprint(&format!("{challenge_id}.{code}")),
        challenge_id: challenge_id.clone(),
        purpose: purpose.to_owned(),
        phone: print,
        phone_masked: phone_masked.clone(),
        customer_id,
        sent_at: asked.now,
        wrong_tries: 0,
        verified_at: None,
    };
    let result = json!({
        "challenge_id": challenge_id,
        "phone_masked": phone_masked,
        "expires_in_s": rules.life_s,
        "resend_after_s": rules.resend_s,
    });
    Ok(Decision { sms: Some(sms), ..Decision::done(Event::CodeSent { challenge }, result) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    challenge_id: String,
    code: String,
}

pub(super) fn verify(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let verify: Verify = read(params)?;
    let rules = &asked.book.rules.otp;
    let challenge = asked.book.challenges.get(&verify.challenge_id);
    let challenge = challenge.ok_or_else(|| Refusal::new("unknown_challenge", "请重新获取验证码。"))?;
    refuse_if_locked(asked, &challenge.phone)?;
    let expired = asked.now >= challenge.sent_at + Duration::from_secs(rules.life_s);
    if expired || challenge.verified_at.is_some() || challenge.wrong_tries >= rules.tries {
        return Err(Refusal::new("expired", "验证码已失效，请重新获取。"));
    }
    let tried = asked.book.fingerprint(&format!("{}.{}", verify.challenge_id, verify.code));
    let right = tried == challenge.code;
    let event = Event::CodeTried { challenge_id: verify.challenge_id, right, at: asked.now };
    if !right {
        let tries_left = rules.tries.saturating_sub(challenge.wrong_tries + 1);
        let refusal = if tries_left == 0 {
            locked(rules.lock_s)
        } else {
            Refusal::new("wrong_code", format!("验证码不正确，还可以再试{tries_left}次。"))
                .with(json!({ "tries_left": tries_left }))
        };
        return Ok(Decision::refused(event, refusal));
    }
    // Only a binding tells who it is: the other purposes know, or must not learn it.
    let customer = challenge.customer_id.as_deref().filter(|_| challenge.purpose == "binding");
    let customer = customer.and_then(|id| asked.book.customer(id));
    let cards = customer.map(|customer| customer.cards.iter().map(card_json).collect::<Vec<_>>());
    let result = json!({
        "purpose": challenge.purpose,
        "phone_masked": challenge.phone_masked,
        "verified_at": rfc3339(asked.now),
        "customer_id": customer.map(|customer| customer.id.as_str()),
        "name_masked": customer.map(|customer| mask_name(customer.name)),
        "cards": cards.unwrap_or_default(),
    });
    Ok(Decision::done(event, result))
}

fn refuse_if_locked(asked: &Asked<'_>, phone: &str) -> Result<(), Refusal> {
    match asked.book.phones.get(phone) {
        Some(tries) if asked.now < tries.locked_until => {
            Err(locked(tries.locked_until.since(asked.now).as_secs() + 1))
        }
        _ => Ok(()),
    }
}

fn locked(wait_s: u64) -> Refusal {
    let minutes = wait_s.div_ceil(60);
    let message = format!("错误次数过多，为保护您的账户，请{minutes}分钟后再试。");
    Refusal::new("locked", message).with(json!({ "wait_s": wait_s }))
}

fn new_code(asked: &Asked<'_>, digits: u32) -> String {
    let mut bytes = [0_u8; 8];
    asked.random.fill(&mut bytes);
    let number = u64::from_le_bytes(bytes) % 10_u64.pow(digits);
    format!("{number:0width$}", width = usize::try_from(digits).unwrap_or(6))
}
