//! Running conversations against the dialogue and a core.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::house;
use super::parse::{Chat, ChatFile, CoreFault, DeskNow, Step};
use crate::bank::Operations;
use crate::catalogue::{Page, Picture};
use crate::config::{Account, Alerts};
use crate::content::Fault;
use crate::dialogue::{
    AskError, DeskStatus, Dialogue, DialogueState, Effect, Links, MediaKind, Of, Outcome, Said, Say, Scene,
    Wish, outcome,
};
use crate::domain::alert_settings::{AlertChange, AlertSettings};
use crate::domain::binding::{Binding, BindingSource};
use crate::domain::card::{Card, CardTail};
use crate::domain::conversation::Stage;
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::mask;
use crate::domain::money::Money;
use crate::domain::secret::{Personal, Secret};
use crate::domain::step_up::{Proof, StepUp};
use crate::domain::time::UnixMs;
use crate::domain::transaction::Transaction;
use crate::wechat::reply::Article;

/// Sunday, 2026-11-22, 10:00 in Beijing: when every conversation starts.
const START: UnixMs = UnixMs(1_795_312_800_000);
/// Questions that one message may put to the core.
const ASKS_MAX: usize = 6;
/// What an address of the page that takes a one-time code has before its scope.
const STEP_UP: &str = "step_up?";
/// The same before it goes on to the page for the PIN.
const PIN: &str = "step_up_pin?";
const NO_REPLY: &str = "（不回复）";

/// Who answers operations while conversations run.
pub trait Core {
    /// Answers one operation.
    ///
    /// # Errors
    /// As a core fails.
    fn call(&mut self, customer: Option<&str>, operation: &str, params: &Value) -> Result<Value, AskError>;
}

/// Answers every operation with the example of its schema.
#[derive(Debug)]
pub struct ExampleCore<'a>(pub &'a Operations);

impl Core for ExampleCore<'_> {
    fn call(&mut self, _: Option<&str>, operation: &str, params: &Value) -> Result<Value, AskError> {
        let operation = self.0.get(operation).ok_or(AskError::Lied)?;
        operation.check_params(params).map_err(|_| AskError::Lied)?;
        Ok(operation.example().result.clone())
    }
}

/// What the conversations met of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Met {
    /// It answered as it should.
    pub straight: bool,
    /// The core refused or failed.
    pub refusal: bool,
    /// Its guard asked for binding.
    pub guard: bool,
    /// Its guard asked for a one-time code or the PIN.
    pub proof: bool,
    /// A wrong answer in its form.
    pub wrong_input: bool,
}

/// What came of running conversations.
#[derive(Debug, Default)]
pub struct Run {
    /// What did not happen as written.
    pub faults: Vec<Fault>,
    /// What was met, by service.
    pub met: BTreeMap<String, Met>,
    /// Conversations that ran.
    pub chats: usize,
}

/// Runs every conversation of a file, each from its beginning. After the first fault of one the next one starts.
pub fn run(dialogue: &Dialogue, file: &ChatFile, core: &mut dyn Core, into: &mut Run) {
    for chat in &file.chats {
        into.chats += 1;
        let talk = Talk::new(dialogue, core).map_err(|message| (chat.line, message));
        if let Err((line, message)) = talk.and_then(|mut talk| talk.run(chat, &mut into.met)) {
            into.faults.push(Fault::new(&file.origin, line, format!("“{}”: {message}", chat.title)));
        }
    }
}

/// A reply as staff read it: `[words]` for a link that says its words, `[words](page)` for one that opens a page.
#[must_use]
pub fn readable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("<a href=\"") {
        out.push_str(before);
        let Some((address, link)) = link.split_once("\">") else { break };
        let Some((words, after)) = link.split_once("</a>") else { break };
        let page = Page::ALL.into_iter().find(|page| address.ends_with(&format!("/{}", page.name())));
        let page = page.map_or_else(|| place_of(address), Page::name);
        let page = if address.starts_with("weixin://") { String::new() } else { format!("({page})") };
        out.push_str(&format!("[{words}]{page}"));
        rest = after;
    }
    out + rest
}

/// Where an address leads that is no page of its own.
fn place_of(address: &str) -> &'static str {
    match address {
        proof if proof.contains(STEP_UP) => "验证",
        pin if pin.contains(PIN) => "交易密码",
        _ => "网页",
    }
}

