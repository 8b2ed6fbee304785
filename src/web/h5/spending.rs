//! What was spent on what, and the statements of a year, as charts.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;

use super::pages::{self, Notice};
use super::{failure, welcome};
use crate::identity::{Identity, Page};

/// The signed part of a link, and the statement that is looked at.
#[derive(Deserialize)]
pub(super) struct SpendingQuery {
    t: Option<String>,
    month: Option<String>,
}

pub(super) async fn show(
    identity: Data<Identity>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<SpendingQuery>,
) -> HttpResponse {
    let guest = match welcome(&identity, &request, &account, Page::Spending, query.t.as_deref()).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    match identity.spending(&guest.visit, query.month.as_deref()).await {
        Ok(Ok(Some(spending))) => pages::spending(&guest.frame, &spending),
        Ok(Ok(None)) => Notice::not_bound(&guest.frame).respond(StatusCode::FORBIDDEN),
        Ok(Err(fault)) => Notice::core(&guest.frame, &fault).respond(StatusCode::SERVICE_UNAVAILABLE),
        Err(error) => failure(&guest.frame, &error),
    }
}
