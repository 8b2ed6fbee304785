//! The settings of alerts, and what was told of late.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::pages::{self, Notice};
use super::{Guest, LinkQuery, admit, failure, see_other, welcome};
use crate::alerts::Alerts;
use crate::domain::alert_settings::{AlertChange, QuietHours};
use crate::domain::binding::Binding;
use crate::domain::money::Money;
use crate::identity::checks::FieldFault;
use crate::identity::{Identity, IdentityError, Page};

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
        Ok(guest) => page(&identity, &alerts, &guest, vec![]).await,
        Err(response) => response,
    }
}

/// The page as it stands, with what went wrong.
async fn page(identity: &Identity, alerts: &Alerts, guest: &Guest, faults: Vec<FieldFault>) -> HttpResponse {
    let binding = match identity.binding(guest.visit.account(), guest.visit.follower()).await {
        Ok(Some(binding)) => binding,
        Ok(None) => return Notice::not_bound(&guest.frame).respond(StatusCode::FORBIDDEN),
        Err(error) => return failure(&guest.frame, &IdentityError::Store(error)),
    };
    match alerts.history(&binding).await {
        Ok(past) => {
            let ceiling = identity.config().alerts.silence_ceiling;
            pages::alerts(&guest.frame, &binding, &past, ceiling, faults)
        }
        Err(error) => failure(&guest.frame, &IdentityError::Store(error)),
    }
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
    let guest = match admit(&identity, &request, &account, &chosen.csrf).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    let (account, follower) = (guest.visit.account(), guest.visit.follower());
    let binding = match identity.binding(account, follower).await {
        Ok(Some(binding)) => binding,
        Ok(None) => return Notice::not_bound(&guest.frame).respond(StatusCode::FORBIDDEN),
        Err(error) => return failure(&guest.frame, &IdentityError::Store(error)),
    };
    let ceiling = identity.config().alerts.silence_ceiling;
    let change = match step.as_str() {
        "card" => of_card(&binding, &chosen, ceiling),
        "quiet" => of_quiet(&chosen),
        _ => return Notice::not_found().respond(StatusCode::NOT_FOUND),
    };
    match change {
        Err(fault) => page(&identity, &alerts, &guest, vec![fault]).await,
        Ok(change) => match identity.change_alerts(account, follower, &change).await {
            Ok(_) => see_other(&guest.frame, "alerts"),
            Err(error) => failure(&guest.frame, &error),
        },
    }
}

/// A change of one card. What silences more than the bank lets pass without a code is left to the chat, which asks for
/// one.
fn of_card(binding: &Binding, chosen: &Chosen, ceiling: Money) -> Result<AlertChange, FieldFault> {
    let fault = |text: String| FieldFault { field: "threshold", text };
    let threshold = chosen.threshold.trim().trim_end_matches('元');
    let amount = Money::parse(threshold, "CNY").ok().filter(|amount| amount.minor() >= 0);
    let amount = amount.ok_or_else(|| fault("请填写金额，例如 100；填 0 表示每一笔都提醒".to_owned()))?;
    let before = binding.alerts_of(&chosen.card_id);
    let raises = amount.minor() > before.threshold_fen;
    if raises && amount.minor() > ceiling.minor() {
        let most = ceiling.display();
        return Err(fault(format!("本页最高可设{most}；更高的金额请回到对话，回复“提醒起点”办理")));
    }
    Ok(AlertChange {
        card_id: Some(chosen.card_id.clone()),
        // Off is not to be had here: a forged or careless form must not silence a card.
        on: (chosen.on == "yes").then_some(true),
        hide_amounts: Some(chosen.hide_amounts == "yes"),
        threshold_fen: Some(amount.minor()),
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
