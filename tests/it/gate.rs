//! The core behind a gate: counts what is asked, and holds the calls of whom the test wants to wait.

use std::collections::BTreeSet;
use std::sync::Mutex;

use actix_web::web::{Bytes, Data, Path};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::Value;
use tokio::sync::watch;

/// One call of the core, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CoreCall {
    pub(crate) operation: String,
    pub(crate) customer: String,
    pub(crate) idempotency_key: Option<String>,
}

/// A core in front of the core.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) url: String,
    state: Data<State>,
    server: actix_web::dev::ServerHandle,
}

struct State {
    core_url: String,
    http: reqwest::Client,
    calls: Mutex<Vec<CoreCall>>,
    count: watch::Sender<usize>,
    held: watch::Sender<BTreeSet<String>>,
}

impl Gate {
    /// A gate, open for all.
    pub(crate) fn start(core_url: &str, http: reqwest::Client) -> Self {
        let state = Data::new(State {
            core_url: core_url.to_owned(),
            http,
            calls: Mutex::default(),
            count: watch::Sender::new(0),
            held: watch::Sender::new(BTreeSet::new()),
        });
        let shared = state.clone();
        let app = move || {
            App::new().app_data(shared.clone()).route("/v1/operations/{operation}", web::post().to(pass))
        };
        let server = HttpServer::new(app).workers(1).disable_signals().shutdown_timeout(0);
        let server = server.bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { url, state, server: handle }
    }

    /// Calls about this customer wait from now on.
    pub(crate) fn hold(&self, customer: &str) {
        self.state.held.send_if_modified(|held| held.insert(customer.to_owned()));
    }

    /// They wait no more.
    pub(crate) fn release(&self, customer: &str) {
        self.state.held.send_if_modified(|held| held.remove(customer));
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<CoreCall> {
        self.state.calls.lock().unwrap().clone()
    }

    /// Waits until this many calls have come.
    pub(crate) async fn asked(&self, count: usize) {
        let mut counted = self.state.count.subscribe();
        let enough = counted.wait_for(|counted| *counted >= count);
        tokio::time::timeout(crate::world::WAIT_MAX, enough).await.expect("the core is asked").unwrap();
    }

    pub(crate) async fn stop(self) {
        self.server.stop(false).await;
    }
}

async fn pass(
    state: Data<State>,
    operation: Path<String>,
    request: HttpRequest,
    body: Bytes,
) -> HttpResponse {
    let call: Value = serde_json::from_slice(&body).unwrap();
    let customer = call["customer_id"].as_str().unwrap_or_default().to_owned();
    state.calls.lock().unwrap().push(CoreCall {
        operation: operation.to_string(),
        customer: customer.clone(),
        idempotency_key: call["idempotency_key"].as_str().map(str::to_owned),
    });
    state.count.send_modify(|count| *count += 1);
    state.held.subscribe().wait_for(|held| !held.contains(&customer)).await.unwrap();
    let mut forward = state.http.post(format!("{}/v1/operations/{operation}", state.core_url));
    for (name, value) in request.headers() {
        if name.as_str().starts_with("webhook-") || name == "traceparent" {
            forward = forward.header(name.as_str(), value.to_str().unwrap());
        }
    }
    let answer = forward.header("content-type", "application/json").body(body.to_vec()).send().await.unwrap();
    let status = actix_web::http::StatusCode::from_u16(answer.status().as_u16()).unwrap();
    HttpResponse::build(status).content_type("application/json").body(answer.bytes().await.unwrap())
}
