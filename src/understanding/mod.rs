//! What a customer means: utterance → ranked services, and whether to answer, to ask back, to refuse or to fetch a
//! person. No I/O after loading, no clock, no chance: the same text always gets the same answer.
//!
//! Danger words and the wish for a person come before any score. Then keywords, then the nearest example by the
//! cosine of character pairs. A trained model can take the place of the last step without a change outside.

mod eval;
mod features;
mod lexicon;
mod normal;

use serde_json::json;

use features::Index;

pub use eval::{BadEvaluation, Evaluation, evaluate};
pub use lexicon::{Family, Lexicon, Talk};
pub use normal::{normalise, number};

/// A score from which a service answers at once.
const ANSWER_SCORE: f64 = 0.62;
/// The same for a service that changes something.
const WRITE_ANSWER_SCORE: f64 = 0.75;
/// A score from which a service is offered when asking back.
const ASK_SCORE: f64 = 0.40;
/// How far the best must be ahead of the second to answer at once.
const MARGIN: f64 = 0.06;
/// Services offered when asking back.
const ASK_MAX: usize = 3;
/// Candidates that are told.
const CANDIDATES_MAX: usize = 10;
/// Characters of an utterance that are looked at.
const CHARACTERS_MAX: usize = 400;
/// The class of what is none of our services.
const UNRELATED: &str = "oos";

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
    pub examples: Vec<String>,
    /// Whether it changes anything: then it must be more certain.
    pub writes: bool,
}

/// A service that may be meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The service's id.
    pub id: String,
    /// 0 (not at all) to 1 (exactly).
    pub score: f64,
    /// What spoke for it.
    pub why: String,
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
    /// Whether it was recognised as something that we do not do.
    pub unrelated: bool,
    /// The rule or threshold that decided.
    pub reason: String,
}

/// The recogniser, trained.
pub struct Understanding {
    classes: Vec<Class>,
    /// (normalised keyword, class), the longest first.
    keywords: Vec<(String, usize)>,
    index: Index,
    lexicon: Lexicon,
}

impl std::fmt::Debug for Understanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Understanding({} classes)", self.classes.len())
    }
}

impl Understanding {
    /// Learns the classes. The lexicon's unrelated examples make one class more.
    #[must_use]
    pub fn train(mut classes: Vec<Class>, lexicon: Lexicon) -> Self {
        let examples = lexicon.unrelated().to_vec();
        if !examples.is_empty() {
            classes.push(Class { id: UNRELATED.to_owned(), examples, ..Class::default() });
        }
        let mut keywords = Vec::new();
        let mut texts = Vec::new();
        for (at, class) in classes.iter().enumerate() {
            for keyword in class.keywords.iter().chain(&class.names) {
                let plain = normalise(keyword);
                if !plain.is_empty() {
                    keywords.push((plain, at));
                }
            }
            for text in class.keywords.iter().chain(&class.names).chain(&class.examples) {
                texts.push((at, text.clone(), normalise(text)));
            }
        }
        keywords.sort_by(|a, b| b.0.chars().count().cmp(&a.0.chars().count()).then_with(|| a.cmp(b)));
        keywords.dedup();
        Self { classes, keywords, index: Index::new(texts), lexicon }
    }

    /// Learns labelled utterances alone: (text, label). For public benchmarks.
    #[must_use]
    pub fn train_on(rows: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut classes: std::collections::BTreeMap<String, Class> = std::collections::BTreeMap::new();
        for (text, label) in rows {
            let class = classes.entry(label.clone()).or_default();
            class.id = label;
            class.examples.push(text);
        }
        Self::train(classes.into_values().collect(), Lexicon::default())
    }

    /// The word lists it works with.
    #[must_use]
    pub fn lexicon(&self) -> &Lexicon {
        &self.lexicon
    }

    /// Whether this is one of the trained services.
    #[must_use]
    pub fn knows(&self, id: &str) -> bool {
        id != UNRELATED && self.classes.iter().any(|class| class.id == id)
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
        let start: String = text.chars().take(CHARACTERS_MAX).collect();
        let normalised = normalise(&about(&start));
        let candidates = self.candidates(&normalised);
        let (decision, reason) = self.decide(&normalised, &candidates);
        let unrelated = decision == Decision::Refuse
            && candidates.first().is_some_and(|best| best.id == UNRELATED && best.score >= ASK_SCORE);
        let related = candidates.into_iter().filter(|candidate| candidate.id != UNRELATED);
        let candidates = related.take(CANDIDATES_MAX).collect();
        Ranked { normalised, candidates, decision, unrelated, reason }
    }

    /// The same as JSON, for `weikefu understand`.
    #[must_use]
    pub fn explain(&self, text: &str) -> serde_json::Value {
        let ranked = self.rank(text);
        let mut all = json!({
            "text": text,
            "normalised": ranked.normalised,
            "decision": ranked.decision.name(),
            "reason": ranked.reason,
            "candidates": ranked.candidates.iter().map(|candidate| json!({
                "id": candidate.id,
                "score": rounded(candidate.score),
                "why": candidate.why,
            })).collect::<Vec<_>>(),
        });
        match ranked.decision {
            Decision::Ask(offered) => all["offered"] = json!(offered),
            Decision::Person(Some(family)) => all["family"] = json!(family),
            _ => {}
        }
        all
    }

