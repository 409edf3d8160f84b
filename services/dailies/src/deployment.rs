//! `dailies cluster`: the topology of a deployment as processes of one machine. Three NATS nodes, PostgreSQL, an S3
//! endpoint, and replicas of every service, each the program that an image would run.
//!
//! Boundary: starts, watches and stops; it decides nothing that services decide. Invariant: whoever holds the data
//! folder's lock is the one process that all others belong to. None outlives it, so a deployment that was killed is one
//! whose folder nobody owns.

mod database;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::bus::{Bus, BusError, NatsSettings};
use runtime::config::{ConfigError, Settings};
use runtime::service::sentence;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::arguments::{Cluster, Reach};
use crate::data_folder::{Address, DataError, DataFolder, Lock};
use crate::downloads::shown;
use crate::embedded::{EmbeddedError, answers, media_tool, not_listening, open_objects};
use crate::nats_server::{Member, NatsServer, NatsServerError, NatsServerSettings};
use crate::postgres_server::PostgresServerError;
use crate::processes::{self, ProcessError, Processes};
use crate::program;
use crate::screen::{Paint, Screen};

/// Nodes of the NATS cluster: two of three are a majority.
const NODES: usize = 3;
/// How much longer than their own grace services are waited for.
const BEYOND_GRACE: Duration = Duration::from_secs(10);
/// How long `stop` waits for the owner to stop everything, and then for the system to end what it left.
const STOP: Duration = Duration::from_secs(90);
/// Where the environment of another process stands, in the data folder.
const ENVIRONMENT: &str = "cluster.env";

/// Why there is no deployment.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    /// The data folder.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// NATS.
    #[error(transparent)]
    NatsServer(#[from] NatsServerError),
    /// The streams.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] PostgresServerError),
    /// The objects, the media tool, or a coordinator that does not answer.
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),
    /// A service.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The tables.
    #[error("the database is not brought up to date: {0}")]
    Migration(String),
    /// A file.
    #[error("{} cannot be written", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Something that all rest on has ended.
    #[error("{part} has stopped: {reason}")]
    Ended {
        /// What.
        part: String,
        /// Why.
        reason: String,
    },
    /// Nobody owns the folder.
    #[error("no cluster runs in {0}")]
    NotRunning(String),
    /// The owner does not end.
    #[error("process {pid}, which runs the cluster, does not end: end it with kill -9 {pid}")]
    NotStopped {
        /// Its number.
        pid: i32,
    },
}

/// Runs a deployment until `shutdown` fires or something that all rest on ends.
pub async fn run(
    arguments: &Cluster,
    reach: &Reach,
    folder: &DataFolder,
    settings: &Settings,
    shutdown: &CancellationToken,
) -> Result<(), DeploymentError> {
    let mut screen = Screen::stdout();
    let keyed = settings.section::<gateway::config::Settings>("gateway")?.keys.is_some();
    let mut starting = Deployment::new(folder, settings)?;
    let started = tokio::select! {
        started = starting.start(arguments, reach, folder, settings) => started,
        () = shutdown.cancelled() => {
            starting.stop().await;
            return Ok(());
        }
    };
    let address = match started {
        Ok(address) => address,
        Err(error) => {
            starting.stop().await;
            return Err(error);
        }
    };
    screen.print(&greeting(&address, keyed, &folder.join(ENVIRONMENT), &starting.logs, screen.paint));
    let ended = starting.watch(&mut screen, shutdown).await;
    screen.print("stopping; the data stays, and the next `cluster` goes on where this one was");
    starting.stop().await;
    ended
}

