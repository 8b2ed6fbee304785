//! A WeChat text on a page: plain text and links, nothing else of what looks like markup.

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Shown as it is.
    Text(String),
    /// A link to a page.
    Link {
        /// `http://…` or `https://…`
        href: String,
        /// What is shown.
        text: String,
    },
}

/// Takes a WeChat text apart. A link that leads to no page (such as one that says something in the chat) is plain
/// text here; everything else stays the characters that it is.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("<a ") {
        plain.push_str(before);
        let Some((href, shown, next)) = anchor(after) else {
            plain.push_str("<a ");
            rest = after;
            continue;
        };
        let href = decode(href);
        if href.starts_with("https://") || href.starts_with("http://") {
            if !plain.is_empty() {
                pieces.push(Piece::Text(decode(&std::mem::take(&mut plain))));
            }
            pieces.push(Piece::Link { href, text: decode(shown) });
        } else {
            plain.push_str(shown);
        }
        rest = next;
    }
    plain.push_str(rest);
    if !plain.is_empty() {
        pieces.push(Piece::Text(decode(&plain)));
    }
    pieces
}

/// Address, text and rest of a link, from behind its `<a `.
fn anchor(after: &str) -> Option<(&str, &str, &str)> {
    let (attributes, rest) = after.split_once('>')?;
    let (shown, next) = rest.split_once("</a>")?;
    let (_, value) = attributes.split_once("href=")?;
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (href, _) = value.get(1..)?.split_once(quote)?;
    (!shown.contains('<')).then_some((href, shown, next))
}

fn decode(text: &str) -> String {
    // The ampersand last: `&amp;lt;` is the four characters `&lt;`.
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&#39;", "'")
        .replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    #[test]
    fn only_links_to_pages_are_links() {
        assert_eq!(
            pieces("本期应还¥1.00\n<a href=\"https://bank.example/h5?a=1&amp;b=2\">还款 &amp; 分期</a>。"),
            [
                text("本期应还¥1.00\n"),
                Piece::Link {
                    href: "https://bank.example/h5?a=1&b=2".to_owned(),
                    text: "还款 & 分期".to_owned()
                },
                text("。"),
            ]
        );
        let chat = "回复<a href=\"weixin://bizmsgmenu?msgmenucontent=1&msgmenuid=1\">1</a>看明细";
        assert_eq!(pieces(chat), [text("回复1看明细")]);
    }

    #[test]
    fn whatever_else_looks_like_markup_stays_text() {
        for whole in [
            "<script>alert(1)</script>",
            "<a href=https://x>y</a>",
            "<a href=\"https://x\"><b>y</b></a>",
            "<a ",
            "<a href=\"https://x",
            "a < b",
        ] {
            assert_eq!(pieces(whole), [text(whole)], "{whole}");
        }
        assert_eq!(pieces("<a href=\"javascript:alert(1)\">x</a>"), [text("x")]);
        assert_eq!(pieces("&amp;lt;&lt;"), [text("&lt;<")]);
        assert_eq!(pieces(""), []);
    }
}
