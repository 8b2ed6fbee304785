//! The files of `templates/notices/`: what rules each kind of notice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use toml::Spanned;

use crate::content::{Content, Fault, File};
use crate::domain::{notice, time};
use crate::render::{TextFault, Texts, Values, Words};
use crate::store::Lane;

/// The kinds that transactions are told as.
const OF_TRANSACTIONS: [&str; 4] = ["spend", "refund", "repayment", "declined"];

/// What the house itself tells: several notices that waited for the end of quiet hours.
pub(super) const DIGEST: &str = "digest";

/// The bank's cap on reminders of one kind to one customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cap {
    /// Reminders at most.
    pub most: u32,
    /// Within this time.
    pub within: Duration,
}

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
    /// Whether the customer's threshold holds for it.
    pub threshold: bool,
    /// Whether it waits for the end of the customer's quiet hours.
    pub quiet: bool,
    /// How often a customer is told at most; `None`: always.
    pub cap: Option<Cap>,
    /// Whether it has words for a customer-service message, as the second way.
    pub chat: bool,
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
    texts: Arc<Texts>,
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
    threshold: bool,
    #[serde(default)]
    quiet: bool,
    cap: Option<CapFile>,
    chat: Option<Spanned<String>>,
    #[serde(default)]
    defaults: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CapFile {
    most: u32,
    within: String,
}

impl Kinds {
    /// Reads `notices/*.toml`.
    ///
    /// # Errors
    /// Every fault of every file, and every kind without one.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let mut kinds = BTreeMap::new();
        let mut faults = Vec::new();
        let mut texts = Texts::new(Words::new());
        for name in OF_TRANSACTIONS.into_iter().chain(notice::KINDS).chain([DIGEST]) {
            let path = format!("notices/{name}.toml");
            let kind = match content.file(&path) {
                Some(file) => file.parse().and_then(|read| kind(file, name, read, &mut texts)),
                None => Err(Fault::new(format!("templates/{path}"), 1, "this kind of notice has no file")),
            };
            match kind {
                Ok(kind) => drop(kinds.insert(name.to_owned(), kind)),
                Err(fault) => faults.push(fault),
            }
        }
        match kinds.get("security").cloned() {
            Some(strictest) if faults.is_empty() => {
                Ok(Self { by_name: kinds, strictest, texts: Arc::new(texts) })
            }
            _ => Err(faults),
        }
    }

    /// The rules of a kind; those of `security` for one that is stored but has no file any more.
    #[must_use]
    pub fn of(&self, name: &str) -> &Kind {
        self.by_name.get(name).unwrap_or(&self.strictest)
    }

    /// What a customer-service message says of a notice: the kind's words, filled with the values that it has. A name of
    /// [`SAID`] that it has not is empty. `None`: there are no words, or they do not fit.
    #[must_use]
    pub(super) fn say(&self, name: &str, values: &BTreeMap<String, String>, late: bool) -> Option<String> {
        if !self.of(name).chat {
            return None;
        }
        let text = self.texts.render(name, &shown(values, late));
        text.map_err(|fault| tracing::warn!(%fault, kind = name, "the chat words of a notice cannot be filled; the notice has no second way")).ok()
    }
}

/// Names that the words of a customer-service message may use; `late` says that it comes after the fact.
const SAID: [&str; 13] = [
    "card",
    "amount",
    "time",
    "merchant",
    "type",
    "available_credit",
    "billing_amount",
    "reason",
    "result",
    "due_date",
    "minimum",
    "event",
    "late",
];

fn shown(values: &BTreeMap<String, String>, late: bool) -> Values {
    let mut shown = Values::new();
    for name in SAID {
        shown.set_text(name, values.get(name).map_or("", String::as_str));
    }
    shown.set("late", &json!(late));
    shown
}

