//! Nobody is shown, and nobody changes, what is another's: each page of the H5, by each kind of visitor who is not its
//! follower, with that follower's own link in his hand. A route without a row here fails.

use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::pages::Browser;
use crate::world::{Engine, World, client};

/// A merchant that only one follower's page may name.
const CANARY: &str = "只有持卡人知道的商户";

/// Every route below `/h5`: its method, as the sources write it, and whether it is of a follower.
const ROUTES: &[(&str, &str, bool)] = &[
    ("GET", "/assets/{file}", false),
    ("GET", "/{account}/callback", false),
    ("GET", "/{account}/bind", true),
    ("POST", "/{account}/bind/{step}", true),
    ("GET", "/{account}/apply", true),
    ("POST", "/{account}/apply/{step}", true),
    ("GET", "/{account}/progress", true),
    ("GET", "/{account}/purchase", true),
    ("POST", "/{account}/purchase/{step}", true),
    ("GET", "/{account}/step-up", true),
    ("GET", "/{account}/step-up/return", true),
    ("POST", "/{account}/step-up/{step}", true),
    ("GET", "/{account}/spending", true),
    ("GET", "/{account}/alerts", true),
    ("POST", "/{account}/alerts/{step}", true),
];

/// Steps of forms, also such as their page does not have.
const STEPS: &[&str] =
    &["start", "code", "verify", "submit", "card", "deny", "confirm", "why", "instalment", "similar"];

fn visitor(world: &World, openid: &str) -> Browser {
    Browser::new(client(), &world.server_url, &world.simulator_url, openid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_page_shows_or_changes_what_is_another_followers() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let holder = world.follower("甲").await;
        world.bind(&holder.openid, "C10001").await;
        let purchase = json!({
            "transaction_id": "T1", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
            "amount": { "value": "128.50", "currency": "CNY" }, "merchant": { "name": CANARY }, "channel": "pos",
            "occurred_at": "2026-11-22T10:00:00+08:00",
        });
        let (status, answer) = world.bank(Method::POST, "/api/v1/transactions", &purchase.to_string()).await;
        assert_eq!(status, 202, "{answer}");
        let alert = holder.wait("the alert", |entry| entry["kind"] == "template").await;
        let link = alert["detail"]["url"].as_str().expect("the alert leads to its purchase").to_owned();
        let token = link.split("t=").nth(1).unwrap().to_owned();
        let mut own = visitor(&world, &holder.openid);
        assert_eq!(own.open(&link).await, 200, "{engine:?}: {}", own.html);
        assert!(own.html.contains(CANARY), "{engine:?}: his own page names it: {}", own.html);

        let (bound, unbound) = (world.follower("乙").await, world.follower("丙").await);
        world.bind(&bound.openid, "C10002").await;
        for openid in [&bound.openid, &unbound.openid] {
            for (method, route, _) in ROUTES.iter().filter(|(.., is_followers)| *is_followers) {
                let path = format!("/h5{}", route.replace("{account}", "card"));
                if *method == "GET" {
                    let mut page = visitor(&world, openid);
                    // With a session of his own, and before he has one.
                    for _ in 0..2 {
                        page.open(&format!("{path}?t={token}")).await;
                        assert!(!page.html.contains(CANARY), "{engine:?} {path}: {}", page.html);
                        page.open("/h5/card/alerts").await;
                    }
                    continue;
                }
                for step in STEPS {
                    let mut page = visitor(&world, openid);
                    page.open("/h5/card/alerts").await;
                    let path = path.replace("{step}", step);
                    let fields = [("t", token.as_str()), ("transaction_id", "T1"), ("choice", "0")];
                    page.send(&format!("{path}?t={token}"), &fields).await;
                    assert!(!page.html.contains(CANARY), "{engine:?} {path}: {}", page.html);
                }
            }
        }
        assert_eq!(world.number("SELECT count(*) FROM desk_case").await, 0, "{engine:?}: nothing was denied");
        assert_eq!(own.open("/h5/card/purchase").await, 200);
        assert!(own.html.contains(CANARY) && own.html.contains("不是我"), "{engine:?}: {}", own.html);
        world.stop().await;
    }
}

#[test]
fn every_route_of_the_h5_has_a_row() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/h5/mod.rs");
    let text = std::fs::read_to_string(source).unwrap();
    let routes: Vec<&str> =
        text.split(".route(\"").skip(1).filter_map(|after| after.split('"').next()).collect();
    for route in &routes {
        assert!(ROUTES.iter().any(|(_, known, _)| known == route), "{route} has no row");
    }
    assert_eq!(routes.len(), ROUTES.len());
}
