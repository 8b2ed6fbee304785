//! The worker against a WeChat that misbehaves, on both databases.

use std::time::Duration;

use serde_json::{Value, json};

use super::testing::{CUSTOM, EVENTS, EVENTS_SECRET, TEMPLATE, World};
use super::*;
use crate::bank::webhooks::{Presented, Verifier};
use crate::clock::Clock as _;
use crate::domain::secret::Secret;
use crate::domain::verdict::State;
use crate::store::testing::stores;
use crate::store::{Channel, Commit, Direction, Message, OutboxRow, SentRow};
use crate::wechat::text::Text;

mod limits;

async fn worlds() -> Vec<World> {
    stores().await.into_iter().map(World::new).collect()
}

fn order(world: &World, id: &str) -> TemplateOrder {
    TemplateOrder {
        id: id.to_owned(),
        customer: CustomerId::parse("C10001").unwrap(),
        lane: Lane::Spend,
        template_id: "tpl-spend".to_owned(),
        way: crate::config::NoticeWay::Template,
        url: None,
        data: BTreeMap::from([("amount2".to_owned(), "¥128.50".to_owned())]),
        expires: world.test.clock.now() + Duration::from_secs(24 * 3600),
        cause: Cause::Notice { family: Family::Transaction, id: id.to_owned() },
    }
}

async fn enqueue(world: &World, outbound: &Outbound, follower: FollowerKey, id: &str) {
    world.commit(outbound.template(&world.account(), follower, order(world, id)).unwrap()).await;
}

async fn sent(world: &World, id: &str) -> SentRow {
    world.store().sent_of("transaction", id).await.unwrap().remove(0)
}

/// An entry in the log and its customer-service message.
async fn say(world: &World, outbound: &Outbound, follower: FollowerKey, sender: Sender, text: &str) -> i64 {
    let mut conversation = world.store().conversation(&world.account(), follower).await.unwrap();
    let seq = conversation.next_seq();
    let message = Message {
        account: world.account(),
        follower,
        seq,
        direction: Direction::Out,
        author: "bot".to_owned(),
        channel: Channel::CustomerService,
        content: crate::domain::secret::Personal::new(json!({"kind": "text", "text": text}).to_string()),
        at: world.test.clock.now(),
        state: "queued".to_owned(),
    };
    let content = CustomMessage::Text(Text::new(text).unwrap());
    let mut writes = vec![
        world.store().append_message(&mut conversation, &message).unwrap(),
        world.store().save_conversation(conversation).unwrap(),
    ];
    let cause = Cause::Message { seq };
    writes.extend(outbound.customer_service(&world.account(), follower, sender, &content, cause).unwrap());
    world.commit(writes).await;
    seq
}

async fn state_of(world: &World, follower: FollowerKey, seq: i64) -> String {
    world.store().messages(&world.account(), follower, seq - 1, 1).await.unwrap().remove(0).state
}

/// What a sender would take now.
async fn due(world: &World, outbound: &Outbound, channel: OutChannel, lane: Lane) -> Vec<OutboxRow> {
    let (owner, account, now) = (outbound.parts().owner(), world.account(), world.test.clock.now());
    world.store().due_outbox(owner, (&account, channel), lane, now, 9).await.unwrap()
}

/// The owner died: its leases end at once.
async fn expire_leases(world: &World, dead: &Outbound) {
    let commit = Commit::new(0)
        .with(world.store().renew_parts(dead.parts().owner(), UnixMs(1)))
        .with(world.store().forget_instances(UnixMs(i64::MAX)));
    world.store().commit(commit).await.unwrap();
}

