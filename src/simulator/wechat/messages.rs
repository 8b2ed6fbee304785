//! What a follower sends: messages of every type, and what his menu sends for him.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use super::actions::{Act, Action, Actor, Done, Refusal, check_text, said};
use super::allowance::Bought;
use super::api::menu::{self, Button};
use super::platform::{Account, State};
use super::push::{Scene, envelope, event};
use super::timeline::{Direction, Draft, Source};
use super::xml::Writer;
use crate::simulator::recordings;

/// The place that a menu's location button sends.
const PLACE: (&str, &str, &str) = ("31.230416", "121.473701", "示例市示例路 1 号");
/// What a menu's scan button reads when nobody says what.
const SCANNED: &str = "SIM-0001";
const FILE_BYTES: u32 = 20_480;

impl Actor<'_> {
    pub(super) fn message(&self, state: &mut State, action: Action) -> Result<Done, Refusal> {
        let msg_id = state.next_message_id();
        let account = &mut state.accounts[self.account];
        let (draft, kind, xml) = self.message_parts(account, action)?;
        self.buy(state, Bought::Message);
        let kind = kind.to_owned();
        Ok(self.push(state, Act { draft, scene: Scene::Message, msg_id: Some(msg_id), kind, xml }))
    }

    fn message_parts(
        &self,
        account: &mut Account,
        action: Action,
    ) -> Result<(Draft, &'static str, Writer), Refusal> {
        let begin = |account: &Account, kind| envelope(account, self.openid, self.at, kind);
        Ok(match action {
            Action::Text { text, article } => {
                check_text(&text)?;
                let xml = begin(account, "text").text("Content", &text);
                let xml = match article {
                    Some(from) => xml.text("MsgDataId", &from.data_id).number("Idx", from.index),
                    None => xml,
                };
                (said("text", &text, Value::Null), "text", xml)
            }
            Action::Image { data_base64 } => {
                let id = self.keep(account, "image", data_base64)?;
                let picture = format!("{}sim/media/{id}", self.platform.own_url());
                let xml = begin(account, "image").text("PicUrl", &picture).text("MediaId", &id);
                (said("image", "[图片]", json!({ "media_id": id })), "image", xml)
            }
            Action::Voice { recognition, format, data_base64, sample } => {
                let format = format.as_deref().unwrap_or("amr");
                if !matches!(format, "amr" | "speex") {
                    return Err(Refusal::Value("语音格式应为 amr 或 speex"));
                }
                let wide = sample.and_then(recordings::wide_sample);
                let data_base64 = match (data_base64, sample.map(recordings::sample)) {
                    (_, Some(None)) => return Err(Refusal::Value("没有这个编号的样本录音")),
                    (None, Some(Some(recording))) => Some(STANDARD.encode(recording)),
                    (data_base64, _) => data_base64,
                };
                let id = self.keep(account, "voice", data_base64)?;
                let xml = begin(account, "voice").text("MediaId", &id).text("Format", format);
                let xml = match format {
                    "amr" => xml.text("MediaId16K", &account.media.receive_wide_voice(self.platform, wide)),
                    _ => xml,
                };
                let detail = json!({ "media_id": id, "recognition": recognition });
                let xml = match &recognition {
                    Some(words) => xml.text("Recognition", words),
                    None => xml,
                };
                (said("voice", "[语音]", detail), "voice", xml)
            }
            Action::Video { data_base64 } => self.film(account, "video", data_base64)?,
            Action::Shortvideo => self.film(account, "shortvideo", None)?,
            Action::File { title, description } => self.file(account, &title, description),
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
                (said("location", &label, detail), "location", xml)
            }
            Action::Link { title, description, url } => {
                let xml = begin(account, "link")
                    .text("Title", &title)
                    .text("Description", &description)
                    .text("Url", &url);
                (said("link", &title, json!({ "description": description, "url": url })), "link", xml)
            }
            _ => return Err(Refusal::Value("不是消息")),
        })
    }

    fn keep(&self, account: &mut Account, kind: &str, data: Option<String>) -> Result<String, Refusal> {
        let kept = account.media.receive(self.platform, kind, data);
        kept.ok_or(Refusal::Value("文件过大，或格式不是微信所接受的"))
    }

    fn film(
        &self,
        account: &mut Account,
        kind: &'static str,
        data: Option<String>,
    ) -> Result<(Draft, &'static str, Writer), Refusal> {
        let id = self.keep(account, "video", data)?;
        let thumb = self.keep(account, "thumb", None)?;
        let xml = envelope(account, self.openid, self.at, kind);
        let xml = xml.text("MediaId", &id).text("ThumbMediaId", &thumb);
        let words = if kind == "video" { "[视频]" } else { "[小视频]" };
        Ok((said(kind, words, json!({ "media_id": id, "thumb_media_id": thumb })), kind, xml))
    }

    fn file(
        &self,
        account: &Account,
        title: &str,
        description: Option<String>,
    ) -> (Draft, &'static str, Writer) {
        let digest: String = hex::encode(Sha1::digest(title.as_bytes())).chars().take(32).collect();
        let xml = envelope(account, self.openid, self.at, "file")
            .text("Title", title)
            .text("Description", description.as_deref().unwrap_or_default())
            .text("FileKey", &self.platform.random_text::<36>())
            .text("FileMd5", &digest)
            .number("FileTotalLen", FILE_BYTES);
        (said("file", title, json!({ "description": description, "bytes": FILE_BYTES })), "file", xml)
    }

    pub(super) fn report_location(
        &self,
        state: &mut State,
        latitude: &str,
        longitude: &str,
        precision: &str,
    ) -> Result<Done, Refusal> {
        if ![latitude, longitude, precision].into_iter().all(is_decimal) {
            return Err(Refusal::Value("经纬度与精度应为小数"));
        }
        let xml = event(&state.accounts[self.account], self.openid, self.at, "LOCATION")
            .number("Latitude", latitude)
            .number("Longitude", longitude)
            .number("Precision", precision);
        let draft = Draft::new(Direction::System, "event", "上报了地理位置").hidden(true);
        let kind = "LOCATION".to_owned();
        Ok(self.push(state, Act { draft, scene: Scene::Event, msg_id: None, kind, xml }))
    }

    pub(super) fn menu(
        &self,
        state: &mut State,
        path: Option<Vec<usize>>,
        key: Option<String>,
        scan_result: Option<String>,
    ) -> Result<Done, Refusal> {
        let (button, menu_id) = self.button(state, path, key)?;
        let account = &state.accounts[self.account];
        let start = |name: &str| event(account, self.openid, self.at, name).text("EventKey", button.target());
        let scan = |xml: Writer| {
            let result = scan_result.as_deref().unwrap_or(SCANNED);
            xml.nested("ScanCodeInfo", |info| info.text("ScanType", "qrcode").text("ScanResult", result))
        };
        let (scene, name, bought, xml) = match button.kind.as_str() {
            "click" => (Scene::Event, "CLICK", true, start("CLICK")),
            "scancode_push" => (Scene::Event, "scancode_push", true, scan(start("scancode_push"))),
            "scancode_waitmsg" => (Scene::Event, "scancode_waitmsg", true, scan(start("scancode_waitmsg"))),
            "view" => (Scene::Quiet, "VIEW", false, start("VIEW").number("MenuId", menu_id)),
            "miniprogram" => {
                let xml = start("view_miniprogram").number("MenuId", menu_id);
                (Scene::Quiet, "view_miniprogram", false, xml)
            }
            name @ ("pic_sysphoto" | "pic_photo_or_album" | "pic_weixin") => {
                (Scene::Quiet, name, false, pictures(start(name)))
            }
            "location_select" => (Scene::Quiet, "location_select", false, place(start("location_select"))),
            _ => return self.published(state, &button),
        };
        let kind = name.to_owned();
        if bought {
            self.buy(state, Bought::Tap);
        }
        let draft =
            Draft::new(Direction::Follower, "menu", format!("点击菜单：{}", button.name)).hidden(true);
        let done = self.push(state, Act { draft, scene, msg_id: None, kind, xml });
        self.after_menu(state, &button)?;
        let open = (button.kind == "view").then_some(button.url);
        Ok(Done { open, ..done })
    }

    fn button(
        &self,
        state: &State,
        path: Option<Vec<usize>>,
        key: Option<String>,
    ) -> Result<(Button, u64), Refusal> {
        let account = &state.accounts[self.account];
        let follower = account.followers.get(self.openid);
        let menu = follower.and_then(|follower| account.menu.of(follower));
        let (buttons, id) = menu.ok_or(Refusal::Unknown("公众号没有菜单"))?;
        let button = match (path, key) {
            (Some(path), None) => menu::button_at(buttons, &path),
            (None, Some(key)) => menu::button_with_key(buttons, &key),
            _ => return Err(Refusal::Value("请给出 path 或 key 之一")),
        };
        Ok((button.ok_or(Refusal::Unknown("菜单里没有这个按钮"))?, id))
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

    /// Media and articles come from the platform itself; the server hears nothing.
    fn published(&self, state: &mut State, button: &Button) -> Result<Done, Refusal> {
        let draft = match button.kind.as_str() {
            "media_id" => {
                let library = &state.accounts[self.account].media;
                let file = library.get(&button.media_id, self.platform.now());
                let kind = file.ok_or(Refusal::Unknown("素材已不存在"))?.kind.clone();
                Draft::new(Direction::Account, &kind, "[素材]").detail(json!({ "media_id": button.media_id }))
            }
            _ => Draft::new(Direction::Account, "link", "[图文]")
                .detail(json!({ "description": button.article_id })),
        };
        let draft = draft.sent_as(Source::Menu, None);
        Ok(Done { entry: state.show(self.account, self.openid, self.at, draft), open: None })
    }
}

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

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    whole.len() <= 3 && part.len() <= 8 && all_digits(whole) && all_digits(part)
}
