//! What the webhook takes and what it refuses, mode by mode.

mod contents;

use std::collections::BTreeMap;

use proptest::prelude::*;
use url::Url;

use super::*;
use crate::clock::{Random, SeededRandom};
use crate::config::{AccountKind, DeskKind};
use crate::domain::ids::AccountId;
use crate::wechat::reply::{Reply, encode};
use crate::wechat::text::Text;
use crate::wechat::vectors;

const TOKEN: &str = "AAAAA";
const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const OLD_KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";
const APP_ID: &str = "wxdemo0000000001";
const ORIGINAL_ID: &str = "gh_bank0001demo";
const FOLLOWER: &str = "oBkUser_000000000000000000A1";
const RANDOM: [u8; 16] = *b"aaaabbbbccccdddd";
const NOW: UnixMs = UnixMs(1_767_225_700_000);
const NONCE: &str = "415670741";

pub(in crate::wechat) fn account(encryption: Encryption) -> Account {
    let url = |text| Url::parse(text).unwrap();
    Account {
        id: AccountId::new("card"),
        name: "示例银行信用卡".to_owned(),
        original_id: ORIGINAL_ID.to_owned(),
        app_id: APP_ID.to_owned(),
        app_secret: Secret::new("secret".to_owned()),
        token: Secret::new(TOKEN.to_owned()),
        encoding_aes_key: Some(Secret::new(KEY.to_owned())),
        previous_encoding_aes_key: Some(Secret::new(OLD_KEY.to_owned())),
        encryption,
        kind: AccountKind::Service,
        desk: DeskKind::Own,
        api_base_urls: vec![url("http://127.0.0.1:1")],
        oauth_base_url: url("http://127.0.0.1:1"),
        proxy: None,
        notices: BTreeMap::new(),
        template_per_second: None,
        customer_service_per_second: None,
        domain_files: vec![],
    }
}

/// A push as whoever goes on with it finds it.
fn read_back(push: &Push) -> Push {
    serde_json::from_slice(&serde_json::to_vec(push).unwrap()).unwrap()
}

fn webhook(encryption: Encryption) -> Webhook {
    Webhook::new(&account(encryption)).unwrap()
}

/// A call as the platform makes it.
#[derive(Clone)]
struct Call {
    query: Query,
    body: String,
}

impl Call {
    fn plain(message: &str) -> Self {
        let timestamp = NOW.seconds().to_string();
        let signature = Signature::of_query(TOKEN, &timestamp, NONCE).as_str().to_owned();
        let query = Query {
            signature: Some(signature),
            timestamp: Some(timestamp),
            nonce: Some(NONCE.to_owned()),
            ..Query::default()
        };
        Self { query, body: message.to_owned() }
    }

    fn safe_with(message: &str, key: &str, app_id: &str) -> Self {
        let ciphertext = Key::parse(key).unwrap().seal(RANDOM, message, app_id);
        Self::carrying(&ciphertext)
    }

    fn carrying(ciphertext: &str) -> Self {
        let mut call = Self::plain("");
        let timestamp = call.query.timestamp.clone().unwrap();
        let signature = Signature::of_message(TOKEN, &timestamp, NONCE, ciphertext);
        call.query.msg_signature = Some(signature.as_str().to_owned());
        call.query.encrypt_type = Some("aes".to_owned());
        call.body = format!(
            "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><Encrypt><![CDATA[{ciphertext}]]></Encrypt></xml>"
        );
        call
    }

    fn safe(message: &str) -> Self {
        Self::safe_with(message, KEY, APP_ID)
    }

    fn compat(message: &str, plain_copy: &str) -> Self {
        let mut call = Self::safe(message);
        call.body = call.body.replace("<Encrypt>", &format!("{plain_copy}<Encrypt>"));
        call
    }

    fn send(&self, encryption: Encryption) -> Result<Received, Refusal> {
        webhook(encryption).receive(&self.query, self.body.as_bytes(), NOW)
    }
}

