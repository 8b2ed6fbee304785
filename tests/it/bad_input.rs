//! What bad input gets: a status of the table, a short reason, a metric; nothing stored, nothing of it logged, never a
//! 5xx, and the connection stays good where it stays open.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use weikefu::config::Encryption;
use weikefu::domain::ids::AccountId;
use weikefu::inbound::Limits;

use crate::house::House;
use crate::processes::Process;
use crate::wechat::{
    APP_ID, Wechat, carrying, encrypted, event, plain, plain_query, push_at, safe, sealed, text, timestamp,
};
use crate::world::{Engine, until};

/// Stands in every bad body; must stand in no log.
const CANARY: &str = "CANARY-7f3a";
const BODY_BYTES_MAX: usize = 64 * 1024;

/// One bad call and what it gets.
struct Bad {
    what: String,
    query: String,
    body: Vec<u8>,
    status: u16,
}

fn bad(what: &str, (query, body): (String, impl Into<Vec<u8>>), status: u16) -> Bad {
    Bad { what: what.to_owned(), query, body: body.into(), status }
}

/// Bodies that no account may take, inside the envelope or without one.
fn unreadable() -> Vec<(&'static str, Vec<u8>)> {
    let good = text("o-bad", 1, CANARY);
    let mut laughs = String::from("<!DOCTYPE xml [<!ENTITY a0 \"CANARY-7f3a\">");
    for level in 1..10 {
        let inner = format!("&a{};", level - 1).repeat(10);
        write!(laughs, "<!ENTITY a{level} \"{inner}\">").unwrap();
    }
    laughs.push_str("]><xml><Content>&a9;</Content></xml>");
    let not_utf8 = [good.as_bytes(), b"\xFF\xFE"].concat();
    vec![
        ("nothing", vec![]),
        ("JSON", format!("{{\"Content\":\"{CANARY}\"}}").into_bytes()),
        ("no XML at all", CANARY.into()),
        ("a DOCTYPE", format!("<!DOCTYPE xml SYSTEM \"http://127.0.0.1:1/{CANARY}\">{good}").into_bytes()),
        ("a billion laughs", laughs.into_bytes()),
        ("an entity of its own", good.replace(CANARY, "]]>&canary;<![CDATA[").into_bytes()),
        ("invalid UTF-8", not_utf8),
        ("two roots", format!("{good}{good}").into_bytes()),
        ("half a document", good[..good.len() / 2].into()),
        ("depth", ["<xml>".repeat(5_000), "</xml>".repeat(5_000)].concat().into_bytes()),
        ("a million attributes, as far as they fit", {
            let attributes: String = (0..4_000).fold(String::new(), |mut all, number| {
                write!(all, " a{number}=\"1\"").unwrap();
                all
            });
            format!("<xml{attributes}>{CANARY}</xml>").into_bytes()
        }),
        ("no follower", good.replace("FromUserName", "Sender").into_bytes()),
        ("no MsgId", good.replace("MsgId", "Id").into_bytes()),
        ("another account", good.replace("gh_0123456789ab", "gh_another").into_bytes()),
        ("a CreateTime that is none", push_at("o-bad", CANARY, "text", "<MsgId>1</MsgId>").into_bytes()),
        ("an event without a name", event("o-bad", &timestamp(), "", "").into_bytes()),
    ]
}

fn skewed(seconds: i64) -> String {
    (timestamp().parse::<i64>().unwrap() + seconds).to_string()
}

