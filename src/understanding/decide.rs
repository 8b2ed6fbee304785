//! From scores to a decision: answer, ask back, refuse, or a person.
#![expect(clippy::float_arithmetic, reason = "probabilities, never amounts")]

use super::{ABUSE, Decision, GRAVE, PERSON, UNRELATED, Understanding};

/// Services offered when asking back.
const ASK_MAX: usize = 3;
/// Of the best one's score, what makes a second one as likely as it.
const AS_LIKELY: f32 = 0.9;
/// The danger that stands for what the model, and no word, recognises as one.
const UNNAMED_DANGER: &str = "grave";

/// From which scores on what is done. Chosen by cross-validation (`weikefu eval --cross-validate`) so that fewer than 2.5 %
/// of all messages are answered at once with something else, and nine in ten that are none of ours are turned away.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// A service answers at once.
    pub answer: f32,
    /// The same for one that changes something.
    pub answer_write: f32,
    /// Services are offered, if together they come to this.
    pub ask: f32,
    /// A single service is worth offering.
    pub offer: f32,
    /// It is none of our services.
    pub outside: f32,
    /// A person must take over.
    pub person: f32,
}

/// In use.
pub const THRESHOLDS: Thresholds =
    Thresholds { answer: 0.82, answer_write: 0.86, ask: 0.4, offer: 0.1, outside: 0.15, person: 0.4 };

impl std::fmt::Display for Thresholds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "understanding answers at once from {:.2} on ({:.2} where something changes), asks back from {:.2} on for up to \
             {ASK_MAX} together, refuses as unrelated from {:.2} on, calls a person from {:.2} on",
            self.answer, self.answer_write, self.ask, self.outside, self.person
        )
    }
}

/// What was decided, and why.
pub(super) struct Verdict {
    pub(super) decision: Decision,
    pub(super) unrelated: bool,
    pub(super) abusive: bool,
    pub(super) reason: String,
}

impl Verdict {
    fn new(decision: Decision, reason: impl Into<String>) -> Self {
        Self { decision, unrelated: false, abusive: false, reason: reason.into() }
    }
}

impl Understanding {
    /// Decides by rules first, then by scores.
    pub(super) fn decide(&self, normalised: &str, scores: &[f32]) -> Verdict {
        if let Some((family, word)) = self.lexicon.danger(normalised) {
            let reason = format!("danger word {word:?} of {family}");
            return Verdict::new(Decision::Person(Some(family.to_owned())), reason);
        }
        if let Some(word) = self.lexicon.person(normalised) {
            return Verdict::new(Decision::Person(None), format!("wish for a person: {word:?}"));
        }
        if normalised.is_empty() {
            return Verdict::new(Decision::Refuse, "nothing in it can be read");
        }
        if self.lexicon.talk(normalised).is_some() {
            return Verdict::new(Decision::Refuse, "small talk, which has its own answer");
        }
        if let Some((_, what)) = self.lexicon.refusal(normalised) {
            return Verdict::new(Decision::Refuse, format!("a wish for {what:?} that is refused"));
        }
        let likeliest = self.ranked(scores).first().map_or("", |(class, _)| self.id(*class));
        if let Some(name) = self.lexicon.others(normalised, likeliest) {
            let reason = format!("{name:?} is another bank's, and {likeliest} does not speak of such");
            return Verdict { unrelated: true, ..Verdict::new(Decision::Refuse, reason) };
        }
        self.decide_by_score(scores, &THRESHOLDS)
    }

    fn decide_by_score(&self, scores: &[f32], least: &Thresholds) -> Verdict {
        let of = |id: &str| {
            let class = self.classes.iter().position(|class| class.id == id);
            class.and_then(|class| scores.get(class)).copied().unwrap_or(0.0)
        };
        let ranked = self.ranked(scores);
        let (best, score) = ranked.first().copied().unwrap_or((usize::MAX, 0.0));
        let (outside, grave, abuse) = (of(UNRELATED), of(GRAVE), of(ABUSE));
        if grave >= least.person && grave >= score && self.lexicon.family(UNNAMED_DANGER).is_some() {
            let reason = format!("{GRAVE} {grave:.2} ≥ {:.2}", least.person);
            return Verdict::new(Decision::Person(Some(UNNAMED_DANGER.to_owned())), reason);
        }
        if outside >= least.outside || outside >= score && outside > 0.0 {
            let reason = format!("{UNRELATED} {outside:.2} ≥ {:.2}, or the likeliest", least.outside);
            return Verdict { unrelated: true, ..Verdict::new(Decision::Refuse, reason) };
        }
        if abuse >= score && abuse > 0.0 {
            let reason = format!("{ABUSE} {abuse:.2} is the likeliest");
            return Verdict { abusive: true, ..Verdict::new(Decision::Refuse, reason) };
        }
        if score + outside + grave == 0.0 {
            return Verdict::new(Decision::Refuse, "nothing in it is known");
        }
        let Some(class) = self.classes.get(best) else {
            return Verdict::new(Decision::Refuse, "nothing in it is known");
        };
        let enough = if class.writes { least.answer_write } else { least.answer };
        let second = ranked.get(1).map_or(0.0, |(_, second)| *second);
        if score >= enough && second < score * AS_LIKELY {
            let reason = format!("{score:.2} ≥ {enough:.2}, the second {second:.2}");
            let decision = if class.id == PERSON { Decision::Person(None) } else { Decision::Answer };
            return Verdict::new(decision, reason);
        }
        let offered: Vec<(usize, f32)> =
            ranked.iter().take(ASK_MAX).copied().filter(|(_, score)| *score >= least.offer).collect();
        let together: f32 = offered.iter().map(|(_, score)| score).sum();
        if together < least.ask {
            let reason = format!("the three likeliest {together:.2} < {:.2}", least.ask);
            return Verdict::new(Decision::Refuse, reason);
        }
        let ids = offered.iter().map(|(class, _)| self.id(*class).to_owned()).collect();
        let reason =
            format!("{score:.2} < {enough:.2} or the second {second:.2} as likely; together {together:.2}");
        Verdict::new(Decision::Ask(ids), reason)
    }
}
