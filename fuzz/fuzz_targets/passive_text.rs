//! Any text as a reply: cut to its limit, encoded, and read back as it was; as a link it opens and closes one tag.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weikefu::domain::ids::Openid;
use weikefu::domain::time::UnixMs;
use weikefu::wechat::reply::{Reply, encode};
use weikefu::wechat::text::{Text, link, menu_link};
use weikefu::wechat::xml::{Document, gate};

fuzz_target!(|text: &str| {
    for markup in [link(text, text), menu_link(text, text)] {
        assert_eq!(markup.matches('<').count(), 2);
        assert_eq!(markup.matches('"').count() - text.matches('"').count(), 2);
    }
    let Ok(cut) = Text::cut(text) else { return };
    assert!(cut.reveal().len() <= Text::BYTES_MAX);
    let to = Openid::parse("o1").unwrap();
    let xml = encode(&Reply::Text(cut.clone()), &to, "gh_1", UnixMs(0));
    let Ok(body) = gate(xml.as_bytes()) else { panic!("an own reply does not pass the gate") };
    let document = Document::parse(body).unwrap();
    assert_eq!(document.root().text_of("Content"), cut.reveal());
});
