//! The pages that take a one-time code, and those on the way to the bank's own page for the PIN.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::pages::{self, Notice, Way};
use super::{Guest, LinkQuery, admit, answered, failure, see_other, typed_code, welcome, wrong_code};
use crate::domain::secret::Personal;
use crate::domain::step_up::Proof;
use crate::identity::checks::FieldFault;
use crate::identity::{Identity, Page, PinWord, Resumer, StepUpFault, StepUpStage};

/// What was typed. Cannot print itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    csrf: String,
    code: String,
}

pub(super) async fn show(
    identity: Data<Identity>,
    resumer: Data<dyn Resumer>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<LinkQuery>,
) -> HttpResponse {
    match welcome(&identity, &request, &account, Page::StepUp, query.t.as_deref()).await {
        Ok(guest) => stage_page(&identity, resumer.as_ref(), &guest, Vec::new(), None),
        Err(response) => response,
    }
}

/// The page of the stage that the step-up is in, with what went wrong.
fn stage_page(
    identity: &Identity,
    resumer: &dyn Resumer,
    guest: &Guest,
    faults: Vec<FieldFault>,
    alert: Option<pages::Alert>,
) -> HttpResponse {
    let Some(page) = identity.step_up_page(&guest.visit) else {
        return Notice::not_found().respond(StatusCode::NOT_FOUND);
    };
    let title = resumer.title(guest.visit.account(), &page.scope);
    match &page.stage {
        StepUpStage::Begin => {
            let way = if page.proof == Proof::Pin { Way::Pin } else { Way::Code };
            pages::step_up_start(&guest.frame, title.as_deref(), way, alert)
        }
        StepUpStage::Away { url, .. } => {
            pages::step_up_start(&guest.frame, title.as_deref(), Way::Bank(url), alert)
        }
        StepUpStage::Code { challenge, .. } => {
            pages::step_up_code(&guest.frame, title.as_deref(), challenge, identity.now(), faults, alert)
        }
        StepUpStage::Done { asked, answer } => match page.back() {
            Some(back) => see_other(&guest.frame, back.path()),
            None => pages::step_up_done(&guest.frame, *asked, answer.as_deref()),
        },
    }
}

pub(super) async fn submit(
    identity: Data<Identity>,
    resumer: Data<dyn Resumer>,
    request: HttpRequest,
    path: Path<(String, String)>,
    form: Form<Typed>,
) -> HttpResponse {
    let (account, step) = path.into_inner();
    let typed = form.into_inner();
    let guest = match admit(&identity, &request, &account, &typed.csrf).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    match step.as_str() {
        "pin" => begin_pin(&identity, resumer.as_ref(), guest).await,
        "send" => send(&identity, resumer.as_ref(), guest).await,
        "verify" => verify(&identity, resumer.as_ref(), guest, &typed.code).await,
        _ => Notice::not_found().respond(StatusCode::NOT_FOUND),
    }
}

async fn send(identity: &Identity, resumer: &dyn Resumer, mut guest: Guest) -> HttpResponse {
    match identity.step_up_send(&mut guest.visit, guest.client_ip.clone()).await {
        Ok(Ok(())) => see_other(&guest.frame, Page::StepUp.path()),
        Ok(Err(fault)) => told(identity, resumer, &guest, &fault),
        Err(error) => failure(&guest.frame, &error),
    }
}

/// Gets the address of the bank's page for the PIN.
async fn begin_pin(identity: &Identity, resumer: &dyn Resumer, mut guest: Guest) -> HttpResponse {
    let scope = identity.step_up_page(&guest.visit).map(|page| page.scope.clone()).unwrap_or_default();
    let title = resumer.title(guest.visit.account(), &scope);
    match identity.pin_begin(&mut guest.visit, title.as_deref(), guest.client_ip.clone()).await {
        Ok(Ok(())) => see_other(&guest.frame, Page::StepUp.path()),
        Ok(Err(fault)) => told(identity, resumer, &guest, &fault),
        Err(error) => failure(&guest.frame, &error),
    }
}

/// Back from the bank's page. What the browser brings counts by the bank's signature, once, in the session that went.
pub(super) async fn come_back(
    identity: Data<Identity>,
    resumer: Data<dyn Resumer>,
    request: HttpRequest,
    account: Path<String>,
    word: Query<PinWord>,
) -> HttpResponse {
    let mut guest = match welcome(&identity, &request, &account, Page::StepUp, None).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    match identity.pin_settle(&mut guest.visit, &word).await {
        Ok(Ok(wish)) => go_on(&identity, resumer.as_ref(), guest, wish).await,
        Ok(Err(fault)) => told(&identity, resumer.as_ref(), &guest, &fault),
        Err(error) => failure(&guest.frame, &error),
    }
}

async fn verify(identity: &Identity, resumer: &dyn Resumer, mut guest: Guest, code: &str) -> HttpResponse {
    let code = match typed_code(code) {
        Ok(code) => code,
        Err(faults) => return stage_page(identity, resumer, &guest, faults, None),
    };
    let wish = match identity.step_up_verify(&mut guest.visit, &code, guest.client_ip.clone()).await {
        Ok(Ok(wish)) => wish,
        Ok(Err(StepUpFault::Gone)) => return see_other(&guest.frame, Page::StepUp.path()),
        Ok(Err(fault)) => return told(identity, resumer, &guest, &fault),
        Err(error) => return failure(&guest.frame, &error),
    };
    go_on(identity, resumer, guest, wish).await
}

/// Answers what waited for the proof, on the page as well.
async fn go_on(
    identity: &Identity,
    resumer: &dyn Resumer,
    mut guest: Guest,
    wish: Option<Personal>,
) -> HttpResponse {
    if let Some(answer) = answered(resumer, &guest, wish).await
        && let Err(error) = identity.keep_step_up_answer(&mut guest.visit, answer).await
    {
        // The proof stands and the chat has the answer: only this page goes without.
        tracing::warn!(%error, retry = "never", "the answer after a proof is missing on its page; it stands in the chat");
    }
    see_other(&guest.frame, Page::StepUp.path())
}

/// A wrong code belongs beside its field; anything else above the form.
fn told(identity: &Identity, resumer: &dyn Resumer, guest: &Guest, fault: &StepUpFault) -> HttpResponse {
    let alert = match fault {
        StepUpFault::Gone => return see_other(&guest.frame, Page::StepUp.path()),
        StepUpFault::NotBound => return Notice::not_bound(&guest.frame).respond(StatusCode::FORBIDDEN),
        fault => pages::step_up_alert(fault),
    };
    let (faults, alert) = match fault {
        StepUpFault::Core(core) => wrong_code(core, alert),
        _ => (Vec::new(), Some(alert)),
    };
    stage_page(identity, resumer, guest, faults, alert)
}
