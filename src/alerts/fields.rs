//! What stands in the fields of a template: our names become the template's keywords, fitted to what they may hold.

use std::collections::BTreeMap;

use crate::config::NoticeTemplate;
use crate::domain::money::Money;
use crate::domain::notice::Notice;
use crate::domain::time::UnixMs;
use crate::domain::transaction::Transaction;
use crate::wechat::field::{fit, fit_subscription, is_blank, prefix, units_max};

use super::merchant;

/// Our names of amounts: what a customer may wish not to see.
const AMOUNTS: [&str; 4] = ["amount", "available_credit", "billing_amount", "minimum"];
const HIDDEN: &str = "已隐藏";

/// The field for what the moment asks to be said (`templates/notices/kindnesses/`).
pub(super) const NOTE: &str = "note";

/// What a transaction can fill in.
pub(super) const OF_TRANSACTIONS: [&str; 9] =
    ["card", "amount", "time", "merchant", "type", "available_credit", "billing_amount", "reason", NOTE];

/// Our name → what is to be said.
pub(super) type Values = BTreeMap<String, String>;

/// What a transaction can fill in.
pub(super) fn of_transaction(transaction: &Transaction) -> Values {
    let merchant = transaction.merchant.as_ref().map(|merchant| merchant.name.as_str());
    let money = |amount: &crate::domain::transaction::Amount| amount.money().map(written);
    let pairs = [
        ("card", Some(transaction.card_last4.as_str().to_owned())),
        ("amount", money(&transaction.amount)),
        ("time", Some(minute(transaction.occurred_ms))),
        ("merchant", merchant.map(str::to_owned)),
        ("type", Some(transaction.kind.title().to_owned())),
        ("available_credit", transaction.available_credit.clone()),
        ("billing_amount", transaction.billing_amount.as_ref().and_then(money)),
        ("reason", transaction.decline_reason.clone()),
    ];
    pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value.filter(|value| !is_blank(value))?)))
        .collect()
}

/// What a notice can fill in: its own fields, and the time of its acceptance.
pub(super) fn of_notice(notice: &Notice, accepted: UnixMs) -> Values {
    let mut values = Values::from([("time".to_owned(), minute(accepted))]);
    let given = notice.fields.iter().filter(|(_, value)| !is_blank(value));
    values.extend(given.map(|(name, value)| (name.clone(), value.clone())));
    values
}

/// The values as somebody reads them who wants no amounts shown.
pub(super) fn hidden(values: &mut Values) {
    values.retain(|name, _| !AMOUNTS.contains(&name.as_str()));
    values.insert("amount".to_owned(), HIDDEN.to_owned());
}

/// The template's data: every configured keyword has a value that it may hold.
pub(super) fn data(
    fields: &BTreeMap<String, String>,
    values: &Values,
    defaults: &BTreeMap<String, String>,
    hide_amounts: bool,
    now: UnixMs,
) -> BTreeMap<String, String> {
    let value_of = |name: &str, keyword: &str| {
        let value = values.get(name).or_else(|| defaults.get(name)).map_or("", String::as_str);
        match prefix(keyword) {
            // The platform takes nothing but digits here: zero is what hides.
            "amount" | "number" if hide_amounts && AMOUNTS.contains(&name) => "0".to_owned(),
            "character_string" | "symbol" if hide_amounts && AMOUNTS.contains(&name) => "***".to_owned(),
            _ if hide_amounts && AMOUNTS.contains(&name) => HIDDEN.to_owned(),
            "time" | "date" => moment(value).unwrap_or_else(|| minute(now)),
            _ if name == "merchant" => merchant::shortened(value, units_max(keyword)),
            _ => value.to_owned(),
        }
    };
    fields.iter().map(|(name, keyword)| (keyword.clone(), fit(keyword, &value_of(name, keyword)))).collect()
}

/// The same for the template of a notice: a subscription notice holds shorter amounts than a template message.
pub(super) fn data_of(
    template: &NoticeTemplate,
    values: &Values,
    defaults: &BTreeMap<String, String>,
    hide_amounts: bool,
    now: UnixMs,
) -> BTreeMap<String, String> {
    let mut data = data(&template.fields, values, defaults, hide_amounts, now);
    if template.way.needs_consent() {
        for (keyword, value) in &mut data {
            *value = fit_subscription(keyword, value);
        }
    }
    data
}

/// `¥1234.50`, `US$12.00`, `JPY 12000`: one sign, no separators.
pub(super) fn written(money: Money) -> String {
    money.display().replace(',', "")
}

/// `2026-11-22 10:00` in Beijing.
pub(super) fn minute(moment: UnixMs) -> String {
    moment.beijing().strftime("%Y-%m-%d %H:%M").to_string()
}

/// Whether a text is a time that the platform's form can show.
pub(super) fn is_moment(text: &str) -> bool {
    moment(text).is_some()
}

