//! Quota, rate, precedence, and a WeChat that is away.

use super::*;

const GREET: &str = "/cgi-bin/getcallbackip";
const TOKEN: &str = "/cgi-bin/stable_token";

/// Orders of one lane for as many followers; ids are `PREFIX-NUMBER`.
async fn enqueue_many(world: &World, outbound: &Outbound, lane: Lane, prefix: &str, count: usize) {
    for number in 0..count {
        let follower = world.bind(&format!("o-{prefix}-{number}"), "C10001").await;
        let order = TemplateOrder { lane, ..order(world, &format!("{prefix}-{number}")) };
        world.commit(outbound.template(&world.account(), follower, order).unwrap()).await;
    }
}

/// The ids that WeChat saw, in their order.
fn seen_ids(world: &World) -> Vec<String> {
    let seen = world.outside.seen(TEMPLATE);
    seen.iter().map(|seen| seen.body["client_msg_id"].as_str().unwrap().to_owned()).collect()
}

/// Sends until WeChat has seen so many messages, and then what else may leave: on a busy machine a step may find its
/// leases too old.
async fn send_until(world: &World, outbound: &Outbound, count: usize) {
    for _ in 0..50 {
        outbound.step().await;
        if seen_ids(world).len() >= count {
            break;
        }
    }
    outbound.step().await;
}

fn count_of(ids: &[String], prefix: &str) -> usize {
    ids.iter().filter(|id| id.starts_with(prefix)).count()
}

fn day_of_calls(calls: i64) -> Quota {
    Quota { daily_limit: calls, used: 0, remain: calls, rate: None }
}

#[tokio::test]
async fn a_used_up_quota_holds_everything_but_security_until_the_next_day() {
    for world in worlds().await {
        let outbound = world.outbound();
        let account = world.account();
        outbound.learn_limits(&account, OutChannel::Template, &day_of_calls(50)).await.unwrap();
        enqueue_many(&world, &outbound, Lane::Spend, "spend", 60).await;
        send_until(&world, &outbound, 49).await;
        assert_eq!(seen_ids(&world).len(), 49, "{}: one call is kept for security", world.test.name);
        assert!(outbound.is_closed(&account, OutChannel::Template));
        assert!(!outbound.is_closed(&account, OutChannel::CustomerService));
        enqueue_many(&world, &outbound, Lane::Security, "fraud", 1).await;
        send_until(&world, &outbound, 50).await;
        assert_eq!(count_of(&seen_ids(&world), "fraud"), 1, "{}", world.test.name);
        let used = outbound.quota_use(&account, OutChannel::Template).await.unwrap();
        assert_eq!((used.drawn, used.calls_max), (50, Some(50)));
        // It is ten in the morning.
        world.test.clock.advance(Duration::from_secs(14 * 3600));
        assert!(!outbound.is_closed(&account, OutChannel::Template));
        send_until(&world, &outbound, 61).await;
        assert_eq!(count_of(&seen_ids(&world), "spend"), 60, "{}", world.test.name);
    }
}

#[tokio::test]
async fn two_instances_share_one_quota_and_what_one_gives_back_the_other_has() {
    for world in worlds().await {
        let (first, second) = (world.outbound(), world.outbound());
        let account = world.account();
        first.learn_limits(&account, OutChannel::Template, &day_of_calls(49)).await.unwrap();
        enqueue_many(&world, &first, Lane::Spend, "spend", 55).await;
        first.parts().tend().await.unwrap();
        for _ in 0..8 {
            first.step().await;
            second.step().await;
        }
        first.gate.give_back(world.store(), world.test.clock.now()).await.unwrap();
        world.test.clock.advance(Duration::from_secs(31));
        for _ in 0..40 {
            first.step().await;
            second.step().await;
        }
        assert_eq!(seen_ids(&world).len(), 49, "{}", world.test.name);
        let used = first.quota_use(&account, OutChannel::Template).await.unwrap();
        assert_eq!(used.drawn, 49, "{}: never more than the day has", world.test.name);
    }
}

#[tokio::test]
async fn the_configured_rate_holds_and_nothing_is_lost_by_it() {
    for mut world in worlds().await {
        let mut config = (*world.config).clone();
        config.accounts[0].template_per_second = Some(50);
        world.config = Arc::new(config);
        let outbound = world.outbound();
        enqueue_many(&world, &outbound, Lane::Spend, "spend", 20).await;
        let mut sent = Vec::new();
        for _ in 0..4 {
            outbound.step().await;
            outbound.step().await;
            sent.push(seen_ids(&world).len());
            world.test.clock.advance(Duration::from_millis(100));
        }
        assert_eq!(sent, [5, 10, 15, 20], "{}: fifty a second", world.test.name);
    }
}

