//! What a stored item says.

use super::fields::{self, Values};
use super::plan::Cost;
use crate::domain::card::CardTail;
use crate::domain::ids::CustomerId;
use crate::domain::notice::Notice;
use crate::domain::time::UnixMs;
use crate::domain::transaction::{Bill, Transaction};
use crate::store::{Family, NoticeRow, StoreError};

/// What a stored item says.
pub(super) struct Told {
    pub(super) customer: CustomerId,
    pub(super) values: Values,
    /// The card that it speaks of, as far as that can be told.
    pub(super) tail: Option<CardTail>,
    pub(super) cost: Cost,
    /// When it happened.
    pub(super) happened: Option<UnixMs>,
    /// The deadline that the bank itself gave it.
    pub(super) deadline: Option<UnixMs>,
    /// The transaction itself.
    pub(super) transaction: Option<Transaction>,
    /// The bill that a notice tells of.
    pub(super) bill: Option<Bill>,
}

impl Told {
    pub(super) fn read(row: &NoticeRow) -> Result<Self, StoreError> {
        let bad = || StoreError::Decode { statement: "notice", column: 0 };
        match row.family {
            Family::Transaction => {
                let transaction: Transaction = serde_json::from_slice(&row.payload).map_err(|_| bad())?;
                Ok(Self {
                    customer: CustomerId::parse(&transaction.customer_id).ok_or_else(bad)?,
                    values: fields::of_transaction(&transaction),
                    tail: Some(transaction.card_last4.clone()),
                    cost: cost(&transaction),
                    happened: Some(transaction.occurred_ms),
                    deadline: None,
                    transaction: Some(transaction),
                    bill: None,
                })
            }
            Family::Notice => {
                let notice: Notice = serde_json::from_slice(&row.payload).map_err(|_| bad())?;
                Ok(Self {
                    customer: CustomerId::parse(&notice.customer_id).ok_or_else(bad)?,
                    values: fields::of_notice(&notice, row.accepted),
                    tail: notice.fields.get("card").and_then(|card| CardTail::parse(card).ok()),
                    cost: Cost::Nothing,
                    happened: None,
                    deadline: notice.deadline_ms,
                    transaction: None,
                    bill: notice.bill,
                })
            }
        }
    }
}

/// What it costs in yuan: as billed, where that is said, for a foreign amount says nothing.
fn cost(transaction: &Transaction) -> Cost {
    let billed = transaction.billing_amount.as_ref().and_then(|amount| amount.money());
    let amounts = [billed, transaction.amount.money()];
    let yuan = amounts.into_iter().flatten().find(|money| money.currency().code() == "CNY");
    yuan.map_or(Cost::Unknown, |money| Cost::Fen(money.minor()))
}
