//! Alerts as customers settle them, and as the bank learns what became of them.

use reqwest::Method;
use serde_json::{Value, json};

use crate::pages::Browser;
use crate::world::{Engine, World, until};

/// A purchase of `C10001` that the bank reports; gives nothing but that it was taken.
async fn purchase(world: &World, id: &str, value: &str) {
    let item = json!({
        "transaction_id": id, "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": { "value": value, "currency": "CNY" }, "merchant": { "name": "星河超市" },
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    let (status, answer) = world.bank(Method::POST, "/api/v1/transactions", &item.to_string()).await;
    assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
}

/// Waits until a purchase is in one of these states; gives state and history.
async fn settled(world: &World, id: &str, states: &[&str]) -> Value {
    let path = format!("/api/v1/transactions/{id}");
    until("a verdict", async || {
        let (_, answer) = world.bank(Method::GET, &path, "").await;
        states.contains(&answer["state"].as_str().unwrap_or_default()).then_some(answer)
    })
    .await
}

fn reason(answer: &Value) -> &str {
    answer["history"].as_array().unwrap().last().unwrap()["reason"].as_str().unwrap_or_default()
}

/// Waits for an event of this type, and gives the newest.
async fn event(world: &World, kind: &str) -> Value {
    let url = format!("{}/sandbox/events", world.core_url);
    until("an event", async || {
        let events = world.get(&url).await;
        let bodies = events.as_array()?.iter().map(|event| &event["body"]);
        bodies.into_iter().find(|body| body["type"] == kind).cloned()
    })
    .await
}

/// The code that the sandbox core last sent to a phone.
pub(crate) async fn newest_code(world: &World, phone: &str) -> String {
    let messages = world.get(&format!("{}/sandbox/sms?phone={phone}", world.core_url)).await;
    let text = messages[0]["text"].as_str().unwrap().to_owned();
    text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_customer_settles_in_chat_or_on_the_page_holds_for_his_next_purchase() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        assert!(follower.say("提醒金额").await.contains("请直接回复金额"), "{engine:?}");
        assert!(follower.say("200").await.contains("单笔低于¥200.00"), "{engine:?}");
        assert!(follower.say("好").await.contains("低于¥200.00不提醒"), "{engine:?}");
        let changed = event(&world, "alerts_changed").await;
        assert_eq!(changed["data"]["cards"][0]["threshold"], "200.00", "{engine:?}: {changed}");
        purchase(&world, "small", "128.50").await;
        purchase(&world, "large", "200.00").await;
        let small = settled(&world, "small", &["suppressed"]).await;
        assert_eq!(reason(&small), "below_threshold", "{engine:?}: {small}");
        settled(&world, "large", &["delivered"]).await;
        let history = follower.say("最近的提醒").await;
        assert!(
            history.contains("低于您设的起点金额，未发送") && history.contains("¥200.00"),
            "{engine:?}: {history}"
        );

        let mut browser =
            Browser::new(world.http.clone(), &world.server_url, &world.simulator_url, &follower.openid);
        assert_eq!(browser.open("/h5/card/alerts").await, 200, "{engine:?}");
        for part in ["尾号1234", "value=\"200\"", "低于您设的起点金额，未发送"] {
            assert!(browser.html.contains(part), "{engine:?}: {part}: {}", browser.html);
        }
        let card = |threshold: &'static str| [("card_id", "K1"), ("on", "yes"), ("threshold", threshold)];
        for nonsense in ["-1", "100000.01", "abc", ""] {
            assert_eq!(browser.send("/h5/card/alerts/card", &card(nonsense)).await, 422, "{nonsense}");
            assert!(browser.html.contains("请填写0元到10万元之间的金额"), "{engine:?}: {}", browser.html);
            let typed = "<input id=\"threshold\" name=\"threshold\"";
            let again = format!("value=\"{nonsense}\" aria-invalid=\"true\"");
            assert!(browser.html.contains(typed) && browser.html.contains(&again), "{}", browser.html);
        }
        browser.takes("/h5/card/alerts/card", &card("0")).await;
        browser
            .takes("/h5/card/alerts/quiet", &[("quiet", "yes"), ("from", "22:00"), ("until", "08:00")])
            .await;
        assert!(browser.html.contains("value=\"22:00\"") && browser.html.contains("checked"), "{engine:?}");
        let quiet = until("the newest settings", async || {
            let changed = event(&world, "alerts_changed").await;
            (changed["data"]["quiet_hours"] == "22:00-08:00").then_some(changed)
        })
        .await;
        assert_eq!(quiet["data"]["cards"][0]["threshold"], "0.00", "{engine:?}: {quiet}");
        purchase(&world, "dear", "500.00").await;
        settled(&world, "dear", &["delivered"]).await;
        world.stop().await;
    }
}

/// The settings of his only card, as the last event told the bank.
async fn card_settings(world: &World) -> Value {
    event(world, "alerts_changed").await["data"]["cards"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_page_silence_above_the_ceiling_takes_a_code_and_is_then_done_at_once() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        let mut page =
            Browser::new(world.http.clone(), &world.server_url, &world.simulator_url, &follower.openid);
        assert_eq!(page.open("/h5/card/alerts").await, 200, "{engine:?}");
        let up_to = [("card_id", "K1"), ("on", "yes"), ("threshold", "500")];
        page.takes("/h5/card/alerts/card", &up_to).await;
        assert!(page.html.contains("value=\"500\""), "{engine:?}: up to the ceiling without a code");
        // Above it the page asks who that is, and has changed nothing yet.
        let above = [("card_id", "K1"), ("on", "yes"), ("threshold", "500.01")];
        page.takes("/h5/card/alerts/card", &above).await;
        assert!(page.html.contains("办理“提醒设置”前"), "{engine:?}: {}", page.html);
        page.takes("/h5/card/step-up/send", &[]).await;
        assert_eq!(page.send("/h5/card/step-up/verify", &[("code", "000000")]).await, 422, "{engine:?}");
        assert_eq!(card_settings(&world).await["threshold"], "500.00", "{engine:?}");
        let code = newest_code(&world, "13800138001").await;
        page.takes("/h5/card/step-up/verify", &[("code", &code)]).await;
        assert!(page.html.contains("value=\"500.01\""), "{engine:?}: back, and done: {}", page.html);
        until("the event", async || (card_settings(&world).await["threshold"] == "500.01").then_some(()))
            .await;
        purchase(&world, "below", "500.00").await;
        assert_eq!(reason(&settled(&world, "below", &["suppressed"]).await), "below_threshold");
        // The code counts for this page for ten minutes: off without another one, and on again without any.
        page.takes("/h5/card/alerts/card", &[("card_id", "K1"), ("threshold", "0")]).await;
        assert!(page.html.contains("name=\"on\" value=\"yes\"><span>"), "{engine:?}: {}", page.html);
        purchase(&world, "off", "9000.00").await;
        assert_eq!(reason(&settled(&world, "off", &["suppressed"]).await), "alerts_off", "{engine:?}");
        // Another browser of another follower has proved nothing.
        let other = world.follower("乙").await;
        world.bind(&other.openid, "C10002").await;
        let mut page =
            Browser::new(world.http.clone(), &world.server_url, &world.simulator_url, &other.openid);
        assert_eq!(page.open("/h5/card/alerts").await, 200, "{engine:?}");
        page.takes("/h5/card/alerts/card", &[("card_id", "K1"), ("threshold", "0")]).await;
        assert!(page.html.contains("确认是您本人"), "{engine:?}: {}", page.html);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_sees_the_settings_of_another_or_without_a_binding() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let (bound, other) = (world.follower("甲").await, world.follower("乙").await);
        world.bind(&bound.openid, "C10001").await;
        let mut browser =
            Browser::new(world.http.clone(), &world.server_url, &world.simulator_url, &other.openid);
        assert_eq!(browser.open("/h5/card/alerts").await, 403, "{engine:?}");
        assert!(browser.html.contains("没有绑定信用卡") && !browser.html.contains("1234"), "{engine:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_unfollows_while_an_alert_is_on_its_way_is_reached_otherwise() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        let busy = json!({ "api": "/cgi-bin/message/template/send", "errcode": -1 });
        world.post(&format!("{}/sim/api/faults", world.simulator_url), busy).await;
        purchase(&world, "T1", "128.50").await;
        until("a try", async || {
            let (_, answer) = world.bank(Method::GET, "/api/v1/transactions/T1", "").await;
            answer["history"].to_string().contains("tried").then_some(())
        })
        .await;
        follower.act(json!({ "action": "unfollow" })).await;
        let ended = settled(&world, "T1", &["unreachable"]).await;
        assert_eq!(reason(&ended), "not_following", "{engine:?}: {ended}");
        let fallback = event(&world, "fallback").await;
        let data = json!({ "id": "T1", "kind": "spend", "state": "unreachable", "reason": "not_following" });
        assert_eq!((&fallback["data"], &fallback["customer_id"]), (&data, &json!("C10001")), "{engine:?}");
        for kind in ["unfollowed", "unbound"] {
            assert_eq!(event(&world, kind).await["customer_id"], "C10001", "{engine:?}");
        }
        purchase(&world, "T2", "128.50").await;
        let next = settled(&world, "T2", &["suppressed"]).await;
        assert_eq!(reason(&next), "no_binding", "{engine:?}: {next}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whom_wechat_does_not_reach_is_reached_otherwise_at_once() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        let gone = json!({ "api": "/cgi-bin/message/template/send", "errcode": 43_004 });
        world.post(&format!("{}/sim/api/faults", world.simulator_url), gone).await;
        purchase(&world, "T1", "128.50").await;
        settled(&world, "T1", &["unreachable"]).await;
        let fallback = event(&world, "fallback").await;
        assert_eq!(fallback["data"]["reason"], "errcode_43004", "{engine:?}: {fallback}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_template_is_told_in_an_open_chat_and_never_twice() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10001").await;
        follower.say("功能").await;
        let refused = json!({ "api": "/cgi-bin/message/template/send", "errcode": 40_037 });
        world.post(&format!("{}/sim/api/faults", world.simulator_url), refused).await;
        purchase(&world, "T1", "128.50").await;
        let told = follower.wait("the alert", |entry| entry["source"] == "custom").await;
        for part in ["尾号1234", "128.50", "星河超市", "不是我", "补发"] {
            assert!(told["text"].as_str().unwrap().contains(part), "{engine:?}: {told}");
        }
        let answer = settled(&world, "T1", &["sent"]).await;
        assert!(answer["history"].to_string().contains("customer_service"), "{engine:?}: {answer}");
        let shown = follower.timeline().await;
        assert_eq!(
            shown.iter().filter(|entry| entry.to_string().contains("128.50")).count(),
            1,
            "{engine:?}"
        );
        world.stop().await;
    }
}
