//! Everything that the platform can push, as closed enums.
//!
//! What the customer said or where he is is `Personal`; what names the platform's own things (media, menu keys,
//! templates) is plain text. An element that the platform left out is an empty text or `None`.

use serde::{Deserialize, Serialize};

use crate::domain::ids::Openid;
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::domain::window::UserAction;

/// A message of the follower, or an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// He typed something, or tapped an item of a menu message.
    Text {
        /// His words.
        #[serde(with = "crate::wechat::json::personal")]
        text: Personal,
        /// Id of the tapped item (`bizmsgmenuid`). Input like any other: never trusted.
        menu_item: Option<String>,
    },
    /// A picture.
    Image {
        /// Where the platform shows it.
        #[serde(with = "crate::wechat::json::personal")]
        url: Personal,
        /// Readable for 3 days.
        media_id: String,
    },
    /// A voice message.
    Voice {
        /// 8 kHz where `format` is amr.
        media_id: String,
        /// 16 kHz.
        media_id_16k: Option<String>,
        /// `amr` or `speex`.
        format: String,
        /// Speech turned to text by the platform. Usually absent: never depended on.
        #[serde(with = "crate::wechat::json::maybe_personal", default)]
        recognition: Option<Personal>,
    },
    /// A video.
    Video(VideoMessage),
    /// A video filmed in the chat.
    ShortVideo(VideoMessage),
    /// A place that he chose and sent.
    Location {
        /// Where.
        position: Position,
        /// Scale of the map.
        scale: String,
        /// The place in words.
        #[serde(with = "crate::wechat::json::personal")]
        label: Personal,
    },
    /// A shared article.
    Link {
        /// Its title.
        #[serde(with = "crate::wechat::json::personal")]
        title: Personal,
        /// Its summary.
        #[serde(with = "crate::wechat::json::personal")]
        description: Personal,
        /// Its address.
        #[serde(with = "crate::wechat::json::personal")]
        url: Personal,
    },
    /// A file.
    File {
        /// Its name.
        #[serde(with = "crate::wechat::json::personal")]
        title: Personal,
        /// Its description.
        #[serde(with = "crate::wechat::json::personal")]
        description: Personal,
        /// The platform's key of it.
        key: String,
        /// MD5 in hex.
        md5: String,
        /// Its size.
        bytes: Option<u64>,
    },
    /// Not a message but something that happened.
    Event(Event),
    /// A message type that the platform added later: answered with `success`.
    Unknown {
        /// `MsgType` as it came.
        message_type: String,
    },
}

/// Media of a video message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoMessage {
    /// The film.
    pub media_id: String,
    /// Its still picture.
    pub thumb_media_id: String,
}

