//! Groups, capacity, who gets whom, ratings, complaints, and words for later.

use super::*;
use crate::domain::case::{Rating, Score};
use crate::domain::complaint::Registered;
use crate::staff::Reach;
use crate::store::DeskAgent;

const EVENTS: Statement = Statement {
    name: "EVENTS",
    sql: "SELECT action FROM audit WHERE actor = 'outbound' ORDER BY at_ms, audit_id",
};

fn boss() -> Session {
    Session { role: Role::Supervisor, ..agent("boss") }
}

async fn waiting_in(test: &TestStore, desk: &Desk, who: FollowerKey, skill: &str, priority: u8) -> String {
    let mut conversation = test.store.conversation(&account(), who).await.unwrap();
    conversation.ledger.grant(UserAction::Message, test.store.clock().now());
    let escalated =
        desk.escalate(&mut conversation, Wanted::new("asked", skill, priority), None).await.unwrap();
    let mut commit = Commit::new(who.part());
    let case_id = conversation.case_id.clone().unwrap();
    commit.extend(escalated.writes);
    commit.push(test.store.save_conversation(conversation).unwrap());
    test.store.commit(commit).await.unwrap();
    case_id
}

async fn events(test: &TestStore, kind: &str) -> usize {
    let rows = test.store.fetch(EVENTS, vec![]).await.unwrap();
    rows.iter().filter(|row| row.text(0).unwrap() == kind).count()
}

#[tokio::test]
async fn an_agent_gets_his_groups_in_the_queues_order_and_never_more_than_he_may_have() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        sign_in(&test, "agent01").await;
        let card = waiting_in(&test, &desk, follower(1), "card", 0).await;
        test.clock.advance(Duration::from_secs(1));
        let fraud = waiting_in(&test, &desk, follower(2), "security", 8).await;
        let loan = waiting_in(&test, &desk, follower(3), "loan", 0).await;
        assert_eq!(
            test.store.case(&fraud).await.unwrap().unwrap().skill,
            "fraud",
            "the group takes the code"
        );

        let mine = DeskAgent { skills: vec!["card".into(), "fraud".into()], capacity: 2, ready: false };
        assert!(matches!(desk.set_agent(&me, "agent01", mine.clone()).await, Err(DeskError::NotAllowed)));
        let unknown = DeskAgent { skills: vec!["gardening".into()], ..mine.clone() };
        assert!(matches!(desk.set_agent(&boss(), "agent01", unknown).await, Err(DeskError::UnknownChoice)));
        desk.set_agent(&boss(), "agent01", mine.clone()).await.unwrap();
        desk.set_agent(&me, "agent01", DeskAgent { ready: true, ..mine.clone() }).await.unwrap();
        desk.set_agent(&me, "agent01", mine).await.unwrap();

        assert!(matches!(desk.claim(&me, &loan).await, Err(DeskError::OtherGroup)));
        let accounts = [account()];
        assert_eq!(desk.claim_next(&me, &accounts).await.unwrap(), Some(fraud), "{}", test.name);
        assert_eq!(desk.claim_next(&me, &accounts).await.unwrap(), Some(card), "{}", test.name);
        assert_eq!(desk.claim_next(&me, &accounts).await.unwrap(), None, "the loan is not his");
        let more = waiting_in(&test, &desk, follower(4), "card", 0).await;
        assert!(matches!(desk.claim_next(&me, &accounts).await, Err(DeskError::Full)), "{}", test.name);
        assert!(matches!(desk.claim(&me, &more).await, Err(DeskError::Full)), "{}", test.name);
    }
}

#[tokio::test]
async fn thirty_agents_who_ask_at_once_get_one_each() {
    for test in stores().await {
        let desks = [desk(&test, ALWAYS), desk(&test, ALWAYS)];
        for number in 1..=20 {
            waiting_in(&test, &desks[0], follower(number), "card", 0).await;
        }
        let accounts = [account()];
        let agents: Vec<Session> = (0..30).map(|number| agent(&format!("agent{number}"))).collect();
        let asked = agents.iter().enumerate().map(|(at, agent)| desks[at % 2].claim_next(agent, &accounts));
        let got: Vec<String> =
            futures::future::join_all(asked).await.into_iter().filter_map(Result::unwrap).collect();
        let different: std::collections::BTreeSet<&String> = got.iter().collect();
        assert_eq!((got.len(), different.len()), (20, 20), "{}", test.name);
    }
}

