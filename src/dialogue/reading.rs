//! Values out of what people write: amounts in digits, capitals and as spoken, counts, months, days, spans of the day,
//! telephone numbers, and which line of a list is meant. Pure; whatever is not clear is no value.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod days;
mod hours;
mod numbers;

use jiff::Span;
use jiff::civil::Date;

use self::numbers::{CHARACTERS_MAX, Found, characters, is_hidden, numbers, numeral};
use super::state::Item;
use crate::domain::money::Money;
use crate::understanding::normalise;

pub use self::days::days;
pub use self::hours::{OFF, hours, hours_label};

/// Largest amount that is understood, in fen: a hundred million yuan.
const FEN_MAX: i64 = 10_000_000_000;
/// Characters that a sentence and a line must have in common.
const SHARED_MIN: usize = 2;
/// Characters around the number of a line that is a number: 期, 尾号, 每月…日.
const WORDS_OF_NUMBER_MAX: usize = 3;
/// Words for the months, and for the statements, that lie a fixed number back; the longer before the shorter.
const MONTHS: [(&str, i64); 9] = [
    ("上上个月", 2),
    ("上上月", 2),
    ("上个月", 1),
    ("上月", 1),
    ("这个月", 0),
    ("本月", 0),
    ("当月", 0),
    ("上一期", 1),
    ("上期", 1),
];
/// Words for the years that lie a fixed number back.
pub(super) const YEARS: [(&str, i16); 3] = [("前年", 2), ("去年", 1), ("今年", 0)];
/// Words around the one that matters when a line is named: 我要第二笔, 星巴克那笔, 换成24期.
const AROUND: [&str; 28] = [
    "应该是",
    "不对",
    "不是",
    "还是",
    "改成",
    "改为",
    "改到",
    "换成",
    "换为",
    "换到",
    "改",
    "换",
    "我要",
    "我选",
    "就选",
    "选择",
    "选",
    "要",
    "就",
    "的那",
    "那一",
    "这一",
    "那",
    "这",
    "笔",
    "个",
    "张",
    "的",
];

/// An amount of renminbi as a decimal such as `5000.00`; `0.00` is one. In a longer sentence, `in_passing`, only one
/// that is marked as money or compared counts: `5000元`, `低于100`. `None` for none, for several and for what is not
/// clear.
#[must_use]
pub fn amount(text: &str, in_passing: bool) -> Option<String> {
    let all = numbers(text)?;
    let found: Vec<&Found> = all.iter().filter(|found| !found.counts_something() && !found.lone).collect();
    let marked: Vec<&Found> = found.iter().copied().filter(|found| found.is_marked()).collect();
    let one = match (marked.as_slice(), found.as_slice()) {
        ([one], _) => one,
        ([], [one]) if !in_passing => one,
        _ => return None,
    };
    (0..=FEN_MAX).contains(&one.value).then(|| Money::of_fen(one.value).decimal())
}

/// Whether a text names a number below nothing, which is no answer to any question: `-5`, `负五百`. A hyphen between digits
/// is none: `2026-12-31`.
#[must_use]
pub fn is_negative(text: &str) -> bool {
    let is_digit =
        |c: char| c.is_ascii_digit() || "０１２３４５６７８９一二三四五六七八九十百千万两".contains(c);
    let mut before = None;
    let mut signed = false;
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        if signed && is_digit(c) {
            return true;
        }
        signed = "-－−负".contains(c) && !before.is_some_and(is_digit);
        before = Some(c);
    }
    false
}

/// A whole number, followed by one of these units where it stands `in_passing`.
#[must_use]
pub fn count(text: &str, units: &[String], in_passing: bool) -> Option<i64> {
    let all = numbers(text)?;
    let whole = |found: &&Found| found.value % 100 == 0;
    let unit = |found: &&Found| units.iter().any(|unit| found.after.starts_with(unit.as_str()));
    let with_unit: Vec<&Found> = all.iter().filter(whole).filter(unit).collect();
    match (with_unit.as_slice(), all.as_slice()) {
        ([one], _) => Some(one.value / 100),
        ([], [one]) if !in_passing && whole(&one) => Some(one.value / 100),
        _ => None,
    }
}

