//! When people answer: `templates/desk/hours.toml`, in Beijing time.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;

use crate::domain::ids::AccountId;
use crate::domain::time::UnixMs;

/// Intervals in one day.
const INTERVALS_MAX: usize = 6;
const DAY_MINUTES: u16 = 24 * 60;
const DAYS: [&str; 7] = ["周一", "周二", "周三", "周四", "周五", "周六", "周日"];

/// A fault of the hours file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct HoursFault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The hours of every account.
#[derive(Clone, Debug)]
pub struct Hours {
    common: Calendar,
    accounts: BTreeMap<String, Calendar>,
}

#[derive(Clone, Debug, Default)]
struct Calendar {
    /// From Monday.
    week: [Vec<Interval>; 7],
    dates: BTreeMap<Date, Vec<Interval>>,
}

/// Minutes of a day, the end not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interval {
    from: u16,
    until: u16,
}

type Line = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    every_day: Option<Vec<Line>>,
    monday: Option<Vec<Line>>,
    tuesday: Option<Vec<Line>>,
    wednesday: Option<Vec<Line>>,
    thursday: Option<Vec<Line>>,
    friday: Option<Vec<Line>>,
    saturday: Option<Vec<Line>>,
    sunday: Option<Vec<Line>>,
    #[serde(default)]
    dates: BTreeMap<Line, Vec<Line>>,
    #[serde(default)]
    accounts: BTreeMap<String, File>,
}

impl Hours {
    /// Reads the file.
    ///
    /// # Errors
    /// The first fault, with its line.
    pub fn parse(text: &str) -> Result<Self, HoursFault> {
        let file: File = toml::from_str(text).map_err(|error| HoursFault {
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: error.message().to_owned(),
        })?;
        let accounts = file
            .accounts
            .iter()
            .map(|(account, own)| Ok((account.clone(), calendar(text, own)?)))
            .collect::<Result<_, _>>()?;
        Ok(Self { common: calendar(text, &file)?, accounts })
    }

    /// Whether people answer at this moment.
    #[must_use]
    pub fn is_open(&self, account: &AccountId, now: UnixMs) -> bool {
        let beijing = now.beijing();
        let minute = u16::try_from(i32::from(beijing.hour()) * 60 + i32::from(beijing.minute())).unwrap_or(0);
        let intervals = self.calendar(account).of(beijing.date());
        intervals.iter().any(|interval| (interval.from..interval.until).contains(&minute))
    }

    /// The usual week in words for customers: `每天 8:00–22:00`.
    #[must_use]
    pub fn words(&self, account: &AccountId) -> String {
        self.calendar(account).words()
    }

    fn calendar(&self, account: &AccountId) -> &Calendar {
        self.accounts.get(account.as_str()).unwrap_or(&self.common)
    }
}

impl Calendar {
    fn of(&self, date: Date) -> &[Interval] {
        let weekday = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        self.dates.get(&date).or_else(|| self.week.get(weekday)).map_or(&[], Vec::as_slice)
    }

    fn words(&self) -> String {
        let mut words = String::new();
        let mut from = 0;
        while let Some(intervals) = self.week.get(from) {
            let same = self.week.iter().skip(from).take_while(|next| *next == intervals).count();
            if !intervals.is_empty() {
                let comma = if words.is_empty() { "" } else { "，" };
                let days = match same {
                    7 => "每天".to_owned(),
                    1 => DAYS[from].to_owned(),
                    _ => format!("{}至{}", DAYS[from], DAYS[from + same - 1]),
                };
                let times: Vec<String> = intervals.iter().map(|interval| interval.words()).collect();
                let _ = write!(words, "{comma}{days} {}", times.join("、"));
            }
            from += same;
        }
        if words.is_empty() { "暂未开放".to_owned() } else { words }
    }
}

impl Interval {
    fn words(self) -> String {
        if self.from == 0 && self.until == DAY_MINUTES {
            return "24 小时".to_owned();
        }
        let time = |minute: u16| format!("{}:{:02}", minute / 60, minute % 60);
        format!("{}–{}", time(self.from), time(self.until))
    }
}

