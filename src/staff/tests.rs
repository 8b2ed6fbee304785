//! Sign-in and sessions on both engines.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::store::testing::{TestStore, stores};

const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn right() -> Secret {
    Secret::new("correct horse battery".to_owned())
}

fn wrong() -> Secret {
    Secret::new("a guess that is wrong".to_owned())
}

async fn staff(test: &TestStore) -> Staff {
    let staff = Staff::with_cost(test.store.clone(), HashCost::cheap_for_tests());
    staff.add_account("agent01", Role::Agent, &right()).await.unwrap();
    staff
}

#[tokio::test]
async fn the_right_password_opens_a_session_and_signing_out_ends_it() {
    for test in stores().await {
        let staff = staff(&test).await;
        let first = staff.sign_in("agent01", &right(), OFFICE, None).await.unwrap();
        let session = staff.session(&first, Activity::Page).await.unwrap().unwrap();
        assert_eq!((session.name.as_str(), session.role), ("agent01", Role::Agent));

        // Signing in again over the same browser changes the token and ends the old one.
        let second = staff.sign_in("agent01", &right(), OFFICE, Some(&first)).await.unwrap();
        assert!(staff.session(&first, Activity::Page).await.unwrap().is_none());
        let again = staff.session(&second, Activity::Page).await.unwrap().unwrap();
        assert_ne!(again.csrf, session.csrf);
        assert!(staff.is_present("agent01").await.unwrap());

        staff.sign_out(&second).await.unwrap();
        assert!(staff.session(&second, Activity::Page).await.unwrap().is_none());
        assert!(!staff.is_present("agent01").await.unwrap());
    }
}

#[tokio::test]
async fn sessions_end_by_idleness_by_age_and_by_revocation() {
    for test in stores().await {
        let staff = staff(&test).await;
        let minute = Duration::from_secs(60);

        let idle = staff.sign_in("agent01", &right(), OFFICE, None).await.unwrap();
        for _ in 0..14 {
            test.clock.advance(minute);
            // The page polls all the time; that is no activity.
            assert!(staff.session(&idle, Activity::Page).await.unwrap().is_some());
        }
        test.clock.advance(minute);
        assert!(staff.session(&idle, Activity::Person).await.unwrap().is_none());

        let busy = staff.sign_in("agent01", &right(), OFFICE, None).await.unwrap();
        for _ in 0..47 {
            test.clock.advance(minute * 10);
            assert!(staff.session(&busy, Activity::Person).await.unwrap().is_some());
        }
        test.clock.advance(minute * 10);
        assert!(staff.session(&busy, Activity::Person).await.unwrap().is_none(), "8 hours");

        let revoked = staff.sign_in("agent01", &right(), OFFICE, None).await.unwrap();
        let other_instance = Staff::with_cost(test.store.clone(), HashCost::cheap_for_tests());
        let began = std::time::Instant::now();
        other_instance.revoke("agent01").await.unwrap();
        assert!(staff.session(&revoked, Activity::Person).await.unwrap().is_none());
        let over = began.elapsed();
        println!("{}: revoked on another instance, over here after {over:?}", test.name);
        assert!(over <= Duration::from_secs(1), "{over:?}");
    }
}

#[tokio::test]
async fn guessing_locks_the_guesser_and_not_the_clerk() {
    for test in stores().await {
        let staff = staff(&test).await;
        for name in ["agent01", "nobody"] {
            let mut refusals = Vec::new();
            while refusals.len() < 10 {
                match staff.sign_in(name, &wrong(), ELSEWHERE, None).await {
                    Err(SignInError::Wrong) => refusals.push(name),
                    Err(SignInError::Locked(until)) => test.clock.set(until),
                    other => panic!("{name}: {other:?}"),
                }
            }
            // Locked now, also with the right password, and alike for a name that does not exist.
            test.clock.advance(Duration::from_secs(29 * 60));
            let locked = staff.sign_in(name, &right(), ELSEWHERE, None).await;
            assert!(matches!(locked, Err(SignInError::Locked(_))), "{name} on {}", test.name);
        }
        assert!(staff.sign_in("agent01", &right(), OFFICE, None).await.is_ok(), "the clerk at his desk");
        test.clock.advance(Duration::from_secs(120));
        assert!(staff.sign_in("agent01", &right(), ELSEWHERE, None).await.is_ok(), "after half an hour");
    }
}

#[tokio::test]
async fn guesses_made_at_once_are_all_counted() {
    for test in stores().await {
        let staff = staff(&test).await;
        let password = wrong();
        let guesses = (0..40).map(|_| staff.sign_in("agent01", &password, ELSEWHERE, None));
        let outcomes = futures::future::join_all(guesses).await;
        let tried = outcomes.iter().filter(|outcome| matches!(outcome, Err(SignInError::Wrong))).count();
        assert!(tried <= 5, "{tried} on {}", test.name);
    }
}

#[tokio::test]
async fn accounts_need_a_name_of_their_own_and_a_long_password() {
    for test in stores().await {
        let staff = staff(&test).await;
        let secret = |text: &str| Secret::new(text.to_owned());
        assert!(matches!(
            staff.add_account("agent01", Role::Admin, &right()).await,
            Err(AccountError::Taken(_))
        ));
        for name in ["", "a b", "<b>", &"x".repeat(33)] {
            assert!(matches!(staff.add_account(name, Role::Agent, &right()).await, Err(AccountError::Name)));
        }
        assert!(matches!(
            staff.add_account("b", Role::Agent, &secret("elevenchars")).await,
            Err(AccountError::TooShort)
        ));
        assert!(matches!(
            staff.add_account("b", Role::Agent, &secret("aaaaaaaaaaaaaa")).await,
            Err(AccountError::TooEasy)
        ));
        assert!(staff.add_account("王小明", Role::Supervisor, &right()).await.is_ok());
    }
}

#[tokio::test]
async fn the_product_hashes_with_64_mib_and_three_passes() {
    let test = stores().await.remove(0);
    let staff = Staff::new(test.store.clone());
    staff.add_account("agent01", Role::Agent, &right()).await.unwrap();
    let row = test.store.staff("agent01").await.unwrap().unwrap();
    assert!(row.password_hash.starts_with("$argon2id$v=19$m=65536,t=3,p=1$"), "{}", row.password_hash);
    assert!(staff.sign_in("agent01", &right(), OFFICE, None).await.is_ok());
}