#[tokio::test]
async fn a_template_leaves_once_with_its_fields_and_its_id() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let outbound = world.outbound();
        enqueue(&world, &outbound, follower, "T1").await;
        assert_eq!(outbound.step().await, 1);
        assert_eq!(outbound.step().await, 0, "{}", world.test.name);
        let seen = world.outside.seen(TEMPLATE);
        let expected = json!({"touser": "o1", "template_id": "tpl-spend", "client_msg_id": "T1",
            "data": {"amount2": {"value": "¥128.50"}}});
        assert_eq!(seen.iter().map(|seen| seen.body.clone()).collect::<Vec<_>>(), [expected]);
        assert_eq!(sent(&world, "T1").await.verdict.state, State::Sent);
        assert!(world.store().left_intents(outbound.parts().owner(), 10).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_busy_or_silent_wechat_is_asked_again_under_the_same_id() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let outbound = world.outbound();
        world.outside.answers(
            TEMPLATE,
            [
                (200, json!({"errcode": -1, "errmsg": "busy"})),
                (502, Value::Null),
                (200, json!({"errcode": 40001, "errmsg": "token"})),
            ],
        );
        enqueue(&world, &outbound, follower, "T1").await;
        for pause_ms in [0_u64, 700, 1300, 2600] {
            world.test.clock.advance(Duration::from_millis(pause_ms));
            assert_eq!(outbound.step().await, 1, "{} after {pause_ms} ms", world.test.name);
            if pause_ms < 1300 {
                assert_eq!(outbound.step().await, 0, "not before its time");
            }
            if sent(&world, "T1").await.verdict.state == State::Sent {
                break;
            }
        }
        let ids: Vec<_> =
            world.outside.seen(TEMPLATE).iter().map(|seen| seen.body["client_msg_id"].clone()).collect();
        assert_eq!(ids, ["T1"; 4], "busy, lost, refused token, accepted");
        let row = sent(&world, "T1").await;
        assert_eq!((row.verdict.state, row.attempts), (State::Sent, 3));
        let outcomes: Vec<_> = world.store().attempts_of("transaction", "T1").await.unwrap();
        let outcomes: Vec<_> = outcomes.iter().map(|attempt| attempt.outcome.as_str()).collect();
        assert_eq!(outcomes, ["busy", "unclear", "accepted"]);
    }
}

#[tokio::test]
async fn the_days_quota_holds_everything_until_midnight_also_over_a_restart() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let other = world.bind("o2", "C10001").await;
        let first = world.outbound();
        world.outside.refuse(TEMPLATE, [45009]);
        enqueue(&world, &first, follower, "T1").await;
        first.step().await;
        enqueue(&world, &first, other, "T2").await;
        assert_eq!(first.step().await, 0, "{}: another follower waits too", world.test.name);
        first.parts().leave().await.unwrap();
        let second = world.outbound();
        // It is ten in the morning; at 23:59:59 still nothing leaves.
        world.test.clock.advance(Duration::from_secs(14 * 3600 - 1));
        assert_eq!(second.step().await, 0);
        assert_eq!(sent(&world, "T1").await.verdict.state, State::Pending);
        world.test.clock.advance(Duration::from_secs(1));
        assert_eq!(second.step().await, 2);
        assert_eq!(sent(&world, "T1").await.verdict.state, State::Sent);
        assert_eq!(sent(&world, "T2").await.verdict.state, State::Sent);
    }
}

#[tokio::test]
async fn whoever_does_not_follow_is_unreachable_and_whoever_is_no_longer_bound_hears_nothing() {
    for world in worlds().await {
        let gone = world.bind("o1", "C10001").await;
        let unbound = world.meet("o2").await;
        let outbound = world.outbound();
        world.outside.refuse(TEMPLATE, [43004]);
        enqueue(&world, &outbound, gone, "T1").await;
        outbound.step().await;
        let row = sent(&world, "T1").await;
        assert_eq!(
            (row.verdict.state, row.verdict.reason.as_deref()),
            (State::Unreachable, Some("errcode_43004"))
        );
        assert_eq!(world.store().is_following(&world.account(), gone).await.unwrap(), Some(false));
        enqueue(&world, &outbound, unbound, "T2").await;
        enqueue(&world, &outbound, gone, "T3").await;
        outbound.step().await;
        assert_eq!(sent(&world, "T2").await.verdict.reason.as_deref(), Some("no_binding"));
        assert_eq!(sent(&world, "T3").await.verdict.reason.as_deref(), Some("not_following"));
        assert_eq!(world.outside.seen(TEMPLATE).len(), 1, "{}", world.test.name);
    }
}

#[tokio::test]
async fn what_cannot_be_sent_for_a_day_has_failed() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let outbound = world.outbound();
        world.outside.refuse(TEMPLATE, [-1; 50]);
        enqueue(&world, &outbound, follower, "T1").await;
        for _ in 0..6 {
            outbound.step().await;
            world.test.clock.advance(Duration::from_secs(3600));
        }
        assert_eq!(sent(&world, "T1").await.verdict.state, State::Pending);
        world.test.clock.advance(Duration::from_secs(24 * 3600));
        outbound.step().await;
        let row = sent(&world, "T1").await;
        assert_eq!((row.verdict.state, row.verdict.reason.as_deref()), (State::Failed, Some("expired")));
    }
}

