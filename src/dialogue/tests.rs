use super::*;
use crate::catalogue::{Page, Picture, Proof};

mod bad_input;

#[test]
fn the_built_in_content_has_no_fault() {
    match Dialogue::load(&Content::built_in()) {
        Ok(dialogue) => assert_eq!(dialogue.catalogue().try_out(), []),
        Err(faults) => panic!("{}", faults.iter().map(|fault| format!("{fault}\n")).collect::<String>()),
    }
}

#[test]
fn the_built_in_conversations_are_met_word_by_word_and_cover_every_service() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let report = check(&Content::built_in(), &["card"], Some(&folder));
    let faults: String = report.faults.iter().map(|fault| format!("{fault}\n")).collect();
    assert!(faults.is_empty(), "{faults}");
    assert!(report.coverage.iter().all(|service| service.missing.is_empty()), "{report}");
    assert!(report.to_string().contains("seventy_nine: 79 of 79 covered"), "{report}");
}

fn dialogue() -> &'static Dialogue {
    static DIALOGUE: std::sync::OnceLock<Dialogue> = std::sync::OnceLock::new();
    DIALOGUE.get_or_init(|| Dialogue::load(&Content::built_in()).unwrap())
}

struct NoLinks;

impl Links for NoLinks {
    fn page(&self, page: Page) -> String {
        format!("https://wx.bank.example/{}", page.name())
    }

    fn step_up(&self, _: &str, _: Proof) -> String {
        "https://wx.bank.example/step_up".to_owned()
    }

    fn picture(&self, picture: Picture) -> String {
        format!("https://wx.bank.example/{}.png", picture.name())
    }
}

