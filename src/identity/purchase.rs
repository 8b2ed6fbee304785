//! The page of one transaction: which one a session looks at, and what came of what was tapped there.

use serde::{Deserialize, Serialize};

use super::{Identity, IdentityError, PageAnswer, Visit};

/// The transaction that a session looks at.
#[derive(Clone, Serialize, Deserialize)]
pub struct LookedAt {
    /// The bank's id, out of a link that we signed.
    pub transaction_id: String,
    /// What came of the last tap.
    pub answer: Option<PageAnswer>,
}

impl Identity {
    /// The transaction that this visit looks at.
    #[must_use]
    pub fn purchase<'a>(&self, visit: &'a Visit) -> Option<&'a LookedAt> {
        visit.state.purchase.as_ref()
    }

    /// Keeps what came of a tap, so that the page shows it also when it is loaded again.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn keep_purchase_answer(
        &self,
        visit: &mut Visit,
        kept: Option<PageAnswer>,
    ) -> Result<(), IdentityError> {
        if let Some(LookedAt { answer, .. }) = &mut visit.state.purchase {
            *answer = kept;
            self.save_visit(visit).await?;
        }
        Ok(())
    }
}
