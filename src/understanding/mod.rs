//! What a customer means: utterance → ranked services, and whether to answer, to ask back, to refuse or to fetch a
//! person. No I/O after loading, no clock, no chance: the same files and the same text always give the same answer.
//!
//! Rules come first, few and named: danger words and the wish for a person, then exact keywords. What they leave open is
//! scored by a model that is learned from the examples that staff write ([`Understanding::learn`]); until it has
//! learned, keywords alone are understood. The negative is read before ([`reading`]): “不是要还款，是查账单”.

mod decide;
mod eval;
mod examples;
mod explain;
mod features;
mod learned;
mod lexicon;
mod normal;
mod reading;
mod sound;
mod synonyms;
mod validation;

use std::sync::OnceLock;

use decide::Verdict;
use learned::{Effort, Learned, Text};
use reading::Reading;

pub use decide::{THRESHOLDS, Thresholds};
pub use eval::{BadEvaluation, Evaluation, evaluate};
pub use examples::{Example, Examples};
pub use lexicon::{Family, Lexicon, Refusal, Talk};
use normal::looked_at;
pub use normal::{normalise, number};
pub use synonyms::Replaced;
pub use validation::cross_validate;

use crate::content::Fault;

/// Candidates that are told.
const CANDIDATES_MAX: usize = 10;
/// Characters of an utterance that are looked at.
const CHARACTERS_MAX: usize = 400;
/// Below this a candidate is not told.
const CANDIDATE_SCORE_MIN: f32 = 0.002;
/// What counts of a message of which part says what is surely not meant: the rest of it.
const SURELY_DENIED_SHARE: f32 = 0.8;
/// The same where the negative may be the wish itself: “不想收广告了”.
const PERHAPS_DENIED_SHARE: f32 = 0.5;
/// The class of what is none of our services.
const UNRELATED: &str = "oos";
/// The class of what a person must take over.
const GRAVE: &str = "human";
/// The class of abuse, which is answered calmly.
const ABUSE: &str = "abuse";
/// The service that fetches a person.
const PERSON: &str = "human_agent";

/// What is learned of one service.
#[derive(Clone, Debug, Default)]
pub struct Class {
    /// The service's id.
    pub id: String,
    /// What it is called.
    pub names: Vec<String>,
    /// Exact words that mean it.
    pub keywords: Vec<String>,
    /// Sentences that mean it.
    pub examples: Vec<Example>,
    /// Whether it changes anything: then it must be more certain.
    pub writes: bool,
    /// The service that a knowledge entry belongs to, or that a service is a part of. They are ranked as one, for both are
    /// right where one is.
    pub about: Option<String>,
    /// Whether it is an entry of the knowledge base.
    pub is_entry: bool,
}

/// A service that may be meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The service's or knowledge entry's id.
    pub id: String,
    /// The service that a knowledge entry belongs to, or that a service is a part of.
    pub about: Option<String>,
    /// How likely it is meant, 0 to 1: of a service and its entries together.
    pub score: f32,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The first candidate answers.
    Answer,
    /// These services are offered.
    Ask(Vec<String>),
    /// None of our services is meant.
    Refuse,
    /// A person is needed, for a reason named in the lexicon; `None`: the customer wishes it.
    Person(Option<String>),
}

impl Decision {
    /// Its name in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Ask(_) => "ask",
            Self::Refuse => "refuse",
            Self::Person(_) => "person",
        }
    }
}

/// What an utterance comes to.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The text that was looked at.
    pub normalised: String,
    /// Services that may be meant, the likeliest first.
    pub candidates: Vec<Candidate>,
    /// What to do.
    pub decision: Decision,
    /// A second service that the same message asks for.
    pub also: Option<String>,
    /// Whether it was recognised as something that we do not do.
    pub unrelated: bool,
    /// Whether it was recognised as abuse, and nothing else.
    pub abusive: bool,
    /// The rule or threshold that decided.
    pub reason: String,
}

/// The recogniser.
pub struct Understanding {
    /// The services, and after them the classes of what is no service.
    classes: Vec<Class>,
    /// For each class the class that it is ranked with: the service of an entry or of a part, else itself.
    ranked_with: Vec<usize>,
    /// (normalised keyword, class), the longest first.
    keywords: Vec<(String, usize)>,
    lexicon: Lexicon,
    learned: OnceLock<Learned>,
    accuracy_permille: OnceLock<u32>,
}

impl std::fmt::Debug for Understanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Understanding({} classes)", self.classes.len())
    }
}

