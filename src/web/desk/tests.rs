//! The desk over HTTP, on both engines.

use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::body::{BoxBody, MessageBody as _};
use actix_web::cookie::SameSite;
use actix_web::dev::ServiceResponse;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use serde_json::{Value, json};

use super::guard::SESSION_COOKIE;
use super::*;
use crate::content::Content;
use crate::desk::{DeskFiles, Wanted};
use crate::domain::ids::{AccountId, CustomerId, FollowerKey};
use crate::domain::secret::{Personal, Secret};
use crate::domain::window::UserAction;
use crate::staff::HashCost;
use crate::store::testing::{TestStore, stores};
use crate::store::{Channel, Commit, Direction, Message};

const CONFIG: &str = r#"
[server]
public_url = "https://desk.bank.example"
trusted_proxies = ["127.0.0.1"]
[database]
url = "sqlite://unused"
[[accounts]]
id = "card"
name = "示例银行信用卡"
original_id = "gh"
app_id = "wx"
app_secret = "s"
token = "t"
encryption = "plain"
[core]
base_url = "http://127.0.0.1:8090"
secret = "whsec_Y2FuYXJ5LWNvcmU="
[api]
secrets = ["whsec_Y2FuYXJ5LWFwaQ=="]
"#;
const PASSWORD: &str = "correct horse battery";
fn who() -> FollowerKey {
    FollowerKey::new([7; 16])
}

struct Silent;

impl crate::desk::Speak for Silent {
    fn say(
        &self,
        _: &AccountId,
        _: FollowerKey,
        _: crate::domain::window::Sender,
        _: i64,
        _: &crate::wechat::api::CustomMessage,
    ) -> Result<Vec<crate::store::Write>, crate::store::StoreError> {
        Ok(vec![])
    }

    fn event(
        &self,
        _: &'static str,
        _: &AccountId,
        _: Option<&CustomerId>,
        _: Value,
    ) -> Result<Vec<crate::store::Write>, crate::store::StoreError> {
        Ok(vec![])
    }

    fn wake(&self, _: u8) {}
}

/// A customer who said `texts` and waits; the case's id.
async fn waiting(test: &TestStore, desk: &Desk, texts: &[&str]) -> String {
    let account = AccountId::new("card");
    let mut conversation = test.store.conversation(&account, who()).await.unwrap();
    let mut commit = Commit::new(who().part());
    conversation.ledger.grant(UserAction::Message, test.store.clock().now());
    for text in texts {
        let seq = conversation.next_seq();
        let message = Message {
            account: account.clone(),
            follower: who(),
            seq,
            direction: Direction::In,
            author: "customer".to_owned(),
            channel: Channel::Passive,
            content: Personal::new(json!({ "kind": "text", "text": text }).to_string()),
            at: test.store.clock().now(),
            state: "received".to_owned(),
        };
        commit.push(test.store.append_message(&mut conversation, &message).unwrap());
    }
    commit.extend(
        desk.escalate(&mut conversation, Wanted::new("asked", "card", 0), None).await.unwrap().writes,
    );
    let case_id = conversation.case_id.clone().unwrap();
    commit.push(test.store.save_conversation(conversation).unwrap());
    test.store.commit(commit).await.unwrap();
    case_id
}

struct Rooms {
    desk: Data<Desk>,
    staff: Data<Staff>,
    config: Data<Config>,
}

async fn rooms(test: &TestStore) -> Rooms {
    let config = Config::parse("w.toml", CONFIG, []).unwrap();
    let files = DeskFiles::load(&Content::built_in()).unwrap();
    let staff = Staff::with_cost(test.store.clone(), HashCost::cheap_for_tests());
    for name in ["agent01", "agent02"] {
        staff.add_account(name, Role::Agent, &Secret::new(PASSWORD.to_owned())).await.unwrap();
    }
    staff.add_account("boss", Role::Supervisor, &Secret::new(PASSWORD.to_owned())).await.unwrap();
    Rooms {
        desk: Data::new(Desk::new(test.store.clone(), files, Arc::new(Silent), Arc::default())),
        staff: Data::new(staff),
        config: Data::new(config),
    }
}

