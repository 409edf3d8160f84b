//! The whole cluster in one process: `nats-server` as a child, the S3 endpoint, coordinator, workers and gateway as tasks.
//!
//! It is the same code that runs as separate processes; only here is it decided that SQLite, a loopback endpoint and a
//! child server stand in for a cluster's. Invariant: what others rest on starts first and stops last.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use coordinator::config::DatabaseUrl;
use messages::id::UserId;
use messages::service::Service;
use runtime::artifacts::s3::{S3Objects, S3Settings};
use runtime::artifacts::{ObjectError, ObjectStore};
use runtime::bus::{Bus, BusError, NatsSettings};
use runtime::child::MediaTool;
use runtime::config::{ConfigError, Settings};
use runtime::monitoring::MonitoringError;
use runtime::service::sentence;
use runtime::trace::TraceError;
use runtime::worker::{self, Handler, HandlerThreads, WorkerError, WorkerSettings};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::data_folder::{Address, DataError, DataFolder, Lock, ObjectKey};
use crate::nats_server::{NatsServer, NatsServerError, NatsServerSettings};

/// How long running jobs may take to finish when the cluster stops; the others are handed back and made again.
const GRACE: Duration = Duration::from_secs(5);
/// How long each part may take to stop before it is cut off.
const STOP: Duration = Duration::from_secs(12);

/// How long a media tool may take to say its version.
const VERSION: Duration = Duration::from_secs(10);
/// How long the start may take until questions are answered.
const READY: Duration = Duration::from_secs(30);

/// Where the cluster listens.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The gateway; port 0 takes a free one.
    pub gateway: SocketAddr,
    /// NATS, on loopback; 0 takes a free one.
    pub nats: u16,
}

/// What a cluster in one process is made of, where that is not what `up` takes.
pub struct Parts {
    /// Jobs at a time for each worker.
    pub slots: NonZeroUsize,
    /// Who does the work of each service.
    pub handlers: [(Service, Arc<dyn Handler>); 4],
    /// Where the journal is; none means SQLite in the data folder.
    pub database: Option<DatabaseUrl>,
    /// Whether every write of NATS waits for the disk.
    pub nats_sync_always: bool,
}

/// A cluster that runs in this process.
pub struct Embedded {
    address: Address,
    bus: Bus,
    objects: Arc<dyn ObjectStore>,
    /// The workers and the gateway.
    services: Part,
    /// Whom they report to.
    coordinator: Part,
    /// What all rest on: objects and NATS.
    ground: Part,
    lock: Lock,
}

/// Why there is no cluster.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Nobody can look after it.
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    /// No NATS.
    #[error(transparent)]
    NatsServer(#[from] NatsServerError),
    /// NATS is not as it must be.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// No threads for the work.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// No objects.
    #[error(transparent)]
    Folder(#[from] objects::OpenError),
    /// No bucket.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// No media tool.
    #[error(
        "{tool} does not run ({reason}): install ffmpeg with your package manager, or name it in the settings [media]"
    )]
    Media {
        /// `ffmpeg` or `ffprobe`, or where it was said to be.
        tool: String,
        /// What happened.
        reason: String,
    },
    /// Somebody else listens there.
    #[error("{address} cannot be listened on ({reason}): stop what listens there, or choose another one with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        reason: String,
    },
    /// Others could reach it, and there are no keys to tell them apart.
    #[error(
        "{0} can be reached by others, and there are no API keys to tell them apart: listen on 127.0.0.1 or [::1], or name a keys file with --keys FILE (`dailies key create` makes one)"
    )]
    NotLoopback(SocketAddr),
    /// Everything runs, but nobody answers.
    #[error("the coordinator does not answer within {} s; the log says why", READY.as_secs())]
    NotReady,
    /// A part ended that never should.
    #[error("{part} has stopped: {reason}")]
    Ended {
        /// Which part.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MediaSettings {
    ffmpeg: PathBuf,
    ffprobe: PathBuf,
}

