//! Identity data and one-time codes.

use super::*;

const PHONE: &str = "13800138001";

fn claim(member: &str, value: &str) -> Value {
    let mut claim = json!({ "name": "张立春", "id_tail": "", "card_tail": "1234", "phone": PHONE });
    claim["id_tail"] =
        json!(super::super::people::with_checksum("99000019780101001").chars().skip(14).collect::<String>());
    if !member.is_empty() {
        claim[member] = json!(value);
    }
    claim
}

async fn start(world: &World, claim: Value) -> Result<Value, CoreError> {
    world.ask("", "identity_start", claim).await
}

async fn verify(world: &World, challenge: &Value, code: &str) -> Result<Value, CoreError> {
    world.ask("", "otp_verify", json!({ "challenge_id": challenge["challenge_id"], "code": code })).await
}

fn other(code: &str) -> String {
    code.chars().map(|c| if c == '9' { '0' } else { '9' }).collect()
}

#[tokio::test]
async fn the_right_data_and_code_name_the_customer_and_his_cards() {
    let world = World::start().await;
    let challenge = start(&world, claim("", "")).await.unwrap();
    assert_eq!(challenge["phone_masked"], "138****8001");
    let code = world.code(PHONE).await;
    assert_eq!(code.len(), 6);
    let who = verify(&world, &challenge, &code).await.unwrap();
    assert_eq!((&who["customer_id"], &who["name_masked"]), (&json!("C10001"), &json!("张**")));
    assert_eq!(who["cards"].as_array().unwrap().len(), 2);
    assert_eq!(refusal(verify(&world, &challenge, &code).await).0, "expired", "a code is good once");
}

#[tokio::test]
async fn a_refusal_never_says_which_field_was_wrong_and_five_lock_the_phone() {
    let world = World::start().await;
    let wrong = [
        ("name", "李立春"),
        ("id_tail", "0000"),
        ("card_tail", "9999"),
        ("id_tail", "000000"),
        ("name", "x"),
    ];
    let mut refusals = Vec::new();
    for (member, value) in wrong {
        let Err(CoreError::Refused { code, message, details, .. }) =
            start(&world, claim(member, value)).await
        else {
            panic!("{member} was accepted");
        };
        refusals.push((code, message, details));
    }
    assert!(refusals.windows(2).all(|pair| pair[0] == pair[1]) && refusals[0].0 == "not_matched");
    let (code, details) = refusal(start(&world, claim("", "")).await);
    assert_eq!((code.as_str(), details["wait_s"].as_u64().unwrap()), ("locked", 901));
    let stranger = refusal(start(&world, claim("phone", "13900139000")).await);
    assert_eq!(stranger, ("not_matched".to_owned(), Value::Null), "a phone that nobody has reads the same");
    world.clock.advance(Duration::from_secs(901));
    start(&world, claim("", "")).await.unwrap();
}

#[tokio::test]
async fn five_wrong_codes_lock_and_a_code_grows_old() {
    let world = World::start().await;
    let challenge = start(&world, claim("", "")).await.unwrap();
    assert_eq!(refusal(start(&world, claim("", "")).await).0, "too_soon");
    let code = world.code(PHONE).await;
    for tries_left in (1..5).rev() {
        let (refused, details) = refusal(verify(&world, &challenge, &other(&code)).await);
        assert_eq!((refused.as_str(), &details["tries_left"]), ("wrong_code", &json!(tries_left)));
    }
    assert_eq!(refusal(verify(&world, &challenge, &other(&code)).await).0, "locked");
    assert_eq!(refusal(verify(&world, &challenge, &code).await).0, "locked", "also with the right code");
    world.clock.advance(Duration::from_secs(901));
    assert_eq!(refusal(verify(&world, &challenge, &code).await).0, "expired");
    let challenge = start(&world, claim("", "")).await.unwrap();
    let code = world.code(PHONE).await;
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(refusal(verify(&world, &challenge, &code).await).0, "expired");
    let nothing = json!({ "challenge_id": "otp_x" });
    assert_eq!(refusal(verify(&world, &nothing, "123456").await).0, "unknown_challenge");
}

#[tokio::test]
async fn a_repeated_call_under_its_key_counts_once_also_after_a_restart() {
    let world = World::start().await;
    let challenge = world.ask_with_key("", "identity_start", claim("", ""), Some("a")).await.unwrap();
    let again = world.ask_with_key("", "identity_start", claim("", ""), Some("a")).await.unwrap();
    assert_eq!(challenge, again);
    assert_eq!(world.get("/sandbox/sms").await.as_array().unwrap().len(), 1);
    let code = world.code(PHONE).await;
    let wrong = json!({ "challenge_id": challenge["challenge_id"], "code": other(&code) });
    for _ in 0..9 {
        let (_, details) = refusal(world.ask_with_key("", "otp_verify", wrong.clone(), Some("b")).await);
        assert_eq!(details["tries_left"], 4);
    }
    let world = world.restart().await;
    let (_, details) = refusal(world.ask_with_key("", "otp_verify", wrong, Some("b")).await);
    assert_eq!(details["tries_left"], 4);
    let another = json!({ "challenge_id": challenge["challenge_id"], "code": code });
    let (conflict, _) = refusal(world.ask_with_key("", "otp_verify", another, Some("b")).await);
    assert_eq!(conflict, "idempotency_conflict");
    assert_eq!(verify(&world, &challenge, &code).await.unwrap()["customer_id"], "C10001");
}

#[tokio::test]
async fn a_step_up_goes_to_the_phone_on_file_and_does_not_say_who() {
    let world = World::start().await;
    let challenge = world.ask("C10002", "otp_send", json!({ "purpose": "step_up" })).await.unwrap();
    assert_eq!(challenge["phone_masked"], "138****8002");
    let done = verify(&world, &challenge, &world.code("13800138002").await).await.unwrap();
    assert_eq!(
        (&done["purpose"], &done["customer_id"], &done["cards"]),
        (&json!("step_up"), &Value::Null, &json!([]))
    );
    assert_eq!(refusal(world.ask("", "otp_send", json!({ "purpose": "step_up" })).await).0, "phone_missing");
}
