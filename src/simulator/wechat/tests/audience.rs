//! Whom an account reaches, and what it may: tags, personalised menus, mass sending, notices, agents, permissions.

use serde_json::{Value, json};

use super::bot::Manner;
use super::{OPENID, Stage, settled};
use crate::config::Encryption;

async fn quiet() -> Stage {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Raw("success".to_owned()));
    stage
}

async fn pushed(stage: &Stage, part: &str) {
    let has = || stage.bot.seen().iter().any(|seen| seen.xml.contains(part));
    stage.until(|entries| settled(entries, "event") && has()).await;
}

#[tokio::test]
async fn a_personalised_menu_is_for_those_whom_it_matches() {
    let stage = quiet().await;
    let menu = |key: &str| json!({ "button": [{ "type": "click", "name": "查", "key": key }] });
    let personal = |key: &str, rule: Value| {
        let mut menu = menu(key);
        menu["matchrule"] = rule;
        menu
    };
    let add = "/cgi-bin/menu/addconditional";
    let early = stage.call(add, &personal("gold", json!({ "client_platform_type": "2" }))).await;
    assert_eq!(early.0, 65303, "the default menu comes first");
    assert_eq!(stage.call("/cgi-bin/menu/create", &menu("all")).await.0, 0);
    let (_, tag) = stage.call("/cgi-bin/tags/create", &json!({ "tag": { "name": "金卡" } })).await;
    let tag = tag["tag"]["id"].as_u64().unwrap();
    assert_eq!(stage.call("/cgi-bin/tags/create", &json!({ "tag": { "name": "金卡" } })).await.0, 45157);
    let table = [
        (json!({}), 65304),
        (json!({ "sex": "1" }), 65320),
        (json!({ "tag_id": "99999" }), 40152),
        (json!({ "tag_id": tag }), 47001),
        (json!({ "tag_id": tag.to_string() }), 0),
        (json!({ "client_platform_type": "2" }), 0),
    ];
    for (rule, expected) in table {
        let key = if rule.get("tag_id").is_some() { "gold" } else { "android" };
        assert_eq!(stage.call(add, &personal(key, rule.clone())).await.0, expected, "{rule}");
    }
    let key_of = |answer: Value| answer["button"][0]["key"].as_str().unwrap_or_default().to_owned();
    let who = json!({ "user_id": OPENID });
    assert_eq!(key_of(stage.call("/cgi-bin/menu/trymatch", &who).await.1), "all");
    let tagging = json!({ "openid_list": [OPENID], "tagid": tag });
    assert_eq!(stage.call("/cgi-bin/tags/members/batchtagging", &tagging).await.0, 0);
    assert_eq!(key_of(stage.call("/cgi-bin/menu/trymatch", &who).await.1), "gold");
    stage.act(json!({ "action": "client", "client": 2 })).await;
    assert_eq!(key_of(stage.call("/cgi-bin/menu/trymatch", &who).await.1), "android", "the newest wins");
    stage.act(json!({ "action": "menu", "path": [0] })).await;
    stage.until(|entries| settled(entries, "menu")).await;
    assert!(stage.bot.seen().last().unwrap().xml.contains("<EventKey><![CDATA[android]]>"));
    let token = stage.token().await;
    let all = stage.get(&format!("/cgi-bin/menu/get?access_token={token}")).await;
    assert_eq!(all["conditionalmenu"].as_array().unwrap().len(), 2);
    let newest = all["conditionalmenu"][0]["menuid"].as_u64().unwrap().to_string();
    assert_eq!(stage.call("/cgi-bin/menu/delconditional", &json!({ "menuid": newest })).await.0, 0);
    assert_eq!(key_of(stage.call("/cgi-bin/menu/trymatch", &who).await.1), "gold");
    stage.get(&format!("/cgi-bin/menu/delete?access_token={token}")).await;
    assert_eq!(stage.call("/cgi-bin/menu/trymatch", &who).await.0, 46003, "deleting takes all of them");
}

#[tokio::test]
async fn tags_remarks_and_the_blacklist_stay_with_the_follower() {
    let stage = quiet().await;
    let remark = |words: &str| json!({ "openid": OPENID, "remark": words });
    assert_eq!(
        stage.call("/cgi-bin/user/info/updateremark", &remark("十个汉字的备注超过了长度")).await.0,
        40092
    );
    assert_eq!(stage.call("/cgi-bin/user/info/updateremark", &remark("贵宾")).await.0, 0);
    let token = stage.token().await;
    let info =
        stage.get(&format!("/cgi-bin/user/info?access_token={token}&openid={OPENID}&lang=zh_CN")).await;
    assert_eq!(
        (info["remark"].as_str(), info["subscribe_scene"].as_str()),
        (Some("贵宾"), Some("ADD_SCENE_SEARCH"))
    );
    let list = json!({ "openid_list": [OPENID] });
    assert_eq!(stage.call("/cgi-bin/tags/members/batchblacklist", &list).await.0, 0);
    let (_, black) = stage.call("/cgi-bin/tags/members/getblacklist", &json!({ "begin_openid": "" })).await;
    assert_eq!(black["data"]["openid"], json!([OPENID]));
    stage.say("在吗").await;
    assert_eq!(stage.custom_text("好").await, 43019);
    assert_eq!(stage.call("/cgi-bin/tags/members/batchunblacklist", &list).await.0, 0);
    assert_eq!(stage.custom_text("好").await, 0);
}