fn text_message(words: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{FOLLOWER}]]></FromUserName>\
         <CreateTime>1767225601</CreateTime><MsgType><![CDATA[text]]></MsgType>\
         <Content><![CDATA[{words}]]></Content><MsgId>24871203390011223</MsgId></xml>"
    )
}

fn envelope_of(message_type: &str, own: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{FOLLOWER}]]></FromUserName>\
         <CreateTime>1767225700</CreateTime><MsgType><![CDATA[{message_type}]]></MsgType>{own}</xml>"
    )
}

fn event_of(own: &str) -> String {
    envelope_of("event", own)
}

fn received(message: &str) -> Push {
    Call::safe(message).send(Encryption::Safe).unwrap().push
}

fn content_of(message: &str) -> Content {
    received(message).content
}

fn personal(text: &str) -> crate::domain::secret::Personal {
    crate::domain::secret::Personal::new(text)
}

#[test]
fn a_refused_call_is_told_by_the_setting_that_differs() {
    let mismatch = |call: &Call, encryption: Encryption, now: UnixMs| {
        assert!(webhook(encryption).receive(&call.query, call.body.as_bytes(), now).is_err());
        webhook(encryption).mismatch(&call.query, call.body.as_bytes(), now)
    };
    let foreign_token = |mut call: Call| {
        let timestamp = call.query.timestamp.clone().unwrap();
        call.query.signature = Some(Signature::of_query("other", &timestamp, NONCE).as_str().to_owned());
        call.query.msg_signature = call.query.msg_signature.map(|_| "0".repeat(40));
        call
    };
    let message = text_message("你好");
    let (plain, safe) = (Call::plain(&message), Call::safe(&message));
    let mut changed_on_its_way = safe.clone();
    changed_on_its_way.body = Call::safe(&text_message("别的")).body;
    let to_another = message.replace(ORIGINAL_ID, "gh_another");
    let unknown_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFH".replace("abc", "xyz");
    let found = |text: &str| text.to_owned();
    let late = NOW + std::time::Duration::from_secs(400);
    let table = [
        (foreign_token(plain.clone()), Encryption::Plain, NOW, Mismatch::Token),
        (foreign_token(safe.clone()), Encryption::Safe, NOW, Mismatch::Token),
        (foreign_token(plain.clone()), Encryption::Safe, NOW, Mismatch::Token),
        (plain.clone(), Encryption::Safe, NOW, Mismatch::Mode { encrypted: false }),
        (safe.clone(), Encryption::Plain, NOW, Mismatch::Mode { encrypted: true }),
        (safe.clone(), Encryption::Safe, late, Mismatch::Clock { ahead_ms: 400_000 }),
        (plain, Encryption::Plain, late, Mismatch::Clock { ahead_ms: 400_000 }),
        (changed_on_its_way, Encryption::Safe, NOW, Mismatch::Body),
        (Call::safe_with(&message, &unknown_key, APP_ID), Encryption::Safe, NOW, Mismatch::AesKey),
        (
            Call::safe_with(&message, KEY, "wxother"),
            Encryption::Compat,
            NOW,
            Mismatch::AppId { found: found("wxother") },
        ),
        (Call::safe(&to_another), Encryption::Safe, NOW, Mismatch::OriginalId { found: found("gh_another") }),
        (Call::safe("<xml/"), Encryption::Safe, NOW, Mismatch::Unreadable { reason: found("not_xml") }),
    ];
    for (row, (call, encryption, now, expected)) in table.into_iter().enumerate() {
        assert_eq!(mismatch(&call, encryption, now), Some(expected), "row {row}");
    }
    let stranger = Call { query: Query::parse("utm=1"), body: message };
    assert_eq!(mismatch(&stranger, Encryption::Safe, NOW), None);
}

