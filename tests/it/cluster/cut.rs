//! Three servers, each in a network namespace of its own, of which one is cut off while it sends, and comes back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::network::{Cable, Way, relay};
use super::{Fleet, has_postgres};
use crate::sending::purchase;
use crate::wechat::text;
use crate::world::{Caller, Engine, World, until};

const CUSTOMERS: usize = 24;
/// Somewhat longer than a lease lives, a statement is waited for, and an idle transaction is borne with.
const CUT_FOR: Duration = Duration::from_secs(60);
const PURCHASE_EVERY: Duration = Duration::from_millis(100);

/// Notes for each alert that is settled from where that was done, and who owned its partition at that moment.
const NOTE_SETTLES: &str = "CREATE TABLE settled_by (port BIGINT NOT NULL, owner TEXT NOT NULL); \
    CREATE FUNCTION note_settle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        INSERT INTO settled_by SELECT inet_client_port(), owner FROM part_lease WHERE part = NEW.part; \
        RETURN NULL; END $$; \
    CREATE TRIGGER note_settle AFTER UPDATE ON outbox FOR EACH ROW \
        WHEN (OLD.settled = 0 AND NEW.settled = 1 AND NEW.channel = 'template') EXECUTE FUNCTION note_settle()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_owner_that_is_cut_off_for_a_minute_settles_nothing_afterwards() {
    if !has_postgres() {
        return;
    }
    let Some(cables) = Cable::lay(3) else { return };
    let world = World::without_server(Engine::Postgres).await;
    let database = world.config.database.url.reveal().to_owned();
    let mut fleet = Fleet::none(world, database);
    let mut ways = vec![];
    for cable in &cables {
        ways.push(join(&mut fleet, cable).await);
    }
    fleet.execute(NOTE_SETTLES).await;
    fleet.shared().await;
    let mut phones = vec![];
    for customer in 0..CUSTOMERS {
        let openid = fleet.world.follower("断").await.openid;
        fleet.world.bind(&openid, &customer_id(customer)).await;
        phones.push(openid);
    }

    // The bank reaches the two that stay; all three send.
    let banks = [0, 1].map(|number| fleet.world.caller().towards(fleet.member(number).url.clone()));
    let buying = Buying::start(banks);
    let slow = json!({ "api": "/cgi-bin/message/template/send", "answer_delay_ms": 500 });
    fleet.world.post(&format!("{}/sim/api/faults", fleet.world.simulator_url), slow).await;
    let lost = fleet.member(2).owner.clone();
    until("alerts on their way from the one to be cut off", || async {
        fleet.texts("SELECT owner FROM intent").await.contains(&lost).then_some(())
    })
    .await;
    cables[2].cut();
    let cut = Instant::now();
    let faults = format!("{}/sim/api/faults", fleet.world.simulator_url);
    assert!(fleet.world.http.delete(faults).send().await.unwrap().status().is_success());
    until("the others to own everything", || async {
        let shares = fleet.shares().await;
        (shares.len() == 2 && !shares.contains_key(&lost)).then_some(())
    })
    .await;
    let took_over = cut.elapsed();

    // WeChat finds nobody at the one, and an answer at another.
    let push = text("o-cut", 1, "菜单");
    let nobody = tokio::time::timeout(Duration::from_secs(5), fleet.wechat(2).try_deliver(&push)).await;
    assert!(!matches!(nobody, Ok(Ok(_))), "the cable is cut");
    let answer = fleet.wechat(0).deliver(&push).await;
    assert!(!answer.text().is_empty());

    tokio::time::sleep(CUT_FOR.saturating_sub(cut.elapsed())).await;
    let meanwhile = buying.accepted.load(Ordering::SeqCst);
    until("the alerts of the time of the cut", || async {
        (fleet.number("SELECT count(*) FROM settled_by").await >= i64::try_from(meanwhile).unwrap())
            .then_some(())
    })
    .await;
    cables[2].heal();
    let healed = Instant::now();
    let shares = fleet.shared().await;
    let back = healed.elapsed();
    until("the same answer from the one that is back", || async {
        let again = fleet.wechat(2).try_deliver(&push).await.ok()?;
        (again == answer).then_some(())
    })
    .await;
    let before = buying.accepted.load(Ordering::SeqCst);
    until("alerts after the cut", || async {
        (buying.accepted.load(Ordering::SeqCst) >= before + CUSTOMERS).then_some(())
    })
    .await;
    let bought = buying.end().await;
    let count: usize = bought.values().map(Vec::len).sum();
    for (customer, openid) in phones.iter().enumerate() {
        fleet.all_shown(openid, bought.get(&customer).cloned().unwrap_or_default()).await;
    }

    // Whoever settled a row owned it at that moment; and each was settled once.
    let settled = fleet.texts("SELECT port || ' ' || owner FROM settled_by").await;
    for by in &settled {
        let (port, owner) = by.split_once(' ').unwrap();
        let who = ways.iter().position(|way| way.ports.lock().unwrap().contains(&port.parse().unwrap()));
        assert_eq!(fleet.member(who.unwrap()).owner, owner, "settled by who was not the owner");
    }
    assert_eq!(settled.len(), count);
    assert_eq!(fleet.number("SELECT count(*) FROM push WHERE push_key = 'm:1'").await, 1);
    eprintln!(
        "cut off for {CUT_FOR:?} while sending: its partitions had owners after {took_over:?}, and it had a share again \
         {back:?} after the cut healed {:?}; {count} alerts, 0 lost, 0 twice, 0 settled under an old epoch",
        shares.values().collect::<Vec<_>>()
    );
    assert!(took_over <= Duration::from_secs(10), "{took_over:?}");
    fleet.stop().await;
}

