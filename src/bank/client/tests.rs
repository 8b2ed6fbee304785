//! The client against a core that misbehaves in every way it can.

use super::*;
use crate::bank::BREAKER_FAILURES;
use crate::bank::testing::{Act, FarSide};
use crate::clock::{SeededRandom, SystemClock};
use crate::domain::secret::Secret;

fn core(far_side: &FarSide, timeout_ms: u64) -> Core {
    let settings = config::Core {
        base_url: far_side.url.clone(),
        secret: Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        timeout_ms,
        tls: config::Tls::default(),
    };
    Core::new(&settings, Arc::new(SystemClock), Arc::new(SeededRandom::new(7))).unwrap()
}

fn good() -> Act {
    let operations = Operations::builtin().unwrap();
    let example = &operations.get("points_query").unwrap().example().result;
    Act::Answer(200, json!({ "result": example }).to_string())
}

fn call() -> Call {
    Call {
        customer_id: CustomerId::parse("C10001"),
        params: json!({}),
        idempotency_key: None,
        context: Context::default(),
    }
}

fn otp() -> Call {
    let params = json!({ "purpose": "application", "phone": "13800138099" });
    Call { customer_id: None, params, idempotency_key: None, context: Context::default() }
}

fn cause(error: &CoreError) -> DownCause {
    match error {
        CoreError::Down { cause, .. } => *cause,
        other => panic!("not down but {other}"),
    }
}

#[tokio::test]
async fn a_read_is_tried_three_times_and_a_broken_connection_is_no_answer() {
    let far_side = FarSide::start(vec![Act::HangUp, Act::Answer(503, String::new()), good()]).await;
    let core = core(&far_side, 3000);
    assert_eq!(core.call("points_query", call()).await.unwrap()["points"], 28640);
    assert_eq!(far_side.requests(), 3);
    far_side.then_always(Act::Answer(500, String::new()));
    let error = core.call("points_query", call()).await.unwrap_err();
    assert_eq!((cause(&error), error.retry()), (DownCause::Status(500), Retry::Later));
    assert_eq!(far_side.requests(), 6);
}

#[tokio::test]
async fn a_write_is_repeated_only_under_its_key() {
    let far_side = FarSide::start(vec![Act::Answer(502, String::new())]).await;
    let core = core(&far_side, 3000);
    let error = core.call("otp_send", otp()).await.unwrap_err();
    assert_eq!((far_side.requests(), error.retry()), (1, Retry::Unclear));
    let keyed = Call { idempotency_key: Some("k1".to_owned()), ..otp() };
    let error = core.call("otp_send", keyed).await.unwrap_err();
    assert_eq!((far_side.requests(), error.retry()), (4, Retry::Later));
}

#[tokio::test]
async fn a_core_that_hangs_is_given_up_at_the_deadline() {
    let far_side = FarSide::start(vec![Act::Hang]).await;
    let core = core(&far_side, 300);
    let started = Instant::now();
    let error = core.call("points_query", call()).await.unwrap_err();
    assert_eq!(cause(&error), DownCause::TimeOut);
    assert!(started.elapsed() < Duration::from_millis(1500));
}

