//! The page of one transaction, to which its alert leads: what it was, and what its holder says to it.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::pages::{self, Notice, PurchasePage};
use super::{Guest, LinkQuery, admit, failure, see_other, welcome};
use crate::alerts::{Alerts, Surroundings};
use crate::domain::binding::Binding;
use crate::domain::money::Money;
use crate::domain::secret::Personal;
use crate::domain::transaction::Transaction;
use crate::identity::{Identity, Page, PageAnswer, Place, Resumer};
use crate::marketing::Marketing;

/// What is tapped is answered on the page within this time; the chat has it anyway.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest name of a merchant that is looked for or repeated, in characters.
const MERCHANT_CHARS_MAX: usize = 40;

/// What a button sends.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Tapped {
    csrf: String,
    /// Which of the choices of the last answer.
    choice: Option<usize>,
}

/// A service that the page offers where the bank has it.
pub(super) struct Offer {
    pub(super) step: &'static str,
    pub(super) words: &'static str,
}

/// What can be tapped: the step in the address, the words, the service, and where its answer is given.
const OFFERS: [(&str, &str, &str, Place); 5] = [
    ("deny", "不是我", "fraud_deny", Place::PageAndChat),
    ("confirm", "是我", "fraud_confirm", Place::PageAndChat),
    ("why", "为什么没成功", "card_declined_reason", Place::Page),
    ("instalment", "分期", "inst_quote", Place::Page),
    ("similar", "看同类", "bill_detail", Place::Page),
];

/// A transaction, whose it is, and what is around it.
struct Shown {
    binding: Binding,
    surroundings: Surroundings,
}

impl Shown {
    fn transaction(&self) -> &Transaction {
        &self.surroundings.transaction
    }
}

pub(super) async fn show(
    identity: Data<Identity>,
    alerts: Data<Alerts>,
    marketing: Data<Marketing>,
    resumer: Data<dyn Resumer>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<LinkQuery>,
) -> HttpResponse {
    let guest = match welcome(&identity, &request, &account, Page::Purchase, query.t.as_deref()).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    let shown = match shown(&identity, &alerts, &guest).await {
        Ok(shown) => shown,
        Err(response) => return response,
    };
    let answer = identity.purchase(&guest.visit).and_then(|looked_at| looked_at.answer.as_ref());
    let account = guest.visit.account();
    let offers = OFFERS
        .into_iter()
        .filter(|(step, _, service, _)| {
            resumer.title(account, service).is_some() && fits(step, shown.transaction())
        })
        .map(|(step, words, ..)| Offer { step, words });
    let Shown { binding, surroundings } = &shown;
    let occasion = surroundings.occasion(binding.product_of(&shown.transaction().card_last4));
    let adverts =
        marketing.show_offers_for(account, guest.visit.follower(), &binding.customer, &occasion).await;
    let hide_amounts = binding.alerts_of_tail(Some(&shown.transaction().card_last4)).hide_amounts;
    let page = PurchasePage {
        transaction: shown.transaction(),
        hide_amounts,
        remarks: alerts.remarks(surroundings, hide_amounts),
        offers: offers.collect(),
        // A page about somebody's money does not fail because an advert could not be read.
        adverts: adverts.unwrap_or_else(|error| {
            tracing::warn!(%error, "offers could not be read; the page of a purchase was shown without");
            Vec::new()
        }),
        answer,
    };
    pages::purchase(&guest.frame, page)
}

/// Whether a step makes sense for a transaction.
fn fits(step: &str, transaction: &Transaction) -> bool {
    use crate::domain::transaction::TransactionType::{CashAdvance, Declined, Preauth, Purchase};
    match step {
        "deny" | "confirm" => matches!(transaction.kind, Purchase | CashAdvance | Preauth | Declined),
        "why" => transaction.kind == Declined,
        "instalment" => transaction.kind == Purchase,
        _ => transaction.merchant.as_ref().is_some_and(|merchant| !merchant.name.trim().is_empty()),
    }
}

