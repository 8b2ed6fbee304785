//! Three processes on one database, in one thread, under one seed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::doors::{Board, Doors, Waiting};
use super::invariants::Memory;
use super::outside::Outside;
use crate::app::Rooms;
use crate::app::edited::Edited;
use crate::clock::{ManualClock, SeededRandom};
use crate::config::{Account, Config};
use crate::domain::ids::{FollowerKey, Openid, PushKey};
use crate::domain::secret::{Personal, Secret};
use crate::domain::testing;
use crate::domain::time::UnixMs;
use crate::domain::verdict::State;
use crate::inbound::{Answer, Limits};
use crate::keys::SoftKeys;
use crate::outbound::testing::config;
use crate::store::testing::{Fate, START, bound};
use crate::store::{Commit, CommitError, Family, OutChannel, QuotaDay, Store};
use crate::wechat::push::{Content, Event, Push, TemplateDelivery};

/// Followers, each bound to a customer of his own.
pub(super) const FOLLOWERS: usize = 4;
/// Processes that live at the same time.
const PROCESSES: usize = 3;
/// Template messages that WeChat takes in a day.
const TEMPLATES_MAX: i64 = 60;
/// Times that WeChat delivers one push.
const DELIVERIES_MAX: usize = 3;

/// What customers say.
const SAID: [&str; 6] = ["查账单", "你好", "人工", "挂失", "今天天气怎么样", "可用额度"];

static EDITED: LazyLock<Edited> = LazyLock::new(|| {
    let address = url::Url::parse("http://127.0.0.1:9").unwrap();
    Edited::load(&config(&address)).unwrap_or_else(|faults| panic!("{faults:?}"))
});

/// The rooms of a process that work by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Job {
    Send,
    Tell,
    Resume,
    Lease,
}

impl Job {
    const ALL: [Self; 4] = [Self::Send, Self::Tell, Self::Resume, Self::Lease];
}

/// One process from its start to its end.
struct Process {
    number: usize,
    rooms: Rooms,
    clock: Arc<ManualClock>,
    jobs: BTreeMap<Job, JoinHandle<()>>,
}

/// What the bank and WeChat were told, from all processes.
#[derive(Default)]
pub(super) struct Told {
    /// Transactions that the bank was told are accepted.
    pub(super) accepted: BTreeSet<String>,
    /// What the deliveries of a push were answered with.
    pub(super) answers: BTreeMap<String, Vec<Answer>>,
    /// What became of each transaction, as asked at the end.
    pub(super) states: BTreeMap<String, Option<State>>,
    /// What agents were told is on its way, and to which follower.
    pub(super) agents: Vec<(usize, String)>,
}

/// A cluster in the hands of a seed.
pub(super) struct Cluster {
    pub(super) dice: SeededRandom,
    seed: u64,
    pub(super) board: Arc<Board>,
    pub(super) outside: Outside,
    pub(super) told: Arc<Mutex<Told>>,
    /// A view of the database that no door stands before.
    pub(super) store: Store,
    config: Arc<Config>,
    pub(super) account: Arc<Account>,
    processes: Vec<Process>,
    started: usize,
    /// A process that gets no turn, and for how many moves.
    asleep: Option<(usize, usize)>,
    swiped: usize,
    pushes: Vec<(Push, usize)>,
    /// What happened, for whoever looks into a seed that failed.
    pub(super) trace: Vec<String>,
    pub(super) memory: Memory,
    /// Whether there are agents.
    pub(super) has_agents: bool,
    folder: TempDir,
}

impl Cluster {
    pub(super) async fn new(seed: u64, forgets_the_epoch: bool) -> Self {
        let folder = folder();
        let config = Arc::new(config(&url::Url::parse("http://127.0.0.1:9").unwrap()));
        let board = Arc::new(Board::new(START, forgets_the_epoch));
        let clock = Arc::new(ManualClock::new(START));
        let store = open(&folder, clock, seed).await;
        let account = Arc::new(config.accounts[0].clone());
        let outside = Outside::new(TEMPLATES_MAX);
        let dice = SeededRandom::new(seed);
        let mut cluster = Self {
            dice,
            seed,
            board,
            outside,
            told: Arc::default(),
            store,
            config,
            account,
            processes: vec![],
            started: 0,
            asleep: None,
            swiped: 0,
            pushes: vec![],
            trace: vec![],
            memory: Memory::default(),
            has_agents: false,
            folder,
        };
        cluster.people().await;
        for _ in 0..PROCESSES {
            cluster.start().await;
        }
        cluster
    }

