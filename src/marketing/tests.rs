//! Choice, caps, hold-out and erasure, on both databases.

use serde_json::{Value, json};

use super::*;
use crate::domain::time::UnixMs;
use crate::domain::transaction::Transaction;
use crate::outbound::testing::{EVENTS, World};
use crate::store::testing::stores;

const CONSENT: &str = "version = \"v1\"\nper_week_max = 2\n";

fn offer(hold_out_percent: u8) -> String {
    format!(
        "rank = 1\ntitle = \"周三满减\"\ntext = \"以活动页为准。\"\nfrom = \"2026-01-01\"\nuntil = \"2027-12-31\"\n\
         per_week_max = 2\ntotal_max = 3\nhold_out_percent = {hold_out_percent}\n[when]\ntypes = [\"purchase\"]\n"
    )
}

struct Room {
    world: World,
    outbound: Arc<Outbound>,
    marketing: Marketing,
    follower: FollowerKey,
    customer: CustomerId,
}

async fn rooms(hold_out_percent: u8) -> Vec<Room> {
    let mut rooms = Vec::new();
    for test in stores().await {
        let world = World::new(test);
        let follower = world.bind("o1", "C10001").await;
        let content = Content::of([
            ("marketing/consent.toml", CONSENT),
            ("marketing/offers/wednesday.toml", &offer(hold_out_percent)),
        ]);
        let outbound = world.outbound();
        let clock = world.test.clock.clone();
        let marketing = Marketing::new(world.store().clone(), outbound.clone(), &content, clock).unwrap();
        let customer = CustomerId::parse("C10001").unwrap();
        rooms.push(Room { world, outbound, marketing, follower, customer });
    }
    rooms
}

fn purchase() -> Transaction {
    let item = json!({
        "transaction_id": "T1", "customer_id": "C10001", "card_last4": "1234", "type": "purchase",
        "amount": {"value": "128.50", "currency": "CNY"}, "merchant": {"name": "星河咖啡"},
        "channel": "pos", "occurred_at": "2026-11-22T10:00:00+08:00",
    });
    Transaction::parse(&item, UnixMs(1_795_312_800_000)).unwrap()
}

impl Room {
    async fn choose(&self, on: bool) {
        let account = self.world.account();
        let writes = self.marketing.choice_writes(&account, self.follower, Some(&self.customer), on).unwrap();
        self.world.commit(writes).await;
    }

    async fn offers(&self) -> usize {
        let transaction = purchase();
        let occasion = Occasion { transaction: &transaction, original: None, recent: &[], product: None };
        let account = self.world.account();
        let shown = self.marketing.show_offers_for(&account, self.follower, &self.customer, &occasion).await;
        shown.unwrap().len()
    }

    fn days(&self, count: u64) {
        self.world.test.clock.advance(Duration::from_secs(count * 24 * 3600));
    }
}

#[tokio::test]
async fn only_who_asked_is_shown_offers_and_a_refusal_counts_at_once() {
    for room in rooms(0).await {
        let name = room.world.test.name;
        assert_eq!(room.offers().await, 0, "{name}: he said nothing yet");
        room.choose(true).await;
        assert_eq!(room.offers().await, 1, "{name}");
        room.choose(false).await;
        assert_eq!(room.offers().await, 0, "{name}");
        room.outbound.parts().tend().await.unwrap();
        while room.outbound.step().await > 0 {}
        let told: Vec<Value> = room.world.outside.seen(EVENTS).into_iter().map(|seen| seen.body).collect();
        let mut words: Vec<_> = told.iter().map(|event| event["data"]["opted_in"].clone()).collect();
        words.sort_by_key(|word| word.as_bool());
        assert_eq!(words, [json!(false), json!(true)], "{name}: the bank is told of both");
        assert!(told.iter().all(|event| event["type"] == "marketing_changed"));
        assert!(told.iter().all(|event| event["data"]["version"] == "v1"));
    }
}

#[tokio::test]
async fn caps_count_days_on_which_an_offer_was_shown() {
    for room in rooms(0).await {
        let name = room.world.test.name;
        room.choose(true).await;
        assert_eq!((room.offers().await, room.offers().await), (1, 1), "{name}: one day counts once");
        room.days(1);
        assert_eq!(room.offers().await, 1, "{name}");
        room.days(1);
        assert_eq!(room.offers().await, 0, "{name}: twice in the week already");
        room.days(7);
        assert_eq!(room.offers().await, 1, "{name}: another week");
        room.days(30);
        assert_eq!(room.offers().await, 0, "{name}: three days in all");
    }
}

#[tokio::test]
async fn the_hold_out_group_is_the_same_every_time_and_about_as_large_as_wished() {
    for room in rooms(50).await {
        room.choose(true).await;
        let first = room.offers().await;
        for _ in 0..3 {
            assert_eq!(room.offers().await, first);
        }
        let lots: Vec<u8> = (0..1_000)
            .map(|number| {
                let customer = CustomerId::parse(&format!("C{number}")).unwrap();
                room.marketing.lot("wednesday", &customer)
            })
            .collect();
        assert!(lots.iter().all(|lot| *lot < 100));
        let held_out = lots.iter().filter(|lot| **lot < 50).count();
        assert!((420..=580).contains(&held_out), "{held_out} of 1000");
    }
}

#[tokio::test]
async fn who_leaves_is_forgotten() {
    for room in rooms(0).await {
        let account = room.world.account();
        room.choose(true).await;
        assert_eq!(room.offers().await, 1);
        let store = room.world.store();
        room.world.commit(store.erase_marketing(&account, room.follower).into()).await;
        assert_eq!(store.marketing_choice(&account, room.follower).await.unwrap(), None);
        assert_eq!(store.offers_shown(&account, room.follower).await.unwrap(), []);
        assert_eq!(room.offers().await, 0, "{}", room.world.test.name);
    }
}
