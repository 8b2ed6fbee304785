//! The desk on both engines: races, the allowance, timed returns.

mod external;
mod fairness;
mod files;
mod on_their_way;
mod phones;
mod random_walk;
mod supervision;
mod team;

use std::time::Duration;

use super::*;
use crate::content::Content;
use crate::domain::window::UserAction;
use crate::staff::{Role, Session};
use crate::store::testing::{START, TestStore, stores};
use crate::store::{Commit, Statement};

const SAID: Statement =
    Statement { name: "SAID", sql: "SELECT count(*) FROM audit WHERE action = 'test_answer'" };
const AUDITED: Statement = Statement {
    name: "AUDITED",
    sql: "SELECT actor, action FROM audit WHERE action LIKE 'case_%' ORDER BY at_ms, audit_id",
};
const ALWAYS: &str = "every_day = ['00:00-24:00']";

/// Stands in for outbound: each answer is one row of the audit table, in the desk's own commit.
struct Rows(Store);

impl Speak for Rows {
    fn say(
        &self,
        account: &AccountId,
        follower: FollowerKey,
        sender: Sender,
        seq: i64,
        message: &CustomMessage,
    ) -> Result<Vec<Write>, StoreError> {
        let action = if sender == Sender::Agent { "test_answer" } else { "test_rating" };
        let detail = format!("{seq} {message:?}");
        Ok(vec![self.0.audit("outbound", action, account, Some(follower), Some(&detail))?])
    }

    fn event(
        &self,
        kind: &'static str,
        account: &AccountId,
        _customer: Option<&CustomerId>,
        _data: Value,
    ) -> Result<Vec<Write>, StoreError> {
        Ok(vec![self.0.audit("outbound", kind, account, None, None)?])
    }

    fn wake(&self, _part: u8) {}
}

fn desk(test: &TestStore, hours: &str) -> Desk {
    Desk::new(test.store.clone(), files(hours), Arc::new(Rows(test.store.clone())), Arc::default())
}

/// The built-in files with other hours.
fn files(hours: &str) -> DeskFiles {
    DeskFiles::load(&Content::built_in().with("desk/hours.toml", hours)).unwrap()
}

fn agent(name: &str) -> Session {
    Session {
        name: name.to_owned(),
        role: Role::Agent,
        reach: crate::staff::Reach::Every,
        csrf: crate::domain::secret::Secret::new(String::new()),
    }
}

fn account() -> AccountId {
    AccountId::new("card")
}

fn follower(number: u8) -> FollowerKey {
    FollowerKey::new([number; 16])
}

