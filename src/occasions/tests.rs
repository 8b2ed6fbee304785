//! The built-in rules on made-up transactions, and what is refused.

use jiff::civil::date;
use serde_json::{Value, json};

use super::*;
use crate::content::Content;
use crate::domain::time::UnixMs;

/// 2026-11-22 10:00 in Beijing.
const NOW: UnixMs = UnixMs(1_795_312_800_000);

pub(super) fn transaction(changes: Value) -> Transaction {
    let mut item = json!({
        "transaction_id": "T1", "customer_id": "C1", "card_last4": "1234", "type": "purchase",
        "amount": {"value": "128.50", "currency": "CNY"}, "merchant": {"name": "星河酒店", "mcc": "7011"},
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    for (name, value) in changes.as_object().unwrap() {
        item[name] = value.clone();
    }
    Transaction::parse(&item, NOW).unwrap()
}

fn remarks(transaction: &Transaction, original: Option<&Transaction>, recent: &[Transaction]) -> Vec<Remark> {
    let occasion = Occasion { transaction, original, recent, product: None };
    Kindnesses::load(&Content::built_in()).unwrap().remarks(&occasion, false)
}

fn first(
    transaction: &Transaction,
    original: Option<&Transaction>,
    recent: &[Transaction],
) -> (String, String) {
    let remark = remarks(transaction, original, recent).into_iter().next().expect("something is said");
    (remark.note.unwrap_or_default(), remark.words)
}

fn yuan(value: &str) -> Value {
    json!({ "value": value, "currency": "CNY" })
}

#[test]
fn an_ordinary_purchase_needs_no_remark() {
    assert_eq!(remarks(&transaction(json!({})), None, &[]), []);
}

#[test]
fn the_same_merchant_and_amount_within_two_minutes_may_be_charged_twice() {
    let this = transaction(json!({"transaction_id": "T2", "occurred_at": "2026-11-22T10:01:30+08:00"}));
    let (note, words) = first(&this, None, &[transaction(json!({}))]);
    assert_eq!(note, "可能重复扣款，请核对");
    assert!(words.contains("“星河酒店”有两笔 ¥128.50"), "{words}");
    for other in [
        json!({"occurred_at": "2026-11-22T09:59:29+08:00"}),
        json!({"occurred_at": "2026-11-22T10:02:00+08:00"}),
        json!({"amount": yuan("128.51")}),
        json!({"merchant": {"name": "星河饭店"}}),
        json!({"card_last4": "5678"}),
        json!({"type": "refund"}),
    ] {
        assert_eq!(remarks(&this, None, &[transaction(other.clone())]), [], "{other}");
    }
}

#[test]
fn a_refund_does_not_pay_the_bill() {
    let (note, words) = first(&transaction(json!({"type": "refund"})), None, &[]);
    assert_eq!(note, "但本期账单仍需按时还");
    assert!(words.contains("但本期账单仍需按时还") && !words.contains("最后还款日"), "{words}");
    let bill = |remaining: &str| json!({"total": yuan("900"), "remaining": yuan(remaining), "due_date": "2026-12-05"});
    let (_, words) = first(&transaction(json!({"type": "refund", "bill": bill("771.5")})), None, &[]);
    assert!(words.contains("¥771.50") && words.contains("12月5日"), "{words}");
    assert_eq!(remarks(&transaction(json!({"type": "refund", "bill": bill("0")})), None, &[]), []);
}

#[test]
fn a_released_deposit_is_told_as_one() {
    let deposit = transaction(json!({"transaction_id": "P1", "type": "preauth", "amount": yuan("500")}));
    let release = transaction(json!({"type": "reversal", "merchant": {"name": "星河酒店"}}));
    assert_eq!(first(&release, Some(&deposit), &[]).0, "酒店押金已退回，额度已恢复");
    let car = transaction(json!({"type": "preauth", "merchant": {"name": "星河租车", "mcc": "7512"}}));
    assert_eq!(first(&release, Some(&car), &[]).0, "预授权已解除，额度已恢复");
    let bought = transaction(json!({}));
    assert_eq!(remarks(&release, Some(&bought), &[]), []);
}

#[test]
fn a_few_yuan_short_tells_what_it_would_cost_until_the_last_day() {
    let payment = |remaining: &str, at: &str| {
        transaction(json!({
            "type": "repayment", "occurred_at": at,
            "bill": {"total": yuan("8000.00"), "remaining": yuan(remaining), "due_date": "2026-11-22"},
        }))
    };
    let (note, words) = first(&payment("3.20", "2026-11-22T23:59:59+08:00"), None, &[]);
    assert_eq!(note, "还差¥3.20，逾期日息约¥4.00");
    assert!(words.contains("¥3.20") && words.contains("约每天 ¥4.00"), "{words}");
    assert_eq!(date(2026, 11, 22).to_string(), "2026-11-22");
    for (remaining, at) in [
        ("0.00", "2026-11-22T10:00:00+08:00"),
        ("50.01", "2026-11-22T10:00:00+08:00"),
        ("3.20", "2026-11-23T00:00:00+08:00"),
    ] {
        assert_eq!(remarks(&payment(remaining, at), None, &[]), [], "{remaining} {at}");
    }
}

#[test]
fn a_reminder_of_a_bill_says_what_is_short_and_what_that_would_cost() {
    let kindnesses = Kindnesses::load(&Content::built_in()).unwrap();
    let said = |kind: &str, remaining: &str, day: &str, hides: bool| {
        let bill = json!({"total": yuan("8000.00"), "remaining": yuan(remaining), "due_date": day});
        kindnesses.note_on_bill(kind, &serde_json::from_value(bill).unwrap(), NOW, hides)
    };
    assert_eq!(said("bill_due", "3.20", "2026-11-22", false).unwrap(), "还差¥3.20，逾期日息约¥4.00");
    assert_eq!(said("bill_due", "50.00", "2026-12-05", true).unwrap(), "本期账单还差几元未还清");
    for (kind, remaining, day) in [
        ("bill_issued", "3.20", "2026-11-22"),
        ("bill_due", "0.00", "2026-11-22"),
        ("bill_due", "50.01", "2026-11-22"),
        ("bill_due", "3.20", "2026-11-21"),
    ] {
        assert_eq!(said(kind, remaining, day, false), None, "{kind} {remaining} {day}");
    }
}

#[test]
fn tolerance_and_rate_are_the_banks_own() {
    let built_in = Content::built_in();
    let path = "notices/kindnesses/short_of_the_bill.toml";
    let text = &built_in.file(path).unwrap().text;
    let own = text.replace("from = \"0.01\"", "from = \"10.01\"").replace("0.05%", "0.035%");
    let own = own.replace("whole_bill\"", "what_is_left\"");
    let kindnesses = Kindnesses::load(&built_in.with(path, &own)).unwrap();
    let said = |remaining: &str| {
        let bill = json!({"total": yuan("8000.00"), "remaining": yuan(remaining), "due_date": "2026-12-05"});
        kindnesses.note_on_bill("bill_due", &serde_json::from_value(bill).unwrap(), NOW, false)
    };
    assert_eq!(said("10.00"), None, "within the tolerance nothing is short");
    assert_eq!(said("40.00").unwrap(), "还差¥40.00，逾期日息约¥0.02");
}

#[test]
fn a_foreign_purchase_shows_both_amounts_unless_they_have_no_room_or_are_hidden() {
    let bought = |value: &str, currency: &str, billed: &str| {
        transaction(json!({"amount": {"value": value, "currency": currency}, "billing_amount": yuan(billed)}))
    };
    let (note, words) = first(&bought("12.00", "USD", "86.40"), None, &[]);
    assert_eq!(note, "US$12.00，折合¥86.40");
    assert!(words.contains("美元") && words.contains("US$12.00") && words.contains("¥86.40"), "{words}");
    let (note, words) = first(&bought("1234567", "JPY", "59259.25"), None, &[]);
    assert_eq!(note, "", "an amount is never cut");
    assert!(words.contains("JPY 1,234,567"), "{words}");
    let dear = bought("12.00", "USD", "86.40");
    let occasion = Occasion { transaction: &dear, original: None, recent: &[], product: None };
    let hidden =
        |occasion: &Occasion<'_>| Kindnesses::load(&Content::built_in()).unwrap().remarks(occasion, true);
    assert_eq!(hidden(&occasion), []);
    let again = transaction(json!({"transaction_id": "T2"}));
    let recent = [transaction(json!({}))];
    let said = hidden(&Occasion { transaction: &again, original: None, recent: &recent, product: None });
    assert_eq!((said.len(), said[0].words.as_str()), (1, "可能重复扣款，请核对"));
}

#[test]
fn every_fault_of_a_rule_names_file_and_line() {
    let rule = |text: &str| {
        let content = Content::of([("notices/kindnesses/x.toml", text)]);
        let faults = Kindnesses::load(&content).unwrap_err();
        faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    let whole =
        |note: &str, when: &str| format!("rank = 1\nnote = \"{note}\"\nwords = \"x\"\n[when]\n{when}\n");
    for (text, line, message) in [
        (whole("好", "types = [\"gift\"]"), 5, "a type as the bank names it"),
        (whole("好", "repeated_within = \"2 minutes\""), 5, "a time such as 90s"),
        (whole("好", "merchant_categories = [\"70\"]"), 5, "a merchant category of four digits"),
        (whole("好", "amount = { from = \"5\", to = \"1\" }"), 5, "renminbi such as"),
        (whole("好", "hours = \"25:00-26:00\""), 5, "hours such as"),
        (whole("好", "type = [\"purchase\"]"), 5, "did you mean `types`"),
        (whole("好", "notices = [\"bill\"]"), 5, "no such kind of notice"),
        (whole("好", "notices = [\"bill_due\"]"), 5, "a rule for notices needs bill_remaining"),
        (
            whole("好", "notices = [\"bill_due\"]\nbill_remaining = {}\nchannels = [\"pos\"]"),
            5,
            "knows beside it types, hours and weekdays only",
        ),
        (
            whole("{{ amount|money }}", "notices = [\"bill_due\"]\nbill_remaining = {}"),
            2,
            "\"amount\" is not always there",
        ),
        (whole("{{ billed|money }}", "types = [\"purchase\"]"), 2, "\"billed\" is not always there"),
        (whole("{{ balance }}", ""), 2, "the text uses \"balance\""),
        (whole("这是一行放不进模板的话因为它实在是太长了一点", ""), 2, "room for 20 characters"),
        (whole("满100减20优惠券已到账", ""), 2, "no-adverts-in-notices"),
        (whole("分 享给朋友", ""), 2, "no-share-to-earn"),
        (whole("稳赚不赔", ""), 2, "no-promise-of-return"),
    ] {
        let faults = rule(&text);
        assert!(faults.contains(&format!("templates/notices/kindnesses/x.toml:{line}: ")), "{faults}");
        assert!(faults.contains(message), "{faults}");
    }
    let advert = Content::of([("notices/spend.toml", "[defaults]\nnote = \"领取红包\" # 优惠\n")]);
    let faults = Kindnesses::load(&advert).unwrap_err();
    assert!(
        faults[0].to_string().starts_with("templates/notices/spend.toml:2: no-adverts-in-notices"),
        "{faults:?}"
    );
}
