//! Reads one table key by key, notes which keys it knows, and names every other one as a fault.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::source::{Faults, Kind, Node, Origin};
use crate::domain::secret::Secret;

/// A table that is being read. `None` from a reader means: absent, or faulty and told.
pub(super) struct Section<'a> {
    path: String,
    origin: Origin,
    entries: BTreeMap<String, Node>,
    known: Vec<String>,
    faults: &'a Faults,
}

/// How a text becomes a value; the error completes the sentence "`key` …".
type Form<T> = fn(&str) -> Result<T, String>;

impl<'a> Section<'a> {
    /// The outermost table.
    pub(super) fn root(entries: BTreeMap<String, Node>, faults: &'a Faults) -> Self {
        Self { path: String::new(), origin: Origin::Line(1), entries, known: vec![], faults }
    }

    /// A setting that may be absent.
    pub(super) fn optional<T>(&mut self, key: &str, form: Form<T>) -> Option<T> {
        let node = self.take(key)?;
        self.scalar(key, node, form)
    }

    /// A setting that must be there.
    pub(super) fn required<T>(&mut self, key: &str, form: Form<T>) -> Option<T> {
        if !self.entries.contains_key(key) {
            self.missing(key);
        }
        self.optional(key, form)
    }

    /// A setting with a default.
    pub(super) fn or<T>(&mut self, key: &str, form: Form<T>, default: T) -> Option<T> {
        if self.entries.contains_key(key) {
            return self.optional(key, form);
        }
        self.known.push(key.to_owned());
        Some(default)
    }

    /// A whole number within bounds.
    pub(super) fn number(&mut self, key: &str, bounds: RangeInclusive<u64>, default: u64) -> Option<u64> {
        let Some(node) = self.take(key) else { return Some(default) };
        let number = match &node.kind {
            Kind::Integer(text) => text.replace('_', "").parse().ok(),
            Kind::Text(text) if matches!(node.origin, Origin::Variable(_)) => text.trim().parse().ok(),
            _ => None,
        };
        let fitting = number.filter(|number| bounds.contains(number));
        if fitting.is_none() {
            let (least, most) = bounds.into_inner();
            self.fault(&node.origin, key, &format!("must be a whole number from {least} to {most}"));
        }
        fitting
    }

