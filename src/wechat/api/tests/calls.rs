//! Each call on the wire.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use crate::domain::secret::Personal;
use crate::wechat::menu::{Menu, outline};
use crate::wechat::push::ArticlesMax;
use crate::wechat::reply::{Article, Articles, MediaId, Music, Reply};

fn media(id: &str) -> MediaId {
    MediaId::parse(id).unwrap()
}

fn article(title: &str) -> Article {
    Article {
        title: Personal::new(title),
        description: Personal::new("说明"),
        picture_url: "https://bank.example/p.png".to_owned(),
        url: Personal::new("https://bank.example/a"),
    }
}

fn every_message() -> Vec<(CustomMessage, Value)> {
    let target = MiniProgram { app_id: "wxmini0000000001".to_owned(), page_path: "pages/a".to_owned() };
    let items = ["满意", "不满意"].iter().zip(["901", "902"]);
    let items = items.map(|(content, id)| MenuItem { id: id.to_owned(), content: (*content).to_owned() });
    let music = Music {
        thumb_media_id: media("t"),
        title: Some("歌".to_owned()),
        description: None,
        url: None,
        high_quality_url: Some("https://bank.example/hq".to_owned()),
    };
    vec![
        (hello(), json!({ "msgtype": "text", "text": { "content": "您好" } })),
        (CustomMessage::Image(media("m")), json!({ "msgtype": "image", "image": { "media_id": "m" } })),
        (CustomMessage::Voice(media("m")), json!({ "msgtype": "voice", "voice": { "media_id": "m" } })),
        (
            CustomMessage::Video {
                media_id: media("m"),
                thumb_media_id: media("t"),
                title: Some("片".to_owned()),
                description: None,
            },
            json!({ "msgtype": "video", "video": {
                "media_id": "m", "thumb_media_id": "t", "title": "片", "description": "" } }),
        ),
        (
            CustomMessage::Music(music),
            json!({ "msgtype": "music", "music": { "title": "歌", "description": "", "musicurl": "",
                "hqmusicurl": "https://bank.example/hq", "thumb_media_id": "t" } }),
        ),
        (
            CustomMessage::News(article("标题")),
            json!({ "msgtype": "news", "news": { "articles": [{ "title": "标题", "description": "说明",
                "url": "https://bank.example/a", "picurl": "https://bank.example/p.png" }] } }),
        ),
        (
            CustomMessage::PublishedArticle { article_id: "a".to_owned() },
            json!({ "msgtype": "mpnewsarticle", "mpnewsarticle": { "article_id": "a" } }),
        ),
        (
            CustomMessage::Menu {
                head: Some("请评价本次服务".to_owned()),
                items: items.collect(),
                tail: Some("谢谢".to_owned()),
            },
            json!({ "msgtype": "msgmenu", "msgmenu": { "head_content": "请评价本次服务", "list": [
                { "id": "901", "content": "满意" }, { "id": "902", "content": "不满意" }],
                "tail_content": "谢谢" } }),
        ),
        (
            CustomMessage::Coupon { card_id: "c".to_owned() },
            json!({ "msgtype": "wxcard", "wxcard": { "card_id": "c" } }),
        ),
        (
            CustomMessage::MiniProgramPage { target, title: "卡片".to_owned(), thumb_media_id: media("t") },
            json!({ "msgtype": "miniprogrampage", "miniprogrampage": { "title": "卡片",
                "appid": "wxmini0000000001", "pagepath": "pages/a", "thumb_media_id": "t" } }),
        ),
    ]
}

