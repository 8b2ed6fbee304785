//! Statements and bookings.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, OpenCard, read, transaction_json};
use crate::domain::money::Money;
use crate::simulator::core::events::Refusal;
use crate::simulator::core::ledger::days_between;
use crate::simulator::core::transaction::{Entry, Kind};

const HISTORY_MAX: usize = 12;
const LATEST_MAX: usize = 5;
const PAGE_SIZE: usize = 10;
const FEES_MAX: usize = 20;
const REFUND_DAYS: i64 = 60;

pub(super) fn current(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let mut amounts = Vec::new();
    let mut dates = None;
    for ledger in &open.ledgers {
        let Some(statement) = ledger.latest() else { continue };
        dates = Some((statement.date, statement.due));
        amounts.push(json!({
            "amount_due": ledger.amount(statement.amount_due),
            "minimum_due": ledger.amount(statement.minimum_due),
            "paid": ledger.amount(statement.paid),
            "remaining": ledger.amount(statement.remaining()),
            "minimum_remaining": ledger.amount(statement.minimum_remaining()),
            "previous_balance": ledger.amount(statement.previous_balance),
            "new_charges": ledger.amount(statement.new_charges),
            "credits": ledger.amount(statement.credits),
        }));
    }
    let Some((date, due)) = dates else {
        return Err(Refusal::new("no_statement", "这张卡还没有出过账单。"));
    };
    Ok(json!({
        "card": open.json(),
        "month": month_of(date),
        "statement_date": date,
        "due_date": due,
        "days_left": days_between(open.today, due),
        "overdue": open.ledgers.iter().any(|ledger| ledger.overdue_since().is_some()),
        "amounts": amounts,
    }))
}

pub(super) fn unbilled(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let spent = |entry: &&Entry| entry.kind != Kind::Repayment;
    let mut totals = Vec::new();
    let mut latest: Vec<&Entry> = Vec::new();
    let mut count = 0;
    for ledger in &open.ledgers {
        let entries: Vec<&Entry> = ledger.unbilled().filter(spent).collect();
        let minor = entries.iter().map(|entry| entry.amount.minor()).sum();
        totals.push(json!({ "amount": ledger.amount(minor), "count": entries.len() }));
        count += entries.len();
        latest.extend(entries);
    }
    latest.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    latest.truncate(LATEST_MAX);
    Ok(json!({
        "card": open.json(),
        "since": since(&open),
        "estimated_statement_date": open.calendar.on_or_after(open.today),
        "count": count,
        "totals": totals,
        "latest": latest.iter().map(|entry| transaction_json(open.card, entry)).collect::<Vec<_>>(),
    }))
}

pub(super) fn history(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let count = open.ledgers.iter().map(|ledger| ledger.statements.len()).max().unwrap_or(0);
    let mut bills = Vec::new();
    for place in (0..count).rev().take(HISTORY_MAX) {
        let mut amounts = Vec::new();
        let mut dates = None;
        for ledger in &open.ledgers {
            let Some(statement) = ledger.statements.get(place) else { continue };
            dates = Some((statement.date, statement.due));
            amounts.push(json!({
                "amount_due": ledger.amount(statement.amount_due),
                "repaid": ledger.amount(statement.paid.min(statement.amount_due)),
                "repaid_in_full": statement.remaining() == 0,
            }));
        }
        let Some((date, due)) = dates else { continue };
        bills.push(
            json!({ "month": month_of(date), "statement_date": date, "due_date": due, "amounts": amounts }),
        );
    }
    Ok(json!({ "card": open.json(), "bills": bills }))
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    card_id: Option<String>,
    month: Option<String>,
    from: Option<Date>,
    to: Option<Date>,
    amount_min: Option<String>,
    amount_max: Option<String>,
    merchant: Option<String>,
    page: Option<usize>,
    page_size: Option<usize>,
}

