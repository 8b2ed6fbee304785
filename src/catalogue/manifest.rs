//! The form of a service's file, word for word. An unknown key is a fault.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::bank::Effect;
use crate::domain::step_up::Proof;

/// Which way a service moves the customer's protection (P7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// More protection: lock, lower, alerts on, marketing off.
    Tighten,
    /// Less protection: unlock, raise, alerts off or quieter, marketing on.
    Loosen,
}

/// A page of ours that a service can lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// Binding a card.
    Bind,
    /// Applying for a card.
    Apply,
    /// How an application stands, for those who are not bound.
    ApplyProgress,
    /// The settings of alerts.
    Alerts,
    /// What was spent on what, and the statements, as charts.
    Spending,
}

impl Page {
    /// Every page.
    pub const ALL: [Self; 5] = [Self::Bind, Self::Apply, Self::ApplyProgress, Self::Alerts, Self::Spending];

    /// Its name in templates and manifests.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Bind => "bind",
            Self::Apply => "apply",
            Self::ApplyProgress => "apply_progress",
            Self::Alerts => "alerts",
            Self::Spending => "spending",
        }
    }
}

/// A picture of ours on a news card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Picture {
    /// Charts.
    Spending,
}

impl Picture {
    /// Its name in manifests and, with `.png`, in its address.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Spending => "spending",
        }
    }
}

/// A text with values to fill in, and where it stands in its file.
pub type Template = Spanned<String>;

/// A service's file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The service's id: `a-z`, `0-9`, `_`; also the file's name and a menu key.
    pub id: Spanned<String>,
    /// The folder it lies in.
    pub category: Spanned<String>,
    /// Its full name.
    pub name: Spanned<String>,
    /// Its name in lists, short; the full name when absent. Typing it must reach the service.
    pub label: Option<Spanned<String>>,
    /// What customers type; each belongs to one service only.
    pub keywords: Vec<Spanned<String>>,
    /// Whole sentences that customers write.
    #[serde(default)]
    pub examples: Vec<Spanned<String>>,
    /// Whether the follower must be bound.
    pub binding: Spanned<bool>,
    /// What he must have proved beyond that.
    pub proof: Spanned<Proof>,
    /// Whether it changes anything; that of the operation it calls.
    pub effect: Spanned<Effect>,
    /// Which way it moves protection; together with `opposite`.
    pub direction: Option<Spanned<Direction>>,
    /// The service that moves it back.
    pub opposite: Option<Spanned<String>>,
    /// What who is not bound is told first, where it cannot wait for that; sees `link`, which binds.
    pub unbound: Option<Template>,
    /// The service that it is a part of: they are understood as one, and the likelier of them answers.
    pub part_of: Option<Spanned<String>>,
    /// Services that are offered after the answer, by number and link.
    #[serde(default)]
    pub next: Vec<Spanned<String>>,
    /// Handler kind: a fixed text.
    pub answer: Option<Answer>,
    /// Handler kind: one question to an operation, one answer.
    pub lookup: Option<Lookup>,
    /// Handler kind: questions to the customer, then one operation.
    pub form: Option<Form>,
    /// Handler kind: a page. Beside a lookup: what a follower who is not bound gets instead.
    pub link: Option<Link>,
    /// Handler kind: a person.
    pub escalate: Option<Escalate>,
}

impl Manifest {
    /// What is said for a code that the operation refuses with.
    #[must_use]
    pub fn refusal(&self, code: &str) -> Option<&Template> {
        let lookup = self.lookup.as_ref().and_then(|lookup| lookup.refusals.get(code));
        lookup.or_else(|| self.form.as_ref()?.refusals.get(code))
    }

    /// The services that help after such a code.
    pub fn after_refusal(&self, code: &str) -> impl Iterator<Item = &str> {
        let lookup = self.lookup.as_ref().and_then(|lookup| lookup.after_refusals.get(code));
        let form = self.form.as_ref().and_then(|form| form.after_refusals.get(code));
        lookup.or(form).into_iter().flatten().map(|id| id.get_ref().as_str())
    }
}

