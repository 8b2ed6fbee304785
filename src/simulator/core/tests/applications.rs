//! Applying for a card.

use super::*;

const PHONE: &str = "13800138099";

fn form(member: &str, value: Value) -> Value {
    let mut form = json!({
        "product_id": "gold",
        "name": "测试申请人",
        "id_number": super::super::people::with_checksum("99000019920312909"),
        "phone": PHONE,
        "annual_income": yuan("120000.00"),
        "consents": { "card_contract": "2026-01", "credit_report": "2026-01", "agreed_at": "2026-11-22T10:00:00+08:00" },
    });
    if !member.is_empty() {
        form[member] = value;
    }
    form
}

async fn submit(world: &World, form: Value) -> Result<Value, CoreError> {
    world.ask("", "application_submit", form).await
}

#[tokio::test]
async fn an_application_of_today_is_found_tomorrow_and_moves_on() {
    let world = World::start().await;
    let done = world.ask("C10005", "application_submit", form("", Value::Null)).await.unwrap();
    let number = done["application_no"].clone();
    assert_eq!((&number, &done["stage"]["name"]), (&json!("A20261122000001"), &json!("受理")));
    let world = world.restart().await;
    world.clock.advance(DAY);
    let (status, moved) = world.post("/sandbox/applications/A20261122000001/advance", json!({})).await;
    assert_eq!((status, &moved["stage"]["name"]), (200, &json!("审核")));
    for (customer, params) in [("C10005", json!({})), ("", json!({ "application_no": number }))] {
        let progress = world.ask(customer, "application_progress", params).await.unwrap();
        let application = &progress["applications"][0];
        assert_eq!(
            (&application["application_no"], &application["name_masked"]),
            (&number, &json!("测****"))
        );
        let dates: Vec<&Value> =
            application["stages"].as_array().unwrap().iter().map(|stage| &stage["on"]).collect();
        assert_eq!(dates[..3], [&json!("2026-11-22"), &json!("2026-11-23"), &Value::Null]);
        assert_eq!(application["expected_on"], "2026-11-26");
    }
    for _ in 0..3 {
        assert_eq!(world.post("/sandbox/applications/A20261122000001/advance", json!({})).await.0, 200);
    }
    assert_eq!(world.post("/sandbox/applications/A20261122000001/advance", json!({})).await.0, 422);
    let progress = world.ask("C10005", "application_progress", json!({})).await.unwrap();
    assert_eq!(progress["applications"][0]["finished"], true);
}

#[tokio::test]
async fn what_a_bank_checks_is_checked() {
    let world = World::start().await;
    let with_id = |first: &str| form("id_number", json!(super::super::people::with_checksum(first)));
    let outdated = json!({ "card_contract": "2020-01", "credit_report": "2026-01", "agreed_at": "2026-11-22T10:00:00+08:00" });
    for (form, code) in [
        (form("product_id", json!("black")), "unknown_product"),
        (form("id_number", json!("990000199203129092")), "id_number_invalid"),
        (with_id("99000019921312909"), "id_number_invalid"),
        (with_id("99000020270101909"), "id_number_invalid"),
        (with_id("99000020081123909"), "age_out_of_range"),
        (with_id("99000019601121909"), "age_out_of_range"),
        (form("annual_income", yuan("100.00")), "income_out_of_range"),
        (form("consents", outdated), "consent_outdated"),
        (form("challenge_id", json!("otp_x")), "not_verified"),
    ] {
        assert_eq!(refusal(submit(&world, form).await).0, code);
    }
    submit(&world, with_id("99000020081122909")).await.expect("eighteen today");
    submit(&world, form("", Value::Null)).await.unwrap();
    let (code, details) = refusal(submit(&world, form("", Value::Null)).await);
    assert_eq!((code.as_str(), &details["application_no"]), ("already_open", &json!("A20261122000002")));
}

#[tokio::test]
async fn a_verified_phone_vouches_for_the_form_and_shows_its_applications() {
    let world = World::start().await;
    let challenge =
        world.ask("", "otp_send", json!({ "purpose": "application", "phone": PHONE })).await.unwrap();
    let with_code = form("challenge_id", challenge["challenge_id"].clone());
    assert_eq!(refusal(submit(&world, with_code.clone()).await).0, "not_verified");
    let code = world.code(PHONE).await;
    let verify = json!({ "challenge_id": challenge["challenge_id"], "code": code });
    world.ask("", "otp_verify", verify).await.unwrap();
    submit(&world, with_code).await.unwrap();
    let mine = json!({ "challenge_id": challenge["challenge_id"] });
    let progress = world.ask("", "application_progress", mine.clone()).await.unwrap();
    assert_eq!(progress["applications"].as_array().unwrap().len(), 1);
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(refusal(world.ask("", "application_progress", mine).await).0, "not_verified");
    assert_eq!(refusal(world.ask("", "application_progress", json!({})).await).0, "nothing_named");
    let unknown = json!({ "application_no": "A1" });
    assert_eq!(refusal(world.ask("", "application_progress", unknown).await).0, "unknown_application");
}