pub(super) fn detail(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let detail: Detail = read(params)?;
    let open = asked.card_named(detail.card_id.as_deref())?;
    let (from, to) = range(&open, &detail)?;
    let words = detail.merchant.as_deref().map(|words| words.trim().to_lowercase());
    let mut found: Vec<&Entry> = Vec::new();
    let mut totals = Vec::new();
    for ledger in &open.ledgers {
        let bound = |text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match Money::parse(text, ledger.currency.code()) {
                Ok(money) => Ok(Some(money.minor())),
                Err(_) => Err(Refusal::new("bad_request", "amount_min and amount_max are plain decimals")),
            },
        };
        let (least, greatest) = (bound(&detail.amount_min)?, bound(&detail.amount_max)?);
        if least.zip(greatest).is_some_and(|(least, greatest)| least > greatest) {
            return Err(Refusal::new("bad_range", "最低金额不能大于最高金额。"));
        }
        let fits = |entry: &&Entry| {
            let size = entry.amount.minor().abs();
            (from..=to).contains(&entry.on())
                && least.is_none_or(|least| size >= least)
                && greatest.is_none_or(|greatest| size <= greatest)
                && words.as_deref().is_none_or(|words| entry.merchant.to_lowercase().contains(words))
        };
        let before = found.len();
        found.extend(ledger.entries.iter().filter(fits));
        let minor = found.iter().skip(before).map(|entry| entry.amount.minor()).sum();
        totals.push(ledger.amount(minor));
    }
    found.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    let page_size = detail.page_size.unwrap_or(PAGE_SIZE).clamp(1, 50);
    let page = detail.page.unwrap_or(1).max(1);
    let shown = found.iter().skip((page - 1).saturating_mul(page_size)).take(page_size);
    Ok(json!({
        "card": open.json(),
        "from": from,
        "to": to,
        "page": page,
        "pages": found.len().div_ceil(page_size),
        "count": found.len(),
        "totals": totals,
        "transactions": shown.map(|entry| transaction_json(open.card, entry)).collect::<Vec<_>>(),
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Categories {
    card_id: Option<String>,
    month: Option<String>,
}

/// What was spent, by kind of shop.
pub(super) fn categories(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Categories { card_id, month } = read(params)?;
    let open = asked.card_named(card_id.as_deref())?;
    let latest = open.ledgers.iter().filter_map(|ledger| ledger.latest()).map(|latest| latest.date).max();
    let month = month.or(latest.map(month_of)).unwrap_or_else(|| "unbilled".to_owned());
    let (from, to) = range(&open, &Detail { month: Some(month), ..Detail::default() })?;
    let mut categories = Vec::new();
    for ledger in &open.ledgers {
        let mut spent: BTreeMap<&str, (i64, u32)> = BTreeMap::new();
        let of_shops = |kind| matches!(kind, Kind::Purchase | Kind::Refund | Kind::Reversal);
        let entries = ledger.entries.iter().filter(|entry| (from..=to).contains(&entry.on()));
        for entry in entries.filter(|entry| of_shops(entry.kind)) {
            let (minor, count) = spent.entry(asked.book.rules.category_name(&entry.merchant)).or_default();
            *minor += entry.amount.minor();
            *count += u32::from(entry.kind == Kind::Purchase);
        }
        let mut spent: Vec<_> = spent.into_iter().filter(|(_, (minor, _))| *minor > 0).collect();
        spent.sort_by_key(|(_, (minor, _))| std::cmp::Reverse(*minor));
        let row =
            |(name, (minor, count))| json!({ "name": name, "amount": ledger.amount(minor), "count": count });
        categories.extend(spent.into_iter().map(row));
    }
    Ok(json!({ "card": open.json(), "from": from, "to": to, "categories": categories }))
}

/// Interest and fees of the latest statement, and how they came about.
pub(super) fn costs(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let mut amounts = Vec::new();
    let mut month = None;
    for ledger in &open.ledgers {
        let Some(statement) = ledger.latest() else { continue };
        month = Some(month_of(statement.date));
        let before = open.calendar.before(statement.date);
        let charged = ledger.between(before, statement.date).filter(|entry| entry.kind == Kind::Fee);
        let own = |entry: &&Entry| {
            !entry.transaction_id.ends_with("-interest") || !entry.transaction_id.starts_with("R-")
        };
        let fees: Vec<&Entry> = charged.filter(own).take(FEES_MAX).collect();
        let total: i64 = fees.iter().map(|entry| entry.amount.minor()).sum();
        let interest = statement.interest;
        amounts.push(json!({
            "total": ledger.amount(total + interest.map_or(0, |interest| interest.minor)),
            "interest": interest.map(|interest| json!({
                "amount": ledger.amount(interest.minor),
                "from": interest.from,
                "to": interest.to,
                "days": days_between(interest.from, interest.to) + 1,
                "daily_balances": ledger.amount(interest.daily_balances),
            })),
            "fees": fees
                .iter()
                .map(|entry| json!({ "name": entry.merchant, "amount": entry.amount, "on": entry.on() }))
                .collect::<Vec<_>>(),
        }));
    }
    let month = month.ok_or_else(|| Refusal::new("no_statement", "这张卡还没有出过账单。"))?;
    Ok(json!({
        "card": open.json(),
        "month": month,
        "amounts": amounts,
        "daily_rate": asked.book.rules.interest.daily_percent(),
        "annual_rate": asked.book.rules.interest.annual_percent(),
    }))
}

/// Refunds of the last sixty days.
pub(super) fn refunds(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let since = open.today.saturating_sub(REFUND_DAYS.days());
    let entries = open.ledgers.iter().flat_map(|ledger| &ledger.entries);
    let mut found: Vec<&Entry> = entries
        .filter(|entry| matches!(entry.kind, Kind::Refund | Kind::Reversal) && entry.on() >= since)
        .collect();
    found.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    found.truncate(PAGE_SIZE);
    let refund = |entry: &&Entry| json!({ "merchant": entry.merchant, "amount": entry.amount.negated(), "on": entry.on(), "state": "posted" });
    let remaining = open.ledgers.iter().map(|ledger| {
        ledger.amount(ledger.latest().map_or(0, crate::simulator::core::ledger::Statement::remaining))
    });
    Ok(json!({
        "card": open.json(),
        "since": since,
        "refunds": found.iter().map(refund).collect::<Vec<_>>(),
        "remaining": remaining.collect::<Vec<_>>(),
    }))
}

/// What holds the limit and is not booked.
pub(super) fn holds(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let days = asked.book.rules.limit.preauth_days;
    let hold = |entry: &Entry| {
        json!({
            "merchant": entry.merchant,
            "amount": entry.amount,
            "on": entry.on(),
            "released_on": entry.on().saturating_add(days.days()),
        })
    };
    let held = asked.book.holds(open.customer, open.card, asked.now).map(hold).take(PAGE_SIZE);
    Ok(json!({ "card": open.json(), "holds": held.collect::<Vec<_>>() }))
}

/// The days that a statement month covers, narrowed by `from` and `to`.
fn range(open: &OpenCard<'_>, detail: &Detail) -> Result<(Date, Date), Refusal> {
    let oldest = open.card.first_statement.saturating_sub(Span::new().months(1)).first_of_month();
    let (mut from, mut to) = match detail.month.as_deref() {
        None => (oldest, open.today),
        Some("unbilled") => (since(open), open.today),
        Some(month) => {
            let first: Date = format!("{month}-01")
                .parse()
                .map_err(|_| Refusal::new("bad_request", "month is YYYY-MM or unbilled"))?;
            let cut = open.calendar.in_month_of(first);
            (open.calendar.before(cut).saturating_add(1.day()), cut)
        }
    };
    from = detail.from.map_or(from, |wanted| wanted.max(from));
    to = detail.to.map_or(to, |wanted| wanted.min(to));
    if detail.from.zip(detail.to).is_some_and(|(from, to)| from > to) {
        return Err(Refusal::new("bad_range", "开始日期不能晚于结束日期。"));
    }
    Ok((from, to.max(from)))
}

/// The first day that is on no statement yet.
fn since(open: &OpenCard<'_>) -> Date {
    open.calendar.before(open.calendar.on_or_after(open.today)).saturating_add(1.day())
}

fn month_of(date: Date) -> String {
    date.strftime("%Y-%m").to_string()
}
