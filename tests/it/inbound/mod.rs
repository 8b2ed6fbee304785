//! The inbound path: one push, one effect, one answer, in order, whatever comes in between (P1, P2, P5, P6).

mod bounds;
mod budget;
mod events;
mod once;
mod order;
mod poison;

use std::time::Duration;

use weikefu::inbound::Limits;

/// The usual bounds with a reply budget that a test can wait for.
fn short_budget() -> Limits {
    Limits {
        reply_budget: Duration::from_millis(1_500),
        owing: Duration::from_millis(700),
        ..Limits::default()
    }
}
