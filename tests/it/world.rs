//! The whole product in one test: sandbox core, WeChat simulator and server, each over real HTTP on a port of its
//! own, with a fresh database and folder. A test says what followers do and reads what their phones show.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;
use weikefu::app::{App, Zones};
use weikefu::bank::webhooks::Signer;
use weikefu::clock::{SharedClock, SharedRandom, SystemClock, SystemRandom};
use weikefu::config::{Account, Config};
use weikefu::content::Content;
use weikefu::domain::secret::Secret;
use weikefu::simulator::core::{self, SandboxCore};
use weikefu::simulator::wechat::{self, Simulator};
use weikefu::wechat::api::Api;
use weikefu::wechat::menu::Menu;
use weikefu::wechat::token::MemoryShelf;

use crate::processes::Process;

/// Nothing that a test waits for takes longer on a busy machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(120);
/// Learning takes seconds of a core, and steps back behind all the other tests that are running.
pub(crate) const LEARN_MAX: Duration = Duration::from_secs(400);
/// The configuration's file in the world's folder.
const CONFIG: &str = "w.toml";
/// How long one look at a phone may hang.
const LOOK_MS: u64 = 1_000;

/// Which database the server of a world uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// SQLite always; PostgreSQL where the test command started one.
    pub(crate) fn at_hand() -> Vec<Self> {
        let mut engines = vec![Self::Sqlite];
        engines.extend(postgres_server().map(|_| Self::Postgres));
        engines
    }
}

#[expect(clippy::disallowed_methods, reason = "tests learn of their server by the environment")]
fn postgres_server() -> Option<String> {
    std::env::var("WEIKEFU_TEST_POSTGRES").ok()
}

/// How the server of a world runs.
enum Server {
    Down,
    /// In the test's own process: quick, and the test can look at it.
    Inside(Box<App>),
    /// A process of its own: it can be killed.
    Process(Process),
}

/// The three programs and who drives them.
pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) http: reqwest::Client,
    pub(crate) server_url: String,
    pub(crate) simulator_url: String,
    pub(crate) core_url: String,
    pub(crate) folder: tempfile::TempDir,
    clock: SharedClock,
    random: SharedRandom,
    server: Server,
    simulator: wechat::Running,
    core: core::Running,
}

impl World {
    /// Starts everything on an empty database, the server in this process.
    pub(crate) async fn start(engine: Engine) -> Self {
        let mut world = Self::without_server(engine).await;
        world.start_server().await;
        world.push_menu().await;
        world
    }

    /// Starts everything on an empty database, the server as a process that can be killed.
    pub(crate) async fn start_with_process(engine: Engine) -> Self {
        let mut world = Self::without_server(engine).await;
        world.start_process().await;
        world.push_menu().await;
        world
    }

    pub(crate) async fn without_server(engine: Engine) -> Self {
        Self::prepared(engine, |text, _| text).await
    }

    /// The same on a database that the test made, at this address.
    pub(crate) async fn on_database(url: &str) -> Self {
        let changed = |text: String, _: &Path| {
            let given = text.lines().find(|line| line.starts_with("url = \"sqlite")).unwrap().to_owned();
            text.replace(&given, &format!("url = \"{url}\""))
        };
        Self::prepared(Engine::Sqlite, changed).await
    }

    /// The same with changes made to the configuration, which may add files to the folder.
    pub(crate) async fn prepared(engine: Engine, change: impl FnOnce(String, &Path) -> String) -> Self {
        Self::at(engine, Arc::new(SystemClock), change).await
    }

