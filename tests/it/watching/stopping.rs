//! SIGTERM to the real process under load: not ready at once, nobody meets a closed door early, no answer is lost or
//! said twice, and the end comes within 15 seconds whatever hangs.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::{Value, json};
use weikefu::inbound::Limits;
use weikefu::store::Direction;

use crate::house::House;
use crate::processes::Process;
use crate::wechat::{Wechat, text};
use crate::world::{Engine, until};

/// What operators are promised.
const STOP_WITHIN: Duration = Duration::from_secs(15);

struct Stopping {
    house: House,
    server: Process,
    wechat: Wechat,
    ready_url: String,
    config: String,
}

impl Stopping {
    async fn start(engine: Engine) -> Self {
        let house = House::prepared(engine, Limits::default()).await;
        let (config, metrics_url) = house.write_watched_configuration("");
        let server = Self::live(&house, &config);
        let wechat = Wechat {
            http: house.world.http.clone(),
            url: format!("{}/wechat/card", house.world.server_url),
            is_safe: true,
        };
        Self { house, server, wechat, ready_url: format!("{metrics_url}/readyz"), config }
    }

    fn live(house: &House, config: &str) -> Process {
        let server = Process::start(house.world.folder.path(), &["serve", "--config", config]);
        server.line("weikefu on ");
        server
    }

    /// Status and body of `/readyz`.
    async fn readiness(&self) -> (u16, String) {
        let answer = self.wechat.http.get(&self.ready_url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    /// Waits for its end; gives exit code and how long that took.
    async fn end(&mut self, asked: Instant) -> (Option<i32>, Duration) {
        loop {
            if let Some(code) = self.server.ended() {
                return (code, asked.elapsed());
            }
            assert!(asked.elapsed() < 2 * STOP_WITHIN, "it does not end");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

fn bills(timeline: &[Value]) -> usize {
    let said = timeline.iter().filter(|entry| entry["direction"] == "account");
    said.filter(|entry| entry["text"].as_str().is_some_and(|text| text.contains("本期应还"))).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_with_a_slow_core_every_push_sent_before_the_stop_gets_its_answer_once() {
    const PEOPLE: usize = 12;
    for engine in Engine::at_hand() {
        let mut stopping = Stopping::start(engine).await;
        assert_eq!(stopping.readiness().await, (200, "ready\n".to_owned()), "{engine:?}");
        let mut openids = Vec::new();
        for person in 0..PEOPLE {
            let openid = format!("o-stop-{person}");
            stopping.house.world.bind(&openid, &format!("C100{:02}", person + 1)).await;
            openids.push(openid);
        }
        stopping.house.world.fault(json!({ "operation": "bill_current", "delay_ms": 1_500 })).await;
        let deliveries: Vec<_> = openids
            .iter()
            .enumerate()
            .map(|(number, openid)| {
                let (wechat, xml) = (stopping.wechat.clone(), text(openid, number as u64, "查账单"));
                tokio::spawn(async move { wechat.deliver(&xml).await })
            })
            .collect();
        stopping.house.gate.asked(PEOPLE).await;

        let asked = Instant::now();
        stopping.server.ask_to_stop();
        let readiness = until("not ready", || async {
            let readiness = stopping.readiness().await;
            (readiness.0 != 200).then_some(readiness)
        })
        .await;
        assert_eq!(readiness, (503, "not ready: this process is stopping\n".to_owned()), "{engine:?}");
        assert!(asked.elapsed() < Duration::from_secs(1), "{engine:?}: {:?}", asked.elapsed());
        // Who was sent on his way before the gateway heard of it meets an open door.
        let late = stopping.wechat.deliver(&text("o-stop-late", 99, "功能")).await;
        assert!(!late.text().is_empty(), "{engine:?}");
        for (openid, answer) in openids.iter().zip(join_all(deliveries).await) {
            let answer = answer.unwrap();
            assert!(answer.text().contains("本期应还"), "{engine:?} {openid}: {}", answer.raw());
        }
        let (code, took) = stopping.end(asked).await;
        assert_eq!(code, Some(0), "{engine:?}");
        assert!(took < STOP_WITHIN, "{engine:?}: {took:?}");
        assert!(
            stopping.wechat.try_deliver(&text("o-stop-refused", 100, "功能")).await.is_err(),
            "{engine:?}"
        );
        assert_eq!(stopping.house.number("SELECT count(*) FROM open_push").await, 0, "{engine:?}");
        for openid in &openids {
            assert_eq!(stopping.house.said(openid, Direction::Out).await.len(), 1, "{engine:?} {openid}");
        }
        stopping.house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_core_that_hangs_the_stop_keeps_its_time_and_the_answers_follow_once_from_the_next_start() {
    const PEOPLE: usize = 3;
    for engine in Engine::at_hand() {
        let mut stopping = Stopping::start(engine).await;
        let mut phones = Vec::new();
        for person in 0..PEOPLE {
            let openid = stopping.house.world.follower(&format!("停{person}")).await.openid;
            let customer = format!("C1000{}", person + 1);
            stopping.house.world.bind(&openid, &customer).await;
            stopping.house.gate.hold(&customer);
            let phone = stopping.house.world.phone(&openid);
            let entry = phone.ask(json!({ "action": "text", "text": "查账单" })).await;
            phones.push((openid, customer, entry));
        }
        stopping.house.gate.asked(PEOPLE).await;
        let asked = Instant::now();
        stopping.server.ask_to_stop();
        let (code, took) = stopping.end(asked).await;
        assert_eq!(code, Some(0), "{engine:?}");
        assert!(took < STOP_WITHIN, "{engine:?}: {took:?}");
        let held = "SELECT count(*) FROM part_lease WHERE owner <> ''";
        assert_eq!(stopping.house.number(held).await, 0, "{engine:?}: the outbox is handed over");

        for (_, customer, _) in &phones {
            stopping.house.gate.release(customer);
        }
        stopping.server = Stopping::live(&stopping.house, &stopping.config);
        for (openid, _, entry) in &phones {
            let phone = stopping.house.world.phone(openid);
            let answer = phone.answer_after(*entry).await;
            assert!(answer.contains("本期应还"), "{engine:?}: {answer}");
        }
        until("a settled outbox and no open push", || async {
            let open =
                "SELECT (SELECT count(*) FROM open_push) + (SELECT count(*) FROM outbox WHERE settled = 0)";
            (stopping.house.number(open).await == 0).then_some(())
        })
        .await;
        for (openid, _, _) in &phones {
            let timeline = stopping.house.world.phone(openid).timeline().await;
            assert_eq!(bills(&timeline), 1, "{engine:?}: {timeline:#?}");
        }
        assert_eq!(stopping.server.terminate(), Some(0), "{engine:?}");
        stopping.house.stop().await;
    }
}
