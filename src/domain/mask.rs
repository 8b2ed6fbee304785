//! Masks, by characters. Fixed forms, so that the same value always looks the same.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

/// `张*` style: the first character stays, the rest are stars (one at least). Empty stays empty.
#[must_use]
pub fn name(name: &str) -> String {
    let mut chars = name.chars();
    let Some(first) = chars.next() else { return String::new() };
    let stars = chars.count().max(1);
    format!("{first}{}", "*".repeat(stars))
}

/// `138****1234`; anything shorter than eight characters becomes stars only.
#[must_use]
pub fn phone(phone: &str) -> String {
    let chars: Vec<char> = phone.chars().collect();
    if chars.len() < 8 {
        return "*".repeat(chars.len());
    }
    let head: String = chars.iter().take(3).collect();
    let tail: String = chars.iter().skip(chars.len() - 4).collect();
    format!("{head}****{tail}")
}

/// What was hidden in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A card number: 13 to 19 digits that pass the Luhn check.
    CardNumber,
    /// An ID number: 17 digits and a check character that fits.
    IdNumber,
    /// A verification value or PIN that the text itself names.
    Code,
}

/// Hides card numbers, ID numbers and named codes that a customer typed by mistake (P9). Returns the text that
/// may be stored, and what was found.
#[must_use]
pub fn chat(text: &str) -> (String, Option<Found>) {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut found = None;
    let mut at = 0;
    while let Some(character) = chars.get(at) {
        if digit_of(*character).is_none() {
            out.push(*character);
            at += 1;
            continue;
        }
        let run = digit_run(&chars, at);
        let hidden = classify(&run, chars.get(..at).unwrap_or_default());
        if let Some(kind) = hidden {
            found = found.or(Some(kind));
            let tail = usize::from(kind == Found::CardNumber) * 4;
            let digits = run.digits.len();
            out.push_str(&"*".repeat(digits - tail));
            out.extend(run.digits.iter().skip(digits - tail));
        } else {
            out.extend(chars.get(at..run.end).unwrap_or_default());
        }
        at = run.end;
    }
    (out, found)
}

struct Run {
    digits: Vec<char>,
    end: usize,
}

/// Full-width digits count as digits: customers type them.
fn digit_of(c: char) -> Option<u32> {
    match c {
        '0'..='9' => Some(u32::from(c) - u32::from('0')),
        '０'..='９' => Some(u32::from(c) - u32::from('０')),
        _ => None,
    }
}

/// Digits from `from`, over single spaces and hyphens between them, with a closing X of an ID number.
fn digit_run(chars: &[char], from: usize) -> Run {
    let mut digits = Vec::new();
    let mut at = from;
    let mut end = from;
    while let Some(&c) = chars.get(at) {
        if let Some(value) = digit_of(c) {
            digits.push(char::from_digit(value, 10).unwrap_or('0'));
            end = at + 1;
        } else if !matches!(c, ' ' | '-' | '\u{3000}' | '\u{200b}') || at > end {
            break;
        }
        at += 1;
    }
    if digits.len() == 17 && matches!(chars.get(end), Some('x' | 'X' | 'Ｘ' | 'ｘ')) {
        digits.push('X');
        end += 1;
    }
    Run { digits, end }
}

fn classify(run: &Run, before: &[char]) -> Option<Found> {
    let count = run.digits.len();
    if count == 18 && id_check(&run.digits) {
        return Some(Found::IdNumber);
    }
    if (13..=19).contains(&count) && luhn(&run.digits) {
        return Some(Found::CardNumber);
    }
    if (3..=8).contains(&count) {
        let context: String = before.iter().rev().take(8).rev().collect::<String>().to_ascii_lowercase();
        let named = ["密码", "验证码", "cvv", "cvn", "安全码", "动态码", "校验码", "pin"];
        return named.iter().any(|word| context.contains(word)).then_some(Found::Code);
    }
    None
}

fn luhn(digits: &[char]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => digit,
            (_, doubled) if doubled > 9 => doubled - 9,
            (_, doubled) => doubled,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// Whether the last of 18 characters is the check character of the 17 digits before it.
pub(crate) fn id_check(digits: &[char]) -> bool {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    const CHECKS: [char; 11] = ['1', '0', 'X', '9', '8', '7', '6', '5', '4', '3', '2'];
    let sum: u32 =
        digits.iter().zip(WEIGHTS).filter_map(|(digit, weight)| Some(digit.to_digit(10)? * weight)).sum();
    usize::try_from(sum % 11).ok().and_then(|at| CHECKS.get(at)) == digits.last()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_typed_by_mistake_are_hidden_before_anything_is_stored() {
        let table = [
            (
                "我的卡号是4111 1111 1111 1111，帮我查",
                "我的卡号是************1111，帮我查",
                Some(Found::CardNumber),
            ),
            ("４１１１１１１１１１１１１１１１", "************1111", Some(Found::CardNumber)),
            ("身份证11010519491231002X", "身份证******************", Some(Found::IdNumber)),
            ("验证码 123456", "验证码 ******", Some(Found::Code)),
            ("CVV:123", "CVV:***", Some(Found::Code)),
            ("我花了128.50元在2026-11-22", "我花了128.50元在2026-11-22", None),
            ("尾号1234的卡", "尾号1234的卡", None),
            ("电话13800138000", "电话13800138000", None),
            ("", "", None),
        ];
        for (text, masked, found) in table {
            assert_eq!(chat(text), (masked.to_owned(), found), "{text}");
        }
    }

    #[test]
    fn names_and_phones_keep_their_ends() {
        assert_eq!(
            (name("张三"), name("欧阳小明"), name("李"), name("")),
            ("张*".into(), "欧***".into(), "李*".into(), String::new())
        );
        assert_eq!((phone("13800138000"), phone("1234")), ("138****8000".to_owned(), "****".to_owned()));
    }
}
