//! From acceptance to verdict, on both databases.

mod consent;
mod planning;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::clock::Clock as _;
use crate::domain::alert_settings::{AlertChange, QuietHours};
use crate::domain::ids::{CustomerId, FollowerKey};
use crate::domain::verdict::State;
use crate::domain::verdict::Verdict;
use crate::outbound::testing::{CUSTOM, EVENTS, TEMPLATE, World};
use crate::store::testing::stores;
use crate::store::{Commit, Family};

struct Bank {
    world: World,
    outbound: Arc<Outbound>,
    alerts: Alerts,
}

async fn banks() -> Vec<Bank> {
    stores().await.into_iter().map(|test| bank(World::new(test))).collect()
}

fn bank(world: World) -> Bank {
    let outbound = world.outbound();
    let clock = world.test.clock.clone();
    let (config, store) = (world.config.clone(), world.store().clone());
    let alerts = Alerts::new(config, store, outbound.clone(), &Content::built_in(), clock).unwrap();
    Bank { world, outbound, alerts }
}

fn swipe(id: &str) -> Value {
    json!({
        "transaction_id": id, "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": {"value": "128.50", "currency": "CNY"}, "merchant": {"name": "示例商户"},
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    })
}

impl Bank {
    async fn accept(&self, family: Family, items: &[Value]) -> Taken {
        let intake = self.alerts.intake(family, items).await.unwrap();
        let mut commit = Commit::new(0);
        commit.extend(intake.writes.clone());
        self.world.store().commit(commit).await.unwrap();
        self.alerts.taken_in(family, &intake);
        intake.taken
    }

    /// Works until nothing is left to do now.
    async fn work(&self) {
        self.outbound.parts().tend().await.unwrap();
        while self.alerts.step().await + self.outbound.step().await > 0 {}
    }

    async fn advance(&self, seconds: u64) {
        self.world.test.clock.advance(Duration::from_secs(seconds));
        self.work().await;
    }

    async fn state(&self, family: Family, id: &str) -> (State, Option<String>) {
        let view = self.alerts.state(family, id).await.unwrap().unwrap();
        (view.verdict.state, view.verdict.reason)
    }

    async fn swiped(&self, id: &str) -> (State, Option<String>) {
        self.state(Family::Transaction, id).await
    }

    /// The follower changes his settings.
    async fn settles(&self, follower: FollowerKey, change: AlertChange) {
        let (store, account) = (self.world.store(), self.world.account());
        let binding = store.binding(&account, follower).await.unwrap().unwrap();
        let save = store.save_alerts(&account, follower, &binding.with(&change)).unwrap();
        self.world.commit(vec![save]).await;
    }

    fn templates(&self) -> Vec<String> {
        let seen = self.world.outside.seen(TEMPLATE);
        seen.iter().map(|seen| seen.body["template_id"].as_str().unwrap().to_owned()).collect()
    }

