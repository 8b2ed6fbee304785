//! Passive replies: the answer on the open connection. Their limits hold by construction.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::push::ArticlesMax;
use super::text::Text;
use super::xml::legal;
use crate::domain::ids::Openid;
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;

/// The body that says "received, nothing to show". Taken unencrypted in every mode.
pub const SUCCESS: &str = "success";

/// The id of an uploaded picture, voice or film.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MediaId(String);

impl MediaId {
    /// Wraps opaque text; `None` when it is empty.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| Self(text.to_owned()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for MediaId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a media id is not empty")
    }
}

/// One card of a news reply.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Article {
    /// Its headline.
    #[serde(with = "super::json::personal")]
    pub title: Personal,
    /// The line below it.
    #[serde(with = "super::json::personal")]
    pub description: Personal,
    /// jpg or png; about 360×200 for the first, 200×200 for the others.
    pub picture_url: String,
    /// Where a tap leads.
    #[serde(with = "super::json::personal")]
    pub url: Personal,
}

/// The articles do not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a news reply has 1 to {articles_max} articles here, not {articles}")]
pub struct NotNews {
    articles: usize,
    articles_max: usize,
}

/// The articles of a news reply: at least one, at most what the push allows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Article>")]
pub struct Articles(Vec<Article>);

impl Articles {
    /// One article, which every push allows.
    #[must_use]
    pub fn one(article: Article) -> Self {
        Self(vec![article])
    }

    /// As many as the push allows: ask its `Content::articles_max`.
    ///
    /// # Errors
    /// When there are none or too many; the platform would drop them.
    pub fn new(articles: Vec<Article>, articles_max: ArticlesMax) -> Result<Self, NotNews> {
        let count = articles.len();
        if count == 0 || count > articles_max.count() {
            return Err(NotNews { articles: count, articles_max: articles_max.count() });
        }
        Ok(Self(articles))
    }

    /// The articles, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Article] {
        &self.0
    }
}

impl TryFrom<Vec<Article>> for Articles {
    type Error = NotNews;

    fn try_from(articles: Vec<Article>) -> Result<Self, NotNews> {
        Self::new(articles, ArticlesMax::Eight)
    }
}

/// What the follower is shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Text with links.
    Text(Text),
    /// A picture.
    Image(MediaId),
    /// A voice message.
    Voice(MediaId),
    /// A film.
    Video {
        /// The film.
        media_id: MediaId,
        /// Its title.
        title: Option<String>,
        /// Its description.
        description: Option<String>,
    },
    /// A piece of music.
    Music(Music),
    /// Cards.
    News(Articles),
    /// Hands this message to the platform's own customer-service system. Not for accounts with a desk of their own.
    TransferCustomerService {
        /// Only to this agent.
        agent: Option<String>,
    },
    /// Nothing: `success`.
    Nothing,
}

/// A piece of music.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Music {
    /// Its still picture; the platform insists on it.
    pub thumb_media_id: MediaId,
    /// Its title.
    pub title: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Where it plays from.
    pub url: Option<String>,
    /// Where it plays from on Wi-Fi.
    pub high_quality_url: Option<String>,
}

impl Reply {
    /// The reply as JSON, to be sealed and stored. Holds personal text in the clear.
    ///
    /// # Errors
    /// When the reply cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads what [`Reply::to_json`] wrote; the limits are checked again.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn from_json(json: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(json)
    }
}

/// The body of the answer before it is sealed: XML from the account `from` (its original id, never its AppID) to the
/// follower, or `success`.
#[must_use]
pub fn encode(reply: &Reply, to: &Openid, from: &str, created: UnixMs) -> String {
    let mut xml = Xml(String::with_capacity(512));
    xml.0.push_str("<xml>");
    xml.cdata("ToUserName", to.reveal());
    xml.cdata("FromUserName", from);
    xml.digits("CreateTime", &created.seconds().to_string());
    match reply {
        Reply::Nothing => return SUCCESS.to_owned(),
        Reply::Text(text) => {
            xml.cdata("MsgType", "text");
            xml.cdata("Content", text.reveal());
        }
        Reply::Image(media_id) => {
            xml.cdata("MsgType", "image");
            xml.nested("Image", |xml| xml.cdata("MediaId", media_id.as_str()));
        }
        Reply::Voice(media_id) => {
            xml.cdata("MsgType", "voice");
            xml.nested("Voice", |xml| xml.cdata("MediaId", media_id.as_str()));
        }
        Reply::Video { media_id, title, description } => {
            xml.cdata("MsgType", "video");
            xml.nested("Video", |xml| {
                xml.cdata("MediaId", media_id.as_str());
                xml.maybe_cdata("Title", title.as_deref());
                xml.maybe_cdata("Description", description.as_deref());
            });
        }
        Reply::Music(music) => xml.music(music),
        Reply::News(articles) => xml.news(articles.as_slice()),
        Reply::TransferCustomerService { agent } => {
            xml.cdata("MsgType", "transfer_customer_service");
            if let Some(agent) = agent {
                xml.nested("TransInfo", |xml| xml.cdata("KfAccount", agent));
            }
        }
    }
    xml.0.push_str("</xml>");
    xml.0
}

