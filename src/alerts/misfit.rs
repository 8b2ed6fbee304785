//! Whether the fields of a configured template suit what is sent in them: tried out with made-up values, usual and
//! longest, before a customer is the first to see a line that says nothing.

use std::collections::BTreeMap;

use super::digest::OF_DIGEST;
use super::fields::{NOTE, OF_TRANSACTIONS, data, data_of, is_moment};
use super::kinds::DIGEST;
use crate::config::NoticeTemplate;
use crate::domain::notice;
use crate::domain::time::UnixMs;
use crate::wechat::field::{KEYWORDS, prefix};

/// 2026-11-22 10:00 in Beijing; any moment will do.
const NOW: UnixMs = UnixMs(1_795_312_800_000);

/// What stands for the value of a field that only the bank knows, when its longest is shown.
const OF_THE_BANK: &str =
    "银行写在这里的内容，可以很长很长很长很长很长 REF-2026-0123456789-0123456789-0123456789";

/// One configured field that does not suit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// Our name of the field.
    pub field: String,
    /// What is wrong, and what to do.
    pub message: String,
    /// Whether the customer would read nothing in it, or something wrong. Else it is only odd.
    pub is_fault: bool,
}

/// Tries out every field of a template that is configured for the notice `name`.
#[must_use]
pub fn misfits(name: &str, template: &NoticeTemplate) -> Vec<Misfit> {
    // What the bank writes in the fields of its own notices cannot be known here.
    let known: Option<(&str, &[&str])> = match name {
        DIGEST => Some(("digest", &OF_DIGEST)),
        name if notice::KINDS.contains(&name) => None,
        _ => Some(("transaction", &OF_TRANSACTIONS)),
    };
    let found = template.fields.iter().filter_map(|(field, keyword)| {
        let (is_fault, message) = misfit(field, keyword, known)?;
        Some(Misfit { field: field.clone(), message, is_fault })
    });
    found.collect()
}

/// The template's data with the longest values, as it would leave: keyword and value.
#[must_use]
pub fn sample(template: &NoticeTemplate) -> BTreeMap<String, String> {
    let longest = |field: &String| {
        (field.clone(), samples(field).last().cloned().unwrap_or_else(|| OF_THE_BANK.to_owned()))
    };
    let values = template.fields.keys().map(longest).collect();
    data_of(template, &values, &BTreeMap::new(), false, NOW)
}

fn misfit(field: &str, keyword: &str, known: Option<(&str, &[&str])>) -> Option<(bool, String)> {
    let kind = prefix(keyword);
    if !KEYWORDS.contains(&kind) {
        let nearest = KEYWORDS.iter().min_by_key(|known| strsim::levenshtein(kind, known))?;
        return Some((
            false,
            format!("`{keyword}` is of no kind that WeChat's documents know; the nearest is `{nearest}`"),
        ));
    }
    if let Some((what, names)) = known.filter(|(_, names)| !names.contains(&field)) {
        let nearest = names.iter().min_by_key(|known| strsim::levenshtein(field, known))?;
        return Some((
            false,
            format!("no {what} has a `{field}`, so this line stays empty; the nearest is `{nearest}`"),
        ));
    }
    let samples = samples(field);
    let usual = samples.first()?;
    if matches!(kind, "time" | "date") && !is_moment(usual) {
        return Some((
            true,
            format!("`{keyword}` holds only times, and {field} is none; choose another line"),
        ));
    }
    let lost = samples.iter().find(|sample| is_lost(sample, &shown(field, keyword, sample)));
    if let Some(sample) = lost {
        return Some((
            true,
            format!("`{keyword}` cannot hold a {field} such as {sample:?}; choose another line"),
        ));
    }
    let shown = shown(field, keyword, usual);
    let bare = |text: &str| text.replace(['¥', ' '], "");
    (bare(&shown) != bare(usual))
        .then(|| (false, format!("`{keyword}` cuts a usual {field}: {usual:?} reads {shown:?}")))
}

fn shown(field: &str, keyword: &str, value: &str) -> String {
    let fields = BTreeMap::from([(field.to_owned(), keyword.to_owned())]);
    let values = BTreeMap::from([(field.to_owned(), value.to_owned())]);
    data(&fields, &values, &BTreeMap::new(), false, NOW).into_values().next().unwrap_or_default()
}

/// Nothing of the value is left but what stands in for nothing.
fn is_lost(value: &str, shown: &str) -> bool {
    matches!(shown, "-" | "无" | "0" | "00:00" | "NA") && shown != value
}

/// Made-up values of one of our fields, the usual first and the longest last. A field that only the bank knows has
/// none: what the bank will write in it cannot be told.
fn samples(field: &str) -> Vec<String> {
    let texts: &[&str] = match field {
        "card" => &["1234"],
        "amount" | "available_credit" | "billing_amount" | "minimum" => &["¥128.50", "¥9999999999.99"],
        "time" | "due_date" | "from" => &["2026-12-05 08:30"],
        "merchant" => {
            &["示例商户", "STAR COFFEE 0012", "示例市示例区示例大道购物中心示例商户有限责任公司一号店"]
        }
        "type" => &["消费", "分期入账"],
        NOTE => &["可能重复扣款，请核对", "US$12.00，折合¥86.40"],
        _ => &[],
    };
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NoticeWay;

    fn of(name: &str, field: &str, keyword: &str) -> Option<(bool, String)> {
        let fields = BTreeMap::from([(field.to_owned(), keyword.to_owned())]);
        let template = NoticeTemplate { template_id: "T".to_owned(), fields, way: NoticeWay::Template };
        misfits(name, &template).pop().map(|misfit| (misfit.is_fault, misfit.message))
    }

    #[test]
    fn usual_templates_suit() {
        for (field, keyword) in [
            ("card", "character_string1"),
            ("card", "thing1"),
            ("card", "number7"),
            ("amount", "amount2"),
            ("amount", "character_string2"),
            ("amount", "thing2"),
            ("time", "time3"),
            ("time", "date3"),
            ("time", "character_string3"),
            ("merchant", "thing4"),
            ("type", "phrase5"),
        ] {
            assert_eq!(of("spend", field, keyword), None, "{field} {keyword}");
        }
        assert_eq!(of("bill_due", "anything_of_the_bank", "thing9"), None);
    }

    #[test]
    fn what_would_read_as_nothing_is_a_fault_and_what_is_odd_is_told() {
        for (field, keyword, is_fault, words) in [
            ("merchant", "amount4", true, "cannot hold a merchant"),
            ("merchant", "character_string4", true, "cannot hold a merchant"),
            ("merchant", "time4", true, "holds only times"),
            ("merchant", "phrase4", true, "STAR COFFEE"),
            ("amount", "time2", true, "holds only times"),
            ("time", "phrase3", true, "cannot hold a time"),
            ("card", "phrase1", true, "cannot hold a card"),
            ("merchant", "thng4", false, "the nearest is `thing`"),
            ("merchnt", "thing4", false, "the nearest is `merchant`"),
        ] {
            let (found, message) = of("spend", field, keyword).expect(field);
            assert_eq!(found, is_fault, "{field} {keyword}: {message}");
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn the_sample_shows_the_longest_values_as_they_would_leave() {
        let fields = [("amount", "amount2"), ("merchant", "thing4")];
        let fields = fields.map(|(name, keyword)| (name.to_owned(), keyword.to_owned())).into();
        let sample =
            sample(&NoticeTemplate { template_id: "T".to_owned(), fields, way: NoticeWay::Template });
        assert_eq!(sample["amount2"], "¥9999999999.99");
        assert_eq!(sample["thing4"].chars().count(), 20);
    }
}
