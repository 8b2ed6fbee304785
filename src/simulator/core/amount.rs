//! Money on the wire: `{"value":"128.50","currency":"CNY"}`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::money::{Currency, Money, NotMoney};

/// An exact amount that reads and writes itself as the decimal string of the interface.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Amount(Money);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    value: String,
    currency: String,
}

impl Amount {
    pub(super) fn parse(value: &str, code: &str) -> Result<Self, NotMoney> {
        Money::parse(value, code).map(Self)
    }

    /// From minor units; beyond the range of money it stays at the end of the range.
    pub(super) fn new(minor: i64, currency: Currency) -> Self {
        Self(Money::saturating(minor, currency))
    }

    /// From fen.
    pub(super) fn yuan(minor: i64) -> Self {
        Self::new(minor, Currency::cny())
    }

    pub(super) fn minor(self) -> i64 {
        self.0.minor()
    }

    pub(super) fn currency(self) -> Currency {
        self.0.currency()
    }

    pub(super) fn money(self) -> Money {
        self.0
    }

    pub(super) fn negated(self) -> Self {
        Self::new(-self.minor(), self.currency())
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Wire { value: self.0.decimal(), currency: self.currency().code().to_owned() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Self::parse(&wire.value, &wire.currency).map_err(serde::de::Error::custom)
    }
}
