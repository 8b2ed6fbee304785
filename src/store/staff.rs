//! Staff accounts, their sessions, and failed sign-ins.

use super::value::statements;
use super::{Conflict, Store, StoreError, Write};
use crate::domain::time::UnixMs;

statements! {
    INSERT_STAFF = "INSERT INTO staff (name, role, accounts, password_hash, created_ms, changed_ms) \
        VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO NOTHING";
    STAFF = "SELECT p.name, p.role, p.password_hash, p.accounts, p.changed_ms, (SELECT count(*) FROM staff_factor f \
        WHERE f.name = p.name) FROM staff p WHERE p.name = $1";
    EVERY_STAFF = "SELECT p.name, p.role, p.accounts, p.password_hash, (SELECT count(*) FROM staff_factor f \
        WHERE f.name = p.name) FROM staff p WHERE p.name > $1 ORDER BY p.name LIMIT 500";
    CHANGE_STAFF = "UPDATE staff SET role = $2, accounts = $3, password_hash = $4, changed_ms = $5 \
        WHERE name = $1 AND changed_ms = $6";
    REMOVE_STAFF = "DELETE FROM staff WHERE name = $1";
    /// Begins only for the account as it was read: a password that was changed meanwhile opens nothing.
    INSERT_SESSION = "INSERT INTO staff_session (token_hash, name, created_ms, active_ms, stage) \
        SELECT $1, name, $3, $3, $4 FROM staff WHERE name = $2 AND changed_ms = $5";
    SESSION = "SELECT s.name, p.role, s.created_ms, s.active_ms, p.accounts, s.stage, p.changed_ms \
        FROM staff_session s JOIN staff p ON p.name = s.name WHERE s.token_hash = $1";
    TOUCH_SESSION = "UPDATE staff_session SET active_ms = $2 WHERE token_hash = $1 AND active_ms < $2";
    END_SESSION = "DELETE FROM staff_session WHERE token_hash = $1";
    END_SESSIONS_OF = "DELETE FROM staff_session WHERE name = $1";
    END_OLD_SESSIONS = "DELETE FROM staff_session WHERE active_ms < $1 OR created_ms < $2";
    STAFF_PRESENT = "SELECT count(*) FROM staff_session WHERE name = $1 AND stage = 'full' AND active_ms >= $2 \
        AND created_ms >= $3";
    ATTEMPTS = "SELECT failures, retry_ms FROM staff_attempt WHERE attempt_ix = $1";
    FIRST_ATTEMPT = "INSERT INTO staff_attempt (attempt_ix, failures, retry_ms, last_ms) \
        VALUES ($1, $2, $3, $4) ON CONFLICT (attempt_ix) DO NOTHING";
    NEXT_ATTEMPT = "UPDATE staff_attempt SET failures = $2, retry_ms = $3, last_ms = $4 \
        WHERE attempt_ix = $1 AND failures = $5 AND retry_ms = $6";
    FORGET_ATTEMPTS = "DELETE FROM staff_attempt WHERE attempt_ix = $1";
    FORGET_OLD_ATTEMPTS = "DELETE FROM staff_attempt WHERE last_ms < $1";
}

/// A staff account as stored.
#[derive(Clone)]
pub struct StaffRow {
    /// What the person signs in with.
    pub name: String,
    /// The role's name.
    pub role: String,
    /// Argon2id in PHC form; empty: no password opens the account.
    pub password_hash: String,
    /// The accounts that the person serves; see `staff::Reach`.
    pub accounts: String,
    /// When the account was last changed.
    pub changed: UnixMs,
    /// Whether there is a second factor.
    pub has_factor: bool,
}

/// A staff account in a list.
pub struct ListedStaff {
    /// What the person signs in with.
    pub name: String,
    /// The role's name.
    pub role: String,
    /// The accounts that the person serves; see `staff::Reach`.
    pub accounts: String,
    /// Whether a password opens the account.
    pub has_password: bool,
    /// Whether there is a second factor.
    pub has_factor: bool,
}

/// A signed-in browser as stored.
pub struct SessionRow {
    /// Whose.
    pub name: String,
    /// The role's name, as it is now.
    pub role: String,
    /// The accounts that the person serves, as they are now; see `staff::Reach`.
    pub accounts: String,
    /// When the person signed in.
    pub created: UnixMs,
    /// When the person last did something.
    pub active: UnixMs,
    /// What it is good for; see `staff::Standing`.
    pub stage: String,
    /// When the account was last changed.
    pub changed: UnixMs,
}

/// Failures of one name from one address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// How many in a row.
    pub failures: i64,
    /// Before this moment nothing more is tried.
    pub retry: UnixMs,
}

impl Store {
    /// Adds a staff account; [`Conflict::Duplicate`] when the name is taken.
    #[must_use]
    pub fn insert_staff(&self, name: &str, role: &str, accounts: &str, password_hash: &str) -> Write {
        let now = self.clock().now();
        let args =
            vec![name.into(), role.into(), accounts.into(), password_hash.into(), now.into(), now.into()];
        Write::one(INSERT_STAFF, args, Conflict::Duplicate)
    }

