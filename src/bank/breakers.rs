//! Leaves the core alone while it fails, as a whole or in one of its operations, and bounds how many callers wait for
//! one operation. A core that is slow in one thing thereby costs the others nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::breaker::{Breaker, Permit};
use super::client::DownCause;
use crate::domain::class::Class;

/// Callers that may wait for one operation at the same time: a quarter of all messages that may be in work.
pub const WAITING_PER_OPERATION_MAX: usize = 512;

/// Callers that may wait for the core at the same time, whatever they ask; what only reads leaves some places to what
/// changes something.
const WAITING_MAX: usize = 2 * WAITING_PER_OPERATION_MAX;

/// The breaker of the core, and one with a bound for each of its operations.
pub(super) struct Breakers {
    whole: Breaker,
    /// Calls that were answered.
    answers: AtomicU64,
    waiting: AtomicUsize,
    lines: BTreeMap<String, Line>,
}

/// One operation.
struct Line {
    breaker: Breaker,
    waiting: AtomicUsize,
}

impl Breakers {
    /// All closed.
    pub(super) fn new<'a>(operations: impl IntoIterator<Item = &'a str>) -> Self {
        let line = |name: &str| Line {
            breaker: Breaker::of(format!("the core's operation {name}")),
            waiting: AtomicUsize::new(0),
        };
        let lines = operations.into_iter().map(|name| (name.to_owned(), line(name))).collect();
        Self {
            whole: Breaker::of("the core"),
            answers: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            lines,
        }
    }

    /// Whether the whole core is left alone.
    pub(super) fn is_open(&self) -> bool {
        self.whole.is_open()
    }

    /// Failed calls since the last that succeeded, of whichever operation.
    pub(super) fn failures_in_row(&self) -> u32 {
        self.whole.failures_in_row()
    }

    /// The operations that are left alone.
    pub(super) fn cut_off(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().filter(|(_, line)| line.breaker.is_open()).map(|(name, _)| name.as_str())
    }

    /// Leave to ask, for one call.
    pub(super) fn enter(&self, operation: &str, class: Class) -> Result<Leave<'_>, DownCause> {
        let crowded = || {
            metrics::counter!("weikefu_shed_total", "place" => "core", "class" => class.name()).increment(1);
            DownCause::Crowded
        };
        let place = Place::take(&self.waiting, class.places_of(WAITING_MAX)).ok_or_else(crowded)?;
        let own = match self.lines.get(operation) {
            None => None,
            Some(line) => {
                let place = Place::take(&line.waiting, WAITING_PER_OPERATION_MAX).ok_or_else(crowded)?;
                Some((line.breaker.enter().ok_or(DownCause::Breaker)?, place))
            }
        };
        let whole = self.whole.enter().ok_or(DownCause::Breaker)?;
        let before = self.answers.load(Ordering::SeqCst);
        Ok(Leave { whole, own, answers: &self.answers, before, _place: place })
    }
}

/// A caller who waits; gone when dropped.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize, waiting_max: usize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::SeqCst);
        let place = Self(waiting);
        (before < waiting_max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Leave to ask for one call: of the whole core, and of its operation.
pub(super) struct Leave<'a> {
    whole: Permit<'a>,
    own: Option<(Permit<'a>, Place<'a>)>,
    answers: &'a AtomicU64,
    /// Of these, how many there were when this call began.
    before: u64,
    _place: Place<'a>,
}

impl Leave<'_> {
    /// Tells how the call ended.
    pub(super) fn settle(self, answered: bool) {
        if let Some((own, _place)) = self.own {
            own.settle(answered);
        }
        // A core that answered others meanwhile is not down as a whole, however many wait in vain for one operation.
        if answered {
            self.answers.fetch_add(1, Ordering::SeqCst);
            self.whole.settle(true);
        } else if self.answers.load(Ordering::SeqCst) == self.before {
            self.whole.settle(false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_before_one_operation_is_bounded_and_leaves_the_others_their_places() {
        let breakers = Breakers::new(["slow", "other", "third"]);
        let enter = |operation, class, calls: usize| -> Vec<Leave<'_>> {
            (0..calls).map_while(|_| breakers.enter(operation, class).ok()).collect()
        };
        let slow = enter("slow", Class::Query, usize::MAX);
        assert_eq!(slow.len(), WAITING_PER_OPERATION_MAX);
        assert_eq!(breakers.enter("slow", Class::Query).err(), Some(DownCause::Crowded));
        let other = enter("other", Class::Query, usize::MAX);
        assert_eq!(slow.len() + other.len(), Class::Query.places_of(WAITING_MAX), "nine in ten places");
        assert!(breakers.enter("third", Class::Query).is_err());
        let lock = breakers.enter("third", Class::Security).expect("what changes something still leaves");
        drop((slow, lock));
        assert!(breakers.enter("slow", Class::Query).is_ok());
        drop(other);
    }
}
