//! The knowledge base: one question and its answer a file, `knowledge/<id>.md`. Between two lines `+++` stands what
//! describes it, below them what is said. Amounts, rates and terms stand in `knowledge/fees.toml` alone, so that none is
//! told differently in two places.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;
use toml::value::Datetime;

use super::Service;
use super::elsewhere::fixed;
use crate::content::{Content, Fault, File};
use crate::domain::time::UnixMs;

/// The line before and after what describes an entry.
const FENCE: &str = "+++\n";
/// Amounts, rates and terms.
const FEES: &str = "knowledge/fees.toml";
/// Fewest ways of asking that an entry names.
const VARIANTS_MIN: usize = 6;
/// The category of entries.
const CATEGORY: &str = "knowledge";
/// The service that fetches a person.
const PERSON: &str = "human_agent";
/// What may not follow a number in an answer: then the number is an amount, a rate or a term.
const UNITS: [&str; 22] = [
    "元",
    "块",
    "%",
    "％",
    "‰",
    "天",
    "日",
    "周",
    "个月",
    "月",
    "年",
    "期",
    "次",
    "小时",
    "分钟",
    "个工作日",
    "积分",
    "万",
    "倍",
    "折",
    "美元",
    "公里",
];
/// Shares in words.
const SHARES: [&str; 3] = ["百分之", "千分之", "万分之"];

/// What stands beside the text of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The service that it belongs to, and that is offered with it.
    pub about: String,
    /// Who answers for it.
    pub owner: String,
    /// The clause that it rests on.
    pub source: String,
    from: Date,
    until: Date,
}

impl Entry {
    /// Whether it may be said on this day in Beijing: from its first day to its last, both included.
    #[must_use]
    pub fn is_valid(&self, now: UnixMs) -> bool {
        (self.from..=self.until).contains(&now.beijing().date())
    }
}

/// What describes an entry.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Front {
    id: Spanned<String>,
    question: Spanned<String>,
    about: Spanned<String>,
    owner: Spanned<String>,
    source: Spanned<String>,
    valid_from: Spanned<Datetime>,
    valid_until: Spanned<Datetime>,
    variants: Vec<Spanned<String>>,
}

/// An amount, a rate or a term.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fee {
    value: Spanned<String>,
    clause: Spanned<String>,
}

/// Every entry, as a service that only says a text.
pub(super) fn load(content: &Content, faults: &mut Vec<Fault>) -> Vec<Service> {
    let fees = fees(content, faults);
    let files = content.below("knowledge").filter(|(path, _)| path.ends_with(".md"));
    files
        .filter_map(|(path, file)| read(path, file, &fees).map_err(|found| faults.extend(found)).ok())
        .collect()
}

fn fees(content: &Content, faults: &mut Vec<Fault>) -> BTreeMap<String, Fee> {
    let Some(file) = content.file(FEES) else { return BTreeMap::new() };
    let fees: BTreeMap<String, Fee> = file.parse().map_err(|fault| faults.push(fault)).unwrap_or_default();
    for text in fees.values().flat_map(|fee| [&fee.value, &fee.clause]) {
        if text.get_ref().trim().is_empty() || text.get_ref().contains('\n') {
            faults.push(file.fault_at(text.span().start, "one line of text is wanted"));
        }
    }
    fees
}

fn read(path: &str, file: &File, fees: &BTreeMap<String, Fee>) -> Result<Service, Vec<Fault>> {
    let inside = file.text.strip_prefix(FENCE).and_then(|rest| rest.split_once("\n+++\n"));
    let Some((described, body)) = inside else {
        let message = "an entry begins with a line +++, what describes it, and again a line +++";
        return Err(vec![Fault::new(&file.origin, 1, message)]);
    };
    // A remark as long as the fence: then places in what is read are places in the file.
    let described = File { text: format!("###\n{described}"), origin: file.origin.clone() };
    let front: Front = described.parse().map_err(|fault| vec![fault])?;
    let start = file.text.len() - body.len();
    let mut faults = faults_of(path, file, &front);
    let text = filled(file, start, fees, &mut faults);
    let (from, until) = (date(&front.valid_from, file), date(&front.valid_until, file));
    let (from, until) = match (from, until) {
        (Ok(from), Ok(until)) if from <= until => (from, until),
        (Ok(_), Ok(_)) => {
            faults.push(file.fault_at(front.valid_until.span().start, "it ends before it begins"));
            return Err(faults);
        }
        (from, until) => {
            faults.extend([from.err(), until.err()].into_iter().flatten());
            return Err(faults);
        }
    };
    if !faults.is_empty() {
        return Err(faults);
    }
    let place = front.id.span();
    let next =
        [front.about.get_ref().as_str(), PERSON].map(|id| Spanned::new(front.about.span(), id.to_owned()));
    let next = next.into_iter().take(if front.about.get_ref() == PERSON { 1 } else { 2 }).collect();
    let text = Spanned::new(start..file.text.len(), text);
    let category = Spanned::new(place, CATEGORY.to_owned());
    let mut service = fixed(file, front.id, category, front.question, Vec::new(), next, text);
    service.manifest.examples = front.variants;
    let about = front.about.into_inner();
    let (owner, source) = (front.owner.into_inner(), front.source.into_inner());
    service.entry = Some(Entry { about, owner, source, from, until });
    Ok(service)
}

