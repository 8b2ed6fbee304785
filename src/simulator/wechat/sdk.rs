//! The JS-SDK of pages inside the phone: the script itself, and `wx.config` as the phone checks it.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Deserialize;
use serde_json::json;
use sha1::{Digest as _, Sha1};

use super::platform::Platform;

const SCRIPT: &str = include_str!("../../../templates/pages/phone/sdk.js");
/// A page that was signed longer ago is stale.
const AGE_S_MAX: u64 = 7_200;

/// Registers what pages and phones ask for.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/open/js/jweixin-1.6.0.js", web::get().to(script))
        .route("/sim/sdk/{account}", web::post().to(check));
}

async fn script() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/javascript; charset=utf-8")
        .insert_header(("cache-control", "no-cache"))
        .insert_header(("x-content-type-options", "nosniff"))
        .body(SCRIPT)
}

/// What a page calls `wx.config` with, and its address.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Configured {
    url: String,
    app_id: String,
    timestamp: u64,
    nonce_str: String,
    signature: String,
}

/// Whether the page may use the SDK; if so, the notices that it may offer to subscribe.
async fn check(
    platform: web::Data<Platform>,
    account: web::Path<String>,
    page: web::Json<Configured>,
) -> HttpResponse {
    let refused = |why: &str| HttpResponse::build(StatusCode::FORBIDDEN).json(json!({ "error": why }));
    let now_s = u64::try_from(platform.now().0 / 1000).unwrap_or_default();
    let state = platform.state();
    let Some(index) = state.account_index(&account) else { return refused("invalid account") };
    let account = &state.accounts[index];
    if account.settings.app_id != page.app_id {
        return refused("invalid appid");
    }
    let Some(ticket) = account.tokens.ticket(platform.now()) else { return refused("invalid signature") };
    let Configured { url, timestamp, nonce_str, .. } = &*page;
    let signed = format!("jsapi_ticket={ticket}&noncestr={nonce_str}&timestamp={timestamp}&url={url}");
    let is_signed = hex::encode(Sha1::digest(signed.as_bytes())) == page.signature;
    if !is_signed || now_s.abs_diff(*timestamp) > AGE_S_MAX {
        return refused("invalid signature");
    }
    HttpResponse::Ok().json(json!({ "errMsg": "config:ok", "notices": account.notices.offered() }))
}