#[test]
fn the_address_is_verified_by_echoing() {
    let vector = vectors::all().into_iter().find(|vector| vector.need("id") == "sig-url-verify").unwrap();
    let query = format!(
        "signature={}&timestamp={}&nonce={}&echostr={}",
        vector.need("expected_signature"),
        vector.need("timestamp"),
        vector.need("nonce"),
        vector.need("plaintext")
    );
    for encryption in [Encryption::Plain, Encryption::Compat, Encryption::Safe] {
        let echo = webhook(encryption).verify_url(&Query::parse(&query));
        assert_eq!(echo.as_deref(), Ok("4375120948345356249"));
        for wrong in ["", "echostr=1", &query.replace("f464b", "f464c"), &query.replace("nonce=", "once=")] {
            let refusal = webhook(encryption).verify_url(&Query::parse(wrong)).unwrap_err();
            assert_eq!(refusal.status(), 401, "{wrong}");
        }
        let silent = query.replace("echostr", "echo");
        assert_eq!(webhook(encryption).verify_url(&Query::parse(&silent)).unwrap_err().status(), 400);
    }
}

#[test]
fn every_mode_takes_its_own_form_and_names_how_to_reply() {
    let message = text_message("查询本月账单");
    let encrypted = ReplyMode::Encrypted(KeyChoice::Current);
    let forged_copy = "<FromUserName>someone else</FromUserName><Content>开通</Content>";
    let table = [
        (Call::plain(&message), Encryption::Plain, ReplyMode::Plain),
        (Call::safe(&message), Encryption::Safe, encrypted),
        (Call::safe(&message), Encryption::Compat, encrypted),
        (Call::compat(&message, forged_copy), Encryption::Compat, encrypted),
        (
            Call::safe_with(&message, OLD_KEY, APP_ID),
            Encryption::Safe,
            ReplyMode::Encrypted(KeyChoice::Previous),
        ),
    ];
    for (call, encryption, reply_mode) in table {
        let received = call.send(encryption).unwrap();
        assert_eq!(received.reply_mode, reply_mode);
        let push = received.push;
        assert_eq!(push.from.reveal(), FOLLOWER);
        assert_eq!(push.to, ORIGINAL_ID);
        assert_eq!(push.created, UnixMs(1_767_225_601_000));
        assert_eq!(push.key.as_str(), "m:24871203390011223");
        assert_eq!(push.content, Content::Text { text: personal("查询本月账单"), menu_item: None });
    }
}

#[test]
fn what_the_pinned_mode_does_not_allow_is_refused() {
    let message = text_message("x");
    let mut stripped = Call::compat(&message, "<Content>x</Content>");
    stripped.body = message.clone();
    let mut raw = Call::safe(&message);
    raw.query.encrypt_type = Some("raw".to_owned());
    let mut unsigned = Call::safe(&message);
    unsigned.query.msg_signature = None;
    for encryption in [Encryption::Safe, Encryption::Compat] {
        for call in [&Call::plain(&message), &stripped, &raw, &unsigned] {
            assert_eq!(call.send(encryption).unwrap_err().status(), 401);
        }
    }
    assert_eq!(Call::safe(&message).send(Encryption::Plain).unwrap_err().status(), 400);
    let mut plain = Call::plain(&message);
    plain.query.signature = None;
    assert_eq!(plain.send(Encryption::Plain).unwrap_err().status(), 401);
}

/// The platform's documents say to check `msg_signature` and not to use `signature` there.
#[test]
fn the_query_signature_does_not_matter_in_encrypted_modes() {
    for signature in [None, Some(""), Some("f464b24fc39322e44b38aa78f5edd27bd1441696")] {
        let mut call = Call::safe(&text_message("x"));
        call.query.signature = signature.map(str::to_owned);
        for encryption in [Encryption::Safe, Encryption::Compat] {
            assert!(call.send(encryption).is_ok(), "{signature:?}");
        }
    }
}