impl Understanding {
    /// Services with their words, and more examples of them. Quick: only [`Self::learn`] takes time.
    ///
    /// # Errors
    /// Texts that stand under two services.
    pub fn new(mut classes: Vec<Class>, lexicon: Lexicon, examples: Examples) -> Result<Self, Vec<Fault>> {
        // What a service's own file says goes before the lists: a bank that adds a service need not edit them.
        let own = |class: &Class| -> Vec<(String, String)> {
            let words = class.keywords.iter().chain(&class.names);
            let texts = words.chain(class.examples.iter().map(|example| &example.text));
            texts.map(|text| (normalise(text), class.id.clone())).collect()
        };
        let owners: std::collections::HashMap<String, String> = classes.iter().flat_map(own).collect();
        for (id, mut examples) in examples.into_iter() {
            examples.retain(|example| owners.get(&normalise(&example.text)).is_none_or(|owner| *owner == id));
            match classes.iter_mut().find(|class| class.id == id) {
                Some(class) => class.examples.extend(examples),
                None => classes.push(Class { id, examples, ..Class::default() }),
            }
        }
        let mut keywords = Vec::new();
        for (at, class) in classes.iter().enumerate() {
            for keyword in class.keywords.iter().chain(&class.names) {
                let plain = normalise(keyword);
                if !plain.is_empty() {
                    keywords.push((plain, at));
                }
            }
        }
        keywords.sort_by(|a, b| b.0.chars().count().cmp(&a.0.chars().count()).then_with(|| a.cmp(b)));
        keywords.dedup();
        let understanding = Self::of(classes, keywords, lexicon);
        let faults = understanding.owned_twice();
        if faults.is_empty() { Ok(understanding) } else { Err(faults) }
    }

    fn of(classes: Vec<Class>, keywords: Vec<(String, usize)>, lexicon: Lexicon) -> Self {
        let service = |class: &Class| {
            let about = class.about.as_ref()?;
            classes.iter().position(|other| other.id == *about)
        };
        let ranked_with =
            classes.iter().enumerate().map(|(at, class)| service(class).unwrap_or(at)).collect();
        let (learned, accuracy_permille) = (OnceLock::new(), OnceLock::new());
        Self { classes, ranked_with, keywords, lexicon, learned, accuracy_permille }
    }

    /// Learns labelled utterances alone: (text, label). For public benchmarks.
    #[must_use]
    pub fn train_on(rows: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut classes: std::collections::BTreeMap<String, Class> = std::collections::BTreeMap::new();
        for (text, label) in rows {
            let class = classes.entry(label.clone()).or_default();
            class.id = label;
            class.examples.push(Example { text, ..Example::default() });
        }
        let understanding = Self::of(classes.into_values().collect(), Vec::new(), Lexicon::default());
        understanding.learn();
        understanding
    }

    /// An example that belongs to another class already, as its example or keyword.
    fn owned_twice(&self) -> Vec<Fault> {
        let mut owners: std::collections::HashMap<String, usize> = self.keywords.iter().cloned().collect();
        let mut faults = Vec::new();
        for (at, class) in self.classes.iter().enumerate() {
            for example in &class.examples {
                let owner = *owners.entry(normalise(&example.text)).or_insert(at);
                if owner != at {
                    let message = format!(
                        "{:?} belongs to {} already; keep it in one of them",
                        example.text,
                        self.id(owner)
                    );
                    faults.push(Fault::new(&example.file, example.line, message));
                }
            }
        }
        faults
    }

    /// Learns the examples, once. Blocks for a second or so; until it returns, others are served by keywords.
    pub fn learn(&self) {
        self.learn_with(Effort::Whole);
    }

    fn learn_with(&self, effort: Effort) {
        self.learned.get_or_init(|| {
            let texts: Vec<Text> =
                self.texts().into_iter().map(|(class, text)| (class, self.lexicon.read(text).0)).collect();
            Learned::of(&texts, self.classes.len(), effort)
        });
    }

    /// Whether the examples have been learned.
    #[must_use]
    pub fn has_learned(&self) -> bool {
        self.learned.get().is_some()
    }

    /// Every text that is learned from, with its class.
    fn texts(&self) -> Vec<(usize, &str)> {
        let mut texts = Vec::new();
        for (at, class) in self.classes.iter().enumerate() {
            let words = class.keywords.iter().chain(&class.names).map(String::as_str);
            let examples = class.examples.iter().map(|example| example.text.as_str());
            texts.extend(words.chain(examples).map(|text| (at, text)));
        }
        texts
    }

