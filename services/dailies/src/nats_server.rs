//! The `nats-server` of `dailies up`, or the three of `dailies cluster`: found, configured, started, restarted when it dies
//! or loses its files, and gone when we are.
//!
//! Boundary: one server on loopback, for one folder whose lock the caller holds. Invariant: no server outlives the
//! process that started it, and one that did (a `kill -9` on a system that cannot tell children) is ended before another
//! one opens the same store.

mod leftover;
mod program;
mod storage;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::backoff::Backoff;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use storage::Storage;

/// How long a server may take to open its store and answer.
const READY: Duration = Duration::from_secs(60);
/// How long a server may take to stop when asked.
const STOP: Duration = Duration::from_secs(10);
/// Starts in a row that may fail before it is hopeless.
const HOPELESS: u32 = 8;

/// What to start.
#[derive(Debug, Clone)]
pub struct NatsServerSettings {
    /// The program; none means `DAILIES_NATS_SERVER`, `PATH`, `.tools`.
    pub program: Option<PathBuf>,
    /// Where its store, settings and log go.
    pub folder: PathBuf,
    /// The port on loopback; none means a free one.
    pub port: Option<u16>,
    /// How much disk its streams may reserve, in MiB.
    pub storage_mib: u32,
    /// Whether every write waits for the disk. No promise rests on it: benchmarks show what it would cost.
    pub sync_always: bool,
    /// Its place in a cluster; none means that it is alone.
    pub member: Option<Member>,
}

/// A server's place in a cluster on this machine.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name, the same at every start: the others remember by it who has which copies.
    pub name: String,
    /// Where it listens for the others, on loopback.
    pub port: u16,
    /// Where all of them do.
    pub routes: Vec<u16>,
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum NatsServerError {
    /// None is installed.
    #[error(
        "nats-server was not found: run `./dev setup`, or install version 2.14 or newer and set DAILIES_NATS_SERVER"
    )]
    Missing,
    /// One was named that is not there or does not run.
    #[error("{} is not a nats-server that runs here: {reason}", program.display())]
    Unusable {
        /// The program.
        program: PathBuf,
        /// What happened.
        reason: String,
    },
    /// It lacks what the streams need.
    #[error("{} is version {version}, but 2.14 or newer is needed: run `./dev setup`, or set DAILIES_NATS_SERVER", program.display())]
    TooOld {
        /// The program.
        program: PathBuf,
        /// Its version.
        version: String,
    },
    /// Somebody else has the port.
    #[error("port {port} is taken: stop what listens there, or choose another one with --nats-port")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The data folder does not take its files.
    #[error("{} cannot be used", path.display())]
    Folder {
        /// Which file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It started and ended, or never answered.
    #[error("nats-server does not start ({reason}); its log is {}", log.display())]
    NotReady {
        /// What happened.
        reason: String,
        /// Where it says more.
        log: PathBuf,
    },
    /// A server of an earlier run cannot be ended.
    #[error("a nats-server of an earlier run (process {pid}) still holds the data folder and cannot be ended: end it")]
    Leftover {
        /// Its process.
        pid: i32,
    },
}

/// The program that a start without a named one takes.
pub async fn find() -> Result<PathBuf, NatsServerError> {
    program::find(None).await
}

/// A server that runs.
#[derive(Debug)]
pub struct NatsServer {
    program: PathBuf,
    files: Files,
    port: u16,
    limits: Limits,
    member: Option<Member>,
    child: Held,
}

/// How a server keeps its streams.
#[derive(Debug, Clone, Copy)]
struct Limits {
    storage_mib: u32,
    sync_always: bool,
}

impl NatsServer {
    /// Starts one and waits until it answers. A server that an earlier run left behind in the folder is ended first.
    pub async fn start(settings: &NatsServerSettings) -> Result<Self, NatsServerError> {
        let program = program::find(settings.program.as_deref()).await?;
        let files = Files::new(&settings.folder)?;
        leftover::end(&files.pid, &files.config).await?;
        let port = match settings.port {
            Some(port) => free(port).await?,
            None => free(0).await?,
        };
        let limits = Limits { storage_mib: settings.storage_mib, sync_always: settings.sync_always };
        let member = settings.member.clone();
        let child = launch(&program, &files, port, limits, member.as_ref()).await?;
        Ok(Self { program, files, port, limits, member, child })
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://{}:{}", Ipv4Addr::LOCALHOST, self.port)
    }

