//! The demo's staff accounts: made once, their passwords kept beside the database so that they can be shown again.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use weikefu::app::open_store;
use weikefu::clock::{Random, new_token};
use weikefu::config::Config;
use weikefu::domain::secret::Secret;
use weikefu::staff::{AccountError, Role, Staff};

use super::settings::write_private;
use crate::cli::Context;

/// Who works in the demo bank.
const PEOPLE: [(&str, Role); 3] = [("admin", Role::Admin), ("agent", Role::Agent), ("agent2", Role::Agent)];
const PASSWORD_CHARS: usize = 16;

/// An account, as it is told on the screen.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) role: String,
    pub(super) password: String,
}

/// The accounts of this folder, made at the first start.
pub(super) async fn prepare(
    folder: &Path,
    config: &Config,
    context: &Context,
) -> anyhow::Result<Vec<Account>> {
    let path = folder.join("staff.toml");
    if path.try_exists()? {
        let text = std::fs::read_to_string(&path)?;
        let mut kept: BTreeMap<String, Vec<Account>> =
            toml::from_str(&text).with_context(|| format!("{}", path.display()))?;
        return Ok(kept.remove("staff").unwrap_or_default());
    }
    let accounts: Vec<Account> =
        PEOPLE.into_iter().map(|(name, role)| make(name, role, context.random.as_ref())).collect();
    // Written first: a password that is lost cannot be shown again, an account that is missing can be added.
    write_private(&path, &toml::to_string(&BTreeMap::from([("staff", &accounts)]))?)?;
    let store = open_store(config, context.clock.clone(), context.random.clone()).await?;
    let staff = Staff::new(store.clone());
    for ((name, role), account) in PEOPLE.into_iter().zip(&accounts) {
        match staff.add_account(name, role, &Secret::new(account.password.clone())).await {
            Ok(()) | Err(AccountError::Taken(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    store.close().await;
    Ok(accounts)
}

fn make(name: &str, role: Role, random: &dyn Random) -> Account {
    let password = new_token(random).chars().take(PASSWORD_CHARS).collect();
    Account { name: name.to_owned(), role: role.name().to_owned(), password }
}