fn calendar(text: &str, file: &File) -> Result<Calendar, HoursFault> {
    let usual = intervals(text, file.every_day.as_deref().unwrap_or_default())?;
    let own = [
        &file.monday,
        &file.tuesday,
        &file.wednesday,
        &file.thursday,
        &file.friday,
        &file.saturday,
        &file.sunday,
    ];
    let mut calendar = Calendar::default();
    for (day, own) in calendar.week.iter_mut().zip(own) {
        *day = match own {
            Some(lines) => intervals(text, lines)?,
            None => usual.clone(),
        };
    }
    for (date, lines) in &file.dates {
        let day = date.as_ref().parse().map_err(|_| HoursFault {
            line: line_of(text, date.span().start),
            message: format!("{:?} is no date; write \"2026-10-01\"", date.as_ref()),
        })?;
        calendar.dates.insert(day, intervals(text, lines)?);
    }
    Ok(calendar)
}

fn intervals(text: &str, lines: &[Line]) -> Result<Vec<Interval>, HoursFault> {
    let mut intervals: Vec<Interval> = Vec::with_capacity(lines.len());
    for line in lines {
        let fault = |message: String| HoursFault { line: line_of(text, line.span().start), message };
        if intervals.len() == INTERVALS_MAX {
            return Err(fault(format!("a day has at most {INTERVALS_MAX} intervals")));
        }
        let interval = interval(line.as_ref()).ok_or_else(|| {
            fault(format!(
                "{:?} is no interval; write \"09:00-18:00\", at most \"00:00-24:00\"",
                line.as_ref()
            ))
        })?;
        if intervals.last().is_some_and(|before| interval.from < before.until) {
            return Err(fault(format!("{:?} begins before the one ahead of it ends", line.as_ref())));
        }
        intervals.push(interval);
    }
    Ok(intervals)
}

fn interval(text: &str) -> Option<Interval> {
    let (from, until) = text.split_once('-')?;
    let interval = Interval { from: minute_of(from)?, until: minute_of(until)? };
    (interval.from < interval.until).then_some(interval)
}

fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.trim().split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let total = hour * 60 + minute;
    (minute < 60 && total <= DAY_MINUTES).then_some(total)
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.bytes().take(at).filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(id: &str) -> AccountId {
        AccountId::new(id)
    }

    fn beijing(text: &str) -> UnixMs {
        let moment: jiff::Timestamp = format!("{text}+08:00").parse().unwrap();
        UnixMs(moment.as_millisecond())
    }

    #[test]
    fn the_file_in_the_repository_reads_and_is_open() {
        let hours = Hours::parse(include_str!("../../templates/desk/hours.toml")).unwrap();
        assert!(hours.is_open(&account("card"), beijing("2026-11-22T03:00:00")));
        assert_eq!(hours.words(&account("card")), "每天 24 小时");
    }

    #[test]
    fn intervals_days_and_accounts_hold_to_the_minute() {
        let hours = Hours::parse(
            "every_day = ['09:00-12:00', '13:30-18:00']\nsaturday = ['10:00-16:00']\nsunday = []\n\
             [dates]\n'2026-10-01' = []\n'2026-10-10' = ['09:00-10:00']\n\
             [accounts.loan]\nevery_day = ['08:00-22:00']\n",
        )
        .unwrap();
        let card = account("card");
        let table = [
            ("2026-11-23T08:59:59", false),
            ("2026-11-23T09:00:00", true),
            ("2026-11-23T11:59:59", true),
            ("2026-11-23T12:00:00", false),
            ("2026-11-23T13:30:00", true),
            ("2026-11-23T18:00:00", false),
            ("2026-11-21T15:00:00", true),
            ("2026-11-22T15:00:00", false),
            ("2026-10-01T10:00:00", false),
            ("2026-10-10T09:30:00", true),
            ("2026-10-10T15:00:00", false),
        ];
        for (moment, open) in table {
            assert_eq!(hours.is_open(&card, beijing(moment)), open, "{moment}");
        }
        assert_eq!(hours.words(&card), "周一至周五 9:00–12:00、13:30–18:00，周六 10:00–16:00");
        assert_eq!(hours.words(&account("loan")), "每天 8:00–22:00");
        assert!(hours.is_open(&account("loan"), beijing("2026-11-22T21:59:00")));
    }

    #[test]
    fn faults_name_their_line() {
        let table = [
            ("every_day = ['9:00-18:00']", 1),
            ("every_day = ['18:00-09:00']", 1),
            ("every_day = ['00:00-24:01']", 1),
            ("\nmonday = ['09:00-12:00', '11:00-13:00']", 2),
            ("\n\nfunday = []", 3),
            ("[dates]\n'2026-13-01' = []", 2),
            ("every_day = 3", 1),
        ];
        for (text, line) in table {
            assert_eq!(Hours::parse(text).unwrap_err().line, line, "{text}");
        }
    }
}