macro_rules! server {
    ($rooms:expr) => {{
        let rooms = $rooms;
        let app = App::new()
            .app_data(rooms.desk.clone())
            .app_data(rooms.staff.clone())
            .app_data(rooms.config.clone())
            .configure(configure);
        init_service(app).await
    }};
}

mod files;
mod reveal;
mod rights;

/// A signed-in browser.
struct Browser {
    cookie: Cookie<'static>,
    csrf: String,
}

impl Browser {
    async fn new(rooms: &Rooms, name: &str) -> Self {
        let address = "192.0.2.1".parse().unwrap();
        let token =
            rooms.staff.sign_in(name, &Secret::new(PASSWORD.to_owned()), address, None).await.unwrap();
        let session = rooms.staff.session(&token, Activity::Page).await.unwrap().unwrap();
        let cookie = Cookie::new(SESSION_COOKIE, token.reveal().to_owned());
        Self { cookie, csrf: session.csrf.reveal().to_owned() }
    }

    fn get(&self, path: &str) -> TestRequest {
        TestRequest::get().uri(path).cookie(self.cookie.clone())
    }

    fn post(&self, path: &str, body: Value) -> TestRequest {
        TestRequest::post()
            .uri(path)
            .cookie(self.cookie.clone())
            .insert_header(("sec-fetch-site", "same-origin"))
            .insert_header(("x-csrf-token", self.csrf.clone()))
            .set_json(body)
    }
}

fn sign_in_form(password: &str) -> TestRequest {
    TestRequest::post()
        .uri("/desk/sign-in")
        .peer_addr("192.0.2.9:4711".parse().unwrap())
        .insert_header(("sec-fetch-site", "same-origin"))
        .set_form([("name", "agent01"), ("password", password)])
}

async fn body_of(response: ServiceResponse<BoxBody>) -> Value {
    serde_json::from_slice(&read_body(response).await).unwrap()
}

#[actix_web::test]
async fn signing_in_gives_a_guarded_cookie_and_a_guarded_page() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let door = call_service(&server, TestRequest::get().uri("/desk").to_request()).await;
        assert_eq!(door.headers().get("location").unwrap(), "/desk/sign-in");

        let wrong = call_service(&server, sign_in_form("a wrong password").to_request()).await;
        assert_eq!(wrong.status(), 401);
        assert!(wrong.response().cookies().all(|cookie| cookie.name() != SESSION_COOKIE));
        let foreign = sign_in_form(PASSWORD).insert_header(("sec-fetch-site", "cross-site"));
        assert_eq!(call_service(&server, foreign.to_request()).await.status(), 403);

        let right = call_service(&server, sign_in_form(PASSWORD).to_request()).await;
        assert_eq!(right.status(), 303);
        let cookie = right.response().cookies().find(|cookie| cookie.name() == SESSION_COOKIE).unwrap();
        assert_eq!(
            (cookie.http_only(), cookie.secure(), cookie.same_site(), cookie.path()),
            (Some(true), Some(true), Some(SameSite::Lax), Some("/desk"))
        );
        let page = call_service(&server, TestRequest::get().uri("/desk").cookie(cookie).to_request()).await;
        assert_eq!(page.status(), 200);
        let policy = page.headers().get("content-security-policy").unwrap().to_str().unwrap().to_owned();
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        let page = String::from_utf8(read_body(page).await.to_vec()).unwrap();
        assert!(page.contains("agent01") && !page.contains("style=") && !page.contains("onclick"));
    }
}

