//! One follower's messages are handled in order; different followers never wait for each other (P5).
//!
//! Each follower has two queues in this process, both first come, first served, and a push stands in both from the
//! moment it arrives: the *turn*, held while a message is decided and asked about, and the *pen* of his conversation,
//! held only from reading to committing it. The first keeps the order of answers, the second the order of claims,
//! so that a push which has to wait gets its turn number where it arrived. Whoever holds the pen never waits
//! for a turn; whoever waits for his turn stands in no other queue.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt as _;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use crate::domain::ids::{AccountId, FollowerKey};

/// Sweep entries that nobody holds when the map has grown by this many.
const SWEEP_EVERY: usize = 1_024;

/// The queues of each follower who is being served in this process.
#[derive(Default)]
pub(super) struct Followers {
    queues: Mutex<HashMap<(AccountId, FollowerKey), Weak<Queues>>>,
}

#[derive(Default)]
struct Queues {
    turn: Arc<Queue<()>>,
    pen: Arc<Queue<()>>,
}

/// The head of a queue; the next one comes when it is dropped.
pub(super) struct Place {
    _guard: OwnedMutexGuard<()>,
    /// As long as somebody stands in them, the follower's queues are these.
    _queues: Arc<Queues>,
}

/// A place somewhere in a queue, kept whether or not it is polled.
pub(super) struct Waiting(Pin<Box<dyn Future<Output = Place> + Send>>);

impl Waiting {
    fn in_queue(queue: &Arc<Queue<()>>, queues: &Arc<Queues>) -> Self {
        let (queue, queues) = (queue.clone(), queues.clone());
        let mut waiting: Pin<Box<dyn Future<Output = Place> + Send>> =
            Box::pin(async move { Place { _guard: queue.lock_owned().await, _queues: queues } });
        // The first poll is what takes the place in the queue.
        match waiting.as_mut().now_or_never() {
            Some(place) => Self::come_already(place),
            None => Self(waiting),
        }
    }

    /// A place that is the head of its queue.
    pub(super) fn come_already(place: Place) -> Self {
        Self(Box::pin(std::future::ready(place)))
    }

    /// The head of the queue, when all before us are done.
    pub(super) async fn come(self) -> Place {
        self.0.await
    }

    /// The head of the queue if it is ours already; else our place in it.
    pub(super) fn now(mut self) -> Result<Place, Self> {
        self.0.as_mut().now_or_never().ok_or(self)
    }
}

/// Where a push stands that has just arrived.
pub(super) struct Arrival {
    pub(super) turn: Waiting,
    pub(super) pen: Waiting,
}

impl Arrival {
    /// Leaves the queue for the pen: whoever waits for his turn stands in no other queue.
    pub(super) fn for_a_turn(self) -> Waiting {
        self.turn
    }
}

impl Followers {
    fn queues(&self, account: &AccountId, follower: FollowerKey) -> Arc<Queues> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() % SWEEP_EVERY == SWEEP_EVERY - 1 {
            queues.retain(|_, queues| queues.strong_count() > 0);
        }
        let slot = queues.entry((account.clone(), follower)).or_default();
        slot.upgrade().unwrap_or_else(|| {
            let queues = Arc::new(Queues::default());
            *slot = Arc::downgrade(&queues);
            queues
        })
    }

    /// Joins both queues.
    pub(super) fn arrive(&self, account: &AccountId, follower: FollowerKey) -> Arrival {
        let queues = self.queues(account, follower);
        let turn = Waiting::in_queue(&queues.turn, &queues);
        Arrival { turn, pen: Waiting::in_queue(&queues.pen, &queues) }
    }

    /// Joins the queue for a turn only.
    pub(super) fn turn(&self, account: &AccountId, follower: FollowerKey) -> Waiting {
        let queues = self.queues(account, follower);
        Waiting::in_queue(&queues.turn, &queues)
    }

    /// Waits for the pen of the conversation.
    pub(super) async fn pen(&self, account: &AccountId, follower: FollowerKey) -> Place {
        let queues = self.queues(account, follower);
        Waiting::in_queue(&queues.pen, &queues).come().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (AccountId, FollowerKey) {
        (AccountId::new("card"), FollowerKey::new([1; 16]))
    }

    #[tokio::test]
    async fn the_queue_is_first_come_first_served_whoever_is_polled_first() {
        let (followers, (account, follower)) = (Followers::default(), names());
        let first = followers.turn(&account, follower);
        let second = followers.turn(&account, follower);
        let third = followers.turn(&account, follower);
        let Err(third) = third.now() else { panic!("the third is served first") };
        let Err(second) = second.now() else { panic!("the second is served first") };
        drop(first);
        let Err(third) = third.now() else { panic!("the third is served before the second") };
        let Ok(place) = second.now() else { panic!("the second is not served") };
        drop(place);
        third.come().await;
        let other = FollowerKey::new([2; 16]);
        let held = followers.turn(&account, follower).come().await;
        assert!(followers.turn(&account, other).now().is_ok(), "another follower waits");
        drop(held);
    }

    #[tokio::test]
    async fn who_gives_up_is_passed_over() {
        let (followers, (account, follower)) = (Followers::default(), names());
        let held = followers.turn(&account, follower).come().await;
        let second = followers.turn(&account, follower);
        let third = followers.turn(&account, follower);
        drop(second);
        drop(held);
        assert!(third.now().is_ok());
    }

    #[tokio::test]
    async fn queues_that_nobody_stands_in_are_swept() {
        let followers = Followers::default();
        let account = AccountId::new("card");
        for number in 0..10 * SWEEP_EVERY as u128 {
            followers.turn(&account, FollowerKey::new(number.to_be_bytes())).come().await;
        }
        let size = followers.queues.lock().unwrap().len();
        assert!(size <= SWEEP_EVERY, "{size}");
    }
}