fn kind(file: &File, name: &str, read: KindFile, texts: &mut Texts) -> Result<Kind, Fault> {
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
        time::span(text)
            .filter(|span| !span.is_zero() && *span <= Kind::KEEP_FOR_MAX)
            .ok_or_else(|| at(key, "must be a time such as 5m, 24h or 3d, at most 30 days"))
    };
    let (deadline, keep_for) = (span("deadline", &read.deadline)?, span("keep_for", &read.keep_for)?);
    if deadline > keep_for {
        return Err(at("deadline", "must not be longer than keep_for"));
    }
    if read.quiet && lane == Lane::Security {
        return Err(at("quiet", "what is in the lane security never waits"));
    }
    let cap = match &read.cap {
        Some(_) if lane == Lane::Security => {
            return Err(at("cap", "what is in the lane security is always told"));
        }
        Some(cap) if cap.most == 0 => return Err(at("cap", "most must be at least 1")),
        Some(cap) => Some(Cap { most: cap.most, within: span("cap", &cap.within)? }),
        None => None,
    };
    if let Some(chat) = &read.chat {
        words(file, name, chat, texts)?;
    }
    Ok(Kind {
        threshold: read.threshold,
        quiet: read.quiet,
        cap,
        chat: read.chat.is_some(),
        notice: read.notice,
        lane,
        mandatory: read.mandatory,
        deadline,
        keep_for,
        fallback: read.fallback,
        defaults: read.defaults,
    })
}

/// Compiles the words of a customer-service message and tries them out.
fn words(file: &File, name: &str, chat: &Spanned<String>, texts: &mut Texts) -> Result<(), Fault> {
    let at = |fault: &TextFault| {
        let before = file.text.get(..chat.span().start).unwrap_or_default().matches('\n').count();
        Fault::new(&file.origin, before + fault.line, format!("chat: {}", fault.message))
    };
    texts.add(name, chat.get_ref()).map_err(|fault| at(&fault))?;
    let strange = texts.wants(name).into_iter().find(|wanted| !SAID.contains(&wanted.as_str()));
    if let Some(strange) = strange {
        let message = format!("there is no value {strange:?}; there are {}", SAID.join(", "));
        return Err(at(&TextFault { line: 1, column: 1, message }));
    }
    let full = SAID.map(|name| (name.to_owned(), if name == "card" { "1234" } else { "示例" }.to_owned()));
    for (values, late) in [(BTreeMap::new(), false), (BTreeMap::from(full), true)] {
        texts.render(name, &shown(&values, late)).map_err(|fault| at(&fault))?;
    }
    Ok(())
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
        for (name, kind) in &kinds.by_name {
            assert!(!(kind.quiet && kind.lane == Lane::Security), "{name} must not wait");
            assert_eq!(kind.cap, None, "{name}: without the bank's wish nothing is suppressed");
        }
    }

    #[test]
    fn what_is_said_in_chat_has_what_a_template_has_and_says_when_it_is_late() {
        let kinds = Kinds::load(&Content::built_in()).unwrap();
        let values = [
            ("card", "1234"),
            ("amount", "¥128.50"),
            ("time", "2026-11-22 10:00"),
            ("merchant", "示例商户"),
            ("type", "消费"),
        ];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let said = kinds.say("spend", &values, false).unwrap();
        for part in ["尾号1234", "¥128.50", "2026-11-22 10:00", "示例商户", "消费"] {
            assert!(said.contains(part), "{said}");
        }
        assert!(!said.contains("补发") && kinds.say("spend", &values, true).unwrap().contains("补发"));
        assert_eq!(kinds.say("digest", &values, false), None);
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
            ("lane = \"spend\"", "lane = \"security\"", "quiet: what is in the lane security never waits"),
            ("{{ time }}", "{{ tme }}", "there is no value \"tme\""),
            (
                "quiet = true",
                "quiet = true\ncap = { most = 0, within = \"24h\" }",
                "cap: most must be at least 1",
            ),
        ];
        for (from, to, expected) in table {
            let faults = broken(from, to);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].contains("notices/spend.toml:") && faults[0].contains(expected), "{faults:?}");
        }
    }
}