#[actix_web::test]
async fn nothing_changes_without_the_token_or_from_a_foreign_page() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let case_id = waiting(&test, &rooms.desk, &["转人工"]).await;
        let browser = Browser::new(&rooms, "agent01").await;
        let path = |action: &str| format!("/desk/api/cases/{case_id}/{action}");
        for action in [
            "claim",
            "answer",
            "leave",
            "note",
            "close",
            "return",
            "transfer",
            "hand-over",
            "complaint",
            "complaint-settled",
            "seen",
        ] {
            let body = json!({ "answer_id": "k", "text": "t", "skill": "fraud", "to": "agent02" });
            let whole = || browser.post(&path(action), body.clone());
            let bare =
                || TestRequest::post().uri(&path(action)).cookie(browser.cookie.clone()).set_json(&body);
            let forged = [
                whole().insert_header(("sec-fetch-site", "cross-site")),
                whole().insert_header(("sec-fetch-site", "same-site")),
                whole().insert_header(("x-csrf-token", "0".repeat(64))),
                bare().insert_header(("sec-fetch-site", "same-origin")),
                bare().insert_header(("x-csrf-token", browser.csrf.clone())),
                bare()
                    .insert_header(("x-csrf-token", browser.csrf.clone()))
                    .insert_header(("origin", "https://evil.example")),
            ];
            for (number, request) in forged.into_iter().enumerate() {
                let status = call_service(&server, request.to_request()).await.status();
                assert_eq!(status, 403, "{action} {number}");
            }
            let nobody = bare().insert_header(("sec-fetch-site", "same-origin"));
            let mut nobody = nobody.to_request();
            nobody.headers_mut().remove("cookie");
            assert_eq!(call_service(&server, nobody).await.status(), 401, "{action}");
        }
        let case = test.store.case(&case_id).await.unwrap().unwrap();
        assert_eq!((case.claimed_by, case.unread), (None, 0));
        let live = browser.get("/desk/live").insert_header(("sec-fetch-site", "cross-site"));
        assert_eq!(call_service(&server, live.to_request()).await.status(), 403);
    }
}

#[actix_web::test]
async fn a_case_is_taken_answered_and_ended_and_the_loser_is_told() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let case_id = waiting(&test, &rooms.desk, &["查账单", "转人工"]).await;
        let (one, two) = (Browser::new(&rooms, "agent01").await, Browser::new(&rooms, "agent02").await);
        let path = |action: &str| format!("/desk/api/cases/{case_id}{action}");
        let queue = body_of(call_service(&server, one.get("/desk/api/queue").to_request()).await).await;
        assert_eq!((&queue["cases"][0]["case_id"], &queue["more"]), (&json!(case_id), &json!(false)));

        let claim = call_service(&server, one.post(&path("/claim"), json!({})).to_request()).await;
        assert_eq!(claim.status(), 200);
        let late = call_service(&server, two.post(&path("/claim"), json!({})).to_request()).await;
        assert_eq!(late.status(), 409);
        assert_eq!(body_of(late).await["error"]["message"], "已被他人接入。");
        assert_eq!(call_service(&server, two.get(&path("")).to_request()).await.status(), 404);

        let answer = json!({ "answer_id": "k1", "text": "您好" });
        let answered = call_service(&server, one.post(&path("/answer"), answer.clone()).to_request()).await;
        let seq = body_of(answered).await["seq"].as_i64().unwrap();
        let again = call_service(&server, one.post(&path("/answer"), answer).to_request()).await;
        assert_eq!(body_of(again).await["seq"], json!(seq));
        let view = call_service(&server, one.get(&path(&format!("?after={}", seq - 1))).to_request()).await;
        let view = body_of(view).await;
        assert_eq!(view["messages"].as_array().unwrap().len(), 1);
        assert_eq!(
            (&view["messages"][0]["agent"], &view["allowance"]["left"], &view["customer"]),
            (&json!("agent01"), &json!(4), &Value::Null)
        );
        let close = json!({ "reason": "solved" });
        assert_eq!(call_service(&server, one.post(&path("/close"), close).to_request()).await.status(), 200);
        let mine = body_of(call_service(&server, one.get("/desk/api/mine").to_request()).await).await;
        assert_eq!(mine["cases"], json!([]));
    }
}

