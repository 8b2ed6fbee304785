//! Binding, from the link to the answer of the interrupted question.

use std::time::Duration;

use actix_web::http::StatusCode;
use serde_json::json;
use zeroize::Zeroizing;

use super::bank::CODE;
use super::world::{Browser, NAME, PHONE, World, card, worlds};
use crate::domain::binding::BindingSource;
use crate::identity::Page;
use crate::store::{Commit, Conversation};

const FORM: [(&str, &str); 6] = [
    ("name", NAME),
    ("id_tail", "001x"),
    ("card_tail", "1234"),
    ("phone", PHONE),
    ("alerts", "without_amounts"),
    ("agree", "yes"),
];

/// Opens a fresh binding link and fills in the first page.
async fn begin(world: &World, openid: &'static str) -> Browser {
    let mut browser = world.browser(openid).await;
    assert_eq!(browser.open(&world.link(openid, Page::Bind)).await, StatusCode::OK, "{}", browser.html);
    assert_eq!(browser.send("/h5/card/bind/start", &FORM).await, StatusCode::OK, "{}", browser.html);
    browser.says(&["138****8001"]);
    browser
}

async fn bind(world: &World, openid: &'static str) -> Browser {
    let mut browser = begin(world, openid).await;
    assert_eq!(browser.send("/h5/card/bind/verify", &[("code", CODE)]).await, StatusCode::OK);
    browser.says(&["已绑定 张**", "尾号1234、5678"]);
    browser
}

