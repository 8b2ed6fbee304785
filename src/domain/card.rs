//! The only parts of a card that we are ever given.

use serde::{Deserialize, Serialize};

/// The last four digits of a card number: all that a follower ever sees of it.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CardTail([u8; 4]);

/// Why a text is no card tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a card tail is exactly four digits")]
pub struct NotACardTail;

impl CardTail {
    /// Parses exactly four ASCII digits.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str) -> Result<Self, NotACardTail> {
        let digits: [u8; 4] = text.as_bytes().try_into().map_err(|_| NotACardTail)?;
        if digits.iter().all(u8::is_ascii_digit) { Ok(Self(digits)) } else { Err(NotACardTail) }
    }

    /// The four digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("????")
    }
}

impl TryFrom<String> for CardTail {
    type Error = NotACardTail;

    fn try_from(text: String) -> Result<Self, NotACardTail> {
        Self::parse(&text)
    }
}

impl From<CardTail> for String {
    fn from(tail: CardTail) -> Self {
        tail.as_str().to_owned()
    }
}

impl std::fmt::Debug for CardTail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CardTail(…)")
    }
}

/// A card of a bound customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// The core's reference of the card; opaque, at most 64 bytes.
    pub card_id: String,
    /// Last four digits.
    #[serde(rename = "last4")]
    pub tail: CardTail,
    /// Product name for customers: 金卡.
    pub product: String,
}
