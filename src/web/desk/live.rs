//! `/desk/live`: server-sent hints. The page reads again what they name; losing any of them costs a moment.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::guard::{self, DeskFailure};
use super::guarded;
use super::words::Language;
use crate::desk::{Desk, Hint};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::staff::{Activity, Session, Staff};

/// Streams of one process; whoever finds none falls back to asking.
const STREAMS_MAX: usize = 4000;
/// A silent stream says that it lives, and looks whether its session does.
const BEAT: Duration = Duration::from_secs(10);
/// A session is looked up at most this often however many hints there are.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// A hint that names no conversation: read all.
const EVERYTHING: &str = "event: changed\ndata: {}\n\n";

static STREAMS: Semaphore = Semaphore::const_new(STREAMS_MAX);

struct Stream {
    _place: SemaphorePermit<'static>,
    hints: Receiver<Hint>,
    desk: Data<Desk>,
    staff: Data<Staff>,
    token: Secret,
    reader: Session,
    checked: UnixMs,
    begun: bool,
    over: bool,
}

pub(super) async fn stream(
    request: HttpRequest,
    staff: Data<Staff>,
    desk: Data<Desk>,
) -> Result<HttpResponse, DeskFailure> {
    let foreign = request.headers().get("sec-fetch-site").is_some_and(|site| site != "same-origin");
    if foreign {
        return Err(DeskFailure::new(StatusCode::FORBIDDEN, "foreign", Language::of(&request)));
    }
    let reader = guard::session(&request, &staff, Activity::Page).await?;
    let busy = || DeskFailure::new(StatusCode::SERVICE_UNAVAILABLE, "busy", Language::of(&request));
    let place = STREAMS.try_acquire().map_err(|_| busy())?;
    let token = guard::token(&request).ok_or_else(busy)?;
    let hints = desk.hints();
    let checked = desk.now();
    let stream =
        Stream { _place: place, hints, desk, staff, token, reader, checked, begun: false, over: false };
    let body = futures::stream::unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, actix_web::Error>(Bytes::from(event)), stream))
    });
    Ok(guarded(StatusCode::OK)
        .insert_header((header::CONTENT_TYPE, "text/event-stream; charset=utf-8"))
        // Proxies that gather answers would make "live" a word without meaning.
        .insert_header(("x-accel-buffering", "no"))
        .streaming(body))
}

impl Stream {
    /// The next hint that is for this person: of an account that he does not serve not even that something happened is
    /// told, and what is said in a conversation concerns whoever has it and supervisors.
    async fn heard(&mut self) -> Result<Hint, RecvError> {
        loop {
            let hint = self.hints.recv().await?;
            let concerns = hint.owner.as_ref().is_none_or(|owner| *owner == self.reader.name);
            if self.reader.reach.covers(&hint.account) && (concerns || self.reader.role.sees_every_case()) {
                return Ok(hint);
            }
        }
    }

    /// The next event; `None` ends the stream.
    async fn next(&mut self) -> Option<String> {
        if self.over {
            return None;
        }
        if !self.begun {
            self.begun = true;
            // Whatever happened while no stream was open is read now.
            return Some(EVERYTHING.to_owned());
        }
        let event = match tokio::time::timeout(BEAT, self.heard()).await {
            Ok(Ok(hint)) => {
                let data = json!({ "account": hint.account.as_str(), "follower": hint.follower.to_string() });
                format!("event: changed\ndata: {data}\n\n")
            }
            // Too many hints to follow: the page reads everything again.
            Ok(Err(RecvError::Lagged(_))) => EVERYTHING.to_owned(),
            Ok(Err(RecvError::Closed)) => return None,
            Err(_) => ": beat\n\n".to_owned(),
        };
        let now = self.desk.now();
        if now.since(self.checked) >= CHECK_EVERY || now < self.checked {
            self.checked = now;
            // A database that fails for a moment is no reason to send people away; the next hint asks again.
            match self.staff.session(&self.token, Activity::Page).await {
                Ok(Some(session)) => self.reader = session,
                Ok(None) => {
                    self.over = true;
                    return Some("event: signed-out\ndata: {}\n\n".to_owned());
                }
                Err(_) => {}
            }
        }
        Some(event)
    }
}