    async fn people(&self) {
        let mut commit = Commit::new(0);
        for number in 0..FOLLOWERS {
            let (id, follower, openid) = (&self.account.id, self.follower(number), openid(number));
            commit.push(self.store.meet_follower(id, follower, &openid, START).unwrap());
            let binding = bound(&customer(number), "", START);
            commit.push(self.store.add_binding(id, follower, &binding).unwrap());
        }
        let of =
            QuotaDay { account: self.account.id.clone(), channel: OutChannel::Template, day: day_of(START) };
        commit.extend(self.store.learn_quota(&of, TEMPLATES_MAX, 0));
        self.store.commit(commit).await.unwrap();
    }

    pub(super) fn follower(&self, number: usize) -> FollowerKey {
        self.store.follower_key(&self.account.app_id, &openid(number))
    }

    /// One more process, its clock up to two seconds off.
    async fn start(&mut self) {
        let number = self.started;
        self.started += 1;
        let doors = Arc::new(Doors { board: self.board.clone(), process: number });
        let off_ms = i64::try_from(self.dice.roll(4_000)).unwrap() - 2_000;
        let now = crate::clock::Clock::now(&self.board.clock);
        let clock = Arc::new(ManualClock::new(UnixMs(now.0 + off_ms)));
        let store = open(&self.folder, clock.clone(), self.seed.wrapping_add(number as u64 + 1)).await;
        store.behind(doors.clone());
        testing::stand_in(Some(doors));
        let Edited { content, operations, robots, desk, .. } = &*EDITED;
        let limits = Limits::default();
        let content = (content, operations.clone());
        let rooms = Rooms::join_on(self.config.clone(), store, content, robots.clone(), desk.clone(), limits);
        testing::stand_in(None);
        let rooms = rooms.unwrap_or_else(|error| panic!("{error}"));
        self.processes.push(Process { number, rooms, clock, jobs: BTreeMap::new() });
    }

    fn now(&self) -> UnixMs {
        crate::clock::Clock::now(&self.board.clock)
    }

    /// One of the processes, by its number.
    pub(super) fn any_process(&self) -> (usize, Rooms) {
        let Process { number, rooms, .. } = &self.processes[self.roll(self.processes.len())];
        (*number, rooms.clone())
    }

    pub(super) fn note(&mut self, what: impl Into<String>) {
        let since = self.now().0 - START.0;
        self.trace.push(format!("{since:>8} ms  {}", what.into()));
    }

    pub(super) fn roll(&self, sides: usize) -> usize {
        usize::try_from(self.dice.roll(sides as u64)).unwrap()
    }

    /// Whatever the seed says comes next.
    pub(super) async fn one_move(&mut self) -> Result<(), String> {
        self.asleep = self.asleep.and_then(|(process, left)| Some((process, left.checked_sub(1)?)));
        if self.has_agents && self.roll(4) == 0 {
            self.agents_move();
            self.board.rest().await;
            return self.check_commits().await;
        }
        match self.roll(100) {
            0..=29 => self.one_use().await?,
            30..=46 => self.run_on().await?,
            47..=66 => self.begin_job(),
            67..=80 => self.one_call(),
            81..=85 => {
                let steps_ms = [20, 200, 700, 2_000, 3_000, 6_000, 9_000, 30_000];
                let by_ms = steps_ms[self.roll(steps_ms.len())];
                self.pass(Duration::from_millis(by_ms)).await;
            }
            86..=90 => self.swipe(),
            91..=95 => self.say(),
            96 => self.report(),
            97 => self.crash().await,
            _ => self.fall_asleep().await,
        }
        self.board.rest().await;
        self.check_commits().await
    }

    fn uses(&self) -> Vec<(u64, usize, &'static str)> {
        let waiting = self.board.waiting().into_iter();
        let uses = waiting.filter_map(|waits| match waits {
            Waiting::Use { id, process, statement } => {
                self.is_awake(process).then_some((id, process, statement))
            }
            Waiting::Call { .. } => None,
        });
        uses.collect()
    }

