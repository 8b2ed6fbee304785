//! The second step on both engines.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::staff::factor::tests::code_at;
use crate::staff::{HashCost, Role};
use crate::store::testing::{TestStore, stores};
use crate::store::{Statement, Value};

const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const FACTOR: Statement =
    Statement { name: "TEST_FACTOR", sql: "SELECT secret_sealed FROM staff_factor WHERE name = $1" };
const STEP: Duration = Duration::from_secs(30);

fn password() -> Secret {
    Secret::new("correct horse battery".to_owned())
}

async fn staff(test: &TestStore) -> Staff {
    let staff = Staff::with_cost(test.store.clone(), HashCost::cheap_for_tests());
    staff.add_account("agent01", Role::Agent, &password()).await.unwrap();
    staff.add_account("boss", Role::Supervisor, &password()).await.unwrap();
    staff.requiring(["supervisor", "admin"])
}

async fn first_step(staff: &Staff, name: &str) -> Secret {
    staff.sign_in(name, &password(), OFFICE, None).await.unwrap()
}

/// What a phone shows that took the key over by hand.
fn phone(test: &TestStore, typed: &Secret) -> String {
    code_at(&typed.reveal().replace(' ', ""), test.store.clock().now())
}

/// Sets up a second factor; gives the key that the phone keeps, and the recovery codes.
async fn with_phone(test: &TestStore, staff: &Staff, name: &str) -> (Secret, Vec<Secret>) {
    let half = first_step(staff, name).await;
    let offer = staff.set_up(&half).await.unwrap();
    let new = staff.confirm_set_up(&half, &phone(test, &offer.typed)).await.unwrap();
    assert!(staff.session(&new.token, Activity::Page).await.unwrap().is_some());
    test.clock.advance(STEP * 2);
    (offer.typed, new.recovery_codes)
}

#[tokio::test]
async fn whoever_must_have_a_second_factor_sets_it_up_before_anything_else() {
    for test in stores().await {
        let staff = staff(&test).await;
        let agent = first_step(&staff, "agent01").await;
        assert!(staff.session(&agent, Activity::Page).await.unwrap().is_some(), "not required of agents");

        let half = first_step(&staff, "boss").await;
        assert!(
            staff.session(&half, Activity::Page).await.unwrap().is_none(),
            "a password alone opens nothing"
        );
        assert!(!staff.is_present("boss").await.unwrap());
        assert!(matches!(staff.standing(&half).await.unwrap(), Some(Standing::SetUpWanted(_))));
        assert!(matches!(staff.second_step(&half, "123456").await, Err(SecondStepError::Over)));
        let offer = staff.set_up(&half).await.unwrap();
        let uri = offer.uri.reveal();
        assert!(
            uri.starts_with("otpauth://totp/Weikefu:boss?secret=") && uri.ends_with("&issuer=Weikefu"),
            "{uri}"
        );
        assert!(matches!(staff.confirm_set_up(&half, "000000").await, Err(SecondStepError::Wrong)));
        let new = staff.confirm_set_up(&half, &phone(&test, &offer.typed)).await.unwrap();
        let session = staff.session(&new.token, Activity::Page).await.unwrap().unwrap();
        assert_eq!((session.name.as_str(), new.recovery_codes.len()), ("boss", 10));
        assert!(staff.standing(&half).await.unwrap().is_none(), "the half session is over");
        assert!(matches!(staff.set_up(&new.token).await, Err(SecondStepError::SetUpAlready)));
    }
}

#[tokio::test]
async fn the_key_is_another_for_each_session_and_sealed_in_the_database() {
    for test in stores().await {
        let staff = staff(&test).await;
        let thief = first_step(&staff, "boss").await;
        let seen_by_thief = staff.set_up(&thief).await.unwrap().typed;
        let (key, _) = with_phone(&test, &staff, "boss").await;
        assert_ne!(key, seen_by_thief);
        assert!(matches!(staff.set_up(&thief).await, Err(SecondStepError::Over)), "other sessions ended");

        let raw = code_bytes(&key);
        let row = test.store.fetch_one(FACTOR, vec![Value::from("boss")]).await.unwrap().unwrap();
        let sealed = row.blob(0).unwrap();
        assert!(!sealed.windows(raw.len()).any(|part| part == raw), "{}", test.name);
        assert!(!test.file_bytes().windows(raw.len()).any(|part| part == raw));
    }
}