/// Where someone is: decimals as text, as the platform wrote them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// North is positive.
    #[serde(with = "crate::wechat::json::personal")]
    pub latitude: Personal,
    /// East is positive.
    #[serde(with = "crate::wechat::json::personal")]
    pub longitude: Personal,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// He follows the account.
    Subscribe {
        /// What led him here.
        source: FollowSource,
        /// Of the scanned code.
        ticket: Option<String>,
    },
    /// He follows no longer: his data must go.
    Unsubscribe,
    /// A follower scanned one of the account's codes.
    Scan {
        /// The scene value, without prefix.
        scene: String,
        /// Of the scanned code.
        ticket: Option<String>,
    },
    /// He let the account know where he is. Not the `location` message.
    Location {
        /// Where.
        position: Position,
        /// In metres, as text.
        precision: String,
    },
    /// A menu button of type `click`.
    Click {
        /// The button's key.
        key: String,
    },
    /// A menu button that opens a page.
    View {
        /// The page.
        url: String,
        /// The conditional menu's rule.
        menu_id: Option<String>,
    },
    /// A menu button that opens a mini-program.
    ViewMiniProgram {
        /// The page path.
        page_path: String,
        /// The conditional menu's rule.
        menu_id: Option<String>,
    },
    /// A menu button that scans; the phone shows the result itself.
    ScanCodePush(ScannedCode),
    /// A menu button that scans; the phone waits for the account's answer.
    ScanCodeWaitMessage(ScannedCode),
    /// A menu button that sends pictures; they follow as image messages.
    Pictures {
        /// Where they come from.
        source: PictureSource,
        /// The button's key.
        key: String,
        /// MD5 of each, in hex.
        md5s: Vec<String>,
    },
    /// A menu button that sends a place.
    LocationSelect {
        /// The button's key.
        key: String,
        /// Where.
        position: Position,
        /// Scale of the map.
        scale: String,
        /// The place in words.
        #[serde(with = "crate::wechat::json::personal")]
        label: Personal,
        /// Its name; often empty.
        #[serde(with = "crate::wechat::json::personal")]
        name: Personal,
    },
    /// What became of a template message.
    TemplateSendJobFinish {
        /// The id that sending it gave.
        message_id: String,
        /// The verdict.
        delivery: TemplateDelivery,
    },
    /// What became of a mass send.
    MassSendJobFinish {
        /// The id that sending it gave.
        message_id: String,
        /// `send success`, `send fail` or `err(n)`.
        status: String,
        /// Followers addressed; the counts are approximate.
        total: Option<u64>,
        /// Left after filters.
        filtered: Option<u64>,
        /// Sent.
        sent: Option<u64>,
        /// Failed.
        failed: Option<u64>,
    },
    /// What became of a published article.
    PublishJobFinish {
        /// The job.
        publish_id: String,
        /// 0 is success.
        status: String,
        /// The article, when it is out.
        article_id: Option<String>,
        /// Its addresses.
        urls: Vec<String>,
        /// Which parts failed.
        failed_indexes: Vec<String>,
    },
    /// He answered the subscription pop-up.
    SubscriptionPopup {
        /// One choice for each template.
        choices: Vec<SubscriptionChoice>,
    },
    /// He changed subscriptions in the account's settings.
    SubscriptionChange {
        /// One choice for each template.
        choices: Vec<SubscriptionChoice>,
    },
    /// What became of subscription notices.
    SubscriptionSent {
        /// One for each notice.
        results: Vec<SubscriptionResult>,
    },
    /// The platform's own customer-service system took him.
    AgentSessionCreated {
        /// Which agent.
        agent: String,
    },
    /// It let him go.
    AgentSessionClosed {
        /// Which agent.
        agent: String,
    },
    /// It handed him over.
    AgentSessionSwitched {
        /// From whom.
        from: String,
        /// To whom.
        to: String,
    },
    /// He changed or withdrew what he had allowed the account to know.
    UserAuthorization {
        /// Which of the three.
        change: AuthorizationChange,
        /// Whose data.
        #[serde(with = "crate::wechat::json::maybe_openid", default)]
        openid: Option<Openid>,
        /// Whose data, across the bank's accounts.
        #[serde(with = "crate::wechat::json::maybe_personal", default)]
        union_id: Option<Personal>,
        /// The account or mini-program concerned.
        app_id: String,
        /// Codes of what is withdrawn.
        revoked: Option<String>,
    },
    /// The account's own verification moved.
    Verification {
        /// How.
        step: VerificationStep,
        /// Until when it holds, or when it failed.
        at: Option<UnixMs>,
        /// Why it failed.
        reason: Option<String>,
    },
    /// An event that the platform added later, or one that does not concern a bank: answered with `success`.
    Unknown {
        /// `Event` as it came.
        name: String,
    },
}

/// What led to following.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowSource {
    /// Search, a card, an article.
    Direct,
    /// One of the account's codes: the scene value, without `qrscene_`.
    Scene(String),
    /// A payment page: its transaction.
    Payment(#[serde(with = "crate::wechat::json::personal")] Personal),
    /// A key of a form not known here.
    Other(String),
}

/// A code that a menu button scanned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannedCode {
    /// The button's key.
    pub key: String,
    /// `qrcode` or `barcode`.
    pub kind: String,
    /// What it says. It can be anything.
    #[serde(with = "crate::wechat::json::personal")]
    pub result: Personal,
}

/// Where pictures come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureSource {
    /// `pic_sysphoto`: the camera.
    Camera,
    /// `pic_photo_or_album`: the camera or the album.
    CameraOrAlbum,
    /// `pic_weixin`: WeChat's album.
    Album,
}

/// The platform's verdict on a template message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemplateDelivery {
    /// It was delivered.
    Delivered,
    /// The follower refuses messages of this account.
    UserBlocked,
    /// The platform failed.
    SystemFailed,
    /// Another text: counts as failed.
    Other(String),
}

/// One choice about a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionChoice {
    /// Which template.
    pub template_id: String,
    /// `accept`; anything else is a refusal.
    pub accepted: bool,
    /// 1: a page, 2: an article.
    pub scene: Option<String>,
}

