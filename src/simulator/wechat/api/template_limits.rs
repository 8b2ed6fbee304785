//! What each kind of template keyword may hold (类目模板消息参数值内容限制). Characters are counted as UTF-16
//! code units, the strictest reading of the document.

const CURRENCY_SYMBOLS: &[char] = &['¥', '￥', '$', '€', '£', '₩', '฿', '₫', '₹', '₽', '₱', '₺'];

const TEMPLATE_AMOUNT_DIGITS_MAX: usize = 12;
const NOTICE_AMOUNT_DIGITS_MAX: usize = 10;

/// Whether a value fits its keyword in a subscription notice, where amounts are shorter.
pub(crate) fn fits_notice(keyword: &str, value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    fits(keyword, value) && (!keyword.starts_with("amount") || digits <= NOTICE_AMOUNT_DIGITS_MAX)
}

/// Whether a value fits its keyword (`thing4`, `amount2` …). An unknown kind is held to the limit of `thing`.
pub(crate) fn fits(keyword: &str, value: &str) -> bool {
    let kind = keyword.trim_end_matches(|character: char| character.is_ascii_digit());
    if value.chars().any(char::is_control) {
        return false;
    }
    let length = value.encode_utf16().count();
    let within = |characters_max: usize| (1..=characters_max).contains(&length);
    match kind {
        "const" => length <= 20,
        "character_string" => within(32) && value.chars().all(is_plain),
        "letter" => within(32) && value.chars().all(|character| character.is_ascii_alphabetic()),
        "number" => within(32) && is_number(value),
        "symbol" => within(5) && !value.chars().any(char::is_alphanumeric),
        "phone_number" => within(17) && value.chars().all(is_plain),
        "car_number" => within(8),
        "phrase" => within(5) && value.chars().all(is_chinese),
        "name" => {
            if value.chars().any(is_chinese) {
                within(10)
            } else {
                within(20)
            }
        }
        "amount" => is_amount(value),
        "time" => is_time(value),
        "date" => is_date(value),
        _ => within(20),
    }
}

fn is_plain(character: char) -> bool {
    character.is_ascii_graphic() || character == ' '
}

fn is_chinese(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{20000}'..='\u{323af}')
}