/// The value of `msgmenuid` in the link with these words.
fn tapped(reply: &str, words: &str) -> Option<String> {
    reply.split("<a href=\"weixin://").find_map(|link| {
        let (address, rest) = link.split_once("\">")?;
        let (label, _) = rest.split_once("</a>")?;
        let (_, id) = address.split_once("msgmenuid=")?;
        (label == words).then(|| id.to_owned())
    })
}

struct PageLinks;

impl Links for PageLinks {
    fn page(&self, page: Page) -> String {
        format!("https://wx.bank.example/h5/card/{}", page.name())
    }

    fn step_up(&self, scope: &str, proof: Proof) -> String {
        let place = if proof == Proof::Pin { PIN } else { STEP_UP };
        format!("https://wx.bank.example/h5/card/{place}{scope}")
    }

    fn picture(&self, picture: Picture) -> String {
        format!("https://wx.bank.example/h5/assets/{}.png", picture.name())
    }
}

struct Talk<'a> {
    dialogue: &'a Dialogue,
    core: &'a mut dyn Core,
    account: Account,
    now: UnixMs,
    state: DialogueState,
    stage: Stage,
    binding: Option<Binding>,
    cards: Vec<Card>,
    desk: DeskStatus,
    faults: BTreeMap<String, CoreFault>,
    awaiting: Option<Wish>,
    step_up: Option<StepUp>,
    /// The newest first.
    transactions: Vec<Transaction>,
    /// Whether he asked for offers.
    wants_offers: bool,
    /// What happened since the last thing that the customer did.
    asked: Vec<(String, Value)>,
    effects: BTreeSet<String>,
    reply: Option<String>,
    list_before: u32,
}

impl<'a> Talk<'a> {
    fn new(dialogue: &'a Dialogue, core: &'a mut dyn Core) -> Result<Self, String> {
        let nobody = DeskNow::with(true, 0, None);
        let desk = DeskStatus {
            open: nobody.open,
            hours: "每天 8:00–22:00".to_owned(),
            waiting: nobody.waiting,
            wait_minutes: nobody.wait_minutes,
        };
        Ok(Self {
            dialogue,
            core,
            account: made_up_account()?,
            now: START,
            state: DialogueState::default(),
            stage: Stage::Bot,
            binding: None,
            cards: card("K1", "1234", "金卡").into_iter().collect(),
            desk,
            faults: BTreeMap::new(),
            awaiting: None,
            step_up: None,
            transactions: Vec::new(),
            wants_offers: false,
            asked: Vec::new(),
            effects: BTreeSet::new(),
            reply: None,
            list_before: 0,
        })
    }

    fn run(&mut self, chat: &Chat, met: &mut BTreeMap<String, Met>) -> Result<(), (usize, String)> {
        for (line, step) in &chat.steps {
            self.step(step, met).map_err(|message| (*line, message))?;
        }
        Ok(())
    }