/// The words for a month that lies a fixed number back, as they stand in a text.
pub(super) fn month_words(text: &str) -> Option<&'static str> {
    MONTHS.iter().map(|(words, _)| *words).find(|words| text.contains(words))
}

/// A month as `2026-10`; one without a year is the latest that has begun.
#[must_use]
pub fn month(text: &str, today: Date) -> Option<String> {
    let back = |months: i64| today.first_of_month().saturating_sub(Span::new().months(months));
    let named = MONTHS.iter().find(|(words, _)| text.contains(words)).map(|(_, months)| back(*months));
    let date = named.or_else(|| {
        let all = numbers(text)?;
        let month = all.iter().find(|found| found.after.starts_with('月') && found.value % 100 == 0)?;
        let number = i8::try_from(month.value / 100).ok().filter(|month| (1..=12).contains(month))?;
        let year =
            all.iter().find(|found| found.after.starts_with('年')).map(|found| year(found.value / 100));
        let year = match year {
            Some(Some(year)) => Some(year),
            Some(None) => return None,
            None => {
                let named = YEARS.iter().find(|(words, _)| month.before.ends_with(words));
                named.map(|(_, back)| today.year() - back)
            }
        };
        let this_year = Date::new(today.year(), number, 1).ok()?;
        match year {
            Some(year) => Date::new(year, number, 1).ok().filter(|_| (1990..=2200).contains(&year)),
            None if this_year <= today => Some(this_year),
            None => Date::new(today.year() - 1, number, 1).ok(),
        }
    })?;
    Some(date.strftime("%Y-%m").to_string())
}

/// A year as it is written: `26年` is 2026.
fn year(written: i64) -> Option<i16> {
    let year = i16::try_from(written).ok()?;
    Some(if year < 100 { 2000 + year } else { year })
}

/// A day as `2026-11-22`; one without a year is the nearest that lies ahead.
#[must_use]
pub fn date(text: &str, today: Date) -> Option<String> {
    let ahead = |days: i64| today.saturating_add(Span::new().days(days));
    let named = [("今天", 0), ("明天", 1), ("大后天", 3), ("后天", 2)];
    let named = named.into_iter().find(|(words, _)| text.contains(words)).map(|(_, days)| ahead(days));
    let date = named.or_else(|| {
        let all = numbers(text)?;
        let at = |unit: &str| {
            all.iter().find(|found| found.after.starts_with(unit)).map(|found| found.value / 100)
        };
        let day = i8::try_from(at("日").or_else(|| at("号"))?).ok()?;
        let next_month = text.contains("下个月") || text.contains("下月");
        let base =
            if next_month { today.first_of_month().saturating_add(Span::new().months(1)) } else { today };
        let month = match at("月") {
            Some(month) => i8::try_from(month).ok()?,
            None => base.month(),
        };
        let year = match at("年") {
            Some(written) => Some(year(written)?),
            None => None,
        };
        let date = Date::new(year.unwrap_or(base.year()), month, day).ok()?;
        if date >= today || year.is_some() {
            return Some(date);
        }
        Some(if at("月").is_some() {
            date.saturating_add(Span::new().years(1))
        } else {
            date.saturating_add(Span::new().months(1))
        })
    });
    let iso = || text.trim().parse::<Date>().ok();
    date.or_else(iso).map(|date| date.to_string())
}

/// The only mobile number in a text.
#[must_use]
pub fn phone(text: &str) -> Option<String> {
    let plain: String = characters(text).into_iter().filter(|c| *c != '-').collect();
    let mut runs = plain.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    let run = runs.next().filter(|run| run.len() == 11 && run.starts_with('1'))?;
    runs.next().is_none().then(|| run.to_owned())
}

