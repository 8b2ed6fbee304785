//! A world for tests: a store, a WeChat and a bank's receiver on port 0 that answer as they are told, and a sender.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Value, json};
use url::Url;

use super::{Apis, Outbound};
use crate::clock::SystemRandom;
use crate::config::{self, Config};
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::ids::{AccountId, FollowerKey, Openid};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::domain::window::UserAction;
use crate::store::testing::{self, TestStore};
use crate::store::{Commit, Store, Write};
use crate::wechat::api::Api;
use crate::wechat::testing::Server;
use crate::wechat::token::MemoryShelf;

pub(crate) const TEMPLATE: &str = "/cgi-bin/message/template/send";
pub(crate) const CUSTOM: &str = "/cgi-bin/message/custom/send";
pub(crate) const EVENTS: &str = "/events";
pub(crate) const API_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(crate) const EVENTS_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// One call that arrived.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

/// One answer: a status and a body.
pub(crate) type Answer = (u16, Value);

#[derive(Default)]
struct Told {
    seen: Vec<Seen>,
    answers: BTreeMap<String, VecDeque<Answer>>,
    sent: i64,
    came: Arc<tokio::sync::Notify>,
}

/// Everything outside: WeChat and the bank's event receiver.
pub(crate) struct Outside {
    told: Arc<Mutex<Told>>,
    pub(crate) url: Url,
    _server: Server,
}

impl Outside {
    pub(crate) fn start() -> Self {
        let told = Arc::new(Mutex::new(Told::default()));
        let server = Server::start(Arc::clone(&told), answer);
        Self { told, url: server.url.clone(), _server: server }
    }

    /// The next answers to `path`; afterwards all goes well again.
    pub(crate) fn answers(&self, path: &str, answers: impl IntoIterator<Item = Answer>) {
        self.told.lock().unwrap().answers.insert(path.to_owned(), answers.into_iter().collect());
    }

    pub(crate) fn refuse(&self, path: &str, codes: impl IntoIterator<Item = i64>) {
        self.answers(path, codes.into_iter().map(|code| (200, json!({"errcode": code, "errmsg": "no"}))));
    }

    pub(crate) fn seen(&self, path: &str) -> Vec<Seen> {
        self.told.lock().unwrap().seen.iter().filter(|seen| seen.path == path).cloned().collect()
    }

    /// Waits until so many calls have come.
    pub(crate) async fn has_seen(&self, path: &str, count: usize) {
        let came = self.told.lock().unwrap().came.clone();
        loop {
            let next = came.notified();
            if self.seen(path).len() >= count {
                return;
            }
            next.await;
        }
    }
}

