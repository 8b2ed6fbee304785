//! Which class a row of sparse features belongs to: the mean of two models that err in different places, a softmax
//! regression and the same with one hidden layer. Both learn by gradient descent with features dropped at random.
//! Deterministic: the same vectors in the same order give the same model.
// It runs in the server: nothing outside tests may panic in its own words, as in the house.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::panic, clippy::unreachable))]
#![expect(clippy::float_arithmetic, reason = "weights and probabilities, never amounts")]

mod chance;
mod hidden;
mod linear;
mod rows;

use hidden::Hidden;
use linear::Linear;

/// An utterance as a row: (feature, weight), each feature once.
pub type Vector = Vec<(u32, f32)>;

/// How learning goes; found by cross-validation.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// For the regression.
    pub linear: Descent,
    /// For the one with a hidden layer; `None`: the regression alone, for comparisons.
    pub hidden: Option<Descent>,
}

/// One descent.
#[derive(Clone, Copy, Debug)]
pub struct Descent {
    /// Times that every example is seen.
    pub epochs: u32,
    /// The first step; falls linearly.
    pub rate_first: f32,
    /// The last step.
    pub rate_last: f32,
    /// Share of an example's features that is kept each time, in 1/256.
    pub kept: u8,
}

impl Descent {
    /// The step of an epoch.
    fn rate(&self, epoch: u32) -> f32 {
        let done = epoch as f32 / self.epochs.max(1) as f32;
        self.rate_first + (self.rate_last - self.rate_first) * done
    }
}

/// (class, vector) pairs: classes count from 0 to `classes`, features from 0 to `features`.
#[derive(Clone, Copy, Debug)]
pub struct Examples<'a> {
    /// The pairs.
    pub pairs: &'a [(usize, Vector)],
    /// How many classes there are.
    pub classes: usize,
    /// How many features there are.
    pub features: usize,
}

/// A trained model.
#[derive(Clone, Debug)]
pub struct Model {
    classes: usize,
    linear: Linear,
    hidden: Option<Hidden>,
}

impl Model {
    /// Learns the examples, each of the two models on a thread of its own.
    #[must_use]
    pub fn learn(examples: Examples<'_>, schedule: Schedule, seed: u64) -> Self {
        let (linear, hidden) = std::thread::scope(|scope| {
            let hidden =
                schedule.hidden.map(|descent| scope.spawn(move || Hidden::learn(examples, descent, seed)));
            let linear = Linear::learn(examples, schedule.linear, seed);
            let hidden =
                hidden.map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            (linear, hidden)
        });
        Self { classes: examples.classes, linear, hidden }
    }

    /// How likely each class is.
    #[must_use]
    pub fn probabilities(&self, vector: &Vector) -> Vec<f32> {
        let mut likely = self.linear.scores(vector);
        softmax(&mut likely, self.classes);
        likely.truncate(self.classes);
        if let Some(hidden) = &self.hidden {
            let mut other = hidden.scores(vector);
            softmax(&mut other, self.classes);
            for (probability, other) in likely.iter_mut().zip(other) {
                *probability = 0.5 * (*probability + other);
            }
        }
        likely
    }

    /// How much a feature by itself speaks for a class.
    #[must_use]
    pub fn weight(&self, feature: u32, class: usize) -> f32 {
        self.linear.weight(feature, class)
    }
}

/// Turns the first `classes` scores into probabilities, and the padding into nothing.
fn softmax(scores: &mut [f32], classes: usize) {
    let best = scores.iter().take(classes).copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for (at, score) in scores.iter_mut().enumerate() {
        *score = if at < classes { (*score - best).exp() } else { 0.0 };
        sum += *score;
    }
    for score in scores {
        *score /= sum;
    }
}

/// Turns the scores of an example into what each class was wrong by.
fn errors(scores: &mut [f32], classes: usize, class: usize) {
    softmax(scores, classes);
    if let Some(own) = scores.get_mut(class) {
        *own -= 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DESCENT: Descent = Descent { epochs: 200, rate_first: 0.4, rate_last: 0.02, kept: 255 };

    fn likeliest(model: &Model, vector: &Vector) -> usize {
        let likely = model.probabilities(vector);
        let best = likely.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        best.map_or(usize::MAX, |(class, _)| class)
    }

    fn examples(pairs: &[(usize, Vector)]) -> Examples<'_> {
        Examples { pairs, classes: 2, features: 3 }
    }

    #[test]
    fn what_two_features_mean_only_together_is_learned() {
        // One of the two, or both, beside what every example has.
        let pairs: Vec<(usize, Vector)> = vec![
            (0, vec![(0, 0.5)]),
            (1, vec![(0, 0.5), (1, 1.0)]),
            (1, vec![(0, 0.5), (2, 1.0)]),
            (0, vec![(0, 0.5), (1, 1.0), (2, 1.0)]),
        ];
        let schedule = |hidden| Schedule { linear: DESCENT, hidden };
        let right =
            |model: &Model| pairs.iter().filter(|(class, vector)| likeliest(model, vector) == *class).count();
        let both = Model::learn(examples(&pairs), schedule(Some(DESCENT)), 7);
        assert_eq!(right(&both), pairs.len());
        let alone = Model::learn(examples(&pairs), schedule(None), 7);
        assert!(right(&alone) < pairs.len(), "no sum of features tells one from both");
    }

    #[test]
    fn the_same_examples_and_seed_give_the_same_probabilities_which_sum_to_one() {
        let pairs = vec![(0, vec![(0, 1.0)]), (1, vec![(1, 1.0), (2, 0.5)])];
        let schedule = Schedule { linear: DESCENT, hidden: Some(DESCENT) };
        let [first, second] = [7, 7].map(|seed| Model::learn(examples(&pairs), schedule, seed));
        for vector in [vec![(0, 1.0)], vec![(2, 0.3)], vec![], vec![(99, 1.0)]] {
            let likely = first.probabilities(&vector);
            assert_eq!(likely, second.probabilities(&vector), "{vector:?}");
            assert!((likely.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{vector:?}: {likely:?}");
        }
    }
}
