//! The one bounded engine for texts that staff edit: compiled once, strict about missing values, without
//! anything that multiplies text, and never an open door for what customers or the core wrote.
//!
//! A template shows values; it does not compute. So it has `if` and `for`, filters for money, dates and card
//! tails, and neither arithmetic nor assignment nor inclusion: its output is bounded by its values.

mod filters;
mod restrict;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io;

use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

/// Longest template, in bytes.
pub const TEMPLATE_BYTES_MAX: usize = 8 * 1024;
/// Longest text that a template may make, in bytes. A chat text is cut shorter later; this bounds memory.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024;
/// Steps that one rendering may take.
const FUEL_MAX: u64 = 20_000;
/// Blocks within blocks.
const DEPTH_MAX: usize = 32;

/// Words for the core's codes, by group: `transaction_type` → `purchase` → 消费.
pub type Words = BTreeMap<String, BTreeMap<String, String>>;

/// What is wrong with a template, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextFault {
    /// Line inside the template, from 1.
    pub line: usize,
    /// Column inside the line, in characters from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for TextFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {} of the text: {}", self.line, self.column, self.message)
    }
}

/// What a template is filled with: plain values, which can never become markup, and markup of our own making.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, Value>);

impl Values {
    /// No values.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a value that somebody else wrote: it is shown as text.
    pub fn set(&mut self, name: &str, value: &serde_json::Value) {
        self.0.insert(name.to_owned(), Value::from(minijinja::value::Serde(value)));
    }

    /// Adds a text that somebody else wrote.
    pub fn set_text(&mut self, name: &str, text: &str) {
        self.0.insert(name.to_owned(), Value::from(text));
    }

    /// Adds markup that we made ourselves, such as a link: it is written as it is.
    pub fn set_markup(&mut self, name: &str, markup: String) {
        self.0.insert(name.to_owned(), Value::from_safe_string(markup));
    }

    /// Adds every member of an object; anything else adds nothing.
    pub fn extend(&mut self, object: &serde_json::Value) {
        for (name, value) in object.as_object().into_iter().flatten() {
            self.set(name, value);
        }
    }
}

/// Compiled templates, by name.
pub struct Texts {
    templates: Environment<'static>,
    /// Those that show no value, as they read: most are said far more often than they are changed.
    constant: HashMap<String, String>,
}

impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Texts({})", self.templates.templates().count())
    }
}

impl Texts {
    /// No templates yet; `words` are what the filter `word` looks up.
    #[must_use]
    pub fn new(words: Words) -> Self {
        let mut templates = Environment::empty();
        templates.set_undefined_behavior(UndefinedBehavior::Strict);
        templates.set_auto_escape_callback(|_| AutoEscape::Custom("wechat".into()));
        templates.set_formatter(write_value);
        templates.set_fuel(Some(FUEL_MAX));
        templates.set_recursion_limit(DEPTH_MAX);
        templates.set_debug(true);
        filters::add(&mut templates, words);
        Self { templates, constant: HashMap::new() }
    }

    /// Compiles a template under a name; one of the same name is replaced.
    ///
    /// # Errors
    /// The first thing in it that is not understood or not allowed.
    pub fn add(&mut self, name: &str, source: &str) -> Result<(), TextFault> {
        if source.len() > TEMPLATE_BYTES_MAX {
            let message = format!("the text has {} bytes, {TEMPLATE_BYTES_MAX} are allowed", source.len());
            return Err(TextFault { line: 1, column: 1, message });
        }
        restrict::check(source, &filters::NAMES)?;
        let source = restrict::own_lines(source);
        self.constant.remove(name);
        if !source.contains('{') {
            self.constant.insert(name.to_owned(), source.trim().to_owned());
        }
        self.templates
            .add_template_owned(name.to_owned(), source.clone())
            .map_err(|error| fault(&error, &source))
    }

    /// Whether there is a template of this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.templates.get_template(name).is_ok()
    }

    /// The names that a template takes from outside, with members after a dot (`card.last4`).
    #[must_use]
    pub fn wants(&self, name: &str) -> BTreeSet<String> {
        let Ok(template) = self.templates.get_template(name) else { return BTreeSet::new() };
        template.undeclared_variables(true).into_iter().collect()
    }

    /// Whether a template takes a value of this name, or a member of it: `card`, `given.amount`.
    #[must_use]
    pub fn wants_any_of(&self, name: &str, value: &str) -> bool {
        let is_of = |wanted: &String| {
            wanted.strip_prefix(value).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.wants(name).iter().any(is_of)
    }

    /// Fills a template. White space at both ends is trimmed.
    ///
    /// # Errors
    /// A missing value, a value that a filter cannot show, or too much output.
    pub fn render(&self, name: &str, values: &Values) -> Result<String, TextFault> {
        if let Some(text) = self.constant.get(name) {
            return Ok(text.clone());
        }
        let template = self.templates.get_template(name).map_err(|error| fault(&error, ""))?;
        let mut output = Bounded(Vec::new());
        template
            .render_captured_to(Value::from_pairs(values.0.clone()), &mut output)
            .map_err(|error| fault(&error, template.source()))?;
        Ok(String::from_utf8_lossy(&output.0).trim().to_owned())
    }
}

/// Text that somebody else wrote, made safe to stand in a chat text: it can become neither a link nor the end of
/// one, nor hide or turn the text around it.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().filter(|character| is_visible(*character)).map(without_brackets).collect()
}

fn without_brackets(character: char) -> char {
    match character {
        '<' => '＜',
        '>' => '＞',
        other => other,
    }
}

/// Control characters, and those that are invisible or turn the writing direction.
fn is_visible(character: char) -> bool {
    let hidden = matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    !hidden && (character == '\n' || !character.is_control())
}

fn write_value(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    if value.is_none() || value.is_undefined() {
        let why = "the value is empty here; ask for it with {% if … %} first";
        return Err(Error::new(ErrorKind::UndefinedError, why));
    }
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let shown = value.as_str().is_some() || value.is_integer();
    if !shown {
        let why = "only texts and whole numbers can be shown; use a filter, or a member of the value";
        return Err(Error::new(ErrorKind::InvalidOperation, why));
    }
    let text = if value.is_safe() { text } else { plain(&text) };
    out.write_str(&text).map_err(Error::from)
}

/// Memory that refuses to grow beyond the bound.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other("the text grows too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn fault(error: &Error, source: &str) -> TextFault {
    let range = error.range().filter(|range| range.end <= source.len());
    let line = error.line().unwrap_or(1);
    let column = range.as_ref().map_or(1, |range| restrict::place(source, range.start).1);
    let culprit = range.and_then(|range| source.get(range)).map(str::trim).unwrap_or_default();
    let what = match error.kind() {
        ErrorKind::UndefinedError => "a value is missing".to_owned(),
        ErrorKind::OutOfFuel => "the text takes too many steps".to_owned(),
        kind => kind.to_string(),
    };
    let mut message = match error.detail() {
        Some(detail) => format!("{what}: {detail}"),
        None => what,
    };
    if !culprit.is_empty() && culprit.len() <= 80 {
        message.push_str(&format!(" ({culprit})"));
    }
    TextFault { line, column, message }
}

#[cfg(test)]
mod tests;
