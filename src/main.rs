//! The command line; everything else is in the library.

// A server that strangers reach does not stop on what they send: nothing outside tests may panic in its own words.
#![cfg_attr(not(test), deny(clippy::expect_used, clippy::panic, clippy::unreachable))]

mod cli;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run()
}
