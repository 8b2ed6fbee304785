//! People who work with Weikefu: accounts, sign-in, sessions.
//!
//! A session is a 256-bit token in a cookie of which the database knows only the SHA-256, so that any
//! instance ends any session at once and a stolen backup opens nothing.

mod lockout;
mod password;
mod reach;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest as _, Sha256};

pub use password::HashCost;
use password::{Hasher, HashingError};
pub use reach::Reach;

use crate::clock::new_token;
use crate::domain::ids::AccountId;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::store::{Commit, CommitError, Conflict, Store, StoreError, Write};

/// What a person may do at the desk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// 坐席: answers customers.
    Agent,
    /// 班长: sees every case too.
    Supervisor,
    /// 管理员.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 3] = [Self::Agent, Self::Supervisor, Self::Admin];

    /// The name on the command line and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Supervisor => "supervisor",
            Self::Admin => "admin",
        }
    }

    /// Reads the name back.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether the role sees cases of others.
    #[must_use]
    pub fn sees_every_case(self) -> bool {
        matches!(self, Self::Supervisor | Self::Admin)
    }
}

/// Why an account could not be added.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name has another form.
    #[error("a staff name has 1 to 32 letters, digits, '.', '_' or '-'")]
    Name,
    /// The password is too short.
    #[error("a password needs at least {} characters", Staff::PASSWORD_CHARS_MIN)]
    TooShort,
    /// The password is too long.
    #[error("a password has at most {} bytes", Staff::PASSWORD_BYTES_MAX)]
    TooLong,
    /// The password says the name or one character again and again.
    #[error("the password is too easy to guess")]
    TooEasy,
    /// The name is taken.
    #[error("there is a staff account named {0} already")]
    Taken(String),
    /// The hash failed.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The name or the password is wrong; which of them is not told.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Too many failures of this name from this address.
    #[error("too many failures; not before {0:?}")]
    Locked(UnixMs),
    /// Too many people sign in right now.
    #[error("too many sign-ins at the same time")]
    Busy,
    /// The database or the hash failed.
    #[error("sign-in failed: {0}")]
    Failed(String),
}

impl From<StoreError> for SignInError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<HashingError> for SignInError {
    fn from(error: HashingError) -> Self {
        match error {
            HashingError::Busy => Self::Busy,
            HashingError::Failed => Self::Failed(error.to_string()),
        }
    }
}

/// A signed-in person.
#[derive(Clone, Debug)]
pub struct Session {
    /// The staff name.
    pub name: String,
    /// The role at this moment.
    pub role: Role,
    /// The accounts that the person serves at this moment.
    pub reach: Reach,
    /// What every changing request must bring along.
    pub csrf: Secret,
}

/// Who caused a request: only what people do keeps a session alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A person clicked or typed.
    Person,
    /// The page asked by itself.
    Page,
}

/// Accounts and sessions. Share it by `Arc`.
pub struct Staff {
    store: Store,
    hasher: Hasher,
    /// Sign-ins at work by address, so that one address cannot use up the pool.
    busy: Mutex<HashMap<IpAddr, usize>>,
}

impl Staff {
    /// Shortest password.
    pub const PASSWORD_CHARS_MIN: usize = 12;
    /// Longest password.
    pub const PASSWORD_BYTES_MAX: usize = 256;
    /// A session ends after this long without a person's doing.
    pub const IDLE: Duration = Duration::from_secs(15 * 60);
    /// A session ends after this long whatever happens.
    pub const ABSOLUTE: Duration = Duration::from_secs(8 * 3600);
    /// Activity is noted at most this often.
    const TOUCH_EVERY: Duration = Duration::from_secs(30);
    /// Sign-ins of one address at the same time.
    const BUSY_PER_ADDRESS_MAX: usize = 8;
    /// Longest staff name.
    const NAME_CHARS_MAX: usize = 32;

