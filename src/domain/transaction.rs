//! A transaction as the bank reports it, parsed at the edge: each wrong field has an error that names it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::card::CardTail;
use super::ids::CustomerId;
use super::money::Money;
use super::time::UnixMs;

/// Longest id of the bank, in characters.
pub const ID_CHARS_MAX: usize = 64;
/// Longest free text (a merchant's name), in characters.
const TEXT_CHARS_MAX: usize = 1_000;
/// Longest code (`mcc`, `decline_reason`, `tier`, `country`), in characters.
const CODE_CHARS_MAX: usize = 64;
/// How far ahead of our clock a transaction may have happened.
const AHEAD_MS_MAX: i64 = 24 * 3600 * 1000;

/// What is wrong with an item, for the bank: names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(String);

impl Wrong {
    /// A fault of a field.
    #[must_use]
    pub fn new(field: &str, fault: &str) -> Self {
        Self(format!("{field}: {fault}"))
    }
}

/// What kind of transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionType {
    /// Something was bought.
    Purchase,
    /// Money came back from a merchant.
    Refund,
    /// An earlier transaction was undone.
    Reversal,
    /// Cash was drawn.
    CashAdvance,
    /// The customer paid his bill.
    Repayment,
    /// The bank took a fee.
    Fee,
    /// A part of an instalment plan was charged.
    Instalment,
    /// A purchase was refused.
    Declined,
    /// An amount was held.
    Preauth,
}

impl TransactionType {
    const NAMES: [(&'static str, Self); 9] = [
        ("purchase", Self::Purchase),
        ("refund", Self::Refund),
        ("reversal", Self::Reversal),
        ("cash_advance", Self::CashAdvance),
        ("repayment", Self::Repayment),
        ("fee", Self::Fee),
        ("instalment", Self::Instalment),
        ("declined", Self::Declined),
        ("preauth", Self::Preauth),
    ];

    /// The bank's names of all of them.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(name, _)| *name)
    }

    /// Reads the bank's name of it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// The notice that tells it: a file of `templates/notices/` and a template of the account.
    #[must_use]
    pub fn notice(self) -> &'static str {
        match self {
            Self::Purchase | Self::CashAdvance | Self::Fee | Self::Instalment | Self::Preauth => "spend",
            Self::Refund | Self::Reversal => "refund",
            Self::Repayment => "repayment",
            Self::Declined => "declined",
        }
    }

    /// Repayments and fees have no merchant.
    fn needs_merchant(self) -> bool {
        !matches!(self, Self::Repayment | Self::Fee)
    }

    /// What stands for the merchant where there is none.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Purchase => "消费",
            Self::Refund => "退款",
            Self::Reversal => "撤销",
            Self::CashAdvance => "取现",
            Self::Repayment => "还款",
            Self::Fee => "费用",
            Self::Instalment => "分期",
            Self::Declined => "交易未成功",
            Self::Preauth => "预授权",
        }
    }
}

/// Where a transaction came in.
pub const CHANNELS: [&str; 7] = ["pos", "online", "wechat_pay", "alipay", "atm", "recurring", "other"];

/// Whose card it is: the customer's own, or one that hangs on his.
pub const HOLDERS: [&str; 2] = ["primary", "supplementary"];

/// An amount as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Plain decimal.
    pub value: String,
    /// ISO 4217.
    pub currency: String,
}

impl Amount {
    /// As money; `None` only for a stored value that was changed by hand.
    #[must_use]
    pub fn money(&self) -> Option<Money> {
        Money::parse(&self.value, &self.currency).ok()
    }
}

/// Where the money went.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Merchant {
    /// As the acquirer wrote it; may be empty.
    pub name: String,
    /// Merchant category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcc: Option<String>,
    /// City.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub city: Option<String>,
    /// Country.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
}

/// Who holds the card.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cardholder {
    /// `classic`, `gold`, `platinum` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// One of [`HOLDERS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
}

