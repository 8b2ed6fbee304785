//! A bank keeps its agent system: that system is offered conversations, takes, says, transfers and closes by signed
//! calls and events. The client here knows nothing but `/openapi.json` and the three headers.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::Blocked;
use crate::world::{Engine, Follower, World, until};

/// A picture of one point.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";
/// How customers learn that an answer waits for them.
const REMINDER: &str = "[accounts.notices.case_update]\ntemplate_id = \"case_update\"\nfields = { result = \"thing3\" }\n\n[core]";
/// What was done to cases, once for each time.
const DEEDS: &str =
    "SELECT count(*) FROM audit WHERE action IN ('case_claimed', 'case_transferred', 'case_closed')";
const CASES: &str = "/api/v1/desk/card/cases";

/// The bank's agent system.
struct System<'a> {
    world: &'a World,
}

impl System<'_> {
    async fn cases(&self) -> Vec<Value> {
        let (status, answer) = self.world.bank(Method::GET, CASES, "").await;
        assert_eq!(status, 200, "{answer}");
        answer["cases"].as_array().unwrap().clone()
    }

    async fn case(&self, case_id: &str, after: i64) -> Value {
        let (status, answer) =
            self.world.bank(Method::GET, &format!("{CASES}/{case_id}?after={after}"), "").await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    async fn act(&self, case_id: &str, action: &str, body: Value) -> (u16, Value) {
        self.world.bank(Method::POST, &format!("{CASES}/{case_id}/{action}"), &body.to_string()).await
    }

    /// What the system must be able to do now.
    async fn does(&self, case_id: &str, action: &str, body: Value) -> Value {
        let (status, answer) = self.act(case_id, action, body.clone()).await;
        assert_eq!(status, 200, "{action} {body}: {answer}");
        answer
    }

    /// What it must not be able to do, and why.
    async fn does_not(&self, case_id: &str, action: &str, body: Value) -> String {
        let (status, answer) = self.act(case_id, action, body.clone()).await;
        assert!((400..500).contains(&status), "{action} {body}: {status} {answer}");
        answer["error"]["code"].as_str().unwrap().to_owned()
    }

    /// Waits for an event whose data fits.
    async fn event(&self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let url = format!("{}/sandbox/events", self.world.core_url);
        until(kind, async || {
            let events = self.world.get(&url).await;
            let bodies = events.as_array()?.iter().map(|event| &event["body"]);
            bodies.into_iter().find(|body| body["type"] == kind && fits(&body["data"])).cloned()
        })
        .await
    }
}

/// An account that another system answers.
fn external(text: String, _: &Path) -> String {
    let text = text.replacen("id = \"card\"", "id = \"card\"\ndesk = \"external\"", 1);
    text.replacen("[core]", REMINDER, 1)
}