fn bad_in_safe_mode() -> Vec<Bad> {
    let good = text("o-bad", 1, CANARY);
    let (query, body) = safe(&good);
    let ciphertext = sealed(good.as_bytes(), APP_ID);
    let unsigned = query.split("&msg_signature").next().unwrap().to_owned();
    let mut table = vec![
        bad("no query", (String::new(), body.clone()), 401),
        bad("no msg_signature", (unsigned.clone(), body.clone()), 401),
        bad(
            "a forged msg_signature",
            (format!("{unsigned}&msg_signature={}", "0".repeat(40)), body.clone()),
            401,
        ),
        bad("another nonce", (query.replace("nonce=nonce", "nonce=other"), body.clone()), 401),
        bad("a stale call", carrying(&ciphertext, &skewed(-310)), 401),
        bad("a call of the future", carrying(&ciphertext, &skewed(310)), 401),
        bad("a timestamp that is none", carrying(&ciphertext, "later"), 401),
        bad("a downgrade to plain mode", plain(&good), 401),
        bad("a downgrade inside", (query.clone(), good.clone()), 401),
        bad("encrypt_type raw", (query.replace("encrypt_type=aes", "encrypt_type=raw"), body), 401),
        bad("another AppID inside", carrying(&sealed(good.as_bytes(), "wxanother"), &timestamp()), 400),
        bad("no AppID inside", carrying(&sealed(good.as_bytes(), ""), &timestamp()), 400),
        bad("truncated base64", carrying(&ciphertext[..ciphertext.len() - 5], &timestamp()), 400),
        bad("a block less", carrying(&ciphertext[..ciphertext.len() / 2 / 4 * 4], &timestamp()), 400),
        bad("no ciphertext", carrying("", &timestamp()), 400),
        bad("no base64", carrying(CANARY, &timestamp()), 400),
        bad("a long query", (format!("{query}&x={}", "x".repeat(5_000)), safe(&good).1), 400),
        bad("one byte too many", (query, vec![b'x'; BODY_BYTES_MAX + 1]), 413),
    ];
    for (what, inner) in unreadable() {
        let whole = carrying(&sealed(&inner, APP_ID), &timestamp());
        if whole.1.len() <= BODY_BYTES_MAX {
            table.push(bad(&format!("inside: {what}"), whole, 400));
        }
    }
    let outside =
        ["nothing", "JSON", "no XML at all", "a DOCTYPE", "a billion laughs", "invalid UTF-8", "depth"];
    for (what, body) in unreadable().into_iter().filter(|(what, _)| outside.contains(what)) {
        table.push(bad(&format!("outside: {what}"), (safe(&good).0, body), 400));
    }
    // The last byte says how many bytes of padding there are, and each of them says the same.
    let mut clear = b"0123456789abcdef".to_vec();
    clear.extend(u32::try_from(good.len()).unwrap().to_be_bytes());
    clear.extend(good.as_bytes());
    clear.extend(APP_ID.as_bytes());
    let padding = 32 - clear.len() % 32;
    clear.resize(clear.len() + padding, u8::try_from(padding).unwrap());
    for last in (0..=255_u8).filter(|last| usize::from(*last) != padding && *last != 1) {
        *clear.last_mut().unwrap() = last;
        table.push(bad(&format!("padding {last}"), carrying(&encrypted(&clear), &timestamp()), 400));
    }
    table
}

fn bad_in_plain_mode() -> Vec<Bad> {
    let good = text("o-bad", 1, CANARY);
    let (query, body) = plain(&good);
    let mut table = vec![
        bad("no query", (String::new(), body.clone()), 401),
        bad("a forged signature", (query.replace("signature=", "signature=0"), body.clone()), 401),
        bad("a stale call", (plain_query(&skewed(-310)), body.clone()), 401),
        bad("a call of the future", (plain_query(&skewed(310)), body.clone()), 401),
        bad("an envelope", safe(&good), 400),
        bad("one byte too many", (query.clone(), vec![b'x'; BODY_BYTES_MAX + 1]), 413),
    ];
    for (what, body) in unreadable() {
        table.push(bad(what, (query.clone(), body), 400));
    }
    table
}

