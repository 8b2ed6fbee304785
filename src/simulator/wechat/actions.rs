//! What a follower can do with his phone. Each action becomes an entry in the chat and a push to the server.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::allowance::Bought;
use super::api::sessions;
use super::events::{NoticeChoice, PlatformEvent};
use super::platform::{Follower, Platform, State};
use super::push::{PUSHES_MAX, Push, Scene, envelope, event};
use super::timeline::{Direction, Draft};
use super::xml::Writer;
use crate::domain::time::UnixMs;

const TEXT_CHARS_MAX: usize = 2048;
/// Notices that one question asks for.
const NOTICES_ASKED_MAX: usize = 5;
const SUBSCRIBE_SCENES: [&str; 13] = [
    "ADD_SCENE_SEARCH",
    "ADD_SCENE_ACCOUNT_MIGRATION",
    "ADD_SCENE_PROFILE_CARD",
    "ADD_SCENE_QR_CODE",
    "ADD_SCENE_PROFILE_LINK",
    "ADD_SCENE_PROFILE_ITEM",
    "ADD_SCENE_PAID",
    "ADD_SCENE_WECHAT_ADVERTISEMENT",
    "ADD_SCENE_REPRINT",
    "ADD_SCENE_LIVESTREAM",
    "ADD_SCENE_CHANNELS",
    "ADD_SCENE_WXA",
    "ADD_SCENE_OTHERS",
];

/// One thing a follower does.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Action {
    /// Follows; by a parametric code when `ticket` is given, from a payment page when `trade_no` is.
    Follow { ticket: Option<String>, trade_no: Option<String>, subscribe_scene: Option<String> },
    /// Stops following.
    Unfollow,
    /// Refuses, or accepts again, the account's messages.
    Block { blocked: bool },
    /// Opens pages as a snapshot user, or no longer.
    Snapshot { snapshot: bool },
    /// Uses another client: 1 iOS, 2 Android, 3 any other. Personalised menus match it.
    Client { client: u8 },
    /// Pays the account: opens 48 hours without limit. Nothing is pushed.
    Pay,
    /// Says something; from below an article when its `MsgDataId` and place are given.
    Text { text: String, article: Option<FromArticle> },
    /// Sends a picture; a drawn one without `data_base64`.
    Image { data_base64: Option<String> },
    /// Sends a voice message; `recognition` is what the old speech-to-text field would hold. `format` amr or speex.
    /// `sample` is the number, from 1, of a recording that the sandbox core's recogniser knows; with `data_base64` beside
    /// it, only the 16 kHz twin is that recording.
    Voice {
        recognition: Option<String>,
        format: Option<String>,
        data_base64: Option<String>,
        sample: Option<usize>,
    },
    /// Sends a video.
    Video { data_base64: Option<String> },
    /// Sends a short video, taken in the chat.
    Shortvideo,
    /// Sends a file, which no document of a service account describes.
    File { title: String, description: Option<String> },
    /// Sends a place; decimals as text.
    Location { latitude: String, longitude: String, label: String },
    /// Lets his place be reported on entering the chat: an event, not a message.
    ReportLocation { latitude: String, longitude: String, precision: String },
    /// Shares a page.
    Link { title: String, description: String, url: String },
    /// Taps a menu button, by its place (`[1,0]`) or by its key.
    Menu { path: Option<Vec<usize>>, key: Option<String>, scan_result: Option<String> },
    /// Scans a code: its ticket, its address, or simply a scene.
    Scan { ticket: Option<String>, url: Option<String>, scene: Option<String> },
    /// Taps a link inside a text bubble.
    TapLink { href: String },
    /// Taps an item of a 菜单消息.
    TapMsgmenu { entry: u64, id: String },
    /// Taps a template-message card.
    TapTemplate { entry: u64 },
    /// Answers the question whether a subscription notice may come.
    Subscribe { template_id: String, accept: bool, scene: Option<u8> },
    /// Answers it for several notices that were asked for together: one push tells of all.
    SubscribeEach { choices: Vec<NoticeChoice> },
    /// An agent of the platform's own takes him over, after which his messages no longer reach the server.
    AgentAccepts { kf_account: String },
    /// That agent closes the session.
    AgentCloses,
    /// An event of the platform's own about him.
    Event(PlatformEvent),
}

