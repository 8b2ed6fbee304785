//! One event, one line: bounded, without anything that could steer a terminal or start another line, and with the
//! trace that its work belongs to.

use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::LogFormat;
use crate::clock::{Clock as _, SystemClock};
use crate::domain::time::UnixMs;
use crate::domain::trace::TraceId;

/// Longest value of one field, in bytes as they were given; the rest is dropped and says so.
const VALUE_BYTES_MAX: usize = 4 * 1024;
/// Room for values in one line. Escaped at worst to six times its size, and the names besides.
const VALUES_BYTES_MAX: usize = 16 * 1024;

/// The levels, as metrics name them.
pub(super) const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// How many lines were written, by level.
static WRITTEN: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

/// How many lines were written since the start, by level as [`LEVELS`].
pub(super) fn written() -> [u64; 5] {
    std::array::from_fn(|at| WRITTEN[at].load(Ordering::Relaxed))
}

/// Writes lines somewhere, each whole in one call.
pub(super) struct Lines<W> {
    pub(super) format: LogFormat,
    pub(super) write: W,
}

impl<S: Subscriber, W: Fn(&str) + 'static> Layer<S> for Lines<W> {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut values = Values { left: VALUES_BYTES_MAX, ..Values::default() };
        event.record(&mut values);
        // What libraries say through the `log` crate names its own place.
        let target = values.target.take().unwrap_or_else(|| metadata.target().to_owned());
        let head = Head { now: SystemClock.now(), level: *metadata.level(), target: &target };
        let trace = super::trace::current().map(|carried| carried.trace);
        let line = match self.format {
            LogFormat::Text => text(&head, &values, trace),
            LogFormat::Json => json(&head, &values, trace),
        };
        WRITTEN[level_number(head.level)].fetch_add(1, Ordering::Relaxed);
        (self.write)(&line);
    }
}

struct Head<'a> {
    now: UnixMs,
    level: Level,
    target: &'a str,
}

fn level_number(level: Level) -> usize {
    match level {
        Level::ERROR => 0,
        Level::WARN => 1,
        Level::INFO => 2,
        Level::DEBUG => 3,
        Level::TRACE => 4,
    }
}

/// The fields of one event.
#[derive(Default)]
struct Values {
    message: String,
    target: Option<String>,
    /// Name, value, and whether JSON may have it without quotes.
    fields: Vec<(&'static str, String, bool)>,
    /// Bytes that may still be taken.
    left: usize,
}

impl Values {
    fn take(&mut self, field: &Field, value: &dyn fmt::Display, is_bare: bool) {
        let mut cut = Cut { text: String::new(), bytes_max: self.left.min(VALUE_BYTES_MAX), bytes: 0 };
        // Only the cut itself ends a value early, and it never says so.
        let _ = write!(cut, "{value}");
        let Cut { mut text, bytes, .. } = cut;
        self.left -= text.len();
        if bytes > text.len() {
            let _ = write!(text, "… ({bytes} bytes)");
        }
        match field.name() {
            "message" => self.message = text,
            "log.target" => self.target = Some(text),
            "log.module_path" | "log.file" | "log.line" => {}
            name => self.fields.push((name, text, is_bare)),
        }
    }
}

/// The beginning of a text that may be long.
struct Cut {
    text: String,
    bytes_max: usize,
    /// How long it would have been.
    bytes: usize,
}

impl fmt::Write for Cut {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let is_whole = self.bytes == self.text.len();
        self.bytes += part.len();
        if is_whole {
            let room = part.floor_char_boundary(self.bytes_max - self.text.len());
            self.text.push_str(part.get(..room).unwrap_or_default());
        }
        Ok(())
    }
}

impl Visit for Values {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.take(field, &format_args!("{value:?}"), false);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, &value, false);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.take(field, &value, true);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.take(field, &value, true);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.take(field, &value, true);
    }
}

fn text(head: &Head<'_>, values: &Values, trace: Option<TraceId>) -> String {
    let mut line = format!("{} {:>5} {}: ", utc(head.now), head.level, head.target);
    escape(&mut line, &values.message, false);
    for (name, value, _) in &values.fields {
        let _ = write!(line, " {name}=");
        let is_plain = !value.is_empty() && !value.contains([' ', '"', '=']);
        if is_plain {
            escape(&mut line, value, false);
        } else {
            quoted(&mut line, value);
        }
    }
    if let Some(trace) = trace {
        let _ = write!(line, " trace_id={trace}");
    }
    line.push('\n');
    line
}

