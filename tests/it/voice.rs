//! Voice messages without recognised words: heard by the bank's own recogniser, here the sandbox's, and understood
//! like text; without it, or when it fails, the customer is asked to type.

use std::time::Duration;

use serde_json::json;
use weikefu::config::{Asr, Band};
use weikefu::inbound::Limits;
use weikefu::store::Direction;

use crate::house::House;
use crate::world::Engine;

/// What is answered to a voice message that nobody could hear.
const PLEASE_TYPE: &str = "请打字告诉我";
/// Sample recordings: `src/simulator/recordings.rs`. What is said with slips stands in `tests/conversations/context.chat`.
const BILL: usize = 1;
const PERSON: usize = 4;
const CARD_NUMBER: usize = 5;
const NOTHING: usize = 6;

/// A house whose bank has a recogniser, and a customer who is bound.
async fn hearing(engine: Engine, limits: Limits) -> (House, String) {
    hearing_with(engine, limits, Band::Narrow).await
}

/// The same with a recogniser that takes 16 kHz, or does not.
async fn hearing_with(engine: Engine, limits: Limits, band: Band) -> (House, String) {
    let mut house = House::prepared(engine, limits).await;
    house.config.asr = Some(Asr {
        url: format!("{}/sandbox/asr", house.world.core_url).parse().unwrap(),
        secret: Some(house.config.core.secret.clone()),
        timeout_ms: 30_000,
        band,
        tls: house.config.core.tls.clone(),
    });
    house.start_server().await;
    let openid = house.world.follower("声").await.openid;
    house.world.bind(&openid, "C10001").await;
    (house, openid)
}

/// What is answered to a sample recording, whichever way the answer comes.
async fn answer_to(house: &House, openid: &str, sample: usize) -> String {
    let phone = house.world.phone(openid);
    let asked = phone.ask(json!({ "action": "voice", "sample": sample })).await;
    phone.answer_after(asked).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_customer_says_aloud_is_understood_like_text_and_read_by_agents() {
    for engine in Engine::at_hand() {
        let (house, openid) = hearing(engine, Limits::default()).await;
        let answer = answer_to(&house, &openid, BILL).await;
        assert!(answer.contains("本期应还"), "{engine:?}: {answer}");
        let heard = house.said(&openid, Direction::In).await;
        assert!(heard.iter().any(|words| words == "查账单"), "agents read it: {heard:?}");
        for recording in [json!({ "sample": NOTHING }), json!({ "data_base64": "IyFBTVIKfHx8fA==" })] {
            let phone = house.world.phone(&openid);
            let mut act = json!({ "action": "voice" });
            act.as_object_mut().unwrap().extend(recording.as_object().cloned().unwrap());
            let asked = phone.ask(act).await;
            let answer = phone.answer_after(asked).await;
            assert!(answer.contains(PLEASE_TYPE), "{engine:?}: {answer}");
        }
        let answer = answer_to(&house, &openid, PERSON).await;
        assert!(answer.contains("人工"), "{engine:?}: {answer}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_number_said_aloud_is_masked_before_anything_else() {
    for engine in Engine::at_hand() {
        let (house, openid) = hearing(engine, Limits::default()).await;
        let answer = answer_to(&house, &openid, CARD_NUMBER).await;
        assert!(answer.contains("请不要在聊天里发送卡号"), "{engine:?}: {answer}");
        let heard = house.said(&openid, Direction::In).await;
        assert!(heard.iter().any(|words| words.contains("我的卡号")), "{engine:?}: {heard:?}");
        assert!(!heard.concat().contains("4111111111111111"), "{engine:?}: {heard:?}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recogniser_of_wide_band_gets_the_recording_at_16_khz() {
    let act = json!({ "action": "voice", "sample": BILL, "data_base64": "IyFBTVIKfHx8fA==" });
    for (band, words) in [(Band::Wide, "本期应还"), (Band::Narrow, PLEASE_TYPE)] {
        let (house, openid) = hearing_with(Engine::Sqlite, Limits::default(), band).await;
        let phone = house.world.phone(&openid);
        let asked = phone.ask(act.clone()).await;
        let answer = phone.answer_after(asked).await;
        assert!(answer.contains(words), "{band:?}: {answer}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_recogniser_makes_an_owed_answer_and_one_that_is_down_a_request_to_type() {
    let limits = Limits {
        reply_budget: Duration::from_millis(1_500),
        owing: Duration::from_millis(700),
        ..Limits::default()
    };
    for engine in Engine::at_hand() {
        let (house, openid) = hearing(engine, limits).await;
        house.world.fault(json!({ "operation": "asr", "delay_ms": 4_000 })).await;
        let phone = house.world.phone(&openid);
        let asked = phone.ask(json!({ "action": "voice", "sample": BILL })).await;
        let quiet = |entry: &serde_json::Value| entry["id"] == asked && entry["push"]["state"] == "quiet";
        phone.wait("success within the budget", quiet).await;
        let answer = phone.wait("the owed answer", |entry| entry["source"] == "custom").await;
        assert!(answer["text"].as_str().unwrap().contains("本期应还"), "{engine:?}: {answer}");

        house.world.fault(json!({ "operation": "asr", "down": true })).await;
        let answer = answer_to(&house, &openid, BILL).await;
        assert!(answer.contains(PLEASE_TYPE), "{engine:?}: {answer}");
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_recogniser_the_customer_is_asked_to_type() {
    let house = House::open(Engine::Sqlite).await;
    let openid = house.world.follower("声").await.openid;
    let answer = answer_to(&house, &openid, BILL).await;
    assert!(answer.contains(PLEASE_TYPE), "{answer}");
    house.stop().await;
}
