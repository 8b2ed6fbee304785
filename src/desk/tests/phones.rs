//! A WeChat for the walk: it counts what it takes by rules of its own, and refuses or stumbles as a seed says.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use serde_json::{Value, json};

use crate::clock::SeededRandom;
use crate::wechat::testing::Server;

/// Messages that one of the customer's buys.
const BOUGHT: usize = 5;

/// What phones showed.
pub(super) struct Told {
    mood: SeededRandom,
    is_calm: bool,
    /// How often each was taken: (openid, text).
    taken: BTreeMap<(String, String), usize>,
    /// Taken since a customer wrote last.
    since: BTreeMap<String, usize>,
    /// Customers to whom more was sent than they had bought.
    overdrawn: Vec<String>,
    refused: usize,
}

/// All phones, and WeChat before them.
pub(super) struct Phones {
    told: Arc<Mutex<Told>>,
    pub(super) server: Server,
}

impl Phones {
    pub(super) fn start(seed: u64) -> Self {
        let told = Arc::new(Mutex::new(Told {
            mood: SeededRandom::new(seed),
            is_calm: false,
            taken: BTreeMap::new(),
            since: BTreeMap::new(),
            overdrawn: vec![],
            refused: 0,
        }));
        let server = Server::start(Arc::clone(&told), answer);
        Self { told, server }
    }

    /// A customer wrote: what he may be sent is counted anew.
    pub(super) fn wrote(&self, openid: &str) {
        self.told.lock().unwrap().since.remove(openid);
    }

    /// From now on everything is taken.
    pub(super) fn calm(&self) {
        self.told.lock().unwrap().is_calm = true;
    }

    /// How often a customer was shown a text.
    pub(super) fn shown(&self, openid: &str, text: &str) -> usize {
        let name = (openid.to_owned(), text.to_owned());
        self.told.lock().unwrap().taken.get(&name).copied().unwrap_or(0)
    }

    pub(super) fn overdrawn(&self) -> Vec<String> {
        self.told.lock().unwrap().overdrawn.clone()
    }

    /// How many it took, and how many it refused.
    pub(super) fn counts(&self) -> (usize, usize) {
        let told = self.told.lock().unwrap();
        (told.taken.values().sum(), told.refused)
    }
}

async fn answer(told: Data<Mutex<Told>>, request: actix_web::HttpRequest, body: Bytes) -> HttpResponse {
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    match request.path() {
        "/cgi-bin/stable_token" => {
            HttpResponse::Ok().json(json!({ "access_token": "T", "expires_in": 7200 }))
        }
        "/cgi-bin/message/custom/send" => send(&mut told.lock().unwrap(), &body),
        _ => HttpResponse::Ok().json(json!({ "errcode": 0, "errmsg": "ok" })),
    }
}

/// One customer-service message: taken and said so, refused, or taken or not while nobody hears which.
fn send(told: &mut Told, body: &Value) -> HttpResponse {
    let mood = if told.is_calm { u64::MAX } else { told.mood.roll(24) };
    let code = match mood {
        0 => 45_015,
        1 => 45_047,
        2 => 40_003,
        3 => return HttpResponse::build(StatusCode::BAD_GATEWAY).finish(),
        _ => 0,
    };
    if code != 0 {
        told.refused += 1;
        return HttpResponse::Ok().json(json!({ "errcode": code, "errmsg": "no" }));
    }
    let to = body["touser"].as_str().unwrap_or_default().to_owned();
    let text = body["text"]["content"].as_str().or(body["msgmenu"]["head_content"].as_str());
    let bought = told.since.entry(to.clone()).or_default();
    *bought += 1;
    if *bought > BOUGHT {
        told.overdrawn.push(to.clone());
    }
    *told.taken.entry((to, text.unwrap_or_default().to_owned())).or_default() += 1;
    if mood == 4 {
        return HttpResponse::build(StatusCode::BAD_GATEWAY).finish();
    }
    HttpResponse::Ok().json(json!({ "errcode": 0, "errmsg": "ok" }))
}