#[actix_web::test]
async fn a_follower_binds_and_reads_the_answer_to_what_he_asked() {
    for world in worlds().await {
        let follower = world.follower("oAnna");
        let mut conversation = Conversation::fresh(card(), follower);
        let dialogue = json!({ "pending_wish": { "service": "bill_current" } }).to_string().into_bytes();
        conversation.dialogue = Some(Zeroizing::new(dialogue));
        let write = world.store.save_conversation(conversation).unwrap();
        world.store.commit(Commit::new(0).with(write)).await.unwrap();

        let mut browser = bind(&world, "oAnna").await;
        browser.says(&[
            "接收，不显示金额",
            "本期应还 &#60;¥1,234.50&#62;",
            "<a href=\"https://bank.example/pay?a=1&#38;b=2\"",
            "&#60;b&#62;x&#60;/b&#62;",
        ]);
        assert_eq!(browser.open("/h5/card/bind").await, StatusCode::OK);
        browser.says(&["已绑定"]);

        let binding = world.binding("oAnna").await.unwrap();
        assert_eq!(binding.customer.reveal(), "C10001");
        assert_eq!((binding.alerts, binding.hide_amounts, binding.source), (true, true, BindingSource::Page));
        assert_eq!((binding.default_card.as_str(), binding.cards.len()), ("K1", 2));
        assert_eq!(binding.bound, world.identity.now());
        assert_eq!(world.events(), ["bound C10001"]);
        let resumes = world.store.resumes_of(&card(), follower).await.unwrap();
        assert_eq!(resumes[0].wish.reveal(), r#"{"service":"bill_current"}"#);
        let asked = &world.bank.seen("identity_start")[0];
        assert_eq!(asked["params"]["id_tail"], "001X");
        assert_eq!(asked["context"]["client_ip"], "192.0.2.7");
    }
}

#[actix_web::test]
async fn what_is_typed_wrong_is_told_beside_its_field_and_nothing_is_asked_of_the_bank() {
    let world = worlds().await.remove(0);
    let mut browser = world.browser("oAnna").await;
    browser.open(&world.link("oAnna", Page::Bind)).await;
    assert!(!browser.html.contains("checked"), "nothing is ticked beforehand");
    let whole_card = [("card_tail", "4111111111111111"), ("name", "\"><script>")];
    assert_eq!(browser.send("/h5/card/bind/start", &whole_card).await, StatusCode::UNPROCESSABLE_ENTITY);
    browser.says(&[
        "id=\"card_tail-wrong\">只需填写后四位",
        "请填写证件号码的后四位",
        "请选择是否接收动账提醒",
        "同意后勾选",
        "value=\"&#34;&#62;&#60;script&#62;\"",
    ]);
    assert!(!browser.html.contains("4111111111111111"), "a whole card number is not shown again");
    assert!(world.bank.seen("identity_start").is_empty());
    let mut stranger = FORM;
    stranger[0].1 = "王小满";
    assert_eq!(browser.send("/h5/card/bind/start", &stranger).await, StatusCode::UNPROCESSABLE_ENTITY);
    browser.says(&["我们不提示是哪一项有误", "value=\"王小满\""]);
    // A text that is not the one shown now is no consent.
    let shown = browser.hidden("text_hash");
    browser.html = browser.html.replace(&shown, &shown.replace(['0', '1', '2'], "3"));
    assert_eq!(browser.send("/h5/card/bind/start", &FORM).await, StatusCode::UNPROCESSABLE_ENTITY);
    browser.says(&["协议内容刚刚更新"]);
    assert_eq!(world.bank.seen("identity_start").len(), 1, "only the stranger was asked about");
}

#[actix_web::test]
async fn wrong_codes_are_counted_aloud_until_the_bank_locks() {
    for world in worlds().await {
        let mut browser = begin(&world, "oAnna").await;
        for (code, words) in [
            ("000000", "还可以再试2次"),
            ("12", "验证码是短信中的数字"),
            ("000001", "还可以再试1次"),
            ("000002", "请15分钟后再试"),
            (CODE, "请15分钟后再试"),
        ] {
            let status = browser.send("/h5/card/bind/verify", &[("code", code)]).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            browser.says(&[words]);
        }
        assert!(world.binding("oAnna").await.is_none());
        assert_eq!(browser.send("/h5/card/bind/restart", &[]).await, StatusCode::OK);
        browser.says(&["第 1 步"]);
    }
}

#[actix_web::test]
async fn another_code_is_sent_only_after_its_time_and_starts_are_limited() {
    let world = worlds().await.remove(0);
    let mut browser = begin(&world, "oAnna").await;
    browser.says(&["60 秒后可重新获取"]);
    assert_eq!(browser.send("/h5/card/bind/resend", &[]).await, StatusCode::UNPROCESSABLE_ENTITY);
    browser.says(&["请60秒后再获取"]);
    world.clock.advance(Duration::from_secs(61));
    assert_eq!(browser.send("/h5/card/bind/resend", &[]).await, StatusCode::OK);
    assert_eq!(world.bank.seen("identity_start").len(), 2);
    for count in 2..=6 {
        browser.send("/h5/card/bind/restart", &[]).await;
        let status = browser.send("/h5/card/bind/start", &FORM).await;
        let allowed = if count <= 5 { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        assert_eq!(status, allowed, "start {count}");
    }
    browser.says(&["一小时内尝试的次数已达上限"]);
}

#[actix_web::test]
async fn a_new_binding_replaces_the_old_one_and_tells_the_old_follower_and_the_bank() {
    for world in worlds().await {
        bind(&world, "oAnna").await;
        let browser = bind(&world, "oBert").await;
        browser.says(&["另一个微信号已自动解除绑定"]);
        assert!(world.binding("oAnna").await.is_none());
        assert_eq!(world.binding("oBert").await.unwrap().customer.reveal(), "C10001");
        assert_eq!(world.events(), ["bound C10001", "unbound C10001 replaced", "bound C10001"]);
        let told = world.listener.told.lock().unwrap().clone();
        assert_eq!(told[0].0, world.follower("oAnna"));
        assert!(told[0].1.contains("已解除") && told.len() == 1);

        // He binds again himself: nobody loses anything. Then he binds somebody else.
        bind(&world, "oBert").await;
        assert_eq!(world.events().len(), 4);
        let mut browser = world.browser("oBert").await;
        browser.open(&world.link("oBert", Page::Bind)).await;
        let mut other = FORM;
        (other[0].1, other[1].1, other[3].1) = ("李清明", "0021", "13800138002");
        browser.send("/h5/card/bind/start", &other).await;
        browser.send("/h5/card/bind/verify", &[("code", CODE)]).await;
        assert_eq!(world.binding("oBert").await.unwrap().customer.reveal(), "C10002");
        assert_eq!(world.events()[4..], ["unbound C10001 rebound", "bound C10002"]);
    }
}

#[actix_web::test]
async fn two_followers_who_bind_one_customer_at_once_leave_one_binding() {
    for world in worlds().await {
        for _ in 0..4 {
            let (mut anna, mut bert) = (begin(&world, "oAnna").await, begin(&world, "oBert").await);
            let code = [("code", CODE)];
            let both = futures::future::join(
                anna.send("/h5/card/bind/verify", &code),
                bert.send("/h5/card/bind/verify", &code),
            );
            assert_eq!(both.await, (StatusCode::OK, StatusCode::OK));
            let bound = world.identity.followers_of(&customer()).await.unwrap();
            assert_eq!(bound.len(), 1, "{}", world.test.name);
            world.clock.advance(Duration::from_secs(3601));
        }
    }
}

fn customer() -> crate::domain::ids::CustomerId {
    crate::domain::ids::CustomerId::parse("C10001").unwrap()
}

#[actix_web::test]
async fn a_double_tap_on_the_last_button_binds_once() {
    for world in worlds().await {
        let mut browser = begin(&world, "oAnna").await;
        let first = browser.form("/h5/card/bind/verify", &[("code", CODE)]);
        let second = browser.form("/h5/card/bind/verify", &[("code", CODE)]);
        let first = browser.exchange(first).await.status();
        assert_eq!(first, StatusCode::SEE_OTHER);
        assert_eq!(browser.exchange(second).await.status(), StatusCode::SEE_OTHER);
        assert_eq!(world.events(), ["bound C10001"]);
    }
}

#[actix_web::test]
async fn a_used_link_opens_nothing_more() {
    for world in worlds().await {
        let mut browser = world.browser("oAnna").await;
        let link = world.link("oAnna", Page::Bind);
        browser.open(&link).await;
        browser.send("/h5/card/bind/start", &FORM).await;
        browser.send("/h5/card/bind/verify", &[("code", CODE)]).await;
        browser.says(&["已绑定"]);
        let mut again = world.browser("oAnna").await;
        assert_eq!(again.open(&link).await, StatusCode::FORBIDDEN);
        again.says(&["链接已使用"]);
        // The same browser is shown its result, not a second form.
        assert_eq!(browser.open(&link).await, StatusCode::OK);
        browser.says(&["已绑定"]);
    }
}

#[actix_web::test]
async fn a_bank_that_is_down_is_told_with_a_number_and_costs_no_link() {
    let world = worlds().await.remove(0);
    let mut browser = begin(&world, "oAnna").await;
    world.bank.is_down_for(&["otp_verify"]);
    let status = browser.send("/h5/card/bind/verify", &[("code", CODE)]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    browser.says(&["银行系统暂时没有回应", "并提供编号"]);
    world.bank.is_down_for(&[]);
    assert_eq!(browser.send("/h5/card/bind/verify", &[("code", CODE)]).await, StatusCode::OK);
    browser.says(&["已绑定"]);
}
