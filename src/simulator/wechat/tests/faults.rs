//! What can go wrong on purpose: pushes, receipts, answers, quotas and the clock.

use serde_json::{Value, json};

use super::bot::Manner;
use super::{OPENID, Stage, settled, shown};
use crate::config::Encryption;

fn spend() -> Value {
    json!({ "touser": OPENID, "template_id": "tplSpend", "data": {
        "amount2": { "value": "¥1.00" }, "thing4": { "value": "示例商户" } } })
}

#[tokio::test]
async fn a_lost_reply_is_asked_for_again_and_copies_come_together() {
    let stage = Stage::set(Encryption::Safe).await;
    stage.bot.behave(Manner::Echo);
    stage.post("/sim/api/push_faults", &json!({ "only": "text", "lose_replies": 1, "times": 1 })).await;
    stage.say("第一句").await;
    let entries = stage.until(|entries| settled(entries, "text")).await;
    let asked = entries.iter().find(|entry| entry["text"] == "第一句").unwrap();
    let outcomes: Vec<&str> = asked["push"]["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["outcome"].as_str().unwrap())
        .collect();
    assert_eq!(outcomes, ["lost", "answered"]);
    assert_eq!(shown(&entries, "account").iter().filter(|text| text.contains("第一句")).count(), 1);

    stage.post("/sim/api/push_faults", &json!({ "copies": 3, "times": 1 })).await;
    let before = stage.bot.seen().len();
    stage.say("第二句").await;
    let second = |entries: &[Value]| {
        entries.iter().any(|entry| entry["text"] == "第二句" && entry["push"]["state"] == "answered")
    };
    let entries = stage.until(second).await;
    assert_eq!(stage.bot.seen().len(), before + 3);
    assert_eq!(shown(&entries, "account").iter().filter(|text| text.contains("第二句")).count(), 1);
}

#[tokio::test]
async fn a_push_can_come_after_the_one_that_was_sent_later() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Echo);
    stage.post("/sim/api/push_faults", &json!({ "after_next": true, "times": 1 })).await;
    stage.say("先说的").await;
    stage.say("后说的").await;
    let both =
        |entries: &[Value]| entries.iter().filter(|entry| entry["push"]["state"] == "answered").count() >= 3;
    stage.until(both).await;
    let seen = stage.bot.seen();
    let place = |words: &str| seen.iter().position(|seen| seen.xml.contains(words)).unwrap();
    assert!(place("后说的") < place("先说的"));
}

#[tokio::test]
async fn receipts_come_doubled_before_the_answer_failed_or_not_at_all() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Raw("success".to_owned()));
    let path = "/cgi-bin/message/template/send";
    let receipts = |stage: &Stage| {
        stage.bot.seen().iter().filter(|seen| seen.xml.contains("TEMPLATESENDJOBFINISH")).count()
    };
    stage.post("/sim/api/receipts", &json!({ "copies": 2, "before_answer": true })).await;
    stage.call(path, &spend()).await;
    assert!(receipts(&stage) >= 1, "the receipt was answered before the call was");
    let entries = stage
        .until(|entries| {
            let done = |entry: &&Value| entry["kind"] == "receipt" && entry["push"]["state"] == "quiet";
            entries.iter().filter(done).count() == 2
        })
        .await;
    assert!(settled(&entries, "receipt"));
    stage.post("/sim/api/receipts", &json!({ "status": "", "times": 1 })).await;
    stage.call(path, &spend()).await;
    stage.call(path, &spend()).await;
    let entries = stage.until(|entries| {
        entries.iter().filter(|entry| entry["kind"] == "receipt" && entry["push"]["state"] == "quiet").count()
            == 3
    });
    assert_eq!(entries.await.iter().filter(|entry| entry["kind"] == "template").count(), 3);
    let fields = json!({ "status": "failed: system failed" });
    stage.post("/sim/api/receipts", &fields).await;
    stage.call(path, &spend()).await;
    stage
        .until(|entries| entries.iter().any(|entry| entry["detail"]["receipt"] == "failed: system failed"))
        .await;
}

