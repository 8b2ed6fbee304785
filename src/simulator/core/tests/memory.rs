//! The journal: what was answered for is there after a restart, whatever happened in between.

use std::io::Write as _;

use super::*;
use crate::simulator::core::StartError;

#[tokio::test]
async fn an_empty_folder_gives_the_same_past_every_time() {
    let (one, other) = (World::start().await, World::start().await);
    for operation in
        ["bill_current", "bill_unbilled", "bill_history", "limit_query", "points_query", "due_date_query"]
    {
        for customer in ["C10001", "C10013", "C10020"] {
            let answers = (
                one.ask(customer, operation, json!({})).await,
                other.ask(customer, operation, json!({})).await,
            );
            assert_eq!(answers.0.unwrap(), answers.1.unwrap());
        }
    }
}

#[tokio::test]
async fn a_swipe_survives_a_restart_and_the_past_does_not_move_with_the_day() {
    let world = World::start().await;
    world.swipe(json!({ "customer_id": "C10001", "merchant": "星河超市", "amount": yuan("66.60") })).await;
    let before = world.ask("C10001", "bill_unbilled", json!({})).await.unwrap();
    let history = world.ask("C10001", "bill_history", json!({})).await.unwrap();
    let world = world.restart().await;
    assert_eq!(world.ask("C10001", "bill_unbilled", json!({})).await.unwrap(), before);
    world.clock.advance(DAY * 3);
    let world = world.restart().await;
    assert_eq!(world.ask("C10001", "bill_unbilled", json!({})).await.unwrap(), before);
    assert_eq!(world.ask("C10001", "bill_history", json!({})).await.unwrap(), history);
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_a_damaged_one_is_named() {
    let world = World::start().await;
    let swipe = json!({ "customer_id": "C10001", "merchant": "星河超市", "amount": yuan("66.60") });
    world.swipe(swipe.clone()).await;
    let before = world.ask("C10001", "bill_unbilled", json!({})).await.unwrap();
    let append = |path: &std::path::Path, text: &str| {
        std::fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    append(&world.journal(), r#"[{"event":"moved","custo"#);
    let world = world.restart().await;
    assert_eq!(world.ask("C10001", "bill_unbilled", json!({})).await.unwrap(), before);
    world.swipe(swipe).await;
    let world = world.restart().await;
    let count = world.ask("C10001", "bill_unbilled", json!({})).await.unwrap()["count"].as_i64().unwrap();
    assert_eq!(count, before["count"].as_i64().unwrap() + 1, "the line after the torn one counts");

    let (journal, folder) = (world.journal(), world.folder);
    world.running.stop().await;
    append(&journal, "{}\n");
    let error = start_on(&journal).await.unwrap_err();
    assert!(error.to_string().contains("line"), "{error}");
    drop(folder);
}

#[tokio::test]
async fn two_processes_never_write_one_journal() {
    let world = World::start().await;
    let error = start_on(&world.journal()).await.unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}

#[tokio::test]
async fn the_file_holds_no_phone_no_id_number_no_code_and_no_name() {
    let world = World::start().await;
    let form = &crate::bank::Operations::builtin().unwrap();
    let form = form.get("application_submit").unwrap().example().params.clone();
    world.ask_with_key("", "application_submit", form.clone(), Some("k")).await.unwrap();
    let send = json!({ "purpose": "application", "phone": form["phone"] });
    let challenge = world.ask_with_key("", "otp_send", send, Some("k")).await.unwrap();
    let code = world.code(form["phone"].as_str().unwrap()).await;
    let verify = json!({ "challenge_id": challenge["challenge_id"], "code": code });
    world.ask_with_key("", "otp_verify", verify, Some("k")).await.unwrap();
    let file = std::fs::read_to_string(world.journal()).unwrap();
    for canary in ["name", "id_number", "phone"].map(|member| form[member].as_str().unwrap()) {
        assert!(!file.contains(canary), "{canary}");
    }
    assert!(!file.contains(&format!("\"{code}\"")) && !file.contains(&format!(" {code}")));
}

#[test]
fn the_journal_lies_beside_the_sqlite_file_else_in_data() {
    for (url, folder) in [
        ("sqlite://data/weikefu.db", "data"),
        ("sqlite:///var/lib/weikefu/weikefu.db?mode=rwc", "/var/lib/weikefu"),
        ("sqlite:weikefu.db", ""),
        ("sqlite::memory:", "data"),
        ("postgres://user:pw@host/db", "data"),
    ] {
        assert_eq!(super::super::data_folder(url), std::path::PathBuf::from(folder), "{url}");
    }
}

async fn start_on(journal: &std::path::Path) -> Result<Running, StartError> {
    let secret = Secret::new(SECRET.to_owned());
    let settings = Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        core_secret: secret,
        api_secret: None,
        events_secret: None,
        server_url: "http://127.0.0.1:9".parse().unwrap(),
        journal: journal.to_owned(),
        content_dir: None,
    };
    SandboxCore::start(settings, Arc::new(ManualClock::new(NOW)), Arc::new(SeededRandom::new(1))).await
}
