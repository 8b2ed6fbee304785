//! Reads the platform's XML: strict about what is dangerous, tolerant about what is merely unexpected.
//!
//! Refused: more than 64 KiB, anything but UTF-8, control characters (also as numeric references), a DOCTYPE, a
//! processing instruction other than the declaration, an entity beyond the five named ones, nesting deeper than 8,
//! more than 512 elements, a second root, whatever is not closed. Nothing is ever expanded or fetched.
//!
//! Accepted: elements in any order, text as CDATA, plain or mixed runs (joined), unknown elements, attributes and
//! comments (ignored), an element that is absent or empty.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

use std::borrow::Cow;

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

/// Largest accepted document.
pub const DOCUMENT_BYTES_MAX: usize = 64 * 1024;
/// Deepest accepted nesting, the root included.
pub const DEPTH_MAX: usize = 8;
/// Most accepted elements.
pub const ELEMENTS_MAX: usize = 512;

/// Why a document was refused. Names the kind of fault, never a part of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotRead {
    /// Over [`DOCUMENT_BYTES_MAX`].
    #[error("larger than 64 KiB")]
    TooLarge,
    /// No byte at all.
    #[error("empty body")]
    Empty,
    /// Bytes that are no UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// A control character other than tab, line feed and carriage return.
    #[error("control character")]
    ControlCharacter,
    /// A document type declaration.
    #[error("DOCTYPE")]
    Doctype,
    /// A processing instruction, or a declaration that is not at the start.
    #[error("processing instruction")]
    Instruction,
    /// An entity that is neither one of the five named ones nor a reference to a legal character.
    #[error("unknown entity")]
    Entity,
    /// Deeper than [`DEPTH_MAX`].
    #[error("nested too deep")]
    TooDeep,
    /// More than [`ELEMENTS_MAX`].
    #[error("too many elements")]
    TooManyElements,
    /// Not one well-formed `<xml>` element: JSON, loose text, an open element, a second root.
    #[error("not one well-formed XML element")]
    NotWellFormed,
    /// An element that decides something stands there twice.
    #[error("repeated element")]
    Repeated,
}

impl NotRead {
    /// A short label for a metric.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::Empty => "empty",
            Self::NotUtf8 => "not_utf8",
            Self::ControlCharacter => "control_character",
            Self::Doctype => "doctype",
            Self::Instruction => "instruction",
            Self::Entity => "entity",
            Self::TooDeep => "too_deep",
            Self::TooManyElements => "too_many_elements",
            Self::NotWellFormed => "not_xml",
            Self::Repeated => "repeated_element",
        }
    }
}

/// One parsed document: its elements in the order they open. Borrows from the text that it was read from.
pub struct Document<'text>(Vec<Node<'text>>);

struct Node<'text> {
    tag: BytesStart<'text>,
    parent: usize,
    text: Cow<'text, str>,
}

/// One element of a [`Document`].
#[derive(Clone, Copy)]
pub struct Element<'document> {
    document: &'document Document<'document>,
    index: usize,
}

/// Checks size, UTF-8 and characters of a body that is about to be read as XML.
///
/// # Errors
/// The first of these that does not hold.
pub fn gate(body: &[u8]) -> Result<&str, NotRead> {
    if body.len() > DOCUMENT_BYTES_MAX {
        return Err(NotRead::TooLarge);
    }
    if body.is_empty() {
        return Err(NotRead::Empty);
    }
    let text = str::from_utf8(body).map_err(|_| NotRead::NotUtf8)?;
    let forbidden = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    if body.iter().any(forbidden) {
        return Err(NotRead::ControlCharacter);
    }
    Ok(text)
}

/// Whether XML 1.0 has room for this character.
#[must_use]
pub fn is_legal(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{B}' | '\u{C}' | '\u{E}'..='\u{1F}' | '\u{FFFE}' | '\u{FFFF}')
}

