//! What a follower's card was used for, and his statements: what the page with the charts shows.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{CoreFault, Identity, IdentityError, Question, Visit};
use crate::domain::card::Card;
use crate::domain::money::Money;

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

#[derive(Deserialize)]
struct Sum {
    value: String,
    currency: String,
}

impl Sum {
    fn money(&self) -> Option<Money> {
        Money::parse(&self.value, &self.currency).ok()
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
        let statements = match ask("bill_history", json!({})).await {
            Ok(history) => statements(history),
            Err(fault) => return Ok(Err(fault)),
        };
        let named = statements.iter().find(|one| month == Some(one.month.as_str()));
        let month = named.or(statements.first()).map(|one| one.month.clone());
        let wanted = json!({ "month": month.as_deref().unwrap_or("unbilled") });
        let Categories { from, to, categories } = match ask("spending_categories", wanted).await {
            // Its form was checked against the schema where it came in.
            Ok(told) => serde_json::from_value::<Categories>(told)?,
            Err(fault) => return Ok(Err(fault)),
        };
        let categories = categories.into_iter().filter_map(|row| {
            let amount = row.amount.money().filter(|amount| amount.minor() > 0)?;
            Some(Category { name: row.name, amount, count: row.count })
        });
        let categories = categories.collect();
        Ok(Ok(Some(Spending { card, month, from, to, categories, statements })))
    }
}

fn statements(history: Value) -> Vec<Statement> {
    let history = serde_json::from_value(history).unwrap_or(History { bills: Vec::new() });
    let statement = |bill: Bill| {
        let amounts = bill.amounts.iter();
        let amounts = amounts.filter_map(|one| Some((one.amount_due.money()?, one.repaid_in_full)));
        Statement { month: bill.month, amounts: amounts.collect() }
    };
    history.bills.into_iter().map(statement).collect()
}
