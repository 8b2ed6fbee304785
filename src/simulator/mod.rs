//! Stand-ins of the world outside, for the demo and for tests: programs of their own, reached over real HTTP.

pub mod core;
pub mod wechat;
