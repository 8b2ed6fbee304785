//! Bindings as the other rooms and the bank use them, on both databases.

use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use super::testing::{House, card};
use super::{ImportItem, ImportOutcome, UnbindReason};
use crate::domain::alert_settings::{AlertChange, QuietHours};
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::{Card, CardTail};
use crate::domain::ids::{CustomerId, FollowerKey, Openid, PushKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::store::testing::stores;
use crate::store::{
    Channel, Claim, Commit, CommitError, Conflict, Conversation, Direction, Lane, Message, NewOutbox,
    OpenPush, OutChannel, PushOutcome, Statement, StoredDraft, Write,
};

async fn houses() -> Vec<House> {
    // Nobody listens there: nothing here asks the core.
    let core: url::Url = "http://127.0.0.1:9".parse().unwrap();
    stores().await.into_iter().map(|test| House::new(test, core.clone())).collect()
}

fn item(openid: &str, customer: &str) -> ImportItem {
    let card = |id: &str, tail: &str| Card {
        card_id: id.to_owned(),
        tail: CardTail::parse(tail).unwrap(),
        product: "金卡".to_owned(),
    };
    ImportItem {
        account: "card".to_owned(),
        openid: Openid::parse(openid).unwrap(),
        customer: CustomerId::parse(customer).unwrap(),
        cards: vec![card("K1", "1234"), card("K2", "5678")],
        bound: UnixMs(1_700_000_000_000),
    }
}

async fn commit(house: &House, writes: Vec<Write>) -> Result<(), CommitError> {
    let mut commit = Commit::new(0);
    commit.extend(writes);
    house.store.commit(commit).await
}

#[tokio::test]
async fn an_import_is_idempotent_and_judges_each_item_alone() {
    for house in houses().await {
        let mut unknown = item("oCarl", "C10003");
        unknown.account = "nowhere".to_owned();
        let mut bare = item("oDora", "C10004");
        bare.cards.clear();
        let mut twice = item("oErna", "C10005");
        twice.cards[1].card_id = "K1".to_owned();
        let items = vec![item("oAnna", "C10001"), item("oBert", "C10001"), unknown, bare, twice];
        let outcomes = house.identity.import(items).await.unwrap();
        assert_eq!(outcomes[..2], [ImportOutcome::Accepted, ImportOutcome::Accepted]);
        assert!(outcomes[2..].iter().all(|outcome| matches!(outcome, ImportOutcome::Rejected(_))));

        let again = house.identity.import(vec![item("oAnna", "C10002")]).await.unwrap();
        assert_eq!(again, [ImportOutcome::Duplicate]);
        let binding = house.binding("oAnna").await.unwrap();
        assert_eq!((binding.customer.reveal(), binding.source), ("C10001", BindingSource::Import));
        assert_eq!(
            (binding.bound, binding.card().unwrap().tail.as_str()),
            (UnixMs(1_700_000_000_000), "1234")
        );
        // An import alone may bind a customer from several followers.
        let bound = house.identity.followers_of(&binding.customer).await.unwrap();
        assert_eq!(bound.len(), 2);
        let follower = house.follower("oAnna");
        assert_eq!(house.store.is_following(&card(), follower).await.unwrap(), Some(true));
        assert_eq!(house.store.openid(&card(), follower).await.unwrap().unwrap().reveal(), "oAnna");
    }
}

#[tokio::test]
async fn settings_change_with_their_event_and_never_on_another_binding() {
    for house in houses().await {
        house.identity.import(vec![item("oAnna", "C10001")]).await.unwrap();
        let follower = house.follower("oAnna");
        let binding = house.binding("oAnna").await.unwrap();
        let identity = &house.identity;
        let writes = identity.default_card_writes(&card(), follower, &binding, "K2").unwrap();
        commit(&house, writes).await.unwrap();
        let hidden = AlertChange { hide_amounts: Some(true), ..AlertChange::default() };
        commit(&house, identity.alerts_writes(&card(), follower, &binding, &hidden).unwrap()).await.unwrap();
        let changed = house.binding("oAnna").await.unwrap();
        assert_eq!((changed.default_card.as_str(), changed.alerts, changed.hide_amounts), ("K2", true, true));
        let quieter = AlertChange {
            card_id: Some("K2".to_owned()),
            threshold_fen: Some(10_000),
            quiet: Some(QuietHours::parse("22:00-08:00")),
            ..AlertChange::default()
        };
        commit(&house, identity.alerts_writes(&card(), follower, &changed, &quieter).unwrap()).await.unwrap();
        let settled = house.binding("oAnna").await.unwrap();
        assert_eq!(settled, Binding { default_card: "K2".to_owned(), ..changed.with(&quieter) });
        let of_customer = house.store.bindings_of(&settled.customer).await.unwrap();
        assert_eq!(of_customer, [(card(), follower, settled)]);
        let off = AlertChange { on: Some(false), ..AlertChange::default() };

        let writes = identity.unbind_writes(&card(), follower, &binding, UnbindReason::Customer).unwrap();
        commit(&house, writes.clone()).await.unwrap();
        assert!(house.binding("oAnna").await.is_none());
        let stale = commit(&house, writes).await;
        assert!(matches!(stale, Err(CommitError::Conflict(Conflict::Stale))));
        let late = identity.alerts_writes(&card(), follower, &binding, &off).unwrap();
        assert!(matches!(commit(&house, late).await, Err(CommitError::Conflict(Conflict::Stale))));
        let told =
            ["bound C10001", "alerts_changed C10001", "alerts_changed C10001", "unbound C10001 customer"];
        assert_eq!(house.events()[..4], told);
    }
}

/// Puts one of everything that is kept about a follower.
async fn fill(house: &House, openid: &str) {
    house.identity.import(vec![item(openid, "C10001")]).await.unwrap();
    let follower = house.follower(openid);
    let store = &house.store;
    let mut conversation = Conversation::fresh(card(), follower);
    conversation.dialogue = Some(Zeroizing::new(json!({"form": "x"}).to_string().into_bytes()));
    conversation.say_next = Some(Personal::new("本期应还1元"));
    conversation.open_turns = 1;
    let message = Message {
        account: card(),
        follower,
        seq: conversation.next_seq(),
        direction: Direction::In,
        author: "customer".to_owned(),
        channel: Channel::Passive,
        content: Personal::new(json!({"kind": "text", "text": "查账单"}).to_string()),
        at: house.identity.now(),
        state: "received".to_owned(),
    };
    let draft = StoredDraft {
        draft_id: store.new_id(),
        version: 0,
        form: Zeroizing::new(b"{}".to_vec()),
        created: house.identity.now(),
    };
    let application =
        crate::store::Application { number: Personal::new("A1"), submitted: house.identity.now() };
    let writes = vec![
        store.append_message(&mut conversation, &message).unwrap(),
        store.save_conversation(conversation).unwrap(),
        store.save_draft(&card(), follower, &draft).unwrap(),
        store.add_application(&card(), follower, "one", &application).unwrap(),
        store.insert_resume(&card(), follower, &Personal::new("{}"), house.identity.now()).unwrap(),
    ];
    commit(house, writes).await.unwrap();
    commit(house, waiting(house, follower)).await.unwrap();
}

/// A push that somebody works on, and a message that waits to be sent.
fn waiting(house: &House, follower: FollowerKey) -> Vec<Write> {
    let (store, now) = (&house.store, house.identity.now());
    let key = PushKey::new("77");
    let claim = Claim {
        account: &card(),
        key: &key,
        follower,
        turn: 1,
        outcome: PushOutcome::Taken,
        received: now,
        reply_seq: None,
    };
    let push = OpenPush {
        account: card(),
        key: key.clone(),
        follower,
        turn: 1,
        owed: false,
        owner: "other".to_owned(),
        epoch: 1,
        lease_until: now + Duration::from_secs(5),
        received: now,
        push: Zeroizing::new(b"{}".to_vec()),
    };
    let outgoing = NewOutbox {
        outbox_id: store.new_id(),
        part: follower.part(),
        account: Some(card()),
        follower: Some(follower),
        customer_ix: None,
        lane: Lane::Spend,
        channel: OutChannel::Template,
        order_no: 1,
        cause_kind: "transaction",
        cause_id: "T1".to_owned(),
        log_seq: None,
        sender: None,
        client_msg_id: None,
        due: now,
        expires: now + Duration::from_secs(3600),
        payload: Zeroizing::new(b"{}".to_vec()),
        trace: None,
    };
    vec![store.claim_push(&claim), store.take_push(&push).unwrap(), store.add_outbox(&outgoing).unwrap()]
}

const UNSENT: Statement = Statement {
    name: "UNSENT",
    sql: "SELECT count(*) FROM outbox WHERE fkey = $1 AND (settled = 0 OR payload_sealed IS NOT NULL)",
};

async fn unsent(house: &House, follower: FollowerKey) -> i64 {
    house.store.fetch_one(UNSENT, vec![follower.into()]).await.unwrap().unwrap().int(0).unwrap()
}

async fn assert_nothing_is_left(house: &House, openid: &str) {
    let (store, follower) = (&house.store, house.follower(openid));
    assert!(house.binding(openid).await.is_none());
    assert!(store.openid(&card(), follower).await.unwrap().is_none());
    assert!(store.draft(&card(), follower).await.unwrap().is_none());
    assert!(store.applications(&card(), follower).await.unwrap().is_empty());
    assert!(store.resumes_of(&card(), follower).await.unwrap().is_empty());
    assert!(store.messages(&card(), follower, 0, 10).await.unwrap().is_empty());
    let key = PushKey::new("77");
    assert!(store.open_push(&card(), &key).await.unwrap().is_none(), "nobody works for him any more");
    let seen = store.seen_push(&card(), &key).await.unwrap().unwrap();
    assert_eq!(seen.outcome, PushOutcome::Silent);
    assert_eq!(unsent(house, follower).await, 0, "nothing is sent to him any more");
}

#[tokio::test]
async fn what_the_bank_erases_is_gone_and_erasing_again_changes_nothing() {
    for house in houses().await {
        fill(&house, "oAnna").await;
        let anna = Openid::parse("oAnna").unwrap();
        assert_eq!(unsent(&house, house.follower("oAnna")).await, 1);
        assert!(house.identity.erase("card", &anna).await.unwrap());
        assert_nothing_is_left(&house, "oAnna").await;
        let conversation = house.store.conversation(&card(), house.follower("oAnna")).await.unwrap();
        assert!(conversation.dialogue.is_none() && conversation.say_next.is_none());
        assert_eq!(conversation.open_turns, 0);
        assert!(house.identity.erase("card", &anna).await.unwrap());
        assert_eq!(house.events(), ["bound C10001", "unbound C10001 erased"]);
        assert!(!house.identity.erase("nowhere", &anna).await.unwrap());
        let back = house.identity.import(vec![item("oAnna", "C10001")]).await.unwrap();
        assert_eq!(back, [ImportOutcome::Accepted]);
    }
}

#[tokio::test]
async fn whoever_unfollows_is_forgotten() {
    for house in houses().await {
        fill(&house, "oAnna").await;
        let writes = house.identity.leave_writes(&card(), house.follower("oAnna")).await.unwrap();
        commit(&house, writes).await.unwrap();
        assert_nothing_is_left(&house, "oAnna").await;
        assert_eq!(house.events(), ["bound C10001", "unbound C10001 unfollowed"]);
    }
}

#[tokio::test]
async fn a_draft_changes_only_under_the_version_that_was_read() {
    for house in houses().await {
        let follower = house.follower("oAnna");
        let first = StoredDraft {
            draft_id: house.store.new_id(),
            version: 0,
            form: Zeroizing::new(b"1".to_vec()),
            created: house.identity.now(),
        };
        let save = |draft: &StoredDraft| vec![house.store.save_draft(&card(), follower, draft).unwrap()];
        commit(&house, save(&first)).await.unwrap();
        assert!(commit(&house, save(&first)).await.is_err(), "there is one already");
        let read = house.store.draft(&card(), follower).await.unwrap().unwrap();
        assert_eq!((read.version, read.form.as_slice()), (1, b"1".as_slice()));
        commit(&house, save(&read)).await.unwrap();
        assert!(commit(&house, save(&read)).await.is_err(), "it is another by now");
        assert!(commit(&house, vec![house.store.end_draft(&card(), follower, &read)]).await.is_err());
        house.clock.advance(Duration::from_secs(1));
        commit(&house, vec![house.store.forget_drafts(house.identity.now())]).await.unwrap();
        assert!(house.store.draft(&card(), follower).await.unwrap().is_none());
    }
}
