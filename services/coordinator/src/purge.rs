//! Takes out of the object store what nobody needs any more; the coordinator touches it for nothing else.
//!
//! Each owner looks after its partitions: deleted videos go twice, with all they made, because a worker that was not
//! stopped in time may have put something there after the first time; what retention let go of goes object by object.
//! Invariant: what is to go stands in SQL until it is gone, so that a crash at any instant only means another round.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use messages::subject::Partition;
use runtime::artifacts::{ObjectError, ObjectStore};
use runtime::clock::Clock;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::actor::{Actors, Mail};
use crate::store::{Purgeable, Store, StoreError};

const PAUSE: Duration = Duration::from_secs(5);
/// From the deletion on, until no worker can still be at it: the longest deadline of a job, an hour, and some time to
/// hand in what it made.
const WORKERS_ARE_DONE: Duration = Duration::from_secs(75 * 60);

/// What is worked with.
#[derive(Debug)]
pub struct Purge {
    /// What is to go.
    pub store: Arc<dyn Store>,
    /// Where it goes from.
    pub objects: Arc<dyn ObjectStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Who decides about what was abandoned.
    pub actors: Arc<Actors>,
    /// How long that is kept; none means for ever.
    pub keep_abandoned: Option<Duration>,
}

/// Why something stays for now.
#[derive(Debug, thiserror::Error)]
enum PurgeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
}

/// Purges every 5 s until `shutdown`.
pub async fn run(purge: Purge, owned: watch::Receiver<HashSet<Partition>>, shutdown: CancellationToken) {
    let mut failing = false;
    loop {
        let partitions: Vec<_> = owned.borrow().iter().copied().collect();
        let purged = tokio::select! {
            purged = purge.round(partitions) => purged,
            () = shutdown.cancelled() => return,
        };
        match purged {
            Ok(()) => failing = false,
            Err(error) if !std::mem::replace(&mut failing, true) => {
                tracing::warn!(error = %runtime::service::sentence(&error), "what is to be deleted waits");
            }
            Err(_) => {}
        }
        tokio::select! {
            () = purge.clock.sleep(PAUSE) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

impl Purge {
    /// One look at everything. What fails holds back nothing else.
    async fn round(&self, partitions: Vec<Partition>) -> Result<(), PurgeError> {
        let abandoned = self.collect(partitions.clone()).await;
        let garbage = self.delete_garbage(partitions.clone()).await;
        let videos = self.purge_videos(partitions).await;
        abandoned.and(garbage).and(videos)
    }

    /// Asks for a decision about videos of which something was abandoned for long enough.
    async fn collect(&self, partitions: Vec<Partition>) -> Result<(), PurgeError> {
        let Some(keep_for) = self.keep_abandoned else { return Ok(()) };
        for video in self.store.forgotten(partitions, self.clock.now() - keep_for).await? {
            self.actors.send(video, Mail::Collect(keep_for));
        }
        Ok(())
    }

    async fn delete_garbage(&self, partitions: Vec<Partition>) -> Result<(), PurgeError> {
        let (mut deleted, mut failed) = (Vec::new(), None);
        for key in self.store.garbage(partitions).await? {
            match self.objects.delete(&key).await {
                Ok(()) => deleted.push(key),
                Err(error @ ObjectError::Unavailable { .. }) => {
                    failed = Some(error);
                    break;
                }
                Err(error) => failed = Some(error),
            }
        }
        if !deleted.is_empty() {
            tracing::info!(objects = deleted.len(), "what was abandoned is deleted");
            self.store.garbage_deleted(deleted).await?;
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }

    async fn purge_videos(&self, partitions: Vec<Partition>) -> Result<(), PurgeError> {
        let mut outcome = Ok(());
        for video in self.store.purgeable(partitions, self.clock.now()).await? {
            let purged = self.purge_video(&video).await;
            outcome = outcome.and(purged);
        }
        outcome
    }

    /// Objects first: while they are there the rows say so.
    async fn purge_video(&self, Purgeable { video, user, deleted_at }: &Purgeable) -> Result<(), PurgeError> {
        let objects = self.objects.delete_prefix(&format!("{user}/videos/{video}/")).await?;
        let again = Some(*deleted_at + WORKERS_ARE_DONE).filter(|again| self.clock.now() < *again);
        self.store.purge(*video, again).await?;
        tracing::info!(video.id = %video, objects, last = again.is_none(), "a deleted video is purged");
        Ok(())
    }
}