fn faults_of(path: &str, file: &File, front: &Front) -> Vec<Fault> {
    let mut faults = Vec::new();
    let id = front.id.get_ref();
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if id.is_empty() || id.len() > 64 || !id.bytes().all(allowed) {
        let message = format!("{id:?}: only a-z, 0-9 and _ are allowed, at most 64");
        faults.push(file.fault_at(front.id.span().start, message));
    } else if path != format!("knowledge/{id}.md") {
        faults.push(file.fault_at(front.id.span().start, format!("this file belongs at knowledge/{id}.md")));
    }
    for text in [&front.question, &front.owner, &front.source] {
        if text.get_ref().trim().is_empty() {
            faults.push(file.fault_at(text.span().start, "this may not be empty"));
        }
    }
    if front.variants.len() < VARIANTS_MIN {
        let message = format!(
            "{} ways of asking; at least {VARIANTS_MIN} are needed to recognise the question",
            front.variants.len()
        );
        let last = front.variants.last().map_or(front.id.span().start, |variant| variant.span().start);
        faults.push(file.fault_at(last, message));
    }
    faults
}

fn date(written: &Spanned<Datetime>, file: &File) -> Result<Date, Fault> {
    let parsed = written.get_ref().to_string().parse();
    parsed.map_err(|_| file.fault_at(written.span().start, "a date such as 2026-01-31 is wanted"))
}

/// The answer with its amounts, rates and terms filled in; a number of its own is a fault.
fn filled(file: &File, start: usize, fees: &BTreeMap<String, Fee>, faults: &mut Vec<Fault>) -> String {
    const OPEN: &str = "{{ fees.";
    const CLOSE: &str = " }}";
    let body = file.text.get(start..).unwrap_or_default();
    if body.trim().is_empty() {
        faults.push(file.fault_at(start.saturating_sub(1), "the answer is missing"));
    }
    let mut out = String::with_capacity(body.len());
    let mut rest = body;
    loop {
        let here = |rest: &str| file.text.len() - rest.len();
        let (plain, after) =
            rest.split_once(OPEN).map_or((rest, None), |(plain, after)| (plain, Some(after)));
        if let Some((at, number)) = own_number(plain) {
            let message = format!(
                "{number:?} stands in the answer; put it into {FEES} and write {{{{ fees.name }}}} here, so that it is \
                 changed in one place"
            );
            faults.push(file.fault_at(here(rest) + at, message));
        }
        out.push_str(plain);
        let Some(after) = after else { return out };
        let Some((name, after_close)) = after.split_once(CLOSE) else {
            faults.push(file.fault_at(here(after), "{{ fees.name }} is not closed"));
            return out;
        };
        match fees.get(name) {
            Some(fee) => out.push_str(fee.value.get_ref()),
            None => {
                let nearest = fees.keys().min_by_key(|known| strsim::levenshtein(known, name));
                let hint = nearest.map_or_else(String::new, |nearest| format!("; did you mean {nearest:?}?"));
                faults.push(file.fault_at(here(after), format!("{FEES} has no {name:?}{hint}")));
            }
        }
        rest = after_close;
    }
}

/// A number with a unit, or a share in words: where, and what.
fn own_number(text: &str) -> Option<(usize, String)> {
    if let Some((at, share)) = SHARES.iter().find_map(|share| Some((text.find(share)?, share))) {
        return Some((at, (*share).to_owned()));
    }
    let is_digit = |c: char| c.is_numeric() && !is_numeral(c);
    let mut from = 0;
    while let Some((at, rest)) = text.get(from..).and_then(|rest| {
        let at = rest.find(is_digit)?;
        Some((from + at, rest.get(at..)?))
    }) {
        let length = rest.find(|c| !is_digit(c) && !matches!(c, '.' | ',' | ' ')).unwrap_or(rest.len());
        let after = rest.get(length..).unwrap_or_default();
        if let Some(unit) = UNITS.iter().find(|unit| after.starts_with(**unit)) {
            return Some((at, format!("{}{unit}", rest.get(..length).unwrap_or_default())));
        }
        from = at + length;
    }
    None
}

/// Numerals of ordinary words, such as 一般 and 一次.
fn is_numeral(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c) || c == '〇'
}