#[tokio::test]
async fn every_customer_service_message_is_written_as_the_documents_show_it() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    for (message, mut expected) in every_message() {
        let send = CustomSend { to: &follower(), message: &message, agent: None, is_generated: false };
        api.custom_send(send).await.unwrap();
        expected["touser"] = json!("oBkUser_000000000000000000A1");
        let seen = fixture.seen(SEND_PATH).pop().unwrap();
        assert_eq!(seen.json(), expected);
        assert!(!String::from_utf8(seen.body).unwrap().contains("\\u"), "the platform wants plain UTF-8");
        assert_eq!(CustomMessage::from_json(&message.to_json().unwrap()).unwrap(), message);
    }
    let send = CustomSend {
        to: &follower(),
        message: &hello(),
        agent: Some("agent01@demobank"),
        is_generated: true,
    };
    api.custom_send(send).await.unwrap();
    let body = fixture.seen(SEND_PATH).pop().unwrap().json();
    assert_eq!(body["customservice"], json!({ "kf_account": "agent01@demobank" }));
    assert_eq!(body["aimsgcontext"], json!({ "is_ai_msg": 1 }));
}

#[test]
fn a_late_reply_becomes_a_message_of_the_same_content() {
    let text = Text::new("您好").unwrap();
    assert_eq!(CustomMessage::from_reply(&Reply::Text(text)), Some(hello()));
    let one = Reply::News(Articles::one(article("一")));
    assert_eq!(CustomMessage::from_reply(&one), Some(CustomMessage::News(article("一"))));
    let two = Articles::new(vec![article("一"), article("<二>")], ArticlesMax::Eight).unwrap();
    let Some(CustomMessage::Text(lines)) = CustomMessage::from_reply(&Reply::News(two)) else {
        panic!("two cards do not fit one message")
    };
    let expected = "<a href=\"https://bank.example/a\">一</a>\n<a href=\"https://bank.example/a\">＜二＞</a>";
    assert_eq!(lines.reveal(), expected);
    assert_eq!(CustomMessage::from_reply(&Reply::Nothing), None);
    assert_eq!(CustomMessage::from_reply(&Reply::TransferCustomerService { agent: None }), None);
}

#[tokio::test]
async fn typing_is_shown_and_hidden() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    api.typing(&follower(), Typing::On).await.unwrap();
    api.typing(&follower(), Typing::Off).await.unwrap();
    let seen = fixture.seen("/cgi-bin/message/custom/typing");
    let commands: Vec<_> = seen.iter().map(|seen| seen.json()["command"].clone()).collect();
    assert_eq!(commands, ["Typing", "CancelTyping"]);
}

#[tokio::test]
async fn a_template_message_carries_its_key_and_its_id_keeps_every_digit() {
    let fixture = Fixture::start();
    let path = "/cgi-bin/message/template/send";
    let answer = br#"{"errcode":0,"errmsg":"ok","msgid":3717005636572520001}"#.to_vec();
    fixture.script(path, [Script::Raw(200, "application/json", answer)]);
    let api = api(&fixture);
    let data = [("thing1", "示例商户"), ("amount2", "¥128.50")];
    let mut message = TemplateMessage {
        to: follower(),
        template_id: "tplSpendNotice".to_owned(),
        url: Some("https://bank.example/h5/txn/1".to_owned()),
        mini_program: Some(MiniProgram {
            app_id: "wxmini".to_owned(),
            page_path: "pages/txn?id=1".to_owned(),
        }),
        client_msg_id: "txn-20260101-000001".to_owned(),
        data: data.map(|(keyword, value)| (keyword.to_owned(), value.to_owned())).into(),
    };
    assert_eq!(api.template_send(&message).await.as_deref(), Ok("3717005636572520001"));
    assert_eq!(
        fixture.seen(path)[0].json(),
        json!({ "touser": "oBkUser_000000000000000000A1", "template_id": "tplSpendNotice",
            "url": "https://bank.example/h5/txn/1",
            "miniprogram": { "appid": "wxmini", "pagepath": "pages/txn?id=1" },
            "client_msg_id": "txn-20260101-000001",
            "data": { "thing1": { "value": "示例商户" }, "amount2": { "value": "¥128.50" } } })
    );
    (message.url, message.mini_program, message.data) = (None, None, BTreeMap::new());
    fixture.json(path, json!({ "errcode": 0, "msgid": "9".repeat(30) }));
    assert_eq!(api.template_send(&message).await, Ok("9".repeat(30)));
    assert!(fixture.seen(path)[1].json().get("url").is_none());
    fixture.json(path, json!({ "errcode": 0 }));
    assert!(!api.template_send(&message).await.unwrap_err().is_certainly_not_done());
    fixture.json(path, json!({ "errcode": 43004, "errmsg": "require subscribe" }));
    assert_eq!(api.template_send(&message).await.unwrap_err().class(), Class::Unreachable);
}

