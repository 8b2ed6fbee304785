//! Services against the sandbox core for real: a PIN that never reaches us, a cardholder's day, one more service by files.

use std::path::Path;

use serde_json::{Value, json};

use crate::pages::Browser;
use crate::wechat::{Wechat, text};
use crate::world::{Engine, Follower, World, client, until};

fn browser(world: &World, follower: &Follower<'_>) -> Browser {
    Browser::new(client(), &world.server_url, &world.simulator_url, &follower.openid)
}

/// The address in a text or a page that has this in it.
fn link_in(text: &str, part: &str) -> String {
    let link = text.split('"').find(|piece| piece.starts_with("http") && piece.contains(part));
    let link = link.unwrap_or_else(|| panic!("no link to {part} in {text}"));
    link.replace("&amp;", "&").replace("&#38;", "&")
}

/// Types on the bank's own page; gives the page that follows.
async fn types(world: &World, page: &str, fields: &[(&str, &str)]) -> String {
    world.http.post(page).form(fields).send().await.unwrap().text().await.unwrap()
}

/// Goes from the chat over our page to the bank's, types the PIN, and returns.
pub(crate) async fn prove_by_pin(world: &World, follower: &Follower<'_>, answer: &str) -> Browser {
    let mut page = browser(world, follower);
    assert_eq!(page.open(&link_in(answer, "/step-up?t=")).await, 200, "{}", page.html);
    page.takes("/h5/card/step-up/pin", &[]).await;
    let bank = link_in(&page.html, "/sandbox/pin/");
    let mut done = types(world, &bank, &[("pin", "246810")]).await;
    if done.contains("name=\"new_pin\"") {
        let fields = [("pin", "246810"), ("new_pin", "135790"), ("new_pin_again", "135790")];
        done = types(world, &bank, &fields).await;
    }
    assert_eq!(page.open(&link_in(&done, "step-up/return")).await, 200, "{}", page.html);
    page
}

/// Proves himself with the newest one-time code.
pub(crate) async fn prove_by_code(world: &World, follower: &Follower<'_>, answer: &str, phone: &str) {
    let mut page = browser(world, follower);
    assert_eq!(page.open(&link_in(answer, "/step-up?t=")).await, 200, "{}", page.html);
    page.takes("/h5/card/step-up/send", &[]).await;
    let messages = world.get(&format!("{}/sandbox/sms?phone={phone}", world.core_url)).await;
    let text = messages[0]["text"].as_str().unwrap().to_owned();
    let code: String =
        text.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    page.takes("/h5/card/step-up/verify", &[("code", &code)]).await;
}