async fn answer(told: Data<Mutex<Told>>, request: HttpRequest, body: Bytes) -> HttpResponse {
    let mut told = told.lock().unwrap();
    let headers = request.headers().iter();
    told.came.notify_one();
    told.seen.push(Seen {
        path: request.path().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or_default().to_owned()))
            .collect(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    if let Some((status, body)) = told.answers.get_mut(request.path()).and_then(VecDeque::pop_front) {
        let status = actix_web::http::StatusCode::from_u16(status).unwrap();
        return HttpResponse::build(status).body(if body.is_null() {
            String::new()
        } else {
            body.to_string()
        });
    }
    told.sent += 1;
    let body = match request.path() {
        "/cgi-bin/stable_token" => json!({"access_token": "T", "expires_in": 7200}),
        TEMPLATE => json!({"errcode": 0, "errmsg": "ok", "msgid": told.sent}),
        _ => json!({"errcode": 0, "errmsg": "ok"}),
    };
    HttpResponse::Ok().body(body.to_string())
}

/// A store with its outside and one account `card`.
pub(crate) struct World {
    pub(crate) test: TestStore,
    pub(crate) outside: Outside,
    pub(crate) config: Arc<Config>,
}

impl World {
    pub(crate) fn new(test: TestStore) -> Self {
        let outside = Outside::start();
        let config = Arc::new(config(&outside.url));
        Self { test, outside, config }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.test.store
    }

    pub(crate) fn account(&self) -> AccountId {
        AccountId::new("card")
    }

    pub(crate) fn follower(&self, openid: &str) -> FollowerKey {
        self.store().follower_key("wx_card", &Openid::parse(openid).unwrap())
    }

    /// Another process on the same database.
    pub(crate) fn outbound(&self) -> Arc<Outbound> {
        let shelf = Arc::new(MemoryShelf::default());
        let account = &self.config.accounts[0];
        let api = Api::new(account, shelf, self.test.clock.clone(), "test").unwrap();
        let apis = Arc::new(Apis::from([(account.id.clone(), Arc::new(api))]));
        let random = Arc::new(SystemRandom);
        let outbound =
            Outbound::new(self.config.clone(), self.store().clone(), apis, self.test.clock.clone(), random);
        Arc::new(outbound.unwrap())
    }

    pub(crate) async fn commit(&self, writes: Vec<Write>) {
        let mut commit = Commit::new(0);
        commit.extend(writes);
        self.store().commit(commit).await.unwrap();
    }

    /// A follower whom WeChat knows.
    pub(crate) async fn meet(&self, openid: &str) -> FollowerKey {
        let follower = self.follower(openid);
        let openid = Openid::parse(openid).unwrap();
        let now = self.test.clock.as_ref();
        let now = crate::clock::Clock::now(now);
        self.commit(vec![self.store().meet_follower(&self.account(), follower, &openid, now).unwrap()]).await;
        follower
    }

    /// A follower who is bound to a customer.
    pub(crate) async fn bind(&self, openid: &str, customer: &str) -> FollowerKey {
        self.bind_with(openid, customer, true, false).await
    }

    pub(crate) async fn bind_with(
        &self,
        openid: &str,
        customer: &str,
        alerts: bool,
        hide_amounts: bool,
    ) -> FollowerKey {
        let follower = self.meet(openid).await;
        let binding = Binding {
            alerts,
            hide_amounts,
            source: BindingSource::Import,
            ..testing::bound(customer, "", UnixMs(1))
        };
        self.commit(vec![self.store().add_binding(&self.account(), follower, &binding).unwrap()]).await;
        follower
    }

    /// The follower writes: his window opens.
    pub(crate) async fn writes(&self, follower: FollowerKey) {
        let mut conversation = self.store().conversation(&self.account(), follower).await.unwrap();
        let now = crate::clock::Clock::now(self.test.clock.as_ref());
        conversation.ledger.grant(UserAction::Message, now);
        self.commit(vec![self.store().save_conversation(conversation).unwrap()]).await;
    }
}

pub(crate) fn config(outside: &Url) -> Config {
    let secret = |text: &str| Secret::new(text.to_owned());
    let fields = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(ours, theirs)| ((*ours).to_owned(), (*theirs).to_owned())).collect()
    };
    let template = |id: &str| config::NoticeTemplate {
        template_id: id.to_owned(),
        fields: fields(&[
            ("card", "character_string1"),
            ("amount", "amount2"),
            ("time", "time3"),
            ("merchant", "thing4"),
        ]),
        way: config::NoticeWay::Template,
    };
    let due = config::NoticeTemplate {
        template_id: "tpl-due".to_owned(),
        fields: fields(&[("card", "character_string1"), ("amount", "amount2"), ("result", "thing3")]),
        way: config::NoticeWay::Template,
    };
    let digest = config::NoticeTemplate {
        template_id: "tpl-digest".to_owned(),
        fields: fields(&[("count", "number1"), ("amount", "amount2"), ("card", "thing3"), ("time", "time4")]),
        way: config::NoticeWay::Template,
    };
    let account = config::Account {
        id: AccountId::new("card"),
        name: "示例银行信用卡".to_owned(),
        original_id: "gh_card".to_owned(),
        app_id: "wx_card".to_owned(),
        app_secret: secret("s"),
        token: secret("t"),
        encoding_aes_key: None,
        previous_encoding_aes_key: None,
        encryption: config::Encryption::Plain,
        kind: config::AccountKind::Service,
        desk: config::DeskKind::Own,
        api_base_urls: vec![outside.clone()],
        oauth_base_url: outside.clone(),
        template_per_second: None,
        customer_service_per_second: None,
        domain_files: vec![],
        proxy: None,
        notices: BTreeMap::from([
            ("spend".to_owned(), template("tpl-spend")),
            ("refund".to_owned(), template("tpl-refund")),
            ("bill_due".to_owned(), due),
            ("digest".to_owned(), digest),
        ]),
    };
    Config {
        server: config::Server {
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: outside.clone(),
            api_listen: None,
            staff_listen: None,
            metrics_listen: None,
            trusted_proxies: vec![],
            h5_frame_ancestors: vec![],
        },
        database: config::Database { url: secret("sqlite://unused") },
        accounts: vec![account],
        core: config::Core {
            base_url: outside.clone(),
            secret: secret(API_SECRET),
            timeout_ms: 3000,
            tls: config::Tls::default(),
        },
        api: config::Api { secrets: vec![secret(API_SECRET)], backlog_max: 100_000 },
        events: Some(config::Events {
            url: outside.join(EVENTS).unwrap(),
            secret: secret(EVENTS_SECRET),
            tls: config::Tls::default(),
        }),
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