/// What became of one subscription notice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionResult {
    /// Which template.
    pub template_id: String,
    /// The notice.
    pub message_id: String,
    /// `0`: delivered.
    pub error_code: String,
    /// In words.
    pub status: String,
}

/// What a follower changed about his authorisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorizationChange {
    /// His name or picture changed.
    Modified,
    /// He took his consent back: the data must go.
    Revoked,
    /// He closed his WeChat account.
    Cancelled,
}

/// How the account's verification moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerificationStep {
    /// 资质认证 passed.
    QualificationPassed,
    /// 资质认证 failed.
    QualificationFailed,
    /// 名称认证 passed.
    NamePassed,
    /// 名称认证 failed.
    NameFailed,
    /// It is time to renew.
    RenewalDue,
    /// The API permissions are going away.
    Expired,
}

/// Most articles that a news reply may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArticlesMax {
    /// In answer to a message.
    One,
    /// In answer to a menu click, a follow or a scan.
    Eight,
}

impl ArticlesMax {
    /// The number.
    #[must_use]
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Eight => 8,
        }
    }
}

impl Content {
    /// What the allowance ledger makes of it; `None`: it opens no window.
    ///
    /// Tapping an item of a menu message counts as a menu click although it arrives as text.
    #[must_use]
    pub fn action(&self) -> Option<UserAction> {
        match self {
            Self::Text { menu_item: Some(_), .. } => Some(UserAction::Tap),
            Self::Event(event) => event.opens_tap_window().then_some(UserAction::Tap),
            Self::Unknown { .. } => None,
            _ => Some(UserAction::Message),
        }
    }

    /// Whether the phone shows a passive reply to it. Where it does not, `success` is the answer.
    #[must_use]
    pub fn shows_reply(&self) -> bool {
        match self {
            Self::Event(event) => event.opens_tap_window() || matches!(event, Event::Location { .. }),
            Self::Unknown { .. } => false,
            _ => true,
        }
    }

    /// How many articles a news reply to it may have.
    #[must_use]
    pub fn articles_max(&self) -> ArticlesMax {
        if matches!(self, Self::Event(_)) { ArticlesMax::Eight } else { ArticlesMax::One }
    }

    /// A short name for logs and metrics: one of a fixed set.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::Image { .. } => "image",
            Self::Voice { .. } => "voice",
            Self::Video(_) => "video",
            Self::ShortVideo(_) => "shortvideo",
            Self::Location { .. } => "location",
            Self::Link { .. } => "link",
            Self::File { .. } => "file",
            Self::Event(event) => event.name(),
            Self::Unknown { .. } => "unknown_message",
        }
    }
}

impl Event {
    fn opens_tap_window(&self) -> bool {
        matches!(
            self,
            Self::Subscribe { .. }
                | Self::Scan { .. }
                | Self::Click { .. }
                | Self::ScanCodePush(_)
                | Self::ScanCodeWaitMessage(_)
        )
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "event_subscribe",
            Self::Unsubscribe => "event_unsubscribe",
            Self::Scan { .. } => "event_scan",
            Self::Location { .. } => "event_location",
            Self::Click { .. } => "event_click",
            Self::View { .. } => "event_view",
            Self::ViewMiniProgram { .. } => "event_view_miniprogram",
            Self::ScanCodePush(_) => "event_scancode_push",
            Self::ScanCodeWaitMessage(_) => "event_scancode_waitmsg",
            Self::Pictures { .. } => "event_pictures",
            Self::LocationSelect { .. } => "event_location_select",
            Self::TemplateSendJobFinish { .. } => "event_template_finish",
            Self::MassSendJobFinish { .. } => "event_mass_send_finish",
            Self::PublishJobFinish { .. } => "event_publish_finish",
            Self::SubscriptionPopup { .. } => "event_subscription_popup",
            Self::SubscriptionChange { .. } => "event_subscription_change",
            Self::SubscriptionSent { .. } => "event_subscription_sent",
            Self::AgentSessionCreated { .. } => "event_agent_session_created",
            Self::AgentSessionClosed { .. } => "event_agent_session_closed",
            Self::AgentSessionSwitched { .. } => "event_agent_session_switched",
            Self::UserAuthorization { .. } => "event_user_authorization",
            Self::Verification { .. } => "event_verification",
            Self::Unknown { .. } => "event_unknown",
        }
    }
}
