//! The files of `templates/notices/kindnesses/`: what is said with a notice because the moment asks for it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::Occasion;
use super::lint::{self, Place};
use super::text::{self, Interest};
use super::when::{When, WhenFile};
use crate::content::{Content, Fault, File};
use crate::domain::time::UnixMs;
use crate::domain::transaction::Bill;
use crate::render::{Texts, Values, Words};
use crate::wechat::field::units;

/// Characters of a line of a template, as the platform counts them.
const NOTE_UNITS_MAX: usize = 20;
/// Rules of all files together.
const RULES_MAX: usize = 100;

/// What is said because the moment asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// The rule's file, without its end.
    pub rule: String,
    /// A line of a template; `None` where it does not fit, or would tell an amount to who hides them.
    pub note: Option<String>,
    /// The whole of it, for a page or an answer; for who hides amounts the note, where it tells some.
    pub words: String,
}

/// Every rule, first those that are said first.
#[derive(Debug)]
pub struct Kindnesses {
    rules: Vec<Rule>,
    texts: Texts,
}

#[derive(Debug)]
struct Rule {
    name: String,
    rank: u32,
    when: When,
    interest: Option<Interest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    /// The lower, the earlier; only the first that holds has room in a template.
    rank: u32,
    when: WhenFile,
    /// A line of a template, at most 20 characters.
    note: Option<Spanned<String>>,
    /// What stands there instead for who hides amounts, or where the amounts leave no room.
    note_without_amounts: Option<Spanned<String>>,
    /// For the page of the purchase and for the chat.
    words: Spanned<String>,
    /// What interest on an open bill costs here.
    interest: Option<InterestFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InterestFile {
    /// `0.05%`
    daily_rate: Spanned<String>,
    /// `whole_bill` or `what_is_left`
    on: Spanned<String>,
}

impl Kindnesses {
    /// Reads the files and checks them.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let mut faults = lint::notices(content);
        let mut texts = Texts::new(Words::new());
        let mut rules = Vec::new();
        for (path, file) in content.below("notices/kindnesses") {
            if rules.len() == RULES_MAX {
                faults.push(Fault::new(&file.origin, 1, format!("more than {RULES_MAX} rules")));
                break;
            }
            match file.parse::<RuleFile>() {
                Ok(read) => rules.push(rule(path, file, read, &mut texts, &mut faults)),
                Err(fault) => faults.push(fault),
            }
        }
        rules.sort_by(|one, other| (one.rank, &one.name).cmp(&(other.rank, &other.name)));
        faults.sort();
        if faults.is_empty() { Ok(Self { rules, texts }) } else { Err(faults) }
    }

    /// Whether any rule looks at this type of transaction, so that it is worth reading what is around it.
    #[must_use]
    pub fn concern(&self, occasion: &Occasion<'_>) -> bool {
        self.rules.iter().any(|rule| rule.when.concerns(occasion.transaction.kind))
    }

    /// Everything that is to be said, first what is said first. What cannot be said without an amount is not said to
    /// who hides them.
    #[must_use]
    pub fn remarks(&self, occasion: &Occasion<'_>, hide_amounts: bool) -> Vec<Remark> {
        let holding = self.rules.iter().filter(|rule| rule.when.holds(occasion));
        let remark = |rule: &Rule| self.remark(rule, &text::values(occasion, rule.interest), hide_amounts);
        holding.filter_map(remark).collect()
    }

    /// The line of a template for a notice of this kind about a bill, as it stands at a moment: that of the first rule
    /// that holds and has one.
    #[must_use]
    pub fn note_on_bill(&self, kind: &str, bill: &Bill, at: UnixMs, hide_amounts: bool) -> Option<String> {
        let mut holding = self.rules.iter().filter(|rule| rule.when.holds_for_bill(kind, bill, at));
        holding.find_map(|rule| {
            self.remark(rule, &text::values_of_bill(bill, rule.interest), hide_amounts)?.note
        })
    }

