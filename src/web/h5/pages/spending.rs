//! The page with the charts: bars drawn from the numbers, and the numbers themselves beside them.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::{Frame, respond};
use crate::domain::money::{Currency, Money};
use crate::identity::{Category, Spending, Statement};

/// Width of the longest bar, in the units of its drawing.
const BAR_WIDTH_MAX: i64 = 320;
/// Height of the tallest column, in the units of its drawing.
const COLUMN_HEIGHT_MAX: i64 = 110;
/// Units from one column to the next.
const COLUMN_STEP: i64 = 27;

#[derive(Template)]
#[template(path = "pages/h5/spending.html")]
struct SpendingPage<'a> {
    frame: &'a Frame,
    spending: &'a Spending,
    groups: Vec<Group<'a>>,
    columns: Vec<Column>,
}

/// What was spent in one currency.
struct Group<'a> {
    currency: Currency,
    total: Money,
    bars: Vec<Bar<'a>>,
}

/// One kind of shop.
struct Bar<'a> {
    category: &'a Category,
    width: i64,
    percent: i64,
}

/// One statement in renminbi.
struct Column {
    x: i64,
    y: i64,
    height: i64,
    /// The number of its month.
    label: String,
    current: bool,
}

impl SpendingPage<'_> {
    fn title(&self) -> String {
        self.spending
            .month
            .as_deref()
            .map_or_else(|| "未出账单".to_owned(), |month| format!("{}账单", spoken(month)))
    }
}

impl Column {
    fn middle(&self) -> i64 {
        self.x + 9
    }
}

/// `2026年11月`
fn spoken(month: &str) -> String {
    match month.split_once('-') {
        Some((year, month)) => format!("{year}年{}月", month.trim_start_matches('0')),
        None => month.to_owned(),
    }
}

/// A share of a whole in whole units, rounded to the nearest; what is more than nothing is at least 1.
fn share(part: i64, whole: i64, units: i64) -> i64 {
    if part <= 0 || whole <= 0 {
        return 0;
    }
    let (part, whole, units) = (i128::from(part), i128::from(whole), i128::from(units));
    let rounded = (part * units * 2 + whole) / (whole * 2);
    i64::try_from(rounded.clamp(1, units)).unwrap_or(1)
}

fn groups(categories: &[Category]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for currency in categories.iter().map(|category| category.amount.currency()) {
        if groups.iter().any(|group| group.currency == currency) {
            continue;
        }
        let own = || categories.iter().filter(|category| category.amount.currency() == currency);
        let total: i64 = own().map(|category| category.amount.minor()).sum();
        let greatest = own().map(|category| category.amount.minor()).max().unwrap_or(0);
        let bar = |category| bar(category, greatest, total);
        let total = Money::saturating(total, currency);
        groups.push(Group { currency, total, bars: own().map(bar).collect() });
    }
    groups
}

fn bar(category: &Category, greatest: i64, total: i64) -> Bar<'_> {
    let minor = category.amount.minor();
    Bar { category, width: share(minor, greatest, BAR_WIDTH_MAX), percent: share(minor, total, 100) }
}

/// Statements in renminbi as columns, the oldest on the left.
fn columns(statements: &[Statement], month: Option<&str>) -> Vec<Column> {
    let due = |one: &Statement| {
        let own = one.amounts.iter().find(|(amount, _)| amount.currency() == Currency::cny());
        own.map_or(0, |(amount, _)| amount.minor())
    };
    let greatest = statements.iter().map(due).max().unwrap_or(0);
    let column = |(place, one): (i64, &Statement)| {
        let height = share(due(one), greatest, COLUMN_HEIGHT_MAX);
        let label = one.month.rsplit('-').next().unwrap_or_default().trim_start_matches('0');
        Column {
            x: place * COLUMN_STEP + 4,
            y: COLUMN_HEIGHT_MAX - height + 10,
            height,
            label: label.to_owned(),
            current: month == Some(one.month.as_str()),
        }
    };
    (0..).zip(statements.iter().rev()).map(column).collect()
}

/// What was spent on what in one statement, and all statements.
pub(in super::super) fn spending(frame: &Frame, spending: &Spending) -> HttpResponse {
    let groups = groups(&spending.categories);
    let columns = columns(&spending.statements, spending.month.as_deref());
    respond(frame, StatusCode::OK, &SpendingPage { frame, spending, groups, columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_drawn_from_the_numbers() {
        assert_eq!((share(0, 10, 320), share(1, 1_000_000, 320), share(10, 10, 320)), (0, 1, 320));
        assert_eq!((share(1, 3, 100), share(2, 3, 100), share(-5, 10, 100)), (33, 67, 0));
        assert_eq!(share(i64::MAX, i64::MAX, 110), 110);
        let category = |name: &str, value: &str, currency: &str| Category {
            name: name.to_owned(),
            amount: Money::parse(value, currency).unwrap(),
            count: 1,
        };
        let categories = [
            category("餐饮", "300.00", "CNY"),
            category("其他", "100.00", "CNY"),
            category("餐饮", "8.00", "USD"),
        ];
        let groups = groups(&categories);
        let bars =
            |group: &Group<'_>| group.bars.iter().map(|bar| (bar.width, bar.percent)).collect::<Vec<_>>();
        assert_eq!(
            (groups.len(), bars(&groups[0]), bars(&groups[1])),
            (2, vec![(320, 75), (107, 25)], vec![(320, 100)])
        );
        assert_eq!(groups[0].total.display(), "¥400.00");
    }

    #[test]
    fn statements_stand_from_left_to_right() {
        let statement = |month: &str, value: &str| Statement {
            month: month.to_owned(),
            amounts: vec![(Money::parse(value, "CNY").unwrap(), true)],
        };
        let drawn =
            columns(&[statement("2026-11", "50.00"), statement("2026-10", "100.00")], Some("2026-11"));
        let seen: Vec<_> = drawn.iter().map(|one| (one.label.as_str(), one.height, one.current)).collect();
        assert_eq!(seen, [("10", 110, false), ("11", 55, true)]);
        assert!(drawn[0].x < drawn[1].x);
        assert!(columns(&[], None).is_empty());
    }
}
