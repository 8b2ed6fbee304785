//! Who asked for offers, and which he was shown.

use super::value::statements;
use super::{Store, StoreError, Write};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::time::UnixMs;

/// Offers shown to one follower that a decision may look at.
const SHOWN_MAX: i64 = 1_000;

statements! {
    CHOOSE = "INSERT INTO marketing_choice (account, fkey, opted_in, version, changed_ms) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (account, fkey) DO UPDATE SET opted_in = $3, version = $4, changed_ms = $5";
    CHOICE = "SELECT opted_in, version, changed_ms FROM marketing_choice WHERE account = $1 AND fkey = $2";
    SHOW = "INSERT INTO offer_shown (account, fkey, offer, day, shown_ms) VALUES ($1, $2, $3, $4, $5) \
        ON CONFLICT (account, fkey, offer, day) DO NOTHING";
    SHOWN = "SELECT offer, day, shown_ms FROM offer_shown WHERE account = $1 AND fkey = $2 \
        ORDER BY shown_ms DESC LIMIT $3";
    ERASE_CHOICE = "DELETE FROM marketing_choice WHERE account = $1 AND fkey = $2";
    ERASE_SHOWN = "DELETE FROM offer_shown WHERE account = $1 AND fkey = $2";
    SWEEP = "DELETE FROM offer_shown WHERE shown_ms < $1";
}

/// What a follower said to offers last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarketingChoice {
    /// Whether he wants them.
    pub opted_in: bool,
    /// The version of the text that he agreed to, or left.
    pub version: String,
    /// When he said so.
    pub changed: UnixMs,
}

/// An offer that a follower was shown on a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownOffer {
    /// The offer's file, without its end.
    pub offer: String,
    /// The day in Beijing: `2026-11-22`.
    pub day: String,
    /// When, first on that day.
    pub at: UnixMs,
}

impl Store {
    /// Notes what a follower says to offers; it takes the place of what he said before.
    #[must_use]
    pub fn choose_marketing(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        choice: &MarketingChoice,
    ) -> Write {
        let args = vec![
            account.as_str().into(),
            follower.into(),
            choice.opted_in.into(),
            choice.version.as_str().into(),
            choice.changed.into(),
        ];
        Write::new(CHOOSE, args)
    }

    /// What a follower said to offers last; `None`: nothing, so he gets none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn marketing_choice(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<MarketingChoice>, StoreError> {
        let row = self.fetch_one(CHOICE, vec![account.as_str().into(), follower.into()]).await?;
        row.map(|row| {
            let (opted_in, version) = (row.flag(0)?, row.text(1)?.to_owned());
            Ok(MarketingChoice { opted_in, version, changed: row.time(2)? })
        })
        .transpose()
    }

    /// Notes that a follower was shown an offer; a second time on one day counts as one.
    #[must_use]
    pub fn show_offer(&self, account: &AccountId, follower: FollowerKey, shown: &ShownOffer) -> Write {
        let args = vec![
            account.as_str().into(),
            follower.into(),
            shown.offer.as_str().into(),
            shown.day.as_str().into(),
            shown.at.into(),
        ];
        Write::new(SHOW, args)
    }

    /// What a follower was shown, the newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn offers_shown(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Vec<ShownOffer>, StoreError> {
        let args = vec![account.as_str().into(), follower.into(), SHOWN_MAX.into()];
        let rows = self.fetch(SHOWN, args).await?;
        let read = |row: &super::Row| {
            let (offer, day) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            Ok(ShownOffer { offer, day, at: row.time(2)? })
        };
        rows.iter().map(read).collect()
    }

    /// Forgets what a follower said to offers and was shown.
    #[must_use]
    pub fn erase_marketing(&self, account: &AccountId, follower: FollowerKey) -> [Write; 2] {
        let args = || vec![account.as_str().into(), follower.into()];
        [Write::new(ERASE_CHOICE, args()), Write::new(ERASE_SHOWN, args())]
    }

    /// Forgets offers shown before a moment.
    #[must_use]
    pub fn sweep_offers(&self, before: UnixMs) -> Write {
        Write::new(SWEEP, vec![before.into()])
    }
}
