//! The twenty made-up customers and their made-up past. Nobody's data: the names are the solar terms, the ID
//! numbers carry an area code that does not exist. The same day gives the same past, on every machine.

use jiff::Span;
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::amount::Amount;
use super::calendar::Calendar;
use super::ledger::{Ledger, Terms, moment, next_month};
use super::rules::{MerchantRules, Rules};
use super::transaction::{Channel, Entry, Kind};
use crate::domain::money::Currency;
use crate::domain::time::UnixMs;

const NAMES: [&str; 20] = [
    "张立春",
    "李雨水",
    "王惊蛰",
    "陈春分",
    "周清明",
    "林谷雨",
    "吴立夏",
    "徐小满",
    "孙芒种",
    "赵夏至",
    "朱小暑",
    "马大暑",
    "胡立秋",
    "郭处暑",
    "何白露",
    "高秋分",
    "罗寒露",
    "宋霜降",
    "唐立冬",
    "韩小雪",
];
/// This one applied online for his first card and has not been seen by anybody.
const UNSEEN: usize = 18;
/// This one stopped repaying two statements ago.
const OVERDUE: usize = 19;

/// One customer.
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) name: &'static str,
    pub(super) id_number: String,
    pub(super) phone: String,
    pub(super) cards: Vec<Card>,
    /// Fen.
    pub(super) fixed_limit: i64,
    /// Fen on top, and the last day.
    pub(super) temporary_limit: Option<(i64, Date)>,
    /// The tail of the account that full repayment is drawn from.
    pub(super) auto_repayment_from: Option<&'static str>,
    /// Earned before the made-up past; they end with the year.
    pub(super) points_brought_forward: i64,
}

/// One card.
pub(super) struct Card {
    pub(super) card_id: &'static str,
    /// Another one once it was lost and replaced.
    pub(super) last4: String,
    /// Whether it waits for its first use to be allowed, as it was issued.
    pub(super) inactive: bool,
    pub(super) product: &'static str,
    pub(super) tier: &'static str,
    pub(super) currencies: Vec<Currency>,
    pub(super) opened_on: Date,
    /// What was booked before the sandbox was opened.
    pub(super) past: Vec<Entry>,
    pub(super) first_statement: Date,
}

/// The customers as they stand at the moment at which the sandbox was opened.
pub(super) fn customers(rules: &Rules, opened_at: UnixMs) -> Vec<Customer> {
    NAMES.iter().enumerate().map(|(index, name)| customer(rules, opened_at, index, name)).collect()
}

fn customer(rules: &Rules, opened_at: UnixMs, index: usize, name: &'static str) -> Customer {
    let opened_on = opened_at.beijing().date();
    let number = i64::try_from(index).unwrap_or(0);
    let id = format!("C{}", 10_001 + number);
    let birth = format!("{}{:02}{:02}", 1978 + number, 1 + number % 12, 1 + number % 28);
    let cards = if index == 0 {
        vec![
            card(rules, opened_at, index, ("K1", "1234"), &["CNY"]),
            card(rules, opened_at, index, ("K2", "5678"), &["CNY", "USD"]),
        ]
    } else {
        vec![card(rules, opened_at, index, ("K1", "1234"), &["CNY"])]
    };
    let month_end = opened_on.saturating_add(40.days()).last_of_month();
    Customer {
        id_number: with_checksum(&format!("990000{birth}{:03}", number + 1)),
        phone: format!("138001380{:02}", number + 1),
        fixed_limit: (30_000 + number % 5 * 10_000) * 100,
        temporary_limit: index.is_multiple_of(4).then_some((10_000 * 100, month_end)),
        auto_repayment_from: index.is_multiple_of(3).then_some("6688"),
        points_brought_forward: 1_200 + number * 310,
        id,
        name,
        cards,
    }
}

fn card(
    rules: &Rules,
    opened_at: UnixMs,
    index: usize,
    (card_id, last4): (&'static str, &'static str),
    currencies: &[&str],
) -> Card {
    let opened_on = opened_at.beijing().date();
    let months = i32::from(rules.statement.history_months);
    let first_month = opened_on.first_of_month().saturating_sub(Span::new().months(months));
    let first_statement = first_month.with().day(rules.statement.day).build().unwrap_or(first_month);
    let mut card = Card {
        card_id,
        last4: last4.to_owned(),
        inactive: index == UNSEEN,
        product: "金卡",
        tier: "gold",
        currencies: currencies.iter().filter_map(|code| Currency::parse(code)).collect(),
        opened_on: Date::constant(2020, 3, 1)
            .saturating_add(Span::new().months(i64::try_from(index).unwrap_or(0))),
        past: Vec::new(),
        first_statement,
    };
    for currency in card.currencies.clone() {
        let past = Past { rules, index, card: &card, currency, opened_at };
        let entries = past.with_repayments(past.purchases(first_month));
        card.past.extend(entries);
    }
    card.past.sort_by_key(|entry| entry.at);
    card
}

/// Makes up the past of one currency of one card.
struct Past<'a> {
    rules: &'a Rules,
    index: usize,
    card: &'a Card,
    currency: Currency,
    opened_at: UnixMs,
}

