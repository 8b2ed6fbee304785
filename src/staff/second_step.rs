//! The second step of signing in: a code of the phone that was set up, or one of the codes for the day it is lost.
//!
//! Who stands here has the right password, so failures are counted by the name alone: an outsider never comes
//! this far, and whoever guesses codes with a stolen password gains nothing by changing his address.

use std::time::Duration;

use serde_json::json;
use zeroize::Zeroizing;

use super::factor::{Factor, SECRET_BYTES, recovery_codes, recovery_form};
use super::{Activity, Session, SignInError, Staff, Stage, token_hash};
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::store::{Commit, SessionRow, StaffRow, StoreError, Write};

/// The second step is taken within this time of the first.
const HALF: Duration = Duration::from_secs(10 * 60);
/// Who issues the codes, as phones show it.
const ISSUER: &str = "Weikefu";

/// How far a browser has come.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Signed in.
    In(Session),
    /// The password was right; the code of the second factor is wanted.
    CodeWanted(Half),
    /// The password was right; a second factor must be set up first.
    SetUpWanted(Half),
}

/// Somebody between the first step and the second.
#[derive(Clone, Debug)]
pub struct Half {
    /// The staff name.
    pub name: String,
    /// What the form of the second step must bring along.
    pub csrf: Secret,
}

/// Why the second step was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SecondStepError {
    /// The code is wrong.
    #[error("the code is wrong")]
    Wrong,
    /// The code was right, and was used already.
    #[error("the code was used already")]
    Used,
    /// Too many wrong codes.
    #[error("too many failures; not before {0:?}")]
    Locked(UnixMs),
    /// The first step must be taken again.
    #[error("the first step is too long ago")]
    Over,
    /// There is a second factor already.
    #[error("there is a second factor already")]
    SetUpAlready,
    /// The database failed.
    #[error("the second step failed: {0}")]
    Failed(String),
}

impl From<StoreError> for SecondStepError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<SignInError> for SecondStepError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Locked(until) => Self::Locked(until),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// What a phone is to take over.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// `otpauth://totp/…`, for a QR code.
    pub uri: Secret,
    /// The same for people who type: base32, in groups of four.
    pub typed: Secret,
}

/// A second factor that stands from now on.
#[derive(Debug)]
pub struct NewFactor {
    /// The session that follows.
    pub token: Secret,
    /// Shown once; each opens the second step once.
    pub recovery_codes: Vec<Secret>,
}