/// The section `[store]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoreSettings {
    quota_mib: u64,
}

impl Embedded {
    /// Starts everything in `folder`, and returns when it can be used.
    pub async fn start(folder: &DataFolder, settings: &Settings, ports: Ports) -> Result<Self, EmbeddedError> {
        Self::start_with(folder, settings, ports, slots(settings)?).await
    }

    /// The same with `slots` jobs at a time for each worker.
    pub async fn start_with(
        folder: &DataFolder,
        settings: &Settings,
        ports: Ports,
        slots: NonZeroUsize,
    ) -> Result<Self, EmbeddedError> {
        // What a person can put right is found out first.
        let media = media_tool(settings).await?;
        Self::start_with_handlers(folder, settings, ports, slots, handlers(media)).await
    }

    /// The same with other workers than those that make films.
    pub async fn start_with_handlers(
        folder: &DataFolder,
        settings: &Settings,
        ports: Ports,
        slots: NonZeroUsize,
        handlers: [(Service, Arc<dyn Handler>); 4],
    ) -> Result<Self, EmbeddedError> {
        let parts = Parts { slots, handlers, database: None, nats_sync_always: false };
        Self::start_of(folder, settings, ports, parts).await
    }

    /// The same of these parts.
    pub async fn start_of(
        folder: &DataFolder,
        settings: &Settings,
        ports: Ports,
        parts: Parts,
    ) -> Result<Self, EmbeddedError> {
        let keyed = settings.section::<gateway::config::Settings>("gateway")?.keys.is_some();
        if !ports.gateway.ip().is_loopback() && !keyed {
            return Err(EmbeddedError::NotLoopback(ports.gateway));
        }
        let lock = folder.lock()?;
        let gateway = listen(ports.gateway).await?;
        let url = format!("http://{}", gateway.local_addr().unwrap_or(ports.gateway));

        let mut ground = Part::default();
        let objects = start_objects(folder, settings, &mut ground).await?;
        let nats = start_nats(folder, settings, ports.nats, parts.nats_sync_always, &mut ground).await?;
        let limits: NatsSettings = settings.section("nats")?;
        let ours =
            NatsSettings { replicas: limits.replicas, storage_mib: limits.storage_mib, ..NatsSettings::for_url(&nats) };
        let bus = Bus::connect(&ours).await?;
        bus.ensure_streams().await?;
        objects.ensure_bucket().await?;

        let mut coordinator = Part::default();
        let mut own: coordinator::config::Settings = settings.section("coordinator")?;
        own.database = parts.database.unwrap_or_else(|| DatabaseUrl::Sqlite(folder.join("dailies.sqlite")));
        // We hold the folder's lock; whose database is elsewhere has its word that it is ours.
        own.alone = true;
        let objects: Arc<dyn ObjectStore> = Arc::new(objects);
        let running = coordinator::run(own, bus.clone(), Arc::clone(&objects), coordinator.shutdown.clone());
        coordinator.spawn("the coordinator", running);
        let services = start_services(settings, parts.handlers, parts.slots, gateway, &bus, Arc::clone(&objects))?;

        let address = Address { url, nats, pid: std::process::id() };
        let mut cluster = Self { address, bus: bus.clone(), objects, services, coordinator, ground, lock };
        tokio::select! {
            ready = answers(&bus) => ready?,
            error = cluster.ended() => return Err(error),
        }
        cluster.lock.announce(&cluster.address)?;
        Ok(cluster)
    }

    /// How it is reached.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// Where its objects are.
    pub fn objects(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.objects)
    }

    /// The connection.
    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Waits until a part ends by itself, which none ever should, and says which and why.
    pub async fn ended(&mut self) -> EmbeddedError {
        tokio::select! {
            error = self.services.ended() => error,
            error = self.coordinator.ended() => error,
            error = self.ground.ended() => error,
        }
    }

    /// Stops everything, in bounded time: first those who work, then those who hear what they did, then the ground.
    pub async fn stop(self) {
        self.services.stop().await;
        self.coordinator.stop().await;
        // Nothing is said on the bus any more, and the server may go.
        if let Err(error) = self.bus.client().drain().await {
            tracing::debug!(%error, "nats connection not drained");
        }
        self.ground.stop().await;
    }
}

