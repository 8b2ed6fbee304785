//! What supervisors count, judge, whisper and see.

use super::*;
use crate::domain::case::CloseReason;
use crate::domain::window::UserAction;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn boss() -> Session {
    Session { role: Role::Supervisor, ..agent("boss") }
}

/// A follower writes to the bot, as inbound notes it.
async fn turns_to_the_bot(test: &TestStore, desk: &Desk, who: FollowerKey, wish: Option<Wish>) {
    let mut conversation = test.store.conversation(&account(), who).await.unwrap();
    let mut commit = Commit::new(who.part());
    commit.extend(desk.contact(&conversation, Some(UserAction::Message)));
    conversation.ledger.grant(UserAction::Message, test.store.clock().now());
    commit.push(test.store.save_conversation(conversation).unwrap());
    test.store.commit(commit).await.unwrap();
    if let Some(wish) = wish {
        assert!(customer_writes(test, desk, who, "转人工", wish).await);
    }
}

#[tokio::test]
async fn a_hand_over_or_coming_again_within_a_day_is_not_contained() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let first_day = test.store.clock().now().beijing().date();
        let [quiet, again, handed, later] = [1, 2, 3, 4].map(follower);
        for who in [quiet, again, handed, later] {
            turns_to_the_bot(&test, &desk, who, None).await;
        }
        // Ten minutes of silence do not begin anything anew.
        test.clock.advance(Duration::from_secs(600));
        turns_to_the_bot(&test, &desk, quiet, None).await;
        test.clock.advance(Duration::from_secs(3600));
        turns_to_the_bot(&test, &desk, again, None).await;
        turns_to_the_bot(&test, &desk, handed, Some(Wish::Person)).await;
        test.clock.advance(DAY);
        turns_to_the_bot(&test, &desk, later, None).await;
        // Writing to an agent is no contact with the bot.
        test.clock.advance(Duration::from_secs(3600));
        turns_to_the_bot(&test, &desk, handed, None).await;

        let last_day = test.store.clock().now().beijing().date();
        let report = desk.report(&boss(), &account(), first_day, last_day).await.unwrap();
        let Containment { contacts, handed_over, repeated } = report.contained;
        assert_eq!((contacts, handed_over, repeated), (7, 2, 1), "{}", test.name);
        assert_eq!(report.contained.contained(), 4, "{}", test.name);
        let by_day: u64 = report.contained_days.iter().map(|(_, of)| of.contacts).sum();
        assert_eq!(by_day, contacts, "{}: {:?}", test.name, report.contained_days);
    }
}

#[tokio::test]
async fn who_has_just_followed_turns_to_the_bot_with_his_first_words() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let who = follower(1);
        let day = test.store.clock().now().beijing().date();
        let mut conversation = test.store.conversation(&account(), who).await.unwrap();
        // Following is his first turn and opens a window, and is no contact.
        conversation.turn = 1;
        conversation.ledger.grant(UserAction::Tap, test.store.clock().now());
        let commit = Commit::new(0).with(test.store.save_conversation(conversation).unwrap());
        test.store.commit(commit).await.unwrap();
        for _ in 0..3 {
            test.clock.advance(Duration::from_secs(20));
            let mut conversation = test.store.conversation(&account(), who).await.unwrap();
            conversation.turn += 1;
            let commit = Commit::new(0).with(test.store.save_conversation(conversation).unwrap());
            test.store.commit(commit).await.unwrap();
            turns_to_the_bot(&test, &desk, who, None).await;
        }
        let report = desk.report(&boss(), &account(), day, day).await.unwrap();
        assert_eq!(report.contained.contacts, 1, "{}", test.name);
    }
}

#[tokio::test]
async fn a_whisper_is_for_the_agent_whom_it_names_and_for_supervisors() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let case_id = waiting_case(&test, &desk, follower(1)).await;
        let (mine, other) = (agent("agent01"), agent("agent02"));
        assert!(matches!(desk.whisper(&boss(), &case_id, "稳住").await, Err(DeskError::NotYours)));
        desk.claim(&mine, &case_id).await.unwrap();
        assert!(matches!(desk.whisper(&mine, &case_id, "稳住").await, Err(DeskError::NotAllowed)));
        desk.whisper(&boss(), &case_id, "先核实身份 4111 1111 1111 1111").await.unwrap();
        let heard = async |who: &Session| {
            let log = desk.transcript(who, &case_id, None, None).await.unwrap();
            log.messages.iter().any(|entry| entry.content.reveal().contains("先核实身份"))
        };
        assert!(heard(&mine).await && heard(&boss()).await, "{}", test.name);
        assert_eq!(said(&test).await, 0, "{}: nothing of it goes to the customer", test.name);
        desk.transfer(&mine, &case_id, "fraud").await.unwrap();
        desk.claim(&other, &case_id).await.unwrap();
        assert!(!heard(&other).await, "{}: it was not said to him", test.name);
        let log = desk.transcript(&boss(), &case_id, None, None).await.unwrap();
        assert!(
            log.messages.iter().all(|entry| !entry.content.reveal().contains("4111 1111")),
            "{}",
            test.name
        );
    }
}