/// The one line of a list that a text names: 第二笔, 星巴克那笔, 尾号5678.
pub(super) fn line<'a>(text: &str, items: &'a [Item]) -> Option<&'a Item> {
    let plain = normalise(text);
    if plain.is_empty() || plain.chars().count() > CHARACTERS_MAX || text.chars().any(is_hidden) {
        return None;
    }
    if let Some(place) = ordinal(&plain) {
        return items.get(place.checked_sub(1)?);
    }
    let plain = in_digits(&plain);
    let words = AROUND.iter().fold(plain.clone(), |words, around| words.replace(around, ""));
    let words = words.trim_end_matches(['吧', '呢', '啊', '呀']);
    let named = |item: &&Item| {
        let label = normalise(&item.label);
        // Of an amount in a note he may say the yuan alone.
        let note = item.note.as_deref().map(normalise).unwrap_or_default();
        let says = label.chars().count() > 1 && holds(&plain, &label, true);
        let in_line = || holds(&label, words, true) || holds(&note, words, false);
        says || (words.chars().count() > 1 && in_line())
    };
    let mut found = items.iter().filter(named);
    let one = found.next()?;
    found.next().is_none().then_some(one)
}

/// Whether words stand in a text without splitting a number: 15日 does not hold 5日. `whole` says this of their end too.
fn holds(text: &str, words: &str, whole: bool) -> bool {
    let is_digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    text.match_indices(words).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
        let splits_front = is_digit(before) && is_digit(found.chars().next());
        let splits_end = is_digit(after) && is_digit(found.chars().next_back());
        !(splits_front || whole && splits_end)
    })
}

/// A text whose one number of periods or day stands as lines show it: 二十四期 → 24期, 十五号 → 15日.
fn in_digits(plain: &str) -> String {
    let all = numbers(plain).unwrap_or_default();
    let mut counted =
        all.iter().filter(|found| found.after.starts_with(['期', '日', '号']) && found.value % 100 == 0);
    match (counted.next(), counted.next()) {
        (Some(Found { value, before, after, .. }), None) => {
            let after = after.strip_prefix('号').map_or(after.clone(), |after| format!("日{after}"));
            format!("{before}{}{after}", value / 100)
        }
        _ => plain.to_owned(),
    }
}

/// What a text counts when it names a line by its place: 笔 of 第二笔.
pub(super) fn counted_by(text: &str) -> Option<char> {
    let plain = normalise(text);
    ordinal(&plain)?;
    let (_, rest) = plain.split_once('第')?;
    let (_, used, _) = numeral(&rest.chars().collect::<Vec<_>>())?;
    Some(rest.chars().nth(used).unwrap_or('个'))
}

/// The one line that a longer sentence mentions: by its place, or by the longest words that they share and no other
/// line has.
pub(super) fn mentioned<'a>(sentence: &str, items: &'a [Item]) -> Option<&'a Item> {
    let plain = normalise(sentence);
    if let Some(place) = ordinal(&plain) {
        return items.get(place.checked_sub(1)?);
    }
    let plain = in_digits(&plain);
    let shared = |item: &Item| {
        let label = normalise(&item.label);
        // 3期, 尾号6688: the number is what matters.
        let words = label.chars().filter(|c| !c.is_ascii_digit()).count();
        let is_number = words < label.chars().count() && words <= WORDS_OF_NUMBER_MAX;
        let number = label.trim_matches(|c: char| !c.is_ascii_digit());
        if is_number && !holds(&plain, number, true) { 0 } else { longest_shared(&plain, &label) }
    };
    let shared: Vec<usize> = items.iter().map(shared).collect();
    let most = shared.iter().copied().max().filter(|most| *most >= SHARED_MIN)?;
    let mut with_most = items.iter().zip(&shared).filter(|(_, shared)| **shared == most);
    let (item, _) = with_most.next()?;
    with_most.next().is_none().then_some(item)
}

/// Characters of the longest piece that two texts have in common.
fn longest_shared(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut ending = vec![0_usize; other.len()];
    let mut longest = 0;
    for c in one.chars().take(CHARACTERS_MAX) {
        let mut diagonal = 0;
        for (ends_here, wanted) in ending.iter_mut().zip(&other) {
            let before = *ends_here;
            *ends_here = if c == *wanted { diagonal + 1 } else { 0 };
            longest = longest.max(*ends_here);
            diagonal = before;
        }
    }
    longest
}

