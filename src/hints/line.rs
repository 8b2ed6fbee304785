//! The connections to Redis: one that speaks, one that listens.

use std::time::Duration;

use futures::StreamExt as _;
use redis::aio::{MultiplexedConnection, PubSubStream};
use redis::{AsyncConnectionConfig, Client, ClientTlsConfig, RedisError, TlsCertificates};

use super::hint::{Hint, Message};
use crate::config;

/// Where hints are said. One Redis carries those of one cluster; hints of another would only cost a look.
const CHANNEL: &str = "weikefu:hints";
/// Both connections stand within this time.
const OPEN_MAX: Duration = Duration::from_secs(3);
/// One message is taken within this time.
const SAY_MAX: Duration = Duration::from_secs(1);

/// Why hints are not carried any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    /// Redis does not take a connection or a message.
    #[error(transparent)]
    Redis(#[from] RedisError),
    /// Both connections did not stand in time.
    #[error("Redis did not answer within {OPEN_MAX:?}")]
    Late,
    /// It ended the connection that listens.
    #[error("Redis closed the connection")]
    Closed,
    /// The connections stand, and nothing comes through.
    #[error("Redis does not pass on what is said")]
    Silent,
}

/// `[hints]` cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("[hints] cannot be used: {0}")]
pub struct BadAddress(String);

/// The way to Redis.
pub(super) struct Line {
    client: Client,
    instance: String,
}

/// The connection that speaks.
pub(super) struct Mouth(MultiplexedConnection);

/// The connection that listens. It ends with this value.
pub(super) struct Ear(PubSubStream);

impl Line {
    pub(super) fn new(config: &config::Hints, instance: &str) -> Result<Self, BadAddress> {
        let url = config.redis_url.reveal();
        let tls = &config.tls;
        let client = if tls.ca.is_none() && tls.client.is_none() {
            Client::open(url)
        } else {
            let bytes = |file: &config::PemFile| file.text.reveal().as_bytes().to_vec();
            let client_tls = tls.client.as_ref().map(|(certificate, key)| ClientTlsConfig {
                client_cert: bytes(certificate),
                client_key: bytes(key),
            });
            Client::build_with_tls(url, TlsCertificates { client_tls, root_cert: tls.ca.as_ref().map(bytes) })
        };
        // The detail may repeat the address and its password; the category does not.
        let client = client.map_err(|error| BadAddress(error.category().to_owned()))?;
        Ok(Self { client, instance: instance.to_owned() })
    }

    /// This instance's name.
    pub(super) fn instance(&self) -> &str {
        &self.instance
    }

    /// Connects twice: who listens may not speak.
    pub(super) async fn open(&self) -> Result<(Mouth, Ear), Lost> {
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(OPEN_MAX))
            .set_response_timeout(Some(SAY_MAX));
        let open = async {
            let mut listener = self.client.get_async_pubsub().await?;
            listener.subscribe(CHANNEL).await?;
            let speaker = self.client.get_multiplexed_async_connection_with_config(&limits).await?;
            Ok((Mouth(speaker), Ear(listener.split().1)))
        };
        tokio::time::timeout(OPEN_MAX, open).await.map_err(|_| Lost::Late)?
    }

    /// Says a hint to all that listen, this instance among them.
    pub(super) async fn say(&self, mouth: &mut Mouth, hint: Hint) -> Result<(), Lost> {
        let message = Message { from: self.instance.clone(), hint }.to_string();
        let mut command = redis::cmd("PUBLISH");
        command.arg(CHANNEL).arg(message);
        command.query_async::<()>(&mut mouth.0).await?;
        if hint != Hint::default() {
            metrics::counter!("weikefu_hints_total", "way" => "said").increment(1);
        }
        Ok(())
    }
}

impl Ear {
    /// The next message; `None`: the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        self.0.next().await.map(|message| message.get_payload_bytes().to_vec())
    }
}