#[tokio::test]
async fn a_refusal_is_told_cleaned_and_bounded_and_not_retried() {
    let message = format!("额度不足\n\u{202E}请\u{0007}还款{}", "。".repeat(500));
    let error =
        json!({ "error": { "code": "limit_too_low", "message": message, "details": { "tries_left": 2 } } });
    let far_side = FarSide::start(vec![Act::Answer(422, error.to_string())]).await;
    let error = core(&far_side, 3000).call("points_query", call()).await.unwrap_err();
    assert_eq!((far_side.requests(), error.retry()), (1, Retry::Never));
    assert!(!format!("{error:?}").contains("额度"), "the message is for the customer, not for logs");
    let CoreError::Refused { code, message, details, .. } = error else { panic!("{error}") };
    assert_eq!((code.as_str(), details["tries_left"].as_u64()), ("limit_too_low", Some(2)));
    assert!(message.starts_with("额度不足 请 还款") && message.chars().count() <= MESSAGE_CHARS_MAX);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_is_a_lie_with_its_place() {
    let huge = format!("{{\"result\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    for (status, body, place) in [
        (200, r#"{"result":{"points":"many"}}"#, "/result/"),
        (200, "{}", "/result"),
        (200, "<html>", ""),
        (200, huge.as_str(), ""),
        (404, "not found", ""),
        (400, r#"{"error":{"message":"?"}}"#, "/error/code"),
        (400, r#"{"error":{"code":"a b"}}"#, "/error/code"),
    ] {
        let far_side = FarSide::start(vec![Act::Answer(status, body.to_owned())]).await;
        let error = core(&far_side, 3000).call("points_query", call()).await.unwrap_err();
        let CoreError::Lied { path, .. } = &error else { panic!("{status}: {error}") };
        assert!(path.starts_with(place), "{path}");
        assert_eq!(far_side.requests(), 1);
    }
}

#[tokio::test]
async fn redirects_are_not_followed_and_a_refused_signature_is_not_the_customers_fault() {
    let far_side = FarSide::start(vec![Act::Answer(307, String::new())]).await;
    let core = core(&far_side, 3000);
    assert_eq!(cause(&core.call("points_query", call()).await.unwrap_err()), DownCause::Status(307));
    far_side.then_always(Act::Answer(401, r#"{"error":{"code":"signature"}}"#.to_owned()));
    assert_eq!(cause(&core.call("points_query", call()).await.unwrap_err()), DownCause::Signature);
}

#[tokio::test]
async fn params_that_do_not_fit_and_unknown_operations_never_leave_the_house() {
    let far_side = FarSide::start(vec![good()]).await;
    let core = core(&far_side, 3000);
    let bad = Call { params: json!({ "purpose": "other" }), ..otp() };
    let error = core.call("otp_send", bad).await.unwrap_err();
    assert!(matches!(&error, CoreError::BadParams { path, .. } if path == "/purpose"), "{error}");
    assert!(matches!(core.call("nothing", call()).await, Err(CoreError::Unknown { .. })));
    assert_eq!(far_side.requests(), 0);
}

#[tokio::test]
async fn the_breaker_opens_at_twenty_in_a_row_and_closes_with_the_next_success() {
    let down = Act::Answer(503, String::new());
    let far_side = FarSide::start(vec![down.clone()]).await;
    let core = Arc::new(core(&far_side, 3000));
    let write = || Call { idempotency_key: None, ..otp() };
    for _ in 0..BREAKER_FAILURES - 1 {
        core.call("otp_send", write()).await.unwrap_err();
    }
    far_side.then_always(good());
    core.call("points_query", call()).await.unwrap();
    far_side.then_always(down);
    for failures in 1..=BREAKER_FAILURES {
        assert!(!core.is_cut_off(), "after {failures}");
        core.call("otp_send", write()).await.unwrap_err();
    }
    assert!(core.is_cut_off());

    // While one call finds out, the others are not kept waiting.
    far_side.then_always(Act::Hang);
    let asked_before = far_side.requests();
    let probe = tokio::spawn({
        let core = core.clone();
        async move { core.call("points_query", call()).await }
    });
    while far_side.requests() == asked_before {
        tokio::task::yield_now().await;
    }
    assert_eq!(cause(&core.call("points_query", call()).await.unwrap_err()), DownCause::Breaker);

    // A probe that is abandoned gives its place back.
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    far_side.then_always(good());
    core.call("points_query", call()).await.unwrap();
    assert!(!core.is_cut_off());
}

#[tokio::test]
async fn half_an_answer_is_no_answer_and_ten_megabytes_are_not_read() {
    let Act::Answer(_, body) = good() else { panic!("a good answer") };
    let far_side = FarSide::start(vec![Act::Half(body), good()]).await;
    let core = core(&far_side, 3000);
    assert_eq!(core.call("points_query", call()).await.unwrap()["points"], 28640, "asked once more");
    assert_eq!(far_side.requests(), 2);
    let huge = format!("{{\"result\":{{\"points\":1,\"x\":\"{}\"}}}}", "x".repeat(10 * BODY_BYTES_MAX));
    far_side.then_always(Act::Answer(200, huge));
    let error = core.call("points_query", call()).await.unwrap_err();
    assert!(matches!(error, CoreError::Lied { .. }), "{error}");
}

/// Calls one after another, and how long the slowest but one in a hundred took.
async fn p99_of(core: &Core, calls: usize) -> Duration {
    let mut took = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = Instant::now();
        core.call("points_query", call()).await.unwrap();
        took.push(began.elapsed());
    }
    took.sort();
    took[calls * 99 / 100]
}

#[tokio::test]
async fn an_operation_that_is_slow_opens_its_own_breaker_and_costs_the_others_nothing() {
    const SLOW: &str = "bill_current";
    const CUSTOMERS: usize = 24;
    let far_side = FarSide::start(vec![good()]).await;
    let core = Arc::new(core(&far_side, 3000));
    let before = p99_of(&core, 300).await;
    far_side.is_slow_in(Some(SLOW));
    let began = Instant::now();
    let params = Operations::builtin().unwrap().get(SLOW).unwrap().example().params.clone();
    let asked = Call { params, ..call() };
    let customers: Vec<_> = (0..CUSTOMERS)
        .map(|_| {
            let (core, asked) = (core.clone(), asked.clone());
            tokio::spawn(async move { core.call(SLOW, asked).await })
        })
        .collect();
    let meanwhile = p99_of(&core, 300).await;
    for customer in customers {
        assert_eq!(cause(&customer.await.unwrap().unwrap_err()), DownCause::TimeOut);
    }
    let opened = began.elapsed();
    assert_eq!(core.cut_off(), [SLOW]);
    assert!(!core.is_cut_off(), "the others were answered");
    println!(
        "p99 of another operation: {before:?} before, {meanwhile:?} meanwhile; the breaker opened within {opened:?}"
    );
    assert!(opened < Duration::from_secs(10), "{opened:?}");
    // A tenth, and what a busy machine adds to anything.
    assert!(meanwhile < before * 11 / 10 + Duration::from_millis(50), "{before:?} and {meanwhile:?}");

    // One call finds out; the others are told at once.
    let probe = tokio::spawn({
        let (core, asked) = (core.clone(), asked.clone());
        async move { core.call(SLOW, asked).await }
    });
    let asked_before = far_side.requests();
    while far_side.requests() == asked_before {
        tokio::task::yield_now().await;
    }
    let began = Instant::now();
    assert_eq!(cause(&core.call(SLOW, asked.clone()).await.unwrap_err()), DownCause::Breaker);
    assert!(began.elapsed() < Duration::from_millis(500), "{:?}", began.elapsed());
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    far_side.is_slow_in(None);
    // Its answer is another operation's here: any answer at all closes the breaker.
    drop(core.call(SLOW, asked).await);
    assert!(core.cut_off().is_empty());
}
