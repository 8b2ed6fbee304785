//! `/openapi.json`: the interface described from the code that serves it, and every event that we send.

use actix_web::HttpResponse;
use serde::{Deserialize, Serialize};
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, SecurityScheme};
use utoipa::openapi::{Content, HttpMethod, PathItem, Paths, PathsBuilder, Ref, RefOr, Required, Schema};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};

use super::{answers, bindings, cases};
use crate::bank::webhooks::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER};
use crate::domain::money::Currency;
use crate::domain::notice::{self, FIELDS_MAX, NAME_CHARS_MAX, VALUE_CHARS_MAX, WHOLE_MAX};
use crate::domain::transaction;

/// The description. Unsigned: it says nothing that a bank's developers do not know.
pub(super) async fn get_openapi() -> HttpResponse {
    HttpResponse::Ok().json(document())
}

/// The whole document.
pub(super) fn document() -> utoipa::openapi::OpenApi {
    let mut document = Api::openapi();
    document.webhooks = Some(webhooks());
    document
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Weikefu for the bank",
        description = "Calls that the bank makes, under `paths`, and events that it receives, under `webhooks`. Both \
            are signed as Standard Webhooks says: headers webhook-id, webhook-timestamp and webhook-signature. GET and \
            DELETE sign an empty body. A webhook-id is good once for each method and path; a repeated POST gets the \
            answer of the first.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    modifiers(&SignatureHeaders),
    security(("webhook-id" = [], "webhook-timestamp" = [], "webhook-signature" = [])),
    paths(
        super::post_transactions,
        super::get_transaction,
        super::post_notices,
        super::get_notice,
        bindings::post_bindings,
        bindings::delete_binding,
        cases::get_cases,
        cases::get_case,
        cases::get_media,
        cases::take,
        cases::say,
        cases::transfer,
        cases::close,
        cases::return_to_bot,
    ),
    components(schemas(
        answers::TakenBody,
        answers::StateBody,
        answers::ErrorBody,
        Transaction,
        Amount,
        Notice,
        Binding,
        NothingMore,
        BoundData,
        UnboundData,
        AlertsData,
        MarketingData,
        CardAlertsData,
        VerdictData,
        CardLockedData,
        ApplicationData,
        CaseOpenedData,
        CaseMessageData,
        CaseHandedOverData,
        CaseClosedData,
        ComplaintData,
    ))
)]
struct Api;

/// The three headers of Standard Webhooks: each call carries all of them.
struct SignatureHeaders;

impl Modify for SignatureHeaders {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        const HEADERS: [(&str, &str); 3] = [
            (ID_HEADER, "Names the call; good once for each method and path."),
            (TIMESTAMP_HEADER, "Unix seconds, within five minutes of our clock."),
            (
                SIGNATURE_HEADER,
                "`v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; several may follow each other with a space.",
            ),
        ];
        let components = document.components.get_or_insert_default();
        for (header, says) in HEADERS {
            let header_of_call = ApiKeyValue::with_description(header, says);
            components.add_security_scheme(header, SecurityScheme::ApiKey(ApiKey::Header(header_of_call)));
        }
    }
}