#[tokio::test]
async fn who_comes_back_waits_a_little_for_the_agent_who_knows_him() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let (known, other) = (agent("agent01"), agent("agent02"));
        let accounts = [account()];
        let first = waiting_in(&test, &desk, follower(1), "card", 0).await;
        desk.claim(&known, &first).await.unwrap();
        desk.close(&known, &first, Some(CloseReason::Solved)).await.unwrap();
        test.clock.advance(Duration::from_secs(60));
        let away = waiting_in(&test, &desk, follower(1), "card", 0).await;
        assert_eq!(desk.claim_next(&other, &accounts).await.unwrap(), Some(away.clone()), "he is not there");
        desk.close(&other, &away, Some(CloseReason::Solved)).await.unwrap();

        sign_in(&test, "agent02").await;
        let again = waiting_in(&test, &desk, follower(1), "card", 0).await;
        assert_eq!(desk.claim_next(&known, &accounts).await.unwrap(), None, "{}", test.name);
        let before_him = waiting_in(&test, &desk, follower(2), "card", 4).await;
        assert_eq!(desk.claim_next(&other, &accounts).await.unwrap(), Some(again.clone()), "his own first");
        desk.transfer(&other, &again, "loan").await.unwrap();
        assert_eq!(desk.claim_next(&other, &accounts).await.unwrap(), Some(before_him));

        let third = waiting_in(&test, &desk, follower(3), "card", 0).await;
        desk.claim(&other, &third).await.unwrap();
        desk.close(&other, &third, Some(CloseReason::Solved)).await.unwrap();
        desk.claim(&known, &again).await.unwrap();
        let kept = waiting_in(&test, &desk, follower(3), "card", 0).await;
        assert_eq!(desk.claim_next(&known, &accounts).await.unwrap(), None, "kept for the other");
        test.clock.advance(Duration::from_secs(121));
        assert_eq!(desk.claim_next(&known, &accounts).await.unwrap(), Some(kept), "but not for ever");
    }
}

#[tokio::test]
async fn cases_come_by_themselves_to_whoever_has_the_fewest() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        for name in ["agent01", "agent02", "agent03"] {
            sign_in(&test, name).await;
        }
        let ready = DeskAgent { ready: true, capacity: 2, ..DeskAgent::default() };
        desk.set_agent(&boss(), "agent01", ready.clone()).await.unwrap();
        desk.set_agent(&boss(), "agent02", ready).await.unwrap();
        for number in 1..=3 {
            waiting_in(&test, &desk, follower(number), "card", 0).await;
        }
        assert_eq!(desk.tend(&account()).await.unwrap().assigned, 3, "{}", test.name);
        let mut has: Vec<(String, u32)> =
            desk.present().await.unwrap().into_iter().map(|person| (person.name, person.cases)).collect();
        has.sort();
        assert_eq!(
            has,
            [("agent01".into(), 2), ("agent02".into(), 1), ("agent03".into(), 0)],
            "in turn, and not to him to whom none come: {}",
            test.name
        );
        for number in 4..=6 {
            waiting_in(&test, &desk, follower(number), "card", 0).await;
        }
        assert_eq!(desk.tend(&account()).await.unwrap().assigned, 1, "both are full then");
        assert_eq!(desk.status(&account()).await.unwrap().waiting, 2);
    }
}

#[tokio::test]
async fn a_case_goes_straight_to_a_colleague_who_is_there_and_a_supervisor_takes_over() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let (owner, colleague) = (agent("agent01"), agent("agent02"));
        let case_id = waiting_in(&test, &desk, follower(1), "card", 0).await;
        desk.claim(&owner, &case_id).await.unwrap();
        assert!(matches!(desk.hand_over(&owner, &case_id, "agent02").await, Err(DeskError::NotThere)));
        sign_in(&test, "agent02").await;
        assert!(matches!(desk.hand_over(&colleague, &case_id, "agent02").await, Err(DeskError::NotYours)));
        desk.hand_over(&owner, &case_id, "agent02").await.unwrap();
        assert!(matches!(desk.answer(&owner, &case_id, "k", "您好").await, Err(DeskError::NotYours)));
        desk.answer(&colleague, &case_id, "k", "您好").await.unwrap();

        assert!(matches!(desk.take_over(&owner, &case_id).await, Err(DeskError::NotAllowed)));
        desk.take_over(&boss(), &case_id).await.unwrap();
        assert!(matches!(desk.answer(&colleague, &case_id, "k2", "在").await, Err(DeskError::NotYours)));
        let case = test.store.case(&case_id).await.unwrap().unwrap();
        assert_eq!((case.claimed_by.as_deref(), case.transfers), (Some("boss"), 2));
        assert_eq!(events(&test, "case_handed_over").await, 3, "{}", test.name);
    }
}

