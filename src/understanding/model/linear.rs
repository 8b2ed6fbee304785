//! Softmax regression: one row of weights for each feature.

use crate::chance::Chance;
use crate::rows::{Kept, LANES, Rows};
use crate::{Descent, Examples, Vector, errors};

/// Of the step, what the bias learns by.
const BIAS_SHARE: f32 = 0.05;
/// Gradients below this are not carried out: most classes of most examples, once learning has settled.
const GRADIENT_MIN: f32 = 0.000_5;

#[derive(Clone, Debug)]
pub(crate) struct Linear {
    weights: Kept,
    bias: Vec<f32>,
}

impl Linear {
    pub(crate) fn learn(examples: Examples<'_>, descent: Descent, seed: u64) -> Self {
        let mut learning = Learning::new(examples);
        let mut order: Vec<usize> = (0..examples.pairs.len()).collect();
        let mut chance = Chance::new(seed);
        let mut kept = Vector::new();
        let mut mean = Mean::default();
        for epoch in 0..descent.epochs {
            chance.shuffle(&mut order);
            let rate = descent.rate(epoch);
            for (class, vector) in order.iter().filter_map(|at| examples.pairs.get(*at)) {
                chance.keep(vector, descent.kept, &mut kept);
                learning.step(&kept, *class, rate);
            }
            if epoch >= descent.epochs / 2 {
                mean.add(&learning);
            }
        }
        mean.of(learning)
    }

    pub(crate) fn scores(&self, vector: &Vector) -> Vec<f32> {
        let mut scores = self.bias.clone();
        self.weights.add_to(&mut scores, vector);
        scores
    }

    pub(crate) fn weight(&self, feature: u32, class: usize) -> f32 {
        self.weights.weight(feature as usize, class)
    }
}

struct Learning {
    classes: usize,
    weights: Rows,
    bias: Vec<f32>,
    /// Kept to spare allocations.
    scores: Vec<f32>,
    /// Where the lanes begin that have something to learn.
    wrong: Vec<usize>,
}

impl Learning {
    fn new(examples: Examples<'_>) -> Self {
        let weights = Rows::new(examples.features, examples.classes, || 0.0);
        let bias = vec![0.0; weights.width];
        Self { classes: examples.classes, scores: bias.clone(), bias, weights, wrong: Vec::new() }
    }

    fn step(&mut self, vector: &Vector, class: usize, rate: f32) {
        self.scores.copy_from_slice(&self.bias);
        self.weights.add_to(&mut self.scores, vector);
        errors(&mut self.scores, self.classes, class);
        // Once learning has settled, most classes of most examples have nothing more to learn.
        self.wrong.clear();
        for (lanes, gradients) in self.scores.chunks_exact(LANES).enumerate() {
            if gradients.iter().any(|gradient| gradient.abs() > GRADIENT_MIN) {
                self.wrong.push(lanes * LANES);
            }
        }
        nudge(&mut self.bias, &self.scores, &self.wrong, rate * BIAS_SHARE);
        for (feature, weight) in vector {
            nudge(self.weights.row_mut(*feature as usize), &self.scores, &self.wrong, rate * weight);
        }
    }
}

fn nudge(weights: &mut [f32], gradients: &[f32], wrong: &[usize], by: f32) {
    for at in wrong {
        let lanes = *at..*at + LANES;
        let (Some(weights), Some(gradients)) = (weights.get_mut(lanes.clone()), gradients.get(lanes)) else {
            continue;
        };
        for (weight, gradient) in weights.iter_mut().zip(gradients) {
            *weight -= by * gradient;
        }
    }
}

/// The mean of the model over the second half of its learning: which example came last counts for less in it.
#[derive(Default)]
struct Mean {
    weights: Vec<f32>,
    bias: Vec<f32>,
    times: u16,
}

impl Mean {
    fn add(&mut self, learning: &Learning) {
        let sum = |sums: &mut Vec<f32>, values: &[f32]| {
            sums.resize(values.len(), 0.0);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        };
        sum(&mut self.weights, &learning.weights.weights);
        sum(&mut self.bias, &learning.bias);
        self.times = self.times.saturating_add(1);
    }

    fn of(self, learning: Learning) -> Linear {
        if self.times == 0 {
            return Linear { weights: Kept::new(&learning.weights), bias: learning.bias };
        }
        let times = f32::from(self.times);
        let mean = |sums: Vec<f32>| sums.into_iter().map(|sum| sum / times).collect();
        let weights = Rows { width: learning.weights.width, weights: mean(self.weights) };
        Linear { weights: Kept::new(&weights), bias: mean(self.bias) }
    }
}
