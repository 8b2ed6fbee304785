//! JSON under `/desk/api`.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse, Scope};
use serde::Deserialize;
use serde_json::{Value, json};

use super::guard::{self, DeskFailure};
use super::words::Language;
use super::{guarded, json as shape};
use crate::config::{Config, DeskKind};
use crate::desk::{Desk, DeskError, Listed};
use crate::domain::case::CloseReason;
use crate::staff::{Session, Staff};

type Answer = Result<HttpResponse, DeskFailure>;

pub(super) fn scope() -> Scope {
    web::scope("/api")
        .route("/queue", web::get().to(queue))
        .route("/mine", web::get().to(mine))
        .route("/cases/{case_id}", web::get().to(case))
        .route("/cases/{case_id}/claim", web::post().to(claim))
        .route("/cases/{case_id}/answer", web::post().to(answer))
        .route("/cases/{case_id}/close", web::post().to(close))
        .route("/cases/{case_id}/return", web::post().to(return_to_bot))
        .route("/cases/{case_id}/transfer", web::post().to(transfer))
        .route("/cases/{case_id}/seen", web::post().to(seen))
}

/// The rooms that every handler needs.
#[derive(Clone)]
struct Rooms {
    desk: Data<Desk>,
    staff: Data<Staff>,
    config: Data<Config>,
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
    async fn acting(&self, request: &HttpRequest) -> Result<Session, DeskFailure> {
        guard::acting(request, &self.staff, &self.config, None).await
    }
}

async fn queue(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let mut whole = Listed { cases: vec![], more: false };
    let own = rooms.config.accounts.iter().filter(|account| account.desk == DeskKind::Own);
    for account in own.filter(|account| session.reach.covers(&account.id)) {
        let listed = rooms.desk.queue(&account.id).await.map_err(|error| guard::broken(&request, &error))?;
        whole.cases.extend(listed.cases);
        whole.more |= listed.more;
    }
    whole.cases.sort_by_key(|case| case.rank);
    let most = usize::try_from(Desk::LIST_MAX).unwrap_or(usize::MAX);
    whole.more |= whole.cases.len() > most;
    whole.cases.truncate(most);
    Ok(listing(&request, &rooms, &whole))
}

async fn mine(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let listed = rooms.desk.mine(&session).await.map_err(|error| guard::broken(&request, &error))?;
    Ok(listing(&request, &rooms, &listed))
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
    let mut body = shape::view(&view, &rooms.config, Language::of(&request));
    if let Some(members) = body.as_object_mut() {
        let messages: Vec<Value> = transcript.messages.iter().map(shape::message).collect();
        members.insert("messages".to_owned(), messages.into());
        members.insert("more".to_owned(), transcript.more.into());
        members.insert("now".to_owned(), rooms.desk.now().0.into());
    }
    Ok(guarded(StatusCode::OK).json(body))
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

fn done(request: &HttpRequest, outcome: Result<(), DeskError>) -> Answer {
    outcome.map_err(|error| DeskFailure::of(request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({})))
}

fn listing(request: &HttpRequest, rooms: &Rooms, listed: &Listed) -> HttpResponse {
    let mut body = shape::list(listed, &rooms.config, Language::of(request));
    if let Some(members) = body.as_object_mut() {
        members.insert("now".to_owned(), rooms.desk.now().0.into());
    }
    guarded(StatusCode::OK).json(body)
}
