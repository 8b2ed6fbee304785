//! The way of a customer's words to an agent's screen at another instance: quick with hints between the instances and
//! without, complete and once over streams that break, and one message however many ways the agent's answer takes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use weikefu::app::App;
use weikefu::clock::{SystemClock, SystemRandom};
use weikefu::config::Config;
use weikefu::domain::secret::Secret;
use weikefu::staff::{Role, Staff};

use crate::hints::Redis;
use crate::house::store_of;
use crate::world::{Engine, Follower, World, until};

const NAME: &str = "lin";
const PASSWORD: &str = "correct horse battery";
/// Words that are timed.
const WORDS: usize = 30;
/// From the customer's hand to the screen of another instance, in the median.
const WITH_HINTS: Duration = Duration::from_millis(200);
const WITHOUT_HINTS: Duration = Duration::from_millis(300);
/// A machine that does other things is slow on the short way as well: then this many times as slow is allowed.
const SLOWER_MAX: u32 = 4;

/// Somebody at work, on any instance.
struct Agent {
    http: reqwest::Client,
    cookie: String,
    csrf: String,
    case_id: String,
}

impl Agent {
    /// Signs in at one instance and takes the customer who waits.
    async fn at_work(world: &World, base: &str) -> Self {
        let http = world.http.clone();
        let form = [("name", NAME), ("password", PASSWORD)];
        let door =
            http.post(format!("{base}/desk/sign-in")).form(&form).header("sec-fetch-site", "same-origin");
        let door = door.send().await.unwrap();
        assert_eq!(door.status().as_u16(), 303);
        let cookies = door.headers().get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
        let mut pairs = cookies.filter_map(|cookie| cookie.split(';').next());
        let cookie = pairs.find(|pair| pair.starts_with("weikefu_staff=")).unwrap().to_owned();
        let page = http.get(format!("{base}/desk")).header(COOKIE, &cookie).send().await.unwrap();
        let page = page.text().await.unwrap();
        let csrf = page.split("data-csrf=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let mut agent = Self { http, cookie, csrf, case_id: String::new() };
        let (status, taken) = agent.post(base, "next", json!({})).await;
        assert_eq!(status, 200, "{taken}");
        agent.case_id = taken["case_id"].as_str().expect("somebody waits").to_owned();
        agent
    }

    async fn post(&self, base: &str, path: &str, body: Value) -> (u16, Value) {
        let request =
            self.http.post(format!("{base}/desk/api/{path}")).header(COOKIE, &self.cookie).json(&body);
        let request = request.header("x-csrf-token", &self.csrf).header("sec-fetch-site", "same-origin");
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap_or_default())
    }

    async fn get(&self, base: &str, path: &str) -> Value {
        let request = self.http.get(format!("{base}/desk/api/{path}")).header(COOKIE, &self.cookie);
        request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap()
    }
}

/// What a screen shows.
#[derive(Default)]
struct Shown {
    /// The last number of the log that was read.
    last: i64,
    /// The customer's words as they were read, and when each was first.
    words: Vec<String>,
    at: BTreeMap<String, Instant>,
}

/// The agent's page at one instance, which follows the hints as the page's script does.
struct Screen {
    agent: Arc<Agent>,
    base: String,
    shown: Arc<Mutex<Shown>>,
    following: JoinHandle<()>,
}

impl Screen {
    async fn open(agent: &Arc<Agent>, base: &str) -> Self {
        let shown = Arc::<Mutex<Shown>>::default();
        let following = Self::follow(agent, base, &shown).await;
        Self { agent: agent.clone(), base: base.to_owned(), shown, following }
    }

    async fn follow(agent: &Arc<Agent>, base: &str, shown: &Arc<Mutex<Shown>>) -> JoinHandle<()> {
        let (agent, base, shown) = (agent.clone(), base.to_owned(), shown.clone());
        let stream = agent.http.get(format!("{base}/desk/live")).header(COOKIE, &agent.cookie);
        let mut stream = stream.send().await.unwrap().error_for_status().unwrap();
        tokio::spawn(async move {
            while let Ok(Some(piece)) = stream.chunk().await {
                if String::from_utf8_lossy(&piece).contains("event: changed") {
                    read(&agent, &base, &shown).await;
                }
            }
        })
    }

    /// The connection is gone.
    fn loses_its_stream(&self) {
        self.following.abort();
    }

    /// The browser connects again by itself.
    async fn connects_again(&mut self) {
        self.following = Self::follow(&self.agent, &self.base, &self.shown).await;
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap()
    }

    async fn shows(&self, words: &str) -> Instant {
        until(words, || async { self.shown().at.get(words).copied() }).await
    }
}

