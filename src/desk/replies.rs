//! Canned replies: `templates/desk/replies.toml`.

use serde::Deserialize;
use toml::Spanned;

use super::Groups;
use crate::content::{Fault, File};
use crate::wechat::text::Text;

/// Most replies.
const REPLIES_MAX: usize = 1_000;
/// What a reply may name; the page fills it in, and what it stands for has at most so many bytes.
const VARIABLES: [(&str, usize); 4] =
    [("{customer}", 64), ("{agent}", 128), ("{account}", 128), ("{card}", 4)];

/// One canned reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What agents find it by.
    pub title: String,
    /// The same on English pages; none: the title.
    pub english: Option<String>,
    /// The text, with variables in braces.
    pub text: String,
    /// The groups that see it first; none: all.
    pub groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Replies {
    #[serde(default)]
    reply: Vec<Section>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    title: Spanned<String>,
    english: Option<String>,
    text: Spanned<String>,
    #[serde(default)]
    groups: Vec<Spanned<String>>,
}

/// Reads the file.
///
/// # Errors
/// What does not fit, with its line.
pub(super) fn parse(file: &File, groups: &Groups) -> Result<Vec<Reply>, Fault> {
    let read: Replies = file.parse()?;
    if read.reply.len() > REPLIES_MAX {
        return Err(
            file.fault_at(0, format!("{} replies; at most {REPLIES_MAX} are allowed", read.reply.len()))
        );
    }
    read.reply.into_iter().map(|section| reply(file, groups, section)).collect()
}

fn reply(file: &File, groups: &Groups, section: Section) -> Result<Reply, Fault> {
    let text = section.text.get_ref();
    let longest = VARIABLES
        .into_iter()
        .fold(text.clone(), |text, (name, bytes_max)| text.replace(name, &"x".repeat(bytes_max)));
    let byte = section.text.span().start;
    if longest.contains(['{', '}']) {
        let known = VARIABLES.map(|(name, _)| name).join(", ");
        return Err(file.fault_at(byte, format!("the text has other braces than {known}")));
    }
    if Text::new(&longest).is_err() {
        let message =
            format!("the text is empty, or longer than {} bytes once it is filled", Text::BYTES_MAX);
        return Err(file.fault_at(byte, message));
    }
    if section.title.get_ref().trim().is_empty() {
        return Err(file.fault_at(section.title.span().start, "a reply needs a title that agents find it by"));
    }
    if let Some(unknown) = section.groups.iter().find(|group| groups.get(group.get_ref()).is_none()) {
        let message = format!("there is no group {:?} in desk/groups.toml", unknown.get_ref());
        return Err(file.fault_at(unknown.span().start, message));
    }
    Ok(Reply {
        title: section.title.into_inner(),
        english: section.english.filter(|title| !title.trim().is_empty()),
        text: section.text.into_inner(),
        groups: section.groups.into_iter().map(Spanned::into_inner).collect(),
    })
}