#[tokio::test]
async fn after_a_take_over_nothing_is_sent_twice_and_the_old_owner_settles_nothing() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let (old, new) = (world.outbound(), world.outbound());
        old.parts().tend().await.unwrap();
        enqueue(&world, &old, follower, "T1").await;
        // The old owner has read the row when it falls asleep; its leases end, and another takes them.
        let row = due(&world, &old, OutChannel::Template, Lane::Spend).await.remove(0);
        expire_leases(&world, &old).await;
        assert_eq!(new.step().await, 1);
        let verdict = crate::domain::verdict::Verdict::plain(State::Failed);
        let late = Commit::new(0).with(world.store().settle_outbox(&row, &verdict, None, 1));
        assert!(world.store().commit(late).await.is_err(), "{}: a late settle is refused", world.test.name);
        let late = Commit::new(0).with(world.store().add_intent("late", &row.fence, &["T1"]));
        assert!(world.store().commit(late).await.is_err(), "and so is a late intent, so nothing is sent");
        assert_eq!(old.step().await, 0);
        assert_eq!(world.outside.seen(TEMPLATE).len(), 1);
        assert_eq!(sent(&world, "T1").await.verdict.state, State::Sent);
    }
}

#[tokio::test]
async fn a_crash_between_intent_and_settle_is_an_unclear_try_and_goes_out_under_the_same_id() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let dead = world.outbound();
        dead.parts().tend().await.unwrap();
        enqueue(&world, &dead, follower, "T1").await;
        let row = due(&world, &dead, OutChannel::Template, Lane::Spend).await.remove(0);
        let intent = world.store().add_intent("batch", &row.fence, &["T1"]);
        world.commit(vec![intent]).await;
        expire_leases(&world, &dead).await;
        let next = world.outbound();
        next.step().await;
        let row = sent(&world, "T1").await;
        assert_eq!((row.verdict.state, row.attempts), (State::Sent, 2), "{}", world.test.name);
        let attempts = world.store().attempts_of("transaction", "T1").await.unwrap();
        assert_eq!(attempts[0].outcome, "unclear");
        assert!(!world.store().has_intent("batch").await.unwrap());
    }
}

#[tokio::test]
async fn receipts_join_their_message_whichever_comes_first() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let outbound = world.outbound();
        // The receipt of message 2 comes before the send's own answer: the counter of the fixture gives that id.
        world.commit(vec![world.store().add_receipt(&world.account(), "2", "success")]).await;
        enqueue(&world, &outbound, follower, "T1").await;
        outbound.step().await;
        assert_eq!(sent(&world, "T1").await.verdict.state, State::Delivered, "{}", world.test.name);
        enqueue(&world, &outbound, follower, "T2").await;
        outbound.step().await;
        assert_eq!(sent(&world, "T2").await.verdict.state, State::Sent);
        world.commit(vec![world.store().add_receipt(&world.account(), "3", "failed:user block")]).await;
        let row = sent(&world, "T2").await;
        assert_eq!(
            (row.verdict.state, row.verdict.reason.as_deref()),
            (State::Failed, Some("receipt_user_block"))
        );
    }
}

#[tokio::test]
async fn one_followers_chat_keeps_its_order_while_its_head_waits() {
    for world in worlds().await {
        let follower = world.meet("o1").await;
        world.writes(follower).await;
        let outbound = world.outbound();
        world.outside.refuse(CUSTOM, [-1]);
        let first = say(&world, &outbound, follower, Sender::Agent, "第一句").await;
        let second = say(&world, &outbound, follower, Sender::Agent, "第二句").await;
        assert_eq!(outbound.step().await, 1);
        assert_eq!(outbound.step().await, 0, "the second waits for the first");
        world.test.clock.advance(Duration::from_secs(1));
        outbound.step().await;
        outbound.step().await;
        let texts: Vec<_> =
            world.outside.seen(CUSTOM).iter().map(|seen| seen.body["text"]["content"].clone()).collect();
        assert_eq!(texts, ["第一句", "第一句", "第二句"], "{}", world.test.name);
        for seq in [first, second] {
            assert_eq!(state_of(&world, follower, seq).await, "sent");
        }
        let ledger = world.store().conversation(&world.account(), follower).await.unwrap().ledger;
        assert_eq!(ledger.message.used, 2, "the try that WeChat refused was not counted twice");
    }
}

