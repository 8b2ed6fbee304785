//! Money adds up: bills are the sums of their transactions, limits follow what is owed.

use super::*;

/// All bookings of a statement month, over all pages.
async fn bookings(world: &World, customer: &str, card: &str, month: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for page in 1.. {
        let params = json!({ "card_id": card, "month": month, "page": page, "page_size": 7 });
        let detail = world.ask(customer, "bill_detail", params).await.unwrap();
        all.extend(detail["transactions"].as_array().unwrap().clone());
        if page >= detail["pages"].as_i64().unwrap() {
            assert_eq!(detail["count"], all.len());
            return all;
        }
    }
    unreachable!("pages end")
}

#[tokio::test]
async fn every_bill_is_the_sum_of_its_transactions() {
    let world = World::start().await;
    for number in 1..=20 {
        let customer = format!("C{}", 10_000 + number);
        let cards = world.ask(&customer, "card_list", json!({})).await.unwrap();
        for card in cards["cards"].as_array().unwrap() {
            let card = card["card_id"].as_str().unwrap();
            let bill = world.ask(&customer, "bill_current", json!({ "card_id": card })).await.unwrap();
            let month = bill["month"].as_str().unwrap();
            assert_eq!((month, &bill["due_date"]), ("2026-11", &json!("2026-11-28")));
            let bookings = bookings(&world, &customer, card, month).await;
            for amounts in bill["amounts"].as_array().unwrap() {
                let currency = &amounts["amount_due"]["currency"];
                let of_currency =
                    bookings.iter().map(|one| &one["amount"]).filter(|one| one["currency"] == *currency);
                let signed: Vec<i64> = of_currency.map(fen).collect();
                let charges: i64 = signed.iter().filter(|fen| **fen > 0).sum();
                let credits: i64 = signed.iter().filter(|fen| **fen < 0).sum();
                assert_eq!((fen(&amounts["new_charges"]), fen(&amounts["credits"])), (charges, -credits));
                let balance = fen(&amounts["previous_balance"]) + charges + credits;
                assert_eq!(fen(&amounts["amount_due"]), balance.max(0), "{customer} {card} {currency}");
                assert!(fen(&amounts["minimum_due"]) <= fen(&amounts["amount_due"]));
                assert!(charges > 0, "an account without life shows nothing");
            }
            let history = world.ask(&customer, "bill_history", json!({ "card_id": card })).await.unwrap();
            assert_eq!(history["bills"].as_array().unwrap().len(), 12);
        }
    }
}

#[tokio::test]
async fn what_is_available_is_the_total_less_what_is_used() {
    let world = World::start().await;
    for number in 1..=20 {
        let limit = world.ask(&format!("C{}", 10_000 + number), "limit_query", json!({})).await.unwrap();
        let parts: i64 = limit["used_by"].as_array().unwrap().iter().map(|part| fen(&part["amount"])).sum();
        let temporary = if limit["temporary"].is_null() { 0 } else { fen(&limit["temporary"]["amount"]) };
        assert_eq!(fen(&limit["total"]), fen(&limit["fixed"]) + temporary);
        assert_eq!(fen(&limit["used"]), parts);
        assert_eq!(fen(&limit["available"]), fen(&limit["total"]) - parts);
        assert!(fen(&limit["available"]) > 0);
    }
}

#[tokio::test]
async fn a_swipe_moves_what_is_unbilled_the_limit_and_the_points() {
    let world = World::start().await;
    let look = async || {
        let unbilled = world.ask("C10002", "bill_unbilled", json!({})).await.unwrap();
        let limit = world.ask("C10002", "limit_query", json!({})).await.unwrap();
        let points = world.ask("C10002", "points_query", json!({})).await.unwrap();
        (unbilled, limit, points)
    };
    let (unbilled, limit, points) = look().await;
    let answer = world
        .swipe(json!({ "customer_id": "C10002", "merchant": "星河超市", "amount": yuan("128.50") }))
        .await;
    assert_eq!(answer["declined"], false);
    let (unbilled_after, limit_after, points_after) = look().await;
    assert_eq!(fen(&unbilled_after["totals"][0]["amount"]) - fen(&unbilled["totals"][0]["amount"]), 12_850);
    assert_eq!(unbilled_after["latest"][0]["transaction_id"], answer["transaction_id"]);
    assert_eq!(fen(&limit["available"]) - fen(&limit_after["available"]), 12_850);
    assert_eq!(answer["available_credit"], limit_after["available"]);
    assert_eq!(points_after["points"].as_i64().unwrap() - points["points"].as_i64().unwrap(), 128);
}

