//! What a template may not do, found before it is compiled. The engine's fuel does not see text that is
//! multiplied or doubled, so nothing that could do so is in the language: no arithmetic, no gluing, no assignment.

use super::TextFault;

const TAGS: [&str; 7] = ["if", "elif", "else", "endif", "for", "endfor", "break"];
const OPERATORS: [char; 5] = ['*', '~', '+', '/', '%'];

/// Checks every tag and expression of a template.
pub(super) fn check(source: &str, filters: &[&str]) -> Result<(), TextFault> {
    let mut rest = Rest { source, at: 0 };
    while let Some(part) = rest.next_part()? {
        if let Kind::Tag = part.kind {
            let tag: String =
                part.inside.trim_start().chars().take_while(char::is_ascii_alphanumeric).collect();
            if !TAGS.contains(&tag.as_str()) {
                let known = TAGS.join(", ");
                return Err(at(
                    source,
                    part.start,
                    format!("the tag {tag:?} is not offered; there are {known}"),
                ));
            }
        }
        check_expression(source, &part, filters)?;
    }
    Ok(())
}

/// A tag that stands on a line of its own makes no line of output: its line break moves inside the tag, so that
/// the lines of the template keep their numbers.
pub(super) fn own_lines(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    for line in source.split_inclusive('\n') {
        let text = line.trim();
        let single = |open: &str, close: &str| {
            text.starts_with(open) && text.ends_with(close) && text.matches(open).count() == 1
        };
        let close = if single("{%", "%}") {
            "%}"
        } else if single("{#", "#}") {
            "#}"
        } else {
            out.push_str(line);
            continue;
        };
        out.push_str(text.strip_suffix(close).unwrap_or(text));
        if line.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(close);
    }
    out
}

/// Line and column, from 1, of a byte.
pub(super) fn place(source: &str, byte: usize) -> (usize, usize) {
    let (before, _) = source.split_at(source.floor_char_boundary(byte));
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (line, column)
}

fn at(source: &str, byte: usize, message: String) -> TextFault {
    let (line, column) = place(source, byte);
    TextFault { line, column, message }
}

fn check_expression(source: &str, part: &Part<'_>, filters: &[&str]) -> Result<(), TextFault> {
    let mut quote = None;
    let mut characters = part.inside.char_indices().peekable();
    while let Some((offset, character)) = characters.next() {
        match (quote, character) {
            (Some(_), '\\') => {
                characters.next();
            }
            (Some(open), close) if open == close => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(character),
            (None, '|') => {
                let (_, rest) = part.inside.split_at(offset + 1);
                let word = |character: &char| character.is_alphanumeric() || *character == '_';
                let name: String = rest.trim_start().chars().take_while(word).collect();
                if !filters.contains(&name.as_str()) {
                    let known = filters.join(", ");
                    let message = format!("the filter {name:?} is not offered; there are {known}");
                    return Err(at(source, part.inside_start + offset, message));
                }
            }
            (None, operator) if OPERATORS.contains(&operator) => {
                let message =
                    format!("{operator:?} is not offered: a text shows values, the core computes them");
                return Err(at(source, part.inside_start + offset, message));
            }
            (None, _) => {}
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tag,
    Expression,
}

struct Part<'a> {
    kind: Kind,
    start: usize,
    inside: &'a str,
    inside_start: usize,
}

struct Rest<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Rest<'a> {
    /// The next tag or expression; comments are skipped.
    fn next_part(&mut self) -> Result<Option<Part<'a>>, TextFault> {
        loop {
            let (_, rest) = self.source.split_at(self.at);
            let Some(open) = ["{{", "{%", "{#"].iter().filter_map(|mark| rest.find(mark)).min() else {
                return Ok(None);
            };
            let start = self.at + open;
            let (_, rest) = self.source.split_at(start + 2);
            let (kind, close) = match self.source.as_bytes().get(start + 1) {
                Some(b'{') => (Some(Kind::Expression), "}}"),
                Some(b'%') => (Some(Kind::Tag), "%}"),
                _ => (None, "#}"),
            };
            let Some(length) = find_outside_quotes(rest, close, kind.is_some()) else {
                return Err(at(self.source, start, format!("{close} is missing")));
            };
            self.at = start + 2 + length + 2;
            if let Some(kind) = kind {
                let (inside, _) = rest.split_at(length);
                let body = inside.strip_prefix(['-', '+']).unwrap_or(inside);
                let inside_start = start + 2 + inside.len() - body.len();
                let body = body.strip_suffix(['-', '+']).unwrap_or(body);
                return Ok(Some(Part { kind, start, inside: body, inside_start }));
            }
        }
    }
}

fn find_outside_quotes(text: &str, mark: &str, mind_quotes: bool) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (offset, character) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(open) if open == character => quote = None,
            Some(_) => {}
            None if mind_quotes && matches!(character, '"' | '\'') => quote = Some(character),
            None if text.split_at(offset).1.starts_with(mark) => return Some(offset),
            None => {}
        }
    }
    None
}
