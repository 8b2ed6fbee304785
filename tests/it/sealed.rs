//! P12 and P9: what people say and are is found nowhere at rest, in no log however talkative, no metric, no exported
//! span and no error body.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use weikefu::inbound::Limits;
use weikefu::store::Direction;

use crate::house::House;
use crate::pages::Browser;
use crate::processes::{Process, run_with, told};
use crate::watching::collector::Collector;
use crate::wechat::{Wechat, safe, text};
use crate::world::{Engine, until};

const OPENID: &str = "oCANARYopenid55190000000001";
const CUSTOMER: &str = "C10002";
const NAME: &str = "李雨水";
const PHONE: &str = "13800138002";
const CHAT: &str = "CANARY-chat-8812";
const CARD_NUMBER: &str = "4000007711880002";
const ID_TYPED: &str = "11010519491231002X";
const CODE_TYPED: &str = "735519";
const APPLICANT: &str = "测试金丝雀";
const APPLICANT_ID: &str = "990000199203129091";
const APPLICANT_PHONE: &str = "13900007712";
const EMPLOYER: &str = "CANARY-employer-4410";
const ADDRESS: &str = "示例省金丝雀路四四一零号";
const MERCHANT: &str = "CANARY-merchant-9007";
const SAID_BY_AGENT: &str = "CANARY-agent-6631";
const AGENT: &str = "lin";
const PASSWORD: &str = "CANARY password 5527";

/// What stands in the configuration and in keys.
const SECRETS: [&str; 6] = [
    "it-app-secret",
    "it-token",
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "whsec_aXQtY29yZQ==",
    "whsec_aXQtYXBp",
    "whsec_aXQtZXZlbnRz",
];

/// Everything that must be found nowhere, as it may be written.
fn canaries(codes: &[String], tokens: &[String]) -> Vec<String> {
    let fixed = [
        OPENID,
        CUSTOMER,
        NAME,
        PHONE,
        CHAT,
        CARD_NUMBER,
        ID_TYPED,
        CODE_TYPED,
        APPLICANT,
        APPLICANT_ID,
        APPLICANT_PHONE,
        EMPLOYER,
        ADDRESS,
        MERCHANT,
        SAID_BY_AGENT,
        PASSWORD,
    ];
    let words = fixed.iter().chain(&SECRETS).map(|word| (*word).to_owned());
    words.chain(codes.iter().cloned()).chain(tokens.iter().cloned()).collect()
}

/// Plain, in hexadecimal (as a dump writes bytes), and percent-encoded.
fn assert_absent(canaries: &[String], bytes: &[u8], place: &str) {
    let lower = bytes.to_ascii_lowercase();
    for canary in canaries {
        let encoded: String = url::form_urlencoded::byte_serialize(canary.as_bytes()).collect();
        for form in [canary.clone(), hex::encode(canary), encoded] {
            let wanted = form.to_ascii_lowercase().into_bytes();
            let found = lower.windows(wanted.len()).position(|window| window == wanted);
            let around = found.map(|at| {
                let from = at.saturating_sub(120);
                String::from_utf8_lossy(&bytes[from..(at + wanted.len() + 60).min(bytes.len())]).into_owned()
            });
            assert!(around.is_none(), "{place}: {canary} shows: {}", around.unwrap_or_default());
        }
    }
}

/// A server as a process that logs into a file, and a person with a phone who uses everything.
struct Stage {
    house: House,
    process: Process,
    wechat: Wechat,
    metrics_url: String,
    collector: Collector,
    log: std::path::PathBuf,
    /// What was answered to wrong calls.
    errors: Vec<u8>,
}

