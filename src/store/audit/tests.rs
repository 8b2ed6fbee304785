//! The chains of the audit trail, on both engines: whole while many write, and telling of each way of tampering.

use std::sync::Arc;

use super::*;
use crate::clock::SystemRandom;
use crate::keys::SoftKeys;
use crate::store::testing::{TestStore, stores};
use crate::store::{CommitError, Engine};
use zeroize::Zeroizing;

statements! {
    EDIT = "UPDATE audit SET actor = 'somebody else' WHERE chain = $1 AND seq = $2";
    DELETE = "DELETE FROM audit WHERE chain = $1 AND seq = $2";
    MOVE = "UPDATE audit SET seq = $3 WHERE chain = $1 AND seq = $2";
    FORGE = "INSERT INTO audit (audit_id, at_ms, actor, action, account) VALUES ('forged', $1, 'a', 'b', '')";
    SET_BACK = "UPDATE audit_chain SET entries = entries - 1 WHERE chain = $1";
    FORGET_CHAIN = "DELETE FROM audit_chain WHERE chain = $1";
    DELETE_ALL = "DELETE FROM audit WHERE chain = $1";
    COUNT_LESS = "UPDATE audit_root SET chains = chains - 1";
    OPEN_SQLITE_1 = "DROP TRIGGER IF EXISTS audit_keeps_its_lines";
    OPEN_SQLITE_2 = "DROP TRIGGER IF EXISTS audit_loses_no_line";
    OPEN_POSTGRES_1 = "DROP TRIGGER IF EXISTS audit_keeps_its_lines ON audit";
    OPEN_POSTGRES_2 = "DROP TRIGGER IF EXISTS audit_loses_no_line ON audit";
}

fn line(store: &Store, action: &str) -> Write {
    store.audit("agent01", action, &AccountId::new("card"), None, Some("查账单")).unwrap()
}

async fn written(test: &TestStore, lines: usize) {
    for number in 0..lines {
        let commit = Commit::new(0).with(line(&test.store, &format!("did {number}")));
        test.store.commit(commit).await.unwrap();
    }
}

async fn change(test: &TestStore, statement: Statement, args: Vec<Value>) {
    let triggers = match test.store.engine() {
        Engine::Sqlite => [OPEN_SQLITE_1, OPEN_SQLITE_2],
        Engine::Postgres => [OPEN_POSTGRES_1, OPEN_POSTGRES_2],
    };
    for statement in triggers {
        test.store.commit(Commit::new(0).with(Write::new(statement, vec![]))).await.unwrap();
    }
    test.store.commit(Commit::new(0).with(Write::new(statement, args))).await.unwrap();
}

async fn faults(test: &TestStore) -> Vec<AuditFault> {
    test.store.verify_audit().await.unwrap().faults
}

/// Writes ten lines, does this to them, and tells what verification finds.
async fn after(statement: Statement, args: &[i64]) -> Vec<Vec<AuditFault>> {
    let mut found = Vec::new();
    for test in stores().await {
        written(&test, 10).await;
        assert_eq!(faults(&test).await, []);
        change(&test, statement, args.iter().map(|arg| Value::from(*arg)).collect()).await;
        found.push(faults(&test).await);
    }
    found
}

#[tokio::test]
async fn one_line_deleted_is_found_also_at_the_end() {
    for faults in after(DELETE, &[1, 4]).await {
        assert_eq!(faults, [AuditFault::Gone { chain: 1, from: 4, to: 4 }]);
    }
    for faults in after(DELETE, &[1, 10]).await {
        assert_eq!(faults, [AuditFault::Gone { chain: 1, from: 10, to: 10 }]);
    }
}

#[tokio::test]
async fn one_line_edited_is_found_and_named() {
    for faults in after(EDIT, &[1, 7]).await {
        assert!(matches!(&faults[..], [AuditFault::Changed { chain: 1, seq: 7, .. }]), "{faults:?}");
    }
}

#[tokio::test]
async fn one_line_moved_is_found() {
    for faults in after(MOVE, &[1, 3, 11]).await {
        assert!(faults.contains(&AuditFault::Gone { chain: 1, from: 3, to: 3 }), "{faults:?}");
        assert!(faults.contains(&AuditFault::Added { chain: 1, end: 10 }), "{faults:?}");
    }
    for test in stores().await {
        written(&test, 10).await;
        for [from, to] in [[3, 1_000], [4, 3], [1_000, 4]] {
            change(&test, MOVE, vec![1_i64.into(), Value::from(i64::from(from)), Value::from(i64::from(to))])
                .await;
        }
        let faults = faults(&test).await;
        assert!(
            matches!(faults[0], AuditFault::Changed { seq: 3, .. }),
            "two lines changed places: {faults:?}"
        );
        assert!(matches!(faults[1], AuditFault::Changed { seq: 4, .. }), "{faults:?}");
    }
}

