//! The foreign bot.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use url::Url;

use super::super::envelope::{Cipher, signature};
use super::super::xml;
use super::KEY;
use crate::config::Encryption;

pub(super) const TOKEN: &str = "AAAAA";
pub(super) const APP_ID: &str = "wxdemo0000000001";
pub(super) const ORIGINAL_ID: &str = "gh_bank0001demo";

/// What the bot does with the next pushes.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// Repeats what it hears.
    Echo,
    /// Answers these bytes as they are.
    Raw(String),
    /// Never answers.
    Sleep,
    /// Fails this often, then repeats what it hears.
    Fail(u32),
}

/// A push as the bot saw it.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) query: HashMap<String, String>,
    pub(super) body: String,
    pub(super) xml: String,
}

#[derive(Clone)]
struct Mind {
    encryption: Encryption,
    manner: Arc<Mutex<Manner>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

pub(super) struct Bot {
    port: u16,
    mind: Mind,
}

impl Bot {
    pub(super) fn start(encryption: Encryption) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mind = Mind { encryption, manner: Arc::new(Mutex::new(Manner::Echo)), seen: Arc::default() };
        let data = web::Data::new(mind.clone());
        let server = HttpServer::new(move || {
            App::new().app_data(data.clone()).route("/wechat/card", web::post().to(hear)).route(
                "/wechat/card",
                web::get().to(|query: web::Query<HashMap<String, String>>| async move {
                    query.get("echostr").cloned().unwrap_or_default()
                }),
            )
        });
        tokio::spawn(server.workers(1).disable_signals().shutdown_timeout(0).listen(listener).unwrap().run());
        Self { port, mind }
    }

    pub(super) fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}/wechat/card", self.port)).unwrap()
    }

    pub(super) fn behave(&self, manner: Manner) {
        *self.mind.manner.lock().unwrap() = manner;
        self.mind.seen.lock().unwrap().clear();
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.mind.seen.lock().unwrap().clone()
    }
}

/// A text reply to the follower of the tests.
pub(super) fn text_reply(to: &str, from: &str, content: &str) -> String {
    xml::Writer::new()
        .text("ToUserName", to)
        .text("FromUserName", from)
        .number("CreateTime", 1)
        .text("MsgType", "text")
        .text("Content", content)
        .finish()
}

async fn hear(
    mind: web::Data<Mind>,
    query: web::Query<HashMap<String, String>>,
    body: String,
) -> HttpResponse {
    let root = xml::parse(&body).unwrap();
    let cipher = Cipher::new(KEY, APP_ID).unwrap();
    let document = match root.text_of("Encrypt") {
        Some(encrypted) => cipher.open(encrypted).unwrap(),
        None => body.clone(),
    };
    let message = xml::parse(&document).unwrap();
    let heard = message.text_of("Content").or(message.text_of("EventKey")).unwrap_or_default();
    let openid = message.text_of("FromUserName").unwrap_or_default();
    let echo = text_reply(openid, ORIGINAL_ID, &format!("您说：{heard}"));
    mind.seen.lock().unwrap().push(Seen { query: query.into_inner(), body, xml: document.clone() });
    let manner = {
        let mut manner = mind.manner.lock().unwrap();
        let now = manner.clone();
        if let Manner::Fail(times) = &mut *manner {
            *times = times.saturating_sub(1);
        }
        now
    };
    match manner {
        Manner::Echo | Manner::Fail(0) => HttpResponse::Ok().body(mind.sealed(&cipher, &echo)),
        Manner::Raw(raw) => HttpResponse::Ok().body(raw),
        Manner::Fail(_) => HttpResponse::InternalServerError().finish(),
        Manner::Sleep => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            HttpResponse::Ok().finish()
        }
    }
}

impl Mind {
    fn sealed(&self, cipher: &Cipher, reply: &str) -> String {
        if self.encryption == Encryption::Plain {
            return reply.to_owned();
        }
        let encrypted = cipher.seal([9; 16], reply);
        xml::Writer::new()
            .text("Encrypt", &encrypted)
            .text("MsgSignature", &signature(&[TOKEN, "1767225605", "42", &encrypted]))
            .number("TimeStamp", 1_767_225_605)
            .text("Nonce", "42")
            .finish()
    }
}
