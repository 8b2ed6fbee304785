//! Events that no follower's tap causes: what the platform itself has to tell an account (接收事件推送).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;

use super::platform::{Account, Platform, State};
use super::push::{Push, Scene, Turn, event};
use super::timeline::{Direction, Draft};
use super::xml::Writer;
use crate::domain::time::UnixMs;

/// Who mass-send events come from.
const MASS_HELPER: &str = "oMassSendHelper_0000000000000";

/// One such event.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PlatformEvent {
    /// An agent of the platform's own took a follower over.
    KfCreateSession { kf_account: String },
    /// He let go of him.
    KfCloseSession { kf_account: String },
    /// He gave him to another one.
    KfSwitchSession { from_kf_account: String, to_kf_account: String },
    /// The receipt of any template message, also of one that was never sent.
    TemplateSendJobFinish { message_id: u64, status: String },
    /// A mass sending ended.
    MassSendJobFinish { id: u64, total: usize, filtered: usize, sent: usize, failed: usize },
    /// A publication ended; 0 is success.
    PublishJobFinish { publish_id: u64, status: u8, article_id: String },
    /// Subscriptions were offered; `scene` 1: a page, 2: an article.
    SubscribeMsgPopupEvent { list: Vec<NoticeChoice> },
    /// Subscriptions were taken back in the settings.
    SubscribeMsgChangeEvent { list: Vec<NoticeChoice> },
    /// Subscription notices were sent.
    SubscribeMsgSentEvent { list: Vec<NoticeResult> },
    /// The follower changed what he shows of himself.
    UserInfoModified,
    /// He took a permission back; the numbers are the document's.
    UserAuthorizationRevoke { revoke_info: String },
    /// He closed his WeChat account.
    UserAuthorizationCancellation,
    /// 资质认证 went well; valid until, in seconds.
    QualificationVerifySuccess { expired_time: i64 },
    /// 名称认证 went well.
    NamingVerifySuccess { expired_time: i64 },
    /// Verification is due again.
    AnnualRenew { expired_time: i64 },
    /// Verification is over: permissions go.
    VerifyExpired { expired_time: i64 },
    /// 资质认证 failed.
    QualificationVerifyFail { fail_reason: String },
    /// 名称认证 failed.
    NamingVerifyFail { fail_reason: String },
    /// Any event by its name, with text elements: what the document will have tomorrow, and `debug_demo`.
    Other { name: String, fields: BTreeMap<String, String> },
}

/// What a follower said to one subscription.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeChoice {
    pub(crate) template_id: String,
    pub(crate) accept: bool,
    #[serde(default = "page")]
    pub(crate) scene: u8,
}

fn page() -> u8 {
    1
}

/// What became of one notice.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoticeResult {
    pub(crate) template_id: String,
    pub(crate) message_id: u64,
    pub(crate) error_code: i64,
    pub(crate) error_status: String,
}

impl PlatformEvent {
    /// `Event`
    fn name(&self) -> &str {
        match self {
            Self::KfCreateSession { .. } => "kf_create_session",
            Self::KfCloseSession { .. } => "kf_close_session",
            Self::KfSwitchSession { .. } => "kf_switch_session",
            Self::TemplateSendJobFinish { .. } => "TEMPLATESENDJOBFINISH",
            Self::MassSendJobFinish { .. } => "MASSSENDJOBFINISH",
            Self::PublishJobFinish { .. } => "PUBLISHJOBFINISH",
            Self::SubscribeMsgPopupEvent { .. } => "subscribe_msg_popup_event",
            Self::SubscribeMsgChangeEvent { .. } => "subscribe_msg_change_event",
            Self::SubscribeMsgSentEvent { .. } => "subscribe_msg_sent_event",
            Self::UserInfoModified => "user_info_modified",
            Self::UserAuthorizationRevoke { .. } => "user_authorization_revoke",
            Self::UserAuthorizationCancellation => "user_authorization_cancellation",
            Self::QualificationVerifySuccess { .. } => "qualification_verify_success",
            Self::NamingVerifySuccess { .. } => "naming_verify_success",
            Self::AnnualRenew { .. } => "annual_renew",
            Self::VerifyExpired { .. } => "verify_expired",
            Self::QualificationVerifyFail { .. } => "qualification_verify_fail",
            Self::NamingVerifyFail { .. } => "naming_verify_fail",
            Self::Other { name, .. } => name,
        }
    }

