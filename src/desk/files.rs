//! What the bank edits for the desk: `templates/desk/*.toml`, read as a whole.

use super::groups::Groups;
use super::hours::Hours;
use super::reasons::Reasons;
use super::replies::{self, Reply};
use super::wording::Wording;
use crate::content::{Content, Fault, File};

/// The desk's files, complete and without fault.
#[derive(Clone, Debug)]
pub struct DeskFiles {
    /// When people answer.
    pub hours: Hours,
    /// Who answers what.
    pub groups: Groups,
    /// What reasons are called.
    pub reasons: Reasons,
    /// Canned replies.
    pub replies: Vec<Reply>,
    /// What agents must not write.
    pub wording: Wording,
}

impl DeskFiles {
    /// Reads all of them.
    ///
    /// # Errors
    /// The faults of every file.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let hours = read(content, "desk/hours.toml", &mut faults, |file| {
            Hours::parse(&file.text).map_err(|fault| Fault::new(&file.origin, fault.line, fault.message))
        });
        let groups = read(content, "desk/groups.toml", &mut faults, Groups::parse);
        let reasons = read(content, "desk/reasons.toml", &mut faults, Reasons::parse);
        let wording = read(content, "desk/wording.toml", &mut faults, Wording::parse);
        let replies = groups.as_ref().and_then(|groups| {
            read(content, "desk/replies.toml", &mut faults, |file| replies::parse(file, groups))
        });
        match (hours, groups, reasons, replies, wording) {
            (Some(hours), Some(groups), Some(reasons), Some(replies), Some(wording)) => {
                Ok(Self { hours, groups, reasons, replies, wording })
            }
            _ => Err(faults),
        }
    }
}

fn read<T>(
    content: &Content,
    path: &str,
    faults: &mut Vec<Fault>,
    parse: impl Fn(&File) -> Result<T, Fault>,
) -> Option<T> {
    let missing = || Fault::new(format!("templates/{path}"), 1, "this file is missing");
    let read = content.file(path).ok_or_else(missing).and_then(parse);
    read.map_err(|fault| faults.push(fault)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_faulty_file_is_told_with_its_line() {
        assert!(DeskFiles::load(&Content::built_in()).is_ok());
        let broken = Content::built_in()
            .with("desk/hours.toml", "every_day = ['8:00']\n")
            .with("desk/wording.toml", "baned = []\n")
            .with("desk/replies.toml", "[[reply]]\ntitle = 't'\ntext = 'x {name}'\ngroups = ['gardening']\n");
        let faults = DeskFiles::load(&broken).unwrap_err();
        let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(
            told.iter()
                .any(|fault| fault.starts_with("templates/desk/replies.toml:3") && fault.contains("{agent}"))
        );
        assert!(told.iter().any(|fault| fault.contains("banned")), "{told:?}");
        let other = Content::built_in()
            .with("desk/replies.toml", "[[reply]]\ntitle = 't'\ntext = 'x'\ngroups = ['gardening']\n");
        assert!(DeskFiles::load(&other).unwrap_err()[0].message.contains("gardening"));
    }
}