async fn shown(phone: &Follower<'_>, text: &str) {
    phone.wait(text, |entry| entry["text"].as_str().is_some_and(|shown| shown.contains(text))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_agent_system_has_the_conversations_from_the_offer_to_the_end() {
    for engine in Engine::at_hand() {
        let mut world = World::prepared(engine, external).await;
        world.start_server().await;
        let system = System { world: &world };
        let phone = world.follower("甲").await;
        world.bind(&phone.openid, "C10001").await;
        phone.act(json!({ "action": "image", "data_base64": PICTURE })).await;
        assert!(phone.say("转人工").await.contains("人工"), "{engine:?}");

        let offered = system.event("case_opened", |_| true).await;
        let case_id = offered["data"]["case_id"].as_str().unwrap();
        assert_eq!(offered["customer_id"], "C10001");
        assert_eq!(system.cases().await[0]["case_id"], case_id, "{engine:?}");
        let takers = ["A1", "A2", "A3"].map(|agent| system.act(case_id, "take", json!({ "agent": agent })));
        let taken = futures::future::join_all(takers).await;
        let statuses: Vec<u16> = taken.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{engine:?}: {taken:?}");
        let at = statuses.iter().position(|status| *status == 200).unwrap();
        let (owner, other) = (["A1", "A2", "A3"][at], ["A2", "A3", "A1"][at]);
        assert!(system.cases().await.is_empty(), "{engine:?}: taken once, offered to nobody");

        let talk = system.case(case_id, 0).await;
        assert_eq!(talk["customer"]["cards"][0]["last4"], "1234", "{engine:?}: {talk}");
        assert_eq!(talk["case"]["agent"], owner);
        let picture = talk["messages"].as_array().unwrap().iter();
        let picture = picture.clone().find(|entry| entry["content"]["kind"] == "image").unwrap();
        fetched(&world, case_id, picture["seq"].as_i64().unwrap()).await;

        says_and_hears(&system, &phone, case_id, owner, other).await;
        hands_over_and_ends(&system, &phone, case_id, owner, other).await;
        world.stop().await;
    }
}

/// What the customer showed to the bot is there as bytes.
async fn fetched(world: &World, case_id: &str, seq: i64) {
    until("the customer's picture", async || {
        let path = format!("{CASES}/{case_id}/media/{seq}");
        let (status, answer) = world.bank(Method::GET, &path, "").await;
        assert!(status == 200 || answer["error"]["code"] == "media_wanted", "{status} {answer}");
        (status == 200).then_some(())
    })
    .await;
}

async fn says_and_hears(system: &System<'_>, phone: &Follower<'_>, case_id: &str, owner: &str, other: &str) {
    let hello = json!({ "agent": owner, "text": "您好，我是外部坐席" }).to_string();
    let path = format!("{CASES}/{case_id}/messages");
    let bank = system.world.caller();
    let mut seen = HashSet::new();
    for _ in 0..3 {
        let (status, answer) = bank.call_as("msg_once", Method::POST, &path, &hello).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        seen.insert(answer["seq"].as_i64().unwrap());
    }
    assert_eq!(seen.len(), 1, "one call sent three times is one message");
    shown(phone, "我是外部坐席").await;
    let foreign = json!({ "agent": other, "text": "我也想说" });
    assert_eq!(system.does_not(case_id, "messages", foreign).await, "not_yours");
    let banned = json!({ "agent": owner, "text": "请加我微信 abc" });
    assert_eq!(system.does_not(case_id, "messages", banned).await, "contact");
    let masked = json!({ "agent": owner, "text": "卡号 4111 1111 1111 1111" });
    assert_eq!(system.does(case_id, "messages", masked).await["masked"], true);
    system.does(case_id, "messages", json!({ "agent": owner, "image_base64": PICTURE })).await;
    let junk = base64::engine::general_purpose::STANDARD.encode("<svg/>");
    let junk = json!({ "agent": owner, "image_base64": junk });
    assert_eq!(system.does_not(case_id, "messages", junk).await, "unsendable");

    let entry = phone.act(json!({ "action": "text", "text": "我的卡丢了" })).await;
    assert!(entry["entry"].is_u64(), "{entry}");
    let told = system.event("case_message", |data| data["case_id"] == case_id).await;
    let seq = told["data"]["seq"].as_i64().unwrap();
    let talk = system.case(case_id, seq - 1).await;
    assert_eq!(talk["messages"][0]["content"]["text"], "我的卡丢了", "read by its number: {talk}");
    assert_eq!(talk["messages"][0]["from"], "customer");

    // The ledger rules this sender like any other: five for the message, three for a tap at most.
    let mut refused = String::new();
    for number in 0..10 {
        let more = json!({ "agent": owner, "text": format!("第{number}条") });
        let (status, answer) = system.act(case_id, "messages", more).await;
        if status != 200 {
            refused = answer["error"]["code"].as_str().unwrap().to_owned();
            assert!((4..=8).contains(&number), "{number} went out before {answer}");
            break;
        }
    }
    assert_eq!(refused, "window_spent");
    let talk = system.case(case_id, seq).await;
    assert_eq!(
        (talk["sendable"]["left"].as_u64(), talk["sendable"]["why_not"].as_str()),
        (Some(0), Some("spent"))
    );
    let later = json!({ "agent": owner, "text": "请再发一条消息", "for_next_time": true });
    system.does(case_id, "messages", later).await;
    let reminder =
        |entry: &Value| entry["kind"] == "template" && entry.to_string().contains("您的咨询有新回复");
    phone.wait("a card that says so", reminder).await;
}

async fn hands_over_and_ends(
    system: &System<'_>,
    phone: &Follower<'_>,
    case_id: &str,
    owner: &str,
    other: &str,
) {
    let nowhere = json!({ "agent": owner, "skill": "gardening" });
    assert_eq!(system.does_not(case_id, "transfer", nowhere).await, "bad_request");
    system.does(case_id, "transfer", json!({ "agent": owner, "skill": "fraud" })).await;
    system.event("case_handed_over", |data| data["to"] == "queue" && data["skill"] == "fraud").await;
    assert_eq!(system.cases().await[0]["skill"], "fraud");
    system.does(case_id, "take", json!({ "agent": owner })).await;
    system.does(case_id, "transfer", json!({ "agent": owner, "to_agent": other })).await;
    assert_eq!(
        system.does_not(case_id, "close", json!({ "agent": owner, "reason": "solved" })).await,
        "not_yours"
    );
    phone.act(json!({ "action": "text", "text": "好的谢谢" })).await;
    until("his message at the desk", async || {
        let talk = system.case(case_id, 0).await;
        talk["messages"].to_string().contains("好的谢谢").then_some(())
    })
    .await;
    let late = json!({ "agent": other, "reason": "unfollowed" });
    assert_eq!(system.does_not(case_id, "close", late).await, "bad_request");
    system.does(case_id, "close", json!({ "agent": other, "reason": "solved" })).await;
    system.event("case_closed", |data| data["case_id"] == case_id && data["reason"] == "solved").await;
    assert_eq!(system.does_not(case_id, "messages", json!({ "agent": other, "text": "再见" })).await, "over");
    let question = |entry: &Value| entry.to_string().contains("满意吗");
    phone.wait("the question what he thought of it", question).await;
    assert_eq!(system.case(case_id, 0).await["case"]["state"], "closed");
    let (status, _) = system.world.bank(Method::GET, "/api/v1/desk/loan/cases", "").await;
    assert_eq!(status, 404, "no such account");
}

/// Each call dies at the moment at which its answer is written down, and is sent again by a system that knows nothing of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_a_kill_broke_off_is_made_good_by_its_repeat() {
    for engine in Engine::at_hand() {
        let mut world = World::prepared(engine, external).await;
        world.start_process().await;
        let phone = world.follower("乙").await;
        assert!(phone.say("转人工").await.contains("人工"), "{engine:?}");
        let case_id = System { world: &world }.cases().await[0]["case_id"].as_str().unwrap().to_owned();
        let openid = phone.openid;
        let calls = [
            ("take", json!({ "agent": "A1" })),
            ("messages", json!({ "agent": "A1", "text": "您好，马上为您核实" })),
            ("transfer", json!({ "agent": "A1", "skill": "fraud" })),
            ("take", json!({ "agent": "A2" })),
            ("transfer", json!({ "agent": "A2", "to_agent": "A3" })),
            ("close", json!({ "agent": "A3", "reason": "solved" })),
        ];
        let mut answered = Vec::new();
        for (number, (action, body)) in calls.into_iter().enumerate() {
            let (id, path) = (format!("msg_dies_{number}"), format!("{CASES}/{case_id}/{action}"));
            let body = body.to_string();
            let blocked =
                Blocked::on(world.config.database.url.reveal(), "LOCK TABLE api_request IN EXCLUSIVE MODE");
            let blocked = blocked.await;
            let bank = world.caller();
            let broken = bank.call_as(&id, Method::POST, &path, &body);
            let broken = tokio::time::timeout(Duration::from_millis(500), broken).await;
            assert!(broken.is_err(), "{engine:?}: {action} was answered and not remembered: {broken:?}");
            world.end_server().await;
            blocked.end().await;
            world.start_process().await;
            let repeats = (0..3).map(|_| bank.call_as(&id, Method::POST, &path, &body));
            for answer in futures::future::join_all(repeats).await {
                let (status, answer) = answer.unwrap();
                assert_eq!(
                    (status, &answer["case_id"]),
                    (200, &json!(case_id)),
                    "{engine:?} {action}: {answer}"
                );
                answered.push((id.clone(), path.clone(), body.clone(), answer));
            }
            if action == "messages" {
                // What is being sent when the server dies next is not what this is about.
                shown(&world.phone(&openid), "马上为您核实").await;
            }
        }
        world.end_server().await;
        world.start_process().await;
        for (id, path, body, answer) in answered {
            let (status, again) = world.caller().call_as(&id, Method::POST, &path, &body).await.unwrap();
            assert_eq!((status, again), (200, answer), "{engine:?} {path}");
        }
        assert_eq!(world.number(DEEDS).await, 5, "{engine:?}: two taken, two passed on, one closed");
        let phone = world.phone(&openid);
        shown(&phone, "马上为您核实").await;
        let said = phone.timeline().await;
        let said = said.iter().filter(|entry| entry.to_string().contains("马上为您核实")).count();
        assert_eq!(said, 1, "{engine:?}: the customer read it once");
        world.stop().await;
    }
}
