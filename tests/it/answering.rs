//! Answering an alert, in the chat and on its page: 不是我, 是我, 为什么没刷成. Core, simulator and server for real.

use serde_json::{Value, json};

use crate::alerts::newest_code;
use crate::pages::Browser;
use crate::world::{Engine, Follower, World, client, until};

/// A world whose account also tells of declined purchases.
async fn world_telling_declines(engine: Engine) -> World {
    let declined = r#"[accounts.notices.declined]
template_id = "declined"
fields = { card = "character_string1", amount = "amount2", time = "time3", merchant = "thing4" }

[core]"#;
    let mut world = World::prepared(engine, |text, _| text.replacen("[core]", declined, 1)).await;
    world.start_server().await;
    world
}

fn purchase(merchant: &str, value: &str) -> Value {
    json!({
        "customer_id": "C10002", "card_id": "K1", "merchant": merchant,
        "amount": { "value": value, "currency": "CNY" },
    })
}

/// Swipes, and waits until the phone shows it; gives the alert.
async fn swiped(world: &World, follower: &Follower<'_>, body: Value) -> Value {
    let merchant = body["merchant"].as_str().unwrap().to_owned();
    let before = follower.timeline().await.len();
    world.swipe(body).await;
    until("the alert", async || {
        let entries = follower.timeline().await;
        entries
            .into_iter()
            .skip(before)
            .find(|entry| entry["kind"] == "template" && entry.to_string().contains(&merchant))
    })
    .await
}

fn link_of(alert: &Value) -> String {
    alert["detail"]["url"].as_str().expect("an alert leads to its page").to_owned()
}

/// The link with this path in a text of the chat.
fn link_in(text: &str, path: &str) -> String {
    let link = text.split('"').find(|part| part.contains(path));
    link.unwrap_or_else(|| panic!("no link to {path} in {text}")).replace("&amp;", "&")
}

fn browser(world: &World, follower: &Follower<'_>) -> Browser {
    Browser::new(client(), &world.server_url, &world.simulator_url, &follower.openid)
}

/// The events that the bank has received, the newest first.
async fn events(world: &World, kind: &str) -> Vec<Value> {
    let all = world.get(&format!("{}/sandbox/events", world.core_url)).await;
    let all = all.as_array().cloned().unwrap_or_default();
    all.into_iter().map(|event| event["body"].clone()).filter(|event| event["type"] == kind).collect()
}

async fn event(world: &World, kind: &str) -> Value {
    until("the event", async || events(world, kind).await.into_iter().next()).await
}

