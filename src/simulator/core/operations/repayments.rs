//! Repaying: ways, records, agreements, and what happens to who does not.

use jiff::ToSpan as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, Nothing, OpenCard, Standing, open_case, read};
use crate::simulator::core::amount::Amount;
use crate::simulator::core::changes::{CaseKind, Change, Drawn, Reminder};
use crate::simulator::core::events::{Event, Refusal};
use crate::simulator::core::ledger::{Ledger, Part, Statement, days_between, moment};
use crate::simulator::core::rules::MethodRules;
use crate::simulator::core::transaction::{Channel, Entry, Kind, rfc3339};

const RECORDS_MAX: usize = 10;

pub(super) fn methods(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let rules = &asked.book.rules.repayment;
    let method = |one: &MethodRules| json!({ "name": one.name, "arrives": one.arrives, "fee": one.fee });
    Ok(json!({
        "methods": rules.methods.iter().map(method).collect::<Vec<_>>(),
        "holiday": rules.holiday,
    }))
}

/// What a repayment may choose between: how much, and out of which account.
pub(super) fn options(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let ledger = yuan(&open)?;
    let owed = |part: fn(&Statement) -> i64| ledger.latest().map_or(0, part);
    let (full, minimum) = (owed(Statement::remaining), owed(Statement::minimum_remaining));
    let part = |code: &str, minor: i64| json!({ "part": code, "amount": ledger.amount(minor) });
    let parts = [("full", full), ("minimum", minimum)];
    let parts = parts.into_iter().filter(|(_, minor)| *minor > 0).map(|(code, minor)| part(code, minor));
    let accounts = asked.book.rules.repayment.accounts.iter();
    Ok(json!({
        "card": open.json(),
        "due_date": ledger.latest().map(|statement| statement.due),
        "remaining": ledger.amount(full),
        "minimum_remaining": ledger.amount(minimum),
        "outstanding": ledger.amount(ledger.outstanding()),
        "parts": parts.collect::<Vec<_>>(),
        "accounts": accounts.map(|last4| json!({ "last4": last4 })).collect::<Vec<_>>(),
    }))
}

