//! One client towards the core: signs, bounds, checks, tries again where that is safe, and stops asking a core
//! that is down.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;
use tracing::{Instrument as _, field};

use super::breaker::BREAKER_FAILURES;
use super::breakers::{Breakers, WAITING_PER_OPERATION_MAX};
use super::http::{self, BrokenOff};
use super::operations::{Effect, Operation, Operations};
use super::tls::TlsFault;
use super::webhooks::{Signer, TRACEPARENT};
use crate::clock::{SharedClock, SharedRandom, new_id};
use crate::config;
use crate::domain::class::Class;
use crate::domain::ids::CustomerId;
#[cfg(test)]
use crate::domain::testing;
use crate::telemetry::trace::{self, SPANS};

/// A try and two more.
const ATTEMPTS_MAX: u32 = 3;
/// Pause before another try: this much and up to as much again.
const PAUSE_MS: u64 = 40;
/// Largest answer that is read.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// A refusal is told to the customer inside one chat message.
const MESSAGE_CHARS_MAX: usize = 200;
/// Longest refusal code.
const CODE_BYTES_MAX: usize = 64;

/// Where a call comes from; told to the core with it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Context {
    /// Joins our logs with the bank's; its end is the reference number that the customer reads. Filled in from the
    /// work that calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// The official account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// What the customer has proved: `none`, `binding`, `otp` or `pin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<String>,
    /// When he proved it, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// The address of his browser, on H5 pages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
}

/// One call of an operation.
#[derive(Clone)]
pub struct Call {
    /// Whom it is about.
    pub customer_id: Option<CustomerId>,
    /// Fits the operation's schema.
    pub params: Value,
    /// Makes a write safe to repeat.
    pub idempotency_key: Option<String>,
    /// Where it comes from.
    pub context: Context,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Call(…)")
    }
}

/// Whether asking again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same call gets the same answer.
    Never,
    /// The same call, with the same idempotency key if it had one, may succeed later.
    Later,
    /// A write without idempotency key may or may not have happened: a person must look before it is repeated.
    Unclear,
}

impl Retry {
    /// A word for the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Later => "later",
            Self::Unclear => "unclear",
        }
    }
}

/// How the core failed to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DownCause {
    /// No connection, or it broke.
    Connection,
    /// A TLS connection ended without an answer.
    Ended,
    /// No TLS connection.
    Tls(TlsFault),
    /// No answer within `core.timeout_ms`.
    TimeOut,
    /// It answered with this status of 500 or above, or with one that is no answer (a redirect).
    Status(u16),
    /// It does not accept our signature (401).
    Signature,
    /// Not asked: the core or this operation failed [`BREAKER_FAILURES`] times in a row, and another call is just finding
    /// out whether it is back.
    Breaker,
    /// Not asked: too many others wait for this operation already.
    Crowded,
}

impl From<BrokenOff> for DownCause {
    fn from(broken: BrokenOff) -> Self {
        match broken {
            BrokenOff::Connection => Self::Connection,
            BrokenOff::Ended => Self::Ended,
            BrokenOff::Tls(fault) => Self::Tls(fault),
            BrokenOff::TimeOut => Self::TimeOut,
        }
    }
}

impl fmt::Display for DownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection => {
                f.write_str("the connection failed; is [core] base_url right and the core running?")
            }
            Self::Ended => f.write_str(
                "the TLS connection ended without an answer; if [core] base_url wants another client certificate, give \
                 client_cert_file and client_key_file of a CA that it trusts",
            ),
            Self::Tls(fault) => write!(f, "no TLS connection to [core] base_url: {fault}"),
            Self::TimeOut => f.write_str("no answer within [core] timeout_ms"),
            Self::Status(status) => write!(f, "it answered with status {status}"),
            Self::Signature => f.write_str("it refuses our signature; compare [core] secret and both clocks"),
            Self::Breaker => write!(f, "it failed {BREAKER_FAILURES} times in a row and was not asked"),
            Self::Crowded => write!(
                f,
                "{WAITING_PER_OPERATION_MAX} others wait for this operation already, and it was not asked"
            ),
        }
    }
}