/// `[answer]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// What is said.
    pub text: Template,
}

/// `[lookup]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lookup {
    /// `core:name` or `house:name`.
    pub operation: Spanned<String>,
    /// Params of the operation; an empty one is left out.
    #[serde(default)]
    pub params: BTreeMap<String, Template>,
    /// Further params that may be given: by a pick from another list, or by `filter`.
    #[serde(default)]
    pub accepts: Vec<Spanned<String>>,
    /// How the result reads.
    pub answer: Template,
    /// What is said for a code that the operation refuses with; without one, the core's own words.
    #[serde(default)]
    pub refusals: BTreeMap<String, Template>,
    /// Services that help after such a code: offered before a person.
    #[serde(default)]
    pub after_refusals: BTreeMap<String, Vec<Spanned<String>>>,
    /// A list of the result that is too long for one message.
    pub rows: Option<Rows>,
    /// What choosing a row opens.
    pub pick: Option<Pick>,
    /// A page that shows more of it, linked below the answer.
    pub page: Option<PageLine>,
    /// First words with which the list can be narrowed: param → words, as in `商户 星河超市`.
    #[serde(default)]
    pub filter: BTreeMap<String, Spanned<String>>,
}

/// `[lookup.page]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageLine {
    /// The page.
    pub page: Spanned<Page>,
    /// The link's words.
    pub label: Spanned<String>,
}

/// `[lookup.rows]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// The list's name in the result.
    pub list: Spanned<String>,
    /// Rows in one message.
    pub size: Spanned<u32>,
    /// Who parts it: the core by its params `page` and `page_size`, or we ourselves.
    pub by: RowsBy,
}

/// Who parts a long list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowsBy {
    /// The core, by `page` and `page_size`; it answers with `page` and `pages`.
    Core,
    /// We, out of the whole list.
    House,
}

/// `[lookup.pick]`; its templates see one row as `row`. It opens one service for all rows, or by what a row says one of
/// several; a row that names none of them has no line.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pick {
    /// What the customer taps or types.
    pub label: Template,
    /// What stands behind it.
    #[serde(default)]
    pub note: Option<Template>,
    /// The service that opens.
    pub service: Option<Spanned<String>>,
    /// What chooses among `services`.
    pub by: Option<Template>,
    /// The services that may open, by the value of `by`.
    #[serde(default)]
    pub services: BTreeMap<String, Spanned<String>>,
    /// What it is given.
    pub given: BTreeMap<String, Template>,
}

/// `[form]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    /// `core:name` or `house:name`.
    pub operation: Spanned<String>,
    /// Params of the operation, out of `given`; an empty one is left out.
    #[serde(default)]
    pub params: BTreeMap<String, Template>,
    /// What is asked, in order.
    #[serde(default)]
    pub fields: Vec<Field>,
    /// What is asked before each question and before `confirm`, whose texts see its result as `facts`.
    pub facts: Option<Facts>,
    /// What will happen; waits for a plain yes. Without it the last field submits.
    pub confirm: Option<Template>,
    /// How the result reads.
    pub answer: Template,
    /// What is said for a code that the operation refuses with.
    #[serde(default)]
    pub refusals: BTreeMap<String, Template>,
    /// Services that help after such a code, this one itself where it is to be tried otherwise: offered before a person.
    #[serde(default)]
    pub after_refusals: BTreeMap<String, Vec<Spanned<String>>>,
    /// What the bank is told once the operation is done.
    pub event: Option<Event>,
    /// Somebody's money is in danger: a person takes over, and what the core did not do is tried until it is done.
    pub urgent: Option<Urgent>,
}

/// `[form.facts]`: a read.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// `core:name` or `house:name`.
    pub operation: Spanned<String>,
    /// Params of the operation, out of what is `given` so far; an empty one is left out.
    #[serde(default)]
    pub params: BTreeMap<String, Template>,
}

