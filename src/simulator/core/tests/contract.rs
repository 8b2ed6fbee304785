//! Every answer of the sandbox fits the schema of its operation, for every customer; refusals are declared.

use super::*;
use crate::bank::operations::CustomerUse;
use crate::bank::{Effect, Operations, check};
use crate::domain::step_up::Proof;

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
async fn what_a_service_wants_proved_the_bank_wants_proved_too() {
    let world = World::start().await;
    let robot = crate::dialogue::Dialogue::load(&crate::content::Content::built_in()).unwrap();
    let operations = Operations::builtin().unwrap();
    let mut met = 0;
    for service in robot.catalogue().iter().filter(|service| service.runs()) {
        let manifest = &service.manifest;
        let Some(form) = &manifest.form else { continue };
        let Some(operation) =
            form.operation.get_ref().strip_prefix("core:").and_then(|name| operations.get(name))
        else {
            continue;
        };
        let mut params = operation.example().params.clone();
        for (name, text) in form.params.iter().filter(|(_, text)| !text.get_ref().contains("{{")) {
            let text = text.get_ref();
            params[name] = match &params[name] {
                Value::Bool(_) | Value::Number(_) => serde_json::from_str(text).unwrap(),
                _ => json!(text),
            };
        }
        let less: &[_] = match manifest.proof.get_ref() {
            Proof::None => continue,
            Proof::Otp => &[None, Some("binding")],
            Proof::Pin => &[None, Some("binding"), Some("otp")],
        };
        for guard in less {
            let answer = world.ask_by(*guard, "C10001", operation.name(), params.clone(), None).await;
            let (code, _) = refusal(answer);
            // What is not there to be undone is said first.
            assert!(
                matches!(
                    code.as_str(),
                    "step_up_required" | "not_locked" | "not_lost" | "already_active" | "interview_required"
                ),
                "{}: {code}",
                manifest.id.get_ref()
            );
            assert!(operation.errors().contains_key("step_up_required"), "{}", operation.name());
            met += 1;
        }
    }
    assert!(met > 40, "{met}");
}

#[tokio::test]
async fn what_was_refused_for_want_of_a_proof_is_decided_anew_with_it() {
    let world = World::start().await;
    let ask = async |guard| {
        let params = json!({ "part": "email", "value": "li@example.com" });
        world.ask_by(Some(guard), "C10002", "profile_update", params, Some("once")).await
    };
    assert_eq!(refusal(ask("binding").await).0, "step_up_required");
    ask("otp").await.unwrap();
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
