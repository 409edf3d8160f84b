//! The consume loop: take a job, keep it alive, run it, report it, acknowledge it.
//!
//! Boundary: knows jobs and how they end, not what they make; reaches NATS, objects and time through [`ports`],
//! [`ObjectStore`] and [`Clock`] only. Invariant: a job leaves the queue after its outcome is committed, never before.

mod attempt;
mod dead_letter;
mod desk;
mod metrics;
mod nats;
pub mod ports;
mod pulse;
mod reservation;
mod running;
mod slots;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use messages::artifact::{ArtifactKey, Content, Made, MediaType, ObjectRef};
use messages::job::{Job, Spent};
use messages::service::Service;
use serde::Deserialize;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::artifacts::{ObjectMeta, ObjectStore};
use crate::bus::{Bus, BusError};
use crate::clock::{Clock, SystemClock};
use crate::job_error::JobError;
use crate::registration::RegistrationError;
use crate::scratch::{self, Scratch};

pub use reservation::Reservation;
pub use slots::{HandlerThreads, Parts, run_parts};

/// Runs one replica of `service` until `shutdown` fires and its jobs are finished or handed back. Its handlers run on
/// `threads`, which several replicas of a process may share.
pub async fn run(
    threads: HandlerThreads,
    settings: WorkerSettings,
    bus: Bus,
    objects: Arc<dyn ObjectStore>,
    handler: Arc<dyn Handler>,
    service: Service,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    // It takes as long as what was left is large, and nobody waits for it.
    tokio::task::spawn_blocking(|| scratch::sweep(&std::env::temp_dir()));
    bus.await_queue(service, &shutdown).await?;
    let parts = Parts {
        service,
        settings,
        instance: crate::registration::instance(),
        queue: Arc::new(nats::NatsQueue::new(bus.clone(), service)),
        reporter: Arc::new(nats::NatsReporter(bus.clone())),
        objects,
        clock: Arc::new(SystemClock) as Arc<dyn Clock>,
        handler,
    };
    slots::run_registered(parts, &bus, &threads, shutdown).await
}

/// How a replica works: section `[worker]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerSettings {
    /// Jobs at a time.
    pub concurrency: NonZeroUsize,
    /// How long running jobs may take to finish after a stop was asked for, in seconds.
    #[serde(rename = "grace_s", deserialize_with = "crate::config::seconds")]
    pub grace: Duration,
}

impl Default for WorkerSettings {
    /// What `config/default.toml` says.
    fn default() -> Self {
        Self { concurrency: NonZeroUsize::MIN.saturating_add(1), grace: Duration::from_secs(20) }
    }
}

/// Why a replica cannot work.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// NATS is not as it must be.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The replica cannot be seen.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// The operating system gives no threads.
    #[error("no threads for handlers")]
    Threads(#[source] std::io::Error),
}

/// What a service does with one job.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Makes the job's artifacts, or says why not. Called again for the same job after a crash, so it must be safe twice.
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError>;
}

/// What a handler made.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The artifacts.
    pub made: Vec<Made>,
    /// What reached a paid provider; empty for local work.
    pub spent: Vec<Spent>,
}

impl From<Vec<Made>> for Outcome {
    fn from(made: Vec<Made>) -> Self {
        Self { made, spent: Vec::new() }
    }
}

/// One job in a handler's hands: the job, room for its files, and the ways out of it.
#[derive(Debug)]
pub struct Task {
    /// What to make.
    pub job: Arc<Job>,
    /// Fires when nobody wants the job any more, or when this process has to stop.
    pub cancelled: CancellationToken,
    /// With the process's own, where it lies.
    folder: OnceLock<(TempDir, Arc<Scratch>)>,
    objects: Arc<dyn ObjectStore>,
    progress: tokio::sync::watch::Sender<f64>,
    desk: Option<desk::Desk>,
    /// This process's word for its try, once it needs one.
    nonce: OnceLock<uuid::Uuid>,
}

impl Task {
    /// A job whose inputs and results are in `objects`. Tests of handlers make these too.
    pub fn new(job: impl Into<Arc<Job>>, objects: Arc<dyn ObjectStore>, cancelled: CancellationToken) -> Self {
        let progress = tokio::sync::watch::Sender::new(0.0);
        let (job, folder, nonce) = (job.into(), OnceLock::new(), OnceLock::new());
        Self { job, cancelled, folder, objects, progress, desk: None, nonce }
    }

    /// The same with coordinators to reserve money from, asked through `reporter` as `worker`.
    #[must_use]
    pub fn with_coordinator(self, reporter: Arc<dyn ports::Reporter>, clock: Arc<dyn Clock>, worker: String) -> Self {
        let desk = desk::Desk { reporter, clock, worker, hurry: self.cancelled.clone() };
        Self { desk: Some(desk), ..self }
    }

    /// A folder of the job's own, empty at first. It goes away with the job, and is only made for one that asks.
    pub fn folder(&self) -> Result<&Path, JobError> {
        if let Some((folder, _)) = self.folder.get() {
            return Ok(folder.path());
        }
        let made = Scratch::within(&std::env::temp_dir()).and_then(|scratch| {
            let folder = tempfile::Builder::new().prefix("job-").tempdir_in(scratch.path())?;
            Ok((folder, scratch))
        });
        let made = made.map_err(|error| JobError::retry_later(format!("no scratch folder can be made: {error}")))?;
        Ok(self.folder.get_or_init(|| made).0.path())
    }

    /// Says how far the job is, 0 to 1. Cheap: only the newest figure is sent, now and then.
    pub fn progress(&self, fraction: f64) {
        self.progress.send_replace(fraction.clamp(0.0, 1.0));
    }

    /// The newest figure, as it changes.
    pub fn watch_progress(&self) -> tokio::sync::watch::Receiver<f64> {
        self.progress.subscribe()
    }

    /// Brings a stored object into the job's folder as `name` and checks it against its hash.
    pub async fn fetch(&self, object: &ObjectRef, name: &str) -> Result<PathBuf, JobError> {
        let file = self.folder()?.join(name);
        let digest = self.objects.get_file(&object.key, &file).await.map_err(JobError::from)?;
        if digest != object.sha256 {
            return Err(crate::artifacts::ObjectError::Damaged(object.key.clone()).into());
        }
        Ok(file)
    }

    /// Stores a file of the job's folder as a version of `key`, under a name that holds its hash.
    pub async fn store(
        &self,
        key: ArtifactKey,
        file: &Path,
        media_type: MediaType,
        metadata: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Made, JobError> {
        let (sha256, size) = crate::artifacts::digest_file(file).await.map_err(JobError::from)?;
        let object_key = format!(
            "{}{}_v{}-{}.{}",
            self.job.prefix,
            key.stem(),
            self.job.id.version,
            sha256.short(),
            media_type.extension()
        );
        let meta = ObjectMeta { media_type, sha256, size, job: self.job.id.to_string() };
        self.objects.put_file(&object_key, file, &meta).await.map_err(JobError::from)?;
        Ok(Made { key, content: Content::Object(ObjectRef { key: object_key, sha256, size, media_type }), metadata })
    }
}