    /// The same by a clock that a test may move.
    pub(crate) async fn at(
        engine: Engine,
        clock: SharedClock,
        change: impl FnOnce(String, &Path) -> String,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ports = Ports::reserve();
        let database = match engine {
            Engine::Sqlite => format!("sqlite://{}", folder.path().join("weikefu.db").display()),
            Engine::Postgres => fresh_postgres().await,
        };
        let text = change(configuration_text(&folder, &database, &ports), folder.path());
        std::fs::write(folder.path().join(CONFIG), &text).unwrap();
        let config = Config::parse(CONFIG, &text, []).unwrap_or_else(|faults| panic!("{faults:?}"));
        let random: SharedRandom = Arc::new(SystemRandom);
        let settings = core::Settings::from_config(&config).unwrap();
        let settings = core::Settings { journal: folder.path().join("core.journal"), ..settings };
        let core = SandboxCore::start(settings, clock.clone(), random.clone()).await.unwrap();
        let settings = wechat::Settings { followers_at_start: 0, ..wechat::Settings::from_config(&config) };
        let simulator = Simulator::start(settings, clock.clone(), random.clone()).unwrap();
        Self {
            http: client(),
            server_url: format!("http://127.0.0.1:{}", ports.server),
            simulator_url: format!("http://127.0.0.1:{}", ports.simulator),
            core_url: format!("http://127.0.0.1:{}", ports.core),
            config,
            folder,
            clock,
            random,
            server: Server::Down,
            simulator,
            core,
        }
    }

    /// Starts the server, in this process, on the database as it is.
    pub(crate) async fn start_server(&mut self) {
        let app = App::start(self.config.clone(), self.clock.clone(), self.random.clone()).await.unwrap();
        self.server = Server::Inside(Box::new(app));
    }

    /// Starts the server, as a process, on the database as it is.
    pub(crate) async fn start_process(&mut self) {
        let process = Process::start(self.folder.path(), &["serve", "--config", CONFIG]);
        process.line("weikefu on ");
        self.server = Server::Process(process);
    }

    /// The same with its log lines in a file.
    pub(crate) async fn start_process_logging(&mut self, log: &Path) {
        let process = Process::start_logging(self.folder.path(), &["serve", "--config", CONFIG], log);
        process.line("weikefu on ");
        self.server = Server::Process(process);
    }

    /// SIGHUP to the server, which is a process.
    pub(crate) fn hang_up(&self) {
        let Server::Process(process) = &self.server else { panic!("the server is no process") };
        process.hang_up();
    }

    /// Where the server inside this process listens.
    pub(crate) fn zones(&self) -> &Zones {
        let Server::Inside(app) = &self.server else { panic!("the server is not inside") };
        app.zones()
    }

    /// The server in this process.
    pub(crate) fn app(&self) -> &App {
        match &self.server {
            Server::Inside(app) => app,
            Server::Down | Server::Process(_) => panic!("the server does not run in this process"),
        }
    }

    /// Stops the server, or kills it with -9 where it is a process; phones, WeChat and the core live on.
    pub(crate) async fn end_server(&mut self) {
        match std::mem::replace(&mut self.server, Server::Down) {
            Server::Down => {}
            Server::Inside(app) => app.stop().await,
            Server::Process(process) => process.kill(),
        }
    }

    /// Stops everything in order.
    pub(crate) async fn stop(mut self) {
        self.end_server().await;
        self.simulator.stop().await;
        self.core.stop().await;
    }

    /// Gives the account the built-in menu, as `weikefu menu push` does.
    async fn push_menu(&self) {
        self.push_menu_text(&Content::built_in().file("menus/card.toml").unwrap().text).await;
    }

    /// Gives the first account a menu.
    pub(crate) async fn push_menu_text(&self, text: &str) {
        self.push_menu_to(&self.config.accounts[0], text).await;
    }

    /// Gives an account a menu.
    pub(crate) async fn push_menu_to(&self, account: &Account, text: &str) {
        let menu = Menu::from_toml(text).unwrap();
        let shelf = Arc::new(MemoryShelf::default());
        let api = Api::new(account, shelf, self.clock.clone(), "menu").unwrap();
        api.menu_create(&menu).await.unwrap();
    }

