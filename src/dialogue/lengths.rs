//! Whether everything that services say fits into one message, with the longest values that the schemas allow: answers
//! and refusals, the questions of forms with their choices, and what a form is about to do. The dialogue itself is run,
//! so that warnings, numbered lines and links count too.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::Value;

use super::chat::made_up_account;
use super::forms::open_field;
use super::outcome::Outcome;
use super::state::{Action, DialogueState, Form, Wish};
use super::turn::Turn;
use super::{AskError, DeskStatus, Dialogue, Links, Of, Said, Scene, Step};
use crate::catalogue::{Field, Page, Picture, Proof, Service, Template, samples};
use crate::config::{Account, Alerts};
use crate::content::Fault;
use crate::domain::alert_settings::AlertSettings;
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::{Card, CardTail};
use crate::domain::conversation::Stage;
use crate::domain::ids::{CustomerId, FollowerKey};
use crate::domain::secret::Personal;
use crate::domain::step_up::StepUp;
use crate::domain::time::UnixMs;

/// Longest link to a page that is reckoned with, in bytes.
const LINK_BYTES: usize = 300;
/// Questions to operations before a service says something.
const ASKS_MAX: usize = 6;
/// Answers to one form, corrections aside.
const ANSWERS_MAX: usize = 16;
/// Rows of a list that is shown whole.
const ROWS_MAX: usize = 20;
/// Longest words with which the core refuses, in characters.
const MESSAGE_CHARS_MAX: usize = 200;
const NOW: UnixMs = UnixMs(1_795_312_800_000);

/// Replies that would have to be cut for WeChat.
pub(super) fn too_long(dialogue: &Dialogue) -> Vec<Fault> {
    let Ok(account) = made_up_account() else { return Vec::new() };
    let trial = Trial { dialogue, account, results: RefCell::default() };
    let mut faults = Vec::new();
    for service in dialogue.catalogue().iter() {
        let long = (0..samples::VARIANTS).find_map(|variant| trial.first_too_long(service, variant));
        faults.extend(long.map(|text| long_fault(service, text)));
    }
    faults
}

fn long_fault(service: &Service, text: &Template) -> Fault {
    let message = "with the longest values that are allowed the reply grows over WeChat's 2048 bytes; say less, \
                   show fewer rows, or shorten names with |short(n)";
    service.file().fault_at(text.span().start, message)
}

struct LongLinks;

impl Links for LongLinks {
    fn page(&self, _: Page) -> String {
        format!("https://{}", "x".repeat(LINK_BYTES))
    }

    fn step_up(&self, _: &str, _: Proof) -> String {
        format!("https://{}", "x".repeat(LINK_BYTES))
    }

    fn picture(&self, _: Picture) -> String {
        format!("https://{}", "x".repeat(LINK_BYTES))
    }
}

/// The longest results of an operation with lists of at most so many rows.
type Results = RefCell<BTreeMap<(String, usize), Rc<Vec<Value>>>>;

/// Services tried out with long values.
struct Trial<'a> {
    dialogue: &'a Dialogue,
    account: Account,
    results: Results,
}

/// Who asks.
#[derive(Clone, Copy)]
enum Asks {
    Stranger,
    Bound,
    Proved,
}

