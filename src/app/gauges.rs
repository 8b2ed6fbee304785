//! What is looked at now and then for the metrics page: queues, leases, tokens, quotas, the database, the disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Rooms;
use crate::domain::ids::AccountId;
use crate::store::{Engine, Lane, OutChannel};
use crate::telemetry::{gauge, note_disk, number};

/// How often everything is looked at; a scrape is rarely more frequent.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// A database that does not answer a one-row query in this time is not reachable.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How long after the start, and then how often, WeChat is asked what is left of the day's quotas. Asking costs calls.
const QUOTA_FIRST: Duration = Duration::from_secs(60);
const QUOTA_EVERY: Duration = Duration::from_secs(600);
/// The calls whose quota is watched: those that customers wait for.
const WATCHED: [(&str, OutChannel); 2] =
    [("message/template/send", OutChannel::Template), ("message/custom/send", OutChannel::CustomerService)];
/// A token lives this long, as WeChat says.
const TOKEN_LIFE_SECONDS: u64 = 7_200;
/// The lanes of outgoing work.
const LANES: [Lane; 5] = [Lane::Security, Lane::Answer, Lane::Spend, Lane::Reminder, Lane::Event];

/// Looks, and sets gauges.
pub(super) struct Gauges {
    rooms: Rooms,
    quota_due: Mutex<Instant>,
    /// Where an embedded database lies.
    folder: Option<PathBuf>,
}

impl Gauges {
    pub(super) fn new(rooms: Rooms) -> Self {
        let folder = (rooms.store.engine() == Engine::Sqlite)
            .then(|| folder_of(rooms.config.database.url.reveal()))
            .flatten();
        Self { rooms, quota_due: Mutex::new(Instant::now() + QUOTA_FIRST), folder }
    }

