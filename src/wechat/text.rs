//! Text that WeChat shows in a chat, and the links inside it.
//!
//! The phone renders `<a href="…">…</a>` and nothing else, and does not promise to decode entities; so text that
//! came from a customer or from the bank's core goes through [`plain`], which leaves no `<` behind.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::xml::{is_legal, legal};
use crate::domain::secret::Personal;

/// The text cannot be sent as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotSendable {
    /// Nothing, or nothing but white space: WeChat would tell the customer that the service is out of order.
    #[error("the text is empty")]
    Empty,
    /// Over the limit in bytes.
    #[error("the text has {bytes} bytes of UTF-8, {bytes_max} are allowed")]
    TooLong {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
}

/// A text message: not empty, at most 2048 bytes of UTF-8, only characters that XML has room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Text(#[serde(with = "super::json::personal")] Personal);

impl Text {
    /// Longest text, in bytes of UTF-8 (about 680 Chinese characters).
    pub const BYTES_MAX: usize = 2048;

    /// Takes the text as it is, without characters that XML has no room for.
    ///
    /// # Errors
    /// [`NotSendable`] when nothing is left or it is too long.
    pub fn new(text: &str) -> Result<Self, NotSendable> {
        let text = sendable(text)?;
        if text.len() > Self::BYTES_MAX {
            return Err(NotSendable::TooLong { bytes: text.len(), bytes_max: Self::BYTES_MAX });
        }
        Ok(Self(Personal::new(text)))
    }

    /// Takes the text and, where it is too long, its beginning with an ellipsis; never half a character and never
    /// half a link.
    ///
    /// # Errors
    /// [`NotSendable::Empty`].
    pub fn cut(text: &str) -> Result<Self, NotSendable> {
        let text = sendable(text)?;
        if text.len() <= Self::BYTES_MAX {
            return Ok(Self(Personal::new(text)));
        }
        let (kept, _) = text.split_at(text.floor_char_boundary(Self::BYTES_MAX - ELLIPSIS.len()));
        let kept = match open_link(kept) {
            Some(start) => kept.split_at(start).0,
            None => kept,
        };
        Ok(Self(Personal::new(format!("{}{ELLIPSIS}", kept.trim_end()))))
    }

    /// The text, for the one place that sends or shows it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.reveal()
    }
}

impl TryFrom<String> for Text {
    type Error = NotSendable;

    fn try_from(text: String) -> Result<Self, NotSendable> {
        Self::new(&text)
    }
}

const ELLIPSIS: &str = "…";

fn sendable(text: &str) -> Result<String, NotSendable> {
    // XML readers make every line break a line feed; doing it here keeps what is stored and what is read alike.
    let text = match text.contains('\r') {
        true => Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")),
        false => Cow::Borrowed(text),
    };
    let text = legal(&text).into_owned();
    if text.trim().is_empty() { Err(NotSendable::Empty) } else { Ok(text) }
}

/// Where the last link starts, if the text ends inside it: also inside `<a` or `</a`.
fn open_link(text: &str) -> Option<usize> {
    let last = text.rfind("<a").filter(|start| {
        let rest = text.split_at(*start).1;
        !rest.contains("</a>") && (rest == "<a" || rest.starts_with("<a "))
    });
    last.or_else(|| text.ends_with('<').then(|| text.len() - 1))
}

/// Text of a customer or of another system, made safe to stand in a chat text: it can become neither a link nor the
/// end of one.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars()
        .filter(|character| is_legal(*character))
        .map(|character| match character {
            '<' => '＜',
            '>' => '＞',
            other => other,
        })
        .collect()
}

/// A link that opens a page.
#[must_use]
pub fn link(url: &str, label: &str) -> String {
    format!("<a href=\"{}\">{}</a>", attribute(url), plain(label))
}

/// A link that opens a mini-program page; `url` is where clients too old for mini-programs go.
#[must_use]
pub fn mini_program_link(url: &str, app_id: &str, page_path: &str, label: &str) -> String {
    format!(
        "<a href=\"{}\" data-miniprogram-appid=\"{}\" data-miniprogram-path=\"{}\">{}</a>",
        attribute(url),
        attribute(app_id),
        attribute(page_path),
        plain(label)
    )
}

