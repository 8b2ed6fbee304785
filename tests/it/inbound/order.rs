//! P5: one follower's messages in order; different followers never wait for each other.

use futures::future::join_all;
use weikefu::store::Direction;

use crate::house::{House, StoredPush};
use crate::wechat::{Answered, Wechat, text};
use crate::world::{Engine, until};

/// Turns are given without gaps, and answered in their order.
fn assert_in_order(pushes: &[StoredPush], expected: usize, whose: &str) {
    let turns: Vec<i64> = pushes.iter().map(|push| push.turn).collect();
    assert_eq!(turns, (1..=i64::try_from(expected).unwrap()).collect::<Vec<_>>(), "{whose}");
    let replies: Vec<Option<i64>> = pushes.iter().map(|push| push.reply_seq).collect();
    assert!(replies.iter().all(Option::is_some) && replies.is_sorted(), "{whose}: {replies:?}");
}

/// Sends one message after the other, each as soon as the one before it is claimed, without waiting for answers.
async fn in_a_row(house: &House, wechat: &Wechat, openid: &str, count: u64) -> Vec<Answered> {
    let mut answers = Vec::new();
    for number in 1..=count {
        let (wechat, openid) = (wechat.clone(), openid.to_owned());
        let xml = text(&openid, message_id(&openid, number), &format!("第{number}句"));
        answers.push(tokio::spawn(async move { wechat.deliver(&xml).await }));
        until("a claim", || async { (house.pushes(&openid).await.len() as u64 >= number).then_some(()) })
            .await;
    }
    join_all(answers).await.into_iter().map(Result::unwrap).collect()
}

/// Ids of different followers differ.
fn message_id(openid: &str, number: u64) -> u64 {
    openid.bytes().fold(7_u64, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte)) * 1_000 + number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_messages_of_one_follower_wait_in_order_behind_a_slow_one() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        house.world.bind("o-one", "C10001").await;
        house.gate.hold("C10001");
        let wechat = house.wechat(0);
        let slow = tokio::spawn({
            let wechat = wechat.clone();
            async move { wechat.deliver(&text("o-one", 1, "查账单")).await }
        });
        house.gate.asked(1).await;
        let mut sent = Vec::new();
        for number in 2..=100 {
            let wechat = wechat.clone();
            let xml = text("o-one", number, &format!("第{number}句"));
            sent.push(tokio::spawn(async move { wechat.deliver(&xml).await }));
            until("a claim", || async { (house.pushes("o-one").await.len() as u64 >= number).then_some(()) })
                .await;
        }
        house.gate.release("C10001");
        let last = join_all(sent).await;
        // Whoever waited longer than the budget has `success` here and his answer follows; nobody is told off.
        assert!(last.iter().all(|answer| answer.as_ref().unwrap().status == 200), "{engine:?}");
        slow.await.unwrap();
        until("the end of the work", || async {
            (house.number("SELECT count(*) FROM open_push").await == 0).then_some(())
        })
        .await;
        let said: Vec<String> = (2..=100).map(|number| format!("第{number}句")).collect();
        assert_eq!(house.said("o-one", Direction::In).await[1..], said, "{engine:?}");
        assert_eq!(house.said("o-one", Direction::Out).await.len(), 100, "{engine:?}");
        let keys: Vec<String> = house.pushes("o-one").await.into_iter().map(|push| push.key).collect();
        let expected: Vec<String> = (1..=100).map(|number| format!("m:{number}")).collect();
        assert_eq!(keys, expected, "{engine:?}: turns are given in the order of arrival");
        let first_out = house.said("o-one", Direction::Out).await.swap_remove(0);
        assert!(first_out.contains("本期应还"), "{engine:?}: the slow one is answered first");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_one_follower_is_answered_whole() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        let wechat = house.wechat(0);
        let pushes: Vec<String> =
            (1..=100).map(|number| text("o-burst", number, &format!("第{number}句"))).collect();
        let answers = join_all(pushes.iter().map(|xml| wechat.deliver(xml))).await;
        assert!(answers.iter().all(|answer| !answer.text().contains("系统正忙")), "{engine:?}");
        assert_in_order(&house.pushes("o-burst").await, 100, "burst");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_followers_at_once_are_each_answered_in_order() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        let wechat = house.wechat(0);
        let openids: Vec<String> = (0..20).map(|number| format!("o-many-{number}")).collect();
        join_all(openids.iter().map(|openid| in_a_row(&house, &wechat, openid, 5))).await;
        for openid in &openids {
            let said: Vec<String> = (1..=5).map(|number| format!("第{number}句")).collect();
            assert_eq!(house.said(openid, Direction::In).await, said, "{engine:?} {openid}");
            assert_in_order(&house.pushes(openid).await, 5, openid);
        }
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_another_followers_slow_core() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        house.world.bind("o-slow", "C10001").await;
        house.world.bind("o-quick", "C10002").await;
        house.gate.hold("C10001");
        let wechat = house.wechat(0);
        let slow = tokio::spawn({
            let wechat = wechat.clone();
            async move { wechat.deliver(&text("o-slow", 1, "查账单")).await }
        });
        house.gate.asked(1).await;
        let quick = wechat.deliver(&text("o-quick", 2, "查账单")).await.text();
        assert!(quick.contains("本期应还"), "{engine:?}: {quick}");
        assert!(!slow.is_finished(), "{engine:?}");
        house.gate.release("C10001");
        assert!(slow.await.unwrap().text().contains("本期应还"), "{engine:?}");
        house.stop().await;
    }
}

/// Turns that wait in one process while an earlier one is worked on in another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_holds_across_instances() {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return;
    }
    let mut house = House::open(Engine::Postgres).await;
    house.world.bind("o-two", "C10001").await;
    house.gate.hold("C10001");
    let wechats = [house.wechat(0), house.start_server().await];
    let mut sent = Vec::new();
    for number in 1..=12_u64 {
        let wechat = wechats[usize::try_from(number).unwrap() % 2].clone();
        let xml = text("o-two", number, if number == 1 { "查账单" } else { "功能" });
        sent.push(tokio::spawn(async move { wechat.deliver(&xml).await }));
        until("a claim", || async { (house.pushes("o-two").await.len() as u64 >= number).then_some(()) })
            .await;
    }
    house.gate.release("C10001");
    let answers: Vec<Answered> = join_all(sent).await.into_iter().map(Result::unwrap).collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    until("the end of the work", || async {
        (house.number("SELECT count(*) FROM open_push").await == 0).then_some(())
    })
    .await;
    let said = house.said("o-two", Direction::Out).await;
    assert!(said.len() == 12 && said[0].contains("本期应还"), "{said:?}");
    let keys: Vec<String> = house.pushes("o-two").await.into_iter().map(|push| push.key).collect();
    assert_eq!(keys, (1..=12).map(|number| format!("m:{number}")).collect::<Vec<_>>());
    house.stop().await;
}
