//! Faults that tests and the page switch on: slowness, errors by a seeded dice, an outage.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

const DELAY_MS_MAX: u64 = 60_000;
const FAULTS_MAX: usize = 200;

/// One fault, of one operation or of `*`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    #[serde(default = "every")]
    pub(super) operation: String,
    /// Before the operation runs.
    #[serde(default)]
    pub(super) delay_ms: u64,
    /// After it ran: it is done, and the answer comes late or too late.
    #[serde(default)]
    pub(super) answer_delay_ms: u64,
    #[serde(default)]
    pub(super) error_rate: f64,
    #[serde(default)]
    pub(super) down: bool,
    #[serde(default)]
    pub(super) seed: u64,
    /// How many calls it has met, for whoever waits until one is under way.
    #[serde(skip_deserializing)]
    pub(super) met: u64,
}

fn every() -> String {
    "*".to_owned()
}

/// What befalls one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) delay: Duration,
    pub(super) answer_delay: Duration,
    pub(super) fails: bool,
}

/// The faults in force. In memory only: a restart heals.
#[derive(Default)]
pub(super) struct Faults(Mutex<BTreeMap<String, (Fault, u64)>>);

impl Faults {
    /// Switches a fault on, in place of an earlier one of its operation.
    pub(super) fn set(&self, fault: Fault) -> Result<(), &'static str> {
        if !(0.0..=1.0).contains(&fault.error_rate) {
            return Err("error_rate is a number from 0 to 1");
        }
        if fault.delay_ms.max(fault.answer_delay_ms) > DELAY_MS_MAX {
            return Err("delay_ms and answer_delay_ms are at most 60000");
        }
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if faults.len() >= FAULTS_MAX && !faults.contains_key(&fault.operation) {
            return Err("too many faults at once");
        }
        let dice = fault.seed;
        faults.insert(fault.operation.clone(), (fault, dice));
        Ok(())
    }

    /// Switches all off.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Those in force.
    pub(super) fn list(&self) -> Vec<Fault> {
        let faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.values().map(|(fault, _)| fault.clone()).collect()
    }

    /// Throws the dice for one call; an operation's own fault stands before that of `*`.
    pub(super) fn fate(&self, operation: &str) -> Fate {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if faults.contains_key(operation) { operation } else { "*" };
        let Some((fault, dice)) = faults.get_mut(key) else { return Fate::default() };
        fault.met += 1;
        let fails = fault.down || throw(dice) < fault.error_rate;
        let (delay, answer_delay) =
            (Duration::from_millis(fault.delay_ms), Duration::from_millis(fault.answer_delay_ms));
        Fate { delay, answer_delay, fails }
    }
}

/// From 0 to below 1.
#[expect(clippy::float_arithmetic, reason = "a probability, no money")]
fn throw(dice: &mut u64) -> f64 {
    *dice = dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *dice;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let high = u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(0);
    f64::from(high) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(operation: &str) -> Fault {
        Fault {
            operation: operation.to_owned(),
            delay_ms: 0,
            answer_delay_ms: 0,
            error_rate: 0.0,
            down: false,
            seed: 0,
            met: 0,
        }
    }

    #[test]
    fn the_same_seed_fails_the_same_calls_at_about_the_rate() {
        let run = |seed| {
            let faults = Faults::default();
            faults.set(Fault { error_rate: 0.3, seed, ..fault("*") }).unwrap();
            (0..1000).map(|_| faults.fate("bill_current").fails).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let failed = run(7).iter().filter(|fails| **fails).count();
        assert!((250..350).contains(&failed), "{failed}");
    }

    #[test]
    fn an_operations_own_fault_stands_before_the_general_one() {
        let faults = Faults::default();
        faults.set(Fault { down: true, ..fault("*") }).unwrap();
        faults.set(Fault { delay_ms: 5, ..fault("points_query") }).unwrap();
        assert!(faults.fate("bill_current").fails);
        let slow = Fate { delay: Duration::from_millis(5), ..Fate::default() };
        assert_eq!(faults.fate("points_query"), slow);
        faults.clear();
        assert_eq!(faults.fate("bill_current"), Fate::default());
        assert!(faults.set(Fault { error_rate: 1.5, ..fault("*") }).is_err());
        assert!(faults.set(Fault { error_rate: f64::NAN, ..fault("*") }).is_err());
    }
}
