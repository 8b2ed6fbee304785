//! Cards, limit and points of a customer.

use jiff::ToSpan as _;
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
                "status": asked.book.controls(customer, card).status(card),
                "currencies": card.currencies.iter().map(|currency| currency.code()).collect::<Vec<_>>(),
                "opened_on": card.opened_on,
                "expires": expiry(card.opened_on, asked).strftime("%Y-%m").to_string(),
                "statement_day": asked.book.calendar(customer, card).present_day(),
            })
        })
        .collect();
    Ok(json!({ "cards": cards }))
}

/// Until when the plastic of today is good: it is renewed every so many years.
fn expiry(opened_on: Date, asked: &Asked<'_>) -> Date {
    let years = asked.book.rules.plastic.valid_years;
    let mut renewals = (1..).map(|times| opened_on.saturating_add((years * times).years()));
    renewals.find(|expires| *expires > asked.today() || *expires == Date::MAX).unwrap_or(Date::MAX)
}

/// What a customer may still spend, in fen; foreign currencies count at the file's rates.
pub(in crate::simulator::core) struct Standing {
    fixed: i64,
    temporary: Option<(i64, Date)>,
    billed: i64,
    unbilled: i64,
    held: i64,
    /// Principal of instalments that is on no statement yet.
    instalments: i64,
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
        let (fixed, temporary) = book.limits(customer);
        let mut standing = Self {
            fixed,
            temporary: temporary.filter(|(_, until)| *until >= today),
            billed: 0,
            unbilled: 0,
            held: 0,
            instalments: 0,
            cash_limit: percent_of(fixed, book.rules.limit.cash_percent),
            cash_used: 0,
        };
        for card in &customer.cards {
            let next = next.filter(|(on, _)| on.card_id == card.card_id).map(|(_, entry)| entry);
            for ledger in book.ledgers_with(customer, card, today, next) {
                let (outstanding, billed) = (ledger.outstanding(), ledger.billed());
                standing.billed += fen(ledger.amount(billed));
                standing.unbilled += fen(ledger.amount(outstanding - billed));
                let left: i64 = ledger.plans.iter().map(|plan| plan.left).sum();
                standing.instalments += fen(ledger.amount(left));
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
        self.billed + self.unbilled + self.held + self.instalments
    }

    pub(in crate::simulator::core) fn available(&self) -> i64 {
        (self.total() - self.used()).max(0)
    }

    pub(super) fn cash_limit(&self) -> i64 {
        self.cash_limit
    }

    pub(in crate::simulator::core) fn cash_available(&self) -> i64 {
        (self.cash_limit - self.cash_used).max(0).min(self.available())
    }
}

pub(super) fn limit(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let customer = asked.customer()?;
    let standing = Standing::of(asked.book, customer, asked.now);
    let reasons = [
        ("billed", standing.billed),
        ("unbilled", standing.unbilled),
        ("instalment", standing.instalments),
        ("preauth", standing.held),
    ];
    let used_by = reasons.into_iter().filter(|(_, fen)| *fen > 0);
    Ok(json!({
        "fixed": Amount::yuan(standing.fixed),
        "temporary": standing.temporary.map(|(fen, until)| json!({ "amount": Amount::yuan(fen), "until": until })),
        "total": Amount::yuan(standing.total()),
        "used": Amount::yuan(standing.used()),
        "available": Amount::yuan(standing.available()),
        "cash": { "limit": Amount::yuan(standing.cash_limit), "available": Amount::yuan(standing.cash_available()) },
        "used_by": used_by.map(|(reason, fen)| json!({ "reason": reason, "amount": Amount::yuan(fen) })).collect::<Vec<_>>(),
        "cards": customer.cards.iter().map(|card| card.last4.as_str()).collect::<Vec<_>>(),
    }))
}

/// What is left of a customer's points. What was brought forward is spent first, for it ends with the year.
struct Points {
    usable: i64,
    expiring: i64,
    year_end: Date,
}

impl Points {
    fn of(asked: &Asked<'_>, customer: &Customer, earned: i64) -> Self {
        let (today, year_end) = (asked.today(), asked.book.opened_at.beijing().date().last_of_year());
        let spent = &asked.book.changes(customer).points_spent;
        let spent_in_time: i64 = spent
            .iter()
            .filter(|(at, ..)| at.beijing().date() <= year_end)
            .map(|(_, points, _)| points)
            .sum();
        let spent: i64 = spent.iter().map(|(_, points, _)| points).sum();
        let out_of_brought = customer.points_brought_forward.min(spent_in_time);
        let brought = if today <= year_end { customer.points_brought_forward - out_of_brought } else { 0 };
        let usable = (earned - (spent - out_of_brought) + brought).max(0);
        Self { usable, expiring: brought.min(usable), year_end }
    }
}

/// The points that each booking earned or took back, the newest first.
pub(super) fn earnings(asked: &Asked<'_>, customer: &Customer) -> Vec<(Entry, i64)> {
    let per_yuan = asked.book.rules.points.per_yuan;
    let mut earnings = Vec::new();
    for card in &customer.cards {
        for ledger in asked.book.ledgers(customer, card, asked.today()) {
            let earning = ledger.entries.into_iter().filter(|entry| entry.kind.earns_points());
            earnings.extend(earning.map(|entry| {
                let points = asked.book.rules.in_yuan(entry.amount).minor() / 100 * per_yuan;
                (entry, points)
            }));
        }
    }
    earnings.sort_by_key(|(entry, _)| std::cmp::Reverse(entry.at));
    earnings
}

/// The points that a customer can spend.
pub(super) fn usable_points(asked: &Asked<'_>, customer: &Customer) -> i64 {
    let earned = earnings(asked, customer).iter().map(|(_, points)| points).sum();
    Points::of(asked, customer, earned).usable
}

pub(super) fn points(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let customer = asked.customer()?;
    let today = asked.today();
    let month = moment(today.first_of_month(), 0, 0);
    let earnings = earnings(asked, customer);
    let earned = earnings.iter().map(|(_, points)| points).sum();
    let earned_this_month: i64 =
        earnings.iter().filter(|(entry, _)| entry.at >= month).map(|(_, points)| points).sum();
    let balance = Points::of(asked, customer, earned);
    let (usable, brought, year_end) = (balance.usable, balance.expiring, balance.year_end);
    let rewards = asked.book.rules.points.rewards.iter().map(
        |reward| json!({ "name": reward.name, "points": reward.points, "enough": usable >= reward.points }),
    );
    Ok(json!({
        "points": usable,
        "earned_this_month": earned_this_month.max(0),
        "expiring": (brought > 0).then(|| json!({ "points": brought, "on": year_end })),
        "rewards": rewards.collect::<Vec<_>>(),
    }))
}
