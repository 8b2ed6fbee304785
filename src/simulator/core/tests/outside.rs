//! Towards the server and the browser: signatures, faults, what is sent and received, the page.

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::sync::mpsc;

use super::*;
use crate::bank::DownCause;
use crate::bank::webhooks::{Presented, Signer, Verifier};

#[tokio::test]
async fn a_call_without_our_signature_is_refused() {
    let world = World::start().await;
    let body = json!({ "customer_id": "C10001", "params": {} });
    let (status, answer) = world.post("/v1/operations/limit_query", body).await;
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("signature")));
    let settings = config::Core {
        base_url: world.address("").parse().unwrap(),
        secret: Secret::new("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX".to_owned()),
        timeout_ms: 5000,
        tls: config::Tls::default(),
    };
    let stranger = Core::new(&settings, world.clock.clone(), Arc::new(SeededRandom::new(2))).unwrap();
    let call = Call {
        customer_id: CustomerId::parse("C10001"),
        params: json!({}),
        idempotency_key: None,
        context: Context::default(),
    };
    let error = stranger.call("limit_query", call).await.unwrap_err();
    assert!(matches!(error, CoreError::Down { cause: DownCause::Signature, .. }), "{error}");
}

#[tokio::test]
async fn faults_befall_the_operations_they_name_until_they_are_cleared() {
    let world = World::start().await;
    let set = async |fault: Value| assert_eq!(world.post("/sandbox/faults", fault).await.0, 200);
    set(json!({ "operation": "limit_query", "down": true })).await;
    let error = world.ask("C10001", "limit_query", json!({})).await.unwrap_err();
    assert!(matches!(error, CoreError::Down { cause: DownCause::Status(503), .. }), "{error}");
    world.ask("C10001", "points_query", json!({})).await.unwrap();
    set(json!({ "operation": "*", "delay_ms": 60000 })).await;
    let slow = config::Core {
        base_url: world.address("").parse().unwrap(),
        secret: Secret::new(SECRET.to_owned()),
        timeout_ms: 100,
        tls: config::Tls::default(),
    };
    let core = Core::new(&slow, world.clock.clone(), Arc::new(SeededRandom::new(2))).unwrap();
    let call = Call {
        customer_id: CustomerId::parse("C10001"),
        params: json!({}),
        idempotency_key: None,
        context: Context::default(),
    };
    let error = core.call("points_query", call).await.unwrap_err();
    assert!(matches!(error, CoreError::Down { cause: DownCause::TimeOut, .. }), "{error}");
    assert_eq!(world.post("/sandbox/faults", json!({ "operation": "*", "error_rate": 2 })).await.0, 400);
    world.http.delete(world.address("/sandbox/faults")).send().await.unwrap();
    world.ask("C10001", "limit_query", json!({})).await.unwrap();
    assert_eq!(world.get("/sandbox/faults").await, json!([]));
}

