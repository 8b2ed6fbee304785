//! Days come and go, and nobody who speaks notices.

use std::collections::BTreeSet;

use super::super::conversation::{AFTER, APPEND, BETWEEN, CREATE, ERASE_MESSAGES, SET_STATE};
use super::super::database::{Connection, Connector, Database};
use super::super::testing::{TestStore, empty_databases, noon_of, stores};
use super::super::tests::say;
use super::super::value::{Statement, Value};
use super::*;
use crate::domain::ids::{AccountId, FollowerKey};

const FOR_EVER: Kept = Kept { days: None, only_archived: false };
const THIRTY_DAYS: Kept = Kept { days: Some(30), only_archived: false };

/// Sets the clock to noon of today, which the database made the first bound by; gives today.
async fn noon(test: &TestStore) -> BeijingDay {
    let today = BeijingDay::of(test.store.lease_now().await.unwrap());
    test.clock.set(noon_of(today));
    today
}

async fn tidied(test: &TestStore, kept: Kept, day: BeijingDay) -> Tidied {
    test.store.tidy_log(kept, noon_of(day)).await.unwrap()
}

async fn seqs(test: &TestStore, follower: FollowerKey) -> Vec<i64> {
    let log = test.store.messages(&AccountId::new("card"), follower, 0, 100).await.unwrap();
    log.iter().map(|message| message.seq).collect()
}

#[tokio::test]
async fn days_are_made_ahead_and_go_when_they_are_old_and_what_is_kept_reads_back() {
    for test in stores().await {
        let (account, is_postgres) = (AccountId::new("card"), test.store.engine() == Engine::Postgres);
        let [first, second] = [1, 2].map(|byte| FollowerKey::new([byte; 16]));
        let today = noon(&test).await;
        let made = |count: u32| if is_postgres { count } else { 0 };
        let tidy = async |kept, day: i64| tidied(&test, kept, today.plus(day)).await;
        assert_eq!(
            tidy(THIRTY_DAYS, 0).await,
            Tidied { made: made(6), ..Tidied::default() },
            "{}",
            test.name
        );
        assert_eq!(tidy(THIRTY_DAYS, 0).await, Tidied::default());
        // Nobody makes day 40: its messages go where they can.
        for day in [0, 1, 2, 3, 4, 40] {
            test.clock.set(noon_of(today.plus(day)));
            say(&test, &account, first, 2).await;
            say(&test, &account, second, 1).await;
        }
        let gone = [0, 1, 2].map(|day| today.plus(day)).to_vec();
        assert_eq!(tidy(THIRTY_DAYS, 33).await, Tidied { made: made(7), gone, waiting: 0 }, "{}", test.name);
        assert_eq!(seqs(&test, first).await, [7, 8, 9, 10, 11, 12], "{}", test.name);
        assert_eq!(seqs(&test, second).await, [4, 5, 6]);
        if is_postgres {
            let partitions = Partitions::open(&test.store).await.unwrap();
            let days = (3..=7).chain(33..=39);
            let expected: Vec<_> = days.map(|day| Part::day(today.plus(day))).collect();
            assert_eq!(partitions.parts, expected, "the first one and the day before are gone");
        }
        // What is left is changed, erased and added to as before.
        let sent = test.store.set_message_state(&account, first, 7, "sent");
        test.store.commit(Commit::new(0).with(sent)).await.unwrap();
        test.clock.set(noon_of(today.plus(41)));
        say(&test, &account, first, 1).await;
        assert_eq!(seqs(&test, first).await, [7, 8, 9, 10, 11, 12, 13]);
        let erased = test.store.erase_messages(&account, second);
        test.store.commit(Commit::new(0).with(erased)).await.unwrap();
        assert!(seqs(&test, second).await.is_empty());

        let archived_only = Kept { only_archived: true, ..THIRTY_DAYS };
        let waiting = tidy(archived_only, 36).await;
        assert_eq!((waiting.gone.len(), waiting.waiting), (0, 2), "{}", test.name);
        // Day 40 went to the default part, so it goes by deletions; its partition is not made over it.
        assert_eq!(tidy(THIRTY_DAYS, 71).await.gone.last(), Some(&today.plus(40)), "{}", test.name);
        assert_eq!(seqs(&test, first).await, [13]);
    }
}

#[tokio::test]
async fn a_log_that_is_kept_for_years_has_few_parts_and_its_days_go_all_the_same() {
    for test in stores().await {
        let (account, follower) = (AccountId::new("card"), FollowerKey::new([1; 16]));
        let today = noon(&test).await;
        let years = Kept { days: Some(2 * 365), only_archived: false };
        for (day, kept) in [(0, FOR_EVER), (20, years), (40, years)] {
            test.clock.set(noon_of(today.plus(day)));
            let made = tidied(&test, kept, today.plus(day)).await.made;
            assert!(made == 0 || (made == 1 && day != 20), "{made} on day {day}, {}", test.name);
            say(&test, &account, follower, 1).await;
        }
        let gone = tidied(&test, years, today.plus(21 + 730)).await.gone;
        assert_eq!(gone, [today, today.plus(20)], "{}", test.name);
        assert_eq!(seqs(&test, follower).await, [3]);
    }
}

