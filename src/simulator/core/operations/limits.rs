//! Cards, limit and points of a customer.

use jiff::civil::Date;
use serde_json::{Value, json};

use super::{Asked, Nothing, read};
use crate::domain::time::UnixMs;
use crate::simulator::core::amount::Amount;
use crate::simulator::core::book::Book;
use crate::simulator::core::events::Refusal;
use crate::simulator::core::ledger::moment;
use crate::simulator::core::people::{Card, Customer};
use crate::simulator::core::rules::percent_of;
use crate::simulator::core::transaction::{Entry, Kind};

pub(super) fn cards(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let customer = asked.customer()?;
    let cards: Vec<Value> = customer
        .cards
        .iter()
        .map(|card| {
            json!({
                "card_id": card.card_id,
                "last4": card.last4,
                "product": card.product,
                "tier": card.tier,
                "holder": "primary",
                "status": asked.book.controls(customer, card).status(),
                "currencies": card.currencies.iter().map(|currency| currency.code()).collect::<Vec<_>>(),
                "opened_on": card.opened_on,
            })
        })
        .collect();
    Ok(json!({ "cards": cards }))
}

/// What a customer may still spend, in fen; foreign currencies count at the file's rates.
pub(in crate::simulator::core) struct Standing {
    fixed: i64,
    temporary: Option<(i64, Date)>,
    billed: i64,
    unbilled: i64,
    held: i64,
    cash_limit: i64,
    cash_used: i64,
}

impl Standing {
    /// How the customer stands at a moment.
    pub(in crate::simulator::core) fn of(book: &Book, customer: &Customer, now: UnixMs) -> Self {
        Self::after(book, customer, now, None)
    }

    /// How he would stand once `next` is booked on a card.
    pub(in crate::simulator::core) fn after(
        book: &Book,
        customer: &Customer,
        now: UnixMs,
        next: Option<(&Card, &Entry)>,
    ) -> Self {
        let today = now.beijing().date();
        let fen = |amount: Amount| book.rules.in_yuan(amount).minor();
        let mut standing = Self {
            fixed: customer.fixed_limit,
            temporary: customer.temporary_limit.filter(|(_, until)| *until >= today),
            billed: 0,
            unbilled: 0,
            held: 0,
            cash_limit: percent_of(customer.fixed_limit, book.rules.limit.cash_percent),
            cash_used: 0,
        };
        for card in &customer.cards {
            let next = next.filter(|(on, _)| on.card_id == card.card_id).map(|(_, entry)| entry);
            for ledger in book.ledgers_with(customer, card, today, next) {
                let (outstanding, billed) = (ledger.outstanding(), ledger.billed());
                standing.billed += fen(ledger.amount(billed));
                standing.unbilled += fen(ledger.amount(outstanding - billed));
                let drawn = ledger.entries.iter().filter(|entry| entry.kind == Kind::CashAdvance);
                let drawn: i64 = drawn.map(|entry| entry.amount.minor()).sum();
                standing.cash_used += fen(ledger.amount(drawn.min(outstanding)));
            }
            let held =
                book.holds(customer, card, now).chain(next.filter(|entry| entry.kind == Kind::Preauth));
            standing.held += held.map(|entry| fen(entry.amount)).sum::<i64>();
        }
        standing
    }

    pub(in crate::simulator::core) fn total(&self) -> i64 {
        self.fixed + self.temporary.map_or(0, |(amount, _)| amount)
    }

    pub(in crate::simulator::core) fn used(&self) -> i64 {
        self.billed + self.unbilled + self.held
    }

    pub(in crate::simulator::core) fn available(&self) -> i64 {
        (self.total() - self.used()).max(0)
    }

    pub(in crate::simulator::core) fn cash_available(&self) -> i64 {
        (self.cash_limit - self.cash_used).max(0).min(self.available())
    }
}

pub(super) fn limit(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let customer = asked.customer()?;
    let standing = Standing::of(asked.book, customer, asked.now);
    let reasons = [("billed", standing.billed), ("unbilled", standing.unbilled), ("preauth", standing.held)];
    let used_by = reasons.into_iter().filter(|(_, fen)| *fen > 0);
    Ok(json!({
        "fixed": Amount::yuan(standing.fixed),
        "temporary": standing.temporary.map(|(fen, until)| json!({ "amount": Amount::yuan(fen), "until": until })),
        "total": Amount::yuan(standing.total()),
        "used": Amount::yuan(standing.used()),
        "available": Amount::yuan(standing.available()),
        "cash": { "limit": Amount::yuan(standing.cash_limit), "available": Amount::yuan(standing.cash_available()) },
        "used_by": used_by.map(|(reason, fen)| json!({ "reason": reason, "amount": Amount::yuan(fen) })).collect::<Vec<_>>(),
        "cards": customer.cards.iter().map(|card| card.last4).collect::<Vec<_>>(),
    }))
}

pub(super) fn points(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let customer = asked.customer()?;
    let today = asked.today();
    let per_yuan = asked.book.rules.points.per_yuan;
    let (mut earned, mut earned_this_month) = (0, 0);
    for card in &customer.cards {
        let ledgers = asked.book.ledgers(customer, card, today);
        for entry in
            ledgers.iter().flat_map(|ledger| &ledger.entries).filter(|entry| entry.kind.earns_points())
        {
            let points = asked.book.rules.in_yuan(entry.amount).minor() / 100 * per_yuan;
            earned += points;
            if entry.at >= moment(today.first_of_month(), 0, 0) {
                earned_this_month += points;
            }
        }
    }
    let year_end = asked.book.opened_at.beijing().date().last_of_year();
    let brought = if today <= year_end { customer.points_brought_forward } else { 0 };
    let usable = (earned + brought).max(0);
    let rewards = asked.book.rules.points.rewards.iter().map(
        |reward| json!({ "name": reward.name, "points": reward.points, "enough": usable >= reward.points }),
    );
    Ok(json!({
        "points": usable,
        "earned_this_month": earned_this_month.max(0),
        "expiring": (brought > 0).then(|| json!({ "points": brought.min(usable), "on": year_end })),
        "rewards": rewards.collect::<Vec<_>>(),
    }))
}