impl Stage {
    async fn start(engine: Engine, log_format: &str) -> Self {
        let house = House::prepared(engine, Limits::default()).await;
        let folder = house.world.folder.path().to_owned();
        let collector = Collector::start();
        let (config, metrics_url) = house.write_watched_configuration(&collector.settings());
        let add = ["user", "add", AGENT, "--role", "agent", "--config", &config];
        let added = run_with(&folder, &add, PASSWORD);
        assert!(added.status.success(), "{}", told(&added));
        let log = folder.join("server.log");
        let arguments = ["serve", "--config", &config, "--log-format", log_format];
        let process = Process::start_telling_all(&folder, &arguments, &log);
        process.line("weikefu on ");
        let wechat = Wechat {
            http: house.world.http.clone(),
            url: format!("{}/wechat/card", house.world.server_url),
            is_safe: true,
        };
        let metrics_url = format!("{metrics_url}/metrics");
        Self { house, process, wechat, metrics_url, collector, log, errors: Vec::new() }
    }

    fn browser(&self) -> Browser {
        let world = &self.house.world;
        Browser::new(world.http.clone(), &world.server_url, &world.simulator_url, OPENID)
    }

    async fn follow(&self) {
        let world = &self.house.world;
        let url = format!("{}/sim/api/accounts/card/followers", world.simulator_url);
        world.post(&url, json!({ "openid": OPENID, "name": "金丝雀", "follow": true })).await;
        world.phone(OPENID).wait("the welcome", |entry| entry["direction"] == "account").await;
    }

    /// Says what nobody should, and is warned where it is dangerous.
    async fn chat(&self) {
        let phone = self.house.world.phone(OPENID);
        phone.say(CHAT).await;
        let spaced = "4000 0077 1188 0002";
        for (words, masked) in [
            (format!("我的卡号{CARD_NUMBER}，帮我查"), "我的卡号************0002，帮我查"),
            (format!("卡号 {spaced}"), "卡号 ************0002"),
            (format!("身份证{ID_TYPED}"), "身份证******************"),
            (format!("验证码 {CODE_TYPED}"), "验证码 ******"),
        ] {
            let answer = phone.say(&words).await;
            assert!(answer.contains("请不要在聊天里发送卡号"), "{words}: {answer}");
            let said = self.house.said(OPENID, Direction::In).await;
            assert_eq!(said.last().unwrap(), masked);
        }
    }

    /// The newest code that the sandbox core sent to a phone.
    async fn code(&self, phone: &str) -> String {
        let url = format!("{}/sandbox/sms?phone={phone}", self.house.world.core_url);
        until("a code", || async {
            let messages = self.house.world.get(&url).await;
            let messages = messages.as_array()?;
            let text = messages.first()?["text"].as_str()?;
            Some(text.chars().filter(char::is_ascii_digit).take(6).collect())
        })
        .await
    }

    /// Binds on the page, after a question that it interrupts.
    async fn bind(&self) -> String {
        let phone = self.house.world.phone(OPENID);
        let answer = phone.say("查账单").await;
        let mut browser = self.browser();
        assert_eq!(browser.open(&link(&answer, "/h5/card/")).await, 200, "{}", browser.html);
        let form = [
            ("name", NAME),
            ("id_tail", "0029"),
            ("card_tail", "1234"),
            ("phone", PHONE),
            ("alerts", "full"),
            ("agree", "yes"),
        ];
        browser.takes("/h5/card/bind/start", &form).await;
        let code = self.code(PHONE).await;
        browser.takes("/h5/card/bind/verify", &[("code", &code)]).await;
        assert!(browser.html.contains("已绑定"), "{}", browser.html);
        phone.wait("the answer to what was asked", |entry| entry["source"] == "custom").await;
        code
    }

