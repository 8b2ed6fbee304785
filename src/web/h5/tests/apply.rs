//! Applying for a card: left, taken up again, handed in, erased.

use std::time::Duration;

use actix_web::http::StatusCode;

use super::bank::CODE;
use super::world::{Browser, World, card, worlds};
use crate::identity::{DRAFT_LIFE, Page};

const PERSON: [(&str, &str); 3] =
    [("name", "测试申请人"), ("id_number", "99000019920312909 1"), ("phone", "138 0013 8099")];
const WORK: [(&str, &str); 4] = [
    ("occupation", "企业职工"),
    ("employer", "示例公司"),
    ("annual_income", "120,000"),
    ("address", "示例省示例市示例路一号"),
];

async fn apply(world: &World) -> Browser {
    let mut browser = world.browser("oAnna").await;
    assert_eq!(browser.open(&world.link("oAnna", Page::Apply)).await, StatusCode::OK);
    browser
}

/// Fills in every page from a step up to the code.
async fn fill(browser: &mut Browser, from: usize) {
    let steps = [
        ("product", [("product_id", "gold")].as_slice(), "个人资料"),
        ("person", &PERSON, "工作与住址"),
        ("work", &WORK, "征信查询授权书"),
        ("credit", &[("agree", "yes")], "¥120,000.00"),
        ("review", &[("agree", "yes")], "138****8099"),
    ];
    for (step, fields, next) in steps.into_iter().skip(from) {
        let status = browser.send(&format!("/h5/card/apply/{step}"), fields).await;
        assert_eq!(status, StatusCode::OK, "{step}: {}", browser.html);
        browser.says(&[next]);
    }
}

#[actix_web::test]
async fn an_application_is_left_taken_up_again_and_handed_in_once() {
    for world in worlds().await {
        let mut browser = apply(&world).await;
        browser.says(&["标准金卡", "¥200", "违约金", "18至65周岁"]);
        assert!(!browser.html.contains("checked"), "nothing is chosen beforehand");
        browser.send("/h5/card/apply/product", &[("product_id", "gold")]).await;
        browser.send("/h5/card/apply/person", &PERSON).await;
        browser.says(&["第 3 步", "加密保存到11月29日"]);

        // Two days later, in another browser.
        world.clock.advance(Duration::from_secs(2 * 24 * 3600));
        let mut browser = apply(&world).await;
        browser.says(&["第 3 步"]);
        assert_eq!(browser.open("/h5/card/apply?step=person").await, StatusCode::OK);
        browser.says(&["value=\"990000199203129091\"", "value=\"13800138099\""]);
        assert_eq!(browser.open("/h5/card/apply?step=code").await, StatusCode::OK);
        browser.says(&["第 3 步"]);
        fill(&mut browser, 2).await;

        let wrong = browser.send("/h5/card/apply/code", &[("code", "000000")]).await;
        assert_eq!(wrong, StatusCode::UNPROCESSABLE_ENTITY);
        browser.says(&["还可以再试2次"]);
        assert_eq!(browser.send("/h5/card/apply/code", &[("code", CODE)]).await, StatusCode::OK);
        browser.says(&["受理编号", "A20261122000001", "预计完成", "11月25日"]);
        assert_eq!(browser.open("/h5/card/apply").await, StatusCode::OK);
        browser.says(&["A20261122000001"]);

        assert_eq!(world.bank.submitted(), 1);
        let call = &world.bank.seen("application_submit")[0];
        let params = &call["params"];
        assert_eq!(params["id_number"], "990000199203129091");
        assert_eq!(params["annual_income"]["value"], "120000.00");
        assert_eq!(params["consents"]["credit_report"], "2026-01");
        assert_eq!(params["consents"]["agreed_at"], "2026-11-24T10:00:00+08:00");
        let draft = world.store.draft(&card(), world.follower("oAnna")).await.unwrap();
        assert!(draft.is_none(), "the draft ends with the submission");
        let kept = world.store.applications(&card(), world.follower("oAnna")).await.unwrap();
        assert_eq!(kept[0].number.reveal(), "A20261122000001");
        assert_eq!(world.events(), ["application_submitted"]);
        assert_eq!(browser.open("/h5/card/progress").await, StatusCode::OK);
        browser.says(&["受理编号 A20261122000001", "审核", "aria-current=\"step\""]);
    }
}

