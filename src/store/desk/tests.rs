//! How the databases find what the desk asks for, with very many who wait.

use sqlx::{AssertSqlSafe, Connection as _};

use super::*;
use crate::store::Value;
use crate::store::testing::{TestStore, stores};

/// Customers who wait while the desk looks for the next of them.
const WAITING: u32 = 100_000;

/// Who waits: a sixth in each group, one of a hundred for an agent of his own.
fn many(fkey: &str) -> String {
    format!(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {WAITING}) \
         INSERT INTO desk_case (case_id, account, fkey, state, skill, priority, reason, opened_ms, opened_seq, \
         queued_ms, rank_ms, unread, transfers, touched_ms, prefer, prefer_until_ms) \
         SELECT 'wait-' || n, 'card', {fkey}, 'waiting', CASE n % 6 WHEN 0 THEN 'general' WHEN 1 THEN 'card' \
         WHEN 2 THEN 'loan' WHEN 3 THEN 'fraud' WHEN 4 THEN 'complaint' ELSE 'english' END, 0, 'asked', n, 0, n, n, \
         0, 0, n, CASE WHEN n % 100 = 0 THEN 'agent' || (n % 7) END, CASE WHEN n % 100 = 0 THEN 9 END FROM number"
    )
}

async fn fill(test: &TestStore) {
    let url = test.url();
    if test.name == "sqlite" {
        let mut connection = sqlx::SqliteConnection::connect(url.reveal()).await.unwrap();
        let rows = many("CAST('followe' || (n + 100000000) AS BLOB)");
        sqlx::query(AssertSqlSafe(rows)).execute(&mut connection).await.unwrap();
        return;
    }
    let mut connection = sqlx::PgConnection::connect(url.reveal()).await.unwrap();
    let rows = many("convert_to('followe' || (n + 100000000), 'UTF8')");
    sqlx::query(AssertSqlSafe(rows)).execute(&mut connection).await.unwrap();
    sqlx::query("ANALYZE desk_case").execute(&mut connection).await.unwrap();
}

/// How the database means to carry a statement out, in its own words.
async fn plan(test: &TestStore, statement: Statement, args: Vec<Value>) -> String {
    let (explain, column) = if test.name == "sqlite" { ("EXPLAIN QUERY PLAN", 3) } else { ("EXPLAIN", 0) };
    let sql: &'static str = Box::leak(format!("{explain} {}", statement.sql).into_boxed_str());
    let rows = test.store.fetch(Statement { name: "PLAN", sql }, args).await.unwrap();
    rows.iter().map(|row| row.text(column).unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn whoever_is_next_of_a_hundred_thousand_is_found_by_an_index() {
    for test in stores().await {
        fill(&test).await;
        let now = || Value::from(1_i64);
        let asked: [(Statement, Vec<Value>, &[&str]); 6] = [
            (
                NEXT,
                vec!["card".into(), "waiting".into(), "loan".into(), "a".into(), now(), 16_u32.into()],
                &["desk_case_group"],
            ),
            (KEPT_FOR, vec!["agent1".into(), now()], &["desk_case_prefer"]),
            (QUEUE, vec!["card".into(), "waiting".into(), 200_u32.into()], &["desk_case_queue"]),
            (
                OF_AGENT,
                vec!["a".into(), "with_agent".into(), 5_u32.into()],
                &["desk_case_agent", "desk_case_claimed"],
            ),
            (TOUCHED, vec![99_990_i64.into()], &["desk_case_touched"]),
            (
                CLAIM,
                vec!["wait-2".into(), "a".into(), now(), 5_u32.into()],
                &["desk_case_agent", "desk_case_claimed"],
            ),
        ];
        for (statement, args, indexes) in asked {
            let plan = plan(&test, statement, args).await;
            println!("{} {}:\n{plan}", test.name, statement.name);
            let by_index = indexes.iter().any(|index| plan.contains(index));
            let reads_all = plan.contains("Seq Scan on desk_case") || plan.contains("SCAN desk_case\n");
            assert!(by_index && !reads_all, "{} {}:\n{plan}", test.name, statement.name);
        }
        // Nobody sorts a group's queue to find its first.
        let next = vec!["card".into(), "waiting".into(), "loan".into(), "a".into(), now(), 16_u32.into()];
        let plan = plan(&test, NEXT, next).await;
        assert!(!plan.contains("Sort") && !plan.contains("TEMP B-TREE"), "{}:\n{plan}", test.name);
    }
}
