//! The one place that reads the time.
//!
//! Loops wait through the same door, so that a simulator can make days pass at once. Pure code gets times as arguments.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

/// Where a loop gets its time from.
#[async_trait]
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// What is written into messages and records.
    fn now(&self) -> DateTime<Utc>;

    /// Returns after `duration`.
    async fn sleep(&self, duration: Duration);
}

impl dyn Clock {
    /// What `work` gives, or none when it takes longer than `duration`; then it is dropped.
    pub async fn within<T>(&self, duration: Duration, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.sleep(duration) => None,
        }
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
