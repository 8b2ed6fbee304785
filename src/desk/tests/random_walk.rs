//! Random operations by agents, customers and a clock, several at once, on two instances that send what is said by the real
//! outbox, and die while they do.

use super::phones::Phones;
use super::*;
use crate::clock::{Random as _, SeededRandom, SystemRandom};
use crate::desk::testing::{Texts, look};
use crate::domain::case::{Rating, Score};
use crate::domain::ids::Openid;
use crate::outbound::testing::{World, config};
use crate::store::DeskAgent;

const FOLLOWERS: u8 = 4;
const AGENTS: u64 = 3;
const ROUNDS: usize = 60;
const AT_ONCE: usize = 3;

/// Answers of agents that have no end yet.
const QUEUED: Statement =
    Statement { name: "QUEUED", sql: "SELECT count(*) FROM message WHERE state = 'queued'" };

fn openid(number: u8) -> String {
    format!("o{number}")
}

fn number_of(who: FollowerKey) -> u8 {
    (1..=FOLLOWERS).find(|number| follower(*number) == who).unwrap()
}

struct Dice(SeededRandom);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        self.0.roll(sides)
    }

    fn follower(&self) -> FollowerKey {
        follower(u8::try_from(self.roll(u64::from(FOLLOWERS))).unwrap() + 1)
    }
}

#[derive(Debug)]
enum Operation {
    Customer(FollowerKey, Wish),
    Claim(Session, FollowerKey),
    Answer(Session, FollowerKey),
    Close(Session, FollowerKey, Option<CloseReason>),
    Return(Session, FollowerKey),
    Transfer(Session, FollowerKey),
    Next(Session),
    HandOver(Session, FollowerKey, String),
    TakeOver(Session, FollowerKey),
    Note(Session, FollowerKey),
    Leave(Session, FollowerKey),
    Rate(FollowerKey),
    Tend,
}

fn operation(dice: &Dice) -> Operation {
    let who = dice.follower();
    let session = agent(&format!("agent{}", dice.roll(AGENTS)));
    match dice.roll(28) {
        0..=2 => Operation::Customer(who, Wish::Person),
        3..=5 => Operation::Customer(who, Wish::Talk),
        6 => Operation::Customer(who, Wish::Cancel),
        7 => Operation::Customer(who, Wish::CallBack),
        8 if dice.roll(4) == 0 => Operation::Customer(who, Wish::Leave),
        8..=10 => Operation::Claim(session, who),
        11..=13 => Operation::Answer(session, who),
        14 => Operation::Close(session, who, None),
        15 => Operation::Close(session, who, Some(CloseReason::Solved)),
        16 => Operation::Return(session, who),
        17 => Operation::Transfer(session, who),
        18 => Operation::Answer(session, who),
        19 | 20 => Operation::Next(session),
        21 => Operation::HandOver(session, who, format!("agent{}", dice.roll(AGENTS))),
        22 => Operation::TakeOver(Session { role: Role::Supervisor, ..session }, who),
        23 => Operation::Note(session, who),
        24 => Operation::Leave(session, who),
        25 => Operation::Rate(who),
        _ => Operation::Tend,
    }
}

