//! `/healthz` and `/readyz`, and `/metrics` on its own address.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::{HttpResponse, web};

use crate::store::Store;

/// A database that does not answer a one-row query in this time is not reachable.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// What readiness depends on: the database, and not being asked to stop. Never WeChat or the core.
pub struct Health {
    store: Store,
    stopping: Arc<AtomicBool>,
}

impl Health {
    /// `stopping` turns true at the first SIGTERM.
    #[must_use]
    pub fn new(store: Store, stopping: Arc<AtomicBool>) -> Self {
        Self { store, stopping }
    }
}

/// Adds `/healthz` and `/readyz`.
pub fn configure(routes: &mut web::ServiceConfig) {
    routes.route("/healthz", web::get().to(alive)).route("/readyz", web::get().to(ready));
}

/// Adds `/metrics`.
pub fn configure_metrics(routes: &mut web::ServiceConfig) {
    routes.route("/metrics", web::get().to(metrics));
}

async fn alive() -> HttpResponse {
    HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("alive\n")
}

async fn ready(health: web::Data<Health>) -> HttpResponse {
    if health.stopping.load(Ordering::SeqCst) {
        return not_ready("this process is stopping");
    }
    match tokio::time::timeout(PING_TIMEOUT, health.store.ping()).await {
        Ok(Ok(())) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body("ready\n"),
        // The error may name hosts and users: it is for the log.
        Ok(Err(error)) => {
            tracing::warn!(%error, "not ready: the database refuses; see that it runs and that [database] url is right");
            not_ready("the database refuses; the log says why")
        }
        Err(_) => {
            tracing::warn!(waited = ?PING_TIMEOUT, "not ready: the database does not answer in time");
            not_ready("the database does not answer within 2 s")
        }
    }
}

fn not_ready(what: &str) -> HttpResponse {
    HttpResponse::ServiceUnavailable()
        .content_type("text/plain; charset=utf-8")
        .body(format!("not ready: {what}\n"))
}

async fn metrics() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(crate::telemetry::render())
}
