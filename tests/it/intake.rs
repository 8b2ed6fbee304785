//! What a bank may bring: odd names, odd amounts, the same file twice at once, things in the wrong order. Each item is
//! told once as it should read, or refused alone with the field that is wrong.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use weikefu::clock::{Clock as _, SystemClock};

use crate::world::{Engine, Follower, World, until};

const TRANSACTIONS: &str = "/api/v1/transactions";

fn swipe(id: &str) -> Value {
    json!({
        "transaction_id": id, "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": { "value": "128.50", "currency": "CNY" }, "merchant": { "name": "星河咖啡" },
        "channel": "pos", "occurred_at": "2026-01-01T10:00:00+08:00",
    })
}

fn with(id: &str, pointer: &str, value: Value) -> Value {
    let mut item = swipe(id);
    *item.pointer_mut(pointer).unwrap() = value;
    item
}

async fn post(world: &World, items: &Value) -> Value {
    let (status, answer) = world.bank(Method::POST, TRANSACTIONS, &items.to_string()).await;
    assert_eq!(status, 202, "{answer}");
    answer
}

async fn state(world: &World, id: &str) -> Value {
    let (status, state) = world.bank(Method::GET, &format!("{TRANSACTIONS}/{id}"), "").await;
    assert_eq!(status, 200, "{id}: {state}");
    state
}

/// Waits until an item has this state.
async fn comes_to(world: &World, id: &str, wanted: &str) {
    until(&format!("{id} comes to {wanted}"), || async {
        (state(world, id).await["state"] == wanted).then_some(())
    })
    .await;
}

