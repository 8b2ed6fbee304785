//! A customer's transactions as the bank reported them: what a chat and a page go back to.

use super::Alerts;
use crate::domain::ids::CustomerId;
use crate::domain::time::UnixMs;
use crate::domain::transaction::Transaction;
use crate::store::{Family, StoreError};

/// Transactions that one look gives at most.
const RECENT_MAX: usize = 50;

impl Alerts {
    /// What the bank reported of a customer's cards since a moment, the newest first.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn recent(&self, customer: &CustomerId, since: UnixMs) -> Result<Vec<Transaction>, StoreError> {
        let rows = self.store.recent_transactions(customer, since, RECENT_MAX).await?;
        rows.iter().map(|json| Ok(serde_json::from_slice(json)?)).collect()
    }

    /// One transaction of a customer; `None`: the bank reported none of this id for him.
    ///
    /// # Errors
    /// When the database fails or a sealed value does not open.
    pub async fn transaction(
        &self,
        customer: &CustomerId,
        transaction_id: &str,
    ) -> Result<Option<Transaction>, StoreError> {
        let Some(row) = self.store.notice(Family::Transaction, transaction_id).await? else {
            return Ok(None);
        };
        let transaction: Transaction = serde_json::from_slice(&row.payload)?;
        Ok((transaction.customer_id == customer.reveal()).then_some(transaction))
    }
}
