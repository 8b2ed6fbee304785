//! `/desk/reveal`: who the customer of a case is at the bank, for whoever says what he needs it for.

use actix_web::http::StatusCode;
use actix_web::web::{self, Data, Form, Query, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde::Deserialize;

use super::guard::{self, DeskFailure};
use super::words::{self, Language, Words};
use super::{WATERMARKS, base, html, see_other};
use crate::config::Config;
use crate::desk::{Desk, DeskError, Purpose};
use crate::domain::secret::Secret;
use crate::staff::{Activity, Session, Staff};

pub(super) fn configure(services: &mut ServiceConfig) {
    services.route("/reveal", web::get().to(ask)).route("/reveal", web::post().to(reveal));
}

#[derive(Template)]
#[template(path = "pages/desk/reveal.html")]
struct RevealPage<'a> {
    base: &'a str,
    words: &'a Words,
    csrf: &'a str,
    case_id: &'a str,
    purposes: Vec<(&'static str, &'static str)>,
    note_chars_max: usize,
    trouble: Option<&'static str>,
    watermarks: Vec<String>,
    shown: Option<Shown<'a>>,
}

/// What is behind the mask.
struct Shown<'a> {
    customer: &'a str,
    cards: Vec<String>,
}

#[derive(Deserialize)]
struct Asked {
    case: String,
}

#[derive(Deserialize)]
struct RevealForm {
    csrf: Secret,
    case: String,
    purpose: String,
    #[serde(default)]
    note: String,
}

async fn ask(
    request: HttpRequest,
    asked: Query<Asked>,
    staff: Data<Staff>,
    desk: Data<Desk>,
    config: Data<Config>,
) -> HttpResponse {
    let session = match guard::session(&request, &staff, Activity::Person).await {
        Ok(session) => session,
        Err(failure) if failure.is_signed_out() => return see_other(&format!("{}/sign-in", base(&config))),
        Err(failure) => return failure.response(),
    };
    match desk.revealable(&session, &asked.case).await {
        Ok(_) => page(&request, &config, &desk, &session, &asked.case, None, None),
        Err(error) => DeskFailure::of(&request, &error).response(),
    }
}

async fn reveal(
    request: HttpRequest,
    form: Form<RevealForm>,
    staff: Data<Staff>,
    desk: Data<Desk>,
    config: Data<Config>,
) -> HttpResponse {
    let session = match guard::acting(&request, &staff, &config, Some(&form.csrf)).await {
        Ok(session) => session,
        Err(failure) => return failure.response(),
    };
    let Some(purpose) = Purpose::parse(&form.purpose) else {
        return DeskFailure::of(&request, &DeskError::UnknownChoice).response();
    };
    let binding = match desk.reveal(&session, &form.case, purpose, form.note.trim()).await {
        Ok(binding) => binding,
        Err(error) => return DeskFailure::of(&request, &error).response(),
    };
    let language = Language::of(&request);
    let Some(binding) = binding else {
        let trouble = Some(language.words().reveal_not_bound);
        return page(&request, &config, &desk, &session, &form.case, trouble, None);
    };
    let cards = binding.cards.iter().map(|card| format!("{} {}", card.product, card.tail.as_str()));
    let shown = Shown { customer: binding.customer.reveal(), cards: cards.collect() };
    page(&request, &config, &desk, &session, &form.case, None, Some(shown))
}

fn page(
    request: &HttpRequest,
    config: &Config,
    desk: &Desk,
    session: &Session,
    case_id: &str,
    trouble: Option<&'static str>,
    shown: Option<Shown<'_>>,
) -> HttpResponse {
    let language = Language::of(request);
    let base = base(config);
    let page = RevealPage {
        base: &base,
        words: language.words(),
        csrf: session.csrf.reveal(),
        case_id,
        purposes: Purpose::ALL.map(|purpose| (purpose.name(), words::purpose(language, purpose))).to_vec(),
        note_chars_max: Desk::NOTE_CHARS_MAX,
        trouble,
        watermarks: vec![format!("{} {}", session.name, desk.today()); WATERMARKS],
        shown,
    };
    html(StatusCode::OK, page.render(), language)
}
