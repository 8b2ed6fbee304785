//! The three pages of binding.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::pages::{self, Notice};
use super::{Guest, LinkQuery, admit, answered, failure, see_other, typed_code, welcome, wrong_code};
use crate::identity::checks::{self, Complaints, FieldFault};
use crate::identity::{
    AlertChoice, BindFault, BindForm, BindStage, Identity, Page, Refusal, Resumer, consent,
};

/// Longest tail that is shown again.
const TAIL_CHARS_MAX: usize = 8;

/// What was typed, as it was typed. Cannot print itself.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Typed {
    csrf: String,
    pub(super) name: String,
    pub(super) id_tail: String,
    pub(super) card_tail: String,
    pub(super) phone: String,
    pub(super) alerts: String,
    agree: String,
    text_hash: String,
    code: String,
}

pub(super) async fn show(
    identity: Data<Identity>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<LinkQuery>,
) -> HttpResponse {
    match welcome(&identity, &request, &account, Page::Bind, query.t.as_deref()).await {
        Ok(guest) => stage_page(&identity, &guest, Vec::new(), None),
        Err(response) => response,
    }
}

/// The page of the stage that the binding is in, with what went wrong.
fn stage_page(
    identity: &Identity,
    guest: &Guest,
    faults: Vec<FieldFault>,
    alert: Option<pages::Alert>,
) -> HttpResponse {
    match identity.bind_stage(&guest.visit) {
        None => first_page(guest, &Typed::default(), faults, alert),
        Some(BindStage::Code { challenge, .. }) => {
            pages::bind_code(&guest.frame, challenge, identity.now(), faults, alert)
        }
        Some(BindStage::Done(bound)) => pages::bind_done(&guest.frame, bound),
    }
}

fn first_page(
    guest: &Guest,
    typed: &Typed,
    faults: Vec<FieldFault>,
    alert: Option<pages::Alert>,
) -> HttpResponse {
    pages::bind_start(&guest.frame, &consent::binding(&guest.frame.bank), typed, faults, alert)
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
        "start" => start(&identity, guest, typed).await,
        "verify" => verify(&identity, resumer.as_ref(), guest, &typed.code).await,
        "resend" => resend(&identity, guest).await,
        "restart" => restart(&identity, guest).await,
        _ => Notice::not_found().respond(StatusCode::NOT_FOUND),
    }
}

async fn start(identity: &Identity, mut guest: Guest, mut typed: Typed) -> HttpResponse {
    let form = match check(&typed) {
        Ok(form) => form,
        Err(faults) => {
            // A whole card or ID number, typed by mistake, is not shown again (P9).
            let whole = |text: &String| text.chars().count() > TAIL_CHARS_MAX;
            typed.card_tail = Some(typed.card_tail).filter(|text| !whole(text)).unwrap_or_default();
            typed.id_tail = Some(typed.id_tail).filter(|text| !whole(text)).unwrap_or_default();
            return first_page(&guest, &typed, faults, None);
        }
    };
    match identity.bind_start(&mut guest.visit, form, guest.client_ip.clone()).await {
        Ok(Ok(())) | Ok(Err(BindFault::Gone)) => see_other(&guest.frame, "bind"),
        Ok(Err(BindFault::LinkUsed)) => link_used(&guest),
        Ok(Err(fault)) => first_page(&guest, &typed, Vec::new(), Some(pages::bind_alert(&fault))),
        Err(error) => failure(&guest.frame, &error),
    }
}

fn check(typed: &Typed) -> Result<BindForm, Vec<FieldFault>> {
    let mut complaints = Complaints::default();
    let name = complaints.keep("name", checks::name(&typed.name));
    let id_tail = complaints.keep("id_tail", checks::id_tail(&typed.id_tail));
    let card_tail = complaints.keep("card_tail", checks::card_tail(&typed.card_tail));
    let phone = complaints.keep("phone", checks::phone(&typed.phone));
    let alerts = match typed.alerts.as_str() {
        "full" => AlertChoice::Full,
        "without_amounts" => AlertChoice::WithoutAmounts,
        "off" => AlertChoice::Off,
        _ => {
            complaints.add("alerts", "请选择是否接收动账提醒");
            AlertChoice::Off
        }
    };
    if typed.agree != "yes" {
        complaints.add("agree", "请阅读同意书，同意后勾选");
    }
    let text_hash = typed.text_hash.clone();
    complaints.settle(BindForm { name, id_tail, card_tail, phone, alerts, text_hash })
}

async fn verify(identity: &Identity, resumer: &dyn Resumer, mut guest: Guest, code: &str) -> HttpResponse {
    let code = match typed_code(code) {
        Ok(code) => code,
        Err(faults) => return stage_page(identity, &guest, faults, None),
    };
    let wish = match identity.bind_verify(&mut guest.visit, &code, guest.client_ip.clone()).await {
        Ok(Ok(verified)) => verified.wish,
        Ok(Err(BindFault::Gone)) => return see_other(&guest.frame, "bind"),
        Ok(Err(BindFault::LinkUsed)) => return link_used(&guest),
        Ok(Err(fault)) => return code_fault(identity, &guest, &fault),
        Err(error) => return failure(&guest.frame, &error),
    };
    if let Some(answer) = answered(resumer, &guest, wish).await
        && let Err(error) = identity.keep_answer(&mut guest.visit, answer).await
    {
        // The binding stands and the chat has the answer: only this page goes without.
        tracing::warn!(%error, retry = "never", "the answer after a binding is missing on its page; it stands in the chat");
    }
    see_other(&guest.frame, "bind")
}

/// A wrong code belongs beside its field; anything else above the form.
fn code_fault(identity: &Identity, guest: &Guest, fault: &BindFault) -> HttpResponse {
    let alert = pages::bind_alert(fault);
    let (faults, alert) = match fault {
        BindFault::Core(core) => wrong_code(core, alert),
        _ => (Vec::new(), Some(alert)),
    };
    stage_page(identity, guest, faults, alert)
}

async fn resend(identity: &Identity, mut guest: Guest) -> HttpResponse {
    match identity.bind_resend(&mut guest.visit, guest.client_ip.clone()).await {
        Ok(Ok(())) | Ok(Err(BindFault::Gone)) => see_other(&guest.frame, "bind"),
        Ok(Err(fault)) => stage_page(identity, &guest, Vec::new(), Some(pages::bind_alert(&fault))),
        Err(error) => failure(&guest.frame, &error),
    }
}

async fn restart(identity: &Identity, mut guest: Guest) -> HttpResponse {
    match identity.bind_restart(&mut guest.visit).await {
        Ok(()) => see_other(&guest.frame, "bind"),
        Err(error) => failure(&guest.frame, &error),
    }
}

fn link_used(guest: &Guest) -> HttpResponse {
    Notice::refusal(&guest.frame, Refusal::LinkUsed).respond(StatusCode::FORBIDDEN)
}
