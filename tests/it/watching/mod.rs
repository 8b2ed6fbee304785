//! What operators see: traces through server and core, spans at a collector, metrics, and how a stop goes.

pub(crate) mod collector;
mod metrics;
mod stopping;
mod traces;
