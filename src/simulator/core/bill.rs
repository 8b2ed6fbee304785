//! The bill that is to be paid now, as a payment or a refund leaves it: told with it, so that the server can say what
//! is still to do.

use serde_json::{Value, json};

use super::book::Book;
use super::people::{Card, Customer};
use super::transaction::{Entry, Kind};
use crate::domain::time::UnixMs;

/// The member `bill` of the transaction; `None` where none belongs there, or there was no bill yet.
pub(super) fn after(
    book: &Book,
    customer: &Customer,
    card: &Card,
    now: UnixMs,
    entry: &Entry,
) -> Option<Value> {
    if !matches!(entry.kind, Kind::Repayment | Kind::Refund) {
        return None;
    }
    let ledgers = book.ledgers_with(customer, card, now.beijing().date(), Some(entry));
    let ledger = ledgers.iter().find(|ledger| ledger.currency == entry.amount.currency())?;
    let statement = ledger.latest()?;
    Some(json!({
        "total": ledger.amount(statement.amount_due),
        "remaining": ledger.amount(statement.remaining()),
        "due_date": statement.due,
    }))
}
