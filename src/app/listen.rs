//! The listeners: one for each zone that has an address of its own.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use actix_web::dev::Server;
use actix_web::middleware::{Compress, Condition};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App as Actix, HttpServer};

use super::{AppError, Rooms};
use crate::identity::Resumer;
use crate::web;
use crate::web::probes::Health;
use crate::web::webhook::Webhooks;

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

pub(super) struct Listening {
    pub(super) zones: Zones,
    pub(super) servers: Vec<Server>,
}

/// What one listener carries.
#[derive(Clone, Copy, Default)]
struct Carries {
    public: bool,
    api: bool,
    staff: bool,
    metrics: bool,
}

pub(super) fn listen(rooms: &Rooms, stopping: &Arc<AtomicBool>) -> Result<Listening, AppError> {
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
        let listener = TcpListener::bind(address).map_err(|source| AppError::Listen { address, source })?;
        let local = listener.local_addr().map_err(|source| AppError::Listen { address, source })?;
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
    let mut servers = Vec::new();
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
        let serve = serve.listen(listener).map_err(|source| AppError::Listen { address, source })?;
        servers.push(serve.run());
    }
    Ok(Listening { zones, servers })
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
        routes.configure(web::webhook::configure).configure(web::h5::configure);
    }
    if carries.public || carries.metrics {
        routes.configure(web::probes::configure);
    }
    if carries.api {
        routes.configure(web::api::configure);
    }
    if carries.staff {
        routes.configure(web::desk::configure);
    }
    if carries.metrics {
        routes.configure(web::probes::configure_metrics);
    }
}
