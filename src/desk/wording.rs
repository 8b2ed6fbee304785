//! What agents must not write: `templates/desk/wording.toml`.

use serde::Deserialize;

use crate::content::{Fault, File};

/// Most words of one list.
const WORDS_MAX: usize = 2_000;

/// Why a text of an agent is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objection {
    /// It holds a word that the bank does not say.
    Banned(String),
    /// It gives away or asks for a private contact.
    Contact(String),
}

/// The rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wording {
    #[serde(default)]
    banned: Vec<String>,
    #[serde(default)]
    contact: Vec<String>,
    #[serde(default)]
    allowed: Vec<String>,
}

impl Wording {
    /// Reads the file.
    ///
    /// # Errors
    /// What does not fit, with its line.
    pub fn parse(file: &File) -> Result<Self, Fault> {
        let mut read: Self = file.parse()?;
        for list in [&mut read.banned, &mut read.contact, &mut read.allowed] {
            if list.len() > WORDS_MAX {
                return Err(file.fault_at(0, format!("a list has {} words; at most {WORDS_MAX}", list.len())));
            }
            for word in list.iter_mut() {
                *word = folded(word);
            }
            list.retain(|word| !word.is_empty());
        }
        Ok(read)
    }

    /// What stands against a text; `None`: nothing.
    #[must_use]
    pub fn objection(&self, text: &str) -> Option<Objection> {
        let folded = folded(text);
        let holds = |words: &[String]| words.iter().find(|word| folded.contains(word.as_str())).cloned();
        if let Some(word) = holds(&self.banned) {
            return Some(Objection::Banned(word));
        }
        if let Some(word) = holds(&self.contact) {
            return Some(Objection::Contact(word));
        }
        let is_allowed = |found: &str| self.allowed.iter().any(|allowed| allowed == found);
        let number =
            runs(&folded, |c| c.is_ascii_digit()).into_iter().find(|run| is_mobile(run) && !is_allowed(run));
        let mail = runs(&folded, |c| c.is_ascii_alphanumeric() || matches!(c, '@' | '.' | '-' | '_' | '+'));
        let mail = mail.into_iter().find(|run| is_mail(run) && !is_allowed(run));
        number.or(mail).map(|found| Objection::Contact(found.to_owned()))
    }
}

/// Lower case without spaces, full-width letters and digits as half-width ones: "加 我 Ｑ Ｑ" is no way around.
fn folded(text: &str) -> String {
    let half = |c: char| match u32::from(c) {
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0).unwrap_or(c),
        _ => c,
    };
    let kept = text.chars().map(half).filter(|c| !c.is_whitespace() && !c.is_control());
    kept.flat_map(char::to_lowercase).collect()
}

fn runs(text: &str, belongs: impl Fn(char) -> bool) -> Vec<&str> {
    text.split(|c| !belongs(c)).filter(|run| !run.is_empty()).collect()
}

/// A mobile number of the mainland, with the country's code or without.
fn is_mobile(digits: &str) -> bool {
    let digits = digits.strip_prefix("86").filter(|rest| rest.len() == 11).unwrap_or(digits);
    digits.len() == 11 && digits.starts_with('1') && !digits.starts_with("10") && !digits.starts_with("11")
}

fn is_mail(run: &str) -> bool {
    run.split_once('@').is_some_and(|(name, host)| !name.is_empty() && host.trim_matches('.').contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Content;

    #[test]
    fn banned_words_and_private_contacts_are_found_however_they_are_written() {
        let wording = Wording::parse(Content::built_in().file("desk/wording.toml").unwrap()).unwrap();
        for text in [
            "请闭 嘴",
            "我们保证下卡的",
            "加我ＱＱ 12345",
            "请加 我 微 信",
            "打 13800138000",
            "＋86 138 0013 8000",
            "写信到 lin.x+1@example.com。",
        ] {
            assert!(wording.objection(text).is_some(), "{text}");
        }
        for text in [
            "您好，请稍等。",
            "金额 128.50 元，订单 20261122103000123",
            "监管电话 12378",
            "发 @ 给他",
            "尾号1234",
        ] {
            assert_eq!(wording.objection(text), None, "{text}");
        }
    }
}