    /// What a follower reads of his last alert.
    async fn told_of_the_last(&self, follower: FollowerKey) -> &'static str {
        let binding = self.world.store().binding(&self.world.account(), follower).await.unwrap().unwrap();
        self.alerts.history(&binding).await.unwrap()[0].words
    }

    /// The words of the customer-service messages.
    fn said(&self) -> Vec<String> {
        let seen = self.world.outside.seen(CUSTOM);
        seen.iter().map(|seen| seen.body["text"]["content"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of the events so far; two of one commit may overtake each other.
    fn event_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self.events().into_iter().map(|(kind, _)| kind).collect();
        names.sort_unstable();
        names
    }

    fn events(&self) -> Vec<(String, Value)> {
        let seen = self.world.outside.seen(EVENTS);
        seen.iter()
            .map(|seen| (seen.body["type"].as_str().unwrap().to_owned(), seen.body["data"].clone()))
            .collect()
    }
}

fn swipe_of(id: &str, value: &str) -> Value {
    let mut item = swipe(id);
    item["amount"]["value"] = json!(value);
    item
}

fn quiet(span: &str) -> AlertChange {
    AlertChange { quiet: Some(QuietHours::parse(span)), ..AlertChange::default() }
}

fn suppressed(reason: &str) -> (State, Option<String>) {
    (State::Suppressed, Some(reason.to_owned()))
}

#[tokio::test]
async fn an_accepted_purchase_becomes_one_template_message_and_is_delivered() {
    for bank in banks().await {
        let name = bank.world.test.name;
        let follower = bank.world.bind("o1", "C10001").await;
        let taken = bank.accept(Family::Transaction, &[swipe("T1"), swipe("T1")]).await;
        assert_eq!((taken.accepted, taken.duplicates), (1, 1), "{name}");
        assert_eq!(bank.swiped("T1").await, (State::Pending, None));
        assert_eq!(bank.told_of_the_last(follower).await, "正在发送", "{name}");
        bank.work().await;
        assert_eq!(bank.accept(Family::Transaction, &[swipe("T1")]).await.duplicates, 1);
        bank.work().await;
        let seen = bank.world.outside.seen(TEMPLATE);
        assert_eq!(seen.len(), 1, "{name}");
        let body = &seen[0].body;
        assert_eq!((&body["touser"], &body["template_id"]), (&json!("o1"), &json!("tpl-spend")));
        let data = json!({"character_string1": {"value": "1234"}, "amount2": {"value": "¥128.50"},
            "time3": {"value": "2026-11-22 10:00"}, "thing4": {"value": "示例商户"}});
        assert_eq!(body["data"], data);
        assert!(body["client_msg_id"].as_str().unwrap().len() <= 32);
        assert_eq!(bank.swiped("T1").await, (State::Sent, None));
        assert_eq!(bank.told_of_the_last(follower).await, "已发送", "{name}");
        let msgid = "2"; // the fixture counts its answers; the token was the first
        let mut commit = Commit::new(0);
        commit.extend(bank.alerts.receipt_writes(&bank.world.account(), msgid, "success"));
        bank.world.store().commit(commit).await.unwrap();
        assert_eq!(bank.swiped("T1").await, (State::Delivered, None));
        assert_eq!(bank.told_of_the_last(follower).await, "已送达", "{name}: nobody has looked yet");
        bank.work().await;
        let view = bank.alerts.state(Family::Transaction, "T1").await.unwrap().unwrap();
        let history: Vec<_> = view.history.iter().map(|entry| entry.what).collect();
        assert_eq!(
            (history.as_slice(), view.attempts),
            (["accepted", "planned", "tried", "sent", "delivered"].as_slice(), 1)
        );
        let data = json!({"id": "T1", "kind": "spend", "state": "delivered", "reason": null});
        assert_eq!(bank.events(), [("delivery".to_owned(), data)]);
    }
}

#[tokio::test]
async fn a_receipt_before_the_sends_answer_joins_it() {
    for bank in banks().await {
        bank.world.bind("o1", "C10001").await;
        let mut commit = Commit::new(0);
        commit.extend(bank.alerts.receipt_writes(&bank.world.account(), "2", "failed:user block"));
        bank.world.store().commit(commit).await.unwrap();
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("T1").await, (State::Failed, Some("receipt_user_block".to_owned())));
        // Two events of one commit may overtake each other.
        let mut kinds: Vec<_> = bank.events().into_iter().map(|(kind, _)| kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["delivery", "fallback"], "{}", bank.world.test.name);
    }
}

/// Written by two instances at once, neither of which saw the other's row: nobody asked for a look.
#[tokio::test]
async fn a_receipt_that_missed_its_send_is_found_a_minute_later() {
    for bank in banks().await {
        bank.world.bind("o1", "C10001").await;
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        bank.world.commit(vec![bank.world.store().add_receipt(&bank.world.account(), "2", "success")]).await;
        bank.work().await;
        assert_eq!(bank.event_names(), [""; 0], "{}", bank.world.test.name);
        bank.advance(60).await;
        assert_eq!(bank.event_names(), ["delivery"], "{}", bank.world.test.name);
    }
}