    /// A new person with a phone, who follows the account; what the account says to that is passed over.
    pub(crate) async fn follower(&self, name: &str) -> Follower<'_> {
        self.follower_of("card", name).await
    }

    /// The same who follows one of several accounts.
    pub(crate) async fn follower_of(&self, account: &'static str, name: &str) -> Follower<'_> {
        let url = format!("{}/sim/api/accounts/{account}/followers", self.simulator_url);
        let created = self.post(&url, json!({ "name": name, "follow": true })).await;
        let openid = created["openid"].as_str().expect("the simulator names the follower").to_owned();
        let follower = self.phone_of(account, &openid);
        follower.wait("the welcome", |entry| entry["direction"] == "account").await;
        follower
    }

    /// The phone of somebody who follows already.
    pub(crate) fn phone(&self, openid: &str) -> Follower<'_> {
        self.phone_of("card", openid)
    }

    /// The phone of a follower of an account.
    pub(crate) fn phone_of(&self, account: &'static str, openid: &str) -> Follower<'_> {
        Follower { world: self, account, openid: openid.to_owned() }
    }

    /// A signed call of the bank; gives status and body.
    pub(crate) async fn bank(&self, method: reqwest::Method, path: &str, body: &str) -> (u16, Value) {
        self.bank_by(&self.http, &self.server_url, method, path, body).await
    }

    /// The same by another way to the server.
    async fn bank_by(
        &self,
        http: &reqwest::Client,
        base: &str,
        method: reqwest::Method,
        path: &str,
        body: &str,
    ) -> (u16, Value) {
        let caller = Caller { http: http.clone(), base: base.to_owned(), ..self.caller() };
        caller.call(method, path, body).await.unwrap()
    }

    /// A signed call of the bank to a server that may be down.
    pub(crate) async fn try_bank(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &str,
    ) -> reqwest::Result<(u16, Value)> {
        self.caller().call(method, path, body).await
    }

    /// The bank by itself, for tasks that outlive a borrow of the world.
    pub(crate) fn caller(&self) -> Caller {
        Caller {
            http: self.http.clone(),
            base: self.server_url.clone(),
            secret: self.config.api.secrets[0].clone(),
            clock: self.clock.clone(),
        }
    }

    /// One number of the database.
    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        use sqlx::Connection as _;
        let url = self.config.database.url.reveal();
        if url.starts_with("sqlite") {
            let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
            return sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        }
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
    }

    /// Binds a follower to a customer, as a bank that moves in does it.
    pub(crate) async fn bind(&self, openid: &str, customer_id: &str) {
        self.bind_by(&self.http, &self.server_url, openid, customer_id).await;
    }

    /// The same by another way to the server.
    pub(crate) async fn bind_by(&self, http: &reqwest::Client, base: &str, openid: &str, customer_id: &str) {
        let binding = json!({
            "account": "card", "openid": openid, "customer_id": customer_id, "bound_at": "2026-01-01T10:00:00+08:00",
            "cards": [{ "card_id": "K1", "last4": "1234", "product": "金卡" }],
        });
        let (status, answer) =
            self.bank_by(http, base, reqwest::Method::POST, "/api/v1/bindings", &binding.to_string()).await;
        assert_eq!((status, answer["accepted"].as_u64()), (202, Some(1)), "{answer}");
    }

    /// Sets a fault of the sandbox core.
    pub(crate) async fn fault(&self, fault: Value) {
        self.post(&format!("{}/sandbox/faults", self.core_url), fault).await;
    }

    /// Waits until a call of this operation has met its fault: then it is under way.
    pub(crate) async fn met(&self, operation: &str) {
        let url = format!("{}/sandbox/faults", self.core_url);
        until("a call of the operation", || async {
            let faults = self.get(&url).await;
            faults
                .as_array()?
                .iter()
                .find(|fault| fault["operation"] == operation && fault["met"] != 0)
                .map(drop)
        })
        .await;
    }

    /// Swipes a card at the sandbox core; gives its answer.
    pub(crate) async fn swipe(&self, body: Value) -> Value {
        self.post(&format!("{}/sandbox/swipe", self.core_url), body).await
    }

    /// POSTs JSON and reads JSON; anything but success stops the test.
    pub(crate) async fn post(&self, url: &str, body: Value) -> Value {
        let response = self.http.post(url).json(&body).send().await.unwrap();
        let status = response.status();
        let text = response.text().await.unwrap();
        assert!(status.is_success(), "POST {url}: {status}: {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }

    /// GETs JSON; anything but success stops the test.
    pub(crate) async fn get(&self, url: &str) -> Value {
        let response = self.http.get(url).send().await.unwrap();
        assert!(response.status().is_success(), "GET {url}: {}", response.status());
        response.json().await.unwrap()
    }
}

/// The bank, with a way to the server.
#[derive(Clone)]
pub(crate) struct Caller {
    http: reqwest::Client,
    base: String,
    secret: Secret,
    clock: SharedClock,
}

impl Caller {
    /// The same bank calling another instance.
    pub(crate) fn towards(self, base: String) -> Self {
        Self { base, ..self }
    }

    /// A signed call; gives status and body.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: &str,
    ) -> reqwest::Result<(u16, Value)> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let id = format!("msg_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        self.call_as(&id, method, path, body).await
    }

    /// The same under this `webhook-id`, which may have been used.
    pub(crate) async fn call_as(
        &self,
        id: &str,
        method: reqwest::Method,
        path: &str,
        body: &str,
    ) -> reqwest::Result<(u16, Value)> {
        let signer = Signer::new(&self.secret).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        for (name, value) in signer.headers(id, self.clock.now(), body.as_bytes()) {
            request = request.header(name, value);
        }
        let response =
            request.header("content-type", "application/json").body(body.to_owned()).send().await?;
        let status = response.status().as_u16();
        Ok((status, response.json().await.unwrap_or(Value::Null)))
    }
}

