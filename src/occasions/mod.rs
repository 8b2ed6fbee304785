//! What suits a transaction: kindnesses that are told with it, and offers that may stand beside it on a page or in an
//! answer. The rules are files that staff edit; deciding is pure.

mod kindness;
mod lint;
mod offer;
#[cfg(test)]
mod offer_tests;
#[cfg(test)]
mod tests;
mod text;
mod when;

pub use kindness::{Kindnesses, Remark};
pub use offer::{Audience, Chosen, Offer, Offers, Shown};

use crate::domain::transaction::{Amount, Transaction};

/// A transaction with what is known around it.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
    /// The transaction.
    pub transaction: &'a Transaction,
    /// What it refunds, reverses or releases, where that was told here.
    pub original: Option<&'a Transaction>,
    /// Other transactions of the same customer that were told shortly before or after it.
    pub recent: &'a [Transaction],
    /// The card's product as binding stored it: 金卡.
    pub product: Option<&'a str>,
}

impl Occasion<'_> {
    /// What it costs in renminbi, if that is known.
    fn yuan(&self) -> Option<i64> {
        let transaction = self.transaction;
        [Some(&transaction.amount), transaction.billing_amount.as_ref()].into_iter().flatten().find_map(fen)
    }

    /// Whether it is billed in another currency than it was made in.
    fn is_foreign(&self) -> bool {
        let billed = self.transaction.billing_amount.as_ref();
        billed.is_some_and(|billed| billed.currency != self.transaction.amount.currency)
    }
}

/// An amount of renminbi in fen.
fn fen(amount: &Amount) -> Option<i64> {
    if amount.currency != "CNY" {
        return None;
    }
    amount.money().map(crate::domain::money::Money::minor)
}