#[tokio::test]
async fn ended_cases_are_drawn_by_lot_and_judged_once_by_somebody_else() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let mine = agent("agent01");
        let mut ended = Vec::new();
        for number in 1..=3 {
            let case_id = waiting_case(&test, &desk, follower(number)).await;
            desk.claim(&mine, &case_id).await.unwrap();
            desk.answer(&mine, &case_id, "k", "您好").await.unwrap();
            assert!(matches!(desk.judge(&boss(), &case_id, 5, "").await, Err(DeskError::NotYours)));
            desk.close(&mine, &case_id, Some(CloseReason::Solved)).await.unwrap();
            ended.push(case_id);
        }
        let drawn = async || {
            let cases = desk.samples(&boss(), &account()).await.unwrap();
            cases.into_iter().map(|case| case.case_id).collect::<Vec<_>>()
        };
        let lot = drawn().await;
        assert_eq!(lot.len(), 3, "{}", test.name);
        assert_eq!(lot, drawn().await, "{}: nobody draws again until he likes it", test.name);
        assert!(matches!(desk.samples(&mine, &account()).await, Err(DeskError::NotAllowed)));
        assert!(matches!(desk.judge(&mine, &ended[0], 5, "").await, Err(DeskError::NotAllowed)));
        assert!(matches!(desk.judge(&boss(), &ended[0], 6, "").await, Err(DeskError::UnknownChoice)));
        desk.judge(&boss(), &ended[0], 2, "没有核实身份").await.unwrap();
        desk.judge(&boss(), &ended[1], 5, "").await.unwrap();
        assert!(matches!(desk.judge(&boss(), &ended[0], 5, "").await, Err(DeskError::Taken)));
        assert_eq!(drawn().await, [ended[2].clone()], "{}", test.name);
        let judgement = desk.open(&boss(), &ended[0]).await.unwrap().judgement.unwrap();
        assert_eq!((judgement.points.points(), judgement.note.reveal()), (2, "没有核实身份"));
        let today = test.store.clock().now().beijing().date();
        let report = desk.report(&boss(), &account(), today, today).await.unwrap();
        let judged: Vec<(&str, u64, u64)> =
            report.quality.iter().map(|of| (of.agent.as_str(), of.cases, of.points)).collect();
        assert_eq!(judged, [("agent01", 2, 7)], "{}", test.name);
    }
}

#[tokio::test]
async fn two_who_read_the_same_conversation_know_of_each_other_on_any_instance() {
    for test in stores().await {
        let desks = [desk(&test, ALWAYS), desk(&test, ALWAYS)];
        let case_id = waiting_case(&test, &desks[0], follower(1)).await;
        let looks = async |at: usize, who: Session, is_mine| {
            desks[at].looking(&who, &case_id, is_mine).await.unwrap()
        };
        assert!(looks(0, agent("agent01"), false).await.is_empty());
        assert_eq!(looks(1, agent("agent02"), false).await, ["agent01"], "{}", test.name);
        assert_eq!(looks(1, boss(), false).await, ["agent01", "agent02"], "{}", test.name);
        assert_eq!(looks(0, agent("agent01"), false).await, ["agent02"], "{}: nobody sees her", test.name);
        assert_eq!(looks(1, boss(), true).await, ["agent01", "agent02"], "{}", test.name);
        assert_eq!(looks(0, agent("agent01"), false).await, ["agent02", "boss"], "{}: it is hers", test.name);
        test.clock.advance(Duration::from_secs(21));
        assert!(looks(1, boss(), false).await.is_empty(), "{}", test.name);
    }
}

#[tokio::test]
async fn who_never_wrote_cannot_be_written_to_and_the_agent_is_told_so() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let who = follower(9);
        let mut conversation = test.store.conversation(&account(), who).await.unwrap();
        let escalated =
            desk.escalate(&mut conversation, Wanted::new("not_me", "fraud", 9), None).await.unwrap();
        let case_id = conversation.case_id.clone().unwrap();
        let mut commit = Commit::new(who.part());
        commit.extend(escalated.writes);
        commit.push(test.store.save_conversation(conversation).unwrap());
        test.store.commit(commit).await.unwrap();
        let mine = agent("agent01");
        desk.claim(&mine, &case_id).await.unwrap();
        let view = desk.open(&mine, &case_id).await.unwrap();
        assert_eq!(view.allowance.why_not, Some(WhyNot::NotYet), "{}", test.name);
        assert!(matches!(desk.answer(&mine, &case_id, "k", "您好").await, Err(DeskError::WindowClosed)));
        desk.leave_words(&mine, &case_id, "k", "请致电我们").await.unwrap();
    }
}

#[tokio::test]
async fn the_wall_tells_who_waits_too_long_and_who_soon_will() {
    for test in stores().await {
        let desk = desk(&test, ALWAYS);
        let card = async || {
            let wall = desk.wall(&boss(), &account()).await.unwrap();
            let card = wall.into_iter().find(|group| group.group == "card").unwrap();
            assert_eq!(card.answer_within, Duration::from_secs(180));
            (card.now.waiting, card.now.at_risk, card.now.overdue)
        };
        assert!(matches!(desk.wall(&agent("agent01"), &account()).await, Err(DeskError::NotAllowed)));
        waiting_case(&test, &desk, follower(1)).await;
        test.clock.advance(Duration::from_secs(100));
        waiting_case(&test, &desk, follower(2)).await;
        // Three quarters of what was promised are over for the first.
        test.clock.advance(Duration::from_secs(40));
        assert_eq!(card().await, (2, 1, 0), "{}", test.name);
        test.clock.advance(Duration::from_secs(60));
        assert_eq!(card().await, (2, 0, 1), "{}", test.name);
        test.clock.advance(Duration::from_secs(60));
        assert_eq!(card().await, (2, 1, 1), "{}", test.name);
        let first = test.store.conversation(&account(), follower(1)).await.unwrap().case_id.unwrap();
        desk.claim(&agent("agent01"), &first).await.unwrap();
        assert_eq!(card().await, (1, 1, 0), "{}", test.name);
    }
}
