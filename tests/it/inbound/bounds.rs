//! P6: at the bound the house says so, politely and in time.

use std::time::{Duration, Instant};

use weikefu::inbound::Limits;
use weikefu::store::Direction;

use super::short_budget;
use crate::house::{Blocked, House};
use crate::wechat::text;
use crate::world::{Engine, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_pushes_than_may_be_in_work_are_told_so_and_store_nothing() {
    for engine in Engine::at_hand() {
        let house = House::open_with(engine, Limits { in_work_max: 2, ..Limits::default() }).await;
        let wechat = house.wechat(0);
        let mut waiting = Vec::new();
        for (openid, customer) in [("o-a", "C10001"), ("o-b", "C10002")] {
            house.world.bind(openid, customer).await;
            house.gate.hold(customer);
            let wechat = wechat.clone();
            let xml = text(openid, 1 + waiting.len() as u64, "查账单");
            waiting.push(tokio::spawn(async move { wechat.deliver(&xml).await }));
        }
        house.gate.asked(2).await;
        let before = house.counts().await;
        let told = wechat.deliver(&text("o-c", 3, "功能")).await;
        assert!(told.status == 200 && told.text().contains("系统正忙"), "{engine:?}: {}", told.raw());
        assert_eq!(house.counts().await, before, "{engine:?}");
        let page = weikefu::telemetry::render();
        assert!(page.contains("weikefu_inbound_total{kind=\"text\",answer=\"busy\"}"), "{page}");
        house.gate.release("C10001");
        house.gate.release("C10002");
        for answer in waiting {
            assert!(answer.await.unwrap().text().contains("本期应还"), "{engine:?}");
        }
        assert!(wechat.deliver(&text("o-c", 3, "功能")).await.text().contains("我可以为您"), "{engine:?}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_hangs_is_told_politely_in_time_and_nothing_is_lost() {
    for engine in Engine::at_hand() {
        let house = House::open_with(engine, short_budget()).await;
        let openid = house.world.follower("慢库").await.openid;
        house.world.bind(&openid, "C10001").await;
        let blocked = Blocked::begin(&house).await;
        let began = Instant::now();
        let told = house.wechat(0).deliver(&text(&openid, 1, "功能")).await;
        assert!(told.status == 200 && told.text().contains("系统正忙"), "{engine:?}: {}", told.raw());
        assert!(began.elapsed() < Duration::from_millis(2_500), "{engine:?}: {:?}", began.elapsed());
        blocked.end().await;
        // The work went on: its answer follows, and a late delivery is not told it again.
        house.world.phone(&openid).wait("the answer", |entry| entry["source"] == "custom").await;
        assert!(house.wechat(0).deliver(&text(&openid, 1, "功能")).await.is_success(), "{engine:?}");
        let said = house.said(&openid, Direction::Out).await;
        assert_eq!(said.iter().filter(|text| text.contains("我可以为您")).count(), 1, "{engine:?}: {said:?}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_refuses_is_told_politely_and_never_with_a_5xx() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        house.break_writes().await;
        let told = house.wechat(0).deliver(&text("o-broken", 1, "功能")).await;
        assert!(told.status == 200 && told.text().contains("系统正忙"), "{engine:?}: {}", told.raw());
        house.mend_writes().await;
        until("an answer", || async {
            let answer = house.wechat(0).deliver(&text("o-broken", 1, "功能")).await;
            answer.text().contains("我可以为您").then_some(())
        })
        .await;
        house.stop().await;
    }
}
