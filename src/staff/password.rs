//! Passwords: Argon2id in a bounded pool, because one check costs 64 MiB and tens of milliseconds.

use std::sync::Arc;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;

use crate::clock::SharedRandom;
use crate::domain::secret::Secret;

/// Checks that run at the same time; more would be a way to exhaust memory from outside.
const AT_ONCE_MAX: usize = 2;
/// Checks that run or wait; beyond it people are asked to try again.
const WAITING_MAX: usize = 64;

/// The pool could not take the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashingError {
    /// Too many wait already.
    #[error("too many sign-ins at the same time")]
    Busy,
    /// The hash could not be computed or read.
    #[error("a password could not be hashed")]
    Failed,
}

/// How expensive one hash is.
#[derive(Clone, Copy, Debug)]
pub struct HashCost {
    memory_kib: u32,
    passes: u32,
}

impl HashCost {
    /// What the product uses: 64 MiB, three passes, one lane.
    #[must_use]
    pub fn full() -> Self {
        Self { memory_kib: 64 * 1024, passes: 3 }
    }

    /// For tests that sign in many times. Never for a real account.
    #[must_use]
    pub fn cheap_for_tests() -> Self {
        Self { memory_kib: 64, passes: 1 }
    }
}

/// Hashes and checks passwords.
pub(super) struct Hasher {
    cost: HashCost,
    random: SharedRandom,
    at_once: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Hasher {
    pub(super) fn new(cost: HashCost, random: SharedRandom) -> Self {
        Self {
            cost,
            random,
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
        }
    }

    /// A new hash in PHC form.
    pub(super) async fn hash(&self, password: &Secret) -> Result<String, HashingError> {
        let mut salt = [0_u8; 16];
        self.random.fill(&mut salt);
        let cost = self.cost;
        let password = password.clone();
        self.run(move || {
            let hash: PasswordHash = argon2(cost)?
                .hash_password_with_salt(password.reveal().as_bytes(), &salt)
                .map_err(|_| HashingError::Failed)?;
            Ok(hash.to_string())
        })
        .await
    }

    /// Whether the password fits. Without a hash (an unknown name) the same work is done and the answer is no.
    pub(super) async fn fits(&self, password: &Secret, hash: Option<String>) -> Result<bool, HashingError> {
        let Some(hash) = hash else { return self.hash(password).await.map(|_| false) };
        let cost = self.cost;
        let password = password.clone();
        self.run(move || {
            let hash = PasswordHash::new(&hash).map_err(|_| HashingError::Failed)?;
            Ok(argon2(cost)?.verify_password(password.reveal().as_bytes(), &hash).is_ok())
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, HashingError> + Send + 'static,
    ) -> Result<T, HashingError> {
        let waiting = self.waiting.clone().try_acquire_owned().map_err(|_| HashingError::Busy)?;
        let running = self.at_once.clone().acquire_owned().await.map_err(|_| HashingError::Busy)?;
        let outcome = tokio::task::spawn_blocking(move || {
            // Held by the work itself: a browser that hangs up does not free memory that is still in use.
            let (_waiting, _running) = (waiting, running);
            work()
        });
        outcome.await.map_err(|_| HashingError::Failed)?
    }
}

fn argon2(cost: HashCost) -> Result<Argon2<'static>, HashingError> {
    let params = Params::new(cost.memory_kib, cost.passes, 1, None).map_err(|_| HashingError::Failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}
