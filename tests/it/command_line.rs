//! The outer face of the binary: exit codes, where faults point, what runs from an empty folder.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::processes::{Process, run, run_with, signal, told};
use crate::world::{Engine, Ports, configuration_text, fresh_postgres, until};

struct Folder {
    folder: tempfile::TempDir,
    ports: Ports,
    database: String,
}

impl Folder {
    /// An empty folder with a whole configuration in `w.toml`, `change` made to it.
    fn with(change: impl FnOnce(String) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::reserve();
        let database = format!("sqlite://{}/weikefu.db", folder.path().display());
        let text = change(configuration_text(&folder, &database, &ports));
        std::fs::write(folder.path().join("w.toml"), text).unwrap();
        Self { folder, ports, database }
    }

    fn run(&self, arguments: &[&str]) -> std::process::Output {
        run(self.folder.path(), arguments)
    }

    fn exit(&self, arguments: &[&str]) -> Option<i32> {
        self.run(arguments).status.code()
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let folder = Folder::with(|text| text);
    for command in ["serve", "simulator", "core", "check", "doctor", "migrate", "menu", "user"] {
        assert_eq!(folder.exit(&[command]), Some(2), "{command} without --config");
    }
    let menu = ["menu", "show", "--account", "card"];
    assert_eq!(folder.exit(&menu), Some(2), "menu show without --config");
    assert_eq!(folder.exit(&["user", "add", "lin", "--role", "agent"]), Some(2));
    assert_eq!(folder.exit(&["user", "add", "lin", "--role", "king", "--config", "w.toml"]), Some(2));
    assert_eq!(folder.exit(&["serve", "--config", "absent.toml"]), Some(2));
    assert_eq!(folder.exit(&["dance"]), Some(2));
    assert_eq!(folder.exit(&["core", "check"]), Some(2));
    assert_eq!(folder.exit(&["--help"]), Some(0));
}

#[test]
fn a_misspelt_key_is_told_with_its_line_and_the_nearest_one() {
    let folder = Folder::with(|text| text.replace("token = ", "tokn = "));
    let line = {
        let text = std::fs::read_to_string(folder.folder.path().join("w.toml")).unwrap();
        text.lines().position(|line| line.starts_with("tokn")).unwrap() + 1
    };
    let fault = format!("w.toml:{line}: unknown key `tokn` in accounts[0]; the nearest known key is `token`");
    let checked = folder.run(&["check", "--config", "w.toml"]);
    assert_eq!(checked.status.code(), Some(1), "{}", told(&checked));
    assert!(String::from_utf8_lossy(&checked.stdout).contains(&fault), "{}", told(&checked));
    let served = folder.run(&["serve", "--config", "w.toml"]);
    assert_eq!(served.status.code(), Some(2), "{}", told(&served));
    assert!(String::from_utf8_lossy(&served.stderr).contains(&fault), "{}", told(&served));
}

#[test]
fn the_built_in_content_passes_its_own_check_from_an_empty_folder() {
    let folder = Folder::with(|text| text);
    let checked = folder.run(&["check", "--config", "w.toml"]);
    assert_eq!(checked.status.code(), Some(0), "{}", told(&checked));
    let page = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        page.contains("[[accounts]]") && page.contains("token = \"•••\""),
        "the settings in effect: {page}"
    );
    let longest = "card notice spend: amount2=¥9999999999.99 character_string1=1234 thing4=";
    assert!(page.contains(longest), "each notice with its longest values: {page}");
    for secret in ["it-token", "it-app-secret", "abcdefghijkl", "aXQtY29yZQ"] {
        assert!(!page.contains(secret), "{secret} shows");
    }
}

