//! Made-up results of an operation, out of its schema: the example, the shortest, and the longest with every code
//! and flag. What texts are tried out with, so that no customer is the first to see one fail.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::manifest::{Field, FieldKind, Sees, Template};
use super::{Catalogue, Service};
use crate::bank::Operation;
use crate::content::Fault;
use crate::render::Values;
use crate::wechat::text::Text;

/// How many of the longest results are made, each with other codes and flags.
pub const VARIANTS: usize = 8;
/// Levels of a schema that are followed.
const DEPTH_MAX: usize = 12;

/// The members that an object of this schema may have.
#[must_use]
pub fn members(schema: &Value) -> BTreeSet<&str> {
    let word = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    let schema = word.map_or(schema, |word| &schema["$defs"][word]);
    schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect()
}

/// The names that every text sees.
#[must_use]
pub fn scene_names() -> BTreeSet<&'static str> {
    ["account", "bound", "card", "cards", "desk", "reference"].into()
}

/// The values of a scene, short or long.
#[must_use]
pub fn scene_values(long: bool) -> Value {
    let product = if long { "长".repeat(20) } else { "金卡".to_owned() };
    let card = json!({ "card_id": "K1", "last4": "8888", "product": product });
    json!({
        "account": { "name": if long { "示例银行股份有限公司信用卡中心" } else { "示例银行" } },
        "bound": true,
        "card": card,
        "cards": vec![card.clone(); if long { 10 } else { 1 }],
        "desk": { "open": true, "hours": "每天 8:00–22:00", "waiting": 888, "wait_minutes": 88 },
        "reference": "ABCD2345",
    })
}

/// Results that fit the operation's schema; lists are cut to `rows_max`.
#[must_use]
pub fn results(operation: &Operation, rows_max: usize) -> Vec<Value> {
    let schema = operation.result_schema();
    let mut results = vec![operation.example().result.clone()];
    for variant in 0..VARIANTS {
        for long in [false, true] {
            let maker = Maker { root: schema, variant, long, rows_max };
            results.push(maker.make(schema, 0, 0));
        }
    }
    results.retain(|result| operation.check_result(result).is_ok());
    results
}

/// The longest results only.
#[must_use]
pub fn longest(operation: &Operation, rows_max: usize) -> Vec<Value> {
    let schema = operation.result_schema();
    let longest = (0..VARIANTS).map(|variant| Maker { root: schema, variant, long: true, rows_max });
    let longest = longest.map(|maker| maker.make(schema, 0, 0));
    longest.filter(|result| operation.check_result(result).is_ok()).collect()
}

struct Maker<'a> {
    root: &'a Value,
    variant: usize,
    long: bool,
    rows_max: usize,
}

