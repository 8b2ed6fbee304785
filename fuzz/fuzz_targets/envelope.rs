//! Any text as ciphertext and as key, and any message there and back.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use weikefu::wechat::envelope::{Key, Keys};

const APP_ID: &str = "wxdemo0000000001";

static KEY: LazyLock<Key> =
    LazyLock::new(|| Key::parse("abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG").unwrap());
static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let previous = Key::parse("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C").unwrap();
    Keys::new(KEY.clone(), Some(previous))
});

fuzz_target!(|text: &str| {
    let _ = Key::parse(text);
    let _ = KEYS.open(text, APP_ID);
    let sealed = KEY.seal([7; 16], text, APP_ID);
    let (message, _) = KEYS.open(&sealed, APP_ID).unwrap();
    assert_eq!(message.as_str(), text);
});
