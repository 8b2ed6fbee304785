//! Every message and event of the documents, read from their examples.

use super::*;
use crate::domain::window::UserAction;

#[test]
fn every_message_type_is_read() {
    let id = "<MsgId>24871203390011225</MsgId>";
    let video = VideoMessage { media_id: "mSv".to_owned(), thumb_media_id: "mThumb".to_owned() };
    let table = [
        (
            "text",
            "<Content><![CDATA[转人工]]></Content><bizmsgmenuid>902</bizmsgmenuid>",
            Content::Text { text: personal("转人工"), menu_item: Some("902".to_owned()) },
        ),
        (
            "image",
            "<PicUrl><![CDATA[http://mmbiz.qpic.cn/demo/0]]></PicUrl><MediaId><![CDATA[mImg]]></MediaId>",
            Content::Image { url: personal("http://mmbiz.qpic.cn/demo/0"), media_id: "mImg".to_owned() },
        ),
        (
            "voice",
            "<MediaId>mV</MediaId><Format>amr</Format><MediaId16K>mV16</MediaId16K><Recognition>账单</Recognition>",
            Content::Voice {
                media_id: "mV".to_owned(),
                media_id_16k: Some("mV16".to_owned()),
                format: "amr".to_owned(),
                recognition: Some(personal("账单")),
            },
        ),
        ("video", "<MediaId>mSv</MediaId><ThumbMediaId>mThumb</ThumbMediaId>", Content::Video(video.clone())),
        (
            "shortvideo",
            "<MediaId>mSv</MediaId><ThumbMediaId>mThumb</ThumbMediaId>",
            Content::ShortVideo(video),
        ),
        (
            "location",
            "<Location_X>31.230416</Location_X><Location_Y>121.473701</Location_Y><Scale>16</Scale>\
             <Label><![CDATA[上海市黄浦区示例路1号]]></Label>",
            Content::Location {
                position: Position { latitude: personal("31.230416"), longitude: personal("121.473701") },
                scale: "16".to_owned(),
                label: personal("上海市黄浦区示例路1号"),
            },
        ),
        (
            "link",
            "<Title>信用卡活动</Title><Description>说明</Description><Url>https://bank.example/a?b&amp;c</Url>",
            Content::Link {
                title: personal("信用卡活动"),
                description: personal("说明"),
                url: personal("https://bank.example/a?b&c"),
            },
        ),
        (
            "file",
            "<Title>a.pdf</Title><Description/><FileKey>k</FileKey><FileMd5>m</FileMd5><FileTotalLen>9</FileTotalLen>",
            Content::File {
                title: personal("a.pdf"),
                description: personal(""),
                key: "k".to_owned(),
                md5: "m".to_owned(),
                bytes: Some(9),
            },
        ),
        ("hologram", "", Content::Unknown { message_type: "hologram".to_owned() }),
    ];
    for (message_type, own, expected) in table {
        let push = received(&envelope_of(message_type, &format!("{own}{id}")));
        assert_eq!(push.content, expected);
        assert_eq!(push.article, None);
        assert_eq!(read_back(&push), push);
    }
    let from_article =
        received(&envelope_of("text", &format!("{id}<MsgDataId>2247500011</MsgDataId><Idx>1</Idx>")));
    let article = Article { data_id: "2247500011".to_owned(), index: Some("1".to_owned()) };
    assert_eq!(from_article.article, Some(article));
    let unknown = received(&envelope_of("hologram", ""));
    assert!(unknown.key.as_str().starts_with("e:"));
}

