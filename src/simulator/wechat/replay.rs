//! Plays a recorded session again, against this server or another, and compares what it says.
//!
//! The followers do again what they did, one step after the other; each step waits for as much as the recording has.
//! Compared are the replies to what followers did, and the calls of the API in their order, without those for
//! tokens: at which moment a token is fetched is nobody's promise. Ids, times and nonces are made alike first.

mod transcript;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::panel::Control;
use super::platform::{Platform, State};
use super::recording::VERSION;
use transcript::Transcript;

/// How often the progress of a step is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long a call of the API may take to come, beyond the deliveries' own time.
const CALL_WAIT: Duration = Duration::from_secs(10);
/// How long after the end a call that nobody expects is listened for.
const AFTERWARDS: Duration = Duration::from_millis(500);

/// Why a file is no recording.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// A line is no JSON object of the known kinds.
    #[error("line {0}: not a line of a recording: {1}")]
    Line(usize, String),
    /// It does not begin as a recording does.
    #[error("line 1: a recording begins with {{\"kind\":\"start\",\"version\":{VERSION}}}")]
    Start,
    /// Followers did nothing in it.
    #[error("nobody acts in this recording")]
    Empty,
    /// It was cut off at its bound.
    #[error("the recording ends early, at its bound; record a shorter session")]
    Full,
}

/// A recorded session.
#[derive(Debug)]
pub struct Recorded(Vec<Value>);

/// What came of a replay.
#[derive(Debug)]
pub struct Replayed {
    /// Steps that were played.
    pub steps: usize,
    /// What differs, to be printed; empty when nothing does. `-` is the recording, `+` is now.
    pub difference: String,
}

impl Recorded {
    /// Reads a recording.
    ///
    /// # Errors
    /// With the number of the line that is none of a recording.
    pub fn read(text: &str) -> Result<Self, RecordingError> {
        let mut lines = Vec::new();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty()) {
            let value: Value = serde_json::from_str(line)
                .map_err(|error| RecordingError::Line(at + 1, error.to_string()))?;
            match value["kind"].as_str() {
                Some("start" | "follower" | "action" | "control" | "exchange" | "call") => {}
                Some("full") => return Err(RecordingError::Full),
                _ => return Err(RecordingError::Line(at + 1, "unknown kind".to_owned())),
            }
            lines.push(value);
        }
        if lines.first().is_none_or(|line| line["kind"] != "start" || line["version"] != VERSION) {
            return Err(RecordingError::Start);
        }
        if lines.iter().all(|line| line["kind"] != "action") {
            return Err(RecordingError::Empty);
        }
        Ok(Self(lines))
    }
}

/// Plays a recording on this platform.
pub(super) async fn play(platform: &Arc<Platform>, recorded: &Recorded) -> Replayed {
    let from = platform.state().recording.text().len();
    let mut player = Player {
        platform: Arc::clone(platform),
        from,
        steps: HashMap::new(),
        calls: 0,
        troubles: Vec::new(),
    };
    for line in &recorded.0 {
        player.play(line).await;
    }
    sleep(AFTERWARDS).await;
    let now = player.lines();
    let difference = Transcript::of(&recorded.0).difference(&Transcript::of(&now));
    let troubles: String = player.troubles.iter().map(|trouble| format!("{trouble}\n")).collect();
    Replayed { steps: player.steps.len(), difference: troubles + &difference }
}

struct Player {
    platform: Arc<Platform>,
    /// Where in the text of the live recording the replay begins.
    from: usize,
    /// Recorded step to live step.
    steps: HashMap<u64, u64>,
    /// Calls that the recording has had since its first action.
    calls: usize,
    troubles: Vec<String>,
}

impl Player {
    async fn play(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        match text("kind") {
            "follower" => {
                let mut state = self.platform.state();
                if let Some(account) = state.account_index(text("account")) {
                    // One who is there already is the one that is meant.
                    let _ = state.add_follower(account, text("openid"), line["name"].as_str());
                }
            }
            "control" => {
                let control: Result<Control, _> = serde_json::from_value(line["control"].clone());
                let turned = control.map_err(|error| error.to_string());
                if let Err(reason) =
                    turned.and_then(|control| control.apply(&self.platform).map_err(str::to_owned))
                {
                    self.troubles.push(format!("! a knob of the recording could not be turned: {reason}"));
                }
            }
            "action" => self.act(line),
            "exchange" => self.await_exchange(line).await,
            "call" if !self.steps.is_empty() && transcript::is_compared(line) => {
                self.calls += 1;
                self.await_calls().await;
            }
            _ => {}
        }
    }

    fn act(&mut self, line: &Value) {
        let text = |name: &str| line[name].as_str().unwrap_or_default();
        let step = line["step"].as_u64().unwrap_or_default();
        let account = self.platform.state().account_index(text("account"));
        let Some(account) = account else {
            self.troubles.push(format!("! step {step}: there is no account {}", text("account")));
            return;
        };
        let action = resolve(&mut self.platform.state(), account, text("openid"), &line["action"]);
        let before = live_step(&self.lines());
        // A refusal is part of the session; that nothing follows shows in the comparison.
        let _ = self.platform.act(account, text("openid"), &action);
        if let Some(now) = live_step(&self.lines()).filter(|now| Some(*now) != before) {
            self.steps.insert(step, now);
        }
    }

    /// What the live recording has had since the replay began.
    fn lines(&self) -> Vec<Value> {
        let state = self.platform.state();
        let text = state.recording.text().get(self.from..).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    async fn await_exchange(&self, line: &Value) {
        let step = line["step"].as_u64().and_then(|step| self.steps.get(&step)).copied();
        let Some(step) = step else { return };
        let timeout = Duration::from_millis(self.platform.settings.delivery_timeout_ms) * 4 + CALL_WAIT;
        self.until(timeout, |lines| {
            lines.iter().any(|line| line["kind"] == "exchange" && line["step"] == step)
        })
        .await;
    }

    async fn await_calls(&self) {
        self.until(CALL_WAIT, |lines| {
            let counted = |line: &&Value| line["kind"] == "call" && transcript::is_compared(line);
            lines.iter().filter(counted).count() >= self.calls
        })
        .await;
    }

    /// Waits, but not for ever: what does not come shows in the comparison.
    async fn until(&self, timeout: Duration, reached: impl Fn(&[Value]) -> bool) {
        let deadline = Instant::now() + timeout;
        while !reached(&self.lines()) && Instant::now() < deadline {
            sleep(LOOK_EVERY).await;
        }
    }
}

fn live_step(lines: &[Value]) -> Option<u64> {
    lines.iter().rev().find(|line| line["kind"] == "action").and_then(|line| line["step"].as_u64())
}

/// The action with live ids for the places that the recording names.
fn resolve(state: &mut State, account: usize, openid: &str, recorded: &Value) -> Value {
    let mut action = recorded.clone();
    let nth = |value: &Value| usize::try_from(value["nth"].as_u64()?).ok();
    if let Some(number) = nth(&recorded["entry"]) {
        let kind = if recorded["action"] == "tap_template" { "template" } else { "msgmenu" };
        let follower = state.follower(account, openid);
        let entry = follower.and_then(|follower| follower.timeline.numbered(kind, number));
        action["entry"] = json!(entry.unwrap_or_default());
    }
    if let Some(number) = nth(&recorded["ticket"]) {
        action["ticket"] = json!(state.accounts[account].codes.numbered(number).unwrap_or_default());
    }
    action
}