impl Maker<'_> {
    /// `index` is the place in the list around the value, so that amounts of one row share a currency.
    fn make(&self, schema: &Value, index: usize, depth: usize) -> Value {
        if depth > DEPTH_MAX {
            return Value::Null;
        }
        if let Some(reference) = schema["$ref"].as_str() {
            let word = reference.rsplit('/').next().unwrap_or_default();
            return self
                .word(word, index)
                .unwrap_or_else(|| self.make(&self.root["$defs"][word], index, depth + 1));
        }
        if let Some(values) = schema["enum"].as_array() {
            return values.get((self.variant + index) % values.len().max(1)).cloned().unwrap_or_default();
        }
        if let Some(constant) = schema.get("const") {
            return constant.clone();
        }
        if let Some(kinds) = schema["anyOf"].as_array() {
            let null = |kind: &&Value| kind["type"] == "null";
            let kind = kinds.iter().find(|kind| null(kind) != self.long);
            return kind.or(kinds.first()).map_or(Value::Null, |kind| self.make(kind, index, depth + 1));
        }
        match schema["type"].as_str() {
            Some("object") => self.object(schema, index, depth),
            Some("array") => self.list(schema, depth),
            Some("string") => self.string(schema),
            Some("integer") => {
                let bound = if self.long { "maximum" } else { "minimum" };
                schema.get(bound).cloned().unwrap_or_else(|| json!(1))
            }
            Some("boolean") => json!((self.variant + index).is_multiple_of(2)),
            _ => Value::Null,
        }
    }

    fn object(&self, schema: &Value, index: usize, depth: usize) -> Value {
        let properties = schema["properties"].as_object().into_iter().flatten();
        let made: Map<String, Value> =
            properties.map(|(name, schema)| (name.clone(), self.make(schema, index, depth + 1))).collect();
        Value::Object(made)
    }

    fn list(&self, schema: &Value, depth: usize) -> Value {
        let bound = |name: &str| schema[name].as_u64().and_then(|bound| usize::try_from(bound).ok());
        let fewest = bound("minItems").unwrap_or(0);
        let most = bound("maxItems").unwrap_or(fewest.max(1)).min(self.rows_max.max(fewest));
        let count = if self.long { most } else { fewest };
        (0..count).map(|index| self.make(&schema["items"], index, depth + 1)).collect()
    }

    fn string(&self, schema: &Value) -> Value {
        let longest = schema["maxLength"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(1);
        match schema["format"].as_str() {
            Some("date") => json!("2026-12-31"),
            Some("date-time") => json!("2026-12-31T23:59:59+08:00"),
            _ => json!("长".repeat(if self.long { longest } else { 1 })),
        }
    }

    /// Shared words that have a pattern.
    fn word(&self, word: &str, index: usize) -> Option<Value> {
        let currency = ["CNY", "USD", "EUR", "HKD"][index % 4];
        let digits = |long: &'static str, short: &'static str| json!(if self.long { long } else { short });
        Some(match word {
            "money" => json!({ "value": digits("9999999999999.99", "0.00"), "currency": currency }),
            "currency" => json!(currency),
            "decimal" => digits("9999999999999.99", "0"),
            "month" => json!("2026-12"),
            "time_of_day" => json!("09:30"),
            "last4" => json!("8888"),
            "phone" => json!("13800000000"),
            _ => return None,
        })
    }
}

/// The fault of a text that no chat message can hold.
#[must_use]
pub fn too_long(text: &str) -> String {
    let (bytes, bytes_max) = (text.len(), Text::BYTES_MAX);
    format!(
        "with the longest values the text has {bytes} bytes of UTF-8; a message holds {bytes_max}; say less"
    )
}

/// Fills every text of one service with all that it may meet.
pub(super) fn try_out(catalogue: &Catalogue, service: &Service) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (template, sees) in service.manifest.templates() {
        for values in views(catalogue, service, template, sees) {
            let fault = match catalogue.render(service, template, &values) {
                Ok(text) if sees != Sees::Result && text.len() > Text::BYTES_MAX => {
                    service.file().fault_at(template.span().start, too_long(&text))
                }
                Ok(_) => continue,
                Err(fault) => service.text_fault(template, &fault),
            };
            faults.push(fault);
            break;
        }
    }
    faults
}

/// Everything that one text may be filled with.
fn views(catalogue: &Catalogue, service: &Service, template: &Template, sees: Sees) -> Vec<Values> {
    let mut all = Vec::new();
    for long in [false, true] {
        let mut scene = Values::new();
        if sees.scene() {
            scene.extend(&scene_values(long));
        }
        scene.set("done", &json!(long));
        scene.set_markup("link", "<a href=\"https://bank.example\">打开</a>".to_owned());
        scene.set("given", &json!(given(service, long)));
        scene.set("chosen", &json!(given(service, long)));
        scene.set("shown", &json!(0));
        scene.set("has_more", &json!(long));
        scene.set_text("code", "code");
        scene.set_text("message", "原因");
        if !matches!(
            sees,
            Sees::Result | Sees::Submitted | Sees::Row | Sees::Options | Sees::Done | Sees::AtOnce
        ) {
            all.extend(with_facts(catalogue, service, sees, scene));
            continue;
        }
        for (operation, list) in sources(catalogue, service, template, sees) {
            for result in results(operation, 10) {
                let rows = list.map_or(vec![], |list| result[list].as_array().cloned().unwrap_or_default());
                if sees == Sees::Row {
                    all.extend(rows.iter().map(|row| with(&scene, "row", row)));
                } else {
                    let mut values = scene.clone();
                    values.extend(&result);
                    all.push(values);
                }
            }
        }
    }
    all
}

