//! An agent with his page open: the same requests as the page's script makes, and when a customer's words reached it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::StreamExt as _;
use serde_json::Value;

use super::figures::micros;

/// How often what is waited for is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Words that left customers, and those that were shown.
#[derive(Default)]
pub(crate) struct Heard {
    open: AtomicUsize,
    left: Mutex<HashMap<u64, Instant>>,
    shown: Mutex<HashMap<u64, Instant>>,
}

impl Heard {
    /// The words of this number leave now.
    pub(crate) fn left(&self, number: u64) {
        lock(&self.left).insert(number, Instant::now());
    }

    fn show(&self, number: u64) {
        lock(&self.shown).entry(number).or_insert_with(Instant::now);
    }

    /// Waits until so many pages have their stream and what they show first.
    pub(crate) async fn all_open(&self, pages: usize, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        while self.open.load(Ordering::Relaxed) < pages {
            ensure!(Instant::now() < until, "not every page opened");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// Waits until so many words were shown.
    pub(crate) async fn all_shown(&self, words: u64, patience: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + patience;
        while u64::try_from(lock(&self.shown).len())? < words {
            let shown = lock(&self.shown).len();
            ensure!(Instant::now() < until, "{shown} of {words} words were shown: the others are lost");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// How long each was under way, sorted microseconds.
    pub(crate) fn ways(&self) -> Vec<u32> {
        let (left, shown) = (lock(&self.left), lock(&self.shown));
        let way =
            |(number, at): (&u64, &Instant)| Some(micros(at.saturating_duration_since(*left.get(number)?)));
        let mut ways: Vec<u32> = shown.iter().filter_map(way).collect();
        ways.sort_unstable();
        ways
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One agent.
pub(crate) struct Agent {
    client: reqwest::Client,
    base: String,
    cookie: String,
    csrf: String,
    /// His conversation, once he has one.
    case: String,
    follower: String,
    /// The last number of the log that his page has.
    seq: AtomicI64,
}

impl Agent {
    /// Opens the page of somebody who is signed in.
    pub(crate) async fn at_work(client: reqwest::Client, base: String, token: &str) -> anyhow::Result<Self> {
        let cookie = format!("weikefu_staff={token}");
        let page = client.get(format!("{base}/desk")).header("cookie", &cookie).send().await?;
        let page = page.error_for_status()?.text().await?;
        let csrf = page.split_once("data-csrf=\"").and_then(|(_, rest)| rest.split_once('"'));
        let csrf = csrf.context("the page has no token: is the agent signed in?")?.0.to_owned();
        let (case, follower) = (String::new(), String::new());
        Ok(Self { client, base, cookie, csrf, case, follower, seq: AtomicI64::new(0) })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request =
            self.client.get(format!("{}/desk/api/{path}", self.base)).header("cookie", &self.cookie);
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// Takes the next of those who wait.
    pub(crate) async fn take_next(&self) -> anyhow::Result<Option<String>> {
        let request = self.client.post(format!("{}/desk/api/next", self.base)).header("cookie", &self.cookie);
        let request = request.header("x-csrf-token", &self.csrf).header("sec-fetch-site", "same-origin");
        let answer: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(answer["case_id"].as_str().map(str::to_owned))
    }

    /// Opens a conversation of his.
    pub(crate) async fn opens(mut self, case: &str) -> anyhow::Result<Self> {
        let shown = self.get(&format!("cases/{case}")).await?;
        self.case = case.to_owned();
        self.follower = shown["case"]["follower"].as_str().context("a follower")?.to_owned();
        self.seq.store(shown["seq"].as_i64().unwrap_or(0), Ordering::Relaxed);
        Ok(self)
    }

    /// Follows the hints as the page does: reads the conversation first, then the lists.
    pub(crate) async fn watch(self: Arc<Self>, heard: Arc<Heard>) -> anyhow::Result<()> {
        let request = self.client.get(format!("{}/desk/live", self.base)).header("cookie", &self.cookie);
        // The stream has no end.
        let response = request.timeout(Duration::from_secs(24 * 3600)).send().await?.error_for_status()?;
        let mut stream = response.bytes_stream();
        let mut is_open = false;
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            let text = String::from_utf8_lossy(&piece);
            // A hint that names nobody means all.
            if text.contains(&self.follower) || text.contains("data: {}") {
                self.refresh(&heard).await?;
                // The first hint says: read everything.
                if !std::mem::replace(&mut is_open, true) {
                    heard.open.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        bail!("its stream ended")
    }

    async fn refresh(&self, heard: &Heard) -> anyhow::Result<()> {
        let after = self.seq.load(Ordering::Relaxed);
        let body = self.get(&format!("cases/{}?after={after}", self.case)).await?;
        for entry in body["messages"].as_array().into_iter().flatten() {
            self.seq.fetch_max(entry["seq"].as_i64().unwrap_or(0), Ordering::Relaxed);
            let text = entry["content"]["text"].as_str().unwrap_or_default();
            if let Some(number) = text.strip_prefix('M').and_then(|digits| digits.parse().ok()) {
                heard.show(number);
            }
        }
        let (mine, queue) = tokio::join!(self.get("mine"), self.get("queue"));
        mine.and(queue).map(drop)
    }
}
