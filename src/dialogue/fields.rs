//! What a form gathers: values read ahead out of one sentence, and shown as people read them; and the form that waits
//! while something else is asked.

use super::MENU;
use super::compose::{Line, Reply};
use super::forms::open_field;
use super::outcome::Step;
use super::reading;
use super::scene::Said;
use super::state::{Action, Item, Wish};
use super::texts::Key;
use super::turn::{Turn, cleaned};
use crate::catalogue::{Field, FieldKind, Service};
use crate::domain::mask;
use crate::domain::money::Money;
use crate::understanding::normalise;

/// Longest sentence that values are looked for in, in characters.
pub(super) const HINT_CHARACTERS_MAX: usize = 80;

impl Turn<'_> {
    /// Keeps what he said with his wish, and takes the card and the month that it names.
    pub(super) fn read_hint(&self, service: &Service, wish: &mut Wish) {
        let said = match self.scene.said {
            Said::Text { text, menu_item: None } | Said::Voice { recognition: Some(text) } => Some(text),
            _ => None,
        };
        if let Some(text) = said
            && wish.hint.is_empty()
            && service.manifest.form.is_some()
        {
            wish.hint = text.reveal().chars().take(HINT_CHARACTERS_MAX).collect();
        }
        if let Some(text) = said {
            self.heard_besides(service, wish, text.reveal());
        }
    }

    /// Takes the values of a form that its first sentence gave already.
    pub(super) fn read_ahead(&mut self, service: &Service) {
        let Some(asks) = &service.manifest.form else { return };
        let form = self.state.form.as_ref();
        let hint = form.map(|form| form.wish.hint.clone()).unwrap_or_default();
        // What was answered already may have been corrected since he said the sentence.
        let is_given =
            |field: &&Field| form.is_some_and(|form| form.wish.given.contains_key(field.name.get_ref()));
        let open: Vec<&Field> =
            asks.fields.iter().filter(|field| field.at_once.is_none() && !is_given(field)).collect();
        for field in open {
            if let Some(value) = self.read(field, &hint, true) {
                self.set(field, value);
            }
        }
        // Values that came with the wish are shown as they are.
        for field in &asks.fields {
            let given =
                self.state.form.as_ref().and_then(|form| form.wish.given.get(field.name.get_ref()).cloned());
            let label = given.map(|value| self.shown(field, &value));
            if let (Some(label), Some(form)) = (label, &mut self.state.form) {
                form.chosen.entry(field.name.get_ref().clone()).or_insert(label);
            }
        }
    }

    /// The value that a text gives for a field; `in_passing` only what is marked as such in a longer sentence.
    pub(super) fn read(&self, field: &Field, text: &str, in_passing: bool) -> Option<String> {
        let today = self.scene.now.beijing().date();
        match field.kind {
            FieldKind::Amount => {
                reading::amount(text, in_passing).filter(|amount| field.zero || amount != "0.00")
            }
            FieldKind::Hours => reading::hours(text),
            FieldKind::Count => reading::count(text, &field.units, in_passing).map(|count| count.to_string()),
            FieldKind::Month => reading::month(text, today),
            FieldKind::Date => reading::date(text, today),
            FieldKind::Phone => reading::phone(text),
            FieldKind::Choice if in_passing => {
                let plain = normalise(text);
                let mut said =
                    field.options.iter().filter(|option| plain.contains(&normalise(&option.label)));
                said.next().filter(|_| said.next().is_none()).map(|option| option.value.clone())
            }
            FieldKind::Choice | FieldKind::YesNo | FieldKind::Text => None,
        }
    }

    fn set(&mut self, field: &Field, value: String) {
        let label = self.shown(field, &value);
        let Some(form) = &mut self.state.form else { return };
        form.chosen.insert(field.name.get_ref().clone(), label);
        form.wish.given.insert(field.name.get_ref().clone(), value);
    }

    /// A value as people read it.
    pub(super) fn shown(&self, field: &Field, value: &str) -> String {
        if let Some(option) = field.options.iter().find(|option| option.value == value) {
            return option.label.clone();
        }
        let of_date =
            |part: usize| value.split('-').nth(part).unwrap_or_default().trim_start_matches('0').to_owned();
        match field.kind {
            FieldKind::Amount => {
                Money::parse(value, "CNY").map_or_else(|_| value.to_owned(), |money| money.display())
            }
            FieldKind::Count => format!("{value}{}", field.units.first().map_or("", String::as_str)),
            FieldKind::Month => format!("{}年{}月", of_date(0), of_date(1)),
            FieldKind::Date => format!("{}年{}月{}日", of_date(0), of_date(1), of_date(2)),
            FieldKind::Phone => mask::phone(value),
            FieldKind::Hours => reading::hours_label(value).unwrap_or_default(),
            FieldKind::Choice | FieldKind::YesNo | FieldKind::Text => cleaned(value),
        }
    }

    /// How an answer to the present question reads.
    pub(super) fn label_of(&self, action: &Action, text: &str) -> String {
        let offered = self.state.offered.iter().find(|item| item.action == *action);
        let field = || {
            let form = self.state.form.as_ref()?;
            open_field(form, self.dialogue.catalogue.get(&form.wish.service)?.manifest.form.as_ref()?)
        };
        match (offered, action) {
            (Some(item), _) => item.label.clone(),
            (None, Action::Value(value)) => {
                field().map_or_else(|| cleaned(text), |field| self.shown(field, value))
            }
            (None, _) => cleaned(text),
        }
    }

    /// The choice that his first sentence named already, with how it reads.
    pub(super) fn hinted(&self, field: &Field, choices: &[Line]) -> Option<(String, String)> {
        let form = self.state.form.as_ref()?;
        if form.wish.hint.is_empty() || field.at_once.is_some() {
            return None;
        }
        // The words that name the service itself name none of its choices.
        let service = self.dialogue.catalogue.get(&form.wish.service)?;
        let mut names: Vec<&str> =
            service.manifest.keywords.iter().map(|word| word.get_ref().as_str()).collect();
        names.sort_by_key(|name| std::cmp::Reverse(name.chars().count()));
        let said = names.iter().fold(form.wish.hint.clone(), |said, name| said.replace(name, " "));
        let items: Vec<Item> = choices.iter().map(|line| line.item.clone()).collect();
        let item = reading::mentioned(&said, &items)?;
        match &item.action {
            Action::Value(value) => Some((value.clone(), item.label.clone())),
            _ => None,
        }
    }

    /// Goes on with the form that was put aside.
    pub(super) fn take_up_form(mut self) -> Step {
        let Some(form) = self.state.aside.take() else { return self.fixed(Key::nothing_to_leave, &[MENU]) };
        self.state.card.clone_from(&form.wish.card);
        self.state.form = Some(form);
        self.go_on()
    }

    /// Offers the form that was put aside after whatever else was answered.
    pub(super) fn offer_return(&self, reply: &mut Reply) {
        let Some(aside) = self.state.aside.as_ref().filter(|_| self.state.form.is_none()) else { return };
        let label = self.say(Key::go_on_label, &self.form_values(aside));
        let item = Item { label, note: None, action: Action::Return };
        reply.next.push(Line { item, service: None });
    }
}
