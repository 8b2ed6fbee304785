//! Forms: one question at a time, then what will happen, then a plain yes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::compose::{Line, Reply};
use super::outcome::{AskError, Effect, Step};
use super::owed::{self, Owed};
use super::reading;
use super::state::{Action, Form, Item, Wish};
use super::texts::Key;
use super::turn::{Turn, What, cleaned};
use super::{MENU, PERSON};
use crate::catalogue::{self, AtOnce, Field, FieldKind, Service};
use crate::render::Values;
use crate::understanding::{normalise, number};

/// How long a form waits for the next answer.
const FORM_MINUTES: u64 = 10;
/// Wrong answers to one question before a person is offered.
const TRIES_MAX: u8 = 2;
/// Choices that one question offers.
const OPTIONS_MAX: usize = 10;

const YES: [&str; 18] = [
    "是",
    "是的",
    "对",
    "好",
    "好的",
    "可以",
    "确认",
    "确定",
    "同意",
    "要",
    "ok",
    "yes",
    "行",
    "没错",
    "没问题",
    "确认办理",
    "确定办理",
    "办吧",
];
const NO: [&str; 7] = ["否", "不", "不是", "不要", "不同意", "no", "不行"];

impl<'a> Turn<'a> {
    pub(super) fn open_form(mut self, service: &Service, wish: Wish) -> Step {
        let id = format!("{}-{}", self.scene.now.0, service.id());
        let opened = self.scene.now;
        let words = |name: &String| wish.chosen.get(name).cloned().unwrap_or_default();
        let chosen = wish.given.keys().map(|name| (name.clone(), words(name))).collect();
        let (choices, done) = (BTreeMap::new(), BTreeSet::new());
        self.state.form = Some(Form { id, wish, chosen, choices, tries: 0, opened, done, person: false });
        self.read_ahead(service);
        self.next_question(service)
    }

    /// Drops a form that was left alone too long, and says so.
    pub(super) fn expire_form(&mut self) {
        let now = self.scene.now;
        self.state.aside.take_if(|form| now.since(form.opened) > Duration::from_secs(FORM_MINUTES * 60));
        let left = |form: &Form| self.scene.now.since(form.opened) > Duration::from_secs(FORM_MINUTES * 60);
        let Some(form) = self.state.form.take_if(|form| left(form)) else { return };
        self.forget_lists();
        let mut values = self.form_values(&form);
        values.set("minutes", &json!(FORM_MINUTES));
        let expired = self.say(Key::form_expired, &values);
        self.before.push(expired);
    }

    /// Leaves the open form for something else, and says so. One that did something already is over.
    pub(super) fn put_form_aside(&mut self) {
        let Some(form) = self.state.form.take() else { return };
        let key = if form.done.is_empty() { Key::form_aside } else { Key::form_left };
        let left = self.say(key, &self.form_values(&form));
        self.before.push(left);
        self.state.aside = Some(form).filter(|form| form.done.is_empty());
    }

    /// Leaves the open form.
    pub(super) fn leave_form(mut self) -> Step {
        self.forget_lists();
        let Some(form) = self.state.form.take() else { return self.fixed(Key::nothing_to_leave, &[MENU]) };
        let (body, next) = (self.say(Key::form_left, &self.form_values(&form)), self.lines(&[MENU]));
        self.done(None, Reply { body, next, ..Reply::default() })
    }

    pub(super) fn form_values(&self, form: &Form) -> Values {
        let mut values = self.values();
        let label = self.dialogue.catalogue.get(&form.wish.service).map_or("", Service::label);
        values.set_text("service", label);
        values.set("given", &json!(form.wish.given));
        values.set("chosen", &json!(form.chosen));
        values
    }

