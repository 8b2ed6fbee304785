//! Every metric: its name, its labels with what they may say, and what it tells. The page's HELP comes from here.

use super::metric::Kind::{Counter, Gauge, Histogram};
use super::metric::Label::{Closed, Open};

/// How a metric moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only up; its name ends in `_total`.
    Counter,
    /// Up and down.
    Gauge,
    /// Counts by size, in fixed buckets.
    Histogram,
}

/// One label, and how many values it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Only these.
    Closed(&'static str, &'static [&'static str]),
    /// What the configuration, the content or WeChat names; never more than this many.
    Open(&'static str, usize),
}

impl Label {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Closed(name, _) | Open(name, _) => name,
        }
    }
}

/// The kinds of pushes, as `wechat::push::Content::name` has them.
pub const KINDS: [&str; 32] = [
    "text",
    "image",
    "voice",
    "video",
    "shortvideo",
    "location",
    "link",
    "file",
    "unknown_message",
    "event_subscribe",
    "event_unsubscribe",
    "event_scan",
    "event_location",
    "event_click",
    "event_view",
    "event_view_miniprogram",
    "event_scancode_push",
    "event_scancode_waitmsg",
    "event_pictures",
    "event_location_select",
    "event_template_finish",
    "event_mass_send_finish",
    "event_publish_finish",
    "event_subscription_popup",
    "event_subscription_change",
    "event_subscription_sent",
    "event_agent_session_created",
    "event_agent_session_closed",
    "event_agent_session_switched",
    "event_user_authorization",
    "event_verification",
    "event_unknown",
];

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Begins with `weikefu_`; units are base units and stand last.
    pub name: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it tells.
    pub help: &'static str,
}

impl Metric {
    /// What a closed label may say; nothing for another one.
    #[must_use]
    pub fn values(&self, label: &str) -> &'static [&'static str] {
        let closed = self.labels.iter().find_map(|of| match *of {
            Closed(name, values) if name == label => Some(values),
            _ => None,
        });
        closed.unwrap_or_default()
    }
}

const fn metric(name: &'static str, kind: Kind, labels: &'static [Label], help: &'static str) -> Metric {
    Metric { name, kind, labels, help }
}

/// Accounts of one deployment.
const ACCOUNT: Label = Open("account", 50);
const LANE: Label = Closed("lane", &["security", "answer", "spend", "reminder", "event"]);
const CHANNEL: Label = Closed("channel", &["template", "customer_service", "event"]);
/// Operations of the core.
const OPERATION: Label = Open("operation", 100);
/// Calls of WeChat's API.
const CALL: Label = Open("call", 30);
const ANSWER: Label = Closed("answer", &["nothing", "reply", "busy"]);

