//! An utterance as weighted features: its characters, how they sound, and the letters of Latin words.
#![expect(clippy::float_arithmetic, reason = "weights of features, never amounts")]

use std::collections::{BTreeMap, HashMap};

use weikefu_model::Vector;

use super::sound::Syllables;

/// What stands for any number.
const NUMBER: &str = "#";
/// Separates the tokens of a feature.
const BETWEEN: char = '·';
/// Marks where a text begins and where it ends.
const BEGIN: char = '⟨';
const END: char = '⟩';
/// What the beginning and the end weigh beside a single character.
const ENDS_WEIGHT: f32 = 0.7;
/// Letters of a Latin word that count where it is taken without its ending.
const STEM_LETTERS_MAX: usize = 6;
/// Fewest that are left of it.
const STEM_LETTERS_MIN: usize = 3;

/// A view of the text; each is weighed by itself, so that none drowns another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum View {
    /// Han characters and Latin words, and pairs of them.
    Text,
    /// The same as they sound; Latin words without their endings.
    Sound,
    /// Latin letters, two to five in a row.
    Letters,
}

impl View {
    const ALL: [Self; 3] = [Self::Text, Self::Sound, Self::Letters];

    fn weight(self) -> f32 {
        match self {
            Self::Text | Self::Sound => 1.0,
            Self::Letters => 0.8,
        }
    }
}

/// A feature as it is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Feature {
    pub(super) view: View,
    pub(super) text: String,
}

/// The features that training texts have, numbered, with their rarity.
pub(super) struct Vocabulary {
    syllables: Syllables,
    numbers: HashMap<Feature, u32>,
    features: Vec<(Feature, f32)>,
    unseen_rarity: f32,
}

impl Vocabulary {
    /// Numbers every feature of the texts.
    pub(super) fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let syllables = Syllables::new();
        let mut documents: BTreeMap<Feature, u32> = BTreeMap::new();
        let mut total = 0_u32;
        for text in texts {
            total += 1;
            for feature in counted(text, &syllables).into_keys() {
                *documents.entry(feature).or_default() += 1;
            }
        }
        let rarity = |count: u32| 1.0 + ((to_f32(total) + 1.0) / (to_f32(count) + 1.0)).ln();
        let features: Vec<(Feature, f32)> =
            documents.into_iter().map(|(feature, count)| (feature, rarity(count))).collect();
        let numbers = features
            .iter()
            .enumerate()
            .filter_map(|(at, (feature, _))| Some((feature.clone(), u32::try_from(at).ok()?)))
            .collect();
        Self { syllables, numbers, features, unseen_rarity: rarity(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.features.len()
    }

    /// A feature by its number.
    pub(super) fn feature(&self, number: u32) -> Option<&Feature> {
        self.features.get(usize::try_from(number).ok()?).map(|(feature, _)| feature)
    }

    /// The text's known features, their numbers rising; of length 1, or empty. Unknown ones are left out, but make the known ones weigh less.
    pub(super) fn vector(&self, normalised: &str) -> Vector {
        let mut known: Vector = Vec::new();
        let mut length = 0.0;
        let counted = counted(normalised, &self.syllables);
        for view in View::ALL {
            let weighed: Vec<(Option<u32>, f32)> = counted
                .iter()
                .filter(|(feature, _)| feature.view == view)
                .map(|(feature, (count, weight))| {
                    let number = self.numbers.get(feature).copied();
                    let rarity = number.and_then(|number| self.features.get(usize::try_from(number).ok()?));
                    let rarity = rarity.map_or(self.unseen_rarity, |(_, rarity)| *rarity);
                    (number, (1.0 + to_f32(*count).ln()) * rarity * weight)
                })
                .collect();
            let squares: f32 = weighed.iter().map(|(_, weight)| weight * weight).sum();
            if squares == 0.0 {
                continue;
            }
            let scale = view.weight() / squares.sqrt();
            length += view.weight() * view.weight();
            known.extend(weighed.into_iter().filter_map(|(number, weight)| Some((number?, weight * scale))));
        }
        let scale = if length > 0.0 { 1.0 / length.sqrt() } else { 0.0 };
        for (_, weight) in &mut known {
            *weight *= scale;
        }
        known.sort_by_key(|(number, _)| *number);
        known
    }
}

/// Every feature of a text: how often, and what one of its kind weighs.
fn counted(normalised: &str, syllables: &Syllables) -> BTreeMap<Feature, (u32, f32)> {
    let mut found = Found::default();
    let tokens = tokens(normalised);
    let mut sounds: Vec<String> = Vec::new();
    for token in &tokens {
        match token.chars().next().and_then(Syllables::of) {
            Some(sound) => sounds.push(sound.to_owned()),
            None => match syllables.split(token) {
                Some(split) => sounds.extend(split.into_iter().map(str::to_owned)),
                None => sounds.push(stem(token).to_owned()),
            },
        }
    }
    found.runs(View::Text, &tokens, 1.0, 0.7);
    found.runs(View::Sound, &sounds, 1.0, 1.0);
    found.ends(&tokens);
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| is_latin(token)) {
        found.letters(token);
        let words_after = |by: usize| tokens.get(at + by).filter(|other| is_latin(other));
        // Words apart from each other by one or two: `lost my card`, `lost my new card`.
        if let Some(other) = words_after(2) {
            found.add(View::Text, format!("{token}{BETWEEN}…{BETWEEN}{other}"), 0.5);
        }
        for (by, gap) in [(2, "…"), (3, "……")] {
            if let Some(other) = words_after(by) {
                let pair = format!("{}{BETWEEN}{gap}{BETWEEN}{}", stem(token), stem(other));
                found.add(View::Sound, pair, 0.5);
            }
        }
    }
    found.0
}