    fn calls(&self) -> Vec<(u64, usize, String, bool)> {
        let waiting = self.board.waiting().into_iter();
        let calls = waiting.filter_map(|waits| match waits {
            Waiting::Call { id, process, path, has_arrived } => {
                self.is_awake(process).then_some((id, process, path, has_arrived))
            }
            Waiting::Use { .. } => None,
        });
        calls.collect()
    }

    /// One use of the database, with all that can become of it.
    async fn one_use(&mut self) -> Result<(), String> {
        let uses = self.uses();
        if uses.is_empty() {
            self.begin_job();
            return Ok(());
        }
        let (id, process, statement) = uses[self.roll(uses.len())];
        let fate = match self.roll(120) {
            0..=2 => Fate::Failed,
            3 => Fate::Unconfirmed,
            4 => Fate::Unheard,
            _ => Fate::Done,
        };
        self.note(format!("process {process}: {statement} {fate:?}"));
        self.board.begin(id, fate);
        self.board.rest().await;
        self.check_commits().await?;
        if fate == Fate::Unheard {
            self.end(process).await;
        }
        Ok(())
    }

    /// One process gets on until it stands before the world outside, or has nothing to do.
    async fn run_on(&mut self) -> Result<(), String> {
        const USES_MAX: usize = 60;
        let Some((_, process, _)) = self.uses().first().cloned() else { return Ok(()) };
        self.note(format!("process {process}: runs on"));
        for _ in 0..USES_MAX {
            let Some((id, ..)) = self.uses().into_iter().find(|(_, of, _)| *of == process) else { break };
            self.board.begin(id, Fate::Done);
            self.board.rest().await;
            self.check_commits().await?;
        }
        Ok(())
    }

    fn begin_job(&mut self) {
        let at = self.roll(self.processes.len());
        let job = Job::ALL[self.roll(Job::ALL.len())];
        self.begin(at, job);
    }

    fn begin(&mut self, at: usize, job: Job) {
        let Process { number, rooms, jobs, .. } = &mut self.processes[at];
        let asleep = self.asleep.is_some_and(|(process, _)| process == *number);
        if asleep || jobs.get(&job).is_some_and(|running| !running.is_finished()) {
            return;
        }
        let (number, rooms) = (*number, rooms.clone());
        let work = async move {
            match job {
                Job::Send => drop(rooms.outbound.round().await),
                Job::Tell => drop(rooms.alerts.step().await),
                Job::Resume => drop(rooms.inbound.step().await),
                Job::Lease => drop(rooms.outbound.parts().tend().await),
            }
        };
        jobs.insert(job, tokio::spawn(work));
        self.note(format!("process {number}: {job:?}"));
    }

    /// One request to the world: it arrives or not, and its answer comes, is lost, or waits.
    fn one_call(&mut self) {
        let calls = self.calls();
        if calls.is_empty() {
            return;
        }
        let (id, process, path, has_arrived) = &calls[self.roll(calls.len())];
        let broken = Some(Err(testing::NoAnswer::Broken));
        let lost = self.roll(8) == 0;
        if *has_arrived {
            self.note(format!("process {process}: {path} is answered, lost: {lost}"));
            return self.board.end(*id, broken.filter(|_| lost));
        }
        match self.roll(24) {
            0 | 1 => {
                self.note(format!("process {process}: {path} cannot leave"));
                self.board.end(*id, Some(Err(testing::NoAnswer::NotConnected)));
            }
            2 => {
                self.note(format!("process {process}: {path} is lost on its way"));
                self.board.end(*id, broken);
            }
            3..=9 => {
                self.arrive(*id);
                self.note(format!("process {process}: {path} arrives"));
            }
            _ => {
                self.arrive(*id);
                self.note(format!("process {process}: {path} arrives, answer lost: {lost}"));
                self.board.end(*id, broken.filter(|_| lost));
            }
        }
    }

    fn arrive(&mut self, id: u64) {
        let mood = self.dice.roll(40);
        let now = self.now();
        if let Some(request) = self.board.request(id) {
            let answer = self.outside.take(&request, mood, now);
            self.board.arrived(id, answer);
        }
    }

