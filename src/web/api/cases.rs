//! The desk API: cases of an account with `desk = "external"`, answered by the bank's own agent system.
//!
//! Events say that something happened (`case_opened`, `case_message`, `case_handed_over`, `case_closed`); what it was is
//! read here by number, so that an event that is lost, late or out of order costs nothing.

use actix_web::web::{Data, Path, Payload};
use actix_web::{HttpRequest, HttpResponse};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use utoipa::ToSchema;

use super::BankApi;
use super::answers::{ErrorBody, NotTold, Refusal};
use super::signed::Call;
use crate::desk::{Answered, By, DeskError, Remember, Transcript, View, WhyNot, name_outside};
use crate::domain::binding::Binding;
use crate::domain::case::CloseReason;
use crate::domain::ids::AccountId;
use crate::outbound::rfc3339;
use crate::staff::Session;
use crate::store::{Case, Message, StoredMedia};
use crate::web::desk::log_entry;

/// One case.
#[derive(Serialize, ToSchema)]
pub(super) struct CaseBody {
    case_id: String,
    /// waiting, call_back (promised while nobody was on shift), with_agent, wrap_up (its reason is owed), closed, rated.
    state: &'static str,
    /// Which group of agents.
    skill: String,
    /// 0 ordinary, 9 at once.
    #[schema(maximum = 9)]
    priority: u8,
    /// Why it came.
    reason: String,
    #[schema(format = DateTime)]
    opened: String,
    /// The log's number at that moment: what came before was said to the bot.
    opened_seq: i64,
    /// Since when it waits, or waited last.
    #[schema(format = DateTime)]
    queued: String,
    /// Who has or had it.
    #[schema(required)]
    agent: Option<String>,
    /// Why it ended.
    #[schema(required)]
    close_reason: Option<&'static str>,
    /// What the customer thought of it, 1 to 5.
    #[schema(required)]
    score: Option<u8>,
}

/// Cases that an agent can take, in their order.
#[derive(Serialize, ToSchema)]
pub(super) struct CasesBody {
    /// At most 200.
    cases: Vec<CaseBody>,
    /// Whether there are others.
    more: bool,
}

/// A case with its customer and its log.
#[derive(Serialize, ToSchema)]
pub(super) struct TalkBody {
    case: CaseBody,
    /// null where none is bound.
    #[schema(required)]
    customer: Option<CustomerBody>,
    sendable: SendableBody,
    /// Oldest first, at most 200.
    messages: Vec<MessageBody>,
    /// Whether there are others.
    more: bool,
}

/// Who it is, masked.
#[derive(Serialize, ToSchema)]
struct CustomerBody {
    name: String,
    cards: Vec<CustomerCard>,
}

/// A card of a customer.
#[derive(Serialize, ToSchema)]
struct CustomerCard {
    product: String,
    last4: String,
}

/// What WeChat lets through now.
#[derive(Serialize, ToSchema)]
struct SendableBody {
    /// Messages left, those on their way taken off.
    left: u32,
    /// Until when.
    #[schema(required, format = DateTime)]
    until: Option<String>,
    /// not_yet, closed, spent or unfollowed; null: something can be sent.
    #[schema(required)]
    why_not: Option<&'static str>,
}

/// An entry of the log.
#[derive(Serialize, ToSchema)]
struct MessageBody {
    seq: i64,
    /// customer, bot, agent or system.
    from: String,
    #[schema(required)]
    agent: Option<String>,
    #[schema(format = DateTime)]
    at: String,
    /// received, replied, queued, sent, said_next (kept until the customer writes) or noted; not arrived: window_closed,
    /// allowance_used, unreachable or failed; unclear: nobody knows.
    state: String,
    /// `kind`, and what belongs to it.
    #[schema(value_type = Object)]
    content: Value,
}

/// Who acts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ByAgent {
    /// As your system knows him; customers do not see it.
    #[schema(min_length = 1, max_length = 64)]
    agent: String,
}

/// Something said to the customer: a text or a picture.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Saying {
    /// Who has the case.
    #[schema(min_length = 1, max_length = 64)]
    agent: String,
    /// At most 2048 bytes. Card numbers in it are hidden.
    #[serde(default)]
    text: Option<String>,
    /// JPG, PNG or GIF, at most 2 MiB.
    #[serde(default)]
    image_base64: Option<String>,
    /// The text is what the customer reads first when he writes again: for when WeChat lets nothing through.
    #[serde(default)]
    for_next_time: bool,
}

