//! What every question of every form makes of input that is no answer: a clear question again, never an error, never a
//! write. The services are walked through as they are loaded; nothing here names one.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::catalogue::{Field, FieldKind, Service};
use crate::domain::mask;
use crate::domain::step_up::StepUp;
use crate::domain::time::UnixMs;
use crate::wechat::text::Text;

const NOW: UnixMs = UnixMs(1_795_312_800_000);
/// Longer than a form waits.
const TOO_LATE: Duration = Duration::from_secs(11 * 60);

/// What is no answer to any question but one for free words.
fn garbage() -> Vec<String> {
    let short = [
        "🙂🙂🙂",
        "<a href=\"https://evil.example\">点我</a>",
        "{{7*7}}{% for x in y %}",
        "'; DROP TABLE binding; --",
        "\u{202e}\u{200b}\u{200b}",
        "5\u{200b}00",
        "\u{202e}005",
        "\u{7}\u{0}",
        "？？？",
        "-5",
        "1000000000000000000",
        "1.005",
        "6222021234567890123",
        "NaN",
        "1e400",
    ];
    short
        .iter()
        .map(|text| (*text).to_owned())
        .chain(["啊".repeat(682), "9".repeat(2048), "长".repeat(10_000)])
        .collect()
}

/// A turn: what came of it, and the writes that it wanted.
struct Turned {
    outcome: Outcome,
    writes: Vec<(String, Option<String>)>,
}

impl Turned {
    fn said(&self) -> String {
        match &self.outcome.reply {
            Some(Say::Text(text)) => text.clone(),
            Some(Say::News(_)) | None => String::new(),
        }
    }
}

/// Says something to a service's form at a moment; the core answers with its examples.
fn turn(service: &Service, said: &Said, masked: bool, state: &DialogueState, now: UnixMs) -> Turned {
    turn_before(&example, service, said, masked, state, now)
}

/// What an operation's schema gives as its example.
fn example(name: &str) -> Value {
    dialogue().catalogue().operation(name).unwrap().example().result.clone()
}

/// The same with a core that answers so.
fn turn_before(
    core: &dyn Fn(&str) -> Value,
    service: &Service,
    said: &Said,
    masked: bool,
    state: &DialogueState,
    now: UnixMs,
) -> Turned {
    let proof = StepUp::new(Proof::Pin, service.id(), now);
    with_scene(said, state, true, |scene| {
        let scene = Scene {
            account: scene.account,
            follower: scene.follower,
            now,
            said: scene.said,
            state: scene.state,
            stage: scene.stage,
            binding: scene.binding,
            step_up: Some(&proof),
            desk: scene.desk,
            links: scene.links,
            reference: scene.reference,
            masked,
            chat_window_open: true,
            silence_ceiling: scene.silence_ceiling,
        };
        let mut writes = Vec::new();
        let mut step = dialogue().decide(&scene);
        for _ in 0..8 {
            let ask = match step {
                Step::Done(outcome) => return Turned { outcome, writes },
                Step::Ask(ask) => ask,
            };
            let of = if ask.of == Of::House { "house" } else { "core" };
            let name = format!("{of}:{}", ask.operation);
            if ask.write {
                writes.push((name.clone(), ask.form_id.clone()));
            }
            step = dialogue().proceed(&scene, ask.then, Ok(core(&name)));
        }
        panic!("{} goes on asking", service.id());
    })
}

fn says(service: &Service, words: &str, state: &DialogueState, now: UnixMs) -> Turned {
    let (masked, found) = mask::chat(words);
    turn(service, &text(&masked), found.is_some(), state, now)
}

/// What is stored between two messages.
fn kept(outcome: &Outcome) -> DialogueState {
    DialogueState::from_json(&outcome.state.to_json().unwrap())
}

/// A good answer to a question.
fn answer(field: &Field, state: &DialogueState) -> String {
    if let Some(first) = state.offered.first() {
        return first.label.clone();
    }
    match field.kind {
        FieldKind::Amount => "500",
        FieldKind::Count => "12",
        FieldKind::Month => "10月",
        FieldKind::Date => "明天",
        FieldKind::Phone => "13800138001",
        FieldKind::Hours => "晚上10点到早上8点",
        FieldKind::Choice | FieldKind::YesNo => "1",
        FieldKind::Text => "星海市云台区示例路1号",
    }
    .to_owned()
}

fn forms() -> impl Iterator<Item = &'static Service> {
    let catalogue = dialogue().catalogue();
    catalogue.iter().filter(|service| service.runs() && service.manifest.form.is_some())
}

fn begun(service: &Service) -> DialogueState {
    let said = Said::Resumed { wish: Wish::of(service.id()) };
    kept(&turn(service, &said, false, &DialogueState::default(), NOW).outcome)
}

/// The field that a form asks for now; `None`: it waits for a yes.
fn asked<'a>(service: &'a Service, state: &DialogueState) -> Option<&'a Field> {
    forms::open_field(state.form.as_ref()?, service.manifest.form.as_ref()?)
}

