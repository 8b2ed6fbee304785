//! Everything around the pages, and a browser that keeps cookies and is sent to WeChat and back.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::cookie::Cookie;
use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Data;
use actix_web::{App, http::StatusCode, http::header};
use futures::future::{BoxFuture, LocalBoxFuture};
use serde_json::Value;

use super::bank::Bank;
use crate::bank::Core;
use crate::clock::ManualClock;
use crate::config::{self, Account, AccountKind, Config, DeskKind, Encryption};
use crate::domain::binding::Binding;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey, Openid};
use crate::domain::secret::{Personal, Secret};
use crate::identity::{Announce, CodeExchange, ExchangeFault, Identity, Page, Resumer, WechatUser};
use crate::store::testing::{TestStore, stores};
use crate::store::{Store, StoreError, Write};

pub(super) const NAME: &str = "张立春";
pub(super) const PHONE: &str = "13800138001";

/// WeChat: a code is an openid with `code-` before it; good once.
#[derive(Default)]
pub(super) struct Wechat {
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
pub(super) struct Listener {
    store: Store,
    pub(super) told: Mutex<Vec<(FollowerKey, String)>>,
    pub(super) events: Mutex<Vec<(String, String, Value)>>,
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

/// Answers every interrupted question alike.
struct Answers;

impl Resumer for Answers {
    fn resume<'a>(
        &'a self,
        _: &'a AccountId,
        _: FollowerKey,
        wish: &'a Personal,
    ) -> BoxFuture<'a, Option<String>> {
        Box::pin(async move {
            (wish.reveal() == r#"{"service":"bill_current"}"#).then(|| {
                "本期应还 &lt;¥1,234.50&gt;\n<a href=\"https://bank.example/pay?a=1&amp;b=2\">去还款</a><b>x</b>".to_owned()
            })
        })
    }
}

pub(super) struct World {
    pub(super) test: TestStore,
    pub(super) clock: Arc<ManualClock>,
    pub(super) store: Store,
    pub(super) bank: Arc<Bank>,
    pub(super) identity: Arc<Identity>,
    pub(super) listener: Arc<Listener>,
    answers: Arc<dyn Resumer>,
}

/// A world for each database that is at hand.
pub(super) async fn worlds() -> Vec<World> {
    stores().await.into_iter().map(World::new).collect()
}

pub(super) fn card() -> AccountId {
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
        notices: BTreeMap::new(),
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
        },
        api: config::Api { secrets: Vec::new(), backlog_max: 1 },
        events: None,
        keys: None,
        content: config::Content::default(),
        sandbox: config::Sandbox::default(),
    }
}

impl World {
    fn new(test: TestStore) -> Self {
        let bank = Arc::new(Bank::default());
        let config = Arc::new(config(bank.start()));
        let (store, clock) = (test.store.clone(), test.clock.clone());
        let core = Core::new(&config.core, clock.clone(), store.random().clone()).unwrap();
        let listener =
            Arc::new(Listener { store: store.clone(), told: Mutex::default(), events: Mutex::default() });
        let wechat = Arc::new(Wechat::default());
        let identity =
            Arc::new(Identity::new(config, store.clone(), Arc::new(core), listener.clone(), wechat));
        Self { test, clock, store, bank, identity, listener, answers: Arc::new(Answers) }
    }

    pub(super) fn follower(&self, openid: &str) -> FollowerKey {
        self.store.follower_key("wx_card", &Openid::parse(openid).unwrap())
    }

    /// The address of a signed link, as a path on the server.
    pub(super) fn link(&self, openid: &str, page: Page) -> String {
        let link = self.identity.link(&card(), self.follower(openid), page, self.identity.now());
        link.strip_prefix("https://wx.bank.example/base").expect("our own address").to_owned()
    }

    pub(super) async fn binding(&self, openid: &str) -> Option<Binding> {
        self.identity.binding(&card(), self.follower(openid)).await.unwrap()
    }

    /// The events so far, as `kind customer reason`.
    pub(super) fn events(&self) -> Vec<String> {
        let events = self.listener.events.lock().unwrap();
        let line = |(kind, customer, data): &(String, String, Value)| {
            format!("{kind} {customer} {}", data["reason"].as_str().unwrap_or_default()).trim().to_owned()
        };
        events.iter().map(line).collect()
    }

    /// A browser in the hand of a follower.
    pub(super) async fn browser(&self, openid: &'static str) -> Browser {
        let app = App::new()
            .app_data(Data::from(self.identity.clone()))
            .app_data(Data::from(self.answers.clone()))
            .configure(crate::web::h5::configure);
        let service = Rc::new(init_service(app).await);
        let send = move |request: TestRequest| {
            let service = service.clone();
            Box::pin(async move { call_service(&*service, request.to_request()).await })
                as LocalBoxFuture<'static, ServiceResponse>
        };
        Browser { send: Box::new(send), cookies: BTreeMap::new(), openid, html: String::new() }
    }
}