/// All of them. Sorted by what they are about, from the door to the machine.
pub const ALL: &[Metric] = &[
    // A message on its way.
    metric(
        "weikefu_inbound_total",
        Counter,
        &[Closed("kind", &KINDS), ANSWER],
        "Deliveries of pushes, by kind and by what left on the connection.",
    ),
    metric(
        "weikefu_inbound_seconds",
        Histogram,
        &[ANSWER],
        "From the arrival of a verified push to its answer.",
    ),
    metric(
        "weikefu_shed_total",
        Counter,
        &[
            Closed("place", &["webhook", "core", "intake"]),
            Closed("class", &["campaign", "marketing", "knowledge", "query", "alert", "security"]),
        ],
        "Work that was refused because more was under way than its class may have part in: messages, calls of the core, calls of the bank.",
    ),
    metric(
        "weikefu_stage_seconds",
        Histogram,
        &[Closed("stage", &super::stage::NAMES)],
        "What the time of a push went into: open (verify, decrypt, read), wait (the follower's earlier messages), load, decide, core, commit.",
    ),
    metric("weikefu_inbound_in_work", Gauge, &[], "Pushes in work now."),
    metric(
        "weikefu_inbound_owed_total",
        Counter,
        &[],
        "Answers that did not make it in the reply budget and follow as customer-service messages.",
    ),
    metric(
        "weikefu_inbound_failed_total",
        Counter,
        &[],
        "Pushes that could not be worked on; the log says why.",
    ),
    metric(
        "weikefu_inbound_given_up_total",
        Counter,
        &[],
        "Pushes that no owner got to an end; the customer was told.",
    ),
    metric("weikefu_inbound_taken_over_total", Counter, &[], "Pushes taken over from an owner that died."),
    metric(
        "weikefu_inbound_unknown_total",
        Counter,
        &[],
        "Pushes of a kind that we do not know; acknowledged.",
    ),
    metric(
        "weikefu_webhook_mismatch_total",
        Counter,
        &[ACCOUNT, Open("fault", 16)],
        "Refused calls by the setting that seems to differ from the console of WeChat; see /deliveries.",
    ),
    metric(
        "weikefu_webhook_refused_total",
        Counter,
        &[Open("reason", 64)],
        "Calls of the webhook that were refused.",
    ),
    metric("weikefu_services_total", Counter, &[Open("service", 300)], "Answers by service."),
    // The bank's core.
    metric(
        "weikefu_core_calls_total",
        Counter,
        &[OPERATION, Closed("outcome", &["answered", "refused", "lied", "down", "bad_params", "unknown"])],
        "Calls of the bank's core. lied: the answer does not fit its schema.",
    ),
    metric("weikefu_core_call_seconds", Histogram, &[OPERATION], "A call of the core with all its tries."),
    metric(
        "weikefu_core_breaker_open",
        Gauge,
        &[],
        "1: the core failed 20 times in a row, and one call at a time finds out whether it is back.",
    ),
    metric(
        "weikefu_core_operations_cut_off",
        Gauge,
        &[],
        "Operations of the core that failed 20 times in a row each; the log names them. Their customers are told so at once.",
    ),
    metric(
        "weikefu_core_failures_in_row",
        Gauge,
        &[],
        "Failed calls of the core since the last that succeeded.",
    ),
    metric(
        "weikefu_asr_total",
        Counter,
        &[Closed("outcome", &["heard", "nothing", "refused", "lied", "down", "no_recording"])],
        "Voice messages without words, by what the bank's recogniser made of them. no_recording: WeChat did not give it.",
    ),
    metric("weikefu_asr_seconds", Histogram, &[], "A recording at the bank's recogniser with all its tries."),
    // What leaves.
    metric(
        "weikefu_outbound_wait_seconds",
        Histogram,
        &[LANE],
        "From the commit of an outgoing message to its first or next try.",
    ),
    metric(
        "weikefu_outbound_tries_total",
        Counter,
        &[CHANNEL, Closed("outcome", &["accepted", "busy", "refused", "not_sent", "unclear"])],
        "Tries at sending to WeChat.",
    ),
    metric(
        "weikefu_outbound_faults_total",
        Counter,
        &[CHANNEL, Closed("class", &["malformed", "restricted", "permission", "configuration"])],
        "Messages that WeChat refused for a reason that no retry mends: staff must look.",
    ),
    metric(
        "weikefu_outbound_settled_total",
        Counter,
        &[LANE, Closed("state", &["sent", "delivered", "failed", "suppressed", "unreachable"])],
        "Outgoing messages that came to an end.",
    ),
    metric(
        "weikefu_events_total",
        Counter,
        &[Closed("outcome", &["accepted", "refused", "unclear", "given_up"])],
        "Tries at telling the bank an event.",
    ),
    metric(
        "weikefu_outbox_rows",
        Gauge,
        &[LANE],
        "Outgoing messages that are not settled, in the whole deployment.",
    ),
    metric(
        "weikefu_outbox_oldest_seconds",
        Gauge,
        &[LANE],
        "How long the oldest unsettled message has been due.",
    ),
    metric(
        "weikefu_hints_connected",
        Gauge,
        &[],
        "Whether a Redis carries hints between instances now; without one they look by themselves.",
    ),
    metric(
        "weikefu_hints_total",
        Counter,
        &[Closed("way", &["said", "heard"])],
        "Hints between instances that there is something to look at.",
    ),
    metric("weikefu_parts_held", Gauge, &[], "Partitions of outgoing work that this process holds, of 256."),
    // What the bank tells us.
    metric(
        "weikefu_api_refused_total",
        Counter,
        &[Closed(
            "code",
            &[
                "unauthorized",
                "unparsable",
                "too_large",
                "webhook_id_reused",
                "not_found",
                "backlog_full",
                "unavailable",
            ],
        )],
        "Calls of the bank that were refused.",
    ),
    metric(
        "weikefu_alerts_taken_total",
        Counter,
        &[
            Closed("family", &["transaction", "notice"]),
            Closed("outcome", &["accepted", "duplicate", "rejected"]),
        ],
        "Items that the bank told us.",
    ),
    metric(
        "weikefu_alerts_settled_total",
        Counter,
        &[Closed("state", &["sent", "delivered", "failed", "suppressed", "unreachable"])],
        "Verdicts on items; a sent one may become delivered or failed.",
    ),
    metric(
        "weikefu_offers_total",
        Counter,
        &[Closed("outcome", &["shown", "held_out"])],
        "Offers that fitted a moment, by whether the customer is in the hold-out group.",
    ),
    metric("weikefu_alerts_pending", Gauge, &[], "Items without a verdict, in the whole deployment."),
    metric(
        "weikefu_alerts_pending_max",
        Gauge,
        &[],
        "Items without a verdict at which the bank hears 429 ([api] backlog_max).",
    ),
    metric("weikefu_desk_waiting", Gauge, &[ACCOUNT], "Customers who wait for a person."),
    // WeChat.
    metric(
        "weikefu_wechat_calls_total",
        Counter,
        &[ACCOUNT, CALL, Open("code", 120)],
        "Calls of WeChat's API by errcode; 0 is ok, none is no answer.",
    ),
    metric("weikefu_wechat_call_seconds", Histogram, &[CALL], "A call of WeChat's API."),
    metric(
        "weikefu_wechat_token_age_seconds",
        Gauge,
        &[ACCOUNT],
        "Since the access token in use was fetched; by its usual life of two hours.",
    ),
    metric(
        "weikefu_wechat_token_left_seconds",
        Gauge,
        &[ACCOUNT],
        "Until the access token in use ends; renewed by the first call within its last five minutes.",
    ),
    metric("weikefu_wechat_quota_left", Gauge, &[ACCOUNT, CALL], "Calls left today, as WeChat counts."),
    metric("weikefu_wechat_quota_day", Gauge, &[ACCOUNT, CALL], "Calls allowed a day."),
    metric(
        "weikefu_quota_drawn",
        Gauge,
        &[ACCOUNT, CALL],
        "Calls of today that the instances have drawn, used or not, in all.",
    ),
    metric(
        "weikefu_quota_drawn_max",
        Gauge,
        &[ACCOUNT, CALL],
        "Calls that may be drawn today, once WeChat has said so.",
    ),
    // The database.
    metric(
        "weikefu_store_groups_apart_total",
        Counter,
        &[],
        "Groups of commits that were tried one by one because one of them met a conflict.",
    ),
    metric("weikefu_store_group_commits", Histogram, &[], "Commits that became durable in one transaction."),
    metric(
        "weikefu_store_transaction_seconds",
        Histogram,
        &[],
        "A transaction of a group of commits, until it is durable.",
    ),
    metric(
        "weikefu_store_waiting",
        Gauge,
        &[Closed("lane", &["0", "1", "2", "3"])],
        "Commits that wait for a writer; at 4096 callers are told that the database is too slow.",
    ),
    metric("weikefu_store_readers", Gauge, &[Closed("state", &["idle", "busy"])], "Connections that read."),
    metric(
        "weikefu_store_answer_seconds",
        Gauge,
        &[],
        "How long the database took for a query of one row, last time it was asked.",
    ),
    // The process.
    metric(
        "weikefu_ready",
        Gauge,
        &[],
        "1: /readyz says so. 0: the database does not answer, or the process is stopping.",
    ),
    metric(
        "weikefu_build_info",
        Gauge,
        &[Open("version", 1), Closed("database", &["sqlite", "postgres"])],
        "Always 1; what runs here.",
    ),
    metric(
        "weikefu_content_reloads_total",
        Counter,
        &[Closed("outcome", &["taken", "unchanged", "refused"])],
        "Reloads of edited content; a refused one left the old in place.",
    ),
    metric(
        "weikefu_log_lines_total",
        Counter,
        &[Closed("level", &super::log::LEVELS)],
        "Lines written to the log.",
    ),
    metric(
        "weikefu_spans_total",
        Counter,
        &[Closed("outcome", &["sent", "dropped", "lost"])],
        "Spans for the collector; dropped: the queue was full; lost: it did not take them.",
    ),
    metric("weikefu_process_resident_bytes", Gauge, &[], "Memory in use."),
    metric("weikefu_process_cpu_seconds_total", Counter, &[], "CPU time used."),
    metric("weikefu_process_threads", Gauge, &[], "Threads."),
    metric("weikefu_process_open_files", Gauge, &[], "Open file descriptors."),
    metric("weikefu_process_open_files_max", Gauge, &[], "How many file descriptors may be open."),
    metric("weikefu_process_start_time_seconds", Gauge, &[], "When the process started, since 1970 UTC."),
    metric("weikefu_disk_free_bytes", Gauge, &[], "Free disk space beside an embedded database."),
];

