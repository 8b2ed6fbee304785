//! Pictures and voices at the desk. They leave as attachments in a sandbox, so that no file of a customer is ever a page.

use actix_web::http::{StatusCode, header};
use actix_web::web::{self, Bytes, Json, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use serde_json::json;

use super::api::{Answer, Rooms, done};
use super::guard::{self, DeskFailure};
use super::guarded;
use super::words::Language;
use crate::desk::playable;
use crate::store::StoredMedia;

#[derive(Deserialize)]
pub(super) struct Form {
    /// Just the bytes that were sent, also where no browser can play them.
    #[serde(default)]
    as_sent: bool,
}

pub(super) async fn show(
    request: HttpRequest,
    rooms: Rooms,
    path: Path<(String, i64)>,
    form: Query<Form>,
) -> Answer {
    let session = guard::reading(&request, &rooms.staff).await?;
    let (case_id, seq) = path.into_inner();
    let found = rooms.desk.media(&session, &case_id, seq).await;
    let refused = |status, code| Err(DeskFailure::new(status, code, Language::of(&request)));
    match found.map_err(|error| DeskFailure::of(&request, &error))? {
        StoredMedia::Wanted => refused(StatusCode::CONFLICT, "media_wanted"),
        StoredMedia::Lost => refused(StatusCode::GONE, "media_lost"),
        StoredMedia::Kept { content_type, bytes } => {
            let (content_type, bytes) = match form.as_sent {
                true => (content_type, bytes.to_vec()),
                false => played(content_type, bytes.to_vec()).await,
            };
            Ok(HttpResponse::Ok()
                .insert_header((header::CONTENT_TYPE, content_type))
                .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{seq}\"")))
                .insert_header((header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"))
                .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
                .insert_header(("cross-origin-resource-policy", "same-origin"))
                // A log that is drawn again need not be sent again; nobody between may keep it.
                .insert_header((header::CACHE_CONTROL, "private, max-age=600"))
                .body(bytes))
        }
    }
}

/// A voice as a browser plays it; everything else, and a voice that cannot be decoded, as it is.
async fn played(content_type: String, bytes: Vec<u8>) -> (String, Vec<u8>) {
    if content_type != "audio/amr" {
        return (content_type, bytes);
    }
    let voice = bytes.clone();
    match web::block(move || playable(&voice)).await {
        Ok(Some(wav)) => ("audio/wav".to_owned(), wav),
        Ok(None) | Err(_) => (content_type, bytes),
    }
}

#[derive(Deserialize)]
pub(super) struct Picture {
    /// The browser's key of this picture.
    answer_id: String,
}

pub(super) async fn send(
    request: HttpRequest,
    rooms: Rooms,
    case_id: Path<String>,
    picture: Query<Picture>,
    bytes: Bytes,
) -> Answer {
    let session = rooms.acting(&request).await?;
    let sent = rooms.desk.send_picture(&session, &case_id, &picture.answer_id, bytes).await;
    let seq = sent.map_err(|error| DeskFailure::of(&request, &error))?;
    Ok(guarded(StatusCode::OK).json(json!({ "seq": seq })))
}

#[derive(Deserialize)]
pub(super) struct TypingBody {
    typing: bool,
}

pub(super) async fn typing(
    request: HttpRequest,
    rooms: Rooms,
    case_id: Path<String>,
    body: Json<TypingBody>,
) -> Answer {
    let session = rooms.acting(&request).await?;
    done(&request, rooms.desk.typing(&session, &case_id, body.typing).await)
}
