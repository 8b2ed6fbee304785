//! Each of the promised services is done once against the sandbox core, on a phone, over real HTTP: with its proof on the
//! pages, its questions, its yes, in an order in which one service leaves what the next one finds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weikefu::bank::{Call, Context, Core};
use weikefu::clock::{Clock as _, ManualClock, SystemRandom};
use weikefu::content::Content;
use weikefu::domain::ids::CustomerId;
use weikefu::domain::time::UnixMs;

use crate::services::{prove_by_code, prove_by_pin};
use crate::world::{Engine, Follower, World, until};

/// Sunday, 2026-11-22, 10:00 in Beijing.
const START: UnixMs = UnixMs(1_795_312_800_000);
/// Longer than a customer waits for his next one-time code.
const NEXT_CODE: Duration = Duration::from_secs(61);
const STEP: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// A service, what its form is answered, and what is told in the end.
type Done = (&'static str, &'static [&'static str], &'static str);

const IDENTITY: &[Done] = &[
    ("bind_credit_card", &[], "重新绑定"),
    ("bind_status", &[], "尾号5678"),
    ("switch_default_card", &["尾号5678"], "以后默认查询尾号5678"),
    ("card_list", &[], "到期，每月8日出账"),
    ("card_annual_fee", &[], "年费"),
    ("unbind", &["确认"], "已解除绑定"),
];
const BILL: &[Done] = &[
    ("bill_current", &[], "本期应还"),
    ("bill_unbilled", &[], "未出账单"),
    ("bill_history", &[], "选一期看明细"),
    ("bill_detail", &[], "合计"),
    ("bill_date_query", &[], "账单日是每月8日"),
    ("due_date_query", &[], "到期还款日"),
    ("bill_fee_interest", &[], "日利率0.05%"),
    ("bill_refund_status", &[], "退款"),
    ("bill_pending_auth", &[], "预授权"),
    ("bill_dispute", &["星河超市", "重复扣款", "确认"], "已受理，编号"),
    ("bill_date_change", &["每月20日", "确认"], "账单日是每月20日"),
];
const INSTALMENT: &[Done] = &[
    ("inst_quote", &[], "分期试算"),
    ("inst_bill_apply", &["600", "3期", "确认"], "已办好：账单分期¥600.00"),
    ("inst_txn_apply", &["晨星家电", "12期", "确认"], "以后每期¥107.20"),
    ("inst_cash_apply", &["2000", "12期", "旅游", "尾号6688", "确认"], "¥2,000.00打到储蓄卡尾号6688"),
    ("inst_query", &[], "正在还的分期"),
    ("inst_early_settle", &["1", "确认"], "已结清"),
];
const LIMIT: &[Done] = &[
    ("limit_query", &[], "可用额度"),
    ("limit_cash", &[], "预借现金可用"),
    ("limit_temp_apply", &["5000", "30", "确认"], "已批准：临时额度¥5,000.00"),
    ("limit_perm_apply", &["61000", "确认"], "已批准：固定额度调到¥61,000.00"),
    ("limit_adjust_progress", &[], "最近的额度申请"),
];
const REPAYMENT: &[Done] = &[
    ("repay_methods", &[], "还款方式"),
    ("repay_now", &["100", "尾号6688", "确认"], "还款成功"),
    ("repay_records", &[], "¥100.00"),
    ("repay_min", &[], "最低还款"),
    ("repay_auto_set", &["全额", "尾号2266", "确认"], "自动从储蓄卡尾号2266扣全额"),
    ("repay_auto_cancel", &["确认"], "已取消"),
    ("repay_reminder", &["3", "10", "确认"], "还款日前3天10点提醒"),
    ("overdue_query", &[], "没有逾期"),
];
const HARDSHIP: &[Done] = &[("repay_hardship", &["失业或收入减少", "12", "确认"], "已登记，编号")];
const POINTS: &[Done] = &[
    ("points_query", &[], "可用积分"),
    ("points_detail", &[], "最近的变动"),
    ("points_redeem", &["咖啡券一张", "确认"], "已兑换咖啡券一张"),
    ("points_charity", &["乡村阅读角", "2", "确认"], "捐1,000积分"),
];
const PROFILE: &[Done] = &[
    ("profile_query", &[], "登记的资料"),
    ("profile_address_update", &["账单地址", "星海市云台区望潮路18号2单元301室", "确认"], "已修改账单地址"),
    ("profile_email_update", &["li@example.com", "确认"], "已修改邮箱"),
    ("profile_phone_update", &["13900139007", "确认"], "已修改预留手机号"),
];
const CARD: &[Done] = &[
    ("card_txn_pin_set", &[], "修改好"),
    ("card_lock", &[], "已锁住尾号1234"),
    ("card_unlock", &[], "尾号1234已解锁"),
    ("card_overseas_switch", &[], "境外交易"),
    ("card_replace", &["卡片损坏", "确认"], "已受理，订单号"),
    ("apply_supplementary", &["父母", "5000", "确认"], "已受理，申请编号"),
];
const LOSS: &[Done] =
    &[("card_report_loss", &["取消"], "尾号1234已挂失"), ("card_cancel_loss", &[], "尾号1234已解除挂失")];
const FRAUD: &[Done] = &[
    ("card_declined_reason", &[], "最近没有成功的交易"),
    ("fraud_confirm", &[], "您本人的交易"),
    ("fraud_deny", &["星河超市"], "已登记为非本人交易并冻结尾号1234"),
];
const ALERTS: &[Done] = &[
    ("alert_subscribe", &["显示金额", "确认"], "已开通"),
    ("alert_threshold", &["100", "确认"], "低于¥100.00不提醒"),
    ("alert_quiet_hours", &["晚上10点到早上8点", "确认"], "每天22:00到08:00"),
    ("alert_history", &[], "提醒"),
    ("alert_unsubscribe", &["确认"], "已关闭尾号1234"),
    ("marketing_opt_in", &["确认"], "为您订阅优惠信息"),
    ("marketing_opt_out", &[], "立即生效"),
];
const APPLICATION: &[Done] = &[
    ("apply_progress", &[], "受理编号"),
    ("apply_supplement", &["1", "手机银行上传", "确认"], "已登记，回执号"),
];
const DELIVERY: &[Done] = &[("apply_delivery", &[], "示例速运")];
const NEW_CARD: &[Done] =
    &[("card_activate", &[], "要先面签一次才能激活"), ("apply_interview", &["1", "确认"], "已预约，编号")];
const ACTIVATED: &[Done] = &[("card_activate", &[], "尾号1234已激活")];
const STRANGER: &[Done] = &[
    ("apply_card", &[], "在线填写申请"),
    ("apply_catalog", &[], "可以申请的信用卡"),
    ("offers_nearby", &["云台区"], "云台区的优惠"),
    ("offers_weekly", &[], "每周优惠"),
    ("branch_nearby", &["云台区"], "云台区的网点"),
    ("drift_bottle_pick", &[], "您捡到一只漂流瓶"),
    ("campaign_list", &[], "正在进行的活动"),
    ("service_menu", &[], "我可以为您办"),
    ("satisfaction_rate", &["非常满意", "无"], "收到您的5分评价"),
    ("complaint_submit", &["上个月年费收错了", "确认"], "已登记您的投诉，编号"),
];
const PERSON: &[Done] = &[("human_agent", &[], "人工客服")];

/// What no answer of a service that was done says.
const FAILED: [&str; 5] = ["没能办成", "没能完成", "答复有误", "没有回应", "没有听懂"];

struct House<'a> {
    world: &'a World,
    clock: &'a ManualClock,
    content: Content,
    done: BTreeSet<&'static str>,
}

