//! A day that was archived can be read, and only then does it go.

use std::path::Path;

use super::super::super::testing::{TestStore, noon_of, stores};
use super::super::super::tests::say;
use super::super::super::value::statements;
use super::super::super::{Kept, Write};
use super::*;
use crate::domain::ids::FollowerKey;

statements! {
    UNNOTE = "DELETE FROM archived_day";
}

async fn archived(test: &TestStore, to: &Path, before: BeijingDay) -> Vec<ArchivedDay> {
    let mut days = vec![];
    archive(&test.store, to, before, |day| days.push(day.clone())).await.unwrap();
    days
}

#[tokio::test]
async fn an_archived_day_is_sealed_reads_back_and_may_go() {
    for test in stores().await {
        let (account, follower) = (AccountId::new("card"), FollowerKey::new([3; 16]));
        let today = BeijingDay::of(test.store.lease_now().await.unwrap());
        for day in 0..3 {
            test.clock.set(noon_of(today.plus(day)));
            say(&test, &account, follower, 2).await;
        }
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("log");
        let days = archived(&test, &to, today.plus(2)).await;
        let told: Vec<_> = days.iter().map(|day| (day.day, day.entries)).collect();
        assert_eq!(told, [(today, 2), (today.plus(1), 2)], "{}", test.name);
        assert!(archived(&test, &to, today.plus(2)).await.is_empty(), "each day once");

        let file = &days[0].file;
        assert_eq!(file.file_name().unwrap().to_str().unwrap(), format!("message-{today}.jsonl"));
        let text = std::fs::read_to_string(file).unwrap();
        assert!(!text.contains(&format!("of {follower}")), "what was said stays sealed");
        let sum = std::fs::read_to_string(format!("{}.sha256", file.display())).unwrap();
        assert_eq!(sum, format!("{}  message-{today}.jsonl\n", days[0].sha256));

        // A run that was stopped before it noted its day is repeated, and finds the same.
        test.store.commit(Commit::new(0).with(Write::new(UNNOTE, vec![]))).await.unwrap();
        let again = archived(&test, &to, today.plus(2)).await;
        assert_eq!(again[0].sha256, days[0].sha256);

        // Only what was archived goes.
        let kept = Kept { days: Some(30), only_archived: true };
        let tidied = test.store.tidy_log(kept, noon_of(today.plus(40))).await.unwrap();
        assert_eq!((tidied.gone, tidied.waiting), (vec![today, today.plus(1)], 1), "{}", test.name);
        assert_eq!(test.store.messages(&account, follower, 0, 9).await.unwrap().len(), 2);

        let mut said = vec![];
        let read = read_archived(&test.store, file, &account, |message| {
            said.push((message.seq, message.content.reveal().to_owned()));
        });
        assert_eq!(read.await.unwrap(), 2);
        assert_eq!(said, [(1, format!("1 of {follower}")), (2, format!("2 of {follower}"))]);
        let other = read_archived(&test.store, file, &AccountId::new("loan"), |_| panic!("another's")).await;
        assert_eq!(other.unwrap(), 0);

        // Another's file is not written over, and a changed one is not read.
        std::fs::write(file, text.replacen("replied", "changed", 1)).unwrap();
        let changed = read_archived(&test.store, file, &account, |_| {}).await;
        assert!(matches!(changed, Err(TransferError::Altered { .. })), "{changed:?}");
        std::fs::write(file, "{}\n").unwrap();
        let none = read_archived(&test.store, file, &account, |_| {}).await;
        assert!(matches!(none, Err(TransferError::NoArchive(_))), "{none:?}");
        let third = to.join(format!("message-{}.jsonl", today.plus(2)));
        std::fs::write(&third, "other").unwrap();
        let over = archive(&test.store, &to, today.plus(3), |_| {}).await;
        assert!(matches!(over, Err(TransferError::Exists(_))), "{over:?}");
        assert_eq!(ALL.len(), 1);
    }
}
