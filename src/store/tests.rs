//! What the door promises on both engines.

use super::testing::stores;
use super::value::statements;
use super::{Commit, CommitError, Conflict, Value, Write, all_statements};

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
