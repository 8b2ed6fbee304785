//! The client against a real HTTP server: tokens, failures, and what each call looks like on the wire.

mod calls;
mod fixture;

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use serde_json::json;

use self::fixture::{Fixture, Script, host_that_hangs_up, host_that_is_down};
use super::*;
use crate::clock::{Clock, ManualClock};
use crate::config::Encryption;
use crate::domain::ids::Openid;
use crate::wechat::errcode::Class;
use crate::wechat::push::tests::account;
use crate::wechat::text::Text;
use crate::wechat::token::{MemoryShelf, ShelfFailed};

const NOW: UnixMs = UnixMs(1_767_225_600_000);
const TOKEN_PATH: &str = "/cgi-bin/stable_token";
const SEND_PATH: &str = "/cgi-bin/message/custom/send";

/// What one deployment shares.
struct Deployment {
    shelf: Arc<MemoryShelf>,
    clock: Arc<ManualClock>,
}

impl Deployment {
    fn new() -> Self {
        Self { shelf: Arc::default(), clock: Arc::new(ManualClock::new(NOW)) }
    }

    fn api(&self, owner: &str, hosts: &[&Url]) -> Api {
        let mut account = account(Encryption::Safe);
        account.api_base_urls = hosts.iter().map(|url| (*url).clone()).collect();
        Api::new(&account, self.shelf.clone(), self.clock.clone(), owner).unwrap()
    }
}

fn api(fixture: &Fixture) -> Api {
    Deployment::new().api("one", &[&fixture.url])
}

fn follower() -> Openid {
    Openid::parse("oBkUser_000000000000000000A1").unwrap()
}

fn hello() -> CustomMessage {
    CustomMessage::Text(Text::new("您好").unwrap())
}

async fn say_hello(api: &Api) -> Result<(), ApiError> {
    let (to, message) = (&follower(), &hello());
    api.custom_send(CustomSend { to, message, agent: None, is_generated: false }).await
}

fn refusal(code: i64) -> Script {
    Script::Json(json!({ "errcode": code, "errmsg": "no rid: 65a1b2c3-0d4e5f60-11223344" }))
}

#[tokio::test]
async fn a_hundred_calls_at_once_fetch_one_token() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    let results = join_all((0..100).map(|_| say_hello(&api))).await;
    assert!(results.iter().all(Result::is_ok));
    let fetches = fixture.seen(TOKEN_PATH);
    assert_eq!(fetches.len(), 1);
    assert_eq!(
        fetches[0].json(),
        json!({ "grant_type": "client_credential", "appid": "wxdemo0000000001", "secret": "secret",
                "force_refresh": false })
    );
    let sends = fixture.seen(SEND_PATH);
    assert_eq!(sends.len(), 100);
    assert!(sends.iter().all(|seen| seen.query["access_token"] == "TOKEN-1"));
}

#[tokio::test]
async fn instances_that_share_a_shelf_fetch_one_token() {
    let fixture = Fixture::start();
    let deployment = Deployment::new();
    let apis = ["one", "two", "three"].map(|owner| deployment.api(owner, &[&fixture.url]));
    let results = join_all(apis.iter().flat_map(|api| (0..10).map(|_| say_hello(api)))).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 1);
}

#[tokio::test]
async fn a_token_is_renewed_early_and_an_old_one_serves_until_it_ends() {
    let fixture = Fixture::start();
    let deployment = Deployment::new();
    let api = deployment.api("one", &[&fixture.url]);
    say_hello(&api).await.unwrap();
    deployment.clock.advance(Duration::from_secs(7200 - 301));
    say_hello(&api).await.unwrap();
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 1);

    deployment.clock.advance(Duration::from_secs(2));
    fixture.script(TOKEN_PATH, [refusal(-1)]);
    for _ in 0..3 {
        say_hello(&api).await.unwrap();
    }
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 2, "a failed early renewal is not repeated at once");
    assert!(fixture.seen(SEND_PATH).iter().all(|seen| seen.query["access_token"] == "TOKEN-1"));

    let other = deployment.api("two", &[&fixture.url]);
    fixture.json(TOKEN_PATH, json!({ "access_token": "TOKEN-NEW", "expires_in": 7200 }));
    say_hello(&other).await.unwrap();
    assert_eq!(fixture.seen(SEND_PATH).last().unwrap().query["access_token"], "TOKEN-NEW");
}