    async fn pass(&mut self, by: Duration) {
        self.note(format!("{} ms pass", by.as_millis()));
        self.board.clock.advance(by);
        self.processes.iter().for_each(|process| process.clock.advance(by));
        tokio::time::advance(by).await;
    }

    /// The bank tells of a purchase, new or told before.
    fn swipe(&mut self) {
        let at = self.roll(self.processes.len());
        let number = match self.roll(4) {
            0 if self.swiped > 0 => self.roll(self.swiped),
            _ => {
                self.swiped += 1;
                self.swiped - 1
            }
        };
        let id = format!("T{number}");
        self.note(format!("process {}: the bank tells of {id}", self.processes[at].number));
        let item = transaction(&id, &customer(number % FOLLOWERS));
        let (rooms, told) = (self.processes[at].rooms.clone(), self.told.clone());
        tokio::spawn(async move {
            if accept(&rooms, &item).await {
                told.lock().unwrap().accepted.insert(id);
            }
        });
    }

    /// WeChat delivers a push, new or for the second or third time.
    fn say(&mut self) {
        let again: Vec<usize> =
            (0..self.pushes.len()).filter(|push| self.pushes[*push].1 < DELIVERIES_MAX).collect();
        let at = if self.roll(2) == 0 && !again.is_empty() {
            again[self.roll(again.len())]
        } else {
            let text = SAID[self.roll(SAID.len())];
            let content = Content::Text { text: Personal::new(text), menu_item: None };
            self.push(self.roll(FOLLOWERS), content)
        };
        self.deliver(at);
    }

    /// WeChat says what became of a template message.
    fn report(&mut self) {
        if self.outside.unreported.is_empty() {
            return;
        }
        let (to, number) = self.outside.unreported.swap_remove(0);
        let from = (0..FOLLOWERS).find(|number| openid(*number).reveal() == to).unwrap();
        let event = Event::TemplateSendJobFinish {
            message_id: number.to_string(),
            delivery: TemplateDelivery::Delivered,
        };
        let at = self.push(from, Content::Event(event));
        self.deliver(at);
    }

    fn push(&mut self, from: usize, content: Content) -> usize {
        let number = self.pushes.len();
        let push = Push {
            to: self.account.original_id.clone(),
            from: openid(from),
            created: self.now(),
            key: PushKey::new(&format!("m:{number}")),
            article: None,
            content,
        };
        self.pushes.push((push, 0));
        number
    }

    fn deliver(&mut self, number: usize) {
        let at = self.roll(self.processes.len());
        self.pushes[number].1 += 1;
        let push = self.pushes[number].0.clone();
        self.note(format!("process {}: push {}", self.processes[at].number, push.key.as_str()));
        let (rooms, told, account) =
            (self.processes[at].rooms.clone(), self.told.clone(), self.account.clone());
        tokio::spawn(async move {
            let key = push.key.as_str().to_owned();
            let answer = rooms.inbound.receive(&account, push).await;
            told.lock().unwrap().answers.entry(key).or_default().push(answer);
        });
    }

    fn is_awake(&self, process: usize) -> bool {
        self.asleep.is_none_or(|(asleep, _)| asleep != process)
    }

    /// A process gets no turn for longer than its leases last, and wakes in the middle of what it did.
    async fn fall_asleep(&mut self) {
        const MOVES: usize = 40;
        let number = self.processes[self.roll(self.processes.len())].number;
        self.asleep = Some((number, MOVES));
        self.note(format!("process {number}: sleeps"));
        self.pass(Duration::from_secs(9)).await;
    }

    async fn crash(&mut self) {
        let number = self.processes[self.roll(self.processes.len())].number;
        self.end(number).await;
    }

    /// A process is gone from one moment to the next; another comes.
    async fn end(&mut self, number: usize) {
        self.note(format!("process {number}: dies"));
        self.board.kill(number);
        self.processes.retain(|process| process.number != number);
        self.start().await;
    }

