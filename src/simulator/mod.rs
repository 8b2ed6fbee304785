//! The world outside, in a box: programs that stand in for WeChat and for the bank's own systems over real HTTP.

pub mod core;
pub mod wechat;
