//! The sandbox core over real HTTP, asked by the server's own client.

mod applications;
mod arithmetic;
mod cards;
mod contract;
mod identity;
mod lending;
mod memory;
mod outside;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Running, SandboxCore, Settings};
use crate::bank::{Call, Context, Core, CoreError};
use crate::clock::{ManualClock, SeededRandom};
use crate::config;
use crate::domain::ids::CustomerId;
use crate::domain::money::Money;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;

/// 2026-11-22 10:00 in Beijing.
const NOW: UnixMs = UnixMs(1_795_312_800_000);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Each answer waits for its line to be on disk, and a busy machine's disk takes its time: a test that says nothing of
/// time-outs must not meet one.
const TIMEOUT_MS: u64 = 60_000;
const DAY: Duration = Duration::from_secs(86_400);

/// A sandbox core of its own, with a clock to move and a client to ask it.
struct World {
    folder: TempDir,
    clock: Arc<ManualClock>,
    server_url: url::Url,
    running: Running,
    core: Core,
    http: reqwest::Client,
}

impl World {
    async fn start() -> Self {
        // Nobody listens on the discard port: what is owed to the server stays owed.
        Self::start_beside("http://127.0.0.1:9".parse().unwrap()).await
    }

    async fn start_beside(server_url: url::Url) -> Self {
        let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::new(NOW)));
        let (running, core) = open(&folder, &clock, &server_url).await;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Self { folder, clock, server_url, running, core, http }
    }

    /// Ends the process, so to speak, and starts it on the same folder.
    async fn restart(self) -> Self {
        self.running.stop().await;
        let (running, core) = open(&self.folder, &self.clock, &self.server_url).await;
        Self { running, core, ..self }
    }

    fn journal(&self) -> std::path::PathBuf {
        self.folder.path().join("journal")
    }

    fn address(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addr)
    }

    /// Asks for a customer who proved himself with his PIN.
    async fn ask(&self, customer: &str, operation: &str, params: Value) -> Result<Value, CoreError> {
        self.ask_with_key(customer, operation, params, None).await
    }

    async fn ask_with_key(
        &self,
        customer: &str,
        operation: &str,
        params: Value,
        key: Option<&str>,
    ) -> Result<Value, CoreError> {
        self.ask_by(Some("pin"), customer, operation, params, key).await
    }

    /// The same by a customer who proved himself with a one-time code only.
    async fn ask_proved(&self, customer: &str, operation: &str, params: Value) -> Result<Value, CoreError> {
        self.ask_by(Some("otp"), customer, operation, params, None).await
    }

    /// The same by a customer who is bound and no more.
    async fn ask_unproved(&self, customer: &str, operation: &str, params: Value) -> Result<Value, CoreError> {
        self.ask_by(Some("binding"), customer, operation, params, None).await
    }

    async fn ask_by(
        &self,
        guard: Option<&str>,
        customer: &str,
        operation: &str,
        params: Value,
        key: Option<&str>,
    ) -> Result<Value, CoreError> {
        let call = Call {
            customer_id: CustomerId::parse(customer),
            params,
            idempotency_key: key.map(str::to_owned),
            context: Context { guard: guard.map(str::to_owned), ..Context::default() },
        };
        self.core.call(operation, call).await
    }

    async fn get(&self, path: &str) -> Value {
        self.http.get(self.address(path)).send().await.unwrap().json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let response = self.http.post(self.address(path)).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn swipe(&self, body: Value) -> Value {
        let (status, answer) = self.post("/sandbox/swipe", body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// The newest code that was sent to a phone.
    async fn code(&self, phone: &str) -> String {
        let messages = self.get(&format!("/sandbox/sms?phone={phone}")).await;
        let text = messages[0]["text"].as_str().unwrap().to_owned();
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect()
    }
}

async fn open(folder: &TempDir, clock: &Arc<ManualClock>, server_url: &url::Url) -> (Running, Core) {
    let secret = Secret::new(SECRET.to_owned());
    let settings = Settings {
        listen: "127.0.0.1:0".parse().unwrap(),
        core_secret: secret.clone(),
        api_secret: Some(secret.clone()),
        events_secret: Some(secret.clone()),
        server_url: server_url.clone(),
        journal: folder.path().join("journal"),
        content_dir: None,
    };
    let running = SandboxCore::start(settings, clock.clone(), Arc::new(SeededRandom::new(1))).await.unwrap();
    let base_url = format!("http://{}", running.addr).parse().unwrap();
    let settings = config::Core { base_url, secret, timeout_ms: TIMEOUT_MS, tls: config::Tls::default() };
    let core = Core::new(&settings, clock.clone(), Arc::new(SeededRandom::new(2))).unwrap();
    (running, core)
}

fn fen(amount: &Value) -> i64 {
    let text = |member: &str| amount[member].as_str().unwrap().to_owned();
    Money::parse(&text("value"), &text("currency")).unwrap().minor()
}

fn refusal(outcome: Result<Value, CoreError>) -> (String, Value) {
    match outcome {
        Err(CoreError::Refused { code, details, .. }) => (code, details),
        other => panic!("not a refusal: {other:?}"),
    }
}

fn yuan(value: &str) -> Value {
    json!({ "value": value, "currency": "CNY" })
}
