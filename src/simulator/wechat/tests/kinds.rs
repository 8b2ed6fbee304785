//! Every kind of message and event, and bodies that the document does not know.

use serde_json::{Value, json};

use super::bot::Manner;
use super::{OPENID, Stage};
use crate::config::Encryption;

#[tokio::test]
async fn every_kind_of_push_is_written_as_the_document_has_it() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Raw("success".to_owned()));
    let table = [
        (json!({ "action": "shortvideo" }), "<MsgType><![CDATA[shortvideo]]></MsgType><MediaId>"),
        (json!({ "action": "file", "title": "证明.pdf" }), "<FileTotalLen>"),
        (json!({ "action": "voice", "format": "speex" }), "<Format><![CDATA[speex]]></Format><MsgId>"),
        (
            json!({ "action": "link", "title": "活动", "description": "说明", "url": "https://bank.example/a" }),
            "<Url><![CDATA[https://bank.example/a]]></Url>",
        ),
        (
            json!({ "action": "text", "text": "好文", "article": { "data_id": "2247500011", "index": 1 } }),
            "<MsgDataId><![CDATA[2247500011]]></MsgDataId><Idx>1</Idx>",
        ),
        (
            json!({ "action": "report_location", "latitude": "31.2304", "longitude": "121.4737", "precision": "65.0" }),
            "<Latitude>31.2304</Latitude><Longitude>121.4737</Longitude><Precision>65.0</Precision>",
        ),
        (
            json!({ "action": "event", "event": "kf_switch_session", "from_kf_account": "a@b", "to_kf_account": "c@b" }),
            "<FromKfAccount><![CDATA[a@b]]></FromKfAccount><ToKfAccount><![CDATA[c@b]]></ToKfAccount>",
        ),
        (
            json!({ "action": "event", "event": "user_authorization_revoke", "revoke_info": "205" }),
            "<AppID><![CDATA[wxdemo0000000001]]></AppID><RevokeInfo><![CDATA[205]]></RevokeInfo>",
        ),
        (
            json!({ "action": "event", "event": "annual_renew", "expired_time": 1_798_761_600 }),
            "<ExpiredTime>1798761600</ExpiredTime>",
        ),
        (
            json!({ "action": "event", "event": "subscribe_msg_change_event",
                "list": [{ "template_id": "t", "accept": false }] }),
            "<SubscribeStatusString><![CDATA[reject]]></SubscribeStatusString></List>",
        ),
        (
            json!({ "action": "event", "event": "publish_job_finish", "publish_id": 7, "status": 0, "article_id": "a" }),
            "<publish_id>7</publish_id><publish_status>0</publish_status>",
        ),
        (
            json!({ "action": "event", "event": "template_send_job_finish", "message_id": 9, "status": "success" }),
            "<MsgID>9</MsgID><Status><![CDATA[success]]></Status>",
        ),
        (
            json!({ "action": "event", "event": "other", "name": "debug_demo", "fields": { "Key": "v" } }),
            "<Event><![CDATA[debug_demo]]></Event><Key><![CDATA[v]]></Key>",
        ),
    ];
    for (action, expected) in table {
        let done = stage.act(action.clone()).await;
        let id = done["entry"].as_u64().unwrap_or_else(|| panic!("{action}: {done}"));
        let ended = |entries: &[Value]| {
            entries.iter().any(|entry| entry["id"] == id && entry["push"]["state"] == "quiet")
        };
        stage.until(ended).await;
        let pushed = stage.bot.seen().pop().unwrap().xml;
        assert!(pushed.contains(expected), "{action}: {pushed}");
    }
    let bad = json!({ "action": "event", "event": "other", "name": "a b", "fields": {} });
    assert!(stage.act(bad).await["error"].is_string());
    stage.act(json!({ "action": "unfollow" })).await;
    let paid = json!({ "action": "follow", "trade_no": "4200001" });
    stage.act(paid).await;
    let followed =
        |_: &[Value]| stage.bot.seen().iter().any(|seen| seen.xml.contains("last_trade_no_4200001"));
    stage.until(followed).await;
}

#[tokio::test]
async fn a_payment_opens_the_window_without_limit() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Raw("success".to_owned()));
    stage.act(json!({ "action": "pay" })).await;
    stage.advance_seconds(3_600);
    for _ in 0..10 {
        assert_eq!(stage.custom_text("谢谢").await, 0);
    }
}