    /// The staff account with this name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn staff(&self, name: &str) -> Result<Option<StaffRow>, StoreError> {
        let row = self.fetch_one(STAFF, vec![name.into()]).await?;
        row.map(|row| {
            Ok(StaffRow {
                name: row.text(0)?.to_owned(),
                role: row.text(1)?.to_owned(),
                password_hash: row.text(2)?.to_owned(),
                accounts: row.text(3)?.to_owned(),
                changed: row.time(4)?,
                has_factor: row.int(5)? > 0,
            })
        })
        .transpose()
    }

    /// Up to 500 staff accounts whose names come after this one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn every_staff(&self, after: &str) -> Result<Vec<ListedStaff>, StoreError> {
        let rows = self.fetch(EVERY_STAFF, vec![after.into()]).await?;
        rows.iter()
            .map(|row| {
                Ok(ListedStaff {
                    name: row.text(0)?.to_owned(),
                    role: row.text(1)?.to_owned(),
                    accounts: row.text(2)?.to_owned(),
                    has_password: !row.text(3)?.is_empty(),
                    has_factor: row.int(4)? > 0,
                })
            })
            .collect()
    }

    /// Saves role, accounts and password of an account that was read; [`Conflict::Stale`] when it changed meanwhile.
    #[must_use]
    pub fn change_staff(&self, row: &StaffRow) -> Write {
        // Later than before also within one millisecond, so that what was begun before is told apart.
        let changed = self.clock().now().max(UnixMs(row.changed.0.saturating_add(1)));
        let args = vec![
            row.name.as_str().into(),
            row.role.as_str().into(),
            row.accounts.as_str().into(),
            row.password_hash.as_str().into(),
            changed.into(),
            row.changed.into(),
        ];
        Write::one(CHANGE_STAFF, args, Conflict::Stale)
    }

    /// Removes an account; [`Conflict::Stale`] when there is none.
    #[must_use]
    pub fn remove_staff(&self, name: &str) -> Write {
        Write::one(REMOVE_STAFF, vec![name.into()], Conflict::Stale)
    }

    /// Begins a session of an account as it was at `changed`; [`Conflict::Stale`] when it changed since.
    #[must_use]
    pub fn begin_staff_session(
        &self,
        token_hash: [u8; 32],
        name: &str,
        stage: &str,
        changed: UnixMs,
    ) -> Write {
        let now = self.clock().now();
        let args = vec![token_hash.into(), name.into(), now.into(), stage.into(), changed.into()];
        Write::one(INSERT_SESSION, args, Conflict::Stale)
    }

    /// The session of a token, whatever its age.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn staff_session(&self, token_hash: [u8; 32]) -> Result<Option<SessionRow>, StoreError> {
        let row = self.fetch_one(SESSION, vec![token_hash.into()]).await?;
        row.map(|row| {
            Ok(SessionRow {
                name: row.text(0)?.to_owned(),
                role: row.text(1)?.to_owned(),
                created: row.time(2)?,
                active: row.time(3)?,
                accounts: row.text(4)?.to_owned(),
                stage: row.text(5)?.to_owned(),
                changed: row.time(6)?,
            })
        })
        .transpose()
    }

    /// Notes that the person did something.
    #[must_use]
    pub fn touch_staff_session(&self, token_hash: [u8; 32], now: UnixMs) -> Write {
        Write::new(TOUCH_SESSION, vec![token_hash.into(), now.into()])
    }

    /// Ends one session.
    #[must_use]
    pub fn end_staff_session(&self, token_hash: [u8; 32]) -> Write {
        Write::new(END_SESSION, vec![token_hash.into()])
    }

    /// Ends every session of a person.
    #[must_use]
    pub fn end_staff_sessions_of(&self, name: &str) -> Write {
        Write::new(END_SESSIONS_OF, vec![name.into()])
    }

    /// Removes sessions that are over: not active since the first moment, or begun before the second.
    #[must_use]
    pub fn end_old_staff_sessions(&self, active_before: UnixMs, created_before: UnixMs) -> Write {
        Write::new(END_OLD_SESSIONS, vec![active_before.into(), created_before.into()])
    }

    /// Whether the person has a live session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn staff_present(
        &self,
        name: &str,
        active_since: UnixMs,
        created_since: UnixMs,
    ) -> Result<bool, StoreError> {
        let args = vec![name.into(), active_since.into(), created_since.into()];
        let row = self.fetch_one(STAFF_PRESENT, args).await?;
        Ok(row.map(|row| row.int(0)).transpose()?.unwrap_or(0) > 0)
    }

    /// The keyed hash under which failures of this name from this address are counted.
    #[must_use]
    pub fn sign_in_index(&self, name: &str, address: &str) -> [u8; 16] {
        self.vault().index("staff attempt", &[name.as_bytes(), address.as_bytes()])
    }

    /// The failures counted so far.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn failed_sign_ins(&self, attempt_ix: [u8; 16]) -> Result<Option<Attempts>, StoreError> {
        let row = self.fetch_one(ATTEMPTS, vec![attempt_ix.into()]).await?;
        row.map(|row| Ok(Attempts { failures: row.int(0)?, retry: row.time(1)? })).transpose()
    }

    /// Counts an attempt before it is tried: [`Conflict::Stale`] when another one was counted meanwhile.
    #[must_use]
    pub fn count_sign_in(&self, attempt_ix: [u8; 16], before: Option<Attempts>, after: Attempts) -> Write {
        let now = self.clock().now();
        let mut args = vec![attempt_ix.into(), after.failures.into(), after.retry.into(), now.into()];
        let Some(before) = before else { return Write::one(FIRST_ATTEMPT, args, Conflict::Stale) };
        args.extend([before.failures.into(), before.retry.into()]);
        Write::one(NEXT_ATTEMPT, args, Conflict::Stale)
    }

    /// Forgets failures after a success.
    #[must_use]
    pub fn forget_failed_sign_ins(&self, attempt_ix: [u8; 16]) -> Write {
        Write::new(FORGET_ATTEMPTS, vec![attempt_ix.into()])
    }

    /// Forgets failures that nobody added to since.
    #[must_use]
    pub fn forget_old_failed_sign_ins(&self, last_before: UnixMs) -> Write {
        Write::new(FORGET_OLD_ATTEMPTS, vec![last_before.into()])
    }
}
