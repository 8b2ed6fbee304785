//! Statement day and due date.

use jiff::ToSpan as _;
use serde_json::{Value, json};

use super::Asked;
use crate::simulator::core::events::Refusal;
use crate::simulator::core::ledger::{Statement, days_between};

pub(super) fn bill_date(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let rules = &asked.book.rules.statement;
    let next = open.calendar.on_or_after(open.today);
    let due = next.saturating_add(rules.days_to_due.days());
    Ok(json!({
        "card": open.json(),
        "statement_day": open.calendar.present_day(),
        "next_statement_date": next,
        "days_to_statement": days_between(open.today, next),
        "due_date_of_today": due,
        "interest_free_days_today": days_between(open.today, due),
    }))
}

pub(super) fn due_date(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let open = asked.card(params)?;
    let rules = &asked.book.rules.statement;
    let upcoming = open.calendar.on_or_after(open.today).saturating_add(rules.days_to_due.days());
    let missed = open.ledgers.iter().filter_map(|ledger| ledger.overdue_since()).min();
    let latest =
        open.ledgers.iter().filter_map(|ledger| ledger.latest()).map(|statement| statement.due).max();
    let due = missed.or(latest.filter(|due| *due >= open.today)).unwrap_or(upcoming);
    let amounts: Vec<Value> = open
        .ledgers
        .iter()
        .map(|ledger| {
            let owed = |part: fn(&Statement) -> i64| ledger.amount(ledger.latest().map_or(0, part));
            json!({
                "remaining": owed(Statement::remaining),
                "minimum_remaining": owed(Statement::minimum_remaining),
            })
        })
        .collect();
    let auto = asked.book.drawn(open.customer, open.card);
    Ok(json!({
        "card": open.json(),
        "due_date": due,
        "days_left": days_between(open.today, due),
        "overdue_days": missed.map_or(0, |missed| days_between(missed, open.today)),
        "amounts": amounts,
        "auto_repayment": {
            "on": auto.is_some(),
            "from_last4": auto.as_ref().map(|auto| &auto.from_last4),
            "amount": auto.as_ref().map(|auto| auto.part),
        },
    }))
}
