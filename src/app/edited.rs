//! What staff edit, as the rooms use it: loaded whole, and swapped whole while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Rooms;
use crate::alerts::Kinds;
use crate::bank::Operations;
use crate::config::Config;
use crate::content::{Content, Fault};
use crate::desk::DeskFiles;
use crate::dialogue::{Robots, menu_faults};
use crate::domain::ids::AccountId;
use crate::occasions::{Kindnesses, Offers};

/// What a reload came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The edited content is in use; its hash.
    Taken(String),
    /// Nothing was edited.
    Unchanged,
    /// It has faults; what was in use stays in use.
    Refused(Vec<Fault>),
}

/// Everything that comes from content, complete and without fault.
pub(super) struct Edited {
    pub(super) content: Content,
    pub(super) operations: Arc<Operations>,
    pub(super) robots: Robots,
    pub(super) kinds: Kinds,
    pub(super) kindnesses: Kindnesses,
    pub(super) offers: Offers,
    pub(super) desk: DeskFiles,
}

impl Edited {
    /// Reads and checks everything.
    pub(super) fn load(config: &Config) -> Result<Self, Vec<Fault>> {
        let content = Content::load(config.content.dir.as_deref())?;
        let mut faults = Vec::new();
        let operations = Operations::load(&content).map(Arc::new).map_err(|found| faults.extend(found)).ok();
        let robots = Robots::load(&content, accounts(config)).map_err(|found| faults.extend(found)).ok();
        let kinds = Kinds::load(&content).map_err(|found| faults.extend(found)).ok();
        let kindnesses = Kindnesses::load(&content).map_err(|found| faults.extend(found)).ok();
        let offers = Offers::load(&content).map_err(|found| faults.extend(found)).ok();
        let desk = DeskFiles::load(&content).map_err(|found| faults.extend(found)).ok();
        faults.sort();
        faults.dedup();
        match (operations, robots, kinds, kindnesses, offers, desk) {
            (Some(operations), Some(robots), Some(kinds), Some(kindnesses), Some(offers), Some(desk)) => {
                Ok(Self { content, operations, robots, kinds, kindnesses, offers, desk })
            }
            _ => Err(faults),
        }
    }

    /// Faults of the files that only commands use.
    fn menu_faults(&self, config: &Config) -> Vec<Fault> {
        menu_faults(Some(&self.robots), &self.content, accounts(config))
    }
}

fn accounts(config: &Config) -> impl Iterator<Item = &AccountId> {
    config.accounts.iter().map(|account| &account.id)
}

/// The content in use, as far as it is known by name.
pub(super) struct InUse(ArcSwap<String>);

impl InUse {
    pub(super) fn new(hash: String) -> Self {
        Self(ArcSwap::from_pointee(hash))
    }
}

impl Rooms {
    /// Takes the edited content over as a whole, or refuses it as a whole. Blocks while the understanding is trained.
    pub(super) fn reload(&self) -> Reloaded {
        let edited = match Edited::load(&self.config) {
            Ok(edited) => edited,
            Err(faults) => return Reloaded::Refused(faults),
        };
        let faults = edited.menu_faults(&self.config);
        if !faults.is_empty() {
            return Reloaded::Refused(faults);
        }
        let hash = edited.content.hash();
        if *self.in_use.0.load_full() == hash {
            return Reloaded::Unchanged;
        }
        let in_use = self.robots.load_full();
        if in_use.have_learned() {
            let faults = edited.robots.worse_than(&in_use);
            if !faults.is_empty() {
                return Reloaded::Refused(faults);
            }
            edited.robots.learn();
        }
        // The robots name operations, so these come first.
        self.core.set_operations(edited.operations);
        self.desk.set_files(edited.desk);
        self.alerts.set_kinds(edited.kinds);
        self.alerts.set_kindnesses(edited.kindnesses);
        self.marketing.set_offers(edited.offers);
        self.robots.store(Arc::new(edited.robots));
        self.in_use.0.store(Arc::new(hash.clone()));
        Reloaded::Taken(hash)
    }
}