fn with_scene<T>(said: &Said, state: &DialogueState, bound: bool, act: impl FnOnce(&Scene<'_>) -> T) -> T {
    let account = chat::made_up_account().unwrap();
    let binding = lengths::long_binding().filter(|_| bound);
    let desk =
        DeskStatus { open: true, hours: "每天 8:00–22:00".to_owned(), waiting: 3, wait_minutes: Some(5) };
    act(&Scene {
        account: &account,
        follower: crate::domain::ids::FollowerKey::new([0; 16]),
        now: crate::domain::time::UnixMs(1_795_312_800_000),
        said,
        state,
        stage: crate::domain::conversation::Stage::Bot,
        binding: binding.as_ref(),
        step_up: None,
        desk: &desk,
        links: &NoLinks,
        reference: "ABCD2345",
        masked: false,
        chat_window_open: true,
        silence_ceiling: crate::config::Alerts::SILENCE_CEILING,
    })
}

/// Decides one message; every question to the core gets this answer.
fn decide(
    said: &Said,
    state: &DialogueState,
    bound: bool,
    answer: &Result<serde_json::Value, AskError>,
) -> Outcome {
    with_scene(said, state, bound, |scene| {
        let mut step = dialogue().decide(scene);
        for _ in 0..4 {
            match step {
                Step::Done(outcome) => return outcome,
                Step::Ask(ask) => step = dialogue().proceed(scene, ask.then, answer.clone()),
            }
        }
        panic!("the dialogue goes on asking");
    })
}

fn text(text: &str) -> Said {
    Said::Text { text: crate::domain::secret::Personal::new(text), menu_item: None }
}

/// Nothing but our own links: no other angle bracket, and each link closed.
fn is_well_formed(reply: &str) -> bool {
    let without = chat::readable(reply);
    (1..=2048).contains(&reply.len()) && !without.contains('<') && !without.contains('>')
}

fn replied(outcome: &Outcome) -> &str {
    match &outcome.reply {
        Some(Say::Text(text)) => text,
        _ => panic!("no text"),
    }
}

#[test]
fn what_the_core_says_never_becomes_markup_and_its_length_never_breaks_the_reply() {
    let hostile = "</a><a href=\"https://evil.example\">点我</a>".repeat(200);
    let refused = Err(AskError::Refused { code: "anything".to_owned(), message: hostile });
    let outcome = decide(&text("查账单"), &DialogueState::default(), true, &refused);
    assert!(is_well_formed(replied(&outcome)), "{}", replied(&outcome));
    let unfit =
        decide(&text("查账单"), &DialogueState::default(), true, &Ok(serde_json::json!({"month": 1})));
    assert!(replied(&unfit).contains("参考号：ABCD2345"), "{}", replied(&unfit));
}

#[test]
fn what_is_remembered_survives_storage_and_a_lost_memory_blocks_nobody() {
    let asked = decide(&text("解绑"), &DialogueState::default(), true, &Err(AskError::Down)).state;
    assert!(asked.form.is_some());
    assert!(DialogueState::from_json(&asked.to_json().unwrap()) == asked);
    assert!(DialogueState::from_json(b"{not json") == DialogueState::default());
    assert!(DialogueState::from_json(br#"{"of_a_newer_version":1}"#) == DialogueState::default());
}

/// A service that writes at the core, which none of the built-in ones does in chat.
const WRITES: &str = r#"
id = "own"
category = "service"
name = "发送验证码测试"
keywords = ["发码"]
binding = true
proof = "none"
effect = "write"

[form]
operation = "core:otp_send"
params = { purpose = "step_up" }
confirm = "发送验证码吗？"
answer = "已发送到{{ phone_masked }}。"
"#;

#[test]
fn a_write_is_the_same_call_however_often_it_is_confirmed() {
    let content = Content::built_in().with("services/service/own.toml", WRITES);
    let dialogue = Dialogue::load(&content).unwrap();
    let ask = |state: &DialogueState| {
        let said = text("确认");
        with_scene(&said, state, true, |scene| match dialogue.decide(scene) {
            Step::Ask(ask) => {
                let id = ask.form_id.clone();
                assert!(ask.write && ask.operation == "otp_send");
                match dialogue.proceed(scene, ask.then, Err(AskError::Down)) {
                    Step::Done(outcome) => (id, outcome),
                    Step::Ask(_) => panic!("asked again at once"),
                }
            }
            Step::Done(_) => panic!("nothing was asked"),
        })
    };
    let said = text("发码");
    let opened = with_scene(&said, &DialogueState::default(), true, |scene| match dialogue.decide(scene) {
        Step::Done(outcome) => outcome.state,
        Step::Ask(_) => panic!("asked before the yes"),
    });
    let (first, outcome) = ask(&opened);
    assert!(first.is_some() && replied(&outcome).contains("不会重复办理"), "{}", replied(&outcome));
    let (second, _) = ask(&outcome.state);
    assert_eq!(first, second);
}

#[test]
fn an_answer_too_long_for_wechat_is_a_fault_at_its_text() {
    let content = Content::built_in();
    let path = "services/bill/bill_detail.toml";
    let long = content.file(path).unwrap().text.replace("|short(12)", "").replace("size = 6", "size = 10");
    let report = check(&content.with(path, &long), &[], None);
    let told: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|fault| fault.contains("2048 bytes") && fault.contains(path)), "{told:?}");
}

#[test]
fn a_menu_key_without_a_service_and_a_name_too_long_are_faults() {
    let menu = "[[button]]\nname = \"查账单\"\ntype = \"click\"\nkey = \"bill_curent\"\n";
    let content = Content::built_in().with("menus/card.toml", menu).with("menus/other.toml", "x");
    let report = check(&content, &["card"], None);
    let told: Vec<String> = report.faults.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["templates/menus/card.toml:4: the key \"bill_curent\" is no service"]);
    let long = Content::built_in().with("menus/card.toml", &menu.replace("查账单", "一个非常非常长的名字"));
    assert!(!check(&long, &["card"], None).faults.is_empty());
}

