//! A server on port 0 that answers as it is told and remembers what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;
use url::Url;

use crate::wechat::testing::Server;

/// One call that arrived.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Seen {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// One answer to give.
#[derive(Clone)]
pub(super) enum Script {
    Json(Value),
    Raw(u16, &'static str, Vec<u8>),
    Silence,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    scripts: BTreeMap<String, VecDeque<Script>>,
    tokens: usize,
}

pub(super) struct Fixture {
    state: Arc<Mutex<State>>,
    pub(super) url: Url,
    _server: Server,
}

impl Fixture {
    pub(super) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let server = Server::start(Arc::clone(&state), answer);
        Self { state, url: server.url.clone(), _server: server }
    }

    /// The next answers to `path`; the last one stays.
    pub(super) fn script(&self, path: &str, scripts: impl IntoIterator<Item = Script>) {
        self.state.lock().unwrap().scripts.insert(path.to_owned(), scripts.into_iter().collect());
    }

    pub(super) fn json(&self, path: &str, answer: Value) {
        self.script(path, [Script::Json(answer)]);
    }

    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        let state = self.state.lock().unwrap();
        state.seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }
}

async fn answer(state: Data<Mutex<State>>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let script = {
        let mut state = state.lock().unwrap();
        let query = url::form_urlencoded::parse(request.query_string().as_bytes()).into_owned().collect();
        state.seen.push(Seen { path: request.path().to_owned(), query, body: body.to_vec() });
        let scripted = state.scripts.get_mut(request.path()).and_then(|scripts| {
            if scripts.len() > 1 { scripts.pop_front() } else { scripts.front().cloned() }
        });
        scripted.unwrap_or_else(|| {
            if request.path() == "/cgi-bin/stable_token" {
                state.tokens += 1;
                let token = format!("TOKEN-{}", state.tokens);
                Script::Json(serde_json::json!({ "access_token": token, "expires_in": 7200 }))
            } else {
                Script::Json(serde_json::json!({ "errcode": 0, "errmsg": "ok" }))
            }
        })
    };
    match script {
        Script::Json(json) => HttpResponse::Ok().content_type("text/plain").body(json.to_string()),
        Script::Raw(status, content_type, bytes) => {
            let status = actix_web::http::StatusCode::from_u16(status).unwrap();
            HttpResponse::build(status).content_type(content_type).body(bytes)
        }
        Script::Silence => futures::future::pending().await,
    }
}

/// A host that takes every connection and closes it once something has arrived, perhaps after `half` an answer.
pub(super) fn host_that_hangs_up(half: &'static [u8]) -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut heard = [0; 4096];
            let _ = std::io::Read::read(&mut stream, &mut heard);
            let _ = stream.write_all(half);
        }
    });
    Url::parse(&format!("http://{address}")).unwrap()
}

/// A host where nobody listens.
pub(super) fn host_that_is_down() -> Url {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap()
}