    /// The port alone.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Keeps it running until `shutdown` fires, then stops it. Ends earlier only when it cannot be started any more.
    pub async fn run_until(mut self, shutdown: CancellationToken) -> Result<(), NatsServerError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut failures = 0;
        let mut storage = Storage::new(self.url(), &self.files.store);
        loop {
            let lived_since = Instant::now();
            tokio::select! {
                ended = self.child.process.wait() => {
                    let ended = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                    tracing::error!(ended, "nats-server has died and is started again");
                }
                // Members of a cluster bring each other's files back.
                streams = storage.lost(), if self.member.is_none() => {
                    tracing::error!(?streams, "the files of nats-server were deleted, and it is started again");
                    // Asked to stop, it would write half of what it remembers where the files were.
                    self.child.kill().await;
                }
                () = shutdown.cancelled() => {
                    self.child.stop().await;
                    return Ok(());
                }
            }
            if lived_since.elapsed() > READY {
                failures = 0;
                backoff.reset();
            }
            self.child = loop {
                failures += 1;
                tokio::select! {
                    () = tokio::time::sleep(backoff.next_wait()) => {}
                    () = shutdown.cancelled() => return Ok(()),
                }
                // Not cut short by a stop: a server half started could only be killed, and nobody would wait for its end.
                match launch(&self.program, &self.files, self.port, self.limits, self.member.as_ref()).await {
                    Ok(child) => break child,
                    Err(error) if failures < HOPELESS => {
                        tracing::error!(error = %error, "nats-server could not be started again");
                    }
                    Err(error) => return Err(error),
                }
            };
        }
    }
}

/// What a server reads and writes.
#[derive(Debug, Clone)]
struct Files {
    config: PathBuf,
    store: PathBuf,
    pid: PathBuf,
    log: PathBuf,
}

impl Files {
    fn new(folder: &Path) -> Result<Self, NatsServerError> {
        let unusable = |path: &Path, source| NatsServerError::Folder { path: path.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(|error| unusable(folder, error))?;
        // The server resolves paths against its own working folder.
        let folder = folder.canonicalize().map_err(|error| unusable(folder, error))?;
        Ok(Self {
            config: folder.join("nats-server.conf"),
            store: folder.join("jetstream"),
            pid: folder.join("nats-server.pid"),
            log: folder.join("nats-server.log"),
        })
    }

    /// The server's settings.
    fn write(&self, name: &str, port: u16, limits: Limits, member: Option<&Member>) -> Result<(), NatsServerError> {
        let quoted = |path: &Path| {
            let text = path.display().to_string();
            format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
        };
        let text = format!(
            "# Written by `dailies` at every start.\n\
             server_name: {name}\n\
             host: {host}\n\
             port: {port}\n\
             pid_file: {pid}\n\
             log_file: {log}\n\
             logfile_size_limit: 10MB\n\
             logfile_max_num: 3\n\
             jetstream {{\n  store_dir: {store}\n  max_file_store: {max_file_store}MB\n  max_memory_store: 64MB\n{sync}}}\n\
             {cluster}",
            host = Ipv4Addr::LOCALHOST,
            pid = quoted(&self.pid),
            log = quoted(&self.log),
            store = quoted(&self.store),
            // Some more than our streams reserve, for what others may try out on it.
            max_file_store = u64::from(limits.storage_mib) * 5 / 4 + 64,
            sync = if limits.sync_always { "  sync_interval: always\n" } else { "" },
            cluster = member.map(Member::settings).unwrap_or_default(),
        );
        std::fs::write(&self.config, text)
            .map_err(|source| NatsServerError::Folder { path: self.config.clone(), source })
    }
}

impl Member {
    /// Its part of the server's settings.
    fn settings(&self) -> String {
        let host = Ipv4Addr::LOCALHOST;
        let routes: Vec<_> = self.routes.iter().map(|port| format!("nats-route://{host}:{port}")).collect();
        let (port, routes) = (self.port, routes.join(", "));
        format!("cluster {{\n  name: dailies\n  host: {host}\n  port: {port}\n  routes: [{routes}]\n}}\n")
    }
}

/// A child with the thread that started it. Linux ends a child together with the *thread* that started it, so that thread
/// must live as long as the child: threads of a runtime come and go.
#[derive(Debug)]
struct Held {
    process: Child,
    _starter: std::sync::mpsc::Sender<()>,
}

impl Held {
    async fn start(program: &Path, files: &Files) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command.arg("--config").arg(&files.config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Its own group: Ctrl-C on a terminal reaches us alone, and we stop it after those who use it.
        command.process_group(0);
        runtime::child::end_with_us(&mut command);
        let (started, starting) = tokio::sync::oneshot::channel();
        let (starter, released) = std::sync::mpsc::channel::<()>();
        let runtime = tokio::runtime::Handle::current();
        std::thread::Builder::new().name("nats-server".to_owned()).spawn(move || {
            let child = {
                let _inside = runtime.enter();
                command.spawn()
            };
            if started.send(child).is_ok() {
                // Ends with an error when the sender is dropped, which is the signal.
                let _ = released.recv();
            }
        })?;
        let process = starting.await.map_err(std::io::Error::other)??;
        Ok(Self { process, _starter: starter })
    }