    fn step(&mut self, step: &Step, met: &mut BTreeMap<String, Met>) -> Result<(), String> {
        match step {
            Step::Customer(customer) => self.bind(customer.as_deref())?,
            Step::Cards(cards) => {
                let read =
                    cards.iter().map(|(id, tail, product)| card(id, tail, product)).collect::<Option<_>>();
                self.cards = read.ok_or("a tail has four digits")?;
                if let Some(binding) = &mut self.binding {
                    binding.cards.clone_from(&self.cards);
                }
            }
            Step::Wait(wait) => self.now = self.now + *wait,
            Step::Spends(words) => {
                let number = self.transactions.len() + 1;
                self.transactions.insert(0, spent(words, number, self.now)?);
            }
            Step::Desk(now) => {
                self.desk.open = now.open;
                self.desk.waiting = now.waiting;
                self.desk.wait_minutes = now.wait_minutes;
            }
            Step::Agent(here) => self.stage = if *here { Stage::WithAgent } else { Stage::Bot },
            Step::Fault(operation, fault) => {
                self.faults.insert(operation.clone(), fault.clone());
            }
            Step::Says(text) => self.says(text, None, met)?,
            Step::Taps(words) => {
                let id = self.reply.as_deref().and_then(|reply| tapped(reply, words));
                match id {
                    Some(id) => self.says(words, Some(id), met)?,
                    None => self.happens(&Said::Key(words.clone()), false, met)?,
                }
            }
            Step::TapsOld(number) => {
                let id = format!("list-{}-{number}", self.list_before);
                self.says(&number.to_string(), Some(id), met)?;
            }
            Step::Follows(scene) => self.happens(&Said::Followed { scene: scene.clone() }, false, met)?,
            Step::Scans(scene) => self.happens(&Said::Scanned { scene: scene.clone() }, false, met)?,
            Step::Sends(what) => self.happens(&sent(what), false, met)?,
            Step::Binds(customer) => {
                self.bind(Some(customer))?;
                let wish = self.awaiting.take().ok_or("nothing waits for the binding")?;
                self.happens(&Said::Resumed { wish }, false, met)?;
            }
            Step::Proves => {
                let wish = self.awaiting.take().ok_or("nothing waits for a one-time code")?;
                let proof = self.dialogue.catalogue.get(&wish.service);
                let proof = proof.map_or(Proof::Otp, |service| *service.manifest.proof.get_ref());
                self.step_up = Some(StepUp::new(proof.max(Proof::Otp), &wish.service, self.now));
                self.happens(&Said::Resumed { wish }, false, met)?;
            }
            Step::Asked(operation, params) => {
                let asked = |(name, sent): &(String, Value)| {
                    name == operation && params.as_ref().is_none_or(|params| params == sent)
                };
                if !self.asked.iter().any(asked) {
                    return Err(format!("{operation} was not asked so; asked were {:?}", self.asked));
                }
            }
            Step::Effect(effect) if self.effects.contains(effect) => {}
            Step::Effect(effect) => {
                return Err(format!("{effect} did not come of it, but {:?}", self.effects));
            }
            Step::Bank(text) => {
                let reply = self.reply.as_deref().map_or(NO_REPLY.to_owned(), readable);
                if reply != *text {
                    return Err(format!("the bank answered otherwise:\n{reply}\n"));
                }
            }
        }
        Ok(())
    }

    fn bind(&mut self, customer: Option<&str>) -> Result<(), String> {
        self.binding = match customer {
            None => None,
            Some(customer) => Some(Binding {
                customer: CustomerId::parse(customer).ok_or("no customer id")?,
                name_masked: Personal::new("测**"),
                default_card: self.cards.first().map(|card| card.card_id.clone()).unwrap_or_default(),
                cards: self.cards.clone(),
                alerts: false,
                hide_amounts: false,
                settings: AlertSettings::default(),
                bound: START,
                source: BindingSource::Page,
            }),
        };
        Ok(())
    }

    fn says(
        &mut self,
        text: &str,
        menu_item: Option<String>,
        met: &mut BTreeMap<String, Met>,
    ) -> Result<(), String> {
        let (masked, found) = mask::chat(text);
        self.happens(&Said::Text { text: Personal::new(masked), menu_item }, found.is_some(), met)
    }

    fn happens(&mut self, said: &Said, masked: bool, met: &mut BTreeMap<String, Met>) -> Result<(), String> {
        self.asked.clear();
        self.effects.clear();
        self.list_before = self.state.lists.saturating_sub(1);
        let tries = self.state.form.as_ref().map_or(0, |form| form.tries);
        let open = self.state.form.as_ref().map(|form| form.wish.service.clone());
        let (outcome, failed) = self.decide(said, masked)?;
        let asks_binding = outcome.effects.iter().any(|effect| matches!(effect, Effect::AwaitBinding { .. }));
        let asks_proof = outcome.effects.iter().any(|effect| matches!(effect, Effect::AwaitStepUp { .. }));
        if let Some(service) = &outcome.service {
            let met = met.entry(service.clone()).or_default();
            met.guard |= asks_binding;
            met.proof |= asks_proof;
            met.refusal |= failed;
            met.straight |= !asks_binding && !asks_proof && !failed;
        }
        let wrong = outcome.state.form.as_ref().is_some_and(|form| form.tries > tries);
        if let Some(service) = open.filter(|_| wrong) {
            met.entry(service).or_default().wrong_input = true;
        }
        for effect in &outcome.effects {
            self.carry_out(effect);
        }
        self.state = outcome.state.to_json().map(|json| DialogueState::from_json(&json)).unwrap_or_default();
        self.reply = outcome.reply.map(|say| match say {
            Say::Text(text) => text,
            Say::News(articles) => articles.iter().map(card_as_text).collect::<Vec<_>>().join("\n"),
        });
        Ok(())
    }

