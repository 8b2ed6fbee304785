//! The sandbox core: a made-up bank that implements every operation on made-up data, keeps its books in a journal,
//! and acts towards the server as a bank does. A program of its own; nothing in the server knows of it.

mod amount;
mod bank;
mod bill;
mod book;
mod calendar;
mod changes;
mod controls;
mod deliver;
mod events;
mod faults;
mod http;
mod journal;
mod ledger;
mod operations;
mod page;
mod people;
mod plan;
mod rules;
mod signature;
mod swipe;
mod transaction;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

pub use journal::JournalError;

use crate::clock::{SharedClock, SharedRandom};
use crate::config::Config;
use crate::domain::secret::Secret;

const JOURNAL_NAME: &str = "sandbox-core.journal";

/// Why the sandbox core cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `core.base_url` names no host and port that can be listened on.
    #[error("[core] base_url names no address to listen on: {0}")]
    Address(String),
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}; is another program using the port?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// A secret is not `whsec_…`.
    #[error("{key}: {reason}")]
    Secret {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The data file of business numbers is broken.
    #[error("{0}")]
    Rules(String),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The HTTP client for calls to the server cannot be built.
    #[error("the HTTP client cannot be built: {0}")]
    Http(#[from] reqwest::Error),
}

/// What the sandbox core needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it listens; port 0 takes any that is free.
    pub listen: SocketAddr,
    /// Checks the calls of the server: `core.secret`.
    pub core_secret: Secret,
    /// Signs swipes and notices: the first of `api.secrets`. Without one nothing is sent.
    pub api_secret: Option<Secret>,
    /// Checks the server's events: `events.secret`. Without one they are refused.
    pub events_secret: Option<Secret>,
    /// Where swipes and notices go.
    pub server_url: Url,
    /// Its memory.
    pub journal: PathBuf,
    /// The bank's folder of content: an operation that stands there and is not the sandbox's own is answered with its
    /// example, from the moment it is there.
    pub content_dir: Option<PathBuf>,
}

impl Settings {
    /// Takes what concerns the sandbox out of the configuration.
    ///
    /// # Errors
    /// When `core.base_url` names no address of this machine.
    pub fn from_config(config: &Config) -> Result<Self, StartError> {
        let base_url = &config.core.base_url;
        let addresses =
            base_url.socket_addrs(|| None).map_err(|error| StartError::Address(error.to_string()))?;
        let listen = addresses.first().copied().ok_or_else(|| StartError::Address(base_url.to_string()))?;
        Ok(Self {
            content_dir: config.content.dir.clone(),
            listen,
            core_secret: config.core.secret.clone(),
            api_secret: config.api.secrets.first().cloned(),
            events_secret: config.events.as_ref().map(|events| events.secret.clone()),
            server_url: config.sandbox.server_url.clone().unwrap_or_else(|| config.server.public_url.clone()),
            journal: data_folder(config.database.url.reveal()).join(JOURNAL_NAME),
        })
    }
}

/// The folder of the SQLite file, else `data`.
fn data_folder(database_url: &str) -> PathBuf {
    let path = database_url.strip_prefix("sqlite:").map(|rest| rest.strip_prefix("//").unwrap_or(rest));
    let path = path.map(|path| path.split('?').next().unwrap_or(path)).filter(|path| *path != ":memory:");
    match path.map(Path::new).and_then(Path::parent) {
        Some(folder) => folder.to_owned(),
        None => PathBuf::from("data"),
    }
}

/// Starts sandbox cores.
#[derive(Debug)]
pub struct SandboxCore;

/// A sandbox core that is running.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    bank: Arc<bank::Bank>,
    server: ServerHandle,
    stopping: CancellationToken,
    tasks: TaskTracker,
}

impl SandboxCore {
    /// Reads the journal, listens, and starts sending what is still owed to the server.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn start(
        settings: Settings,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Running, StartError> {
        let bank = Arc::new(bank::Bank::open(&settings, clock, random)?);
        let listen = |source| StartError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        // Set once: the bank was made above.
        let _ = bank.own_url.set(format!("http://{addr}"));
        let (stopping, tasks) = (CancellationToken::new(), TaskTracker::new());
        if let Some(secret) = &settings.api_secret {
            let key = signature::Key::new(secret);
            let key = key.map_err(|reason| StartError::Secret { key: "[api] secrets", reason })?;
            let courier = deliver::Courier::new(bank.clone(), settings.server_url.clone(), key)?;
            tasks.spawn(courier.run(stopping.clone()));
        }
        let server = http::serve(bank.clone(), listener).map_err(listen)?;
        let handle = server.handle();
        tasks.spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the sandbox core's server ended");
            }
        });
        tasks.close();
        tracing::info!(%addr, journal = %settings.journal.display(), "the sandbox core listens");
        Ok(Running { addr, bank, server: handle, stopping, tasks })
    }
}

impl Running {
    /// Lets answers under way finish, then ends everything.
    pub async fn stop(self) {
        self.stopping.cancel();
        self.server.stop(true).await;
        self.tasks.wait().await;
        // Threads of the server may hold the bank a little longer; its file is free now.
        self.bank.close();
    }
}

#[cfg(test)]
mod tests;
