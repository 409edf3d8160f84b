//! Peak memory of each service, measured where it can be told apart: in processes of their own.
//!
//! The binaries are those beside this program. Each service's own peak is read when the film is there; what `ffmpeg`
//! takes is a process of its own and does not count, as the target says. Without such binaries, or on a system
//! that does not tell peaks, there is no figure but a reason.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use messages::id::UserId;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use runtime::bus::{Bus, NatsSettings};
use runtime::config::Settings;
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::machine::peak_mb;
use super::orchestrated::{ask, nats_pid};
use super::{BenchError, Order};
use crate::arguments::Reach;
use crate::client::Client;
use crate::data_folder::DataFolder;
use crate::embedded::answers;
use crate::nats_server::{NatsServer, NatsServerSettings};

/// How long a process may take until it does its part, and to stop.
const PATIENCE: Duration = Duration::from_secs(30);
/// Those that make the film, in the order in which they stop: first who works, last whom all rest on.
const SERVICES: [&str; 6] = ["planner", "storyboard", "chunk", "refine", "gateway", "coordinator"];
/// The S3 endpoint, which is this program.
const STORE: &str = "store";

/// The most that a process held.
#[derive(Debug, Clone, Serialize)]
pub struct Peak {
    /// Which process.
    pub process: &'static str,
    /// Megabytes of a million bytes.
    pub peak_mb: f64,
    /// Whether the target is for it: `nats-server` is not ours.
    pub ours: bool,
}

/// Makes the film with separate processes and reads their peaks; a reason where that cannot be done here.
pub async fn peaks(
    order: &Order,
    reach: &Reach,
    folder: &DataFolder,
    settings: &Settings,
) -> Result<Result<Vec<Peak>, String>, BenchError> {
    if !cfg!(target_os = "linux") {
        return Ok(Err("only Linux tells the peak memory of a process".to_owned()));
    }
    let here = std::env::current_exe()?;
    let program = |name: &str| here.with_file_name(name);
    let missing: Vec<_> = SERVICES.into_iter().filter(|name| !program(name).is_file()).collect();
    if !missing.is_empty() {
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        return Ok(Err(format!(
            "{} not built beside this program: cargo build --workspace --bins{release}",
            missing.join(", ")
        )));
    }

    let scratch = tempfile::Builder::new().prefix("bench-").tempdir_in(folder.path())?;
    let nats: NatsSettings = settings.section("nats")?;
    let server = NatsServerSettings {
        program: None,
        folder: scratch.path().join("nats"),
        port: None,
        storage_mib: nats.storage_mib,
        member: None,
    };
    let server = NatsServer::start(&server).await?;
    let url = server.url();
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(server.run_until(stop.clone()));

    let mut environment = vec![
        ("DAILIES_NATS__URL".to_owned(), url.clone()),
        ("DAILIES_NATS__STORAGE_MIB".to_owned(), nats.storage_mib.to_string()),
        ("DAILIES_WORKER__CONCURRENCY".to_owned(), order.jobs.to_string()),
        ("DAILIES_COORDINATOR__DATABASE".to_owned(), format!("sqlite:{}", scratch.path().join("journal").display())),
        ("DAILIES_GATEWAY__ADDRESS".to_owned(), format!("{}:0", Ipv4Addr::LOCALHOST)),
    ];
    if let Some(config) = &reach.config {
        environment.push(("DAILIES_CONFIG".to_owned(), config.canonicalize()?.display().to_string()));
    }
    let mut processes = Processes { folder: scratch.path().to_path_buf(), running: Vec::new() };
    let measured = processes.film(order, &here, environment, &url).await;
    processes.stop().await;
    stop.cancel();
    if let Err(error) = keeping.await {
        tracing::warn!(%error, "nats-server was not stopped");
    }
    measured.map(Ok)
}

