//! A NATS server per test, an object store in memory, a coordinator that writes down what it hears, and scripted handlers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use messages::artifact::{ArtifactKey, Content, Digest, Made, MediaType, ObjectRef};
use messages::chunk::{ChunkWork, StitchFilm};
use messages::codec;
use messages::id::{BranchName, CheckpointId, JobId, UserId, VideoId};
use messages::job::{
    Claim, ClaimReply, DeadLetter, Done, Failed, Job, Outcome as _, Recorded, Report, Returned, Submitted, Work,
};
use messages::money::Usd;
use messages::phase::Phase;
use messages::refine::{MakeThumbnail, RefineWork};
use messages::service::Service;
use messages::spec::Size;
use messages::subject::{self, Partition};
use runtime::artifacts::{ObjectError, ObjectMeta, ObjectStore, PutOnce};
use runtime::bus::{Bus, NatsSettings};
use runtime::job_error::JobError;
use runtime::worker::{self, Handler, HandlerThreads, Outcome, Task, WorkerSettings};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

/// The longest that any state is waited for.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until `state` gives something, or fails the test with `what`.
pub async fn until<T>(what: &str, mut state: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(found) = state().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("waited {SOON:?} in vain: {what}"))
}

/// A `nats-server` with a store of its own.
pub struct Server {
    child: Option<Child>,
    program: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

impl Server {
    pub async fn start() -> Self {
        let program = program().expect(
            "nats-server was not found: install 2.14 or newer, put it on PATH or name it in DAILIES_NATS_SERVER",
        );
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { child: None, program, folder, port: 0 };
        server.launch("-1".to_owned()).await;
        server
    }

    async fn launch(&mut self, port: String) {
        let ports = self.folder.path().join("ports");
        // Half a file of an earlier server must not be read.
        let _ = std::fs::remove_dir_all(&ports);
        std::fs::create_dir(&ports).expect("a folder");
        let mut command = Command::new(&self.program);
        command.args(["-a", "127.0.0.1", "-p", &port, "-js"]);
        command.arg("-sd").arg(self.folder.path().join("store")).arg("--ports_file_dir").arg(&ports);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        runtime::child::end_with_us(&mut command);
        self.child = Some(command.spawn().expect("nats-server starts"));
        self.port = until("nats-server says its port", async || read_port(&ports)).await;
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Kills the server outright.
    pub async fn kill(&mut self) {
        self.child.take().expect("it runs").kill().await.expect("it can be killed");
    }

    /// Throws away all that it stored.
    pub fn wipe(&self) {
        std::fs::remove_dir_all(self.folder.path().join("store")).expect("there is a store");
    }

    /// Starts it again on its port.
    pub async fn again(&mut self) {
        self.launch(self.port.to_string()).await;
    }

    pub fn settings(&self) -> NatsSettings {
        NatsSettings { storage_mib: 64, ..NatsSettings::for_url(&self.url()) }
    }

    pub async fn bus(&self) -> Bus {
        Bus::connect(&self.settings()).await.expect("the server is there")
    }
}

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("DAILIES_NATS_SERVER").filter(|name| !name.is_empty()).map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join("nats-server")).find(|file| file.is_file());
    named.or(found)
}

fn read_port(ports: &Path) -> Option<u16> {
    let file = std::fs::read_dir(ports).ok()?.flatten().next()?.path();
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit_once(':')?.1.parse().ok()
}

/// Objects in memory.
#[derive(Debug, Default)]
pub struct Memory {
    pub objects: Mutex<HashMap<String, Vec<u8>>>,
    pub away: AtomicBool,
}

impl Memory {
    fn check(&self) -> Result<(), ObjectError> {
        if self.away.load(Ordering::SeqCst) {
            return Err(ObjectError::Unavailable { action: "read", source: "it is switched off".into() });
        }
        Ok(())
    }

    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.objects.lock().expect("not poisoned").get(key).cloned()
    }

    pub fn write(&self, key: &str, bytes: Vec<u8>) {
        self.objects.lock().expect("not poisoned").insert(key.to_owned(), bytes);
    }
}

#[async_trait]
impl ObjectStore for Memory {
    async fn put_file(&self, key: &str, file: &Path, _: &ObjectMeta) -> Result<(), ObjectError> {
        self.check()?;
        self.write(key, std::fs::read(file).map_err(ObjectError::Scratch)?);
        Ok(())
    }

    async fn put_once(&self, key: &str, bytes: Vec<u8>, _: &ObjectMeta) -> Result<PutOnce, ObjectError> {
        self.check()?;
        if self.read(key).is_some() {
            return Ok(PutOnce::AlreadyThere);
        }
        self.write(key, bytes);
        Ok(PutOnce::Stored)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        self.check()?;
        Ok(self.read(key))
    }

    async fn get_file(&self, key: &str, file: &Path) -> Result<Digest, ObjectError> {
        self.check()?;
        let bytes = self.read(key).ok_or_else(|| ObjectError::NotFound(key.to_owned()))?;
        std::fs::write(file, &bytes).map_err(ObjectError::Scratch)?;
        Ok(Digest::of(&bytes))
    }