    /// Over a store, with its clock and its randomness.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self::with_cost(store, HashCost::full())
    }

    /// With another price of a hash: lower only in tests.
    #[must_use]
    pub fn with_cost(store: Store, cost: HashCost) -> Self {
        let hasher = Hasher::new(cost, store.random().clone());
        Self { store, hasher, busy: Mutex::default() }
    }

    /// Adds an account (`weikefu user add`).
    ///
    /// # Errors
    /// When name or password do not do, or the name is taken.
    pub async fn add_account(&self, name: &str, role: Role, password: &Secret) -> Result<(), AccountError> {
        self.add_account_for(name, role, &Reach::Every, password).await
    }

    /// Adds an account for a person who serves only some official accounts (`weikefu user add --account ID`).
    ///
    /// # Errors
    /// When name or password do not do, or the name is taken.
    pub async fn add_account_for(
        &self,
        name: &str,
        role: Role,
        reach: &Reach,
        password: &Secret,
    ) -> Result<(), AccountError> {
        if !is_name(name) {
            return Err(AccountError::Name);
        }
        check_password(name, password.reveal())?;
        let hash = self.hasher.hash(password).await?;
        let accounts = reach.to_text();
        let audit =
            self.audit(name, "account_added", json!({ "role": role.name(), "accounts": accounts }))?;
        let insert = self.store.insert_staff(name, role.name(), &accounts, &hash);
        let commit = Commit::new(0).with(insert).with(audit);
        match self.store.commit(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(_)) => Err(AccountError::Taken(name.to_owned())),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Signs a person in and gives the new session's token. A session that the browser brought along ends.
    /// Unknown names cost the same time and get the same answer as wrong passwords.
    ///
    /// # Errors
    /// When the pair does not fit, or was tried too often from this address.
    pub async fn sign_in(
        &self,
        name: &str,
        password: &Secret,
        address: IpAddr,
        previous: Option<&Secret>,
    ) -> Result<Secret, SignInError> {
        let _place = self.take_place(address)?;
        // Nothing that was typed is stored when it cannot be a name: it may be a password in the wrong field.
        let known_form = is_name(name) && password.reveal().len() <= Self::PASSWORD_BYTES_MAX;
        let name = if known_form { name } else { "" };
        let attempt = self.store.sign_in_index(name, &address.to_string());
        self.count_sign_in(attempt).await?;
        let account = self.store.staff(name).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        if !self.hasher.fits(password, hash).await? {
            let audit = self.audit(name, "sign_in_failed", json!({ "address": address.to_string() }))?;
            self.commit(Commit::new(0).with(audit)).await?;
            return Err(SignInError::Wrong);
        }
        let token = Secret::new(new_token(self.store.random().as_ref()));
        let now = self.store.clock().now();
        let mut commit = Commit::new(0)
            .with(self.store.insert_staff_session(token_hash(&token), name))
            .with(self.store.forget_failed_sign_ins(attempt))
            .with(self.store.end_old_staff_sessions(now - Self::IDLE, now - Self::ABSOLUTE))
            .with(self.audit(name, "sign_in", json!({ "address": address.to_string() }))?);
        if let Some(previous) = previous {
            commit.push(self.store.end_staff_session(token_hash(previous)));
        }
        self.commit(commit).await?;
        Ok(token)
    }

    /// The person behind a token; `None` when the session is over or never was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn session(&self, token: &Secret, activity: Activity) -> Result<Option<Session>, StoreError> {
        let hash = token_hash(token);
        let Some(row) = self.store.staff_session(hash).await? else { return Ok(None) };
        let now = self.store.clock().now();
        let over = now.since(row.active) >= Self::IDLE || now.since(row.created) >= Self::ABSOLUTE;
        let Some(role) = Role::parse(&row.role).filter(|_| !over) else { return Ok(None) };
        if activity == Activity::Person && now.since(row.active) >= Self::TOUCH_EVERY {
            self.commit(Commit::new(0).with(self.store.touch_staff_session(hash, now))).await?;
        }
        let csrf = self.store.vault().keyed_hash("staff csrf", &[token.reveal().as_bytes()]);
        let reach = Reach::parse(&row.accounts);
        Ok(Some(Session { name: row.name, role, reach, csrf: Secret::new(hex::encode(csrf)) }))
    }

    /// Ends the session of this token.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self, token: &Secret) -> Result<(), StoreError> {
        let mut commit = Commit::new(0).with(self.store.end_staff_session(token_hash(token)));
        if let Some(row) = self.store.staff_session(token_hash(token)).await? {
            commit.push(self.audit(&row.name, "sign_out", json!({}))?);
        }
        self.commit(commit).await
    }

    /// Ends every session of a person, on every instance at once.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn revoke(&self, name: &str) -> Result<(), StoreError> {
        let audit = self.audit(name, "sessions_revoked", json!({}))?;
        self.commit(Commit::new(0).with(self.store.end_staff_sessions_of(name)).with(audit)).await
    }

    /// Whether a person is signed in anywhere.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_present(&self, name: &str) -> Result<bool, StoreError> {
        let now = self.store.clock().now();
        self.store.staff_present(name, now - Self::IDLE, now - Self::ABSOLUTE).await
    }

    fn audit(&self, actor: &str, action: &str, detail: serde_json::Value) -> Result<Write, StoreError> {
        // Staff work for the bank, not for one of its official accounts.
        self.store.audit(actor, action, &AccountId::new(""), None, Some(&detail.to_string()))
    }

    /// Counts the attempt before the password is looked at, so that guesses made at once are all counted.
    async fn count_sign_in(&self, attempt: [u8; 16]) -> Result<(), SignInError> {
        for _ in 0..Self::BUSY_PER_ADDRESS_MAX {
            let before = self.store.failed_sign_ins(attempt).await?;
            let now = self.store.clock().now();
            let after = lockout::next(before, now).map_err(SignInError::Locked)?;
            let commit = Commit::new(0)
                .with(self.store.count_sign_in(attempt, before, after))
                .with(self.store.forget_old_failed_sign_ins(now - lockout::REMEMBERED));
            match self.store.commit(commit).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict(Conflict::Stale)) => {}
                Err(error) => return Err(SignInError::Failed(error.to_string())),
            }
        }
        Err(SignInError::Busy)
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        match self.store.commit(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Store(error)) => Err(error),
            // Ids and tokens are new and random: a repeat means that something is very wrong.
            Err(CommitError::Conflict(_)) => Err(StoreError::Closed),
        }
    }

    fn take_place(&self, address: IpAddr) -> Result<BusyPlace<'_>, SignInError> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let count = busy.entry(address).or_default();
        if *count >= Self::BUSY_PER_ADDRESS_MAX {
            return Err(SignInError::Busy);
        }
        *count += 1;
        Ok(BusyPlace { staff: self, address })
    }
}

/// One sign-in at work; gives its place back when it ends or is given up.
struct BusyPlace<'a> {
    staff: &'a Staff,
    address: IpAddr,
}

impl Drop for BusyPlace<'_> {
    fn drop(&mut self) {
        let mut busy = self.staff.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = busy.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&self.address);
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.chars().count() <= Staff::NAME_CHARS_MAX;
    fits && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

fn check_password(name: &str, password: &str) -> Result<(), AccountError> {
    if password.chars().count() < Staff::PASSWORD_CHARS_MIN {
        return Err(AccountError::TooShort);
    }
    if password.len() > Staff::PASSWORD_BYTES_MAX {
        return Err(AccountError::TooLong);
    }
    let first = password.chars().next();
    let one_character = password.chars().all(|c| Some(c) == first);
    if one_character || password.to_lowercase() == name.to_lowercase() {
        return Err(AccountError::TooEasy);
    }
    Ok(())
}

fn token_hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.reveal().as_bytes()).into()
}

#[cfg(test)]
mod tests;