    /// Decides, asking the core as often as the dialogue wants; also whether the core failed.
    fn decide(&mut self, said: &Said, masked: bool) -> Result<(Outcome, bool), String> {
        let (account, state, binding, desk) =
            (self.account.clone(), self.state.clone(), self.binding.clone(), self.desk.clone());
        let step_up = self.step_up.clone();
        let scene = Scene {
            account: &account,
            follower: FollowerKey::new([7; 16]),
            now: self.now,
            said,
            state: &state,
            stage: self.stage,
            binding: binding.as_ref(),
            step_up: step_up.as_ref(),
            desk: &desk,
            links: &PageLinks,
            reference: "ABCD2345",
            masked,
            chat_window_open: true,
            silence_ceiling: Alerts::SILENCE_CEILING,
        };
        let mut failed = false;
        let mut step = self.dialogue.decide(&scene);
        for _ in 0..ASKS_MAX {
            let ask = match step {
                outcome::Step::Done(outcome) => return Ok((outcome, failed)),
                outcome::Step::Ask(ask) => ask,
            };
            let of = if ask.of == Of::House { "house" } else { "core" };
            let operation = format!("{of}:{}", ask.operation);
            self.asked.push((operation.clone(), ask.params.clone()));
            let name = if ask.of == Of::House { &operation } else { &ask.operation };
            let customer = binding.as_ref().map(|binding| binding.customer.reveal());
            let answer = match self.faults.get(name) {
                Some(CoreFault::Down) => Err(AskError::Down),
                Some(CoreFault::Lies) => Err(AskError::Lied),
                Some(CoreFault::Refuses(code, message)) => {
                    Err(AskError::Refused { code: code.clone(), message: message.clone() })
                }
                None if ask.of == Of::House => self.of_the_house(&operation, &ask, binding.as_ref()),
                None => self.core.call(customer, &ask.operation, &ask.params),
            };
            failed |= answer.is_err();
            step = self.dialogue.proceed(&scene, ask.then, answer);
        }
        Err(format!("more than {ASKS_MAX} operations for one message"))
    }

    /// What the house keeps: purchases that the conversation told of, and what the customer wants to be told.
    fn of_the_house(
        &self,
        operation: &str,
        ask: &outcome::Ask,
        binding: Option<&Binding>,
    ) -> Result<Value, AskError> {
        let example = self.dialogue.catalogue.operation(operation).ok_or(AskError::Lied)?.example();
        match (ask.operation.as_str(), binding) {
            ("alert_history", Some(binding)) => Ok(house::alert_history(&self.transactions, binding)),
            ("alert_volume", Some(binding)) => {
                Ok(house::alert_volume(&self.transactions, binding, &ask.params))
            }
            ("offers", _) => Ok(house::offers(&example.result, self.wants_offers, &self.transactions)),
            _ => Dialogue::look_up(binding, &ask.operation, &ask.params, &self.transactions),
        }
    }

    fn carry_out(&mut self, effect: &Effect) {
        let said = match effect {
            Effect::Escalate(_) => {
                self.stage = Stage::Waiting;
                "排队".to_owned()
            }
            Effect::CancelWait => {
                self.stage = Stage::Bot;
                "退出排队".to_owned()
            }
            Effect::CallBack(_) => "登记回电".to_owned(),
            Effect::Rate { rating } => format!("评价 {}", rating.score.points()),
            Effect::Unbind => {
                self.binding = None;
                "解除绑定".to_owned()
            }
            Effect::DefaultCard { card_id } => {
                if let Some(binding) = &mut self.binding {
                    binding.default_card.clone_from(card_id);
                }
                format!("默认卡 {card_id}")
            }
            Effect::Cards { cards } => {
                let tails: Vec<&str> = cards.iter().map(|card| card.tail.as_str()).collect();
                let said = format!("卡片更新 {}", tails.join(" "));
                if let Some(binding) = &mut self.binding {
                    binding.cards.clone_from(cards);
                }
                said
            }
            Effect::Alerts(change) => {
                self.binding = self.binding.as_ref().map(|binding| binding.with(change));
                words_of(change)
            }
            Effect::Marketing { on } => {
                self.wants_offers = *on;
                if *on { "订阅优惠" } else { "退订优惠" }.to_owned()
            }
            Effect::AwaitBinding { wish } => {
                self.awaiting = Some(wish.clone());
                "等待绑定".to_owned()
            }
            Effect::Event { kind, data } => format!("事件 {} {}", kind.name(), Value::Object(data.clone())),
            Effect::Owe { owed } => format!("补办 {}", owed.operation),
            Effect::Review(misheard) => match &misheard.chosen {
                Some(chosen) => format!("待复核 {} {chosen}", misheard.kind.name()),
                None => format!("待复核 {}", misheard.kind.name()),
            },
            Effect::AwaitStepUp { wish } => {
                self.awaiting = Some(wish.clone());
                "等待验证".to_owned()
            }
        };
        self.effects.insert(said);
    }
}