#[test]
fn forged_and_stale_calls_are_401_before_anything_is_read() {
    for (encryption, good) in [
        (Encryption::Plain, Call::plain(&text_message("x"))),
        (Encryption::Safe, Call::safe(&text_message("x"))),
    ] {
        let hook = webhook(encryption);
        for (skew_ms, fresh) in [(300_000, true), (-300_000, true), (300_001, false), (-300_001, false)] {
            let now = UnixMs(NOW.0 + skew_ms);
            let result = hook.receive(&good.query, good.body.as_bytes(), now);
            assert_eq!(result.is_ok(), fresh, "{skew_ms}");
            assert_eq!(result.err().map_or(401, Refusal::status), 401);
        }
        let mut calls = vec![];
        let change = |edit: fn(&mut Query)| {
            let mut query = good.query.clone();
            edit(&mut query);
            query
        };
        calls.push(Query::default());
        calls.push(change(|query| query.timestamp = None));
        calls.push(change(|query| query.nonce = None));
        calls.push(change(|query| query.timestamp = Some("later".to_owned())));
        let forged = [
            change(|query| query.nonce = Some("1".to_owned())),
            change(|query| {
                let other = "f464b24fc39322e44b38aa78f5edd27bd1441696".to_owned();
                query.signature = Some(other.clone());
                query.msg_signature = Some(other);
            }),
        ];
        for query in &forged {
            assert_eq!(hook.receive(query, good.body.as_bytes(), NOW).unwrap_err().status(), 401);
        }
        if encryption == Encryption::Plain {
            calls.extend(forged);
        }
        for query in calls {
            for body in [good.body.as_bytes(), b"", b"{}", b"\xFF"] {
                assert_eq!(hook.receive(&query, body, NOW).unwrap_err().status(), 401);
            }
        }
    }
    let mut timestamp_not_a_number = Call::plain(&text_message("x"));
    timestamp_not_a_number.query.timestamp = Some("later".to_owned());
    let signature = Signature::of_query(TOKEN, "later", NONCE).as_str().to_owned();
    timestamp_not_a_number.query.signature = Some(signature);
    assert_eq!(timestamp_not_a_number.send(Encryption::Plain).unwrap_err().reason, "timestamp");
    let mut forged = Call::safe(&text_message("x"));
    forged.query.msg_signature = Some("046e02f8204d34f8ba5fa3b1db94908f3df2e9b3".to_owned());
    assert_eq!(forged.send(Encryption::Safe).unwrap_err().reason, "signature");
}

