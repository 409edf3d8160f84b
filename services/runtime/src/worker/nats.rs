//! The loop's outside on a real NATS: one-shot pulls, checked acknowledgements, requests.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{self, AckKind};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use messages::job::DeadLetter;
use messages::service::Service;
use messages::subject;
use tokio::sync::Mutex;

use super::ports::{Delivery, JobQueue, QueueError, Reporter};
use crate::bus::{Bus, RequestError, chrono_time};

/// How long a pull stays open. One that is lost together with its server costs this much and a little more.
const PULL: Duration = Duration::from_secs(5);

/// The durable consumer of one service.
#[derive(Debug)]
pub(super) struct NatsQueue {
    bus: Bus,
    service: Service,
    consumer: Mutex<Option<PullConsumer>>,
}

impl NatsQueue {
    pub fn new(bus: Bus, service: Service) -> Self {
        Self { bus, service, consumer: Mutex::new(None) }
    }

    async fn consumer(&self) -> Result<PullConsumer, QueueError> {
        let mut known = self.consumer.lock().await;
        if let Some(consumer) = &*known {
            return Ok(consumer.clone());
        }
        let found = self.bus.jetstream().get_consumer_from_stream(self.service.name(), subject::JOBS).await;
        let consumer: PullConsumer = found.map_err(|error| QueueError(error.to_string()))?;
        Ok(known.insert(consumer).clone())
    }
}

#[async_trait]
impl JobQueue for NatsQueue {
    /// One pull for one message. A stream of pulls would fetch the next job while this one is worked on, and heartbeats
    /// make a one-shot pull hang (traps T4 and T5 of the client).
    async fn take(&self) -> Result<Option<Box<dyn Delivery>>, QueueError> {
        let consumer = self.consumer().await?;
        let pull = consumer.batch().max_messages(1).expires(PULL).messages().await;
        let mut pull = pull.map_err(|error| QueueError(error.to_string()))?;
        match pull.next().await {
            None => Ok(None),
            Some(Err(error)) => Err(QueueError(error.to_string())),
            Some(Ok(message)) => {
                let info = message.info().ok();
                let deliveries = info.as_ref().map_or(1, |info| u64::try_from(info.delivered).unwrap_or(1));
                let sent_at = info.map(|info| chrono_time(info.published));
                Ok(Some(Box::new(NatsDelivery { bus: self.bus.clone(), message, deliveries, sent_at })))
            }
        }
    }

    async fn repair(&self) -> Result<(), QueueError> {
        *self.consumer.lock().await = None;
        self.bus.restore_streams().await.map_err(|error| QueueError(error.to_string()))
    }

    async fn set_aside(&self, service: Service, letter: DeadLetter) -> Result<(), QueueError> {
        let bytes = serde_json::to_vec(&letter).map_err(|error| QueueError(error.to_string()))?;
        let stored = self.bus.publish(subject::dead(service.name()), HeaderMap::new(), bytes.into(), None);
        stored.await.map(drop).map_err(|error| QueueError(error.to_string()))
    }
}

struct NatsDelivery {
    bus: Bus,
    message: jetstream::Message,
    deliveries: u64,
    sent_at: Option<DateTime<Utc>>,
}

impl NatsDelivery {
    async fn say(&self, kind: AckKind) {
        if let Err(error) = self.message.ack_with(kind).await {
            tracing::debug!(error = %error, "the queue was not told");
        }
    }
}

#[async_trait]
impl Delivery for NatsDelivery {
    fn subject(&self) -> &str {
        self.message.subject.as_str()
    }

    fn payload(&self) -> &Bytes {
        &self.message.payload
    }

    fn deliveries(&self) -> u64 {
        self.deliveries
    }

    fn sent_at(&self) -> Option<DateTime<Utc>> {
        self.sent_at
    }

    async fn keep(&self) {
        self.say(AckKind::Progress).await;
    }

    /// A request, because the client's own double acknowledgement takes a refusal for an answer (trap T3).
    async fn finish(&self) -> Result<(), QueueError> {
        let Some(reply) = &self.message.reply else { return Ok(()) };
        let mut last = QueueError("nobody was asked".to_owned());
        for _ in 0..3 {
            let answer = self.bus.request(reply.as_str(), Bytes::from_static(b"+ACK"), Duration::from_secs(5)).await;
            match answer {
                Ok(_) => return Ok(()),
                Err(error @ RequestError::NoResponders { .. }) => {
                    return Err(QueueError(format!("it does not know this job any more: {error}")));
                }
                Err(error) => last = QueueError(error.to_string()),
            }
        }
        Err(last)
    }

    async fn hand_back(&self, after: Duration) {
        self.say(AckKind::Nak(Some(after))).await;
        // Said on the way out, so it must not stay in the connection's queue.
        if let Err(error) = self.bus.client().flush().await {
            tracing::debug!(error = %error, "the queue may not have been told");
        }
    }
}

/// Coordinators by way of NATS.
#[derive(Debug)]
pub(super) struct NatsReporter(pub Bus);

#[async_trait]
impl Reporter for NatsReporter {
    async fn ask(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Bytes, RequestError> {
        self.0.request(subject, payload, timeout).await
    }

    async fn tell(&self, subject: String, payload: Bytes) {
        self.0.notify(subject, payload).await;
    }

    async fn stop_hints(&self) -> Result<BoxStream<'static, Bytes>, QueueError> {
        let hints = self.0.client().subscribe(subject::STOP_FILTER).await;
        let hints = hints.map_err(|error| QueueError(error.to_string()))?;
        Ok(hints.map(|hint| hint.payload).boxed())
    }
}