/// Text without what XML has no room for.
pub(super) fn legal(text: &str) -> Cow<'_, str> {
    if may_be_illegal(text.as_bytes()) {
        Cow::Owned(text.chars().filter(|character| is_legal(*character)).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// False for nearly every text, and quick to say: whole texts are looked at byte by byte, without decoding. What XML has
/// no room for is a control character, or ends in BF BE or BF BF.
fn may_be_illegal(text: &[u8]) -> bool {
    let is_control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    let is_end = |pair: &[u8]| matches!(pair, [0xBF, 0xBE | 0xBF]);
    text.iter().fold(false, |found, byte| found | is_control(byte))
        || text.windows(2).fold(false, |found, pair| found | is_end(pair))
}

impl<'text> Document<'text> {
    /// Reads text that has passed [`gate`].
    ///
    /// # Errors
    /// Says what is wrong, never where or with what.
    pub fn parse(text: &'text str) -> Result<Self, NotRead> {
        let mut reader = Reader::from_str(text);
        let mut document = Self(Vec::with_capacity(16));
        let mut open: [usize; DEPTH_MAX] = [0; DEPTH_MAX];
        let mut depth = 0;
        let mut first = true;
        loop {
            let event = reader.read_event().map_err(|_| NotRead::NotWellFormed)?;
            match event {
                Event::Start(tag) => {
                    let slot = open.get_mut(depth).ok_or(NotRead::TooDeep)?;
                    *slot = document.0.len();
                    document.push(tag, top(&open, depth))?;
                    depth += 1;
                }
                Event::Empty(tag) => {
                    if depth == DEPTH_MAX {
                        return Err(NotRead::TooDeep);
                    }
                    document.push(tag, top(&open, depth))?;
                }
                Event::End(_) => depth = depth.checked_sub(1).ok_or(NotRead::NotWellFormed)?,
                Event::Text(run) => {
                    let run = run.xml10_content();
                    match top(&open, depth) {
                        Some(element) => document.append(element, run),
                        None if run.trim_ascii().is_empty() => {}
                        None => return Err(NotRead::NotWellFormed),
                    }
                }
                Event::CData(run) => {
                    let element = top(&open, depth).ok_or(NotRead::NotWellFormed)?;
                    document.append(element, run.xml10_content());
                }
                Event::GeneralRef(reference) => {
                    let element = top(&open, depth).ok_or(NotRead::NotWellFormed)?;
                    let character = resolve(&reference)?;
                    document.append(
                        element,
                        Cow::Borrowed(character.encode_utf8(&mut [0; 4])).into_owned().into(),
                    );
                }
                Event::Decl(_) if first => {}
                Event::Decl(_) | Event::PI(_) => return Err(NotRead::Instruction),
                Event::DocType(_) => return Err(NotRead::Doctype),
                Event::Comment(_) => {}
                Event::Eof => break,
            }
            first = false;
        }
        let whole = depth == 0 && document.0.first().is_some_and(|root| root.tag.name().as_ref() == "xml");
        if whole { Ok(document) } else { Err(NotRead::NotWellFormed) }
    }

    /// The `<xml>` element.
    #[must_use]
    pub fn root(&self) -> Element<'_> {
        Element { document: self, index: 0 }
    }

    fn push(&mut self, tag: BytesStart<'text>, parent: Option<usize>) -> Result<(), NotRead> {
        let parent = match parent {
            Some(parent) => parent,
            None if self.0.is_empty() => usize::MAX,
            None => return Err(NotRead::NotWellFormed),
        };
        if self.0.len() == ELEMENTS_MAX {
            return Err(NotRead::TooManyElements);
        }
        self.0.push(Node { tag, parent, text: Cow::Borrowed("") });
        Ok(())
    }

    fn append(&mut self, index: usize, run: Cow<'text, str>) {
        if let Some(node) = self.0.get_mut(index) {
            if node.text.is_empty() {
                node.text = run;
            } else {
                node.text.to_mut().push_str(&run);
            }
        }
    }
}

impl<'document> Element<'document> {
    /// The children with this name, in order. Names are case-sensitive.
    pub fn children(self, name: &str) -> impl Iterator<Item = Element<'document>> {
        let document = self.document;
        let named = move |index: &usize| {
            document
                .0
                .get(*index)
                .is_some_and(|node| node.parent == self.index && node.tag.name().as_ref() == name)
        };
        (self.index + 1..document.0.len()).filter(named).map(move |index| Element { document, index })
    }

    /// The first child with this name.
    #[must_use]
    pub fn child(self, name: &str) -> Option<Element<'document>> {
        self.children(name).next()
    }

    /// The text of the first child with this name; empty when there is none.
    #[must_use]
    pub fn text_of(self, name: &str) -> &'document str {
        self.child(name).map_or("", Element::text)
    }

    /// The text of the only child with this name; `None` when there is none.
    ///
    /// # Errors
    /// [`NotRead::Repeated`] when there are several, because then two readers could see two truths.
    pub fn only(self, name: &str) -> Result<Option<&'document str>, NotRead> {
        let mut children = self.children(name);
        let first = children.next();
        if children.next().is_some() {
            return Err(NotRead::Repeated);
        }
        Ok(first.map(Element::text))
    }

    /// The element's own text: its runs joined, those of its children left out.
    #[must_use]
    pub fn text(self) -> &'document str {
        self.document.0.get(self.index).map_or("", |node| &node.text)
    }
}

