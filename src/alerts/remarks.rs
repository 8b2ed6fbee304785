//! What is said with a transaction because the moment asks for it: the rules of `occasions` on what is stored here.

use std::time::Duration;

use super::Alerts;
use super::told::Told;
use crate::domain::ids::CustomerId;
use crate::domain::time::UnixMs;
use crate::domain::transaction::Transaction;
use crate::occasions::{Kindnesses, Occasion, Remark};
use crate::store::{Family, NoticeRow, StoreError};

/// Transactions of the same customer that a rule may look at.
const RECENT_MAX: usize = 20;
/// How far back they were accepted.
const RECENT: Duration = Duration::from_secs(24 * 3600);

/// A transaction with what is stored around it.
pub struct Surroundings {
    /// The transaction.
    pub transaction: Transaction,
    original: Option<Transaction>,
    recent: Vec<Transaction>,
}

impl Surroundings {
    /// As the rules see it. `product`: the card's, as binding stored it.
    #[must_use]
    pub fn occasion<'a>(&'a self, product: Option<&'a str>) -> Occasion<'a> {
        let Self { transaction, original, recent } = self;
        Occasion { transaction, original: original.as_ref(), recent, product }
    }
}

impl Alerts {
    /// A customer's transaction with what is around it; `None` when it is not known, or another customer's.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn surroundings(
        &self,
        customer: &CustomerId,
        transaction_id: &str,
    ) -> Result<Option<Surroundings>, StoreError> {
        let Some(row) = self.store.notice(Family::Transaction, transaction_id).await? else {
            return Ok(None);
        };
        let transaction = read(&row)?;
        if transaction.customer_id != customer.reveal() {
            return Ok(None);
        }
        self.around(customer, transaction, row.accepted).await.map(Some)
    }

    /// The customer's newest transaction with what is around it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_surroundings(
        &self,
        customer: &CustomerId,
        since: UnixMs,
    ) -> Result<Option<Surroundings>, StoreError> {
        let newest = self.store.notices_of(Family::Transaction, customer, since, 1).await?;
        let Some(row) = newest.first() else { return Ok(None) };
        self.around(customer, read(row)?, row.accepted).await.map(Some)
    }

    /// Everything that is to be said with a transaction, first what is said first.
    #[must_use]
    pub fn remarks(&self, surroundings: &Surroundings, hide_amounts: bool) -> Vec<Remark> {
        self.kindnesses.load().remarks(&surroundings.occasion(None), hide_amounts)
    }

    /// The line of a template for what is told now, if there is one.
    pub(super) async fn note(
        &self,
        row: &NoticeRow,
        told: &Told,
        hide_amounts: bool,
    ) -> Result<Option<String>, StoreError> {
        if let Some(bill) = &told.bill {
            return Ok(self.kindnesses.load().note_on_bill(&row.kind, bill, row.accepted, hide_amounts));
        }
        if row.family != Family::Transaction {
            return Ok(None);
        }
        let transaction = read(row)?;
        let alone = Occasion { transaction: &transaction, original: None, recent: &[], product: None };
        if !self.kindnesses.load().concern(&alone) {
            return Ok(None);
        }
        let Some(customer) = CustomerId::parse(&transaction.customer_id) else { return Ok(None) };
        let surroundings = self.around(&customer, transaction, row.accepted).await?;
        Ok(self.remarks(&surroundings, hide_amounts).into_iter().find_map(|remark| remark.note))
    }

    async fn around(
        &self,
        customer: &CustomerId,
        transaction: Transaction,
        accepted: UnixMs,
    ) -> Result<Surroundings, StoreError> {
        let since = accepted - RECENT;
        let rows = self.store.notices_of(Family::Transaction, customer, since, RECENT_MAX).await?;
        let mut recent = rows.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        recent.retain(|other| other.transaction_id != transaction.transaction_id);
        let original = match &transaction.original_transaction_id {
            None => None,
            Some(id) => {
                let row = self.store.notice(Family::Transaction, id).await?;
                let original = row.as_ref().map(read).transpose()?;
                // An id of another customer's transaction is a mistake of the bank that nobody else may read.
                original.filter(|original| original.customer_id == transaction.customer_id)
            }
        };
        Ok(Surroundings { transaction, original, recent })
    }

    /// From now on these rules hold.
    pub fn set_kindnesses(&self, kindnesses: Kindnesses) {
        self.kindnesses.store(std::sync::Arc::new(kindnesses));
    }
}

fn read(row: &NoticeRow) -> Result<Transaction, StoreError> {
    let bad = || StoreError::Decode { statement: "notice", column: 15 };
    serde_json::from_slice(&row.payload).map_err(|_| bad())
}
