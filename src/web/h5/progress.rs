//! Where applications stand.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};

use super::pages::{self, Notice};
use super::{LinkQuery, failure, welcome};
use crate::identity::{Identity, Page};

pub(super) async fn show(
    identity: Data<Identity>,
    request: HttpRequest,
    account: Path<String>,
    query: Query<LinkQuery>,
) -> HttpResponse {
    let guest = match welcome(&identity, &request, &account, Page::ApplyProgress, query.t.as_deref()).await {
        Ok(guest) => guest,
        Err(response) => return response,
    };
    match identity.progress(&guest.visit).await {
        Ok(Ok(applications)) => pages::progress(&guest.frame, &applications),
        Ok(Err(fault)) => Notice::core(&guest.frame, &fault).respond(StatusCode::SERVICE_UNAVAILABLE),
        Err(error) => failure(&guest.frame, &error),
    }
}
