//! One conversation as a follower has it on his phone.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::Instant;
use weikefu::bank::webhooks::Signer;
use weikefu::clock::{Clock as _, ManualClock};
use weikefu::dialogue::chat::{CoreFault, DeskNow, Step};

use super::away::{NOTICES_OF, put_away, put_back};
use super::bank::{Bank, phone_of};
use super::plan::{COMMON, OF_THE_HOUSE, Planned};
use super::shown::{fits, is_no_place, links, readable, sent, words};
use crate::pages::Browser;
use crate::wechat::{self, Wechat};
use crate::world::{Follower, World, client, until};

/// Longer than any answer takes on a busy machine; what is not there by then is told as missing.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// The clock goes on by so much with each thing that somebody does: what is counted by the second goes on too.
const STEP: Duration = Duration::from_millis(5);
/// And by so much before what WeChat tells as an event, which is known by its second.
const EVENT: Duration = Duration::from_secs(1);
/// How a conversation says that the bank says nothing.
const NOTHING: &str = "（不回复）";
/// Who answers at the desk of a bank that has its own.
const AGENT: &str = "A1001";

/// The house, and the bank behind it.
#[derive(Clone, Copy)]
pub(super) struct House<'a> {
    pub(super) world: &'a World,
    pub(super) bank: &'a Bank,
    pub(super) clock: &'a ManualClock,
}

struct Talk<'a> {
    house: House<'a>,
    planned: &'a Planned,
    follower: Follower<'a>,
    customer: String,
    cards: Vec<Value>,
    bound: bool,
    /// What the account said, the newest last.
    replies: Vec<String>,
    /// The newest entry of the phone that was there before the last thing done.
    asked_at: u64,
    transactions: usize,
    /// Whether the notices are away and must be put back.
    puts_back: bool,
}

/// Holds a conversation; the fault is where it went otherwise than it is written.
pub(super) async fn hold(house: House<'_>, planned: &Planned, number: usize) -> Result<(), String> {
    let title = &planned.chat.title;
    let name: String = title.chars().take(20).collect();
    let mut talk = Talk {
        house,
        planned,
        follower: house.world.follower_of(planned.account, &name).await,
        customer: format!("C{}", 1_000_000 + number),
        cards: vec![json!({ "card_id": "K1", "last4": "1234", "product": "金卡" })],
        bound: false,
        replies: Vec::new(),
        asked_at: 0,
        transactions: 0,
        puts_back: false,
    };
    let held = talk.held().await;
    if talk.puts_back {
        put_back(house.world).await;
    }
    held.map_err(|(line, fault)| format!("{}:{line}: “{title}”: {fault}", planned.origin))
}

