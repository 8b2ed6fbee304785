//! What moves money on a card.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::amount::Amount;
use crate::domain::time::UnixMs;

/// The kinds of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Purchase,
    Refund,
    Reversal,
    CashAdvance,
    Repayment,
    Fee,
    Instalment,
    Declined,
    Preauth,
}

impl Kind {
    /// Whether it lowers what is owed.
    pub(super) fn is_credit(self) -> bool {
        matches!(self, Self::Refund | Self::Reversal | Self::Repayment)
    }

    /// Whether it stands on a statement.
    pub(super) fn is_booked(self) -> bool {
        !matches!(self, Self::Declined | Self::Preauth)
    }

    /// Whether the limit must suffice for it.
    pub(super) fn needs_limit(self) -> bool {
        matches!(self, Self::Purchase | Self::CashAdvance | Self::Instalment | Self::Preauth)
    }

    /// Whether it earns points, or takes them back.
    pub(super) fn earns_points(self) -> bool {
        matches!(self, Self::Purchase | Self::Refund | Self::Reversal)
    }

    /// What the statement calls it where no merchant is named.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Purchase => "消费",
            Self::Refund => "退款",
            Self::Reversal => "撤销",
            Self::CashAdvance => "预借现金",
            Self::Repayment => "还款",
            Self::Fee => "费用",
            Self::Instalment => "分期",
            Self::Declined => "交易未成功",
            Self::Preauth => "预授权",
        }
    }
}

/// The channels of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Channel {
    Pos,
    Online,
    WechatPay,
    Alipay,
    Atm,
    Recurring,
    Other,
}

/// One movement in a currency of its card. What the customer owes more is positive.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) transaction_id: String,
    pub(super) at: UnixMs,
    pub(super) kind: Kind,
    pub(super) merchant: String,
    pub(super) amount: Amount,
    /// What the merchant charged, where that was another currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) original: Option<Amount>,
    pub(super) channel: Channel,
    /// Why it was declined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// It lowers what is not billed yet, and is no payment towards the statement.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) unbilled: bool,
}

impl Entry {
    /// Whether it was declined for this reason.
    pub(super) fn declined_for(&self, reason: &str) -> bool {
        self.kind == Kind::Declined && self.reason.as_deref() == Some(reason)
    }

    /// The day in Beijing on which it counts.
    pub(super) fn on(&self) -> Date {
        self.at.beijing().date()
    }

    /// The same as a [`Day`].
    pub(super) fn day(&self) -> Day {
        Day((self.at.0 + BEIJING_MS).div_euclid(DAY_MS))
    }
}

const DAY_MS: i64 = 86_400_000;
const BEIJING_MS: i64 = 8 * 3_600_000;

/// A day counted from 1970: what sums over many bookings are compared by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i64);

impl From<Date> for Day {
    fn from(date: Date) -> Self {
        Self(date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24)
    }
}

/// RFC 3339 with Beijing's offset.
pub(super) fn rfc3339(at: UnixMs) -> String {
    at.beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