fn has(answer: &str, words: &[&str]) {
    for word in words {
        assert!(answer.contains(word), "no {word} in {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pin_is_typed_at_the_bank_and_its_word_counts_once_for_one_service() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        let answer = follower.say("还款").await;
        has(&answer, &["银行的密码页"]);
        let mut page = browser(&world, &follower);
        assert_eq!(page.open(&link_in(&answer, "/step-up?t=")).await, 200, "{engine:?}: {}", page.html);
        page.takes("/h5/card/step-up/pin", &[]).await;
        let bank = link_in(&page.html, "/sandbox/pin/");
        assert!(bank.starts_with(&world.core_url), "the bank's own page: {bank}");

        let wrong = types(&world, &bank, &[("pin", "111111")]).await;
        has(&wrong, &["交易密码不正确"]);
        let back = link_in(&types(&world, &bank, &[("cancel", "1")]).await, "step-up/return");
        page.open(&back).await;
        has(&page.html, &["还没有输入交易密码"]);

        page.takes("/h5/card/step-up/pin", &[]).await;
        let bank = link_in(&page.html, "/sandbox/pin/");
        let back = link_in(&types(&world, &bank, &[("pin", "246810")]).await, "step-up/return");
        // What was signed for one asking, or not signed, counts for nothing.
        page.open(&back.replace("id=", "id=0")).await;
        page.open(&back.replace("body=", "body=e30")).await;
        assert!(!page.html.contains("验证通过"), "{engine:?}: {}", page.html);
        assert_eq!(page.open(&back).await, 200, "{engine:?}: {}", page.html);
        has(&page.html, &["验证通过", "还多少"]);
        let proofs = "SELECT COUNT(*) FROM step_up WHERE proof = 'pin'";
        assert_eq!(world.number(proofs).await, 1, "{engine:?}");
        follower.wait("the interrupted question goes on", |entry| entry.to_string().contains("还多少")).await;
        // Typed again at the bank, the asking is over; brought back again, nothing more happens.
        has(&types(&world, &bank, &[("pin", "246810")]).await, &["已经失效"]);
        page.open(&back).await;
        let kept = "SELECT COUNT(*) FROM audit WHERE action = 'step_up_pin'";
        assert_eq!(world.number(kept).await, 1, "{engine:?}");

        follower.say("五百").await;
        has(&follower.say("1").await, &["¥500.00", "尾号6688"]);
        has(&follower.say("确认").await, &["还款成功", "¥500.00"]);
        has(&follower.say("还款记录").await, &["¥500.00"]);
        // It is no proof for anything else.
        has(&follower.say("修改手机号").await, &["银行的密码页"]);
        world.stop().await;
    }
}

fn purchase(merchant: &str, value: &str) -> Value {
    json!({
        "customer_id": "C10002", "card_id": "K1", "merchant": merchant,
        "amount": { "value": value, "currency": "CNY" },
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_service_changes_the_next_one_tells() {
    let world = World::start(Engine::at_hand().remove(0)).await;
    let follower = world.follower("甲").await;
    world.bind(&follower.openid, "C10002").await;
    has(&follower.say("锁卡").await, &["已锁住尾号1234"]);
    assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["decline_reason"], "card_locked");
    has(&follower.say("为什么没刷成").await, &["卡片已锁定"]);
    let answer = follower.say("解锁卡片").await;
    prove_by_code(&world, &follower, &answer, "13800138002").await;
    follower.wait("the card is free", |entry| entry.to_string().contains("已解锁")).await;
    assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["declined"], false);

    has(&follower.say("卡丢了").await, &["已挂失"]);
    assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["decline_reason"], "card_lost");
    follower.say("取消").await;
    let answer = follower.say("解除挂失").await;
    prove_by_pin(&world, &follower, &answer).await;
    follower.wait("the card is found", |entry| entry.to_string().contains("已解除挂失")).await;
    assert_eq!(world.swipe(purchase("星河超市", "1.00")).await["declined"], false);
    world.stop().await;
}

/// How many points he may use, and how often he gave 500 away, as the core tells him.
async fn points_and_gifts(follower: &Follower<'_>) -> (i64, usize) {
    let lines = follower.say("积分明细").await;
    let (_, points) = lines.split_once("可用积分").unwrap_or_else(|| panic!("{lines}"));
    let points: String = points.chars().take_while(|c| *c != '，').filter(char::is_ascii_digit).collect();
    (points.parse().unwrap(), lines.matches("-500").count())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_confirmed_is_executed_once_however_it_is_repeated() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        let (points, gifts) = points_and_gifts(&follower).await;
        assert_eq!(gifts, 0, "{engine:?}");

        // WeChat delivers the yes four times, at once and later.
        follower.say("捐积分").await;
        follower.say("乡村阅读角").await;
        has(&follower.say("1").await, &["确认捐赠吗"]);
        let url = format!("{}/wechat/card", world.server_url);
        let wechat = Wechat { http: world.http.clone(), url, is_safe: true };
        let yes = text(&follower.openid, 77, "确认");
        let (first, second, third) =
            tokio::join!(wechat.deliver(&yes), wechat.deliver(&yes), wechat.deliver(&yes));
        has(&first.text(), &["谢谢您", "捐赠证书编号"]);
        let later = wechat.deliver(&yes).await;
        assert!([&second, &third, &later].iter().all(|answer| **answer == first), "{engine:?}");
        assert_eq!(points_and_gifts(&follower).await, (points - 500, 1), "{engine:?}");

        // The core does it and its answer is lost: nobody knows, until he lets it be tried again.
        follower.say("捐积分").await;
        follower.say("乡村阅读角").await;
        has(&follower.say("1").await, &["确认捐赠吗"]);
        world.fault(json!({ "operation": "points_donate", "answer_delay_ms": 60_000 })).await;
        has(&follower.say("确认").await, &["是否办成还不确定", "不会重复办理"]);
        world.http.delete(format!("{}/sandbox/faults", world.core_url)).send().await.unwrap();
        has(&follower.say("1").await, &["谢谢您", "捐500积分"]);
        assert_eq!(
            points_and_gifts(&follower).await,
            (points - 1_000, 2),
            "{engine:?}: twice meant, twice done"
        );
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_of_periods_is_chosen_anew_when_the_amount_is_corrected() {
    let world = World::start(Engine::at_hand().remove(0)).await;
    let follower = world.follower("甲").await;
    world.bind(&follower.openid, "C10002").await;
    let answer = follower.say("现金分期").await;
    prove_by_pin(&world, &follower, &answer).await;
    follower.wait("the form", |entry| entry.to_string().contains("想借多少")).await;
    has(&follower.say("6000").await, &["每期¥2,045.00", "24期"]);
    follower.say("24期").await;
    follower.say("旅游").await;
    has(&follower.say("1").await, &["借¥6,000.00，分24期还"]);
    // What is less than ¥3,000.00 is not paid in 24 periods: the rules of the bank say so, the form shows it.
    let again = follower.say("金额改成2400").await;
    has(&again, &["分几期", "每期¥214.40"]);
    assert!(!again.contains("24期"), "{again}");
    has(&follower.say("12期").await, &["借¥2,400.00，分12期还", "以后每期¥214.40"]);
    // Both in one sentence: nothing is asked.
    has(&follower.say("金额改成3600，分24期").await, &["借¥3,600.00，分24期还", "以后每期¥172.32"]);
    has(&follower.say("确认").await, &["已办好", "以后每期¥172.32"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_card_that_was_replaced_goes_by_its_new_tail() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        has(&follower.say("卡丢了").await, &["已挂失"]);
        follower.say("取消").await;
        let answer = follower.say("补卡").await;
        prove_by_code(&world, &follower, &answer, "13800138002").await;
        follower.wait("the form", |entry| entry.to_string().contains("为什么要换卡")).await;
        has(&follower.say("已挂失").await, &["旧卡号作废"]);
        let answer = follower.say("确认").await;
        let (_, tail) = answer.split_once("新卡尾号").unwrap_or_else(|| panic!("{engine:?}: {answer}"));
        let tail: String = tail.chars().take(4).collect();
        assert_ne!(tail, "1234", "{engine:?}");
        let bound = follower.say("绑定状态").await;
        assert!(bound.contains(&format!("尾号{tail}")) && !bound.contains("1234"), "{engine:?}: {bound}");
        let kept = "SELECT COUNT(*) FROM audit WHERE action = 'cards' AND actor = 'core'";
        assert_eq!(world.number(kept).await, 1, "{engine:?}");
        world.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn charts_are_drawn_for_their_own_follower_alone() {
    for engine in Engine::at_hand() {
        let world = World::start(engine).await;
        let follower = world.follower("甲").await;
        world.bind(&follower.openid, "C10002").await;
        let asked = follower.ask(json!({ "action": "text", "text": "消费图表" })).await;
        let card = follower.wait("a card with a picture", |entry| {
            entry["kind"] == "news" && entry["id"].as_u64().is_some_and(|id| id > asked)
        });
        let article = card.await["detail"]["articles"][0].clone();
        let picture = world.http.get(article["picurl"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(picture.headers()["content-type"], "image/png", "{engine:?}");
        let link = article["url"].as_str().unwrap();
        let mut page = browser(&world, &follower);
        assert_eq!(page.open(link).await, 200, "{engine:?}: {}", page.html);
        has(&page.html, &["尾号1234", "消费分类", "<rect class=\"bar\"", "已还清", "?month=20"]);
        let other = page.html.rsplit("?month=").next().unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(page.open(&format!("{}/h5/card/spending?month={other}", world.server_url)).await, 200);
        let (year, month) = other.split_once('-').unwrap();
        has(&page.html, &[&format!("{year}年{}月账单消费分类", month.trim_start_matches('0'))]);

        let stranger = world.follower("乙").await;
        let mut page = browser(&world, &stranger);
        assert_eq!(page.open(link).await, 403, "{engine:?}");
        has(&page.html, &["此链接不是发给您的"]);
        has(&follower.say("历史账单").await, &["看图：账单走势和消费分类"]);
        world.stop().await;
    }
}

/// The walk-through of the README: one file for the operation, one for the service.
pub(crate) const OPERATION: &str = r#"{
  "title": "贵宾厅次数",
  "description": "How often a customer may still use an airport lounge this year.",
  "effect": "read",
  "customer": "required",
  "params": { "type": "object", "properties": {}, "additionalProperties": false },
  "result": {
    "type": "object",
    "properties": { "left": { "type": "integer", "minimum": 0, "maximum": 99 } },
    "required": ["left"]
  },
  "errors": { "unknown_customer": "No customer has this customer_id." },
  "example": { "customer_id": "C10001", "params": {}, "result": { "left": 6 } }
}"#;
pub(crate) const SERVICE: &str = r#"id = "lounge_visits"
category = "benefits"
name = "贵宾厅次数"
keywords = ["贵宾厅", "贵宾厅次数"]
binding = true
proof = "none"
effect = "read"

[lookup]
operation = "core:lounge_visits"
answer = "今年还可以用{{ left }}次机场贵宾厅。"
"#;

/// Where the operation of the walk-through lies in the bank's folder.
const OPERATION_PATH: &str = "operations/lounge_visits.json";

/// The configuration with a folder of the bank's that has the two files of the walk-through.
fn with_one_more_service(text: String, folder: &Path) -> String {
    let content = folder.join("content");
    for (path, text) in [(OPERATION_PATH, OPERATION), ("services/benefits/lounge_visits.toml", SERVICE)] {
        let path = content.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    format!("{text}\n[content]\ndir = {:?}\n", content.display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_service_takes_one_file_and_one_schema() {
    for readme in ["README.md", "README.zh-CN.md"] {
        let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(readme)).unwrap();
        assert!(text.contains(OPERATION) && text.contains(SERVICE), "{readme} shows these two files");
    }
    let mut world = World::prepared(Engine::at_hand().remove(0), with_one_more_service).await;
    world.start_server().await;
    let follower = world.follower("甲").await;
    world.bind(&follower.openid, "C10001").await;
    has(&follower.say("贵宾厅").await, &["今年还可以用6次机场贵宾厅。"]);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_the_contract_is_not_said_and_staff_read_which_field() {
    let mut world = World::prepared(Engine::at_hand().remove(0), with_one_more_service).await;
    let log = world.folder.path().join("server.log");
    world.start_process_logging(&log).await;
    let follower = world.follower("甲").await;
    world.bind(&follower.openid, "C10001").await;
    has(&follower.say("贵宾厅").await, &["今年还可以用6次机场贵宾厅。"]);
    // The core changes its answer without a word to the server.
    let changed = OPERATION
        .replace(r#""type": "integer", "minimum": 0, "maximum": 99"#, r#""type": "string", "maxLength": 9"#)
        .replace(r#"{ "left": 6 }"#, r#"{ "left": "六次" }"#);
    std::fs::write(world.folder.path().join("content").join(OPERATION_PATH), changed).unwrap();
    let answer = follower.say("贵宾厅").await;
    has(&answer, &["银行系统这次的答复有误", "“贵宾厅次数”现在没法准确告诉您", "转人工"]);
    assert!(!answer.contains("六次"), "{answer}");
    let (_, reference) = answer.split_once("参考号：").unwrap_or_else(|| panic!("{answer}"));
    let reference: String = reference.chars().take(8).collect();
    until("the line for staff", async || {
        let text = std::fs::read_to_string(&log).unwrap();
        let told = |line: &&str| {
            ["lounge_visits", "/result/left", &reference].iter().all(|part| line.contains(part))
        };
        text.lines().find(told).map(drop)
    })
    .await;
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_was_sent_and_a_district_that_was_typed_find_branches() {
    let world = World::start(Engine::at_hand().remove(0)).await;
    let follower = world.follower("甲").await;
    let sent =
        json!({ "action": "location", "latitude": "30.201000", "longitude": "122.102000", "label": "云台" });
    let asked = follower.ask(sent).await;
    has(&follower.answer_after(asked).await, &["离您最近的网点", "云台支行", "231米，", "apis.map.qq.com"]);
    has(&follower.say("滨江区").await, &["滨江区的网点", "临江滨江支行"]);
    world.stop().await;
}