#[test]
fn genuine_but_unreadable_calls_are_400_and_large_ones_413() {
    let laughs = "<!DOCTYPE lolz [<!ENTITY a \"ha\">]><xml><Content>&a;</Content></xml>";
    let no_follower = text_message("x").replace("FromUserName", "Sender");
    let bodies = [
        "".to_owned(),
        "{}".to_owned(),
        laughs.to_owned(),
        no_follower,
        text_message("x").replace(FOLLOWER, ""),
        text_message("x").replace(FOLLOWER, &"o".repeat(129)),
        text_message("x").replace(ORIGINAL_ID, "gh_bank0002demo"),
        text_message("x").replace(ORIGINAL_ID, " gh_bank0001demo"),
        text_message("x").replace("1767225601", "yesterday"),
        text_message("x").replace("[text]", "[]"),
        text_message("x").replace("<MsgId>", "<MsgId>x y"),
        text_message("x").replace("MsgId", "MessageId"),
        text_message("x").replace("<CreateTime>", "<FromUserName>o2</FromUserName><CreateTime>"),
        event_of(""),
    ];
    for body in &bodies {
        let calls = [(Call::plain(body), Encryption::Plain), (Call::safe(body), Encryption::Safe)];
        for (call, encryption) in calls {
            assert_eq!(call.send(encryption).err().map(Refusal::status), Some(400), "{body}");
        }
    }
    for body in ["", "{}", laughs, "\u{1}"] {
        let mut call = Call::safe(&text_message("x"));
        call.body = body.to_owned();
        assert_eq!(call.send(Encryption::Safe).unwrap_err().status(), 400, "{body}");
    }
    let ciphertext = Key::parse(KEY).unwrap().seal(RANDOM, &text_message("x"), APP_ID);
    let truncated = Call::carrying(ciphertext.split_at(ciphertext.len() - 5).0);
    let wrong_app = Call::safe_with(&text_message("x"), KEY, "wxdemo0000000002");
    let unknown_key =
        Call::safe_with(&text_message("x"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", APP_ID);
    for call in [truncated, Call::carrying(""), wrong_app, unknown_key] {
        let refusal = call.send(Encryption::Safe).unwrap_err();
        assert_eq!((refusal.status(), refusal.reason), (400, "envelope"));
    }
    let large = "x".repeat(BODY_BYTES_MAX + 1);
    for encryption in [Encryption::Plain, Encryption::Safe] {
        let refusal = webhook(encryption).receive(&Query::default(), large.as_bytes(), NOW).unwrap_err();
        assert_eq!(refusal.status(), 413);
    }
}

#[test]
fn a_push_of_the_official_sample_is_read_in_compat_mode() {
    let vector = vectors::all().into_iter().find(|vector| vector.need("id") == "dec-python-compat").unwrap();
    let mut account = account(Encryption::Compat);
    account.token = Secret::new(vector.need("token").to_owned());
    account.app_id = vector.need("appid").to_owned();
    account.original_id = "gh_10f6c3c3ac5a".to_owned();
    let query = Query::parse(&format!(
        "encrypt_type=aes&timestamp={}&nonce={}&msg_signature={}",
        vector.need("timestamp"),
        vector.need("nonce"),
        vector.need("expected_signature")
    ));
    let now = UnixMs::from_seconds(1_409_735_669);
    let received = Webhook::new(&account).unwrap().receive(&query, vector.need("post_body").as_bytes(), now);
    let push = received.unwrap().push;
    assert_eq!(push.key.as_str(), "m:6054768590064713728");
    assert_eq!(push.content, Content::Text { text: personal("abcdteT"), menu_item: None });
}

#[test]
fn replies_are_sealed_with_the_key_that_opened_the_push_and_alike_each_time() {
    let hook = webhook(Encryption::Safe);
    let reply = Reply::Text(Text::new("您好").unwrap());
    let xml = encode(&reply, &Openid::parse(FOLLOWER).unwrap(), ORIGINAL_ID, NOW);
    for (choice, key) in [(KeyChoice::Current, KEY), (KeyChoice::Previous, OLD_KEY)] {
        let mode = ReplyMode::Encrypted(choice);
        let sealed = hook.seal_reply(&xml, mode, RANDOM, NOW, NONCE);
        assert_eq!(sealed, hook.seal_reply(&xml, mode, RANDOM, NOW, NONCE));
        let document = Document::parse(&sealed).unwrap();
        let ciphertext = document.root().text_of("Encrypt");
        let timestamp = document.root().text_of("TimeStamp");
        assert_eq!(timestamp, "1767225700");
        assert_eq!(document.root().text_of("Nonce"), NONCE);
        let right = Signature::of_message(TOKEN, timestamp, NONCE, ciphertext);
        assert!(right.matches(document.root().text_of("MsgSignature")));
        let keys = Keys::new(Key::parse(key).unwrap(), None);
        assert_eq!(keys.open(ciphertext, APP_ID).unwrap().0.as_str(), xml);
        assert_eq!(hook.seal_reply("success", mode, RANDOM, NOW, NONCE), "success");
    }
    assert_eq!(webhook(Encryption::Plain).seal_reply(&xml, ReplyMode::Plain, RANDOM, NOW, NONCE), xml);
}

#[test]
fn a_webhook_without_a_usable_key_is_not_set_up() {
    let mut without = account(Encryption::Safe);
    without.encoding_aes_key = None;
    assert!(matches!(Webhook::new(&without).err(), Some(NotAWebhook::NoKey { .. })));
    without.encryption = Encryption::Plain;
    assert!(Webhook::new(&without).is_ok());
    let mut short = account(Encryption::Compat);
    short.previous_encoding_aes_key = Some(Secret::new("short".to_owned()));
    let error = Webhook::new(&short).err().unwrap();
    assert!(error.to_string().starts_with("accounts.card.previous_encoding_aes_key:"), "{error}");
}

#[test]
fn twenty_thousand_seeded_inputs_never_panic_and_are_never_taken() {
    let random = SeededRandom::new(2026);
    let hooks = [Encryption::Plain, Encryption::Safe].map(webhook);
    let seeds: Vec<String> = contents::EVENTS.iter().map(|(own, _)| event_of(own)).collect();
    for round in 0..20_000 {
        let mut dice = [0_u8; 8];
        random.fill(&mut dice);
        let mut bytes = match dice[0] % 4 {
            0 => {
                let mut noise = vec![0; usize::from(dice[1]) * 4];
                random.fill(&mut noise);
                noise
            }
            _ => seeds[round % seeds.len()].clone().into_bytes(),
        };
        for _ in 0..=dice[2] % 8 {
            let mut edit = [0_u8; 4];
            random.fill(&mut edit);
            if bytes.is_empty() {
                break;
            }
            let index = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
            match edit[2] % 3 {
                0 => bytes[index] = edit[3],
                1 => bytes.truncate(index),
                _ => bytes.insert(index, b"<>&]![;/"[usize::from(edit[3] % 8)]),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        let plain = Call::plain(&text);
        if let Ok(received) = hooks[0].receive(&plain.query, &bytes, NOW) {
            assert_eq!(read_back(&received.push), received.push);
        }
        let safe = Call::safe(&text);
        assert!(hooks[1].receive(&safe.query, &bytes, NOW).is_err());
        assert!(hooks[1].receive(&plain.query, &bytes, NOW).is_err());
    }
}

proptest! {
    /// Whatever is changed in the signed parts of a genuine call, it is refused.
    #[test]
    fn a_changed_ciphertext_or_signature_is_never_accepted(
        words in "\\PC{0,40}", at in any::<prop::sample::Index>(), flip in 1_u8..=127, part in 0_u8..4,
    ) {
        let words: String = words.chars().filter(|character| *character != ']').collect();
        let good = Call::safe(&text_message(&words));
        prop_assert!(good.send(Encryption::Safe).is_ok());
        let mut changed = good.clone();
        let flip_in = |text: &str| {
            let mut bytes = text.as_bytes().to_vec();
            let index = at.index(bytes.len());
            bytes[index] ^= flip;
            String::from_utf8_lossy(&bytes).into_owned()
        };
        match part {
            0 => {
                let document = Document::parse(&good.body).unwrap();
                let ciphertext = document.root().text_of("Encrypt").to_owned();
                changed.body = good.body.replace(&ciphertext, &flip_in(&ciphertext));
            }
            1 => changed.query.msg_signature = good.query.msg_signature.as_deref().map(flip_in),
            2 => changed.query.timestamp = good.query.timestamp.as_deref().map(flip_in),
            _ => changed.query.nonce = good.query.nonce.as_deref().map(flip_in),
        }
        prop_assert!(changed.send(Encryption::Safe).is_err());
    }

    /// Any words of a customer arrive as he wrote them, in every mode.
    #[test]
    fn words_arrive_as_they_were_written(words in "[^\\p{Cc}\\]\u{FFFE}\u{FFFF}]{0,200}") {
        let expected = Content::Text { text: personal(&words), menu_item: None };
        let safe = Call::safe(&text_message(&words)).send(Encryption::Safe).unwrap();
        prop_assert_eq!(safe.push.content, expected.clone());
        let plain = Call::plain(&text_message(&words)).send(Encryption::Plain).unwrap();
        prop_assert_eq!(plain.push.content, expected);
    }
}
