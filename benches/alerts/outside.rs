//! What is outside: a thin WeChat with a latency, and the bank's receiver of events. Each template message is noted
//! under the number in its text. The simulator of the demo keeps every message on every phone, which at these rates
//! would be measured with it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context as _;
use serde_json::{Value, json};
use sha1::{Digest as _, Sha1};
use tokio::sync::mpsc;

pub(crate) const TOKEN: &str = "alerts-test-token";
pub(crate) const ORIGINAL_ID: &str = "gh_alerts012345";
/// How long after a send its receipt leaves.
const RECEIPT_AFTER: Duration = Duration::from_millis(200);

/// One message that arrived.
#[derive(Clone)]
pub(crate) struct Arrived {
    /// When it was answered, the first time.
    pub(crate) at: Instant,
    /// Its `client_msg_id`.
    id: String,
}

/// Everything outside, as far as it is known.
pub(crate) struct Outside {
    latency: Duration,
    is_down: AtomicBool,
    arrived: Mutex<HashMap<u64, Arrived>>,
    /// Repeats under the same id, which WeChat drops.
    repeats: AtomicU64,
    /// Messages that came a second time under another id.
    doubled: AtomicU64,
    /// Verdicts that the bank heard: state and reason.
    verdicts: Mutex<HashMap<String, u64>>,
    ids: AtomicU64,
    receipts: Option<mpsc::UnboundedSender<(Instant, u64, String)>>,
}

/// What WeChat is told of where our server is.
pub(crate) type Waiting = mpsc::UnboundedReceiver<(Instant, u64, String)>;

