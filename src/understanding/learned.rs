//! What is learned of the examples: their features, the model over them, and every example again by its features.
#![expect(clippy::float_arithmetic, reason = "probabilities and similarities, never amounts")]

use weikefu_model::{Descent, Examples, Model, Schedule, Vector};

use super::features::{Feature, Vocabulary};

/// Found by cross-validation: more epochs or fewer features kept change nothing that could be measured.
const LINEAR: Descent = Descent { epochs: 16, rate_first: 4.0, rate_last: 0.08, kept: 176 };
/// The same for thousands of examples with many features in Latin script.
const LINEAR_LATIN: Descent = Descent { epochs: 40, rate_first: 4.0, rate_last: 0.08, kept: 128 };
/// For the hidden layer.
const HIDDEN: Descent = Descent { epochs: 20, rate_first: 0.15, rate_last: 0.007_5, kept: 128 };
/// Enough to tell whether a change of the examples makes things better or worse.
const LINEAR_SHORT: Descent = Descent { epochs: 4, ..LINEAR };
/// The same files give the same model.
const SEED: u64 = 1;
/// The longest utterance that is taken feature by feature, when it is explained.
const REASONS_MAX: usize = 5;

/// How much learning is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// All of it: what customers are served with.
    Whole,
    /// Enough to compare two sets of examples.
    Short,
}

/// A text to learn from: its class and itself, normalised, synonyms replaced.
pub(super) type Text = (usize, String);

/// The example most like an utterance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Near {
    /// Which of the learned texts.
    pub(super) text: usize,
    /// 0 (nothing in common) to 1 (the same).
    pub(super) cosine: f32,
}

/// The recogniser's learned part.
pub(super) struct Learned {
    vocabulary: Vocabulary,
    model: Model,
    /// For each feature the texts that have it.
    by_feature: Vec<Vec<(u32, f32)>>,
    texts: usize,
}

impl Learned {
    /// Learns the texts. Takes a second or so; deterministic.
    pub(super) fn of(texts: &[Text], classes: usize, effort: Effort) -> Self {
        let vocabulary = Vocabulary::new(texts.iter().map(|(_, text)| text.as_str()));
        let vectors: Vec<(usize, Vector)> =
            texts.iter().map(|(class, text)| (*class, vocabulary.vector(text))).collect();
        let latin = texts.iter().filter(|(_, text)| text.is_ascii()).count() * 2 > texts.len();
        let schedule = match effort {
            Effort::Short => Schedule { linear: LINEAR_SHORT, hidden: None },
            Effort::Whole if latin => Schedule { linear: LINEAR_LATIN, hidden: Some(HIDDEN) },
            Effort::Whole => Schedule { linear: LINEAR, hidden: Some(HIDDEN) },
        };
        let examples = Examples { pairs: &vectors, classes, features: vocabulary.len() };
        let model = Model::learn(examples, schedule, SEED);
        let mut by_feature = vec![Vec::new(); vocabulary.len()];
        for (at, (_, vector)) in (0_u32..).zip(&vectors) {
            for (feature, weight) in vector {
                if let Some(texts) = by_feature.get_mut(*feature as usize) {
                    texts.push((at, *weight));
                }
            }
        }
        Self { vocabulary, model, by_feature, texts: texts.len() }
    }

    /// How likely each class is.
    pub(super) fn probabilities(&self, text: &str) -> Vec<f32> {
        self.model.probabilities(&self.vocabulary.vector(text))
    }

    /// The learned text most like this one.
    pub(super) fn nearest(&self, text: &str) -> Option<Near> {
        let mut cosines = vec![0.0_f32; self.texts];
        for (feature, weight) in self.vocabulary.vector(text) {
            for (at, other) in self.by_feature.get(feature as usize).map_or(&[][..], Vec::as_slice) {
                if let Some(cosine) = cosines.get_mut(*at as usize) {
                    *cosine += weight * other;
                }
            }
        }
        let best = cosines.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)))?;
        (*best.1 > 0.0).then_some(Near { text: best.0, cosine: *best.1 })
    }

    /// The features that most set a class apart from another in this text, with how much.
    pub(super) fn reasons(&self, text: &str, class: usize, other: usize) -> Vec<(&Feature, f32)> {
        let vector = self.vocabulary.vector(text);
        let mut reasons: Vec<(&Feature, f32)> = vector
            .iter()
            .filter_map(|(number, weight)| {
                let ahead = self.model.weight(*number, class) - self.model.weight(*number, other);
                Some((self.vocabulary.feature(*number)?, ahead * weight))
            })
            .filter(|(_, by)| *by > 0.0)
            .collect();
        reasons.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(b.0)));
        reasons.truncate(REASONS_MAX);
        reasons
    }
}
