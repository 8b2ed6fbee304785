//! WeChat's side of the webhook, driven delivery by delivery. Signs and encrypts with code of its own.

use aes::Aes256;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use sha1::{Digest as _, Sha1};
use weikefu::clock::{Clock as _, SystemClock};

/// As `world::configuration_text` has them.
pub(crate) const TOKEN: &str = "it-token";
pub(crate) const AES_KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
pub(crate) const APP_ID: &str = "wx0123456789abcdef";
pub(crate) const ORIGINAL_ID: &str = "gh_0123456789ab";

const LOOSE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);
const BLOCK_BYTES: usize = 32;
const HEAD_BYTES: usize = 20;

/// What came back for one delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    /// The body as it came.
    pub(crate) fn raw(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Whether it is the word that says nothing.
    pub(crate) fn is_success(&self) -> bool {
        self.status == 200 && self.body == b"success"
    }

    /// The text of the reply; panics where there is none.
    pub(crate) fn text(&self) -> String {
        let raw = self.raw();
        let xml = match element(&raw, "Encrypt") {
            Some(sealed) => unsealed(sealed),
            None => raw.clone(),
        };
        let content = element(&xml, "Content").unwrap_or_else(|| panic!("no text: {} {raw}", self.status));
        content.to_owned()
    }
}

/// The platform, towards one account of one server.
#[derive(Clone)]
pub(crate) struct Wechat {
    pub(crate) http: reqwest::Client,
    /// `http://…/wechat/card`
    pub(crate) url: String,
    /// In safe mode; else in plain mode.
    pub(crate) is_safe: bool,
}

impl Wechat {
    /// Delivers a push once, with a fresh timestamp and nonce.
    pub(crate) async fn deliver(&self, xml: &str) -> Answered {
        self.try_deliver(xml).await.unwrap()
    }

    /// Delivers a push once; an error where the server does not live.
    pub(crate) async fn try_deliver(&self, xml: &str) -> reqwest::Result<Answered> {
        let (query, body) = if self.is_safe { safe(xml) } else { plain(xml) };
        self.send(&query, body).await
    }

    /// Sends any query and body.
    pub(crate) async fn send(
        &self,
        query: &str,
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Answered> {
        let request = self.http.post(format!("{}?{query}", self.url)).header("content-type", "text/xml");
        let answer = request.body(body).send().await?;
        Ok(Answered { status: answer.status().as_u16(), body: answer.bytes().await?.to_vec() })
    }
}

/// Seconds, as the query carries them.
pub(crate) fn timestamp() -> String {
    SystemClock.now().seconds().to_string()
}

/// Query and body of a genuine call in plain mode.
pub(crate) fn plain(xml: &str) -> (String, String) {
    (plain_query(&timestamp()), xml.to_owned())
}

/// A genuine query in plain mode, signed at this time.
pub(crate) fn plain_query(timestamp: &str) -> String {
    let signature = signature(&[TOKEN, timestamp, "nonce"]);
    format!("signature={signature}&timestamp={timestamp}&nonce=nonce&openid=o")
}

/// Query and body of a genuine call in safe mode.
pub(crate) fn safe(xml: &str) -> (String, String) {
    carrying(&sealed(xml.as_bytes(), APP_ID), &timestamp())
}

/// Query and body that carry this ciphertext, signed at this time.
pub(crate) fn carrying(ciphertext: &str, timestamp: &str) -> (String, String) {
    let signature = signature(&[TOKEN, timestamp, "nonce", ciphertext]);
    let query = format!("{}&encrypt_type=aes&msg_signature={signature}", plain_query(timestamp));
    let body = format!(
        "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><Encrypt><![CDATA[{ciphertext}]]></Encrypt></xml>"
    );
    (query, body)
}

pub(crate) fn signature(parts: &[&str]) -> String {
    let mut sorted = parts.to_vec();
    sorted.sort_unstable();
    hex::encode(Sha1::digest(sorted.concat()))
}

/// The envelope of these bytes.
pub(crate) fn sealed(message: &[u8], app_id: &str) -> String {
    let mut clear = b"0123456789abcdef".to_vec();
    clear.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    clear.extend(message);
    clear.extend(app_id.as_bytes());
    let padding = BLOCK_BYTES - clear.len() % BLOCK_BYTES;
    clear.resize(clear.len() + padding, u8::try_from(padding).unwrap());
    encrypted(&clear)
}

/// Whole blocks, encrypted as they are: also with a padding that is none.
pub(crate) fn encrypted(clear: &[u8]) -> String {
    let key: [u8; 32] = LOOSE.decode(AES_KEY).unwrap().try_into().unwrap();
    let iv: [u8; 16] = *key.first_chunk().unwrap();
    STANDARD
        .encode(cbc::Encryptor::<Aes256>::new(&key.into(), &iv.into()).encrypt_padded_vec::<NoPadding>(clear))
}

fn unsealed(ciphertext: &str) -> String {
    let key: [u8; 32] = LOOSE.decode(AES_KEY).unwrap().try_into().unwrap();
    let iv: [u8; 16] = *key.first_chunk().unwrap();
    let sealed = STANDARD.decode(ciphertext).unwrap();
    let opener = cbc::Decryptor::<Aes256>::new(&key.into(), &iv.into());
    let clear = opener.decrypt_padded_vec::<NoPadding>(&sealed).unwrap();
    let length = u32::from_be_bytes(*clear[16..].first_chunk().unwrap()) as usize;
    String::from_utf8(clear[HEAD_BYTES..HEAD_BYTES + length].to_vec()).unwrap()
}

/// The text of an element that stands once.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let from = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let inside = &xml[from..from + xml[from..].find(&format!("</{name}>"))?];
    Some(inside.strip_prefix("<![CDATA[").and_then(|rest| rest.strip_suffix("]]>")).unwrap_or(inside))
}

/// A push of this type, sent now.
pub(crate) fn push(openid: &str, message_type: &str, own: &str) -> String {
    push_at(openid, &timestamp(), message_type, own)
}

/// A push of this type with this `CreateTime`.
pub(crate) fn push_at(openid: &str, created: &str, message_type: &str, own: &str) -> String {
    format!(
        "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>\
         <CreateTime>{created}</CreateTime><MsgType><![CDATA[{message_type}]]></MsgType>{own}</xml>"
    )
}

/// A text message with this `MsgId`.
pub(crate) fn text(openid: &str, message_id: u64, words: &str) -> String {
    push(openid, "text", &format!("<Content><![CDATA[{words}]]></Content><MsgId>{message_id}</MsgId>"))
}

/// An event; `own` holds what stands beside `Event`.
pub(crate) fn event(openid: &str, created: &str, name: &str, own: &str) -> String {
    push_at(openid, created, "event", &format!("<Event><![CDATA[{name}]]></Event>{own}"))
}
