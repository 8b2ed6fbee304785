//! Values of template fields, made to fit the limits that the platform checks (error 47003).
//!
//! The rule hangs on the keyword without its number: `thing4` follows `thing`. Characters are counted as UTF-16
//! units, the most cautious reading of "characters", and never cut inside what people see as one. A value is never
//! empty: the platform refuses that too.

mod moment;

use std::borrow::Cow;

use unicode_segmentation::UnicodeSegmentation as _;

const ELLIPSIS: &str = "…";
const ASCII_ELLIPSIS: &str = "...";
/// Digits of an amount in a template message.
const TEMPLATE_AMOUNT_DIGITS_MAX: usize = 12;
/// Digits of an amount in a subscription notice.
const SUBSCRIPTION_AMOUNT_DIGITS_MAX: usize = 10;
/// Characters of a number, its point included.
const NUMBER_UNITS_MAX: usize = 32;

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
    /// Whether what is left says something in this field.
    is_whole: fn(&str) -> bool,
    units_max: usize,
    ellipsis: &'static str,
    placeholder: &'static str,
}

/// The value as it may stand in the field `keyword`.
///
/// Characters that the field has no room for go; line breaks and tabs become one space; what is too long ends in an
/// ellipsis where the field can hold one. What has no content left becomes a neutral sign (`-`, for `phrase` and
/// `car_number` `无`, for numbers `0`, for what is no time `00:00`, for what is no date `1970-01-01`).
#[must_use]
pub fn fit(keyword: &str, value: &str) -> String {
    match prefix(keyword) {
        "amount" => amount(value, TEMPLATE_AMOUNT_DIGITS_MAX),
        "number" => number(value),
        other => fit_to(&rule(other), value),
    }
}

/// The same for a subscription notice, where amounts are shorter (WeChat docs, 订阅通知).
#[must_use]
pub fn fit_subscription(keyword: &str, value: &str) -> String {
    match prefix(keyword) {
        "amount" => amount(value, SUBSCRIPTION_AMOUNT_DIGITS_MAX),
        _ => fit(keyword, value),
    }
}

/// How many characters the field holds, as [`units`] counts them.
#[must_use]
pub fn units_max(keyword: &str) -> usize {
    rule(prefix(keyword)).units_max
}

/// Whether nothing of a text would be seen in any field.
#[must_use]
pub fn is_blank(text: &str) -> bool {
    !text.chars().any(|character| is_visible(character) && !character.is_whitespace() && !is_mark(character))
}

/// The keyword without the number at its end.
#[must_use]
pub fn prefix(keyword: &str) -> &str {
    keyword.trim_end_matches(|character: char| character.is_ascii_digit())
}

fn rule(prefix: &str) -> Rule {
    let is_whole = is_something;
    let text =
        |units_max| Rule { keeps: everything, is_whole, units_max, ellipsis: ELLIPSIS, placeholder: "-" };
    let whole =
        |keeps, units_max, placeholder| Rule { keeps, is_whole, units_max, ellipsis: "", placeholder };
    match prefix {
        "character_string" => {
            let (units_max, ellipsis) = (32, ASCII_ELLIPSIS);
            Rule { keeps: is_ascii_text, is_whole, units_max, ellipsis, placeholder: "-" }
        }
        "time" => Rule { is_whole: moment::is_time, ..whole(is_of_time, 64, "00:00") },
        "date" => Rule { is_whole: moment::is_date, ..whole(is_of_time, 64, "1970-01-01") },
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
        // A mark with nothing before it would sit on the template's own words.
        let loose = is_mark(character) && (kept.is_empty() || kept.ends_with(' '));
        if !doubled && !loose && is_visible(character) && (rule.keeps)(character) {
            kept.push(character);
        }
    }
    let kept = shorten(kept.trim_end(), rule.units_max, rule.ellipsis);
    if (rule.is_whole)(&kept) { kept.into_owned() } else { rule.placeholder.to_owned() }
}

/// The beginning of a text that fits, with the ellipsis where something is left out.
fn shorten<'text>(text: &'text str, units_max: usize, ellipsis: &str) -> Cow<'text, str> {
    if units(text) <= units_max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}{ellipsis}", head(text, units_max.saturating_sub(units(ellipsis))).trim_end()))
}

/// The beginning of a text, in whole characters as people see them, of at most `units_max`.
#[must_use]
pub fn head(text: &str, units_max: usize) -> &str {
    let mut used = 0;
    let mut bytes = 0;
    for seen in text.graphemes(true) {
        used += units(seen);
        if used > units_max {
            break;
        }
        bytes += seen.len();
    }
    text.get(..bytes).unwrap_or_default()
}

/// How many characters a text has, as the platform may count them: UTF-16 units.
#[must_use]
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// At most one currency symbol, at most `digits_max` digits with at most one point, perhaps 元 at the end; no separators, no
/// letters, no sign. Never cuts a digit of the whole part: a number that is too long is not shown at all.
fn amount(value: &str, digits_max: usize) -> String {
    let symbol = value.chars().find(|character| is_currency_symbol(*character));
    let digits = number_within(value, digits_max);
    let yuan = if symbol.is_none() && value.trim_end().ends_with('元') { "元" } else { "" };
    match digits {
        Some(digits) => format!("{}{digits}{yuan}", symbol.map(String::from).unwrap_or_default()),
        None => "0".to_owned(),
    }
}

fn number(value: &str) -> String {
    let whole_or_less = number_within(value, NUMBER_UNITS_MAX - 1);
    whole_or_less.or_else(|| number_within(value, NUMBER_UNITS_MAX)).unwrap_or_else(|| "0".to_owned())
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

fn is_something(text: &str) -> bool {
    !is_blank(text)
}

/// Not a control character, not one without width, and not one that turns the writing direction.
fn is_visible(character: char) -> bool {
    let hidden = matches!(character, '\u{AD}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200C}'
        | '\u{200E}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}'
        | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E0FFF}');
    !hidden && !character.is_control()
}

/// Whether a character only changes the one before it: accents, variation selectors, skin tones, joiners.
fn is_mark(character: char) -> bool {
    matches!(character, '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5BD}'
        | '\u{610}'..='\u{61A}' | '\u{64B}'..='\u{65F}' | '\u{E31}' | '\u{E34}'..='\u{E3A}'
        | '\u{E47}'..='\u{E4E}' | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{200D}'
        | '\u{20D0}'..='\u{20FF}' | '\u{3099}'..='\u{309A}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FE20}'..='\u{FE2F}' | '\u{1F3FB}'..='\u{1F3FF}')
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
            ("time3", "24:00", "00:00"),
            ("time3", "15:01~16:00", "15:01~16:00"),
            ("date3", "2026年12月8日", "2026年12月8日"),
            ("date3", "2026-13-01", "1970-01-01"),
            ("thing1", "\u{301}e\u{301}", "e\u{301}"),
            (
                "thing1",
                "一二三四五六七八九十一二三四五六七八e\u{301}\u{302}尾",
                "一二三四五六七八九十一二三四五六七八…",
            ),
            ("thing1", "\u{202E}钱\u{2067}付", "钱付"),
            ("thing1", "\u{FE0F}", "-"),
            ("number1", "1234567890123456789012345678901.5", "1234567890123456789012345678901"),
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
                "number" => units <= 32 && digits <= 32 && every(|c| c.is_ascii_digit() || c == '.'),
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
