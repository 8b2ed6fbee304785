//! What every call gets at the door: a trace. The bank may name its own; browsers may not.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use crate::bank::webhooks::TRACEPARENT;
use crate::clock::{SystemClock, SystemRandom, new_trace};
use crate::domain::trace::TraceParent;
use crate::telemetry::trace;

/// A new trace for each call of a browser.
///
/// # Errors
/// Those of the call.
pub(super) async fn new_trace_for_each<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    trace::carry(new_trace(&SystemClock, &SystemRandom), next.call(request)).await
}

/// The trace that the bank names in `traceparent`, else a new one.
///
/// # Errors
/// Those of the call.
pub(super) async fn the_banks_trace<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let header = request.headers().get(TRACEPARENT).and_then(|value| value.to_str().ok());
    match header.and_then(TraceParent::parse) {
        Some(parent) => trace::carry_on(parent, next.call(request)).await,
        None => trace::carry(new_trace(&SystemClock, &SystemRandom), next.call(request)).await,
    }
}
