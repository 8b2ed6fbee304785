//! What the bank wants told that is not a transaction, parsed at the edge.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::time::UnixMs;
use super::transaction::{Bill, Wrong, amount, bill, customer, id, moment, object, optional, present, text};

/// Fields of one notice.
pub const FIELDS_MAX: usize = 32;
/// Longest value of a field, in characters.
pub const VALUE_CHARS_MAX: usize = 1_000;
/// Longest name of a field, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// Greatest whole number of a field: beyond it, readers of JSON do not agree on the digits (RFC 8259, section 6).
pub const WHOLE_MAX: i64 = 9_007_199_254_740_991;

/// The kinds of notices, each with a file of `templates/notices/`.
pub const KINDS: [&str; 8] = [
    "bill_issued",
    "bill_due",
    "application",
    "limit_result",
    "instalment_result",
    "card_mailed",
    "security",
    "case_update",
];

/// One item of `POST /api/v1/notices`, checked.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The bank's id: the same id never tells twice.
    pub notice_id: String,
    /// The bank's customer.
    pub customer_id: String,
    /// One of [`KINDS`].
    pub kind: String,
    /// Our names of template fields and what stands in them.
    pub fields: BTreeMap<String, String>,
    /// Until when it is worth telling before the bank falls back; the kind's own deadline where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<UnixMs>,
    /// The bill that it tells of, so that what is left of it can be reckoned with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<Bill>,
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notice({})", self.kind)
    }
}

impl Notice {
    /// Reads one item.
    ///
    /// # Errors
    /// The first field that is missing, of another type, or out of its bounds.
    pub fn parse(item: &Value) -> Result<Self, Wrong> {
        let object_ = object(item, "item")?;
        let kind = text(object_, "kind", "kind", NAME_CHARS_MAX)?;
        if !KINDS.contains(&kind) {
            return Err(Wrong::new("kind", "is none of the known kinds"));
        }
        let given = present(object_, "fields").ok_or_else(|| Wrong::new("fields", "is missing"))?;
        let given = object(given, "fields")?;
        if given.len() > FIELDS_MAX {
            return Err(Wrong::new("fields", "has more than 32 members"));
        }
        let mut fields = BTreeMap::new();
        for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
            fields.insert(name.clone(), field(name, value)?);
        }
        let deadline = optional(object_, "deadline", "deadline", NAME_CHARS_MAX)?;
        Ok(Self {
            notice_id: id(object_, "notice_id")?.to_owned(),
            customer_id: customer(object_)?,
            kind: kind.to_owned(),
            fields,
            deadline_ms: deadline.map(|text| moment(text, "deadline")).transpose()?,
            bill: present(object_, "bill").map(bill).transpose()?,
        })
    }
}

/// A text, a whole number, or an amount `{"value","currency"}`.
fn field(name: &str, value: &Value) -> Result<String, Wrong> {
    if name.chars().count() > NAME_CHARS_MAX {
        return Err(Wrong::new("fields", "has a member whose name is too long"));
    }
    let at = format!("fields.{name}");
    match value {
        Value::String(text) if text.chars().count() <= VALUE_CHARS_MAX => Ok(text.clone()),
        Value::String(_) => Err(Wrong::new(&at, "is too long")),
        Value::Number(number) if let Some(whole) = whole(number) => Ok(whole.to_string()),
        Value::Object(_) => {
            let money = amount(value, &at)?.money();
            money.map(|money| money.display()).ok_or_else(|| Wrong::new(&at, "is no amount"))
        }
        _ => Err(Wrong::new(&at, "must be a string, a whole number, or an amount with value and currency")),
    }
}

/// The number, if it is whole and within [`WHOLE_MAX`] on either side of zero. `3.0` is whole: JSON has one kind of
/// number, and JSON Schema counts it among the integers.
fn whole(number: &Number) -> Option<i64> {
    let text = number.to_string();
    let digits = text.strip_suffix(".0").unwrap_or(&text);
    digits.parse::<i64>().ok().filter(|whole| whole.unsigned_abs() <= WHOLE_MAX.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn due() -> Value {
        json!({"notice_id": "N1", "customer_id": "C10001", "kind": "bill_due",
            "fields": {"card": "1234", "amount": {"value": "1234.5", "currency": "CNY"}, "days": 3, "none": null}})
    }

    #[test]
    fn texts_whole_numbers_and_amounts_become_field_values() {
        let notice = Notice::parse(&due()).unwrap();
        let fields: Vec<_> =
            notice.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(fields, [("amount", "¥1,234.50"), ("card", "1234"), ("days", "3")]);
    }

    #[test]
    fn the_bill_of_a_notice_is_checked_as_that_of_a_transaction() {
        let mut item = due();
        assert!(Notice::parse(&item).unwrap().bill.is_none());
        let left = json!({"value": "3.20", "currency": "CNY"});
        item["bill"] = json!({"total": left, "remaining": left, "due_date": "2026-12-05"});
        let notice = Notice::parse(&item).unwrap();
        assert_eq!(notice.bill.as_ref().unwrap().due_date.to_string(), "2026-12-05");
        let kept = serde_json::to_vec(&notice).unwrap();
        assert!(serde_json::from_slice::<Notice>(&kept).unwrap() == notice);
        item["bill"]["due_date"] = json!("soon");
        let fault = Notice::parse(&item).unwrap_err().to_string();
        assert_eq!(fault, "bill.due_date: must be a day such as 2026-12-05");
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        let said = |number: &str| {
            let mut item = due();
            item["fields"]["days"] = serde_json::from_str(number).unwrap();
            Notice::parse(&item)
                .map(|notice| notice.fields["days"].clone())
                .map_err(|wrong| wrong.to_string())
        };
        for (number, expected) in [
            ("3", "3"),
            ("3.0", "3"),
            ("-407", "-407"),
            ("-0.0", "0"),
            ("9007199254740991.0", "9007199254740991"),
        ] {
            assert_eq!(said(number).unwrap(), expected);
        }
        for number in ["1.5", "9007199254740992", "1e300", "-9.1e15", "18446744073709551615", "true"] {
            assert!(said(number).unwrap_err().starts_with("fields.days: must be"), "{number}");
        }
    }

    #[test]
    fn each_fault_names_its_field() {
        let table = [
            (
                "/notice_id",
                json!(""),
                "notice_id: must have 1 to 64 characters, none of them a control character",
            ),
            ("/kind", json!("advert"), "kind: is none of the known kinds"),
            ("/fields", json!("x"), "fields: must be an object"),
            (
                "/fields/days",
                json!(1.5),
                "fields.days: must be a string, a whole number, or an amount with value and currency",
            ),
            ("/fields/amount", json!({"value": "1"}), "fields.amount.currency: is missing"),
            ("/customer_id", json!(7), "customer_id: must be a string"),
        ];
        for (path, value, expected) in table {
            let mut item = due();
            *item.pointer_mut(path).unwrap() = value;
            assert_eq!(Notice::parse(&item).unwrap_err().to_string(), expected);
        }
        let mut item = due();
        item["deadline"] = json!("tomorrow");
        assert!(Notice::parse(&item).unwrap_err().to_string().starts_with("deadline: "));
    }
}
