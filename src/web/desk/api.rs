//! JSON under `/desk/api`.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::{self, DeskFailure};
use super::json::Reader;
use super::words::Language;
use super::{guarded, json as shape, media, supervise};
use crate::config::{Config, DeskKind};
use crate::desk::{Desk, DeskError, Listed};
use crate::domain::case::CloseReason;
use crate::domain::ids::AccountId;
use crate::staff::{Session, Staff};
use crate::store::DeskAgent;

pub(super) type Answer = Result<HttpResponse, DeskFailure>;

pub(super) fn scope() -> Scope {
    web::scope("/api")
        .route("/queue", web::get().to(queue))
        .route("/mine", web::get().to(mine))
        .route("/me", web::get().to(me))
        .route("/colleagues", web::get().to(colleagues))
        .route("/next", web::post().to(next))
        .route("/ready", web::post().to(ready))
        .route("/cases/{case_id}", web::get().to(case))
        .route("/cases/{case_id}/about", web::get().to(about))
        .route("/cases/{case_id}/claim", web::post().to(claim))
        .route("/cases/{case_id}/answer", web::post().to(answer))
        .route("/cases/{case_id}/leave", web::post().to(leave))
        .route("/cases/{case_id}/note", web::post().to(note))
        .route("/cases/{case_id}/close", web::post().to(close))
        .route("/cases/{case_id}/return", web::post().to(return_to_bot))
        .route("/cases/{case_id}/transfer", web::post().to(transfer))
        .route("/cases/{case_id}/hand-over", web::post().to(hand_over))
        .route("/cases/{case_id}/complaint", web::post().to(complain))
        .route("/cases/{case_id}/complaint-settled", web::post().to(settle))
        .route("/cases/{case_id}/seen", web::post().to(seen))
        .route("/cases/{case_id}/typing", web::post().to(media::typing))
        .route("/cases/{case_id}/picture", web::post().to(media::send))
        .route("/cases/{case_id}/media/{seq}", web::get().to(media::show))
        .route("/cases/{case_id}/whisper", web::post().to(supervise::whisper))
        .route("/cases/{case_id}/quality", web::post().to(supervise::judge))
        .route("/samples", web::get().to(supervise::samples))
        .route("/wall", web::get().to(supervise::wall))
        .route("/move", web::post().to(supervise::move_queue))
        .route("/agents/{name}", web::post().to(supervise::set_agent))
        .route("/cases/{case_id}/take-over", web::post().to(supervise::take_over))
        .route("/cases/{case_id}/priority", web::post().to(supervise::priority))
}

/// The rooms that every handler needs.
#[derive(Clone)]
pub(super) struct Rooms {
    pub(super) desk: Data<Desk>,
    pub(super) staff: Data<Staff>,
    pub(super) config: Data<Config>,
}

impl actix_web::FromRequest for Rooms {
    type Error = actix_web::Error;
    type Future = std::future::Ready<Result<Self, actix_web::Error>>;

    fn from_request(request: &HttpRequest, _: &mut actix_web::dev::Payload) -> Self::Future {
        let rooms = || {
            Some(Self {
                desk: request.app_data::<Data<Desk>>()?.clone(),
                staff: request.app_data::<Data<Staff>>()?.clone(),
                config: request.app_data::<Data<Config>>()?.clone(),
            })
        };
        let missing = || DeskFailure::new(StatusCode::INTERNAL_SERVER_ERROR, "broken", Language::of(request));
        std::future::ready(rooms().ok_or_else(|| missing().into()))
    }
}

impl Rooms {
    pub(super) async fn acting(&self, request: &HttpRequest) -> Result<Session, DeskFailure> {
        guard::acting(request, &self.staff, &self.config, None).await
    }

    /// The accounts that have a desk of ours and that the person serves.
    pub(super) fn accounts(&self, session: &Session) -> Vec<AccountId> {
        let own = self.config.accounts.iter().filter(|account| account.desk == DeskKind::Own);
        own.map(|account| account.id.clone()).filter(|id| session.reach.covers(id)).collect()
    }

