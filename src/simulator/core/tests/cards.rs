//! Locks, freezes, holds and use abroad: the next swipe obeys.

use super::*;

fn purchase(value: &str) -> Value {
    json!({ "customer_id": "C10002", "merchant": "星河超市", "amount": yuan(value) })
}

fn on_the_net(value: &str) -> Value {
    json!({ "customer_id": "C10002", "merchant": "星河数码", "amount": yuan(value), "channel": "online" })
}

async fn status(world: &World) -> Value {
    world.ask("C10002", "card_list", json!({})).await.unwrap()["cards"][0]["status"].clone()
}

async fn attempts(world: &World) -> Vec<[Value; 2]> {
    let told = world.ask("C10002", "card_declined_reason", json!({})).await.unwrap();
    let attempts = told["attempts"].as_array().unwrap();
    attempts.iter().map(|one| [one["reason"].clone(), one["remedy"].clone()]).collect()
}

#[tokio::test]
async fn a_locked_card_buys_nothing_until_a_code_unlocks_it_also_over_a_restart() {
    let world = World::start().await;
    let card = json!({ "card_id": "K1" });
    let locked = world.ask("C10002", "card_lock", card.clone()).await.unwrap();
    assert_eq!(locked["already"], false);
    assert_eq!(world.ask("C10002", "card_lock", card.clone()).await.unwrap()["already"], true);
    let world = world.restart().await;
    assert_eq!(status(&world).await, "locked");
    assert_eq!(world.swipe(purchase("10.00")).await["decline_reason"], "card_locked");
    assert_eq!(attempts(&world).await, [[json!("card_locked"), json!("unlock")]]);
    let refund =
        json!({ "customer_id": "C10002", "type": "refund", "merchant": "星河超市", "amount": yuan("1.00") });
    assert_eq!(world.swipe(refund).await["declined"], false, "what comes back still comes");
    let unproved = refusal(world.ask_unproved("C10002", "card_unlock", card.clone()).await);
    assert_eq!(unproved.0, "step_up_required");
    let unlocked = world.ask_proved("C10002", "card_unlock", card.clone()).await.unwrap();
    assert_eq!(unlocked["blocked"], 1);
    assert_eq!(world.swipe(purchase("10.00")).await["declined"], false);
    assert_eq!(refusal(world.ask_proved("C10002", "card_unlock", card).await).0, "not_locked");
}

#[tokio::test]
async fn a_part_of_a_card_is_locked_for_itself_and_everything_is_unlocked_together() {
    let world = World::start().await;
    let lock = |part: &str| json!({ "card_id": "K1", "part": part });
    assert_eq!(world.ask("C10002", "card_lock", lock("online")).await.unwrap()["already"], false);
    assert_eq!(world.swipe(on_the_net("10.00")).await["decline_reason"], "card_locked");
    assert_eq!(world.swipe(purchase("10.00")).await["declined"], false);
    assert_eq!(status(&world).await, "active");
    let night = world.ask("C10002", "card_lock", lock("night")).await.unwrap();
    assert_eq!((&night["already"], &night["hours"]), (&json!(false), &json!("23:00–6:00")));
    // Ten in the morning, an hour before midnight, six in the morning.
    assert_eq!(world.swipe(purchase("10.00")).await["declined"], false);
    world.clock.advance(Duration::from_secs(13 * 3600));
    let world = world.restart().await;
    assert_eq!(world.swipe(purchase("10.00")).await["decline_reason"], "card_locked");
    world.clock.advance(Duration::from_secs(7 * 3600));
    assert_eq!(world.swipe(purchase("10.00")).await["declined"], false);
    // Who locks all of it has locked its parts.
    assert_eq!(world.ask("C10002", "card_lock", lock("all")).await.unwrap()["already"], false);
    assert_eq!(world.ask("C10002", "card_lock", lock("night")).await.unwrap()["already"], true);
    assert_eq!(status(&world).await, "locked");
    let unlocked = world.ask_proved("C10002", "card_unlock", json!({ "card_id": "K1" })).await.unwrap();
    assert_eq!(unlocked["blocked"], 2, "those on the net and at night");
    assert_eq!(world.swipe(on_the_net("10.00")).await["declined"], false);
}

#[tokio::test]
async fn abroad_a_card_is_declined_until_a_code_opens_it_for_its_hours() {
    let world = World::start().await;
    let abroad = json!({ "customer_id": "C10002", "merchant": "Tokyo Mart", "amount": { "value": "30.00", "currency": "USD" } });
    assert_eq!(world.swipe(abroad.clone()).await["decline_reason"], "overseas_off");
    let in_yuan =
        json!({ "customer_id": "C10002", "merchant": "Tokyo Mart", "amount": yuan("5.00"), "country": "JP" });
    assert_eq!(world.swipe(in_yuan).await["decline_reason"], "overseas_off");
    assert_eq!(attempts(&world).await[0], [json!("overseas_off"), json!("open_overseas")]);
    let open = json!({ "card_id": "K1", "on": "true", "hours": "24" });
    let unproved = refusal(world.ask_unproved("C10002", "card_overseas_switch", open.clone()).await);
    assert_eq!(unproved.0, "step_up_required");
    let opened = world.ask_proved("C10002", "card_overseas_switch", open.clone()).await.unwrap();
    assert_eq!(opened["until"], "2026-11-23T10:00:00+08:00");
    assert_eq!(world.swipe(abroad.clone()).await["declined"], false);
    world.clock.advance(DAY);
    assert_eq!(world.swipe(abroad.clone()).await["decline_reason"], "overseas_off", "its hours are over");
    world.ask_proved("C10002", "card_overseas_switch", open).await.unwrap();
    let close = json!({ "card_id": "K1", "on": "false" });
    assert_eq!(world.ask("C10002", "card_overseas_switch", close).await.unwrap()["on"], false);
    assert_eq!(world.swipe(abroad).await["decline_reason"], "overseas_off", "off works at once");
}

