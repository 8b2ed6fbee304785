//! Stand-ins of the world outside, for the demo and for tests: programs of their own, reached over real HTTP.
//! The world outside, in a box: programs that stand in for WeChat and for the bank's own systems, for the demo and
//! for tests. Each is reached over real HTTP only.

pub mod core;
mod recordings;
pub mod wechat;
