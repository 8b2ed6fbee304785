//! The composition root: a configuration in, a running server out.

mod backup;
mod edited;
mod gauges;
mod glue;
mod housekeeping;
mod keyring;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::alerts::Alerts;
use crate::bank::{Core, Operations};
use crate::clock::{SharedClock, SharedRandom};
use crate::config::{self, Config, DeskKind};
use crate::content::{Content, Fault};
use crate::desk::{Desk, DeskFiles};
use crate::dialogue::Robots;
use crate::hints::{Hint, Hints};
use crate::identity::Identity;
use crate::inbound::{Hearing, Inbound, Limits};
use crate::marketing::Marketing;
use crate::outbound::{Apis, Outbound};
use crate::staff::{SignOn, Staff};
use crate::store::{Store, StoreError};
use crate::web::api::{self, BankApi};
pub use crate::web::serve::Zones;
use crate::web::serve::{self, Serving};
use crate::wechat::api::Api;
pub use backup::{archive, back_up, export, import, read_archived, restore};
pub use edited::Reloaded;
use edited::{Edited, InUse};
use gauges::Gauges;

/// How far learning steps back behind the threads that answer customers: less than half as much as each of them. The
/// lowest priority would leave it unfinished for minutes on a machine that is busy throughout.
const LEARNING_NICE: i32 = 4;

