//! The wire over a real NATS.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::{HeaderMap, HeaderName};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use messages::subject::{self, Partition, VideoSubject};
use messages::trace;
use runtime::bus::{BatchMessage, Bus, MOST_OF_A_BATCH, PublishError};

use crate::wire::{
    CommandLog, Commands, Ears, Hearsay, LogIdentity, Outgoing, PATIENCE, Refused, Said, StoredCommand, Wire, WireError,
};

/// NATS as the coordinator's way in and out.
#[derive(Debug, Clone)]
pub struct NatsWire {
    bus: Bus,
}

impl NatsWire {
    /// Over a connection.
    pub const fn new(bus: Bus) -> Self {
        Self { bus }
    }
}

impl NatsWire {
    /// Events leave with one answer for all of them. Where that fails, each is sent alone, which says what is wrong; those
    /// that were stored are recognised.
    async fn publish_together(&self, messages: &[Outgoing]) -> bool {
        let together = (2..=MOST_OF_A_BATCH).contains(&messages.len())
            && messages.iter().all(|message| message.message_id.is_some() && is_event(message));
        if !together {
            return false;
        }
        let batch = messages.iter().map(|message| BatchMessage {
            subject: message.subject.clone(),
            headers: headers(message),
            payload: message.payload.clone(),
        });
        match self.bus.publish_batch(batch.collect()).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(error = %error, messages = messages.len(), "messages are sent one by one");
                false
            }
        }
    }
}

fn is_event(message: &Outgoing) -> bool {
    VideoSubject::parse(&message.subject).is_some()
}

fn headers(message: &Outgoing) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &message.headers {
        headers.insert(HeaderName::from_static(name), value.as_str());
    }
    if let Some(id) = &message.message_id {
        headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
    }
    headers
}

fn failed(action: &'static str) -> impl Fn(String) -> WireError {
    move |reason| WireError { action, reason }
}

async fn in_time<T>(action: &'static str, work: impl Future<Output = Result<T, WireError>>) -> Result<T, WireError> {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(failed(action)("no answer in time".to_owned())))
}

#[async_trait]
impl Wire for NatsWire {
    async fn publish(&self, messages: &[Outgoing]) -> Result<Vec<Refused>, WireError> {
        in_time("store messages", async {
            if self.publish_together(messages).await {
                return Ok(Vec::new());
            }
            let (mut receipts, mut refused) = (Vec::with_capacity(messages.len()), Vec::new());
            for (index, message) in messages.iter().enumerate() {
                let (subject, payload) = (message.subject.clone(), message.payload.clone());
                let sent = self.bus.publish_async(subject, headers(message), payload, None);
                match sent.await {
                    Ok(receipt) => receipts.push((index, receipt)),
                    Err(error) => refused.push(never(index, error)?),
                }
            }
            for (index, receipt) in receipts {
                if let Err(error) = receipt.await {
                    refused.push(never(index, error)?);
                }
            }
            Ok(refused)
        })
        .await
    }

    async fn notify(&self, subject: String, payload: Bytes) {
        self.bus.notify(subject, payload).await;
    }

    async fn is_queued(&self, subject: &str) -> Result<bool, WireError> {
        let failed = failed("look into the queue");
        in_time("look into the queue", async {
            let stream = self.bus.jetstream().get_stream_no_info(subject::JOBS).await;
            let stream = stream.map_err(|error| failed(error.to_string()))?;
            match stream.get_last_raw_message_by_subject(subject).await {
                Ok(_) => Ok(true),
                Err(error) if matches!(error.kind(), LastRawMessageErrorKind::NoMessageFound) => Ok(false),
                Err(error) => Err(failed(error.to_string())),
            }
        })
        .await
    }

    async fn unqueue(&self, subject: &str) -> Result<(), WireError> {
        let failed = failed("purge the queue");
        in_time("purge the queue", async {
            let stream = self.bus.jetstream().get_stream_no_info(subject::JOBS).await;
            let stream = stream.map_err(|error| failed(error.to_string()))?;
            stream.purge().filter(subject).await.map_err(|error| failed(error.to_string()))?;
            Ok(())
        })
        .await
    }

    async fn mend(&self) -> Result<i64, WireError> {
        let failed = failed("look after its streams");
        in_time("look after its streams", async {
            self.bus.ensure_streams().await.map_err(|error| failed(error.to_string()))?;
            let stream = self.bus.jetstream().get_stream(subject::JOBS).await;
            let stream = stream.map_err(|error| failed(error.to_string()))?;
            Ok(nanos(stream.cached_info().created))
        })
        .await
    }
}

