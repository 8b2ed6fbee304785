//! The API's rules, against a clock that the test moves.

use serde_json::{Value, json};

use super::bot::{APP_ID, Manner};
use super::{OPENID, Stage, settled, shown};
use crate::config::Encryption;

async fn quiet() -> Stage {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Raw("success".to_owned()));
    stage
}

#[tokio::test]
async fn a_message_buys_five_sends_in_48_hours_and_a_follow_three_in_a_minute() {
    let stage = quiet().await;
    for _ in 0..3 {
        assert_eq!(stage.custom_text("欢迎").await, 0);
    }
    assert_eq!(stage.custom_text("欢迎").await, 45047);
    stage.advance_seconds(60);
    assert_eq!(stage.custom_text("欢迎").await, 45015);
    stage.say("你好").await;
    for _ in 0..5 {
        assert_eq!(stage.custom_text("好").await, 0);
    }
    assert_eq!(stage.custom_text("好").await, 45047);
    stage.say("还在吗").await;
    stage.advance_seconds(48 * 3600);
    assert_eq!(stage.custom_text("好").await, 45015);
}

#[tokio::test]
async fn customer_service_messages_are_checked() {
    let stage = quiet().await;
    stage.say("你好").await;
    let long = "长".repeat(700);
    let article = json!({ "title": "a", "description": "b", "url": "https://bank.example", "picurl": "" });
    let table = [
        (json!({ "touser": "oNobody", "msgtype": "text", "text": { "content": "a" } }), 40003),
        (json!({ "touser": OPENID, "msgtype": "text", "text": { "content": "" } }), 44004),
        (json!({ "touser": OPENID, "msgtype": "text", "text": { "content": long } }), 45002),
        (json!({ "touser": OPENID, "msgtype": "image", "image": { "media_id": "none" } }), 40007),
        (json!({ "touser": OPENID, "msgtype": "news", "news": { "articles": [article, article] } }), 45008),
        (json!({ "touser": OPENID, "msgtype": "news", "news": { "articles": [article] } }), 0),
        (json!({ "touser": OPENID, "msgtype": "smoke" }), 40008),
        (
            json!({ "touser": OPENID, "msgtype": "msgmenu", "msgmenu": {
                "head_content": "请评价", "list": [{ "id": "901", "content": "满意" }] } }),
            0,
        ),
    ];
    for (body, expected) in table {
        assert_eq!(stage.call("/cgi-bin/message/custom/send", &body).await.0, expected, "{body}");
    }
    let entries = stage.until(|_| true).await;
    let menu = entries.iter().find(|entry| entry["kind"] == "msgmenu").unwrap()["id"].clone();
    let tapped = stage.act(json!({ "action": "tap_msgmenu", "entry": menu, "id": "901" })).await;
    assert!(tapped["entry"].is_u64(), "{tapped}");
    stage.act(json!({ "action": "block", "blocked": true })).await;
    assert_eq!(stage.custom_text("好").await, 48002);
    stage.act(json!({ "action": "unfollow" })).await;
    assert_eq!(stage.custom_text("好").await, 43004);
}

fn spend(client_msg_id: &str, amount: &str) -> Value {
    json!({ "touser": OPENID, "template_id": "tplSpend", "client_msg_id": client_msg_id, "data": {
        "amount2": { "value": amount }, "thing4": { "value": "示例商户" } } })
}

#[tokio::test]
async fn a_template_message_is_held_to_its_declared_fields() {
    let stage = quiet().await;
    let path = "/cgi-bin/message/template/send";
    let (code, answer) = stage.call(path, &spend("", "¥1,128.50")).await;
    assert_eq!(code, 47003);
    let said = answer["errmsg"].as_str().unwrap();
    assert!(said.starts_with("argument invalid! data.amount2.value invalid rid: "), "{said}");
    let mut incomplete = spend("", "¥128.50");
    incomplete["data"].as_object_mut().unwrap().remove("thing4");
    assert!(stage.call(path, &incomplete).await.1["errmsg"].as_str().unwrap().contains("data.thing4.value"));
    let mut unknown = spend("", "¥128.50");
    unknown["template_id"] = json!("tplOther");
    assert_eq!(stage.call(path, &unknown).await.0, 40037);
    let token = stage.token().await;
    let library =
        stage.get(&format!("/cgi-bin/template/get_all_private_template?access_token={token}")).await;
    let content = library["template_list"][0]["content"].as_str().unwrap().to_owned();
    assert_eq!(content, "交易金额:{{amount2.DATA}}\n交易商户:{{thing4.DATA}}");
}

