//! Subscription notices (订阅通知) with the simulator's phone: consent is got, counted, used and gone, and WeChat's report
//! may overtake the answer of the send.

use reqwest::Method;
use serde_json::{Value, json};

use weikefu::clock::{Clock as _, SystemClock};

use crate::pages::Browser;
use crate::world::{Engine, World, until};

const BIZSEND: &str = "/cgi-bin/message/subscribe/bizsend";
const TEMPLATE: &str = "/cgi-bin/message/template/send";

/// A world whose spend alerts are subscription notices, each by a consent of its own; refunds are template messages.
async fn subscribing(engine: Engine) -> World {
    let change = |text: String, _: &std::path::Path| {
        text.replacen("template_id = \"spend\"", "template_id = \"spend\"\nway = \"subscribe\"", 1)
    };
    let mut world = World::prepared(engine, change).await;
    world.start_server().await;
    world
}

/// A transaction of `C10001` that the bank reports.
async fn push(world: &World, id: &str, kind: &str) {
    let item = json!({
        "transaction_id": id, "customer_id": "C10001", "card_last4": "1234", "type": kind,
        "amount": { "value": "128.50", "currency": "CNY" }, "merchant": { "name": "星河超市" },
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    let (status, answer) = world.bank(Method::POST, "/api/v1/transactions", &item.to_string()).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
}

/// Waits until an item is in this state.
async fn comes_to(world: &World, id: &str, wanted: &str) -> Value {
    let path = format!("/api/v1/transactions/{id}");
    until(&format!("{id} comes to {wanted}"), || async {
        let (_, told) = world.bank(Method::GET, &path, "").await;
        (told["state"] == wanted).then_some(told)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_before_the_sends_answer_joins_a_subscription_notice_and_a_template_message() {
    for engine in Engine::at_hand() {
        let world = subscribing(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        follower.act(json!({ "action": "subscribe", "template_id": "spend", "accept": true })).await;
        until("the consent", || async {
            (world.number("SELECT count(*) FROM subscription WHERE notices_left = 1").await == 1)
                .then_some(())
        })
        .await;
        for (id, kind, api) in [("T1", "purchase", BIZSEND), ("T2", "refund", TEMPLATE)] {
            // WeChat has done it and reports at once; its answer takes its time.
            let late = json!({ "api": api, "answer_delay_ms": 8_000, "times": 1 });
            world.post(&format!("{}/sim/api/faults", world.simulator_url), late).await;
            let before = world.number("SELECT count(*) FROM receipt").await;
            push(&world, id, kind).await;
            until("the report before the answer", || async {
                let reported = world.number("SELECT count(*) FROM receipt").await > before;
                let unsettled = "SELECT count(*) FROM outbox WHERE settled = 0 AND channel <> 'event'";
                (reported && world.number(unsettled).await == 1).then_some(())
            })
            .await;
            assert_eq!(comes_to(&world, id, "delivered").await["attempts"], 1, "{engine:?} {id}");
        }
        world.stop().await;
    }
}

/// The value of a member of the page that its script reads.
fn data(html: &str, name: &str) -> String {
    let (_, after) =
        html.split_once(&format!("data-{name}=\"")).unwrap_or_else(|| panic!("no {name} in {html}"));
    after.split('"').next().unwrap().replace("&#38;", "&")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consent_is_got_on_the_page_counted_used_and_gone() {
    for engine in Engine::at_hand() {
        let world = subscribing(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        push(&world, "T0", "purchase").await;
        let told = comes_to(&world, "T0", "unreachable").await;
        assert_eq!(told["reason"], "no_consent", "{engine:?}: {told}");
        let mut page =
            Browser::new(world.http.clone(), &world.server_url, &world.simulator_url, &follower.openid);
        assert_eq!(page.open("/h5/card/alerts").await, 200, "{engine:?}");
        for part in ["消费提醒", "未订阅", "<wx-open-subscribe template=\"spend\">", "请升级微信"]
        {
            assert!(page.html.contains(part), "{engine:?}: {part}: {}", page.html);
        }
        // The script is WeChat's, and the phone takes the page's signature, as it is and not otherwise.
        let sdk = data(&page.html, "sdk");
        assert!(sdk.starts_with(&world.simulator_url), "{sdk}");
        assert!(
            world.http.get(&sdk).send().await.unwrap().text().await.unwrap().contains("wx-open-subscribe")
        );
        let signed = json!({
            "url": format!("{}/h5/card/alerts", world.server_url), "appId": data(&page.html, "app-id"),
            "timestamp": data(&page.html, "timestamp").parse::<u64>().unwrap(),
            "nonceStr": data(&page.html, "nonce"), "signature": data(&page.html, "signature"),
        });
        let check =
            |body: Value| world.http.post(format!("{}/sim/sdk/card", world.simulator_url)).json(&body).send();
        let answer: Value = check(signed.clone()).await.unwrap().json().await.unwrap();
        assert_eq!(answer["notices"][0]["id"], "spend", "{engine:?}: {answer}");
        let mut forged = signed;
        forged["url"] = json!("http://127.0.0.1:1/h5/card/alerts");
        assert_eq!(check(forged).await.unwrap().status().as_u16(), 403, "{engine:?}");
        // Each time that he allows it, one leaves.
        for id in ["T1", "T2"] {
            follower.act(json!({ "action": "subscribe_each", "choices": [{ "template_id": "spend", "accept": true }] })).await;
            until("the consent", || async {
                (world.number("SELECT count(*) FROM subscription WHERE notices_left = 1").await == 1)
                    .then_some(())
            })
            .await;
            page.open("/h5/card/alerts").await;
            assert!(page.html.contains("还可通知您1次"), "{engine:?}: {}", page.html);
            push(&world, id, "purchase").await;
            comes_to(&world, id, "delivered").await;
            // WeChat's events tell seconds apart, no less.
            let then = SystemClock.now().0 / 1_000;
            until("another second", || async { (SystemClock.now().0 / 1_000 > then).then_some(()) }).await;
        }
        push(&world, "T3", "purchase").await;
        let told = comes_to(&world, "T3", "unreachable").await;
        assert_eq!((&told["reason"], &told["fallback"]), (&json!("no_consent"), &json!(true)), "{engine:?}");
        page.open("/h5/card/alerts").await;
        assert!(page.html.contains("未订阅"), "{engine:?}: {}", page.html);
        let shown = follower.timeline().await;
        let notices = shown.iter().filter(|entry| entry["detail"]["is_subscription"] == true).count();
        assert_eq!(notices, 2, "{engine:?}");
        world.stop().await;
    }
}
