//! The pages of binding.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::super::bind::Typed;
use super::super::chat_text::{Piece, pieces};
use super::{Alert, Faults, Frame, form_status, respond};
use crate::domain::time::UnixMs;
use crate::identity::checks::FieldFault;
use crate::identity::consent::ConsentText;
use crate::identity::{AlertChoice, Bound, Challenge};

#[derive(Template)]
#[template(path = "pages/h5/bind_start.html")]
struct Start<'a> {
    frame: &'a Frame,
    consent: &'a ConsentText,
    typed: &'a Typed,
    faults: Faults,
    alert: Option<Alert>,
}

/// 第1步
pub(in super::super) fn start(
    frame: &Frame,
    consent: &ConsentText,
    typed: &Typed,
    faults: Vec<FieldFault>,
    alert: Option<Alert>,
) -> HttpResponse {
    let faults = Faults(faults);
    let status = form_status(&faults, alert.as_ref());
    respond(frame, status, &Start { frame, consent, typed, faults, alert })
}

#[derive(Template)]
#[template(path = "pages/h5/bind_code.html")]
struct Code<'a> {
    frame: &'a Frame,
    challenge: &'a Challenge,
    wait_s: u64,
    faults: Faults,
    alert: Option<Alert>,
}

/// 第2步
pub(in super::super) fn code(
    frame: &Frame,
    challenge: &Challenge,
    now: UnixMs,
    faults: Vec<FieldFault>,
    alert: Option<Alert>,
) -> HttpResponse {
    let faults = Faults(faults);
    let status = form_status(&faults, alert.as_ref());
    respond(frame, status, &Code { frame, challenge, wait_s: challenge.wait_s(now), faults, alert })
}

#[derive(Template)]
#[template(path = "pages/h5/bind_done.html")]
struct Done<'a> {
    frame: &'a Frame,
    bound: &'a Bound,
    tails: String,
    answer: Vec<Piece>,
}

impl Done<'_> {
    fn alerts(&self) -> &'static str {
        match self.bound.alerts {
            AlertChoice::Full => "接收，显示金额和商户",
            AlertChoice::WithoutAmounts => "接收，不显示金额",
            AlertChoice::Off => "暂不接收",
        }
    }
}

/// 第3步
pub(in super::super) fn done(frame: &Frame, bound: &Bound) -> HttpResponse {
    let tails: Vec<&str> = bound.cards.iter().map(|card| card.tail.as_str()).collect();
    let answer = bound.answer.as_deref().map(pieces).unwrap_or_default();
    respond(frame, StatusCode::OK, &Done { frame, bound, tails: tails.join("、"), answer })
}
