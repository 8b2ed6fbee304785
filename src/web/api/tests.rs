//! The bank's calls over real HTTP, signed by a signer that shares no code with the house.

use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};

use super::*;
use crate::clock::Clock as _;
use crate::content::Content;
use crate::desk::DeskFiles;
use crate::domain::secret::Secret;
use crate::domain::transaction::CHANNELS;
use crate::identity::testing::House;
use crate::outbound::Outbound;
use crate::outbound::testing::{API_SECRET, TEMPLATE, World};
use crate::store::testing::stores;

const ROTATED: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

struct Bank {
    world: World,
    alerts: Arc<Alerts>,
    outbound: Arc<Outbound>,
    base: String,
    client: reqwest::Client,
    handle: ServerHandle,
}

impl Drop for Bank {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

async fn banks(backlog_max: u64) -> Vec<Bank> {
    let mut banks = Vec::new();
    for test in stores().await {
        // Who is bound is the identity room's own business; only its announcements are made up.
        let nowhere = "http://127.0.0.1:1".parse().unwrap();
        let House { test, identity, .. } = House::new(test, nowhere);
        let mut world = World::new(test);
        let mut config = (*world.config).clone();
        config.api.backlog_max = backlog_max;
        config.api.secrets = [ROTATED, API_SECRET].map(|secret| Secret::new(secret.to_owned())).into();
        world.config = Arc::new(config);
        banks.push(bank(world, identity));
    }
    banks
}

fn bank(world: World, identity: Arc<Identity>) -> Bank {
    let outbound = world.outbound();
    let (config, store) = (world.config.clone(), world.store().clone());
    let clock: SharedClock = world.test.clock.clone();
    let alerts =
        Alerts::new(config.clone(), store.clone(), outbound.clone(), &Content::built_in(), clock.clone());
    let alerts = Arc::new(alerts.unwrap());
    let files = DeskFiles::load(&Content::built_in()).unwrap();
    let desk = Arc::new(Desk::new(store.clone(), files, outbound.clone(), Arc::default()));
    let rooms = Rooms { store, alerts: alerts.clone(), identity, desk, clock };
    let api = BankApi::new(&config, rooms).unwrap();
    let api = Data::new(api);
    let server = HttpServer::new(move || App::new().app_data(api.clone()).configure(configure))
        .workers(1)
        .bind(("127.0.0.1", 0))
        .unwrap();
    let base = format!("http://{}", server.addrs()[0]);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    Bank { world, alerts, outbound, base, client, handle }
}

/// As the specification words it, written anew.
fn signature(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> String {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

/// One call, with everything that a test may want to bend.
struct Sending<'a> {
    method: reqwest::Method,
    path: &'a str,
    id: &'a str,
    body: Vec<u8>,
    secret: &'a str,
    skew_s: i64,
    content_type: &'a str,
}

impl Bank {
    async fn send(&self, sending: Sending<'_>) -> (u16, Value) {
        let timestamp = self.world.test.clock.now().seconds() + sending.skew_s;
        let signed = if sending.method == reqwest::Method::POST { sending.body.as_slice() } else { b"" };
        let request = self
            .client
            .request(sending.method, format!("{}{}", self.base, sending.path))
            .header("content-type", sending.content_type)
            .header("webhook-id", sending.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature(sending.secret, sending.id, timestamp, signed))
            .body(sending.body);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let body = response.bytes().await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn post(&self, path: &str, id: &str, body: &str) -> (u16, Value) {
        let body = body.as_bytes().to_vec();
        self.send(Sending { path, id, body, ..plain(reqwest::Method::POST) }).await
    }

    async fn call(&self, method: reqwest::Method, path: &str, id: &str) -> (u16, Value) {
        self.send(Sending { path, id, ..plain(method) }).await
    }

    async fn work(&self) {
        self.outbound.parts().tend().await.unwrap();
        while self.alerts.step().await + self.outbound.step().await > 0 {}
    }
}

fn plain<'a>(method: reqwest::Method) -> Sending<'a> {
    let secret = API_SECRET;
    Sending { method, path: "/", id: "i", body: vec![], secret, skew_s: 0, content_type: "application/json" }
}

fn swipe(id: &str) -> Value {
    json!({
        "transaction_id": id, "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": {"value": "128.50", "currency": "CNY"}, "merchant": {"name": "示例商户"},
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    })
}

const TRANSACTIONS: &str = "/api/v1/transactions";

#[tokio::test]
async fn a_signed_swipe_is_accepted_told_and_can_be_asked_for() {
    for bank in banks(100).await {
        bank.world.bind("o1", "C10001").await;
        let accepted = json!({"accepted": 1, "duplicates": 0, "rejected": []});
        let body = swipe("T/1 %?+中").to_string();
        assert_eq!(bank.post(TRANSACTIONS, "m1", &body).await, (202, accepted));
        bank.work().await;
        let path = "/api/v1/transactions/T%2F1%20%25%3F%2B%E4%B8%AD";
        let (status, state) = bank.call(reqwest::Method::GET, path, "g1").await;
        assert_eq!(
            (status, &state["state"], &state["attempts"]),
            (200, &json!("sent"), &json!(1)),
            "{state}"
        );
        assert_eq!(state["history"][0]["what"], "accepted");
        assert_eq!(state["history"][0]["time"], "2026-11-22T10:00:00.000+08:00");
        assert_eq!(bank.world.outside.seen(TEMPLATE).len(), 1, "{}", bank.world.test.name);
        let (status, error) = bank.call(reqwest::Method::GET, "/api/v1/transactions/unknown", "g2").await;
        assert_eq!((status, &error["error"]["code"]), (404, &json!("not_found")));
        let (status, _) = bank.call(reqwest::Method::GET, "/api/v1/notices/T%2F1", "g3").await;
        assert_eq!(status, 404);
    }
}

#[tokio::test]
async fn only_a_fresh_and_fitting_signature_opens_the_door() {
    for bank in banks(100).await {
        let post = || Sending {
            path: TRANSACTIONS,
            body: swipe("T1").to_string().into_bytes(),
            ..plain(reqwest::Method::POST)
        };
        for (sending, expected) in [
            (Sending { secret: "whsec_d3Jvbmc=", ..post() }, 401),
            (Sending { skew_s: 301, ..post() }, 401),
            (Sending { skew_s: -301, ..post() }, 401),
            (Sending { id: "m1", skew_s: 300, ..post() }, 202),
            (Sending { id: "m2", secret: ROTATED, ..post() }, 202),
        ] {
            assert_eq!(bank.send(sending).await.0, expected, "{}", bank.world.test.name);
        }
        let unsigned =
            bank.client.post(format!("{}{TRANSACTIONS}", bank.base)).body("{}").send().await.unwrap();
        assert_eq!(unsigned.status().as_u16(), 401);
        let error: Value = serde_json::from_slice(&unsigned.bytes().await.unwrap()).unwrap();
        assert_eq!(error["error"]["code"], "unauthorized");
    }
}

#[tokio::test]
async fn a_webhook_id_is_good_once_for_each_method_and_path() {
    for bank in banks(100).await {
        let name = bank.world.test.name;
        let first = bank.post(TRANSACTIONS, "m1", &swipe("T1").to_string()).await;
        assert_eq!(
            bank.post(TRANSACTIONS, "m1", &swipe("T1").to_string()).await,
            first,
            "{name}: the stored answer"
        );
        assert_eq!(first.1["accepted"], 1);
        assert_eq!(bank.post(TRANSACTIONS, "m1", &swipe("T2").to_string()).await.0, 409);
        assert_eq!(bank.post("/api/v1/notices", "m1", &swipe("T2").to_string()).await.0, 202, "another path");
        assert_eq!(bank.post(TRANSACTIONS, "m2", &swipe("T1").to_string()).await.1["duplicates"], 1);
        let get = |id: &'static str| bank.call(reqwest::Method::GET, "/api/v1/transactions/T1", id);
        assert_eq!(get("g1").await.0, 200);
        assert_eq!(get("g1").await.0, 401, "{name}: a captured GET does not come again");
        let both = futures::future::join_all((0..8).map(|_| get("g2"))).await;
        assert_eq!(both.iter().filter(|(status, _)| *status == 200).count(), 1);
    }
}

#[tokio::test]
async fn bodies_of_every_form_are_taken_and_bad_ones_get_their_status() {
    for bank in banks(100_000).await {
        let name = bank.world.test.name;
        let lines = format!("{}\n\n{}\n", swipe("L1"), swipe("L2"));
        let ndjson = Sending {
            path: TRANSACTIONS,
            id: "n1",
            body: lines.into_bytes(),
            content_type: "application/x-ndjson",
            ..plain(reqwest::Method::POST)
        };
        assert_eq!(bank.send(ndjson).await, (202, json!({"accepted": 2, "duplicates": 0, "rejected": []})));
        let mut bad = swipe("A2");
        bad["amount"]["value"] = json!("-1");
        let mixed = json!([swipe("A1"), bad, swipe("A1"), 7]).to_string();
        let expected = json!({"accepted": 1, "duplicates": 1, "rejected": [
            {"index": 1, "transaction_id": "A2", "error": "amount.value: must not be negative"},
            {"index": 3, "transaction_id": null, "error": "item: must be an object"}]});
        assert_eq!(bank.post(TRANSACTIONS, "a1", &mixed).await, (202, expected), "{name}");
        for (id, body) in [("e1", ""), ("e2", "{"), ("e3", "5"), ("e4", "<xml/>"), ("e5", "{}\nnonsense")] {
            assert_eq!(bank.post(TRANSACTIONS, id, body).await.0, 400, "{body}");
        }
        let thousand: Vec<Value> = (0..1000).map(|number| swipe(&format!("B{number}"))).collect();
        let (status, answer) = bank.post(TRANSACTIONS, "b1", &json!(thousand).to_string()).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(1000)));
        let more: Vec<Value> = (0..1001).map(|number| swipe(&format!("M{number}"))).collect();
        assert_eq!(bank.post(TRANSACTIONS, "b2", &json!(more).to_string()).await.0, 413);
        assert_eq!(bank.post(TRANSACTIONS, "b3", &" ".repeat(BODY_BYTES_MAX + 1)).await.0, 413);
        let (status, _) = bank.call(reqwest::Method::GET, "/api/v1/transactions/M0", "g1").await;
        assert_eq!(status, 404, "nothing of a refused call is kept");
    }
}

#[tokio::test]
async fn over_the_backlog_the_bank_is_told_to_come_again() {
    for bank in banks(1).await {
        assert_eq!(bank.post(TRANSACTIONS, "m1", &swipe("T1").to_string()).await.0, 202);
        let (status, error) = bank.post(TRANSACTIONS, "m2", &swipe("T2").to_string()).await;
        assert_eq!(
            (status, &error["error"]["code"]),
            (429, &json!("backlog_full")),
            "{}",
            bank.world.test.name
        );
        bank.work().await;
        bank.world.test.clock.advance(Duration::from_secs(1));
        assert_eq!(
            bank.post(TRANSACTIONS, "m2", &swipe("T2").to_string()).await.0,
            202,
            "the same call again"
        );
    }
}

#[tokio::test]
async fn the_same_file_from_two_clients_at_once_is_taken_once() {
    for bank in banks(100_000).await {
        let file: Vec<Value> = (0..200).map(|number| swipe(&format!("T{number}"))).collect();
        let file = json!(file).to_string();
        let ids = ["c0", "c1", "c2", "c3"];
        let answers = futures::future::join_all(ids.map(|id| bank.post(TRANSACTIONS, id, &file))).await;
        let sum =
            |member: &str| answers.iter().map(|(_, answer)| answer[member].as_u64().unwrap()).sum::<u64>();
        assert!(answers.iter().all(|(status, _)| *status == 202), "{answers:?}");
        assert_eq!((sum("accepted"), sum("duplicates")), (200, 600), "{}", bank.world.test.name);
    }
}

#[tokio::test]
async fn bindings_come_in_once_and_are_erased_on_demand() {
    for bank in banks(100).await {
        let name = bank.world.test.name;
        let binding = |openid: &str, account: &str| {
            json!({"account": account, "openid": openid, "customer_id": "C10001", "bound_at": "2026-01-01T00:00:00Z",
                "cards": [{"card_id": "K1", "last4": "1234", "product": "金卡"}]})
        };
        let mut broken = binding("o3", "card");
        broken["cards"][0]["last4"] = json!("12345");
        let items = json!([binding("o/1", "card"), binding("o2", "none"), broken]).to_string();
        let (status, answer) = bank.post("/api/v1/bindings", "b1", &items).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{name}: {answer}");
        assert_eq!(answer["rejected"][0]["index"], 1);
        let error = "cards.last4: must be exactly four digits";
        let expected = json!({"index": 2, "transaction_id": null, "error": error});
        assert_eq!(answer["rejected"][1], expected);
        let (_, again) = bank.post("/api/v1/bindings", "b2", &binding("o/1", "card").to_string()).await;
        assert_eq!(again["duplicates"], 1);
        bank.post(TRANSACTIONS, "t1", &swipe("T1").to_string()).await;
        bank.work().await;
        assert_eq!(bank.world.outside.seen(TEMPLATE).len(), 1, "{name}: an imported follower is told");
        let delete = |id: &'static str, path: &'static str| bank.call(reqwest::Method::DELETE, path, id);
        assert_eq!(delete("d1", "/api/v1/bindings/card/o%2F1").await.0, 204);
        assert_eq!(delete("d1", "/api/v1/bindings/card/o%2F1").await.0, 401);
        assert_eq!(delete("d2", "/api/v1/bindings/card/o%2F1").await.0, 204, "{name}: again changes nothing");
        assert_eq!(delete("d3", "/api/v1/bindings/none/o1").await.0, 404);
        bank.post(TRANSACTIONS, "t2", &swipe("T2").to_string()).await;
        bank.work().await;
        let (_, state) = bank.call(reqwest::Method::GET, "/api/v1/transactions/T2", "g1").await;
        assert_eq!((&state["state"], &state["reason"]), (&json!("suppressed"), &json!("no_binding")));
    }
}

#[tokio::test]
async fn the_description_has_every_path_and_every_event() {
    let document = serde_json::to_value(openapi::document()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let members = |name: &str| document[name].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let mut paths = members("paths");
    paths.sort();
    assert_eq!(
        paths,
        [
            "/api/v1/bindings",
            "/api/v1/bindings/{account}/{openid}",
            "/api/v1/desk/{account}/cases",
            "/api/v1/desk/{account}/cases/{case_id}",
            "/api/v1/desk/{account}/cases/{case_id}/close",
            "/api/v1/desk/{account}/cases/{case_id}/media/{seq}",
            "/api/v1/desk/{account}/cases/{case_id}/messages",
            "/api/v1/desk/{account}/cases/{case_id}/return",
            "/api/v1/desk/{account}/cases/{case_id}/take",
            "/api/v1/desk/{account}/cases/{case_id}/transfer",
            "/api/v1/notices",
            "/api/v1/notices/{notice_id}",
            "/api/v1/transactions",
            "/api/v1/transactions/{transaction_id}",
        ]
    );
    let events = members("webhooks");
    assert_eq!(events.len(), 15);
    for event in events {
        let pointer = format!("/webhooks/{event}/post/requestBody/content/application~1json/schema");
        let schema = document.pointer(&pointer).unwrap();
        let data = schema["properties"]["data"]["$ref"].as_str().unwrap();
        assert!(document.pointer(data.trim_start_matches('#')).is_some(), "{event}: {data} is described");
    }
    // Every reference leads somewhere.
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document.pointer(reference).is_some(), "{reference}");
    }
    let described = jsonschema::validator_for(&json!({
        "$ref": "#/components/schemas/Transaction", "components": document["components"],
    }));
    assert!(described.unwrap().is_valid(&swipe("T1")));
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Channel"]["enum"], json!(CHANNELS));
    assert_eq!(schemas["TransactionType"]["enum"][3], "cash_advance");
}
