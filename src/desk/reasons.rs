//! What reasons are called where staff read them: `templates/desk/reasons.toml`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::Desk;
use crate::content::{Fault, File};

/// Most reasons.
const REASONS_MAX: usize = 500;

/// Why a case opened, in both languages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In Chinese.
    pub name: String,
    /// In English.
    pub english: String,
}

/// The reasons that have names, by how services and word lists word them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons(BTreeMap<String, Reason>);

impl Reasons {
    /// Reads the file.
    ///
    /// # Errors
    /// What does not fit, with its line.
    pub fn parse(file: &File) -> Result<Self, Fault> {
        let reasons: BTreeMap<String, Reason> = file.parse()?;
        if reasons.len() > REASONS_MAX {
            return Err(
                file.fault_at(0, format!("{} reasons; at most {REASONS_MAX} are allowed", reasons.len()))
            );
        }
        // A case keeps no more of its reason: nothing would find a longer one.
        let longer = |reason: &&String| reason.chars().count() > Desk::CODE_CHARS_MAX;
        if let Some(reason) = reasons.keys().find(longer) {
            let place = file.text.find(reason.as_str()).unwrap_or_default();
            let message = format!("the reason is longer than {} characters", Desk::CODE_CHARS_MAX);
            return Err(file.fault_at(place, message));
        }
        Ok(Self(reasons))
    }

    /// The names of a reason, as a case keeps it.
    #[must_use]
    pub fn get(&self, reason: &str) -> Option<&Reason> {
        self.0.get(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;

    /// Every `reason` of a person who is called, wherever it stands in a file.
    fn reasons_in(value: &toml::Value, found: &mut Vec<String>) {
        let toml::Value::Table(members) = value else { return };
        if let (Some(toml::Value::String(reason)), true) =
            (members.get("reason"), members.contains_key("priority"))
        {
            found.push(reason.clone());
        }
        members.values().for_each(|value| reasons_in(value, found));
    }

    #[test]
    fn every_reason_of_the_built_in_content_has_names() {
        let content = Content::built_in();
        let reasons = Reasons::parse(content.file("desk/reasons.toml").unwrap()).unwrap();
        let mut used = vec!["asked".to_owned(), "complaint".to_owned()];
        for (path, file) in content.below("services").chain(content.below("lexicon")) {
            if path.ends_with(".toml") {
                reasons_in(&file.text.parse::<toml::Table>().unwrap().into(), &mut used);
            }
        }
        assert!(used.len() > 8, "{used:?}");
        for reason in used {
            let named = reasons.get(&reason).unwrap_or_else(|| panic!("{reason} has no names"));
            assert!(named.english.is_ascii() && !named.name.is_ascii(), "{named:?}");
        }
    }

    #[test]
    fn a_reason_that_no_case_can_have_is_a_fault_with_its_line() {
        let long = "长".repeat(Desk::CODE_CHARS_MAX + 1);
        for (text, line, says) in [
            (
                format!("[asked]\nname = '甲'\nenglish = 'A'\n[{long:?}]\nname = '乙'\nenglish = 'B'\n"),
                4,
                "64",
            ),
            ("[asked]\nname = '甲'\n".to_owned(), 1, "english"),
        ] {
            let content = Content::of([("desk/reasons.toml", text.as_str())]);
            let fault = Reasons::parse(content.file("desk/reasons.toml").unwrap()).unwrap_err();
            assert!(fault.line == line && fault.message.contains(says), "{fault}");
        }
    }
}
