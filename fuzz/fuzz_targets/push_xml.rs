//! Any body under a genuine signature: read or refused, never a panic; what was read survives storage.

#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use url::Url;
use weikefu::config::{Account, AccountKind, DeskKind, Encryption};
use weikefu::domain::ids::AccountId;
use weikefu::domain::secret::Secret;
use weikefu::domain::time::UnixMs;
use weikefu::wechat::push::{Push, Query, Webhook};
use weikefu::wechat::signature::Signature;

const TOKEN: &str = "AAAAA";
const NOW: UnixMs = UnixMs(1_767_225_700_000);

static WEBHOOK: LazyLock<Webhook> = LazyLock::new(|| {
    let nowhere = Url::parse("http://127.0.0.1:1").unwrap();
    let account = Account {
        id: AccountId::new("card"),
        name: String::new(),
        original_id: "gh_bank0001demo".to_owned(),
        app_id: "wxdemo0000000001".to_owned(),
        app_secret: Secret::new(String::new()),
        token: Secret::new(TOKEN.to_owned()),
        encoding_aes_key: None,
        previous_encoding_aes_key: None,
        encryption: Encryption::Plain,
        kind: AccountKind::Service,
        desk: DeskKind::Own,
        api_base_urls: vec![nowhere.clone()],
        oauth_base_url: nowhere,
        notices: BTreeMap::new(),
    };
    Webhook::new(&account).unwrap()
});

static QUERY: LazyLock<Query> = LazyLock::new(|| {
    let timestamp = NOW.seconds().to_string();
    Query {
        signature: Some(Signature::of_query(TOKEN, &timestamp, "1").as_str().to_owned()),
        timestamp: Some(timestamp),
        nonce: Some("1".to_owned()),
        ..Query::default()
    }
});

fuzz_target!(|body: &[u8]| {
    if let Ok(received) = WEBHOOK.receive(&QUERY, body, NOW) {
        let stored = serde_json::to_vec(&received.push).unwrap();
        assert!(serde_json::from_slice::<Push>(&stored).unwrap() == received.push);
    }
});