    /// Asks what is still open, or what will happen, or submits.
    pub(super) fn next_question(self, service: &Service) -> Step {
        let (Some(form), Some(asks)) = (&self.state.form, &service.manifest.form) else {
            return self.not_understood();
        };
        if let Some((name, at_once)) = due_at_once(form, asks) {
            return match self.params(service, &at_once.params, &self.form_values(form)) {
                Ok(params) => {
                    let (operation, params) = (at_once.operation.get_ref(), Value::Object(params));
                    self.call(operation, params, true, None, What::AtOnce(name))
                }
                Err(error) => self.failed_form(service, error),
            };
        }
        if let Some(field) = open_field(form, asks) {
            return match &field.options_from {
                Some(from) => match self.params(service, &from.params, &self.form_values(form)) {
                    Ok(params) => {
                        let params = Value::Object(params);
                        self.call(from.operation.get_ref(), params, false, None, What::Options)
                    }
                    Err(error) => self.failed_form(service, error),
                },
                None => {
                    let choices = self.fixed_choices(field);
                    self.question(service, choices)
                }
            };
        }
        match &asks.confirm {
            Some(_) => {
                let choices = self.confirm_choices();
                self.question(service, choices)
            }
            None => self.submit(service),
        }
    }

    /// Puts the present question, or what will happen, once its facts are known.
    fn question(self, service: &Service, rows: Vec<Line>) -> Step {
        let (Some(form), Some(asks)) = (&self.state.form, &service.manifest.form) else {
            return self.not_understood();
        };
        let choices: Vec<Item> = rows.into_iter().map(|line| line.item).collect();
        let Some(facts) = &asks.facts else { return self.ask_with_facts(service, choices) };
        match self.params(service, &facts.params, &self.form_values(form)) {
            Ok(params) => {
                let params = Value::Object(params);
                self.call(facts.operation.get_ref(), params, false, None, What::Facts(choices))
            }
            Err(error) => self.failed_form(service, error),
        }
    }

    /// Says the present question, or what will happen.
    pub(super) fn ask_with_facts(mut self, service: &Service, choices: Vec<Item>) -> Step {
        self.forget_lists();
        let (Some(form), Some(asks)) = (&self.state.form, &service.manifest.form) else {
            return self.not_understood();
        };
        let template = open_field(form, asks).map(|field| &field.prompt).or(asks.confirm.as_ref());
        let Some(template) = template else { return self.not_understood() };
        let mut values = self.form_values(form);
        if let Some(facts) = &self.facts {
            values.set("facts", facts);
        }
        let rows = choices.into_iter().map(|item| Line { item, service: None }).collect();
        match self.fill(service, template, &values) {
            Ok(body) => self.done(Some(service.id()), Reply { body, rows, ..Reply::default() }),
            Err(error) => self.failed_form(service, error),
        }
    }

    fn fixed_choices(&self, field: &Field) -> Vec<Line> {
        let words = |key| self.say(key, &self.values());
        match field.kind {
            FieldKind::Text | FieldKind::Month | FieldKind::Date | FieldKind::Phone | FieldKind::Hours => {
                Vec::new()
            }
            FieldKind::YesNo => vec![
                line(words(Key::yes_label), Action::Value("true".to_owned())),
                line(words(Key::no_label), Action::Value("false".to_owned())),
            ],
            FieldKind::Choice | FieldKind::Amount | FieldKind::Count => field
                .options
                .iter()
                .map(|option| line(option.label.clone(), Action::Value(option.value.clone())))
                .collect(),
        }
    }

    fn confirm_choices(&self) -> Vec<Line> {
        let words = |key| self.say(key, &self.values());
        vec![line(words(Key::confirm_label), Action::Confirm), line(words(Key::cancel_label), Action::Leave)]
    }