#[test]
fn faults_of_several_files_are_told_together() {
    let content = Content::built_in()
        .with("answers/dialogue.toml", "welcom = \"x\"")
        .with("lexicon/talk.toml", "[hello]\nsay = 1")
        .with("services/bill/own.toml", "id = 1");
    let faults = Dialogue::load(&content).unwrap_err();
    let files: Vec<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    assert_eq!(
        files,
        [
            "templates/answers/dialogue.toml",
            "templates/lexicon/talk.toml",
            "templates/services/bill/own.toml"
        ]
    );
    assert!(faults[0].message.contains("did you mean `welcome`?"), "{}", faults[0]);
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    fn said() -> impl Strategy<Value = String> {
        let words = [
            "查账单",
            "解绑",
            "1",
            "2",
            "9",
            "更多",
            "取消",
            "确认",
            "交易提醒",
            "商户 ",
            "历史账单",
            "人工",
            "<a href=\"x\">",
            "{{7*7}}",
            "\u{202e}",
            "\u{200b}",
            "😀",
        ];
        prop_oneof![
            3 => proptest::sample::select(words.to_vec()).prop_map(str::to_owned),
            1 => "\\PC{0,80}",
            1 => ".{0,300}",
            1 => Just("长".repeat(700)),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn gets_a_well_formed_reply_whatever_was_said_before(
            texts in proptest::collection::vec(said(), 1..6),
            taps in proptest::collection::vec(proptest::option::of("list-[0-9]{1,3}-[0-9]{1,2}|[a-z_]{1,20}"), 6),
            bound in any::<bool>(),
            down in any::<bool>(),
        ) {
            let mut state = DialogueState::default();
            for (said, menu_item) in texts.iter().zip(taps) {
                let answer = if down {
                    Err(AskError::Refused { code: "x".to_owned(), message: said.clone() })
                } else {
                    Err(AskError::Down)
                };
                let personal = crate::domain::secret::Personal::new(said.as_str());
                let outcome = decide(&Said::Text { text: personal, menu_item }, &state, bound, &answer);
                prop_assert!(is_well_formed(replied(&outcome)), "{said:?} → {}", replied(&outcome));
                state = DialogueState::from_json(&outcome.state.to_json().unwrap());
                prop_assert!(outcome.state == state);
            }
        }
    }
}

#[test]
fn with_an_agent_the_bot_keeps_silent_but_still_warns_of_what_must_not_be_written() {
    let said = text("我的卡号是************1111");
    let state = DialogueState::default();
    let reply = |masked: bool| {
        with_scene(&said, &state, true, |scene| {
            let stage = crate::domain::conversation::Stage::WithAgent;
            match dialogue().decide(&Scene { stage, masked, ..*scene }) {
                Step::Done(outcome) => outcome.reply,
                Step::Ask(_) => panic!("the agent answers, nobody asks the core"),
            }
        })
    };
    assert_eq!(reply(false), None);
    assert!(matches!(reply(true), Some(Say::Text(warning)) if warning.contains("卡号")));
}

#[test]
fn an_entry_of_the_knowledge_base_is_not_said_before_and_after_its_time() {
    let built_in = Content::built_in();
    let path = "knowledge/faq_annual_fee_how_much.md";
    let text = &built_in.file(path).unwrap().text;
    let answer = |until: &str| {
        let content = Content::built_in().with(path, &text.replace("2030-12-31", until));
        let dialogue = Dialogue::load(&content).unwrap();
        let text = crate::domain::secret::Personal::new("信用卡年费是多少".to_owned());
        let said = Said::Text { text, menu_item: None };
        with_scene(&said, &DialogueState::default(), false, |scene| match dialogue.decide(scene) {
            Step::Done(outcome) => match outcome.reply {
                Some(Say::Text(text)) => text,
                _ => String::new(),
            },
            Step::Ask(ask) => ask.operation,
        })
    };
    assert!(answer("2026-11-22").contains("每年200元"), "the last day counts");
    let after = answer("2026-11-21");
    assert!(!after.contains("每年200元") && after.contains("“年费”"), "{after}");
}
