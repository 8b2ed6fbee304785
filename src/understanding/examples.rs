//! What customers say, as staff collect it: `examples/*.txt`, one sentence a line under its service's id.

use std::collections::BTreeMap;

use super::normalise;
use crate::content::{Content, Fault};

/// Most examples of a deployment.
const EXAMPLES_MAX: usize = 50_000;
/// Longest example, in characters.
const CHARACTERS_MAX: usize = 200;

/// A sentence that means a service, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// The sentence.
    pub text: String,
    /// Its file, as the author knows it.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
}

/// Examples by the id of what they mean.
#[derive(Clone, Debug, Default)]
pub struct Examples(BTreeMap<String, Vec<Example>>);

impl Examples {
    /// Reads `examples/*.txt`: `[id]` begins a section, `#` a remark, every other line is an example. Sections of the
    /// same id, in one file or several, are one.
    ///
    /// # Errors
    /// Every line that cannot be an example.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let mut examples = Self::default();
        let mut faults = Vec::new();
        let mut total = 0;
        for (path, file) in content.below("examples").filter(|(path, _)| path.ends_with(".txt")) {
            let mut id: Option<&str> = None;
            for (at, line) in file.text.lines().map(str::trim).enumerate() {
                let mut fault = |message: String| faults.push(Fault::new(&file.origin, at + 1, message));
                if line.is_empty() || line.starts_with('#') {
                    continue;
                }
                if let Some(section) = section(line) {
                    id = Some(section);
                    continue;
                }
                total += 1;
                match id {
                    None => fault("an example needs a [service_id] on a line above it".to_owned()),
                    Some(_) if normalise(line).is_empty() => {
                        fault(format!("{line:?} has no letter that could be recognised"));
                    }
                    Some(_) if line.chars().count() > CHARACTERS_MAX => {
                        fault(format!("an example has at most {CHARACTERS_MAX} characters"));
                    }
                    Some(_) if total > EXAMPLES_MAX => {
                        fault(format!("more than {EXAMPLES_MAX} examples, at {path}"));
                        return Err(faults);
                    }
                    Some(id) => examples.0.entry(id.to_owned()).or_default().push(Example {
                        text: line.to_owned(),
                        file: file.origin.clone(),
                        line: at + 1,
                    }),
                }
            }
        }
        if faults.is_empty() { Ok(examples) } else { Err(faults) }
    }

    /// The examples of each id.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (String, Vec<Example>)> {
        self.0.into_iter()
    }
}

/// The id of a line that begins a section.
fn section(line: &str) -> Option<&str> {
    let id = line.strip_prefix('[')?.strip_suffix(']')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!id.is_empty() && id.bytes().all(plain)).then_some(id)
}
