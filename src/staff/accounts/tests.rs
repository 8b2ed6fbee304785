//! Changes of accounts on both engines: each ends the sessions of its person, and is told in the audit trail.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::domain::ids::AccountId;
use crate::staff::{Activity, HashCost, SignInError};
use crate::store::testing::{TestStore, stores};

const OFFICE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

async fn signed_in(test: &TestStore) -> (Staff, Secret) {
    let staff = Staff::with_cost(test.store.clone(), HashCost::cheap_for_tests());
    staff.add_account("lin", Role::Agent, &secret("correct horse battery")).await.unwrap();
    let token = staff.sign_in("lin", &secret("correct horse battery"), OFFICE, None).await.unwrap();
    (staff, token)
}

async fn is_over(staff: &Staff, token: &Secret) -> bool {
    staff.session(token, Activity::Page).await.unwrap().is_none()
}

#[tokio::test]
async fn another_role_or_reach_ends_sessions_and_holds_from_the_next_sign_in() {
    for test in stores().await {
        let (staff, token) = signed_in(&test).await;
        staff.change_account("lin", Some(Role::Supervisor), None).await.unwrap();
        assert!(is_over(&staff, &token).await, "{}", test.name);
        let token = staff.sign_in("lin", &secret("correct horse battery"), OFFICE, None).await.unwrap();
        assert_eq!(staff.session(&token, Activity::Page).await.unwrap().unwrap().role, Role::Supervisor);
        let reach = Reach::of([AccountId::new("loan")]);
        staff.change_account("lin", None, Some(&reach)).await.unwrap();
        assert!(is_over(&staff, &token).await);
        let token = staff.sign_in("lin", &secret("correct horse battery"), OFFICE, None).await.unwrap();
        let session = staff.session(&token, Activity::Page).await.unwrap().unwrap();
        assert_eq!((session.role, session.reach), (Role::Supervisor, reach));
        let unknown = staff.change_account("nobody", Some(Role::Admin), None).await;
        assert!(matches!(unknown, Err(AccountError::Unknown(_))));
    }
}

#[tokio::test]
async fn another_password_ends_sessions_and_the_old_one_opens_nothing() {
    for test in stores().await {
        let (staff, token) = signed_in(&test).await;
        assert!(matches!(staff.change_password("lin", &secret("short")).await, Err(AccountError::TooShort)));
        staff.change_password("lin", &secret("a new long password")).await.unwrap();
        assert!(is_over(&staff, &token).await);
        let old = staff.sign_in("lin", &secret("correct horse battery"), OFFICE, None).await;
        assert!(matches!(old, Err(SignInError::Wrong)));
        assert!(staff.sign_in("lin", &secret("a new long password"), OFFICE, None).await.is_ok());
    }
}

#[tokio::test]
async fn a_sign_in_that_was_under_way_when_the_account_changed_opens_nothing() {
    for test in stores().await {
        let (staff, _) = signed_in(&test).await;
        let read = test.store.staff("lin").await.unwrap().unwrap();
        staff.change_password("lin", &secret("a new long password")).await.unwrap();
        let begun = staff.begin(&read, crate::staff::Stage::Full, None, Commit::new(0)).await.unwrap();
        assert!(begun.is_none(), "{}", test.name);
    }
}

#[tokio::test]
async fn a_removed_account_is_gone_and_its_deeds_stay() {
    for test in stores().await {
        let (staff, token) = signed_in(&test).await;
        staff.remove_account("lin").await.unwrap();
        assert!(is_over(&staff, &token).await);
        assert!(staff.accounts().await.unwrap().is_empty());
        assert!(matches!(staff.remove_account("lin").await, Err(AccountError::Unknown(_))));
        let actions: Vec<_> =
            test.store.audit_lines(None, 10).await.unwrap().into_iter().map(|line| line.action).collect();
        assert_eq!(actions.len(), 3);
        for action in ["account_added", "sign_in", "account_removed"] {
            assert!(actions.iter().any(|found| found == action), "{actions:?}");
        }
        assert!(test.store.verify_audit().await.unwrap().faults.is_empty());
    }
}

#[tokio::test]
async fn no_password_opens_an_account_without_one() {
    for test in stores().await {
        let (staff, _) = signed_in(&test).await;
        staff.add_account_without_password("wang", Role::Agent, &Reach::Every).await.unwrap();
        for typed in ["", "-", "correct horse battery"] {
            let refused = staff.sign_in("wang", &secret(typed), OFFICE, None).await;
            assert!(matches!(refused, Err(SignInError::Wrong)), "{typed} on {}", test.name);
        }
        let listed = staff.accounts().await.unwrap();
        let how: Vec<_> = listed.iter().map(|one| (one.name.as_str(), one.has_password)).collect();
        assert_eq!(how, [("lin", true), ("wang", false)]);
    }
}

#[tokio::test]
async fn one_ipv6_network_is_one_guesser() {
    for test in stores().await {
        let (staff, _) = signed_in(&test).await;
        let mut tried = 0;
        for host in 1..=20_u16 {
            let address: IpAddr = format!("2001:db8::{host:x}").parse().unwrap();
            match staff.sign_in("lin", &secret("a guess that is wrong"), address, None).await {
                Err(SignInError::Wrong) => tried += 1,
                Err(SignInError::Locked(_)) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(tried <= 5, "{tried} on {}", test.name);
    }
}
