//! The bank's core as we call it: signed operations, each described by a schema, behind one client that knows
//! when to try again and when to say that the core is down.

pub mod check;
mod client;
pub mod events;
pub mod operations;
mod tls;
pub mod webhooks;

pub use client::{BREAKER_FAILURES, BadCore, Call, Context, Core, CoreError, DownCause, Retry};
pub use operations::{Effect, Operation, Operations, SchemaFault};
pub use tls::{TlsFault, dressed};
