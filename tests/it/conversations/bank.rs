//! The core that the conversations are written for: it answers every operation with the example of its schema, over real
//! HTTP, and fails where a conversation says so. Its customers prove themselves by any code, and by any PIN. The
//! sandbox core, whose books are true across services, is what `services` and the demo ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::dev::ServerHandle;
use actix_web::web::{Data, Json, Path};
use actix_web::{App, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use weikefu::bank::Operations;
use weikefu::bank::webhooks::Signer;
use weikefu::dialogue::chat::CoreFault;
use weikefu::domain::time::UnixMs;

/// What is between the bank and one customer, or those of one account whom it does not know.
#[derive(Default)]
pub(super) struct Dealings {
    /// The customer's cards.
    pub(super) cards: Vec<Value>,
    /// What fails, by operation.
    pub(super) faults: BTreeMap<String, CoreFault>,
    /// What was asked since the customer did something.
    pub(super) asked: Vec<(String, Value)>,
    /// The case that an agent of the bank's own desk has.
    pub(super) case_id: String,
    /// The last page for a PIN: its request, and the way back.
    pin: Option<(String, String, String)>,
}

type Books = Mutex<BTreeMap<String, Dealings>>;

struct Inside {
    operations: Operations,
    books: Books,
}

/// The bank, which answers until it is stopped.
pub(super) struct Bank {
    inside: Arc<Inside>,
    server: ServerHandle,
    pub(super) url: String,
}

impl Bank {
    pub(super) fn start() -> Self {
        let inside = Arc::new(Inside { operations: Operations::builtin().unwrap(), books: Books::default() });
        let data = Data::from(inside.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route("/v1/operations/{operation}", web::post().to(operate))
                .default_service(web::to(HttpResponse::NoContent))
        });
        let server = server.workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        tokio::spawn(server);
        Self { inside, server: handle, url }
    }

    /// What is between the bank and a customer, or, by the account's id, whoever is not bound there.
    pub(super) fn with<T>(&self, customer: &str, look: impl FnOnce(&mut Dealings) -> T) -> T {
        look(books(&self.inside).entry(customer.to_owned()).or_default())
    }

    /// The address at which a customer returns from the page for his PIN, with the bank's signed word that it was right.
    pub(super) fn way_back(&self, customer: &str, signer: &Signer, now: UnixMs) -> String {
        let asked = self.with(customer, |dealings| dealings.pin.clone());
        let (request_id, scope, return_url) = asked.expect("the bank was asked for a page for the PIN");
        let body = json!({
            "request_id": request_id, "scope": scope, "customer_id": customer, "outcome": "verified",
        });
        let body = body.to_string();
        let headers: BTreeMap<_, _> = signer.headers(&request_id, now, body.as_bytes()).into_iter().collect();
        let mut url: url::Url = return_url.parse().unwrap();
        url.query_pairs_mut()
            .append_pair("id", &request_id)
            .append_pair("timestamp", &headers["webhook-timestamp"])
            .append_pair("signature", &headers["webhook-signature"])
            .append_pair("body", &URL_SAFE_NO_PAD.encode(body));
        url.into()
    }

    pub(super) async fn stop(self) {
        self.server.stop(false).await;
    }
}

fn books(inside: &Inside) -> MutexGuard<'_, BTreeMap<String, Dealings>> {
    inside.books.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The telephone that belongs to a customer, and to no other: C1000123 has 13901000123.
pub(super) fn phone_of(customer: &str) -> String {
    format!("139{:0>8}", customer.trim_start_matches('C'))
}

fn customer_of(phone: &str) -> String {
    format!("C{}", phone.trim_start_matches("139").trim_start_matches('0'))
}

async fn operate(inside: Data<Inside>, operation: Path<String>, body: Json<Value>) -> HttpResponse {
    let known = inside.operations.get(&operation).expect("only operations with a schema are asked");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (params, customer) = (&body["params"], text(&body["customer_id"]));
    let mut books = books(&inside);
    let who = if customer.is_empty() { text(&body["context"]["account"]) } else { customer.clone() };
    let dealings = books.entry(who).or_default();
    dealings.asked.push((operation.to_string(), params.clone()));
    let refused = |code: &str, message: &str| {
        HttpResponse::UnprocessableEntity().json(json!({ "error": { "code": code, "message": message } }))
    };
    match dealings.faults.get(operation.as_str()) {
        Some(CoreFault::Down) => return HttpResponse::ServiceUnavailable().finish(),
        Some(CoreFault::Lies) => return HttpResponse::Ok().json(json!({ "result": { "odd": true } })),
        Some(CoreFault::Refuses(code, message)) => return refused(code, message),
        None => {}
    }
    let mut result = known.example().result.clone();
    match operation.as_str() {
        "identity_start" => {
            result["challenge_id"] = json!(format!("bind-{}", customer_of(&text(&params["phone"]))));
        }
        "otp_send" => result["challenge_id"] = json!("step-up"),
        "otp_verify" => match text(&params["challenge_id"]).strip_prefix("bind-") {
            Some(customer) => {
                let cards = books.entry(customer.to_owned()).or_default().cards.clone();
                result["customer_id"] = json!(customer);
                result["name_masked"] = json!("测**");
                result["cards"] = json!(cards);
            }
            None => result["purpose"] = json!("step_up"),
        },
        "pin_start" => {
            let request_id = format!("pin-{customer}-{}", dealings.asked.len());
            result["request_id"] = json!(request_id);
            dealings.pin = Some((request_id, text(&params["scope"]), text(&params["return_url"])));
        }
        _ => {}
    }
    HttpResponse::Ok().json(json!({ "result": result }))
}
