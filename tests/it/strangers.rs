//! What strangers find out, and whom they keep out, by trying again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::sync::Semaphore;
use weikefu::domain::secret::Secret;
use weikefu::staff::{Role, Staff};

use crate::house::store_of;
use crate::pages::Browser;
use crate::world::{Engine, World, client};

const PASSWORD: &str = "correct horse battery";
/// Who guesses, and who works; a proxy that we trust says so.
const OUTSIDE: &str = "198.51.100.7";
const OFFICE: &str = "192.0.2.1";
const GUESSES_A_SECOND: u32 = 1_000;
const GUESSING_SECONDS: u32 = 4;
/// Of one address at the same time; more wait in its own socket, as they would at a gateway.
const GUESSES_AT_ONCE: usize = 64;
const SIGN_INS: usize = 20;
const SIGNED_IN_WITHIN: Duration = Duration::from_secs(1);
/// A machine that does other things is slow for a clerk alone as well: then this many times as slow is allowed.
const SLOWER_MAX: u32 = 4;
/// How much longer one answer may take than the other, in the median, on a machine that does nothing else.
const APART_MAX: Duration = Duration::from_millis(5);
/// Tries of each kind.
const TRIES: usize = 15;

/// A door to the desk with this clerk.
async fn with_clerk(name: &str) -> World {
    let mut world = World::prepared(Engine::Sqlite, |text, _| {
        text.replacen("[server]", "[server]\ntrusted_proxies = [\"127.0.0.1\"]", 1)
    })
    .await;
    world.start_server().await;
    let store = store_of(&world.config).await;
    let staff = Staff::new(store.clone());
    let password = Secret::new(PASSWORD.to_owned());
    staff.add_account(name, Role::Agent, &password).await.unwrap();
    store.close().await;
    world
}