#[tokio::test]
async fn supervisors_move_the_queue_and_change_who_is_next() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let first = waiting_in(&test, &desk, follower(1), "card", 0).await;
        test.clock.advance(Duration::from_secs(1));
        let second = waiting_in(&test, &desk, follower(2), "card", 0).await;
        assert!(matches!(desk.set_priority(&agent("a"), &second, 3).await, Err(DeskError::NotAllowed)));
        desk.set_priority(&boss(), &second, 3).await.unwrap();
        let order = async || -> Vec<String> {
            desk.queue(&account()).await.unwrap().cases.into_iter().map(|case| case.case_id).collect()
        };
        assert_eq!(order().await, [second.clone(), first.clone()], "{}", test.name);
        assert_eq!(desk.move_queue(&boss(), &account(), "card", "loan").await.unwrap(), 2);
        let case = test.store.case(&first).await.unwrap().unwrap();
        assert_eq!((case.skill.as_str(), case.transfers), ("loan", 0));
        assert!(matches!(
            desk.move_queue(&boss(), &account(), "card", "gardening").await,
            Err(DeskError::UnknownChoice)
        ));
    }
}

#[tokio::test]
async fn a_more_urgent_wish_moves_a_waiting_customer_up() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        waiting_in(&test, &desk, follower(1), "card", 0).await;
        test.clock.advance(Duration::from_secs(1));
        let case_id = waiting_in(&test, &desk, follower(2), "card", 0).await;
        assert_eq!(waiting_in(&test, &desk, follower(2), "security", 8).await, case_id, "one case");
        let case = test.store.case(&case_id).await.unwrap().unwrap();
        assert_eq!((case.skill.as_str(), case.priority.level()), ("fraud", 8), "{}", test.name);
        assert_eq!(desk.queue(&account()).await.unwrap().cases[0].case_id, case_id);
    }
}

#[tokio::test]
async fn the_rating_is_asked_once_inside_the_window_and_the_first_word_stands() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        let asked = async || {
            let rows = test.store.fetch(EVENTS, vec![]).await.unwrap();
            rows.iter().filter(|row| row.text(0).unwrap() == "test_rating").count()
        };
        let case_id = waiting_in(&test, &desk, follower(1), "card", 0).await;
        desk.claim(&me, &case_id).await.unwrap();
        let rate = async |case_id: &str, who, points| {
            let rating = Rating { case_id: case_id.to_owned(), score: Score::new(points).unwrap() };
            let mut commit = Commit::new(0);
            commit.extend(desk.rate(&account(), who, &rating));
            test.store.commit(commit).await.unwrap();
            test.store.case(case_id).await.unwrap().unwrap()
        };
        assert_eq!(rate(&case_id, follower(1), 5).await.score, None, "not over yet");
        desk.answer(&me, &case_id, "k", "您好").await.unwrap();
        desk.close(&me, &case_id, None).await.unwrap();
        assert_eq!(asked().await, 1, "{}", test.name);
        assert_eq!(rate(&case_id, follower(2), 1).await.score, None, "not his");
        let early = rate(&case_id, follower(1), 5).await;
        assert_eq!((early.state, early.score), (CaseState::WrapUp, Score::new(5)));
        desk.close(&me, &case_id, Some(CloseReason::Solved)).await.unwrap();
        let case = rate(&case_id, follower(1), 1).await;
        assert_eq!((case.state, case.score), (CaseState::Rated, Score::new(5)), "{}", test.name);
        assert_eq!(asked().await, 1, "once per case");

        // Without an answer there is nothing to rate, and without a window nobody to ask.
        let silent = waiting_in(&test, &desk, follower(3), "card", 0).await;
        desk.claim(&me, &silent).await.unwrap();
        desk.close(&me, &silent, Some(CloseReason::Solved)).await.unwrap();
        let late = waiting_in(&test, &desk, follower(4), "card", 0).await;
        desk.claim(&me, &late).await.unwrap();
        desk.answer(&me, &late, "k", "您好").await.unwrap();
        test.clock.advance(Duration::from_secs(48 * 3600));
        desk.close(&me, &late, Some(CloseReason::Solved)).await.unwrap();
        assert_eq!(asked().await, 1, "{}", test.name);
        assert_eq!(rate(&late, follower(4), 3).await.state, CaseState::Rated);
    }
}

