//! Softmax regression over sparse features: one row of weights for each feature, learned by gradient descent with
//! features dropped at random. Deterministic: the same vectors in the same order give the same model.
// It runs in the server: nothing outside tests may panic in its own words, as in the house.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::panic, clippy::unreachable))]
#![expect(clippy::float_arithmetic, reason = "weights and probabilities, never amounts")]

/// An utterance as a row: (feature, weight), each feature once.
pub type Vector = Vec<(u32, f32)>;

/// How learning goes; found by cross-validation.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Times that every example is seen.
    pub epochs: u32,
    /// The first step; falls linearly.
    pub rate_first: f32,
    /// The last step.
    pub rate_last: f32,
    /// Share of an example's features that is kept each time, in 1/256.
    pub kept: u8,
}

/// Of the step, what the bias learns by.
const BIAS_SHARE: f32 = 0.05;
/// Gradients below this are not carried out: most classes of most examples, once learning has settled.
const GRADIENT_MIN: f32 = 0.000_5;
/// Rows are padded to a multiple of this, so that the inner loop is vectorised.
const LANES: usize = 8;

/// A trained model.
#[derive(Clone, Debug)]
pub struct Model {
    classes: usize,
    width: usize,
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Model {
    /// Learns (class, vector) pairs; classes count from 0 to `classes`, features from 0 to `features`.
    #[must_use]
    pub fn learn(
        examples: &[(usize, Vector)],
        classes: usize,
        features: usize,
        schedule: Schedule,
        seed: u64,
    ) -> Self {
        let width = classes.div_ceil(LANES) * LANES;
        let mut model = Self { classes, width, weights: vec![0.0; features * width], bias: vec![0.0; width] };
        let mut order: Vec<usize> = (0..examples.len()).collect();
        let mut chance = Chance(seed);
        let mut step = Step { kept: Vec::new(), scores: vec![0.0; width], wrong: Vec::new() };
        let keep = f32::from(schedule.kept) / 256.0;
        let total = schedule.epochs.max(1);
        let mut average = Average::default();
        for epoch in 0..total {
            chance.shuffle(&mut order);
            let done = epoch as f32 / total as f32;
            let rate = schedule.rate_first + (schedule.rate_last - schedule.rate_first) * done;
            for (class, vector) in order.iter().filter_map(|at| examples.get(*at)) {
                step.kept.clear();
                for (feature, weight) in vector {
                    if chance.byte() < schedule.kept {
                        step.kept.push((*feature, weight / keep));
                    }
                }
                model.step(&mut step, *class, rate);
            }
            if epoch >= total / 2 {
                average.add(&model);
            }
        }
        average.of(model)
    }

    fn step(&mut self, step: &mut Step, class: usize, rate: f32) {
        self.score(&step.kept, &mut step.scores);
        softmax(&mut step.scores, self.classes);
        if let Some(own) = step.scores.get_mut(class) {
            *own -= 1.0;
        }
        // Once learning has settled, most classes of most examples have nothing more to learn.
        step.wrong.clear();
        for (lanes, gradients) in step.scores.chunks_exact(LANES).enumerate() {
            if gradients.iter().any(|gradient| gradient.abs() > GRADIENT_MIN) {
                step.wrong.push(lanes * LANES);
            }
        }
        let nudge = |weights: &mut [f32], step: &Step, by: f32| {
            for at in &step.wrong {
                let (Some(weights), Some(gradients)) =
                    (weights.get_mut(*at..*at + LANES), step.scores.get(*at..*at + LANES))
                else {
                    continue;
                };
                for (weight, gradient) in weights.iter_mut().zip(gradients) {
                    *weight -= by * gradient;
                }
            }
        };
        nudge(&mut self.bias, step, rate * BIAS_SHARE);
        for (feature, weight) in &step.kept {
            let start = *feature as usize * self.width;
            if let Some(row) = self.weights.get_mut(start..start + self.width) {
                nudge(row, step, rate * weight);
            }
        }
    }

    fn score(&self, vector: &[(u32, f32)], scores: &mut [f32]) {
        scores.copy_from_slice(&self.bias);
        for (feature, weight) in vector {
            let start = *feature as usize * self.width;
            if let Some(row) = self.weights.get(start..start + self.width) {
                for (score, own) in scores.iter_mut().zip(row) {
                    *score += weight * own;
                }
            }
        }
    }

    /// The score of every class before it becomes a probability.
    #[must_use]
    pub fn scores(&self, vector: &Vector) -> Vec<f32> {
        let mut scores = vec![0.0; self.width];
        self.score(vector, &mut scores);
        scores.truncate(self.classes);
        scores
    }

    /// How much a feature speaks for a class.
    #[must_use]
    pub fn weight(&self, feature: u32, class: usize) -> f32 {
        self.weights.get(feature as usize * self.width + class).copied().unwrap_or(0.0)
    }
}

/// The mean of the model over the second half of its learning: which example came last counts for less in it.
#[derive(Default)]
struct Average {
    weights: Vec<f32>,
    bias: Vec<f32>,
    times: u16,
}

impl Average {
    fn add(&mut self, model: &Model) {
        let sum = |sums: &mut Vec<f32>, values: &[f32]| {
            sums.resize(values.len(), 0.0);
            for (sum, value) in sums.iter_mut().zip(values) {
                *sum += value;
            }
        };
        sum(&mut self.weights, &model.weights);
        sum(&mut self.bias, &model.bias);
        self.times = self.times.saturating_add(1);
    }

    fn of(self, model: Model) -> Model {
        let times = f32::from(self.times.max(1));
        let mean = |sums: Vec<f32>| sums.into_iter().map(|sum| sum / times).collect();
        Model { weights: mean(self.weights), bias: mean(self.bias), ..model }
    }
}

/// What one step of learning works with, kept to spare allocations.
struct Step {
    kept: Vec<(u32, f32)>,
    scores: Vec<f32>,
    /// Where the lanes begin that have something to learn.
    wrong: Vec<usize>,
}

/// Turns the first `classes` scores into probabilities, and the padding into nothing.
pub fn softmax(scores: &mut [f32], classes: usize) {
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

/// A small generator of pseudo-random numbers (SplitMix64): the same seed, the same model.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_be_bytes()[0]
    }

    fn shuffle(&mut self, order: &mut [usize]) {
        for last in (1..order.len()).rev() {
            let bound = u64::try_from(last).unwrap_or(u64::MAX) + 1;
            let other = usize::try_from(self.next() % bound).unwrap_or(0);
            order.swap(last, other);
        }
    }
}