#[tokio::test]
async fn whoever_is_not_told_has_a_reason() {
    for bank in banks().await {
        bank.world.bind_with("o2", "C10002", false, false).await;
        bank.world.bind("o3", "C10003").await;
        let of = |id: &str, customer: &str, kind: &str| {
            let mut item = swipe(id);
            item["customer_id"] = json!(customer);
            item["type"] = json!(kind);
            item
        };
        let items = [
            of("nobody", "C10099", "purchase"),
            of("off", "C10002", "purchase"),
            of("mandatory", "C10002", "declined"),
            of("no-template", "C10003", "repayment"),
            of("refunded", "C10003", "reversal"),
        ];
        assert_eq!(bank.accept(Family::Transaction, &items).await.accepted, 5);
        bank.work().await;
        assert_eq!(bank.swiped("nobody").await, suppressed("no_binding"));
        assert_eq!(bank.swiped("off").await, suppressed("alerts_off"));
        assert_eq!(bank.swiped("mandatory").await, suppressed("notice_not_configured"));
        assert_eq!(bank.swiped("no-template").await, suppressed("notice_not_configured"));
        assert_eq!(bank.swiped("refunded").await, (State::Sent, None));
        assert_eq!(bank.world.outside.seen(TEMPLATE).len(), 1, "{}", bank.world.test.name);
        assert!(bank.events().iter().all(|(kind, data)| kind == "delivery" && data["state"] == "suppressed"));
        assert_eq!(bank.events().len(), 4);
    }
}

#[tokio::test]
async fn hidden_amounts_stay_hidden_and_every_follower_is_told() {
    for bank in banks().await {
        bank.world.bind_with("o1", "C10001", true, true).await;
        bank.world.bind("o2", "C10001").await;
        bank.world.outside.refuse(TEMPLATE, [43004]);
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        let seen = bank.world.outside.seen(TEMPLATE);
        let amounts: std::collections::BTreeMap<_, _> = seen
            .iter()
            .map(|seen| (seen.body["touser"].to_string(), seen.body["data"]["amount2"]["value"].to_string()))
            .collect();
        let expected =
            [("\"o1\"".to_owned(), "\"0\"".to_owned()), ("\"o2\"".to_owned(), "\"¥128.50\"".to_owned())];
        assert_eq!(amounts.into_iter().collect::<Vec<_>>(), expected);
        // One does not follow, the other was told: the customer was told.
        assert_eq!(bank.swiped("T1").await.0, State::Sent, "{}", bank.world.test.name);
    }
}

#[tokio::test]
async fn past_the_deadline_the_bank_falls_back_once_and_past_its_end_the_alert_has_failed() {
    for bank in banks().await {
        bank.world.bind("o1", "C10001").await;
        bank.world.outside.refuse(TEMPLATE, [45009]);
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        bank.advance(299).await;
        assert!(bank.events().is_empty());
        bank.advance(1).await;
        let data = json!({"id": "T1", "kind": "spend", "state": "pending", "reason": "errcode_45009"});
        assert_eq!(bank.events(), [("fallback".to_owned(), data)], "{}", bank.world.test.name);
        bank.world.outside.refuse(TEMPLATE, vec![-1; 60]);
        bank.advance(14 * 3600).await;
        bank.advance(8 * 3600).await;
        assert_eq!(bank.swiped("T1").await.0, State::Pending);
        bank.advance(3 * 3600).await;
        bank.advance(120).await;
        assert_eq!(bank.swiped("T1").await, (State::Failed, Some("expired".to_owned())));
        let kinds: Vec<_> = bank.events().into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(kinds, ["fallback", "delivery"]);
    }
}

#[tokio::test]
async fn unreachable_followers_are_told_to_the_bank_at_once() {
    for bank in banks().await {
        bank.world.bind("o1", "C10001").await;
        bank.world.outside.refuse(TEMPLATE, [43004]);
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("T1").await, (State::Unreachable, Some("errcode_43004".to_owned())));
        // Two events of one commit may overtake each other.
        let mut kinds: Vec<_> = bank.events().into_iter().map(|(kind, _)| kind).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["delivery", "fallback"], "{}", bank.world.test.name);
        // WeChat has said that he does not follow: the next is not even tried.
        bank.accept(Family::Transaction, &[swipe("T2")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("T2").await, (State::Unreachable, Some("not_following".to_owned())));
        assert_eq!(bank.world.outside.seen(TEMPLATE).len(), 1);
    }
}