/// `[form.urgent]`: a person gets the conversation with the first thing that is done, or cannot be done; and a write
/// that the core did not answer is owed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Urgent {
    /// Why, for the agent.
    pub reason: String,
    /// Who should take it; empty: anyone.
    #[serde(default)]
    pub skill: String,
    /// 0 (ordinary) to 9 (at once).
    pub priority: u8,
    /// What is said when the core does not answer; `done` tells whether a step was done before.
    pub down: Template,
}

/// `event`: what the bank is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    /// Which event.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Its data; each text sees what was done as an answer does, but nothing of the scene.
    pub data: BTreeMap<String, Template>,
}

/// The events that a service can cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A card was locked at the customer's word.
    CardLocked,
}

impl EventKind {
    /// Its name in the interface.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CardLocked => "card_locked",
        }
    }
}

/// `[form.fields.at_once]`: an operation that runs as soon as its field is answered, before anything else is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AtOnce {
    /// `core:name`; a write.
    pub operation: Spanned<String>,
    /// Params of the operation, out of `given`.
    pub params: BTreeMap<String, Template>,
    /// What is said before the next question; sees the members of the result, and nothing of the scene, because it
    /// may be said later.
    pub say: Template,
    /// What the bank is told once it is done.
    pub event: Option<Event>,
}

/// `[[form.fields]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Its name in `given`.
    pub name: Spanned<String>,
    /// What is asked.
    pub prompt: Template,
    /// What is accepted.
    pub kind: FieldKind,
    /// What it is called when it is corrected: 改金额.
    pub label: Option<Spanned<String>>,
    /// Words behind a `count` by which it is known in a sentence, the first for showing it: 期.
    #[serde(default)]
    pub units: Vec<String>,
    /// Whether an `amount` may be nothing.
    #[serde(default)]
    pub zero: bool,
    /// Fixed choices; suggestions where an amount or a count is asked for.
    #[serde(default)]
    pub options: Vec<Choice>,
    /// Choices out of an operation's result.
    pub options_from: Option<OptionsFrom>,
    /// Longest text of a `text` field.
    pub characters_max: Option<Spanned<u32>>,
    /// What is done as soon as it is answered.
    pub at_once: Option<AtOnce>,
}

/// What a field accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FieldKind {
    /// One of a list, by number or by its words.
    Choice,
    /// 是 or 否; the value is `true` or `false`.
    YesNo,
    /// Free words.
    Text,
    /// Money in yuan, in digits, capitals or as spoken; the value is a decimal such as `5000.00`.
    Amount,
    /// A whole number.
    Count,
    /// A month; the value is `2026-10`.
    Month,
    /// A day; the value is `2026-11-22`.
    Date,
    /// A mobile number.
    Phone,
    /// A span of the day, `晚上10点到早上8点`; the value is `22:00-08:00`, or `off`.
    Hours,
}

/// A fixed choice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What goes into `given`.
    pub value: String,
    /// What the customer reads.
    pub label: String,
}

/// Choices out of an operation's result; its templates see one row as `row`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptionsFrom {
    /// `core:name` or `house:name`.
    pub operation: Spanned<String>,
    /// Its params, out of `given`; an empty one is left out.
    #[serde(default)]
    pub params: BTreeMap<String, Template>,
    /// The list's name in the result.
    pub list: Spanned<String>,
    /// What goes into `given`.
    pub value: Template,
    /// What the customer reads and taps.
    pub label: Template,
    /// What stands behind it.
    pub note: Option<Template>,
    /// Fewest rows that make a choice.
    #[serde(default = "one")]
    pub fewest: u32,
    /// What is said when there are fewer; without it the question is left out, and its value is empty.
    pub too_few: Option<Template>,
    /// Whether a list of one is not asked about.
    #[serde(default)]
    pub only: bool,
}

fn one() -> u32 {
    1
}

/// `[link]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The page.
    pub page: Spanned<Page>,
    /// The link's words.
    pub label: Spanned<String>,
    /// What is said; `{{ link }}` is the link.
    pub text: Template,
    /// The picture of a news card (图文消息), which then is the answer: `label` is its headline, `text` stands below it
    /// without a link, because a tap anywhere opens the page.
    pub picture: Option<Spanned<Picture>>,
}

