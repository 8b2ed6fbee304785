//! The conversations of `tests/conversations` as they are written, over the wire: each said by a follower of his own on
//! a phone of the simulator to the whole server, which commits it and asks its bank over HTTP. Whole texts are
//! compared, as `weikefu check` compares them inside one process.

mod away;
mod bank;
mod plan;
mod shown;
mod talk;

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use weikefu::clock::{Clock as _, ManualClock};
use weikefu::domain::time::UnixMs;

use self::bank::Bank;
use self::plan::{COMMON, Planned, When};
use self::talk::{House, hold};
use crate::world::{Engine, LEARN_MAX, World, until_within};

/// When every conversation begins: Sunday, 2026-11-22, 10:00 in Beijing.
const START: UnixMs = UnixMs(1_795_312_800_000);
/// An hour after the desk has closed.
const NIGHT: UnixMs = UnixMs(START.0 + 13 * 3_600_000);
/// Conversations at a time.
const TOGETHER_MAX: usize = 12;

/// The faults of the conversations of a time of day.
async fn hold_all(house: House<'_>, planned: &[Planned], when: When) -> Vec<String> {
    let together = if when == When::Alone { 1 } else { TOGETHER_MAX };
    let all = planned.iter().enumerate().filter(|(_, one)| one.when == when);
    let held = stream::iter(all).map(async |(number, one)| hold(house, one, number).await.err());
    held.buffer_unordered(together).filter_map(ready).collect().await
}

async fn push_menus(world: &World, planned: &[Planned]) {
    for account in &world.config.accounts {
        let here = planned.iter().filter(|one| one.account == account.id.as_str());
        if let Some(menu) = plan::menu(here) {
            world.push_menu_to(account, &menu).await;
        }
    }
}

async fn every_conversation_is_as_it_is_written(engine: Engine) {
    let planned = plan::plan();
    let clock = Arc::new(ManualClock::new(START));
    let bank = Bank::start();
    let mut world =
        World::at(engine, clock.clone(), |text, folder| plan::configuration(&text, folder, &planned)).await;
    world.config.core.base_url = bank.url.parse().unwrap();
    world.start_server().await;
    world.app().start_learning();
    push_menus(&world, &planned).await;
    let stranger = world.follower("等学会").await;
    let learned = async || {
        let answer = stranger.say("我这个月账单多少").await;
        answer.contains("需要先绑定").then_some(())
    };
    until_within(LEARN_MAX, "what was learned", learned).await;

    let house = House { world: &world, bank: &bank, clock: &clock };
    let mut faults = hold_all(house, &planned, When::Together).await;
    faults.extend(hold_all(house, &planned, When::Alone).await);
    clock.advance(Duration::from_millis(u64::try_from(NIGHT.0 - clock.now().0).unwrap()));
    faults.extend(hold_all(house, &planned, When::Night).await);
    faults.sort();
    world.stop().await;
    bank.stop().await;
    let own = planned.iter().filter(|one| one.account != COMMON).count();
    let count = planned.len();
    assert!(
        faults.is_empty(),
        "{engine:?}: {} of {count} ({own} apart):\n{}",
        faults.len(),
        faults.join("\n\n")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conversation_is_held_over_the_wire_on_sqlite() {
    every_conversation_is_as_it_is_written(Engine::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_conversation_is_held_over_the_wire_on_postgres() {
    if Engine::at_hand().contains(&Engine::Postgres) {
        every_conversation_is_as_it_is_written(Engine::Postgres).await;
    }
}
