//! Why: what fired for an utterance, for `weikefu understand`.

use serde_json::{Value, json};

use super::decide::THRESHOLDS;
use super::features::View;
use super::reading::Reading;
use super::{CHARACTERS_MAX, Understanding, looked_at, normalise};

impl Understanding {
    /// What an utterance comes to and what decided it, as JSON.
    #[must_use]
    pub fn explain(&self, text: &str) -> Value {
        let ranked = self.rank(text);
        let start = looked_at(text, CHARACTERS_MAX);
        let reading = Reading::of(&start);
        let (read, replaced) = self.lexicon.read(&start);
        let candidates: Vec<Value> = ranked
            .candidates
            .iter()
            .map(|candidate| json!({ "id": candidate.id, "score": rounded(candidate.score) }))
            .collect();
        json!({
            "text": text,
            "normalised": normalise(&start),
            "read_as": read,
            "synonyms": replaced
                .iter()
                .map(|one| json!({ "said": one.said, "counts_as": one.counts_as }))
                .collect::<Vec<_>>(),
            "denied": reading.denied,
            "decision": ranked.decision.name(),
            "reason": ranked.reason,
            "thresholds": {
                "answer": rounded(THRESHOLDS.answer),
                "answer_write": rounded(THRESHOLDS.answer_write),
                "ask": rounded(THRESHOLDS.ask),
                "outside": rounded(THRESHOLDS.outside),
                "person": rounded(THRESHOLDS.person),
            },
            "candidates": candidates,
            "also": ranked.also,
            "offered": match &ranked.decision {
                super::Decision::Ask(offered) => json!(offered),
                _ => Value::Null,
            },
            "family": match &ranked.decision {
                super::Decision::Person(Some(family)) => json!(family),
                _ => Value::Null,
            },
            "keyword": self.keyword(&start),
            "nearest": self.nearest(&read),
            "features": self.features(&read, &reading),
        })
    }

    /// The words of the example or keyword that is most like a text.
    pub(super) fn nearest_text(&self, text: &str) -> Option<String> {
        let near = self.nearest(&self.lexicon.read(text).0);
        near["example"].as_str().or(near["keyword"].as_str()).map(str::to_owned)
    }

    /// The example that is most like the text.
    fn nearest(&self, read: &str) -> Value {
        let Some(near) = self.learned.get().and_then(|learned| learned.nearest(read)) else {
            return Value::Null;
        };
        let mut before = 0;
        for class in &self.classes {
            let words: Vec<&String> = class.keywords.iter().chain(&class.names).collect();
            let at = near.text - before;
            if let Some(word) = words.get(at) {
                return json!({ "id": class.id, "keyword": word, "cosine": rounded(near.cosine) });
            }
            if let Some(example) = class.examples.get(at - words.len()) {
                return json!({
                    "id": class.id,
                    "example": example.text,
                    "file": example.file,
                    "line": example.line,
                    "cosine": rounded(near.cosine),
                });
            }
            before += words.len() + class.examples.len();
        }
        Value::Null
    }

    /// The features that most set the likeliest class apart from the next one, and the other way round.
    fn features(&self, read: &str, reading: &Reading<'_>) -> Value {
        let Some(learned) = self.learned.get() else { return Value::Null };
        let text = if reading.denied.is_empty() {
            read.to_owned()
        } else {
            self.lexicon.read(&reading.about.join("，")).0
        };
        let scores = learned.probabilities(&text);
        let mut all: Vec<(usize, f32)> = scores.into_iter().enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let (Some((first, _)), Some((second, _))) = (all.first(), all.get(1)) else { return Value::Null };
        let told = |class: usize, other: usize| -> Vec<Value> {
            let reasons = learned.reasons(&text, class, other);
            let view = |view: View| match view {
                View::Text => "text",
                View::Sound => "sound",
                View::Letters => "letters",
            };
            reasons
                .into_iter()
                .map(|(feature, by)| json!({ "feature": feature.text, "view": view(feature.view), "by": rounded(by) }))
                .collect()
        };
        json!([
            { "for": self.id(*first), "against": self.id(*second), "because": told(*first, *second) },
            { "for": self.id(*second), "against": self.id(*first), "because": told(*second, *first) },
        ])
    }
}

#[expect(clippy::float_arithmetic, reason = "a score, never an amount")]
fn rounded(score: f32) -> f64 {
    (f64::from(score) * 10_000.0).round() / 10_000.0
}
