//! What a follower can do with his phone. Each action becomes an entry in the chat and a push to the server.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::allowance::Bought;
use super::api::menu::Button;
use super::platform::{Account, Platform, State};
use super::push::{PUSHES_MAX, Push, Scene, envelope, event};
use super::timeline::{Direction, Draft};
use super::xml::Writer;
use crate::domain::time::UnixMs;

const TEXT_CHARS_MAX: usize = 2048;

/// One thing a follower does.
#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Action {
    /// Follows; by a parametric code when `ticket` is given.
    Follow { ticket: Option<String> },
    /// Stops following.
    Unfollow,
    /// Refuses, or accepts again, the account's messages.
    Block { blocked: bool },
    /// Opens pages as a snapshot user, or no longer.
    Snapshot { snapshot: bool },
    /// Says something.
    Text { text: String },
    /// Sends a picture; a tiny one without `data_base64`.
    Image { data_base64: Option<String> },
    /// Sends a voice message; `recognition` is what the old speech-to-text field would hold.
    Voice { recognition: Option<String> },
    /// Sends a video.
    Video,
    /// Sends a place; decimals as text.
    Location { latitude: String, longitude: String, label: String },
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
    /// Too many pushes are under way.
    Busy,
}

/// Who acts.
struct Actor<'a> {
    platform: &'a Arc<Platform>,
    account: usize,
    openid: &'a str,
    at: UnixMs,
}

/// An entry with its push, ready to go.
struct Act {
    draft: Draft,
    scene: Scene,
    msg_id: Option<u64>,
    xml: Writer,
}

impl Platform {
    /// Lets a follower act.
    pub(crate) fn act(
        self: &Arc<Self>,
        account: usize,
        openid: &str,
        action: Action,
    ) -> Result<Done, Refusal> {
        if self.pushes_under_way() >= PUSHES_MAX {
            return Err(Refusal::Busy);
        }
        let mut state = self.state();
        let following = state.follower(account, openid).ok_or(Refusal::Unknown("没有这个关注者"))?.following;
        let actor = Actor { platform: self, account, openid, at: self.true_now() };
        match action {
            Action::Follow { ticket } => actor.follow(&mut state, ticket),
            Action::Scan { ticket, url, scene } => actor.scan(&mut state, ticket, url, scene),
            Action::Snapshot { snapshot } => {
                actor.switch(&mut state, |follower| follower.snapshot = snapshot);
                Ok(Done::default())
            }
            _ if !following => Err(Refusal::State("尚未关注该公众号")),
            Action::Unfollow => Ok(actor.unfollow(&mut state)),
            Action::Block { blocked } => {
                actor.switch(&mut state, |follower| follower.blocked = blocked);
                Ok(Done::default())
            }
            Action::Menu { path, key, scan_result } => actor.menu(&mut state, path, key, scan_result),
            Action::TapLink { href } => actor.tap_link(&mut state, &href),
            Action::TapMsgmenu { entry, id } => actor.tap_msgmenu(&mut state, entry, &id),
            Action::TapTemplate { entry } => actor.tap_template(&mut state, entry),
            message => actor.message(&mut state, message),
        }
    }
}

