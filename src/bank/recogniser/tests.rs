//! The recogniser's client against a far side that misbehaves in every way it can.

use std::sync::Arc;

use super::*;
use crate::bank::testing::{Act, FarSide};
use crate::bank::webhooks::{ID_HEADER, Presented, SIGNATURE_HEADER, TIMESTAMP_HEADER, Verifier};
use crate::clock::{Clock as _, SeededRandom, SystemClock};
use crate::domain::secret::Secret;

const RECORDING: &[u8] = b"#!AMR\nnot a voice";

fn secret() -> Secret {
    Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned())
}

fn recogniser(far_side: &FarSide, secret: Option<Secret>, timeout_ms: u64) -> Recogniser {
    let settings = config::Asr {
        url: far_side.url.join("/listen").unwrap(),
        secret,
        timeout_ms,
        band: config::Band::Narrow,
        tls: config::Tls::default(),
    };
    Recogniser::new(&settings, Arc::new(SystemClock), Arc::new(SeededRandom::new(7))).unwrap()
}

async fn hear(recogniser: &Recogniser) -> Result<String, NotHeard> {
    let heard = recogniser.hear(Bytes::from_static(RECORDING), "audio/amr").await;
    heard.map(|words| words.reveal().to_owned())
}

fn words(text: &str) -> Act {
    Act::Answer(200, serde_json::json!({ "text": text }).to_string())
}

#[tokio::test]
async fn a_recording_goes_out_signed_and_its_words_come_back() {
    let far_side = FarSide::start(vec![words("查账单"), words("")]).await;
    let signing = recogniser(&far_side, Some(secret()), 3000);
    assert_eq!(hear(&signing).await, Ok("查账单".to_owned()));
    assert_eq!(hear(&signing).await, Ok(String::new()), "nothing was said");
    let request = far_side.last_request();
    assert!(request.head.starts_with("POST /listen HTTP/1.1"), "{}", request.head);
    assert_eq!((request.body.as_slice(), request.header("content-type")), (RECORDING, Some("audio/amr")));
    let presented = Presented {
        id: request.header(ID_HEADER).unwrap(),
        timestamp: request.header(TIMESTAMP_HEADER).unwrap(),
        signature: request.header(SIGNATURE_HEADER).unwrap(),
    };
    let verifier = Verifier::new(&[secret()]).unwrap();
    assert_eq!(verifier.verify(presented, RECORDING, SystemClock.now()), Ok(()));

    hear(&recogniser(&far_side, None, 3000)).await.unwrap();
    assert_eq!(far_side.last_request().header(SIGNATURE_HEADER), None, "without a secret nothing is signed");
}

#[tokio::test]
async fn what_may_pass_is_tried_once_more_and_what_will_not_is_not() {
    let far_side = FarSide::start(vec![Act::HangUp, words("查账单")]).await;
    let recogniser = recogniser(&far_side, None, 3000);
    assert_eq!(hear(&recogniser).await, Ok("查账单".to_owned()));
    let half = "x".repeat(100);
    let huge = format!("{{\"text\":\"{}\"}}", "x".repeat(ANSWER_BYTES_MAX));
    for (act, fault, tries) in [
        (Act::Answer(503, String::new()), NotHeard::Status(503), 2),
        (Act::Answer(307, String::new()), NotHeard::Status(307), 2),
        (Act::Half(half), NotHeard::Connection, 2),
        (Act::Answer(401, String::new()), NotHeard::Signature, 1),
        (Act::Answer(415, String::new()), NotHeard::Refused(415), 1),
        (Act::Answer(200, "<html>".to_owned()), NotHeard::Lied, 1),
        (Act::Answer(200, "{\"words\":\"\"}".to_owned()), NotHeard::Lied, 1),
        (Act::Answer(200, huge), NotHeard::Lied, 1),
    ] {
        let before = far_side.requests();
        far_side.then_always(act);
        assert_eq!(hear(&recogniser).await, Err(fault));
        assert_eq!(far_side.requests() - before, tries, "{fault}");
    }
}

#[tokio::test]
async fn a_recogniser_that_hangs_is_given_up_at_the_deadline() {
    let far_side = FarSide::start(vec![Act::Hang]).await;
    let recogniser = recogniser(&far_side, None, 300);
    let started = Instant::now();
    assert_eq!(hear(&recogniser).await, Err(NotHeard::TimeOut));
    assert!(started.elapsed() < Duration::from_millis(1500));
    assert_eq!(far_side.requests(), 1);
}

#[tokio::test]
async fn the_breaker_opens_for_one_that_is_down_and_not_for_recordings_that_it_refuses() {
    let far_side = FarSide::start(vec![Act::Answer(415, String::new())]).await;
    let recogniser = recogniser(&far_side, None, 3000);
    for _ in 0..=BREAKER_FAILURES {
        assert_eq!(hear(&recogniser).await, Err(NotHeard::Refused(415)));
    }
    far_side.then_always(Act::Answer(401, String::new()));
    for _ in 0..BREAKER_FAILURES {
        assert_eq!(hear(&recogniser).await, Err(NotHeard::Signature));
    }
    // One finds out, the next is not kept waiting.
    far_side.then_always(Act::Hang);
    let before = far_side.requests();
    let mut probe = Box::pin(hear(&recogniser));
    while far_side.requests() == before {
        tokio::select! {
            biased;
            ended = &mut probe => panic!("a far side that hangs answered {ended:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
    assert_eq!(hear(&recogniser).await, Err(NotHeard::Breaker));
    drop(probe);
    far_side.then_always(words("好了"));
    assert_eq!(hear(&recogniser).await, Ok("好了".to_owned()));
}