#[tokio::test]
async fn menus_are_pushed_read_and_taken_away() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    let menu = Menu::from_toml("[[button]]\ntype = \"click\"\nname = \"账单\"\nkey = \"bill\"\n").unwrap();
    api.menu_create(&menu).await.unwrap();
    assert_eq!(fixture.seen("/cgi-bin/menu/create")[0].json(), menu.to_json());
    fixture.json("/cgi-bin/menu/get", json!({ "menu": { "button": menu.to_json()["button"], "menuid": 1 } }));
    let there = api.menus().await.unwrap().unwrap();
    assert_eq!(outline(&there), outline(&menu.as_answered()));
    fixture.script("/cgi-bin/menu/get", [refusal(46003)]);
    assert_eq!(api.menus().await, Ok(None));
    api.menu_delete().await.unwrap();
    assert_eq!(fixture.seen("/cgi-bin/menu/delete").len(), 1);
}

#[tokio::test]
async fn personalised_menus_are_made_anew_only_where_they_differ_the_first_last() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    let button = "button]]\ntype = \"click\"\nname = \"账单\"\nkey = \"bill\"\n";
    let rule = |platform: u8| {
        format!(
            "[[conditionalmenu]]\nmatchrule = {{ client_platform_type = \"{platform}\" }}\n[[conditionalmenu.{button}"
        )
    };
    let menu = Menu::from_toml(&format!("[[{button}{}{}", rule(1), rule(2))).unwrap();
    let mut there = menu.as_answered();
    there["conditionalmenu"][0]["menuid"] = json!(9);
    there["conditionalmenu"][1]["menuid"] = json!(8);
    fixture.json("/cgi-bin/menu/get", there.clone());
    api.menu_push(&menu).await.unwrap();
    let (add, delete) = ("/cgi-bin/menu/addconditional", "/cgi-bin/menu/delconditional");
    assert_eq!((fixture.seen(add).len(), fixture.seen(delete).len()), (0, 0), "they are there already");
    there["conditionalmenu"][0]["matchrule"]["client_platform_type"] = json!("3");
    fixture.json("/cgi-bin/menu/get", there);
    api.menu_push(&menu).await.unwrap();
    let deleted: Vec<_> = fixture.seen(delete).iter().map(|call| call.json()["menuid"].clone()).collect();
    assert_eq!(deleted, ["9", "8"]);
    let added: Vec<_> = fixture.seen(add).iter().map(|call| call.json()["matchrule"].clone()).collect();
    let of = |platform: &str| json!({ "client_platform_type": platform });
    assert_eq!(added, [of("2"), of("1")], "the newest counts first");
}

#[tokio::test]
async fn templates_tell_their_keywords() {
    let fixture = Fixture::start();
    let content = "商户:{{thing1.DATA}}\n金额:{{amount2.DATA}}\n{{time3.DATA}}";
    let template = json!({ "template_id": "t", "title": "消费提醒", "content": content, "example": "…" });
    fixture.json("/cgi-bin/template/get_all_private_template", json!({ "template_list": [template] }));
    let templates = api(&fixture).templates().await.unwrap();
    assert_eq!(templates[0].keywords(), ["thing1", "amount2", "time3"]);
}

