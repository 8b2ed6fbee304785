//! `weikefu doctor` against the real server and the real simulator: one planted fault at a time is named by the setting
//! that is to be changed, and no other check fails because of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use weikefu::app::App;
use weikefu::clock::{ManualClock, SharedClock, SystemClock, SystemRandom};
use weikefu::config::{Config, Encryption};
use weikefu::content::Content;
use weikefu::doctor::{self, Level, Line};
use weikefu::domain::secret::Secret;
use weikefu::simulator::wechat::{self, Simulator, Template};
use weikefu::wechat::api::Api;
use weikefu::wechat::menu::Menu;
use weikefu::wechat::token::MemoryShelf;

use crate::processes::{run, told};
use crate::wechat as platform;
use crate::world::{Ports, configuration_text, until};

const OTHER_KEY: &str = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C";

/// A server, WeChat, and the operator's file; where they differ is what a test plants.
struct Clinic {
    /// The operator's file, `w.toml` in the folder.
    text: String,
    folder: tempfile::TempDir,
    server: Option<App>,
    simulator: wechat::Running,
    http: reqwest::Client,
    metrics: u16,
}

/// Makes WeChat have something else than the operator's file says.
type Change = fn(&mut wechat::Settings);

/// What a test plants before anything starts.
#[derive(Default)]
struct Planted {
    /// Changes what the server is started with; the operator's file stays.
    server: Option<fn(&mut Config)>,
    /// Changes what WeChat has.
    wechat: Option<Change>,
    /// Changes the file, for the server and the operator alike. Given the folder.
    file: Option<fn(String, &Path) -> String>,
    /// The server's clock.
    clock: Option<SharedClock>,
    /// No server listens.
    is_down: bool,
}

impl Clinic {
    async fn start(planted: Planted) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ports, more) = (Ports::reserve(), Ports::reserve());
        let database = format!("sqlite://{}/weikefu.db", folder.path().display());
        let metrics = more.server;
        let plain = configuration_text(&folder, &database, &ports).replace(
            "metrics_listen = \"127.0.0.1:0\"",
            &format!("metrics_listen = \"127.0.0.1:{metrics}\""),
        );
        // WeChat has what the file should say; the operator's own may say otherwise.
        let right = Config::parse("w.toml", &plain, []).unwrap();
        let text = planted.file.map_or_else(|| plain.clone(), |change| change(plain.clone(), folder.path()));
        std::fs::write(folder.path().join("w.toml"), &text).unwrap();
        let mut settings =
            wechat::Settings { followers_at_start: 0, ..wechat::Settings::from_config(&right) };
        if let Some(change) = planted.wechat {
            change(&mut settings);
        }
        let system: SharedClock = Arc::new(SystemClock);
        let random = Arc::new(SystemRandom);
        let simulator = Simulator::start(settings, system.clone(), random.clone()).unwrap();
        let mut config = Config::parse("w.toml", &text, []).unwrap();
        if let Some(change) = planted.server {
            change(&mut config);
        }
        let clock = planted.clock.unwrap_or(system);
        let server = match planted.is_down {
            true => None,
            false => Some(App::start(config, clock, random).await.unwrap()),
        };
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        let clinic = Self { text, folder, server, simulator, http, metrics };
        clinic.push(Content::built_in().file("menus/card.toml").unwrap().text.as_str(), &right).await;
        clinic
    }

    /// Gives WeChat a menu, with the right settings.
    async fn push(&self, menu: &str, right: &Config) {
        let shelf = Arc::new(MemoryShelf::default());
        let api = Api::new(&right.accounts[0], shelf, Arc::new(SystemClock), "menu").unwrap();
        // An account that WeChat does not let in has no menu either.
        let _ = api.menu_create(&Menu::from_toml(menu).unwrap()).await;
    }

    fn simulated(&self, path: &str) -> String {
        format!("http://{}{path}", self.simulator.addr)
    }

    async fn fault(&self, fault: Value) {
        let set = self.http.post(self.simulated("/sim/api/faults")).json(&fault).send().await.unwrap();
        assert!(set.status().is_success());
    }

    /// What the running server tells of WeChat's calls.
    async fn deliveries(&self) -> Value {
        let url = format!("http://127.0.0.1:{}/deliveries", self.metrics);
        let told: Value = self.http.get(url).send().await.unwrap().json().await.unwrap();
        told["accounts"][0]["deliveries"].clone()
    }

    /// Lets somebody follow the account, and waits until the server has seen what WeChat sends for it.
    async fn somebody_follows(&self) {
        let url = self.simulated("/sim/api/accounts/card/followers");
        let body = json!({ "follow": true });
        assert!(self.http.post(url).json(&body).send().await.unwrap().status().is_success());
        until("WeChat's call", || async {
            let told = self.deliveries().await;
            (told["accepted"] != 0 || told["refused"] != 0).then_some(())
        })
        .await;
    }

    /// Examines with the operator's file at this machine's time.
    async fn examine(&self) -> Vec<Line> {
        self.examine_at(Arc::new(SystemClock)).await
    }

    async fn examine_at(&self, clock: SharedClock) -> Vec<Line> {
        let config = Config::parse("w.toml", &self.text, []).unwrap();
        let content = Content::load(config.content.dir.as_deref()).unwrap();
        let account = &config.accounts[0];
        let report =
            doctor::examine(&config, account, &content, clock, Arc::new(SystemRandom)).await.unwrap();
        let lines = report.lines().to_vec();
        for line in &lines {
            for secret in ["it-app-secret", "it-token", "abcdefghijkl", OTHER_KEY] {
                assert!(!line.to_string().contains(secret), "a secret shows: {line}");
            }
        }
        lines
    }

    async fn stop(self) {
        if let Some(server) = self.server {
            server.stop().await;
        }
        self.simulator.stop().await;
    }
}