/// 第二笔 → 2.
fn ordinal(plain: &str) -> Option<usize> {
    let (_, rest) = plain.split_once('第')?;
    let (value, used, _) = numeral(&rest.chars().collect::<Vec<_>>())?;
    let counted = rest.chars().nth(used).is_none_or(|c| "笔个张条项种期家".contains(c));
    usize::try_from(value / 100).ok().filter(|_| counted && value % 100 == 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::state::{Action, Item};
    use super::*;

    #[test]
    fn amounts_are_read_as_people_write_them() {
        let table = [
            ("5000", "5000.00"),
            ("5,000.5元", "5000.50"),
            ("五千", "5000.00"),
            ("两万三", "23000.00"),
            ("1.5w", "15000.00"),
            ("1万5", "15000.00"),
            ("1万5千块", "15000.00"),
            ("三千零五十元", "3050.00"),
            ("一万零五百", "10500.00"),
            ("伍仟叁佰元贰角壹分", "5300.21"),
            ("壹万贰仟叁佰肆拾伍元整", "12345.00"),
            ("三块五", "3.50"),
            ("￥８８．８", "88.80"),
            ("十二块", "12.00"),
            ("一百二", "120.00"),
            ("还3k吧", "3000.00"),
            ("一千五", "1500.00"),
            ("零", "0.00"),
            ("二", "2.00"),
        ];
        for (text, decimal) in table {
            assert_eq!(amount(text, false).as_deref(), Some(decimal), "{text}");
        }
        for text in [
            "",
            "{{7*7}}",
            "\u{200b}",
            "元",
            "12期",
            "1 or 1=1",
            "99999999999999999999",
            "🙂",
            "5\u{200b}00",
            "\u{200b}500",
            "\u{202e}005",
            "1.234",
            "小一点的",
        ] {
            assert_eq!(amount(text, false), None, "{text}");
        }
    }

    #[test]
    fn what_is_below_nothing_is_told_from_a_hyphen() {
        for text in ["-5", "－５", "− 500", "还-5元", "负五百"] {
            assert!(is_negative(text), "{text}");
        }
        for text in ["5", "2026-12-31", "138-0013-8001", "10-12", "-", "", "负责人", "k-pop"] {
            assert!(!is_negative(text), "{text}");
        }
    }

    #[test]
    fn in_passing_only_what_is_marked_counts() {
        let periods = ["期".to_owned()];
        let sentence = "把尾号1234的这笔账单分12期";
        assert_eq!((amount(sentence, true), count(sentence, &periods, true)), (None, Some(12)));
        let sentence = "账单里拿五千分十二期";
        assert_eq!(
            (amount(sentence, true).as_deref(), count(sentence, &periods, true)),
            (Some("5000.00"), Some(12))
        );
        assert_eq!(amount("还1234", true), None);
        assert_eq!(count("24", &periods, false), Some(24));
        for (text, expected) in [
            ("低于100不提醒", Some("100.00")),
            ("100以下别提醒", Some("100.00")),
            ("１００块以下的就不用发了", Some("100.00")),
            ("五百以下不提醒", Some("500.00")),
            ("一千五以下不用提醒我", Some("1500.00")),
            ("一百零五元以上才提醒", Some("105.00")),
            ("两千块以上再提醒", Some("2000.00")),
            ("1,000元以上提醒", Some("1000.00")),
            ("2万以上提醒", Some("20000.00")),
            ("十二块五以下", None),
            ("尾号1234低于50不提醒", Some("50.00")),
            ("低于99.9元不提醒", Some("99.90")),
            ("小额不提醒", None),
            ("金额小一点的不提醒", None),
            ("五块以下不提醒", Some("5.00")),
            ("50到100不提醒", None),
            ("低于1.234不提醒", None),
            ("99999999999999999999以下", None),
            ("2", None),
            ("二", None),
        ] {
            assert_eq!(amount(text, true).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn months_and_days_are_the_nearest() {
        let today = Date::constant(2026, 11, 22);
        for (text, wanted) in [
            ("上个月的账单", "2026-10"),
            ("3月", "2026-03"),
            ("去年12月", "2025-12"),
            ("前年3月", "2024-03"),
            ("上一期", "2026-10"),
            ("12月", "2025-12"),
            ("2025年八月", "2025-08"),
            ("25年8月", "2025-08"),
            ("这个月", "2026-11"),
        ] {
            assert_eq!(month(text, today).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!((month("13月", today), month("三个月", today)), (None, None));
        for (text, wanted) in [
            ("明天", "2026-11-23"),
            ("25号", "2026-11-25"),
            ("5号", "2026-12-05"),
            ("1月3日", "2027-01-03"),
            ("27年1月3日", "2027-01-03"),
            ("2026-12-31", "2026-12-31"),
        ] {
            assert_eq!(date(text, today).as_deref(), Some(wanted), "{text}");
        }
        assert_eq!(date("32号", today), None);
    }

    #[test]
    fn a_line_is_named_by_place_or_words() {
        let item = |label: &str, note: &str| Item {
            label: label.to_owned(),
            note: Some(note.to_owned()),
            action: Action::Leave,
        };
        let items = [item("晴空航旅", "¥1,901.18"), item("星河超市", "¥620.00"), item("和风电器", "¥999.00")];
        let named = |text: &str| line(text, &items).map(|item| item.label.as_str());
        assert_eq!(named("第二笔"), Some("星河超市"));
        assert_eq!(named("航旅那笔"), Some("晴空航旅"));
        assert_eq!(named("就要和风电器的"), Some("和风电器"));
        assert_eq!((named("第九笔"), named("随便"), named("🙂")), (None, None, None));
        assert_eq!((named("620那笔"), named("20那笔")), (Some("星河超市"), None));
        assert_eq!(
            (counted_by("第二笔"), counted_by("改成第2个"), counted_by("两笔")),
            (Some('笔'), Some('个'), None)
        );
        assert_eq!(phone("我的新号 138-0013-8001"), Some("13800138001".to_owned()));
        assert_eq!(phone("12345"), None);
    }

    #[test]
    fn a_line_is_named_by_a_whole_number() {
        let item = |label: &str| Item { label: label.to_owned(), note: None, action: Action::Leave };
        let items = ["3期", "6期", "12期", "24期", "每月5日", "每月15日"].map(item);
        let named = |text: &str| line(text, &items).map(|item| item.label.as_str());
        for (text, label) in [
            ("换成24期", Some("24期")),
            ("二十四期吧", Some("24期")),
            ("分十二期", Some("12期")),
            ("13期", None),
            ("第二个", Some("6期")),
            ("改到15号", Some("每月15日")),
            ("十五号", Some("每月15日")),
            ("5号", Some("每月5日")),
            ("25号", None),
        ] {
            assert_eq!(named(text), label, "{text}");
        }
        let mentions = |text: &str| mentioned(text, &items).map(|item| item.label.as_str());
        assert_eq!((mentions("账单分十二期还"), mentions("把账单分13期")), (Some("12期"), None));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_trouble(
            text in ".{0,60}",
            spoken in "[零一二两三五十百千万亿年月日号期0-9点半到晚早上.,:元块角]{0,24}",
        ) {
            let today = Date::constant(2026, 11, 22);
            for text in [&text, &spoken] {
                for in_passing in [false, true] {
                    if let Some(value) = amount(text, in_passing) {
                        prop_assert!(Money::parse(&value, "CNY").is_ok(), "{value}");
                    }
                    let _ = count(text, &[], in_passing);
                }
                if let Some(value) = hours(text) {
                    prop_assert!(hours_label(&value).is_some(), "{value}");
                }
                let _ = (month(text, today), date(text, today), phone(text), in_digits(text), counted_by(text));
            }
        }
    }
}
