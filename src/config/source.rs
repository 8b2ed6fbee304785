//! Where settings come from: the file with its lines, the environment laid over it, and every fault with its
//! place. Knows nothing of what the settings mean.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;

use toml::de::{DeTable, DeValue};

/// One thing that is wrong with the configuration, and where: prints as `file:line: message`, or as
/// `VARIABLE: message` for what the environment brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// `file:line`, or the name of the environment variable.
    pub place: String,
    /// What is wrong. Never holds a secret.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// Every variable that overrides a setting begins so.
pub(super) const PREFIX: &str = "WEIKEFU_";

/// Collects faults while reading goes on, so that all of them are told at once.
pub(super) struct Faults {
    file: String,
    found: RefCell<Vec<(Origin, String)>>,
}

impl Faults {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.to_owned(), found: RefCell::default() }
    }

    pub(super) fn add(&self, origin: &Origin, message: impl Into<String>) {
        self.found.borrow_mut().push((origin.clone(), message.into()));
    }

    /// Whether none was found so far.
    pub(super) fn none(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// In the order of the file, then what the environment brought.
    pub(super) fn into_vec(self) -> Vec<Fault> {
        let mut found = self.found.into_inner();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        let place = |origin| match origin {
            Origin::Line(line) => format!("{}:{line}", self.file),
            Origin::Variable(name) => name,
        };
        found.into_iter().map(|(origin, message)| Fault { place: place(origin), message }).collect()
    }
}

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    Line(usize),
    Variable(String),
}

/// A setting or a group of them, with its origin.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) kind: Kind,
}

