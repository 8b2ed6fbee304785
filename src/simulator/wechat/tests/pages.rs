//! Web authorisation and the pages.

use serde_json::{Value, json};

use super::bot::APP_ID;
use super::{OPENID, Stage};
use crate::config::Encryption;

const BACK: &str = "http%3A%2F%2F127.0.0.1%3A8080%2Fh5%2Fbind";

async fn authorise(stage: &Stage, parameters: &str) -> reqwest::Response {
    let address = stage.address(&format!("/connect/oauth2/authorize?{parameters}"));
    stage.http.get(address).send().await.unwrap()
}

fn usual(tail: &str) -> String {
    format!("appid={APP_ID}&redirect_uri={BACK}&response_type=code&scope=snsapi_base&state=abc123{tail}")
}

async fn code_for(stage: &Stage, openid: &str) -> String {
    let response = authorise(stage, &usual(&format!("&as={openid}"))).await;
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.starts_with("http://127.0.0.1:8080/h5/bind?code="), "{location}");
    assert!(location.ends_with("&state=abc123"), "{location}");
    let url = url::Url::parse(&location).unwrap();
    url.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned()
}

async fn exchange(stage: &Stage, code: &str) -> Value {
    let query = format!("appid={APP_ID}&secret=secret&code={code}&grant_type=authorization_code");
    stage.get(&format!("/sns/oauth2/access_token?{query}")).await
}

#[tokio::test]
async fn a_code_names_the_follower_once_within_five_minutes() {
    let stage = Stage::set(Encryption::Plain).await;
    let code = code_for(&stage, OPENID).await;
    let first = exchange(&stage, &code).await;
    assert_eq!(first["openid"], OPENID);
    assert_eq!(exchange(&stage, &code).await["errcode"], 40163);
    assert_eq!(exchange(&stage, "invented").await["errcode"], 40029);
    let late = code_for(&stage, OPENID).await;
    stage.advance_seconds(300);
    assert_eq!(exchange(&stage, &late).await["errcode"], 40029);

    let token = first["access_token"].as_str().unwrap();
    let auth = |openid: &str| format!("/sns/auth?access_token={token}&openid={openid}");
    assert_eq!(stage.get(&auth(OPENID)).await["errcode"], 0);
    assert_eq!(stage.get(&auth("oOther")).await["errcode"], 40003);
    let info = format!("/sns/userinfo?access_token={token}&openid={OPENID}&lang=zh_CN");
    assert_eq!(stage.get(&info).await["errcode"], 48001, "snsapi_base opens no profile");
    let refresh = first["refresh_token"].as_str().unwrap();
    let again =
        format!("/sns/oauth2/refresh_token?appid={APP_ID}&grant_type=refresh_token&refresh_token={refresh}");
    assert_eq!(stage.get(&again).await["openid"], OPENID);
}

#[tokio::test]
async fn a_snapshot_user_is_marked_and_is_not_the_follower() {
    let stage = Stage::set(Encryption::Plain).await;
    stage.act(json!({ "action": "snapshot", "snapshot": true })).await;
    let answer = exchange(&stage, &code_for(&stage, OPENID).await).await;
    assert_eq!(answer["is_snapshotuser"], 1);
    assert_ne!(answer["openid"], OPENID);
}