#[tokio::test]
async fn while_one_caller_renews_the_others_go_on_with_the_old_token() {
    let fixture = Fixture::start();
    let deployment = Deployment::new();
    let api = deployment.api("one", &[&fixture.url]).giving_up_after(Duration::from_millis(1500));
    say_hello(&api).await.unwrap();
    deployment.clock.advance(Duration::from_secs(7000));
    fixture.script(TOKEN_PATH, [Script::Silence]);
    let others = async {
        while fixture.seen(TOKEN_PATH).len() < 2 {
            tokio::task::yield_now().await;
        }
        join_all((0..10).map(|_| say_hello(&api))).await
    };
    let (renewing, others) = tokio::join!(say_hello(&api), others);
    assert_eq!(renewing, Ok(()), "a renewal that gets no answer leaves the call time");
    assert!(others.iter().all(Result::is_ok));
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 2);
}

#[tokio::test]
async fn a_refused_token_is_replaced_and_the_call_repeated_once() {
    for code in [40001, 40014, 42001] {
        let fixture = Fixture::start();
        let ok = Script::Json(json!({ "errcode": 0 }));
        fixture.script(SEND_PATH, [refusal(code), ok]);
        say_hello(&api(&fixture)).await.unwrap();
        let sends = fixture.seen(SEND_PATH);
        let tokens: Vec<_> = sends.iter().map(|seen| seen.query["access_token"].as_str()).collect();
        assert_eq!(tokens, ["TOKEN-1", "TOKEN-2"]);
        assert!(fixture.seen(TOKEN_PATH).iter().all(|seen| seen.json()["force_refresh"] == false));

        fixture.script(SEND_PATH, [refusal(code)]);
        let before = fixture.seen(SEND_PATH).len();
        let error = say_hello(&api(&fixture)).await.unwrap_err();
        assert_eq!((error.class(), error.code()), (Class::RefreshToken, Some(code)));
        assert_eq!(fixture.seen(SEND_PATH).len(), before + 2);
    }
}

#[tokio::test]
async fn a_refused_token_is_first_looked_for_on_the_shelf() {
    let fixture = Fixture::start();
    let deployment = Deployment::new();
    let (one, two) = (deployment.api("one", &[&fixture.url]), deployment.api("two", &[&fixture.url]));
    say_hello(&one).await.unwrap();
    say_hello(&two).await.unwrap();
    let ok = Script::Json(json!({ "errcode": 0 }));
    fixture.script(SEND_PATH, [refusal(40001), ok.clone()]);
    say_hello(&one).await.unwrap();
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 2);
    fixture.script(SEND_PATH, [refusal(40001), ok]);
    say_hello(&two).await.unwrap();
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 2, "the second instance finds the first one's new token");
}

#[tokio::test]
async fn a_token_that_is_refused_though_it_is_the_latest_is_not_fetched_again_and_again() {
    let fixture = Fixture::start();
    fixture.json(TOKEN_PATH, json!({ "access_token": "SAME", "expires_in": 7200 }));
    fixture.script(SEND_PATH, [refusal(40001)]);
    let api = api(&fixture);
    for _ in 0..5 {
        assert_eq!(say_hello(&api).await.unwrap_err().class(), Class::RefreshToken);
    }
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 2);
}

