//! The files of `templates/notices/`: what rules each kind of notice.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::content::{Content, Fault, File};
use crate::domain::notice;
use crate::store::Lane;

/// The kinds that transactions are told as.
const OF_TRANSACTIONS: [&str; 4] = ["spend", "refund", "repayment", "declined"];

/// What rules one kind.
#[derive(Clone, Debug)]
pub struct Kind {
    /// The name under which an account configures its template, where it has none for the kind itself.
    pub notice: String,
    /// Its precedence.
    pub lane: Lane,
    /// Whether it is told also to who has turned alerts off.
    pub mandatory: bool,
    /// How long after acceptance the bank falls back.
    pub deadline: Duration,
    /// How long after acceptance it is still sent.
    pub keep_for: Duration,
    /// Whether the bank gets the event `fallback` when WeChat did not tell in time.
    pub fallback: bool,
    /// What stands in a configured field that nothing was given for.
    pub defaults: BTreeMap<String, String>,
}

impl Kind {
    /// Longest `keep_for`, and the end of a notice whose deadline the bank sets itself.
    pub const KEEP_FOR_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
}

/// Every kind. Complete: a missing file is a fault at start.
#[derive(Clone, Debug)]
pub struct Kinds {
    by_name: BTreeMap<String, Kind>,
    strictest: Kind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KindFile {
    notice: String,
    lane: String,
    mandatory: bool,
    deadline: String,
    keep_for: String,
    fallback: bool,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
}

impl Kinds {
    /// Reads `notices/*.toml`.
    ///
    /// # Errors
    /// Every fault of every file, and every kind without one.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let mut kinds = BTreeMap::new();
        let mut faults = Vec::new();
        for name in OF_TRANSACTIONS.into_iter().chain(notice::KINDS) {
            let path = format!("notices/{name}.toml");
            let kind = match content.file(&path) {
                Some(file) => file.parse().and_then(|read| kind(file, read)),
                None => Err(Fault::new(format!("templates/{path}"), 1, "this kind of notice has no file")),
            };
            match kind {
                Ok(kind) => drop(kinds.insert(name.to_owned(), kind)),
                Err(fault) => faults.push(fault),
            }
        }
        match kinds.get("security").cloned() {
            Some(strictest) if faults.is_empty() => Ok(Self { by_name: kinds, strictest }),
            _ => Err(faults),
        }
    }

    /// The rules of a kind; those of `security` for one that is stored but has no file any more.
    #[must_use]
    pub fn of(&self, name: &str) -> &Kind {
        self.by_name.get(name).unwrap_or(&self.strictest)
    }
}

fn kind(file: &File, read: KindFile) -> Result<Kind, Fault> {
    let at = |key: &str, message: &str| {
        let line = file.text.lines().position(|line| line.trim_start().starts_with(key)).unwrap_or(0);
        Fault::new(&file.origin, line + 1, format!("{key}: {message}"))
    };
    let lane = match read.lane.as_str() {
        "security" => Lane::Security,
        "spend" => Lane::Spend,
        "reminder" => Lane::Reminder,
        _ => return Err(at("lane", "must be security, spend or reminder")),
    };
    let span = |key: &str, text: &str| {
        span(text)
            .filter(|span| !span.is_zero() && *span <= Kind::KEEP_FOR_MAX)
            .ok_or_else(|| at(key, "must be a time such as 5m, 24h or 3d, at most 30 days"))
    };
    let (deadline, keep_for) = (span("deadline", &read.deadline)?, span("keep_for", &read.keep_for)?);
    if deadline > keep_for {
        return Err(at("deadline", "must not be longer than keep_for"));
    }
    Ok(Kind {
        notice: read.notice,
        lane,
        mandatory: read.mandatory,
        deadline,
        keep_for,
        fallback: read.fallback,
        defaults: read.defaults,
    })
}

/// `90s`, `5m`, `24h`, `3d`.
fn span(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let count: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    count.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_files_are_complete_and_say_what_is_promised() {
        let kinds = Kinds::load(&Content::built_in()).unwrap();
        let hours = |count: u64| Duration::from_secs(count * 3600);
        let spend = kinds.of("spend");
        assert_eq!((spend.deadline, spend.keep_for), (Duration::from_secs(300), hours(24)));
        assert_eq!(kinds.of("security").keep_for, hours(72));
        assert!(!spend.mandatory && kinds.of("security").mandatory);
        assert!(kinds.of("declined").mandatory);
    }

    #[test]
    fn faults_name_file_and_line() {
        let broken = |from: &str, to: &str| {
            let built_in = Content::built_in();
            let text = built_in.file("notices/spend.toml").unwrap().text.replace(from, to);
            let faults = Kinds::load(&built_in.with("notices/spend.toml", &text)).unwrap_err();
            faults.into_iter().map(|fault| fault.to_string()).collect::<Vec<_>>()
        };
        let table = [
            ("deadline = \"5m\"", "deadline = \"soon\"", "deadline: must be a time"),
            ("deadline = \"5m\"", "deadline = \"25h\"", "deadline: must not be longer than keep_for"),
            ("lane = \"spend\"", "lane = \"fast\"", "lane: must be security, spend or reminder"),
            ("mandatory", "mandatry", "mandatory"),
        ];
        for (from, to, expected) in table {
            let faults = broken(from, to);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains("notices/spend.toml:") && faults[0].contains(expected), "{faults:?}");
        }
    }
}
