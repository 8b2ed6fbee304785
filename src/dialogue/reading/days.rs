//! Days that have been: `昨天的`, `3号刷的`, `10月1日到7日`.

use jiff::Span;
use jiff::civil::Date;

use super::numbers::numbers;

/// Days by name, and how long ago they were; the longer name first.
const NAMED: [(&str, i64); 4] = [("大前天", 3), ("前天", 2), ("昨天", 1), ("今天", 0)];
/// What follows a day that something happened on: “今天的消费”, and not “今天想查消费”.
const AFTER: [&str; 13] = ["的", "刷", "消", "买", "花", "交", "那", "这", "有", "到", "至", "明细", "账"];
/// What stands between the first and the last of several days.
const UNTIL: [char; 4] = ['到', '至', '~', '～'];

/// The first and the last day that a text names, as `2026-11-03`; the same twice for one day. A day without a month or a
/// year is the latest that is not ahead.
#[must_use]
pub fn days(text: &str, today: Date) -> Option<(String, String)> {
    let both = text.split_once(UNTIL).and_then(|(first, last)| {
        let last_is_day = |month| day(last, today, month, false);
        let first = day(first, today, None, last_is_day(None).is_some())?;
        // “10月1日到7日” is one month.
        let last = if last.contains('月') { last_is_day(None) } else { last_is_day(month_of(text, first)) }?;
        (first <= last).then_some((first, last))
    });
    let (first, last) = match both {
        Some(both) => both,
        None => day(text, today, None, false).map(|day| (day, day))?,
    };
    Some((first.to_string(), last.to_string()))
}

/// The month of the first day, where the text named it.
fn month_of(text: &str, first: Date) -> Option<Date> {
    text.contains('月').then_some(first)
}

/// A day in a text; in the month of `like` if that is given; also as a bare number, if `bare`.
fn day(text: &str, today: Date, like: Option<Date>, bare: bool) -> Option<Date> {
    if let Some((name, ago)) = NAMED.iter().find(|(name, _)| text.contains(name)) {
        let (_, after) = text.split_once(name)?;
        return says_when(after).then(|| today.saturating_sub(Span::new().days(*ago)));
    }
    let all = numbers(text)?;
    let whole = |value: i64| i8::try_from(value / 100).ok().filter(|_| value % 100 == 0);
    let found = all.iter().find_map(|found| {
        let after = found.after.strip_prefix(['日', '号']);
        let after = after.or_else(|| found.after.is_empty().then_some("").filter(|_| bare))?;
        says_when(after).then(|| whole(found.value)).flatten()
    })?;
    let month = all.iter().find(|found| found.after.starts_with('月')).and_then(|found| whole(found.value));
    match (month, like) {
        (Some(month), _) => {
            let date = Date::new(today.year(), month, found).ok()?;
            if date <= today { Some(date) } else { Date::new(today.year() - 1, month, found).ok() }
        }
        (None, Some(like)) => Date::new(like.year(), like.month(), found).ok().filter(|date| *date <= today),
        (None, None) if found <= today.day() => Date::new(today.year(), today.month(), found).ok(),
        (None, None) => {
            let before = today.first_of_month().saturating_sub(Span::new().months(1));
            Date::new(before.year(), before.month(), found).ok()
        }
    }
}

fn says_when(after: &str) -> bool {
    after.is_empty() || AFTER.iter().any(|words| after.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_the_latest_that_have_been() {
        let today = Date::constant(2026, 11, 22);
        for (text, first, last) in [
            ("昨天的消费明细", "2026-11-21", "2026-11-21"),
            ("前天刷了什么", "2026-11-20", "2026-11-20"),
            ("大前天那笔", "2026-11-19", "2026-11-19"),
            ("今天有什么消费", "2026-11-22", "2026-11-22"),
            ("3号的明细", "2026-11-03", "2026-11-03"),
            ("28号刷的", "2026-10-28", "2026-10-28"),
            ("10月3号的消费", "2026-10-03", "2026-10-03"),
            ("12月31日的明细", "2025-12-31", "2025-12-31"),
            ("3号到8号的消费", "2026-11-03", "2026-11-08"),
            ("3到8号的消费", "2026-11-03", "2026-11-08"),
            ("10月1日到7日的明细", "2026-10-01", "2026-10-07"),
            ("10月28日至11月3日", "2026-10-28", "2026-11-03"),
            ("二十五号到三号的消费", "2026-10-25", "2026-11-03"),
            ("前天到今天的消费", "2026-11-20", "2026-11-22"),
        ] {
            let wanted = Some((first.to_owned(), last.to_owned()));
            assert_eq!(days(text, today), wanted, "{text}");
        }
        for text in
            ["消费明细", "今天想查消费明细", "3期", "32号的明细", "500元以上", "上个月的明细", "2月30日的"]
        {
            assert_eq!(days(text, today), None, "{text}");
        }
    }
}