/// The bill that is to be paid now, as it stands after a transaction or when a notice tells of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bill {
    /// All of it.
    pub total: Amount,
    /// What is left to pay.
    pub remaining: Amount,
    /// The last day to pay it.
    pub due_date: jiff::civil::Date,
}

/// A transaction, checked. Holds no more of the card than its last four digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// The bank's id: the same id never alerts twice.
    pub transaction_id: String,
    /// The bank's customer.
    pub customer_id: String,
    /// Last four digits.
    pub card_last4: CardTail,
    /// What kind.
    #[serde(rename = "type")]
    pub kind: TransactionType,
    /// How much, in the currency of the purchase.
    pub amount: Amount,
    /// Where; never there for some repayments and fees.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merchant: Option<Merchant>,
    /// How it came in: one of [`CHANNELS`].
    pub channel: String,
    /// When it happened.
    pub occurred_ms: UnixMs,
    /// What is left, as the bank wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_credit: Option<String>,
    /// Whose card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cardholder: Option<Cardholder>,
    /// What is refunded or reversed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original_transaction_id: Option<String>,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decline_reason: Option<String>,
    /// What it costs in the card's currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_amount: Option<Amount>,
    /// The bill that is to be paid now, as it stands after this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bill: Option<Bill>,
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({:?})", self.kind)
    }
}

impl Transaction {
    /// Reads one item of `POST /api/v1/transactions`.
    ///
    /// # Errors
    /// The first field that is missing, of another type, or out of its bounds.
    pub fn parse(item: &Value, now: UnixMs) -> Result<Self, Wrong> {
        let object = object(item, "item")?;
        let kind = TransactionType::parse(text(object, "type", "type", CODE_CHARS_MAX)?)
            .ok_or_else(|| Wrong::new("type", "is none of the known types"))?;
        let occurred_ms = moment(text(object, "occurred_at", "occurred_at", CODE_CHARS_MAX)?, "occurred_at")?;
        if occurred_ms.0 - now.0 > AHEAD_MS_MAX {
            return Err(Wrong::new("occurred_at", "is more than 24 hours ahead"));
        }
        let channel = text(object, "channel", "channel", CODE_CHARS_MAX)?;
        if !CHANNELS.contains(&channel) {
            return Err(Wrong::new("channel", "is none of the known channels"));
        }
        let merchant = present(object, "merchant").map(merchant).transpose()?;
        if merchant.is_none() && kind.needs_merchant() {
            return Err(Wrong::new("merchant", "is missing"));
        }
        Ok(Self {
            transaction_id: id(object, "transaction_id")?.to_owned(),
            customer_id: customer(object)?,
            card_last4: CardTail::parse(text(object, "card_last4", "card_last4", CODE_CHARS_MAX)?)
                .map_err(|_| Wrong::new("card_last4", "must be exactly four digits"))?,
            kind,
            amount: amount(required(object, "amount", "amount")?, "amount")?,
            merchant,
            channel: channel.to_owned(),
            occurred_ms,
            available_credit: optional(object, "available_credit", "available_credit", CODE_CHARS_MAX)?
                .map(decimal)
                .transpose()?,
            cardholder: present(object, "cardholder").map(cardholder).transpose()?,
            original_transaction_id: present(object, "original_transaction_id")
                .map(|_| id(object, "original_transaction_id").map(str::to_owned))
                .transpose()?,
            decline_reason: optional(object, "decline_reason", "decline_reason", CODE_CHARS_MAX)?
                .map(str::to_owned),
            billing_amount: present(object, "billing_amount")
                .map(|value| amount(value, "billing_amount"))
                .transpose()?,
            bill: present(object, "bill").map(bill).transpose()?,
        })
    }
}

pub(super) fn object<'a>(item: &'a Value, field: &str) -> Result<&'a Map<String, Value>, Wrong> {
    item.as_object().ok_or_else(|| Wrong::new(field, "must be an object"))
}