fn is_number(value: &str) -> bool {
    let (whole, part) = value.split_once('.').unwrap_or((value, "0"));
    is_digits(whole) && is_digits(part)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// One currency symbol at most, up to twelve digits with decimals, 元 at the end at most.
fn is_amount(value: &str) -> bool {
    let value = value.strip_prefix(CURRENCY_SYMBOLS).unwrap_or(value);
    let value = value.strip_suffix('元').unwrap_or(value);
    is_number(value) && value.bytes().filter(u8::is_ascii_digit).count() <= TEMPLATE_AMOUNT_DIGITS_MAX
}

/// A time of day, a date, both, or a range of them with `~`.
fn is_time(value: &str) -> bool {
    all_of_range(value, |part| match part.split_once(' ') {
        Some((date, time)) => is_calendar_day(date) && is_clock(time),
        None => is_clock(part) || is_calendar_day(part),
    })
}

/// A date, with or without a time of day, or a range of them with `~`.
fn is_date(value: &str) -> bool {
    all_of_range(value, |part| match part.split_once(' ') {
        Some((date, time)) => is_calendar_day(date) && is_clock(time),
        None => is_calendar_day(part),
    })
}

fn all_of_range(value: &str, fits: impl Fn(&str) -> bool) -> bool {
    let mut parts = value.splitn(3, '~').map(str::trim);
    let first = parts.next().is_some_and(&fits);
    first && parts.next().is_none_or(&fits) && parts.next().is_none()
}

/// `15:01` or `15:01:09`
fn is_clock(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let below = |part: &str, end: u32| part.len() == 2 && number(part).is_some_and(|number| number < end);
    match parts.as_slice() {
        [hour, minute] => below(hour, 24) && below(minute, 60),
        [hour, minute, second] => below(hour, 24) && below(minute, 60) && below(second, 60),
        _ => false,
    }
}

/// `2019年10月1日`, `2019-10-01`, `2019/10/01`, `2019.10.01`; the year or the day may be left out with 年月日.
fn is_calendar_day(text: &str) -> bool {
    let between = |part: &str, first: u32, last: u32| {
        number(part).is_some_and(|number| (first..=last).contains(&number))
    };
    let is_year = |part: &str| part.len() == 4 && number(part).is_some();
    for separator in ['-', '/', '.'] {
        let parts: Vec<&str> = text.split(separator).collect();
        if let [year, month, day] = parts.as_slice() {
            return is_year(year) && between(month, 1, 12) && between(day, 1, 31);
        }
    }
    let (year, rest) = match text.split_once('年') {
        Some((year, rest)) => (Some(year), rest),
        None => (None, text),
    };
    let (month, day) = match rest.split_once('月') {
        Some((month, "")) if year.is_some() => (month, "1"),
        Some((month, day)) => (month, day.strip_suffix('日').unwrap_or("")),
        None => return false,
    };
    year.is_none_or(is_year) && between(month, 1, 12) && between(day, 1, 31)
}

fn number(text: &str) -> Option<u32> {
    if is_digits(text) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{fits, fits_notice};
    use crate::wechat::field;

    #[test]
    fn values_are_held_to_the_limits_of_their_keyword() {
        let table = [
            ("thing4", "示例商户", true),
            ("thing4", "二十个字二十个字二十个字二十个字二十个字", true),
            ("thing4", "二十一个字二十一个字二十一个字二十一个字二", false),
            ("thing4", "", false),
            ("thing4", "两\n行", false),
            ("character_string1", "尾号1234", false),
            ("character_string1", "**** 1234", true),
            ("character_string1", "123456789012345678901234567890123", false),
            ("amount2", "¥128.50", true),
            ("amount2", "128.50元", true),
            ("amount2", "0.00", true),
            ("amount2", "¥1,128.50", false),
            ("amount2", "US$128.50", false),
            ("amount2", "-128.50", false),
            ("amount2", "12345678901.23", false),
            ("time3", "2026-01-01 09:30", true),
            ("time3", "2019年10月1日 15:01", true),
            ("time3", "15:01", true),
            ("time3", "15:01~16:00", true),
            ("time3", "24:00", false),
            ("time3", "2026-13-01", false),
            ("time3", "下午三点", false),
            ("date5", "2026年12月8日", true),
            ("date5", "12月8日", true),
            ("date5", "15:01", false),
            ("phrase6", "已通过", true),
            ("phrase6", "申请已经通过", false),
            ("phrase6", "OK", false),
            ("const7", "", true),
            ("phone_number8", "95588", true),
            ("car_number9", "沪A12345D9", false),
            ("name10", "某某", true),
            ("number11", "12.5", true),
            ("number11", "十二", false),
        ];
        for (keyword, value, expected) in table {
            assert_eq!(fits(keyword, value), expected, "{keyword} {value}");
        }
    }

    proptest! {
        /// The server fits its values by rules of its own; these here are the platform's, written a second time.
        #[test]
        fn nothing_that_the_server_sends_is_refused_with_47003(
            value in prop_oneof![
                any::<String>(),
                ".{0,300}",
                "[0-9.,¥$￥元A-Z 年月日:~/\\-]{0,60}",
                "[0-9]{1,40}(\\.[0-9]{0,40})?",
                "[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}( [0-9]{1,2}:[0-9]{1,2})?",
                "(\u{1F469}\u{200D}|e\u{301}|[א-ת]|\u{202E}|<a href=x>|&lt;|\u{0}|\n){0,80}",
            ],
            number in 1_u8..40,
        ) {
            for kind in field::KEYWORDS {
                let keyword = format!("{kind}{number}");
                let fitted = field::fit(&keyword, &value);
                prop_assert!(fits(&keyword, &fitted), "{}: {:?} became {:?}", keyword, value, fitted);
                let fitted = field::fit_subscription(&keyword, &value);
                prop_assert!(fits_notice(&keyword, &fitted), "{}: {:?} became {:?}", keyword, value, fitted);
            }
        }
    }
}
