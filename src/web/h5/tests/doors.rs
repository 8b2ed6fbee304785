//! Who is let in, and who is not.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::TestRequest;

use super::world::worlds;
use crate::identity::Page;

#[actix_web::test]
async fn a_link_opens_only_for_its_follower_in_its_time_on_its_page() {
    for world in worlds().await {
        let link = world.link("oAnna", Page::Bind);
        let mut thief = world.browser("oMallory").await;
        assert_eq!(thief.open(&link).await, StatusCode::FORBIDDEN);
        thief.says(&["此链接不是发给您的"]);
        assert!(!thief.html.contains("<form") && !thief.cookies.contains_key("weikefu_h5"));

        let mut anna = world.browser("oAnna").await;
        for (path, words) in [
            (link.replace("/bind?", "/apply?"), "链接无效"),
            (link.replace("/h5/card/", "/h5/retail/"), "链接无效"),
            (format!("{link}A"), "链接无效"),
            ("/h5/card/bind?t=".to_owned(), "链接无效"),
            ("/h5/card/bind".to_owned(), "请从对话中打开"),
        ] {
            assert_eq!(anna.open(&path).await, StatusCode::FORBIDDEN, "{path}");
            anna.says(&[words]);
        }
        world.clock.advance(Duration::from_secs(30 * 60));
        assert_eq!(anna.open(&link).await, StatusCode::FORBIDDEN);
        anna.says(&["链接已过期"]);
        assert_eq!(anna.open("/h5/nobody/bind").await, StatusCode::NOT_FOUND);
    }
}

#[actix_web::test]
async fn another_follower_in_the_same_browser_gets_a_session_of_his_own() {
    let world = worlds().await.remove(0);
    let mut phone = world.browser("oAnna").await;
    assert_eq!(phone.open(&world.link("oAnna", Page::Bind)).await, StatusCode::OK);
    let before = phone.cookies["weikefu_h5"].clone();
    phone.openid = "oBert";
    assert_eq!(phone.open(&world.link("oBert", Page::Bind)).await, StatusCode::OK);
    assert_ne!(phone.cookies["weikefu_h5"], before);
}

#[actix_web::test]
async fn a_snapshot_page_and_a_silent_wechat_let_nobody_in() {
    let world = worlds().await.remove(0);
    let mut snapshot = world.browser("oSnapshot").await;
    assert_eq!(snapshot.open(&world.link("oSnapshot", Page::Bind)).await, StatusCode::FORBIDDEN);
    snapshot.says(&["快照页", "使用完整服务"]);
    assert!(!snapshot.cookies.contains_key("weikefu_h5"));
}

