//! The four streams and the consumers of the work queue, as code: created when missing, brought back when changed.
//!
//! What an operator adds beside our settings (placement, a pause, metadata) stays.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, FromConsumer as _, IntoConsumerConfig as _, pull};
use async_nats::jetstream::context::{CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform};
use async_nats::jetstream::{self, ErrorCode};
use messages::service::Service;
use messages::subject;

use super::{BusError, NatsSettings};

/// After this long without a sign of life a job goes to another worker.
pub const ACK_WAIT: Duration = Duration::from_secs(30);
/// The most jobs of one service that may run at a time, over all replicas. A constant, because every replica must ask
/// for the same consumer.
const MAX_RUNNING: i64 = 1000;
/// The largest job. In base64 and with its story it still fits a message of 1 MiB.
const MAX_JOB_BYTES: i32 = 512 << 10;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What differs between installations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    replicas: usize,
    bytes: i64,
}

impl Limits {
    pub(super) fn new(settings: &NatsSettings) -> Self {
        Self { replicas: settings.replicas, bytes: i64::from(settings.storage_mib) << 20 }
    }
}

/// What happens to settings that are not as we want them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drift {
    /// They are set again.
    BringBack,
    /// They stay. For whoever only wants to publish: a command line with default settings must not take copies away
    /// from a cluster.
    Leave,
}

/// Creates what is missing, and treats what is there as `drift` says. One that cannot be put right keeps no other from it;
/// the first of those is the error.
pub(super) async fn ensure(jetstream: &jetstream::Context, limits: &Limits, drift: Drift) -> Result<(), BusError> {
    let mut outcome = Ok(());
    for (name, wanted) in streams(limits) {
        outcome = outcome.and(ensure_stream(jetstream, name, &wanted, drift).await);
    }
    for service in Service::ALL {
        outcome = outcome.and(ensure_consumer(jetstream, service, drift).await);
    }
    outcome
}

/// Our streams by name. Each shares out the disk by how much it keeps.
fn streams(limits: &Limits) -> [(&'static str, Config); 4] {
    let base = |name: &str, description: &str, share: i64| Config {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        storage: StorageType::File,
        num_replicas: limits.replicas,
        max_bytes: limits.bytes / share,
        // Minus one is how the server writes "no limit"; with a zero every look would find a difference.
        max_messages: -1,
        max_message_size: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        ..Config::default()
    };
    let (source, destination) = subject::partition_transform();
    // `nats server check stream` then works without arguments.
    let monitored = HashMap::from([("io.nats.monitor.enabled".to_owned(), "true".to_owned())]);
    [
        (
            subject::VIDEO_COMMANDS,
            Config {
                subjects: vec![subject::COMMAND_FILTER.to_owned()],
                subject_transform: Some(SubjectTransform { source: source.to_owned(), destination }),
                max_age: 7 * DAY,
                // A full stream refuses: what was answered is never pushed out by what comes later.
                discard: DiscardPolicy::New,
                max_message_size: 64 << 10,
                // The shortest that servers take: in this window anybody who guesses an id can suppress a command.
                duplicate_window: Duration::from_millis(100),
                deny_delete: true,
                deny_purge: true,
                metadata: monitored.clone(),
                ..base(subject::VIDEO_COMMANDS, "what people ask, partitioned by video", 2)
            },
        ),
        (
            subject::JOBS,
            Config {
                subjects: vec![subject::JOB_FILTER.to_owned()],
                retention: RetentionPolicy::WorkQueue,
                discard: DiscardPolicy::New,
                max_message_size: MAX_JOB_BYTES,
                duplicate_window: Duration::from_secs(120),
                metadata: monitored.clone(),
                ..base(subject::JOBS, "jobs for workers, gone when acknowledged", 8)
            },
        ),
        (
            subject::VIDEO_EVENTS,
            Config {
                subjects: vec![subject::EVENT_FILTER.to_owned()],
                max_age: 30 * DAY,
                // Coordinators alone may publish here, and do so many at a time.
                allow_batch_publish: true,
                duplicate_window: Duration::from_secs(120),
                metadata: monitored.clone(),
                ..base(subject::VIDEO_EVENTS, "what happened, for everyone to watch; the record is in SQL", 4)
            },
        ),
        (
            subject::DEAD_LETTERS,
            Config {
                subjects: vec![subject::DEAD_FILTER.to_owned(), subject::MAX_DELIVERIES_FILTER.to_owned()],
                max_age: 90 * DAY,
                duplicate_window: Duration::from_secs(120),
                metadata: monitored.clone(),
                ..base(subject::DEAD_LETTERS, "what could not be handled, for a person to look at", 8)
            },
        ),
    ]
}

async fn ensure_stream(
    jetstream: &jetstream::Context,
    name: &'static str,
    wanted: &Config,
    drift: Drift,
) -> Result<(), BusError> {
    let unusable = |reason: String| BusError::Streams { stream: name, reason };
    let existing = match jetstream.get_stream(name).await {
        Ok(stream) => stream.cached_info().config.clone(),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                return match jetstream.create_stream(wanted.clone()).await {
                    Ok(_) => {
                        tracing::info!(stream = name, "stream is created");
                        Ok(())
                    }
                    Err(error) => match error.kind() {
                        // Somebody else was a moment faster; theirs is the same or newer.
                        CreateStreamErrorKind::JetStream(cause)
                            if cause.error_code() == ErrorCode::STREAM_NAME_EXIST =>
                        {
                            Ok(())
                        }
                        CreateStreamErrorKind::JetStream(cause)
                            if cause.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED =>
                        {
                            Err(unusable(format!(
                                "the NATS server has too little storage for {} MiB: give it more or lower nats.storage_mib",
                                wanted.max_bytes >> 20
                            )))
                        }
                        _ => Err(unusable(format!("it cannot be created: {error}"))),
                    },
                };
            }
            _ => return Err(unusable(error.to_string())),
        },
    };
    let aligned = align_stream(&existing, wanted);
    if aligned == existing || drift == Drift::Leave {
        return Ok(());
    }
    jetstream.update_stream(&aligned).await.map_err(|error| {
        unusable(format!(
            "its settings were changed and cannot be brought back ({error}): move its messages and delete it"
        ))
    })?;
    tracing::warn!(stream = name, "stream settings had drifted and are brought back");
    Ok(())
}