/// Ends the deployment that runs in a folder, and waits until nothing of it is left.
pub async fn stop(folder: &DataFolder) -> Result<(), DeploymentError> {
    let pid = match folder.lock() {
        Ok(_) => return Err(DeploymentError::NotRunning(folder.path().display().to_string())),
        Err(DataError::InUse { folder, pid }) => pid.parse().map_err(|_| DataError::InUse { folder, pid })?,
        Err(error) => return Err(error.into()),
    };
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        // It may end between the look and the signal.
        let _ = kill(Pid::from_raw(pid), signal);
        let deadline = Instant::now() + STOP;
        while Instant::now() < deadline {
            if folder.lock().is_ok() {
                Screen::stdout().print("stopped; the data stays");
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    Err(DeploymentError::NotStopped { pid })
}

/// What runs.
struct Deployment {
    services: Processes,
    logs: PathBuf,
    /// How long services may take to stop.
    patience: Duration,
    /// NATS, PostgreSQL and the objects.
    ground: JoinSet<(String, Result<(), String>)>,
    stop_ground: CancellationToken,
    lock: Lock,
}

impl Deployment {
    /// Nothing yet, in a folder that is ours from now on.
    fn new(folder: &DataFolder, settings: &Settings) -> Result<Self, DeploymentError> {
        let lock = folder.lock()?;
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|source| DeploymentError::File { path: logs.clone(), source })?;
        let worker: runtime::worker::WorkerSettings = settings.section("worker")?;
        Ok(Self {
            services: Processes::new(logs.clone()),
            logs,
            patience: worker.grace + BEYOND_GRACE,
            ground: JoinSet::new(),
            stop_ground: CancellationToken::new(),
            lock,
        })
    }

    /// Starts everything in the order in which it needs each other, and returns when films can be made.
    async fn start(
        &mut self,
        arguments: &Cluster,
        reach: &Reach,
        folder: &DataFolder,
        settings: &Settings,
    ) -> Result<Address, DeploymentError> {
        // What a person can put right is found out first.
        processes::check_built()?;
        media_tool(settings).await?;
        let nats: NatsSettings = settings.section("nats")?;
        let urls = self.start_nats(folder, arguments.nats_port, nats.storage_mib).await?;
        let objects = self.start_objects(folder, settings).await?;
        let database = self.start_postgres(folder).await?;

        let ours = NatsSettings { replicas: NODES, storage_mib: nats.storage_mib, ..NatsSettings::for_url(&urls) };
        let bus = Bus::connect(&ours).await?;
        bus.ensure_streams_patiently(&self.stop_ground).await?;

        let mut environment = vec![
            ("DAILIES_NATS__URL".to_owned(), urls.clone()),
            ("DAILIES_NATS__REPLICAS".to_owned(), NODES.to_string()),
            ("DAILIES_NATS__STORAGE_MIB".to_owned(), nats.storage_mib.to_string()),
            ("DAILIES_COORDINATOR__DATABASE".to_owned(), database),
        ];
        environment.extend(objects);
        if let Some(config) = &reach.config {
            let path =
                config.canonicalize().map_err(|source| DeploymentError::File { path: config.clone(), source })?;
            environment.push(("DAILIES_CONFIG".to_owned(), path.display().to_string()));
        }

        let url = self.start_services(arguments, &environment).await?;
        answers(&bus).await?;
        write_environment(&folder.join(ENVIRONMENT), &environment)?;
        let first = urls.split(',').next().unwrap_or_default().to_owned();
        let address = Address { url, nats: first, pid: std::process::id() };
        self.lock.announce(&address)?;
        Ok(address)
    }

    /// Three nodes, on ports in a row or on free ones; gives their URLs.
    async fn start_nats(
        &mut self,
        folder: &DataFolder,
        port: u16,
        storage_mib: u32,
    ) -> Result<String, DeploymentError> {
        let mut routes = Vec::new();
        for _ in 0..NODES {
            routes.push(free_port().await?);
        }
        let mut starting = Vec::new();
        for node in 0..NODES {
            let place = u16::try_from(node).unwrap_or_default();
            let name = format!("nats-{}", node + 1);
            let settings = NatsServerSettings {
                program: None,
                folder: folder.join(&name),
                port: (port != 0).then(|| port.saturating_add(place)),
                sync_always: false,
                storage_mib,
                member: Some(Member { name, port: routes[node], routes: routes.clone() }),
            };
            starting.push(async move { NatsServer::start(&settings).await });
        }
        let servers = futures::future::try_join_all(starting).await?;
        let urls: Vec<_> = servers.iter().map(NatsServer::url).collect();
        for (node, server) in servers.into_iter().enumerate() {
            let running = server.run_until(self.stop_ground.clone());
            self.ground.spawn(async move {
                let name = format!("node {} of NATS", node + 1);
                (name, running.await.map_err(|error| error.to_string()))
            });
        }
        Ok(urls.join(","))
    }

    /// The database, with its tables up to date; gives its URL.
    async fn start_postgres(&mut self, folder: &DataFolder) -> Result<String, DeploymentError> {
        let server = database::start(folder).await?;
        let url = server.url("postgres");
        let running = database::keep(server, self.stop_ground.clone());
        self.ground.spawn(async move { ("PostgreSQL".to_owned(), running.await.map_err(|error| sentence(&error))) });
        database::migrate(&url).await?;
        Ok(url)
    }

    /// The S3 endpoint; gives the settings that lead to it.
    async fn start_objects(
        &mut self,
        folder: &DataFolder,
        settings: &Settings,
    ) -> Result<Vec<(String, String)>, DeploymentError> {
        let key = folder.object_key()?;
        let endpoint = open_objects(folder, &key, settings).await?;
        let (listener, address) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let shutdown = self.stop_ground.clone();
        self.ground.spawn(async move {
            endpoint.serve(listener, shutdown).await;
            ("the object store".to_owned(), Ok(()))
        });
        Ok(vec![
            ("DAILIES_OBJECTS__ENDPOINT".to_owned(), format!("http://{address}")),
            ("DAILIES_OBJECTS__ACCESS_KEY_ID".to_owned(), key.access_key_id),
            ("DAILIES_OBJECTS__SECRET_ACCESS_KEY".to_owned(), key.secret_access_key),
        ])
    }

    /// Replicas of every service; gives the URL of the first gateway.
    async fn start_services(
        &mut self,
        arguments: &Cluster,
        environment: &[(String, String)],
    ) -> Result<String, DeploymentError> {
        // A port that is taken is found out here and not in a log.
        let (listener, first) = listen(arguments.listen).await?;
        drop(listener);
        for service in processes::SERVICES {
            for replica in 1..=usize::from(arguments.replicas_of(service)) {
                let mut environment = environment.to_vec();
                if service == "gateway" {
                    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                    let address = if replica == 1 { first } else { free };
                    environment.push(("DAILIES_GATEWAY__ADDRESS".to_owned(), address.to_string()));
                }
                self.services.start(service, replica, &environment)?;
            }
        }
        Ok(format!("http://{first}"))
    }

    /// Waits for a stop. A service that ends is told of and not started again: that is for whoever plays with it. What all rest
    /// on is, by whoever keeps it; here it only ends when that was in vain.
    async fn watch(&mut self, screen: &mut Screen, shutdown: &CancellationToken) -> Result<(), DeploymentError> {
        loop {
            tokio::select! {
                (process, how) = self.services.ended() => {
                    let log = self.services.log(process.service, process.replica);
                    let line = format!("{} {} has ended ({how}); its log is {}", process.service, process.replica, shown(&log));
                    screen.print(&line);
                }
                Some(ended) = self.ground.join_next() => {
                    let (part, outcome) = ended.unwrap_or_else(|error| ("a part".to_owned(), Err(error.to_string())));
                    let reason = outcome.err().unwrap_or_else(|| "without a reason".to_owned());
                    return Err(DeploymentError::Ended { part, reason });
                }
                () = shutdown.cancelled() => return Ok(()),
            }
        }
    }

    /// Stops everything, in bounded time: first those who work, then those who hear what they did, then the ground.
    async fn stop(mut self) {
        self.services.stop(&["gateway", "planner", "storyboard", "chunk", "refine"], self.patience).await;
        self.services.stop(&["coordinator"], self.patience).await;
        self.stop_ground.cancel();
        while let Some(ended) = self.ground.join_next().await {
            match ended {
                Ok((_, Ok(()))) => {}
                Ok((part, Err(reason))) => tracing::error!(part, reason, "stopped with an error"),
                Err(panicked) => tracing::error!(%panicked, "stopped with a panic"),
            }
        }
        drop(self.lock);
    }
}

async fn free_port() -> Result<u16, DeploymentError> {
    Ok(listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?.1.port())
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), DeploymentError> {
    let failed = |error: std::io::Error| not_listening(address, &error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let at = listener.local_addr().map_err(failed)?;
    Ok((listener, at))
}

/// Writes what one more process needs; secrets go into a file that only its owner reads, not onto a screen.
fn write_environment(path: &Path, environment: &[(String, String)]) -> Result<(), DeploymentError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let lines = environment.iter().map(|(name, value)| format!("export {name}='{}'\n", value.replace('\'', r"'\''")));
    let text: String = lines.collect();
    let mut options = std::fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| DeploymentError::File { path: path.to_path_buf(), source })
}

