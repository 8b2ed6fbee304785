//! Services as loaded: manifests with their texts compiled, checked against the operations that they call.
//! A faulty set is refused as a whole, with file and line of every fault.

mod checks;
mod elsewhere;
mod knowledge;
mod load;
mod manifest;
pub mod samples;
mod words;

use std::collections::BTreeMap;
use std::fmt;

use crate::bank::{Effect, Operation, Operations};
use crate::content::{Content, Fault, File};
use crate::render::{TextFault, Texts, Values};
use crate::understanding::{Class, Example};

pub use knowledge::Entry;
pub use manifest::{
    Answer, AtOnce, Choice, Direction, Escalate, Event, EventKind, Facts, Field, FieldKind, Form, Link,
    Lookup, Manifest, OptionsFrom, Page, PageLine, Pick, Picture, Rows, RowsBy, Template, Urgent,
};
pub use words::words;

pub use crate::domain::step_up::Proof;

/// Most services that one reply offers.
pub const NEXT_MAX: usize = 9;

/// One service.
#[derive(Clone, Debug)]
pub struct Service {
    /// What its file says.
    pub manifest: Manifest,
    file: File,
    runs: bool,
    entry: Option<Entry>,
}

impl Service {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.manifest.id.get_ref()
    }

    /// Its name in lists.
    #[must_use]
    pub fn label(&self) -> &str {
        self.manifest.label()
    }

    /// Whether the follower must be bound.
    #[must_use]
    pub fn needs_binding(&self) -> bool {
        *self.manifest.binding.get_ref()
    }

    /// Whether it is done here. If not, it is recognised and answered with where it is done.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.runs
    }

    /// What stands beside its text, if it is an entry of the knowledge base.
    #[must_use]
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// The file it stands in, for whoever finds a fault later.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Where a fault of one of its texts stands.
    #[must_use]
    pub fn text_fault(&self, template: &Template, fault: &TextFault) -> Fault {
        let start = template.span().start;
        let block = self.file.text.get(start..).is_some_and(|text| text.starts_with("\"\"\"\n"));
        let line = crate::content::line_of(&self.file.text, start) + usize::from(block) + fault.line - 1;
        Fault::new(&self.file.origin, line, format!("{} (column {})", fault.message, fault.column))
    }

    /// Sentences of its file that mean it, with their places.
    fn examples(&self) -> Vec<Example> {
        let examples = self.manifest.examples.iter().map(|example| Example {
            text: example.get_ref().clone(),
            file: self.file.origin.clone(),
            line: crate::content::line_of(&self.file.text, example.span().start),
        });
        examples.collect()
    }

    /// The name under which one of its texts is compiled.
    fn text_name(&self, template: &Template) -> String {
        format!("{}@{}", self.id(), template.span().start)
    }
}

/// All services of a deployment, with the operations that they may call.
pub struct Catalogue {
    services: BTreeMap<String, Service>,
    texts: Texts,
    core: Operations,
    house: Operations,
}

impl fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Catalogue({} services)", self.services.len())
    }
}

impl Catalogue {
    /// Reads `services/**.toml`, `elsewhere/*.toml` and `knowledge/*.md`. `house` are the operations that this program
    /// answers itself.
    ///
    /// # Errors
    /// Every fault found.
    pub fn load(content: &Content, core: Operations, house: Operations) -> Result<Self, Vec<Fault>> {
        load::load(content, core, house)
    }

    /// The service with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Service> {
        self.services.get(id)
    }

    /// All services, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// The operation that a manifest names as `core:name` or `house:name`.
    #[must_use]
    pub fn operation(&self, name: &str) -> Option<&Operation> {
        match name.split_once(':')? {
            ("core", name) => self.core.get(name),
            ("house", name) => self.house.get(name),
            _ => None,
        }
    }

    /// Fills one of a service's texts.
    ///
    /// # Errors
    /// When a value is missing or does not fit; checked content meets its schemas' values, so then the core lied.
    pub fn render(
        &self,
        service: &Service,
        template: &Template,
        values: &Values,
    ) -> Result<String, TextFault> {
        self.texts.render(&service.text_name(template), values)
    }

    /// Whether one of a service's texts uses a value of this name, or a member of it.
    #[must_use]
    pub fn wants(&self, service: &Service, template: &Template, name: &str) -> bool {
        self.texts.wants_any_of(&service.text_name(template), name)
    }

    /// What the understanding learns of the services.
    #[must_use]
    pub fn classes(&self) -> Vec<Class> {
        let texts = |list: &[toml::Spanned<String>]| -> Vec<String> {
            list.iter().map(|text| text.get_ref().clone()).collect()
        };
        self.iter()
            .map(|service| Class {
                is_entry: service.entry.is_some(),
                id: service.id().to_owned(),
                names: vec![service.manifest.name.get_ref().clone(), service.label().to_owned()],
                keywords: texts(&service.manifest.keywords),
                examples: service.examples(),
                writes: *service.manifest.effect.get_ref() == Effect::Write,
                about: match &service.entry {
                    Some(entry) => Some(entry.about.clone()),
                    None => service.manifest.part_of.as_ref().map(|whole| whole.get_ref().clone()),
                },
            })
            .collect()
    }

    /// Fills every text with examples of what the operations answer: the shortest, the longest, every code.
    #[must_use]
    pub fn try_out(&self) -> Vec<Fault> {
        let mut faults: Vec<Fault> =
            self.iter().flat_map(|service| samples::try_out(self, service)).collect();
        faults.sort();
        faults.dedup();
        faults
    }
}

#[cfg(test)]
mod tests;
