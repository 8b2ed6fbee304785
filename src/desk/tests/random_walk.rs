//! Random operations by agents, customers, the outbox and a clock, several at once, on two instances.

use std::collections::BTreeMap;

use super::*;
use crate::clock::{Random as _, SeededRandom, SystemRandom};
use crate::domain::case::{Rating, Score};
use crate::domain::window::Sender;
use crate::store::DeskAgent;

const FOLLOWERS: u8 = 4;
const AGENTS: u64 = 3;
const ROUNDS: usize = 60;
const AT_ONCE: usize = 3;

const OPEN_CASES: Statement = Statement {
    name: "OPEN_CASES",
    sql: "SELECT case_id, fkey, state, claimed_by FROM desk_case WHERE state NOT IN ('closed', 'rated')",
};

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
    Deliver(FollowerKey),
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
        18 => Operation::Deliver(who),
        19 | 20 => Operation::Next(session),
        21 => Operation::HandOver(session, who, format!("agent{}", dice.roll(AGENTS))),
        22 => Operation::TakeOver(Session { role: Role::Supervisor, ..session }, who),
        23 => Operation::Note(session, who),
        24 => Operation::Leave(session, who),
        25 => Operation::Rate(who),
        _ => Operation::Tend,
    }
}

/// What must be found in the logs: (follower, text) → how often.
type Expected = BTreeMap<(FollowerKey, String), usize>;

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
        Operation::Deliver(who) => deliver(test, *who).await,
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

/// What the outbox does: the ledger pays, the log learns of it.
async fn deliver(test: &TestStore, who: FollowerKey) {
    let mut conversation = test.store.conversation(&account(), who).await.unwrap();
    let log = test.store.messages(&account(), who, 0, 500).await.unwrap();
    let Some(queued) = log.iter().find(|message| message.state == "queued") else { return };
    let sender = if queued.author == "system" { Sender::Rating } else { Sender::Agent };
    let involved = conversation.stage.person_involved();
    let drawn = conversation.ledger.draw(sender, involved, test.store.clock().now());
    let state = if let Ok(draw) = drawn {
        conversation.ledger.spend(draw);
        "sent"
    } else {
        "failed"
    };
    let commit = Commit::new(who.part())
        .with(test.store.set_message_state(&account(), who, queued.seq, state))
        .with(test.store.save_conversation(conversation).unwrap());
    // Stale: somebody was first, the outbox tries again later.
    drop(test.store.commit(commit).await);
}

async fn check(test: &TestStore, expected: &Expected, told: &str) {
    let rows = test.store.fetch(OPEN_CASES, vec![]).await.unwrap();
    let mut found = Expected::new();
    for number in 1..=FOLLOWERS {
        let who = follower(number);
        let conversation = test.store.conversation(&account(), who).await.unwrap();
        assert!(conversation.ledger.message.used <= 5, "overdrawn; {told}");
        let named = conversation.case_id.as_deref();
        let case = rows.iter().find(|row| Some(row.text(0).unwrap()) == named);
        let state = case.map(|row| CaseState::parse(row.text(2).unwrap()).unwrap());
        match (named, state) {
            (None, _) => assert_eq!(conversation.stage, Stage::Bot, "{told}"),
            (Some(_), Some(state)) => assert_eq!(state.stage(), Some(conversation.stage), "{told}"),
            (Some(case_id), None) => panic!("{case_id} is named and over; {told}"),
        }
        for row in rows.iter().filter(|row| row.follower(1).unwrap() == who) {
            let is_named = Some(row.text(0).unwrap()) == named;
            assert!(is_named || row.text(2).unwrap() == "wrap_up", "an orphan; {told}");
        }
        let owner = replay(&test.store.messages(&account(), who, 0, 500).await.unwrap(), &mut found, told);
        let with_agent = case.filter(|_| state == Some(CaseState::WithAgent));
        let stored = with_agent.map(|row| row.text(3).unwrap().to_owned());
        assert_eq!(owner, stored, "the log knows another owner; {told}");
    }
    assert_eq!(&found, expected, "lost or doubled; {told}");
}

/// Reads a log from its beginning: numbers without gaps, one owner at a time, answers by the owner only.
fn replay(log: &[Message], found: &mut Expected, told: &str) -> Option<String> {
    let mut owner: Option<String> = None;
    for (at, message) in log.iter().enumerate() {
        assert_eq!(message.seq, i64::try_from(at).unwrap() + 1, "a gap; {told}");
        let content: Value = serde_json::from_str(message.content.reveal()).unwrap();
        if let Some(text) = content["text"].as_str().filter(|_| content["kind"] != "rating") {
            *found.entry((message.follower, text.to_owned())).or_default() += 1;
            let note = content["kind"] == "note";
            if let Some(name) = message.author.strip_prefix("agent:").filter(|_| !note) {
                assert_eq!(owner.as_deref(), Some(name), "not the owner; {told}");
            }
            // Unfollowing leaves no note of its own.
            if text.ends_with("Leave") {
                owner = None;
            }
        }
        match content["what"].as_str() {
            Some("claimed") => {
                assert_eq!(owner, None, "two owners; {told}");
                owner = content["agent"].as_str().map(str::to_owned);
            }
            Some("handed_over") => {
                assert_eq!(owner.as_deref(), content["from"].as_str(), "not his to give; {told}");
                owner = content["agent"].as_str().map(str::to_owned);
            }
            Some("transferred" | "returned" | "closed") => owner = None,
            _ => {}
        }
    }
    owner
}

#[tokio::test]
async fn no_walk_ends_in_an_orphan_a_double_owner_or_a_lost_message() {
    let mut fresh = [0_u8; 8];
    SystemRandom.fill(&mut fresh);
    for seed in [1, 2, 3, u64::from_le_bytes(fresh)] {
        for test in stores().await {
            let desks = [desk(&test, ALWAYS), desk(&test, ALWAYS)];
            // One of them gets cases by themselves, and may have two.
            for number in 0..AGENTS {
                sign_in(&test, &format!("agent{number}")).await;
            }
            let boss = Session { role: Role::Supervisor, ..agent("boss") };
            let ready = DeskAgent { ready: true, capacity: 2, ..DeskAgent::default() };
            desks[0].set_agent(&boss, "agent0", ready).await.unwrap();
            let dice = Dice(SeededRandom::new(seed));
            let mut expected = Expected::new();
            for round in 0..ROUNDS {
                let told = format!("seed {seed}, round {round}, {}", test.name);
                let operations: Vec<Operation> = (0..AT_ONCE).map(|_| operation(&dice)).collect();
                let runs = operations.iter().enumerate().map(|(at, operation)| {
                    let kind = match operation {
                        Operation::Customer(_, wish) => format!("{wish:?}"),
                        _ => "answer".to_owned(),
                    };
                    let text = format!("{round}-{at}-{kind}");
                    let (test, desk) = (&test, &desks[at % 2]);
                    async move { run(test, desk, operation, &text).await }
                });
                for done in futures::future::join_all(runs).await.into_iter().flatten() {
                    *expected.entry(done).or_default() += 1;
                }
                check(&test, &expected, &told).await;
                test.clock.advance(Duration::from_secs(dice.roll(400)));
            }
        }
    }
}
