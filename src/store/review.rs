//! Messages that were not understood at once, kept so that staff make examples of them.

use super::value::statements;
use super::{Conflict, Row, Store, StoreError, Write};
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::keys::Place;

const TEXT: Place = Place("review.text");

/// Messages that one look shows.
const SHOWN_MAX: i64 = 500;

statements! {
    KEEP = "INSERT INTO review (review_id, account, fkey, kind, nearest, chosen, said_ms, text_sealed) \
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    LIST = "SELECT review_id, account, kind, nearest, chosen, said_ms, text_sealed FROM review \
        ORDER BY said_ms DESC, review_id DESC LIMIT $1";
    ONE = "SELECT review_id, account, kind, nearest, chosen, said_ms, text_sealed FROM review WHERE review_id = $1";
    END = "DELETE FROM review WHERE review_id = $1";
    SWEEP = "DELETE FROM review WHERE said_ms < $1";
    ERASE = "DELETE FROM review WHERE account = $1 AND fkey = $2";
}

/// A message that staff should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Its id.
    pub review_id: String,
    /// The account that was written to.
    pub account: AccountId,
    /// What showed that it was not understood: `refused`, `chosen`, `corrected`, `escalated`.
    pub kind: String,
    /// The service that it was taken for most likely; empty: none.
    pub nearest: String,
    /// The service that the customer chose himself.
    pub chosen: Option<String>,
    /// When.
    pub said: UnixMs,
    /// What he wrote, masked.
    pub text: Personal,
}

impl Store {
    /// Keeps a message for review.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn keep_for_review(&self, follower: FollowerKey, review: &Review) -> Result<Write, StoreError> {
        let id = review.review_id.as_str();
        let args = vec![
            id.into(),
            review.account.as_str().into(),
            follower.into(),
            review.kind.as_str().into(),
            review.nearest.as_str().into(),
            review.chosen.clone().into(),
            review.said.into(),
            self.vault().seal(TEXT, id.as_bytes(), review.text.reveal().as_bytes())?.into(),
        ];
        Ok(Write::new(KEEP, args))
    }

    /// What waits for review, the newest first; at most 500.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn reviews(&self) -> Result<Vec<Review>, StoreError> {
        let rows = self.fetch(LIST, vec![SHOWN_MAX.into()]).await?;
        rows.iter().map(|row| self.review_of(row)).collect()
    }

    /// One message that waits for review.
    ///
    /// # Errors
    /// When the database fails or the sealed value does not open.
    pub async fn review(&self, review_id: &str) -> Result<Option<Review>, StoreError> {
        let row = self.fetch_one(ONE, vec![review_id.into()]).await?;
        row.map(|row| self.review_of(&row)).transpose()
    }

    /// It was looked at; [`Conflict::Lost`] when somebody else did so before.
    #[must_use]
    pub fn end_review(&self, review_id: &str) -> Write {
        Write::one(END, vec![review_id.into()], Conflict::Lost)
    }

    /// Forgets what waited since before a moment.
    #[must_use]
    pub fn sweep_reviews(&self, before: UnixMs) -> Write {
        Write::new(SWEEP, vec![before.into()])
    }

    /// Forgets what a follower wrote.
    #[must_use]
    pub fn erase_reviews(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE, vec![account.as_str().into(), follower.into()])
    }

    fn review_of(&self, row: &Row) -> Result<Review, StoreError> {
        let review_id = row.text(0)?.to_owned();
        let text = self.vault().open(TEXT, review_id.as_bytes(), row.blob(6)?)?;
        Ok(Review {
            account: AccountId::new(row.text(1)?),
            kind: row.text(2)?.to_owned(),
            nearest: row.text(3)?.to_owned(),
            chosen: row.text_opt(4)?.map(str::to_owned),
            said: row.time(5)?,
            text: Personal::new(String::from_utf8_lossy(&text).into_owned()),
            review_id,
        })
    }
}
