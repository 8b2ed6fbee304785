//! WeChat's official-account platform as its documents say it; no bank words here.
//!
//! Inbound: [`push`] checks a call's signature ([`signature`]), opens its envelope ([`envelope`]), reads its XML
//! ([`xml`]) and gives a closed enum; [`reply`] writes the answer on the same connection.

pub mod envelope;
mod json;
pub mod push;
pub mod reply;
pub mod signature;
pub mod text;
#[cfg(test)]
mod vectors;
pub mod xml;
