//! Logs to stderr, traces to a collector, and metrics for `/metrics`. None of them ever carries personal data: labels
//! come from closed or bounded sets, and followers appear as their keyed hash only.

mod export;
mod log;
pub mod metric;
mod process;
mod stage;
pub mod trace;

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use metrics::{KeyName, SharedString};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::clock::{Clock as _, SystemClock};
use crate::domain::time::UnixMs;
pub use export::{Export, NoCollector};
use metric::Kind;
use process::Process;
pub use stage::Stage;

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object on each line.
    Json,
}

/// Raises or lowers what is logged, in the syntax of `tracing_subscriber::EnvFilter`.
const FILTER_VARIABLE: &str = "WEIKEFU_LOG";
/// Libraries speak up only when something is wrong; their debug lines could carry bodies.
const FILTER: &str = "warn,weikefu=info";
/// Libraries never say more than this, whatever the filter: what they say below it are bodies and addresses.
const LIBRARIES_MAX: tracing::Level = tracing::Level::INFO;
/// How often histograms are folded up: at 40,000 messages a second about 7 MB wait between two times.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// Bounds of histograms whose name ends in `_seconds`: from a decision to WeChat's longest patience.
const SECONDS: [f64; 18] = [
    0.000_025, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    2.5, 4.5, 10.0, 30.0,
];

/// Bounds of every other histogram: how many.
const COUNTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Starts logging. A second call changes nothing.
pub fn start_logs(format: LogFormat) {
    let wanted = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER));
    let lines = log::Lines { format, write: to_stderr }
        .with_filter(wanted)
        .with_filter(filter_fn(|metadata| metadata.is_event() && is_ours_or_grave(metadata)));
    let spans = export::Spans.with_filter(export::WhenExported);
    // Somebody logs already: his choice stands.
    drop(tracing_subscriber::registry().with(lines).with(spans).try_init());
}

fn is_ours_or_grave(metadata: &tracing::Metadata<'_>) -> bool {
    metadata.target().starts_with("weikefu") || *metadata.level() <= LIBRARIES_MAX
}

/// A line that cannot be written is lost: there is nowhere left to say so.
fn to_stderr(line: &str) {
    let _ = io::stderr().lock().write_all(line.as_bytes());
}

/// The page that Prometheus reads. Counting begins with [`start_metrics`], or else with the first call.
#[must_use]
pub fn render() -> String {
    let page = recorder();
    for (level, lines) in log::LEVELS.into_iter().zip(log::written()) {
        metrics::counter!("weikefu_log_lines_total", "level" => level).absolute(lines);
    }
    for (outcome, spans) in [("sent", &export::SENT), ("dropped", &export::DROPPED), ("lost", &export::LOST)]
    {
        let spans = spans.load(std::sync::atomic::Ordering::Relaxed);
        metrics::counter!("weikefu_spans_total", "outcome" => outcome).absolute(spans);
    }
    let process = Process::look();
    metrics::counter!("weikefu_process_cpu_seconds_total").absolute(process.cpu_ms / 1000);
    gauge("weikefu_process_resident_bytes", process.resident_bytes);
    gauge("weikefu_process_threads", process.threads);
    gauge("weikefu_process_open_files", process.open_files);
    gauge("weikefu_process_open_files_max", process.open_files_max);
    page.render()
}

/// Starts counting: from here on the `metrics` macros have somewhere to write. Every metric stands in
/// [`metric::ALL`]; those whose labels are known beforehand begin at zero, so that the first failure is a change.
pub fn start_metrics() {
    recorder();
}

/// Tells how much room is left where an embedded database lies.
pub fn note_disk(folder: &Path) {
    if let Some(bytes) = process::disk_free_bytes(folder) {
        gauge("weikefu_disk_free_bytes", bytes);
    }
}

/// Sets a gauge without labels.
pub fn gauge(name: &'static str, value: u64) {
    metrics::gauge!(name).set(number(value));
}

/// A count as the page's numbers are, exact up to 2^53.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is read by people; beyond 2^53 its last digit is no news"
)]
pub fn number(value: u64) -> f64 {
    value as f64
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets(&COUNTS)
            .and_then(|builder| builder.set_buckets_for_metric(seconds, &SECONDS))
            .unwrap_or_else(|error| {
                tracing::error!(%error, "histograms keep their default form; panels that read buckets stay empty");
                PrometheusBuilder::new()
            });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("another recorder was installed before; /metrics stays empty");
        }
        describe();
        metrics::gauge!("weikefu_process_start_time_seconds").set(started_seconds(SystemClock.now()));
        fold_histograms(handle.clone());
        handle
    })
}

/// Gives every metric its HELP, every counter whose series are known its first value, and every histogram without labels
/// its first count.
fn describe() {
    metrics::with_recorder(|recorder| {
        for metric in metric::ALL {
            let (name, help) = (KeyName::from_const_str(metric.name), SharedString::const_str(metric.help));
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Histogram => recorder.describe_histogram(name, None, help),
            }
        }
    });
    for metric in metric::ALL.iter().filter(|metric| metric.kind == Kind::Counter) {
        for labels in metric::combinations(metric) {
            metrics::counter!(metric.name, &labels).increment(0);
        }
    }
    for metric in
        metric::ALL.iter().filter(|metric| metric.kind == Kind::Histogram && metric.labels.is_empty())
    {
        drop(metrics::histogram!(metric.name));
    }
}

fn started_seconds(now: UnixMs) -> f64 {
    number(u64::try_from(now.seconds()).unwrap_or(0))
}

fn fold_histograms(handle: PrometheusHandle) {
    let folding = move || loop {
        std::thread::sleep(UPKEEP_EVERY);
        handle.run_upkeep();
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".into()).spawn(folding) {
        tracing::error!(%error, "no thread folds histograms: memory grows between scrapes; raise the limit of tasks");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_render_what_was_counted_with_what_it_means() {
        start_metrics();
        metrics::counter!("weikefu_inbound_failed_total").increment(2);
        Stage::Load.took(Duration::from_millis(20));
        let text = render();
        assert!(text.contains("weikefu_inbound_failed_total 2"), "{text}");
        assert!(text.contains("weikefu_stage_seconds_bucket{stage=\"load\",le=\"0.025\"} 1"), "{text}");
        assert!(text.contains("# HELP weikefu_inbound_failed_total Pushes that could not"), "{text}");
        assert!(text.contains("weikefu_outbound_settled_total{lane=\"spend\",state=\"failed\"} 0"), "{text}");
        assert!(text.contains("weikefu_process_resident_bytes "), "{text}");
    }
}
