//! Stand-ins of the world outside, for the demo and for tests: programs of their own, reached over real HTTP.

pub mod wechat;
//! The world outside, in a box: programs that stand in for WeChat and for the bank's own systems over real HTTP.

pub mod core;