#[actix_web::test]
async fn the_wall_and_the_reports_are_for_supervisors() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let case_id = waiting(&test, &rooms.desk, &["转人工"]).await;
        let (agent, boss) = (Browser::new(&rooms, "agent01").await, Browser::new(&rooms, "boss").await);
        let orders = [
            ("/desk/api/move".to_owned(), json!({ "account": "card", "from": "card", "to": "loan" })),
            (format!("/desk/api/cases/{case_id}/priority"), json!({ "level": 3 })),
            (
                "/desk/api/agents/agent02".to_owned(),
                json!({ "skills": ["loan"], "capacity": 3, "ready": false }),
            ),
        ];
        for (path, body) in &orders {
            let refused = call_service(&server, agent.post(path, body.clone()).to_request()).await;
            assert_eq!(refused.status(), 403, "{path}");
            let done = call_service(&server, boss.post(path, body.clone()).to_request()).await;
            assert_eq!(done.status(), 200, "{path}");
        }
        for (path, status) in
            [("/desk/wall", 303), ("/desk/report", 303), ("/desk/report.csv", 403), ("/desk/api/wall", 403)]
        {
            let refused = call_service(&server, agent.get(path).to_request()).await;
            assert_eq!(refused.status(), status, "{path}");
            let shown = call_service(&server, boss.get(path).to_request()).await;
            assert_eq!(shown.status(), 200, "{path}");
        }
        let foreign = call_service(&server, boss.get("/desk/report.csv?account=other").to_request()).await;
        assert_eq!(foreign.status(), 400);
        let wall = body_of(call_service(&server, boss.get("/desk/api/wall").to_request()).await).await;
        let loan = wall["groups"].as_array().unwrap().iter().find(|group| group["group"] == "loan").unwrap();
        assert_eq!((&loan["waiting"], &loan["overdue"]), (&json!(1), &json!(0)), "moved there");
        let page = read_body(call_service(&server, boss.get("/desk/report").to_request()).await).await;
        let page = String::from_utf8(page.to_vec()).unwrap();
        assert!(page.contains("<svg") && page.contains("boss") && !page.contains("style="));

        // Why the case opened, in the reader's language.
        for (language, reason) in [("zh", "客户要求人工"), ("en", "Asked for a person")] {
            let report = boss.get(&format!("/desk/report?lang={language}")).to_request();
            let page = read_body(call_service(&server, report).await).await;
            assert!(String::from_utf8_lossy(&page).contains(reason), "{language}");
            let queue = boss.get(&format!("/desk/api/queue?lang={language}")).to_request();
            let queue = body_of(call_service(&server, queue).await).await;
            assert_eq!(queue["cases"][0]["reason"], reason);
        }
    }
}

#[actix_web::test]
async fn a_picture_leaves_as_an_attachment_in_a_sandbox() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let case_id = waiting(&test, &rooms.desk, &["转人工"]).await;
        let account = AccountId::new("card");
        let wanted = crate::store::WantedMedia {
            account,
            follower: who(),
            seq: 1,
            media_id: "m".to_owned(),
            due: test.store.clock().now(),
            tries: 0,
        };
        let put = test.store.put_media(&wanted, "image/png", b"\x89PNG\r\n\x1A\n").unwrap();
        test.store.commit(Commit::new(0).with(put)).await.unwrap();
        let browser = Browser::new(&rooms, "agent01").await;
        let path = format!("/desk/api/cases/{case_id}/media/1");
        let response = call_service(&server, browser.get(&path).to_request()).await;
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap().to_owned();
        assert_eq!((response.status().as_u16(), header("content-type").as_str()), (200, "image/png"));
        assert!(header("content-disposition").starts_with("attachment"));
        assert!(header("content-security-policy").contains("sandbox"));
        assert_eq!(header("x-content-type-options"), "nosniff");
        let none = browser.get(&format!("/desk/api/cases/{case_id}/media/2"));
        assert_eq!(call_service(&server, none.to_request()).await.status(), 404);
        let nobody = TestRequest::get().uri(&path).to_request();
        assert_eq!(call_service(&server, nobody).await.status(), 401);
    }
}

