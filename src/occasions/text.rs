//! The texts of a rule: compiled, and held to the values that an occasion has.

use serde_json::{Value, json};
use toml::Spanned;

use super::Occasion;
use crate::content::{Fault, File, line_of};
use crate::domain::money::{Currency, Money};
use crate::domain::transaction::{Bill, Transaction};
use crate::render::{Texts, Values};

/// What a text may name.
pub(super) const NAMES: [&str; 8] =
    ["merchant", "amount", "billed", "card", "type", "original", "bill", "cost_per_day"];
/// Those of them that tell an amount.
const AMOUNTS: [&str; 5] = ["amount", "billed", "original", "bill", "cost_per_day"];

/// What interest on an open bill costs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interest {
    /// A day's rate in millionths: 0.05 % is 500.
    pub(super) daily_millionths: i64,
    /// Whether it is taken on the whole bill, or only on what is left.
    pub(super) on_whole_bill: bool,
}

/// Compiles a text under a name. `promised` tells whether a value is always there for the rule.
pub(super) fn compile(
    texts: &mut Texts,
    name: &str,
    file: &File,
    text: &Spanned<String>,
    promised: impl Fn(&str) -> bool,
    faults: &mut Vec<Fault>,
) {
    let start = text.span().start;
    let block = file.text.get(start..).is_some_and(|text| text.starts_with("\"\"\"\n"));
    let first = line_of(&file.text, start) + usize::from(block);
    let mut say = |line: usize, message: String| faults.push(Fault::new(&file.origin, line, message));
    if text.get_ref().trim().is_empty() {
        return say(first, "the text is empty".to_owned());
    }
    if let Err(fault) = texts.add(name, text.get_ref()) {
        return say(first + fault.line - 1, fault.message);
    }
    for wanted in texts.wants(name) {
        let root = wanted.split('.').next().unwrap_or_default();
        if !NAMES.contains(&root) {
            say(first, format!("the text uses {wanted:?}; there are {}", NAMES.join(", ")));
        } else if !promised(root) {
            let message = format!("{root:?} is not always there; ask for it in [when] first");
            say(first, message);
        }
    }
}

/// Whether a compiled text tells an amount.
pub(super) fn tells_amounts(texts: &Texts, name: &str) -> bool {
    AMOUNTS.iter().any(|amount| texts.wants_any_of(name, amount))
}

/// What an occasion has to tell.
pub(super) fn values(occasion: &Occasion<'_>, interest: Option<Interest>) -> Values {
    let transaction = occasion.transaction;
    let mut values = Values::new();
    let merchant =
        |transaction: &Transaction| transaction.merchant.as_ref().map(|merchant| merchant.name.clone());
    values.set_text("merchant", &merchant(transaction).unwrap_or_default());
    values.set("amount", &json!(transaction.amount));
    values.set("billed", &json!(transaction.billing_amount));
    values.set_text("card", transaction.card_last4.as_str());
    values.set_text("type", transaction.kind.title());
    let original = occasion.original.map(
        |original| json!({ "amount": original.amount, "merchant": merchant(original).unwrap_or_default() }),
    );
    values.set("original", &original.unwrap_or(Value::Null));
    of_bill(&mut values, transaction.bill.as_ref(), interest);
    values
}

/// What a notice about a bill has to tell.
pub(super) fn values_of_bill(bill: &Bill, interest: Option<Interest>) -> Values {
    let mut values = Values::new();
    of_bill(&mut values, Some(bill), interest);
    values
}

fn of_bill(values: &mut Values, bill: Option<&Bill>, interest: Option<Interest>) {
    values.set("bill", &json!(bill));
    if let Some(cost) = bill.zip(interest).and_then(|(bill, interest)| cost_per_day(bill, interest)) {
        values.set("cost_per_day", &cost);
    }
}

/// A day's interest, rounded up to the fen.
fn cost_per_day(bill: &Bill, interest: Interest) -> Option<Value> {
    let base = if interest.on_whole_bill { &bill.total } else { &bill.remaining };
    let product = i128::from(super::fen(base)?) * i128::from(interest.daily_millionths);
    let fen = i64::try_from((product + 999_999) / 1_000_000).ok()?;
    let cost = Money::from_minor(fen, Currency::cny()).ok()?;
    Some(json!({ "value": cost.decimal(), "currency": "CNY" }))
}
