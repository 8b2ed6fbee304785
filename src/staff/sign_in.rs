//! The first step of signing in: a name and a password.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, PoisonError};

use serde_json::json;

use super::accounts::is_name;
use super::password::HashingError;
use super::{Arrival, Role, SignOnError, Staff, Stage, lockout, token_hash};
use crate::clock::new_token;
use crate::domain::secret::Secret;
use crate::domain::time::UnixMs;
use crate::store::{Commit, CommitError, Conflict, StaffRow, StoreError};

/// Sign-ins of one address at the same time.
const BUSY_PER_ADDRESS_MAX: usize = 32;

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

impl Staff {
    /// Signs a person in and gives the new session's token; what it is good for says [`Staff::standing`]. A session
    /// that the browser brought along ends. Unknown names cost the same time and get the same answer as wrong
    /// passwords.
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
        let address = network(address);
        let place = self.take_place(address)?;
        // Nothing that was typed is stored when it cannot be a name: it may be a password in the wrong field.
        let known_form = is_name(name) && password.reveal().len() <= Self::PASSWORD_BYTES_MAX;
        let name = if known_form { name } else { "" };
        let attempt = self.store.sign_in_index(name, &address.to_string());
        self.count_attempt(attempt).await?;
        let account = self.store.staff(name).await?;
        let hash = account.as_ref().map(|account| account.password_hash.clone());
        let fits = {
            // One at a time for each address: whoever guesses leaves the other half of the hashing to everybody else.
            let _turn = place.turn.lock().await;
            self.hasher.fits(password, hash.filter(|hash| !hash.is_empty())).await?
        };
        let Some(account) = account.filter(|_| fits) else {
            let audit = self.audit(name, "sign_in_failed", json!({ "address": address.to_string() }))?;
            self.commit(Commit::new(0).with(audit)).await?;
            return Err(SignInError::Wrong);
        };
        let stage = self.stage_after_first_step(&account);
        let mut commit = Commit::new(0).with(self.store.forget_failed_sign_ins(attempt));
        if stage == Stage::Full {
            commit.push(self.audit(name, "sign_in", json!({ "address": address.to_string() }))?);
        }
        self.begin(&account, stage, previous, commit).await?.ok_or(SignInError::Wrong)
    }

    /// Signs in whoever came back from the bank's own sign-in, and gives the new session's token.
    ///
    /// # Errors
    /// When the provider did not prove who he is, or there is no account of his name.
    pub async fn sign_in_by_bank(
        &self,
        kept: &Secret,
        arrival: Arrival,
        address: IpAddr,
        previous: Option<&Secret>,
    ) -> Result<Secret, SignOnError> {
        let sign_on = self.sign_on.as_ref().ok_or(SignOnError::NotBegun)?;
        let name = sign_on.arrive(kept, arrival).await?;
        let name = if is_name(&name) { name } else { String::new() };
        let detail = json!({ "address": network(address).to_string(), "by": "bank" });
        let Some(account) = self.store.staff(&name).await? else {
            self.commit(Commit::new(0).with(self.audit(&name, "sign_in_failed", detail)?)).await?;
            return Err(SignOnError::NoAccount);
        };
        let ours = sign_on.second_factor_is_ours();
        let stage = if ours { self.stage_after_first_step(&account) } else { Stage::Full };
        let mut commit = Commit::new(0);
        if stage == Stage::Full {
            commit.push(self.audit(&name, "sign_in", detail)?);
        }
        self.begin(&account, stage, previous, commit).await?.ok_or(SignOnError::NoAccount)
    }

    /// What a session is good for whose person has shown who he is, once.
    pub(super) fn stage_after_first_step(&self, account: &StaffRow) -> Stage {
        let required = Role::parse(&account.role).is_some_and(|role| self.second_factor.contains(&role));
        match (account.has_factor, required) {
            (true, _) => Stage::Code,
            (false, true) => Stage::SetUp,
            (false, false) => Stage::Full,
        }
    }

    /// Begins a session together with a commit's other writes, and ends the one before. `None`: the account was
    /// changed meanwhile, or another condition of the commit does not hold.
    pub(super) async fn begin(
        &self,
        account: &StaffRow,
        stage: Stage,
        previous: Option<&Secret>,
        mut commit: Commit,
    ) -> Result<Option<Secret>, StoreError> {
        let token = Secret::new(new_token(self.store.random().as_ref()));
        let now = self.store.clock().now();
        let hash = token_hash(&token);
        commit.push(self.store.begin_staff_session(hash, &account.name, stage.name(), account.changed));
        commit.push(self.store.end_old_staff_sessions(now - Self::IDLE, now - Self::ABSOLUTE));
        if let Some(previous) = previous {
            commit.push(self.store.end_staff_session(token_hash(previous)));
        }
        Ok(self.commit_unless_changed(commit).await?.map(|()| token))
    }

    /// Counts the attempt before what was typed is looked at, so that guesses made at once are all counted.
    pub(super) async fn count_attempt(&self, attempt: [u8; 16]) -> Result<(), SignInError> {
        for _ in 0..BUSY_PER_ADDRESS_MAX {
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

    fn take_place(&self, address: IpAddr) -> Result<BusyPlace<'_>, SignInError> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let door = busy.entry(address).or_default();
        if door.count >= BUSY_PER_ADDRESS_MAX {
            return Err(SignInError::Busy);
        }
        door.count += 1;
        Ok(BusyPlace { staff: self, address, turn: door.turn.clone() })
    }
}

/// Where people of one address sign in.
#[derive(Default)]
pub(super) struct Door {
    count: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// One sign-in at work; gives its place back when it ends or is given up.
struct BusyPlace<'a> {
    staff: &'a Staff,
    address: IpAddr,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for BusyPlace<'_> {
    fn drop(&mut self) {
        let mut busy = self.staff.busy.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(door) = busy.get_mut(&self.address) {
            door.count -= 1;
            if door.count == 0 {
                busy.remove(&self.address);
            }
        }
    }
}

/// Whom failures are counted for: of IPv6 the network of 64 bits, because one machine has all of its addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}
