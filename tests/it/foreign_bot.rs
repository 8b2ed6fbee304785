//! `weikefu simulator` with a bot that shares no code with this project: recorded with one, replayed against it and
//! against a changed one.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::processes::{Process, run, told};
use crate::world::{Ports, WAIT_MAX};

const BOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign_bot/bot.mjs");
const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const CONFIG: &str = "simulator.toml";
const OPENID: &str = "oForeign_0000000000000000001";

/// A bot and the simulator before it.
struct Stage {
    folder: TempDir,
    port: u16,
    mode: &'static str,
    http: reqwest::Client,
    bot: Process,
    bot_url: String,
}

impl Stage {
    fn set(mode: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = Ports::reserve().simulator;
        let http =
            reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(WAIT_MAX).build().unwrap();
        let bot = start_bot(folder.path(), mode, port, false);
        let bot_url = bot.line("bot on ");
        let stage = Self { folder, port, mode, http, bot, bot_url };
        stage.configure();
        stage
    }

    /// Another bot takes the place of the first.
    fn change_bot(&mut self) {
        self.bot = start_bot(self.folder.path(), self.mode, self.port, true);
        self.bot_url = self.bot.line("bot on ");
        self.configure();
    }

    fn configure(&self) {
        let text = format!(
            r#"
[simulator]
port = {port}
delivery_timeout_ms = 2000
receipt_delay_ms = 0

[[simulator.accounts]]
id = "shop"
name = "示例商店"
original_id = "gh_foreign00001"
app_id = "wxforeign0000001"
app_secret = "foreign-secret"
token = "foreign-token"
encoding_aes_key = "{AES_KEY}"
encryption = "{mode}"
push_url = "{bot_url}/any/path?x=1"

[[simulator.accounts.templates]]
id = "tplOrder"
title = "订单通知"
lines = {{ thing1 = "商品", amount2 = "金额" }}
"#,
            port = self.port,
            mode = self.mode,
            bot_url = self.bot_url,
        );
        std::fs::write(self.folder.path().join(CONFIG), text).unwrap();
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/sim/api/accounts/shop/{path}", self.port)
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.http.post(self.url(path)).json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// Acts, and waits for what the account shows after it.
    async fn hears(&self, action: Value) -> Value {
        let asked = self.post(&format!("followers/{OPENID}/actions"), action.clone()).await["entry"].as_u64();
        let asked = asked.unwrap_or_else(|| panic!("{action} made no entry"));
        self.wait(|entry| entry["direction"] == "account" && entry["id"].as_u64().unwrap() > asked).await
    }

    async fn says(&self, text: &str) -> Value {
        self.hears(json!({ "action": "text", "text": text })).await
    }

    async fn wait(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + WAIT_MAX;
        let mut after = 0;
        loop {
            let url = self.url(&format!("followers/{OPENID}/timeline?after={after}&wait_ms=1000"));
            let entries: Vec<Value> = self.http.get(url).send().await.unwrap().json().await.unwrap();
            if let Some(found) = entries.iter().find(|entry| wanted(entry)) {
                return found.clone();
            }
            after = entries.iter().filter_map(|entry| entry["seq"].as_u64()).max().unwrap_or(after);
            assert!(Instant::now() < deadline, "it never came");
        }
    }
}

fn start_bot(folder: &Path, mode: &str, simulator_port: u16, changed: bool) -> Process {
    let options = json!({
        "token": "foreign-token", "appId": "wxforeign0000001", "appSecret": "foreign-secret",
        "originalId": "gh_foreign00001", "aesKey": AES_KEY, "mode": mode, "changed": changed,
        "api": format!("http://127.0.0.1:{simulator_port}"),
    });
    Process::start_program(folder, "node", &[BOT, &options.to_string()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_bot_works_against_the_simulator_in_every_mode() {
    for mode in ["plain", "compat", "safe"] {
        let stage = Stage::set(mode);
        let simulator = Process::start(stage.folder.path(), &["simulator", "--config", CONFIG]);
        simulator.line("WeChat simulator on ");
        assert_eq!(stage.post("verify", json!({})).await["verified"], true, "{mode}");
        stage.post("followers", json!({ "openid": OPENID, "name": "甲" })).await;
        assert_eq!(stage.hears(json!({ "action": "follow" })).await["text"], "Welcome");
        assert_eq!(stage.says("hello ]]> <&>").await["text"], "You said: hello ]]> <&>", "{mode}");
        assert_eq!(stage.hears(json!({ "action": "menu", "key": "HELP" })).await["text"], "Help for HELP");
        for (text, kind) in [
            ("picture", "image"),
            ("voice", "voice"),
            ("video", "video"),
            ("music", "music"),
            ("news", "news"),
        ] {
            assert_eq!(stage.says(text).await["kind"], kind, "{mode} {text}");
        }
        assert_eq!(stage.says("later").await["source"], "custom");
        let menu = stage.says("choose").await;
        let tap = json!({ "action": "tap_msgmenu", "entry": menu["id"], "id": "102" });
        assert_eq!(stage.hears(tap).await["text"], "You chose 102");
        let sent = stage.says("order").await;
        assert!(sent["kind"] == "template" || sent["text"] == "Ordered", "{sent}");
        stage.wait(|entry| entry["kind"] == "receipt" && entry["push"]["state"] == "quiet").await;
        assert_eq!(stage.says("receipt?").await["text"], "success, ours", "{mode}");
        let seen = stage.hears(json!({ "action": "image" })).await;
        assert_eq!(seen["text"], "image/jpeg, the same twice");
        assert_eq!(stage.hears(json!({ "action": "shortvideo" })).await["text"], "A shortvideo");
        assert_eq!(stage.says("agent").await["kind"], "transfer");
        stage
            .post(&format!("followers/{OPENID}/actions"), json!({ "action": "text", "text": "wrong" }))
            .await;
        stage.wait(|entry| entry["kind"] == "notice").await;
        assert_eq!(simulator.terminate(), Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorded_session_is_a_test_of_the_next_bot() {
    let mut stage = Stage::set("safe");
    let folder = stage.folder.path().to_owned();
    let record = ["simulator", "--config", CONFIG, "--record", "session.jsonl"];
    let simulator = Process::start(&folder, &record);
    simulator.line("WeChat simulator on ");
    stage.post("followers", json!({ "openid": OPENID, "name": "甲" })).await;
    stage.hears(json!({ "action": "follow" })).await;
    stage.says("hello").await;
    let menu = stage.says("choose").await;
    stage.hears(json!({ "action": "tap_msgmenu", "entry": menu["id"], "id": "101" })).await;
    let asked = stage.says("order").await["id"].clone();
    stage.wait(|entry| entry["text"] == "Ordered" && entry["id"].as_u64() >= asked.as_u64()).await;
    stage.says("picture").await;
    assert_eq!(simulator.terminate(), Some(0));
    let recorded = std::fs::read_to_string(folder.join("session.jsonl")).unwrap();
    assert!(!recorded.contains("foreign-secret"), "a recording holds no secret");

    let replay = ["simulator", "--config", CONFIG, "--replay", "session.jsonl"];
    let same = run(&folder, &replay);
    assert!(same.status.success(), "{}", told(&same));
    assert!(
        String::from_utf8_lossy(&same.stdout).contains("6 steps played: the same answers"),
        "{}",
        told(&same)
    );

    stage.change_bot();
    let other = run(&folder, &replay);
    let printed = String::from_utf8_lossy(&other.stdout).into_owned();
    assert_eq!(other.status.code(), Some(1), "{}", told(&other));
    for line in [
        "@ step 2: text {\"text\":\"hello\"}",
        "-   Content: You said: hello",
        "+   Content: You wrote: hello",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    assert_eq!(printed.matches("\n@ ").count(), 1, "nothing else differs: {printed}");

    std::fs::write(folder.join("session.jsonl"), "{\"kind\":\"start\",\"version\":1}\n{}\n").unwrap();
    let broken = run(&folder, &replay);
    assert_eq!(broken.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&broken.stderr).contains("line 2"), "{}", told(&broken));
}
