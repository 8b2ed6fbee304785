//! Reads: what is asked of an operation, the part of a long list that is shown, and its rows as numbered lines.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compose::{Line, Reply};
use super::outcome::{AskError, Step};
use super::scene::Said;
use super::state::{Action, Item, Wish};
use super::texts::Key;
use super::turn::{GIVEN_CHARACTERS_MAX, Turn, What};
use super::{MENU, PERSON};
use crate::catalogue::{Lookup, Pick, RowsBy, Service};

/// A value by which a lookup says that it wants to know where he is.
const POSITION: &str = "position";
/// The district or city that he names instead.
const PLACE: &str = "place";

fn accepts(service: &Service, name: &str) -> bool {
    let lookup = service.manifest.lookup.iter();
    lookup.flat_map(|lookup| &lookup.accepts).any(|accepted| accepted.get_ref() == name)
}

impl Turn<'_> {
    /// Takes the district or city that he names with his wish.
    pub(super) fn read_place(&self, service: &Service, wish: &mut Wish) {
        let text = match self.scene.said {
            Said::Text { text, .. } | Said::Voice { recognition: Some(text) } => text.reveal(),
            _ => return,
        };
        if accepts(service, PLACE)
            && !wish.given.contains_key(POSITION)
            && let Some(place) = self.dialogue.places.named(text)
        {
            wish.given.insert(PLACE.to_owned(), place.to_owned());
        }
    }

    /// A place that was sent: for the service that was asked last, if it wants to know where he is, else for the first
    /// that does.
    pub(super) fn at_place(mut self, position: &str) -> Step {
        let catalogue = &self.dialogue.catalogue;
        let last = self.state.last_service.as_deref().and_then(|id| catalogue.get(id));
        let wanting = last.filter(|service| accepts(service, POSITION));
        let Some(service) = wanting.or_else(|| catalogue.iter().find(|service| accepts(service, POSITION)))
        else {
            return self.fixed(Key::location, &[MENU, PERSON]);
        };
        self.put_form_aside();
        let given = BTreeMap::from([(POSITION.to_owned(), position.to_owned())]);
        self.start(Wish { given, ..Wish::of(service.id()) })
    }

    /// The list of places shown last, for another district or city.
    pub(super) fn elsewhere(&self, text: &str) -> Option<Wish> {
        let wish = self.state.listed.as_ref()?;
        let service = self.dialogue.catalogue.get(&wish.service).filter(|service| accepts(service, PLACE))?;
        let place = self.dialogue.places.named(text)?.to_owned();
        Some(Wish { given: BTreeMap::from([(PLACE.to_owned(), place)]), ..Wish::of(service.id()) })
    }

    pub(super) fn lookup(self, service: &Service, lookup: &Lookup, mut wish: Wish) -> Step {
        let accepted = |name: &str| lookup.accepts.iter().any(|accepted| accepted.get_ref() == name);
        wish.given.retain(|name, value| accepted(name) && value.chars().count() <= GIVEN_CHARACTERS_MAX);
        let mut params = match self.params(service, &lookup.params, &self.values()) {
            Ok(params) => params,
            Err(step) => return self.failed(service, step),
        };
        params.extend(wish.given.iter().map(|(name, value)| (name.clone(), json!(value))));
        if let Some(rows) = lookup.rows.as_ref().filter(|rows| rows.by == RowsBy::Core) {
            let size = *rows.size.get_ref();
            params.insert("page".to_owned(), json!(wish.shown / size + 1));
            params.insert("page_size".to_owned(), json!(size));
        }
        self.call(lookup.operation.get_ref(), Value::Object(params), false, None, What::Lookup(wish))
    }

    pub(super) fn show(mut self, service: &Service, wish: Wish, mut result: Value) -> Step {
        let Some(lookup) = &service.manifest.lookup else { return self.failed(service, AskError::Lied) };
        let (rows, has_more) = part(lookup, &wish, &mut result);
        let mut values = self.values();
        values.extend(&result);
        values.set("given", &json!(wish.given));
        values.set("shown", &json!(wish.shown));
        values.set("has_more", &json!(has_more));
        if let Some(page) = service.manifest.link.as_ref().filter(|_| wants(&self, service, lookup, "link")) {
            values.set_markup("link", self.link(page));
        }
        let filled = self.fill(service, &lookup.answer, &values).and_then(|body| {
            let lines = lookup.pick.as_ref().map_or(Ok(Vec::new()), |pick| self.rows(service, pick, &rows));
            Ok((body, lines?))
        });
        let (body, rows) = match filled {
            Ok(filled) => filled,
            Err(error) => return self.failed(service, error),
        };
        let mut hints = Vec::new();
        if has_more {
            hints.push(self.say(Key::more, &self.values()));
        }
        if let Some(words) = lookup.filter.values().next().filter(|_| !lookup.filter.is_empty()) {
            let mut values = self.values();
            values.set_text("words", words.get_ref());
            hints.push(self.say(Key::filter, &values));
        }
        if let Some(page) = &lookup.page {
            let address = self.scene.links.page(*page.page.get_ref());
            hints.push(crate::wechat::text::link(&address, page.label.get_ref()));
        }
        if lookup.rows.is_some() {
            let size = lookup.rows.as_ref().map_or(0, |rows| *rows.size.get_ref());
            self.state.more = has_more.then(|| Wish { shown: wish.shown + size, ..wish.clone() });
            self.state.listed = Some(Wish { shown: 0, ..wish });
        }
        let next = self.next(service);
        self.done(Some(service.id()), Reply { body, rows, hints, next, ..Reply::default() })
    }

    fn rows(&self, service: &Service, pick: &Pick, rows: &[Value]) -> Result<Vec<Line>, AskError> {
        let line = |row: &Value| {
            let mut values = self.values();
            values.set("row", row);
            let mut given = BTreeMap::new();
            for (name, template) in &pick.given {
                given.insert(name.clone(), self.fill(service, template, &values)?);
            }
            let note = match &pick.note {
                Some(note) => Some(self.fill(service, note, &values)?),
                None => None,
            };
            let opens = match (&pick.service, &pick.by) {
                (Some(service), _) => Some(service),
                (None, Some(by)) => pick.services.get(&self.fill(service, by, &values)?),
                (None, None) => None,
            };
            let Some(opens) = opens else { return Ok(None) };
            let wish = Wish { given, card: self.state.card.clone(), ..Wish::of(opens.get_ref()) };
            let label = self.fill(service, &pick.label, &values)?;
            Ok(Some(Line { item: Item { label, note, action: Action::Start(wish) }, service: None }))
        };
        rows.iter().filter_map(|row| line(row).transpose()).collect()
    }
}

fn wants(turn: &Turn<'_>, service: &Service, lookup: &Lookup, name: &str) -> bool {
    turn.dialogue.catalogue.wants(service, &lookup.answer, name)
}

/// The part of a long list that this message shows, and whether there is more.
fn part(lookup: &Lookup, wish: &Wish, result: &mut Value) -> (Vec<Value>, bool) {
    let Some(rows) = &lookup.rows else { return (Vec::new(), false) };
    let size = usize::try_from(*rows.size.get_ref()).unwrap_or(1);
    let page = |name: &str| result[name].as_u64().unwrap_or(0);
    let more_pages = page("page") < page("pages");
    let Some(list) = result[rows.list.get_ref().as_str()].as_array_mut() else { return (Vec::new(), false) };
    let has_more = match rows.by {
        RowsBy::Core => more_pages,
        RowsBy::House => {
            let shown = usize::try_from(wish.shown).unwrap_or(0).min(list.len());
            list.drain(..shown);
            list.len() > size
        }
    };
    list.truncate(size);
    (list.clone(), has_more)
}
