//! The replica: as many slots as it may run jobs, each taking one job at a time; started, watched and stopped together.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use messages::codec;
use messages::job::Stop;
use messages::service::Service;
use messages::subject;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::ports::{Delivery, JobQueue, Reporter};
use super::running::{Cause, Running};
use super::{Handler, WorkerError, WorkerSettings, metrics};
use crate::artifacts::ObjectStore;
use crate::backoff::Backoff;
use crate::bus::Bus;
use crate::clock::Clock;
use crate::health;
use crate::registration::{self, Figures, Registration};

/// How long a handler may take to notice that it has to stop; then it is left alone.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long a stopping replica waits for coordinators to hear what became of its jobs.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Threads for handlers on each core.
const THREADS_A_CORE: usize = 4;
/// The longest that a look for a job may take, with all that is done when there is no queue.
const TURN: Duration = Duration::from_secs(60);

/// All that a replica is made of.
#[derive(Clone)]
pub struct Parts {
    /// Whose jobs it takes.
    pub service: Service,
    /// How it works.
    pub settings: WorkerSettings,
    /// Its name among the replicas.
    pub instance: String,
    /// Where jobs come from.
    pub queue: Arc<dyn JobQueue>,
    /// Where reports go.
    pub reporter: Arc<dyn Reporter>,
    /// Where records and artifacts are.
    pub objects: Arc<dyn ObjectStore>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is done with a job.
    pub handler: Arc<dyn Handler>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("service", &self.service)
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

/// A replica at work.
pub(super) struct Replica {
    pub parts: Parts,
    pub desk: Desk,
    pub running: Arc<Running>,
    /// The runtime that handlers run on.
    pub handlers: tokio::runtime::Handle,
    pub shutdown: CancellationToken,
    pub tally: Tally,
    /// Why no job can be taken now, if none can.
    trouble: Mutex<Option<String>>,
}

/// What became of the jobs so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub done: AtomicU64,
    pub failed: AtomicU64,
    pub returned: AtomicU64,
}

/// Runs a replica that `nats micro` can see.
pub(super) async fn run_registered(
    parts: Parts,
    bus: &Bus,
    threads: &HandlerThreads,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let (service, instance) = (parts.service, parts.instance.clone());
    let replica = Replica::new(parts, threads.handle(), shutdown);
    let metadata = HashMap::from([
        ("instance".to_owned(), instance.clone()),
        ("host".to_owned(), registration::host()),
        ("concurrency".to_owned(), replica.parts.settings.concurrency.to_string()),
    ]);
    let figures = replica.figures();
    let description = match service {
        Service::Planner => "makes specs",
        Service::Storyboard => "draws beat pictures",
        Service::Chunk => "renders chunks and stitches them",
        Service::Refine => "makes music, mix and thumbnail",
    };
    let mut entry = Registration::new(bus, service.name(), description, metadata, figures.clone()).await?;
    entry.answer("status", &subject::worker_status(service, &instance), figures).await?;
    tracing::info!(%service, instance, "worker is ready");
    replica.run().await;
    entry.stop().await;
    tracing::info!(%service, instance, "worker has stopped");
    Ok(())
}

/// Runs a replica on any ports, until `shutdown` fires and its jobs are finished or handed back.
pub async fn run_parts(parts: Parts, shutdown: CancellationToken) -> Result<(), WorkerError> {
    let threads = HandlerThreads::new(parts.service.name(), parts.settings.concurrency.get())?;
    Replica::new(parts, threads.handle(), shutdown).run().await;
    Ok(())
}

impl Replica {
    fn new(parts: Parts, handlers: tokio::runtime::Handle, shutdown: CancellationToken) -> Arc<Self> {
        let desk = Desk {
            reporter: parts.reporter.clone(),
            clock: parts.clock.clone(),
            worker: parts.instance.clone(),
            hurry: CancellationToken::new(),
        };
        Arc::new(Self {
            parts,
            desk,
            running: Arc::default(),
            handlers,
            shutdown,
            tally: Tally::default(),
            trouble: Mutex::default(),
        })
    }

    fn figures(self: &Arc<Self>) -> Figures {
        let replica = self.clone();
        Arc::new(move || {
            let tally = &replica.tally;
            json!({
                "instance": replica.parts.instance,
                "concurrency": replica.parts.settings.concurrency,
                "running": replica.running.count(),
                "done": tally.done.load(Ordering::Relaxed),
                "failed": tally.failed.load(Ordering::Relaxed),
                "returned": tally.returned.load(Ordering::Relaxed),
                "stopping": replica.shutdown.is_cancelled(),
            })
        })
    }