#[tokio::test]
async fn what_exceeds_the_limit_is_declined_and_moves_nothing() {
    let world = World::start().await;
    let before = world.ask("C10002", "limit_query", json!({})).await.unwrap();
    let beyond =
        Money::from_minor(fen(&before["available"]) + 1, crate::domain::money::Currency::cny()).unwrap();
    let body = json!({ "customer_id": "C10002", "merchant": "和风电器", "amount": yuan(&beyond.decimal()) });
    let answer = world.swipe(body).await;
    assert_eq!(
        (&answer["declined"], &answer["decline_reason"]),
        (&json!(true), &json!("insufficient_credit"))
    );
    assert_eq!(world.ask("C10002", "limit_query", json!({})).await.unwrap(), before);
    let cash = json!({ "customer_id": "C10002", "type": "cash_advance", "amount": yuan("25000.00") });
    assert_eq!(world.swipe(cash).await["declined"], true, "cash is only a share of the limit");
    let foreign =
        json!({ "customer_id": "C10002", "merchant": "X", "amount": { "value": "1.00", "currency": "THB" } });
    assert_eq!(world.swipe(foreign).await["decline_reason"], "currency_not_supported");
}

#[tokio::test]
async fn a_preauthorisation_holds_the_limit_for_its_days_and_is_never_billed() {
    let world = World::start().await;
    let before = world.ask("C10003", "limit_query", json!({})).await.unwrap();
    let unbilled = world.ask("C10003", "bill_unbilled", json!({})).await.unwrap();
    let hold = json!({ "customer_id": "C10003", "merchant": "云上酒店", "amount": yuan("800.00"), "type": "preauth" });
    world.swipe(hold).await;
    let during = world.ask("C10003", "limit_query", json!({})).await.unwrap();
    assert_eq!(fen(&before["available"]) - fen(&during["available"]), 80_000);
    assert_eq!(world.ask("C10003", "bill_unbilled", json!({})).await.unwrap(), unbilled);
    world.clock.advance(DAY * 30);
    let after = world.ask("C10003", "limit_query", json!({})).await.unwrap();
    assert!(!after["used_by"].as_array().unwrap().iter().any(|part| part["reason"] == "preauth"));
}

#[tokio::test]
async fn currencies_are_kept_apart_and_others_are_billed_in_yuan() {
    let world = World::start().await;
    let unbilled = async || world.ask("C10001", "bill_unbilled", json!({ "card_id": "K2" })).await.unwrap();
    let before = unbilled().await;
    let swipe = |value: &str, currency: &str| {
        let amount = json!({ "value": value, "currency": currency });
        json!({ "customer_id": "C10001", "card_id": "K2", "merchant": "HARBOR", "amount": amount })
    };
    world.swipe(swipe("20.00", "USD")).await;
    world.swipe(swipe("100.00", "HKD")).await;
    let after = unbilled().await;
    let moved =
        |place: usize| fen(&after["totals"][place]["amount"]) - fen(&before["totals"][place]["amount"]);
    assert_eq!(after["totals"][1]["amount"]["currency"], "USD");
    assert_eq!((moved(0), moved(1)), (9_100, 2_000));
    let latest = after["latest"].as_array().unwrap();
    let foreign = latest.iter().find(|one| !one["original_amount"].is_null()).unwrap();
    assert_eq!(foreign["original_amount"], json!({ "value": "100.00", "currency": "HKD" }));
    let yen = swipe("12.5", "JPY");
    assert_eq!(world.post("/sandbox/swipe", yen).await.0, 400, "yen have no decimals");
}

#[tokio::test]
async fn a_repayment_lowers_the_bill_and_frees_the_limit() {
    let world = World::start().await;
    let bill = world.ask("C10003", "bill_current", json!({})).await.unwrap();
    let limit = world.ask("C10003", "limit_query", json!({})).await.unwrap();
    let remaining = bill["amounts"][0]["remaining"].clone();
    assert!(fen(&remaining) > 0, "this customer pays in two parts");
    let answer =
        world.swipe(json!({ "customer_id": "C10003", "type": "repayment", "amount": remaining })).await;
    let after = world.ask("C10003", "bill_current", json!({})).await.unwrap();
    assert_eq!(fen(&after["amounts"][0]["remaining"]), 0);
    let freed = world.ask("C10003", "limit_query", json!({})).await.unwrap();
    assert_eq!(fen(&freed["available"]) - fen(&limit["available"]), fen(&remaining));
    assert_eq!(answer["available_credit"], freed["available"]);
}

#[tokio::test]
async fn the_statement_day_rolls_what_was_unbilled_into_the_bill() {
    let world = World::start().await;
    world.swipe(json!({ "customer_id": "C10002", "merchant": "星河超市", "amount": yuan("77.70") })).await;
    let unbilled = world.ask("C10002", "bill_unbilled", json!({})).await.unwrap();
    let dates = world.ask("C10002", "bill_date_query", json!({})).await.unwrap();
    assert_eq!(
        (&dates["next_statement_date"], &dates["days_to_statement"]),
        (&json!("2026-12-08"), &json!(16))
    );
    assert_eq!(
        (&dates["due_date_of_today"], &dates["interest_free_days_today"]),
        (&json!("2026-12-28"), &json!(36))
    );
    world.clock.advance(DAY * 17);
    let bill = world.ask("C10002", "bill_current", json!({})).await.unwrap();
    assert_eq!((&bill["month"], &bill["statement_date"]), (&json!("2026-12"), &json!("2026-12-08")));
    assert_eq!(bill["amounts"][0]["new_charges"], unbilled["totals"][0]["amount"]);
    let after = world.ask("C10002", "bill_unbilled", json!({})).await.unwrap();
    assert_eq!((&after["count"], fen(&after["totals"][0]["amount"])), (&json!(0), 0));
}