impl Actor<'_> {
    fn switch(&self, state: &mut State, change: impl FnOnce(&mut super::platform::Follower)) {
        if let Some(follower) = state.follower(self.account, self.openid) {
            change(follower);
        }
        state.touch(self.account, self.openid);
    }

    fn follow(&self, state: &mut State, ticket: Option<String>) -> Result<Done, Refusal> {
        if state.follower(self.account, self.openid).is_some_and(|follower| follower.following) {
            return Err(Refusal::State("已经关注"));
        }
        let scene = match &ticket {
            Some(ticket) => {
                let code = state.accounts[self.account].codes.scan(ticket, self.platform.now());
                Some(code.ok_or(Refusal::Unknown("二维码不存在或已过期"))?.scene)
            }
            None => None,
        };
        let (at, now) = (self.at, self.platform.now());
        self.switch(state, |follower| {
            follower.following = true;
            follower.blocked = false;
            follower.followed_at = Some(at);
            follower.scene = scene.clone().unwrap_or_default();
            follower.allowance.buy(Bought::ByTap, now);
        });
        let start = event(&state.accounts[self.account], self.openid, at, "subscribe");
        let xml = match (&scene, &ticket) {
            (Some(scene), Some(ticket)) => {
                start.text("EventKey", &format!("qrscene_{scene}")).text("Ticket", ticket)
            }
            _ => start.text("EventKey", ""),
        };
        let words = if ticket.is_some() { "扫码关注了公众号" } else { "关注了公众号" };
        let draft = Draft::new(Direction::System, "follow", words);
        Ok(self.push(state, Act { draft, scene: Scene::Event, msg_id: None, xml }))
    }

    fn unfollow(&self, state: &mut State) -> Done {
        self.switch(state, |follower| {
            follower.following = false;
            follower.followed_at = None;
            follower.typing_until = None;
            follower.allowance.forget();
        });
        let account = &state.accounts[self.account];
        let xml = event(account, self.openid, self.at, "unsubscribe").text("EventKey", "");
        let draft = Draft::new(Direction::System, "follow", "取消了关注");
        self.push(state, Act { draft, scene: Scene::Quiet, msg_id: None, xml })
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
            return self.follow(state, Some(ticket));
        }
        self.switch(state, |follower| follower.allowance.buy(Bought::ByTap, now));
        let account = &state.accounts[self.account];
        let xml = event(account, self.openid, self.at, "SCAN")
            .text("EventKey", &code.scene)
            .text("Ticket", &ticket);
        let draft = Draft::new(Direction::System, "scan", "扫描了二维码");
        Ok(self.push(state, Act { draft, scene: Scene::Event, msg_id: None, xml }))
    }

    fn message(&self, state: &mut State, action: Action) -> Result<Done, Refusal> {
        let now = self.platform.now();
        self.switch(state, |follower| follower.allowance.buy(Bought::ByMessage, now));
        let msg_id = state.next_message_id();
        let account = &mut state.accounts[self.account];
        let (draft, xml) = self.message_parts(account, action)?;
        Ok(self.push(state, Act { draft, scene: Scene::Message, msg_id: Some(msg_id), xml }))
    }

    fn message_parts(&self, account: &mut Account, action: Action) -> Result<(Draft, Writer), Refusal> {
        let draft = |kind: &str, text: &str, detail: Value| {
            Draft::new(Direction::Follower, kind, text).detail(detail)
        };
        let keep = |account: &mut Account, kind, data| {
            account.media.receive(self.platform, kind, data).ok_or(Refusal::Value("文件过大"))
        };
        let begin = |account: &Account, kind| envelope(account, self.openid, self.at, kind);
        Ok(match action {
            Action::Text { text } => {
                check_text(&text)?;
                (draft("text", &text, Value::Null), begin(account, "text").text("Content", &text))
            }
            Action::Image { data_base64 } => {
                let id = keep(account, "image", data_base64)?;
                let picture = format!("{}sim/media/{id}", self.platform.own_url());
                let xml = begin(account, "image").text("PicUrl", &picture).text("MediaId", &id);
                (draft("image", "[图片]", json!({ "media_id": id })), xml)
            }
            Action::Voice { recognition } => {
                let id = keep(account, "voice", None)?;
                let wide = keep(account, "voice", None)?;
                let xml = begin(account, "voice").text("MediaId", &id).text("Format", "amr");
                let xml = xml.text("MediaId16K", &wide);
                let detail = json!({ "media_id": id, "recognition": recognition });
                let xml = match &recognition {
                    Some(words) => xml.text("Recognition", words),
                    None => xml,
                };
                (draft("voice", "[语音]", detail), xml)
            }
            Action::Video => {
                let id = keep(account, "video", None)?;
                let thumb = keep(account, "thumb", None)?;
                let xml = begin(account, "video").text("MediaId", &id).text("ThumbMediaId", &thumb);
                (draft("video", "[视频]", json!({ "media_id": id })), xml)
            }
            Action::Location { latitude, longitude, label } => {
                if !is_decimal(&latitude) || !is_decimal(&longitude) {
                    return Err(Refusal::Value("经纬度应为小数"));
                }
                let xml = begin(account, "location")
                    .number("Location_X", &latitude)
                    .number("Location_Y", &longitude)
                    .number("Scale", 16)
                    .text("Label", &label);
                let detail = json!({ "latitude": latitude, "longitude": longitude });
                (draft("location", &label, detail), xml)
            }
            Action::Link { title, description, url } => {
                let xml = begin(account, "link")
                    .text("Title", &title)
                    .text("Description", &description)
                    .text("Url", &url);
                (draft("link", &title, json!({ "description": description, "url": url })), xml)
            }
            _ => return Err(Refusal::Value("不是消息")),
        })
    }

    fn menu(
        &self,
        state: &mut State,
        path: Option<Vec<usize>>,
        key: Option<String>,
        scan_result: Option<String>,
    ) -> Result<Done, Refusal> {
        let menu = &state.accounts[self.account].menu;
        let button = match (path, key) {
            (Some(path), None) => menu.at(&path),
            (None, Some(key)) => menu.with_key(&key),
            _ => return Err(Refusal::Value("请给出 path 或 key 之一")),
        };
        let button = button.ok_or(Refusal::Unknown("菜单里没有这个按钮"))?;
        let menu_id = menu.id();
        let account = &state.accounts[self.account];
        let start = |name: &str| event(account, self.openid, self.at, name).text("EventKey", button.target());
        let scan = |xml: Writer| {
            let result = scan_result.unwrap_or_else(|| "SIM-0001".to_owned());
            xml.nested("ScanCodeInfo", |info| info.text("ScanType", "qrcode").text("ScanResult", &result))
        };
        let (scene, bought, xml) = match button.kind.as_str() {
            "click" => (Scene::Event, true, start("CLICK")),
            "scancode_push" | "scancode_waitmsg" => (Scene::Event, true, scan(start(&button.kind))),
            "view" => (Scene::Quiet, false, start("VIEW").number("MenuId", menu_id)),
            "miniprogram" => (Scene::Quiet, false, start("view_miniprogram").number("MenuId", menu_id)),
            "pic_sysphoto" | "pic_photo_or_album" | "pic_weixin" => {
                (Scene::Quiet, false, pictures(start(&button.kind)))
            }
            "location_select" => (Scene::Quiet, false, place(start(&button.kind))),
            _ => return Err(Refusal::State("模拟器不支持这种按钮")),
        };
        let now = self.platform.now();
        if bought {
            self.switch(state, |follower| follower.allowance.buy(Bought::ByTap, now));
        }
        let draft =
            Draft::new(Direction::Follower, "menu", format!("点击菜单：{}", button.name)).hidden(true);
        let done = self.push(state, Act { draft, scene, msg_id: None, xml });
        self.after_menu(state, &button)?;
        let open = (button.kind == "view").then_some(button.url);
        Ok(Done { open, ..done })
    }

    /// Pictures and places follow their menu event as messages.
    fn after_menu(&self, state: &mut State, button: &Button) -> Result<(), Refusal> {
        let message = match button.kind.as_str() {
            "pic_sysphoto" | "pic_photo_or_album" | "pic_weixin" => Action::Image { data_base64: None },
            "location_select" => Action::Location {
                latitude: PLACE.0.to_owned(),
                longitude: PLACE.1.to_owned(),
                label: PLACE.2.to_owned(),
            },
            _ => return Ok(()),
        };
        self.message(state, message).map(|_| ())
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
        let now = self.platform.now();
        self.switch(state, |follower| follower.allowance.buy(Bought::ByTap, now));
        let msg_id = state.next_message_id();
        let account = &state.accounts[self.account];
        let xml =
            envelope(account, self.openid, self.at, "text").text("Content", content).text("bizmsgmenuid", id);
        let draft = Draft::new(Direction::Follower, "text", content);
        Ok(self.push(state, Act { draft, scene: Scene::Message, msg_id: Some(msg_id), xml }))
    }

    fn tap_template(&self, state: &mut State, entry: u64) -> Result<Done, Refusal> {
        let follower = state.follower(self.account, self.openid);
        let entry = follower.and_then(|follower| follower.timeline.get(entry));
        let entry = entry.filter(|entry| entry.kind == "template" && !entry.hidden);
        let entry = entry.ok_or(Refusal::Unknown("没有这条模板消息"))?;
        Ok(Done { entry: None, open: entry.detail["url"].as_str().map(str::to_owned) })
    }

    fn push(&self, state: &mut State, act: Act) -> Done {
        let Act { draft, scene, msg_id, xml } = act;
        let xml = match msg_id {
            Some(id) => xml.number("MsgId", id).finish(),
            None => xml.finish(),
        };
        let draft = draft.push(msg_id.map(|id| id.to_string()), xml.clone());
        let entry = state.show(self.account, self.openid, self.at, draft);
        let now = self.platform.now();
        if let (Some(entry), Some(follower)) = (entry, state.follower(self.account, self.openid)) {
            follower.exchanged_at = Some(now);
            let turn = follower.take_turn();
            let openid = self.openid.to_owned();
            self.platform.send_push(Push { account: self.account, openid, entry, xml, scene, turn });
        }
        Done { entry, open: None }
    }
}

/// The place that a menu's location button sends.
const PLACE: (&str, &str, &str) = ("31.230416", "121.473701", "示例市示例路 1 号");

fn pictures(xml: Writer) -> Writer {
    xml.nested("SendPicsInfo", |info| {
        info.number("Count", 1).nested("PicList", |list| {
            list.nested("item", |item| item.text("PicMd5Sum", "0cc175b9c0f1b6a831c399e269772661"))
        })
    })
}

fn place(xml: Writer) -> Writer {
    xml.nested("SendLocationInfo", |info| {
        info.text("Location_X", PLACE.0)
            .text("Location_Y", PLACE.1)
            .text("Scale", "16")
            .text("Label", PLACE.2)
            .text("Poiname", "")
    })
}

fn check_text(text: &str) -> Result<(), Refusal> {
    let length = text.chars().count();
    let typed = |character: char| !character.is_control() || matches!(character, '\n' | '\t' | '\r');
    if !(1..=TEXT_CHARS_MAX).contains(&length) || !text.chars().all(typed) {
        return Err(Refusal::Value("文字应为 1 至 2048 个可显示的字"));
    }
    Ok(())
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    whole.len() <= 3 && part.len() <= 8 && all_digits(whole) && all_digits(part)
}