/// What is never taken is set apart from what is not taken now.
fn never(index: usize, error: PublishError) -> Result<Refused, WireError> {
    match error {
        PublishError::Refused { .. } | PublishError::TooLarge { .. } => {
            Ok(Refused { index, reason: error.to_string() })
        }
        PublishError::Unavailable { .. } => Err(failed("store messages")(error.to_string())),
    }
}

#[async_trait]
impl Ears for NatsWire {
    async fn listen(&self, filter: String) -> Result<Hearsay, WireError> {
        let failed = failed("listen to workers");
        in_time("listen to workers", async {
            let said = self.bus.client().subscribe(filter).await.map_err(|error| failed(error.to_string()))?;
            let said = said.map(|message| Said {
                subject: message.subject.to_string(),
                reply_to: message.reply.map(|reply_to| reply_to.to_string()),
                payload: message.payload,
            });
            Ok(said.boxed())
        })
        .await
    }
}

#[async_trait]
impl CommandLog for NatsWire {
    async fn identity(&self) -> Result<LogIdentity, WireError> {
        let failed = failed("read commands");
        in_time("read commands", async {
            let stream = self.bus.jetstream().get_stream(subject::VIDEO_COMMANDS).await;
            let stream = stream.map_err(|error| failed(error.to_string()))?;
            let info = stream.cached_info();
            let (first, last) = (info.state.first_sequence, info.state.last_sequence);
            Ok(LogIdentity { created: nanos(info.created), first, last })
        })
        .await
    }

    async fn stored_at(&self, sequence: u64) -> Result<Option<i64>, WireError> {
        use async_nats::jetstream::stream::RawMessageErrorKind;
        let failed = failed("read commands");
        in_time("read commands", async {
            let stream = self.bus.jetstream().get_stream_no_info(subject::VIDEO_COMMANDS).await;
            let stream = stream.map_err(|error| failed(error.to_string()))?;
            match stream.get_raw_message(sequence).await {
                Ok(message) => Ok(Some(nanos(message.time))),
                Err(error) if matches!(error.kind(), RawMessageErrorKind::NoMessageFound) => Ok(None),
                Err(error) => Err(failed(error.to_string())),
            }
        })
        .await
    }

    async fn read(&self, partitions: &[Partition], from: u64) -> Result<Commands, WireError> {
        let failed = failed("read commands");
        let messages = in_time("read commands", async {
            let stream = self.bus.jetstream().get_stream_no_info(subject::VIDEO_COMMANDS).await;
            let stream = stream.map_err(|error| failed(error.to_string()))?;
            // Nothing is acknowledged and nothing kept: where reading goes on is decided by SQL alone.
            let consumer = stream
                .create_consumer(pull::Config {
                    description: Some("a coordinator's reading position".to_owned()),
                    filter_subjects: partitions.iter().map(|partition| partition.command_filter()).collect(),
                    deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: from.max(1) },
                    ack_policy: AckPolicy::None,
                    inactive_threshold: Duration::from_secs(60),
                    memory_storage: true,
                    num_replicas: 1,
                    ..pull::Config::default()
                })
                .await
                .map_err(|error| failed(error.to_string()))?;
            let batch = consumer.stream().max_messages_per_batch(500).expires(Duration::from_secs(30));
            batch.heartbeat(Duration::from_secs(5)).messages().await.map_err(|error| failed(error.to_string()))
        })
        .await?;
        let mut expected = 1;
        Ok(messages
            .map(move |message| {
                let message = message.map_err(|error| failed(error.to_string()))?;
                let info = message.info().map_err(|error| failed(error.to_string()))?;
                // Stream sequences of a filtered reader have holes; the reader's own have none.
                if info.consumer_sequence != expected {
                    return Err(failed("a command was missed on the way".to_owned()));
                }
                expected += 1;
                let header = |name: &str| {
                    let value = message.headers.as_ref().and_then(|headers| headers.get(name));
                    value.map(|value| value.as_str().to_owned())
                };
                Ok(StoredCommand {
                    subject: message.subject.to_string(),
                    sequence: info.stream_sequence,
                    time: nanos(info.published),
                    command_id: header(subject::COMMAND_ID_HEADER),
                    via: header(subject::VIA_HEADER),
                    trace: header(trace::HEADER).and_then(|text| text.parse().ok()),
                    payload: message.payload.clone(),
                })
            })
            .boxed())
    }
}

fn nanos(time: async_nats::datetime::DateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos()).unwrap_or_default()
}