/// A time as the bank wrote it, in the platform's form; `None` when it is none.
fn moment(text: &str) -> Option<String> {
    let text = text.trim();
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(minute(UnixMs(moment.as_millisecond())));
    }
    for form in ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y年%m月%d日 %H:%M"] {
        if let Ok(moment) = jiff::civil::DateTime::strptime(form, text) {
            return Some(moment.strftime("%Y-%m-%d %H:%M").to_string());
        }
    }
    for form in ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y年%m月%d日"] {
        if let Ok(day) = jiff::civil::Date::strptime(form, text) {
            return Some(day.strftime("%Y-%m-%d").to_string());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// 2026-11-22 10:00 in Beijing.
    const NOW: UnixMs = UnixMs(1_795_312_800_000);

    fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, keyword)| ((*name).to_owned(), (*keyword).to_owned())).collect()
    }

    fn spend(currency: &str, value: &str, merchant: &str) -> Values {
        let item = json!({
            "transaction_id": "T1", "customer_id": "C1", "card_last4": "1234", "type": "purchase",
            "amount": {"value": value, "currency": currency}, "merchant": {"name": merchant},
            "channel": "pos", "occurred_at": "2026-11-22T02:00:59Z",
        });
        of_transaction(&Transaction::parse(&item, NOW).unwrap())
    }

    fn all() -> BTreeMap<String, String> {
        fields(&[
            ("card", "character_string1"),
            ("amount", "amount2"),
            ("time", "time3"),
            ("merchant", "thing4"),
        ])
    }

    fn rendered(values: &Values, hide_amounts: bool) -> Vec<String> {
        let defaults = fields(&[("merchant", "未提供商户名称")]);
        data(&all(), values, &defaults, hide_amounts, NOW).into_values().collect()
    }

    #[test]
    fn a_purchase_fills_the_four_fields() {
        assert_eq!(
            rendered(&spend("CNY", "1128.50", "示例商户"), false),
            ["¥1128.50", "1234", "示例商户", "2026-11-22 10:00"]
        );
        assert_eq!(
            rendered(&spend("CNY", "0.00", ""), false),
            ["¥0.00", "1234", "未提供商户名称", "2026-11-22 10:00"]
        );
        let long = rendered(&spend("USD", "12.00", &"很长的商户名称".repeat(20)), false);
        assert_eq!((long[0].as_str(), long[2].chars().count()), ("$12.00", 20));
    }

    #[test]
    fn a_transaction_fills_nothing_but_what_is_listed() {
        let item = json!({
            "transaction_id": "T1", "customer_id": "C1", "card_last4": "1234", "type": "declined",
            "amount": {"value": "1.00", "currency": "USD"}, "merchant": {"name": "m"}, "channel": "pos",
            "occurred_at": "2026-11-22T02:00:59Z", "available_credit": "1.00", "decline_reason": "limit",
            "billing_amount": {"value": "7.00", "currency": "CNY"},
        });
        let values = of_transaction(&Transaction::parse(&item, NOW).unwrap());
        let mut listed = OF_TRANSACTIONS.to_vec();
        listed.retain(|name| *name != NOTE);
        listed.sort_unstable();
        assert_eq!(values.keys().map(String::as_str).collect::<Vec<_>>(), listed);
    }

    #[test]
    fn hidden_amounts_are_hidden_in_every_kind_of_field() {
        let values = spend("CNY", "1128.50", "示例商户");
        for (keyword, expected) in
            [("amount2", "0"), ("character_string2", "***"), ("thing2", HIDDEN), ("phrase2", HIDDEN)]
        {
            let data = data(&fields(&[("amount", keyword)]), &values, &fields(&[]), true, NOW);
            assert_eq!(data[keyword], expected);
        }
    }

    #[test]
    fn times_of_the_bank_take_the_platforms_form_and_anything_else_becomes_now() {
        let table = [
            ("2026-12-05", "2026-12-05"),
            ("2026年12月5日", "2026-12-05"),
            ("2026-12-05T10:00:00Z", "2026-12-05 18:00"),
            ("2026-12-05 08:30:15", "2026-12-05 08:30"),
            ("soon", "2026-11-22 10:00"),
            ("", "2026-11-22 10:00"),
        ];
        for (given, expected) in table {
            let values = Values::from([("due".to_owned(), given.to_owned())]);
            let data = data(&fields(&[("due", "time1")]), &values, &fields(&[]), false, NOW);
            assert_eq!(data["time1"], expected, "{given}");
        }
    }

    proptest! {
        #[test]
        fn no_value_of_the_bank_is_refused_by_the_platform(merchant in ".{0,300}", value in "[0-9]{1,13}(\\.[0-9]{1,2})?") {
            let data = data(&all(), &spend("CNY", &value, &merchant), &fields(&[]), false, NOW);
            for (keyword, value) in &data {
                prop_assert_eq!(&fit(keyword, value), value);
                prop_assert!(!value.is_empty());
            }
            prop_assert!(data["amount2"].matches(['¥', ',']).count() <= 1);
        }
    }
}