#[tokio::test]
async fn a_suspicious_purchase_holds_the_card_until_its_holder_says_that_it_was_he() {
    let world = World::start().await;
    for (value, by_its_own_decision) in [("6800.00", true), ("12000.00", false)] {
        let answer = world.swipe(on_the_net(value)).await;
        assert_eq!(answer["decline_reason"], "suspected_fraud");
        assert_eq!(status(&world).await, "held");
        assert_eq!(world.swipe(purchase("10.00")).await["decline_reason"], "card_held");
        let it_was_me = json!({ "transaction_id": answer["transaction_id"] });
        if !by_its_own_decision {
            let unproved = refusal(world.ask_unproved("C10002", "fraud_confirm", it_was_me.clone()).await);
            assert_eq!(unproved.0, "step_up_required");
            assert_eq!(status(&world).await, "held");
        }
        let confirmed = world.ask_proved("C10002", "fraud_confirm", it_was_me.clone()).await.unwrap();
        assert_eq!(confirmed["lifted"], true);
        assert_eq!(world.swipe(purchase("10.00")).await["declined"], false);
        let again = world.ask_proved("C10002", "fraud_confirm", it_was_me).await.unwrap();
        assert_eq!(again["lifted"], false);
    }
    let unknown = refusal(world.ask("C10002", "fraud_confirm", json!({ "transaction_id": "T?" })).await);
    assert_eq!(unknown.0, "unknown_transaction");
}

#[tokio::test]
async fn a_denied_purchase_freezes_the_card_and_has_one_case_until_staff_release_it() {
    let world = World::start().await;
    let id = world.swipe(purchase("88.00")).await["transaction_id"].clone();
    let denied = json!({ "card_id": "K1", "transaction_id": id });
    let case = world.ask("C10002", "fraud_deny", denied.clone()).await.unwrap();
    assert_eq!(case["case_no"], "F20261122000001");
    assert_eq!(world.ask("C10002", "fraud_deny", denied).await.unwrap(), case, "one purchase, one case");
    assert_eq!(status(&world).await, "frozen");
    assert_eq!(world.swipe(purchase("1.00")).await["decline_reason"], "card_frozen");
    let card = json!({ "card_id": "K1" });
    assert_eq!(refusal(world.ask_proved("C10002", "card_unlock", card).await).0, "frozen");
    let confirm = json!({ "transaction_id": id });
    assert_eq!(refusal(world.ask_proved("C10002", "fraud_confirm", confirm).await).0, "frozen");
    let foreign = json!({ "card_id": "K1", "transaction_id": "T?" });
    assert_eq!(refusal(world.ask("C10002", "fraud_deny", foreign).await).0, "unknown_transaction");
    assert_eq!(world.post("/sandbox/cards/C10002/K1/release", json!({})).await.0, 200);
    assert_eq!(world.swipe(purchase("1.00")).await["declined"], false);
}

#[tokio::test]
async fn a_lost_card_comes_back_under_another_tail_and_works_once_it_is_activated() {
    let world = World::start().await;
    let card = json!({ "card_id": "K1" });
    let lost = json!({ "card_id": "K1", "reason": "lost" });
    assert_eq!(refusal(world.ask("C10002", "card_replace", lost.clone()).await).0, "not_lost");
    assert_eq!(world.ask("C10002", "card_report_loss", card.clone()).await.unwrap()["already"], false);
    assert_eq!(status(&world).await, "lost");
    assert_eq!(world.swipe(purchase("1.00")).await["decline_reason"], "card_lost");
    let unproved = refusal(world.ask_proved("C10002", "card_cancel_loss", card.clone()).await);
    assert_eq!(unproved.0, "step_up_required", "a one-time code is no PIN");
    let renewed = world.ask_proved("C10002", "card_replace", lost).await.unwrap();
    assert_ne!(renewed["new_last4"], "1234");
    let world = world.restart().await;
    let cards = world.ask("C10002", "card_list", json!({})).await.unwrap();
    assert_eq!(
        (&cards["cards"][0]["last4"], &cards["cards"][0]["status"]),
        (&renewed["new_last4"], &json!("inactive"))
    );
    assert_eq!(world.swipe(purchase("1.00")).await["decline_reason"], "card_inactive");
    assert!(world.ask_proved("C10002", "card_activate", card.clone()).await.is_ok());
    assert_eq!(world.swipe(purchase("1.00")).await["declined"], false);
    assert_eq!(refusal(world.ask_proved("C10002", "card_cancel_loss", card).await).0, "not_lost");
}

#[tokio::test]
async fn a_first_card_that_was_applied_for_online_is_activated_after_an_interview() {
    let world = World::start().await;
    let card = json!({ "card_id": "K1" });
    let refused = refusal(world.ask_proved("C10019", "card_activate", card.clone()).await);
    assert_eq!(refused.0, "interview_required");
    let slots = world.ask("C10019", "interview_slots", json!({})).await.unwrap();
    let slot = json!({ "slot_id": slots["slots"][0]["slot_id"] });
    assert!(world.ask("C10019", "interview_book", slot.clone()).await.is_ok());
    assert_eq!(refusal(world.ask("C10019", "interview_book", slot).await).0, "already_open");
    assert_eq!(
        refusal(world.ask_proved("C10019", "card_activate", card.clone()).await).0,
        "interview_required"
    );
    world.clock.advance(DAY);
    assert!(world.ask_proved("C10019", "card_activate", card).await.is_ok());
}
