//! The conversation files as they are, over real pushes: each said by a follower of his own on a phone of the
//! simulator, to the whole server, which asks a bank that answers with the examples of the schemas. Whole texts are
//! compared, as `weikefu check` compares them inside one process.
//!
//! What people at the desk do is no part of a phone; conversations about it are left to `weikefu check` and to the
//! tests of the desk.

mod bank;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bank::{Bank, phone_of};
use futures::StreamExt as _;
use serde_json::{Value, json};
use weikefu::bank::webhooks::Signer;
use weikefu::clock::ManualClock;
use weikefu::content::File;
use weikefu::dialogue::chat::{self, Chat, Step};
use weikefu::domain::time::UnixMs;

use crate::pages::Browser;
use crate::world::{Engine, Follower, World, client, until};

/// When every conversation begins: Sunday, 2026-11-22, 10:00 in Beijing.
const START: UnixMs = UnixMs(1_795_312_800_000);
/// Conversations at a time that do not move the clock.
const TOGETHER_MAX: usize = 6;
/// Stands for eight characters by which staff find a case.
const REFERENCE: &str = "ABCD2345";

/// Why a conversation did not end.
enum Stopped {
    /// It needs what a phone cannot do.
    Elsewhere,
    /// It went otherwise than it is written.
    Otherwise(String),
}

fn otherwise(text: impl Into<String>) -> Stopped {
    Stopped::Otherwise(text.into())
}

struct Talk<'a> {
    world: &'a World,
    bank: &'a Bank,
    clock: &'a ManualClock,
    follower: Follower<'a>,
    customer: String,
    cards: Vec<Value>,
    bound: bool,
    /// The last reply, and the one before it, as the phone got them.
    reply: String,
    before: String,
    /// The newest entry of the phone that was there before the last thing done.
    asked_at: u64,
    transactions: usize,
}

