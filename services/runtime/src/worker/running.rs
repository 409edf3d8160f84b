//! The jobs that this replica works on, and how to stop them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use messages::id::JobId;
use tokio_util::sync::CancellationToken;

/// Why a handler was told to stop. The first reason counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// Nobody wants the job any more.
    NotWanted,
    /// It took longer than its deadline.
    Late,
    /// This process has to stop.
    Stopping,
}

/// All jobs in handlers' hands.
#[derive(Debug, Default)]
pub(super) struct Running {
    jobs: Mutex<HashMap<u64, Stopper>>,
    next: std::sync::atomic::AtomicU64,
}

#[derive(Debug, Clone)]
struct Stopper {
    job: JobId,
    token: CancellationToken,
    cause: Arc<OnceLock<Cause>>,
}

impl Stopper {
    fn stop(&self, cause: Cause) {
        // A later reason does not change what was answered to the first.
        let _ = self.cause.set(cause);
        self.token.cancel();
    }
}

impl Running {
    /// Enters a job for as long as the entry lives.
    pub fn enter(self: &Arc<Self>, job: JobId) -> Entry {
        let key = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let stopper = Stopper { job, token: CancellationToken::new(), cause: Arc::default() };
        self.jobs().insert(key, stopper.clone());
        Entry { running: self.clone(), key, stopper }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.jobs().len()
    }

    /// Stops a job, wherever it runs twice also twice.
    pub fn stop(&self, job: JobId, cause: Cause) {
        self.jobs().values().filter(|stopper| stopper.job == job).for_each(|stopper| stopper.stop(cause));
    }

    /// Stops them all.
    pub fn stop_all(&self, cause: Cause) {
        self.jobs().values().for_each(|stopper| stopper.stop(cause));
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<u64, Stopper>> {
        // Nothing in here is left half done by a panic.
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job among the running ones.
#[derive(Debug)]
pub(super) struct Entry {
    running: Arc<Running>,
    key: u64,
    stopper: Stopper,
}

impl Entry {
    /// Fires when the job has to stop.
    pub fn token(&self) -> &CancellationToken {
        &self.stopper.token
    }

    /// Why it has to stop, if it has to.
    pub fn cause(&self) -> Option<Cause> {
        self.stopper.cause.get().copied()
    }

    /// Stops it.
    pub fn stop(&self, cause: Cause) {
        self.stopper.stop(cause);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.jobs().remove(&self.key);
    }
}