#[tokio::test]
async fn a_complaint_is_registered_once_with_its_clock_and_settled_once() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        let own_words = waiting_in(&test, &desk, follower(1), "complaint", 5).await;
        assert_eq!(events(&test, "complaint_registered").await, 1, "{}", test.name);
        waiting_in(&test, &desk, follower(1), "complaint", 9).await;
        assert_eq!(events(&test, "complaint_registered").await, 1, "said twice, registered once");
        let open = desk.open_complaints(&account()).await.unwrap();
        assert_eq!((open[0].registered_by.as_str(), open[0].registered), ("customer", START));

        let other = waiting_in(&test, &desk, follower(2), "card", 0).await;
        desk.claim(&me, &other).await.unwrap();
        assert!(matches!(desk.complain(&me, &other, " ").await, Err(DeskError::Empty)));
        desk.complain(&me, &other, "对收费有异议").await.unwrap();
        desk.complain(&me, &other, "对收费有异议").await.unwrap();
        assert_eq!(events(&test, "complaint_registered").await, 2);
        let view = desk.open(&me, &other).await.unwrap();
        assert_eq!(view.complaint.unwrap().registered_by, "agent01");
        desk.settle_complaint(&me, &other).await.unwrap();
        assert!(matches!(desk.settle_complaint(&me, &other).await, Err(DeskError::Over)));
        let open = desk.open_complaints(&account()).await.unwrap();
        assert_eq!(open.iter().map(|one| one.case_id.as_str()).collect::<Vec<_>>(), [own_words]);
    }
}

/// What the customer committed by this wish, as the path of his message does it.
async fn complains(test: &TestStore, desk: &Desk, who: FollowerKey, words: &str, is_open: bool) -> String {
    let complaint =
        Registered::new(START, &format!("{:08x}", words.chars().map(u32::from).sum::<u32>()), words);
    let wanted = Wanted { complaint: Some(&complaint), ..Wanted::new("complaint", "complaints", 5) };
    let mut conversation = test.store.conversation(&account(), who).await.unwrap();
    let writes = if is_open {
        desk.escalate(&mut conversation, wanted, None).await.unwrap().writes
    } else {
        desk.call_back(&mut conversation, wanted, None).await.unwrap()
    };
    let mut commit = Commit::new(who.part());
    commit.extend(writes);
    let case_id = conversation.case_id.clone().unwrap();
    commit.push(test.store.save_conversation(conversation).unwrap());
    test.store.commit(commit).await.unwrap();
    case_id
}

#[tokio::test]
async fn a_complaint_in_the_customers_words_is_registered_whatever_case_he_has_and_sealed() {
    const REASONS: Statement = Statement { name: "REASONS", sql: "SELECT reason FROM desk_case" };
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        // As the first thing he wants; while he waits for something more urgent; while a call-back is promised.
        complains(&test, &desk, follower(1), "上月年费收错了一", true).await;
        let urgent = waiting_in(&test, &desk, follower(2), "fraud", 9).await;
        assert_eq!(complains(&test, &desk, follower(2), "上月年费收错了二", true).await, urgent);
        complains(&test, &desk, follower(3), "上月年费收错了三", false).await;
        let promised = complains(&test, &desk, follower(3), "还有一件事", false).await;
        let asked = Wanted::new("asked", "card", 0);
        let mut conversation = test.store.conversation(&account(), follower(4)).await.unwrap();
        let mut commit = Commit::new(follower(4).part());
        commit.extend(desk.call_back(&mut conversation, asked, None).await.unwrap());
        commit.push(test.store.save_conversation(conversation).unwrap());
        test.store.commit(commit).await.unwrap();
        complains(&test, &desk, follower(4), "上月年费收错了四", false).await;

        let open = desk.open_complaints(&account()).await.unwrap();
        let mut words: Vec<&str> = open.iter().map(|one| one.reason.reveal()).collect();
        words.sort_unstable();
        assert_eq!(
            words,
            ["上月年费收错了一", "上月年费收错了三", "上月年费收错了二", "上月年费收错了四", "还有一件事"],
            "{}",
            test.name
        );
        assert!(
            open.iter().all(|one| one.complaint_id.starts_with("20")),
            "under the numbers that they were told"
        );
        // Two of one case are settled one after the other.
        assert_eq!(open.iter().filter(|one| one.case_id == promised).count(), 2, "{}", test.name);
        let me = agent("agent01");
        for left in [1, 0] {
            desk.settle_complaint(&me, &promised).await.unwrap();
            let open = desk.open_complaints(&account()).await.unwrap();
            assert_eq!(open.iter().filter(|one| one.case_id == promised).count(), left, "{}", test.name);
        }
        assert!(matches!(desk.settle_complaint(&me, &promised).await, Err(DeskError::Over)));
        let reasons = test.store.fetch(REASONS, vec![]).await.unwrap();
        let mut reasons: Vec<&str> = reasons.iter().map(|row| row.text(0).unwrap()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["asked", "asked", "complaint", "complaint"], "codes, nobody's words");
        let bytes = test.file_bytes();
        let said = "年费收错".as_bytes();
        assert!(!bytes.windows(said.len()).any(|bytes| bytes == said), "{}: sealed at rest", test.name);
    }
}