impl Talk<'_> {
    async fn held(&mut self) -> Result<(), (usize, String)> {
        let steps = &self.planned.chat.steps;
        for (place, (line, step)) in steps.iter().enumerate() {
            let later = steps.get(place + 1..).unwrap_or_default();
            self.step(step, later).await.map_err(|fault| (*line, fault))?;
        }
        Ok(())
    }

    async fn step(&mut self, step: &Step, later: &[(usize, Step)]) -> Result<(), String> {
        let is_event = matches!(step, Step::Follows(_) | Step::Scans(_) | Step::Taps(_));
        self.house.clock.advance(if is_event { EVENT } else { STEP });
        match step {
            Step::Customer(None) => self.unbind().await,
            Step::Customer(Some(_)) => {
                if let Some((_, Step::Cards(cards))) = later.first() {
                    self.take_cards(cards);
                }
                return self.be_bound().await;
            }
            Step::Cards(cards) => self.take_cards(cards),
            Step::Wait(wait) => self.house.clock.advance(*wait),
            Step::Spends(words) => self.spends(words).await,
            Step::Desk(desk) => self.desk(desk).await,
            Step::Agent(here) => self.agent(*here).await,
            Step::Fault(operation, CoreFault::Down) if operation == NOTICES_OF => {
                put_away(self.house.world).await;
                self.puts_back = true;
            }
            Step::Fault(operation, fault) => {
                assert!(!operation.starts_with(OF_THE_HOUSE), "{operation} cannot fail so");
                // In an account of his own also while the bank does not know him.
                let own = (self.planned.account != COMMON).then_some(self.planned.account);
                for name in [Some(self.customer.as_str()), own].into_iter().flatten() {
                    self.house.bank.with(name, |dealings| {
                        dealings.faults.insert(operation.clone(), fault.clone());
                    });
                }
            }
            Step::Says(text) => return self.acts(json!({ "action": "text", "text": text }), later).await,
            Step::Taps(words) => return self.taps(words, later).await,
            Step::TapsOld(number) => return self.taps_old(*number, later).await,
            Step::Follows(scene) => {
                let away = self.follower.ask(json!({ "action": "unfollow" })).await;
                self.follower.wait("that he left", |entry| is_quiet(entry, away)).await;
                let action = match scene {
                    Some(scene) => json!({ "action": "scan", "scene": scene }),
                    None => json!({ "action": "follow" }),
                };
                return self.acts(action, later).await;
            }
            Step::Scans(scene) => return self.acts(json!({ "action": "scan", "scene": scene }), later).await,
            Step::Sends(what) if is_no_place(what) => self.pushes_no_place(what).await,
            Step::Sends(what) => return self.acts(sent(what), later).await,
            Step::Binds(_) => return self.bind_on_the_page().await,
            Step::Proves => return self.prove().await,
            Step::Asked(operation, params) => return self.was_asked(operation, params.as_ref()),
            // What came of it inside is no part of what a phone shows.
            Step::Effect(_) => {}
            Step::Bank(text) => {
                let shown = readable(self.replies.last().map_or("", String::as_str));
                let text = if text == NOTHING { "" } else { text };
                if !fits(text, &shown) {
                    return Err(format!("the bank answered otherwise:\n{shown}\nnot:\n{text}"));
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
            let path = format!("/api/v1/bindings/{}/{}", self.planned.account, self.follower.openid);
            let (status, answer) = self.house.world.bank(Method::DELETE, &path, "").await;
            assert_eq!(status, 204, "{answer}");
        }
    }

    /// By the bank, as it brings its customers along; by the page where what only the page asks is told later.
    async fn be_bound(&mut self) -> Result<(), String> {
        if self.planned.tells_binding() {
            self.acts(json!({ "action": "text", "text": "绑定" }), &[]).await?;
            return self.bind_by_the_last_link().await;
        }
        let binding = json!({
            "account": self.planned.account, "openid": self.follower.openid, "customer_id": self.customer,
            "bound_at": "2026-11-22T10:00:00+08:00", "cards": self.cards,
        });
        let (status, answer) =
            self.house.world.bank(Method::POST, "/api/v1/bindings", &binding.to_string()).await;
        assert_eq!((status, answer["accepted"].as_u64()), (202, Some(1)), "{answer}");
        self.bound = true;
        Ok(())
    }

    /// Binds on the page that the last reply leads to; what waited for it goes on.
    async fn bind_on_the_page(&mut self) -> Result<(), String> {
        self.mark().await;
        self.bind_by_the_last_link().await?;
        self.hear(false).await
    }

    async fn bind_by_the_last_link(&mut self) -> Result<(), String> {
        let cards = self.cards.clone();
        self.house.bank.with(&self.customer, |dealings| dealings.cards = cards);
        let mut page = self.open_link("/bind?t=").await?;
        let form = [
            ("name", "测小微"),
            ("id_tail", "1234"),
            ("card_tail", "1234"),
            ("phone", &phone_of(&self.customer)),
            ("alerts", if self.planned.wants_alerts() { "full" } else { "off" }),
            ("agree", "yes"),
        ];
        page.takes(&self.page("bind/start"), &form).await;
        page.takes(&self.page("bind/verify"), &[("code", "482913")]).await;
        self.bound = true;
        Ok(())
    }

    async fn prove(&mut self) -> Result<(), String> {
        self.mark().await;
        let mut page = self.open_link("/step-up?t=").await?;
        if page.html.contains("/step-up/pin") {
            page.takes(&self.page("step-up/pin"), &[]).await;
            let signer = Signer::new(&self.house.world.config.core.secret).unwrap();
            let back = self.house.bank.way_back(&self.customer, &signer, self.house.clock.now());
            page.open(&back).await;
        } else {
            page.takes(&self.page("step-up/send"), &[]).await;
            page.takes(&self.page("step-up/verify"), &[("code", "482913")]).await;
        }
        self.hear(false).await
    }

    fn page(&self, rest: &str) -> String {
        format!("/h5/{}/{rest}", self.planned.account)
    }

    /// Opens the link of the last reply that has this in it.
    async fn open_link(&self, part: &str) -> Result<Browser, String> {
        let reply = self.replies.last().map_or("", String::as_str);
        let link = links(reply).find(|(address, _)| address.contains(part));
        let (link, _) = link.ok_or_else(|| format!("no link to {part} in {reply}"))?;
        let World { server_url, simulator_url, .. } = self.house.world;
        let mut page = Browser::new(client(), server_url, simulator_url, &self.follower.openid);
        page.open(&link).await;
        Ok(page)
    }

    /// The bank tells of a transaction. The newest is the latest one: each has a millisecond of its own.
    async fn spends(&mut self, words: &str) {
        let mut words = words.split_whitespace();
        let (tail, merchant, amount, reason) = (words.next(), words.next(), words.next(), words.next());
        self.transactions += 1;
        let item = json!({
            "transaction_id": self.own(&format!("T{}", self.transactions)),
            "customer_id": self.customer,
            "card_last4": tail,
            "type": if reason.is_some() { "declined" } else { "purchase" },
            "amount": { "value": amount, "currency": "CNY" },
            "merchant": { "name": merchant },
            "channel": "pos",
            "occurred_at": self.house.clock.now().beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
            "decline_reason": reason,
        });
        let (status, answer) =
            self.house.world.bank(Method::POST, "/api/v1/transactions", &item.to_string()).await;
        assert_eq!((status, &answer["accepted"]), (202, &json!(1)), "{answer}");
        let path = format!("/api/v1/transactions/{}", item["transaction_id"].as_str().unwrap());
        until("the alert's verdict", async || {
            let (_, told) = self.house.world.bank(Method::GET, &path, "").await;
            (!["pending", "sent"].contains(&told["state"].as_str()?)).then_some(())
        })
        .await;
    }

    /// WeChat's push of a place without degrees, or with something else: no phone has one, a push may.
    async fn pushes_no_place(&mut self, what: &str) {
        let at = what.split_once(' ').map(|(_, at)| at.split_once(',').unwrap_or((at, "")));
        let degrees = at.map(|(latitude, longitude)| {
            format!("<Location_X>{latitude}</Location_X><Location_Y>{longitude}</Location_Y>")
        });
        let own = format!("{}<Scale>16</Scale><Label>x</Label>", degrees.unwrap_or_default());
        let now = self.house.clock.now().seconds().to_string();
        let own = format!("{own}<MsgId>{}</MsgId>", self.house.clock.now().0);
        let xml = wechat::push_at(&self.follower.openid, &now, "location", &own);
        let url = format!("{}/wechat/{}", self.house.world.server_url, self.planned.account);
        let wechat = Wechat { http: self.house.world.http.clone(), url, is_safe: true };
        let (query, body) = wechat::carrying(&wechat::sealed(xml.as_bytes(), wechat::APP_ID), &now);
        self.replies.push(wechat.send(&query, body).await.unwrap().text());
    }

    /// A transaction's id, which no two customers share.
    fn own(&self, transaction: &str) -> String {
        format!("{}-{transaction}", self.customer)
    }

    /// So many others wait already. When the desk is closed the hour says.
    async fn desk(&self, desk: &DeskNow) {
        for _ in 0..desk.waiting {
            let other = self.house.world.follower_of(self.planned.account, "先来的").await;
            assert!(other.say("人工").await.contains("转接"));
        }
    }

    /// An agent of the bank's own system takes the conversation, or ends it.
    async fn agent(&self, here: bool) {
        let cases = format!("/api/v1/desk/{}/cases", self.planned.account);
        let (status, offered) = self.house.world.bank(Method::GET, &cases, "").await;
        assert_eq!(status, 200, "{offered}");
        let key = format!("agent:{}", self.planned.account);
        let (action, body) = if here {
            let case = offered["cases"][0]["case_id"].as_str().unwrap().to_owned();
            self.house.bank.with(&key, |dealings| dealings.case_id = case);
            ("take", json!({ "agent": AGENT }))
        } else {
            ("close", json!({ "agent": AGENT, "reason": "solved" }))
        };
        let case = self.house.bank.with(&key, |dealings| dealings.case_id.clone());
        let path = format!("{cases}/{case}/{action}");
        let (status, answer) = self.house.world.bank(Method::POST, &path, &body.to_string()).await;
        assert_eq!(status, 200, "{action}: {answer}");
    }

    async fn taps(&mut self, words: &str, later: &[(usize, Step)]) -> Result<(), String> {
        let reply = self.replies.last().map_or("", String::as_str);
        let link = links(reply).find(|(address, label)| address.starts_with("weixin:") && label == words);
        let action = match link {
            Some((address, _)) => json!({ "action": "tap_link", "href": address }),
            None => json!({ "action": "menu", "key": words }),
        };
        self.acts(action, later).await
    }

    /// Taps a line of the newest list but one.
    async fn taps_old(&mut self, number: usize, later: &[(usize, Step)]) -> Result<(), String> {
        let older = self.replies.iter().rev().skip(1);
        let lists = older.map(|reply| {
            let of_list = |(address, _): &(String, String)| address.contains("msgmenuid=list-");
            links(reply).filter(of_list).map(|(address, _)| address).collect::<Vec<_>>()
        });
        let list = lists.into_iter().find(|list| !list.is_empty()).unwrap_or_default();
        let address = list.get(number - 1).ok_or("there is no older list with this line")?;
        self.acts(json!({ "action": "tap_link", "href": address }), later).await
    }

    /// Does something in the chat and hears what comes of it.
    async fn acts(&mut self, action: Value, later: &[(usize, Step)]) -> Result<(), String> {
        self.forget_asked();
        self.asked_at = self.follower.ask(action).await;
        let mut replies = later.iter().map(|(_, step)| step);
        let next = replies.find(|step| !matches!(step, Step::Asked(..) | Step::Effect(_)));
        self.hear(matches!(next, Some(Step::Bank(text)) if text == NOTHING)).await
    }

    /// Notes how far the phone is, before something is done outside the chat.
    async fn mark(&mut self) {
        self.forget_asked();
        let entries = self.follower.timeline().await;
        self.asked_at = entries.iter().filter_map(|entry| entry["id"].as_u64()).max().unwrap_or(0);
    }

    fn forget_asked(&self) {
        self.house.bank.with(&self.customer, |dealings| dealings.asked.clear());
    }

    /// What the account says next, or that it answers with nothing.
    async fn hear(&mut self, nothing: bool) -> Result<(), String> {
        let deadline = Instant::now() + ANSWER_WITHIN;
        let mut seen = 0;
        while Instant::now() < deadline {
            for entry in self.follower.changed_after(seen).await {
                seen = seen.max(entry["seq"].as_u64().unwrap_or(0));
                let is_later = entry["id"].as_u64().is_some_and(|id| id > self.asked_at);
                if is_later && entry["direction"] == "account" && entry["kind"] != "template" {
                    self.replies.push(words(&entry));
                    return Ok(());
                }
                if nothing && is_quiet(&entry, self.asked_at) {
                    self.replies.push(String::new());
                    return Ok(());
                }
            }
        }
        Err(format!("no answer within {ANSWER_WITHIN:?}"))
    }

    /// What the house answers itself, the bank is not asked.
    fn was_asked(&self, operation: &str, params: Option<&Value>) -> Result<(), String> {
        let Some(name) = operation.strip_prefix("core:") else { return Ok(()) };
        let params = params.map(|params| {
            let mut params = params.clone();
            let transaction =
                params["transaction_id"].as_str().filter(|id| id.starts_with('T')).map(str::to_owned);
            if let Some(transaction) = transaction {
                params["transaction_id"] = json!(self.own(&transaction));
            }
            params
        });
        let who = if self.bound { self.customer.as_str() } else { self.planned.account };
        self.house.bank.with(who, |dealings| {
            let mut asked = dealings.asked.iter();
            let same = |(asked, sent): &(String, Value)| {
                asked == name && params.as_ref().is_none_or(|params| params == sent)
            };
            let found = asked.any(same);
            found
                .then_some(())
                .ok_or_else(|| format!("{operation} was not asked so; asked were {:?}", dealings.asked))
        })
    }
}

/// Whether the push of an entry was answered with nothing to show.
fn is_quiet(entry: &Value, id: u64) -> bool {
    entry["id"] == id && entry["push"]["state"] == "quiet"
}
