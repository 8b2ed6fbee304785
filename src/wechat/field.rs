//! Values of template fields, made to fit the limits that the platform checks (error 47003).
//!
//! The rule hangs on the keyword without its number: `thing4` follows `thing`. Characters are counted as UTF-16
//! units, the most cautious reading of "characters". A value is never empty: the platform refuses that too.

use std::borrow::Cow;

const ELLIPSIS: &str = "…";
const ASCII_ELLIPSIS: &str = "...";

/// Every kind of keyword that the documents name (WeChat docs, 类目模板消息参数值内容限制, 订阅通知).
pub const KEYWORDS: [&str; 15] = [
    "thing",
    "character_string",
    "time",
    "date",
    "amount",
    "number",
    "phone_number",
    "car_number",
    "const",
    "enum",
    "phrase",
    "name",
    "letter",
    "symbol",
    "short_thing",
];

/// One field rule: which characters, how many, what stands where nothing is left.
struct Rule {
    keeps: fn(char) -> bool,
    units_max: usize,
    ellipsis: &'static str,
    placeholder: &'static str,
}

/// The value as it may stand in the field `keyword`.
///
/// Characters that the field has no room for go; line breaks and tabs become one space; what is too long ends in an
/// ellipsis where the field can hold one. What has no content left becomes a neutral sign (`-`, for `phrase` and
/// `car_number` `无`, for numbers `0`, for times `00:00`).
#[must_use]
pub fn fit(keyword: &str, value: &str) -> String {
    match prefix(keyword) {
        "amount" => amount(value),
        "number" => number(value),
        other => fit_to(&rule(other), value),
    }
}

/// The keyword without the number at its end.
#[must_use]
pub fn prefix(keyword: &str) -> &str {
    keyword.trim_end_matches(|character: char| character.is_ascii_digit())
}

fn rule(prefix: &str) -> Rule {
    let text = |units_max| Rule { keeps: everything, units_max, ellipsis: ELLIPSIS, placeholder: "-" };
    let whole = |keeps, units_max, placeholder| Rule { keeps, units_max, ellipsis: "", placeholder };
    match prefix {
        "character_string" => {
            Rule { keeps: is_ascii_text, units_max: 32, ellipsis: ASCII_ELLIPSIS, placeholder: "-" }
        }
        "time" | "date" => whole(is_of_time, 64, "00:00"),
        "phone_number" => whole(is_of_phone, 17, "-"),
        "car_number" => whole(is_of_plate, 8, "无"),
        // Only values that were approved beforehand count here; an ellipsis would make any of them another one.
        "const" | "enum" => whole(everything, 20, "-"),
        "phrase" => whole(is_chinese, 5, "无"),
        "name" => whole(everything, 10, "-"),
        "letter" => whole(|character| character.is_ascii_alphabetic(), 32, "NA"),
        "symbol" => whole(|character| character.is_ascii_punctuation(), 5, "-"),
        // Undocumented; the shortest text that any field has.
        "short_thing" => text(5),
        // `thing`, and any that comes later.
        _ => text(20),
    }
}

fn fit_to(rule: &Rule, value: &str) -> String {
    let mut kept = String::with_capacity(value.len());
    for character in value.chars() {
        let character = if character.is_whitespace() { ' ' } else { character };
        let doubled = character == ' ' && (kept.is_empty() || kept.ends_with(' '));
        if !doubled && !is_unprintable(character) && (rule.keeps)(character) {
            kept.push(character);
        }
    }
    let kept = shorten(kept.trim_end(), rule.units_max, rule.ellipsis);
    if kept.is_empty() { rule.placeholder.to_owned() } else { kept.into_owned() }
}

