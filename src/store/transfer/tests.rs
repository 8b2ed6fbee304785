//! A database arrives whole on the other engine, whatever stops it on the way.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt as _;
use zeroize::Zeroizing;

use super::super::database::{Connection, Connector};
use super::super::testing::{START, TestStore, empty_databases, stores};
use super::super::value::statements;
use super::super::{Channel, Commit, Direction, Message, Store, Value, Write};
use super::tables::tables;
use super::{MANIFEST, Progress, TransferError, export, import};
use crate::clock::{ManualClock, SeededRandom};
use crate::domain::ids::{AccountId, FollowerKey, Openid};
use crate::domain::secret::{Personal, Secret};
use crate::keys::SoftKeys;

/// More than two statements of the widest table, and than one of the narrowest.
const FOLLOWERS: u8 = 200;
const ENTRIES: i64 = 12;

statements! {
    SPOIL = "UPDATE message SET state = 'sent' WHERE message_id = (SELECT min(message_id) FROM message)";
    DROP = "DELETE FROM message WHERE message_id = (SELECT max(message_id) FROM message)";
    NOTE = "INSERT INTO audit (audit_id, at_ms, actor, action, account) VALUES ($1, 1, 'a', 'b', 'card')";
}

fn keys(byte: u8) -> SoftKeys {
    SoftKeys::new(Zeroizing::new([byte; 32]), vec![], Arc::new(SeededRandom::new(1)))
}

fn account() -> AccountId {
    AccountId::new("card")
}

fn follower(number: u8) -> FollowerKey {
    FollowerKey::new([number; 16])
}

fn text_of(number: u8, seq: i64) -> String {
    format!("{number} 说“第{seq}句”\n\t\\ \u{0}🌸")
}

/// Followers and what they said: whole numbers, texts, bytes and NULLs.
async fn fill(test: &TestStore) {
    let store = &test.store;
    for number in 0..FOLLOWERS {
        let mut conversation = store.conversation(&account(), follower(number)).await.unwrap();
        let openid = Openid::parse(&format!("o-{number}")).unwrap();
        let mut commit =
            Commit::new(0).with(store.meet_follower(&account(), follower(number), &openid, START).unwrap());
        for _ in 0..ENTRIES {
            let message = Message {
                account: account(),
                follower: follower(number),
                seq: conversation.next_seq(),
                direction: Direction::In,
                author: "customer".into(),
                channel: Channel::Passive,
                content: Personal::new(text_of(number, conversation.seq)),
                at: START,
                state: "received".into(),
            };
            commit.push(store.append_message(&mut conversation, &message).unwrap());
        }
        commit.push(store.save_conversation(conversation).unwrap());
        store.commit(commit).await.unwrap();
    }
}

async fn assert_whole(url: &Secret) {
    let clock = Arc::new(ManualClock::new(START));
    let store = Store::open(url, &keys(42), clock, Arc::new(SeededRandom::new(2))).await.unwrap();
    for number in 0..FOLLOWERS {
        let log = store.messages(&account(), follower(number), 0, 100).await.unwrap();
        let said: Vec<_> = log.iter().map(|entry| entry.content.reveal().to_owned()).collect();
        let expected: Vec<_> = (1..=ENTRIES).map(|seq| text_of(number, seq)).collect();
        assert_eq!(said, expected);
    }
    store.close().await;
}

async fn connect(url: &Secret) -> Connection {
    Connector::parse(url).unwrap().connect().await.unwrap()
}

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn a_database_arrives_whole_on_either_engine() {
    for test in stores().await {
        fill(&test).await;
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let manifest = export(&test.url(), &out, START, |_| {}).await.unwrap();
        let messages = manifest.tables.iter().find(|table| table.name() == "message").unwrap();
        assert_eq!(messages.rows, u64::from(FOLLOWERS) * ENTRIES.unsigned_abs());
        assert_eq!(files(&out).len(), manifest.tables.len() + 1);
        let again = export(&test.url(), &out, START, |_| {}).await;
        assert!(matches!(again, Err(TransferError::Exists(_))), "{}", test.name);
        for target in empty_databases(&folder).await {
            let arrived = import(&target, &out, &keys(42), |_| {}).await.unwrap();
            assert_eq!(arrived.tables.len(), manifest.tables.len());
            assert_whole(&target).await;
            // From there back out: byte for byte the same rows, so the same hashes.
            let back = folder.path().join("back");
            let second = export(&target, &back, START, |_| {}).await.unwrap();
            for (one, other) in manifest.tables.iter().zip(&second.tables) {
                // Opening the store for a look left marks of its own in none of these.
                assert_eq!((one.rows, &one.hash), (other.rows, &other.hash), "{}", one.name());
            }
            std::fs::remove_dir_all(back).unwrap();
        }
    }
}

