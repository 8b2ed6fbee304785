//! A cardholder's first minutes, on both databases: every hop is real HTTP.

use reqwest::Method;
use serde_json::json;
use weikefu::clock::{Clock as _, SystemClock};

use crate::world::{Engine, World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_asks_for_his_bill_and_is_shown_how_to_bind() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        let answer = follower.say("查账单").await;
        assert!(answer.contains("绑定") && answer.contains("/h5/card/"), "{engine:?}: {answer}");
        let tapped = follower.tap("bill_current").await;
        assert!(tapped.contains("绑定") && tapped.contains("/h5/card/"), "{engine:?}: {tapped}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_follower_is_answered_by_keyword_menu_and_number() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        let bill = follower.say("账单").await;
        assert!(bill.contains("本期应还") && bill.contains("最低还款"), "{engine:?}: {bill}");
        assert_eq!(follower.tap("bill_current").await, bill, "{engine:?}");
        for (words, wanted) in [
            ("未出账单", "未出账单"),
            ("历史账单", "账单"),
            ("账单明细", "¥"),
            ("账单日", "账单日"),
            ("还款日", "还款日"),
            ("额度", "可用"),
            ("积分", "积分"),
            ("绑定状态", "1234"),
            ("办卡", "/h5/card/apply"),
            ("菜单", "转人工"),
        ] {
            let answer = follower.say(words).await;
            assert!(answer.contains(wanted), "{engine:?}: {words}: {answer}");
        }
        let offered = follower.say("菜单").await;
        assert!(offered.contains("1 "), "{engine:?}: {offered}");
        let chosen = follower.say("1").await;
        assert!(chosen.contains("本期应还"), "{engine:?}: a digit chooses from the list: {chosen}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swipe_is_one_template_message_in_the_phone_and_ends_delivered() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        let swiped = world
            .swipe(json!({
                "customer_id": "C10002", "card_id": "K1", "merchant": "星河超市",
                "amount": { "value": "128.50", "currency": "CNY" },
            }))
            .await;
        let card = follower.wait("the alert", |entry| entry.to_string().contains("128.50")).await;
        assert!(card.to_string().contains("星河超市"), "{engine:?}: {card}");
        let id = swiped["transaction_id"].as_str().unwrap().to_owned();
        let path = format!("/api/v1/transactions/{id}");
        until("the verdict", async || {
            let (status, answer) = world.bank(Method::GET, &path, "").await;
            assert_eq!(status, 200, "{engine:?}: {answer}");
            (answer["state"] == "delivered").then_some(())
        })
        .await;
        let again = json!({
            "transaction_id": id, "customer_id": "C10002", "card_last4": "1234", "type": "purchase",
            "amount": { "value": "128.50", "currency": "CNY" }, "merchant": { "name": "星河超市" },
            "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
        });
        let (status, answer) = world.bank(Method::POST, "/api/v1/transactions", &again.to_string()).await;
        assert_eq!((status, &answer["duplicates"]), (202, &json!(1)), "{engine:?}: {answer}");
        let alerts = follower.timeline().await;
        let shown = alerts.iter().filter(|entry| entry["kind"] == "template").count();
        assert_eq!(shown, 1, "{engine:?}: the same transaction never alerts twice");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erased_bindings_answer_no_more_and_unfollowing_erases_too() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10003").await;
        assert!(follower.say("账单").await.contains("本期应还"));
        let path = format!("/api/v1/bindings/card/{}", follower.openid);
        let (status, answer) = world.bank(Method::DELETE, &path, "").await;
        assert!((200..300).contains(&status), "{engine:?}: {status} {answer}");
        assert!(follower.say("账单").await.contains("绑定"), "{engine:?}");
        world.bind(&follower.openid, "C10003").await;
        follower.act(json!({ "action": "unfollow" })).await;
        // Two follows of one second are one event: WeChat gives events no id.
        let second = || SystemClock.now().seconds();
        let left = second();
        until("the next second", async || (second() > left).then_some(())).await;
        let back = follower.ask(json!({ "action": "follow" })).await;
        follower.answer_after(back).await;
        let answer = follower.say("账单").await;
        assert!(answer.contains("绑定"), "{engine:?}: following again restores nothing: {answer}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_survives_the_death_of_the_process_that_worked_on_it() {
    for engine in Engine::at_hand() {
        let mut world = World::start_with_process(engine).await;
        let openid = world.follower("甲").await.openid;
        world.bind(&openid, "C10001").await;
        world.fault(json!({ "operation": "bill_current", "delay_ms": 2_000 })).await;
        let asked = world.phone(&openid).ask(json!({ "action": "text", "text": "查账单" })).await;
        world.met("bill_current").await;
        world.end_server().await;
        world.start_process().await;
        let answer = world.phone(&openid).answer_after(asked).await;
        assert!(answer.contains("账单"), "{engine:?}: {answer}");
        world.stop().await;
    }
}