#[tokio::test]
async fn a_token_that_cannot_be_had_fails_the_call_before_it_is_sent() {
    let table = [
        (40001, Class::Configuration),
        (40013, Class::Configuration),
        (40125, Class::Configuration),
        (40164, Class::Permission),
        (40243, Class::Permission),
        (-1, Class::RetryLater),
        (45009, Class::QuotaDay),
    ];
    for (code, class) in table {
        let fixture = Fixture::start();
        fixture.script(TOKEN_PATH, [refusal(code)]);
        let api = api(&fixture);
        let errors = join_all((0..20).map(|_| say_hello(&api))).await;
        for error in errors.into_iter().map(Result::unwrap_err) {
            assert_eq!((error.class(), error.call()), (class, "stable_token"));
            assert!(error.is_certainly_not_done());
        }
        assert_eq!(fixture.seen(TOKEN_PATH).len(), 1, "who waited for the failed fetch shares its failure");
        assert!(fixture.seen(SEND_PATH).is_empty());
    }
}

/// A shelf whose database is away.
struct BrokenShelf;

impl TokenShelf for BrokenShelf {
    fn load<'a>(&'a self, _: &'a AccountId) -> BoxFuture<'a, Result<Option<Token>, ShelfFailed>> {
        Box::pin(async { Err(ShelfFailed) })
    }

    fn lease<'a>(
        &'a self,
        _: &'a AccountId,
        _: &'a str,
        _: UnixMs,
        _: UnixMs,
    ) -> BoxFuture<'a, Result<bool, ShelfFailed>> {
        Box::pin(async { Err(ShelfFailed) })
    }

    fn save<'a>(&'a self, _: &'a AccountId, _: &'a Token) -> BoxFuture<'a, Result<(), ShelfFailed>> {
        Box::pin(async { Err(ShelfFailed) })
    }
}

#[tokio::test]
async fn a_broken_shelf_does_not_stop_calls() {
    let fixture = Fixture::start();
    let mut account = account(Encryption::Safe);
    account.api_base_urls = vec![fixture.url.clone()];
    let clock = Arc::new(ManualClock::new(NOW));
    let api = Api::new(&account, Arc::new(BrokenShelf), clock, "one").unwrap();
    for _ in 0..3 {
        say_hello(&api).await.unwrap();
    }
    assert_eq!(fixture.seen(TOKEN_PATH).len(), 1);
}

#[tokio::test]
async fn another_instances_lease_is_waited_for_and_outlived() {
    let fixture = Fixture::start();
    let deployment = Deployment::new();
    let now = deployment.clock.now();
    let account = AccountId::new("card");
    assert!(deployment.shelf.lease(&account, "dead", now, now + Duration::from_secs(15)).await.unwrap());
    let api = deployment.api("one", &[&fixture.url]).giving_up_after(Duration::from_millis(250));
    let error = say_hello(&api).await.unwrap_err();
    assert!(error.is_certainly_not_done());
    assert!(fixture.seen(TOKEN_PATH).is_empty());
    deployment.clock.advance(Duration::from_secs(16));
    say_hello(&deployment.api("two", &[&fixture.url])).await.unwrap();
}