/// A link that says its label as if the customer had typed it; the text message then carries `id` as its
/// `bizmsgmenuid`. WeChat does not document this form: typing the label must work as well.
#[must_use]
pub fn menu_link(label: &str, id: &str) -> String {
    let (content, id) = (query_value(label), query_value(id));
    format!("<a href=\"weixin://bizmsgmenu?msgmenucontent={content}&msgmenuid={id}\">{}</a>", plain(label))
}

/// An address inside double quotes: what could end the attribute or the tag is percent-encoded.
fn attribute(url: &str) -> String {
    percent_encoded(url, |character| {
        matches!(character, '"' | '\'' | '<' | '>' | '`' | '\\' | ' ') || character.is_control()
    })
}

/// A value inside a query: every ASCII character but letters, digits and `-._~` is percent-encoded. Chinese stays
/// as it is; encoded it would fill three times the bytes, and WeChat reads both.
fn query_value(text: &str) -> String {
    percent_encoded(text, |character| {
        character.is_control()
            || character.is_ascii()
                && !(character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~'))
    })
}

fn percent_encoded(text: &str, encode: impl Fn(char) -> bool) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        if encode(character) {
            for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        } else if is_legal(character) {
            encoded.push(character);
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_never_empty_and_never_too_long() {
        for empty in ["", " ", "\n\t", "\u{1}\u{FFFE}"] {
            assert_eq!(Text::new(empty).err(), Some(NotSendable::Empty));
            assert_eq!(Text::cut(empty).err(), Some(NotSendable::Empty));
        }
        let full = "x".repeat(2048);
        assert_eq!(Text::new(&full).unwrap().reveal(), full);
        assert_eq!(Text::cut(&full).unwrap().reveal(), full);
        let error = Text::new(&format!("{full}x")).unwrap_err();
        assert_eq!(error, NotSendable::TooLong { bytes: 2049, bytes_max: 2048 });
        assert_eq!(Text::new("a\u{0}b\u{FFFF}c\r\nd\re").unwrap().reveal(), "abc\nd\ne");
    }

    #[test]
    fn a_cut_falls_between_characters() {
        for lead in 0..4 {
            let text = "x".repeat(lead) + &"账单😀".repeat(500);
            let cut = Text::cut(&text).unwrap();
            assert!(cut.reveal().len() <= 2048 && cut.reveal().len() > 2030);
            let kept = cut.reveal().strip_suffix('…').unwrap();
            assert!(text.starts_with(kept));
        }
    }

    #[test]
    fn a_cut_never_leaves_half_a_link() {
        let link = link("https://wx.bank.example/bill", "查看账单");
        for lead in 1950..2060 {
            let text = "x".repeat(lead) + &link + &"y".repeat(300);
            let cut = Text::cut(&text).unwrap();
            let cut = cut.reveal();
            assert!(cut.len() <= 2048);
            assert!(cut.ends_with('…'));
            assert_eq!(cut.matches('<').count(), 2 * usize::from(cut.contains(&link)), "{lead}");
        }
        let endless = link.replace("bill", &"b".repeat(3000));
        assert_eq!(Text::cut(&endless).unwrap().reveal(), "…");
    }

    #[test]
    fn what_others_wrote_never_becomes_markup() {
        let hostile = "\"></a><a href=\"https://evil.example\">领奖</a>";
        for markup in [
            link(hostile, hostile),
            menu_link(hostile, hostile),
            mini_program_link(hostile, hostile, hostile, hostile),
        ] {
            assert_eq!(markup.matches('<').count(), 2, "{markup}");
            assert_eq!(markup.matches('>').count(), 2, "{markup}");
            let tag = markup.split_once('>').unwrap().0;
            assert!(!tag.contains("evil.example\"") && !tag.contains("\" href"), "{markup}");
        }
        assert_eq!(plain("1 < 2 > 0"), "1 ＜ 2 ＞ 0");
        assert_eq!(
            menu_link("账单 100%&more", "bill_current"),
            "<a href=\"weixin://bizmsgmenu?msgmenucontent=账单%20100%25%26more&msgmenuid=bill_current\">\
             账单 100%&more</a>"
        );
        assert_eq!(
            link("https://a.example/?b=1&c=2", "打开"),
            "<a href=\"https://a.example/?b=1&c=2\">打开</a>"
        );
    }
}
