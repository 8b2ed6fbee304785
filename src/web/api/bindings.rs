//! Bindings that the bank brings along, and those that it ends.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;

use super::answers::{NotTold, Refusal, RejectedBody, TakenBody, TakenIn};
use super::signed::Call;
use super::{BankApi, body, openapi};
use crate::domain::card::{Card, CardTail};
use crate::domain::ids::{CustomerId, Openid};
use crate::domain::transaction::{Wrong, moment};
use crate::identity::{IdentityError, ImportItem, ImportOutcome};
use crate::store::{Commit, CommitError, Conflict};

/// Longest text of a member, in characters.
const TEXT_CHARS_MAX: usize = 128;

/// Bring bindings along.
#[utoipa::path(
    post, path = "/api/v1/bindings", tag = "bindings", operation_id = "postBindings",
    description = "One object, an array of up to 1,000, or NDJSON. Idempotent by account and openid.",
    request_body(content((openapi::BindingItems = "application/json"), (String = "application/x-ndjson"))),
    responses(TakenIn))]
pub(super) async fn post_bindings(
    api: Data<BankApi>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let call = Call::read(&api, &request, payload).await?;
    if let Some(answer) = call.seen(&api).await? {
        return Ok(answer);
    }
    let mut taken = TakenBody { accepted: 0, duplicates: 0, rejected: vec![] };
    let mut reject = |index: usize, error: String| {
        taken.rejected.push(RejectedBody { index, transaction_id: None, notice_id: None, error });
    };
    let mut places = Vec::new();
    let mut items = Vec::new();
    for (index, value) in body::items(&call.body)?.iter().enumerate() {
        match item(value) {
            Ok(item) => {
                places.push(index);
                items.push(item);
            }
            Err(wrong) => reject(index, wrong.to_string()),
        }
    }
    let outcomes = api.identity.import(items).await?;
    for (index, outcome) in places.into_iter().zip(outcomes) {
        match outcome {
            ImportOutcome::Accepted => taken.accepted += 1,
            ImportOutcome::Duplicate => taken.duplicates += 1,
            ImportOutcome::Rejected(reason) => {
                let error = reason.to_owned();
                taken.rejected.push(RejectedBody { index, transaction_id: None, notice_id: None, error });
            }
        }
    }
    taken.rejected.sort_by_key(|rejected| rejected.index);
    let answer = serde_json::to_vec(&taken)?;
    let remember = api.store.remember_call(&call.key, &call.body, 202, Some(&answer))?;
    match api.store.commit(Commit::new(call.lane()).with(remember)).await {
        // Twice at the same moment: both did the same, each item once.
        Ok(()) | Err(CommitError::Conflict(Conflict::Duplicate)) => {
            Ok(HttpResponse::Accepted().content_type("application/json").body(answer))
        }
        Err(error) => Err(error.into()),
    }
}

/// Unbind and erase.
#[utoipa::path(
    delete, path = "/api/v1/bindings/{account}/{openid}", tag = "bindings", operation_id = "deleteBinding",
    description = "Unbinds and erases what the law says must go. Doing it again changes nothing.",
    params(("account" = String, Path, description = "The configured id of the account"),
        ("openid" = String, Path, description = "The follower, percent-encoded")),
    responses(
        (status = 204, description = "Unbound and erased, or never bound"),
        NotTold,
    ))]
pub(super) async fn delete_binding(
    api: Data<BankApi>,
    path: Path<(String, String)>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let call = Call::read(&api, &request, payload).await?;
    if call.seen(&api).await?.is_some() || api.store.was_reading(&call.key.webhook_id).await? {
        return Err(Refusal::unsigned("replayed"));
    }
    let (account, openid) = path.into_inner();
    let openid = Openid::parse(&openid).ok_or(Refusal::NotFound)?;
    if !api.identity.erase(&account, &openid).await? {
        return Err(Refusal::NotFound);
    }
    // Only now is the id used up: an erasure that failed may be asked for again.
    match call.use_up(&api).await {
        Ok(()) | Err(Refusal::Unsigned(_)) => Ok(HttpResponse::NoContent().finish()),
        Err(refusal) => Err(refusal),
    }
}

impl From<IdentityError> for Refusal {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Store(error) => error.into(),
            IdentityError::Contended => Self::Busy,
            IdentityError::State(error) => Self::Store(error.to_string()),
        }
    }
}

fn item(value: &Value) -> Result<ImportItem, Wrong> {
    let member = |name: &'static str| text(value, name, name);
    let no_id = |name| Wrong::new(name, "is no usable id");
    let cards = value.get("cards").and_then(Value::as_array);
    let cards = cards.ok_or_else(|| Wrong::new("cards", "must be an array"))?;
    Ok(ImportItem {
        account: member("account")?.to_owned(),
        openid: Openid::parse(member("openid")?).ok_or_else(|| no_id("openid"))?,
        customer: CustomerId::parse(member("customer_id")?).ok_or_else(|| no_id("customer_id"))?,
        cards: cards.iter().map(card).collect::<Result<_, _>>()?,
        bound: moment(member("bound_at")?, "bound_at")?,
    })
}

fn card(value: &Value) -> Result<Card, Wrong> {
    Ok(Card {
        card_id: text(value, "card_id", "cards.card_id")?.to_owned(),
        tail: CardTail::parse(text(value, "last4", "cards.last4")?)
            .map_err(|_| Wrong::new("cards.last4", "must be exactly four digits"))?,
        product: text(value, "product", "cards.product")?.to_owned(),
    })
}

fn text<'a>(value: &'a Value, name: &str, field: &str) -> Result<&'a str, Wrong> {
    match value.get(name) {
        None | Some(Value::Null) => Err(Wrong::new(field, "is missing")),
        Some(Value::String(text)) if text.chars().count() <= TEXT_CHARS_MAX => Ok(text),
        Some(Value::String(_)) => Err(Wrong::new(field, "is too long")),
        Some(_) => Err(Wrong::new(field, "must be a string")),
    }
}
