//! A customer's transactions as the bank reported them, and changes at the core that are owed.

use zeroize::Zeroizing;

use super::notice::{PAYLOAD, row_of};
use super::outbox::count;
use super::value::statements;
use super::{Conflict, Family, Store, StoreError, Write};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::time::UnixMs;
use crate::keys::Place;

const REQUEST: Place = Place("owed_call.request");

/// Owed calls that one look finds at most.
const DUE_MAX: i64 = 64;

statements! {
    RECENT = "SELECT notice_id, payload_sealed FROM notice WHERE customer_ix = $1 AND accepted_ms >= $2 \
        AND family = 'transaction' ORDER BY accepted_ms DESC LIMIT $3";
    OWE = "INSERT INTO owed_call (call_id, account, fkey, due_ms, expires_ms, tries, request_sealed) \
        VALUES ($1, $2, $3, $4, $5, 0, $6) ON CONFLICT (call_id) DO NOTHING";
    DUE = "SELECT call_id, account, fkey, expires_ms, tries, request_sealed FROM owed_call WHERE due_ms <= $1 \
        ORDER BY due_ms LIMIT $2";
    DELAY = "UPDATE owed_call SET tries = tries + 1, due_ms = $3 WHERE call_id = $1 AND tries = $2";
    END = "DELETE FROM owed_call WHERE call_id = $1";
    ERASE = "DELETE FROM owed_call WHERE account = $1 AND fkey = $2";
}

/// A change at the core that is tried until it is done.
#[derive(Clone)]
pub struct OwedCall {
    /// Its id; also its idempotency key.
    pub call_id: String,
    /// Where it was promised.
    pub account: AccountId,
    /// To whom.
    pub follower: FollowerKey,
    /// Past it nobody tries any more.
    pub expires: UnixMs,
    /// Tries so far.
    pub tries: i64,
    /// The inbound room's own JSON.
    pub request: Zeroizing<Vec<u8>>,
}

impl Store {
    /// What the bank reported of a customer's cards since a moment, as JSON of
    /// [`crate::domain::transaction::Transaction`], the newest first.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn recent_transactions(
        &self,
        customer: &CustomerId,
        since: UnixMs,
        rows_max: usize,
    ) -> Result<Vec<Zeroizing<Vec<u8>>>, StoreError> {
        let args = vec![self.customer_index(customer).into(), since.into(), count(rows_max).into()];
        let rows = self.fetch(RECENT, args).await?;
        rows.iter()
            .map(|row| {
                let key = row_of(Family::Transaction, row.text(0)?);
                Ok(self.vault().open(PAYLOAD, &key, row.blob(1)?)?)
            })
            .collect()
    }

    /// Notes a change that is owed, first tried at `due`.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn owe_call(&self, call: &OwedCall, due: UnixMs) -> Result<Write, StoreError> {
        let args = vec![
            call.call_id.as_str().into(),
            call.account.as_str().into(),
            call.follower.into(),
            due.into(),
            call.expires.into(),
            self.vault().seal(REQUEST, call.call_id.as_bytes(), &call.request)?.into(),
        ];
        Ok(Write::one(OWE, args, Conflict::Duplicate))
    }

    /// Owed changes whose time to be tried has come.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn due_owed_calls(&self, now: UnixMs) -> Result<Vec<OwedCall>, StoreError> {
        let rows = self.fetch(DUE, vec![now.into(), DUE_MAX.into()]).await?;
        rows.iter()
            .map(|row| {
                let call_id = row.text(0)?.to_owned();
                let request = self.vault().open(REQUEST, call_id.as_bytes(), row.blob(5)?)?;
                Ok(OwedCall {
                    account: AccountId::new(row.text(1)?),
                    follower: row.follower(2)?,
                    expires: row.time(3)?,
                    tries: row.int(4)?,
                    call_id,
                    request,
                })
            })
            .collect()
    }

    /// Takes an owed change in hand and keeps others away until then; [`Conflict::Lost`] when somebody else has it.
    #[must_use]
    pub fn delay_owed_call(&self, call: &OwedCall, until: UnixMs) -> Write {
        let args = vec![call.call_id.as_str().into(), call.tries.into(), until.into()];
        Write::one(DELAY, args, Conflict::Lost)
    }

    /// It is done, or given up; [`Conflict::Lost`] when that was noted before.
    #[must_use]
    pub fn end_owed_call(&self, call_id: &str) -> Write {
        Write::one(END, vec![call_id.into()], Conflict::Lost)
    }

    /// Forgets what was owed to a follower.
    #[must_use]
    pub fn erase_owed_calls(&self, account: &AccountId, follower: FollowerKey) -> Write {
        Write::new(ERASE, vec![account.as_str().into(), follower.into()])
    }
}