/// The scene with each answer that a form's facts may have, for the texts that see them.
fn with_facts(catalogue: &Catalogue, service: &Service, sees: Sees, scene: Values) -> Vec<Values> {
    let facts = service.manifest.form.as_ref().and_then(|form| form.facts.as_ref());
    let operation = facts.and_then(|facts| catalogue.operation(facts.operation.get_ref()));
    match operation.filter(|_| sees == Sees::Given) {
        Some(operation) => {
            results(operation, 10).iter().map(|result| with(&scene, "facts", result)).collect()
        }
        None => vec![scene],
    }
}

fn with(scene: &Values, name: &str, value: &Value) -> Values {
    let mut values = scene.clone();
    values.set(name, value);
    values
}

/// The operations whose results a text sees, and the list whose rows it sees.
fn sources<'a>(
    catalogue: &'a Catalogue,
    service: &'a Service,
    template: &Template,
    sees: Sees,
) -> Vec<(&'a Operation, Option<&'a str>)> {
    let manifest = &service.manifest;
    let mut names: Vec<(&str, Option<&str>)> = Vec::new();
    if let Some(lookup) = &manifest.lookup {
        let list = lookup.rows.as_ref().map(|rows| rows.list.get_ref().as_str());
        names.push((lookup.operation.get_ref(), list));
    }
    if let Some(form) = &manifest.form {
        if matches!(sees, Sees::Submitted | Sees::Done) {
            names.push((form.operation.get_ref(), None));
        }
        for at_once in form.fields.iter().filter_map(|field| field.at_once.as_ref()) {
            let data = at_once.event.iter().flat_map(|event| event.data.values());
            if data.chain([&at_once.say]).any(|text| text.span() == template.span()) {
                names.push((at_once.operation.get_ref(), None));
            }
        }
        for from in form.fields.iter().filter_map(|field| field.options_from.as_ref()) {
            let texts = [&from.value, &from.label].into_iter().chain(&from.too_few).chain(&from.note);
            let mine = texts.into_iter().any(|text| text.span() == template.span());
            if mine {
                names.push((from.operation.get_ref(), Some(from.list.get_ref())));
            }
        }
    }
    names.into_iter().filter_map(|(name, list)| Some((catalogue.operation(name)?, list))).collect()
}

/// What may be typed into a field: the shortest or the longest.
#[must_use]
pub fn typed(field: &Field, long: bool) -> String {
    let longest = field.characters_max.as_ref().map_or(20, |most| *most.get_ref());
    let word = "长".repeat(if long { usize::try_from(longest).unwrap_or(20) } else { 1 });
    match field.kind {
        FieldKind::Amount => if long { "9999999999.99" } else { "0.00" }.to_owned(),
        FieldKind::Count => if long { "999" } else { "1" }.to_owned(),
        FieldKind::Month => "2026-12".to_owned(),
        FieldKind::Date => "2026-12-31".to_owned(),
        FieldKind::Phone => "13800000000".to_owned(),
        FieldKind::Hours => if long { "22:00-08:00" } else { "off" }.to_owned(),
        FieldKind::Choice | FieldKind::YesNo | FieldKind::Text => word,
    }
}

/// What a form may have gathered, or a lookup may have been given.
fn given(service: &Service, long: bool) -> Map<String, Value> {
    let manifest = &service.manifest;
    let fields = manifest.form.iter().flat_map(|form| &form.fields).map(|field| {
        let typed = typed(field, long);
        let value = field.options.get(usize::from(long)).or(field.options.first());
        let value = value.map_or(typed, |choice| choice.value.clone());
        (field.name.get_ref().clone(), json!(value))
    });
    let accepted = manifest.lookup.iter().flat_map(|lookup| &lookup.accepts);
    let accepted = accepted.filter(|_| long).map(|name| (name.get_ref().clone(), json!("2026-12")));
    fields.chain(accepted).collect()
}