/// The outer XML of an encrypted answer.
pub(super) fn envelope(ciphertext: &str, signature: &str, timestamp: &str, nonce: &str) -> String {
    let mut xml = Xml(String::with_capacity(ciphertext.len() + 256));
    xml.0.push_str("<xml>");
    // Base64, hexadecimal and decimal digits: nothing that XML could mistake.
    xml.plain_cdata("Encrypt", ciphertext);
    xml.plain_cdata("MsgSignature", signature);
    xml.digits("TimeStamp", timestamp);
    xml.plain_cdata("Nonce", nonce);
    xml.0.push_str("</xml>");
    xml.0
}

/// Writes elements. By hand, because the platform's clients want CDATA and no serializer writes it.
struct Xml(String);

impl Xml {
    fn digits(&mut self, name: &str, digits: &str) {
        for part in ["<", name, ">", digits, "</", name, ">"] {
            self.0.push_str(part);
        }
    }

    fn plain_cdata(&mut self, name: &str, text: &str) {
        for part in ["<", name, "><![CDATA[", text, "]]></", name, ">"] {
            self.0.push_str(part);
        }
    }

    fn cdata(&mut self, name: &str, text: &str) {
        for part in ["<", name, "><![CDATA["] {
            self.0.push_str(part);
        }
        // First out with what XML has no room for: taking it out later could join a `]]>` anew.
        let text = legal(text);
        let mut runs = text.split("]]>");
        self.0.push_str(runs.next().unwrap_or_default());
        for run in runs {
            self.0.push_str("]]]]><![CDATA[>");
            self.0.push_str(run);
        }
        for part in ["]]></", name, ">"] {
            self.0.push_str(part);
        }
    }