/// Why a call gave no result. Never holds a customer's data, except the core's own words in `Refused`.
#[derive(Clone, thiserror::Error)]
pub enum CoreError {
    /// There is no operation of this name.
    #[error("core operation {operation} does not exist; add its file or correct the service that names it")]
    Unknown {
        /// The name asked for.
        operation: String,
    },
    /// The params do not fit the operation's schema: a fault of ours.
    #[error(
        "params of core operation {operation} do not fit its schema at {path}; correct the service or form"
    )]
    BadParams {
        /// The operation.
        operation: String,
        /// JSON pointer of what does not fit.
        path: String,
    },
    /// The core understood and said no. The customer is told.
    #[error("core operation {operation} was refused: {code}")]
    Refused {
        /// The operation.
        operation: String,
        /// One of the operation's declared codes, if the core keeps to them.
        code: String,
        /// For the customer: plain text, bounded; empty when the core gave none.
        message: String,
        /// More about it, such as `tries_left`; `null` when there is nothing.
        details: Value,
    },
    /// The core answered something that does not fit the schema. It may have done what it was asked to.
    #[error(
        "the answer of core operation {operation} does not fit its schema at {path}; the core or the schema is wrong"
    )]
    Lied {
        /// The operation.
        operation: String,
        /// JSON pointer of what does not fit.
        path: String,
    },
    /// The core gave no answer.
    #[error("core operation {operation} failed: {cause}")]
    Down {
        /// The operation.
        operation: String,
        /// What happened on the last try.
        cause: DownCause,
        /// Whether asking again makes sense.
        retry: Retry,
    },
}

impl CoreError {
    /// Whether asking again makes sense.
    #[must_use]
    pub fn retry(&self) -> Retry {
        match self {
            Self::Down { retry, .. } => *retry,
            _ => Retry::Never,
        }
    }

    /// A short word for metrics and logs.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unknown { .. } => "unknown",
            Self::BadParams { .. } => "bad_params",
            Self::Refused { .. } => "refused",
            Self::Lied { .. } => "lied",
            Self::Down { .. } => "down",
        }
    }
}

