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
