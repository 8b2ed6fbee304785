//! A made-up core over real HTTP: it knows two customers, and its code is always the same.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use actix_web::web::{self, Data, Json, Path};
use actix_web::{App, HttpResponse, HttpServer};
use serde_json::{Value, json};

use crate::bank::Operations;

/// The code in every message.
pub(super) const CODE: &str = "482913";

#[derive(Default)]
pub(super) struct Bank {
    inner: Mutex<Books>,
}

#[derive(Default)]
struct Books {
    challenges: BTreeMap<String, Challenge>,
    /// Operations that do not answer.
    down: Vec<&'static str>,
    hurried: bool,
    submitted: Vec<Value>,
    seen: Vec<(String, Value)>,
}

#[derive(Clone, Default)]
struct Challenge {
    customer: Option<&'static str>,
    purpose: String,
    wrong: u64,
    used: bool,
}

fn refusal(code: &str, details: Value) -> HttpResponse {
    HttpResponse::UnprocessableEntity()
        .json(json!({ "error": { "code": code, "message": "银行的话", "details": details } }))
}

fn good(result: Value) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "result": result }))
}

impl Bank {
    /// Starts to listen; gives the base address.
    pub(super) fn start(self: &Arc<Self>) -> url::Url {
        let bank = Data::from(self.clone());
        let app = move || {
            App::new().app_data(bank.clone()).route("/v1/operations/{operation}", web::post().to(operate))
        };
        let server = HttpServer::new(app).workers(1).disable_signals();
        let server = server.bind(("127.0.0.1", 0)).expect("a free port");
        let address = server.addrs()[0];
        actix_web::rt::spawn(server.run());
        format!("http://{address}").parse().expect("an address")
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_down_for(&self, operations: &[&'static str]) {
        self.books().down = operations.to_vec();
    }

    /// For now every code was asked for too soon.
    pub(super) fn is_hurried(&self, hurried: bool) {
        self.books().hurried = hurried;
    }

    /// The params of every call of an operation.
    pub(super) fn seen(&self, operation: &str) -> Vec<Value> {
        let books = self.books();
        books.seen.iter().filter(|(name, _)| name == operation).map(|(_, body)| body.clone()).collect()
    }

    pub(super) fn submitted(&self) -> usize {
        self.books().submitted.len()
    }
}

async fn operate(bank: Data<Bank>, operation: Path<String>, body: Json<Value>) -> HttpResponse {
    let mut books = bank.books();
    let (params, operation) = (body["params"].clone(), operation.as_str());
    if books.down.contains(&operation) {
        return HttpResponse::InternalServerError().finish();
    }
    books.seen.push((operation.to_owned(), body.0));
    match operation {
        "identity_start" => match customer(&params) {
            None => refusal("not_matched", Value::Null),
            customer => books.challenge(customer, &params),
        },
        "otp_send" if books.hurried => refusal("too_soon", json!({ "wait_s": 30 })),
        "otp_send" => books.challenge(None, &params),
        "otp_verify" => books.verify(&params),
        "application_submit" => books.submit(&params),
        "application_products" => good(example("application_products")),
        "application_progress" => good(example("application_progress")),
        other => panic!("a page asked for {other}"),
    }
}

fn example(operation: &str) -> Value {
    // Compiled once: on a busy machine a call would wait for its schemas longer than for the bank.
    static OPERATIONS: LazyLock<Operations> =
        LazyLock::new(|| Operations::builtin().expect("the built-in operations"));
    OPERATIONS.get(operation).expect("a known operation").example().result.clone()
}

fn customer(params: &Value) -> Option<&'static str> {
    let said = ["name", "id_tail", "card_tail", "phone"].map(|name| params[name].as_str().unwrap_or(""));
    match said {
        ["张立春", "001X", "1234", "13800138001"] => Some("C10001"),
        ["李清明", "0021", "1234", "13800138002"] => Some("C10002"),
        _ => None,
    }
}

impl Books {
    fn challenge(&mut self, customer: Option<&'static str>, params: &Value) -> HttpResponse {
        let id = format!("otp_{}", self.challenges.len());
        let purpose = params["purpose"].as_str().unwrap_or("binding").to_owned();
        self.challenges.insert(id.clone(), Challenge { customer, purpose, ..Challenge::default() });
        let phone = params["phone"].as_str().unwrap_or("13800138001");
        good(json!({ "challenge_id": id, "phone_masked": crate::domain::mask::phone(phone),
            "expires_in_s": 300, "resend_after_s": 60 }))
    }

    fn verify(&mut self, params: &Value) -> HttpResponse {
        let Some(challenge) = self.challenges.get_mut(params["challenge_id"].as_str().unwrap_or("")) else {
            return refusal("unknown_challenge", Value::Null);
        };
        if challenge.wrong >= 3 {
            return refusal("locked", json!({ "wait_s": 900 }));
        }
        if challenge.used {
            return refusal("expired", Value::Null);
        }
        if params["code"] != CODE {
            challenge.wrong += 1;
            return match 3 - challenge.wrong {
                0 => refusal("locked", json!({ "wait_s": 900 })),
                left => refusal("wrong_code", json!({ "tries_left": left })),
            };
        }
        challenge.used = true;
        let mut result = example("otp_verify");
        match challenge.customer {
            Some(customer) => result["customer_id"] = json!(customer),
            None => {
                result["purpose"] = json!(challenge.purpose);
                result["customer_id"] = Value::Null;
                result["name_masked"] = Value::Null;
                result["cards"] = json!([]);
            }
        }
        good(result)
    }

    fn submit(&mut self, params: &Value) -> HttpResponse {
        self.submitted.push(params.clone());
        good(example("application_submit"))
    }
}