    /// The choices that an operation gave.
    pub(super) fn offer_options(mut self, service: &Service, result: &Value) -> Step {
        let field = match (&self.state.form, &service.manifest.form) {
            (Some(form), Some(asks)) => open_field(form, asks),
            _ => None,
        };
        let Some((field, from)) = field.and_then(|field| Some((field, field.options_from.as_ref()?))) else {
            return self.not_understood();
        };
        let rows = result[from.list.get_ref().as_str()].as_array().cloned().unwrap_or_default();
        if rows.len() < usize::try_from(from.fewest).unwrap_or(usize::MAX) {
            return match &from.too_few {
                Some(too_few) => self.too_few(service, too_few, result),
                None => self.take_value(String::new(), String::new()),
            };
        }
        let choice = |row: &Value| {
            let mut values = self.values();
            values.set("row", row);
            let mut choice = line(
                self.fill(service, &from.label, &values)?,
                Action::Value(self.fill(service, &from.value, &values)?),
            );
            if let Some(note) = &from.note {
                choice.item.note = Some(self.fill(service, note, &values)?).filter(|note| !note.is_empty());
            }
            Ok(choice)
        };
        match rows.iter().take(OPTIONS_MAX).map(choice).collect::<Result<Vec<Line>, AskError>>() {
            Ok(mut choices) => {
                self.keep_choices(field, &choices);
                match choices.pop_if(|_| from.only && rows.len() == 1) {
                    Some(Line { item: Item { label, action: Action::Value(value), .. }, .. }) => {
                        self.take_value(value, label)
                    }
                    _ => match self.hinted(field, &choices) {
                        Some((value, label)) => self.take_value(value, label),
                        None => self.question(service, choices),
                    },
                }
            }
            Err(error) => self.failed_form(service, error),
        }
    }

    fn too_few(mut self, service: &Service, too_few: &catalogue::Template, result: &Value) -> Step {
        self.call_person(service);
        self.state.form = None;
        let mut values = self.values();
        values.extend(result);
        match self.fill(service, too_few, &values) {
            Ok(body) => {
                let next = self.next(service);
                self.done(Some(service.id()), Reply { body, next, ..Reply::default() })
            }
            Err(error) => self.failed_form(service, error),
        }
    }

    pub(super) fn failed_form(mut self, service: &Service, error: AskError) -> Step {
        self.call_person(service);
        self.state.form = None;
        self.forget_lists();
        self.failed(service, error)
    }

    /// What was written while a form is open. `None`: it is no answer to the question.
    pub(super) fn form_answer(&self, text: &str) -> Option<Action> {
        let asked = self.state.form.as_ref().and_then(|form| {
            let service = self.dialogue.catalogue.get(&form.wish.service)?;
            open_field(form, service.manifest.form.as_ref()?)
        });
        let is_free = asked.is_some_and(|field| field.kind == FieldKind::Text);
        if !is_free && reading::is_negative(text) {
            return None;
        }
        let plain = normalise(text);
        let offered = &self.state.offered;
        if let Some(item) = offered.iter().find(|item| normalise(&item.label) == plain) {
            return Some(item.action.clone());
        }
        // Where it waits for a yes, 第二笔 is no word for the second line, which says no.
        let place = number(&plain).filter(|_| asked.is_some() || reading::counted_by(text).is_none());
        if let Some(item) = place.and_then(|number| offered.get(number.checked_sub(1)?)) {
            return Some(item.action.clone());
        }
        let find = |wanted: &Action| offered.iter().map(|item| &item.action).find(|action| *action == wanted);
        let value = |value: &str| Action::Value(value.to_owned());
        if YES.contains(&plain.as_str()) {
            return find(&Action::Confirm).or(find(&value("true"))).cloned();
        }
        if NO.contains(&plain.as_str()) {
            return find(&Action::Leave).or(find(&value("false"))).cloned();
        }
        let field = asked?;
        if let Some(value) = self.read(field, text, false) {
            return Some(Action::Value(value));
        }
        if let Some(item) = reading::line(text, offered) {
            return Some(item.action.clone());
        }
        let fits = |most: u32| text.chars().count() <= usize::try_from(most).unwrap_or(0);
        let most = *field.characters_max.as_ref()?.get_ref();
        let text = cleaned(text);
        (field.kind == FieldKind::Text && !text.is_empty() && fits(most)).then_some(Action::Value(text))
    }

    /// Takes an answer to the present question.
    pub(super) fn take_value(mut self, value: String, label: String) -> Step {
        let Some(form) = &mut self.state.form else { return self.not_understood() };
        let Some(service) = self.dialogue.catalogue.get(&form.wish.service) else {
            return self.not_understood();
        };
        let Some(field) = service.manifest.form.as_ref().and_then(|asks| open_field(form, asks)) else {
            return self.not_understood();
        };
        form.wish.given.insert(field.name.get_ref().clone(), value);
        form.chosen.insert(field.name.get_ref().clone(), label);
        form.tries = 0;
        form.opened = self.scene.now;
        self.next_question(service)
    }