#[actix_web::test]
async fn a_journey_comes_back_once_in_time_and_in_its_own_browser() {
    for world in worlds().await {
        let link = world.link("oAnna", Page::Apply);
        let mut browser = world.browser("oAnna").await;
        let start = |response: &actix_web::dev::ServiceResponse| {
            let to = response.headers().get("location").unwrap().to_str().unwrap().to_owned();
            to.split("state=").nth(1).unwrap().split('#').next().unwrap().to_owned()
        };
        let state = start(&browser.exchange(TestRequest::get().uri(&link)).await);
        assert!(state.len() <= 128 && state.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let back = format!("/h5/card/callback?code=1code-oAnna&state={state}");

        let mut elsewhere = world.browser("oAnna").await;
        assert_eq!(elsewhere.open(&back).await, StatusCode::FORBIDDEN);
        elsewhere.says(&["请重新打开"]);
        assert_eq!(browser.open(&back).await, StatusCode::OK);
        assert_eq!(browser.open(&back.replace("1code", "2code")).await, StatusCode::FORBIDDEN);

        browser.cookies.remove("weikefu_h5");
        let state = start(&browser.exchange(TestRequest::get().uri(&link)).await);
        world.clock.advance(Duration::from_secs(600));
        let late = format!("/h5/card/callback?code=3code-oAnna&state={state}");
        assert_eq!(browser.open(&late).await, StatusCode::FORBIDDEN);
        for path in ["/h5/card/callback", "/h5/card/callback?code=&state=x", "/h5/card/callback?state=%00"] {
            assert_eq!(browser.open(path).await, StatusCode::FORBIDDEN, "{path}");
        }
    }
}

#[actix_web::test]
async fn a_session_ends_by_idleness_and_by_age() {
    for world in worlds().await {
        let mut browser = world.browser("oAnna").await;
        browser.open(&world.link("oAnna", Page::Bind)).await;
        for _ in 0..4 {
            world.clock.advance(Duration::from_secs(14 * 60));
            assert_eq!(browser.open("/h5/card/bind").await, StatusCode::OK, "in use");
        }
        world.clock.advance(Duration::from_secs(4 * 60));
        assert_eq!(browser.open("/h5/card/bind").await, StatusCode::FORBIDDEN, "an hour old");

        browser.open(&world.link("oAnna", Page::Bind)).await;
        world.clock.advance(Duration::from_secs(15 * 60));
        assert_eq!(browser.send("/h5/card/bind/start", &[]).await, StatusCode::FORBIDDEN, "idle");
        browser.says(&["页面已超时", "没有提交"]);
        world.identity.purge(world.identity.now()).await.unwrap();
    }
}

#[actix_web::test]
async fn a_form_from_elsewhere_is_refused() {
    let world = worlds().await.remove(0);
    let mut browser = world.browser("oAnna").await;
    browser.open(&world.link("oAnna", Page::Bind)).await;
    let csrf = browser.hidden("csrf");
    let path = "/h5/card/bind/start";
    let good = |token: &str| TestRequest::post().uri(path).set_form([("csrf", token)]);
    for (request, status) in [
        (good(&csrf), StatusCode::UNPROCESSABLE_ENTITY),
        (good(&csrf).insert_header(("origin", "null")), StatusCode::UNPROCESSABLE_ENTITY),
        (
            good(&csrf)
                .insert_header(("origin", "https://wx.bank.example"))
                .insert_header(("sec-fetch-site", "same-origin")),
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
        (good(&csrf).insert_header(("origin", "https://evil.example")), StatusCode::FORBIDDEN),
        (good(&csrf).insert_header(("sec-fetch-site", "cross-site")), StatusCode::FORBIDDEN),
        (good(&csrf).insert_header(("sec-fetch-site", "same-site")), StatusCode::FORBIDDEN),
        (good(""), StatusCode::FORBIDDEN),
        (good(&csrf.replace(['a', 'b', 'c'], "0")), StatusCode::FORBIDDEN),
        (
            TestRequest::post().uri(path).insert_header(("content-type", "text/plain")).set_payload("csrf=x"),
            StatusCode::BAD_REQUEST,
        ),
        (good(&"x".repeat(70_000)), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(browser.exchange(request).await.status(), status);
    }
    assert!(world.bank.seen("identity_start").is_empty());
}

#[actix_web::test]
async fn every_page_forbids_what_it_does_not_need() {
    let world = worlds().await.remove(0);
    let mut browser = world.browser("oAnna").await;
    browser.open(&world.link("oAnna", Page::Bind)).await;
    assert!(
        !browser.html.contains("<style")
            && !browser.html.contains(" style=")
            && !browser.html.contains(" on")
    );
    let response = browser.exchange(TestRequest::get().uri("/h5/card/bind")).await;
    let policy = response.headers().get("content-security-policy").unwrap().to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("form-action 'self'"));
    assert!(policy.ends_with("frame-ancestors http://phone.example"));
    assert!(!policy.contains("unsafe"));
    for (path, kind) in [("h5.css", "text/css"), ("h5.js", "text/javascript"), ("icon.svg", "image/svg+xml")]
    {
        browser.says(&[&format!("/base/h5/assets/{path}?v=")]);
        let response = browser.exchange(TestRequest::get().uri(&format!("/h5/assets/{path}"))).await;
        assert!(response.headers().get("content-type").unwrap().to_str().unwrap().starts_with(kind));
    }
    assert_eq!(browser.open("/h5/assets/none").await, StatusCode::NOT_FOUND);
}
