//! From an XML document to a [`Push`].

use sha2::{Digest, Sha256};

use super::content::{
    AuthorizationChange, Content, Event, FollowSource, PictureSource, Position, ScannedCode,
    SubscriptionChoice, SubscriptionResult, TemplateDelivery, VerificationStep, VideoMessage,
};
use super::{Article, Push, Refusal};
use crate::domain::ids::{Openid, PushKey};
use crate::domain::secret::Personal;
use crate::domain::time::UnixMs;
use crate::wechat::xml::Element;

const MESSAGE_ID_BYTES_MAX: usize = 64;

/// Reads the push that `root` holds. `original_id` is the account that it must be addressed to.
pub(super) fn push(root: Element<'_>, original_id: &str) -> Result<Push, Refusal> {
    let to = root.only("ToUserName")?.unwrap_or_default();
    if to != original_id {
        return Err(Refusal::malformed("to_another_account"));
    }
    let from = root.only("FromUserName")?.unwrap_or_default();
    let from = Openid::parse(from).ok_or(Refusal::malformed("from_user_name"))?;
    let created = root.only("CreateTime")?.unwrap_or_default().trim();
    let created_seconds = created.parse().map_err(|_| Refusal::malformed("create_time"))?;
    let message_type = root.only("MsgType")?.unwrap_or_default().trim();
    let message_id = root.only("MsgId")?.unwrap_or_default().trim();
    let event = root.only("Event")?.unwrap_or_default().trim();

    let content = match message_type {
        "" => return Err(Refusal::malformed("msg_type")),
        "event" if event.is_empty() => return Err(Refusal::malformed("event")),
        "event" => Content::Event(read_event(root, &event.to_ascii_lowercase(), event)),
        known_or_not => message(root, known_or_not),
    };
    let key = match content {
        Content::Event(_) => event_key(root, &from, created, event),
        // A type that we do not know need not have the id that all known ones have.
        Content::Unknown { .. } if message_id.is_empty() => event_key(root, &from, created, message_type),
        _ => message_key(message_id)?,
    };
    let article = maybe(root, "MsgDataId").map(|data_id| Article { data_id, index: maybe(root, "Idx") });
    Ok(Push {
        to: to.to_owned(),
        from,
        created: UnixMs::from_seconds(created_seconds),
        key,
        article,
        content,
    })
}

fn message_key(message_id: &str) -> Result<PushKey, Refusal> {
    let fits = !message_id.is_empty() && message_id.len() <= MESSAGE_ID_BYTES_MAX;
    if !fits || message_id.chars().any(|character| character.is_control() || character.is_whitespace()) {
        return Err(Refusal::malformed("msg_id"));
    }
    Ok(PushKey::new(&format!("m:{message_id}")))
}

/// Two events of one follower can share a second, so the key takes in what they are about. Each part goes in with
/// its length in front: no two lists of parts read alike. The time stands in front of the hash, so that new keys are
/// neighbours in an index.
fn event_key(root: Element<'_>, from: &Openid, created: &str, event: &str) -> PushKey {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    };
    add(from.reveal());
    add(created);
    add(&event.to_ascii_lowercase());
    add(root.text_of("EventKey"));
    match maybe(root, "MsgID") {
        Some(message_id) => add(&message_id),
        None => sent_results(root).iter().for_each(|result| add(&result.message_id)),
    }
    PushKey::new(&format!("e:{created}:{}", hex::encode(hasher.finalize())))
}

fn message(root: Element<'_>, message_type: &str) -> Content {
    match message_type {
        "text" => Content::Text { text: personal(root, "Content"), menu_item: maybe(root, "bizmsgmenuid") },
        "image" => Content::Image { url: personal(root, "PicUrl"), media_id: text(root, "MediaId") },
        "voice" => Content::Voice {
            media_id: text(root, "MediaId"),
            media_id_16k: maybe(root, "MediaId16K"),
            format: text(root, "Format"),
            recognition: maybe(root, "Recognition").map(Personal::new),
        },
        "video" => Content::Video(video(root)),
        "shortvideo" => Content::ShortVideo(video(root)),
        "location" => Content::Location {
            position: position(root, "Location_X", "Location_Y"),
            scale: text(root, "Scale"),
            label: personal(root, "Label"),
        },
        "link" => Content::Link {
            title: personal(root, "Title"),
            description: personal(root, "Description"),
            url: personal(root, "Url"),
        },
        "file" => Content::File {
            title: personal(root, "Title"),
            description: personal(root, "Description"),
            key: text(root, "FileKey"),
            md5: text(root, "FileMd5"),
            bytes: number(root, "FileTotalLen"),
        },
        other => Content::Unknown { message_type: other.to_owned() },
    }
}

