//! Second factors of staff, and the codes for the day when the phone is lost.

use super::value::statements;
use super::{Conflict, Store, StoreError, Write};
use crate::keys::Place;

const SECRET: Place = Place("staff_factor.secret");

statements! {
    INSERT_FACTOR = "INSERT INTO staff_factor (name, secret_sealed, created_ms, last_step) VALUES ($1, $2, $3, $4) \
        ON CONFLICT (name) DO NOTHING";
    FACTOR = "SELECT secret_sealed, last_step FROM staff_factor WHERE name = $1";
    USE_STEP = "UPDATE staff_factor SET last_step = $2 WHERE name = $1 AND last_step < $2";
    END_FACTOR = "DELETE FROM staff_factor WHERE name = $1";
    ADD_RECOVERY = "INSERT INTO staff_recovery (name, code_ix) VALUES ($1, $2) ON CONFLICT (name, code_ix) DO NOTHING";
    USE_RECOVERY = "DELETE FROM staff_recovery WHERE name = $1 AND code_ix = $2";
    END_RECOVERY = "DELETE FROM staff_recovery WHERE name = $1";
    HAS_RECOVERY = "SELECT count(*) FROM staff_recovery WHERE name = $1 AND code_ix = $2";
}

/// A second factor as stored.
pub struct FactorRow {
    /// What phone and server share.
    pub secret: zeroize::Zeroizing<Vec<u8>>,
    /// The last step of time whose code was used; it and those before are good for nothing more.
    pub last_step: i64,
}

impl Store {
    /// Keeps a person's second factor, `step` being used; [`Conflict::Stale`] when there is one already.
    ///
    /// # Errors
    /// When sealing fails.
    pub fn insert_staff_factor(&self, name: &str, secret: &[u8], step: i64) -> Result<Write, StoreError> {
        let sealed = self.vault().seal(SECRET, name.as_bytes(), secret)?;
        let args = vec![name.into(), sealed.into(), self.clock().now().into(), step.into()];
        Ok(Write::one(INSERT_FACTOR, args, Conflict::Stale))
    }

    /// The person's second factor.
    ///
    /// # Errors
    /// When the database fails or the secret does not open.
    pub async fn staff_factor(&self, name: &str) -> Result<Option<FactorRow>, StoreError> {
        let Some(row) = self.fetch_one(FACTOR, vec![name.into()]).await? else { return Ok(None) };
        let secret = self.vault().open(SECRET, name.as_bytes(), row.blob(0)?)?;
        Ok(Some(FactorRow { secret, last_step: row.int(1)? }))
    }

    /// Uses a step up; [`Conflict::Stale`] when it or a later one was used already.
    #[must_use]
    pub fn use_staff_step(&self, name: &str, step: i64) -> Write {
        Write::one(USE_STEP, vec![name.into(), step.into()], Conflict::Stale)
    }

    /// Keeps one recovery code.
    #[must_use]
    pub fn add_staff_recovery(&self, name: &str, code: &str) -> Write {
        Write::new(ADD_RECOVERY, vec![name.into(), self.recovery_index(name, code).into()])
    }

    /// Uses a recovery code up; [`Conflict::Stale`] when it is none, or was used.
    #[must_use]
    pub fn use_staff_recovery(&self, name: &str, code: &str) -> Write {
        Write::one(USE_RECOVERY, vec![name.into(), self.recovery_index(name, code).into()], Conflict::Stale)
    }

    /// Whether a recovery code is one of the person's, and was not used yet.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn has_staff_recovery(&self, name: &str, code: &str) -> Result<bool, StoreError> {
        let args = vec![name.into(), self.recovery_index(name, code).into()];
        let row = self.fetch_one(HAS_RECOVERY, args).await?;
        Ok(row.map(|row| row.int(0)).transpose()?.unwrap_or(0) > 0)
    }

    /// Takes second factor and recovery codes away.
    #[must_use]
    pub fn end_staff_factor(&self, name: &str) -> [Write; 2] {
        [Write::new(END_FACTOR, vec![name.into()]), Write::new(END_RECOVERY, vec![name.into()])]
    }

    fn recovery_index(&self, name: &str, code: &str) -> [u8; 16] {
        self.vault().index("staff recovery", &[name.as_bytes(), code.as_bytes()])
    }
}
