//! The bank's own recogniser of speech (`[asr] url`): a recording goes in, its words come out. A recording goes there and
//! nowhere else.
//!
//! `POST url` with the recording as body, `content-type: audio/amr` or `audio/mpeg`, signed as a call of the core is
//! where a secret is given. 200 `{"text":"…"}` is what was heard, an empty text nothing; any 4xx means that this
//! recording cannot be recognised; everything else that the recogniser is down.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;
use url::Url;

use super::breaker::{BREAKER_FAILURES, Breaker};
use super::http::{self, BrokenOff};
use super::tls::TlsFault;
use super::webhooks::{BadSecret, Signer, TRACEPARENT};
use crate::clock::{SharedClock, SharedRandom, new_id};
use crate::config;
use crate::domain::secret::Personal;
use crate::telemetry::trace;

/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// A try and one more: listening twice does nothing twice.
const ATTEMPTS_MAX: u32 = 2;

/// A recogniser that cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum BadRecogniser {
    /// `asr.secret` is not `whsec_…`.
    #[error("[asr] secret: {0}")]
    Secret(#[from] BadSecret),
    /// The HTTP client cannot be built, for example for want of CA certificates.
    #[error("[asr]: the HTTP client cannot be built: {0}; are the system's CA certificates installed?")]
    Http(#[from] reqwest::Error),
}

/// Why a recording was not recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// The recogniser takes no such recording (a 4xx other than 401).
    #[error("it refuses this recording with status {0}")]
    Refused(u16),
    /// Its answer is too large, or no JSON object with a `text`.
    #[error("its answer is not {{\"text\":\"…\"}}; see what answers at [asr] url")]
    Lied,
    /// It does not accept our signature (401).
    #[error("it refuses our signature; compare [asr] secret and both clocks")]
    Signature,
    /// No connection, or it broke.
    #[error("the connection failed; is [asr] url right and the recogniser running?")]
    Connection,
    /// No TLS connection.
    #[error("no TLS connection to [asr] url: {0}")]
    Tls(TlsFault),
    /// No answer within `asr.timeout_ms`.
    #[error("no answer within [asr] timeout_ms")]
    TimeOut,
    /// It answered with a status that is neither 200 nor a refusal.
    #[error("it answered with status {0}")]
    Status(u16),
    /// Not asked: it failed [`BREAKER_FAILURES`] times in a row and another call is just finding out whether it is back.
    #[error("it failed {BREAKER_FAILURES} times in a row and was not asked")]
    Breaker,
}

impl From<BrokenOff> for NotHeard {
    fn from(broken: BrokenOff) -> Self {
        match broken {
            BrokenOff::Connection | BrokenOff::Ended => Self::Connection,
            BrokenOff::Tls(fault) => Self::Tls(fault),
            BrokenOff::TimeOut => Self::TimeOut,
        }
    }
}

impl NotHeard {
    /// A short word for metrics.
    #[must_use]
    pub fn class(self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Lied => "lied",
            _ => "down",
        }
    }

    /// Whether another try may go better.
    fn may_pass(self) -> bool {
        matches!(self, Self::Connection | Self::Status(_))
    }
}

#[derive(Deserialize)]
struct Heard {
    text: String,
}

/// The recogniser, with one connection pool and one breaker.
pub struct Recogniser {
    http: reqwest::Client,
    url: Url,
    signer: Option<Signer>,
    timeout: Duration,
    breaker: Breaker,
    clock: SharedClock,
    random: SharedRandom,
}

impl Recogniser {
    /// The recogniser of `[asr]`.
    ///
    /// # Errors
    /// See [`BadRecogniser`].
    pub fn new(
        settings: &config::Asr,
        clock: SharedClock,
        random: SharedRandom,
    ) -> Result<Self, BadRecogniser> {
        let timeout = Duration::from_millis(settings.timeout_ms);
        Ok(Self {
            http: http::client(settings.url.as_str(), &settings.tls, timeout)?,
            url: settings.url.clone(),
            signer: settings.secret.as_ref().map(Signer::new).transpose()?,
            timeout,
            breaker: Breaker::of("the recogniser of speech"),
            clock,
            random,
        })
    }

    /// The words of a recording; empty when there are none. Takes at most `asr.timeout_ms`; may be dropped at any time.
    ///
    /// # Errors
    /// See [`NotHeard`].
    pub async fn hear(&self, recording: Bytes, content_type: &str) -> Result<Personal, NotHeard> {
        let permit = self.breaker.enter().ok_or(NotHeard::Breaker)?;
        let deadline = Instant::now() + self.timeout;
        let mut attempt = 1;
        let heard = loop {
            let once = self.attempt(recording.clone(), content_type);
            match tokio::time::timeout_at(deadline, once).await.unwrap_or(Err(NotHeard::TimeOut)) {
                Err(fault) if fault.may_pass() && attempt < ATTEMPTS_MAX => attempt += 1,
                heard => break heard,
            }
        };
        permit.settle(matches!(heard, Ok(_) | Err(NotHeard::Refused(_) | NotHeard::Lied)));
        heard
    }

    async fn attempt(&self, recording: Bytes, content_type: &str) -> Result<Personal, NotHeard> {
        let mut request = self.http.post(self.url.clone()).header("content-type", content_type);
        if let Some(signer) = &self.signer {
            let id = new_id(&*self.clock, &*self.random);
            for (header, value) in signer.headers(&id, self.clock.now(), &recording) {
                request = request.header(header, value);
            }
        }
        if let Some(traceparent) = trace::traceparent() {
            request = request.header(TRACEPARENT, traceparent);
        }
        let response = request.body(recording).send().await.map_err(BrokenOff::from)?;
        match response.status().as_u16() {
            200 => {}
            401 => return Err(NotHeard::Signature),
            status @ 400..=499 => return Err(NotHeard::Refused(status)),
            status => return Err(NotHeard::Status(status)),
        }
        let answer = http::body(response, ANSWER_BYTES_MAX).await.map_err(BrokenOff::from)?;
        let answer = answer.ok_or(NotHeard::Lied)?;
        let heard: Heard = serde_json::from_slice(&answer).map_err(|_| NotHeard::Lied)?;
        Ok(Personal::new(heard.text))
    }
}

impl fmt::Debug for Recogniser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recogniser({})", self.url)
    }
}

#[cfg(test)]
mod tests;
