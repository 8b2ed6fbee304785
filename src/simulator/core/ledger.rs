//! One currency account of one card: bookings, the statements that follow from them, and what they come to.
//! Everything is computed from the bookings and the day, so that a statement always adds up.

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

use super::amount::Amount;
use super::rules::{Rules, percent_of};
use super::transaction::{Channel, Day, Entry, Kind};
use crate::domain::money::Currency;
use crate::domain::time::UnixMs;

/// The bookings of one currency and the statements cut from them, as they stand on a day.
pub(super) struct Ledger {
    pub(super) currency: Currency,
    /// In the order of time, with the late fees and automatic repayments that the rules bring.
    pub(super) entries: Vec<Entry>,
    /// The oldest first.
    pub(super) statements: Vec<Statement>,
    today: Date,
    grace_days: i64,
}

/// One statement, in minor units.
#[derive(Clone)]
pub(super) struct Statement {
    pub(super) date: Date,
    pub(super) due: Date,
    pub(super) previous_balance: i64,
    pub(super) new_charges: i64,
    pub(super) credits: i64,
    pub(super) amount_due: i64,
    pub(super) minimum_due: i64,
    /// What came in after this statement and up to the next one, or until today.
    pub(super) paid: i64,
    /// The part of the minimum that was missed before and is due at once.
    carried: i64,
    /// The due date of the first minimum of an unbroken row that was missed.
    missed: Option<Date>,
}

impl Statement {
    pub(super) fn remaining(&self) -> i64 {
        (self.amount_due - self.paid).max(0)
    }

    pub(super) fn minimum_remaining(&self) -> i64 {
        (self.minimum_due - self.paid).max(0)
    }
}

/// What the ledger needs to know of its card.
pub(super) struct Terms<'a> {
    pub(super) rules: &'a Rules,
    /// Names the customer and card in the ids of what the rules book.
    pub(super) holder: String,
    pub(super) currency: Currency,
    pub(super) first_statement: Date,
    pub(super) today: Date,
    /// The full amount is drawn on due dates from this day on.
    pub(super) auto_repayment_from: Option<Date>,
}

impl Ledger {
    /// Cuts every statement up to yesterday out of the bookings.
    pub(super) fn build(terms: &Terms<'_>, booked: impl Iterator<Item = Entry>) -> Self {
        let mut entries: Vec<Entry> =
            booked.filter(|entry| entry.amount.currency() == terms.currency).collect();
        entries.sort_by_key(|entry| entry.at);
        let mut statements: Vec<Statement> = Vec::new();
        let mut date = terms.first_statement;
        while date < terms.today {
            let statement = cut(terms, date, statements.last(), &entries);
            if let Some(last) = statements.last_mut() {
                last.paid = statement.credits;
            }
            apply_rules(terms, &statement, &mut entries);
            statements.push(statement);
            date = next_month(date);
        }
        let mut ledger = Self {
            currency: terms.currency,
            entries,
            statements,
            today: terms.today,
            grace_days: terms.rules.statement.grace_days,
        };
        if let Some(mut last) = ledger.statements.pop() {
            last.paid = credits(ledger.between(last.date, terms.today));
            ledger.statements.push(last);
        }
        ledger
    }

    /// The latest statement.
    pub(super) fn latest(&self) -> Option<&Statement> {
        self.statements.last()
    }

    /// Bookings after `after`, up to and including `until`.
    pub(super) fn between(&self, after: Date, until: Date) -> impl Iterator<Item = &Entry> {
        within(&self.entries, after, until)
    }

    /// Bookings that are on no statement yet.
    pub(super) fn unbilled(&self) -> impl Iterator<Item = &Entry> {
        let after = self.latest().map(|statement| Day::from(statement.date));
        self.entries.iter().filter(move |entry| after.is_none_or(|after| entry.day() > after))
    }

    /// What is owed in all. What was overpaid counts as nothing.
    pub(super) fn outstanding(&self) -> i64 {
        sum(self.entries.iter()).max(0)
    }

    /// The part of it that the latest statement asked for.
    pub(super) fn billed(&self) -> i64 {
        self.latest().map_or(0, Statement::remaining).min(self.outstanding())
    }

    /// Since when a minimum payment is missing; `None` when all is in order.
    pub(super) fn overdue_since(&self) -> Option<Date> {
        let latest = self.latest()?;
        if self.today > latest.due.saturating_add(self.grace_days.days()) && latest.minimum_remaining() > 0 {
            return Some(latest.missed.unwrap_or(latest.due));
        }
        if latest.paid < latest.carried { latest.missed } else { None }
    }

