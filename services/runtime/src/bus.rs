//! The bus: one connection to NATS, its streams, and the few ways to say something on it.
//!
//! Boundary: knows names and limits of our streams, nothing about what messages mean. Invariant: an answered
//! [`Bus::publish`] is stored; everything else may be lost, and who sends it copes.

mod batch;
mod connect;
mod publish;
mod request;
mod settings;
mod streams;

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream;
use async_nats::jetstream::consumer::PullConsumer;
use chrono::{DateTime, Utc};
use messages::service::Service;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::health::{self, Need};

pub use batch::{BatchError, BatchMessage, MOST as MOST_OF_A_BATCH};
pub use publish::{PubAck, PublishError, Receipt};
pub use request::RequestError;
pub use settings::{ContextError, NatsSettings};
pub use streams::ACK_WAIT;

/// A handle on NATS; clones share one connection.
#[derive(Clone)]
pub struct Bus {
    client: async_nats::Client,
    jetstream: jetstream::Context,
    limits: streams::Limits,
    batches: Arc<tokio::sync::Mutex<Option<batch::Inbox>>>,
    /// Whether this process makes streams.
    keeps_streams: bool,
    /// Without NATS no part of a process can do its work.
    _needed: Arc<Need>,
}

impl Bus {
    /// Connects, waiting a bounded time for a server. Later losses are healed for ever, behind the handle's back.
    pub async fn connect(settings: &NatsSettings) -> Result<Self, BusError> {
        let (client, domain) = connect::connect(settings).await?;
        let jetstream = match domain {
            Some(domain) => jetstream::with_domain(client.clone(), domain),
            None => jetstream::new(client.clone()),
        };
        let connection = client.clone();
        let needed = health::need("nats", move || match connection.connection_state() {
            State::Connected => Ok(()),
            State::Pending | State::Disconnected => Err("there is no connection".to_owned()),
        });
        let (limits, keeps_streams) = (streams::Limits::new(settings), true);
        Ok(Self { client, jetstream, limits, batches: Arc::default(), keeps_streams, _needed: Arc::new(needed) })
    }

    /// The same connection for a process that is not a coordinator: it looks for streams and never makes any, as its user
    /// in a cluster may not (config/nats/users.conf). Coordinators mend them every few seconds.
    #[must_use]
    pub fn leaving_streams_to_coordinators(self) -> Self {
        Self { keeps_streams: false, ..self }
    }

    /// Creates the four streams and the consumers of the work queue, or brings existing ones up to date. Doing it again,
    /// or in many processes at once, is harmless.
    pub async fn ensure_streams(&self) -> Result<(), BusError> {
        streams::ensure(&self.jetstream, &self.limits, streams::Drift::BringBack).await
    }

    /// Creates what is missing and leaves alone what is there, where this is our business.
    pub async fn restore_streams(&self) -> Result<(), BusError> {
        if !self.keeps_streams {
            return Ok(());
        }
        streams::ensure(&self.jetstream, &self.limits, streams::Drift::Leave).await
    }

    /// The same at a start: a cluster may be electing, so it is tried for half a minute, or until `shutdown` fires.
    pub async fn ensure_streams_patiently(&self, shutdown: &CancellationToken) -> Result<(), BusError> {
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let Err(error) = self.ensure_streams().await else { return Ok(()) };
            let wait = backoff.next_wait();
            if Instant::now() + wait >= deadline || shutdown.is_cancelled() {
                return Err(error);
            }
            tracing::info!(error = %error, "the streams are not ready yet");
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// The same for a worker of `service`, which only looks where it does not keep them: without a coordinator there is
    /// nothing to do, so it waits for as long as it takes, or until `shutdown` fires.
    pub async fn await_queue(&self, service: Service, shutdown: &CancellationToken) -> Result<(), BusError> {
        if self.keeps_streams {
            return self.ensure_streams_patiently(shutdown).await;
        }
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            let found: Result<PullConsumer, _> =
                self.jetstream.get_consumer_from_stream(service.name(), messages::subject::JOBS).await;
            let Err(error) = found else { return Ok(()) };
            tracing::info!(error = %error, "waiting for a coordinator to make the queue");
            tokio::select! {
                () = tokio::time::sleep(backoff.next_wait()) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// When the command stream was created. Another time means another stream, whose sequences mean nothing to readers
    /// of the old one.
    pub async fn commands_created(&self) -> Result<DateTime<Utc>, BusError> {
        let stream = self.jetstream.get_stream(messages::subject::VIDEO_COMMANDS).await.map_err(|error| {
            BusError::Streams { stream: messages::subject::VIDEO_COMMANDS, reason: error.to_string() }
        })?;
        Ok(chrono_time(stream.cached_info().created))
    }

    /// The connection itself, for subscriptions.
    pub const fn client(&self) -> &async_nats::Client {
        &self.client
    }

    /// The streams themselves, for readers.
    pub const fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }
}

impl std::fmt::Debug for Bus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bus").field("state", &self.client.connection_state()).finish_non_exhaustive()
    }
}

/// A time of the NATS client as one of ours.
pub fn chrono_time(time: async_nats::datetime::DateTime) -> DateTime<Utc> {
    // Nanoseconds since 1970 fit 64 bits until 2262; whatever a server sends beyond that is no time of ours.
    DateTime::from_timestamp_nanos(i64::try_from(time.unix_timestamp_nanos()).unwrap_or_default())
}

/// Why the bus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody answers there.
    #[error("no NATS server at {urls} ({reason}): start one or give --nats URL")]
    Unreachable {
        /// The addresses tried.
        urls: String,
        /// What went wrong last.
        reason: String,
    },
    /// The server does not let us in.
    #[error("the NATS server at {urls} refuses us ({reason}): check the credentials or the context")]
    Refused {
        /// The addresses tried.
        urls: String,
        /// What went wrong.
        reason: String,
    },
    /// The server lacks what the streams need.
    #[error("the NATS server at {urls} is version {version}, but 2.14 or newer is needed: upgrade it")]
    TooOld {
        /// What it says it is.
        version: String,
        /// The addresses tried.
        urls: String,
    },
    /// The settings do not make sense.
    #[error("{0}")]
    Settings(String),
    /// The context of the `nats` CLI cannot be used.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// A stream is not there, or not as it must be.
    #[error("the stream {stream} is not usable: {reason}")]
    Streams {
        /// Which stream.
        stream: &'static str,
        /// Why, and what to do about it.
        reason: String,
    },
}
