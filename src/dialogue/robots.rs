//! The robots of a deployment: one for each account, loaded and swapped as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Dialogue;
use crate::content::{Content, Fault};
use crate::domain::ids::AccountId;

/// A robot for each account. Accounts without content of their own share one.
#[derive(Debug)]
pub struct Robots {
    common: Arc<Dialogue>,
    own: BTreeMap<AccountId, Arc<Dialogue>>,
}

impl Robots {
    /// Loads what every account says.
    ///
    /// # Errors
    /// Every fault of every account, with file and line; a faulty set is refused as a whole.
    pub fn load<'a>(
        content: &Content,
        accounts: impl IntoIterator<Item = &'a AccountId>,
    ) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut load = |content: &Content| {
            Dialogue::load(content).map(Arc::new).map_err(|found| faults.extend(found)).ok()
        };
        let common = load(content);
        let with_own = accounts.into_iter().filter(|account| content.has_own(account));
        let own = with_own
            .filter_map(|account| Some((account.clone(), load(&content.of_account(account))?)))
            .collect();
        faults.sort();
        faults.dedup();
        match common {
            Some(common) if faults.is_empty() => Ok(Self { common, own }),
            _ => Err(faults),
        }
    }

    /// The robot that answers for an account.
    #[must_use]
    pub fn of(&self, account: &AccountId) -> &Arc<Dialogue> {
        self.own.get(account).unwrap_or(&self.common)
    }

    /// Lets every robot learn its examples. Blocks for some seconds.
    pub fn learn(&self) {
        self.iter().for_each(|robot| robot.understanding().learn());
    }

    /// Whether every robot has learned its examples.
    #[must_use]
    pub fn have_learned(&self) -> bool {
        self.iter().all(|robot| robot.understanding().has_learned())
    }

    /// What accounts without content of their own have in common.
    pub(super) fn common(&self) -> &Dialogue {
        &self.common
    }

    /// Every robot once.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Dialogue>> {
        std::iter::once(&self.common).chain(self.own.values())
    }
}
