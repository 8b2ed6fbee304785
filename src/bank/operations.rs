//! What the bank's core can be asked: one file for each operation with the schemas of its params and result, the
//! codes it may refuse with, and an example. The files are the contract that a bank's gateway is tested against.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde::Deserialize;
use serde_json::Value;

use crate::content::{Content, Fault};

/// The built-in operation files.
#[derive(rust_embed::RustEmbed)]
#[folder = "src/bank/schemas"]
struct Files;

/// Words that several schemas share (`#/$defs/money` …).
const SHARED_WORDS: &str = include_str!("words.json");

/// Whether an operation changes anything at the bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effect {
    /// May be repeated at will.
    Read,
    /// May be repeated only under its idempotency key.
    Write,
}

/// Whether a call names a customer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CustomerUse {
    /// Must name one.
    Required,
    /// May name one.
    Optional,
    /// Names none.
    None,
}

/// An operation file that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("operation file {name}.json: {reason}")]
pub struct BadOperation {
    name: String,
    reason: String,
}

/// Where a value does not fit its schema. Holds places and rule names only, never the value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFault {
    /// JSON pointer of what does not fit, such as `/bills/0/amount_due/value`; empty for the whole.
    pub path: String,
    /// The schema keyword that it breaks, such as `required` or `pattern`.
    pub rule: String,
}

impl fmt::Display for SchemaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        write!(f, "{path} breaks {}", self.rule)
    }
}

/// A worked example of an operation: what is sent and what comes back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// A customer of the sandbox core, or none.
    pub customer_id: Option<String>,
    /// Fits the schema of the params.
    pub params: Value,
    /// Fits the schema of the result; also what pages and texts are tried out with.
    pub result: Value,
}

/// One operation of the core, its schemas compiled.
pub struct Operation {
    name: Arc<str>,
    title: String,
    description: String,
    effect: Effect,
    customer: CustomerUse,
    errors: BTreeMap<String, String>,
    example: Example,
    params_schema: Value,
    result_schema: Value,
    params: Validator,
    result: Validator,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    title: String,
    description: String,
    effect: Effect,
    customer: CustomerUse,
    params: Value,
    result: Value,
    errors: BTreeMap<String, String>,
    example: Example,
}

impl Operation {
    /// Reads one operation file. Its example must fit its schemas.
    ///
    /// # Errors
    /// [`BadOperation`] with what is wrong and where.
    pub fn parse(name: &str, text: &str) -> Result<Self, BadOperation> {
        let bad = |reason: String| BadOperation { name: name.to_owned(), reason };
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(bad("a name is 1 to 64 of a-z, 0-9 and _".to_owned()));
        }
        let file: File = serde_json::from_str(text).map_err(|error| bad(error.to_string()))?;
        let params_schema = with_shared_words(file.params).map_err(bad)?;
        let result_schema = with_shared_words(file.result).map_err(bad)?;
        let compile = |schema: &Value, what: &str| {
            jsonschema::draft202012::options()
                .should_validate_formats(true)
                .build(schema)
                .map_err(|error| bad(format!("the schema of {what} does not compile: {error}")))
        };
        let operation = Self {
            params: compile(&params_schema, "params")?,
            result: compile(&result_schema, "result")?,
            name: Arc::from(name),
            title: file.title,
            description: file.description,
            effect: file.effect,
            customer: file.customer,
            errors: file.errors,
            example: file.example,
            params_schema,
            result_schema,
        };
        operation
            .check_params(&operation.example.params)
            .map_err(|fault| bad(format!("example.params{fault}")))?;
        operation
            .check_result(&operation.example.result)
            .map_err(|fault| bad(format!("example.result{fault}")))?;
        Ok(operation)
    }

    /// Its name in the address of a call.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What staff call it.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What it does, for those who build the bank's side of it.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Read or write.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Whether a call names a customer.
    #[must_use]
    pub fn customer(&self) -> CustomerUse {
        self.customer
    }

    /// The codes it may refuse with, and what each means.
    #[must_use]
    pub fn errors(&self) -> &BTreeMap<String, String> {
        &self.errors
    }

    /// The worked example.
    #[must_use]
    pub fn example(&self) -> &Example {
        &self.example
    }

    /// The schema of the params, whole.
    #[must_use]
    pub fn params_schema(&self) -> &Value {
        &self.params_schema
    }

    /// The schema of the result, whole.
    #[must_use]
    pub fn result_schema(&self) -> &Value {
        &self.result_schema
    }

    /// Checks params before they are sent.
    ///
    /// # Errors
    /// The first place that does not fit.
    pub fn check_params(&self, params: &Value) -> Result<(), SchemaFault> {
        check(&self.params, params)
    }

    /// Checks a result that came back.
    ///
    /// # Errors
    /// The first place that does not fit.
    pub fn check_result(&self, result: &Value) -> Result<(), SchemaFault> {
        check(&self.result, result)
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Operation({})", self.name)
    }
}

/// All operations, by name.
#[derive(Debug)]
pub struct Operations(BTreeMap<Arc<str>, Operation>);

