//! What a commit survives on the database that was found, said once at the start: a setting of the database can take away
//! what every promise of the house stands on.

use std::fmt;

use super::value::Statement;
use super::{Engine, Store, StoreError};

// Not among those that are prepared on both engines: only PostgreSQL has them.
const FOUND: Statement = Statement {
    name: "DURABILITY",
    sql: "SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'), \
        current_setting('synchronous_standby_names')",
};

/// What a commit has survived when it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on the disk of this machine: SQLite, as we open it.
    File,
    /// It is on the database server's disk.
    Server,
    /// It has reached standbys too, as far as the named setting of `synchronous_commit` goes.
    Standby {
        /// `on`, `remote_apply` or `remote_write`.
        level: String,
        /// `synchronous_standby_names`.
        names: String,
    },
    /// Nothing: the setting of this name and value lets the server acknowledge what is not on a disk.
    Nothing {
        /// Its name.
        setting: &'static str,
        /// Its value.
        value: String,
    },
}

impl Durability {
    fn of(fsync: &str, full_page_writes: &str, synchronous_commit: &str, names: &str) -> Self {
        let nothing = |setting, value: &str| Self::Nothing { setting, value: value.to_owned() };
        match (fsync, full_page_writes, synchronous_commit) {
            ("on", "on", "off") => nothing("synchronous_commit", synchronous_commit),
            ("on", "on", "local") => Self::Server,
            ("on", "on", _) if names.trim().is_empty() => Self::Server,
            ("on", "on", level) => Self::Standby { level: level.to_owned(), names: names.to_owned() },
            ("on", _, _) => nothing("full_page_writes", full_page_writes),
            _ => nothing("fsync", fsync),
        }
    }

    /// Whether an acknowledged commit survives the loss of power on the database's machine.
    #[must_use]
    pub fn survives_a_crash(&self) -> bool {
        !matches!(self, Self::Nothing { .. })
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => f.write_str("on this machine's disk"),
            Self::Server => f.write_str("on the database server's disk; no standby is waited for"),
            Self::Standby { level, names } => write!(
                f,
                "on the database server's disk and its standbys (synchronous_commit = {level}, \
                 synchronous_standby_names = {names})"
            ),
            Self::Nothing { setting, value } => write!(
                f,
                "not safe: {setting} = {value} lets the database acknowledge what a crash of its machine loses; set it to on"
            ),
        }
    }
}

impl Store {
    /// What the database says of itself.
    ///
    /// # Errors
    /// When it fails.
    pub async fn durability(&self) -> Result<Durability, StoreError> {
        if self.engine() == Engine::Sqlite {
            return Ok(Durability::File);
        }
        let rows = self.fetch(FOUND, vec![]).await?;
        let row = rows.first().ok_or(StoreError::Decode { statement: FOUND.name, column: 0 })?;
        Ok(Durability::of(row.text(0)?, row.text(1)?, row.text(2)?, row.text(3)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::database::{Connector, Database};
    use crate::store::testing::stores;

    const CARELESS: &str = "DO $$ BEGIN EXECUTE \
        format('ALTER DATABASE %I SET synchronous_commit = off', current_database()); END $$";

    #[test]
    fn each_setting_that_gives_durability_away_is_named() {
        let judged = |settings: [&str; 4]| {
            let [fsync, pages, commit, names] = settings;
            Durability::of(fsync, pages, commit, names)
        };
        let nothing = |setting, value: &str| Durability::Nothing { setting, value: value.to_owned() };
        assert_eq!(judged(["on", "on", "on", ""]), Durability::Server);
        assert_eq!(judged(["on", "on", "local", "FIRST 1 (b)"]), Durability::Server);
        assert_eq!(judged(["off", "on", "on", "b"]), nothing("fsync", "off"));
        assert_eq!(judged(["on", "off", "on", "b"]), nothing("full_page_writes", "off"));
        assert_eq!(judged(["on", "on", "off", "b"]), nothing("synchronous_commit", "off"));
        let standby = judged(["on", "on", "remote_apply", "ANY 1 (b, c)"]);
        assert!(standby.survives_a_crash() && standby.to_string().contains("ANY 1 (b, c)"), "{standby}");
        assert!(!nothing("fsync", "off").survives_a_crash());
    }

    #[tokio::test]
    async fn both_engines_say_what_a_commit_survives() {
        for test in stores().await {
            if test.store.engine() == Engine::Sqlite {
                assert_eq!(test.store.durability().await.unwrap(), Durability::File);
                continue;
            }
            let mut connection = Connector::parse(&test.url()).unwrap().connect().await.unwrap();
            connection.run("CARELESS", CARELESS.to_owned(), &[]).await.unwrap();
            let database = Database::open(&test.url()).await.unwrap();
            let rows = database.fetch(FOUND, vec![]).await.unwrap();
            assert_eq!(rows[0].text(2).unwrap(), "off");
            // A connection of before the change still has what it began with.
            assert_ne!(test.store.durability().await.unwrap(), Durability::File);
        }
    }
}
