//! Applying for a card.

use std::time::Duration;

use jiff::civil::Date;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Asked, Decision, Nothing, mask_name, read};
use crate::domain::time::UnixMs;
use crate::simulator::core::amount::Amount;
use crate::simulator::core::book::{APPLICATIONS_MAX, Book};
use crate::simulator::core::events::{Application, Event, Refusal};
use crate::simulator::core::people::with_checksum;
use crate::simulator::core::rules::{ApplicationRules, ProductRules};
use crate::simulator::core::transaction::rfc3339;

const SHOWN_MAX: usize = 10;
/// A verified code vouches for the applicant this long.
const VERIFIED_LIFE: Duration = Duration::from_secs(3600);

pub(super) fn products(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let Nothing {} = read(params)?;
    let rules = &asked.book.rules.application;
    let yuan = |decimal: &str| json!({ "value": decimal, "currency": "CNY" });
    let product = |product: &ProductRules| {
        json!({
            "product_id": product.product_id,
            "name": product.name,
            "tier": product.tier,
            "currencies": product.currencies,
            "annual_fee": yuan(&product.annual_fee),
            "annual_fee_rule": product.annual_fee_rule,
            "limit_min": yuan(&product.limit_min),
            "limit_max": yuan(&product.limit_max),
            "benefits": product.benefits,
        })
    };
    let contract = |kind: &str, title: &str, version: &str, text: &str| json!({ "kind": kind, "title": title, "version": version, "text": text.trim() });
    Ok(json!({
        "products": rules.products.iter().map(product).collect::<Vec<_>>(),
        "fees": rules.fees.iter().map(|fee| json!({ "name": fee.name, "text": fee.text })).collect::<Vec<_>>(),
        "documents": rules.documents,
        "contracts": rules.contracts.iter().map(|c| contract(&c.kind, &c.title, &c.version, &c.text)).collect::<Vec<_>>(),
        "age_min": rules.age_min,
        "age_max": rules.age_max,
        "income_min": yuan(&rules.income_min),
        "income_max": yuan(&rules.income_max),
        "review_days": rules.review_days,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submit {
    product_id: String,
    name: String,
    id_number: String,
    phone: String,
    annual_income: Amount,
    challenge_id: Option<String>,
    consents: Consents,
    #[serde(rename = "employer")]
    _employer: Option<String>,
    #[serde(rename = "occupation")]
    _occupation: Option<String>,
    #[serde(rename = "address")]
    _address: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Consents {
    card_contract: String,
    credit_report: String,
    #[serde(rename = "agreed_at")]
    _agreed_at: String,
}

pub(super) fn submit(asked: &Asked<'_>, params: Value) -> Result<Decision, Refusal> {
    let submit: Submit = read(params)?;
    let rules = &asked.book.rules.application;
    if asked.customer_id.is_some() {
        asked.customer()?;
    }
    let product = rules.products.iter().find(|product| product.product_id == submit.product_id);
    let product = product.ok_or_else(|| Refusal::new("unknown_product", "这款卡片暂不接受申请。"))?;
    check_applicant(asked, rules, &submit)?;
    let id_number = asked.book.fingerprint(&submit.id_number);
    let finished = |application: &Application| application.reached.len() >= rules.stages.len();
    let open = asked.book.applications.iter().find(|application| {
        application.id_number == id_number
            && application.product_id == product.product_id
            && !finished(application)
    });
    if let Some(open) = open {
        let message = format!("您已申请过{}，正在办理中，受理编号{}。", product.name, open.application_no);
        let details = json!({ "application_no": open.application_no });
        return Err(Refusal::new("already_open", message).with(details));
    }
    if asked.book.applications.len() >= APPLICATIONS_MAX {
        return Err(Refusal::new("closed", "今日申请已满，请明天再试。"));
    }
    let serial = asked.book.applications.len() + 1;
    let application = Application {
        application_no: format!("A{}{serial:06}", asked.today().strftime("%Y%m%d")),
        product_id: product.product_id.clone(),
        name_masked: mask_name(submit.name.trim()),
        id_number,
        phone: asked.book.fingerprint(&submit.phone),
        customer_id: asked.customer_id.map(str::to_owned),
        reached: vec![asked.now],
    };
    let stage = Stage::of(asked.book, &application);
    let result = json!({
        "application_no": application.application_no,
        "submitted_at": rfc3339(asked.now),
        "product": { "product_id": product.product_id, "name": product.name },
        "stage": { "code": stage.code, "name": stage.name },
        "next_step": stage.next_step,
        "expected_on": stage.expected_on,
    });
    Ok(Decision::done(Event::Applied { application }, result))
}

fn check_applicant(asked: &Asked<'_>, rules: &ApplicationRules, submit: &Submit) -> Result<(), Refusal> {
    let bad_number = || Refusal::new("id_number_invalid", "身份证号码不正确，请核对。");
    let born = birthday(&submit.id_number).ok_or_else(bad_number)?;
    let today = asked.today();
    if born > today {
        return Err(bad_number());
    }
    let had_birthday = (today.month(), today.day()) >= (born.month(), born.day());
    let age = today.year() - born.year() - i16::from(!had_birthday);
    if !(rules.age_min..=rules.age_max).contains(&age) {
        let message = format!("申请人须年满{}周岁且不超过{}周岁。", rules.age_min, rules.age_max);
        return Err(Refusal::new("age_out_of_range", message));
    }
    let bound = |text: &str| Amount::parse(text, "CNY").map_or(0, Amount::minor);
    let income = asked.book.rules.in_yuan(submit.annual_income).minor();
    if !(bound(&rules.income_min)..=bound(&rules.income_max)).contains(&income) {
        return Err(Refusal::new("income_out_of_range", "年收入不在可受理的范围内，请核对。"));
    }
    let consents = [
        ("card_contract", &submit.consents.card_contract),
        ("credit_report", &submit.consents.credit_report),
    ];
    for (kind, version) in consents {
        if !rules.contracts.iter().any(|contract| contract.kind == kind && contract.version == *version) {
            return Err(Refusal::new("consent_outdated", "合约或授权书已更新，请重新阅读并确认。"));
        }
    }
    let Some(challenge_id) = &submit.challenge_id else { return Ok(()) };
    let phone = asked.book.fingerprint(&submit.phone);
    let vouches = asked.book.challenges.get(challenge_id).is_some_and(|challenge| {
        let fresh = challenge.verified_at.is_some_and(|at| asked.now < at + VERIFIED_LIFE);
        fresh && challenge.purpose == "application" && challenge.phone == phone
    });
    if vouches { Ok(()) } else { Err(Refusal::new("not_verified", "请先完成手机号验证。")) }
}

/// The date of birth in a number whose checksum is right.
fn birthday(id_number: &str) -> Option<Date> {
    let first: String = id_number.chars().take(17).collect();
    if id_number.len() != 18 || with_checksum(&first) != id_number {
        return None;
    }
    let digits: Vec<i16> =
        first.chars().map(|c| c.to_digit(10).and_then(|d| i16::try_from(d).ok())).collect::<Option<_>>()?;
    let number =
        |places: std::ops::Range<usize>| digits[places].iter().fold(0, |sum, digit| sum * 10 + digit);
    Date::new(number(6..10), i8::try_from(number(10..12)).ok()?, i8::try_from(number(12..14)).ok()?).ok()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Progress {
    application_no: Option<String>,
    challenge_id: Option<String>,
}

pub(super) fn progress(asked: &Asked<'_>, params: Value) -> Result<Value, Refusal> {
    let progress: Progress = read(params)?;
    let book = asked.book;
    let wanted: Box<dyn Fn(&&Application) -> bool> = match (progress.application_no, progress.challenge_id) {
        (Some(number), _) => {
            if !book.applications.iter().any(|application| application.application_no == number) {
                return Err(Refusal::new("unknown_application", "没有查到这个受理编号，请核对。"));
            }
            Box::new(move |application| application.application_no == number)
        }
        (None, Some(challenge_id)) => {
            let verified = book
                .challenges
                .get(&challenge_id)
                .filter(|challenge| challenge.verified_at.is_some_and(|at| asked.now < at + VERIFIED_LIFE));
            let phone = verified.map(|challenge| challenge.phone.clone());
            let phone = phone.ok_or_else(|| Refusal::new("not_verified", "请先完成手机号验证。"))?;
            Box::new(move |application| application.phone == phone)
        }
        (None, None) if asked.customer_id.is_some() => {
            let (id, phone) = (asked.customer()?.id.clone(), book.fingerprint(&asked.customer()?.phone));
            Box::new(move |application| {
                application.customer_id.as_deref() == Some(id.as_str()) || application.phone == phone
            })
        }
        (None, None) => return Err(Refusal::new("nothing_named", "请提供受理编号。")),
    };
    let found = book.applications.iter().rev().filter(wanted).take(SHOWN_MAX);
    Ok(
        json!({ "applications": found.map(|application| progress_json(book, application)).collect::<Vec<_>>() }),
    )
}

fn progress_json(book: &Book, application: &Application) -> Value {
    let stages = &book.rules.application.stages;
    let now_at = application.reached.len().saturating_sub(1);
    let stage_json = |(place, stage): (usize, &crate::simulator::core::rules::StageRules)| {
        let on = application.reached.get(place).map(|at| at.beijing().date());
        let last = place + 1 == stages.len();
        let state = match place.cmp(&now_at) {
            std::cmp::Ordering::Less => "done",
            std::cmp::Ordering::Equal if last => "done",
            std::cmp::Ordering::Equal => "current",
            std::cmp::Ordering::Greater => "waiting",
        };
        json!({ "code": stage.code, "name": stage.name, "state": state, "on": on })
    };
    let stage = Stage::of(book, application);
    json!({
        "application_no": application.application_no,
        "product": { "product_id": application.product_id, "name": product_name(book, application) },
        "name_masked": application.name_masked,
        "submitted_at": rfc3339(application.reached.first().copied().unwrap_or(UnixMs(0))),
        "stage": { "code": stage.code, "name": stage.name },
        "finished": stage.finished,
        "stages": stages.iter().enumerate().map(stage_json).collect::<Vec<_>>(),
        "next_step": stage.next_step,
        "expected_on": stage.expected_on,
    })
}

/// Where an application stands.
pub(in crate::simulator::core) struct Stage<'a> {
    pub(in crate::simulator::core) code: &'a str,
    pub(in crate::simulator::core) name: &'a str,
    pub(in crate::simulator::core) next_step: &'a str,
    pub(in crate::simulator::core) finished: bool,
    pub(in crate::simulator::core) expected_on: Option<Date>,
}

impl<'a> Stage<'a> {
    /// The stage that was reached last.
    pub(in crate::simulator::core) fn of(book: &'a Book, application: &Application) -> Self {
        let stages = &book.rules.application.stages;
        let place = application.reached.len().clamp(1, stages.len()) - 1;
        let stage = &stages[place];
        let finished = place + 1 == stages.len();
        let since = application.reached.last().copied().unwrap_or(UnixMs(0)).beijing().date();
        let expected_on = (!finished).then(|| since.saturating_add(jiff::Span::new().days(stage.days)));
        Self { code: &stage.code, name: &stage.name, next_step: &stage.next_step, finished, expected_on }
    }
}

/// What the product is called, also when the file no longer offers it.
pub(in crate::simulator::core) fn product_name<'a>(book: &'a Book, application: &'a Application) -> &'a str {
    let products = &book.rules.application.products;
    let product = products.iter().find(|product| product.product_id == application.product_id);
    product.map_or(application.product_id.as_str(), |product| product.name.as_str())
}