/// A server that answers by a script and tells what it was sent.
async fn server(statuses: Vec<u16>) -> (url::Url, mpsc::UnboundedReceiver<(String, String, Value)>) {
    let (tell, told) = mpsc::unbounded_channel();
    let statuses = Arc::new(std::sync::Mutex::new(statuses));
    let receive = move |request: HttpRequest, body: web::Bytes| {
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
        let (id, timestamp, signature) =
            (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
        let verifier = Verifier::new(&[Secret::new(SECRET.to_owned())]).unwrap();
        let presented = Presented { id: &id, timestamp: &timestamp, signature: &signature };
        verifier.verify(presented, &body, NOW).unwrap();
        tell.send((request.path().to_owned(), id, serde_json::from_slice(&body).unwrap())).unwrap();
        let mut statuses = statuses.lock().unwrap();
        let status = if statuses.is_empty() { 202 } else { statuses.remove(0) };
        let status = actix_web::http::StatusCode::from_u16(status).unwrap();
        async move { HttpResponse::build(status).json(json!({ "accepted": 1, "duplicates": 0, "rejected": [] })) }
    };
    let app = move || App::new().default_service(web::to(receive.clone()));
    let server = HttpServer::new(app).workers(1).disable_signals().bind("127.0.0.1:0").unwrap();
    let address = server.addrs()[0];
    tokio::spawn(server.run());
    (format!("http://{address}").parse().unwrap(), told)
}

async fn next<T>(told: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), told.recv()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_swipe_reaches_the_server_signed_and_is_repeated_under_one_id_until_it_is_taken() {
    let (server_url, mut told) = server(vec![503, 429]).await;
    let world = World::start_beside(server_url).await;
    let swipe = json!({
        "customer_id": "C10001", "card_id": "K2", "merchant": "HARBOR BOOKS", "city": "Seattle",
        "amount": { "value": "1000", "currency": "JPY" }, "channel": "online",
    });
    let answer = world.swipe(swipe).await;
    let attempts = [next(&mut told).await, next(&mut told).await, next(&mut told).await];
    for (path, id, body) in &attempts {
        assert_eq!((path.as_str(), id), ("/api/v1/transactions", &attempts[0].1));
        assert_eq!(body, &attempts[0].2);
    }
    let body = &attempts[0].2;
    assert_eq!(body["transaction_id"], answer["transaction_id"]);
    let sent = [
        &body["customer_id"],
        &body["card_last4"],
        &body["type"],
        &body["amount"]["value"],
        &body["channel"],
    ];
    assert_eq!(sent, ["C10001", "5678", "purchase", "1000", "online"]);
    assert_eq!(body["billing_amount"], yuan("47.00"));
    assert_eq!(body["merchant"], json!({ "name": "HARBOR BOOKS", "city": "Seattle" }));
    assert_eq!(body["occurred_at"], "2026-11-22T10:00:00+08:00");
    assert_eq!(body["available_credit"], answer["available_credit"]["value"]);

    world.swipe(json!({ "customer_id": "C10001", "amount": yuan("1.00"), "type": "declined", "decline_reason": "card_locked" })).await;
    let (_, _, body) = next(&mut told).await;
    assert_eq!((&body["type"], &body["decline_reason"]), (&json!("declined"), &json!("card_locked")));
    assert!(body.get("bill").is_none());
}

#[tokio::test]
async fn a_repayment_tells_what_is_left_of_the_bill() {
    let (server_url, mut told) = server(vec![]).await;
    let world = World::start_beside(server_url).await;
    let mut left = Vec::new();
    for _ in 0..2 {
        world.swipe(json!({ "customer_id": "C10001", "amount": yuan("1.00"), "type": "repayment" })).await;
        let (_, _, body) = next(&mut told).await;
        let bill = &body["bill"];
        assert_eq!(bill["total"]["currency"], "CNY", "{body}");
        assert!(bill["due_date"].as_str().unwrap().parse::<jiff::civil::Date>().is_ok());
        let remaining = bill["remaining"]["value"].as_str().unwrap().replace('.', "");
        left.push(remaining.parse::<i64>().unwrap());
    }
    assert_eq!(left[0] - left[1], 100, "the second leaves a yuan less");
}

#[tokio::test]
async fn what_is_owed_to_the_server_survives_a_restart() {
    let world = World::start().await;
    let answer =
        world.swipe(json!({ "customer_id": "C10001", "merchant": "星河超市", "amount": yuan("5.00") })).await;
    let (server_url, mut told) = server(Vec::new()).await;
    let world = World { server_url, ..world }.restart().await;
    let (_, _, body) = next(&mut told).await;
    assert_eq!(body["transaction_id"], answer["transaction_id"]);
    world.running.stop().await;
}

#[tokio::test]
async fn a_customers_application_is_told_of_as_it_moves_on() {
    let (server_url, mut told) = server(Vec::new()).await;
    let world = World::start_beside(server_url).await;
    let operations = crate::bank::Operations::builtin().unwrap();
    let form = operations.get("application_submit").unwrap().example().params.clone();
    let done = world.ask("C10007", "application_submit", form).await.unwrap();
    let number = done["application_no"].as_str().unwrap();
    world.post(&format!("/sandbox/applications/{number}/advance"), json!({})).await;
    let (path, id, body) = next(&mut told).await;
    assert_eq!((path.as_str(), &body["notice_id"]), ("/api/v1/notices", &json!(id)));
    assert_eq!((&body["customer_id"], &body["kind"]), (&json!("C10007"), &json!("application")));
    assert_eq!(
        (&body["fields"]["application_no"], &body["fields"]["stage"]),
        (&json!(number), &json!("审核"))
    );
}

#[tokio::test]
async fn an_event_is_taken_once_and_only_if_it_is_genuine() {
    let world = World::start().await;
    let body = json!({ "event_id": "e1", "type": "bound", "customer_id": "C10001", "data": {} }).to_string();
    let signer = Signer::new(&Secret::new(SECRET.to_owned())).unwrap();
    let send = async |headers: [(&'static str, String); 3], body: &str| {
        let request = world.http.post(world.address("/sandbox/events")).body(body.to_owned());
        let request = headers.into_iter().fold(request, |request, (name, value)| request.header(name, value));
        request.send().await.unwrap().status().as_u16()
    };
    let headers = || signer.headers("m1", NOW, body.as_bytes());
    assert_eq!(send(headers(), "{}").await, 401);
    assert_eq!(send(signer.headers("m1", NOW - Duration::from_secs(301), body.as_bytes()), &body).await, 401);
    assert_eq!((send(headers(), &body).await, send(headers(), &body).await), (200, 200));
    let world = world.restart().await;
    let events = world.get("/sandbox/events").await;
    assert_eq!((events.as_array().unwrap().len(), &events[0]["body"]["type"]), (1, &json!("bound")));
}

#[tokio::test]
async fn the_page_shows_the_bank_and_obeys_a_strict_policy() {
    let world = World::start().await;
    world.ask("", "otp_send", json!({ "purpose": "application", "phone": "13800138099" })).await.unwrap();
    let response = world.http.get(world.address("/")).send().await.unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"));
    let html = response.text().await.unwrap();
    assert!(html.contains("刷一笔") && html.contains("C10020") && html.contains("138****8099"));
    assert!(!html.contains("style=") && !html.contains("onclick") && !html.contains("<script>"));
    for name in ["core.css", "core.js"] {
        assert_eq!(
            world.http.get(world.address(&format!("/sandbox/assets/{name}"))).send().await.unwrap().status(),
            200
        );
    }
    let live = world.http.get(world.address("/sandbox/live")).send().await.unwrap();
    let tag = live.headers()["etag"].to_str().unwrap().to_owned();
    let same = world.http.get(world.address("/sandbox/live")).header("if-none-match", &tag);
    assert_eq!(same.send().await.unwrap().status(), 304);
    world.swipe(json!({ "customer_id": "C10001", "merchant": "<b>店</b>", "amount": yuan("1.00") })).await;
    let changed = world.http.get(world.address("/sandbox/live")).header("if-none-match", &tag);
    assert_eq!(changed.send().await.unwrap().status(), 200);
    let foreign = world.http.post(world.address("/sandbox/swipe")).header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.body("{}").send().await.unwrap().status(), 403);
}
