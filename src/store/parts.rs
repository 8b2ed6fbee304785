//! Who is alive and who owns which partition, on the clock of the database.

use tokio::time::Instant;

use super::value::statements;
use super::{Engine, Statement, Store, StoreError, Write};
use crate::domain::time::UnixMs;

statements! {
    BEAT = "INSERT INTO instance (owner, heartbeat_ms) VALUES ($1, $2) \
        ON CONFLICT (owner) DO UPDATE SET heartbeat_ms = $2";
    ALIVE = "SELECT owner FROM instance WHERE heartbeat_ms > $1 ORDER BY owner";
    LEAVE = "DELETE FROM instance WHERE owner = $1";
    FORGET = "DELETE FROM instance WHERE heartbeat_ms < $1";
    LEASES = "SELECT part, owner, epoch, until_ms FROM part_lease ORDER BY part";
    RENEW = "UPDATE part_lease SET until_ms = $2 WHERE owner = $1";
    TAKE = "UPDATE part_lease SET owner = v.column2, epoch = part_lease.epoch + 1, until_ms = v.column3 \
        FROM (VALUES ($1, $2, $3, $4)) AS v WHERE part_lease.part = v.column1 \
        AND part_lease.owner <> v.column2 AND part_lease.until_ms < v.column4";
    GIVE_BACK = "UPDATE part_lease SET owner = '', until_ms = 0 FROM (VALUES ($1, $2)) AS v \
        WHERE part_lease.part = v.column1 AND part_lease.owner = v.column2";
    GIVE_ALL_BACK = "UPDATE part_lease SET owner = '', until_ms = 0 WHERE owner = $1";
}

/// The only text that differs by engine: an embedded database has no clock but its process's own.
const POSTGRES_NOW: Statement = Statement {
    name: "POSTGRES_NOW",
    sql: "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
};

/// One partition's lease as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The partition.
    pub part: u8,
    /// Who holds it; empty: nobody.
    pub owner: String,
    /// Raised by each change of owner.
    pub epoch: i64,
    /// When it ends.
    pub until: UnixMs,
}

/// Proof that a partition is held: a condition of each write that follows from work on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fence {
    /// The partition.
    pub part: u8,
    /// The instance that holds it.
    pub owner: String,
    /// The epoch under which it does.
    pub epoch: i64,
}

impl Store {
    /// The moment by the clock that leases count on. Steers our own clock by it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn lease_now(&self) -> Result<UnixMs, StoreError> {
        #[cfg(test)]
        if let Some(now) = self.now_behind_the_door() {
            return Ok(now);
        }
        if self.engine() == Engine::Sqlite {
            return Ok(self.clock().now());
        }
        let (asked, began) = (self.clock().now(), Instant::now());
        let row = self.fetch_one(POSTGRES_NOW, vec![]).await?;
        let now = row.ok_or(StoreError::Decode { statement: POSTGRES_NOW.name, column: 0 })?.time(0)?;
        // The answer is from somewhere between question and arrival: only what is more than that is a difference.
        let took = began.elapsed();
        let ahead_ms = now.0 - (asked + took / 2).0;
        if u128::from(ahead_ms.unsigned_abs()) > took.as_millis() {
            self.clock().steer(ahead_ms);
        }
        Ok(now)
    }

    /// Says that an instance lives.
    #[must_use]
    pub fn beat(&self, owner: &str, now: UnixMs) -> Write {
        Write::new(BEAT, vec![owner.into(), now.into()])
    }

    /// Instances that said so after a moment.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn instances_since(&self, moment: UnixMs) -> Result<Vec<String>, StoreError> {
        let rows = self.fetch(ALIVE, vec![moment.into()]).await?;
        rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
    }

    /// Ends an instance: its partitions are free at once.
    #[must_use]
    pub fn leave_instance(&self, owner: &str) -> [Write; 2] {
        [Write::new(GIVE_ALL_BACK, vec![owner.into()]), Write::new(LEAVE, vec![owner.into()])]
    }

    /// Forgets instances that have been silent since a moment.
    #[must_use]
    pub fn forget_instances(&self, before: UnixMs) -> Write {
        Write::new(FORGET, vec![before.into()])
    }

    /// Every partition's lease.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let rows = self.fetch(LEASES, vec![]).await?;
        rows.iter()
            .map(|row| {
                Ok(Lease {
                    part: u8::try_from(row.int(0)?)
                        .map_err(|_| StoreError::Decode { statement: LEASES.name, column: 0 })?,
                    owner: row.text(1)?.to_owned(),
                    epoch: row.int(2)?,
                    until: row.time(3)?,
                })
            })
            .collect()
    }

    /// Keeps every partition that `owner` still holds.
    #[must_use]
    pub fn renew_parts(&self, owner: &str, until: UnixMs) -> Write {
        Write::new(RENEW, vec![owner.into(), until.into()])
    }

    /// Takes a partition whose lease ended before `ended_before`; touches nothing when it did not.
    #[must_use]
    pub fn take_part(&self, part: u8, owner: &str, until: UnixMs, ended_before: UnixMs) -> Write {
        Write::new(TAKE, vec![part.into(), owner.into(), until.into(), ended_before.into()])
    }

    /// Gives one partition back.
    #[must_use]
    pub fn give_part_back(&self, part: u8, owner: &str) -> Write {
        Write::new(GIVE_BACK, vec![part.into(), owner.into()])
    }
}