/// An export of many followers, from the embedded database.
async fn exported() -> (tempfile::TempDir, PathBuf) {
    let test = stores().await.swap_remove(0);
    fill(&test).await;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    export(&test.url(), &out, START, |_| {}).await.unwrap();
    (folder, out)
}

/// Imports until this many rows have been told, and is dropped there, as by `kill`.
async fn stopped_after(url: &Secret, from: &Path, rows_max: u64) -> bool {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (mut stop, mut rows) = (Some(stop), 0);
    let keys = keys(42);
    let running = import(url, from, &keys, |progress| {
        if let Progress::Rows(more) = progress {
            rows += more;
        }
        if rows >= rows_max {
            drop(stop.take());
        }
    });
    tokio::select! {
        biased;
        _ = stopped => true,
        done = running => { done.unwrap(); false }
    }
}

#[tokio::test]
async fn an_import_that_was_stopped_goes_on_where_it_stood() {
    let (folder, out) = exported().await;
    for target in empty_databases(&folder).await {
        let mut stops = 0;
        while stopped_after(&target, &out, 300).await {
            stops += 1;
        }
        assert!(stops >= 3, "{stops}");
        let mut told = Vec::new();
        let note = |progress: Progress<'_>| {
            if let Progress::Table { rows, done, .. } = progress {
                told.push((rows, done));
            }
        };
        import(&target, &out, &keys(42), note).await.unwrap();
        assert!(told.iter().all(|(rows, done)| rows == done), "nothing was left to do: {told:?}");
        assert_whole(&target).await;
    }
}

#[tokio::test]
async fn other_rows_another_key_a_damaged_line_and_half_an_export_are_refused() {
    let (folder, out) = exported().await;
    for target in empty_databases(&folder).await {
        let other_key = import(&target, &out, &keys(41), |_| {}).await;
        assert!(matches!(other_key, Err(TransferError::OtherKey(_))));
        assert!(stopped_after(&target, &out, 1_500).await);
        for spoil in [SPOIL, DROP] {
            let mut connection = connect(&target).await;
            connection.run("BEGIN", "BEGIN".to_owned(), &[]).await.unwrap();
            connection.execute(spoil, []).await.unwrap();
            let counted =
                connection.stream("COUNT", "SELECT count(*) FROM message".to_owned()).try_next().await;
            assert!(counted.unwrap().unwrap().int(0).unwrap() > 0, "{}", spoil.name);
            connection.run("ROLLBACK", "ROLLBACK".to_owned(), &[]).await.unwrap();
        }
        connect(&target).await.execute(SPOIL, []).await.unwrap();
        let other_rows = import(&target, &out, &keys(42), |_| {}).await;
        assert!(
            matches!(&other_rows, Err(TransferError::NotEmpty(table)) if table == "message"),
            "{other_rows:?}"
        );
    }
    let fresh = empty_databases(&tempfile::tempdir().unwrap()).await.swap_remove(0);
    let file = out.join("message.jsonl");
    let whole = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, whole.replacen("\"base64\":\"", "\"base64\":\"?", 5)).unwrap();
    let damaged = import(&fresh, &out, &keys(42), |_| {}).await;
    assert!(matches!(damaged, Err(TransferError::Line { line: 1, .. })), "{damaged:?}");
    std::fs::remove_file(out.join(MANIFEST)).unwrap();
    let half = import(&fresh, &out, &keys(42), |_| {}).await;
    assert!(matches!(half, Err(TransferError::NoExport(_))));
}

#[tokio::test]
async fn both_engines_have_the_same_tables_and_a_server_in_use_is_not_written_over() {
    let mut found = Vec::new();
    for test in stores().await {
        found.push(tables(&mut connect(&test.url()).await).await.unwrap());
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        export(&test.url(), &out, START, |_| {}).await.unwrap();
        test.store.commit(Commit::new(0).with(Write::new(NOTE, vec![Value::from("later")]))).await.unwrap();
        let into_itself = import(&test.url(), &out, &keys(42), |_| {}).await;
        assert!(
            matches!(&into_itself, Err(TransferError::NotEmpty(table)) if table == "audit"),
            "{into_itself:?}"
        );
    }
    assert!(found.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(found[0].iter().any(|table| table.name == "conversation"));
    assert_eq!(ALL.len(), 3);
}
