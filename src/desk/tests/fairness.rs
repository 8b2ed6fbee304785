//! Nobody starves: customers of every group and urgency come faster than they can be answered, for hours, and agents of
//! different groups ask for the next. What they get is compared with a rule of one line, and everybody gets his turn.

use super::*;
use crate::clock::{Random as _, SeededRandom, SystemRandom};
use crate::store::DeskAgent;

const STEPS: usize = 120;
const SKILLS: [&str; 5] = ["general", "card", "loan", "fraud", "english"];
/// Whom the three agents serve; nobody serves `english`.
const SERVED: [&[&str]; 3] = [&["general", "card", "loan", "fraud"], &["card", "fraud"], &["loan"]];
/// As the built-in groups say: from then on anybody takes it.
const ANYONE_AFTER_MS: i64 = 600_000;
/// One step of urgency is worth so much waiting, and there are so many.
const STEP_MS: i64 = 300_000;
const STEPS_MAX: i64 = 9;

struct Waiting {
    case_id: String,
    skill: &'static str,
    since: i64,
    /// The moment that stands for its place in the queue.
    rank: i64,
}

impl Waiting {
    fn may_go_to(&self, agent: usize, now: i64) -> bool {
        SERVED[agent].contains(&self.skill) || now - self.since >= ANYONE_AFTER_MS
    }
}

fn roll(random: &SeededRandom, sides: u64) -> u64 {
    let mut bytes = [0_u8; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes) % sides
}

fn customer(number: usize) -> FollowerKey {
    let mut key = [7; 16];
    key[..8].copy_from_slice(&u64::try_from(number).unwrap().to_le_bytes());
    FollowerKey::new(key)
}

/// Somebody comes. Two of three are urgent: they would push everybody else back for ever, if waiting did not count.
async fn comes(test: &TestStore, desk: &Desk, random: &SeededRandom, number: usize) -> Waiting {
    let skill = SKILLS[usize::try_from(roll(random, 5)).unwrap()];
    let priority = if roll(random, 3) == 0 { 0 } else { 7 };
    let who = customer(number);
    let mut conversation = test.store.conversation(&account(), who).await.unwrap();
    conversation.ledger.grant(UserAction::Message, test.store.clock().now());
    let escalated =
        desk.escalate(&mut conversation, Wanted::new("asked", skill, priority), None).await.unwrap();
    let case_id = conversation.case_id.clone().unwrap();
    let mut commit = Commit::new(who.part());
    commit.extend(escalated.writes);
    commit.push(test.store.save_conversation(conversation).unwrap());
    test.store.commit(commit).await.unwrap();
    let since = test.store.clock().now().0;
    Waiting { case_id, skill, since, rank: since - STEP_MS * i64::from(priority) }
}

/// An agent asks for the next, gets who has waited most by the rule, and is done with him. Tells how long he waited.
async fn answers(
    test: &TestStore,
    desk: &Desk,
    agent_number: usize,
    waiting: &mut Vec<Waiting>,
    told: &str,
) -> Option<i64> {
    let me = agent(&format!("agent{agent_number}"));
    let now = test.store.clock().now().0;
    let given = desk.claim_next(&me, &[account()]).await.unwrap();
    let his = waiting.iter().filter(|case| case.may_go_to(agent_number, now));
    let first = his.min_by_key(|case| (case.rank, case.case_id.clone())).map(|case| case.case_id.clone());
    assert_eq!(given, first, "who is next of {}; {told}", waiting.len());
    let at = waiting.iter().position(|case| Some(&case.case_id) == given.as_ref())?;
    let case = waiting.swap_remove(at);
    // Nobody who came so much later can have been before anybody.
    let latest = case.since + STEP_MS * STEPS_MAX;
    let passed = waiting
        .iter()
        .filter(|other| other.may_go_to(agent_number, now) && other.since + STEP_MS * STEPS_MAX < case.since);
    assert_eq!(passed.count(), 0, "somebody was passed over until {latest}; {told}");
    desk.close(&me, &case.case_id, Some(CloseReason::Solved)).await.unwrap();
    Some(now - case.since)
}

#[tokio::test]
async fn whoever_waits_gets_his_turn_however_many_urgent_ones_come() {
    let mut fresh = [0_u8; 8];
    SystemRandom.fill(&mut fresh);
    for seed in [1, u64::from_le_bytes(fresh)] {
        for test in stores().await {
            let desk = desk(&test, ALWAYS);
            let boss = Session { role: Role::Supervisor, ..agent("boss") };
            for (number, skills) in SERVED.iter().enumerate() {
                let name = format!("agent{number}");
                sign_in(&test, &name).await;
                let skills = skills.iter().map(|skill| (*skill).to_owned()).collect();
                let how = DeskAgent { skills, ..DeskAgent::default() };
                desk.set_agent(&boss, &name, how).await.unwrap();
            }
            let random = SeededRandom::new(seed);
            let (mut waiting, mut came, mut longest) = (Vec::new(), 0, 0);
            for step in 0..STEPS {
                let told = format!("seed {seed}, step {step}, {}", test.name);
                test.clock.advance(Duration::from_millis(1 + roll(&random, 120_000)));
                // Nobody comes in the last third: the queue empties to its last.
                for _ in 0..if step * 3 < STEPS * 2 { roll(&random, 4) } else { 0 } {
                    waiting.push(comes(&test, &desk, &random, came).await);
                    test.clock.advance(Duration::from_millis(1));
                    came += 1;
                }
                let number = usize::try_from(roll(&random, 3)).unwrap();
                longest = longest.max(answers(&test, &desk, number, &mut waiting, &told).await.unwrap_or(0));
            }
            let mut rounds = 0;
            while !waiting.is_empty() {
                let told = format!("seed {seed}, at the end, {}", test.name);
                test.clock.advance(Duration::from_secs(60));
                longest =
                    longest.max(answers(&test, &desk, rounds % 3, &mut waiting, &told).await.unwrap_or(0));
                rounds += 1;
                assert!(rounds < came * 4, "{} were never answered; {told}", waiting.len());
            }
            println!("seed {seed}, {}: {came} came, the longest wait was {} s", test.name, longest / 1_000);
        }
    }
}
