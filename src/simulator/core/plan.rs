//! Instalment plans: a sum is taken out of the bill, and comes back into it in parts with interest.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::amount::Amount;
use super::ledger::moment;
use super::transaction::{Channel, Entry, Kind};
use crate::domain::time::UnixMs;

/// What is paid in instalments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PlanKind {
    Bill,
    Purchase,
    Cash,
}

/// One plan, as it was agreed.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) plan_id: String,
    pub(super) card_id: String,
    pub(super) kind: PlanKind,
    /// What it is called on statements.
    pub(super) title: String,
    pub(super) opened_at: UnixMs,
    pub(super) principal: Amount,
    pub(super) periods: u32,
    /// Hundred-thousandths of the principal for each period.
    pub(super) rate: i64,
    /// The purchase that is paid so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) transaction_id: Option<String>,
    /// When it was settled before its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) settled_at: Option<UnixMs>,
}

impl Plan {
    /// Principal of a period, counted from 1, in minor units: even parts, what is left over in the first.
    pub(super) fn principal_of(&self, period: u32) -> i64 {
        let periods = i64::from(self.periods.max(1));
        let even = self.principal.minor() / periods;
        if period == 1 { self.principal.minor() - even * (periods - 1) } else { even }
    }

    /// Interest of each period in minor units, rounded half up.
    pub(super) fn interest(&self) -> i64 {
        (self.principal.minor() * self.rate + 50_000) / 100_000
    }

    /// What each period costs, principal and interest.
    pub(super) fn payments(&self) -> Vec<i64> {
        (1..=self.periods).map(|period| self.principal_of(period) + self.interest()).collect()
    }

    /// Twelve times the rate a month at which the payments are worth the principal, in ten-thousandths: 1303 is
    /// 13.03 %. Simple, by IRR, as the rules for credit cards of July 2022 want it shown.
    pub(super) fn annual_rate(&self) -> i64 {
        annual_rate(self.principal.minor(), &self.payments())
    }
}

/// As [`Plan::annual_rate`], of any payments a month apart.
fn annual_rate(principal: i64, payments: &[i64]) -> i64 {
    const ONE: i128 = 1_000_000_000_000;
    let worth = |rate: i128| {
        let mut factor = ONE;
        payments.iter().fold(0_i128, |sum, payment| {
            factor = factor * ONE / (ONE + rate);
            sum + i128::from(*payment) * factor
        })
    };
    let (mut low, mut high) = (0_i128, ONE);
    while high - low > 1_000 {
        let middle = (low + high) / 2;
        if worth(middle) > i128::from(principal) * ONE { low = middle } else { high = middle }
    }
    // Twelve months, in ten-thousandths of one, rounded half up.
    i64::try_from((high * 12 * 10_000 + ONE / 2) / ONE).unwrap_or(i64::MAX)
}

/// A plan and how far it has come.
#[derive(Clone)]
pub(super) struct PlanStanding {
    pub(super) plan: Plan,
    /// Periods that stand on statements.
    pub(super) billed: u32,
    /// Principal that is on no statement yet; it still uses the limit.
    pub(super) left: i64,
}

impl PlanStanding {
    pub(super) fn new(plan: Plan) -> Self {
        let left = if plan.settled_at.is_some() { 0 } else { plan.principal.minor() };
        Self { plan, billed: 0, left }
    }

    /// The bookings of the period that falls on a statement date, if one does.
    pub(super) fn bill(&mut self, date: Date) -> Vec<Entry> {
        let plan = &self.plan;
        let opened = plan.opened_at.beijing().date();
        let settled = plan.settled_at.is_some_and(|at| at.beijing().date() <= date);
        if opened >= date || settled || self.billed >= plan.periods {
            return Vec::new();
        }
        self.billed += 1;
        let period = self.billed;
        let principal = plan.principal_of(period);
        if plan.settled_at.is_none() {
            self.left -= principal;
        }
        let entry = |what: &str, kind: Kind, minor: i64| Entry {
            transaction_id: format!("{}-{period}-{what}", plan.plan_id),
            at: moment(date, 8, 0),
            kind,
            merchant: format!(
                "{}{} 第{period}/{}期",
                plan.title,
                if kind == Kind::Fee { "利息" } else { "" },
                plan.periods
            ),
            amount: Amount::new(minor, plan.principal.currency()),
            original: None,
            channel: Channel::Other,
            unbilled: false,
            reason: None,
        };
        let interest = plan.interest();
        let mut entries = vec![entry("principal", Kind::Instalment, principal)];
        entries.extend((interest > 0).then(|| entry("interest", Kind::Fee, interest)));
        entries
    }

    /// Whether periods are still to come.
    pub(super) fn is_running(&self) -> bool {
        self.plan.settled_at.is_none() && self.billed < self.plan.periods
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(principal: i64, periods: u32, rate: i64) -> Plan {
        Plan {
            plan_id: "P".to_owned(),
            card_id: "K1".to_owned(),
            kind: PlanKind::Bill,
            title: "账单分期".to_owned(),
            opened_at: UnixMs(0),
            principal: Amount::yuan(principal),
            periods,
            rate,
            transaction_id: None,
            settled_at: None,
        }
    }

    #[test]
    fn twelve_thousand_in_twelve_periods_costs_thirteen_percent_a_year() {
        let plan = plan(1_200_000, 12, 600);
        assert_eq!(plan.payments(), [107_200; 12]);
        assert_eq!(plan.annual_rate(), 1_303);
    }

    #[test]
    fn the_parts_are_the_whole() {
        for (principal, periods) in [(100_000, 3), (99_999, 24), (50_001, 6), (1_234_567, 12)] {
            let plan = plan(principal, periods, 680);
            let parts: i64 = (1..=periods).map(|period| plan.principal_of(period)).sum();
            assert_eq!(parts, principal);
        }
        assert_eq!(plan(300_000, 3, 0).annual_rate(), 0);
    }
}
