//! Paying in instalments: quotes, agreements, and the way out.

use serde::Deserialize;
use serde_json::{Value, json};

use super::repayments::{minor, own_account};
use super::{Asked, Decision, OpenCard, Standing, profile, read, transaction_json};
use crate::simulator::core::amount::Amount;
use crate::simulator::core::changes::{Change, PLANS_MAX};
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::ledger::{Ledger, Statement};
use crate::simulator::core::plan::{Plan, PlanKind, PlanStanding};
use crate::simulator::core::rules::{InstalmentRules, decimal, minor_of, percent_of};
use crate::simulator::core::transaction::{Channel, Entry, Kind, rfc3339};

/// What the public table is worked out for, in fen.
const EXAMPLE_PRINCIPAL: i64 = 12_000 * 100;
const PURCHASES_MAX: usize = 10;
const PLANS_SHOWN_MAX: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Quote {
    card_id: Option<String>,
    kind: Option<PlanKind>,
    amount: Option<String>,
    transaction_id: Option<String>,
    periods: Option<u32>,
}

/// The table by number of periods; for a customer, of what he could really pay so.
pub(super) fn quote(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    if asked.customer_id.is_some() {
        asked.customer()?;
    }
    let quote: Quote = read(params)?;
    let rules = &asked.book.rules.instalment;
    let kind = quote.kind.unwrap_or(PlanKind::Bill);
    let mut merchant = None;
    let (mut least, mut most, mut principal) = (minor_of(&rules.bill_least, "CNY"), None, EXAMPLE_PRINCIPAL);
    if asked.customer_id.is_some() {
        let open = asked.card_named(quote.card_id.as_deref())?;
        let range = range(asked, &open, kind)?;
        (least, most) = (range.0, Some(range.1));
        principal = if range.1 > 0 { range.1 } else { EXAMPLE_PRINCIPAL };
        if let Some(id) = &quote.transaction_id {
            let entry = eligible(asked, &open, id)?;
            (principal, merchant) = (entry.amount.minor(), Some(entry.merchant.clone()));
        }
    }
    if let Some(amount) = &quote.amount {
        principal = minor(amount)?;
    }
    let option = |periods: u32, rate: i64| {
        let plan = draft(kind, principal, periods, rate);
        let payments = plan.payments();
        let interest = plan.interest() * i64::from(periods);
        json!({
            "periods": periods,
            "first_payment": Amount::yuan(payments.first().copied().unwrap_or(0)),
            "payment": Amount::yuan(payments.last().copied().unwrap_or(0)),
            "interest": Amount::yuan(interest),
            "total": Amount::yuan(principal + interest),
            "period_rate": decimal(rate, 3),
            "annual_rate": decimal(plan.annual_rate(), 2),
        })
    };
    let offered = || rules.periods.iter().filter(|one| one.is_for(principal));
    let options: Vec<(u32, Value)> =
        offered().map(|one| (one.periods, option(one.periods, one.rate))).collect();
    let highest = offered().map(|one| draft(kind, principal, one.periods, one.rate).annual_rate());
    let chosen = quote.periods.and_then(|wanted| options.iter().find(|(periods, _)| *periods == wanted));
    Ok(json!({
        "merchant": merchant,
        "principal": Amount::yuan(principal),
        "least": Amount::yuan(least),
        "most": most.map(Amount::yuan),
        "annual_rate_max": decimal(highest.max().unwrap_or(0), 2),
        "settle_percent": rules.settle_percent.to_string(),
        "chosen": chosen.map(|(_, option)| option),
        "options": options.iter().map(|(_, option)| option).collect::<Vec<_>>(),
        "purposes": rules.cash_purposes.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "accounts": asked.book.rules.repayment.accounts.iter().map(|last4| json!({ "last4": last4 })).collect::<Vec<_>>(),
    }))
}

fn draft(kind: PlanKind, principal: i64, periods: u32, rate: i64) -> Plan {
    Plan {
        plan_id: String::new(),
        card_id: String::new(),
        kind,
        title: String::new(),
        opened_at: crate::domain::time::UnixMs(0),
        principal: Amount::yuan(principal),
        periods,
        rate,
        transaction_id: None,
        settled_at: None,
    }
}