/// Which parts of the log a statement has looked into; by an index each, or this fails.
async fn looked_into(test: &TestStore, statement: Statement, args: [&str; 4]) -> Vec<String> {
    let mut connection = test.store.inner.database.connector().connect().await.unwrap();
    let mut text = format!("EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) {}", statement.sql);
    for (number, arg) in (1..).zip(args) {
        text = text.replace(&format!("${number}"), arg);
    }
    let plan: Vec<_> = connection.stream("EXPLAIN", text).try_collect().await.unwrap();
    let lines: Vec<&str> = plan.iter().map(|row| row.text(0).unwrap()).collect();
    let scans = lines.iter().filter(|line| line.contains("Scan") && line.contains(" on message_"));
    let looked = scans.filter(|scan| !scan.contains("never executed")).map(|scan| {
        assert!(scan.contains("Index Scan using message_"), "{}", lines.join("\n"));
        scan.split_once(" on ").unwrap().1.split(' ').next().unwrap().to_owned()
    });
    looked.collect::<BTreeSet<_>>().into_iter().collect()
}

#[tokio::test]
async fn a_log_of_half_a_year_is_read_and_changed_where_the_entries_lie_and_nowhere_else() {
    const HALF_A_YEAR: Kept = Kept { days: Some(180), only_archived: false };
    for test in stores().await {
        if test.store.engine() != Engine::Postgres {
            continue;
        }
        let (account, follower) = (AccountId::new("card"), FollowerKey::new([5; 16]));
        let today = noon(&test).await;
        for week in 0..26 {
            tidied(&test, HALF_A_YEAR, today.plus(7 * week)).await;
        }
        let parts = Partitions::open(&test.store).await.unwrap().parts;
        assert!((25..40).contains(&parts.len()), "{}", parts.len());
        for day in [10, 100] {
            test.clock.set(noon_of(today.plus(day)));
            say(&test, &account, follower, 2).await;
        }
        let both = [10, 100].map(|day| {
            let part = parts.iter().find(|part| part.ids().contains(&first_id(today.plus(day))));
            part.unwrap().name()
        });
        let key = format!("decode('{}', 'hex')", "05".repeat(16));
        for (statement, seq, bound) in
            [(AFTER, "0", "9"), (BETWEEN, "0", "9"), (SET_STATE, "1", "'sent'"), (ERASE_MESSAGES, "0", "0")]
        {
            let looked = looked_into(&test, statement, ["'card'", &key, seq, bound]).await;
            assert_eq!(looked, both, "{}", statement.name);
        }
    }
}

#[test]
fn a_part_reads_its_own_name_and_no_other() {
    let day = BeijingDay::of(crate::store::testing::START);
    for (part, name) in [
        (Part::Before(day), "message_before_20261122"),
        (Part::day(day), "message_20261122"),
        (Part::Days(day, day.plus(32)), "message_20261122_20261224"),
    ] {
        assert_eq!((part.name().as_str(), Part::parse(name)), (name, Some(part)));
    }
    for name in ["message_default", "message_20261322", "message_before_", "messages", "message_2026-11-22"] {
        assert_eq!(Part::parse(name), None, "{name}");
    }
    assert_eq!(ids_of(day).end, ids_of(day.plus(1)).start);
    assert_eq!(Part::Before(day).ids().end, ids_of(day).start);
}

/// The newest migration of the version before the log was cut.
const UNCUT: i64 = 20;

async fn number(connection: &mut Connection, text: &str) -> i64 {
    let rows: Vec<_> = connection.stream("NUMBER", text.to_owned()).try_collect().await.unwrap();
    rows[0].int(0).unwrap()
}

#[tokio::test]
async fn a_server_of_the_version_before_goes_on_while_its_log_is_cut_and_nothing_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let Some(url) = empty_databases(&folder).await.into_iter().nth(1) else { return };
    let database = Database::open(&url).await.unwrap();
    database.migrate_to(UNCUT).await.unwrap();
    // Its connection has prepared its statements on the tables of before.
    let mut old = Connector::parse(&url).unwrap().connect().await.unwrap();
    let (account, follower) = (Value::from("card"), Value::from([7_u8; 16]));
    let message = |id: i64| -> Vec<Value> {
        let previous = (id > 1).then_some(id - 1);
        let names = [account.clone(), follower.clone(), id.into(), "in".into(), "customer".into()];
        let mut args: Vec<Value> = vec![id.into(), previous.into()];
        args.extend(names);
        args.extend(["passive".into(), vec![0_u8].into(), id.into(), "received".into()]);
        args
    };
    for id in 1..=3 {
        assert_eq!(old.execute(APPEND, &message(id)).await.unwrap(), 1);
    }
    let mut conversation: Vec<Value> = vec![account.clone(), follower.clone(), 1.into(), 1.into(), 0.into()];
    conversation.extend([4.into(), "bot".into(), None::<String>.into()]);
    conversation.extend([None::<Vec<u8>>.into(), None::<Vec<u8>>.into()]);
    conversation.extend([0.into(), 0.into(), 0.into(), 0.into(), 4_i64.into(), 0.into()]);
    assert_eq!(old.execute(CREATE, &conversation).await.unwrap(), 1);
    let place = "SELECT CAST(pg_relation_filenode(oid) AS BIGINT) FROM pg_class WHERE relname LIKE 'message%' \
        AND relkind = 'r' AND relname <> 'message_default'";
    let before = number(&mut old, place).await;

    database.migrate().await.unwrap();

    assert_eq!(old.execute(APPEND, &message(4)).await.unwrap(), 1);
    let state = [account.clone(), follower.clone(), 2.into(), "sent".into()];
    assert_eq!(old.execute(SET_STATE, &state).await.unwrap(), 1);
    let asked = [account, follower, 0.into(), 9.into()];
    let read = old.fetch_rows(AFTER, AFTER.sql.into(), &asked).await.unwrap();
    let states: Vec<_> = read.iter().map(|row| row.text(6).unwrap()).collect();
    assert_eq!(states, ["received", "sent", "received", "received"]);
    assert_eq!(number(&mut old, place).await, before, "the rows lie where they lay");
    let cut = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'message'::regclass";
    assert_eq!(number(&mut old, cut).await, 2);
    database.close().await;
}
