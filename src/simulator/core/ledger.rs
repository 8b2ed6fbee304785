//! One currency account of one card: bookings, the statements that follow from them, and what they come to.
//! Everything is computed from the bookings and the day, so that a statement always adds up.

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

use super::amount::Amount;
use super::calendar::Calendar;
use super::plan::{Plan, PlanStanding};
use super::rules::{Rules, minor_of, percent_of};
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
    /// The instalment plans of this account, the oldest first.
    pub(super) plans: Vec<PlanStanding>,
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
    /// What it charges because the one before was not repaid in full.
    pub(super) interest: Option<Interest>,
}

/// Interest, and how it came about.
#[derive(Clone, Copy)]
pub(super) struct Interest {
    /// The first day that it counts for, and the last.
    pub(super) from: Date,
    pub(super) to: Date,
    /// What was owed at the end of each of these days, added up.
    pub(super) daily_balances: i64,
    pub(super) minor: i64,
}

/// Which part of a bill is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    Full,
    Minimum,
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
    pub(super) calendar: Calendar,
    pub(super) today: Date,
    /// What is drawn on due dates since when, the oldest first.
    pub(super) auto_repayment: Vec<(Date, Option<Part>)>,
    /// The instalment plans of this account, the oldest first.
    pub(super) plans: Vec<Plan>,
}

impl Terms<'_> {
    /// A booking that the rules make.
    fn entry(&self, day: Date, kind: Kind, what: &str, merchant: &str, minor: i64) -> Entry {
        Entry {
            transaction_id: format!("R-{}-{}-{day}-{what}", self.holder, self.currency.code()),
            at: moment(day, 9, 0),
            kind,
            merchant: merchant.to_owned(),
            amount: Amount::new(minor, self.currency),
            original: None,
            channel: Channel::Other,
            unbilled: false,
            reason: None,
        }
    }

    fn minor(&self, decimal: &str) -> i64 {
        minor_of(decimal, self.currency.code())
    }

    /// What is drawn on a due date.
    fn drawn_on(&self, due: Date) -> Option<Part> {
        self.auto_repayment.iter().rev().find(|(since, _)| *since <= due).and_then(|(_, part)| *part)
    }
}