#[tokio::test]
async fn notices_use_their_templates_and_keep_their_own_ids() {
    for bank in banks().await {
        bank.world.bind("o1", "C10001").await;
        let notice = json!({"notice_id": "T1", "customer_id": "C10001", "kind": "bill_due",
            "fields": {"card": "1234", "amount": "¥1,234.50"}});
        let taken = bank.accept(Family::Notice, &[notice, json!({"notice_id": "N2"}), json!(5)]).await;
        assert_eq!((taken.accepted, taken.rejected.len()), (1, 2));
        assert_eq!(taken.rejected[0].id.as_deref(), Some("N2"));
        assert_eq!(
            taken.rejected[1],
            Rejected { index: 2, id: None, error: "item: must be an object".to_owned() }
        );
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        let mut templates: Vec<_> = bank
            .world
            .outside
            .seen(TEMPLATE)
            .into_iter()
            .map(|seen| seen.body["template_id"].clone())
            .collect();
        templates.sort_by_key(Value::to_string);
        assert_eq!(templates, ["tpl-due", "tpl-spend"], "{}", bank.world.test.name);
        let due = bank.world.outside.seen(TEMPLATE);
        let due = due.iter().find(|seen| seen.body["template_id"] == "tpl-due").unwrap();
        assert_eq!(due.body["data"]["amount2"]["value"], "¥1234.50");
        assert_eq!(due.body["data"]["thing3"]["value"], "请按时还款");
        assert_eq!(bank.state(Family::Notice, "T1").await.0, State::Sent);
    }
}

#[tokio::test]
async fn the_same_id_with_another_body_is_a_duplicate_and_is_audited() {
    for bank in banks().await {
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        let mut other = swipe("T1");
        other["amount"]["value"] = json!("999.00");
        let reordered: Value = serde_json::from_str(&swipe("T1").to_string()).unwrap();
        let plain = bank.alerts.intake(Family::Transaction, &[reordered]).await.unwrap();
        assert_eq!((plain.taken.duplicates, plain.writes.len()), (1, 0), "the same body leaves no trace");
        let changed = bank.alerts.intake(Family::Transaction, &[other]).await.unwrap();
        assert_eq!((changed.taken.duplicates, changed.writes.len()), (1, 1), "{}", bank.world.test.name);
    }
}

#[tokio::test]
async fn two_intakes_of_one_file_at_once_accept_each_item_once() {
    for bank in banks().await {
        let items: Vec<Value> = (0..120).map(|number| swipe(&format!("T{number}"))).collect();
        let first = bank.alerts.intake(Family::Transaction, &items).await.unwrap();
        let second = bank.alerts.intake(Family::Transaction, &items).await.unwrap();
        let commit = |intake: &Intake| {
            let mut commit = Commit::new(0);
            commit.extend(intake.writes.clone());
            bank.world.store().commit(commit)
        };
        let (first, second) = tokio::join!(commit(&first), commit(&second));
        assert!(first.is_ok() != second.is_ok(), "{}: exactly one stands", bank.world.test.name);
        assert_eq!(bank.alerts.intake(Family::Transaction, &items).await.unwrap().taken.duplicates, 120);
    }
}

#[tokio::test]
async fn a_full_backlog_is_known() {
    for test in stores().await {
        let mut world = World::new(test);
        let mut config = (*world.config).clone();
        config.api.backlog_max = 2;
        world.config = Arc::new(config);
        let bank = bank(world);
        assert!(!bank.alerts.is_full().await.unwrap());
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        assert!(!bank.alerts.is_full().await.unwrap());
        bank.accept(Family::Transaction, &[swipe("T2")]).await;
        assert!(bank.alerts.is_full().await.unwrap(), "{}", bank.world.test.name);
        bank.work().await;
        bank.world.test.clock.advance(Duration::from_secs(1));
        assert!(!bank.alerts.is_full().await.unwrap(), "suppressed ones are settled");
    }
}

#[tokio::test]
async fn a_binding_that_ended_before_the_send_is_respected() {
    for bank in banks().await {
        let follower = bank.world.bind("o1", "C10001").await;
        bank.outbound.parts().tend().await.unwrap();
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.alerts.step().await;
        let customer = crate::domain::ids::CustomerId::parse("C10001").unwrap();
        let store = bank.world.store();
        bank.world.commit(vec![store.delete_binding(&bank.world.account(), follower, &customer)]).await;
        bank.work().await;
        assert_eq!(bank.swiped("T1").await, suppressed("no_binding"), "{}", bank.world.test.name);
        assert!(bank.world.outside.seen(TEMPLATE).is_empty());
        assert!(bank.world.test.clock.now().0 > 0);
    }
}