/// One fault in each kind of file: each is a line of its own, with its place.
#[test]
fn check_tells_every_fault_of_the_content_with_file_and_line() {
    let folder = Folder::with(|text| {
        let text = text.replace("merchant = \"thing4\"", "merchant = \"amount4\", merchnt = \"thing5\"");
        format!("{text}\n[content]\ndir = \"own\"\n")
    });
    let own = folder.folder.path().join("own");
    let built_in = weikefu::content::Content::built_in();
    let put = |path: &str, from: &str, to: &str| {
        let text = built_in.file(path).unwrap().text.clone();
        assert!(text.contains(from), "{path}");
        let file = own.join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        let text = text.replacen(from, to, 1);
        let line = text.lines().position(|line| line.contains(to)).unwrap() + 1;
        std::fs::write(file, text).unwrap();
        format!("own/{path}:{line}: ")
    };
    let long = "长".repeat(700);
    let told_at = [
        put("menus/card.toml", "\"查账单\"", "\"查账单查账单\""),
        put("answers/dialogue.toml", "您想办什么，直接说就行。", &long),
        put("notices/refund.toml", "lane = \"", "lame = \""),
    ];
    let text = std::fs::read_to_string(folder.folder.path().join("w.toml")).unwrap();
    let line = text.lines().position(|line| line.contains("amount4")).unwrap() + 1;
    let checked = folder.run(&["check", "--config", "w.toml"]);
    assert_eq!(checked.status.code(), Some(1), "{}", told(&checked));
    let page = String::from_utf8_lossy(&checked.stdout).into_owned();
    let lines: Vec<&str> = page.lines().collect();
    let misfit = format!(
        "w.toml:{line}: `accounts[0].notices.spend.fields.merchant`: `amount4` cannot hold a merchant"
    );
    let odd =
        format!("w.toml:{line}: warning: `accounts[0].notices.spend.fields.merchnt`: no transaction has a");
    for beginning in told_at.iter().map(String::as_str).chain([misfit.as_str(), odd.as_str()]) {
        assert!(lines.iter().any(|line| line.starts_with(beginning)), "no line `{beginning}…`: {page}");
    }
    assert!(page.contains("2048") && page.contains("16 are allowed"), "{page}");
}

#[test]
fn understand_and_eval_need_no_configuration_and_print_json() {
    let folder = Folder::with(|text| text);
    let understood = folder.run(&["understand", "查账单"]);
    let answer: Value =
        serde_json::from_slice(&understood.stdout).unwrap_or_else(|_| panic!("{}", told(&understood)));
    assert_eq!(answer["candidates"][0]["id"], "bill_current", "{answer}");
    let csv = "utterance,expected_id,kind,also_ok\n查账单,bill_current,plain,\n今天天气怎么样,oos,oos,\n";
    std::fs::write(folder.folder.path().join("e.csv"), csv).unwrap();
    let measured = folder.run(&["eval", "e.csv", "--failures", "misses.csv"]);
    let report: Value =
        serde_json::from_slice(&measured.stdout).unwrap_or_else(|_| panic!("{}", told(&measured)));
    assert_eq!(report["n"], 2, "{report}");
    for member in
        ["accuracy", "top3", "oos_recall", "false_answer_rate", "ask_rate", "by_kind", "p50_us", "p99_us"]
    {
        assert!(report.get(member).is_some(), "{member} is missing: {report}");
    }
    assert!(folder.folder.path().join("misses.csv").exists());
}

#[test]
fn a_staff_account_is_added_once() {
    let folder = Folder::with(|text| text);
    let add = ["user", "add", "lin", "--role", "agent", "--config", "w.toml"];
    let added = run_with(folder.folder.path(), &add, "correct horse battery staple\n");
    assert_eq!(added.status.code(), Some(0), "{}", told(&added));
    let again = run_with(folder.folder.path(), &add, "correct horse battery staple\n");
    assert_eq!(again.status.code(), Some(1), "{}", told(&again));
    assert_eq!(run_with(folder.folder.path(), &add, "\n").status.code(), Some(2));
}

