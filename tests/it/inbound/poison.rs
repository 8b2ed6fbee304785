//! What cannot be worked on holds nobody up for ever.

use std::time::Duration;

use weikefu::inbound::Limits;
use weikefu::store::Direction;

use super::short_budget;
use crate::house::House;
use crate::wechat::text;
use crate::world::{Engine, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_push_that_nobody_can_read_is_given_up_aloud_and_hides_no_other() {
    for engine in Engine::at_hand() {
        let limits = Limits {
            lease: Duration::from_millis(300),
            renew: Duration::from_millis(100),
            owners_max: 3,
            ..short_budget()
        };
        let house = House::open_with(engine, limits).await;
        let damaged = house.world.follower("坏").await.openid;
        for (openid, customer) in [(damaged.as_str(), "C10001"), ("o-whole", "C10002")] {
            house.world.bind(openid, customer).await;
            house.gate.hold(customer);
        }
        house.world.phone(&damaged).say("功能").await;
        let wechat = house.wechat(0);
        // Both are owed when the server ends in the middle of its work.
        for (number, openid) in [damaged.as_str(), "o-whole"].into_iter().enumerate() {
            assert!(wechat.deliver(&text(openid, number as u64, "查账单")).await.is_success(), "{engine:?}");
        }
        house.execute("UPDATE open_push SET owner = 'dead', epoch = 2, lease_until_ms = 1").await;
        house.execute("UPDATE open_push SET push_sealed = fkey WHERE push_key = 'm:0'").await;
        house.gate.release("C10002");
        until("the answer to the other", || async {
            let said = house.said("o-whole", Direction::Out).await;
            said.last().filter(|text| text.contains("本期应还")).map(drop)
        })
        .await;
        let phone = house.world.phone(&damaged);
        let told = phone.wait("the apology", |entry| entry["source"] == "custom").await;
        assert!(told["text"].as_str().unwrap().contains("没能处理成功"), "{engine:?}: {told}");
        assert_eq!(house.number("SELECT count(*) FROM open_push").await, 0, "{engine:?}");
        let next = house.wechat(0).deliver(&text(&damaged, 9, "功能")).await.text();
        assert!(next.contains("我可以为您"), "{engine:?}: {next}");
        house.gate.release("C10001");
        house.stop().await;
    }
}