#[tokio::test]
async fn an_answer_can_be_half_garbage_or_empty_and_the_deed_is_done() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Raw("success".to_owned()));
    let path = "/cgi-bin/message/template/send";
    let token = stage.token().await;
    let address = stage.address(&format!("{path}?access_token={token}"));
    let table = [("half", Err(())), ("garbage", Ok(true)), ("empty", Ok(false))];
    for (at, (breakage, expected)) in table.into_iter().enumerate() {
        stage.post("/sim/api/faults", &json!({ "api": path, "breakage": breakage, "times": 1 })).await;
        let body = match stage.http.post(&address).json(&spend()).send().await {
            Ok(response) => response.text().await.map_err(|_| ()),
            Err(_) => Err(()),
        };
        assert_eq!(body.map(|body| body.starts_with("<html>")), expected, "{breakage}");
        let cards = |entries: &[Value]| entries.iter().filter(|entry| entry["kind"] == "template").count();
        assert_eq!(cards(&stage.until(|_| true).await), at + 1);
    }
}

#[tokio::test]
async fn the_clock_moves_both_ways_and_media_grow_old_by_it() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.bot.behave(Manner::Raw("success".to_owned()));
    let sent = stage.act(json!({ "action": "image" })).await["entry"].clone();
    let entries = stage.until(|entries| settled(entries, "image")).await;
    let image = entries.iter().find(|entry| entry["id"] == sent).unwrap()["detail"]["media_id"].clone();
    let message = json!({ "touser": OPENID, "msgtype": "image", "image": { "media_id": image } });
    let send = async || stage.call("/cgi-bin/message/custom/send", &message).await.0;
    assert_eq!(send().await, 0);
    stage.post("/sim/api/clock", &json!({ "advance_seconds": 3 * 24 * 3600 })).await;
    assert_eq!(send().await, 40007, "temporary media live three days");
    stage.post("/sim/api/clock", &json!({ "advance_seconds": -24 * 3600 })).await;
    stage.say("还在").await;
    assert_eq!(send().await, 0);
    stage.http.delete(stage.address("/sim/api/clock")).send().await.unwrap();
    assert_eq!(stage.get("/sim/api/clock").await["offset_seconds"], 0);
}

#[tokio::test]
async fn a_minute_limit_ends_with_the_minute_and_a_rid_tells_what_was_asked() {
    let stage = Stage::set(Encryption::Plain).await;
    let path = "/cgi-bin/user/info/batchget";
    stage.post("/sim/api/quotas", &json!({ "cgi_path": path, "minute_limit": 1 })).await;
    let list = json!({ "user_list": [{ "openid": OPENID, "lang": "zh_CN" }] });
    assert_eq!(stage.call(path, &list).await.0, 0);
    let (code, refused) = stage.call(path, &list).await;
    assert_eq!(code, 45011);
    let (_, quota) = stage.call("/cgi-bin/openapi/quota/get", &json!({ "cgi_path": path })).await;
    assert_eq!(quota["rate_limit"], json!({ "call_count": 1, "refresh_second": 60 }));
    stage.advance_seconds(60);
    assert_eq!(stage.call(path, &list).await.0, 0);
    let rid = refused["errmsg"].as_str().unwrap().split("rid: ").nth(1).unwrap().to_owned();
    let (_, told) = stage.call("/cgi-bin/openapi/rid/get", &json!({ "rid": rid })).await;
    assert!(told["request"]["request_url"].as_str().unwrap().starts_with(path), "{told}");
    stage.advance_seconds(7 * 24 * 3600);
    assert_eq!(stage.call("/cgi-bin/openapi/rid/get", &json!({ "rid": rid })).await.0, 76004);
}