/// A member that is there and not null.
pub(super) fn present<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).filter(|value| !value.is_null())
}

fn required<'a>(object: &'a Map<String, Value>, name: &str, field: &str) -> Result<&'a Value, Wrong> {
    present(object, name).ok_or_else(|| Wrong::new(field, "is missing"))
}

/// A text that must be there. `name` is the member, `field` what the error calls it.
pub(super) fn text<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    field: &str,
    chars_max: usize,
) -> Result<&'a str, Wrong> {
    optional(object, name, field, chars_max)?.ok_or_else(|| Wrong::new(field, "is missing"))
}

pub(super) fn optional<'a>(
    object: &'a Map<String, Value>,
    name: &str,
    field: &str,
    chars_max: usize,
) -> Result<Option<&'a str>, Wrong> {
    let Some(value) = present(object, name) else { return Ok(None) };
    let text = value.as_str().ok_or_else(|| Wrong::new(field, "must be a string"))?;
    if text.chars().count() > chars_max {
        return Err(Wrong::new(field, "is too long"));
    }
    Ok(Some(text))
}

/// An id of the bank: opaque, 1 to 64 characters, none of them a control character.
pub(super) fn id<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a str, Wrong> {
    let text = text(object, name, name, ID_CHARS_MAX)?;
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Wrong::new(name, "must have 1 to 64 characters, none of them a control character"));
    }
    Ok(text)
}

pub(super) fn customer(object: &Map<String, Value>) -> Result<String, Wrong> {
    let text = id(object, "customer_id")?;
    CustomerId::parse(text)
        .map(|id| id.reveal().to_owned())
        .ok_or_else(|| Wrong::new("customer_id", "must have at most 64 bytes"))
}

/// An amount of money that is not below zero.
pub(super) fn amount(value: &Value, field: &str) -> Result<Amount, Wrong> {
    let object = object(value, field)?;
    let (in_value, in_currency) = (format!("{field}.value"), format!("{field}.currency"));
    let value = text(object, "value", &in_value, CODE_CHARS_MAX)?;
    let currency = text(object, "currency", &in_currency, CODE_CHARS_MAX)?;
    if value.starts_with('-') {
        return Err(Wrong::new(&in_value, "must not be negative"));
    }
    Money::parse(value, currency).map_err(|fault| {
        let at = if fault == super::money::NotMoney::Currency { &in_currency } else { &in_value };
        Wrong::new(at, &fault.to_string())
    })?;
    Ok(Amount { value: value.to_owned(), currency: currency.to_owned() })
}

fn merchant(value: &Value) -> Result<Merchant, Wrong> {
    let object = object(value, "merchant")?;
    let member = |name: &str| {
        optional(object, name, &format!("merchant.{name}"), TEXT_CHARS_MAX)
            .map(|text| text.map(str::to_owned))
    };
    Ok(Merchant {
        name: text(object, "name", "merchant.name", TEXT_CHARS_MAX)?.to_owned(),
        mcc: member("mcc")?,
        city: member("city")?,
        country: member("country")?,
    })
}

pub(super) fn bill(value: &Value) -> Result<Bill, Wrong> {
    let object = object(value, "bill")?;
    let day = text(object, "due_date", "bill.due_date", CODE_CHARS_MAX)?;
    let due_date = jiff::civil::Date::strptime("%Y-%m-%d", day);
    Ok(Bill {
        total: amount(required(object, "total", "bill.total")?, "bill.total")?,
        remaining: amount(required(object, "remaining", "bill.remaining")?, "bill.remaining")?,
        due_date: due_date.map_err(|_| Wrong::new("bill.due_date", "must be a day such as 2026-12-05"))?,
    })
}