    /// An amount of this ledger's currency.
    pub(super) fn amount(&self, minor: i64) -> Amount {
        Amount::new(minor, self.currency)
    }
}

fn cut(terms: &Terms<'_>, date: Date, previous: Option<&Statement>, entries: &[Entry]) -> Statement {
    let rules = terms.rules;
    let since = previous.map_or(Date::MIN, |statement| statement.date);
    let period = || within(entries, since, date);
    let previous_balance = sum(within(entries, Date::MIN, since));
    let credits = credits(period());
    let amount_due = (previous_balance + sum(period())).max(0);
    let carried = previous.map_or(0, |statement| (statement.minimum_due - credits).max(0)).min(amount_due);
    let least = Amount::parse(&rules.minimum.least, terms.currency.code()).map_or(0, Amount::minor);
    let minimum = percent_of(amount_due, rules.minimum.percent).max(least) + carried;
    Statement {
        date,
        due: date.saturating_add(rules.statement.days_to_due.days()),
        previous_balance,
        new_charges: sum(period().filter(|entry| entry.amount.minor() > 0)),
        credits,
        amount_due,
        minimum_due: minimum.min(amount_due),
        paid: 0,
        carried,
        missed: previous.filter(|_| carried > 0).map(|statement| statement.missed.unwrap_or(statement.due)),
    }
}

/// Books what the rules bring after a statement: the automatic repayment on the due date, the late fee after the
/// grace days.
fn apply_rules(terms: &Terms<'_>, statement: &Statement, entries: &mut Vec<Entry>) {
    let paid_by = |entries: &[Entry], day: Date| credits(within(entries, statement.date, day));
    let book = |entries: &mut Vec<Entry>, day: Date, kind: Kind, merchant: &str, minor: i64| {
        let what = if kind == Kind::Fee { "late" } else { "auto" };
        let transaction_id = format!("R-{}-{}-{day}-{what}", terms.holder, terms.currency.code());
        let amount = Amount::new(minor, terms.currency);
        let merchant = merchant.to_owned();
        let channel = Channel::Other;
        let at = moment(day, 9, 0);
        entries.push(Entry {
            transaction_id,
            at,
            kind,
            merchant,
            amount,
            original: None,
            channel,
            reason: None,
        });
        entries.sort_by_key(|entry| entry.at);
    };
    if statement.due <= terms.today && terms.auto_repayment_from.is_some_and(|from| statement.due >= from) {
        let open = statement.amount_due - paid_by(entries, statement.due);
        if open > 0 {
            book(entries, statement.due, Kind::Repayment, "自动还款", -open);
        }
    }
    let last_day = statement.due.saturating_add(terms.rules.statement.grace_days.days());
    let fee_day = last_day.saturating_add(1.day());
    let missing = statement.minimum_due - paid_by(entries, last_day);
    if fee_day <= terms.today && missing > 0 {
        let fee = percent_of(missing, terms.rules.late.percent).max(1);
        book(entries, fee_day, Kind::Fee, "违约金", fee);
    }
}

/// Bookings after `after`, up to and including `until`.
fn within(entries: &[Entry], after: Date, until: Date) -> impl Iterator<Item = &Entry> {
    let (after, until) = (Day::from(after), Day::from(until));
    entries.iter().filter(move |entry| entry.day() > after && entry.day() <= until)
}

fn sum<'a>(entries: impl Iterator<Item = &'a Entry>) -> i64 {
    entries.map(|entry| entry.amount.minor()).sum()
}

fn credits<'a>(entries: impl Iterator<Item = &'a Entry>) -> i64 {
    -sum(entries.filter(|entry| entry.amount.minor() < 0))
}

/// The same day one month later; the statement day exists in every month.
pub(super) fn next_month(date: Date) -> Date {
    date.saturating_add(Span::new().months(1))
}

/// The first statement date on or after a day: where a purchase of that day will stand.
pub(super) fn statement_on_or_after(day_of_month: i8, day: Date) -> Date {
    let this_month = Date::new(day.year(), day.month(), day_of_month).unwrap_or(day);
    if this_month >= day { this_month } else { next_month(this_month) }
}

/// A moment of a day in Beijing.
pub(super) fn moment(day: Date, hour: i8, minute: i8) -> UnixMs {
    let zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(8));
    let zoned = day.at(hour, minute, 0, 0).to_zoned(zone);
    UnixMs(zoned.map_or(0, |zoned| zoned.timestamp().as_millisecond()))
}

/// Whole days from one day to another; negative when `to` lies before.
pub(super) fn days_between(from: Date, to: Date) -> i64 {
    from.until(to).map_or(0, |span| i64::from(span.get_days()))
}
