use super::*;
use crate::content::Content;

fn class(id: &str, keywords: &[&str], examples: &[&str], writes: bool) -> Class {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    Class { id: id.to_owned(), names: vec![], keywords: texts(keywords), examples: texts(examples), writes }
}

fn trained() -> Understanding {
    let lexicon = Lexicon::load(&Content::built_in()).unwrap();
    let classes = vec![
        class("bill", &["账单", "查账单"], &["我这个月要还多少钱", "信用卡该还多少"], false),
        class("bill_date", &["账单日"], &["几号出账单"], false),
        class("limit", &["额度"], &["还能刷多少"], false),
        class("unbind", &["解绑"], &["把卡从微信上解除"], true),
    ];
    Understanding::train(classes, lexicon)
}

fn decided(text: &str) -> (String, &'static str) {
    let ranked = trained().rank(text);
    (ranked.candidates.first().map(|best| best.id.clone()).unwrap_or_default(), ranked.decision.name())
}

#[test]
fn what_is_seen_only_makes_no_difference() {
    let table = [
        (" 查账单！！", "查账单"),
        ("ＬＩＭＩＴ　还有多少？", "limit还有多少"),
        ("my  Bill, please", "my bill please"),
        ("😀。…", ""),
        ("账\u{200b}单", "账单"),
        ("②", "2"),
    ];
    for (typed, plain) in table {
        assert_eq!(normalise(typed), plain);
    }
    for (typed, chosen) in [
        ("2", Some(2)),
        ("２．", Some(2)),
        ("第二个", Some(2)),
        ("③", Some(3)),
        ("十", Some(10)),
        ("二十", None),
        ("123", None),
        ("", None),
    ] {
        assert_eq!(number(&normalise(typed)), chosen, "{typed}");
    }
}

#[test]
fn the_longest_keyword_wins_and_fillers_do_not_count() {
    assert_eq!(decided("账单"), ("bill".to_owned(), "answer"));
    assert_eq!(decided("请问账单日是？"), ("bill_date".to_owned(), "answer"));
    assert_eq!(decided("帮我查一下额度"), ("limit".to_owned(), "answer"));
    assert_eq!(decided("我这个月要还多少"), ("bill".to_owned(), "answer"));
}

#[test]
fn what_changes_something_must_be_surer() {
    let ranked = trained().rank("把我的那张卡从微信解除");
    assert_eq!(ranked.candidates[0].id, "unbind");
    assert_eq!(ranked.decision, Decision::Ask(vec!["unbind".to_owned()]), "{ranked:?}");
}

#[test]
fn danger_and_the_wish_for_a_person_come_before_any_score() {
    for (text, family) in [
        ("账单里有一笔被盗刷", Some("fraud")),
        ("还不上账单不想活了", Some("self_harm")),
        ("账单，转人工", None),
    ] {
        let ranked = trained().rank(text);
        assert_eq!(ranked.decision, Decision::Person(family.map(str::to_owned)), "{text}");
    }
    assert_eq!(decided("不要人工，查账单"), ("bill".to_owned(), "answer"));
    assert_eq!(decided("别转人工"), (String::new(), "refuse"));
}

#[test]
fn what_is_none_of_ours_is_refused_and_never_ranked() {
    for text in ["今天天气怎么样呀", "账单分期", "{{7*7}}", "", "😀", "’ OR 1=1 --"] {
        let ranked = trained().rank(text);
        assert_eq!(ranked.decision, Decision::Refuse, "{text}: {ranked:?}");
        assert!(ranked.candidates.iter().all(|candidate| candidate.id != "oos"));
    }
    assert!(trained().rank("今天天气怎么样呀").unrelated);
}

#[test]
fn two_wishes_are_asked_back() {
    let ranked = trained().rank("账单和额度");
    assert!(matches!(&ranked.decision, Decision::Ask(ids) if ids.len() == 2), "{ranked:?}");
}

#[test]
fn the_same_text_gets_the_same_explanation() {
    let told = trained().explain("我这个月要还多少钱呀");
    assert_eq!(told, trained().explain("我这个月要还多少钱呀"));
    assert_eq!(told["candidates"][0]["why"], "like \"我这个月要还多少钱\"");
    assert_eq!(told["decision"], "answer");
}

#[test]
fn an_evaluation_counts_as_the_interface_says() {
    let csv = "utterance,expected_id,kind,also_ok\n\
        查账单,bill,plain,\n\
        额度,bill,plain,limit\n\
        账单日,limit,short,\n\
        账单和额度,limit,multi,bill\n\
        今天天气怎么样,oos,oos_chitchat,\n\
        被盗刷了,human,human_fraud,\n\
        额度,oos,oos_other,\n";
    let evaluation = evaluate(&trained(), csv).unwrap();
    let report = evaluation.report;
    assert_eq!(report["n"], 7);
    assert_eq!(report["accuracy"], 0.75);
    assert_eq!(report["oos_recall"], 0.6667);
    assert_eq!(report["false_answer_rate"], 0.2857, "账单日 and the last 额度");
    assert_eq!(report["ask_rate"], 0.1429);
    assert_eq!(report["by_kind"]["plain"]["accuracy"], 1.0);
    assert_eq!(report["by_kind"]["oos_chitchat"]["accuracy"], serde_json::Value::Null);
    assert!(report["p99_us"].is_u64());
    assert_eq!(evaluation.failures.len(), 2);
    assert!(evaluate(&trained(), "utterance\nx\n").is_err());
}

#[test]
fn labelled_rows_alone_can_be_learned() {
    let csv = "text,label\nhow do I activate my card,activate\nmy card was stolen,stolen\n";
    let trained = Understanding::train_csv(csv).unwrap();
    assert_eq!(trained.rank("please activate the card").candidates[0].id, "activate");
}