/// The values of each template message on the phone, oldest first.
async fn told(phone: &Follower<'_>) -> Vec<Vec<String>> {
    let entries = phone.timeline().await;
    let templates = entries.iter().filter(|entry| entry["kind"] == "template");
    let values = |entry: &Value| {
        let lines = entry["detail"]["lines"].as_array().unwrap();
        lines.iter().map(|line| line["value"].as_str().unwrap().to_owned()).collect()
    };
    templates.map(values).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_merchants_name_is_too_odd_to_be_told() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let phone = world.follower("甲").await;
        world.bind(&phone.openid, "C10001").await;
        let long = "示例市示例区示例大道购物中心星河餐饮管理有限责任公司".repeat(12);
        let names = [
            ("😀☕️ 咖啡 👨\u{200D}👩\u{200D}👧", "😀☕️ 咖啡 👨\u{200D}👩\u{200D}👧"),
            ("\"O'Brien\" \\ & Söhne", "\"O'Brien\" \\ & Söhne"),
            ("<a href=\"x\">店</a>]]>", "<a href=\"x\">店</a>]]>"),
            ("\u{202E}店\u{200B}\u{0}\n名", "店 名"),
            ("\u{200B} \t", "未提供商户名称"),
            ("", "未提供商户名称"),
            (
                "星河咖啡示例市示例区示例大道购物中心负一层（东门店）",
                "星河咖啡示例市示例区示例大道…（东门店）",
            ),
            (long.as_str(), "示例市示例区示例大道购物中心星河餐饮管…"),
        ];
        let items: Vec<Value> = names
            .iter()
            .enumerate()
            .map(|(number, (name, _))| with(&format!("T{number}"), "/merchant/name", json!(name)))
            .collect();
        assert_eq!(post(&world, &json!(items)).await["accepted"], names.len());
        for number in 0..names.len() {
            comes_to(&world, &format!("T{number}"), "delivered").await;
        }
        let mut shown: Vec<String> =
            told(&phone).await.into_iter().map(|values| values.last().unwrap().clone()).collect();
        let mut wanted: Vec<String> = names.iter().map(|(_, shown)| (*shown).to_owned()).collect();
        shown.sort();
        wanted.sort();
        assert_eq!(shown, wanted, "{engine:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_amounts_and_moments_are_told_or_refused_alone_with_their_field() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let phone = world.follower("甲").await;
        world.bind(&phone.openid, "C10001").await;
        let now = SystemClock.now();
        let ahead =
            |hours: u64| json!((now + Duration::from_secs(hours * 3600)).beijing().timestamp().to_string());
        let amount = |value: &str, currency: &str| json!({ "value": value, "currency": currency });
        let good = [
            ("G0", "/amount", amount("0.00", "CNY"), "¥0.00"),
            ("G1", "/amount", amount("9999999999999.99", "CNY"), "0"),
            ("G2", "/amount", amount("12345678901.23", "CNY"), "¥12345678901"),
            ("G3", "/amount", amount("1200", "JPY"), "1200"),
            ("G4", "/amount", amount("1.234", "KWD"), "1.234"),
            ("G5", "/occurred_at", ahead(23), "¥128.50"),
        ];
        let bad = [
            ("B0", "/amount", amount("-0.01", "CNY"), "amount.value: must not be negative"),
            ("B1", "/amount", amount("99999999999999999999999", "CNY"), "amount.value: amount is too large"),
            (
                "B2",
                "/amount",
                amount("1.234", "CNY"),
                "amount.value: amount has more decimals than its currency",
            ),
            (
                "B3",
                "/amount",
                amount("1e9", "CNY"),
                "amount.value: amount is not a decimal number such as 128.50",
            ),
            ("B4", "/amount", amount("1", "ZZZ"), "amount.currency: unknown currency"),
            ("B5", "/amount", json!(5), "amount: must be an object"),
            ("B6", "/occurred_at", ahead(25), "occurred_at: is more than 24 hours ahead"),
            (
                "B7",
                "/occurred_at",
                json!("tomorrow"),
                "occurred_at: must be an RFC 3339 time such as 2026-11-22T10:00:00+08:00",
            ),
        ];
        // One good item between each two bad ones.
        let items: Vec<Value> = (0..good.len().max(bad.len()))
            .flat_map(|at| [bad.get(at), good.get(at)])
            .flatten()
            .map(|(id, pointer, value, _)| with(id, pointer, value.clone()))
            .collect();
        let answer = post(&world, &json!(items)).await;
        assert_eq!(answer["accepted"], good.len(), "{answer}");
        for (id, _, _, error) in bad {
            let told =
                answer["rejected"].as_array().unwrap().iter().find(|item| item["transaction_id"] == id);
            assert_eq!(told.unwrap()["error"], error, "{engine:?}");
            assert_eq!(world.bank(Method::GET, &format!("{TRANSACTIONS}/{id}"), "").await.0, 404);
        }
        for (id, ..) in &good {
            comes_to(&world, id, "delivered").await;
        }
        let mut shown: Vec<String> = told(&phone).await.into_iter().map(|values| values[1].clone()).collect();
        let mut wanted: Vec<String> = good.iter().map(|(.., shown)| (*shown).to_owned()).collect();
        shown.sort();
        wanted.sort();
        assert_eq!(shown, wanted, "{engine:?}: what no line can hold is not shown wrong");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_file_from_two_clients_at_once_alerts_once() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let phone = world.follower("甲").await;
        world.bind(&phone.openid, "C10001").await;
        let ids: Vec<String> = (0..20).map(|number| format!("F{number}")).collect();
        let file = json!(ids.iter().map(|id| swipe(id)).collect::<Vec<_>>());
        let answers = join_all((0..2).map(|_| post(&world, &file))).await;
        let sum = |member: &str| answers.iter().map(|answer| answer[member].as_u64().unwrap()).sum::<u64>();
        assert_eq!((sum("accepted"), sum("duplicates")), (20, 20), "{engine:?}: {answers:?}");
        for id in &ids {
            comes_to(&world, id, "delivered").await;
            assert_eq!(state(&world, id).await["attempts"], 1);
        }
        assert_eq!(told(&phone).await.len(), 20, "{engine:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reversal_before_its_purchase_is_told_and_so_is_the_purchase() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let phone = world.follower("甲").await;
        world.bind(&phone.openid, "C10001").await;
        let mut reversal = with("R1", "/type", json!("reversal"));
        reversal["original_transaction_id"] = json!("P1");
        assert_eq!(post(&world, &reversal).await["accepted"], 1);
        comes_to(&world, "R1", "delivered").await;
        assert_eq!(post(&world, &swipe("P1")).await["accepted"], 1);
        comes_to(&world, "P1", "delivered").await;
        assert_eq!(told(&phone).await.len(), 2, "{engine:?}");
        // Nothing of either changes when both come again.
        let again = post(&world, &json!([swipe("P1"), reversal])).await;
        assert_eq!((&again["accepted"], &again["duplicates"]), (&json!(0), &json!(2)));
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_moment_asks_for_stands_in_the_alert() {
    for engine in Engine::at_hand() {
        let with_note = |text: String, _: &std::path::Path| {
            let due = "[accounts.notices.bill_due]\ntemplate_id = \"due\"\n\
                fields = { card = \"character_string1\", note = \"thing2\" }\n\n[core]";
            let text = text.replacen("[core]", due, 1);
            text.replacen("merchant = \"thing4\" }", "merchant = \"thing4\", note = \"thing5\" }", 1)
        };
        let mut world = World::prepared(engine, with_note).await;
        world.start_server().await;
        let phone = world.follower("甲").await;
        world.bind(&phone.openid, "C10001").await;
        let note = |values: &Vec<String>| values.last().cloned().unwrap();
        post(&world, &swipe("T1")).await;
        comes_to(&world, "T1", "delivered").await;
        assert_eq!(note(&told(&phone).await[0]), "如非本人交易，请点此处理", "{engine:?}");
        post(&world, &with("T2", "/occurred_at", json!("2026-01-01T10:01:59+08:00"))).await;
        comes_to(&world, "T2", "delivered").await;
        assert_eq!(note(&told(&phone).await[1]), "可能重复扣款，请核对", "{engine:?}");
        let mut abroad = with("T3", "/amount", json!({ "value": "12.00", "currency": "USD" }));
        abroad["billing_amount"] = json!({ "value": "86.40", "currency": "CNY" });
        post(&world, &abroad).await;
        comes_to(&world, "T3", "delivered").await;
        assert_eq!(note(&told(&phone).await[2]), "US$12.00，折合¥86.40", "{engine:?}");
        // A reminder of a bill that is a few yuan short says what that would cost.
        let today = SystemClock.now().beijing().date().to_string();
        for (id, remaining, expected) in
            [("N1", "3.20", "还差¥3.20，逾期日息约¥4.00"), ("N2", "800.00", "请按时还款")]
        {
            let yuan = |value: &str| json!({ "value": value, "currency": "CNY" });
            let due = json!({
                "notice_id": id, "customer_id": "C10001", "kind": "bill_due", "fields": { "card": "1234" },
                "bill": { "total": yuan("8000.00"), "remaining": yuan(remaining), "due_date": today },
            });
            let (status, answer) = world.bank(Method::POST, "/api/v1/notices", &due.to_string()).await;
            assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
            until("the reminder", || async {
                told(&phone).await.iter().any(|values| note(values) == expected).then_some(())
            })
            .await;
        }
        world.stop().await;
    }
}