#[tokio::test]
async fn a_careless_authorise_request_is_refused() {
    let stage = Stage::set(Encryption::Plain).await;
    let table = [
        usual("&as=oNobody"),
        usual("").replace(APP_ID, "wxother"),
        usual("").replace("127.0.0.1", "elsewhere.example"),
        usual("").replace("state=abc123", "state=a-b"),
        usual("").replace("snsapi_base", "snsapi_login"),
        usual("").replace("&state=abc123", ""),
        format!("redirect_uri={BACK}&appid={APP_ID}&response_type=code&scope=snsapi_base&state=a"),
    ];
    for parameters in table {
        assert_eq!(authorise(&stage, &parameters).await.status(), 400, "{parameters}");
    }
    let rights = |verified: bool| json!({ "account": "card", "is_verified": verified });
    stage.post("/sim/api/rights", &rights(false)).await;
    assert_eq!(authorise(&stage, &usual("")).await.status(), 400, "verified service accounts only");
    stage.post("/sim/api/rights", &rights(true)).await;
    let page = authorise(&stage, &usual("")).await;
    assert_eq!(page.status(), 200);
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.contains("frame-ancestors 'self'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.text().await.unwrap().contains(&format!("as={OPENID}")), "followers to choose from");
}

#[tokio::test]
async fn the_pages_load_and_hold_no_script_of_their_own() {
    let stage = Stage::set(Encryption::Plain).await;
    for path in ["/", "/panel", &format!("/phone/card/{OPENID}")] {
        let page = stage.http.get(stage.address(path)).send().await.unwrap();
        assert_eq!(page.status(), 200, "{path}");
        let html = page.text().await.unwrap();
        assert!(html.contains("示例银行信用卡"), "{path}");
        for reference in
            html.split("src=\"").skip(1).chain(html.split("<link rel=\"stylesheet\" href=\"").skip(1))
        {
            let file = reference.split('"').next().unwrap();
            let loaded = stage.http.get(stage.address(file)).send().await.unwrap();
            assert_eq!(loaded.status(), 200, "{file}");
        }
        assert!(
            !html.contains("<script>") && !html.contains(" style=") && !html.contains("onclick"),
            "{path}"
        );
    }
    let nobody = stage.http.get(stage.address("/phone/card/oNobody")).send().await.unwrap();
    assert_eq!(nobody.status(), 404);
}

#[tokio::test]
async fn events_tell_of_every_change_and_end_with_the_simulator() {
    let stage = Stage::set(Encryption::Plain).await;
    let path = format!("/sim/api/accounts/card/followers/{OPENID}/events");
    let mut stream = stage.http.get(stage.address(&path)).send().await.unwrap();
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&first).contains("关注了公众号"));
    stage.say("现场").await;
    let mut heard = String::new();
    while !heard.contains("您说：现场") {
        let chunk = stream.chunk().await.unwrap().unwrap();
        heard.push_str(&String::from_utf8_lossy(&chunk));
    }
    stage.simulator.stop().await;
    while let Ok(Some(_)) = stream.chunk().await {}
}

#[tokio::test]
async fn a_one_time_subscription_is_asked_for_once_and_allows_one_message() {
    let stage = Stage::set(Encryption::Plain).await;
    let page = format!(
        "/mp/subscribemsg?action=get_confirm&appid={APP_ID}&scene=1000&template_id=tplOnce\
         &redirect_url=http%3A%2F%2F127.0.0.1%3A8080%2Fback&reserved=xyz"
    );
    assert!(
        stage.http.get(stage.address(&page)).send().await.unwrap().text().await.unwrap().contains("申请")
    );
    let send = json!({
        "touser": OPENID, "template_id": "tplOnce", "scene": "1000", "title": "办理结果",
        "data": { "content": { "value": "已通过" } },
    });
    let path = "/cgi-bin/message/template/subscribe";
    let answer = async |said: &str| {
        let address = stage.address(&format!("{page}&as={OPENID}&answer={said}"));
        let response = stage.http.get(address).send().await.unwrap();
        response.headers()["location"].to_str().unwrap().to_owned()
    };
    let back = answer("cancel").await;
    assert!(back.contains("action=cancel") && back.contains("reserved=xyz"), "{back}");
    assert_eq!(stage.call(path, &send).await.0, 43101);
    assert!(answer("confirm").await.contains("action=confirm"));
    assert_eq!(stage.call(path, &send).await.0, 0);
    assert_eq!(stage.call(path, &send).await.0, 43101, "one message");
}
