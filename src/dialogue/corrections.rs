//! A field of a form that is corrected after it was answered, also where the last step waits for a yes: “金额改成六百”,
//! “换成24期”, “第二笔”, “换成尾号5678的卡”, “上一步”.

use super::compose::Line;
use super::fields::HINT_CHARACTERS_MAX;
use super::outcome::Step;
use super::reading;
use super::state::{Action, Form, Item};
use super::turn::{Turn, cleaned};
use crate::catalogue::{self, Field, FieldKind, Service};

const BACK: [&str; 4] = ["上一步", "返回上一步", "上一项", "改上一项"];
/// Words by which a correction is known.
const CHANGE: [&str; 7] = ["改", "换", "不对", "错了", "应该是", "不是", "还是"];
/// What stands before the new words of a field that takes free words.
const CHANGED_TO: [&str; 4] = ["改成", "改为", "换成", "应该是"];

/// Whether a text says that something is to be otherwise.
pub(super) fn says_change(plain: &str) -> bool {
    CHANGE.iter().any(|word| plain.contains(word))
}

impl Turn<'_> {
    /// Keeps the lines that are given for a question: he may name another of them later.
    pub(super) fn keep_choices(&mut self, field: &Field, lines: &[Line]) {
        let items = lines.iter().map(|line| line.item.clone()).collect();
        if let Some(form) = &mut self.state.form {
            form.choices.insert(field.name.get_ref().clone(), items);
        }
    }

    /// Whether a text corrects what was answered before; the form is then asked on.
    pub(super) fn correct(&mut self, text: &str, plain: &str) -> bool {
        let Some(form) = &self.state.form else { return false };
        let Some(service) = self.dialogue.catalogue.get(&form.wish.service) else { return false };
        let Some(asks) = &service.manifest.form else { return false };
        let answered = answered(form, asks);
        if BACK.contains(&plain) {
            return answered.last().is_some_and(|last| self.ask_anew(service, last, ""));
        }
        let named =
            |field: &Field| field.label.as_ref().is_some_and(|label| text.contains(label.get_ref().as_str()));
        let change = says_change(plain);
        let about: Vec<&Field> = answered.iter().copied().filter(|field| change && named(field)).collect();
        let among = if about.is_empty() { &answered } else { &about };
        let in_passing = about.is_empty();
        let read: Vec<(&Field, (String, String))> = among
            .iter()
            .copied()
            .filter_map(|field| Some((field, self.corrected(field, text, in_passing)?)))
            .collect();
        if read.is_empty() {
            return match about.first() {
                Some(field) => self.ask_anew(service, field, text),
                None => self.change_card(service, text),
            };
        }
        let Some(form) = &mut self.state.form else { return false };
        for (field, (value, label)) in &read {
            form.chosen.insert(field.name.get_ref().clone(), label.clone());
            form.wish.given.insert(field.name.get_ref().clone(), value.clone());
        }
        let gone: Vec<&Field> =
            read.iter().flat_map(|(field, _)| self.choose_anew(service, &value_of(field))).collect();
        // What he named besides is looked for among its new lines; 第二笔 was a line of another question.
        let hint = if reading::counted_by(text).is_none() { text } else { "" };
        if let Some(form) = self.state.form.as_mut().filter(|_| !gone.is_empty()) {
            form.wish.hint = hint.chars().take(HINT_CHARACTERS_MAX).collect();
        }
        true
    }

    /// Asks a field that was answered once more, unless what he said names one of its lines.
    fn ask_anew(&mut self, service: &Service, field: &Field, said: &str) -> bool {
        let Some(form) = &mut self.state.form else { return false };
        form.wish.given.remove(field.name.get_ref());
        form.wish.hint = said.chars().take(HINT_CHARACTERS_MAX).collect();
        self.choose_anew(service, &value_of(field));
        true
    }

    /// Asks anew what was chosen out of lines that came of a value which is otherwise now: a line may cost or mean
    /// something else, or be gone. Gives the fields.
    fn choose_anew<'s>(&mut self, service: &'s Service, value: &str) -> Vec<&'s Field> {
        let (Some(form), Some(asks)) = (&self.state.form, &service.manifest.form) else { return Vec::new() };
        let catalogue = &self.dialogue.catalogue;
        let came_of_it = |field: &&Field| {
            let mut params = field.options_from.iter().flat_map(|from| from.params.values());
            params.any(|param| catalogue.wants(service, param, value))
        };
        let was_chosen = |field: &&Field| {
            let name = field.name.get_ref();
            let value = form.wish.given.get(name).cloned().map(Action::Value);
            let lines = form.choices.get(name);
            lines.is_some_and(|lines| lines.iter().any(|line| Some(&line.action) == value.as_ref()))
        };
        let mut gone: Vec<&Field> =
            answered(form, asks).into_iter().filter(came_of_it).filter(was_chosen).collect();
        if let Some(form) = &mut self.state.form {
            form.wish.given.retain(|name, _| gone.iter().all(|field| field.name.get_ref() != name));
        }
        let further: Vec<&Field> =
            gone.iter().flat_map(|field| self.choose_anew(service, &value_of(field))).collect();
        gone.extend(further);
        gone
    }

    /// What a text gives for a field that was answered, and how that reads.
    fn corrected(&self, field: &Field, text: &str, in_passing: bool) -> Option<(String, String)> {
        let read = match field.kind {
            FieldKind::Text if !in_passing => new_words(field, text),
            _ => self.read(field, text, in_passing),
        };
        if let Some(value) = read {
            let label = self.shown(field, &value);
            return Some((value, label));
        }
        // 第二笔 is a line of the question that asked 哪一笔.
        if reading::counted_by(text).is_some_and(|counted| !field.prompt.get_ref().contains(counted)) {
            return None;
        }
        let lines = self.lines_of(field);
        let line = reading::line(text, &lines)?;
        match &line.action {
            Action::Value(value) => Some((value.clone(), line.label.clone())),
            _ => None,
        }
    }

    /// The lines that were given for a field.
    fn lines_of(&self, field: &Field) -> Vec<Item> {
        let kept = self.state.form.as_ref().and_then(|form| form.choices.get(field.name.get_ref()));
        let fixed = field.options.iter().map(|option| Item {
            label: option.label.clone(),
            note: None,
            action: Action::Value(option.value.clone()),
        });
        kept.cloned().unwrap_or_else(|| fixed.collect())
    }

    /// Goes on with another of his cards.
    fn change_card(&mut self, service: &Service, text: &str) -> bool {
        let Some(card) = self.other_card(service, text) else { return false };
        let gone = self.choose_anew(service, "card");
        if let Some(form) = &mut self.state.form {
            form.wish.card = Some(card.clone());
            if !gone.is_empty() {
                form.wish.hint.clear();
            }
        }
        self.state.card = Some(card);
        self.forget_values();
        true
    }

    /// Asks on after a correction.
    pub(super) fn go_on(mut self) -> Step {
        let Some(form) = &mut self.state.form else { return self.not_understood() };
        form.tries = 0;
        form.opened = self.scene.now;
        match self.dialogue.catalogue.get(&form.wish.service) {
            Some(service) => self.next_question(service),
            None => self.not_understood(),
        }
    }
}

/// The fields that can still be answered otherwise: what was done at once is done.
fn answered<'f>(form: &Form, asks: &'f catalogue::Form) -> Vec<&'f Field> {
    let given =
        |field: &&Field| form.wish.given.contains_key(field.name.get_ref()) && field.at_once.is_none();
    asks.fields.iter().filter(given).collect()
}

/// How texts name what was answered to a field.
fn value_of(field: &Field) -> String {
    format!("given.{}", field.name.get_ref())
}

/// The words behind 改成, for a field that takes free words.
fn new_words(field: &Field, text: &str) -> Option<String> {
    let (_, words) = CHANGED_TO.iter().find_map(|change| text.split_once(change))?;
    let words = cleaned(words.trim_start_matches([':', '：', '，', ',', ' ']));
    let most = usize::try_from(*field.characters_max.as_ref()?.get_ref()).unwrap_or(0);
    (1..=most).contains(&words.chars().count()).then_some(words)
}
