//! The only reads of wall time and of the operating system's randomness. Everything else takes them as
//! parameters, so that a test can move one and repeat the other.

use std::cell::RefCell;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use zeroize::{Zeroize as _, Zeroizing};

use crate::domain::time::UnixMs;
use crate::domain::trace::TraceId;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> UnixMs;

    /// Is told that the present moment is so many milliseconds later than [`Clock::now`] says. A clock that is not steered
    /// goes on as it went.
    fn steer(&self, _by_ms: i64) {}
}

/// Gives unpredictable bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// A clock that many rooms share.
pub type SharedClock = Arc<dyn Clock>;
/// A source of randomness that many rooms share.
pub type SharedRandom = Arc<dyn Random>;

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where wall time is read")]
    fn now(&self) -> UnixMs {
        UnixMs(jiff::Timestamp::now().as_millisecond())
    }
}

/// The machine's clock, kept with that of the database by whoever steers it: a row that one machine writes is due by the
/// clocks of all.
pub struct SteeredClock {
    machine: SharedClock,
    ahead_ms: AtomicI64,
}

/// Differences up to this are those of the way to the database, and left alone.
const STEER_MIN_MS: i64 = 250;

impl SteeredClock {
    /// Goes as `machine` does until it is steered.
    #[must_use]
    pub fn new(machine: SharedClock) -> Self {
        Self { machine, ahead_ms: AtomicI64::new(0) }
    }
}

impl Clock for SteeredClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.machine.now().0.saturating_add(self.ahead_ms.load(Ordering::Relaxed)))
    }

    fn steer(&self, by_ms: i64) {
        if by_ms.abs() < STEER_MIN_MS {
            return;
        }
        let ahead_ms = self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed).saturating_add(by_ms);
        tracing::warn!(
            ahead_ms,
            "this machine's clock differs from the database's, by which time is counted; see that both are kept by NTP"
        );
    }
}

/// The operating system's generator. Each thread fetches a supply at once, and every byte of it is given out once.
#[derive(Debug, Default)]
pub struct SystemRandom;

/// What one thread has fetched: a message draws a dozen bytes several times, and each fetch is a system call.
struct Supply {
    bytes: Zeroizing<[u8; SUPPLY_BYTES]>,
    used: usize,
}

const SUPPLY_BYTES: usize = 1_024;

thread_local! {
    static SUPPLY: RefCell<Supply> =
        RefCell::new(Supply { bytes: Zeroizing::new([0; SUPPLY_BYTES]), used: SUPPLY_BYTES });
}

impl Random for SystemRandom {
    /// Ends the process when the operating system cannot give randomness: no key made after that would be safe.
    fn fill(&self, buffer: &mut [u8]) {
        if buffer.len() > SUPPLY_BYTES / 8 {
            return fetch(buffer);
        }
        // A thread that is ending has no supply any more.
        let drawn =
            SUPPLY.try_with(|supply| supply.try_borrow_mut().is_ok_and(|mut supply| supply.draw(buffer)));
        if !drawn.unwrap_or(false) {
            fetch(buffer);
        }
    }
}

impl Supply {
    /// Gives out the next bytes, and forgets them. `false`: nothing was given.
    fn draw(&mut self, buffer: &mut [u8]) -> bool {
        if self.used + buffer.len() > SUPPLY_BYTES {
            fetch(&mut self.bytes[..]);
            self.used = 0;
        }
        let Some(given) = self.bytes.get_mut(self.used..self.used + buffer.len()) else { return false };
        buffer.copy_from_slice(given);
        given.zeroize();
        self.used += buffer.len();
        true
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where entropy is read")]
fn fetch(buffer: &mut [u8]) {
    if let Err(error) = getrandom::fill(buffer) {
        tracing::error!(%error, "the operating system gives no randomness; stopping");
        std::process::abort();
    }
}

/// A clock that stands still until it is moved. For tests and for the simulator's clock panel.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// Starts at `now`.
    #[must_use]
    pub fn new(now: UnixMs) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: std::time::Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX), Ordering::SeqCst);
    }

    /// Sets the clock, also backwards.
    pub fn set(&self, now: UnixMs) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixMs {
        UnixMs(self.0.load(Ordering::SeqCst))
    }
}

/// Repeatable bytes from a seed (SplitMix64). For tests only: never for a key that guards anything.
#[derive(Debug)]
pub struct SeededRandom(Mutex<u64>);

impl SeededRandom {
    /// The same seed gives the same bytes.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    /// A number below `sides`, which is more than 0.
    #[cfg(test)]
    pub(crate) fn roll(&self, sides: u64) -> u64 {
        let mut bytes = [0_u8; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes) % sides
    }
}

impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) {
        let mut state = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for chunk in buffer.chunks_mut(8) {
            *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = *state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^= z >> 31;
            chunk.copy_from_slice(&z.to_le_bytes()[..chunk.len()]);
        }
    }
}

/// A new id: UUID version 7 as 36 characters, so that ids sort by the time of their making.
#[must_use]
pub fn new_id(clock: &dyn Clock, random: &dyn Random) -> String {
    let mut tail = [0_u8; 10];
    random.fill(&mut tail);
    let millis = u64::try_from(clock.now().0).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &tail).into_uuid().to_string()
}

/// A new trace: time-ordered like an id, and random at its end.
#[must_use]
pub fn new_trace(clock: &dyn Clock, random: &dyn Random) -> TraceId {
    loop {
        let id = new_id(clock, random).replace('-', "");
        // The version digit of such an id is not zero, so this ends at once.
        if let Some(trace) = TraceId::parse(&id) {
            return trace;
        }
    }
}

/// A new unguessable token: 32 random bytes as 64 hexadecimal characters.
#[must_use]
pub fn new_token(random: &dyn Random) -> String {
    let mut bytes = [0_u8; 32];
    random.fill(&mut bytes);
    hex::encode(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_byte_of_a_supply_is_given_out_twice() {
        let draw = || (0..4 * SUPPLY_BYTES).map(|_| draw_twelve()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..2).map(|_| std::thread::spawn(draw)).collect();
        let drawn: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let count = drawn.len();
        assert_eq!(drawn.into_iter().collect::<HashSet<_>>().len(), count);
    }

    #[test]
    fn a_steered_clock_goes_as_it_is_told_and_ignores_the_way_there() {
        let machine = Arc::new(ManualClock::new(UnixMs(600_000)));
        let clock = SteeredClock::new(machine.clone());
        clock.steer(STEER_MIN_MS - 1);
        assert_eq!(clock.now(), UnixMs(600_000));
        clock.steer(-500_000);
        assert_eq!(clock.now(), UnixMs(100_000));
        machine.advance(std::time::Duration::from_secs(1));
        clock.steer(1_000);
        assert_eq!(clock.now(), UnixMs(102_000));
    }

    fn draw_twelve() -> [u8; 12] {
        let mut bytes = [0; 12];
        SystemRandom.fill(&mut bytes);
        bytes
    }

    #[test]
    fn what_was_given_out_is_forgotten() {
        let mut supply = Supply { bytes: Zeroizing::new([0; SUPPLY_BYTES]), used: SUPPLY_BYTES };
        let mut bytes = [0; 100];
        assert!(supply.draw(&mut bytes));
        assert!(bytes.iter().any(|byte| *byte != 0));
        assert!(supply.bytes[..100].iter().all(|byte| *byte == 0));
        assert!(supply.bytes[100..].iter().any(|byte| *byte != 0));
    }
}
