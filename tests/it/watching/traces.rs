//! One trace from the door to the last thing that follows, in the logs of both sides and at a collector.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weikefu::bank::webhooks::Signer;
use weikefu::clock::{Clock as _, SystemClock};
use weikefu::inbound::Limits;

use super::collector::{Collector, Span};
use crate::house::House;
use crate::processes::Process;
use crate::world::{Engine, Ports, World, until};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLERS_SPAN: &str = "00f067aa0ba902b7";

/// Server and core as processes that log JSON into files.
struct Logged {
    world: World,
    core: Process,
    server: Process,
    logs: [PathBuf; 2],
}

impl Logged {
    async fn start(engine: Engine) -> Self {
        let mut world = World::without_server(engine).await;
        let folder = world.folder.path().to_owned();
        let core_url = format!("http://127.0.0.1:{}", Ports::reserve().core);
        let text = std::fs::read_to_string(folder.join("w.toml")).unwrap();
        std::fs::write(folder.join("logged.toml"), text.replace(&world.core_url, &core_url)).unwrap();
        world.core_url = core_url;
        let start = |command: &str, line: &str| {
            let log = folder.join(format!("{command}.log"));
            let arguments = [command, "--config", "logged.toml", "--log-format", "json"];
            let process = Process::start_telling_all(&folder, &arguments, &log);
            process.line(line);
            (process, log)
        };
        let (core, core_log) = start("core", "sandbox core on ");
        let (server, server_log) = start("serve", "weikefu on ");
        Self { world, core, server, logs: [server_log, core_log] }
    }

    /// The lines of one side that satisfy this, once there is one.
    async fn lines(&self, side: usize, what: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        until(what, || async {
            let text = std::fs::read_to_string(&self.logs[side]).unwrap();
            // The last line may be half written.
            let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let found: Vec<Value> = lines.filter(|line| wanted(line)).collect();
            (!found.is_empty()).then_some(found)
        })
        .await
    }

    async fn stop(self) {
        assert_eq!(self.server.terminate(), Some(0));
        assert_eq!(self.core.terminate(), Some(0));
        self.world.stop().await;
    }
}