/// `[escalate]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Escalate {
    /// Who should take it; empty: anyone.
    #[serde(default)]
    pub skill: String,
    /// 0 (ordinary) to 9 (at once).
    #[serde(default)]
    pub priority: u8,
}

impl Manifest {
    /// The name in lists.
    #[must_use]
    pub fn label(&self) -> &str {
        self.label.as_ref().unwrap_or(&self.name).get_ref()
    }

    /// The id as text.
    #[must_use]
    pub fn id(&self) -> &str {
        self.id.get_ref()
    }

    /// Every text of the file that is filled in, with what it sees beyond the scene.
    #[must_use]
    pub fn templates(&self) -> Vec<(&Template, Sees)> {
        let mut all = Vec::new();
        all.extend(self.answer.iter().map(|answer| (&answer.text, Sees::Scene)));
        all.extend(
            self.link.iter().map(|link| &link.text).chain(&self.unbound).map(|text| (text, Sees::Link)),
        );
        if let Some(lookup) = &self.lookup {
            all.push((&lookup.answer, Sees::Result));
            all.extend(lookup.params.values().map(|text| (text, Sees::Scene)));
            all.extend(lookup.refusals.values().map(|text| (text, Sees::Refusal)));
            if let Some(pick) = &lookup.pick {
                all.push((&pick.label, Sees::Row));
                let row = pick.note.iter().chain(&pick.by).chain(pick.given.values());
                all.extend(row.map(|text| (text, Sees::Row)));
            }
        }
        if let Some(form) = &self.form {
            all.push((&form.answer, Sees::Submitted));
            all.extend(form.params.values().chain(&form.confirm).map(|text| (text, Sees::Given)));
            all.extend(form.refusals.values().map(|text| (text, Sees::Refusal)));
            let facts = form.facts.iter().flat_map(|facts| facts.params.values());
            all.extend(facts.map(|text| (text, Sees::Given)));
            all.extend(
                form.event.iter().flat_map(|event| event.data.values()).map(|text| (text, Sees::Done)),
            );
            all.extend(form.urgent.iter().map(|urgent| (&urgent.down, Sees::Down)));
            for field in &form.fields {
                all.push((&field.prompt, Sees::Given));
                if let Some(at_once) = &field.at_once {
                    all.extend(at_once.params.values().map(|text| (text, Sees::Given)));
                    let data = at_once.event.iter().flat_map(|event| event.data.values());
                    all.extend(data.chain([&at_once.say]).map(|text| (text, Sees::AtOnce)));
                }
                if let Some(from) = &field.options_from {
                    all.extend(from.params.values().map(|text| (text, Sees::Given)));
                    all.extend(from.too_few.iter().map(|text| (text, Sees::Options)));
                    all.extend([(&from.value, Sees::Row), (&from.label, Sees::Row)]);
                    all.extend(from.note.iter().map(|text| (text, Sees::Row)));
                }
            }
        }
        all
    }
}

/// What a template may name beyond the values of the scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Nothing more.
    Scene,
    /// `link`.
    Link,
    /// The members of the operation's result; `shown`, `has_more`, `given`.
    Result,
    /// The members of the result of the operation that the choices come from.
    Options,
    /// `row`.
    Row,
    /// `code`, `message`.
    Refusal,
    /// `given`, `chosen`; `facts` where the form asks for them.
    Given,
    /// The members of the operation's result, `given`, `chosen`.
    Submitted,
    /// The same, and nothing of the scene.
    Done,
    /// The members of the result of what was done at once, `given`, `chosen`; nothing of the scene.
    AtOnce,
    /// `given`, `chosen`, `done`.
    Down,
}

impl Sees {
    /// Whether it is filled while a message is being decided, so that it sees the scene.
    #[must_use]
    pub fn scene(self) -> bool {
        !matches!(self, Self::Done | Self::AtOnce)
    }
}