async fn assert_refused(wechat: &Wechat, table: Vec<Bad>) {
    for Bad { what, query, body, status } in table {
        let answer = wechat.send(&query, body).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status, status, "{what}: {}", answer.raw());
        let reason = answer.raw();
        let is_label =
            reason.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        assert!(is_label && (1..=40).contains(&reason.len()), "{what}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_calls_get_the_status_of_the_table_and_store_nothing() {
    for engine in Engine::at_hand() {
        let mut house = House::prepared(engine, Limits::default()).await;
        let mut open = house.config.accounts[0].clone();
        open.id = AccountId::new("open");
        open.encryption = Encryption::Plain;
        house.config.accounts.push(open);
        let wechat = house.start_server().await;
        let plain = Wechat { url: wechat.url.replace("/card", "/open"), is_safe: false, ..wechat.clone() };
        let before = house.counts().await;
        assert_refused(&wechat, bad_in_safe_mode()).await;
        assert_refused(&plain, bad_in_plain_mode()).await;

        let unknown = Wechat { url: wechat.url.replace("/card", "/nobody"), ..wechat.clone() };
        assert_eq!(unknown.deliver(&text("o-bad", 1, CANARY)).await.status, 404, "{engine:?}");
        assert_eq!(get(&unknown, &plain_query(&timestamp())).await.0, 404, "{engine:?}");
        let signed = plain_query(&timestamp());
        for wechat in [&wechat, &plain] {
            let echo = get(wechat, &format!("{signed}&echostr={CANARY}")).await;
            assert_eq!(echo, (200, CANARY.to_owned()), "{engine:?}");
            assert_eq!(get(wechat, &signed).await.0, 400, "{engine:?}: no echostr");
            let forged = signed.replace("signature=", "signature=0");
            assert_eq!(get(wechat, &format!("{forged}&echostr=1")).await.0, 401, "{engine:?}");
            assert_eq!(get(wechat, "echostr=1").await.0, 401, "{engine:?}");
            let put = wechat.http.put(&wechat.url).send().await.unwrap().status().as_u16();
            assert!((400..500).contains(&put), "{engine:?}: {put}");
        }
        assert_eq!(house.counts().await, before, "{engine:?}");
        let page = weikefu::telemetry::render();
        for reason in ["signature", "stale", "envelope", "too_large", "unknown_account", "not_encrypted"] {
            assert!(
                page.contains(&format!("weikefu_webhook_refused_total{{reason=\"{reason}\"}}")),
                "{reason}"
            );
        }
        assert!(!page.contains(CANARY), "{page}");
        house.stop().await;
    }
}

async fn get(wechat: &Wechat, query: &str) -> (u16, String) {
    let answer = wechat.http.get(format!("{}?{query}", wechat.url)).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documents_allow_is_not_refused() {
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        let wechat = house.wechat(0);
        // In encrypted modes the query's signature is not looked at.
        for (number, signature) in ["", "signature=0000&"].iter().enumerate() {
            let (query, body) = safe(&text("o-fine", number as u64, "功能"));
            let rest = query.split_once('&').unwrap().1;
            let answer = wechat.send(&format!("{signature}{rest}"), body).await.unwrap();
            assert!(answer.text().contains("我可以为您"), "{engine:?}: {}", answer.raw());
        }
        // The platform's clock may be anywhere: only the query's timestamp must be fresh.
        for (number, created) in ["0", "1", "4102444800", "9223372036854775807"].iter().enumerate() {
            let own = format!("<Content>功能</Content><MsgId>{}</MsgId>", 100 + number);
            let answer = wechat.deliver(&push_at("o-fine", created, "text", &own)).await;
            assert!(answer.text().contains("我可以为您"), "{engine:?} {created}: {}", answer.raw());
        }
        house.stop().await;
    }
}

/// A connection of our own, to see what happens on it.
struct Connection(TcpStream);

impl Connection {
    async fn to(house: &House) -> Self {
        let address = house.wechat(0).url.split('/').nth(2).unwrap().to_owned();
        Self(TcpStream::connect(address).await.unwrap())
    }

    async fn post(&mut self, query: &str, headers: &str, body: &[u8]) -> Option<(u16, String)> {
        let head = format!("POST /wechat/card?{query} HTTP/1.1\r\nhost: it\r\n{headers}\r\n");
        // A server that has said no may stop reading.
        let _ = self.0.write_all(head.as_bytes()).await;
        let _ = self.0.write_all(body).await;
        let mut got = Vec::new();
        let mut chunk = [0_u8; 4_096];
        loop {
            let read = self.0.read(&mut chunk).await.ok()?;
            if read == 0 {
                return None;
            }
            got.extend_from_slice(&chunk[..read]);
            let text = String::from_utf8_lossy(&got).into_owned();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some((head[9..12].parse().unwrap(), head.to_lowercase()));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_good_after_a_refusal_or_says_that_it_closes() {
    let house = House::open(Engine::Sqlite).await;
    for Bad { what, query, body, status } in
        bad_in_safe_mode().into_iter().filter(|bad| !bad.what.starts_with("padding"))
    {
        let mut connection = Connection::to(&house).await;
        let length = format!("content-length: {}\r\n", body.len());
        let (got, head) = connection.post(&query, &length, &body).await.unwrap_or_else(|| panic!("{what}"));
        assert_eq!(got, status, "{what}");
        let (query, body) = safe(&text("o-after", 1, "功能"));
        let length = format!("content-length: {}\r\n", body.len());
        let next = connection.post(&query, &length, body.as_bytes()).await;
        match next {
            Some((status, _)) => assert_eq!(status, 200, "{what}"),
            None => assert!(head.contains("connection: close"), "{what}: {head}"),
        }
    }
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_a_length_is_bounded_too() {
    let house = House::open(Engine::Sqlite).await;
    let before = house.counts().await;
    let (query, body) = safe(&text("o-chunked", 1, "功能"));
    let chunked = |body: &[u8]| {
        let mut all = Vec::new();
        for chunk in body.chunks(1_000) {
            all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            all.extend_from_slice(chunk);
            all.extend_from_slice(b"\r\n");
        }
        all.extend_from_slice(b"0\r\n\r\n");
        all
    };
    for bytes in [BODY_BYTES_MAX + 1, 1_000_000] {
        let mut connection = Connection::to(&house).await;
        let got =
            connection.post(&query, "transfer-encoding: chunked\r\n", &chunked(&vec![b'x'; bytes])).await;
        assert_eq!(got.expect("an answer").0, 413, "{bytes}");
    }
    assert_eq!(house.counts().await, before);
    let mut connection = Connection::to(&house).await;
    let got = connection.post(&query, "transfer-encoding: chunked\r\n", &chunked(body.as_bytes())).await;
    assert_eq!(got.expect("an answer").0, 200);
    house.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_bad_body_is_logged() {
    for format in ["text", "json"] {
        let house = House::prepared(Engine::Sqlite, Limits::default()).await;
        let folder = house.world.folder.path();
        let config = house.write_configuration();
        let log = folder.join("server.log");
        let arguments = ["serve", "--config", &config, "--log-format", format];
        let process = Process::start_logging(folder, &arguments, &log);
        process.line("weikefu on ");
        let url = format!("{}/wechat/card", house.world.server_url);
        let wechat = Wechat { http: house.world.http.clone(), url, is_safe: true };
        let table = bad_in_safe_mode();
        let calls = table.len();
        assert_refused(&wechat, table).await;
        let lines = until("a line for each refusal", || async {
            let text = std::fs::read_to_string(&log).unwrap();
            let refused = text.lines().filter(|line| line.contains("a webhook call is refused")).count();
            (refused == calls).then_some(text)
        })
        .await;
        for secret in [CANARY, "o-bad", "it-token", "it-app-secret"] {
            assert!(!lines.contains(secret), "{format}: {secret} is logged");
        }
        drop(process);
        house.stop().await;
    }
}
