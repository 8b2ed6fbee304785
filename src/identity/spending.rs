//! What a follower's card was used for, and his statements: what the page with the charts shows.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{CoreFault, Identity, IdentityError, Question, Visit};
use crate::domain::card::Card;
use crate::domain::money::{Money, NotMoney};

/// What was spent, and the statements of one card.
pub struct Spending {
    /// The card: the follower's default one.
    pub card: Card,
    /// The statement whose spending is shown, as `2026-11`; `None`: what is not billed yet.
    pub month: Option<String>,
    /// Its first day, as `2026-10-09`.
    pub from: String,
    /// Its last day.
    pub to: String,
    /// What was spent on what, the greatest first within a currency.
    pub categories: Vec<Category>,
    /// Up to twelve statements, the newest first.
    pub statements: Vec<Statement>,
}

/// What was spent on one kind of shop.
pub struct Category {
    /// 餐饮
    pub name: String,
    /// How much; more than nothing.
    pub amount: Money,
    /// How many purchases.
    pub count: u64,
}

/// One statement.
pub struct Statement {
    /// As `2026-11`.
    pub month: String,
    /// What was due, each currency apart, and whether it was repaid in full.
    pub amounts: Vec<(Money, bool)>,
}

/// An amount that the core tells. Its schema lets `1.234` in renminbi pass; a page that left it out would not add up.
#[derive(Deserialize)]
#[serde(try_from = "Written")]
struct Sum(Money);

#[derive(Deserialize)]
struct Written {
    value: String,
    currency: String,
}

impl TryFrom<Written> for Sum {
    type Error = NotMoney;

    fn try_from(written: Written) -> Result<Self, NotMoney> {
        Money::parse(&written.value, &written.currency).map(Self)
    }
}

#[derive(Deserialize)]
struct Categories {
    from: String,
    to: String,
    categories: Vec<CategoryRow>,
}

#[derive(Deserialize)]
struct CategoryRow {
    name: String,
    amount: Sum,
    count: u64,
}

#[derive(Deserialize)]
struct History {
    bills: Vec<Bill>,
}

#[derive(Deserialize)]
struct Bill {
    month: String,
    amounts: Vec<BillAmount>,
}

#[derive(Deserialize)]
struct BillAmount {
    amount_due: Sum,
    repaid_in_full: bool,
}

impl Identity {
    /// What the page with the charts shows to this visitor: of the statement of a month if it is one of his, else of the
    /// latest. `None`: he is not bound, or has no card.
    ///
    /// # Errors
    /// The outer one when the database fails, the inner one when the core did not tell.
    pub async fn spending(
        &self,
        visit: &Visit,
        month: Option<&str>,
    ) -> Result<Result<Option<Spending>, CoreFault>, IdentityError> {
        let binding = self.store.binding(visit.account(), visit.follower()).await?;
        let Some(binding) = binding else { return Ok(Ok(None)) };
        let Some(card) = binding.card().cloned() else { return Ok(Ok(None)) };
        let ask = async |operation, mut params: Value| {
            params["card_id"] = json!(card.card_id);
            let customer = Some(binding.customer.clone());
            let question = Question { customer, params, key: self.store.new_id(), client_ip: None };
            self.ask(visit, operation, question).await
        };
        let history = match ask("bill_history", json!({})).await {
            Ok(told) => self.read::<History>("bill_history", told),
            Err(fault) => Err(fault),
        };
        let statements = match history {
            Ok(history) => statements(history),
            Err(fault) => return Ok(Err(fault)),
        };
        let named = statements.iter().find(|one| month == Some(one.month.as_str()));
        let month = named.or(statements.first()).map(|one| one.month.clone());
        let wanted = json!({ "month": month.as_deref().unwrap_or("unbilled") });
        let spent = match ask("spending_categories", wanted).await {
            Ok(told) => self.read::<Categories>("spending_categories", told),
            Err(fault) => Err(fault),
        };
        let Categories { from, to, categories } = match spent {
            Ok(spent) => spent,
            Err(fault) => return Ok(Err(fault)),
        };
        let more_than_nothing = categories.into_iter().filter(|row| row.amount.0.minor() > 0);
        let categories =
            more_than_nothing.map(|row| Category { name: row.name, amount: row.amount.0, count: row.count });
        let categories = categories.collect();
        Ok(Ok(Some(Spending { card, month, from, to, categories, statements })))
    }

    /// What the core told, as the page needs it. Its form was checked against the schema, the amounts are checked here.
    fn read<T: DeserializeOwned>(&self, operation: &str, told: Value) -> Result<T, CoreFault> {
        serde_json::from_value(told).map_err(|_| {
            let reference = self.reference();
            tracing::warn!(
                operation,
                reference,
                "the core told an amount that its currency cannot have; the page is not shown: correct it there"
            );
            CoreFault::Down { reference }
        })
    }
}

fn statements(history: History) -> Vec<Statement> {
    let statement = |bill: Bill| {
        let amounts = bill.amounts.into_iter().map(|one| (one.amount_due.0, one.repaid_in_full));
        Statement { month: bill.month, amounts: amounts.collect() }
    };
    history.bills.into_iter().map(statement).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_that_cannot_be_is_no_amount_left_out() {
        let history = |value: &str, currency: &str| {
            let due = json!({ "value": value, "currency": currency });
            let amounts = json!([{ "amount_due": due, "repaid_in_full": true }]);
            serde_json::from_value::<History>(
                json!({ "bills": [{ "month": "2026-11", "amounts": amounts }] }),
            )
        };
        let told = statements(history("128.50", "CNY").unwrap());
        assert_eq!(told[0].amounts, [(Money::parse("128.50", "CNY").unwrap(), true)]);
        for (value, currency) in [("1.234", "CNY"), ("1", "XXY"), ("1e3", "USD")] {
            assert!(history(value, currency).is_err(), "{value} {currency}");
        }
    }
}
