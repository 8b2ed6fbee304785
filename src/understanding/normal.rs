//! One form for what people type in many: half width, lower case, without what is only seen.

/// Digits that stand behind the stars of a masked card number.
const MASKED_TAIL_DIGITS: usize = 4;

/// The text as it is compared: simplified, half width, lower case, without punctuation, emoji, white space between
/// Chinese and invisible characters. Latin words keep one space between them.
#[must_use]
pub fn normalise(text: &str) -> String {
    let simplified = fast2s::convert(text);
    let mut out = String::with_capacity(text.len());
    let mut gap = false;
    for character in simplified.chars().map(half_width).flat_map(char::to_lowercase) {
        if !character.is_alphanumeric() {
            gap = gap || !is_invisible(character);
            continue;
        }
        let latin = |character: char| character.is_ascii_alphanumeric();
        if gap && latin(character) && out.chars().next_back().is_some_and(latin) {
            out.push(' ');
        }
        gap = false;
        out.push(character);
    }
    out
}

/// What is looked at of an utterance: its first characters, without the numbers that were masked in it. Their stars and
/// last digits say nothing of what is meant.
pub(super) fn looked_at(text: &str, characters_max: usize) -> String {
    let mut seen = String::new();
    let mut characters = text.chars().take(characters_max).peekable();
    while let Some(character) = characters.next() {
        if character != '*' || characters.next_if_eq(&'*').is_none() {
            seen.push(character);
            continue;
        }
        while characters.next_if_eq(&'*').is_some() {}
        for _ in 0..MASKED_TAIL_DIGITS {
            characters.next_if(char::is_ascii_digit);
        }
    }
    seen
}

/// The number that a whole text names when one of a list is meant: `2`, `２．`, `二`, `第二个`.
#[must_use]
pub fn number(normalised: &str) -> Option<usize> {
    let text = normalised.strip_prefix('第').or_else(|| normalised.strip_prefix('选')).unwrap_or(normalised);
    let text = text.strip_suffix(['个', '项', '笔', '条', '张', '期']).unwrap_or(text);
    if !text.is_empty() && text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mut characters = text.chars();
    let (only, None) = (characters.next()?, characters.next()) else { return None };
    ["一", "二", "三", "四", "五", "六", "七", "八", "九", "十"]
        .iter()
        .position(|digit| digit.starts_with(only))
        .map(|at| at + 1)
}

fn half_width(character: char) -> char {
    match character {
        '\u{3000}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32(u32::from(character) - 0xff01 + u32::from('!')).unwrap_or(character)
        }
        '①'..='⑨' => {
            char::from_u32(u32::from(character) - u32::from('①') + u32::from('1')).unwrap_or(character)
        }
        other => other,
    }
}

fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}