#[tokio::test]
async fn only_the_last_customer_is_overdue_and_pays_a_late_fee() {
    let world = World::start().await;
    for number in 1..=20 {
        let customer = format!("C{}", 10_000 + number);
        let bill = world.ask(&customer, "bill_current", json!({})).await.unwrap();
        let due = world.ask(&customer, "due_date_query", json!({})).await.unwrap();
        assert_eq!(bill["overdue"], number == 20, "{customer}");
        assert_eq!(due["overdue_days"].as_i64().unwrap() > 0, number == 20, "{customer}");
    }
    let due = world.ask("C10020", "due_date_query", json!({})).await.unwrap();
    assert_eq!((&due["due_date"], &due["overdue_days"]), (&json!("2026-10-28"), &json!(25)));
    let fees = world.ask("C10020", "bill_detail", json!({ "merchant": "违约金" })).await.unwrap();
    assert_eq!((&fees["count"], &fees["transactions"][0]["booked_on"]), (&json!(1), &json!("2026-11-01")));
    // Five percent of the missed minimum, which is a tenth of what was due.
    let history = world.ask("C10020", "bill_history", json!({})).await.unwrap();
    let missed = fen(&history["bills"][1]["amounts"][0]["amount_due"]);
    assert_eq!(fen(&fees["totals"][0]), ((missed + 5) / 10 * 5 + 50) / 100);
    let pay = json!({ "customer_id": "C10020", "type": "repayment", "amount": yuan("9000.00") });
    world.swipe(pay).await;
    assert_eq!(world.ask("C10020", "due_date_query", json!({})).await.unwrap()["overdue_days"], 0);
}

#[tokio::test]
async fn automatic_repayment_clears_the_bill_on_the_due_date_and_neglect_costs_a_fee() {
    let world = World::start().await;
    let purchase = |customer: &str| json!({ "customer_id": customer, "merchant": "和风电器", "amount": yuan("1000.00") });
    world.swipe(purchase("C10004")).await;
    world.swipe(purchase("C10002")).await;
    world.clock.advance(DAY * 17);
    let due = world.ask("C10004", "due_date_query", json!({})).await.unwrap();
    assert_eq!(due["auto_repayment"], json!({ "on": true, "from_last4": "6688", "amount": "full" }));
    assert!(fen(&due["amounts"][0]["remaining"]) > 0);
    world.clock.advance(DAY * 19);
    let paid = world.ask("C10004", "bill_current", json!({})).await.unwrap();
    assert_eq!((fen(&paid["amounts"][0]["remaining"]), &paid["overdue"]), (0, &json!(false)));
    // The grace days end on 31 December; the fee is booked on the next.
    let fees = async || {
        world.ask("C10002", "bill_detail", json!({ "merchant": "违约金" })).await.unwrap()["count"].clone()
    };
    assert_eq!(fees().await, 0);
    world.clock.advance(DAY * 4);
    assert_eq!(fees().await, 1);
    assert_eq!(world.ask("C10002", "bill_current", json!({})).await.unwrap()["overdue"], true);
}

#[tokio::test]
async fn details_are_filtered_by_date_amount_and_merchant() {
    let world = World::start().await;
    let detail = async |params: Value| world.ask("C10001", "bill_detail", params).await;
    let all = detail(json!({})).await.unwrap();
    assert!(all["count"].as_i64().unwrap() > 80 && all["transactions"].as_array().unwrap().len() == 10);
    let some =
        detail(json!({ "from": "2026-10-01", "to": "2026-10-31", "amount_min": "50", "page_size": 50 }))
            .await
            .unwrap();
    for one in some["transactions"].as_array().unwrap() {
        assert!(
            one["booked_on"].as_str().unwrap().starts_with("2026-10") && fen(&one["amount"]).abs() >= 5_000
        );
    }
    let words = detail(json!({ "merchant": "咖啡" })).await.unwrap();
    assert!(words["count"].as_i64().unwrap() > 0);
    assert!(words["transactions"].as_array().unwrap().iter().all(|one| one["merchant"] == "拾光咖啡"));
    assert_eq!(refusal(detail(json!({ "from": "2026-10-31", "to": "2026-10-01" })).await).0, "bad_range");
    assert_eq!(refusal(detail(json!({ "amount_min": "9", "amount_max": "1" })).await).0, "bad_range");
    let unbilled = world.ask("C10001", "bill_unbilled", json!({})).await.unwrap();
    let same = detail(json!({ "month": "unbilled" })).await.unwrap();
    assert_eq!(same["from"], unbilled["since"]);
}