/// The existing stream with everything that we decide set as we want it.
fn align_stream(existing: &Config, wanted: &Config) -> Config {
    let mut metadata = existing.metadata.clone();
    metadata.extend(wanted.metadata.clone());
    Config {
        metadata,
        // What the server or an operator chose, and what servers fill in by themselves.
        placement: existing.placement.clone(),
        consumer_limits: existing.consumer_limits.clone(),
        compression: existing.compression.clone(),
        republish: existing.republish.clone(),
        allow_direct: existing.allow_direct,
        persist_mode: existing.persist_mode,
        first_sequence: existing.first_sequence,
        template_owner: existing.template_owner.clone(),
        ..wanted.clone()
    }
}

async fn ensure_consumer(jetstream: &jetstream::Context, service: Service, drift: Drift) -> Result<(), BusError> {
    let unusable =
        |error: String| BusError::Streams { stream: subject::JOBS, reason: format!("consumer `{service}`: {error}") };
    let stream = jetstream.get_stream_no_info(subject::JOBS).await.map_err(|error| unusable(error.to_string()))?;
    let config = match stream.consumer_info(service.name()).await {
        Ok(info) => {
            let existing = pull::Config::try_from_consumer_config(info.config.clone())
                .map_err(|error| unusable(format!("it is of another kind, delete it ({error})")))?;
            let aligned = align_consumer(existing, service);
            if aligned.clone().into_consumer_config() == info.config || drift == Drift::Leave {
                return Ok(());
            }
            tracing::warn!(consumer = %service, "consumer settings had drifted and are brought back");
            aligned
        }
        // Missing, or the question got lost: creating answers both.
        Err(_) => align_consumer(pull::Config::default(), service),
    };
    stream.create_consumer(config).await.map_err(|error| unusable(error.to_string()))?;
    Ok(())
}

/// A consumer with everything that we decide set as we want it.
fn align_consumer(existing: pull::Config, service: Service) -> pull::Config {
    let mut metadata = existing.metadata;
    let monitored = [
        ("io.nats.monitor.enabled", "true"),
        ("io.nats.monitor.redelivery-critical", "10"),
        ("io.nats.monitor.unprocessed-critical", "1000"),
    ];
    metadata.extend(monitored.map(|(key, value)| (key.to_owned(), value.to_owned())));
    pull::Config {
        durable_name: Some(service.name().to_owned()),
        description: Some(format!("the replicas of the {service} service")),
        filter_subject: subject::service_jobs(service),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // Without end: a job that kills its workers is counted, reported and set aside by the fourth of them, because
        // what the server gives up on stays in the stream where nobody sees it.
        max_deliver: -1,
        max_ack_pending: MAX_RUNNING,
        metadata,
        // What an operator may decide, what servers fill in, and what they never change. All else is as if nobody had
        // touched it: a back-off, a limit on pulls or a delivery of headers alone would keep workers from their jobs.
        pause_until: existing.pause_until,
        sample_frequency: existing.sample_frequency,
        name: existing.name,
        deliver_policy: existing.deliver_policy,
        replay_policy: existing.replay_policy,
        max_waiting: existing.max_waiting,
        num_replicas: existing.num_replicas,
        memory_storage: existing.memory_storage,
        ..pull::Config::default()
    }
}
