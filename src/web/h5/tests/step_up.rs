//! One-time codes for what binding is not enough for.

use std::time::Duration;

use actix_web::http::StatusCode;
use serde_json::json;
use zeroize::Zeroizing;

use super::bank::CODE;
use super::world::{Browser, World, card, worlds};
use crate::domain::step_up::Proof;
use crate::identity::{Page, STARTS_MAX};
use crate::store::{Commit, Consent, Conversation, testing};

/// A follower who is bound and has asked for something that needs a code.
async fn bound(world: &World, openid: &str, wish: &str) {
    let follower = world.follower(openid);
    let binding = testing::bound("C10001", "张**", world.identity.now());
    let consent = Consent { text_hash: "00".to_owned(), at: world.identity.now() };
    let mut conversation = Conversation::fresh(card(), follower);
    let dialogue = json!({ "pending_wish": { "service": wish } }).to_string().into_bytes();
    conversation.dialogue = Some(Zeroizing::new(dialogue));
    let commit = Commit::new(0)
        .with(world.store.put_binding(&card(), follower, &binding, &consent).unwrap())
        .with(world.store.save_conversation(conversation).unwrap());
    world.store.commit(commit).await.unwrap();
}

fn link(world: &World, openid: &str, scope: &str) -> String {
    let now = world.identity.now();
    let link = world.identity.link_about(&card(), world.follower(openid), Page::StepUp, scope, now);
    link.strip_prefix("https://wx.bank.example/base").expect("our own address").to_owned()
}

/// Opens the page and has a code sent.
async fn begin(world: &World, openid: &'static str, scope: &str) -> Browser {
    let mut browser = world.browser(openid).await;
    assert_eq!(browser.open(&link(world, openid, scope)).await, StatusCode::OK, "{}", browser.html);
    browser.says(&["确认是您本人", "获取短信验证码"]);
    assert_eq!(browser.send("/h5/card/step-up/send", &[]).await, StatusCode::OK, "{}", browser.html);
    browser.says(&["验证码已发送到"]);
    browser
}

#[actix_web::test]
async fn a_right_code_counts_for_its_scope_and_the_interrupted_question_goes_on() {
    for world in worlds().await {
        bound(&world, "oAnna", "bill_current").await;
        let follower = world.follower("oAnna");
        let mut browser = begin(&world, "oAnna", "bill_current").await;
        assert!(world.store.step_up(&card(), follower).await.unwrap().is_none());
        assert_eq!(browser.send("/h5/card/step-up/verify", &[("code", CODE)]).await, StatusCode::OK);
        browser.says(&["验证通过"]);
        let proved = world.store.step_up(&card(), follower).await.unwrap().unwrap();
        let now = world.identity.now();
        assert!(
            proved.covers("bill_current", Proof::Otp, now) && !proved.covers("limit_query", Proof::Otp, now)
        );
        assert!(!proved.covers("bill_current", Proof::Otp, now + Duration::from_secs(600)));
        let resumes = world.store.resumes_of(&card(), follower).await.unwrap();
        assert_eq!(resumes[0].wish.reveal(), r#"{"service":"bill_current"}"#);
        browser.says(&["本期应还 &#60;¥1,234.50&#62;"]);
        let sent = &world.bank.seen("otp_send")[0];
        assert_eq!(
            (&sent["customer_id"], &sent["params"]),
            (&json!("C10001"), &json!({"purpose": "step_up"}))
        );
        // The link is done with: the same page again, nothing is sent.
        assert_eq!(browser.open("/h5/card/step-up").await, StatusCode::OK);
        browser.says(&["验证通过"]);
        assert_eq!(world.bank.seen("otp_send").len(), 1);
    }
}

#[actix_web::test]
async fn who_asks_too_soon_has_not_used_up_a_try() {
    let world = worlds().await.remove(0);
    bound(&world, "oAnna", "bill_current").await;
    let mut browser = world.browser("oAnna").await;
    assert_eq!(browser.open(&link(&world, "oAnna", "bill_current")).await, StatusCode::OK);
    world.bank.is_hurried(true);
    for _ in 0..2 * STARTS_MAX {
        let status = browser.send("/h5/card/step-up/send", &[]).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        browser.says(&["请30秒后再获取"]);
    }
    world.bank.is_hurried(false);
    assert_eq!(browser.send("/h5/card/step-up/send", &[]).await, StatusCode::OK, "{}", browser.html);
    browser.says(&["验证码已发送到"]);
}

#[actix_web::test]
async fn a_code_does_nothing_for_another_wish_another_follower_or_another_customer() {
    for world in worlds().await {
        bound(&world, "oAnna", "bill_current").await;
        let follower = world.follower("oAnna");
        // What waits is not what the code is for.
        let mut browser = begin(&world, "oAnna", "card_unlock").await;
        assert_eq!(browser.send("/h5/card/step-up/verify", &[("code", CODE)]).await, StatusCode::OK);
        browser.says(&["10分钟内继续办理"]);
        assert!(world.store.resumes_of(&card(), follower).await.unwrap().is_empty());
        // A forwarded link shows nothing, and no code leaves.
        let mut thief = world.browser("oMallory").await;
        assert_eq!(thief.open(&link(&world, "oAnna", "card_unlock")).await, StatusCode::FORBIDDEN);
        assert!(!thief.html.contains("<form"), "{}", thief.html);
        assert_eq!(world.bank.seen("otp_send").len(), 1);
        // Who is unbound meanwhile proves nothing.
        world.clock.advance(Duration::from_secs(61));
        let mut browser = begin(&world, "oAnna", "overseas_open").await;
        let binding = world.binding("oAnna").await.unwrap();
        let gone = world.store.delete_binding(&card(), follower, &binding.customer);
        world.store.commit(Commit::new(0).with(gone)).await.unwrap();
        assert!(world.store.step_up(&card(), follower).await.unwrap().is_none());
        let status = browser.send("/h5/card/step-up/verify", &[("code", CODE)]).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        browser.says(&["没有绑定信用卡"]);
    }
}

#[actix_web::test]
async fn wrong_codes_and_codes_sent_are_bounded_aloud() {
    for world in worlds().await {
        bound(&world, "oAnna", "bill_current").await;
        let mut browser = begin(&world, "oAnna", "bill_current").await;
        for (code, words) in [
            ("000000", "还可以再试2次"),
            ("12", "验证码是短信中的数字"),
            ("000001", "还可以再试1次"),
            ("000002", "请15分钟后再试"),
            (CODE, "请15分钟后再试"),
        ] {
            let status = browser.send("/h5/card/step-up/verify", &[("code", code)]).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{code}");
            browser.says(&[words]);
        }
        assert!(world.store.step_up(&card(), world.follower("oAnna")).await.unwrap().is_none());
        let again = browser.send("/h5/card/step-up/send", &[]).await;
        assert_eq!(again, StatusCode::UNPROCESSABLE_ENTITY);
        browser.says(&["秒后再获取"]);
        for _ in 0..4 {
            world.clock.advance(Duration::from_secs(61));
            assert_eq!(browser.send("/h5/card/step-up/send", &[]).await, StatusCode::OK);
        }
        world.clock.advance(Duration::from_secs(61));
        let sixth = browser.send("/h5/card/step-up/send", &[]).await;
        assert_eq!(sixth, StatusCode::UNPROCESSABLE_ENTITY);
        browser.says(&["次数已达上限"]);
        assert_eq!(world.bank.seen("otp_send").len(), 5);
    }
}
