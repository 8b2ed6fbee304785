//! A cardholder's first minutes, on both databases.

use crate::world::{Engine, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_asks_for_his_bill_and_is_shown_how_to_bind() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        let answer = follower.say("查账单").await;
        assert!(answer.contains("绑定") && answer.contains("/h5/card/"), "{engine:?}: {answer}");
        assert_eq!(follower.tap("bill_current").await, follower.say("本期账单").await);
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
        let asked = world.phone(&openid).act(json!({ "action": "text", "text": "查账单" })).await;
        world.phone(&openid).push_is_under_way(&asked).await;
        world.end_server().await;
        world.start_process().await;
        let answer = world.phone(&openid).answer_after(&asked).await;
        assert!(answer.contains("账单"), "{engine:?}: {answer}");
        world.stop().await;
    }
}
