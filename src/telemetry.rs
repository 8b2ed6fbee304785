//! Logs to stderr and metrics for `/metrics`. Neither ever carries personal data: labels come from closed sets,
//! and followers appear as their keyed hash only.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write};
use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

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
/// Longest log line; the rest of it is dropped and says so.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// How often histograms are folded up, so that an unscraped process does not grow.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Bounds of histograms whose name ends in `_seconds`: from a database read to WeChat's longest patience.
const SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 4.5, 10.0, 30.0];

/// Bounds of every other histogram: how many.
const COUNTS: [f64; 10] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0];

/// Starts logging. A second call changes nothing.
pub fn start_logs(format: LogFormat) {
    let filter = EnvFilter::try_from_env(FILTER_VARIABLE).unwrap_or_else(|_| EnvFilter::new(FILTER));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(format == LogFormat::Text && io::stderr().is_terminal())
        .with_writer(Lines(format));
    let started = match format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    // Somebody logs already: his choice stands.
    drop(started);
}

/// The page that Prometheus reads. Counting begins with [`start_metrics`], or else with the first call.
#[must_use]
pub fn render() -> String {
    recorder().render()
}

/// Starts counting: from here on the `metrics` macros have somewhere to write. Every name begins with `weikefu_`.
pub fn start_metrics() {
    recorder();
}

fn recorder() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new()
            .set_buckets(&COUNTS)
            .and_then(|builder| builder.set_buckets_for_metric(seconds, &SECONDS))
            .unwrap_or_else(|error| {
                tracing::error!(%error, "histograms keep their default form");
                PrometheusBuilder::new()
            });
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::error!("another recorder was installed before; /metrics stays empty");
        }
        fold_histograms(handle.clone());
        handle
    })
}

fn fold_histograms(handle: PrometheusHandle) {
    let folding = move || loop {
        std::thread::sleep(UPKEEP_EVERY);
        handle.run_upkeep();
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".into()).spawn(folding) {
        tracing::error!(%error, "histograms are folded only when they are scraped");
    }
}

/// Writes whole, bounded lines to stderr.
#[derive(Clone, Copy)]
struct Lines(LogFormat);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        *self
    }
}

impl Write for Lines {
    /// The formatter hands over one line at a time.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        io::stderr().lock().write_all(&bounded(line, self.0))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn bounded(line: &[u8], format: LogFormat) -> Cow<'_, [u8]> {
    let Some(head) = line.get(..LINE_BYTES_MAX).filter(|_| line.len() > LINE_BYTES_MAX) else {
        return Cow::Borrowed(line);
    };
    let count = line.len();
    Cow::Owned(match format {
        LogFormat::Text => [head, format!("… ({count} bytes)\n").as_bytes()].concat(),
        // Half an object is no object.
        LogFormat::Json => {
            format!("{{\"level\":\"ERROR\",\"message\":\"a log line of {count} bytes was dropped\"}}\n")
                .into()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_render_what_was_counted() {
        start_metrics();
        metrics::counter!("weikefu_test_total").increment(2);
        metrics::histogram!("weikefu_test_seconds").record(0.02);
        let text = render();
        assert!(text.contains("weikefu_test_total 2"), "{text}");
        assert!(text.contains("weikefu_test_seconds_bucket{le=\"0.025\"} 1"), "{text}");
    }

    #[test]
    fn a_log_line_is_bounded_and_json_stays_json() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        assert_eq!(bounded(b"short\n", LogFormat::Text), &b"short\n"[..]);
        let text = bounded(&long, LogFormat::Text);
        assert!(text.len() < LINE_BYTES_MAX + 64 && text.ends_with("… (16385 bytes)\n".as_bytes()));
        let json = bounded(&long, LogFormat::Json);
        assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
    }
}