    fn maybe_cdata(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.cdata(name, text);
        }
    }

    fn nested(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        for part in ["<", name, ">"] {
            self.0.push_str(part);
        }
        inside(self);
        for part in ["</", name, ">"] {
            self.0.push_str(part);
        }
    }

    fn music(&mut self, music: &Music) {
        self.cdata("MsgType", "music");
        self.nested("Music", |xml| {
            xml.maybe_cdata("Title", music.title.as_deref());
            xml.maybe_cdata("Description", music.description.as_deref());
            xml.maybe_cdata("MusicUrl", music.url.as_deref());
            xml.maybe_cdata("HQMusicUrl", music.high_quality_url.as_deref());
            xml.cdata("ThumbMediaId", music.thumb_media_id.as_str());
        });
    }

    fn news(&mut self, articles: &[Article]) {
        self.cdata("MsgType", "news");
        self.digits("ArticleCount", &articles.len().to_string());
        self.nested("Articles", |xml| {
            for article in articles {
                xml.nested("item", |xml| {
                    xml.cdata("Title", article.title.reveal());
                    xml.cdata("Description", article.description.reveal());
                    xml.cdata("PicUrl", &article.picture_url);
                    xml.cdata("Url", article.url.reveal());
                });
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Random, SeededRandom};
    use crate::wechat::xml::{Document, gate};

    const CREATED: UnixMs = UnixMs(1_767_225_702_999);

    fn openid() -> Openid {
        Openid::parse("oBkUser_000000000000000000A1").unwrap()
    }

    fn media(id: &str) -> MediaId {
        MediaId::parse(id).unwrap()
    }

    fn article(number: usize) -> Article {
        Article {
            title: Personal::new(format!("第{number}条")),
            description: Personal::new("说明"),
            picture_url: "https://bank.example/p.png".to_owned(),
            url: Personal::new("https://bank.example/a?b=1&c=2"),
        }
    }

    fn every_reply() -> Vec<(&'static str, Reply)> {
        let eight = Articles::new((1..=8).map(article).collect(), ArticlesMax::Eight).unwrap();
        vec![
            ("text", Reply::Text(Text::new("您好，<a href=\"https://a.example\">账单</a>\n😀").unwrap())),
            ("image", Reply::Image(media("m1"))),
            ("voice", Reply::Voice(media("m2"))),
            (
                "video",
                Reply::Video { media_id: media("m3"), title: Some("片".to_owned()), description: None },
            ),
            (
                "music",
                Reply::Music(Music {
                    thumb_media_id: media("m4"),
                    title: None,
                    description: None,
                    url: Some("https://bank.example/m.mp3".to_owned()),
                    high_quality_url: None,
                }),
            ),
            ("news", Reply::News(Articles::one(article(1)))),
            ("news", Reply::News(eight)),
            ("transfer_customer_service", Reply::TransferCustomerService { agent: None }),
            (
                "transfer_customer_service",
                Reply::TransferCustomerService { agent: Some("agent01@demobank".to_owned()) },
            ),
        ]
    }

    #[test]
    fn every_reply_reads_back_as_it_was_meant() {
        for (message_type, reply) in every_reply() {
            let xml = encode(&reply, &openid(), "gh_bank0001demo", CREATED);
            let document = Document::parse(gate(xml.as_bytes()).unwrap()).unwrap();
            let root = document.root();
            assert_eq!(root.text_of("ToUserName"), "oBkUser_000000000000000000A1");
            assert_eq!(root.text_of("FromUserName"), "gh_bank0001demo");
            assert_eq!(root.text_of("CreateTime"), "1767225702");
            assert_eq!(root.text_of("MsgType"), message_type);
            if let Reply::News(articles) = &reply {
                let list = root.child("Articles").unwrap();
                assert_eq!(list.children("item").count(), articles.as_slice().len());
                assert_eq!(root.text_of("ArticleCount"), articles.as_slice().len().to_string());
                assert_eq!(list.child("item").unwrap().text_of("Url"), "https://bank.example/a?b=1&c=2");
            }
        }
    }

    #[test]
    fn the_transfer_is_written_as_the_documents_show_it() {
        let reply = Reply::TransferCustomerService { agent: Some("agent01@demobank".to_owned()) };
        assert_eq!(
            encode(&reply, &openid(), "gh_bank0001demo", CREATED),
            "<xml><ToUserName><![CDATA[oBkUser_000000000000000000A1]]></ToUserName>\
             <FromUserName><![CDATA[gh_bank0001demo]]></FromUserName><CreateTime>1767225702</CreateTime>\
             <MsgType><![CDATA[transfer_customer_service]]></MsgType>\
             <TransInfo><KfAccount><![CDATA[agent01@demobank]]></KfAccount></TransInfo></xml>"
        );
    }

    #[test]
    fn nothing_is_success() {
        assert_eq!(encode(&Reply::Nothing, &openid(), "gh_bank0001demo", CREATED), "success");
    }

    #[test]
    fn no_text_escapes_its_cdata() {
        for text in
            ["]]>", "a]]>b]]>", "]]]]>>", "]]&gt;", "<![CDATA[x]]>", "]", "]]", "]]>]]>", "a]]\u{1}>b"]
        {
            let xml = encode(&Reply::Text(Text::new(text).unwrap()), &openid(), "gh", CREATED);
            let document = Document::parse(gate(xml.as_bytes()).unwrap()).unwrap();
            assert_eq!(document.root().text_of("Content"), text.replace('\u{1}', ""), "{text}");
        }
        let reply = Reply::TransferCustomerService { agent: Some("a]\u{1}]>\u{FFFE}b".to_owned()) };
        let xml = encode(&reply, &openid(), "gh", CREATED);
        assert!(Document::parse(gate(xml.as_bytes()).unwrap()).is_ok(), "{xml}");
    }

    #[test]
    fn news_has_as_many_articles_as_the_push_allows() {
        let many = |count: usize| (1..=count).map(article).collect::<Vec<_>>();
        assert!(Articles::new(many(1), ArticlesMax::One).is_ok());
        assert!(Articles::new(many(2), ArticlesMax::One).is_err());
        assert!(Articles::new(many(8), ArticlesMax::Eight).is_ok());
        assert!(Articles::new(many(9), ArticlesMax::Eight).is_err());
        assert!(Articles::new(many(0), ArticlesMax::Eight).is_err());
    }

    #[test]
    fn every_reply_survives_storage() {
        for (_, reply) in every_reply() {
            assert_eq!(Reply::from_json(reply.to_json().unwrap().as_bytes()).unwrap(), reply);
        }
        assert!(Reply::from_json(b"{\"text\":\"\"}").is_err());
        assert!(Reply::from_json(b"{\"image\":\"\"}").is_err());
        assert!(Reply::from_json(b"{\"news\":[]}").is_err());
    }

    #[test]
    fn a_reply_does_not_print_what_it_says() {
        let reply = Reply::Text(Text::new("本期账单 ¥128.50").unwrap());
        assert!(!format!("{reply:?}").contains("128"));
    }

    #[test]
    fn twenty_thousand_seeded_texts_are_cut_encoded_and_read_back() {
        const PIECES: [&str; 16] = [
            "<a href=\"https://a.example\">",
            "</a>",
            "<a",
            "<",
            "]]>",
            "]]",
            ">",
            "\u{0}",
            "\u{FFFF}",
            "账单",
            "😀",
            " ",
            "\r\n",
            "&amp;",
            "x",
            "一二三四五六七八九十",
        ];
        let random = SeededRandom::new(7);
        for _ in 0..20_000 {
            let mut dice = [0_u8; 32];
            random.fill(&mut dice);
            let text: String = dice.iter().map(|die| PIECES[usize::from(die % 16)]).collect();
            let text = text.repeat(usize::from(dice[0] % 12) + 1);
            let Ok(text) = Text::cut(&text) else { continue };
            assert!(text.reveal().len() <= Text::BYTES_MAX);
            let xml = encode(&Reply::Text(text.clone()), &openid(), "gh", CREATED);
            let document = Document::parse(gate(xml.as_bytes()).unwrap()).unwrap();
            assert_eq!(document.root().text_of("Content"), text.reveal());
        }
    }
}