/// Where a case goes: to a group's queue, or straight to a colleague. Just one of the two.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Transfer {
    /// Who has the case.
    #[schema(min_length = 1, max_length = 64)]
    agent: String,
    /// A group of `templates/desk/groups.toml`.
    #[serde(default)]
    skill: Option<String>,
    /// Another agent.
    #[serde(default)]
    to_agent: Option<String>,
}

/// How a case ends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Closing {
    /// Who has the case.
    #[schema(min_length = 1, max_length = 64)]
    agent: String,
    /// solved, passed_on, phone_call, no_answer or not_for_us.
    reason: String,
}

/// It is done.
#[derive(Serialize, ToSchema)]
pub(super) struct DoneBody {
    case_id: String,
    /// Of what was said: its number in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<i64>,
    /// Of what was said: whether a number in it was hidden.
    #[serde(skip_serializing_if = "Option::is_none")]
    masked: Option<bool>,
}

/// What waits for an agent.
#[utoipa::path(
    get, path = "/api/v1/desk/{account}/cases", tag = "desk", operation_id = "getCases",
    description = "Only of accounts with `desk = \"external\"`. Call-backs that were promised come first.",
    params(("account" = String, Path, description = "The configured id of the account")),
    responses(
        (status = 200, body = CasesBody, description = "In the order in which they should be taken"),
        NotTold,
    ))]
pub(super) async fn get_cases(
    api: Data<BankApi>,
    account: Path<String>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let account = read(&api, &account, &request, payload).await?;
    let listed = api.desk.queue(&account).await?;
    let cases = listed.cases.iter().map(CaseBody::of).collect();
    Ok(HttpResponse::Ok().json(CasesBody { cases, more: listed.more }))
}

/// One case, its customer, and its log.
#[utoipa::path(
    get, path = "/api/v1/desk/{account}/cases/{case_id}", tag = "desk", operation_id = "getCase",
    params(("account" = String, Path, description = "The configured id of the account"),
        ("case_id" = String, Path, description = "The case"),
        ("after" = Option<i64>, Query, description = "Entries of the log after this number; without it its end")),
    responses(
        (status = 200, body = TalkBody, description = "The case"),
        (status = 400, body = ErrorBody, description = "`after` is no number"),
        NotTold,
    ))]
pub(super) async fn get_case(
    api: Data<BankApi>,
    path: Path<(String, String)>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let (account, case_id) = path.into_inner();
    let account = read(&api, &account, &request, payload).await?;
    let after = after(request.query_string())?;
    let system = api.desk.outside(&account);
    let view = api.desk.open(&system, &case_id).await?;
    let transcript = api.desk.transcript(&system, &case_id, after, None).await?;
    Ok(HttpResponse::Ok().json(TalkBody::of(&view, &transcript)))
}

/// A picture or voice of the log.
#[utoipa::path(
    get, path = "/api/v1/desk/{account}/cases/{case_id}/media/{seq}", tag = "desk", operation_id = "getCaseMedia",
    params(("account" = String, Path, description = "The configured id of the account"),
        ("case_id" = String, Path, description = "The case"),
        ("seq" = String, Path, description = "The entry's number in the log")),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "Its bytes"),
        (status = 409, body = ErrorBody, description = "It is being fetched from WeChat; ask again"),
        (status = 410, body = ErrorBody, description = "WeChat had deleted it"),
        NotTold,
    ))]
pub(super) async fn get_media(
    api: Data<BankApi>,
    path: Path<(String, String, String)>,
    request: HttpRequest,
    payload: Payload,
) -> Result<HttpResponse, Refusal> {
    let (account, case_id, seq) = path.into_inner();
    let account = read(&api, &account, &request, payload).await?;
    let seq = seq.parse().map_err(|_| Refusal::NotFound)?;
    match api.desk.media(&api.desk.outside(&account), &case_id, seq).await? {
        StoredMedia::Wanted => Err(Refusal::MediaWanted),
        StoredMedia::Lost => Err(Refusal::MediaLost),
        StoredMedia::Kept { bytes, .. } => {
            Ok(HttpResponse::Ok().content_type("application/octet-stream").body(bytes.to_vec()))
        }
    }
}

