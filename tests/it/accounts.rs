//! Two official accounts in one server whose followers carry the same name and whose messages carry the same ids:
//! each has its own words, services, secrets and staff, and nothing of one is ever seen at the other.

use std::path::Path;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use weikefu::clock::SystemClock;
use weikefu::content::Content;
use weikefu::wechat::api::Api;
use weikefu::wechat::token::MemoryShelf;

use crate::pages::Browser;
use crate::processes::{run, run_with, told};
use crate::wechat::{ORIGINAL_ID, TOKEN, Wechat, signature, text, timestamp};
use crate::world::{Engine, World, until};

/// The same towards both accounts.
const SAME: &str = "oSAMEsameSAMEsame";
const LOAN_ORIGINAL_ID: &str = "gh_ba9876543210";
const LOAN_TOKEN: &str = "loan-token";
const PASSWORD: &str = "correct horse battery";

/// Adds the account `loan` with all secrets of its own, and content of its own under `accounts/loan`.
fn with_loan(text: String, folder: &Path) -> String {
    let from = text.find("[[accounts]]").unwrap();
    let card = &text[from..text.find("[core]").unwrap()];
    let loan = card
        .replace("id = \"card\"", "id = \"loan\"")
        .replace("示例银行信用卡", "示例银行贷款")
        .replace(ORIGINAL_ID, LOAN_ORIGINAL_ID)
        .replace("wx0123456789abcdef", "wxfedcba9876543210")
        .replace("it-app-secret", "loan-app-secret")
        .replace(&format!("\"{TOKEN}\""), &format!("\"{LOAN_TOKEN}\"\nencryption = \"plain\""))
        .replace(
            "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
            "GFEDCBA9876543210zyxwvutsrqponmlkjihgfedcba",
        );
    let dir = folder.join("content");
    loan_content(&dir);
    let text = format!("{text}\n[content]\ndir = {:?}\n", dir.display().to_string());
    text.replacen("[core]", &format!("{loan}\n[core]"), 1)
}