/// What inbound does with one text: log, window, unread mark, and whatever the wish needs, in one commit.
async fn customer_writes(test: &TestStore, desk: &Desk, who: FollowerKey, text: &str, wish: Wish) -> bool {
    for _ in 0..16 {
        let mut conversation = test.store.conversation(&account(), who).await.unwrap();
        let mut commit = Commit::new(who.part());
        conversation.ledger.grant(UserAction::Message, test.store.clock().now());
        let seq = conversation.next_seq();
        let message = Message {
            account: account(),
            follower: who,
            seq,
            direction: Direction::In,
            author: "customer".to_owned(),
            channel: Channel::Passive,
            content: Personal::new(json!({ "kind": "text", "text": text }).to_string()),
            at: test.store.clock().now(),
            state: "received".to_owned(),
        };
        commit.push(test.store.append_message(&mut conversation, &message).unwrap());
        let conversation_now = &mut conversation;
        let writes = match wish {
            Wish::Talk => Ok(desk.customer_said(conversation_now, None, test.store.clock().now()).unwrap()),
            Wish::Person => {
                desk.escalate(conversation_now, Wanted::new("asked", "card", 0), None).await.map(|e| e.writes)
            }
            Wish::Cancel => desk.cancel_wait(conversation_now, None),
            Wish::CallBack => desk.call_back(conversation_now, Wanted::new("asked", "card", 0), None).await,
            Wish::Leave => desk.leave_writes(conversation_now, None),
        };
        let Ok(writes) = writes else { return false };
        commit.extend(writes);
        commit.push(test.store.save_conversation(conversation).unwrap());
        match test.store.commit(commit).await {
            Ok(()) => return true,
            Err(crate::store::CommitError::Conflict(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("no end of conflicts");
}

#[derive(Clone, Copy, Debug)]
enum Wish {
    Talk,
    Person,
    Cancel,
    CallBack,
    Leave,
}

/// An account of this name with a live session, which the desk takes as being there.
async fn sign_in(test: &TestStore, name: &str) {
    let mut token = [0; 32];
    token[..name.len()].copy_from_slice(name.as_bytes());
    let commit = Commit::new(0)
        .with(test.store.insert_staff(name, "agent", "", "-"))
        .with(test.store.insert_staff_session(token, name));
    test.store.commit(commit).await.unwrap();
}

async fn waiting_case(test: &TestStore, desk: &Desk, who: FollowerKey) -> String {
    assert!(customer_writes(test, desk, who, "转人工", Wish::Person).await);
    test.store.conversation(&account(), who).await.unwrap().case_id.unwrap()
}

async fn said(test: &TestStore) -> i64 {
    test.store.fetch(SAID, vec![]).await.unwrap()[0].int(0).unwrap()
}

#[tokio::test]
async fn of_fifty_claims_at_once_exactly_one_wins() {
    for test in stores().await {
        let desks = [desk(&test, ALWAYS), desk(&test, ALWAYS)];
        let case_id = waiting_case(&test, &desks[0], follower(1)).await;
        let agents: Vec<Session> = (0..50).map(|number| agent(&format!("agent{number}"))).collect();
        let claims = agents.iter().enumerate().map(|(at, agent)| desks[at % 2].claim(agent, &case_id));
        let outcomes = futures::future::join_all(claims).await;
        let winners: Vec<&Session> = agents
            .iter()
            .zip(&outcomes)
            .filter(|(_, outcome)| outcome.is_ok())
            .map(|(agent, _)| agent)
            .collect();
        assert_eq!(winners.len(), 1, "{}", test.name);
        for outcome in outcomes.iter().filter(|outcome| outcome.is_err()) {
            assert!(matches!(outcome, Err(DeskError::Taken)), "{}: {outcome:?}", test.name);
        }
        let case = test.store.case(&case_id).await.unwrap().unwrap();
        assert_eq!(case.claimed_by.as_deref(), Some(winners[0].name.as_str()));
        desks[1].claim(winners[0], &case_id).await.expect("claiming again what one has is fine");
        let audited = test.store.fetch(AUDITED, vec![]).await.unwrap();
        let claimed = audited.iter().filter(|row| row.text(1).unwrap() == "case_claimed").count();
        assert_eq!(claimed, 1, "{}", test.name);
    }
}

#[tokio::test]
async fn an_answer_goes_out_once_however_often_the_browser_sends_it() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        let (mine, other) = (agent("agent01"), agent("agent02"));
        assert!(matches!(desk.answer(&mine, &case_id, "k", "您好").await, Err(DeskError::NotYours)));
        desk.claim(&mine, &case_id).await.unwrap();
        assert!(matches!(desk.answer(&other, &case_id, "k", "您好").await, Err(DeskError::NotYours)));

        let same = (0..8).map(|_| desk.answer(&mine, &case_id, "key-1", "您好，请讲"));
        let outcomes = futures::future::join_all(same).await;
        let first = *outcomes[0].as_ref().unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome.as_ref().unwrap() == first), "{}", test.name);
        assert_eq!(said(&test).await, 1, "{}", test.name);

        let masked = desk.answer(&mine, &case_id, "key-2", "卡号 4111 1111 1111 1111").await.unwrap();
        assert!(masked.masked);
        let log = desk.transcript(&mine, &case_id, Some(masked.seq - 1), None).await.unwrap();
        assert!(!log.messages[0].content.reveal().contains("4111 1111"));
        assert_eq!(
            (log.messages[0].author.as_str(), log.messages[0].state.as_str()),
            ("agent:agent01", "queued")
        );

        let long = "啊".repeat(683);
        assert!(matches!(desk.answer(&mine, &case_id, "k3", &long).await, Err(DeskError::TooLong)));
        assert!(matches!(desk.answer(&mine, &case_id, "k3", " \u{7} \n").await, Err(DeskError::Empty)));
        let case = test.store.case(&case_id).await.unwrap().unwrap();
        assert_eq!((case.first_reply, case.unread), (Some(START), 0));
    }
}

