//! The listeners: one for each zone that has an address of its own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix_web::dev::ServerHandle;
use actix_web::middleware::{Compress, Condition};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use tokio::task::JoinHandle;

use super::api::BankApi;
use super::probes::Health;
use super::webhook::Webhooks;
use super::{api, desk, h5, probes, webhook};
use crate::clock::SharedClock;
use crate::config::Config;
use crate::desk::Desk;
use crate::identity::{Identity, Resumer};
use crate::inbound::Inbound;
use crate::staff::Staff;
use crate::store::Store;
use crate::wechat::push::NotAWebhook;

/// Answers that began before a stop may take this long, in seconds.
const SHUTDOWN_SECONDS: u64 = 8;
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

/// The rooms that handlers reach.
#[derive(Clone)]
pub struct Rooms {
    /// Settings.
    pub config: Arc<Config>,
    /// The database.
    pub store: Store,
    /// Time.
    pub clock: SharedClock,
    /// Who a follower is.
    pub identity: Arc<Identity>,
    /// The bank's calls.
    pub bank_api: Arc<BankApi>,
    /// People who answer.
    pub desk: Arc<Desk>,
    /// Their accounts.
    pub staff: Arc<Staff>,
    /// The path of a push.
    pub inbound: Arc<Inbound>,
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
pub enum NotServing {
    /// A webhook key does not decode.
    #[error(transparent)]
    Webhook(#[from] NotAWebhook),
    /// An address cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The listeners of a running server.
pub struct Server {
    zones: Zones,
    handles: Vec<ServerHandle>,
    serving: Vec<JoinHandle<std::io::Result<()>>>,
}

/// What one listener carries.
#[derive(Clone, Copy, Default)]
struct Carries {
    public: bool,
    api: bool,
    staff: bool,
    metrics: bool,
}

impl Server {
    /// Listens on every zone's address, then serves in the background. `stopping` makes it not ready.
    ///
    /// # Errors
    /// When an address cannot be had or a webhook has no usable key.
    pub fn start(rooms: &Rooms, stopping: &Arc<AtomicBool>) -> Result<Self, NotServing> {
        let plan = plan(&rooms.config);
        let bound = bind(plan)?;
        let zones = Zones::of(&bound, rooms.config.server.listen);
        let webhooks =
            Webhooks::new(&rooms.config, rooms.inbound.clone(), rooms.store.clone(), rooms.clock.clone())?;
        let webhooks = Data::new(webhooks);
        let health = Data::new(Health::new(rooms.store.clone(), stopping.clone()));
        let (mut handles, mut serving) = (Vec::new(), Vec::new());
        for Bound { listener, address, carries } in bound {
            let (rooms, webhooks, health) = (rooms.clone(), webhooks.clone(), health.clone());
            let serve = HttpServer::new(move || {
                let routes =
                    |routes: &mut ServiceConfig| configure(routes, &rooms, &webhooks, &health, carries);
                // Compression is for pages: a reply to WeChat is smaller than its own header.
                App::new().wrap(Condition::new(carries.staff, Compress::default())).configure(routes)
            })
            .disable_signals()
            .shutdown_timeout(SHUTDOWN_SECONDS)
            .client_request_timeout(std::time::Duration::from_secs(REQUEST_TIMEOUT_SECONDS))
            .keep_alive(std::time::Duration::from_secs(KEEP_ALIVE_SECONDS));
            let serve = if carries.metrics { serve.workers(1) } else { serve };
            let serve =
                serve.listen(listener).map_err(|source| NotServing::Listen { address, source })?.run();
            handles.push(serve.handle());
            serving.push(tokio::spawn(serve));
        }
        Ok(Self { zones, handles, serving })
    }

    /// Where it listens, with the ports that the system chose.
    #[must_use]
    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    /// Takes no more connections and waits until the open ones have their answers.
    pub async fn finish(&self) {
        futures::future::join_all(self.handles.iter().map(|handle| handle.stop(true))).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for serving in &self.serving {
            serving.abort();
        }
    }
}

struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    carries: Carries,
}

impl Zones {
    fn of(bound: &[Bound], listen: SocketAddr) -> Self {
        let find = |wanted: fn(&Carries) -> bool| {
            bound.iter().find(|one| wanted(&one.carries)).map(|one| one.address)
        };
        let main = find(|carries| carries.public).unwrap_or(listen);
        Self {
            listen: main,
            api: find(|carries| carries.api).unwrap_or(main),
            staff: find(|carries| carries.staff).unwrap_or(main),
            metrics: find(|carries| carries.metrics),
        }
    }
}

fn bind(plan: Vec<(SocketAddr, Carries)>) -> Result<Vec<Bound>, NotServing> {
    let one = |(address, carries)| {
        let refused = |source| NotServing::Listen { address, source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        Ok(Bound { listener, address, carries })
    };
    plan.into_iter().map(one).collect()
}

fn plan(config: &Config) -> Vec<(SocketAddr, Carries)> {
    let server = &config.server;
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

    plan
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
        .app_data(Data::from(rooms.inbound.clone() as Arc<dyn Resumer>))
        .app_data(Data::from(rooms.bank_api.clone()))
        .app_data(Data::from(rooms.desk.clone()))
        .app_data(Data::from(rooms.staff.clone()));
    if carries.public {
        routes.configure(webhook::configure).configure(h5::configure);
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
        routes.configure(probes::configure_metrics);
    }
}
