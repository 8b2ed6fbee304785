//! The listeners: one for each zone that has an address of its own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, Condition};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App as Actix, HttpServer};

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::api::BankApi;
use super::probes::Health;
use super::webhook::Webhooks;
use super::{api, desk, domain_files, h5, probes, webhook};
use crate::alerts::Alerts;
use crate::clock::SharedClock;
use crate::config::Config;
use crate::desk::Desk;
use crate::identity::{Identity, Resumer};
use crate::inbound::Inbound;
use crate::marketing::Marketing;
use crate::staff::Staff;
use crate::store::Store;
use crate::wechat::push::NotAWebhook;

/// Answers that began before a stop may take this long, in seconds.
const SHUTDOWN_SECONDS: u64 = 6;
/// A client has this long to send its request's head.
const REQUEST_TIMEOUT_SECONDS: u64 = 10;
/// Idle connections close after this long; gateways keep theirs shorter.
const KEEP_ALIVE_SECONDS: u64 = 75;

/// Where each zone listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zones {
    /// Webhook, H5 and OAuth.
    pub listen: SocketAddr,
    /// The bank's calls.
    pub api: SocketAddr,
    /// Desk and console.
    pub staff: SocketAddr,
    /// Metrics and probes, where configured.
    pub metrics: Option<SocketAddr>,
}