    /// Asks it to stop, waits, then makes it.
    async fn stop(&mut self) {
        if let Some(pid) = self.process.id().and_then(|pid| i32::try_from(pid).ok()) {
            // It may have ended by itself a moment ago.
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        if tokio::time::timeout(STOP, self.process.wait()).await.is_err() {
            tracing::warn!("nats-server does not stop when asked and is killed");
            self.kill().await;
        }
    }

    async fn kill(&mut self) {
        if let Err(error) = self.process.kill().await {
            tracing::error!(error = %error, "nats-server could not be killed");
        }
    }
}

/// Starts a server and waits until it is the one that answers on the port.
async fn launch(
    program: &Path,
    files: &Files,
    port: u16,
    limits: Limits,
    member: Option<&Member>,
) -> Result<Held, NatsServerError> {
    let unique = || format!("dailies-{}", &uuid::Uuid::new_v4().simple().to_string()[..12]);
    let name = member.map_or_else(unique, |member| member.name.clone());
    files.write(&name, port, limits, member)?;
    let mut child = Held::start(program, files)
        .await
        .map_err(|error| NatsServerError::Unusable { program: program.to_path_buf(), reason: error.to_string() })?;
    let not_ready = |reason: String| NatsServerError::NotReady { reason, log: files.log.clone() };
    let deadline = Instant::now() + READY;
    loop {
        let pause = tokio::time::sleep(Duration::from_millis(20));
        tokio::select! {
            ended = child.process.wait() => {
                let ended = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
                // Between our look at the port and its own somebody may have taken it.
                free(port).await?;
                return Err(not_ready(last_words(&files.log).unwrap_or(ended)));
            }
            () = pause => {}
        }
        match greeting(port).await {
            Ok(Some(greeted)) if greeted == name => return Ok(child),
            Ok(Some(_)) => {
                child.stop().await;
                return Err(NatsServerError::PortTaken { port });
            }
            Ok(None) | Err(_) if Instant::now() < deadline => {}
            Ok(None) | Err(_) => {
                child.stop().await;
                return Err(not_ready(format!("it did not answer within {} s", READY.as_secs())));
            }
        }
    }
}

/// The name of the server that answers on a port, once its JetStream is up.
async fn greeting(port: u16) -> std::io::Result<Option<String>> {
    let asking = async {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await?;
        let info = line.strip_prefix("INFO ").and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
        let info = info.unwrap_or_default();
        let ready = info["jetstream"].as_bool() == Some(true);
        Ok(info["server_name"].as_str().filter(|_| ready).map(str::to_owned))
    };
    tokio::time::timeout(Duration::from_secs(2), asking).await.map_err(std::io::Error::other)?
}

/// A port that nobody listens on: this one, or any when it is 0.
async fn free(port: u16) -> Result<u16, NatsServerError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|_| NatsServerError::PortTaken { port })
}

