//! What a phone shows, in the words in which conversations are written.

use serde_json::{Value, json};
use weikefu::dialogue::chat;

/// Stands for the eight characters by which staff find a case.
const REFERENCE: &str = "ABCD2345";

/// The account's words of an entry; news cards as conversations write them.
pub(super) fn words(entry: &Value) -> String {
    match entry["detail"]["articles"].as_array() {
        Some(articles) => articles.iter().map(card).collect::<Vec<_>>().join("\n"),
        None => entry["text"].as_str().unwrap_or_default().to_owned(),
    }
}

fn card(article: &Value) -> String {
    let text = |name: &str| article[name].as_str().unwrap_or_default();
    format!("【图文】{}\n{}\n<a href=\"{}\">打开</a>", text("title"), text("description"), text("url"))
}

/// Addresses and words of the links of a text.
pub(super) fn links(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split("<a href=\"").skip(1).filter_map(|link| {
        let (address, rest) = link.split_once("\">")?;
        let (label, _) = rest.split_once("</a>")?;
        Some((address.replace("&amp;", "&"), label.to_owned()))
    })
}

/// A reply as conversations write it: links to pages by the names of the pages, not by their signed addresses.
pub(super) fn readable(reply: &str) -> String {
    let mut pieces = reply.split("<a href=\"");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (address, rest) = piece.split_once("\">").unwrap_or((piece, ""));
        let page = address.split_once("/h5/").and_then(|(_, rest)| rest.split(['/', '?']).nth(1));
        let address = match page {
            Some("progress") => "https://x/apply_progress".to_owned(),
            Some("step-up") => "https://x/step_up?".to_owned(),
            Some(page) => format!("https://x/{page}"),
            None => address.to_owned(),
        };
        out.push_str(&format!("<a href=\"{address}\">{rest}"));
    }
    chat::readable(&out)
}

/// Whether a reply is what is written, where a reference is any eight characters. One page takes both kinds of proof.
pub(super) fn fits(written: &str, shown: &str) -> bool {
    let written = written.replace("](交易密码)", "](验证)");
    let mut pieces = written.split(REFERENCE);
    let Some(mut rest) = pieces.next().and_then(|first| shown.strip_prefix(first)) else { return false };
    for piece in pieces {
        let place = rest.char_indices().nth(REFERENCE.len()).map_or(rest.len(), |(at, _)| at);
        let Some(after) = rest.split_at(place).1.strip_prefix(piece) else { return false };
        rest = after;
    }
    rest.is_empty()
}

/// Whether a place that is sent has no degrees.
pub(super) fn is_no_place(what: &str) -> bool {
    let is_degree = |text: &str| text.trim().parse::<f64>().is_ok();
    let place = what.strip_prefix("位置");
    place.is_some_and(|place| !place.split_once(',').is_some_and(|(x, y)| is_degree(x) && is_degree(y)))
}

/// What is sent that is no text, as the phone takes it.
pub(super) fn sent(what: &str) -> Value {
    let (kind, rest) = what.split_once(' ').unwrap_or((what, ""));
    match kind {
        "图片" => json!({ "action": "image" }),
        "视频" => json!({ "action": "video" }),
        "语音" if rest.is_empty() => json!({ "action": "voice" }),
        "语音" => json!({ "action": "voice", "recognition": rest.trim() }),
        "位置" => {
            let (latitude, longitude) = rest.split_once(',').expect("a place has two degrees");
            let (latitude, longitude) = (latitude.trim(), longitude.trim());
            json!({ "action": "location", "latitude": latitude, "longitude": longitude, "label": "这里" })
        }
        other => panic!("no phone sends {other}"),
    }
}