#[tokio::test]
async fn an_owed_answer_without_window_is_the_first_thing_said_next_and_an_agents_fails() {
    for world in worlds().await {
        let follower = world.meet("o1").await;
        let outbound = world.outbound();
        let owed = say(&world, &outbound, follower, Sender::Owed, "账单是 ¥128.50").await;
        outbound.step().await;
        let agents = say(&world, &outbound, follower, Sender::Agent, "您好").await;
        outbound.step().await;
        world.writes(follower).await;
        world.outside.refuse(CUSTOM, [45015]);
        let late = say(&world, &outbound, follower, Sender::Owed, "还款日是 12 月 5 日").await;
        outbound.step().await;
        assert_eq!(
            world.outside.seen(CUSTOM).len(),
            1,
            "{}: nothing is sent into a closed window",
            world.test.name
        );
        let ledger = world.store().conversation(&world.account(), follower).await.unwrap().ledger;
        assert_eq!(ledger.left(world.test.clock.now()), 0, "WeChat's word counts");
        assert_eq!(state_of(&world, follower, owed).await, "said_next");
        assert_eq!(state_of(&world, follower, agents).await, "window_closed");
        assert_eq!(state_of(&world, follower, late).await, "said_next");
        let conversation = world.store().conversation(&world.account(), follower).await.unwrap();
        assert_eq!(conversation.say_next.unwrap().reveal(), "账单是 ¥128.50\n\n还款日是 12 月 5 日");
    }
}

#[tokio::test]
async fn what_wechat_refuses_an_agent_stands_in_the_log_with_why_and_ends_what_it_says_is_over() {
    for world in worlds().await {
        let outbound = world.outbound();
        for (number, code, state, left) in [
            (1, 45015, "window_closed", 0),
            (2, 45047, "allowance_used", 0),
            (3, 40003, "unreachable", 4),
            (4, 43004, "unreachable", 4),
            (5, 45009, "failed", 4),
        ] {
            let follower = world.meet(&format!("o{number}")).await;
            world.writes(follower).await;
            world.outside.refuse(CUSTOM, [code]);
            let seq = say(&world, &outbound, follower, Sender::Agent, "您好").await;
            outbound.step().await;
            let told = format!("{} {code}", world.test.name);
            assert_eq!(state_of(&world, follower, seq).await, state, "{told}");
            let conversation = world.store().conversation(&world.account(), follower).await.unwrap();
            assert_eq!(conversation.ledger.left(world.test.clock.now()), left, "{told}");
            let kept =
                world.store().messages(&world.account(), follower, seq - 1, 1).await.unwrap().remove(0);
            assert!(kept.content.reveal().contains("您好"), "{told}: the words are kept");
            world.writes(follower).await;
            let again = say(&world, &outbound, follower, Sender::Agent, "您好").await;
            outbound.step().await;
            assert_eq!(
                state_of(&world, follower, again).await,
                "sent",
                "{told}: a word of his opens it again"
            );
        }
    }
}

#[tokio::test]
async fn an_unclear_chat_message_is_repeated_once_if_it_answers_and_shown_as_unclear_otherwise() {
    for world in worlds().await {
        let follower = world.meet("o1").await;
        world.writes(follower).await;
        let outbound = world.outbound();
        world.outside.answers(CUSTOM, [(502, Value::Null), (502, Value::Null), (502, Value::Null)]);
        let agents = say(&world, &outbound, follower, Sender::Agent, "您好").await;
        outbound.step().await;
        assert_eq!(state_of(&world, follower, agents).await, "unclear");
        let owed = say(&world, &outbound, follower, Sender::Owed, "答复").await;
        outbound.step().await;
        assert_eq!(state_of(&world, follower, owed).await, "queued");
        outbound.step().await;
        outbound.step().await;
        assert_eq!(state_of(&world, follower, owed).await, "unclear");
        assert_eq!(world.outside.seen(CUSTOM).len(), 3, "{}", world.test.name);
    }
}

