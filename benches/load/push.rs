//! Pushes as WeChat sends them in safe mode, and the opening of replies: code of its own, so that a fault of the
//! server's cannot hide on both sides.

use aes::Aes256;
use aes::cipher::block_padding::NoPadding;
use aes::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

pub(crate) const TOKEN: &str = "load-test-token";
pub(crate) const APP_ID: &str = "wxload0123456789ab";
pub(crate) const ORIGINAL_ID: &str = "gh_load01234567";
/// 43 characters, as `EncodingAESKey` is written.
pub(crate) const AES_KEY: &str = "bG9hZC10ZXN0LWtleS1sb2FkLXRlc3Qta2V5LTEyMzQ";
const PAD_BLOCK_BYTES: usize = 32;

/// What a follower does in the load test.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Types a keyword.
    Keyword,
    /// Taps a menu entry.
    Menu,
}

/// One push, ready to be written to a connection.
pub(crate) struct Push {
    /// The whole HTTP request.
    pub(crate) request: Vec<u8>,
    /// Whose it is.
    pub(crate) openid: String,
    /// For a repeated delivery: the place of the first one among the pushes of its slice.
    pub(crate) repeats: Option<usize>,
}

/// Makes pushes that are all different: numbers go on over every slice of a run.
pub(crate) struct Maker {
    key: [u8; 32],
    followers: u64,
    next: u64,
    seconds: u64,
}

impl Maker {
    /// `followers` different people; `seconds` is the time that signatures carry.
    pub(crate) fn new(followers: u64, seconds: u64) -> anyhow::Result<Self> {
        let bytes = STANDARD.decode(format!("{AES_KEY}=")).context("the test's key")?;
        let key = bytes.try_into().ok().context("the test's key has 32 bytes")?;
        Ok(Self { key, followers, next: 0, seconds })
    }

    /// Signatures carry this time from now on.
    pub(crate) fn set_seconds(&mut self, seconds: u64) {
        self.seconds = seconds;
    }

    /// `count` pushes of which one in twenty repeats one that was delivered 2,000 pushes earlier.
    pub(crate) fn slice(&mut self, count: usize, address: &str) -> Vec<Push> {
        let mut pushes: Vec<Push> = Vec::with_capacity(count);
        for at in 0..count {
            let earlier = at.checked_sub(2_000).filter(|_| at % 20 == 19);
            let repeated = earlier.filter(|earlier| pushes[*earlier].repeats.is_none());
            pushes.push(match repeated {
                Some(earlier) => {
                    let first = &pushes[earlier];
                    Push {
                        request: first.request.clone(),
                        openid: first.openid.clone(),
                        repeats: Some(earlier),
                    }
                }
                None => self.push(address),
            });
        }
        pushes
    }

