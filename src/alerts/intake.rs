//! Taking in: each item is checked alone; what is new becomes rows, what is known is a duplicate.

use std::collections::BTreeMap;

use serde_json::Value;
use zeroize::Zeroizing;

use super::Alerts;
use super::kinds::Kind;
use crate::domain::ids::{AccountId, CustomerId};
use crate::domain::notice::Notice;
use crate::domain::time::UnixMs;
use crate::domain::transaction::{ID_CHARS_MAX, Transaction, Wrong};
use crate::store::{Family, NewNotice, StoreError, Write};
use crate::telemetry::trace;

/// What became of a list of items.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// New items.
    pub accepted: usize,
    /// Items whose id was known.
    pub duplicates: usize,
    /// Items that cannot be used.
    pub rejected: Vec<Rejected>,
}

/// An item that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Its place in the list, from 0.
    pub index: usize,
    /// Its id, as far as it has one.
    pub id: Option<String>,
    /// What is wrong; names the field.
    pub error: String,
}

/// Writes that make a list of items durable, and the answer that is true once they stand.
pub struct Intake {
    /// For one commit. [`crate::store::Conflict::Duplicate`]: somebody else brought one of the items at the same
    /// moment; decide anew.
    pub writes: Vec<Write>,
    /// The answer.
    pub taken: Taken,
}

/// An item that passed its checks.
struct Item {
    id: String,
    customer: CustomerId,
    kind: String,
    deadline: Option<UnixMs>,
    body_ix: [u8; 32],
    payload: Zeroizing<Vec<u8>>,
}

impl Alerts {
    /// Decides what to do with a list of items.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn intake(&self, family: Family, items: &[Value]) -> Result<Intake, StoreError> {
        let now = self.clock.now();
        let mut intake = Intake { writes: Vec::new(), taken: Taken::default() };
        let mut checked = Vec::new();
        for (index, value) in items.iter().enumerate() {
            match self.check(family, value, now) {
                Ok(item) => checked.push(item),
                Err(wrong) => {
                    let id = id_of(family, value);
                    intake.taken.rejected.push(Rejected { index, id, error: wrong.to_string() });
                }
            }
        }
        let ids: Vec<&str> = checked.iter().map(|item| item.id.as_str()).collect();
        let mut known = self.store.known_notices(family, &ids).await?;
        for item in checked {
            if let Some(before) = known.get(&item.id) {
                intake.taken.duplicates += 1;
                if before != item.body_ix.as_slice() {
                    intake.writes.push(self.audit_of_another_body(family, &item.id)?);
                }
                continue;
            }
            known.insert(item.id.clone(), item.body_ix.to_vec());
            intake.writes.push(self.store.add_notice(&self.row(family, item, now))?);
            intake.taken.accepted += 1;
        }
        Ok(intake)
    }

    fn check(&self, family: Family, value: &Value, now: UnixMs) -> Result<Item, Wrong> {
        let body_ix = self.store.body_index(canonical(value).as_bytes());
        let no_customer = || Wrong::new("customer_id", "is no usable id");
        match family {
            Family::Transaction => {
                let transaction = Transaction::parse(value, now)?;
                Ok(Item {
                    id: transaction.transaction_id.clone(),
                    customer: CustomerId::parse(&transaction.customer_id).ok_or_else(no_customer)?,
                    kind: transaction.kind.notice().to_owned(),
                    deadline: None,
                    body_ix,
                    payload: json_of(&transaction)?,
                })
            }
            Family::Notice => {
                let notice = Notice::parse(value)?;
                Ok(Item {
                    id: notice.notice_id.clone(),
                    customer: CustomerId::parse(&notice.customer_id).ok_or_else(no_customer)?,
                    kind: notice.kind.clone(),
                    deadline: notice.deadline_ms,
                    body_ix,
                    payload: json_of(&notice)?,
                })
            }
        }
    }

    fn row(&self, family: Family, item: Item, now: UnixMs) -> NewNotice {
        let kinds = self.kinds.load();
        let kind = kinds.of(&item.kind);
        let deadline = item.deadline.unwrap_or(now + kind.deadline);
        NewNotice {
            family,
            notice_id: item.id,
            customer: item.customer,
            lane: kind.lane,
            kind: item.kind,
            body_ix: item.body_ix,
            accepted: now,
            deadline,
            expires: (now + kind.keep_for).max(deadline).min(now + Kind::KEEP_FOR_MAX),
            payload: item.payload,
            trace: trace::current_id(),
        }
    }

    fn audit_of_another_body(&self, family: Family, id: &str) -> Result<Write, StoreError> {
        tracing::warn!(
            family = family.name(),
            "the bank sent a known id with another body; it is not told again. The audit names it: see that ids are not used twice"
        );
        let detail = format!("{} {id} came again with another body", family.name());
        self.store.audit("bank", "duplicate_with_another_body", &AccountId::new("-"), None, Some(&detail))
    }
}

/// The id, if it is short enough to be told back.
fn id_of(family: Family, value: &Value) -> Option<String> {
    let name = match family {
        Family::Transaction => "transaction_id",
        Family::Notice => "notice_id",
    };
    let id = value.get(name)?.as_str()?;
    Some(id.chars().take(ID_CHARS_MAX).collect())
}

/// JSON with sorted members, so that the same item is the same body however it is written.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, String> =
                members.iter().map(|(name, value)| (name, canonical(value))).collect();
            format!("{sorted:?}")
        }
        Value::Array(values) => format!("{:?}", values.iter().map(canonical).collect::<Vec<_>>()),
        other => other.to_string(),
    }
}

fn json_of(item: &impl serde::Serialize) -> Result<Zeroizing<Vec<u8>>, Wrong> {
    serde_json::to_vec(item).map(Zeroizing::new).map_err(|_| Wrong::new("item", "cannot be kept as JSON"))
}
