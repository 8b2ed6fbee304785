//! `/MP_verify_….txt`: by these files WeChat checks who owns the host of `public_url` (WeChat docs, 网页授权域名).

use actix_web::http::header;
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpResponse, Responder};

use crate::config::Config;

/// Adds the route. Handlers need `Data<Config>`.
pub fn configure(routes: &mut ServiceConfig) {
    routes.route("/{name:MP_verify_[0-9A-Za-z]{1,64}\\.txt}", web::get().to(file));
}

async fn file(config: Data<Config>, name: Path<String>) -> impl Responder {
    let mut files = config.accounts.iter().flat_map(|account| &account.domain_files);
    match files.find(|file| file.name == *name) {
        Some(file) => HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .body(file.text.clone()),
        None => HttpResponse::NotFound().finish(),
    }
}