/// Tries a name and a password from an address; gives the status, what was answered, and how long it took.
async fn sign_in(
    http: &reqwest::Client,
    base: &str,
    from: &str,
    name: &str,
    password: &str,
) -> (u16, String, Duration) {
    let began = Instant::now();
    let request = http.post(format!("{base}/desk/sign-in")).form(&[("name", name), ("password", password)]);
    let request = request.header("x-forwarded-for", from).header("sec-fetch-site", "same-origin");
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.text().await.unwrap(), began.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_guesses_a_second_leave_a_clerk_s_sign_in_quick() {
    let world = with_clerk("lin").await;
    let mut alone = Vec::new();
    for _ in 0..5 {
        let (status, _, took) = sign_in(&world.http, &world.server_url, OFFICE, "lin", PASSWORD).await;
        assert_eq!(status, 303);
        alone.push(took);
    }
    let alone = median(alone);

    let guesses = Arc::new(AtomicUsize::new(0));
    let (http, base, counted) = (client(), world.server_url.clone(), guesses.clone());
    let guesser = tokio::spawn(async move {
        let at_once = Arc::new(Semaphore::new(GUESSES_AT_ONCE));
        let mut pace = tokio::time::interval(Duration::from_secs(1) / GUESSES_A_SECOND);
        for number in 0..GUESSES_A_SECOND * GUESSING_SECONDS {
            pace.tick().await;
            let place = at_once.clone().acquire_owned().await.unwrap();
            let (http, base, counted) = (http.clone(), base.clone(), counted.clone());
            tokio::spawn(async move {
                // Every second one the clerk's own name, the others made up.
                let name = if number % 2 == 0 { "lin".to_owned() } else { format!("guess{number}") };
                let (status, ..) = sign_in(&http, &base, OUTSIDE, &name, "a wrong password").await;
                assert!(matches!(status, 401 | 429 | 503), "{status}");
                counted.fetch_add(1, Ordering::Relaxed);
                drop(place);
            });
        }
        drop(at_once.acquire_many_owned(u32::try_from(GUESSES_AT_ONCE).unwrap()).await.unwrap());
    });
    let (mut took, began) = (Vec::new(), Instant::now());
    while took.len() < SIGN_INS {
        let (status, page, time) = sign_in(&world.http, &world.server_url, OFFICE, "lin", PASSWORD).await;
        assert_eq!(status, 303, "the clerk is not kept out: {page}");
        took.push(time);
    }
    let meanwhile = guesses.load(Ordering::Relaxed);
    let seconds = began.elapsed();
    took.sort_unstable();
    let longest = *took.last().unwrap();
    println!(
        "{meanwhile} guesses in {seconds:?}; the clerk alone {alone:?}, meanwhile p50 {:?}, p99 {longest:?}",
        took[took.len() / 2]
    );
    assert!(meanwhile > 0, "nobody guessed");
    assert!(longest <= SIGNED_IN_WITHIN.max(alone * SLOWER_MAX), "{longest:?}");
    guesser.await.unwrap();
    // The wait of the last guess may be over; the next one that fails begins a longer one.
    while sign_in(&world.http, &world.server_url, OUTSIDE, "lin", "a wrong password").await.0 != 429 {}
    let (locked, page, _) = sign_in(&world.http, &world.server_url, OUTSIDE, "lin", PASSWORD).await;
    assert_eq!(locked, 429, "from there not even the right password opens: {page}");
    world.stop().await;
}

/// Whether two kinds of answers take the same time, by what a machine under load lets one see.
fn take_alike(known: Vec<Duration>, unknown: Vec<Duration>, what: &str) {
    let (known, unknown) = (median(known), median(unknown));
    let apart = known.abs_diff(unknown);
    println!("{what}: known {known:?}, unknown {unknown:?}, {apart:?} apart");
    assert!(apart <= APART_MAX.max(known.max(unknown) / 4), "{what}: {apart:?} apart");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_desk_s_door_tells_nobody_which_names_exist() {
    let world = with_clerk("lin01").await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut told = Vec::new();
    for number in 0..TRIES {
        // Another address each time: nothing of this is about the lock.
        let from = format!("203.0.113.{number}");
        for (name, times) in [("lin01", &mut known), ("lin02", &mut unknown)] {
            let (status, page, took) =
                sign_in(&world.http, &world.server_url, &from, name, "a wrong password").await;
            told.push((status, page.replace(name, "NAME")));
            times.push(took);
        }
    }
    told.dedup();
    assert_eq!(told.len(), 1, "one answer to all: {told:?}");
    assert_eq!(told[0].0, 401);
    take_alike(known, unknown, "a name at the door");
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn binding_tells_nobody_who_is_a_customer() {
    let mut world = World::without_server(Engine::Sqlite).await;
    world.start_server().await;
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let mut told = Vec::new();
    for number in 0..TRIES {
        // A customer's name and phone with the tails of somebody else, and a name and phone of nobody. A phone locks after
        // five wrong tries, so each has three.
        let customer = number % 5;
        let names = ["张立春", "李雨水", "王惊蛰", "陈春分", "周清明"];
        let is_known = (names[customer], format!("1380013800{}", customer + 1));
        let is_nobody = ("赵无此".to_owned(), format!("1399999000{}", customer + 1));
        for (name, phone, times) in
            [(is_known.0.to_owned(), is_known.1, &mut known), (is_nobody.0, is_nobody.1, &mut unknown)]
        {
            let phone_in_hand = world.follower("访客").await;
            let answer = phone_in_hand.say("绑定").await;
            let link =
                answer.split('"').find(|part| part.contains("/bind?t=")).unwrap().replace("&amp;", "&");
            let mut browser =
                Browser::new(client(), &world.server_url, &world.simulator_url, &phone_in_hand.openid);
            assert_eq!(browser.open(&link).await, 200, "{}", browser.html);
            let form = [
                ("name", name.as_str()),
                ("id_tail", "9999"),
                ("card_tail", "9999"),
                ("phone", phone.as_str()),
                ("alerts", "full"),
                ("agree", "yes"),
            ];
            let began = Instant::now();
            let status = browser.send("/h5/card/bind/start", &form).await;
            times.push(began.elapsed());
            let page = browser.html.replace(&name, "NAME").replace(&phone, "PHONE");
            // The token of the form is another for each visit, and as long.
            let token =
                page.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            told.push(json!([status, browser.html.len(), page.replace(&token, "TOKEN")]));
        }
    }
    for pair in told.chunks(2) {
        assert_eq!(pair[0], pair[1], "one answer to both");
        assert_eq!(pair[0][0], 422);
    }
    take_alike(known, unknown, "a person who binds");
    world.stop().await;
}
