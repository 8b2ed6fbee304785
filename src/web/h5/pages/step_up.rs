//! The pages that take a one-time code.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

use super::super::chat_text::{Piece, pieces};
use super::{Alert, Faults, Frame, core_alert, form_status, respond, too_soon};
use crate::domain::time::UnixMs;
use crate::identity::checks::FieldFault;
use crate::identity::{Challenge, StepUpFault};

/// How somebody is about to prove who he is.
pub(in super::super) enum Way<'a> {
    /// By a one-time code, before it is sent.
    Code,
    /// By his PIN, before the bank is asked for its page.
    Pin,
    /// By his PIN on the bank's own page at this address.
    Bank(&'a str),
}

#[derive(Template)]
#[template(path = "pages/h5/step_up_start.html")]
struct Start<'a> {
    frame: &'a Frame,
    title: Option<&'a str>,
    way: Way<'a>,
    faults: Faults,
    alert: Option<Alert>,
}

/// Before a proof.
pub(in super::super) fn start(
    frame: &Frame,
    title: Option<&str>,
    way: Way<'_>,
    alert: Option<Alert>,
) -> HttpResponse {
    let faults = Faults(Vec::new());
    let status = form_status(&faults, alert.as_ref());
    respond(frame, status, &Start { frame, title, way, faults, alert })
}

#[derive(Template)]
#[template(path = "pages/h5/step_up_code.html")]
struct Code<'a> {
    frame: &'a Frame,
    title: Option<&'a str>,
    challenge: &'a Challenge,
    wait_s: u64,
    faults: Faults,
    alert: Option<Alert>,
}

/// The code is on its way.
pub(in super::super) fn code(
    frame: &Frame,
    title: Option<&str>,
    challenge: &Challenge,
    now: UnixMs,
    faults: Vec<FieldFault>,
    alert: Option<Alert>,
) -> HttpResponse {
    let faults = Faults(faults);
    let status = form_status(&faults, alert.as_ref());
    respond(frame, status, &Code { frame, title, challenge, wait_s: challenge.wait_s(now), faults, alert })
}

#[derive(Template)]
#[template(path = "pages/h5/step_up_done.html")]
struct Done<'a> {
    frame: &'a Frame,
    asked: bool,
    answer: Vec<Piece>,
}

/// It was right.
pub(in super::super) fn done(frame: &Frame, asked: bool, answer: Option<&str>) -> HttpResponse {
    let answer = answer.map(pieces).unwrap_or_default();
    respond(frame, StatusCode::OK, &Done { frame, asked, answer })
}

/// What is said above the form.
pub(in super::super) fn alert(fault: &StepUpFault) -> Alert {
    match fault {
        StepUpFault::TooMany => Alert::no(super::TOO_MANY),
        StepUpFault::TooSoon { wait_s } => Alert::no(too_soon(*wait_s)),
        StepUpFault::Cancelled => Alert::no("还没有输入交易密码，没有做任何改动。需要办理请再试一次。"),
        StepUpFault::Gone | StepUpFault::NotBound => Alert::no("请回到公众号对话，重新获取链接。"),
        StepUpFault::Core(fault) => core_alert(fault),
    }
}
