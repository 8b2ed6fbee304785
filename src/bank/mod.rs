//! The bank's core as we call it: signed operations, each described by a schema, behind one client that knows
//! when to try again and when to say that the core is down.

mod breaker;
mod breakers;
pub mod check;
mod client;
pub mod events;
pub mod http;
pub mod operations;
pub mod recogniser;
#[cfg(test)]
mod testing;
mod tls;
pub mod webhooks;

pub use breaker::BREAKER_FAILURES;
pub use breakers::WAITING_PER_OPERATION_MAX;
pub use client::{BadCore, Call, Context, Core, CoreError, DownCause, Retry};
pub use operations::{Effect, Operation, Operations, SchemaFault};
pub use tls::TlsFault;
