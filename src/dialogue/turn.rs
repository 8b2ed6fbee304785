//! One message being decided: guards, the handler kinds, and the way back from the core.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::compose::{Line, Reply};
use super::outcome::{Ask, AskError, Effect, Of, Outcome, Say, Step, Then};
use super::scene::Scene;
use super::state::{Action, DialogueState, Form, Item, Wish};
use super::texts::Key;
use super::{Dialogue, MENU, PERSON, house};
use crate::catalogue::{Escalate, Link, Page, Picture, Proof, Service, Template};
use crate::domain::card::Card;
use crate::domain::secret::Personal;
use crate::domain::step_up::StepUp;
use crate::render::{Values, plain};
use crate::wechat::reply::Article;
use crate::wechat::text::link;

/// The code by which the core refuses what needs a one-time code first, whatever the service's file says.
const STEP_UP_REQUIRED: &str = "step_up_required";
/// Longest value that a wish may carry into an operation, in characters.
pub(super) const GIVEN_CHARACTERS_MAX: usize = 64;

/// What an answer of the core is for, with everything decided before it.
#[derive(Clone)]
pub(super) struct Purpose {
    state: DialogueState,
    effects: Vec<Effect>,
    before: Vec<String>,
    what: What,
}

/// What an answer is for.
#[derive(Clone)]
pub(super) enum What {
    /// To be shown.
    Lookup(Wish),
    /// The choices of the open form's present question.
    Options,
    /// The facts for the open form's present question, with its choices.
    Facts(Vec<Item>),
    /// What a field of the open form does at once.
    AtOnce(String),
    /// The open form was submitted.
    Submit,
}

/// One message being decided.
pub(super) struct Turn<'a> {
    pub(super) dialogue: &'a Dialogue,
    pub(super) scene: &'a Scene<'a>,
    pub(super) state: DialogueState,
    pub(super) effects: Vec<Effect>,
    /// What is said before the answer.
    pub(super) before: Vec<String>,
    /// What the open form's facts are, once they were asked for.
    pub(super) facts: Option<Value>,
    /// As [`Turn::values`], once they were asked for.
    values: OnceCell<Values>,
}

impl<'a> Turn<'a> {
    pub(super) fn new(dialogue: &'a Dialogue, scene: &'a Scene<'a>) -> Self {
        let mut turn = Self {
            dialogue,
            scene,
            state: scene.state.clone(),
            effects: Vec::new(),
            before: Vec::new(),
            facts: None,
            values: OnceCell::new(),
        };
        if scene.masked {
            let warning = turn.say(Key::masked, &turn.values());
            turn.before.push(warning);
        }
        turn
    }

    pub(super) fn resume(
        dialogue: &'a Dialogue,
        scene: &'a Scene<'a>,
        purpose: Purpose,
        answer: Result<Value, AskError>,
    ) -> Step {
        let Purpose { state, effects, before, what } = purpose;
        let (facts, values) = (None, OnceCell::new());
        Self { dialogue, scene, state, effects, before, facts, values }.with_answer(what, answer)
    }

    /// Starts a service: its guard first.
    pub(super) fn start(mut self, mut wish: Wish) -> Step {
        let Some(service) = self.dialogue.catalogue.get(&wish.service) else {
            return self.not_understood();
        };
        // What is out of date is not said; its service is there all the same.
        let outdated = service.entry().filter(|entry| !entry.is_valid(self.scene.now));
        if let Some(about) = outdated.map(|entry| entry.about.clone()) {
            return self.start(Wish::of(&about));
        }
        self.read_hint(service, &mut wish);
        self.read_place(service, &mut wish);
        self.remember(service, &wish);
        self.forget_lists();
        self.state.form = None;
        self.state.misunderstood = 0;
        if service.needs_binding() && self.scene.binding.is_none() {
            return self.bind_first(service, wish);
        }
        if !self.proved(service) {
            return self.step_up_first(service, wish);
        }
        let manifest = &service.manifest;
        match (&manifest.lookup, &manifest.link) {
            (Some(_), Some(page)) if self.scene.binding.is_none() => return self.page(service, page),
            (Some(lookup), _) => return self.lookup(service, lookup, wish),
            (None, Some(page)) => return self.page(service, page),
            (None, None) => {}
        }
        if let Some(answer) = &manifest.answer {
            let values = self.values();
            return self.text(service, &answer.text, &values);
        }
        match &manifest.escalate {
            Some(escalate) => {
                let Escalate { skill, priority } = escalate.clone();
                self.escalate("客户要求人工服务", &skill, priority)
            }
            None => self.open_form(service, wish),
        }
    }

