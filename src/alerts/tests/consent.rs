//! Subscription notices: as far as the follower consented, and never twice.

use super::*;
use crate::config::NoticeWay;
use crate::wechat::push::{SubscriptionChoice, SubscriptionResult};

const SUBSCRIPTION: &str = "/cgi-bin/message/subscribe/bizsend";

/// Banks whose spend alerts are subscription notices.
async fn subscribing(way: NoticeWay) -> Vec<Bank> {
    let world = |test| {
        let mut world = World::new(test);
        let mut config = (*world.config).clone();
        config.accounts[0].notices.get_mut("spend").unwrap().way = way;
        world.config = Arc::new(config);
        bank(world)
    };
    stores().await.into_iter().map(world).collect()
}

impl Bank {
    /// The follower answers the question of the platform; without a scene, in the settings.
    async fn chooses(&self, follower: FollowerKey, accepted: bool, scene: Option<&str>) {
        let choice = SubscriptionChoice {
            template_id: "tpl-spend".to_owned(),
            accepted,
            scene: scene.map(str::to_owned),
        };
        let account = &self.world.config.accounts[0];
        self.world.commit(self.alerts.consent_writes(account, follower, &[choice])).await;
    }

    /// WeChat reports on a notice.
    async fn reports(&self, follower: FollowerKey, message_id: &str, error_code: &str, status: &str) {
        let result = SubscriptionResult {
            template_id: "tpl-spend".to_owned(),
            message_id: message_id.to_owned(),
            error_code: error_code.to_owned(),
            status: status.to_owned(),
        };
        let account = &self.world.config.accounts[0];
        self.world.commit(self.alerts.result_writes(account, follower, &[result])).await;
        self.work().await;
    }
}

fn unreachable(reason: &str) -> (State, Option<String>) {
    (State::Unreachable, Some(reason.to_owned()))
}

#[tokio::test]
async fn one_consent_lets_one_notice_leave_and_the_bank_hears_of_the_other() {
    for bank in subscribing(NoticeWay::Subscribe).await {
        let name = bank.world.test.name;
        let follower = bank.world.bind("o1", "C10001").await;
        bank.chooses(follower, true, Some("1")).await;
        bank.accept(Family::Transaction, &[swipe("T1"), swipe("T2")]).await;
        bank.work().await;
        let seen = bank.world.outside.seen(SUBSCRIPTION);
        assert_eq!(seen.len(), 1, "{name}");
        let data = json!({"character_string1": {"value": "1234"}, "amount2": {"value": "¥128.50"},
            "time3": {"value": "2026-11-22 10:00"}, "thing4": {"value": "示例商户"}});
        assert_eq!(seen[0].body, json!({"touser": "o1", "template_id": "tpl-spend", "data": data}), "{name}");
        let mut states = [bank.swiped("T1").await, bank.swiped("T2").await];
        states.sort_by_key(|(state, _)| state.name());
        assert_eq!(states, [(State::Sent, None), unreachable("no_consent")], "{name}");
        assert_eq!(bank.event_names(), ["delivery", "fallback"], "{name}");
        // The count is gone: the next is not even ordered.
        bank.accept(Family::Transaction, &[swipe("T3")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("T3").await, unreachable("no_consent"));
        // A refusal of the question takes nothing from a one-time consent.
        bank.chooses(follower, true, Some("1")).await;
        bank.chooses(follower, false, Some("1")).await;
        bank.accept(Family::Transaction, &[swipe("T4")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("T4").await, (State::Sent, None), "{name}");
        assert!(bank.world.outside.seen(TEMPLATE).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn a_long_consent_holds_until_it_is_taken_back_and_wechats_reports_join_their_notices() {
    for bank in subscribing(NoticeWay::SubscribeLongTerm).await {
        let name = bank.world.test.name;
        let follower = bank.world.bind("o1", "C10001").await;
        bank.chooses(follower, true, Some("2")).await;
        for id in ["T1", "T2"] {
            bank.accept(Family::Transaction, &[swipe(id)]).await;
            bank.work().await;
            assert_eq!(bank.swiped(id).await, (State::Sent, None), "{name}");
        }
        bank.reports(follower, "9001", "0", "success").await;
        bank.reports(follower, "9002", "43004", "user refuse").await;
        assert_eq!(bank.swiped("T1").await, (State::Delivered, None), "{name}");
        assert_eq!(bank.swiped("T2").await.0, State::Failed, "{name}");
        bank.chooses(follower, false, None).await;
        bank.accept(Family::Transaction, &[swipe("T3")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("T3").await, unreachable("no_consent"), "{name}");
        assert_eq!(bank.world.outside.seen(SUBSCRIPTION).len(), 2);
    }
}

#[tokio::test]
async fn what_wechat_says_of_consent_counts_and_an_open_chat_is_the_second_way() {
    for bank in subscribing(NoticeWay::SubscribeLongTerm).await {
        let name = bank.world.test.name;
        let follower = bank.world.bind("o1", "C10001").await;
        bank.world.writes(follower).await;
        bank.chooses(follower, true, Some("1")).await;
        bank.world.outside.refuse(SUBSCRIPTION, [43101]);
        for id in ["T1", "T2"] {
            bank.accept(Family::Transaction, &[swipe(id)]).await;
            bank.work().await;
            assert_eq!(bank.swiped(id).await, (State::Sent, None), "{name} {id}");
        }
        // The second was not tried as a notice any more; he follows all the same.
        assert_eq!(bank.world.outside.seen(SUBSCRIPTION).len(), 1, "{name}");
        assert_eq!(bank.said().len(), 2, "{name}");
    }
}

#[tokio::test]
async fn a_notice_that_was_perhaps_sent_is_never_repeated() {
    for bank in subscribing(NoticeWay::SubscribeLongTerm).await {
        let follower = bank.world.bind("o1", "C10001").await;
        bank.chooses(follower, true, Some("1")).await;
        bank.world.outside.answers(SUBSCRIPTION, [(502, Value::Null)]);
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        bank.advance(3_600).await;
        assert_eq!(bank.swiped("T1").await, (State::Failed, Some("unclear".to_owned())));
        assert_eq!(bank.world.outside.seen(SUBSCRIPTION).len(), 1, "{}", bank.world.test.name);
        assert_eq!(bank.event_names(), ["delivery", "fallback"]);
    }
}
