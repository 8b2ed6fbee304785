//! Spans of the day: `晚上10点到早上8点`.

use super::numbers::{characters, numeral};
use crate::domain::alert_settings::QuietHours;

/// What ends quiet hours, as a value.
pub const OFF: &str = "off";

/// How a span of the day reads: `每天22:00到08:00`.
#[must_use]
pub fn hours_label(value: &str) -> Option<String> {
    if value == OFF {
        return Some("不设免打扰".to_owned());
    }
    let quiet = QuietHours::parse(value)?;
    Some(format!("每天{}到{}", quiet.from(), quiet.until()))
}

/// Words that end quiet hours.
const ENDS: [&str; 6] = ["关闭", "关掉", "取消", "解除", "不用", "不要免打扰"];

/// A span of the day as `22:00-08:00`, or [`OFF`] where the text ends the quiet hours.
#[must_use]
pub fn hours(text: &str) -> Option<String> {
    let characters = characters(text);
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
    let (hundredths, length, _) = numeral(text)?;
    let number = u16::try_from(hundredths / 100).ok().filter(|number| *number < 100)?;
    Some((number, length))
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(hours(text).as_deref(), expected, "{text}");
        }
        assert_eq!(hours_label("22:00-08:00").as_deref(), Some("每天22:00到08:00"));
        assert_eq!(hours_label(OFF).as_deref(), Some("不设免打扰"));
    }
}
