//! The recording of a session: what followers did, what was pushed and answered, what the server called. One JSON
//! object a line, so that people read it, tools cut it, and [`super::replay`] plays it again.

use std::fs::File;
use std::io::Write as _;

use serde_json::{Value, json};

use super::api::log::Logged;
use super::timeline::PushState;
use crate::domain::time::UnixMs;

/// What the format is called; raised when an older reader could not follow.
pub(super) const VERSION: u64 = 1;
/// Beyond it nothing more is written, and the last line says so.
const RECORDED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A session so far.
pub(crate) struct Recording {
    text: String,
    file: Option<File>,
    steps: u64,
    is_full: bool,
}

/// A push and how it ended.
pub(crate) struct Exchange<'a> {
    pub(crate) account: &'a str,
    pub(crate) openid: &'a str,
    /// The action that caused it; none for what the platform pushes by itself.
    pub(crate) step: Option<u64>,
    /// The document, decrypted.
    pub(crate) push: &'a str,
    pub(crate) ended: PushState,
    pub(crate) fault: Option<&'a str>,
    /// The document of the reply, decrypted.
    pub(crate) reply: Option<&'a str>,
}

impl Recording {
    /// An empty one.
    pub(crate) fn new(at: UnixMs) -> Self {
        let mut recording = Self { text: String::new(), file: None, steps: 0, is_full: false };
        recording.line(&json!({ "kind": "start", "version": VERSION, "at": at }));
        recording
    }

    /// Writes to a file as well, from the beginning on.
    pub(crate) fn write_to(&mut self, mut file: File) -> std::io::Result<()> {
        file.write_all(self.text.as_bytes())?;
        self.file = Some(file);
        Ok(())
    }

    /// All lines so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// A person came to be.
    pub(crate) fn follower(&mut self, at: UnixMs, account: &str, openid: &str, name: Option<&str>) {
        self.line(&json!({
            "kind": "follower", "at": at, "account": account, "openid": openid, "name": name,
        }));
    }

    /// Somebody acts; gives the number of the step.
    pub(crate) fn action(&mut self, at: UnixMs, account: &str, openid: &str, action: &Value) -> u64 {
        self.steps += 1;
        self.line(&json!({
            "kind": "action", "at": at, "step": self.steps, "account": account, "openid": openid,
            "action": action,
        }));
        self.steps
    }

    /// Somebody turned a knob of the panel.
    pub(crate) fn control(&mut self, at: UnixMs, control: &impl serde::Serialize) {
        self.line(&json!({ "kind": "control", "at": at, "control": control }));
    }

    /// A push has ended.
    pub(crate) fn exchange(&mut self, at: UnixMs, exchange: &Exchange<'_>) {
        self.line(&json!({
            "kind": "exchange", "at": at, "step": exchange.step, "account": exchange.account,
            "openid": exchange.openid, "state": exchange.ended, "fault": exchange.fault,
            "push": exchange.push, "reply": exchange.reply,
        }));
    }

    /// The server called an API.
    pub(crate) fn call(&mut self, at: UnixMs, call: &Logged) {
        self.line(&json!({
            "kind": "call", "at": at, "account": call.account, "method": call.method, "path": call.path,
            "query": call.query, "body": call.body, "status": call.status, "response": call.response,
            "fault": call.fault,
        }));
    }

    fn line(&mut self, line: &Value) {
        if self.is_full {
            return;
        }
        let mut text = line.to_string();
        text.push('\n');
        if self.text.len() + text.len() > RECORDED_BYTES_MAX {
            self.is_full = true;
            text = "{\"kind\":\"full\"}\n".to_owned();
        }
        self.text.push_str(&text);
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(text.as_bytes())
        {
            tracing::error!(%error, "the recording cannot be written; it goes on in memory only");
            self.file = None;
        }
    }
}
