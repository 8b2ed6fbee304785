//! What each follower proved himself with last.

use super::value::statements;
use super::{Row, Store, StoreError, Write};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::step_up::{Proof, StepUp};
use crate::domain::time::UnixMs;

statements! {
    PUT = "INSERT INTO step_up (account, fkey, customer_ix, scope, verified_ms, until_ms, proof) \
        VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (account, fkey) \
        DO UPDATE SET customer_ix = $3, scope = $4, verified_ms = $5, until_ms = $6, proof = $7";
    FIND = "SELECT s.scope, s.verified_ms, s.until_ms, s.proof FROM step_up s JOIN binding b \
        ON b.account = s.account AND b.fkey = s.fkey AND b.customer_ix = s.customer_ix \
        WHERE s.account = $1 AND s.fkey = $2";
    ERASE = "DELETE FROM step_up WHERE account = $1 AND fkey = $2";
    OLD = "DELETE FROM step_up WHERE until_ms < $1";
}

impl Store {
    /// Notes what a follower proved; it takes the place of what he proved before, and counts only while he is bound
    /// to this customer.
    #[must_use]
    pub fn put_step_up(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        customer: &CustomerId,
        step_up: &StepUp,
    ) -> Write {
        let args = vec![
            account.as_str().into(),
            follower.into(),
            self.customer_index(customer).into(),
            step_up.scope.as_str().into(),
            step_up.verified.into(),
            step_up.until.into(),
            step_up.proof.name().into(),
        ];
        Write::new(PUT, args)
    }

    /// What a follower proved last as the customer to whom he is bound; it may have run out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step_up(
        &self,
        account: &AccountId,
        follower: FollowerKey,
    ) -> Result<Option<StepUp>, StoreError> {
        let row = self.fetch_one(FIND, vec![account.as_str().into(), follower.into()]).await?;
        row.map(|row| read_step_up(&row, 0)).transpose()
    }

    /// Forgets what a follower proved.
    #[must_use]
    pub fn erase_step_up(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE, vec![account.as_str().into(), follower.into()])
    }

    /// Forgets what has run out.
    #[must_use]
    pub fn forget_step_ups(&self, before: UnixMs) -> Write {
        Write::new(OLD, vec![before.into()])
    }
}

/// Reads scope, start, end and proof from a column on. A proof that this version does not know proves nothing.
pub(super) fn read_step_up(row: &Row, first: usize) -> Result<StepUp, StoreError> {
    Ok(StepUp {
        scope: row.text(first)?.to_owned(),
        verified: row.time(first + 1)?,
        until: row.time(first + 2)?,
        proof: Proof::parse(row.text(first + 3)?).unwrap_or_default(),
    })
}
