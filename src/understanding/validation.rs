//! Cross-validation: each fifth of the examples, as understood from the other four. What a change of the examples is
//! worth, and which of them stand in the wrong place.

use std::collections::BTreeMap;

use serde_json::Value;

use super::eval::{Row, Tally};
use super::learned::Effort;
use super::{ABUSE, Example, GRAVE, UNRELATED, Understanding};
use crate::content::Fault;

/// Parts that cross-validation makes of the examples.
const FOLDS: usize = 5;
/// From which score on an example counts as another service's.
const ELSEWHERE_SCORE_MIN: f32 = 0.8;

/// Cross-validation by kind: sentences of services, of knowledge entries, and of what is neither; and by id. The same
/// figures as [`super::evaluate`]. An entry counts as right where its service is.
#[must_use]
pub fn cross_validate(understanding: &Understanding) -> Value {
    let mut all = Tally::default();
    let mut kinds: BTreeMap<String, Tally> = BTreeMap::new();
    let mut ids: BTreeMap<String, Tally> = BTreeMap::new();
    understanding.each_held_out(Effort::Whole, |kept, id, example| {
        let row = row_of(kept, id, example);
        let ranked = kept.rank(&row.utterance);
        all.count(&row, &ranked);
        kinds.entry(row.kind.clone()).or_default().count(&row, &ranked);
        ids.entry(row.expected.clone()).or_default().count(&row, &ranked);
    });
    let told = |tallies: BTreeMap<String, Tally>| -> Value {
        tallies.into_iter().map(|(name, tally)| (name, tally.report())).collect()
    };
    let mut report = all.report();
    report["by_kind"] = told(kinds);
    report["by_id"] = told(ids);
    report
}

impl Understanding {
    /// Of a thousand held-out sentences of services, how many are ranked right: cross-validated with a shorter training
    /// that tells two sets of examples apart as well. Takes as long as learning; known afterwards.
    pub fn accuracy_permille(&self) -> u32 {
        *self.accuracy_permille.get_or_init(|| {
            let (mut right, mut all) = (0_u32, 0_u32);
            self.each_held_out(Effort::Short, |kept, id, example| {
                let row = row_of(kept, id, example);
                if row.is_service() {
                    let ranked = kept.rank(&row.utterance);
                    all += 1;
                    right += u32::from(ranked.candidates.first().is_some_and(|best| row.is_right(best)));
                }
            });
            right.saturating_mul(1_000).checked_div(all).unwrap_or(0)
        })
    }

    /// Whether it learns from the same texts as another.
    #[must_use]
    pub fn learns_the_same_as(&self, other: &Self) -> bool {
        let texts = |one: &Self| -> Vec<(String, String)> {
            one.texts().into_iter().map(|(class, text)| (one.id(class).to_owned(), text.to_owned())).collect()
        };
        texts(self) == texts(other)
    }

    /// Examples of these files that what is learned of all others surely takes for another service.
    #[must_use]
    pub fn misplaced(&self, of: impl Fn(&str) -> bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        self.each_held_out(Effort::Short, |kept, id, example| {
            if !of(&example.file) {
                return;
            }
            let row = row_of(kept, id, example);
            let ranked = kept.rank(&row.utterance);
            let Some(best) = ranked.candidates.first() else { return };
            if !row.is_service() || row.is_right(best) || best.score < ELSEWHERE_SCORE_MIN {
                return;
            }
            let near = kept.nearest_text(&example.text).unwrap_or_default();
            let message = format!(
                "{:?} stands under {id}, but what is learned of all other examples takes it for {} ({:.2}; most like it \
                 is {near:?}); move it there, or word it so that it is told apart",
                example.text, best.id, best.score
            );
            faults.push(Fault::new(&example.file, example.line, message));
        });
        faults
    }

    fn each_held_out(&self, effort: Effort, mut look: impl FnMut(&Self, &str, &Example)) {
        for fold in 0..FOLDS {
            let (kept, held_out) = self.parted(fold, FOLDS);
            kept.learn_with(effort);
            for (id, example) in &held_out {
                look(&kept, id, example);
            }
        }
    }
}

fn row_of(understanding: &Understanding, id: &str, example: &Example) -> Row {
    let is_entry = understanding.classes.iter().any(|class| class.id == id && class.is_entry);
    let kind = match id {
        UNRELATED | GRAVE | ABUSE => id,
        _ if is_entry => "knowledge",
        _ => "service",
    };
    Row {
        utterance: example.text.clone(),
        expected: id.to_owned(),
        kind: kind.to_owned(),
        also_ok: vec![understanding.whole(id).to_owned()],
    }
}