    /// Reads and shapes for whoever asks.
    pub(super) fn shaped<T>(&self, request: &HttpRequest, shape: impl FnOnce(&Reader<'_>) -> T) -> T {
        let files = self.desk.files();
        shape(&Reader {
            config: &self.config,
            files: &files,
            language: Language::of(request),
            now: self.desk.now(),
        })
    }
}

async fn queue(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let broken = |error| guard::broken(&request, &error);
    let agent = rooms.desk.agent(&session.name).await.map_err(broken)?;
    let mut whole = Listed { cases: vec![], more: false };
    for account in rooms.accounts(&session) {
        let listed = rooms.desk.queue(&account).await.map_err(broken)?;
        whole.cases.extend(listed.cases);
        whole.more |= listed.more;
    }
    // Supervisors see every group; agents what they may take.
    whole.cases.retain(|case| session.role.sees_every_case() || rooms.desk.may_take(&agent, case));
    whole.cases.sort_by_key(|case| case.rank);
    let most = usize::try_from(Desk::LIST_MAX).unwrap_or(usize::MAX);
    whole.more |= whole.cases.len() > most;
    whole.cases.truncate(most);
    Ok(guarded(StatusCode::OK).json(rooms.shaped(&request, |reader| reader.list(&whole))))
}

async fn mine(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let listed = rooms.desk.mine(&session).await.map_err(|error| guard::broken(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(rooms.shaped(&request, |reader| reader.list(&listed))))
}

/// What the page needs once: how the person works, and the canned replies.
async fn me(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let agent = rooms.desk.agent(&session.name).await.map_err(|error| guard::broken(&request, &error))?;
    let files = rooms.desk.files();
    let language = Language::of(&request);
    let replies: Vec<Value> = files.replies.iter().map(|reply| shape::reply(reply, language)).collect();
    let body = json!({ "agent": shape::agent(&session.name, &agent), "replies": replies });
    Ok(guarded(StatusCode::OK).json(body))
}

/// Who is there to hand a case to.
async fn colleagues(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let present = rooms.desk.colleagues(&session).await.map_err(|error| guard::broken(&request, &error))?;
    let people: Vec<Value> = present.iter().map(shape::present).collect();
    Ok(guarded(StatusCode::OK).json(json!({ "people": people })))
}

async fn next(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = rooms.acting(&request).await?;
    let claimed = rooms.desk.claim_next(&session, &rooms.accounts(&session)).await;
    let case_id = claimed.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({ "case_id": case_id })))
}

#[derive(Deserialize)]
struct ReadyBody {
    ready: bool,
}

async fn ready(request: HttpRequest, rooms: Rooms, body: Json<ReadyBody>) -> Answer {
    let session = rooms.acting(&request).await?;
    let agent = rooms.desk.agent(&session.name).await.map_err(|error| guard::broken(&request, &error))?;
    let wanted = DeskAgent { ready: body.ready, ..agent };
    done(&request, rooms.desk.set_agent(&session, &session.name, wanted).await)
}

#[derive(Deserialize)]
struct Span {
    /// Entries after this number; without it the end of the log.
    after: Option<i64>,
    /// Entries before this number.
    before: Option<i64>,
}

async fn case(request: HttpRequest, rooms: Rooms, case_id: Path<String>, span: Query<Span>) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let refused = |error: DeskError| DeskFailure::of(&request, &error);
    let view = rooms.desk.open(&session, &case_id).await.map_err(refused)?;
    let transcript =
        rooms.desk.transcript(&session, &case_id, span.after, span.before).await.map_err(refused)?;
    let looking = rooms.desk.looking(&session, &case_id, view.mine).await;
    let looking = looking.map_err(|error| guard::broken(&request, &error))?;
    let mut body = rooms.shaped(&request, |reader| reader.view(&view, &session));
    if let Some(members) = body.as_object_mut() {
        members.insert("looking".to_owned(), looking.into());
        let messages: Vec<Value> = transcript.messages.iter().map(shape::message).collect();
        members.insert("messages".to_owned(), messages.into());
        members.insert("more".to_owned(), transcript.more.into());
    }
    Ok(guarded(StatusCode::OK).json(body))
}

