//! The pages over HTTP, on both databases, with a bank, a WeChat and a listener that are made up.

mod apply;
mod bank;
mod bind;
mod doors;
mod step_up;
mod world;