macro_rules! one_or_many {
    ($(#[$doc:meta])* $name:ident, $item:ty) => {
        $(#[$doc])*
        #[derive(Serialize, Deserialize, ToSchema)]
        #[serde(untagged)]
        pub(super) enum $name {
            /// One.
            One(Box<$item>),
            /// Up to 1,000.
            Many(Vec<$item>),
        }
    };
}

one_or_many!(
    /// One transaction or up to 1,000.
    TransactionItems, Transaction);
one_or_many!(
    /// One notice or up to 1,000.
    NoticeItems, Notice);
one_or_many!(
    /// One binding or up to 1,000.
    BindingItems, Binding);

/// Something that happened to a card.
#[derive(Serialize, Deserialize, ToSchema)]
pub(super) struct Transaction {
    /// Idempotency key: the same id never alerts twice. Remembered 400 days.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    transaction_id: String,
    /// The bank's customer reference, as binding stored it.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    customer_id: String,
    /// The only part of a card number that we are ever given.
    #[schema(pattern = "^[0-9]{4}$")]
    card_last4: String,
    /// What kind of transaction it is.
    r#type: TransactionType,
    /// Not negative.
    amount: Amount,
    /// Optional as a whole for repayment and fee; every other type needs it.
    merchant: Option<Merchant>,
    /// How it came in.
    channel: Channel,
    /// At most 24 hours ahead.
    #[schema(format = DateTime)]
    occurred_at: String,
    /// Decimal string; may be below zero.
    #[schema(pattern = "^-?[0-9]{1,15}([.][0-9]{1,4})?$")]
    available_credit: Option<String>,
    /// Whose card.
    cardholder: Option<Cardholder>,
    /// Reversal or refund of what.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    original_transaction_id: Option<String>,
    /// Why it was declined.
    #[schema(max_length = 64)]
    decline_reason: Option<String>,
    /// What a foreign purchase costs in the card's currency.
    billing_amount: Option<Amount>,
    /// The bill that is to be paid now, as it stands after this.
    bill: Option<Bill>,
}

/// Names that the house reads, described as an enumeration: the list itself is the domain's.
macro_rules! one_of {
    ($name:ident, $names:expr, $says:literal) => {
        #[doc = $says]
        #[derive(Serialize, Deserialize)]
        struct $name(String);

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                let names = ObjectBuilder::new().schema_type(Type::String).enum_values(Some($names));
                names.description(Some($says)).into()
            }
        }

        impl ToSchema for $name {}
    };
}

one_of!(
    TransactionType,
    transaction::TransactionType::names(),
    "`purchase`, `cash_advance`, `fee`, `instalment` and `preauth` are told as `spend`; `refund` and `reversal` as `refund`."
);
one_of!(Channel, transaction::CHANNELS, "How a transaction came in.");
one_of!(Holder, transaction::HOLDERS, "The customer's own card, or one that hangs on his.");
one_of!(NoticeKind, notice::KINDS, "What a notice is about; each has a file of `templates/notices/`.");

/// An amount of money.
#[derive(Serialize, Deserialize, ToSchema)]
struct Amount {
    /// Decimal string with no more decimals than the currency has.
    #[schema(example = "128.50", pattern = "^[0-9]+([.][0-9]+)?$", max_length = 64)]
    value: String,
    /// ISO 4217.
    #[schema(schema_with = currency_code)]
    currency: String,
}

/// The codes of the table that amounts are held to.
fn currency_code() -> Object {
    let codes = Currency::all().map(Currency::code);
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(codes)).examples(["CNY"]).build()
}

/// A notice's fields: texts, whole numbers and amounts, within the bounds of `domain::notice`.
fn notice_fields() -> Object {
    let text = ObjectBuilder::new().schema_type(Type::String).max_length(Some(VALUE_CHARS_MAX));
    let number =
        ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(-WHOLE_MAX)).maximum(Some(WHOLE_MAX));
    let value = OneOfBuilder::new()
        .item(text)
        .item(number)
        .item(Ref::from_schema_name("Amount"))
        .item(ObjectBuilder::new().schema_type(Type::Null));
    let name = ObjectBuilder::new().schema_type(Type::String).max_length(Some(NAME_CHARS_MAX));
    ObjectBuilder::new()
        .property_names(Some(name))
        .additional_properties(Some(RefOr::T(Schema::OneOf(value.build()))))
        .max_properties(Some(FIELDS_MAX))
        .description(Some(
            "Names as the account's `notices.….fields` has them; values are texts, whole numbers, or amounts.",
        ))
        .build()
}

/// The bill that is to be paid now. With it a refund or a short payment can say what is still to do.
#[derive(Serialize, Deserialize, ToSchema)]
struct Bill {
    /// All of it.
    total: Amount,
    /// What is left to pay.
    remaining: Amount,
    /// The last day to pay it.
    #[schema(format = Date)]
    due_date: String,
}

