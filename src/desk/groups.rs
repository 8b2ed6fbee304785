//! Skill groups: `templates/desk/groups.toml`.

use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::content::{Fault, File};

/// Most groups.
const GROUPS_MAX: usize = 50;
/// Longest id.
const ID_CHARS_MAX: usize = 32;

/// One skill group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id, as cases carry it.
    pub id: String,
    /// Its name in Chinese.
    pub name: String,
    /// Its name in English.
    pub english: String,
    /// The first answer is promised within this.
    pub answer_within: Duration,
    /// Who waits longer than this may be taken by anybody, so that nobody waits for ever for a group without people.
    pub anyone_after: Option<Duration>,
    /// Whether its cases register a complaint.
    pub complaints: bool,
    takes: Vec<String>,
}

/// All groups, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Groups(Vec<Group>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    name: String,
    english: String,
    #[serde(default)]
    takes: Vec<String>,
    answer_within_s: Spanned<u32>,
    #[serde(default)]
    anyone_after_s: Option<Spanned<u32>>,
    #[serde(default)]
    complaints: bool,
}

impl Groups {
    /// The group that takes what no other group takes.
    pub const GENERAL: &'static str = "general";

    /// Reads the file.
    ///
    /// # Errors
    /// What does not fit, with its line.
    pub fn parse(file: &File) -> Result<Self, Fault> {
        let table: toml::Table = file.parse()?;
        let mut sections: std::collections::BTreeMap<Spanned<String>, Section> = file.parse()?;
        let fault = |byte, message: String| Err(file.fault_at(byte, message));
        if !table.contains_key(Self::GENERAL) {
            return fault(
                0,
                format!("the group [{}] is missing: it takes what no other does", Self::GENERAL),
            );
        }
        if sections.len() > GROUPS_MAX {
            return fault(0, format!("{} groups; at most {GROUPS_MAX} are allowed", sections.len()));
        }
        let mut order: Vec<Spanned<String>> = sections.keys().cloned().collect();
        order.sort_by_key(|id| id.span().start);
        let mut groups: Vec<Group> = Vec::new();
        for id in order {
            let Some(section) = sections.remove(&id) else { continue };
            let (byte, id) = (id.span().start, id.into_inner());
            let plain = id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
            if !plain || id.len() > ID_CHARS_MAX {
                return fault(byte, format!("the group {id:?} is not 1 to {ID_CHARS_MAX} of a-z, 0-9 and _"));
            }
            if *section.answer_within_s.get_ref() == 0 {
                return fault(
                    section.answer_within_s.span().start,
                    "nobody can answer within 0 seconds".to_owned(),
                );
            }
            if let Some(after) = section
                .anyone_after_s
                .as_ref()
                .filter(|after| after.get_ref() < section.answer_within_s.get_ref())
            {
                let message =
                    "anyone_after_s is shorter than answer_within_s: the group would not get its own cases";
                return fault(after.span().start, message.to_owned());
            }
            let taken =
                section.takes.iter().find(|code| groups.iter().any(|group| group.takes.contains(code)));
            if let Some(code) = taken {
                return fault(byte, format!("{code:?} is taken by another group already"));
            }
            groups.push(Group {
                id,
                name: section.name,
                english: section.english,
                answer_within: Duration::from_secs(u64::from(*section.answer_within_s.get_ref())),
                anyone_after: section
                    .anyone_after_s
                    .map(|after| Duration::from_secs(u64::from(after.into_inner()))),
                complaints: section.complaints,
                takes: section.takes,
            });
        }
        Ok(Self(groups))
    }

    /// The groups in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Group> {
        self.0.iter()
    }

    /// The group with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Group> {
        self.0.iter().find(|group| group.id == id)
    }

    /// The id of the group that takes a code of a service or a word list.
    #[must_use]
    pub fn taker(&self, code: &str) -> &str {
        let taker = self
            .get(code)
            .or_else(|| self.0.iter().find(|group| group.takes.iter().any(|taken| taken == code)));
        taker.map_or(Self::GENERAL, |group| group.id.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;

    fn file(text: &str) -> File {
        Content::of([("desk/groups.toml", text)]).file("desk/groups.toml").unwrap().clone()
    }

    #[test]
    fn codes_find_their_group_and_unknown_ones_the_general_one() {
        let groups = Groups::parse(Content::built_in().file("desk/groups.toml").unwrap()).unwrap();
        let ids: Vec<&str> = groups.iter().map(|group| group.id.as_str()).collect();
        assert_eq!(ids, ["general", "card", "loan", "fraud", "complaint", "english"]);
        assert_eq!(
            ["security", "card", "", "gardening"].map(|code| groups.taker(code)),
            ["fraud", "card", "general", "general"]
        );
        assert!(groups.get("complaint").unwrap().complaints);
    }

    #[test]
    fn faults_name_their_line() {
        let general = "[general]\nname = '综合'\nenglish = 'General'\nanswer_within_s = 1\n";
        for (text, line, says) in [
            ("", 1, "general"),
            (&format!("{general}[B-1]\nname = 'b'\nenglish = 'b'\nanswer_within_s = 1\n"), 5, "B-1"),
            (&general.replace("= 1", "= 0"), 4, "0 seconds"),
            (&format!("{}anyone_after_s = 5\n", general.replace("= 1", "= 9")), 5, "shorter"),
            (&format!("{general}takez = ['a']\n"), 5, "takes"),
        ] {
            let fault = Groups::parse(&file(text)).unwrap_err();
            assert!(fault.line == line && fault.message.contains(says), "{fault}");
        }
    }
}
