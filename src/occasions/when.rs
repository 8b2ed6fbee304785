//! The condition of a rule, `[when]`: everything that it names must hold.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::{Occasion, fen};
use crate::content::{Fault, File};
use crate::domain::money::Money;
use crate::domain::notice::KINDS;
use crate::domain::time::{UnixMs, span};
use crate::domain::transaction::{Bill, CHANNELS, HOLDERS, Transaction, TransactionType};

/// Longest time within which a transaction counts as repeated.
const REPEATED_WITHIN_MAX: Duration = Duration::from_secs(24 * 3600);

/// `[when]`, as it stands in a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhenFile {
    /// Types of transactions, as the bank names them.
    #[serde(default)]
    types: Vec<Spanned<String>>,
    /// Kinds of notices that are no transactions: `bill_due`. Of these only the bill is known.
    #[serde(default)]
    notices: Vec<Spanned<String>>,
    /// Types of what it refunds, reverses or releases.
    #[serde(default)]
    original_types: Vec<Spanned<String>>,
    /// Merchant category codes or ranges: `5812`, `3501-3999`. Its own or those of its original.
    #[serde(default)]
    merchant_categories: Vec<Spanned<String>>,
    #[serde(default)]
    cities: Vec<String>,
    #[serde(default)]
    countries: Vec<String>,
    #[serde(default)]
    channels: Vec<Spanned<String>>,
    /// Tiers of the card: `gold`.
    #[serde(default)]
    tiers: Vec<String>,
    /// Products of the card, as binding stored them: `金卡`.
    #[serde(default)]
    products: Vec<String>,
    /// `primary`, `supplementary`.
    #[serde(default)]
    holders: Vec<Spanned<String>>,
    /// Renminbi, both ends included.
    amount: Option<Spanned<AmountFile>>,
    /// From and until, in Beijing: `18:00-22:00`; past midnight where the end is the smaller.
    hours: Option<Spanned<String>>,
    /// 1 (Monday) to 7, in Beijing.
    #[serde(default)]
    weekdays: Vec<Spanned<i8>>,
    /// Whether it is billed in another currency than it was made in.
    foreign: Option<bool>,
    /// The same card, merchant and amount shortly before: `2m`.
    repeated_within: Option<Spanned<String>>,
    /// Whether the present bill may still be open: so it is unless the bank says that nothing is left.
    bill_open: Option<bool>,
    /// What is left of the present bill, before its last day is over.
    bill_remaining: Option<Spanned<AmountFile>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AmountFile {
    from: Option<String>,
    to: Option<String>,
}

impl WhenFile {
    /// Whether it asks for what only a transaction has.
    fn asks_for_more_than_a_bill(&self) -> bool {
        let Self { original_types, merchant_categories, cities, countries, channels, .. } = self;
        let Self { tiers, products, holders, amount, foreign, repeated_within, bill_open, .. } = self;
        [cities, countries, tiers, products].into_iter().any(|texts| !texts.is_empty())
            || [original_types, merchant_categories, channels, holders]
                .into_iter()
                .any(|texts| !texts.is_empty())
            || amount.is_some()
            || foreign.is_some()
            || repeated_within.is_some()
            || bill_open.is_some()
    }

    /// Where it speaks of notices, if it does.
    pub(super) fn of_notices(&self) -> Option<usize> {
        self.notices.first().map(|first| first.span().start)
    }
}

/// A condition, checked.
#[derive(Clone, Debug)]
pub(super) struct When {
    types: Vec<TransactionType>,
    notices: Vec<String>,
    original_types: Vec<TransactionType>,
    merchant_categories: Vec<RangeInclusive<u16>>,
    cities: Vec<String>,
    countries: Vec<String>,
    channels: Vec<String>,
    tiers: Vec<String>,
    products: Vec<String>,
    holders: Vec<String>,
    amount: Option<RangeInclusive<i64>>,
    hours: Option<(i16, i16)>,
    weekdays: Vec<i8>,
    foreign: Option<bool>,
    repeated_within: Option<Duration>,
    bill_open: Option<bool>,
    bill_remaining: Option<RangeInclusive<i64>>,
}