    fn remark(&self, rule: &Rule, values: &Values, hide_amounts: bool) -> Option<Remark> {
        let said = |part: Part| {
            let name = part.of(&rule.name);
            self.texts.render(&name, values).inspect_err(|fault| {
                tracing::error!(
                    rule = rule.name,
                    %fault,
                    "a kindness was left out because its text could not be filled: run `weikefu check` on the content"
                );
            })
        };
        let fits = |note: &String| units(note) <= NOTE_UNITS_MAX;
        let shows = |part: Part| {
            let name = part.of(&rule.name);
            self.texts.has(&name) && !(hide_amounts && text::tells_amounts(&self.texts, &name))
        };
        let notes = [Part::Note, Part::NoteWithoutAmounts].into_iter().filter(|part| shows(*part));
        let note = notes.filter_map(|part| said(part).ok()).find(fits);
        let words = if shows(Part::Words) { said(Part::Words).ok()? } else { note.clone()? };
        Some(Remark { rule: rule.name.clone(), note, words })
    }
}

/// A text of a rule.
#[derive(Clone, Copy)]
enum Part {
    Note,
    NoteWithoutAmounts,
    Words,
}

impl Part {
    fn of(self, rule: &str) -> String {
        let part = match self {
            Self::Note => "note",
            Self::NoteWithoutAmounts => "note_without_amounts",
            Self::Words => "words",
        };
        format!("{rule}.{part}")
    }
}

fn rule(path: &str, file: &File, read: RuleFile, texts: &mut Texts, faults: &mut Vec<Fault>) -> Rule {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".toml").to_owned();
    let when = When::read(file, read.when, faults);
    let interest = read.interest.and_then(|interest| interest_of(file, &interest, faults));
    let parts: BTreeMap<String, &Spanned<String>> = [
        read.note.as_ref().map(|text| (Part::Note.of(&name), text)),
        read.note_without_amounts.as_ref().map(|text| (Part::NoteWithoutAmounts.of(&name), text)),
        Some((Part::Words.of(&name), &read.words)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let promised = |value: &str| when.promises(value) && (value != "cost_per_day" || interest.is_some());
    for (part, text) in &parts {
        text::compile(texts, part, file, text, promised, faults);
        faults.extend(lint::text(file, text, Place::Notice));
    }
    let mut too_long = |text: &Spanned<String>| {
        if !text.get_ref().contains("{{") && units(text.get_ref().trim()) > NOTE_UNITS_MAX {
            let message = format!(
                "a line of a template has room for {NOTE_UNITS_MAX} characters; the rest belongs in words"
            );
            faults.push(file.fault_at(text.span().start, message));
        }
    };
    read.note.iter().chain(&read.note_without_amounts).for_each(&mut too_long);
    if let Some(text) = read.note_without_amounts.as_ref().filter(|_| {
        let name = Part::NoteWithoutAmounts.of(&name);
        texts.has(&name) && text::tells_amounts(texts, &name)
    }) {
        faults.push(file.fault_at(text.span().start, "note_without_amounts tells an amount"));
    }
    Rule { name, rank: read.rank, when, interest }
}

fn interest_of(file: &File, read: &InterestFile, faults: &mut Vec<Fault>) -> Option<Interest> {
    let mut at = |place: &Spanned<String>, message: &str| {
        faults.push(file.fault_at(place.span().start, message));
        None
    };
    let on_whole_bill = match read.on.get_ref().as_str() {
        "whole_bill" => true,
        "what_is_left" => false,
        _ => return at(&read.on, "on must be whole_bill or what_is_left"),
    };
    match millionths(read.daily_rate.get_ref()) {
        Some(daily_millionths) => Some(Interest { daily_millionths, on_whole_bill }),
        None => at(&read.daily_rate, "daily_rate must be a rate such as 0.05%, with at most four decimals"),
    }
}

/// `0.05%` → 500.
fn millionths(rate: &str) -> Option<i64> {
    let percent = rate.trim().strip_suffix('%')?;
    let (whole, part) = percent.split_once('.').unwrap_or((percent, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || whole.len() > 2 || part.len() > 4 {
        return None;
    }
    format!("{whole}{part:0<4}").parse().ok()
}