    /// Whether every part can stand in a document.
    pub(crate) fn is_writable(&self) -> bool {
        let name = |text: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            text.bytes().all(plain) && text.starts_with(|first: char| first.is_ascii_alphabetic())
        };
        match self {
            Self::Other { name: event, fields } => name(event) && fields.keys().all(|field| name(field)),
            _ => true,
        }
    }

    /// The document.
    fn xml(&self, account: &Account, openid: &str, at: UnixMs) -> String {
        let from = if matches!(self, Self::MassSendJobFinish { .. }) { MASS_HELPER } else { openid };
        self.fields(event(account, from, at, self.name()), account, openid, at).finish()
    }

    fn fields(&self, xml: Writer, account: &Account, openid: &str, at: UnixMs) -> Writer {
        let person = |xml: Writer| xml.text("OpenID", openid).text("AppID", &account.settings.app_id);
        match self {
            Self::KfCreateSession { kf_account } | Self::KfCloseSession { kf_account } => {
                xml.text("KfAccount", kf_account)
            }
            Self::KfSwitchSession { from_kf_account, to_kf_account } => {
                xml.text("FromKfAccount", from_kf_account).text("ToKfAccount", to_kf_account)
            }
            Self::TemplateSendJobFinish { message_id, status } => {
                xml.number("MsgID", message_id).text("Status", status)
            }
            Self::MassSendJobFinish { id, total, filtered, sent, failed } => xml
                .number("MsgID", id)
                .text("Status", "send success")
                .number("TotalCount", total)
                .number("FilterCount", filtered)
                .number("SentCount", sent)
                .number("ErrorCount", failed),
            Self::PublishJobFinish { publish_id, status, article_id } => {
                xml.nested("PublishEventInfo", |info| {
                    let info = info.number("publish_id", publish_id).number("publish_status", status);
                    info.text("article_id", article_id)
                })
            }
            Self::SubscribeMsgPopupEvent { .. }
            | Self::SubscribeMsgChangeEvent { .. }
            | Self::SubscribeMsgSentEvent { .. } => self.notice_fields(xml),
            Self::UserInfoModified | Self::UserAuthorizationCancellation => person(xml),
            Self::UserAuthorizationRevoke { revoke_info } => person(xml).text("RevokeInfo", revoke_info),
            Self::QualificationVerifySuccess { expired_time }
            | Self::NamingVerifySuccess { expired_time }
            | Self::AnnualRenew { expired_time }
            | Self::VerifyExpired { expired_time } => xml.number("ExpiredTime", expired_time),
            Self::QualificationVerifyFail { fail_reason } | Self::NamingVerifyFail { fail_reason } => {
                xml.number("FailTime", at.seconds()).text("FailReason", fail_reason)
            }
            Self::Other { fields, .. } => fields.iter().fold(xml, |xml, (name, value)| xml.text(name, value)),
        }
    }

    fn notice_fields(&self, xml: Writer) -> Writer {
        let status = |accept: bool| if accept { "accept" } else { "reject" };
        match self {
            Self::SubscribeMsgPopupEvent { list } => xml.nested("SubscribeMsgPopupEvent", |xml| {
                list.iter().fold(xml, |xml, one| {
                    xml.nested("List", |item| {
                        item.text("TemplateId", &one.template_id)
                            .text("SubscribeStatusString", status(one.accept))
                            .number("PopupScene", one.scene)
                    })
                })
            }),
            Self::SubscribeMsgChangeEvent { list } => xml.nested("SubscribeMsgChangeEvent", |xml| {
                list.iter().fold(xml, |xml, one| {
                    xml.nested("List", |item| {
                        item.text("TemplateId", &one.template_id)
                            .text("SubscribeStatusString", status(one.accept))
                    })
                })
            }),
            Self::SubscribeMsgSentEvent { list } => xml.nested("SubscribeMsgSentEvent", |xml| {
                list.iter().fold(xml, |xml, one| {
                    xml.nested("List", |item| {
                        item.text("TemplateId", &one.template_id)
                            .number("MsgID", one.message_id)
                            .number("ErrorCode", one.error_code)
                            .text("ErrorStatus", &one.error_status)
                    })
                })
            }),
            _ => xml,
        }
    }
}

impl Platform {
    /// Pushes an event that stands in no order of anybody's actions; it is kept with this follower's chat, where
    /// only the developer panel shows it. Gives the entry.
    pub(crate) fn push_event(
        self: &Arc<Self>,
        state: &mut State,
        account: usize,
        openid: &str,
        event: &PlatformEvent,
    ) -> Option<u64> {
        let at = self.true_now();
        let xml = event.xml(&state.accounts[account], openid, at);
        let draft = Draft::new(Direction::System, "event", format!("平台事件：{}", event.name()));
        let draft = draft.hidden(true).push(None, xml.clone());
        let entry = state.show(account, openid, at, draft)?;
        let push = Push {
            account,
            openid: openid.to_owned(),
            entry,
            kind: event.name().to_owned(),
            xml,
            scene: Scene::Quiet,
            turn: Turn::none(),
            step: None,
            done: None,
        };
        let fault = state.take_push_fault(&push);
        self.send_push(push, fault);
        Some(entry)
    }
}