#[tokio::test]
async fn one_client_msg_id_is_shown_once_within_ten_minutes() {
    let stage = quiet().await;
    let path = "/cgi-bin/message/template/send";
    let first = stage.call(path, &spend("txn-1", "¥128.50")).await.1;
    let again = stage.call(path, &spend("txn-1", "¥128.50")).await.1;
    assert_eq!(first["msgid"], again["msgid"]);
    assert!(first["msgid"].as_u64().unwrap() > 1 << 53, "beyond what a float counts exactly");
    let cards = |entries: &[Value]| entries.iter().filter(|entry| entry["kind"] == "template").count();
    stage.until(|entries| settled(entries, "receipt")).await;
    assert_eq!(cards(&stage.until(|_| true).await), 1);
    let receipt = stage.bot.seen().pop().unwrap().xml;
    assert!(receipt.contains(&format!("<MsgID>{}</MsgID>", first["msgid"])), "{receipt}");
    assert!(receipt.contains("<Status><![CDATA[success]]>"), "{receipt}");
    stage.advance_seconds(600);
    let later = stage.call(path, &spend("txn-1", "¥128.50")).await.1;
    assert_ne!(first["msgid"], later["msgid"]);
    assert_eq!(cards(&stage.until(|_| true).await), 2);
}

#[tokio::test]
async fn a_follower_who_blocks_gets_no_card_and_the_receipt_says_so() {
    let stage = quiet().await;
    stage.act(json!({ "action": "block", "blocked": true })).await;
    assert_eq!(stage.call("/cgi-bin/message/template/send", &spend("", "¥1.00")).await.0, 0);
    let entries = stage.until(|entries| settled(entries, "receipt")).await;
    assert!(!shown(&entries, "account").contains(&"信用卡消费提醒"));
    assert!(stage.bot.seen().pop().unwrap().xml.contains("failed:user block"));
    stage.act(json!({ "action": "unfollow" })).await;
    assert_eq!(stage.call("/cgi-bin/message/template/send", &spend("", "¥1.00")).await.0, 43004);
}

#[tokio::test]
async fn tokens_end_and_the_two_kinds_do_not_know_each_other() {
    let stage = quiet().await;
    let stable = stage.token().await;
    assert_eq!(stable, stage.token().await, "a repeated call gives the same token");
    let classic =
        |secret: &str| format!("/cgi-bin/token?grant_type=client_credential&appid={APP_ID}&secret={secret}");
    let other = stage.get(&classic("secret")).await["access_token"].as_str().unwrap().to_owned();
    assert_ne!(stable, other);
    let probe = |token: &str| format!("/cgi-bin/getcallbackip?access_token={token}");
    let code = |answer: Value| answer["errcode"].as_i64().unwrap_or(0);
    assert_eq!(code(stage.get(&probe(&stable)).await), 0);
    assert_eq!(code(stage.get(&probe(&other)).await), 0);
    assert_eq!(code(stage.get(&probe("invented")).await), 40001);
    assert_eq!(code(stage.get("/cgi-bin/getcallbackip").await), 41001);
    assert_eq!(code(stage.get(&classic("wrong")).await), 40125);
    stage.advance_seconds(7200);
    assert_eq!(code(stage.get(&probe(&stable)).await), 42001);
    assert_ne!(stable, stage.token().await);

    let forced = json!({
        "grant_type": "client_credential", "appid": APP_ID, "secret": "secret", "force_refresh": true,
    });
    let before = stage.token().await;
    stage.post("/cgi-bin/stable_token", &forced).await;
    assert_eq!(code(stage.get(&probe(&before)).await), 40001, "a forced refresh ends the token before");
    let current = stage.token().await;
    stage.post("/sim/api/tokens/expire", &json!({})).await;
    assert_eq!(code(stage.get(&probe(&current)).await), 42001);
}

