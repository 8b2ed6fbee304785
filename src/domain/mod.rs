//! The bank's words. Pure: no I/O, no async, no clock.

pub mod alert_settings;
pub mod binding;
pub mod card;
pub mod case;
pub mod class;
pub mod complaint;
pub mod conversation;
pub mod ids;
pub mod mask;
pub mod money;
pub mod notice;
pub mod secret;
pub mod step_up;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod trace;
pub mod transaction;
pub mod verdict;
pub mod window;