#[tokio::test]
async fn followers_codes_quotas_and_addresses_are_asked_for() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    fixture.script(
        "/cgi-bin/user/info",
        [
            Script::Json(
                json!({ "subscribe": 1, "openid": "o", "subscribe_time": 1767225600, "unionid": "u",
                "subscribe_scene": "ADD_SCENE_QR_CODE", "qr_scene": 0, "qr_scene_str": "branch_0571" }),
            ),
            Script::Json(json!({ "subscribe": 0, "openid": "o" })),
        ],
    );
    let info = api.user_info(&follower()).await.unwrap();
    assert!(info.is_following);
    assert_eq!((info.followed_at, info.qr_scene.as_deref()), (Some(NOW), Some("branch_0571")));
    assert_eq!(fixture.seen("/cgi-bin/user/info")[0].query["openid"], follower().reveal());
    assert!(!api.user_info(&follower()).await.unwrap().is_following);

    let answer = json!({ "ticket": "gQH4", "expire_seconds": 604800, "url": "http://weixin.qq.com/q/x" });
    fixture.json("/cgi-bin/qrcode/create", answer);
    let code = api.qr_code_create(&QrScene::temporary("branch_0571", 604_800).unwrap()).await.unwrap();
    assert_eq!((code.ticket.as_str(), code.expire_seconds), ("gQH4", Some(604_800)));
    assert_eq!(
        fixture.seen("/cgi-bin/qrcode/create")[0].json(),
        json!({ "expire_seconds": 604800, "action_name": "QR_STR_SCENE",
            "action_info": { "scene": { "scene_str": "branch_0571" } } })
    );
    api.qr_code_create(&QrScene::permanent("branch_0571").unwrap()).await.unwrap();
    assert_eq!(fixture.seen("/cgi-bin/qrcode/create")[1].json()["action_name"], "QR_LIMIT_STR_SCENE");
    assert_eq!(QrScene::permanent(&"景".repeat(65)), None);
    assert_eq!(QrScene::temporary("a", QrScene::EXPIRE_SECONDS_MAX + 1), None);

    fixture.json("/cgi-bin/get_api_domain_ip", json!({ "ip_list": ["101.0.0.1", "101.0.0.0/25"] }));
    assert_eq!(api.api_domain_ips().await.unwrap(), ["101.0.0.1", "101.0.0.0/25"]);
    let quota = json!({ "daily_limit": 100000, "used": 1, "remain": 99999 });
    fixture.json("/cgi-bin/openapi/quota/get", json!({ "errcode": 0, "quota": quota }));
    let told = api.quota(SEND_PATH).await.unwrap();
    assert_eq!((told.remain, told.calls_per_second()), (99_999, None));
    let rate = json!({ "call_count": 90_000, "refresh_second": 60 });
    fixture.json("/cgi-bin/openapi/quota/get", json!({ "errcode": 0, "quota": quota, "rate_limit": rate }));
    assert_eq!(api.quota(SEND_PATH).await.unwrap().calls_per_second(), Some(1_500));
    assert_eq!(fixture.seen("/cgi-bin/openapi/quota/get")[0].json(), json!({ "cgi_path": SEND_PATH }));
}

#[tokio::test]
async fn a_visitor_is_sent_out_and_recognised_when_he_returns() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    let back = Url::parse("https://wx.bank.example/h5/back?to=bind&x=1").unwrap();
    assert_eq!(
        api.authorize_url(&back, Scope::Base, "abc123"),
        "http://127.0.0.1:1/connect/oauth2/authorize?appid=wxdemo0000000001\
         &redirect_uri=https%3A%2F%2Fwx.bank.example%2Fh5%2Fback%3Fto%3Dbind%26x%3D1\
         &response_type=code&scope=snsapi_base&state=abc123#wechat_redirect"
    );
    assert!(api.authorize_url(&back, Scope::UserInfo, "a&b").contains("scope=snsapi_userinfo&state=a%26b#"));

    let path = "/sns/oauth2/access_token";
    let answer = |extra: Value| {
        let mut answer = json!({ "access_token": "A", "expires_in": 7200, "refresh_token": "R", "openid": "oV",
            "scope": "snsapi_base" });
        answer.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        Script::Json(answer)
    };
    for (extra, is_snapshot) in [
        (json!({}), false),
        (json!({ "is_snapshotuser": 0 }), false),
        (json!({ "is_snapshotuser": 1 }), true),
        (json!({ "is_snapshotuser": true }), true),
        (json!({ "is_snapshotuser": "1", "unionid": "u" }), true),
    ] {
        fixture.script(path, [answer(extra)]);
        let visitor = api.exchange_code("CODE").await.unwrap();
        assert_eq!((visitor.openid.reveal(), visitor.is_snapshot), ("oV", is_snapshot));
    }
    let query = &fixture.seen(path)[0].query;
    let given: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let expected = ["appid=wxdemo0000000001", "code=CODE", "grant_type=authorization_code", "secret=secret"];
    assert_eq!(given, expected);
    assert!(fixture.seen(TOKEN_PATH).is_empty());
    for (code, class) in
        [(40163, Class::RestartOauth), (40029, Class::RestartOauth), (40001, Class::Configuration)]
    {
        fixture.script(path, [refusal(code)]);
        assert_eq!(api.exchange_code("CODE").await.unwrap_err().class(), class);
    }
}

