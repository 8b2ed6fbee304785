//! Hints between instances, by a Redis where one is configured: "look there now". Every room that hears them looks by
//! itself all the time, so that a hint which is lost, doubled or late costs a quarter of a second and nothing else.
//!
//! What is to be said is a set and not a queue: while Redis is slow or away it cannot grow, and once it is back one
//! message says it all.

mod hint;
mod line;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use hint::Hint;
use hint::Message;
pub use line::BadAddress;
use line::{Line, Lost};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config;

/// After a message, what comes in this time is said in one: at most 50 a second from each instance.
const GATHER: Duration = Duration::from_millis(20);
/// An instance says at least this often that it is there, and hears itself say it.
const BEAT: Duration = Duration::from_secs(1);
/// Who has not heard himself for so long has lost Redis, whatever the connection says.
const SILENT_MAX: Duration = Duration::from_secs(3);
/// Between two tries to reach Redis: first, and at most.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Says hints and hears those of others. [`Hints::default`] has nobody to say them to.
#[derive(Default)]
pub struct Hints {
    line: Option<Line>,
    unsaid: Mutex<Hint>,
    came: Notify,
    is_connected: AtomicBool,
}

impl Hints {
    /// Hints by this Redis, in the name of this instance.
    ///
    /// # Errors
    /// When the address or its certificates cannot be used.
    pub fn new(config: &config::Hints, instance: &str) -> Result<Self, BadAddress> {
        Ok(Self { line: Some(Line::new(config, instance)?), ..Self::default() })
    }

    /// After a commit: there is something to send in this partition.
    pub fn outgoing(&self, part: u8) {
        self.say(|hint| hint.add_part(part));
    }

    /// After a commit: notices were taken in.
    pub fn planning(&self) {
        self.say(|hint| hint.planning = true);
    }

    /// After a commit: something changed at the desk.
    pub fn desk(&self) {
        self.say(|hint| hint.desk = true);
    }

    fn say(&self, add: impl FnOnce(&mut Hint)) {
        if self.line.is_some() {
            add(&mut self.unsaid());
            self.came.notify_one();
        }
    }

    /// Carries hints until told to stop, reaching Redis again and again; `hear` gets those of others, and one for
    /// everything whenever some may have been missed.
    pub async fn run(&self, stop: CancellationToken, hear: impl Fn(Hint) + Send + Sync) {
        self.connected(false);
        let Some(line) = &self.line else { return };
        let (mut pause, mut is_told) = (PAUSE, false);
        loop {
            let carried = async {
                let (mouth, ear) = line.open().await?;
                self.connected(true);
                tracing::info!("Redis carries hints between instances");
                (pause, is_told) = (PAUSE, false);
                hear(Hint::everything());
                tokio::try_join!(self.speak(line, mouth), listen(line, ear, &hear)).map(drop)
            };
            let lost = tokio::select! {
                () = stop.cancelled() => return,
                carried = carried => carried.err(),
            };
            self.connected(false);
            if let Some(error) = lost.filter(|_| !is_told) {
                is_told = true;
                tracing::warn!(
                    %error,
                    "Redis does not carry hints: instances find each other's work up to 250 ms later, and nothing is \
                     lost. It is tried again and again; see that [hints] redis_url names a Redis that answers"
                );
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => pause = pause.saturating_mul(2).min(PAUSE_MAX),
            }
        }
    }

    /// Says what there is, and a word each beat.
    async fn speak(&self, line: &Line, mut mouth: line::Mouth) -> Result<(), Lost> {
        loop {
            let hint = std::mem::take(&mut *self.unsaid());
            // What is lost with it is made up for by a look at everything, once Redis is back.
            line.say(&mut mouth, hint).await?;
            tokio::time::sleep(GATHER).await;
            // An instance with nothing to say is heard by itself all the same.
            let _ = tokio::time::timeout(BEAT, self.came.notified()).await;
        }
    }

    /// Whether Redis carries hints now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.is_connected.load(Ordering::Relaxed)
    }

    fn connected(&self, is_connected: bool) {
        self.is_connected.store(is_connected, Ordering::Relaxed);
        metrics::gauge!("weikefu_hints_connected").set(f64::from(u8::from(is_connected)));
    }

    fn unsaid(&self) -> MutexGuard<'_, Hint> {
        self.unsaid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hears others, and itself as a sign that the line is good.
async fn listen(line: &Line, mut ear: line::Ear, hear: &(impl Fn(Hint) + Sync)) -> Result<(), Lost> {
    let mut until = tokio::time::Instant::now() + SILENT_MAX;
    loop {
        let text = tokio::time::timeout_at(until, ear.next()).await.map_err(|_| Lost::Silent)?;
        let Some(Message { from, hint }) = Message::read(&text.ok_or(Lost::Closed)?) else { continue };
        if from == line.instance() {
            until = tokio::time::Instant::now() + SILENT_MAX;
        } else if hint != Hint::default() {
            metrics::counter!("weikefu_hints_total", "way" => "heard").increment(1);
            hear(hint);
        }
    }
}
