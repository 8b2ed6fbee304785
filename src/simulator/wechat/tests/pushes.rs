//! Pushes, their deliveries, and what comes of the replies.

use std::collections::HashSet;

use serde_json::json;

use super::super::envelope::signature;
use super::super::push::OUT_OF_ORDER;
use super::bot::{Manner, ORIGINAL_ID, TOKEN, text_reply};
use super::{DELIVERY_TIMEOUT_MS, OPENID, Stage, settled, shown};
use crate::config::Encryption;

#[tokio::test]
async fn a_text_gets_its_reply_in_every_mode() {
    for encryption in [Encryption::Plain, Encryption::Compat, Encryption::Safe] {
        let stage = Stage::set(encryption).await;
        stage.bot.behave(Manner::Echo);
        stage.say("查账单 <&> ]]>").await;
        let entries = stage.until(|entries| settled(entries, "text")).await;
        assert!(shown(&entries, "account").contains(&"您说：查账单 <&> ]]>"), "{encryption:?}");

        let seen = stage.bot.seen().remove(0);
        let field = |name: &str| seen.query[name].clone();
        let (timestamp, nonce) = (field("timestamp"), field("nonce"));
        assert_eq!(field("signature"), signature(&[TOKEN, &timestamp, &nonce]));
        assert_eq!(seen.query.contains_key("msg_signature"), encryption != Encryption::Plain);
        assert_eq!(seen.body.contains("<Content>"), encryption != Encryption::Safe);
        assert_eq!(seen.body.contains("<Encrypt>"), encryption != Encryption::Plain);
        stage.simulator.stop().await;
    }
}

#[tokio::test]
async fn silence_is_delivered_three_times_and_then_shown() {
    let stage = Stage::set(Encryption::Safe).await;
    stage.bot.behave(Manner::Sleep);
    stage.say("在吗").await;
    let entries = stage.until(|entries| shown(entries, "system").contains(&OUT_OF_ORDER)).await;
    let asked = entries.iter().find(|entry| entry["text"] == "在吗").unwrap();
    assert_eq!(asked["push"]["state"], "silent");
    let deliveries = asked["push"]["deliveries"].as_array().unwrap();
    assert_eq!(deliveries.len(), 3);
    assert!(deliveries.iter().all(|delivery| delivery["outcome"] == "timeout"));
    assert!(deliveries.iter().all(|one| one["duration_ms"].as_u64().unwrap() >= DELIVERY_TIMEOUT_MS));

    let seen = stage.bot.seen();
    let bodies: HashSet<&String> = seen.iter().map(|one| &one.xml).collect();
    let nonces: HashSet<&String> = seen.iter().map(|one| &one.query["nonce"]).collect();
    assert_eq!((bodies.len(), nonces.len()), (1, 3), "the same message, signed anew");
}

#[tokio::test]
async fn a_failing_server_is_tried_again_and_its_answer_still_counts() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Fail(2));
    stage.say("你好").await;
    let entries = stage.until(|entries| settled(entries, "text")).await;
    assert!(shown(&entries, "account").contains(&"您说：你好"));
    assert!(!shown(&entries, "system").contains(&OUT_OF_ORDER));
}

#[tokio::test]
async fn success_and_an_empty_body_show_nothing() {
    let stage = Stage::set(Encryption::Safe).await;
    for quiet in ["success", ""] {
        stage.bot.behave(Manner::Raw(quiet.to_owned()));
        let before = stage.until(|_| true).await.len();
        stage.say("嗯").await;
        let quiet_push = |entries: &[_]| entries.len() > before && settled(entries, "text");
        let entries = stage.until(quiet_push).await;
        assert_eq!(entries.len(), before + 1);
        assert_eq!(entries.last().unwrap()["push"]["state"], "quiet");
    }
}

