//! SIGHUP: edited content is taken over as a whole or not at all, by the real process.

use std::path::{Path, PathBuf};

use serde_json::json;
use weikefu::content::Content;

use crate::services::{OPERATION, SERVICE};
use crate::world::{Engine, LEARN_MAX, Ports, World, until, until_within};

const POINTS: &str = "services/points/points_query.toml";
const BILL: &str = "services/bill/bill_current.toml";

/// A server that is a process, with a folder of content and its log in a file.
struct Edited {
    world: World,
    content: PathBuf,
    log: PathBuf,
    metrics: u16,
}

impl Edited {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with files that are in the folder from the start on.
    async fn start_with(first: impl FnOnce(&dyn Fn(&str, &str))) -> Self {
        let metrics = Ports::reserve().server;
        let mut world = World::prepared(Engine::Sqlite, |text, folder| {
            let dir = folder.join("content");
            std::fs::create_dir(&dir).unwrap();
            first(&|path, text| put(&dir, path, text));
            let text = text.replace(
                "metrics_listen = \"127.0.0.1:0\"",
                &format!("metrics_listen = \"127.0.0.1:{metrics}\""),
            );
            format!("{text}\n[content]\ndir = {:?}\n", dir.display().to_string())
        })
        .await;
        let (content, log) = (world.folder.path().join("content"), world.folder.path().join("server.log"));
        world.start_process_logging(&log).await;
        Self { world, content, log, metrics }
    }

    /// Puts a file into the bank's folder.
    fn edit(&self, path: &str, text: &str) {
        put(&self.content, path, text);
    }

    /// A built-in file with a change.
    fn changed(&self, path: &str, from: &str, to: &str) -> String {
        let text = Content::built_in().file(path).unwrap().text.clone();
        assert!(text.contains(from), "{path}: {from}");
        text.replace(from, to)
    }

    /// SIGHUP, and what the log says of it, to the line that ends it.
    async fn reload(&self) -> String {
        const ENDS: [&str; 3] = ["is in use", "was not edited", "is refused as a whole"];
        let before = self.logged().len();
        self.world.hang_up();
        until("the end of a reload in the log", async || {
            let text = self.logged();
            let new = text.get(before..)?.to_owned();
            ENDS.iter().any(|end| new.contains(end)).then_some(new)
        })
        .await
    }

    fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn counted(&self, outcome: &str) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.metrics);
        let page = self.world.http.get(url).send().await.unwrap().text().await.unwrap();
        let name = format!("weikefu_content_reloads_total{{outcome=\"{outcome}\"}} ");
        let line = page.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or("0").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edited_content_is_taken_over_whole_or_refused_whole_and_told() {
    let edited = Edited::start().await;
    let follower = edited.world.follower("甲").await;
    edited.world.bind(&follower.openid, "C10001").await;
    assert!(follower.say("积分").await.contains("可用积分"));

    edited.edit(POINTS, &edited.changed(POINTS, "可用积分", "您现有积分"));
    let told = edited.reload().await;
    assert!(told.contains("the edited content is in use"), "{told}");
    let said = follower.say("积分").await;
    assert!(said.contains("您现有积分") && !said.contains("可用积分"), "{said}");
    assert!(edited.reload().await.contains("was not edited"));

    // Each faulty beside an edit that is well: nothing of either is taken.
    let faulty = [
        (BILL, edited.changed(BILL, "effect = \"read\"", "effect = \"red\""), "bill_current.toml:"),
        ("answers/dialogue.toml", "welcome = 1\n".to_owned(), "dialogue.toml:1: "),
        (
            "notices/spend.toml",
            edited.changed("notices/spend.toml", "lane = \"spend\"", "lane = \"x\""),
            "spend.toml:",
        ),
        ("lexicon/talk.toml", "[\n".to_owned(), "talk.toml:1: "),
        ("desk/hours.toml", "every_day = ['8-22']\n".to_owned(), "hours.toml:1: "),
        (
            "menus/card.toml",
            "[[button]]\ntype = \"click\"\nname = \"x\"\nkey = \"nothing\"\n".to_owned(),
            "card.toml:4: ",
        ),
    ];
    let count = faulty.len();
    edited.edit(POINTS, &edited.changed(POINTS, "可用积分", "不该出现"));
    for (path, text, place) in faulty {
        edited.edit(path, &text);
        let told = edited.reload().await;
        assert!(told.contains(place) && told.contains("refused as a whole"), "{path}: {told}");
        assert!(follower.say("积分").await.contains("您现有积分"), "{path}: the old words go on");
        std::fs::remove_file(edited.content.join(path)).unwrap();
    }
    assert_eq!(edited.counted("refused").await, count.to_string());
    assert_eq!((edited.counted("taken").await, edited.counted("unchanged").await), ("1".into(), "1".into()));

    // Settings are not reloaded, and that is said.
    let file = edited.world.folder.path().join("w.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("[core]", "[core]\ntimeout_ms = 1234", 1)).unwrap();
    edited.reload().await;
    until("the settings that need a restart", async || {
        let told = edited.logged();
        (told.contains("core.timeout_ms") && told.contains("count from the next start on")).then_some(())
    })
    .await;
    edited.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_more_service_and_its_operation_need_no_restart() {
    const OPERATION_FILE: &str = "operations/lounge_visits.json";
    let edited = Edited::start().await;
    let follower = edited.world.follower("甲").await;
    edited.world.bind(&follower.openid, "C10001").await;
    assert!(!follower.say("贵宾厅").await.contains("今年还可以用"));
    edited.edit("services/benefits/lounge_visits.toml", SERVICE);
    edited.edit(OPERATION_FILE, "{");
    let told = edited.reload().await;
    assert!(told.contains("lounge_visits.json:1") && told.contains("refused as a whole"), "{told}");
    edited.edit(OPERATION_FILE, OPERATION);
    assert!(edited.reload().await.contains("is in use"));
    let said = follower.say("贵宾厅").await;
    assert!(said.contains("今年还可以用6次机场贵宾厅。"), "{said}");
    edited.world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_work_ends_with_the_words_it_began_with() {
    let edited = Edited::start().await;
    let follower = edited.world.follower("甲").await;
    edited.world.bind(&follower.openid, "C10001").await;
    edited.world.fault(json!({ "operation": "bill_current", "delay_ms": 2_500 })).await;
    let asked = follower.ask(json!({ "action": "text", "text": "查账单" })).await;
    edited.world.met("bill_current").await;
    edited.edit(BILL, &edited.changed(BILL, "本期应还", "这期要还"));
    assert!(edited.reload().await.contains("is in use"));
    let answer = follower.answer_after(asked).await;
    assert!(answer.contains("本期应还") && !answer.contains("这期要还"), "{answer}");
    edited.world.http.delete(format!("{}/sandbox/faults", edited.world.core_url)).send().await.unwrap();
    let answer = follower.say("查账单").await;
    assert!(answer.contains("这期要还") && !answer.contains("本期应还"), "{answer}");
    edited.world.stop().await;
}

fn put(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Every sentence of a list of examples under the service whose section comes next.
fn misplaced(examples: &str) -> String {
    let is_section = |line: &&str| line.starts_with('[');
    let mut sections: Vec<&str> = examples.lines().filter(is_section).collect();
    sections.rotate_left(1);
    let mut next = sections.into_iter();
    let line = |line: &str| match line.starts_with('[') {
        true => next.next().unwrap().to_owned(),
        false => line.to_owned(),
    };
    examples.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn examples_that_understand_less_are_refused_and_taken_only_by_force() {
    const LEARNED: &str = "the examples have been learned";
    const BILLS: &str = "examples/bill.txt";
    const SAID: &str = "卡被我刷穿底了可咋整呀";
    let edited = Edited::start_with(|edited| {
        // A bank with few examples: cross-validation takes a moment, not half a minute.
        let built_in = Content::built_in();
        for (path, _) in built_in.below("examples").filter(|(path, _)| *path != BILLS) {
            edited(path, "");
        }
    })
    .await;
    until_within(LEARN_MAX, "learned examples", async || edited.logged().contains(LEARNED).then_some(()))
        .await;
    let follower = edited.world.follower("甲").await;

    edited.edit("examples/ours.txt", "[limit_overlimit_switch]\n卡被我刷穿底了\n");
    let told = edited.reload().await;
    assert!(told.contains("the edited content is in use"), "{told}");
    let understood = follower.say(SAID).await;
    assert!(understood.contains("超限"), "{understood}");

    let bills = Content::built_in().file(BILLS).unwrap().text.clone();
    edited.edit(BILLS, &misplaced(&bills));
    let told = edited.reload().await;
    assert!(told.contains("refused as a whole") && told.contains("quality.toml"), "{told}");
    assert!(told.contains("of 1000 held-out sentences would be understood"), "{told}");
    assert!(told.contains("raise accuracy_drop_max_permille"), "what to do: {told}");
    assert_eq!(edited.counted("refused").await, "1");
    // What can be tapped carries the number of its list; all else is said again.
    let words = |answer: &str| answer.split("msgmenuid=list-").next().map(str::to_owned);
    assert_eq!(words(&follower.say(SAID).await), words(&understood), "the old model goes on");

    edited.edit("lexicon/quality.toml", "accuracy_drop_max_permille = 1000\n");
    let told = edited.reload().await;
    assert!(told.contains("the edited content is in use"), "by force: {told}");
    edited.world.stop().await;
}