#[tokio::test]
async fn quotas_faults_and_lost_answers_can_be_played() {
    let stage = quiet().await;
    let path = "/cgi-bin/message/template/send";
    stage.post("/sim/api/quotas", &json!({ "cgi_path": path, "daily_limit": 1 })).await;
    assert_eq!(stage.call(path, &spend("a", "¥1.00")).await.0, 0);
    assert_eq!(stage.call(path, &spend("b", "¥1.00")).await.0, 45009);
    stage.advance_seconds(24 * 3600);
    stage.post("/sim/api/faults", &json!({ "api": path, "errcode": -1, "times": 1 })).await;
    assert_eq!(stage.call(path, &spend("c", "¥1.00")).await.0, -1);
    let cards = |entries: &[Value]| entries.iter().filter(|entry| entry["kind"] == "template").count();
    assert_eq!(cards(&stage.until(|_| true).await), 1, "a played error has no effect");
    stage.post("/sim/api/faults", &json!({ "api": path, "lose_answer": true, "times": 1 })).await;
    let token = stage.token().await;
    let lost = stage
        .http
        .post(stage.address(&format!("{path}?access_token={token}")))
        .json(&spend("c", "¥1.00"))
        .send();
    let lost = match lost.await {
        Ok(response) => response.bytes().await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert!(lost.is_err(), "the answer is lost");
    assert_eq!(cards(&stage.until(|_| true).await), 2, "but the message was sent");
    stage.post("/sim/api/faults", &json!({ "api": "*", "http_status": 502, "times": 1 })).await;
    let broken = stage.http.get(stage.address("/cgi-bin/getcallbackip")).send().await.unwrap();
    assert_eq!(broken.status(), 502);
    let calls = stage.get("/sim/api/calls").await;
    let sends = calls.as_array().unwrap().iter().filter(|call| call["path"] == path).count();
    assert_eq!(sends, 4);
    assert!(!calls.to_string().contains(&token), "the log holds no token");
}

#[tokio::test]
async fn menus_and_codes_are_held_to_their_limits() {
    let stage = quiet().await;
    let click = |name: &str| json!({ "type": "click", "name": name, "key": "k" });
    let table = [
        (json!({ "button": [] }), 40016),
        (json!({ "button": [click("a"), click("b"), click("c"), click("d")] }), 40016),
        (json!({ "button": [click("一二三四五六")] }), 40018),
        (json!({ "button": [{ "type": "click", "name": "a" }] }), 40019),
        (json!({ "button": [{ "type": "swipe", "name": "a" }] }), 40017),
        (
            json!({ "button": [{ "name": "a", "sub_button": [click("a"), click("b"), click("c"), click("d"),
            click("e"), click("f")] }] }),
            40023,
        ),
        (json!({ "button": [{ "type": "view", "name": "a", "url": "javascript:alert(1)" }] }), 40054),
        (json!({ "button": [click("查账单")] }), 0),
    ];
    for (menu, expected) in table {
        assert_eq!(stage.call("/cgi-bin/menu/create", &menu).await.0, expected, "{menu}");
    }
    let scene = json!({ "action_name": "QR_STR_SCENE", "expire_seconds": 100,
        "action_info": { "scene": { "scene_str": "branch" } } });
    let (_, code) = stage.call("/cgi-bin/qrcode/create", &scene).await;
    let ticket = code["ticket"].as_str().unwrap();
    let picture = stage.http.get(stage.address(&format!("/cgi-bin/showqrcode?ticket={ticket}"))).send();
    assert!(picture.await.unwrap().text().await.unwrap().contains("<svg"));
    stage.advance_seconds(100);
    let late = stage.act(json!({ "action": "scan", "ticket": ticket })).await;
    assert_eq!(late["error"], "二维码不存在或已过期");
}

#[tokio::test]
async fn media_can_be_uploaded_sent_and_fetched() {
    let stage = quiet().await;
    stage.say("你好").await;
    let token = stage.token().await;
    let png = [&[0x89, b'P', b'N', b'G'][..], b"\r\n--not the boundary\r\n"].concat();
    let part = reqwest::multipart::Part::bytes(png.clone()).file_name("a.png");
    let upload = stage.address(&format!("/cgi-bin/media/upload?access_token={token}&type=image"));
    let form = reqwest::multipart::Form::new().part("media", part);
    let answer: Value = stage.http.post(upload).multipart(form).send().await.unwrap().json().await.unwrap();
    let id = answer["media_id"].as_str().unwrap();
    let image = json!({ "touser": OPENID, "msgtype": "image", "image": { "media_id": id } });
    assert_eq!(stage.call("/cgi-bin/message/custom/send", &image).await.0, 0);
    let path = format!("/cgi-bin/media/get?access_token={token}&media_id={id}");
    let fetched = stage.http.get(stage.address(&path)).send().await.unwrap();
    assert_eq!(fetched.headers()["content-type"], "image/png");
    assert_eq!(fetched.bytes().await.unwrap(), png);
}