#[test]
fn garbage_gets_the_question_again_at_every_step_of_every_form() {
    let (mut tried, mut wrong) = (0, Vec::new());
    for service in forms() {
        let mut state = begun(service);
        while state.form.is_some() {
            let field = asked(service, &state);
            for words in garbage() {
                let turned = says(service, &words, &state, NOW);
                let (said, after) = (turned.said(), kept(&turned.outcome));
                let shown: String = words.chars().take(20).collect();
                let place =
                    format!("{} {:?} {shown:?}", service.id(), field.map(|field| field.name.get_ref()));
                tried += 1;
                if !is_well_formed(&said) || said.contains("参考号") {
                    wrong.push(format!("{place}: {said}"));
                }
                // Free words may be anything that is short enough; where they are the last question, they are sent.
                let free = field.is_some_and(|field| field.kind == FieldKind::Text);
                if free && words.len() < Text::BYTES_MAX / 2 {
                    continue;
                }
                let asks_again = after.form.as_ref().is_some_and(|form| form.tries == 1)
                    && asked(service, &after).map(|field| field.name.get_ref())
                        == field.map(|field| field.name.get_ref());
                if !asks_again || !turned.writes.is_empty() {
                    wrong.push(format!("{place}: taken for an answer: {said}"));
                }
            }
            let Some(field) = field else { break };
            let words = answer(field, &state);
            let after = kept(&says(service, &words, &state, NOW).outcome);
            if asked(service, &after).map(|next| next.name.get_ref()) == Some(field.name.get_ref()) {
                wrong.push(format!("{} {}: {words:?} is no answer", service.id(), field.name.get_ref()));
                break;
            }
            state = after;
        }
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 500, "{tried}");
}

#[test]
fn a_confirmation_writes_once_however_often_it_comes_and_never_too_late() {
    let mut confirmed = 0;
    for service in forms() {
        let Some(asks) = service.manifest.form.as_ref().filter(|asks| asks.confirm.is_some()) else {
            continue;
        };
        let mut state = begun(service);
        while let Some(field) = asked(service, &state) {
            let words = answer(field, &state);
            state = kept(&says(service, &words, &state, NOW).outcome);
        }
        assert!(state.form.is_some(), "{} does not come to its confirmation", service.id());
        let writes = |turned: Turned| -> Vec<_> {
            turned.writes.into_iter().filter(|(name, _)| name == asks.operation.get_ref()).collect()
        };
        let first = says(service, "确认", &state, NOW);
        let over = kept(&first.outcome);
        let first = writes(first);
        // Delivered again before the first was stored, it is the same call: the core executes it once.
        assert_eq!(first, writes(says(service, "确认", &state, NOW)), "{}", service.id());
        if asks.operation.get_ref().starts_with("core:") {
            assert!(first.len() == 1 && first[0].1.is_some(), "{}: {first:?}", service.id());
        }
        assert_eq!(writes(says(service, "确认", &over, NOW)), [], "{}: a second yes", service.id());
        let late = says(service, "确认", &state, NOW + TOO_LATE);
        assert!(late.said().contains("超过10分钟"), "{}: {}", service.id(), late.said());
        assert_eq!(writes(late), [], "{}: after it ran out", service.id());
        confirmed += 1;
    }
    assert!(confirmed > 20, "{confirmed}");
}

/// 第二笔 is one of the question that asked 哪一笔, also while the last step waits for a yes.
#[test]
fn another_of_several_purchases_is_named_by_its_place_or_its_merchant() {
    let core = |name: &str| {
        let mut result = example(name);
        if name == "core:inst_purchases" {
            let first = result["purchases"][0].clone();
            let more = [("星河数码", "T2"), ("和风电器", "T3")].map(|(merchant, id)| {
                let mut purchase = first.clone();
                purchase["merchant"] = json!(merchant);
                purchase["transaction_id"] = json!(id);
                purchase
            });
            result["purchases"].as_array_mut().unwrap().extend(more);
        }
        result
    };
    let service = dialogue().catalogue().get("inst_txn_apply").unwrap();
    let say = |said: &Said, state: &DialogueState| turn_before(&core, service, said, false, state, NOW);
    let wish = Said::Resumed { wish: Wish::of(service.id()) };
    let mut state = kept(&say(&wish, &DialogueState::default()).outcome);
    // What a number of periods costs depends on the purchase: it is chosen anew for each.
    let talk = [
        ("第三笔", "T3", false),
        ("12期", "T3", true),
        ("第二笔", "T2", false),
        ("12期", "T2", true),
        ("不是，和风电器那笔", "T3", false),
        ("12期", "T3", true),
        ("第九笔", "T3", true),
        ("晴空航旅", "H-C10001-K1-CNY-20261107", false),
    ];
    for (words, purchase, waits) in talk {
        state = kept(&say(&text(words), &state).outcome);
        let form = state.form.as_ref().unwrap_or_else(|| panic!("{words}: the form is gone"));
        assert_eq!(form.wish.given["transaction_id"], purchase, "{words}");
        assert_eq!(form.wish.given.get("periods").map(String::as_str), waits.then_some("12"), "{words}");
        assert_eq!(asked(service, &state).is_none(), waits, "{words}: it waits for a yes");
    }
}