    /// Nothing goes wrong any more, until nothing is left to do.
    pub(super) async fn calm(&mut self) -> Result<(), String> {
        const SECONDS: usize = 45;
        const LATER_S: [u64; 6] = [120, 240, 600, 86_400, 86_400, 86_400];
        self.note("calm");
        self.asleep = None;
        for second in 0..SECONDS + LATER_S.len() {
            for at in 0..self.processes.len() {
                Job::ALL.into_iter().rev().for_each(|job| self.begin(at, job));
            }
            self.drain().await?;
            let by_s = second.checked_sub(SECONDS).map_or(1, |later| LATER_S[later]);
            self.outside.template_calls = if by_s > 1 { 0 } else { self.outside.template_calls };
            self.pass(Duration::from_secs(by_s)).await;
            self.board.rest().await;
        }
        self.ask_for_states();
        self.drain().await
    }

    async fn drain(&mut self) -> Result<(), String> {
        const MOVES_MAX: usize = 20_000;
        for _ in 0..MOVES_MAX {
            self.board.rest().await;
            self.check_commits().await?;
            match self.board.waiting().first() {
                Some(Waiting::Use { id, .. }) => self.board.begin(*id, Fate::Done),
                Some(Waiting::Call { id, has_arrived, .. }) => {
                    if !has_arrived {
                        let (now, request) = (self.now(), self.board.request(*id).unwrap());
                        let answer = self.outside.take(&request, 39, now);
                        self.board.arrived(*id, answer);
                    }
                    self.board.end(*id, None);
                }
                None => return Ok(()),
            }
        }
        Err("the house finds no rest".to_owned())
    }

    fn ask_for_states(&mut self) {
        for number in 0..self.swiped {
            let (rooms, told) = (self.processes[0].rooms.clone(), self.told.clone());
            tokio::spawn(async move {
                let id = format!("T{number}");
                let view = rooms.alerts.state(Family::Transaction, &id).await.unwrap();
                told.lock().unwrap().states.insert(id, view.map(|view| view.verdict.state));
            });
        }
    }

    /// For each partition, how many processes would work on it now.
    pub(super) fn owners(&self) -> impl Iterator<Item = (u8, usize)> {
        (0..=u8::MAX).map(|part| {
            let works = |process: &&Process| process.rooms.outbound.parts().begin(part).is_some();
            (part, self.processes.iter().filter(works).count())
        })
    }

    /// Everything that WeChat ever delivered, or meant to.
    pub(super) fn pushes(&self) -> impl Iterator<Item = &Push> {
        self.pushes.iter().map(|(push, _)| push)
    }
}

/// What the bank's call does, and whether it hears 202.
async fn accept(rooms: &Rooms, item: &Value) -> bool {
    const TRIES_MAX: usize = 3;
    for _ in 0..TRIES_MAX {
        let items = std::slice::from_ref(item);
        let Ok(intake) = rooms.alerts.intake(Family::Transaction, items).await else { return false };
        let mut commit = Commit::new(0);
        commit.extend(intake.writes.iter().cloned());
        match rooms.store.commit(commit).await {
            Ok(()) => {
                rooms.alerts.taken_in(Family::Transaction, &intake);
                return intake.taken.rejected.is_empty();
            }
            Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Store(_)) => return false,
        }
    }
    false
}

fn transaction(id: &str, customer: &str) -> Value {
    json!({
        "transaction_id": id, "customer_id": customer, "card_last4": "1234", "type": "purchase",
        "amount": {"value": "128.50", "currency": "CNY"}, "merchant": {"name": "示例商户"},
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    })
}

pub(super) fn openid(number: usize) -> Openid {
    Openid::parse(&format!("o{number}")).unwrap()
}

fn customer(number: usize) -> String {
    format!("C{}", 10_001 + number)
}

fn day_of(now: UnixMs) -> i64 {
    (now.0 + 8 * 3_600_000).div_euclid(24 * 3_600_000)
}

/// In memory where the machine has such a folder: a seed commits hundreds of times.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

async fn open(folder: &TempDir, clock: Arc<ManualClock>, seed: u64) -> Store {
    let url = Secret::new(format!("sqlite://{}", folder.path().join("cluster.db").display()));
    let keys = SoftKeys::new(Zeroizing::new([42; 32]), vec![], Arc::new(SeededRandom::new(1)));
    Store::open(&url, &keys, clock, Arc::new(SeededRandom::new(seed))).await.unwrap()
}
