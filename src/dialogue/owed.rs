//! What the core did not do although it must be done: kept, tried again elsewhere, and told once it is done.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Dialogue;
use super::outcome::Effect;
use crate::catalogue::{Catalogue, Event, Service};
use crate::render::Values;

/// An operation of the core that is owed. Sealed where it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owed {
    /// The service that wants it.
    pub service: String,
    /// The field that does it at once; `None`: the form as a whole.
    pub field: Option<String>,
    /// Its name at the core.
    pub operation: String,
    /// Its params.
    pub params: Map<String, Value>,
    /// What the customer said.
    pub given: BTreeMap<String, String>,
    /// The same as people read it.
    pub chosen: BTreeMap<String, String>,
}

/// What follows from an owed operation that was done at last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later {
    /// What the customer is told; `None`: the service says nothing of this alone.
    pub text: Option<String>,
    /// What the bank is told.
    pub event: Option<Effect>,
}

impl Dialogue {
    /// What to tell of an owed operation once the core has done it. What content that has changed since no longer
    /// says is not told.
    #[must_use]
    pub fn later(&self, owed: &Owed, result: &Value) -> Later {
        let nothing = Later { text: None, event: None };
        let Some(service) = self.catalogue.get(&owed.service) else { return nothing };
        let Some(form) = &service.manifest.form else { return nothing };
        let values = values(&owed.given, &owed.chosen, result);
        let at_once = form.fields.iter().filter(|field| Some(field.name.get_ref()) == owed.field.as_ref());
        let at_once = at_once.filter_map(|field| field.at_once.as_ref()).next();
        let told = at_once.and_then(|at_once| self.catalogue.render(service, &at_once.say, &values).ok());
        let event = match at_once {
            Some(at_once) => at_once.event.as_ref(),
            None => form.event.as_ref(),
        };
        Later {
            text: told,
            event: event.and_then(|event| self::event(&self.catalogue, service, event, &values)),
        }
    }
}

/// What a text sees of something that was done, now or later.
pub(super) fn values(
    given: &BTreeMap<String, String>,
    chosen: &BTreeMap<String, String>,
    result: &Value,
) -> Values {
    let mut values = Values::new();
    values.set("given", &json!(given));
    values.set("chosen", &json!(chosen));
    values.extend(result);
    values
}

/// What the bank is told of something that was done; `None`: its texts cannot be filled.
pub(super) fn event(
    catalogue: &Catalogue,
    service: &Service,
    event: &Event,
    values: &Values,
) -> Option<Effect> {
    let mut data = Map::new();
    for (name, text) in &event.data {
        data.insert(name.clone(), json!(catalogue.render(service, text, values).ok()?));
    }
    Some(Effect::Event { kind: event.kind, data })
}