/// The services of one cluster.
struct Processes {
    folder: PathBuf,
    running: Vec<(&'static str, Child)>,
}

impl Processes {
    async fn film(
        &mut self,
        order: &Order,
        here: &Path,
        mut environment: Vec<(String, String)>,
        nats: &str,
    ) -> Result<Vec<Peak>, BenchError> {
        let data = self.folder.join("data").display().to_string();
        let listen = format!("{}:0", Ipv4Addr::LOCALHOST);
        self.start(STORE, here, &["--data", &data, "store", "--listen", &listen], &environment)?;
        environment.extend(self.store_environment().await?);
        for service in SERVICES.into_iter().rev() {
            self.start(service, &here.with_file_name(service), &[], &environment)?;
        }

        let bus = Bus::connect(&NatsSettings::for_url(nats)).await?;
        let asking = async {
            answers(&bus).await?;
            ask(order, &Client { bus: bus.clone(), user: UserId::local() }, None).await
        };
        tokio::select! {
            film = asking => film.map(drop)?,
            ended = ended(&mut self.running) => return Err(ended),
        }

        let ours = self.running.iter().filter_map(|(process, child)| Some((*process, child.id()?, true)));
        let server = nats_pid(&self.folder).map(|pid| ("nats-server", pid, false));
        let peak = |(process, pid, ours)| Some(Peak { process, peak_mb: peak_mb(pid)?, ours });
        Ok(ours.chain(server).filter_map(peak).collect())
    }

    /// Starts a program that ends with us and logs into the folder.
    fn start(
        &mut self,
        name: &'static str,
        program: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<(), BenchError> {
        let log = std::fs::File::create(self.folder.join(format!("{name}.log")))?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .envs(environment.iter().map(|(key, value)| (key, value)))
            // They would lead elsewhere, or into somebody's own settings.
            .env_remove("NATS_CONTEXT")
            .env_remove("NATS_CREDS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        runtime::child::end_with_us(&mut command);
        let child =
            command.spawn().map_err(|error| BenchError::Process { service: name, reason: error.to_string() })?;
        self.running.push((name, child));
        Ok(())
    }

    /// How the endpoint is reached, once it has written that down.
    async fn store_environment(&mut self) -> Result<Vec<(String, String)>, BenchError> {
        let file = self.folder.join("data").join("store.env");
        let reading = async {
            loop {
                let text = tokio::fs::read_to_string(&file).await.unwrap_or_default();
                if let Some(variables) = exported(&text) {
                    return variables;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            variables = tokio::time::timeout(PATIENCE, reading) => variables.map_err(|_| BenchError::Process {
                service: STORE,
                reason: format!("it does not say where it is within {} s", PATIENCE.as_secs()),
            }),
            ended = ended(&mut self.running) => Err(ended),
        }
    }

    /// Asks each to stop, and waits for it before those that it rests on.
    async fn stop(self) {
        for (name, mut child) in self.running.into_iter().rev() {
            if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                // It may have ended by itself.
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                tracing::warn!(name, "does not stop and is killed");
                let _ = child.kill().await;
            }
        }
    }
}

/// Waits until a process ends, which none should.
async fn ended(running: &mut [(&'static str, Child)]) -> BenchError {
    let waiting = running.iter_mut().map(|(service, child)| {
        Box::pin(async move {
            let status = child.wait().await;
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            BenchError::Process { service, reason: format!("it has ended: {status}") }
        })
    });
    futures::future::select_all(waiting).await.0
}

/// The three `export NAME=value` lines of `store.env`, once all are there.
fn exported(text: &str) -> Option<Vec<(String, String)>> {
    let lines: Option<Vec<_>> = text.lines().map(|line| line.strip_prefix("export ")?.split_once('=')).collect();
    let whole = text.ends_with('\n');
    let variables: Vec<_> = lines?.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (whole && variables.len() == 3).then_some(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_file_is_not_taken_for_the_endpoint() {
        let whole = "export A=http://h:1\nexport B=k\nexport C=s=1\n";
        let variables = exported(whole).expect("all three");
        assert_eq!(variables[2], ("C".to_owned(), "s=1".to_owned()));
        for end in 0..whole.len() {
            assert_eq!(exported(&whole[..end]), None, "{}", &whole[..end]);
        }
    }
}
