//! Which texts the platform takes as a time or a date (WeChat docs, 类目模板消息参数值内容限制): 24-hour clock, with
//! a date in front or not, alone or as a range with `~`.

/// A time of day, a date, both, or a range of them.
pub(super) fn is_time(text: &str) -> bool {
    is_range(text, |part| match part.split_once(' ') {
        Some((day, clock)) => is_day(day) && is_clock(clock),
        None => is_clock(part) || is_day(part),
    })
}

/// A date, with a time of day or not, or a range of them.
pub(super) fn is_date(text: &str) -> bool {
    is_range(text, |part| match part.split_once(' ') {
        Some((day, clock)) => is_day(day) && is_clock(clock),
        None => is_day(part),
    })
}

fn is_range(text: &str, fits: impl Fn(&str) -> bool) -> bool {
    match text.split_once('~') {
        Some((from, to)) => fits(from.trim()) && fits(to.trim()),
        None => fits(text),
    }
}

/// `15:01`, `15:01:09`
fn is_clock(text: &str) -> bool {
    let parts: Vec<&str> = text.split(':').collect();
    let two = |text: &str, end: u32| text.len() == 2 && number(text).is_some_and(|number| number < end);
    match parts.as_slice() {
        [hour, minute] => two(hour, 24) && two(minute, 60),
        [hour, minute, second] => two(hour, 24) && two(minute, 60) && two(second, 60),
        _ => false,
    }
}

/// `2019年10月1日`, `2019-10-01`, `2019/10/01`, `2019.10.01`: whole dates only, though the platform takes less.
fn is_day(text: &str) -> bool {
    let of = |year: &str, month: &str, day: &str| {
        let within = |text: &str, end: u32| {
            matches!(text.len(), 1..=2) && number(text).is_some_and(|number| (1..=end).contains(&number))
        };
        year.len() == 4 && number(year).is_some() && within(month, 12) && within(day, 31)
    };
    if let Some((year, rest)) = text.split_once('年') {
        let parts = rest.split_once('月').and_then(|(month, day)| Some((month, day.strip_suffix('日')?)));
        return parts.is_some_and(|(month, day)| of(year, month, day));
    }
    ['-', '/', '.'].iter().any(|separator| match text.split(*separator).collect::<Vec<_>>().as_slice() {
        [year, month, day] => of(year, month, day),
        _ => false,
    })
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}