#[tokio::test]
async fn an_outcome_that_is_not_known_is_told_from_a_call_that_was_not_done() {
    let fixture = Fixture::start();
    let deployment = Deployment::new();
    let api = deployment.api("one", &[&fixture.url]);
    say_hello(&api).await.unwrap();
    let impatient = deployment.api("two", &[&fixture.url]).giving_up_after(Duration::from_secs(1));
    let html = b"<html>502</html>".to_vec();
    let large = vec![b'x'; transport::ANSWER_BYTES_MAX + 1];
    let table = [
        (Script::Silence, Fault::TimedOut),
        (Script::Raw(502, "text/html", html.clone()), Fault::Broken("the answer has an HTTP error status")),
        (Script::Raw(302, "text/html", html.clone()), Fault::Broken("the answer has an HTTP error status")),
        (Script::Raw(200, "text/html", html), Fault::Broken("the answer is not JSON")),
        (
            Script::Raw(200, "application/json", b"{\"errcode\":".to_vec()),
            Fault::Broken("the answer is not JSON"),
        ),
        (
            Script::Raw(200, "application/json", b"[]".to_vec()),
            Fault::Broken("the answer is not a JSON object"),
        ),
        (Script::Raw(200, "application/json", large), Fault::Broken("the answer is too large")),
        (Script::Json(json!({ "errcode": "0" })), Fault::Broken("the answer's errcode is not a number")),
    ];
    for (script, fault) in table {
        fixture.script(SEND_PATH, [script]);
        let before = fixture.seen(SEND_PATH).len();
        let caller = if fault == Fault::TimedOut { &impatient } else { &api };
        let error = say_hello(caller).await.unwrap_err();
        assert_eq!(error.fault(), &fault);
        assert_eq!(error.class(), Class::RetryLater);
        assert!(!error.is_certainly_not_done());
        assert_eq!(fixture.seen(SEND_PATH).len(), before + 1, "an unclear send is not repeated");
    }
    fixture.script(SEND_PATH, [refusal(45015)]);
    let error = say_hello(&api).await.unwrap_err();
    assert_eq!(error.class(), Class::WindowClosed);
    assert!(error.is_certainly_not_done());
    assert_eq!(error.rid(), Some("65a1b2c3-0d4e5f60-11223344"));

    for half in [b"".as_slice(), b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"errcode\":0"] {
        let api = deployment.api("one", &[&host_that_hangs_up(half)]);
        let error = say_hello(&api).await.unwrap_err();
        assert_eq!(error.fault(), &Fault::Broken("the connection broke"));
        assert!(!error.is_certainly_not_done());
    }
}

#[tokio::test]
async fn the_next_host_is_asked_when_one_cannot_be_reached() {
    let fixture = Fixture::start();
    let deployment = Deployment::new();
    let down = host_that_is_down();
    let api = deployment.api("one", &[&down, &fixture.url]);
    say_hello(&api).await.unwrap();
    let order = |api: &Api| api.transport.hosts_in_order().first().map(|url| (*url).clone());
    assert_eq!(order(&api), Some(fixture.url.clone()));
    deployment.clock.advance(Duration::from_secs(31));
    assert_eq!(order(&api), Some(down.clone()), "the preferred host is tried again after a while");

    let error = say_hello(&deployment.api("two", &[&down, &host_that_is_down()])).await.unwrap_err();
    assert_eq!(error.fault(), &Fault::NotConnected);
    assert_eq!(error.class(), Class::RetryLater);
    assert!(error.is_certainly_not_done());
}

#[tokio::test]
async fn an_error_says_what_where_and_what_next_but_not_who() {
    let fixture = Fixture::start();
    let api = api(&fixture);
    let table = [
        (
            json!({ "errcode": 47003, "errmsg": "argument invalid! data.thing1.value invalid rid: 6-7" }),
            "WeChat call cgi-bin/message/custom/send: errcode 47003 (value of a template field), said: argument \
             invalid! data.thing1.value invalid rid: 6-7; not done; correct what is sent; do not retry",
        ),
        (
            json!({ "errcode": 40003, "errmsg": "invalid openid oBkUser_000000000000000000A1 rid: 6-7" }),
            "WeChat call cgi-bin/message/custom/send: errcode 40003 (openid of another account, or not following), \
             rid 6-7; not done; reach the customer another way; do not retry",
        ),
        (
            json!({ "errcode": 99, "errmsg": "?" }),
            "WeChat call cgi-bin/message/custom/send: errcode 99; not done; look the code up in WeChat's list; at \
             most three tries",
        ),
    ];
    for (answer, expected) in table {
        fixture.json(SEND_PATH, answer);
        assert_eq!(say_hello(&api).await.unwrap_err().to_string(), expected);
    }
}