#[actix_web::test]
async fn a_form_that_a_bank_would_not_take_is_told_field_by_field() {
    let world = worlds().await.remove(0);
    let mut browser = apply(&world).await;
    let nothing = browser.send("/h5/card/apply/product", &[("product_id", "black")]).await;
    assert_eq!(nothing, StatusCode::UNPROCESSABLE_ENTITY);
    browser.send("/h5/card/apply/product", &[("product_id", "gold")]).await;
    for (field, value, words) in [
        ("id_number", "990000199203129092", "身份证号码有误"),
        ("id_number", "11010519491231002X", "本产品的申请人须年满18周岁"),
        ("phone", "12345", "手机号应为11位"),
        ("name", "1", "请填写证件上的姓名"),
    ] {
        let fields: Vec<_> =
            PERSON.into_iter().map(|(name, good)| (name, if name == field { value } else { good })).collect();
        let status = browser.send("/h5/card/apply/person", &fields).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        browser.says(&[&format!("id=\"{field}-wrong\">{words}"), &format!("value=\"{value}\"")]);
    }
    browser.send("/h5/card/apply/person", &PERSON).await;
    let poor = [("occupation", "企业职工"), ("annual_income", "200000000"), ("address", "短")];
    assert_eq!(browser.send("/h5/card/apply/work", &poor).await, StatusCode::UNPROCESSABLE_ENTITY);
    browser.says(&["年收入不能超过", "居住地址至少6个字", "id=\"employer-wrong\""]);
    browser.send("/h5/card/apply/work", &WORK).await;
    let unread = browser.send("/h5/card/apply/credit", &[]).await;
    assert_eq!(unread, StatusCode::UNPROCESSABLE_ENTITY);
    // A step that is not reached leads back to the one that is.
    assert_eq!(browser.send("/h5/card/apply/code", &[("code", CODE)]).await, StatusCode::OK);
    browser.says(&["第 4 步"]);
    assert!(world.bank.seen("otp_send").is_empty());
}

#[actix_web::test]
async fn a_bank_that_was_down_at_the_end_costs_no_new_code() {
    let world = worlds().await.remove(0);
    let mut browser = apply(&world).await;
    fill(&mut browser, 0).await;
    world.bank.is_down_for(&["application_submit"]);
    let status = browser.send("/h5/card/apply/code", &[("code", CODE)]).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    browser.says(&["银行系统暂时没有回应", "已验证，可以直接提交"]);
    world.bank.is_down_for(&[]);
    assert_eq!(browser.send("/h5/card/apply/code", &[]).await, StatusCode::OK);
    browser.says(&["A20261122000001"]);
    world.bank.is_down_for(&["application_products"]);
    assert_eq!(browser.send("/h5/card/apply/discard", &[]).await, StatusCode::SERVICE_UNAVAILABLE);
    browser.says(&["暂时无法办理", "编号"]);
}

#[actix_web::test]
async fn a_draft_lives_seven_days_and_can_be_thrown_away_before() {
    for world in worlds().await {
        let mut browser = apply(&world).await;
        fill(&mut browser, 0).await;
        let follower = world.follower("oAnna");
        world.clock.advance(DRAFT_LIFE - Duration::from_secs(1));
        world.identity.purge(world.identity.now()).await.unwrap();
        assert!(world.store.draft(&card(), follower).await.unwrap().is_some());
        world.clock.advance(Duration::from_secs(2));
        // Too old to be shown, even before it is purged.
        let mut browser = apply(&world).await;
        browser.says(&["第 1 步"]);
        world.identity.purge(world.identity.now()).await.unwrap();
        assert!(world.store.draft(&card(), follower).await.unwrap().is_none());

        browser.send("/h5/card/apply/product", &[("product_id", "gold")]).await;
        browser.says(&["第 2 步"]);
        assert_eq!(browser.send("/h5/card/apply/discard", &[]).await, StatusCode::OK);
        browser.says(&["第 1 步"]);
        assert!(world.store.draft(&card(), follower).await.unwrap().is_none());
    }
}

#[actix_web::test]
async fn nothing_personal_can_be_read_in_the_files_of_the_database() {
    let world = worlds().await.remove(0);
    let mut browser = apply(&world).await;
    fill(&mut browser, 0).await;
    let mut binder = world.browser("oAnna").await;
    binder.open(&world.link("oAnna", Page::Bind)).await;
    let form = [
        ("name", "张立春"),
        ("id_tail", "001X"),
        ("card_tail", "1234"),
        ("phone", "13800138001"),
        ("alerts", "full"),
        ("agree", "yes"),
    ];
    binder.send("/h5/card/bind/start", &form).await;
    let cookies: Vec<String> = browser.cookies.values().chain(binder.cookies.values()).cloned().collect();
    let sealed_only = |when: &str| {
        let bytes = world.test.file_bytes();
        assert!(bytes.len() > 10_000);
        let mut canaries: Vec<String> =
            ["测试申请人", "990000199203129091", "13800138099", "示例路一号", "张立春"]
                .map(str::to_owned)
                .to_vec();
        canaries.extend(["13800138001", "C10001", "张**", "金卡", "oAnna", CODE, "otp_0"].map(str::to_owned));
        canaries.extend(cookies.iter().cloned());
        for canary in canaries {
            let found = bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
            assert!(!found, "a canary of {} bytes {when}", canary.len());
        }
    };
    sealed_only("while forms are open");
    let code = [("code", CODE)];
    assert_eq!(binder.send("/h5/card/bind/verify", &code).await, StatusCode::OK);
    sealed_only("after binding");
}
