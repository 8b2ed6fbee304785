//! What the server's passive reply says, read strictly. WeChat shows its notice for anything else.

use serde_json::{Value, json};

use super::envelope::signature;
use super::platform::Account;
use super::push::Scene;
use super::xml::{self, Element};
use crate::config::Encryption;
use crate::domain::time::UnixMs;

const TEXT_BYTES_MAX: usize = 2048;

/// A reply that may be shown.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply {
    /// The bubble's kind.
    pub(crate) kind: String,
    /// Its words.
    pub(crate) text: String,
    /// What the kind needs besides.
    pub(crate) detail: Value,
    /// Nothing to see: the message went to another system.
    pub(crate) hidden: bool,
}

/// Takes the envelope off. `None`: the account has nothing to say.
pub(crate) fn open(account: &Account, body: &str) -> Result<Option<String>, String> {
    if body.is_empty() || body == "success" {
        return Ok(None);
    }
    let root = root(body)?;
    let sealed = root.child("Encrypt").is_some();
    match (account.settings.encryption, sealed) {
        (Encryption::Plain, true) => Err("明文模式下收到加密应答".to_owned()),
        (Encryption::Safe, false) => Err("安全模式下收到未加密应答".to_owned()),
        (_, false) => Ok(Some(body.to_owned())),
        (_, true) => unseal(account, &root).map(Some),
    }
}

fn unseal(account: &Account, root: &Element) -> Result<String, String> {
    only(root, &["Encrypt", "MsgSignature", "TimeStamp", "Nonce"], &[])?;
    let field = |name: &str| root.text_of(name).unwrap_or_default();
    let (encrypted, timestamp, nonce) = (field("Encrypt"), field("TimeStamp"), field("Nonce"));
    if timestamp.is_empty() || !timestamp.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("TimeStamp 不是整数".to_owned());
    }
    if field("MsgSignature") != signature(&[account.settings.token.reveal(), timestamp, nonce, encrypted]) {
        return Err("MsgSignature 不正确".to_owned());
    }
    let cipher = account.cipher.as_ref().ok_or("账号没有 EncodingAESKey")?;
    cipher.open(encrypted).map_err(str::to_owned)
}

/// What a reply is held to.
pub(crate) struct Expected<'a> {
    /// Whom it must go to.
    pub(crate) openid: &'a str,
    /// What it answers.
    pub(crate) scene: Scene,
    /// The platform's time, by which media grow old.
    pub(crate) now: UnixMs,
}

/// Reads the reply's XML.
pub(crate) fn read(account: &Account, expected: &Expected<'_>, document: &str) -> Result<Reply, String> {
    let media = |element: &Element, name: &str, kind: &str| {
        let id = element.text_of(name).unwrap_or_default();
        let fits = account.media.fits(id, kind, expected.now);
        if fits {
            Ok(id.to_owned())
        } else {
            Err(format!("{name} 没有对应的素材，或素材已过期、类型不符"))
        }
    };
    let root = root(document)?;
    let text = |name: &str| root.text_of(name).unwrap_or_default();
    if text("ToUserName") != expected.openid {
        return Err("ToUserName 不是该用户的 OpenID".to_owned());
    }
    if text("FromUserName") != account.settings.original_id {
        return Err("FromUserName 不是公众号的原始 ID".to_owned());
    }
    if text("CreateTime").is_empty() || !text("CreateTime").bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("CreateTime 不是整数".to_owned());
    }
    match text("MsgType") {
        "text" => {
            exactly(&root, &["Content"])?;
            let content = text("Content");
            match content.len() {
                0 => Err("Content 为空".to_owned()),
                length if length > TEXT_BYTES_MAX => Err(format!("Content 有 {length} 字节，超过 2048")),
                _ => Ok(shown("text", content, Value::Null)),
            }
        }
        "image" => {
            let media = media(inner(&root, "Image", &["MediaId"], &[])?, "MediaId", "image")?;
            Ok(shown("image", "[图片]", json!({ "media_id": media })))
        }
        "voice" => {
            let media = media(inner(&root, "Voice", &["MediaId"], &[])?, "MediaId", "voice")?;
            Ok(shown("voice", "[语音]", json!({ "media_id": media })))
        }
        "video" => {
            let video = inner(&root, "Video", &["MediaId"], &["Title", "Description"])?;
            let media = media(video, "MediaId", "video")?;
            let detail = json!({
                "media_id": media,
                "title": video.text_of("Title"),
                "description": video.text_of("Description"),
            });
            Ok(shown("video", "[视频]", detail))
        }
        "music" => music(&root, media),
        "news" => news(&root, expected.scene),
        "transfer_customer_service" => {
            only(&root, &ENVELOPE, &["TransInfo"])?;
            if let Some(info) = root.child("TransInfo") {
                only(info, &["KfAccount"], &[])?;
            }
            Ok(Reply { hidden: true, ..shown("transfer", "已转接到微信客服系统", Value::Null) })
        }
        "transfer_biz_ai_ivr" => {
            only(&root, &ENVELOPE, &[])?;
            Ok(Reply { hidden: true, ..shown("transfer", "已转接到微信智能回复", Value::Null) })
        }
        other => Err(format!("未知的 MsgType：{other}")),
    }
}

