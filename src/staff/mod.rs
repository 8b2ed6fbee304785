//! People who work with Weikefu: accounts, sign-in, sessions.
//!
//! A session is a 256-bit token in a cookie of which the database knows only the SHA-256, so that any
//! instance ends any session at once and a stolen backup opens nothing. After the password a session is good for the
//! second step only, where there is one; what the second step opens is another session.

mod accounts;
mod factor;
mod lockout;
mod password;
mod reach;
mod second_step;
mod sign_in;
mod sign_on;
mod trail;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

pub use accounts::{AccountError, Listed};
pub use password::HashCost;
use password::Hasher;
pub use reach::Reach;
pub use second_step::{Half, NewFactor, SecondStepError, SetUp, Standing};
pub use sign_in::SignInError;
pub use sign_on::{Arrival, Departure, NoSignOn, SignOn, SignOnError};

use crate::domain::ids::AccountId;
use crate::domain::secret::Secret;
use crate::store::{Commit, CommitError, Store, StoreError, Write};

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

/// What a stored session is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everything.
    Full,
    /// The code of the second factor is still wanted.
    Code,
    /// A second factor must be set up first.
    SetUp,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Code => "code",
            Self::SetUp => "set_up",
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Full, Self::Code, Self::SetUp].into_iter().find(|stage| stage.name() == name)
    }
}

/// Accounts and sessions. Share it by `Arc`.
pub struct Staff {
    store: Store,
    hasher: Hasher,
    /// Roles that sign in with a second factor whether they like it or not.
    second_factor: Vec<Role>,
    /// The bank's own sign-in, where there is one.
    sign_on: Option<SignOn>,
    /// Sign-ins at work by address, so that one address cannot use up the pool.
    busy: Mutex<HashMap<IpAddr, sign_in::Door>>,
}

impl Staff {
    /// A session ends after this long without a person's doing.
    pub const IDLE: Duration = Duration::from_secs(15 * 60);
    /// A session ends after this long whatever happens.
    pub const ABSOLUTE: Duration = Duration::from_secs(8 * 3600);
    /// Activity is noted at most this often.
    const TOUCH_EVERY: Duration = Duration::from_secs(30);

    /// Over a store, with its clock and its randomness.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self::with_cost(store, HashCost::full())
    }

    /// With another price of a hash: lower only in tests.
    #[must_use]
    pub fn with_cost(store: Store, cost: HashCost) -> Self {
        let hasher = Hasher::new(cost, store.random().clone());
        Self { store, hasher, second_factor: Vec::new(), sign_on: None, busy: Mutex::default() }
    }

    /// Roles of these names sign in with a second factor only (`staff.second_factor`); everybody else may.
    #[must_use]
    pub fn requiring<'a>(mut self, roles: impl IntoIterator<Item = &'a str>) -> Self {
        self.second_factor = roles.into_iter().filter_map(Role::parse).collect();
        self
    }

    /// People may come by the bank's own sign-in, too (`[staff.oidc]`).
    #[must_use]
    pub fn with_sign_on(mut self, sign_on: SignOn) -> Self {
        self.sign_on = Some(sign_on);
        self
    }

    /// The bank's own sign-in.
    #[must_use]
    pub fn sign_on(&self) -> Option<&SignOn> {
        self.sign_on.as_ref()
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
        let over = over || Stage::parse(&row.stage) != Some(Stage::Full);
        let Some(role) = Role::parse(&row.role).filter(|_| !over) else { return Ok(None) };
        if activity == Activity::Person && now.since(row.active) >= Self::TOUCH_EVERY {
            self.commit(Commit::new(0).with(self.store.touch_staff_session(hash, now))).await?;
        }
        let reach = Reach::parse(&row.accounts);
        Ok(Some(Session { name: row.name, role, reach, csrf: self.csrf(token) }))
    }

    fn csrf(&self, token: &Secret) -> Secret {
        let csrf = self.store.vault().keyed_hash("staff csrf", &[token.reveal().as_bytes()]);
        Secret::new(hex::encode(csrf))
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

    fn audit(&self, actor: &str, action: &str, detail: Value) -> Result<Write, StoreError> {
        // Staff work for the bank, not for one of its official accounts.
        self.store.audit(actor, action, &AccountId::new(""), None, Some(&detail.to_string()))
    }

    /// A commit whose conditions only somebody else's change can break: `None`, then.
    async fn commit_unless_changed(&self, commit: Commit) -> Result<Option<()>, StoreError> {
        match self.store.commit(commit).await {
            Ok(()) => Ok(Some(())),
            Err(CommitError::Conflict(_)) => Ok(None),
            Err(CommitError::Store(error)) => Err(error),
        }
    }

    async fn commit(&self, commit: Commit) -> Result<(), StoreError> {
        // Ids and tokens are new and random: a repeat means that something is very wrong.
        self.commit_unless_changed(commit).await?.ok_or(StoreError::Closed)
    }
}

fn token_hash(token: &Secret) -> [u8; 32] {
    Sha256::digest(token.reveal().as_bytes()).into()
}

#[cfg(test)]
mod tests;
