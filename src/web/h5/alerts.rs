//! The settings of alerts, and what was told of late.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::pages::{self, AlertsPage, Notice};
use super::{Guest, LinkQuery, admit, failure, see_other, welcome};
use crate::alerts::Alerts;
use crate::domain::alert_settings::{AlertChange, QuietHours, THRESHOLD_FEN_MAX};
use crate::domain::money::Money;
use crate::identity::checks::FieldFault;
use crate::identity::{Changed, Identity, IdentityError, Page};

/// WeChat may take this long to let the page be signed.
const SDK_TIMEOUT: Duration = Duration::from_secs(3);

/// What was chosen.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Chosen {
    csrf: String,
    card_id: String,
    on: String,
    hide_amounts: String,
    threshold: String,
    quiet: String,
    from: String,
    until: String,
}

pub(super) async fn show(
    identity: Data<Identity>,
    alerts: Data<Alerts>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<LinkQuery>,
) -> HttpResponse {
    match welcome(&identity, &request, &account, Page::Alerts, query.t.as_deref()).await {
        Ok(guest) => page(&identity, &alerts, &guest, &request, vec![]).await,
        Err(response) => response,
    }
}

/// The page as it stands, with what went wrong.
async fn page(
    identity: &Identity,
    alerts: &Alerts,
    guest: &Guest,
    request: &HttpRequest,
    faults: Vec<FieldFault>,
) -> HttpResponse {
    let (account, follower) = (guest.visit.account(), guest.visit.follower());
    let binding = match identity.binding(account, follower).await {
        Ok(Some(binding)) => binding,
        Ok(None) => return Notice::not_bound(&guest.frame).respond(StatusCode::FORBIDDEN),
        Err(error) => return failure(&guest.frame, &IdentityError::Store(error)),
    };
    let read = futures::future::try_join(alerts.history(&binding), alerts.consents(account, follower));
    let (past, consents) = match read.await {
        Ok(read) => read,
        Err(error) => return failure(&guest.frame, &IdentityError::Store(error)),
    };
    let config = identity.config();
    let base = config.server.public_url.as_str().trim_end_matches('/');
    let url = format!("{base}{}", request.uri());
    // The rest of the page does not wait for a WeChat that does not answer.
    let sdk = match consents.is_empty() {
        true => None,
        false => tokio::time::timeout(SDK_TIMEOUT, alerts.page_config(account, &url)).await.ok().flatten(),
    };
    let page = AlertsPage {
        binding: &binding,
        past: &past,
        ceiling: config.alerts.silence_ceiling,
        consents: &consents,
        sdk: sdk.as_ref(),
    };
    pages::alerts(&guest.frame, &page, faults)
}

pub(super) async fn submit(
    identity: Data<Identity>,
    alerts: Data<Alerts>,
    request: HttpRequest,
    path: Path<(String, String)>,
    form: Form<Chosen>,
) -> HttpResponse {
    let (account, step) = path.into_inner();
    let chosen = form.into_inner();
    let mut guest = match admit(&identity, &request, &account, &chosen.csrf).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    let change = match step.as_str() {
        "card" => of_card(&chosen),
        "quiet" => of_quiet(&chosen),
        _ => return Notice::not_found().respond(StatusCode::NOT_FOUND),
    };
    match change {
        Err(fault) => page(&identity, &alerts, &guest, &request, vec![fault]).await,
        Ok(change) => match identity.change_alerts_on_page(&mut guest.visit, change).await {
            Ok(Changed::Now) => see_other(&guest.frame, Page::Alerts.path()),
            Ok(Changed::AfterCode) => see_other(&guest.frame, Page::StepUp.path()),
            Ok(Changed::NotBound) => Notice::not_bound(&guest.frame).respond(StatusCode::FORBIDDEN),
            Err(error) => failure(&guest.frame, &error),
        },
    }
}

/// A change of one card.
fn of_card(chosen: &Chosen) -> Result<AlertChange, FieldFault> {
    let threshold = chosen.threshold.trim().trim_end_matches('元');
    let amount = Money::parse(threshold, "CNY").ok().map(Money::minor);
    let amount = amount.filter(|fen| (0..=THRESHOLD_FEN_MAX).contains(fen));
    let text = "请填写0元到10万元之间的金额，例如 100；填 0 表示每一笔都提醒".to_owned();
    let threshold_fen = amount.ok_or(FieldFault { field: "threshold", text })?;
    Ok(AlertChange {
        card_id: Some(chosen.card_id.clone()),
        on: Some(chosen.on == "yes"),
        hide_amounts: Some(chosen.hide_amounts == "yes"),
        threshold_fen: Some(threshold_fen),
        quiet: None,
    })
}

fn of_quiet(chosen: &Chosen) -> Result<AlertChange, FieldFault> {
    let quiet = if chosen.quiet == "yes" {
        let span = QuietHours::parse(&format!("{}-{}", chosen.from.trim(), chosen.until.trim()));
        let text = "请填写开始和结束的时间，最长12小时".to_owned();
        Some(span.ok_or(FieldFault { field: "from", text })?)
    } else {
        None
    };
    Ok(AlertChange { quiet: Some(quiet), ..AlertChange::default() })
}
