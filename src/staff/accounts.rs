//! Accounts of staff: added, changed and removed at the command line. Every change ends the person's sessions.

use serde_json::json;

use super::password::HashingError;
use super::{Reach, Role, Staff};
use crate::domain::secret::Secret;
use crate::store::{Commit, CommitError, StaffRow, StoreError};

/// Who changes accounts, in the audit trail: whoever has the machine.
const ACTOR: &str = "weikefu user";
/// Longest staff name.
const NAME_CHARS_MAX: usize = 32;

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
    /// There is no such account.
    #[error("there is no staff account named {0}")]
    Unknown(String),
    /// Somebody else changed the account at the same moment.
    #[error("the account was changed by somebody else just now; try again")]
    Changed,
    /// The hash failed.
    #[error(transparent)]
    Hashing(#[from] HashingError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// An account in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What the person signs in with.
    pub name: String,
    /// What he may do; `None`: a role of a newer version.
    pub role: Option<Role>,
    /// The accounts that he serves.
    pub reach: Reach,
    /// Whether a password opens the account; else only the bank's own sign-in does.
    pub has_password: bool,
    /// Whether there is a second factor.
    pub has_factor: bool,
}

impl Staff {
    /// Shortest password.
    pub const PASSWORD_CHARS_MIN: usize = 12;
    /// Longest password.
    pub const PASSWORD_BYTES_MAX: usize = 256;

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
        check_password(name, password.reveal())?;
        let hash = self.hasher.hash(password).await?;
        self.insert(name, role, reach, &hash).await
    }

    /// Adds an account that no password opens: its person comes by the bank's own sign-in (`[staff.oidc]`).
    ///
    /// # Errors
    /// When the name does not do or is taken.
    pub async fn add_account_without_password(
        &self,
        name: &str,
        role: Role,
        reach: &Reach,
    ) -> Result<(), AccountError> {
        self.insert(name, role, reach, "").await
    }

    async fn insert(&self, name: &str, role: Role, reach: &Reach, hash: &str) -> Result<(), AccountError> {
        if !is_name(name) {
            return Err(AccountError::Name);
        }
        let accounts = reach.to_text();
        let detail = json!({ "name": name, "role": role.name(), "accounts": accounts });
        let audit = self.audit(ACTOR, "account_added", detail)?;
        let insert = self.store.insert_staff(name, role.name(), &accounts, hash);
        let commit = Commit::new(0).with(insert).with(audit);
        match self.store.commit(commit).await {
            Ok(()) => Ok(()),
            Err(CommitError::Conflict(_)) => Err(AccountError::Taken(name.to_owned())),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    /// Gives an account another role, other official accounts, or both.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn change_account(
        &self,
        name: &str,
        role: Option<Role>,
        reach: Option<&Reach>,
    ) -> Result<(), AccountError> {
        let row = self.account(name).await?;
        let after = StaffRow {
            role: role.map_or_else(|| row.role.clone(), |role| role.name().to_owned()),
            accounts: reach.map_or_else(|| row.accounts.clone(), Reach::to_text),
            ..row
        };
        let detail = json!({ "name": name, "role": after.role, "accounts": after.accounts });
        self.change(&after, "account_changed", detail).await
    }

    /// Gives an account another password.
    ///
    /// # Errors
    /// When there is no such account, or the password does not do.
    pub async fn change_password(&self, name: &str, password: &Secret) -> Result<(), AccountError> {
        let row = self.account(name).await?;
        check_password(name, password.reveal())?;
        let password_hash = self.hasher.hash(password).await?;
        let after = StaffRow { password_hash, ..row };
        self.change(&after, "password_changed", json!({ "name": name })).await
    }

    /// Takes away a second factor whose phone is lost; the next sign-in sets up another where one is required.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn reset_second_factor(&self, name: &str) -> Result<(), AccountError> {
        let row = self.account(name).await?;
        let mut commit = self.changing(&row, "second_factor_reset", json!({ "name": name }))?;
        commit.extend(self.store.end_staff_factor(name));
        self.commit_unless_changed(commit).await?.ok_or(AccountError::Changed)
    }

    /// Removes an account; what its person did stays in the audit trail.
    ///
    /// # Errors
    /// When there is no such account.
    pub async fn remove_account(&self, name: &str) -> Result<(), AccountError> {
        let mut commit = Commit::new(0)
            .with(self.store.remove_staff(name))
            .with(self.store.end_staff_sessions_of(name))
            .with(self.audit(ACTOR, "account_removed", json!({ "name": name }))?);
        commit.extend(self.store.end_staff_factor(name));
        let removed = self.commit_unless_changed(commit).await?;
        removed.ok_or_else(|| AccountError::Unknown(name.to_owned()))
    }

    /// Every account, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn accounts(&self) -> Result<Vec<Listed>, StoreError> {
        let mut listed: Vec<Listed> = Vec::new();
        loop {
            let last = listed.last().map_or("", |last| last.name.as_str()).to_owned();
            let rows = self.store.every_staff(&last).await?;
            if rows.is_empty() {
                return Ok(listed);
            }
            listed.extend(rows.into_iter().map(|row| Listed {
                role: Role::parse(&row.role),
                reach: Reach::parse(&row.accounts),
                name: row.name,
                has_password: row.has_password,
                has_factor: row.has_factor,
            }));
        }
    }

    async fn account(&self, name: &str) -> Result<StaffRow, AccountError> {
        self.store.staff(name).await?.ok_or_else(|| AccountError::Unknown(name.to_owned()))
    }

    async fn change(
        &self,
        after: &StaffRow,
        action: &str,
        detail: serde_json::Value,
    ) -> Result<(), AccountError> {
        let commit = self.changing(after, action, detail)?;
        self.commit_unless_changed(commit).await?.ok_or(AccountError::Changed)
    }

    /// The account as it is to be; whoever is signed in with it is not any more.
    fn changing(
        &self,
        after: &StaffRow,
        action: &str,
        detail: serde_json::Value,
    ) -> Result<Commit, StoreError> {
        Ok(Commit::new(0)
            .with(self.store.change_staff(after))
            .with(self.store.end_staff_sessions_of(&after.name))
            .with(self.audit(ACTOR, action, detail)?))
    }
}

pub(super) fn is_name(name: &str) -> bool {
    let fits = !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX;
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

#[cfg(test)]
mod tests;
