//! How a reply is put together: warning, what happened on the way, the answer, numbered lines. 1 to 2048 bytes.

use super::outcome::OnPage;
use super::state::{Action, Item};
use crate::wechat::text::{Text, menu_link, plain};

/// What stands in place of what had to be cut.
const ELLIPSIS: &str = "…";

/// A numbered line of a reply: by number, by its words, or by a tap.
pub(super) struct Line {
    pub(super) item: Item,
    /// The service that a tap starts, also much later; otherwise a tap counts for this list only.
    pub(super) service: Option<String>,
}

/// The parts of a reply, in their order.
#[derive(Default)]
pub(super) struct Reply {
    /// Warnings and what happened on the way.
    pub(super) before: Vec<String>,
    pub(super) body: String,
    /// Lines that belong to the answer: rows, choices.
    pub(super) rows: Vec<Line>,
    /// What can be done with the rows.
    pub(super) hints: Vec<String>,
    /// Words before the further services.
    pub(super) next_words: String,
    pub(super) next: Vec<Line>,
}

/// A finished text, and whether something had to be cut for it.
pub(super) struct Composed {
    pub(super) text: String,
    pub(super) cut: bool,
}

impl Reply {
    /// The text as the phone shows it; `list` names this list for taps.
    pub(super) fn compose(&self, list: u32) -> Composed {
        let rows = self.lines(&self.rows, 0, list);
        let next = self.lines(&self.next, self.rows.len(), list);
        let mut tail = Vec::new();
        if !rows.is_empty() {
            tail.push(format!("\n{rows}"));
        }
        if !self.hints.is_empty() {
            tail.push(format!("\n\n{}", self.hints.join("\n")));
        }
        if !next.is_empty() {
            tail.push(format!("\n\n{}\n{next}", self.next_words));
        }
        let mut head: Vec<&str> = self.before.iter().map(String::as_str).collect();
        head.push(&self.body);
        let head = head.join("\n\n");
        // What is offered next goes first, then the rows, and the answer itself last.
        let mut cut = false;
        while head.len() + tail.iter().map(String::len).sum::<usize>() > Text::BYTES_MAX && !tail.is_empty() {
            tail.pop();
            cut = true;
        }
        let text = format!("{head}{}", tail.concat());
        if text.len() <= Text::BYTES_MAX {
            return Composed { text, cut };
        }
        Composed { text: shortened(&text), cut: true }
    }

    /// The same for a page of ours: what the numbers start become buttons.
    pub(super) fn on_page(&self) -> OnPage {
        let mut text: Vec<&str> = self.before.iter().map(String::as_str).collect();
        text.push(&self.body);
        let choice = |line: &Line| match &line.item.action {
            Action::Start(wish) => Some((line.item.label.clone(), wish.clone())),
            Action::Value(_) | Action::Confirm | Action::Leave | Action::Return | Action::NoneOfThese => None,
        };
        OnPage {
            text: text.join("\n\n"),
            choices: self.rows.iter().chain(&self.next).filter_map(choice).collect(),
        }
    }

    fn lines(&self, lines: &[Line], from: usize, list: u32) -> String {
        let line = |(at, line): (usize, &Line)| {
            let number = from + at + 1;
            let id = line.service.clone().unwrap_or_else(|| tap_id(list, number));
            let note = line.item.note.as_ref().map_or_else(String::new, |note| format!(" {note}"));
            format!("{number} {}{note}", menu_link(&plain(&line.item.label), &id))
        };
        lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What the numbers mean, in order.
    pub(super) fn items(&self) -> Vec<Item> {
        self.rows.iter().chain(&self.next).map(|line| line.item.clone()).collect()
    }
}

/// The id that a tap on a numbered line carries.
fn tap_id(list: u32, number: usize) -> String {
    format!("list-{list}-{number}")
}

/// Reads a tap's id back: (list, number). It comes from outside.
pub(super) fn parse_tap(id: &str) -> Option<(u32, usize)> {
    let (list, number) = id.strip_prefix("list-")?.split_once('-')?;
    Some((list.parse().ok()?, number.parse().ok()?))
}

/// As many whole lines as fit, so that no link is torn; a single line without markup is cut between characters.
fn shortened(text: &str) -> String {
    let room = Text::BYTES_MAX - ELLIPSIS.len() - 1;
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        if out.len() + line.len() <= room {
            out.push_str(line);
            continue;
        }
        if out.is_empty() && !line.contains('<') {
            out.push_str(line.split_at(line.floor_char_boundary(room)).0);
        }
        break;
    }
    format!("{}\n{ELLIPSIS}", out.trim_end())
}