/// The article below which a message was written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FromArticle {
    /// `MsgDataId`
    pub(super) data_id: String,
    /// `Idx`, from 1.
    pub(super) index: u8,
}

/// What came of an action.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Done {
    /// The chat entry that it made.
    pub(crate) entry: Option<u64>,
    /// The page that opens.
    pub(crate) open: Option<String>,
}

/// Why an action is not possible.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// No such account, follower, entry, button or code.
    Unknown(&'static str),
    /// Not in this state.
    State(&'static str),
    /// Not with these values.
    Value(&'static str),
    /// No action that is known.
    Malformed(String),
    /// Too many pushes are under way.
    Busy,
}

impl Refusal {
    /// In words.
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Unknown(reason) | Self::State(reason) | Self::Value(reason) => reason,
            Self::Malformed(reason) => reason,
            Self::Busy => "投递中的推送过多，请稍后再试",
        }
    }
}

/// Who acts.
pub(super) struct Actor<'a> {
    pub(super) platform: &'a Arc<Platform>,
    pub(super) account: usize,
    pub(super) openid: &'a str,
    pub(super) at: UnixMs,
    /// The number under which the action is recorded.
    pub(super) step: u64,
}

/// An entry with its push, ready to go.
pub(super) struct Act {
    pub(super) draft: Draft,
    pub(super) scene: Scene,
    pub(super) msg_id: Option<u64>,
    /// `MsgType` of a message, `Event` of an event.
    pub(super) kind: String,
    pub(super) xml: Writer,
}

impl Platform {
    /// Lets a follower act, as the control API describes it.
    pub(crate) fn act(
        self: &Arc<Self>,
        account: usize,
        openid: &str,
        described: &Value,
    ) -> Result<Done, Refusal> {
        let action: Action = serde_json::from_value(described.clone())
            .map_err(|error| Refusal::Malformed(error.to_string()))?;
        if self.pushes_under_way() >= PUSHES_MAX {
            return Err(Refusal::Busy);
        }
        let at = self.true_now();
        let step = {
            let mut state = self.state();
            state.follower(account, openid).ok_or(Refusal::Unknown("没有这个关注者"))?;
            state.record_action(at, account, openid, described)
        };
        // Agents come and go by calls of their own.
        if let Action::AgentAccepts { kf_account } = &action {
            let accepted = sessions::open(self, account, openid, kf_account);
            return accepted
                .map(|()| Done::default())
                .map_err(|_| Refusal::State("该客服账号不存在、未绑定或离线"));
        }
        let mut state = self.state();
        let following = state.follower(account, openid).ok_or(Refusal::Unknown("没有这个关注者"))?.following;
        let actor = Actor { platform: self, account, openid, at, step };
        match action {
            Action::Follow { ticket, trade_no, subscribe_scene } => {
                actor.follow(&mut state, ticket, trade_no, subscribe_scene)
            }
            Action::Scan { ticket, url, scene } => actor.scan(&mut state, ticket, url, scene),
            Action::Snapshot { snapshot } => Ok(actor.switch(&mut state, |one| one.snapshot = snapshot)),
            Action::Client { client: client @ 1..=3 } => {
                Ok(actor.switch(&mut state, |one| one.client = client))
            }
            Action::Client { .. } => Err(Refusal::Value("客户端应为 1、2 或 3")),
            Action::Subscribe { template_id, accept, scene } => {
                let scene = scene.unwrap_or(1);
                actor.subscribe(&mut state, vec![NoticeChoice { template_id, accept, scene }])
            }
            Action::SubscribeEach { choices } => actor.subscribe(&mut state, choices),
            Action::Event(event) if !event.is_writable() => Err(Refusal::Value("事件名或字段名不能写进 XML")),
            Action::Event(event) => {
                let entry = self.push_event(&mut state, account, openid, &event);
                Ok(Done { entry, open: None })
            }
            _ if !following => Err(Refusal::State("尚未关注该公众号")),
            Action::Unfollow => Ok(actor.unfollow(&mut state)),
            Action::Block { blocked } => Ok(actor.switch(&mut state, |one| one.blocked = blocked)),
            Action::Pay => Ok(actor.pay(&mut state)),
            Action::AgentCloses => {
                sessions::end(self, &mut state, account, openid);
                Ok(Done::default())
            }
            Action::Menu { path, key, scan_result } => actor.menu(&mut state, path, key, scan_result),
            Action::TapLink { href } => actor.tap_link(&mut state, &href),
            Action::TapMsgmenu { entry, id } => actor.tap_msgmenu(&mut state, entry, &id),
            Action::TapTemplate { entry } => actor.tap_template(&mut state, entry),
            Action::ReportLocation { latitude, longitude, precision } => {
                actor.report_location(&mut state, &latitude, &longitude, &precision)
            }
            message => actor.message(&mut state, message),
        }
    }
}