/// POSTs a transaction as the bank does, under its own trace.
async fn tell(world: &World, id: &str) {
    let body = json!({
        "transaction_id": id, "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": { "value": "88.00", "currency": "CNY" }, "merchant": { "name": "示例商户" },
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    })
    .to_string();
    let signer = Signer::new(&world.config.api.secrets[0]).unwrap();
    let mut request = world.http.post(format!("{}/api/v1/transactions", world.server_url));
    for (name, value) in signer.headers(id, SystemClock.now(), body.as_bytes()) {
        request = request.header(name, value);
    }
    let traceparent = format!("00-{TRACE}-{CALLERS_SPAN}-01");
    let request = request.header("traceparent", traceparent).header("content-type", "application/json");
    assert_eq!(request.body(body).send().await.unwrap().status().as_u16(), 202);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_push_and_one_alert_are_followed_through_the_logs_of_server_and_core() {
    const SERVER: usize = 0;
    const CORE: usize = 1;
    for engine in Engine::at_hand() {
        let logged = Logged::start(engine).await;
        let person = logged.world.follower("迹").await;
        logged.world.bind(&person.openid, "C10001").await;

        // A push: door, core, answer.
        assert!(person.say("查账单").await.contains("本期应还"), "{engine:?}");
        let asked = |line: &Value| line["operation"] == "bill_current" && line["status"] == 200;
        let in_core = logged.lines(CORE, "the core's line", asked).await;
        let trace = in_core[0]["trace_id"].as_str().expect("the core was told the trace").to_owned();
        let of_push = |line: &Value| line["trace_id"] == trace.as_str();
        let answered = |line: &Value| of_push(line) && line["message"] == "a push was answered";
        let line = logged.lines(SERVER, "the server's line", answered).await.remove(0);
        assert_eq!((&line["kind"], &line["answer"]), (&"text".into(), &"reply".into()), "{engine:?}: {line}");
        assert_eq!(line["follower"].as_str().unwrap().len(), 32, "{engine:?}: a keyed hash");
        let core_call = |line: &Value| of_push(line) && line["operation"] == "bill_current";
        logged.lines(SERVER, "the call", core_call).await;

        // What the customer reads when it fails is the trace's end.
        logged.world.fault(json!({ "operation": "bill_current", "down": true })).await;
        let apology = person.say("查账单").await;
        let failed = |line: &Value| line["level"] == "WARN" && line["operation"] == "bill_current";
        let line = logged.lines(SERVER, "the failure", failed).await.remove(0);
        let trace = line["trace_id"].as_str().unwrap();
        assert!(apology.contains(&trace[24..]), "{engine:?}: {trace}: {apology}");
        assert!(line["error"].as_str().unwrap().contains("bill_current"), "{engine:?}: {line}");
        assert_eq!(line["retry"], "later", "{engine:?}: {line}");

        // An alert: the bank's own trace, up to the event that tells the bank what became of it.
        tell(&logged.world, "T-trace").await;
        person.wait("the alert", |entry| entry["kind"] == "template").await;
        for (side, what, message) in [
            (SERVER, "accepted", "the bank's items were taken in"),
            (SERVER, "sent", "an outgoing message came to its end"),
            (SERVER, "delivered", "an item of the bank has a new verdict"),
            (CORE, "told", "an event was received"),
        ] {
            let wanted = |line: &Value| {
                let is_last = what != "delivered" || line["state"] == "delivered";
                line["trace_id"] == TRACE && line["message"] == message && is_last
            };
            logged.lines(side, what, wanted).await;
        }
        logged.stop().await;
    }
}

fn named<'a>(spans: &'a [Span], name: &str) -> Option<&'a Span> {
    spans.iter().find(|span| span.name == name)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_the_steps_of_one_push_joined_and_those_of_an_alert_under_the_banks_trace() {
    let house = House::prepared(Engine::Sqlite, Limits::default()).await;
    let collector = Collector::start();
    let (config, _) = house.write_watched_configuration(&collector.settings());
    let server = Process::start(house.world.folder.path(), &["serve", "--config", &config]);
    server.line("weikefu on ");
    let person = house.world.follower("迹").await;
    house.world.bind(&person.openid, "C10001").await;
    assert!(person.say("查账单").await.contains("本期应还"));
    tell(&house.world, "T-span").await;
    person.wait("the alert", |entry| entry["kind"] == "template").await;
    // What still waits is sent at the stop.
    assert_eq!(server.terminate(), Some(0));

    let spans = collector.spans();
    let call = named(&spans, "core call").expect("the core was asked");
    let push: Vec<Span> = spans.iter().filter(|span| span.trace == call.trace).cloned().collect();
    let root = named(&push, "webhook push").expect("its push");
    assert_eq!((root.parent.as_str(), root.fields["answer"].as_str()), ("", "reply"), "{root:?}");
    assert_eq!(root.fields["kind"], "text");
    assert_eq!((&call.parent, call.fields["outcome"].as_str()), (&root.id, "answered"), "{call:?}");
    for name in ["decide", "commit"] {
        assert_eq!(named(&push, name).unwrap_or_else(|| panic!("{name}: {push:?}")).parent, root.id);
    }

    let alert: Vec<Span> = spans.iter().filter(|span| span.trace == TRACE).cloned().collect();
    let root = named(&alert, "bank call").expect("the bank's call");
    assert_eq!(root.parent, CALLERS_SPAN);
    for name in ["alert", "outbox send"] {
        assert!(named(&alert, name).is_some(), "{name}: {alert:?}");
    }
    collector.stop().await;
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_slows_nothing_and_holds_up_no_stop() {
    let house = House::prepared(Engine::Sqlite, Limits::default()).await;
    // Takes connections, and never answers.
    let hung = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let settings = format!("[telemetry]\notlp_url = \"http://{}\"\n", hung.local_addr().unwrap());
    let (config, metrics_url) = house.write_watched_configuration(&settings);
    let server = Process::start(house.world.folder.path(), &["serve", "--config", &config]);
    server.line("weikefu on ");
    let person = house.world.follower("迹").await;
    for _ in 0..20 {
        assert!(!person.say("功能").await.is_empty());
    }
    let page = house.world.http.get(format!("{metrics_url}/metrics")).send().await.unwrap();
    assert!(page.text().await.unwrap().contains("weikefu_inbound_total{kind=\"text\",answer=\"reply\"} 20"));
    let began = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    house.stop().await;
}