    /// The same with every `folds`-th example left out, beginning at `fold`; and those: (id, example).
    fn parted(&self, fold: usize, folds: usize) -> (Self, Vec<(String, Example)>) {
        let mut classes = self.classes.clone();
        let mut held_out = Vec::new();
        let mut at = 0;
        for class in &mut classes {
            let id = class.id.clone();
            class.examples.retain(|example| {
                at += 1;
                let out = at % folds == fold;
                if out {
                    held_out.push((id.clone(), example.clone()));
                }
                !out
            });
        }
        (Self::of(classes, self.keywords.clone(), self.lexicon.clone()), held_out)
    }

    /// The word lists it works with.
    #[must_use]
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Whether an id is a service, a knowledge entry, or a class of what is none.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        let class = self.classes.iter().find(|class| class.id == id);
        class.is_some_and(|class| !class.names.is_empty()) || matches!(id, UNRELATED | GRAVE | ABUSE)
    }

    /// The service that owns exactly this word.
    #[must_use]
    pub fn keyword(&self, text: &str) -> Option<&str> {
        let plain = normalise(text);
        self.keywords.iter().find(|(keyword, _)| *keyword == plain).map(|(_, class)| self.id(*class))
    }

    /// Ranks the services for an utterance and decides.
    #[must_use]
    pub fn rank(&self, text: &str) -> Ranked {
        let start = looked_at(text, CHARACTERS_MAX);
        let normalised = normalise(&start);
        let reading = Reading::of(&start);
        let scores = self.scores(&start, &reading);
        let verdict = self.decide(&normalised, &scores);
        let mut candidates: Vec<Candidate> = self
            .ranked(&scores)
            .into_iter()
            .filter(|(_, score)| *score >= CANDIDATE_SCORE_MIN)
            .take(CANDIDATES_MAX)
            .map(|(class, score)| self.candidate(class, score))
            .collect();
        if candidates.is_empty() && self.has_learned() {
            let likeliest = self.ranked(&scores).into_iter().next();
            candidates.extend(likeliest.map(|(class, score)| self.candidate(class, score)));
        }
        let Verdict { mut decision, mut unrelated, abusive, mut reason } = verdict;
        if decision == Decision::Answer
            && let Some(either) = self.either(&start)
        {
            reason = format!("either {}; as a whole {reason}", either.join(" or "));
            decision = Decision::Ask(either);
        }
        let mut also = match (&decision, candidates.first()) {
            (Decision::Answer, Some(best)) => self.also(&reading, &best.id),
            _ => None,
        };
        let is_unsure = unrelated || matches!(decision, Decision::Ask(_));
        if is_unsure && let Some((first, second)) = self.two_wishes(&normalised, &reading, &candidates) {
            reason = format!("two wishes: {first}, then {second}; as a whole {reason}");
            candidates.sort_by_key(|candidate| candidate.id != first);
            (decision, also, unrelated) = (Decision::Answer, Some(second), false);
        }
        Ranked { normalised, candidates, decision, also, unrelated, abusive, reason }
    }

    fn candidate(&self, class: usize, score: f32) -> Candidate {
        let about = self.classes.get(class).and_then(|class| class.about.clone());
        Candidate { id: self.id(class).to_owned(), about, score }
    }

    /// The services by their scores, the likeliest first; of equals, by id. A service, its parts and its
    /// knowledge entries are one, under the likeliest of them.
    #[expect(clippy::float_arithmetic, reason = "probabilities, never amounts")]
    fn ranked(&self, scores: &[f32]) -> Vec<(usize, f32)> {
        let mut together: Vec<Option<(usize, f32, f32)>> = vec![None; self.classes.len()];
        for ((class, score), with) in scores.iter().copied().enumerate().zip(&self.ranked_with) {
            if matches!(self.id(class), UNRELATED | GRAVE | ABUSE) {
                continue;
            }
            let Some(place) = together.get_mut(*with) else { continue };
            *place = Some(match *place {
                Some((first, best, sum)) if best >= score => (first, best, sum + score),
                Some((.., sum)) => (class, score, sum + score),
                None => (class, score, score),
            });
        }
        let mut ranked: Vec<(usize, f32)> =
            together.into_iter().flatten().map(|(class, _, sum)| (class, sum)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| self.id(a.0).cmp(self.id(b.0))));
        ranked
    }

    /// How likely each class is meant.
    #[expect(clippy::float_arithmetic, reason = "probabilities, never amounts")]
    fn scores(&self, text: &str, reading: &Reading<'_>) -> Vec<f32> {
        let Some(learned) = self.learned.get() else { return self.contained(&reading.about.join("，")) };
        let mut scores = learned.probabilities(&self.lexicon.read(text).0);
        if !reading.denied.is_empty() && !reading.about.is_empty() {
            let rest = learned.probabilities(&self.lexicon.read(&reading.about.join("，")).0);
            // 不要自动还款 may be a wish in the negative; 不要人工 is none at all.
            let no_person = |clause: &&str| self.lexicon.names_person(&normalise(clause));
            if reading.denied.iter().any(no_person) {
                return rest;
            }
            let share = if reading.surely { SURELY_DENIED_SHARE } else { PERHAPS_DENIED_SHARE };
            for (score, rest) in scores.iter_mut().zip(rest) {
                *score = *score * (1.0 - share) + rest * share;
            }
        }
        scores
    }

    /// Keywords in the text, the longest first; the more of the telling characters one makes up, the surer.
    #[expect(clippy::float_arithmetic, reason = "a score, never an amount")]
    fn contained(&self, text: &str) -> Vec<f32> {
        let normalised = normalise(text);
        let mut scores = vec![0.0; self.classes.len()];
        let telling = |text: &str| self.lexicon.without_fillers(text).chars().count();
        let count = |count: usize| f32::from(u16::try_from(count).unwrap_or(u16::MAX));
        let mut rest = normalised.clone();
        for (keyword, class) in &self.keywords {
            if !rest.contains(keyword.as_str()) {
                continue;
            }
            let others = telling(&normalised.replacen(keyword.as_str(), "", 1));
            let length = count(keyword.chars().count());
            let share = length / (length + count(others));
            if let Some(score) = scores.get_mut(*class) {
                *score = f32::max(*score, if others == 0 { 1.0 } else { 0.3 + 0.65 * share });
            }
            rest = rest.replace(keyword.as_str(), "\u{1f}");
        }
        scores
    }

    /// A second wish of the message: a clause that surely means another service.
    fn also(&self, reading: &Reading<'_>, first: &str) -> Option<String> {
        let first = self.whole(first);
        self.sure_wishes(reading).into_iter().find(|id| self.whole(id) != first && id != PERSON)
    }

    /// The services between which a message leaves the choice: “查账单还是查额度”.
    fn either(&self, text: &str) -> Option<Vec<String>> {
        let (first, second) = text.split_once("还是").or_else(|| text.split_once("或者"))?;
        let [first, second] = [self.surely(first)?, self.surely(second)?];
        let are_apart = self.whole(&first) != self.whole(&second) && first != PERSON && second != PERSON;
        are_apart.then(|| vec![first, second])
    }

    /// The first two wishes of a message that is unsure as a whole, because its clauses surely mean two services that are
    /// among the likeliest.
    fn two_wishes(
        &self,
        normalised: &str,
        reading: &Reading<'_>,
        candidates: &[Candidate],
    ) -> Option<(String, String)> {
        let likely = |id: &String| candidates.iter().take(3).any(|candidate| candidate.id == *id);
        let mut wishes = self.sure_wishes(reading).into_iter().filter(likely);
        let first = wishes.next().filter(|first| first != PERSON)?;
        let second = wishes.find(|id| self.whole(id) != self.whole(&first) && *id != PERSON)?;
        self.lexicon.others(normalised, &first).is_none().then_some((first, second))
    }

    /// What the clauses of a message surely mean, one by one; nothing where there is only one.
    fn sure_wishes(&self, reading: &Reading<'_>) -> Vec<String> {
        let parts = reading.wishes();
        if parts.len() > 1 { parts.iter().filter_map(|part| self.surely(part)).collect() } else { Vec::new() }
    }

    /// What a part of a message surely means by itself.
    fn surely(&self, part: &str) -> Option<String> {
        const SURE_SCORE_MIN: f32 = 0.7;
        let scores = self.learned.get()?.probabilities(&self.lexicon.read(part).0);
        let (class, score) = self.ranked(&scores).into_iter().next()?;
        (score >= SURE_SCORE_MIN).then(|| self.id(class).to_owned())
    }

    /// What an id is ranked with: the service of an entry or of a part, else itself.
    fn whole<'a>(&'a self, id: &'a str) -> &'a str {
        let class = self.classes.iter().find(|class| class.id == id);
        class.and_then(|class| class.about.as_deref()).unwrap_or(id)
    }

    fn id(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", |class| class.id.as_str())
    }
}

#[cfg(test)]
mod tests;