    /// Fills an application in up to the code, and leaves it there: the draft stays.
    async fn apply(&self) -> String {
        let phone = self.house.world.phone(OPENID);
        let answer = phone.say("办卡").await;
        let mut browser = self.browser();
        assert_eq!(browser.open(&link(&answer, "/h5/card/apply")).await, 200, "{}", browser.html);
        let person = [("name", APPLICANT), ("id_number", APPLICANT_ID), ("phone", APPLICANT_PHONE)];
        let work = [
            ("occupation", "企业职工"),
            ("employer", EMPLOYER),
            ("annual_income", "120000"),
            ("address", ADDRESS),
        ];
        let steps = [
            ("product", [("product_id", "gold")].as_slice()),
            ("person", &person),
            ("work", &work),
            ("credit", &[("agree", "yes")]),
            ("review", &[("agree", "yes")]),
        ];
        for (step, fields) in steps {
            browser.takes(&format!("/h5/card/apply/{step}"), fields).await;
        }
        self.code(APPLICANT_PHONE).await
    }

    async fn alert(&self) {
        let transaction = json!({
            "transaction_id": "T-sealed-1", "customer_id": CUSTOMER, "card_last4": "1234", "type": "purchase",
            "amount": { "value": "88.00", "currency": "CNY" }, "merchant": { "name": MERCHANT },
            "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
        });
        let (status, answer) = self
            .house
            .world
            .bank(reqwest::Method::POST, "/api/v1/transactions", &transaction.to_string())
            .await;
        assert_eq!(status, 202, "{answer}");
        let phone = self.house.world.phone(OPENID);
        phone.wait("the alert", |entry| entry["kind"] == "template").await;
    }

    /// Calls that go wrong, with everything personal in them.
    async fn err(&mut self) {
        let (query, body) = safe(&text(OPENID, 1, CHAT));
        for (query, body) in [
            (query.replace("msg_signature=", "msg_signature=0"), body.clone()),
            (query, format!("{CHAT}{CARD_NUMBER}")),
        ] {
            self.errors.extend(self.wechat.send(&query, body).await.unwrap().body);
        }
        let server = &self.house.world.server_url;
        for path in [
            format!("/h5/card/bind?openid={OPENID}&name={CHAT}"),
            format!("/h5/card/{CHAT}"),
            format!("/h5/oauth?code={CODE_TYPED}&state={CHAT}"),
            format!("/api/v1/transactions/{CHAT}"),
            format!("/nowhere/{PHONE}"),
        ] {
            let answer = self.wechat.http.get(format!("{server}{path}")).send().await.unwrap();
            let status = answer.status().as_u16();
            assert!((400..500).contains(&status), "{path}: {status}");
            self.errors.extend(answer.bytes().await.unwrap());
        }
        // A core that is down.
        let world = &self.house.world;
        world.fault(json!({ "operation": "bill_current", "down": true })).await;
        let answer = world.phone(OPENID).say("查账单").await;
        assert!(!answer.contains("本期应还"), "{answer}");
    }

    /// Asks for a person, who answers at the desk.
    async fn desk(&self) {
        let world = &self.house.world;
        let phone = world.phone(OPENID);
        phone.say("人工").await;
        let mut browser = self.browser();
        assert_eq!(browser.open(&format!("{}/desk/sign-in", world.server_url)).await, 200);
        browser.takes("/desk/sign-in", &[("name", AGENT), ("password", PASSWORD)]).await;
        let queue = browser.json("GET", "/desk/api/queue", None).await;
        let case = queue["cases"][0]["case_id"].as_str().unwrap_or_else(|| panic!("{queue}")).to_owned();
        browser.json("POST", &format!("/desk/api/cases/{case}/claim"), Some(json!({}))).await;
        phone.act(json!({ "action": "text", "text": CHAT })).await;
        let answer = json!({ "text": SAID_BY_AGENT, "answer_id": "canary-answer-0001" });
        browser.json("POST", &format!("/desk/api/cases/{case}/answer"), Some(answer)).await;
        phone.wait("the agent's answer", |entry| entry["text"].as_str() == Some(SAID_BY_AGENT)).await;
        browser.json("POST", &format!("/desk/api/cases/{case}/close"), Some(json!({ "reason": null }))).await;
    }