/// The metric of this name.
#[must_use]
pub fn of(name: &str) -> Option<&'static Metric> {
    ALL.iter().find(|metric| metric.name == name)
}

/// Every combination of values, where all labels are closed; one empty combination where there are none.
pub(super) fn combinations(metric: &Metric) -> Vec<Vec<(&'static str, &'static str)>> {
    let mut all = vec![vec![]];
    for label in metric.labels {
        let Closed(name, values) = *label else { return vec![] };
        all = all
            .into_iter()
            .flat_map(|before: Vec<_>| {
                values.iter().map(move |value| before.iter().copied().chain([(name, *value)]).collect())
            })
            .collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_of_one_form_and_stand_once() {
        let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("weikefu_") && metric.help.ends_with('.'), "{name}");
            assert_eq!(metric.kind == Counter, name.ends_with("_total"), "{name}");
            assert!(!name.contains("_ms") && !name.contains("percent"), "{name}: base units only");
        }
    }

    #[test]
    fn no_metric_can_have_more_series_than_a_server_takes() {
        let values = |label: &Label| match label {
            Closed(_, values) => values.len(),
            Open(_, values_max) => *values_max,
        };
        for metric in ALL.iter().filter(|metric| metric.name != "weikefu_wechat_calls_total") {
            let series: usize = metric.labels.iter().map(values).product();
            assert!(series <= 3_000, "{}: {series}", metric.name);
        }
    }

    #[test]
    fn closed_labels_are_combined() {
        let settled = combinations(of("weikefu_outbound_settled_total").unwrap());
        assert_eq!(settled.len(), 25);
        assert!(settled.contains(&vec![("lane", "spend"), ("state", "failed")]));
        assert_eq!(combinations(of("weikefu_inbound_failed_total").unwrap()), vec![vec![]]);
        assert!(combinations(of("weikefu_services_total").unwrap()).is_empty());
    }
}