/// The parts of a stop, each with its end counted from the beginning. An answer that is under way takes at most the
/// reply budget of 4.5 s; whatever hangs for longer is left to its lease.
const CONNECTIONS_END: Duration = Duration::from_secs(6);
const WORK_END: Duration = Duration::from_secs(8);
const WORKERS_END: Duration = Duration::from_millis(11_500);
const DATABASE_END: Duration = Duration::from_millis(12_500);

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The database or its keys.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The master key.
    #[error(transparent)]
    Keys(#[from] crate::keys::KeysError),
    /// PostgreSQL without a configured master key.
    #[error(
        "a PostgreSQL database needs [keys] master_file: its data is shared, so no key is made in silence; make one \
         with `head -c 32 /dev/urandom | base64 > FILE` and keep it apart from backups of the database"
    )]
    NoKeys,
    /// The key file beside an embedded database is not there, but the database is sealed.
    #[error(
        "the key file {} is not there, and the database cannot be read without it: bring it back from where its copy \
         is kept; a new key opens nothing", .0.display()
    )]
    KeyFileGone(std::path::PathBuf),
    /// A copy could not be made or brought back.
    #[error(transparent)]
    Backup(#[from] crate::store::backup::BackupError),
    /// An export or import did not come to its end.
    #[error(transparent)]
    Transfer(#[from] crate::store::transfer::TransferError),
    /// Nothing is ever over.
    #[error(
        "[retention] message_days is not set, so the log is kept for ever: name --older-than-days to archive all the same"
    )]
    KeptForEver,
    /// The content has faults; each is named with file and line.
    #[error("the content has faults:\n{0}")]
    Content(String),
    /// The core client cannot be built.
    #[error(transparent)]
    Core(#[from] crate::bank::BadCore),
    /// There is no client towards the bank's own sign-in.
    #[error(transparent)]
    SignOn(#[from] crate::staff::NoSignOn),
    /// The client towards WeChat cannot be built.
    #[error(transparent)]
    Wechat(#[from] crate::wechat::api::NotAClient),
    /// The Redis of hints.
    #[error(transparent)]
    Hints(#[from] crate::hints::BadAddress),
    /// Nothing listens.
    #[error(transparent)]
    Serve(#[from] serve::ServeError),
    /// A signing secret does not decode.
    #[error("api.secrets: {0}")]
    Secret(#[from] crate::bank::webhooks::BadSecret),
    /// The bank's event receiver.
    #[error(transparent)]
    Events(#[from] crate::bank::events::NotAReceiver),
    /// The client towards the bank's recogniser of speech cannot be built.
    #[error(transparent)]
    Recogniser(#[from] crate::bank::recogniser::BadRecogniser),
    /// Unfinished work of the process before cannot be claimed.
    #[error(transparent)]
    Recover(#[from] crate::store::CommitError),
}

/// A server that answers.
pub struct App {
    serving: Serving,
    rooms: Rooms,
    stop: CancellationToken,
    workers: Vec<JoinHandle<()>>,
}

/// The rooms of a running server, joined.
#[derive(Clone)]
pub(crate) struct Rooms {
    pub(crate) config: Arc<Config>,
    pub(crate) store: Store,
    pub(crate) clock: SharedClock,
    pub(crate) identity: Arc<Identity>,
    pub(crate) outbound: Arc<Outbound>,
    pub(crate) alerts: Arc<Alerts>,
    pub(crate) marketing: Arc<Marketing>,
    pub(crate) bank_api: Arc<BankApi>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) staff: Arc<Staff>,
    pub(crate) inbound: Arc<Inbound>,
    robots: Arc<arc_swap::ArcSwap<Robots>>,
    in_use: Arc<InUse>,
    pub(crate) core: Arc<Core>,
    pub(crate) apis: Arc<Apis>,
    hints: Arc<Hints>,
}

impl App {
    /// Opens the database, joins the rooms, listens, and starts the workers.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start(config: Config, clock: SharedClock, random: SharedRandom) -> Result<Self, AppError> {
        Self::start_with_limits(config, clock, random, Limits::default()).await
    }

    /// The same with other bounds of the inbound path, for tests that will not wait for WeChat's.
    ///
    /// # Errors
    /// See [`AppError`].
    pub async fn start_with_limits(
        config: Config,
        clock: SharedClock,
        random: SharedRandom,
        limits: Limits,
    ) -> Result<Self, AppError> {
        let rooms = Rooms::join(Arc::new(config), clock, random, limits).await?;
        Self::run(rooms).await
    }

    async fn run(rooms: Rooms) -> Result<Self, AppError> {
        let durability = rooms.store.durability().await?;
        if durability.survives_a_crash() {
            tracing::info!("an acknowledged commit is {durability}");
        } else {
            tracing::warn!("an acknowledged commit is {durability}");
        }
        // Before anything is stamped with the time.
        rooms.store.lease_now().await?;
        rooms.inbound.recover().await?;
        let serving = serve::serve(&rooms.served())?;
        let stop = CancellationToken::new();
        let workers = vec![
            tokio::spawn(rooms.outbound.clone().run(stop.clone())),
            tokio::spawn(rooms.alerts.clone().run(stop.clone())),
            tokio::spawn(rooms.inbound.clone().run(stop.clone())),
            tokio::spawn(housekeeping::tend(rooms.clone(), stop.clone())),
            tokio::spawn(housekeeping::tidy_log(rooms.clone(), stop.clone())),
            tokio::spawn(rooms.desk.clone().fetch_media(stop.clone())),
            tokio::spawn(rooms.desk.clone().watch(stop.clone())),
            tokio::spawn(Gauges::new(rooms.clone()).run(stop.clone())),
            tokio::spawn(hear_others(rooms.clone(), stop.clone())),
        ];
        Ok(Self { serving, rooms, stop, workers })
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        self.serving.zones()
    }

    /// Learns the examples in a thread of its own, behind everything else that runs; until it is done, keywords alone
    /// are understood. After that, edited content is learned before it is taken over. A stop does not wait for it.
    pub fn start_learning(&self) {
        let robots = self.rooms.robots.load_full();
        let learning = std::thread::Builder::new().name("learning".to_owned()).spawn(move || {
            // On Linux this is a matter of each thread; elsewhere the whole process might step back.
            #[cfg(target_os = "linux")]
            if let Err(error) = rustix::process::nice(LEARNING_NICE) {
                tracing::info!(%error, "learning goes on beside the service at the same priority");
            }
            robots.learn();
            tracing::info!("the examples have been learned");
        });
        if let Err(error) = learning {
            tracing::error!(%error, "no thread to learn the examples in: keywords alone are understood");
        }
    }

    /// Looks for work of every kind once, now. For tests that move the clock.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn step(&self) -> Result<usize, crate::store::StoreError> {
        Ok(self.rooms.inbound.step().await?
            + self.rooms.alerts.step().await
            + self.rooms.outbound.step().await)
    }

    /// Takes edited content over as a whole or not at all; a message in work ends with the words it began with. Says
    /// in the log and as a metric what came of it.
    pub async fn reload(&self) -> Reloaded {
        let rooms = self.rooms.clone();
        let reloaded = tokio::task::spawn_blocking(move || rooms.reload()).await.unwrap_or_else(|error| {
            Reloaded::Refused(vec![Fault::new("the content", 1, format!("loading it stumbled: {error}"))])
        });
        let outcome = match &reloaded {
            Reloaded::Taken(hash) => {
                tracing::info!(content = hash, "the edited content is in use");
                "taken"
            }
            Reloaded::Unchanged => {
                tracing::info!("the content was not edited");
                "unchanged"
            }
            Reloaded::Refused(faults) => {
                for fault in faults {
                    tracing::error!(%fault, "a fault in the edited content");
                }
                tracing::error!(
                    faults = faults.len(),
                    "the edited content is refused as a whole; what was in use stays in use"
                );
                "refused"
            }
        };
        metrics::counter!("weikefu_content_reloads_total", "outcome" => outcome).increment(1);
        reloaded
    }

    /// Looks at everything that the metrics page tells, now.
    pub async fn look(&self) {
        Gauges::new(self.rooms.clone()).look(true).await;
    }

    /// `/readyz` says no from now on; everything else goes on, so that nobody who was sent here meets a closed door.
    pub fn not_ready(&self) {
        self.serving.not_ready();
    }

    /// Stops within 13 seconds, whatever hangs: not ready at once, then in-flight answers finish, then the workers hand
    /// over, then the database closes. `/readyz` and `/metrics` answer on their own address until the end.
    pub async fn stop(self) {
        let began = tokio::time::Instant::now();
        self.serving.not_ready();
        if !self.serving.finish(began + CONNECTIONS_END).await {
            tracing::warn!("connections were still open when the time to finish was over; they are cut");
        }
        // Work whose connection has its answer already: `success`, or none because WeChat hung up.
        let left = (began + WORK_END).saturating_duration_since(tokio::time::Instant::now());
        if !self.rooms.inbound.finish(left).await {
            tracing::warn!(
                in_work = self.rooms.inbound.in_work(),
                "messages are still in work when the time to finish is over, waiting for the core or the database; \
                 their answers are owed, and whoever takes over their leases sends them"
            );
        }
        self.stop.cancel();
        for mut worker in self.workers {
            match tokio::time::timeout_at(began + WORKERS_END, &mut worker).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::error!(%error, "a worker ended badly; its work is taken over by its lease")
                }
                Err(_) => {
                    worker.abort();
                    tracing::warn!(
                        "a worker did not end in time and is cut off; what it was sending is looked at again"
                    );
                }
            }
        }
        let close = async {
            // Given back already, unless the worker was cut off: then others need not wait for the leases to end.
            if let Err(error) = self.rooms.outbound.parts().leave().await {
                tracing::warn!(%error, "the leases of outgoing work could not be given back; they end by themselves");
            }
            self.rooms.store.close().await;
        };
        if tokio::time::timeout_at(began + DATABASE_END, close).await.is_err() {
            tracing::warn!(
                "the database did not close in time; what was not confirmed to anybody may be missing"
            );
        }
        self.serving.end().await;
    }
}

/// Opens the database as the configuration says: migrated, unlocked with the configured master key, or with one
/// made beside an embedded database at its first start. For commands that need no more than the data.
///
/// # Errors
/// See [`AppError`].
pub async fn open_store(
    config: &Config,
    clock: SharedClock,
    random: SharedRandom,
) -> Result<Store, AppError> {
    let made = keyring::make_missing(config, &random)?;
    let keys = keyring::keys(config, random.clone())?;
    let opened = Store::open(&config.database.url, &keys, clock, random).await;
    match (made, &opened) {
        (Some(made), Err(StoreError::Keys(_))) => return Err(made.take_back()),
        (Some(made), _) => made.keep(),
        (None, _) => {}
    }
    Ok(opened?)
}

impl Rooms {
    fn served(&self) -> serve::Rooms {
        serve::Rooms {
            config: self.config.clone(),
            store: self.store.clone(),
            clock: self.clock.clone(),
            inbound: self.inbound.clone(),
            identity: self.identity.clone(),
            alerts: self.alerts.clone(),
            marketing: self.marketing.clone(),
            bank_api: self.bank_api.clone(),
            desk: self.desk.clone(),
            staff: self.staff.clone(),
        }
    }

    async fn join(
        config: Arc<Config>,
        clock: SharedClock,
        random: SharedRandom,
        limits: Limits,
    ) -> Result<Self, AppError> {
        let store = open_store(&config, clock, random).await?;
        let Edited { content, operations, robots, desk, .. } =
            Edited::load(&config).map_err(|faults| listed(&faults))?;
        Self::join_on(config, store, (&content, operations), robots, desk, limits)
    }

    /// The same on a database that is open, with content that is loaded.
    fn join_on(
        config: Arc<Config>,
        store: Store,
        (content, operations): (&Content, Arc<Operations>),
        robots: Robots,
        desk: DeskFiles,
        limits: Limits,
    ) -> Result<Self, AppError> {
        let (clock, random) = (store.clock().clone(), store.random().clone());
        let robots = Arc::new(arc_swap::ArcSwap::from_pointee(robots));
        let core = Core::with_operations(&config.core, operations, clock.clone(), random.clone())?;
        let core = Arc::new(core);
        let owner = store.new_id();
        let hints = config.hints.as_ref().map(|hints| Hints::new(hints, &owner)).transpose()?;
        let hints = Arc::new(hints.unwrap_or_default());
        let apis = Arc::new(apis_of(&config, &store, &owner)?);
        let outbound =
            Outbound::new(config.clone(), store.clone(), apis.clone(), clock.clone(), random.clone());
        let outbound = Arc::new(outbound?.hinting(hints.clone()));
        let voice = Arc::new(glue::Voice(outbound.clone()));
        let exchange = Arc::new(glue::Exchange(apis.clone()));
        let identity = Arc::new(Identity::new(config.clone(), store.clone(), core.clone(), voice, exchange));
        let alerts = Alerts::new(config.clone(), store.clone(), outbound.clone(), content, clock.clone());
        let alerts = alerts.map_err(|faults| listed(&faults))?;
        let alerts = Arc::new(alerts.leading_to(identity.clone()).hinting(hints.clone()));
        let marketing = Marketing::new(store.clone(), outbound.clone(), content, clock.clone());
        let marketing = Arc::new(marketing.map_err(|faults| listed(&faults))?);
        let staff = Arc::new(staff_of(&config, &store)?);
        let external = config.accounts.iter().filter(|account| account.desk == DeskKind::External);
        let advice = glue::Advice { robots: robots.clone(), config: config.clone(), clock: clock.clone() };
        let reminder =
            glue::Reminder { alerts: alerts.clone(), config: config.clone(), clock: clock.clone() };
        let desk = Desk::new(store.clone(), desk, outbound.clone(), apis.clone())
            .leaving(external.map(|account| account.id.clone()))
            .advised_by(Arc::new(advice))
            .reminding_by(Arc::new(reminder))
            .hinting(hints.clone());
        let desk = Arc::new(desk);
        let bank_api = api::Rooms {
            store: store.clone(),
            alerts: alerts.clone(),
            identity: identity.clone(),
            desk: desk.clone(),
            clock: clock.clone(),
        };
        let bank_api = Arc::new(BankApi::new(&config, bank_api)?);
        let hearing = |asr| Hearing::new(asr, apis.clone(), clock.clone(), random.clone());
        let hearing = config.asr.as_ref().map(hearing).transpose()?;
        let inbound = Arc::new(Inbound::new(
            crate::inbound::Rooms {
                config: config.clone(),
                store: store.clone(),
                core: core.clone(),
                hearing,
                robots: robots.clone(),
                identity: identity.clone(),
                outbound: outbound.clone(),
                alerts: alerts.clone(),
                marketing: marketing.clone(),
                desk: desk.clone(),
                clock: clock.clone(),
                random: random.clone(),
            },
            limits,
        ));
        let in_use = Arc::new(InUse::new(content.hash()));
        Ok(Self {
            config,
            store,
            clock,
            identity,
            outbound,
            alerts,
            marketing,
            bank_api,
            desk,
            staff,
            inbound,
            robots,
            in_use,
            core,
            apis,
            hints,
        })
    }
}

/// The platform as each account calls it; its token is shared by way of the database.
fn apis_of(config: &Config, store: &Store, owner: &str) -> Result<Apis, AppError> {
    let api = |account: &config::Account| {
        let shelf =
            glue::Shelf { store: store.clone(), app_id: account.app_id.clone(), owner: owner.to_owned() };
        let api = Api::new(account, Arc::new(shelf), store.clock().clone(), owner)?;
        Ok((account.id.clone(), Arc::new(api)))
    };
    config.accounts.iter().map(api).collect()
}

fn staff_of(config: &Config, store: &Store) -> Result<Staff, AppError> {
    let staff = Staff::new(store.clone()).requiring(config.staff.second_factor.iter().map(String::as_str));
    match &config.staff.oidc {
        Some(oidc) => Ok(staff.with_sign_on(SignOn::new(oidc, store.clone())?)),
        None => Ok(staff),
    }
}

fn listed(faults: &[impl std::fmt::Display]) -> AppError {
    AppError::Content(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

/// Looks at once where another instance says that there is something, if a Redis carries such hints.
async fn hear_others(rooms: Rooms, stop: CancellationToken) {
    let hear = |hint: Hint| {
        if hint.parts().any(|part| rooms.outbound.parts().holds(part)) {
            rooms.outbound.look_now();
        }
        if hint.planning {
            rooms.alerts.look_now();
        }
        if hint.desk {
            rooms.desk.look_now();
        }
    };
    rooms.hints.run(stop, hear).await;
}

#[cfg(test)]
mod tests;