impl Outside {
    /// Listens on a port that the system chooses; gives its address, and the receipts that are to be pushed.
    pub(crate) fn start(latency: Duration, receipts: bool) -> anyhow::Result<(Arc<Self>, String, Waiting)> {
        let (sender, waiting) = mpsc::unbounded_channel();
        let outside = Arc::new(Self {
            latency,
            is_down: AtomicBool::new(false),
            arrived: Mutex::default(),
            repeats: AtomicU64::new(0),
            doubled: AtomicU64::new(0),
            verdicts: Mutex::default(),
            ids: AtomicU64::new(1),
            receipts: receipts.then_some(sender),
        });
        let shared = web::Data::from(outside.clone());
        let (tell, hear) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || App::new().app_data(shared.clone()).default_service(web::to(answer));
                let server = HttpServer::new(app).workers(1).bind(("127.0.0.1", 0))?;
                let address = server.addrs().first().copied();
                // Whoever asked has given up if this fails.
                let _ = tell.send(address);
                server.disable_signals().run().await
            })
        });
        let address = hear.recv()?.context("an address")?;
        Ok((outside, format!("http://{address}"), waiting))
    }

    /// From now on every call is answered 502, or well again.
    pub(crate) fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::Relaxed);
    }

    /// Different messages that arrived.
    pub(crate) fn count(&self) -> usize {
        lock(&self.arrived).len()
    }

    /// When the message of this number was answered.
    pub(crate) fn arrived(&self, number: u64) -> Option<Instant> {
        lock(&self.arrived).get(&number).map(|arrived| arrived.at)
    }

    /// Repeats that WeChat dropped, and messages that came twice.
    pub(crate) fn repeats(&self) -> (u64, u64) {
        (self.repeats.load(Ordering::Relaxed), self.doubled.load(Ordering::Relaxed))
    }

    /// How many verdicts of this state and reason the bank heard.
    pub(crate) fn verdicts(&self, state: &str) -> u64 {
        lock(&self.verdicts).get(state).copied().unwrap_or(0)
    }

    fn take(&self, body: &Value) -> u64 {
        let id = body["client_msg_id"].as_str().unwrap_or_default();
        let text = body["data"]["thing4"]["value"].as_str().unwrap_or_default();
        let message = self.ids.fetch_add(1, Ordering::Relaxed);
        let Some(number) = text.strip_prefix('M').and_then(|digits| digits.parse().ok()) else {
            return message;
        };
        let mut arrived = lock(&self.arrived);
        match arrived.get(&number) {
            Some(before) if before.id == id => drop(self.repeats.fetch_add(1, Ordering::Relaxed)),
            Some(_) => drop(self.doubled.fetch_add(1, Ordering::Relaxed)),
            None => drop(arrived.insert(number, Arrived { at: Instant::now(), id: id.to_owned() })),
        }
        message
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(outside: web::Data<Outside>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let read = || serde_json::from_slice::<Value>(&body).unwrap_or_default();
    if request.path() == "/events" {
        let body = read();
        if body["type"] == "delivery" {
            let data = &body["data"];
            let state =
                [&data["state"], &data["reason"]].map(|part| part.as_str().unwrap_or_default()).join(" ");
            *lock(&outside.verdicts).entry(state.trim().to_owned()).or_default() += 1;
        }
        return HttpResponse::Ok().finish();
    }
    if outside.is_down.load(Ordering::Relaxed) {
        return HttpResponse::BadGateway().finish();
    }
    let answer = match request.path() {
        "/cgi-bin/stable_token" => json!({ "access_token": "alerts-test", "expires_in": 7_200 }),
        "/cgi-bin/openapi/quota/get" => {
            let day = 1_000_000_000;
            json!({ "errcode": 0, "quota": { "daily_limit": day, "used": 0, "remain": day } })
        }
        "/cgi-bin/message/template/send" => {
            tokio::time::sleep(outside.latency).await;
            let body = read();
            let message = outside.take(&body);
            if let (Some(receipts), Some(openid)) = (&outside.receipts, body["touser"].as_str()) {
                drop(receipts.send((Instant::now() + RECEIPT_AFTER, message, openid.to_owned())));
            }
            json!({ "errcode": 0, "errmsg": "ok", "msgid": message })
        }
        _ => json!({ "errcode": 0, "errmsg": "ok" }),
    };
    HttpResponse::Ok().content_type("application/json").body(answer.to_string())
}

/// Pushes `TEMPLATESENDJOBFINISH` for each message that was sent, to the server at `base`.
pub(crate) async fn push_receipts(client: reqwest::Client, base: String, mut waiting: Waiting) {
    while let Some((due, message, openid)) = waiting.recv().await {
        tokio::time::sleep_until(due.into()).await;
        let (client, base) = (client.clone(), base.clone());
        tokio::spawn(async move {
            let own = format!(
                "<Event><![CDATA[TEMPLATESENDJOBFINISH]]></Event><MsgID>{message}</MsgID>\
                 <Status><![CDATA[success]]></Status>"
            );
            // A receipt that does not arrive is one that WeChat would push again.
            drop(push(&client, &base, &openid, &message.to_string(), "event", &own).await);
        });
    }
}

/// Pushes in plain mode what a follower did; `own` stands beside the names, the time and the type.
pub(crate) async fn push(
    client: &reqwest::Client,
    base: &str,
    openid: &str,
    nonce: &str,
    message_type: &str,
    own: &str,
) -> reqwest::Result<reqwest::Response> {
    let timestamp = weikefu_seconds().to_string();
    let mut parts = [TOKEN, timestamp.as_str(), nonce];
    parts.sort_unstable();
    let hash = parts.iter().fold(Sha1::new(), |hash, part| hash.chain_update(part)).finalize();
    let url = format!(
        "{base}/wechat/card?signature={}&timestamp={timestamp}&nonce={nonce}&openid={openid}",
        hex::encode(hash)
    );
    let body = format!(
        "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>\
         <CreateTime>{timestamp}</CreateTime><MsgType><![CDATA[{message_type}]]></MsgType>{own}</xml>"
    );
    client.post(url).body(body).send().await
}

fn weikefu_seconds() -> i64 {
    use weikefu::clock::Clock as _;
    weikefu::clock::SystemClock.now().seconds()
}