/// What a node holds. Numbers and truth values stay as written: the environment has only text.
#[derive(Debug)]
pub(super) enum Kind {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    Text(String),
    Integer(String),
    Other(&'static str),
}

/// Reads the file's text. Faults of syntax are collected; what could be read is returned.
pub(super) fn parse(text: &str, faults: &Faults) -> BTreeMap<String, Node> {
    let lines = Lines::of(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let at = error.span().map_or(0, |span| span.start);
        faults.add(&lines.origin(at), format!("not TOML: {}", error.message()));
    }
    table(root.get_ref(), &lines)
}

fn table(entries: &DeTable<'_>, lines: &Lines) -> BTreeMap<String, Node> {
    entries
        .iter()
        .map(|(key, value)| {
            let origin = lines.origin(key.span().start);
            (key.get_ref().to_string(), node(value.get_ref(), origin, lines))
        })
        .collect()
}

fn node(value: &DeValue<'_>, origin: Origin, lines: &Lines) -> Node {
    let kind = match value {
        DeValue::String(text) => Kind::Text(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Kind::Integer(number.as_str().to_owned()),
        DeValue::Integer(_) => Kind::Other("a number that is not decimal"),
        DeValue::Float(_) => Kind::Other("a fraction"),
        DeValue::Boolean(_) => Kind::Other("true or false"),
        DeValue::Datetime(_) => Kind::Other("a date"),
        DeValue::Array(items) => Kind::Array(
            items.iter().map(|item| node(item.get_ref(), lines.origin(item.span().start), lines)).collect(),
        ),
        DeValue::Table(entries) => Kind::Table(table(entries, lines)),
    };
    Node { origin, kind }
}

/// The line of the file's text on which a setting stands: `["accounts", "0", "name"]`. `None`: it does not stand there.
#[must_use]
pub fn line_of(text: &str, path: &[&str]) -> Option<usize> {
    let faults = Faults::new("");
    let mut kind = Kind::Table(parse(text, &faults));
    let mut line = None;
    for step in path {
        let node = match kind {
            Kind::Table(mut entries) => entries.remove(*step)?,
            Kind::Array(items) => items.into_iter().nth(step.parse().ok()?)?,
            _ => return None,
        };
        line = match node.origin {
            Origin::Line(line) => Some(line),
            Origin::Variable(_) => None,
        };
        kind = node.kind;
    }
    line
}

/// Where each line begins.
struct Lines(Vec<usize>);

impl Lines {
    fn of(text: &str) -> Self {
        Self(std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    fn origin(&self, at: usize) -> Origin {
        Origin::Line(self.0.partition_point(|start| *start <= at).max(1))
    }
}

/// One step of `WEIKEFU_ACCOUNTS__0__TOKEN`. Ordered so that entry 2 of a list comes before entry 10.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Index(usize),
    Key(String),
}

/// Lays the environment over the file. Variables without `__` are not settings.
pub(super) fn overlay(
    root: &mut BTreeMap<String, Node>,
    environment: impl IntoIterator<Item = (String, String)>,
    faults: &Faults,
) {
    let mut settings: Vec<(Vec<Step>, String, String)> =
        environment.into_iter().filter_map(|(name, value)| Some((steps(&name)?, name, value))).collect();
    settings.sort();
    for (steps, name, value) in settings {
        let origin = Origin::Variable(name);
        if let Err(message) = place(root, &steps, value, &origin) {
            faults.add(&origin, message);
        }
    }
}

fn steps(name: &str) -> Option<Vec<Step>> {
    let rest = name.strip_prefix(PREFIX).filter(|rest| rest.contains("__"))?;
    let step = |part: &str| match part.parse() {
        Ok(index) => Step::Index(index),
        Err(_) => Step::Key(part.to_ascii_lowercase()),
    };
    Some(rest.split("__").map(step).collect())
}

fn place(
    entries: &mut BTreeMap<String, Node>,
    steps: &[Step],
    value: String,
    origin: &Origin,
) -> Result<(), String> {
    let (Step::Key(key), rest) = steps.split_first().ok_or("names no setting")? else {
        return Err("has a number where a key is expected".to_owned());
    };
    if rest.is_empty() {
        displace_other_form(entries, key);
    }
    let node = entries.entry(key.clone()).or_insert_with(|| fresh(rest, origin));
    place_in(node, rest, value, origin)
}

fn place_in(node: &mut Node, steps: &[Step], value: String, origin: &Origin) -> Result<(), String> {
    match (steps.first(), &mut node.kind) {
        (None, Kind::Table(entries)) if !entries.is_empty() => Err("names a table, not a setting".to_owned()),
        (None, _) => {
            *node = Node { origin: origin.clone(), kind: Kind::Text(value) };
            Ok(())
        }
        (Some(Step::Key(_)), Kind::Table(entries)) => place(entries, steps, value, origin),
        (Some(Step::Index(index)), Kind::Array(items)) => {
            if *index == items.len() {
                items.push(fresh(&steps[1..], origin));
            }
            let count = items.len();
            let item = items
                .get_mut(*index)
                .ok_or_else(|| format!("there is no entry {index}: the list has {count}"))?;
            place_in(item, &steps[1..], value, origin)
        }
        (Some(Step::Key(key)), _) => Err(format!("`{key}` is asked of something that is not a table")),
        (Some(Step::Index(index)), _) => {
            Err(format!("entry {index} is asked of something that is not a list"))
        }
    }
}

fn fresh(rest: &[Step], origin: &Origin) -> Node {
    let kind = match rest.first() {
        Some(Step::Index(_)) => Kind::Array(vec![]),
        Some(Step::Key(_)) | None => Kind::Table(BTreeMap::new()),
    };
    Node { origin: origin.clone(), kind }
}

/// A secret has two forms, `x` and `x_file`. The environment's one replaces the file's one, whichever form
/// each took; only two forms at the same level contradict each other.
fn displace_other_form(entries: &mut BTreeMap<String, Node>, key: &str) {
    let other = key.strip_suffix("_file").map_or_else(|| format!("{key}_file"), str::to_owned);
    if entries.get(&other).is_some_and(|node| matches!(node.origin, Origin::Line(_))) {
        entries.remove(&other);
    }
}