fn cardholder(value: &Value) -> Result<Cardholder, Wrong> {
    let object = object(value, "cardholder")?;
    let holder = optional(object, "holder", "cardholder.holder", CODE_CHARS_MAX)?;
    if holder.is_some_and(|holder| !HOLDERS.contains(&holder)) {
        return Err(Wrong::new("cardholder.holder", "must be primary or supplementary"));
    }
    let tier = optional(object, "tier", "cardholder.tier", CODE_CHARS_MAX)?;
    Ok(Cardholder { tier: tier.map(str::to_owned), holder: holder.map(str::to_owned) })
}

/// What is left may be below zero, and its currency is not told: only its form is checked.
fn decimal(text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain(whole) && plain(part) && whole.len() <= 15 && part.len() <= 4 {
        Ok(text.to_owned())
    } else {
        Err(Wrong::new("available_credit", "must be a decimal string such as 1000.00"))
    }
}

/// An RFC 3339 moment: date, time and offset, nothing looser.
///
/// # Errors
/// When it is anything else.
pub fn moment(text: &str, field: &str) -> Result<UnixMs, Wrong> {
    let wrong = || Wrong::new(field, "must be an RFC 3339 time such as 2026-11-22T10:00:00+08:00");
    if !is_rfc3339(text.as_bytes()) {
        return Err(wrong());
    }
    let moment: jiff::Timestamp = text.to_ascii_uppercase().parse().map_err(|_| wrong())?;
    Ok(UnixMs(moment.as_millisecond()))
}

