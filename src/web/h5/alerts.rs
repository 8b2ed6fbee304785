//! The settings of alerts, and what was told of late.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::pages::{self, AlertsPage, Notice, THRESHOLD, TypedCard};
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

impl Chosen {
    fn card(&self) -> TypedCard<'_> {
        TypedCard {
            card_id: &self.card_id,
            on: self.on == "yes",
            hide_amounts: self.hide_amounts == "yes",
            threshold: self.threshold.trim(),
        }
    }
}

pub(super) async fn show(
    identity: Data<Identity>,
    alerts: Data<Alerts>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<LinkQuery>,
) -> HttpResponse {
    match welcome(&identity, &request, &account, Page::Alerts, query.t.as_deref()).await {
        Ok(guest) => page(&identity, &alerts, &guest, &request, None).await,
        Err(response) => response,
    }
}

/// The page as it stands, with what was typed and what is wrong with it.
async fn page(
    identity: &Identity,
    alerts: &Alerts,
    guest: &Guest,
    request: &HttpRequest,
    refused: Option<(FieldFault, Option<TypedCard<'_>>)>,
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
    let (fault, typed) = refused.unzip();
    let page = AlertsPage {
        binding: &binding,
        past: &past,
        ceiling: config.alerts.silence_ceiling,
        consents: &consents,
        sdk: sdk.as_ref(),
        typed: typed.flatten(),
    };
    pages::alerts(&guest.frame, &page, fault.into_iter().collect())
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
        Err(fault) => {
            let typed = (step == "card").then(|| chosen.card());
            page(&identity, &alerts, &guest, &request, Some((fault, typed))).await
        }
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
    let TypedCard { card_id, on, hide_amounts, threshold } = chosen.card();
    let amount = Money::parse(threshold.trim_end_matches('元'), "CNY").ok().map(Money::minor);
    let amount = amount.filter(|fen| (0..=THRESHOLD_FEN_MAX).contains(fen));
    let text = "请填写0元到10万元之间的金额，例如 100；填 0 表示每一笔都提醒".to_owned();
    let threshold_fen = amount.ok_or(FieldFault { field: THRESHOLD, text })?;
    Ok(AlertChange {
        card_id: Some(card_id.to_owned()),
        on: Some(on),
        hide_amounts: Some(hide_amounts),
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