fn json(head: &Head<'_>, values: &Values, trace: Option<TraceId>) -> String {
    let mut line = format!("{{\"timestamp\":\"{}\",\"level\":\"{}\",\"target\":", utc(head.now), head.level);
    quoted(&mut line, head.target);
    line.push_str(",\"message\":");
    quoted(&mut line, &values.message);
    if let Some(trace) = trace {
        let _ = write!(line, ",\"trace_id\":\"{trace}\"");
    }
    for (name, value, is_bare) in &values.fields {
        let _ = write!(line, ",\"{name}\":");
        if *is_bare {
            line.push_str(value);
        } else {
            quoted(&mut line, value);
        }
    }
    line.push_str("}\n");
    line
}

fn quoted(line: &mut String, value: &str) {
    line.push('"');
    escape(line, value, true);
    line.push('"');
}

/// Control characters, line and paragraph separators and direction marks as `\uXXXX`, as JSON writes them: nothing
/// in a value ends the line, moves a cursor or turns the reading round.
fn escape(line: &mut String, value: &str, is_quoted: bool) {
    for character in value.chars() {
        match character {
            '"' | '\\' if is_quoted => line.extend(['\\', character]),
            '\n' => line.push_str("\\n"),
            '\t' => line.push_str("\\t"),
            c if c.is_control()
                || matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}') =>
            {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
}

/// RFC 3339 in UTC, with milliseconds.
fn utc(moment: UnixMs) -> String {
    let moment = jiff::Timestamp::from_millisecond(moment.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    moment.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    fn logged(format: LogFormat, work: impl FnOnce()) -> String {
        let lines = Arc::new(Mutex::new(String::new()));
        let into = lines.clone();
        let write = move |line: &str| into.lock().unwrap().push_str(line);
        let subscriber = tracing_subscriber::registry().with(Lines { format, write });
        tracing::subscriber::with_default(subscriber, work);
        lines.lock().unwrap().clone()
    }

    #[test]
    fn a_line_says_when_how_grave_where_and_what() {
        let work = || tracing::warn!(account = "card", tries = 3, "the core gave no answer");
        let line = logged(LogFormat::Text, work);
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{line}");
        assert_eq!(rest, format!(" WARN {}: the core gave no answer account=card tries=3\n", module_path!()));
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, work)).unwrap();
        assert_eq!(line["message"], "the core gave no answer");
        assert_eq!((&line["level"], &line["tries"]), (&"WARN".into(), &3.into()));
        assert_eq!(line["account"], "card");
    }

    #[tokio::test]
    async fn a_line_of_some_work_carries_its_trace() {
        let trace = TraceId::new([7; 16]).unwrap();
        let work =
            super::super::trace::carry(trace, async { logged(LogFormat::Json, || tracing::info!("x")) });
        let line: serde_json::Value = serde_json::from_str(&work.await).unwrap();
        assert_eq!(line["trace_id"], "07".repeat(16));
        let outside = logged(LogFormat::Text, || tracing::info!("x"));
        assert!(!outside.contains("trace_id"), "{outside}");
    }

    proptest! {
        #[test]
        fn whatever_outside_says_it_is_one_bounded_line(said in ".{0,200}", repeated in 1_usize..400) {
            let said = format!("{said}\u{1b}[31m\r\n\u{9b}0m\u{202e}\u{2028}{}", said.repeat(repeated));
            for format in [LogFormat::Text, LogFormat::Json] {
                let line = logged(format, || {
                    tracing::info!(said = said.as_str(), again = %said, more = ?said, "{said}");
                });
                prop_assert_eq!(line.matches('\n').count(), 1);
                prop_assert!(line.len() < 7 * VALUES_BYTES_MAX, "{}", line.len());
                let body = line.strip_suffix('\n').unwrap();
                let steers = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202E}');
                prop_assert!(!body.chars().any(steers), "steers");
                if format == LogFormat::Json {
                    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
                    if said.len() < VALUE_BYTES_MAX {
                        prop_assert_eq!(value["said"].as_str(), Some(said.as_str()));
                    }
                }
            }
        }
    }
}
