//! kill -9 at every point of a push's way, with the real binary: nothing is lost, nothing happens twice (P1, P2).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use weikefu::inbound::Limits;
use weikefu::store::Direction;

use crate::house::{Blocked, House};
use crate::processes::{Process, kills};
use crate::wechat::{Answered, Wechat, text};
use crate::world::{Engine, WAIT_MAX, until};

/// As WeChat waits.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(5);

/// A house whose server is a process.
struct Doomed {
    house: House,
    wechat: Wechat,
    process: Option<Process>,
}

impl Doomed {
    async fn start(engine: Engine) -> Self {
        let house = House::prepared(engine, Limits::default()).await;
        let wechat = Wechat {
            http: house.world.http.clone(),
            url: format!("{}/wechat/card", house.world.server_url),
            is_safe: true,
        };
        let mut doomed = Self { house, wechat, process: None };
        doomed.live();
        doomed
    }

    fn live(&mut self) {
        let config = self.house.write_configuration();
        let process = Process::start(self.house.world.folder.path(), &["serve", "--config", &config]);
        process.line("weikefu on ");
        self.process = Some(process);
    }

    /// kill -9.
    fn die(&mut self) {
        self.process.take().expect("a living server").kill();
    }

    async fn stop(mut self) {
        self.die();
        self.house.stop().await;
    }

    /// A delivery that gets no answer, because the server dies when `then` says so.
    async fn dies_during(&mut self, xml: &str, then: impl Future<Output = ()>) {
        let wechat = self.wechat.clone();
        let xml = xml.to_owned();
        let delivery = tokio::spawn(async move { wechat.try_deliver(&xml).await });
        then.await;
        self.die();
        assert!(delivery.await.unwrap().is_err(), "answered by a dead server");
    }

