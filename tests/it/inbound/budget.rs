//! P2: an answer leaves within the budget or `success` does, and the answer follows, once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weikefu::store::Direction;

use super::short_budget;
use crate::house::House;
use crate::wechat::text;
use crate::world::{Engine, until};

/// A follower with a phone who is bound, and whose questions to the core wait.
async fn slow_customer(house: &House) -> String {
    let openid = house.world.follower("慢").await.openid;
    house.world.bind(&openid, "C10001").await;
    house.gate.hold("C10001");
    openid
}

fn chat_of(entries: &[Value]) -> Vec<(&str, &str)> {
    let account = entries.iter().filter(|entry| entry["direction"] == "account");
    account.map(|entry| (entry["source"].as_str().unwrap(), entry["text"].as_str().unwrap())).collect()
}

async fn outbox_is_settled(house: &House) {
    until("a settled outbox", || async {
        let open = "SELECT count(*) FROM outbox WHERE settled = 0 AND channel = 'customer_service'";
        (house.number(open).await == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn success_leaves_within_the_budget_and_the_answer_follows_once() {
    for engine in Engine::at_hand() {
        let house = House::open_with(engine, short_budget()).await;
        let openid = slow_customer(&house).await;
        let phone = house.world.phone(&openid);
        let before = chat_of(&phone.timeline().await).len();
        let asked = phone.act(json!({ "action": "text", "text": "查账单" })).await;
        let entry = phone
            .wait("success", |entry| entry["id"] == asked["entry"] && entry["push"]["state"] == "quiet")
            .await;
        let deliveries = entry["push"]["deliveries"].as_array().unwrap();
        assert_eq!(deliveries.len(), 1, "{engine:?}");
        assert!(deliveries[0]["duration_ms"].as_u64().unwrap() < 4_000, "{engine:?}: {entry}");
        let xml = entry["push"]["xml"].as_str().unwrap().to_owned();
        assert!(house.wechat(0).deliver(&xml).await.is_success(), "{engine:?}: a later delivery");

        house.gate.release("C10001");
        let answer = phone.wait("the answer", |entry| entry["source"] == "custom").await;
        assert!(answer["text"].as_str().unwrap().contains("本期应还"), "{engine:?}: {answer}");
        assert!(house.wechat(0).deliver(&xml).await.is_success(), "{engine:?}: a last delivery");
        outbox_is_settled(&house).await;
        assert_eq!(chat_of(&phone.timeline().await).len(), before + 1, "{engine:?}: said once");
        assert_eq!(house.gate.calls().len(), 1, "{engine:?}");
        let log = house.log(&openid).await;
        let last = log.last().unwrap();
        assert_eq!((last.state.as_str(), last.channel.name()), ("sent", "customer_service"), "{engine:?}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_may_not_be_sent_is_said_first_next_time_and_once() {
    for engine in Engine::at_hand() {
        let house = House::open_with(engine, short_budget()).await;
        let openid = slow_customer(&house).await;
        let fault = json!({ "api": "/cgi-bin/message/custom/send", "errcode": 45_047 });
        house.world.post(&format!("{}/sim/api/faults", house.world.simulator_url), fault).await;
        let wechat = house.wechat(0);
        assert!(wechat.deliver(&text(&openid, 1, "查账单")).await.is_success(), "{engine:?}");
        house.gate.release("C10001");
        until("an answer that is kept", || async {
            let kept = "SELECT count(*) FROM conversation WHERE say_next_sealed IS NOT NULL";
            (house.number(kept).await == 1).then_some(())
        })
        .await;
        let next = wechat.deliver(&text(&openid, 2, "我的绑定")).await;
        let words = next.text();
        assert!(words.contains("本期应还"), "{engine:?}: {words}");
        let (owed, asked) = (words.find("本期应还").unwrap(), words.find("您已绑定").unwrap());
        assert!(owed < asked, "{engine:?}: {words}");
        assert_eq!(wechat.deliver(&text(&openid, 2, "我的绑定")).await, next, "{engine:?}");
        let after = wechat.deliver(&text(&openid, 3, "我的绑定")).await.text();
        assert!(!after.contains("本期应还"), "{engine:?}: {after}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_lets_answers_finish_and_loses_none() {
    for engine in Engine::at_hand() {
        let mut house = House::open_with(engine, short_budget()).await;
        for (openid, customer) in [("o-waits", "C10001"), ("o-owed", "C10002")] {
            house.world.bind(openid, customer).await;
            house.gate.hold(customer);
        }
        let wechat = house.wechat(0);
        assert!(wechat.deliver(&text("o-owed", 1, "查账单")).await.is_success(), "{engine:?}");
        let waits = tokio::spawn({
            let wechat = wechat.clone();
            async move { wechat.deliver(&text("o-waits", 2, "查账单")).await }
        });
        house.gate.asked(2).await;
        let release = async {
            // The stop is under way when new connections are refused.
            until("the end of listening", || async { wechat.http.get(&wechat.url).send().await.err() }).await;
            house.gate.release("C10001");
            house.gate.release("C10002");
        };
        let began = Instant::now();
        let apps = std::mem::take(&mut house.apps);
        tokio::join!(release, async {
            for app in apps {
                app.stop().await;
            }
        });
        assert!(began.elapsed() < Duration::from_secs(15), "{engine:?}: {:?}", began.elapsed());
        assert!(waits.await.unwrap().text().contains("本期应还"), "{engine:?}");
        let owed = house.said("o-owed", Direction::Out).await;
        assert!(owed.len() == 1 && owed[0].contains("本期应还"), "{engine:?}: {owed:?}");
        assert_eq!(house.number("SELECT count(*) FROM open_push").await, 0, "{engine:?}");
        house.stop().await;
    }
}
