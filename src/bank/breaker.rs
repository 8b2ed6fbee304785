//! Leaves one of the bank's systems alone that does not answer, so that no customer waits for it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Failed calls in a row after which a system is left alone. Never a rate: one customer's bad luck, or one
/// operation's, must not cut off the others.
pub const BREAKER_FAILURES: u32 = 20;

/// Counts failed calls in a row. Open, it lets one call at a time through to find out whether the system is back;
/// there is no waiting time, so the next customer after recovery is served.
pub(super) struct Breaker {
    far_side: Cow<'static, str>,
    failures: AtomicU32,
    probing: AtomicBool,
}

impl Breaker {
    /// A closed one; `far_side` is what the log calls the system.
    pub(super) fn of(far_side: impl Into<Cow<'static, str>>) -> Self {
        Self { far_side: far_side.into(), failures: AtomicU32::new(0), probing: AtomicBool::new(false) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.failures_in_row() >= BREAKER_FAILURES
    }

    /// Failed calls since the last one that succeeded.
    pub(super) fn failures_in_row(&self) -> u32 {
        self.failures.load(Ordering::SeqCst)
    }

    /// Leave to ask; `None`: another call is just finding out whether the system is back.
    pub(super) fn enter(&self) -> Option<Permit<'_>> {
        if !self.is_open() {
            return Some(Permit { breaker: self, probe: false });
        }
        let free = !self.probing.swap(true, Ordering::SeqCst);
        free.then_some(Permit { breaker: self, probe: true })
    }
}

/// Leave to ask; a probe's leave is given back when dropped, also when the call was abandoned.
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    probe: bool,
}

impl Permit<'_> {
    /// Counts how the call went.
    pub(super) fn settle(self, answered: bool) {
        let far_side = &self.breaker.far_side;
        if answered {
            if self.breaker.failures.swap(0, Ordering::SeqCst) >= BREAKER_FAILURES {
                tracing::info!("{far_side} answers again");
            }
        } else if self.breaker.failures.fetch_add(1, Ordering::SeqCst) + 1 == BREAKER_FAILURES {
            tracing::error!(
                "{far_side} failed {BREAKER_FAILURES} times in a row; one call at a time is let through until one succeeds: see \
                 whether it runs and can be reached from here"
            );
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.breaker.probing.store(false, Ordering::SeqCst);
        }
    }
}