fn loan_content(dir: &Path) {
    let built_in = |path: &str| Content::built_in().file(path).unwrap().text.clone();
    let write = |path: &str, text: &str| {
        let path = dir.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let own = |path: &str| format!("accounts/loan/{path}");
    let points = "services/points/points_query.toml";
    write(&own(points), &built_in(points).replace("可用积分", "贷款积分"));
    let answers = "answers/dialogue.toml";
    write(&own(answers), &built_in(answers).replace("抱歉，我没有听懂。", "贷款号没有听懂。"));
    // One service that the other account has is withdrawn, one that it has not is added.
    write(&own("services/bill/bill_date_query.toml"), "");
    let due = "services/bill/due_date_query.toml";
    write(&own(due), &built_in(due).replace(", \"bill_date_query\"", ""));
    write(
        &own("services/loan/renovation_rate.toml"),
        "id = \"renovation_rate\"\ncategory = \"loan\"\nname = \"装修贷利率\"\nkeywords = [\"装修贷利率\"]\n\
         examples = [\"贷款的利率是多少\"]\nbinding = false\nproof = \"none\"\neffect = \"read\"\n\
         [answer]\ntext = \"年化利率3.45%起。\"\n",
    );
    write("menus/loan.toml", "[[button]]\ntype = \"click\"\nname = \"利率\"\nkey = \"renovation_rate\"\n");
}

async fn two_accounts(engine: Engine) -> World {
    let mut world = World::prepared(engine, with_loan).await;
    world.start_server().await;
    for account in ["card", "loan"] {
        let url = format!("{}/sim/api/accounts/{account}/followers", world.simulator_url);
        world.post(&url, json!({ "openid": SAME, "name": "同名", "follow": true })).await;
        world.phone_of(account, SAME).wait("the welcome", |entry| entry["direction"] == "account").await;
    }
    world
}

async fn bind(world: &World, account: &str, customer: &str) {
    let binding = json!({
        "account": account, "openid": SAME, "customer_id": customer, "bound_at": "2026-01-01T10:00:00+08:00",
        "cards": [{ "card_id": "K1", "last4": "1234", "product": "金卡" }],
    });
    let (status, answer) = world.bank(Method::POST, "/api/v1/bindings", &binding.to_string()).await;
    assert_eq!((status, answer["accepted"].as_u64()), (202, Some(1)), "{answer}");
}

/// A delivery of a text in plain mode.
async fn deliver(
    world: &World,
    account: &str,
    token: &str,
    original_id: &str,
    id: u64,
    words: &str,
) -> (u16, String) {
    let timestamp = timestamp();
    let signature = signature(&[token, &timestamp, "nonce"]);
    let url = format!(
        "{}/wechat/{account}?signature={signature}&timestamp={timestamp}&nonce=nonce&openid={SAME}",
        world.server_url
    );
    let body = text(SAME, id, words).replace(ORIGINAL_ID, original_id);
    let response = world.http.post(url).body(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn card_push(world: &World) -> Wechat {
    Wechat { http: world.http.clone(), url: format!("{}/wechat/card", world.server_url), is_safe: true }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_name_and_the_same_message_id_are_two_people_and_two_messages() {
    for engine in Engine::at_hand() {
        let world = two_accounts(engine).await;
        bind(&world, "card", "C10001").await;
        bind(&world, "loan", "C10002").await;
        let card = card_push(&world).deliver(&text(SAME, 4711, "积分")).await.text();
        let (status, loan) = deliver(&world, "loan", LOAN_TOKEN, LOAN_ORIGINAL_ID, 4711, "积分").await;
        assert_eq!(status, 200);
        assert!(card.contains("可用积分") && !card.contains("贷款积分"), "{engine:?}: {card}");
        assert!(loan.contains("贷款积分") && !loan.contains("可用积分"), "{engine:?}: {loan}");
        // Delivered again, each gets its own answer again.
        assert_eq!(card_push(&world).deliver(&text(SAME, 4711, "积分")).await.text(), card, "{engine:?}");
        let again = deliver(&world, "loan", LOAN_TOKEN, LOAN_ORIGINAL_ID, 4711, "积分").await.1;
        let words = |xml: &str| xml.split("<Content>").nth(1).map(str::to_owned);
        assert_eq!(words(&again), words(&loan), "{engine:?}");

        // A push that is genuine for one account is forged for the other.
        for (account, token, original) in
            [("card", LOAN_TOKEN, LOAN_ORIGINAL_ID), ("loan", TOKEN, ORIGINAL_ID)]
        {
            let (status, answer) = deliver(&world, account, token, original, 4712, "积分").await;
            assert!(matches!(status, 400 | 401), "{engine:?} {account}: {status} {answer}");
        }

        // Erasing one leaves the other.
        let path = format!("/api/v1/bindings/card/{SAME}");
        assert!(matches!(world.bank(Method::DELETE, &path, "").await.0, 200..300));
        assert!(world.phone_of("card", SAME).say("积分").await.contains("/h5/card/bind"), "{engine:?}");
        assert!(world.phone_of("loan", SAME).say("积分").await.contains("贷款积分"), "{engine:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_account_has_its_own_services_words_and_menu() {
    let world = two_accounts(Engine::Sqlite).await;
    let (card, loan) = (world.phone_of("card", SAME), world.phone_of("loan", SAME));
    let (at_card, at_loan) = (card.say("装修贷利率").await, loan.say("装修贷利率").await);
    assert!(at_loan.contains("3.45%") && !at_card.contains("3.45%"), "{at_card}\n{at_loan}");
    let (at_card, at_loan) = (card.say("账单日").await, loan.say("账单日").await);
    assert!(at_card.contains("账单日") && !at_loan.contains("“账单日”"), "{at_card}\n{at_loan}");
    let (at_card, at_loan) = (card.say("呱呱呱呱呱").await, loan.say("呱呱呱呱呱").await);
    assert!(at_loan.contains("贷款号没有听懂") && at_card.contains("我没有听懂"), "{at_card}\n{at_loan}");

    let folder = world.folder.path();
    let checked = run(folder, &["check", "--config", "w.toml"]);
    assert!(checked.status.success(), "{}", told(&checked));
    let pushed = run(folder, &["menu", "push", "--account", "loan", "--config", "w.toml"]);
    assert!(pushed.status.success(), "{}", told(&pushed));
    let mut menus = Vec::new();
    for account in &world.config.accounts {
        let api = Api::new(account, Arc::new(MemoryShelf::default()), Arc::new(SystemClock), "menu").unwrap();
        menus.push(api.menus().await.unwrap().map(|menu| menu.to_string()));
    }
    assert!(menus[0].is_none() && menus[1].as_ref().unwrap().contains("renovation_rate"), "{menus:?}");
    assert!(loan.tap("renovation_rate").await.contains("3.45%"));

    // A service of the other account is no key of a menu, and the fault names file and line.
    let menu = "[[button]]\ntype = \"click\"\nname = \"利率\"\nkey = \"renovation_rate\"\n";
    std::fs::write(folder.join("content/menus/card.toml"), menu).unwrap();
    let checked = run(folder, &["check", "--config", "w.toml"]);
    assert_eq!(checked.status.code(), Some(1));
    assert!(
        told(&checked).contains("menus/card.toml:4: the key \"renovation_rate\" is no service"),
        "{}",
        told(&checked)
    );
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alert_leaves_by_the_account_where_the_customer_is_bound() {
    for engine in Engine::at_hand() {
        let world = two_accounts(engine).await;
        bind(&world, "card", "C10001").await;
        bind(&world, "loan", "C10002").await;
        for (account, other, customer) in [("card", "loan", "C10001"), ("loan", "card", "C10002")] {
            let transaction = json!({
                "transaction_id": format!("T-{customer}"), "customer_id": customer, "card_last4": "1234",
                "type": "purchase", "amount": { "value": "128.50", "currency": "CNY" },
                "merchant": { "name": format!("商户{customer}") }, "channel": "pos",
                "occurred_at": "2026-11-22T10:00:00+08:00",
            });
            let (status, _) =
                world.bank(Method::POST, "/api/v1/transactions", &transaction.to_string()).await;
            assert_eq!(status, 202);
            let name = format!("商户{customer}");
            let shows = |entry: &Value| entry.to_string().contains(&name);
            world.phone_of(account, SAME).wait("the alert", shows).await;
            let there = world.phone_of(other, SAME).timeline().await;
            assert!(!there.iter().any(shows), "{engine:?}: {other} shows what {account} was told");
        }
        world.stop().await;
    }
}

/// A signed-in member of staff.
struct Clerk {
    cookie: String,
    csrf: String,
}

impl Clerk {
    /// Adds an account by the command line, then signs in.
    async fn enter(world: &World, name: &str, role: &str, accounts: &[&str]) -> Self {
        let mut command = vec!["user", "add", name, "--role", role, "--config", "w.toml"];
        command.extend(accounts.iter().flat_map(|account| ["--account", account]));
        let added = run_with(world.folder.path(), &command, &format!("{PASSWORD}\n"));
        assert!(added.status.success(), "{}", told(&added));
        let form = [("name", name), ("password", PASSWORD)];
        let url = format!("{}/desk/sign-in", world.server_url);
        let request = world.http.post(url).header("sec-fetch-site", "same-origin").form(&form);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 303);
        let cookie = response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
        let page = world.http.get(format!("{}/desk", world.server_url)).header("cookie", &cookie);
        let page = page.send().await.unwrap().text().await.unwrap();
        let csrf = page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        Self { cookie, csrf }
    }

    async fn get(&self, world: &World, path: &str) -> (u16, Value) {
        let request = world.http.get(format!("{}/desk/api{path}", world.server_url));
        let response = request.header("cookie", &self.cookie).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn post(&self, world: &World, path: &str, body: Value) -> u16 {
        let request = world.http.post(format!("{}/desk/api{path}", world.server_url)).json(&body);
        let request = request.header("cookie", &self.cookie).header("x-csrf-token", &self.csrf);
        request.header("sec-fetch-site", "same-origin").send().await.unwrap().status().as_u16()
    }

    /// Names of the accounts whose customers wait, with their cases.
    async fn queue(&self, world: &World) -> Vec<(String, String)> {
        let (status, queue) = self.get(world, "/queue").await;
        assert_eq!(status, 200);
        let text = |case: &Value, key: &str| case[key].as_str().unwrap().to_owned();
        let cases = queue["cases"].as_array().unwrap();
        let mut cases: Vec<_> =
            cases.iter().map(|case| (text(case, "account"), text(case, "case_id"))).collect();
        cases.sort();
        cases
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_of_one_account_see_and_touch_nothing_of_another() {
    for engine in Engine::at_hand() {
        let world = World::prepared(engine, |text, folder| {
            let hours = folder.join("content/desk/hours.toml");
            std::fs::create_dir_all(hours.parent().unwrap()).unwrap();
            std::fs::write(hours, "every_day = ['00:00-24:00']\n").unwrap();
            with_loan(text, folder)
        });
        let mut world = world.await;
        world.start_server().await;
        for account in ["card", "loan"] {
            let url = format!("{}/sim/api/accounts/{account}/followers", world.simulator_url);
            world.post(&url, json!({ "openid": SAME, "name": "同名", "follow": true })).await;
            world.phone_of(account, SAME).say("转人工").await;
        }
        let nowhere = ["user", "add", "x", "--role", "agent", "--account", "nowhere", "--config", "w.toml"];
        let refused = run_with(world.folder.path(), &nowhere, &format!("{PASSWORD}\n"));
        assert_eq!(refused.status.code(), Some(2), "{}", told(&refused));
        let all = Clerk::enter(&world, "ban", "supervisor", &[]).await;
        let loan = Clerk::enter(&world, "lin", "supervisor", &["loan"]).await;
        let both =
            until("both cases", async || Some(all.queue(&world).await).filter(|cases| cases.len() == 2))
                .await;
        let of = |name: &str| both.iter().find(|(account, _)| account == name).unwrap().1.clone();
        let (card_case, loan_case) = (of("示例银行信用卡"), of("示例银行贷款"));
        assert_eq!(loan.queue(&world).await, [("示例银行贷款".to_owned(), loan_case.clone())], "{engine:?}");

        let there = format!("/cases/{card_case}");
        assert_eq!(loan.get(&world, &there).await.0, 404, "{engine:?}");
        let body = json!({ "answer_id": "k", "text": "您好", "skill": "fraud" });
        for action in ["claim", "answer", "close", "return", "transfer", "seen"] {
            let status = loan.post(&world, &format!("{there}/{action}"), body.clone()).await;
            assert_eq!(status, 404, "{engine:?}: {action}");
        }
        assert_eq!(loan.post(&world, &format!("/cases/{loan_case}/claim"), json!({})).await, 200);
        let answer = json!({ "answer_id": "k", "text": "贷款的坐席" });
        assert_eq!(loan.post(&world, &format!("/cases/{loan_case}/answer"), answer).await, 200);
        let shows = |entry: &Value| entry.to_string().contains("贷款的坐席");
        world.phone_of("loan", SAME).wait("the agent's answer", shows).await;
        assert!(!world.phone_of("card", SAME).timeline().await.iter().any(shows), "{engine:?}");
        assert_eq!(all.get(&world, &there).await.0, 200);
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_and_a_journey_of_one_account_open_nothing_at_the_other() {
    let world = two_accounts(Engine::Sqlite).await;
    let said = world.phone_of("card", SAME).say("办卡").await;
    let link = said.split('"').find(|part| part.contains("/h5/card/apply?t=")).unwrap().to_owned();
    let browser = || Browser::new(world.http.clone(), &world.server_url, &world.simulator_url, SAME);
    let mut swapped = browser();
    let status = swapped.open(&link.replace("/h5/card/", "/h5/loan/")).await;
    assert_eq!(status, 403, "{}", swapped.html);
    assert_eq!(browser().open(&link).await, 200, "where it belongs it opens");

    // The journey to WeChat began at one account; its end at the other gives nobody a session.
    let begun = world.http.get(&link).send().await.unwrap();
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let authorise = begun.headers()["location"].to_str().unwrap().to_owned();
    let state = authorise.split("state=").nth(1).unwrap().split(['&', '#']).next().unwrap().to_owned();
    let url = format!("{}/h5/loan/callback?code=x&state={state}", world.server_url);
    let ended = world.http.get(url).header("cookie", cookie).send().await.unwrap();
    assert_eq!(ended.status(), 403);
    assert!(ended.headers().get("set-cookie").is_none());
    world.stop().await;
}
