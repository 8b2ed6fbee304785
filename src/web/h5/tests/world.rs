//! Everything around the pages, and a browser that keeps cookies and is sent to WeChat and back.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use actix_web::cookie::Cookie;
use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::Data;
use actix_web::{App, http::StatusCode, http::header};
use futures::future::{BoxFuture, LocalBoxFuture};

use super::bank::Bank;
use crate::domain::ids::{AccountId, FollowerKey};
use crate::domain::secret::Personal;
use crate::identity::testing::House;
pub(super) use crate::identity::testing::card;
use crate::identity::{Page, Resumer};
use crate::store::testing::{TestStore, stores};

pub(super) const NAME: &str = "张立春";
pub(super) const PHONE: &str = "13800138001";

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

/// The house with a bank that answers, and browsers to look at it.
pub(super) struct World {
    pub(super) house: House,
    pub(super) bank: Arc<Bank>,
    answers: Arc<dyn Resumer>,
}

impl Deref for World {
    type Target = House;

    fn deref(&self) -> &House {
        &self.house
    }
}

/// A world for each database that is at hand.
pub(super) async fn worlds() -> Vec<World> {
    stores().await.into_iter().map(World::new).collect()
}

impl World {
    fn new(test: TestStore) -> Self {
        let bank = Arc::new(Bank::default());
        let house = House::new(test, bank.start());
        Self { house, bank, answers: Arc::new(Answers) }
    }

    /// The address of a signed link, as a path on the server.
    pub(super) fn link(&self, openid: &str, page: Page) -> String {
        let link = self.identity.link(&card(), self.follower(openid), page, self.identity.now());
        link.strip_prefix("https://wx.bank.example/base").expect("our own address").to_owned()
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