#[tokio::test]
async fn a_mass_message_reaches_each_follower_four_times_a_month_and_reports() {
    let stage = quiet().await;
    let body = |id: &str| {
        json!({ "filter": { "is_to_all": true }, "msgtype": "text", "text": { "content": "节日快乐" },
            "clientmsgid": id })
    };
    let path = "/cgi-bin/message/mass/sendall";
    let (code, job) = stage.call(path, &body("a")).await;
    assert_eq!(code, 0);
    assert_eq!(stage.call(path, &body("a")).await.0, 45065, "the same clientmsgid");
    let status = json!({ "msg_id": job["msg_id"].to_string() });
    assert_eq!(stage.call("/cgi-bin/message/mass/get", &status).await.1["msg_status"], "SEND_SUCCESS");
    for id in ["b", "c", "d", "e"] {
        assert_eq!(stage.call(path, &body(id)).await.0, 0);
    }
    let shown = stage.until(|_| true).await;
    assert_eq!(shown.iter().filter(|entry| entry["source"] == "mass").count(), 4);
    let one = json!({ "touser": [OPENID], "msgtype": "text", "text": { "content": "a" } });
    assert_eq!(stage.call("/cgi-bin/message/mass/send", &one).await.0, 40130);
}

#[tokio::test]
async fn a_subscription_notice_comes_as_often_as_it_was_accepted() {
    let stage = quiet().await;
    let add = json!({ "tid": "99", "kidList": [1, 2], "sceneDesc": "预约提醒" });
    let template = stage.call("/wxaapi/newtmpl/addtemplate", &add).await.1["priTmplId"].clone();
    let data = json!({ "thing1": { "value": "网点办理" }, "date2": { "value": "2026年1月1日" } });
    let send = json!({ "touser": OPENID, "template_id": template, "data": data });
    let path = "/cgi-bin/message/subscribe/bizsend";
    assert_eq!(stage.call(path, &send).await.0, 43101);
    stage.act(json!({ "action": "subscribe", "template_id": template, "accept": true })).await;
    pushed(&stage, "<SubscribeStatusString><![CDATA[accept]]>").await;
    let mut wrong = send.clone();
    wrong["data"]["thing1"]["value"] = json!("一".repeat(21));
    assert_eq!(stage.call(path, &wrong).await.0, 47003);
    assert_eq!(stage.call(path, &send).await.0, 0);
    pushed(&stage, "<SubscribeMsgSentEvent>").await;
    assert_eq!(stage.call(path, &send).await.0, 43101, "one acceptance, one notice");
}

#[tokio::test]
async fn while_an_agent_of_the_platform_serves_the_server_hears_no_messages() {
    let stage = quiet().await;
    let agent = json!({ "kf_account": "agent01@demobank", "nickname": "小林" });
    assert_eq!(stage.call("/customservice/kfaccount/add", &agent).await.0, 0);
    assert_eq!(stage.call("/customservice/kfaccount/add", &agent).await.0, 65406);
    let pair = json!({ "kf_account": "agent01@demobank", "openid": OPENID });
    assert_eq!(stage.call("/customservice/kfsession/create", &pair).await.0, 65402, "nobody is bound");
    let invite = json!({ "kf_account": "agent01@demobank", "invite_wx": "worker_01" });
    assert_eq!(stage.call("/customservice/kfaccount/inviteworker", &invite).await.0, 0);
    assert_eq!(stage.call("/customservice/kfsession/create", &pair).await.0, 0);
    pushed(&stage, "kf_create_session").await;
    let before = stage.bot.seen().len();
    let said = stage.say("我要投诉").await["entry"].clone();
    let entries = stage.until(|entries| entries.iter().any(|entry| entry["id"] == said)).await;
    assert_eq!(entries.iter().find(|entry| entry["id"] == said).unwrap()["push"], Value::Null);
    assert_eq!(stage.bot.seen().len(), before, "the message stays on the platform");
    assert_eq!(stage.call("/customservice/kfsession/close", &pair).await.0, 0);
    assert_eq!(stage.call("/customservice/kfsession/close", &pair).await.0, 65413);
    stage.say("还在吗").await;
    stage.until(|entries| settled(entries, "text")).await;
    assert!(stage.bot.seen().last().unwrap().xml.contains("还在吗"));
}

#[tokio::test]
async fn what_an_account_has_no_permission_for_is_48001() {
    let stage = quiet().await;
    let qr = json!({ "action_name": "QR_LIMIT_SCENE", "action_info": { "scene": { "scene_id": 1 } } });
    let text = json!({ "touser": OPENID, "msgtype": "text", "text": { "content": "好" } });
    let calls = [("/cgi-bin/qrcode/create", &qr), ("/cgi-bin/message/custom/send", &text)];
    let table = [(true, true, [0, 0]), (false, true, [48001, 0]), (true, false, [48001, 48001])];
    for (is_service, is_verified, expected) in table {
        let rights = json!({ "account": "card", "is_service": is_service, "is_verified": is_verified });
        stage.post("/sim/api/rights", &rights).await;
        for ((path, body), expected) in calls.iter().zip(expected) {
            assert_eq!(stage.call(path, body).await.0, expected, "{is_service} {is_verified} {path}");
        }
    }
}
