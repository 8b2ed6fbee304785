//! What the planner decides, carried out: settings, quiet hours, the second way, clocks that jump.

use super::*;
use crate::domain::ids::Openid;

#[tokio::test]
async fn a_threshold_holds_for_the_next_purchase_and_never_for_what_must_be_told() {
    for bank in banks().await {
        let follower = bank.world.bind("o1", "C10001").await;
        let threshold_fen = Some(20_000);
        bank.settles(follower, AlertChange { threshold_fen, ..AlertChange::default() }).await;
        let mut foreign = swipe("dollars");
        foreign["amount"] = json!({"value": "1.00", "currency": "USD"});
        let mut billed = foreign.clone();
        billed["transaction_id"] = json!("billed");
        billed["billing_amount"] = json!({"value": "7.20", "currency": "CNY"});
        let mut declined = swipe("declined");
        declined["type"] = json!("declined");
        let items = [swipe("small"), swipe_of("fits", "200.00"), foreign, billed, declined];
        bank.accept(Family::Transaction, &items).await;
        bank.work().await;
        assert_eq!(bank.swiped("small").await, suppressed("below_threshold"), "{}", bank.world.test.name);
        assert_eq!(bank.swiped("billed").await, suppressed("below_threshold"));
        assert_eq!(bank.swiped("fits").await.0, State::Sent);
        assert_eq!(bank.swiped("dollars").await.0, State::Sent, "nobody knows what it costs");
        assert_eq!(
            bank.swiped("declined").await,
            suppressed("notice_not_configured"),
            "the threshold is not asked"
        );
        bank.settles(follower, AlertChange { threshold_fen: Some(0), ..AlertChange::default() }).await;
        bank.accept(Family::Transaction, &[swipe("next")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("next").await.0, State::Sent);
    }
}

#[tokio::test]
async fn what_waits_in_quiet_hours_becomes_one_digest_and_each_item_has_its_verdict() {
    for bank in banks().await {
        let name = bank.world.test.name;
        let follower = bank.world.bind("o1", "C10001").await;
        bank.settles(follower, quiet("09:00-12:00")).await;
        let items = [swipe("T1"), swipe_of("T2", "100.00"), swipe_of("dear", "500.00")];
        bank.accept(Family::Transaction, &items).await;
        bank.work().await;
        assert_eq!(bank.templates(), ["tpl-spend"], "{name}: only what is dear is told at once");
        assert_eq!(bank.swiped("dear").await.0, State::Sent);
        for id in ["T1", "T2"] {
            assert_eq!(bank.swiped(id).await, (State::Pending, Some("quiet_hours".to_owned())), "{name}");
        }
        bank.advance(2 * 3600 - 1).await;
        assert_eq!(
            (bank.templates().len(), bank.events().len()),
            (1, 0),
            "{name}: by his own wish it is not late"
        );
        bank.advance(1).await;
        assert_eq!(bank.templates(), ["tpl-spend", "tpl-digest"], "{name}");
        let digest = bank.world.outside.seen(TEMPLATE).pop().unwrap().body["data"].clone();
        let expected = json!({"number1": {"value": "2"}, "amount2": {"value": "¥228.50"},
            "thing3": {"value": "1234"}, "time4": {"value": "2026-11-22 10:00"}});
        assert_eq!(digest, expected);
        for id in ["T1", "T2"] {
            assert_eq!(bank.swiped(id).await.0, State::Sent, "{name}");
        }
        // The token, the purchase, another token two hours later, the digest.
        let mut commit = Commit::new(0);
        commit.extend(bank.alerts.receipt_writes(&bank.world.account(), "4", "success"));
        bank.world.store().commit(commit).await.unwrap();
        bank.work().await;
        let view = bank.alerts.state(Family::Transaction, "T2").await.unwrap().unwrap();
        let history: Vec<_> = view.history.iter().map(|entry| entry.what).collect();
        assert_eq!(history, ["accepted", "held", "tried", "sent", "delivered"], "{name}");
        assert_eq!(view.verdict, Verdict::plain(State::Delivered));
        bank.advance(24 * 3600).await;
        assert_eq!(bank.templates().len(), 2, "{name}: told once");
        assert_eq!(bank.event_names(), ["delivery", "delivery"], "{name}");
    }
}

#[tokio::test]
async fn one_item_that_waited_leaves_as_itself_and_security_never_waits() {
    for bank in banks().await {
        let follower = bank.world.bind("o1", "C10001").await;
        bank.settles(follower, quiet("09:00-12:00")).await;
        let due = json!({"notice_id": "N1", "customer_id": "C10001", "kind": "bill_due", "fields": {"card": "1234"}});
        let mut soon = due.clone();
        soon["notice_id"] = json!("soon");
        soon["deadline"] = json!("2026-11-22T11:00:00+08:00");
        bank.accept(Family::Notice, &[due, soon]).await;
        bank.work().await;
        assert_eq!(
            bank.state(Family::Notice, "soon").await.0,
            State::Sent,
            "the bank wants it told by eleven"
        );
        assert_eq!(bank.templates().len(), 1, "{}", bank.world.test.name);
        bank.advance(2 * 3600).await;
        assert_eq!(bank.templates(), ["tpl-due", "tpl-due"], "{}", bank.world.test.name);
        assert_eq!(bank.state(Family::Notice, "N1").await.0, State::Sent);
    }
}

#[tokio::test]
async fn what_waits_for_somebody_who_leaves_falls_back_and_for_an_unbound_one_is_suppressed() {
    for bank in banks().await {
        let (store, account) = (bank.world.store(), bank.world.account());
        for (openid, customer, id) in [("o1", "C10001", "left"), ("o2", "C10002", "unbound")] {
            let follower = bank.world.bind(openid, customer).await;
            bank.settles(follower, quiet("09:00-12:00")).await;
            let mut item = swipe(id);
            item["customer_id"] = json!(customer);
            bank.accept(Family::Transaction, &[item]).await;
        }
        bank.work().await;
        let left = Verdict::new(State::Unreachable, "not_following");
        bank.world.commit(store.drop_alerts_of(&account, bank.world.follower("o1"), &left).into()).await;
        let customer = CustomerId::parse("C10002").unwrap();
        bank.world.commit(vec![store.delete_binding(&account, bank.world.follower("o2"), &customer)]).await;
        bank.work().await;
        assert_eq!(bank.swiped("left").await, (State::Unreachable, Some("not_following".to_owned())));
        assert_eq!(bank.event_names(), ["delivery", "fallback"], "{}", bank.world.test.name);
        bank.advance(2 * 3600).await;
        assert_eq!(bank.swiped("unbound").await, suppressed("no_binding"), "{}", bank.world.test.name);
        assert!(bank.templates().is_empty());
    }
}

#[tokio::test]
async fn with_the_quota_gone_an_open_window_is_the_second_way_as_far_as_the_ledger_allows() {
    for bank in banks().await {
        let name = bank.world.test.name;
        let follower = bank.world.bind("o1", "C10001").await;
        bank.world.writes(follower).await;
        bank.world.outside.refuse(TEMPLATE, [45009]);
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        assert_eq!((bank.templates().len(), bank.said().len()), (1, 1), "{name}");
        assert!(
            bank.said()[0].contains("¥128.50") && bank.said()[0].contains("尾号1234"),
            "{:?}",
            bank.said()
        );
        assert_eq!(bank.swiped("T1").await.0, State::Sent, "{name}");
        bank.accept(Family::Transaction, &[swipe("T2"), swipe("T3")]).await;
        bank.work().await;
        assert_eq!(
            (bank.templates().len(), bank.said().len()),
            (1, 2),
            "{name}: three sends are kept for answers"
        );
        let mut states = [bank.swiped("T2").await.0, bank.swiped("T3").await.0];
        states.sort_by_key(|state| state.name());
        assert_eq!(states, [State::Pending, State::Sent], "{name}");
        bank.advance(14 * 3600).await;
        bank.advance(60).await;
        assert_eq!(
            (bank.templates().len(), bank.said().len()),
            (2, 2),
            "{name}: the day's rest leaves at midnight"
        );
        assert_eq!([bank.swiped("T2").await.0, bank.swiped("T3").await.0], [State::Sent, State::Sent]);
    }
}

#[tokio::test]
async fn a_template_that_wechat_refuses_for_good_leaves_the_chat_if_its_window_is_open() {
    for bank in banks().await {
        let name = bank.world.test.name;
        let open = bank.world.bind("o1", "C10001").await;
        bank.world.bind("o2", "C10002").await;
        bank.world.writes(open).await;
        let mut closed = swipe("closed");
        closed["customer_id"] = json!("C10002");
        bank.world.outside.refuse(TEMPLATE, [40037, 40037]);
        bank.accept(Family::Transaction, &[swipe("open"), closed]).await;
        bank.work().await;
        assert_eq!(bank.swiped("open").await, (State::Sent, None), "{name}");
        assert_eq!(bank.swiped("closed").await, (State::Failed, Some("errcode_40037".to_owned())), "{name}");
        assert_eq!(
            (bank.said().len(), bank.event_names()),
            (1, vec!["delivery".into(), "fallback".into()]),
            "{name}"
        );
        let view = bank.alerts.state(Family::Transaction, "open").await.unwrap().unwrap();
        let ways: Vec<_> = view.history.iter().filter(|entry| entry.what == "planned").collect();
        assert_eq!(
            ways.iter().map(|way| way.reason.as_deref().unwrap()).collect::<Vec<_>>(),
            ["template", "customer_service"]
        );
    }
}

#[tokio::test]
async fn what_was_perhaps_sent_is_never_told_by_another_way() {
    for bank in banks().await {
        let name = bank.world.test.name;
        let follower = bank.world.bind("o1", "C10001").await;
        bank.world.writes(follower).await;
        let lost = || (502, Value::Null);
        bank.world.outside.answers(TEMPLATE, [lost(), (200, json!({"errcode": 40037, "errmsg": "no"}))]);
        bank.accept(Family::Transaction, &[swipe("template")]).await;
        bank.work().await;
        bank.advance(2).await;
        assert_eq!(bank.swiped("template").await.0, State::Failed, "{name}");
        assert!(bank.said().is_empty(), "{name}: the first try was perhaps delivered");
        bank.world.outside.refuse(TEMPLATE, [40037]);
        bank.world.outside.answers(CUSTOM, [lost()]);
        bank.accept(Family::Transaction, &[swipe("chat")]).await;
        bank.work().await;
        assert_eq!(bank.swiped("chat").await, (State::Failed, Some("unclear".to_owned())), "{name}");
        assert_eq!((bank.said().len(), bank.templates().len()), (1, 3), "{name}: never again");
        assert_eq!(bank.event_names(), ["delivery", "delivery", "fallback", "fallback"], "{name}");
    }
}

#[tokio::test]
async fn a_jumping_clock_loses_nothing_and_doubles_nothing() {
    for bank in banks().await {
        let name = bank.world.test.name;
        bank.world.bind("o1", "C10001").await;
        let start = bank.world.test.clock.now();
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.world.test.clock.set(start - Duration::from_secs(3600));
        bank.work().await;
        bank.accept(Family::Transaction, &[swipe("T2")]).await;
        bank.work().await;
        assert_eq!(
            bank.swiped("T2").await.0,
            State::Sent,
            "{name}: what comes after the jump leaves at once"
        );
        bank.world.test.clock.set(start);
        bank.work().await;
        assert_eq!(bank.swiped("T1").await.0, State::Sent, "{name}");
        bank.accept(Family::Transaction, &[swipe("T3")]).await;
        bank.advance(48 * 3600).await;
        bank.advance(120).await;
        assert_eq!(bank.swiped("T3").await, (State::Failed, Some("expired".to_owned())), "{name}");
        assert_eq!(bank.templates().len(), 2, "{name}");
        assert_eq!(bank.event_names(), ["delivery", "fallback"], "{name}");
    }
}

#[tokio::test]
async fn a_reversal_before_its_purchase_is_told_as_it_comes() {
    for bank in banks().await {
        bank.world.bind("o1", "C10001").await;
        let mut reversal = swipe("R1");
        reversal["type"] = json!("reversal");
        reversal["original_transaction_id"] = json!("T1");
        bank.accept(Family::Transaction, &[reversal]).await;
        bank.work().await;
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        assert_eq!(bank.templates(), ["tpl-refund", "tpl-spend"], "{}", bank.world.test.name);
        assert_eq!([bank.swiped("R1").await.0, bank.swiped("T1").await.0], [State::Sent, State::Sent]);
    }
}

#[tokio::test]
async fn reminders_beyond_the_banks_cap_are_suppressed() {
    for test in stores().await {
        let bank = bank(World::new(test));
        let file = "notices/bill_due.toml";
        let built_in = Content::built_in();
        let text = built_in.file(file).unwrap().text.replace("# cap = ", "cap = ");
        bank.alerts.set_kinds(Kinds::load(&built_in.with(file, &text)).unwrap());
        bank.world.bind("o1", "C10001").await;
        let due =
            |id: &str| json!({"notice_id": id, "customer_id": "C10001", "kind": "bill_due", "fields": {}});
        bank.accept(Family::Notice, &[due("N1")]).await;
        bank.work().await;
        bank.accept(Family::Notice, &[due("N2")]).await;
        bank.work().await;
        assert_eq!(bank.state(Family::Notice, "N1").await.0, State::Sent, "{}", bank.world.test.name);
        assert_eq!(bank.state(Family::Notice, "N2").await, suppressed("reminded_lately"));
        bank.advance(24 * 3600 + 1).await;
        bank.accept(Family::Notice, &[due("N3")]).await;
        bank.work().await;
        assert_eq!(bank.state(Family::Notice, "N3").await.0, State::Sent);
    }
}

#[tokio::test]
async fn a_late_alert_shows_when_the_purchase_truly_was() {
    for bank in banks().await {
        bank.world.bind("o1", "C10001").await;
        bank.world.outside.refuse(TEMPLATE, vec![-1; 3]);
        bank.accept(Family::Transaction, &[swipe("T1")]).await;
        bank.work().await;
        for _ in 0..3 {
            bank.advance(3 * 3600).await;
        }
        let last = bank.world.outside.seen(TEMPLATE).pop().unwrap();
        assert_eq!(last.body["data"]["time3"]["value"], "2026-11-22 10:00", "{}", bank.world.test.name);
        assert_eq!(bank.swiped("T1").await.0, State::Sent);
        assert_eq!(bank.event_names(), ["fallback"], "the bank was told in time that it is late");
    }
}

#[tokio::test]
async fn whoever_is_erased_between_acceptance_and_planning_or_before_the_send_is_not_told() {
    for bank in banks().await {
        let name = bank.world.test.name;
        let (store, clock) = (bank.world.store(), &bank.world.test.clock);
        let (identity, _) = crate::identity::testing::room(store, clock, bank.world.outside.url.clone());
        let openid = Openid::parse("o1").unwrap();
        for (id, is_planned) in [("T1", false), ("T2", true)] {
            let follower = bank.world.bind("o1", "C10001").await;
            bank.outbound.parts().tend().await.unwrap();
            bank.accept(Family::Transaction, &[swipe(id)]).await;
            if is_planned {
                assert_eq!(bank.alerts.step().await, 1, "{name}");
            }
            assert!(identity.erase("card", &openid).await.unwrap(), "{name}");
            bank.work().await;
            assert_eq!(bank.swiped(id).await, suppressed("no_binding"), "{name} {id}");
            assert!(store.openid(&bank.world.account(), follower).await.unwrap().is_none(), "{name}");
        }
        assert!(bank.templates().is_empty() && bank.said().is_empty(), "{name}");
        // Suppressed is no failure: it was the bank that had him erased.
        assert_eq!(bank.event_names(), ["delivery", "delivery"], "{name}");
    }
}