fn is_rfc3339(text: &[u8]) -> bool {
    let fits = |form: &str, part: &[u8]| {
        form.len() == part.len()
            && form.bytes().zip(part).all(|(want, got)| match want {
                b'0' => got.is_ascii_digit(),
                b'T' => matches!(got, b'T' | b't'),
                other => other == *got,
            })
    };
    let Some((head, rest)) = text.split_at_checked(19) else { return false };
    let rest = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            fraction.get(digits..).unwrap_or_default()
        }
        other => other,
    };
    let offset = matches!(rest, [b'Z' | b'z']) || fits("+00:00", rest) || fits("-00:00", rest);
    fits("0000-00-00T00:00:00", head) && offset
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: UnixMs = UnixMs(1_795_312_800_000);

    fn purchase() -> Value {
        json!({
            "transaction_id": "T1", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
            "amount": {"value": "128.50", "currency": "CNY"}, "merchant": {"name": "示例商户"},
            "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
        })
    }

    fn with(path: &str, value: Value) -> Value {
        let mut item = purchase();
        *item.pointer_mut(path).unwrap() = value;
        item
    }

    fn fault(item: &Value) -> String {
        Transaction::parse(item, NOW).unwrap_err().to_string()
    }

    #[test]
    fn a_transaction_reads_with_only_what_is_required() {
        let read = Transaction::parse(&purchase(), NOW).unwrap();
        assert_eq!(read.amount.money().unwrap().decimal(), "128.50");
        assert_eq!(read.occurred_ms, NOW);
        let mut whole = purchase();
        whole["available_credit"] = json!("-12.50");
        whole["cardholder"] = json!({"tier": "gold", "holder": "supplementary"});
        whole["original_transaction_id"] = json!("T0");
        whole["billing_amount"] = json!({"value": "1", "currency": "JPY"});
        let yuan = |value: &str| json!({"value": value, "currency": "CNY"});
        whole["bill"] = json!({"total": yuan("1000"), "remaining": yuan("3.20"), "due_date": "2026-12-05"});
        whole["decline_reason"] = Value::Null;
        whole["something_new"] = json!([1]);
        let read = Transaction::parse(&whole, NOW).unwrap();
        let stored = serde_json::to_value(&read).unwrap();
        assert_eq!(serde_json::from_value::<Transaction>(stored).unwrap(), read);
    }

    #[test]
    fn each_missing_or_wrongly_typed_field_is_named() {
        for name in [
            "transaction_id",
            "customer_id",
            "card_last4",
            "type",
            "amount",
            "merchant",
            "channel",
            "occurred_at",
        ] {
            let mut item = purchase();
            item.as_object_mut().unwrap().remove(name);
            assert_eq!(fault(&item), format!("{name}: is missing"));
            assert!(
                fault(&with(&format!("/{name}"), json!(5))).starts_with(&format!("{name}: must be")),
                "{name}"
            );
        }
        let table = [
            ("/amount/value", json!(128.5), "amount.value: must be a string"),
            ("/amount/value", json!("-0.01"), "amount.value: must not be negative"),
            ("/amount/value", json!("-0.00"), "amount.value: must not be negative"),
            ("/amount/value", json!("1.234"), "amount.value: amount has more decimals than its currency"),
            ("/amount/currency", json!("XXX"), "amount.currency: unknown currency"),
            ("/merchant/name", Value::Null, "merchant.name: is missing"),
            ("/card_last4", json!("12a4"), "card_last4: must be exactly four digits"),
            ("/type", json!("gift"), "type: is none of the known types"),
            ("/channel", json!("fax"), "channel: is none of the known channels"),
            (
                "/transaction_id",
                json!("a\u{0}"),
                "transaction_id: must have 1 to 64 characters, none of them a control character",
            ),
            ("/transaction_id", json!("a".repeat(65)), "transaction_id: is too long"),
            (
                "/occurred_at",
                json!("2026-11-23T10:00:00.001+08:00"),
                "occurred_at: is more than 24 hours ahead",
            ),
        ];
        for (path, value, expected) in table {
            assert_eq!(fault(&with(path, value)), expected);
        }
        assert_eq!(fault(&json!([])), "item: must be an object");
        let mut item = purchase();
        item["bill"] = json!({"total": {"value": "1", "currency": "CNY"}, "due_date": "2026-13-01"});
        assert_eq!(fault(&item), "bill.remaining: is missing");
        item["bill"]["remaining"] = item["bill"]["total"].clone();
        assert_eq!(fault(&item), "bill.due_date: must be a day such as 2026-12-05");
    }

    #[test]
    fn zero_and_a_missing_merchant_of_a_repayment_are_accepted() {
        assert!(Transaction::parse(&with("/amount/value", json!("0.00")), NOW).is_ok());
        for kind in ["repayment", "fee"] {
            let mut item = with("/type", json!(kind));
            item.as_object_mut().unwrap().remove("merchant");
            assert!(Transaction::parse(&item, NOW).is_ok(), "{kind}");
        }
        assert!(Transaction::parse(&with("/merchant/name", json!("商".repeat(300))), NOW).is_ok());
    }

    #[test]
    fn only_rfc_3339_is_a_moment() {
        for good in ["2026-11-22T10:00:00Z", "2026-11-22t10:00:00.123456z", "2026-11-22T10:00:00-05:30"] {
            assert!(moment(good, "at").is_ok(), "{good}");
        }
        for bad in [
            "2026-11-22",
            "2026-11-22 10:00:00Z",
            "2026-11-22T10:00:00",
            "2026-13-22T10:00:00Z",
            "20261122T100000Z",
            "2026-11-22T10:00:00.Z",
            "2026-11-22T10:00Z",
            "",
        ] {
            assert!(moment(bad, "at").is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_json_makes_the_parser_panic(path in 0_usize..9, text in any::<String>(), number in any::<i64>()) {
            let paths = ["/transaction_id", "/customer_id", "/card_last4", "/type", "/amount", "/amount/value", "/amount/currency", "/merchant/name", "/occurred_at"];
            let _ = Transaction::parse(&with(paths[path], json!(text)), NOW);
            let _ = Transaction::parse(&with(paths[path], json!(number)), NOW);
            let _ = Transaction::parse(&with(paths[path], json!({ "value": text })), NOW);
        }
    }
}