    async fn link(&self, key: &str, _: Duration) -> Result<String, ObjectError> {
        Ok(key.to_owned())
    }

    async fn delete(&self, _: &str) -> Result<(), ObjectError> {
        Ok(())
    }

    async fn delete_prefix(&self, _: &str) -> Result<u64, ObjectError> {
        Ok(0)
    }
}

/// What a worker said.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Claim(Claim),
    Submitted(Submitted),
    Done(Done),
    Failed(Failed),
    Returned,
}

/// A coordinator that commits everything and writes it down.
pub struct Coordinator {
    heard: Arc<Mutex<Vec<(JobId, Said)>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Coordinator {
    /// Listens from now on; claims are granted.
    pub async fn listen(bus: &Bus) -> Self {
        Self::with_claims(bus, vec![ClaimReply::Granted]).await
    }

    /// Listens from now on; claims are answered with these in turn, the last for ever.
    pub async fn with_claims(bus: &Bus, mut replies: Vec<ClaimReply>) -> Self {
        let heard: Arc<Mutex<Vec<(JobId, Said)>>> = Arc::default();
        let mut reports = bus.client().subscribe("coordinator.*.*").await.expect("subscribed");
        bus.client().flush().await.expect("flushed");
        let (writing, client) = (heard.clone(), bus.client().clone());
        let listening = tokio::spawn(async move {
            while let Some(message) = reports.next().await {
                let name = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
                let recorded = codec::encode(&Recorded::Recorded).expect("written");
                let (said, reply) = match name.as_str() {
                    Claim::NAME => {
                        let reply = if replies.len() > 1 { replies.remove(0) } else { replies[0].clone() };
                        (of(&message.payload, Said::Claim), codec::encode(&reply).expect("written"))
                    }
                    Submitted::NAME => (of(&message.payload, Said::Submitted), recorded),
                    Done::NAME => (of(&message.payload, Said::Done), recorded),
                    Failed::NAME => (of(&message.payload, Said::Failed), recorded),
                    Returned::NAME => (of(&message.payload, |Returned {}| Said::Returned), recorded),
                    other => panic!("nobody says `{other}`"),
                };
                writing.lock().expect("not poisoned").push(said);
                let to = message.reply.expect("reports are requests");
                client.publish(to, reply.into()).await.expect("answered");
            }
        });
        Self { heard, listening }
    }

    /// Listens no more.
    pub async fn leave(&mut self) {
        self.listening.abort();
        // It is gone when its subscription is.
        let _ = (&mut self.listening).await;
    }

    /// All that was said so far.
    pub fn heard(&self) -> Vec<(JobId, Said)> {
        self.heard.lock().expect("not poisoned").clone()
    }

    /// What was said about one job so far.
    pub fn about(&self, job: &Job) -> Vec<Said> {
        self.heard().into_iter().filter(|(id, _)| *id == job.id).map(|(_, said)| said).collect()
    }

    /// Waits until a job is over.
    pub async fn end_of(&self, job: &Job) -> Said {
        let over = |said: &Said| matches!(said, Said::Done(_) | Said::Failed(_) | Said::Returned);
        until("the worker reports the job", async || self.about(job).into_iter().find(over)).await
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

fn of<T: serde::de::DeserializeOwned>(bytes: &[u8], said: impl Fn(T) -> Said) -> (JobId, Said) {
    let report: Report<T> = codec::decode(bytes).expect("a report");
    (report.job, said(report.outcome))
}

/// A job of the refine service; another number is another job.
pub fn job(number: u32) -> Job {
    let video: VideoId = "vid-0195f0a0-1111-7000-8000-000000000001".parse().expect("valid");
    let checkpoint = CheckpointId::derived(video, &BranchName::main(), Phase::Refine, 1);
    let film = ObjectRef { key: "film".into(), sha256: Digest::of(b"film"), size: 4, media_type: MediaType::Mp4 };
    Job {
        id: JobId { checkpoint, artifact: ArtifactKey::Thumbnail, version: number },
        attempt: 1,
        send: 1,
        user: UserId::local(),
        video,
        partition: Partition::of(video),
        prefix: "local/videos/v/main/cp/".into(),
        deadline_s: 60,
        price: Usd::ZERO,
        trace: None,
        planned_at: None,
        work: Work::Refine(Box::new(RefineWork::Thumbnail(MakeThumbnail { film, duration_s: 5.0 }))),
    }
}

/// What the handlers of these tests make of a job.
pub fn made(job: &Job) -> Vec<Made> {
    let sha256 = Digest::of(job.id.to_string().as_bytes());
    let object = ObjectRef { key: job.id.to_string(), sha256, size: 1, media_type: MediaType::Jpeg };
    vec![Made { key: job.id.artifact, content: Content::Object(object), metadata: serde_json::Map::new() }]
}

/// What is reported of a job that went well.
pub fn done(job: &Job) -> Said {
    Said::Done(Done { made: made(job), spent: Vec::new() })
}

/// Puts bytes where a job would be.
pub async fn send_bytes(bus: &Bus, job: &Job, bytes: Vec<u8>) {
    let to = subject::job(Service::Refine, &job.user, job.video, job.id);
    bus.publish(to, async_nats::HeaderMap::new(), bytes.into(), None).await.expect("the queue takes it");
}

pub async fn send(bus: &Bus, job: &Job) {
    send_bytes(bus, job, codec::encode(job).expect("written")).await;
}

type Script = dyn for<'a> Fn(&'a Task) -> BoxFuture<'a, Result<Outcome, JobError>> + Send + Sync;

/// A handler that counts its calls and does as it is told.
pub struct Scripted {
    calls: AtomicUsize,
    script: Box<Script>,
}

impl Scripted {
    pub fn new(
        script: impl for<'a> Fn(&'a Task) -> BoxFuture<'a, Result<Outcome, JobError>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { calls: AtomicUsize::new(0), script: Box::new(script) })
    }

    /// Makes what is ordered at once.
    pub fn quick() -> Arc<Self> {
        Self::new(|task| Box::pin(async { Ok(made(&task.job).into()) }))
    }

    /// Works until it is told to stop.
    pub fn endless() -> Arc<Self> {
        Self::new(|task| {
            Box::pin(async {
                task.cancelled.cancelled().await;
                Err(JobError::Cancelled)
            })
        })
    }

    /// Makes what is ordered when the gate opens.
    pub fn behind(gate: &CancellationToken) -> Arc<Self> {
        let gate = gate.clone();
        Self::new(move |task| {
            let gate = gate.clone();
            Box::pin(async move {
                gate.cancelled().await;
                Ok(made(&task.job).into())
            })
        })
    }

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until it has been called so often.
    pub async fn called(&self, times: usize) {
        until("the handler is called", async || (self.calls() >= times).then_some(())).await;
    }
}

/// A handler that its test looks at while it works.
struct Shared(Arc<Scripted>);

#[async_trait]
impl Handler for Shared {
    async fn handle(&self, task: &Task) -> Result<Outcome, JobError> {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        (self.0.script)(task).await
    }
}

/// A replica of the refine service. One that is not stopped goes with its test.
pub struct Worker {
    pub shutdown: CancellationToken,
    running: tokio::task::JoinHandle<Result<(), worker::WorkerError>>,
}

impl Worker {
    pub fn start(bus: &Bus, objects: &Arc<Memory>, handler: &Arc<Scripted>) -> Self {
        Self::start_with(bus, objects, handler, 1, SOON)
    }

