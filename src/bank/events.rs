//! Our calls to the bank's event receiver.

use std::time::Duration;

use url::Url;

use super::http;
use super::tls::TlsFault;
use super::webhooks::{BadSecret, Signer, TRACEPARENT};
use crate::config;
#[cfg(test)]
use crate::domain::testing;
use crate::domain::time::UnixMs;
use crate::telemetry::trace;

/// A call is given up after this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why the receiver cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum NotAReceiver {
    /// The secret is not of its form.
    #[error("[events] secret: {0}")]
    Secret(#[from] BadSecret),
    /// No HTTP client, for instance because the machine has no CA certificates.
    #[error("the HTTP client for events cannot be set up; are CA certificates installed?")]
    Client(#[from] reqwest::Error),
}

/// The bank's event receiver.
pub struct Receiver {
    client: reqwest::Client,
    url: Url,
    signer: Signer,
    #[cfg(test)]
    door: Option<std::sync::Arc<dyn testing::Door>>,
}

impl Receiver {
    /// The receiver of `[events]`.
    ///
    /// # Errors
    /// [`NotAReceiver`].
    pub fn new(events: &config::Events) -> Result<Self, NotAReceiver> {
        Ok(Self {
            client: http::client(events.url.as_str(), &events.tls, TIMEOUT)?,
            url: events.url.clone(),
            signer: Signer::new(&events.secret)?,
            #[cfg(test)]
            door: testing::door(),
        })
    }

    /// Posts one event, signed afresh. Gives the status; `None` when there was no answer.
    pub async fn post(&self, event_id: &str, body: Vec<u8>, now: UnixMs) -> Option<u16> {
        #[cfg(test)]
        if let Some(door) = &self.door {
            let leaving = testing::Leaving { path: self.url.path().to_owned(), body };
            return door.carry(leaving).await.ok().map(|(status, _)| status);
        }
        let mut request = self.client.post(self.url.clone()).header("content-type", "application/json");
        for (name, value) in self.signer.headers(event_id, now, &body) {
            request = request.header(name, value);
        }
        if let Some(traceparent) = trace::traceparent() {
            request = request.header(TRACEPARENT, traceparent);
        }
        match request.body(body).send().await {
            // Only the status counts; the body is not read.
            Ok(response) => Some(response.status().as_u16()),
            // The error's own text would print the address, so only what can be put right is told.
            Err(error) => {
                if let Some(fault) = TlsFault::behind(&error) {
                    tracing::warn!(%fault, "no TLS connection to [events] url");
                }
                None
            }
        }
    }
}