#[tokio::test]
async fn a_line_of_ones_own_a_head_set_back_and_a_chain_taken_away_are_found() {
    for faults in after(FORGE, &[i64::MAX]).await {
        assert_eq!(faults, [AuditFault::Unchained { lines: 1 }]);
    }
    for faults in after(SET_BACK, &[1]).await {
        assert!(faults.contains(&AuditFault::Head { chain: 1 }), "{faults:?}");
    }
    for faults in after(FORGET_CHAIN, &[1]).await {
        assert!(faults.contains(&AuditFault::ChainGone { chain: 1 }), "{faults:?}");
        assert!(faults.contains(&AuditFault::Strange { chain: 1, lines: 10 }), "{faults:?}");
    }
    for faults in after(COUNT_LESS, &[]).await {
        assert!(faults.contains(&AuditFault::Root), "{faults:?}");
    }
    for test in stores().await {
        written(&test, 3).await;
        change(&test, DELETE_ALL, vec![1_i64.into()]).await;
        change(&test, FORGET_CHAIN, vec![1_i64.into()]).await;
        assert_eq!(faults(&test).await, [AuditFault::ChainGone { chain: 1 }], "a chain with all its lines");
    }
}

#[tokio::test]
async fn the_database_itself_refuses_to_change_or_delete_a_line() {
    for test in stores().await {
        written(&test, 3).await;
        for statement in [EDIT, DELETE] {
            let write = Write::new(statement, vec![1_i64.into(), 2_i64.into()]);
            let refused = test.store.commit(Commit::new(0).with(write)).await;
            let Err(CommitError::Store(StoreError::Statement { source, .. })) = refused else {
                panic!("{statement:?} on {}: {refused:?}", test.name)
            };
            assert!(source.to_string().contains("append-only"), "{source}");
        }
        assert_eq!(ALL.len(), 12);
        // The chain goes on as if nothing had been tried.
        written(&test, 2).await;
        let report = test.store.verify_audit().await.unwrap();
        assert_eq!((report.lines, report.faults), (5, vec![]));
    }
}

#[tokio::test]
async fn commits_that_meet_conflicts_leave_no_hole() {
    for test in stores().await {
        let store = &test.store;
        let staff = |name: &str| store.insert_staff(name, "agent", "", "hash");
        store.commit(Commit::new(0).with(staff("taken"))).await.unwrap();
        let commits = (0..300_u32).map(|number| {
            let name = if number % 3 == 0 { "taken".to_owned() } else { format!("name{number}") };
            let commit = Commit::new(u8::try_from(number % 256).unwrap());
            let commit = commit.with(line(store, "before")).with(staff(&name)).with(line(store, "after"));
            async move { store.commit(commit).await.is_ok() }
        });
        let stands = futures::future::join_all(commits).await.into_iter().filter(|stands| *stands).count();
        let report = store.verify_audit().await.unwrap();
        assert_eq!((stands, report.lines, report.faults), (200, 400, vec![]), "{}", test.name);
    }
}

#[tokio::test]
async fn instances_that_write_at_once_have_chains_of_their_own_and_all_are_whole() {
    for test in stores().await {
        let mut instances = vec![test.store.clone()];
        for _ in 0..3 {
            let keys = SoftKeys::new(Zeroizing::new([42; 32]), vec![], Arc::new(SystemRandom));
            let url = test.url();
            let opened = Store::open(&url, &keys, test.clock.clone(), Arc::new(SystemRandom)).await;
            instances.push(opened.unwrap());
        }
        let writes = instances.iter().enumerate().flat_map(|(instance, store)| {
            (0..100_u8).map(move |number| async move {
                let action = format!("{instance} did {number}");
                store.commit(Commit::new(number).with(line(store, &action))).await.unwrap();
            })
        });
        futures::future::join_all(writes).await;
        let report = instances[3].verify_audit().await.unwrap();
        let chains = if test.store.engine() == Engine::Sqlite { 4 } else { 16 };
        assert_eq!((report.chains, report.lines, report.faults), (chains, 400, vec![]), "{}", test.name);
        for instance in instances.iter().skip(1) {
            instance.close().await;
        }
        // Whoever starts again begins a chain of his own.
        written(&test, 1).await;
        assert_eq!(faults(&test).await, []);
    }
}

#[tokio::test]
async fn verification_while_others_write_finds_nothing() {
    for test in stores().await {
        let writes = (0..600).map(|_| written_one(&test.store));
        let verified = async {
            for _ in 0..5 {
                assert_eq!(faults(&test).await, [], "{}", test.name);
            }
        };
        tokio::join!(futures::future::join_all(writes), verified);
    }
}

async fn written_one(store: &Store) {
    store.commit(Commit::new(0).with(line(store, "did"))).await.unwrap();
}

#[tokio::test]
async fn the_newest_lines_read_back_page_by_page() {
    for test in stores().await {
        for number in 0..5 {
            test.clock.advance(std::time::Duration::from_millis(1));
            let commit = Commit::new(0).with(line(&test.store, &format!("did {number}")));
            test.store.commit(commit).await.unwrap();
        }
        let first = test.store.audit_lines(None, 3).await.unwrap();
        let last = first.last().unwrap();
        let second = test.store.audit_lines(Some((last.at, &last.audit_id)), 3).await.unwrap();
        let actions: Vec<_> = first.iter().chain(&second).map(|line| line.action.as_str()).collect();
        assert_eq!(actions, ["did 4", "did 3", "did 2", "did 1", "did 0"]);
        assert_eq!(first[0].detail.as_ref().unwrap().reveal(), "查账单");
    }
}