    pub fn start_with(
        bus: &Bus,
        objects: &Arc<Memory>,
        handler: &Arc<Scripted>,
        concurrency: usize,
        grace: Duration,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let settings = WorkerSettings { concurrency: concurrency.try_into().expect("not zero"), grace };
        let threads = HandlerThreads::new("handler", concurrency).expect("there are threads");
        let running = tokio::spawn(worker::run(
            threads,
            settings,
            bus.clone(),
            objects.clone(),
            Arc::new(Shared(handler.clone())),
            Service::Refine,
            shutdown.clone(),
        ));
        Self { shutdown, running }
    }

    /// Asks it to stop and waits until it has.
    pub async fn stop(self) {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(SOON + SOON, self.running).await.expect("it stops in time");
        ended.expect("it does not panic").expect("it stops without an error");
    }
}

/// A server with streams, a store and a coordinator.
pub struct Scene {
    pub server: Server,
    pub bus: Bus,
    pub objects: Arc<Memory>,
    pub coordinator: Coordinator,
}

impl Scene {
    pub async fn set() -> Self {
        let server = Server::start().await;
        let bus = server.bus().await;
        bus.ensure_streams().await.expect("the streams are made");
        let coordinator = Coordinator::listen(&bus).await;
        Self { server, bus, objects: Arc::default(), coordinator }
    }

    /// Waits until the queue has forgotten all jobs.
    pub async fn queue_is_empty(&self) {
        until("the queue is empty", async || (queued(&self.bus).await == 0).then_some(())).await;
    }

    /// Waits for the first dead letter of the refine service.
    pub async fn dead_letter(&self) -> DeadLetter {
        until("a dead letter", async || {
            let stream = self.bus.jetstream().get_stream(subject::DEAD_LETTERS).await.ok()?;
            let letter = stream.get_last_raw_message_by_subject(&subject::dead("refine")).await.ok()?;
            serde_json::from_slice(&letter.payload).ok()
        })
        .await
    }
}

/// Jobs in the queue, running ones included.
pub async fn queued(bus: &Bus) -> u64 {
    let stream = bus.jetstream().get_stream(subject::JOBS).await.expect("there is a queue");
    stream.cached_info().state.messages
}

/// Work for another service than refine.
pub fn other_work() -> Work {
    let size = Size { width: 1280, height: 720 };
    let film = StitchFilm { chunks: Vec::new(), transitions: Vec::new(), size, fps: 30, duration_s: 5.0 };
    Work::Chunk(Box::new(ChunkWork::Stitch(film)))
}
