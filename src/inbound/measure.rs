//! What is counted of each delivery. The handles are made once: counting searches nothing and allocates nothing.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::Answer;
use crate::telemetry::{metric, start_metrics};

const TOTAL: &str = "weikefu_inbound_total";
const ANSWERS: [&str; 3] = ["nothing", "reply", "busy"];

struct Handles {
    by_kind: HashMap<&'static str, [Counter; 3]>,
    seconds: [Histogram; 3],
}

static HANDLES: LazyLock<Handles> = LazyLock::new(|| {
    start_metrics();
    let kinds = metric::of(TOTAL).map_or(&[][..], |metric| metric.values("kind"));
    let of_kind = |kind: &'static str| {
        (kind, ANSWERS.map(|answer| metrics::counter!(TOTAL, "kind" => kind, "answer" => answer)))
    };
    Handles {
        by_kind: kinds.iter().copied().map(of_kind).collect(),
        seconds: ANSWERS.map(|answer| metrics::histogram!("weikefu_inbound_seconds", "answer" => answer)),
    }
});

/// Counts one answered delivery; gives the answer's name.
pub(super) fn answered(kind: &'static str, answer: &Answer, took: Duration) -> &'static str {
    let at = match answer {
        Answer::Nothing => 0,
        Answer::Reply { .. } => 1,
        Answer::Busy => 2,
    };
    if let Some(counters) = HANDLES.by_kind.get(kind) {
        counters[at].increment(1);
    }
    HANDLES.seconds[at].record(took);
    ANSWERS[at]
}
