//! The whole of a worker's binary: flags, settings, connections, then the loop.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use messages::service::Service;
use serde::Deserialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Flags;
use crate::artifacts::s3::{S3Objects, S3Settings};
use crate::artifacts::{ObjectError, ObjectStore};
use crate::backoff::Backoff;
use crate::bus::{Bus, BusError, NatsSettings};
use crate::child::MediaTool;
use crate::config::ConfigError;
use crate::monitoring::{Monitoring, MonitoringError};
use crate::telemetry::{LogSettings, TelemetryError};
use crate::trace::{TraceError, Tracing};
use crate::worker::{self, Handler, HandlerThreads, WorkerError, WorkerSettings};

/// How long a start waits for an object store that is not there yet.
const OBJECT_STORE: Duration = Duration::from_secs(30);

/// What a handler may be made of.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `ffmpeg` and `ffprobe`.
    pub media: MediaTool,
    /// Threads that one job may use, so that all slots together fill the machine.
    pub threads: NonZeroUsize,
}

/// Runs one worker service as a process.
pub fn run_worker<H: Handler>(service: Service, about: &'static str, handler: impl FnOnce(Tools) -> H) -> ExitCode {
    let command = WorkerFlags::command().name(service.name()).about(about);
    let flags = WorkerFlags::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    super::run(|shutdown| start(service, flags, handler, shutdown))
}

#[derive(Debug, Parser)]
#[command(version)]
struct WorkerFlags {
    #[command(flatten)]
    shared: Flags,
    /// Jobs at a time
    #[arg(long, value_name = "N")]
    concurrency: Option<NonZeroUsize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaSettings {
    ffmpeg: std::path::PathBuf,
    ffprobe: std::path::PathBuf,
}

/// Why a worker does not start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    #[error(transparent)]
    Trace(#[from] TraceError),
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Objects(#[from] ObjectError),
    #[error(transparent)]
    Worker(#[from] WorkerError),
}

async fn start<H: Handler>(
    service: Service,
    flags: WorkerFlags,
    handler: impl FnOnce(Tools) -> H,
    shutdown: CancellationToken,
) -> Result<(), StartError> {
    let settings = flags.shared.settings()?;
    crate::telemetry::init(&settings.section::<LogSettings>("log")?)?;
    let _monitoring = Monitoring::start(&settings.section("monitoring")?, &[service.name()]).await?;
    let _tracing = Tracing::start(&settings.section("telemetry")?, service.name())?;
    let media: MediaSettings = settings.section("media")?;
    let objects: S3Settings = settings.section("objects")?;
    let mut worker: WorkerSettings = settings.section("worker")?;
    worker.concurrency = flags.concurrency.unwrap_or(worker.concurrency);

    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let tools = Tools {
        media: MediaTool { ffmpeg: media.ffmpeg, ffprobe: media.ffprobe },
        threads: NonZeroUsize::new(cores.get() / worker.concurrency).unwrap_or(NonZeroUsize::MIN),
    };
    let bus = Bus::connect(&settings.section::<NatsSettings>("nats")?).await?.leaving_streams_to_coordinators();
    let objects = open(&objects, &shutdown).await?;
    let threads = HandlerThreads::new(service.name(), worker.concurrency.get())?;
    worker::run(threads, worker, bus, objects, Arc::new(handler(tools)), service, shutdown).await?;
    Ok(())
}

/// The object store, once it answers: processes of a cluster start in any order.
async fn open(settings: &S3Settings, shutdown: &CancellationToken) -> Result<Arc<dyn ObjectStore>, ObjectError> {
    let objects = S3Objects::new(settings);
    let deadline = Instant::now() + OBJECT_STORE;
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(3));
    loop {
        match objects.ensure_bucket().await {
            Ok(()) => return Ok(Arc::new(objects)),
            Err(error @ ObjectError::Unavailable { .. }) if Instant::now() < deadline && !shutdown.is_cancelled() => {
                tracing::info!(error = %super::sentence(&error), "the object store is not ready yet");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_wait()) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
