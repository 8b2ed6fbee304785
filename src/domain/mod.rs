//! The bank's words. Pure: no I/O, no async, no clock.

pub mod ids;
pub mod money;
pub mod secret;
pub mod time;
pub mod window;