/// One person with one phone.
pub(crate) struct Follower<'a> {
    world: &'a World,
    account: &'static str,
    pub(crate) openid: String,
}

impl Follower<'_> {
    fn url(&self, rest: &str) -> String {
        let Self { world, account, openid } = self;
        format!("{}/sim/api/accounts/{account}/followers/{openid}/{rest}", world.simulator_url)
    }

    /// Lets the person act, as `/sim/api` describes it; gives the simulator's answer.
    pub(crate) async fn act(&self, action: Value) -> Value {
        self.world.post(&self.url("actions"), action).await
    }

    /// Says something and gives what the account answers to it, whichever way the answer comes.
    pub(crate) async fn say(&self, text: &str) -> String {
        self.answer_to(json!({ "action": "text", "text": text })).await
    }

    /// Taps the menu button with this key and gives what the account answers.
    pub(crate) async fn tap(&self, key: &str) -> String {
        self.answer_to(json!({ "action": "menu", "key": key })).await
    }

    /// Acts, and gives the entry that the phone shows for it.
    pub(crate) async fn ask(&self, action: Value) -> u64 {
        self.act(action).await["entry"].as_u64().expect("the action made an entry")
    }

    /// What the account says after an entry, whichever way it comes.
    pub(crate) async fn answer_after(&self, asked: u64) -> String {
        let entry = self
            .wait("an answer", |entry| {
                let is_answer = entry["direction"] == "account" && entry["kind"] != "template";
                is_answer && entry["id"].as_u64().is_some_and(|id| id > asked)
            })
            .await;
        entry["text"].as_str().unwrap_or_default().to_owned()
    }

    async fn answer_to(&self, action: Value) -> String {
        let asked = self.ask(action).await;
        self.answer_after(asked).await
    }

    /// What the phone shows, oldest first.
    pub(crate) async fn timeline(&self) -> Vec<Value> {
        let entries = self.world.get(&self.url("timeline?after=0")).await;
        entries.as_array().cloned().unwrap_or_default()
    }

    /// Entries that are new or changed since a `seq`; waits a moment for the first.
    pub(crate) async fn changed_after(&self, seq: u64) -> Vec<Value> {
        let url = self.url(&format!("timeline?after={seq}&wait_ms={LOOK_MS}"));
        self.world.get(&url).await.as_array().cloned().unwrap_or_default()
    }

    /// Waits for an entry of the chat, also one that is there already.
    pub(crate) async fn wait(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + WAIT_MAX;
        let mut seen = 0;
        while Instant::now() < deadline {
            for entry in self.changed_after(seen).await {
                seen = seen.max(entry["seq"].as_u64().unwrap_or(0));
                if wanted(&entry) {
                    return entry;
                }
            }
        }
        panic!("{what} did not come within {WAIT_MAX:?}; the phone shows {:#?}", self.timeline().await);
    }
}