impl When {
    /// Checks a condition; each fault is added with its place.
    pub(super) fn read(file: &File, read: WhenFile, faults: &mut Vec<Fault>) -> Self {
        let asks_more = read.asks_for_more_than_a_bill();
        let mut reader = Reader { file, faults };
        let notices = reader.each(&read.notices, |name| one_of(name, &KINDS), "no such kind of notice");
        if let Some(first) = read.notices.first().filter(|_| asks_more || read.bill_remaining.is_none()) {
            let message =
                "a rule for notices needs bill_remaining, and knows beside it types, hours and weekdays only";
            reader.faults.push(file.fault_at(first.span().start, message.to_owned()));
        }
        Self {
            notices,
            types: reader.types(&read.types),
            original_types: reader.types(&read.original_types),
            merchant_categories: reader.each(&read.merchant_categories, |text| category(text), CATEGORY),
            cities: read.cities,
            countries: read.countries,
            channels: reader.each(&read.channels, |name| one_of(name, &CHANNELS), "no such channel"),
            tiers: read.tiers,
            products: read.products,
            holders: reader.each(&read.holders, |name| one_of(name, &HOLDERS), "primary or supplementary"),
            amount: reader.amount(read.amount.as_ref()),
            hours: reader.one(read.hours.as_ref(), |text| hours(text), "hours such as 18:00-22:00"),
            weekdays: reader.each(
                &read.weekdays,
                |day| (1..=7).contains(day).then_some(*day),
                "1 (Monday) to 7",
            ),
            foreign: read.foreign,
            repeated_within: reader.one(
                read.repeated_within.as_ref(),
                |text| repeated_within(text),
                "a time such as 90s, 2m or 1h, at most 24h",
            ),
            bill_open: read.bill_open,
            bill_remaining: reader.amount(read.bill_remaining.as_ref()),
        }
    }

    /// Whether a text of the rule may count on a value: `bill` is there only where the condition asks for it.
    pub(super) fn promises(&self, name: &str) -> bool {
        match name {
            // Of a notice nothing else is known.
            "merchant" | "amount" | "billed" | "card" | "type" | "original" if !self.notices.is_empty() => {
                false
            }
            "billed" => self.foreign == Some(true),
            "original" => !self.original_types.is_empty(),
            "cost_per_day" => self.bill_remaining.is_some(),
            _ => true,
        }
    }

    /// Whether it may hold for a transaction of this type.
    pub(super) fn concerns(&self, kind: TransactionType) -> bool {
        (self.types.is_empty() && self.notices.is_empty()) || self.types.contains(&kind)
    }

    /// Whether everything holds for a notice about a bill.
    pub(super) fn holds_for_bill(&self, kind: &str, bill: &Bill, at: UnixMs) -> bool {
        self.notices.iter().any(|notice| notice == kind)
            && self.time_fits(at)
            && self.bill_remaining.as_ref().is_some_and(|range| remains(bill, at, range))
    }

    /// Whether everything holds.
    pub(super) fn holds(&self, occasion: &Occasion<'_>) -> bool {
        let transaction = occasion.transaction;
        let merchant = transaction.merchant.as_ref();
        let cardholder = transaction.cardholder.as_ref();
        let any = |wanted: &[String], given: Option<&str>| {
            wanted.is_empty() || given.is_some_and(|given| wanted.iter().any(|wanted| wanted == given.trim()))
        };
        self.concerns(transaction.kind)
            && self.original_fits(occasion)
            && self.category_fits(occasion)
            && any(&self.cities, merchant.and_then(|merchant| merchant.city.as_deref()))
            && any(&self.countries, merchant.and_then(|merchant| merchant.country.as_deref()))
            && any(&self.channels, Some(&transaction.channel))
            && any(&self.tiers, cardholder.and_then(|holder| holder.tier.as_deref()))
            && any(&self.holders, cardholder.and_then(|holder| holder.holder.as_deref()))
            && any(&self.products, occasion.product)
            && self
                .amount
                .as_ref()
                .is_none_or(|range| occasion.yuan().is_some_and(|fen| range.contains(&fen)))
            && self.time_fits(transaction.occurred_ms)
            && self.foreign.is_none_or(|wanted| wanted == occasion.is_foreign())
            && self.repeated_within.is_none_or(|within| is_repeated(occasion, within))
            && self.bill_open.is_none_or(|wanted| wanted == may_be_open(transaction))
            && self.bill_remaining.as_ref().is_none_or(|range| {
                transaction.bill.as_ref().is_some_and(|bill| remains(bill, transaction.occurred_ms, range))
            })
    }

    fn original_fits(&self, occasion: &Occasion<'_>) -> bool {
        self.original_types.is_empty()
            || occasion.original.is_some_and(|original| self.original_types.contains(&original.kind))
    }

    fn category_fits(&self, occasion: &Occasion<'_>) -> bool {
        if self.merchant_categories.is_empty() {
            return true;
        }
        [Some(occasion.transaction), occasion.original].into_iter().flatten().any(|transaction| {
            let code = transaction.merchant.as_ref().and_then(|merchant| merchant.mcc.as_deref());
            let code = code.and_then(|code| code.trim().parse::<u16>().ok());
            code.is_some_and(|code| self.merchant_categories.iter().any(|range| range.contains(&code)))
        })
    }

