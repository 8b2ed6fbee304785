//! The doors of every process to its database and to the world: whoever comes to one waits there until the simulation
//! says what becomes of him. Nothing else makes the simulated house wait but its own clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use futures::future::BoxFuture;
use tokio::sync::{Notify, oneshot};

use crate::clock::{Clock as _, ManualClock};
use crate::domain::testing::{Answered, Door as Way, Leaving};
use crate::domain::time::UnixMs;
use crate::store::testing::{Door as StoreDoor, Fate, Settled};

/// Who waits where, of all processes.
pub(super) struct Board {
    state: Mutex<State>,
    over: Notify,
    /// The clock of the database.
    pub(super) clock: ManualClock,
    /// Whether the fault is planted that seeds must find.
    pub(super) forgets_the_epoch: bool,
}

#[derive(Default)]
struct State {
    next: u64,
    uses: BTreeMap<u64, Use>,
    calls: BTreeMap<u64, Call>,
    dead: BTreeSet<usize>,
    running: usize,
    settled: Vec<Settled>,
    commits: usize,
}

/// A use of the database that wants to begin.
struct Use {
    process: usize,
    statement: &'static str,
    begin: oneshot::Sender<Fate>,
}

/// A request that waits for its answer.
struct Call {
    process: usize,
    leaving: Leaving,
    /// What its answer will be: it has arrived.
    answer: Option<Answered>,
    end: oneshot::Sender<Answered>,
}

/// What waits, as the simulation chooses from it.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    Use { id: u64, process: usize, statement: &'static str },
    Call { id: u64, process: usize, path: String, has_arrived: bool },
}

impl Board {
    pub(super) fn new(now: UnixMs, forgets_the_epoch: bool) -> Self {
        Self { state: Mutex::default(), over: Notify::new(), clock: ManualClock::new(now), forgets_the_epoch }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Everything that waits, in the order of its coming.
    pub(super) fn waiting(&self) -> Vec<Waiting> {
        let state = self.state();
        let uses = state.uses.iter().map(|(id, waits)| {
            let Use { process, statement, .. } = waits;
            (*id, Waiting::Use { id: *id, process: *process, statement })
        });
        let calls = state.calls.iter().map(|(id, call)| {
            let (path, has_arrived) = (call.leaving.path.clone(), call.answer.is_some());
            (*id, Waiting::Call { id: *id, process: call.process, path, has_arrived })
        });
        let mut waiting: Vec<_> = uses.chain(calls).collect();
        waiting.sort_by_key(|(id, _)| *id);
        waiting.into_iter().map(|(_, waiting)| waiting).collect()
    }

    /// Lets a use of the database begin.
    pub(super) fn begin(&self, id: u64, fate: Fate) {
        let mut state = self.state();
        if let Some(waits) = state.uses.remove(&id) {
            state.running += 1;
            drop(state);
            // Its task may be gone; then its place has ended what began here.
            let _ = waits.begin.send(fate);
        }
    }

    /// The request of a call.
    pub(super) fn request(&self, id: u64) -> Option<Leaving> {
        self.state().calls.get(&id).map(|call| call.leaving.clone())
    }

    /// A call has arrived: this will be its answer.
    pub(super) fn arrived(&self, id: u64, answer: Answered) {
        if let Some(call) = self.state().calls.get_mut(&id) {
            call.answer = Some(answer);
        }
    }

    /// Ends a call, by default with the answer that it has.
    pub(super) fn end(&self, id: u64, instead: Option<Answered>) {
        let call = self.state().calls.remove(&id);
        if let Some(Call { answer, end, .. }) = call
            && let Some(answer) = instead.or(answer)
        {
            let _ = end.send(answer);
        }
    }

    /// Nothing that this process still does is seen by anybody any more.
    pub(super) fn kill(&self, process: usize) {
        let mut state = self.state();
        state.dead.insert(process);
        state.uses.retain(|_, waits| waits.process != process);
        state.calls.retain(|_, call| call.process != process);
    }

    /// What the commits since the last look did with rows of the outbox; `None`: there was no commit.
    pub(super) fn take_settled(&self) -> Option<Vec<Settled>> {
        let mut state = self.state();
        let commits = std::mem::take(&mut state.commits);
        (commits > 0).then(|| std::mem::take(&mut state.settled))
    }

    /// Waits until every task stands at a door, waits for the clock, or is over.
    pub(super) async fn rest(&self) {
        const TURNS: usize = 48;
        loop {
            let over = self.over.notified();
            if self.state().running > 0 {
                over.await;
                continue;
            }
            let before = self.state().next;
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            let state = self.state();
            if state.running == 0 && state.next == before {
                return;
            }
        }
    }

    fn leave(&self) {
        self.state().running -= 1;
        self.over.notify_one();
    }
}

/// The doors of one process.
pub(super) struct Doors {
    pub(super) board: Arc<Board>,
    pub(super) process: usize,
}

impl Doors {
    /// A place on the board, where `put` puts what waits; `None`: this process is dead.
    fn place(&self, is_use: bool, put: impl FnOnce(&mut State, u64)) -> Option<Place> {
        let mut state = self.board.state();
        if state.dead.contains(&self.process) {
            return None;
        }
        let id = state.next;
        state.next += 1;
        put(&mut state, id);
        Some(Place { board: self.board.clone(), process: self.process, id, is_use, is_over: false })
    }
}

/// Leaves the board when its task waits no more.
struct Place {
    board: Arc<Board>,
    process: usize,
    id: u64,
    is_use: bool,
    /// Nobody waits here any more, and somebody else sees to what follows.
    is_over: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.board.state();
        if self.is_over || state.dead.contains(&self.process) {
            return;
        }
        let waited = state.uses.remove(&self.id).is_some() || state.calls.remove(&self.id).is_some();
        drop(state);
        // It was let in at the very moment when its task went away.
        if !waited && self.is_use {
            self.board.leave();
        }
    }
}

impl StoreDoor for Doors {
    fn arrive(&self, statement: &'static str) -> BoxFuture<'static, Fate> {
        let (begin, begins) = oneshot::channel();
        let process = self.process;
        let place = self.place(true, |state, id| {
            state.uses.insert(id, Use { process, statement, begin });
        });
        Box::pin(async move {
            let Some(mut place) = place else { return std::future::pending().await };
            let begins = begins.await;
            place.is_over = true;
            match begins {
                Ok(fate) => fate,
                Err(_) => std::future::pending().await,
            }
        })
    }

    fn leave(&self) {
        self.board.leave();
    }

    fn stands(&self, settled: Vec<Settled>) {
        let mut state = self.board.state();
        state.commits += 1;
        state.settled.extend(settled);
    }

    fn forgets_the_epoch(&self) -> bool {
        self.board.forgets_the_epoch
    }

    fn now(&self) -> UnixMs {
        self.board.clock.now()
    }
}

impl Way for Doors {
    fn carry(&self, leaving: Leaving) -> BoxFuture<'static, Answered> {
        let (end, ends) = oneshot::channel();
        let process = self.process;
        let place = self.place(false, |state, id| {
            state.calls.insert(id, Call { process, leaving, answer: None, end });
        });
        Box::pin(async move {
            let Some(mut place) = place else { return std::future::pending().await };
            let answered = ends.await;
            place.is_over = true;
            match answered {
                Ok(answer) => answer,
                Err(_) => std::future::pending().await,
            }
        })
    }
}