    /// A list of texts; a single text counts as a list of one, and a variable may hold several with commas.
    pub(super) fn list<T>(&mut self, key: &str, form: Form<T>) -> Option<Vec<T>> {
        let Some(node) = self.take(key) else { return Some(vec![]) };
        let nodes = match node.kind {
            Kind::Array(items) => items,
            Kind::Text(text) if matches!(node.origin, Origin::Variable(_)) => text
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| Node { origin: node.origin.clone(), kind: Kind::Text(part.to_owned()) })
                .collect(),
            kind => vec![Node { origin: node.origin, kind }],
        };
        let read: Vec<Option<T>> = nodes.into_iter().map(|item| self.scalar(key, item, form)).collect();
        read.into_iter().collect()
    }

    /// A secret that must be there, as `key` or as `key_file`.
    pub(super) fn required_secret(&mut self, key: &str, form: Form<Secret>) -> Option<Secret> {
        if !self.has_secret(key) {
            self.missing(key);
        }
        self.secret(key, form)
    }

    /// A secret that may be absent.
    pub(super) fn secret(&mut self, key: &str, form: Form<Secret>) -> Option<Secret> {
        if let Some((text, origin)) = self.secret_file(key) {
            let node = Node { origin, kind: Kind::Text(text) };
            return self.scalar(key, node, form);
        }
        self.optional(key, form)
    }

    /// Several secrets: a list, or a file with one in each line.
    pub(super) fn secrets(&mut self, key: &str, form: Form<Secret>) -> Option<Vec<Secret>> {
        if let Some((text, origin)) = self.secret_file(key) {
            let line = |line: &str| Node { origin: origin.clone(), kind: Kind::Text(line.trim().to_owned()) };
            let items = text.lines().filter(|line| !line.trim().is_empty()).map(line).collect();
            self.entries.insert(key.to_owned(), Node { origin, kind: Kind::Array(items) });
        }
        self.list(key, form)
    }

    /// Whether the secret stands there in either form.
    pub(super) fn has_secret(&self, key: &str) -> bool {
        self.entries.contains_key(key) || self.entries.contains_key(&format!("{key}_file"))
    }

    /// A table inside this one; an absent one reads as empty.
    pub(super) fn table(&mut self, key: &str) -> Self {
        let (origin, entries) = match self.take(key) {
            Some(Node { origin, kind: Kind::Table(entries) }) => (origin, entries),
            Some(node) => {
                self.fault(&node.origin, key, "must be a table");
                (node.origin, BTreeMap::new())
            }
            None => (self.origin.clone(), BTreeMap::new()),
        };
        Self { path: self.inside(key), origin, entries, known: vec![], faults: self.faults }
    }

    /// The tables of `[[key]]`.
    pub(super) fn tables(&mut self, key: &str) -> Vec<Self> {
        let items = match self.take(key) {
            Some(Node { kind: Kind::Array(items), .. }) => items,
            Some(node) => {
                self.fault(&node.origin, key, &format!("must be written as [[{key}]]"));
                vec![]
            }
            None => vec![],
        };
        let mut sections = vec![];
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("{}[{index}]", self.inside(key));
            match item.kind {
                Kind::Table(entries) => sections.push(Self {
                    path,
                    origin: item.origin,
                    entries,
                    known: vec![],
                    faults: self.faults,
                }),
                _ => self.faults.add(&item.origin, format!("`{path}` must be a table")),
            }
        }
        sections
    }

    /// Whether the key stands there; it then counts as known.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// The keys that are left, for tables whose keys are free or come from a list.
    pub(super) fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Allows a key without reading it.
    pub(super) fn know(&mut self, keys: &[&str]) {
        self.known.extend(keys.iter().map(|key| (*key).to_owned()));
    }

    /// A fault of this section as a whole.
    pub(super) fn fault_here(&self, message: &str) {
        self.faults.add(&self.origin, message);
    }

    /// Where a setting stands, to be asked before it is read.
    pub(super) fn place_of(&self, key: &str) -> Option<Origin> {
        self.entries.get(key).map(|node| node.origin.clone())
    }

    /// A fault of a setting that was read; without its place, of the section.
    pub(super) fn fault_at(&self, place: Option<&Origin>, key: &str, why: &str) {
        self.fault(place.unwrap_or(&self.origin), key, why);
    }

    /// Ends the reading: whatever is left is unknown.
    pub(super) fn close(self) {
        for (key, node) in &self.entries {
            let place = if self.path.is_empty() {
                "at the top level".to_owned()
            } else {
                format!("in {}", self.path)
            };
            let nearest = self.known.iter().min_by_key(|known| strsim::osa_distance(key, known));
            let hint =
                nearest.map_or_else(String::new, |nearest| format!("; the nearest known key is `{nearest}`"));
            self.faults.add(&node.origin, format!("unknown key `{key}` {place}{hint}"));
        }
    }

    fn take(&mut self, key: &str) -> Option<Node> {
        self.known.push(key.to_owned());
        self.entries.remove(key)
    }

    fn scalar<T>(&self, key: &str, node: Node, form: Form<T>) -> Option<T> {
        let refused = match node.kind {
            Kind::Text(text) => match form(&text) {
                Ok(value) => return Some(value),
                Err(why) => why,
            },
            Kind::Integer(_) => "must be a text in quotes, not a number".to_owned(),
            Kind::Table(_) => "must be a text in quotes, not a table".to_owned(),
            Kind::Array(_) => "must be one text in quotes, not a list".to_owned(),
            Kind::Other(what) => format!("must be a text in quotes, not {what}"),
        };
        self.fault(&node.origin, key, &refused);
        None
    }

    /// Takes `key_file` and reads the file it names; white space around the secret does not count.
    fn secret_file(&mut self, key: &str) -> Option<(String, Origin)> {
        let file_key = format!("{key}_file");
        let origin = self.entries.get(&file_key).map(|node| node.origin.clone());
        let path = self.optional(&file_key, |text| Ok(text.to_owned()))?;
        let origin = origin?;
        if self.entries.contains_key(key) {
            self.fault(&origin, &file_key, &format!("is given besides `{key}`; give one of them"));
            return None;
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => Some((text.trim().to_owned(), origin)),
            Err(error) => {
                self.fault(&origin, &file_key, &format!("cannot be read: {path}: {error}"));
                None
            }
        }
    }

    fn missing(&self, key: &str) {
        self.faults.add(&self.origin, format!("missing key `{}`", self.inside(key)));
    }

    fn fault(&self, origin: &Origin, key: &str, why: &str) {
        self.faults.add(origin, format!("`{}` {why}", self.inside(key)));
    }

    fn inside(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}