/// `name` is in lower case: the platform's own spelling of it differs from page to page.
fn read_event(root: Element<'_>, name: &str, as_it_came: &str) -> Event {
    match name {
        "subscribe" => Event::Subscribe { source: follow_source(root), ticket: maybe(root, "Ticket") },
        "unsubscribe" => Event::Unsubscribe,
        "scan" => Event::Scan { scene: text(root, "EventKey"), ticket: maybe(root, "Ticket") },
        "location" => Event::Location {
            position: position(root, "Latitude", "Longitude"),
            precision: text(root, "Precision"),
        },
        "click" => Event::Click { key: text(root, "EventKey") },
        "view" => Event::View { url: text(root, "EventKey"), menu_id: maybe(root, "MenuId") },
        "view_miniprogram" => {
            Event::ViewMiniProgram { page_path: text(root, "EventKey"), menu_id: maybe(root, "MenuId") }
        }
        "scancode_push" => Event::ScanCodePush(scanned_code(root)),
        "scancode_waitmsg" => Event::ScanCodeWaitMessage(scanned_code(root)),
        "pic_sysphoto" => pictures(root, PictureSource::Camera),
        "pic_photo_or_album" => pictures(root, PictureSource::CameraOrAlbum),
        "pic_weixin" => pictures(root, PictureSource::Album),
        "location_select" => location_select(root),
        "templatesendjobfinish" => Event::TemplateSendJobFinish {
            message_id: text(root, "MsgID"),
            delivery: template_delivery(root.text_of("Status")),
        },
        "masssendjobfinish" => mass_send_finish(root),
        "publishjobfinish" => publish_finish(root),
        "subscribe_msg_popup_event" => {
            Event::SubscriptionPopup { choices: choices(root, "SubscribeMsgPopupEvent") }
        }
        "subscribe_msg_change_event" => {
            Event::SubscriptionChange { choices: choices(root, "SubscribeMsgChangeEvent") }
        }
        "subscribe_msg_sent_event" => Event::SubscriptionSent { results: sent_results(root) },
        "kf_create_session" => Event::AgentSessionCreated { agent: text(root, "KfAccount") },
        "kf_close_session" => Event::AgentSessionClosed { agent: text(root, "KfAccount") },
        "kf_switch_session" => {
            Event::AgentSessionSwitched { from: text(root, "FromKfAccount"), to: text(root, "ToKfAccount") }
        }
        "user_info_modified" => authorization(root, AuthorizationChange::Modified),
        "user_authorization_revoke" => authorization(root, AuthorizationChange::Revoked),
        "user_authorization_cancellation" => authorization(root, AuthorizationChange::Cancelled),
        "qualification_verify_success" => verification(root, VerificationStep::QualificationPassed),
        "qualification_verify_fail" => verification(root, VerificationStep::QualificationFailed),
        "naming_verify_success" => verification(root, VerificationStep::NamePassed),
        "naming_verify_fail" => verification(root, VerificationStep::NameFailed),
        "annual_renew" => verification(root, VerificationStep::RenewalDue),
        "verify_expired" => verification(root, VerificationStep::Expired),
        _ => Event::Unknown { name: as_it_came.to_owned() },
    }
}

/// A prefix is taken off only where it stands; scene values may begin with anything.
fn follow_source(root: Element<'_>) -> FollowSource {
    let key = root.text_of("EventKey");
    if key.is_empty() {
        FollowSource::Direct
    } else if let Some(scene) = key.strip_prefix("qrscene_") {
        FollowSource::Scene(scene.to_owned())
    } else if let Some(transaction) = key.strip_prefix("last_trade_no_") {
        FollowSource::Payment(Personal::new(transaction))
    } else {
        FollowSource::Other(key.to_owned())
    }
}

fn scanned_code(root: Element<'_>) -> ScannedCode {
    let info = root.child("ScanCodeInfo");
    ScannedCode {
        key: text(root, "EventKey"),
        kind: info.map(|info| text(info, "ScanType")).unwrap_or_default(),
        result: Personal::new(info.map_or("", |info| info.text_of("ScanResult"))),
    }
}

fn pictures(root: Element<'_>, source: PictureSource) -> Event {
    let list = root.child("SendPicsInfo").and_then(|info| info.child("PicList"));
    let items = list.into_iter().flat_map(|list| list.children("item"));
    let md5s = items.map(|item| text(item, "PicMd5Sum")).collect();
    Event::Pictures { source, key: text(root, "EventKey"), md5s }
}

