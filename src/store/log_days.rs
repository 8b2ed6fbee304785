//! The log by days. What must be found by a key over many days (pushes, notices, calls of the bank, what is to be sent) lives
//! apart from it, in tables of its own.
//!
//! The id of a message begins with its milliseconds, so a day of Beijing is a range of ids, and no statement that reads or
//! writes messages knows of days. On PostgreSQL each day, or some, are a partition, made ahead and dropped as a whole; before
//! the first one stands what was there before, and what no day was made for goes to the default one, so that nothing is ever
//! refused. Elsewhere, and in those two, a day goes in small deletions.

use std::ops::Range;
use std::time::Duration;

use futures::TryStreamExt as _;
use jiff::civil::Date;
use jiff::tz::{TimeZone, offset};

use super::conversation::MESSAGE_ID_CHANCE_BITS;
use super::database::Connection;
use super::value::statements;
use super::{Commit, CommitError, Engine, Store, StoreError, Write};
use crate::domain::time::{BeijingDay, UnixMs};

/// Days are made so long before they begin: that is how long the job that makes them may be away.
const AHEAD_DAYS: i64 = 7;
/// Parts of what is kept. A log of more days has larger ones, of which days go by deletions: whoever reads a follower's
/// entries plans for each part and locks it, which cost 1.3 ms with 183 parts and 0.2 ms with 40.
const PARTS_MAX: u32 = 32;
/// Days of a part where all is kept for ever.
const ENDLESS_DAYS: u32 = 128;
/// Rows of one deletion: it holds up what customers wait for by some milliseconds, no more.
const DELETE_ROWS_MAX: i64 = 1_000;
/// Deletions of one run; what is left goes with the next.
const DELETIONS_MAX: u32 = 1_000;
/// Between deletions everybody else has his turn.
const DELETION_PAUSE: Duration = Duration::from_millis(20);
/// Ids of messages from before ids held the time are below; of them only the column tells it.
pub(super) const TIMED_ID_MIN: i64 = 1 << 40;

/// Who waits for the lock of a partition makes all others wait behind him: so not for long.
const BRIEFLY: &str = "SET LOCAL lock_timeout = '500ms'";
const PARTITIONS: &str = "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
    WHERE i.inhparent = 'message'::regclass ORDER BY 1";

statements! {
    FIRST_ID = "SELECT message_id FROM message WHERE message_id >= $1 AND message_id < $2 ORDER BY message_id LIMIT 1";
    COUNT_OLD = "SELECT count(*) FROM (SELECT message_id FROM message WHERE message_id >= $1 AND message_id < $2 \
        AND at_ms < $3 LIMIT $4) AS old";
    /// By a range of ids, since a list of them would be looked up in the whole day.
    DELETE_OLD = "DELETE FROM message WHERE message_id >= $1 AND at_ms < $3 AND message_id <= (SELECT max(message_id) \
        FROM (SELECT message_id FROM message WHERE message_id >= $1 AND message_id < $2 AND at_ms < $3 \
        ORDER BY message_id LIMIT $4) AS oldest)";
    ARCHIVED = "SELECT sha256 FROM archived_day WHERE log = 'message' AND day = $1";
    NOTE_ARCHIVED = "INSERT INTO archived_day (log, day, entries, sha256, archived_ms) VALUES ('message', $1, $2, $3, $4) \
        ON CONFLICT (log, day) DO NOTHING";
}

/// How long the log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Whole days; `None`: for ever.
    pub days: Option<u32>,
    /// Whether a day stays until it was archived, however old it is.
    pub only_archived: bool,
}

impl Kept {
    /// How many days share a part.
    fn span_days(self) -> i64 {
        self.days.map_or(ENDLESS_DAYS, |days| days.div_ceil(PARTS_MAX)).max(1).into()
    }
}

/// What became of the days of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tidied {
    /// Days that were made ahead.
    pub made: u32,
    /// Days that are gone, oldest first.
    pub gone: Vec<BeijingDay>,
    /// Days that are over and wait for being archived.
    pub waiting: u32,
}

/// One part of the log on PostgreSQL; the default one is none of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Everything before a day.
    Before(BeijingDay),
    /// From a day on, before another.
    Days(BeijingDay, BeijingDay),
}

impl Part {
    fn day(day: BeijingDay) -> Self {
        Self::Days(day, day.plus(1))
    }

    fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix("message_")?;
        if let Some(day) = name.strip_prefix("before_") {
            return Some(Self::Before(day_from(day)?));
        }
        match name.split_once('_') {
            Some((first, end)) => Some(Self::Days(day_from(first)?, day_from(end)?)),
            None => Some(Self::day(day_from(name)?)),
        }
    }

    fn name(self) -> String {
        let digits = |day: BeijingDay| day.to_string().replace('-', "");
        match self {
            Self::Before(end) => format!("message_before_{}", digits(end)),
            Self::Days(day, _) if self == Self::day(day) => format!("message_{}", digits(day)),
            Self::Days(first, end) => format!("message_{}_{}", digits(first), digits(end)),
        }
    }

    fn ids(self) -> Range<i64> {
        match self {
            Self::Before(end) => i64::MIN..first_id(end),
            Self::Days(first, end) => first_id(first)..first_id(end),
        }
    }
}

/// Reads `20261122`.
fn day_from(digits: &str) -> Option<BeijingDay> {
    let midnight = Date::strptime("%Y%m%d", digits).ok()?.to_zoned(TimeZone::fixed(offset(8))).ok()?;
    Some(BeijingDay::of(UnixMs(midnight.timestamp().as_millisecond())))
}

/// The least id that a message of this day can have.
pub(super) fn first_id(day: BeijingDay) -> i64 {
    day.begins().0.saturating_mul(1 << MESSAGE_ID_CHANCE_BITS)
}

/// The ids of a day.
pub(super) fn ids_of(day: BeijingDay) -> Range<i64> {
    first_id(day)..first_id(day.plus(1))
}

impl Store {
    /// Makes the next days, and lets those go that are old enough.
    ///
    /// # Errors
    /// When the database fails; what was done stands, and the rest waits for the next run.
    pub async fn tidy_log(&self, kept: Kept, now: UnixMs) -> Result<Tidied, CommitError> {
        let mut tidied = Tidied::default();
        let mut partitions = match self.engine() {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Partitions::open(self).await?),
        };
        if let Some(partitions) = &mut partitions {
            tidied.made = partitions.make_from(BeijingDay::of(now), kept.span_days()).await;
        }
        let Some(days) = kept.days else { return Ok(tidied) };
        let keep_from = BeijingDay::of(now).plus(-i64::from(days));
        let (mut after, mut deletions) = (i64::MIN, 0);
        while let Some(day) = self.next_log_day(after, keep_from).await? {
            let ids = ids_of(day);
            after = ids.end;
            if kept.only_archived && self.archived_log_day(day).await?.is_none() {
                tidied.waiting += 1;
            } else if let Some(partitions) = partitions.as_mut().filter(|all| all.has(Part::day(day))) {
                if partitions.drop(Part::day(day)).await {
                    tidied.gone.push(day);
                }
            } else if self.delete_before(ids, keep_from, &mut deletions).await? {
                tidied.gone.push(day);
            }
        }
        if let Some(partitions) = &mut partitions {
            for part in partitions.all_before(keep_from) {
                if self.first_message(part.ids()).await?.is_none() {
                    partitions.drop(part).await;
                }
            }
        }
        Ok(tidied)
    }

    /// The first day from an id on that has messages and is before another.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn next_log_day(
        &self,
        from_id: i64,
        before: BeijingDay,
    ) -> Result<Option<BeijingDay>, StoreError> {
        let first = self.first_message(from_id..first_id(before)).await?;
        Ok(first.map(|id| BeijingDay::of(UnixMs(id >> MESSAGE_ID_CHANCE_BITS))))
    }

    async fn first_message(&self, ids: Range<i64>) -> Result<Option<i64>, StoreError> {
        let row = self.fetch_one(FIRST_ID, vec![ids.start.into(), ids.end.into()]).await?;
        row.map(|row| row.int(0)).transpose()
    }

    /// The SHA-256 of the file that a day was written to, in hexadecimal; `None`: it was not.
    ///
    /// # Errors
    /// When the database fails.
    pub(super) async fn archived_log_day(&self, day: BeijingDay) -> Result<Option<String>, StoreError> {
        let row = self.fetch_one(ARCHIVED, vec![day.0.into()]).await?;
        row.map(|row| row.text(0).map(str::to_owned)).transpose()
    }

    /// Notes that a day was written to a file: from now on it may go.
    pub(super) fn note_archived(&self, day: BeijingDay, entries: u64, sha256: &str) -> Write {
        let entries = i64::try_from(entries).unwrap_or(i64::MAX);
        let args = vec![day.0.into(), entries.into(), sha256.into(), self.clock().now().into()];
        Write::new(NOTE_ARCHIVED, args)
    }

    /// Deletes what was said before a day, of these ids, little by little; tells whether something went and nothing is left.
    async fn delete_before(
        &self,
        ids: Range<i64>,
        keep_from: BeijingDay,
        deletions: &mut u32,
    ) -> Result<bool, CommitError> {
        let args = vec![ids.start.into(), ids.end.into(), keep_from.begins().into(), DELETE_ROWS_MAX.into()];
        let before = *deletions;
        loop {
            let row = self.fetch_one(COUNT_OLD, args.clone()).await?;
            if row.map_or(Ok(0), |row| row.int(0))? == 0 {
                return Ok(*deletions > before);
            }
            if *deletions >= DELETIONS_MAX {
                return Ok(false);
            }
            *deletions += 1;
            self.commit(Commit::new(0).with(Write::new(DELETE_OLD, args.clone()))).await?;
            tokio::time::sleep(DELETION_PAUSE).await;
        }
    }
}