#[tokio::test]
async fn accounts_are_changed_and_the_audit_trail_shows_what_was_done_to_it() {
    use sqlx::Connection as _;
    for mut folder in [Some(Folder::with(|text| text)), on_postgres().await].into_iter().flatten() {
        let user = |arguments: &[&str], input: &str| {
            let arguments = [&["user"], arguments, &["--config", "w.toml"]].concat();
            run_with(folder.folder.path(), &arguments, input)
        };
        let password = "correct horse battery staple\n";
        for (arguments, told_after) in [
            (&["add", "lin", "--role", "agent", "--account", "card"][..], "lin may sign in\n"),
            (&["add", "wang", "--role", "admin", "--without-password"], "wang may sign in\n"),
            (
                &["set", "lin", "--role", "supervisor", "--every-account"],
                "lin is changed, and must sign in again\n",
            ),
            (&["password", "lin"], "lin must sign in again, with the new password\n"),
            (&["reset-second-factor", "lin"], "lin has no second factor any more, and must sign in again\n"),
            (
                &["list"],
                "lin\tsupervisor\tevery account\tpassword\nwang\tadmin\tevery account\tbank's sign-in\n",
            ),
            (&["remove", "wang"], "wang may not sign in any more\n"),
        ] {
            let done = user(arguments, password);
            assert_eq!(done.status.code(), Some(0), "{arguments:?}: {}", told(&done));
            assert_eq!(String::from_utf8_lossy(&done.stdout), told_after);
        }
        for (arguments, code) in [
            (&["remove", "wang"][..], 1),
            (&["password", "wang"], 1),
            (&["set", "lin"], 2),
            (&["set", "lin", "--account", "no-such"], 2),
        ] {
            assert_eq!(user(arguments, password).status.code(), Some(code), "{arguments:?}");
        }
        let verify = ["audit", "verify", "--config", "w.toml"];
        let whole = folder.run(&verify);
        assert_eq!(whole.status.code(), Some(0), "{}", told(&whole));
        assert_eq!(String::from_utf8_lossy(&whole.stdout), "audit: 6 lines in 7 chains, whole\n");

        let url = std::mem::take(&mut folder.database);
        let on_audit = if url.starts_with("sqlite") { "" } else { " ON audit" };
        let statements = [
            format!("DROP TRIGGER audit_keeps_its_lines{on_audit}"),
            format!("DROP TRIGGER audit_loses_no_line{on_audit}"),
            "UPDATE audit SET actor = 'nobody' WHERE chain = 2".to_owned(),
            "DELETE FROM audit WHERE chain = 4".to_owned(),
        ];
        for statement in statements {
            if url.starts_with("sqlite") {
                let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            } else {
                let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
                sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
            }
        }
        let found = folder.run(&verify);
        assert_eq!(found.status.code(), Some(1), "{}", told(&found));
        let lines = String::from_utf8_lossy(&found.stdout).into_owned();
        let lines: Vec<&str> = lines.lines().collect();
        assert!(lines[0].starts_with("chain 2: line 1 (") && lines[0].ends_with(") was changed or moved"));
        assert_eq!(
            lines[1..],
            ["chain 4: line 1 is gone", "audit: 5 lines in 7 chains, not as it was written"]
        );
    }
}

/// The same on PostgreSQL, where the test command started one.
async fn on_postgres() -> Option<Folder> {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return None;
    }
    let database = fresh_postgres().await;
    let mut folder = Folder::with(|text| text);
    let file = folder.folder.path().join("w.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace(&folder.database, &database);
    std::fs::write(&file, text).unwrap();
    folder.database = database;
    Some(folder)
}

#[tokio::test]
async fn a_server_is_ready_and_ends_well_when_it_is_told_to() {
    let folder = Folder::with(|text| text);
    let server = Process::start(folder.folder.path(), &["serve", "--config", "w.toml"]);
    server.line("weikefu on ");
    for path in ["healthz", "readyz"] {
        let url = format!("http://127.0.0.1:{}/{path}", folder.ports.server);
        until(path, || async { reqwest::get(&url).await.ok().filter(|answer| answer.status() == 200) }).await;
    }
    let began = Instant::now();
    assert_eq!(server.terminate(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn the_demo_restarts_what_dies_and_its_programs_die_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let base = free_base();
    let demo = Process::start(folder.path(), &["demo", "--port-base", &base.to_string(), "--data", "data"]);
    demo.line("core");
    demo.line("simulator");
    let server = demo.line("server     pid ");
    demo.line("Ctrl-C stops everything.");
    let pid: u32 = server.split_whitespace().next().unwrap().parse().unwrap();
    signal("KILL", pid);
    demo.line("server ended");
    let again: u32 = demo.line("server     pid ").parse().unwrap();
    assert_ne!(pid, again);
    until("the server that was started again", || async {
        reqwest::get(format!("http://127.0.0.1:{base}/readyz"))
            .await
            .ok()
            .filter(|answer| answer.status() == 200)
    })
    .await;
    demo.kill();
    for port in [base, base + 1, base + 10] {
        let address = ("127.0.0.1", port);
        until("the end of the demo's programs", || async { std::net::TcpListener::bind(address).ok() }).await;
    }
}

/// A base whose ports were free a moment ago.
fn free_base() -> u16 {
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    let start = Ports::reserve().server;
    (start..u16::MAX - 10)
        .chain(10_000..start)
        .find(|base| [0, 1, 9, 10].iter().all(|step| is_free(base + step)))
        .expect("four free ports")
}
