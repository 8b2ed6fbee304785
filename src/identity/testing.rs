//! The room with everything around it made up but the database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::BoxFuture;
use serde_json::Value;

use super::{Announce, CodeExchange, ExchangeFault, Identity, WechatUser};
use crate::bank::Core;
use crate::clock::ManualClock;
use crate::config::{self, Account, AccountKind, Config, DeskKind, Encryption};
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey, Openid};
use crate::domain::secret::Secret;
use crate::store::testing::TestStore;
use crate::store::{Store, StoreError, Write};

/// WeChat: a code is an openid with `code-` before it; good once.
#[derive(Default)]
pub(crate) struct Wechat {
    used: Mutex<Vec<String>>,
}

impl CodeExchange for Wechat {
    fn exchange<'a>(
        &'a self,
        _: &'a AccountId,
        code: &'a Secret,
    ) -> BoxFuture<'a, Result<WechatUser, ExchangeFault>> {
        Box::pin(async move {
            let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
            if used.iter().any(|before| before == code.reveal()) {
                return Err(ExchangeFault::Refused);
            }
            used.push(code.reveal().to_owned());
            let Some((_, openid)) = code.reveal().split_once("code-") else {
                return Err(ExchangeFault::Down);
            };
            let openid = Openid::parse(openid).ok_or(ExchangeFault::Refused)?;
            Ok(WechatUser { snapshot: openid.reveal() == "oSnapshot", openid })
        })
    }
}

/// Listens to what is announced, and writes it into the audit trail so that it stands or falls with its commit.
pub(crate) struct Listener {
    store: Store,
    pub(crate) told: Mutex<Vec<(FollowerKey, String)>>,
    pub(crate) events: Mutex<Vec<(String, String, Value)>>,
}

impl Announce for Listener {
    fn event(
        &self,
        kind: &str,
        account: &AccountId,
        customer: Option<&CustomerId>,
        data: Value,
    ) -> Result<Vec<Write>, StoreError> {
        let customer = customer.map_or("", CustomerId::reveal).to_owned();
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push((kind.to_owned(), customer, data));
        Ok(vec![self.store.audit("event", kind, account, None, None)?])
    }

    fn tell(&self, _: &AccountId, follower: FollowerKey, text: &str) -> Result<Vec<Write>, StoreError> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push((follower, text.to_owned()));
        Ok(Vec::new())
    }

    fn wake(&self, _: u8) {}
}

/// The account of most tests.
pub(crate) fn card() -> AccountId {
    AccountId::new("card")
}

fn account(id: &str) -> Account {
    Account {
        id: AccountId::new(id),
        name: "示例银行信用卡".to_owned(),
        original_id: format!("gh_{id}"),
        app_id: format!("wx_{id}"),
        app_secret: Secret::new("secret".to_owned()),
        token: Secret::new("token".to_owned()),
        encoding_aes_key: None,
        previous_encoding_aes_key: None,
        encryption: Encryption::Plain,
        kind: AccountKind::Service,
        desk: DeskKind::Own,
        api_base_urls: Vec::new(),
        oauth_base_url: "https://open.wechat.example".parse().unwrap(),
        proxy: None,
        notices: BTreeMap::new(),
        template_per_second: None,
        customer_service_per_second: None,
        domain_files: vec![],
    }
}

fn config(core: url::Url) -> Config {
    Config {
        server: config::Server {
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: "https://wx.bank.example/base/".parse().unwrap(),
            api_listen: None,
            staff_listen: None,
            metrics_listen: None,
            trusted_proxies: Vec::new(),
            h5_frame_ancestors: vec!["http://phone.example".to_owned()],
        },
        database: config::Database { url: Secret::new(String::new()) },
        accounts: vec![account("card"), account("retail")],
        core: config::Core {
            base_url: core,
            secret: Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
            timeout_ms: 2000,
            tls: config::Tls::default(),
        },
        api: config::Api { secrets: Vec::new(), backlog_max: 1 },
        events: None,
        asr: None,
        keys: None,
        content: config::Content::default(),
        alerts: config::Alerts::default(),
        retention: crate::config::Retention::default(),
        hints: None,
        telemetry: config::Telemetry::default(),
        staff: config::Staff::default(),
        sandbox: config::Sandbox::default(),
    }
}

/// The room on a database that others use, too, and who listens to it.
pub(crate) fn room(
    store: &Store,
    clock: &Arc<ManualClock>,
    core: url::Url,
) -> (Arc<Identity>, Arc<Listener>) {
    let config = Arc::new(config(core));
    let core = Core::new(&config.core, clock.clone(), store.random().clone()).unwrap();
    let listener =
        Arc::new(Listener { store: store.clone(), told: Mutex::default(), events: Mutex::default() });
    let (told, wechat) = (listener.clone(), Arc::new(Wechat::default()));
    (Arc::new(Identity::new(config, store.clone(), Arc::new(core), told, wechat)), listener)
}

/// The room, its database, and who listens to it.
pub(crate) struct House {
    pub(crate) test: TestStore,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
    pub(crate) identity: Arc<Identity>,
    pub(crate) listener: Arc<Listener>,
}

impl House {
    pub(crate) fn new(test: TestStore, core: url::Url) -> Self {
        let (store, clock) = (test.store.clone(), test.clock.clone());
        let (identity, listener) = room(&store, &clock, core);
        Self { test, clock, store, identity, listener }
    }

    pub(crate) fn follower(&self, openid: &str) -> FollowerKey {
        self.store.follower_key("wx_card", &Openid::parse(openid).unwrap())
    }

    pub(crate) async fn binding(&self, openid: &str) -> Option<Binding> {
        self.identity.binding(&card(), self.follower(openid)).await.unwrap()
    }

    /// The events so far, as `kind customer reason`.
    pub(crate) fn events(&self) -> Vec<String> {
        let events = self.listener.events.lock().unwrap();
        let line = |(kind, customer, data): &(String, String, Value)| {
            format!("{kind} {customer} {}", data["reason"].as_str().unwrap_or_default()).trim().to_owned()
        };
        events.iter().map(line).collect()
    }
}
