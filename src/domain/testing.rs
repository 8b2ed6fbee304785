//! A door where the network is otherwise: a test stands in it and decides what becomes of each call.

use std::cell::RefCell;
use std::sync::Arc;

use futures::future::BoxFuture;

/// One HTTP request that leaves the house.
#[derive(Clone, Debug)]
pub(crate) struct Leaving {
    /// The path of its address.
    pub(crate) path: String,
    /// What it carries.
    pub(crate) body: Vec<u8>,
}

/// Why nothing came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoAnswer {
    /// It did not even leave.
    NotConnected,
    /// It may have arrived.
    Broken,
}

/// Status and body of an answer.
pub(crate) type Answered = Result<(u16, Vec<u8>), NoAnswer>;

/// Takes the network's place. Dropped before it is ready: the house gave the call up.
pub(crate) trait Door: Send + Sync {
    /// Carries one request, and brings its answer.
    fn carry(&self, leaving: Leaving) -> BoxFuture<'static, Answered>;
}

thread_local! {
    static DOOR: RefCell<Option<Arc<dyn Door>>> = const { RefCell::new(None) };
}

/// Clients that are made on this thread from now on go through this door; `None`: by the network again.
pub(crate) fn stand_in(door: Option<Arc<dyn Door>>) {
    DOOR.set(door);
}

/// The door for a client that is being made.
pub(crate) fn door() -> Option<Arc<dyn Door>> {
    DOOR.with_borrow(Clone::clone)
}