    /// Looks until told to stop.
    pub(super) async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.look(false).await;
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        gauge("weikefu_ready", 0);
    }

    /// Looks once; at quotas only when it is time for them, or when `all` is wanted.
    pub(super) async fn look(&self, all: bool) {
        self.build();
        self.inside();
        let is_there = self.database().await;
        gauge("weikefu_ready", u64::from(is_there));
        if is_there {
            self.queues().await;
        }
        self.tokens();
        let mut due = self.quota_due.lock().await;
        if all || Instant::now() >= *due {
            *due = Instant::now() + QUOTA_EVERY;
            drop(due);
            self.quotas().await;
        }
        if is_there {
            self.drawn().await;
        }
    }

    fn build(&self) {
        let database = match self.rooms.store.engine() {
            Engine::Sqlite => "sqlite",
            Engine::Postgres => "postgres",
        };
        metrics::gauge!("weikefu_build_info", "version" => env!("CARGO_PKG_VERSION"), "database" => database)
            .set(1);
    }

    /// What this process knows by itself.
    fn inside(&self) {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        gauge("weikefu_inbound_in_work", count(self.rooms.inbound.in_work()));
        gauge("weikefu_core_breaker_open", u64::from(self.rooms.core.is_cut_off()));
        gauge("weikefu_core_operations_cut_off", count(self.rooms.core.cut_off().len()));
        gauge("weikefu_core_failures_in_row", u64::from(self.rooms.core.failures_in_row()));
        gauge("weikefu_parts_held", count(self.rooms.outbound.parts().held()));
        gauge("weikefu_alerts_pending_max", self.rooms.config.api.backlog_max);
        for (lane, waiting) in ["0", "1", "2", "3"].into_iter().zip(self.rooms.store.waiting_commits()) {
            metrics::gauge!("weikefu_store_waiting", "lane" => lane).set(number(count(waiting)));
        }
        let (idle, busy) = self.rooms.store.readers();
        for (state, readers) in [("idle", idle), ("busy", busy)] {
            metrics::gauge!("weikefu_store_readers", "state" => state).set(number(count(readers)));
        }
        if let Some(folder) = &self.folder {
            note_disk(folder);
        }
    }

    /// Whether the database answers, and how fast.
    async fn database(&self) -> bool {
        let began = Instant::now();
        let answered = tokio::time::timeout(PING_TIMEOUT, self.rooms.store.ping()).await;
        metrics::gauge!("weikefu_store_answer_seconds").set(began.elapsed());
        matches!(answered, Ok(Ok(())))
    }

    /// Queues that the whole deployment shares.
    async fn queues(&self) {
        let rooms = &self.rooms;
        match rooms.store.waiting_outbox().await {
            Ok(waiting) => {
                let now = rooms.clock.now();
                for lane in LANES {
                    let found = waiting.iter().find(|(of, _, _)| *of == lane);
                    let rows = found.map_or(0, |(_, rows, _)| u64::try_from(*rows).unwrap_or(0));
                    let oldest = found.map_or(Duration::ZERO, |(_, _, due)| now.since(*due));
                    metrics::gauge!("weikefu_outbox_rows", "lane" => lane.name()).set(number(rows));
                    metrics::gauge!("weikefu_outbox_oldest_seconds", "lane" => lane.name()).set(oldest);
                }
            }
            Err(error) => told(&error),
        }
        match rooms.alerts.pending().await {
            Ok(pending) => gauge("weikefu_alerts_pending", u64::try_from(pending).unwrap_or(0)),
            Err(error) => told(&error),
        }
        for account in &rooms.config.accounts {
            match rooms.store.count_waiting(&account.id).await {
                Ok(waiting) => {
                    metrics::gauge!("weikefu_desk_waiting", "account" => account.id.to_string())
                        .set(f64::from(waiting));
                }
                Err(error) => told(&error),
            }
        }
    }

    /// What the instances have drawn of the day's quotas, together.
    async fn drawn(&self) {
        for (account, (call, channel)) in
            self.rooms.apis.keys().flat_map(|account| WATCHED.map(|watched| (account, watched)))
        {
            match self.rooms.outbound.quota_use(account, channel).await {
                Ok(used) => {
                    let drawn = number(u64::try_from(used.drawn).unwrap_or(0));
                    metrics::gauge!("weikefu_quota_drawn", "account" => account.to_string(), "call" => call)
                        .set(drawn);
                    if let Some(calls_max) = used.calls_max {
                        let calls_max = number(u64::try_from(calls_max).unwrap_or(0));
                        metrics::gauge!("weikefu_quota_drawn_max", "account" => account.to_string(), "call" => call)
                            .set(calls_max);
                    }
                }
                Err(error) => told(&error),
            }
        }
    }

    fn tokens(&self) {
        let now = self.rooms.clock.now();
        for (account, api) in self.rooms.apis.iter() {
            let Some(expires) = api.token_expires() else { continue };
            let left = expires.since(now).as_secs();
            let set = |name: &'static str, seconds: u64| {
                metrics::gauge!(name, "account" => account.to_string()).set(number(seconds));
            };
            set("weikefu_wechat_token_left_seconds", left);
            set("weikefu_wechat_token_age_seconds", TOKEN_LIFE_SECONDS.saturating_sub(left));
        }
    }

    async fn quotas(&self) {
        for (account, api) in self.rooms.apis.iter() {
            for (call, channel) in WATCHED {
                match api.quota(&format!("/cgi-bin/{call}")).await {
                    Ok(quota) => {
                        set_quota(account, call, quota.remain, quota.daily_limit);
                        if let Err(error) = self.rooms.outbound.learn_limits(account, channel, &quota).await {
                            tracing::warn!(%account, call, %error, retry = "later", "what WeChat says of the day's quota could not be kept");
                        }
                    }
                    Err(error) => tracing::info!(
                        %account, call, %error, retry = "later",
                        "WeChat does not say what is left of the day's quota; its metric keeps its last value"
                    ),
                }
            }
        }
    }
}

fn set_quota(account: &AccountId, call: &'static str, left: i64, day: i64) {
    for (name, calls) in [("weikefu_wechat_quota_left", left), ("weikefu_wechat_quota_day", day)] {
        metrics::gauge!(name, "account" => account.to_string(), "call" => call)
            .set(number(u64::try_from(calls).unwrap_or(0)));
    }
}

fn told(error: &crate::store::StoreError) {
    tracing::warn!(%error, retry = "later", "a queue could not be counted; its metric keeps its last value");
}

/// The folder of an embedded database's file.
fn folder_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?.trim_start_matches("//");
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    let folder = Path::new(path).parent()?;
    Some(if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_path_buf() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_database_is_found_in_its_address() {
        for (url, folder) in [
            ("sqlite://data/weikefu.db", Some("data")),
            ("sqlite:///var/lib/weikefu/weikefu.db?mode=rwc", Some("/var/lib/weikefu")),
            ("sqlite:weikefu.db", Some(".")),
            ("postgres://host/db", None),
        ] {
            assert_eq!(folder_of(url).as_deref(), folder.map(Path::new), "{url}");
        }
    }
}
