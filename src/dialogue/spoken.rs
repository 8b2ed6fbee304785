//! Amounts and spans of the day as customers say them: `低于100不提醒`, `一千五`, `晚上10点到早上8点`.

use crate::catalogue::FieldKind;
use crate::domain::alert_settings::QuietHours;
use crate::domain::money::Money;
use crate::understanding::normalise;

/// Largest amount that is understood, in yuan.
const YUAN_MAX: i64 = 100_000_000;
/// What ends quiet hours, as a value.
pub(super) const OFF: &str = "off";

/// The value of a field that a whole answer names, in the form that operations take.
pub(super) fn answer(kind: FieldKind, text: &str) -> Option<String> {
    match kind {
        FieldKind::Amount => amount(text),
        FieldKind::Hours => hours(text),
        FieldKind::Choice | FieldKind::YesNo | FieldKind::Text => None,
    }
}

/// The value that a customer named along with his wish. A bare number is a choice from a list and names none.
pub(super) fn heard(kind: FieldKind, text: &str) -> Option<String> {
    let is_bare = normalise(text).chars().all(|c| c.is_ascii_digit() || numeral(c).is_some());
    answer(kind, text).filter(|_| !is_bare)
}

/// How a value reads: `100元`, `每天22:00到08:00`.
pub(super) fn label(kind: FieldKind, value: &str) -> Option<String> {
    match kind {
        FieldKind::Amount => {
            let decimal = Money::parse(value, "CNY").ok()?.decimal();
            Some(format!("{}元", decimal.strip_suffix(".00").unwrap_or(&decimal)))
        }
        FieldKind::Hours if value == OFF => Some("不设免打扰".to_owned()),
        FieldKind::Hours => {
            let quiet = QuietHours::parse(value)?;
            Some(format!("每天{}到{}", quiet.from(), quiet.until()))
        }
        FieldKind::Choice | FieldKind::YesNo | FieldKind::Text => None,
    }
}

/// Half-width digits and marks, so that one reader does for both.
fn plain(text: &str) -> Vec<char> {
    let half = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '。' => '.',
        other => other,
    };
    text.chars().map(half).filter(|c| !c.is_whitespace()).collect()
}

fn numeral(c: char) -> Option<i64> {
    "零一二三四五六七八九".chars().position(|digit| digit == c).and_then(|at| i64::try_from(at).ok()).or(
        match c {
            '〇' => Some(0),
            '两' => Some(2),
            '十' | '百' | '千' | '万' => Some(-1),
            _ => None,
        },
    )
}

/// The one amount of a text as a decimal; `None` for none, or for several.
fn amount(text: &str) -> Option<String> {
    let characters = plain(text);
    let mut found = None;
    let mut at = 0;
    while let Some(rest) = characters.get(at..).filter(|rest| !rest.is_empty()) {
        let before: String = characters.iter().take(at).rev().take(2).rev().collect();
        // 十二块五: what stands behind the yuan is not read, so the whole is not.
        if before.ends_with(['元', '块']) && words(rest).is_some() {
            return None;
        }
        let starts_a_number = rest.first().is_some_and(char::is_ascii_digit);
        let said = words(rest).filter(|(_, length)| {
            // 小一点: one numeral alone is an amount only as the whole answer, or in yuan.
            let is_yuan = matches!(rest.get(*length), Some('元' | '块'));
            *length > 1 || is_yuan || characters.len() == 1
        });
        match digits(rest).or(said) {
            None if starts_a_number => return None,
            // A card's tail is no amount.
            Some((_, length)) if before == "尾号" => at += length,
            Some((fen, length)) => {
                if found.replace(fen).is_some() {
                    return None;
                }
                at += length;
            }
            None => at += 1,
        }
    }
    let fen = found.filter(|fen| (0..=YUAN_MAX * 100).contains(fen))?;
    Some(Money::of_fen(fen).decimal())
}

