//! The filters of texts: how money, dates, cards and codes read in Chinese.

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use super::Words;
use crate::domain::card::CardTail;
use crate::domain::money::{Currency, Money};
use crate::domain::time::UnixMs;

/// Every filter there is.
pub(super) const NAMES: [&str; 15] = [
    "money", "currency", "date", "day", "month", "time", "tail", "number", "percent", "word", "short",
    "opens", "length", "join", "default",
];

pub(super) fn add(templates: &mut Environment<'static>, words: Words) {
    templates.add_filter("money", money);
    templates.add_filter("currency", currency);
    templates.add_filter("date", date);
    templates.add_filter("day", day);
    templates.add_filter("month", month);
    templates.add_filter("time", time);
    templates.add_filter("tail", tail);
    templates.add_filter("number", number);
    templates.add_filter("percent", percent);
    templates.add_filter("short", short);
    templates.add_filter("opens", opens);
    templates.add_filter("length", minijinja::filters::length);
    templates.add_filter("join", minijinja::filters::join);
    templates.add_filter("default", minijinja::filters::default);
    templates.add_filter("word", move |code: &str, group: &str| {
        words.get(group).and_then(|group| group.get(code)).cloned().ok_or_else(|| {
            unfit(format!("lexicon/words.toml has no word for {code:?} in the group [{group}]"))
        })
    });
    templates.add_test("defined", minijinja::tests::is_defined);
    templates.add_test("none", minijinja::tests::is_none);
}

fn unfit(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

/// `{"value": "1234.5", "currency": "CNY"}` → `¥1,234.50`.
fn money(value: &Value) -> Result<String, Error> {
    let member = |name| value.get_attr(name).ok().filter(|member| member.as_str().is_some());
    let (Some(amount), Some(currency)) = (member("value"), member("currency")) else {
        return Err(unfit("money wants an amount with its currency: {\"value\", \"currency\"}"));
    };
    let money = Money::parse(amount.as_str().unwrap_or_default(), currency.as_str().unwrap_or_default());
    Ok(money.map_err(|error| unfit(error.to_string()))?.display())
}

/// An amount, or a currency's code → 人民币.
fn currency(value: &Value) -> Result<&'static str, Error> {
    let member = value.get_attr("currency").unwrap_or_default();
    let code = member.as_str().or_else(|| value.as_str()).unwrap_or_default();
    let currency =
        Currency::parse(code).ok_or_else(|| unfit("currency wants an amount or a code such as CNY"))?;
    Ok(currency.name())
}

/// A day, or the day in Beijing of a moment.
fn civil(text: &str) -> Result<jiff::civil::Date, Error> {
    let moment = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let day = match moment(text) {
        Some(moment) => Some(UnixMs(moment.as_millisecond()).beijing().date()),
        None => text.parse().ok(),
    };
    day.ok_or_else(|| unfit("a date such as 2026-11-28 is wanted"))
}

/// `2026-11-28` → `2026年11月28日`.
fn date(text: &str) -> Result<String, Error> {
    let date = civil(text)?;
    Ok(format!("{}年{}月{}日", date.year(), date.month(), date.day()))
}

/// `2026-11-28` → `11月28日`.
fn day(text: &str) -> Result<String, Error> {
    let date = civil(text)?;
    Ok(format!("{}月{}日", date.month(), date.day()))
}

/// `2026-11` → `2026年11月`.
fn month(text: &str) -> Result<String, Error> {
    let date = civil(&format!("{text}-01"))?;
    Ok(format!("{}年{}月", date.year(), date.month()))
}

/// `2026-11-18T12:31:05+08:00` → `11月18日 12:31`.
fn time(text: &str) -> Result<String, Error> {
    let moment: jiff::Timestamp = text.parse().map_err(|_| unfit("a moment in RFC 3339 is wanted"))?;
    let moment = UnixMs(moment.as_millisecond()).beijing();
    Ok(format!("{}月{}日 {:02}:{:02}", moment.month(), moment.day(), moment.hour(), moment.minute()))
}

/// A card, or its last four digits → `尾号1234`.
fn tail(value: &Value) -> Result<String, Error> {
    let member = value.get_attr("last4").unwrap_or_default();
    let digits = member.as_str().or_else(|| value.as_str()).unwrap_or_default();
    let tail = CardTail::parse(digits).map_err(|error| unfit(error.to_string()))?;
    Ok(format!("尾号{}", tail.as_str()))
}

/// 28640 → `28,640`.
fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut out = if number < 0 { "-".to_owned() } else { String::new() };
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A decimal text such as `13.03` → `13.03%`.
fn percent(text: &str) -> Result<String, Error> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { Ok(format!("{text}%")) } else { Err(unfit("a decimal such as 13.03 is wanted")) }
}

/// A text of at most so many characters, with an ellipsis where it was longer.
fn short(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    text.chars().take(characters_max.saturating_sub(1)).chain(['…']).collect()
}

/// An address on the net as words that open it; what is no such address stays the text that it is.
fn opens(url: &str, words: &str) -> Value {
    let is_plain =
        |text: &str| !text.contains(['<', '>', '"', '&', '\'']) && !text.contains(char::is_whitespace);
    if url.starts_with("https://") && is_plain(url) && is_plain(words) {
        Value::from_safe_string(format!("<a href=\"{url}\">{words}</a>"))
    } else {
        Value::from(url)
    }
}
