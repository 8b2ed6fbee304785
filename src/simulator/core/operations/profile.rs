//! What the bank knows of a customer, masked, and how he changes it.

use std::time::Duration;

use jiff::Span;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, Nothing, mask_phone, read};
use crate::simulator::core::amount::Amount;
use crate::simulator::core::changes::{Change, ProfilePart};
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::people::Customer;
use crate::simulator::core::rules::ProductRules;
use crate::simulator::core::transaction::{Kind, rfc3339};

const ADDRESSES: [(&str, ProfilePart, &str); 3] = [
    ("billing", ProfilePart::BillingAddress, "星海市云台区****"),
    ("home", ProfilePart::HomeAddress, "星海市云台区****"),
    ("work", ProfilePart::WorkAddress, "星海市高新区****"),
];
/// After another phone number.
const COOLING: Duration = Duration::from_secs(24 * 3600);
/// Characters of an address that stay readable.
const ADDRESS_SHOWN: usize = 6;

pub(super) fn billing_address(asked: &Asked<'_>, customer: &Customer) -> String {
    masked(asked, customer, ProfilePart::BillingAddress).unwrap_or_else(|| ADDRESSES[0].2.to_owned())
}

fn masked(asked: &Asked<'_>, customer: &Customer, part: ProfilePart) -> Option<String> {
    asked.book.changes(customer).profile.get(&part).cloned()
}

pub(super) fn query(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let customer = asked.customer()?;
    let Nothing {} = read(params)?;
    let phone = masked(asked, customer, ProfilePart::Phone).unwrap_or_else(|| mask_phone(&customer.phone));
    let address = |(kind, part, at_first): &(&str, ProfilePart, &str)| {
        let masked = masked(asked, customer, *part).unwrap_or_else(|| (*at_first).to_owned());
        json!({ "kind": kind, "masked": masked })
    };
    Ok(json!({
        "name_masked": super::mask_name(customer.name),
        "phone_masked": phone,
        "email_masked": masked(asked, customer, ProfilePart::Email),
        "addresses": ADDRESSES.iter().map(address).collect::<Vec<_>>(),
        "id_expires_on": "2035-06-30",
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    part: ProfilePart,
    value: String,
}

pub(super) fn update(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let update: Update = read(params)?;
    let value = update.value.trim();
    let masked = match update.part {
        ProfilePart::Phone => mobile(value)?,
        ProfilePart::Email => email(value)?,
        _ => address(value)?,
    };
    let mail_sent = matches!(update.part, ProfilePart::Email);
    let mut result = json!({
        "part": update.part, "masked": masked, "effective_on": asked.today(), "mail_sent": mail_sent,
    });
    if update.part == ProfilePart::Phone {
        result["cooling_until"] = json!(rfc3339(asked.now + COOLING));
    }
    let change = Change::Profile { part: update.part, masked, at: Some(asked.now) };
    Ok(Decision::done(Event::Changed { customer_id: customer.id.clone(), change }, result))
}

/// Whoever stole a phone number would borrow by it first: nothing is lent for a day.
pub(super) fn cooled(asked: &Asked<'_>) -> Result<(), Refusal> {
    let changed = asked.customer().ok().and_then(|customer| asked.book.changes(customer).phone_changed_at);
    match changed.map(|changed| changed + COOLING).filter(|until| asked.now < *until) {
        None => Ok(()),
        Some(until) => {
            let until = until.beijing().strftime("%-m月%-d日 %H:%M");
            Err(Refusal::new("cooling", format!("您刚修改过手机号，{until}后才能办理。")))
        }
    }
}

fn mobile(value: &str) -> Result<String, Refusal> {
    let fits = value.len() == 11 && value.starts_with('1') && value.bytes().all(|byte| byte.is_ascii_digit());
    if fits { Ok(mask_phone(value)) } else { Err(Refusal::new("bad_value", "手机号应为11位数字。")) }
}

fn email(value: &str) -> Result<String, Refusal> {
    let bad = || Refusal::new("bad_value", "邮箱不正确，请写成 name@example.com 这样。");
    let (name, domain) = value.split_once('@').ok_or_else(bad)?;
    let fits = !name.is_empty() && domain.contains('.') && value.is_ascii() && !value.contains(' ');
    let first = name.chars().next().filter(|_| fits && value.len() <= 60).ok_or_else(bad)?;
    Ok(format!("{first}***@{domain}"))
}

fn address(value: &str) -> Result<String, Refusal> {
    if !(6..=60).contains(&value.chars().count()) {
        return Err(Refusal::new("bad_value", "请写完整的地址，6到60个字。"));
    }
    Ok(value.chars().take(ADDRESS_SHOWN).chain("****".chars()).collect())
}

/// The yearly fee of a card, and what is still lacking for its waiver.
pub(super) fn annual_fee(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let products = &asked.book.rules.application.products;
    let product = products.iter().find(|product: &&ProductRules| product.tier == open.card.tier);
    let product = product.ok_or_else(|| Refusal::new("no_such_card", "没有这款卡片的年费资料。"))?;
    let opened = open.card.opened_on;
    let mut next = opened;
    while next <= open.today {
        next = next.saturating_add(Span::new().years(1));
    }
    let since = next.saturating_sub(Span::new().years(1));
    let entries = open.ledgers.iter().flat_map(|ledger| &ledger.entries);
    let done = entries.filter(|entry| entry.kind == Kind::Purchase && entry.on() >= since).count();
    let fee = Amount::parse(&product.annual_fee, "CNY").unwrap_or_else(|_| Amount::yuan(0));
    Ok(json!({
        "card": open.json(),
        "fee": fee,
        "fee_on": next,
        "rule": product.annual_fee_rule,
        "purchases_needed": product.waiver_purchases,
        "purchases_done": done,
        "purchases_missing": product.waiver_purchases.map(|needed| needed.saturating_sub(done)),
    }))
}