impl Talk<'_> {
    async fn step(&mut self, step: &Step, next: Option<&Step>) -> Result<(), Stopped> {
        match step {
            Step::Customer(None) => self.unbind().await,
            Step::Customer(Some(_)) => {
                if let Some(Step::Cards(cards)) = next {
                    self.take_cards(cards);
                }
                self.answer_is("绑定").await;
                self.bind().await?;
            }
            Step::Cards(cards) => self.take_cards(cards),
            Step::Wait(wait) => self.clock.advance(*wait),
            Step::Spends(words) => self.spends(words).await,
            Step::Fault(operation, _) if operation.starts_with("house:") => return Err(Stopped::Elsewhere),
            Step::Fault(operation, fault) => self.bank.with(&self.customer, |dealings| {
                dealings.faults.insert(operation.clone(), fault.clone());
            }),
            Step::Says(text) => self.answer_is(text).await,
            Step::Taps(words) => self.taps(words).await,
            Step::TapsOld(number) => {
                let old = std::mem::take(&mut self.before);
                let mut lists = links(&old).filter(|(address, _)| address.contains("msgmenuid=list-"));
                let (address, _) = lists.nth(number - 1).ok_or_else(|| otherwise("no such old link"))?;
                self.answered(json!({ "action": "tap_link", "href": address })).await;
            }
            Step::Follows(None) => {
                self.follower.act(json!({ "action": "unfollow" })).await;
                self.answered(json!({ "action": "follow" })).await;
            }
            Step::Follows(Some(_)) | Step::Desk(_) | Step::Agent(_) => return Err(Stopped::Elsewhere),
            Step::Scans(scene) => self.answered(json!({ "action": "scan", "scene": scene })).await,
            Step::Sends(what) => self.answered(sent(what).ok_or(Stopped::Elsewhere)?).await,
            Step::Binds(_) => {
                let reply = self.reply.clone();
                self.mark().await;
                self.bind_by(&reply).await?;
                self.follow_up().await;
            }
            Step::Proves => self.prove().await?,
            Step::Asked(operation, params) => self.was_asked(operation, params.as_ref())?,
            // What else came of it is no part of what the phone shows.
            Step::Effect(_) => {}
            Step::Bank(text) if text == "（不回复）" => {}
            Step::Bank(text) => {
                let shown = readable(&self.reply);
                if !fits(&text.replace("](交易密码)", "](验证)"), &shown) {
                    return Err(otherwise(format!("the bank answered otherwise:\n{shown}\nnot:\n{text}")));
                }
            }
        }
        Ok(())
    }

    fn take_cards(&mut self, cards: &[(String, String, String)]) {
        let card = |(id, tail, product): &(String, String, String)| json!({ "card_id": id, "last4": tail, "product": product });
        self.cards = cards.iter().map(card).collect();
    }

    async fn unbind(&mut self) {
        if std::mem::take(&mut self.bound) {
            let path = format!("/api/v1/bindings/card/{}", self.follower.openid);
            self.world.bank(reqwest::Method::DELETE, &path, "").await;
        }
    }

    fn browser(&self) -> Browser {
        Browser::new(client(), &self.world.server_url, &self.world.simulator_url, &self.follower.openid)
    }

    /// Binds on the page that the last reply leads to; what waited for it is answered before anything else is done.
    async fn bind(&mut self) -> Result<(), Stopped> {
        let reply = self.reply.clone();
        self.mark().await;
        if self.bind_by(&reply).await? {
            self.follow_up().await;
        }
        Ok(())
    }

    /// Whether a question had waited.
    async fn bind_by(&mut self, reply: &str) -> Result<bool, Stopped> {
        let cards = self.cards.clone();
        self.bank.with(&self.customer, |dealings| dealings.cards = cards);
        let mut links = links(reply);
        let link = links.find(|(address, _)| address.contains("/bind?t="));
        let (link, _) = link.ok_or_else(|| otherwise(format!("no link to bind in {reply}")))?;
        let mut page = self.browser();
        page.open(&link).await;
        let form = [
            ("name", "测小微"),
            ("id_tail", "1234"),
            ("card_tail", "1234"),
            ("phone", &phone_of(&self.customer)),
            ("alerts", "off"),
            ("agree", "yes"),
        ];
        page.takes("/h5/card/bind/start", &form).await;
        page.takes("/h5/card/bind/verify", &[("code", "482913")]).await;
        self.bound = true;
        Ok(page.html.contains("您刚才的问题"))
    }

    async fn prove(&mut self) -> Result<(), Stopped> {
        let reply = self.reply.clone();
        let link = links(&reply).find(|(address, _)| address.contains("/step-up?t="));
        let (link, _) = link.ok_or_else(|| otherwise(format!("no link to a proof in {reply}")))?;
        self.mark().await;
        let mut page = self.browser();
        page.open(&link).await;
        if page.html.contains("/step-up/pin") {
            page.takes("/h5/card/step-up/pin", &[]).await;
            let signer = Signer::new(&self.world.config.core.secret).unwrap();
            let back = self.bank.way_back(&self.customer, &signer, weikefu::clock::Clock::now(self.clock));
            page.open(&back).await;
        } else {
            page.takes("/h5/card/step-up/send", &[]).await;
            page.takes("/h5/card/step-up/verify", &[("code", "482913")]).await;
        }
        self.follow_up().await;
        Ok(())
    }

    async fn spends(&mut self, words: &str) {
        let mut words = words.split_whitespace();
        let mut word = || words.next().map(str::to_owned);
        let (tail, merchant, amount, reason) = (word(), word(), word(), word());
        self.transactions += 1;
        let now = weikefu::clock::Clock::now(self.clock).beijing();
        let item = json!({
            "transaction_id": format!("{}-T{}", self.customer, self.transactions),
            "customer_id": self.customer,
            "card_last4": tail,
            "type": if reason.is_some() { "declined" } else { "purchase" },
            "amount": { "value": amount, "currency": "CNY" },
            "merchant": { "name": merchant },
            "channel": "pos",
            "occurred_at": now.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "decline_reason": reason,
        });
        let (status, answer) =
            self.world.bank(reqwest::Method::POST, "/api/v1/transactions", &item.to_string()).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
    }

    async fn taps(&mut self, words: &str) {
        let link =
            links(&self.reply).find(|(address, label)| address.starts_with("weixin:") && label == words);
        let action = match link {
            Some((address, _)) => json!({ "action": "tap_link", "href": address }),
            None => json!({ "action": "menu", "key": words }),
        };
        self.answered(action).await;
    }

    async fn answer_is(&mut self, text: &str) {
        self.answered(json!({ "action": "text", "text": text })).await;
    }

    async fn answered(&mut self, action: Value) {
        self.bank.with(&self.customer, |dealings| dealings.asked.clear());
        self.asked_at = self.follower.ask(action).await;
        self.follow_up().await;
    }

    /// Notes how far the phone is, before something is done outside the chat.
    async fn mark(&mut self) {
        self.bank.with(&self.customer, |dealings| dealings.asked.clear());
        let entries = self.follower.timeline().await;
        self.asked_at = entries.iter().filter_map(|entry| entry["id"].as_u64()).max().unwrap_or(0);
    }

    /// What the account says after that.
    async fn follow_up(&mut self) {
        let after = self.asked_at;
        let entry = self.follower.wait("an answer", |entry| {
            let said = entry["direction"] == "account" && entry["kind"] != "template";
            said && entry["id"].as_u64().is_some_and(|id| id > after)
        });
        let entry = entry.await;
        let reply = match entry["detail"]["articles"].as_array() {
            Some(articles) => articles.iter().map(card).collect::<Vec<_>>().join("\n"),
            None => entry["text"].as_str().unwrap_or_default().to_owned(),
        };
        self.before = std::mem::replace(&mut self.reply, reply);
    }

    fn was_asked(&self, operation: &str, params: Option<&Value>) -> Result<(), Stopped> {
        let Some(name) = operation.strip_prefix("core:") else { return Ok(()) };
        let look = |customer: &str| {
            self.bank.with(customer, |dealings| {
                let same = |(asked, sent): &&(String, Value)| {
                    asked == name && params.is_none_or(|params| params == sent)
                };
                dealings.asked.iter().any(|asked| same(&asked))
            })
        };
        // Who is not bound is nobody to the bank.
        if look(&self.customer) || look("") {
            return Ok(());
        }
        let asked = self.bank.with(&self.customer, |dealings| format!("{:?}", dealings.asked));
        Err(otherwise(format!("{operation} was not asked so; asked were {asked}")))
    }
}