macro_rules! act_path {
    ($name:ident, $path:literal, $id:literal, $body:ty, $says:literal, $work:expr) => {
        #[doc = $says]
        #[utoipa::path(
            post, path = $path, tag = "desk", operation_id = $id,
            description = "A repeated call with the same webhook-id gets the answer of the first.",
            params(("account" = String, Path, description = "The configured id of the account"),
                ("case_id" = String, Path, description = "The case")),
            request_body(content = $body),
            responses(
                (status = 200, body = DoneBody, description = "Done"),
                (status = 400, body = ErrorBody, description = "The body does not fit"),
                (status = 401, body = ErrorBody, description = "The signature does not fit"),
                (status = 404, body = ErrorBody, description = "No such case or account"),
                (status = 409, body = ErrorBody, description =
                    "taken, not_yours, over, full, window_closed, window_spent, window_open, no_room, webhook_id_reused"),
                (status = 413, body = ErrorBody, description = "More than 4 MiB"),
                (status = 422, body = ErrorBody, description =
                    "empty, too_long, banned, contact, unsendable, bad_request: a reason, group or name that does not do"),
                (status = 502, body = ErrorBody, description = "WeChat did not take the picture; send it again"),
                (status = 503, body = ErrorBody, description = "The database does not answer"),
            ))]
        pub(super) async fn $name(
            api: Data<BankApi>,
            path: Path<(String, String)>,
            request: HttpRequest,
            payload: Payload,
        ) -> Result<HttpResponse, Refusal> {
            act::<$body>(&api, path.into_inner(), &request, payload, $work).await
        }
    };
}

act_path!(
    take,
    "/api/v1/desk/{account}/cases/{case_id}/take",
    "takeCase",
    ByAgent,
    "Take a case. Of any number of calls at once one wins; taking what one has is fine.",
    async |work: Work<'_>, body: ByAgent| {
        let agent = work.agent(&body.agent)?;
        work.api.desk.claim(work.by(&agent), work.case_id).await?;
        Ok(None)
    }
);
act_path!(
    say,
    "/api/v1/desk/{account}/cases/{case_id}/messages",
    "sayToCustomer",
    Saying,
    "Say something to the customer. WeChat's window and the number of messages are the limit.",
    async |work: Work<'_>, body: Saying| {
        let agent = work.agent(&body.agent)?;
        let (desk, key) = (&work.api.desk, work.key.as_str());
        match (body.text, body.image_base64) {
            (Some(text), None) => {
                let said = match body.for_next_time {
                    true => desk.leave_words(work.by(&agent), work.case_id, key, &text).await?,
                    false => desk.answer(work.by(&agent), work.case_id, key, &text).await?,
                };
                Ok(Some(said))
            }
            (None, Some(image)) if !body.for_next_time => {
                let bytes = STANDARD.decode(image).map_err(|_| DeskError::Unsendable)?;
                let seq = desk.send_picture(work.by(&agent), work.case_id, key, bytes.into()).await?;
                Ok(Some(Answered { seq, masked: false }))
            }
            _ => Err(DeskError::Empty),
        }
    }
);
act_path!(
    transfer,
    "/api/v1/desk/{account}/cases/{case_id}/transfer",
    "transferCase",
    Transfer,
    "Give a case to a group's queue or to a colleague.",
    async |work: Work<'_>, body: Transfer| {
        let agent = work.agent(&body.agent)?;
        match (body.skill, body.to_agent) {
            (Some(skill), None) => work.api.desk.transfer(work.by(&agent), work.case_id, &skill).await?,
            (None, Some(to)) => work.api.desk.hand_over(work.by(&agent), work.case_id, &to).await?,
            _ => return Err(DeskError::UnknownChoice),
        }
        Ok(None)
    }
);
act_path!(
    close,
    "/api/v1/desk/{account}/cases/{case_id}/close",
    "closeCase",
    Closing,
    "End a case. The customer is asked what he thought of it where the window allows.",
    async |work: Work<'_>, body: Closing| {
        let reason = CloseReason::parse(&body.reason).ok_or(DeskError::UnknownChoice)?;
        let agent = work.agent(&body.agent)?;
        work.api.desk.close(work.by(&agent), work.case_id, Some(reason)).await?;
        Ok(None)
    }
);
act_path!(
    return_to_bot,
    "/api/v1/desk/{account}/cases/{case_id}/return",
    "returnCase",
    ByAgent,
    "Give the customer back to the bot and end the case.",
    async |work: Work<'_>, body: ByAgent| {
        let agent = work.agent(&body.agent)?;
        work.api.desk.return_to_bot(work.by(&agent), work.case_id).await?;
        Ok(None)
    }
);

/// One action on one case.
struct Work<'a> {
    api: &'a BankApi,
    account: &'a AccountId,
    case_id: &'a str,
    /// The same call twice says one thing.
    key: String,
    /// Remembers the call and its answer.
    remember: &'a Remember<'a>,
}