impl Trial<'_> {
    /// The first text of a service that grows too long in this variant of values.
    fn first_too_long<'s>(&self, service: &'s Service, variant: usize) -> Option<&'s Template> {
        let start = |turn: Turn<'_>| turn.start(Wish::of(service.id()));
        for asks in [Asks::Stranger, Asks::Bound, Asks::Proved] {
            let state = DialogueState::default();
            let said = self.run(service, asks, variant, &state, start, None)?;
            if said.cut {
                return shown(service, &said);
            }
            if matches!(asks, Asks::Proved)
                && let Some(text) = self.fill_in(service, variant, said)
            {
                return Some(text);
            }
        }
        // The codes are the same whatever the values are.
        if variant == 0 { self.refusal(service) } else { None }
    }

    /// Answers a form with the longest that it takes, to its end.
    fn fill_in<'s>(&self, service: &'s Service, variant: usize, begun: Outcome) -> Option<&'s Template> {
        let asks = service.manifest.form.as_ref()?;
        let mut said = begun;
        for _ in 0..ANSWERS_MAX {
            let form = said.state.form.as_ref()?;
            let state = DialogueState::from_json(&said.state.to_json().ok()?);
            let again = self.run(service, Asks::Proved, variant, &state, |turn| turn.wrong_answer(), None)?;
            if again.cut {
                return shown(service, &again);
            }
            let answer = open_field(form, asks).map(|field| longest_answer(field, &said, variant));
            let next = |turn: Turn<'_>| match answer {
                Some((value, label)) => turn.take_value(value, label),
                None => turn.submit(service),
            };
            said = self.run(service, Asks::Proved, variant, &state, next, None)?;
            if said.cut {
                return shown(service, &said);
            }
        }
        None
    }

    /// The longest words of a refusal of the service's first operation.
    fn refusal<'s>(&self, service: &'s Service) -> Option<&'s Template> {
        let manifest = &service.manifest;
        let name = manifest.lookup.as_ref().map(|lookup| &lookup.operation);
        let name = name.or(manifest.form.as_ref().map(|form| &form.operation))?;
        let state = DialogueState::default();
        for code in self.dialogue.catalogue().operation(name.get_ref())?.errors().keys() {
            let refused = AskError::Refused { code: code.clone(), message: "长".repeat(MESSAGE_CHARS_MAX) };
            let start = |turn: Turn<'_>| turn.start(Wish::of(service.id()));
            let said = self.run(service, Asks::Proved, 0, &state, start, Some(refused))?;
            if said.cut {
                let texts = manifest.lookup.as_ref().map(|lookup| (&lookup.refusals, &lookup.answer));
                let texts = texts.or(manifest.form.as_ref().map(|form| (&form.refusals, &form.answer)));
                return texts.map(|(refusals, answer)| refusals.get(code).unwrap_or(answer));
            }
        }
        None
    }

    /// Runs one turn to its end; what is asked is answered with the longest, or with a refusal.
    fn run(
        &self,
        service: &Service,
        asks: Asks,
        variant: usize,
        state: &DialogueState,
        begin: impl FnOnce(Turn<'_>) -> Step,
        refused: Option<AskError>,
    ) -> Option<Outcome> {
        let binding = long_binding().filter(|_| !matches!(asks, Asks::Stranger));
        let step_up = StepUp::new(Proof::Pin, service.id(), NOW);
        let desk = DeskStatus {
            open: variant.is_multiple_of(2),
            hours: "每天 8:00–22:00".to_owned(),
            waiting: 888,
            wait_minutes: Some(88),
        };
        let said = Said::Resumed { wish: Wish::of(service.id()) };
        let scene = Scene {
            account: &self.account,
            follower: FollowerKey::new([0; 16]),
            now: NOW,
            said: &said,
            state,
            stage: Stage::Bot,
            binding: binding.as_ref(),
            step_up: Some(&step_up).filter(|_| matches!(asks, Asks::Proved)),
            desk: &desk,
            links: &LongLinks,
            reference: "ABCD2345",
            masked: true,
            chat_window_open: true,
            silence_ceiling: Alerts::SILENCE_CEILING,
        };
        let mut step = begin(Turn::new(self.dialogue, &scene));
        for _ in 0..ASKS_MAX {
            let ask = match step {
                Step::Done(outcome) => return Some(outcome),
                Step::Ask(ask) => ask,
            };
            let of = if ask.of == Of::House { "house" } else { "core" };
            let answer = match &refused {
                Some(refused) => Err(refused.clone()),
                None => Ok(self.longest(service, &format!("{of}:{}", ask.operation), variant)?),
            };
            step = self.dialogue.proceed(&scene, ask.then, answer);
        }
        None
    }

    /// One of the longest results of an operation, as long as the service shows its lists.
    fn longest(&self, service: &Service, operation: &str, variant: usize) -> Option<Value> {
        let lookup = service.manifest.lookup.as_ref().and_then(|lookup| lookup.rows.as_ref());
        let rows_max = lookup.and_then(|rows| usize::try_from(*rows.size.get_ref()).ok());
        let rows_max = rows_max.map_or(ROWS_MAX, |rows| rows + 1);
        let key = (operation.to_owned(), rows_max);
        let found = self.results.borrow().get(&key).cloned();
        let results = match found {
            Some(results) => results,
            None => {
                let made = samples::longest(self.dialogue.catalogue().operation(operation)?, rows_max);
                let made = Rc::new(made);
                self.results.borrow_mut().insert(key, Rc::clone(&made));
                made
            }
        };
        results.get(variant % results.len().max(1)).cloned()
    }
}

/// The text that an outcome shows: the present question, what will happen, or the answer.
fn shown<'s>(service: &'s Service, said: &Outcome) -> Option<&'s Template> {
    let manifest = &service.manifest;
    if let Some(asks) = &manifest.form {
        let of_form =
            |form: &Form| open_field(form, asks).map(|field| &field.prompt).or(asks.confirm.as_ref());
        return Some(said.state.form.as_ref().and_then(of_form).unwrap_or(&asks.answer));
    }
    let text = manifest.lookup.as_ref().map(|lookup| &lookup.answer);
    let text = text.or(manifest.answer.as_ref().map(|answer| &answer.text));
    text.or(manifest.link.as_ref().map(|link| &link.text))
}

/// What fills a field most: one of the choices, each variant another, else the longest that can be typed.
fn longest_answer(field: &Field, said: &Outcome, variant: usize) -> (String, String) {
    let offered = &said.state.offered;
    let choice = offered.get(variant % offered.len().max(1));
    match choice.map(|choice| (&choice.action, &choice.label)) {
        Some((Action::Value(value), label)) => (value.clone(), label.clone()),
        _ => {
            let typed = samples::typed(field, true);
            (typed.clone(), typed)
        }
    }
}

pub(super) fn long_binding() -> Option<Binding> {
    let card = |number: usize| {
        let tail = CardTail::parse("8888").ok()?;
        Some(Card { card_id: format!("K{number}"), tail, product: "长".repeat(20) })
    };
    Some(Binding {
        customer: CustomerId::parse("C")?,
        name_masked: Personal::new("长**"),
        cards: (0..10).map(card).collect::<Option<_>>()?,
        default_card: "K0".to_owned(),
        alerts: true,
        hide_amounts: true,
        settings: AlertSettings::default(),
        bound: UnixMs(0),
        source: BindingSource::Page,
    })
}