    fn id(&self, class: usize) -> &str {
        self.classes.get(class).map_or("", |class| class.id.as_str())
    }

    fn candidates(&self, normalised: &str) -> Vec<Candidate> {
        let mut best: Vec<Option<(f64, String)>> = vec![None; self.classes.len()];
        let mut note = |class: usize, score: f64, why: &dyn Fn() -> String| {
            if let Some(slot) = best.get_mut(class)
                && slot.as_ref().is_none_or(|(old, _)| *old < score)
            {
                *slot = Some((score, why()));
            }
        };
        for near in self.index.nearest(normalised) {
            note(near.class, near.cosine, &|| format!("like {:?}", near.text));
        }
        if let Some((class, score, keyword)) = self.contained(normalised) {
            note(class, score, &|| format!("keyword {keyword:?}"));
        }
        let mut candidates: Vec<Candidate> = best
            .into_iter()
            .enumerate()
            .filter_map(|(class, found)| {
                let (score, why) = found?;
                Some(Candidate { id: self.id(class).to_owned(), score, why })
            })
            .collect();
        candidates.sort_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.id.cmp(&b.id)));
        candidates
    }

    /// The longest keyword in the text; the more of the telling characters it makes up, the surer.
    #[expect(clippy::float_arithmetic, reason = "a score, never an amount")]
    fn contained(&self, normalised: &str) -> Option<(usize, f64, &str)> {
        let (keyword, class) =
            self.keywords.iter().find(|(keyword, _)| normalised.contains(keyword.as_str()))?;
        if normalised == keyword {
            return Some((*class, 1.0, keyword));
        }
        let telling = self.lexicon.without_fillers(&normalised.replacen(keyword.as_str(), "", 1));
        let rest = u32::try_from(telling.chars().count()).unwrap_or(u32::MAX);
        let length = u32::try_from(keyword.chars().count()).unwrap_or(u32::MAX);
        let share = f64::from(length) / (f64::from(length) + f64::from(rest));
        Some((*class, 0.3 + 0.65 * share, keyword))
    }

    #[expect(clippy::float_arithmetic, reason = "a score, never an amount")]
    fn decide(&self, normalised: &str, candidates: &[Candidate]) -> (Decision, String) {
        if let Some((family, word)) = self.lexicon.danger(normalised) {
            return (Decision::Person(Some(family.to_owned())), format!("danger word {word:?} of {family}"));
        }
        if let Some(word) = self.lexicon.person(normalised) {
            return (Decision::Person(None), format!("wish for a person: {word:?}"));
        }
        let Some(best) = candidates.first() else {
            return (Decision::Refuse, "nothing in it is known".to_owned());
        };
        if best.id == UNRELATED && best.score >= ASK_SCORE {
            return (Decision::Refuse, format!("none of our services: {}", best.why));
        }
        let related = || candidates.iter().filter(|candidate| candidate.id != UNRELATED);
        let Some(best) = related().next() else {
            return (Decision::Refuse, "none of our services".to_owned());
        };
        let writes = self.classes.iter().any(|class| class.id == best.id && class.writes);
        let enough = if writes { WRITE_ANSWER_SCORE } else { ANSWER_SCORE };
        let second = related().nth(1).map_or(0.0, |second| second.score);
        if best.score >= 0.999 || (best.score >= enough && best.score - second >= MARGIN) {
            return (
                Decision::Answer,
                format!("{:.2} ≥ {enough} and {:.2} ahead", best.score, best.score - second),
            );
        }
        let offered: Vec<String> = related()
            .filter(|candidate| candidate.score >= ASK_SCORE)
            .take(ASK_MAX)
            .map(|candidate| candidate.id.clone())
            .collect();
        if offered.is_empty() {
            return (Decision::Refuse, format!("{:.2} < {ASK_SCORE}", best.score));
        }
        (Decision::Ask(offered), format!("{:.2} of {enough}, {:.2} ahead", best.score, best.score - second))
    }
}

/// The text without clauses that only say what it is not about: “不要人工，查积分”.
fn about(text: &str) -> String {
    const NOT: [&str; 7] = ["不是", "不要", "不用", "不想", "别", "先不", "我不是"];
    let marks = ['，', '。', '！', '？', '；', ',', '!', '?', ';', '\n'];
    let (without, kept): (Vec<&str>, Vec<&str>) = text
        .split(marks)
        .map(str::trim)
        .filter(|clause| !clause.is_empty())
        .partition(|clause| NOT.iter().any(|not| clause.starts_with(not)));
    if without.is_empty() || kept.is_empty() { text.to_owned() } else { kept.join("，") }
}

#[expect(clippy::float_arithmetic, reason = "a score, never an amount")]
fn rounded(score: f64) -> f64 {
    (score * 10_000.0).round() / 10_000.0
}

#[cfg(test)]
mod tests;