/// A news card as the conversations write it.
fn card(article: &Value) -> String {
    let text = |name: &str| article[name].as_str().unwrap_or_default();
    format!("【图文】{}\n{}\n<a href=\"{}\">打开</a>", text("title"), text("description"), text("url"))
}

/// Addresses and words of the links of a text.
fn links(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split("<a href=\"").skip(1).filter_map(|link| {
        let (address, rest) = link.split_once("\">")?;
        let (label, _) = rest.split_once("</a>")?;
        Some((address.replace("&amp;", "&"), label.to_owned()))
    })
}

/// A reply as the conversations write it: links to pages by the names of the pages, not by their signed addresses.
fn readable(reply: &str) -> String {
    let mut out = String::new();
    let mut pieces = reply.split("<a href=\"");
    out.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (address, rest) = piece.split_once("\">").unwrap_or((piece, ""));
        let page = match address.split_once("/h5/card/").and_then(|(_, rest)| rest.split('?').next()) {
            Some("progress") => "https://x/apply_progress".to_owned(),
            Some("step-up") => "https://x/step_up?".to_owned(),
            Some(page) => format!("https://x/{page}"),
            None => address.to_owned(),
        };
        out.push_str(&format!("<a href=\"{page}\">{rest}"));
    }
    chat::readable(&out)
}

/// Whether a reply is what is written, where a reference is any eight characters.
fn fits(written: &str, shown: &str) -> bool {
    let mut rest = shown;
    let mut pieces = written.split(REFERENCE);
    let Some(after) = pieces.next().and_then(|first| rest.strip_prefix(first)) else { return false };
    rest = after;
    for piece in pieces {
        let place = rest.char_indices().nth(REFERENCE.len()).map_or(rest.len(), |(at, _)| at);
        let Some(after) = rest.split_at(place).1.strip_prefix(piece) else { return false };
        rest = after;
    }
    rest.is_empty()
}

fn sent(what: &str) -> Option<Value> {
    Some(match what {
        "图片" => json!({ "action": "image" }),
        "语音" => json!({ "action": "voice" }),
        "视频" => json!({ "action": "video" }),
        place => {
            let (latitude, longitude) = place.strip_prefix("位置 ")?.split_once(',')?;
            latitude.parse::<f64>().ok()?;
            json!({ "action": "location", "latitude": latitude, "longitude": longitude, "label": "这里" })
        }
    })
}

