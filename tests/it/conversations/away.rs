//! What the house keeps of its notices, taken away for a while: then one question of the house fails, and nothing else.

use sqlx::{AssertSqlSafe, Connection as _};

use crate::world::World;

/// The operation of the house that reads them.
pub(super) const NOTICES_OF: &str = "house:alert_history";

/// Takes the notices away.
pub(super) async fn put_away(world: &World) {
    rename(world, "notice", "notice_away").await;
}

/// Brings them back.
pub(super) async fn put_back(world: &World) {
    rename(world, "notice_away", "notice").await;
}

async fn rename(world: &World, from: &str, to: &str) {
    let url = world.config.database.url.reveal();
    let sql = AssertSqlSafe(format!("ALTER TABLE {from} RENAME TO {to}"));
    if url.starts_with("sqlite") {
        let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    } else {
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
}