/// Exactly these checks fail, each with these words.
fn assert_fails(lines: &[Line], expected: &[(&str, &[&str])]) {
    let page: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let failed: Vec<&Line> = lines.iter().filter(|line| line.level == Level::Fail).collect();
    let checks: Vec<&str> = failed.iter().map(|line| line.check).collect();
    assert_eq!(checks, expected.iter().map(|(check, _)| *check).collect::<Vec<_>>(), "\n{page}");
    for (line, (_, words)) in failed.iter().zip(expected) {
        for word in *words {
            assert!(line.to_string().contains(word), "`{word}` is missing\n{page}");
        }
        assert!(!line.next.is_empty(), "nothing to do next\n{page}");
    }
}

fn server_has(change: fn(&mut Config)) -> Planted {
    Planted { server: Some(change), ..Planted::default() }
}

fn wechat_has(change: Change) -> Planted {
    Planted { wechat: Some(change), ..Planted::default() }
}

fn file_says(change: fn(String, &Path) -> String) -> Planted {
    Planted { file: Some(change), ..Planted::default() }
}

/// A clinic with this plant, examined.
async fn examined(planted: Planted) -> Vec<Line> {
    let clinic = Clinic::start(planted).await;
    let lines = clinic.examine().await;
    clinic.stop().await;
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_well_is_exit_0_and_leaves_nothing_behind() {
    let clinic = Clinic::start(file_says(|text, folder| {
        let file = folder.join("MP_verify_it01.txt");
        std::fs::write(&file, "it01").unwrap();
        text.replace("name = ", &format!("domain_files = [{:?}]\nname = ", file.display().to_string()))
    }))
    .await;
    clinic.somebody_follows().await;
    let folder = clinic.folder.path().to_owned();
    let arguments = ["doctor", "--config", "w.toml", "--account", "card"];
    let finished = tokio::task::spawn_blocking(move || run(&folder, &arguments)).await.unwrap();
    assert_eq!(finished.status.code(), Some(0), "{}", told(&finished));
    let page = String::from_utf8_lossy(&finished.stdout).into_owned();
    let lines: Vec<&str> = page.lines().collect();
    let (sum, checks) = lines.split_last().unwrap();
    assert_eq!(*sum, "card: 0 to put right, 1 to know of", "{page}");
    let odd: Vec<_> = checks.iter().filter(|line| !line.starts_with("ok    ")).collect();
    assert_eq!(odd.len(), 1, "{page}");
    assert!(odd[0].starts_with("warn  public_url"), "loopback is no address for WeChat: {page}");
    for check in [
        "configuration",
        "api_host",
        "clock",
        "verification",
        "delivery",
        "domain_file",
        "from_wechat",
        "token",
        "egress",
        "callback",
        "permission",
        "kind",
        "notice",
        "menu",
    ] {
        assert!(checks.iter().any(|line| line.split_whitespace().nth(1) == Some(check)), "{check}: {page}");
    }
    let before = clinic.deliveries().await;
    clinic.examine().await;
    let after = clinic.deliveries().await;
    assert_eq!((&before["accepted"], &before["refused"]), (&after["accepted"], &after["refused"]));
    assert!(after["last_trial"]["mismatch"].is_null(), "{after}");
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_against_the_running_server() {
    let token =
        examined(server_has(|config| config.accounts[0].token = Secret::new("other".to_owned()))).await;
    assert_fails(&token, &[("verification", &["token: the running server has another one"])]);
    let key =
        |config: &mut Config| config.accounts[0].encoding_aes_key = Some(Secret::new(OTHER_KEY.to_owned()));
    let key = examined(server_has(key)).await;
    assert_fails(&key, &[("delivery", &["EncodingAESKey: the running server has another one"])]);
    let app_id = examined(server_has(|config| config.accounts[0].app_id = "wxother".to_owned())).await;
    let words = ["AppID: this file says `wx0123456789abcdef`, the running server has `wxother`"];
    assert_fails(&app_id, &[("delivery", &words)]);
    let mode = examined(server_has(|config| config.accounts[0].encryption = Encryption::Plain)).await;
    let words = ["mode: this file says safe (安全模式), the running server has plain (明文模式)"];
    assert_fails(&mode, &[("delivery", &words)]);
    let original =
        examined(server_has(|config| config.accounts[0].original_id = "gh_other".to_owned())).await;
    assert_fails(&original, &[("delivery", &["original_id", "`gh_other`"])]);
}

/// What an operator pasted wrong in WeChat's console: WeChat's own calls tell it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wechats_console_against_the_file() {
    let table: [(Change, &str); 3] = [
        (
            |settings| settings.accounts[0].token = Secret::new("other".to_owned()),
            "token: it is signed with another",
        ),
        (
            |settings| settings.accounts[0].encoding_aes_key = Some(Secret::new(OTHER_KEY.to_owned())),
            "EncodingAESKey: it is sealed with another",
        ),
        (|settings| settings.accounts[0].encryption = Encryption::Plain, "mode: it came in plain text"),
    ];
    for (change, words) in table {
        let clinic = Clinic::start(wechat_has(change)).await;
        clinic.somebody_follows().await;
        assert_fails(&clinic.examine().await, &[("from_wechat", &[words, "the last call was refused"])]);
        let again = clinic.examine().await;
        assert_fails(&again, &[("from_wechat", &[words])]);
        clinic.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envelope_for_another_appid_is_named_until_one_fits() {
    let clinic = Clinic::start(Planted::default()).await;
    let wechat = platform::Wechat {
        http: clinic.http.clone(),
        url: format!("http://{}/wechat/card", clinic.server.as_ref().unwrap().zones().listen),
        is_safe: true,
    };
    let message = platform::text("oSomebody", 1, "你好");
    let sealed = platform::sealed(message.as_bytes(), "wxfeedfeedfeedfeed");
    let (query, body) = platform::carrying(&sealed, &platform::timestamp());
    let answered = wechat.send(&query, body).await.unwrap();
    assert_eq!(
        (answered.status, answered.raw().as_str()),
        (400, "envelope"),
        "a caller hears no more than before"
    );
    let words = ["AppID: the envelope holds `wxfeedfeedfeedfeed`, the server has `wx0123456789abcdef`"];
    assert_fails(&clinic.examine().await, &[("from_wechat", &words)]);
    clinic.somebody_follows().await;
    until("a call that fits", || async { (clinic.deliveries().await["accepted"] != 0).then_some(()) }).await;
    let lines = clinic.examine().await;
    assert_fails(&lines, &[]);
    let put_right = lines.iter().find(|line| line.check == "from_wechat").unwrap();
    assert_eq!(put_right.level, Level::Warn, "{put_right}");
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_that_are_off_are_told_once() {
    let off = |seconds: u64| {
        Arc::new(ManualClock::new(weikefu::clock::Clock::now(&SystemClock) + Duration::from_secs(seconds)))
    };
    let clinic = Clinic::start(Planted::default()).await;
    let lines = clinic.examine_at(off(600)).await;
    assert_fails(&lines, &[("clock", &["ahead of WeChat's", "NTP"])]);
    let lines = clinic.examine_at(off(120)).await;
    assert_fails(&lines, &[]);
    assert!(lines.iter().any(|line| line.check == "clock" && line.level == Level::Warn));
    clinic.stop().await;
    let lines = examined(Planted { clock: Some(off(600)), ..Planted::default() }).await;
    assert_fails(&lines, &[("delivery", &["clock: the server's is", "s ahead"])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_wechat_refuses_is_named() {
    let lines = examined(file_says(|text, _| {
        text.replace("app_id = \"wx0123456789abcdef\"", "app_id = \"wxwrong\"")
    }))
    .await;
    assert_fails(&lines, &[("token", &["app_id: WeChat knows no `wxwrong`", "AppID"])]);
    let lines = examined(file_says(|text, _| text.replace("it-app-secret", "mistyped"))).await;
    assert_fails(&lines, &[("token", &["app_secret: it is not that of `wx0123456789abcdef`"])]);
    let callers =
        |settings: &mut wechat::Settings| settings.token_callers = Some(vec!["203.0.113.9".parse().unwrap()]);
    let lines = examined(wechat_has(callers)).await;
    assert_fails(&lines, &[("egress", &["127.0.0.1", "40164", "IP白名单"])]);
    let clinic = Clinic::start(Planted::default()).await;
    for (api, check, name) in [
        ("/cgi-bin/template/get_all_private_template", "notice", "模板消息"),
        ("/cgi-bin/menu/get", "menu", "自定义菜单"),
    ] {
        clinic.fault(json!({ "api": api, "errcode": 48001, "times": 1 })).await;
        assert_fails(&clinic.examine().await, &[(check, &["lacks the permission", name, "48001"])]);
    }
    clinic.fault(json!({ "api": "/cgi-bin/callback/check", "errcode": 40201, "times": 1 })).await;
    assert_fails(&clinic.examine().await, &[("callback", &["no server URL is set", "/wechat/card"])]);
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn templates_and_fields_are_held_against_the_account() {
    let lines = examined(wechat_has(|settings| {
        settings.accounts[0].templates.retain(|template| template.id != "refund")
    }))
    .await;
    assert_fails(
        &lines,
        &[("notice", &["refund: the account has no template `refund`", "accounts.notices.refund"])],
    );
    let renamed = |settings: &mut wechat::Settings| {
        let spend =
            settings.accounts[0].templates.iter_mut().find(|template| template.id == "spend").unwrap();
        *spend = Template {
            lines: vec![
                ("character_string1".to_owned(), "卡号".to_owned()),
                ("amount2".to_owned(), "金额".to_owned()),
                ("time3".to_owned(), "时间".to_owned()),
                ("thing9".to_owned(), "商户".to_owned()),
            ],
            ..spend.clone()
        };
    };
    let lines = examined(wechat_has(renamed)).await;
    assert_fails(
        &lines,
        &[("notice", &["has no `thing4` for merchant", "accounts.notices.spend.fields.merchant"])],
    );
    let unfilled = lines.iter().find(|line| line.found.contains("nothing fills: thing9")).unwrap();
    assert_eq!(unfilled.level, Level::Warn);
    // Both have it so: only the kind of the line is wrong.
    let amount = |text: String, _: &Path| text.replace("merchant = \"thing4\"", "merchant = \"amount4\"");
    let library = |settings: &mut wechat::Settings| {
        let spend =
            settings.accounts[0].templates.iter_mut().find(|template| template.id == "spend").unwrap();
        spend.lines.last_mut().unwrap().0 = "amount4".to_owned();
    };
    let lines = examined(Planted { file: Some(amount), wechat: Some(library), ..Planted::default() }).await;
    assert_fails(&lines, &[("notice", &["`amount4` cannot hold a merchant"])]);
    let lines =
        examined(file_says(|text, _| text.replace("name = ", "kind = \"subscription\"\nname = "))).await;
    assert_fails(&lines, &[("kind", &["only service accounts (服务号)"])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_menu_that_differs_is_told_by_its_buttons() {
    let clinic = Clinic::start(Planted::default()).await;
    let built_in = Content::built_in().file("menus/card.toml").unwrap().text.clone();
    let config = Config::parse("w.toml", &clinic.text, []).unwrap();
    clinic.push(&built_in.replace("\"还款日\"", "\"什么时候还款\""), &config).await;
    let lines = clinic.examine().await;
    assert_fails(
        &lines,
        &[("menu", &["什么时候还款", "+ 还款日 type=click key=due_date_query", "menu push"])],
    );
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_between_us_and_the_internet_is_named() {
    let lines = examined(Planted { is_down: true, ..Planted::default() }).await;
    assert_fails(&lines, &[("public_url", &["cannot be reached", "gateway"])]);
    let domain = file_says(|text, folder| {
        let file = folder.join("MP_verify_it02.txt");
        std::fs::write(&file, "it02").unwrap();
        text.replace("name = ", &format!("domain_files = [{:?}]\nname = ", file.display().to_string()))
    });
    let lines =
        examined(Planted { server: Some(|config| config.accounts[0].domain_files.clear()), ..domain }).await;
    assert_fails(&lines, &[("domain_file", &["/MP_verify_it02.txt is answered 404"])]);
    let nowhere = |text: String, _: &Path| {
        let host = text.lines().find_map(|line| line.strip_prefix("api_base_url = ")).unwrap().to_owned();
        text.replace(
            &format!("api_base_url = {host}"),
            &format!("api_base_url = [\"http://127.0.0.1:9\", {host}]"),
        )
    };
    let lines = examined(file_says(nowhere)).await;
    assert_fails(&lines, &[]);
    let hosts: Vec<_> = lines.iter().filter(|line| line.check == "api_host").map(|line| line.level).collect();
    assert_eq!(hosts, [Level::Ok, Level::Warn], "the second choice is enough");
    let none = |text: String, _: &Path| {
        let host = text.lines().find(|line| line.starts_with("api_base_url = ")).unwrap().to_owned();
        text.replace(&host, "api_base_url = \"http://127.0.0.1:9\"")
    };
    assert_fails(
        &examined(file_says(none)).await,
        &[("api_host", &["http://127.0.0.1:9/", "no connection", "firewall"])],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn domain_files_are_served_at_the_root_and_nothing_else_is() {
    let clinic = Clinic::start(file_says(|text, folder| {
        let file = folder.join("MP_verify_it03.txt");
        std::fs::write(&file, "it03\n").unwrap();
        text.replace("name = ", &format!("domain_files = [{:?}]\nname = ", file.display().to_string()))
    }))
    .await;
    let listen = clinic.server.as_ref().unwrap().zones().listen;
    for (path, status, body) in [
        ("/MP_verify_it03.txt", 200, "it03\n"),
        ("/MP_verify_it04.txt", 404, ""),
        ("/MP_verify_..%2fw.toml.txt", 404, ""),
        ("/w.toml", 404, ""),
    ] {
        let answer = clinic.http.get(format!("http://{listen}{path}")).send().await.unwrap();
        assert_eq!(
            (answer.status().as_u16(), answer.text().await.unwrap().as_str()),
            (status, body),
            "{path}"
        );
    }
    let stranger = clinic.http.get(format!("http://{listen}/deliveries")).send().await.unwrap();
    assert_eq!(stranger.status(), 404, "what came is told on the metrics listener only");
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_menu_is_pulled_and_pushed_back_unchanged() {
    let clinic = Clinic::start(Planted::default()).await;
    let folder = clinic.folder.path().to_owned();
    let menus = folder.join("templates/menus");
    std::fs::create_dir_all(&menus).unwrap();
    let text = format!("{}\n[content]\ndir = \"templates\"\n", clinic.text);
    std::fs::write(folder.join("w.toml"), text).unwrap();
    let weikefu = move |arguments: &[&str]| {
        let whole: Vec<&str> =
            arguments.iter().chain(&["--config", "w.toml", "--account", "card"]).copied().collect();
        let finished = tokio::task::block_in_place(|| run(&folder, &whole));
        assert_eq!(finished.status.code(), Some(0), "{}", told(&finished));
        String::from_utf8_lossy(&finished.stdout).into_owned()
    };
    let before = weikefu(&["menu", "show"]);
    weikefu(&["menu", "pull", "--output", "templates/menus/card.toml"]);
    assert_eq!(weikefu(&["menu", "diff"]).trim(), "no difference");
    let pulled = std::fs::read_to_string(menus.join("card.toml")).unwrap();
    assert_eq!(weikefu(&["menu", "pull"]), pulled);
    weikefu(&["menu", "push"]);
    assert_eq!(weikefu(&["menu", "show"]), before);
    std::fs::write(menus.join("card.toml"), pulled.replace("还款日", "什么时候还")).unwrap();
    let diff = weikefu(&["menu", "diff"]);
    assert!(
        diff.contains("-     还款日  type=click") && diff.contains("+     什么时候还  type=click"),
        "{diff}"
    );
    std::fs::write(menus.join("card.toml"), "[[button]]\nname = 7\n").unwrap();
    assert_eq!(weikefu(&["menu", "pull"]), pulled, "a faulty file is a reason to pull");
    clinic.stop().await;
}

#[test]
fn wrong_usage_is_2_and_a_faulty_file_is_a_line_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite://{}/weikefu.db", folder.path().display());
    let text = configuration_text(&folder, &database, &Ports::reserve());
    std::fs::write(folder.path().join("w.toml"), &text).unwrap();
    std::fs::write(folder.path().join("f.toml"), text.replace("token = ", "tokn = ")).unwrap();
    let exit = |arguments: &[&str]| run(folder.path(), arguments).status.code();
    assert_eq!(exit(&["doctor"]), Some(2));
    assert_eq!(exit(&["doctor", "--config", "absent.toml"]), Some(2));
    assert_eq!(exit(&["doctor", "--config", "w.toml", "--account", "other"]), Some(2));
    let faulty = run(folder.path(), &["doctor", "--config", "f.toml", "--account", "card"]);
    assert_eq!(faulty.status.code(), Some(1));
    let page = String::from_utf8_lossy(&faulty.stdout).into_owned();
    assert!(
        page.contains("FAIL  configuration  f.toml:") && page.contains("nearest known key is `token`"),
        "{page}"
    );
}
