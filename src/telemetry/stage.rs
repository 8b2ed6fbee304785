//! Where the time of one message goes. The handles are made once, so that measuring costs neither a search nor memory.

use std::sync::LazyLock;
use std::time::Duration;

use metrics::Histogram;

/// The stages as the metric names them, in the order of [`Stage`].
pub(super) const NAMES: [&str; 6] = ["open", "wait", "load", "decide", "core", "commit"];

/// A stage of a push's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Signature, decryption, reading.
    Open,
    /// Earlier messages of the same follower.
    Wait,
    /// Conversation, binding and desk, read from the database.
    Load,
    /// What to answer.
    Decide,
    /// The bank's core.
    Core,
    /// Until the outcome is durable.
    Commit,
}

static HISTOGRAMS: LazyLock<[Histogram; 6]> = LazyLock::new(|| {
    super::start_metrics();
    NAMES.map(|stage| metrics::histogram!("weikefu_stage_seconds", "stage" => stage))
});

impl Stage {
    /// Notes how long it took.
    pub fn took(self, duration: Duration) {
        let at = match self {
            Self::Open => 0,
            Self::Wait => 1,
            Self::Load => 2,
            Self::Decide => 3,
            Self::Core => 4,
            Self::Commit => 5,
        };
        HISTOGRAMS[at].record(duration);
    }
}