impl Staff {
    /// How far the browser with this token has come; `None`: nowhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn standing(&self, token: &Secret) -> Result<Option<Standing>, StoreError> {
        if let Some(session) = self.session(token, Activity::Page).await? {
            return Ok(Some(Standing::In(session)));
        }
        let Some((row, stage)) = self.half(token).await? else { return Ok(None) };
        let half = Half { name: row.name, csrf: self.csrf(token) };
        Ok(match stage {
            Stage::Full => None,
            Stage::Code => Some(Standing::CodeWanted(half)),
            Stage::SetUp => Some(Standing::SetUpWanted(half)),
        })
    }

    /// Takes the second step with a code of the phone or a recovery code, and gives the token of the session that
    /// follows.
    ///
    /// # Errors
    /// When the code does not fit, was used, or too many did not fit.
    pub async fn second_step(&self, token: &Secret, code: &str) -> Result<Secret, SecondStepError> {
        let half = self.half(token).await?.filter(|(_, stage)| *stage == Stage::Code);
        let (row, _) = half.ok_or(SecondStepError::Over)?;
        let attempt = self.store.sign_in_index(&row.name, "second step");
        self.count_attempt(attempt).await?;
        let (used, how) = match self.using(&row.name, code).await? {
            Ok(using) => using,
            Err(error) => {
                let audit = self.audit(&row.name, "second_step_failed", json!({}))?;
                self.commit(Commit::new(0).with(audit)).await?;
                return Err(error);
            }
        };
        let commit = Commit::new(0)
            .with(used)
            .with(self.store.forget_failed_sign_ins(attempt))
            .with(self.audit(&row.name, "sign_in", json!({ "second_step": how }))?);
        let begun = self.begin(&as_read(&row), Stage::Full, Some(token), commit).await?;
        begun.ok_or(SecondStepError::Used)
    }

    /// What the phone is to take over. The same for as long as the session lasts, and for no other session: who began
    /// a set-up with a stolen password knows nothing of the one that the person makes.
    ///
    /// # Errors
    /// When there is a second factor already, or the session is over.
    pub async fn set_up(&self, token: &Secret) -> Result<SetUp, SecondStepError> {
        let row = self.setting_up(token).await?;
        let factor = self.new_factor(token);
        let secret = factor.base32();
        let mut uri = url::form_urlencoded::Serializer::new(String::new());
        uri.append_pair("secret", secret.reveal()).append_pair("issuer", ISSUER);
        let label: String = url::form_urlencoded::byte_serialize(row.name.as_bytes()).collect();
        let mut typed = String::new();
        for (place, letter) in secret.reveal().chars().enumerate() {
            if place > 0 && place % 4 == 0 {
                typed.push(' ');
            }
            typed.push(letter);
        }
        Ok(SetUp {
            uri: Secret::new(format!("otpauth://totp/{ISSUER}:{label}?{}", uri.finish())),
            typed: Secret::new(typed),
        })
    }

    /// Keeps the second factor once the phone has shown that it has it. Its person's other sessions end.
    ///
    /// # Errors
    /// When the code does not fit, or there is a second factor already.
    pub async fn confirm_set_up(&self, token: &Secret, code: &str) -> Result<NewFactor, SecondStepError> {
        let row = self.setting_up(token).await?;
        let attempt = self.store.sign_in_index(&row.name, "second step");
        self.count_attempt(attempt).await?;
        let factor = self.new_factor(token);
        let now = self.store.clock().now();
        let step = factor.step_of(code.trim(), now).ok_or(SecondStepError::Wrong)?;
        let codes = recovery_codes(self.store.random().as_ref());
        let mut commit = Commit::new(0)
            .with(self.store.insert_staff_factor(&row.name, factor.reveal(), step)?)
            .with(self.store.end_staff_sessions_of(&row.name))
            .with(self.store.forget_failed_sign_ins(attempt))
            .with(self.audit(&row.name, "second_factor_set_up", json!({}))?);
        let kept = codes.iter().filter_map(|code| recovery_form(code.reveal()));
        commit.extend(kept.map(|code| self.store.add_staff_recovery(&row.name, code.reveal())));
        let begun = self.begin(&as_read(&row), Stage::Full, Some(token), commit).await?;
        let token = begun.ok_or(SecondStepError::SetUpAlready)?;
        Ok(NewFactor { token, recovery_codes: codes })
    }

    /// The session of somebody between the steps, not too old.
    async fn half(&self, token: &Secret) -> Result<Option<(SessionRow, Stage)>, StoreError> {
        let Some(row) = self.store.staff_session(token_hash(token)).await? else { return Ok(None) };
        let stage = Stage::parse(&row.stage).filter(|stage| *stage != Stage::Full);
        let age = self.store.clock().now().since(row.created);
        Ok(stage.filter(|_| age < HALF).map(|stage| (row, stage)))
    }

    /// The session of somebody who may set up a second factor: who must, or who is signed in and has none.
    async fn setting_up(&self, token: &Secret) -> Result<SessionRow, SecondStepError> {
        let (row, stage) = match self.half(token).await? {
            Some(half) => half,
            None => {
                self.session(token, Activity::Person).await?.ok_or(SecondStepError::Over)?;
                let row = self.store.staff_session(token_hash(token)).await?;
                (row.ok_or(SecondStepError::Over)?, Stage::Full)
            }
        };
        if stage == Stage::Code || self.store.staff_factor(&row.name).await?.is_some() {
            return Err(SecondStepError::SetUpAlready);
        }
        Ok(row)
    }

    fn new_factor(&self, token: &Secret) -> Factor {
        let hash = self.store.vault().keyed_hash("staff factor", &[token.reveal().as_bytes()]);
        let hash = Zeroizing::new(hash);
        Factor::new(hash.get(..SECRET_BYTES).unwrap_or_default())
    }

    /// What uses this code up, and what kind it is; or why it opens nothing.
    async fn using(
        &self,
        name: &str,
        code: &str,
    ) -> Result<Result<(Write, &'static str), SecondStepError>, StoreError> {
        let Some(row) = self.store.staff_factor(name).await? else { return Ok(Err(SecondStepError::Over)) };
        let now = self.store.clock().now();
        // People type the gap that their phone shows in the middle.
        let digits: Zeroizing<String> =
            Zeroizing::new(code.chars().filter(|c| !c.is_whitespace()).take(32).collect());
        if let Some(step) = Factor::new(&row.secret).step_of(&digits, now) {
            let fresh = step > row.last_step;
            let using = fresh.then(|| (self.store.use_staff_step(name, step), "code"));
            return Ok(using.ok_or(SecondStepError::Used));
        }
        let Some(code) = recovery_form(code) else { return Ok(Err(SecondStepError::Wrong)) };
        let known = self.store.has_staff_recovery(name, code.reveal()).await?;
        let using = known.then(|| (self.store.use_staff_recovery(name, code.reveal()), "recovery code"));
        Ok(using.ok_or(SecondStepError::Wrong))
    }
}

/// The account as it was when the session was read.
fn as_read(row: &SessionRow) -> StaffRow {
    StaffRow {
        name: row.name.clone(),
        role: row.role.clone(),
        accounts: row.accounts.clone(),
        password_hash: String::new(),
        changed: row.changed,
        has_factor: false,
    }
}

#[cfg(test)]
mod tests;