#[tokio::test]
async fn a_malformed_reply_is_shown_as_a_fault_at_once() {
    let stage = Stage::set(Encryption::Plain).await;
    let good = text_reply(OPENID, ORIGINAL_ID, "好");
    let news = "<item><Title>a</Title><Description>b</Description><PicUrl/><Url>http://a</Url></item>";
    let two = good.replace(
        "<MsgType><![CDATA[text]]></MsgType><Content><![CDATA[好]]></Content>",
        &format!("<MsgType>news</MsgType><ArticleCount>2</ArticleCount><Articles>{news}{news}</Articles>"),
    );
    let table = [
        "{\"text\":\"json\"}".to_owned(),
        format!("\n{good}"),
        text_reply(ORIGINAL_ID, OPENID, "swapped"),
        text_reply(OPENID, ORIGINAL_ID, ""),
        text_reply(OPENID, ORIGINAL_ID, &"长".repeat(700)),
        good.replace("<![CDATA[text]]>", "<![CDATA[image]]>"),
        good.replace("<CreateTime>1", "<CreateTime>now"),
        two.clone(),
    ];
    for (index, reply) in table.into_iter().enumerate() {
        stage.bot.behave(Manner::Raw(reply.clone()));
        stage.say("账单").await;
        let faults =
            |entries: &[_]| shown(entries, "system").iter().filter(|text| **text == OUT_OF_ORDER).count();
        stage.until(|entries| faults(entries) == index + 1).await;
        assert_eq!(stage.bot.seen().len(), 1, "not delivered again: {reply}");
    }
    // Two articles are fine where no message is answered.
    stage.bot.behave(Manner::Raw(two));
    stage.act(json!({ "action": "scan", "scene": "branch_1" })).await;
    let entries = stage.until(|entries| settled(entries, "scan")).await;
    assert_eq!(entries.last().unwrap()["detail"]["articles"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_unencrypted_reply_in_safe_mode_is_a_fault() {
    let stage = Stage::set(Encryption::Safe).await;
    stage.bot.behave(Manner::Raw(text_reply(OPENID, ORIGINAL_ID, "明文")));
    stage.say("账单").await;
    stage.until(|entries| shown(entries, "system").contains(&OUT_OF_ORDER)).await;
}

#[tokio::test]
async fn pushes_of_one_follower_begin_in_order_and_do_not_wait_for_slow_answers() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Sleep);
    for text in ["一", "二", "三"] {
        stage.say(text).await;
    }
    stage.until(|entries| settled(entries, "text")).await;
    let seen = stage.bot.seen();
    let first: Vec<bool> = ["一", "二", "三"]
        .iter()
        .zip(&seen)
        .map(|(text, seen)| seen.xml.contains(&format!("<Content><![CDATA[{text}]]>")))
        .collect();
    assert_eq!(first, [true, true, true], "the first deliveries come in order, before any second one");
}

#[tokio::test]
async fn actions_become_the_documented_pushes() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Echo);
    let menu = json!({ "button": [
        { "type": "click", "name": "查账单", "key": "bill_current" },
        { "name": "更多", "sub_button": [
            { "type": "view", "name": "网站", "url": "https://bank.example/h5" },
            { "type": "click", "name": "人工", "key": "human_agent" },
        ]},
    ]});
    assert_eq!(stage.call("/cgi-bin/menu/create", &menu).await.0, 0);
    let table = [
        (json!({ "action": "image" }), "<MsgType><![CDATA[image]]>"),
        (json!({ "action": "voice", "recognition": "查账单" }), "<MediaId16K>"),
        (json!({ "action": "video" }), "<ThumbMediaId>"),
        (
            json!({ "action": "location", "latitude": "31.2", "longitude": "121.4", "label": "某路" }),
            "<Location_X>31.2</Location_X>",
        ),
        (json!({ "action": "menu", "path": [0] }), "<EventKey><![CDATA[bill_current]]>"),
        (json!({ "action": "menu", "key": "human_agent" }), "<Event><![CDATA[CLICK]]>"),
        (json!({ "action": "menu", "path": [1, 0] }), "<Event><![CDATA[VIEW]]>"),
        (json!({ "action": "scan", "scene": "branch_0571" }), "<Event><![CDATA[SCAN]]>"),
        (
            json!({ "action": "tap_link", "href": "weixin://bizmsgmenu?msgmenucontent=%E8%B4%A6%E5%8D%95&msgmenuid=301" }),
            "<Content><![CDATA[账单]]></Content><bizmsgmenuid><![CDATA[301]]>",
        ),
        (json!({ "action": "unfollow" }), "<Event><![CDATA[unsubscribe]]>"),
        (json!({ "action": "scan", "scene": "7" }), "<EventKey><![CDATA[qrscene_7]]>"),
    ];
    for (action, expected) in table {
        let before = stage.bot.seen().len();
        let done = stage.act(action.clone()).await;
        let id = done["entry"].as_u64().unwrap_or_else(|| panic!("{action}: {done}"));
        let ended = |entries: &[serde_json::Value]| {
            entries.iter().any(|entry| entry["id"] == id && entry["push"]["state"] != "delivering")
        };
        stage.until(ended).await;
        let pushed = stage.bot.seen();
        assert!(pushed[before..].iter().any(|seen| seen.xml.contains(expected)), "{action}: {pushed:?}");
    }
    let opened = stage.act(json!({ "action": "menu", "path": [1, 0] })).await;
    assert_eq!(opened["open"], "https://bank.example/h5");
}

#[tokio::test]
async fn the_console_verifies_the_address_with_an_echo() {
    let stage = Stage::set(Encryption::Safe).await;
    assert_eq!(stage.post("/sim/api/accounts/card/verify", &json!({})).await["verified"], true);
}