fn music(
    root: &Element,
    media: impl Fn(&Element, &str, &str) -> Result<String, String>,
) -> Result<Reply, String> {
    let optional = ["Title", "Description", "MusicUrl", "HQMusicUrl"];
    let music = inner(root, "Music", &["ThumbMediaId"], &optional)?;
    let detail = json!({
        "thumb_media_id": media(music, "ThumbMediaId", "thumb")?,
        "title": music.text_of("Title"),
        "description": music.text_of("Description"),
        "url": music.text_of("HQMusicUrl").or(music.text_of("MusicUrl")),
    });
    Ok(shown("music", music.text_of("Title").unwrap_or("[音乐]"), detail))
}

fn news(root: &Element, scene: Scene) -> Result<Reply, String> {
    exactly(root, &["ArticleCount", "Articles"])?;
    let items = root.child("Articles").map(|articles| articles.children.as_slice()).unwrap_or_default();
    let articles_max = if scene == Scene::Message { 1 } else { 8 };
    if items.is_empty() || items.len() > articles_max {
        return Err(format!("图文有 {} 条，此场景最多 {articles_max} 条", items.len()));
    }
    if root.text_of("ArticleCount") != Some(items.len().to_string().as_str()) {
        return Err("ArticleCount 与 item 数目不符".to_owned());
    }
    let mut articles = Vec::with_capacity(items.len());
    for item in items {
        if item.name != "item" {
            return Err(format!("Articles 内不应有 {}", item.name));
        }
        only(item, &["Title", "Description", "PicUrl", "Url"], &[])?;
        articles.push(json!({
            "title": item.text_of("Title"),
            "description": item.text_of("Description"),
            "picurl": item.text_of("PicUrl"),
            "url": item.text_of("Url"),
        }));
    }
    let title = items.first().and_then(|item| item.text_of("Title")).unwrap_or_default();
    Ok(shown("news", title, json!({ "articles": articles })))
}

const ENVELOPE: [&str; 4] = ["ToUserName", "FromUserName", "CreateTime", "MsgType"];

fn root(document: &str) -> Result<Element, String> {
    let root = xml::parse(document)?;
    if root.name != "xml" { Err("根元素不是 xml".to_owned()) } else { Ok(root) }
}

fn shown(kind: &str, text: &str, detail: Value) -> Reply {
    Reply { kind: kind.to_owned(), text: text.to_owned(), detail, hidden: false }
}

/// The envelope's elements and these.
fn exactly(root: &Element, own: &[&str]) -> Result<(), String> {
    only(root, &[&ENVELOPE, own].concat(), &[])
}

/// The element that holds a kind's own fields, checked.
fn inner<'a>(
    root: &'a Element,
    name: &str,
    required: &[&str],
    optional: &[&str],
) -> Result<&'a Element, String> {
    exactly(root, &[name])?;
    let element = root.child(name).ok_or_else(|| format!("缺少 {name}"))?;
    only(element, required, optional)?;
    Ok(element)
}

/// Each required element once, each optional one at most once, no other.
fn only(element: &Element, required: &[&str], optional: &[&str]) -> Result<(), String> {
    let count = |name: &str| element.children.iter().filter(|child| child.name == name).count();
    if let Some(missing) = required.iter().find(|name| count(name) == 0) {
        return Err(format!("缺少 {missing}"));
    }
    for child in &element.children {
        if !required.contains(&child.name.as_str()) && !optional.contains(&child.name.as_str()) {
            return Err(format!("不应有 {}", child.name));
        }
        if count(&child.name) > 1 {
            return Err(format!("{} 重复", child.name));
        }
    }
    Ok(())
}