impl Ledger {
    /// Cuts every statement up to yesterday out of the bookings.
    pub(super) fn build(terms: &Terms<'_>, booked: impl Iterator<Item = Entry>) -> Self {
        let mut entries: Vec<Entry> =
            booked.filter(|entry| entry.amount.currency() == terms.currency).collect();
        entries.sort_by_key(|entry| entry.at);
        book_cash_fees(terms, &mut entries);
        let mut statements: Vec<Statement> = Vec::new();
        let mut plans: Vec<PlanStanding> = terms.plans.iter().cloned().map(PlanStanding::new).collect();
        let mut date = terms.first_statement;
        while date < terms.today {
            for plan in &mut plans {
                entries.extend(plan.bill(date));
            }
            let interest = statements.last().and_then(|last| interest(terms, last, date, &entries));
            entries.extend(
                interest.map(|interest| terms.entry(date, Kind::Fee, "interest", "循环利息", interest.minor)),
            );
            entries.sort_by_key(|entry| entry.at);
            let mut statement = cut(terms, date, statements.last(), &entries);
            statement.interest = interest;
            if let Some(last) = statements.last_mut() {
                last.paid = payments(within(&entries, last.date, date));
            }
            apply_rules(terms, &statement, &mut entries);
            statements.push(statement);
            date = terms.calendar.after(date);
        }
        let mut ledger = Self {
            currency: terms.currency,
            entries,
            statements,
            plans,
            today: terms.today,
            grace_days: terms.rules.statement.grace_days,
        };
        if let Some(mut last) = ledger.statements.pop() {
            last.paid = payments(ledger.between(last.date, terms.today));
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

    /// Whether a missed minimum went over a statement date: by then the credit register knows of it.
    pub(super) fn is_reported(&self) -> bool {
        self.latest().is_some_and(|latest| latest.paid < latest.carried)
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
    let amount_due = (previous_balance + sum(period())).max(0);
    let paid = payments(period());
    let carried = previous.map_or(0, |statement| (statement.minimum_due - paid).max(0)).min(amount_due);
    let minimum =
        percent_of(amount_due, rules.minimum.percent).max(terms.minor(&rules.minimum.least)) + carried;
    Statement {
        date,
        due: date.saturating_add(rules.statement.days_to_due.days()),
        previous_balance,
        new_charges: sum(period().filter(|entry| entry.amount.minor() > 0)),
        credits: credits(period()),
        amount_due,
        minimum_due: minimum.min(amount_due),
        paid: 0,
        carried,
        missed: previous.filter(|_| carried > 0).map(|statement| statement.missed.unwrap_or(statement.due)),
        interest: None,
    }
}

/// The fee for each drawing of cash, booked with it.
fn book_cash_fees(terms: &Terms<'_>, entries: &mut Vec<Entry>) {
    let drawn = entries.iter().filter(|entry| entry.kind == Kind::CashAdvance);
    let fees: Vec<Entry> = drawn
        .map(|drawn| {
            let fee = terms.rules.cash.fee(drawn.amount.minor(), terms.currency.code());
            let mut entry = terms.entry(drawn.on(), Kind::Fee, "cash", "取现手续费", fee);
            entry.transaction_id = format!("{}-fee", drawn.transaction_id);
            entry.at = drawn.at;
            entry
        })
        .collect();
    entries.extend(fees);
    entries.sort_by_key(|entry| entry.at);
}

/// What the statement of `date` charges when the one before was not repaid in full in time: for each day from the
/// purchase on, of what was owed at its end. What an earlier statement charged for is not charged for again.
fn interest(terms: &Terms<'_>, last: &Statement, date: Date, entries: &[Entry]) -> Option<Interest> {
    let rules = &terms.rules.statement;
    let in_time = last.due.saturating_add(rules.grace_days.days());
    let missing = last.amount_due - payments(within(entries, last.date, in_time));
    if missing <= terms.minor(&rules.tolerance) {
        return None;
    }
    let from = terms.calendar.before(last.date).saturating_add(1.day());
    let mut daily_balances = 0;
    let mut day = from;
    while day <= date {
        let owed = if day <= last.date {
            let charged = within(entries, from.saturating_sub(1.day()), day);
            sum(charged.filter(|entry| entry.amount.minor() > 0)).min(last.amount_due)
        } else {
            last.amount_due - payments(within(entries, last.date, day))
        };
        daily_balances += owed.max(0);
        day = day.saturating_add(1.day());
    }
    let minor = terms.rules.interest.of(daily_balances);
    (minor > 0).then_some(Interest { from, to: date, daily_balances, minor })
}

/// Books what the rules bring after a statement: the automatic repayment on the due date, the late fee after the
/// grace days.
fn apply_rules(terms: &Terms<'_>, statement: &Statement, entries: &mut Vec<Entry>) {
    let paid_by = |entries: &[Entry], day: Date| payments(within(entries, statement.date, day));
    if statement.due <= terms.today
        && let Some(part) = terms.drawn_on(statement.due)
    {
        let wanted = match part {
            Part::Full => statement.amount_due,
            Part::Minimum => statement.minimum_due,
        };
        let open = wanted - paid_by(entries, statement.due);
        if open > 0 {
            entries.push(terms.entry(statement.due, Kind::Repayment, "auto", "自动还款", -open));
            entries.sort_by_key(|entry| entry.at);
        }
    }
    let last_day = statement.due.saturating_add(terms.rules.statement.grace_days.days());
    let fee_day = last_day.saturating_add(1.day());
    let paid = paid_by(entries, last_day);
    let tolerated = statement.amount_due - paid <= terms.minor(&terms.rules.statement.tolerance);
    let missing = statement.minimum_due - paid;
    if fee_day <= terms.today && missing > 0 && !tolerated {
        let fee = percent_of(missing, terms.rules.late.percent).max(1);
        entries.push(terms.entry(fee_day, Kind::Fee, "late", "违约金", fee));
        entries.sort_by_key(|entry| entry.at);
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

/// The credits that count towards the statement before them.
fn payments<'a>(entries: impl Iterator<Item = &'a Entry>) -> i64 {
    credits(entries.filter(|entry| !entry.unbilled))
}

/// The same day one month later; the statement day exists in every month.
pub(super) fn next_month(date: Date) -> Date {
    date.saturating_add(Span::new().months(1))
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
