//! Message and conversation → outcome. Pure: what has to be asked or done outside comes back as data.
//!
//! [`Dialogue::decide`] either decides at once or asks one question to the core; its answer goes into
//! [`Dialogue::proceed`], which decides or asks again. `inbound` carries out what comes of it.

mod alerts;
pub mod chat;
mod check;
mod compose;
mod corrections;
mod fields;
mod forms;
mod house;
mod lengths;
mod lookup;
mod meant;
mod outcome;
mod owed;
mod person;
mod places;
pub mod reading;
mod robots;
mod router;
mod scene;
mod state;
mod texts;
mod turn;

use std::sync::Arc;

use crate::bank::Operations;
use crate::bank::operations::BadOperation;
use crate::catalogue::{Catalogue, words};
use crate::content::{Content, Fault};
use crate::domain::binding::Binding;
use crate::domain::transaction::Transaction;
use crate::understanding::{Examples, Lexicon, Understanding};

pub use check::{Coverage, Promised, Report, check, menu_faults};
pub use outcome::{
    Ask, AskError, Effect, Misheard, MisheardKind, Of, OnPage, Outcome, PersonWanted, Say, Step, Then,
};
pub use owed::{Later, Owed};
use places::Places;
pub use robots::Robots;
pub use scene::{DeskStatus, Links, MediaKind, Said, Scene};
pub use state::{DialogueState, Wish};
use texts::Answers;
use turn::Turn;

/// The service that fetches a person.
const PERSON: &str = "human_agent";
/// The service that shows what there is.
const MENU: &str = "service_menu";

/// The operations that the house answers itself, with their schemas.
///
/// # Errors
/// Never in a build whose tests passed.
pub fn house_operations() -> Result<Operations, BadOperation> {
    house::operations()
}

/// The robot: services, understanding and fixed words, ready to decide.
#[derive(Debug)]
pub struct Dialogue {
    catalogue: Arc<Catalogue>,
    understanding: Arc<Understanding>,
    answers: Answers,
    places: Places,
}

impl Dialogue {
    /// Reads services, word lists, examples and fixed words. What the understanding has to learn, it learns later:
    /// [`Understanding::learn`].
    ///
    /// # Errors
    /// Every fault, with file and line; a faulty set is refused as a whole.
    pub fn load(content: &Content) -> Result<Self, Vec<Fault>> {
        let built_in =
            |error: BadOperation| vec![Fault::new("the program's own operations", 1, error.to_string())];
        let core = Operations::load(content)?;
        let house = house_operations().map_err(built_in)?;
        let mut faults = Vec::new();
        let mut keep = |found: Vec<Fault>| faults.extend(found);
        let catalogue = Catalogue::load(content, core, house).map_err(&mut keep).ok();
        let lexicon = Lexicon::load(content).map_err(&mut keep).ok();
        let examples = Examples::load(content).map_err(&mut keep).ok();
        let answers = words(content).and_then(|words| Answers::load(content, words)).map_err(&mut keep).ok();
        let places = Places::load(content).map_err(&mut keep).ok();
        let (Some(catalogue), Some(lexicon), Some(examples), Some(answers), Some(places)) =
            (catalogue, lexicon, examples, answers, places)
        else {
            faults.sort();
            faults.dedup();
            return Err(faults);
        };
        for (id, what) in [(PERSON, "fetches a person"), (MENU, "shows what there is")] {
            if catalogue.get(id).is_none() {
                faults.push(Fault::new(
                    "templates/services",
                    1,
                    format!("the service {id:?}, which {what}, is missing"),
                ));
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let understanding = Arc::new(Understanding::new(catalogue.classes(), lexicon, examples)?);
        Ok(Self { catalogue: Arc::new(catalogue), understanding, answers, places })
    }

    /// The services.
    #[must_use]
    pub fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// The recogniser.
    #[must_use]
    pub fn understanding(&self) -> &Arc<Understanding> {
        &self.understanding
    }

    /// Decides what a message comes to, or what has to be asked first.
    #[must_use]
    pub fn decide(&self, scene: &Scene<'_>) -> Step {
        router::decide(Turn::new(self, scene))
    }

    /// Answers an operation of the house that needs what the house keeps: the customer's transactions, the newest
    /// first.
    ///
    /// # Errors
    /// When nobody is bound, or the house has no such operation.
    pub fn look_up(
        binding: Option<&Binding>,
        operation: &str,
        params: &serde_json::Value,
        transactions: &[Transaction],
    ) -> Result<serde_json::Value, AskError> {
        match (operation, binding) {
            (house::RECENT_ALERTS, Some(binding)) => Ok(alerts::recent(transactions, binding, params)),
            (house::RECENT_ALERTS, None) => Err(house::not_bound()),
            _ => Err(AskError::Lied),
        }
    }

    /// How far back [`Self::look_up`] wants transactions.
    pub const LOOK_BACK: std::time::Duration = std::time::Duration::from_secs(alerts::CONTEXT_MINUTES * 60);

    /// Goes on with the core's answer.
    #[must_use]
    pub fn proceed(
        &self,
        scene: &Scene<'_>,
        then: Then,
        answer: Result<serde_json::Value, AskError>,
    ) -> Step {
        Turn::resume(self, scene, then.0, answer)
    }
}

#[cfg(test)]
mod tests;
