//! What the parts allow on their own: the ceiling that the cluster's figures are read against.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::pull;
use async_nats::jetstream::stream::{Config, RetentionPolicy};
use bytes::Bytes;
use coordinator::store::{Append, Store};
use futures::StreamExt as _;
use messages::command::{Code, Rejection};
use messages::event::CommandOutcome;
use messages::id::{UserId, VideoId};
use runtime::bus::Bus;
use runtime::clock::{Clock as _, SystemClock};
use serde::Serialize;

use super::super::BenchError;

/// Messages on their way at a time.
const WINDOW: usize = 512;
/// Rows of one grouped transaction: as many as a group commit takes at most.
const GROUP: usize = 256;
/// How long each part is measured, about.
const FOR: Duration = Duration::from_secs(2);

/// Things done in a second.
#[derive(Debug, Clone, Serialize)]
pub struct Raw {
    /// Acknowledged publishes of 256 bytes to a stream, many on their way at a time.
    pub publishes: f64,
    /// Messages through a durable work queue: published, pulled in batches, acknowledged.
    pub queued: f64,
    /// Requests with their replies, one at a time.
    pub requests_single: f64,
    /// The same, 64 at a time.
    pub requests_many: f64,
}

/// Appends recorded in a second.
#[derive(Debug, Clone, Serialize)]
pub struct Commits {
    /// One in each transaction.
    pub single: f64,
    /// 256 in each transaction.
    pub grouped: f64,
}

/// Measures NATS.
pub async fn nats(bus: &Bus) -> Result<Raw, BenchError> {
    Ok(Raw {
        publishes: publishes(bus).await?,
        queued: queued(bus).await?,
        requests_single: requests(bus, 1).await?,
        requests_many: requests(bus, 64).await?,
    })
}

async fn publishes(bus: &Bus) -> Result<f64, BenchError> {
    let stream =
        Config { name: "BENCH_PUBLISH".to_owned(), subjects: vec!["bench.publish".to_owned()], ..Config::default() };
    bus.jetstream().create_stream(stream).await.map_err(failed)?;
    let (count, seconds) = publish_for(bus, "bench.publish").await?;
    bus.jetstream().delete_stream("BENCH_PUBLISH").await.map_err(failed)?;
    Ok(count as f64 / seconds)
}

async fn publish_for(bus: &Bus, subject: &'static str) -> Result<(usize, f64), BenchError> {
    let body = Bytes::from_static(&[b'x'; 256]);
    let (started, mut count) = (Instant::now(), 0);
    let mut receipts = std::collections::VecDeque::with_capacity(WINDOW);
    while started.elapsed() < FOR {
        let receipt = bus.jetstream().publish(subject, body.clone()).await.map_err(failed)?;
        receipts.push_back(receipt.into_future());
        count += 1;
        if receipts.len() == WINDOW
            && let Some(oldest) = receipts.pop_front()
        {
            oldest.await.map_err(failed)?;
        }
    }
    for receipt in receipts {
        receipt.await.map_err(failed)?;
    }
    Ok((count, started.elapsed().as_secs_f64()))
}

async fn queued(bus: &Bus) -> Result<f64, BenchError> {
    let stream = Config {
        name: "BENCH_QUEUE".to_owned(),
        subjects: vec!["bench.queue".to_owned()],
        retention: RetentionPolicy::WorkQueue,
        ..Config::default()
    };
    let stream = bus.jetstream().create_stream(stream).await.map_err(failed)?;
    let consumer =
        pull::Config { durable_name: Some("bench".to_owned()), max_ack_pending: 10_000, ..pull::Config::default() };
    let consumer = stream.create_consumer(consumer).await.map_err(failed)?;
    let started = Instant::now();
    let publishing = tokio::spawn({
        let bus = bus.clone();
        async move { publish_for(&bus, "bench.queue").await }
    });
    let mut taken = 0;
    let (count, _) = loop {
        let mut batch = consumer.fetch().max_messages(500).messages().await.map_err(failed)?;
        while let Some(message) = batch.next().await {
            message.map_err(failed)?.ack().await.map_err(failed)?;
            taken += 1;
        }
        if publishing.is_finished() {
            let published = publishing.await.map_err(failed)??;
            break published;
        }
    };
    while taken < count {
        let mut batch = consumer.fetch().max_messages(500).messages().await.map_err(failed)?;
        while let Some(message) = batch.next().await {
            message.map_err(failed)?.ack().await.map_err(failed)?;
            taken += 1;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    bus.jetstream().delete_stream("BENCH_QUEUE").await.map_err(failed)?;
    Ok(count as f64 / seconds)
}

async fn requests(bus: &Bus, at_a_time: usize) -> Result<f64, BenchError> {
    let client = bus.client();
    let mut asked = client.subscribe("bench.ask").await.map_err(failed)?;
    client.flush().await.map_err(failed)?;
    let answering = tokio::spawn({
        let client = client.clone();
        async move {
            while let Some(message) = asked.next().await {
                if let Some(reply) = message.reply {
                    // Whoever asked sees that no answer came.
                    let _ = client.publish(reply, message.payload).await;
                }
            }
        }
    });
    let started = Instant::now();
    let asking = (0..at_a_time).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            let mut count = 0;
            while started.elapsed() < FOR {
                client.request("bench.ask", Bytes::from_static(b"?")).await.map_err(failed)?;
                count += 1;
            }
            Ok::<_, BenchError>(count)
        })
    });
    let mut count = 0;
    for asked in futures::future::join_all(asking).await {
        count += asked.map_err(failed)??;
    }
    answering.abort();
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}

/// Measures a journal: the outcomes of commands to videos that do not exist.
pub async fn commits(store: Arc<dyn Store>) -> Result<Commits, BenchError> {
    Ok(Commits { single: appends(store.as_ref(), 1).await?, grouped: appends(store.as_ref(), GROUP).await? })
}

async fn appends(store: &dyn Store, group: usize) -> Result<f64, BenchError> {
    let (started, mut count) = (Instant::now(), 0);
    while started.elapsed() < FOR {
        let appends = (0..group).map(|_| in_vain().map(Into::into)).collect::<Result<_, _>>()?;
        store.append(appends).await.map_err(failed)?;
        count += group;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

fn in_vain() -> Result<Append, BenchError> {
    let rejection = Rejection::new(Code::UnknownVideo, "there is no such video");
    let command_id = uuid::Uuid::new_v4().to_string().parse().map_err(failed)?;
    Ok(Append {
        video: VideoId::from_uuid(uuid::Uuid::now_v7()),
        user: UserId::local(),
        events: Vec::new(),
        row: None,
        plan: Vec::new(),
        ended: Vec::new(),
        spent: Vec::new(),
        garbage: Vec::new(),
        based_on: None,
        outcome: Some(CommandOutcome::CommandRejected { command_id, rejection, time: SystemClock.now(), trace: None }),
    })
}

fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError::Part(error.to_string())
}
