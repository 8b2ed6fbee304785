//! Events have no MsgId; unfollowing erases; what says nothing is answered with `success`.

use weikefu::store::Direction;

use crate::house::House;
use crate::wechat::{event, text, timestamp};
use crate::world::Engine;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_events_of_one_second_both_count_and_a_repeat_does_not() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        let wechat = house.wechat(0);
        let now = timestamp();
        let follow = event("o-event", &now, "subscribe", "");
        let scan = event("o-event", &now, "SCAN", "<EventKey><![CDATA[bill_current]]></EventKey>");
        let other = event("o-event", &now, "SCAN", "<EventKey><![CDATA[limit_query]]></EventKey>");
        let welcome = wechat.deliver(&follow).await;
        let shown = wechat.deliver(&scan).await;
        assert_ne!(welcome.text(), shown.text(), "{engine:?}");
        wechat.deliver(&other).await;
        for (again, first) in [(&follow, &welcome), (&scan, &shown)] {
            assert_eq!(wechat.deliver(again).await, *first, "{engine:?}");
        }
        assert_eq!(house.said("o-event", Direction::In).await.len(), 3, "{engine:?}");
        assert_eq!(house.said("o-event", Direction::Out).await.len(), 3, "{engine:?}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfollowing_ends_the_binding_and_erases_and_following_again_restores_nothing() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        house.world.bind("o-leaves", "C10001").await;
        let wechat = house.wechat(0);
        assert!(wechat.deliver(&text("o-leaves", 1, "查账单")).await.text().contains("本期应还"));
        // One more is in work while he leaves.
        house.gate.hold("C10001");
        let open = tokio::spawn({
            let wechat = wechat.clone();
            async move { wechat.deliver(&text("o-leaves", 2, "查账单")).await }
        });
        house.gate.asked(2).await;
        let leave = event("o-leaves", &timestamp(), "unsubscribe", "");
        let left = tokio::spawn({
            let (wechat, leave) = (wechat.clone(), leave.clone());
            async move { wechat.deliver(&leave).await }
        });
        house.gate.release("C10001");
        open.await.unwrap();
        assert!(left.await.unwrap().is_success(), "{engine:?}");
        assert!(wechat.deliver(&leave).await.is_success(), "{engine:?}: a repeat");

        assert!(house.log("o-leaves").await.is_empty(), "{engine:?}");
        for sql in [
            "SELECT count(*) FROM binding",
            "SELECT count(*) FROM follower",
            "SELECT count(*) FROM open_push",
            "SELECT count(*) FROM resume",
            "SELECT count(*) FROM conversation WHERE dialogue_sealed IS NOT NULL OR say_next_sealed IS NOT NULL",
        ] {
            assert_eq!(house.number(sql).await, 0, "{engine:?}: {sql}");
        }
        // What was answered before is not told again.
        assert!(wechat.deliver(&text("o-leaves", 1, "查账单")).await.is_success(), "{engine:?}");
        let later = (timestamp().parse::<u64>().unwrap() + 1).to_string();
        wechat.deliver(&event("o-leaves", &later, "subscribe", "")).await;
        let answer = wechat.deliver(&text("o-leaves", 3, "查账单")).await.text();
        assert!(answer.contains("绑定") && !answer.contains("本期应还"), "{engine:?}: {answer}");
        house.stop().await;
    }
}

/// He leaves on one instance while another still asks the core for him.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfollowing_takes_a_push_from_whoever_works_on_it() {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return;
    }
    let mut house = House::open(Engine::Postgres).await;
    house.world.bind("o-gone", "C10001").await;
    house.gate.hold("C10001");
    let wechats = [house.wechat(0), house.start_server().await];
    let open = tokio::spawn({
        let wechat = wechats[0].clone();
        async move { wechat.deliver(&text("o-gone", 1, "查账单")).await }
    });
    house.gate.asked(1).await;
    let left = wechats[1].deliver(&event("o-gone", &timestamp(), "unsubscribe", "")).await;
    assert!(left.is_success(), "{}", left.raw());
    assert_eq!(house.number("SELECT count(*) FROM open_push").await, 0);
    house.gate.release("C10001");
    assert!(open.await.unwrap().is_success(), "he has left");
    assert!(house.log("o-gone").await.is_empty());
    assert_eq!(house.number("SELECT count(*) FROM follower").await, 0);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receipts_and_unknown_events_say_nothing() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        let wechat = house.wechat(0);
        let now = timestamp();
        let receipt =
            event("o-quiet", &now, "TEMPLATESENDJOBFINISH", "<MsgID>99</MsgID><Status>success</Status>");
        let quiet = [
            receipt.clone(),
            receipt,
            event("o-quiet", &now, "VIEW", "<EventKey>https://wx.bank.example/</EventKey>"),
            event("o-quiet", &now, "LOCATION", "<Latitude>23.1</Latitude><Longitude>113.3</Longitude>"),
            event("o-quiet", &now, "an_event_of_next_year", "<EventKey>x</EventKey>"),
            crate::wechat::push("o-quiet", "hologram", "<MsgId>5</MsgId>"),
        ];
        for xml in &quiet {
            assert!(wechat.deliver(xml).await.is_success(), "{engine:?}: {xml}");
        }
        assert!(house.log("o-quiet").await.is_empty(), "{engine:?}");
        assert_eq!(house.number("SELECT count(*) FROM follower").await, 0, "{engine:?}");
        house.stop().await;
    }
}
