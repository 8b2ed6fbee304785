//! XML as the platform writes it, and a strict reader of what comes back.

use std::fmt::{Display, Write as _};

use quick_xml::Reader;
use quick_xml::events::Event;

const DEPTH_MAX: usize = 8;
const ELEMENTS_MAX: usize = 256;

/// Writes one `<xml>` document.
pub(crate) struct Writer(String);

impl Writer {
    /// An empty document.
    pub(crate) fn new() -> Self {
        Self(String::from("<xml>"))
    }

    /// A string element, in CDATA.
    pub(crate) fn text(mut self, name: &str, value: &str) -> Self {
        let value = value.replace("]]>", "]]]]><![CDATA[>");
        self.append(format_args!("<{name}><![CDATA[{value}]]></{name}>"));
        self
    }

    /// An element with bare text: numbers.
    pub(crate) fn number(mut self, name: &str, value: impl Display) -> Self {
        self.append(format_args!("<{name}>{value}</{name}>"));
        self
    }

    /// An element that holds others.
    pub(crate) fn nested(mut self, name: &str, inner: impl FnOnce(Self) -> Self) -> Self {
        self.append(format_args!("<{name}>"));
        self = inner(self);
        self.append(format_args!("</{name}>"));
        self
    }

    /// The document.
    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("</xml>");
        self.0
    }

    fn append(&mut self, arguments: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.0.write_fmt(arguments);
    }
}

/// Adds `<Encrypt>` to a plain document, as compat mode does.
pub(crate) fn with_encrypt(document: &str, encrypted: &str) -> String {
    let inner = document.strip_suffix("</xml>").unwrap_or(document);
    format!("{inner}<Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>")
}

/// One element: text or children, never both.
#[derive(Debug, Default)]
pub(crate) struct Element {
    /// Its name.
    pub(crate) name: String,
    /// Its text, entities resolved.
    pub(crate) text: String,
    /// Its children in order.
    pub(crate) children: Vec<Element>,
}

impl Element {
    /// The only child with this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child; `None` when there is no such child.
    pub(crate) fn text_of(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }
}

/// Reads a document and refuses everything that a careful sender would never write.
pub(crate) fn parse(document: &str) -> Result<Element, String> {
    if document.starts_with(['\u{feff}', ' ', '\t', '\r', '\n']) {
        return Err("XML 之前有空白或 BOM".to_owned());
    }
    if let Some(bad) = document.chars().find(|character| !is_xml_character(*character)) {
        return Err(format!("含有 XML 不允许的字符 U+{:04X}", u32::from(bad)));
    }
    let mut reader = Reader::from_str(document);
    let mut tree = Tree::default();
    loop {
        let event = reader.read_event().map_err(|error| format!("XML 无法解析：{error}"))?;
        match event {
            Event::Start(start) | Event::Empty(start) if start.attributes().next().is_some() => {
                return Err(format!("元素 {} 不应有属性", start.name().into_inner()));
            }
            Event::Start(start) => tree.open(start.name().into_inner().to_owned())?,
            Event::Empty(start) => {
                tree.open(start.name().into_inner().to_owned())?;
                tree.close()?;
            }
            Event::End(_) => tree.close()?,
            Event::Text(text) => tree.text(&text.xml10_content())?,
            Event::CData(text) => tree.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref() {
                    Ok(Some(character)) if is_xml_character(character) => character.to_string(),
                    Ok(None) => quick_xml::escape::resolve_xml_entity(&reference)
                        .ok_or_else(|| format!("未知实体 &{};", &*reference))?
                        .to_owned(),
                    _ => return Err(format!("字符引用 &{}; 无效", &*reference)),
                };
                tree.text(&resolved)?;
            }
            Event::Decl(_) if tree.root.is_none() && tree.open.is_empty() => {}
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {
                return Err("含有注释或处理指令".to_owned());
            }
            Event::DocType(_) => return Err("含有 DOCTYPE".to_owned()),
            Event::Eof => return tree.finish(),
        }
    }
}

#[derive(Default)]
struct Tree {
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Tree {
    fn open(&mut self, name: String) -> Result<(), String> {
        self.elements += 1;
        if self.root.is_some() {
            return Err("有多个根元素".to_owned());
        }
        if self.open.len() >= DEPTH_MAX || self.elements > ELEMENTS_MAX {
            return Err("嵌套过深或元素过多".to_owned());
        }
        self.open.push(Element { name, ..Element::default() });
        Ok(())
    }

    fn close(&mut self) -> Result<(), String> {
        let mut element = self.open.pop().ok_or("结束标签没有对应的开始标签")?;
        if !element.children.is_empty() {
            if !element.text.trim().is_empty() {
                return Err(format!("元素 {} 混有文字", element.name));
            }
            element.text.clear();
        }
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err("根元素之外有文字".to_owned()),
        }
        Ok(())
    }

    fn finish(self) -> Result<Element, String> {
        match self.root {
            Some(root) if self.open.is_empty() => Ok(root),
            _ => Err("XML 不完整".to_owned()),
        }
    }
}

fn is_xml_character(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let document = Writer::new()
            .text("Content", "a]]>b <&> 你好")
            .number("CreateTime", 12)
            .nested("Image", |image| image.text("MediaId", "m1"))
            .finish();
        let root = parse(&document).unwrap();
        assert_eq!(root.text_of("Content"), Some("a]]>b <&> 你好"));
        assert_eq!(root.text_of("CreateTime"), Some("12"));
        assert_eq!(root.child("Image").and_then(|image| image.text_of("MediaId")), Some("m1"));
    }

    #[test]
    fn careless_documents_are_refused() {
        let table = [
            "",
            "{\"a\":1}",
            " <xml></xml>",
            "\u{feff}<xml></xml>",
            "<xml><a></xml>",
            "<xml></xml><xml></xml>",
            "<xml></xml>tail",
            "<!DOCTYPE xml><xml></xml>",
            "<xml><a b=\"c\">d</a></xml>",
            "<xml><a>&lol;</a></xml>",
            "<xml><a>&#0;</a></xml>",
            "<xml><a>\u{1}</a></xml>",
            "<xml>text<a>b</a></xml>",
            "<xml><a><a><a><a><a><a><a><a></a></a></a></a></a></a></a></a></xml>",
        ];
        for document in table {
            assert!(parse(document).is_err(), "{document:?}");
        }
    }
}