impl fmt::Debug for CoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A client that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BadCore {
    /// `core.secret` is not `whsec_…`.
    #[error("[core] secret: {0}")]
    Secret(#[from] super::webhooks::BadSecret),
    /// The HTTP client cannot be built, for example for want of CA certificates.
    #[error("[core]: the HTTP client cannot be built: {0}; are the system's CA certificates installed?")]
    Http(#[from] reqwest::Error),
    /// A built-in operation file is broken.
    #[error(transparent)]
    Operation(#[from] super::operations::BadOperation),
}

/// The core, as the rest of the house sees it. Shared by all; holds one connection pool and the breakers.
pub struct Core {
    http: reqwest::Client,
    base: String,
    signer: Signer,
    timeout: Duration,
    operations: ArcSwap<Operations>,
    breakers: ArcSwap<Breakers>,
    clock: SharedClock,
    random: SharedRandom,
    #[cfg(test)]
    door: Option<Arc<dyn testing::Door>>,
}

impl Core {
    /// Builds the client with the built-in operations.
    ///
    /// # Errors
    /// See [`BadCore`].
    pub fn new(settings: &config::Core, clock: SharedClock, random: SharedRandom) -> Result<Self, BadCore> {
        Self::with_operations(settings, Arc::new(Operations::builtin()?), clock, random)
    }

    /// Builds the client with a set of operations.
    ///
    /// # Errors
    /// See [`BadCore`].
    pub fn with_operations(
        settings: &config::Core,
        operations: Arc<Operations>,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, BadCore> {
        let timeout = Duration::from_millis(settings.timeout_ms);
        Ok(Self {
            http: http::client(settings.base_url.as_str(), &settings.tls, timeout)?,
            base: settings.base_url.as_str().trim_end_matches('/').to_owned(),
            signer: Signer::new(&settings.secret)?,
            timeout,
            breakers: ArcSwap::from_pointee(Breakers::new(operations.iter().map(Operation::name))),
            operations: ArcSwap::new(operations),
            clock,
            random,
            #[cfg(test)]
            door: testing::door(),
        })
    }

    /// The operations that can be called.
    #[must_use]
    pub fn operations(&self) -> Arc<Operations> {
        self.operations.load_full()
    }

    /// Replaces the operations that can be called; calls under way end with those that they began with. All breakers are
    /// closed then.
    pub fn set_operations(&self, operations: Arc<Operations>) {
        self.breakers.store(Arc::new(Breakers::new(operations.iter().map(Operation::name))));
        self.operations.store(operations);
    }

    /// Whether the breaker is open: the core failed [`BREAKER_FAILURES`] times in a row and has not answered
    /// since.
    #[must_use]
    pub fn is_cut_off(&self) -> bool {
        self.breakers.load().is_open()
    }

    /// Failed calls since the last one that succeeded.
    #[must_use]
    pub fn failures_in_row(&self) -> u32 {
        self.breakers.load().failures_in_row()
    }

    /// The operations whose own breaker is open: each failed [`BREAKER_FAILURES`] times in a row and has not
    /// answered since.
    #[must_use]
    pub fn cut_off(&self) -> Vec<String> {
        self.breakers.load().cut_off().map(str::to_owned).collect()
    }

    /// Asks the core and checks its answer. Takes at most `core.timeout_ms`; may be dropped at any time.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub async fn call(&self, operation: &str, call: Call) -> Result<Value, CoreError> {
        let operations = self.operations();
        let known = operations.get(operation);
        let operation = known.ok_or_else(|| CoreError::Unknown { operation: operation.to_owned() })?;
        let started = Instant::now();
        let span = tracing::info_span!(target: SPANS, "core call", operation = operation.name(), outcome = field::Empty);
        let outcome = self.ask(operation, call, started + self.timeout).instrument(span.clone()).await;
        let class = outcome.as_ref().map_or_else(CoreError::class, |_| "answered");
        span.record("outcome", class);
        let name = operation.name().to_owned();
        metrics::counter!("weikefu_core_calls_total", "operation" => name.clone(), "outcome" => class)
            .increment(1);
        metrics::histogram!("weikefu_core_call_seconds", "operation" => name).record(started.elapsed());
        match &outcome {
            Ok(_) | Err(CoreError::Refused { .. }) => {
                let took_ms = started.elapsed().as_millis();
                tracing::debug!(operation = operation.name(), outcome = class, took_ms, "the core answered");
            }
            Err(error) => {
                let retry = error.retry().name();
                tracing::warn!(operation = operation.name(), outcome = class, retry, %error, "the core gave no answer");
            }
        }
        outcome
    }

    async fn ask(&self, operation: &Operation, call: Call, deadline: Instant) -> Result<Value, CoreError> {
        let name = || operation.name().to_owned();
        operation
            .check_params(&call.params)
            .map_err(|fault| CoreError::BadParams { operation: name(), path: fault.path })?;
        let repeatable = operation.effect() == Effect::Read || call.idempotency_key.is_some();
        let down = |cause: DownCause| {
            let harmless =
                repeatable || matches!(cause, DownCause::Breaker | DownCause::Crowded | DownCause::Signature);
            let retry = if harmless { Retry::Later } else { Retry::Unclear };
            CoreError::Down { operation: name(), cause, retry }
        };
        let class = if operation.effect() == Effect::Read { Class::Query } else { Class::Security };
        let breakers = self.breakers.load_full();
        let permit = breakers.enter(operation.name(), class).map_err(down)?;
        let body = request_body(call);
        let traceparent = trace::traceparent();
        let attempts_max = if repeatable { ATTEMPTS_MAX } else { 1 };
        let mut attempt = 1;
        let answer = loop {
            match self.attempt(operation, &body, traceparent.as_deref(), deadline).await {
                Ok(answer) => break Ok(answer),
                Err(cause) if attempt == attempts_max || cause == DownCause::Signature => break Err(cause),
                Err(cause) => {
                    let pause = self.pause();
                    if Instant::now() + pause >= deadline {
                        break Err(cause);
                    }
                    tokio::time::sleep(pause).await;
                    attempt += 1;
                }
            }
        };
        permit.settle(answer.is_ok());
        read_answer(operation, answer.map_err(down)?)
    }

    /// One exchange. A fresh message id each time, since the far side may take each only once.
    async fn attempt(
        &self,
        operation: &Operation,
        body: &str,
        traceparent: Option<&str>,
        deadline: Instant,
    ) -> Result<Answer, DownCause> {
        let id = new_id(&*self.clock, &*self.random);
        let mut request = self
            .http
            .post(format!("{}/v1/operations/{}", self.base, operation.name()))
            .header("content-type", "application/json")
            .body(body.to_owned());
        for (header, value) in self.signer.headers(&id, self.clock.now(), body.as_bytes()) {
            request = request.header(header, value);
        }
        if let Some(traceparent) = traceparent {
            request = request.header(TRACEPARENT, traceparent);
        }
        match tokio::time::timeout_at(deadline, self.receive(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(DownCause::TimeOut),
        }
    }

    async fn receive(&self, request: reqwest::RequestBuilder) -> Result<Answer, DownCause> {
        #[cfg(test)]
        if let Some(door) = &self.door {
            return through(door.as_ref(), request).await;
        }
        receive(request).await
    }

    fn pause(&self) -> Duration {
        let mut byte = [0_u8; 1];
        self.random.fill(&mut byte);
        Duration::from_millis(PAUSE_MS + PAUSE_MS * u64::from(byte[0]) / 255)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Core({})", self.base)
    }
}

/// An exchange that ended with an answer of the core.
struct Answer {
    status: u16,
    body: Option<Value>,
}

#[cfg(test)]
async fn through(door: &dyn testing::Door, request: reqwest::RequestBuilder) -> Result<Answer, DownCause> {
    let request = request.build().map_err(|_| DownCause::Connection)?;
    let body = request.body().and_then(|body| body.as_bytes()).unwrap_or_default().to_vec();
    let leaving = testing::Leaving { path: request.url().path().to_owned(), body };
    let (status, body) = door.carry(leaving).await.map_err(|_| DownCause::Connection)?;
    if status >= 500 {
        return Err(DownCause::Status(status));
    }
    Ok(Answer { status, body: serde_json::from_slice(&body).ok() })
}

async fn receive(request: reqwest::RequestBuilder) -> Result<Answer, DownCause> {
    let response = request.send().await.map_err(BrokenOff::from)?;
    let status = response.status().as_u16();
    match status {
        401 => return Err(DownCause::Signature),
        200 | 400..=499 => {}
        _ => return Err(DownCause::Status(status)),
    }
    let body = http::body(response, BODY_BYTES_MAX).await.map_err(BrokenOff::from)?;
    Ok(Answer { status, body: body.and_then(|body| serde_json::from_slice(&body).ok()) })
}

fn request_body(call: Call) -> String {
    let mut context = json!(call.context);
    if let (None, Some(trace)) = (&call.context.trace_id, trace::current_id()) {
        context["trace_id"] = json!(trace.to_string());
    }
    context["channel"] = json!("wechat");
    let mut body = json!({
        "customer_id": call.customer_id.as_ref().map(CustomerId::reveal),
        "params": call.params,
        "context": context,
    });
    if let Some(key) = call.idempotency_key {
        body["idempotency_key"] = Value::String(key);
    }
    body.to_string()
}

fn read_answer(operation: &Operation, answer: Answer) -> Result<Value, CoreError> {
    let name = || operation.name().to_owned();
    let lied = |path: String| CoreError::Lied { operation: name(), path };
    let Some(Value::Object(mut members)) = answer.body else { return Err(lied(String::new())) };
    if answer.status == 200 {
        let result = members.remove("result").ok_or_else(|| lied("/result".to_owned()))?;
        operation.check_result(&result).map_err(|fault| lied(format!("/result{}", fault.path)))?;
        return Ok(result);
    }
    let Some(Value::Object(mut error)) = members.remove("error") else {
        return Err(lied("/error".to_owned()));
    };
    let code = error.get("code").and_then(Value::as_str).ok_or_else(|| lied("/error/code".to_owned()))?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if code.is_empty() || code.len() > CODE_BYTES_MAX || !code.bytes().all(plain) {
        return Err(lied("/error/code".to_owned()));
    }
    Err(CoreError::Refused {
        operation: name(),
        code: code.to_owned(),
        message: clean(error.get("message").and_then(Value::as_str).unwrap_or_default()),
        details: error.remove("details").unwrap_or(Value::Null),
    })
}

/// The core's words as one line that can stand in a chat: no control or direction-changing characters, bounded.
fn clean(message: &str) -> String {
    let hidden = |c: char| matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}');
    let line: String = message
        .chars()
        .filter(|c| !hidden(*c))
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MESSAGE_CHARS_MAX)
        .collect();
    line.trim().to_owned()
}

#[cfg(test)]
mod tests;