/// The documents' example of each event, and how it must print: short, and nothing of the follower in it.
pub(super) const EVENTS: [(&str, &str); 34] = [
    (
        "<Event><![CDATA[subscribe]]></Event><EventKey><![CDATA[]]></EventKey>",
        "Subscribe { source: Direct, ticket: None }",
    ),
    ("<Event>subscribe</Event>", "Subscribe { source: Direct, ticket: None }"),
    (
        "<Event>subscribe</Event><EventKey><![CDATA[qrscene_branch_0571]]></EventKey><Ticket>gQFdemo</Ticket>",
        "Subscribe { source: Scene(\"branch_0571\"), ticket: Some(\"gQFdemo\") }",
    ),
    (
        "<Event>subscribe</Event><EventKey>last_trade_no_42</EventKey>",
        "Subscribe { source: Payment(Personal(2 bytes)), ticket: None }",
    ),
    ("<Event>subscribe</Event><EventKey>qr</EventKey>", "Subscribe { source: Other(\"qr\"), ticket: None }"),
    ("<Event><![CDATA[unsubscribe]]></Event>", "Unsubscribe"),
    (
        "<Event><![CDATA[SCAN]]></Event><EventKey>branch_0571</EventKey><Ticket>gQFdemo</Ticket>",
        "Scan { scene: \"branch_0571\", ticket: Some(\"gQFdemo\") }",
    ),
    (
        "<Event>LOCATION</Event><Latitude>31.2304</Latitude><Longitude>121.4737</Longitude><Precision>65.0</Precision>",
        "Location { position: Position { latitude: Personal(7 bytes), longitude: Personal(8 bytes) }, precision: \"65.0\" }",
    ),
    ("<Event>CLICK</Event><EventKey>BILL_QUERY</EventKey>", "Click { key: \"BILL_QUERY\" }"),
    ("<Event>Click</Event><EventKey>BILL_QUERY</EventKey>", "Click { key: \"BILL_QUERY\" }"),
    (
        "<Event>VIEW</Event><EventKey>https://bank.example/h5</EventKey><MenuId>430012</MenuId>",
        "View { url: \"https://bank.example/h5\", menu_id: Some(\"430012\") }",
    ),
    (
        "<Event>view_miniprogram</Event><EventKey>pages/card/index</EventKey><MenuId>430012</MenuId>",
        "ViewMiniProgram { page_path: \"pages/card/index\", menu_id: Some(\"430012\") }",
    ),
    (
        "<Event>scancode_push</Event><EventKey>SCAN1</EventKey><ScanCodeInfo><ScanType>qrcode</ScanType>\
         <ScanResult>T-0091</ScanResult></ScanCodeInfo>",
        "ScanCodePush(ScannedCode { key: \"SCAN1\", kind: \"qrcode\", result: Personal(6 bytes) })",
    ),
    (
        "<Event>scancode_waitmsg</Event><EventKey>SCAN1</EventKey><ScanCodeInfo><ScanType>qrcode</ScanType>\
         <ScanResult>T-0091</ScanResult></ScanCodeInfo>",
        "ScanCodeWaitMessage(ScannedCode { key: \"SCAN1\", kind: \"qrcode\", result: Personal(6 bytes) })",
    ),
    (
        "<Event>pic_sysphoto</Event><EventKey>PIC1</EventKey><SendPicsInfo><Count>1</Count><PicList><item>\
         <PicMd5Sum>0cc1</PicMd5Sum></item></PicList></SendPicsInfo>",
        "Pictures { source: Camera, key: \"PIC1\", md5s: [\"0cc1\"] }",
    ),
    ("<Event>pic_photo_or_album</Event>", "Pictures { source: CameraOrAlbum, key: \"\", md5s: [] }"),
    ("<Event>pic_weixin</Event>", "Pictures { source: Album, key: \"\", md5s: [] }"),
    (
        "<Event>location_select</Event><EventKey>LOC1</EventKey><SendLocationInfo><Location_X>31.23</Location_X>\
         <Location_Y>121.47</Location_Y><Scale>15</Scale><Label>示例路</Label><Poiname></Poiname></SendLocationInfo>",
        "LocationSelect { key: \"LOC1\", position: Position { latitude: Personal(5 bytes), longitude: \
         Personal(6 bytes) }, scale: \"15\", label: Personal(9 bytes), name: Personal(0 bytes) }",
    ),
    (
        "<Event>TEMPLATESENDJOBFINISH</Event><MsgID>3717005636572520001</MsgID><Status>success</Status>",
        "TemplateSendJobFinish { message_id: \"3717005636572520001\", delivery: Delivered }",
    ),
    (
        "<Event>templatesendjobfinish</Event><MsgID>1</MsgID><Status>failed:user block</Status>",
        "TemplateSendJobFinish { message_id: \"1\", delivery: UserBlocked }",
    ),
    (
        "<Event>TEMPLATESENDJOBFINISH</Event><MsgID>1</MsgID><Status>failed: system failed</Status>",
        "TemplateSendJobFinish { message_id: \"1\", delivery: SystemFailed }",
    ),
    (
        "<Event>MASSSENDJOBFINISH</Event><MsgID>1000008001</MsgID><Status>send success</Status><TotalCount>120\
         </TotalCount><FilterCount>118</FilterCount><SentCount>117</SentCount><ErrorCount>1</ErrorCount>",
        "MassSendJobFinish { message_id: \"1000008001\", status: \"send success\", total: Some(120), \
         filtered: Some(118), sent: Some(117), failed: Some(1) }",
    ),
    (
        "<Event>PUBLISHJOBFINISH</Event><PublishEventInfo><publish_id>2247500099</publish_id><publish_status>0\
         </publish_status><article_id>aDemo</article_id><article_detail><count>1</count><item><idx>1</idx>\
         <article_url>https://mp.weixin.qq.com/s/demo</article_url></item></article_detail><fail_idx>2</fail_idx>\
         <fail_idx>3</fail_idx></PublishEventInfo>",
        "PublishJobFinish { publish_id: \"2247500099\", status: \"0\", article_id: Some(\"aDemo\"), \
         urls: [\"https://mp.weixin.qq.com/s/demo\"], failed_indexes: [\"2\", \"3\"] }",
    ),
    (
        "<Event>subscribe_msg_popup_event</Event><SubscribeMsgPopupEvent><List><TemplateId>tplDemoA</TemplateId>\
         <SubscribeStatusString>accept</SubscribeStatusString><PopupScene>1</PopupScene></List></SubscribeMsgPopupEvent>",
        "SubscriptionPopup { choices: [SubscriptionChoice { template_id: \"tplDemoA\", accepted: true, \
         scene: Some(\"1\") }] }",
    ),
    (
        "<Event>subscribe_msg_change_event</Event><SubscribeMsgChangeEvent><List><TemplateId>tplDemoA</TemplateId>\
         <SubscribeStatusString>reject</SubscribeStatusString></List></SubscribeMsgChangeEvent>",
        "SubscriptionChange { choices: [SubscriptionChoice { template_id: \"tplDemoA\", accepted: false, scene: None }] }",
    ),
    (
        "<Event>subscribe_msg_sent_event</Event><SubscribeMsgSentEvent><List><TemplateId>tplDemoA</TemplateId>\
         <MsgID>17008</MsgID><ErrorCode>0</ErrorCode><ErrorStatus>success</ErrorStatus></List></SubscribeMsgSentEvent>",
        "SubscriptionSent { results: [SubscriptionResult { template_id: \"tplDemoA\", message_id: \"17008\", \
         error_code: \"0\", status: \"success\" }] }",
    ),
    ("<Event>kf_create_session</Event><KfAccount>a@b</KfAccount>", "AgentSessionCreated { agent: \"a@b\" }"),
    ("<Event>kf_close_session</Event><KfAccount>a@b</KfAccount>", "AgentSessionClosed { agent: \"a@b\" }"),
    (
        "<Event>kf_switch_session</Event><FromKfAccount>a</FromKfAccount><ToKfAccount>b</ToKfAccount>",
        "AgentSessionSwitched { from: \"a\", to: \"b\" }",
    ),
    (
        "<Event>user_authorization_revoke</Event><OpenID>oBk1</OpenID><AppID>wxdemo</AppID><RevokeInfo>205</RevokeInfo>",
        "UserAuthorization { change: Revoked, openid: Some(Openid(…)), union_id: None, app_id: \"wxdemo\", \
         revoked: Some(\"205\") }",
    ),
    (
        "<Event>annual_renew</Event><ExpiredTime>1798761600</ExpiredTime>",
        "Verification { step: RenewalDue, at: Some(UnixMs(1798761600000)), reason: None }",
    ),
    (
        "<Event>naming_verify_fail</Event><FailTime>1767225700</FailTime><FailReason>材料不清晰</FailReason>",
        "Verification { step: NameFailed, at: Some(UnixMs(1767225700000)), reason: Some(\"材料不清晰\") }",
    ),
    ("<Event>debug_demo</Event><debug_str>hello world</debug_str>", "Unknown { name: \"debug_demo\" }"),
    ("<Event>WifiConnected</Event>", "Unknown { name: \"WifiConnected\" }"),
];