/// Reads the log from where the screen's ends.
async fn read(agent: &Agent, base: &str, shown: &Mutex<Shown>) {
    loop {
        let after = shown.lock().unwrap().last;
        let body = agent.get(base, &format!("cases/{}?after={after}", agent.case_id)).await;
        let mut shown = shown.lock().unwrap();
        for entry in body["messages"].as_array().unwrap() {
            shown.last = entry["seq"].as_i64().unwrap().max(shown.last);
            let words = entry["content"]["text"].as_str().filter(|_| entry["incoming"] == true);
            if let Some(words) = words {
                shown.words.push(words.to_owned());
                shown.at.entry(words.to_owned()).or_insert_with(Instant::now);
            }
        }
        if body["more"] != true {
            return;
        }
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Words of a customer that an instance takes in, timed to its own screens and to those of the other one.
async fn timed(phone: &Follower<'_>, here: &Screen, elsewhere: &Screen) -> (Duration, Duration) {
    let (mut short, mut long) = (vec![], vec![]);
    for number in 0..WORDS {
        let words = format!("第{number}句");
        let said = Instant::now();
        phone.act(json!({ "action": "text", "text": words })).await;
        short.push(here.shows(&words).await.duration_since(said));
        long.push(elsewhere.shows(&words).await.duration_since(said));
    }
    (median(short), median(long))
}

/// While a screen has no stream the customer goes on; and nothing of it is missing or there twice afterwards.
async fn breaks(phone: &Follower<'_>, screen: &mut Screen) {
    for number in 0..5 {
        screen.loses_its_stream();
        for part in ["甲", "乙"] {
            phone.act(json!({ "action": "text", "text": format!("断线{number}{part}") })).await;
        }
        screen.connects_again().await;
        screen.shows(&format!("断线{number}乙")).await;
    }
}

/// The same answer on several ways at once, as a browser sends it that does not know what became of the first.
async fn answers_once(phone: &Follower<'_>, agent: &Agent, bases: [&str; 2]) {
    let path = format!("cases/{}/answer", agent.case_id);
    let answer = json!({ "answer_id": "once", "text": "这句只说一次" });
    let ways = bases.into_iter().cycle().take(6).map(|base| agent.post(base, &path, answer.clone()));
    let answered = join_all(ways).await;
    assert!(answered.iter().all(|one| *one == answered[0] && one.0 == 200), "{answered:?}");
    phone.wait("the answer", |entry| entry["text"] == "这句只说一次").await;
    let heard = phone.timeline().await.iter().filter(|entry| entry["text"] == "这句只说一次").count();
    assert_eq!(heard, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_are_on_the_screen_of_another_instance_quickly_and_once_with_hints_and_without() {
    if !Engine::at_hand().contains(&Engine::Postgres) {
        return eprintln!("SKIPPED: WEIKEFU_TEST_POSTGRES names no server, and one SQLite has one instance");
    }
    let redis = Redis::start();
    let with = format!("\n[hints]\nredis_url = \"{}\"\n", redis.url());
    for (hints, within) in [(with.as_str(), WITH_HINTS), ("", WITHOUT_HINTS)] {
        let mut world = World::prepared(Engine::Postgres, |text, _| format!("{text}{hints}")).await;
        world.start_server().await;
        let mut second: Config = world.config.clone();
        second.server.listen = "127.0.0.1:0".parse().unwrap();
        let second = App::start(second, Arc::new(SystemClock), Arc::new(SystemRandom)).await.unwrap();
        let (here, elsewhere) = (world.server_url.clone(), format!("http://{}", second.zones().listen));
        let store = store_of(&world.config).await;
        let password = Secret::new(PASSWORD.to_owned());
        Staff::new(store.clone()).add_account(NAME, Role::Agent, &password).await.unwrap();
        store.close().await;

        let phone = world.follower("甲").await;
        phone.say("转人工").await;
        let agent = Arc::new(Agent::at_work(&world, &elsewhere).await);
        let near = Screen::open(&agent, &here).await;
        let mut far = Screen::open(&agent, &elsewhere).await;
        for screen in [&near, &far] {
            screen.shows("转人工").await;
        }
        let (short, long) = timed(&phone, &near, &far).await;
        let way = if hints.is_empty() { "without hints" } else { "with hints" };
        println!("{way}: median to the screen of the same instance {short:?}, of another {long:?}");
        assert!(long <= within.max(short * SLOWER_MAX), "{way}: {long:?}");
        breaks(&phone, &mut far).await;
        near.shows("断线4乙").await;
        for screen in [&near, &far] {
            let words = screen.shown().words.clone();
            let mut expected = vec!["转人工".to_owned()];
            expected.extend((0..WORDS).map(|number| format!("第{number}句")));
            expected.extend((0..5).flat_map(|number| ["甲", "乙"].map(|part| format!("断线{number}{part}"))));
            assert_eq!(words, expected, "{way}: every word once, in its order");
        }
        answers_once(&phone, &agent, [&here, &elsewhere]).await;
        for screen in [near, far] {
            screen.loses_its_stream();
        }
        second.stop().await;
        world.stop().await;
    }
}
