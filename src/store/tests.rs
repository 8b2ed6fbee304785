//! What the door promises on both engines.

use super::testing::stores;
use super::value::statements;
use super::{Claim, Commit, CommitError, Conflict, PushOutcome, Value, Write, all_statements};
use crate::domain::ids::{AccountId, FollowerKey, PushKey};
use crate::domain::time::UnixMs;

statements! {
    ADD = "INSERT INTO audit (audit_id, at_ms, actor, action, account) VALUES ($1, $2, 'a', 'b', 'card') \
        ON CONFLICT (audit_id) DO NOTHING";
    COUNT = "SELECT count(*) FROM audit WHERE audit_id LIKE $1";
}

fn add(id: &str) -> Write {
    Write::one(ADD, vec![id.into(), 1_i64.into()], Conflict::Duplicate)
}

#[tokio::test]
async fn every_statement_prepares_on_both_engines() {
    for test in stores().await {
        let mut connection = test.store.inner.database.connector().connect().await.unwrap();
        for statement in all_statements() {
            // PostgreSQL knows the types of a list's columns by its arguments only; every message runs these.
            if statement.sql.contains("FROM (VALUES") && test.store.engine() == super::Engine::Postgres {
                continue;
            }
            let outcome = connection.prepare(statement).await;
            assert!(outcome.is_ok(), "{} on {}: {outcome:?}", statement.name, test.name);
        }
    }
    assert_eq!(ALL.len(), 2);
}

#[tokio::test]
async fn a_commit_stands_whole_or_not_at_all_and_fails_alone_in_its_group() {
    for test in stores().await {
        let store = &test.store;
        store.commit(Commit::new(0).with(add("first"))).await.unwrap();
        let commits = (0..200).map(|number| {
            let commit = Commit::new(0).with(add(&format!("many{number}")));
            // Every third one ends in a conflict after its first write.
            let commit = if number % 3 == 0 { commit.with(add("first")) } else { commit };
            async move { store.commit(commit).await }
        });
        let outcomes = futures::future::join_all(commits).await;
        for (number, outcome) in outcomes.iter().enumerate() {
            match outcome {
                Ok(()) => assert_ne!(number % 3, 0),
                Err(CommitError::Conflict(Conflict::Duplicate)) => assert_eq!(number % 3, 0),
                Err(other) => panic!("{number} on {}: {other}", test.name),
            }
        }
        let rows = store.fetch(COUNT, vec!["many%".into()]).await.unwrap();
        assert_eq!(rows[0].int(0).unwrap(), 133, "{}", test.name);
    }
}

#[tokio::test]
async fn a_broken_statement_fails_its_own_commit_and_no_other() {
    const BROKEN: super::Statement =
        super::Statement { name: "BROKEN", sql: "INSERT INTO audit (audit_id) VALUES ($1)" };
    for test in stores().await {
        let store = &test.store;
        let commits = (0..20).map(|number| {
            let write = if number == 7 {
                Write::new(BROKEN, vec![Value::from("x")])
            } else {
                add(&format!("ok{number}"))
            };
            async move { store.commit(Commit::new(0).with(write)).await }
        });
        let outcomes = futures::future::join_all(commits).await;
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1, "{}", test.name);
        assert!(matches!(outcomes[7], Err(CommitError::Store(_))));
    }
}

#[tokio::test]
async fn old_keys_are_forgotten_oldest_first_in_batches_and_never_while_somebody_works_on_them() {
    for test in stores().await {
        let (store, account) = (&test.store, AccountId::new("card"));
        let claim = |number: i64, outcome| {
            let key = PushKey::new(&number.to_string());
            let (follower, received) = (FollowerKey::new([0; 16]), UnixMs(number));
            let (turn, reply_seq) = (0, None);
            store.claim_push(&Claim {
                account: &account,
                key: &key,
                follower,
                turn,
                outcome,
                received,
                reply_seq,
            })
        };
        let mut commit = Commit::new(0).with(claim(0, PushOutcome::Taken));
        commit.extend((1..=7).map(|number| claim(number, PushOutcome::Silent)));
        store.commit(commit).await.unwrap();
        let mut batches = Vec::new();
        loop {
            let old = store.count_old_pushes(UnixMs(7), 4).await.unwrap();
            if old == 0 {
                break;
            }
            batches.push(old);
            store.commit(Commit::new(0).with(store.forget_pushes(UnixMs(7), 4))).await.unwrap();
            let fourth = store.seen_push(&account, &PushKey::new("4")).await.unwrap();
            let fifth = store.seen_push(&account, &PushKey::new("5")).await.unwrap();
            assert_eq!((fourth.is_some(), fifth.is_some()), (false, batches.len() == 1), "{}", test.name);
        }
        assert_eq!(batches, [4, 2], "{}", test.name);
        for (key, kept) in [("0", true), ("6", false), ("7", true)] {
            assert_eq!(store.seen_push(&account, &PushKey::new(key)).await.unwrap().is_some(), kept, "{key}");
        }
    }
}
