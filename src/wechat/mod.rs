//! WeChat's official-account platform as its documents say it; no bank words here.
//!
//! Inbound: [`push`] checks a call's signature ([`signature`]), opens its envelope ([`envelope`]), reads its XML
//! ([`xml`]) and gives a closed enum; [`reply`] writes the answer on the same connection.
//! Outbound: [`api`] calls the platform with a shared [`token`]; [`errcode`] says what its refusals mean, [`field`]
//! and [`menu`] keep what is sent within its limits.
//! Connecting: [`deliveries`] keeps why the platform's calls were refused, [`trial`] calls a webhook as it does.

pub mod api;
pub mod deliveries;
pub mod envelope;
pub mod errcode;
pub mod field;
mod json;
pub mod menu;
pub mod push;
pub mod reply;
pub mod signature;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod token;
pub mod trial;
#[cfg(test)]
mod vectors;
pub mod xml;