fn shorten<'text>(text: &'text str, units_max: usize, ellipsis: &str) -> Cow<'text, str> {
    if units(text) <= units_max {
        return Cow::Borrowed(text);
    }
    let room = units_max - units(ellipsis);
    let mut used = 0;
    let fitting = |character: &char| {
        used += character.len_utf16();
        used <= room
    };
    let kept: String = text.chars().take_while(fitting).collect();
    Cow::Owned(format!("{}{ellipsis}", kept.trim_end()))
}

fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// At most one currency symbol, at most 12 digits with at most one point, perhaps 元 at the end; no separators, no
/// letters, no sign. Never cuts a digit of the whole part: a number that is too long is not shown at all.
fn amount(value: &str) -> String {
    const DIGITS_MAX: usize = 12;
    let symbol = value.chars().find(|character| is_currency_symbol(*character));
    let digits = number_within(value, DIGITS_MAX);
    let yuan = if symbol.is_none() && value.trim_end().ends_with('元') { "元" } else { "" };
    match digits {
        Some(digits) => format!("{}{digits}{yuan}", symbol.map(String::from).unwrap_or_default()),
        None => "0".to_owned(),
    }
}

fn number(value: &str) -> String {
    const DIGITS_MAX: usize = 32;
    number_within(value, DIGITS_MAX).unwrap_or_else(|| "0".to_owned())
}

/// The digits of `value` with the first point that stands between two of them. Decimals that do not fit are left
/// out together; `None` without digits or when the whole part alone does not fit.
fn number_within(value: &str, digits_max: usize) -> Option<String> {
    let (whole, part) = value.split_once('.').unwrap_or((value, ""));
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (whole, part) = (digits(whole), digits(part));
    if whole.is_empty() || whole.len() > digits_max {
        return None;
    }
    let fits = !part.is_empty() && whole.len() + part.len() <= digits_max;
    Some(if fits { format!("{whole}.{part}") } else { whole })
}

fn everything(_: char) -> bool {
    true
}

fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{FEFF}')
}

fn is_ascii_text(character: char) -> bool {
    character.is_ascii_graphic() || character == ' '
}

fn is_of_time(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, ':' | '-' | '/' | '.' | '~' | ' ' | '年' | '月' | '日')
}

fn is_of_phone(character: char) -> bool {
    character.is_ascii_digit() || matches!(character, '+' | '-' | '*' | '(' | ')' | ' ')
}

fn is_of_plate(character: char) -> bool {
    character.is_ascii_alphanumeric() || is_chinese(character)
}

fn is_chinese(character: char) -> bool {
    matches!(character, '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}')
}

