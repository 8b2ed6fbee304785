//! Which offers fit, and what no offer may say.

use proptest::prelude::*;
use serde_json::json;

use super::tests::transaction;
use super::*;
use crate::content::Content;
use crate::domain::time::UnixMs;

/// 2026-11-22 10:00 in Beijing, a Sunday.
const NOW: UnixMs = UnixMs(1_795_312_800_000);
const CONSENT: &str = "version = \"v1\"\nper_week_max = 3\n";

fn offer(title: &str, text: &str, rest: &str) -> String {
    format!(
        "rank = 1\ntitle = \"{title}\"\ntext = \"{text}\"\nfrom = \"2026-01-01\"\nuntil = \"2026-12-31\"\n\
         per_week_max = 1\ntotal_max = 9\n{rest}\n"
    )
}

fn content(file: &str) -> Content {
    Content::of([("marketing/consent.toml", CONSENT), ("marketing/offers/x.toml", file)])
}

fn offers(when: &str) -> Offers {
    Offers::load(&content(&offer("活动", "以活动页为准。", &format!("[when]\n{when}")))).unwrap()
}

fn chosen(offers: &Offers, transaction: &Transaction, opted_in: bool, lot: u8) -> Chosen {
    let occasion = Occasion { transaction, original: None, recent: &[], product: Some("金卡") };
    let audience = Audience { opted_in, shown: &[], lot: &|_| lot, now: NOW };
    offers.offers_for(&occasion, &audience)
}

#[test]
fn the_built_in_offers_load_and_none_is_shown_to_who_did_not_ask() {
    let offers = Offers::load(&Content::built_in()).unwrap();
    let foreign = transaction(json!({
        "amount": {"value": "12", "currency": "USD"}, "billing_amount": {"value": "86.40", "currency": "CNY"},
    }));
    assert_eq!(chosen(&offers, &foreign, true, 99).offers.len(), 1);
    assert_eq!(chosen(&offers, &foreign, false, 99), Chosen::default());
    let held_out = chosen(&offers, &foreign, true, 0);
    assert_eq!(
        (held_out.offers.len(), held_out.held_out.as_slice()),
        (0, ["overseas_rebate".to_owned()].as_slice())
    );
}

#[test]
fn each_condition_holds_or_does_not() {
    let bought = transaction(json!({
        "merchant": {"name": "星河", "mcc": "5812", "city": "示例市", "country": "CN"},
        "cardholder": {"tier": "gold", "holder": "primary"},
    }));
    for (when, holds) in [
        ("types = [\"purchase\"]", true),
        ("types = [\"refund\"]", false),
        ("merchant_categories = [\"5811-5814\"]", true),
        ("merchant_categories = [\"5813\", \"7011\"]", false),
        ("cities = [\"示例市\"]", true),
        ("cities = [\"别处\"]", false),
        ("countries = [\"CN\"]", true),
        ("channels = [\"online\"]", false),
        ("tiers = [\"gold\", \"platinum\"]", true),
        ("tiers = [\"classic\"]", false),
        ("holders = [\"supplementary\"]", false),
        ("products = [\"金卡\"]", true),
        ("products = [\"白金卡\"]", false),
        ("amount = { from = \"128.50\", to = \"128.50\" }", true),
        ("amount = { from = \"128.51\" }", false),
        ("amount = { to = \"128.49\" }", false),
        ("hours = \"10:00-10:01\"", true),
        ("hours = \"10:01-23:00\"", false),
        ("hours = \"22:00-10:30\"", true),
        ("weekdays = [7]", true),
        ("weekdays = [1, 2, 3, 4, 5, 6]", false),
        ("foreign = true", false),
    ] {
        assert_eq!(chosen(&offers(when), &bought, true, 99).offers.len() == 1, holds, "{when}");
    }
}