async fn run(
    test: &TestStore,
    desk: &Desk,
    operation: &Operation,
    text: &str,
) -> Option<(FollowerKey, String)> {
    let case_of = async |who| test.store.conversation(&account(), who).await.unwrap().case_id;
    match operation {
        Operation::Customer(who, wish) => {
            return customer_writes(test, desk, *who, text, *wish).await.then(|| (*who, text.to_owned()));
        }
        Operation::Claim(session, who) => drop(desk.claim(session, &case_of(*who).await?).await),
        Operation::Answer(session, who) => {
            let case_id = case_of(*who).await?;
            let answered = desk.answer(session, &case_id, text, text).await;
            return answered.is_ok().then(|| (*who, text.to_owned()));
        }
        Operation::Close(session, who, reason) => {
            drop(desk.close(session, &case_of(*who).await?, *reason).await);
        }
        Operation::Return(session, who) => drop(desk.return_to_bot(session, &case_of(*who).await?).await),
        Operation::Transfer(session, who) => {
            drop(desk.transfer(session, &case_of(*who).await?, "fraud").await);
        }
        Operation::Next(session) => drop(desk.claim_next(session, &[account()]).await),
        Operation::HandOver(session, who, to) => {
            drop(desk.hand_over(session, &case_of(*who).await?, to).await);
        }
        Operation::TakeOver(session, who) => drop(desk.take_over(session, &case_of(*who).await?).await),
        Operation::Note(session, who) => {
            let written = desk.write_note(session, &case_of(*who).await?, text).await;
            return written.is_ok().then(|| (*who, text.to_owned()));
        }
        Operation::Leave(session, who) => {
            let left = desk.leave_words(session, &case_of(*who).await?, text, text).await;
            return left.is_ok().then(|| (*who, text.to_owned()));
        }
        Operation::Rate(who) => rate(test, desk, *who).await,
        Operation::Tend => drop(desk.tend(&account()).await.unwrap()),
    }
    None
}

/// The customer taps an answer to the question about his last case, whatever became of it since.
async fn rate(test: &TestStore, desk: &Desk, who: FollowerKey) {
    let Some(last) = test.store.cases_of(&account(), who).await.unwrap().into_iter().next() else { return };
    let rating = Rating { case_id: last.case_id, score: Score::new(5).unwrap() };
    let mut commit = Commit::new(who.part());
    commit.extend(desk.rate(&account(), who, &rating));
    test.store.commit(commit).await.unwrap();
}

async fn check(test: &TestStore, expected: &Texts, told: &str) {
    let mut found = Texts::new();
    for number in 1..=FOLLOWERS {
        let looked = look(&test.store, &account(), follower(number), &mut found).await;
        looked.unwrap_or_else(|broken| panic!("follower {number}: {broken}; {told}"));
    }
    assert_eq!(&found, expected, "lost or doubled; {told}");
}

/// An instance: its desk, and its own share of what goes out.
struct Instance {
    desk: Desk,
    outbound: Arc<Outbound>,
}

impl Instance {
    fn start(world: &World) -> Self {
        let outbound = world.outbound();
        let desk = Desk::new(world.store().clone(), files(ALWAYS), outbound.clone(), Arc::default());
        Self { desk, outbound }
    }

    /// Sends what is due, or dies at some moment of it; then another comes in its place.
    async fn sends(&mut self, world: &World, dice: &Dice) {
        if dice.roll(8) > 0 {
            self.outbound.step().await;
            return;
        }
        let within = Duration::from_millis(dice.roll(12));
        let _ = tokio::time::timeout(within, self.outbound.step()).await;
        *self = Self::start(world);
    }
}

/// What was acknowledged to agents has an end, and its end is what the phones showed.
async fn check_phones(world: &World, phones: &Phones, told: &str) -> [usize; 3] {
    let [mut sent, mut refused, mut unclear] = [0; 3];
    for number in 1..=FOLLOWERS {
        for message in world.store().messages(&account(), follower(number), 0, 500).await.unwrap() {
            let content: Value = serde_json::from_str(message.content.reveal()).unwrap();
            let is_agents = message.author.starts_with("agent:") && content["kind"] == "text";
            if !is_agents || message.channel != Channel::CustomerService {
                continue;
            }
            let text = content["text"].as_str().unwrap();
            let shown = phones.shown(&openid(number), text);
            match message.state.as_str() {
                "sent" => {
                    sent += 1;
                    assert_eq!(shown, 1, "{text}; {told}");
                }
                "unclear" => {
                    unclear += 1;
                    assert!(shown <= 1, "{text} was shown {shown} times; {told}");
                }
                "said_next" => assert_eq!(shown, 0, "{text}; {told}"),
                "window_closed" | "allowance_used" | "unreachable" | "failed" => {
                    refused += 1;
                    assert_eq!(shown, 0, "{text}; {told}");
                }
                state => panic!("{text} ends as {state}; {told}"),
            }
        }
    }
    [sent, refused, unclear]
}