type Send = Box<dyn Fn(TestRequest) -> LocalBoxFuture<'static, ServiceResponse>>;

/// Keeps cookies, follows redirects, and fills in forms from the page it shows.
pub(super) struct Browser {
    send: Send,
    pub(super) cookies: BTreeMap<String, String>,
    pub(super) openid: &'static str,
    /// The page that is shown.
    pub(super) html: String,
}

impl Browser {
    fn dress(&self, mut request: TestRequest) -> TestRequest {
        for (name, value) in &self.cookies {
            request = request.cookie(Cookie::new(name.clone(), value.clone()));
        }
        request.peer_addr("192.0.2.7:1234".parse().unwrap())
    }

    /// One exchange; cookies are kept, redirects are not followed.
    pub(super) async fn exchange(&mut self, request: TestRequest) -> ServiceResponse {
        let response = (self.send)(self.dress(request)).await;
        for cookie in response.response().cookies() {
            assert!(cookie.http_only() == Some(true) && cookie.secure() == Some(true), "{cookie}");
            assert_eq!(cookie.path(), Some("/base/h5"));
            self.cookies.insert(cookie.name().to_owned(), cookie.value().to_owned());
        }
        response
    }

    /// Where a redirect leads, as a path on the server; WeChat's page sends back at once.
    fn way(&self, to: &str) -> String {
        if let Some(path) = to.strip_prefix("/base") {
            return path.to_owned();
        }
        let (address, fragment) = to.split_once('#').expect("the fragment");
        assert_eq!(fragment, "wechat_redirect");
        let url: url::Url = address.parse().unwrap();
        assert_eq!(url.origin().ascii_serialization(), "https://open.wechat.example");
        let names: Vec<_> = url.query_pairs().map(|(name, _)| name.into_owned()).collect();
        assert_eq!(names, ["appid", "redirect_uri", "response_type", "scope", "state"]);
        let value = |wanted: &str| {
            url.query_pairs().find(|(name, _)| name == wanted).map(|(_, value)| value.into_owned()).unwrap()
        };
        let back = value("redirect_uri");
        let back = back.strip_prefix("https://wx.bank.example/base").expect("our own callback");
        // WeChat never gives the same code twice.
        static CODES: AtomicU32 = AtomicU32::new(100);
        let number = CODES.fetch_add(1, Ordering::Relaxed);
        format!("{back}?code={number}code-{}&state={}", self.openid, value("state"))
    }

    async fn show(&mut self, mut response: ServiceResponse) -> StatusCode {
        for _ in 0..5 {
            let Some(to) = response.headers().get(header::LOCATION) else { break };
            let path = self.way(to.to_str().unwrap());
            response = self.exchange(TestRequest::get().uri(&path)).await;
        }
        let status = response.status();
        for (name, value) in [
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(response.headers().get(name).unwrap(), value);
        }
        self.html = String::from_utf8(read_body(response).await.to_vec()).unwrap();
        status
    }

    /// Opens an address and goes wherever it leads.
    pub(super) async fn open(&mut self, path: &str) -> StatusCode {
        let response = self.exchange(TestRequest::get().uri(path)).await;
        self.show(response).await
    }

    /// The value of a hidden field of the page that is shown.
    pub(super) fn hidden(&self, name: &str) -> String {
        let mark = format!("name=\"{name}\" value=\"");
        let (_, after) = self.html.split_once(&mark).unwrap_or_else(|| panic!("no {name}: {}", self.html));
        after.split('"').next().unwrap().to_owned()
    }

    /// Sends a form of the page that is shown, with its hidden fields, and goes wherever that leads.
    pub(super) async fn send(&mut self, path: &str, fields: &[(&str, &str)]) -> StatusCode {
        let request = self.form(path, fields);
        let response = self.exchange(request).await;
        self.show(response).await
    }

    pub(super) fn form(&self, path: &str, fields: &[(&str, &str)]) -> TestRequest {
        let mut form: Vec<(String, String)> = vec![("csrf".to_owned(), self.hidden("csrf"))];
        if self.html.contains("name=\"text_hash\"") {
            form.push(("text_hash".to_owned(), self.hidden("text_hash")));
        }
        form.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        TestRequest::post().uri(path).set_form(form)
    }

    #[track_caller]
    pub(super) fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.html.contains(word), "no {word} in {}", self.html);
        }
    }
}
