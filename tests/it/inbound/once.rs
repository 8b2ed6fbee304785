//! P1: one push, one effect, one answer.

use std::time::Duration;

use futures::future::join_all;
use weikefu::store::Direction;

use crate::house::House;
use crate::wechat::{Answered, Wechat, text};
use crate::world::Engine;

const BOUND: &str = "o-bound";

/// One message in, one out, one push, and the core was asked once.
async fn assert_one_effect(house: &House, engine: Engine) {
    assert_eq!(house.said(BOUND, Direction::In).await, ["查账单"], "{engine:?}");
    assert_eq!(house.said(BOUND, Direction::Out).await.len(), 1, "{engine:?}");
    let pushes = house.pushes(BOUND).await;
    assert_eq!(pushes.len(), 1, "{engine:?}");
    assert_eq!((pushes[0].outcome.as_str(), pushes[0].reply_seq), ("replied", Some(2)), "{engine:?}");
    let calls = house.gate.calls();
    assert_eq!(calls.len(), 1, "{engine:?}: {calls:?}");
    assert_eq!(
        (calls[0].operation.as_str(), calls[0].customer.as_str()),
        ("bill_current", "C10001"),
        "{engine:?}"
    );
    assert!(calls[0].idempotency_key.is_some(), "{engine:?}: every call to the core carries a key");
}

async fn deliver_at_once(wechats: &[Wechat], xml: &str, times: usize) -> Vec<Answered> {
    join_all((0..times).map(|number| wechats[number % wechats.len()].deliver(xml))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_has_one_effect_and_the_same_bytes_however_often_it_comes() {
    for engine in Engine::at_hand() {
        let mut house = House::open(engine).await;
        house.world.bind(BOUND, "C10001").await;
        let wechat = house.wechat(0);
        let xml = text(BOUND, 1, "查账单");
        let answers = deliver_at_once(std::slice::from_ref(&wechat), &xml, 20).await;
        let first = &answers[0];
        assert!(first.text().contains("本期应还"), "{engine:?}: {}", first.text());
        assert!(answers.iter().all(|answer| answer == first), "{engine:?}: parallel deliveries differ");
        for _ in 0..3 {
            assert_eq!(wechat.deliver(&xml).await, *first, "{engine:?}");
        }
        house.stop_servers().await;
        let wechat = house.start_server().await;
        assert_eq!(wechat.deliver(&xml).await, *first, "{engine:?}: after a restart");
        assert_one_effect(&house, engine).await;
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_on_one_database_do_the_work_of_one() {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return;
    }
    let mut house = House::open(Engine::Postgres).await;
    house.world.bind(BOUND, "C10001").await;
    let wechats = [house.wechat(0), house.start_server().await];
    house.gate.hold("C10001");
    let xml = text(BOUND, 1, "查账单");
    let deliveries = deliver_at_once(&wechats, &xml, 20);
    let release = async {
        house.gate.asked(1).await;
        house.gate.release("C10001");
    };
    let (answers, ()) = tokio::join!(deliveries, release);
    assert!(answers[0].text().contains("本期应还"), "{}", answers[0].text());
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(deliver_at_once(&wechats, &xml, 2).await, [answers[0].clone(), answers[0].clone()]);
    assert_one_effect(&house, Engine::Postgres).await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redelivery_joins_the_work_and_survives_the_connection_that_began_it() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        house.world.bind(BOUND, "C10001").await;
        house.gate.hold("C10001");
        let wechat = house.wechat(0);
        let xml = text(BOUND, 1, "查账单");
        let hung_up = tokio::time::timeout(Duration::from_millis(300), wechat.deliver(&xml)).await;
        assert!(hung_up.is_err(), "{engine:?}: answered before the core did");
        house.gate.asked(1).await;
        let release = async {
            tokio::time::timeout(Duration::from_millis(300), wechat.deliver(&xml)).await.unwrap_err();
            house.gate.release("C10001");
        };
        let (second, third, ()) = tokio::join!(wechat.deliver(&xml), wechat.deliver(&xml), release);
        assert!(second.text().contains("本期应还"), "{engine:?}: {}", second.text());
        assert_eq!(second, third, "{engine:?}");
        assert_one_effect(&house, engine).await;
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_in_plain_mode_is_the_same_each_time_too() {
    for engine in Engine::at_hand() {
        let mut house = House::prepared(engine, weikefu::inbound::Limits::default()).await;
        house.config.accounts[0].encryption = weikefu::config::Encryption::Plain;
        let wechat = Wechat { is_safe: false, ..house.start_server().await };
        let xml = text("o-plain", 7, "功能");
        let first = wechat.deliver(&xml).await;
        assert!(first.raw().starts_with("<xml>") && first.text().contains("账单"), "{}", first.raw());
        assert_eq!(wechat.deliver(&xml).await, first, "{engine:?}");
        house.stop().await;
    }
}
