//! The bank: signed batches of transactions, each with a number in its merchant's name.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use weikefu::bank::webhooks::Signer;
use weikefu::clock::{Clock as _, SystemClock};
use weikefu::domain::secret::Secret;

pub(crate) const SECRET: &str = "whsec_YWxlcnRzLXRlc3QtYXBpLXNlY3JldC1hbGVydHMtdGVzdA==";
/// One in so many is a declined purchase, whose alert goes before the others.
pub(crate) const DECLINED_EVERY: u64 = 50;

/// A batch that was taken.
#[derive(Clone, Copy)]
pub(crate) struct Batch {
    /// The number of its first transaction.
    pub(crate) first: u64,
    /// How many.
    pub(crate) count: u64,
    /// When it left the bank.
    pub(crate) left: Instant,
    /// Until the 202.
    pub(crate) took: Duration,
}

/// Sends batches to one server, or to several by turns.
pub(crate) struct Bank {
    client: reqwest::Client,
    bases: Vec<String>,
    signer: Signer,
    customers: u64,
    next: AtomicU64,
    calls: AtomicU64,
    run: String,
    taken: Mutex<Vec<Batch>>,
}

impl Bank {
    /// Transactions are numbered from `first` on.
    pub(crate) fn new(
        client: reqwest::Client,
        bases: Vec<String>,
        customers: u64,
        first: u64,
    ) -> anyhow::Result<Self> {
        let signer = Signer::new(&Secret::new(SECRET.to_owned())).context("the test's secret")?;
        let run = SystemClock.now().0.to_string();
        Ok(Self {
            client,
            bases,
            signer,
            customers,
            next: AtomicU64::new(first),
            calls: AtomicU64::new(0),
            run,
            taken: Mutex::default(),
        })
    }

    /// Binds one follower to each customer.
    pub(crate) async fn bind_all(&self) -> anyhow::Result<()> {
        let numbers: Vec<u64> = (0..self.customers).collect();
        for some in numbers.chunks(1_000) {
            let bindings: Vec<Value> = some
                .iter()
                .map(|number| {
                    json!({
                        "account": "card", "openid": format!("oAlerts{number:020}"), "customer_id": format!("C{number}"),
                        "cards": [{ "card_id": "K1", "last4": "1234", "product": "金卡" }],
                        "bound_at": "2026-01-01T10:00:00+08:00",
                    })
                })
                .collect();
            let answer = self.post("/api/v1/bindings", &Value::from(bindings)).await?;
            ensure!(answer["accepted"] == some.len(), "bindings were not taken: {answer}");
        }
        Ok(())
    }

    /// Sends the next so many transactions as one batch.
    pub(crate) async fn send(&self, count: u64) -> anyhow::Result<()> {
        let first = self.next.fetch_add(count, Ordering::Relaxed);
        let occurred_at = SystemClock.now().beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        let transactions: Vec<Value> =
            (first..first + count).map(|number| self.transaction(number, &occurred_at)).collect();
        let left = Instant::now();
        let answer = self.post("/api/v1/transactions", &Value::from(transactions)).await?;
        ensure!(answer["accepted"] == count, "a batch was not taken whole: {answer}");
        let batch = Batch { first, count, left, took: left.elapsed() };
        self.taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(batch);
        Ok(())
    }

    /// The batches that were taken since this was last asked.
    pub(crate) fn taken(&self) -> Vec<Batch> {
        std::mem::take(&mut *self.taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn transaction(&self, number: u64, occurred_at: &str) -> Value {
        let kind = if number.is_multiple_of(DECLINED_EVERY) { "declined" } else { "purchase" };
        // Neighbours in time are different people.
        let customer = number.wrapping_mul(7_919) % self.customers;
        json!({
            "transaction_id": format!("T{number}"), "customer_id": format!("C{customer}"), "card_last4": "1234",
            "type": kind, "amount": { "value": "128.50", "currency": "CNY" },
            "merchant": { "name": format!("M{number}"), "mcc": "5411", "city": "上海", "country": "CN" },
            "channel": "pos", "occurred_at": occurred_at, "available_credit": "12345.00",
        })
    }

    /// One signed call that must be taken.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        let body = serde_json::to_vec(body)?;
        let turn = usize::try_from(call)? % self.bases.len();
        let base = self.bases.get(turn).context("the bank knows no server")?;
        let mut request = self.client.post(format!("{base}{path}"));
        let id = format!("msg_{}_{call}", self.run);
        for (name, value) in self.signer.headers(&id, SystemClock.now(), &body) {
            request = request.header(name, value);
        }
        let response = request.header("content-type", "application/json").body(body).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        ensure!(status.as_u16() == 202, "{path}: {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }
}