    fn time_fits(&self, moment: UnixMs) -> bool {
        let local = moment.beijing();
        let minute = i16::from(local.hour()) * 60 + i16::from(local.minute());
        let in_hours = self.hours.is_none_or(|(from, until)| match from <= until {
            true => (from..until).contains(&minute),
            false => minute >= from || minute < until,
        });
        in_hours
            && (self.weekdays.is_empty() || self.weekdays.contains(&local.weekday().to_monday_one_offset()))
    }
}

/// The same card, merchant and amount, not later than it and within the time before it.
fn is_repeated(occasion: &Occasion<'_>, within: Duration) -> bool {
    let this = occasion.transaction;
    let name = |transaction: &Transaction| {
        transaction.merchant.as_ref().map(|merchant| merchant.name.trim().to_owned())
    };
    occasion.recent.iter().any(|other| {
        let before = (other.occurred_ms, &other.transaction_id) < (this.occurred_ms, &this.transaction_id);
        before
            && this.occurred_ms <= other.occurred_ms + within
            && other.kind == this.kind
            && other.card_last4 == this.card_last4
            && other.amount.money() == this.amount.money()
            && name(other).is_some_and(|name| !name.is_empty())
            && name(other) == name(this)
    })
}

/// A bill that nobody told of may be open.
fn may_be_open(transaction: &Transaction) -> bool {
    let remaining = transaction.bill.as_ref().and_then(|bill| fen(&bill.remaining));
    remaining.is_none_or(|remaining| remaining > 0)
}

/// What is left of a bill, before its last day is over.
fn remains(bill: &Bill, at: UnixMs, range: &RangeInclusive<i64>) -> bool {
    at.beijing().date() <= bill.due_date
        && fen(&bill.remaining).is_some_and(|remaining| range.contains(&remaining))
}

const CATEGORY: &str = "a merchant category of four digits, or a range such as 3501-3999";

/// Checks values and says where one is wrong.
struct Reader<'a> {
    file: &'a File,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_> {
    fn each<T, U>(&mut self, values: &[Spanned<T>], read: impl Fn(&T) -> Option<U>, wanted: &str) -> Vec<U> {
        values.iter().filter_map(|value| self.one(Some(value), &read, wanted)).collect()
    }

    fn one<T, U>(
        &mut self,
        value: Option<&Spanned<T>>,
        read: impl Fn(&T) -> Option<U>,
        wanted: &str,
    ) -> Option<U> {
        let value = value?;
        let read = read(value.get_ref());
        if read.is_none() {
            self.faults
                .push(self.file.fault_at(value.span().start, format!("this is no condition: {wanted}")));
        }
        read
    }

    fn types(&mut self, names: &[Spanned<String>]) -> Vec<TransactionType> {
        self.each(names, |name| TransactionType::parse(name), "a type as the bank names it, such as purchase")
    }

    fn amount(&mut self, range: Option<&Spanned<AmountFile>>) -> Option<RangeInclusive<i64>> {
        let read = |range: &AmountFile| {
            let yuan = |text: &Option<String>, otherwise: i64| match text {
                Some(text) => Money::parse(text, "CNY").ok().map(Money::minor),
                None => Some(otherwise),
            };
            let (from, to) = (yuan(&range.from, i64::MIN)?, yuan(&range.to, i64::MAX)?);
            (from <= to).then_some(from..=to)
        };
        self.one(range, read, "renminbi such as { from = \"100\", to = \"5000.00\" }")
    }
}

fn one_of(name: &str, known: &[&str]) -> Option<String> {
    known.contains(&name).then(|| name.to_owned())
}

fn category(text: &str) -> Option<RangeInclusive<u16>> {
    let code = |text: &str| {
        let plain = text.len() == 4 && text.bytes().all(|byte| byte.is_ascii_digit());
        if plain { text.parse::<u16>().ok() } else { None }
    };
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (code(from.trim())?, code(to.trim())?);
    (from <= to).then_some(from..=to)
}

/// Minutes of the day.
fn hours(text: &str) -> Option<(i16, i16)> {
    let minute = |text: &str| {
        let (hour, minute) = text.trim().split_once(':')?;
        let (hour, minute) = (hour.parse::<i16>().ok()?, minute.parse::<i16>().ok()?);
        ((0..24).contains(&hour) && (0..60).contains(&minute)).then_some(hour * 60 + minute)
    };
    let (from, until) = text.split_once('-')?;
    let (from, until) = (minute(from)?, minute(until)?);
    (from != until).then_some((from, until))
}

fn repeated_within(text: &str) -> Option<Duration> {
    span(text).filter(|span| !span.is_zero() && *span <= REPEATED_WITHIN_MAX)
}