#[tokio::test]
async fn a_crash_while_a_chat_message_was_on_its_way_leaves_it_unclear_and_unsent() {
    for world in worlds().await {
        let follower = world.meet("o1").await;
        world.writes(follower).await;
        let dead = world.outbound();
        dead.parts().tend().await.unwrap();
        let agents = say(&world, &dead, follower, Sender::Agent, "您好").await;
        let row = due(&world, &dead, OutChannel::CustomerService, Lane::Answer).await.remove(0);
        world.commit(vec![world.store().add_intent(&row.outbox_id, &row.fence, &[])]).await;
        expire_leases(&world, &dead).await;
        world.outbound().step().await;
        assert_eq!(state_of(&world, follower, agents).await, "unclear", "{}", world.test.name);
        assert!(world.outside.seen(CUSTOM).is_empty());
    }
}

#[tokio::test]
async fn events_reach_the_bank_signed_under_one_id_and_are_retried() {
    for world in worlds().await {
        let outbound = world.outbound();
        world.outside.answers(EVENTS, [(500, Value::Null)]);
        let customer = CustomerId::parse("C10001").unwrap();
        let data = json!({"reason": "customer"});
        world
            .commit(outbound.event("unbound", &world.account(), Some(&customer), data.clone()).unwrap())
            .await;
        outbound.step().await;
        world.test.clock.advance(Duration::from_secs(2));
        outbound.step().await;
        let seen = world.outside.seen(EVENTS);
        assert_eq!(seen.len(), 2, "{}", world.test.name);
        assert_eq!(seen[0].body, seen[1].body);
        let id = seen[0].body["event_id"].as_str().unwrap();
        assert_eq!(seen[1].headers["webhook-id"], id);
        let expected = json!({"event_id": id, "type": "unbound", "account": "card", "customer_id": "C10001",
            "occurred_at": "2026-11-22T10:00:00.000+08:00", "data": data});
        assert_eq!(seen[0].body, expected);
        let presented = Presented {
            id,
            timestamp: &seen[1].headers["webhook-timestamp"],
            signature: &seen[1].headers["webhook-signature"],
        };
        let verifier = Verifier::new(&[Secret::new(EVENTS_SECRET.to_owned())]).unwrap();
        let body = serde_json::to_vec(&seen[1].body).unwrap();
        assert_eq!(verifier.verify(presented, &body, world.test.clock.now()), Ok(()));
        assert_eq!(outbound.step().await, 0);
    }
}

#[tokio::test]
async fn an_event_that_nobody_takes_is_given_up_after_three_days() {
    for world in worlds().await {
        let outbound = world.outbound();
        world.outside.answers(EVENTS, vec![(503, Value::Null); 200]);
        world.commit(outbound.event("followed", &world.account(), None, json!({})).unwrap()).await;
        for _ in 0..71 {
            outbound.step().await;
            world.test.clock.advance(Duration::from_secs(3600));
        }
        let tries = world.outside.seen(EVENTS).len();
        assert!((20..=71).contains(&tries), "{tries}");
        world.test.clock.advance(Duration::from_secs(2 * 3600));
        outbound.step().await;
        world.test.clock.advance(Duration::from_secs(3600));
        outbound.step().await;
        assert_eq!(world.outside.seen(EVENTS).len(), tries, "{}", world.test.name);
    }
}

#[tokio::test]
async fn the_running_worker_sends_what_is_committed_and_stops_clean() {
    for world in worlds().await {
        let outbound = world.outbound();
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn(outbound.clone().run(stop.clone()));
        let mut followers = Vec::new();
        for number in 0..40 {
            followers.push(world.bind(&format!("o{number}"), "C10001").await);
        }
        for (number, follower) in followers.iter().enumerate() {
            enqueue(&world, &outbound, *follower, &format!("T{number}")).await;
            outbound.wake(follower.part());
        }
        let all_sent = world.outside.has_seen(TEMPLATE, 40);
        tokio::time::timeout(Duration::from_secs(30), all_sent).await.expect("all are sent");
        stop.cancel();
        running.await.unwrap();
        for number in 0..40 {
            assert_eq!(sent(&world, &format!("T{number}")).await.verdict.state, State::Sent);
        }
        let leases = world.store().leases().await.unwrap();
        assert!(leases.iter().all(|lease| lease.owner.is_empty()), "{}", world.test.name);
    }
}