/// One more server, at the other end of a cable. Gives its way to the database.
async fn join(fleet: &mut Fleet, cable: &Cable) -> Way {
    let (number, config) = (fleet.members.len(), &fleet.world.config);
    let url = url::Url::parse(config.database.url.reveal()).unwrap();
    let database = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
    let loopback = |url: &str| url.strip_prefix("http://").unwrap().to_owned();
    let outside = [&fleet.world.simulator_url, &fleet.world.core_url].map(|url| loopback(url));
    let own = loopback(&fleet.world.server_url);
    let mut ways = vec![];
    for address in outside.into_iter().chain([database]) {
        let way = cable.way_to(&address).await;
        ways.push((address, way));
    }
    let there = cable.there;
    let change = |mut text: String| {
        for (address, way) in &ways {
            text = text.replace(address, &way.address);
        }
        let listen = text.lines().find(|line| line.starts_with("listen = ")).unwrap().to_owned();
        text.replace(&listen, &format!("listen = \"{there}:0\""))
    };
    fleet.join_by(change, |folder, arguments, log| cable.start(folder, arguments, log)).await;
    if number == 0 {
        // WeChat and the bank know the first one by an address of the machine's loopback.
        let port = own.rsplit_once(':').unwrap().1.parse().unwrap();
        relay((Ipv4Addr::LOCALHOST, port), loopback(&fleet.member(0).url)).await;
    }
    ways.pop().unwrap().1
}

fn customer_id(customer: usize) -> String {
    format!("C2{customer:04}")
}

/// A bank whose customers buy, one after the other; each purchase is pushed until it is accepted.
struct Buying {
    accepted: Arc<AtomicUsize>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<BTreeMap<usize, Vec<String>>>,
}

impl Buying {
    fn start(banks: [Caller; 2]) -> Self {
        let (accepted, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (count, stopped) = (accepted.clone(), stop.clone());
        let task = tokio::spawn(async move {
            let (mut bought, mut due) = (BTreeMap::new(), tokio::time::interval(PURCHASE_EVERY));
            while !stopped.is_cancelled() {
                due.tick().await;
                let number = count.load(Ordering::SeqCst);
                let (id, customer) = (format!("cut-{number}"), number % CUSTOMERS);
                let item = purchase(&id).replace("C10001", &customer_id(customer));
                until("a 202", || async {
                    let bank = &banks[number % banks.len()];
                    let answer = bank.call(Method::POST, "/api/v1/transactions", &item).await;
                    matches!(answer, Ok((202, _))).then_some(())
                })
                .await;
                bought.entry(customer).or_insert_with(Vec::new).push(id);
                count.fetch_add(1, Ordering::SeqCst);
            }
            bought
        });
        Self { accepted, stop, task }
    }

    /// Stops; gives what each customer bought.
    async fn end(self) -> BTreeMap<usize, Vec<String>> {
        self.stop.cancel();
        self.task.await.unwrap()
    }
}