impl Past<'_> {
    /// Each calendar month is drawn from a seed of its own, so that it does not depend on the opening day.
    fn purchases(&self, first_month: Date) -> Vec<Entry> {
        let abroad = self.currency != Currency::cny();
        let merchants = if abroad { &self.rules.merchants_abroad } else { &self.rules.merchants };
        let mut entries = Vec::new();
        let mut month = first_month;
        while moment(month, 0, 0) <= self.opened_at {
            let mut dice = Dice::new(&[
                self.index,
                usize::from(self.card.last4 == "5678"),
                usize::from(abroad),
                ordinal(month),
            ]);
            let count = if abroad { 2 + dice.below(3) } else { 7 + dice.below(7) };
            for number in 1..=count {
                let entry = self.purchase(&mut dice, month, merchants, number);
                if entry.at <= self.opened_at {
                    entries.push(entry);
                }
            }
            month = next_month(month);
        }
        entries
    }

    fn purchase(&self, dice: &mut Dice, month: Date, merchants: &[MerchantRules], number: i64) -> Entry {
        let last_day = i64::from(month.days_in_month());
        let day = month.saturating_add(dice.below(last_day).days());
        let hour = i8::try_from(8 + dice.below(14)).unwrap_or(12);
        let minute = i8::try_from(dice.below(60)).unwrap_or(0);
        let pick = usize::try_from(dice.below(i64::try_from(merchants.len()).unwrap_or(1))).unwrap_or(0);
        let merchant = &merchants[pick];
        let minor = (merchant.low * 100) + dice.below((merchant.high - merchant.low) * 100);
        Entry {
            transaction_id: format!(
                "{}-{}-{}{number:02}",
                self.holder(),
                self.currency.code(),
                month.strftime("%Y%m")
            ),
            at: moment(day, hour, minute),
            kind: Kind::Purchase,
            merchant: merchant.name.clone(),
            amount: Amount::new(minor, self.currency),
            original: None,
            reason: None,
            channel: merchant.channel,
            unbilled: false,
        }
    }

    /// Repays statement after statement, in full some days before the due date, as the customer's habits are.
    fn with_repayments(&self, mut entries: Vec<Entry>) -> Vec<Entry> {
        let today = self.opened_at.beijing().date();
        let mut statements_left = self.ledger(&entries, today).statements.len();
        let mut date = self.card.first_statement;
        while date < today {
            let ledger = self.ledger(&entries, date.saturating_add(1.day()));
            let due = ledger.latest().map_or(0, |statement| statement.amount_due);
            let mut dice = Dice::new(&[self.index, usize::from(self.card.last4 == "5678"), 7, ordinal(date)]);
            let day = date.saturating_add((5 + dice.below(12)).days());
            let at = moment(day, 20, i8::try_from(dice.below(60)).unwrap_or(0));
            let minor = match statements_left {
                1 | 2 if self.index == OVERDUE => 0,
                // Some pay the latest bill in two parts; the second is still to come.
                1 if self.index % 5 == 2 => due / 2 / 100 * 100,
                _ => due,
            };
            if minor > 0 && at <= self.opened_at {
                entries.push(Entry {
                    transaction_id: format!(
                        "{}-{}-{}R",
                        self.holder(),
                        self.currency.code(),
                        date.strftime("%Y%m")
                    ),
                    at,
                    kind: Kind::Repayment,
                    merchant: "还款".to_owned(),
                    amount: Amount::new(-minor, self.currency),
                    original: None,
                    reason: None,
                    channel: Channel::Other,
                    unbilled: false,
                });
            }
            statements_left -= 1;
            date = next_month(date);
        }
        entries
    }

    fn ledger(&self, entries: &[Entry], today: Date) -> Ledger {
        let terms = Terms {
            rules: self.rules,
            holder: self.holder(),
            currency: self.currency,
            first_statement: self.card.first_statement,
            calendar: Calendar::new(self.rules.statement.day),
            today,
            auto_repayment: Vec::new(),
            plans: Vec::new(),
        };
        Ledger::build(&terms, entries.iter().cloned())
    }

    fn holder(&self) -> String {
        format!("H-C{}-{}", 10_001 + self.index, self.card.card_id)
    }
}

fn ordinal(month: Date) -> usize {
    usize::try_from(i32::from(month.year()) * 12 + i32::from(month.month())).unwrap_or(0)
}

/// The 18th character of a resident ID number (GB 11643).
pub(super) fn with_checksum(first_17: &str) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
    let sum: u32 =
        first_17.chars().zip(WEIGHTS).map(|(c, weight)| c.to_digit(10).unwrap_or(0) * weight).sum();
    let check = CHECKS.get(usize::try_from(sum % 11).unwrap_or(0)).copied().unwrap_or('0');
    format!("{first_17}{check}")
}

/// A small repeatable generator (SplitMix64) for made-up data.
struct Dice(u64);

impl Dice {
    fn new(seed: &[usize]) -> Self {
        let mut dice = Self(0);
        for part in seed {
            dice.0 ^= u64::try_from(*part).unwrap_or(0).wrapping_mul(0xD6E8_FEB8_6659_FD93);
            dice.0 = dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to below `bound`.
    fn below(&mut self, bound: i64) -> i64 {
        let bound = u64::try_from(bound.max(1)).unwrap_or(1);
        i64::try_from(self.next() % bound).unwrap_or(0)
    }
}
