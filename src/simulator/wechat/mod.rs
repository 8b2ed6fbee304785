//! WeChat in a box: the platform as its documents say it, over real HTTP, with a phone in the browser.
//!
//! Nothing here uses `crate::wechat`: envelope, XML and rules are written a second time, strictly, so that a
//! fault of the server cannot hide behind the same fault of its opposite.
//!
//! ```text
//! settings   what it takes from the configuration, or settings_file, its own
//! envelope   signature and AES          xml        writer and strict reader
//! platform   state and its two times    timeline   what a chat shows
//! actions    what a follower does       messages   the messages that he sends
//! events     what the platform pushes   push       deliveries, retries, receipts
//! reply      passive replies, checked   allowance  what actions buy
//! api        the documented API         oauth      web authorisation
//! control    /sim/api                   pages      start page, phone, panel, authorise page
//! faults     what can go wrong          panel      the knobs, as data
//! recording  a session, line by line    replay     the same session against another server
//! samples    files that followers send
//! ```

mod actions;
mod allowance;
mod api;
mod control;
mod envelope;
mod events;
mod faults;
mod messages;
mod oauth;
mod pages;
mod panel;
mod platform;
mod push;
mod recording;
mod replay;
mod reply;
mod samples;
mod sdk;
mod settings;
mod settings_file;
#[cfg(test)]
mod tests;
mod timeline;
mod xml;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use tokio::task::JoinHandle;

pub use self::replay::{Recorded, RecordingError, Replayed};
pub use self::settings::{AccountSettings, Settings, Template};
use crate::clock::{SharedClock, SharedRandom};
use platform::Platform;

const WORKERS: usize = 2;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Below the keep-alive of the server, so that a push never meets a connection that is just being closed.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the simulator does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken, or is not of this machine.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// An account without a key that its mode needs.
    #[error("account {0}: encoding_aes_key must be 43 characters of base64 unless encryption is \"plain\"")]
    Key(String),
    /// The client that pushes.
    #[error("cannot build the HTTP client")]
    Client(#[source] reqwest::Error),
    /// Called outside a tokio runtime.
    #[error("no runtime to run in")]
    Runtime(#[from] tokio::runtime::TryCurrentError),
}

/// The simulator.
#[derive(Debug)]
pub struct Simulator;

/// A simulator that serves.
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    platform: Arc<Platform>,
    handle: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
}

impl Simulator {
    /// Listens first, then serves in the background of the current tokio runtime.
    ///
    /// # Errors
    /// When the address cannot be listened on or an account has no usable key.
    pub fn start(
        settings: Settings,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Running, StartError> {
        let runtime = tokio::runtime::Handle::try_current()?;
        for account in &settings.accounts {
            let key = account.encoding_aes_key.as_ref();
            let cipher = key.and_then(|key| envelope::Cipher::new(key.reveal(), &account.app_id));
            if cipher.is_none() && account.encryption != crate::config::Encryption::Plain {
                return Err(StartError::Key(account.id.clone()));
            }
        }
        let address = format!("{}:{}", settings.host, settings.port);
        let listen = |source| StartError::Listen { address: address.clone(), source };
        let listener = TcpListener::bind(&address).map_err(listen)?;
        let addr = listener.local_addr().map_err(listen)?;
        let http = client().map_err(StartError::Client)?;
        let own_url = format!("http://{}:{}/", settings.host, addr.port());
        let platform = Platform::new(settings, own_url, http, runtime.clone(), clock, random);
        let data = web::Data::from(Arc::clone(&platform));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .configure(control::routes)
                .configure(pages::routes)
                .configure(sdk::routes)
                .route("/connect/oauth2/authorize", web::get().to(oauth::authorize))
                .route("/cgi-bin/showqrcode", web::get().to(api::qrcode::show))
                .route("/mp/subscribemsg", web::get().to(api::one_time::ask))
                .configure(api::routes)
        })
        .workers(WORKERS)
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)
        .map_err(listen)?
        .run();
        let handle = server.handle();
        Ok(Running { addr, platform, handle, serving: runtime.spawn(server) })
    }
}

impl Running {
    /// Writes the recording of the session to this file, from its beginning to the end of the process.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn record_to(&self, file: std::fs::File) -> io::Result<()> {
        self.platform.state().recording.write_to(file)
    }

    /// Plays a recorded session against the server behind the accounts, and compares.
    pub async fn replay(&self, recorded: &Recorded) -> Replayed {
        replay::play(&self.platform, recorded).await
    }

    /// Ends open streams and stops.
    pub async fn stop(self) {
        self.platform.closing.send_replace(true);
        self.handle.stop(true).await;
        let _ = self.serving.await;
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    let builder = || {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent("Mozilla/4.0")
            .no_proxy()
    };
    // A machine without CA certificates can still push over plain HTTP.
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}
