//! How the services hang together: what no single file can show to be wrong.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::manifest::{Direction, FieldKind, Form, Lookup, Manifest, Page, Pick, RowsBy, Sees};
use super::{Catalogue, NEXT_MAX, Service, samples};
use crate::bank::{Effect, Operation, operations::CustomerUse};
use crate::content::Fault;
use crate::domain::step_up::Proof;
use crate::render::TextFault;
use crate::understanding::normalise;

/// Longest headline of a news card: more is not shown.
const CARD_TITLE_CHARS_MAX: usize = 24;

pub(super) fn check(catalogue: &Catalogue) -> Vec<Fault> {
    let mut faults = owned_twice(catalogue);
    for service in catalogue.iter() {
        let mut found = Found { service, faults: Vec::new() };
        found.handler();
        found.guard(catalogue);
        found.next(catalogue);
        found.operations(catalogue);
        found.variables(catalogue);
        faults.extend(found.faults);
    }
    faults
}

/// A keyword, name or example that leads to two services.
fn owned_twice(catalogue: &Catalogue) -> Vec<Fault> {
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    let mut faults = Vec::new();
    for service in catalogue.iter() {
        let manifest = &service.manifest;
        let names = manifest.keywords.iter().chain([&manifest.name]).chain(&manifest.label);
        for word in names.chain(&manifest.examples) {
            let plain = normalise(word.get_ref());
            if plain.is_empty() {
                let message = format!("{:?} has no letter that could be recognised", word.get_ref());
                faults.push(service.file.fault_at(word.span().start, message));
                continue;
            }
            let owner = *owners.entry(plain).or_insert(service.id());
            if owner != service.id() {
                let message =
                    format!("{:?} belongs to {owner} already; keep it in one of them", word.get_ref());
                faults.push(service.file.fault_at(word.span().start, message));
            }
        }
    }
    faults
}

struct Found<'a> {
    service: &'a Service,
    faults: Vec<Fault>,
}

