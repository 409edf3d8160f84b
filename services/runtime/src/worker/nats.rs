//! The loop's outside on a real NATS: one-shot pulls, checked acknowledgements, requests.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use async_nats::{HeaderMap, StatusCode, Subscriber};
use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use futures::stream::BoxStream;
use messages::job::DeadLetter;
use messages::service::Service;
use messages::subject;

use super::ports::{Delivery, JobQueue, QueueError, Reporter};
use crate::bus::{Bus, RequestError, chrono_time};

/// How long a pull stays open on the server.
const PULL: Duration = Duration::from_secs(5);
/// How much later its end is told at the latest. One that is lost together with its server costs both.
const LATE: Duration = Duration::from_secs(2);

/// The durable consumer of one service.
#[derive(Debug, Clone)]
pub(super) struct NatsQueue {
    bus: Bus,
    service: Service,
    /// Lines that nobody waits at.
    idle: Arc<Mutex<Vec<Line>>>,
}

/// Where jobs arrive that were asked for, one at a time. Kept from job to job: making one anew costs the server as much as
/// a job.
#[derive(Debug)]
struct Line {
    inbox: String,
    arriving: Subscriber,
}

impl NatsQueue {
    pub fn new(bus: Bus, service: Service) -> Self {
        Self { bus, service, idle: Arc::default() }
    }

    async fn line(&self) -> Result<Line, QueueError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(line) = idle {
            return Ok(line);
        }
        let inbox = self.bus.client().new_inbox();
        let arriving = self.bus.client().subscribe(inbox.clone()).await;
        Ok(Line { inbox, arriving: arriving.map_err(|error| QueueError(error.to_string()))? })
    }

    /// Asks for one job on a line of its own and waits for it. `to` takes the request after a `prefix`.
    ///
    /// One pull for one message: a stream of pulls would fetch the next job while this one is worked on (trap T4 of the
    /// client), and heartbeats make a one-shot pull hang (T5).
    async fn pull(&self, to: String, prefix: &str) -> Result<Option<Box<dyn Delivery>>, QueueError> {
        let mut line = self.line().await?;
        let request = format!("{prefix}{{\"batch\":1,\"expires\":{}}}", PULL.as_nanos());
        let asked = async {
            let sent = self.bus.client().publish_with_reply(to, line.inbox.clone(), request.into()).await;
            sent.map_err(|error| QueueError(error.to_string()))?;
            line.arriving.next().await.ok_or_else(|| QueueError("the connection is closed".to_owned()))
        };
        // A line whose pull did not end is given up with whatever may still arrive there: it comes to somebody else when
        // nobody has kept it.
        let arrived = tokio::time::timeout(PULL + LATE, asked).await;
        let message = arrived.map_err(|_| QueueError("it does not answer".to_owned()))??;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        match message.status {
            None | Some(StatusCode::OK) => Ok(Some(Box::new(NatsDelivery::new(self.clone(), message)))),
            Some(StatusCode::TIMEOUT | StatusCode::NOT_FOUND) => Ok(None),
            Some(status) => {
                let why = message.description.unwrap_or_default();
                Err(QueueError(format!("it answers {status} {why}").trim_end().to_owned()))
            }
        }
    }
}

#[async_trait]
impl JobQueue for NatsQueue {
    async fn take(&self) -> Result<Option<Box<dyn Delivery>>, QueueError> {
        self.pull(subject::next_job(self.service), "").await
    }

    async fn repair(&self) -> Result<(), QueueError> {
        self.bus.restore_streams().await.map_err(|error| QueueError(error.to_string()))
    }

    async fn set_aside(&self, service: Service, letter: DeadLetter) -> Result<(), QueueError> {
        let bytes = serde_json::to_vec(&letter).map_err(|error| QueueError(error.to_string()))?;
        let stored = self.bus.publish(subject::dead(service.name()), HeaderMap::new(), bytes.into(), None);
        stored.await.map(drop).map_err(|error| QueueError(error.to_string()))
    }
}

struct NatsDelivery {
    queue: NatsQueue,
    message: jetstream::Message,
    deliveries: u64,
    sent_at: Option<DateTime<Utc>>,
}

impl NatsDelivery {
    fn new(queue: NatsQueue, message: async_nats::Message) -> Self {
        let message = jetstream::Message { message, context: queue.bus.jetstream().clone() };
        let info = message.info().ok();
        let deliveries = info.as_ref().map_or(1, |info| u64::try_from(info.delivered).unwrap_or(1));
        let sent_at = info.map(|info| chrono_time(info.published));
        Self { queue, message, deliveries, sent_at }
    }

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
            let acknowledged = Bytes::from_static(b"+ACK");
            match self.queue.bus.request(reply.as_str(), acknowledged, Duration::from_secs(5)).await {
                Ok(_) => return Ok(()),
                Err(error @ RequestError::NoResponders { .. }) => {
                    return Err(QueueError(format!("it does not know this job any more: {error}")));
                }
                Err(error) => last = QueueError(error.to_string()),
            }
        }
        Err(last)
    }

    /// One message does both, and whatever is answered shows that it arrived.
    async fn finish_and_take(&self) -> Result<Option<Box<dyn Delivery>>, QueueError> {
        let Some(reply) = &self.message.reply else { return self.queue.take().await };
        let taken = self.queue.pull(reply.to_string(), "+NXT ").await;
        if taken.is_err() {
            self.finish().await?;
        }
        taken
    }

    async fn hand_back(&self, after: Duration) {
        self.say(AckKind::Nak(Some(after))).await;
        // Said on the way out, so it must not stay in the connection's queue.
        if let Err(error) = self.queue.bus.client().flush().await {
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
