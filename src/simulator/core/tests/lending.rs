//! What customers do with what they owe stays true across services: repayments, instalments, interest, limits, points.

use super::*;

impl World {
    /// A write under a key of its own.
    pub(super) async fn change(
        &self,
        customer: &str,
        operation: &str,
        params: Value,
    ) -> Result<Value, CoreError> {
        static CALLS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let key = format!("{operation}-{}", CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.ask_with_key(customer, operation, params, Some(&key)).await
    }

    async fn used(&self, customer: &str) -> i64 {
        fen(&self.ask(customer, "limit_query", json!({})).await.unwrap()["used"])
    }

    async fn remaining(&self, customer: &str) -> i64 {
        let bill = self.ask(customer, "bill_current", json!({})).await.unwrap();
        fen(&bill["amounts"][0]["remaining"])
    }
}

#[tokio::test]
async fn a_repayment_is_booked_once_and_seen_everywhere() {
    let world = World::start().await;
    let (owed, used) = (world.remaining("C10003").await, world.used("C10003").await);
    assert!(owed > 10_000);
    let pay = json!({ "amount": "100.00", "from_last4": "6688" });
    for _ in 0..2 {
        let paid = world.ask_with_key("C10003", "repay_now", pay.clone(), Some("once")).await.unwrap();
        assert_eq!(fen(&paid["remaining"]), owed - 10_000);
    }
    assert_eq!((world.remaining("C10003").await, world.used("C10003").await), (owed - 10_000, used - 10_000));
    let records = world.ask("C10003", "repay_records", json!({})).await.unwrap();
    assert_eq!(
        (fen(&records["repayments"][0]["amount"]), &records["repayments"][0]["way"]),
        (10_000, &json!("微信还款"))
    );
    let all = json!({ "amount": "full", "from_last4": "6688" });
    world.change("C10003", "repay_now", all.clone()).await.unwrap();
    assert_eq!(world.remaining("C10003").await, 0);
    assert_eq!(
        refusal(world.change("C10003", "repay_now", json!({ "amount": "full", "from_last4": "2266" })).await)
            .0,
        "nothing_owed"
    );
    let stranger = json!({ "amount": "1.00", "from_last4": "0000" });
    assert_eq!(refusal(world.change("C10003", "repay_now", stranger).await).0, "no_such_account");
    let too_much = json!({ "amount": "999999.00", "from_last4": "6688" });
    assert_eq!(refusal(world.change("C10003", "repay_now", too_much).await).0, "too_much");
    let world = world.restart().await;
    assert_eq!(world.remaining("C10003").await, 0, "the journal knows it");
}

#[tokio::test]
async fn an_instalment_leaves_the_bill_and_frees_the_limit_as_its_principal_is_repaid() {
    let world = World::start().await;
    world.swipe(json!({ "customer_id": "C10002", "merchant": "和风电器", "amount": yuan("1200.00") })).await;
    let purchases = world.ask("C10002", "inst_purchases", json!({})).await.unwrap();
    let purchase =
        purchases["purchases"].as_array().unwrap().iter().find(|one| one["amount"]["value"] == "1200.00");
    let id = purchase.unwrap()["transaction_id"].clone();
    let (used, unbilled) =
        (world.used("C10002").await, world.ask("C10002", "bill_unbilled", json!({})).await.unwrap());
    let billed_before = world.remaining("C10002").await;
    let apply = json!({ "transaction_id": id, "periods": 12 });
    let plan = world.change("C10002", "inst_txn_apply", apply.clone()).await.unwrap();
    assert_eq!((fen(&plan["payment"]), &plan["annual_rate"]), (10_720, &json!("13.03")));
    assert_eq!(world.used("C10002").await, used, "the limit stays used");
    assert_eq!(world.remaining("C10002").await, billed_before, "it is no payment towards the bill before");
    let after = world.ask("C10002", "bill_unbilled", json!({})).await.unwrap();
    assert_eq!(fen(&unbilled["totals"][0]["amount"]) - fen(&after["totals"][0]["amount"]), 120_000);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(refusal(world.change("C10002", "inst_txn_apply", apply).await).0, "already_planned");

    // The first period stands on the next statement; repaying it frees its principal, and no more.
    world.clock.advance(DAY * 17);
    let plans = world.ask("C10002", "inst_query", json!({})).await.unwrap();
    assert_eq!(
        (&plans["plans"][0]["periods_left"], fen(&plans["plans"][0]["principal_left"])),
        (&json!(11), 110_000)
    );
    let used = world.used("C10002").await;
    let bill = world.remaining("C10002").await;
    world.change("C10002", "repay_now", json!({ "amount": "full", "from_last4": "6688" })).await.unwrap();
    assert_eq!(world.used("C10002").await, used - bill);

    // Settling early books what is left with its fee, and the plan is gone.
    let settlement = &plans["plans"][0]["settlement"];
    assert_eq!(
        (fen(&settlement["fee"]), fen(&settlement["total"]), fen(&settlement["interest_saved"])),
        (3_300, 113_300, 7_920)
    );
    let used = world.used("C10002").await;
    let of = json!({ "plan_id": plan["plan_id"] });
    world.change("C10002", "inst_early_settle", of.clone()).await.unwrap();
    assert_eq!(world.used("C10002").await, used + 3_300);
    assert!(
        world.ask("C10002", "inst_query", json!({})).await.unwrap()["plans"].as_array().unwrap().is_empty()
    );
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(refusal(world.change("C10002", "inst_early_settle", of).await).0, "already_settled");
    world.clock.advance(DAY * 31);
    let detail = world.ask("C10002", "bill_detail", json!({ "merchant": "第2/12期" })).await.unwrap();
    assert_eq!(detail["count"], 0, "a settled plan is billed no more");
}

#[tokio::test]
async fn a_bill_in_instalments_is_lowered_and_eligibility_is_told() {
    let world = World::start().await;
    let owed = world.remaining("C10003").await;
    let apply = |amount: &str, periods: u32| json!({ "amount": amount, "periods": periods });
    let refused = async |amount: &str, periods: u32| {
        refusal(world.change("C10003", "inst_bill_apply", apply(amount, periods)).await).0
    };
    assert_eq!(refused("499.99", 12).await, "below_least");
    assert_eq!(refused("99999.00", 12).await, "above_most");
    assert_eq!(refused("600.00", 7).await, "unknown_periods");
    world.change("C10003", "inst_bill_apply", apply("600.00", 6)).await.unwrap();
    assert_eq!(world.remaining("C10003").await, owed - 60_000);
    let late = world.change("C10020", "inst_bill_apply", apply("600.00", 6)).await;
    assert_eq!(refusal(late).0, "overdue");
    let public = world.ask("", "inst_quote", json!({})).await.unwrap();
    assert_eq!((&public["most"], &public["annual_rate_max"]), (&Value::Null, &json!("13.86")));
    let twelve = public["options"].as_array().unwrap().iter().find(|option| option["periods"] == 12).unwrap();
    assert_eq!((fen(&twelve["payment"]), &twelve["annual_rate"]), (107_200, &json!("13.03")));
}

#[tokio::test]
async fn why_a_purchase_cannot_be_paid_in_instalments_is_told() {
    let world = World::start().await;
    let bought = async |merchant: &str, amount: &str, kind: &str| {
        let swipe =
            json!({ "customer_id": "C10002", "merchant": merchant, "amount": yuan(amount), "type": kind });
        world.swipe(swipe).await["transaction_id"].clone()
    };
    let refused = async |id: Value, periods: u32| {
        let apply = json!({ "transaction_id": id, "periods": periods });
        refusal(world.change("C10002", "inst_txn_apply", apply).await).0
    };
    let metro = bought("城市地铁", "600.00", "purchase").await;
    assert_eq!(refused(metro, 12).await, "excluded");
    let little = bought("和风电器", "499.99", "purchase").await;
    assert_eq!(refused(little, 12).await, "below_least");
    let hold = bought("和风电器", "600.00", "preauth").await;
    assert_eq!(refused(hold, 12).await, "not_posted");
    let month = json!({ "month": "2026-11", "page_size": 50 });
    let billed = world.ask("C10002", "bill_detail", month).await.unwrap();
    let billed = billed["transactions"].as_array().unwrap().iter().find(|one| one["type"] == "purchase");
    assert_eq!(refused(billed.unwrap()["transaction_id"].clone(), 12).await, "on_statement");
    // Few periods for little money: the table offers what the agreement takes.
    let fridge = bought("和风电器", "2999.99", "purchase").await;
    assert_eq!(refused(fridge.clone(), 24).await, "unknown_periods");
    let offered = async |amount: &str| {
        let quote = world.ask("C10002", "inst_quote", json!({ "amount": amount })).await.unwrap();
        quote["options"].as_array().unwrap().iter().map(|one| one["periods"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(offered("2999.99").await, [json!(3), json!(6), json!(12)]);
    assert_eq!(offered("3000.00").await, [json!(3), json!(6), json!(12), json!(24)]);
    assert!(
        world
            .change("C10002", "inst_txn_apply", json!({ "transaction_id": fridge, "periods": 12 }))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn interest_is_the_daily_balances_at_the_daily_rate_and_small_shortfalls_cost_nothing() {
    let world = World::start().await;
    let costs = world.ask("C10020", "bill_fee_interest", json!({})).await.unwrap();
    let interest = &costs["amounts"][0]["interest"];
    assert_eq!((&costs["daily_rate"], &costs["annual_rate"]), (&json!("0.05"), &json!("18.25")));
    assert_eq!(fen(&interest["amount"]), (fen(&interest["daily_balances"]) * 5 + 5_000) / 10_000);
    // Nine yuan short is within the tolerance; eleven is not.
    for (short, charged) in [(900, false), (1_100, true)] {
        let world = World::start().await;
        let owed = world.remaining("C10003").await;
        let amount =
            Money::from_minor(owed - short, crate::domain::money::Currency::cny()).unwrap().decimal();
        world.change("C10003", "repay_now", json!({ "amount": amount, "from_last4": "6688" })).await.unwrap();
        world.clock.advance(DAY * 17);
        let costs = world.ask("C10003", "bill_fee_interest", json!({})).await.unwrap();
        assert_eq!(!costs["amounts"][0]["interest"].is_null(), charged, "{short}");
    }
    // What the minimum costs is foretold exactly.
    let told = world.ask("C10003", "repay_min", json!({})).await.unwrap();
    world.clock.advance(DAY * 17);
    let costs = world.ask("C10003", "bill_fee_interest", json!({})).await.unwrap();
    assert_eq!(told["amounts"][0]["interest"], costs["amounts"][0]["interest"]["amount"]);
}

#[tokio::test]
async fn a_statement_day_limits_and_points_move_what_follows_from_them() {
    let world = World::start().await;
    let moved = world.change("C10002", "bill_date_change", json!({ "day": 20 })).await.unwrap();
    assert_eq!(
        (&moved["next_statement_date"], &moved["next_due_date"]),
        (&json!("2026-12-20"), &json!("2027-01-09"))
    );
    let dates = world.ask("C10002", "bill_date_query", json!({})).await.unwrap();
    assert_eq!((&dates["statement_day"], &dates["due_date_of_today"]), (&json!(20), &json!("2027-01-09")));
    assert_eq!(
        refusal(world.change("C10002", "bill_date_change", json!({ "day": 20 })).await).0,
        "unchanged"
    );
    assert_eq!(refusal(world.change("C10002", "bill_date_change", json!({ "day": 31 })).await).0, "bad_day");

    let limit = async || fen(&world.ask("C10002", "limit_query", json!({})).await.unwrap()["total"]);
    let before = limit().await;
    let granted =
        world.change("C10002", "limit_temp_apply", json!({ "amount": "8000.00", "days": 30 })).await.unwrap();
    assert_eq!((&granted["granted"], limit().await), (&json!(true), before + 800_000));
    world.clock.advance(DAY * 31);
    assert_eq!(limit().await, before);
    let review = world.change("C10002", "limit_perm_apply", json!({ "amount": "500000.00" })).await.unwrap();
    assert_eq!((&review["granted"], limit().await), (&json!(false), before));
    let progress = world.ask("C10002", "limit_adjust_progress", json!({})).await.unwrap();
    assert_eq!(
        (&progress["requests"][0]["state"], &progress["requests"][1]["state"]),
        (&json!("review"), &json!("granted"))
    );

    let points =
        async || world.ask("C10002", "points_query", json!({})).await.unwrap()["points"].as_i64().unwrap();
    let before = points().await;
    let redeemed = world.change("C10002", "points_redeem", json!({ "reward_id": "coffee" })).await.unwrap();
    assert_eq!((points().await, &redeemed["points_left"]), (before - 900, &json!(before - 900)));
    world.change("C10002", "points_donate", json!({ "project_id": "reading", "parts": 2 })).await.unwrap();
    assert_eq!(points().await, before - 1_900);
    let lines = world.ask("C10002", "points_detail", json!({})).await.unwrap();
    assert_eq!((&lines["lines"][0]["rule"], &lines["lines"][0]["points"]), (&json!("spent"), &json!(-1000)));
    let beyond = json!({ "reward_id": "suitcase" });
    assert_eq!(refusal(world.change("C10002", "points_redeem", beyond).await).0, "not_enough_points");
}

#[tokio::test]
async fn an_agreement_to_draw_repayments_works_on_the_due_date_and_can_be_ended() {
    let world = World::start().await;
    let set = json!({ "part": "minimum", "from_last4": "2266" });
    world.change("C10003", "repay_auto_set", set.clone()).await.unwrap();
    assert_eq!(
        refusal(
            world
                .change("C10003", "repay_auto_set", json!({ "from_last4": "2266", "part": "minimum" }))
                .await
        )
        .0,
        "unchanged"
    );
    world.swipe(json!({ "customer_id": "C10003", "merchant": "和风电器", "amount": yuan("3000.00") })).await;
    world.clock.advance(DAY * 37);
    let bill = world.ask("C10003", "bill_current", json!({})).await.unwrap();
    assert_eq!(bill["amounts"][0]["paid"], bill["amounts"][0]["minimum_due"]);
    let ended = world.change("C10004", "repay_auto_cancel", json!({})).await.unwrap();
    assert_eq!(ended["from_last4"], "6688");
    let due = world.ask("C10004", "due_date_query", json!({})).await.unwrap();
    assert_eq!(due["auto_repayment"]["on"], false);
}

#[tokio::test]
async fn after_another_phone_number_nothing_is_lent_for_a_day() {
    let world = World::start().await;
    let changed = json!({ "part": "phone", "value": "13900139000" });
    let changed = world.change("C10001", "profile_update", changed).await.unwrap();
    assert!(changed["cooling_until"].as_str().is_some_and(|until| until.len() > 10), "{changed}");
    let raise = json!({ "amount": "40000" });
    let cash = json!({ "amount": "5000.00", "periods": 12, "purpose": "旅游", "to_last4": "6688" });
    let world = world.restart().await;
    for (operation, params) in [("limit_perm_apply", &raise), ("inst_cash_apply", &cash)] {
        assert_eq!(refusal(world.change("C10001", operation, params.clone()).await).0, "cooling");
    }
    world.clock.advance(Duration::from_secs(24 * 3600));
    for (operation, params) in [("limit_perm_apply", &raise), ("inst_cash_apply", &cash)] {
        world.change("C10001", operation, params.clone()).await.unwrap();
    }
    let address = json!({ "part": "email", "value": "li@example.com" });
    let mail = world.change("C10002", "profile_update", address).await.unwrap();
    assert_eq!(mail["cooling_until"], Value::Null, "only the phone");
}