    /// What a probe is told: whether jobs are taken.
    fn is_ready(&self) -> Result<(), String> {
        if self.shutdown.is_cancelled() {
            return Err("it is stopping: its jobs are finished or handed back".to_owned());
        }
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().map_or(Ok(()), Err)
    }

    fn note(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    async fn run(self: &Arc<Self>) {
        let replica = self.clone();
        let _needed = health::need(self.parts.service.name(), move || replica.is_ready());
        metrics::starts(self.parts.service, self.parts.settings.concurrency.get());
        let hints = AbortOnDrop(tokio::spawn(self.clone().obey_stop_hints()));
        let stopping = AbortOnDrop(tokio::spawn(self.clone().stop_in_time()));
        let slots = (0..self.parts.settings.concurrency.get()).map(|_| tokio::spawn(self.clone().slot()));
        for ended in futures::future::join_all(slots).await {
            if let Err(error) = ended {
                tracing::error!(error = %error, "a worker slot was lost");
            }
        }
        drop((hints, stopping));
    }

    /// Takes one job after the other. A pull is never abandoned while it is open: a job that arrives during a stop is
    /// handed back.
    async fn slot(self: Arc<Self>) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let watched = health::main_loop(self.parts.service.name(), TURN);
        let mut ended: Option<Arc<dyn Delivery>> = None;
        while !self.shutdown.is_cancelled() {
            watched.turns();
            let taken = match ended.take() {
                Some(ended) => ended.finish_and_take().await,
                None => self.parts.queue.take().await,
            };
            let error = match taken {
                Ok(taken) => {
                    backoff.reset();
                    self.note(None);
                    if let Some(delivery) = taken {
                        // A job has a deadline of its own.
                        watched.is_at_work();
                        ended = self.attend(delivery.into()).await;
                    }
                    continue;
                }
                Err(error) => error,
            };
            self.note(Some(error.to_string()));
            watched.turns();
            tracing::warn!(error = %error, "no job can be taken now");
            if let Err(error) = self.parts.queue.repair().await {
                tracing::warn!(error = %error, "the work queue is not back yet");
            }
            tokio::select! {
                () = self.parts.clock.sleep(backoff.next_wait()) => {}
                () = self.shutdown.cancelled() => {}
            }
        }
        if let Some(ended) = ended
            && let Err(error) = ended.finish().await
        {
            tracing::warn!(error = %error, "a finished job could not be taken off the queue");
        }
    }

    async fn obey_stop_hints(self: Arc<Self>) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.parts.reporter.stop_hints().await {
                Ok(mut hints) => {
                    while let Some(hint) = hints.next().await {
                        match codec::decode::<Stop>(&hint) {
                            Ok(stop) => self.running.stop(stop.job, Cause::NotWanted),
                            Err(error) => tracing::warn!(error = %error, "a stop hint is not readable"),
                        }
                    }
                }
                Err(error) => tracing::warn!(error = %error, "stop hints are not heard"),
            }
            self.parts.clock.sleep(backoff.next_wait()).await;
        }
    }

    /// After a stop was asked for: lets jobs finish, then stops them, then stops waiting for anybody.
    async fn stop_in_time(self: Arc<Self>) {
        self.shutdown.cancelled().await;
        self.parts.clock.sleep(self.parts.settings.grace).await;
        self.running.stop_all(Cause::Stopping);
        self.parts.clock.sleep(PATIENCE + LAST_WORDS).await;
        self.desk.hurry.cancel();
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Threads for handlers alone: whatever they compute or block on, the loop's own threads keep jobs alive and the
/// connection served. Clones share them; they end with the last one.
#[derive(Debug, Clone)]
pub struct HandlerThreads(Arc<Owned>);

#[derive(Debug)]
struct Owned(Option<tokio::runtime::Runtime>);

impl HandlerThreads {
    /// With a thread for each of so many jobs, as far as that makes sense: more than a few for each core only get in each
    /// other's way.
    pub fn new(name: &str, jobs: usize) -> Result<Self, WorkerError> {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(jobs.min(THREADS_A_CORE * cores) + 1)
            .thread_name(format!("{name}-job"))
            .enable_all()
            .build()
            .map(|runtime| Self(Arc::new(Owned(Some(runtime)))))
            .map_err(WorkerError::Threads)
    }

    fn handle(&self) -> tokio::runtime::Handle {
        self.0.0.as_ref().map_or_else(tokio::runtime::Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting for a handler that does not listen would hold up a stop, and is not allowed here anyway.
            runtime.shutdown_background();
        }
    }
}
