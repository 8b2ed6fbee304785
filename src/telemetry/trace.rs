//! The trace that a piece of work belongs to, and the steps (spans) that it is made of.
//!
//! The trace goes with the task, not with a span, so that what a log line or a call to the core says does not depend
//! on what is exported. A span is made by `tracing::info_span!(target: SPANS, …)` and costs one load of an atomic
//! where nobody collects spans.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::futures::TaskLocalFuture;

use crate::clock::{Random as _, SystemRandom};
use crate::domain::trace::{TraceId, TraceParent};

/// The target of spans; nothing else uses it, and spans with another target are not exported.
pub const SPANS: &str = "weikefu::span";

/// What goes with a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The trace.
    pub trace: TraceId,
    /// The step outside this process that it follows from.
    pub parent: Option<u64>,
}

tokio::task_local! {
    static CURRENT: Carried;
}

/// Does some work under a trace. What it spawns must be carried on its own, and its spans are made inside it.
pub fn carry<F: Future>(trace: TraceId, work: F) -> TaskLocalFuture<Carried, F> {
    CURRENT.scope(Carried { trace, parent: None }, work)
}

/// Does some work in the name of a caller who named his trace.
pub fn carry_on<F: Future>(parent: TraceParent, work: F) -> TaskLocalFuture<Carried, F> {
    CURRENT.scope(Carried { trace: parent.trace, parent: Some(parent.span) }, work)
}

/// The trace of the present work.
#[must_use]
pub fn current() -> Option<Carried> {
    CURRENT.try_with(|carried| *carried).ok()
}

/// The trace of the present work, for a column or a message.
#[must_use]
pub fn current_id() -> Option<TraceId> {
    current().map(|carried| carried.trace)
}

/// The header by which a called system joins the present trace.
#[must_use]
pub fn traceparent() -> Option<String> {
    let trace = current_id()?;
    let span = super::export::current_span().unwrap_or_else(new_span_id);
    Some(TraceParent { trace, span }.to_string())
}

/// A span's id: never 0, not the same twice in a process, and by its seed hardly in another one.
pub(super) fn new_span_id() -> u64 {
    static SEED: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let seed = SEED.get_or_init(|| {
        let mut bytes = [0; 8];
        SystemRandom.fill(&mut bytes);
        u64::from_be_bytes(bytes)
    });
    // SplitMix64: one number to one number, so that no two counts meet.
    let mut z = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(*seed);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_knows_its_trace_and_tells_it_on() {
        assert_eq!((current(), traceparent()), (None, None));
        let trace = TraceId::new([5; 16]).unwrap();
        let told = carry(trace, async { (current_id(), traceparent().unwrap()) }).await;
        assert_eq!(told.0, Some(trace));
        assert_eq!(TraceParent::parse(&told.1).unwrap().trace, trace);
        let parent = TraceParent { trace, span: 9 };
        let carried = carry_on(parent, async { current().unwrap() }).await;
        assert_eq!(carried, Carried { trace, parent: Some(9) });
    }

    #[test]
    fn span_ids_differ() {
        let ids: std::collections::HashSet<u64> = (0..1_000).map(|_| new_span_id()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