impl Operations {
    /// The operations that the program carries.
    ///
    /// # Errors
    /// Never in a build whose tests passed.
    pub fn builtin() -> Result<Self, BadOperation> {
        let mut files = Vec::new();
        for path in Files::iter() {
            let name = path.strip_suffix(".json").unwrap_or(&path).to_owned();
            let data = Files::get(&path).map(|file| file.data).unwrap_or_default();
            files.push((name, String::from_utf8_lossy(&data).into_owned()));
        }
        Self::parse(files)
    }

    /// The operations that the program carries and those that a bank adds under `operations/`; one of the same name takes
    /// its place.
    ///
    /// # Errors
    /// Every file that cannot be used, with its name.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut all = Self::builtin()
            .map_err(|error| vec![Fault::new("the program's own operations", 1, error.to_string())])?;
        for (path, file) in content.below("operations") {
            let name = path.trim_start_matches("operations/").trim_end_matches(".json");
            match Operation::parse(name, &file.text) {
                Ok(operation) => drop(all.0.insert(Arc::clone(&operation.name), operation)),
                Err(error) => faults.push(file.fault_at(0, error.to_string())),
            }
        }
        if faults.is_empty() { Ok(all) } else { Err(faults) }
    }

    /// Reads operation files given as (name, text); a later one replaces an earlier one of its name.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn parse(files: impl IntoIterator<Item = (String, String)>) -> Result<Self, BadOperation> {
        let mut operations = BTreeMap::new();
        for (name, text) in files {
            let operation = Operation::parse(&name, &text)?;
            operations.insert(Arc::clone(&operation.name), operation);
        }
        Ok(Self(operations))
    }

    /// The operation with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Operation> {
        self.0.get(name)
    }

    /// All of them in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Operation> {
        self.0.values()
    }
}

fn with_shared_words(mut schema: Value) -> Result<Value, String> {
    let words: Value = serde_json::from_str(SHARED_WORDS).map_err(|error| format!("words.json: {error}"))?;
    let members = schema.as_object_mut().ok_or("a schema must be an object")?;
    if members.insert("$defs".to_owned(), words).is_some() {
        return Err("$defs is taken by the shared words".to_owned());
    }
    Ok(schema)
}

fn check(validator: &Validator, value: &Value) -> Result<(), SchemaFault> {
    let Err(error) = validator.validate(value) else { return Ok(()) };
    let mut path = error.instance_path().to_string();
    if let ValidationErrorKind::Required { property: Value::String(property) } = error.kind() {
        path.push('/');
        path.push_str(property);
    }
    Err(SchemaFault { path, rule: error.kind().keyword().to_owned() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_built_in_operation_compiles_and_its_example_fits() {
        let operations = Operations::builtin().unwrap();
        assert!(operations.iter().count() >= 15);
        for operation in operations.iter() {
            assert!(!operation.title().is_empty() && !operation.description().is_empty());
            let example = operation.example();
            let named = example.customer_id.is_some();
            assert!(named || operation.customer() != CustomerUse::Required, "{operation:?}");
            assert!(!named || operation.customer() != CustomerUse::None, "{operation:?}");
        }
    }

    #[test]
    fn every_text_of_a_result_has_a_longest_value() {
        fn walk(schema: &Value, at: &str) {
            if let Value::Object(members) = schema {
                let text = members.get("type").is_some_and(|kind| {
                    kind == "string" || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("string")))
                });
                let bounded = ["maxLength", "enum", "const"].iter().any(|key| members.contains_key(*key));
                assert!(!text || bounded, "{at} has no longest value");
                let list = members.get("type").is_some_and(|kind| kind == "array");
                assert!(!list || members.contains_key("maxItems"), "{at} has no longest list");
                members.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}")));
            }
        }
        for operation in Operations::builtin().unwrap().iter() {
            walk(operation.result_schema(), operation.name());
            walk(operation.params_schema(), operation.name());
        }
    }

    #[test]
    fn a_fault_names_its_place_and_rule_and_nothing_of_the_value() {
        let operations = Operations::builtin().unwrap();
        let points = operations.get("points_query").unwrap();
        let mut result = points.example().result.clone();
        result["rewards"][0]["points"] = json!("张立春的积分");
        let fault = points.check_result(&result).unwrap_err();
        assert_eq!((fault.path.as_str(), fault.rule.as_str()), ("/rewards/0/points", "type"));
        result.as_object_mut().unwrap().remove("rewards");
        assert_eq!(points.check_result(&result).unwrap_err().path, "/rewards");
        assert_eq!(points.check_params(&json!({"unknown": 1})).unwrap_err().rule, "additionalProperties");
    }

    #[test]
    fn a_file_that_cannot_be_used_says_which_and_why() {
        for (name, text, reason) in
            [("x", "{", "EOF"), ("X", "{}", "a name is"), ("x", "{}", "missing field")]
        {
            let error = Operation::parse(name, text).unwrap_err().to_string();
            assert!(error.contains(&format!("{name}.json")) && error.contains(reason), "{error}");
        }
    }
}