fn is_currency_symbol(character: char) -> bool {
    matches!(character, '$' | '¥' | '￥' | '£' | '€' | '₩' | '฿' | '₽' | '₫' | '₹')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn values_are_fitted_to_their_field() {
        let table = [
            ("thing4", "示例商户", "示例商户"),
            (
                "thing4",
                "一二三四五六七八九十一二三四五六七八九十",
                "一二三四五六七八九十一二三四五六七八九十",
            ),
            (
                "thing4",
                "一二三四五六七八九十一二三四五六七八九十甲",
                "一二三四五六七八九十一二三四五六七八九…",
            ),
            ("thing1", "  a\r\n\tb\u{0}\u{200B}  ", "a b"),
            ("thing1", "", "-"),
            ("thing1", "\n", "-"),
            ("thing1", "😀😀😀😀😀😀😀😀😀😀😀", "😀😀😀😀😀😀😀😀😀…"),
            ("character_string1", "尾号1234", "1234"),
            ("character_string1", "尾号", "-"),
            ("character_string1", "123456789012345678901234567890123", "12345678901234567890123456789..."),
            ("time3", "2026-01-01 09:30", "2026-01-01 09:30"),
            ("time3", "2019年10月1日 15:01", "2019年10月1日 15:01"),
            ("time3", "soon", "00:00"),
            ("amount2", "¥1,234.50", "¥1234.50"),
            ("amount2", "128.50", "128.50"),
            ("amount2", "US$1,234,567.89", "$1234567.89"),
            ("amount2", "JPY 12,000", "12000"),
            ("amount2", "-¥3.00", "¥3.00"),
            ("amount2", "8.00元", "8.00元"),
            ("amount2", "¥¥8", "¥8"),
            ("amount2", "0.00", "0.00"),
            ("amount2", "99999999999.99", "99999999999"),
            ("amount2", "9999999999999", "0"),
            ("amount2", "", "0"),
            ("phrase5", "已发放成功啦", "已发放成功"),
            ("phrase5", "OK", "无"),
            ("name6", "欧阳示例先生的名字很长很长", "欧阳示例先生的名字很"),
            ("number7", "12期", "12"),
            ("number7", "-", "0"),
            ("letter8", "abc-1", "abc"),
            ("symbol9", "***-***", "***-*"),
            ("phone_number10", "+86 138****0000 转", "+86 138****0000"),
            ("car_number11", "沪A·12345678", "沪A123456"),
            ("const12", "成功", "成功"),
            ("later13", "x", "x"),
        ];
        for (keyword, value, expected) in table {
            assert_eq!(fit(keyword, value), expected, "{keyword} {value:?}");
        }
    }

    #[test]
    fn the_prefix_is_the_keyword_without_its_number() {
        for (keyword, expected) in
            [("thing4", "thing"), ("character_string12", "character_string"), ("x", "x")]
        {
            assert_eq!(prefix(keyword), expected);
        }
    }

    /// The rules again, as the platform words them.
    fn is_allowed(prefix: &str, value: &str) -> bool {
        let every = |keeps: fn(char) -> bool| value.chars().all(keeps);
        let digits = value.chars().filter(char::is_ascii_digit).count();
        let units = value.encode_utf16().count();
        let clean = !value.is_empty() && !value.chars().any(char::is_control) && value.trim() == value;
        clean
            && match prefix {
                "character_string" => units <= 32 && value.is_ascii(),
                "time" => every(is_of_time) && units <= 64,
                "amount" => {
                    let symbols = value.chars().filter(|c| "¥￥$£€₩฿₽₫₹".contains(*c)).count();
                    let rest = value.trim_start_matches(is_currency_symbol).trim_end_matches('元');
                    symbols <= 1
                        && (1..=12).contains(&digits)
                        && rest.chars().all(|c| c.is_ascii_digit() || c == '.')
                        && rest.matches('.').count() <= 1
                        && rest.starts_with(|c: char| c.is_ascii_digit())
                        && rest.ends_with(|c: char| c.is_ascii_digit())
                }
                "number" => units <= 33 && digits <= 32 && every(|c| c.is_ascii_digit() || c == '.'),
                "letter" => units <= 32 && every(|c| c.is_ascii_alphabetic()),
                "symbol" => units <= 5 && every(|c| c.is_ascii_punctuation()),
                "phrase" => units <= 5 && every(is_chinese),
                "name" => units <= 10,
                "phone_number" => units <= 17 && every(is_of_phone),
                "car_number" => units <= 8,
                _ => units <= 20,
            }
    }

    const PREFIXES: [&str; 13] = [
        "thing",
        "character_string",
        "time",
        "amount",
        "number",
        "letter",
        "symbol",
        "phrase",
        "name",
        "phone_number",
        "car_number",
        "const",
        "unheard_of",
    ];

    proptest! {
        #[test]
        fn every_fitted_value_satisfies_its_rule(
            value in prop_oneof![any::<String>(), "[0-9.,¥$ 元A-Z年月日:一-龥\\n]{0,60}"], number in 1_u8..40,
        ) {
            for prefix in PREFIXES {
                let fitted = fit(&format!("{prefix}{number}"), &value);
                prop_assert!(is_allowed(prefix, &fitted), "{prefix}: {value:?} became {fitted:?}");
                prop_assert_eq!(fit(prefix, &fitted), fitted, "fitting twice changes nothing");
            }
        }
    }
}