impl Found<'_> {
    fn at<T>(&mut self, place: &Spanned<T>, message: impl Into<String>) {
        self.faults.push(self.service.file.fault_at(place.span().start, message));
    }

    fn handler(&mut self) {
        let manifest = &self.service.manifest;
        let kinds = [
            manifest.answer.is_some(),
            manifest.lookup.is_some(),
            manifest.form.is_some(),
            manifest.link.is_some() && manifest.lookup.is_none(),
            manifest.escalate.is_some(),
        ];
        if kinds.iter().filter(|kind| **kind).count() != 1 {
            let message = "a service has exactly one of [answer], [lookup], [form], [link], [escalate]; only a \
                           [lookup] may have a [link] beside it, for followers who are not bound";
            self.at(&manifest.id, message);
        }
        if manifest.keywords.is_empty() && self.service.entry.is_none() {
            self.at(&manifest.id, "a service needs at least one keyword");
        }
        for field in manifest.form.iter().flat_map(|form| &form.fields) {
            let choices = usize::from(!field.options.is_empty()) + usize::from(field.options_from.is_some());
            let fits = match field.kind {
                FieldKind::Choice => choices == 1,
                FieldKind::Amount | FieldKind::Count => choices <= 1,
                _ => choices == 0,
            };
            if !fits {
                let message = "a choice has either options or options_from; an amount or a count may have one \
                               of them; other kinds have neither";
                self.at(&field.name, message);
            }
            if (field.kind == FieldKind::Text) != field.characters_max.is_some() {
                self.at(&field.name, "a text field has characters_max; other kinds have none");
            }
        }
    }

    fn guard(&mut self, catalogue: &Catalogue) {
        let manifest = &self.service.manifest;
        let bound = *manifest.binding.get_ref();
        match manifest.proof.get_ref() {
            Proof::None => {}
            Proof::Otp | Proof::Pin if bound || manifest.link.is_some() => {}
            Proof::Otp | Proof::Pin => {
                let message =
                    "a one-time code and a PIN prove who a customer is, so the service needs binding = true";
                self.at(&manifest.proof, message);
            }
        }
        let leads_out = manifest.escalate.is_some()
            || manifest.link.as_ref().is_some_and(|link| *link.page.get_ref() == Page::Bind);
        if bound && leads_out {
            self.at(
                &manifest.binding,
                "a loop of guards: who is not bound must be able to bind, or reach a person",
            );
        }
        if let Some(unbound) = manifest.unbound.as_ref().filter(|_| !bound) {
            self.at(unbound, "binding = false asks nobody to bind first, so this is never said");
        }
        if bound && manifest.lookup.is_some() && manifest.link.is_some() {
            let message =
                "the [link] is for followers who are not bound, and binding = true never lets them in";
            self.at(&manifest.binding, message);
        }
        if let Some(link) = &manifest.link
            && let Some(picture) = &link.picture
        {
            if manifest.lookup.is_some() || catalogue.wants(self.service, &link.text, "link") {
                let message = "a card with a picture is the link itself: leave {{ link }} out of its text, and use it \
                               without a [lookup] beside it";
                self.at(picture, message);
            }
            if link.label.get_ref().chars().count() > CARD_TITLE_CHARS_MAX {
                self.at(
                    &link.label,
                    format!("the headline of a card has at most {CARD_TITLE_CHARS_MAX} characters"),
                );
            }
        }
        match (&manifest.direction, &manifest.opposite) {
            (Some(direction), Some(opposite)) => self.opposite(catalogue, direction, opposite),
            (None, None) => {}
            (Some(place), None) => {
                self.at(place, "direction needs its opposite, the service that moves back")
            }
            (None, Some(place)) => self.at(place, "opposite needs a direction: tighten or loosen"),
        }
    }

    /// P7: loosening never needs less than its opposite.
    fn opposite(
        &mut self,
        catalogue: &Catalogue,
        direction: &Spanned<Direction>,
        opposite: &Spanned<String>,
    ) {
        let Some(other) = catalogue.get(opposite.get_ref()) else {
            let message = unknown_service(catalogue, opposite.get_ref());
            return self.at(opposite, message);
        };
        let mine = &self.service.manifest;
        let theirs = &other.manifest;
        // A part of a service is undone by what undoes the whole.
        let undone = theirs.opposite.as_ref().map(|id| id.get_ref().as_str());
        let whole = mine.part_of.as_ref().map(|id| id.get_ref().as_str());
        let is_part = whole.is_some() && undone == whole;
        let back = is_part || undone == Some(self.service.id());
        let turned = theirs.direction.as_ref().is_some_and(|other| other.get_ref() != direction.get_ref());
        if !back || !turned {
            let message = format!(
                "{} must name {} as its opposite, in the other direction",
                other.id(),
                self.service.id()
            );
            return self.at(opposite, message);
        }
        let needs = |service: &Manifest| (*service.binding.get_ref(), *service.proof.get_ref());
        let less = |loosens: &Manifest, tightens: &Manifest| {
            let ((bound, proof), (bound_before, proof_before)) = (needs(loosens), needs(tightens));
            !bound && bound_before || proof < proof_before
        };
        match direction.get_ref() {
            Direction::Loosen if less(mine, theirs) => {
                let message =
                    format!("this loosens what {} tightens, but needs less proof than it (P7)", other.id());
                self.at(direction, message);
            }
            Direction::Tighten if is_part && less(theirs, mine) => {
                let message =
                    format!("{} loosens what this tightens, but needs less proof than it (P7)", other.id());
                self.at(direction, message);
            }
            Direction::Loosen | Direction::Tighten => {}
        }
    }

    fn next(&mut self, catalogue: &Catalogue) {
        let manifest = &self.service.manifest;
        for id in &manifest.next {
            if catalogue.get(id.get_ref()).is_none() {
                let message = unknown_service(catalogue, id.get_ref());
                self.at(id, message);
            } else if id.get_ref() == self.service.id() {
                self.at(id, "a service does not offer itself");
            }
        }
        if let Some(whole) = &manifest.part_of {
            match catalogue.get(whole.get_ref()) {
                None => {
                    let message = unknown_service(catalogue, whole.get_ref());
                    self.at(whole, message);
                }
                Some(other) if other.manifest.part_of.is_some() || other.id() == self.service.id() => {
                    self.at(whole, "a service is a part of one that is whole itself");
                }
                Some(_) => {}
            }
        }
        if let Some(extra) = manifest.next.get(NEXT_MAX) {
            self.at(extra, format!("at most {NEXT_MAX} services can be offered"));
        }
        let of_lookup = manifest.lookup.iter().flat_map(|lookup| lookup.after_refusals.values());
        let of_form = manifest.form.iter().flat_map(|form| form.after_refusals.values());
        for id in of_lookup.chain(of_form).flatten().filter(|id| catalogue.get(id.get_ref()).is_none()) {
            self.at(id, unknown_service(catalogue, id.get_ref()));
        }
    }

    fn operations(&mut self, catalogue: &Catalogue) {
        let manifest = &self.service.manifest;
        if let Some(lookup) = &manifest.lookup
            && let Some(operation) = self.operation(catalogue, &lookup.operation)
        {
            self.customer(operation, &lookup.operation);
            self.effect(operation, Effect::Read);
            self.refusals(operation, lookup.refusals.iter());
            self.after_refusals(operation, &lookup.after_refusals);
            self.params(operation, lookup.params.keys(), &lookup.operation);
            self.lookup(catalogue, operation, lookup);
        }
        if let Some(form) = &manifest.form {
            self.form(catalogue, form);
        }
    }

    fn form(&mut self, catalogue: &Catalogue, form: &Form) {
        if let Some(operation) = self.operation(catalogue, &form.operation) {
            self.customer(operation, &form.operation);
            self.effect(operation, Effect::Write);
            self.refusals(operation, form.refusals.iter());
            self.after_refusals(operation, &form.after_refusals);
            self.params(operation, form.params.keys(), &form.operation);
        }
        for from in form.fields.iter().filter_map(|field| field.options_from.as_ref()) {
            if let Some(operation) = self.operation(catalogue, &from.operation) {
                self.customer(operation, &from.operation);
                self.params(operation, from.params.keys(), &from.operation);
                self.list(operation, &from.list);
            }
        }
        if let Some(facts) = &form.facts
            && let Some(operation) = self.operation(catalogue, &facts.operation)
        {
            self.customer(operation, &facts.operation);
            self.params(operation, facts.params.keys(), &facts.operation);
            if operation.effect() == Effect::Write {
                self.at(&facts.operation, "facts are read, and this operation writes");
            }
        }
        for at_once in form.fields.iter().filter_map(|field| field.at_once.as_ref()) {
            if let Some(operation) = self.operation(catalogue, &at_once.operation) {
                self.customer(operation, &at_once.operation);
                self.params(operation, at_once.params.keys(), &at_once.operation);
                if operation.effect() != Effect::Write {
                    self.at(
                        &at_once.operation,
                        "what is done at once is a write; a read answers nothing here",
                    );
                }
            }
        }
    }

    fn operation<'a>(&mut self, catalogue: &'a Catalogue, name: &Spanned<String>) -> Option<&'a Operation> {
        let operation = catalogue.operation(name.get_ref());
        if operation.is_none() {
            let known = catalogue.core.iter().map(|operation| format!("core:{}", operation.name()));
            let known =
                known.chain(catalogue.house.iter().map(|operation| format!("house:{}", operation.name())));
            let nearest =
                known.min_by_key(|known| strsim::levenshtein(known, name.get_ref())).unwrap_or_default();
            let message =
                format!("the operation {:?} has no schema; did you mean {nearest:?}?", name.get_ref());
            self.at(name, message);
        }
        operation
    }

    fn customer(&mut self, operation: &Operation, place: &Spanned<String>) {
        let manifest = &self.service.manifest;
        let bound = *manifest.binding.get_ref() || manifest.link.is_some();
        if operation.customer() == CustomerUse::Required && !bound {
            self.at(place, "the operation needs a customer, so the service needs binding = true");
        }
    }

    fn effect(&mut self, operation: &Operation, wanted: Effect) {
        let effect = &self.service.manifest.effect;
        if *effect.get_ref() != operation.effect() {
            self.at(effect, "the effect differs from that of the operation");
        } else if *effect.get_ref() != wanted {
            self.at(effect, "a [lookup] reads and a [form] writes");
        }
    }

    fn refusals<'a>(
        &mut self,
        operation: &Operation,
        refusals: impl Iterator<Item = (&'a String, &'a Spanned<String>)>,
    ) {
        for (code, text) in refusals.filter(|(code, _)| !operation.errors().contains_key(*code)) {
            self.at(text, format!("the operation never refuses with {code:?}; this text is unreachable"));
        }
    }

    fn after_refusals(&mut self, operation: &Operation, after: &BTreeMap<String, Vec<Spanned<String>>>) {
        let unknown = after.iter().filter(|(code, _)| !operation.errors().contains_key(*code));
        for (code, ids) in unknown {
            if let Some(id) = ids.first() {
                self.at(id, format!("the operation never refuses with {code:?}; this is never offered"));
            }
        }
    }

    fn params<'a>(
        &mut self,
        operation: &Operation,
        names: impl Iterator<Item = &'a String>,
        place: &Spanned<String>,
    ) {
        let known = samples::members(operation.params_schema());
        for name in names.filter(|name| !known.contains(name.as_str())) {
            self.at(place, format!("the operation has no param {name:?}"));
        }
    }

    fn list(&mut self, operation: &Operation, list: &Spanned<String>) {
        if !samples::members(operation.result_schema()).contains(list.get_ref().as_str()) {
            self.at(list, format!("the operation's result has no {:?}", list.get_ref()));
        }
    }

    fn lookup(&mut self, catalogue: &Catalogue, operation: &Operation, lookup: &Lookup) {
        let known = samples::members(operation.params_schema());
        for name in lookup.accepts.iter().filter(|name| !known.contains(name.get_ref().as_str())) {
            self.at(name, format!("the operation has no param {:?}", name.get_ref()));
        }
        if let Some(rows) = &lookup.rows {
            self.list(operation, &rows.list);
            if rows.by == RowsBy::Core && !(known.contains("page") && known.contains("page_size")) {
                self.at(&rows.list, "the operation has no params page and page_size; say by = \"house\"");
            }
            if !(1..=10).contains(rows.size.get_ref()) {
                self.at(&rows.size, "1 to 10 rows fit into a message");
            }
        }
        for (name, words) in &lookup.filter {
            if !lookup.accepts.iter().any(|accepted| accepted.get_ref() == name) {
                self.at(words, format!("the filter {name:?} must stand among `accepts`"));
            }
        }
        let Some(pick) = &lookup.pick else { return };
        if lookup.rows.is_none() {
            self.at(&pick.label, "a pick needs [lookup.rows]: the list that is picked from");
        }
        if pick.service.is_some() == pick.by.is_some() || pick.by.is_some() == pick.services.is_empty() {
            self.at(&pick.label, "a pick opens one `service`, or `by` a value one of `services`");
        }
        for service in pick.service.iter().chain(pick.services.values()) {
            self.picked(catalogue, pick, service);
        }
    }

    /// A service that a row opens must take what it is given, or take nothing.
    fn picked(&mut self, catalogue: &Catalogue, pick: &Pick, service: &Spanned<String>) {
        let Some(target) = catalogue.get(service.get_ref()).map(|service| &service.manifest) else {
            let message = unknown_service(catalogue, service.get_ref());
            return self.at(service, message);
        };
        let fields = target.form.iter().flat_map(|form| &form.fields).map(|field| &field.name);
        let accepted = target.lookup.iter().flat_map(|lookup| &lookup.accepts).chain(fields);
        let accepted: BTreeSet<&str> = accepted.map(|name| name.get_ref().as_str()).collect();
        // With several services each takes what it knows; with one all of it must be known.
        for name in pick.given.keys().filter(|_| pick.by.is_none()) {
            if !accepted.contains(name.as_str()) {
                self.at(service, format!("{} does not accept {name:?}", service.get_ref()));
            }
        }
    }

    /// Every name that a text uses must be one that it sees.
    fn variables(&mut self, catalogue: &Catalogue) {
        let manifest = &self.service.manifest;
        let operation = manifest.lookup.as_ref().map(|lookup| &lookup.operation);
        let operation = operation.or(manifest.form.as_ref().map(|form| &form.operation));
        let result = operation.and_then(|name| catalogue.operation(name.get_ref()));
        for (template, sees) in manifest.templates() {
            let mut known = if sees.scene() { samples::scene_names() } else { BTreeSet::new() };
            if sees == Sees::AtOnce {
                let done = manifest.form.iter().flat_map(|form| &form.fields);
                let done = done.filter_map(|field| field.at_once.as_ref());
                let done = done.filter_map(|at_once| catalogue.operation(at_once.operation.get_ref()));
                known.extend(done.flat_map(|operation| samples::members(operation.result_schema())));
            }
            if matches!(sees, Sees::Result | Sees::Submitted | Sees::Done) {
                known.extend(
                    result.into_iter().flat_map(|operation| samples::members(operation.result_schema())),
                );
            }
            if sees == Sees::Options {
                let from = manifest.form.iter().flat_map(|form| &form.fields);
                let from = from.filter_map(|field| field.options_from.as_ref());
                let from = from.filter_map(|from| catalogue.operation(from.operation.get_ref()));
                known.extend(from.flat_map(|operation| samples::members(operation.result_schema())));
            }
            known.extend(sees.names());
            if sees == Sees::Given && manifest.form.as_ref().is_some_and(|form| form.facts.is_some()) {
                known.insert("facts");
            }
            if sees == Sees::Result && manifest.link.is_some() {
                known.insert("link");
            }
            for name in catalogue.texts.wants(&self.service.text_name(template)) {
                let root = name.split('.').next().unwrap_or_default();
                if !known.contains(root) {
                    let all: Vec<&str> = known.iter().copied().collect();
                    let message = format!(
                        "the text uses {name:?}, which does not exist here; there are {}",
                        all.join(", ")
                    );
                    let text = template.get_ref();
                    let before = text.split(root).next().unwrap_or_default();
                    let (line, last) = (before.matches('\n').count() + 1, before.rsplit('\n').next());
                    let column = last.unwrap_or_default().chars().count() + 1;
                    let fault = TextFault { line, column, message };
                    self.faults.push(self.service.text_fault(template, &fault));
                }
            }
        }
    }
}

impl Sees {
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Scene | Self::Options => &[],
            Self::Link => &["link"],
            Self::Result => &["shown", "has_more", "given"],
            Self::Row => &["row"],
            Self::Refusal => &["code", "message"],
            Self::Given | Self::Submitted | Self::Done | Self::AtOnce => &["given", "chosen"],
            Self::Down => &["given", "chosen", "done"],
        }
    }
}

fn unknown_service(catalogue: &Catalogue, id: &str) -> String {
    let known: BTreeSet<&str> = catalogue.iter().map(Service::id).collect();
    match known.into_iter().min_by_key(|known| strsim::levenshtein(known, id)) {
        Some(nearest) => format!("there is no service {id:?}; did you mean {nearest:?}?"),
        None => format!("there is no service {id:?}"),
    }
}