/// Where the money went.
#[derive(Serialize, Deserialize, ToSchema)]
struct Merchant {
    #[schema(max_length = 1000)]
    name: String,
    #[schema(max_length = 1000)]
    mcc: Option<String>,
    #[schema(max_length = 1000)]
    city: Option<String>,
    #[schema(max_length = 1000)]
    country: Option<String>,
}

#[derive(Serialize, Deserialize, ToSchema)]
struct Cardholder {
    /// classic, gold, platinum …
    #[schema(max_length = 64)]
    tier: Option<String>,
    holder: Option<Holder>,
}

/// Anything else that the bank wants told.
#[derive(Serialize, Deserialize, ToSchema)]
pub(super) struct Notice {
    /// Idempotency key. Remembered 400 days.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    notice_id: String,
    /// The bank's customer reference, as binding stored it.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    customer_id: String,
    /// What it is about.
    kind: NoticeKind,
    /// Names as the account's `notices.….fields` has them; values are texts, whole numbers, or amounts
    /// `{"value","currency"}`.
    #[schema(schema_with = notice_fields)]
    fields: serde_json::Value,
    /// Past it the bank gets the event `fallback`; the kind's own deadline where absent.
    #[schema(format = DateTime)]
    deadline: Option<String>,
    /// The bill that it tells of; a reminder can then say what is short, and what that would cost.
    bill: Option<Bill>,
}

/// A binding that the bank has already.
#[derive(Serialize, Deserialize, ToSchema)]
pub(super) struct Binding {
    /// The configured id of the account.
    #[schema(max_length = 128)]
    account: String,
    /// The follower as WeChat names him there.
    #[schema(min_length = 1, max_length = 128, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    openid: String,
    /// The bank's customer reference.
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    customer_id: String,
    /// The first is the one that answers use.
    #[schema(min_items = 1, max_items = 20)]
    cards: Vec<BoundCard>,
    /// When he bound.
    #[schema(format = DateTime)]
    bound_at: String,
}

#[derive(Serialize, Deserialize, ToSchema)]
struct BoundCard {
    #[schema(min_length = 1, max_length = 64, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    card_id: String,
    #[schema(pattern = "^[0-9]{4}$")]
    last4: String,
    #[schema(max_length = 20, pattern = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$")]
    product: String,
}

macro_rules! event_data {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Serialize, Deserialize, ToSchema)]
        struct $name { $($(#[$field_doc])* $field: $type),* }
    )*};
}

event_data! {
    /// There is nothing more to say.
    NothingMore {}
    /// A follower was bound to a customer.
    BoundData {
        /// page or import.
        source: String,
        /// How many cards.
        cards: u32,
        /// Whether he wants spend alerts.
        alerts: bool,
        /// Whether amounts are left out of them.
        amounts_hidden: bool,
    }
    /// A binding ended.
    UnboundData {
        /// customer, replaced, rebound, unfollowed or erased.
        reason: String,
    }
    /// The customer changed his alerts.
    AlertsData {
        /// Whether he wants spend alerts, of one card at least.
        alerts: bool,
        /// Whether amounts are left out of them, of cards without a setting of their own.
        amounts_hidden: bool,
        /// What holds for each card.
        cards: Vec<CardAlertsData>,
        /// When what can wait waits, in Beijing, as 22:00-08:00; null: never.
        #[schema(required)]
        quiet_hours: Option<String>,
    }
    /// What holds for one card.
    CardAlertsData {
        /// Its last four digits.
        last4: String,
        /// Whether he wants spend alerts of it.
        alerts: bool,
        /// Whether amounts are left out of them.
        amounts_hidden: bool,
        /// Below this amount in yuan nothing is told, as 100.00.
        threshold: String,
    }
    /// What became of a transaction or a notice.
    VerdictData {
        /// The transaction's or notice's id.
        id: String,
        /// spend, refund, repayment, declined, or the notice's kind.
        kind: String,
        /// pending, delivered, failed, suppressed or unreachable.
        state: String,
        /// Why; null where the state says all.
        reason: Option<String>,
    }
    /// A follower asked for offers, or refused them: hold it in every other channel, too.
    MarketingData {
        /// Whether he wants them.
        opted_in: bool,
        /// The version of the text that he agreed to, or left.
        version: String,
    }
    /// A card was locked at the customer's word.
    CardLockedData {
        /// Last four digits.
        card_last4: String,
        /// Why.
        reason: String,
    }
    /// A card application was taken in by the core.
    ApplicationData {
        /// 受理编号
        application_no: String,
        /// Which product.
        product_id: String,
    }
    /// A customer waits for a person.
    CaseOpenedData {
        /// The case.
        case_id: String,
        /// Why.
        reason: String,
        /// Which group of agents.
        skill: String,
    }
    /// The customer wrote while a case was open.
    CaseMessageData {
        /// The case.
        case_id: String,
        /// The number of what he wrote in the log.
        seq: i64,
    }
    /// A case changed hands.
    CaseHandedOverData {
        /// The case.
        case_id: String,
        /// agent or queue.
        to: String,
        /// Which group of agents.
        skill: String,
    }
    /// A case ended.
    CaseClosedData {
        /// The case.
        case_id: String,
        /// Why.
        reason: String,
    }
    /// A complaint was registered.
    ComplaintData {
        /// The complaint.
        complaint_id: String,
        /// When the law wants it answered: RFC 3339.
        answer_by: String,
        /// The case.
        case_id: String,
        /// What about.
        reason: String,
    }
}