#[test]
fn what_platform_or_law_forbids_is_refused_with_the_name_of_the_rule_and_its_place() {
    let refused = |title: &str, text: &str| {
        let faults = Offers::load(&content(&offer(title, text, "[when]"))).err().unwrap_or_default();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for (title, text, line, rule) in [
        ("活动", "分享到朋友圈，好友助力即得", 3, "no-share-to-earn"),
        ("转 发得积分", "好", 2, "no-share-to-earn"),
        ("活动", "理财稳赚，保本保收益", 3, "no-promise-of-return"),
        ("全国第一的信用卡", "好", 2, "no-superlatives"),
        ("账单分期", "每期手续费0.6%，年化利率最高18.25%", 2, "annual-rate-first"),
        ("账单分期", "按期还款", 2, "annual-rate-first"),
        ("账单分期", "年化利率4.5%-18.25%", 2, "annual-rate-first"),
        ("借款日息低至万分之二", "年化利率最高7.3%", 2, "annual-rate-first"),
        ("", "好", 2, "1 to 24 are allowed"),
    ] {
        let faults = refused(title, text);
        assert!(
            faults.contains(&format!("templates/marketing/offers/x.toml:{line}: ")),
            "{title} {text}: {faults}"
        );
        assert!(faults.contains(rule), "{faults}");
    }
    assert_eq!(refused("账单分期", "年化利率（单利）最高18.25%，每期手续费0.6%"), "");
    assert_eq!(
        refused("周三满200减50", "返现1%，名额有限，领取后使用优惠券"),
        "",
        "an advert to who asked for adverts"
    );
}

#[test]
fn other_faults_name_their_place() {
    let faults = |file: &str| {
        let faults = Offers::load(&content(file)).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let good = offer("活动", "好", "hold_out_percent = 10\nurl = \"https://bank.example/a\"\n[when]");
    assert!(Offers::load(&content(&good)).is_ok());
    for (from, to, line, message) in [
        ("2026-12-31", "2025-12-31", 5, "until is before from"),
        ("2026-01-01", "2026-02-30", 4, "must be a day"),
        ("hold_out_percent = 10", "hold_out_percent = 51", 8, "at most 50"),
        ("https://", "http://", 9, "begins with https://"),
        ("per_week_max", "per_weak_max", 6, "did you mean `per_week_max`"),
    ] {
        let told = faults(&good.replace(from, to));
        assert!(told.contains(&format!("x.toml:{line}: ")) && told.contains(message), "{told}");
    }
    let stale = Content::of([
        ("marketing/consent.toml", CONSENT),
        ("services/alerts/marketing_opt_in.toml", "confirm = \"版本 v0\""),
    ]);
    assert!(Offers::load(&stale).unwrap_err()[0].message.contains("does not name this version"));
}

proptest! {
    #[test]
    fn nobody_is_shown_more_than_the_caps_or_without_his_word(
        opted_in: bool, lot in 0_u8..100, days in proptest::collection::vec(0_u64..20, 0..12),
    ) {
        let file = offer("活动", "好", "hold_out_percent = 20\n[when]");
        let offers = Offers::load(&content(&file)).unwrap();
        let day = std::time::Duration::from_secs(24 * 3600);
        let mut days = days;
        days.sort_unstable();
        days.dedup();
        let shown: Vec<Shown> =
            days.iter().map(|ago| Shown { offer: "x".to_owned(), at: NOW - day * u32::try_from(*ago).unwrap() }).collect();
        let bought = transaction(json!({}));
        let occasion = Occasion { transaction: &bought, original: None, recent: &[], product: None };
        let chosen = offers.offers_for(&occasion, &Audience { opted_in, shown: &shown, lot: &|_| lot, now: NOW });
        let today = days.contains(&0);
        let this_week = days.iter().filter(|ago| **ago < 7).count();
        let wanted = opted_in && (today || (this_week == 0 && shown.len() < 9 && lot >= 20));
        prop_assert_eq!(chosen.offers.len(), usize::from(wanted));
    }
}