impl Actor<'_> {
    pub(super) fn switch(&self, state: &mut State, change: impl FnOnce(&mut Follower)) -> Done {
        if let Some(follower) = state.follower(self.account, self.openid) {
            change(follower);
        }
        state.touch(self.account, self.openid);
        Done::default()
    }

    pub(super) fn buy(&self, state: &mut State, bought: Bought) {
        let now = self.platform.now();
        self.switch(state, |follower| follower.allowance.buy(bought, now));
    }

    fn follow(
        &self,
        state: &mut State,
        ticket: Option<String>,
        trade_no: Option<String>,
        subscribe_scene: Option<String>,
    ) -> Result<Done, Refusal> {
        if state.follower(self.account, self.openid).is_some_and(|follower| follower.following) {
            return Err(Refusal::State("已经关注"));
        }
        let usual = match (&ticket, &trade_no) {
            (Some(_), None) => "ADD_SCENE_QR_CODE",
            (None, Some(_)) => "ADD_SCENE_PAID",
            (None, None) => "ADD_SCENE_SEARCH",
            (Some(_), Some(_)) => return Err(Refusal::Value("请给出 ticket 或 trade_no 之一")),
        };
        let wanted = subscribe_scene.as_deref().unwrap_or(usual);
        let came_by = SUBSCRIBE_SCENES.iter().find(|scene| **scene == wanted);
        let came_by = *came_by.ok_or(Refusal::Value("subscribe_scene 不是平台的取值"))?;
        let scene = match &ticket {
            Some(ticket) => {
                let code = state.accounts[self.account].codes.scan(ticket, self.platform.now());
                Some(code.ok_or(Refusal::Unknown("二维码不存在或已过期"))?.scene)
            }
            None => None,
        };
        let at = self.at;
        self.switch(state, |follower| {
            follower.following = true;
            follower.blocked = false;
            follower.followed_at = Some(at);
            follower.scene = scene.clone().unwrap_or_default();
            follower.subscribe_scene = came_by;
        });
        self.buy(state, Bought::Tap);
        let start = event(&state.accounts[self.account], self.openid, at, "subscribe");
        let xml = match (&scene, &ticket, &trade_no) {
            (Some(scene), Some(ticket), _) => {
                start.text("EventKey", &format!("qrscene_{scene}")).text("Ticket", ticket)
            }
            (_, _, Some(trade_no)) => start.text("EventKey", &format!("last_trade_no_{trade_no}")),
            _ => start.text("EventKey", ""),
        };
        let words = if ticket.is_some() { "扫码关注了公众号" } else { "关注了公众号" };
        let draft = Draft::new(Direction::System, "follow", words);
        let kind = "subscribe".to_owned();
        Ok(self.push(state, Act { draft, scene: Scene::Event, msg_id: None, kind, xml }))
    }

    fn unfollow(&self, state: &mut State) -> Done {
        self.switch(state, |follower| {
            follower.following = false;
            follower.followed_at = None;
            follower.typing_until = None;
            follower.session = None;
            follower.waiting_since = None;
            follower.allowance.forget();
        });
        let account = &state.accounts[self.account];
        let xml = event(account, self.openid, self.at, "unsubscribe").text("EventKey", "");
        let draft = Draft::new(Direction::System, "follow", "取消了关注");
        let kind = "unsubscribe".to_owned();
        self.push(state, Act { draft, scene: Scene::Quiet, msg_id: None, kind, xml })
    }

    fn pay(&self, state: &mut State) -> Done {
        self.buy(state, Bought::Payment);
        let draft = Draft::new(Direction::System, "pay", "付了一笔款");
        let entry = state.show(self.account, self.openid, self.at, draft);
        Done { entry, open: None }
    }

    fn scan(
        &self,
        state: &mut State,
        ticket: Option<String>,
        url: Option<String>,
        scene: Option<String>,
    ) -> Result<Done, Refusal> {
        let now = self.platform.now();
        let codes = &mut state.accounts[self.account].codes;
        let ticket = match (ticket, url, scene) {
            (Some(ticket), None, None) => ticket,
            (None, Some(url), None) => {
                codes.ticket_of(&url).ok_or(Refusal::Unknown("不是本公众号的二维码"))?
            }
            (None, None, Some(scene)) if (1..=64).contains(&scene.chars().count()) => {
                codes.add(self.platform, scene, None)
            }
            _ => return Err(Refusal::Value("请给出 ticket、url 或 1 至 64 个字的 scene 之一")),
        };
        let code = codes.scan(&ticket, now).ok_or(Refusal::Unknown("二维码不存在或已过期"))?;
        if state.follower(self.account, self.openid).is_some_and(|follower| !follower.following) {
            return self.follow(state, Some(ticket), None, None);
        }
        self.buy(state, Bought::Tap);
        let account = &state.accounts[self.account];
        let xml = event(account, self.openid, self.at, "SCAN")
            .text("EventKey", &code.scene)
            .text("Ticket", &ticket);
        let draft = Draft::new(Direction::System, "scan", "扫描了二维码");
        let kind = "SCAN".to_owned();
        Ok(self.push(state, Act { draft, scene: Scene::Event, msg_id: None, kind, xml }))
    }

    fn subscribe(&self, state: &mut State, list: Vec<NoticeChoice>) -> Result<Done, Refusal> {
        if !(1..=NOTICES_ASKED_MAX).contains(&list.len()) {
            return Err(Refusal::Value("一次询问 1 到 5 个订阅通知"));
        }
        let notices = &state.accounts[self.account].notices;
        let mut chosen = Vec::with_capacity(list.len());
        for NoticeChoice { template_id, accept, .. } in &list {
            let is_long_term = notices.is_long_term(template_id);
            let is_long_term = is_long_term.ok_or(Refusal::Unknown("没有这个订阅通知模板"))?;
            chosen.push((template_id.clone(), *accept, is_long_term));
        }
        self.switch(state, |follower| {
            for (template_id, accept, is_long_term) in chosen {
                let granted = follower.subscriptions.entry(template_id).or_default();
                *granted = match (accept, is_long_term) {
                    (true, true) => 1,
                    (true, false) => granted.saturating_add(1),
                    (false, true) => 0,
                    (false, false) => *granted,
                };
            }
        });
        let event = PlatformEvent::SubscribeMsgPopupEvent { list };
        let entry = self.platform.push_event(state, self.account, self.openid, &event);
        Ok(Done { entry, open: None })
    }

    fn tap_link(&self, state: &mut State, href: &str) -> Result<Done, Refusal> {
        let url = Url::parse(href).map_err(|_| Refusal::Value("链接无法解析"))?;
        match (url.scheme(), url.host_str()) {
            ("http" | "https", _) => Ok(Done { entry: None, open: Some(href.to_owned()) }),
            ("weixin", Some("bizmsgmenu")) => {
                let field = |name: &str| {
                    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
                };
                let content = field("msgmenucontent").ok_or(Refusal::Value("链接缺少 msgmenucontent"))?;
                self.say_item(state, &content, &field("msgmenuid").unwrap_or_default())
            }
            _ => Err(Refusal::Value("微信不会打开这种链接")),
        }
    }

    fn tap_msgmenu(&self, state: &mut State, entry: u64, id: &str) -> Result<Done, Refusal> {
        let follower = state.follower(self.account, self.openid);
        let entry = follower.and_then(|follower| follower.timeline.get(entry));
        let items = entry.and_then(|entry| entry.detail["list"].as_array());
        let item = items.and_then(|items| items.iter().find(|item| item["id"] == id));
        let words = item.and_then(|item| item["content"].as_str()).map(str::to_owned);
        self.say_item(state, &words.ok_or(Refusal::Unknown("菜单消息里没有这一项"))?, id)
    }

    /// A tapped item arrives as a text message, but buys what a menu click buys.
    fn say_item(&self, state: &mut State, content: &str, id: &str) -> Result<Done, Refusal> {
        check_text(content)?;
        self.buy(state, Bought::Tap);
        let msg_id = state.next_message_id();
        let account = &state.accounts[self.account];
        let xml =
            envelope(account, self.openid, self.at, "text").text("Content", content).text("bizmsgmenuid", id);
        let draft = Draft::new(Direction::Follower, "text", content);
        let kind = "text".to_owned();
        Ok(self.push(state, Act { draft, scene: Scene::Message, msg_id: Some(msg_id), kind, xml }))
    }

    fn tap_template(&self, state: &mut State, entry: u64) -> Result<Done, Refusal> {
        let follower = state.follower(self.account, self.openid);
        let entry = follower.and_then(|follower| follower.timeline.get(entry));
        let entry = entry.filter(|entry| entry.kind == "template" && !entry.hidden);
        let entry = entry.ok_or(Refusal::Unknown("没有这条模板消息"))?;
        Ok(Done { entry: None, open: entry.detail["url"].as_str().map(str::to_owned) })
    }

    pub(super) fn push(&self, state: &mut State, act: Act) -> Done {
        let Act { draft, scene, msg_id, kind, xml } = act;
        let xml = match msg_id {
            Some(id) => xml.number("MsgId", id).finish(),
            None => xml.finish(),
        };
        let now = self.platform.now();
        let served = scene == Scene::Message
            && state.follower(self.account, self.openid).is_some_and(|follower| follower.is_served(now));
        if served {
            // An agent of the platform's own has it: the server does not see it.
            return Done { entry: state.show(self.account, self.openid, self.at, draft), open: None };
        }
        let draft = draft.push(msg_id.map(|id| id.to_string()), xml.clone());
        let entry = state.show(self.account, self.openid, self.at, draft);
        if let (Some(entry), Some(follower)) = (entry, state.follower(self.account, self.openid)) {
            follower.exchanged_at = Some(now);
            let turn = follower.take_turn();
            let openid = self.openid.to_owned();
            let step = Some(self.step);
            let push =
                Push { account: self.account, openid, entry, kind, xml, scene, turn, step, done: None };
            let fault = state.take_push_fault(&push);
            self.platform.send_push(push, fault);
        }
        Done { entry, open: None }
    }
}

pub(super) fn check_text(text: &str) -> Result<(), Refusal> {
    let length = text.chars().count();
    let typed = |character: char| !character.is_control() || matches!(character, '\n' | '\t' | '\r');
    if !(1..=TEXT_CHARS_MAX).contains(&length) || !text.chars().all(typed) {
        return Err(Refusal::Value("文字应为 1 至 2048 个可显示的字"));
    }
    Ok(())
}

/// A follower's own entry.
pub(super) fn said(kind: &str, text: &str, detail: Value) -> Draft {
    Draft::new(Direction::Follower, kind, text).detail(detail)
}
