//! Weikefu (微客服): the server that a bank runs behind its WeChat official accounts.
//!
//! The map, lowest first; a room calls only rooms on earlier lines (`ARCHITECTURE.md` says more):
//!
//! ```text
//! domain
//! clock
//! config  telemetry  keys  content
//! wechat  bank  store  render  understanding  hints
//! catalogue  parts  occasions
//! outbound  identity  staff
//! alerts  marketing  desk  dialogue
//! inbound  doctor
//! web  simulator
//! app  main
//! ```

// A server that strangers reach does not stop on what they send: nothing outside tests may panic in its own words.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::panic, clippy::unreachable))]

pub mod alerts;
pub mod app;
pub mod bank;
pub mod catalogue;
pub mod clock;
pub mod config;
pub mod content;
pub mod desk;
pub mod dialogue;
pub mod doctor;
pub mod domain;
pub mod hints;
pub mod identity;
pub mod inbound;
pub mod keys;
pub mod marketing;
pub mod occasions;
pub mod outbound;
pub mod parts;
pub mod render;
#[cfg(feature = "demo")]
pub mod simulator;
pub mod staff;
pub mod store;
pub mod telemetry;
pub mod understanding;
pub mod web;
pub mod wechat;