fn location_select(root: Element<'_>) -> Event {
    let key = text(root, "EventKey");
    let info = root.child("SendLocationInfo").unwrap_or(root);
    Event::LocationSelect {
        key,
        position: position(info, "Location_X", "Location_Y"),
        scale: text(info, "Scale"),
        label: personal(info, "Label"),
        name: personal(info, "Poiname"),
    }
}

/// The same verdict is written with and without spaces, in upper and lower case.
fn template_delivery(status: &str) -> TemplateDelivery {
    let compact: String = status.chars().filter(|character| !character.is_whitespace()).collect();
    match compact.to_ascii_lowercase().as_str() {
        "success" => TemplateDelivery::Delivered,
        "failed:userblock" => TemplateDelivery::UserBlocked,
        "failed:systemfailed" => TemplateDelivery::SystemFailed,
        _ => TemplateDelivery::Other(status.to_owned()),
    }
}

fn mass_send_finish(root: Element<'_>) -> Event {
    Event::MassSendJobFinish {
        message_id: text(root, "MsgID"),
        status: text(root, "Status"),
        total: number(root, "TotalCount"),
        filtered: number(root, "FilterCount"),
        sent: number(root, "SentCount"),
        failed: number(root, "ErrorCount"),
    }
}

fn publish_finish(root: Element<'_>) -> Event {
    let info = root.child("PublishEventInfo").unwrap_or(root);
    let items = info.child("article_detail").into_iter().flat_map(|detail| detail.children("item"));
    Event::PublishJobFinish {
        publish_id: text(info, "publish_id"),
        status: text(info, "publish_status"),
        article_id: maybe(info, "article_id"),
        urls: items.map(|item| text(item, "article_url")).collect(),
        failed_indexes: info.children("fail_idx").map(|index| index.text().trim().to_owned()).collect(),
    }
}

fn choices(root: Element<'_>, wrapper: &str) -> Vec<SubscriptionChoice> {
    let lists = root.children(wrapper).flat_map(|wrapper| wrapper.children("List"));
    let choice = |list: Element<'_>| SubscriptionChoice {
        template_id: text(list, "TemplateId"),
        accepted: list.text_of("SubscribeStatusString").trim() == "accept",
        scene: maybe(list, "PopupScene"),
    };
    lists.map(choice).collect()
}

fn sent_results(root: Element<'_>) -> Vec<SubscriptionResult> {
    let lists = root.children("SubscribeMsgSentEvent").flat_map(|wrapper| wrapper.children("List"));
    let result = |list: Element<'_>| SubscriptionResult {
        template_id: text(list, "TemplateId"),
        message_id: text(list, "MsgID"),
        error_code: text(list, "ErrorCode"),
        status: text(list, "ErrorStatus"),
    };
    lists.map(result).collect()
}

fn authorization(root: Element<'_>, change: AuthorizationChange) -> Event {
    Event::UserAuthorization {
        change,
        openid: Openid::parse(root.text_of("OpenID")),
        union_id: maybe(root, "UnionID").map(Personal::new),
        app_id: text(root, "AppID"),
        revoked: maybe(root, "RevokeInfo"),
    }
}

fn verification(root: Element<'_>, step: VerificationStep) -> Event {
    let at = maybe(root, "ExpiredTime").or_else(|| maybe(root, "FailTime"));
    Event::Verification {
        step,
        at: at.and_then(|seconds| seconds.parse().ok()).map(UnixMs::from_seconds),
        reason: maybe(root, "FailReason"),
    }
}

fn video(root: Element<'_>) -> VideoMessage {
    VideoMessage { media_id: text(root, "MediaId"), thumb_media_id: text(root, "ThumbMediaId") }
}

fn position(element: Element<'_>, latitude: &str, longitude: &str) -> Position {
    let decimal = |name| Personal::new(element.text_of(name).trim());
    Position { latitude: decimal(latitude), longitude: decimal(longitude) }
}

fn text(element: Element<'_>, name: &str) -> String {
    element.text_of(name).to_owned()
}

fn personal(element: Element<'_>, name: &str) -> Personal {
    Personal::new(element.text_of(name))
}

fn maybe(element: Element<'_>, name: &str) -> Option<String> {
    let text = element.text_of(name).trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn number(element: Element<'_>, name: &str) -> Option<u64> {
    element.text_of(name).trim().parse().ok()
}
