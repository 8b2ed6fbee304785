//! How well customers are understood: floors that a regression falls through. No example repeats an utterance of
//! `tests/data/utterances.csv`.

use std::sync::OnceLock;

use weikefu::content::Content;
use weikefu::dialogue::Dialogue;
use weikefu::understanding::{Decision, Understanding, evaluate};

fn built_in() -> &'static Understanding {
    static BUILT_IN: OnceLock<Dialogue> = OnceLock::new();
    let dialogue = BUILT_IN.get_or_init(|| {
        let dialogue = Dialogue::load(&Content::built_in()).unwrap();
        dialogue.understanding().learn();
        dialogue
    });
    dialogue.understanding()
}

#[test]
fn utterances_that_were_never_learned_are_understood_as_well_as_before() {
    let csv = include_str!("../data/utterances.csv");
    let report = evaluate(built_in(), csv).unwrap().report;
    let figure = |name: &str| report[name].as_f64().unwrap();
    assert!(figure("accuracy") >= 0.88, "{report}");
    assert!(figure("top3") >= 0.96, "{report}");
    assert!(figure("oos_recall") >= 0.88, "{report}");
    assert!(figure("false_answer_rate") <= 0.03, "{report}");
    assert!(figure("ask_rate") <= 0.25, "{report}");
    assert_eq!(built_in().rank("不是要还款，是查账单").candidates[0].id, "bill_current");
}

#[test]
fn every_service_is_reached_by_its_name_and_keywords() {
    let dialogue = Dialogue::load(&Content::built_in()).unwrap();
    let services: Vec<_> = dialogue.catalogue().iter().collect();
    assert!(services.len() >= 230, "{}", services.len());
    for service in services {
        let manifest = &service.manifest;
        for word in manifest.keywords.iter().chain([&manifest.name]) {
            assert_eq!(dialogue.understanding().keyword(word.get_ref()), Some(service.id()), "{word:?}");
        }
    }
}

#[test]
fn a_line_that_a_clerk_adds_is_understood_and_told_with_its_place() {
    let said = "卡被我刷穿底了可咋整呀";
    let content =
        Content::built_in().with("examples/ours.txt", "# 新增\n[limit_overlimit_switch]\n卡被我刷穿底了\n");
    let dialogue = Dialogue::load(&content).unwrap();
    dialogue.understanding().learn();
    let told = dialogue.understanding().explain(said);
    assert_eq!(told["candidates"][0]["id"], "limit_overlimit_switch", "{told}");
    assert_eq!(told["nearest"]["file"], "templates/examples/ours.txt", "{told}");
    assert_eq!(told["nearest"]["line"], 3);
    assert_ne!(dialogue.understanding().rank(said).decision, Decision::Refuse);
}