    /// Asks again, politely, twice; then a person is offered.
    pub(super) fn wrong_answer(mut self) -> Step {
        let Some(form) = &mut self.state.form else { return self.not_understood() };
        form.tries += 1;
        if form.tries > TRIES_MAX {
            let form = form.clone();
            self.state.form = None;
            self.forget_lists();
            let body = self.say(Key::form_given_up, &self.form_values(&form));
            let next = self.lines(&[PERSON, MENU]);
            return self.done(None, Reply { body, next, ..Reply::default() });
        }
        let id = form.wish.service.clone();
        let field = self
            .dialogue
            .catalogue
            .get(&id)
            .and_then(|service| open_field(self.state.form.as_ref()?, service.manifest.form.as_ref()?));
        let mut values = self.values();
        let longest = field.and_then(|field| field.characters_max.as_ref());
        values.set("characters_max", &json!(longest.map(|most| *most.get_ref())));
        values.set_text("label", self.last_label(&id));
        let key = match field.map(|field| field.kind) {
            Some(FieldKind::Text) => Key::form_too_long,
            Some(FieldKind::Amount) => Key::form_wrong_amount,
            Some(FieldKind::Hours) => Key::form_wrong_hours,
            Some(FieldKind::Count) => Key::form_wrong_count,
            Some(FieldKind::Month | FieldKind::Date) => Key::form_wrong_date,
            Some(FieldKind::Phone) => Key::form_wrong_phone,
            Some(FieldKind::Choice | FieldKind::YesNo) => Key::form_wrong,
            None => Key::form_wrong_confirm,
        };
        let body = self.say(key, &values);
        let offered = std::mem::take(&mut self.state.offered);
        let rows = offered.into_iter().map(|item| Line { item, service: None }).collect();
        self.done(Some(&id), Reply { body, rows, ..Reply::default() })
    }