/// Asks again and again until there is an answer. For levels that nobody can be asked to announce.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, look: impl FnMut() -> F) -> T {
    until_within(WAIT_MAX, what, look).await
}

/// Like [`until`], for what may take longer.
pub(crate) async fn until_within<T, F: Future<Output = Option<T>>>(
    max: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    const POLL: Duration = Duration::from_millis(25);
    let deadline = Instant::now() + max;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {max:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// A client as a browser is one: keeps cookies out, follows nothing by itself, and stays on this machine. It keeps no
/// connection for later: whom it calls may be stopped and started again at any moment.
pub(crate) fn client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .timeout(WAIT_MAX)
        .build()
        .unwrap()
}

/// Ports that were free a moment ago.
pub(crate) struct Ports {
    pub(crate) server: u16,
    pub(crate) simulator: u16,
    pub(crate) core: u16,
}

/// Below what the system gives to connections, so that none of them takes a port between its choice and its use.
const RESERVABLE: std::ops::Range<u32> = 10_240..32_768;
/// Tests that run beside each other in processes of their own look for theirs this far apart.
const RESERVED_APART: u32 = 61;

impl Ports {
    /// Three, let go. The programs name each other's ports, so none of them can wait for the system's choice.
    pub(crate) fn reserve() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let first = std::process::id().wrapping_mul(RESERVED_APART);
        let port = || {
            for _ in RESERVABLE {
                let at = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
                let port = RESERVABLE.start + at % (RESERVABLE.end - RESERVABLE.start);
                let port = u16::try_from(port).unwrap();
                if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                    return port;
                }
            }
            panic!("no port is free in {RESERVABLE:?}");
        };
        Self { server: port(), simulator: port(), core: port() }
    }
}

/// A whole configuration for these ports; the same text serves a process of its own.
pub(crate) fn configuration_text(folder: &tempfile::TempDir, database: &str, ports: &Ports) -> String {
    let Ports { server, simulator, core } = ports;
    let master = folder.path().join("master.key");
    if !master.exists() {
        weikefu::keys::create_master(&master, &SystemRandom).unwrap();
    }
    format!(
        r#"
[server]
listen = "127.0.0.1:{server}"
public_url = "http://127.0.0.1:{server}"
metrics_listen = "127.0.0.1:0"
h5_frame_ancestors = ["http://127.0.0.1:{simulator}"]

[staff]
second_factor = []

[database]
url = "{database}"

[[accounts]]
id = "card"
name = "示例银行信用卡"
original_id = "gh_0123456789ab"
app_id = "wx0123456789abcdef"
app_secret = "it-app-secret"
token = "it-token"
encoding_aes_key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
api_base_url = "http://127.0.0.1:{simulator}"
oauth_base_url = "http://127.0.0.1:{simulator}"

[accounts.notices.spend]
template_id = "spend"
fields = {{ card = "character_string1", amount = "amount2", time = "time3", merchant = "thing4" }}

[accounts.notices.refund]
template_id = "refund"
fields = {{ card = "character_string1", amount = "amount2", time = "time3" }}

[core]
base_url = "http://127.0.0.1:{core}"
secret = "whsec_aXQtY29yZQ=="

[api]
secrets = ["whsec_aXQtYXBp"]

[events]
url = "http://127.0.0.1:{core}/sandbox/events"
secret = "whsec_aXQtZXZlbnRz"

[keys]
master_file = "{master}"

[sandbox]
server_url = "http://127.0.0.1:{server}"
"#,
        master = master.display()
    )
}

/// A database of its own on the server that `WEIKEFU_TEST_POSTGRES` names.
pub(crate) async fn fresh_postgres() -> String {
    use sqlx::Connection as _;
    let server = postgres_server().expect("WEIKEFU_TEST_POSTGRES names a server");
    // Not by process: a server that outlives many runs sees the same process numbers again.
    let name = format!("it_{}", weikefu::clock::new_token(&weikefu::clock::SystemRandom).split_at(24).0);
    let mut connection = sqlx::PgConnection::connect(&format!("{server}/postgres")).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    format!("{server}/{name}")
}
