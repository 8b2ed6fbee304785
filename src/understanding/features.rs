//! Nearest example: texts as bags of characters (words, in Latin script) and their pairs, compared by cosine.
#![expect(clippy::float_arithmetic, reason = "similarities, never amounts")]

use std::collections::HashMap;

/// What a single token weighs against a pair of neighbours.
const SINGLE_WEIGHT: f64 = 0.6;

/// An example that is like the utterance.
pub(super) struct Near<'a> {
    pub(super) class: usize,
    pub(super) cosine: f64,
    pub(super) text: &'a str,
}

struct Example {
    class: usize,
    text: String,
}

/// Examples by their features.
pub(super) struct Index {
    examples: Vec<Example>,
    /// Feature → its rarity, and the examples that have it with their weight.
    features: HashMap<String, (f64, Vec<(usize, f64)>)>,
}

impl Index {
    /// Indexes (class, text, normalised text).
    pub(super) fn new(texts: Vec<(usize, String, String)>) -> Self {
        let mut documents: HashMap<String, u32> = HashMap::new();
        let counted: Vec<HashMap<String, f64>> = texts.iter().map(|(_, _, text)| counts(text)).collect();
        for feature in counted.iter().flat_map(HashMap::keys) {
            *documents.entry(feature.clone()).or_default() += 1;
        }
        let total = f64::from(u32::try_from(texts.len()).unwrap_or(u32::MAX));
        let mut features: HashMap<String, (f64, Vec<(usize, f64)>)> = documents
            .into_iter()
            .map(|(feature, count)| {
                (feature, (1.0 + ((total + 1.0) / (f64::from(count) + 1.0)).ln(), Vec::new()))
            })
            .collect();
        let mut examples = Vec::new();
        for ((class, text, _), counts) in texts.into_iter().zip(counted) {
            let at = examples.len();
            examples.push(Example { class, text });
            let weight = |feature: &String, count: f64| {
                features.get(feature).map_or(0.0, |(rarity, _)| rarity * count)
            };
            // Sorted, because sums of floats depend on their order and the same file must give the same scores.
            let mut weights: Vec<(String, f64)> = counts
                .into_iter()
                .map(|(feature, count)| (feature.clone(), weight(&feature, count)))
                .collect();
            weights.sort_by(|a, b| a.0.cmp(&b.0));
            let length = length(&weights);
            for (feature, weight) in weights {
                if let Some((_, examples)) = features.get_mut(&feature) {
                    examples.push((at, weight / length));
                }
            }
        }
        Self { examples, features }
    }

    /// The nearest example of each class that shares anything with the text.
    pub(super) fn nearest(&self, normalised: &str) -> Vec<Near<'_>> {
        let mut weights: Vec<(String, f64)> = counts(normalised)
            .into_iter()
            .map(|(feature, count)| {
                // What no example has still makes the text less like every one of them.
                let unseen =
                    1.0 + f64::from(u32::try_from(self.examples.len()).unwrap_or(u32::MAX)).ln() / 2.0;
                let rarity = self.features.get(&feature).map_or(unseen, |(rarity, _)| *rarity);
                (feature, rarity * count)
            })
            .collect();
        weights.sort_by(|a, b| a.0.cmp(&b.0));
        let length = length(&weights);
        let mut scores = vec![0.0_f64; self.examples.len()];
        for (feature, weight) in &weights {
            for (at, other) in self.features.get(feature).map_or(&[][..], |(_, examples)| examples) {
                if let Some(score) = scores.get_mut(*at) {
                    *score += weight / length * other;
                }
            }
        }
        let mut best: HashMap<usize, Near<'_>> = HashMap::new();
        for (example, cosine) in self.examples.iter().zip(scores).filter(|(_, cosine)| *cosine > 0.0) {
            let near = Near { class: example.class, cosine, text: &example.text };
            match best.get(&example.class) {
                Some(old) if old.cosine >= cosine => {}
                _ => {
                    best.insert(example.class, near);
                }
            }
        }
        best.into_values().collect()
    }
}

fn length(weights: &[(String, f64)]) -> f64 {
    weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt().max(f64::MIN_POSITIVE)
}

/// Every token and every pair of neighbours, with the weight of how often.
fn counts(normalised: &str) -> HashMap<String, f64> {
    let tokens = tokens(normalised);
    let mut counts: HashMap<String, f64> = HashMap::new();
    for token in &tokens {
        *counts.entry(token.clone()).or_default() += SINGLE_WEIGHT;
    }
    for pair in tokens.windows(2) {
        if let [left, right] = pair {
            *counts.entry(format!("{left}\u{1f}{right}")).or_default() += 1.0;
        }
    }
    counts
}

/// Chinese characters one by one, Latin words and numbers whole.
fn tokens(normalised: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    for character in normalised.chars().chain([' ']) {
        if character.is_ascii_alphanumeric() {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if character != ' ' {
            tokens.push(character.to_string());
        }
    }
    tokens
}