/// `1,000.5`, `2万`, `3千`: fen, and how many characters it takes.
fn digits(text: &[char]) -> Option<(i64, usize)> {
    let mut length = text.iter().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ',')).count();
    while length > 0 && !text.get(length - 1)?.is_ascii_digit() {
        length -= 1;
    }
    let number: String = text.get(..length)?.iter().filter(|c| **c != ',').collect();
    let fen = Money::parse(&number, "CNY").ok()?.minor();
    let (times, more) = match text.get(length) {
        Some('万') => (10_000, 1),
        Some('千') => (1_000, 1),
        Some('百') => (100, 1),
        _ => (1, 0),
    };
    Some((fen.checked_mul(times)?, length + more))
}

/// `一千五`, `两百`, `十万`: fen, and how many characters it takes.
fn words(text: &[char]) -> Option<(i64, usize)> {
    let length = text.iter().take_while(|c| numeral(**c).is_some()).count();
    let written = text.get(..length).filter(|written| !written.is_empty())?;
    let (mut total, mut section, mut digit, mut unit) = (0_i64, 0_i64, None::<i64>, 1_i64);
    for c in written {
        match (*c, numeral(*c)?) {
            ('万', _) => {
                total =
                    total.checked_add((section + digit.take().unwrap_or(0)).max(1).checked_mul(10_000)?)?;
                (section, unit) = (0, 10_000);
            }
            ('十' | '百' | '千', _) => {
                unit = match c {
                    '十' => 10,
                    '百' => 100,
                    _ => 1_000,
                };
                section += digit.take().unwrap_or(1) * unit;
            }
            // 一百零五: the five counts one.
            (_, 0) => unit = 1,
            (_, value) => digit = Some(value),
        }
    }
    // 一千五 is 1500: the last digit counts a tenth of the unit before it.
    let rest = digit.map_or(0, |digit| digit * (unit / 10).max(1));
    let yuan = total.checked_add(section)?.checked_add(rest)?;
    Some((yuan.checked_mul(100)?, length))
}

/// Words that end quiet hours.
const ENDS: [&str; 6] = ["关闭", "关掉", "取消", "解除", "不用", "不要免打扰"];