/// The parts of the log on PostgreSQL, and a connection that changes them.
struct Partitions {
    connection: Connection,
    parts: Vec<Part>,
}

impl Partitions {
    async fn open(store: &Store) -> Result<Self, StoreError> {
        let mut connection = store.inner.database.connector().connect().await?;
        let names: Vec<_> = connection.stream("PARTITIONS", PARTITIONS.to_owned()).try_collect().await?;
        let mut parts = Vec::new();
        for name in names {
            parts.extend(Part::parse(name.text(0)?));
        }
        Ok(Self { connection, parts })
    }

    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    /// Those that end before a day begins.
    fn all_before(&self, day: BeijingDay) -> Vec<Part> {
        self.parts.iter().copied().filter(|part| part.ids().end <= first_id(day)).collect()
    }

    /// Makes the parts for the days from today on that have none; gives how many. A day for which the default part has rows
    /// already, by a clock that went wrong, stays there.
    async fn make_from(&mut self, today: BeijingDay, span_days: i64) -> u32 {
        let mut made = 0;
        for day in (0..=AHEAD_DAYS).map(|ahead| today.plus(ahead)) {
            if self.parts.iter().any(|part| part.ids().contains(&first_id(day))) {
                continue;
            }
            let part = Part::Days(day, day.plus(span_days));
            let (name, ids) = (part.name(), part.ids());
            let make = format!("CREATE TABLE {name} (LIKE message INCLUDING DEFAULTS)");
            let attach = format!(
                "ALTER TABLE message ATTACH PARTITION {name} FOR VALUES FROM ({}) TO ({})",
                ids.start, ids.end
            );
            match self.change(vec![make, attach]).await {
                Ok(()) => {
                    self.parts.push(part);
                    made += 1;
                }
                Err(error) => tracing::warn!(
                    %day,
                    %error,
                    retry = "later",
                    "no partition could be made for a day of the log; without one its messages go to the default partition"
                ),
            }
        }
        made
    }

    /// Drops a part with all that is in it; tells whether it is gone.
    async fn drop(&mut self, part: Part) -> bool {
        let name = part.name();
        let dropped = self.change(vec![format!("DROP TABLE {name}")]).await;
        match &dropped {
            Ok(()) => self.parts.retain(|one| *one != part),
            Err(error) => {
                tracing::warn!(name, %error, retry = "later", "a partition of the log could not be dropped");
            }
        }
        dropped.is_ok()
    }

    /// Runs statements in one transaction that waits for nobody.
    async fn change(&mut self, statements: Vec<String>) -> Result<(), StoreError> {
        self.connection.begin().await.map_err(|error| StoreError::Open(error.into()))?;
        let mut done = self.connection.run("BRIEFLY", BRIEFLY.to_owned(), &[]).await;
        for statement in statements {
            if done.is_ok() {
                done = self.connection.run("LOG_DAYS", statement, &[]).await;
            }
        }
        let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.connection.run("LOG_DAYS", end.to_owned(), &[]).await?;
        done.map(drop)
    }
}

#[cfg(test)]
mod tests;