/// Jobs at a time for each worker: as many as was said, else as many as there are cores, because rendering takes one a job.
fn slots(settings: &Settings) -> Result<NonZeroUsize, ConfigError> {
    if settings.is_given("worker", "concurrency") {
        return Ok(settings.section::<WorkerSettings>("worker")?.concurrency);
    }
    Ok(std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Waits until a coordinator answers questions, and with it everything that it needed itself.
pub(crate) async fn answers(bus: &Bus) -> Result<(), EmbeddedError> {
    let subject = messages::subject::user_query(&UserId::local(), "videos");
    let asking = async {
        while bus.request(&subject, "{}".into(), Duration::from_secs(1)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(READY, asking).await.map_err(|_| EmbeddedError::NotReady)
}

/// Tasks that stop together.
#[derive(Default)]
struct Part {
    shutdown: CancellationToken,
    tasks: JoinSet<(&'static str, Result<(), String>)>,
}

impl Part {
    fn spawn<E: std::error::Error>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.tasks.spawn(async move { (name, task.await.map_err(|error| sentence(&error))) });
    }

    async fn ended(&mut self) -> EmbeddedError {
        match self.tasks.join_next().await {
            Some(Ok((part, outcome))) => {
                EmbeddedError::Ended { part, reason: outcome.err().unwrap_or_else(|| "without a reason".to_owned()) }
            }
            Some(Err(panicked)) => EmbeddedError::Ended { part: "a part", reason: panicked.to_string() },
            None => std::future::pending().await,
        }
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        let stopping = async {
            while let Some(ended) = self.tasks.join_next().await {
                match ended {
                    Ok((_, Ok(()))) => {}
                    Ok((part, Err(reason))) => tracing::error!(part, reason, "stopped with an error"),
                    Err(panicked) => tracing::error!(%panicked, "stopped with a panic"),
                }
            }
        };
        if tokio::time::timeout(STOP, stopping).await.is_err() {
            tracing::warn!("some parts do not stop and are cut off");
        }
    }
}

/// The media tool that the settings name, once it has shown that it runs.
pub(crate) async fn media_tool(settings: &Settings) -> Result<MediaTool, EmbeddedError> {
    let media: MediaSettings = settings.section("media")?;
    let media = MediaTool { ffmpeg: media.ffmpeg, ffprobe: media.ffprobe };
    check(&media).await?;
    Ok(media)
}

/// Who does the work of each service in one process: one thread a job, and as many jobs as there are slots.
pub(crate) fn handlers(media: MediaTool) -> [(Service, Arc<dyn Handler>); 4] {
    [
        (Service::Planner, Arc::new(planner::handler())),
        (Service::Storyboard, Arc::new(storyboard::handler())),
        (Service::Chunk, Arc::new(chunk::handler(media.clone(), NonZeroUsize::MIN))),
        (Service::Refine, Arc::new(refine::handler(media))),
    ]
}

/// Both tools of ffmpeg, run once.
async fn check(media: &MediaTool) -> Result<(), EmbeddedError> {
    for tool in [&media.ffmpeg, &media.ffprobe] {
        let mut command = Command::new(tool);
        command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let reason = match tokio::time::timeout(VERSION, command.status()).await {
            Ok(Ok(status)) if status.success() => continue,
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("it does not say its version within {} s", VERSION.as_secs()),
        };
        return Err(EmbeddedError::Media { tool: tool.display().to_string(), reason });
    }
    Ok(())
}

/// The refusal to listen on an address.
pub fn not_listening(address: SocketAddr, error: &std::io::Error) -> EmbeddedError {
    EmbeddedError::Listen { address, reason: error.to_string() }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, EmbeddedError> {
    TcpListener::bind(address).await.map_err(|error| not_listening(address, &error))
}

/// Opens the objects of a data folder, with as much room as the settings give them.
pub(crate) async fn open_objects(
    folder: &DataFolder,
    key: &ObjectKey,
    settings: &Settings,
) -> Result<objects::Endpoint, EmbeddedError> {
    let StoreSettings { quota_mib } = settings.section("store")?;
    let endpoint = objects::Endpoint::open(objects::Settings {
        folder: folder.join("objects"),
        access_key_id: key.access_key_id.clone(),
        secret_access_key: key.secret_access_key.clone(),
        quota: Some(quota_mib.saturating_mul(1 << 20)).filter(|quota| *quota != 0),
    });
    Ok(endpoint.await?)
}

async fn start_objects(
    folder: &DataFolder,
    settings: &Settings,
    ground: &mut Part,
) -> Result<S3Objects, EmbeddedError> {
    let key = folder.object_key()?;
    let endpoint = open_objects(folder, &key, settings).await?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = listen(any).await?;
    let address = listener.local_addr().map_err(|error| not_listening(any, &error))?;
    let shutdown = ground.shutdown.clone();
    ground.spawn("the object store", async move {
        endpoint.serve(listener, shutdown).await;
        Ok::<_, std::convert::Infallible>(())
    });
    Ok(S3Objects::new(&S3Settings {
        endpoint: Some(format!("http://{address}")),
        public_endpoint: None,
        region: "us-east-1".to_owned(),
        bucket: "dailies".to_owned(),
        access_key_id: key.access_key_id,
        secret_access_key: key.secret_access_key.into(),
        path_style: true,
    }))
}

/// Starts the server and gives its URL.
async fn start_nats(
    folder: &DataFolder,
    settings: &Settings,
    port: u16,
    sync_always: bool,
    ground: &mut Part,
) -> Result<String, EmbeddedError> {
    let nats: NatsSettings = settings.section("nats")?;
    let server = NatsServerSettings {
        program: None,
        folder: folder.join("nats"),
        port: Some(port).filter(|port| *port != 0),
        storage_mib: nats.storage_mib,
        sync_always,
        member: None,
    };
    let server = NatsServer::start(&server).await?;
    let url = server.url();
    ground.spawn("nats-server", server.run_until(ground.shutdown.clone()));
    Ok(url)
}

fn start_services(
    settings: &Settings,
    handlers: [(Service, Arc<dyn Handler>); 4],
    slots: NonZeroUsize,
    gateway: TcpListener,
    bus: &Bus,
    objects: Arc<dyn ObjectStore>,
) -> Result<Part, EmbeddedError> {
    let mut services = Part::default();
    let shutdown = services.shutdown.clone();
    let threads = HandlerThreads::new("handler", slots.get() * handlers.len())?;
    for (service, handler) in handlers {
        let mut own: WorkerSettings = settings.section("worker")?;
        own.concurrency = slots;
        own.grace = own.grace.min(GRACE);
        let (threads, bus, objects, shutdown) = (threads.clone(), bus.clone(), objects.clone(), shutdown.clone());
        services.spawn(service.name(), worker::run(threads, own, bus, objects, handler, service, shutdown));
    }
    let own: gateway::config::Settings = settings.section("gateway")?;
    services.spawn("the gateway", gateway::serve(gateway, own, bus.clone(), objects, shutdown));
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_as_many_jobs_as_was_said_and_else_as_many_as_there_are_cores() {
        let mut settings = runtime::config::load(None).expect("the defaults are valid");
        let cores = std::thread::available_parallelism().expect("this machine counts its cores");
        assert_eq!(slots(&settings).expect("usable"), cores);
        let other = cores.saturating_add(1);
        settings.set("worker", "concurrency", other.to_string());
        assert_eq!(slots(&settings).expect("usable"), other);
    }
}
