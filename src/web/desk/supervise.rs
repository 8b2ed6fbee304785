//! The supervisors' wall, and what they may order.

use actix_web::http::StatusCode;
use actix_web::web::{Json, Path};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Answer, Rooms, done};
use super::guard::{self, DeskFailure};
use super::words::{self, Language, Words};
use super::{base, guarded, html, json as shape, see_other};
use crate::domain::ids::AccountId;
use crate::staff::{Activity, Session};
use crate::store::DeskAgent;

#[derive(Template)]
#[template(path = "pages/desk/wall.html")]
struct WallPage<'a> {
    base: &'a str,
    words: &'a Words,
    session: &'a Session,
    csrf: &'a str,
    watermarks: Vec<String>,
    groups: Vec<(&'a str, &'a str)>,
}

/// Who may see these pages; anybody else is sent to the desk.
pub(super) async fn supervisor(request: &HttpRequest, rooms: &Rooms) -> Result<Session, HttpResponse> {
    let home = base(&rooms.config);
    match guard::session(request, &rooms.staff, Activity::Person).await {
        Ok(session) if session.role.sees_every_case() => Ok(session),
        Ok(_) => Err(see_other(&home)),
        Err(failure) if failure.is_signed_out() => Err(see_other(&format!("{home}/sign-in"))),
        Err(failure) => Err(failure.response()),
    }
}

pub(super) async fn show_wall(request: HttpRequest, rooms: Rooms) -> HttpResponse {
    let session = match supervisor(&request, &rooms).await {
        Ok(session) => session,
        Err(response) => return response,
    };
    let language = Language::of(&request);
    let base = base(&rooms.config);
    let files = rooms.desk.files();
    let page = WallPage {
        base: &base,
        words: language.words(),
        csrf: session.csrf.reveal(),
        watermarks: super::watermarks(&session, &rooms.desk),
        groups: files
            .groups
            .iter()
            .map(|group| (group.id.as_str(), words::group(language, &files.groups, &group.id)))
            .collect(),
        session: &session,
    };
    html(StatusCode::OK, page.render(), language)
}

pub(super) async fn wall(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let refused = |error| DeskFailure::of(&request, &error);
    let files = rooms.desk.files();
    let language = Language::of(&request);
    let (mut groups, mut complaints, mut talks) = (Vec::new(), Vec::new(), Vec::new());
    for account in rooms.accounts(&session) {
        let name = rooms.config.account(account.as_str()).map_or("", |account| account.name.as_str());
        for group in rooms.desk.wall(&session, &account).await.map_err(refused)? {
            groups.push(json!({
                "account": account.as_str(),
                "account_name": name,
                "group": group.group,
                "name": words::group(language, &files.groups, &group.group),
                "answer_within_s": group.answer_within.as_secs(),
                "waiting": group.now.waiting,
                "since": group.now.since.map(|at| at.0),
                "overdue": group.now.overdue,
                "at_risk": group.now.at_risk,
                "talking": group.now.talking,
                "call_backs": group.now.call_backs,
            }));
        }
        let open = rooms.desk.open_complaints(&account).await;
        let open = open.map_err(|error| guard::broken(&request, &error))?;
        complaints.extend(rooms.shaped(&request, |reader| {
            open.iter().map(|complaint| reader.complaint(complaint)).collect::<Vec<_>>()
        }));
        let talking = rooms.desk.talking(&session, &account).await.map_err(refused)?;
        talks.extend(
            rooms.shaped(&request, |reader| talking.iter().map(|case| reader.case(case)).collect::<Vec<_>>()),
        );
    }
    let present = rooms.desk.colleagues(&session).await.map_err(|error| guard::broken(&request, &error))?;
    let people: Vec<Value> = present.iter().map(shape::present).collect();
    Ok(guarded(StatusCode::OK).json(json!({
        "groups": groups, "people": people, "complaints": complaints, "talks": talks,
        "now": rooms.desk.now().0,
    })))
}

/// Ended cases to be judged, drawn by lot.
pub(super) async fn samples(request: HttpRequest, rooms: Rooms) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let mut samples = Vec::new();
    for account in rooms.accounts(&session) {
        let drawn = rooms.desk.samples(&session, &account).await;
        let drawn = drawn.map_err(|error| DeskFailure::of(&request, &error))?;
        samples.extend(
            rooms.shaped(&request, |reader| drawn.iter().map(|case| reader.case(case)).collect::<Vec<_>>()),
        );
    }
    Ok(guarded(StatusCode::OK).json(json!({ "cases": samples })))
}

#[derive(Deserialize)]
pub(super) struct JudgementBody {
    points: i64,
    note: String,
}

pub(super) async fn judge(
    request: HttpRequest,
    rooms: Rooms,
    case_id: Path<String>,
    body: Json<JudgementBody>,
) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.judge(&session, &case_id, body.points, &body.note).await)
}

#[derive(Deserialize)]
pub(super) struct WhisperBody {
    text: String,
}

pub(super) async fn whisper(
    request: HttpRequest,
    rooms: Rooms,
    case_id: Path<String>,
    body: Json<WhisperBody>,
) -> Answer {
    let session = rooms.acting(&request).await?;
    let whispered = rooms.desk.whisper(&session, &case_id, &body.text).await;
    let seq = whispered.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({ "seq": seq })))
}

pub(super) async fn take_over(request: HttpRequest, rooms: Rooms, case_id: Path<String>) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.take_over(&session, &case_id).await)
}

#[derive(Deserialize)]
pub(super) struct PriorityBody {
    level: u8,
}

pub(super) async fn priority(
    request: HttpRequest,
    rooms: Rooms,
    case_id: Path<String>,
    body: Json<PriorityBody>,
) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.set_priority(&session, &case_id, body.level).await)
}

#[derive(Deserialize)]
pub(super) struct MoveBody {
    account: String,
    from: String,
    to: String,
}

pub(super) async fn move_queue(request: HttpRequest, rooms: Rooms, body: Json<MoveBody>) -> Answer {
    let session = rooms.acting(&request).await?;
    let moved = rooms.desk.move_queue(&session, &AccountId::new(&body.account), &body.from, &body.to).await;
    let moved = moved.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({ "moved": moved })))
}

#[derive(Deserialize)]
pub(super) struct AgentBody {
    skills: Vec<String>,
    capacity: u32,
    ready: bool,
}

pub(super) async fn set_agent(
    request: HttpRequest,
    rooms: Rooms,
    name: Path<String>,
    body: Json<AgentBody>,
) -> Answer {
    let session = rooms.acting(&request).await?;
    let body = body.into_inner();
    let wanted = DeskAgent { skills: body.skills, capacity: body.capacity, ready: body.ready };
    done(&request, rooms.desk.set_agent(&session, &name, wanted).await)
}