fn code_bytes(typed: &Secret) -> Vec<u8> {
    totp_rs::Secret::try_from_base32(typed.reveal().replace(' ', "")).unwrap().as_bytes().to_vec()
}

#[tokio::test]
async fn a_code_opens_once_and_no_older_one_after_it() {
    for test in stores().await {
        let staff = staff(&test).await;
        let (key, _) = with_phone(&test, &staff, "agent01").await;
        let older = phone(&test, &key);
        test.clock.advance(STEP);
        let code = phone(&test, &key);
        let half = first_step(&staff, "agent01").await;
        assert!(matches!(staff.standing(&half).await.unwrap(), Some(Standing::CodeWanted(_))));
        let (front, back) = code.split_at(3);
        let gapped = format!("{front} {back}");
        let whole = staff.second_step(&half, &gapped).await.unwrap();
        assert!(staff.session(&whole, Activity::Page).await.unwrap().is_some());
        assert!(
            matches!(staff.second_step(&half, &code).await, Err(SecondStepError::Over)),
            "the half is over"
        );

        let again = first_step(&staff, "agent01").await;
        for used in [&code, &older] {
            assert!(
                matches!(staff.second_step(&again, used).await, Err(SecondStepError::Used)),
                "{}",
                test.name
            );
        }
        test.clock.advance(STEP);
        assert!(staff.second_step(&again, &phone(&test, &key)).await.is_ok());
    }
}

#[tokio::test]
async fn one_code_sent_by_two_browsers_at_once_opens_one() {
    for test in stores().await {
        let staff = staff(&test).await;
        let (key, _) = with_phone(&test, &staff, "agent01").await;
        let (one, two) = (first_step(&staff, "agent01").await, first_step(&staff, "agent01").await);
        let code = phone(&test, &key);
        let (one, two) = tokio::join!(staff.second_step(&one, &code), staff.second_step(&two, &code));
        assert_eq!([one.is_ok(), two.is_ok()].iter().filter(|opened| **opened).count(), 1, "{}", test.name);
    }
}

#[tokio::test]
async fn a_recovery_code_stands_in_once() {
    for test in stores().await {
        let staff = staff(&test).await;
        let (_, codes) = with_phone(&test, &staff, "boss").await;
        let half = first_step(&staff, "boss").await;
        let typed = codes[3].reveal().to_uppercase();
        assert!(staff.second_step(&half, &typed).await.is_ok());
        let half = first_step(&staff, "boss").await;
        assert!(matches!(staff.second_step(&half, &typed).await, Err(SecondStepError::Wrong)));
        assert!(staff.second_step(&half, codes[4].reveal()).await.is_ok());
        let other = first_step(&staff, "agent01").await;
        assert!(staff.second_step(&other, codes[5].reveal()).await.is_err(), "of another person");
    }
}

#[tokio::test]
async fn guesses_are_counted_by_name_whatever_session_they_come_by() {
    for test in stores().await {
        let staff = staff(&test).await;
        let (key, _) = with_phone(&test, &staff, "agent01").await;
        let mut wrong = 0;
        for _ in 0..40 {
            let half = first_step(&staff, "agent01").await;
            match staff.second_step(&half, "000000").await {
                Err(SecondStepError::Wrong) => wrong += 1,
                Err(SecondStepError::Locked(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(wrong <= 5, "{wrong} guesses on {}", test.name);
        let half = first_step(&staff, "agent01").await;
        let Err(SecondStepError::Locked(until)) = staff.second_step(&half, &phone(&test, &key)).await else {
            panic!("locked also with the right code")
        };
        test.clock.set(until);
        assert!(staff.second_step(&half, &phone(&test, &key)).await.is_ok());
    }
}

#[tokio::test]
async fn the_second_step_is_taken_within_ten_minutes() {
    for test in stores().await {
        let staff = staff(&test).await;
        let (key, _) = with_phone(&test, &staff, "agent01").await;
        let half = first_step(&staff, "agent01").await;
        test.clock.advance(HALF);
        assert!(staff.standing(&half).await.unwrap().is_none());
        let late = staff.second_step(&half, &phone(&test, &key)).await;
        assert!(matches!(late, Err(SecondStepError::Over)));
    }
}
