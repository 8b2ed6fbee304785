//! The simulator against a foreign bot: a small server that knows WeChat's protocol and nothing of ours.

mod audience;
mod bot;
mod calls;
mod faults;
mod kinds;
mod pages;
mod pushes;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use self::bot::Bot;
use super::{AccountSettings, Running, Settings, Simulator, Template};
use crate::clock::{ManualClock, SeededRandom};
use crate::config::{AccountKind, Encryption};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

const NOW: UnixMs = UnixMs(1_767_225_600_000);
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const OPENID: &str = "oFollowerA";
const DELIVERY_TIMEOUT_MS: u64 = 250;

/// A simulator, a bot and a clock.
struct Stage {
    clock: Arc<ManualClock>,
    simulator: Running,
    bot: Bot,
    http: reqwest::Client,
}

impl Stage {
    /// One account in this mode, with one follower who follows.
    async fn set(encryption: Encryption) -> Self {
        let bot = Bot::start(encryption);
        let clock = Arc::new(ManualClock::new(NOW));
        let account = AccountSettings {
            id: "card".to_owned(),
            name: "示例银行信用卡".to_owned(),
            original_id: bot::ORIGINAL_ID.to_owned(),
            app_id: bot::APP_ID.to_owned(),
            app_secret: Secret::new("secret".to_owned()),
            token: Secret::new(bot::TOKEN.to_owned()),
            encoding_aes_key: (encryption != Encryption::Plain).then(|| Secret::new(KEY.to_owned())),
            kind: AccountKind::Service,
            is_verified: true,
            encryption,
            push_url: bot.url(),
            templates: vec![Template {
                id: "tplSpend".to_owned(),
                title: "信用卡消费提醒".to_owned(),
                lines: vec![
                    ("amount2".to_owned(), "交易金额".to_owned()),
                    ("thing4".to_owned(), "交易商户".to_owned()),
                ],
                way: crate::config::NoticeWay::Template,
            }],
        };
        let settings = Settings {
            host: "127.0.0.1".to_owned(),
            port: 0,
            accounts: vec![account],
            delivery_timeout_ms: DELIVERY_TIMEOUT_MS,
            receipt_delay_ms: 0,
            followers_at_start: 1,
            oauth_redirect_host: Some("127.0.0.1".to_owned()),
            token_callers: None,
            core_url: None,
            desk_url: None,
        };
        let random = Arc::new(SeededRandom::new(7));
        let simulator = Simulator::start(settings, Arc::clone(&clock) as _, random).unwrap();
        let http = super::client().unwrap();
        let stage = Self { clock, simulator, bot, http };
        let created = json!({ "openid": OPENID, "follow": true });
        stage.post("/sim/api/accounts/card/followers", &created).await;
        stage.until(|entries| settled(entries, "follow")).await;
        stage
    }

    fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.simulator.addr)
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(self.address(path)).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: &Value) -> Value {
        let response = self.http.post(self.address(path)).json(body).send().await.unwrap();
        response.json().await.unwrap()
    }

    async fn act(&self, action: Value) -> Value {
        self.post(&format!("/sim/api/accounts/card/followers/{OPENID}/actions"), &action).await
    }

    async fn say(&self, text: &str) -> Value {
        self.act(json!({ "action": "text", "text": text })).await
    }

    async fn token(&self) -> String {
        let request = json!({
            "grant_type": "client_credential", "appid": bot::APP_ID, "secret": "secret",
        });
        let answer = self.post("/cgi-bin/stable_token", &request).await;
        answer["access_token"].as_str().unwrap().to_owned()
    }

    /// Calls an API with a token; `errcode` is 0 where the platform leaves it out.
    async fn call(&self, path: &str, body: &Value) -> (i64, Value) {
        let token = self.token().await;
        let answer = self.post(&format!("{path}?access_token={token}"), body).await;
        (answer["errcode"].as_i64().unwrap_or(0), answer)
    }

    async fn custom_text(&self, text: &str) -> i64 {
        let body = json!({ "touser": OPENID, "msgtype": "text", "text": { "content": text } });
        self.call("/cgi-bin/message/custom/send", &body).await.0
    }

    fn advance_seconds(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Waits for a state of the chat.
    async fn until(&self, reached: impl Fn(&[Value]) -> bool) -> Vec<Value> {
        let chat = format!("/sim/api/accounts/card/followers/{OPENID}/timeline");
        let mut after = 0;
        let waiting = async {
            loop {
                let entries = self.get(&chat).await.as_array().cloned().unwrap_or_default();
                if reached(&entries) {
                    return entries;
                }
                let newest = entries.iter().filter_map(|entry| entry["seq"].as_u64()).max();
                after = newest.unwrap_or(after);
                self.get(&format!("{chat}?after={after}&wait_ms=5000")).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("the chat never got there")
    }
}

/// Whether the push of the newest entry of a kind has ended.
fn settled(entries: &[Value], kind: &str) -> bool {
    let newest = entries.iter().rev().find(|entry| entry["kind"] == kind);
    newest.is_some_and(|entry| entry["push"]["state"] != "delivering")
}

fn shown<'a>(entries: &'a [Value], direction: &str) -> Vec<&'a str> {
    let visible = entries.iter().filter(|entry| entry["hidden"] == false && entry["direction"] == direction);
    visible.filter_map(|entry| entry["text"].as_str()).collect()
}