/// Nothing goes wrong any more, until nothing is on its way.
async fn calm(world: &World, phones: &Phones, instances: &[Instance; 2], told: &str) {
    const LOOKS_MAX: usize = 200;
    phones.calm();
    for _ in 0..LOOKS_MAX {
        for instance in instances {
            instance.outbound.step().await;
        }
        let rows = world.store().fetch(QUEUED, vec![]).await.unwrap();
        if rows[0].int(0).unwrap() == 0 {
            return;
        }
        world.test.clock.advance(Duration::from_secs(60));
    }
    panic!("what is on its way finds no end; {told}");
}

#[tokio::test]
async fn no_walk_ends_in_an_orphan_a_double_owner_or_a_lost_or_doubled_message() {
    let mut fresh = [0_u8; 8];
    SystemRandom.fill(&mut fresh);
    for seed in [1, 2, u64::from_le_bytes(fresh)] {
        for test in stores().await {
            walk(test, seed).await;
        }
    }
}

async fn walk(test: TestStore, seed: u64) {
    let phones = Phones::start(seed);
    let mut world = World::new(test);
    world.config = Arc::new(config(&phones.server.url));
    let test = &world.test;
    for number in 1..=FOLLOWERS {
        let openid = Openid::parse(&openid(number)).unwrap();
        let meet = test.store.meet_follower(&account(), follower(number), &openid, START).unwrap();
        test.store.commit(Commit::new(0).with(meet)).await.unwrap();
    }
    let mut instances = [Instance::start(&world), Instance::start(&world)];
    // One of the agents gets cases by themselves, and may have two.
    for number in 0..AGENTS {
        sign_in(test, &format!("agent{number}")).await;
    }
    let boss = Session { role: Role::Supervisor, ..agent("boss") };
    let ready = DeskAgent { ready: true, capacity: 2, ..DeskAgent::default() };
    instances[0].desk.set_agent(&boss, "agent0", ready).await.unwrap();
    let dice = Dice(SeededRandom::new(seed));
    let mut expected = Texts::new();
    for round in 0..ROUNDS {
        let told = format!("seed {seed}, round {round}, {}", test.name);
        let operations: Vec<Operation> = (0..AT_ONCE).map(|_| operation(&dice)).collect();
        let runs = operations.iter().enumerate().map(|(at, operation)| {
            let kind = match operation {
                Operation::Customer(_, wish) => format!("{wish:?}"),
                _ => "answer".to_owned(),
            };
            let text = format!("{round}-{at}-{kind}");
            let desk = &instances[at % 2].desk;
            async move { (run(test, desk, operation, &text).await, operation) }
        });
        for (done, operation) in futures::future::join_all(runs).await {
            if let (Some((who, _)), Operation::Customer(..)) = (&done, operation) {
                phones.wrote(&openid(number_of(*who)));
            }
            if let Some(done) = done {
                *expected.entry(done).or_default() += 1;
            }
        }
        let [one, two] = &mut instances;
        if dice.roll(3) > 0 {
            tokio::join!(one.sends(&world, &dice), two.sends(&world, &dice));
        }
        check(test, &expected, &told).await;
        assert_eq!(phones.overdrawn(), Vec::<String>::new(), "WeChat's own count; {told}");
        test.clock.advance(Duration::from_secs(dice.roll(400)));
    }
    let told = format!("seed {seed}, {}", test.name);
    calm(&world, &phones, &instances, &told).await;
    let [sent, refused, unclear] = check_phones(&world, &phones, &told).await;
    let (taken, _) = phones.counts();
    println!(
        "{told}: of agents' answers {sent} arrived, {refused} were refused, {unclear} unclear; {taken} shown"
    );
}
