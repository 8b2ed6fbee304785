//! One hidden layer between features and classes: what several features mean only together.

use crate::chance::Chance;
use crate::rows::{Kept, Rows, add};
use crate::{Descent, Examples, Vector, errors};

/// Units of the hidden layer.
const UNITS: usize = 128;
/// Of the step, what the biases learn by.
const BIAS_SHARE: f32 = 0.05;
/// Bounds of the first weights, from a feature to a unit.
const BEGIN: f32 = 0.3;

#[derive(Clone, Debug)]
pub(crate) struct Hidden {
    inner: Kept,
    inner_bias: Vec<f32>,
    outer: Rows,
    outer_bias: Vec<f32>,
}

impl Hidden {
    pub(crate) fn learn(examples: Examples<'_>, descent: Descent, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut learning = Learning::new(examples, &mut chance);
        let mut order: Vec<usize> = (0..examples.pairs.len()).collect();
        let mut kept = Vector::new();
        for epoch in 0..descent.epochs {
            chance.shuffle(&mut order);
            let rate = descent.rate(epoch);
            for (class, vector) in order.iter().filter_map(|at| examples.pairs.get(*at)) {
                chance.keep(vector, descent.kept, &mut kept);
                learning.step(&kept, *class, rate);
            }
        }
        let Learning { inner, inner_bias, outer, outer_bias, .. } = learning;
        Self { inner: Kept::new(&inner), inner_bias, outer, outer_bias }
    }

    pub(crate) fn scores(&self, vector: &Vector) -> Vec<f32> {
        let mut units = self.inner_bias.clone();
        units.resize(self.inner.width(), 0.0);
        self.inner.add_to(&mut units, vector);
        let mut scores = self.outer_bias.clone();
        from_units(&units, &self.outer, &mut scores);
        scores
    }
}

/// Adds what the units say that are on.
fn from_units(units: &[f32], outer: &Rows, scores: &mut [f32]) {
    for (unit, on) in units.iter().enumerate().filter(|(_, on)| **on > 0.0) {
        add(scores, outer.row(unit), *on);
    }
}

struct Learning {
    classes: usize,
    inner: Rows,
    inner_bias: Vec<f32>,
    outer: Rows,
    outer_bias: Vec<f32>,
    /// What a step works with, kept to spare allocations.
    units: Vec<f32>,
    scores: Vec<f32>,
}

impl Learning {
    fn new(examples: Examples<'_>, chance: &mut Chance) -> Self {
        let even = (6.0 / (UNITS + examples.classes) as f32).sqrt();
        let inner = Rows::new(examples.features, UNITS, || chance.even() * BEGIN);
        let outer = Rows::new(UNITS, examples.classes, || chance.even() * even);
        Self {
            classes: examples.classes,
            inner_bias: vec![0.0; inner.width],
            outer_bias: vec![0.0; outer.width],
            units: vec![0.0; inner.width],
            scores: vec![0.0; outer.width],
            inner,
            outer,
        }
    }

    fn step(&mut self, vector: &Vector, class: usize, rate: f32) {
        self.units.copy_from_slice(&self.inner_bias);
        self.inner.add_to(&mut self.units, vector);
        self.scores.copy_from_slice(&self.outer_bias);
        from_units(&self.units, &self.outer, &mut self.scores);
        errors(&mut self.scores, self.classes, class);
        for (unit, on) in self.units.iter_mut().enumerate() {
            if *on <= 0.0 {
                *on = 0.0;
                continue;
            }
            let row = self.outer.row_mut(unit);
            let error: f32 = row.iter().zip(&self.scores).map(|(weight, error)| weight * error).sum();
            add(row, &self.scores, -rate * *on);
            *on = error;
        }
        add(&mut self.outer_bias, &self.scores, -rate * BIAS_SHARE);
        // What each unit is wrong by now stands in the place of what it said.
        add(&mut self.inner_bias, &self.units, -rate * BIAS_SHARE);
        for (feature, weight) in vector {
            add(self.inner.row_mut(*feature as usize), &self.units, -rate * weight);
        }
    }
}
