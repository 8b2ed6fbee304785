//! Spans to an OpenTelemetry collector, where one is configured. Only our own spans leave, with the fields that our own
//! code gave them; a queue that is full drops, a collector that fails loses, and neither holds anybody up.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use super::trace::{self, SPANS};
use crate::domain::trace::TraceId;

/// Spans that wait to be sent.
const WAITING_MAX: usize = 8_192;
/// Spans of one call.
const BATCH_MAX: usize = 512;
/// A call is given up after this.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// What waits at a stop is sent within this time, or lost.
const FLUSH_WITHIN: Duration = Duration::from_millis(800);
/// After a failure nothing is sent for this long, so that the log does not fill.
const PAUSE: Duration = Duration::from_secs(5);

static QUEUE: RwLock<Option<mpsc::Sender<SpanData>>> = RwLock::new(None);

/// What became of spans: sent, dropped because the queue was full, lost because the collector failed.
pub(super) static SENT: AtomicU64 = AtomicU64::new(0);
pub(super) static DROPPED: AtomicU64 = AtomicU64::new(0);
pub(super) static LOST: AtomicU64 = AtomicU64::new(0);

/// The collector cannot be called.
#[derive(Debug, thiserror::Error)]
#[error("[telemetry] otlp_url: {0}")]
pub struct NoCollector(#[from] opentelemetry_otlp::ExporterBuildError);

/// Spans leave from now on, until it is stopped.
pub struct Export {
    task: JoinHandle<()>,
}

impl Export {
    /// Begins to send spans to `{otlp_url}/v1/traces`, as OTLP over HTTP in protobuf. Inside a runtime.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub fn start(otlp_url: &url::Url) -> Result<Self, NoCollector> {
        let endpoint = format!("{}/v1/traces", otlp_url.as_str().trim_end_matches('/'));
        let mut exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_endpoint(endpoint)
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(CALL_TIMEOUT)
            .build()?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(
            &Resource::builder_empty().with_service_name("weikefu").with_attribute(version).build(),
        );
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        let task = tokio::spawn(send(exporter, receiver));
        listen(Some(sender));
        Ok(Self { task })
    }

    /// Sends what still waits, at most for a moment.
    pub async fn stop(self) {
        listen(None);
        if timeout(FLUSH_WITHIN, self.task).await.is_err() {
            tracing::warn!("the collector was too slow for the last spans; they are lost");
        }
    }
}

/// Whether spans are made is remembered where they are made; that memory is renewed here.
fn listen(sender: Option<mpsc::Sender<SpanData>>) {
    *QUEUE.write().unwrap_or_else(PoisonError::into_inner) = sender;
    tracing::callsite::rebuild_interest_cache();
}

fn is_on() -> bool {
    QUEUE.read().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Sends batches until the queue is closed and empty.
async fn send(exporter: opentelemetry_otlp::SpanExporter, mut waiting: mpsc::Receiver<SpanData>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let count = u64::try_from(batch.len()).unwrap_or_default();
        let call = exporter.export(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_MAX)));
        let why = match timeout(CALL_TIMEOUT, call).await {
            Ok(Ok(())) => {
                SENT.fetch_add(count, Ordering::Relaxed);
                continue;
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".to_owned(),
        };
        LOST.fetch_add(count, Ordering::Relaxed);
        tracing::warn!(
            spans = count,
            error = why,
            "the collector at [telemetry] otlp_url did not take spans; they are lost, nothing else is"
        );
        if !waiting.is_closed() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Turns spans into what the collector understands.
pub(super) struct Spans;

/// Only our spans, and only while there is somebody to send them to.
pub(super) struct WhenExported;

impl<S> Filter<S> for WhenExported {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        metadata.is_span() && metadata.target() == SPANS && is_on()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.is_span() && metadata.target() == SPANS && is_on() {
            Interest::always()
        } else {
            Interest::never()
        }
    }
}

/// What is known of a span while it lasts.
struct Step {
    trace: TraceId,
    id: u64,
    parent: u64,
    parent_is_remote: bool,
    began: SystemTime,
    fields: Vec<KeyValue>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let outer = span
            .parent()
            .and_then(|parent| parent.extensions().get::<Step>().map(|step| (step.trace, step.id)));
        let carried = trace::current();
        let (trace, parent, parent_is_remote) = match (outer, carried) {
            (Some((trace, parent)), _) => (trace, parent, false),
            (None, Some(carried)) => (carried.trace, carried.parent.unwrap_or(0), carried.parent.is_some()),
            (None, None) => return,
        };
        let mut fields = Fields(Vec::new());
        attributes.record(&mut fields);
        span.extensions_mut().insert(Step {
            trace,
            id: trace::new_span_id(),
            parent,
            parent_is_remote,
            began: now(),
            fields: fields.0,
        });
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(step) = span.extensions_mut().get_mut::<Step>() {
            let mut fields = Fields(std::mem::take(&mut step.fields));
            record.record(&mut fields);
            step.fields = fields.0;
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(step) = span.extensions_mut().remove::<Step>() else { return };
        let queue = QUEUE.read().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = queue.as_ref() else { return };
        if queue.try_send(data(span.name(), step)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn data(name: &'static str, step: Step) -> SpanData {
    let trace = opentelemetry::TraceId::from_bytes(step.trace.bytes());
    let id = SpanId::from_bytes(step.id.to_be_bytes());
    SpanData {
        span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: SpanId::from_bytes(step.parent.to_be_bytes()),
        parent_span_is_remote: step.parent_is_remote,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: step.began,
        end_time: now(),
        attributes: step.fields,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("weikefu").build(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a step takes on this machine; nothing is decided by it"
)]
fn now() -> SystemTime {
    SystemTime::now()
}

/// The id of the step that is being done, where steps are exported.
pub(super) fn current_span() -> Option<u64> {
    tracing::Span::current()
        .with_subscriber(|(id, dispatch)| {
            let registry = dispatch.downcast_ref::<Registry>()?;
            let span = registry.span(id)?;
            span.extensions().get::<Step>().map(|step| step.id)
        })
        .flatten()
}

struct Fields(Vec<KeyValue>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push(KeyValue::new(field.name(), Arc::<str>::from(format!("{value:?}"))));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push(KeyValue::new(field.name(), Arc::<str>::from(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push(KeyValue::new(field.name(), value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push(KeyValue::new(field.name(), value));
    }
}