#[tokio::test]
async fn what_must_not_be_said_is_refused_and_what_cannot_be_said_now_is_kept() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let me = agent("agent01");
        let case_id = waiting_in(&test, &desk, follower(1), "card", 0).await;
        desk.claim(&me, &case_id).await.unwrap();
        for text in ["请加我微信", "打我手机 138 0013 8000", "保证下卡"] {
            let refused = desk.answer(&me, &case_id, "k", text).await;
            assert!(matches!(refused, Err(DeskError::Objected(_))), "{text}: {refused:?}");
        }
        assert!(matches!(desk.leave_words(&me, &case_id, "k", "请回电").await, Err(DeskError::WindowOpen)));
        test.clock.advance(Duration::from_secs(49 * 3600));
        assert!(matches!(desk.answer(&me, &case_id, "k", "在吗").await, Err(DeskError::WindowClosed)));
        let left = desk.leave_words(&me, &case_id, "k", "您要的结果出来了").await.unwrap();
        assert_eq!(desk.leave_words(&me, &case_id, "k", "您要的结果出来了").await.unwrap(), left, "once");
        desk.leave_words(&me, &case_id, "k2", "请回复我们").await.unwrap();
        let conversation = test.store.conversation(&account(), follower(1)).await.unwrap();
        assert_eq!(
            conversation.say_next.unwrap().reveal(),
            "您要的结果出来了\n\n请回复我们",
            "{}",
            test.name
        );

        let long = "长".repeat(500);
        let refused = desk.leave_words(&me, &case_id, "k3", &long).await;
        assert!(matches!(refused, Err(DeskError::NoRoom)), "nothing is dropped unseen: {refused:?}");

        let seq =
            desk.write_note(&me, &case_id, "客户下午方便接电话，卡号 4111 1111 1111 1111").await.unwrap();
        let log = desk.transcript(&me, &case_id, Some(seq - 1), None).await.unwrap();
        let note = log.messages[0].content.reveal();
        assert!(note.contains("下午方便") && !note.contains("4111 1111"), "{note}");
        assert_eq!(said(&test).await, 0, "nothing of it goes to WeChat");
    }
}

#[tokio::test]
async fn who_shares_no_account_with_a_supervisor_does_not_exist_for_him() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        sign_in(&test, "agent01").await;
        let of_card = Commit::new(0)
            .with(test.store.insert_staff("agent07", "agent", "card", "-"))
            .with(test.store.insert_staff_session([7; 32], "agent07"));
        test.store.commit(of_card).await.unwrap();
        let of_loan = Session { reach: Reach::of([AccountId::new("loan")]), ..boss() };
        let names = async |session: &Session| {
            let present = desk.colleagues(session).await.unwrap();
            present.into_iter().map(|person| person.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&boss()).await, ["agent01", "agent07"], "{}", test.name);
        assert_eq!(names(&of_loan).await, ["agent01"], "{}", test.name);
        let how = DeskAgent { skills: vec!["card".into()], capacity: 2, ready: false };
        assert!(matches!(desk.set_agent(&of_loan, "agent07", how.clone()).await, Err(DeskError::NotThere)));
        desk.set_agent(&boss(), "agent07", how).await.unwrap();
    }
}
