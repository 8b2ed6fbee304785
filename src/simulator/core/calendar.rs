//! When statements are cut: on one day of each month, which the customer may change.

use jiff::Span;
use jiff::civil::Date;

/// The statement days of a card. Each month has exactly one.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    day: i8,
    /// Since when another day is wanted, the oldest first.
    changes: Vec<(Date, i8)>,
}

impl Calendar {
    /// The same day in every month, from 1 to 28.
    pub(super) fn new(day: i8) -> Self {
        Self { day, changes: Vec::new() }
    }

    /// The same with a change: a month takes the new day if that still lies ahead.
    pub(super) fn change(&mut self, on: Date, day: i8) {
        self.changes.push((on, day));
    }

    /// The statement date of the month in which `date` lies.
    pub(super) fn in_month_of(&self, date: Date) -> Date {
        let on = |day: i8| Date::new(date.year(), date.month(), day).unwrap_or(date);
        self.changes.iter().fold(on(self.day), |before, (since, day)| {
            // What was cut already stays cut, and nothing is cut in the past.
            if before >= *since && on(*day) > *since { on(*day) } else { before }
        })
    }

    /// The statement date of the month after that of `date`.
    pub(super) fn after(&self, date: Date) -> Date {
        self.in_month_of(date.first_of_month().saturating_add(Span::new().months(1)))
    }

    /// The statement date of the month before that of `date`.
    pub(super) fn before(&self, date: Date) -> Date {
        self.in_month_of(date.first_of_month().saturating_sub(Span::new().months(1)))
    }

    /// The first statement date on or after a day: where a purchase of that day will stand.
    pub(super) fn on_or_after(&self, day: Date) -> Date {
        let this_month = self.in_month_of(day);
        if this_month >= day { this_month } else { self.after(day) }
    }

    /// The day of the month that counts from now on.
    pub(super) fn present_day(&self) -> i8 {
        self.changes.last().map_or(self.day, |(_, day)| *day)
    }

    /// How often it was changed since a day.
    pub(super) fn changes_since(&self, since: Date) -> usize {
        self.changes.iter().filter(|(on, _)| *on >= since).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_month_has_one_statement_whatever_is_changed() {
        let mut calendar = Calendar::new(8);
        calendar.change(Date::constant(2026, 11, 22), 25);
        assert_eq!(calendar.in_month_of(Date::constant(2026, 10, 1)), Date::constant(2026, 10, 8));
        assert_eq!(calendar.after(Date::constant(2026, 11, 8)), Date::constant(2026, 12, 25));
        calendar.change(Date::constant(2026, 12, 5), 2);
        // 2 December is past: December keeps the day it had, January takes the new one.
        assert_eq!(calendar.after(Date::constant(2026, 11, 8)), Date::constant(2026, 12, 25));
        assert_eq!(calendar.after(Date::constant(2026, 12, 25)), Date::constant(2027, 1, 2));
        assert_eq!(calendar.on_or_after(Date::constant(2026, 12, 26)), Date::constant(2027, 1, 2));
        assert_eq!((calendar.present_day(), calendar.changes_since(Date::constant(2026, 12, 1))), (2, 1));
    }
}