/// Holds one conversation; `None`: it needs what a phone cannot do.
async fn hold(world: &World, bank: &Bank, clock: &ManualClock, chat: &Chat) -> Option<Result<(), String>> {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    let elsewhere = |step: &Step| matches!(step, Step::Desk(_) | Step::Agent(_));
    if chat.steps.iter().any(|(_, step)| elsewhere(step)) {
        return None;
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut talk = Talk {
        world,
        bank,
        clock,
        follower: world.follower(&chat.title).await,
        customer: format!("C{}", 1_000_000 + number),
        cards: vec![json!({ "card_id": "K1", "last4": "1234", "product": "金卡" })],
        bound: false,
        reply: String::new(),
        before: String::new(),
        asked_at: 0,
        transactions: 0,
    };
    let mut steps = chat.steps.iter().peekable();
    while let Some((line, step)) = steps.next() {
        match talk.step(step, steps.peek().map(|(_, next)| next)).await {
            Ok(()) => {}
            Err(Stopped::Elsewhere) => return None,
            Err(Stopped::Otherwise(message)) => {
                return Some(Err(format!("line {line}, “{}”: {message}", chat.title)));
            }
        }
    }
    Some(Ok(()))
}

fn chats() -> Vec<(String, Chat)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| {
        let origin = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = File { text: std::fs::read_to_string(path).unwrap(), origin: origin.clone() };
        let chats = chat::parse(&file).unwrap_or_else(|faults| panic!("{faults:?}")).chats;
        chats.into_iter().map(|chat| (origin.clone(), chat)).collect::<Vec<_>>()
    };
    paths.iter().flat_map(read).collect()
}

/// The menu of the test: every key that a conversation taps.
fn menu(chats: &[(String, Chat)]) -> String {
    let is_key = |word: &&String| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let steps = chats.iter().flat_map(|(_, chat)| &chat.steps);
    let keys = steps.filter_map(|(_, step)| if let Step::Taps(words) = step { Some(words) } else { None });
    let keys: std::collections::BTreeSet<&String> = keys.filter(is_key).collect();
    let mut menu = String::new();
    for (place, part) in keys.iter().copied().collect::<Vec<_>>().chunks(5).enumerate() {
        menu.push_str(&format!("[[button]]\nname = \"{place}\"\n"));
        for (number, key) in part.iter().enumerate() {
            let name = format!("{place}-{number}");
            menu.push_str(&format!(
                "[[button.sub_button]]\ntype = \"click\"\nname = \"{name}\"\nkey = \"{key}\"\n"
            ));
        }
    }
    menu
}

async fn all_conversations(engine: Engine) {
    let clock = Arc::new(ManualClock::new(START));
    let bank = Bank::start();
    let mut world = World::at(engine, clock.clone(), |text, _| text).await;
    world.config.core.base_url = bank.url.parse().unwrap();
    world.start_server().await;
    world.app().start_learning();
    let stranger = world.follower("等学会").await;
    until("what was learned", async || {
        stranger.say("我这个月账单多少").await.contains("本期账单").then_some(())
    })
    .await;
    let chats = chats();
    world.push_menu_text(&menu(&chats)).await;
    let moves = |chat: &Chat| chat.steps.iter().any(|(_, step)| matches!(step, Step::Wait(_)));
    let (moving, still): (Vec<_>, Vec<_>) = chats.iter().partition(|(_, chat)| moves(chat));
    let at = (&world, &bank, &*clock);
    let held =
        futures::stream::iter(still).map(async |(origin, chat)| (origin, hold(at.0, at.1, at.2, chat).await));
    let mut ended: Vec<_> = held.buffer_unordered(TOGETHER_MAX).collect().await;
    for (origin, chat) in moving {
        clock.set(START);
        ended.push((origin, hold(&world, &bank, &clock, chat).await));
    }
    world.stop().await;
    bank.stop().await;
    let elsewhere = ended.iter().filter(|(_, end)| end.is_none()).count();
    let otherwise: Vec<String> = ended
        .iter()
        .filter_map(|(origin, end)| Some(format!("{origin} {}", end.as_ref()?.as_ref().err()?)))
        .collect();
    assert!(
        otherwise.is_empty(),
        "{engine:?}: {} of {}:\n{}",
        otherwise.len(),
        ended.len(),
        otherwise.join("\n\n")
    );
    assert!(elsewhere <= ended.len() / 20, "{elsewhere} of {} are not held here", ended.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conversation_goes_over_the_wire_as_it_is_written_on_sqlite() {
    tokio::time::timeout(Duration::from_secs(600), all_conversations(Engine::Sqlite)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conversation_goes_over_the_wire_as_it_is_written_on_postgres() {
    if Engine::at_hand().contains(&Engine::Postgres) {
        tokio::time::timeout(Duration::from_secs(600), all_conversations(Engine::Postgres)).await.unwrap();
    }
}