/// Every type of event: its name, what it says, and the schema of its data.
const EVENTS: [(&str, &str, &str); 15] = [
    ("followed", "Somebody follows the account.", "NothingMore"),
    ("unfollowed", "A follower left; his binding ended with it.", "NothingMore"),
    ("bound", "A follower is bound to a customer.", "BoundData"),
    ("unbound", "A binding ended.", "UnboundData"),
    ("alerts_changed", "The customer changed his alerts.", "AlertsData"),
    ("marketing_changed", "A follower asked for offers, or refused them.", "MarketingData"),
    ("delivery", "A transaction or notice has its verdict.", "VerdictData"),
    ("fallback", "WeChat has not told in time, or will not: use another way.", "VerdictData"),
    ("card_locked", "A card was locked at the customer's word.", "CardLockedData"),
    ("application_submitted", "A card application was taken in.", "ApplicationData"),
    ("case_opened", "A customer waits for a person.", "CaseOpenedData"),
    ("case_message", "The customer wrote; only of accounts with an external desk.", "CaseMessageData"),
    ("case_handed_over", "A case changed hands.", "CaseHandedOverData"),
    ("case_closed", "A case ended.", "CaseClosedData"),
    ("complaint_registered", "A complaint was registered.", "ComplaintData"),
];

fn webhooks() -> Paths {
    EVENTS
        .iter()
        .fold(PathsBuilder::new(), |paths, (name, says, data)| paths.path(*name, event(name, says, data)))
        .build()
}

fn event(name: &str, says: &str, data: &str) -> PathItem {
    let body = RequestBodyBuilder::new()
        .content("application/json", Content::new(Some(envelope(name, data))))
        .required(Some(Required::True))
        .build();
    let operation = OperationBuilder::new()
        .operation_id(Some(format!("event_{name}")))
        .summary(Some(says))
        .request_body(Some(body))
        .response(
            "2XX",
            utoipa::openapi::Response::new("Taken. Anything else is tried again for three days."),
        )
        .build();
    PathItem::new(HttpMethod::Post, operation)
}

/// The envelope that every event comes in.
fn envelope(name: &str, data: &str) -> RefOr<Schema> {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let or_null = || ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
    ObjectBuilder::new()
        .property("event_id", text().description(Some("The same on every try; also the webhook-id.")))
        .property("type", text().enum_values(Some([name])))
        .property("account", or_null().description(Some("The configured id; null where none is concerned.")))
        .property("customer_id", or_null().description(Some("null where none is bound.")))
        .property(
            "occurred_at",
            text().format(Some(utoipa::openapi::SchemaFormat::Custom("date-time".to_owned()))),
        )
        .property("data", Ref::from_schema_name(data))
        .required("event_id")
        .required("type")
        .required("account")
        .required("customer_id")
        .required("occurred_at")
        .required("data")
        .into()
}