impl House<'_> {
    /// What customers call a service first.
    fn words_of(&self, id: &str) -> String {
        let wanted = format!("/{id}.toml");
        let (_, file) = self.content.below("services").find(|(path, _)| path.ends_with(&wanted)).unwrap();
        let manifest: toml::Value = toml::from_str(&file.text).unwrap();
        let mut words = manifest["keywords"].as_array().unwrap().iter().filter_map(toml::Value::as_str);
        // Whoever says only that he complains gets a person at once, and no form.
        words.find(|words| !words.contains("投诉")).unwrap().to_owned()
    }

    /// Does services one after the other, as a customer of the bank or, without one, as a stranger.
    async fn does(&mut self, follower: &Follower<'_>, customer: &str, services: &[Done]) {
        for &(id, answers, told) in services {
            let mut heard = self.proved(follower, customer, &self.words_of(id)).await;
            for answer in answers {
                self.clock.advance(STEP);
                heard.push('\n');
                heard.push_str(&follower.say(answer).await);
            }
            assert!(heard.contains(told), "{customer} {id}: no {told} in:\n{heard}");
            let failed = FAILED.iter().find(|words| heard.contains(**words));
            assert!(failed.is_none(), "{customer} {id}: {failed:?} in:\n{heard}");
            self.done.insert(id);
        }
    }

    /// Asks for a service, and proves himself where it wants that; what it says then.
    async fn proved(&self, follower: &Follower<'_>, customer: &str, words: &str) -> String {
        self.clock.advance(STEP);
        let answer = follower.say(words).await;
        let newest = follower.timeline().await.iter().filter_map(|entry| entry["id"].as_u64()).max().unwrap();
        if answer.contains("短信验证码确认是您本人") {
            self.clock.advance(NEXT_CODE);
            let phone = format!("138001380{}", customer.split_at(4).1);
            prove_by_code(self.world, follower, &answer, &phone).await;
        } else if answer.contains("银行的密码页输入") {
            prove_by_pin(self.world, follower, &answer).await;
        } else {
            return answer;
        }
        follower.answer_after(newest).await
    }

    async fn bound(&self, customer: &str, tails: &[(&str, &str)]) -> Follower<'_> {
        self.clock.advance(STEP);
        let follower = self.world.follower(customer).await;
        let card = |(id, last4): &(&str, &str)| json!({ "card_id": id, "last4": last4, "product": "金卡" });
        let binding = json!({
            "account": "card", "openid": follower.openid, "customer_id": customer,
            "bound_at": "2026-01-01T10:00:00+08:00", "cards": tails.iter().map(card).collect::<Vec<_>>(),
        });
        let path = "/api/v1/bindings";
        let (status, told) = self.world.bank(reqwest::Method::POST, path, &binding.to_string()).await;
        assert_eq!((status, told["accepted"].as_u64()), (202, Some(1)), "{told}");
        follower
    }

    /// Does services as a customer with one card.
    async fn lives(&mut self, customer: &str, services: &[Done]) {
        let world = self.world;
        let openid = self.bound(customer, &[("K1", "1234")]).await.openid;
        self.does(&world.phone(&openid), customer, services).await;
    }

    /// A purchase at the sandbox, of which the server was told.
    async fn buys(&self, customer: &str, merchant: &str, value: &str, channel: &str) {
        let told = "SELECT COUNT(*) FROM notice";
        let before = self.world.number(told).await;
        let purchase = json!({
            "customer_id": customer, "card_id": "K1", "merchant": merchant, "channel": channel,
            "amount": { "value": value, "currency": "CNY" },
        });
        self.world.swipe(purchase).await;
        until("the bank told of it", async || (self.world.number(told).await > before).then_some(())).await;
    }

    /// Applies for a card; gives the number of the application.
    async fn applies(&self, customer: &str) -> String {
        let clock = Arc::new(ManualClock::new(self.clock.now()));
        let core = Core::new(&self.world.config.core, clock, Arc::new(SystemRandom)).unwrap();
        let form = json!({
            "product_id": "gold", "name": "测试申请人", "id_number": "990000199203129091", "phone": "13800138099",
            "annual_income": { "value": "120000.00", "currency": "CNY" },
            "consents": {
                "card_contract": "2026-01", "credit_report": "2026-01", "agreed_at": "2026-11-22T10:00:00+08:00",
            },
        });
        let call = Call {
            customer_id: CustomerId::parse(customer),
            params: form,
            idempotency_key: Some("one".to_owned()),
            context: Context::default(),
        };
        let told: Value = core.call("application_submit", call).await.unwrap();
        told["application_no"].as_str().unwrap().to_owned()
    }

    /// The bank goes on with an application.
    async fn advance(&self, application_no: &str) {
        let url = format!("{}/sandbox/applications/{application_no}/advance", self.world.core_url);
        self.world.post(&url, json!({})).await;
    }
}

