//! What the loop needs from outside, as traits, so that a simulator can stand in for NATS and its faults.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use messages::job::DeadLetter;
use messages::service::Service;

use crate::bus::RequestError;

/// The work queue did not do what was asked; it may later.
#[derive(Debug, thiserror::Error)]
#[error("the work queue is not usable now: {0}")]
pub struct QueueError(pub String);

/// The jobs of one service.
#[async_trait]
pub trait JobQueue: Send + Sync + std::fmt::Debug {
    /// Waits a few seconds for one job. Must be awaited to its end: a job that arrives at an abandoned wait is lost to
    /// everybody until its ack wait is over.
    async fn take(&self) -> Result<Option<Box<dyn Delivery>>, QueueError>;

    /// Makes sure that the queue is there, after it failed.
    async fn repair(&self) -> Result<(), QueueError>;

    /// Puts a copy of a job where people look.
    async fn set_aside(&self, service: Service, letter: DeadLetter) -> Result<(), QueueError>;
}

/// One job in our hands until it is finished or handed back, or until nobody kept it for too long.
#[async_trait]
pub trait Delivery: Send + Sync {
    /// Where it came on.
    fn subject(&self) -> &str;

    /// What came.
    fn payload(&self) -> &Bytes;

    /// How often this message was delivered, this time included.
    fn deliveries(&self) -> u64;

    /// When it was put into the queue, if the queue says.
    fn sent_at(&self) -> Option<DateTime<Utc>> {
        None
    }

    /// Says that it is still being worked on.
    async fn keep(&self);

    /// Takes it off the queue for good, and answers when the queue knows.
    async fn finish(&self) -> Result<(), QueueError>;

    /// The same, and waits a few seconds for the next job, as [`JobQueue::take`] does.
    async fn finish_and_take(&self) -> Result<Option<Box<dyn Delivery>>, QueueError>;

    /// Gives it to somebody else after a while.
    async fn hand_back(&self, after: Duration);
}

/// The coordinators, and whoever else listens.
#[async_trait]
pub trait Reporter: Send + Sync + std::fmt::Debug {
    /// Asks and waits for one answer.
    async fn ask(&self, subject: &str, payload: Bytes, timeout: Duration) -> Result<Bytes, RequestError>;

    /// Tells whoever listens now.
    async fn tell(&self, subject: String, payload: Bytes);

    /// The stop hints of all jobs.
    async fn stop_hints(&self) -> Result<BoxStream<'static, Bytes>, QueueError>;
}