#[tokio::test]
async fn the_window_rules_what_may_be_said() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        desk.claim(&me, &case_id).await.unwrap();
        for number in 0..5 {
            let left = desk.open(&me, &case_id).await.unwrap().allowance.left;
            assert_eq!(left, 5 - number, "what is on its way is taken off");
            desk.answer(&me, &case_id, &format!("k{number}"), "好的").await.unwrap();
        }
        assert!(matches!(desk.answer(&me, &case_id, "k5", "再一句").await, Err(DeskError::WindowSpent)));
        assert_eq!(desk.open(&me, &case_id).await.unwrap().allowance.why_not, Some(WhyNot::Spent));
        assert_eq!(said(&test).await, 5);

        test.clock.advance(Duration::from_secs(48 * 3600));
        assert!(matches!(desk.answer(&me, &case_id, "k6", "在吗").await, Err(DeskError::WindowClosed)));
        assert_eq!(desk.open(&me, &case_id).await.unwrap().allowance.why_not, Some(WhyNot::Closed));
    }
}

#[tokio::test]
async fn asking_twice_keeps_one_place_and_urgent_cases_come_first() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let mut places = Vec::new();
        for number in 1..=3 {
            waiting_case(&test, &desk, follower(number)).await;
            test.clock.advance(Duration::from_secs(1));
            let mut again = test.store.conversation(&account(), follower(number)).await.unwrap();
            let escalation = desk.escalate(&mut again, Wanted::new("asked", "card", 0), None).await.unwrap();
            assert!(escalation.writes.is_empty());
            places.push((escalation.place, escalation.minutes_max));
        }
        assert_eq!(places, [(1, 3), (2, 6), (3, 9)]);
        let mut urgent = test.store.conversation(&account(), follower(4)).await.unwrap();
        let escalation = desk.escalate(&mut urgent, Wanted::new("not_me", "fraud", 9), None).await.unwrap();
        assert_eq!(escalation.place, 1);
        assert_eq!(desk.status(&account()).await.unwrap().waiting, 3);
        assert_eq!(desk.queue(&account()).await.unwrap().cases.len(), 3);
    }
}

#[tokio::test]
async fn closing_gives_the_customer_back_and_owes_a_reason() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        desk.claim(&me, &case_id).await.unwrap();
        assert!(matches!(
            desk.close(&me, &case_id, Some(CloseReason::Unfollowed)).await,
            Err(DeskError::UnknownChoice)
        ));
        desk.close(&me, &case_id, None).await.unwrap();
        let stage = async || test.store.conversation(&account(), follower(1)).await.unwrap().stage;
        assert_eq!(stage().await, Stage::WrapUp);
        assert!(matches!(desk.answer(&me, &case_id, "k", "还在吗").await, Err(DeskError::Over)));

        // The customer asks again before the reason is noted: the new case is not touched by it.
        let second = waiting_case(&test, &desk, follower(1)).await;
        assert_ne!(second, case_id);
        assert_eq!(desk.mine(&me).await.unwrap().cases.len(), 1);
        desk.close(&me, &case_id, Some(CloseReason::Solved)).await.unwrap();
        assert_eq!(stage().await, Stage::Waiting);
        assert!(desk.mine(&me).await.unwrap().cases.is_empty());

        desk.claim(&me, &second).await.unwrap();
        desk.return_to_bot(&me, &second).await.unwrap();
        assert_eq!(stage().await, Stage::Bot);
        assert!(test.store.conversation(&account(), follower(1)).await.unwrap().case_id.is_none());
        let audited = test.store.fetch(AUDITED, vec![]).await.unwrap();
        let mut by_me: Vec<&str> = audited
            .iter()
            .filter(|row| row.text(0).unwrap() == "agent01")
            .map(|row| row.text(1).unwrap())
            .collect();
        by_me.sort_unstable();
        assert_eq!(by_me, ["case_claimed", "case_claimed", "case_closed", "case_returned"]);
    }
}