    /// The access token in use.
    async fn tokens(&self) -> Vec<String> {
        let rows = "SELECT count(*) FROM wechat_token WHERE token_sealed IS NOT NULL";
        assert_eq!(self.house.number(rows).await, 1, "the token is shared through the database");
        let token = self.house.store.access_token(&self.house.config.accounts[0].app_id).await.unwrap();
        vec![token.unwrap().0.reveal().to_owned()]
    }
}

/// The address in an answer that holds these words.
fn link(answer: &str, words: &str) -> String {
    let links = answer.split(['"', '\n', ' ', '，', '<', '>']).filter(|part| part.starts_with("http"));
    let mut found = links.filter(|link| link.contains(words));
    found.next().unwrap_or_else(|| panic!("no link: {answer}")).replace("&amp;", "&")
}

/// Every byte of the embedded database with its write-ahead log, or a dump of the server's.
fn at_rest(house: &House, folder: &Path) -> Vec<u8> {
    let url = house.config.database.url.reveal();
    if url.starts_with("postgres") {
        let dump = Command::new("pg_dump").args(["--inserts", url]).output().expect("pg_dump is installed");
        assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
        return dump.stdout;
    }
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let ours = files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("weikefu.db"));
    ours.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_personal_and_no_secret_is_found_anywhere() {
    let last = Engine::at_hand().pop().expect("there is one");
    for (engine, log_format) in [(Engine::Sqlite, "text"), (last, "json")] {
        let mut stage = Stage::start(engine, log_format).await;
        stage.follow().await;
        stage.chat().await;
        let codes = [stage.bind().await, stage.apply().await];
        stage.alert().await;
        stage.desk().await;
        stage.err().await;
        let canaries = canaries(&codes, &stage.tokens().await);

        let folder = stage.house.world.folder.path().to_owned();
        let rest = at_rest(&stage.house, &folder);
        assert!(rest.len() > 10_000, "{engine:?}: the search reads something");
        assert_absent(&canaries, &rest, &format!("{engine:?} at rest"));
        assert_absent(&canaries, &stage.errors, &format!("{engine:?} error bodies"));
        let metrics = stage.wechat.http.get(&stage.metrics_url).send().await.unwrap().bytes().await.unwrap();
        assert!(metrics.len() > 1_000, "{engine:?}: metrics are counted");
        assert_absent(&canaries, &metrics, &format!("{engine:?} metrics"));

        assert_eq!(stage.process.terminate(), Some(0), "{engine:?}");
        let rest = at_rest(&stage.house, &folder);
        assert_absent(&canaries, &rest, &format!("{engine:?} at rest after a stop"));
        let log = std::fs::read(&stage.log).unwrap();
        assert!(log.len() > 1_000, "{engine:?}: much is logged");
        assert_absent(&canaries, &log, &format!("{engine:?} {log_format} log"));
        assert_one_line_each(&log, log_format);
        assert!(stage.collector.spans().len() > 10, "{engine:?}: spans are exported");
        assert_absent(&canaries, &stage.collector.raw(), &format!("{engine:?} spans"));
        stage.collector.stop().await;
        stage.house.stop().await;
    }
}

/// Each line is whole, and in JSON an object that says when, how grave and what.
fn assert_one_line_each(log: &[u8], log_format: &str) {
    for line in std::str::from_utf8(log).unwrap().lines() {
        assert!(!line.chars().any(char::is_control), "{line}");
        if log_format == "json" {
            let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            assert!(["timestamp", "level", "message"].iter().all(|key| line[*key].is_string()), "{line}");
        } else {
            assert!(line.starts_with("20") && line.contains('Z'), "{line}");
        }
    }
}

/// The search itself finds what is there.
#[test]
#[should_panic(expected = "shows")]
fn a_canary_in_the_open_is_found() {
    let leaked = format!("INSERT … '\\x{}'", hex::encode(OPENID));
    assert_absent(&canaries(&[], &[]), leaked.as_bytes(), "a dump");
}