/// The innermost of the elements that are open, as an index into the document.
fn top(open: &[usize], depth: usize) -> Option<usize> {
    open.get(depth.checked_sub(1)?).copied()
}

fn resolve(reference: &BytesRef<'_>) -> Result<char, NotRead> {
    let character = match reference.resolve_char_ref() {
        Ok(Some(character)) => character,
        Ok(None) => match reference.xml10_content().as_ref() {
            "lt" => '<',
            "gt" => '>',
            "amp" => '&',
            "apos" => '\'',
            "quot" => '"',
            _ => return Err(NotRead::Entity),
        },
        Err(_) => return Err(NotRead::Entity),
    };
    if is_legal(character) { Ok(character) } else { Err(NotRead::Entity) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<String, NotRead> {
        let document = Document::parse(gate(body)?)?;
        Ok(document.root().text_of("a").to_owned())
    }

    #[test]
    fn the_quick_look_misses_no_character_that_has_no_room() {
        for character in (0..=0x10_FFFF).filter_map(char::from_u32) {
            let text = format!("中{character}文");
            let expected = if is_legal(character) { text.as_str() } else { "中文" };
            assert_eq!(legal(&text), expected, "{character:?}");
        }
    }

    #[test]
    fn text_is_joined_whatever_its_form_and_order_does_not_matter() {
        let table = [
            ("<xml><a>1</a></xml>", "1"),
            ("<xml><b/><a><![CDATA[1]]></a></xml>", "1"),
            (
                "<?xml version=\"1.0\"?>\n<xml>\n<a x='<'>x<![CDATA[<y>]]>&amp;&#20320;&#x597D;</a>\n</xml>\n",
                "x<y>&你好",
            ),
            ("<xml><a><![CDATA[]]]]><![CDATA[>]]></a></xml>", "]]>"),
            ("<xml><a>1<!-- no --><b>9</b>2</a></xml>", "12"),
            ("<xml><a/></xml>", ""),
            ("<xml/>", ""),
            ("<xml><A>1</A></xml>", ""),
            ("<xml><a>first</a><a>second</a></xml>", "first"),
            (
                "<xml><a><![CDATA[<!DOCTYPE x [<!ENTITY y \"z\">]><?php ?>]]></a></xml>",
                "<!DOCTYPE x [<!ENTITY y \"z\">]><?php ?>",
            ),
            ("<xml><a>a\r\nb</a></xml>", "a\nb"),
            ("\u{FEFF}<xml><a>1</a></xml>", "1"),
        ];
        for (body, expected) in table {
            assert_eq!(read(body.as_bytes()).as_deref(), Ok(expected), "{body}");
        }
    }

    #[test]
    fn whatever_is_dangerous_or_broken_is_refused_with_its_reason() {
        let laughs = "<!DOCTYPE lolz [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><xml><a>&b;</a></xml>";
        let table: [(&str, NotRead); 24] = [
            ("", NotRead::Empty),
            (" ", NotRead::NotWellFormed),
            ("{\"ToUserName\":\"x\"}", NotRead::NotWellFormed),
            ("<xml>", NotRead::NotWellFormed),
            ("<xml></xml", NotRead::NotWellFormed),
            ("<xml></xml><xml></xml>", NotRead::NotWellFormed),
            ("<xml/><xml/>", NotRead::NotWellFormed),
            ("<xml/>x", NotRead::NotWellFormed),
            ("x<xml/>", NotRead::NotWellFormed),
            ("<xml/><![CDATA[x]]>", NotRead::NotWellFormed),
            ("<xml/>&amp;", NotRead::NotWellFormed),
            ("<xml><a></xml></a>", NotRead::NotWellFormed),
            ("<html/>", NotRead::NotWellFormed),
            (laughs, NotRead::Doctype),
            ("<!DOCTYPE xml SYSTEM \"file:///etc/passwd\"><xml/>", NotRead::Doctype),
            ("<xml/><!doctype x>", NotRead::Doctype),
            ("<?php x?><xml/>", NotRead::Instruction),
            ("<xml><?xml version=\"1.0\"?></xml>", NotRead::Instruction),
            ("<xml><a>&b;</a></xml>", NotRead::Entity),
            ("<xml><a>&#0;</a></xml>", NotRead::Entity),
            ("<xml><a>&#x1;</a></xml>", NotRead::Entity),
            ("<xml><a>&#xD800;</a></xml>", NotRead::Entity),
            ("<xml><a>&#xFFFFFFFFFF;</a></xml>", NotRead::Entity),
            ("<xml><a>\u{1}</a></xml>", NotRead::ControlCharacter),
        ];
        for (body, reason) in table {
            assert_eq!(read(body.as_bytes()), Err(reason), "{body}");
        }
        assert_eq!(read(b"<xml><a>\xFF</a></xml>"), Err(NotRead::NotUtf8));
    }

    #[test]
    fn size_depth_and_count_are_bounded() {
        let filled = |bytes: usize| format!("<xml><a>{}</a></xml>", "x".repeat(bytes - 18));
        assert!(read(filled(DOCUMENT_BYTES_MAX).as_bytes()).is_ok());
        assert_eq!(read(filled(DOCUMENT_BYTES_MAX + 1).as_bytes()), Err(NotRead::TooLarge));
        let nested =
            |depth: usize| format!("<xml>{}{}</xml>", "<b>".repeat(depth - 1), "</b>".repeat(depth - 1));
        assert!(read(nested(DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(read(nested(DEPTH_MAX + 1).as_bytes()), Err(NotRead::TooDeep));
        assert_eq!(read(nested(5000).as_bytes()), Err(NotRead::TooDeep));
        let many = |count: usize| format!("<xml>{}</xml>", "<b/>".repeat(count - 1));
        assert!(read(many(ELEMENTS_MAX).as_bytes()).is_ok());
        assert_eq!(read(many(ELEMENTS_MAX + 1).as_bytes()), Err(NotRead::TooManyElements));
    }

    #[test]
    fn a_million_attributes_are_refused_before_anything_looks_at_them() {
        let mut body = String::from("<xml ");
        for number in 0..1_000_000 {
            body.push_str(&format!("a{number}='' "));
        }
        body.push_str("/>");
        assert_eq!(read(body.as_bytes()), Err(NotRead::TooLarge));
        let fitting = format!("<xml {}><a>1</a></xml>", "a='' ".repeat(12_000));
        assert_eq!(read(fitting.as_bytes()).as_deref(), Ok("1"));
    }

    #[test]
    fn an_element_that_decides_something_may_stand_there_once_only() {
        let text = "<xml><a>1</a><b><a>2</a></b><c/><c/></xml>";
        let document = Document::parse(text).unwrap();
        assert_eq!(document.root().only("a"), Ok(Some("1")));
        assert_eq!(document.root().only("d"), Ok(None));
        assert_eq!(document.root().only("c"), Err(NotRead::Repeated));
        assert_eq!(document.root().child("b").unwrap().text_of("a"), "2");
        assert_eq!(document.root().children("c").count(), 2);
    }
}
