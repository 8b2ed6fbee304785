//! What the door promises on both engines.

use super::testing::TestStore;
use super::testing::stores;
use super::value::statements;
use super::{
    Channel, Claim, Commit, CommitError, Conflict, Direction, MESSAGES_MAX, Message, PushOutcome, Value,
    Write, all_statements,
};
use crate::domain::ids::{AccountId, FollowerKey, PushKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;

statements! {
    ADD = "INSERT INTO audit (audit_id, at_ms, actor, action, account) VALUES ($1, $2, 'a', 'b', 'card') \
        ON CONFLICT (audit_id) DO NOTHING";
    COUNT = "SELECT count(*) FROM audit WHERE audit_id LIKE $1";
    LOG = "SELECT count(*) FROM message";
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
    assert_eq!(ALL.len(), 3);
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

/// Adds so many entries to the log of a follower, in one commit.
pub(super) async fn say(test: &TestStore, account: &AccountId, follower: FollowerKey, entries: u32) {
    let mut conversation = test.store.conversation(account, follower).await.unwrap();
    let mut commit = Commit::new(0);
    for _ in 0..entries {
        let message = Message {
            account: account.clone(),
            follower,
            seq: conversation.next_seq(),
            direction: Direction::Out,
            author: "bot".to_owned(),
            channel: Channel::Passive,
            content: Personal::new(format!("{} of {follower}", conversation.seq)),
            at: test.store.clock().now(),
            state: "replied".to_owned(),
        };
        commit.push(test.store.append_message(&mut conversation, &message).unwrap());
    }
    commit.push(test.store.save_conversation(conversation).unwrap());
    test.store.commit(commit).await.unwrap();
}

#[tokio::test]
async fn each_followers_log_reads_back_from_anywhere_and_ends_alone() {
    for test in stores().await {
        let (store, account) = (&test.store, AccountId::new("card"));
        let [first, second] = [1, 2].map(|byte| FollowerKey::new([byte; 16]));
        for (follower, entries) in [(first, 3), (second, 2), (first, 1), (first, 5), (second, MESSAGES_MAX)] {
            say(&test, &account, follower, entries).await;
        }
        let numbers = |messages: Vec<Message>| messages.iter().map(|message| message.seq).collect::<Vec<_>>();
        for (after, limit, expected) in
            [(0, 4, vec![1, 2, 3, 4]), (5, 9, vec![6, 7, 8, 9]), (9, 9, vec![]), (-3, 1, vec![1])]
        {
            let messages = store.messages(&account, first, after, limit).await.unwrap();
            assert_eq!(numbers(messages), expected, "after {after}, at most {limit}, on {}", test.name);
        }
        for (before, limit, expected) in [
            (i64::MAX, 2, vec![8, 9]),
            (9, 3, vec![6, 7, 8]),
            (3, 9, vec![1, 2]),
            (1, 9, vec![]),
            (i64::MIN, 9, vec![]),
        ] {
            let messages = store.messages_before(&account, first, before, limit).await.unwrap();
            assert_eq!(numbers(messages), expected, "before {before}, at most {limit}, on {}", test.name);
        }
        let all = store.messages_before(&account, second, i64::MAX, u32::MAX).await.unwrap();
        assert_eq!(all.len(), usize::try_from(MESSAGES_MAX).unwrap());
        assert_eq!(all[0].content.reveal(), format!("3 of {second}"));

        let queued = store.set_message_state(&account, first, 4, "sent");
        store.commit(Commit::new(0).with(queued)).await.unwrap();
        let states: Vec<_> = store
            .messages(&account, first, 2, 3)
            .await
            .unwrap()
            .into_iter()
            .map(|message| message.state)
            .collect();
        assert_eq!(states, ["replied", "sent", "replied"], "{}", test.name);

        store.commit(Commit::new(0).with(store.erase_messages(&account, first))).await.unwrap();
        assert!(store.messages(&account, first, 0, 9).await.unwrap().is_empty());
        assert_eq!(store.messages(&account, second, 0, u32::MAX).await.unwrap().len(), 500, "{}", test.name);
        let left = store.fetch(LOG, vec![]).await.unwrap();
        assert_eq!(left[0].int(0).unwrap(), i64::from(MESSAGES_MAX) + 2, "{}", test.name);
        say(&test, &account, first, 1).await;
        let since = store.messages(&account, first, 0, 9).await.unwrap();
        assert_eq!(numbers(since), [10], "what is said afterwards begins a new log, on {}", test.name);
    }
}