#[test]
fn every_event_is_read() {
    for (own, printed) in EVENTS {
        let push = received(&event_of(own));
        let Content::Event(event) = &push.content else { panic!("{own} is no event") };
        assert_eq!(format!("{event:?}"), printed);
        let hash = push.key.as_str().strip_prefix("e:").and_then(|key| key.split_once(':')).unwrap().1;
        assert_eq!(hash.len(), 64);
        assert_eq!(read_back(&push), push);
        assert!(!format!("{push:?}").contains(FOLLOWER));
    }
    for (name, step) in [
        ("qualification_verify_success", VerificationStep::QualificationPassed),
        ("qualification_verify_fail", VerificationStep::QualificationFailed),
        ("naming_verify_success", VerificationStep::NamePassed),
        ("verify_expired", VerificationStep::Expired),
    ] {
        let content = content_of(&event_of(&format!("<Event>{name}</Event>")));
        assert_eq!(content, Content::Event(Event::Verification { step, at: None, reason: None }));
    }
    for (name, expected) in [
        ("user_info_modified", AuthorizationChange::Modified),
        ("user_authorization_cancellation", AuthorizationChange::Cancelled),
    ] {
        let content = content_of(&event_of(&format!("<Event>{name}</Event>")));
        assert!(
            matches!(content, Content::Event(Event::UserAuthorization { change, .. }) if change == expected)
        );
    }
}