/// What is known beside the talk.
async fn about(request: HttpRequest, rooms: Rooms, case_id: Path<String>) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let about = rooms.desk.about(&session, &case_id).await;
    let about = about.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(shape::about(&about)))
}

async fn claim(request: HttpRequest, rooms: Rooms, case_id: Path<String>) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.claim(&session, &case_id).await)
}

#[derive(Deserialize)]
struct AnswerBody {
    /// The browser's key of this one message.
    answer_id: String,
    text: String,
}

async fn answer(request: HttpRequest, rooms: Rooms, case_id: Path<String>, body: Json<AnswerBody>) -> Answer {
    let session = rooms.acting(&request).await?;
    let answered = rooms.desk.answer(&session, &case_id, &body.answer_id, &body.text).await;
    let answered = answered.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({ "seq": answered.seq, "masked": answered.masked })))
}

async fn leave(request: HttpRequest, rooms: Rooms, case_id: Path<String>, body: Json<AnswerBody>) -> Answer {
    let session = rooms.acting(&request).await?;
    let left = rooms.desk.leave_words(&session, &case_id, &body.answer_id, &body.text).await;
    let left = left.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({ "seq": left.seq, "masked": left.masked })))
}

#[derive(Deserialize)]
struct TextBody {
    text: String,
}

async fn note(request: HttpRequest, rooms: Rooms, case_id: Path<String>, body: Json<TextBody>) -> Answer {
    let session = rooms.acting(&request).await?;
    let written = rooms.desk.write_note(&session, &case_id, &body.text).await;
    let seq = written.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({ "seq": seq })))
}

async fn complain(request: HttpRequest, rooms: Rooms, case_id: Path<String>, body: Json<TextBody>) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.complain(&session, &case_id, &body.text).await)
}

async fn settle(request: HttpRequest, rooms: Rooms, case_id: Path<String>) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.settle_complaint(&session, &case_id).await)
}

#[derive(Deserialize)]
struct HandOverBody {
    to: String,
}

async fn hand_over(
    request: HttpRequest,
    rooms: Rooms,
    case_id: Path<String>,
    body: Json<HandOverBody>,
) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.hand_over(&session, &case_id, &body.to).await)
}

#[derive(Deserialize)]
struct CloseBody {
    reason: Option<String>,
}

async fn close(request: HttpRequest, rooms: Rooms, case_id: Path<String>, body: Json<CloseBody>) -> Answer {
    let session = rooms.acting(&request).await?;
    let Some(reason) = &body.reason else {
        return done(&request, rooms.desk.close(&session, &case_id, None).await);
    };
    let outcome = match CloseReason::parse(reason) {
        Some(reason) => rooms.desk.close(&session, &case_id, Some(reason)).await,
        None => Err(DeskError::UnknownChoice),
    };
    done(&request, outcome)
}

async fn return_to_bot(request: HttpRequest, rooms: Rooms, case_id: Path<String>) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.return_to_bot(&session, &case_id).await)
}

#[derive(Deserialize)]
struct TransferBody {
    skill: String,
}

async fn transfer(
    request: HttpRequest,
    rooms: Rooms,
    case_id: Path<String>,
    body: Json<TransferBody>,
) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.transfer(&session, &case_id, &body.skill).await)
}

async fn seen(request: HttpRequest, rooms: Rooms, case_id: Path<String>) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.seen(&session, &case_id).await)
}

pub(super) fn done(request: &HttpRequest, outcome: Result<(), DeskError>) -> Answer {
    outcome.map_err(|error| DeskFailure::of(request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({})))
}
