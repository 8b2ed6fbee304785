//! Everything that arrives over HTTP. actix-web lives here and nowhere else (but in the simulator).

pub mod api;
mod client;
pub mod desk;
pub mod domain_files;
mod door;
pub mod h5;
pub mod probes;
pub mod serve;
pub mod webhook;
