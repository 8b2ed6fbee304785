//! The text that a customer agrees to when he binds, and its hash.

use askama::Template;
use sha2::{Digest as _, Sha256};

/// A text to agree to, as it is shown.
pub struct ConsentText {
    /// What it is called.
    pub title: String,
    /// Its version.
    pub version: String,
    /// The rest.
    pub paragraphs: Vec<String>,
    /// SHA-256 of the whole, in hexadecimal.
    pub hash: String,
}

#[derive(Template)]
#[template(path = "pages/h5/consent_binding.txt", escape = "none")]
struct BindingText<'a> {
    bank: &'a str,
}

/// The text of binding, for one account.
#[must_use]
pub fn binding(bank: &str) -> ConsentText {
    // Rendering fails only when writing to memory does.
    let text = BindingText { bank }.render().unwrap_or_default();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned);
    ConsentText {
        title: lines.next().unwrap_or_default(),
        version: lines.next().unwrap_or_default(),
        paragraphs: lines.collect(),
        hash: hash(&[&text]),
    }
}

/// SHA-256 of texts one after the other, each closed by a line feed.
#[must_use]
pub fn hash(texts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for text in texts {
        digest.update(text.as_bytes());
        digest.update(b"\n");
    }
    hex::encode(digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_who_carries_amounts_and_changes_only_with_its_version() {
        let text = binding("示例银行信用卡");
        let whole = text.paragraphs.join("");
        for word in ["示例银行信用卡", "腾讯", "金额", "商户", "不显示金额", "解除绑定"]
        {
            assert!(whole.contains(word), "{word}");
        }
        assert_eq!(text.version, "版本：2026-11-1");
        // Whoever changes the text gives it a new version and writes the new hash here.
        assert_eq!(text.hash, "9d09c2d17048362628c1690c8c33c0a4947a5ad5aea7dcb034f722ba3bbd2f95");
    }
}