#[tokio::test]
async fn media_go_up_whole_and_come_down_as_file_film_or_error() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    let png = Bytes::from_static(b"\x89PNG\r\n\x1A\npicture");
    let file = MediaFile::new(MediaKind::Image, png.clone()).unwrap();
    fixture.json("/cgi-bin/media/upload", json!({ "type": "image", "media_id": "mNew", "created_at": 1 }));
    assert_eq!(api.media_upload(&file).await.unwrap().as_str(), "mNew");
    let seen = &fixture.seen("/cgi-bin/media/upload")[0];
    assert_eq!(seen.query["type"], "image");
    let form = String::from_utf8_lossy(&seen.body);
    assert!(
        form.contains("name=\"media\"; filename=\"media.png\"") && form.contains("Content-Type: image/png")
    );
    assert!(seen.body.windows(png.len()).any(|window| window == png));

    let path = "/cgi-bin/media/get";
    fixture.script(path, [Script::Raw(200, "image/png", png.to_vec())]);
    let Media::File { content_type, bytes } = api.media_get("m").await.unwrap() else { panic!("not a film") };
    assert_eq!((content_type.as_str(), bytes), ("image/png", png));
    fixture.script(path, [Script::Raw(200, "audio/amr", b"{not json".to_vec())]);
    assert!(matches!(api.media_get("m").await, Ok(Media::File { .. })));
    fixture.json(path, json!({ "video_url": "https://bank.example/v.mp4" }));
    assert!(matches!(api.media_get("m").await, Ok(Media::VideoAt(url)) if url.ends_with("v.mp4")));
    let answer = json!({ "errcode": 40007, "errmsg": "invalid media_id" }).to_string().into_bytes();
    fixture.script(path, [Script::Raw(200, "image/jpeg", answer)]);
    assert_eq!(api.media_get("m").await.err().unwrap().code(), Some(40007));
}

#[test]
fn only_files_that_the_platform_takes_are_uploaded() {
    let file = |kind, bytes: &'static [u8]| MediaFile::new(kind, Bytes::from_static(bytes)).err();
    assert_eq!(file(MediaKind::Image, b"\xFF\xD8\xFF\xE0"), None);
    assert_eq!(file(MediaKind::Image, b"GIF89a"), None);
    assert_eq!(file(MediaKind::Voice, b"#!AMR\n"), None);
    assert_eq!(file(MediaKind::Voice, b"#!AMR-WB\n"), None);
    assert_eq!(file(MediaKind::Voice, b"ID3\x03"), None);
    assert_eq!(file(MediaKind::Video, b"\0\0\0\x20ftypisom"), None);
    assert_eq!(file(MediaKind::Thumb, b"\xFF\xD8\xFF\xE0"), None);
    assert_eq!(file(MediaKind::Image, b"<svg/>"), Some(NotUploadable::Format));
    assert_eq!(file(MediaKind::Thumb, b"GIF89a"), Some(NotUploadable::Format));
    let size = |bytes| Some(NotUploadable::Size { bytes, bytes_max: 64 * 1024 });
    assert_eq!(file(MediaKind::Thumb, b""), size(0));
    let large = MediaFile::new(MediaKind::Thumb, Bytes::from(vec![0xFF; 64 * 1024 + 1]));
    assert_eq!(large.err(), size(64 * 1024 + 1));
}