/// A span of the day as `22:00-08:00`, or [`OFF`].
fn hours(text: &str) -> Option<String> {
    let characters = plain(text);
    let mut moments = Vec::new();
    let mut at = 0;
    while let Some(rest) = characters.get(at..).filter(|rest| !rest.is_empty()) {
        match moment(rest) {
            Some((moment, length)) => {
                moments.push(moment);
                at += length;
            }
            None => at += 1,
        }
    }
    match moments.as_slice() {
        [] => {
            let all: String = characters.iter().collect();
            ENDS.iter().any(|word| all.contains(word)).then(|| OFF.to_owned())
        }
        [from, until] => Some(QuietHours::new(from.of_day(), until.after(from).of_day())?.name()),
        _ => None,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Half {
    Morning,
    Noon,
    Afternoon,
    Evening,
}

/// A time as it is said.
#[derive(Clone, Copy, Debug)]
struct Moment {
    half: Option<Half>,
    hour: u16,
    minute: u16,
}

impl Moment {
    fn of_day(self) -> u16 {
        let hour = match (self.half, self.hour) {
            (Some(Half::Noon), 1..=3) | (Some(Half::Afternoon), 1..=11) | (Some(Half::Evening), 5..=11) => {
                self.hour + 12
            }
            // 晚上12点 and 凌晨12点 are midnight.
            (Some(Half::Morning | Half::Evening), 12) | (_, 24) => 0,
            (_, hour) => hour,
        };
        hour * 60 + self.minute
    }

    /// 晚上8点到10点: the later one is in the evening too.
    fn after(self, from: &Self) -> Self {
        let goes_on = self.half.is_none() && from.half == Some(Half::Evening) && self.hour > from.hour;
        Self { half: if goes_on { from.half } else { self.half }, ..self }
    }
}

/// A time at the beginning of a text, and how many characters it takes.
fn moment(text: &[char]) -> Option<(Moment, usize)> {
    const HALVES: [(&str, Half); 13] = [
        ("凌晨", Half::Morning),
        ("早上", Half::Morning),
        ("早晨", Half::Morning),
        ("清晨", Half::Morning),
        ("上午", Half::Morning),
        ("中午", Half::Noon),
        ("下午", Half::Afternoon),
        ("傍晚", Half::Afternoon),
        ("晚上", Half::Evening),
        ("夜里", Half::Evening),
        ("夜间", Half::Evening),
        ("早", Half::Morning),
        ("晚", Half::Evening),
    ];
    let starts = |word: &str| word.chars().eq(text.iter().copied().take(word.chars().count()));
    let half = HALVES.iter().find(|(word, _)| starts(word));
    let mut at = half.map_or(0, |(word, _)| word.chars().count());
    let half = half.map(|(_, half)| *half);
    let (hour, length) = small(text.get(at..)?)?;
    at += length;
    let mut minute = 0;
    match text.get(at) {
        Some('点' | '时' | ':') => {
            at += 1;
            if text.get(at) == Some(&'半') {
                (minute, at) = (30, at + 1);
            } else if let Some((told, length)) = text.get(at..).and_then(small) {
                (minute, at) = (told, at + length);
            }
        }
        _ if half.is_none() => return None,
        _ => {}
    }
    (hour <= 24 && minute < 60).then_some((Moment { half, hour, minute }, at))
}

/// A number below 100 in one or two digits or in words.
fn small(text: &[char]) -> Option<(u16, usize)> {
    let length = text.iter().take(2).take_while(|c| c.is_ascii_digit()).count();
    if length > 0 {
        let digits: String = text.iter().take(length).collect();
        return Some((digits.parse().ok()?, length));
    }
    let (fen, length) = words(text)?;
    let number = u16::try_from(fen / 100).ok().filter(|number| *number < 100)?;
    Some((number, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_heard_in_digits_and_in_words() {
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
            assert_eq!(heard(FieldKind::Amount, text).as_deref(), expected, "{text}");
        }
        assert_eq!(answer(FieldKind::Amount, "二百").as_deref(), Some("200.00"));
        assert_eq!(answer(FieldKind::Amount, "0").as_deref(), Some("0.00"));
        assert_eq!(label(FieldKind::Amount, "200.00").as_deref(), Some("200元"));
    }

    #[test]
    fn spans_of_the_day_are_heard_as_people_say_them() {
        for (text, expected) in [
            ("晚上10点到早上8点免打扰", Some("22:00-08:00")),
            ("晚上十点半到第二天早上七点别发消息", Some("22:30-07:00")),
            ("22:00-8:00", Some("22:00-08:00")),
            ("２２：３０到７：１５", Some("22:30-07:15")),
            ("夜里11点至次日7点半", Some("23:00-07:30")),
            ("晚上12点到早上6点", Some("00:00-06:00")),
            ("中午12点到下午2点", Some("12:00-14:00")),
            ("晚上8点到10点", Some("20:00-22:00")),
            ("晚上10到早上8点", Some("22:00-08:00")),
            ("关闭免打扰", Some("off")),
            ("免打扰", None),
            ("晚上别发消息", None),
            ("早上8点到晚上10点", None),
            ("22点", None),
        ] {
            assert_eq!(heard(FieldKind::Hours, text).as_deref(), expected, "{text}");
        }
        assert_eq!(label(FieldKind::Hours, "22:00-08:00").as_deref(), Some("每天22:00到08:00"));
        assert_eq!(label(FieldKind::Hours, OFF).as_deref(), Some("不设免打扰"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_trouble(text in ".{0,60}", spoken in "[零一二两三五十百千万0-9点半到晚早上.,:元]{0,24}") {
            for kind in [FieldKind::Amount, FieldKind::Hours] {
                for text in [&text, &spoken] {
                    if let Some(value) = answer(kind, text) {
                        prop_assert!(label(kind, &value).is_some(), "{}", value);
                    }
                }
            }
        }
    }
}