/// The account in yuan; every card has one.
fn yuan<'a>(open: &'a OpenCard<'_>) -> Result<&'a Ledger, Refusal> {
    let ledger = open.ledgers.iter().find(|ledger| ledger.currency.code() == "CNY");
    ledger.ok_or_else(|| Refusal::new("no_such_card", "这张卡没有人民币账户。"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Repay {
    card_id: Option<String>,
    amount: String,
    from_last4: String,
}

pub(super) fn repay(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let repay: Repay = read(params)?;
    let open = asked.card_named(repay.card_id.as_deref())?;
    own_account(asked, &repay.from_last4)?;
    let ledger = yuan(&open)?;
    let owed = ledger.outstanding();
    let amount = match repay.amount.as_str() {
        "full" => ledger.latest().map_or(0, Statement::remaining),
        "minimum" => ledger.latest().map_or(0, Statement::minimum_remaining),
        decimal => minor(decimal)?,
    };
    if owed <= 0 || amount <= 0 {
        return Err(Refusal::new("nothing_owed", "这张卡现在没有需要还的金额。"));
    }
    if amount > owed {
        let message = format!("最多还{}，再多就成了溢缴款。", ledger.amount(owed).money().display());
        return Err(Refusal::new("too_much", message));
    }
    let entry = Entry {
        transaction_id: asked.new_id.clone(),
        at: asked.now,
        kind: Kind::Repayment,
        merchant: "微信还款".to_owned(),
        amount: ledger.amount(-amount),
        original: None,
        channel: Channel::Other,
        unbilled: false,
        reason: None,
    };
    let after = Standing::after(asked.book, customer, asked.now, Some((open.card, &entry)));
    let result = json!({
        "card": open.json(),
        "repayment_id": entry.transaction_id,
        "amount": ledger.amount(amount),
        "from_last4": repay.from_last4,
        "paid_at": rfc3339(asked.now),
        "remaining": ledger.amount((ledger.latest().map_or(0, Statement::remaining) - amount).max(0)),
        "available": Amount::yuan(after.available()),
    });
    let (customer_id, card_id) = (customer.id.clone(), open.card.card_id.to_owned());
    Ok(Decision::done(Event::Moved { customer_id, card_id, entry }, result))
}

/// A decimal of a call in fen.
pub(super) fn minor(decimal: &str) -> Result<i64, Refusal> {
    let amount = Amount::parse(decimal, "CNY").ok().map(Amount::minor).filter(|minor| *minor > 0);
    amount.ok_or_else(|| Refusal::new("bad_amount", "金额不对，请写成1234.56这样的人民币金额。"))
}

pub(super) fn own_account(asked: &Asked<'_>, last4: &str) -> Result<(), Refusal> {
    let known = asked.book.rules.repayment.accounts.iter().any(|account| account == last4);
    if known {
        Ok(())
    } else {
        Err(Refusal::new("no_such_account", "您名下没有这个尾号的储蓄卡。"))
    }
}

pub(super) fn records(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let entries = open.ledgers.iter().flat_map(|ledger| &ledger.entries);
    let mut repaid: Vec<&Entry> = entries.filter(|entry| entry.kind == Kind::Repayment).collect();
    repaid.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    repaid.truncate(RECORDS_MAX);
    let record = |entry: &&Entry| {
        json!({
            "paid_at": rfc3339(entry.at),
            "way": entry.merchant,
            "amount": entry.amount.negated(),
            "state": "posted",
        })
    };
    Ok(json!({ "card": open.json(), "repayments": repaid.iter().map(record).collect::<Vec<_>>() }))
}

/// The minimum, and what paying only that costs: the next statement as it would be cut.
pub(super) fn minimum(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let mut amounts = Vec::new();
    let mut dates = None;
    for ledger in &open.ledgers {
        let Some(statement) = ledger.latest() else { continue };
        dates = Some(statement.due);
        amounts.push(json!({
            "amount_due": ledger.amount(statement.amount_due),
            "minimum_due": ledger.amount(statement.minimum_due),
            "minimum_remaining": ledger.amount(statement.minimum_remaining()),
            "remaining": ledger.amount(statement.remaining()),
            "interest": ledger.amount(interest_of_minimum(asked, &open, ledger, statement)),
        }));
    }
    let due = dates.ok_or_else(|| Refusal::new("no_statement", "这张卡还没有出过账单。"))?;
    let rules = &asked.book.rules;
    Ok(json!({
        "card": open.json(),
        "due_date": due,
        "next_statement_date": open.calendar.on_or_after(open.today),
        "amounts": amounts,
        "daily_rate": rules.interest.daily_percent(),
        "annual_rate": rules.interest.annual_percent(),
    }))
}

fn interest_of_minimum(asked: &Asked<'_>, open: &OpenCard<'_>, ledger: &Ledger, now: &Statement) -> i64 {
    let day = now.due.max(open.today);
    let paid = Entry {
        transaction_id: "minimum".to_owned(),
        at: moment(day, 12, 0),
        kind: Kind::Repayment,
        merchant: "还款".to_owned(),
        amount: ledger.amount(-now.minimum_remaining()),
        original: None,
        channel: Channel::Other,
        unbilled: false,
        reason: None,
    };
    let later = open.calendar.after(now.date).saturating_add(1.day());
    let ledgers = asked.book.ledgers_with(open.customer, open.card, later, Some(&paid));
    let same = ledgers.iter().find(|one| one.currency == ledger.currency);
    same.and_then(Ledger::latest)
        .and_then(|statement| statement.interest)
        .map_or(0, |interest| interest.minor)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AutoSet {
    card_id: Option<String>,
    part: Part,
    from_last4: String,
}

pub(super) fn auto_set(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let set: AutoSet = read(params)?;
    let open = asked.card_named(set.card_id.as_deref())?;
    own_account(asked, &set.from_last4)?;
    let drawn = Drawn { part: set.part, from_last4: set.from_last4 };
    if asked.book.drawn(customer, open.card).as_ref() == Some(&drawn) {
        return Err(Refusal::new("unchanged", "这张卡已经是这样约定的。"));
    }
    let result = json!({
        "card": open.json(),
        "part": drawn.part,
        "from_last4": drawn.from_last4,
        "first_due_date": next_due(asked, &open),
    });
    let change = Change::AutoRepayment {
        card_id: open.card.card_id.to_owned(),
        since: open.today,
        drawn: Some(drawn),
    };
    Ok(Decision::done(Event::Changed { customer_id: customer.id.clone(), change }, result))
}

pub(super) fn auto_cancel(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let open = asked.card(params)?;
    let Some(drawn) = asked.book.drawn(customer, open.card) else {
        return Err(Refusal::new("not_set", "这张卡没有设置自动还款。"));
    };
    let result = json!({
        "card": open.json(),
        "from_last4": drawn.from_last4,
        "next_due_date": next_due(asked, &open),
    });
    let change =
        Change::AutoRepayment { card_id: open.card.card_id.to_owned(), since: open.today, drawn: None };
    Ok(Decision::done(Event::Changed { customer_id: customer.id.clone(), change }, result))
}

/// The due date that comes next, whether it is billed already or not.
fn next_due(asked: &Asked<'_>, open: &OpenCard<'_>) -> jiff::civil::Date {
    let due = open.ledgers.iter().filter_map(Ledger::latest).map(|statement| statement.due).max();
    let upcoming = open.calendar.on_or_after(open.today);
    let upcoming = upcoming.saturating_add(asked.book.rules.statement.days_to_due.days());
    due.filter(|due| *due >= open.today).unwrap_or(upcoming)
}

pub(super) fn reminder(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let reminder = asked.book.changes(open.customer).reminder.as_ref();
    Ok(json!({
        "on": reminder.is_some(),
        "days_before": reminder.map(|reminder| reminder.days_before),
        "hour": reminder.map(|reminder| reminder.hour),
        "due_date": next_due(asked, &open),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Remind {
    days_before: i64,
    hour: i64,
}

pub(super) fn remind(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let customer = asked.customer()?;
    let remind: Remind = read(params)?;
    let (days_before, hour) = (remind.days_before, remind.hour);
    let days_max = asked.book.rules.repayment.reminder_days_max;
    if !(0..=days_max).contains(&days_before) {
        return Err(Refusal::new("bad_days", format!("可以在还款日前1到{days_max}天提醒。")));
    }
    if !(0..=23).contains(&hour) {
        return Err(Refusal::new("bad_hour", "提醒时间是0点到23点。"));
    }
    let open = asked.card_named(None)?;
    let due = next_due(asked, &open);
    let reminder = (days_before > 0).then_some(Reminder { days_before, hour });
    let result = json!({
        "on": reminder.is_some(),
        "days_before": days_before,
        "hour": hour,
        "due_date": due,
        "first_on": due.saturating_sub(days_before.days()),
    });
    let change = Change::Reminder { reminder };
    Ok(Decision::done(Event::Changed { customer_id: customer.id.clone(), change }, result))
}

pub(super) fn overdue(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let since = open.ledgers.iter().filter_map(Ledger::overdue_since).min();
    let mut amounts = Vec::new();
    for ledger in &open.ledgers {
        let Some(statement) = ledger.latest().filter(|_| ledger.overdue_since().is_some()) else { continue };
        let from = since.unwrap_or(statement.due);
        let fees = ledger.entries.iter().filter(|entry| entry.kind == Kind::Fee && entry.on() > from);
        amounts.push(json!({
            "minimum_remaining": ledger.amount(statement.minimum_remaining()),
            "remaining": ledger.amount(statement.remaining()),
            "fees": ledger.amount(fees.map(|entry| entry.amount.minor()).sum()),
        }));
    }
    Ok(json!({
        "card": open.json(),
        "overdue": since.is_some(),
        "since": since,
        "days": since.map_or(0, |since| days_between(since, open.today)),
        "amounts": amounts,
        "reported": open.ledgers.iter().any(Ledger::is_reported),
        "next_due_date": next_due(asked, &open),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hardship {
    card_id: Option<String>,
    reason: String,
    periods: u32,
}

pub(super) fn hardship(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    asked.customer()?;
    let hardship: Hardship = read(params)?;
    let open = asked.card_named(hardship.card_id.as_deref())?;
    let rules = &asked.book.rules.repayment.hardship;
    let owed = yuan(&open)?.outstanding();
    if owed <= 0 {
        return Err(Refusal::new("nothing_owed", "这张卡现在没有欠款，不需要协商还款。"));
    }
    let periods = hardship.periods;
    if !(1..=rules.periods_max).contains(&periods) {
        let message = format!("个性化分期最长{}期（5年）。", rules.periods_max);
        return Err(Refusal::new("bad_periods", message));
    }
    let about = format!("{periods}期 {}", hardship.reason);
    let case = open_case(asked, CaseKind::Hardship, about, Some(Amount::yuan(owed)), rules.answer_days)?;
    let result = json!({
        "card": open.json(),
        "case_no": case.case_no,
        "outstanding": Amount::yuan(owed),
        "periods": periods,
        "team": rules.team,
        "phone": rules.phone,
        "answer_by": case.due,
    });
    Ok(Decision::opened(asked, case, result))
}