/// What the listeners lead to.
#[derive(Clone)]
pub struct Rooms {
    /// Settings.
    pub config: Arc<Config>,
    /// For readiness.
    pub store: Store,
    /// Time.
    pub clock: SharedClock,
    /// Pushes.
    pub inbound: Arc<Inbound>,
    /// Pages.
    pub identity: Arc<Identity>,
    /// What the bank reported, and what customers were told of it.
    pub alerts: Arc<Alerts>,
    /// Offers to those who asked for them.
    pub marketing: Arc<Marketing>,
    /// The bank's calls.
    pub bank_api: Arc<BankApi>,
    /// Agents' pages.
    pub desk: Arc<Desk>,
    /// Their accounts.
    pub staff: Arc<Staff>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A webhook key does not decode.
    #[error(transparent)]
    Webhook(#[from] NotAWebhook),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The listeners at work.
pub struct Serving {
    zones: Zones,
    stopping: Arc<AtomicBool>,
    /// Those that carry work.
    working: Vec<Listening>,
    /// The one that tells of it.
    watching: Option<Listening>,
}

/// One listener.
struct Listening {
    handle: ServerHandle,
    task: JoinHandle<std::io::Result<()>>,
}

impl Serving {
    /// Where they listen, with the ports that the system chose.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Not ready from now on.
    pub fn not_ready(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// Nothing new is taken in, and in-flight answers finish; probes and metrics go on where they have an address of
    /// their own. `false`: the time was too short.
    pub async fn finish(&self, until: Instant) -> bool {
        let stops = self.working.iter().map(|server| server.handle.stop(true));
        let finished = tokio::time::timeout_at(until, futures::future::join_all(stops)).await.is_ok();
        for server in &self.working {
            server.task.abort();
        }
        finished
    }

    /// Ends what [`Serving::finish`] left.
    pub async fn end(&self) {
        if let Some(server) = &self.watching {
            server.handle.stop(false).await;
            server.task.abort();
        }
    }
}

/// What one listener carries.
#[derive(Clone, Copy, Default)]
struct Carries {
    public: bool,
    api: bool,
    staff: bool,
    metrics: bool,
}

/// Binds every address first, then serves.
///
/// # Errors
/// When an address is taken or a webhook key does not decode.
pub fn serve(rooms: &Rooms) -> Result<Serving, ServeError> {
    let stopping = Arc::new(AtomicBool::new(false));
    let server = &rooms.config.server;
    let api_apart = server.api_listen.filter(|address| *address != server.listen);
    let staff_apart = server.staff_listen.filter(|address| *address != server.listen);
    let mut plan = vec![(
        server.listen,
        Carries { public: true, api: api_apart.is_none(), staff: staff_apart.is_none(), metrics: false },
    )];
    match (api_apart, staff_apart) {
        (Some(api), Some(staff)) if api == staff => {
            plan.push((api, Carries { api: true, staff: true, ..Carries::default() }));
        }
        (api, staff) => {
            plan.extend(api.map(|api| (api, Carries { api: true, ..Carries::default() })));
            plan.extend(staff.map(|staff| (staff, Carries { staff: true, ..Carries::default() })));
        }
    }
    plan.extend(
        server.metrics_listen.map(|address| (address, Carries { metrics: true, ..Carries::default() })),
    );

    let webhooks = Data::new(Webhooks::new(
        &rooms.config,
        rooms.inbound.clone(),
        rooms.store.clone(),
        rooms.clock.clone(),
    )?);
    let health = Data::new(Health::new(rooms.store.clone(), stopping.clone()));
    let mut bound = Vec::new();
    for (address, carries) in plan {
        let listener = TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source })?;
        let local = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
        bound.push((listener, local, carries));
    }
    let find = |wanted: fn(&Carries) -> bool| {
        bound.iter().find(|(_, _, carries)| wanted(carries)).map(|(_, local, _)| *local)
    };
    let main = find(|carries| carries.public).unwrap_or(server.listen);
    let zones = Zones {
        listen: main,
        api: find(|carries| carries.api).unwrap_or(main),
        staff: find(|carries| carries.staff).unwrap_or(main),
        metrics: find(|carries| carries.metrics),
    };
    let (mut working, mut watching) = (Vec::new(), None);
    for (listener, address, carries) in bound {
        let rooms = rooms.clone();
        let webhooks = webhooks.clone();
        let health = health.clone();
        let serve = HttpServer::new(move || {
            let routes = |routes: &mut ServiceConfig| configure(routes, &rooms, &webhooks, &health, carries);
            // Compression is for pages: a reply to WeChat is smaller than its own header.
            Actix::new().wrap(Condition::new(carries.staff, Compress::default())).configure(routes)
        })
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .client_request_timeout(std::time::Duration::from_secs(REQUEST_TIMEOUT_SECONDS))
        .keep_alive(std::time::Duration::from_secs(KEEP_ALIVE_SECONDS));
        let serve = if carries.metrics { serve.workers(1) } else { serve };
        let serve = serve.listen(listener).map_err(|source| ServeError::Listen { address, source })?;
        let server = serve.run();
        let listening = Listening { handle: server.handle(), task: tokio::spawn(server) };
        if carries.metrics {
            watching = Some(listening);
        } else {
            working.push(listening);
        }
    }
    Ok(Serving { zones, stopping, working, watching })
}

fn configure(
    routes: &mut ServiceConfig,
    rooms: &Rooms,
    webhooks: &Data<Webhooks>,
    health: &Data<Health>,
    carries: Carries,
) {
    routes
        .app_data(webhooks.clone())
        .app_data(health.clone())
        .app_data(Data::from(rooms.config.clone()))
        .app_data(Data::new(rooms.store.clone()))
        .app_data(Data::from(rooms.identity.clone()))
        .app_data(Data::from(rooms.alerts.clone()))
        .app_data(Data::from(rooms.marketing.clone()))
        .app_data(Data::from(rooms.inbound.clone() as Arc<dyn Resumer>))
        .app_data(Data::from(rooms.bank_api.clone()))
        .app_data(Data::from(rooms.desk.clone()))
        .app_data(Data::from(rooms.staff.clone()));
    if carries.public {
        routes.configure(webhook::configure).configure(h5::configure).configure(domain_files::configure);
    }
    if carries.public || carries.metrics {
        routes.configure(probes::configure);
    }
    if carries.api {
        routes.configure(api::configure);
    }
    if carries.staff {
        routes.configure(desk::configure);
    }
    if carries.metrics {
        routes.configure(probes::configure_metrics).configure(webhook::configure_deliveries);
    }
}