/// The transaction that the session looks at, if it is the follower's own now.
async fn shown(identity: &Identity, alerts: &Alerts, guest: &Guest) -> Result<Shown, HttpResponse> {
    let failed = |error| failure(&guest.frame, &crate::identity::IdentityError::Store(error));
    let (account, follower) = (guest.visit.account(), guest.visit.follower());
    let none = || Notice::no_purchase(&guest.frame).respond(StatusCode::NOT_FOUND);
    let id = identity.purchase(&guest.visit).map(|looked_at| looked_at.transaction_id.as_str());
    let binding = identity.binding(account, follower).await.map_err(failed)?.ok_or_else(none)?;
    let found = alerts.surroundings(&binding.customer, id.ok_or_else(none)?).await.map_err(failed)?;
    Ok(Shown { surroundings: found.ok_or_else(none)?, binding })
}

pub(super) async fn submit(
    identity: Data<Identity>,
    alerts: Data<Alerts>,
    resumer: Data<dyn Resumer>,
    request: HttpRequest,
    path: Path<(String, String)>,
    form: Form<Tapped>,
) -> HttpResponse {
    let (account, step) = path.into_inner();
    let tapped = form.into_inner();
    let mut guest = match admit(&identity, &request, &account, &tapped.csrf).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    let shown = match shown(&identity, &alerts, &guest).await {
        Ok(shown) => shown,
        Err(response) => return response,
    };
    let wanted = match step.as_str() {
        "choose" => chosen(&identity, &guest, tapped.choice).map(|wish| (wish, Place::PageAndChat)),
        step => offered(step, &shown),
    };
    let Some((wish, place)) = wanted else {
        return Notice::not_found().respond(StatusCode::NOT_FOUND);
    };
    let (account, follower) = (guest.visit.account().clone(), guest.visit.follower());
    let answer = resumer.act(&account, follower, &wish, place);
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer).await.ok().flatten();
    let answer = answer.unwrap_or_else(|| PageAnswer {
        text: "正在为您处理，请回到公众号对话查看结果。".to_owned(),
        choices: Vec::new(),
    });
    match identity.keep_purchase_answer(&mut guest.visit, Some(answer)).await {
        Ok(()) => see_other(&guest.frame, Page::Purchase.path()),
        Err(error) => failure(&guest.frame, &error),
    }
}

/// What one of the page's own buttons wants, as the dialogue writes wishes down.
fn offered(step: &str, shown: &Shown) -> Option<(Personal, Place)> {
    let (binding, transaction) = (&shown.binding, shown.transaction());
    let (.., service, place) = OFFERS.into_iter().find(|(name, ..)| *name == step)?;
    fits(step, transaction).then_some(())?;
    let card = binding.cards.iter().find(|card| card.tail == transaction.card_last4);
    let id = transaction.transaction_id.as_str();
    let given = match step {
        "deny" => json!({ "card_id": card?.card_id, "transaction_id": id }),
        "similar" => json!({ "merchant": merchant(transaction)? }),
        _ => json!({ "transaction_id": id }),
    };
    let chosen = json!({ "transaction_id": in_words(transaction) });
    let wish = json!({ "service": service, "given": given, "chosen": chosen });
    Some((Personal::new(wish.to_string()), place))
}

/// A transaction in the words of an answer, by which customer and agent know it again.
fn in_words(transaction: &Transaction) -> String {
    let amount = transaction.amount.money().map(Money::display);
    [merchant(transaction), amount].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn merchant(transaction: &Transaction) -> Option<String> {
    let name = transaction.merchant.as_ref()?.name.trim();
    Some(name.chars().take(MERCHANT_CHARS_MAX).collect())
}

/// What a button of the last answer wants; it stands in the session.
fn chosen(identity: &Identity, guest: &Guest, choice: Option<usize>) -> Option<Personal> {
    let answer = identity.purchase(&guest.visit)?.answer.as_ref()?;
    answer.choices.get(choice?).map(|(_, wish)| Personal::new(wish))
}
