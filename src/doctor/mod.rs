//! What stands between an account and its first alert: each link of the chain is tried, and each fault is named by the
//! setting that is to be changed. Nothing is changed by looking.
//!
//! The server is called at `public_url` as WeChat calls it; WeChat is called through the account's API hosts; and what
//! the running server refused of WeChat's own calls is read on the listener that carries the metrics. A fault that
//! keeps another check from being made leaves a warning there, so that one cause is one `FAIL`.

mod menu;
mod platform;
mod server;
mod templates;

use std::fmt;
use std::sync::Arc;

use crate::clock::{SharedClock, SharedRandom, new_token};
use crate::config::{Account, Config};
use crate::content::Content;
use crate::wechat::api::{Api, NotAClient};
use crate::wechat::token::MemoryShelf;
use crate::wechat::trial::Caller;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All well.
    Ok,
    /// It works, or it could not be seen whether it does.
    Warn,
    /// Something to put right.
    Fail,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        })
    }
}

/// One check: prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How it ended.
    pub level: Level,
    /// What was looked at.
    pub check: &'static str,
    /// What was found. Never holds a secret.
    pub found: String,
    /// What to do next; empty where there is nothing to do.
    pub next: String,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<5} {:<14} {}", self.level, self.check, self.found)?;
        if self.next.is_empty() { Ok(()) } else { write!(f, " → {}", self.next) }
    }
}

/// Every check, in the order in which they were made.
#[derive(Clone, Debug, Default)]
pub struct Report {
    lines: Vec<Line>,
}

impl Report {
    /// Every check.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// How many ended so.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.lines.iter().filter(|line| line.level == level).count()
    }

    fn ok(&mut self, check: &'static str, found: impl Into<String>) {
        self.say(Level::Ok, check, found, "");
    }

    fn warn(&mut self, check: &'static str, found: impl Into<String>, next: impl Into<String>) {
        self.say(Level::Warn, check, found, next);
    }

    fn fail(&mut self, check: &'static str, found: impl Into<String>, next: impl Into<String>) {
        self.say(Level::Fail, check, found, next);
    }

    fn say(&mut self, level: Level, check: &'static str, found: impl Into<String>, next: impl Into<String>) {
        self.lines.push(Line { level, check, found: found.into(), next: next.into() });
    }

    fn has_failed(&self, check: &str) -> bool {
        self.lines.iter().any(|line| line.check == check && line.level == Level::Fail)
    }
}

/// What every check is made with.
struct Patient<'a> {
    config: &'a Config,
    account: &'a Account,
    content: &'a Content,
    caller: Caller,
    clock: SharedClock,
    random: SharedRandom,
}

impl Patient<'_> {
    /// The API over some of its hosts. The stable token is the same for everybody who asks, so this takes none away
    /// from a running server.
    fn api(&self, account: &Account) -> Result<Api, NotAClient> {
        let owner = new_token(self.random.as_ref());
        Api::new(account, Arc::new(MemoryShelf::default()), self.clock.clone(), &owner)
    }
}

/// Makes every check of one account. Takes at most a minute or two, where every address swallows what is sent to it.
///
/// # Errors
/// [`NotAClient`] when the machine lacks what HTTPS needs.
pub async fn examine(
    config: &Config,
    account: &Account,
    content: &Content,
    clock: SharedClock,
    random: SharedRandom,
) -> Result<Report, NotAClient> {
    let patient = Patient { config, account, content, caller: Caller::new()?, clock, random };
    let mut report = Report::default();
    let count = config.accounts.len();
    let others = if count == 1 { String::new() } else { format!(", one of {count} accounts") };
    report.ok("configuration", format!("loads; {} ({}){others}", account.id, account.name));
    let ahead = platform::hosts(&patient, &mut report).await?;
    server::look(&patient, ahead, &mut report).await;
    platform::look(&patient, &mut report).await?;
    Ok(report)
}