/// Where everything is and what can be pasted to use it; keyed gateways want a key.
fn greeting(address: &Address, keyed: bool, environment: &Path, logs: &Path, paint: Paint) -> String {
    let Address { url, nats, .. } = address;
    let key = if keyed { r#" -H "Authorization: Bearer $DAILIES_KEY""# } else { "" };
    let program = program();
    let chunk = processes::program("chunk").unwrap_or_else(|_| "chunk".into());
    let head = |text: &str| paint.bold(text);
    format!(
        r#"{title}
  HTTP  {url}  (API: {url}/api/openapi.json)
  NATS  {nats}
  logs  {logs}

{film}
  curl -s{key} {url}/api/generate -H 'Content-Type: application/json' -d '{{"prompt":"A 15 second ad for a mechanical watch"}}'
  {program} watch ID      # what happens to it
  {program} approve ID    # go on from the checkpoint that waits
  {program} dead list     # what could not be handled

{scale}
  . {environment} && {chunk}

{stop}
  {program} cluster stop
"#,
        title = head("The cluster is up."),
        film = head("Make a film in another terminal"),
        scale = head("One more chunk process, in another terminal; Ctrl-C there takes it away again"),
        stop = head("Stop it here with Ctrl-C, or elsewhere with"),
        logs = shown(logs),
        environment = shown(environment),
        chunk = shown(&chunk),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_can_be_pasted() {
        let address = Address { url: "http://127.0.0.1:8787".into(), nats: "nats://127.0.0.1:4222".into(), pid: 1 };
        let greeting =
            |keyed| greeting(&address, keyed, Path::new("/d/cluster.env"), Path::new("/d/logs"), Paint::plain());
        let text = greeting(false);
        for part in ["curl -s http://127.0.0.1:8787/api/generate", ". /d/cluster.env && ", " cluster stop"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(greeting(true).contains("Bearer $DAILIES_KEY"));
    }

    #[test]
    fn the_environment_is_private_and_read_by_a_shell_as_it_was_meant() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join(ENVIRONMENT);
        let value = "postgres://a@b/c?host=%2Ftmp&x='y' $HOME".to_owned();
        write_environment(&file, &[("DAILIES_X__Y".to_owned(), value.clone())]).expect("written");
        let script = format!(". {} && printf %s \"$DAILIES_X__Y\"", file.display());
        let read = std::process::Command::new("sh").args(["-c", &script]).output().expect("a shell");
        assert_eq!(String::from_utf8_lossy(&read.stdout), value);
        assert_eq!(std::fs::metadata(file).expect("is there").permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_folder_that_nobody_owns_has_nothing_to_stop() {
        let scratch = tempfile::tempdir().expect("a folder");
        let folder = DataFolder::open(&scratch.path().join("data")).expect("usable");
        // As a deployment that was killed leaves it.
        std::fs::write(folder.join("lock"), "1\n").expect("written");
        let refusal = stop(&folder).await.expect_err("nothing runs").to_string();
        assert!(refusal.starts_with("no cluster runs in "), "{refusal}");
    }
}