    /// One message in, one answer out, nothing in work.
    async fn assert_one_effect(&self, openid: &str, engine: Engine) {
        assert_eq!(self.house.said(openid, Direction::In).await, ["查账单"], "{engine:?}");
        let said = self.house.said(openid, Direction::Out).await;
        assert!(said.len() == 1 && said[0].contains("本期应还"), "{engine:?}: {said:?}");
        assert_eq!(self.house.number("SELECT count(*) FROM open_push").await, 0, "{engine:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_before_the_claim_the_redelivery_is_the_first() {
    for engine in Engine::at_hand() {
        let mut doomed = Doomed::start(engine).await;
        doomed.house.world.bind("o-dies", "C10001").await;
        let xml = text("o-dies", 1, "查账单");
        let blocked = Blocked::begin(&doomed.house).await;
        // The claim cannot commit, so the delivery cannot end within this time.
        doomed.dies_during(&xml, tokio::time::sleep(Duration::from_millis(500))).await;
        blocked.end().await;
        assert_eq!(doomed.house.number("SELECT count(*) FROM push").await, 0, "{engine:?}");
        doomed.live();
        assert!(doomed.wechat.deliver(&xml).await.text().contains("本期应还"), "{engine:?}");
        doomed.assert_one_effect("o-dies", engine).await;
        doomed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_while_the_core_was_asked_the_redelivery_goes_on() {
    for engine in Engine::at_hand() {
        let mut doomed = Doomed::start(engine).await;
        doomed.house.world.bind("o-dies", "C10001").await;
        doomed.house.gate.hold("C10001");
        let xml = text("o-dies", 1, "查账单");
        let gate = doomed.house.gate.clone();
        doomed.dies_during(&xml, gate.asked(1)).await;
        gate.release("C10001");
        doomed.live();
        // On PostgreSQL the dead one's lease must end first, so the second delivery may meet the budget.
        let answer = redeliver(&doomed.wechat, &xml).await;
        assert!(answer.is_success() || answer.text().contains("本期应还"), "{engine:?}: {}", answer.raw());
        until("the end of the work", || async {
            (doomed.house.number("SELECT count(*) FROM open_push").await == 0).then_some(())
        })
        .await;
        doomed.assert_one_effect("o-dies", engine).await;
        let again = doomed.wechat.deliver(&xml).await;
        assert_eq!(again, answer, "{engine:?}");
        doomed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_the_answer_the_redelivery_gets_the_same_bytes() {
    for engine in Engine::at_hand() {
        let mut doomed = Doomed::start(engine).await;
        doomed.house.world.bind("o-dies", "C10001").await;
        let xml = text("o-dies", 1, "查账单");
        let answer = doomed.wechat.deliver(&xml).await;
        doomed.die();
        doomed.live();
        assert_eq!(doomed.wechat.deliver(&xml).await, answer, "{engine:?}");
        doomed.assert_one_effect("o-dies", engine).await;
        assert_eq!(doomed.house.gate.calls().len(), 1, "{engine:?}");
        doomed.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_after_success_left_the_owed_answer_still_follows_once() {
    for engine in Engine::at_hand() {
        let mut doomed = Doomed::start(engine).await;
        let openid = doomed.house.world.follower("欠").await.openid;
        doomed.house.world.bind(&openid, "C10001").await;
        doomed.house.gate.hold("C10001");
        let phone = doomed.house.world.phone(&openid);
        let asked = phone.ask(json!({ "action": "text", "text": "查账单" })).await;
        phone.wait("success", |entry| entry["id"] == asked && entry["push"]["state"] == "quiet").await;
        doomed.process.take().unwrap().kill();
        doomed.house.gate.release("C10001");
        doomed.live();
        let phone = doomed.house.world.phone(&openid);
        let answer = phone.wait("the answer", |entry| entry["source"] == "custom").await;
        assert!(answer["text"].as_str().unwrap().contains("本期应还"), "{engine:?}: {answer}");
        let said = doomed.house.said(&openid, Direction::Out).await;
        assert_eq!(said.iter().filter(|text| text.contains("本期应还")).count(), 1, "{engine:?}: {said:?}");
        doomed.stop().await;
    }
}

/// The last delivery died with the server: nobody asks again, and the answer comes all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_and_never_redelivered_the_answer_follows_by_itself() {
    for engine in Engine::at_hand() {
        let mut doomed = Doomed::start(engine).await;
        let openid = doomed.house.world.follower("末").await.openid;
        doomed.house.world.phone(&openid).say("功能").await;
        doomed.house.world.bind(&openid, "C10001").await;
        doomed.house.gate.hold("C10001");
        let gate = doomed.house.gate.clone();
        doomed.dies_during(&text(&openid, 1, "查账单"), gate.asked(1)).await;
        gate.release("C10001");
        doomed.live();
        let phone = doomed.house.world.phone(&openid);
        let answer = phone.wait("the answer", |entry| entry["source"] == "custom").await;
        assert!(answer["text"].as_str().unwrap().contains("本期应还"), "{engine:?}: {answer}");
        doomed.stop().await;
    }
}

/// Delivers as WeChat does until there is an answer.
async fn redeliver(wechat: &Wechat, xml: &str) -> Answered {
    let deadline = tokio::time::Instant::now() + 2 * WAIT_MAX;
    loop {
        let answer = tokio::time::timeout(DELIVERY_TIMEOUT, wechat.try_deliver(xml)).await;
        if let Ok(Ok(answer)) = answer {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "no answer in all that time");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_under_a_stream_of_pushes_lose_and_double_nothing() {
    const FOLLOWERS: usize = 6;
    const BETWEEN_KILLS: usize = 9;
    let kills = kills(10);
    // More than are pushed between all kills, so that the last one too comes in the midst of them.
    let count = 40.max(kills * 12 / 5);
    for engine in Engine::at_hand() {
        let mut doomed = Doomed::start(engine).await;
        let answered = Arc::new(AtomicUsize::new(0));
        let mut streams = Vec::new();
        for follower in 0..FOLLOWERS {
            let openid = format!("o-stream-{follower}");
            doomed.house.world.bind(&openid, &format!("C1000{}", follower + 1)).await;
            let (wechat, answered) = (doomed.wechat.clone(), answered.clone());
            streams.push(tokio::spawn(async move {
                let mut sent = Vec::new();
                for number in 0..count {
                    let words = if number % 2 == 0 { "查账单" } else { "功能" };
                    let xml = text(&openid, (follower * 1_000 + number) as u64, words);
                    let answer = redeliver(&wechat, &xml).await;
                    answered.fetch_add(1, Ordering::SeqCst);
                    sent.push((xml, answer));
                }
                (openid, sent)
            }));
        }
        for kill in 0..kills {
            let enough = (kill + 1) * BETWEEN_KILLS;
            until("pushes between kills", || async {
                (answered.load(Ordering::SeqCst) >= enough).then_some(())
            })
            .await;
            doomed.die();
            doomed.live();
        }
        let streams = join_all(streams).await;
        until("the end of the work", || async {
            (doomed.house.number("SELECT count(*) FROM open_push").await == 0).then_some(())
        })
        .await;
        for stream in streams {
            let (openid, sent) = stream.unwrap();
            let asked: Vec<&str> =
                (0..count).map(|number| if number % 2 == 0 { "查账单" } else { "功能" }).collect();
            assert_eq!(doomed.house.said(&openid, Direction::In).await, asked, "{engine:?} {openid}");
            assert_eq!(
                doomed.house.said(&openid, Direction::Out).await.len(),
                count,
                "{engine:?} {openid}: an answer to each"
            );
            let pushes = doomed.house.pushes(&openid).await;
            assert_eq!(pushes.len(), count, "{engine:?} {openid}");
            assert!(pushes.iter().all(|push| matches!(push.outcome.as_str(), "replied" | "owed")));
            for (xml, answer) in sent {
                assert_eq!(doomed.wechat.deliver(&xml).await, answer, "{engine:?} {openid}: other bytes");
            }
        }
        eprintln!(
            "{engine:?}: {kills} times kill -9 under {} pushes: 0 lost, 0 twice, 0 other bytes",
            count * FOLLOWERS
        );
        doomed.stop().await;
    }
}