#[tokio::test]
async fn security_goes_first_and_reminders_get_their_turn_beside_a_backlog() {
    for world in worlds().await {
        let outbound = world.outbound();
        let account = &world.config.accounts[0].id;
        let told = Quota {
            rate: Some(crate::wechat::api::RateLimit { call_count: 40, refresh_second: 1 }),
            ..day_of_calls(100_000)
        };
        outbound.learn_limits(account, OutChannel::Template, &told).await.unwrap();
        enqueue_many(&world, &outbound, Lane::Reminder, "bill", 10).await;
        enqueue_many(&world, &outbound, Lane::Spend, "spend", 100).await;
        enqueue_many(&world, &outbound, Lane::Security, "fraud", 6).await;
        for _ in 0..18 {
            outbound.step().await;
            world.test.clock.advance(Duration::from_millis(100));
        }
        let ids = seen_ids(&world);
        let first: Vec<_> = ids.iter().take(6).filter(|id| id.starts_with("fraud")).collect();
        assert!(first.len() >= 5, "{}: {ids:?}", world.test.name);
        assert_eq!(count_of(&ids, "fraud"), 6);
        assert!(count_of(&ids, "bill") >= 1, "{}: {ids:?}", world.test.name);
        assert!(count_of(&ids, "spend") >= 55, "{}: {ids:?}", world.test.name);
    }
}

#[tokio::test]
async fn a_wechat_that_is_away_is_left_alone_and_gets_security_first_when_it_is_back() {
    for world in worlds().await {
        let outbound = world.outbound();
        world.outside.answers(TEMPLATE, vec![(502, Value::Null); 500]);
        world.outside.answers(GREET, vec![(502, Value::Null); 500]);
        enqueue_many(&world, &outbound, Lane::Spend, "first", 8).await;
        send_until(&world, &outbound, 8).await;
        let tried = seen_ids(&world).len();
        assert_eq!(tried, 8);
        enqueue_many(&world, &outbound, Lane::Spend, "spend", 30).await;
        enqueue_many(&world, &outbound, Lane::Security, "fraud", 3).await;
        for _ in 0..60 {
            world.test.clock.advance(Duration::from_secs(5));
            outbound.step().await;
        }
        assert_eq!(seen_ids(&world).len(), tried, "{}: nothing is sent into nowhere", world.test.name);
        assert!(world.outside.seen(GREET).len() >= 60, "it is asked whether it is back");
        world.outside.answers(TEMPLATE, []);
        world.outside.answers(GREET, []);
        send_until(&world, &outbound, tried + 41).await;
        let ids = seen_ids(&world);
        assert_eq!(ids.len(), tried + 41, "{}", world.test.name);
        assert_eq!(sent(&world, "fraud-0").await.attempts, 1, "an outage costs what waits no try");
        for id in ["first-0", "spend-29", "fraud-2"] {
            assert_eq!(sent(&world, id).await.verdict.state, State::Sent, "{id}");
        }
    }
}

#[tokio::test]
async fn a_template_that_may_have_arrived_is_repeated_only_while_wechat_knows_its_id() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let outbound = world.outbound();
        let began = world.test.clock.now();
        let busy = (200, json!({"errcode": -1, "errmsg": "busy"}));
        world.outside.answers(TEMPLATE, std::iter::once((502, Value::Null)).chain(vec![busy; 50]));
        enqueue(&world, &outbound, follower, "T1").await;
        let mut last = began;
        while sent(&world, "T1").await.verdict.state == State::Pending {
            world.test.clock.advance(Duration::from_secs(5));
            let before = world.outside.seen(TEMPLATE).len();
            outbound.step().await;
            if world.outside.seen(TEMPLATE).len() > before {
                last = world.test.clock.now();
            }
        }
        let row = sent(&world, "T1").await;
        assert_eq!((row.verdict.state, row.verdict.reason.as_deref()), (State::Failed, Some("unclear")));
        assert!(row.attempts > 4, "{}: {} tries", world.test.name, row.attempts);
        assert!(last.since(began) < Duration::from_secs(10 * 60), "{}", world.test.name);
        assert!(world.test.clock.now().since(began) < Duration::from_secs(10 * 60), "the bank hears in time");
    }
}

#[tokio::test]
async fn what_a_dead_owner_may_have_sent_is_not_sent_again_when_wechat_no_longer_knows_its_id() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let dead = world.outbound();
        dead.parts().tend().await.unwrap();
        enqueue(&world, &dead, follower, "T1").await;
        let row = due(&world, &dead, OutChannel::Template, Lane::Spend).await.remove(0);
        world.commit(vec![world.store().add_intent("batch", &row.fence, &["T1"])]).await;
        expire_leases(&world, &dead).await;
        world.test.clock.advance(Duration::from_secs(20 * 60));
        let next = world.outbound();
        next.step().await;
        next.step().await;
        let row = sent(&world, "T1").await;
        assert_eq!((row.verdict.state, row.verdict.reason.as_deref()), (State::Failed, Some("unclear")));
        assert!(world.outside.seen(TEMPLATE).is_empty(), "{}", world.test.name);
    }
}

#[tokio::test]
async fn a_message_does_not_fail_because_there_is_no_token() {
    for world in worlds().await {
        let follower = world.bind("o1", "C10001").await;
        let outbound = world.outbound();
        world.outside.refuse(TOKEN, [40164, 45009, 40125]);
        enqueue(&world, &outbound, follower, "T1").await;
        // A failure is shared for a while by the machine's own clock: the steps between are tries too.
        for _ in 0..1_000 {
            outbound.step().await;
            world.test.clock.advance(Duration::from_secs(60));
            if sent(&world, "T1").await.verdict.state != State::Pending {
                break;
            }
        }
        assert_eq!(sent(&world, "T1").await.verdict.state, State::Sent, "{}", world.test.name);
        assert!(!outbound.is_closed(&world.account(), OutChannel::Template));
    }
}
