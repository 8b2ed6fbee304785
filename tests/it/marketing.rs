//! Offers: asked for in chat, shown when asked, gone with one word; never in a message that nobody asked for.

use serde_json::{Value, json};

use crate::world::{Engine, World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offers_are_told_to_who_asked_for_them_and_to_nobody_else() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let phone = world.follower("甲").await;
        world.bind(&phone.openid, "C10001").await;
        let abroad = json!({
            "transaction_id": "T1", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
            "amount": { "value": "520.00", "currency": "USD" }, "billing_amount": { "value": "3700.00", "currency": "CNY" },
            "merchant": { "name": "STAR COFFEE" }, "channel": "pos", "occurred_at": "2026-01-01T10:00:00+08:00",
            "cardholder": { "tier": "gold", "holder": "primary" },
        });
        let (status, _) =
            world.bank(reqwest::Method::POST, "/api/v1/transactions", &abroad.to_string()).await;
        assert_eq!(status, 202);
        phone.wait("the alert", |entry| entry["kind"] == "template").await;
        assert!(phone.say("看看优惠").await.contains("您还没有订阅优惠信息"), "{engine:?}");
        assert!(phone.say("订阅优惠").await.contains("是否同意接收"));
        assert!(phone.say("确认").await.contains("为您订阅优惠信息"));
        let told = phone.say("看看优惠").await;
        // The customer may be in the hold-out group of one offer or of both: then the answer says that none fits.
        let offered = told.contains("【境外线下消费返现1%】") || told.contains("【这笔消费可以分期还】");
        assert!(offered || told.contains("目前没有适合您最近一笔消费的优惠"), "{engine:?}: {told}");
        assert!(told.contains("回复 TD 退订"), "{told}");
        assert!(phone.say("TD").await.contains("立即生效"));
        assert!(phone.say("看看优惠").await.contains("您还没有订阅优惠信息"), "{engine:?}");
        let events = until("the events about it", || async {
            let events = world.get(&format!("{}/sandbox/events", world.core_url)).await;
            let changed: Vec<Value> = events
                .as_array()?
                .iter()
                .filter(|event| event["body"]["type"] == "marketing_changed")
                .map(|event| event["body"]["data"]["opted_in"].clone())
                .collect();
            (changed.len() == 2).then_some(changed)
        })
        .await;
        assert!(events.contains(&json!(true)) && events.contains(&json!(false)), "{engine:?}");
        for entry in phone.timeline().await {
            let unasked = entry["kind"] == "template" || entry["source"] == "custom";
            assert!(!(unasked && entry.to_string().contains("优惠")), "{engine:?}: {entry}");
        }
        world.stop().await;
    }
}