#[actix_web::test]
async fn polling_does_not_keep_a_session_alive() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let browser = Browser::new(&rooms, "agent01").await;
        for _ in 0..14 {
            test.clock.advance(Duration::from_secs(60));
            let poll = call_service(&server, browser.get("/desk/api/queue").to_request()).await;
            assert_eq!(poll.status(), 200);
        }
        test.clock.advance(Duration::from_secs(60));
        let over = call_service(&server, browser.get("/desk/api/queue").to_request()).await;
        assert_eq!(over.status(), 401);
        assert_eq!(body_of(over).await["error"]["code"], "signed_out");
    }
}

#[actix_web::test]
async fn hints_reach_an_open_screen_and_end_with_the_session() {
    let test = stores().await.remove(0);
    let rooms = rooms(&test).await;
    let server = server!(&rooms);
    let browser = Browser::new(&rooms, "agent01").await;
    let response = call_service(&server, browser.get("/desk/live").to_request()).await;
    assert_eq!(response.headers().get("content-type").unwrap(), "text/event-stream; charset=utf-8");
    let mut body = std::pin::pin!(response.into_body());
    let mut next = async || {
        let chunk = std::future::poll_fn(|context| body.as_mut().poll_next(context)).await;
        chunk.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap())
    };
    assert_eq!(next().await.unwrap(), "event: changed\ndata: {}\n\n", "read all on connecting");
    rooms.desk.notify(&AccountId::new("card"), who());
    let hint = next().await.unwrap();
    assert!(hint.starts_with("event: changed\n") && hint.contains(&who().to_string()), "{hint}");
    rooms.staff.revoke("agent01").await.unwrap();
    test.clock.advance(Duration::from_secs(2));
    rooms.desk.notify(&AccountId::new("card"), who());
    assert_eq!(next().await.unwrap(), "event: signed-out\ndata: {}\n\n");
    assert_eq!(next().await, None);
}

/// What customers may send to get at the agent's browser.
const ATTACKS: [&str; 8] = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "\"><iframe srcdoc='<script>alert(1)</script>'>",
    "</script><script>alert(1)</script>",
    "javascript:alert(1)",
    "=HYPERLINK(\"http://evil.example\")",
    "\u{202e}gnp.exe\u{2028}\u{0}",
];

#[actix_web::test]
async fn what_customers_write_is_data_all_the_way() {
    for test in stores().await {
        let rooms = rooms(&test).await;
        let server = server!(&rooms);
        let case_id = waiting(&test, &rooms.desk, &ATTACKS).await;
        let browser = Browser::new(&rooms, "agent01").await;
        let response =
            call_service(&server, browser.get(&format!("/desk/api/cases/{case_id}")).to_request()).await;
        assert_eq!(response.headers().get("content-type").unwrap(), "application/json");
        assert_eq!(response.headers().get("x-content-type-options").unwrap(), "nosniff");
        let view = body_of(response).await;
        for (message, attack) in view["messages"].as_array().unwrap().iter().zip(ATTACKS) {
            assert_eq!(message["content"]["text"], attack, "unchanged, as a string");
        }
        let page = call_service(&server, browser.get("/desk").to_request()).await;
        let page = String::from_utf8(read_body(page).await.to_vec()).unwrap();
        assert!(!page.contains("alert(1)"), "no customer's word is in the page");
    }
}

#[actix_web::test]
async fn a_name_typed_at_the_door_comes_back_escaped() {
    let test = stores().await.remove(0);
    let rooms = rooms(&test).await;
    let server = server!(&rooms);
    for attack in ATTACKS {
        let form = sign_in_form("wrong").set_form([("name", attack), ("password", "wrong")]);
        let page = call_service(&server, form.to_request()).await;
        let page = String::from_utf8(read_body(page).await.to_vec()).unwrap();
        for markup in ["<script>", "<img", "<svg", "<iframe"] {
            assert!(!page.contains(markup), "{attack}");
        }
    }
}

#[test]
fn scripts_have_no_way_from_text_to_markup() {
    for (name, kind, text) in ASSETS {
        if !kind.starts_with("text/javascript") {
            continue;
        }
        for way in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "Function(",
            "srcdoc",
            "createContextualFragment",
            "DOMParser",
            "setAttribute(",
            ".href =",
            ".src =",
        ] {
            assert!(!text.contains(way), "{name} uses {way}");
        }
    }
}