/// What the server complained of last.
fn last_words(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().rev().find(|line| line.contains("[FTL]") || line.contains("[ERR]"))?;
    line.split_once("] ").map(|(_, words)| words.rsplit_once("] ").map_or(words, |(_, last)| last).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use async_nats::jetstream::stream::{self, StorageType};

    use super::*;

    fn settings(folder: &Path) -> NatsServerSettings {
        NatsServerSettings {
            program: None,
            folder: folder.to_path_buf(),
            port: None,
            storage_mib: 64,
            sync_always: false,
            member: None,
        }
    }

    async fn until_dead(pid: u32) {
        let gone = async {
            while tokio::fs::read(format!("/proc/{pid}/cmdline")).await.is_ok_and(|line| !line.is_empty()) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), gone).await.expect("the server ends");
    }

    async fn another_than(name: Option<&str>, port: u16) {
        let again = async {
            loop {
                match greeting(port).await {
                    Ok(Some(other)) if Some(other.as_str()) != name => break,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), again).await.expect("another one answers");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_answers_is_restarted_when_it_dies_and_stops_when_asked() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = NatsServer::start(&settings(folder.path())).await.expect("nats-server starts");
        let (port, first) = (server.port(), server.child.process.id().expect("it runs"));
        assert_eq!(server.url(), format!("nats://127.0.0.1:{port}"));

        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run_until(shutdown.clone()));
        let name = greeting(port).await.expect("it answers");
        kill(Pid::from_raw(i32::try_from(first).expect("a process id")), Signal::SIGKILL).expect("it was there");
        another_than(name.as_deref(), port).await;

        shutdown.cancel();
        running.await.expect("it does not panic").expect("it stops as asked");
        free(port).await.expect("nobody listens any more");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_whose_files_are_deleted_under_it_is_started_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let server = NatsServer::start(&settings(folder.path())).await.expect("nats-server starts");
        let (url, port, store) = (server.url(), server.port(), server.files.store.clone());
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run_until(shutdown.clone()));
        let name = greeting(port).await.expect("it answers");
        let jetstream = async_nats::jetstream::new(async_nats::connect(&url).await.expect("it takes us"));
        let stream = async |name: &str, storage| {
            let config = stream::Config { name: name.to_owned(), storage, ..stream::Config::default() };
            jetstream.create_stream(config).await.expect("it takes streams")
        };
        stream("IN_MEMORY", StorageType::Memory).await;
        stream("DELETED", StorageType::File).await;
        stream("KEPT", StorageType::File).await;
        let mut storage = Storage::new(url, &store);
        jetstream.delete_stream("DELETED").await.expect("it was there");
        assert!(storage.missing().await.is_empty(), "of a stream that nobody wants nothing is missing");

        // One deeper than the folder that we name: it stays, what is in it goes.
        std::fs::remove_dir_all(store.join("jetstream")).expect("it was there");
        assert_eq!(storage.missing().await, BTreeSet::from(["KEPT".to_owned()]));
        another_than(name.as_deref(), port).await;
        stream("KEPT", StorageType::File).await;
        assert!(storage.missing().await.is_empty(), "it is there again");

        shutdown.cancel();
        running.await.expect("it does not panic").expect("it stops as asked");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_was_left_behind_is_ended_before_another_opens_the_store() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = NatsServer::start(&settings(folder.path())).await.expect("nats-server starts");
        let left_behind = first.child.process.id().expect("it runs");
        let second = NatsServer::start(&settings(folder.path())).await.expect("nats-server starts again");
        until_dead(left_behind).await;
        assert!(greeting(second.port()).await.expect("it answers").is_some());
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        second.run_until(shutdown).await.expect("it stops as asked");
        drop(first);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stranger_with_the_number_of_an_old_server_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut stranger = Command::new("sleep").arg("600").kill_on_drop(true).spawn().expect("sleep starts");
        let pid = stranger.id().expect("it runs");
        std::fs::write(folder.path().join("nats-server.pid"), pid.to_string()).expect("written");
        let server = NatsServer::start(&settings(folder.path())).await.expect("nats-server starts");
        assert!(stranger.try_wait().expect("a child").is_none(), "the stranger was ended");
        drop(server);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_taken_port_is_named_with_the_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = taken.local_addr().expect("an address").port();
        let settings = NatsServerSettings { port: Some(port), ..settings(folder.path()) };
        let error = NatsServer::start(&settings).await.expect_err("the port is taken").to_string();
        assert!(error.contains(&port.to_string()) && error.contains("--nats-port"), "{error}");
    }
}