/// Takes the one-time code on the page of a link.
async fn prove(world: &World, follower: &Follower<'_>, link: &str) -> Browser {
    let mut page = browser(world, follower);
    assert_eq!(page.open(link).await, 200, "{}", page.html);
    page.takes("/h5/card/step-up/send", &[]).await;
    let code = newest_code(world, "13800138002").await;
    page.takes("/h5/card/step-up/verify", &[("code", &code)]).await;
    page
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn not_me_in_the_chat_locks_first_opens_a_case_and_tells_the_bank() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        swiped(&world, &follower, purchase("星河超市", "128.50")).await;
        let answer = follower.say("不是我").await;
        for words in ["已锁住尾号1234", "正在为您转接人工客服", "案件号F", "星河超市 ¥128.50"]
        {
            assert!(answer.contains(words), "{engine:?}: no {words} in {answer}");
        }
        let locked = event(&world, "card_locked").await;
        assert_eq!(locked["data"], json!({ "card_last4": "1234", "reason": "fraud_deny" }), "{engine:?}");
        assert_eq!(locked["customer_id"], "C10002");
        assert_eq!(event(&world, "case_opened").await["data"]["skill"], "fraud", "{engine:?}");
        let next = world.swipe(purchase("星河超市", "1.00")).await;
        assert_eq!(next["decline_reason"], "card_frozen", "{engine:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_leads_to_its_purchase_for_its_own_follower_and_nobody_else() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        // What he writes opens the window by which the chat tells what was done on the page.
        follower.say("菜单").await;
        let link = link_of(&swiped(&world, &follower, purchase("和风电器", "899.00")).await);
        let stranger = world.follower("乙").await;
        world.bind(&stranger.openid, "C10003").await;
        let mut thief = browser(&world, &stranger);
        assert_eq!(thief.open(&link).await, 403, "{engine:?}");
        assert!(!thief.html.contains("899") && !thief.html.contains("和风电器"), "{}", thief.html);

        let mut page = browser(&world, &follower);
        assert_eq!(page.open(&link).await, 200, "{engine:?}: {}", page.html);
        for words in ["¥899.00", "和风电器", "尾号1234", "不是我", "是我", "分期", "看同类"]
        {
            assert!(page.html.contains(words), "{engine:?}: no {words} in {}", page.html);
        }
        assert!(!page.html.contains("为什么没成功"), "it was no declined one");
        // The receipt of the alert comes when it comes; nobody sees it.
        let bubbles = async || {
            let shown = |entry: &Value| entry["hidden"] != json!(true);
            follower.timeline().await.into_iter().filter(shown).collect::<Vec<_>>()
        };
        let chat = bubbles().await.len();
        page.takes("/h5/card/purchase/similar", &[]).await;
        assert!(page.html.contains("“和风电器”交易"), "{engine:?}: {}", page.html);
        page.takes("/h5/card/purchase/instalment", &[]).await;
        assert!(page.html.contains("年化利率（单利）最高13.85%"), "{engine:?}: {}", page.html);
        let now = bubbles().await;
        assert_eq!(now.len(), chat, "what is only looked at is not said in the chat: {now:#?}");
        page.takes("/h5/card/purchase/deny", &[]).await;
        assert!(page.html.contains("已锁住尾号1234") && page.html.contains("案件号F"), "{}", page.html);
        event(&world, "card_locked").await;
        event(&world, "case_opened").await;
        let told = follower.wait("the same in the chat", |entry| entry.to_string().contains("案件号F")).await;
        assert!(told.to_string().contains("涉及交易：和风电器 ¥899.00"), "{engine:?}: {told}");
        assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["decline_reason"], "card_frozen");
        // Who is bound to somebody else now sees nothing of it.
        world.bank(reqwest::Method::DELETE, &format!("/api/v1/bindings/card/{}", follower.openid), "").await;
        assert_ne!(page.open("/h5/card/purchase").await, 200, "{engine:?}");
        assert!(!page.html.contains("899"), "{}", page.html);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_declined_foreign_purchase_is_explained_mended_with_one_code_and_passes() {
    for engine in Engine::at_hand() {
        let world = world_telling_declines(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        let abroad = json!({
            "customer_id": "C10002", "card_id": "K1", "merchant": "Tokyo Mart",
            "amount": { "value": "30.00", "currency": "USD" },
        });
        let link = link_of(&swiped(&world, &follower, abroad.clone()).await);
        let answer = follower.say("为什么没刷成").await;
        assert!(answer.contains("没有开通境外消费"), "{engine:?}: {answer}");
        let answer = follower.say("1").await;
        let page = prove(&world, &follower, &link_in(&answer, "/step-up?t=")).await;
        assert!(page.html.contains("验证通过"), "{engine:?}: {}", page.html);
        follower.wait("what waited goes on", |entry| entry.to_string().contains("请再刷一次")).await;
        assert_eq!(world.swipe(abroad).await["declined"], false, "{engine:?}");
        // The same way from the page of the declined one.
        let mut page = browser(&world, &follower);
        assert_eq!(page.open(&link).await, 200);
        page.takes("/h5/card/purchase/why", &[]).await;
        assert!(page.html.contains("没有开通境外消费"), "{}", page.html);
        page.takes("/h5/card/purchase/choose", &[("choice", "0")]).await;
        assert!(page.html.contains("请再刷一次"), "the code still counts: {}", page.html);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_was_me_lifts_a_hold_only_after_a_code_where_the_bank_wants_one() {
    for engine in Engine::at_hand() {
        let world = world_telling_declines(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        let mut great = purchase("星河数码", "12000.00");
        great["channel"] = json!("online");
        swiped(&world, &follower, great).await;
        assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["decline_reason"], "card_held");
        let answer = follower.say("是我").await;
        assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["decline_reason"], "card_held");
        let page = prove(&world, &follower, &link_in(&answer, "/step-up?t=")).await;
        assert!(page.html.contains("验证通过"), "{engine:?}: {}", page.html);
        follower.wait("what waited goes on", |entry| entry.to_string().contains("恢复使用")).await;
        assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["declined"], false, "{engine:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_core_down_not_me_is_told_honestly_and_the_lock_is_owed() {
    for engine in Engine::at_hand() {
        let mut world = World::start_with_process(engine).await;
        let openid = world.follower("甲").await.openid;
        world.bind(&openid, "C10002").await;
        swiped(&world, &world.phone(&openid), purchase("星河超市", "128.50")).await;
        world.fault(json!({ "operation": "card_lock", "down": true })).await;
        let answer = world.phone(&openid).say("不是我").await;
        assert!(answer.contains("还没有锁住") && answer.contains("客服电话"), "{engine:?}: {answer}");
        assert!(answer.contains("正在为您转接人工客服"), "{engine:?}: {answer}");
        event(&world, "case_opened").await;
        assert!(events(&world, "card_locked").await.is_empty(), "nothing is locked yet");
        // What is owed survives a kill -9.
        world.end_server().await;
        world.http.delete(format!("{}/sandbox/faults", world.core_url)).send().await.unwrap();
        world.start_process().await;
        event(&world, "card_locked").await;
        let phone = world.phone(&openid);
        phone.wait("the lock is told", |entry| entry.to_string().contains("已锁住尾号1234")).await;
        let next = world.swipe(purchase("星河超市", "1.00")).await;
        assert_eq!(next["decline_reason"], "card_locked", "{engine:?}");
        world.stop().await;
    }
}