#[tokio::test]
async fn a_body_that_the_document_does_not_know_is_told_by_name() {
    let stage = Stage::set(Encryption::Plain).await;
    let text = |more: Value| {
        let mut body = json!({ "touser": OPENID, "msgtype": "text", "text": { "content": "好" } });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let custom = "/cgi-bin/message/custom/send";
    let template = "/cgi-bin/message/template/send";
    let card = |data: Value| json!({ "touser": OPENID, "template_id": "tplSpend", "data": data });
    let whole = json!({ "amount2": { "value": "¥1.00" }, "thing4": { "value": "示例商户" } });
    let with = |name: &str, value: Value| {
        let mut data = whole.clone();
        data[name] = json!({ "value": value });
        data
    };
    let table = [
        (custom, text(json!({ "to_user": "x" })), 47001, "to_user"),
        (custom, text(json!({ "text": { "content": 5 } })), 47001, "integer"),
        (custom, text(json!({ "image": { "media_id": "x" } })), 40008, "another object"),
        (custom, text(json!({ "customservice": { "kf_account": "nobody@bank" } })), 65401, "custom service"),
        (custom, text(json!({ "aimsgcontext": { "is_ai_msg": 1 } })), 0, ""),
        (template, card(with("keyword9", json!("x"))), 47003, "data.keyword9.value"),
        (template, card(with("amount2", json!(12))), 47001, "integer"),
        (template, card(with("first", json!("您好"))), 0, ""),
        (
            "/cgi-bin/menu/create",
            json!({ "button": [{ "type": "click", "name": "a", "key": "k", "colour": "red" }] }),
            47001,
            "colour",
        ),
        (
            "/cgi-bin/qrcode/create",
            json!({ "action_name": "QR_LIMIT_SCENE", "expire_seconds": 60,
            "action_info": { "scene": { "scene_id": 1 } } }),
            40035,
            "expire_seconds",
        ),
    ];
    for (path, body, expected, named) in table {
        let (code, answer) = stage.call(path, &body).await;
        assert_eq!(code, expected, "{body}: {answer}");
        assert!(answer["errmsg"].as_str().unwrap_or_default().contains(named), "{answer} names {named}");
    }
}

#[tokio::test]
async fn permanent_media_stay_and_are_listed() {
    let stage = Stage::set(Encryption::Plain).await;
    let token = stage.token().await;
    let upload = async |kind: &str, bytes: Vec<u8>, name: &str| -> Value {
        let part = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part("media", part);
        let path = format!("/cgi-bin/material/add_material?access_token={token}&type={kind}");
        stage.http.post(stage.address(&path)).multipart(form).send().await.unwrap().json().await.unwrap()
    };
    let jpeg = vec![0xff, 0xd8, 0xff, 0xe0, 0, 0];
    let kept = upload("image", jpeg.clone(), "a.jpg").await["media_id"].clone();
    assert_eq!(upload("thumb", b"GIF89a".to_vec(), "a.gif").await["errcode"], 40005);
    assert_eq!(upload("voice", jpeg.clone(), "a.amr").await["errcode"], 40005);
    assert_eq!(upload("film", jpeg, "a").await["errcode"], 40004);
    stage.advance_seconds(30 * 24 * 3600);
    let list = json!({ "type": "image", "offset": 0, "count": 20 });
    let (_, listed) = stage.call("/cgi-bin/material/batchget_material", &list).await;
    assert_eq!((listed["total_count"].as_u64(), &listed["item"][0]["media_id"]), (Some(1), &kept));
    let menu = json!({ "button": [{ "type": "media_id", "name": "海报", "media_id": kept }] });
    assert_eq!(stage.call("/cgi-bin/menu/create", &menu).await.0, 0);
    stage.act(json!({ "action": "menu", "path": [0] })).await;
    stage.until(|entries| entries.iter().any(|entry| entry["source"] == "menu")).await;
    let remove = json!({ "media_id": kept });
    assert_eq!(stage.call("/cgi-bin/material/del_material", &remove).await.0, 0);
    assert_eq!(stage.call("/cgi-bin/material/del_material", &remove).await.0, 40007);
}
