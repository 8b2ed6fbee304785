//! What a customer has changed, agreed or asked for since the sandbox was opened.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::amount::Amount;
use super::ledger::Part;
use super::plan::Plan;
use crate::domain::time::UnixMs;

/// Cases of one customer that are kept and shown.
pub(super) const CASES_MAX: usize = 200;
/// Plans of one customer, settled ones too.
pub(super) const PLANS_MAX: usize = 100;

/// One change.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Change {
    /// An instalment plan was agreed.
    Planned { plan: Plan },
    /// A plan was settled before its end.
    Settled { plan_id: String, at: UnixMs },
    /// What is drawn on a card's due dates from a day on; `None`: nothing.
    AutoRepayment { card_id: String, since: Date, drawn: Option<Drawn> },
    /// A card has another statement day.
    StatementDay { card_id: String, on: Date, day: i8 },
    /// When he is reminded of due dates; `None`: not at all.
    Reminder { reminder: Option<Reminder> },
    /// The fixed limit is another, in fen.
    FixedLimit { fen: i64 },
    /// A temporary limit in fen on top, and its last day.
    TemporaryLimit { fen: i64, until: Date },
    /// He asked for something that people, or time, decide on.
    Opened { case: Case },
    /// Points were spent.
    PointsSpent { at: UnixMs, points: i64, on: String },
    /// A part of his personal data is another; only the mask is kept.
    Profile {
        part: ProfilePart,
        masked: String,
        /// Absent: by a sandbox that did not note it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<UnixMs>,
    },
}

/// An agreement to draw repayments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Drawn {
    pub(super) part: Part,
    pub(super) from_last4: String,
}

/// A reminder of due dates.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reminder {
    pub(super) days_before: i64,
    pub(super) hour: i64,
}

/// What a case is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum CaseKind {
    TemporaryLimit,
    FixedLimit,
    Dispute,
    Hardship,
    Interview,
    Supplement,
    Supplementary,
    Replacement,
    Reward,
    Donation,
}

impl CaseKind {
    /// What its numbers begin with.
    pub(super) fn letter(self) -> char {
        match self {
            Self::TemporaryLimit | Self::FixedLimit => 'L',
            Self::Dispute => 'D',
            Self::Hardship => 'H',
            Self::Interview => 'M',
            Self::Supplement => 'B',
            Self::Supplementary => 'S',
            Self::Replacement => 'R',
            Self::Reward => 'G',
            Self::Donation => 'C',
        }
    }
}

/// Something that was asked for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Case {
    pub(super) case_no: String,
    pub(super) kind: CaseKind,
    pub(super) opened_at: UnixMs,
    /// What it concerns: a transaction, a card.
    pub(super) about: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) amount: Option<Amount>,
    /// The day on which it is decided, or answered at the latest.
    pub(super) due: Date,
    /// Whether it was granted at once.
    #[serde(default)]
    pub(super) granted: bool,
}

/// A part of the personal data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ProfilePart {
    Phone,
    Email,
    BillingAddress,
    HomeAddress,
    WorkAddress,
}

/// Everything of one customer.
#[derive(Default)]
pub(super) struct Changes {
    pub(super) plans: Vec<Plan>,
    pub(super) auto_repayments: Vec<(String, Date, Option<Drawn>)>,
    pub(super) statement_days: Vec<(String, Date, i8)>,
    pub(super) reminder: Option<Reminder>,
    pub(super) fixed_limit: Option<i64>,
    pub(super) temporary_limit: Option<(i64, Date)>,
    /// The oldest first.
    pub(super) cases: Vec<Case>,
    /// When, how many, on what; the oldest first.
    pub(super) points_spent: Vec<(UnixMs, i64, String)>,
    pub(super) profile: std::collections::BTreeMap<ProfilePart, String>,
    pub(super) phone_changed_at: Option<UnixMs>,
}

impl Changes {
    /// What a customer has who changed nothing.
    pub(super) const NONE: &'static Self = &Self {
        plans: Vec::new(),
        auto_repayments: Vec::new(),
        statement_days: Vec::new(),
        reminder: None,
        fixed_limit: None,
        temporary_limit: None,
        cases: Vec::new(),
        points_spent: Vec::new(),
        profile: std::collections::BTreeMap::new(),
        phone_changed_at: None,
    };

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Planned { plan } => self.plans.push(plan),
            Change::Settled { plan_id, at } => {
                let plan = self.plans.iter_mut().find(|plan| plan.plan_id == plan_id);
                plan.into_iter().for_each(|plan| plan.settled_at = Some(at));
            }
            Change::AutoRepayment { card_id, since, drawn } => {
                self.auto_repayments.push((card_id, since, drawn));
            }
            Change::StatementDay { card_id, on, day } => self.statement_days.push((card_id, on, day)),
            Change::Reminder { reminder } => self.reminder = reminder,
            Change::FixedLimit { fen } => self.fixed_limit = Some(fen),
            Change::TemporaryLimit { fen, until } => self.temporary_limit = Some((fen, until)),
            Change::Opened { case } => self.cases.push(case),
            Change::PointsSpent { at, points, on } => self.points_spent.push((at, points, on)),
            Change::Profile { part, masked, at } => {
                if part == ProfilePart::Phone {
                    self.phone_changed_at = at;
                }
                self.profile.insert(part, masked);
            }
        }
    }
}