/// A news card as staff read it: `【图文】headline`, what stands below it, and the page that a tap opens.
#[must_use]
pub fn card_as_text(card: &Article) -> String {
    let page = crate::wechat::text::link(card.url.reveal(), "打开");
    format!("【图文】{}\n{}\n{page}", card.title.reveal(), card.description.reveal())
}

/// `1234 星河超市 128.50`, and the reason where it was declined.
fn spent(words: &str, number: usize, now: UnixMs) -> Result<Transaction, String> {
    let mut words = words.split_whitespace();
    let (Some(tail), Some(merchant), Some(amount)) = (words.next(), words.next(), words.next()) else {
        return Err("a purchase is written as 1234 星河超市 128.50".to_owned());
    };
    let reason = words.next();
    let item = serde_json::json!({
        "transaction_id": format!("T{number}"),
        "customer_id": "C10001",
        "card_last4": tail,
        "type": if reason.is_some() { "declined" } else { "purchase" },
        "amount": { "value": amount, "currency": "CNY" },
        "merchant": { "name": merchant },
        "channel": "pos",
        "occurred_at": now.beijing().strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        "decline_reason": reason,
    });
    Transaction::parse(&item, now).map_err(|wrong| wrong.to_string())
}

/// A change of alerts as conversations name it: `提醒开 显示金额 起点100.00 免打扰22:00-08:00 卡K2`.
fn words_of(change: &AlertChange) -> String {
    let flags = [(change.on, "提醒开", "提醒关"), (change.hide_amounts, "隐藏金额", "显示金额")];
    let flags = flags.iter().filter_map(|(flag, yes, no)| Some(if (*flag)? { *yes } else { *no }.to_owned()));
    let threshold = change.threshold_fen.map(|fen| format!("起点{}", Money::of_fen(fen).decimal()));
    let quiet = change
        .quiet
        .map(|quiet| quiet.map_or("免打扰取消".to_owned(), |quiet| format!("免打扰{}", quiet.name())));
    let card = change.card_id.as_ref().map(|id| format!("卡{id}"));
    flags.chain(threshold).chain(quiet).chain(card).collect::<Vec<_>>().join(" ")
}

fn sent(what: &str) -> Said {
    match what {
        "图片" => Said::Media(MediaKind::Image),
        "视频" => Said::Media(MediaKind::Video),
        "语音" => Said::Voice { recognition: None },
        voice if voice.starts_with("语音 ") => {
            let recognition = voice.split_once(' ').map(|(_, words)| Personal::new(words.trim()));
            Said::Voice { recognition }
        }
        "位置" => Said::Location { position: None, label: None },
        place if place.starts_with("位置 ") => {
            let position = place.split_once(' ').map(|(_, position)| Personal::new(position.trim()));
            Said::Location { position, label: None }
        }
        _ => Said::Media(MediaKind::Other),
    }
}

fn card(id: &str, tail: &str, product: &str) -> Option<Card> {
    let tail = CardTail::parse(tail).ok()?;
    Some(Card { card_id: id.to_owned(), tail, product: product.to_owned() })
}

/// The account that conversations run in; only its name is ever said.
pub(in crate::dialogue) fn made_up_account() -> Result<Account, String> {
    let secret = || Secret::new(String::new());
    let base = url::Url::parse("https://wx.bank.example").map_err(|error| error.to_string())?;
    Ok(Account {
        id: AccountId::new("card"),
        name: "示例银行信用卡".to_owned(),
        original_id: "gh_example".to_owned(),
        app_id: "wx_example".to_owned(),
        app_secret: secret(),
        token: secret(),
        encoding_aes_key: None,
        previous_encoding_aes_key: None,
        encryption: crate::config::Encryption::Plain,
        kind: crate::config::AccountKind::Service,
        desk: crate::config::DeskKind::Own,
        api_base_urls: Vec::new(),
        oauth_base_url: base,
        proxy: None,
        notices: BTreeMap::new(),
        template_per_second: None,
        customer_service_per_second: None,
        domain_files: vec![],
    })
}