/// The least and the most that may be paid in instalments, in fen.
fn range(asked: &Asked<'_>, open: &OpenCard<'_>, kind: PlanKind) -> Result<(i64, i64), Refusal> {
    let rules = &asked.book.rules.instalment;
    let least = |decimal: &str| minor_of(decimal, "CNY");
    Ok(match kind {
        PlanKind::Bill => {
            let remaining = yuan(open)?.latest().map_or(0, Statement::remaining);
            (least(&rules.bill_least), remaining * rules.bill_percent_max / 100)
        }
        PlanKind::Purchase => (least(&rules.purchase_least), i64::MAX / 1_000_000),
        PlanKind::Cash => {
            let free = Standing::of(asked.book, open.customer, asked.now).available();
            // Whole hundreds of yuan are paid out.
            (least(&rules.cash_least), free * rules.cash_percent_max / 100 / 10_000 * 10_000)
        }
    })
}

fn yuan<'a>(open: &'a OpenCard<'_>) -> Result<&'a Ledger, Refusal> {
    let ledger = open.ledgers.iter().find(|ledger| ledger.currency.code() == "CNY");
    ledger.ok_or_else(|| Refusal::new("not_eligible", "外币账户不支持分期。"))
}

fn rate_of(rules: &InstalmentRules, principal: i64, periods: u32) -> Result<i64, Refusal> {
    let offered = || rules.periods.iter().filter(|one| one.is_for(principal));
    let found = offered().find(|one| one.periods == periods).map(|one| one.rate);
    found.ok_or_else(|| {
        let offered: Vec<String> = offered().map(|one| one.periods.to_string()).collect();
        Refusal::new("unknown_periods", format!("可以选择{}期。", offered.join("、")))
    })
}

fn within(amount: i64, (least, most): (i64, i64)) -> Result<(), Refusal> {
    let shown = |minor: i64| Amount::yuan(minor).money().display();
    if most < least {
        return Err(Refusal::new(
            "not_eligible",
            format!("可分期的金额不到{}，暂时不能办理。", shown(least)),
        ));
    }
    if amount < least {
        return Err(Refusal::new("below_least", format!("分期金额最低{}。", shown(least))));
    }
    if amount > most {
        return Err(Refusal::new("above_most", format!("分期金额最高{}。", shown(most))));
    }
    Ok(())
}

/// What keeps a customer from any new plan.
fn in_good_order(asked: &Asked<'_>, open: &OpenCard<'_>) -> Result<(), Refusal> {
    if open.ledgers.iter().any(|ledger| ledger.overdue_since().is_some()) {
        return Err(Refusal::new("overdue", "这张卡有逾期欠款，还清后才能办理分期。"));
    }
    if asked.book.changes(open.customer).plans.len() >= PLANS_MAX {
        return Err(Refusal::new("not_eligible", "分期笔数已达上限。"));
    }
    Ok(())
}

/// The booking of a card with this id, if it may be paid in instalments; else why not.
fn eligible<'a>(asked: &Asked<'_>, open: &'a OpenCard<'_>, id: &str) -> Result<&'a Entry, Refusal> {
    let entries = open.ledgers.iter().flat_map(|ledger| &ledger.entries);
    let entry = entries.into_iter().find(|entry| entry.transaction_id == id);
    let Some(entry) = entry else {
        return Err(Refusal::new("not_posted", "这笔交易还没有入账，入账后才能分期。"));
    };
    let rules = &asked.book.rules.instalment;
    if entry.kind != Kind::Purchase || entry.amount.currency().code() != "CNY" {
        return Err(Refusal::new("not_eligible", "只有人民币消费可以分期。"));
    }
    if !yuan(open)?.unbilled().any(|unbilled| unbilled.transaction_id == id) {
        return Err(Refusal::new("on_statement", "这笔消费已经出账，可以改办账单分期。"));
    }
    if rules.excluded_merchants.contains(&entry.merchant) {
        return Err(Refusal::new("excluded", format!("{}的消费不支持分期。", entry.merchant)));
    }
    let plans = &asked.book.changes(open.customer).plans;
    if plans.iter().any(|plan| plan.transaction_id.as_deref() == Some(id)) {
        return Err(Refusal::new("already_planned", "这笔消费已经办过分期。"));
    }
    let least = minor_of(&rules.purchase_least, "CNY");
    if entry.amount.minor() < least {
        let shown = Amount::yuan(least).money().display();
        return Err(Refusal::new("below_least", format!("单笔满{shown}的消费才能分期。")));
    }
    Ok(entry)
}