impl Work<'_> {
    fn agent(&self, name: &str) -> Result<Session, DeskError> {
        self.api.desk.outsider(self.account, name)
    }

    fn by<'a>(&'a self, agent: &'a Session) -> By<'a> {
        By::call(agent, self.remember)
    }
}

/// A signed call that changes a case: its answer is committed with what it changes, and a repeat gets it.
async fn act<T: DeserializeOwned>(
    api: &BankApi,
    (account, case_id): (String, String),
    request: &HttpRequest,
    payload: Payload,
    work: impl AsyncFnOnce(Work<'_>, T) -> Result<Option<Answered>, DeskError>,
) -> Result<HttpResponse, Refusal> {
    let call = Call::read(api, request, payload).await?;
    let account = external(api, &account)?;
    if let Some(answer) = call.seen(api).await? {
        return Ok(answer);
    }
    let body = serde_json::from_slice(&call.body)
        .map_err(|_| Refusal::Unparsable("the body is not the JSON object that this call takes"))?;
    let key = hex::encode(Sha256::digest(call.key.webhook_id.as_bytes()));
    let done = |said: Option<Answered>| DoneBody {
        case_id: case_id.clone(),
        seq: said.map(|said| said.seq),
        masked: said.map(|said| said.masked),
    };
    let remember = |said| {
        let answer = serde_json::to_vec(&done(said))?;
        api.store.remember_call(&call.key, &call.body, 200, Some(&answer))
    };
    let work = work(Work { api, account: &account, case_id: &case_id, key, remember: &remember }, body);
    match work.await {
        Ok(said) => Ok(HttpResponse::Ok().json(done(said))),
        // Sent twice at the same moment: the other one did it.
        Err(error) => call.seen(api).await?.ok_or_else(|| error.into()),
    }
}

/// A signed call that only reads; gives its account.
async fn read(
    api: &BankApi,
    account: &str,
    request: &HttpRequest,
    payload: Payload,
) -> Result<AccountId, Refusal> {
    let call = Call::read(api, request, payload).await?;
    call.use_up(api).await?;
    external(api, account)
}

fn external(api: &BankApi, account: &str) -> Result<AccountId, Refusal> {
    let account = AccountId::new(account);
    if api.desk.is_external(&account) { Ok(account) } else { Err(Refusal::NotFound) }
}

fn after(query: &str) -> Result<Option<i64>, Refusal> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let Some((_, number)) = pairs.find(|(name, _)| *name == "after") else { return Ok(None) };
    number.parse().map(Some).map_err(|_| Refusal::Unparsable("`after` is no number of the log"))
}

impl CaseBody {
    fn of(case: &Case) -> Self {
        Self {
            case_id: case.case_id.clone(),
            state: case.state.name(),
            skill: case.skill.clone(),
            priority: case.priority.level(),
            reason: case.reason.clone(),
            opened: rfc3339(case.opened),
            opened_seq: case.opened_seq,
            queued: rfc3339(case.queued),
            agent: case.claimed_by.as_deref().map(name_outside).map(str::to_owned),
            close_reason: case.close_reason.map(CloseReason::name),
            score: case.score.map(crate::domain::case::Score::points),
        }
    }
}

impl TalkBody {
    fn of(view: &View, transcript: &Transcript) -> Self {
        let why_not = view.allowance.why_not.map(WhyNot::name);
        let until = view.allowance.until.map(rfc3339);
        Self {
            case: CaseBody::of(&view.case),
            customer: view.binding.as_ref().map(CustomerBody::of),
            sendable: SendableBody { left: view.allowance.left, until, why_not },
            messages: transcript.messages.iter().map(MessageBody::of).collect(),
            more: transcript.more,
        }
    }
}

impl CustomerBody {
    fn of(binding: &Binding) -> Self {
        let card = |card: &crate::domain::card::Card| CustomerCard {
            product: card.product.clone(),
            last4: card.tail.as_str().to_owned(),
        };
        Self {
            name: binding.name_masked.reveal().to_owned(),
            cards: binding.cards.iter().map(card).collect(),
        }
    }
}

impl MessageBody {
    fn of(message: &Message) -> Self {
        let agent = message.author.strip_prefix("agent:");
        Self {
            seq: message.seq,
            from: if agent.is_some() { "agent" } else { message.author.as_str() }.to_owned(),
            agent: agent.map(name_outside).map(str::to_owned),
            at: rfc3339(message.at),
            state: message.state.clone(),
            content: log_entry(message),
        }
    }
}
