//! Numbers as people write and say them: `5,000.5`, `两万三`, `1.5w`, `伍仟叁佰元贰角壹分`.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

/// Longest text that is looked at, in characters.
pub(super) const CHARACTERS_MAX: usize = 200;
/// What stands before a number that is an amount though nothing says 元: 低于100不提醒.
const COMPARED_BEFORE: [&str; 15] = [
    "低于", "少于", "小于", "不到", "不足", "不满", "高于", "超过", "大于", "满", "调到", "提到", "改成",
    "改为", "换成",
];
/// The same behind it.
const COMPARED_AFTER: [&str; 3] = ["以下", "以上", "以内"];

/// A number somewhere in a text.
pub(super) struct Found {
    /// Hundredths.
    pub(super) value: i64,
    /// It was written as money: 元, 块, ¥, 千, 万.
    pub(super) money: bool,
    /// One numeral inside a longer text, as in 小一点.
    pub(super) lone: bool,
    /// What stands after it.
    pub(super) after: String,
    /// What stands before it.
    pub(super) before: String,
}

impl Found {
    /// 12期, 尾号1234: a number, and no amount.
    pub(super) fn counts_something(&self) -> bool {
        let after = ["期", "个", "月", "号", "日", "年", "天", "点", "次", "笔", "张", "份", "位", "%"];
        let before = ["尾号", "第", "卡号", "手机"];
        after.iter().any(|unit| self.after.starts_with(unit))
            || before.iter().any(|word| self.before.ends_with(word))
    }

    /// It can be nothing but an amount, also in the middle of a sentence.
    pub(super) fn is_marked(&self) -> bool {
        self.money
            || COMPARED_BEFORE.iter().any(|word| self.before.ends_with(word))
            || COMPARED_AFTER.iter().any(|word| self.after.starts_with(word))
    }
}

/// A text with half-width digits and marks and without spaces, so that one reader does for all ways of typing.
pub(super) fn characters(text: &str) -> Vec<char> {
    text.chars().take(CHARACTERS_MAX).map(half_width).filter(|c| !c.is_whitespace()).collect()
}

/// Whether a character is not seen, or turns those beside it around: what he reads may then not be what is written.
pub(super) fn is_hidden(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

/// Every number of a text, in order. `None` where one cannot be read: too great, with too many decimals, or beside
/// something that is not seen.
pub(super) fn numbers(text: &str) -> Option<Vec<Found>> {
    if text.chars().any(is_hidden) {
        return None;
    }
    let chars = characters(text);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(first) = chars.get(at) {
        let Some((mut value, used, scaled)) = numeral(chars.get(at..).unwrap_or_default()) else {
            if first.is_ascii_digit() {
                return None;
            }
            at += 1;
            continue;
        };
        let mut end = at + used;
        let before: String = chars.get(..at).unwrap_or_default().iter().collect();
        let mut money = scaled || before.ends_with(['¥', '￥']) || before.ends_with("rmb");
        let rest = |end: usize| -> String { chars.get(end..).unwrap_or_default().iter().collect() };
        if let Some(unit) = ["元", "块钱", "块", "圆"].into_iter().find(|unit| rest(end).starts_with(unit))
        {
            money = true;
            end += unit.chars().count();
            let (more, used) = small_change(chars.get(end..).unwrap_or_default());
            (value, end) = (value.checked_add(more)?, end + used);
            // 十二块五以下: what is said behind the yuan is not clear.
            if chars.get(end).is_some_and(|c| digit_of(*c).is_some()) {
                return None;
            }
        }
        let lone = !money && used == 1 && !first.is_ascii_digit() && chars.len() > 1;
        found.push(Found { value, money, lone, after: rest(end), before });
        at = end.max(at + 1);
    }
    Some(found)
}

fn half_width(c: char) -> char {
    match u32::from(c) {
        code @ 0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0).unwrap_or(c),
        _ => c.to_ascii_lowercase(),
    }
}