#[derive(Default)]
struct Found(BTreeMap<Feature, (u32, f32)>);

impl Found {
    fn add(&mut self, view: View, text: String, weight: f32) {
        self.0.entry(Feature { view, text }).or_insert((0, weight)).0 += 1;
    }

    fn runs(&mut self, view: View, tokens: &[String], single: f32, pair: f32) {
        for token in tokens {
            self.add(view, token.clone(), single);
        }
        for pair_of in tokens.windows(2) {
            self.add(view, pair_of.join(&BETWEEN.to_string()), pair);
        }
    }

    /// How a Chinese text begins and ends: that is where a question tells itself from a wish.
    fn ends(&mut self, tokens: &[String]) {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return };
        if is_latin(first) {
            return;
        }
        self.add(View::Text, format!("{BEGIN}{first}"), ENDS_WEIGHT);
        self.add(View::Text, format!("{last}{END}"), ENDS_WEIGHT);
        if let Some(second) = tokens.get(1) {
            self.add(View::Text, format!("{BEGIN}{first}{BETWEEN}{second}"), ENDS_WEIGHT);
        }
    }

    fn letters(&mut self, word: &str) {
        let bounded: Vec<char> = format!("_{word}_").chars().collect();
        for length in 2..=5 {
            for run in bounded.windows(length) {
                self.add(View::Letters, run.iter().collect(), 1.0);
            }
        }
    }
}

fn is_latin(token: &str) -> bool {
    token.bytes().all(|byte| byte.is_ascii_lowercase())
}

/// A Latin word without its ending, so that `charged`, `charges` and `charging` are one; other tokens as they are.
fn stem(token: &str) -> &str {
    if !is_latin(token) {
        return token;
    }
    let without = |ending: &&str| token.strip_suffix(*ending).filter(|stem| stem.len() >= STEM_LETTERS_MIN);
    let stem = ["ing", "ed", "es", "s", "ly"].iter().find_map(without).unwrap_or(token);
    stem.get(..STEM_LETTERS_MAX).unwrap_or(stem)
}

/// Chinese characters one by one, Latin words whole, any number as one token.
fn tokens(normalised: &str) -> Vec<String> {
    let mut tokens: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut digits = false;
    for character in normalised.chars().chain([' ']) {
        let goes_on =
            character.is_ascii_alphanumeric() && (word.is_empty() || digits == character.is_ascii_digit());
        if !goes_on && !word.is_empty() {
            let token = std::mem::take(&mut word);
            tokens.push(if digits { NUMBER.to_owned() } else { token });
        }
        if character.is_ascii_alphanumeric() {
            digits = character.is_ascii_digit();
            word.push(character);
        } else if character != ' ' {
            tokens.push(character.to_string());
        }
    }
    tokens
}

fn to_f32(count: u32) -> f32 {
    // Counts of texts and features stay far below 2^24, where f32 begins to round.
    u16::try_from(count).map_or(65_535.0, f32::from)
}
