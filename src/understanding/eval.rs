//! Measuring the recogniser on labelled utterances: `weikefu eval`.
#![expect(clippy::float_arithmetic, reason = "shares and percentiles, never amounts")]

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Candidate, Decision, PERSON, Understanding};

/// Rows in one file.
const ROWS_MAX: usize = 200_000;

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct BadEvaluation {
    line: usize,
    reason: String,
}

/// What came of an evaluation.
pub struct Evaluation {
    /// The figures, one JSON object.
    pub report: Value,
    /// The rows that were missed: utterance, expected, kind, first candidate, decision.
    pub failures: Vec<[String; 5]>,
}

/// A labelled utterance.
pub(super) struct Row {
    pub(super) utterance: String,
    pub(super) expected: String,
    pub(super) kind: String,
    pub(super) also_ok: Vec<String>,
}

/// What came of some rows.
#[derive(Default)]
pub(super) struct Tally {
    rows: u32,
    in_scope: u32,
    right: u32,
    in_top3: u32,
    outside: u32,
    turned_away: u32,
    false_answers: u32,
    asked: u32,
}

/// Runs a CSV with header `utterance,expected_id[,kind[,also_ok]]`.
///
/// # Errors
/// When a row cannot be read.
pub fn evaluate(understanding: &Understanding, csv: &str) -> Result<Evaluation, BadEvaluation> {
    let rows = read(csv)?;
    let mut all = Tally::default();
    let mut kinds: BTreeMap<String, Tally> = BTreeMap::new();
    let mut failures = Vec::new();
    let mut took_us = Vec::with_capacity(rows.len());
    for row in &rows {
        let start = Instant::now();
        let ranked = understanding.rank(&row.utterance);
        took_us.push(u32::try_from(start.elapsed().as_micros()).unwrap_or(u32::MAX));
        let missed = all.count(row, &ranked);
        kinds.entry(row.kind.clone()).or_default().count(row, &ranked);
        if missed {
            let first = ranked.candidates.first().map(|candidate| candidate.id.clone()).unwrap_or_default();
            let decision = ranked.decision.name().to_owned();
            failures.push([row.utterance.clone(), row.expected.clone(), row.kind.clone(), first, decision]);
        }
    }
    took_us.sort_unstable();
    let mut report = all.report();
    report["by_kind"] = kinds.iter().map(|(kind, tally)| (kind.clone(), tally.report())).collect();
    report["p50_us"] = json!(percentile(&took_us, 50));
    report["p99_us"] = json!(percentile(&took_us, 99));
    Ok(Evaluation { report, failures })
}

impl Understanding {
    /// Learns a CSV's first two columns by position: utterance and label. The first row is the header.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn train_csv(csv: &str) -> Result<Self, BadEvaluation> {
        let rows = read(csv)?;
        Ok(Self::train_on(rows.into_iter().map(|row| (row.utterance, row.expected))))
    }
}

fn read(csv: &str) -> Result<Vec<Row>, BadEvaluation> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(csv.as_bytes());
    let mut rows = Vec::new();
    for (index, record) in reader.records().enumerate() {
        let line = index + 2;
        let bad = |reason: String| BadEvaluation { line, reason };
        let record = record.map_err(|error| bad(error.to_string()))?;
        let field = |at: usize| record.get(at).unwrap_or_default().trim().to_owned();
        let row = Row {
            utterance: field(0),
            expected: field(1),
            kind: field(2),
            also_ok: field(3).split('|').filter(|id| !id.is_empty()).map(str::to_owned).collect(),
        };
        if row.expected.is_empty() {
            return Err(bad("two columns are wanted: utterance,expected_id".to_owned()));
        }
        if rows.len() >= ROWS_MAX {
            return Err(bad(format!("more than {ROWS_MAX} rows")));
        }
        rows.push(row);
    }
    Ok(rows)
}

impl Row {
    /// Whether a candidate is right. A knowledge entry counts as the service that it belongs to, a part
    /// of a service as the whole.
    pub(super) fn is_right(&self, candidate: &Candidate) -> bool {
        let counts_as = |id: &str| self.expected == id || self.also_ok.iter().any(|other| other == id);
        counts_as(&candidate.id) || candidate.about.as_deref().is_some_and(counts_as)
    }

    pub(super) fn is_service(&self) -> bool {
        !matches!(self.expected.as_str(), "oos" | "human" | "abuse")
    }
}

impl Tally {
    /// Counts a row; `true` when it was missed.
    pub(super) fn count(&mut self, row: &Row, ranked: &super::Ranked) -> bool {
        self.rows += 1;
        let first_right = ranked.candidates.first().is_some_and(|candidate| row.is_right(candidate));
        let answered_wrong = ranked.decision == Decision::Answer && !first_right;
        self.false_answers += u32::from(answered_wrong);
        self.asked += u32::from(matches!(ranked.decision, Decision::Ask(_)));
        if row.is_service() {
            self.in_scope += 1;
            self.right += u32::from(first_right);
            let near = ranked.candidates.iter().take(3).any(|candidate| row.is_right(candidate));
            self.in_top3 += u32::from(near);
            return !first_right;
        }
        let turned_away = matches!(ranked.decision, Decision::Refuse | Decision::Person(_))
            || (ranked.decision == Decision::Answer
                && ranked.candidates.first().is_some_and(|best| best.id == PERSON));
        self.outside += 1;
        self.turned_away += u32::from(turned_away);
        !turned_away
    }

    pub(super) fn report(&self) -> Value {
        json!({
            "n": self.rows,
            "accuracy": share(self.right, self.in_scope),
            "top3": share(self.in_top3, self.in_scope),
            "oos_recall": share(self.turned_away, self.outside),
            "false_answer_rate": share(self.false_answers, self.rows),
            "ask_rate": share(self.asked, self.rows),
        })
    }
}

/// A share with four digits; `null` of nothing.
fn share(part: u32, whole: u32) -> Value {
    if whole == 0 {
        Value::Null
    } else {
        json!((f64::from(part) / f64::from(whole) * 10_000.0).round() / 10_000.0)
    }
}

fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or(0)
}