#[tokio::test]
async fn a_case_of_another_agent_is_seen_by_supervisors_only() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        let (owner, other) = (agent("agent01"), agent("agent02"));
        assert!(desk.open(&other, &case_id).await.is_ok(), "what waits is seen by all");
        desk.claim(&owner, &case_id).await.unwrap();
        assert!(matches!(desk.open(&other, &case_id).await, Err(DeskError::NoSuchCase)));
        assert!(matches!(desk.transcript(&other, &case_id, None, None).await, Err(DeskError::NoSuchCase)));
        let supervisor = Session { role: Role::Supervisor, ..other.clone() };
        assert!(!desk.open(&supervisor, &case_id).await.unwrap().mine);
        for outcome in [
            desk.close(&supervisor, &case_id, None).await,
            desk.transfer(&supervisor, &case_id, "fraud").await,
            desk.return_to_bot(&supervisor, &case_id).await,
        ] {
            assert!(matches!(outcome, Err(DeskError::NotYours)));
        }
        desk.transfer(&owner, &case_id, "fraud").await.unwrap();
        let queue = desk.queue(&account()).await.unwrap();
        assert_eq!((queue.cases[0].skill.as_str(), queue.cases[0].transfers), ("fraud", 1));
        desk.claim(&other, &case_id).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_is_left_with_an_agent_who_went_home() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        let me = agent("agent01");
        let session = Commit::new(0)
            .with(test.store.insert_staff("agent01", "agent", "", "-"))
            .with(test.store.insert_staff_session([1; 32], "agent01"));
        test.store.commit(session).await.unwrap();
        desk.claim(&me, &case_id).await.unwrap();
        test.clock.advance(Duration::from_secs(121));
        assert_eq!(desk.tend(&account()).await.unwrap(), Tended::default(), "signed in");
        test.store.commit(Commit::new(0).with(test.store.end_staff_session([1; 32]))).await.unwrap();
        assert_eq!(desk.tend(&account()).await.unwrap().requeued, 1, "{}", test.name);
        assert_eq!(desk.queue(&account()).await.unwrap().cases.len(), 1);

        // An answered customer who is silent is not waiting for anybody; after a day the talk is over.
        desk.claim(&me, &case_id).await.unwrap();
        test.clock.advance(Duration::from_secs(1));
        desk.answer(&me, &case_id, "k", "请问还有什么可以帮您？").await.unwrap();
        test.clock.advance(Duration::from_secs(3600));
        assert_eq!(desk.tend(&account()).await.unwrap(), Tended::default());
        test.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(desk.tend(&account()).await.unwrap().closed, 1);
        let conversation = test.store.conversation(&account(), follower(1)).await.unwrap();
        assert_eq!((conversation.stage, conversation.case_id), (Stage::Bot, None));
    }
}

#[tokio::test]
async fn when_the_shift_ends_who_waits_is_promised_a_call_back_and_comes_first() {
    for test in stores().await {
        let desk = desk(&test, "every_day = ['08:00-22:00']");
        let early = waiting_case(&test, &desk, follower(1)).await;
        test.clock.advance(Duration::from_secs(12 * 3600));
        assert!(!desk.status(&account()).await.unwrap().open);
        assert_eq!(desk.tend(&account()).await.unwrap().promised, 1, "{}", test.name);
        let conversation = test.store.conversation(&account(), follower(1)).await.unwrap();
        assert_eq!((conversation.stage, conversation.case_id.as_deref()), (Stage::Bot, Some(early.as_str())));
        assert!(conversation.say_next.unwrap().reveal().contains("每天 8:00–22:00"));
        assert!(customer_writes(&test, &desk, follower(2), "夜里", Wish::CallBack).await);
        assert!(customer_writes(&test, &desk, follower(2), "夜里", Wish::CallBack).await);

        test.clock.advance(Duration::from_secs(11 * 3600));
        waiting_case(&test, &desk, follower(3)).await;
        let queue = desk.queue(&account()).await.unwrap();
        let order: Vec<u8> = queue.cases.iter().map(|case| case.follower.part()).collect();
        assert_eq!(order, [1, 2, 3]);
        // Asking for a person in the morning keeps the one case; an agent takes up the other as it is.
        assert_eq!(waiting_case(&test, &desk, follower(1)).await, early);
        let me = agent("agent01");
        desk.claim(&me, &queue.cases[1].case_id).await.unwrap();
        let taken_up = test.store.conversation(&account(), follower(2)).await.unwrap();
        assert_eq!(taken_up.stage, Stage::WithAgent);
    }
}