/// The promised services, by their ids.
fn promised(content: &Content) -> BTreeSet<String> {
    let list: toml::Value =
        toml::from_str(&content.file("promised/seventy_nine.toml").unwrap().text).unwrap();
    list["services"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect()
}

async fn every_promised_service_is_done(engine: Engine) {
    let clock = Arc::new(ManualClock::new(START));
    let mut world = World::at(engine, clock.clone(), |text, _| text).await;
    world.start_server().await;
    let content = Content::built_in();
    let mut house = House { world: &world, clock: &clock, content, done: BTreeSet::new() };

    let openid = house.bound("C10001", &[("K1", "1234"), ("K2", "5678")]).await.openid;
    house.does(&world.phone(&openid), "C10001", IDENTITY).await;
    house.buys("C10002", "星河超市", "88.00", "pos").await;
    house.lives("C10002", BILL).await;
    house.buys("C10003", "晨星家电", "1200.00", "pos").await;
    house.lives("C10003", INSTALMENT).await;
    house.lives("C10004", LIMIT).await;
    house.lives("C10005", REPAYMENT).await;
    house.lives("C10020", HARDSHIP).await;
    house.lives("C10006", POINTS).await;
    house.lives("C10007", PROFILE).await;
    house.lives("C10008", CARD).await;
    house.lives("C10010", LOSS).await;
    house.lives("C10011", ALERTS).await;

    let openid = house.bound("C10009", &[("K1", "1234")]).await.openid;
    house.buys("C10009", "星河数码", "6000.00", "online").await;
    let (doubt, denied) = FRAUD.split_at(2);
    house.does(&world.phone(&openid), "C10009", doubt).await;
    house.buys("C10009", "星河超市", "66.00", "pos").await;
    house.does(&world.phone(&openid), "C10009", denied).await;

    let application = house.applies("C10012").await;
    house.advance(&application).await;
    house.lives("C10012", APPLICATION).await;
    house.advance(&application).await;
    house.advance(&application).await;
    house.lives("C10012", DELIVERY).await;
    for services in [STRANGER, PERSON] {
        clock.advance(STEP);
        let stranger = world.follower("路人").await;
        house.does(&stranger, "", services).await;
    }
    house.lives("C10019", NEW_CARD).await;
    clock.advance(DAY * 4);
    house.lives("C10019", ACTIVATED).await;

    let done: BTreeSet<String> = house.done.iter().map(|id| (*id).to_owned()).collect();
    assert_eq!(done, promised(&house.content), "each is done, and nothing that was not promised");
    assert_eq!(done.len(), 79);
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promised_service_is_done_against_the_sandbox_core_on_sqlite() {
    every_promised_service_is_done(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promised_service_is_done_against_the_sandbox_core_on_postgres() {
    if Engine::at_hand().contains(&Engine::Postgres) {
        every_promised_service_is_done(Engine::Postgres).await;
    }
}