    fn push(&mut self, address: &str) -> Push {
        let number = self.next;
        self.next += 1;
        let kind = if number.is_multiple_of(2) { Kind::Keyword } else { Kind::Menu };
        let openid = format!("oLoad{:023}", number.wrapping_mul(7_919) % self.followers);
        // Two taps of one follower on one entry within a second would be one push to WeChat's rules.
        let created = 1_700_000_000 + number;
        let message = match kind {
            Kind::Keyword => format!(
                "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>\
                 <CreateTime>{created}</CreateTime><MsgType><![CDATA[text]]></MsgType>\
                 <Content><![CDATA[功能大全]]></Content><MsgId>{}</MsgId></xml>",
                23_000_000_000_000_000 + number
            ),
            Kind::Menu => format!(
                "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><FromUserName><![CDATA[{openid}]]></FromUserName>\
                 <CreateTime>{created}</CreateTime><MsgType><![CDATA[event]]></MsgType><Event><![CDATA[CLICK]]></Event>\
                 <EventKey><![CDATA[service_menu]]></EventKey></xml>"
            ),
        };
        let encrypted = self.seal(number, &message);
        let timestamp = self.seconds.to_string();
        let nonce = (1_000_000 + number).to_string();
        let signature = sign(&timestamp, &nonce, &encrypted);
        let body = format!(
            "<xml><ToUserName><![CDATA[{ORIGINAL_ID}]]></ToUserName><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"
        );
        let request = format!(
            "POST /wechat/card?signature=unused&timestamp={timestamp}&nonce={nonce}&openid={openid}&encrypt_type=aes\
             &msg_signature={signature} HTTP/1.1\r\nHost: {address}\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Push { request: request.into_bytes(), openid, repeats: None }
    }

    fn seal(&self, number: u64, message: &str) -> String {
        let mut clear = Vec::with_capacity(message.len() + 80);
        clear.extend_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
        clear.extend_from_slice(&number.to_be_bytes());
        clear.extend_from_slice(&u32::try_from(message.len()).unwrap_or_default().to_be_bytes());
        clear.extend_from_slice(message.as_bytes());
        clear.extend_from_slice(APP_ID.as_bytes());
        let pad = PAD_BLOCK_BYTES - clear.len() % PAD_BLOCK_BYTES;
        clear.resize(clear.len() + pad, u8::try_from(pad).unwrap_or_default());
        let length = clear.len();
        let cipher = cbc::Encryptor::<Aes256>::new((&self.key).into(), self.iv().into());
        STANDARD.encode(cipher.encrypt_padded::<NoPadding>(&mut clear, length).unwrap_or_default())
    }

    fn iv(&self) -> &[u8; 16] {
        self.key.first_chunk().unwrap_or(&[0; 16])
    }

    /// The text of a sealed reply to `openid`, if signature, envelope and addresses are right.
    pub(crate) fn open_reply(&self, body: &[u8], openid: &str) -> anyhow::Result<String> {
        let envelope = std::str::from_utf8(body).context("a reply is UTF-8")?;
        let encrypted = between(envelope, "<Encrypt><![CDATA[", "]]></Encrypt>")?;
        let timestamp = between(envelope, "<TimeStamp>", "</TimeStamp>")?;
        let nonce = between(envelope, "<Nonce><![CDATA[", "]]></Nonce>")?;
        let signature = between(envelope, "<MsgSignature><![CDATA[", "]]></MsgSignature>")?;
        ensure!(sign(timestamp, nonce, encrypted) == signature, "the signature of a reply is wrong");
        let mut clear = STANDARD.decode(encrypted)?;
        let cipher = cbc::Decryptor::<Aes256>::new((&self.key).into(), self.iv().into());
        cipher.decrypt_padded::<NoPadding>(&mut clear).ok().context("a reply does not decrypt")?;
        let pad = usize::from(*clear.last().context("a reply is empty")?);
        ensure!(
            (1..=PAD_BLOCK_BYTES).contains(&pad) && pad <= clear.len(),
            "the padding of a reply is wrong"
        );
        clear.truncate(clear.len() - pad);
        let length = clear.get(16..20).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
        let length = usize::try_from(length.context("a reply is too short")?)?;
        let rest = clear.get(20..).context("a reply is too short")?;
        let (xml, app_id) = rest.split_at_checked(length).context("a reply is too short")?;
        ensure!(app_id == APP_ID.as_bytes(), "a reply is sealed for another AppID");
        let xml = std::str::from_utf8(xml)?;
        ensure!(between(xml, "<ToUserName><![CDATA[", "]]>")? == openid, "a reply goes to somebody else");
        ensure!(
            between(xml, "<FromUserName><![CDATA[", "]]>")? == ORIGINAL_ID,
            "a reply comes from somebody else"
        );
        Ok(between(xml, "<Content><![CDATA[", "]]></Content>")?.to_owned())
    }
}

fn sign(timestamp: &str, nonce: &str, encrypted: &str) -> String {
    let mut parts = [TOKEN, timestamp, nonce, encrypted];
    parts.sort_unstable();
    hex::encode(parts.iter().fold(Sha1::new(), |hash, part| hash.chain_update(part)).finalize())
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> anyhow::Result<&'a str> {
    let found = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
    match found {
        Some((found, _)) => Ok(found),
        None => bail!("a reply lacks {before}"),
    }
}