    fn bind_first(mut self, service: &Service, wish: Wish) -> Step {
        let mut values = self.values();
        values.set_text("service", service.label());
        values.set_markup("link", self.bind_link());
        let own = service.manifest.unbound.as_ref().map(|text| self.fill(service, text, &values));
        let body = match own {
            Some(Ok(body)) => body,
            Some(Err(_)) | None => self.say(Key::bind_first, &values),
        };
        self.effects.push(Effect::AwaitBinding { wish });
        self.done(Some(service.id()), Reply { body, ..Reply::default() })
    }

    pub(super) fn bind_link(&self) -> String {
        link(&self.scene.links.page(Page::Bind), &self.say(Key::bind_label, &self.values()))
    }

    /// Whether what a service wants proved is proved. The page of a link takes its proof itself.
    pub(super) fn proved(&self, service: &Service) -> bool {
        let manifest = &service.manifest;
        *manifest.proof.get_ref() == Proof::None
            || manifest.link.is_some()
            || self.verified(service).is_some()
    }

    /// What the follower proved himself with for a service, where that still counts and is enough for it.
    fn verified(&self, service: &Service) -> Option<&'a StepUp> {
        let wanted = (*service.manifest.proof.get_ref()).max(Proof::Otp);
        self.scene.step_up.filter(|step_up| step_up.covers(service.id(), wanted, self.scene.now))
    }

    /// Sends him to the page that takes a one-time code, or on to the bank's own page for his PIN; what he wants waits
    /// for it.
    pub(super) fn step_up_first(mut self, service: &Service, wish: Wish) -> Step {
        self.forget_lists();
        self.state.form = None;
        let mut values = self.values();
        values.set_text("service", service.label());
        let proof = (*service.manifest.proof.get_ref()).max(Proof::Otp);
        let (label, first) = match proof {
            Proof::Pin => (Key::pin_label, Key::pin_first),
            Proof::Otp | Proof::None => (Key::step_up_label, Key::step_up_first),
        };
        let label = self.say(label, &values);
        values.set_markup("link", link(&self.scene.links.step_up(service.id(), proof), &label));
        let body = self.say(first, &values);
        self.effects.push(Effect::AwaitStepUp { wish });
        self.done(Some(service.id()), Reply { body, ..Reply::default() })
    }

    fn page(self, service: &Service, page: &Link) -> Step {
        let mut values = self.values();
        values.set_markup("link", self.link(page));
        match (self.fill(service, &page.text, &values), &page.picture) {
            (Ok(text), Some(picture)) => self.card(service, page, *picture.get_ref(), text),
            (Ok(body), None) => {
                let mut next = self.next(service);
                next.retain(|line| self.scene.binding.is_some() || !self.guarded(line));
                self.done(Some(service.id()), Reply { body, next, ..Reply::default() })
            }
            (Err(error), _) => self.failed(service, error),
        }
    }

    /// A card with a picture that opens a page. What must be said besides, a card cannot say: then it is a text.
    fn card(self, service: &Service, page: &Link, picture: Picture, text: String) -> Step {
        let links = self.scene.links;
        let article = Article {
            title: Personal::new(page.label.get_ref()),
            description: Personal::new(plain(&text)),
            picture_url: links.picture(picture),
            url: Personal::new(links.page(*page.page.get_ref())),
        };
        let said_besides = !self.before.is_empty() || self.state.aside.is_some() || self.state.also.is_some();
        let body = format!("{text}\n{}", self.link(page));
        let step = self.done(Some(service.id()), Reply { body, ..Reply::default() });
        match step {
            Step::Done(outcome) if !said_besides => {
                Step::Done(Outcome { reply: Some(Say::News(vec![article])), ..outcome })
            }
            step => step,
        }
    }

    /// Whether a line starts a service that needs binding.
    fn guarded(&self, line: &Line) -> bool {
        let service = line.service.as_deref().and_then(|id| self.dialogue.catalogue.get(id));
        service.is_some_and(Service::needs_binding)
    }

    pub(super) fn link(&self, page: &Link) -> String {
        link(&self.scene.links.page(*page.page.get_ref()), page.label.get_ref())
    }

    /// Fills a manifest's params; an empty one is left out.
    pub(super) fn params(
        &self,
        service: &Service,
        templates: &BTreeMap<String, Template>,
        values: &Values,
    ) -> Result<Map<String, Value>, AskError> {
        let mut params = Map::new();
        for (name, template) in templates {
            let value = self.fill(service, template, values)?;
            if !value.is_empty() {
                params.insert(name.clone(), json!(value));
            }
        }
        Ok(params)
    }

    /// Asks the core, or answers at once what the house answers itself.
    pub(super) fn call(
        mut self,
        operation: &str,
        params: Value,
        write: bool,
        form_id: Option<String>,
        what: What,
    ) -> Step {
        let params = self.typed(operation, params);
        let looked_up = operation.strip_prefix("house:").filter(|name| house::is_looked_up(name));
        if let Some(name) = operation.strip_prefix("house:").filter(|_| looked_up.is_none()) {
            let verified = self.service_of(&what).is_some_and(|service| self.verified(service).is_some());
            let answer = house::answer(self.scene, &self.dialogue.places, name, &params, verified).map(
                |(value, effects)| {
                    self.effects.extend(effects);
                    value
                },
            );
            return self.with_answer(what, answer);
        }
        let (of, operation) = match looked_up {
            Some(name) => (Of::House, name),
            None => (Of::Core, operation.strip_prefix("core:").unwrap_or(operation)),
        };
        let operation = operation.to_owned();
        let verified = self.service_of(&what).and_then(|service| self.verified(service)).cloned();
        let Self { state, effects, before, .. } = self;
        let then = Then(Purpose { state, effects, before, what });
        Step::Ask(Ask { of, operation, params, write, form_id, verified, then })
    }

    fn with_answer(mut self, what: What, answer: Result<Value, AskError>) -> Step {
        let Some(service) = self.service_of(&what) else { return self.not_understood() };
        self.effects.extend(answer.as_ref().ok().and_then(|result| self.cards_told(result)));
        match (what, answer) {
            // The core itself decides that binding is not enough here.
            (what, Err(AskError::Refused { code, .. }))
                if code == STEP_UP_REQUIRED && self.verified(service).is_none() =>
            {
                match self.wish_of(what) {
                    Some(wish) => self.step_up_first(service, wish),
                    None => self.not_understood(),
                }
            }
            (What::Lookup(wish), Ok(result)) => self.show(service, wish, result),
            (What::Options, Ok(result)) => self.offer_options(service, &result),
            (What::Facts(choices), Ok(result)) => {
                self.facts = Some(result);
                self.ask_with_facts(service, choices)
            }
            (What::Submit, Ok(result)) => self.submitted(service, &result),
            (What::AtOnce(field), Ok(result)) => self.done_at_once(service, &field, &result),
            (What::AtOnce(field), Err(AskError::Down | AskError::Lied)) => {
                self.owed_step(service, Some(field))
            }
            (What::Submit, Err(AskError::Down | AskError::Lied)) if is_urgent(service) => {
                self.owed_step(service, None)
            }
            (What::Submit, Err(AskError::Down | AskError::Lied)) => self.unclear(service),
            (What::Lookup(_), Err(error)) => self.failed(service, error),
            (_, Err(error)) => self.failed_form(service, error),
        }
    }

    /// What an answer says of his cards, where the binding says otherwise: plastic is replaced under a new tail.
    fn cards_told(&self, result: &Value) -> Option<Effect> {
        let told = |id: &str| {
            let mut named = result["cards"].as_array().into_iter().flatten().chain([&result["card"]]);
            Card::deserialize(named.find(|card| card["card_id"] == id)?).ok()
        };
        let known = &self.scene.binding?.cards;
        let cards: Vec<Card> =
            known.iter().map(|card| told(&card.card_id).unwrap_or_else(|| card.clone())).collect();
        (cards != *known).then_some(Effect::Cards { cards })
    }

    /// Params as the operation's schema types them: a manifest's texts write whole numbers as words.
    fn typed(&self, operation: &str, mut params: Value) -> Value {
        let schema = self.dialogue.catalogue.operation(operation).map(|operation| operation.params_schema());
        for (name, value) in params.as_object_mut().into_iter().flatten() {
            let whole = schema.is_some_and(|schema| schema["properties"][name.as_str()]["type"] == "integer");
            let number = value.as_str().filter(|_| whole).and_then(|text| text.parse::<i64>().ok());
            if let Some(number) = number {
                *value = json!(number);
            }
        }
        params
    }

    /// The service that a question to an operation belongs to.
    fn service_of(&self, what: &What) -> Option<&'a Service> {
        let id = match (what, &self.state.form) {
            (What::Lookup(wish), _) => &wish.service,
            (_, Some(form)) => &form.wish.service,
            (_, None) => return None,
        };
        self.dialogue.catalogue.get(id)
    }

    /// What he wants, with all that he has said to it.
    fn wish_of(&mut self, what: What) -> Option<Wish> {
        match what {
            What::Lookup(wish) => Some(wish),
            _ => self.state.form.take().map(Form::into_wish),
        }
    }

    /// The core refused, or failed.
    pub(super) fn failed(self, service: &Service, error: AskError) -> Step {
        let mut values = self.values();
        values.set_text("service", service.label());
        let mut next = Vec::new();
        let body = match error {
            AskError::Refused { code, message } => {
                values.set_text("code", &code);
                values.set_text("message", message.trim());
                next.extend(service.manifest.after_refusal(&code));
                match service.manifest.refusal(&code).map(|own| self.fill(service, own, &values)) {
                    Some(Ok(body)) => body,
                    _ => self.say(Key::refused, &values),
                }
            }
            AskError::Down => self.say(Key::down, &values),
            AskError::Lied => self.say(Key::unsayable, &values),
        };
        next.push(PERSON);
        let next = self.lines(&next);
        self.done(Some(service.id()), Reply { body, next, ..Reply::default() })
    }

    /// A fixed text of a service, with what comes next.
    fn text(self, service: &Service, template: &Template, values: &Values) -> Step {
        match self.fill(service, template, values) {
            Ok(body) => {
                let next = self.next(service);
                self.done(Some(service.id()), Reply { body, next, ..Reply::default() })
            }
            Err(error) => self.failed(service, error),
        }
    }

    /// The services that are offered after a service's answer.
    pub(super) fn next(&self, service: &Service) -> Vec<Line> {
        let ids: Vec<&str> = service.manifest.next.iter().map(|id| id.get_ref().as_str()).collect();
        self.lines(&ids)
    }

    /// Services as numbered lines; a tap on one works for ever.
    pub(super) fn lines(&self, ids: &[&str]) -> Vec<Line> {
        let services = ids.iter().filter_map(|id| self.dialogue.catalogue.get(id));
        services
            .map(|service| Line {
                item: Item {
                    label: service.label().to_owned(),
                    note: None,
                    action: Action::Start(Wish::of(service.id())),
                },
                service: Some(service.id().to_owned()),
            })
            .collect()
    }

    /// The values that every text sees.
    pub(super) fn values(&self) -> Values {
        self.values.get_or_init(|| self.values_of_scene()).clone()
    }

    /// Something that every text sees has changed.
    pub(super) fn forget_values(&mut self) {
        self.values = OnceCell::new();
    }

    fn values_of_scene(&self) -> Values {
        let scene = self.scene;
        let mut values = Values::new();
        values.set("account", &json!({ "name": scene.account.name }));
        values.set("bound", &json!(scene.binding.is_some()));
        values.set("cards", &json!(scene.binding.map(|binding| &binding.cards)));
        values.set("card", &json!(scene.binding.and_then(|binding| self.card_of(binding))));
        let desk = scene.desk;
        values.set(
            "desk",
            &json!({
                "open": desk.open, "hours": desk.hours, "waiting": desk.waiting,
                "wait_minutes": desk.wait_minutes,
            }),
        );
        values.set_text("reference", scene.reference);
        values
    }

    pub(super) fn say(&self, key: Key, values: &Values) -> String {
        self.dialogue.answers.say(key, values)
    }

    /// Fills a service's text. What cannot be filled is a result that no schema promised.
    pub(super) fn fill(
        &self,
        service: &Service,
        template: &Template,
        values: &Values,
    ) -> Result<String, AskError> {
        self.dialogue.catalogue.render(service, template, values).map_err(|fault| {
            tracing::error!(service = service.id(), %fault, "a text could not be filled and the customer was told of a disturbance: run `weikefu check` on the content");
            AskError::Lied
        })
    }

    pub(super) fn forget_lists(&mut self) {
        self.state.offered.clear();
        self.state.more = None;
        self.state.listed = None;
    }

    /// Finishes with a reply. Its numbers are what numbers mean from now on.
    pub(super) fn done(mut self, service: Option<&str>, mut reply: Reply) -> Step {
        let mut before = std::mem::take(&mut self.before);
        before.append(&mut reply.before);
        reply.before = before;
        if reply.next_words.is_empty() {
            reply.next_words = self.say(Key::next, &self.values());
        }
        if service.is_some() && self.state.form.is_none() {
            self.offer_second_wish(&mut reply);
        }
        self.offer_return(&mut reply);
        let items = reply.items();
        if !items.is_empty() {
            self.state.lists = self.state.lists.wrapping_add(1);
            self.state.offered = items;
        }
        let composed = reply.compose(self.state.lists);
        let page = reply.on_page();
        if composed.cut {
            tracing::warn!(
                service,
                "a reply was cut to WeChat's limit of 2048 bytes: shorten the service's text"
            );
        }
        if let Some(service) = service {
            self.state.last_service = Some(service.to_owned());
        }
        Step::Done(Outcome {
            reply: Some(Say::Text(composed.text)),
            state: self.state,
            effects: self.effects,
            service: service.map(str::to_owned),
            masked: self.scene.masked,
            cut: composed.cut,
            page,
        })
    }

    /// Says one of the fixed texts, with services to go on with.
    pub(super) fn fixed(self, key: Key, next: &[&str]) -> Step {
        let (body, next) = (self.say(key, &self.values()), self.lines(next));
        self.done(None, Reply { body, next, ..Reply::default() })
    }

    /// The fallback ladder: say it otherwise, then a person (P8).
    pub(super) fn not_understood(self) -> Step {
        self.fall_back(Key::rephrase)
    }

    /// Understood, but none of our services: the same ladder in truer words.
    pub(super) fn not_offered(self) -> Step {
        self.fall_back(Key::unrelated)
    }

    fn fall_back(mut self, first: Key) -> Step {
        self.state.misunderstood = self.state.misunderstood.saturating_add(1);
        self.forget_lists();
        if self.state.misunderstood >= 2 {
            return self.fixed(Key::offer_person, &[PERSON, MENU]);
        }
        let (body, next) = (self.say(first, &self.values()), self.most_used(3, &[MENU, PERSON]));
        self.done(None, Reply { body, next, ..Reply::default() })
    }

    /// The first services of the menu, and these.
    pub(super) fn most_used(&self, count: usize, and: &[&str]) -> Vec<Line> {
        let menu = self.dialogue.catalogue.get(MENU);
        let first = menu.into_iter().flat_map(|menu| &menu.manifest.next).take(count);
        let ids: Vec<&str> = first.map(|id| id.get_ref().as_str()).chain(and.iter().copied()).collect();
        self.lines(&ids)
    }
}

/// Whether what a service's form does must not stay undone.
pub(super) fn is_urgent(service: &Service) -> bool {
    service.manifest.form.as_ref().is_some_and(|form| form.urgent.is_some())
}

/// A text of the core in one line, for a place inside a sentence.
pub(super) fn cleaned(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}