#[test]
fn the_same_event_has_one_key_and_different_events_have_different_ones() {
    let mut keys: Vec<String> = vec![];
    let mut add = |message: &str| {
        let key = received(message).key;
        assert_eq!(received(message).key, key);
        keys.push(key.as_str().to_owned());
    };
    add(&event_of("<Event>subscribe</Event>"));
    add(&event_of("<Event>subscribe</Event>").replace("1767225700", "1767225701"));
    add(&event_of("<Event>subscribe</Event>").replace(FOLLOWER, "oAnother"));
    add(&event_of("<Event>SCAN</Event><EventKey>1</EventKey>"));
    add(&event_of("<Event>SCAN</Event><EventKey>2</EventKey>"));
    add(&event_of("<Event>SCAN</Event><MsgID>1</MsgID>"));
    add(&event_of("<Event>CLICK</Event><EventKey>1</EventKey>"));
    for id in ["1", "2"] {
        let list = format!("<SubscribeMsgSentEvent><List><MsgID>{id}</MsgID></List></SubscribeMsgSentEvent>");
        add(&event_of(&format!("<Event>subscribe_msg_sent_event</Event>{list}")));
    }
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count);
    let spellings = ["<Event>SCAN</Event>", "<Event>scan</Event>"].map(|own| received(&event_of(own)).key);
    assert_eq!(spellings[0], spellings[1]);
}

#[test]
fn windows_replies_and_articles_follow_the_kind_of_push() {
    let table = [
        (text_message("x"), Some(UserAction::Message), true, 1),
        (
            envelope_of("text", "<bizmsgmenuid>9</bizmsgmenuid><MsgId>1</MsgId>"),
            Some(UserAction::Tap),
            true,
            1,
        ),
        (envelope_of("location", "<MsgId>1</MsgId>"), Some(UserAction::Message), true, 1),
        (envelope_of("hologram", "<MsgId>1</MsgId>"), None, false, 1),
        (event_of("<Event>CLICK</Event>"), Some(UserAction::Tap), true, 8),
        (event_of("<Event>subscribe</Event>"), Some(UserAction::Tap), true, 8),
        (event_of("<Event>SCAN</Event>"), Some(UserAction::Tap), true, 8),
        (event_of("<Event>scancode_push</Event>"), Some(UserAction::Tap), true, 8),
        (event_of("<Event>scancode_waitmsg</Event>"), Some(UserAction::Tap), true, 8),
        (event_of("<Event>LOCATION</Event>"), None, true, 8),
        (event_of("<Event>VIEW</Event>"), None, false, 8),
        (event_of("<Event>pic_weixin</Event>"), None, false, 8),
        (event_of("<Event>location_select</Event>"), None, false, 8),
        (event_of("<Event>unsubscribe</Event>"), None, false, 8),
        (event_of("<Event>TEMPLATESENDJOBFINISH</Event>"), None, false, 8),
    ];
    for (message, action, shows_reply, articles) in table {
        let content = content_of(&message);
        assert_eq!(content.action(), action, "{message}");
        assert_eq!(content.shows_reply(), shows_reply, "{message}");
        assert_eq!(content.articles_max().count(), articles, "{message}");
    }
}
