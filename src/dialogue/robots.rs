//! The robots of a deployment: one for each account, loaded and swapped as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Dialogue;
use crate::content::{Content, Fault};
use crate::domain::ids::AccountId;

/// A robot for each account. Accounts without content of their own share one.
#[derive(Clone, Debug)]
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

    /// Whether customers would be understood worse than by the robots in use, by more than the edited content allows. Looks
    /// only at robots whose examples were edited; takes as long as learning them.
    #[must_use]
    pub fn worse_than(&self, in_use: &Self) -> Vec<Fault> {
        let own = self.own.iter().map(|(account, robot)| (robot, in_use.of(account)));
        let pairs = std::iter::once((&self.common, &in_use.common)).chain(own);
        let fault = |(edited, used): (&Arc<Dialogue>, &Arc<Dialogue>)| {
            let (edited, used) = (edited.understanding(), used.understanding());
            if edited.learns_the_same_as(used) {
                return None;
            }
            let (would, does) = (edited.accuracy_permille(), used.accuracy_permille());
            let allowed = edited.lexicon().accuracy_drop_max_permille();
            let message = format!(
                "with the edited examples {would} of 1000 held-out sentences would be understood, now {does} are; at most \
                 {allowed} fewer are allowed. Run `weikefu check` to see which examples contradict others, or raise \
                 accuracy_drop_max_permille here to take them over all the same"
            );
            (would + allowed < does).then(|| Fault::new("lexicon/quality.toml", 1, message))
        };
        pairs.filter_map(fault).collect()
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
