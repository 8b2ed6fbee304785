//! How well customers are understood: floors that a regression falls through. No example repeats an utterance of
//! `tests/data/utterances.csv`.

use std::sync::OnceLock;

use weikefu::content::Content;
use weikefu::dialogue::Dialogue;
use weikefu::understanding::{Decision, Understanding, evaluate};

use crate::processes::run;
use crate::world::{Engine, World};

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
    assert!(figure("accuracy") >= 0.92, "{report}");
    assert!(figure("top3") >= 0.96, "{report}");
    assert!(figure("oos_recall") >= 0.88, "{report}");
    assert!(figure("false_answer_rate") <= 0.025, "{report}");
    assert!(figure("ask_rate") <= 0.35, "{report}");
    assert_eq!(built_in().rank("不是要还款，是查账单").candidates[0].id, "bill_current");
}

#[test]
fn of_sentences_that_were_held_out_most_are_understood() {
    let permille = built_in().accuracy_permille();
    assert!(permille >= 780, "{permille} of 1000, by the shorter training that a reload compares by");
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

#[test]
fn an_example_that_all_others_contradict_is_told_with_its_place_and_what_it_is_like() {
    let contradicts = "# 错放\n[points_query]\n我这个月的信用卡账单一共要还多少钱呀\n";
    let content = Content::built_in().with("examples/ours.txt", contradicts);
    let dialogue = Dialogue::load(&content).unwrap();
    let faults = dialogue.understanding().misplaced(|file| file == "templates/examples/ours.txt");
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert_eq!(faults[0].line, 3);
    assert!(faults[0].message.contains("takes it for bill_current"), "{faults:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_understood_is_listed_masked_and_becomes_an_example() {
    for engine in Engine::at_hand() {
        let mut world = World::prepared(engine, |text, folder| {
            let dir = folder.join("content");
            std::fs::create_dir(&dir).unwrap();
            format!("{text}\n[content]\ndir = {:?}\n", dir.display().to_string())
        })
        .await;
        world.start_server().await;
        let follower = world.follower("甲").await;
        let said = "咕叽咕叽呱呱 4111111111111111";
        follower.say(said).await;
        let review = |arguments: &[&str]| {
            let all: Vec<&str> = ["review"].into_iter().chain(arguments.iter().copied()).collect();
            let done = run(world.folder.path(), &[&all[..], &["--config", "w.toml"]].concat());
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (done.status.code(), text(&done.stdout) + &text(&done.stderr))
        };
        let (code, listed) = review(&["list"]);
        assert_eq!(code, Some(0), "{listed}");
        assert!(listed.contains("refused") && listed.contains("1 waiting"), "{engine:?}: {listed}");
        assert!(listed.contains("咕叽咕叽呱呱") && !listed.contains("4111111111111111"), "{listed}");
        let line = listed.lines().find(|line| line.contains("refused")).unwrap();
        let id = line.split_whitespace().next().unwrap().to_owned();

        let (code, told) = review(&["accept", &id]);
        assert!(code == Some(2) && told.contains("--as SERVICE"), "{told}");
        let (code, told) = review(&["accept", &id, "--as", "no_such_service"]);
        assert!(code == Some(2) && told.contains("there is no service"), "{told}");
        let file = world.folder.path().join("content/examples/reviewed.txt");
        assert!(!file.exists(), "what is faulty is taken away again");
        let (code, told) = review(&["accept", &id, "--as", "limit_query"]);
        assert_eq!(code, Some(0), "{told}");
        assert!(std::fs::read_to_string(&file).unwrap().starts_with("[limit_query]\n咕叽咕叽呱呱"));
        assert!(review(&["list"]).1.contains("0 waiting"));
        assert_eq!(review(&["drop", &id]).0, Some(2), "it is gone");
        world.stop().await;
    }
}
