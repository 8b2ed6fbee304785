//! Every answer of the sandbox fits the schema of its operation, for every customer; refusals are declared.

use super::*;
use crate::bank::operations::CustomerUse;
use crate::bank::{Effect, Operations, check};

#[tokio::test]
async fn every_read_fits_its_schema_for_every_customer() {
    let world = World::start().await;
    let operations = Operations::builtin().unwrap();
    for number in 1..=20 {
        let customer = format!("C{}", 10_000 + number);
        for operation in operations.iter() {
            if operation.effect() == Effect::Write || operation.customer() == CustomerUse::None {
                continue;
            }
            // The client itself refuses an answer that does not fit.
            let answer = world.ask(&customer, operation.name(), operation.example().params.clone()).await;
            answer.unwrap_or_else(|error| panic!("{customer}: {error}"));
        }
    }
}

#[tokio::test]
async fn strangers_and_foreign_cards_are_refused_as_declared() {
    let world = World::start().await;
    for operation in Operations::builtin().unwrap().iter() {
        if operation.customer() != CustomerUse::Required {
            continue;
        }
        let example = &operation.example().params;
        let ask = async |customer: &str, params: Value| {
            let key = format!("stranger-{customer}");
            let key = (operation.effect() == Effect::Write).then_some(key.as_str());
            refusal(world.ask_with_key(customer, operation.name(), params, key).await).0
        };
        let code = ask("C99999", example.clone()).await;
        assert!(code == "unknown_customer" && operation.errors().contains_key(&code), "{operation:?}");
        if operation.errors().contains_key("no_such_card") {
            let mut foreign = example.clone();
            foreign["card_id"] = json!("K9");
            assert_eq!(ask("C10002", foreign).await, "no_such_card", "{operation:?}");
        }
    }
}

#[tokio::test]
async fn the_gateway_check_passes_on_the_sandbox_and_fails_on_an_outage() {
    let world = World::start().await;
    let settings = config::Core {
        base_url: world.address("").parse().unwrap(),
        secret: Secret::new(SECRET.to_owned()),
        timeout_ms: 5000,
        tls: config::Tls::default(),
    };
    let run = || check::run(&settings, world.clock.clone(), Arc::new(SeededRandom::new(3)));
    let report = run().await.unwrap();
    assert!(report.passed(), "{report}");
    assert!(report.to_string().ends_with("0 at fault"));
    // Their examples name what only a conversation brings about.
    let refused = report.lines().iter().filter(|line| line.verdict != check::Verdict::Fits);
    let refused: Vec<_> = refused.map(|line| line.operation.as_str()).collect();
    let expected = [
        "card_activate",
        "card_cancel_loss",
        "card_unlock",
        "fraud_confirm",
        "inst_early_settle",
        "otp_verify",
        "supplement_submit",
    ];
    assert_eq!(refused, expected, "{report}");
    world.post("/sandbox/faults", json!({ "operation": "limit_query", "down": true })).await;
    let report = run().await.unwrap();
    assert!(!report.passed());
    assert!(report.to_string().contains("503"), "{report}");
}