/// What follows 元: 五角三分, 5毛, 五 (of 三块五). In fen, with the characters used.
fn small_change(chars: &[char]) -> (i64, usize) {
    let digit = |at: usize| chars.get(at).and_then(|c| digit_of(*c));
    let unit = |at: usize, words: &str| chars.get(at).is_some_and(|c| words.contains(*c));
    let (mut fen, mut at) = (0, 0);
    if let Some(tens) = digit(0).filter(|_| unit(1, "角毛")) {
        (fen, at) = (tens * 10, 2);
    } else if let Some(tens) = digit(0).filter(|_| chars.len() == 1) {
        return (tens * 10, 1);
    }
    if let Some(ones) = digit(at).filter(|_| unit(at + 1, "分")) {
        (fen, at) = (fen + ones, at + 2);
    }
    (fen, at)
}

fn digit_of(c: char) -> Option<i64> {
    let of = |table: &str| table.chars().position(|digit| digit == c).and_then(|at| i64::try_from(at).ok());
    c.to_digit(10)
        .map(i64::from)
        .or_else(|| of("零一二三四五六七八九"))
        .or_else(|| of("〇壹贰叁肆伍陆柒捌玖"))
        .or(matches!(c, '两' | '俩' | '貳').then_some(2))
}

fn unit_of(c: char) -> Option<i64> {
    Some(match c {
        '十' | '拾' => 10,
        '百' | '佰' => 100,
        '千' | '仟' | 'k' => 1_000,
        '万' | '萬' | 'w' => 10_000,
        '亿' | '億' => 100_000_000,
        _ => return None,
    })
}

/// The number at the start: hundredths, characters used, and whether it has a unit from 百 on. As spoken, 两万三 is
/// 23,000 and 1万5 is 15,000.
pub(super) fn numeral(chars: &[char]) -> Option<(i64, usize, bool)> {
    let (mut total, mut section, mut current) = (0_i64, 0_i64, None::<i64>);
    let (mut last_unit, mut zero, mut single, mut at) = (1_i64, false, false, 0);
    while let Some(c) = chars.get(at) {
        if let Some(unit) = unit_of(*c) {
            let many = match current.take() {
                Some(many) => many,
                None if unit == 10 && section == 0 => 100,
                None if unit >= 10_000 && section > 0 => 0,
                None => break,
            };
            if unit >= 10_000 {
                let whole = section.checked_add(many)?.checked_mul(unit)?;
                (total, section) = (total.checked_add(whole)?, 0);
            } else {
                section = section.checked_add(many.checked_mul(unit)?)?;
            }
            (last_unit, zero) = (unit, false);
            at += 1;
        } else if c.is_ascii_digit() {
            if current.is_some() {
                break;
            }
            let (value, used) = decimal(chars.get(at..).unwrap_or_default())?;
            (current, single) = (Some(value), used == 1);
            at += used;
        } else if let Some(digit) = digit_of(*c) {
            if digit == 0 && current.is_none() && last_unit > 1 {
                zero = true;
                at += 1;
                continue;
            }
            single = current.is_none();
            current = Some(current.unwrap_or(0).checked_mul(10)?.checked_add(digit * 100)?);
            at += 1;
        } else {
            break;
        }
    }
    if at == 0 || (current.is_none() && last_unit == 1) {
        return None;
    }
    let spoken = single && !zero && last_unit >= 100;
    let rest = current.unwrap_or(0);
    let rest = if spoken { rest.checked_mul(last_unit / 10)? } else { rest };
    let value = total.checked_add(section)?.checked_add(rest)?;
    Some((value, at, last_unit >= 100))
}

/// Digits with separators of thousands and at most two decimals, in hundredths.
fn decimal(chars: &[char]) -> Option<(i64, usize)> {
    let is_digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let (mut value, mut at, mut places) = (0_i64, 0, None::<u32>);
    while let Some(c) = chars.get(at) {
        match (c.to_digit(10), places) {
            (Some(digit), None) => value = value.checked_mul(10)?.checked_add(i64::from(digit) * 100)?,
            (Some(digit), Some(place)) if place < 2 => {
                value = value.checked_add(i64::from(digit) * if place == 0 { 10 } else { 1 })?;
                places = Some(place + 1);
            }
            (Some(_), Some(_)) => return None,
            (None, None) if *c == ',' && (1..=3).all(|ahead| is_digit(at + ahead)) && !is_digit(at + 4) => {}
            (None, None) if *c == '.' && is_digit(at + 1) => places = Some(0),
            (None, _) => break,
        }
        at += 1;
    }
    Some((value, at))
}
