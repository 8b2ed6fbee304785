//! Calls to the server that are owed: sent in order, tried until the server takes them or refuses them for good.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::bank::Bank;
use super::events::Delivery;
use super::signature::Key;

const ATTEMPT_MAX: Duration = Duration::from_secs(10);
const PAUSE_FIRST_MS: u64 = 200;
const PAUSE_MAX_MS: u64 = 5_000;
const ANSWER_CHARS_MAX: usize = 120;

/// Carries what is owed.
pub(super) struct Courier {
    bank: Arc<Bank>,
    http: reqwest::Client,
    server: String,
    key: Key,
}

/// What one attempt came to.
enum Attempt {
    /// Taken, or refused for good; with a line for the page.
    Settled(String),
    /// To be tried again; with the reason.
    Again(String),
}

impl Courier {
    pub(super) fn new(bank: Arc<Bank>, server: Url, key: Key) -> Result<Self, reqwest::Error> {
        let mut http = reqwest::Client::builder().timeout(ATTEMPT_MAX).redirect(Policy::none()).no_proxy();
        if server.scheme() == "http" {
            // A machine without CA certificates can still speak plain HTTP.
            http = http.tls_certs_only([]);
        }
        let server = server.as_str().trim_end_matches('/').to_owned();
        Ok(Self { bank, http: http.build()?, server, key })
    }

    /// Works until it is told to stop.
    pub(super) async fn run(self, stopping: CancellationToken) {
        stopping.run_until_cancelled(self.work()).await;
    }

    async fn work(&self) {
        let mut pause_ms = PAUSE_FIRST_MS;
        loop {
            let Some(delivery) = self.bank.next_owed() else {
                self.bank.owed.notified().await;
                continue;
            };
            match self.attempt(&delivery).await {
                Attempt::Settled(outcome) => {
                    pause_ms = PAUSE_FIRST_MS;
                    let bank = self.bank.clone();
                    let settled =
                        tokio::task::spawn_blocking(move || bank.settle(delivery.delivery_id, outcome));
                    if let Ok(Err(error)) = settled.await {
                        tracing::error!(%error, "a delivery could not be settled; it is sent again");
                        tokio::time::sleep(Duration::from_millis(PAUSE_MAX_MS)).await;
                    }
                }
                Attempt::Again(reason) => {
                    self.bank.note_problem(Some(reason));
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    pause_ms = (pause_ms * 2).min(PAUSE_MAX_MS);
                }
            }
        }
    }

    async fn attempt(&self, delivery: &Delivery) -> Attempt {
        let body = delivery.body.to_string();
        let timestamp = self.bank.now().seconds().to_string();
        let signature = self.key.sign(&delivery.delivery_id, &timestamp, body.as_bytes());
        let request = self
            .http
            .post(format!("{}{}", self.server, delivery.path))
            .header("content-type", "application/json")
            .header("webhook-id", &delivery.delivery_id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(_) => return Attempt::Again("连接不上服务器".to_owned()),
        };
        let status = response.status().as_u16();
        match status {
            202 => match response.json::<Value>().await {
                Ok(answer) => Attempt::Settled(outcome_of(&answer)),
                Err(_) => Attempt::Again("服务器的回答不完整".to_owned()),
            },
            400 | 404 | 405 | 413 | 415 | 422 => Attempt::Settled(format!("被服务器拒绝（{status}）")),
            401 => Attempt::Again("服务器不认可签名（401），请核对 [api] secrets".to_owned()),
            429 => Attempt::Again("服务器积压已满（429）".to_owned()),
            _ => Attempt::Again(format!("服务器回答 {status}")),
        }
    }
}

/// `{"accepted":n,"duplicates":n,"rejected":[…]}` in one line.
fn outcome_of(answer: &Value) -> String {
    if let Some(error) = answer.pointer("/rejected/0/error").and_then(Value::as_str) {
        let error: String = error.chars().take(ANSWER_CHARS_MAX).collect();
        return format!("被拒收：{error}");
    }
    let duplicate = answer.get("duplicates").and_then(Value::as_u64).unwrap_or(0) > 0;
    if duplicate { "已送达（重复）".to_owned() } else { "已送达".to_owned() }
}
