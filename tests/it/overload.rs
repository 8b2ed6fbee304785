//! More than the house can do at once: who is turned away first, what customers read while the database is slow or its
//! disk is full, and that nothing needs to be started anew afterwards.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;
use weikefu::inbound::Limits;

use crate::house::{Blocked, House};
use crate::wechat::{Answered, Wechat, event, push, text};
use crate::world::{Engine, World, until};

const BUSY: &str = "系统正忙";
/// WeChat hangs up after 5 s; the house answers half a second before, and a busy machine adds a little.
const ANSWERED_WITHIN: Duration = Duration::from_millis(4_900);

/// Opens one push after another that waits for the core, until so many are in work.
async fn fill(house: &House, waiting: &mut Vec<tokio::task::JoinHandle<Answered>>, count: usize) {
    while waiting.len() < count {
        let number = waiting.len() as u64;
        let (openid, customer) = (format!("o-{number}"), format!("C{}", 10_001 + number));
        house.world.bind(&openid, &customer).await;
        house.gate.hold(&customer);
        let wechat = house.wechat(0);
        waiting
            .push(tokio::spawn(async move { wechat.deliver(&text(&openid, 100 + number, "查账单")).await }));
        house.gate.asked(waiting.len()).await;
    }
}

fn shed(class: &str) -> bool {
    weikefu::telemetry::render()
        .contains(&format!("weikefu_shed_total{{place=\"webhook\",class=\"{class}\"}}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_less_urgent_is_turned_away_first_and_a_loss_never_before_the_last_place() {
    for engine in Engine::at_hand() {
        let patient = Limits { in_work_max: 10, reply_budget: Duration::from_secs(60), ..Limits::default() };
        let house = House::open_with(engine, patient).await;
        let wechat = house.wechat(0);
        let mut waiting = Vec::new();

        fill(&house, &mut waiting, 5).await;
        let link = event("o-x", "1800000001", "VIEW", "<EventKey>https://bank.example/</EventKey>");
        assert!(wechat.deliver(&link).await.is_success(), "{engine:?}: nobody waits for an answer to a tap");
        assert!(shed("campaign"), "{engine:?}");

        fill(&house, &mut waiting, 6).await;
        let follows = event("o-y", "1800000002", "subscribe", "<EventKey></EventKey>");
        assert!(wechat.deliver(&follows).await.text().contains(BUSY) && shed("marketing"), "{engine:?}");

        fill(&house, &mut waiting, 8).await;
        let picture = "<PicUrl>http://p/</PicUrl><MediaId>m</MediaId><MsgId>7</MsgId>";
        let told = wechat.deliver(&push("o-y", "image", picture)).await;
        assert!(told.text().contains(BUSY) && shed("knowledge"), "{engine:?}");
        let told = wechat.deliver(&text("o-y", 8, "功能")).await;
        assert!(told.text().contains("我可以为您"), "{engine:?}: {}", told.raw());

        fill(&house, &mut waiting, 9).await;
        let told = wechat.deliver(&text("o-y", 9, "查额度")).await;
        assert!(told.text().contains(BUSY) && shed("query"), "{engine:?}");
        let told = wechat.deliver(&text("o-y", 10, "挂失")).await;
        assert!(!told.text().contains(BUSY) && !told.is_success(), "{engine:?}: {}", told.raw());
        println!(
            "{engine:?}: with 5, 6, 8 and 9 of 10 places taken, links, greetings, pictures and questions waited; a loss did not"
        );

        (0..waiting.len()).for_each(|number| house.gate.release(&format!("C{}", 10_001 + number)));
        for answer in waiting {
            assert!(answer.await.unwrap().text().contains("本期应还"), "{engine:?}");
        }
        let told = wechat.deliver(&text("o-z", 11, "功能")).await;
        assert!(told.text().contains("我可以为您"), "{engine:?}: {}", told.raw());
        house.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_stands_still_for_all_is_told_politely_in_time_and_afterwards_all_goes_on() {
    const CUSTOMERS: u64 = 60;
    for engine in Engine::at_hand() {
        let house = House::open(engine).await;
        let wechat = house.wechat(0);
        assert!(wechat.deliver(&text("o-warm", 1, "功能")).await.text().contains("我可以为您"), "{engine:?}");
        // Every connection that reads or writes waits for this one.
        let locked = "LOCK TABLE conversation, push, follower IN ACCESS EXCLUSIVE MODE";
        let blocked = Blocked::on(house.config.database.url.reveal(), locked).await;
        let asked = (0..CUSTOMERS).map(|number| {
            let wechat = wechat.clone();
            async move {
                let began = Instant::now();
                let told = wechat.deliver(&text(&format!("o-{number}"), 100 + number, "功能")).await;
                (told, began.elapsed())
            }
        });
        let told = join_all(asked).await;
        let slowest = told.iter().map(|(_, took)| *took).max().unwrap();
        for (told, _) in &told {
            assert!(told.status == 200 && told.text().contains(BUSY), "{engine:?}: {}", told.raw());
        }
        println!(
            "{engine:?}: {CUSTOMERS} customers of a database that stands still: the slowest polite answer after {slowest:?}"
        );
        assert!(slowest < ANSWERED_WITHIN, "{engine:?}: {slowest:?}");
        blocked.end().await;
        until("the house works again", || async {
            let told = wechat.deliver(&text("o-after", 2, "功能")).await;
            told.text().contains("我可以为您").then_some(())
        })
        .await;
        until("nothing is left in work", || async {
            (house.number("SELECT count(*) FROM open_push").await == 0).then_some(())
        })
        .await;
        house.stop().await;
    }
}

/// A disk of a few megabytes; gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`: this machine lets nobody mount, and says so.
    fn mount(folder: &Path) -> Option<Self> {
        let path = folder.join("disk");
        std::fs::create_dir(&path).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(&path).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self(path));
        }
        println!("not tried: a small disk cannot be mounted here (run as root, or with CAP_SYS_ADMIN)");
        None
    }

    /// Takes all that is free.
    fn fill(&self) {
        let block = vec![0_u8; 64 * 1024];
        let mut ballast = std::fs::File::create(self.ballast()).unwrap();
        while std::io::Write::write(&mut ballast, &block).is_ok() {}
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A day's purchases of one customer, as one call of the bank.
fn purchases(call: usize) -> Value {
    let item = |number: usize| {
        json!({
            "transaction_id": format!("D{call}-{number}"), "customer_id": "C10001", "card_last4": "1234",
            "type": "purchase", "amount": { "value": "128.50", "currency": "CNY" },
            "merchant": { "name": "星河咖啡" }, "channel": "pos", "occurred_at": "2026-01-01T10:00:00+08:00",
        })
    };
    (0..500).map(item).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_nothing_that_was_accepted() {
    const CALLS_MAX: usize = 40;
    const TRANSACTIONS: &str = "/api/v1/transactions";
    let mut disk = None;
    let mut world = World::prepared(Engine::Sqlite, |text, folder| {
        disk = SmallDisk::mount(folder);
        match &disk {
            Some(disk) => {
                let before = folder.join("weikefu.db").display().to_string();
                text.replace(&before, &disk.0.join("weikefu.db").display().to_string())
            }
            None => text,
        }
    })
    .await;
    let Some(disk) = disk else { return world.stop().await };
    world.start_server().await;
    let wechat =
        Wechat { http: world.http.clone(), url: format!("{}/wechat/card", world.server_url), is_safe: true };
    assert!(wechat.deliver(&text("o-a", 1, "功能")).await.text().contains("我可以为您"));
    disk.fill();

    let mut accepted = vec![];
    let mut refused = 0;
    for call in 0..CALLS_MAX {
        match world.bank(Method::POST, TRANSACTIONS, &purchases(call).to_string()).await {
            (202, _) => accepted.push(call),
            (503, _) => refused += 1,
            (status, answer) => panic!("{status}: {answer}"),
        }
        if refused == 3 {
            break;
        }
    }
    assert_eq!(refused, 3, "the disk is full");
    let (mut polite, mut slowest) = (0, Duration::ZERO);
    for number in 0..10 {
        let began = Instant::now();
        let told = wechat.deliver(&text("o-a", 10 + number, "功能")).await;
        slowest = slowest.max(began.elapsed());
        assert_eq!(told.status, 200);
        polite += usize::from(told.text().contains(BUSY));
    }
    assert!(slowest < ANSWERED_WITHIN, "{slowest:?}");
    disk.free();

    until("the bank's calls are taken again", || async {
        let (status, _) = world.bank(Method::POST, TRANSACTIONS, &purchases(CALLS_MAX).to_string()).await;
        (status == 202).then_some(())
    })
    .await;
    until("customers are answered again", || async {
        wechat.deliver(&text("o-a", 99, "功能")).await.text().contains("我可以为您").then_some(())
    })
    .await;
    for call in &accepted {
        let (status, _) = world.bank(Method::GET, &format!("{TRANSACTIONS}/D{call}-499"), "").await;
        assert_eq!(status, 200, "call {call} was accepted");
    }
    let mut database = sqlx::SqliteConnection::connect(world.config.database.url.reveal()).await.unwrap();
    let sound: String = sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut database).await.unwrap();
    assert_eq!(sound, "ok");
    database.close().await.unwrap();
    println!(
        "a full disk: {} calls accepted and kept, {refused} told 503, {polite} of 10 customers told politely, the slowest after \
         {slowest:?}; taken again without a start, integrity_check: {sound}",
        accepted.len()
    );
    world.stop().await;
    drop(disk);
}
