//! Accounts whose customers the bank's own agent system answers (`desk = "external"`): the same cases, the same state
//! machine, the same allowance, other people.
//!
//! Its agents have no account here. They are known by the names that the system gives them, behind a prefix that no
//! staff name can have, so that an agent of one house never has, sees or gets a case of the other.

use super::Desk;
use super::error::DeskError;
use crate::domain::ids::AccountId;
use crate::domain::secret::Secret;
use crate::staff::{Reach, Role, Session};
use crate::store::DeskAgent;

/// Stands before the names of its agents. Staff names have no colon.
const PREFIX: &str = "external:";
/// Longest name of an agent.
const NAME_CHARS_MAX: usize = 64;
/// Cases that one of its agents has at the same time; how many he should have is the other system's business.
const CASES_MAX: u32 = 1_000;

impl Desk {
    /// From now on these accounts are answered by the bank's own agent system, and by nobody here.
    #[must_use]
    pub fn leaving(mut self, external: impl IntoIterator<Item = AccountId>) -> Self {
        self.external.extend(external);
        self
    }

    /// Whether the bank's own agent system answers this account's customers.
    #[must_use]
    pub fn is_external(&self, account: &AccountId) -> bool {
        self.external.contains(account)
    }

    /// An agent of the bank's own system, as he acts here.
    ///
    /// # Errors
    /// [`DeskError::UnknownChoice`] for a name that is empty, longer than 64 characters, or holds control characters.
    pub fn outsider(&self, account: &AccountId, name: &str) -> Result<Session, DeskError> {
        Ok(session(account, &outside_name(name)?, Role::Agent))
    }

    /// The bank's own system itself: it sees every case of the account.
    #[must_use]
    pub fn outside(&self, account: &AccountId) -> Session {
        session(account, PREFIX, Role::Supervisor)
    }

    /// Whether somebody belongs to the house that answers an account.
    pub(super) fn is_of_house(&self, session: &Session, account: &AccountId) -> bool {
        self.is_external(account) == is_outside(&session.name)
    }
}

/// The name under which an agent of the other system has cases.
pub(super) fn outside_name(name: &str) -> Result<String, DeskError> {
    let count = name.chars().count();
    if count == 0 || count > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(DeskError::UnknownChoice);
    }
    Ok(format!("{PREFIX}{name}"))
}

/// Whether a name is of the other system.
pub(super) fn is_outside(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// The name that the other system knows its agent by.
#[must_use]
pub fn name_outside(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// How an agent of the other system works: which cases he gets is decided there.
pub(super) fn outsiders_way() -> DeskAgent {
    DeskAgent { skills: vec![], capacity: CASES_MAX, ready: false }
}

fn session(account: &AccountId, name: &str, role: Role) -> Session {
    let reach = Reach::of([account.clone()]);
    // Forged requests of browsers are no danger: each of its calls is signed.
    Session { name: name.to_owned(), role, reach, csrf: Secret::new(String::new()) }
}