/// The unbilled purchases that may be paid in instalments, the largest first.
pub(super) fn purchases(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let ledger = yuan(&open)?;
    let mut found: Vec<&Entry> =
        ledger.unbilled().filter(|entry| eligible(asked, &open, &entry.transaction_id).is_ok()).collect();
    found.sort_by_key(|entry| std::cmp::Reverse(entry.amount.minor()));
    found.truncate(PURCHASES_MAX);
    Ok(json!({
        "card": open.json(),
        "least": Amount::yuan(minor_of(&asked.book.rules.instalment.purchase_least, "CNY")),
        "purchases": found.iter().map(|entry| transaction_json(open.card, entry)).collect::<Vec<_>>(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyBill {
    card_id: Option<String>,
    amount: String,
    periods: u32,
}

pub(super) fn apply_bill(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let apply: ApplyBill = read(params)?;
    let open = asked.card_named(apply.card_id.as_deref())?;
    in_good_order(asked, &open)?;
    let amount = minor(&apply.amount)?;
    within(amount, range(asked, &open, PlanKind::Bill)?)?;
    let title = "账单分期".to_owned();
    agree(asked, &open, PlanKind::Bill, title, amount, apply.periods, None)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyPurchase {
    card_id: Option<String>,
    transaction_id: String,
    periods: u32,
}

pub(super) fn apply_purchase(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let apply: ApplyPurchase = read(params)?;
    let open = asked.card_named(apply.card_id.as_deref())?;
    in_good_order(asked, &open)?;
    let entry = eligible(asked, &open, &apply.transaction_id)?;
    let title: String = entry.merchant.chars().take(20).chain("分期".chars()).collect();
    let amount = entry.amount.minor();
    agree(asked, &open, PlanKind::Purchase, title, amount, apply.periods, Some(apply.transaction_id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyCash {
    card_id: Option<String>,
    amount: String,
    periods: u32,
    purpose: String,
    to_last4: String,
}

pub(super) fn apply_cash(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let apply: ApplyCash = read(params)?;
    let open = asked.card_named(apply.card_id.as_deref())?;
    profile::cooled(asked)?;
    in_good_order(asked, &open)?;
    own_account(asked, &apply.to_last4)?;
    if !asked.book.rules.instalment.cash_purposes.contains(&apply.purpose) {
        return Err(Refusal::new("bad_purpose", "现金分期只能用于个人消费，不能用于购房、投资等用途。"));
    }
    let amount = minor(&apply.amount)?;
    within(amount, range(asked, &open, PlanKind::Cash)?)?;
    let title = "现金分期".to_owned();
    let mut decision = agree(asked, &open, PlanKind::Cash, title, amount, apply.periods, None)?;
    if let Ok(result) = &mut decision.answer {
        result["to_last4"] = json!(apply.to_last4);
    }
    Ok(decision)
}

/// The plan, and what takes its principal out of the bill.
fn agree(
    asked: &Asked<'_>,
    open: &OpenCard<'_>,
    kind: PlanKind,
    title: String,
    principal: i64,
    periods: u32,
    transaction_id: Option<String>,
) -> Result<Decision, Refusal> {
    let rate = rate_of(&asked.book.rules.instalment, principal, periods)?;
    let plan = Plan {
        plan_id: asked.new_id.clone(),
        card_id: open.card.card_id.to_owned(),
        title,
        opened_at: asked.now,
        transaction_id,
        ..draft(kind, principal, periods, rate)
    };
    let payments = plan.payments();
    let result = json!({
        "card": open.json(),
        "plan_id": plan.plan_id,
        "title": plan.title,
        "principal": plan.principal,
        "periods": periods,
        "first_payment": Amount::yuan(payments.first().copied().unwrap_or(0)),
        "payment": Amount::yuan(payments.last().copied().unwrap_or(0)),
        "interest": Amount::yuan(plan.interest() * i64::from(periods)),
        "annual_rate": decimal(plan.annual_rate(), 2),
        "first_on": first_statement(open),
    });
    let customer_id = open.customer.id.clone();
    let mut events = Vec::new();
    if kind != PlanKind::Cash {
        let entry = Entry {
            transaction_id: format!("{}-out", plan.plan_id),
            at: asked.now,
            kind: Kind::Instalment,
            merchant: format!("转入{}", plan.title),
            amount: plan.principal.negated(),
            original: None,
            channel: Channel::Other,
            unbilled: kind == PlanKind::Purchase,
            reason: None,
        };
        let card_id = open.card.card_id.to_owned();
        events.push(Event::Moved { customer_id: customer_id.clone(), card_id, entry });
    }
    events.push(Event::Changed { customer_id, change: Change::Planned { plan } });
    Ok(Decision { events, sms: None, answer: Ok(result) })
}

/// The statement on which the first period of a plan of today stands.
fn first_statement(open: &OpenCard<'_>) -> jiff::civil::Date {
    let next = open.calendar.on_or_after(open.today);
    if next > open.today { next } else { open.calendar.after(next) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plans {
    card_id: Option<String>,
    plan_id: Option<String>,
}

/// The plans of a card with how far they have come, or one of them.
pub(super) fn plans(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    asked.customer()?;
    let wanted: Plans = read(params)?;
    let open = asked.card_named(wanted.card_id.as_deref())?;
    let percent = asked.book.rules.instalment.settle_percent;
    let running: Vec<Value> = open
        .ledgers
        .iter()
        .flat_map(|ledger| &ledger.plans)
        .rev()
        .filter(|standing| standing.is_running())
        .filter(|standing| wanted.plan_id.as_ref().is_none_or(|id| *id == standing.plan.plan_id))
        .take(PLANS_SHOWN_MAX)
        .map(|standing| plan_json(&open, standing, percent))
        .collect();
    Ok(json!({ "card": open.json(), "plans": running }))
}

/// A plan that is running, and what settling it now would come to.
fn plan_json(open: &OpenCard<'_>, standing: &PlanStanding, settle_percent: i64) -> Value {
    let plan = &standing.plan;
    let left = plan.periods - standing.billed;
    let next = first_statement(open);
    let end = (1..left).fold(next, |date, _| open.calendar.after(date));
    let payment = plan.principal_of(standing.billed + 1) + plan.interest();
    let fee = percent_of(standing.left, settle_percent);
    json!({
        "plan_id": plan.plan_id,
        "title": plan.title,
        "opened_at": rfc3339(plan.opened_at),
        "principal": plan.principal,
        "periods": plan.periods,
        "periods_billed": standing.billed,
        "periods_left": left,
        "principal_left": Amount::yuan(standing.left),
        "next_payment": Amount::yuan(payment),
        "next_on": next,
        "ends_on": end,
        "annual_rate": decimal(plan.annual_rate(), 2),
        "settlement": {
            "fee": Amount::yuan(fee),
            "total": Amount::yuan(standing.left + fee),
            "interest_saved": Amount::yuan(plan.interest() * i64::from(left)),
            "billed_on": next,
        },
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfPlan {
    card_id: Option<String>,
    plan_id: String,
}

pub(super) fn settle(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let of: OfPlan = read(params)?;
    let open = asked.card_named(of.card_id.as_deref())?;
    let mut plans = open.ledgers.iter().flat_map(|ledger| &ledger.plans);
    let standing = plans.find(|standing| standing.plan.plan_id == of.plan_id);
    let standing = standing.ok_or_else(|| Refusal::new("unknown_plan", "没有找到这笔分期。"))?;
    if !standing.is_running() {
        return Err(Refusal::new("already_settled", "这笔分期已经结清。"));
    }
    let percent = asked.book.rules.instalment.settle_percent;
    let (principal, fee) = (standing.left, percent_of(standing.left, percent));
    let result = json!({ "card": open.json(), "plan": plan_json(&open, standing, percent) });
    let entry = |what: &str, kind: Kind, title: &str, minor: i64| Entry {
        transaction_id: format!("{}-{what}", of.plan_id),
        at: asked.now,
        kind,
        merchant: format!("{}{title}", standing.plan.title),
        amount: Amount::yuan(minor),
        original: None,
        channel: Channel::Other,
        unbilled: false,
        reason: None,
    };
    let customer_id = open.customer.id.clone();
    let moved = |entry: Entry| Event::Moved {
        customer_id: customer_id.clone(),
        card_id: open.card.card_id.to_owned(),
        entry,
    };
    let mut events = vec![moved(entry("rest", Kind::Instalment, "提前结清", principal))];
    if fee > 0 {
        events.push(moved(entry("rest-fee", Kind::Fee, "提前结清违约金", fee)));
    }
    let change = Change::Settled { plan_id: of.plan_id.clone(), at: asked.now };
    events.push(Event::Changed { customer_id: customer_id.clone(), change });
    Ok(Decision { events, sms: None, answer: Ok(result) })
}