    /// What the last field that can be corrected is called; empty without one.
    fn last_label(&self, service: &str) -> &'a str {
        let asks = self.dialogue.catalogue.get(service).and_then(|service| service.manifest.form.as_ref());
        let fields = asks.map(|asks| asks.fields.as_slice()).unwrap_or_default();
        let label = fields.iter().rev().find_map(|field| field.label.as_ref());
        label.map_or("", |label| label.get_ref().as_str())
    }

    /// Submits the open form. Only a form that was stored before names its call: then a repeated yes is the same one.
    pub(super) fn submit(self, service: &Service) -> Step {
        let (Some(form), Some(asks)) = (&self.state.form, &service.manifest.form) else {
            return self.not_understood();
        };
        if !self.proved(service) {
            let wish = form.clone().into_wish();
            return self.step_up_first(service, wish);
        }
        let stored = self.scene.state.form.as_ref().is_some_and(|stored| stored.id == form.id);
        let form_id = stored.then(|| form.id.clone());
        match self.params(service, &asks.params, &self.form_values(form)) {
            Ok(params) => {
                let params = Value::Object(params);
                self.call(asks.operation.get_ref(), params, true, form_id, What::Submit)
            }
            Err(error) => self.failed_form(service, error),
        }
    }

    /// What a field does at once is done: said before whatever comes next.
    pub(super) fn done_at_once(mut self, service: &Service, field: &str, result: &Value) -> Step {
        let (Some(form), Some(at_once)) = (&mut self.state.form, at_once(service, field)) else {
            return self.not_understood();
        };
        form.done.insert(field.to_owned());
        let values = owed::values(&form.wish.given, &form.chosen, result);
        let said = self.fill(service, &at_once.say, &values).and_then(|said| {
            let event = at_once.event.as_ref();
            Ok((said, event.map(|event| self.event(service, event, &values)).transpose()?))
        });
        match said {
            Ok((said, event)) => {
                self.before.push(said);
                self.effects.extend(event);
                self.call_person(service);
                self.next_question(service)
            }
            Err(error) => self.failed_form(service, error),
        }
    }

    /// The core did not do what must be done: a person takes over, and it is tried until it is done.
    pub(super) fn owed_step(mut self, service: &Service, field: Option<String>) -> Step {
        let (Some(form), Some(asks)) = (self.state.form.clone(), &service.manifest.form) else {
            return self.not_understood();
        };
        let Some(urgent) = &asks.urgent else { return self.failed_form(service, AskError::Down) };
        let (operation, params) = match field.as_deref().and_then(|field| at_once(service, field)) {
            Some(at_once) => (&at_once.operation, &at_once.params),
            None => (&asks.operation, &asks.params),
        };
        let mut values = self.form_values(&form);
        values.set("done", &json!(!form.done.is_empty()));
        let filled = self.params(service, params, &self.form_values(&form));
        let filled = filled.and_then(|params| Ok((params, self.fill(service, &urgent.down, &values)?)));
        let (params, body) = match filled {
            Ok(filled) => filled,
            Err(error) => return self.failed_form(service, error),
        };
        let operation = operation.get_ref().strip_prefix("core:").unwrap_or(operation.get_ref()).to_owned();
        let Form { wish, chosen, .. } = form;
        let owed = Owed { service: wish.service, field, operation, params, given: wish.given, chosen };
        self.effects.push(Effect::Owe { owed });
        self.before.push(body);
        self.call_person(service);
        self.state.form = None;
        self.forget_lists();
        // The last that was said ends the reply: that a person comes, where one does.
        let body = self.before.pop().unwrap_or_default();
        self.done(Some(service.id()), Reply { body, ..Reply::default() })
    }

    /// What the bank is told of something that was done.
    fn event(
        &self,
        service: &Service,
        event: &catalogue::Event,
        values: &Values,
    ) -> Result<Effect, AskError> {
        owed::event(&self.dialogue.catalogue, service, event, values).ok_or(AskError::Lied)
    }

    /// The form's operation answered.
    pub(super) fn submitted(mut self, service: &Service, result: &Value) -> Step {
        self.call_person(service);
        let (Some(form), Some(asks)) = (self.state.form.take(), &service.manifest.form) else {
            return self.not_understood();
        };
        let done = owed::values(&form.wish.given, &form.chosen, result);
        match asks.event.as_ref().map(|event| self.event(service, event, &done)).transpose() {
            Ok(event) => self.effects.extend(event),
            Err(error) => return self.failed_form(service, error),
        }
        self.forget_lists();
        let mut values = self.form_values(&form);
        values.extend(result);
        match self.fill(service, &asks.answer, &values) {
            Ok(body) => {
                let next = self.next(service);
                self.done(Some(service.id()), Reply { body, next, ..Reply::default() })
            }
            Err(error) => self.failed_form(service, error),
        }
    }

    /// Whether it happened is not known. The form stays: trying again is the same call.
    pub(super) fn unclear(mut self, service: &Service) -> Step {
        self.forget_lists();
        let mut values = self.values();
        values.set_text("service", service.label());
        let (body, rows, next) =
            (self.say(Key::unclear, &values), self.confirm_choices(), self.lines(&[PERSON]));
        self.done(Some(service.id()), Reply { body, rows, next, ..Reply::default() })
    }
}

fn line(label: String, action: Action) -> Line {
    Line { item: Item { label, note: None, action }, service: None }
}

/// The first answered field whose operation is not done yet.
fn due_at_once<'a>(form: &Form, asks: &'a catalogue::Form) -> Option<(String, &'a AtOnce)> {
    asks.fields.iter().find_map(|field| {
        let name = field.name.get_ref();
        let is_due = form.wish.given.contains_key(name) && !form.done.contains(name);
        Some((name.clone(), field.at_once.as_ref().filter(|_| is_due)?))
    })
}

/// What a field of a service's form does at once.
fn at_once<'a>(service: &'a Service, field: &str) -> Option<&'a AtOnce> {
    let fields = service.manifest.form.iter().flat_map(|form| &form.fields);
    fields.filter(|asked| asked.name.get_ref() == field).find_map(|asked| asked.at_once.as_ref())
}

/// The first field without an answer.
pub(super) fn open_field<'a>(form: &Form, asks: &'a catalogue::Form) -> Option<&'a Field> {
    asks.fields.iter().find(|field| !form.wish.given.contains_key(field.name.get_ref()))
}
