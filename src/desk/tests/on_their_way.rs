//! Answers on their way: one row of the outbox each, and counted once whether or not the ledger has booked them.

use super::*;
use crate::store::{CommitError, Conflict};

/// The desk over the real outgoing queue, of which nothing is sent.
fn desk_with_outbox(test: &TestStore) -> Desk {
    const CONFIG: &str = "[server]\npublic_url = 'https://wx.bank.example'\n[database]\nurl = 'sqlite://x'\n\
        [[accounts]]\nid = 'card'\nname = 'n'\noriginal_id = 'o'\napp_id = 'a'\napp_secret = 's'\ntoken = 't'\n\
        encryption = 'plain'\n[core]\nbase_url = 'http://127.0.0.1:8090'\nsecret = 'whsec_Y2FuYXJ5LWNvcmU='\n\
        [api]\nsecrets = ['whsec_Y2FuYXJ5LWFwaQ==']\n";
    let config = Arc::new(crate::config::Config::parse("w.toml", CONFIG, []).unwrap());
    let store = &test.store;
    let (clock, random) = (store.clock().clone(), store.random().clone());
    let outbound = Outbound::new(config, store.clone(), Arc::default(), clock, random).unwrap();
    Desk::new(store.clone(), files(ALWAYS), Arc::new(outbound), Arc::default())
}

/// Pays for one answer as a send does: its row is tried, and the allowance drawn, in one commit.
async fn book(test: &TestStore, who: FollowerKey, seq: i64) {
    const OF_SEQ: Statement =
        Statement { name: "OF_SEQ", sql: "SELECT outbox_id FROM outbox WHERE fkey = $1 AND log_seq = $2" };
    let store = &test.store;
    let row = store.fetch_one(OF_SEQ, vec![who.into(), seq.into()]).await.unwrap().unwrap();
    let now = store.clock().now();
    loop {
        let conversation = store.conversation(&account(), who).await.unwrap();
        let draw = conversation.ledger.draw(Sender::Agent, true, now).unwrap();
        let mut commit = Commit::new(who.part());
        commit.push(store.count_attempt(row.text(0).unwrap(), 1, now + Duration::from_secs(60)));
        commit.push(store.spend_allowance(&conversation, draw).unwrap());
        match store.commit(commit).await {
            Ok(()) => break,
            Err(CommitError::Conflict(Conflict::Stale)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn an_answer_is_one_row_of_the_outbox() {
    const OUTBOX: Statement = Statement { name: "OUTBOX", sql: "SELECT count(*), max(log_seq) FROM outbox" };
    for test in stores().await {
        let desk = desk_with_outbox(&test);
        let me = agent("agent01");
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        desk.claim(&me, &case_id).await.unwrap();
        let seq = desk.answer(&me, &case_id, "key", "您好").await.unwrap().seq;
        desk.answer(&me, &case_id, "key", "您好").await.unwrap();
        let row = test.store.fetch_one(OUTBOX, vec![]).await.unwrap().unwrap();
        assert_eq!((row.int(0).unwrap(), row.int(1).unwrap()), (1, seq), "{}", test.name);
    }
}

#[tokio::test]
async fn an_answer_that_is_booked_meanwhile_counts_once() {
    for test in stores().await {
        let desk = desk_with_outbox(&test);
        for number in 1..=12 {
            let me = agent(&format!("agent{number}"));
            let who = follower(number);
            let case_id = waiting_case(&test, &desk, who).await;
            desk.claim(&me, &case_id).await.unwrap();
            for answers in 1..=5 {
                let key = format!("k{answers}");
                let seq = desk.answer(&me, &case_id, &key, "好的").await.unwrap().seq;
                let looks = async {
                    for _ in 0..usize::from(number) {
                        let left = desk.open(&me, &case_id).await.unwrap().allowance.left;
                        assert_eq!(left, 5 - answers, "{}: case {number}", test.name);
                    }
                };
                tokio::join!(book(&test, who, seq), looks);
            }
            let over = desk.answer(&me, &case_id, "k6", "再一句").await;
            assert!(matches!(over, Err(DeskError::WindowSpent)), "{}: {over:?}", test.name);
        }
    }
}
